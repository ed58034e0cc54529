"""The stages of the method as functions that do only what is missing: for the demo and for `:smoke` configs.

Each runs a real program; called again after an interruption, it goes on; called when everything is there, it does
nothing. Nothing is trusted for its name alone: other parameters than those asked for are an error of the program's.
"""

import io
import os
import pathlib
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.command_line import config_files
from experiments.runs import data_sources, pseudo_textures, rendering, restore, targets, training
from san_jax import checkpoint, folder_lock
from san_jax.data.reading import read_names
from san_jax.files import write_atomic

# Enough identities for a batch of a :smoke config and enough gallery images for rank-10.
SMOKE_SIZES = {"pit": "smoke", "pit_reid": "smoke,num_train_identities=4,num_test_identities=4"}


class StageError(ValueError):
    """Data that cannot be made here. The message says what to do instead."""


def ensure_rendered(config: Any, data_dir: str | os.PathLike[str], *, num_workers: int = 0) -> pathlib.Path:
    """Renders a recipe into `data_dir`/rendered/<recipe> and builds its TFDS dataset in `data_dir`.

    Args:
        config: A config of `experiments.pit_render`.
        data_dir: Where TFDS keeps datasets.
        num_workers: Processes that render; 0 is one a core.

    Returns:
        The rendered folder.

    Raises:
        rendering.RenderError: The folder holds another rendering, or a worker failed.
        datasets.DatasetError: The dataset was built from another rendering.
    """
    folder = pathlib.Path(data_dir) / "rendered" / config.recipe
    rendering.run(config, output_dir=folder, data_dir=data_dir, num_workers=num_workers)
    return folder


def ensure_run(config: Any, workdir: str | os.PathLike[str]) -> None:
    """Trains to the end of `config`, unless `workdir` holds that run complete.

    Raises:
        training.RunError: The workdir holds a run with another config, or see `training.run`.
    """
    done = checkpoint.latest_step(pathlib.Path(workdir) / restore.CHECKPOINT_FOLDER)
    if done == config.num_steps and not training.changed_keys(restore.read_config(workdir), config):
        print(f"{workdir}: complete, {done} steps")
        return
    training.run(config, workdir)


def ensure_textured(workdir: str | os.PathLike[str], dataset: str, data_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `<dataset>_textured` (`_frontal`) from a SAN-PG run; see `pseudo_textures.run_dataset`."""
    return pseudo_textures.run_dataset(workdir, dataset, data_dir)


def ensure_targets(dataset: str, target_dir: str | os.PathLike[str], data_dir: str | os.PathLike[str]) -> None:
    """Writes images to reconstruct for `target=folder` where they are missing: each training image, mirrored."""
    splits = data_sources.training_splits(dataset, data_dir, use_val=True)
    source = data_sources.open_source(dataset, "+".join(splits), data_dir)
    with folder_lock.hold(target_dir):
        for example, name in zip(source, read_names(source), strict=True):
            path = (pathlib.Path(target_dir) / name).with_suffix(".png")
            if not path.is_file():
                buffer = io.BytesIO()
                ImageOps.mirror(Image.fromarray(example["image"])).save(buffer, "PNG")
                write_atomic(path, buffer.getvalue())


def prepare_smoke(config: Any) -> None:
    """Makes the small data that a training config with `prepare="smoke"` needs, where it is missing.

    SAN-PG needs `pit`, the baseline `pit_reid`; SAN needs both, a small SAN-PG run (at `init_from`) and, as its target
    says, the pseudo textures or frontal views that it gives, or a folder of images (at `target_dir`). The baseline on
    textures needs the SAN-PG run (at `generator`) and its textures. Fine-tuning (`init_classifier`) needs what the run that it
    starts from needs, and that run (at `init_from`). The data goes into the config's `data_dir`.

    Args:
        config: A config of `experiments.train`.

    Raises:
        StageError: The config names datasets that cannot be rendered, or needs `init_from` and has none, or rendering
            failed.
    """
    if jax.process_count() > 1:
        logging.warning("Several processes train: the smoke data is not made here, run the config once in one process.")
        return
    wanted = {"pit": config.get("pit_dataset", "pit"), "pit_reid": config.get("dataset", "pit_reid")}
    for recipe, name in wanted.items():
        if name != recipe:
            raise StageError(
                f"prepare=smoke renders {recipe}, but the config asks for {name!r}: leave the dataset of :smoke as it "
                "is, or set prepare= (empty) and build the dataset yourself."
            )
    if config.get("init_classifier", False):
        if not config.init_from:
            raise StageError("prepare=smoke of fine-tuning needs init_from: the folder for a small run to start from.")
        start = smoke_start(config)
        prepare_smoke(start)
        start.prepare = ""
        ensure_run(start, config.init_from)
        return
    takes_textures = config.stage == "baseline" and config.input == "texture"
    needs_generator = config.stage == "san" or takes_textures
    recipes = ("pit",) if config.stage == "pg" else ("pit", "pit_reid") if needs_generator else ("pit_reid",)
    for recipe in recipes:
        try:
            ensure_rendered(config_files.load(f"{recipe}.py:{SMOKE_SIZES[recipe]}"), config.data_dir)
        except rendering.RenderError as error:
            raise StageError(str(error)) from error
    if not needs_generator:
        return
    folder = config.generator if takes_textures else config.init_from
    if not folder:
        raise StageError("prepare=smoke of a SAN config needs init_from: the folder for a small SAN-PG run.")
    ensure_run(smoke_generator(config), folder)
    if takes_textures or config.target in SUFFIXES:
        ensure_textured(folder, config.dataset, config.data_dir)
    elif config.target == "folder":
        ensure_targets(config.dataset, config.target_dir, config.data_dir)


def smoke_start(config: Any) -> ConfigDict:
    """The config of the small run that a fine-tuning config starts from: same networks, images, batches and data."""
    start = config_files.load(f"{config.stage}.py:smoke")
    shared = ["seed", "dataset", "data_dir", "use_val", "image_size", "num_workers", "model", "batch"]
    shared += ["target", "target_dir", "turns"] if config.stage == "san" else ["input", "generator"]
    start.update(ConfigDict({key: config[key] for key in shared}))
    start.init_from = f"{config.init_from}_pg" if config.stage == "san" else ""
    # A schedule without epochs, whose length would follow from turns and batch.
    start.optimizer.update({"schedule": "cosine", "warmup_epochs": 0})
    return start


def smoke_generator(config: Any) -> ConfigDict:
    """The config of the small SAN-PG run that belongs to a config: same images and data, the networks as far as it has them.

    Its target is the config's, textures where a SAN-PG cannot have that one.
    """
    generator = config_files.load("san_pg.py:smoke")
    model = {key: value for key, value in config.model.items() if key in generator.model}
    generator.update({"model": model, "image_size": config.image_size, "data_dir": config.data_dir})
    if config.stage == "san" and config.target in targets.OF_STAGE["pg"]:
        generator.target = config.target
    return generator
