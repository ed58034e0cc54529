"""The base of the benchmarks that users bring: finds one and compares it with the published counts."""

import abc
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

from datasets.builder import Archive
from datasets.errors import problems_error
from datasets.examples import Example
from datasets.folders import find_files, find_folders, given_path, list_folders, matches
from datasets.listing import ListedBuilder, Listing


class BenchmarkBuilder(ListedBuilder, skip_registration=True):
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

    @property
    def title(self) -> str:
        return self.TITLE

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

    def counts_for(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """Return the published counts that hold for a copy with these splits; by default all."""
        return dict(self.COUNTS)

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        folder = given_path(manual_dir)
        root = self._find_root(folder)
        if root is None:
            lines = self.missing_root(folder) if folder.is_dir() else [f"{folder}: no such folder"]
            raise problems_error(f"No {self.TITLE} at {folder}", lines, self.ADVICE)
        listing = self.list_root(root)
        # A protocol file beside an archive can change while the archive does not.
        is_archive_all = all(path.is_relative_to(folder) for path in listing.files.values())
        return self.as_archive(
            root,
            listing,
            license=self.LICENSE,
            expected=self.counts_for(listing.splits),
            metadata={"archive_sha256": self.archive_sha256 if is_archive_all else None},
        )
