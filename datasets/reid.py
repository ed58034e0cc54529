"""What all builders share: features, checks of counts and images, and the builder base class.

An archive comes from outside. It is looked at wholly before the first byte is written, and everything that is wrong
with it is reported at once, each item with its path.

Original image bytes go into the records as they are: TFDS's Image feature takes a path or a file object without
TensorFlow, and would need TensorFlow to encode an array.
"""

import abc
import concurrent.futures
import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging
from PIL import Image

MAX_REPORTED = 20
EXAMPLES_PER_SHARD = 1024
# Files that file managers leave in the archives and in copies of them.
IGNORED_FILES = frozenset({"Thumbs.db", "desktop.ini", ".DS_Store"})

TEXTURE_SIZE = (256, 256)
PERSON_SIZE = (256, 128)

Example = dict[str, Any]


class DatasetError(ValueError):
    """A dataset that cannot be built. The message names every path at fault, what was expected and what to do."""


@dataclasses.dataclass(frozen=True)
class Archive:
    """Everything that a builder found, before anything is written.

    Attributes:
        root: The folder that was read.
        splits: Examples of each split, in the order they are written. Image features hold paths.
        digest: What the content is recognised by when the dataset is asked for again.
        metadata: JSON values stored with the dataset.
    """

    root: pathlib.Path
    splits: dict[str, list[Example]]
    digest: str
    metadata: dict[str, Any]


class ArchiveBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes the examples of an archive in order, in array_record shards of at most `EXAMPLES_PER_SHARD`.

    TFDS's usual GeneratorBasedBuilder keeps a whole split in memory and needs TensorFlow's file API beyond 1 GiB; this
    one holds a shard. It is not registered with TFDS, so reading always goes by the files on disk, in this program as
    in any other.
    """

    VERSION = tfds.core.Version("1.0.0")
    # Nothing is downloaded. TFDS 4.9.10's own look-up of checksums needs a package that it does not depend on.
    url_infos = None

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
            DatasetError: Something is missing, unexpected or miscounted.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.features()),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        archive = self.scan(dl_manager.manual_dir)
        info: Any = self.info
        check_images(archive, info.features)
        info.metadata.update({"source_digest": archive.digest, **archive.metadata})
        return {split: _shards(split, examples) for split, examples in archive.splits.items()}


def reid_features() -> dict[str, Any]:
    """Features of a reID benchmark: the contract that every program reading one relies on."""
    return {
        "image": tfds.features.Image(shape=(None, None, 3), doc="As in the archive: original bytes, RGB."),
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


def train_labels(person_ids: Sequence[int]) -> list[int]:
    """Labels 0..K-1 in increasing person id, one for each image."""
    _, labels = np.unique(np.asarray(person_ids, dtype=np.int64), return_inverse=True)
    return [int(label) for label in labels]


def find_root(manual_dir: str | os.PathLike[str], name: str, folders: Sequence[str], advice: str) -> pathlib.Path:
    """The archive's folder: `manual_dir` itself or the folder `name` in it.

    Raises:
        DatasetError: Neither holds all of `folders`; names those that are missing.
    """
    given = pathlib.Path(manual_dir).expanduser()
    candidates = [given, given / name]
    for candidate in candidates:
        if all((candidate / folder).is_dir() for folder in folders):
            return candidate
    # The candidate that comes closest is the one the user meant.
    root = max(candidates, key=lambda candidate: sum((candidate / folder).is_dir() for folder in folders))
    if not given.is_dir():
        problems = [f"{given}: no such folder"]
    else:
        problems = [f"{root / folder}: no such folder" for folder in folders if not (root / folder).is_dir()]
    raise_problems(
        f"No {name} at {given}: expected the folders {', '.join(folders)} there or in {given / name}", problems, advice
    )
    raise AssertionError("unreachable")


def list_files(folder: pathlib.Path) -> list[str]:
    """File names in a folder, sorted, without the leavings of file managers."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if name not in IGNORED_FILES and not name.startswith("._"))


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
    raise DatasetError("\n".join([f"{title}:", *(f"  {line}" for line in shown), advice]))


def files_digest(root: pathlib.Path, names: Iterable[str]) -> str:
    """SHA-256 over the sorted names and sizes of files: cheap enough to compare at each start."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\t{(root / name).stat().st_size}\n".encode())
    return digest.hexdigest()


def check_images(archive: Archive, features: Mapping[str, Any]) -> None:
    """Decodes every image file once and compares it with its feature's size.

    Raises:
        DatasetError: Files that are missing, truncated, of another size or not RGB; all of them in one message.
    """
    sizes: dict[str, tuple[int | None, int | None]] = {}
    for examples in archive.splits.values():
        for example in examples:
            for key, value in example.items():
                if isinstance(features[key], tfds.features.Image) and isinstance(value, str):
                    height, width, _ = features[key].shape
                    sizes[value] = (height, width)
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(_image_problem, sizes.keys(), sizes.values())
        progress = tqdm.tqdm(results, total=len(sizes), desc="Checking images", unit="file", disable=None, leave=False)
        problems = [problem for problem in progress if problem]
    raise_problems(
        f"{archive.root}: {len(problems):,} of {len(sizes):,} image files cannot be used",
        problems,
        "Replace these files (unpack the archive or render them again) and build again; nothing was written.",
    )


def _image_problem(path: str, size: tuple[int | None, int | None]) -> str | None:
    """What is wrong with an image file, in one line, or None."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            image.load()
            mode, found = image.mode, (image.height, image.width)
    except FileNotFoundError:
        return f"{path}: no such file"
    # Pillow reports damaged files by several exception types.
    except Exception as error:
        return f"{path}: not a readable JPEG or PNG ({error})"
    if mode != "RGB":
        return f"{path}: expected an RGB image, found mode {mode}"
    if any(wanted is not None and wanted != side for wanted, side in zip(size, found, strict=True)):
        return f"{path}: expected {size[0]}x{size[1]} (height x width), found {found[0]}x{found[1]}"
    return None


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
        yield from enumerate(self.examples, start=self.first)


def _shards(split: str, examples: Sequence[Example]) -> list[_Shard]:
    if not examples:
        raise DatasetError(f"The split {split!r} is empty; TFDS cannot store an empty split.")
    number = math.ceil(len(examples) / EXAMPLES_PER_SHARD)
    return [
        _Shard(split, index, number, first, examples[first : first + EXAMPLES_PER_SHARD])
        for index, first in enumerate(range(0, len(examples), EXAMPLES_PER_SHARD))
    ]
