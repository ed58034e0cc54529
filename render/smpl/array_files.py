"""What all readers of arrays from foreign files share: their error, limits on sizes, and arrays made from bytes.

The readers are `npz_files` (`.npy` and `.npz`), `json_files` and `pickles`. None of them runs code from a file. Sizes
are checked before memory is allocated, so a header that lies costs nothing.
"""

import math
import os
import pathlib
from typing import Any, TypeGuard

import numpy as np

from san_jax import file_kinds

MAX_FILE_BYTES = 1 << 30  # SMPL v1.1.0 with 300 shape directions is 250 MB
MAX_DIMENSIONS = 8
_MAX_SIZE = 1 << 40  # of one dimension
# Numbers that may be read, as NumPy spells their types without the byte order.
DTYPES = frozenset(
    f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items() for size in sizes
)


class ArrayFileError(ValueError):
    """A file that is missing, too large, malformed or asks for more than arrays. The message names the file."""


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a file of at most `max_bytes`.

    Raises:
        ArrayFileError: The file does not exist, cannot be read or is larger.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ArrayFileError(f"{path}: cannot be read ({error.strerror}).") from None
    if len(data) > max_bytes:
        raise ArrayFileError(f"{path}: larger than {max_bytes:,} bytes; this cannot be the file that is meant.")
    return data


def found(data: bytes, error: Exception, kind_of_error: str = "") -> str:
    """Return the end of a message about a file that is not of the expected format.

    Args:
        data: The file's content.
        error: What its reader raised; its text is used where `file_kinds` does not know the content.
        kind_of_error: Name of the error, put before its text.
    """
    return file_kinds.found(data) or f" ({kind_of_error}{kind_of_error and ': '}{first_line(error)})"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def make_array(
    data: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], *, fortran: bool, where: str
) -> np.ndarray:
    """Return an array that shares its bytes with a file, so that no header can ask for more memory than was read.

    Args:
        data: The numbers.
        dtype: Their type.
        shape: Shape of the array.
        fortran: Whether the numbers are in Fortran order.
        where: Name of the array in messages.

    Raises:
        ArrayFileError: The elements are no numbers, or the shape does not fit the bytes.
    """
    if dtype.names or dtype.subdtype or dtype.str[1:] not in DTYPES | {"b1"}:
        raise ArrayFileError(f"{where}: expected numbers, found dtype {dtype}.")
    if not is_shape(shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ArrayFileError(f"{where}: the header promises {dtype} {list(shape)}, {len(data):,} bytes are there.")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def is_shape(shape: Any) -> TypeGuard[tuple[int, ...]]:
    """Return whether a value is the shape of an array, with sizes small enough to multiply and to print."""
    return (
        isinstance(shape, tuple)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in shape)
    )
