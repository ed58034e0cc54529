"""Builds a dataset on disk, once, and completely or not at all.

TFDS writes into a folder `incomplete.*` and renames it at the end; an archive is unpacked into such a folder too. If a
build is killed, these folders stay, and the next build removes them. A build holds a lock: a second build of the same
dataset at the same time is refused.
"""

import contextlib
import dataclasses
import errno
import importlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from datasets import archives
from datasets.benchmark import BenchmarkBuilder
from datasets.builder import Archive, ArchiveBuilder, newest_version
from datasets.cards.dataset import write_cards
from datasets.errors import DatasetError
from datasets.folders import given_path, list_folders
from datasets.images import examine_images
from datasets.listing import ListedBuilder
from datasets.own import own_dataset_builder
from datasets.textured import textured_dataset_builder
from san_jax import folder_lock
from san_jax.counts import count
from san_jax.dataset_names import BENCHMARKS, DATASETS
from san_jax.own_settings import OwnSettings, name_problem

_REMOVE = "Remove that folder to build it again, or choose another data_dir."


def build_dataset(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    manual_dir: str | os.PathLike[str],
    allow_partial: bool = False,
    strict: bool = False,
    report: Callable[[Sequence[str]], None] | None = None,
) -> pathlib.Path:
    """Build the dataset `name` under `data_dir` from the archive or rendered folder in `manual_dir`.

    A complete dataset that was built from the same source is kept as it is.

    Args:
        name: One of `DATASETS`.
        data_dir: The folder in which TFDS keeps datasets; made if absent.
        manual_dir: A benchmark's folder, its archive as downloaded, or the folder in which either lies; for `pit` and
            `pit_reid` the rendered folder.
        allow_partial: Whether to build an incomplete benchmark from what is there, without what is extra or unreadable;
            the dataset is then marked as partial. A complete archive still makes a complete dataset.
        strict: Whether a benchmark's pictures that are not upright RGB JPEG or PNG are refused; else they are
            converted.
        report: Called with all problems of the source if a partial dataset was built from it; the dataset's metadata
            hold at most `listing.MAX_STORED` of them.

    Returns:
        The dataset's folder, `data_dir/name/version`.

    Raises:
        DatasetError: The source is incomplete or damaged, or the folder holds a dataset built from another source.
        san_jax.folder_lock.FolderError: Another process builds this dataset, or `data_dir` cannot be written to.
    """
    if name not in DATASETS:
        raise DatasetError(f"Unknown dataset {name!r}; there are builders for {', '.join(DATASETS)}.")
    arguments: dict[str, Any] = {}
    if name in BENCHMARKS:
        arguments = {"allow_partial": allow_partial, "strict": strict}
    elif allow_partial or strict:
        raise DatasetError(f"{name} is rendered whole; allow_partial and strict are for pictures that users bring.")
    return _reporting(make_builder(name, data_dir, **arguments), manual_dir, report)


def build_own(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    manual_dir: str | os.PathLike[str],
    settings: OwnSettings,
    allow_partial: bool = False,
    strict: bool = False,
    tell: Callable[[str], object] = print,
    report: Callable[[Sequence[str]], None] | None = None,
) -> pathlib.Path:
    """Build the dataset `name` under `data_dir` from pictures of the user's own.

    Args:
        name: A name of the user's, see `san_jax.own_settings.name_problem`.
        data_dir: As in `build_dataset`.
        manual_dir: The folder of the pictures.
        settings: Where persons, cameras and splits stand.
        allow_partial: As in `build_dataset`.
        strict: Whether to refuse pictures that are not upright RGB JPEG or PNG; else they are converted.
        tell: Called with what was understood of the folder, a line at a time, before anything is built.
        report: As in `build_dataset`.

    Returns:
        The dataset's folder, `data_dir/name/version`.

    Raises:
        DatasetError: As in `build_dataset`, or the name cannot be a dataset's.
        san_jax.folder_lock.FolderError: As in `build_dataset`.
    """
    if reason := name_problem(name, DATASETS):
        raise DatasetError(reason)
    folder = given_path(data_dir) / name
    other = [path.name for path in list_folders(folder) if not path.name.startswith("incomplete.")]
    if other and newest_version(folder) is None:
        raise DatasetError(f"{folder} holds something else ({other[0]}): give the dataset another name.")
    arguments = {"settings": settings, "tell": tell, "allow_partial": allow_partial, "strict": strict}
    with _damage_named(newest_version(folder)):
        builder = own_dataset_builder.builder_class(name, settings)(data_dir=folder.parent, **arguments)
    return _reporting(builder, manual_dir, report)


