"""How sure the difference between two rows of a table is.

A difference of two runs has two kinds of noise: other test persons would give another one (the cluster bootstrap of
`experiments.scoring.resampling`), and so would other seeds (Bouthillier et al., Accounting for Variance in Machine
Learning Benchmarks, MLSys 2021). Runs of one seed are compared with each other. With d_s the mean difference over the
queries for seed s of S, and b its bootstrap variance over the persons after averaging over seeds, the error of the mean
of d_s is sqrt(b + var(d_s) / S), and the interval t times that on both sides, with the degrees of freedom of
Satterthwaite (An Approximate Distribution of Estimates of Variance Components, 1946).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from experiments.scoring import resampling


@dataclasses.dataclass(frozen=True, eq=False)
class QueryScores:
    """A run's scores of each query.

    Attributes:
        persons: Identities, int [Q].
        scores: Name of the score -> float64 [Q], NaN for a query without a match.
    """

    persons: np.ndarray
    scores: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A score of one row less that of another.

    Attributes:
        mean: Over seeds and queries, a fraction.
        interval: 95 % interval.
        seeds: Number of seeds that both rows have; with one, the interval knows nothing of other seeds.
    """

    mean: float
    interval: resampling.Interval
    seeds: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves 0 out."""
        return not self.interval[0] <= 0.0 <= self.interval[1]


def compare(row: Mapping[int, QueryScores], other: Mapping[int, QueryScores], score: str) -> Difference | None:
    """Compare two rows.

    Args:
        row, other: Seed -> the scores of its run, all of the same queries in the same order.
        score: Name of the score.

    Returns:
        The first row's score less the other's; None where they have no seed in common.

    Raises:
        ValueError: The runs were scored on different queries.
    """
    seeds = sorted(row.keys() & other.keys())
    if not seeds:
        return None
    persons = row[seeds[0]].persons
    for run in (*(row[seed] for seed in seeds), *(other[seed] for seed in seeds)):
        if not np.array_equal(run.persons, persons):
            raise ValueError(
                f"runs were scored on different queries ({len(persons)} and {len(run.persons)}, or in another order): "
                "score them on one dataset."
            )
    differences = np.stack([row[seed].scores[score] - other[seed].scores[score] for seed in seeds])
    valid = np.isfinite(differences).all(axis=0)
    return _estimate(differences[:, valid], persons[valid])


def _estimate(differences: np.ndarray, persons: np.ndarray) -> Difference:
    """Return the mean of differences [seeds queries] with its interval."""
    draws = resampling.Draws(persons)
    counts, sums = (
        draws.times @ draws.sums(persons, values) for values in (np.ones(len(persons)), differences.mean(axis=0))
    )
    number = len(np.unique(persons))
    parts = [(float(np.var(sums / counts, ddof=1)), number - 1)]
    by_seed = differences.mean(axis=1)
    if len(by_seed) > 1:
        parts.append((float(np.var(by_seed, ddof=1)) / len(by_seed), len(by_seed) - 1))
    variance = sum(part for part, _ in parts)
    mean = float(by_seed.mean())
    if variance == 0.0 or number < 2:
        return Difference(mean, (mean, mean) if number > 1 else (-math.inf, math.inf), len(by_seed))
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(special.stdtrit(freedom, (1 + resampling.LEVEL) / 2)) * math.sqrt(variance)
    return Difference(mean, (mean - reach, mean + reach), len(by_seed))


def row_pairs(keys: Sequence[str], compared: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of rows that a table compares; where it names none, each row with the first."""
    return list(compared) if compared else [(key, keys[0]) for key in keys[1:]]
