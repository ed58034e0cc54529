"""Pictures of every kind against the pixels that they should give; what is refused; what is listed in a folder."""

import concurrent.futures
import io
import os
import pathlib
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from san_jax import pictures
from tests import dataset_fixtures

# Nothing in it is symmetric; no JPEG blocks are smoothed, as each is one colour.
BLOCKS = np.array([[255, 0, 40], [90, 200, 130]], np.uint8)
GREY = np.kron(BLOCKS, np.ones((16, 16), np.uint8))
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def encoded(image: Image.Image, image_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def decoded(content: bytes) -> tuple[np.ndarray, str]:
    picture = pictures.decode(io.BytesIO(content))
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image), picture.conversion


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def deep_png(values: np.ndarray, colour_type: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write for colours."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    header = np.array([width, height], ">u4").tobytes() + bytes([16, colour_type, 0, 0, 0])
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in chunks
    )


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        # What EXIF says of the stored rows and columns: where the 0th row and the 0th column are seen.
        (1, lambda stored: stored),  # top, left
        (2, np.fliplr),  # top, right
        (3, lambda stored: np.rot90(stored, 2)),  # bottom, right
        (4, np.flipud),  # bottom, left
        (5, lambda stored: stored.transpose(1, 0, 2)),  # left, top
        (6, lambda stored: np.rot90(stored, -1)),  # right, top
        (7, lambda stored: np.rot90(stored, 2).transpose(1, 0, 2)),  # right, bottom
        (8, np.rot90),  # left, bottom
        (9, lambda stored: stored),  # no such orientation
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(image_format: str, orientation: int, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(image_format, {})
    pixels, conversion = decoded(encoded(Image.fromarray(COLOUR), image_format, exif=exif.tobytes(), **options))
    np.testing.assert_allclose(pixels.astype(int), upright(COLOUR), atol=3)
    assert ("turned" in conversion) == (2 <= orientation <= 8)


def test_damaged_exif_is_no_reason_to_refuse():
    content = encoded(Image.fromarray(COLOUR), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x00")
    assert decoded(content)[1] == ""


def palette(**options) -> bytes:
    image = Image.fromarray(np.kron([[0, 1, 2], [3, 4, 5]], np.ones((16, 16))).astype(np.uint8), "L").convert("P")
    image.putpalette([channel for value in BLOCKS.ravel() for channel in (value, 255 - value, value // 2)])
    return encoded(image, "PNG", **options)


def with_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share))


ALPHA = np.kron([[0, 255, 128], [255, 0, 64]], np.ones((16, 16))).astype(np.uint8)


@pytest.mark.parametrize(
    ("content", "expected", "conversion", "tolerance"),
    [
        (encoded(Image.fromarray(COLOUR), "PNG"), COLOUR, "", 0),
        (encoded(Image.fromarray(COLOUR), "BMP"), COLOUR, "BMP", 0),
        (encoded(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR, "WebP", 0),
        (encoded(Image.fromarray(GREY), "PNG"), grey(GREY), "grey", 0),
        (encoded(Image.fromarray(GREY), "JPEG", quality=100), grey(GREY), "grey", 1),
        (encoded(Image.fromarray(GREY), "BMP"), grey(GREY), "grey + BMP", 0),
        (encoded(Image.fromarray(GREY > 99), "PNG"), grey(np.where(GREY > 99, 255, 0)), "1-bit grey", 0),
        (palette(), COLOUR, "palette", 0),
        # Pillow writes CMYK as Adobe's programs do, inverted.
        (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100), COLOUR, "CMYK", 3),
        (
            encoded(Image.fromarray(np.dstack([COLOUR, ALPHA])), "PNG"),
            with_white(COLOUR, ALPHA),
            "RGB with alpha",
            1,
        ),
        (
            encoded(Image.fromarray(np.dstack([COLOUR, np.full_like(GREY, 255)])), "PNG"),
            COLOUR,
            "RGB with alpha",
            0,
        ),
        (
            encoded(Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), "PNG"),
            with_white(grey(GREY), ALPHA),
            "grey with alpha",
            1,
        ),
        (
            encoded(Image.fromarray(np.dstack([COLOUR, ALPHA])), "WEBP", lossless=True, exact=True),
            with_white(COLOUR, ALPHA),
            "RGB with alpha + WebP",
            1,
        ),
        (
            palette(transparency=bytes([0, 255, 128, 255, 0, 64])),
            with_white(COLOUR, ALPHA),
            "palette with alpha",
            1,
        ),
        (
            encoded(Image.fromarray(COLOUR), "PNG", transparency=tuple(int(value) for value in COLOUR[0, 0])),
            with_white(COLOUR, np.where(GREY[0, 0] == GREY, 0, 255)),
            "RGB with alpha",
            0,
        ),
    ],
)
def test_every_kind_becomes_rgb(content: bytes, expected: np.ndarray, conversion: str, tolerance: int):
    pixels, found = decoded(content)
    np.testing.assert_allclose(pixels.astype(int), expected, atol=tolerance)
    assert found == conversion


def test_of_16_bits_the_upper_8_are_kept():
    ramp = np.arange(0, 65536, 64, dtype=np.uint16).reshape(8, 128)
    high = (ramp >> 8).astype(np.uint8)
    assert len(np.unique(high)) == 256  # black to white
    written = encoded(Image.fromarray(ramp), "PNG")
    for content, expected, conversion in (
        (written, grey(high), "16-bit grey"),
        (deep_png(ramp, 0), grey(high), "16-bit grey"),
        (deep_png(ramp, 0, (b"tRNS", b"\0\0")), grey(high), "16-bit grey with alpha"),
        (deep_png(grey(ramp), 2), grey(high), "16-bit RGB"),
        (deep_png(grey(ramp), 2, (b"tRNS", bytes(6))), grey(high), "16-bit RGB with alpha"),
        (
            deep_png(np.dstack([grey(ramp), np.full_like(ramp, 0xFFFF)]), 6),
            grey(high),
            "16-bit RGB with alpha",
        ),
        (
            deep_png(np.dstack([grey(ramp), np.zeros_like(ramp)]), 6),
            np.full_like(grey(high), 255),
            "16-bit RGB with alpha",
        ),
    ):
        pixels, found = decoded(content)
        np.testing.assert_array_equal(pixels, expected)
        assert found == conversion


def test_a_camera_jpeg_of_several_pictures_is_its_first_one():
    image, preview = Image.fromarray(COLOUR), Image.new("RGB", (8, 8))
    content = encoded(image, "MPO", save_all=True, append_images=[preview], quality=100, subsampling=0)
    pixels, conversion = decoded(content)
    np.testing.assert_allclose(pixels.astype(int), COLOUR, atol=3)
    assert conversion == ""


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_animations_are_refused(image_format: str):
    frames = [Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1].copy())]
    with pytest.raises(pictures.PictureError, match=r"^an animation of 2 frames; save the frame"):
        decoded(encoded(frames[0], image_format, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not a readable picture \(the file is empty\)"),
        (b"no image at all", r"neither JPEG, PNG, WebP nor BMP by its content"),
        (encoded(Image.fromarray(GREY), "GIF"), "it is GIF; save it as JPEG or PNG"),
        (encoded(Image.fromarray(GREY), "TIFF"), "it is TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "it is HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "neither JPEG"),
        (encoded(Image.fromarray(COLOUR), "PNG")[:-40], "not a readable picture"),
        (dataset_fixtures.encoded(0, 64, 64, "JPEG")[:900], "not a readable picture"),
        # At Pillow's limits: above both, between them (where it only warns), below them.
        (dataset_fixtures.png_header(50_000, 50_000), "at most 50,000,000 pixels, its header says .*; not decoded"),
        (dataset_fixtures.png_header(10_000, 10_000), r"its header says 10000x10000 \(height x width\)"),
        (dataset_fixtures.png_header(5_000, 10_001), "its header says 10001x5000"),
    ],
)
def test_what_is_no_picture_is_told_why(tmp_path: pathlib.Path, content: bytes, message: str):
    with pytest.raises(pictures.PictureError, match=message):
        decoded(content)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(pictures.PictureError, match=message) as raised:
        pictures.decode(path)
    assert str(tmp_path) not in str(raised.value)  # the caller names the file


