"""Which examples make up the batch of a step: pure functions of (seed, step).

Batches have P identities x K images, as batch-hard mining needs them (Hermans et al., "In Defense of the Triplet Loss",
2017); the released code has 16 x 4, the paper names no batch. Nothing here keeps a state: a run that is resumed, or
split over another number of workers or processes, sees the same global batches.

An epoch is a permutation that is cut into batches. Its last batch is filled up from the beginning of the same
permutation: an epoch shows everything at least once, and a batch shows nothing twice unless there is too little of it.
"""

import dataclasses

import numpy as np
from jaxtyping import Int, Int64

# Purposes of random streams: no two of them share a seed sequence.
_IDENTITY_ORDER, _IMAGE_ORDER, _EXTRA_IMAGE_ORDER, _EXAMPLE_ORDER = range(4)


@dataclasses.dataclass(frozen=True, eq=False)
class IdentitySampler:
    """P x K batches over labelled images.

    Each epoch shows every identity at least once, in an order of its own; the P identities of a batch are distinct if
    there are as many, else a batch shows each of them as often as the others or once more, with other images. An
    identity shows all of its images, K a visit, before it shows one again; one with n < K images shows each
    of them floor(K / n) times or once more.

    Attributes:
        groups: For each label in increasing order, the indices of its images.
        seed: Any integer from 0.
        num_identities: P, the visits of identities in a batch.
        images_per_identity: K, the images of each.
    """

    groups: list[np.ndarray]
    seed: int
    num_identities: int
    images_per_identity: int

    @classmethod
    def from_labels(
        cls, labels: Int[np.ndarray, " examples"], *, seed: int, num_identities: int, images_per_identity: int
    ) -> "IdentitySampler":
        """Group images by label.

        Args:
            labels: Label of each example, from 0; labels need not be contiguous.
            seed: Seed of the order.
            num_identities: P.
            images_per_identity: K.

        Raises:
            ValueError: No label, a negative one, or P or K below 1.
        """
        if num_identities < 1 or images_per_identity < 1:
            raise ValueError(
                f"Expected at least 1 identity a batch and 1 image of each, found num_identities={num_identities} and "
                f"images_per_identity={images_per_identity}."
            )
        _check_labels(labels)
        order = np.argsort(labels, kind="stable").astype(np.int64)
        found, starts = np.unique(labels[order], return_index=True)
        if not len(found):
            raise ValueError("Expected labelled images, found none.")
        return cls(np.split(order, starts[1:]), seed, num_identities, images_per_identity)

    def batch(self, step: int) -> Int64[np.ndarray, " batch"]:
        """Return the example indices [P * K] of a step's global batch; K consecutive ones share an identity."""
        epoch, position, identities = _visit(len(self.groups), self.num_identities, step)
        order = _rng(self.seed, _IDENTITY_ORDER, epoch).permutation(len(self.groups))
        rows = []
        for offset, identity in enumerate(order[identities]):
            # 0 for the visit that walks on, from 1 for those that fill up the batch.
            again = (position + offset) // len(self.groups)
            rows.append(self._images(int(identity), epoch, again))
        return np.concatenate(rows)

    def _images(self, identity: int, epoch: int, again: int) -> np.ndarray:
        """Return K images of an identity, for its visit in an epoch.

        Its visits, one an epoch, walk through permutations of its images. `again` counts the further visits of an
        identity that fills up the epoch's last batch; they walk through a permutation of their own, so that they leave
        no gap in the walk.
        """
        images = self.groups[identity]
        if again:
            first = (again - 1) * self.images_per_identity
            chosen = np.arange(first, first + self.images_per_identity) % len(images)
            return images[_rng(self.seed, _EXTRA_IMAGE_ORDER, identity, epoch).permutation(len(images))[chosen]]
        walk, _, chosen = _visit(len(images), self.images_per_identity, epoch)
        return images[_rng(self.seed, _IMAGE_ORDER, identity, walk).permutation(len(images))[chosen]]


def number_classes(labels: Int[np.ndarray, " examples"]) -> tuple[Int64[np.ndarray, " examples"], int]:
    """Number the labels of a training split from 0 without gaps, in increasing order.

    The builders of this project do so already. Another program's dataset may keep the original numbers of its persons;
    a classifier with an output for every number up to the largest would have outputs without images, or not fit into
    memory.

    Args:
        labels: Label of each example, from 0.

    Returns:
        The class of each example, and the number of classes.

    Raises:
        ValueError: A negative label.
    """
    _check_labels(labels)
    found, classes = np.unique(labels, return_inverse=True)
    return classes.astype(np.int64, copy=False), len(found)


def _check_labels(labels: Int[np.ndarray, " examples"]) -> None:
    """Raise a ValueError for a negative label."""
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"Expected labels from 0, found {labels.min()}: query and gallery splits have no labels (-1); "
            "train on the split 'train'."
        )


def shuffled_batch(num_examples: int, *, step: int, seed: int, batch_size: int) -> Int64[np.ndarray, " batch"]:
    """Return the global batch of a step without identities (PIT).

    Each epoch is a permutation of all examples; a batch repeats none unless there are fewer than `batch_size`.

    Args:
        num_examples: Number of examples, at least 1.
        step: Step from 0.
        seed: Seed of the order.
        batch_size: Rows of the global batch.

    Returns:
        Example indices [batch_size].

    Raises:
        ValueError: No examples, or a batch size below 1.
    """
    if num_examples < 1 or batch_size < 1:
        raise ValueError(f"Expected at least 1 example and batch size 1, found {num_examples} and {batch_size}.")
    epoch, _, chosen = _visit(num_examples, batch_size, step)
    return _rng(seed, _EXAMPLE_ORDER, epoch).permutation(num_examples)[chosen]


def process_slice(
    indices: Int[np.ndarray, " batch"], process_index: int, process_count: int
) -> Int[np.ndarray, " local_batch"]:
    """Return the rows of a global batch that one process loads, the `process_index`-th of `process_count` equal runs.

    Raises:
        ValueError: The batch does not divide by the number of processes, or there is no such process.
    """
    if not 0 <= process_index < process_count:
        raise ValueError(f"Expected a process index from 0 to {process_count - 1}, found {process_index}.")
    if len(indices) % process_count:
        raise ValueError(
            f"A global batch of {len(indices)} does not divide among {process_count} processes; "
            "choose a batch size that is a multiple of their number."
        )
    size = len(indices) // process_count
    return indices[process_index * size : (process_index + 1) * size]


def _visit(length: int, size: int, number: int) -> tuple[int, int, np.ndarray]:
    """Cut permutations of `length` into pieces of `size`, the last one filled up from the permutation's beginning.

    Returns:
        The number of the permutation that piece `number` is cut from, where in it the piece begins, and the piece's
        positions [size].
    """
    pieces = -(-length // size)
    position = number % pieces * size
    return number // pieces, position, np.arange(position, position + size) % length


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))
