"""Ranking scores against a slow loop over sorted Python lists, closed forms and every documented error."""

import dataclasses
import functools
import itertools
import re
import weakref

import jax
import numpy as np
import pytest

from san_jax import ranking, sharding


def standard_ap(hits):
    """hits: for each kept image in ranked order, whether it is correct."""
    ranks = [position + 1 for position, hit in enumerate(hits) if hit]
    return sum((n + 1) / rank for n, rank in enumerate(ranks)) / len(ranks)


def matlab_ap(hits):
    """The loop of `compute_AP.m` of the Market-1501 authors over the images that are not junk."""
    num_good = sum(hits)
    old_recall, old_precision, ap, intersect_size = 0.0, 1.0, 0.0, 0
    for j, hit in enumerate(hits):
        intersect_size += hit
        recall = intersect_size / num_good
        precision = intersect_size / (j + 1)
        ap += (recall - old_recall) * ((old_precision + precision) / 2)
        old_recall, old_precision = recall, precision
    return ap


AVERAGE_PRECISION = {"standard": standard_ap, "trapezoidal": matlab_ap}


def slow_scores(distances, query_ids, gallery_ids, query_cameras, gallery_cameras, ranks, definition="standard"):
    """The Market rule written out, one Python list a query."""
    first, precisions, penalties = [], [], []
    for q in range(len(query_ids)):
        rows = []
        for g in range(len(gallery_ids)):
            same = gallery_ids[g] == query_ids[q]
            if not (same and gallery_cameras[g] == query_cameras[q]):
                rows.append((distances[q][g], g, bool(same)))
        rows.sort()
        hits = [same for _, _, same in rows]
        if any(hits):
            first.append(hits.index(True) + 1)
            precisions.append(AVERAGE_PRECISION[definition](hits))
            penalties.append(sum(hits) / max(n + 1 for n, hit in enumerate(hits) if hit))
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


@pytest.mark.parametrize("definition", ranking.AVERAGE_PRECISIONS)
@pytest.mark.parametrize("levels", [1, 2, 7, 10_000])  # few levels: most distances are tied
@pytest.mark.parametrize("seed", range(3))
def test_distances_equal_slow_loop(seed, levels, definition):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, levels, (40, 60)).astype(np.float32) / levels
    labels = random_labels(rng, 40, 60)
    ranks = (1, 3, 5, 10, 60)
    expected = slow_scores(distances.tolist(), *labels, ranks, definition)
    assert expected[3] < 40  # the case without a match takes part
    assert_scores_equal(
        ranking.evaluate_distances(distances, *labels, ranks=ranks, average_precision=definition), expected
    )


@pytest.mark.parametrize("definition", ranking.AVERAGE_PRECISIONS)
def test_identities_of_very_different_sizes_equal_slow_loop(definition):
    """150 queries (more than a device has at a time): from no match to hundreds, distractors, none to all dropped."""
    rng = np.random.default_rng(3)
    gallery_ids = rng.permutation(np.repeat([-5, 0, 1, 2, 3, 40, 10**12], [60, 90, 1, 9, 30, 200, 10]))
    query_ids = rng.choice([0, 1, 2, 3, 40, 10**12, 7], 150)
    query_cameras, gallery_cameras = rng.integers(-1, 2, 150), rng.integers(-1, 2, len(gallery_ids))
    gallery_cameras[gallery_ids == 2] = 1  # queries from camera 1 lose all their matches
    labels = (query_ids, gallery_ids, query_cameras, gallery_cameras)
    distances = rng.integers(0, 50, (150, len(gallery_ids))).astype(np.float32)
    ranks = (1, 20, 390)
    assert_scores_equal(
        ranking.evaluate_distances(distances, *labels, ranks=ranks, average_precision=definition),
        slow_scores(distances.tolist(), *labels, ranks, definition),
    )


NEAR = [1.0, 1.0 + 1e-12, 1.0 - 1e-12, 2.0]
AWKWARD = {
    "float64 that float32 cannot tell apart": np.array([NEAR, NEAR[::-1]]),
    "int64 that float32 cannot tell apart": np.array([[2**40, 2**40 + 1, 2**40 - 1, 2**40], [3, 3, 1, 2]]),
    "below the normal numbers": np.array([[3e-40, 2e-40, 1e-40, 0.0], [0.0, 1e-45, -1e-45, 1.0]], np.float32),
    "signed zeros": np.array([[0.0, -0.0, 0.0, -0.0], [-0.0, 0.0, -1.0, 1.0]], np.float32),
    "infinities": np.array([[np.inf, np.inf, 0, -np.inf], [-np.inf, 1, -np.inf, np.inf]], np.float32),
    "half precision": np.array([[6e-8, 0, 1, 1], [65504, np.inf, 65504, 1]], np.float16),
    "bytes": np.array([[255, 0, 7, 7], [1, 1, 0, 255]], np.uint8),
}


