"""Do two pictures show the same person? Counts pairs by distance, and reads error rates and thresholds off the counts.

Distances of all pairs of N pictures would fill memory (N = 20,000: 200 million), so pairs are counted in fine bins
whose width is a power of two. At the edges of the bins every rate is exact: the number of pairs nearer than the edge
over the number of pairs.

A genuine pair shows one person, an impostor pair two. The false-match rate (FMR) of a threshold is the share of
impostor pairs that are nearer than it, the false-non-match rate (FNMR) the share of genuine pairs that are not.
"""

import dataclasses
import math

import numpy as np
import scipy.optimize
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, Int64, Real

from san_jax.ranking.distances import distance_blocks
from san_jax.typing import Array

BINS = 2**17  # at most
MIN_SUPPORT = 10  # impostor pairs that a rate needs: below it, one picture more or less would change it


@dataclasses.dataclass(frozen=True, eq=False)
class PairCounts:
    """How many pairs of pictures lie in each interval of distance.

    Attributes:
        width: Width of an interval, a power of two: number i holds the distances d with i * width <= d < (i + 1) * width.
        genuine: Pairs that show one person, int64 [intervals].
        impostor: Pairs that show two persons, int64 [intervals].
    """

    width: float
    genuine: Int64[np.ndarray, " intervals"]
    impostor: Int64[np.ndarray, " intervals"]

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """The distances at which rates are exact, float64 [intervals + 1]."""
        return self.width * np.arange(len(self.genuine) + 1)

    @property
    def false_matches(self) -> Int64[np.ndarray, " edges"]:
        """Impostor pairs nearer than each edge."""
        return np.concatenate([[0], np.cumsum(self.impostor)])

    @property
    def false_non_matches(self) -> Int64[np.ndarray, " edges"]:
        """Genuine pairs that are not nearer than each edge."""
        return np.concatenate([[0], np.cumsum(self.genuine[::-1])])[::-1]


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does to the pairs that it was read off: nearer than it means the same person.

    Attributes:
        target: The false-match rate that was asked for.
        threshold: The largest distance whose false-match rate is at most the target; None where fewer than
            `MIN_SUPPORT` impostor pairs stand behind the target.
        false_matches: Impostor pairs nearer than the threshold.
        impostors: All impostor pairs.
        false_non_matches: Genuine pairs that are not nearer than the threshold.
        genuine: All genuine pairs.
    """

    target: float
    threshold: float | None
    false_matches: int
    impostors: int
    false_non_matches: int
    genuine: int

    @property
    def needed(self) -> int:
        """Impostor pairs that the target needs behind it."""
        return math.ceil(MIN_SUPPORT / self.target - 1e-6)  # a target such as 1e-3 is no exact number

    @property
    def false_match_rate(self) -> float:
        return self.false_matches / self.impostors

    @property
    def false_non_match_rate(self) -> float:
        return self.false_non_matches / self.genuine


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """How likely two pictures show the same person, by their distance, if both answers are equally likely beforehand.

    Attributes:
        edges: Distances between which the probability is constant, float64 [steps + 1].
        genuine: Genuine pairs in each step, int64 [steps].
        impostor: Impostor pairs, likewise.
        probability: Probability in each step, float64 [steps], never rising with the distance.
    """

    edges: Float[np.ndarray, " edges"]
    genuine: Int64[np.ndarray, " steps"]
    impostor: Int64[np.ndarray, " steps"]
    probability: Float[np.ndarray, " steps"]

    def at(self, distances: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the probability at distances; beyond the last edge it is that of the last step."""
        step = np.searchsorted(self.edges, distances, side="right") - 1
        return self.probability[np.clip(step, 0, len(self.probability) - 1)]


def count_pairs(
    embeddings: Real[Array, "picture dim"],
    person_ids: Int[np.ndarray, " picture"],
    camera_ids: Int[np.ndarray, " picture"] | None = None,
    *,
    metric: str = "euclidean",
    width: float | None = None,
    mesh: Mesh | None = None,
) -> PairCounts:
    """Count the pairs of pictures by their distance, each pair once.

    Args:
        embeddings: Embeddings [N D], finite.
        person_ids: Who each picture shows, [N].
        camera_ids: Cameras [N]; pairs of one camera are left out. None to count all pairs.
        metric: "euclidean" or "cosine".
        width: Width of the intervals, a power of two, such as that of the counts of other pictures; None for a width
            that gives about `BINS`.
        mesh: Devices of this process that share the work; None for the default device.

    Raises:
        ValueError: As `san_jax.ranking.pairwise_distances`.
    """
    longest = np.sqrt(np.max(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64), initial=0.0))
    bound = 2.0 if metric == "cosine" else 2.0 * float(longest) or 1.0
    width = width or float(np.exp2(np.ceil(np.log2(bound / (BINS / 2)))))
    bins = int(bound / width) + 2
    counts = np.zeros((2, bins), np.int64)
    columns, row = np.arange(len(embeddings)), 0
    for block in distance_blocks(embeddings, embeddings, metric=metric, mesh=mesh):
        rows = np.arange(row, row + len(block))
        counted = columns > rows[:, None]
        if camera_ids is not None:
            counted &= camera_ids != camera_ids[rows, None]
        same = person_ids == person_ids[rows, None]
        for kind, chosen in enumerate((counted & same, counted & ~same)):
            place = (block[chosen].astype(np.float64) / width).astype(np.int64)  # dividing by a power of two is exact
            counts[kind] += np.bincount(np.minimum(place, bins - 1), minlength=bins)
        row += len(block)
    return PairCounts(width, counts[0], counts[1])


