"""Unpacks archives that users downloaded (zip, tar, tar.gz, tar.bz2, tar.xz) without trusting them.

An archive may hold anything. zipfile and tarfile parse it; this module decides what is written, by the same rules for
both: plain files and folders below one folder, each once, and no more bytes than the caller allows. Bytes are counted
as they are written, because headers can lie. Anything else is refused with the name of the archive and of the entry.
"""

import bz2
import dataclasses
import errno
import gzip
import hashlib
import io
import lzma
import os
import pathlib
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import tqdm

from datasets.errors import DatasetError
from san_jax import file_kinds

MAX_ENTRIES = 500_000  # files and folders; MSMT17, the largest benchmark, has 126,441 images
_CHUNK = 1 << 20
# tarfile reads all headers of an entry (pax, long names, maps of sparse files) at once; real ones are shorter.
_MAX_HEADERS = 1 << 20
# Limit of what follows the end of a tar: records are padded with zeros.
_MAX_PADDING = 1 << 24

# `xz -9` has a dictionary of 64 MiB; a header may ask for 4 GiB.
_MAX_XZ_MEMORY = 160 << 20
# zipfile inflates entries packed by other methods (bzip2, LZMA) without a limit.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class UnwritableError(DatasetError):
    """A failure to write what an archive holds, for example on a full disk. The archive may be fine."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One entry of an archive.

    Attributes:
        name: Its name as written there.
        problem: What is wrong with its kind, or None.
        is_folder: Whether it is a folder.
        size: Its unpacked size as its header says.
        open: Opens its content.
    """

    name: str
    problem: str | None
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes]]


@dataclasses.dataclass
class _Limits:
    """Counts what an archive holds and refuses more than the limits.

    Attributes:
        max_bytes: Limit of the bytes of all files by their headers.
    """

    max_bytes: int
    _bytes: int = 0
    _entries: int = 0

    def count(self, entry: _Entry) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise _Refused(f"more than {MAX_ENTRIES:,} entries")
        if self._bytes + entry.size > self.max_bytes:
            raise _Refused(f"unpacks to more than {self.max_bytes:,} bytes: a decompression bomb, or another archive")
        self._bytes += 0 if entry.is_folder else entry.size


def unpack(archive: pathlib.Path, folder: pathlib.Path, *, max_bytes: int) -> None:
    """Unpack a zip or tar into a new folder.

    After a refusal, what was unpacked before stays in `folder`: the caller removes it.

    Args:
        archive: The archive; its first bytes tell its format.
        folder: The folder; must not exist yet.
        max_bytes: Limit of the unpacked size of all files.

    Raises:
        DatasetError: The file is not an archive, or is unsafe, damaged or truncated; names the entry.
        UnwritableError: The archive cannot be read, or its files cannot be written.
    """
    folder.mkdir(parents=True)
    entry_name = ""
    limits = _Limits(max_bytes)
    try:
        with open(archive, "rb") as file, _progress(archive) as progress:
            for entry in _entries(file):
                entry_name = entry.name
                limits.count(entry)
                target = _target(folder, entry)
                if entry.is_folder:
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    _write(entry, target, lambda: progress.update(file.tell() - progress.n))
    except OSError as error:
        if error.errno is None:  # raised by gzip, bz2 and lzma
            raise _error(archive, entry_name, f"damaged or truncated ({error})") from error
        raise _unwritable(archive, folder, max_bytes, error) from error
    except _Refused as refused:
        raise _error(archive, entry_name, f"refused: {refused}") from None
    except NotImplementedError as error:
        raise _error(archive, entry_name, f"packed by a method that Python lacks ({error})") from error
    # Many exception types report damage (zlib.error, EOFError, BadZipFile, TarError, ValueError, ...).
    except Exception as error:
        raise _error(archive, entry_name, f"damaged or truncated ({error})") from error


def _progress(archive: pathlib.Path) -> tqdm.tqdm:
    return tqdm.tqdm(
        desc=f"Unpacking {archive.name}",
        total=archive.stat().st_size,
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    )


