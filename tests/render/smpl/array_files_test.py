"""What all readers of foreign files share: files that are missing or too large are refused."""

import pathlib

import pytest

from render.smpl import npz_files
from render.smpl.array_files import ArrayFileError, read_bytes
from render.smpl.pickles import read_pickle
from tests.render.smpl.foreign_files import write


def test_missing_and_large_files(tmp_path: pathlib.Path):
    with pytest.raises(ArrayFileError, match=r"nothing\.pkl: cannot be read \(No such file"):
        read_pickle(tmp_path / "nothing.pkl", ("a",))
    with pytest.raises(ArrayFileError, match=r"cannot be read"):
        npz_files.npz_names(tmp_path / "nothing.npz")
    with pytest.raises(ArrayFileError, match="larger than 10 bytes"):
        read_bytes(write(tmp_path / "large", bytes(11)), 10)
    assert read_bytes(write(tmp_path / "fits", bytes(10)), 10) == bytes(10)
