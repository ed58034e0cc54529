"""Building blocks of accessory meshes: tubes through rings of points, boxes, ropes and handles.

Every mesh is made of tubes. A tube is closed: its first and last ring are filled or joined to each other. The exception
is a hollow tube, which ends where nobody sees it, as a hat does inside the hair.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh
from scipy import sparse
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial

# The renderer takes the texture from the metadata; making a material for each mesh would take longer than the mesh.
_MATERIAL = SimpleMaterial()

# Where the parts of an accessory lie in its texture: (left, bottom, right, top) in UV coordinates, v up.
Region = tuple[float, float, float, float]
MAIN: Region = (0.02, 0.36, 0.98, 0.98)
EXTRA: Region = (0.02, 0.17, 0.98, 0.32)
STRAP: Region = (0.02, 0.02, 0.98, 0.13)

UP = np.array([0.0, 0.0, 1.0])

# A row of a box: height in [-1, 1], scale of the width, scale of the depth.
BoxRow = tuple[float, float, float]
# Bags with a rounded top.
SOFT: tuple[BoxRow, ...] = (
    (1.0, 0.55, 0.4),
    (0.95, 0.8, 0.7),
    (0.75, 0.95, 0.9),
    (0.2, 1.0, 1.0),
    (-0.5, 1.0, 1.05),
    (-0.92, 0.95, 0.95),
    (-1.0, 0.75, 0.7),
)
# Cases.
HARD: tuple[BoxRow, ...] = ((1.0, 0.93, 0.85), (0.94, 1.0, 1.0), (-0.94, 1.0, 1.0), (-1.0, 0.93, 0.85))
# Bags whose open top is pressed together.
OPEN: tuple[BoxRow, ...] = (
    (1.0, 1.0, 0.55),
    (0.96, 1.0, 0.65),
    (0.4, 0.985, 0.85),
    (-0.4, 0.97, 1.0),
    (-0.93, 0.96, 1.0),
    (-1.0, 0.9, 0.8),
)
SATCHEL: tuple[BoxRow, ...] = (
    (1.0, 0.9, 0.7),
    (0.93, 1.0, 0.95),
    (0.2, 1.0, 1.0),
    (-0.9, 1.0, 1.0),
    (-1.0, 0.93, 0.8),
)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [... 3] to length 1; zero vectors stay zero."""
    return vectors / np.maximum(np.sqrt(np.einsum("...c,...c->...", vectors, vectors)), 1e-9)[..., None]


