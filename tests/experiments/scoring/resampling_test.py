"""Persons drawn anew: intervals beside closed forms and slow loops, and what many comparisons at once may claim."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.scoring import resampling
from experiments.scoring.resampling import Cases, Draws, Grouping, bootstrap_interval, compare


def test_draws_are_of_persons():
    draws = Draws(np.array([7, 3, 3, 9]), samples=400, seed=1)
    assert draws.times.shape == (400, 3)
    np.testing.assert_array_equal(draws.times.sum(axis=1), 3)
    # Each person of n is drawn n times with probability 1 / n: mean 1, variance 1 - 1 / n.
    assert draws.times.mean() == 1.0
    assert draws.times.var(axis=0) == pytest.approx(2 / 3, abs=0.15)


def test_interval_of_a_mean_is_the_normal_one():
    """For n persons with a case each: the mean and 1.96 standard deviations / sqrt(n) on both sides."""
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    low, high = bootstrap_interval(values, np.arange(400))
    reach = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.05 * reach)


def test_interval_of_two_persons_is_exact():
    """Drawn are both (half of the draws), or one of them twice (a quarter each)."""
    assert bootstrap_interval(np.array([0.0, 0.0, 1.0]), np.array([1, 1, 2])) == (0.0, 1.0)


def test_copies_of_a_case_tell_nothing_new():
    values, persons = np.random.default_rng(0).normal(size=50), np.arange(50)
    once = bootstrap_interval(values, persons)
    assert bootstrap_interval(np.repeat(values, 9), np.repeat(persons, 9)) == pytest.approx(once)


def random_grouping(rng, num_persons=40, groups=3, *, cases=120):
    persons = rng.integers(0, num_persons, cases)
    scores = {"rank1": rng.integers(0, 2, cases).astype(float), "mAP": rng.uniform(size=cases)}
    return Grouping(Cases(persons, scores), rng.integers(-1, groups, cases), groups)


def slow_means(grouping, name, times, persons):
    """For each draw and group the means of the group and of the rest, case by case."""
    found = np.full((len(times), grouping.count, 2), np.nan)
    for draw, drawn in enumerate(times):
        weight = dict(zip(persons, drawn, strict=True))
        for group in range(grouping.count):
            for side in range(2):
                total = weights = 0.0
                for person, own, score in zip(
                    grouping.cases.persons.tolist(), grouping.groups, grouping.cases.scores[name], strict=True
                ):
                    if own >= 0 and (own == group) == (side == 0):
                        total, weights = total + weight[person] * score, weights + weight[person]
                found[draw, group, side] = total / weights
    return found


def test_groups_are_scored_as_by_a_slow_loop():
    rng = np.random.default_rng(3)
    groupings = [random_grouping(rng), random_grouping(rng, groups=2)]
    everyone = np.unique(np.concatenate([grouping.cases.persons for grouping in groupings]))
    draws = Draws(everyone, samples=100, seed=5)
    found = compare(groupings, draws)
    assert found.num_differences == 2 * (3 + 2)
    once = np.ones((1, len(everyone)))
    deviations, expected = [], []
    for grouping, groups in zip(groupings, found.groups, strict=True):
        for number, group in enumerate(groups):
            member = grouping.groups == number
            assert group.num_cases == np.count_nonzero(member)
            assert group.num_persons == len(set(grouping.cases.persons[member].tolist()))
        for name in ("rank1", "mAP"):
            points = slow_means(grouping, name, once, everyone.tolist())[0]
            drawn = slow_means(grouping, name, draws.times, everyone.tolist())
            for number, group in enumerate(groups):
                estimate = group.estimates[name]
                own, rest = drawn[:, number].T
                difference = points[number, 0] - points[number, 1]
                assert estimate.score == pytest.approx(points[number, 0])
                assert estimate.interval == pytest.approx(tuple(np.quantile(own, [0.025, 0.975])))
                assert estimate.difference == pytest.approx(difference)
                deviations.append(np.abs(own - rest - difference) / np.std(own - rest))
                expected.append((grouping, number, name, estimate, difference, float(np.std(own - rest))))
    largest = np.max(deviations, axis=0)
    level = 2 * stats.norm.sf(np.quantile(largest, 0.95))
    assert found.level == pytest.approx(level)
    for grouping, number, name, estimate, difference, deviation in expected:
        fewest, common = slow_common_error(grouping, number, name)
        error = max(deviation, common) * math.sqrt(fewest / (fewest - 1))
        for interval, alpha in ((estimate.difference_interval, 0.05), (estimate.widened_interval, level)):
            reach = stats.t(fewest - 1).isf(alpha / 2) * error
            assert interval == pytest.approx((difference - reach, difference + reach))
        alone = 2 * stats.t(fewest - 1).sf(abs(difference) / error)
        assert estimate.adjusted_p == pytest.approx(np.mean(2 * stats.norm.sf(largest) <= alone))
        low, high = estimate.widened_interval
        assert estimate.beyond_noise == (not low <= 0 <= high)


def slow_common_error(grouping, number, name):
    """Persons of the smaller side, and the standard error of the difference if persons did not differ by side."""
    chosen = grouping.groups >= 0
    scores = grouping.cases.scores[name]
    sides = [grouping.groups == number, chosen & (grouping.groups != number)]
    persons = set(grouping.cases.persons[chosen].tolist())
    deviations = squares = weights = 0.0
    for person in persons:
        own = chosen & (grouping.cases.persons == person)
        deviations += sum(score - scores[chosen].mean() for score in scores[own]) ** 2
        squares += np.count_nonzero(own) ** 2
        shares = [np.count_nonzero(side & own) / np.count_nonzero(side) for side in sides]
        weights += (shares[0] - shares[1]) ** 2
    fewest = min(len(set(grouping.cases.persons[side].tolist())) for side in sides)
    return fewest, math.sqrt(deviations / squares * weights)


def test_one_difference_needs_no_wider_interval():
    """Both groups have one difference, but for its sign: the level is the usual one, the error that of Welch's test."""
    rng = np.random.default_rng(0)
    cases = Cases(np.arange(300), {"mAP": rng.normal(size=300)})
    found = compare([Grouping(cases, np.arange(300) % 2, 2)], Draws(cases.persons))
    assert found.level == pytest.approx(0.05, abs=0.01)
    own, rest = cases.scores["mAP"][::2], cases.scores["mAP"][1::2]
    expected = stats.ttest_ind(own, rest, equal_var=False).confidence_interval(0.95)
    interval = found.groups[0][0].estimates["mAP"].difference_interval
    assert interval == pytest.approx((expected.low, expected.high), abs=0.02)


