"""Intervals of scores over persons drawn anew: the cluster bootstrap, and intervals that hold for many comparisons at once.

Queries of one person are not independent, so persons are drawn, each with all its cases (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993; Cameron, Gelbach and Miller, Bootstrap-Based Improvements for Inference with
Clustered Errors, 2008). A difference has a standard error e: that of the draws, or, where it is larger, that which
persons would give who do not differ by their side, for a few whose scores happen to be all 0 or all 1 look surer than
they are. Its interval is t e on both sides, with Student's t of one degree of freedom less than the smaller side has
persons, and e is that much larger, sqrt(n / (n - 1)).

Who looks at fifty differences finds some beyond a 95 % interval by chance. The widened intervals hold for all of them
at once with 95 %: of each draw the largest |drawn difference - difference| / deviation among all is taken, and its 95 %
quantile says at which level a single one must be judged (Westfall and Young, Resampling-Based Multiple Testing, 1993;
Romano and Wolf, Stepwise Multiple Testing as Formalized Data Snooping, 2005). Differences that go together, as those of
a facet's values do, are so taken for what they are. t is then that of this level.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

SAMPLES = 2000
LEVEL = 0.95
# Fewer persons than this, among those with a value or among the others, give no interval: a draw of so few says little.
MIN_PERSONS = 10

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Cases:
    """What is scored: queries, or queries with one of their matches each.

    Attributes:
        persons: The person of each case, int [N].
        scores: Name of the score -> float64 [N], finite.
    """

    persons: np.ndarray
    scores: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Grouping:
    """Cases sorted into groups.

    Attributes:
        cases: The cases.
        groups: Number of each case's group, int [N]; -1 for a case that is left out.
        count: Number of groups.
    """

    cases: Cases
    groups: np.ndarray
    count: int


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score of a group, and how it differs from that of the rest: the grouping's other cases.

    Attributes:
        score: Mean over the group's cases, a fraction.
        interval: 95 % interval of it.
        difference: The score less that of the rest.
        difference_interval: 95 % interval of it, for this difference alone.
        widened_interval: Interval of it that holds, with those of all other differences, with 95 %.
        adjusted_p: Share of the draws whose largest deviation among all differences is as improbable as this difference
            would be if there were none.
    """

    score: float
    interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    widened_interval: Interval | None = None
    adjusted_p: float | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether the widened interval leaves 0 out."""
        return self.widened_interval is not None and not self.widened_interval[0] <= 0.0 <= self.widened_interval[1]


@dataclasses.dataclass(frozen=True)
class Group:
    """The scores of a group.

    Attributes:
        num_cases: Its cases.
        num_persons: Their persons.
        estimates: Name of the score -> what is known of it; nothing but None for a group without cases.
        compared: Whether enough persons are on both sides, so that there are intervals.
    """

    num_cases: int
    num_persons: int
    estimates: Mapping[str, Estimate]
    compared: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        groups: The groups of each grouping.
        num_differences: Differences that share the 95 %.
        level: Level at which a single difference is judged, so that all hold together with 95 %; None without any.
    """

    groups: list[list[Group]]
    num_differences: int
    level: float | None


