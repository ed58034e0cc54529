"""Writes files completely or not at all, and reads and writes JSON.

Imports only the standard library: every package of this project uses this module.
"""

import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any


class DamagedFileError(ValueError):
    """A damaged file that a program wrote. The message names the file and says what to do."""


def write_atomic(path: str | os.PathLike[str], data: bytes | Iterable[bytes]) -> None:
    """Write a file so that it is complete or absent, whenever the process dies.

    Args:
        path: The file. Its folder is made if absent.
        data: The content, or its parts in order, which are written as they come.

    Raises:
        OSError: It cannot be written, for example on a full disk; the error names the file.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines([data] if isinstance(data, bytes) else data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:  # name this file instead of the temporary one
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON, atomically. NaN is refused.

    Raises:
        OSError: The file cannot be written; see `write_atomic`.
    """
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object in a JSON file that a program wrote into a folder of its own.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It is damaged, for example empty after a crash of the machine.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, found {type(content).__name__}")
    except ValueError as error:  # UnicodeDecodeError is one
        raise DamagedFileError(
            f"{path} is damaged ({error}): put back a good copy, or start again in another folder."
        ) from None
    return content


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys on one line: equal values give equal text. NaN is refused."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
