"""Textures that a trained SAN-PG regresses from images: the pseudo ground truth of section 3.1."""

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
from datasets import reid
from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.runs import data_sources, restore, targets
from render.manifest import MIRROR_FILE
from san_jax import checkpoint, embed, folder_lock, pictures
from san_jax.data.pipeline import read_names
from san_jax.files import write_atomic
from san_jax.models import SAN, parameter_digest
from san_jax.models.san import ENCODERS
from san_jax.pictures import resize_image


class TextureError(ValueError):
    """Input that gives no textures. The message names what is wrong and what to do."""


# What is raised where a user can do something about it; the messages say what.
KNOWN_ERRORS = (
    TextureError,
    datasets.DatasetError,
    folder_lock.FolderError,
    OSError,
    checkpoint.CheckpointError,
)


def run_dataset(
    workdir: str | os.PathLike[str],
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    texture_dir: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
) -> pathlib.Path:
    """Writes `<dataset>_textured`: the benchmark's training images with the texture that the run regresses from each.

    The splits are the benchmark's train, and its val where it has one. The mirror map of the PIT that the run was trained
    on, which the run keeps, goes with them. A run with the target `frontal` gives `<dataset>_frontal`, without the map.

    Args:
        workdir: Folder of a SAN-PG run (any run with a decoder of textures or frontal views).
        dataset: A reID dataset under `data_dir`, `builder` or `builder/config`.
        data_dir: Where TFDS keeps datasets.
        texture_dir: Where the PNGs are kept; None for a folder inside `workdir`, named by the dataset ("_" for "/") and by
            a digest of the benchmark's source and of the parameters, so that textures of two copies of a benchmark or of
            two states of a model never mix.
        batch_size: Images computed at a time.

    Returns:
        The dataset's folder.

    Raises:
        TextureError: The run has no decoder of textures or frontal views, or the benchmark's names are not fit for files.
        datasets.DatasetError: The benchmark is absent, or the textured copy exists and comes from another model.
        san_jax.folder_lock.FolderError: Another process writes these textures, or the folder cannot be written.
    """
    model, config = load_decoder(workdir)
    feature = targets.TARGETS[config.target].feature
    if feature not in SUFFIXES:
        raise TextureError(
            f"{workdir} reconstructs its {config.target} images (target={config.target!r}), which are no pseudo targets: "
            "give the folder of a SAN-PG run with target texture or frontal."
        )
    digest = parameter_digest(model)
    # Another copy of the benchmark may have other images under the same names.
    source_digest = data_sources.read_metadata(dataset, data_dir).get("source_digest")
    both = hashlib.sha256(f"{source_digest} {digest}".encode()).hexdigest()
    folder = pathlib.Path(workdir) / "pseudo_textures" / f"{dataset.replace('/', '_')}-{both[:12]}"
    if texture_dir is not None:
        folder = pathlib.Path(texture_dir)
    splits = data_sources.training_splits(dataset, data_dir, use_val=True)
    source = data_sources.open_source(dataset, "+".join(splits), data_dir)
    paths = [_texture_path(folder, name) for name in read_names(source)]
    if len(set(paths)) != len(paths):
        raise TextureError(f"{dataset}: two training images have one name but for the suffix; textures would collide.")
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    what = {"texture": "textures", "frontal": "frontal views"}[feature]
    print(
        f"pseudo {what} of {dataset}, {' + '.join(splits)}: {len(paths)} images, {len(missing)} to compute, in {folder}"
    )
    with folder_lock.hold(folder):
        failed = write_textures(
            model,
            config,
            [(lambda i=index: Image.fromarray(source[i]["image"]), paths[index]) for index in missing],
            batch_size=batch_size,
        )
    if failed:
        target, error = failed[0]
        raise TextureError(f"{len(failed)} images of {dataset} cannot be read, first that of {target}: {error}")
    metadata = {"model": _noted_model(config), "image_size": list(config.image_size), "parameters_sha256": digest}
    if feature == "frontal":
        return datasets.build_textured(
            dataset, data_dir=data_dir, texture_dir=folder, metadata=metadata, feature="frontal"
        )
    has_map = (pathlib.Path(workdir) / MIRROR_FILE).exists()
    if not has_map:
        print(
            f"{workdir} has no {MIRROR_FILE}: it was not trained on PIT, or before there were mirror maps. The dataset gets none "
            "either: its textures cannot be mirrored with the images.",
            file=sys.stderr,
        )
    return datasets.build_textured(
        dataset,
        data_dir=data_dir,
        texture_dir=folder,
        metadata=metadata,
        mirror_dir=workdir if has_map else None,
    )


