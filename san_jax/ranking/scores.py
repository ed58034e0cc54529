"""Scores of a ranking: CMC, mAP and mINP by the Market-1501 rule (the metrics of every table of the paper).

For each query the gallery images of the same identity *and* the same camera are dropped; what is left is ranked by
distance, equal distances by gallery index, so that a result never depends on a sorting algorithm. A query without a
correct match in what is left is skipped.

The scores need the ranks of the correct images only, and these are counted, not sorted: an image's rank is one more
than the number of images before it. The comparisons run on the devices (axis `data` of a mesh; each has its rows of a
block of distances), and only some blocks of distances are in memory at a time. Counts are exact, so scores depend on
blocks and devices by the rounding of the distances only; precisions are summed in float64 on the host.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float64, Int, Int32, Real

from san_jax.ranking.distances import ROWS, default_mesh, device_distances
from san_jax.ranking.k_reciprocal import reranked_blocks
from san_jax.ranking.labels import Labels, Numbers, Sides
from san_jax.ranking_settings import AVERAGE_PRECISIONS, KReciprocal
from san_jax.sharding import AXIS, batch_sharding
from san_jax.typing import Array

# Correct images of one query compared with its row at a time, and how many such groups at a time.
_GROUP_SIZE, _GROUPS = 8, 4


@dataclasses.dataclass(frozen=True)
class RankingResult:
    """Scores of one evaluation, fractions in [0, 1].

    Attributes:
        cmc: rank k -> fraction of the valid queries with a correct match among their first k.
        mean_ap: Mean over valid queries of AP (see `evaluate_ranking`).
        mean_inp: Mean over valid queries of (number of correct matches) / (rank of the last one).
        num_valid_queries: Queries with at least one correct match; the others count nowhere.
    """

    cmc: dict[int, float]
    mean_ap: float
    mean_inp: float
    num_valid_queries: int


def evaluate_ranking(
    query_embeddings: Real[Array, "query dim"],
    gallery_embeddings: Real[Array, "gallery gallery_dim"],
    query_ids: Numbers,
    gallery_ids: Numbers,
    query_cameras: Numbers,
    gallery_cameras: Numbers,
    *,
    ranks: Sequence[int] = (1, 5, 10),
    metric: str = "euclidean",
    average_precision: str = "standard",
    rerank: KReciprocal | None = None,
    mesh: Mesh | None = None,
) -> RankingResult:
    """Score a ranking of the gallery by embeddings, by the Market-1501 rule.

    Memory beyond the embeddings stays bounded: distances are computed for some queries at a time.

    Args:
        query_embeddings: Embeddings [Q D], finite.
        gallery_embeddings: Embeddings [G D], finite.
        query_ids: Identities [Q], integers.
        gallery_ids: Identities [G], integers.
        query_cameras: Cameras [Q], integers.
        gallery_cameras: Cameras [G], integers.
        ranks: The k of the CMC, each in 1..G.
        metric: "euclidean" or "cosine".
        average_precision: With m correct matches at ranks r_1 < ... < r_m, AP is the mean over k of
            "standard": the precision k / r_k at the match;
            "trapezoidal": the mean of that and the precision before the match, (k - 1) / (r_k - 1), or 1 where
            r_k = 1 (`compute_AP.m` of the Market-1501 authors).
        rerank: Settings of a re-ranking by k-reciprocal neighbours; None for none.
        mesh: Devices of this process that share the queries; None for the default device.

    Raises:
        ValueError: Lengths or dimensions differ, an embedding is none that `pairwise_distances` takes, a label is not
            an integer, a rank is outside 1..G, the metric or the average precision is unknown, or no query has a
            correct match.
    """
    check_average_precision(average_precision)
    counts = len(query_embeddings), len(gallery_embeddings)
    identities, cameras = Sides(query_ids, gallery_ids), Sides(query_cameras, gallery_cameras)
    labels = Labels.create(counts, identities, cameras, ranks=ranks)
    mesh = default_mesh(mesh)
    if rerank is None:
        blocks = device_distances(query_embeddings, gallery_embeddings, metric=metric, mesh=mesh)
    else:
        reranked = reranked_blocks(query_embeddings, gallery_embeddings, rerank, metric=metric, mesh=mesh)
        blocks = _to_devices(reranked, mesh)
    return _score(blocks, labels, ranks, average_precision, mesh)


def evaluate_distances(
    distances: Real[Array, "query gallery"],
    query_ids: Numbers,
    gallery_ids: Numbers,
    query_cameras: Numbers,
    gallery_cameras: Numbers,
    *,
    ranks: Sequence[int] = (1, 5, 10),
    average_precision: str = "standard",
) -> RankingResult:
    """Score a distance matrix [Q G] (smaller is more alike, not NaN); the rest as in `evaluate_ranking`.

    Raises:
        ValueError: Lengths differ, a distance is NaN, a label is not an integer, a rank is outside 1..G, the average
            precision is unknown, or no query has a correct match.
    """
    check_average_precision(average_precision)
    distances = np.asarray(distances)
    identities, cameras = Sides(query_ids, gallery_ids), Sides(query_cameras, gallery_cameras)
    labels = Labels.create(distances.shape, identities, cameras, ranks=ranks)
    mesh = default_mesh(None)
    return _score(_to_devices([distances], mesh), labels, ranks, average_precision, mesh)


def correct_ranks(
    distances: Real[np.ndarray, " gallery"], correct: np.ndarray, dropped: np.ndarray
) -> Int[np.ndarray, " matches"]:
    """1-based ranks of the correct matches of one query, increasing, by NumPy on the host.

    Args:
        distances: The query's row [G].
        correct: bool [G], gallery images of the query's identity.
        dropped: bool [G], gallery images that take no part in the ranking.

    Returns:
        The rank of each image that is correct and not dropped; equal distances are ranked by gallery index.
    """
    order = np.argsort(distances[~dropped], kind="stable")
    return np.flatnonzero(correct[~dropped][order]) + 1


def check_average_precision(average_precision: str) -> None:
    """Raise a ValueError for an unknown definition."""
    if average_precision not in AVERAGE_PRECISIONS:
        raise ValueError(
            f"average_precision {average_precision!r} is unknown; expected one of {', '.join(AVERAGE_PRECISIONS)}."
        )


def _score(
    blocks: Iterator[tuple[jax.Array, int]],
    labels: Labels,
    ranks: Sequence[int],
    average_precision: str,
    mesh: Mesh,
) -> RankingResult:
    scores = [_query_scores(found, count, average_precision) for found, count in _match_ranks(blocks, labels, mesh)]
    first_ranks, precisions, inverse_penalties = (np.concatenate(values) for values in zip(*scores, strict=True))
    return RankingResult(
        cmc={int(rank): float(np.mean(first_ranks <= rank)) for rank in ranks},
        mean_ap=float(np.mean(precisions)),
        mean_inp=float(np.mean(inverse_penalties)),
        num_valid_queries=len(first_ranks),
    )


def _query_scores(
    ranks: Int[np.ndarray, " match"], count: Int[np.ndarray, " query"], average_precision: str
) -> tuple[Float64[np.ndarray, " valid"], Float64[np.ndarray, " valid"], Float64[np.ndarray, " valid"]]:
    """Rank of the first match, AP and INP of every query that has a match.

    Args:
        ranks: Ranks of the matches, query after query, in any order within a query.
        count: Number of matches of each query.
        average_precision: See `evaluate_ranking`.
    """
    count = count[count > 0]
    query = np.repeat(np.arange(len(count)), count)
    ranks = ranks[np.lexsort((ranks, query))].astype(np.float64)
    starts = np.cumsum(count) - count
    number = np.arange(len(ranks)) - starts[query]  # matches before this one
    precision = (number + 1) / ranks
    if average_precision == "trapezoidal":
        before = np.where(ranks == 1, 1.0, number / np.maximum(ranks - 1, 1))
        precision = (precision + before) / 2
    sums = np.add.reduceat(precision, starts) if len(starts) else precision
    return ranks[starts], sums / count, count / ranks[starts + count - 1]


def _to_devices(blocks: Iterable[Real[np.ndarray, "rows gallery"]], mesh: Mesh) -> Iterator[tuple[jax.Array, int]]:
    """Rows from the host, placed as `device_distances` places its blocks.

    Raises:
        ValueError: A distance is NaN.
    """
    size = ROWS * mesh.size
    row = 0
    for block in blocks:
        for start in range(0, len(block), size):
            piece = block[start : start + size]
            bad = np.isnan(piece).any(axis=1)
            if bad.any():
                raise ValueError(
                    f"Row {row + int(bad.argmax())} of the distance matrix holds NaN; expected numbers, of which "
                    "infinity may be one."
                )
            rows = _comparable(piece)
            if len(rows) < size:
                rows = np.pad(rows, ((0, size - len(rows)), (0, 0)))
            yield jax.device_put(rows, batch_sharding(mesh)), len(piece)
            row += len(piece)


def _comparable(rows: Real[np.ndarray, "rows gallery"]) -> np.ndarray:
    """float32 or int32 [rows G] in which the devices find the same order and the same ties within each row."""
    if np.can_cast(rows.dtype, np.float32):
        rows = rows.astype(np.float32, copy=False)
        # Devices may take numbers below the smallest normal one for zero.
        if not ((np.abs(rows) < np.finfo(np.float32).tiny) & (rows != 0)).any():
            return rows
    return np.stack([np.unique(row, return_inverse=True)[1] for row in rows]).astype(np.int32)


def _match_ranks(
    blocks: Iterator[tuple[jax.Array, int]], labels: Labels, mesh: Mesh
) -> Iterator[tuple[Int32[np.ndarray, " match"], Int[np.ndarray, " query"]]]:
    """Ranks of the correct images of a block's queries, query after query, and their numbers.

    While the devices count for one block, the host prepares the next.
    """
    most = -(-int(labels.num_matches.max()) // _GROUP_SIZE)  # groups of one query
    start, pending = 0, None
    for block, valid in blocks:
        rows_per_device = len(block) // mesh.size
        # Every block and device has room for as many groups as there can be, so that one shape is compiled.
        room = -(-rows_per_device * most // _GROUPS) * _GROUPS
        queries = np.arange(start, start + valid)
        start += valid
        count = labels.num_matches[queries]
        # Groups of correct images, query after query: row in the block, and which of its images.
        row = np.repeat(np.arange(valid), -(-count // _GROUP_SIZE))
        number = (np.arange(len(row)) - np.searchsorted(row, row)) * _GROUP_SIZE
        numbers = number[:, None] + np.arange(_GROUP_SIZE)
        present = numbers < count[row][:, None]
        images = np.zeros(present.shape, np.int32)
        images[present] = labels.matches(np.repeat(queries, count), numbers[present])
        device = row // rows_per_device
        steps = -(-np.bincount(device, minlength=mesh.size) // _GROUPS)
        place = device * room + np.arange(len(row)) - np.searchsorted(device, device)
        rows = np.zeros(mesh.size * room, np.int32)
        rows[place] = row % rows_per_device
        matches = np.zeros((mesh.size * room, _GROUP_SIZE), np.int32)
        matches[place] = images
        arrays = _dropped(labels, queries, len(block)), rows, matches, steps.astype(np.int32)
        result = _count(block, *jax.device_put(arrays, batch_sharding(mesh)), mesh=mesh)
        if pending is not None:
            yield _fetch(*pending)
        pending = result, place, present, count
    if pending is not None:
        yield _fetch(*pending)


def _fetch(
    result: jax.Array, place: np.ndarray, present: np.ndarray, count: np.ndarray
) -> tuple[Int32[np.ndarray, " match"], Int[np.ndarray, " query"]]:
    return np.asarray(result)[place][present], count


def _dropped(labels: Labels, queries: np.ndarray, num_rows: int) -> Int32[np.ndarray, "row dropped"]:
    """Gallery indices of the images that each row's query drops, filled up with G, which is no image."""
    # At least one column: JAX 0.11 crashes where it compiles an empty array for several devices.
    numbers = np.arange(max(1, int(labels.num_dropped.max())))
    present = numbers < labels.num_dropped[queries][:, None]
    dropped = np.full((num_rows, len(numbers)), len(labels.order), np.int32)
    places = labels.camera_first[queries][:, None] + numbers
    dropped[: len(queries)][present] = labels.order[places[present]]
    return dropped


