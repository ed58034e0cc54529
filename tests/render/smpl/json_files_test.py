"""Reading JSON files of others."""

import pathlib

import pytest

from render.smpl.array_files import ArrayFileError
from render.smpl.json_files import MAX_CONTAINERS, read_json
from tests.render.smpl.foreign_files import write


def test_objects_are_shrunk_as_they_are_read(tmp_path: pathlib.Path):
    path = write(tmp_path / "a.json", b'{"a": {"b": 1}, "c": [{"d": 2}]}')
    assert read_json(path, lambda fields: sorted(fields)) == ["a", "c"]


def test_json_of_too_many_parts_is_not_read(tmp_path: pathlib.Path):
    """One byte of a file may become 56 of memory."""
    path = write(tmp_path / "a.json", b"[" * MAX_CONTAINERS)
    with pytest.raises(ArrayFileError, match=r"a\.json: not JSON"):
        read_json(path, dict)
    path = write(tmp_path / "a.json", b"[" * MAX_CONTAINERS + b"{")
    with pytest.raises(ArrayFileError, match=r"a\.json: 30,000,001 lists and objects"):
        read_json(path, dict)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(tmp_path: pathlib.Path, number: str):
    path = write(tmp_path / "a.json", f"[{number}]".encode())
    with pytest.raises(ArrayFileError, match=rf"a\.json: not JSON \({number} is no number"):
        read_json(path, dict)
