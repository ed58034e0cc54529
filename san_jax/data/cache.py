"""A training set decoded once: its arrays in memory, and streams that take their batches out of them.

The streams give the batches that decoding gives, in the same order, and have the same state (`{"next_step": n}`), so a
run may go on with another kind of stream.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int32

from san_jax.data.iterator import BatchIterator
from san_jax.data.pipeline import Reader

_EXAMPLES_AT_A_TIME = 16  # that a worker decodes and hands over; some 5 MB with textures

Arrays = dict[str, np.ndarray]


def fill(reader: Reader, *, num_workers: int, report: Callable[[int], object]) -> Arrays:
    """Decode all examples of a stream.

    Args:
        reader: What the stream reads its batches with.
        num_workers: Processes that decode; 0 decodes in a thread of this one.
        report: Called with the number of examples that were decoded since the last call.

    Returns:
        The arrays of a batch that holds every example, in the order of the source.

    Raises:
        ValueError: An image cannot be decoded; its name is in the message.
    """
    count = len(reader.source)
    arrays = reader.empty(count)
    arrays |= reader.numbers
    chunks = BatchIterator(_ChunkReader(reader), num_steps=-(-count // _EXAMPLES_AT_A_TIME), num_workers=num_workers)
    try:
        for number, chunk in enumerate(chunks):
            first = number * _EXAMPLES_AT_A_TIME
            for key, values in chunk.items():
                arrays[key][first : first + len(values)] = values
            report(min(_EXAMPLES_AT_A_TIME, count - first))
    finally:
        chunks.close()
    return arrays


def batches(reader: Reader, arrays: Arrays) -> BatchIterator:
    """Return the stream's batches, taken out of arrays in this process's memory."""
    return BatchIterator(_HostReader(reader, arrays), num_steps=reader.feed.num_steps, num_workers=0)


def row_batches(reader: Reader) -> BatchIterator:
    """Return the rows of the stream's global batches, `{"rows": int32 [B]}`, for arrays that lie elsewhere."""
    return BatchIterator(_RowReader(reader), num_steps=reader.feed.num_steps, num_workers=0)


@dataclasses.dataclass(frozen=True, eq=False)
class _ChunkReader:
    reader: Reader

    def __call__(self, number: int) -> Arrays:
        first = number * _EXAMPLES_AT_A_TIME
        last = min(first + _EXAMPLES_AT_A_TIME, len(self.reader.source))
        batch = self.reader.read(np.arange(first, last))
        return {key: value for key, value in batch.items() if key not in self.reader.numbers}


@dataclasses.dataclass(frozen=True, eq=False)
class _HostReader:
    reader: Reader
    arrays: Arrays

    def __call__(self, step: int) -> Any:
        rows = self.reader.feed.rows_of(self.reader.draw(step))
        return {key: array[rows] for key, array in self.arrays.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class _RowReader:
    reader: Reader

    def __call__(self, step: int) -> dict[str, Int32[np.ndarray, " batch"]]:
        return {"rows": self.reader.draw(step).astype(np.int32)}