def test_a_few_that_are_all_right_are_no_proof():
    """Each of 12 persons is found, of 68 others 58 are: by itself such a group has no spread at all."""
    right = np.concatenate([np.ones(12), np.arange(68) % 7 > 0])
    cases = Cases(np.arange(80), {"rank1": right})
    found = compare([Grouping(cases, (np.arange(80) >= 12).astype(int), 2)], Draws(cases.persons))
    estimate = found.groups[0][0].estimates["rank1"]
    assert estimate.score == 1.0
    low, high = estimate.difference_interval
    assert low < 0 < high
    assert not estimate.beyond_noise


def test_noise_is_not_claimed_and_a_true_difference_is():
    """Of 20 sets of 12 facets that say nothing of the scores, few have a claim; without the widening, many have."""
    rng = np.random.default_rng(0)
    claimed = alone = 0
    for _ in range(20):
        persons = np.repeat(np.arange(60), 2)
        scores = rng.normal(size=60)[persons] + rng.normal(size=120)
        cases = Cases(persons, {"mAP": scores})
        groupings = [Grouping(cases, rng.integers(0, 3, 60)[persons], 3) for _ in range(12)]
        found = compare(groupings, Draws(persons, samples=400))
        estimates = [group.estimates["mAP"] for groups in found.groups for group in groups]
        claimed += any(estimate.beyond_noise for estimate in estimates)
        intervals = [estimate.difference_interval for estimate in estimates if estimate.difference_interval]
        alone += any(not low <= 0 <= high for low, high in intervals)
    assert claimed <= 2
    assert alone >= 8
    shifted = Grouping(Cases(persons, {"mAP": scores + 3.0 * (persons < 20)}), (persons < 20).astype(int), 2)
    found = compare([*groupings, shifted], Draws(persons, samples=400))
    assert all(group.estimates["mAP"].beyond_noise for group in found.groups[-1])


def test_too_few_persons_give_no_interval():
    least = resampling.MIN_PERSONS
    persons = np.arange(60)
    cases = Cases(persons, {"mAP": np.random.default_rng(0).normal(size=60)})
    few, enough = (
        compare([Grouping(cases, (persons < number).astype(int), 2)], Draws(persons)).groups[0]
        for number in (least - 1, least)
    )
    assert [group.compared for group in few] == [False, False]  # the others' rest is too small
    assert [group.compared for group in enough] == [True, True]
    assert few[1].estimates["mAP"].score == pytest.approx(cases.scores["mAP"][: least - 1].mean())
    assert few[1].estimates["mAP"].difference is None
    # Many queries of few persons are no better.
    many = Cases(np.repeat(persons, 9), {"mAP": np.repeat(cases.scores["mAP"], 9)})
    group = Grouping(many, (many.persons < least - 1).astype(int), 2)
    assert not compare([group], Draws(persons)).groups[0][1].compared


def test_scores_that_are_all_alike_and_groups_without_cases():
    cases = Cases(np.arange(40), {"mAP": np.ones(40)})
    found = compare([Grouping(cases, np.arange(40) % 2, 3)], Draws(cases.persons))
    assert (found.num_differences, found.level) == (0, None)
    first, _, empty = found.groups[0]
    assert first.estimates["mAP"].interval == (1.0, 1.0)
    assert not first.estimates["mAP"].beyond_noise
    assert (empty.num_cases, empty.estimates, empty.compared) == (0, {}, False)
