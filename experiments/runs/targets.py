"""What the decoder reconstructs (Table 2 of the paper), and where it is found: `config.target` of SAN-PG and SAN.

| target | a reID image's target | a PIT image's target |
|---|---|---|
| `texture` | its pseudo texture, of `<dataset>_textured` | its texture |
| `true_texture` | its true texture, where the benchmark holds one (`pit_reid`): an oracle | its texture |
| `frontal` | the person in the frontal pose, of `<dataset>_frontal`, which a SAN-PG with this target gives | its frontal image |
| `input` | the image itself | the image itself |
| `folder` | the image of its name in `config.target_dir`, as in Table 2 those that PN-GAN makes | none: no PIT steps |
"""

import dataclasses
import functools
import hashlib
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from datasets import reid
from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.command_line.config_files import Config
from san_jax import pictures
from san_jax.data import pipeline

_FOLDER_FEATURE = "target"  # of the examples of a `FolderSource`


@dataclasses.dataclass(frozen=True)
class Target:
    """Where one kind of target is found.

    Attributes:
        suffix: The reID dataset that holds it is `<dataset><suffix>`.
        feature: Its feature there, and in PIT.
        is_texture: Whether it lies on the UV square; the others have the size of images.
    """

    suffix: str
    feature: str
    is_texture: bool = False


TARGETS = {
    "texture": Target(SUFFIXES["texture"], "texture", is_texture=True),
    "true_texture": Target("", "texture", is_texture=True),
    "frontal": Target(SUFFIXES["frontal"], "frontal"),
    "input": Target("", "image"),
    "folder": Target("", _FOLDER_FEATURE),
}
OF_STAGE = {"pg": ("texture", "input", "frontal"), "san": tuple(TARGETS)}


def find(config: Config) -> Target:
    """The target of a SAN-PG or SAN config.

    Raises:
        ValueError: There is no such target, or not for this stage or these turns.
    """
    known = OF_STAGE[config.stage]
    if config.target not in known:
        raise ValueError(f"target must be one of {', '.join(known)} in this stage, found {config.target!r}.")
    if config.stage == "san":
        if (config.target == "folder") != bool(config.target_dir):
            raise ValueError(
                "target=folder and target_dir (the folder of the target images) belong together, found "
                f"target={config.target!r} and target_dir={config.target_dir!r}."
            )
        if config.target == "folder" and "pit" in config.turns:
            raise ValueError(
                f"target=folder has no targets for PIT images: set turns=('reid',), found turns={tuple(config.turns)}."
            )
    return TARGETS[config.target]


def batch_size(config: Config) -> pipeline.TargetSize:
    """The size of the batches' `texture`: the texture's, the images', or None where the target is the image itself."""
    target = find(config)
    if config.target == "input":
        return None
    return config.model.texture_size if target.is_texture else tuple(config.image_size)


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource:
    """The examples of `source`, each with the pixels of its file as the feature `target`, uint8 [H W 3]."""

    source: pipeline.Source
    files: Sequence[pathlib.Path]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        file = self.files[index]
        try:
            picture = pictures.decode(file, max_pixels=reid.MAX_IMAGE_PIXELS)
        except pictures.PictureError as error:
            raise ValueError(f"{file}: {error}") from error
        return {**self.source[index], _FOLDER_FEATURE: np.asarray(picture.image)}


def open_folder(source: pipeline.Source, folder: str | os.PathLike[str]) -> tuple[FolderSource, str]:
    """Gives each example the picture of its name in a folder: `a/b.jpg` that of `a/b.jpg`, `a/b.PNG`, `a/b.webp`, ...

    Args:
        source: Examples with `image` and `name`.
        folder: Of the pictures, by the rules of `san_jax.pictures`. Only their headers are looked at here.

    Returns:
        The examples with the image as the feature `target`, and a digest of all the images.

    Raises:
        datasets.DatasetError: Images that are absent, ambiguous, or no images; all of them in one message.
    """
    root = pathlib.Path(folder).expanduser()
    in_folder = functools.cache(_pictures_by_stem)
    files, problems, digest = [], [], hashlib.sha256()
    for name in pipeline.read_names(source):
        path = pathlib.PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name:
            problems.append(f"the example name {name!r} is no relative path")
            continue
        candidates = in_folder((root / path).parent).get(path.stem, [])
        if len(candidates) != 1:
            problems.append(
                f"{root / path.with_suffix('')}: expected one picture ({pictures.KINDS}), found "
                f"{' and '.join(os.path.splitext(candidate)[1] for candidate in candidates) or 'none'}"
            )
            continue
        file = (root / path).with_name(candidates[0])
        try:
            content = file.read_bytes()
            pictures.check_header(io.BytesIO(content), max_pixels=reid.MAX_IMAGE_PIXELS)
        except (pictures.PictureError, OSError) as error:
            problems.append(f"{file}: {error}")
            continue
        files.append(file)
        digest.update(f"{name}\n".encode() + hashlib.sha256(content).digest())
    reid.raise_problems(
        f"target_dir={folder}: {len(problems):,} of {len(source):,} training images have no target there",
        problems,
        "A target is named as the example is, with the suffix of any picture. Add what is missing.",
    )
    return FolderSource(pipeline.undecoded(source), files), digest.hexdigest()


def _pictures_by_stem(folder: pathlib.Path) -> dict[str, list[str]]:
    """Files in a folder that are named like pictures, by their names without the suffix."""
    found: dict[str, list[str]] = {}
    for name in reid.list_files(folder) if folder.is_dir() else ():
        if pictures.is_picture_name(name):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found
