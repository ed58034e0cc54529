"""Loads a Python pickle as data: the objects that it describes are kept as what they were made from.

A pickle is a program. The few names that it may use (NumPy's arrays, scalars and dtypes, SciPy's sparse matrices,
chumpy's arrays, in the module paths of all their versions, and OrderedDict) stand for classes of this file that only
keep what they are given. Every other name is refused and named in the error. What is hashed, compared or put into a
message is small, because nested tuples that share their parts take for ever.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from types import NoneType
from typing import Any, ClassVar, NoReturn

from render.smpl.array_files import ArrayFileError

_MAX_OPCODES = 1_000_000  # SMPL's pickles have a few thousand
_REFUSED_OPCODES = frozenset({"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"})


def load(data: bytes) -> Any:
    """Load a pickle as plain Python values and the classes of this file.

    Raises:
        ArrayFileError: The pickle asks for something that no array needs. A damaged pickle raises other errors, too.
    """
    _scan(data)
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def fail(what: str) -> NoReturn:
    """Raise the error for a malformed part of a pickle."""
    raise ArrayFileError(f"malformed {what} in the pickle.")


def kind_of(value: Any) -> str:
    """Return what messages call the type of a value."""
    return type(value).__name__.removeprefix("Kept").strip("_").lower()


class Kept:
    """An object of the pickle as data: what it was made from, and its state. Nothing is done with them.

    It has `__setstate__`, so a pickle cannot set attributes of an instance or of its class.

    Attributes:
        arguments: What it was made from.
        state: State that the pickle gives it, None for none.
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


class KeptArray(Kept):
    """numpy.ndarray; its state is (version, shape, dtype, fortran, data)."""

    __slots__ = ()


class KeptBuffer(Kept):
    """numpy.core.numeric._frombuffer(data, dtype, shape, order, axis order), as protocol 5 makes arrays."""

    __slots__ = ()


class KeptScalar(Kept):
    """numpy.core.multiarray.scalar(dtype, data)."""

    __slots__ = ()


class KeptDType(Kept):
    """numpy.dtype(code, align, copy); its state is (version, byte order, ...)."""

    __slots__ = ()


class KeptSparse(Kept):
    """A matrix of scipy.sparse; its state is its `__dict__`."""

    __slots__ = ()

    layout: ClassVar[str]


class _Csc(KeptSparse):
    __slots__ = ()

    layout = "csc"


class _Csr(KeptSparse):
    __slots__ = ()

    layout = "csr"


class _Coo(KeptSparse):
    __slots__ = ()

    layout = "coo"


class KeptChumpy(Kept):
    """A chumpy object; its state is its `__dict__`: `x` of an array, `a` and `idxs` of a selection from another."""

    __slots__ = ()


class KeptText(Kept):
    """_codecs.encode(text, "latin1"), or bytes() where they are empty, as Python 3 writes bytes in old protocols."""

    __slots__ = ()


class _Reconstruct(Kept):
    """numpy.core.multiarray._reconstruct(ndarray, (0,), "b"): an array yet without content."""

    __slots__ = ()

    def __new__(cls, *arguments: Any):
        return KeptArray.__new__(KeptArray, *arguments)


class _CopyRegReconstruct(Kept):
    """copy_reg._reconstructor(class, object, None), as protocols 0 and 1 make objects."""

    __slots__ = ()

    def __new__(cls, *arguments: Any):
        kind = arguments[0] if arguments else None
        if not (isinstance(kind, type) and issubclass(kind, KeptSparse | KeptChumpy)):
            raise ArrayFileError("the pickle reconstructs something that is no array.")
        return kind.__new__(kind)


class _Plain(Kept):
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
            fail("OrderedDict")
        _check_hashed([key for key, _ in items])
        self.update(items)

    def __setstate__(self, state: Any) -> None:
        """Drop attributes, see `Kept`."""


