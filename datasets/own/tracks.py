"""Pictures out of a tracking result: folders of frames, or videos, with boxes in the format of MOTChallenge.

    gt/gt.txt and img1/000001.jpg, 000002.jpg, ...          in --manual_dir, or in folders in it, one a sequence
    gt/gt.txt and walk.mp4                                  likewise

A person is cut out of every n-th frame of a track. Several sequences are the cameras if their ids are of the same
persons; else the times of each track are: its first and its last frames are what is searched for and found.
"""

import configparser
import contextlib
import dataclasses
import math
import pathlib
import re
from collections.abc import Sequence

from datasets.errors import DatasetError
from datasets.folders import found_there, list_files, list_folders
from datasets.images import ImageSource
from datasets.own import boxes as boxes_of
from datasets.own import videos
from datasets.own.boxes import Box
from datasets.own.crops import Crop
from datasets.own.sightings import Found, Sighting, first_names
from san_jax import pictures
from san_jax.counts import count
from san_jax.own_settings import OwnSettings

ADVICE = (
    "Give a folder with frames or a video, and the file of boxes in it, or a folder of such folders, as --manual_dir, and "
    f"the file's path in it as --boxes (gt/gt.txt). {videos.TWO_WAYS}"
)
_FRAMES = "img1"  # MOTChallenge's folder of frames
_NUMBER = re.compile(r"(\d{1,9})\Z", re.ASCII)
_SMALLEST = (16, 8)  # height and width of a crop, pixels
_Crop = tuple[int, int, int, int]  # left, top, right and bottom, right and bottom excluded


@dataclasses.dataclass(frozen=True)
class _Sequence:
    """A folder of frames, or with a video, and boxes.

    Attributes:
        name: The folder's name; "" where it is the only one.
        frames: The frames by their numbers; empty for a video.
        video: The video; None for frames.
        rate: Frames a second; 0 where that is not known.
        size: Height and width of a frame, pixels.
        boxes: The boxes by frame.
    """

    name: str
    frames: dict[int, pathlib.Path]
    video: pathlib.Path | None
    rate: float
    size: tuple[int, int]
    boxes: dict[int, list[Box]]

    @property
    def all_boxes(self) -> list[Box]:
        return [box for boxes in self.boxes.values() for box in boxes]


def read_tracks(root: pathlib.Path, settings: OwnSettings) -> Found:
    """Return the pictures of the tracks under a folder.

    Raises:
        DatasetError: There are no boxes or no frames, or no box can be taken.
    """
    folders = [root] if (root / settings.boxes).is_file() else list_folders(root)
    folders = [folder for folder in folders if (folder / settings.boxes).is_file()]
    if not folders:
        raise DatasetError(
            f"{root}: no {settings.boxes} there or in a folder in it; found {found_there(root)}.\n{ADVICE}"
        )
    problems: list[str] = []
    notes: list[str] = []
    sightings: list[Sighting] = []
    files = {str((folder / settings.boxes).relative_to(root)): folder / settings.boxes for folder in folders}
    for folder in folders:
        name = "" if folder == root else folder.name
        sequence = _read_sequence(folder, name, settings, problems)
        if sequence.video is not None:
            files[str(sequence.video.relative_to(root))] = sequence.video
        found = _sightings(sequence, settings, problems, notes, cameras=settings.same_ids and len(folders) > 1)
        sightings += found
    if not sightings:
        lines = [*notes, *problems[:5]]
        raise DatasetError("\n".join([f"{root}: no box can be taken.", *lines, ADVICE]))
    return Found(sightings, problems, notes, files)


def _read_sequence(folder: pathlib.Path, name: str, settings: OwnSettings, problems: list[str]) -> _Sequence:
    """Read the boxes and find their frames; boxes without a frame are problems."""
    path = folder / settings.boxes
    boxes, wrong = boxes_of.read_boxes(path)
    problems += wrong
    place = folder / _FRAMES if (folder / _FRAMES).is_dir() else folder
    frames: dict[int, pathlib.Path] = {}
    for file in list_files(place):
        match = _NUMBER.search(pathlib.PurePath(file).stem)
        if match is None or not pictures.is_picture_name(file):
            continue
        if (first := frames.setdefault(int(match[1]), place / file)) != place / file:
            problems.append(f"{place / file}: frame {int(match[1])} is {first.name} already")
    by_frame: dict[int, list[Box]] = {}
    for box in boxes:
        by_frame.setdefault(box.frame, []).append(box)
    if not frames and (video := videos.find_video(folder, list_files(folder))) is not None:
        return _Sequence(name, {}, video, 0.0, videos.read_size(video), by_frame)
    problems += [
        f"{place}: no frame {number}, in which {path} has boxes" for number in by_frame if number not in frames
    ]
    present = {number: found for number, found in by_frame.items() if number in frames}
    sizes = _frame_sizes({number: frames[number] for number in sorted(present)})
    size = next(iter(sizes.values()), (0, 0))
    for number, other in sizes.items():
        if other != size:  # what a box takes there would be another part, or lie outside
            problems.append(
                f"{frames[number]}: {other[0]}x{other[1]} (height x width), where the first frame with a box has "
                f"{size[0]}x{size[1]}; boxes are in pixels of frames of one size"
            )
            del present[number]
    return _Sequence(name, frames, None, settings.frame_rate or _frame_rate(folder), size, present)


