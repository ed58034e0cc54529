"""Files of PyTorch weights, read without PyTorch: `torch.save`'s two formats (zip and legacy) and safetensors.

A `torch.save` file is a pickle with the tensors' numbers beside it; `torch_pickle` runs the pickle.

Formats: `torch/serialization.py` of PyTorch 0.1.6 to 2.13; safetensors' README.
"""

import io
import math
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors

from san_jax import file_kinds
from san_jax.models.weights import torch_pickle
from san_jax.models.weights.torch_pickle import BFLOAT16, TorchFileError, fail, quote

MAX_FILE_BYTES = 1 << 31  # ResNet-101 has 180 MB
_MAX_PICKLE_BYTES = 1 << 26  # without the numbers; DenseNet-121's has 60 kB
_MAX_ZIP_MEMBERS = 100_000
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

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


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the dictionary that was saved; which format it is in is told by the file's content.

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
            fail(f"expected a file of torch.save (zip or legacy) or of safetensors{what}.")
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


def _decode(data: bytes | bytearray | memoryview, kind: str) -> np.ndarray:
    """Numbers from their bytes; only bfloat16 is copied."""
    if kind == BFLOAT16:
        array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        array = np.frombuffer(data, kind)
    array.flags.writeable = False
    return array


def _read_safetensors(data: bytes) -> dict[str, Any]:
    # What `safetensors.numpy.load` does, which knows no bfloat16.
    arrays = {}
    for name, tensor in safetensors.deserialize(data):
        if tensor["dtype"] not in _SAFETENSORS:
            fail(f"{quote(name)} is of type {tensor['dtype']}, expected one of {', '.join(_SAFETENSORS)}.")
        arrays[name] = _decode(tensor["data"], _SAFETENSORS[tensor["dtype"]]).reshape(tensor["shape"])
    return arrays


def _read_zip(data: bytes) -> dict[str, Any]:
    """`<name>/data.pkl` beside `<name>/data/<key>` for each storage, all of them stored without compression."""
    if data.count(b"PK\x01\x02") > _MAX_ZIP_MEMBERS:  # zipfile keeps an object for each
        fail(f"a zip archive of more than {_MAX_ZIP_MEMBERS:,} members.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        sizes = {member.filename: member.file_size for member in members}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members) or sum(sizes.values()) > len(data):
            fail("a zip archive with compressed or overlapping members, which torch.save does not write.")
        programs = [name for name in sizes if name.endswith("/data.pkl")]
        if len(sizes) != len(members) or len(programs) != 1:
            fail("a zip archive, but not of torch.save: expected one data.pkl in it.")
        folder = programs[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in sizes and archive.read(f"{folder}byteorder") != b"little":
            fail("saved on a big-endian machine, which is not read.")
        if sizes[programs[0]] > _MAX_PICKLE_BYTES:
            fail(f"its data.pkl is larger than {_MAX_PICKLE_BYTES:,} bytes.")
        root, _ = torch_pickle.run(io.BytesIO(archive.read(programs[0])))

        def load(key: str, num_bytes: int) -> bytes:
            name = f"{folder}data/{key}"
            if sizes.get(name) != num_bytes:
                fail(f"its pickle promises {num_bytes:,} bytes in {quote(name)}, found {sizes.get(name, 'none')}.")
            return archive.read(name)

        return _resolve(root, load)


def _read_legacy(data: bytes) -> dict[str, Any]:
    """Five pickles (magic number, protocol, facts on the machine, content, keys of storages), then the storages."""
    stream = io.BytesIO(data[:_MAX_PICKLE_BYTES])
    if torch_pickle.run(stream)[0] != _LEGACY_MAGIC:
        fail("a pickle, but not of torch.save: its magic number is missing.")
    (protocol, _), (machine, _), (root, storages), (keys, _) = (torch_pickle.run(stream) for _ in range(4))
    if protocol != _LEGACY_PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        fail("expected torch.save's legacy format 1001 of a little-endian machine.")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        fail("damaged: the list of its storages is missing.")
    item_sizes = {storage.key: torch_pickle.item_size(storage.kind) for storage in storages}
    position, parts = stream.tell(), {}
    for key in keys:
        if key not in item_sizes or key in parts:
            fail(f"damaged: its storage {quote(key)} is not that of a tensor, or is there twice.")
        count = int.from_bytes(data[position : position + 8], "little")
        position, size = position + 8, count * item_sizes[key]
        if size > len(data) - position:
            fail(f"its storage {quote(key)} promises {size:,} bytes, {max(0, len(data) - position):,} are left.")
        parts[key] = (position, size)
        position += size
    if position != len(data):
        fail(f"damaged: {len(data) - position:,} bytes follow the last storage.")

    def load(key: str, num_bytes: int) -> memoryview:
        start, size = parts.get(key, (0, None))
        if size != num_bytes:
            fail(f"its pickle promises {num_bytes:,} bytes in storage {quote(key)}, found {size or 'none'}.")
        return memoryview(data)[start : start + num_bytes]

    return _resolve(root, load)


def _resolve(root: Any, load: Callable[[str, int], bytes | memoryview]) -> dict[str, Any]:
    """Arrays in place of the tensors.

    Args:
        root: What the pickle gave.
        load: (key, number of bytes) -> the bytes of a storage, as often as it is asked for in different types.
    """
    if not isinstance(root, dict):
        fail(f"expected a dictionary of tensors, found {type(root).__name__.strip('_').lower()}.")
    storages: dict[tuple[str, str], np.ndarray] = {}
    for storage in (
        torch_pickle.unwrap(value).storage
        for value in torch_pickle.walk(root)
        if isinstance(value, torch_pickle.Tensor | torch_pickle.Wrapped)
    ):
        if (storage.key, storage.kind) not in storages:
            data = load(storage.key, storage.size * torch_pickle.item_size(storage.kind))
            storages[storage.key, storage.kind] = _decode(data, storage.kind)
        elif storages[storage.key, storage.kind].size != storage.size:
            fail(f"damaged: its storage {quote(storage.key)} has two sizes.")

    def convert(value: Any) -> Any:  # as deep as `walk` went
        if isinstance(value, torch_pickle.Tensor | torch_pickle.Wrapped):
            tensor = torch_pickle.unwrap(value)
            return _view(storages[tensor.storage.key, tensor.storage.kind], tensor)
        if isinstance(value, dict):
            return {key: convert(member) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(convert(member) for member in value)
        return torch_pickle.check(value, int | float | str | bytes | None)

    return convert(root)


def _view(numbers: np.ndarray, tensor: torch_pickle.Tensor) -> np.ndarray:
    if not math.prod(tensor.shape):
        return numbers[:0].reshape(tensor.shape)
    strides = tuple(stride * numbers.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
