"""The skirt mesh, which is also the lower part of dresses and coats: its grid, its skinning, and how it spans legs."""

from collections.abc import Callable

import numpy as np

from render.figure import sheets
from render.figure.sheets import Part, Rectangle
from render.geometry.surface import smoothstep

SKIRT_ROWS, SKIRT_COLUMNS = 24, 48
SKIRT_TOP, SKIRT_BOTTOM = 0.175, -0.70  # the longest skirt on the reference body, metres
SKIRT_JOINTS = ("root", "upperleg01.L", "lowerleg01.L", "upperleg01.R", "lowerleg01.R")
SKIRT_OPENING = 3  # columns to either side of the front that an open coat leaves out


def skirt_angles() -> np.ndarray:
    """Return the directions float64 [SKIRT_COLUMNS] of a skirt's columns; 0 looks to -Y, rising towards +X."""
    return np.arange(SKIRT_COLUMNS) * (2 * np.pi / SKIRT_COLUMNS) - np.pi / 2


def make_skirt(radius: Callable[[np.ndarray, np.ndarray], np.ndarray], centre_y: float) -> np.ndarray:
    """Return vertices float64 [rows columns 3] of the longest skirt from its radius by angle and reference height."""
    angle, height = np.meshgrid(skirt_angles(), np.linspace(SKIRT_TOP, SKIRT_BOTTOM, SKIRT_ROWS))
    r = radius(angle, height)
    return np.stack([r * np.sin(angle), centre_y - r * np.cos(angle), height], axis=-1)


def skirt_part(front: Rectangle, back: Rectangle) -> Part:
    """Return the faces of the skirt, with the UV of its front and back in two rectangles."""
    ids = np.arange(SKIRT_ROWS * SKIRT_COLUMNS).reshape(SKIRT_ROWS, SKIRT_COLUMNS)
    half = SKIRT_COLUMNS // 2
    behind = np.concatenate([ids[:, half:], ids[:, :1]], axis=1)
    return sheets.pair((ids[:, : half + 1], behind), (front, back))


def skirt_weights(points: np.ndarray) -> np.ndarray:
    """Return skinning weights float32 [N 5] for `SKIRT_JOINTS`: each half follows its leg, more so lower down.

    Args:
        points: Points [N 3]; x on the actual body, z on the reference body.
    """
    left = smoothstep(points[:, 0], -0.09, 0.09)
    thigh = 0.88 * smoothstep(-points[:, 2], -0.13, 0.10)
    shin = 0.45 * smoothstep(-points[:, 2], 0.22, 0.5)
    columns = [1.0 - thigh]
    for share in (left, 1.0 - left):
        columns += [share * thigh * (1.0 - shin), share * thigh * shin]
    return np.stack(columns, axis=1).astype(np.float32)


_SPAN_DIRECTIONS = np.stack([np.sin(skirt_angles()), -np.cos(skirt_angles())]).astype(np.float32)
_SPAN_TURNS = np.cos(skirt_angles()[:, None] - skirt_angles()).astype(np.float32)
_SPAN_DISTANCE = np.where(_SPAN_TURNS > 0.2, 1.0 / np.maximum(_SPAN_TURNS, 0.2), np.inf).astype(np.float32)


def span_legs(skirt: np.ndarray, legs: np.ndarray) -> np.ndarray:
    """Return a posed skirt [N 3] that spans the legs: every row is pushed out to its convex hull and hangs evenly.

    Its halves follow one leg each; without this step a long stride leaves a notch between them.

    Args:
        skirt: Posed vertices [N 3].
        legs: Posed points [M 3] of the legs, which stay inside.
    """
    grid = skirt.reshape(SKIRT_ROWS, SKIRT_COLUMNS, 3)
    middle = grid[:, :, :2].mean(axis=1, keepdims=True)
    offset = grid[:, :, :2] - middle
    support = (offset @ _SPAN_DIRECTIONS).max(axis=1)
    level = grid[::-1, :, 2].mean(axis=1)
    inside = legs[(legs[:, 2] > level[0] - 0.04) & (legs[:, 2] < level[-5])]
    row = SKIRT_ROWS - 1 - np.searchsorted((level[1:] + level[:-1]) / 2, inside[:, 2])
    reach = (inside[:, :2] - middle[row, 0]) @ _SPAN_DIRECTIONS + np.float32(0.028)
    pushed = support.copy()
    np.maximum.at(pushed, row, reach)
    support = np.minimum(pushed, support + np.float32(0.20))
    hull = (support[:, None, :] * _SPAN_DISTANCE).min(axis=2)
    for _ in range(3):  # a leg that pushes one row pushes the next ones too; the hem does not come in
        hull[1:-1] = np.maximum(hull[1:-1], 0.5 * (hull[:-2] + hull[2:]))
        hull[-1] = np.maximum(hull[-1], hull[-2])
    length = np.linalg.norm(offset, axis=2)
    # Vertices keep their own direction; the hull is read there.
    column = (np.arctan2(offset[..., 0], -offset[..., 1]) / (2 * np.pi) + 0.25) * SKIRT_COLUMNS
    left = np.floor(column).astype(int)
    share = column - left
    row = np.arange(SKIRT_ROWS)[:, None]
    reach = hull[row, left % SKIRT_COLUMNS] * (1.0 - share) + hull[row, (left + 1) % SKIRT_COLUMNS] * share
    out = np.maximum(0.985 * reach / np.maximum(length, 1e-6), 1.0)
    result = grid.copy()
    result[:, :, :2] = middle + offset * out[..., None]
    height = result[:, :, 2]
    for _ in range(6):
        height = (np.roll(height, 1, axis=1) + 2.0 * height + np.roll(height, -1, axis=1)) / 4
    result[:, :, 2] = height
    return result.reshape(-1, 3).astype(np.float32)
