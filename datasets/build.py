"""Builds a dataset on disk: once, whole or not at all.

TFDS writes into a folder `incomplete.*` and renames it at the end. A build that was killed leaves such a folder; the
next one removes it, under a lock, so that two builds of one dataset never meet.
"""

import contextlib
import fcntl
import importlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from datasets import reid

# The benchmarks that users bring; NAME/CONFIG is one configuration of a builder.
BENCHMARKS = (
    "market1501",
    "dukemtmc_reid",
    "cuhk03/labeled",
    "cuhk03/detected",
    "msmt17",
    "partial_reid",
    "partial_ilids",
)
# The builder of NAME is datasets/NAME/NAME_dataset_builder.py.
NAMES = ("pit", "pit_reid", *BENCHMARKS)


def build_dataset(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    manual_dir: str | os.PathLike[str],
    counts: Mapping[str, int] | None = None,
    allow_partial: bool = False,
) -> pathlib.Path:
    """Builds the dataset `name` under `data_dir` from the archive or rendered folder in `manual_dir`.

    A complete dataset that was built from the same source is kept as it is.

    Args:
        name: One of `NAMES`.
        data_dir: Where TFDS keeps datasets; made if absent.
        manual_dir: The archive's folder or its parent (benchmarks), or the rendered folder (`pit`, `pit_reid`).
        counts: For tests: counts to expect in place of the published ones. Stored in the dataset's metadata.
        allow_partial: Builds a benchmark from what is there, without what is extra or unreadable, and marks the dataset
            as partial. A complete archive makes a complete dataset all the same.

    Returns:
        The dataset's folder, `data_dir/name/version`.

    Raises:
        DatasetError: The source is incomplete or damaged, or the folder holds a dataset built from another source.
    """
    if name not in NAMES:
        raise reid.DatasetError(f"Unknown dataset {name!r}; there are builders for {', '.join(NAMES)}.")
    arguments: dict[str, Any] = {}
    if name in BENCHMARKS:
        arguments = {"counts": counts, "allow_partial": allow_partial}
    elif counts is not None or allow_partial:
        raise reid.DatasetError(f"{name} is rendered whole; counts and allow_partial are for benchmarks only.")
    return _build(make_builder(name, data_dir, **arguments), pathlib.Path(manual_dir).expanduser())


def make_builder(name: str, data_dir: str | os.PathLike[str], **arguments: Any) -> Any:
    """The builder of a dataset of `NAMES`."""
    name, _, config = name.partition("/")
    module = importlib.import_module(f"datasets.{name}.{name}_dataset_builder")
    return module.Builder(data_dir=_make_folder(data_dir), config=config or None, **arguments)


def build_textured(
    benchmark: str,
    *,
    data_dir: str | os.PathLike[str],
    texture_dir: str | os.PathLike[str],
    metadata: Mapping[str, Any],
) -> pathlib.Path:
    """Builds `<benchmark>_textured` from the train split of `benchmark` and one PNG an example.

    Image bytes, ids, names and their order are the benchmark's; `texture` is the PNG.

    Args:
        benchmark: A reID dataset that is already under `data_dir`.
        data_dir: Where TFDS keeps datasets.
        texture_dir: Holds, for an example named `a/b.jpg`, the texture `a/b.png`, 256x256 RGB.
        metadata: Where the textures come from (JSON values); stored with the dataset. Other metadata or other
            textures make another dataset.

    Returns:
        The dataset's folder, `data_dir/<benchmark>_textured/version`.

    Raises:
        DatasetError: The benchmark or textures are missing, a texture is damaged or of another size, or the folder
            holds a dataset built from other textures.
    """
    from datasets.textured import textured_dataset_builder

    builder_class = textured_dataset_builder.builder_class(benchmark)
    builder = builder_class(data_dir=_make_folder(data_dir), texture_metadata=dict(metadata))
    return _build(builder, pathlib.Path(texture_dir).expanduser())


def _make_folder(data_dir: str | os.PathLike[str]) -> pathlib.Path:
    folder = pathlib.Path(data_dir).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _build(builder: reid.ArchiveBuilder, manual_dir: pathlib.Path) -> pathlib.Path:
    target = pathlib.Path(builder.data_dir)
    with _locked(target.parent.with_name(f".{builder.name}.lock")):
        _remove_incomplete(target)
        archive = builder.scan(manual_dir)
        if target.is_dir():
            _check_same_source(archive, target)
            logging.info("%s is there already, built from the same source.", target)
            return target
        try:
            builder.download_and_prepare(
                # Nothing is downloaded; TFDS makes a folder for it all the same.
                download_dir=target.parent / "incomplete.downloads",
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False),
            )
        finally:
            _remove_incomplete(target)
    return target


def _check_same_source(archive: reid.Archive, target: pathlib.Path) -> None:
    advice = "Remove that folder to build it again, or choose another data_dir."
    if not (target / "dataset_info.json").is_file():
        raise reid.DatasetError(f"{target} is there but holds no TFDS dataset (no dataset_info.json). {advice}")
    # Read now: the builder was made before the lock was taken.
    stored = dict(tfds.builder_from_directory(target).info.metadata or {}).get("source_digest")
    if stored != archive.digest:
        raise reid.DatasetError(
            f"{target} was built from another source (digest {stored}) than {archive.root} (digest {archive.digest}). "
            f"{advice}"
        )


def _remove_incomplete(target: pathlib.Path) -> None:
    for leftover in target.parent.glob("incomplete.*"):
        logging.info("Removing %s, left by a build that did not end.", leftover)
        shutil.rmtree(leftover)
    with contextlib.suppress(OSError):
        target.parent.rmdir()  # only where nothing is left in it


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock; the system releases it when the process ends, however it ends."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.warning("Another process is building this dataset (%s is locked); waiting for it.", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
