"""What all builders share: features, checks of counts and images, and the builder base classes.

An archive comes from outside. It is looked at wholly before the first byte is written, and everything that is wrong
with it (names, counts, images) is reported at once, each item with its path.

The bytes of an upright RGB JPEG or PNG go into the records as they are: TFDS's Image feature takes a path or a file
object without TensorFlow, and would need TensorFlow to encode an array. Any other picture is converted to such a PNG, as
readers disagree about grey, 16 bits, transparency and EXIF orientation; how many were is told in the metadata.
"""

import abc
import collections
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import io
import math
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging
from PIL import Image

from san_jax import pictures

MAX_REPORTED = 20  # problems in a message
MAX_STORED = 1000  # problems in the metadata of a partial dataset
EXAMPLES_PER_SHARD = 1024
_MAX_NAMED = 8  # names in "found ..."
_MAX_NESTED = 5  # folders of one name in one another; three have been seen
# How browsers call a second download, and Google Drive a packed folder.
_DOWNLOADS = ("", " (?)", "(?)", "-20*Z-*")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz")
# A person crop beyond 4096x4096 is a decompression bomb: a few bytes that would fill the memory when decoded.
MAX_IMAGE_PIXELS = 1 << 24
# What decides over a dataset besides its images goes into the digest by content up to this size, else by size.
MAX_HASHED_BYTES = 1 << 24

# The suffix of a JPEG in a pattern of file names. Archives have .jpg; copies of MSMT17 have .jpeg (SY-Xuan/IICS#5), and
# copies of any benchmark that passed through other tools .JPG.
JPEG_SUFFIX = r"(?i:\.jpe?g)"

TEXTURE_SIZE = pictures.TEXTURE_SIZE
PERSON_SIZE = (256, 128)

Example = dict[str, Any]


class DatasetError(ValueError):
    """A dataset that cannot be built: what was expected, what was found and what to do.

    Attributes:
        problems: One line for each thing at fault, all of them; the message shows the first `MAX_REPORTED`.
    """

    def __init__(self, message: str, problems: Iterable[str] = ()):
        super().__init__(message)
        self.problems = tuple(problems)


class ImageSource(abc.ABC):
    """An image that is not a file of its own (CUHK03 keeps them in one .mat file). Must be hashable."""

    @abc.abstractmethod
    def problem(self) -> str | None:
        """What is wrong with it, in one line, or None; as cheap as can be."""

    @abc.abstractmethod
    def read(self) -> bytes:
        """The image encoded as PNG or JPEG; the same bytes at each call."""


@dataclasses.dataclass(frozen=True)
class ConvertedImage(ImageSource):
    """A picture file whose own bytes do not go into the records: upright, RGB, as PNG.

    Attributes:
        path: The file.
    """

    path: str

    def problem(self) -> str | None:
        try:
            pictures.decode(self.path, max_pixels=MAX_IMAGE_PIXELS)
        except pictures.PictureError as error:
            return str(error)
        return None

    def read(self) -> bytes:
        image = pictures.decode(self.path, max_pixels=MAX_IMAGE_PIXELS).image
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(buffer, format="PNG")  # without the file's metadata
        return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Examined:
    """What decoding the images of an archive showed.

    Attributes:
        problems: A line for each image that cannot be used, in the archive's order.
        conversions: What each file is that has to be converted, as `san_jax.pictures.Picture.conversion`.
    """

    problems: dict[str | ImageSource, str]
    conversions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Listing:
    """What the names in an archive's folder say. Nothing is opened yet but lists and protocol files.

    Attributes:
        splits: Examples of each split, in the order they are written. Image features hold paths or ImageSources.
        counts: What `split_counts` does not count, by the names of the builder's `COUNTS`.
        problems: One line for each path that is missing, extra or misnamed; none of them is in `splits`.
        files: What besides the images decides over the content: name in the archive -> path. Part of the digest.
    """

    splits: dict[str, list[Example]]
    counts: dict[str, int]
    problems: list[str]
    files: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ImageNames:
    """How a benchmark names its images, where the name holds person and camera.

    Attributes:
        pattern: Matches a whole file name. Its groups are `image` (the name without its suffix), `person` and `camera`.
        example: Such a name, for messages.
        num_cameras: Cameras are numbered from 1 to this.
    """

    pattern: re.Pattern[str]
    example: str
    num_cameras: int

    def read(self, root: pathlib.Path, folder: str, problems: list[str]) -> list[Example]:
        """Examples of the images in `root / folder`, not labelled, in the order of their names.

        Args:
            root: The archive's folder.
            folder: Path of the images in it.
            problems: Gets one line for each file that is misnamed or is an image that is there under another name too.
        """
        examples: list[Example] = []
        names: dict[str, str] = {}
        for name in list_files(root / folder):
            match = self.pattern.fullmatch(name)
            if not match or not 1 <= int(match["camera"]) <= self.num_cameras:
                problems.append(
                    f"{root / folder / name}: expected a name like {self.example} with camera c1 to c{self.num_cameras}"
                )
                continue
            first = names.setdefault(match["image"], name)
            if first != name:
                problems.append(same_image_problem(root / folder / name, first))
                continue
            examples.append(reid_example(root, f"{folder}/{name}", int(match["person"]), int(match["camera"]) - 1))
        return examples


