"""What rankings drawn at random would score."""

from collections.abc import Sequence

import numpy as np

from san_jax.ranking.labels import Labels, Numbers, Sides
from san_jax.ranking.scores import RankingResult, check_average_precision


def chance_scores(
    query_ids: Numbers,
    gallery_ids: Numbers,
    query_cameras: Numbers,
    gallery_cameras: Numbers,
    *,
    ranks: Sequence[int] = (1, 5, 10),
    average_precision: str = "standard",
) -> RankingResult:
    """Return the expected scores of rankings drawn at random: what a number is worth on a given query and gallery.

    With n gallery images of which m are correct, drawn without replacement: a hit among the first k fails with
    C(n - m, k) / C(n, k); E[AP] = (H_n + (m - 1) / (n - 1) (n - H_n)) / n with the harmonic number H_n; the precision
    before a hit at rank r has the mean (m - 1) / (n - 1), and is 1 at r = 1, which makes the trapezoidal AP
    (E[AP] + m / n) / 2; the last correct match has rank r with probability C(r - 1, m - 1) / C(n, m).

    Args:
        query_ids: Identities [Q], integers.
        gallery_ids: Identities [G], integers.
        query_cameras: Cameras [Q], integers.
        gallery_cameras: Cameras [G], integers.
        ranks: As in `evaluate_ranking`.
        average_precision: As in `evaluate_ranking`.

    Raises:
        ValueError: A label is not an integer, a rank is outside 1..G, the average precision is unknown, or no query
            has a correct match.
    """
    check_average_precision(average_precision)
    num_gallery = len(gallery_ids)
    identities, cameras = Sides(query_ids, gallery_ids), Sides(query_cameras, gallery_cameras)
    labels = Labels.create((len(query_ids), num_gallery), identities, cameras, ranks=ranks)
    counts = np.stack([num_gallery - labels.num_dropped, labels.num_matches], axis=1)[labels.num_matches > 0]
    cases, case_of_query = np.unique(counts, axis=0, return_inverse=True)
    expected = []
    for kept, matches in cases.tolist():
        drawn = np.arange(max(ranks))
        missed = np.cumprod(np.maximum(kept - matches - drawn, 0) / np.maximum(kept - drawn, 1))
        harmonic = np.sum(1 / np.arange(1, kept + 1))
        precision = (harmonic + (matches - 1) / max(kept - 1, 1) * (kept - harmonic)) / kept
        if average_precision == "trapezoidal":
            precision = (precision + matches / kept) / 2
        last = np.arange(kept, matches - 1, -1)  # ranks that the last match can have
        probability = matches / kept * np.concatenate([[1.0], np.cumprod((last[:-1] - matches) / (last[:-1] - 1))])
        expected.append([*(1 - missed[rank - 1] for rank in ranks), precision, matches * np.sum(probability / last)])
    *cmc, mean_ap, mean_inp = np.mean(np.array(expected)[case_of_query], axis=0).tolist()
    return RankingResult(
        cmc={int(rank): value for rank, value in zip(ranks, cmc, strict=True)},
        mean_ap=mean_ap,
        mean_inp=mean_inp,
        num_valid_queries=len(counts),
    )
