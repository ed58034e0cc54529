"""Reads the arrays in a Python pickle without running what the pickle says.

The pickle is loaded by `unpickler`, which keeps what it is given as data. This module turns what was kept into NumPy
arrays; NumPy's, SciPy's and chumpy's own unpickling is never reached.
"""

import contextlib
import math
import os
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from render.smpl import unpickler
from render.smpl.array_files import (
    DTYPES,
    MAX_DIMENSIONS,
    ArrayFileError,
    found,
    is_shape,
    make_array,
    read_bytes,
)
from render.smpl.unpickler import KeptArray, KeptBuffer, KeptChumpy, KeptDType, KeptScalar, KeptSparse, KeptText, fail

_MAX_DENSE_BYTES = 1 << 28  # of a sparse matrix made dense; SMPL's largest has 1.3 MB
_MAX_DEPTH = 4  # of arrays that are made from arrays


def read_pickle(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, np.ndarray]:
    """Read those of the named arrays that a pickled dictionary holds; sparse matrices are made dense.

    Written for SMPL's files: Python 2 pickles whose values are NumPy arrays, SciPy sparse matrices and chumpy arrays,
    and the same saved again by Python 3 with any protocol. Strings are read as Latin-1, as NumPy asks for Python 2.

    Raises:
        ArrayFileError: The file is missing, malformed, no dictionary, or asks for anything but arrays; the error names
            what it asked for.
    """
    data = read_bytes(path)
    with _naming(str(path), data):
        content = unpickler.load(data)
        if not isinstance(content, dict):
            raise ArrayFileError(f"expected a dictionary, found {unpickler.kind_of(content)}.")
        result = {}
        for name in names:
            if name in content:
                try:
                    result[name] = _convert(content[name])
                except ArrayFileError as error:
                    raise ArrayFileError(f"{name}: {error}") from None
        return result


def parse_array(data: bytes, where: str) -> np.ndarray:
    """Return the one array in the bytes of a pickle; `where` names it in messages.

    Raises:
        ArrayFileError: The pickle is malformed or holds anything else.
    """
    with _naming(where, data):
        return _convert(unpickler.load(data))


@contextlib.contextmanager
def _naming(where: str, data: bytes) -> Iterator[None]:
    """Turn whatever goes wrong with a pickle of these bytes into an ArrayFileError that says where."""
    try:
        yield
    except ArrayFileError as error:
        raise ArrayFileError(f"{where}: {error}") from None
    except MemoryError:
        raise ArrayFileError(f"{where}: damaged, or made to exhaust the memory.") from None
    except Exception as error:  # a damaged or hostile program can make the unpickler raise anything
        raise ArrayFileError(f"{where}: not a readable pickle{found(data, error, type(error).__name__)}.") from None


def _convert(value: Any, depth: int = 0) -> np.ndarray:
    """Make an array from what was kept of it.

    Args:
        value: What was kept.
        depth: How many arrays it was reached through.
    """
    if depth > _MAX_DEPTH:
        fail("chain of arrays")
    if isinstance(value, KeptArray):
        return _convert_array(value, depth)
    if isinstance(value, KeptBuffer):
        return _convert_buffer(value)
    if isinstance(value, KeptScalar):
        if len(value.arguments) != 2:
            fail("scalar")
        kind, data = value.arguments
        return _numbers(data, kind, (), fortran=False)
    if isinstance(value, KeptSparse):
        return _convert_sparse(value, depth)
    if isinstance(value, KeptChumpy):
        return _convert_chumpy(value, depth)
    raise ArrayFileError(f"expected an array, found {unpickler.kind_of(value)}.")


def _convert_array(value: KeptArray, depth: int) -> np.ndarray:
    state = value.state
    if not (isinstance(state, tuple) and len(state) == 5):
        fail("array")
    _, shape, kind, fortran, data = state
    if isinstance(data, list) and len(data) == 1 and shape == ():  # an array of one object, as `np.savez` makes them
        return _convert(data[0], depth + 1)
    return _numbers(data, kind, _shape(shape, "array"), fortran=bool(fortran))


def _convert_buffer(value: KeptBuffer) -> np.ndarray:
    if len(value.arguments) not in (4, 5):
        fail("array")
    data, kind, shape, order, *axes = value.arguments
    shape = _shape(shape, "array")
    array = _numbers(data, kind, shape, fortran=order == "F")
    if order == "K":
        axes = _shape(axes[0] if axes else None, "array")
        if sorted(axes) != list(range(len(shape))):
            fail("array")
        return array.transpose(axes)
    if order not in ("C", "F"):
        fail("array")
    return array


