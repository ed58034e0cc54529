"""What a user's folder says of its pictures, before persons and cameras are numbered and splits are chosen."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Sequence

from datasets.images import ImageSource

SPLITS = ("train", "val", "query", "gallery")
TEST = "test"  # query or gallery, still to be chosen
SPLIT_NAMES = (*SPLITS, TEST)
MAX_NAMED = 5  # names in a line about many


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A picture of a person.

    Attributes:
        name: The picture's path in the folder, with slashes.
        image: The file, or a part of one.
        person: The person, a word.
        camera: The camera, a word; "" where it is not known.
        split: One of `SPLIT_NAMES`; "" where it is to be chosen.
        time: When it was taken, seconds since the sequence's start; NaN where that is not known.
        track: The tracker's id; -1 where there is no tracker.
    """

    name: str
    image: str | ImageSource
    person: str
    camera: str = ""
    split: str = ""
    time: float = math.nan
    track: int = -1


@dataclasses.dataclass(frozen=True)
class Found:
    """What a layout found.

    Attributes:
        sightings: The pictures.
        problems: A line for each file or row that cannot be taken.
        notes: Lines that say what was understood and what was passed over.
        files: The tables that were read: name -> path.
    """

    sightings: list[Sighting]
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    files: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)


def first_names(names: Iterable[str]) -> str:
    """Return the first few of some names in one line, and how many more there are."""
    listed = list(names)
    text = ", ".join(listed[:MAX_NAMED])
    return text if len(listed) <= MAX_NAMED else f"{text} and {len(listed) - MAX_NAMED:,} more"


def persons_of(sightings: Sequence[Sighting]) -> dict[str, list[Sighting]]:
    """Return the pictures of each person, in their order."""
    found: dict[str, list[Sighting]] = {}
    for one in sightings:
        found.setdefault(one.person, []).append(one)
    return found
