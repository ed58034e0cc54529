"""Several train steps in one call, on batches that are taken by row out of a training set in device memory.

The set lies on every device, or, where it is too large for one, its rows are split over the devices. From a set on every
device each takes the rows of its own share of a batch, and nothing is sent. From a set that is split, each device looks
up the rows of the whole batch that it holds, and one reduce-scatter brings every row to where it is wanted: some
(devices - 1) / devices of the batch's bytes a device.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int32, Shaped

from san_jax import sharding
from san_jax.train_state import TrainState
from san_jax.train_step import Step

CycleMetrics: TypeAlias = tuple[dict[str, Shaped[Array, "*cycles"]], ...]  # of each step of a cycle
# (state, {kind: arrays of the training set}, rows of each step of a cycle, [cycles, batch]) -> state, their metrics
Dispatch: TypeAlias = Callable[[TrainState, Any, tuple[Any, ...]], tuple[TrainState, CycleMetrics]]


def place(arrays: Mapping[str, np.ndarray], mesh: Mesh, *, split: bool) -> dict[str, jax.Array]:
    """Copy a training set to the devices.

    Args:
        arrays: The whole set, the same in every process.
        mesh: The devices.
        split: Whether to split the rows over the devices; otherwise every device gets all.
    """
    target = sharding.batch_sharding(mesh) if split else sharding.replicated(mesh)
    placed = {}
    for name, array in arrays.items():
        rows = -(-len(array) // mesh.size) * mesh.size if split else len(array)
        padded = np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
        placed[name] = jax.make_array_from_callback(padded.shape, target, padded.__getitem__)
    return placed


def place_rows(rows: Sequence[Int32[np.ndarray, " batch"]], mesh: Mesh) -> Int32[Array, "cycles batch"]:
    """Copy the rows of global batches, the same in every process, to the devices that take them."""
    stacked = np.stack(rows)
    target = NamedSharding(mesh, PartitionSpec(None, sharding.AXIS))
    return jax.make_array_from_callback(stacked.shape, target, stacked.__getitem__)


def make_dispatch(steps: Mapping[str, Step], kinds: Sequence[str], mesh: Mesh, *, split: bool) -> Dispatch:
    """Return a jitted function that does the steps of `kinds` in turn, as often as it is given rows for.

    Args:
        steps: The train step of each kind of batch.
        kinds: The kinds of batches of a cycle.
        mesh: The devices.
        split: As for `place`.

    Returns:
        dispatch(state, data, rows) -> (state, metrics). The given state is donated. `data` holds what `place` returned
        for each kind, `rows` what `place_rows` returned for each step of a cycle; the metrics of each step of a cycle
        come as arrays [cycles]. It compiles once for each number of cycles.
    """

    def dispatch(state: Any, data: Any, rows: tuple[Any, ...]) -> tuple[Any, CycleMetrics]:
        def cycle(state: TrainState, rows: tuple[Any, ...]) -> tuple[TrainState, CycleMetrics]:
            metrics = []
            for kind, wanted in zip(kinds, rows, strict=True):
                batch = {name: _take(array, wanted, mesh, split=split) for name, array in data[kind].items()}
                state, of_step = steps[kind](state, batch)
                metrics.append(of_step)
            return state, tuple(metrics)

        return lax.scan(cycle, state, rows)

    return jax.jit(dispatch, donate_argnums=0)


def _take(
    array: Shaped[Array, "examples ..."], rows: Int32[Array, " batch"], mesh: Mesh, *, split: bool
) -> Shaped[Array, "batch ..."]:
    """Return rows of an array, split over the devices."""
    whole, share = PartitionSpec(), PartitionSpec(sharding.AXIS)

    def take_own(array: Any, rows: Any) -> Any:
        return array.at[rows].get(mode="promise_in_bounds")

    def take_from_all(array: Any, rows: Any) -> Any:
        first = lax.axis_index(sharding.AXIS) * array.shape[0]
        held = (rows >= first) & (rows < first + array.shape[0])
        found = take_own(array, jnp.where(held, rows - first, 0))
        found = jnp.where(held.reshape(-1, *(1,) * (array.ndim - 1)), found, jnp.zeros((), array.dtype))
        return lax.psum_scatter(found, sharding.AXIS, tiled=True)  # exact: all devices but one add zeros

    function, of_array, of_rows = (take_from_all, share, whole) if split else (take_own, whole, share)
    return jax.shard_map(function, mesh=mesh, in_specs=(of_array, of_rows), out_specs=share)(array, rows)
