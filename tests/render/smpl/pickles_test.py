"""Reading arrays from pickles of others: nothing in them is run, and nothing they claim is believed."""

import builtins
import collections
import contextlib
import functools
import io
import os
import pathlib
import pickle
import struct
import sys
import types
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from render.smpl.array_files import ArrayFileError
from render.smpl.pickles import read_pickle
from tests.render import smpl_fixtures
from tests.render.smpl.foreign_files import Call, write


def test_python2_pickles_are_read(tmp_path: pathlib.Path):
    matrix = sparse.csc_matrix(np.array([[0.0, 1.5, 0.0], [2.0, 0.0, -3.0]]))
    values = {
        "plain": np.arange(6, dtype=np.int32).reshape(2, 3),
        "big_endian": np.array([1, 256], ">u2"),
        "chumpy": np.linspace(-1.0, 1.0, 300).reshape(10, 30),
        "matrix": matrix,
        "style": "lbs",
        "nested": {"deep": np.zeros(3)},
    }
    path = write(tmp_path / "model.pkl", smpl_fixtures.python2_pickle(values, chumpy=("chumpy",)))
    found = read_pickle(path, ("plain", "big_endian", "chumpy", "matrix", "absent"))
    assert set(found) == {"plain", "big_endian", "chumpy", "matrix"}
    for name in ("plain", "big_endian", "chumpy"):
        np.testing.assert_array_equal(found[name], values[name])
        assert found[name].dtype == values[name].dtype
    np.testing.assert_array_equal(found["matrix"], matrix.toarray())


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_todays_numpy_and_scipy_are_read(tmp_path: pathlib.Path, protocol: int):
    dense = np.zeros((4, 5))
    dense[[0, 3, 3], [4, 0, 2]] = [1.0, -2.0, 0.5]
    values = {
        "array": np.random.default_rng(0).normal(size=(3, 4, 2)),
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "csc": sparse.csc_matrix(dense),
        "csr": sparse.csr_array(dense),
        "coo": sparse.coo_matrix(dense),
        "strided": np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1),
        "read only": np.frombuffer(bytes(range(8)), np.uint8),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(1.5),
    }
    path = write(tmp_path / "model.pkl", pickle.dumps(values, protocol))
    found = read_pickle(path, values)
    for name in ("array", "fortran", "strided", "read only", "empty", "scalar"):
        np.testing.assert_array_equal(found[name], values[name])
        assert (found[name].shape, found[name].dtype) == (values[name].shape, values[name].dtype)
    for name in ("csc", "csr", "coo"):
        np.testing.assert_array_equal(found[name], dense)


@pytest.mark.parametrize("protocol", range(6))
def test_dictionaries_that_users_saved_again_are_read(tmp_path: pathlib.Path, protocol: int):
    """What is beside the arrays may be anything that an array library makes; what is asked for is read."""
    matrix = np.arange(6.0).reshape(2, 3)
    sparse_one = sparse.csr_matrix(matrix)
    sparse_one._shape = (np.int64(2), np.int32(3))  # type: ignore[attr-defined]
    values = collections.OrderedDict(
        dense=matrix.view(np.matrix),
        sparse=sparse_one,
        num_betas=np.int64(10),
        gender=np.str_("neutral"),
        flag=np.bool_(True),
        nested=collections.OrderedDict(a=np.zeros(2)),
        names=["pelvis", "left_hip"],
    )
    found = read_pickle(write(tmp_path / "m.pkl", pickle.dumps(values, protocol)), ("dense", "sparse"))
    np.testing.assert_array_equal(found["dense"], matrix)
    np.testing.assert_array_equal(found["sparse"], matrix)
    assert type(found["dense"]) is np.ndarray