# Pattern of the module, pattern of the name, and the class that stands for both.
_STAND_INS: tuple[tuple[str, str, type[Any]], ...] = (
    (r"numpy\._?core\.multiarray", "_reconstruct", _Reconstruct),
    (r"numpy\._?core\.numeric", "_frombuffer", KeptBuffer),
    (r"numpy\._?core\.multiarray", "scalar", KeptScalar),
    (r"numpy", "ndarray", KeptArray),
    (r"numpy(\.matrixlib\.defmatrix)?", "matrix", KeptArray),  # what todense() of a sparse matrix returns
    (r"numpy", "dtype", KeptDType),
    (r"scipy\.sparse(\._?csc)?", "csc_(matrix|array)", _Csc),
    (r"scipy\.sparse(\._?csr)?", "csr_(matrix|array)", _Csr),
    (r"scipy\.sparse(\._?coo)?", "coo_(matrix|array)", _Coo),
    (r"chumpy(\.ch)?", "Ch|MatVecMult", KeptChumpy),
    (r"chumpy(\.reordering)?", "Select|[Rr]eshape|[Rr]avel|[Tt]ranspose|[Cc]oncatenate", KeptChumpy),
    (r"chumpy(\.ch_ops)?", "add|subtract|multiply|divide|dot|sum", KeptChumpy),
    (r"_codecs", "encode", KeptText),
    (r"__builtin__|builtins", "bytes", KeptText),
    (r"copy_reg|copyreg", "_reconstructor", _CopyRegReconstruct),
    (r"collections", "OrderedDict", _OrderedDict),
    (r"__builtin__|builtins", "set|object", _Plain),
)


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python, which lets keys and members be looked at before they are hashed."""

    # Read by the base class: opcode -> function of the unpickler.
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    stack: list[Any]

    def find_class(self, module: str, name: str) -> type[Any]:
        """Return the class that stands for a name; every name that is not in `_STAND_INS` is refused."""
        for modules, names, stand_in in _STAND_INS:
            if re.fullmatch(modules, module) and re.fullmatch(names, name):
                return stand_in
        raise ArrayFileError(
            f"the pickle asks for {module}.{name}, which is refused: only NumPy arrays, SciPy sparse matrices and "
            "chumpy arrays are read, as data. Get the file again from its authors; do not open this one with pickle."
        )


def _scan(data: bytes) -> None:
    """Read the program without running it: all of its data must be there, and it may only ask what arrays need."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in _REFUSED_OPCODES:
            raise ArrayFileError(f"the pickle uses {opcode.name}, which is refused: no array needs it.")
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > count + 1:
            raise ArrayFileError(
                f"the pickle asks for memo {argument:,} at operation {count:,}: made to exhaust memory."
            )
        if count >= _MAX_OPCODES:
            raise ArrayFileError(f"the pickle has more than {_MAX_OPCODES:,} operations.")


def _check_hashed(values: list[Any]) -> None:
    """Refuse what takes long to hash (tuples of tuples) or can be made to collide (large integers)."""
    for value in values:
        small = abs(value) < 1 << 32 if isinstance(value, int) else isinstance(value, str | bytes | float | NoneType)
        if not small:
            raise ArrayFileError(
                f"the pickle has a key or a member of a set that is no text or small number ({kind_of(value)}), "
                "which is refused: no array needs it."
            )


def _check_before(opcode: bytes, hashed: slice) -> None:
    """Make the unpickler look at the part of its stack that an operation will hash before it does the operation."""
    operate = _Unpickler.dispatch[opcode[0]]

    def operate_checked(unpickler: _Unpickler) -> None:
        _check_hashed(unpickler.stack[hashed])
        operate(unpickler)

    _Unpickler.dispatch[opcode[0]] = operate_checked


_check_before(pickle.SETITEM, slice(-2, -1))
# For these the stack begins at the mark.
_check_before(pickle.SETITEMS, slice(None, None, 2))
_check_before(pickle.DICT, slice(None, None, 2))
_check_before(pickle.ADDITEMS, slice(None))
_check_before(pickle.FROZENSET, slice(None))