@pytest.mark.parametrize("distances", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("match", range(4))
def test_awkward_distances_equal_slow_loop(distances, match):
    """One image is the match, the one after it is dropped."""
    gallery_ids, gallery_cameras = np.zeros(4, np.int64), np.ones(4, np.int64)
    gallery_ids[[match, (match + 1) % 4]] = 1
    gallery_cameras[(match + 1) % 4] = 0
    labels = (np.array([1, 1]), gallery_ids, np.array([0, 0]), gallery_cameras)
    assert_scores_equal(
        ranking.evaluate_distances(distances, *labels, ranks=(1, 2, 3)),
        slow_scores(distances.tolist(), *labels, (1, 2, 3)),
    )


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
        monkeypatch.setattr(ranking.scores, "ROWS", rows)
        assert_scores_equal(ranking.evaluate_ranking(queries, gallery, *labels, metric=metric), expected)
        matrix = ranking.pairwise_distances(queries, gallery, metric=metric)
        np.testing.assert_allclose(matrix, np.sqrt(distances) if metric == "euclidean" else distances, atol=1e-6)
        assert_scores_equal(ranking.evaluate_distances(matrix, *labels), expected)


@pytest.fixture(scope="module")
def random_case():
    """300 queries (blocks of 120 leave a rest), 500 gallery images of which many are there twice."""
    rng = np.random.default_rng(11)
    queries, gallery = (rng.standard_normal((n, 40), np.float32) for n in (300, 500))
    gallery[rng.permutation(500)[:200]] = gallery[:200]
    return queries, gallery, random_labels(rng, 300, 500, identities=40)


@pytest.mark.parametrize("metric", ranking.METRICS)
@pytest.mark.parametrize("definition", ranking.AVERAGE_PRECISIONS)
def test_any_number_of_devices_gives_the_same(random_case, metric, definition):
    queries, gallery, labels = random_case
    options = {"metric": metric, "average_precision": definition}
    single = ranking.evaluate_ranking(queries, gallery, *labels, **options)
    matrix = ranking.pairwise_distances(queries, gallery, metric=metric)
    assert single == ranking.evaluate_distances(matrix, *labels, average_precision=definition)
    assert_scores_equal(single, slow_scores(matrix.tolist(), *labels, (1, 5, 10), definition))
    for count in (1, 2, 8):
        mesh = sharding.make_mesh(jax.devices()[:count])
        np.testing.assert_array_equal(ranking.pairwise_distances(queries, gallery, metric=metric, mesh=mesh), matrix)
        assert ranking.evaluate_ranking(queries, gallery, *labels, mesh=mesh, **options) == single


def test_reranked(random_case):
    queries, gallery, labels = random_case
    settings = ranking.KReciprocal(k1=8, k2=3, lambda_value=0.4)
    matrix = ranking.k_reciprocal_rerank(queries, gallery, **dataclasses.asdict(settings))
    expected = ranking.evaluate_distances(matrix, *labels, average_precision="trapezoidal")
    found = ranking.evaluate_ranking(queries, gallery, *labels, rerank=settings, average_precision="trapezoidal")
    assert found == expected
    assert found != ranking.evaluate_ranking(queries, gallery, *labels, average_precision="trapezoidal")


def test_distances_are_computed_in_full_precision(random_case):
    queries, gallery, _ = random_case
    mesh = sharding.make_mesh(jax.devices()[:1])
    rows = np.arange(8, dtype=np.int32)
    arguments = (queries, gallery, queries[:, 0], gallery[:, 0], rows)
    lowered = ranking.distances._block_distances.lower(*arguments, metric="euclidean", mesh=mesh)
    assert "precision = [HIGHEST, HIGHEST]" in lowered.as_text()


def test_blocks_are_rows_in_order(random_case):
    queries, gallery, _ = random_case
    blocks = list(ranking.distance_blocks(jax.numpy.asarray(queries), gallery.astype(np.float64)))
    assert [len(block) for block in blocks] == [120, 120, 60]
    np.testing.assert_array_equal(np.concatenate(blocks), ranking.pairwise_distances(queries, gallery))
    assert ranking.pairwise_distances(queries[:0], gallery).shape == (0, 500)


@pytest.mark.parametrize("dim", [8, 64, 512, 2048])
@pytest.mark.parametrize("metric", ranking.METRICS)
def test_the_number_of_queries_changes_no_distance(metric, dim):
    rng = np.random.default_rng(dim)
    queries, gallery = (rng.standard_normal((n, dim), np.float32) for n in (130, 301))
    matrix = ranking.pairwise_distances(queries, gallery, metric=metric)
    for count in (1, 2, 7, 119, 120, 121):
        part = ranking.pairwise_distances(queries[-count:], gallery, metric=metric)
        np.testing.assert_array_equal(part, matrix[-count:])


@pytest.mark.parametrize("dim", [8, 64, 512, 2048])
@pytest.mark.parametrize("metric", ranking.METRICS)
def test_copies_of_a_gallery_image_are_at_the_same_distance(metric, dim):
    rng = np.random.default_rng(dim)
    images, queries = (rng.standard_normal((n, dim), np.float32) for n in (20, 7))
    for count in (27, 60, 119, 257, 301, 1031):
        gallery = np.resize(images, (count, dim))
        matrix = ranking.pairwise_distances(queries, gallery, metric=metric)
        np.testing.assert_array_equal(matrix, matrix[:, np.arange(count) % 20])
        columns = ranking.pairwise_distances(queries, np.asfortranarray(gallery), metric=metric)
        np.testing.assert_array_equal(columns, matrix)


@pytest.mark.parametrize("rerank", [None, ranking.KReciprocal(k1=3, k2=2)], ids=["distances", "reranked"])
def test_blocks_are_ranked_as_they_come(rerank, monkeypatch):
    """Of 8 blocks only some are made before the first is ranked, and only some are alive at any time."""
    rng = np.random.default_rng(0)
    queries, gallery = (rng.standard_normal((n, 5), np.float32) for n in (900, 40))
    make, count = ranking.distances._block_distances, ranking.scores._count
    made, counted = [], 0

    def counting_make(*arguments, **options):
        block = make(*arguments, **options)
        if len(arguments[0]) == len(queries):  # else a block of all points, for their neighbours
            made.append(weakref.ref(block))
            assert len(made) - counted <= 2
            assert sum(reference() is not None for reference in made) <= 3
        return block

    def counting_count(*arguments, **options):
        nonlocal counted
        counted += 1
        return count(*arguments, **options)

    monkeypatch.setattr(ranking.distances, "_block_distances", counting_make)
    monkeypatch.setattr(ranking.scores, "_count", counting_count)
    ranking.evaluate_ranking(queries, gallery, *random_labels(rng, 900, 40), rerank=rerank)
    assert (len(made), counted) == (8, 8)


def test_single_gallery_image():
    one = np.array([1])
    result = ranking.evaluate_ranking(ones(1, 3), ones(1, 3), one, one, one, one + 1, ranks=(1,))
    assert result == ranking.RankingResult(cmc={1: 1.0}, mean_ap=1.0, mean_inp=1.0, num_valid_queries=1)


def test_correct_ranks():
    distances = np.array([5, 1, 5, 0, 5, 1], np.float32)
    correct = np.array([True, True, True, True, False, False])
    dropped = np.array([False, False, False, True, False, False])
    # Kept, in order: 1 and 5 (1.0), then 0, 2 and 4 (5.0).
    np.testing.assert_array_equal(ranking.correct_ranks(distances, correct, dropped), [1, 3, 4])
    assert len(ranking.correct_ranks(distances, correct, correct)) == 0


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
    trapezoidal = ranking.evaluate_distances(
        distances,
        np.array([7]),
        gallery_ids,
        np.array([0]),
        gallery_cameras,
        average_precision="trapezoidal",
        ranks=(1,),
    )
    # Precision before and at the hits: 0/1 and 1/2, 1/3 and 2/4.
    assert trapezoidal.mean_ap == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, abs=1e-15)


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


