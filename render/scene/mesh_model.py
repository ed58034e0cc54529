"""Building simple meshes from parts of single colours: boxes, bars, rings, leaves."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import trimesh
from trimesh.visual import TextureVisuals

Triple = Sequence[float] | np.ndarray
"""Three numbers: a colour, or a place."""


class Model:
    """A mesh in the making: parts, each of a single colour."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = []
        self._colors: list[tuple[int, int, int, bool]] = []  # the last says whether a tint changes it
        self._count = 0
        self._tinted = True

    @contextlib.contextmanager
    def untinted(self) -> Iterator[None]:
        """Keep the tint of a thing from the parts that are added in here: glass, tyres and lamps are no paint."""
        self._tinted = False
        yield
        self._tinted = True

    def add(self, vertices: np.ndarray, faces: np.ndarray, color: Triple, *, smooth: bool) -> None:
        """Add a part of one colour; faces [F 3] run counter-clockwise seen from outside."""
        vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
        corners = vertices[faces]
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        if smooth:
            normals = np.zeros_like(vertices)
            for corner in range(3):
                np.add.at(normals, faces[:, corner], flat)
        else:
            vertices, normals = corners.reshape(-1, 3), np.repeat(flat, 3, axis=0)
            faces = np.arange(len(vertices)).reshape(-1, 3)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        red, green, blue = (int(value) for value in np.clip(np.rint(np.asarray(color) * 255.0), 0, 255))
        key = (red, green, blue, self._tinted)
        if key not in self._colors:
            self._colors.append(key)
        self._parts.append((vertices, normals, faces + self._count, self._colors.index(key)))
        self._count += len(vertices)

    def box(self, low: Triple, high: Triple, color: Triple, cell: float = 0.25) -> None:
        """Add a box between two corners, cut into pieces of about `cell` metres so that it can be shaded."""
        low_, high_ = np.asarray(low, float), np.asarray(high, float)
        for axis in range(3):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            counts = [int(np.clip(np.ceil((high_[k] - low_[k]) / cell), 1, 24)) for k in (first, second)]
            u, v = np.meshgrid(*(np.linspace(0.0, 1.0, count + 1) for count in counts), indexing="ij")
            for side in (0, 1):
                points = np.empty((u.size, 3))
                points[:, axis] = high_[axis] if side else low_[axis]
                points[:, first] = low_[first] + u.ravel() * (high_[first] - low_[first])
                points[:, second] = low_[second] + v.ravel() * (high_[second] - low_[second])
                faces = grid(counts[0] + 1, counts[1] + 1)
                self.add(points, faces if side else faces[:, ::-1], color, smooth=True)

    def tube(
        self, start: Sequence[float], end: Sequence[float], radius: float, color: Triple, *, end_radius: float = -1.0
    ) -> None:
        """Add a closed round bar; a negative `end_radius` stands for `radius`."""
        first, last = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(last - first))
        axis = (last - first) / length
        side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        other = np.cross(axis, side)
        sides = 24 if radius > 0.15 else 12
        angles = np.linspace(0.0, 2.0 * math.pi, sides, endpoint=False)
        circle = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
        levels = np.linspace(0.0, 1.0, max(2, min(16, int(length / 0.25) + 1)))
        radii = radius + ((radius if end_radius < 0.0 else end_radius) - radius) * levels
        rings = first + levels[:, None, None] * (last - first) + radii[:, None, None] * circle
        self.add(rings.reshape(-1, 3), grid(len(levels), sides, closed=True)[:, ::-1], color, smooth=True)
        fan = np.array([[0, k, k % sides + 1] for k in range(1, sides + 1)])
        self.add(np.vstack([first, rings[0]]), fan[:, ::-1], color, smooth=True)
        self.add(np.vstack([last, rings[-1]]), fan, color, smooth=True)

    def ring(self, middle: Sequence[float], axis: int, radius: float, thickness: float, color: Triple) -> None:
        """Add a torus around a main axis (0: x, 1: y, 2: z)."""
        around, section = (
            np.linspace(0, 2 * math.pi, 28, endpoint=False),
            np.linspace(0, 2 * math.pi, 8, endpoint=False),
        )
        a, s = np.meshgrid(around, section, indexing="ij")
        points = np.empty((a.size, 3))
        points[:, (axis + 1) % 3] = ((radius + thickness * np.cos(s)) * np.cos(a)).ravel()
        points[:, (axis + 2) % 3] = ((radius + thickness * np.cos(s)) * np.sin(a)).ravel()
        points[:, axis] = (thickness * np.sin(s)).ravel()
        faces = grid(28, 8, closed=True, closed_first=True)
        self.add(points + np.asarray(middle, float), faces, color, smooth=True)

    def leaves(
        self, rng: np.random.Generator, middles: np.ndarray, outwards: np.ndarray, size: float, hue: float
    ) -> None:
        """Add leaves: small quads at [N 3], turned about `outwards` [N 3] at random, in shades of green."""
        count = len(middles)
        normals = outwards + 0.9 * rng.standard_normal((count, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        side = np.cross(normals, rng.standard_normal((count, 3)))
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
        other = np.cross(normals, side)
        scale = size * rng.uniform(0.6, 1.4, (count, 1))
        corners = np.stack(
            [
                middles - scale * side,
                middles - 0.5 * scale * other,
                middles + scale * side,
                middles + 0.5 * scale * other,
            ],
            axis=1,
        )
        shade = rng.integers(0, 12, count)
        for k in range(12):
            chosen = corners[shade == k].reshape(-1, 3)
            start = np.arange(0, len(chosen), 4)[:, None]
            faces = (start + np.array([[0, 1, 2, 0, 2, 3]])).reshape(-1, 3)
            level = 0.55 + 0.065 * k
            color = np.array([0.34 + 0.13 * hue + 0.01 * (k % 5), 0.46 + 0.012 * (k % 3), 0.22 - 0.05 * hue]) * level
            self._leaf_part(chosen, faces, np.repeat(outwards[shade == k], 4, axis=0), color)

    def _leaf_part(self, vertices: np.ndarray, faces: np.ndarray, outwards: np.ndarray, color: Triple) -> None:
        if not len(vertices):
            return
        self.add(vertices, faces, color, smooth=True)
        points, _, numbers, which = self._parts[-1]
        # A crown is shaded as a whole: each leaf's own direction would be mere noise.
        self._parts[-1] = (points, outwards / np.linalg.norm(outwards, axis=1, keepdims=True), numbers, which)

    def mesh(self) -> trimesh.Trimesh:
        """Return all parts as one mesh.

        Its metadata have the texture, and where a tint leaves some parts alone "untinted", the same texture with all
        others black.
        """
        width = 4 * len(self._colors)
        colors = np.array([color[:3] for color in self._colors], np.uint8)
        tinted = np.array([color[3] for color in self._colors])
        texture = _palette(colors)
        uv = [np.tile([(4 * which + 2) / width, 0.5], (len(points), 1)) for points, _, _, which in self._parts]
        mesh = make_mesh(
            np.concatenate([part[0] for part in self._parts]),
            np.concatenate([part[1] for part in self._parts]),
            np.concatenate([part[2] for part in self._parts]),
            np.concatenate(uv),
            texture,
        )
        if not tinted.all():
            mesh.metadata["untinted"] = _palette(colors * ~tinted[:, None])
        return mesh


def _palette(colors: np.ndarray) -> np.ndarray:
    """Return a texture [4 4N 3] with a square of each color [N 3]."""
    return np.repeat(np.repeat(colors[None], 4, axis=1), 4, axis=0)


def make_mesh(
    vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, uv: np.ndarray, texture: np.ndarray
) -> trimesh.Trimesh:
    """Return a mesh with a texture of its own, to be seen from both sides (see `Rasterizer.draw`)."""
    mesh = trimesh.Trimesh(
        vertices=vertices, faces=faces, vertex_normals=normals, visual=TextureVisuals(uv=uv), process=False
    )
    mesh.metadata["texture"] = texture
    mesh.metadata["double_sided"] = True
    return mesh


def grid(rows: int, columns: int, *, closed: bool = False, closed_first: bool = False) -> np.ndarray:
    """Return the triangles of a grid of points; `closed` joins last and first column, `closed_first` the rows."""
    number = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        number = np.concatenate([number, number[:, :1]], axis=1)
    if closed_first:
        number = np.concatenate([number, number[:1]], axis=0)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    return np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
