"""Devices: one mesh axis `data`; batches are split over it, the train state is on every device.

Train steps are one global-view `jax.jit`: batch normalisation and batch-hard mining see the global batch, and no collective
is written by hand. The triplets of L_TR stay on a device where its rows allow it (`losses.triplet_reid_loss`).
"""

import hashlib
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from san_jax import counts

AXIS = "data"
_MESSAGE_BYTES = 8192  # longest message that processes tell each other


def initialize_distributed(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the processes of a multi-process run. Call it before anything else touches JAX's devices.

    Args:
        coordinator: host:port of process 0; "auto" where the cluster tells (TPU pods, Slurm); "" for a single process.
        num_processes: Number of processes; not used with "auto".
        process_id: 0-based number of this one; not used with "auto".

    Raises:
        ValueError: process_id does not lie in 0..num_processes-1.
    """
    if not coordinator:
        return
    if coordinator == "auto":
        jax.distributed.initialize()
        return
    if not 0 <= process_id < num_processes:
        raise ValueError(f"process_id must lie in 0..{num_processes - 1} for {num_processes} processes: {process_id}.")
    jax.distributed.initialize(coordinator, num_processes, process_id)


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return the mesh of all devices of all processes, or of those given."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding by which every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding that splits the first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def init_replicated(function: Callable[[], Any], mesh: Mesh) -> Any:
    """Return the result of a function without arguments, computed under jit and placed on every device.

    It runs once: on a CPU, optimizing the code that draws some hundred random arrays takes longer than all the rest
    before the first step, so there it is not optimized.
    """
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    return jax.jit(function, out_shardings=replicated(mesh), compiler_options=options)()


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Place a tree of NumPy arrays, the same in every process, on every device."""

    def place(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(array.shape, replicated(mesh), lambda index: array[index])

    return jax.tree.map(place, tree)


def check_batch_size(name: str, count: int, mesh: Mesh, *, images_each: int = 1) -> None:
    """Raise a ValueError where a global batch cannot be split evenly; it names the nearest counts that can.

    Args:
        name: The config key of the count.
        count: What the batch counts: its images, or identities of `images_each` images.
        mesh: The devices that the batch is split over.
        images_each: Images of each that is counted.
    """
    if count * images_each % mesh.size == 0:
        return
    unit = mesh.size // math.gcd(mesh.size, images_each)
    below = count // unit * unit
    nearest = f"{below} or {below + unit}" if below else f"{unit}"
    images = f"{count} x {images_each} images" if images_each > 1 else counts.count(count, "image")
    raise ValueError(
        f"{name}={count}: {images} cannot be split evenly over {mesh.size} devices. Set {name} to {nearest}, or use "
        "fewer devices."
    )


def holds_whole_identities(num_identities: int, mesh: Mesh) -> bool:
    """Return whether a P x K batch of so many identities gives every device whole ones, two at least."""
    return num_identities % mesh.size == 0 and num_identities >= 2 * mesh.size


def shard_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """Place this process's rows of a batch; the result is the global batch.

    Args:
        batch: NumPy arrays with this process's share of the rows.
        mesh: From `make_mesh`.

    Returns:
        Global arrays, split over the devices by their first axis.
    """
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, np.asarray(array)) for name, array in batch.items()}


def wait_for_all(name: str) -> None:
    """Wait until every process has come here; `name` is the same on all and used once in a run."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def first_message(message: str) -> str:
    """Return on all processes the first one's message that is not empty; "" where none has one.

    Every process must call it at the same place. A long message is cut.
    """
    if jax.process_count() == 1:
        return message
    content = np.zeros(_MESSAGE_BYTES, np.uint8)
    encoded = np.frombuffer(message.encode()[:_MESSAGE_BYTES], np.uint8)
    content[: len(encoded)] = encoded
    messages = [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in multihost_utils.process_allgather(content)]
    return next(filter(None, messages), "")


def on_any_process(flag: bool) -> bool:
    """Return whether the flag is set on any process. Every process must call it at the same place."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def own_rows(count: int) -> range:
    """Return which of `count` rows this process works on, where all share them; as many for each, or fewer."""
    share = -(-count // jax.process_count())
    return range(min(share * jax.process_index(), count), min(share * (jax.process_index() + 1), count))


def join_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of all processes in order, given those of this one (`own_rows` of `count`).

    Every process must call it at the same place.
    """
    if jax.process_count() == 1:
        return rows
    share = -(-count // jax.process_count())
    padded = np.zeros((share, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return np.asarray(multihost_utils.process_allgather(padded)).reshape(-1, *rows.shape[1:])[:count]


def from_first_process(values: np.ndarray) -> np.ndarray:
    """Return the values [N] that process 0 has. Every process must call it at the same place."""
    if jax.process_count() == 1:
        return values
    as_bytes = values.view(np.uint8)  # JAX would make 32 bits of 64
    return np.asarray(multihost_utils.broadcast_one_to_all(as_bytes)).view(values.dtype)


def processes_of_this_host() -> int:
    """Return how many of the processes run on this one's host. Every process must call it at the same place."""
    if jax.process_count() == 1:
        return 1
    own = np.frombuffer(hashlib.sha256(platform.node().encode()).digest(), np.uint8)
    return int(np.sum(np.all(multihost_utils.process_allgather(own) == own, axis=1)))