@pytest.mark.parametrize("definition", ranking.AVERAGE_PRECISIONS)
def test_chance_is_the_mean_over_every_permutation(definition):
    """5 gallery images, 120 orders: the mean of the real scores over all of them, to rounding."""
    labels = (np.array([1, 2, 9]), np.array([1, 2, 1, 1, 2]), np.array([0, 0, 0]), np.array([0, 1, 1, 2, 2]))
    ranks = (1, 2, 3, 5)
    orders = [
        ranking.evaluate_distances(
            np.tile(np.float32(order), (3, 1)), *labels, ranks=ranks, average_precision=definition
        )
        for order in itertools.permutations(range(5))
    ]
    chance = ranking.chance_scores(*labels, ranks=ranks, average_precision=definition)
    assert chance.num_valid_queries == 2
    assert chance.cmc == pytest.approx({k: np.mean([order.cmc[k] for order in orders]) for k in ranks})
    assert chance.mean_ap == pytest.approx(np.mean([order.mean_ap for order in orders]))
    assert chance.mean_inp == pytest.approx(np.mean([order.mean_inp for order in orders]))


def test_chance_of_a_single_gallery_image():
    one = np.array([1])
    for definition in ranking.AVERAGE_PRECISIONS:
        chance = ranking.chance_scores(one, one, one, one + 1, ranks=(1,), average_precision=definition)
        assert chance == ranking.RankingResult(cmc={1: 1.0}, mean_ap=1.0, mean_inp=1.0, num_valid_queries=1)
    with pytest.raises(ValueError, match="The only query has no gallery image of its identity"):
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
    with pytest.raises(ValueError, match="Row 1 of the distance matrix holds NaN; expected numbers"):
        ranking.evaluate_distances(np.array([[0, 1, 2], [0, np.nan, 1]], np.float32), *labels, ranks=(1,))
    broken = ones(3, 4)
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 3 gallery embeddings, the first at index 2"):
        ranking.evaluate_ranking(ones(2, 4), broken, *labels, ranks=(1,))
    with pytest.raises(
        ValueError, match=r"NaN or infinity in 1 of 2 query embeddings, the first at index 1 \(or four times"
    ):
        ranking.evaluate_ranking(np.float32([[1, 1], [1, 1e20]]), ones(3, 2), *labels, ranks=(1,))
    for function in (ranking.evaluate_distances, functools.partial(ranking.evaluate_ranking, ones(2, 3))):
        with pytest.raises(ValueError, match="average_precision 'area' is unknown; expected one of standard, trap"):
            function(ones(2, 3), *labels, ranks=(1,), average_precision="area")
    with pytest.raises(ValueError, match="average_precision 'area' is unknown"):
        ranking.chance_scores(*labels, ranks=(1,), average_precision="area")
    with pytest.raises(ValueError, match="metric 'manhattan' is unknown; expected one of euclidean, cosine"):
        ranking.evaluate_ranking(ones(2, 4), ones(3, 4), *labels, ranks=(1,), metric="manhattan")
    with pytest.raises(ValueError, match="query embeddings have 4 dimensions, gallery embeddings 5"):
        ranking.evaluate_ranking(ones(2, 4), ones(3, 5), *labels, ranks=(1,))
    with pytest.raises(ValueError, match=r"only zeros in 2 of 2 query embeddings, the first at index 0.*Euclidean"):
        ranking.evaluate_ranking(np.zeros((2, 4)), ones(3, 4), *labels, ranks=(1,), metric="cosine")


