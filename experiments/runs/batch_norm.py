"""BatchNorm statistics that are re-estimated before a run is used: on which pictures, by which name, in which words."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from experiments.command_line.batch_norm_argument import AS_TRAINED, DEFAULT_IMAGES
from experiments.runs import data_places, data_sources
from experiments.runs.plan import RunPlan
from san_jax import batch_norm, embed, sharding
from san_jax.counts import count
from san_jax.data import reading
from san_jax.models import SAN
from san_jax.models.functional import Tree
from san_jax.train_state import TrainState

_TRAINING_SPLITS = ("train", "val")


@dataclasses.dataclass(frozen=True)
class Reestimation:
    """Pictures whose statistics take the place of a run's.

    Attributes:
        dataset: The dataset of the pictures; nothing but the pictures is read, no labels.
        split: Its split, or several joined by "+".
        images: Number of pictures to draw; all of the split where it has fewer.
        seed: Seed of the choice and of the batches.
    """

    dataset: str
    split: str
    images: int = DEFAULT_IMAGES
    seed: int = 0

    @property
    def suffix(self) -> str:
        """The part of a file name that tells these statistics from others."""
        changed = "".join(
            f"_{name}={getattr(self, name)}"
            for name in ("images", "seed")
            if getattr(self, name) != getattr(type(self), name)
        )
        return f"bn_{self.dataset.replace('/', '_')}_{self.split}{changed}"

    def apply(
        self,
        model: SAN,
        size: tuple[int, int],
        data_dir: str | os.PathLike[str] | None,
        workdir: str | os.PathLike[str],
    ) -> tuple[SAN, dict[str, Any]]:
        """Return a model with the statistics of these pictures, and what to note of them.

        Args:
            model: The model of a run, which takes images.
            size: Height and width of its images.
            data_dir: Where the user says that datasets are; None to look, see `data_places.find`.
            workdir: The run's folder; the pictures may be in the data_dir that it was trained with.

        Returns:
            The model; and `dataset`, `split`, `images` (how many were read), `seed` and `batch_size`.

        Raises:
            ValueError: There are fewer than two pictures, or one cannot be decoded.
            datasets.DatasetError: There is no such dataset or split.
        """
        if data_dir is not None and self.dataset not in data_sources.list_built(data_dir):
            own = [place for name, place in data_places.list_built(None, workdir) if name == self.dataset]
            data_dir = own[0] if own else data_dir
        place = data_places.find(data_dir, [workdir], self.dataset)
        source = data_sources.open_source(self.dataset, self.split, place)
        positions = batch_norm.draw(len(source), self.images, seed=self.seed)
        model = batch_norm.reestimate(model, batch_norm.read_batches(source, "image", positions, size))
        images = sum(map(len, positions))
        noted = {**dataclasses.asdict(self), "images": images, "batch_size": embed.BATCH_SIZE}
        print(f"BatchNorm statistics re-estimated on {_pictures(noted)}", flush=True)
        return model, noted


def parse(text: str, images: int = DEFAULT_IMAGES, seed: int = 0) -> Reestimation | None:
    """Return what `--batch_norm` asks for: None for `AS_TRAINED`, else the pictures of DATASET:SPLIT."""
    if text == AS_TRAINED:
        return None
    dataset, _, split = text.rpartition(":")
    return Reestimation(dataset, split, images, seed)


def refuse_textures(textures_from: str) -> None:
    """Raise a ValueError for a run whose encoder reads the textures that a SAN-PG regresses."""
    if textures_from:
        raise ValueError(
            f"batch_norm: the encoder reads textures by {textures_from}, not images; its statistics stay as they were "
            "trained. Leave batch_norm out."
        )


def words(noted: Mapping[str, Any], scored: str) -> str:
    """Say in a protocol what was done.

    Args:
        noted: What `Reestimation.apply` noted.
        scored: The dataset that is scored.
    """
    text = (
        f"BATCHNORM RE-ESTIMATED: the running statistics of batch normalisation are not those of training but those of "
        f"{_pictures(noted)}, read without labels (seed {noted['seed']}): unsupervised domain adaptation of the "
        "statistics, which scores of the model as trained do not have."
    )
    tests = [split for split in str(noted["split"]).split("+") if split not in _TRAINING_SPLITS]
    if tests and noted["dataset"] == scored:
        text += f" TRANSDUCTIVE: these are test pictures ({' and '.join(tests)}) of the very dataset that is scored."
    elif tests:
        text += f" These are no training pictures but {' and '.join(tests)}."
    return text


def brief(noted: Mapping[str, Any] | None) -> str:
    """Say it in a few words, for a table; "" for statistics as they were trained."""
    return "" if noted is None else f"BatchNorm of {noted['dataset']}:{noted['split']}"


def after_training(
    plan: RunPlan, source: reading.Source, graphdef: Any, state: TrainState, mesh: jax.sharding.Mesh
) -> tuple[TrainState, str]:
    """Return the last state of a run with statistics re-estimated on its training pictures, and a line for the log.

    Those of the averaged weights, where the run keeps them, are re-estimated with these weights. The same pictures are
    drawn by the run's seed whenever it is done, so that a run that was interrupted comes to the same statistics. Of
    several processes, all of which must call it, each computes them, and the first one's are taken.

    Args:
        plan: What is trained; `batch_norm_images` says on how many pictures.
        source: The training pictures.
        graphdef: The model's static part.
        state: The state after the last step.
        mesh: The devices that the state is on.
    """
    assert plan.reid is not None, "there are no pictures without reID batches"
    feature = plan.reid.feature
    positions = batch_norm.draw(len(source), plan.batch_norm_images, seed=plan.seed)

    def statistics(params: Tree, batch_stats: Tree) -> Tree:
        here = [jax.tree.map(lambda array: array.addressable_data(0), tree) for tree in (params, batch_stats)]
        batches = batch_norm.read_batches(source, feature, positions, plan.image_size)
        flat, unravel = jax.flatten_util.ravel_pytree(batch_norm.statistics(graphdef, here[0], here[1], batches))
        agreed = unravel(jnp.asarray(sharding.from_first_process(np.asarray(flat))))
        return sharding.replicate(jax.tree.map(np.asarray, agreed), mesh)

    average = state.average
    if average:
        average = {**average, "batch_stats": statistics(average["params"], average["batch_stats"])}
    state = dataclasses.replace(state, batch_stats=statistics(state.params, state.batch_stats), average=average)
    images = sum(map(len, positions))
    return state, f"BatchNorm statistics re-estimated on {count(images, 'training picture')}"


def _pictures(noted: Mapping[str, Any]) -> str:
    return f"{count(noted['images'], 'picture')} of {noted['dataset']}, split {noted['split']}"
