"""k-reciprocal re-ranking against the paper's definition in dense float64 loops, and every documented error."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from san_jax import ranking
from san_jax.ranking import KReciprocal, k_reciprocal, k_reciprocal_rerank, reranked_blocks
from san_jax.ranking.distances import ROWS
from san_jax.sharding import make_mesh

# The program's distances are float32: squared distances of some tens, by |x|^2 - 2 x.y + |y|^2, over their maximum.
ATOL = 2e-6


def slow_rerank(queries, gallery, k1, k2, lambda_value):
    """The six steps of the module's docstring, one point at a time with Python sets, float64."""
    points = np.concatenate([queries, gallery]).astype(np.float64)
    count = len(points)
    original = np.stack([((points - point) ** 2).sum(axis=1) for point in points])
    ranks = [sorted(range(count), key=lambda j, i=i: (j != i, original[i, j], j)) for i in range(count)]
    largest = original.max(axis=1, keepdims=True)
    original = original / np.where(largest > 0, largest, 1)

    def reciprocal(i, k):
        return {j for j in ranks[i][: k + 1] if i in ranks[j][: k + 1]}

    half = int(np.around(k1 / 2))
    encodings = np.zeros((count, count))
    for i in range(count):
        neighbours = reciprocal(i, k1)
        expanded = set(neighbours)
        for j in neighbours:
            candidates = reciprocal(j, half)
            if len(candidates & neighbours) > 2 / 3 * len(candidates):
                expanded |= candidates
        for j in expanded:
            encodings[i, j] = np.exp(-original[i, j])
        encodings[i] /= encodings[i].sum()
    encodings = np.stack([encodings[ranks[i][:k2]].mean(axis=0) for i in range(count)])
    result = np.empty((len(queries), len(gallery)))
    for q in range(len(queries)):
        for g in range(len(gallery)):
            common = np.minimum(encodings[q], encodings[len(queries) + g]).sum()
            jaccard = 1 - common / (2 - common)
            result[q, g] = (1 - lambda_value) * jaccard + lambda_value * original[q, len(queries) + g]
    return result


