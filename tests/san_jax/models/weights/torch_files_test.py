"""Reading PyTorch's files without PyTorch: every kind of tensor, old files, and files made to do harm.

The files of tests/golden/weight_files were written by PyTorch; the others are put together here.
"""

import argparse
import collections
import io
import math
import pathlib
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from san_jax.models.weights import torch_files, torch_pickle
from san_jax.models.weights.torch_files import TorchFileError
from tests.san_jax.models.weights.torch_saves import dump, storage, tensor

FOLDER = pathlib.Path(__file__).parents[3] / "golden" / "weight_files"
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def entry(value: bytes) -> bytes:
    """A dictionary with one key, "a"."""
    return b"}" + dump("a") + value + b"s"


def program(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


NUMBERS = np.arange(6, dtype="<f4").tobytes()


def legacy(root: bytes, storages: Mapping[str, tuple[int, bytes]] | None = None) -> bytes:
    """A file in the legacy format; `storages` are (number of items, bytes)."""
    storages = {"0": (6, NUMBERS)} if storages is None else storages
    facts = [MAGIC, PROTOCOL, {"little_endian": True, "protocol_version": PROTOCOL}]
    data = b"".join(pickle.dumps(fact, 2) for fact in facts) + program(root) + pickle.dumps(list(storages), 2)
    return data + b"".join(struct.pack("<q", size) + content for size, content in storages.values())


def zipped(root: bytes, storages: Mapping[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("name/data.pkl", program(root))
        for key, content in ({"0": NUMBERS} if storages is None else storages).items():
            archive.writestr(f"name/data/{key}", content)
    return buffer.getvalue()


def read(folder: pathlib.Path, data: bytes) -> dict[str, Any]:
    path = folder / "file.pth"
    path.write_bytes(data)
    return torch_files.read(path)


def refused(folder: pathlib.Path, data: bytes) -> str:
    """The error's message, without the file that it begins with."""
    with pytest.raises(TorchFileError) as error:
        read(folder, data)
    message = str(error.value)
    assert message.startswith(f"{folder / 'file.pth'}: ")
    assert message.isprintable()
    assert len(message) < 600
    return message.removeprefix(f"{folder / 'file.pth'}: ")


@pytest.mark.parametrize("name", ["odd.pth", "odd_legacy.pth"])
def test_every_kind_of_tensor(name):
    """What make_weight_files.py put in."""
    base = np.arange(24, dtype=np.float32)
    expected = {
        "whole": base,
        "transposed": base.reshape(4, 6).T,
        "part": base[5:9],
        "column": base.reshape(4, 6)[1:, 2],
        "expanded": np.full((3, 4), 2.5, np.float32),
        "scalar": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": np.float32([1, -2]),
        "list": [np.int64([[1], [2]]), ("text", None, True, -7, 2**40, 0.5)],
        "shape": (2, 3),
        "float64": np.float64([1 / 3]),
        "float16": np.float16([1 / 3]),
        "bfloat16": np.float32([-1.5]),
        "int32": np.int32([-3]),
        "int16": np.int16([-3]),
        "int8": np.int8([-3]),
        "uint8": np.uint8([3]),
        "bool": np.uint8([1, 0]),
        "numpy": [0.1, 0.5, -(2**40), True],
    }
    found = torch_files.read(FOLDER / name)
    assert list(found) == list(expected)

    def compare(found: Any, expected: Any) -> None:
        assert type(found) is type(expected)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected, strict=True)
            assert not found.flags.writeable
        elif isinstance(expected, list | tuple):
            assert len(found) == len(expected)
            for pair in zip(found, expected, strict=True):
                compare(*pair)
        else:
            assert found == expected

    for key, value in expected.items():
        compare(found[key], value)


def test_the_formats_hold_the_same():
    first, *others = (torch_files.read(FOLDER / f"resnet{end}") for end in (".pth", "_legacy.pth", ".safetensors"))
    assert len(first) > 100
    for other in others:
        assert other.keys() == first.keys()
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, strict=True)


def test_a_checkpoint_of_more_than_tensors():
    found = torch_files.read(FOLDER / "checkpoint_ep300.pth.tar")
    assert list(found) == ["state_dict", "decoder_state_dict", "rank1", "epoch"]
    assert (found["rank1"], found["epoch"]) == (0.625, 299)


def test_safetensors_dtypes(tmp_path):
    arrays = {
        kind: np.array([[1, 0], [1, 1]], kind)
        for kind in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8")
    }
    found = read(tmp_path, safetensors.numpy.save(arrays))
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value, strict=True)
    header = b'{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    numbers = np.array([1 / 3, -np.inf, 1e-40], ml_dtypes.bfloat16)
    found = read(tmp_path, struct.pack("<Q", len(header)) + header + numbers.tobytes())
    np.testing.assert_array_equal(found["a"], numbers.astype(np.float32), strict=True)
    header = header.replace(b"BF16", b"C64 ").replace(b"[3]", b"[1]").replace(b"6]", b"8]").replace(b"C64 ", b"C64")
    assert "of type C64, expected one of F64" in refused(
        tmp_path, struct.pack("<Q", len(header)) + header + b"12345678"
    )


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_later_protocols(tmp_path, protocol):
    """Their frames, memos and short texts."""
    value = {"text": "ä" * 300, "numbers": [1, -1, 70000, 2**31, 2**70, 1.5], "nested": ({}, (), [], None, True, False)}
    program = pickle.dumps(value, protocol)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("name/data.pkl", program)
    assert read(tmp_path, buffer.getvalue()) == value


