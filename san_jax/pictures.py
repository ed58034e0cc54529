"""Pictures that users bring: which files are meant as pictures, and their pixels (upright RGB, 8 bits a channel).

Every program takes a picture by these rules:

- What a file is, its content says and not its name: JPEG, PNG, WebP or BMP. Other decoders are not reached, as files
  from outside are untrusted. An animation is refused, since nobody can tell which of its frames is meant; of the
  several pictures in a camera's JPEG (MPO) the first is taken.
- It is turned as its EXIF orientation says.
- Grey, palette and CMYK become RGB. Of 16 bits the upper 8 are kept. What is transparent is laid on white, as viewers
  and web pages show it.

NumPy and Pillow only, so that all packages may use it.
"""

import contextlib
import dataclasses
import io
import math
import os
import pathlib
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from san_jax import file_kinds

PictureFile: TypeAlias = str | os.PathLike[str] | io.BufferedIOBase  # a path, or an open binary file
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
KINDS = "JPEG, PNG, WebP or BMP"  # `FORMATS` for messages
# A file of one of these suffixes, in upper or lower case, is meant as a picture, be it of a format that is not read.
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
)
TEXTURE_SIZE = (256, 256)  # height and width at which textures are stored in datasets and files
MAX_BYTES = 200_000_000
MAX_PIXELS = 50_000_000
MAX_NAMED = 10  # files in a line about many

