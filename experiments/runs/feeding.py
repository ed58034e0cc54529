"""Where a run's batches come from: decoded as they are needed, or once into the memory of the host or the accelerator.

The batches are the same, and so are the positions that checkpoints hold, so a run may go on with another choice.
"""

import contextlib
import dataclasses
import math
import pathlib

import jax
from jax.sharding import Mesh

from experiments.command_line.progress import progress
from experiments.runs.errors import Problems, RunError
from experiments.runs.plan import RunPlan
from experiments.runs.stopping import stop_signals
from experiments.runs.training_data import TrainingData
from san_jax import dispatch, sharding
from san_jax.data import cache
from san_jax.data.iterator import BatchIterator
from san_jax.data.pipeline import Reader

HOST_SHARE = 0.25  # of the memory that is available; the processes that decode and other programs need some too
DEVICE_SHARE = 0.4  # of the memory that is free before the first step; the step needs the rest
MAX_STEPS_PER_DISPATCH = 10


@dataclasses.dataclass(frozen=True)
class Feeding:
    """The streams of a run, and what they point into.

    Attributes:
        streams: An iterator for each kind of batch: of batches, or with a set in device memory of their rows.
        device_data: The training set of each kind in device memory; empty where it is not there.
        split: Whether its rows are split over the devices.
        words: Where batches come from, for the log.
    """

    streams: dict[str, BatchIterator]
    device_data: dict[str, dict[str, jax.Array]]
    split: bool
    words: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """Where the decoded training set is kept.

    Attributes:
        place: "device", "host" or "none".
        split: With "device": whether its rows are split over the devices.
        words: The same for the log, with the reason.
    """

    place: str
    split: bool
    words: str


def choose(plan: RunPlan, data: TrainingData, mesh: Mesh, *, steps_left: int) -> Choice:
    """Choose where the decoded training set is kept.

    "auto" keeps it if the rest of the run reads an example twice or more on average: in accelerator memory where it
    fits there, otherwise in the memory of the host. On a CPU they are the same, and the host's is taken.

    Args:
        plan: What is trained; `plan.data_cache` says what is wanted.
        data: The data, opened.
        mesh: The devices.
        steps_left: Steps until the end of the run.

    Raises:
        RunError: The set is to be kept where it does not fit.
    """
    asked = plan.data_cache
    size = sum(stream.read_batch.decoded_bytes for stream in data.streams.values())
    words = f"decoded training set {_gib(size)}"
    if asked == "none":
        return Choice("none", False, "batches are decoded as they are needed")
    if asked == "auto" and not _is_read_twice(plan, data, steps_left):
        return Choice("none", False, "batches are decoded as they are needed: few examples are read twice")
    host, device = _host_bytes(), _device_bytes(mesh)
    # While a set is on its way to the devices it is in the host's memory.
    on_device = asked == "device" or (asked == "auto" and mesh.devices.flat[0].platform != "cpu")
    if on_device:
        for split in (False, True):
            needed = size / mesh.size if split else size
            if _on_all(needed <= DEVICE_SHARE * device and (asked == "device" or size <= 2 * HOST_SHARE * host)):
                kept = f"split over {mesh.size} devices" if split else "on each device"
                return Choice("device", split, f"{words}: kept in device memory, {kept}")
    if asked != "device" and _on_all(size <= HOST_SHARE * host):
        return Choice("host", False, f"{words}: kept in host memory")
    if asked == "auto":
        return Choice("none", False, f"{words}: too large to be kept, batches are decoded as they are needed")
    share, free = (DEVICE_SHARE, device * mesh.size) if asked == "device" else (HOST_SHARE, host)
    raise RunError(
        f"data_cache={asked}: the decoded training set has {_gib(size)}, and {share:.0%} of the {_gib(free)} that are free "
        "may be used for it. Set data_cache to 'auto', or use smaller images."
    )


