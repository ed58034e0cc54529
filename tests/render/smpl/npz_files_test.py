"""Reading `.npy` and `.npz` files of others: no pickle in them is run, and no header is believed."""

import os
import pathlib
import struct
import zipfile

import numpy as np
import pytest
from scipy import sparse

from render.smpl import npz_files
from render.smpl.array_files import ArrayFileError
from tests.render.smpl.foreign_files import Call, write


def test_one_object_in_an_npz_is_read_as_data(tmp_path: pathlib.Path):
    """`np.savez(path, **model)` of an official model stores its sparse matrix as an array of one object."""
    dense = np.diag([1.0, 2.0, 3.0])
    np.savez(tmp_path / "model.npz", J_regressor=np.array(sparse.csc_matrix(dense), object), f=np.arange(3))
    found = npz_files.read_npz(tmp_path / "model.npz", ("J_regressor", "f"))
    np.testing.assert_array_equal(found["J_regressor"], dense)

    marker = tmp_path / "pwned"
    for number, content in enumerate((Call(os.system, f"touch {marker}"), {"a": 1}, np.array("text", object))):
        holder = np.empty((), object)
        holder[()] = content
        np.savez(tmp_path / f"{number}.npz", a=holder)
        with pytest.raises(ArrayFileError, match=rf"{number}\.npz, a: .*(system, which is refused|expected an array)"):
            npz_files.read_npz(tmp_path / f"{number}.npz", ("a",))
    assert not marker.exists()


def test_npy_and_npz(tmp_path: pathlib.Path):
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(npz_files.read_npy(tmp_path / "a.npy"), array)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=array, b=np.arange(3))
        assert npz_files.npz_names(tmp_path / "a.npz") == ["a", "b"]
        assert npz_files.npz_shapes(tmp_path / "a.npz") == {"a": (3, 4), "b": (3,)}
        found = npz_files.read_npz(tmp_path / "a.npz", ("a", "c"))
        assert list(found) == ["a"]
        np.testing.assert_array_equal(found["a"], array)


def test_objects_in_npy_and_npz_are_refused(tmp_path: pathlib.Path):
    marker = tmp_path / "pwned"
    evil = np.array([Call(os.system, f"touch {marker}")], object)
    np.save(tmp_path / "a.npy", evil, allow_pickle=True)
    np.savez(tmp_path / "a.npz", evil=evil, good=np.zeros(2))
    with pytest.raises(ArrayFileError, match=r"a\.npy: an array of Python objects"):
        npz_files.read_npy(tmp_path / "a.npy")
    with pytest.raises(ArrayFileError, match=r"a\.npz, evil: an array of Python objects"):
        npz_files.read_npz(tmp_path / "a.npz", ("evil",))
    assert list(npz_files.read_npz(tmp_path / "a.npz", ("good",))) == ["good"]  # others are not looked at
    assert not marker.exists()


def test_npy_headers_that_lie_are_errors(tmp_path: pathlib.Path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80)
    with pytest.raises(ArrayFileError, match="80 bytes are there"):
        npz_files.read_npy(write(tmp_path / "a.npy", data))
    with pytest.raises(ArrayFileError, match=r"no \.npy data"):
        npz_files.read_npy(write(tmp_path / "b.npy", b"hello"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(ArrayFileError, match="80 bytes are there"):
        npz_files.read_npz(tmp_path / "a.npz", ("a",))
    for wrong in ("((1\n", "(" + "-" * 9000 + "1,)}\n", '"""(1\n', "(True,)}\n"):
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + wrong.encode()
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(8)
        with pytest.raises(ArrayFileError, match=r"no \.npy data|8 bytes are there"):
            npz_files.read_npy(write(tmp_path / "d.npy", content))
    with pytest.raises(ArrayFileError, match="not a zip archive"):
        npz_files.read_npz(tmp_path / "a.npy", ("a",))
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[60] ^= 255
    with pytest.raises(ArrayFileError, match="damaged"):
        npz_files.read_npz(write(tmp_path / "c.npz", bytes(damaged)), ("a",))


def test_npy_of_python_2_is_read_in_silence(tmp_path: pathlib.Path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + np.arange(6.0).tobytes()
    found = npz_files.read_npy(write(tmp_path / "coco_fits.npy", data))
    np.testing.assert_array_equal(found, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_bombs_are_not_decompressed(tmp_path: pathlib.Path, method: int):
    """Python decompresses 4 kB of these at once, whatever they become."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", bytes(1000))
    with pytest.raises(ArrayFileError, match=f"a: compressed by method {method}, expected stored or deflated"):
        npz_files.npz_shapes(tmp_path / "a.npz")
    with pytest.raises(ArrayFileError, match="compressed by method"):
        npz_files.read_npz(tmp_path / "a.npz", ("a",))
