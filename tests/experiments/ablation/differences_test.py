"""How sure the difference between two rows is: against closed forms and a simulation."""

import math

import numpy as np
import pytest

from experiments.ablation import differences, tables
from experiments.ablation.differences import QueryScores


def _runs(values: np.ndarray, persons: np.ndarray) -> dict[int, QueryScores]:
    return {seed: QueryScores(persons, {"mAP": row}) for seed, row in enumerate(values)}


def test_with_one_seed_the_error_is_that_of_the_persons():
    rng = np.random.default_rng(0)
    persons = np.arange(400)
    values = rng.normal(0.05, 0.2, 400)
    found = differences.compare(_runs(values[None], persons), _runs(np.zeros((1, 400)), persons), "mAP")
    assert found is not None
    assert found.seeds == 1
    assert found.mean == pytest.approx(values.mean())
    # One query each: the bootstrap's deviation is the standard error of a mean, and t of 399 degrees is 1.966.
    assert found.interval[1] - found.mean == pytest.approx(1.966 * values.std() / math.sqrt(400), rel=0.06)


def test_queries_of_one_person_count_as_one():
    persons = np.repeat(np.arange(40), 10)
    values = np.repeat(np.random.default_rng(1).normal(0.0, 0.2, 40), 10)
    found = differences.compare(_runs(values[None], persons), _runs(np.zeros((1, 400)), persons), "mAP")
    assert found is not None
    assert found.interval[1] - found.mean == pytest.approx(2.023 * values.std() / math.sqrt(40), rel=0.08)


def test_seeds_that_differ_widen_the_interval_as_students_t_says():
    persons = np.arange(1000)
    by_seed = np.array([0.02, 0.05, 0.08])
    values = np.repeat(by_seed[:, None], 1000, axis=1)  # all persons alike: only seeds differ
    found = differences.compare(_runs(values, persons), _runs(np.zeros((3, 1000)), persons), "mAP")
    assert found is not None
    assert found.mean == pytest.approx(0.05)
    assert found.interval[1] - found.mean == pytest.approx(4.303 * 0.03 / math.sqrt(3), rel=1e-3)
    assert not found.beyond_noise


def test_only_seeds_that_both_have_are_compared():
    persons = np.arange(20)
    three, one = _runs(np.full((3, 20), 0.5), persons), _runs(np.full((1, 20), 0.25), persons)
    found = differences.compare(three, one, "mAP")
    assert found == differences.Difference(0.25, (0.25, 0.25), 1)
    assert found.beyond_noise
    assert differences.compare(three, {}, "mAP") is None


def test_queries_without_a_match_are_left_out():
    persons = np.arange(20)
    values = np.full((1, 20), 0.5)
    values[0, :5] = np.nan
    found = differences.compare(_runs(values, persons), _runs(np.zeros((1, 20)), persons), "mAP")
    assert found is not None
    assert found.mean == 0.5


def test_runs_scored_on_different_queries_are_refused():
    with pytest.raises(ValueError, match="different queries"):
        differences.compare(_runs(np.zeros((1, 20)), np.arange(20)), _runs(np.zeros((1, 21)), np.arange(21)), "mAP")


def test_intervals_hold_the_true_difference_as_often_as_they_say():
    rng = np.random.default_rng(3)
    persons = np.repeat(np.arange(100), 2)
    held = 0
    for _ in range(200):
        of_person = np.repeat(rng.normal(0.1, 0.2, 100), 2)
        values = of_person + rng.normal(0.0, 0.02, (3, 1)) + rng.normal(0.0, 0.1, (3, 200))
        found = differences.compare(_runs(values, persons), _runs(np.zeros((3, 200)), persons), "mAP")
        assert found is not None
        held += found.interval[0] <= 0.1 <= found.interval[1]
    # 190 expected, with a deviation of 3.1.
    assert 180 <= held <= 199


@pytest.mark.parametrize("name", tables.TABLES)
def test_rows_that_are_compared_are_rows_of_the_table(name):
    table = tables.TABLES[name]
    keys = [row.key for row in table.rows]
    for row, other in differences.row_pairs(keys, table.compared):
        assert row in keys
        assert other in keys
        assert row != other
