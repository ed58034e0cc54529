"""The nearest of a gallery that is too large for memory and comes in blocks, exactly: no index, nothing approximated."""

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float32, Int64, Real

from san_jax.ranking.distances import distance_blocks
from san_jax.typing import Array

ROWS = 8192
NONE = -1  # index where a query has fewer neighbours than asked for


class Nearest:
    """The nearest neighbours of queries among the embeddings that were added so far.

    Equal distances are ordered by index, as everywhere in `san_jax.ranking`. Embeddings are compared `rows` at a time,
    whatever the blocks in which they come: a matrix product of another size rounds otherwise, and copies of a picture
    would be at different distances.

    Args:
        queries: Embeddings [Q D], finite.
        count: How many neighbours of each query are kept.
        metric: "euclidean" or "cosine".
        rows: Embeddings that are compared at a time; fewer are filled up.
        mesh: Devices of this process that share the queries; None for the default device.

    Attributes:
        indices: int64 [Q count], nearest first: numbers of the embeddings, counted from 0 as they were added; `NONE`
            where there are fewer.
        distances: float32 [Q count], infinite where there are fewer.
        added: Number of embeddings that were added.

    Raises:
        ValueError: `count` is less than 1, or there are no queries.
    """

    indices: Int64[np.ndarray, "query count"]
    distances: Float32[np.ndarray, "query count"]

    def __init__(
        self,
        queries: Real[Array, "query dim"],
        count: int,
        *,
        metric: str = "euclidean",
        rows: int = ROWS,
        mesh: Mesh | None = None,
    ) -> None:
        if count < 1 or not len(queries):
            raise ValueError(f"expected at least one neighbour of at least one query, found {count} of {len(queries)}.")
        self._queries, self._metric, self._rows, self._mesh = queries, metric, rows, mesh
        self.indices = np.full((len(queries), count), NONE, np.int64)
        self.distances = np.full((len(queries), count), np.inf, np.float32)
        self.added = 0

    def add(
        self, embeddings: Real[Array, "block dim"], excluded: Bool[np.ndarray, "query block"] | None = None
    ) -> None:
        """Look for neighbours among further embeddings.

        Args:
            embeddings: Embeddings [B D], finite.
            excluded: Which embeddings are no neighbours of which query, though they are counted.

        Raises:
            ValueError: As `san_jax.ranking.pairwise_distances`; indices in the message count from the start of the
                `rows` that were compared.
        """
        for start in range(0, len(embeddings), self._rows):
            part = slice(start, start + self._rows)
            self._add(embeddings[part], None if excluded is None else excluded[:, part])

    def _add(self, embeddings: Real[Array, "part dim"], excluded: Bool[np.ndarray, "query part"] | None) -> None:
        """Look for neighbours among at most `rows` further embeddings."""
        # The rows after the last one are the last one again, and are not looked at.
        padded = embeddings[np.minimum(np.arange(self._rows), len(embeddings) - 1)]
        try:
            blocks = distance_blocks(self._queries, padded, metric=self._metric, mesh=self._mesh)
        except ValueError:  # say it of the embeddings that were given
            distance_blocks(self._queries, embeddings, metric=self._metric, mesh=self._mesh)
            raise
        first = 0
        for block in blocks:
            queries = slice(first, first + len(block))
            distances = block[:, : len(embeddings)]
            if excluded is not None:
                distances = np.where(excluded[queries], np.float32(np.inf), distances)
            self._merge(queries, distances)
            first += len(block)
        self.added += len(embeddings)

    def _merge(self, queries: slice, distances: Float32[np.ndarray, "some block"]) -> None:
        """Take what is nearer than the farthest neighbour of its query so far."""
        known, count = self.distances[queries], self.distances.shape[1]
        bound = known[:, -1:]
        if distances.shape[1] > count and np.isinf(bound).any():  # at first, when nearly all would be candidates
            bound = np.minimum(bound, np.nextafter(np.partition(distances, count - 1)[:, count - 1 : count], np.inf))
        query, place = np.nonzero(distances < bound)
        if not len(query):
            return
        rows = np.arange(len(known))
        query = np.concatenate([np.repeat(rows, count), query])
        near = np.concatenate([known.ravel(), distances[query[known.size :], place]])
        index = np.concatenate([self.indices[queries].ravel(), self.added + place])
        order = np.lexsort((index, near, query))
        starts = np.searchsorted(query[order], rows)
        best = order[starts[:, None] + np.arange(count)]
        self.distances[queries], self.indices[queries] = near[best], index[best]
