"""What is understood of a user's folder or table, and every way in which it is refused."""

import math
import os
import pathlib
import shutil

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from datasets import DatasetError
from datasets.own.folders import read_folders
from datasets.own.sightings import Sighting
from datasets.own.table import read_table
from san_jax.own_settings import OwnSettings, name_problem
from tests.datasets.own.drawn import draw

PATTERN = r"(?P<person>\d+)_c(?P<camera>\d+)"


def said(sightings: list[Sighting]) -> dict[str, tuple[str, str, str]]:
    """Person, camera and split of each picture."""
    return {one.name: (one.person, one.camera, one.split) for one in sightings}


# ------------------------------------------------------------------------------------------------------------- folders


def test_folders_of_persons(tmp_path: pathlib.Path):
    draw(
        tmp_path,
        ["anna/1.jpg", "anna/2.JPG", "Bob Ünï 数据/x.y.PNG", "Thumbs.db", "anna/._1.jpg", "__MACOSX/anna/1.jpg"],
    )
    (tmp_path / "anna" / "notes.txt").write_text("blue coat")
    found = read_folders(tmp_path, OwnSettings())
    assert said(found.sightings) == {
        "Bob Ünï 数据/x.y.PNG": ("Bob Ünï 数据", "", ""),
        "anna/1.jpg": ("anna", "", ""),
        "anna/2.JPG": ("anna", "", ""),
    }
    assert found.problems == []
    (note,) = found.notes
    assert "passed over, as they are not named like pictures" in note
    assert note.endswith(": anna/notes.txt")


def test_folders_of_splits_and_of_cameras(tmp_path: pathlib.Path):
    draw(tmp_path, ["Train/anna/1.jpg", "query/bob/door/1.jpg", "gallery/bob/yard/1.jpg", "test/eve/1.jpg"])
    found = read_folders(tmp_path, OwnSettings())
    assert said(found.sightings) == {
        "Train/anna/1.jpg": ("anna", "", "train"),
        "gallery/bob/yard/1.jpg": ("bob", "yard", "gallery"),
        "query/bob/door/1.jpg": ("bob", "door", "query"),
        "test/eve/1.jpg": ("eve", "", "test"),
    }
    assert "splits: the folders Train, gallery, query, test" in found.notes


def test_pictures_at_other_depths_are_named(tmp_path: pathlib.Path):
    draw(tmp_path, ["loose.jpg", "anna/1.jpg", "a/b/c/1.jpg"])
    found = read_folders(tmp_path, OwnSettings())
    expected = f"expected PERSON/picture or PERSON/CAMERA/picture in {tmp_path}"
    assert sorted(found.problems) == [f"{tmp_path}/a/b/c/1.jpg: {expected}", f"{tmp_path}/loose.jpg: {expected}"]
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "anna" / "1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no picture whose person is known:\n.*loose\.jpg: expected PERSON/picture"):
        read_folders(tmp_path, OwnSettings())


def test_links_to_folders_are_not_followed_but_named(tmp_path: pathlib.Path):
    draw(tmp_path / "elsewhere", ["1.jpg"])
    draw(tmp_path / "pictures", ["anna/1.jpg"])
    os.symlink(tmp_path / "elsewhere", tmp_path / "pictures" / "bob")
    found = read_folders(tmp_path / "pictures", OwnSettings())
    assert list(said(found.sightings)) == ["anna/1.jpg"]
    assert found.problems == [f"{tmp_path}/pictures/bob: is a link to a folder; move the folder here"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "expected pictures .*, found nothing"),
        (["train/anna/1.jpg", "bob/1.jpg"], r"folders of splits \(train\) beside others \(bob\)"),
    ],
)
def test_folders_that_are_refused(names: list[str], message: str, tmp_path: pathlib.Path):
    with pytest.raises(DatasetError, match=message):
        read_folders(draw(tmp_path, names), OwnSettings())


# ------------------------------------------------------------------------------------------------------------- pattern


def test_a_pattern_reads_file_names_and_says_what_it_found(tmp_path: pathlib.Path):
    draw(tmp_path, ["12_c3_x.jpg", "day/7_c1.jpg", "9_c9/1_c2.jpg", "nobody.jpg"])
    found = read_folders(tmp_path, OwnSettings(pattern=PATTERN))
    assert said(found.sightings) == {
        "12_c3_x.jpg": ("12", "3", ""),
        "9_c9/1_c2.jpg": ("1", "2", ""),  # of the file's name, not of the folder's
        "day/7_c1.jpg": ("7", "1", ""),
    }
    assert found.problems == [f"{tmp_path}/nobody.jpg: --pattern is not found in its name"]
    assert found.notes == [
        f"--pattern={PATTERN} is found in 3 pictures",
        "  12_c3_x.jpg: person 12, camera 3",
        "  9_c9/1_c2.jpg: person 1, camera 2",
        "  day/7_c1.jpg: person 7, camera 1",
        "--pattern is not found in 1 picture: nobody.jpg",
    ]


