"""What a run's distances say about "the same person": calibration.json in its folder, which `experiments.calibrate` writes.

    encoder = san_jax.load_encoder("runs/san")
    verdict = encoder.same_person(["a.jpg"], ["b.jpg"])
    verdict.same, verdict.false_match_rate

A calibration holds for the weights, the image size, the metric and the flip that it was made with, and is refused for
others.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real

from san_jax import embedding_files, files
from san_jax.verification import OperatingPoint, Reliability

FILE = "calibration.json"
VERSION = 1  # of the file
FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)
DEFAULT_RATE = 1e-3
COMMAND = "python -m experiments.calibrate --workdir={} --dataset=NAME:SPLIT"


class CalibrationError(ValueError):
    """No calibration, or none that holds for what is asked. The message says why, and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class SamePerson:
    """Whether pairs of pictures show the same person, with the error rates of that answer.

    Attributes:
        same: bool [N].
        distances: float64 [N].
        probability: How likely each pair shows one person if both answers are equally likely beforehand, float64 [N].
        point: The threshold, with the pairs that it was read off.
    """

    same: Bool[np.ndarray, " pair"]
    distances: Float[np.ndarray, " pair"]
    probability: Float[np.ndarray, " pair"]
    point: OperatingPoint

    @property
    def false_match_rate(self) -> float:
        """Share of the pairs of two persons for which the answer is wrong."""
        return self.point.false_match_rate

    @property
    def false_non_match_rate(self) -> float:
        """Share of the pairs of one person for which the answer is wrong."""
        return self.point.false_non_match_rate


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds on the distance of two embeddings, with their error rates.

    Attributes:
        made_by: What made the embeddings of the calibration: the keys of `embedding_files.IDENTITY`, `workdir`, `step`.
        pictures: What it was made on: `images` (a data set and split, as a rule), `pictures`, `persons`, `cameras`,
            `across_cameras` (whether only pairs of two cameras count), `genuine` and `impostor` (numbers of pairs).
        equal_error: `rate` and `threshold`.
        area_under_roc: How often a genuine pair is nearer than an impostor pair.
        roc: Pairs of false-match rate and false-non-match rate, from the lowest threshold to the highest.
        points: A threshold for each of `FALSE_MATCH_RATES`.
        reliability: Probability by distance.
        held_out: The same learnt on half of the persons and checked on the others, see `experiments.calibrate`; empty
            where there are too few.
        limits: What the calibration cannot say, a sentence each.
    """

    made_by: Mapping[str, Any]
    pictures: Mapping[str, Any]
    equal_error: Mapping[str, float]
    area_under_roc: float
    roc: tuple[tuple[float, ...], ...]
    points: tuple[OperatingPoint, ...]
    reliability: Reliability
    held_out: Mapping[str, Any]
    limits: tuple[str, ...]

    def point(self, false_match_rate: float | None = None) -> OperatingPoint:
        """Return the operating point of a false-match rate.

        Args:
            false_match_rate: One of `FALSE_MATCH_RATES`; None for `DEFAULT_RATE`, or the lowest one that the pairs of
                the calibration support where that is higher.

        Raises:
            CalibrationError: There is no threshold for the rate.
        """
        supported = [point for point in self.points if point.threshold is not None]
        if false_match_rate is None:
            least = max(DEFAULT_RATE, min((point.target for point in supported), default=DEFAULT_RATE))
            false_match_rate = least
        for point in supported:
            if np.isclose(point.target, false_match_rate, rtol=1e-6):
                return point
        raise CalibrationError(self._no_threshold(false_match_rate))

    def _no_threshold(self, false_match_rate: float) -> str:
        """Say why there is no threshold for a rate, and what to do."""
        asked = [point for point in self.points if np.isclose(point.target, false_match_rate, rtol=1e-6)]
        supported = [f"{point.target:g}" for point in self.points if point.threshold is not None]
        has = f"the calibration on {self.pictures['images']} has {self.pictures['impostor']:,}"
        if asked:
            why = f"it needs {asked[0].needed:,} impostor pairs (pairs of two persons), and {has}"
        else:
            rates = ", ".join(f"{point.target:g}" for point in self.points)
            why = f"calibrations are made for {rates}; {has} impostor pairs (pairs of two persons)"
        there = f"It has a threshold for {' and '.join(supported)}" if supported else "It has no threshold for any rate"
        do = "ask for that rate, or calibrate" if len(supported) == 1 else "ask for one of these, or calibrate"
        return (
            f"There is no threshold for a false-match rate of {false_match_rate:g}: {why}. {there}: "
            f"{do if supported else 'calibrate'} on more persons."
        )

    def decide(self, distances: Real[np.ndarray, " pair"], *, false_match_rate: float | None = None) -> SamePerson:
        """Say of pairs of embeddings whether they show the same person.

        Args:
            distances: Their distances by the metric of the calibration, [N].
            false_match_rate: As in `point`, with its errors.
        """
        point = self.point(false_match_rate)
        assert point.threshold is not None
        distances = np.asarray(distances, np.float64)
        return SamePerson(distances < point.threshold, distances, self.reliability.at(distances), point)

    def check(self, made_by: Mapping[str, Any], what: str) -> None:
        """Raise CalibrationError unless the calibration holds for embeddings that were made like that.

        Args:
            made_by: What made them, with its `step` for the message; keys that are absent are not compared.
            what: What they are, for the message.
        """
        if differing := embedding_files.differences(self.made_by, made_by):
            here, step = made_by.get("step"), self.made_by["step"]
            which = "" if here is None else f" --checkpoint={here}"
            take = "" if step is None else f"take checkpoint {step}, or "
            maker = embedding_files.maker_words(self.made_by["workdir"], step)
            raise CalibrationError(
                f"The calibration of {maker} does not hold for {what} ({differing}): {take}calibrate again, "
                f"{COMMAND.format(self.made_by['workdir'])}{which}"
            )


def write(folder: str | os.PathLike[str], calibration: Calibration) -> None:
    """Write a calibration into a run's folder."""
    content = dataclasses.asdict(calibration)
    content["reliability"] = {key: value.tolist() for key, value in content["reliability"].items()}
    files.write_json(pathlib.Path(folder) / FILE, {"version": VERSION, **content})


def read(folder: str | os.PathLike[str]) -> Calibration:
    """Return the calibration in a run's folder.

    Raises:
        CalibrationError: There is none, it is damaged, or another version of San-JAX wrote it.
    """
    path = pathlib.Path(folder) / FILE
    if not path.is_file():
        raise CalibrationError(f"{folder} is not calibrated: make {FILE} with {COMMAND.format(folder)}")
    try:
        content = files.read_json(path)
        if content.pop("version", None) != VERSION:
            raise CalibrationError(
                f"{path} was written by another version of San-JAX: make it with {COMMAND.format(folder)}"
            )
        return _parse(content)
    except CalibrationError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CalibrationError(f"{path} is damaged ({error!r}): make it again with {COMMAND.format(folder)}") from error


def _parse(content: dict[str, Any]) -> Calibration:
    """Return the calibration that `write` wrote; a damaged file raises whatever it raises."""
    arrays = {
        key: np.asarray(value, np.int64 if key in ("genuine", "impostor") else np.float64)
        for key, value in content["reliability"].items()
    }
    content["roc"] = tuple(map(tuple, content["roc"]))
    content["points"] = tuple(OperatingPoint(**point) for point in content["points"])
    return Calibration(**{**content, "reliability": Reliability(**arrays), "limits": tuple(content["limits"])})
