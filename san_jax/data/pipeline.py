"""Batches for training and evaluation: examples -> decoded, resized uint8 arrays, in Grain workers.

An element of the Grain dataset is the whole batch of one step, and which examples it holds is a pure function of
(seed, step) (see `sampler`). The state of an iterator is therefore the number of the next step and nothing else: exact
at any moment, and the same for any number of workers or processes. All prefetching happens inside Grain; images stay
uint8, augmentation and normalisation run on the device (`augment`).
"""

import copy
import dataclasses
import functools
import gc
import io
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import grain
import numpy as np
from jaxtyping import Int, Int64, UInt8
from PIL import Image

from san_jax.data import sampler
from san_jax.pictures import resize_image
from san_jax.typing import EvalBatch, PitBatch, ReidBatch

# (height, width), one number for both, or None for nothing.
TargetSize: TypeAlias = int | tuple[int, int] | None

# A batch of 64 images and textures has 19 MB; two pipelines with four workers each hold some 25 of them.
_SHARED_MEMORY_NEEDED = 2**29


@runtime_checkable
class Source(Protocol):
    """Random access to examples, such as `tfds.data_source` returns.

    An example is a dict; images in it are uint8 [H W 3] RGB arrays or encoded bytes (JPEG, PNG). A TFDS source is read
    without TFDS's own decoding.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...


class BatchIterator(grain.DatasetIterator):
    """Iterates over the batches of steps `0 ... num_steps - 1`, from any of them.

    A Grain iterator, so Orbax saves and restores it; `get_state()` is `{"next_step": int}`, the step whose batch comes
    next, whatever has been prefetched. Close it (or let it go) to end its workers.
    """

    def __init__(self, read_batch: Callable[[int], Any], *, num_steps: int, num_workers: int):
        super().__init__()
        if num_workers < 0:
            raise ValueError(f"Expected num_workers of 0 (decode in this process) or more, found {num_workers}.")
        self._read_batch = read_batch
        self._num_steps = num_steps
        self._num_workers = num_workers
        self._next_step = 0
        self._iterator: list[grain.DatasetIterator] = []  # one at most, none before the first batch
        # Ends the workers when this object goes, at the latest before the interpreter does.
        weakref.finalize(self, _close, self._iterator, num_workers > 0)

    def __next__(self) -> Any:
        """The batch of the next step.

        Raises:
            StopIteration: All `num_steps` batches were given.
            ValueError: An image cannot be decoded (its name is in the message), or the iterator is closed.
            RuntimeError: The main script starts workers while it is imported.
        """
        self._assert_not_closed()
        if self._next_step >= self._num_steps:
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
        # What comes from a worker lies in shared memory, which must not outlive the iterator: JAX on CPU would alias it.
        return {key: np.array(value) if type(value) is not np.ndarray else value for key, value in batch.items()}

    def get_state(self) -> dict[str, Any]:
        """`{"next_step": int}`."""
        return {"next_step": self._next_step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to the step of a state that `get_state` gave.

        Raises:
            ValueError: The state is of another kind, or lies beyond `num_steps`.
        """
        step: Any = state.get("next_step")
        known = set(state) == {"next_step"} and isinstance(step, int | np.integer)
        if not known or not 0 <= step <= self._num_steps:
            raise ValueError(f"Expected {{'next_step': 0 to {self._num_steps}}}, found {state!r}.")
        _close(self._iterator, self._num_workers > 0)
        self._next_step = int(step)

    def close(self) -> None:
        """Ends the workers. Further `next` raises."""
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
            grain.MapDataset.range(first_step, self._num_steps)
            .map(self._read_batch)
            .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
        )
        if processes:
            _check_main_script(processes)
            _allow_unparsed_flags()
            options = grain.MultiprocessingOptions(num_workers=processes)
            dataset = dataset.mp_prefetch(options, worker_init_fn=_start_worker)
        return iter(dataset)


