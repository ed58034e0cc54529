"""The base of builders whose pictures a user brings: every problem is told at once, and what is wrong can be left out."""

import abc
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from datasets.builder import Archive, ArchiveBuilder
from datasets.errors import raise_problems
from datasets.examples import Example, count_problems, label_train, reid_features, split_counts
from datasets.images import ImageSource, examine_images, examined_file
from san_jax.counts import count

MAX_STORED = 1000  # problems in the metadata of a partial dataset
# Lists and protocol files up to this size go into the digest by their content, larger ones by their size.
MAX_HASHED_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class Listing:
    """The examples that the names in a folder give. Only lists, tables and protocol files were opened.

    Attributes:
        splits: Examples of each split, in the order in which they are written. Image features hold paths or
            ImageSources.
        counts: Counts of a benchmark's `COUNTS` that do not follow from the examples.
        problems: One line for each path that is missing, extra or misnamed; none of them is in `splits`.
        files: The lists and protocol files that were read: name in the archive -> path. Part of the digest.
        settings: What else decides on the examples, as text. Part of the digest; "" for nothing.
    """

    splits: dict[str, list[Example]]
    counts: dict[str, int]
    problems: list[str]
    files: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    settings: str = ""


class ListedBuilder(ArchiveBuilder, skip_registration=True):
    """Base of the builders that list a user's folder and then open all of its pictures.

    Attributes:
        ADVICE: What to give as manual_dir. Every error ends with it.
        allow_partial: Whether to leave out what is extra or unreadable, and do without what is missing.
        strict: Whether pictures that are not upright RGB JPEG or PNG are refused, not converted.
    """

    ADVICE: ClassVar[str]

    def __init__(self, *, allow_partial: bool = False, strict: bool = False, **kwargs: Any):
        """Make the builder.

        Args:
            allow_partial: See the attribute.
            strict: See the attribute.
            **kwargs: TFDS's own: `data_dir`, `config`, ...
        """
        self.MANUAL_DOWNLOAD_INSTRUCTIONS = self.ADVICE
        self.allow_partial = allow_partial
        self.strict = strict
        super().__init__(**kwargs)

    def features(self) -> dict[str, Any]:
        return reid_features()

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What messages call the dataset, after an article."""

    def split_counts(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """Return the counts that follow from the examples."""
        return split_counts(splits)

    def as_archive(
        self,
        root: pathlib.Path,
        listing: Listing,
        *,
        license: str,
        expected: Mapping[str, int],
        metadata: Mapping[str, Any],
    ) -> Archive:
        """Return a listing as what is to be built.

        Args:
            root: The folder that was listed.
            listing: What it holds.
            license: The terms of the pictures, in words.
            expected: The published counts; none for pictures that nobody has published.
            metadata: Further metadata.
        """
        listing = _without_unstorable_names(listing, root)
        counts = {**listing.counts, **self.split_counts(listing.splits)}
        problems = (
            *listing.problems,
            *count_problems(counts, expected),
            *_empty_split_problems(listing.splits),
        )
        whole = {
            "license": license,
            "partial": False,
            "num_problems": 0,
            "problems": [],
            **metadata,
            "counts": counts,
            "counts_expected": dict(expected),
        }
        lines = _source_lines(listing)
        return Archive(root, listing.splits, _digest(lines), whole, problems, source_lines=lines)

    def usable(self, archive: Archive) -> Archive:
        """Open every image of an archive that was scanned.

        With `allow_partial`, an incomplete archive is marked as `partial` and loses the images that cannot be used.
        """
        examined = examine_images(archive.root, archive.splits, self.features())
        unusable, conversions = dict(examined.problems), examined.conversions
        if self.strict:
            unusable |= {
                path: f"{path}: expected an upright RGB JPEG or PNG, as --strict demands, found {conversion}"
                for path, conversion in conversions.items()
            }
            conversions = {}
        problems = [*archive.problems, *unusable.values()]
        if not problems:
            return self.converted(archive, conversions)
        if not self.allow_partial:
            raise_problems(
                f"{archive.root} is not the whole {self.title}: {count(len(problems), 'problem')}, "
                f"{len(unusable):,} of them unreadable",
                problems,
                f"{self.ADVICE}\nNothing was written. To build from what is there, pass --allow_partial: the dataset "
                "and every later result are then marked as partial.",
            )
        splits = self.without(archive, unusable)
        empty = _empty_split_problems(splits)
        raise_problems(
            f"{archive.root}: not even a partial {self.title} can be built",
            [*empty, *(line for line in problems if line not in empty)] if empty else [],
            self.ADVICE,
        )
        label_train([example for examples in splits.values() for example in examples if example["label"] >= 0])
        metadata = {
            **archive.metadata,
            "partial": True,
            "num_problems": len(problems),
            "problems": [_storable(line, archive.root) for line in problems[:MAX_STORED]],
            "counts": {**archive.metadata["counts"], **self.split_counts(splits)},
        }
        partial = dataclasses.replace(archive, splits=splits, metadata=metadata, problems=tuple(problems))
        return self.converted(partial, conversions)

    def without(self, archive: Archive, unusable: Mapping[str | ImageSource, str]) -> dict[str, list[Example]]:
        """Return copies of the examples of each split of an archive, but for the images that cannot be used.

        Args:
            archive: The archive.
            unusable: The images, as `examined_file` names them, and what is wrong with each.
        """
        return {
            split: [dict(example) for example in examples if examined_file(example["image"]) not in unusable]
            for split, examples in archive.splits.items()
        }


def _empty_split_problems(splits: Mapping[str, Sequence[Example]]) -> list[str]:
    return [f"the split {split!r} is empty" for split, examples in splits.items() if not examples]


def _without_unstorable_names(listing: Listing, root: pathlib.Path) -> Listing:
    """Return a listing in which every example's name is text; the others are problems."""
    problems = [
        f"{root / example['name']}: expected a name in UTF-8"
        for examples in listing.splits.values()
        for example in examples
        if not _is_text(example["name"])
    ]
    splits = {
        split: [example for example in examples if _is_text(example["name"])]
        for split, examples in listing.splits.items()
    }
    return dataclasses.replace(listing, splits=splits, problems=[*listing.problems, *problems])


def _is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8: Python has surrogates in place of other bytes."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def _storable(line: str, root: pathlib.Path) -> str:
    """Return a problem as text for JSON, without the path of `root`, which may be gone tomorrow."""
    line = line.replace(f"{root}{os.sep}", "").replace(str(root), ".")
    return line.encode(errors="backslashreplace").decode()


def _source_lines(listing: Listing) -> list[str]:
    """Return what the digest is made of, sorted: names and sizes of images, lists, protocol files, and settings."""
    lines = []
    for examples in listing.splits.values():
        for example in examples:
            image = examined_file(example["image"])
            lines.append(f"{example['name']}\t{_size(image) if isinstance(image, str) else 'source'}")
    for name, path in listing.files.items():
        size = path.stat().st_size
        content = hashlib.sha256(path.read_bytes()).hexdigest() if size <= MAX_HASHED_BYTES else ""
        lines.append(f"{name}\t{size}\t{content}")
    if listing.settings:
        lines.append(listing.settings)
    return sorted(lines)


def _size(path: str) -> int | str:
    try:
        return os.stat(path).st_size
    except OSError:  # a dangling link; the check of the images names it
        return "unreadable"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