def _write(entry: _Entry, target: pathlib.Path, show_progress: Callable[[], object]) -> None:
    """Write the file of an entry, refusing it unless it is as long as its header says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with entry.open() as source, _create(target) as output:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > entry.size:
                raise _Refused(f"holds more than the {entry.size:,} bytes that its header says")
            output.write(chunk)
            show_progress()
    if written != entry.size:
        raise _Refused(f"truncated: {written:,} bytes of the {entry.size:,} that its header says")


def sha256(archive: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(archive, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Refused(Exception):
    """An archive that is not unpacked. The message says why."""


def _unwritable(archive: pathlib.Path, folder: pathlib.Path, max_bytes: int, error: OSError) -> UnwritableError:
    line = f"{archive}: cannot be unpacked into {folder}: {error.strerror}"
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = f"\nMake room there (up to {max_bytes:,} bytes), or choose another data_dir." if is_full else ""
    return UnwritableError(line + advice, [line])


def _error(archive: pathlib.Path, entry_name: str, what: str) -> DatasetError:
    where = f", entry {entry_name!r}" if entry_name else ""
    line = f"{archive}{where}: {what}"
    return DatasetError(
        f"{line}\nGet the archive again from where its authors offer it, or unpack it yourself and give the folder.",
        [line],
    )


def _target(folder: pathlib.Path, entry: _Entry) -> pathlib.Path:
    """Return where an entry is written. Names in tars often begin with `./`."""
    parts = [part for part in entry.name.split("/") if part not in ("", ".")]
    if entry.name.startswith("/") or re.match(r"[A-Za-z]:", entry.name):
        raise _Refused("absolute path")
    if ".." in parts:
        raise _Refused("a path that leads outside ('..')")
    if "\\" in entry.name or any(ord(character) < 32 for character in entry.name):
        raise _Refused("a path with a backslash or a control character")
    if entry.problem:
        raise _Refused(entry.problem)
    if not parts and not entry.is_folder:
        raise _Refused("a file without a name")
    return folder.joinpath(*parts)


def _create(target: pathlib.Path) -> IO[bytes]:
    try:
        return open(target, "xb")
    except FileExistsError:
        raise _Refused("duplicate: another entry has this path") from None


def _entries(file: IO[bytes]) -> Iterator[_Entry]:
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK"):
        return _zip_entries(file)
    for magic, opener in _OPENERS:
        if start.startswith(magic):
            return _tar_entries(_Metered(opener(file)))
    if start[257:262] == b"ustar":
        return _tar_entries(_Metered(file))
    raise _Refused(f"neither a zip nor a tar{file_kinds.found(start)}")


def _zip_entries(file: IO[bytes]) -> Iterator[_Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            problem = None
            if info.flag_bits & 1:
                problem = "encrypted"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                problem = _kind(stat.S_ISLNK(kind))
            elif info.compress_type not in _ZIP_METHODS:
                problem = f"packed by method {info.compress_type}, expected 0 (stored) or 8 (deflated)"
            # Python cuts `filename` at a NUL; `orig_filename` keeps it, and control characters are refused.
            yield _Entry(
                info.orig_filename, problem, info.is_dir(), info.file_size, lambda info=info: archive.open(info)
            )


def _tar_entries(file: "_Metered") -> Iterator[_Entry]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.size < 0:
                raise _Refused(f"damaged: the tar's header gives {info.name!r} {info.size:,} bytes")
            problem = None if info.isreg() or info.isdir() else _kind(info.issym() or info.islnk())
            size = info.size if info.isreg() else 0
            file.allowance = size + _MAX_HEADERS  # the file and the headers of the next one
            yield _Entry(info.name, problem, info.isdir(), size, lambda info=info: _member(archive, info))
        # An archive ends with a block of zeros, but tarfile accepts the end of a truncated file too.
        if file.last != bytes(tarfile.BLOCKSIZE):
            raise _Refused("truncated or damaged: the mark at its end is missing")
        # Compressed files have their checksum at the very end.
        file.allowance = _MAX_PADDING
        while file.read(tarfile.RECORDSIZE):
            pass


def _kind(is_link: bool) -> str:
    return "a link" if is_link else "a device or another special file"


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    member = archive.extractfile(info)
    assert member is not None, "a regular file"
    return member


class _Metered(io.RawIOBase):
    """A decompressed tar, read forward only, that cannot be made to read gigabytes of headers.

    Attributes:
        allowance: Number of bytes that may still be read or skipped.
        last: The bytes that were read last.
    """

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._position = 0
        self.allowance = _MAX_HEADERS
        self.last = b""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= self.allowance:
            raise _Refused("headers or padding of an enormous size: a decompression bomb")
        self.last = self._file.read(size)
        self.allowance -= len(self.last)
        self._position += len(self.last)
        return self.last

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise _Refused("damaged: a header of the tar leads back")
        while self._position < offset and self.read(min(offset - self._position, _CHUNK)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position


class _Xz(io.RawIOBase):
    """Decompresses xz as `lzma.open` does, but limits the memory that a header can ask for."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._decompressor = self._start()

    @staticmethod
    def _start() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while True:
            data = b""
            if self._decompressor.eof:  # another stream may follow, zeros between them
                data = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(_CHUNK).lstrip(b"\0")
                if not data:
                    return 0
                self._decompressor = self._start()
            elif self._decompressor.needs_input and not (data := self._file.read(_CHUNK)):
                raise EOFError("the file ends before its end is marked")
            try:
                found = self._decompressor.decompress(data, len(buffer))
            except lzma.LZMAError as error:
                if "memory usage limit" in str(error).lower():
                    raise _Refused(f"needs more than {_MAX_XZ_MEMORY:,} bytes of memory to decompress") from None
                raise
            if found:
                buffer[: len(found)] = found
                return len(found)


_OPENERS: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lambda file: io.BufferedReader(_Xz(file))),
)
