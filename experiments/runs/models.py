"""Models by plan, and trained models by the folder of their run."""

import json
import os
import pathlib
from typing import Any, NamedTuple

from experiments.command_line import config_files
from experiments.runs import folder
from experiments.runs.plan import RunPlan, resolve
from san_jax import checkpoint, files, inference, models, run_folder
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


class LoadedEncoder(NamedTuple):
    """The encoder of a run or of an export.

    Attributes:
        model: Its network, on the first local device.
        plan: What the config of its run means.
        step: The step of its checkpoint.
        data: What it was trained on, see `folder.read_data`; None where that was not noted.
        folder: The folder of the run or of the export.
    """

    model: SAN
    plan: RunPlan
    step: int
    data: dict[str, Any] | None
    folder: pathlib.Path


def load_encoder(source: str | os.PathLike[str], *, which: str = run_folder.NEWEST) -> LoadedEncoder:
    """Load an encoder with what its run noted.

    Args:
        source: Folder of a run, or an export: its folder, its file of weights, or the name of one that comes with the
            package.
        which: The checkpoint of a run, see `san_jax.checkpoint.find`.

    Raises:
        ValueError: The file is no export's.
        FileNotFoundError, san_jax.run_folder.RunFolderError, san_jax.checkpoint.CheckpointError: As in `load_run`.
    """
    path = inference.find_source(source)
    if not path.is_file():
        model, plan, step = load_run(path, encoder_only=True, which=which)
        return LoadedEncoder(model, plan, step, folder.read_data(path, step=step), path)
    encoder = inference.load_encoder(path, checkpoint=which)
    if encoder.calibrated_in is None:
        raise ValueError(
            f"{source} names a file of weights that does not say how they were trained: expected the folder of a run, or "
            "what `python -m experiments.export` wrote."
        )
    card = files.read_json(path.with_name(inference.CARD))
    plan = resolve(config_files.from_json(json.dumps(card["config"])))
    return LoadedEncoder(encoder.model, plan, card["run"]["step"], card["trained_on"], path.parent)
