"""Sheets: grids of quads, welded into parts with UV coordinates, and the surfaces that they are laid on.

Everything worn on the body is such a sheet. `shell` makes one around the head, `Lying` finds the trunk below one.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from render.geometry.surface import smoothstep

Rectangle = tuple[float, float, float, float]  # left, top, width, height in UV; top counted downwards


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity: what is derived from it is cached
class Part:
    """A mesh with UV coordinates; corners that share position and UV share a vertex.

    Attributes:
        triangles: Indices int64 [T 3] into the welded vertices of the body or of the attachment.
        faces: Indices int64 [T 3] into this part's own vertices.
        vertex_map: Welded vertex of each own vertex, int64 [K].
        uv: UV coordinates float32 [K 2] in [0, 1], v up.
    """

    triangles: np.ndarray
    faces: np.ndarray
    vertex_map: np.ndarray
    uv: np.ndarray


def weld(quads: np.ndarray, uv: np.ndarray) -> Part:
    """Return the part made of quads int [F 4] with the UV float [F 4 2] of their corners."""
    halves = ([0, 1, 2], [0, 2, 3])
    triangles = np.concatenate([quads[:, half] for half in halves])
    corners_uv = np.concatenate([uv[:, half] for half in halves]).astype(np.float32)
    keys = np.concatenate([triangles.reshape(-1, 1).astype(np.float64), corners_uv.reshape(-1, 2)], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    return Part(
        triangles=triangles,
        faces=inverse.reshape(-1, 3),
        vertex_map=unique[:, 0].astype(np.int64),
        uv=unique[:, 1:].astype(np.float32),
    )


def to_texels(rectangle: Rectangle, size: int) -> Rectangle:
    """Return the rectangle with its sides moved to whole texels of a texture of `size` rows and columns."""
    left, top, width, height = (round(side * size) / size for side in rectangle)
    return left, top, width, height


def into(rectangle: Rectangle, unit: np.ndarray) -> np.ndarray:
    """Map coordinates [... 2] in [0, 1] (the second one up) to the UV of a rectangle."""
    left, top, width, height = rectangle
    return np.stack([left + unit[..., 0] * width, 1.0 - top - height + unit[..., 1] * height], axis=-1)


def quads(ids: np.ndarray) -> np.ndarray:
    """Return the quads [F 4] of a grid of vertex ids [R C]; seen from outside, columns run right and rows down."""
    return np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], axis=-1).reshape(-1, 4)


def sheet(ids: np.ndarray, rectangle: Rectangle) -> tuple[np.ndarray, np.ndarray]:
    """Return quads and corner UV of a grid of vertex ids [R C] spread over a rectangle, first row on top."""
    rows, columns = ids.shape
    u, v = np.meshgrid(np.linspace(0.0, 1.0, columns), np.linspace(1.0, 0.0, rows))
    uv = into(rectangle, np.stack([u, v], axis=-1)).reshape(-1, 2)
    return quads(ids), uv[quads(np.arange(rows * columns).reshape(rows, columns))]


def single(points: np.ndarray, rectangle: Rectangle, *, wrap: bool = False) -> Part:
    """Return the part of one sheet of points [R C 3] in a rectangle; with `wrap`, a tube whose columns close."""
    rows, columns = points.shape[:2]
    ids = np.arange(rows * columns).reshape(rows, columns)
    return weld(*sheet(np.concatenate([ids, ids[:, :1]], axis=1) if wrap else ids, rectangle))


def pair(sheets: tuple[np.ndarray, np.ndarray], rectangles: tuple[Rectangle, Rectangle]) -> Part:
    """Return the part of two grids of vertex ids [R C], each in a rectangle of its own."""
    (first, first_uv), (second, second_uv) = (sheet(*one) for one in zip(sheets, rectangles, strict=True))
    return weld(np.concatenate([first, second]), np.concatenate([first_uv, second_uv]))


# ---------------------------------------------------------------------- shells around the head

# A superellipsoid in the head of the reference body; below its middle the shells hang straight down.
HEAD_Y, HEAD_Z = -0.05, 0.80
_HEAD_RADII = (0.076, 0.101, 0.111)
_ROUND = 2.0 / 2.7


def _unit_ring(angle: np.ndarray, grown: np.ndarray | float) -> np.ndarray:
    """Return the head's horizontal radius, `grown` metres larger, in the direction `angle` (0 is the back)."""
    rx, ry = _HEAD_RADII[0] + grown, _HEAD_RADII[1] + grown
    return 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)


def crown_heights(top: float, rows: int) -> np.ndarray:
    """Return heights of the rows of a shell `top` metres off the crown, evenly spread over its curve."""
    latitude = np.linspace(0.5 * np.pi * 0.9985, 0.0, rows, endpoint=False)
    return HEAD_Z + (_HEAD_RADII[2] + top) * np.sin(latitude) ** _ROUND


def shell(
    top: float,
    grown: float,
    heights: np.ndarray,
    opening: Callable[[np.ndarray], np.ndarray],
    columns: int = 33,
    tuck: float = 0.0,
) -> np.ndarray:
    """Return a cap [R columns 3] that opens to the face; columns run to the right seen from behind.

    Args:
        top: How far it stands off the head at the crown, metres.
        grown: How far it stands off at the sides and the back, metres.
        heights: Heights of the rows, from the crown down.
        opening: Maps heights [R] to the angle [R] from the back to the edges, degrees; 180 is closed.
        columns: Number of columns, odd.
        tuck: How far the edges come in towards the head, as a share of `grown`.
    """
    up = np.clip((heights - HEAD_Z) / (_HEAD_RADII[2] + top), 0.0, 1.0)
    size = (1.0 - up ** (2.0 / _ROUND)) ** (_ROUND / 2.0)
    across = np.linspace(1.0, -1.0, columns)
    angle = across * np.deg2rad(opening(heights))[:, None]
    inwards = tuck * smoothstep(np.abs(across), 0.72, 1.0)
    radius = size[:, None] * _unit_ring(angle, grown * (1.0 - inwards))
    z = np.broadcast_to(heights[:, None], radius.shape)
    return np.stack([radius * np.sin(angle), HEAD_Y + radius * np.cos(angle), z], axis=-1)


def table(*pairs: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that interpolates linearly between pairs (height, value), heights rising."""
    return lambda z: np.interp(z, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


class Lying:
    """The surface of neck, shoulders and trunk, made symmetric in x, for sheets that lie on it; NaN beside it."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.concatenate([points, points * [-1.0, 1.0, 1.0]])

    def _facing(self, x: np.ndarray, z: np.ndarray, sign: float) -> np.ndarray:
        result = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            near = (np.abs(self.points[:, 0] - x[index]) < 0.022) & (np.abs(self.points[:, 2] - z[index]) < 0.022)
            result[index] = (sign * self.points[near, 1]).max() if near.any() else np.nan
        return sign * result

    def back(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the rearmost y near (x, z)."""
        return self._facing(x, z, 1.0)

    def front(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the foremost y near (x, z)."""
        return self._facing(x, z, -1.0)