def run_folder(
    workdir: str | os.PathLike[str],
    images: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    batch_size: int = 32,
) -> list[str]:
    """Writes a texture PNG for every picture under `images`, at the same relative path under `output`.

    Nothing that exists is overwritten: a texture that is already there is kept. Pictures are taken by the rules of
    `san_jax.pictures`. Those that cannot be read are named, and the others done; so are files that are no pictures.

    Args:
        workdir: Folder of a SAN-PG run (any run with a decoder).
        images: Folder, searched recursively.
        output: Folder for the textures; not inside `images`.
        batch_size: Images computed at a time.

    Returns:
        A line for each picture that could not be read.

    Raises:
        TextureError: No picture under `images`, several with one texture's name, output inside the input, or a run
            without decoder.
        san_jax.folder_lock.FolderError: Another process writes `output`, or it cannot be written.
    """
    images, output = pathlib.Path(images), pathlib.Path(output)
    if output.resolve().is_relative_to(images.resolve()):
        raise TextureError(
            f"--output {output} lies inside --images {images}: a second run would read its own textures."
        )
    files, skipped = list_pictures(images)
    wanted: dict[pathlib.Path, list[pathlib.Path]] = {}
    for file in files:
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
    missing = {target: sources[0] for target, sources in wanted.items() if not target.is_file()}
    print(f"textures of {images}: {len(wanted)} images, {len(wanted) - len(missing)} already in {output} and kept")
    model, config = load_decoder(workdir)
    with folder_lock.hold(output):
        failed = write_textures(
            model,
            config,
            [(lambda path=file: pictures.decode(path).image, target) for target, file in missing.items()],
            batch_size=batch_size,
        )
    skipped += [f"{missing[target]}: {error}" for target, error in failed]
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return skipped