def reid_batches(
    source: Source,
    labels: Int[np.ndarray, " examples"],
    *,
    image_size: tuple[int, int],
    texture_size: TargetSize,
    num_identities: int,
    images_per_identity: int,
    seed: int,
    num_steps: int,
    num_workers: int,
    process_index: int = 0,
    process_count: int = 1,
    image: str = "image",
    target: str = "texture",
) -> BatchIterator:
    """P x K batches of a reID benchmark's train split, as `ReidBatch`.

    Args:
        source: Examples with the features that `image` and (unless `texture_size` is None) `target` name.
        labels: Label of each example, see `read_labels`.
        image_size: (height, width) that images are resized to.
        texture_size: Height and width (one number for both) that the decoder's targets are resized to; None for batches
            without `texture`.
        num_identities: P of the global batch.
        images_per_identity: K.
        seed: Seed of the order.
        num_steps: Number of batches.
        num_workers: Processes that decode; 0 decodes in a thread of this one.
        process_index: This process among those that train together (`jax.process_index()`).
        process_count: Their number; each loads its contiguous rows of the global batch.
        image: The feature that becomes the batch's `image`.
        target: The feature that becomes the batch's `texture`.

    Returns:
        An iterator over batches of P * K / process_count rows.

    Raises:
        ValueError: `labels` and `source` differ in length, examples lack a feature, or see `sampler`.
    """
    if len(labels) != len(source):
        raise ValueError(f"Expected a label for each of the {len(source)} examples, found {len(labels)}.")
    source = undecoded(source)
    features = _batch_features(image, image_size, target, texture_size)
    _check_features(source, tuple(key for key, _ in features.values()))
    batches = sampler.IdentitySampler.from_labels(
        labels, seed=seed, num_identities=num_identities, images_per_identity=images_per_identity
    )
    part = functools.partial(sampler.process_slice, process_index=process_index, process_count=process_count)
    part(batches.batch(0))  # raises here, not in a worker, where the batch does not divide
    reader = _ReidReader(source, labels.astype(np.int32), batches, part, features)
    return BatchIterator(reader, num_steps=num_steps, num_workers=num_workers)


def pit_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    texture_size: TargetSize,
    batch_size: int,
    seed: int,
    num_steps: int,
    num_workers: int,
    process_index: int = 0,
    process_count: int = 1,
    target: str = "texture",
) -> BatchIterator:
    """Batches of PIT pairs, as `PitBatch`.

    Args:
        source: Examples with `image` and (unless `texture_size` is None) the feature that `target` names.
        image_size: (height, width) that images are resized to.
        texture_size: As in `reid_batches`.
        batch_size: B of the global batch.
        seed: Seed of the order.
        num_steps: Number of batches.
        num_workers: Processes that decode; 0 decodes in a thread of this one.
        process_index: This process among those that train together.
        process_count: Their number; each loads its contiguous rows of the global batch.
        target: The feature that becomes the batch's `texture`.

    Returns:
        An iterator over batches of B / process_count rows.

    Raises:
        ValueError: No examples, examples lack a feature, or the batch does not divide among the processes.
    """
    source = undecoded(source)
    features = _batch_features("image", image_size, target, texture_size)
    _check_features(source, tuple(key for key, _ in features.values()))
    draw = functools.partial(sampler.shuffled_batch, len(source), seed=seed, batch_size=batch_size)
    part = functools.partial(sampler.process_slice, process_index=process_index, process_count=process_count)
    part(draw(step=0))
    reader = _PitReader(source, draw, part, features)
    return BatchIterator(reader, num_steps=num_steps, num_workers=num_workers)


