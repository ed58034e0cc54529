"""Writes the textures that a trained SAN-PG regresses from images: the pseudo ground truth of section 3.1."""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

import datasets
from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.runs import data_sources, picture_sources, san_pg, shards
from experiments.runs.san_pg import Regressor, TextureError
from render.manifest import MIRROR_FILE
from san_jax import embed, folder_lock, pictures
from san_jax.counts import count
from san_jax.data.reading import read_names
from san_jax.files import write_atomic
from san_jax.pictures import resize_image
from san_jax.run_folder import NEWEST

# Errors that a user can do something about; the messages say what.
KNOWN_ERRORS = (*san_pg.KNOWN_ERRORS, picture_sources.SourceError, shards.ShardError)


@dataclasses.dataclass(frozen=True)
class Division:
    """Which textures are computed: those of a shard, or all, with or without those that shards have computed already.

    Attributes:
        shard: The shard that is computed, into a folder of its own; None for all textures.
        merge: Folders of all shards, whose textures are taken; an empty tuple for those beside the output, None for
            none.
    """

    shard: shards.Shard | None = None
    merge: Sequence[str] | None = None


WHOLE = Division()


def run_dataset(
    workdir: str | os.PathLike[str],
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    texture_dir: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    division: Division = WHOLE,
    which: str = NEWEST,
) -> pathlib.Path:
    """Write `<dataset>_textured`: each training image with the texture that the run regresses from it.

    Its splits are the benchmark's train, and val where there is one. The dataset gets the mirror map of the PIT that
    the run was trained on, of which the run keeps a copy. A run with `target.kind=frontal` gives `<dataset>_frontal`,
    without a map.

    Args:
        workdir: Folder of a SAN-PG run (any run with a decoder of textures or frontal views).
        dataset: A reID dataset under `data_dir`, `builder` or `builder/config`.
        data_dir: Where TFDS keeps datasets.
        texture_dir: Where the PNGs are kept; None for a folder inside `workdir`. Its name is that of the dataset ("_"
            for "/") with a digest of the benchmark's source and of the parameters, so that textures of two copies of a
            benchmark or of two states of a model never mix.
        batch_size: Images computed at a time.
        division: What is computed; of a shard, no dataset is made.
        which: The run's checkpoint, see `san_jax.checkpoint.find`.

    Returns:
        The dataset's folder, or that of a shard's textures.

    Raises:
        TextureError: The run has no decoder of textures or frontal views, or the benchmark's names cannot be file
            names.
        datasets.DatasetError: The benchmark is absent, or the textured copy exists and comes from another model.
        shards.ShardError: A shard's folder holds another shard, or the shards to merge are not all those of this work.
        san_jax.folder_lock.FolderError: Another process writes these textures, or the folder cannot be written.
    """
    regressor = san_pg.load(workdir, which)
    feature = regressor.target.place.feature
    if feature not in SUFFIXES:
        raise TextureError(
            f"{workdir} has target.kind={regressor.target.kind!r}, which gives no pseudo targets: give the folder of a "
            "SAN-PG run with target.kind=texture or frontal."
        )
    folder = pathlib.Path(texture_dir or _texture_folder(regressor, dataset, data_dir))
    folder = _regress_training_images(regressor, dataset, data_dir, folder, batch_size=batch_size, division=division)
    if division.shard is not None:
        return folder
    return datasets.build_textured(
        dataset,
        data_dir=data_dir,
        texture_dir=folder,
        metadata=regressor.settings_record,
        feature=feature,
        mirror_dir=_mirror_folder(workdir) if feature == "texture" else None,
    )


def _mirror_folder(workdir: str | os.PathLike[str]) -> str | os.PathLike[str] | None:
    """Return the folder that holds the run's mirror map; None, and print what follows, if it has none."""
    if (pathlib.Path(workdir) / MIRROR_FILE).exists():
        return workdir
    print(
        f"{workdir} has no {MIRROR_FILE}, because it was not trained on PIT. So the dataset gets none either, "
        "and its textures cannot be mirrored with the images.",
        file=sys.stderr,
    )
    return None