STATE_5 = tensor() + b"NN" + dump(True) + dump(False)
OLD = {
    "_rebuild_tensor": tensor().replace(b"_rebuild_tensor_v2", b"_rebuild_tensor")[: -len(dump(False) + b"NtR")]
    + b"tR",
    "parameter": b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + dump(True) + b"NtR",
    # Tensor before 0.2: made empty, then given its state.
    "typed tensor": b"ctorch\nFloatTensor\n)R(" + storage() + dump(0) + dump((2, 3)) + dump((3, 1)) + b"tb",
    # Variable and Parameter of 0.1: data, gradient, hooks, whether it is trained, whether it is volatile.
    "empty parameter": b"ctorch.nn.parameter\nParameter\n)\x81(" + STATE_5 + b"tb",
    "variable": b"ctorch.autograd.variable\nVariable\n)\x81(" + STATE_5 + b"tb",
    # 0.2 and 0.3
    "filled parameter": b"ctorch.nn.parameter\nParameter\n" + tensor() + b"\x85R(" + dump(True) + dump(False) + b"Ntb",
    "cuda": tensor().replace(b"ctorch\n", b"ctorch.cuda\n"),
    "view of nothing": tensor(of=storage(view=b"N")),
}


@pytest.mark.parametrize("kind", OLD)
@pytest.mark.parametrize("form", [legacy, zipped])
def test_tensors_of_old_versions(tmp_path, kind, form):
    found = read(tmp_path, form(entry(OLD[kind])))
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)


