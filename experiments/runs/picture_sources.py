"""Pictures to embed, in their order: those under a folder, those that a list names, or a split of a dataset."""

import abc
import functools
import hashlib
import math
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.runs import data_sources, picture_lists
from san_jax import files, pictures
from san_jax.data.reading import as_text, check_features, decode, read_example, read_names, undecoded
from san_jax.embedding_files import UNKNOWN
from san_jax.id_words import IdWords


class SourceError(ValueError):
    """There are no pictures there. The message says what was expected."""


class Read(NamedTuple):
    """A picture that was read, or the reason why it could not be.

    Attributes:
        name: The picture's name.
        image: uint8 RGB [height width 3]; None where it could not be read.
        reason: Why not; "" where it could.
        person_id: The person's id, or `UNKNOWN`.
        camera_id: The camera's id, or `UNKNOWN`.
        time: When it was taken, seconds; NaN where that is not known.
        track: The track's id, or `UNKNOWN`.
    """

    name: str
    image: np.ndarray | None
    reason: str
    person_id: int = UNKNOWN
    camera_id: int = UNKNOWN
    time: float = math.nan
    track: int = UNKNOWN


class Pictures(abc.ABC):
    """Pictures by their numbers from 0.

    Attributes:
        problems: A line for each thing in a folder that could not be looked into.
        knows_times: Whether the time of any picture is known.
        knows_tracks: Likewise of tracks.
        words: The user's words for persons and cameras.
    """

    problems: Sequence[str] = ()
    knows_times: bool = False
    knows_tracks: bool = False
    words: IdWords = IdWords()

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def digest(self) -> str:
        """A SHA-256 that other names or another order change, and other sizes of the files."""

    @abc.abstractmethod
    def read(self, index: int, size: tuple[int, int]) -> Read:
        """Read a picture at a height and width. Several threads may do so at once."""

    @abc.abstractmethod
    def find(self, name: str, near: int = 0) -> int | None:
        """Return the number of the picture with a name, `near` if it is that one; None where there is none."""


