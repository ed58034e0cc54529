"""A run's folder: its config and data on record, and whether a command may continue the run in it."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import plan
from experiments.runs.errors import RunError
from experiments.runs.settings import RunSettings, keys_that_may_change
from san_jax import checkpoint, files, folder_lock, run_folder, sharding

STARTED_FROM, FILE_WEIGHTS, NUM_STEPS = "started_from", "weights_file", "num_steps"  # in data.json


def hold(workdir: pathlib.Path, stack: contextlib.ExitStack) -> None:
    """Hold the folder for the processes that train together; where it is refused, all of them end with one message.

    Args:
        workdir: The run's folder.
        stack: Lets go of the folder when it is closed.

    Raises:
        RunError: Another process writes the folder.
    """
    refusal = ""
    if jax.process_index() == 0:
        try:
            stack.enter_context(folder_lock.hold(workdir))
        except folder_lock.FolderError as error:
            refusal = str(error)
    if refusal := sharding.first_message(refusal):
        raise RunError(refusal)


def newest_step(workdir: str | os.PathLike[str]) -> int | None:
    """The step of a run's newest checkpoint; None where there is none."""
    return checkpoint.latest_step(pathlib.Path(workdir) / run_folder.CHECKPOINT_FOLDER)


def read_config(workdir: str | os.PathLike[str]) -> Config:
    """Return the config of a run, locked.

    Raises:
        FileNotFoundError: The folder is no run's.
        san_jax.run_folder.RunFolderError: Another version wrote it, or it is no config of a run.
        san_jax.files.DamagedFileError: config.json is damaged.
    """
    fields = run_folder.read_config(workdir)
    return config_files.from_fields({key: value for key, value in fields.items() if key != "version"})


def read_plan(workdir: str | os.PathLike[str]) -> plan.RunPlan:
    """Return what a run's config means; errors as `read_config`, and a RunError where the config is none."""
    return plan.resolve(read_config(workdir))


def read_data(workdir: str | os.PathLike[str], *, step: int | None = None) -> dict[str, Any] | None:
    """Return what a run was trained on, as it noted when it began; None where there is no data.json.

    Args:
        workdir: The run's folder.
        step: Step of the checkpoint that is meant; None for the last one.

    Returns:
        `dataset` (a benchmark's name, without `_textured`; the PIT dataset for SAN-PG), `splits` (a list), `images`,
        `identities` (None for SAN-PG), `partial` (whether the benchmark was built from a partial copy), `source_digest`
        (digest of what was read: of the textured copy for SAN), `pit` (`dataset` and `images` of the PIT batches
        between those of the benchmark, or None), `target` (absent where the decoder reconstructs textures or there is
        none), `held_out_identities` (only where some are held out), `batch_norm_images` (only where the running
        statistics were re-estimated after the last step: on how many pictures; not for the checkpoint of another step),
        `targets_digest` (only with target.kind=folder: digest of its images), `san_pg_sha256` (only with
        input.kind=texture: digest of SAN-PG's weights), `num_steps` (length of the run), `weights_file` (only with
        start.kind=file or imagenet: `file`, `sha256` and, where the file holds more than the encoder, its `place`) and
        `started_from` (all of this, but `started_from` itself, for the runs that the weights come from, newest first,
        by their folders).
    """
    path = pathlib.Path(workdir) / run_folder.DATA_FILE
    if not path.is_file():
        return None
    data = files.read_json(path)
    if step not in (None, data.get(NUM_STEPS)):
        data.pop("batch_norm_images", None)
    return data


def changed_keys(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The keys that make two configs two runs, with (old, new).

    A key that one config lacks, being of a version without it, differs only where the other has not the default: that
    is what runs did before there was the key.
    """
    free, defaults = (
        keys_that_may_change(),
        dict(config_files.leaves(ConfigDict(dataclasses.asdict(RunSettings("san"))))),
    )
    return {
        key: (before, now)
        for key, (before, now) in config_files.differences(old, new).items()
        if key not in free and not (config_files.ABSENT in (before, now) and defaults.get(key) in (before, now))
    }


def is_complete(workdir: str | os.PathLike[str], config: Config, step: int) -> bool:
    """Whether a folder whose newest checkpoint is at `step` holds the whole run of this config."""
    if changed_keys(read_config(workdir), config):
        return False
    noted = files.read_json(pathlib.Path(workdir) / run_folder.DATA_FILE)
    return step == noted.get(NUM_STEPS)


def check_config(config: Config, workdir: pathlib.Path) -> None:
    """Raise a RunError unless the run in the folder has this config."""
    changed = changed_keys(read_config(workdir), config)
    if changed:
        lines = [f"  {key}: {old!r} there, {new!r} here" for key, (old, new) in changed.items()]
        raise RunError(
            "\n".join([f"{workdir} holds a run with another config:", *lines])
            + "\nChoose another --workdir, or give the config of that run to go on with it."
        )


def new_record(
    record: Mapping[str, Any], *, run: str = "", weights_file: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what data.json says of a run that begins.

    Args:
        record: What the run is trained on.
        run: Folder of the run that the weights come from; "" for none. Its data is noted now, as the folder may be
            elsewhere later.
        weights_file: The file that the weights come from, see `read_data`.
    """
    started_from: dict[str, Any] = {}
    if run:
        data = read_data(run)
        earlier = {} if data is None else data.pop(STARTED_FROM)
        started_from = {run: data, **earlier}
    noted = {FILE_WEIGHTS: weights_file} if weights_file else {}
    return {**record, STARTED_FROM: started_from, **noted}


def check_data(record: Mapping[str, Any], workdir: pathlib.Path) -> dict[str, Any]:
    """Return what data.json says of the run in the folder.

    Raises:
        RunError: That run was trained on other data.
    """
    noted = read_data(workdir)
    if noted is None:
        raise RunError(
            f"{workdir / run_folder.DATA_FILE} is missing, so it is unknown what the run was trained on: restore it, "
            "or choose another --workdir."
        )
    lines = [
        f"  {key}: {noted.get(key)!r} there, {record[key]!r} now" for key in record if noted.get(key) != record[key]
    ]
    if lines:
        raise RunError(
            "\n".join([f"{workdir} holds a run on other data:", *lines])
            + "\nChoose another --workdir, or give the data_dir of that run to go on with it."
        )
    return noted


def write_records(
    workdir: pathlib.Path, config: Config, record: Mapping[str, Any], mirror_file: Mapping[str, bytes]
) -> None:
    """Write config.json, data.json and, for the textures that the run will regress, the mirror map.

    Args:
        workdir: The run's folder.
        config: The config of the run.
        record: What data.json says.
        mirror_file: How the textures are mirrored: file name -> content; empty where that is not known.
    """
    sharding.wait_for_all("config and data compared")
    if jax.process_index() == 0:
        run_folder.write_config(workdir, json.loads(config_files.to_json(config)))
        files.write_json(workdir / run_folder.DATA_FILE, record)
        for name, content in mirror_file.items():
            files.write_atomic(workdir / name, content)
    sharding.wait_for_all("config and data written")