def test_dictionaries_of_python_2(tmp_path):
    """An OrderedDict made from pairs, byte strings as text."""
    pairs = b"ccollections\nOrderedDict\n](](U\x01a" + tensor() + b"ee\x85R"
    assert list(read(tmp_path, legacy(pairs))) == ["a"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_training_programs_save_beside_the_weights(tmp_path, protocol):
    """Arguments, schedulers' milestones and optimizers' state become plain values, whatever wrote them."""
    arguments = argparse.Namespace(lr=0.1, arch="resnet50", resume=pathlib.PurePosixPath("a"), gpus={1}, none=None)
    arguments.resume = pathlib.PosixPath("logs/market/model.pth")
    state = collections.defaultdict(dict, {0: {"step": 5}})
    counts = collections.defaultdict(list, {"a": [1]})
    value = {
        "args": arguments,
        "milestones": collections.Counter({20: 1, 40: 2}),
        "state": state,
        "counts": counts,
        "seen": frozenset(["text"]),
        "nothing": set(),
        "rank1": np.float64(0.875),
        "epoch": np.int64(60),
        "order": collections.OrderedDict(b=1, a=2),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("name/data.pkl", pickle.dumps(value, protocol))
    found = read(tmp_path, buffer.getvalue())
    expected = {
        "args": {"lr": 0.1, "arch": "resnet50", "resume": "logs/market/model.pth", "gpus": [1], "none": None},
        "milestones": {20: 1, 40: 2},
        "state": {0: {"step": 5}},
        "counts": {"a": [1]},
        "seen": ["text"],
        "nothing": [],
        "rank1": 0.875,
        "epoch": 60,
        "order": {"b": 1, "a": 2},
    }
    assert found == expected
    assert list(found["order"]) == ["b", "a"]
    assert {type(found[key]) for key in ("args", "milestones", "state", "counts")} == {dict}


def test_devices_and_dtypes_are_text(tmp_path):
    device = b"ctorch\ndevice\n" + dump("cuda") + dump(1) + b"\x86R"
    assert read(tmp_path, zipped(entry(device))) == {"a": "cuda:1"}
    assert read(tmp_path, zipped(entry(b"ctorch\nfloat16\n"))) == {"a": "float16"}


@pytest.mark.parametrize("form", [legacy, zipped])
def test_tensors_saved_on_another_device(tmp_path, form):
    for location in ("cuda:0", "cuda:7", "mps", "xla:1", "meta"):
        found = read(tmp_path, form(entry(tensor(of=storage(location=location)))))
        np.testing.assert_array_equal(found["a"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)


HOSTILE = {
    "builtins.dict.fromkeys": b"\x8c\x08builtins\x8c\x0ddict.fromkeys\x93",
    "calls builtins.dict": b"cbuiltins\ndict\n)R",
    "argparse.ArgumentParser": b"cargparse\nArgumentParser\n)R",
    "os.system": b"cos\nsystem\n" + dump("touch x") + b"\x85R",
    "posix.system": b"cposix\nsystem\n" + dump("touch x") + b"\x85R",
    "builtins.eval": b"cbuiltins\neval\n" + dump("1") + b"\x85R",
    "builtins.getattr": b"\x8c\x08builtins\x8c\x07getattr\x93",
    "torch.load": b"ctorch\nload\n" + dump("x") + b"\x85R",
    "torch._utils._rebuild_sparse_tensor": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "numpy.core.multiarray._reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n)R",
    "torch.FloatStorage.__init__": b"ctorch\nFloatStorage.__init__\n",
    "collections.OrderedDict.fromkeys": b"\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93",
    "INST": b"(" + dump("touch x") + b"ios\nsystem\n",
    "OBJ": b"(cos\nsystem\n" + dump("touch x") + b"o",
    "EXT1": b"\x82\x01",
    "PERSID": b"Pabc\n",
    "NEWOBJ_EX": b"\x92",
    "DUP": b"N2",
    "calls torch.FloatStorage": b"ctorch\nFloatStorage\n)R",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("form", [legacy, zipped])
def test_nothing_else_is_asked_for(tmp_path, monkeypatch, what, form):
    monkeypatch.chdir(tmp_path)
    message = refused(tmp_path, form(entry(HOSTILE[what])))
    assert (what if " " in what or what.isupper() or what[-1].isdigit() else f"'{what}'") in message or (
        "os.system" in message
    )
    assert "refused" in message
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "value",
    [
        b"ctorch\nFloatStorage\n",  # a class is no value
        b"cargparse\nNamespace\n",
        b"cargparse\nNamespace\n)R" + dump([1]) + b"b",
        b"ccollections\nCounter\n" + dump([1]) + b"\x85R",
        b"cbuiltins\nset\n" + dump(1) + b"\x85R",
        b"cpathlib\nPosixPath\n" + dump(([],)) + b"R",
        b"ctorch.nn.parameter\nParameter\n)\x81",  # never filled
        b"ctorch.nn.parameter\nParameter\n)\x81" + entry(dump(1)) + b"b",
        b"ccollections\nOrderedDict\n" + dump({"x": 1}) + b"b",  # state for a class
        dump([]) + dump({"append": 1}) + b"b",
        dump((1,)) + dump(2) + dump(3) + b"s",
        b"cnumpy\ndtype\n" + dump("O8") + b"\x85R" + dump((3, "<")) + b"b",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + dump("O") + b"\x85R" + dump("12345678") + b"\x86R",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + dump("f8") + b"\x85R" + dump("123") + b"\x86R",
        b"c_codecs\nencode\n" + dump("123456789") + dump("latin1") + b"\x86R",
        tensor(of=dump("storage")),
        tensor(of=storage(view=dump(("1", 0, 2)))),
        tensor(of=storage().replace(b"storage", b"notthis")),
        storage(),
        b"NNN",
        b"0",
        b"h\x07",
        b"R",
        b"e",
    ],
)
def test_malformed_programs(tmp_path, value):
    for form in (legacy, zipped):
        refused(tmp_path, form(entry(value)))


@pytest.mark.parametrize("value", [dump([1]), dump(3), dump("text"), b"N", tensor()])
def test_only_dictionaries(tmp_path, value):
    assert "expected a dictionary of tensors" in refused(tmp_path, zipped(value))


def test_storages_that_are_not_there_cost_nothing(tmp_path):
    """A header that promises a terabyte is compared with the file first."""
    size = 1 << 38
    huge = tensor((size,), (1,), of=storage(size=size))
    tracemalloc.start()
    assert "promises 1,099,511,627,776 bytes" in refused(tmp_path, zipped(entry(huge)))
    assert "promises 1,099,511,627,776 bytes" in refused(tmp_path, legacy(entry(huge), {"0": (size, NUMBERS)}))
    assert "promises 1,099,511,627,776 bytes" in refused(tmp_path, legacy(entry(huge)))
    assert "impossible size" in refused(tmp_path, zipped(entry(storage(size=1 << 70))))
    assert "impossible size" in refused(tmp_path, zipped(entry(storage(size=-1))))
    header = b'{"a":{"dtype":"F32","shape":[274877906944],"data_offsets":[0,1099511627776]}}'
    refused(tmp_path, struct.pack("<Q", len(header)) + header + NUMBERS)
    refused(tmp_path, struct.pack("<Q", 1 << 62) + header)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2, 3), (3, 1), 1),
        ((7,), (1,), 0),
        ((2, 2), (5, 1), 0),
        ((2,), (1, 1), 0),
        ((2,), (-1,), 2),
        ((-1,), (1,), 0),
        ((True,), (1,), 0),
        ((1 << 41,), (0,), 0),
        ((1,) * 9, (1,) * 9, 0),
        ((), (), 6),
        ((1 << 40, 1 << 40), (0, 0), 0),
    ],
)
def test_tensors_beyond_their_storage(tmp_path, shape, strides, offset):
    for form in (legacy, zipped):
        refused(tmp_path, form(entry(tensor(shape, strides, offset))))


