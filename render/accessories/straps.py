"""Straps and scarf ends: bands that lie on the clothes along a course over the body.

A course is given on the left side of the reference body, by rays through the middle of the band and its half widths; it
is mirrored for the right side.
"""

import functools
from collections.abc import Sequence

import numpy as np

from render.accessories.anchors import Anchors, cast
from render.accessories.shape import unit
from render.accessories.wearer import Wearer
from render.figure.body import load_body
from render.geometry.surface import BODY

# Rays [6] (origin and direction) through the middle of a band, and half its width at each.
_Course = tuple[list[np.ndarray], Sequence[float]]

_CLEARANCE = 0.004  # metres between cloth and what lies on it


def strap(
    wearer: Wearer,
    name: str,
    sign: float,
    thickness: float,
    start: np.ndarray | None = None,
    end: np.ndarray | None = None,
) -> np.ndarray:
    """Return a band [rows 4 3] that lies on the clothes.

    Args:
        wearer: Who wears it.
        name: Its course, a key of `_COURSES`.
        sign: 1 for the left side or -1 for the right one.
        thickness: Thickness of the band in metres.
        start: Point [3] off the body where the band begins, if it does not begin on the body.
        end: Point [3] off the body where the band ends, if it does not end on the body.
    """
    anchors = _anchors(name, sign)
    points, normals = anchors.points(wearer), unit(anchors.normals(wearer).sum(axis=1))
    for _ in range(2):
        normals[1:-1] = unit(normals[:-2] + 2.0 * normals[1:-1] + normals[2:])
    left, right = points[:, 0], points[:, 2]
    half = (right - left) / 2
    middle = (left + right) / 2 + _lift(wearer, name, sign, points, normals)[:, None] * normals
    if start is not None:
        middle = np.concatenate([[start], middle])
        half, normals = (np.concatenate([values[:1], values]) for values in (half, normals))
    if end is not None:
        middle = np.concatenate([middle, [end]])
        half, normals = (np.concatenate([values, values[-1:]]) for values in (half, normals))
    inner, outer = -0.003 * normals, thickness * normals + _CLEARANCE * normals * 0.5
    return np.stack(
        [middle - half + inner, middle - half + outer, middle + half + outer, middle + half + inner], axis=1
    )