# What file managers and network drives leave in folders, in archives and in copies of them: the real Market-1501 has a
# Thumbs.db in each folder; copies of MSMT17 that were packed on a Mac have __MACOSX, .DS_Store and
# ._0000_000_01_..._0.jpeg.
_JUNK = re.compile(r"\..*|thumbs\.db.*|desktop\.ini|__macosx|@eadir", re.IGNORECASE | re.DOTALL)
_ORIENTATION = 0x0112
# EXIF orientation -> what sets the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}  # those that swap height and width
_GREY_16 = ("I;16", "I;16B", "I;16L", "I")  # Pillow's modes of 16-bit grey; `convert` would clip them to white
_COLOURS = {"1": "1-bit grey", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette", "RGBA": "RGB"}
_COLOURS |= dict.fromkeys(_GREY_16, "grey")
# Formats that are not read: where in a file they are told by what.
_NOT_READ = (
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (0, b"8BPS", "PSD"),
)


class PictureError(ValueError):
    """A file that is not taken as a picture. The message says why, without the file's name."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: RGB, upright.
        conversion: What the file is in place of an upright RGB JPEG or PNG of 8 bits a channel, such as "grey" or
            "16-bit RGB with alpha"; "" for such a file, whose bytes any program reads as this one does.
    """

    image: Image.Image
    conversion: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files under a folder, by their paths in it, with slashes, sorted. System junk is in none of the lists.

    Attributes:
        pictures: Files that are called like pictures.
        others: All other files.
        problems: A line for each thing that could not be looked into.
    """

    pictures: tuple[str, ...]
    others: tuple[str, ...]
    problems: tuple[str, ...]

    def passed_over(self) -> str:
        """Return a line that names the files that are not called like pictures; "" where there are none."""
        if not self.others:
            return ""
        names = printable(", ".join(self.others[:MAX_NAMED]))
        more = f" and {len(self.others) - MAX_NAMED:,} more" if len(self.others) > MAX_NAMED else ""
        return f"passed over, as they are not named like pictures ({', '.join(SUFFIXES)}): {names}{more}"


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or was left by a file manager or network drive."""
    return _JUNK.fullmatch(name) is not None


def is_picture_name(name: str) -> bool:
    """Return whether a file of this name is meant as a picture."""
    return name.lower().endswith(SUFFIXES)


def list_folder(folder: str | os.PathLike[str]) -> Listing:
    """List the files under a folder, at any depth. Links to folders are not followed but named."""
    root = os.fspath(folder)
    pictures: list[str] = []
    others: list[str] = []
    problems: list[str] = []

    def relative(*parts: str) -> str:
        return pathlib.Path(os.path.relpath(os.path.join(*parts), root)).as_posix()

    def refuse(error: OSError) -> None:
        problems.append(f"{relative(error.filename)}: cannot be looked into ({error.strerror})")

    for parent, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        problems += [
            f"{relative(parent, name)}: is a link to a folder; move the folder here"
            for name in folders
            if os.path.islink(os.path.join(parent, name))
        ]
        for name in files:
            if is_junk(name):
                continue
            if not is_picture_name(name):
                others.append(relative(parent, name))
            elif os.path.isfile(os.path.join(parent, name)):
                pictures.append(relative(parent, name))
            else:  # a broken link; a pipe, which would block
                problems.append(f"{relative(parent, name)}: no such file, or none that can be read like one")
    return Listing(tuple(sorted(pictures)), tuple(sorted(others)), tuple(printable(line) for line in sorted(problems)))


def printable(text: str) -> str:
    """Return text with the bytes of file names that are not UTF-8 written out."""
    return text.encode(errors="backslashreplace").decode()


def decode(
    file: PictureFile,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    enough: int | None = None,
) -> Picture:
    """Decode a picture by the rules of this module.

    Args:
        file: A path, or an open binary file.
        max_pixels: A picture that has more by its header is refused before it is decoded.
        min_side: One whose width or height is less is refused, too.
        enough: Pixels a side that are enough: a larger JPEG may come smaller, which reads it much faster.

    Raises:
        PictureError: It is no such picture, or it is damaged, too large or too small.
    """
    with _opened(file, max_pixels) as image:
        if min(image.size) < min_side:
            raise PictureError(f"{image.width} x {image.height}, expected at least {min_side} a side")
        deep, conversion = _is_deep(image), _conversion(image)  # loading the pixels changes what is asked here
        if enough is not None and enough < min(image.size):
            scale = enough / min(image.size)
            image.draft("RGB", (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        rgb, is_turned = _upright_rgb(image, deep=deep)
        if is_turned:
            conversion = f"{conversion} + turned" if conversion else "turned"
        return Picture(rgb, conversion)


def from_pillow(image: Image.Image) -> Image.Image:
    """Return a picture that a program holds already, upright and RGB by the rules of this module.

    Args:
        image: Any image of Pillow's, one that `Image.open` gave included.

    Raises:
        PictureError: It is an image of floats, or its file is damaged.
    """
    if image.mode == "F":
        raise PictureError("an image of floats (mode F); convert it to 8 bits a channel first")
    try:
        with _quiet():
            return _upright_rgb(image, deep=_is_deep(image))[0]
    except Exception as error:  # what a damaged file makes a decoder raise has no common base
        raise PictureError(f"not a readable picture ({error or type(error).__name__})") from error


def upright_size(file: PictureFile, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return the height and width that a picture has when it is upright, without decoding it.

    Raises:
        PictureError: As `check_header`.
    """
    with _opened(file, max_pixels) as image:
        is_on_its_side = _turn(image) in _SIDEWAYS
        return (image.width, image.height) if is_on_its_side else (image.height, image.width)


def check_header(file: PictureFile, *, max_pixels: int = MAX_PIXELS) -> None:
    """Check what can be told of a picture without decoding it.

    Raises:
        PictureError: It is no picture that is read here, or too large.
    """
    with _opened(file, max_pixels):
        pass


def resize_image(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return an image as a network sees it: resized by Pillow's bilinear filter, which antialiases when it shrinks.

    Args:
        image: A picture; what is not RGB is converted by Pillow (`from_pillow` follows the rules of this module).
        size: Height and width, pixels.

    Returns:
        RGB, uint8 [height width 3].
    """
    height, width = size
    image = image.convert("RGB")
    if (image.height, image.width) != (height, width):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(image)


@contextlib.contextmanager
def _opened(file: PictureFile, max_pixels: int) -> Iterator[Image.Image]:
    """A picture whose header has been checked. Whatever a decoder raises in the body becomes a PictureError."""
    too_large = f"expected an image of at most {max_pixels:,} pixels, its header says {{}}; not decoded"
    try:
        if isinstance(file, (str, os.PathLike)):
            status = os.stat(file)
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
                raise PictureError("a folder, a pipe or a device; expected a file")
            if status.st_size > MAX_BYTES:
                raise PictureError(
                    f"expected a picture of at most {MAX_BYTES:,} bytes, found {status.st_size:,}; not decoded"
                )
        # Pillow annotates a narrower class than what it reads.
        with _quiet(), Image.open(file, formats=FORMATS) as image:  # pyright: ignore[reportArgumentType]
            if image.width * image.height > max_pixels:
                raise PictureError(too_large.format(f"{image.height}x{image.width} (height x width)"))
            # The further pictures of an MPO, a JPEG to other programs, are depth maps and previews.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                frames = getattr(image, "n_frames", "several")
                raise PictureError(f"an animation of {frames} frames; save the frame that is meant as a picture")
            yield image
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except Image.DecompressionBombError as error:
        raise PictureError(too_large.format(error)) from error
    except UnidentifiedImageError as error:
        raise PictureError(f"not a readable picture ({_content(file)})") from error
    # What a damaged or hostile file makes a decoder raise has no common base.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PictureError(f"not a readable picture ({reason})") from error


_lock = threading.Lock()
_filters = contextlib.ExitStack()
_readers = 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings: sizes are checked here, and odd metadata does not matter.

    The filters of warnings belong to the whole process: the first of several threads sets them, the last one sets them
    back. With `warnings.catch_warnings` in each, they would not come back in order.
    """
    global _readers
    with _lock:
        if not _readers:
            _filters.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _filters.close()


def _content(file: PictureFile) -> str:
    """What a file holds that is none of `FORMATS`."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            start = opened.read(file_kinds.START)
    else:
        file.seek(0)
        start = file.read(file_kinds.START)
    if not start:
        return "the file is empty"
    for offset, sign, name in _NOT_READ:
        if start[offset:].startswith(sign):
            return f"it is {name}; save it as JPEG or PNG"
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM")):
        return "damaged: it begins like a picture"
    return f"neither JPEG, PNG, WebP nor BMP by its content{file_kinds.found(start)}"


def _is_deep(image: Image.Image) -> bool:
    """Whether a file that is not loaded has 16 bits a channel. Pillow itself keeps the upper 8 unless it is grey."""
    if image.mode in _GREY_16:
        return True
    if image.format != "PNG" or not isinstance(image, ImageFile.ImageFile):
        return False
    return any(str(tile[3]).endswith(";16B") for tile in image.tile)


def _conversion(image: Image.Image) -> str:
    """`Picture.conversion` of an opened file that is not loaded, but for its orientation."""
    colour = _COLOURS.get(image.mode, image.mode)
    depth = "16-bit " if _is_deep(image) else ""
    alpha = " with alpha" if image.has_transparency_data else ""
    parts = [f"{depth}{colour}{alpha}"] if (depth, colour, alpha) != ("", "RGB", "") else []
    if image.format not in ("JPEG", "MPO", "PNG"):
        parts.append({"WEBP": "WebP"}.get(str(image.format), str(image.format)))
    return " + ".join(parts)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata of a picture that is not
        return None


def _upright_rgb(image: Image.Image, *, deep: bool) -> tuple[Image.Image, bool]:
    """The pixels of an image, and whether they had to be turned."""
    image.load()
    turn = _turn(image)
    rgb = _rgb(image, deep=deep)
    return (rgb, False) if turn is None else (rgb.transpose(turn), True)


def _rgb(image: Image.Image, *, deep: bool) -> Image.Image:
    if image.mode in _GREY_16:
        values = np.clip(np.asarray(image).astype(np.int32), 0, 65535)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    # Among colours of 8 bits, a single transparent one of 16 cannot be found again.
    if image.has_transparency_data and not (deep and image.mode == "RGB"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
