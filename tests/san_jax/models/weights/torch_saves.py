"""Files as torch.save writes them, put together operation by operation."""

import pathlib
import pickle
import zipfile
from typing import Any

import numpy as np

KINDS = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
}


def dump(value: Any) -> bytes:
    """The operations that put a plain value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def storage(
    key: str = "0", size: int = 6, kind: str = "FloatStorage", view: bytes = b"", location: str = "cpu"
) -> bytes:
    """Those that put a storage there."""
    identity = dump("storage") + f"ctorch\n{kind}\n".encode() + dump(key) + dump(location) + dump(size) + view
    return b"(" + identity + b"tQ"


def tensor(shape=(2, 3), strides=(3, 1), offset: int = 0, of: bytes | None = None) -> bytes:
    """Those that put a view of a storage there."""
    arguments = (of or storage()) + dump(offset) + dump(shape) + dump(strides) + dump(False) + b"N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def save(path: pathlib.Path, content: dict[Any, Any], location: str = "cpu") -> pathlib.Path:
    """Writes a zip file with arrays as tensors; other values as pickle writes them.

    Args:
        path: The file.
        content: Arrays and other values in dictionaries.
        location: Where the tensors were, such as "cuda:0".
    """
    storages: list[bytes] = []

    def convert(value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            kind = KINDS[value.dtype.name]
            strides = tuple(stride // value.itemsize for stride in np.array(value, order="C").strides)
            storages.append(value.tobytes())
            return tensor(value.shape, strides, of=storage(str(len(storages) - 1), value.size, kind, location=location))
        if type(value) is dict:
            return b"}" + b"".join(dump(key) + convert(member) + b"s" for key, member in value.items())
        return dump(value)

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + convert(content) + b".")
        for number, data in enumerate(storages):
            archive.writestr(f"archive/data/{number}", data)
    return path