def test_bombs(tmp_path, monkeypatch):
    """Recursion, references without end, keys that are slow to hash, memos far away, endless work."""
    monkeypatch.setattr(torch_pickle, "MAX_WORK", 10_000)
    deep = b"]" * 1000 + b"a" * 999
    assert "nested deeper" in refused(tmp_path, zipped(entry(deep)))
    assert "nested deeper" in refused(tmp_path, zipped(entry(b"]q\x01h\x01a")))  # contains itself
    laughs = b"".join(b"(" + (b"h" + bytes([i])) * 30 + b"tq" + bytes([i + 1]) for i in range(1, 5))
    assert "hold more than 10,000" in refused(tmp_path, zipped(entry(b"(]q\x01" + laughs + b"t")))
    assert "a key that is no text" in refused(tmp_path, zipped(b"}" + b")" + b"N" + b"s"))
    assert "a key that is no text" in refused(tmp_path, zipped(b"}" + dump(1 << 61) + b"N" + b"s"))
    assert read(tmp_path, zipped(entry(b"Nr\xff\xff\xff\x7f"))) == {"a": None}
    assert "more than 10,000 operations" in refused(tmp_path, zipped(entry(b"Nq\x01" * 5001)))
    pairs = b"](" + b"]q\x02(U\x01aNe" + b"h\x02" * 999 + b"eq\x01"
    again = b"ccollections\nOrderedDict\nh\x01\x85R"
    assert "more than 10,000 operations" in refused(tmp_path, zipped(entry(pairs + again * 10)))