def _frame_rate(folder: pathlib.Path) -> float:
    """Return the frames a second that MOTChallenge's seqinfo.ini says; 0 where it says none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(folder / "seqinfo.ini", encoding="utf-8-sig")
        rate = parser.getfloat("Sequence", "frameRate", fallback=0.0)
    except (configparser.Error, OSError, ValueError):
        return 0.0
    return rate if 0.0 < rate < math.inf else 0.0


def _frame_sizes(frames: dict[int, pathlib.Path]) -> dict[int, tuple[int, int]]:
    """Return height and width of the frames that can be read; those that cannot are told later, by name."""
    sizes = {}
    for number, path in frames.items():
        with contextlib.suppress(pictures.PictureError):
            sizes[number] = pictures.upright_size(path)
    return sizes


def _sightings(
    sequence: _Sequence, settings: OwnSettings, problems: list[str], notes: list[str], *, cameras: bool
) -> list[Sighting]:
    """Return the pictures of a sequence in the order of its frames, and note how many boxes were left out.

    Args:
        sequence: The sequence.
        settings: Which boxes are taken.
        problems: Gets a line for each frame of a video that is not there or damaged.
        notes: Gets a line.
        cameras: Whether the sequence is a camera; else the times of each track are.
    """
    left_out = {"not of persons that count": 0, f"hidden by more than {settings.max_covered:.0%}": 0, "too small": 0}
    ignored, hidden, small = left_out
    tracks: dict[int, list[tuple[Box, _Crop]]] = {}
    spans: dict[int, tuple[int, int]] = {}
    for box in sequence.all_boxes:
        if not box.counts:
            left_out[ignored] += 1
            continue
        first, last = spans.get(box.track, (box.frame, box.frame))
        spans[box.track] = min(first, box.frame), max(last, box.frame)
        crop = _crop(box, sequence.size, settings.margin)
        if boxes_of.hidden_share(box, sequence.boxes[box.frame], sequence.size) > settings.max_covered:
            left_out[hidden] += 1
        elif crop[3] - crop[1] < _SMALLEST[0] or crop[2] - crop[0] < _SMALLEST[1]:
            left_out[small] += 1
        else:
            tracks.setdefault(box.track, []).append((box, crop))
    taken = [found for track in tracks.values() for found in _every(track, settings.every)]
    images, times = _images(sequence, taken, problems)
    taken = [(box, crop) for box, crop in taken if (box.frame, box.track) in images]
    words = ", ".join(f"{number:,} {why}" for why, number in left_out.items() if number)
    notes.append(
        f"{sequence.name or settings.boxes}: {count(len(taken), 'picture')} of {count(len(tracks), 'track')}, at least "
        f"{count(settings.every, 'frame')} apart" + (f"; boxes left out: {words}" if words else "")
    )
    lost = sorted(spans.keys() - tracks.keys())
    if lost:
        notes.append(f"  tracks of which no box can be taken: {first_names(map(str, lost))}")
    taken.sort(key=lambda found: (found[0].frame, found[0].track))
    place = f"{sequence.name}/" if sequence.name else ""
    return [
        Sighting(
            f"{place}{box.track}/{box.frame:06d}.png",
            images[box.frame, box.track],
            str(box.track) if settings.same_ids else f"{place}{box.track}",
            sequence.name if cameras else f"{place}{_time(box.frame, spans[box.track], settings.visits)}",
            time=times.get(box.frame, math.nan),
            track=box.track,
        )
        for box, _ in taken
    ]


def _images(
    sequence: _Sequence, taken: Sequence[tuple[Box, _Crop]], problems: list[str]
) -> tuple[dict[tuple[int, int], ImageSource], dict[int, float]]:
    """Return the pictures of boxes by frame and track, and the times of the frames, in seconds, where they are known."""
    if sequence.video is None:
        images = {(box.frame, box.track): Crop(str(sequence.frames[box.frame]), crop) for box, crop in taken}
        return {**images}, {n: (n - 1) / sequence.rate for n in sequence.frames} if sequence.rate else {}
    wanted: dict[int, dict[int, _Crop]] = {}
    for box, crop in taken:
        wanted.setdefault(box.frame, {})[box.track] = crop
    last = max(sequence.boxes, default=0)
    cut = videos.cut(sequence.video, wanted, sequence.size, last=last)
    problems += cut.problems
    if missing := [str(number) for number in sorted(sequence.boxes) if number > cut.frames]:
        problems.append(
            f"{sequence.video}: there are boxes in {count(len(missing), 'frame')} after its last one, {cut.frames}: "
            f"{first_names(missing)}"
            + (f"; by its header it holds {cut.promised:,}: it is cut off" if cut.promised > cut.frames else "")
        )
    return {**cut.images}, cut.times


def _crop(box: Box, size: tuple[int, int], margin: float) -> _Crop:
    """Return a box with its margin, within the frame: left, top, right, bottom."""
    across, along = margin * box.width, margin * box.height
    left, right = max(0, round(box.left - across)), min(size[1], round(box.left + box.width + across))
    top, bottom = max(0, round(box.top - along)), min(size[0], round(box.top + box.height + along))
    return left, top, right, bottom


def _every(track: list[tuple[Box, _Crop]], every: int) -> list[tuple[Box, _Crop]]:
    """Return the boxes of a track that are at least `every` frames apart."""
    taken: list[tuple[Box, _Crop]] = []
    for box, crop in sorted(track, key=lambda found: found[0].frame):
        if not taken or box.frame >= taken[-1][0].frame + every:
            taken.append((box, crop))
    return taken


def _time(frame: int, span: tuple[int, int], visits: int) -> str:
    """Return which of the equal times of a track a frame is in."""
    first, last = span
    return f"time {(frame - first) * visits // (last - first + 1) + 1}"
