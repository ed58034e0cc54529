"""Lists of pictures: plain ones, CSV files that say who, where and when, and what is wrong with a row."""

import pytest

from experiments.runs import picture_lists


def test_a_plain_list_is_paths_alone():
    assert picture_lists.read("\n a, b.jpg \n\npath\n") == (["a, b.jpg", "path"], [])
    assert picture_lists.read("path,size\na.jpg,3\n") == (["path,size", "a.jpg,3"], [])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_says_who_where_and_when(delimiter):
    rows = [
        ("note", "path", "time", "person_id", "camera_id", "track"),
        ("x", "a.jpg", "12.5", "7", "0", "3"),
        ("", "", "", "", "", ""),
        ("", '"b c.jpg"', "2026-11-28T10:00:30", "", "", ""),
        ("", "d.jpg", "2026-11-28T10:00:30+01:00", "", "1", ""),
    ]
    names, facts = picture_lists.read("\n".join(map(delimiter.join, rows)))
    assert names == ["a.jpg", "b c.jpg", "d.jpg"]
    assert facts == [
        {"time": 12.5, "person_id": 7, "camera_id": 0, "track": 3},
        {"time": 1795860030.0},
        {"time": 1795860030.0 - 3600, "camera_id": 1},
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg,yesterday,1", r"line 3, column time: expected seconds, or a date and time .*found 'yesterday'"),
        ("a.jpg,3,anna", r"line 3, column person_id: expected an integer of at least 0, found 'anna'"),
        ("a.jpg,3,-1", r"line 3, column person_id: expected an integer of at least 0, found '-1'"),
        (",3,1", r"line 3: expected a path in the column path, found none"),
        ('"a.jpg,3,1', r"it is no CSV file \(unexpected end of data\)"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row, message):
    with pytest.raises(ValueError, match=message):
        picture_lists.read(f"path,time,person_id\nb.jpg,1,2\n{row}\n")