def _convert_chumpy(value: KeptChumpy, depth: int) -> np.ndarray:
    """Make an array from a chumpy array, or from a chumpy selection of another array."""
    state = value.state if isinstance(value.state, dict) else {}
    if "x" in state:
        return _convert(state["x"], depth + 1)
    if "a" in state and "idxs" in state:
        source, index = _convert(state["a"], depth + 1).ravel(), _convert(state["idxs"], depth + 1)
        if index.dtype.kind not in "iu" or (index.size and not 0 <= index.min() <= index.max() < source.size):
            fail("chumpy selection")
        shape = _shape(state.get("preferred_shape", index.shape), "chumpy selection")
        if math.prod(shape) != index.size:
            fail("chumpy selection")
        return source[index.ravel()].reshape(shape)
    raise ArrayFileError("a chumpy expression, not an array: save the model with plain arrays.")


def _convert_sparse(value: KeptSparse, depth: int) -> np.ndarray:
    """Make a dense array from the state of a sparse matrix; SciPy never sees it."""
    state = value.state if isinstance(value.state, dict) else {}
    shape = _shape(state.get("_shape", state.get("shape")), "sparse matrix")
    if len(shape) != 2 or math.prod(shape) * 8 > _MAX_DENSE_BYTES:
        fail("sparse matrix")
    numbers = _convert(state.get("data"), depth + 1).ravel()
    if value.layout == "coo":
        coords = state.get("coords", (state.get("row"), state.get("col")))
        if not (isinstance(coords, tuple) and len(coords) == 2):
            fail("sparse matrix")
        rows, columns = (_convert(one, depth + 1).ravel() for one in coords)
    else:
        minor, pointers = (_convert(state.get(name), depth + 1).ravel() for name in ("indices", "indptr"))
        major = _expand_pointers(pointers, shape[1] if value.layout == "csc" else shape[0], len(numbers))
        rows, columns = (minor, major) if value.layout == "csc" else (major, minor)
    for index, size in ((rows, shape[0]), (columns, shape[1])):
        if index.dtype.kind not in "iu" or len(index) != len(numbers):
            fail("sparse matrix")
        if len(index) and not 0 <= index.min() <= index.max() < size:
            fail("sparse matrix")
    dense = np.zeros(shape)
    np.add.at(dense, (rows, columns), numbers)
    return dense


def _expand_pointers(pointers: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return the column (CSC) or row (CSR) of each of `count` numbers from the pointers to where each begins."""
    if (
        pointers.dtype.kind not in "iu"
        or len(pointers) != size + 1
        or pointers[0] != 0
        or pointers[-1] != count
        or (np.diff(pointers.astype(np.int64)) < 0).any()
    ):
        fail("sparse matrix")
    return np.repeat(np.arange(size), np.diff(pointers.astype(np.int64)))


def _shape(shape: Any, what: str) -> tuple[int, ...]:
    """Return a shape that a pickle gives, if it is one; SciPy's may hold NumPy scalars."""
    if isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS:
        shape = tuple(_convert(size).item() if isinstance(size, KeptScalar) else size for size in shape)
    if not is_shape(shape):
        fail(what)
    return shape


def _numbers(data: Any, kind: Any, shape: tuple[int, ...], *, fortran: bool) -> np.ndarray:
    """Make an array from its bytes, in whichever way a protocol writes them, and its dtype."""
    if not isinstance(kind, KeptDType):
        fail("array")
    code, order = kind.arguments[0] if kind.arguments else None, "|"
    if isinstance(kind.state, tuple) and len(kind.state) >= 2:
        order = kind.state[1]
    if not isinstance(code, str) or not isinstance(order, str):
        fail("dtype")
    if code not in DTYPES or order not in ("<", ">", "=", "|"):
        raise ArrayFileError(f"an array of dtype {code[:20]!r}, which is refused: expected numbers.")
    if isinstance(data, KeptText):
        if data.arguments and (len(data.arguments) != 2 or data.arguments[1] not in ("latin1", "latin-1")):
            fail("array")
        data = data.arguments[0] if data.arguments else b""
    if isinstance(data, str):
        try:
            data = data.encode("latin1")
        except UnicodeEncodeError:
            fail("array")
    if not isinstance(data, bytes | bytearray):
        fail("array")
    return make_array(data, np.dtype(order + code), shape, fortran=fortran, where="array")