class _Files(Pictures):
    """Files by their names under a folder; names that are whole paths stay what they are.

    `facts` holds what a list says of each file, by the fields of `Read`; it is empty where no list says anything.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        names: Sequence[str],
        problems: Sequence[str] = (),
        facts: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._folder, self._names, self.problems, self._facts = folder, names, problems, facts
        self.knows_times, self.knows_tracks = (any(key in row for row in facts) for key in ("time", "track"))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for name in self._names:
            try:
                size = os.stat(self._folder / name).st_size
            except (OSError, ValueError):  # ValueError: a null byte in the name. `read` says what is wrong with it
                size = -1
            digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        if any(self._facts):
            digest.update(files.canonical_json(list(self._facts)).encode())
        return digest.hexdigest()

    def find(self, name: str, near: int = 0) -> int | None:
        return self._places.get(name)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {_shown(name): index for index, name in enumerate(self._names)}

    def read(self, index: int, size: tuple[int, int]) -> Read:
        name = self._names[index]
        shown = _shown(name)
        try:
            image = pictures.resize_image(pictures.decode(self._folder / name).image, size)
            return Read(shown, image, "", **(self._facts[index] if self._facts else {}))
        except pictures.PictureError as error:
            return Read(shown, None, str(error))


def none_readable(left_out: Sequence[tuple[str, str]], whose: str = "the") -> str:
    """Say that none of some pictures can be read, and why the first ones cannot.

    Args:
        left_out: [name, reason] of each picture.
        whose: The article of the pictures: "the", or "its" for those of something that was named.
    """
    reasons = "\n".join(f"{name}: {reason}" for name, reason in left_out[: pictures.MAX_NAMED])
    number = len(left_out)
    which = f"{whose} only picture cannot" if number == 1 else f"none of {whose} {number:,} pictures can"
    return f"{which} be read:\n{reasons}"


def _shown(name: str) -> str:
    """A file name, which need not be UTF-8, as text."""
    return name.encode(errors="backslashreplace").decode()


class _Split(Pictures):
    """A split of a dataset. `identity` is what tells it from other ones."""

    def __init__(self, source: Any, identity: dict[str, Any], words: IdWords) -> None:
        self._source, self._identity, self.words = undecoded(source), identity, words
        check_features(self._source, ("image", "name"))
        self.knows_tracks = "track" in self._source[0]
        self.knows_times = "time" in self._source[0] and any(
            not math.isnan(self._source[index]["time"]) for index in range(len(self._source))
        )

    def __len__(self) -> int:
        return len(self._source)

    @property
    def digest(self) -> str:
        return hashlib.sha256(files.canonical_json(self._identity).encode()).hexdigest()

    def find(self, name: str, near: int = 0) -> int | None:
        if near < len(self) and as_text(read_example(self._source, near)["name"]) == name:
            return near
        return self._places.get(name)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(read_names(self._source))}

    def read(self, index: int, size: tuple[int, int]) -> Read:
        example = read_example(self._source, index)
        name = as_text(example["name"])
        person, camera, track = (int(example.get(key, UNKNOWN)) for key in ("person_id", "camera_id", "track"))
        try:
            image = decode(example, "image", size, index)
            return Read(name, image, "", person, camera, float(example.get("time", math.nan)), track)
        except ValueError as error:
            return Read(name, None, str(error))


def open_pictures(
    given: str, data_dir: str | os.PathLike[str], flag: str = "--images", *, takes_picture: bool = False
) -> Pictures:
    """Find the pictures that a user means.

    Args:
        given: A folder, searched at any depth; a text file with a picture's path in each line, relative to the list's
            folder, or a CSV file with a column `path` and any of `experiments.runs.picture_lists.FACTS`; or
            DATASET:SPLIT, such as market1501:gallery.
        data_dir: Where TFDS keeps datasets.
        flag: What the user gave them by, for messages.
        takes_picture: Whether the flag takes a single picture, too, for messages.

    Raises:
        SourceError: It is none of these, or holds no picture.
        datasets.DatasetError: There is no such dataset or split.
    """
    path = pathlib.Path(given)
    if path.is_dir():
        return _open_folder(path, flag)
    if path.is_file():
        return _open_list(path, flag)
    dataset, colon, split = given.rpartition(":")
    if not colon:
        single = "a picture, " if takes_picture else ""
        raise SourceError(
            f"{flag}={given} does not exist: expected {single}a folder of pictures, a text file that lists them, or "
            "DATASET:SPLIT, such as market1501:gallery."
        )
    source = data_sources.open_source(dataset, split, data_dir)
    metadata = data_sources.read_metadata(dataset, data_dir)
    return _Split(
        source,
        {"dataset": dataset, "split": split, "count": len(source), "source": metadata.get("source_digest")},
        data_sources.read_words(dataset, data_dir),
    )


def list_folder(folder: pathlib.Path, flag: str = "--images") -> pictures.Listing:
    """List the pictures under a folder, and print a line about the files that are not named like pictures.

    Args:
        folder: The folder.
        flag: What the user gave it by, for messages.

    Raises:
        SourceError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{flag}={folder} is not a folder: expected a folder of pictures.")
    listing = pictures.list_folder(folder)
    if not listing.pictures:
        lines = [*listing.problems, *filter(None, [listing.passed_over()])]
        raise SourceError("\n".join([f"{flag}={folder} holds no picture ({pictures.KINDS}).", *lines]))
    if listing.others:
        print(f"{folder}: {listing.passed_over()}", file=sys.stderr)
    return listing


def open_picture(path: pathlib.Path) -> Pictures:
    """Take a single picture file."""
    return _Files(path.parent, [path.name])


def _open_folder(folder: pathlib.Path, flag: str) -> Pictures:
    listing = list_folder(folder, flag)
    for line in listing.problems:
        print(f"{folder}: {line}", file=sys.stderr)
    return _Files(folder, listing.pictures, listing.problems)


def _open_list(path: pathlib.Path, flag: str) -> Pictures:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(
            f"{flag}={path} is no text file: expected a list with a picture's path in each line. A single picture "
            "is embedded as the only one in a folder or in a list."
        ) from None
    try:
        names, facts = picture_lists.read(text)
    except ValueError as error:
        raise SourceError(f"{flag}={path}: {error}") from None
    if not names:
        raise SourceError(f"{flag}={path} lists no picture: expected a picture's path in each line.")
    return _Files(path.parent, names, facts=facts)