def test_what_cannot_be_scored_says_why():
    ids, gallery_ids = np.array([1, 2]), np.array([1, 2, 2])

    def error(query_ids, query_cameras, gallery_cameras):
        labels = (query_ids, gallery_ids, np.array(query_cameras), np.array(gallery_cameras))
        with pytest.raises(ValueError, match="None of the 2 queries has a gallery image of its identity") as raised:
            ranking.evaluate_distances(ones(2, 3), *labels, ranks=(1,))
        with pytest.raises(ValueError, match=re.escape(str(raised.value))):
            ranking.chance_scores(*labels, ranks=(1,))
        assert "\n" not in str(raised.value)  # one line of a table of several datasets
        return str(raised.value)

    nobody = error(ids + 5, [0, 0], [1, 1, 1])
    assert "query and gallery share no person_id" in nobody
    assert "camera" not in nobody
    one_camera = error(ids, [3, 3], [3, 3, 3])
    assert "from another camera: 2 have such images from their own camera only" in one_camera
    assert "the Market-1501 rule drops" in one_camera
    assert "Cameras of query and gallery: 3. " in one_camera
    assert "give all query images one number and all gallery images another" in one_camera
    # One query has nothing in the gallery, the other only what is dropped.
    assert "1 has such images from their own camera only" in error(np.array([1, 9]), [0, 0], [0, 1, 1])


def test_many_cameras_are_not_all_listed():
    ids = np.arange(20)
    with pytest.raises(ValueError, match=r"Cameras of query and gallery: 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\. If"):
        ranking.evaluate_distances(ones(20, 20), ids, ids, ids, ids, ranks=(1,))