def operating_point(counts: PairCounts, target: float) -> OperatingPoint:
    """Return the largest threshold with at most a false-match rate."""
    impostors, genuine = int(counts.impostor.sum()), int(counts.genuine.sum())
    if target * impostors < MIN_SUPPORT:
        return OperatingPoint(target, None, 0, impostors, 0, genuine)
    edge = int(np.flatnonzero(counts.false_matches <= target * impostors)[-1])
    return _point(counts, target, edge)


def point_at(counts: PairCounts, threshold: float) -> OperatingPoint:
    """Return what a threshold does to these pairs; `target` is the rate that came out.

    Args:
        counts: The pairs.
        threshold: An edge of counts of the same width.
    """
    edge = min(round(threshold / counts.width), len(counts.genuine))
    point = _point(counts, 0.0, edge)
    return dataclasses.replace(point, target=point.false_match_rate, threshold=threshold)


def _point(counts: PairCounts, target: float, edge: int) -> OperatingPoint:
    return OperatingPoint(
        target,
        float(counts.edges[edge]),
        int(counts.false_matches[edge]),
        int(counts.impostor.sum()),
        int(counts.false_non_matches[edge]),
        int(counts.genuine.sum()),
    )


def equal_error_rate(counts: PairCounts) -> tuple[float, float]:
    """Return the equal error rate, the mean of FMR and FNMR where they differ least, and the threshold there."""
    false_match, false_non_match = rates(counts)
    edge = int(np.abs(false_match - false_non_match).argmin())
    return float(false_match[edge] + false_non_match[edge]) / 2, float(counts.edges[edge])


def rates(counts: PairCounts) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, " edges"]]:
    """Return FMR and FNMR at each edge."""
    return counts.false_matches / counts.impostor.sum(), counts.false_non_matches / counts.genuine.sum()


def area_under_roc(counts: PairCounts) -> float:
    """Return how often a genuine pair is nearer than an impostor pair, pairs of one interval counted half."""
    genuine, impostor = counts.genuine / counts.genuine.sum(), counts.impostor / counts.impostor.sum()
    farther = 1 - np.cumsum(impostor)
    return float(np.sum(genuine * (farther + impostor / 2)))


def roc_curve(
    counts: PairCounts, points: int = 100
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Return FMR and FNMR at some thresholds, evenly spaced by the logarithm of the FMR, from the least one above 0."""
    false_match, false_non_match = rates(counts)
    smallest = false_match[false_match > 0][0]
    wanted = np.geomspace(smallest, 1, points)
    edges = np.unique(np.searchsorted(false_match, wanted, side="right") - 1)
    return false_match[edges], false_non_match[edges]


def reliability(counts: PairCounts, steps: int = 30) -> Reliability:
    """Estimate the probability of "same person" by distance, by isotonic regression over steps of distance.

    Genuine pairs weigh as much as impostor pairs in all: of the pairs of a data set nearly all are impostors, and their
    share says nothing about the pairs that a user asks about. With a probability p here, and a share s of genuine pairs
    there, the probability there is s p / (s p + (1 - s) (1 - p)).

    Args:
        counts: The pairs.
        steps: Steps of distance, at most; they have equal weight.
    """
    genuine, impostor = counts.genuine / counts.genuine.sum(), counts.impostor / counts.impostor.sum()
    weight = np.cumsum(genuine + impostor)
    inner = np.searchsorted(weight, 2 * np.arange(1, steps) / steps) + 1
    filled = np.flatnonzero(counts.genuine + counts.impostor)
    cuts = np.unique(np.clip(np.concatenate([[0], inner, [len(weight)]]), filled[0], filled[-1] + 1))
    places = cuts[:-1]
    shares = np.add.reduceat(genuine, places), np.add.reduceat(impostor, places)
    total = shares[0] + shares[1]
    used: Bool[np.ndarray, " steps"] = total > 0
    fitted = scipy.optimize.isotonic_regression(shares[0][used] / total[used], weights=total[used], increasing=False).x
    return Reliability(
        counts.edges[np.concatenate([places[used], cuts[-1:]])],
        np.add.reduceat(counts.genuine, places)[used],
        np.add.reduceat(counts.impostor, places)[used],
        np.asarray(fitted),
    )