def clustered(seed, num_query=30, num_gallery=170, people=14, dim=24, spread=0.8):
    """Embeddings and identities; continuous, so that no two distances are within float32 rounding of each other."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, people, num_query + num_gallery)
    points = rng.standard_normal((people, dim))[ids] + spread * rng.standard_normal((len(ids), dim))
    points = points.astype(np.float32)
    return points[:num_query], points[num_query:], ids[:num_query], ids[num_query:]


@pytest.mark.parametrize("k1", [1, 2, 5, 7, 20])  # round(k1 / 2): 0 (half to even), 1, 2, 4, 10
@pytest.mark.parametrize(("k2", "lambda_value"), [(6, 0.3), (1, 0.3), (3, 0.0), (30, 0.6)])
def test_equals_slow_loop(k1, k2, lambda_value):
    queries, gallery, _, _ = clustered(k1)
    result = k_reciprocal_rerank(queries, gallery, k1=k1, k2=k2, lambda_value=lambda_value)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, slow_rerank(queries, gallery, k1, k2, lambda_value), rtol=0, atol=ATOL)


def test_expansion_takes_part():
    """Without step 3's expansion the result would be another one, so the comparison above would notice."""
    queries, gallery, _, _ = clustered(20)
    points = jnp.asarray(np.concatenate([queries, gallery]))
    mesh = make_mesh(jax.devices()[:1])
    neighbours, maxima = k_reciprocal._neighbours(points, 21, mesh)
    encodings = k_reciprocal._encodings(points, neighbours, maxima, KReciprocal(k2=1), mesh)
    grown = np.diff(encodings.indptr) - np.diff(k_reciprocal._reciprocal(neighbours).indptr)
    assert (grown >= 0).all()
    assert (grown > 0).any()
    assert (grown == 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_duplicates_and_ties_equal_slow_loop(seed):
    """Integer coordinates: every distance is exact in float32, most are tied, and every point has copies."""
    rng = np.random.default_rng(seed)
    points = rng.integers(-2, 3, (120, 3)).astype(np.float32)
    points = np.concatenate([points, points[:40], points[20:60]])
    queries, gallery = points[::5], np.delete(points, np.s_[::5], axis=0)
    for k1, k2 in ((6, 3), (20, 6)):
        result = k_reciprocal_rerank(queries, gallery, k1=k1, k2=k2)
        np.testing.assert_allclose(result, slow_rerank(queries, gallery, k1, k2, 0.3), rtol=0, atol=ATOL)


def test_more_copies_than_neighbours():
    """40 copies of one image and 3 neighbours: each copy still is its own first, and no row of weights is empty."""
    queries, gallery, _, _ = clustered(0, num_query=5, num_gallery=30)
    gallery = np.concatenate([np.repeat(queries[:1], 40, axis=0), gallery])
    result = k_reciprocal_rerank(np.round(queries * 8), np.round(gallery * 8), k1=2, k2=2)
    expected = slow_rerank(np.round(queries * 8), np.round(gallery * 8), 2, 2, 0.3)
    np.testing.assert_allclose(result, expected, rtol=0, atol=ATOL)


def test_copies_of_a_query_are_equal_to_it():
    """Float coordinates, where |x|^2 - 2 x.y + |y|^2 of two copies is not 0: ranked first, all at the same distance."""
    queries, gallery, _, _ = clustered(1)
    gallery = np.concatenate([gallery, queries[:3], queries[:3]])
    result = k_reciprocal_rerank(queries, gallery, k1=7, k2=3)
    for query in range(3):
        copies = result[query, [170 + query, 173 + query]]
        np.testing.assert_allclose(copies, copies[0], rtol=0, atol=ATOL)
        assert (np.argsort(result[query], kind="stable")[:2] == [170 + query, 173 + query]).all()


def test_rankings_are_exact_far_from_the_origin():
    """At 300 in every coordinate |x|^2 - 2 x.y + |y|^2 is wrong by some tenths; differences of coordinates are not."""
    queries, gallery, _, _ = clustered(8)
    points = np.concatenate([queries, gallery]) + np.float32(300)
    squares = np.square(points[:, None].astype(np.float64) - points[None]).sum(axis=2)
    np.fill_diagonal(squares, -1)
    expected = np.argsort(squares, axis=1, kind="stable")[:, :21]
    products = ranking.pairwise_distances(points, points)
    np.fill_diagonal(products, -1)
    assert (np.argsort(products, axis=1, kind="stable")[:, :21] != expected).any(axis=1).mean() > 0.5
    neighbours, _ = k_reciprocal._neighbours(jnp.asarray(points), 21, make_mesh(jax.devices()[:1]))
    np.testing.assert_array_equal(neighbours, expected)


def test_longest_and_shortest_embeddings():
    """Scaled by powers of two, every step is the same to the smallest normal number: no infinity, no NaN."""
    queries, gallery, _, _ = clustered(2, num_query=5, num_gallery=60)
    expected = k_reciprocal_rerank(queries, gallery)
    for scale in (2.0**58, 2.0**-50):
        found = k_reciprocal_rerank(queries * np.float32(scale), gallery * np.float32(scale))
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
    for metric in ranking.METRICS:
        with pytest.raises(ValueError, match="four times their squared length exceeds float32"):
            k_reciprocal_rerank(np.float32([[1, 1.4e19]]), np.float32([[1, -1.4e19]]), metric=metric)
        with pytest.raises(ValueError, match="squares vanish in float32 in 5 of 5 query embeddings"):
            k_reciprocal_rerank(queries * np.float32(1e-20), gallery * np.float32(1e-20), metric=metric)


def test_all_points_the_same():
    ones = np.ones((4, 3), np.float32)
    # Every pair is reciprocal at distance 0, so all encodings are the same.
    np.testing.assert_allclose(k_reciprocal_rerank(ones, ones), np.zeros((4, 4)), rtol=0, atol=1e-7)


def test_lambda_one_is_the_normalised_original_distance():
    queries, gallery, _, _ = clustered(3)
    points = np.concatenate([queries, gallery]).astype(np.float64)
    squares = ((queries[:, None].astype(np.float64) - points[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        k_reciprocal_rerank(queries, gallery, lambda_value=1.0),
        squares[:, len(queries) :] / squares.max(axis=1, keepdims=True),
        rtol=0,
        atol=ATOL,
    )


def test_fewer_points_than_neighbours():
    """All 9 points are each other's neighbours: the encodings are exp(-d) over its sum, then all the same mean."""
    queries, gallery, _, _ = clustered(4, num_query=3, num_gallery=6)
    result = k_reciprocal_rerank(queries, gallery)
    np.testing.assert_allclose(result, slow_rerank(queries, gallery, 20, 6, 0.3), rtol=0, atol=ATOL)
    averaged = k_reciprocal_rerank(queries, gallery, k2=9, lambda_value=0.0)
    np.testing.assert_allclose(averaged, np.zeros((3, 6)), rtol=0, atol=1e-7)


def test_cosine_is_euclidean_between_unit_vectors():
    queries, gallery, _, _ = clustered(5)
    unit_queries, unit_gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
    expected = slow_rerank(unit_queries, unit_gallery, 20, 6, 0.3)
    np.testing.assert_allclose(k_reciprocal_rerank(queries, gallery, metric="cosine"), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    "pairs", [3 * 256, 1024 * 256]
)  # distances of single pairs in blocks, the last not full, or at once
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_blocks_and_devices_agree(devices, pairs, monkeypatch):
    """300 points in blocks of 120 rows a device: a last block that is not full, for neighbours and for queries."""
    queries, gallery, _, _ = clustered(6, num_query=130)
    expected = k_reciprocal_rerank(queries, gallery)
    monkeypatch.setattr(k_reciprocal, "_BLOCK_PAIRS", pairs)
    monkeypatch.setattr(k_reciprocal, "_GROUP", 4)
    blocks = list(reranked_blocks(queries, gallery, KReciprocal(), mesh=make_mesh(jax.devices()[:devices])))
    assert max(len(block) for block in blocks) <= ROWS * devices
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    np.testing.assert_allclose(expected, slow_rerank(queries, gallery, 20, 6, 0.3), rtol=0, atol=ATOL)


@pytest.mark.parametrize("group", [1, 4, 7, 64])
@pytest.mark.parametrize("levels", [1, 3, 1000])  # few levels: most values are tied
def test_smallest_equals_a_stable_sort(levels, group):
    values = np.random.default_rng(levels).integers(0, levels, (50, 90)).astype(np.float32)
    for count in (1, 9, 29, 90):
        expected = np.argsort(values, axis=1, kind="stable")[:, :count]
        np.testing.assert_array_equal(k_reciprocal._smallest(jnp.asarray(values), count, group), expected)


def test_improves_clusters_that_overlap():
    """Identities of 8 images with large spread: neighbours of neighbours tell more than the distance alone."""
    queries, gallery, query_ids, gallery_ids = clustered(7, num_query=60, num_gallery=440, people=60, spread=1.1)
    labels = query_ids, gallery_ids, np.zeros(60, np.int64), np.ones(440, np.int64)
    before = ranking.evaluate_ranking(queries, gallery, *labels)
    after = ranking.evaluate_distances(k_reciprocal_rerank(queries, gallery, k1=8, k2=4), *labels, ranks=(1,))
    assert after.mean_ap > before.mean_ap + 0.05


def test_errors():
    points = np.ones((3, 4), np.float32)
    bad: list[tuple[dict[str, Any], str]] = [
        ({"k1": 0}, "k1 is 0; it counts neighbours and must be at least 1"),
        ({"k2": 0}, "k2 is 0"),
        ({"lambda_value": 1.5}, r"lambda_value is 1.5; it must lie in \[0, 1\]"),
        ({"lambda_value": float("nan")}, "lambda_value is nan"),
        ({"metric": "manhattan"}, "metric 'manhattan' is unknown; expected one of euclidean, cosine"),
    ]
    for settings, message in bad:
        with pytest.raises(ValueError, match=message):
            k_reciprocal_rerank(points, points, **settings)
    with pytest.raises(ValueError, match="query embeddings have 3 dimensions, gallery embeddings 4"):
        k_reciprocal_rerank(points[:, :3], points)
    with pytest.raises(ValueError, match="needs queries and a gallery; found 0 and 3 embeddings"):
        k_reciprocal_rerank(points[:0], points)
    broken = points.copy()
    broken[1, 2] = np.inf
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 3 gallery embeddings, the first at index 1"):
        reranked_blocks(points, broken, KReciprocal())  # at once, not with the first block
    broken[1] = 0
    with pytest.raises(ValueError, match="only zeros in 1 of 3 query embeddings, the first at index 1"):
        k_reciprocal_rerank(broken, points, metric="cosine")