@pytest.mark.parametrize(("num_query", "num_gallery"), [(0, 4), (2, 0), (0, 0)])
def test_an_empty_query_or_gallery_is_named(num_query, num_gallery):
    labels = [np.ones(count, np.int64) for count in (num_query, num_gallery, num_query, num_gallery)]
    words = f"Nothing to rank: {num_query} query images and {num_gallery} gallery images"
    with pytest.raises(ValueError, match=words):
        ranking.evaluate_ranking(ones(num_query, 3), ones(num_gallery, 3), *labels)
    with pytest.raises(ValueError, match=words):
        ranking.evaluate_distances(ones(num_query, num_gallery), *labels)
    with pytest.raises(ValueError, match=words):
        ranking.chance_scores(*labels)


def test_longest_embeddings():
    """A squared length of 7e37 is taken, and no distance is infinite; 2e38 is finite, but distances would not be."""
    longest = np.sqrt(np.float32([[7e37], [7e37]])) * np.float32([[1], [-1]])
    np.testing.assert_allclose(ranking.pairwise_distances(longest, longest), np.abs(longest - longest.T), rtol=1e-6)
    for metric in ranking.METRICS:
        with pytest.raises(ValueError, match=r"2 of 2 query embeddings.* \(or four times their squared length exceeds"):
            ranking.pairwise_distances(longest * np.float32(1.7), longest, metric=metric)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 1 query embedding,"):
        ranking.pairwise_distances(np.array([[1e300]]), longest)


@pytest.mark.parametrize("metric", ranking.METRICS)
def test_shortest_embeddings(metric):
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((5, 64), np.float32), rng.standard_normal((30, 64), np.float32)
    expected = ranking.pairwise_distances(queries, gallery, metric=metric)
    found = ranking.pairwise_distances(queries * np.float32(1e-15), gallery * np.float32(1e-15), metric=metric)
    np.testing.assert_allclose(found * (1e15 if metric == "euclidean" else 1), expected, rtol=1e-5)
    for scale in (1e-18, 1e-20, 1e-50):
        small = gallery.astype(np.float64)
        small[[2, 4]] *= scale
        if metric == "euclidean":
            small[0] = 0  # no error: zero is exact
        with pytest.raises(ValueError, match=r"in 2 of 30 gallery embeddings .* the first at index 2"):
            ranking.pairwise_distances(queries, small, metric=metric)


def test_labels_of_other_types():
    distances = np.float32([[0, 1, 2], [2, 1, 0]])
    lists = ([1, 2], [1, 2, 2], [0, 0], [1, 1, 1])
    arrays = [
        np.array(values, dtype) for values, dtype in zip(lists, ("uint8", "int16", "int32", "int64"), strict=True)
    ]
    result = ranking.evaluate_distances(distances, *arrays, ranks=(1, 2))
    assert result.cmc == {1: 1.0, 2: 1.0}
    assert ranking.evaluate_distances(distances, *lists, ranks=(1, 2)) == result
    assert ranking.evaluate_ranking(ones(2, 4), ones(3, 4), *lists, ranks=(1,)).num_valid_queries == 2
    assert ranking.chance_scores(*lists, ranks=(1,)) == ranking.chance_scores(*arrays, ranks=(1,))
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    for (index, name), dtype in itertools.product(enumerate(names), ("float32", "bool", "str", "object")):
        wrong = [*arrays[:index], arrays[index].astype(dtype), *arrays[index + 1 :]]
        with pytest.raises(ValueError, match=f"{name} has dtype .*; expected integers"):
            ranking.evaluate_distances(distances, *wrong, ranks=(1,))


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_queries_of_a_camera_of_their_own(devices):
    """Nothing is dropped for any query."""
    queries, gallery = np.array([[0.0], [3.0]], np.float32), np.array([[2.0], [1.0], [5.0]], np.float32)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    result = ranking.evaluate_ranking(queries, gallery, [1, 2], [1, 2, 2], [0, 0], [1, 1, 1], ranks=(1,), mesh=mesh)
    # Query 0 finds its image at rank 2; query 1 finds its two, both at distance 2, at ranks 2 and 3.
    assert result == ranking.RankingResult(
        cmc={1: 0.0}, mean_ap=(1 / 2 + (1 / 2 + 2 / 3) / 2) / 2, mean_inp=(1 / 2 + 2 / 3) / 2, num_valid_queries=2
    )
