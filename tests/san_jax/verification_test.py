"""Error rates and thresholds: against loops over all pairs, and against closed forms of two normal distributions."""

import itertools

import numpy as np
import pytest
import scipy.stats

from san_jax import ranking, verification
from san_jax.verification import PairCounts


def make_pictures(count: int = 60, persons: int = 9, seed: int = 0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, persons, count)
    embeddings = (rng.normal(size=(persons, 8))[ids] + 0.7 * rng.normal(size=(count, 8))).astype(np.float32)
    return embeddings, ids, rng.integers(0, 3, count)


def slow_pairs(embeddings, persons, cameras, metric):
    """Distances of genuine and of impostor pairs, a pair at a time."""
    distances = ranking.pairwise_distances(embeddings, embeddings, metric=metric)
    found = ([], [])
    for i, j in itertools.combinations(range(len(persons)), 2):
        if cameras is None or cameras[i] != cameras[j]:
            found[int(persons[i] != persons[j])].append(float(distances[i, j]))
    return np.array(found[0]), np.array(found[1])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("across", [True, False])
def test_counts_and_rates_are_those_of_a_loop(metric, across):
    embeddings, persons, cameras = make_pictures()
    used = cameras if across else None
    counts = verification.count_pairs(embeddings, persons, used, metric=metric)
    genuine, impostor = slow_pairs(embeddings, persons, used, metric)
    assert np.log2(counts.width) == round(np.log2(counts.width))
    assert (counts.genuine.sum(), counts.impostor.sum()) == (len(genuine), len(impostor))
    edges = counts.edges[:: len(counts.edges) // 50]
    false_match, false_non_match = (rates[:: len(counts.edges) // 50] for rates in verification.rates(counts))
    np.testing.assert_array_equal(false_match, [np.mean(impostor < edge) for edge in edges])
    np.testing.assert_array_equal(false_non_match, [np.mean(genuine >= edge) for edge in edges])
    slow = np.mean([(g < i) + 0.5 * (g == i) for g in genuine for i in impostor])
    assert verification.area_under_roc(counts) == pytest.approx(slow, abs=1e-3)  # pairs of one interval count half
    for target in (0.3, 0.1, 0.02):
        point = verification.operating_point(counts, target)
        assert point.threshold is not None
        assert point.false_matches == np.sum(impostor < point.threshold) <= target * len(impostor)
        assert np.sum(impostor < point.threshold + counts.width) > target * len(impostor)  # no larger one would do
        assert point.false_non_matches == np.sum(genuine >= point.threshold)
        assert (point.impostors, point.genuine) == (len(impostor), len(genuine))
        assert verification.point_at(counts, point.threshold).false_matches == point.false_matches


def normal_counts(separation: float, *, size: int = 4000) -> PairCounts:
    """Exact shares of two normal distributions, of genuine distances around 10 and impostor ones farther away."""
    width = 2.0**-7
    edges = width * np.arange(size + 1)
    genuine, impostor = (np.diff(scipy.stats.norm.cdf(edges, mean)) * 1e12 for mean in (10, 10 + separation))
    return PairCounts(width, genuine.astype(np.int64), impostor.astype(np.int64))


@pytest.mark.parametrize("separation", [1.0, 3.0])
def test_closed_forms_of_two_normal_distributions(separation):
    counts = normal_counts(separation)
    rate, threshold = verification.equal_error_rate(counts)
    assert rate == pytest.approx(scipy.stats.norm.cdf(-separation / 2), rel=1e-2)
    assert threshold == pytest.approx(10 + separation / 2, abs=counts.width)
    expected = scipy.stats.norm.cdf(separation / np.sqrt(2))
    assert verification.area_under_roc(counts) == pytest.approx(expected, abs=1e-5)
    for target in (1e-2, 1e-4):
        point = verification.operating_point(counts, target)
        assert point.threshold == pytest.approx(10 + separation + scipy.stats.norm.ppf(target), abs=counts.width)
    false_match, false_non_match = verification.roc_curve(counts)
    assert len(false_match) > 20
    assert np.all(np.diff(false_match) > 0)
    chosen = (false_match > 1e-5) & (false_match < 0.9)
    thresholds = 10 + separation + scipy.stats.norm.ppf(false_match[chosen])
    np.testing.assert_allclose(false_non_match[chosen], scipy.stats.norm.sf(thresholds, 10), atol=1e-3)


def test_probability_is_that_of_two_normal_distributions():
    counts = normal_counts(2.0)
    found = verification.reliability(counts)
    assert found.genuine.sum() == counts.genuine.sum()
    assert found.impostor.sum() == counts.impostor.sum()
    assert np.all(np.diff(found.probability) <= 0)
    assert np.all(np.diff(found.edges) > 0)
    assert len(found.probability) == len(found.edges) - 1 > 20
    # At even odds the odds are the ratio of the densities: exp(-2 (d - 11)).
    for low, high in itertools.pairwise(found.edges[3:-3]):
        assert 1 / (1 + np.exp(2 * (high - 11))) <= found.at(np.array([low]))[0] <= 1 / (1 + np.exp(2 * (low - 11)))
    beyond = found.at(np.array([0.0, 1e9]))
    assert beyond.tolist() == [found.probability[0], found.probability[-1]]


def test_a_rate_with_too_few_pairs_is_not_supported():
    counts = PairCounts(1.0, np.array([5, 5, 0]), np.array([0, 400, 599]))
    assert verification.operating_point(counts, 1e-2).threshold is None  # 999 pairs: 9.99 stand behind it
    counts = PairCounts(1.0, np.array([5, 5, 0]), np.array([0, 400, 600]))
    point = verification.operating_point(counts, 1e-2)
    assert (point.threshold, point.false_match_rate, point.false_non_match_rate) == (1.0, 0.0, 0.5)


def test_the_width_may_be_given():
    embeddings, persons, cameras = make_pictures()
    whole = verification.count_pairs(embeddings, persons, cameras)
    part = verification.count_pairs(embeddings[:20] / 100, persons[:20], cameras[:20], width=whole.width)
    assert part.width == whole.width
    assert len(part.genuine) < len(whole.genuine)


def test_pictures_at_one_place_are_counted():
    counts = verification.count_pairs(np.zeros((4, 3), np.float32), np.array([0, 0, 1, 1]))
    assert (counts.genuine[0], counts.impostor[0]) == (2, 4)
