"""Reads NumPy's `.npy` and `.npz` files without running the pickles that they may hold."""

import io
import os
import pathlib
import warnings
import zipfile
from collections.abc import Collection, Iterator

import numpy as np

from render.smpl import pickles
from render.smpl.array_files import MAX_FILE_BYTES, ArrayFileError, first_line, found, make_array, read_bytes
from san_jax import file_kinds


def is_zip(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a zip archive does, such as a `.npz`, whatever its name.

    A file that cannot be read does not.
    """
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the array of a `.npy` file. Arrays of Python objects are refused, with the exception of `_parse_npy`.

    Raises:
        ArrayFileError: The file is missing, malformed or holds objects.
    """
    return _parse_npy(read_bytes(path), str(path))


def npz_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the sorted names of the arrays in a `.npz` file.

    Raises:
        ArrayFileError: The file is missing or no zip file.
    """
    with _open_npz(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def npz_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a `.npz` file, read from their headers.

    Raises:
        ArrayFileError: The file is missing or malformed.
    """
    shapes = {}
    with _open_npz(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                name = info.filename.removesuffix(".npy")
                header = _read_member(archive, info, 1 << 12, f"{path}, {name}")
                shapes[name] = _parse_header(io.BytesIO(header), f"{path}, {name}")[0]
    return shapes


def read_npz(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, np.ndarray]:
    """Read those of the named arrays that a `.npz` file holds. Its other arrays are not looked at.

    Raises:
        ArrayFileError: The file is missing or malformed, or one of these arrays holds Python objects.
    """
    return dict(iterate_npz(path, names))


def iterate_npz(path: str | os.PathLike[str], names: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Read as `read_npz` does, one (name, array) after the other, for files larger than the memory."""
    wanted = set(names)
    with _open_npz(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in wanted or name == info.filename:
                continue
            if info.file_size > MAX_FILE_BYTES:
                raise ArrayFileError(f"{path}, {name}: {info.file_size:,} bytes are more than {MAX_FILE_BYTES:,}.")
            data = _read_member(archive, info, info.file_size + 1, f"{path}, {name}")
            yield name, _parse_npy(data, f"{path}, {name}")


def _open_npz(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    path = pathlib.Path(path)
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise ArrayFileError(f"{path}: cannot be read ({error.strerror}).") from None
    except Exception as error:  # besides BadZipFile, what struct and decoding raise on a damaged directory
        what = file_kinds.found(file_kinds.read_start(path)) or f": {first_line(error)}"
        raise ArrayFileError(f"{path}: no .npz file (not a zip archive{what}).") from None


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int, where: str) -> bytes:
    # NumPy writes no other methods, and Python decompresses them in pieces of any size: 2 kB may become gigabytes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArrayFileError(f"{where}: compressed by method {info.compress_type}, expected stored or deflated.")
    try:
        with archive.open(info) as member:
            return member.read(max_bytes)
    except Exception as error:  # zipfile's and zlib's errors share no base class
        raise ArrayFileError(f"{where}: damaged ({first_line(error)}).") from None


def _parse_header(stream: io.BytesIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of `.npy` data: shape, whether in Fortran order, dtype. The stream is left at the numbers."""
    try:
        version = np.lib.format.read_magic(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user cannot help that SURREAL's and SPIN's files are from Python 2
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(stream)
            return np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # the header is a Python expression: its errors share no base class
        raise ArrayFileError(f"{where}: no .npy data{found(stream.getvalue(), error)}.") from None


def _parse_npy(data: bytes, where: str) -> np.ndarray:
    """Return the array in the bytes of a `.npy` file.

    NumPy stores whatever is no array, such as the sparse matrix of a model saved with `np.savez`, as an array of shape
    () with one object, a pickle. That one is read as data, see `pickles`.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = _parse_header(stream, where)
    if dtype.hasobject and shape == ():
        return pickles.parse_array(data[stream.tell() :], where)
    if dtype.hasobject:
        raise ArrayFileError(
            f"{where}: an array of Python objects, which only running a pickle could read; it is refused. "
            "Save it as an array of numbers."
        )
    return make_array(data[stream.tell() :], dtype, shape, fortran=fortran, where=where)
