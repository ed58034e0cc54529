"""Shapes that are painted with, as functions of distances in metres: edges, bands, stripes and soft bumps."""

import numpy as np

SAMPLE = 0.0035  # metres that a sample of the atlas is wide on the trunk: the width of an antialiased edge


def edge(value: np.ndarray, width: float = SAMPLE) -> np.ndarray:
    """Return 1 where `value` (metres) is positive, 0 where it is negative, with a ramp of `width` metres between."""
    return np.clip(value / width + 0.5, 0.0, 1.0)


def band(value: np.ndarray, half_width: float | np.ndarray, width: float = SAMPLE) -> np.ndarray:
    """Return 1 where |value| < half_width, 0 elsewhere, with ramps of `width` metres between."""
    return edge(half_width - np.abs(value), width)


def stripes(value: np.ndarray, period: float, duty: float, phase: float) -> np.ndarray:
    """Return 1 on stripes that take the share `duty` of each `period` metres."""
    offset = (value / period + phase) % 1.0 - 0.5
    return band(offset * period, duty * period / 2)


def bump(value: np.ndarray, width: float) -> np.ndarray:
    """Return a soft bump of height 1 at 0."""
    return np.exp(-((value / width) ** 2))


def mix(color: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> None:
    """Move colours [n 3] in place towards another colour, [3] or [n 3], by `share` [n]."""
    color += share[:, None].astype(np.float32) * (np.asarray(other, np.float32) - color)
