"""Makes the small data and the small runs that a `:smoke` config starts from, where they are missing."""

import jax
from absl import logging
from ml_collections import ConfigDict

from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import ensure, rendering, targets
from experiments.runs.errors import RunError
from experiments.runs.plan import RunPlan, resolve

# Enough identities for a batch of a :smoke config and enough gallery images for rank-10.
SIZES = {"pit": "smoke", "pit_reid": "smoke,num_train_identities=4,num_test_identities=4"}


class SmokeError(RunError):
    """Data that cannot be made here. The message says what to do instead."""


def ensure_inputs(config: Config) -> None:
    """Make what a training config with `prepare="smoke"` needs; does nothing for other configs.

    SAN-PG needs `pit`, the baseline `pit_reid`; SAN needs both, a small SAN-PG run (at `start.path`) and, as its target
    says, the pseudo textures or frontal views that it gives, or a folder of images (at `target.path`). The baseline on
    textures needs the SAN-PG run (at `input.path`) and its textures. Fine-tuning (`start.classifier`) needs what the
    run that it starts from needs, and that run. The data goes into the config's `data_dir`.

    Args:
        config: A config of `experiments.train`.

    Raises:
        SmokeError: The config names datasets that cannot be rendered, or rendering failed.
        RunError: See `resolve`.
    """
    plan = resolve(config)
    if plan.prepare != "smoke":
        return
    if jax.process_count() > 1:
        logging.warning("Several processes train: the smoke data is not made here, run the config once in one process.")
        return
    _check_datasets(plan)
    if plan.start.classifier:
        start = start_config(config, plan)
        ensure_inputs(start)
        start.prepare = ""
        ensure.ensure_run(start, plan.start.path)
        return
    _render(plan)
    san_pg = plan.textures_from or (plan.start.path if plan.start.kind == "run" and plan.reid and plan.target else "")
    if not san_pg:
        return
    ensure.ensure_run(san_pg_config(config, plan), san_pg)
    assert plan.reid is not None
    if plan.textures_from or (plan.target and plan.target.kind in SUFFIXES):
        ensure.ensure_textured(san_pg, plan.reid.dataset, plan.data_dir)
    elif plan.target and plan.target.kind == "folder":
        ensure.ensure_targets(plan.reid.dataset, plan.target.path, plan.data_dir)


def start_config(config: Config, plan: RunPlan) -> Config:
    """The config of the small run that a fine-tuning config starts from: same networks, images, batches and data."""
    start = config_files.load(f"{plan.method}.py:smoke")
    shared = ["seed", "dataset", "data_dir", "use_val", "image_size", "num_workers", "model", "batch"]
    shared += ["target", "batch_kinds"] if plan.target else ["input"]
    start.update(ConfigDict({key: config[key] for key in shared}))
    if plan.target:
        start.start.path = f"{plan.start.path}_pg"
    return start


def san_pg_config(config: Config, plan: RunPlan) -> Config:
    """Return the config of the small SAN-PG run that belongs to a config: same data and images, like networks.

    Its target is the config's, textures where a SAN-PG cannot have that one.
    """
    san_pg = config_files.load("san_pg.py:smoke")
    model = {key: value for key, value in config.model.items() if key in san_pg.model}
    san_pg.update({"model": model, "image_size": plan.image_size, "data_dir": plan.data_dir})
    if plan.target and plan.target.kind in targets.KINDS_OF_PIT:
        san_pg.target.kind = plan.target.kind
    return san_pg


def _check_datasets(plan: RunPlan) -> None:
    wanted = {
        "pit": plan.pit.dataset if plan.pit else "pit",
        "pit_reid": plan.reid.dataset if plan.reid else "pit_reid",
    }
    for recipe, name in wanted.items():
        if name != recipe:
            raise SmokeError(
                f"prepare=smoke renders {recipe}, but the config asks for {name!r}: leave the dataset of :smoke as it "
                "is, or build the dataset yourself, say where with data_dir=FOLDER, and set prepare= (empty)."
            )


def _render(plan: RunPlan) -> None:
    """Render the small datasets: PIT for a decoder or textures, `pit_reid` for identities."""
    recipes = [*(["pit"] if plan.target or plan.textures_from else []), *(["pit_reid"] if plan.reid else [])]
    for recipe in recipes:
        try:
            ensure.ensure_rendered(config_files.load(f"{recipe}.py:{SIZES[recipe]}"), plan.data_dir)
        except rendering.RenderError as error:
            raise SmokeError(str(error)) from error
