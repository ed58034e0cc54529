"""Ranking scores against a slow loop over sorted Python lists, closed forms and every documented error."""

import itertools

import numpy as np
import pytest

from san_jax import ranking


def slow_scores(distances, query_ids, gallery_ids, query_cameras, gallery_cameras, ranks):
    """The Market rule written out, one Python list a query."""
    first, precisions, penalties = [], [], []
    for q in range(len(query_ids)):
        rows = []
        for g in range(len(gallery_ids)):
            same = gallery_ids[g] == query_ids[q]
            if not (same and gallery_cameras[g] == query_cameras[q]):
                rows.append((distances[q][g], g, same))
        rows.sort()
        hits = [position + 1 for position, row in enumerate(rows) if row[2]]
        if hits:
            first.append(hits[0])
            precisions.append(sum((n + 1) / rank for n, rank in enumerate(hits)) / len(hits))
            penalties.append(len(hits) / hits[-1])
    count = len(first)
    cmc = {rank: sum(f <= rank for f in first) / count for rank in ranks}
    return cmc, sum(precisions) / count, sum(penalties) / count, count


def random_labels(rng, num_query, num_gallery, *, identities=9, cameras=3):
    return (
        rng.integers(0, identities + 3, num_query),  # the last three identities have no match in the gallery
        rng.integers(0, identities, num_gallery),
        rng.integers(0, cameras, num_query),
        rng.integers(0, cameras, num_gallery),
    )


def assert_scores_equal(result, expected):
    cmc, mean_ap, mean_inp, count = expected
    assert result.num_valid_queries == count
    assert result.cmc == pytest.approx(cmc, abs=1e-12)
    assert result.mean_ap == pytest.approx(mean_ap, abs=1e-12)
    assert result.mean_inp == pytest.approx(mean_inp, abs=1e-12)


@pytest.mark.parametrize("levels", [2, 7, 10_000])  # few levels: most distances are tied
@pytest.mark.parametrize("seed", range(4))
def test_distances_equal_slow_loop(seed, levels):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, levels, (40, 60)).astype(np.float32) / levels
    labels = random_labels(rng, 40, 60)
    ranks = (1, 3, 5, 10, 60)
    expected = slow_scores(distances.tolist(), *labels, ranks)
    assert expected[3] < 40  # the case without a match takes part
    assert_scores_equal(ranking.evaluate_distances(distances, *labels, ranks=ranks), expected)


@pytest.mark.parametrize("metric", ranking.METRICS)
def test_embeddings_equal_slow_loop(metric, monkeypatch):
    rng = np.random.default_rng(5)
    # Integer coordinates: float32 products are exact, so ties are ties in both computations.
    queries, gallery = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (31, 50))
    if metric == "cosine":
        queries, gallery = (x + np.float32([0, 0, 3]) + rng.random(x.shape, np.float32) for x in (queries, gallery))
    labels = random_labels(rng, 31, 50)
    q, g = queries.astype(np.float64)[:, None], gallery.astype(np.float64)[None]
    if metric == "euclidean":
        distances = ((q - g) ** 2).sum(-1)
    else:
        distances = 1 - (q * g).sum(-1) / np.sqrt((q**2).sum(-1) * (g**2).sum(-1))
    expected = slow_scores(distances.tolist(), *labels, (1, 5, 10))
    for rows in (1, 7, 120):  # one query a block, a last block that is not full, all at once
        monkeypatch.setattr(ranking.distances, "ROWS", rows)
        assert_scores_equal(ranking.evaluate_ranking(queries, gallery, *labels, metric=metric), expected)


def test_closed_form():
    # Hits at ranks 2 and 4 of 4; the same-camera image of the identity (nearest of all) is dropped.
    distances = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]], np.float32)
    gallery_ids, gallery_cameras = np.array([7, 1, 7, 2, 7]), np.array([0, 0, 1, 0, 2])
    result = ranking.evaluate_distances(
        distances, np.array([7]), gallery_ids, np.array([0]), gallery_cameras, ranks=(1, 2, 4)
    )
    assert result == ranking.RankingResult(
        cmc={1: 0.0, 2: 1.0, 4: 1.0}, mean_ap=(1 / 2 + 2 / 4) / 2, mean_inp=2 / 4, num_valid_queries=1
    )


def test_same_camera_of_another_identity_stays():
    distances = np.array([[0.0, 1.0]], np.float32)
    result = ranking.evaluate_distances(
        distances, np.array([7]), np.array([8, 7]), np.array([0]), np.array([0, 1]), ranks=(1, 2)
    )
    assert result.cmc == {1: 0.0, 2: 1.0}


