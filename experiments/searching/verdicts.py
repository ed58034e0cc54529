"""What a run's calibration says of the distances that a search finds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from san_jax import inference
from san_jax.calibration import Calibration, CalibrationError
from san_jax.counts import count
from san_jax.verification import OperatingPoint


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Answers to "the same person?", or the reason why there are none.

    Attributes:
        calibration: The run's calibration; None where it does not hold here.
        point: The threshold, with its error rates; None likewise.
        reason: Why there are no answers; "" where there are.
    """

    calibration: Calibration | None
    point: OperatingPoint | None
    reason: str = ""

    def decide(self, distances: np.ndarray) -> tuple[list[bool | None], list[float | None]]:
        """Return for each distance whether it says "the same person", and the probability; None without calibration."""
        if self.calibration is None or self.point is None:
            return [None] * len(distances), [None] * len(distances)
        decided = self.calibration.decide(distances, false_match_rate=self.point.target)
        return decided.same.tolist(), decided.probability.tolist()

    def as_json(self) -> dict[str, Any]:
        """Return what the answers rest on, for a file."""
        if self.calibration is None or self.point is None:
            return {"calibrated": False, "reason": self.reason}
        return {
            "calibrated": True,
            **dataclasses.asdict(self.point),
            "false_match_rate": self.point.false_match_rate,
            "false_non_match_rate": self.point.false_non_match_rate,
            "calibrated_on": dict(self.calibration.pictures),
            "limits": list(self.calibration.limits),
        }

    def words(self, others: Sequence[int]) -> list[str]:
        """Return what the answers mean, a paragraph each.

        Args:
            others: How many pictures that are not known to show its person each query meets.
        """
        if self.calibration is None or self.point is None:
            return [f'No answer to "the same person?": {self.reason}']
        point, pictures = self.point, self.calibration.pictures
        numbers = sorted({min(others), max(others)})
        meets = [*(f"{number:,}" for number in numbers[:-1]), count(numbers[-1], "picture")]
        expected = [f"{number * point.false_match_rate:.2g}" for number in numbers]
        return [
            f"Nearer than {point.threshold:.4g} counts as the same person. On {pictures['images']} that is wrong for "
            f"{point.false_match_rate:.2g} of the pairs of two persons ({point.false_matches:,} of {point.impostors:,}), "
            f"and misses {point.false_non_match_rate:.2g} of the pairs of one person ({point.false_non_matches:,} of "
            f"{point.genuine:,}).",
            f"Each query meets {' to '.join(meets)} here not known to show its person; at that rate, the number of "
            f"pictures of other persons nearer than the threshold by chance is about {' to '.join(dict.fromkeys(expected))}.",
            *self.calibration.limits,
        ]


def find(encoder: inference.Encoder, made_by: Mapping[str, Any], false_match_rate: float | None) -> Verdict:
    """Find the threshold for embeddings of a run.

    Args:
        encoder: The run's encoder.
        made_by: What made the embeddings.
        false_match_rate: See `Calibration.point`; None for the usual one.

    Raises:
        san_jax.calibration.CalibrationError: A rate is asked for, and the run is not calibrated, or not for it.
    """
    try:
        calibration = encoder.calibration
        calibration.check(made_by, "these embeddings")
        return Verdict(calibration, calibration.point(false_match_rate))
    except CalibrationError as error:
        if false_match_rate is not None:
            raise
        return Verdict(None, None, str(error))
