"""Iterator over the batches of a run's steps, read ahead in Grain workers; its state is the number of the next step.

What a batch holds is a pure function of its step (see `sampler`). The state is therefore exact at any moment, and the
same for any number of workers or processes. All prefetching happens inside Grain.
"""

import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

import grain
import numpy as np

# A batch of 64 images and textures has 19 MB; two pipelines with four workers each hold some 25 of them.
_SHARED_MEMORY_NEEDED = 2**29


class BatchIterator(grain.DatasetIterator):
    """Iterates over the batches of steps `0 ... num_steps - 1`, from any of them.

    A Grain iterator, so Orbax saves and restores it; `get_state()` is `{"next_step": int}`, the step whose batch comes
    next, whatever has been prefetched. Close it (or let it go) to end its workers.

    Attributes:
        read_batch: Gives the batch of a step.
        num_steps: Number of batches.
    """

    def __init__(self, read_batch: Callable[[int], Any], *, num_steps: int, num_workers: int):
        super().__init__()
        if num_workers < 0:
            raise ValueError(f"Expected num_workers of 0 (decode in this process) or more, found {num_workers}.")
        self.read_batch: Any = read_batch
        self.num_steps = num_steps
        self._num_workers = num_workers
        self._next_step = 0
        self._iterator: list[grain.DatasetIterator] = []  # one at most, none before the first batch
        # Ends the workers when this object goes, at the latest before the interpreter does.
        weakref.finalize(self, _close, self._iterator, num_workers > 0)

    def __next__(self) -> Any:
        """Return the batch of the next step.

        Raises:
            StopIteration: All `num_steps` batches were given.
            ValueError: An image cannot be decoded (its name is in the message), or the iterator is closed.
            RuntimeError: The main script starts workers while it is imported.
        """
        self._assert_not_closed()
        if self._next_step >= self.num_steps:
            raise StopIteration
        if not self._iterator:
            self._iterator.append(self._start(self._next_step))
        try:
            batch = next(self._iterator[0])
        except BaseException:
            # Grain's iterator ends after an error; asked again, this one fails again and skips nothing.
            _close(self._iterator, self._num_workers > 0)
            raise
        self._next_step += 1
        # A worker's arrays lie in shared memory, which must not outlive the iterator: JAX on CPU would alias it.
        return {key: np.array(value) if type(value) is not np.ndarray else value for key, value in batch.items()}

    def get_state(self) -> dict[str, Any]:
        """Return `{"next_step": int}`."""
        return {"next_step": self._next_step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to the step of a state that `get_state` returned.

        Raises:
            ValueError: The state is of another kind, or lies beyond `num_steps`.
        """
        step: Any = state.get("next_step")
        known = set(state) == {"next_step"} and isinstance(step, int | np.integer)
        if not known or not 0 <= step <= self.num_steps:
            raise ValueError(f"Expected {{'next_step': 0 to {self.num_steps}}}, found {state!r}.")
        _close(self._iterator, self._num_workers > 0)
        self._next_step = int(step)

    def close(self) -> None:
        """End the workers. Further `next` raises."""
        super().close()
        _close(self._iterator, self._num_workers > 0)

    def __del__(self) -> None:
        # Grain's closes here, which is too late where the interpreter is going; the finalizer of __init__ has done it.
        pass

    def _start(self, first_step: int) -> grain.DatasetIterator:
        processes, threads = self._num_workers, 1
        if processes and not _shared_memory_is_ample():
            processes, threads = 0, self._num_workers
        # The defaults of ReadOptions would hold 500 batches; one in the making is enough to overlap with the device.
        dataset = (
            grain.MapDataset.range(first_step, self.num_steps)
            .map(self.read_batch)
            .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
        )
        if processes:
            _check_main_script(processes)
            _allow_unparsed_flags()
            options = grain.MultiprocessingOptions(num_workers=processes)
            dataset = dataset.mp_prefetch(options, worker_init_fn=_start_worker)
        return iter(dataset)


def _close(iterators: list[grain.DatasetIterator], collect: bool) -> None:
    """Close and drop the iterator in the list, if any. `collect` frees what it holds at once."""
    if iterators:
        iterators.pop().close()
        if collect:
            # Batches that wait in Grain's buffers hold shared memory, and are part of reference cycles.
            gc.collect()


def _shared_memory_is_ample() -> bool:
    """Whether workers can hand over batches in /dev/shm, where Grain puts them.

    Containers often give it 64 MiB, and a worker that writes beyond the end dies by SIGBUS without a message. Threads
    decode then: slower, for Pillow holds the interpreter part of the time.
    """
    try:
        status = os.statvfs("/dev/shm")
        free = status.f_bavail * status.f_frsize
    except OSError:
        free = 0
    if free >= _SHARED_MEMORY_NEEDED:
        return True
    logging.getLogger(__name__).warning(
        "/dev/shm has %d MiB free, decoding workers need %d: decoding in threads. In Docker, start with --shm-size=2g.",
        free >> 20,
        _SHARED_MEMORY_NEEDED >> 20,
    )
    return False


def _check_main_script(num_workers: int) -> None:
    """Raise a RuntimeError in a worker that is still importing the main script, which starts workers itself.

    Python refuses that as well, but Grain's clean-up after the refusal fails, and its error is then the one that is
    seen.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            f"num_workers={num_workers} starts processes, and each of them first imports the script that was run. Put "
            'what the script does below `if __name__ == "__main__":`, or set num_workers=0.'
        )


def _allow_unparsed_flags() -> None:
    """Let Grain start workers in a program that does not parse absl flags.

    Grain 0.2.18 reads a flag of its own there without falling back on the flag's default. This is no use of flags by
    this library: the flag is only marked as readable.
    """
    from absl import flags

    name = "grain_enable_multiprocess_worker_profiling"
    if not flags.FLAGS.is_parsed() and name in flags.FLAGS:
        flags.FLAGS[name].present = 1


def _start_worker(index: int, count: int) -> None:
    """Make a new worker leave Ctrl-C to the main process and end with it, even when that one is killed."""
    del index, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