def is_there(name: str, *, data_dir: str | os.PathLike[str], manual_dir: str | os.PathLike[str]) -> bool:
    """Return whether `manual_dir` holds an archive or a folder of the benchmark `name`, even a damaged one."""
    builder = make_builder(name, data_dir)
    given = given_path(manual_dir)
    if given.is_file():
        return builder.is_archive_name(given.name)
    try:
        if builder.locate(given) is not None:
            return True
    except DatasetError:  # several of them: building says so
        return True
    return given.is_dir() and bool(builder.damaged(given))


def make_builder(name: str, data_dir: str | os.PathLike[str], **arguments: Any) -> Any:
    """Return the builder of a dataset of `DATASETS`.

    Raises:
        DatasetError: The dataset is there already, but damaged.
    """
    folder = given_path(data_dir)
    builder_name, _, config = name.partition("/")
    module = importlib.import_module(f"datasets.{builder_name}.{builder_name}_dataset_builder")
    with _damage_named(newest_version(folder / name)):
        return module.Builder(data_dir=folder, config=config or None, **arguments)


def build_textured(
    benchmark: str,
    *,
    data_dir: str | os.PathLike[str],
    texture_dir: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    mirror_dir: str | os.PathLike[str] | None = None,
    feature: str = "texture",
) -> pathlib.Path:
    """Build `<benchmark>_textured`: the training images of a benchmark (train and val), each with a PNG.

    Image bytes, ids, names and their order are the benchmark's; `texture` is the PNG. With the feature `frontal` the
    dataset is `<benchmark>_frontal`.

    Args:
        benchmark: A reID dataset that is already under `data_dir`.
        data_dir: The folder in which TFDS keeps datasets.
        texture_dir: A folder with, for an example named `a/b.jpg`, the texture `a/b.png`, 256x256 RGB (a frontal view
            is 256x128).
        metadata: Where the textures come from (JSON values); stored with the dataset. Other metadata or other
            textures make another dataset.
        mirror_dir: The folder whose `mirror_map.npy` is stored with the dataset: the PIT, or the run that was trained
            on it. None if it is not known, and for frontal views.
        feature: What the PNGs are: "texture" or "frontal".

    Returns:
        The dataset's folder, `data_dir/<benchmark>_textured/version`.

    Raises:
        DatasetError: The benchmark, textures or mirror map are missing or damaged, or the folder holds a dataset built
            from other textures.
        san_jax.folder_lock.FolderError: Another process builds this dataset, or `data_dir` cannot be written to.
    """
    builder_class = textured_dataset_builder.builder_class(benchmark, feature)
    builder = builder_class(
        data_dir=given_path(data_dir),
        texture_metadata=dict(metadata),
        mirror_dir=None if mirror_dir is None else given_path(mirror_dir),
    )
    return _build(builder, given_path(texture_dir))


def _reporting(
    builder: ArchiveBuilder,
    manual_dir: str | os.PathLike[str],
    report: Callable[[Sequence[str]], None] | None,
) -> pathlib.Path:
    """Build a dataset, and report the problems in spite of which it was built."""
    target = _build(builder, given_path(manual_dir))
    if report and builder.archive and builder.archive.problems:
        report(builder.archive.problems)
    return target


def _build(builder: ArchiveBuilder, manual_dir: pathlib.Path) -> pathlib.Path:
    target = pathlib.Path(builder.data_dir)
    with folder_lock.hold(builder.data_dir_root, builder.name):
        _remove_incomplete(builder, target)
        try:
            source = manual_dir
            if isinstance(builder, BenchmarkBuilder):
                source = builder.locate(manual_dir) or manual_dir
            if isinstance(builder, BenchmarkBuilder) and source.is_file():
                _build_from_file(builder, source, target)
            else:
                _build_from_folder(builder, source, target)
            write_cards(builder, target)
        finally:
            _remove_incomplete(builder, target)
    return target


def _build_from_file(builder: BenchmarkBuilder, file: pathlib.Path, target: pathlib.Path) -> None:
    """Build from an archive, which is unpacked beside the dataset while the build runs."""
    builder.beside = file.parent
    builder.archive_sha256 = archives.sha256(file)
    if target.is_dir():
        stored = _stored_metadata(target)
        if stored.get("archive_sha256") == builder.archive_sha256 and not stored.get("partial"):
            logging.info("%s is there already, built from this archive.", target)
            return
    folder = target.parent / "incomplete.unpacked"
    try:
        archives.unpack(file, folder, max_bytes=builder.MAX_UNPACKED_BYTES)
    except archives.UnwritableError:
        raise
    except DatasetError as error:
        raise DatasetError(f"{error}\n{builder.ADVICE}", error.problems) from error
    try:
        _build_from_folder(builder, folder, target)
    except DatasetError as error:
        # Name the archive: when the user reads the message, the unpacked folder is gone.
        lines = _renamed(error.problems, folder, file)
        raise DatasetError(str(error).replace(str(folder), str(file)), lines) from error
    if builder.archive:
        problems = _renamed(builder.archive.problems, folder, file)
        builder.archive = dataclasses.replace(builder.archive, problems=problems)