def list_pictures(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """The pictures under a folder, and a line for each thing in it that could not be looked into.

    Prints a line about files that are not named like pictures.

    Raises:
        TextureError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise TextureError(f"--images: {folder} is not a folder.")
    listing = pictures.list_folder(folder)
    if not listing.pictures:
        lines = [*listing.problems, *filter(None, [listing.passed_over()])]
        raise TextureError("\n".join([f"--images: {folder} holds no picture ({pictures.KINDS}).", *lines]))
    if listing.others:
        print(f"{folder}: {listing.passed_over()}", file=sys.stderr)
    return [folder / name for name in listing.pictures], [f"{folder / line}" for line in listing.problems]


def write_textures(
    model: SAN,
    config: Any,
    work: Sequence[tuple[Callable[[], Image.Image], pathlib.Path]],
    *,
    batch_size: int = 32,
) -> list[tuple[pathlib.Path, Exception]]:
    """Regresses a texture for each image and writes it as a PNG, each file whole or not at all.

    Args:
        model: A SAN with decoder.
        config: The config that it was trained with: its `image_size` is what images are resized to, its `target` says
            what the textures are.
        work: (function that gives the image, path of the PNG).
        batch_size: Images computed at a time.

    Returns:
        (path of the PNG, what the function raised) for each image that could not be read.
    """
    failed: list[tuple[pathlib.Path, Exception]] = []
    progress = tqdm.tqdm(total=len(work), desc="textures", unit="image", disable=None)

    def readable() -> Iterator[tuple[np.ndarray, pathlib.Path]]:
        for read, target in work:
            try:
                image = resize_image(read(), config.image_size)
            except Exception as error:  # Pillow reports damaged files by several types
                failed.append((target, error))
                progress.update()
                continue
            yield image, target

    def write(batch: list[tuple[np.ndarray, pathlib.Path]]) -> None:
        textures = embed.regress_textures(model, np.stack([image for image, _ in batch]), batch_size=batch_size)
        for texture, (_, target) in zip(textures, batch, strict=True):
            write_atomic(target, _encode(as_stored(texture, config.target)))
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


@dataclasses.dataclass(frozen=True)
class Generator:
    """A SAN-PG run whose textures are the reID input in place of images.

    Attributes:
        workdir: Folder of the run.
        model: With decoder.
        config: That the run was trained with.
        digest: Of the model's parameters.
    """

    workdir: str
    model: SAN
    config: Any
    digest: str

    def resize(self, texture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A texture at a network's image size (height, width), as training on the stored textures sees it."""
        return resize_image(Image.fromarray(as_stored(texture, "texture")), size)


def load_generator(workdir: str | os.PathLike[str]) -> Generator:
    """The run that makes the textures of `input=texture`.

    Raises:
        TextureError: The run regresses no textures.
        FileNotFoundError: The folder is no run's.
    """
    model, config = load_decoder(workdir)
    if not targets.TARGETS[config.target].is_texture:
        raise TextureError(
            f"generator={workdir} reconstructs {config.target!r}, not textures: give a SAN-PG run with target=texture."
        )
    return Generator(str(workdir), model, config, parameter_digest(model))


def check_made_by(generator: Generator, name: str, data_dir: str | os.PathLike[str]) -> None:
    """Raises a TextureError unless the textures of the dataset `name` are this generator's."""
    made_by = data_sources.read_metadata(name, data_dir).get("textures", {}).get("parameters_sha256")
    if made_by != generator.digest:
        raise TextureError(
            f"The textures of {name} in {data_dir} were made by another state of a model (parameters {made_by}) than "
            f"generator={generator.workdir} (parameters {generator.digest}), which is to make those of the query and the "
            "gallery. Give the run that made them, or make them anew in another data_dir."
        )


def load_decoder(workdir: str | os.PathLike[str]) -> tuple[SAN, Any]:
    """A run's model, which has a decoder, and its config.

    Raises:
        TextureError: The run has no decoder.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet, or it cannot be read.
    """
    model, config = restore.load_run(workdir)
    if model.decoder is None:
        raise TextureError(
            f"{workdir} is a run without decoder (stage {config.stage!r}), which regresses no textures: "
            "give the folder of a SAN-PG run (python -m experiments.train --config=san_pg.py)."
        )
    return model, config


def _texture_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    path = pathlib.PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise TextureError(f"the example name {name!r} is no relative path; its texture would lie outside {folder}.")
    return folder / path.with_suffix(".png")


def as_stored(image: np.ndarray, target: str) -> np.ndarray:
    """What a decoder of that target gives, uint8 [H W 3], at the size of datasets and files: 256x256, or 256x128."""
    size = reid.TEXTURE_SIZE if targets.TARGETS[target].is_texture else reid.PERSON_SIZE
    return resize_image(Image.fromarray(image), size)


def _noted_model(config: Any) -> dict[str, Any]:
    """The `model` group as it was noted before it had more keys, so that older copies stay the same: the encoder's own
    stages by their numbers, and none of the keys at which nothing changed when they were added.
    """
    model = config.model.to_dict()
    model["stage_sizes"] = model["stage_sizes"] or ENCODERS[model["encoder"]][1]
    return {
        key: value
        for key, value in model.items()
        if f"model.{key}" not in restore.ADDED_KEYS or restore.ADDED_KEYS[f"model.{key}"] != value
    }


def _encode(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