def test_files_that_cannot_be_opened(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(pictures.PictureError, match=r"^no such file$"):
        pictures.decode(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would block
    with pytest.raises(pictures.PictureError, match="a folder, a pipe or a device; expected a file"):
        pictures.decode(tmp_path / "pipe.jpg")
    with pytest.raises(pictures.PictureError, match="a folder, a pipe or a device; expected a file"):
        pictures.decode(tmp_path)
    monkeypatch.setattr(pictures, "MAX_BYTES", 100)
    (tmp_path / "a.jpg").write_bytes(dataset_fixtures.encoded(0, 64, 64, "JPEG"))
    with pytest.raises(pictures.PictureError, match="at most 100 bytes, found"):
        pictures.decode(tmp_path / "a.jpg")


def test_a_header_can_be_checked_alone():
    content = dataset_fixtures.encoded(0, 64, 64, "PNG")
    pictures.check_header(io.BytesIO(content[: len(content) // 2]))
    with pytest.raises(pictures.PictureError, match="at most 4,095 pixels"):
        pictures.check_header(io.BytesIO(content), max_pixels=4095)
    with pytest.raises(pictures.PictureError, match="neither JPEG"):
        pictures.check_header(io.BytesIO(b"text"))


def test_a_file_is_what_its_content_says(tmp_path: pathlib.Path):
    for name, image_format in (("a.jpg", "PNG"), ("b.png", "JPEG"), ("c.JPEG", "WEBP"), ("d.PNG", "BMP")):
        Image.fromarray(COLOUR).save(tmp_path / name, image_format, quality=100, lossless=True, subsampling=0)
        pixels = np.asarray(pictures.decode(tmp_path / name).image)
        np.testing.assert_allclose(pixels.astype(int), COLOUR, atol=3)


def test_warnings_of_threads_are_set_back():
    """Pillow warns of a picture between its two limits, which is refused here; nobody else's warnings are touched."""
    content = dataset_fixtures.png_header(10_000, 10_000)

    def read(_: int) -> str:
        with pytest.raises(pictures.PictureError) as raised:
            decoded(content)
        return str(raised.value)

    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read, range(200)))) == 1
    assert warnings.filters == before


def test_every_file_of_a_folder_is_listed_but_system_junk(tmp_path: pathlib.Path):
    wanted = ("B.JPG", "a.jpeg", "sub/c.Webp", "sub/deep/d.heic", "sub/e.bmp")
    others = ("notes.txt", "sub/f", "sub/film.mp4")
    junk = ("._a.jpeg", ".DS_Store", "Thumbs.db", "sub/desktop.ini", "__MACOSX/._a.jpeg", "@eaDir/a.jpg", ".x/a.jpg")
    for name in (*wanted, *others, *junk):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent.png")
    os.mkfifo(tmp_path / "pipe.png")
    listing = pictures.list_folder(tmp_path)
    assert listing.pictures == wanted
    assert listing.others == others
    assert listing.problems == (
        "gone.png: no such file, or none that can be read like one",
        "linked: is a link to a folder; move the folder here",
        "pipe.png: no such file, or none that can be read like one",
    )
    line = listing.passed_over()
    assert line.startswith("passed over, as they are not named like pictures (.jpg, ")
    assert line.endswith(": notes.txt, sub/f, sub/film.mp4")


def test_many_files_passed_over_are_counted(tmp_path: pathlib.Path):
    assert pictures.list_folder(tmp_path).passed_over() == ""
    for index in range(25):
        (tmp_path / f"{index:02d}.txt").touch()
    (tmp_path / os.fsdecode(b"0\xff.txt")).touch()
    line = pictures.list_folder(tmp_path).passed_over()
    assert line.endswith(": 00.txt, 01.txt, 02.txt, 03.txt, 04.txt, 05.txt, 06.txt, 07.txt, 08.txt, 09.txt and 16 more")
    line.encode()  # can be printed
