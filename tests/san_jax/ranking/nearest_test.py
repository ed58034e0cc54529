"""The nearest in blocks: those of the whole matrix of distances, whatever the blocks, with ties by index."""

import numpy as np
import pytest

from san_jax import ranking
from san_jax.ranking.nearest import NONE, Nearest


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("size", [1, 7, 64, 300])
def test_blocks_change_nothing(metric, size):
    rng = np.random.default_rng(0)
    # Few distinct pictures: many distances are equal.
    gallery = rng.normal(size=(40, 6)).astype(np.float32)[rng.integers(0, 40, 200)]
    queries = rng.normal(size=(130, 6)).astype(np.float32)  # more than a device computes at a time
    excluded = rng.random((130, 200)) < 0.2
    found = Nearest(queries, 9, metric=metric, rows=64)
    for start in range(0, 200, size):
        found.add(gallery[start : start + size], excluded[:, start : start + size])
    distances = ranking.pairwise_distances(queries, gallery, metric=metric)
    distances[excluded] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :9]
    assert found.added == 200
    # Distances come from another matrix product: equal pictures stay equal within it.
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.indices, order)


def test_copies_are_at_one_distance_whatever_the_blocks():
    """A matrix product of another size rounds otherwise: with blocks of their own sizes, copies came out of order."""
    rng = np.random.default_rng(0)
    pictures, place = rng.normal(size=(20, 512)).astype(np.float32), rng.integers(0, 20, 400)
    found = Nearest(rng.normal(size=(3, 512)).astype(np.float32), 400, rows=128)
    sizes = (1, 3, 17, 50, 129, 200)
    for start, size in zip(np.cumsum((0, *sizes[:-1])), sizes, strict=True):
        found.add(pictures[place[start : start + size]])
    for query in range(3):
        for picture in range(20):
            copies = place[found.indices[query]] == picture
            assert len(np.unique(found.distances[query][copies])) == 1
            assert (np.diff(found.indices[query][copies]) > 0).all()


def test_fewer_pictures_than_asked_for():
    found = Nearest(np.eye(2, dtype=np.float32), 3)
    found.add(np.zeros((0, 2), np.float16))
    found.add(np.array([[1, 0], [0, 3]], np.float16), np.array([[False, False], [True, False]]))
    assert found.indices.tolist() == [[0, 1, NONE], [1, NONE, NONE]]
    np.testing.assert_allclose(found.distances, [[0, 10**0.5, np.inf], [2, np.inf, np.inf]], rtol=1e-6)


def test_what_cannot_be_searched():
    for queries, count in ((np.zeros((0, 2), np.float32), 1), (np.zeros((1, 2), np.float32), 0)):
        with pytest.raises(ValueError, match="at least one neighbour of at least one query"):
            Nearest(queries, count)
    found = Nearest(np.ones((1, 2), np.float32), 1)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 1 gallery embedding,"):
        found.add(np.full((1, 2), np.nan, np.float32))
