"""Arrays out of files that others made: `.npy`, `.npz`, JSON and Python pickles. No code of theirs is run.

A pickle is a program. `read_pickle` runs it with empty hands: the names that it may use (NumPy's arrays, scalars and
dtypes, SciPy's sparse matrices, chumpy's arrays, in the module paths of all their versions, and OrderedDict) stand for
classes of this file that only keep what they are given; every other name is refused and named in the error. NumPy's, SciPy's and chumpy's own
unpickling is never reached. Sizes are checked before memory is asked for: a header that lies costs nothing. What is
hashed, compared or put into a message is small: nested tuples that share their parts take for ever.
"""

import contextlib
import io
import json
import math
import os
import pathlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from types import NoneType
from typing import Any, ClassVar, NoReturn

import numpy as np

from san_jax import file_kinds

MAX_FILE_BYTES = 1 << 30  # SMPL v1.1.0 with 300 shape directions is 250 MB
_MAX_CONTAINERS = 30_000_000  # 56 bytes each; EFT's fits have about 100 lists each, COCO's annotations four
_MAX_OPCODES = 1_000_000  # SMPL's pickles have a few thousand
_MAX_DENSE_BYTES = 1 << 28  # of a sparse matrix; SMPL's largest has 1.3 MB
_MAX_DIMENSIONS, _MAX_SIZE = 8, 1 << 40  # of a shape
_DTYPES = {
    f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items() for size in sizes
}


class ArrayFileError(ValueError):
    """A file that is missing, too large, malformed or that asks for more than arrays. The message names the file."""


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file of at most `max_bytes`.

    Raises:
        ArrayFileError: It does not exist, cannot be read or is larger.
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