def test_a_pattern_with_a_slash_reads_the_path_and_one_without_a_person_leaves_it_to_the_folder(tmp_path: pathlib.Path):
    draw(tmp_path, ["door/anna_1.jpg", "yard/bob_1.jpg"])
    found = read_folders(tmp_path, OwnSettings(pattern="(?P<camera>[a-z]+)/(?P<person>[a-z]+)_"))
    assert said(found.sightings) == {"door/anna_1.jpg": ("anna", "door", ""), "yard/bob_1.jpg": ("bob", "yard", "")}
    draw(tmp_path / "persons", ["query/anna/c1.jpg", "gallery/anna/c2.jpg"])
    found = read_folders(tmp_path / "persons", OwnSettings(pattern=r"c(?P<camera>\d)"))
    assert said(found.sightings) == {
        "gallery/anna/c2.jpg": ("anna", "2", "gallery"),
        "query/anna/c1.jpg": ("anna", "1", "query"),
    }


def test_a_pattern_may_say_the_split(tmp_path: pathlib.Path):
    draw(tmp_path, ["q_1.jpg", "query_1.jpg", "gallery_1.jpg"])
    found = read_folders(tmp_path, OwnSettings(pattern=r"(?P<split>[a-z]+)_(?P<person>\d)"))
    assert said(found.sightings) == {"gallery_1.jpg": ("1", "", "gallery"), "query_1.jpg": ("1", "", "query")}
    assert found.problems == [
        f"{tmp_path}/q_1.jpg: expected one of the splits train, val, query, gallery, test, found 'q'"
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<person>", "is no regular expression: .*; for example --pattern="),
        (r"\d+", "expected the named groups person, camera, split, found none"),
        (r"(?P<person>\d+)_(?P<cam>\d)", "expected the named groups person, camera, split, found cam"),
        (r"(?P<person>\d+)x", r"no picture whose person is known:\n.*1_c1\.jpg: --pattern is not found in its name"),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str, tmp_path: pathlib.Path):
    with pytest.raises(DatasetError, match=message):
        read_folders(draw(tmp_path, ["1_c1.jpg"]), OwnSettings(pattern=pattern))


# --------------------------------------------------------------------------------------------------------------- table

ROWS = [("a/1.jpg", "anna", "door", "train"), ("b 2.jpg", "bob", "yard", "query"), ("b3.jpg", "bob", "door", "gallery")]
EXPECTED = {name: tuple(rest) for name, *rest in ROWS}


