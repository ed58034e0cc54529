"""The distance between the distributions of real and rendered pictures, statistic by statistic."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float

from experiments.domain import statistics

FOLDS = 5
LEAST_SCALE = 1e-3  # of the deviation of both sets: below it a set's own deviation is rounding
PENALTY = 1.0  # L2 penalty of the linear rule, on standardised statistics


@dataclasses.dataclass(frozen=True)
class Difference:
    """How one statistic differs.

    Attributes:
        name: One of `statistics.NAMES`.
        distance: Wasserstein distance of the two distributions in standard deviations of the real ones: by how much a
            rendered picture's number has to change, on average, for the distributions to agree.
        floor: The same distance between two halves of the real pictures: what is only chance.
        rendered_is_larger: Probability that a rendered picture's number is above a real one's, ties by half; 0.5 where
            neither is larger.
        real, rendered: First quartile, median and third quartile.
    """

    name: str
    distance: float
    floor: float
    rendered_is_larger: float
    real: tuple[float, float, float]
    rendered: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Gap:
    """How two sets of pictures differ.

    Attributes:
        differences: Of every statistic, the largest distance first.
        mean_distance: Mean of the distances.
        told_apart: How often a linear rule on all the statistics, learnt on other pictures, gives a rendered picture a
            higher number than a real one (area under its ROC): 0.5 where it cannot tell them apart, 1 where it always
            can.
        dark_torsos: Shares of (real, rendered) pictures with a torso darker than 70 of 255.
        pictures: Numbers of (real, rendered) pictures.
        size: Height and width of the comparison, pixels.
    """

    differences: tuple[Difference, ...]
    mean_distance: float
    told_apart: float
    dark_torsos: tuple[float, float]
    pictures: tuple[int, int]
    size: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)


def compare(
    real: Float[np.ndarray, "pictures statistics"],
    rendered: Float[np.ndarray, "others statistics"],
    *,
    size: tuple[int, int],
    seed: int = 0,
) -> Gap:
    """Compare the statistics of two sets of pictures; columns as in `statistics.NAMES`.

    Args:
        real: Of real pictures, 20 at least.
        rendered: Of rendered ones, 20 at least.
        size: Height and width that they were taken at.
        seed: Of the halves and of the folds.

    Raises:
        ValueError: Too few pictures.
    """
    if min(len(real), len(rendered)) < 20:
        raise ValueError(f"expected 20 pictures or more of each, found {len(real)} and {len(rendered)}.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(real))
    halves = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    differences = []
    for column, name in enumerate(statistics.NAMES):
        a, b = real[:, column], rendered[:, column]
        differences.append(
            Difference(
                name,
                distance=_distance(a, b, float(a.std())),
                floor=_distance(halves[0][:, column], halves[1][:, column], float(a.std())),
                rendered_is_larger=larger(b, a),
                real=_quartiles(a),
                rendered=_quartiles(b),
            )
        )
    ordered = tuple(sorted(differences, key=lambda difference: -difference.distance))
    torso = statistics.NAMES.index("torso_luminance")
    return Gap(
        ordered,
        mean_distance=float(np.mean([difference.distance for difference in ordered])),
        told_apart=tell_apart(real, rendered, rng),
        dark_torsos=(statistics.dark_share(real[:, torso]), statistics.dark_share(rendered[:, torso])),
        pictures=(len(real), len(rendered)),
        size=size,
    )


def larger(a: Float[np.ndarray, " a"], b: Float[np.ndarray, " b"]) -> float:
    """Return the probability that a number of `a` is above one of `b`, ties by half: Mann and Whitney's U / (|a| |b|)."""
    ranks = scipy.stats.rankdata(np.concatenate([a, b]))
    return float((ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def tell_apart(
    real: Float[np.ndarray, "pictures statistics"],
    rendered: Float[np.ndarray, "others statistics"],
    rng: np.random.Generator,
) -> float:
    """Return the area under the ROC of a logistic regression on pictures that it was not learnt on.

    Each of `FOLDS` parts of the pictures is judged by the rule learnt on the others; the area is the mean over the
    parts.
    """
    features = np.concatenate([real, rendered])
    is_rendered = np.arange(len(features)) >= len(real)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # Every fold has its share of both.
    fold = np.empty(len(features), np.int64)
    for chosen in (~is_rendered, is_rendered):
        fold[chosen] = rng.permutation(np.arange(chosen.sum()) % FOLDS)
    areas = []
    for left_out in range(FOLDS):
        learnt, judged = fold != left_out, fold == left_out
        scores = _with_one(features[judged]) @ _logistic(features[learnt], is_rendered[learnt])
        areas.append(larger(scores[is_rendered[judged]], scores[~is_rendered[judged]]))
    return float(np.mean(areas))


def _logistic(features: Float[np.ndarray, "n f"], labels: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " f+1"]:
    """Return the weights, the constant last, of an L2-penalised logistic regression in which both labels weigh alike."""
    x, signs = _with_one(features), np.where(labels, 1.0, -1.0)
    weights = np.where(labels, 0.5 / labels.mean(), 0.5 / (1.0 - labels.mean()))

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (x @ w)
        value = weights @ np.logaddexp(0.0, -margins) + 0.5 * PENALTY * (w[:-1] @ w[:-1])
        gradient = -x.T @ (weights * signs * scipy.special.expit(-margins))
        gradient[:-1] += PENALTY * w[:-1]
        return float(value), gradient

    found = scipy.optimize.minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B")
    return found.x


def _with_one(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f+1"]:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _distance(a: np.ndarray, b: np.ndarray, scale: float) -> float:
    distance = float(scipy.stats.wasserstein_distance(a, b))
    both = float(np.concatenate([a, b]).std())
    # All real pictures may have one number but for rounding, such as the chroma of grey ones: the other set's scale then.
    scale = scale if scale > LEAST_SCALE * both else both
    return distance / scale if scale else 0.0


def _quartiles(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    low, middle, high = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return low, middle, high