@functools.cache
def _topology(rows: int, columns: int, ends: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Any]:
    """Connect the points of a tube to triangles.

    A tube has welded vertices, which are its points, and own vertices, which are copies of them where the texture needs
    two UV coordinates at one point. Welded vertices are the grid, row by row, then the middles of the two ends.

    Args:
        rows: Number of rings.
        columns: Number of points in a ring.
        ends: "filled"; "ring", where the last row is joined to the first; or "hollow", where only the first row is
            filled.

    Returns:
        Triangles [T 3] of welded vertices, the same triangles [T 3] of own vertices, the welded vertex [K] of each own
        vertex, UV coordinates [K 2] in [0, 1], and a sparse matrix [K T] that sums over the triangles around each own
        vertex.
    """
    last = rows + 1 if ends == "ring" else rows
    row, column = np.meshgrid(np.arange(last), np.arange(columns + 1), indexing="ij")
    welded = (row % rows) * columns + column % columns
    uv = np.stack([column / columns, 1.0 - row / (last - 1)], axis=-1)
    own = np.arange(last * (columns + 1)).reshape(last, columns + 1)
    quads = np.stack([own[:-1, :-1], own[1:, :-1], own[1:, 1:], own[:-1, 1:]], axis=-1).reshape(-1, 4)
    faces = [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    vertex_map, coordinates = [welded.ravel()], [uv.reshape(-1, 2)]
    if ends != "ring":
        # Each triangle of a lid has its own middle, so that the texture's edge runs straight to it.
        for end, flip in ((0, False), (last - 1, True))[: 1 if ends == "hollow" else 2]:
            middle = np.full(columns, rows * columns + int(flip))
            ids = sum(len(part) for part in vertex_map) + np.arange(columns)
            lid = np.stack([ids, own[end, :-1], own[end, 1:]], axis=-1)
            faces.append(lid[:, ::-1] if flip else lid)
            vertex_map.append(middle)
            coordinates.append(np.stack([(np.arange(columns) + 0.5) / columns, np.full(columns, 1.0 - flip)], axis=-1))
    faces, owner = np.concatenate(faces), np.concatenate(vertex_map)
    triangles = owner[faces]
    around = (np.ones(triangles.size), (triangles.ravel(), np.repeat(np.arange(len(triangles)), 3)))
    return triangles, faces, owner, np.concatenate(coordinates), sparse.csr_array(around)[owner]


class Shape:
    """The parts of one accessory, collected as tubes and turned into one mesh.

    Attributes:
        in_box: Whether a detector's box around the person would take the accessory in.
    """

    def __init__(self, *, in_box: bool = True) -> None:
        self.in_box = in_box
        self._vertices: list[np.ndarray] = []
        self._normals: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._uv: list[np.ndarray] = []
        self._fill: list[np.ndarray] = []

    def tube(self, points: np.ndarray, region: Region, ends: str = "filled") -> None:
        """Add the surface through rings of points.

        Args:
            points: Points [rows columns 3], rows along the tube and columns around it.
            region: Where the tube lies in the texture: columns from left to right, the first row at the top.
            ends: How the tube ends, see `_topology`.
        """
        rows, columns = points.shape[:2]
        triangles, faces, owner, uv, sums = _topology(rows, columns, ends)
        welded = points.reshape(-1, 3)
        if ends != "ring":
            welded = np.concatenate([welded, points[[0, -1]].mean(axis=1)])
        a, b, c = (welded - welded.mean(axis=0))[triangles.T].transpose(0, 2, 1)
        b, c = b - a, c - a
        facing = np.stack([b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]], axis=1)
        if np.einsum("cn,nc->", a, facing) < 0.0:  # a negative volume: turn the faces outwards
            facing, faces = -facing, faces[:, ::-1]
        left, bottom, right, top = region
        self._faces.append(faces + sum(len(part) for part in self._vertices))
        self._vertices.append(welded[owner])
        self._normals.append(unit(sums @ facing))
        self._uv.append(uv * [right - left, top - bottom] + [left, bottom])

    def cast_shadow_from(self, points: np.ndarray) -> None:
        """Add points [N 3] of the surface that cast its shadow, where triangles are too large to do so by corners alone."""
        self._fill.append(points)

    def mesh(self, kind: str, texture: np.ndarray, row: int, rows: int) -> trimesh.Trimesh:
        """Make the mesh.

        Args:
            kind: Kind of the accessory, the mesh's `metadata["part"]`.
            texture: Texture that holds those of `rows` accessories, one below the other.
            row: Which of them, counted from the top, is this accessory's.
            rows: Number of accessories in the texture.
        """
        uv = np.concatenate(self._uv)
        uv[:, 1] = (uv[:, 1] + (rows - 1 - row)) / rows
        mesh = trimesh.Trimesh(
            vertices=np.concatenate(self._vertices).astype(np.float32),
            faces=np.concatenate(self._faces),
            vertex_normals=np.concatenate(self._normals),
            visual=TextureVisuals(uv=uv, material=_MATERIAL),
            process=False,
        )
        mesh.metadata.update(part=kind, double_sided=False, texture=texture, in_box=self.in_box)
        if self._fill:
            mesh.metadata["fill"] = np.concatenate(self._fill).astype(np.float32)
        return mesh


def box(half: np.ndarray | Sequence[float], columns: int, rows: Sequence[BoxRow], power: float = 4.5) -> np.ndarray:
    """Return a rounded box [rows columns 3] around the origin, top row first; the first column is at the back (-y).

    Args:
        half: Half the width (x), depth (y) and height (z).
        columns: Number of points around it.
        rows: Its rows, from top to bottom.
        power: Exponent of the superellipse: 2 is round, 6 nearly square.
    """
    angle = np.arange(columns) * (2.0 * np.pi / columns)
    cosine, sine = np.cos(angle), np.sin(angle)
    radius = (np.abs(cosine) ** power + np.abs(sine) ** power) ** (-1.0 / power)
    ring = np.stack([-radius * sine, -radius * cosine], axis=-1)
    return np.stack(
        [
            np.column_stack([half[0] * wide * ring[:, 0], half[1] * deep * ring[:, 1], np.full(columns, half[2] * z)])
            for z, wide, deep in rows
        ]
    )


def rope(path: np.ndarray, radius: np.ndarray, columns: int = 4) -> np.ndarray:
    """Return a round tube [rows columns 3] of radius [rows] along a path [rows 3]."""
    along = unit(np.gradient(path, axis=0))
    reference = np.where(np.abs(along[:, 1:2]) < 0.8, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    first = unit(np.cross(along, reference))
    second = np.cross(along, first)
    angle = (np.arange(columns) + 0.5) * (2.0 * np.pi / columns)
    ring = np.cos(angle)[None, :, None] * first[:, None] + np.sin(angle)[None, :, None] * second[:, None]
    return path[:, None] + radius[:, None, None] * ring


def handle(width: float, depth: float, drop: float, radius: float, rows: int = 7) -> np.ndarray:
    """Return a handle [rows 4 3]: an arch with its top at the origin.

    Args:
        width: Distance of each foot from the middle, along x.
        depth: How far the feet are moved along y.
        drop: How far the feet are below the origin.
        radius: Radius of the handle.
        rows: Number of rings along it.
    """
    t = np.linspace(-1.0, 1.0, rows)
    path = np.stack([width * np.sin(t * np.pi / 2), depth * t**2, -drop * (1.0 - np.cos(t * np.pi / 2) ** 0.7)], axis=1)
    return rope(path, np.full(rows, radius))
