"""Expected scores of random rankings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from san_jax.ranking.scores import RankingResult, check_labels, no_valid_query
from san_jax.typing import Array


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
    query_ids, gallery_ids, query_cameras, gallery_cameras = check_labels(
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
        raise ValueError(no_valid_query(len(query_ids)))
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
