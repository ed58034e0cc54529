"""The base of all builders: checks an archive, converts images, and lets TFDS write the shards.

An archive comes from outside. All of it is looked at before the first byte is written, and everything that is wrong
with it (names, counts, images) is reported at once, each problem with its path.
"""

import abc
import collections
import dataclasses
import io
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from datasets.errors import DatasetError, raise_problems
from datasets.examples import Example, image_keys
from datasets.images import ConvertedImage, ImageSource, examine_images
from san_jax.counts import count

EXAMPLES_PER_SHARD = 1024
MAX_SHARDS = 512  # of a split: readers keep all of them open, and a process may often open 1,024 files


@dataclasses.dataclass(frozen=True)
class Archive:
    """Everything that a builder found, before anything is written.

    Attributes:
        root: The folder that was read.
        splits: Examples of each split, in the order in which they are written. Image features hold paths, encoded
            images as binary files, or ImageSources.
        digest: Digest by which the content is recognised when the dataset is asked for again.
        metadata: JSON values stored with the dataset. `license`, in words, is also TFDS's licence of the dataset.
        problems: A line for each wrong name and count.
        extra_files: Files to write beside the shards: name -> content.
        source_lines: What the digest is made of, a line each; none where it is made of something else.
    """

    root: pathlib.Path
    splits: dict[str, list[Example]]
    digest: str
    metadata: dict[str, Any]
    problems: tuple[str, ...] = ()
    extra_files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    source_lines: Sequence[str] = ()


class ArchiveBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes the examples of an archive in order, in array_record shards of `EXAMPLES_PER_SHARD` or more.

    A split that would have more than `MAX_SHARDS` of them has larger ones.

    TFDS's usual GeneratorBasedBuilder keeps a whole split in memory, and needs TensorFlow's file API beyond 1 GiB; this
    one holds one shard. It is not registered with TFDS, so reading a dataset always goes by the files on disk, in this
    program as in any other.

    Attributes:
        OTHERWISE: How messages say that a dataset which is there was built from something else.
        archive: The archive to write, if it was scanned and found usable already; else None.
    """

    OTHERWISE = "from another source"
    VERSION = tfds.core.Version("1.0.0")
    # Nothing is downloaded, and TFDS 4.9.10's own look-up of checksums needs a package that it does not depend on.
    url_infos = None
    archive: Archive | None = None

    def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
        super().__init__(file_format=file_format, **kwargs)

    def _log_download_bytes(self) -> None:
        # Replaces TFDS's "Downloading and preparing dataset".
        print(f"Building the dataset {self.name} ...", flush=True)

    def _log_download_done(self) -> None:
        print(f"Built {self.data_dir}", flush=True)

    @abc.abstractmethod
    def features(self) -> dict[str, Any]:
        """Return the features of an example, `tfds.features` values."""

    @abc.abstractmethod
    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        """List the archive in `manual_dir` and check names and counts, without opening the images.

        Raises:
            DatasetError: There is no such archive, or it cannot be listed.
        """

    def differences(self, archive: Archive, folder: pathlib.Path) -> list[str]:
        """Return what tells an archive from the one that the dataset in a folder was built from, a line each.

        There is none where only the digests are known.
        """
        return []

    def usable(self, archive: Archive) -> Archive:
        """Open every image of an archive that was scanned.

        Returns:
            The archive with a `ConvertedImage` for each file that is not an upright RGB JPEG or PNG, and the number of
            such files by kind in the metadata.

        Raises:
            DatasetError: An image cannot be used; names all of them.
        """
        examined = examine_images(archive.root, archive.splits, self.features())
        raise_problems(
            f"{archive.root}: {len(examined.problems):,} of {count(examined.num_images, 'image file')} cannot be used",
            list(examined.problems.values()),
            "Replace these files (unpack the archive or render them again) and build again; nothing was written.",
        )
        return self.converted(archive, examined.conversions)

    def converted(self, archive: Archive, conversions: Mapping[str, str]) -> Archive:
        """Return the archive with the files of `conversions` converted, as `Examined.conversions` has them."""
        keys = image_keys(self.features())

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


@dataclasses.dataclass(frozen=True)
class _Shard:
    """The examples of one shard with their keys, in the form that TFDS asks for."""

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
    size = max(EXAMPLES_PER_SHARD, math.ceil(len(examples) / MAX_SHARDS))
    starts = range(0, len(examples), size)
    return [
        _Shard(split, index, len(starts), first, examples[first : first + size]) for index, first in enumerate(starts)
    ]


def newest_version(folder: pathlib.Path) -> pathlib.Path | None:
    """Return the newest complete version of the dataset in `data_dir/name`, or None if there is none."""
    complete = [
        info.parent for info in folder.glob("*/dataset_info.json") if tfds.core.Version.is_valid(info.parent.name)
    ]
    return max(complete, key=lambda path: tfds.core.Version(path.name), default=None)