def test_chumpy_arrays_are_read_without_chumpy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Instances of classes that are only there while the file is written."""
    with monkeypatch.context() as patch:
        classes = {}
        # The joints of official files are an expression; nobody asks for them.
        for module, name in (
            ("chumpy.ch", "Ch"),
            ("chumpy.reordering", "Select"),
            ("chumpy.ch", "MatVecMult"),
            ("chumpy.reordering", "transpose"),
            ("chumpy.ch_ops", "add"),
        ):
            classes[name] = type(name, (), {"__module__": module, "__qualname__": name})
            holder = sys.modules.get(module) or types.ModuleType(module)
            setattr(holder, name, classes[name])
            patch.setitem(sys.modules, module, holder)
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        array, selection, expression = classes["Ch"](), classes["Select"](), classes["add"]()
        joints, product = classes["transpose"](), classes["MatVecMult"]()
        joints.a, product.mtx, product.vec = product, sparse.csc_matrix(np.eye(3)), array
        array.x, array._dirty_vars = np.arange(12.0).reshape(3, 4), {"x"}
        selection.a, selection.idxs, selection.preferred_shape = array, np.array([5, 0, 11]), (3, 1)
        expression.left, expression.right = array, array
        values = {"J": joints, "array": array, "selection": selection}
        data = {protocol: pickle.dumps(values, protocol) for protocol in (0, 2, 4)}
        unreadable = pickle.dumps({"sum": expression}, 2)
    assert "chumpy.ch" not in sys.modules
    for protocol, content in data.items():
        found = read_pickle(write(tmp_path / f"{protocol}.pkl", content), ("array", "selection"))
        np.testing.assert_array_equal(found["array"], np.arange(12.0).reshape(3, 4))
        np.testing.assert_array_equal(found["selection"], [[5.0], [0.0], [11.0]])
    with pytest.raises(ArrayFileError, match="sum: a chumpy expression, not an array"):
        read_pickle(write(tmp_path / "sum.pkl", unreadable), ("sum",))


def test_names_of_older_numpy_and_python_are_read(tmp_path: pathlib.Path):
    """NumPy 1 calls its inner modules numpy.core; Python 2 hands an OrderedDict its items in lists."""
    array = np.arange(6.0).reshape(2, 3)
    program = pickle.dumps({"a": array, "b": np.int64(3)}, 5)
    new, old = b"numpy._core", b"numpy.core"
    assert program.count(new) == 2
    for name in (b".numeric", b".multiarray"):
        long, short = new + name, old + name
        program = program.replace(bytes([len(long)]) + long, bytes([len(short)]) + short)
    frame = struct.pack("<Q", len(program) - 11)  # 11: protocol, frame and its length
    path = write(tmp_path / "numpy1.pkl", program[:3] + frame + program[11:])
    found = read_pickle(path, ("a", "b"))
    np.testing.assert_array_equal(found["a"], array)
    assert found["b"] == 3

    items = Call(collections.OrderedDict, [["a", array], ["b", "text"]])
    path = write(tmp_path / "python2.pkl", pickle.dumps(items, 2))
    np.testing.assert_array_equal(read_pickle(path, ("a",))["a"], array)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["top", "value", "object array", "chumpy", "dtype"])
def test_no_command_is_run(tmp_path: pathlib.Path, protocol: int, place: str):
    marker = tmp_path / "pwned"
    evil = Call(os.system, f"touch {marker}")
    hostile: Any = {
        "top": evil,
        "value": {"v_template": np.zeros(3), "note": [evil]},
        "object array": {"v_template": np.array([evil], object)},
        "chumpy": {"v_template": np.zeros(3), "more": {"x": (evil,)}},
        "dtype": {"v_template": Call(np.ndarray, (1,), evil)},
    }[place]
    path = write(tmp_path / "model.pkl", pickle.dumps(hostile, protocol))
    with pytest.raises(ArrayFileError, match=r"model\.pkl: the pickle asks for (posix|nt)\.system, which is refused"):
        read_pickle(path, ("v_template",))
    assert not marker.exists()
    with contextlib.suppress(TypeError):  # what os.system returns is no dtype
        pickle.loads(pickle.dumps(hostile, protocol))  # and would have been, had pickle read it
    assert marker.exists()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (builtins.eval, "eval"),
        (builtins.getattr, "getattr"),
        (builtins.__import__, "__import__"),
        (functools.partial, r"functools\.partial"),
        (np.frombuffer, r"numpy.*frombuffer"),
        (np.load, r"numpy.*load"),
        (io.open, "open"),
        (pickle.loads, "loads"),
    ],
)
def test_every_other_name_is_refused_by_name(tmp_path: pathlib.Path, function: Any, name: str):
    path = write(tmp_path / "model.pkl", pickle.dumps({"v_template": Call(function, "1")}, 2))
    with pytest.raises(ArrayFileError, match=f"asks for .*{name}, which is refused"):
        read_pickle(path, ("v_template",))


@pytest.mark.parametrize(
    "name",
    [
        "numpy.core.multiarray frombuffer",
        "numpy.core.numeric fromfile",
        "collections namedtuple",
        "collections OrderedDict.fromkeys",
        "numpy.ndarray tofile",
        "numpy ndarray.tofile",
        "scipy.sparse.csc os",
        "chumpy.ch os",
    ],
)
def test_nothing_near_the_admitted_names_is_reached(tmp_path: pathlib.Path, name: str):
    module, attribute = name.split()
    program = f"c{module}\n{attribute}\n(tR.".encode()
    stacked = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode()
    stacked += b"\x8c" + bytes([len(attribute)]) + attribute.encode() + b"\x93)R."
    for content in (program, stacked):
        with pytest.raises(ArrayFileError, match=f"asks for {module}.{attribute}, which is refused"):
            read_pickle(write(tmp_path / "model.pkl", content), ("a",))


def test_admitted_classes_cannot_be_changed_by_a_pickle(tmp_path: pathlib.Path):
    """BUILD on a class or an instance sets attributes where nothing prevents it."""
    for made in (b"cnumpy\nndarray\n", b"cnumpy\nndarray\n)R", b"c__builtin__\nset\n", b"c_codecs\nencode\n"):
        for state in (b"}U\x05stateK\x01s", b"N}U\x0c__setstate__K\x01s\x86"):
            path = write(tmp_path / "model.pkl", b"\x80\x02" + made + state + b"b.")
            with pytest.raises(ArrayFileError):
                read_pickle(path, ("a",))
    matrix = {"a": np.arange(3.0)}
    path = write(tmp_path / "model.pkl", smpl_fixtures.python2_pickle(matrix))
    np.testing.assert_array_equal(read_pickle(path, ("a",))["a"], matrix["a"])


_SHARED_TUPLES = b"K\x01" + b"".join(b"q%ch%c\x86" % (number, number) for number in range(60))
"""Two of two of two ...: 61 objects with 2^60 places, for ever to hash or to print."""


_COLLIDING = [(number * (2**61 - 1)).to_bytes(12, "little") for number in range(1, 30)]  # Python's hash of all is 0


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + _SHARED_TUPLES + b"K\x01s.",
        b"\x80\x02}(" + _SHARED_TUPLES + b"K\x01u.",
        b"\x80\x02(U\x01aK\x01" + _SHARED_TUPLES + b"K\x01d.",
        b"\x80\x04\x8f(" + _SHARED_TUPLES + b"\x90.",
        b"\x80\x04(" + _SHARED_TUPLES + b"\x91.",
        b"\x80\x02}(K\x01" + b"\x85" * 300_000 + b"K\x01u.",  # deep enough for the end of the C stack
        b"\x80\x02}(" + b"".join(b"\x8a\x0c" + number + b"N" for number in _COLLIDING) + b"u.",
        b"\x80\x04\x8f(" + b"".join(b"\x8a\x0c" + number for number in _COLLIDING) + b"\x90.",
    ],
)
def test_nothing_is_hashed_that_could_take_for_ever(tmp_path: pathlib.Path, program: bytes):
    with pytest.raises(ArrayFileError, match="a key or a member of a set that is no text or small number"):
        read_pickle(write(tmp_path / "model.pkl", program), ("a",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (b"(K\x01tR", "malformed OrderedDict"),
        (b"(]]tR", "malformed OrderedDict"),
        (b"(](](U\x01aeetR", "malformed OrderedDict"),
        (b"(](](" + _SHARED_TUPLES + b"K\x01eetR", "a key or a member of a set"),
        (b"N}U\x01aK\x01s\x86b", "not a readable pickle"),  # attributes of the class
    ],
)
def test_hostile_ordered_dictionaries_are_errors(tmp_path: pathlib.Path, arguments: bytes, message: str):
    path = write(tmp_path / "model.pkl", b"\x80\x02ccollections\nOrderedDict\n" + arguments + b".")
    with pytest.raises(ArrayFileError, match=message):
        read_pickle(path, ("a",))


def _buffer_program(order: bytes, axes: bytes = b"", shape: bytes = b"K\x01\x85") -> bytes:
    """An array of 8 bytes as protocol 5 writes it."""
    kind = b"cnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = b"\x96" + struct.pack("<Q", 8) + bytes(8)
    array = b"cnumpy._core.numeric\n_frombuffer\n(" + data + kind + shape + order + axes + b"tR"
    return b"\x80\x05}\x8c\x01a" + array + b"s."


@pytest.mark.parametrize(
    "program",
    [
        _buffer_program(b"\x8c\x01A"),
        _buffer_program(b"K\x01"),
        _buffer_program(_SHARED_TUPLES),
        _buffer_program(b"\x8c\x01K"),  # without the order of its axes
        _buffer_program(b"\x8c\x01K", b"K\x01\x85"),
        _buffer_program(b"\x8c\x01K", b"K\x00K\x00\x86"),
        _buffer_program(b"\x8c\x01C", b"NN"),
        _buffer_program(b"\x8c\x01C", shape=b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85"),
    ],
)
def test_buffers_that_lie_are_errors(tmp_path: pathlib.Path, program: bytes):
    good = write(tmp_path / "good.pkl", _buffer_program(b"\x8c\x01K", b"K\x00\x85"))
    np.testing.assert_array_equal(read_pickle(good, ("a",))["a"], [0.0])
    with pytest.raises(ArrayFileError, match=r"a: (malformed array|array: the header promises .* 8 bytes are there)"):
        read_pickle(write(tmp_path / "model.pkl", program), ("a",))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_damaged_pickles_are_read_or_refused(tmp_path: pathlib.Path, protocol: int):
    """Nothing but our error leaves the reader, whichever bytes are changed, cut out or doubled."""
    values = collections.OrderedDict(
        a=np.arange(4.0), m=sparse.csc_matrix(np.eye(3)), s=np.int64(2), x={"deep": (1, 2.5, "text")}
    )
    whole = pickle.dumps(values, protocol)
    rng = np.random.default_rng(protocol)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            start, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
            kind = rng.integers(3)
            if kind == 0:
                data[start] = int(rng.integers(256))
            else:
                data[start : start + length] = data[start : start + length] * 2 if kind == 1 else b""
        try:
            read_pickle(write(tmp_path / "model.pkl", bytes(data)), ("a", "m", "s"))
        except ArrayFileError:
            refused += 1
    assert refused > 150


def _array_program(shape: bytes, dtype: bytes = b"U\x02f8", data: bytes = b"U\x08" + bytes(8)) -> bytes:
    kind = b"cnumpy\ndtype\n" + dtype + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01" + shape + kind
    return b"\x80\x02}U\x01a" + array + b"\x89" + data + b"tbs."


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_array_program(b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85"), "promises float64 .*8 bytes are there"),
        (_array_program(b"J\xff\xff\xff\xff\x85"), "malformed array"),
        (_array_program(b"K\x01\x85", dtype=b"U\x02O8"), "dtype 'O8', which is refused"),
        (_array_program(b"K\x01\x85", dtype=b"U\x03V99"), "refused"),
        (_array_program(b"K\x01\x85", dtype=_SHARED_TUPLES), "malformed dtype"),  # nor is it printed
        (_array_program(b"(" + b"K\x01" * 9 + b"t"), "malformed array"),
        (_array_program(b"\x8a\x09" + b"\x01" * 9 + b"\x85"), "malformed array"),
        (_array_program(b"K\x01\x85", data=b"X\x02\x00\x00\x00\xc4\x80"), "malformed array"),
        (_array_program(b"K\x01\x85", data=b"T\xff\xff\xff\x7f123"), "not a readable pickle"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "memo .* exhaust memory"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "not a readable pickle|refused"),
        (b"\x80\x02\x82\x01.", "EXT1, which is refused"),
        (b"\x80\x02U\x01aQ.", "BINPERSID, which is refused"),
        (b"\x80\x02]U\x01aa.", "expected a dictionary, found list"),
        (b"", "not a readable pickle"),
        (b"\x80\x02}", "not a readable pickle"),
    ],
)
def test_lies_and_damage_are_errors(tmp_path: pathlib.Path, program: bytes, message: str):
    with pytest.raises(ArrayFileError, match=message):
        read_pickle(write(tmp_path / "model.pkl", program), ("a",))


@pytest.mark.parametrize(
    ("state", "value"),
    [
        ("_shape", (1 << 20, 1 << 20)),
        ("indices", np.array([9, 9, 9])),
        ("indptr", np.array([0, 1, 2])),
        ("indptr", np.array([0, 3, 1, 3])),
        ("data", np.zeros(2)),
    ],
)
def test_sparse_matrices_that_lie_are_errors(tmp_path: pathlib.Path, state: str, value: Any):
    matrix = sparse.csc_matrix(np.diag([1.0, 2.0, 3.0]))
    content = pickle.dumps({"a": matrix}, 2)
    assert read_pickle(write(tmp_path / "good.pkl", content), ("a",))
    setattr(matrix, state, value)
    with pytest.raises(ArrayFileError, match="a: malformed sparse matrix"):
        read_pickle(write(tmp_path / "model.pkl", pickle.dumps({"a": matrix}, 2)), ("a",))
