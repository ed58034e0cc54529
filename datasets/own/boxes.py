"""Boxes around persons in frames, in the format of MOTChallenge: reading them, and telling which cover which."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from datasets.errors import DatasetError

FORMAT = (
    "Boxes are lines `frame, id, left, top, width, height` in pixels, frames from 1, as MOTChallenge and trackers write "
    "them; a seventh number 0 marks one that does not count, and of nine the eighth is the class (1: a person) and the "
    "ninth how much of it is visible."
)
_PERSON = 1  # MOTChallenge's class of a pedestrian
_GRID = (32, 16)  # points of a box, rows and columns, at which it is seen whether others cover it


@dataclasses.dataclass(frozen=True)
class Box:
    """A box in a frame.

    Attributes:
        frame: Number of the frame.
        track: The tracker's id.
        left, top, width, height: Pixels.
        counts: Whether it is a person that counts; one that does not may still cover others.
        visible: Share that is visible, as far as the file says; else 1.
    """

    frame: int
    track: int
    left: float
    top: float
    width: float
    height: float
    counts: bool = True
    visible: float = 1.0


def read_boxes(path: pathlib.Path) -> tuple[list[Box], list[str]]:
    """Return the boxes of a file, by frame and track, and a line for each that cannot be taken.

    Raises:
        DatasetError: It cannot be read, holds no boxes, or detections without tracks.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is no file of boxes ({error}).\n{FORMAT}") from error
    boxes: dict[tuple[int, int], Box] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        box = _parse(line)
        if box is None:
            problems.append(f"{path}:{number}: expected frame, id, left, top, width, height, found {line[:100]!r}")
        elif box.track >= 0 and (box.frame, box.track) in boxes:
            problems.append(f"{path}:{number}: track {box.track} has another box in frame {box.frame} already")
        else:
            # Detections have no id; such a box can cover others only.
            key = (box.frame, box.track if box.track >= 0 else -number)
            boxes[key] = box if box.track >= 0 else dataclasses.replace(box, counts=False)
    if not any(box.track >= 0 for box in boxes.values()):
        what = "detections without tracks (the id is -1)" if boxes else "no boxes"
        raise DatasetError(
            f"{path} holds {what}; a tracker says who is the same person: give what it wrote, or gt.txt.\n{FORMAT}"
        )
    return [boxes[key] for key in sorted(boxes)], problems


def _parse(line: str) -> Box | None:
    try:
        numbers = [float(part) for part in line.replace(",", " ").split()]
    except ValueError:
        return None
    if len(numbers) < 6 or not all(map(math.isfinite, numbers)):
        return None
    frame, track, left, top, width, height = numbers[:6]
    if frame != int(frame) or track != int(track) or frame < 0 or width <= 0 or height <= 0:
        return None
    has_classes = len(numbers) == 9
    counts = (len(numbers) < 7 or numbers[6] != 0) and (not has_classes or numbers[7] == _PERSON)
    visible = numbers[8] if has_classes and 0 <= numbers[8] <= 1 else 1.0
    return Box(int(frame), int(track), left, top, width, height, counts, visible)


def hidden_share(box: Box, frame: Sequence[Box], size: tuple[int, int]) -> float:
    """Return the share of a box that others cover or that lies outside the frame.

    Of two boxes the one whose lower edge is lower in the frame stands in front.

    Args:
        box: The box.
        frame: All boxes of its frame.
        size: Height and width of the frame, pixels.
    """
    rows = box.top + (np.arange(_GRID[0]) + 0.5) / _GRID[0] * box.height
    columns = box.left + (np.arange(_GRID[1]) + 0.5) / _GRID[1] * box.width
    hidden = ((rows < 0) | (rows >= size[0]))[:, None] | ((columns < 0) | (columns >= size[1]))[None, :]
    for other in frame:
        if other.top + other.height > box.top + box.height:
            in_rows = (rows >= other.top) & (rows < other.top + other.height)
            in_columns = (columns >= other.left) & (columns < other.left + other.width)
            hidden |= in_rows[:, None] & in_columns[None, :]
    return max(float(hidden.mean()), 1.0 - box.visible)