def test_ties_go_by_gallery_index():
    labels = (np.array([1]), np.array([2, 1, 2, 2]), np.array([0]), np.array([1, 1, 1, 1]))
    result = ranking.evaluate_distances(np.zeros((1, 4), np.float32), *labels, ranks=(1, 2))
    assert result.cmc == {1: 0.0, 2: 1.0}
    assert result.mean_ap == 0.5


def test_pairwise_distances():
    queries = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32)
    gallery = np.array([[0.0, 0.0], [6.0, 8.0], [-4.0, 3.0]], np.float32)
    np.testing.assert_allclose(
        ranking.pairwise_distances(queries, gallery),
        [[5, 5, np.sqrt(50)], [1, np.sqrt(89), np.sqrt(34)]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        ranking.pairwise_distances(queries, gallery[1:], metric="cosine"), [[0, 1], [0.4, 1.8]], atol=1e-6
    )


def test_chance_is_the_mean_over_every_permutation():
    """5 gallery images, 120 orders: the mean of the real scores over all of them, to rounding."""
    labels = (np.array([1, 2, 9]), np.array([1, 2, 1, 1, 2]), np.array([0, 0, 0]), np.array([0, 1, 1, 2, 2]))
    ranks = (1, 2, 3, 5)
    orders = [
        ranking.evaluate_distances(np.tile(np.float32(order), (3, 1)), *labels, ranks=ranks)
        for order in itertools.permutations(range(5))
    ]
    chance = ranking.chance_scores(*labels, ranks=ranks)
    assert chance.num_valid_queries == 2
    assert chance.cmc == pytest.approx({k: np.mean([order.cmc[k] for order in orders]) for k in ranks})
    assert chance.mean_ap == pytest.approx(np.mean([order.mean_ap for order in orders]))
    assert chance.mean_inp == pytest.approx(np.mean([order.mean_inp for order in orders]))


def test_chance_of_a_single_gallery_image():
    one = np.array([1])
    chance = ranking.chance_scores(one, one, one, one + 1, ranks=(1,))
    assert chance == ranking.RankingResult(cmc={1: 1.0}, mean_ap=1.0, mean_inp=1.0, num_valid_queries=1)
    with pytest.raises(ValueError, match="None of the 1 queries"):
        ranking.chance_scores(one, one, one, one, ranks=(1,))


def ones(*shape):
    return np.ones(shape, np.float32)


def test_errors():
    ids, cameras = np.array([1, 2]), np.array([0, 0])
    gallery_ids, gallery_cameras = np.array([1, 2, 2]), np.array([1, 1, 1])
    labels = (ids, gallery_ids, cameras, gallery_cameras)
    with pytest.raises(ValueError, match=r"query_ids has shape \(1,\); expected \(2,\)"):
        ranking.evaluate_distances(ones(2, 3), ids[:1], *labels[1:], ranks=(1,))
    with pytest.raises(ValueError, match=r"gallery_cameras has shape \(2,\); expected \(3,\)"):
        ranking.evaluate_ranking(ones(2, 4), ones(3, 4), *labels[:3], gallery_cameras[:2], ranks=(1,))
    with pytest.raises(ValueError, match=r"ranks \(1, 5\).*1\.\.3"):
        ranking.evaluate_distances(ones(2, 3), *labels, ranks=(1, 5))
    with pytest.raises(ValueError, match="at least one number"):
        ranking.evaluate_distances(ones(2, 3), *labels, ranks=())
    with pytest.raises(ValueError, match="rows of the distance matrix hold NaN, the first is row 1"):
        ranking.evaluate_distances(np.array([[0, 1, 2], [0, np.nan, 1]], np.float32), *labels, ranks=(1,))
    broken = ones(3, 4)
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 3 gallery embeddings hold NaN or infinity, the first at index 2"):
        ranking.evaluate_ranking(ones(2, 4), broken, *labels, ranks=(1,))
    with pytest.raises(ValueError, match="metric 'manhattan' is unknown; expected one of euclidean, cosine"):
        ranking.evaluate_ranking(ones(2, 4), ones(3, 4), *labels, ranks=(1,), metric="manhattan")
    with pytest.raises(ValueError, match="query embeddings have 4 dimensions, gallery embeddings 5"):
        ranking.evaluate_ranking(ones(2, 4), ones(3, 5), *labels, ranks=(1,))
    with pytest.raises(ValueError, match="embedding at index 0 is zero"):
        ranking.evaluate_ranking(np.zeros((2, 4)), ones(3, 4), *labels, ranks=(1,), metric="cosine")
    with pytest.raises(ValueError, match="None of the 2 queries has a gallery image"):
        ranking.evaluate_distances(ones(2, 3), ids + 5, *labels[1:], ranks=(1,))
    with pytest.raises(ValueError, match="None of the 2 queries"):  # every match is from the query's camera
        ranking.evaluate_distances(ones(2, 3), *labels[:3], np.zeros(3, np.int64), ranks=(1,))
