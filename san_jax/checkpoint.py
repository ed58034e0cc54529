"""Checkpoints of a run: weights, optimizer and data iterators, saved together. The only file that touches Orbax.

A folder `checkpoints/` holds one folder a saved step, named by it, with three items: `weights` (parameters and running
statistics), `optimizer` (its state and the step) and `iterators` (JSON); and `average`, of the weights, where the run
keeps one. Saving is asynchronous; a step's folder gets its name when all of it is written, so a process that dies at
any moment leaves the last checkpoint whole.
"""

import contextlib
import json
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax.sharding import Sharding, SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from san_jax import run_folder
from san_jax.run_folder import BEST, NEWEST
from san_jax.sharding import wait_for_all
from san_jax.train_state import TrainState, Tree

WEIGHTS, OPTIMIZER, ITERATORS, AVERAGE = "weights", "optimizer", "iterators", "average"


class CheckpointError(RuntimeError):
    """There is no checkpoint, or none that can be read. The message names the folder and what to do."""


class Checkpoints:
    """The checkpoints of one run, oldest first; every process of the run makes the same calls.

    Args:
        directory: The folder, made if absent.
        keep: Number of checkpoints to keep; older ones are deleted when a new one is complete.

    Raises:
        ValueError: keep is not positive.
        CheckpointError: The folder's path is none that checkpoints can be written to, see `check_path`.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int):
        if keep < 1:
            raise ValueError(f"keep must be at least 1, found {keep}.")
        check_path(directory)
        self.directory = pathlib.Path(directory).absolute()
        keep_latest: Any = ocp.training.preservation_policies.LatestN(keep)
        with self._writing():
            self._checkpointer = ocp.training.Checkpointer(
                str(self.directory),
                context=_context(),
                preservation_policy=keep_latest,
                cleanup_tmp_directories=True,  # what a process left that died while saving
            )

    def save(self, step: int, state: TrainState, iterators: Mapping[str, Any]) -> None:
        """Save in the background; waits first for a save that is still under way.

        The state may be donated right after the call: what is needed of it was copied.

        Args:
            step: Train steps done, the checkpoint's name.
            state: The train state after that many steps.
            iterators: JSON-able states of the data iterators; the next element is the next step's batch.

        Raises:
            CheckpointError: This checkpoint or the one before cannot be written, such as on a full disk.
        """
        items = {**_items(state, None), ITERATORS: {"states": dict(iterators), "crc32": _crc32(iterators)}}
        with self._writing():
            self._checkpointer.save_checkpointables_async(step, items, force=True)

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """Load the newest checkpoint that can be read.

        Unreadable newer ones (a full disk, a torn copy) are reported and put aside as `<step>.unreadable`.

        Args:
            like: A state of the same structure; its arrays may be `jax.ShapeDtypeStruct` with sharding.

        Returns:
            The state, sharded as `like`, and the iterators' states; None where there is no checkpoint yet.

        Raises:
            CheckpointError: There are checkpoints, but none can be read, or they are of another model.
        """
        place = jax.tree.leaves(like)[0].sharding
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        wanted = {**_items(abstract, jax.ShapeDtypeStruct((), jnp.uint32, sharding=place)), ITERATORS: None}
        unreadable, first_error = [], None
        for step in self._steps():
            try:
                loaded = self._checkpointer.load_checkpointables(step, wanted)
                for item in wanted.keys() - {ITERATORS}:
                    _verify(loaded[item])
                if loaded[ITERATORS]["crc32"] != _crc32(loaded[ITERATORS]["states"]):
                    raise ValueError("the iterators' states are not what was saved.")
            except Exception as error:  # Orbax, TensorStore, OS and JSON each raise their own
                unreadable.append(step)
                first_error = first_error or error
                continue
            self._put_aside(unreadable, first_error)
            weights, optimizer = loaded[WEIGHTS], loaded[OPTIMIZER]
            average = {key: loaded[AVERAGE][key] for key in like.average}
            state = TrainState(
                optimizer["step"], weights["params"], weights["batch_stats"], optimizer["opt_state"], average
            )
            return state, loaded[ITERATORS]["states"]
        if unreadable:
            raise CheckpointError(
                f"no checkpoint in {self.directory} can be read (tried {unreadable}): {_brief(first_error)}\n"
                "Is it of another version of the model? Put back a good copy, or start again in an empty workdir."
            ) from first_error
        return None

    def latest(self) -> pathlib.Path | None:
        """Return the folder of the newest complete checkpoint, after waiting for a save that is under way; None if none.

        Raises:
            CheckpointError: That save failed.
        """
        with self._writing():
            self._checkpointer.wait()
        steps = self._steps()
        return self.directory / str(steps[0]) if steps else None

    def close(self) -> None:
        """Wait until everything is written.

        Raises:
            CheckpointError: A save in the background failed.
        """
        with self._writing():
            self._checkpointer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn whatever Orbax, TensorStore and the file system raise in a save into a CheckpointError."""
        try:
            yield
        except Exception as error:
            raise CheckpointError(
                f"a checkpoint cannot be written to {self.directory}: {_brief(error)}\n"
                "Older checkpoints there are kept. Mend that (is the disk full?), then the same command goes on from "
                "the newest one."
            ) from error

    def _steps(self) -> list[int]:
        """Complete checkpoints, newest first."""
        return [checkpoint.step for checkpoint in reversed(self._checkpointer.checkpoints)]

    def _put_aside(self, steps: list[int], error: Exception | None) -> None:
        for step in steps:
            path = self.directory / str(step)
            aside = path.with_name(f"{step}.unreadable")
            logging.warning("%s cannot be read and is put aside as %s: %s", path, aside.name, _brief(error))
            if jax.process_index() == 0:
                _replace_folder(path, aside)
        if steps:
            wait_for_all(f"put aside {steps}")
            self._checkpointer.reload()