def _texture_folder(regressor: Regressor, dataset: str, data_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Return the run's folder for textures of this copy of a benchmark by this state of the model."""
    # Another copy of the benchmark may have other images under the same names.
    source_digest = data_sources.read_metadata(dataset, data_dir).get("source_digest")
    both = hashlib.sha256(f"{source_digest} {regressor.digest}".encode()).hexdigest()
    return pathlib.Path(regressor.workdir) / "pseudo_textures" / f"{dataset.replace('/', '_')}-{both[:12]}"


def _regress_training_images(
    regressor: Regressor,
    dataset: str,
    data_dir: str | os.PathLike[str],
    folder: pathlib.Path,
    *,
    batch_size: int,
    division: Division,
) -> pathlib.Path:
    """Write the textures of a benchmark's training images that are not in the folder yet; return the folder written.

    Raises:
        TextureError: A name cannot be a file name, or an image cannot be read.
    """
    splits = data_sources.training_splits(dataset, data_dir, use_val=True)
    source = data_sources.open_source(dataset, "+".join(splits), data_dir)
    paths = [san_pg.texture_path(folder, name) for name in read_names(source)]
    if len(set(paths)) != len(paths):
        raise TextureError(
            f"{dataset}: two training images differ in the suffix of their names only: textures would collide."
        )
    work = [
        ((lambda i=index: Image.fromarray(source[i]["image"])), path.relative_to(folder).as_posix())
        for index, path in enumerate(paths)
    ]
    source_digest = data_sources.read_metadata(dataset, data_dir).get("source_digest")
    description = {"dataset": dataset, "source_digest": source_digest, "splits": splits}
    with _open(_Textures(regressor, work, folder, batch_size, description), division) as (missing, folder):
        what = "textures" if regressor.target.is_texture else "frontal views"
        print(
            f"pseudo {what} of {dataset}, {' + '.join(splits)}: {count(len(paths), 'image')}, {len(missing):,} to "
            f"compute, by step {regressor.step}, in {folder}"
        )
        failed = write_textures(regressor, missing, batch_size=batch_size)
        if failed:
            target, error = failed[0]
            raise TextureError(
                f"{count(len(failed), 'image')} of {dataset} cannot be read, first that of {target}: {error}"
            )
    return folder


def run_folder(
    workdir: str | os.PathLike[str],
    images: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    division: Division = WHOLE,
    which: str = NEWEST,
) -> list[str]:
    """Write a texture PNG for every picture under `images`, at the same relative path under `output`.

    Textures that are there already are kept. Pictures are taken by the rules of `san_jax.pictures`. Those that cannot
    be read are printed and skipped, and so are files that are no pictures.

    Args:
        workdir: Folder of a SAN-PG run (any run with a decoder).
        images: Folder, searched recursively.
        output: Folder for the textures; not inside `images`.
        batch_size: Images computed at a time.
        division: What is computed; a shard is written into a folder of its own beside `output`.
        which: The run's checkpoint, see `san_jax.checkpoint.find`.

    Returns:
        A line for each picture that could not be read.

    Raises:
        picture_sources.SourceError: There is no picture under `images`.
        TextureError: Two of them would have one texture file, `output` lies inside `images`, or the run has no decoder.
        shards.ShardError: A shard's folder holds another shard, or the shards to merge are not all those of this work.
        san_jax.folder_lock.FolderError: Another process writes `output`, or it cannot be written.
    """
    images, output = pathlib.Path(images), pathlib.Path(output)
    if output.resolve().is_relative_to(images.resolve()):
        raise TextureError(
            f"--output {output} lies inside --images {images}: a second run would read its own textures."
        )
    listing = picture_sources.list_folder(images)
    wanted = _wanted(images, listing.pictures, output)
    regressor = san_pg.load(workdir, which)
    sources = {target.relative_to(output).as_posix(): found[0] for target, found in wanted.items()}
    work = [((lambda path=file: pictures.decode(path).image), name) for name, file in sources.items()]
    names = hashlib.sha256("\n".join(sources).encode("utf-8", "surrogateescape")).hexdigest()
    with _open(_Textures(regressor, work, output, batch_size, {"names_sha256": names}), division) as (missing, folder):
        print(
            f"textures of {images}: {count(len(wanted), 'image')}, {len(missing):,} to compute, by step "
            f"{regressor.step}, in {folder}"
        )
        failed = write_textures(regressor, missing, batch_size=batch_size)
    skipped = [f"{images / line}" for line in listing.problems]
    skipped += [f"{sources[target.relative_to(folder).as_posix()]}: {error}" for target, error in failed]
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return skipped


def _wanted(images: pathlib.Path, names: Sequence[str], output: pathlib.Path) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Return the picture of each texture that is to be written; raise a TextureError where two would be one file."""
    wanted: dict[pathlib.Path, list[pathlib.Path]] = {}
    for file in (images / name for name in names):
        target = output / file.relative_to(images).with_suffix(".png")
        if target.resolve().is_relative_to(images.resolve()):
            raise TextureError(f"{target} would be written into --images {images}: choose another --output.")
        wanted.setdefault(target, []).append(file)
    collisions = [
        f"{' and '.join(map(str, sources))} would both become {target}"
        for target, sources in wanted.items()
        if len(sources) > 1
    ]
    if collisions:
        raise TextureError("\n".join(["pictures of one name but for the suffix; rename them:", *collisions]))
    return wanted


@dataclasses.dataclass(frozen=True)
class _Textures:
    """Textures to compute: of each image a function that returns it, and the path of its PNG relative to `folder`."""

    regressor: Regressor
    work: Sequence[tuple[Callable[[], Image.Image], str]]
    folder: pathlib.Path
    batch_size: int
    description: dict[str, Any]


@contextlib.contextmanager
def _open(
    textures: _Textures, division: Division
) -> Iterator[tuple[list[tuple[Callable[[], Image.Image], pathlib.Path]], pathlib.Path]]:
    """Hold the folder that is to be written; yield what is missing in it, as `write_textures` takes it, and the folder.

    Shards are cut between batches, so that each image is computed among the same images however many shards there are.
    """
    total, size = len(textures.work), textures.batch_size
    folder, items = textures.folder, range(total)
    if division.shard is not None:
        folder = shards.folder(folder, division.shard)
        batches = shards.indices(division.shard, -(-total // size))
        items = range(batches.start * size, min(batches.stop * size, total))
    with folder_lock.hold(folder):
        found = []
        if division.shard is not None:
            shards.begin(folder, shards.Part(division.shard, items, total, _shard_work(textures)))
        elif division.merge is not None:
            found = shards.collect(division.merge or shards.find(folder))
            shards.check_work(found, _shard_work(textures))
        for path, part in found:
            for _, name in textures.work[part.items.start : part.items.stop]:
                # A picture that could not be read has none. It is tried again here.
                if (path / name).exists() and not (folder / name).is_file():
                    shards.place(path, name, folder)
        work = [(read, folder / name) for read, name in textures.work[items.start : items.stop]]
        yield [(read, target) for read, target in work if not target.is_file()], folder
        if division.shard is not None:
            shards.finish(folder)


def _shard_work(textures: _Textures) -> dict[str, Any]:
    """Return what the shards of these textures have in common: everything that decides on them."""
    return {
        "program": "experiments.pseudo_texture",
        "target": textures.regressor.target.kind,
        "batch_size": textures.batch_size,
        **textures.regressor.settings_record,
        **textures.description,
    }


def write_textures(
    regressor: Regressor,
    work: Sequence[tuple[Callable[[], Image.Image], pathlib.Path]],
    *,
    batch_size: int = 32,
) -> list[tuple[pathlib.Path, Exception]]:
    """Regress a texture for each image and write it as a PNG, each file whole or not at all.

    Args:
        regressor: What regresses them.
        work: For each image, a function that returns it and the path of the PNG.
        batch_size: Images computed at a time.

    Returns:
        (path of the PNG, what the function raised) for each image that could not be read.
    """
    failed: list[tuple[pathlib.Path, Exception]] = []
    progress = tqdm.tqdm(total=len(work), desc="textures", unit="image", disable=None)

    def readable() -> Iterator[tuple[np.ndarray, pathlib.Path]]:
        for read, target in work:
            try:
                image = resize_image(read(), regressor.plan.image_size)
            except Exception as error:  # Pillow reports damaged files by several types
                failed.append((target, error))
                progress.update()
                continue
            yield image, target

    def write(batch: list[tuple[np.ndarray, pathlib.Path]]) -> None:
        textures = embed.regress_textures(
            regressor.model, np.stack([image for image, _ in batch]), batch_size=batch_size
        )
        for texture, (_, target) in zip(textures, batch, strict=True):
            write_atomic(target, _encode(regressor.as_stored(texture)))
        progress.update(len(batch))

    batch: list[tuple[np.ndarray, pathlib.Path]] = []
    for item in readable():
        batch.append(item)
        if len(batch) == batch_size:
            write(batch)
            batch = []
    if batch:
        write(batch)
    progress.close()
    return failed


def _encode(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
