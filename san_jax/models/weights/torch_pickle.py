"""The pickles in files of `torch.save`, run without PyTorch by a machine that knows only what tensors need.

A pickle is a program. The machine here knows the few operations and names that tensors and plain containers need. It
looks nothing up and calls nothing that the file chooses: any other name or operation is refused and named in the
error. Sizes are compared with what is there before memory is asked for. What training programs save beside the weights
becomes plain values: `numpy.float64` and such (the best score) become numbers; Counter and defaultdict (of schedulers
and optimizers) and argparse.Namespace (the arguments) dictionaries; a set becomes a list; a path, device or dtype
becomes text.

Sources: PEP 307 and 3154; `torch/_utils.py` of PyTorch 0.1.6 to 2.13 (before 0.4, tensors and parameters were objects
that got their state afterwards).
"""

import dataclasses
import io
import math
import pathlib
import pickletools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

MAX_WORK = 1_000_000  # operations of the pickle and members of its containers; DenseNet-121's has 50,000
_MAX_DEPTH = 8  # of containers in containers
_MAX_DIMENSIONS, _MAX_SIZE = 8, 1 << 40  # of a shape

# What follows "torch." in the name of a storage -> its numbers on disk. BFLOAT16 is the upper half of a float32.
BFLOAT16 = "bfloat16"
STORAGES = {
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
_SCALARS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class TorchFileError(ValueError):
    """A file of weights that is missing, damaged or asks for more than tensors. The message names the file."""


def fail(what: str) -> NoReturn:
    """Raise a TorchFileError; `read` puts the name of the file before it."""
    raise TorchFileError(what)


def item_size(kind: str) -> int:
    """Return the bytes of one number of a storage of this kind."""
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Name:
    """A global that the pickle asks for: nothing is looked up."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The one-dimensional array under tensors: `size` numbers of a `kind`, kept under `key` in the file."""

    kind: str
    key: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A view of a storage: all four in numbers of it, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(slots=True, eq=False)
class Wrapped:
    """A Parameter, Variable or typed tensor of an old file: empty until it is built."""

    tensor: Tensor | None


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
    *((module, name.replace("Storage", "Tensor")) for module in ("torch", "torch.cuda") for name in STORAGES),
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


def run(stream: io.BytesIO) -> tuple[Any, list[Storage]]:
    """Run the next pickle of a stream, with an empty stack; the stream then stands behind the pickle.

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
        self.storages: list[Storage] = []
        self.work = 0

    def run(self, operations: Iterator[tuple[Any, Any, Any]]) -> None:
        """Do each operation, given as (operation, argument, _), until one of them is STOP."""
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
                target = self.top(dict | _DType | Wrapped)
                if isinstance(target, _DType):
                    target.order = check(state[1], str)
                elif isinstance(target, _Namespace):
                    target.update(check(state, dict))
                elif isinstance(target, Wrapped) and len(state) != 3:  # three say whether it was to be trained
                    target.tensor = _tensor(*state) if len(state) == 4 else unwrap(state[0])
                # Of a dictionary: OrderedDict's attributes, where PyTorch notes versions of modules.
            elif name not in ("PROTO", "FRAME"):
                fail(f"its pickle uses the operation {name}, which is refused: no tensor needs it.")

    def count(self, work: int) -> None:
        self.work += work
        if self.work > MAX_WORK:
            fail(f"its pickle takes more than {MAX_WORK:,} operations.")

    def pop(self, count: int) -> list[Any]:
        """The topmost values, the lowest first."""
        items = self.stack[-count:]
        if len(items) < count:
            fail("damaged: its pickle takes values that are not there.")
        del self.stack[-count:]
        return items

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: Any) -> Any:
        return check(self.stack[-1], kind)

    def set_items(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        target = self.top(dict)
        for key, value in pairs:
            # What is hashed is small, and cannot be made to collide.
            if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 1 << 32):
                fail(f"a dictionary in it has a key that is no text or small number ({type(key).__name__}).")
            target[key] = value

    def call(self, function: Any, arguments: Any) -> None:
        """Put on the stack what a global makes of its arguments."""
        function, arguments = check(function, _Name), check(arguments, tuple)
        if (function.module, function.name) in _WRAPPERS:
            self.stack.append(Wrapped(unwrap(arguments[0]) if arguments else None))
            return
        match function.name:
            case "OrderedDict":
                self.stack.append({})
                if arguments:  # as Python 2 writes it
                    pairs = check(arguments[0], list | tuple)
                    self.count(len(pairs))
                    self.set_items(check(pair, list | tuple) for pair in pairs)
            case "Counter":
                self.stack.append(check(arguments[0], dict) if arguments else {})
            case "defaultdict":
                self.stack.append({})
            case "Namespace":
                self.stack.append(_Namespace())
            case "set" | "frozenset":
                self.stack.append(check(arguments[0], list) if arguments else [])
            case "PosixPath" | "WindowsPath" | "device":
                self.stack.append(_join(function.name, arguments))
            case "_rebuild_tensor" | "_rebuild_tensor_v2":
                self.stack.append(_tensor(*arguments[:4]))
            case "_rebuild_parameter" | "_rebuild_parameter_with_state":
                self.stack.append(unwrap(arguments[0]))
            case "Size":
                self.stack.append(check(arguments[0], tuple))
            case "dtype":
                self.stack.append(_DType(check(arguments[0], str)))
            case "encode":  # as protocol 2 writes bytes
                text = check(arguments[0], str)
                if len(text) > 8:
                    fail("it holds bytes that are no number.")
                self.stack.append(text.encode("latin-1"))
            case "scalar":
                self.stack.append(_scalar(*arguments))
            case _:
                fail(f"its pickle calls {function.module}.{function.name}, which is refused.")


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


def check(value: Any, kind: Any) -> Any:
    """Return the value if it is of this kind, else fail."""
    if not isinstance(value, kind):
        fail(f"damaged: its pickle has a {type(value).__name__.strip('_').lower()} where it cannot be.")
    return value


def quote(text: str) -> str:
    """Return text of a file for a message: short, and without characters that a terminal would obey."""
    return ascii(text[:80])


def _join(kind: str, parts: tuple[Any, ...]) -> str:
    """A path's or device's text."""
    texts = [str(check(part, str | int)) for part in parts]
    if kind == "device":
        return ":".join(texts)
    return str(pathlib.PurePosixPath(*texts) if kind == "PosixPath" else pathlib.PureWindowsPath(*texts))


def _admit(module: Any, name: Any) -> _Name | str:
    """A global that tensors and plain containers need; all others are refused."""
    module, name = check(module, str), check(name, str)
    if module == "torch" and name in _DTYPES:
        return name
    if module in _BUILTINS and name in _FACTORIES:
        return _Name(module, name)
    if (module, name) in _CALLED or (module in ("torch", "torch.cuda") and name in STORAGES):
        return _Name(module, name)
    fail(
        f"its pickle asks for {quote(f'{module}.{name}')}, which is refused: only tensors, numbers, text and plain "
        "containers of them are read. Save its state_dict() alone."
    )


def _storage(identity: Any) -> Storage:
    """From the identity ("storage", type, key, device, size) that stands for it; legacy files add a view, None."""
    tag, kind, key, _, size, *views = check(identity, tuple)
    kind = check(kind, _Name)
    if tag != "storage" or kind.name not in STORAGES or any(view is not None for view in views):
        fail("it holds an object that is kept beside the pickle and is no storage, or is a view of one.")
    if not _are_sizes((size,)):
        fail("damaged: a storage has an impossible size.")
    return Storage(STORAGES[kind.name], check(key, str), size)


def _are_sizes(sizes: tuple[Any, ...]) -> bool:
    """Small enough to multiply and to print."""
    return len(sizes) <= _MAX_DIMENSIONS and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in sizes)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    storage, shape, strides = check(storage, Storage), check(shape, tuple), check(strides, tuple)
    if not (_are_sizes((offset,)) and _are_sizes(shape) and _are_sizes(strides) and len(shape) == len(strides)):
        fail("damaged: a tensor has an impossible shape, offset or stride.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.size:
        fail(f"damaged: a tensor of shape {list(shape)} reaches beyond its storage of {storage.size:,} numbers.")
    return Tensor(storage, offset, shape, strides)


def unwrap(value: Any) -> Tensor:
    """Return the tensor that a value is or wraps."""
    return check(value.tensor if isinstance(value, Wrapped) else value, Tensor)


def _scalar(dtype: Any, data: Any) -> int | float:
    dtype = check(dtype, _DType)
    if isinstance(data, str):  # bytes, as Python 2 writes them
        data = data[:9].encode("latin-1")
    if dtype.code not in _SCALARS or dtype.order not in ("<", "=", "|") or len(check(data, bytes)) > 8:
        fail("a NumPy scalar in it is no number.")
    (value,) = np.frombuffer(data, np.dtype(dtype.code))
    return value.item()


def walk(root: Any) -> Iterable[Any]:
    """Yield every value in a structure that may share parts and contain itself; fail if it is too large or deep."""
    pending, seen = [(root, 0)], 0
    while pending:
        value, depth = pending.pop()
        yield value
        if isinstance(value, dict | list | tuple):
            members = value.values() if isinstance(value, dict) else value
            seen += len(members)
            if depth >= _MAX_DEPTH or seen > MAX_WORK:
                fail(f"its containers are nested deeper than {_MAX_DEPTH}, or hold more than {MAX_WORK:,} values.")
            pending.extend((member, depth + 1) for member in members)
