"""Scores of a ranking: CMC, mAP and mINP by the Market-1501 rule (the metrics of every table of the paper).

For each query the gallery images of the same identity *and* the same camera are dropped; what is left is ranked by
distance, equal distances by gallery index, so that a result never depends on a sorting algorithm. A query without a
correct match in what is left is skipped. NumPy on the host: a query costs one sort of its row, and only a block of
rows of the distance matrix is in memory at a time.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int, Num, Real

from san_jax.typing import Array

METRICS = ("euclidean", "cosine")
_BLOCK_ELEMENTS = 16_000_000  # distances held at a time: 64 MB in float32


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


def pairwise_distances(
    queries: Real[Array, "query dim"], gallery: Real[Array, "gallery gallery_dim"], *, metric: str = "euclidean"
) -> Float32[np.ndarray, "query gallery"]:
    """Distances of every query to every gallery embedding.

    Args:
        queries: Embeddings [Q D].
        gallery: Embeddings [G D].
        metric: "euclidean", or "cosine" for 1 - cosine similarity.

    Returns:
        float32 [Q G], >= 0.

    Raises:
        ValueError: Unknown metric, or under "cosine" an embedding of length zero.
    """
    (distances,) = _distance_blocks(np.asarray(queries), np.asarray(gallery), metric, block=max(len(queries), 1))
    return distances


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
    labels = _check_labels(
        queries.shape[0], gallery.shape[0], query_ids, gallery_ids, query_cameras, gallery_cameras, ranks
    )
    block = max(1, _BLOCK_ELEMENTS // max(1, len(gallery)))
    return _score(_distance_blocks(queries, gallery, metric, block=block), *labels, ranks)


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
    labels = _check_labels(num_query, num_gallery, query_ids, gallery_ids, query_cameras, gallery_cameras, ranks)
    return _score(iter([distances]), *labels, ranks)


def chance_scores(
    query_ids: Int[Array, " query"],
    gallery_ids: Int[Array, " gallery"],
    query_cameras: Int[Array, " query"],
    gallery_cameras: Int[Array, " gallery"],
    *,
    ranks: Sequence[int] = (1, 5, 10),
) -> RankingResult:
    """The expected scores of rankings drawn at random: what a number is worth on a given query and gallery.

    With n gallery images of which m are correct, drawn without replacement: a hit among the first k fails with
    C(n - m, k) / C(n, k); E[AP] = (H_n + (m - 1) / (n - 1) (n - H_n)) / n with the harmonic number H_n; the last
    correct match has rank r with probability C(r - 1, m - 1) / C(n, m).

    Raises:
        ValueError: A rank is outside 1..G, or no query has a correct match.
    """
    query_ids, gallery_ids, query_cameras, gallery_cameras = _check_labels(
        len(query_ids), len(gallery_ids), query_ids, gallery_ids, query_cameras, gallery_cameras, ranks
    )
    expected: dict[tuple[int, int], tuple[list[float], float, float]] = {}
    counts = []
    for person, camera in zip(query_ids, query_cameras, strict=True):
        correct = gallery_ids == person
        dropped = int(np.count_nonzero(correct & (gallery_cameras == camera)))
        matches = int(np.count_nonzero(correct)) - dropped
        if matches:
            counts.append((len(gallery_ids) - dropped, matches))
    if not counts:
        raise ValueError(_no_valid_query(len(query_ids)))
    for kept, matches in set(counts):
        drawn = np.arange(max(ranks))
        missed = np.cumprod(np.maximum(kept - matches - drawn, 0) / np.maximum(kept - drawn, 1))
        harmonic = float(np.sum(1 / np.arange(1, kept + 1)))
        precision = (harmonic + (matches - 1) / max(kept - 1, 1) * (kept - harmonic)) / kept
        last = np.arange(kept, matches - 1, -1)  # ranks that the last match can have
        probability = matches / kept * np.concatenate([[1.0], np.cumprod((last[:-1] - matches) / (last[:-1] - 1))])
        expected[kept, matches] = (
            [1 - float(missed[rank - 1]) for rank in ranks],
            precision,
            float(matches * np.sum(probability / last)),
        )
    found = [expected[count] for count in counts]
    return RankingResult(
        cmc={int(rank): float(np.mean([cmc[i] for cmc, _, _ in found])) for i, rank in enumerate(ranks)},
        mean_ap=float(np.mean([precision for _, precision, _ in found])),
        mean_inp=float(np.mean([penalty for _, _, penalty in found])),
        num_valid_queries=len(found),
    )


def _no_valid_query(num_query: int) -> str:
    return (
        f"None of the {num_query} queries has a gallery image of its identity from another camera; "
        "check that query and gallery share identities and that camera numbers are per image."
    )


def _check_labels(
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


def _distance_blocks(
    queries: np.ndarray, gallery: np.ndarray, metric: str, *, block: int
) -> Iterator[Float32[np.ndarray, "block gallery"]]:
    """Yields the distance matrix in blocks of at most `block` rows."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; expected one of {', '.join(METRICS)}.")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query embeddings have {queries.shape[1]} dimensions, gallery embeddings {gallery.shape[1]}; "
            "both must come from the same model."
        )
    queries, gallery = queries.astype(np.float32), gallery.astype(np.float32)
    if metric == "cosine":
        queries, gallery = _normalised(queries, "query"), _normalised(gallery, "gallery")
    gallery_squares = np.square(gallery).sum(axis=1)
    for start in range(0, max(len(queries), 1), block):
        rows = queries[start : start + block]
        products = rows @ gallery.T
        if metric == "cosine":
            yield np.maximum(np.float32(1) - products, np.float32(0))
            continue
        # |q|^2 - 2 q.g + |g|^2, in place.
        products *= np.float32(-2)
        products += gallery_squares
        products += np.square(rows).sum(axis=1)[:, None]
        np.maximum(products, 0, out=products)
        yield np.sqrt(products, out=products)


def _normalised(embeddings: np.ndarray, name: str) -> np.ndarray:
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not norms.all():
        index = int((norms[:, 0] == 0).argmax())
        raise ValueError(f"The {name} embedding at index {index} is zero: its cosine similarity is undefined.")
    return embeddings / norms


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
        raise ValueError(_no_valid_query(query))
    return RankingResult(
        cmc={int(rank): float(np.mean(np.array(first_ranks) <= rank)) for rank in ranks},
        mean_ap=float(np.mean(precisions)),
        mean_inp=float(np.mean(inverse_penalties)),
        num_valid_queries=len(first_ranks),
    )
