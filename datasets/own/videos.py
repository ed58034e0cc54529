"""Pictures that are cut out of a video while it is read once, frame after frame.

A video comes from outside. Only files of the formats in `_FORMATS` are opened, through Python's own file object: lists
of other files and addresses (m3u8, concat, sdp) are no such formats, and no protocol of FFmpeg's may be used.
"""

import dataclasses
import importlib.util
import math
import pathlib
import shutil
import struct
import tempfile
import weakref
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from datasets.errors import DatasetError
from datasets.images import MAX_IMAGE_PIXELS, ImageSource

SUFFIXES = (
    ".3gp",
    ".avi",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ts",
    ".webm",
    ".wmv",
)
TWO_WAYS = (
    "A video is read by PyAV: `pip install 'av>=15'`. Or write its frames with "
    "`ffmpeg -i VIDEO -start_number 1 -qscale:v 2 FOLDER/img1/%06d.jpg`."
)
_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf"  # names of FFmpeg's demuxers
_BOX = tuple[int, int, int, int]  # left, top, right and bottom, right and bottom excluded


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: Its number, from 1.
        time: Seconds since the first frame; NaN where the video does not say it.
        size: Height and width as it is to be shown, pixels.
        is_damaged: Whether the decoder had to make up parts of it.
        pixels: uint8 RGB [height width 3], upright; None unless it is wanted.
        promised: Frames that the video holds by its header; 0 where that is not known.
    """

    number: int
    time: float
    size: tuple[int, int]
    is_damaged: bool
    pixels: np.ndarray | None
    promised: int = 0


class _Spool:
    """A folder for pictures that were cut out, which goes when nothing refers to it any more."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="san_jax_video_"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class VideoCrop(ImageSource):
    """A part of a frame of a video, which was written as PNG when the frame was decoded.

    Attributes:
        video: The video's file.
        frame: The frame's number.
        box: As in `datasets.own.crops.Crop`.
        spool: Keeps the PNG.
        file: Its name there.
    """

    video: str
    frame: int
    box: _BOX
    spool: _Spool
    file: str

    def problem(self) -> str | None:
        return None  # it was written here

    def read(self) -> bytes:
        return (self.spool.folder / self.file).read_bytes()


