"""Says what an unexpected file is: a Git LFS pointer, a saved login page, an archive.

Readers of files from outside end their error messages with `found`. It looks only at the first bytes of a file, not at
its name.

Imports only the standard library, because `datasets` and `render` import this module.
"""

import pathlib
import re

START = 512  # bytes that are looked at

_LFS = "a Git LFS pointer: run `git lfs pull` where it was cloned, or download the file itself"
_UNPACK = "unpack it and give the file inside"
_SIGNS = (
    (0, b"version https://git-lfs", _LFS),
    (0, b"\x1f\x8b", f"a gzip file: {_UNPACK}"),
    (0, b"BZh", f"a bzip2 file: {_UNPACK}"),
    (0, b"\xfd7zXZ\0", f"an xz file: {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"a Zstandard file: {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it and give what is inside"),
    (0, b"Rar!\x1a\x07", "a RAR archive: unpack it and give what is inside"),
    (0, b"PK", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
)  # fmt: skip
_HTML = re.compile(rb"<!doctype html|<html|<head|<body|<script", re.IGNORECASE)
_XML = re.compile(rb"<\?xml|<error", re.IGNORECASE)


def describe(start: bytes) -> str | None:
    """Return what a file is and, if possible, what to do about it.

    An example is "a gzip file: unpack it and give the file inside".

    Args:
        start: The first `START` bytes of the file, or all of it.

    Returns:
        None if the kind of the file is unknown.
    """
    if not start:
        return "an empty file: fetch it again"
    for offset, sign, kind in _SIGNS:
        if start.startswith(sign, offset):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _HTML.match(text) or (_XML.match(text) and _HTML.search(text)):
        return "a web page, such as one that asks to log in: download the file itself"
    if _XML.match(text):
        return "an XML document, such as a server's refusal: download the file itself"
    return None


def found(start: bytes) -> str:
    """Return the end of an error message: ", found a gzip file: ...", or "" if the kind is unknown."""
    kind = describe(start[:START])
    return f", found {kind}" if kind else ""


def read_start(path: pathlib.Path) -> bytes:
    """Return the first bytes of a file, for `describe`.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(START)
