"""The files in a run's folder, and the version of its config.json.

Standard library only. `python -m experiments.train` writes such folders; `san_jax.load_encoder` reads them without
loading anything of the training programs.
"""

import os
import pathlib
from typing import Any

from san_jax import files

CONFIG_FILE = "config.json"  # the config of the run, with the version of its format
DATA_FILE = "data.json"  # what the run was trained on
CHECKPOINT_FOLDER = "checkpoints"
BEST_FOLDER = "best_checkpoint"  # the checkpoint of the highest mAP that was scored during the training
BEST_FILE = "best_checkpoint.json"  # its step and mAP
VERSION = 1  # of config.json
METHODS = ("san_pg", "san", "baseline")
NEWEST, BEST = "newest", "best"  # names of a run's checkpoints; any other is a step
TEXTURE_TARGETS = ("texture", "true_texture")  # kinds of `target` that lie on the UV square; others are like images


class RunFolderError(ValueError):
    """A run's folder that cannot be used. The message names the file and says what to do."""


def write_config(folder: str | os.PathLike[str], config: dict[str, Any]) -> None:
    """Write a run's config.json, with the version of its format first.

    Raises:
        OSError: It cannot be written.
    """
    files.write_json(pathlib.Path(folder) / CONFIG_FILE, {"version": VERSION, **config})


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a run's config.json, with its `version`.

    Raises:
        FileNotFoundError: The folder holds no config.json.
        RunFolderError: Another version of San-JAX wrote it, or it is not the config of a run.
        san_jax.files.DamagedFileError: It cannot be read as JSON.
    """
    path = pathlib.Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected the folder of a run, as --workdir of `python -m experiments.train`."
        )
    config = files.read_json(path)
    if "version" not in config and "model" not in config:
        raise RunFolderError(f"{path} is not the config of a run, as `python -m experiments.train` writes it.")
    if config.get("version") != VERSION:
        raise RunFolderError(
            f"{path} was written by another version of San-JAX: expected version {VERSION} of its format, found "
            f"{config.get('version', 'none')}. Train again, or use the version that wrote it."
        )
    if config.get("method") not in METHODS or not isinstance(config.get("model"), dict):
        raise RunFolderError(f"{path} is not the config of a run, as `python -m experiments.train` writes it.")
    return config


def find_run(noted: str, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Return the folder of a run that another run's config names, also after both were moved or copied together.

    A config keeps the path as it was given at the time, often relative to the folder where the program ran. Where that
    path leads nowhere now, the folder of the same name beside the other run's is taken.

    Args:
        noted: The path in the config, such as `input.path`.
        folder: Folder of the run with that config.

    Raises:
        FileNotFoundError: Neither is the folder of a run.
    """
    beside = pathlib.Path(folder).absolute().parent / pathlib.PurePath(noted).name
    for candidate in (pathlib.Path(noted), beside):
        if (candidate / CONFIG_FILE).is_file():
            return candidate
    raise FileNotFoundError(
        f"{pathlib.Path(folder) / CONFIG_FILE} names the run {noted}, which is not there now (looked from "
        f"{pathlib.Path.cwd()}), and neither is {beside}. Put that run, or a link to it, in one of the two places."
    )