def _lift(wearer: Wearer, name: str, sign: float, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How far [rows] a band is lifted off the line between its edges, metres.

    Args:
        wearer: Who wears it.
        name: The band's course.
        sign: The band's side.
        points: Left edge, middle and right edge of the band on the body's surface [rows 3 3].
        normals: Normals of the surface along the band [rows 3].
    """
    left, middle, right = points[:, 0], points[:, 1], points[:, 2]
    # Where the body bulges between the edges, and where loose garments lie over it.
    lift = np.maximum(np.einsum("nc,nc->n", middle - (left + right) / 2, normals), 0.0)
    lift = np.maximum(lift, _height_over(middle, normals, wearer.vertices[_beside(name, sign)], 0.022).clip(0.0, 0.025))
    lift += _height_over(middle, normals, wearer.cloth, 0.03)
    lifted = middle + lift[:, None] * normals
    # A taut band bridges hollows.
    bridge = np.zeros(len(lift))
    for _ in range(6):
        here = lifted + bridge[:, None] * normals
        chord = np.einsum("nc,nc->n", (here[:-2] + here[2:]) / 2 - here[1:-1], normals[1:-1])
        bridge[1:-1] = np.clip(bridge[1:-1] + 0.8 * np.maximum(chord, 0.0), 0.0, 0.02)
    return lift + bridge


def _height_over(points: np.ndarray, normals: np.ndarray, layer: np.ndarray, reach: float) -> np.ndarray:
    """How high [N] a layer of vertices [M 3] lies over points [N 3] of the surface, metres."""
    layer = layer[((layer > points.min(axis=0) - 0.07) & (layer < points.max(axis=0) + 0.07)).all(axis=1)]
    if not len(layer):
        return np.zeros(len(points))
    offset = layer[None] - points[:, None]
    height = np.einsum("nmc,nc->nm", offset, normals)
    aside = np.linalg.norm(offset, axis=2) ** 2 - height**2
    return np.where((aside < reach**2) & (height < 0.07), height, 0.0).max(axis=1).clip(0.0)


@functools.cache
def _anchors(name: str, sign: float) -> Anchors:
    """Anchors [rows 3] of a band: left edge, middle, right edge."""
    rays, half_widths = _COURSES[name]()
    origins, directions = np.stack(rays)[:, :3], unit(np.stack(rays)[:, 3:])
    flip = np.array([sign, 1.0, 1.0])
    middle = cast(origins * flip, directions * flip, head=False).on(load_body().reference.vertices) * flip
    along = unit(np.gradient(middle, axis=0))
    across = unit(np.cross(along, directions)) * np.asarray(half_widths)[:, None]
    columns = [cast((origins + step * across) * flip, directions * flip, head=False) for step in (-1.0, 0.0, 1.0)]
    return Anchors(
        np.stack([column.corners for column in columns], axis=1),
        np.stack([column.shares for column in columns], axis=1),
    )


@functools.cache
def _beside(name: str, sign: float) -> np.ndarray:
    """Indices of the body's vertices next to a band: folds of skin and cloth there must not come through it."""
    body = load_body()
    points = _anchors(name, sign).on(body.reference.vertices)[:, 1]
    near = np.linalg.norm(body.reference.vertices[:, None] - points, axis=2).min(axis=1) < 0.06
    return np.flatnonzero(near & (body.surface.part == BODY))


# Courses.


def _over_shoulder(start: float, end: float, count: int, x: tuple[float, ...], middle: float) -> list[np.ndarray]:
    """Rays [6] that turn from the back over the shoulder to the front.

    Args:
        start: Angle of the first ray in degrees: 0 is the back, 90 is up, 180 the front.
        end: Angle of the last ray.
        count: Number of rays.
        x: How far to the left the rays are at 0, 90 and 180 degrees, metres.
        middle: Height of the axis that they turn about, metres.
    """
    angles = np.deg2rad(np.linspace(start, end, count))
    across = np.interp(angles, np.deg2rad([0.0, 90.0, 180.0]), x)
    return [np.array([u, -0.02, middle, 0.0, np.cos(a), np.sin(a)]) for a, u in zip(angles, across, strict=True)]


def around_trunk(start: float, end: float, heights: np.ndarray) -> list[np.ndarray]:
    """Return level rays [6] (origin and direction) around the trunk.

    Args:
        start: Angle of the first ray in degrees: 0 is the front, 90 the left side.
        end: Angle of the last ray.
        heights: Height of each ray in metres [N].
    """
    angles = np.deg2rad(np.linspace(start, end, len(heights)))
    return [np.array([0.0, -0.035, z, np.sin(a), -np.cos(a), 0.0]) for a, z in zip(angles, heights, strict=True)]


def _backpack() -> _Course:
    """From the back over the shoulder, under the arm and back to the lower end of the pack."""
    rays = _over_shoulder(-6.0, 192.0, 11, (0.065, 0.098, 0.118), 0.465)
    rays += around_trunk(62.0, 150.0, np.array([0.385, 0.345, 0.305, 0.27, 0.245]))
    return rays, [0.026] * 9 + [0.024, 0.02, 0.014, 0.012, 0.012, 0.012, 0.012]


def _shoulder() -> _Course:
    """From the hip in front over the shoulder to the hip at the back, on one side."""
    front = around_trunk(58.0, 46.0, np.array([0.31, 0.345, 0.38, 0.41, 0.44]))
    back = around_trunk(134.0, 122.0, np.array([0.43, 0.37, 0.31]))
    rays = front + _over_shoulder(177.0, 12.0, 11, (0.122, 0.126, 0.122), 0.47) + back
    return rays, [0.014] * len(rays)


def _across() -> _Course:
    """From the right hip in front over the left shoulder to the right hip at the back."""

    def diagonal(t: float, back: float) -> np.ndarray:
        return np.array([-0.15 + 0.24 * t, -0.03, 0.13 + 0.37 * t, -0.6 * (1.0 - t) ** 2, back, 0.0])

    rays = [diagonal(t, -1.0) for t in np.linspace(0.04, 0.93, 9)]
    rays += _over_shoulder(158.0, 22.0, 7, (0.088, 0.092, 0.092), 0.47)
    rays += [diagonal(t, 1.0) for t in np.linspace(0.93, 0.04, 9)]
    return rays, [0.018] * len(rays)


def _scarf_end() -> _Course:
    """From the neck down the front, getting wider."""
    rays = [np.array([0.045 + 0.002 * k, -0.03, z, 0.0, -1.0, 0.0]) for k, z in enumerate(np.linspace(0.60, 0.28, 9))]
    return rays, list(np.linspace(0.030, 0.046, 9))


_COURSES = {"backpack": _backpack, "shoulder": _shoulder, "across": _across, "scarf_end": _scarf_end}
