"""Meshes of accessories, fitted to a dressed and posed figure.

What lies on the clothes (straps, a scarf, hats) is anchored at points of the body's surface, found once on the
reference body: whatever the shape, the clothes and the pose, the points of the posed surface are known. Bags on the back
are fitted to the actual back and turn with the chest; what hangs from a hand hangs straight down, whichever way the
forearm points. Things are modelled for the left side and mirrored for the right one, texture and all.

Every mesh is made of closed tubes: rings of points, the first and last of which are filled or meet.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import trimesh
from scipy import sparse
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial

from render.figure.body import Body, RestBody, load_body
from render.geometry.surface import BODY, smoothstep
from render.people.accessories import Accessory

TEXTURE_SIZE = 64

# The renderer takes the texture from the metadata; a material for every mesh would take longer than the mesh.
_MATERIAL = SimpleMaterial()

# Where the parts of a thing lie in its texture: (left, bottom, right, top) in UV, v up.
_Region = tuple[float, float, float, float]
_MAIN: _Region = (0.02, 0.36, 0.98, 0.98)
_EXTRA: _Region = (0.02, 0.17, 0.98, 0.32)
_STRAP: _Region = (0.02, 0.02, 0.98, 0.13)

_HEAD_CENTRE = np.array([0.0, -0.045, 0.80])  # of the reference body
_UP = np.array([0.0, 0.0, 1.0])
_FORWARDS = np.array([0.0, -1.0, 0.0])
_CLEARANCE = 0.004  # of what lies on cloth


@dataclasses.dataclass(frozen=True)
class Wearer:
    """A dressed figure in a pose, on the ground (z = 0), metres.

    Attributes:
        body: From `load_body`.
        rest: The rest pose of this body shape.
        transforms: Skinning transforms float32 [J 4 4]: rest position to position in this pose.
        vertices: Dressed vertices of the body float32 [V 3].
        normals: Their normals float32 [V 3].
        worn: Attachment name ("skirt", "hair_long", ...) -> vertices float32 [N 3].
    """

    body: Body
    rest: RestBody
    transforms: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    worn: dict[str, np.ndarray]

    def joint(self, name: str) -> np.ndarray:
        """Position float64 [3] of a joint in this pose."""
        move = self.transforms[self.body.joint_index[name]].astype(np.float64)
        return move[:3, :3] @ self.rest.joints[name] + move[:3, 3]

    def frame(self, name: str) -> "_Frame":
        """The axes of the rest pose as a joint carries them, around the joint."""
        return _Frame(self.transforms[self.body.joint_index[name], :3, :3].astype(np.float64), self.joint(name))

    @functools.cached_property
    def cloth(self) -> np.ndarray:
        """Vertices [N 3] of garments that stand off the body: skirts, open fronts, hoods."""
        return np.concatenate([np.zeros((0, 3)), *(v for name, v in self.worn.items() if not _is_hair(name))])

    @functools.cached_property
    def hair(self) -> np.ndarray:
        """Vertices [N 3] of hair meshes."""
        return np.concatenate([np.zeros((0, 3)), *(v for name, v in self.worn.items() if _is_hair(name))])


# Hair that hangs out of the back of a cap.
_GATHERED = ("ponytail", "braid", "low_bun")


def _is_hair(name: str) -> bool:
    return name.startswith(("hair", "bun", "top_bun", "low_bun", "pony", "braid", "curl", "afro"))


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Axes (columns of [3 3]: left, back, up) and origin of local coordinates."""

    axes: np.ndarray
    origin: np.ndarray

    def local(self, points: np.ndarray) -> np.ndarray:
        return (points - self.origin) @ self.axes

    def world(self, points: np.ndarray) -> np.ndarray:
        return points @ self.axes.T + self.origin


def make_meshes(accessories: Sequence[Accessory], wearer: Wearer) -> list[trimesh.Trimesh]:
    """One mesh an accessory, in the frame of the wearer's meshes.

    Returns:
        Meshes with smooth normals and UV, closed but for hats, which end inside the hair. `metadata`: "part" is the
        kind; "double_sided" False; "texture" uint8 [64 n 64 3], one array that holds the n accessories one below the
        other, so that they are drawn together; "in_box" whether a detector's box would take it in (an open umbrella
        and a suitcase are left out); and "fill" float32 [N 3], where the triangles are too large to cast a shadow by
        their corners alone, points on the surface.
    """
    if not accessories:
        return []
    texture = np.concatenate([paint(a.kind, a.pattern, a.colors, a.seed) for a in accessories])
    meshes = []
    for row, accessory in enumerate(accessories):
        shape = _Shape()
        _MAKERS[accessory.kind](accessory, wearer, shape)
        meshes.append(shape.mesh(accessory.kind, texture, row, len(accessories)))
    return meshes


