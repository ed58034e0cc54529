"""Anchors: points of the body's surface, found once on the reference body and followed through any shape and pose."""

import dataclasses
import functools

import numpy as np

from render.accessories.shape import unit
from render.accessories.wearer import Wearer
from render.figure.body import load_body
from render.geometry.surface import BODY


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Points of the body's surface.

    Attributes:
        corners: Vertices int [... 3] of the triangle that each point lies in.
        shares: Barycentric coordinates [... 3] of each point in its triangle.
    """

    corners: np.ndarray
    shares: np.ndarray

    def on(self, vertices: np.ndarray) -> np.ndarray:
        """Interpolate vertices [V 3] of the body at the points, float64 [... 3]."""
        return np.einsum("...k,...kc->...c", self.shares, vertices[self.corners].astype(np.float64))

    def points(self, wearer: Wearer) -> np.ndarray:
        """Positions [... 3] of the points on a wearer."""
        return self.on(wearer.vertices)

    def normals(self, wearer: Wearer) -> np.ndarray:
        """Unit normals [... 3] of a wearer's surface at the points."""
        return unit(self.on(wearer.normals))


def cast(origins: np.ndarray, directions: np.ndarray, *, head: bool) -> Anchors:
    """Find where rays leave the reference body.

    The crossing is that of T. Moeller and B. Trumbore, Fast, Minimum Storage Ray/Triangle Intersection (1997).

    Args:
        origins: Origins [N 3] of the rays.
        directions: Directions [N 3] of the rays.
        head: Whether the rays meet the head, without its ears, or the trunk, the neck and the shoulders.

    Returns:
        Anchors [N].

    Raises:
        RuntimeError: A ray meets no surface.
    """
    body = load_body()
    triangles = _triangles(head)
    a, b, c = (body.reference.vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    corners, shares = np.zeros((len(origins), 3), int), np.zeros((len(origins), 3))
    for index, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
        p = np.cross(direction, c - a)
        determinant = np.einsum("nc,nc->n", b - a, p)
        determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
        t = origin - a
        u = np.einsum("nc,nc->n", t, p) / determinant
        q = np.cross(t, b - a)
        v = q @ direction / determinant
        distance = np.einsum("nc,nc->n", c - a, q) / determinant
        met = (u > -1e-6) & (v > -1e-6) & (u + v < 1.0 + 1e-6) & (distance > 0.0)
        if not met.any():
            raise RuntimeError(f"No surface of the reference body from {origin} along {direction}.")
        best = int(np.argmax(np.where(met, distance, -1.0)))
        corners[index] = triangles[best]
        shares[index] = 1.0 - u[best] - v[best], u[best], v[best]
    return Anchors(corners, shares)


@functools.cache
def _triangles(head: bool) -> np.ndarray:
    """Triangles int [T 3] that rays may meet, see `cast`."""
    body = load_body()
    s, triangles = body.surface, body.part.triangles
    x, y, z = s.position.T
    if head:
        ear = (np.abs(x) > 0.0745) & (np.abs(y + 0.04) < 0.05) & (z < 0.825)
        chosen = (s.group("head", "neck") > 0.5) & ~ear
    else:
        chosen = (s.is_arm < 0.7) & (s.group("trunk", "shoulder", "neck", "upper_leg") > 0.3)
    chosen &= s.part == BODY
    return triangles[chosen[triangles].all(axis=1)]


@functools.cache
def region_vertices(name: str) -> np.ndarray:
    """Indices of the body's vertices in a region that accessories may touch.

    Args:
        name: "back", "trunk", "head", "scalp", "face", "ear", "leg.L" or "leg.R".
    """
    s = load_body().surface
    x, y, z = s.position.T
    if name == "back":
        chosen = (s.is_arm < 0.3) & (s.group("trunk", "shoulder") > 0.4) & (s.normal[:, 1] > 0.2) & (np.abs(x) < 0.14)
    elif name == "trunk":
        chosen = (s.is_arm < 0.3) & (s.group("trunk", "shoulder", "upper_leg") > 0.4)
    elif name == "head":
        chosen = s.group("head", "neck") > 0.5
    elif name == "scalp":
        chosen = (s.group("head") > 0.5) & (z > 0.76) & ~((np.abs(x) > 0.0745) & (z < 0.825))
    elif name == "face":
        chosen = (s.group("head") > 0.5) & (y < 0.0) & (np.abs(z - 0.80) < 0.05)
    elif name == "ear":
        chosen = (np.abs(x) > 0.078) & (np.abs(z - 0.78) < 0.025) & (s.group("head") > 0.5)
    elif name in ("leg.L", "leg.R"):
        side = x > -0.02 if name == "leg.L" else x < 0.02
        chosen = (s.is_arm < 0.3) & (s.group("hand") < 0.1) & (z < 0.2) & side
    else:
        raise KeyError(name)
    return np.flatnonzero(chosen & (s.part == BODY))