def check_path(directory: str | os.PathLike[str], *, read_only: bool = False) -> None:
    """Raise a CheckpointError where Orbax would write checkpoints that cannot be read, or mix them with others.

    Args:
        directory: The folder of checkpoints, or one above it.
        read_only: Checkpoints that are there are to be read: then a pattern is only a name.
    """
    path = pathlib.Path(directory).absolute()
    found = [character for character in "\\" + "*?[" * (not read_only) if character in str(path)]
    found += [part for part in path.parts if part in ("gs:", "s3:")]
    if found:
        raise CheckpointError(
            f"{path} holds {' '.join(found)}, which Orbax, the library that writes checkpoints, does not take for a "
            "part of a name (it reads a pattern, or another path): choose a folder without it."
        )


def latest_step(directory: str | os.PathLike[str]) -> int | None:
    """Return the newest complete checkpoint's step, without opening it; None where there is none."""
    return max(_steps_in(directory), default=None)


def _steps_in(directory: str | os.PathLike[str]) -> list[int]:
    """Return the steps of the complete checkpoints in a folder, in no order."""
    return [int(path.name) for path in pathlib.Path(directory).glob("*") if path.name.isdecimal()]


def find(run: str | os.PathLike[str], which: str | int = NEWEST) -> tuple[pathlib.Path, int]:
    """Return the folder of checkpoints and the step of one of a run's checkpoints.

    Args:
        run: The run's folder.
        which: "newest", "best" (of the highest mAP that was scored during the training), or a step.

    Raises:
        ValueError: `which` is none of these.
        CheckpointError: There is no such checkpoint.
    """
    which = str(which)
    newest, best = (
        pathlib.Path(run).absolute() / name for name in (run_folder.CHECKPOINT_FOLDER, run_folder.BEST_FOLDER)
    )
    if which not in (NEWEST, BEST) and not which.isdecimal():
        raise ValueError(f"checkpoint must be {NEWEST}, {BEST} or a step, found {which!r}.")
    folders = {NEWEST: (newest,), BEST: (best,)}.get(which, (newest, best))
    found = {step: folder for folder in reversed(folders) for step in _steps_in(folder)}
    if which.isdecimal() and int(which) not in found:
        there = ", ".join(map(str, sorted(found))) or "none"
        raise CheckpointError(f"{run} has no checkpoint of step {which}; it has {there}.")
    if which == BEST and not found:
        raise CheckpointError(
            f"there is no checkpoint in {best}: a run keeps its best one if eval_every_epochs is set."
        )
    if not found:
        raise CheckpointError(f"there is no checkpoint in {newest}: expected the folder of a run that was trained.")
    step = int(which) if which.isdecimal() else max(found)
    return found[step], step