@functools.cache
def _topology(rows: int, columns: int, ends: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Any]:
    """Faces of a tube: welded triangles [T 3], own triangles [T 3], welded vertex of each own one [K], UV [K 2], and
    the sums over the triangles around each own vertex, sparse [K T].

    Welded vertices are the grid row by row, then the middles of its ends. `ends`: "filled", "ring" (the last row is
    joined to the first), or "hollow" (only the first row is filled).
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


class _Shape:
    """Collects tubes and makes one mesh of them."""

    def __init__(self) -> None:
        self.vertices: list[np.ndarray] = []
        self.normals: list[np.ndarray] = []
        self.faces: list[np.ndarray] = []
        self.uv: list[np.ndarray] = []
        self.fill: list[np.ndarray] = []
        self.in_box = True

    def tube(self, points: np.ndarray, region: _Region, ends: str = "filled") -> None:
        """Adds the surface through rings of points [rows columns 3].

        Args:
            points: Rows along the tube, columns around it.
            region: Where it lies in the texture: columns from left to right, the first row at the top.
            ends: As in `_topology`. A hollow thing ends where nobody sees it, as a hat does inside the hair.
        """
        rows, columns = points.shape[:2]
        triangles, faces, owner, uv, sums = _topology(rows, columns, ends)
        welded = points.reshape(-1, 3)
        if ends != "ring":
            welded = np.concatenate([welded, points[[0, -1]].mean(axis=1)])
        a, b, c = (welded - welded.mean(axis=0))[triangles.T].transpose(0, 2, 1)
        b, c = b - a, c - a
        facing = np.stack([b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]], axis=1)
        if np.einsum("cn,nc->", a, facing) < 0.0:  # the volume: faces are to wind outwards
            facing, faces = -facing, faces[:, ::-1]
        left, bottom, right, top = region
        self.faces.append(faces + sum(len(part) for part in self.vertices))
        self.vertices.append(welded[owner])
        self.normals.append(_unit(sums @ facing))
        self.uv.append(uv * [right - left, top - bottom] + [left, bottom])

    def mesh(self, kind: str, texture: np.ndarray, row: int, rows: int) -> trimesh.Trimesh:
        """The mesh; its part of the texture is `row` of `rows`, from the top."""
        uv = np.concatenate(self.uv)
        uv[:, 1] = (uv[:, 1] + (rows - 1 - row)) / rows
        mesh = trimesh.Trimesh(
            vertices=np.concatenate(self.vertices).astype(np.float32),
            faces=np.concatenate(self.faces),
            vertex_normals=np.concatenate(self.normals),
            visual=TextureVisuals(uv=uv, material=_MATERIAL),
            process=False,
        )
        mesh.metadata.update(part=kind, double_sided=False, texture=texture, in_box=self.in_box)
        if self.fill:
            mesh.metadata["fill"] = np.concatenate(self.fill).astype(np.float32)
        return mesh


def _sign(accessory: Accessory) -> float:
    return 1.0 if accessory.side == "left" else -1.0


def _suffix(accessory: Accessory) -> str:
    return "L" if accessory.side == "left" else "R"


# Anchors on the surface.


@functools.cache
def _triangles(head: bool) -> np.ndarray:
    """Triangles int [T 3] that rays may meet: the head without the ears, or the trunk, neck and shoulders."""
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


def _cast(origins: np.ndarray, directions: np.ndarray, head: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where rays leave the reference body: corners int [N 3] of the triangle and their shares [N 3].

    The crossing is that of T. Moeller and B. Trumbore, Fast, Minimum Storage Ray/Triangle Intersection (1997).
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
    return corners, shares


@dataclasses.dataclass(frozen=True)
class _Anchors:
    """Points of the body's surface: corners int [... 3] and shares [... 3] of the triangles they lie in."""

    corners: np.ndarray
    shares: np.ndarray

    def points(self, wearer: Wearer) -> np.ndarray:
        return np.einsum("...k,...kc->...c", self.shares, wearer.vertices[self.corners].astype(np.float64))

    def normals(self, wearer: Wearer) -> np.ndarray:
        return _unit(np.einsum("...k,...kc->...c", self.shares, wearer.normals[self.corners].astype(np.float64)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(np.einsum("...c,...c->...", vectors, vectors)), 1e-9)[..., None]


def _over_shoulder(start: float, end: float, count: int, x: tuple[float, ...], middle: float) -> list[np.ndarray]:
    """Rays [6] (origin, direction) that turn from the back over the shoulder to the front; degrees, 90 is up."""
    angles = np.deg2rad(np.linspace(start, end, count))
    across = np.interp(angles, np.deg2rad([0.0, 90.0, 180.0]), x)
    return [np.array([u, -0.02, middle, 0.0, np.cos(a), np.sin(a)]) for a, u in zip(angles, across, strict=True)]


def _around(start: float, end: float, heights: np.ndarray) -> list[np.ndarray]:
    """Level rays [6] that turn around the trunk; degrees from the front to the left."""
    angles = np.deg2rad(np.linspace(start, end, len(heights)))
    return [np.array([0.0, -0.035, z, np.sin(a), -np.cos(a), 0.0]) for a, z in zip(angles, heights, strict=True)]


def _rays(name: str) -> tuple[list[np.ndarray], list[float]]:
    """The course of a strap of the left side on the reference body: rays [6] through its middle, and half its width."""
    if name == "backpack":
        rays = _over_shoulder(-6.0, 192.0, 11, (0.065, 0.098, 0.118), 0.465)
        rays += _around(62.0, 150.0, np.array([0.385, 0.345, 0.305, 0.27, 0.245]))
        return rays, [0.026] * 9 + [0.024, 0.02, 0.014, 0.012, 0.012, 0.012, 0.012]
    if name == "shoulder":
        # From the hip in front over the shoulder to the hip at the back.
        front = _around(58.0, 46.0, np.array([0.31, 0.345, 0.38, 0.41, 0.44]))
        back = _around(134.0, 122.0, np.array([0.43, 0.37, 0.31]))
        rays = front + _over_shoulder(177.0, 12.0, 11, (0.122, 0.126, 0.122), 0.47) + back
        return rays, [0.014] * len(rays)
    if name == "across":
        # From the right hip in front over the left shoulder to the right hip at the back.
        rays = []
        for t in np.linspace(0.04, 0.93, 9):
            rays.append(np.array([-0.15 + 0.24 * t, -0.03, 0.13 + 0.37 * t, -0.6 * (1.0 - t) ** 2, -1.0, 0.0]))
        rays += _over_shoulder(158.0, 22.0, 7, (0.088, 0.092, 0.092), 0.47)
        for t in np.linspace(0.93, 0.04, 9):
            rays.append(np.array([-0.15 + 0.24 * t, -0.03, 0.13 + 0.37 * t, -0.6 * (1.0 - t) ** 2, 1.0, 0.0]))
        return rays, [0.018] * len(rays)
    if name == "scarf_end":
        rays = [
            np.array([0.045 + 0.002 * k, -0.03, z, 0.0, -1.0, 0.0]) for k, z in enumerate(np.linspace(0.60, 0.28, 9))
        ]
        return rays, list(np.linspace(0.030, 0.046, 9))
    raise KeyError(name)


@functools.cache
def _course(name: str, sign: float) -> _Anchors:
    """Anchors [rows 3] of a strap: left edge, middle, right edge."""
    rays, half_widths = _rays(name)
    origins, directions = np.stack(rays)[:, :3], _unit(np.stack(rays)[:, 3:])
    flip = np.array([sign, 1.0, 1.0])
    corners, shares = _cast(origins * flip, directions * flip, head=False)
    body = load_body()
    middle = _points_of(body.reference.vertices, corners, shares) * flip
    along = _unit(np.gradient(middle, axis=0))
    across = _unit(np.cross(along, directions)) * np.asarray(half_widths)[:, None]
    columns = [_cast((origins + step * across) * flip, directions * flip, head=False) for step in (-1.0, 0.0, 1.0)]
    return _Anchors(np.stack([c for c, _ in columns], axis=1), np.stack([s for _, s in columns], axis=1))


@functools.cache
def _beside(name: str, sign: float) -> np.ndarray:
    """Indices of the body's vertices next to a strap: folds of skin and cloth there must not come through."""
    body = load_body()
    course = _course(name, sign)
    points = _points_of(body.reference.vertices, course.corners[:, 1], course.shares[:, 1])
    near = np.linalg.norm(body.reference.vertices[:, None] - points, axis=2).min(axis=1) < 0.06
    return np.flatnonzero(near & (body.surface.part == BODY))


def _points_of(vertices: np.ndarray, corners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.einsum("...k,...kc->...c", shares, vertices[corners].astype(np.float64))


def _strap(
    wearer: Wearer,
    name: str,
    sign: float,
    thickness: float,
    start: np.ndarray | None = None,
    end: np.ndarray | None = None,
) -> np.ndarray:
    """A band [rows 4 3] that lies on the clothes.

    Args:
        wearer: Who wears it.
        name, sign: Its course: `_rays`, and 1 for the left side or -1 for the right one.
        thickness: Of the band, metres.
        start, end: Points [3] off the body that it goes on to, if any.
    """
    course = _course(name, sign)
    points, normals = course.points(wearer), _unit(course.normals(wearer).sum(axis=1))
    for _ in range(2):
        normals[1:-1] = _unit(normals[:-2] + 2.0 * normals[1:-1] + normals[2:])
    left, middle, right = points[:, 0], points[:, 1], points[:, 2]
    # Where the body bulges between the edges, and where loose garments lie over it.
    lift = np.maximum(np.einsum("nc,nc->n", middle - (left + right) / 2, normals), 0.0)
    lift = np.maximum(lift, _over(middle, normals, wearer.vertices[_beside(name, sign)], 0.022).clip(0.0, 0.025))
    lift += _over(middle, normals, wearer.cloth, 0.03)
    lifted = middle + lift[:, None] * normals
    # A taut band bridges hollows.
    bridge = np.zeros(len(lift))
    for _ in range(6):
        here = lifted + bridge[:, None] * normals
        chord = np.einsum("nc,nc->n", (here[:-2] + here[2:]) / 2 - here[1:-1], normals[1:-1])
        bridge[1:-1] = np.clip(bridge[1:-1] + 0.8 * np.maximum(chord, 0.0), 0.0, 0.02)
    lift = (lift + bridge)[:, None] * normals
    half = (right - left) / 2
    middle = (left + right) / 2 + lift
    for point, at in ((start, 0), (end, -1)):
        if point is not None:
            rows = [[point], middle] if at == 0 else [middle, [point]]
            middle = np.concatenate(rows)
            half, normals = (
                np.concatenate([values[:1], values] if at == 0 else [values, values[-1:]]) for values in (half, normals)
            )
    inner, outer = -0.003 * normals, thickness * normals + _CLEARANCE * normals * 0.5
    return np.stack(
        [middle - half + inner, middle - half + outer, middle + half + outer, middle + half + inner], axis=1
    )


def _over(points: np.ndarray, normals: np.ndarray, layer: np.ndarray, reach: float) -> np.ndarray:
    """How far [N] a layer of vertices [M 3] lies over points [N 3] of the surface, metres."""
    layer = layer[((layer > points.min(axis=0) - 0.07) & (layer < points.max(axis=0) + 0.07)).all(axis=1)]
    if not len(layer):
        return np.zeros(len(points))
    offset = layer[None] - points[:, None]
    height = np.einsum("nmc,nc->nm", offset, normals)
    aside = np.linalg.norm(offset, axis=2) ** 2 - height**2
    return np.where((aside < reach**2) & (height < 0.07), height, 0.0).max(axis=1).clip(0.0)


# Bags.


def _box(
    half: tuple[float, float, float], columns: int, rows: Sequence[tuple[float, float, float]], power: float = 4.5
) -> np.ndarray:
    """A rounded box [rows columns 3] around the origin, top row first; the first column is at the back (-y).

    Args:
        half: Half the width (x), depth (y) and height (z).
        columns: Number of points around it.
        rows: (height in [-1, 1], scale of width, scale of depth) of every row.
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


# Rows of boxes: bags with a rounded top, cases, bags with a mouth that closes, and satchels.
_SOFT = (
    (1.0, 0.55, 0.4),
    (0.95, 0.8, 0.7),
    (0.75, 0.95, 0.9),
    (0.2, 1.0, 1.0),
    (-0.5, 1.0, 1.05),
    (-0.92, 0.95, 0.95),
    (-1.0, 0.75, 0.7),
)
_HARD = ((1.0, 0.93, 0.85), (0.94, 1.0, 1.0), (-0.94, 1.0, 1.0), (-1.0, 0.93, 0.85))
_OPEN = (
    (1.0, 1.0, 0.55),
    (0.96, 1.0, 0.65),
    (0.4, 0.985, 0.85),
    (-0.4, 0.97, 1.0),
    (-0.93, 0.96, 1.0),
    (-1.0, 0.9, 0.8),
)
_SATCHEL = ((1.0, 0.9, 0.7), (0.93, 1.0, 0.95), (0.2, 1.0, 1.0), (-0.9, 1.0, 1.0), (-1.0, 0.93, 0.8))


@functools.cache
def _region_vertices(name: str) -> np.ndarray:
    """Indices of the body's vertices that a thing may touch: "back", "trunk", "head", "scalp", "face", "ear", "leg.L"
    or "leg.R"."""
    s = load_body().surface
    x, _, z = s.position.T
    if name == "back":
        chosen = (s.is_arm < 0.3) & (s.group("trunk", "shoulder") > 0.4) & (s.normal[:, 1] > 0.2) & (np.abs(x) < 0.14)
    elif name == "trunk":
        chosen = (s.is_arm < 0.3) & (s.group("trunk", "shoulder", "upper_leg") > 0.4)
    elif name == "head":
        chosen = s.group("head", "neck") > 0.5
    elif name == "scalp":
        chosen = (s.group("head") > 0.5) & (z > 0.76) & ~((np.abs(x) > 0.0745) & (z < 0.825))
    elif name == "face":
        chosen = (s.group("head") > 0.5) & (s.position[:, 1] < 0.0) & (np.abs(z - 0.80) < 0.05)
    elif name == "ear":
        chosen = (np.abs(x) > 0.078) & (np.abs(z - 0.78) < 0.025) & (s.group("head") > 0.5)
    else:
        side = x > -0.02 if name.endswith("L") else x < 0.02
        chosen = (s.is_arm < 0.3) & (s.group("hand") < 0.1) & (z < 0.2) & side
    return np.flatnonzero(chosen & (s.part == BODY))


def _backpack(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    sign, size = _sign(accessory), accessory.size
    flip = np.array([sign, 1.0, 1.0])
    chest = wearer.frame("spine01")
    length = float(wearer.rest.joints["neck01"][2] - wearer.rest.joints["root"][2]) / 0.569
    one_strap = accessory.variant == "one_strap"
    half = np.array([0.155 * size, 0.075 * size, 0.225 * size * (0.5 + 0.5 * length)])
    top = 0.085 * length - (0.03 if one_strap else 0.0)  # over spine01, which lies between the shoulder blades
    back = np.concatenate([wearer.vertices[_region_vertices("back")], wearer.cloth])
    back = chest.local(back)
    back = back[
        (np.abs(back[:, 0]) < 0.8 * half[0]) & (np.abs(back[:, 2] - top + half[2]) < half[2]) & (back[:, 1] > 0.0)
    ]
    # The straight line that lies against the back.
    levels = np.linspace(top - 2.0 * half[2], top, 7)
    row = np.clip(np.searchsorted(levels, back[:, 2]) - 1, 0, 5)
    profile = np.array([back[row == k, 1].max(initial=-1.0) for k in range(6)])
    heights = (levels[:-1] + levels[1:]) / 2
    found = profile > -1.0
    slope = float(np.clip(np.polyfit(heights[found], profile[found], 1)[0], -0.3, 0.25))
    rest = float((profile - slope * heights)[found].max()) - 0.006
    tilt = math.atan(slope)
    points = _box((half[0], half[1], half[2]), 14, _SOFT)
    pocket = _box((0.8 * half[0], 0.42 * half[1], 0.46 * half[2]), 10, (_HARD[0], (0.8, 1.0, 1.0), *_HARD[2:]))
    pocket += [0.0, 1.12 * half[1], -0.42 * half[2]]
    across = np.array([[math.cos(0.12), -math.sin(0.12)], [math.sin(0.12), math.cos(0.12)]])
    for part, region in ((points, _MAIN), (pocket, _EXTRA)):
        part[..., 1] += half[1] * np.where(part[..., 1] < 0.0, 0.9, 1.0)  # flat against the back
        part[..., 2] -= half[2]
        if one_strap:
            part[..., ::2] = part[..., ::2] @ across
            part[..., 0] += 0.045
        y, z = part[..., 1].copy(), part[..., 2].copy()
        part[..., 1] = rest + slope * top + math.cos(tilt) * y + math.sin(tilt) * z
        part[..., 2] = top - math.sin(tilt) * y + math.cos(tilt) * z
        shape.tube(chest.world(part * flip), region)
    for side in (sign,) if one_strap else (sign, -sign):
        shape.tube(_strap(wearer, "backpack", side, 0.009), _STRAP)


def _shoulder_bag(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    size, across = accessory.size, accessory.variant == "across"
    shoulder = _sign(accessory)
    side = -shoulder if across else shoulder  # of the hip that the bag lies against
    half = np.array([0.14, 0.04, 0.115] if across else [0.155, 0.042, 0.12]) * size
    anchor = _hip(side, 134.0 if across else 102.0, 0.10 if across else 0.17)
    point, outward = anchor.points(wearer)[0], anchor.normals(wearer)[0] * [1.0, 1.0, 0.0]
    outward = _unit(outward)
    frame = _Frame(np.stack([side * np.cross(outward, _UP), outward, _UP], axis=1), point - [0.0, 0.0, half[2]])
    near = frame.local(np.concatenate([wearer.vertices[_region_vertices("trunk")], wearer.cloth]))
    near = near[(np.abs(near[:, 0]) < 0.75 * half[0]) & (np.abs(near[:, 2]) < half[2])]
    rest = min(float(near[:, 1].max(initial=-0.02)), 0.06) - 0.004
    points = _box((half[0], half[1], half[2]), 14, _SOFT if across else _SATCHEL, 5.0)
    points[..., 1] += half[1] + rest
    shape.tube(frame.world(points), _MAIN)
    if across:
        flap = _box((0.98 * half[0], 0.25 * half[1], 0.36 * half[2]), 10, _HARD)
        flap += [0.0, 1.8 * half[1] + rest, 0.55 * half[2]]
        shape.tube(frame.world(flap), _EXTRA)
    ends = frame.world(np.array([[x * half[0], half[1] + rest, 0.9 * half[2]] for x in (0.85, -0.85)]))
    front, rear = ends[np.argsort(ends[:, 1])]
    shape.tube(_strap(wearer, accessory.variant, shoulder, 0.005, front, rear), _STRAP)


@functools.cache
def _hip(side: float, degrees: float, height: float) -> _Anchors:
    """One anchor [1] on the side (1 left, -1 right) of the hips, degrees from the front."""
    ray = _around(degrees, degrees, np.array([height]))[0]
    flip = np.array([side, 1.0, 1.0])
    return _Anchors(*_cast(ray[None, :3] * flip, ray[None, 3:] * flip, head=False))


def _grip(accessory: Accessory, wearer: Wearer) -> tuple[np.ndarray, np.ndarray]:
    """Where closed fingers hold something [3], and the direction [3] of what they hold: towards the index finger."""
    suffix = _suffix(accessory)
    middle = []
    for finger in (2, 3, 4, 5):
        first, second, third = (wearer.joint(f"finger{finger}-{phalanx}.{suffix}") for phalanx in (1, 2, 3))
        middle.append(second + 0.024 * _unit((first + third) / 2 - second))
    return np.mean(middle, axis=0), _unit(middle[0] - middle[3])


def _hanging(accessory: Accessory, wearer: Wearer, half: np.ndarray, drop: float) -> _Frame:
    """The frame of a thing that hangs from the hand: x along it (forwards), y away from the leg, z up, at the grip.

    Args:
        accessory: What hangs.
        wearer: Who holds it.
        half: Half its length, thickness and height.
        drop: How far below the grip its upper edge is.
    """
    grip, axis = _grip(accessory, wearer)
    side = _sign(accessory)
    angle = math.atan2(side * axis[0], -axis[1])  # of the fist, from forwards to outwards
    angle = float(np.clip(math.remainder(angle, math.pi), -0.45, 0.45))
    forwards = np.array([side * math.sin(angle), -math.cos(angle), 0.0])
    frame = _Frame(np.stack([forwards, side * np.cross(_UP, forwards), _UP], axis=1), grip)
    # It leans on the leg where the hand is too near.
    near = frame.local(np.concatenate([wearer.vertices[_region_vertices(f"leg.{_suffix(accessory)}")], wearer.cloth]))
    depth = -near[:, 2]
    near = near[(np.abs(near[:, 0]) < half[0]) & (depth > drop) & (depth < drop + 2.0 * half[2])]
    lean = float(((near[:, 1] + half[1]) / np.maximum(-near[:, 2], 0.1)).max(initial=0.0))
    lean = math.atan(min(max(lean, 0.0), 0.2))
    outwards = frame.axes[:, 1] * math.cos(lean) + _UP * math.sin(lean)
    return _Frame(
        np.stack([forwards, outwards, _UP * math.cos(lean) - frame.axes[:, 1] * math.sin(lean)], axis=1), grip
    )


def _handle(width: float, depth: float, drop: float, radius: float, rows: int = 7) -> np.ndarray:
    """A handle [rows 4 3] through the origin, down to two points `drop` below and `width` to both sides, `depth` away."""
    t = np.linspace(-1.0, 1.0, rows)
    path = np.stack([width * np.sin(t * np.pi / 2), depth * t**2, -drop * (1.0 - np.cos(t * np.pi / 2) ** 0.7)], axis=1)
    return _rope(path, np.full(rows, radius))


def _rope(path: np.ndarray, radius: np.ndarray, columns: int = 4) -> np.ndarray:
    """A round tube [rows columns 3] of radius [rows] along a path [rows 3]."""
    along = _unit(np.gradient(path, axis=0))
    reference = np.where(np.abs(along[:, 1:2]) < 0.8, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    first = _unit(np.cross(along, reference))
    second = np.cross(along, first)
    angle = (np.arange(columns) + 0.5) * (2.0 * np.pi / columns)
    ring = np.cos(angle)[None, :, None] * first[:, None] + np.sin(angle)[None, :, None] * second[:, None]
    return path[:, None] + radius[:, None, None] * ring


# Kind -> half length, half thickness, half height, drop of the upper edge below the hand, rows of the box.
_HAND_BAGS: dict[str, tuple[tuple[float, float, float], float, tuple[tuple[float, float, float], ...]]] = {
    "handbag": (
        (0.15, 0.06, 0.10),
        0.12,
        ((1.0, 0.75, 0.3), (0.9, 0.85, 0.5), (0.1, 0.97, 0.9), (-0.9, 1.0, 1.0), (-1.0, 0.92, 0.8)),
    ),
    "tote": ((0.175, 0.045, 0.18), 0.17, _OPEN),
    "shopping_bag": ((0.16, 0.055, 0.19), 0.12, _OPEN),
    "briefcase": ((0.205, 0.045, 0.145), 0.045, _HARD),
}


def _hand_bag(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    usual, drop, rows = _HAND_BAGS[accessory.kind]
    half = np.asarray(usual) * accessory.size
    grip = _grip(accessory, wearer)[0]
    half[2] = min(half[2], (grip[2] - drop - 0.06) / 2)  # off the ground, on short persons too
    frame = _hanging(accessory, wearer, half, drop)
    points = _box((half[0], half[1], half[2]), 14, rows, 6.0 if accessory.kind == "briefcase" else 4.0)
    shape.tube(frame.world(points - [0.0, 0.0, drop + half[2]]), _MAIN)
    if accessory.kind == "briefcase":
        shape.tube(frame.world(_handle(0.07, 0.0, drop + 0.01, 0.009)), _STRAP)
        return
    for depth in (0.45 * half[1], -0.45 * half[1]):
        shape.tube(frame.world(_handle(0.5 * half[0], depth, drop + 0.03, 0.007)), _STRAP)


def _suitcase(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    grip = _grip(accessory, wearer)[0]
    length, wheel, near = max(1.0, float(grip[2])), 0.035, 0.03
    # It leans forwards until the handle is in the hand and the wheels are on the ground.
    lean = math.acos((grip[2] - wheel) / math.hypot(length, near)) - math.atan2(near, length)
    up = np.array([0.0, -math.sin(lean), math.cos(lean)])
    back = np.array([0.0, math.cos(lean), math.sin(lean)])
    frame = _Frame(np.stack([_sign(accessory) * np.array([1.0, 0.0, 0.0]), back, up], axis=1), grip - length * up)
    shape.in_box = False
    size = accessory.size
    half = np.array([0.17 * size, 0.10 * size, 0.27 * size])
    case = _box((half[0], half[1], half[2]), 14, _HARD, 6.0)
    shape.tube(frame.world(case + np.array([0.0, half[1], half[2] + 0.04])), _MAIN)
    pocket = _box((0.85 * half[0], 0.2 * half[1], 0.7 * half[2]), 10, _HARD, 6.0)
    shape.tube(frame.world(pocket + np.array([0.0, 2.05 * half[1], half[2] + 0.02])), _EXTRA)
    for x in (-0.085, 0.085):
        pole = np.array([[x, 0.02, 2.0 * half[2]], [x, 0.0, length]])
        shape.tube(frame.world(_rope(pole, np.full(2, 0.007))), _STRAP)
        angle = np.arange(8) * (np.pi / 4)
        ring = np.stack([np.zeros(8), near + wheel * np.cos(angle), wheel * np.sin(angle)], axis=1)
        ring += [np.sign(x) * 0.8 * half[0], 0.0, 0.0]
        shape.tube(frame.world(np.stack([ring - [0.012, 0.0, 0.0], ring - [-0.012, 0.0, 0.0]])), _STRAP)
    bar = np.array([[-0.095, 0.0, length], [0.0, 0.0, length], [0.095, 0.0, length]])
    shape.tube(frame.world(_rope(bar, np.array([0.013, 0.015, 0.013]), 6)), _STRAP)


def _umbrella(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    grip, _ = _grip(accessory, wearer)
    head = np.concatenate([wearer.vertices[_region_vertices("head")], wearer.hair])
    crown = head[np.argmax(head[:, 2])]
    radius = 0.5 * accessory.size
    rise = 0.42 * radius
    apex = np.array(
        [grip[0] + 0.62 * (crown[0] - grip[0]), grip[1] + 0.62 * (crown[1] - grip[1]), crown[2] + rise + 0.06]
    )
    up = _unit(apex - grip)
    right = _unit(np.cross(_FORWARDS, up)) * _sign(accessory)
    frame = _Frame(np.stack([right, np.cross(up, right) * _sign(accessory), up], axis=1), apex)
    angle = np.arange(16) * (np.pi / 8)
    rib = np.arange(16) % 2 == 0
    rows = []
    for layer, fractions in ((0.0, (0.05, 0.35, 0.65, 0.86, 1.0)), (-0.006, (0.985, 0.8, 0.5, 0.1))):
        for part in fractions:
            valley = np.where(rib, 1.0, 1.0 - 0.06 * part**2)  # the cloth is stretched between the ribs
            fall = -rise * part**2.1 * np.where(rib, 1.0, 0.88) + layer
            rows.append(
                np.stack([radius * part * valley * np.cos(angle), radius * part * valley * np.sin(angle), fall], 1)
            )
    canopy = np.stack(rows)
    shape.tube(frame.world(canopy), _MAIN)
    shaft = float(np.linalg.norm(apex - grip))
    path = np.array(
        [
            [0.0, 0.0, 0.05],
            [0.0, 0.0, 0.0],
            [0.0, 0.0, 0.08 - shaft],
            [0.0, 0.0, 0.07 - shaft],
            [0.0, 0.0, -0.09 - shaft],
        ]
    )
    shape.tube(frame.world(_rope(path, np.array([0.004, 0.007, 0.007, 0.015, 0.015]), 6)), _STRAP)
    shape.in_box = False
    # Its triangles are larger than the cells of the shadow.
    step = (np.arange(34) + 0.5) / 34
    turn, part = np.meshgrid(np.arange(90) * (2.0 * np.pi / 90), np.sqrt(step), indexing="ij")
    dome = np.stack([radius * part * np.cos(turn), radius * part * np.sin(turn), -rise * part**2.1], axis=-1)
    shape.fill.append(frame.world(dome.reshape(-1, 3)))


def _folded_umbrella(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    grip = _grip(accessory, wearer)[0]
    length = min(0.62 * accessory.size, grip[2] - 0.18)
    half = np.array([0.03, 0.03, length / 2])
    frame = _hanging(accessory, wearer, half, 0.05)
    angle = np.linspace(-0.15, np.pi + 0.05, 8)
    hook = np.stack([0.045 - 0.045 * np.cos(angle), np.zeros(8), 0.045 * np.sin(angle) - 0.045], axis=1) * [
        -1.0,
        1.0,
        1.0,
    ]
    hook[:, 0] += 0.045
    shaft = np.array([hook[-1] + [0.0, 0.0, -0.05], hook[-1] + [0.0, 0.0, -0.10]])
    shape.tube(frame.world(_rope(np.concatenate([hook, shaft]), np.full(10, 0.009))), _STRAP)
    heights = np.array([0.0, -0.02, -0.25, -0.55, -0.93, -1.0]) * length
    cloth = np.column_stack([np.full(6, hook[-1, 0]), np.zeros(6), hook[-1, 2] - 0.07 + heights])
    shape.tube(frame.world(_rope(cloth, np.array([0.012, 0.024, 0.036, 0.031, 0.014, 0.004]), 8)), _MAIN)


def _phone(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    suffix = _suffix(accessory)
    knuckles = [wearer.joint(f"finger{finger}-1.{suffix}") for finger in (2, 3, 4, 5)]
    tips = [wearer.joint(f"finger{finger}-3.{suffix}") for finger in (2, 3, 4, 5)]
    wrist = wearer.joint(f"wrist.{suffix}")
    along = _unit(np.mean(knuckles, axis=0) - wrist)
    across = _unit(knuckles[0] - knuckles[3])
    palm = _unit(np.cross(along, across))
    palm *= np.sign((np.mean(tips, axis=0) - np.mean(knuckles, axis=0)) @ palm)
    along = _unit(along + 0.3 * palm)
    palm = _unit(palm - along * (palm @ along))
    across = np.cross(palm, along) * np.sign(np.cross(palm, along) @ across)
    # The fingers close around its width, from the back; its upper end is at the index finger.
    centre = np.mean(knuckles, axis=0) + 0.018 * palm + 0.024 * along
    half = np.array([0.037, 0.005, 0.076]) * accessory.size
    body = _box((half[0], half[1], half[2]), 8, _HARD, 6.0)
    shape.tube(_Frame(np.stack([along, -palm, across], axis=1), centre).world(body), _MAIN)


# On the head.


@functools.cache
def _scalp(rim: str, sign: float) -> tuple[_Anchors, np.ndarray]:
    """Anchors [rows columns] from the crown down to the rim of a hat, and their directions [rows columns 3]."""
    columns = 18
    azimuth = np.arange(columns) * (2.0 * np.pi / columns)  # 0 in front, to the left
    turn = np.abs(np.remainder(azimuth + np.pi, 2.0 * np.pi) - np.pi)
    lowest = {"cap": (24.0, 21.0, 17.0, 4.0), "beanie": (22.0, 19.0, 13.0, -8.0), "hat": (22.0, 20.0, 16.0, 6.0)}[rim]
    lowest = np.deg2rad(np.interp(turn, [0.0, 0.9, 1.6, 2.6], lowest))
    elevation = lowest + (np.deg2rad(84.0) - lowest) * np.array([1.0, 0.76, 0.52, 0.29, 0.1, 0.0])[:, None]
    directions = np.stack(
        [np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)], axis=-1
    ) * [sign, 1.0, 1.0]
    flat = directions.reshape(-1, 3)
    corners, shares = _cast(np.broadcast_to(_HEAD_CENTRE, flat.shape), flat, head=True)
    return _Anchors(corners.reshape(*directions.shape), shares.reshape(*directions.shape)), directions


def _head_frame(accessory: Accessory, wearer: Wearer) -> _Frame:
    """The head's axes, around the middle of the skull; x points to the thing's own side."""
    frame = wearer.frame("head")
    reference = load_body().reference.joints["head"]
    own = frame.axes * [_sign(accessory), 1.0, 1.0]
    return _Frame(own, frame.world(_HEAD_CENTRE - reference))


def _fit_hat(accessory: Accessory, wearer: Wearer) -> tuple[_Frame, np.ndarray]:
    """The head's frame, and the surface of scalp and hair under a hat in it [rows columns 3], crown first."""
    frame = _head_frame(accessory, wearer)
    return frame, frame.local(_scalp(accessory.kind, _sign(accessory))[0].points(wearer))


def press_hair(accessories: Sequence[Accessory], wearer: Wearer) -> None:
    """Presses hair to the head where a hat sits on it: moves `wearer.vertices`, replaces entries of `wearer.worn`."""
    for accessory in accessories:
        if accessory.kind not in ("cap", "beanie", "hat"):
            continue
        frame, scalp = _fit_hat(accessory, wearer)
        rim = _unit(scalp[-1])

        def share(towards: np.ndarray, rim: np.ndarray = rim) -> np.ndarray:
            """1 under the hat [N], 0 well below its rim, by direction [N 3]."""
            level = [1.0, 1.0, 0.0]
            nearest = np.argmax((towards * level) @ (rim * level).T, axis=1)
            return 1.0 - smoothstep(rim[nearest, 2] - towards[:, 2], 0.02, 0.3)

        chosen = _region_vertices("scalp")
        hair = frame.local(wearer.vertices[chosen])
        centre = wearer.rest.joints["head"] + _HEAD_CENTRE - wearer.body.reference.joints["head"]
        bare = np.linalg.norm(wearer.rest.vertices[chosen] - centre, axis=1)
        far = np.linalg.norm(hair, axis=1)
        pressed = far + share(hair / far[:, None]) * np.minimum(bare + 0.006 - far, 0.0)
        wearer.vertices[chosen] = frame.world(hair * (pressed / far)[:, None])

        frame, scalp = _fit_hat(accessory, wearer)
        radius = np.linalg.norm(scalp, axis=-1).ravel()
        directions = scalp.reshape(-1, 3) / radius[:, None]
        for name, points in wearer.worn.items():
            if not _is_hair(name) or name in _GATHERED:
                continue
            hair = frame.local(points)
            far = np.linalg.norm(hair, axis=1)
            towards = hair / far[:, None]
            under = radius[np.argmax(towards @ directions.T, axis=1)] + 0.002
            pressed = far + share(towards) * np.minimum(under - far, 0.0)
            wearer.worn[name] = frame.world(towards * pressed[:, None]).astype(np.float32)


def _cap(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    frame, scalp = _fit_hat(accessory, wearer)
    outward = _unit(scalp)
    ease = np.array([0.018, 0.017, 0.014, 0.010, 0.007, 0.006])[:, None, None]
    crown = scalp + ease * outward
    lining = crown[-1] - 0.012 * outward[-1]
    shape.tube(frame.world(np.concatenate([crown, lining[None]])), _MAIN, "hollow")
    # The peak, from temple to temple: over the tip and back below.
    turn = np.linspace(-1.0, 1.0, 11)
    rim = crown[-1][np.arange(-3, 4)]
    rim = np.stack([np.interp(turn * 2.85, np.arange(-3, 4), rim[:, axis]) for axis in range(3)], axis=1)
    reach = 0.004 + 0.078 * accessory.size * np.maximum(np.cos(turn * np.pi / 2), 0.0) ** 0.75
    level = rim[:, 2] + (1.0 - turn**2) * 0.5 * (rim[5, 2] - rim[:, 2]) + 0.003
    ring = []
    for part, lift in ((-0.15, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, -0.004), (0.5, -0.005), (-0.15, -0.005)):
        fall = -(0.3 * max(part, 0.0) + 0.1 * part**2) * reach - 0.012 * turn**2 * (1.0 - turn**2)
        wide = 1.0 + 0.12 * max(part, 0.0) * (1.0 - turn**2)
        ring.append(np.stack([rim[:, 0] * wide, rim[:, 1] - part * reach, level + fall + lift], axis=1))
    shape.tube(frame.world(np.stack(ring, axis=1)), _EXTRA)


def _beanie(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    frame, scalp = _fit_hat(accessory, wearer)
    outward = _unit(scalp)
    crown = scalp + np.array([0.030, 0.022, 0.015, 0.012, 0.012, 0.012])[:, None, None] * outward
    crown[0] += [0.0, 0.012, 0.006]
    fold = crown[-2:] + 0.005 * outward[-2:]
    upper = 0.35 * crown[-3] + 0.65 * crown[-2]
    rows = [*crown[:-2], upper, upper + 0.005 * _unit(upper), *fold, crown[-1] - 0.016 * outward[-1]]
    shape.tube(frame.world(np.stack(rows)), _MAIN, "hollow")
    if accessory.variant == "bobble":
        top = crown[0].mean(axis=0) + np.array([0.0, 0.004, 0.02])
        ball = _box(
            (0.03, 0.03, 0.03),
            8,
            ((0.95, 0.3, 0.3), (0.7, 0.72, 0.72), (0.0, 1.0, 1.0), (-0.7, 0.72, 0.72), (-0.95, 0.3, 0.3)),
            2.0,
        )
        shape.tube(frame.world(ball + top), _EXTRA)


def _hat(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    frame, scalp = _fit_hat(accessory, wearer)
    outward = _unit(scalp)
    crown = scalp + 0.010 * outward
    crown[-1, :, 2] = 0.6 * crown[-1, :, 2].mean() + 0.4 * crown[-1, :, 2]
    rim = crown[-1]
    top = float(crown[..., 2].max()) + 0.03
    # The crown of a hat is a cylinder that narrows upwards to a flat top, not a skull.
    rows = []
    for part, wide in ((1.0, 0.55), (0.97, 0.74), (0.82, 0.84), (0.4, 0.95), (0.05, 1.0)):
        level = rim[:, 2] + part * (top - rim[:, 2])
        middle = rim.mean(axis=0)
        flat = middle[:2] + wide * (rim[:, :2] - middle[:2])
        rows.append(np.column_stack([flat, level]))
    for row, part in zip(rows, (1.0, 0.97, 0.82, 0.4, 0.05), strict=True):
        inside = crown[np.argmin(np.abs(crown[..., 2].mean(axis=1) - row[:, 2].mean()))]
        reach = np.linalg.norm(inside[:, :2], axis=1)
        here = np.linalg.norm(row[:, :2], axis=1)
        if part < 0.9:
            row[:, :2] *= np.maximum(1.0, (reach + 0.003) / here)[:, None]
    lining = rim - 0.012 * outward[-1]
    shape.tube(frame.world(np.stack([*rows, lining])), _MAIN, "hollow")
    width = (0.06 if accessory.variant == "narrow" else 0.09) * accessory.size
    away = _unit(rim * [1.0, 1.0, 0.0])
    ring = []
    for part, lift in ((-0.12, 0.004), (1.0, 0.004), (1.0, -0.001), (-0.12, -0.003)):
        bend = -0.10 * width * max(part, 0.0) * (1.0 + 0.6 * np.cos(2.0 * np.arctan2(away[:, 0], away[:, 1])))
        ring.append(np.column_stack([(rim + part * width * away)[:, :2], rim[:, 2] + lift + bend]))
    shape.tube(frame.world(np.stack(ring, axis=1)), _EXTRA, "ring")


def _headphones(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    frame = _head_frame(accessory, wearer)
    ear = frame.local(wearer.vertices[_region_vertices("ear")])
    half = float(np.abs(ear[:, 0]).max())
    centre = np.array([half, float(ear[:, 1].mean()), float(ear[:, 2].mean())])
    head = frame.local(np.concatenate([wearer.vertices[_region_vertices("head")], wearer.hair]))
    near = head[np.abs(head[:, 1] - centre[1]) < 0.02]
    if len(wearer.hair):
        beside = near[np.abs(near[:, 2] - centre[2]) < 0.03]
        centre[0] = max(half, min(float(np.abs(beside[:, 0]).max(initial=0.0)), half + 0.03))
    angle = np.linspace(-0.05, np.pi + 0.05, 15)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    along = near[:, [0, 2]] @ direction.T
    aside = np.abs(near[:, [0, 2]] @ np.stack([-direction[:, 1], direction[:, 0]]))
    radius = np.where(aside < 0.02, along, 0.0).max(axis=0) + 0.007
    radius[[0, 1, -2, -1]] = centre[0] + 0.012
    for _ in range(3):
        radius[1:-1] = np.maximum(radius[1:-1], (radius[:-2] + radius[2:]) / 2)
    path = np.column_stack([radius * direction[:, 0], np.full(15, centre[1]), radius * direction[:, 1]])
    outer = 0.009 * np.column_stack([direction[:, 0], np.zeros(15), direction[:, 1]])
    side = np.array([0.0, 0.013, 0.0])
    shape.tube(
        frame.world(np.stack([path - side, path - side + outer, path + side + outer, path + side], axis=1)), _STRAP
    )
    turn = np.arange(12) * (np.pi / 6)
    for sign in (1.0, -1.0):
        rows = []
        for x, r in ((-0.006, 0.030), (0.004, 0.038), (0.022, 0.038), (0.03, 0.026)):
            ring = np.column_stack(
                [np.full(12, centre[0] + x), centre[1] + r * np.cos(turn), centre[2] + 1.1 * r * np.sin(turn)]
            )
            rows.append(ring * [sign, 1.0, 1.0])
        shape.tube(frame.world(np.stack(rows)), _MAIN)


def _glasses(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    frame = wearer.frame("head")
    frame = _Frame(frame.axes * [_sign(accessory), 1.0, 1.0], frame.origin)
    eye = wearer.rest.joints["eye.L"] - wearer.rest.joints["head"]
    face = frame.local(wearer.vertices[_region_vertices("face")])
    x, y, z = face.T
    around = (np.abs(x) > 0.012) & (np.abs(x) < 0.052) & (np.abs(z - eye[2]) < 0.018) & (y < eye[1])
    plane = float(y[around].min()) - 0.003
    temple = (np.abs(z - eye[2]) < 0.02) & (y > 0.85 * eye[1]) & (y < 0.5 * eye[1])
    widest = float(np.abs(x[temple]).max())
    dark = accessory.kind == "sunglasses"
    angle = np.arange(12) * (np.pi / 6)
    radius = (np.abs(np.cos(angle)) ** 3 + np.abs(np.sin(angle)) ** 3) ** (-1 / 3)
    wide, high = (0.028 * accessory.size**0.5, 0.022 if dark else 0.019)
    ring = np.stack([wide * radius * np.cos(angle), np.zeros(12), high * radius * np.sin(angle)], axis=1)
    for sign in (1.0, -1.0):
        middle = np.array([eye[0] + 0.003, plane, eye[2] - 0.002])

        def bent(points: np.ndarray, sign: float = sign, middle: np.ndarray = middle) -> np.ndarray:
            points = points + middle
            points[..., 1] += 2.7 * np.maximum(points[..., 0] - 0.03, 0.0) ** 1.5  # around the face
            return frame.world(points * [sign, 1.0, 1.0])

        if dark:
            shape.tube(bent(np.stack([0.9 * ring + [0, 0.003, 0], ring, 0.9 * ring - [0, 0.003, 0]])), _MAIN)
        else:
            rim = [(1.0, -0.003), (1.12, -0.003), (1.12, 0.003), (1.0, 0.003)]
            shape.tube(bent(np.stack([scale * ring + [0, deep, 0] for scale, deep in rim], axis=1)), _STRAP, "ring")
        outer = middle[0] + wide
        front = plane + 2.7 * max(outer - 0.03, 0.0) ** 1.5
        path = np.array(
            [
                [outer - 0.002, front, eye[2] + 0.006],
                [widest + 0.002, eye[1] + 0.035, eye[2] + 0.007],
                [widest + 0.004, -0.01, eye[2] + 0.004],
            ]
        )
        shape.tube(frame.world(_rope(path, np.full(3, 0.0028)) * [sign, 1.0, 1.0]), _STRAP)
    bridge = np.array(
        [[-0.013, plane, eye[2] + 0.004], [0.0, plane - 0.003, eye[2] + 0.007], [0.013, plane, eye[2] + 0.004]]
    )
    shape.tube(frame.world(_rope(bridge, np.full(3, 0.003))), _STRAP)


# Around the neck.


@functools.cache
def _neck(sign: float) -> _Anchors:
    """Anchors [16] of a ring around the neck, where it meets the shoulders."""
    azimuth = np.arange(16) * (np.pi / 8)
    front = 0.5 + 0.5 * np.cos(azimuth)
    height = 0.668 - 0.045 * front
    directions = np.stack([np.sin(azimuth), -np.cos(azimuth), np.full(16, 0.0)], axis=1) * [sign, 1.0, 1.0]
    origins = np.column_stack([np.zeros(16), np.full(16, -0.02), height])
    return _Anchors(*_cast(origins, directions, head=False))


def _scarf(accessory: Accessory, wearer: Wearer, shape: _Shape) -> None:
    sign = _sign(accessory)
    anchors = _neck(sign)
    points, middle = anchors.points(wearer), 0.0
    middle = points.mean(axis=0)
    away = _unit((points - middle) * [1.0, 1.0, 0.0])
    for _ in range(2):
        points = 0.5 * points + 0.25 * (np.roll(points, 1, 0) + np.roll(points, -1, 0))
    angle = np.arange(7) * (2.0 * np.pi / 7)
    fat = 0.024 * accessory.size
    fold = 1.0 + 0.08 * np.cos(3.0 * np.arange(16) * (np.pi / 8) + 1.0)
    ring = (
        points[:, None]
        + (0.35 * fat + fat * np.maximum(np.cos(angle), -0.5))[None, :, None] * (fold[:, None] * away)[:, None]
        + (0.5 * fat + 1.3 * fat * np.sin(angle))[None, :, None] * _UP
    )
    shape.tube(ring, _MAIN, "ring")
    if accessory.variant == "ends":
        shape.tube(_strap(wearer, "scarf_end", sign, 0.014), _EXTRA)


_MAKERS: dict[str, Callable[[Accessory, Wearer, _Shape], None]] = {
    "backpack": _backpack,
    "shoulder_bag": _shoulder_bag,
    **dict.fromkeys(_HAND_BAGS, _hand_bag),
    "suitcase": _suitcase,
    "umbrella": _umbrella,
    "folded_umbrella": _folded_umbrella,
    "phone": _phone,
    "cap": _cap,
    "beanie": _beanie,
    "hat": _hat,
    "headphones": _headphones,
    "glasses": _glasses,
    "sunglasses": _glasses,
    "scarf": _scarf,
}


# Textures.


@functools.lru_cache(maxsize=256)
def paint(kind: str, pattern: str, colors: tuple[tuple[float, float, float], ...], seed: int) -> np.ndarray:
    """The texture of an accessory, uint8 [64 64 3], sRGB."""
    rng = np.random.default_rng(seed)
    n = TEXTURE_SIZE
    main, second, trim = (np.asarray(color, np.float32) for color in colors)
    along = ((np.arange(n) + 0.5) / n).astype(np.float32)
    u, v = np.meshgrid(along, along[::-1])
    image = np.broadcast_to(trim, (n, n, 3)).copy()

    def within(region: _Region) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left, bottom, right, top = region
        inside = (v > bottom - 0.02) & (v < top + 0.02)
        return inside, (u - left) / (right - left), (v - bottom) / (top - bottom)

    def put(mask: np.ndarray, color: np.ndarray, share: float = 1.0) -> None:
        image[mask] = color if share == 1.0 else image[mask] + np.float32(share) * (color - image[mask])

    inside, s, t = within(_MAIN)
    extra, _, t2 = within(_EXTRA)
    front = np.abs(s - 0.5)
    put(inside, main)
    put(extra, main)
    dark = 0.45 * main
    if kind == "umbrella":
        if pattern == "stripes":
            put(inside & (np.floor(s * 8.0 + 0.5) % 2 == 1), second)
        elif pattern == "panel":
            put(inside & (t < 0.66) & (t > 0.5), second)
        put(inside & (np.abs(s * 8.0 - np.rint(s * 8.0)) < 0.09), 0.72 * main, 0.6)
        under = inside & (t < 0.47)
        image[under] *= 0.8
        put(under & (np.abs(s * 8.0 - np.rint(s * 8.0)) < 0.1), np.full(3, 0.12, np.float32))
        put(v < 0.06, np.full(3, 0.13, np.float32))
    elif kind in ("cap", "beanie", "hat"):
        band = {"cap": 0.0, "beanie": 0.4, "hat": 0.42}[kind]
        if kind == "cap":
            panel = np.minimum(front, 1.0) > 0.33  # columns start in front
            if pattern == "panel":
                put(inside & panel & (t > 0.12), second)
                put(extra, second)
            elif pattern == "stripes":
                put(extra, second)
            put(inside & (np.abs(s * 6.0 - np.rint(s * 6.0)) < 0.07), 0.7 * main, 0.5)
            badge = (np.minimum(s, 1.0 - s) < 0.055) & (t > 0.38) & (t < 0.62)
            put(inside & badge, second if pattern == "plain" else main)
        else:
            if pattern != "plain" or kind == "hat":
                put(inside & (t < band) & (t > (0.1 if kind == "hat" else 0.0)), second)
            if pattern == "stripes" and kind == "beanie":
                put(inside & (np.floor(t * 9.0) % 2 == 1), second)
            if kind == "beanie":
                image[inside & (np.sin(s * 2.0 * np.pi * 30.0) > 0.4)] *= 0.86
                put(extra, second)
    elif kind == "scarf":
        lines = np.floor(t * 15.0) if pattern == "panel" else np.floor(s * 14.0)
        if pattern != "plain":
            put(inside & (lines % 3 == 0), second)
            put(extra & (np.floor(t2 * 9.0) % 3 == 0), second)
        image[inside & (np.sin((s + 0.5 * t) * 2.0 * np.pi * 4.0) > 0.6)] *= 0.8
        put(extra & (t2 < 0.08), 0.6 * second)
    elif kind == "phone":
        put(inside, np.full(3, 0.07, np.float32))
        put(inside & (np.abs(s - 0.5) < 0.2), main)
        put(inside & ((s < 0.16) | (s > 0.84)) & (t > 0.08) & (t < 0.92), np.array([0.55, 0.66, 0.75], np.float32))
    elif kind in ("glasses", "sunglasses"):
        put(inside, np.array([0.06, 0.06, 0.07], np.float32))
        put(v < 0.15, 0.5 * main)
    elif kind == "folded_umbrella":
        image[inside & (np.sin((s + 0.4 * t) * 2.0 * np.pi * 6.0) > 0.5)] *= 0.78
        put(inside & (np.abs(t - 0.55) < 0.03), second)
    elif kind == "headphones":
        put(inside & (t < 0.25), second)
        put(inside & (t > 0.75), np.full(3, 0.08, np.float32))
    else:
        if pattern == "panel":
            put(inside & (t < 0.42), second)
        elif pattern == "stripes":
            put(inside & (np.abs(t - 0.52) < 0.07), second)
        if kind == "shopping_bag":
            logo = (((s - 0.5) / 0.09) ** 2 + ((t - 0.5) / 0.16) ** 2 < 1.0) | (((s - 0.5) / 0.09) ** 2 > 25.0)
            put(inside & logo, second)
        elif kind == "tote":
            put(inside & (front < 0.12) & (np.abs(t - 0.5) < 0.14) & (np.sin(t * 60.0) > -0.2), second)
        elif kind in ("handbag", "shoulder_bag", "briefcase"):
            put(inside & (np.abs(t - 0.62) < 0.025) & (front < 0.24), dark)
            put(inside & (front < 0.025) & (np.abs(t - 0.58) < 0.07), np.array([0.75, 0.66, 0.42], np.float32))
            put(inside & (t < 0.1), 0.7 * main)
        else:
            put(inside & (np.abs(t - 0.7) < 0.02) & (front < 0.27), dark)  # zip
            put(inside & (front > 0.235) & (front < 0.26), 0.65 * main)  # seams
        put(extra, second if pattern == "stripes" else 0.88 * main)
        put(extra & (np.abs(t2 - 0.8) < 0.08), dark)
        put(inside & (np.minimum(s, 1.0 - s) < 0.12), 0.75 * main, 0.6)
    image *= np.roll(_weave()[int(rng.integers(8))], tuple(rng.integers(0, n, 2)), axis=(0, 1))[..., None]
    return np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


@functools.cache
def _weave() -> np.ndarray:
    """Factors float32 [8 64 64] around 1: the grain of a material, and lighter and darker places."""
    rng = np.random.default_rng(0)
    n = TEXTURE_SIZE
    u, v = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
    fields = rng.normal(1.0, 0.022, (8, n, n))
    for field in fields:
        for _ in range(3):
            turns = rng.integers(-3, 4) * u + rng.integers(1, 4) * v + rng.uniform()
            field *= 1.0 + 0.03 * np.cos(2.0 * np.pi * turns)
    return fields.astype(np.float32)
