"""Writes files whole or not at all, and reads and writes JSON.

Standard library only: every package of this project uses it.
"""

import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any


class DamagedFileError(ValueError):
    """A file that a program wrote and that cannot be read any more. The message names it and says what to do."""


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it is there whole or not at all, whenever the process dies.

    Raises:
        OSError: It cannot be written, such as on a full disk; the error names the file.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:  # it names no file, or the temporary one
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a value as indented JSON, atomically. NaN is refused.

    Raises:
        OSError: See `write_atomic`.
    """
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file that a program wrote into a folder of its own.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It is damaged, such as empty after a crash of the machine.
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
    """JSON with sorted keys on one line: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
