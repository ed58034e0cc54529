"""A trained SAN-PG, which regresses textures from images: for pseudo textures, and for runs that read textures."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from datasets.examples import PERSON_SIZE, TEXTURE_SIZE
from experiments.runs import data_sources, errors, folder, models, targets
from experiments.runs.plan import RunPlan
from san_jax import folder_lock, run_folder
from san_jax.models import SAN, parameter_digest
from san_jax.pictures import resize_image


class TextureError(ValueError):
    """No textures can be made of this input. The message says why, and what to do."""


# Errors that a user can do something about; the messages say what.
KNOWN_ERRORS = (TextureError, folder_lock.FolderError, *errors.KNOWN_ERRORS)


@dataclasses.dataclass(frozen=True)
class Regressor:
    """A run with a decoder.

    Attributes:
        workdir: Folder of the run.
        model: The network, with decoder.
        plan: What the run's config means.
        target: What its decoder reconstructs.
        step: The step of its checkpoint.
        digest: SHA-256 over every parameter and running statistic, which tells two states of a model apart.
    """

    workdir: str
    model: SAN
    plan: RunPlan
    target: targets.DecoderTarget
    step: int
    digest: str

    def as_stored(self, image: np.ndarray) -> np.ndarray:
        """Return an output of the decoder, uint8 [H W 3], at the size of datasets and files: 256x256 or 256x128."""
        size = TEXTURE_SIZE if self.target.is_texture else PERSON_SIZE
        return resize_image(Image.fromarray(image), size)

    def as_input(self, texture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return a texture at a network's image size (height, width), as training on stored textures sees it."""
        return resize_image(Image.fromarray(self.as_stored(texture)), size)

    @property
    def settings_record(self) -> dict[str, Any]:
        """What a dataset records about the run that made its textures."""
        return {
            "model": dataclasses.asdict(self.plan.model),
            "image_size": list(self.plan.image_size),
            "parameters_sha256": self.digest,
        }


def load(workdir: str | os.PathLike[str], which: str = run_folder.NEWEST) -> Regressor:
    """Load a run that has a decoder.

    Args:
        workdir: The run's folder.
        which: The checkpoint, see `san_jax.checkpoint.find`.

    Raises:
        TextureError: The run has no decoder.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint, or it cannot be read.
    """
    network, plan, step = models.load_run(workdir, which=which)
    if plan.target is None:
        raise TextureError(
            f"{workdir} is a run without decoder (method {plan.method!r}), which regresses no textures: "
            "give the folder of a SAN-PG run (python -m experiments.train --config=san_pg.py)."
        )
    return Regressor(str(workdir), network, plan, plan.target, step, parameter_digest(network))


def load_for_textures(workdir: str | os.PathLike[str]) -> Regressor:
    """Load the run whose textures `input.kind=texture` reads.

    Raises:
        TextureError: The run regresses no textures.
        FileNotFoundError: The folder is no run's.
    """
    regressor = load(workdir)
    if not regressor.target.is_texture:
        raise TextureError(
            f"input.path={workdir} reconstructs {regressor.target.kind!r}, not textures: give a SAN-PG run with "
            "target.kind=texture."
        )
    return regressor


def load_of_run(plan: RunPlan, workdir: str | os.PathLike[str]) -> Regressor | None:
    """Load the SAN-PG whose textures a trained run reads; return None for a run that reads images.

    Args:
        plan: The plan of the run.
        workdir: Its folder.

    Raises:
        ValueError: The weights of the SAN-PG have changed since the run was trained.
        FileNotFoundError: The SAN-PG run is missing.
    """
    if not plan.textures_from:
        return None
    regressor = load_for_textures(run_folder.find_run(plan.textures_from, workdir))
    noted = (folder.read_data(workdir) or {}).get("san_pg_sha256")
    if noted != regressor.digest:
        raise ValueError(
            f"{workdir} was trained on textures of {plan.textures_from} when the digest of its parameters was {noted}; "
            f"that of {regressor.workdir} is {regressor.digest}. Restore that state of the SAN-PG run, or train again."
        )
    return regressor


def check_made_by(regressor: Regressor, name: str, data_dir: str | os.PathLike[str]) -> None:
    """Raise a TextureError unless the textures of the dataset `name` are this run's."""
    made_by = data_sources.read_metadata(name, data_dir).get("textures", {}).get("parameters_sha256")
    if made_by != regressor.digest:
        raise TextureError(
            f"The textures of {name} in {data_dir} were made by another state of a model (parameters {made_by}) than "
            f"input.path={regressor.workdir} (parameters {regressor.digest}), which makes those of query and gallery. "
            "Give the run that made them, or make them again in another data_dir."
        )


def texture_path(root: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of an example's texture under a folder.

    Raises:
        TextureError: The name is no relative path: the file would lie outside the folder.
    """
    path = pathlib.PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise TextureError(f"the example name {name!r} is no relative path; its texture would lie outside {root}.")
    return root / path.with_suffix(".png")
