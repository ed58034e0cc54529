"""Unpacking what comes from outside: all formats, and every attack refused by name with nothing written outside."""

import builtins
import gzip
import io
import lzma
import os
import pathlib
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest

from datasets import archives
from datasets.errors import DatasetError

LIMIT = 1 << 20
CONTENT = {"root/a.txt": b"first", "root/folder/b.bin": bytes(range(256)) * 9, "root/empty": b""}


def _zip(path: pathlib.Path, entries: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(info)
            packed.writestr(info, data)


def _tar(path: pathlib.Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as packed:  # pyright: ignore[reportArgumentType, reportCallIssue]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                packed.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                packed.addfile(info, io.BytesIO(member[1]))


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _refused(archive: pathlib.Path, entry: str | None, reason: str, **limits: int) -> None:
    """Asserts that an archive is refused by its name and its entry's, and that nothing is written beside `folder`."""
    parent = archive.parent
    before = {path: path.lstat().st_mtime_ns for path in parent.rglob("*")}
    folder = parent / "deep" / "inside" / "unpacked"
    with pytest.raises(DatasetError) as error:
        archives.unpack(archive, folder, **{"max_bytes": LIMIT, **limits})
    (line,) = error.value.problems
    assert line.startswith(f"{archive}, entry {entry!r}: " if entry else f"{archive}: ")
    assert reason in line
    assert line in str(error.value)
    after = {path: path.lstat().st_mtime_ns for path in parent.rglob("*")}
    outside = {path: time for path, time in after.items() if parent / "deep" not in [path, *path.parents]}
    assert outside == before
    written = [path for path in (parent / "deep").rglob("*") if folder not in [path, *path.parents]]
    assert written == [folder.parent]
    assert all(stat.S_ISREG(p.lstat().st_mode) or stat.S_ISDIR(p.lstat().st_mode) for p in folder.rglob("*"))


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_format_is_unpacked(tmp_path: pathlib.Path, suffix: str):
    archive = tmp_path / f"named.{suffix}.download"  # told by its first bytes, not by its name
    if suffix == "zip":
        _zip(archive, {"root/": b"", **CONTENT})
    else:
        mode = "w" if suffix == "tar" else f"w:{suffix.removeprefix('tar.')}"
        folder = _special("./root", tarfile.DIRTYPE)
        _tar(archive, folder, *((f"./{name}", data) for name, data in CONTENT.items()), mode=mode)
    archives.unpack(archive, tmp_path / "unpacked", max_bytes=LIMIT)
    assert _files(tmp_path / "unpacked") == CONTENT


def test_long_and_foreign_names(tmp_path: pathlib.Path):
    names = {f"{'long' * 40}/{'name' * 40}.jpg": b"x", "人/写真.jpg": b"y"}
    _tar(tmp_path / "a.tar.gz", *names.items(), mode="w:gz")
    _zip(tmp_path / "a.zip", names)
    for name in ("a.tar.gz", "a.zip"):
        archives.unpack(tmp_path / name, tmp_path / f"unpacked_{name}", max_bytes=LIMIT)
        assert _files(tmp_path / f"unpacked_{name}") == names


PATHS = [
    ("../evil.txt", "leads outside"),
    ("root/../../evil.txt", "leads outside"),
    ("root/..", "leads outside"),
    ("/tmp/evil.txt", "absolute path"),
    ("C:/evil.txt", "absolute path"),
    ("c:evil.txt", "absolute path"),
    ("..\\evil.txt", "backslash"),
    ("root\\evil.txt", "backslash"),
    ("\\\\server\\evil.txt", "backslash"),
    ("root/a\nb", "control character"),
]


@pytest.mark.parametrize(("name", "reason"), PATHS)
def test_paths_that_lead_outside(tmp_path: pathlib.Path, name: str, reason: str):
    _zip(tmp_path / "a.zip", {"root/good.txt": b"good", name: b"evil"})
    _refused(tmp_path / "a.zip", name, reason)


@pytest.mark.parametrize(("name", "reason"), PATHS)
def test_paths_that_lead_outside_in_tars(tmp_path: pathlib.Path, name: str, reason: str):
    _tar(tmp_path / "a.tar.gz", ("root/good.txt", b"good"), (name, b"evil"), mode="w:gz")
    _refused(tmp_path / "a.tar.gz", name, reason)


def test_a_name_with_a_nul_in_a_zip(tmp_path: pathlib.Path):
    _zip(tmp_path / "a.zip", {"root/good.jpgXexe": b"evil"})
    data = (tmp_path / "a.zip").read_bytes().replace(b"good.jpgXexe", b"good.jpg\0exe")
    (tmp_path / "a.zip").write_bytes(data)
    _refused(tmp_path / "a.zip", "root/good.jpg\0exe", "control character")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device"), (stat.S_IFIFO, "a device")],
)
def test_links_and_devices_in_a_zip(tmp_path: pathlib.Path, kind: int, reason: str):
    def change(info: zipfile.ZipInfo) -> None:
        info.create_system = 3  # Unix
        info.external_attr = (kind | 0o777) << 16

    _zip(tmp_path / "a.zip", {"root/evil": b"/etc/passwd"}, change)
    _refused(tmp_path / "a.zip", "root/evil", reason)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_a_tar(tmp_path: pathlib.Path, kind: bytes, reason: str):
    _tar(tmp_path / "a.tar", ("root/a.txt", b"good"), _special("root/evil", kind, "/etc"), ("root/evil/x", b"evil"))
    _refused(tmp_path / "a.tar", "root/evil", reason)


def test_encrypted_entries(tmp_path: pathlib.Path):
    _zip(tmp_path / "a.zip", {"root/secret.jpg": b"secret"})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1  # general purpose flags of the local header ...
    data[data.index(b"PK\x01\x02") + 8] |= 1  # ... and of the directory
    (tmp_path / "a.zip").write_bytes(data)
    _refused(tmp_path / "a.zip", "root/secret.jpg", "refused: encrypted")


@pytest.mark.parametrize("second", ["root/a.txt", "./root//a.txt"])
def test_duplicate_entries(tmp_path: pathlib.Path, second: str):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("root/a.txt", b"first")
        if second == "root/a.txt":
            with pytest.warns(UserWarning, match="Duplicate name"):
                packed.writestr(second, b"second")
        else:
            packed.writestr(second, b"second")
    _refused(tmp_path / "a.zip", second, "duplicate")
    _tar(tmp_path / "a.tar", ("root/a.txt", b"first"), (second, b"second"))
    _clear(tmp_path)
    _refused(tmp_path / "a.tar", second, "duplicate")
    assert (tmp_path / "deep" / "inside" / "unpacked" / "root" / "a.txt").read_bytes() == b"first"


def _clear(parent: pathlib.Path) -> None:
    for path in sorted((parent / "deep").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (parent / "deep").rmdir()


def test_a_bomb_with_an_honest_header(tmp_path: pathlib.Path):
    zeros = bytes(LIMIT // 2)
    names = ["root/first.bin", "root/second.bin", "root/third.bin"]
    _zip(tmp_path / "a.zip", dict.fromkeys(names, zeros))
    assert (tmp_path / "a.zip").stat().st_size < 5000
    _refused(tmp_path / "a.zip", "root/third.bin", "a decompression bomb")
    _clear(tmp_path)
    _tar(tmp_path / "a.tar.xz", *((name, zeros) for name in names), mode="w:xz")
    _refused(tmp_path / "a.tar.xz", "root/third.bin", "a decompression bomb")


@pytest.mark.parametrize("claimed", [10, 1 << 40])
def test_a_zip_whose_header_lies(tmp_path: pathlib.Path, claimed: int):
    """The directory claims another size than the entry has: less, or more than there could be."""
    _zip(tmp_path / "a.zip", {"root/bomb.bin": bytes(8 * LIMIT)})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    directory = data.index(b"PK\x01\x02")
    if claimed < 1 << 32:
        struct.pack_into("<I", data, directory + 24, claimed)
        reason = "damaged or truncated (Bad CRC-32"
    else:
        struct.pack_into("<I", data, directory + 24, (1 << 32) - 2)
        reason = "a decompression bomb"
    (tmp_path / "a.zip").write_bytes(data)
    _refused(tmp_path / "a.zip", "root/bomb.bin", reason)
    assert sum(map(len, _files(tmp_path / "deep").values())) <= 10


def test_written_bytes_are_counted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Should the library ever give more than the header says, no more of it is written."""
    _zip(tmp_path / "a.zip", {"root/bomb.bin": bytes(10)})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(bytes(8 * LIMIT)))
    _refused(tmp_path / "a.zip", "root/bomb.bin", "holds more than the 10 bytes")
    assert _files(tmp_path / "deep" / "inside" / "unpacked") == {"root/bomb.bin": b""}


def test_a_zip_entry_that_ends_early(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    _zip(tmp_path / "a.zip", {"root/a.bin": bytes(10)})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(bytes(9)))
    _refused(tmp_path / "a.zip", "root/a.bin", "truncated: 9 bytes of the 10")


def test_a_tar_header_that_claims_terabytes(tmp_path: pathlib.Path):
    info = tarfile.TarInfo("root/bomb.bin")
    info.size = 1 << 42
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    _refused(tmp_path / "a.tar", "root/bomb.bin", "a decompression bomb")


def test_a_tar_header_of_negative_size(tmp_path: pathlib.Path):
    """tarfile follows it backwards, in some versions of Python forever."""
    info = tarfile.TarInfo("root/evil.bin")
    buffer = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    buffer[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512 in base 256
    buffer[148:156] = b" " * 8
    buffer[148:156] = b"%06o\0 " % sum(buffer)
    (tmp_path / "a.tar").write_bytes(bytes(buffer) + bytes(10_240))
    with pytest.raises(DatasetError, match=r"a\.tar: .*(-512|damaged)"):
        archives.unpack(tmp_path / "a.tar", tmp_path / "unpacked", max_bytes=LIMIT)
    assert _files(tmp_path / "unpacked") == {}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_among_the_headers_of_a_tar(tmp_path: pathlib.Path, kind: bytes):
    """tarfile reads such headers into memory whole, before it says that there is an entry."""
    info = tarfile.TarInfo("header")
    info.size, info.type = 64 * LIMIT, kind
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            packed.write(bytes(LIMIT))
    assert (tmp_path / "a.tar.gz").stat().st_size < LIMIT
    _refused(tmp_path / "a.tar.gz", None, "a decompression bomb")


def test_a_bomb_behind_the_end_of_a_tar(tmp_path: pathlib.Path):
    _tar(tmp_path / "a.tar", ("root/a.txt", b"good"))
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as packed:
        packed.write((tmp_path / "a.tar").read_bytes())
        for _ in range(20):
            packed.write(bytes(LIMIT))
    _refused(tmp_path / "a.tar.gz", "root/a.txt", "a decompression bomb")


def test_too_many_entries(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 10)
    names = ["/".join(["d"] * depth) + "/" for depth in range(1, 30)]
    _zip(tmp_path / "a.zip", dict.fromkeys(names, b""))
    _refused(tmp_path / "a.zip", names[10], "more than 10 entries")
    _clear(tmp_path)
    _tar(tmp_path / "a.tar", *(_special(name, tarfile.DIRTYPE) for name in names))
    _refused(tmp_path / "a.tar", names[10].rstrip("/"), "more than 10 entries")


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_truncated_archives(tmp_path: pathlib.Path, keep: float):
    content = {f"root/{index}.bin": os.urandom(700) for index in range(30)}
    _zip(tmp_path / "a.zip", content)
    for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")):
        _tar(tmp_path / f"a.{suffix}", *content.items(), mode=mode)
    for path in list(tmp_path.glob("a.*")):
        data = path.read_bytes()
        if path.suffix == ".tar":  # 0.999 would cut zeros behind its end, which say nothing
            data = data[: 30 * 1536]
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(DatasetError, match=f"{path}.*(truncated|neither a zip nor a tar)"):
            archives.unpack(path, tmp_path / f"unpacked_{path.name}", max_bytes=LIMIT)


def test_a_tar_that_is_cut_between_two_files(tmp_path: pathlib.Path):
    """tarfile takes that for the end of the archive."""
    _tar(tmp_path / "a.tar", ("root/a.txt", b"first"), ("root/b.txt", b"second"))
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:1024])
    _refused(tmp_path / "a.tar", "root/a.txt", "truncated or damaged: the mark at its end is missing")


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.xz"])
def test_flipped_bits(tmp_path: pathlib.Path, suffix: str):
    archive = tmp_path / f"a.{suffix}"
    content = {"root/a.bin": os.urandom(20_000)}
    if suffix == "zip":
        _zip(archive, content)
    else:
        _tar(archive, *content.items(), mode=f"w:{suffix.removeprefix('tar.')}")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0x10
    archive.write_bytes(data)
    with pytest.raises(DatasetError, match=f"{archive}.*damaged or truncated"):
        archives.unpack(archive, tmp_path / "unpacked", max_bytes=LIMIT)


@pytest.mark.parametrize("data", [b"", b"Rar!\x1a\x07\x01\x00", b"\x1f\x8b", b"PK", b"hello" * 200])
def test_what_is_no_archive(tmp_path: pathlib.Path, data: bytes):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.zip: (refused: neither a zip nor a tar|damaged)(.|\n)*give the folder"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "unpacked", max_bytes=LIMIT)


def test_a_method_that_python_lacks(tmp_path: pathlib.Path):
    _zip(tmp_path / "a.zip", {"root/a.bin": bytes(100)})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    struct.pack_into("<H", data, 8, 9)  # Deflate64, with which Windows packs what is larger than 2 GiB
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, 9)
    (tmp_path / "a.zip").write_bytes(data)
    _refused(tmp_path / "a.zip", "root/a.bin", "refused: packed by method 9")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_packed_by_a_method_that_zipfile_does_not_bound(tmp_path: pathlib.Path, method: int):
    """zipfile gives what a step of bzip2 or LZMA inflates to at once, gigabytes of it, before it can be counted."""

    def change(info: zipfile.ZipInfo) -> None:
        info.compress_type = method

    _zip(tmp_path / "a.zip", {"root/good.txt": b"good"})
    _zip(tmp_path / "b.zip", {"root/bomb.bin": bytes(64 * LIMIT)}, change)
    tracemalloc.start()
    _refused(tmp_path / "b.zip", "root/bomb.bin", f"refused: packed by method {method}, expected 0", max_bytes=1 << 40)
    assert tracemalloc.get_traced_memory()[1] < 16 * LIMIT
    tracemalloc.stop()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_bomb_in_a_tar_fills_no_memory(tmp_path: pathlib.Path, mode: str):
    _tar(tmp_path / "a.tar", ("root/a.bin", bytes(64 * LIMIT)), ("root/b.bin", bytes(LIMIT)), mode=mode)
    tracemalloc.start()
    _refused(tmp_path / "a.tar", "root/b.bin", "a decompression bomb", max_bytes=64 * LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 16 * LIMIT
    tracemalloc.stop()


def test_an_xz_with_an_enormous_dictionary(tmp_path: pathlib.Path):
    """The header of the second stream asks for the memory: nothing before it does."""
    _tar(tmp_path / "a.tar", ("root/a.txt", b"good"))
    data = (tmp_path / "a.tar").read_bytes()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 << 10}]
    second = bytearray(lzma.compress(data[1024:], filters=filters))
    # The block's header begins at 12: size, flags, filter 0x21 with one property, the dictionary's size; then its CRC.
    assert second[14:16] == b"\x21\x01"
    second[16] = 38  # 2 GiB
    second[20:24] = zlib.crc32(second[12:20]).to_bytes(4, "little")
    first = lzma.compress(data[:1024])
    (tmp_path / "a.tar.xz").write_bytes(first + bytes(4) + second)
    _refused(tmp_path / "a.tar.xz", "root/a.txt", "refused: needs more than 167,772,160 bytes of memory")
    # So it is the dictionary, and not that there are two streams.
    (tmp_path / "b.tar.xz").write_bytes(first + bytes(4) + lzma.compress(data[1024:]))
    archives.unpack(tmp_path / "b.tar.xz", tmp_path / "unpacked", max_bytes=LIMIT)
    assert _files(tmp_path / "unpacked") == {"root/a.txt": b"good"}


def test_a_full_disk_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    _zip(tmp_path / "a.zip", CONTENT)
    real_open = open

    def full(path, mode="r", *arguments, **options):
        if mode == "xb":
            raise OSError(28, "No space left on device", str(path))
        return real_open(path, mode, *arguments, **options)

    monkeypatch.setattr(builtins, "open", full)
    with pytest.raises(DatasetError, match=r"cannot be unpacked into .*unpacked: No space left on device") as error:
        archives.unpack(tmp_path / "a.zip", tmp_path / "unpacked", max_bytes=LIMIT)
    assert "Make room there" in str(error.value)
    assert "Get the archive again" not in str(error.value)
