"""Reads large JSON files of others, such as EFT's fits and COCO's annotations."""

import json
import os
from collections.abc import Callable
from typing import Any, NoReturn

from render.smpl.array_files import ArrayFileError, found, read_bytes

# Lists and objects take 56 bytes of memory each. EFT's fits have about 100 lists each, COCO's annotations four.
MAX_CONTAINERS = 30_000_000


def read_json(path: str | os.PathLike[str], object_hook: Callable[[dict[str, Any]], Any]) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        object_hook: Makes each object smaller as soon as it is read, see `json.loads`.

    Raises:
        ArrayFileError: The file is missing, too large, not JSON, or holds NaN or infinities.
    """
    data = read_bytes(path)
    count = data.count(b"[") + data.count(b"{")
    if count > MAX_CONTAINERS:
        raise ArrayFileError(f"{path}: {count:,} lists and objects; this cannot be the file that is meant.")
    try:
        return json.loads(data, object_hook=object_hook, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArrayFileError(f"{path}: not JSON{found(data, error)}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
