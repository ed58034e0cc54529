"""Files of PyTorch weights, read without PyTorch: `torch.save`'s two formats (zip and legacy) and safetensors.

A `torch.save` file is a pickle, which is a program, with the tensors' numbers beside it. Here it is run by a machine of
its own that knows the few operations and names that tensors and plain containers need. It looks nothing up and calls
nothing of the file's choosing: any other name or operation is refused and named in the error. Sizes are compared with
what is there before memory is asked for. What training programs save beside the weights becomes plain values:
`numpy.float64` and such (the best score) a number; Counter and defaultdict (of schedulers and optimizers) and
argparse.Namespace (the arguments) a dictionary; a set a list; a path, device or dtype a text.

Formats: `torch/serialization.py` and `torch/_utils.py` of PyTorch 0.1.6 to 2.13 (before 0.4, tensors and parameters were
objects that got their state afterwards); PEP 307 and 3154; safetensors' README.
"""

import dataclasses
import io
import math
import os
import pathlib
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
import safetensors

from san_jax import file_kinds

MAX_FILE_BYTES = 1 << 31  # ResNet-101 has 180 MB
_MAX_PICKLE_BYTES = 1 << 26  # without the numbers; DenseNet-121's has 60 kB
_MAX_WORK = 1_000_000  # operations of the pickle and members of its containers; DenseNet-121's has 50,000
_MAX_DEPTH = 8  # of containers in containers
_MAX_ZIP_MEMBERS = 100_000
_MAX_DIMENSIONS, _MAX_SIZE = 8, 1 << 40  # of a shape
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

# What follows "torch." in the name of a storage -> its numbers on disk. BFLOAT16 is the upper half of a float32.
BFLOAT16 = "bfloat16"
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "<u1",
}
_SCALARS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class TorchFileError(ValueError):
    """A file of weights that is missing, damaged or asks for more than tensors. The message names the file."""


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dictionary that was saved, in any of the formats; which one is told by the file's content.

    Args:
        path: A `.pth`, `.pth.tar`, `.pt` or `.safetensors` file.

    Returns:
        Name -> array for a state dict; a checkpoint may hold numbers, text, None, lists, tuples and dictionaries beside
        and around them. Arrays are read-only and may share memory; bfloat16 becomes float32 (exactly), bool uint8.

    Raises:
        TorchFileError: The file is missing, larger than 2 GiB, damaged, no such file, holds no dictionary, or asks for
            anything but tensors and plain containers.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size) if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise TorchFileError(f"{path}: cannot be read ({error.strerror}).") from None
    if size > MAX_FILE_BYTES:
        raise TorchFileError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes; this cannot be the file that is meant.")
    try:
        if data.startswith(b"PK"):
            content = _read_zip(data)
        elif data.startswith(b"\x80"):
            content = _read_legacy(data)
        elif data[8:9] == b"{":
            content = _read_safetensors(data)
        else:
            what = file_kinds.found(data) or ", found neither"
            _fail(f"expected a file of torch.save (zip or legacy) or of safetensors{what}.")
    except TorchFileError as error:
        raise TorchFileError(f"{path}: {error}") from None
    except MemoryError:
        raise TorchFileError(f"{path}: damaged, or made to exhaust the memory.") from None
    except (
        Exception
    ) as error:  # what a damaged or hostile file makes of zipfile, pickletools and NumPy is without limit
        what = ascii(str(error))[1:200]
        raise TorchFileError(f"{path}: damaged ({type(error).__name__}: {what}). Fetch it again.") from None
    return content


def _fail(what: str) -> NoReturn:
    raise TorchFileError(what)


def _decode(data: bytes | bytearray | memoryview, kind: str) -> np.ndarray:
    """Numbers from their bytes; only bfloat16 is copied."""
    if kind == BFLOAT16:
        array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        array = np.frombuffer(data, kind)
    array.flags.writeable = False
    return array


def _item_size(kind: str) -> int:
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


# ------------------------------------------------------------------------------------------------------------ formats