def test_zip_bombs(tmp_path):
    assert "compressed or overlapping" in refused(
        tmp_path, zipped(entry(tensor()), {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    )
    good = zipped(entry(tensor()))
    many = good + b"PK\x01\x02" * 100_001
    assert "more than 100,000 members" in refused(tmp_path, many)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("name/data.pkl", program(entry(tensor())))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("name/data.pkl", program(entry(tensor())))
    assert "expected one data.pkl" in refused(tmp_path, buffer.getvalue())
    # Every member lies at the place of the largest.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("name/data.pkl", program(entry(tensor())))
        archive.writestr("name/data/0", bytes(10_000))
        whole = archive.getinfo("name/data/0")
        for i in range(1, 5):
            info = zipfile.ZipInfo(f"name/data/{i}")
            info.header_offset, info.CRC, info.file_size = whole.header_offset, whole.CRC, 10_000
            info.compress_size = 10_000
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
    assert "overlapping" in refused(tmp_path, buffer.getvalue())


def test_what_is_no_such_file(tmp_path):
    assert "expected a file of torch.save" in refused(tmp_path, b"")
    assert "expected a file of torch.save" in refused(tmp_path, b"<html>404</html>" * 10)
    assert "its magic number is missing" in refused(tmp_path, pickle.dumps({"a": 1}, 2))
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    assert "not of torch.save" in refused(tmp_path, buffer.getvalue())
    with pytest.raises(TorchFileError, match=r"none.pth: cannot be read \(No such file"):
        torch_files.read(tmp_path / "none.pth")
    with pytest.raises(TorchFileError, match=r"cannot be read \(Is a directory"):
        torch_files.read(tmp_path)
    big = zipfile.ZipFile(tmp_path / "big.pth", "w")
    big.writestr("name/data.pkl", program(entry(tensor())))
    big.writestr("name/data/0", NUMBERS)
    big.writestr("name/byteorder", "big")
    big.close()
    with pytest.raises(TorchFileError, match="big-endian"):
        torch_files.read(tmp_path / "big.pth")


def test_too_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_files, "MAX_FILE_BYTES", 100)
    assert "larger than 100 bytes" in refused(tmp_path, legacy(entry(tensor())))


FILES = ("odd.pth", "odd_legacy.pth", "densenet_bfloat16.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_truncated_files(tmp_path, name):
    data = (FOLDER / name).read_bytes()
    lengths = [*range(0, len(data) - 1, math.ceil(len(data) / 60)), len(data) - 1]
    for length in lengths:
        refused(tmp_path, data[:length])
    assert len(lengths) > 50


def mutate(data: bytes, random: np.random.RandomState) -> bytes:
    """Bytes changed, cut out, doubled or put elsewhere."""
    mutated = bytearray(data)
    for _ in range(random.randint(1, 4)):
        start, length = random.randint(len(mutated)), random.randint(1, 9)
        match random.randint(5):
            case 0 | 1:
                mutated[start] = random.randint(256)
            case 2:
                del mutated[start : start + length]
            case 3:
                mutated[start:start] = mutated[start : start + length]
            case _:
                other = random.randint(len(mutated))
                mutated[start : start + length] = mutated[other : other + length]
    return bytes(mutated)


def repacked(data: bytes, random: np.random.RandomState) -> bytes:
    """A zip file whose pickle is mutated and whose checksums are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, mutate(content, random) if name.endswith("data.pkl") else content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "change"),
    [*((name, mutate) for name in FILES), ("odd.pth", repacked)],
    ids=["zip", "legacy", "safetensors", "pickle in zip"],
)
def test_mutated_files(tmp_path, name, change):
    """Either they are read or there is one clear error: no other exception, no code, no endless work."""
    data = (FOLDER / name).read_bytes()
    random = np.random.RandomState(5)
    outcomes, messages = set(), []
    path = tmp_path / "mutated.pth"
    for _ in range(300):
        path.write_bytes(change(data, random))
        try:
            outcomes.add(type(torch_files.read(path)))
        except TorchFileError as error:
            messages.append(str(error))
            outcomes.add(TorchFileError)
    assert outcomes == {dict, TorchFileError}
    assert all(message.startswith(f"{path}: ") and message.isprintable() for message in messages)