def load_weights(
    directory: str | os.PathLike[str], *, step: int | None = None, sharding: Sharding | None = None
) -> tuple[int, Tree, Tree]:
    """Load the weights of a checkpoint, whatever devices they were saved on, and nothing else of it.

    If the run keeps an average of its weights, the average is loaded.

    Args:
        directory: A run's `checkpoints` folder.
        step: The checkpoint; None for the newest.
        sharding: Where to put the arrays; None for the first local device.

    Returns:
        The step, the parameters and the running statistics, as in `TrainState`.

    Raises:
        CheckpointError: There is no checkpoint, or it cannot be read.
    """
    directory = pathlib.Path(directory).absolute()
    step = latest_step(directory) if step is None else step
    if step is None:
        raise CheckpointError(f"there is no checkpoint in {directory}: expected the folder of a run that was trained.")
    check_path(directory, read_only=True)
    sharding = sharding or SingleDeviceSharding(jax.local_devices()[0])
    path = directory / str(step)
    try:
        with _context():
            metadata = ocp.checkpointables_metadata(str(path)).metadata
            item = AVERAGE if AVERAGE in metadata else WEIGHTS
            abstract = jax.tree.map(
                lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding), metadata[item]
            )
            weights = ocp.load_checkpointables(str(path), {item: abstract})[item]
        _verify(weights)
    except Exception as error:  # Orbax, TensorStore, OS and JSON each raise their own
        raise CheckpointError(
            f"the checkpoint {path} cannot be read: {_brief(error)}\nRun the training command again on that workdir: "
            "it goes on from the checkpoint before and writes this one anew."
        ) from error
    return step, weights["params"], weights["batch_stats"]


def _items(state: TrainState, checksum: Any) -> dict[str, dict[str, Any]]:
    """The saved items of a state, each with its checksum, or with the one given (for an abstract state)."""
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    items = {WEIGHTS: weights, OPTIMIZER: {"step": state.step, "opt_state": state.opt_state}}
    if state.average:
        items[AVERAGE] = state.average
    return {
        name: {**item, "checksum": _checksum(item) if checksum is None else checksum} for name, item in items.items()
    }


def _verify(item: dict[str, Any]) -> None:
    """Raise a ValueError where a loaded item is not what was saved: the storage format does not guard array data."""
    found, expected = int(_checksum({key: item[key] for key in item if key != "checksum"})), int(item["checksum"])
    if found != expected:
        raise ValueError(f"the arrays are not what was saved: checksum {found}, expected {expected}.")


@jax.jit
def _checksum(tree: Any) -> jax.Array:
    """The sum of all arrays' bits, read as unsigned integers, modulo 2^32: exact in any order, on any devices."""

    def words(array: jax.Array) -> jax.Array:
        bits = jax.lax.bitcast_convert_type(array, jnp.dtype(f"uint{8 * array.dtype.itemsize}"))
        return jnp.sum(bits.astype(jnp.uint32), dtype=jnp.uint32)

    return sum(map(words, jax.tree.leaves(tree)), start=jnp.zeros((), jnp.uint32))


def _crc32(value: Any) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _context() -> ocp.Context:
    """Orbax's settings: iterator states are JSON; arrays, whole on every device, are written by one of them."""
    registry = ocp.handlers.local_registry()
    registry.add(ocp.handlers.JsonHandler, checkpointable_name=ITERATORS)
    context = ocp.Context()
    context.checkpointables.registry = registry
    context.array.saving.use_replica_parallel = False
    context.array.saving.enable_write_sharding_file = False  # loading always says where to
    return context


def _replace_folder(path: pathlib.Path, aside: pathlib.Path) -> None:
    number = 1
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.unreadable{number}")
    path.rename(aside)


def _brief(error: Exception | None) -> str:
    """The first line of an error's root cause; Orbax's own messages run to pages."""
    while error is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300] if text else ''}"