def _read_safetensors(data: bytes) -> dict[str, Any]:
    # What `safetensors.numpy.load` does, which knows no bfloat16.
    arrays = {}
    for name, tensor in safetensors.deserialize(data):
        if tensor["dtype"] not in _SAFETENSORS:
            _fail(f"{_quote(name)} is of type {tensor['dtype']}, expected one of {', '.join(_SAFETENSORS)}.")
        arrays[name] = _decode(tensor["data"], _SAFETENSORS[tensor["dtype"]]).reshape(tensor["shape"])
    return arrays


def _read_zip(data: bytes) -> dict[str, Any]:
    """`<name>/data.pkl` beside `<name>/data/<key>` for each storage, all of them stored without compression."""
    if data.count(b"PK\x01\x02") > _MAX_ZIP_MEMBERS:  # zipfile keeps an object for each
        _fail(f"a zip archive of more than {_MAX_ZIP_MEMBERS:,} members.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        sizes = {member.filename: member.file_size for member in members}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members) or sum(sizes.values()) > len(data):
            _fail("a zip archive with compressed or overlapping members, which torch.save does not write.")
        programs = [name for name in sizes if name.endswith("/data.pkl")]
        if len(sizes) != len(members) or len(programs) != 1:
            _fail("a zip archive, but not of torch.save: expected one data.pkl in it.")
        folder = programs[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in sizes and archive.read(f"{folder}byteorder") != b"little":
            _fail("saved on a big-endian machine, which is not read.")
        if sizes[programs[0]] > _MAX_PICKLE_BYTES:
            _fail(f"its data.pkl is larger than {_MAX_PICKLE_BYTES:,} bytes.")
        root, _ = _run(io.BytesIO(archive.read(programs[0])))

        def load(key: str, num_bytes: int) -> bytes:
            name = f"{folder}data/{key}"
            if sizes.get(name) != num_bytes:
                _fail(f"its pickle promises {num_bytes:,} bytes in {_quote(name)}, found {sizes.get(name, 'none')}.")
            return archive.read(name)

        return _resolve(root, load)


def _read_legacy(data: bytes) -> dict[str, Any]:
    """Five pickles (magic number, protocol, facts on the machine, content, keys of storages), then the storages."""
    stream = io.BytesIO(data[:_MAX_PICKLE_BYTES])
    if _run(stream)[0] != _LEGACY_MAGIC:
        _fail("a pickle, but not of torch.save: its magic number is missing.")
    (protocol, _), (machine, _), (root, storages), (keys, _) = (_run(stream) for _ in range(4))
    if protocol != _LEGACY_PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        _fail("expected torch.save's legacy format 1001 of a little-endian machine.")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        _fail("damaged: the list of its storages is missing.")
    item_sizes = {storage.key: _item_size(storage.kind) for storage in storages}
    position, parts = stream.tell(), {}
    for key in keys:
        if key not in item_sizes or key in parts:
            _fail(f"damaged: its storage {_quote(key)} is not that of a tensor, or is there twice.")
        count = int.from_bytes(data[position : position + 8], "little")
        position, size = position + 8, count * item_sizes[key]
        if size > len(data) - position:
            _fail(f"its storage {_quote(key)} promises {size:,} bytes, {max(0, len(data) - position):,} are left.")
        parts[key] = (position, size)
        position += size
    if position != len(data):
        _fail(f"damaged: {len(data) - position:,} bytes follow the last storage.")

    def load(key: str, num_bytes: int) -> memoryview:
        start, size = parts.get(key, (0, None))
        if size != num_bytes:
            _fail(f"its pickle promises {num_bytes:,} bytes in storage {_quote(key)}, found {size or 'none'}.")
        return memoryview(data)[start : start + num_bytes]

    return _resolve(root, load)


# ------------------------------------------------------------------------------------------------------------ pickles


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Name:
    """A global that the pickle asks for: nothing is looked up."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Storage:
    """The one-dimensional array under tensors: `size` numbers of a `kind`, kept under `key` in the file."""

    kind: str
    key: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    """A view of a storage: all four in numbers of it, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(slots=True, eq=False)
class _Wrapped:
    """A Parameter, Variable or typed tensor of an old file: empty until it is built."""

    tensor: _Tensor | None


@dataclasses.dataclass(slots=True, eq=False)
class _DType:
    """numpy.dtype; its byte order comes later."""

    code: str
    order: str = "|"


class _Namespace(dict[str, Any]):
    """An argparse.Namespace; its attributes come afterwards."""


_WRAPPERS = {
    ("torch.nn.parameter", "Parameter"),
    ("torch.autograd.variable", "Variable"),
    *((module, name.replace("Storage", "Tensor")) for module in ("torch", "torch.cuda") for name in _STORAGES),
}
_BUILTINS = ("builtins", "__builtin__")  # of Python 3 and 2
_PATH_MODULES = ("pathlib", "pathlib._local")  # before Python 3.13 and in it
_FACTORIES = {"dict", "list", "int", "float"}  # that a defaultdict names; none is called
_DTYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}  # torch's
_CALLED = {
    *_WRAPPERS,
    ("collections", "OrderedDict"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("argparse", "Namespace"),
    *((module, name) for module in _BUILTINS for name in ("set", "frozenset")),
    *((module, name) for module in _PATH_MODULES for name in ("PosixPath", "WindowsPath")),
    ("torch", "device"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch", "Size"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


def _run(stream: io.BytesIO) -> tuple[Any, list[_Storage]]:
    """Runs the next pickle of a stream, with empty hands; the stream then stands behind it.

    Returns:
        Numbers, text, bytes, None, lists, tuples and dictionaries (with keys that are text or small integers) of them
        and of the classes above, which may contain themselves; and all storages that it named.
    """
    machine = _Machine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of text with odd escapes, which a damaged file may have
        machine.run(pickletools.genops(stream))
    (result,) = machine.stack
    return result, machine.storages


class _Machine:
    """The state of a pickle that is run: a stack of values, where lists on it begin, and what is remembered."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: list[_Storage] = []
        self.work = 0

    def run(self, operations: Iterator[tuple[Any, Any, Any]]) -> None:
        """Does (operation, argument, _) after (operation, argument, _), until one says to stop."""
        for opcode, argument, _ in operations:
            name = opcode.name
            self.count(1)
            if name == "STOP":
                return
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _ARGUMENTS:
                self.stack.append(argument)
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name in _TUPLES:
                self.stack.append(tuple(self.pop(_TUPLES[name])))
            elif name == "MARK":
                self.marks.append(len(self.stack))
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            elif name in ("TUPLE", "LIST"):
                items = self.pop_to_mark()
                self.stack.append(tuple(items) if name == "TUPLE" else items)
            elif name == "FROZENSET":
                self.stack.append(self.pop_to_mark())
            elif name in ("APPEND", "APPENDS", "ADDITEMS"):
                items = self.pop(1) if name == "APPEND" else self.pop_to_mark()
                self.top(list).extend(items)
            elif name in ("SETITEM", "SETITEMS"):
                items = self.pop(2) if name == "SETITEM" else self.pop_to_mark()
                self.set_items(zip(items[::2], items[1::2], strict=True))
            elif name == "GLOBAL":
                self.stack.append(_admit(*argument.split(" ", 1)))
            elif name == "STACK_GLOBAL":
                self.stack.append(_admit(*self.pop(2)))
            elif name in ("REDUCE", "NEWOBJ"):
                function, arguments = self.pop(2)
                self.call(function, arguments)
            elif name == "BINPERSID":
                self.storages.append(_storage(*self.pop(1)))
                self.stack.append(self.storages[-1])
            elif name == "BUILD":
                (state,) = self.pop(1)
                target = self.top(dict | _DType | _Wrapped)
                if isinstance(target, _DType):
                    target.order = _check(state[1], str)
                elif isinstance(target, _Namespace):
                    target.update(_check(state, dict))
                elif isinstance(target, _Wrapped) and len(state) != 3:  # three say whether it was to be trained
                    target.tensor = _tensor(*state) if len(state) == 4 else _unwrap(state[0])
                # Of a dictionary: OrderedDict's attributes, where PyTorch notes versions of modules.
            elif name not in ("PROTO", "FRAME"):
                _fail(f"its pickle uses the operation {name}, which is refused: no tensor needs it.")

    def count(self, work: int) -> None:
        self.work += work
        if self.work > _MAX_WORK:
            _fail(f"its pickle takes more than {_MAX_WORK:,} operations.")

    def pop(self, count: int) -> list[Any]:
        """The topmost values, the lowest first."""
        items = self.stack[-count:]
        if len(items) < count:
            _fail("damaged: its pickle takes values that are not there.")
        del self.stack[-count:]
        return items

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: Any) -> Any:
        return _check(self.stack[-1], kind)

    def set_items(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        target = self.top(dict)
        for key, value in pairs:
            # What is hashed is small, and cannot be made to collide.
            if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 1 << 32):
                _fail(f"a dictionary in it has a key that is no text or small number ({type(key).__name__}).")
            target[key] = value

    def call(self, function: Any, arguments: Any) -> None:
        """Puts on the stack what a global makes of its arguments."""
        function, arguments = _check(function, _Name), _check(arguments, tuple)
        if (function.module, function.name) in _WRAPPERS:
            self.stack.append(_Wrapped(_unwrap(arguments[0]) if arguments else None))
            return
        match function.name:
            case "OrderedDict":
                self.stack.append({})
                if arguments:  # as Python 2 writes it
                    pairs = _check(arguments[0], list | tuple)
                    self.count(len(pairs))
                    self.set_items(_check(pair, list | tuple) for pair in pairs)
            case "Counter":
                self.stack.append(_check(arguments[0], dict) if arguments else {})
            case "defaultdict":
                self.stack.append({})
            case "Namespace":
                self.stack.append(_Namespace())
            case "set" | "frozenset":
                self.stack.append(_check(arguments[0], list) if arguments else [])
            case "PosixPath" | "WindowsPath" | "device":
                self.stack.append(_join(function.name, arguments))
            case "_rebuild_tensor" | "_rebuild_tensor_v2":
                self.stack.append(_tensor(*arguments[:4]))
            case "_rebuild_parameter" | "_rebuild_parameter_with_state":
                self.stack.append(_unwrap(arguments[0]))
            case "Size":
                self.stack.append(_check(arguments[0], tuple))
            case "dtype":
                self.stack.append(_DType(_check(arguments[0], str)))
            case "encode":  # as protocol 2 writes bytes
                text = _check(arguments[0], str)
                if len(text) > 8:
                    _fail("it holds bytes that are no number.")
                self.stack.append(text.encode("latin-1"))
            case "scalar":
                self.stack.append(_scalar(*arguments))
            case _:
                _fail(f"its pickle calls {function.module}.{function.name}, which is refused.")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,  # its members need not be hashed
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _check(value: Any, kind: Any) -> Any:
    """The value, if it is of a kind."""
    if not isinstance(value, kind):
        _fail(f"damaged: its pickle has a {type(value).__name__.strip('_').lower()} where it cannot be.")
    return value


def _quote(text: str) -> str:
    """Text of a file for a message: short, and without what a terminal would obey."""
    return ascii(text[:80])


def _join(kind: str, parts: tuple[Any, ...]) -> str:
    """A path's or device's text."""
    texts = [str(_check(part, str | int)) for part in parts]
    if kind == "device":
        return ":".join(texts)
    return str(pathlib.PurePosixPath(*texts) if kind == "PosixPath" else pathlib.PureWindowsPath(*texts))


def _admit(module: Any, name: Any) -> _Name | str:
    """A global that tensors and plain containers need; all others are refused."""
    module, name = _check(module, str), _check(name, str)
    if module == "torch" and name in _DTYPES:
        return name
    if module in _BUILTINS and name in _FACTORIES:
        return _Name(module, name)
    if (module, name) in _CALLED or (module in ("torch", "torch.cuda") and name in _STORAGES):
        return _Name(module, name)
    _fail(
        f"its pickle asks for {_quote(f'{module}.{name}')}, which is refused: only tensors, numbers, text and plain "
        "containers of them are read. Save its state_dict() alone."
    )


def _storage(identity: Any) -> _Storage:
    """From the identity ("storage", type, key, device, size) that stands for it; legacy files add a view, None."""
    tag, kind, key, _, size, *views = _check(identity, tuple)
    kind = _check(kind, _Name)
    if tag != "storage" or kind.name not in _STORAGES or any(view is not None for view in views):
        _fail("it holds an object that is kept beside the pickle and is no storage, or is a view of one.")
    if not _are_sizes((size,)):
        _fail("damaged: a storage has an impossible size.")
    return _Storage(_STORAGES[kind.name], _check(key, str), size)


def _are_sizes(sizes: tuple[Any, ...]) -> bool:
    """Small enough to multiply and to print."""
    return len(sizes) <= _MAX_DIMENSIONS and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in sizes)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    storage, shape, strides = _check(storage, _Storage), _check(shape, tuple), _check(strides, tuple)
    if not (_are_sizes((offset,)) and _are_sizes(shape) and _are_sizes(strides) and len(shape) == len(strides)):
        _fail("damaged: a tensor has an impossible shape, offset or stride.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.size:
        _fail(f"damaged: a tensor of shape {list(shape)} reaches beyond its storage of {storage.size:,} numbers.")
    return _Tensor(storage, offset, shape, strides)


def _unwrap(value: Any) -> _Tensor:
    return _check(value.tensor if isinstance(value, _Wrapped) else value, _Tensor)


def _scalar(dtype: Any, data: Any) -> int | float:
    dtype = _check(dtype, _DType)
    if isinstance(data, str):  # bytes, as Python 2 writes them
        data = data[:9].encode("latin-1")
    if dtype.code not in _SCALARS or dtype.order not in ("<", "=", "|") or len(_check(data, bytes)) > 8:
        _fail("a NumPy scalar in it is no number.")
    (value,) = np.frombuffer(data, np.dtype(dtype.code))
    return value.item()


# --------------------------------------------------------------------------------------------------- what a pickle left


def _walk(root: Any) -> Iterable[Any]:
    """Every value in a structure that may share parts and contain itself; at most so many, none of them too deep."""
    pending, seen = [(root, 0)], 0
    while pending:
        value, depth = pending.pop()
        yield value
        if isinstance(value, dict | list | tuple):
            members = value.values() if isinstance(value, dict) else value
            seen += len(members)
            if depth >= _MAX_DEPTH or seen > _MAX_WORK:
                _fail(f"its containers are nested deeper than {_MAX_DEPTH}, or hold more than {_MAX_WORK:,} values.")
            pending.extend((member, depth + 1) for member in members)


def _resolve(root: Any, load: Callable[[str, int], bytes | memoryview]) -> dict[str, Any]:
    """Arrays in place of the tensors.

    Args:
        root: What the pickle gave.
        load: (key, number of bytes) -> the bytes of a storage, as often as it is asked for in different types.
    """
    if not isinstance(root, dict):
        _fail(f"expected a dictionary of tensors, found {type(root).__name__.strip('_').lower()}.")
    storages: dict[tuple[str, str], np.ndarray] = {}
    for storage in (_unwrap(value).storage for value in _walk(root) if isinstance(value, _Tensor | _Wrapped)):
        if (storage.key, storage.kind) not in storages:
            data = load(storage.key, storage.size * _item_size(storage.kind))
            storages[storage.key, storage.kind] = _decode(data, storage.kind)
        elif storages[storage.key, storage.kind].size != storage.size:
            _fail(f"damaged: its storage {_quote(storage.key)} has two sizes.")

    def convert(value: Any) -> Any:  # as deep as _walk went
        if isinstance(value, _Tensor | _Wrapped):
            tensor = _unwrap(value)
            return _view(storages[tensor.storage.key, tensor.storage.kind], tensor)
        if isinstance(value, dict):
            return {key: convert(member) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(convert(member) for member in value)
        return _check(value, int | float | str | bytes | None)

    return convert(root)


def _view(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    if not math.prod(tensor.shape):
        return numbers[:0].reshape(tensor.shape)
    strides = tuple(stride * numbers.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
