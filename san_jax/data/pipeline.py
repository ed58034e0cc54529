"""Batches for training and evaluation: examples -> decoded, resized uint8 arrays.

Which examples a training batch holds is a pure function of (seed, step), see `sampler`; `iterator` reads the batches
ahead. Images stay uint8: augmentation and normalisation run on the device (`augment`).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int, UInt8

from san_jax.counts import count
from san_jax.data import sampler
from san_jax.data.iterator import BatchIterator
from san_jax.data.reading import Source, check_features, decode, read_example, read_names, undecoded
from san_jax.typing import EvalBatch, PitBatch, ReidBatch

# (height, width), or one number for both.
TargetSize: TypeAlias = int | tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Feed:
    """How the batches of a run are made, whatever they hold.

    Attributes:
        image_size: (height, width) that images are resized to.
        seed: Seed of the order of examples.
        num_steps: Number of batches.
        num_workers: Processes that decode; 0 decodes in a thread of this one.
        process_index: Number of this process among those that train together (`jax.process_index()`).
        process_count: Number of processes that train together; each loads its contiguous rows of the global batch.
    """

    image_size: tuple[int, int]
    seed: int
    num_steps: int
    num_workers: int
    process_index: int = 0
    process_count: int = 1

    def rows_of(self, indices: Int[np.ndarray, " batch"]) -> Int[np.ndarray, " local_batch"]:
        """Return the examples of a global batch that this process loads."""
        return sampler.process_slice(indices, process_index=self.process_index, process_count=self.process_count)


@dataclasses.dataclass(frozen=True)
class TargetFeature:
    """What the decoder reconstructs, as a batch's `texture`.

    Attributes:
        feature: Name of the examples' feature that becomes the batch's `texture`.
        size: Height and width (one number for both) that it is resized to; None where the target is the image itself:
            batches then have no `texture`.
    """

    feature: str
    size: TargetSize | None


# Key of a batch -> (feature of the examples, (height, width) that it is resized to).
_Features: TypeAlias = dict[str, tuple[str, tuple[int, int]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """Reads the batch of a step; what a training stream calls, in its workers or in a thread.

    Attributes:
        source: The examples, images encoded.
        numbers: Key of a batch -> its number for each example, int32: `label` for batches with identities, `camera_id`
            where it is asked for.
        draw: The examples of a step's global batch.
        feed: How the batches are made.
        features: What of an example becomes which array of a batch, and its size.
    """

    source: Source
    numbers: Mapping[str, np.ndarray]
    draw: Callable[[int], np.ndarray]
    feed: Feed
    features: _Features

    def __call__(self, step: int) -> ReidBatch | PitBatch:
        """Return this process's rows of a step's batch."""
        return self.read(self.feed.rows_of(self.draw(step)))

    def read(self, indices: Int[np.ndarray, " batch"]) -> Any:
        """Return examples as a batch."""
        batch: dict[str, np.ndarray] = self.empty(len(indices))
        for row, index in enumerate(indices):
            example = read_example(self.source, int(index))
            for key, (feature, size) in self.features.items():
                batch[key][row] = decode(example, feature, size, int(index))
        return batch | {key: numbers[indices] for key, numbers in self.numbers.items()}

    def empty(self, rows: int) -> dict[str, UInt8[np.ndarray, "batch height width 3"]]:
        """Return arrays for the images of so many rows, not filled."""
        return {key: np.empty((rows, *size, 3), np.uint8) for key, (_, size) in self.features.items()}

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all examples as a batch holds them, numbers aside."""
        return len(self.source) * sum(3 * height * width for _, (height, width) in self.features.values())


def reid_batches(
    source: Source,
    labels: Int[np.ndarray, " examples"],
    *,
    num_identities: int,
    images_per_identity: int,
    feed: Feed,
    image: str = "image",
    target: TargetFeature | None = None,
    cameras: Int[np.ndarray, " cameras"] | None = None,
) -> BatchIterator:
    """Return P x K batches of a reID benchmark's train split, as `ReidBatch`.

    Args:
        source: Examples with the features that `image` and `target` name.
        labels: Label of each example, see `reading.read_labels`.
        num_identities: P of the global batch.
        images_per_identity: K of the global batch.
        feed: How the batches are made.
        image: Name of the feature that becomes the batch's `image`.
        target: What the decoder reconstructs; None without a decoder: batches then have no `texture`.
        cameras: Camera of each example, see `reading.read_cameras`; None for batches without `camera_id`.

    Returns:
        An iterator over batches of P * K / process_count rows.

    Raises:
        ValueError: `labels` or `cameras` and `source` differ in length, examples lack a feature, the batch does not
            divide among the processes, or there are no identities (see `sampler.IdentitySampler.from_labels`).
    """
    for name, given in (("label", labels), ("camera", cameras)):
        if given is not None and len(given) != len(source):
            raise ValueError(f"Expected a {name} for each of the {count(len(source), 'example')}, found {len(given)}.")
    source = undecoded(source)
    features = _batch_features(image, feed, target)
    check_features(source, tuple(key for key, _ in features.values()))
    batches = sampler.IdentitySampler.from_labels(
        labels, seed=feed.seed, num_identities=num_identities, images_per_identity=images_per_identity
    )
    feed.rows_of(batches.batch(0))  # raises here, not in a worker, where the batch does not divide
    numbers = {"label": labels.astype(np.int32)}
    if cameras is not None:
        numbers["camera_id"] = cameras.astype(np.int32)
    reader = Reader(source, numbers, batches.batch, feed, features)
    return BatchIterator(reader, num_steps=feed.num_steps, num_workers=feed.num_workers)


def pit_batches(source: Source, *, batch_size: int, feed: Feed, target: TargetFeature) -> BatchIterator:
    """Return batches of PIT pairs, as `PitBatch`.

    Args:
        source: Examples with `image` and the feature that `target` names.
        batch_size: Rows of the global batch.
        feed: How the batches are made.
        target: What the decoder reconstructs.

    Returns:
        An iterator over batches of batch_size / process_count rows.

    Raises:
        ValueError: No examples, examples lack a feature, or the batch does not divide among the processes.
    """
    source = undecoded(source)
    features = _batch_features("image", feed, target)
    check_features(source, tuple(key for key, _ in features.values()))
    draw = functools.partial(_draw_pairs, len(source), feed.seed, batch_size)
    feed.rows_of(draw(0))  # raises here, not in a worker, where the batch does not divide
    reader = Reader(source, {}, draw, feed, features)
    return BatchIterator(reader, num_steps=feed.num_steps, num_workers=feed.num_workers)


def _draw_pairs(num_examples: int, seed: int, batch_size: int, step: int) -> np.ndarray:
    return sampler.shuffled_batch(num_examples, step=step, seed=seed, batch_size=batch_size)


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
        check_features(self._source, ("image", "person_id", "camera_id"))
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
            example = read_example(self.source, first + row)
            image[row] = decode(example, "image", self.image_size, first + row)
            person_id[row] = example["person_id"]
            camera_id[row] = example["camera_id"]
        return EvalBatch(
            image=image, person_id=person_id, camera_id=camera_id, valid=np.arange(self.batch_size) < count
        )


def _batch_features(image: str, feed: Feed, target: TargetFeature | None) -> _Features:
    features = {"image": (image, feed.image_size)}
    if target is not None and target.size is not None:
        size = (target.size, target.size) if isinstance(target.size, int) else target.size
        features["texture"] = (target.feature, size)
    return features
