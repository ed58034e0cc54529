"""Folders of photographs: what is listed, what is refused, and that hostile files do no harm."""

import io
import os
import pathlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from render.scene.photo_folder import PhotoFolder, PhotoFolderError
from san_jax import pictures


def _photo(path: pathlib.Path, color: tuple[int, int, int] = (200, 100, 50), size: tuple[int, int] = (96, 64), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **more)


def _bomb(path: pathlib.Path, width: int, height: int) -> None:
    """A PNG of a few bytes that says it is huge."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_names_are_sorted_relative_and_of_photographs_only(tmp_path: pathlib.Path):
    for name in ("b.JPG", "a/z.png", "a/deep/x.webp", "c.jpeg"):
        _photo(tmp_path / name, format={"webp": "WEBP", "png": "PNG"}.get(name[-4:].strip("."), "JPEG"))
    for name in (
        "notes.txt",
        "a/movie.mp4",
        ".hidden.jpg",
        ".cache/x.jpg",
        "a/Thumbs.db",
        "__MACOSX/b.JPG",
        "._c.jpeg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no photograph")
    folder = PhotoFolder(tmp_path)
    assert folder.names == ("a/deep/x.webp", "a/z.png", "b.JPG", "c.jpeg")
    with pytest.warns(UserWarning, match=r"passed over, .*: a/movie\.mp4, notes\.txt$"):
        folder.check()
    for name in folder.names:
        pixels = folder.read(name)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (64, 96, 3)
        np.testing.assert_allclose(pixels.reshape(-1, 3).mean(axis=0), [200, 100, 50], atol=4)


def test_a_list_of_names_is_all_that_is_read(tmp_path: pathlib.Path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        _photo(tmp_path / name)
    assert PhotoFolder(tmp_path, ["c.jpg", "a.jpg", "c.jpg"]).names == ("a.jpg", "c.jpg")
    with pytest.raises(
        PhotoFolderError, match=r"2 photographs.*\n.*\.\./x\.jpg: leads out.*\n.*absent\.jpg: no such file"
    ):
        PhotoFolder(tmp_path, ["a.jpg", "absent.jpg", "../x.jpg"])
    with pytest.raises(PhotoFolderError, match="leads out"):
        PhotoFolder(tmp_path, [str(tmp_path.parent / "x.jpg")])
    with pytest.raises(PhotoFolderError, match="not a usable name"):
        PhotoFolder(tmp_path, ["a\0.jpg"])
    with pytest.raises(PhotoFolderError, match="not one of the 1 photograph in"):
        PhotoFolder(tmp_path, ["a.jpg"]).read("b.jpg")


def test_links_out_of_the_folder_are_refused(tmp_path: pathlib.Path):
    _photo(tmp_path / "outside" / "secret.jpg")
    _photo(tmp_path / "folder" / "good.jpg")
    (tmp_path / "folder" / "link.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
    (tmp_path / "folder" / "more").symlink_to(tmp_path / "outside")
    with pytest.raises(PhotoFolderError) as caught:
        PhotoFolder(tmp_path / "folder")
    assert "more: is a link to a folder" in str(caught.value)
    assert "link.jpg: leads out of the folder" in str(caught.value)
    assert "good.jpg" not in str(caught.value)


def test_all_that_is_broken_too_large_or_too_small_is_in_one_error(tmp_path: pathlib.Path):
    _photo(tmp_path / "good.jpg")
    _photo(tmp_path / "small.png", size=(47, 200))
    _bomb(tmp_path / "bomb.png", 60_000, 60_000)
    _bomb(tmp_path / "large.png", 10_000, 9_000)
    (tmp_path / "empty.jpg").write_bytes(b"")
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    for name in ("really_a_gif.png", "a.gif"):
        _photo(tmp_path / name, format="GIF")
    folder = PhotoFolder(tmp_path)
    with pytest.raises(PhotoFolderError) as caught:
        folder.check()
    message = str(caught.value)
    assert "7 photographs" in message
    for part in (
        "small.png: 47 x 200, expected at least 48",
        "bomb.png",
        "large.png: expected an image of at most 50,000,000 pixels, its header says 9000x10000",
        "empty.jpg: not a readable picture (the file is empty)",
        "cut.jpg: not a readable picture",
        "really_a_gif.png: not a readable picture (it is GIF; save it as JPEG or PNG)",
        "a.gif: not a readable picture (it is GIF",
    ):
        assert part in message
    assert "good.jpg" not in message


def test_files_of_many_bytes_are_not_opened(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 100)
    _photo(tmp_path / "a.jpg")
    with pytest.raises(PhotoFolderError, match=r"a\.jpg: expected a picture of at most 100 bytes"):
        PhotoFolder(tmp_path).read("a.jpg")


def test_a_large_photograph_may_come_smaller(tmp_path: pathlib.Path):
    _photo(tmp_path / "a.jpg", size=(1600, 1200))
    _photo(tmp_path / "b.jpg", size=(300, 200))
    folder = PhotoFolder(tmp_path)
    assert folder.read("a.jpg").shape == (1200, 1600, 3)
    smaller = folder.read("a.jpg", least=300)
    assert smaller.shape == (300, 400, 3)
    np.testing.assert_allclose(smaller.reshape(-1, 3).mean(axis=0), [200, 100, 50], atol=4)
    assert folder.read("b.jpg", least=300).shape == (200, 300, 3)


def test_a_turned_photograph_is_set_upright(tmp_path: pathlib.Path):
    picture = Image.new("RGB", (96, 64), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 48, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = PhotoFolder(tmp_path).read("a.jpg")
    assert pixels.shape == (96, 64, 3)
    assert pixels[:40].mean() > 240  # the left half is on top
    assert pixels[56:].mean() < 15


def test_no_folder_and_no_photographs_are_errors(tmp_path: pathlib.Path):
    with pytest.raises(PhotoFolderError, match="is no folder"):
        PhotoFolder(tmp_path / "absent")
    with pytest.raises(PhotoFolderError, match="holds no photographs"):
        PhotoFolder(tmp_path)


def test_the_digest_is_of_names_and_contents(tmp_path: pathlib.Path):
    _photo(tmp_path / "one" / "a.png")
    _photo(tmp_path / "two" / "a.png")
    first = PhotoFolder(tmp_path / "one")
    assert first.digest == PhotoFolder(tmp_path / "two").digest
    _photo(tmp_path / "two" / "a.png", color=(200, 100, 51))
    assert first.digest != PhotoFolder(tmp_path / "two").digest
    os.rename(tmp_path / "one" / "a.png", tmp_path / "one" / "b.png")
    assert first.digest != PhotoFolder(tmp_path / "one").digest
