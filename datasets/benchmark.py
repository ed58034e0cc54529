"""The base of the benchmarks that users bring: finds one and compares it with the published counts."""

import abc
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from datasets.builder import Archive, ArchiveBuilder
from datasets.errors import problems_error, raise_problems
from datasets.examples import Example, count_problems, label_train, reid_features, split_counts
from datasets.folders import find_files, find_folders, given_path, list_folders, matches
from datasets.images import examine_images

MAX_STORED = 1000  # problems in the metadata of a partial dataset
# Lists and protocol files up to this size go into the digest by their content, larger ones by their size.
MAX_HASHED_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class Listing:
    """The examples that the names in a benchmark's folder give. Only lists and protocol files were opened.

    Attributes:
        splits: Examples of each split, in the order in which they are written. Image features hold paths or
            ImageSources.
        counts: Counts of `COUNTS` that do not follow from the examples.
        problems: One line for each path that is missing, extra or misnamed; none of them is in `splits`.
        files: The lists and protocol files that were read: name in the archive -> path. Part of the digest.
    """

    splits: dict[str, list[Example]]
    counts: dict[str, int]
    problems: list[str]
    files: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)


class BenchmarkBuilder(ArchiveBuilder, skip_registration=True):
    """Base of the benchmarks' builders. A builder says where the images are and what their names mean.

    Attributes:
        TITLE: The benchmark's name in messages.
        ADVICE: How to get the data, and what to give as manual_dir. Every error ends with it.
        LICENSE: The terms under which its authors give the data out, as far as they are public.
        COUNTS: The published counts: "<split> images", "<split> identities", "<split> cameras" and what else there is.
        FOLDERS: Names of the folder as unpacked: fnmatch patterns that ignore case. A folder of such a name goes before
            folders that only look like this benchmark.
        ARCHIVES: Names of the archives as downloaded, also as patterns; see `archive_names`.
        MAX_UNPACKED_BYTES: Limit of the unpacked size; an archive that holds more is refused.
        beside: Folder of the archive file, if one is unpacked: files that belong to it may lie there. Else None.
        archive_sha256: SHA-256 of that file, or None.
    """

    TITLE: str  # this and the counts may differ by configuration
    ADVICE: ClassVar[str]
    LICENSE: ClassVar[str]
    COUNTS: Mapping[str, int]
    FOLDERS: ClassVar[tuple[str, ...]]
    ARCHIVES: ClassVar[tuple[str, ...]]
    MAX_UNPACKED_BYTES: ClassVar[int]

    beside: pathlib.Path | None = None
    archive_sha256: str | None = None

    def __init__(self, *, allow_partial: bool = False, **kwargs: Any):
        """Make the builder.

        Args:
            allow_partial: Whether to leave out what is extra or unreadable, and do without what is missing.
            **kwargs: TFDS's own: `data_dir`, `config`, ...
        """
        self.MANUAL_DOWNLOAD_INSTRUCTIONS = self.ADVICE
        self.allow_partial = allow_partial
        super().__init__(**kwargs)

    def features(self) -> dict[str, Any]:
        return reid_features()

    @abc.abstractmethod
    def is_root(self, folder: pathlib.Path) -> bool:
        """Return whether a folder looks like this benchmark's, by its content and not by its name."""

    def lacks_a_part(self, folder: pathlib.Path) -> bool:
        """Return whether a correctly named folder that fails `is_root` is a damaged copy of this dataset."""
        return True

    @abc.abstractmethod
    def missing_root(self, folder: pathlib.Path) -> list[str]:
        """Return lines that say what was expected and what was found, if `is_root` holds for no folder there."""

    @abc.abstractmethod
    def list_root(self, root: pathlib.Path) -> Listing:
        """List the benchmark's folder.

        Raises:
            DatasetError: The lists or protocol files that say what belongs there are absent or malformed.
        """

    def locate(self, manual_dir: str | os.PathLike[str]) -> pathlib.Path | None:
        """Return the folder to `scan`, or the archive as downloaded; None if neither is in `manual_dir`.

        `manual_dir` itself comes first; then a folder with one of `FOLDERS`' names; then an archive; then a folder of
        another name that looks like this dataset, unless one is `damaged`.

        Raises:
            DatasetError: Several are equally good; names them.
        """
        given = given_path(manual_dir)
        if given.is_file() or self.is_root(given):
            return given
        named, others = self._find_roots(given)
        return self._only(given, named or find_files(given, self.is_archive_name) or others)

    def damaged(self, given: pathlib.Path) -> list[pathlib.Path]:
        """Return `given` and folders in it that should be this dataset by their names, but lack a part of it."""
        roots = find_folders(given, self.is_root)
        return [
            path
            for path in [given, *list_folders(given)]
            if self.is_folder_name(path.name)
            and not any(root.is_relative_to(path) for root in roots)
            and not any(info for depth in ("*", "*/*") for info in path.glob(f"{depth}/dataset_info.json"))  # built
            and self.lacks_a_part(path)
        ]

    def is_folder_name(self, name: str) -> bool:
        """Return whether a folder of this name should be this benchmark's."""
        return matches(name, self.FOLDERS)

    def is_archive_name(self, name: str) -> bool:
        """Return whether a file of this name should be this benchmark's archive."""
        return matches(name, self.ARCHIVES)

    def _find_root(self, folder: pathlib.Path) -> pathlib.Path | None:
        """Return the folder that `locate` would return if there were no archives."""
        if self.is_root(folder):
            return folder
        named, others = self._find_roots(folder)
        return self._only(folder, named or others)

    def _find_roots(self, folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Return the roots below a folder with one of `FOLDERS`' names, and those to take if there are none."""
        roots = find_folders(folder, self.is_root)
        named = [root for root in roots if self.is_folder_name(root.name)]
        return named, [] if self.damaged(folder) else roots

    def _only(self, given: pathlib.Path, found: Sequence[pathlib.Path]) -> pathlib.Path | None:
        if len(found) > 1:
            raise problems_error(
                f"{given} holds more than one {self.TITLE}",
                [str(path) for path in found],
                f"Give the folder of the one to build, or its archive, as manual_dir.\n{self.ADVICE}",
            )
        return found[0] if found else None

    def split_counts(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """Return the counts of `COUNTS` that follow from the examples."""
        return split_counts(splits)

    def counts_for(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """Return the published counts that hold for a copy with these splits; by default all."""
        return dict(self.COUNTS)

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        folder = given_path(manual_dir)
        root = self._find_root(folder)
        if root is None:
            lines = self.missing_root(folder) if folder.is_dir() else [f"{folder}: no such folder"]
            raise problems_error(f"No {self.TITLE} at {folder}", lines, self.ADVICE)
        listing = _without_unstorable_names(self.list_root(root), root)
        counts = {**listing.counts, **self.split_counts(listing.splits)}
        expected = self.counts_for(listing.splits)
        problems = (
            *listing.problems,
            *count_problems(counts, expected),
            *_empty_split_problems(listing.splits),
        )
        # A protocol file beside an archive can change while the archive does not.
        is_archive_all = all(path.is_relative_to(folder) for path in listing.files.values())
        metadata = {
            "license": self.LICENSE,
            "partial": False,
            "num_problems": 0,
            "problems": [],
            "archive_sha256": self.archive_sha256 if is_archive_all else None,
            "counts": counts,
            "counts_expected": expected,
        }
        return Archive(root, listing.splits, _listing_digest(listing), metadata, problems)

    def usable(self, archive: Archive) -> Archive:
        """Open every image of an archive that was scanned.

        With `allow_partial`, an incomplete archive is marked as `partial` and loses the images that cannot be read.
        """
        examined = examine_images(archive.root, archive.splits, self.features())
        unreadable = examined.problems
        problems = [*archive.problems, *unreadable.values()]
        if not problems:
            return self.converted(archive, examined.conversions)
        if not self.allow_partial:
            raise_problems(
                f"{archive.root} is not the whole {self.TITLE}: {len(problems):,} problems, {len(unreadable):,} of "
                "them unreadable images",
                problems,
                f"{self.ADVICE}\nNothing was written. To build from what is there, pass --allow_partial: the dataset "
                "and every later result are then marked as partial.",
            )
        splits = {
            split: [dict(example) for example in examples if example["image"] not in unreadable]
            for split, examples in archive.splits.items()
        }
        empty = _empty_split_problems(splits)
        raise_problems(
            f"{archive.root}: not even a partial {self.TITLE} can be built",
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
        return self.converted(partial, examined.conversions)


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


def _listing_digest(listing: Listing) -> str:
    """Return a digest over the names and sizes of the images, and over the lists and protocol files."""
    lines = []
    for examples in listing.splits.values():
        for example in examples:
            image = example["image"]
            lines.append(f"{example['name']}\t{_size(image) if isinstance(image, str) else 'source'}")
    for name, path in listing.files.items():
        size = path.stat().st_size
        content = hashlib.sha256(path.read_bytes()).hexdigest() if size <= MAX_HASHED_BYTES else ""
        lines.append(f"{name}\t{size}\t{content}")
    return _digest(lines)


def _size(path: str) -> int | str:
    try:
        return os.stat(path).st_size
    except OSError:  # a dangling link; the check of the images names it
        return "unreadable"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
