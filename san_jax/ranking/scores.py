"""Scores of a ranking: CMC, mAP and mINP by the Market-1501 rule (the metrics of every table of the paper).

For each query the gallery images of the same identity *and* the same camera are dropped; what is left is ranked by
distance, equal distances by gallery index, so that a result never depends on a sorting algorithm. A query without a
correct match in what is left is skipped. NumPy on the host: a query costs one sort of its row, and only a block of
rows of the distance matrix is in memory at a time.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, Num, Real

from san_jax.ranking.distances import distance_blocks
from san_jax.typing import Array


@dataclasses.dataclass(frozen=True)
class RankingResult:
    """Scores of one evaluation, fractions in [0, 1].

    Attributes:
        cmc: rank k -> fraction of the valid queries with a correct match among their first k.
        mean_ap: Mean over valid queries of AP, the mean of the precision at each correct match.
        mean_inp: Mean over valid queries of (number of correct matches) / (rank of the last one).
        num_valid_queries: Queries with at least one correct match; the others count nowhere.
    """

    cmc: dict[int, float]
    mean_ap: float
    mean_inp: float
    num_valid_queries: int


def evaluate_ranking(
    query_embeddings: Num[Array, "query dim"],
    gallery_embeddings: Num[Array, "gallery gallery_dim"],
    query_ids: Int[Array, " query_ids"],
    gallery_ids: Int[Array, " gallery_ids"],
    query_cameras: Int[Array, " query_cameras"],
    gallery_cameras: Int[Array, " gallery_cameras"],
    *,
    ranks: Sequence[int] = (1, 5, 10),
    metric: str = "euclidean",
) -> RankingResult:
    """Scores embeddings. Memory beyond them stays bounded: the distance matrix is made a block of queries at a time.

    Args:
        query_embeddings: [Q D], finite.
        gallery_embeddings: [G D], finite.
        query_ids, gallery_ids: Identities [Q], [G].
        query_cameras, gallery_cameras: Cameras [Q], [G].
        ranks: The k of the CMC, each in 1..G.
        metric: "euclidean" or "cosine".

    Raises:
        ValueError: Lengths or dimensions differ, an embedding is not finite, a rank is outside 1..G, the metric is
            unknown, or no query has a correct match.
    """
    queries, gallery = np.asarray(query_embeddings), np.asarray(gallery_embeddings)
    for name, embeddings in (("query", queries), ("gallery", gallery)):
        bad = ~np.isfinite(embeddings).all(axis=1)
        if bad.any():
            raise ValueError(
                f"{int(bad.sum())} of {len(embeddings)} {name} embeddings hold NaN or infinity, the first at index "
                f"{int(bad.argmax())}. Check the checkpoint: a run that diverged gives such embeddings."
            )
    labels = check_labels(
        queries.shape[0], gallery.shape[0], query_ids, gallery_ids, query_cameras, gallery_cameras, ranks
    )
    return _score(distance_blocks(queries, gallery, metric=metric), *labels, ranks)


def evaluate_distances(
    distances: Real[Array, "query gallery"],
    query_ids: Int[Array, " query_ids"],
    gallery_ids: Int[Array, " gallery_ids"],
    query_cameras: Int[Array, " query_cameras"],
    gallery_cameras: Int[Array, " gallery_cameras"],
    *,
    ranks: Sequence[int] = (1, 5, 10),
) -> RankingResult:
    """Scores a distance matrix [Q G] (smaller is more alike, not NaN); the rest as in `evaluate_ranking`.

    Raises:
        ValueError: Lengths differ, a distance is NaN, a rank is outside 1..G, or no query has a correct match.
    """
    distances = np.asarray(distances)
    bad = np.isnan(distances).any(axis=1)
    if bad.any():
        raise ValueError(f"{int(bad.sum())} rows of the distance matrix hold NaN, the first is row {bad.argmax()}.")
    num_query, num_gallery = distances.shape
    labels = check_labels(num_query, num_gallery, query_ids, gallery_ids, query_cameras, gallery_cameras, ranks)
    return _score(iter([distances]), *labels, ranks)


def no_valid_query(num_query: int) -> str:
    return (
        f"None of the {num_query} queries has a gallery image of its identity from another camera; "
        "check that query and gallery share identities and that camera numbers are per image."
    )


def check_labels(
    num_query: int,
    num_gallery: int,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    ranks: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    labels = (
        np.asarray(query_ids),
        np.asarray(gallery_ids),
        np.asarray(query_cameras),
        np.asarray(gallery_cameras),
    )
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    for name, values, expected in zip(names, labels, (num_query, num_gallery) * 2, strict=True):
        if values.shape != (expected,):
            raise ValueError(f"{name} has shape {values.shape}; expected ({expected},), one entry an embedding.")
    if not ranks or min(ranks) < 1 or max(ranks) > num_gallery:
        raise ValueError(
            f"ranks {tuple(ranks)} must be at least one number in 1..{num_gallery}, the size of the gallery."
        )
    return labels


def correct_ranks(
    distances: Real[np.ndarray, " gallery"], correct: np.ndarray, dropped: np.ndarray
) -> Int[np.ndarray, " matches"]:
    """1-based ranks of the correct matches of one query, increasing.

    Args:
        distances: The query's row [G].
        correct: bool [G], gallery images of the query's identity.
        dropped: bool [G], gallery images that take no part in the ranking.

    Returns:
        The rank of each image that is correct and not dropped; equal distances are ranked by gallery index.
    """
    kept = distances[~dropped]
    matches = np.flatnonzero(correct[~dropped])
    if not len(matches):
        return matches
    ordered = np.sort(kept)
    before = np.searchsorted(ordered, kept[matches], side="left")
    tied = np.searchsorted(ordered, kept[matches], side="right") - before > 1
    for position in np.flatnonzero(tied):
        index = matches[position]
        before[position] += np.count_nonzero(kept[:index] == kept[index])
    return np.sort(before) + 1


def _score(
    blocks: Iterator[Float[np.ndarray, "block gallery"]],
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    ranks: Sequence[int],
) -> RankingResult:
    first_ranks, precisions, inverse_penalties = [], [], []
    query = 0
    for block in blocks:
        for row in block:
            correct = gallery_ids == query_ids[query]
            found = correct_ranks(row, correct, correct & (gallery_cameras == query_cameras[query]))
            query += 1
            if len(found):
                first_ranks.append(found[0])
                precisions.append(np.mean(np.arange(1, len(found) + 1) / found))
                inverse_penalties.append(len(found) / found[-1])
    if not first_ranks:
        raise ValueError(no_valid_query(query))
    return RankingResult(
        cmc={int(rank): float(np.mean(np.array(first_ranks) <= rank)) for rank in ranks},
        mean_ap=float(np.mean(precisions)),
        mean_inp=float(np.mean(inverse_penalties)),
        num_valid_queries=len(first_ranks),
    )
