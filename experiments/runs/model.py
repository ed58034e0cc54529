"""Models by plan, and trained models by the folder of their run."""

import os
import pathlib

from flax import nnx

from experiments.runs import folder
from experiments.runs.plan import RunPlan
from san_jax import checkpoint, models, run_folder
from san_jax.models import SAN, merge_model, split_model

TRAINING_MODULES = ("decoder", "classifier")  # which inference needs not


def build(plan: RunPlan, num_classes: int) -> SAN:
    """Return the fresh model of a plan, with `num_classes` identities in its classifier (0: it has none).

    Raises:
        ValueError: The networks cannot be built like that, see `san_jax.models.SAN`.
    """
    return models.build(plan.model, num_classes, decoder_size=plan.decoder_size, seed=plan.seed)


def skeleton(plan: RunPlan, num_classes: int) -> SAN:
    """Return the model of a plan with shapes in place of arrays."""
    return nnx.eval_shape(lambda: build(plan, num_classes))


def load_run(workdir: str | os.PathLike[str], *, encoder_only: bool = False) -> tuple[SAN, RunPlan]:
    """Return the model of a run with the weights of its newest checkpoint, on the first local device, and its plan.

    Args:
        workdir: The run's folder, see `experiments.train`.
        encoder_only: Leave decoder and classifier out, as at inference.

    Raises:
        FileNotFoundError: The folder is no run's.
        RunError: Its config is of another version.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet, or it cannot be read.
    """
    plan = folder.read_plan(workdir)
    _, params, batch_stats = checkpoint.load_weights(pathlib.Path(workdir) / run_folder.CHECKPOINT_FOLDER)
    if encoder_only:
        params, batch_stats = (
            {name: module for name, module in tree.items() if name not in TRAINING_MODULES}
            for tree in (params, batch_stats)
        )
    num_classes = params["classifier"]["kernel"].shape[-1] if "classifier" in params else 0
    decoder_size = plan.decoder_size if "decoder" in params else None
    shapes = nnx.eval_shape(lambda: models.build(plan.model, num_classes, decoder_size=decoder_size, seed=0))
    graphdef, _, _ = split_model(shapes)
    return merge_model(graphdef, params, batch_stats), plan