class Draws:
    """Persons drawn with replacement, as many as there are, many times over.

    Args:
        persons: The persons of all cases, in any order, repeated or not.
        samples: Number of draws.
        seed: Seed of the draws.
    """

    def __init__(self, persons: np.ndarray, *, samples: int = SAMPLES, seed: int = 0) -> None:
        self._persons = np.unique(persons)
        count = len(self._persons)
        drawn = np.random.default_rng(seed).integers(0, count, (samples, count))
        self.times = np.zeros((samples, count))  # how often each person is in each draw
        np.add.at(self.times, (np.arange(samples)[:, None], drawn), 1.0)

    def sums(self, persons: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the sum of the cases' values for each person, float64 [persons ...], for `times @ sums`."""
        found = np.zeros((len(self._persons), *values.shape[1:]))
        np.add.at(found, np.searchsorted(self._persons, persons), values)
        return found

    def mean_interval(self, persons: np.ndarray, values: np.ndarray) -> Interval:
        """Return the 95 % interval of the mean of values [N] of cases with these persons."""
        columns = self.times @ self.sums(persons, np.stack([values, np.ones(len(values))], axis=1))
        return _interval(columns[:, 0], columns[:, 1])


def bootstrap_interval(differences: np.ndarray, identities: np.ndarray) -> Interval:
    """Return the 95 % interval of the mean of per-query differences over draws of identities; NaN is left out."""
    valid = np.isfinite(differences)
    return Draws(identities[valid]).mean_interval(identities[valid], differences[valid])


def compare(groupings: Sequence[Grouping], draws: Draws) -> Comparison:
    """Score every group of every grouping, beside the rest of its grouping.

    Args:
        groupings: The groupings, whose cases have the same scores by name.
        draws: Draws of the persons of all of them.
    """
    found = [_score_groups(grouping, draws) for grouping in groupings]
    drawn = [one for groups in found for group in groups for one in group.values() if one.error > 0]
    if not drawn:
        return Comparison([[_group(group) for group in groups] for groups in found], 0, None)
    largest = np.max([one.deviations for one in drawn], axis=0)
    groups = [[_group(group, largest) for group in groups] for groups in found]
    return Comparison(groups, len(drawn), _single_level(largest))


def _single_level(largest: np.ndarray) -> float:
    """Return how likely a single standard normal deviation reaches the `LEVEL` quantile of the largest ones."""
    return float(2 * special.ndtr(-np.quantile(largest, LEVEL)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawn:
    """A score of a group, its difference, and the differences of the draws.

    Attributes:
        num_cases, num_persons: As in `Group`.
        estimate: What is known without the other differences.
        error: Standard error of the difference; 0 for none.
        freedom: Degrees of freedom of its t.
        deviations: |drawn difference - difference| / deviation of each draw, float64 [samples]; empty for none.
    """

    num_cases: int
    num_persons: int
    estimate: Estimate
    error: float = 0.0
    freedom: int = 1
    deviations: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def interval(self, level: float) -> Interval:
        """Return the interval of the difference that leaves it out with this probability."""
        assert self.estimate.difference is not None
        reach = float(special.stdtrit(self.freedom, 1 - level / 2)) * self.error
        return self.estimate.difference - reach, self.estimate.difference + reach


def _score_groups(grouping: Grouping, draws: Draws) -> list[dict[str, _Drawn]]:
    """Score each group, by the name of the score."""
    names = list(grouping.cases.scores)
    chosen = grouping.groups >= 0
    persons, groups = grouping.cases.persons[chosen], grouping.groups[chosen]
    member = groups[:, None] == np.arange(grouping.count)
    scores = np.stack([np.ones(len(groups)), *(grouping.cases.scores[name][chosen] for name in names)], axis=1)
    # For each person and group the number of cases and the sum of each score, and the same for the rest.
    sums = draws.sums(persons, member[:, :, None] * scores[:, None])
    rest = sums.sum(axis=1, keepdims=True) - sums
    drawn, drawn_rest = (np.einsum("sp,pgk->gks", draws.times, one, optimize=True) for one in (sums, rest))
    found = []
    for number in range(grouping.count):
        both = sums[:, number], rest[:, number]
        enough = min(int(np.count_nonzero(one[:, 0])) for one in both) >= MIN_PERSONS
        found.append(
            {
                name: _score(
                    tuple(one[:, [0, k]] for one in both), (drawn[number][[0, k]], drawn_rest[number][[0, k]]), enough
                )
                for k, name in enumerate(names, 1)
            }
        )
    return found


def _score(both: tuple[np.ndarray, ...], drawn: tuple[np.ndarray, np.ndarray], enough: bool) -> _Drawn:
    """Score a group beside the rest.

    Args:
        both: Number of cases and sum of the score of each person, [persons 2]: of the group and of the rest.
        drawn: The same of each draw, summed over the persons, [2 samples].
        enough: Whether both have persons enough for intervals.
    """
    cases, persons = int(both[0][:, 0].sum()), int(np.count_nonzero(both[0][:, 0]))
    score, rest = (float(one[:, 1].sum() / one[:, 0].sum()) if one[:, 0].any() else float("nan") for one in both)
    if not enough:
        return _Drawn(cases, persons, Estimate(score))
    with np.errstate(invalid="ignore"):
        means = [one[1] / one[0] for one in drawn]  # NaN where nobody of a side was drawn, which is rare
    differences = means[0] - means[1]
    known = np.isfinite(differences)
    deviation = float(np.std(differences[known]))
    fewest = min(int(np.count_nonzero(one[:, 0])) for one in both)
    error = max(deviation, _common_error(both)) * math.sqrt(fewest / (fewest - 1))
    found = _Drawn(
        cases,
        persons,
        Estimate(score, _interval(drawn[0][1], drawn[0][0]), score - rest),
        error=0.0 if error < 1e-9 else error,  # all alike
        freedom=fewest - 1,
        deviations=np.where(known, np.abs(differences - (score - rest)) / max(deviation, 1e-9), 0.0),
    )
    alone = dataclasses.replace(found.estimate, difference_interval=found.interval(1 - LEVEL))
    return dataclasses.replace(found, estimate=alone)


def _common_error(both: tuple[np.ndarray, ...]) -> float:
    """Return the standard error of the difference if persons did not differ by their side.

    A person's cases then have the mean of all and a deviation of the person's own, whose spread all persons tell.

    Args:
        both: Number of cases and sum of the score of each person, [persons 2]: of the group and of the rest.
    """
    cases, sums = (both[0] + both[1]).T
    variance = np.sum((sums - sums.sum() / cases.sum() * cases) ** 2) / np.sum(cases**2)
    weights = both[0][:, 0] / both[0][:, 0].sum() - both[1][:, 0] / both[1][:, 0].sum()
    return float(np.sqrt(variance * np.sum(weights**2)))


def _group(scores: Mapping[str, _Drawn], largest: np.ndarray | None = None) -> Group:
    """Widen the intervals of a group.

    Args:
        scores: Its scores by name.
        largest: The largest deviation of each draw, float64 [samples]; None where there is no difference.
    """
    one = next(iter(scores.values()))
    estimates = {name: drawn.estimate for name, drawn in scores.items()}
    for name, drawn in scores.items():
        if drawn.error > 0 and largest is not None and drawn.estimate.difference is not None:
            alone = 2 * special.stdtr(drawn.freedom, -abs(drawn.estimate.difference) / drawn.error)
            estimates[name] = dataclasses.replace(
                drawn.estimate,
                widened_interval=drawn.interval(_single_level(largest)),
                adjusted_p=float(np.mean(2 * special.ndtr(-largest) <= alone)),
            )
    return Group(one.num_cases, one.num_persons, estimates if one.num_cases else {}, one.estimate.interval is not None)


def _interval(sums: np.ndarray, counts: np.ndarray) -> Interval:
    drawn = counts > 0
    return _quantiles(sums[drawn] / counts[drawn])


def _quantiles(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
