"""The parts of the method as functions that do only what is missing: for the demo, the ablation and `:smoke` configs.

Each runs what a program runs; called again after an interruption, it goes on; called when everything is there, it does
nothing. Nothing is trusted for its name alone: other parameters than those asked for are an error of the part's.
"""

import io
import os
import pathlib

from PIL import Image, ImageOps

from experiments.command_line.config_files import Config
from experiments.runs import data_sources, folder, pseudo_textures, rendering, training
from san_jax import folder_lock
from san_jax.counts import count
from san_jax.data.reading import read_names
from san_jax.files import write_atomic


def ensure_rendered(config: Config, data_dir: str | os.PathLike[str], *, num_workers: int = 0) -> pathlib.Path:
    """Render a recipe into `data_dir`/rendered/<recipe> and build its TFDS dataset in `data_dir`.

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
    rendered = pathlib.Path(data_dir) / "rendered" / config.recipe
    rendering.run(config, output_dir=rendered, data_dir=data_dir, num_workers=num_workers)
    return rendered


def ensure_run(config: Config, workdir: str | os.PathLike[str]) -> None:
    """Train to the end of `config`, unless `workdir` holds that run complete.

    Raises:
        RunError: The workdir holds a run with another config, or see `training.run`.
    """
    done = folder.newest_step(workdir)
    if done is not None and folder.is_complete(workdir, config, done):
        print(f"{workdir}: complete, {count(done, 'step')}")
        return
    training.run(config, workdir)


def ensure_textured(workdir: str | os.PathLike[str], dataset: str, data_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Write `<dataset>_textured` (`_frontal`) from a SAN-PG run; see `pseudo_textures.run_dataset`."""
    return pseudo_textures.run_dataset(workdir, dataset, data_dir)


def ensure_targets(dataset: str, target_dir: str | os.PathLike[str], data_dir: str | os.PathLike[str]) -> None:
    """Write images to reconstruct for `target.kind=folder` where they are missing: each training image, mirrored."""
    splits = data_sources.training_splits(dataset, data_dir, use_val=True)
    source = data_sources.open_source(dataset, "+".join(splits), data_dir)
    with folder_lock.hold(target_dir):
        for example, name in zip(source, read_names(source), strict=True):
            path = (pathlib.Path(target_dir) / name).with_suffix(".png")
            if not path.is_file():
                buffer = io.BytesIO()
                ImageOps.mirror(Image.fromarray(example["image"])).save(buffer, "PNG")
                write_atomic(path, buffer.getvalue())