def _renamed(lines: Sequence[str], folder: pathlib.Path, file: pathlib.Path) -> tuple[str, ...]:
    return tuple(line.replace(str(folder), str(file)) for line in lines)


def _build_from_folder(builder: ArchiveBuilder, folder: pathlib.Path, target: pathlib.Path) -> None:
    archive = builder.scan(folder)
    if target.is_dir():
        _check_kept(builder, archive, target)
        logging.info("%s is there already, built from the same source.", target)
        return
    builder.archive = builder.usable(archive)  # before TFDS writes anything
    with _naming_the_full_disk(target):
        builder.download_and_prepare(
            # Nothing is downloaded, but TFDS makes this folder anyway.
            download_dir=target.parent / "incomplete.downloads",
            download_config=tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False),
        )


@contextlib.contextmanager
def _naming_the_full_disk(target: pathlib.Path) -> Iterator[None]:
    """Turn array_record's RuntimeError on a full disk into an OSError that names the dataset."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(error):
                raise OSError(number, f"{os.strerror(number)}, the dataset is not built", str(target)) from error
        raise


def _check_kept(builder: ArchiveBuilder, archive: Archive, target: pathlib.Path) -> None:
    """Raise a DatasetError unless the dataset at `target` is what would be built from the archive."""
    stored = _stored_metadata(target)
    partial = " (a partial dataset)" if stored.get("partial") else ""
    allow_partial = isinstance(builder, ListedBuilder) and builder.allow_partial
    if archive.problems and not allow_partial:
        builder.usable(archive)  # raises, with the images that cannot be read
    if isinstance(builder, ListedBuilder) and builder.strict and stored.get("converted") and not allow_partial:
        builder.usable(archive)  # raises, unless the pictures were replaced since
    if stored.get("source_digest") != archive.digest:
        if lines := builder.differences(archive, target):
            different = "\n".join(
                [f"{target}{partial} was built {builder.OTHERWISE}:", *(f"  {line}" for line in lines)]
            )
            raise DatasetError(f"{different}\n{_REMOVE}")
        raise DatasetError(
            f"{target}{partial} was built {builder.OTHERWISE} (digest {stored.get('source_digest')}) "
            f"than {archive.root} (digest {archive.digest}). {_REMOVE}"
        )
    # A textured copy inherits `partial` from its benchmark, where the user allowed it.
    if partial and isinstance(builder, ListedBuilder) and not allow_partial:
        raise DatasetError(
            f"{target}{partial} was built from this source with --allow_partial, in spite of "
            f"{count(stored['num_problems'], 'problem')}. {_REMOVE} With --allow_partial it is kept as it is."
        )
    # The digest does not change when an image is repaired and keeps its size.
    if (
        partial
        and not archive.problems
        and not examine_images(archive.root, archive.splits, builder.features()).problems
    ):
        logging.warning("The source is whole now, but %s was built before it was. %s", target, _REMOVE)


def _stored_metadata(target: pathlib.Path) -> dict[str, Any]:
    if not (target / "dataset_info.json").is_file():
        raise DatasetError(f"{target} is there but holds no TFDS dataset (no dataset_info.json). {_REMOVE}")
    # Read it again: the builder was made before the lock was taken.
    with _damage_named(target):
        return dict(tfds.builder_from_directory(target).info.metadata or {})


@contextlib.contextmanager
def _damage_named(target: pathlib.Path | None) -> Iterator[None]:
    """Turn whatever TFDS raises for a damaged dataset at `target`, if there is one, into a DatasetError."""
    try:
        yield
    except (DatasetError, OSError):
        raise
    except Exception as error:
        if target is None:
            raise
        line = " ".join(str(error).split())
        raise DatasetError(f"{target} holds a damaged dataset ({type(error).__name__}: {line}). {_REMOVE}") from error


def _remove_incomplete(builder: ArchiveBuilder, target: pathlib.Path) -> None:
    for leftover in target.parent.glob("incomplete.*"):
        logging.info("Removing %s, left behind by a build that was killed.", leftover)
        shutil.rmtree(leftover)
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        for folder in target.parents:
            if folder == pathlib.Path(builder.data_dir_root):
                break
            folder.rmdir()