def same_image_problem(path: pathlib.Path, other: str) -> str:
    """The line for a file whose name differs from that of `other`, in the same folder, in nothing but the suffix."""
    return f"{path}: extra, {other} is the same image with another suffix; keep one of the two"


@dataclasses.dataclass(frozen=True)
class Archive:
    """Everything that a builder found, before anything is written.

    Attributes:
        root: The folder that was read.
        splits: Examples of each split, in the order they are written. Image features hold paths, encoded images as
            binary files, or ImageSources.
        digest: What the content is recognised by when the dataset is asked for again.
        metadata: JSON values stored with the dataset; `license`, in words, is TFDS's licence of the dataset, too.
        problems: One line for each defect of names and counts.
        extra_files: Files to write beside the shards: name -> content.
    """

    root: pathlib.Path
    splits: dict[str, list[Example]]
    digest: str
    metadata: dict[str, Any]
    problems: tuple[str, ...] = ()
    extra_files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


class ArchiveBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes the examples of an archive in order, in array_record shards of at most `EXAMPLES_PER_SHARD`.

    TFDS's usual GeneratorBasedBuilder keeps a whole split in memory and needs TensorFlow's file API beyond 1 GiB; this
    one holds a shard. It is not registered with TFDS, so reading always goes by the files on disk, in this program as
    in any other.

    Attributes:
        archive: What to write, where it was scanned and found usable already; else None.
    """

    VERSION = tfds.core.Version("1.0.0")
    # Nothing is downloaded. TFDS 4.9.10's own look-up of checksums needs a package that it does not depend on.
    url_infos = None
    archive: Archive | None = None

    def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
        super().__init__(file_format=file_format, **kwargs)

    def _log_download_bytes(self) -> None:
        # In place of TFDS's "Downloading and preparing dataset".
        print(f"Building the dataset {self.name} ...", flush=True)

    def _log_download_done(self) -> None:
        print(f"Built {self.data_dir}", flush=True)

    @abc.abstractmethod
    def features(self) -> dict[str, Any]:
        """The features of an example, `tfds.features` values."""

    @abc.abstractmethod
    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        """Lists the archive in `manual_dir` and checks names and counts, without opening the images.

        Raises:
            DatasetError: There is no such archive, or it cannot be listed.
        """

    def usable(self, archive: Archive) -> Archive:
        """Opens every image of an archive that was scanned.

        Returns:
            What can be built from, with a `ConvertedImage` for each file that is no upright RGB JPEG or PNG, and their
            number by kind in the metadata.

        Raises:
            DatasetError: Something is wrong with the archive; names everything.
        """
        examined = examine_images(archive, self.features())
        number = len(_images(archive, self.features()))
        raise_problems(
            f"{archive.root}: {len(examined.problems):,} of {number:,} image files cannot be used",
            list(examined.problems.values()),
            "Replace these files (unpack the archive or render them again) and build again; nothing was written.",
        )
        return self._converted(archive, examined.conversions)

    def _converted(self, archive: Archive, conversions: Mapping[str, str]) -> Archive:
        keys = _image_keys(self.features())

        def convert(example: Example) -> Example:
            changed = {key: ConvertedImage(example[key]) for key in keys if example[key] in conversions}
            return {**example, **changed} if changed else example

        splits = {split: [convert(example) for example in examples] for split, examples in archive.splits.items()}
        metadata = {**archive.metadata, "converted": dict(sorted(collections.Counter(conversions.values()).items()))}
        return dataclasses.replace(archive, splits=splits, metadata=metadata)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.features()),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        archive = self.archive or self.usable(self.scan(dl_manager.manual_dir))
        info: Any = self.info
        info.metadata.update({"source_digest": archive.digest, **archive.metadata})
        info.as_proto.redistribution_info.license = archive.metadata["license"]
        for name, content in archive.extra_files.items():
            (pathlib.Path(self.data_dir) / name).write_bytes(content)  # the folder that TFDS renames at the end
        return {split: _shards(split, examples) for split, examples in archive.splits.items()}


class ReidBuilder(ArchiveBuilder, skip_registration=True):
    """Base of the benchmarks that users bring: a builder says where the images are and what their names mean.

    Class attributes:
        TITLE: The benchmark's name in messages.
        ADVICE: How to get the data, and what to give as manual_dir; ends every error.
        LICENSE: Under which terms its authors give the data out, as far as they are public.
        COUNTS: The published counts: "<split> images", "<split> identities", "<split> cameras" and what else there is.
        FOLDERS: Names of the folder as unpacked, as fnmatch patterns without regard to case. What is so called goes
            before folders that only look like it.
        ARCHIVES: Names of the archives as downloaded, such patterns too; see `archive_names`.
        MAX_UNPACKED_BYTES: An archive that holds more is refused.

    Attributes:
        beside: The folder of the archive file, where one is unpacked: what belongs to it may lie there. Else None.
        archive_sha256: The SHA-256 of that file, or None.
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

    def __init__(self, *, counts: Mapping[str, int] | None = None, allow_partial: bool = False, **kwargs: Any):
        """Args:
        counts: For tests: counts to expect in place of the published ones.
        allow_partial: Leaves out what is extra or unreadable and does without what is missing.
        **kwargs: `data_dir`, `config`, ...: TFDS's own.
        """
        self.MANUAL_DOWNLOAD_INSTRUCTIONS = self.ADVICE
        self.counts_expected = dict(self.COUNTS if counts is None else counts)
        self.allow_partial = allow_partial
        super().__init__(**kwargs)

    def features(self) -> dict[str, Any]:
        return reid_features()

    @abc.abstractmethod
    def is_root(self, folder: pathlib.Path) -> bool:
        """Whether a folder looks like the one in the archive: by what is in it, not by its name."""

    def lacks_a_part(self, folder: pathlib.Path) -> bool:
        """Whether a folder of one of `FOLDERS`' names that is no root is this dataset all the same, and damaged."""
        return True

    @abc.abstractmethod
    def missing_root(self, folder: pathlib.Path) -> list[str]:
        """Lines that say what was expected at `folder` and what was found, where no folder `is_root`."""

    @abc.abstractmethod
    def list_root(self, root: pathlib.Path) -> Listing:
        """Lists the archive's folder.

        Raises:
            DatasetError: The lists or protocol files that say what belongs there are absent or malformed.
        """

    def locate(self, manual_dir: str | os.PathLike[str]) -> pathlib.Path | None:
        """The folder for `scan`, or the file of the archive as downloaded; None where neither is in `manual_dir`.

        What is given goes first; then a folder of one of `FOLDERS`' names, then an archive, then a folder of another
        name that looks like this dataset, unless one is `damaged`.

        Raises:
            DatasetError: Several are equally good; names them.
        """
        given = given_path(manual_dir)
        if given.is_file() or self.is_root(given):
            return given
        named, others = self._find_roots(given)
        return self._only(given, named or find_files(given, self.is_archive_name) or others)

    def damaged(self, given: pathlib.Path) -> list[pathlib.Path]:
        """`given` and folders in it that should be this dataset by their names, but lack a part of it."""
        roots = find_folders(given, self.is_root)
        return [
            path
            for path in [given, *_folders(given)]
            if self.is_folder_name(path.name)
            and not any(root.is_relative_to(path) for root in roots)
            and not any(info for depth in ("*", "*/*") for info in path.glob(f"{depth}/dataset_info.json"))  # built
            and self.lacks_a_part(path)
        ]

    def _find_root(self, folder: pathlib.Path) -> pathlib.Path | None:
        """`locate` for what is unpacked."""
        if self.is_root(folder):
            return folder
        named, others = self._find_roots(folder)
        return self._only(folder, named or others)

    def _find_roots(self, folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Roots below a folder: those of one of `FOLDERS`' names, and those to take where there are none."""
        roots = find_folders(folder, self.is_root)
        named = [root for root in roots if self.is_folder_name(root.name)]
        return named, [] if self.damaged(folder) else roots

    def _only(self, given: pathlib.Path, found: Sequence[pathlib.Path]) -> pathlib.Path | None:
        if len(found) > 1:
            raise_problems(
                f"{given} holds more than one {self.TITLE}",
                [str(path) for path in found],
                f"Give the folder of the one to build, or its archive, as manual_dir.\n{self.ADVICE}",
            )
        return found[0] if found else None

    def is_folder_name(self, name: str) -> bool:
        """Whether a folder of this name should be this benchmark's."""
        return _matches(name, self.FOLDERS)

    def is_archive_name(self, name: str) -> bool:
        """Whether a file of this name should be this benchmark's archive."""
        return _matches(name, self.ARCHIVES)

    def split_counts(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """What can be counted in the examples, by the names of `COUNTS`."""
        return split_counts(splits)

    def counts_for(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        """The expected counts that a copy with these splits can be held against: all of them, unless copies differ."""
        return self.counts_expected

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        folder = given_path(manual_dir)
        root = self._find_root(folder)
        if root is None:
            lines = self.missing_root(folder) if folder.is_dir() else [f"{folder}: no such folder"]
            raise_problems(f"No {self.TITLE} at {folder}", lines, self.ADVICE)
            raise AssertionError(f"{type(self)}: missing_root says nothing about {folder}")
        listing = self.list_root(root)
        not_text = [
            f"{root / example['name']}: expected a name in UTF-8"
            for examples in listing.splits.values()
            for example in examples
            if not _is_text(example["name"])
        ]
        splits = {
            split: [example for example in examples if _is_text(example["name"])]
            for split, examples in listing.splits.items()
        }
        listing = dataclasses.replace(listing, splits=splits, problems=[*listing.problems, *not_text])
        counts = {**listing.counts, **self.split_counts(listing.splits)}
        expected = self.counts_for(listing.splits)
        problems = [
            *listing.problems,
            *count_problems(counts, expected),
            *(f"the split {split!r} is empty" for split, examples in listing.splits.items() if not examples),
        ]
        metadata = {
            "license": self.LICENSE,
            "partial": False,
            "num_problems": 0,
            "problems": [],
            # What lies beside an archive can change while the archive does not.
            "archive_sha256": self.archive_sha256
            if all(path.is_relative_to(folder) for path in listing.files.values())
            else None,
            "counts": counts,
            "counts_expected": expected,
            "counts_published": self.counts_expected == dict(self.COUNTS),
        }
        return Archive(root, listing.splits, _listing_digest(root, listing), metadata, tuple(problems))

    def usable(self, archive: Archive) -> Archive:
        """The archive as it is, or with `allow_partial` what of it can be read, marked `partial`."""
        examined = examine_images(archive, self.features())
        unreadable = examined.problems
        problems = [*archive.problems, *unreadable.values()]
        if not problems:
            return self._converted(archive, examined.conversions)
        if not self.allow_partial:
            raise_problems(
                f"{archive.root} is not the whole {self.TITLE}: {len(problems):,} problems, {len(unreadable):,} of them "
                "unreadable images",
                problems,
                f"{self.ADVICE}\nNothing was written. To build from what is there, pass --allow_partial: the dataset and "
                "every later result are then marked as partial.",
            )
        splits = {
            split: [dict(example) for example in examples if example["image"] not in unreadable]
            for split, examples in archive.splits.items()
        }
        empty = [f"the split {split!r} is empty" for split, examples in splits.items() if not examples]
        raise_problems(
            f"{archive.root}: not even a partial {self.TITLE} can be built",
            [*empty, *(line for line in problems if line not in empty)] if empty else [],
            self.ADVICE,
        )
        label_train([example for examples in splits.values() for example in examples if example["label"] >= 0])
        counts = {**archive.metadata["counts"], **self.split_counts(splits)}
        metadata = {
            **archive.metadata,
            "partial": True,
            "num_problems": len(problems),
            "problems": [_storable(line, archive.root) for line in problems[:MAX_STORED]],
            "counts": counts,
        }
        partial = dataclasses.replace(archive, splits=splits, metadata=metadata, problems=tuple(problems))
        return self._converted(partial, examined.conversions)


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8: Python has surrogates in place of bytes that are not."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def _storable(line: str, root: pathlib.Path) -> str:
    """A problem without the path of the archive's folder, which may be gone tomorrow, as text that JSON can hold."""
    line = line.replace(f"{root}{os.sep}", "").replace(str(root), ".")
    return line.encode(errors="backslashreplace").decode()


def reid_features() -> dict[str, Any]:
    """Features of a reID benchmark: the contract that every program reading one relies on."""
    return {
        "image": tfds.features.Image(
            shape=(None, None, 3),
            doc="RGB. As in the archive, byte by byte, if it is an upright RGB JPEG or PNG there.",
        ),
        "person_id": tfds.features.Scalar(np.int64, doc="Identity as the archive numbers it."),
        "label": tfds.features.Scalar(np.int64, doc="train: 0..K-1 in increasing person_id; -1 in query and gallery."),
        "camera_id": tfds.features.Scalar(np.int64, doc="0-based camera."),
        "name": tfds.features.Text(doc="Path inside the archive."),
    }


def texture_feature() -> Any:
    """A UV texture, (256, 256, 3) uint8 RGB."""
    return tfds.features.Image(shape=(*TEXTURE_SIZE, 3), encoding_format="png")


def newest_version(folder: pathlib.Path) -> pathlib.Path | None:
    """The folder of a dataset's newest complete version in `data_dir/name`, or None where there is none."""
    complete = [
        info.parent for info in folder.glob("*/dataset_info.json") if tfds.core.Version.is_valid(info.parent.name)
    ]
    return max(complete, key=lambda path: tfds.core.Version(path.name), default=None)


def reid_example(root: pathlib.Path, name: str, person_id: int, camera_id: int) -> Example:
    """The example of an image file: `root / name`, `camera_id` 0-based, not labelled."""
    return {
        "image": str(root / name),
        "person_id": person_id,
        "label": -1,
        "camera_id": camera_id,
        "name": name,
    }


def label_train(examples: Sequence[Example]) -> None:
    """Sets the labels of training examples to 0..K-1 in increasing person id."""
    labels = train_labels([example["person_id"] for example in examples])
    for example, label in zip(examples, labels, strict=True):
        example["label"] = label


def train_labels(person_ids: Sequence[int]) -> list[int]:
    """Labels 0..K-1 in increasing person id, one for each image."""
    _, labels = np.unique(np.asarray(person_ids, dtype=np.int64), return_inverse=True)
    return [int(label) for label in labels]


def split_counts(splits: Mapping[str, Sequence[Example]], *, no_identities: Collection[int] = ()) -> dict[str, int]:
    """Images, identities and cameras of each split: "<split> images", "<split> identities", "<split> cameras".

    Args:
        splits: Examples by split.
        no_identities: Person ids that are none (distractors); their images and cameras count.
    """
    counts: dict[str, int] = {}
    for split, examples in splits.items():
        counts[f"{split} images"] = len(examples)
        counts[f"{split} identities"] = len({example["person_id"] for example in examples} - set(no_identities))
        counts[f"{split} cameras"] = len({example["camera_id"] for example in examples})
    return counts


def given_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """A path as the user gave it, absolute: the names of `.` and of its parents count."""
    return pathlib.Path(path).expanduser().absolute()


def archive_names(*stems: str) -> tuple[str, ...]:
    """Patterns for `ReidBuilder.ARCHIVES`: archives of these names, also as browsers rename them."""
    return tuple(f"{stem}{tail}{suffix}" for stem in stems for tail in _DOWNLOADS for suffix in _ARCHIVE_SUFFIXES)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def find_folders(folder: pathlib.Path, is_root: Callable[[pathlib.Path], bool]) -> list[pathlib.Path]:
    """Of `folder`, the folders in it and the folders in those, all for which `is_root` holds; none below another.

    A folder in a folder of the same name counts as one with it: copies lie in MSMT17_V2/MSMT17_V2/MSMT17_V2
    (SY-Xuan/IICS#5) and in Market-1501-v15.09.15/Market-1501-v15.09.15.
    """
    found: list[pathlib.Path] = []
    level = [folder]
    for depth in range(3):
        below: list[pathlib.Path] = []
        for outermost in level:
            candidates = [outermost, *_nested(outermost)]
            root = next((path for path in candidates if _is_readable(path) and is_root(path)), None)
            if root is not None:
                found.append(root)
            elif depth < 2:
                below += [path for candidate in candidates for path in _folders(candidate) if path not in candidates]
        level = below
    # A link to another one is no second one.
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def _nested(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder of the same name in a folder, the one in that, and so on, `_MAX_NESTED` at most."""
    nested: list[pathlib.Path] = []
    while folder.name and len(nested) < _MAX_NESTED and os.path.isdir(folder / folder.name):
        folder /= folder.name
        nested.append(folder)
    return nested


def find_files(folder: pathlib.Path, is_name: Callable[[str], bool]) -> list[pathlib.Path]:
    """The files in `folder` and in the folders in it for whose names `is_name` holds."""
    return [
        path / name
        for path in [folder, *_folders(folder)]
        if path.is_dir() and _is_readable(path)
        for name in list_files(path)
        if is_name(name) and (path / name).is_file()
    ]


def _is_readable(folder: pathlib.Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:  # absent, or not ours to read
        return []
    return [folder / name for name in sorted(names) if not pictures.is_junk(name)]


def has_named(folder: pathlib.Path, folders: Sequence[str], name: re.Pattern[str]) -> bool:
    """Whether a folder has `folders`, and in them at least one file called like `name`.

    Market-1501 and DukeMTMC-reID have the same folders: only the files in them tell one from the other.
    """
    return all((folder / part).is_dir() for part in folders) and any(
        name.fullmatch(file) for part in folders for file in list_files(folder / part)
    )


def found_there(folder: pathlib.Path) -> str:
    """What to say of a folder that holds something else: the first few of its folders and files."""
    try:
        names = list_files(folder)
    except OSError as error:
        return f"that it cannot be read ({error.strerror})"
    text = ", ".join(names[:_MAX_NAMED]) or "nothing"
    return text if len(names) <= _MAX_NAMED else f"{text} and {len(names) - _MAX_NAMED:,} more"


def missing_named(folder: pathlib.Path, root_name: str, folders: Sequence[str], example: str) -> list[str]:
    """What to say where no folder `has_named`: the folders and file names that it looked for."""

    def missing(candidate: pathlib.Path) -> list[str]:
        return [part for part in folders if not (candidate / part).is_dir()]

    root = folder / root_name
    if not root.is_dir():
        # The candidate that comes closest is the one the user meant.
        root = min([folder, *_folders(folder)], key=lambda candidate: len(missing(candidate)))
    expected = f"expected the folders {', '.join(folders)} with files like {example} there or in {folder / root_name}"
    if not missing(root):
        found = next((file for part in folders for file in list_files(root / part)), "no files")
        return [f"{root}: {expected}; the folders are there, but hold {found}"]
    return [
        f"{folder}: {expected}",
        *(f"{root / part}: no such folder" for part in missing(root)),
        f"{root}: found {found_there(root)}",
    ]


def list_files(folder: pathlib.Path) -> list[str]:
    """Names of the files and folders in a folder, sorted, without the leavings of file managers."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if not pictures.is_junk(name))


def count_problems(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Lines for the counts that differ from the published ones; `expected` says what is counted."""
    return [
        f"{name}: expected {number:,}, found {found[name]:,}"
        for name, number in expected.items()
        if found[name] != number
    ]


def raise_problems(title: str, problems: Sequence[str], advice: str) -> None:
    """Raises one DatasetError for all problems; does nothing where there are none."""
    if not problems:
        return
    shown = list(problems[:MAX_REPORTED])
    if len(problems) > MAX_REPORTED:
        shown.append(f"... and {len(problems) - MAX_REPORTED:,} more ({len(problems):,} in all)")
    raise DatasetError("\n".join([f"{title}:", *(f"  {line}" for line in shown), advice]), problems)


def _listing_digest(root: pathlib.Path, listing: Listing) -> str:
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
    except OSError:  # a dangling link; the check of images names it
        return "unreadable"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def examine_images(archive: Archive, features: Mapping[str, Any]) -> Examined:
    """Decodes every image of an archive once: only so are truncated files found."""
    images = _images(archive, features)
    problems: dict[str | ImageSource, str] = {}
    conversions: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(_examine, images.keys(), images.values())
        progress = tqdm.tqdm(results, total=len(images), desc="Checking images", unit="file", disable=None, leave=False)
        try:
            for image, (problem, conversion) in zip(images, progress, strict=True):
                if problem:
                    problems[image] = problem
                elif conversion:
                    assert isinstance(image, str)
                    conversions[image] = conversion
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # who interrupts does not wait for the rest
            raise
    return Examined(problems, conversions)


@dataclasses.dataclass(frozen=True)
class _Expected:
    """What messages call an image, and its height and width where they are given."""

    path: str
    size: tuple[int | None, int | None]


def _images(archive: Archive, features: Mapping[str, Any]) -> dict[str | ImageSource, _Expected]:
    images: dict[str | ImageSource, _Expected] = {}
    keys = _image_keys(features)
    for examples in archive.splits.values():
        for example in examples:
            for key in keys:
                value = example[key]
                if isinstance(value, (str, ImageSource)):  # not images in memory
                    height, width, _ = features[key].shape
                    path = value if isinstance(value, str) else str(archive.root / example["name"])
                    images[value] = _Expected(path, (height, width))
    return images


def _image_keys(features: Mapping[str, Any]) -> list[str]:
    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]


def _examine(image: str | ImageSource, expected: _Expected) -> tuple[str, str]:
    """What is wrong with an image, in one line, and what it is converted from; either may be empty."""
    if isinstance(image, ImageSource):
        problem = image.problem()
        return "" if problem is None else f"{expected.path}: {problem}", ""
    try:
        picture = pictures.decode(image, max_pixels=MAX_IMAGE_PIXELS)
    except pictures.PictureError as error:
        return f"{image}: {error}", ""
    height, width = expected.size
    found = picture.image.height, picture.image.width
    if any(wanted is not None and wanted != side for wanted, side in zip(expected.size, found, strict=True)):
        return f"{image}: expected {height}x{width} (height x width), found {found[0]}x{found[1]}", ""
    return "", picture.conversion


@dataclasses.dataclass(frozen=True)
class _Shard:
    """The examples of one shard with their keys, as TFDS asks for them."""

    split: str
    index: int
    num_shards: int
    first: int
    examples: Sequence[Example]

    def __call__(self) -> Iterator[tuple[int, Example]]:
        logging.info("Writing %s, shard %d of %d", self.split, self.index + 1, self.num_shards)
        for key, example in enumerate(self.examples, start=self.first):
            yield (
                key,
                {
                    name: io.BytesIO(value.read()) if isinstance(value, ImageSource) else value
                    for name, value in example.items()
                },
            )


def _shards(split: str, examples: Sequence[Example]) -> list[_Shard]:
    if not examples:
        raise DatasetError(f"The split {split!r} is empty; TFDS cannot store an empty split.")
    number = math.ceil(len(examples) / EXAMPLES_PER_SHARD)
    return [
        _Shard(split, index, number, first, examples[first : first + EXAMPLES_PER_SHARD])
        for index, first in enumerate(range(0, len(examples), EXAMPLES_PER_SHARD))
    ]