def prepare(plan: RunPlan, data: TrainingData, mesh: Mesh, choice: Choice) -> Feeding:
    """Return the streams of batches; decode the training set first if it is to be kept.

    Args:
        plan: What is trained.
        data: The data, opened.
        mesh: The devices.
        choice: Where the set is kept, from `choose`.

    Raises:
        RunError: An image cannot be decoded; its name is in the message.
        SystemExit: SIGINT or SIGTERM came while the set was decoded; the message says how to go on.
    """
    if choice.place == "none":
        return Feeding(data.streams, {}, False, choice.words)
    readers = {kind: stream.read_batch for kind, stream in data.streams.items()}
    decoded = _decode(readers, num_workers=plan.num_workers)
    streams, device_data = {}, {}
    for kind, reader in readers.items():
        arrays = decoded.pop(kind)
        if choice.place == "host":
            streams[kind] = cache.batches(reader, arrays)
        else:
            streams[kind] = cache.row_batches(reader)
            device_data[kind] = dispatch.place(arrays, mesh, split=choice.split)
    return Feeding(streams, device_data, choice.split, choice.words)


class _StoppedError(Exception):
    """A signal came."""


def _decode(readers: dict[str, Reader], *, num_workers: int) -> dict[str, cache.Arrays]:
    """Decode the training set of each kind; what keeps one process from it, or a signal to one, ends all."""
    problems, decoded = Problems(), {}
    total = sum(len(reader.source) for reader in readers.values())
    with (
        stop_signals("the images at hand") as received,
        progress("decodes the training set", total=total, done=0, unit="example") as step,
        contextlib.suppress(_StoppedError),
    ):

        def report(count: int) -> None:
            for _ in range(count):
                step()
            if received:
                raise _StoppedError

        def fill_all() -> None:
            for kind, reader in readers.items():
                decoded[kind] = cache.fill(reader, num_workers=num_workers, report=report)

        problems.take("data", fill_all)
    problems.check_everywhere()
    if sharding.on_any_process(bool(received)):
        raise SystemExit(
            f"{received[0] if received else 'Another process'}: stopped while the training set was decoded, before the "
            "first step. Run the same command again to go on."
        )
    return decoded


def steps_per_dispatch(plan: RunPlan, feeding: Feeding, mesh: Mesh) -> int:
    """Return how many steps are done in one call: whole cycles of `batch_kinds`, or 1."""
    if not feeding.device_data:
        return 1
    cycle = len(plan.batch_kinds)
    if plan.steps_per_dispatch:
        return plan.steps_per_dispatch // cycle * cycle or 1
    if mesh.devices.flat[0].platform == "cpu":
        return 1  # XLA runs what is inside a loop on one core
    lengths = range(cycle, MAX_STEPS_PER_DISPATCH + 1, cycle)
    return max((length for length in lengths if plan.length.log_every % length == 0), default=1)


def _is_read_twice(plan: RunPlan, data: TrainingData, steps_left: int) -> bool:
    kinds = plan.batch_kinds
    read = {kind: steps_left * kinds.count(kind) / len(kinds) * plan.batch_size(kind) for kind in data.streams}
    return all(read[kind] >= 2 * len(stream.read_batch.source) for kind, stream in data.streams.items())


def _on_all(fits: bool) -> bool:
    """Whether it fits on every process, so that all choose the same."""
    return not sharding.on_any_process(not fits)


def _host_bytes() -> float:
    """Memory that this process may take: what the machine and the container leave, shared by the processes on it."""
    free = [math.inf]
    for line in _lines("/proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            free.append(int(value.split()[0]) * 1024)
    limit, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0].isdigit():
        free.append(max(0, int(limit[0]) - int(used[0])))
    return min(free)


def _lines(path: str) -> list[str]:
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []


def _device_bytes(mesh: Mesh) -> float:
    """Free memory of the fullest device of this process; infinite where the backend does not say."""
    free = [math.inf]
    for device in mesh.local_devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            free.append(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return min(free)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
