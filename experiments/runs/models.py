"""Models by plan, and trained models by the folder of their run."""

import os
from typing import NamedTuple

from experiments.runs import folder
from experiments.runs.plan import RunPlan
from san_jax import checkpoint, models, run_folder
from san_jax.models import SAN


def build(plan: RunPlan, num_classes: int) -> SAN:
    """Return the fresh model of a plan, with `num_classes` identities in its classifier (0: it has none).

    Raises:
        ValueError: The networks cannot be built like that, see `san_jax.models.SAN`.
    """
    return models.build(plan.model, num_classes, decoder_size=plan.decoder_size, seed=plan.seed)


def skeleton(plan: RunPlan, num_classes: int) -> SAN:
    """Return the model of a plan with shapes in place of arrays."""
    return models.skeleton(plan.model, num_classes, decoder_size=plan.decoder_size)


class LoadedRun(NamedTuple):
    """A trained run.

    Attributes:
        model: Its network with the weights of a checkpoint, on the first local device.
        plan: What its config means.
        step: The checkpoint's step.
    """

    model: SAN
    plan: RunPlan
    step: int


def load_run(
    workdir: str | os.PathLike[str], *, encoder_only: bool = False, which: str = run_folder.NEWEST
) -> LoadedRun:
    """Load a run with the weights of one of its checkpoints.

    Args:
        workdir: The run's folder, see `experiments.train`.
        encoder_only: Leave decoder and classifier out, as at inference.
        which: The checkpoint, see `san_jax.checkpoint.find`.

    Raises:
        FileNotFoundError: The folder is no run's.
        san_jax.run_folder.RunFolderError: Another version wrote it.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint, or it cannot be read.
    """
    plan = folder.read_plan(workdir)
    directory, step = checkpoint.find(workdir, which)
    _, params, batch_stats = checkpoint.load_weights(directory, step=step)
    model = models.with_weights(
        plan.model, params, batch_stats, decoder_size=plan.decoder_size, encoder_only=encoder_only
    )
    return LoadedRun(model, plan, step)
