"""How a dataset is made of a user's own pictures. Standard library only, so that `--help` can list the settings."""

import dataclasses
import math
import re
from collections.abc import Iterable

NOT_STATED = "Not stated"  # how the terms of pictures begin that nobody stated
TOLD = ("description", "creator", "url")  # settings that are told and change no picture
OWN = "own:"  # before the name of such a dataset, where a program is told to make it
# TFDS finds a dataset by such names only.
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)
_RESERVED_SUFFIXES = ("_textured", "_frontal")


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """Where persons, cameras and splits stand, and how splits are made where they stand nowhere.

    Attributes:
        table: CSV or Parquet file with a row for each picture, in the folder of the pictures; "" for none.
        path_column: Column of the picture's path, relative to the folder.
        person_column: Column of the person: numbers or words.
        camera_column: Column of the camera; it may be absent.
        split_column: Column of the split: train, val, query, gallery, or test (queries are then chosen); it may be
            absent.
        time_column: Column of when the picture was taken: seconds, or a date and time (see `san_jax.moments.parse`); an
            empty cell is a time that is not known. "" for none.
        pattern: Regular expression with the named groups person, camera and split, or some of them, which is searched
            in each file name (in its path if it holds a slash); "" where folders say it.
        boxes: Boxes of a tracker in the format of MOTChallenge, such as gt/gt.txt, in the folder of a sequence; "" where
            pictures are whole files.
        margin: With boxes: what is added on each side of a box, as a share of its height or width.
        max_covered: With boxes: the largest share of a box that others may cover.
        every: With boxes: take every n-th frame of a track.
        visits: With boxes of one camera: number of equal times of a track that count as cameras.
        same_ids: With boxes of several sequences: whether an id means the same person in all of them, which are then
            the cameras.
        frame_rate: With boxes: frames a second of a folder of frames, by which the time of each is known; 0 for what its
            seqinfo.ini says, if it has one. A video says the times of its frames itself.
        test_share: Share of the persons that are tested on, where no splits are given.
        seed: Seed of that choice, and of the choice of queries.
        license: The terms of the pictures, in words, or SPDX's name of a licence.
        description: What the pictures are, who is on them and what these persons agreed to, for the dataset's card; it
            decides on nothing else. "" for nothing.
        creator: Who made the dataset, names with semicolons between them, for the card and the Croissant metadata; it
            decides on nothing else. "" for nobody.
        url: Where the dataset is published, likewise. "" for nowhere.

    Raises:
        ValueError: A setting is outside its range, or two do not go together.
    """

    table: str = ""
    path_column: str = "path"
    person_column: str = "person_id"
    camera_column: str = "camera_id"
    split_column: str = "split"
    time_column: str = ""
    pattern: str = ""
    boxes: str = ""
    margin: float = 0.05
    max_covered: float = 0.5
    every: int = 10
    visits: int = 2
    same_ids: bool = False
    frame_rate: float = 0.0
    test_share: float = 0.5
    seed: int = 0
    license: str = f"{NOT_STATED} by who made this dataset of own pictures: ask them."
    description: str = ""
    creator: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        kinds = [f"--{name}" for name in ("table", "pattern", "boxes") if getattr(self, name)]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} exclude each other: give one of them, or none for folders.")
        if self.time_column and not self.table:
            raise ValueError(f"--time_column={self.time_column} is a column of a table: give --table, too.")
        for name, most in (("margin", 1.0), ("max_covered", 1.0), ("test_share", 1.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"--{name} must lie in 0..{most:g}, found {getattr(self, name):g}.")
        if self.url and not re.match(r"https?://[^\s/]+\S*\Z", self.url):
            raise ValueError(f"--url must be an address such as https://example.org/shop, found {self.url}.")
        if not 0.0 <= self.frame_rate < math.inf:
            raise ValueError(f"--frame_rate must be a number of frames a second, found {self.frame_rate:g}.")
        for name, least in (("every", 1), ("visits", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be {least} or more, found {getattr(self, name)}.")


def name_problem(name: str, known: Iterable[str]) -> str:
    """Return why a dataset of own pictures cannot have a name; "" where it can.

    Args:
        name: The name, without `OWN`.
        known: Names of this project's own datasets, perhaps with a configuration.
    """
    if not _NAME.fullmatch(name):
        return f"{name!r} cannot be a dataset's name: expected a-z, 0-9 and single _, such as shop_2026."
    if name in {one.partition("/")[0] for one in known} or name == "all" or name.endswith(_RESERVED_SUFFIXES):
        return (
            f"{name!r} is the name of another kind of dataset: take another one, such as my_{name.partition('_')[0]}."
        )
    return ""