class EvalBatches:
    """Batches of a whole split in its order, as `EvalBatch`; iterates any number of times.

    The last batch is padded with black images, ids -1 and `valid` False, so that all batches have one shape.

    Attributes:
        batch_size: Rows of a batch.
    """

    def __init__(self, source: Source, *, batch_size: int, image_size: tuple[int, int], num_workers: int = 0):
        if batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more, found {batch_size}.")
        self._source = undecoded(source)
        _check_features(self._source, ("image", "person_id", "camera_id"))
        self.batch_size = batch_size
        self._image_size = image_size
        self._num_workers = num_workers

    @property
    def num_examples(self) -> int:
        """Examples without padding."""
        return len(self._source)

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of the examples in order."""
        return read_names(self._source)

    def __len__(self) -> int:
        return -(-len(self._source) // self.batch_size)

    def __iter__(self) -> Iterator[EvalBatch]:
        reader = _EvalReader(self._source, self.batch_size, self._image_size)
        iterator = BatchIterator(reader, num_steps=len(self), num_workers=self._num_workers)
        try:
            yield from iterator
        finally:
            iterator.close()


def eval_batches(source: Source, *, batch_size: int, image_size: tuple[int, int], num_workers: int = 0) -> EvalBatches:
    """Batches of a query, gallery or train split in its order; see `EvalBatches`.

    Args:
        source: Examples with `image`, `person_id`, `camera_id` (and `name` for `.names`).
        batch_size: Rows of a batch, the last one padded.
        image_size: (height, width) that images are resized to.
        num_workers: Processes that decode; 0 decodes in a thread of this one.

    Raises:
        ValueError: No examples, or they lack a feature.
    """
    return EvalBatches(source, batch_size=batch_size, image_size=image_size, num_workers=num_workers)


def read_labels(source: Source) -> Int64[np.ndarray, " examples"]:
    """The `label` of each example, without decoding images."""
    source = undecoded(source)
    _check_features(source, ("label",))
    return np.asarray([source[index]["label"] for index in range(len(source))], dtype=np.int64)


def read_names(source: Source) -> list[str]:
    """The `name` of each example, without decoding images."""
    source = undecoded(source)
    _check_features(source, ("name",))
    return [_text(source[index]["name"]) for index in range(len(source))]


@dataclasses.dataclass(frozen=True, eq=False)
class _ReidReader:
    source: Source
    labels: np.ndarray
    batches: sampler.IdentitySampler
    part: Callable[[np.ndarray], np.ndarray]
    features: "_Features"

    def __call__(self, step: int) -> ReidBatch:
        indices = self.part(self.batches.batch(step))
        batch: Any = _read_images(self.source, indices, self.features)
        batch["label"] = self.labels[indices]
        return batch


@dataclasses.dataclass(frozen=True, eq=False)
class _PitReader:
    source: Source
    draw: Callable[..., np.ndarray]
    part: Callable[[np.ndarray], np.ndarray]
    features: "_Features"

    def __call__(self, step: int) -> PitBatch:
        batch: Any = _read_images(self.source, self.part(self.draw(step=step)), self.features)
        return batch


@dataclasses.dataclass(frozen=True, eq=False)
class _EvalReader:
    source: Source
    batch_size: int
    image_size: tuple[int, int]

    def __call__(self, step: int) -> EvalBatch:
        first = step * self.batch_size
        count = min(self.batch_size, len(self.source) - first)
        image = np.zeros((self.batch_size, *self.image_size, 3), np.uint8)
        person_id = np.full(self.batch_size, -1, np.int32)
        camera_id = np.full(self.batch_size, -1, np.int32)
        for row in range(count):
            example = _read_example(self.source, first + row)
            image[row] = _decode(example, "image", self.image_size, first + row)
            person_id[row] = example["person_id"]
            camera_id[row] = example["camera_id"]
        return EvalBatch(
            image=image, person_id=person_id, camera_id=camera_id, valid=np.arange(self.batch_size) < count
        )


# Key of a batch -> (feature of the examples, (height, width) that it is resized to).
_Features: TypeAlias = dict[str, tuple[str, tuple[int, int]]]


def _batch_features(image: str, image_size: tuple[int, int], target: str, target_size: TargetSize) -> _Features:
    features = {"image": (image, image_size)}
    if target_size is not None:
        size = (target_size, target_size) if isinstance(target_size, int) else target_size
        features["texture"] = (target, size)
    return features


def _read_images(
    source: Source, indices: np.ndarray, features: _Features
) -> dict[str, UInt8[np.ndarray, "batch height width 3"]]:
    arrays = {key: np.empty((len(indices), *size, 3), np.uint8) for key, (_, size) in features.items()}
    for row, index in enumerate(indices):
        example = _read_example(source, int(index))
        for key, (feature, size) in features.items():
            arrays[key][row] = _decode(example, feature, size, int(index))
    return arrays


def _read_example(source: Source, index: int) -> Any:
    try:
        return source[index]
    # Whatever a storage raises, say which example it was.
    except Exception as error:
        raise ValueError(f"Example {index} of {_describe(source)} cannot be read: {error}") from error


def _decode(example: Any, key: str, size: tuple[int, int], index: int) -> np.ndarray:
    value = example[key]
    try:
        if isinstance(value, bytes):
            with Image.open(io.BytesIO(value), formats=("JPEG", "PNG")) as image:
                return resize_image(image, size)
        return resize_image(Image.fromarray(value), size)
    # Pillow reports damaged files by several exception types.
    except Exception as error:
        name = _text(example["name"]) if "name" in example else "without a name"
        raise ValueError(f"The {key} of example {index} ({name}) cannot be decoded: {error}") from error


def undecoded(source: Source) -> Source:
    """The same TFDS source with its images left encoded; any other source as it is.

    `_decode` then knows the example's name when an image is damaged, and labels are read without decoding.
    """
    if not (hasattr(source, "dataset_info") and hasattr(source, "decoders")):
        return source
    import tensorflow_datasets as tfds  # loaded already: the source is its

    tfds_source: Any = copy.copy(source)
    features = tfds_source.dataset_info.features
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    tfds_source.decoders = {key: tfds.decode.SkipDecoding() for key in images}
    return tfds_source


def _check_features(source: Source, keys: tuple[str, ...]) -> None:
    if not len(source):
        raise ValueError(f"{_describe(source)} has no examples.")
    example = source[0]
    missing = [key for key in keys if key not in example]
    if missing:
        hint = ""
        if "texture" in missing:
            hint = " Textures are in `pit` and in `<benchmark>_textured`, which experiments.pseudo_texture writes."
        raise ValueError(
            f"Expected examples with {', '.join(keys)}; {_describe(source)} has {', '.join(sorted(example))} and lacks "
            f"{', '.join(missing)}.{hint}"
        )


def _describe(source: Source) -> str:
    """A source in messages: a TFDS source by its dataset and split."""
    info: Any = getattr(source, "dataset_info", None)
    if info is None:
        return f"a {type(source).__name__} of {len(source)} examples"
    return f"{info.full_name}, split {getattr(source, 'split', None)!r}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _close(iterators: list[grain.DatasetIterator], collect: bool) -> None:
    """Closes and drops the iterator in the list, if any. `collect` frees what it holds at once."""
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
    """Raises a RuntimeError in a worker that is still importing the main script, which starts workers itself.

    Python refuses that as well, but Grain's clean-up after the refusal fails, and its error is then the one that is seen.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            f"num_workers={num_workers} starts processes, and each of them first imports the script that was run. Put "
            'what the script does below `if __name__ == "__main__":`, or set num_workers=0.'
        )


def _allow_unparsed_flags() -> None:
    """Lets Grain start workers in a program that does not parse absl flags.

    Grain 0.2.18 reads a flag of its own there without falling back on the flag's default. This is no use of flags by
    this library: the flag is only marked as readable.
    """
    from absl import flags

    name = "grain_enable_multiprocess_worker_profiling"
    if not flags.FLAGS.is_parsed() and name in flags.FLAGS:
        flags.FLAGS[name].present = 1


def _start_worker(index: int, count: int) -> None:
    """Runs first in a worker: leaves Ctrl-C to the main process, and ends with it, even when that one is killed."""
    del index, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