@dataclasses.dataclass
class Cut:
    """What was cut out of a video.

    Attributes:
        images: The pictures, by frame and track.
        times: The times of the frames, see `Frame.time`.
        frames: Frames that were read.
        promised: See `Frame.promised`.
        problems: A line for each thing that is wrong with the video.
    """

    images: dict[tuple[int, int], VideoCrop] = dataclasses.field(default_factory=dict)
    times: dict[int, float] = dataclasses.field(default_factory=dict)
    frames: int = 0
    promised: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def find_video(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
    """Return the only video among the files of a folder; None where there is none.

    Raises:
        DatasetError: There are several, or PyAV is not installed.
    """
    found = [name for name in names if pathlib.PurePath(name).suffix.lower() in SUFFIXES]
    if len(found) > 1:
        raise DatasetError(f"{folder}: expected one video beside its boxes, found {', '.join(sorted(found))}.")
    if found and importlib.util.find_spec("av") is None:
        raise DatasetError(f"{folder / found[0]} is a video, and PyAV is not installed. {TWO_WAYS}")
    return folder / found[0] if found else None


def read_size(path: pathlib.Path) -> tuple[int, int]:
    """Return height and width of a video's first frame, upright.

    Raises:
        DatasetError: It cannot be read.
    """
    frames = read(path, frozenset())
    try:
        return next(frames).size
    except StopIteration:
        raise DatasetError(f"{path}: the video has no frames.") from None
    finally:
        frames.close()


def read(path: pathlib.Path, wanted: frozenset[int]) -> Generator[Frame, None, None]:
    """Yield the frames of a video in the order in which they are shown, one at a time.

    Args:
        path: The video.
        wanted: Numbers of the frames whose pixels are wanted.

    Raises:
        DatasetError: It is no video that is read, or it is damaged; the message names the frame after which it ends.
    """
    import av  # an optional package

    number = 0
    try:
        with open(path, "rb") as file:
            options = {"format_whitelist": _FORMATS, "protocol_whitelist": ""}
            with av.open(file, mode="r", options=options) as container:
                if not container.streams.video:
                    raise DatasetError(f"{path} has no pictures: expected a video.")
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                # In other formats it is no number of frames. Trimmed videos have fewer frames to show than they hold.
                promised = stream.frames if container.format.name.startswith("mov") else 0
                first = None
                for frame in container.decode(stream):
                    number += 1
                    first = frame.time if first is None else first
                    yield _read_frame(path, frame, number, first, is_wanted=number in wanted)._replace(
                        promised=promised
                    )
    except (av.FFmpegError, OSError) as error:
        words = error.strerror or type(error).__name__
        if number:
            raise DatasetError(
                f"{path}: the video ends after frame {number}, where it is damaged ({words})."
            ) from error
        raise DatasetError(
            f"{path} cannot be read as a video ({words}): expected one of the formats {_FORMATS}. {TWO_WAYS}"
        ) from error


def cut(path: pathlib.Path, wanted: Mapping[int, Mapping[int, _BOX]], size: tuple[int, int], *, last: int) -> Cut:
    """Cut pictures out of a video, which is read as far as there are boxes.

    Args:
        path: The video.
        wanted: The box of each track, by frame.
        size: Height and width that frames must have.
        last: The last frame that is looked for.
    """
    found = Cut()
    spool = _Spool()
    frames = read(path, frozenset(wanted))
    try:
        for frame in frames:
            found.frames, found.promised, found.times[frame.number] = frame.number, frame.promised, frame.time
            if frame.number in wanted and frame.size != size:
                found.problems.append(
                    f"{path}: frame {frame.number} is {frame.size[0]}x{frame.size[1]} (height x width), the first one "
                    f"{size[0]}x{size[1]}"
                )
            elif frame.number in wanted and frame.is_damaged:
                found.problems.append(f"{path}: frame {frame.number} is damaged")
            elif frame.pixels is not None:
                image = Image.fromarray(frame.pixels)
                for track, box in wanted[frame.number].items():
                    name = f"{frame.number}_{track}.png"
                    image.crop(box).save(spool.folder / name)
                    found.images[frame.number, track] = VideoCrop(str(path), frame.number, box, spool, name)
            if frame.number >= last:
                break
    except DatasetError as error:
        found.problems.append(str(error))
    finally:
        frames.close()
    return found


def _read_frame(path: pathlib.Path, frame: Any, number: int, first: float | None, *, is_wanted: bool) -> Frame:
    if frame.width * frame.height > MAX_IMAGE_PIXELS:
        raise DatasetError(
            f"{path}: frame {number} has {frame.width * frame.height:,} pixels, more than {MAX_IMAGE_PIXELS:,}."
        )
    across, flips = _orientation(path, frame)
    size = (frame.width, frame.height) if across else (frame.height, frame.width)
    time = math.nan if frame.time is None or first is None else frame.time - first
    pixels = None
    if is_wanted:
        pixels = frame.to_ndarray(format="rgb24")
        pixels = np.ascontiguousarray(np.flip(pixels.swapaxes(0, 1) if across else pixels, flips))
    return Frame(number, time, size, bool(frame.is_corrupt), pixels)


def _orientation(path: pathlib.Path, frame: Any) -> tuple[bool, tuple[int, ...]]:
    """Return whether rows and columns change places, and which axes are flipped then, so that a frame is upright.

    Phones store frames as the sensor gives them, with a matrix (a b, c d) beside them: the pixel at column p and row q
    is shown at column a p + c q and row b p + d q, but for an offset.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, ()
    a, b, _, c, d = struct.unpack_from("5i", bytes(data))
    if a == d == 0 and b and c:
        return True, (*([0] if b < 0 else []), *([1] if c < 0 else []))
    if b == c == 0 and a and d:
        return False, (*([0] if d < 0 else []), *([1] if a < 0 else []))
    raise DatasetError(
        f"{path}: the video is to be shown turned by {frame.rotation} degrees, which is no quarter turn: write its frames "
        "instead."
    )
