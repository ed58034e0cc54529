"""Models by plan, and trained models by the folder of their run."""

import os

from experiments.runs import folder
from experiments.runs.plan import RunPlan
from san_jax import checkpoint, models
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


def load_run(
    workdir: str | os.PathLike[str], *, encoder_only: bool = False, which: str = checkpoint.NEWEST
) -> tuple[SAN, RunPlan]:
    """Return the model of a run with the weights of a checkpoint, on the first local device, and its plan.

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
    return model, plan
