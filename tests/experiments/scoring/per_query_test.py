"""Scores of single queries, and of a query with one of its matches."""

import numpy as np
import pytest

from experiments.scoring import per_query
from experiments.scoring.embedding import EmbeddedSplit
from san_jax import ranking


@pytest.mark.parametrize("metric", ranking.METRICS)
def test_a_match_is_ranked_among_other_persons_alone(metric):
    rng = np.random.default_rng(4)
    query, gallery = (
        EmbeddedSplit(rng.integers(1, 4, (n, 2)).astype(np.float32), rng.integers(0, 6, n), rng.integers(0, 3, n))
        for n in (25, 40)
    )  # few embeddings: many distances are equal
    distances = ranking.pairwise_distances(query.embeddings, gallery.embeddings, metric=metric)
    expected = {}
    for q in range(25):
        for g in range(40):
            if gallery.person_ids[g] == query.person_ids[q] and gallery.camera_ids[g] != query.camera_ids[q]:
                others = [i for i in range(40) if gallery.person_ids[i] != query.person_ids[q]]
                before = [i for i in others if (distances[q, i], i) < (distances[q, g], g)]
                expected[q, g] = 1 + len(before)
    queries, matches, ranks = per_query.single_match_ranks(query, gallery, metric=metric)
    assert dict(zip(zip(queries.tolist(), matches.tolist(), strict=True), ranks.tolist(), strict=True)) == expected
    assert len(ranks) == len(expected) > 50
