"""What the decoder reconstructs (Table 2 of the paper), and where it is found: `config.target.kind` of SAN-PG and SAN.

| `target.kind` | a reID image's target | a PIT image's target |
|---|---|---|
| `texture` | its pseudo texture, of `<dataset>_textured` | its texture |
| `true_texture` | its true texture, where the benchmark holds one (`pit_reid`): an oracle | its texture |
| `frontal` | the frontal view, of `<dataset>_frontal`, made by a SAN-PG with this target | its frontal image |
| `input` | the image itself | the image itself |
| `folder` | the image of its name in `config.target.path`, as in Table 2 those that PN-GAN makes | none: no PIT steps |
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

from datasets.errors import raise_problems
from datasets.folders import list_files
from datasets.images import MAX_IMAGE_PIXELS
from datasets.textured.textured_dataset_builder import SUFFIXES
from san_jax import pictures
from san_jax.counts import count
from san_jax.data import pipeline, reading

_FOLDER_FEATURE = "target"  # of the examples of a `FolderSource`


@dataclasses.dataclass(frozen=True)
class Place:
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
    "texture": Place(SUFFIXES["texture"], "texture", is_texture=True),
    "true_texture": Place("", "texture", is_texture=True),
    "frontal": Place(SUFFIXES["frontal"], "frontal"),
    "input": Place("", "image"),
    "folder": Place("", _FOLDER_FEATURE),
}
KINDS_OF_PIT = ("texture", "input", "frontal")  # what a decoder that sees PIT alone can learn


@dataclasses.dataclass(frozen=True)
class DecoderTarget:
    """What a run's decoder reconstructs.

    Attributes:
        kind: A key of `TARGETS`.
        path: Folder of the target images, with the kind "folder"; else "".
        texture_size: Height and width of textures, pixels.
        image_size: Height and width of images, pixels.
    """

    kind: str
    path: str
    texture_size: int
    image_size: tuple[int, int]

    @property
    def place(self) -> Place:
        """Where it is found."""
        return TARGETS[self.kind]

    @property
    def is_texture(self) -> bool:
        """Whether it lies on the UV square."""
        return self.place.is_texture

    @property
    def is_input(self) -> bool:
        """Whether it is the image that the encoder reads."""
        return self.kind == "input"

    @property
    def decoder_size(self) -> int | tuple[int, int]:
        """The size of what the decoder gives: side of a texture, or height and width of an image."""
        return self.texture_size if self.is_texture else self.image_size

    @property
    def batch_size(self) -> pipeline.TargetSize | None:
        """The size of the targets in a batch; None where the target is the image itself."""
        return None if self.is_input else self.decoder_size

    def __str__(self) -> str:
        return " ".join(filter(None, [self.kind, self.path]))


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource:
    """The examples of `source`, each with the pixels of its file as the feature `target`, uint8 [H W 3]."""

    source: reading.Source
    files: Sequence[pathlib.Path]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        file = self.files[index]
        try:
            picture = pictures.decode(file, max_pixels=MAX_IMAGE_PIXELS)
        except pictures.PictureError as error:
            raise ValueError(f"{file}: {error}") from error
        return {**self.source[index], _FOLDER_FEATURE: np.asarray(picture.image)}


def open_folder(source: reading.Source, folder: str | os.PathLike[str]) -> tuple[FolderSource, str]:
    """Give each example the picture of its name in a folder, whatever the suffix of either.

    Args:
        source: Examples with `image` and `name`.
        folder: Folder of the pictures, by the rules of `san_jax.pictures`. Only their headers are looked at here.

    Returns:
        The examples with the image as the feature `target`, and a digest of all the images.

    Raises:
        datasets.DatasetError: Images that are absent, ambiguous, or no images; all of them in one message.
    """
    root = pathlib.Path(folder).expanduser()
    in_folder = functools.cache(_pictures_by_stem)
    files, problems, digest = [], [], hashlib.sha256()
    for name in reading.read_names(source):
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
            pictures.check_header(io.BytesIO(content), max_pixels=MAX_IMAGE_PIXELS)
        except (pictures.PictureError, OSError) as error:
            problems.append(f"{file}: {error}")
            continue
        files.append(file)
        digest.update(f"{name}\n".encode() + hashlib.sha256(content).digest())
    raise_problems(
        f"target.path={folder}: {len(problems):,} of {count(len(source), 'training image')} without a target there",
        problems,
        "A target is named as the example is, with the suffix of any picture. Add what is missing.",
    )
    return FolderSource(reading.undecoded(source), files), digest.hexdigest()


def _pictures_by_stem(folder: pathlib.Path) -> dict[str, list[str]]:
    """Files in a folder that are named like pictures, by their names without the suffix."""
    found: dict[str, list[str]] = {}
    for name in list_files(folder) if folder.is_dir() else ():
        if pictures.is_picture_name(name):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found