def is_zip(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a zip archive, such as a `.npz`, whatever its name is; False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a `.npy` file; arrays of Python objects are refused, but see `_parse_npy`.

    Raises:
        ArrayFileError: The file is missing, malformed or holds objects.
    """
    return _parse_npy(read_bytes(path), str(path))


def npz_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the arrays in a `.npz` file, sorted.

    Raises:
        ArrayFileError: The file is missing or no zip file.
    """
    with _open_npz(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def npz_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays in a `.npz` file, from their headers.

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
    """Those of the named arrays that a `.npz` file holds; what else is in it is not looked at.

    Raises:
        ArrayFileError: The file is missing or malformed, or one of these arrays holds Python objects.
    """
    return dict(iterate_npz(path, names))


def iterate_npz(path: str | os.PathLike[str], names: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """`read_npz`, one (name, array) after the other, for files larger than the memory."""
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


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int, where: str) -> bytes:
    # NumPy writes no others, and Python decompresses them in pieces of any size: 2 kB may become gigabytes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArrayFileError(f"{where}: compressed by method {info.compress_type}, expected stored or deflated.")
    try:
        with archive.open(info) as member:
            return member.read(max_bytes)
    except Exception as error:  # zipfile's and zlib's errors share no base class
        raise ArrayFileError(f"{where}: damaged ({_first_line(error)}).") from None


def read_json(path: str | os.PathLike[str], object_hook: Callable[[dict[str, Any]], Any]) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        object_hook: Makes each object smaller as soon as it is read, see `json.loads`.

    Raises:
        ArrayFileError: The file is missing, too large, no JSON, or holds NaN or infinities.
    """
    data = read_bytes(path)
    found = data.count(b"[") + data.count(b"{")
    if found > _MAX_CONTAINERS:
        raise ArrayFileError(f"{path}: {found:,} lists and objects; this cannot be the file that is meant.")
    try:
        return json.loads(data, object_hook=object_hook, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArrayFileError(f"{path}: not JSON{_found(data, error)}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _found(data: bytes, error: Exception, kind_of_error: str = "") -> str:
    """What a file is that is not of the format that was expected; the reader's own words where its kind is unknown."""
    return file_kinds.found(data) or f" ({kind_of_error}{kind_of_error and ': '}{_first_line(error)})"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _open_npz(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    path = pathlib.Path(path)
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise ArrayFileError(f"{path}: cannot be read ({error.strerror}).") from None
    except Exception as error:  # besides BadZipFile, what a damaged directory makes of struct and of decoding
        what = file_kinds.found(file_kinds.read_start(path)) or f": {_first_line(error)}"
        raise ArrayFileError(f"{path}: no .npz file (not a zip archive{what}).") from None


def _parse_header(stream: io.BytesIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and dtype of `.npy` data; the stream then stands at the numbers."""
    try:
        version = np.lib.format.read_magic(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of Python 2, as SURREAL's and SPIN's, are no fault of the user's
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(stream)
            return np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # the header is a Python expression: its errors share no base class
        raise ArrayFileError(f"{where}: no .npy data{_found(stream.getvalue(), error)}.") from None


def _parse_npy(data: bytes, where: str) -> np.ndarray:
    """An array from the bytes of a `.npy` file, which it shares: no header can ask for more memory than was read.

    NumPy stores whatever is no array, such as the sparse matrix of a model saved with `np.savez`, as an array of shape ()
    with one object, a pickle. It is read as `read_pickle` reads one.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = _parse_header(stream, where)
    if dtype.hasobject and shape == ():
        pickled = data[stream.tell() :]
        with _naming(where, pickled):
            return _convert(_unpickle(pickled))
    if dtype.hasobject:
        raise ArrayFileError(
            f"{where}: an array of Python objects, which only running a pickle could read; it is refused. "
            "Save it as an array of numbers."
        )
    return _array(data[stream.tell() :], dtype, shape, fortran, where)


def _array(data: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, where: str) -> np.ndarray:
    if dtype.names or dtype.subdtype or dtype.str[1:] not in _DTYPES | {"b1"}:
        raise ArrayFileError(f"{where}: expected numbers, found dtype {dtype}.")
    if not _is_shape(shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ArrayFileError(f"{where}: the header promises {dtype} {list(shape)}, {len(data):,} bytes are there.")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _is_shape(shape: Any) -> bool:
    """Whether these are sizes of an array; they are small enough to multiply and to print."""
    return (
        isinstance(shape, tuple)
        and len(shape) <= _MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in shape)
    )


# ---------------------------------------------------------------------------------------------------------- pickles


def read_pickle(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that a pickled dictionary holds, sparse matrices made dense.

    Written for SMPL's files: Python 2 pickles whose values are NumPy arrays, SciPy sparse matrices and chumpy arrays, and
    the same saved again by Python 3 with any protocol. Strings are read as Latin-1, as NumPy asks for Python 2.

    Raises:
        ArrayFileError: The file is missing, malformed, no dictionary, or asks for anything but arrays; the error names
            what it asked for.
    """
    data = read_bytes(path)
    with _naming(str(path), data):
        found = _unpickle(data)
        if not isinstance(found, dict):
            raise ArrayFileError(f"expected a dictionary, found {_kind(found)}.")
        result = {}
        for name in names:
            if name in found:
                try:
                    result[name] = _convert(found[name])
                except ArrayFileError as error:
                    raise ArrayFileError(f"{name}: {error}") from None
        return result


@contextlib.contextmanager
def _naming(where: str, data: bytes) -> Iterator[None]:
    """Turns whatever goes wrong with a file of these bytes into an ArrayFileError that says where."""
    try:
        yield
    except ArrayFileError as error:
        raise ArrayFileError(f"{where}: {error}") from None
    except MemoryError:
        raise ArrayFileError(f"{where}: damaged, or made to exhaust the memory.") from None
    except Exception as error:  # what a damaged or hostile program makes of the unpickler is without limit
        raise ArrayFileError(f"{where}: not a readable pickle{_found(data, error, type(error).__name__)}.") from None


def _unpickle(data: bytes) -> Any:
    """What a pickle makes of the classes of this file."""
    _scan(data)
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def _kind(value: Any) -> str:
    """What messages call the type of a value."""
    return type(value).__name__.strip("_").lower()


def _scan(data: bytes) -> None:
    """Reads the program without running it: every length must be there, and nothing is asked that SMPL does not."""
    refused = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in refused:
            raise ArrayFileError(f"the pickle uses {opcode.name}, which is refused: no array needs it.")
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > count + 1:
            raise ArrayFileError(
                f"the pickle asks for memo {argument:,} at operation {count:,}: made to exhaust memory."
            )
        if count >= _MAX_OPCODES:
            raise ArrayFileError(f"the pickle has more than {_MAX_OPCODES:,} operations.")


class _Kept:
    """An object of the pickle's as data: what it was made from and its state. It does nothing with them.

    Having `__setstate__`, neither it nor its class lets a pickle set attributes.
    """

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        self.state: Any = None

    def __new__(cls, *arguments: Any):
        self = object.__new__(cls)
        self.arguments, self.state = arguments, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Kept):
    """numpy.ndarray; its state is (version, shape, dtype, fortran, data)."""

    __slots__ = ()


class _FromBuffer(_Kept):
    """numpy.core.numeric._frombuffer(data, dtype, shape, order, axis order), as protocol 5 makes arrays."""

    __slots__ = ()


class _Scalar(_Kept):
    """numpy.core.multiarray.scalar(dtype, data)."""

    __slots__ = ()


class _DType(_Kept):
    """numpy.dtype(code, align, copy); its state is (version, byte order, ...)."""

    __slots__ = ()


class _Sparse(_Kept):
    """A matrix of scipy.sparse; its state is its __dict__. Subclasses name the format."""

    __slots__ = ()


class _Csc(_Sparse):
    __slots__ = ()


class _Csr(_Sparse):
    __slots__ = ()


class _Coo(_Sparse):
    __slots__ = ()


class _Chumpy(_Kept):
    """A chumpy object; its state is its __dict__: `x` of an array, `a` and `idxs` of a selection from another."""

    __slots__ = ()


class _Text(_Kept):
    """_codecs.encode(text, "latin1"), or bytes() where they are empty, as Python 3 writes bytes in old protocols."""

    __slots__ = ()


class _Reconstruct(_Kept):
    """numpy.core.multiarray._reconstruct(ndarray, (0,), "b"): an array yet without content."""

    __slots__ = ()

    def __new__(cls, *arguments: Any):
        return _Array.__new__(_Array, *arguments)


class _CopyRegReconstruct(_Kept):
    """copy_reg._reconstructor(class, object, None), as protocols 0 and 1 make objects."""

    __slots__ = ()

    def __new__(cls, *arguments: Any):
        kind = arguments[0] if arguments else None
        if not (isinstance(kind, type) and issubclass(kind, _Sparse | _Chumpy)):
            raise ArrayFileError("the pickle reconstructs something that is no array.")
        return kind.__new__(kind)


class _Plain(_Kept):
    """`set` and `object`, which chumpy's state holds and nobody reads."""

    __slots__ = ()


class _OrderedDict(dict[Any, Any]):
    """collections.OrderedDict; Python 2 hands it its items as lists of key and value."""

    __slots__ = ()

    def __init__(self, *arguments: Any):
        super().__init__()
        items = arguments[0] if arguments else []
        if len(arguments) > 1 or not (
            isinstance(items, list) and all(isinstance(item, list | tuple) and len(item) == 2 for item in items)
        ):
            _fail("OrderedDict")
        _check_hashed([key for key, _ in items])
        self.update(items)

    def __setstate__(self, state: Any) -> None:
        """Drops attributes, see `_Kept`."""


_NAMES: tuple[tuple[str, str, type[Any]], ...] = (
    (r"numpy\._?core\.multiarray", "_reconstruct", _Reconstruct),
    (r"numpy\._?core\.numeric", "_frombuffer", _FromBuffer),
    (r"numpy\._?core\.multiarray", "scalar", _Scalar),
    (r"numpy", "ndarray", _Array),
    (r"numpy(\.matrixlib\.defmatrix)?", "matrix", _Array),  # what todense() of a sparse matrix returns
    (r"numpy", "dtype", _DType),
    (r"scipy\.sparse(\._?csc)?", "csc_(matrix|array)", _Csc),
    (r"scipy\.sparse(\._?csr)?", "csr_(matrix|array)", _Csr),
    (r"scipy\.sparse(\._?coo)?", "coo_(matrix|array)", _Coo),
    (r"chumpy(\.ch)?", "Ch|MatVecMult", _Chumpy),
    (r"chumpy(\.reordering)?", "Select|[Rr]eshape|[Rr]avel|[Tt]ranspose|[Cc]oncatenate", _Chumpy),
    (r"chumpy(\.ch_ops)?", "add|subtract|multiply|divide|dot|sum", _Chumpy),
    (r"_codecs", "encode", _Text),
    (r"__builtin__|builtins", "bytes", _Text),
    (r"copy_reg|copyreg", "_reconstructor", _CopyRegReconstruct),
    (r"collections", "OrderedDict", _OrderedDict),
    (r"__builtin__|builtins", "set|object", _Plain),
)


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python, so that keys and members can be looked at before they are hashed."""

    # Read by the base class: opcode -> function of the unpickler.
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    stack: list[Any]

    def find_class(self, module: str, name: str) -> type[Any]:
        for modules, names, stand_in in _NAMES:
            if re.fullmatch(modules, module) and re.fullmatch(names, name):
                return stand_in
        raise ArrayFileError(
            f"the pickle asks for {module}.{name}, which is refused: only NumPy arrays, SciPy sparse matrices and "
            "chumpy arrays are read, as data. Get the file again from its authors; do not open this one with pickle."
        )


def _check_hashed(values: list[Any]) -> None:
    """Refuses what takes long to hash (tuples of tuples) or can be made to collide (large integers)."""
    for value in values:
        small = abs(value) < 1 << 32 if isinstance(value, int) else isinstance(value, str | bytes | float | NoneType)
        if not small:
            raise ArrayFileError(
                f"the pickle has a key or a member of a set that is no text or small number ({type(value).__name__}), "
                "which is refused: no array needs it."
            )


def _check_before(opcode: bytes, hashed: slice) -> None:
    """Has the unpickler look at the part of its stack that an operation will hash."""
    load = _Unpickler.dispatch[opcode[0]]

    def load_checked(unpickler: _Unpickler) -> None:
        _check_hashed(unpickler.stack[hashed])
        load(unpickler)

    _Unpickler.dispatch[opcode[0]] = load_checked


_check_before(pickle.SETITEM, slice(-2, -1))
# For these the stack begins at the mark.
_check_before(pickle.SETITEMS, slice(None, None, 2))
_check_before(pickle.DICT, slice(None, None, 2))
_check_before(pickle.ADDITEMS, slice(None))
_check_before(pickle.FROZENSET, slice(None))


def _fail(what: str) -> NoReturn:
    raise ArrayFileError(f"malformed {what} in the pickle.")


def _convert(value: Any, depth: int = 0) -> np.ndarray:
    """An array from what was kept of it."""
    if depth > 4:
        _fail("chain of arrays")
    if isinstance(value, _Array):
        return _convert_array(value, depth)
    if isinstance(value, _FromBuffer):
        return _convert_buffer(value)
    if isinstance(value, _Scalar):
        if len(value.arguments) != 2:
            _fail("scalar")
        kind, data = value.arguments
        return _numbers(data, kind, (), False)
    if isinstance(value, _Sparse):
        return _convert_sparse(value, depth)
    if isinstance(value, _Chumpy):
        state = value.state if isinstance(value.state, dict) else {}
        if "x" in state:
            return _convert(state["x"], depth + 1)
        if "a" in state and "idxs" in state:
            source, index = _convert(state["a"], depth + 1).ravel(), _convert(state["idxs"], depth + 1)
            if index.dtype.kind not in "iu" or (index.size and not 0 <= index.min() <= index.max() < source.size):
                _fail("chumpy selection")
            shape = _shape(state.get("preferred_shape", index.shape), "chumpy selection")
            if math.prod(shape) != index.size:
                _fail("chumpy selection")
            return source[index.ravel()].reshape(shape)
        raise ArrayFileError("a chumpy expression, not an array: save the model with plain arrays.")
    raise ArrayFileError(f"expected an array, found {_kind(value)}.")


def _shape(shape: Any, what: str) -> tuple[int, ...]:
    """The shape, if it is one; SciPy's may hold NumPy scalars."""
    if isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS:
        shape = tuple(_convert(size).item() if isinstance(size, _Scalar) else size for size in shape)
    if not _is_shape(shape):
        _fail(what)
    return shape


def _convert_array(value: _Array, depth: int) -> np.ndarray:
    state = value.state
    if not (isinstance(state, tuple) and len(state) == 5):
        _fail("array")
    _, shape, kind, fortran, data = state
    if isinstance(data, list) and len(data) == 1 and shape == ():  # one object, see `_parse_npy`
        return _convert(data[0], depth + 1)
    return _numbers(data, kind, _shape(shape, "array"), bool(fortran))


def _convert_buffer(value: _FromBuffer) -> np.ndarray:
    if len(value.arguments) not in (4, 5):
        _fail("array")
    data, kind, shape, order, *axes = value.arguments
    shape = _shape(shape, "array")
    array = _numbers(data, kind, shape, order == "F")
    if order == "K":
        axes = _shape(axes[0] if axes else None, "array")
        if sorted(axes) != list(range(len(shape))):
            _fail("array")
        return array.transpose(axes)
    if order not in ("C", "F"):
        _fail("array")
    return array


def _numbers(data: Any, kind: Any, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    """An array from its bytes, in whichever way a protocol writes them, and its dtype."""
    if not isinstance(kind, _DType):
        _fail("array")
    code, order = kind.arguments[0] if kind.arguments else None, "|"
    if isinstance(kind.state, tuple) and len(kind.state) >= 2:
        order = kind.state[1]
    if not isinstance(code, str) or not isinstance(order, str):
        _fail("dtype")
    if code not in _DTYPES or order not in ("<", ">", "=", "|"):
        raise ArrayFileError(f"an array of dtype {code[:20]!r}, which is refused: expected numbers.")
    if isinstance(data, _Text):
        if data.arguments and (len(data.arguments) != 2 or data.arguments[1] not in ("latin1", "latin-1")):
            _fail("array")
        data = data.arguments[0] if data.arguments else b""
    if isinstance(data, str):
        try:
            data = data.encode("latin1")
        except UnicodeEncodeError:
            _fail("array")
    if not isinstance(data, bytes | bytearray):
        _fail("array")
    return _array(data, np.dtype(order + code), shape, fortran, "array")


def _convert_sparse(value: _Sparse, depth: int) -> np.ndarray:
    """A dense array from the state of a sparse matrix; SciPy never sees it."""
    state = value.state if isinstance(value.state, dict) else {}
    shape = _shape(state.get("_shape", state.get("shape")), "sparse matrix")
    if len(shape) != 2 or math.prod(shape) * 8 > _MAX_DENSE_BYTES:
        _fail("sparse matrix")
    numbers = _convert(state.get("data"), depth + 1).ravel()
    if isinstance(value, _Coo):
        coords = state.get("coords", (state.get("row"), state.get("col")))
        if not (isinstance(coords, tuple) and len(coords) == 2):
            _fail("sparse matrix")
        rows, columns = (_convert(one, depth + 1).ravel() for one in coords)
    else:
        minor, pointers = (_convert(state.get(name), depth + 1).ravel() for name in ("indices", "indptr"))
        major_size = shape[1] if isinstance(value, _Csc) else shape[0]
        if (
            pointers.dtype.kind not in "iu"
            or len(pointers) != major_size + 1
            or pointers[0] != 0
            or pointers[-1] != len(numbers)
            or (np.diff(pointers.astype(np.int64)) < 0).any()
        ):
            _fail("sparse matrix")
        major = np.repeat(np.arange(major_size), np.diff(pointers.astype(np.int64)))
        rows, columns = (minor, major) if isinstance(value, _Csc) else (major, minor)
    for index, size in ((rows, shape[0]), (columns, shape[1])):
        if index.dtype.kind not in "iu" or len(index) != len(numbers):
            _fail("sparse matrix")
        if len(index) and not 0 <= index.min() <= index.max() < size:
            _fail("sparse matrix")
    dense = np.zeros(shape)
    np.add.at(dense, (rows, columns), numbers)
    return dense