@pytest.fixture
def pictures(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the pictures of `ROWS`."""
    return draw(tmp_path / "pictures", [row[0] for row in ROWS])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_table(delimiter: str, pictures: pathlib.Path):
    lines = [delimiter.join(row) for row in [("path", "person_id", "camera_id", "split"), *ROWS]]
    (pictures / "list.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n", encoding="utf-8")
    found = read_table(pictures, OwnSettings(table="list.csv"))
    assert said(found.sightings) == EXPECTED
    assert (found.problems, found.notes) == ([], [])
    assert found.files == {"list.csv": pictures / "list.csv"}


def test_a_parquet_table_with_columns_of_other_names(pictures: pathlib.Path):
    columns = {"file": [row[0] for row in ROWS], "who": [1.0, 2.0, 2.0], "where": [3, 4, None]}
    parquet.write_table(pyarrow.table(columns), pictures / "list.parquet")
    settings = OwnSettings(table="list.parquet", path_column="file", person_column="who", camera_column="where")
    found = read_table(pictures, settings)
    assert said(found.sightings) == {"a/1.jpg": ("1", "3", ""), "b 2.jpg": ("2", "4", ""), "b3.jpg": ("2", "", "")}
    assert found.notes == [f"{pictures}/list.parquet: no column split"]


TIMES = (1795508103.5, 1795421700.0, math.nan)  # 2026-11-24 08:15:03.5 and 2026-11-23 08:15 in UTC
WRITTEN = ("2026-11-24T09:15:03.5+01:00", "2026-11-23 08:15", "")


@pytest.mark.parametrize(
    "cells",
    [
        WRITTEN,
        ("1795508103.5", "1795421700.0", ""),
        pyarrow.array([1795508103.5, 1795421700.0, None]),
        pyarrow.array(WRITTEN),
        pyarrow.array([1795508103500000001, 1795421700000000000, None], pyarrow.timestamp("ns")),
        pyarrow.array([1795508103500, 1795421700000, None], pyarrow.timestamp("ms", "Europe/Berlin")),
    ],
)
def test_a_table_may_say_when_pictures_were_taken(cells, pictures: pathlib.Path):
    if isinstance(cells, tuple):
        lines = [f"{row[0]},{row[1]},{cell}" for row, cell in zip(ROWS, cells, strict=True)]
        (pictures / "list").write_text("\n".join(["path,person_id,time", *lines]))
    else:
        columns = {"path": [row[0] for row in ROWS], "person_id": [row[1] for row in ROWS], "time": cells}
        parquet.write_table(pyarrow.table(columns), pictures / "list.parquet")
    table = "list" if isinstance(cells, tuple) else "list.parquet"
    found = read_table(pictures, OwnSettings(table=table, time_column="time"))
    np.testing.assert_array_equal([one.time for one in found.sightings], TIMES)
    assert not found.problems
    unread = read_table(pictures, OwnSettings(table=table))
    assert all(math.isnan(one.time) for one in unread.sightings)
    assert f"{pictures / table}: its column time is not read; --time_column=time keeps it" in unread.notes


def test_a_time_that_is_none_is_named(pictures: pathlib.Path):
    (pictures / "list.csv").write_text("path,person_id,taken\na/1.jpg,anna,noon\nb 2.jpg,bob,inf\nb3.jpg,bob,7\n")
    found = read_table(pictures, OwnSettings(table="list.csv", time_column="taken"))
    assert [one.time for one in found.sightings] == [7.0]
    assert found.problems == [
        f"{pictures}/list.csv:{line}: column taken: expected seconds, or a date and time such as 2026-11-28T10:00, found "
        f"{cell!r}"
        for line, cell in ((2, "noon"), (3, "inf"))
    ]
    with pytest.raises(
        DatasetError, match=r"has the columns path, person_id, taken and lacks 'time' \(--time_column\)"
    ):
        read_table(pictures, OwnSettings(table="list.csv", time_column="time"))


def test_rows_of_parquet_are_counted_from_1(pictures: pathlib.Path):
    columns = {"path": ["absent.jpg", *(row[0] for row in ROWS)], "person_id": ["anna"] * 4}
    parquet.write_table(pyarrow.table(columns), pictures / "list.parquet")
    (problem,) = read_table(pictures, OwnSettings(table="list.parquet")).problems
    assert problem.startswith(f"{pictures}/list.parquet, row 1: expected a picture file")


def test_a_picture_may_be_called_like_the_start_of_a_message(tmp_path: pathlib.Path):
    draw(tmp_path, ["expected/1.jpg"])
    (tmp_path / "list.csv").write_text("path,person_id\nexpected/1.jpg,anna\n")
    found = read_table(tmp_path, OwnSettings(table="list.csv"))
    assert (said(found.sightings), found.problems) == ({"expected/1.jpg": ("anna", "", "")}, [])


def test_numbers_that_pandas_wrote_as_floats_are_whole_numbers(pictures: pathlib.Path):
    # A column with a gap is one of floats; a person 2.0 among others is a name as it stands.
    (pictures / "list.csv").write_text("path,person_id,camera_id\na/1.jpg,7.0,2.0\nb 2.jpg,12.0,1\nb3.jpg,12.0\n")
    found = read_table(pictures, OwnSettings(table="list.csv"))
    assert said(found.sightings) == {"a/1.jpg": ("7", "2.0", ""), "b 2.jpg": ("12", "1", ""), "b3.jpg": ("12", "", "")}


def test_a_binary_column_of_parquet_is_text(pictures: pathlib.Path):
    columns = {"path": [row[0].encode() for row in ROWS], "person_id": ["Zoë".encode()] * 3}
    parquet.write_table(pyarrow.table(columns), pictures / "list.parquet")
    found = read_table(pictures, OwnSettings(table="list.parquet"))
    assert said(found.sightings) == {row[0]: ("Zoë", "", "") for row in ROWS}


def test_a_table_lies_elsewhere_and_says_which_pictures_it_does_not_list(
    pictures: pathlib.Path, tmp_path: pathlib.Path
):
    (tmp_path / "list.csv").write_text("path,person_id\n./a/../a/1.jpg,anna\n")
    found = read_table(pictures, OwnSettings(table=str(tmp_path / "list.csv")))
    assert said(found.sightings) == {"a/1.jpg": ("anna", "", "")}
    assert found.notes == [
        f"{tmp_path}/list.csv: no column camera_id and no column split",
        f"2 pictures under {pictures} that the table does not list: b 2.jpg, b3.jpg",
    ]


def test_every_bad_row_is_named_and_no_path_leaves_the_folder(pictures: pathlib.Path, tmp_path: pathlib.Path):
    draw(tmp_path, ["secret.jpg"])
    os.symlink(tmp_path / "secret.jpg", pictures / "link.jpg")
    os.symlink(tmp_path, pictures / "up")
    rows = [
        "path,person_id,split",
        "a/1.jpg,anna,train",
        "../secret.jpg,eve,train",
        f"{tmp_path}/secret.jpg,eve,train",
        "link.jpg,eve,train",
        "up/secret.jpg,eve,train",
        "a/../a/1.jpg,anna,train",
        "b3.jpg,,train",
        "b3.jpg",
        "b3.jpg,bob,dev",
        "absent.jpg,bob,train",
        r"a\1.jpg,bob,train",
        "a,bob,train",
        f"{'x' * 300}.jpg,bob,train",
        "b\0.jpg,bob,train",
    ]
    (pictures / "list.csv").write_text("\n".join(rows))
    found = read_table(pictures, OwnSettings(table="list.csv"))
    assert list(said(found.sightings)) == ["a/1.jpg"]
    out = f"expected a path in {pictures}"
    expected = [
        f"3: {out}, found '../secret.jpg', which leads out of it",
        f"4: expected a path relative to {pictures}, found '{tmp_path}/secret.jpg'",
        f"5: {out}, found 'link.jpg', a link that leads out of it",
        f"6: {out}, found 'up/secret.jpg', a link that leads out of it",
        "7: 'a/1.jpg' stands in list.csv:2 already",
        "8: expected a path and a person, found 'b3.jpg' and ''",
        "9: expected a path and a person, found 'b3.jpg' and ''",
        "10: expected one of the splits train, val, query, gallery, test, found 'dev'",
        f"11: expected a picture file in {pictures}, found no file 'absent.jpg'",
        f"12: expected a picture file in {pictures}, found no file 'a\\\\1.jpg', which has backslashes where this system has "
        "slashes",
        f"13: expected a picture file in {pictures}, found no file 'a'",
        f"14: expected a picture file in {pictures}, found no file '{'x' * 300}.jpg'",
        "15: expected a path, found 'b\\x00.jpg'",
    ]
    assert found.problems == [f"{pictures}/list.csv:{line}" for line in expected]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such table"),
        (b"", "is empty"),
        (b"path,person_id\n", "lists no picture"),
        (b"path,person_id\n\xff\xfe.jpg,1\n", "is no CSV file in UTF-8 .*Save it again in UTF-8"),
        (b'path,person_id\n"a,1\n', "cannot be read as a CSV file .*unexpected end of data"),
        (b"file,person\na,1\n", r"has the columns file, person and lacks 'path' \(--path_column\), 'person_id'"),
        (b"path,person_id,path\na,1,b\n", "has more than one column path"),
    ],
)
def test_tables_that_are_refused(content: bytes | None, message: str, tmp_path: pathlib.Path):
    if content is not None:
        (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        read_table(tmp_path, OwnSettings(table="list.csv"))
    assert "--person_column" in str(error.value)


def test_a_column_that_was_asked_for_must_be_there(pictures: pathlib.Path):
    (pictures / "list.csv").write_text("path,person_id\na/1.jpg,anna\n")
    with pytest.raises(DatasetError, match=r"lacks 'cam' \(--camera_column\)"):
        read_table(pictures, OwnSettings(table="list.csv", camera_column="cam"))


def test_what_is_no_parquet_is_refused(tmp_path: pathlib.Path):
    (tmp_path / "list.PARQUET").write_bytes(b"PAR1 nothing else")
    with pytest.raises(DatasetError, match=r"list\.PARQUET is no Parquet file"):
        read_table(tmp_path, OwnSettings(table="list.PARQUET"))


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "a.csv", "pattern": "x"}, "--table and --pattern exclude each other"),
        ({"test_share": 1.5}, r"--test_share must lie in 0\.\.1, found 1\.5"),
        ({"time_column": "time"}, "--time_column=time is a column of a table: give --table, too"),
        ({"url": "shop"}, "--url must be an address such as https://example.org/shop, found shop"),
        ({"url": "https://a b"}, "--url must be an address"),
        ({"every": 0}, "--every must be 1 or more, found 0"),
    ],
)
def test_settings_that_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        OwnSettings(**settings)


@pytest.mark.parametrize(
    "name", ["Shop", "my-shop", "7up", "a__b", "", "a/b", "../a", "pit", "cuhk03", "x_textured", "all"]
)
def test_names_that_are_refused(name: str):
    assert "dataset" in name_problem(name, ("pit", "cuhk03/labeled"))


@pytest.mark.parametrize("name", ["shop", "shop_2026", "x1", "pit2"])
def test_names_that_are_taken(name: str):
    assert name_problem(name, ("pit", "cuhk03/labeled")) == ""