@functools.partial(jax.jit, static_argnames="mesh")
def _count(
    distances: Real[jax.Array, "row gallery"],
    dropped: Int32[jax.Array, "row dropped"],
    rows: Int32[jax.Array, " group"],
    matches: Int32[jax.Array, "group size"],
    steps: Int32[jax.Array, " device"],
    *,
    mesh: Mesh,
) -> Int32[jax.Array, "group size"]:
    """1-based ranks of gallery images among what their query keeps.

    Args:
        distances: float32 or int32, split over the devices by rows, as is all that follows.
        dropped: From `_dropped`.
        rows: Row of each group, counted on its device.
        matches: Gallery images of each group.
        steps: How many times `_GROUPS` groups each device has; the groups after these are padding.
    """

    def count(distances, dropped, rows, matches, steps):
        indices = jax.lax.iota(jnp.int32, distances.shape[1])
        # XLA's code for CPUs adds up float32 a third faster than int32, and up to 2^24 it is as exact.
        counter = jnp.float32 if distances.shape[1] < 2**24 else jnp.int32
        # No image's distance: not smaller than any, and where equal, the index G is not smaller.
        largest = jnp.inf if jnp.issubdtype(distances.dtype, jnp.floating) else jnp.iinfo(distances.dtype).max

        def group_ranks(row, matches):
            values = distances[row]
            out = dropped[row]
            thresholds = values[matches][:, None]

            def num_before(values, indices):
                tied = (values[None] == thresholds) & (indices[None] < matches[:, None])
                return jnp.sum((values[None] < thresholds) | tied, axis=1, dtype=counter).astype(jnp.int32)

            out_values = values.at[out].get(mode="fill", fill_value=largest)
            return 1 + num_before(values, indices) - num_before(out_values, out)

        def step(number, matches):
            """Replaces images by their ranks."""
            first = number * _GROUPS
            part = jax.lax.dynamic_slice_in_dim(matches, first, _GROUPS)
            ranks = jax.vmap(group_ranks)(jax.lax.dynamic_slice_in_dim(rows, first, _GROUPS), part)
            return jax.lax.dynamic_update_slice_in_dim(matches, ranks, first, axis=0)

        # A loop over few rows at a time: over a whole block XLA's code for CPUs is ten times slower.
        return jax.lax.fori_loop(0, steps[0], step, matches)

    split = PartitionSpec(AXIS)
    return jax.shard_map(count, mesh=mesh, in_specs=(split,) * 5, out_specs=split)(
        distances, dropped, rows, matches, steps
    )
