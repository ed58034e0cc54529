"""How cloth hangs around the trunk: the convex hull of the body at every height, let down by gravity.

Heights are those of the reference body (every vertex keeps its own), so rows of the hull mean the same places on every
body shape; radii are those of the actual body.
"""

import dataclasses

import numpy as np

from render.geometry.surface import BODY, Surface

ROWS, COLUMNS = 34, 48
LOWEST, HIGHEST = -0.76, 0.50  # metres, reference body: above the ankles to below the shoulders
ROW_HEIGHT = (HIGHEST - LOWEST) / (ROWS - 1)
_ANGLES = np.arange(COLUMNS) * (2 * np.pi / COLUMNS) - np.pi


@dataclasses.dataclass(frozen=True)
class HullIndex:
    """The vertices that cloth hangs on, sorted by the row of the hull that they belong to.

    Attributes:
        vertices: Indices into the body's vertices, int64 [M].
        starts: First entry of every row in `vertices`, int64 [ROWS].
    """

    vertices: np.ndarray
    starts: np.ndarray


def index_hull(surface: Surface) -> HullIndex:
    """Return what `body_hull` needs of a body, from the attributes of its vertices."""
    on_trunk = (surface.part == BODY) & (surface.is_arm < 0.3) & (surface.group("head", "neck", "hand") < 0.2)
    row = np.rint((surface.position[:, 2] - LOWEST) / ROW_HEIGHT).astype(int)
    chosen = np.flatnonzero(on_trunk & (row >= 0) & (row < ROWS))
    chosen = chosen[np.argsort(row[chosen], kind="stable")]
    return HullIndex(chosen, np.searchsorted(row[chosen], np.arange(ROWS)))


def body_hull(index: HullIndex, vertices: np.ndarray, centre_y: float) -> np.ndarray:
    """Return the radius float64 [ROWS COLUMNS] of the body's convex hull around (0, centre_y) by height and direction.

    Args:
        index: From `index_hull`.
        vertices: Rest vertices [V 3] of a body shape.
        centre_y: Position of the axis, metres.
    """
    points = vertices[index.vertices, :2] - [0.0, centre_y]
    directions = np.stack([np.sin(_ANGLES), -np.cos(_ANGLES)])  # angle 0 looks to -Y
    support = np.maximum.reduceat(points[:, :1] * directions[0] + points[:, 1:] * directions[1], index.starts, axis=0)
    support = np.maximum(support, 0.03)  # the axis stands inside the body
    # A ray meets the hull where it first leaves one of the half planes that the support function describes.
    cosine = np.cos(_ANGLES[:, None] - _ANGLES[None, :])
    distance = np.where(cosine > 0.05, 1.0 / np.maximum(cosine, 0.05), np.inf)
    return (support[:, None, :] * distance).min(axis=2)


def let_down(hull: np.ndarray, start: float, slope: float) -> np.ndarray:
    """Return the radius of cloth that falls from height `start`: it comes in by at most `slope` metres a metre."""
    cloth = hull.copy()
    for row in range(min(int((start - LOWEST) / ROW_HEIGHT), ROWS - 1) - 1, -1, -1):
        cloth[row] = np.maximum(hull[row], cloth[row + 1] - slope * ROW_HEIGHT)
    return cloth


def sample(radii: np.ndarray, angle: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Interpolate the radius at directions [N] and reference heights [N], bilinearly and held at the ends."""
    column = (angle + np.pi) / (2 * np.pi) * COLUMNS
    row = np.clip((height - LOWEST) / ROW_HEIGHT, 0.0, ROWS - 1.001)
    left, below = np.floor(column).astype(int), row.astype(int)
    right_share, above_share = column - left, row - below
    left, right = left % COLUMNS, (left + 1) % COLUMNS
    low = radii[below, left] * (1 - right_share) + radii[below, right] * right_share
    high = radii[below + 1, left] * (1 - right_share) + radii[below + 1, right] * right_share
    return low * (1 - above_share) + high * above_share
