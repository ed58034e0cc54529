"""Meshes worn on the body: skirt, hair, and what else does not lie flat on the skin.

Each is a sheet of quads made once on the reference body. A skirt is shaped for every body by `render.garments` (it hangs
from the hull of hips and legs); all others follow the displacement of the body vertices next to them. They are skinned
to a few joints.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree

from render import drape
from render.surface import BODY, Surface, smoothstep

Rectangle = tuple[float, float, float, float]  # left, top, width, height in UV; top counted downwards

SKIRT_ROWS, SKIRT_COLUMNS = 24, 48
SKIRT_TOP, SKIRT_BOTTOM = 0.175, -0.70  # the longest skirt on the reference body, metres
SKIRT_JOINTS = ("root", "upperleg01.L", "lowerleg01.L", "upperleg01.R", "lowerleg01.R")
_NEIGHBOURS = 12


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity: what is derived from it is cached
class Part:
    """A mesh with UV coordinates; corners that share position and UV share a vertex.

    Attributes:
        triangles: int64 [T 3], into the welded vertices (of the body, or of the attachment).
        faces: int64 [T 3], into this part's own vertices.
        vertex_map: int64 [K], welded vertex of each own vertex.
        uv: float32 [K 2], v up.
    """

    triangles: np.ndarray
    faces: np.ndarray
    vertex_map: np.ndarray
    uv: np.ndarray


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A mesh worn on the body, in the rest pose of the reference body.

    Attributes:
        vertices: float32 [N 3], welded.
        part: Its faces and UV.
        joints: Names of the K joints that move it.
        weights: Skinning weights float32 [N K], rows sum to 1.
        neighbours: Nearest body vertices int64 [N M].
        shares: Their weights float32 [N M], rows sum to 1.
    """

    vertices: np.ndarray
    part: Part
    joints: tuple[str, ...]
    weights: np.ndarray
    neighbours: np.ndarray
    shares: np.ndarray

    def follow(self, displacement: np.ndarray) -> np.ndarray:
        """Vertices [N 3] on a body whose vertices moved by `displacement` [V 3] from the reference body."""
        moved = np.einsum("nm,nmc->nc", self.shares, displacement[self.neighbours])
        return (self.vertices + moved).astype(np.float32)


def weld(quads: np.ndarray, uv: np.ndarray) -> Part:
    """A part from quads int [F 4] and the UV float [F 4 2] of their corners."""
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


def into(rectangle: Rectangle, unit: np.ndarray) -> np.ndarray:
    """Coordinates in [0, 1] (the second one up) [... 2] to the UV of a rectangle."""
    left, top, width, height = rectangle
    return np.stack([left + unit[..., 0] * width, 1.0 - top - height + unit[..., 1] * height], axis=-1)


def _quads(ids: np.ndarray) -> np.ndarray:
    """Quads [F 4] of a grid of vertex ids [R C]; seen from outside, columns run to the right and rows down."""
    return np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], axis=-1).reshape(-1, 4)


def _sheet(ids: np.ndarray, rectangle: Rectangle) -> tuple[np.ndarray, np.ndarray]:
    """Quads and corner UV of a grid of vertex ids [R C] spread over a rectangle, first row on top."""
    rows, columns = ids.shape
    u, v = np.meshgrid(np.linspace(0.0, 1.0, columns), np.linspace(1.0, 0.0, rows))
    uv = into(rectangle, np.stack([u, v], axis=-1)).reshape(-1, 2)
    return _quads(ids), uv[_quads(np.arange(rows * columns).reshape(rows, columns))]


def skirt_angles() -> np.ndarray:
    """Directions float64 [SKIRT_COLUMNS] of a skirt's columns; 0 looks to -Y, rising towards +X."""
    return np.arange(SKIRT_COLUMNS) * (2 * np.pi / SKIRT_COLUMNS) - np.pi / 2


def make_skirt(radius: Callable[[np.ndarray, np.ndarray], np.ndarray], centre_y: float) -> np.ndarray:
    """Vertices float64 [rows columns 3] of the longest skirt, given the radius by angle and reference height."""
    angle, height = np.meshgrid(skirt_angles(), np.linspace(SKIRT_TOP, SKIRT_BOTTOM, SKIRT_ROWS))
    r = radius(angle, height)
    return np.stack([r * np.sin(angle), centre_y - r * np.cos(angle), height], axis=-1)


def build(
    reference: np.ndarray, surface: Surface, hull: np.ndarray, centre_y: float, rectangles: dict[str, Rectangle]
) -> dict[str, Attachment]:
    """Makes every attachment on the reference body.

    Args:
        reference: Vertices float32 [V 3].
        surface: Their attributes.
        hull: `drape.body_hull` of the reference body around (0, centre_y).
        centre_y: The axis of that hull.
        rectangles: Where they lie in the texture: "skirt_front", "skirt_back", "hair", "tail".
    """
    tree = KDTree(reference[surface.part == BODY])

    def attach(points: np.ndarray, part: Part, joints: tuple[str, ...], weights: np.ndarray) -> Attachment:
        points = points.reshape(-1, 3)
        distance, index = tree.query(points, k=_NEIGHBOURS)
        shares = 1.0 / (distance**2 + 0.02**2)
        return Attachment(
            vertices=points.astype(np.float32),
            part=part,
            joints=joints,
            weights=weights.astype(np.float32),
            neighbours=np.flatnonzero(surface.part == BODY)[index],
            shares=(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        )

    def single(points: np.ndarray, rectangle: Rectangle, wrap: bool) -> Part:
        rows, columns = points.shape[:2]
        ids = np.arange(rows * columns).reshape(rows, columns)
        return weld(*_sheet(np.concatenate([ids, ids[:, :1]], axis=1) if wrap else ids, rectangle))

    cloth = drape.let_down(hull, SKIRT_TOP, 0.0)
    skirt = make_skirt(lambda angle, height: drape.sample(cloth, angle, height) + 0.03, centre_y)
    ids = np.arange(SKIRT_ROWS * SKIRT_COLUMNS).reshape(SKIRT_ROWS, SKIRT_COLUMNS)
    half = SKIRT_COLUMNS // 2
    front = _sheet(ids[:, : half + 1], rectangles["skirt_front"])
    back = _sheet(np.concatenate([ids[:, half:], ids[:, :1]], axis=1), rectangles["skirt_back"])
    skirt_part = weld(np.concatenate([front[0], back[0]]), np.concatenate([front[1], back[1]]))
    result = {"skirt": attach(skirt, skirt_part, SKIRT_JOINTS, skirt_weights(skirt.reshape(-1, 3)))}

    for name, tip in (("hair_long", 0.44), ("hair_medium", 0.675)):
        points = _hair_sheet(reference, surface, tip)
        height = points.reshape(-1, 3)[:, 2]
        with_head = smoothstep(height, 0.56, 0.71)
        weights = np.stack([with_head, 1.0 - with_head], axis=1)
        result[name] = attach(points, single(points, rectangles["hair"], wrap=False), ("head", "spine01"), weights)
    bun = _ellipsoid(np.array([0.0, 0.056, 0.868]), np.array([0.040, 0.034, 0.036]))
    result["bun"] = attach(bun, single(bun, rectangles["tail"], wrap=True), ("head",), np.ones((bun[..., 0].size, 1)))
    tail = _tail()
    with_head = smoothstep(tail.reshape(-1, 3)[:, 2], 0.54, 0.76) * 0.6 + 0.4
    weights = np.stack([with_head, 1.0 - with_head], axis=1)
    result["ponytail"] = attach(tail, single(tail, rectangles["tail"], wrap=True), ("head", "spine01"), weights)
    return result


def skirt_weights(points: np.ndarray) -> np.ndarray:
    """Skinning weights float64 [N 5] for `SKIRT_JOINTS`: each half of a skirt follows its leg, the more the lower it is.

    Args:
        points: [N 3]; x on the actual body, z on the reference body.
    """
    left = smoothstep(points[:, 0], -0.09, 0.09)
    thigh = 0.88 * smoothstep(-points[:, 2], -0.13, 0.10)
    shin = 0.45 * smoothstep(-points[:, 2], 0.22, 0.5)
    columns = [1.0 - thigh]
    for share in (left, 1.0 - left):
        columns += [share * thigh * (1.0 - shin), share * thigh * shin]
    return np.stack(columns, axis=1).astype(np.float32)


def _hair_sheet(reference: np.ndarray, surface: Surface, tip: float) -> np.ndarray:
    """A curtain of hair [rows columns 3] around the back of the head, falling to the height `tip`."""
    centre_y, crown = -0.05, 0.885
    head = reference[(surface.part == BODY) & (surface.group("head", "neck") > 0.5)]
    heights = np.concatenate([np.linspace(crown, 0.70, 12), np.linspace(0.70, tip, 12)[1:]])
    columns = 33
    angles = np.linspace(-1.0, 1.0, columns)
    opening = np.deg2rad(
        np.interp(heights, [0.45, 0.56, 0.62, 0.68, 0.74, 0.80, 0.85], [62, 66, 74, 88, 102, 112, 122])
    )
    if tip > 0.6:
        opening = np.deg2rad(np.interp(heights, [0.66, 0.74, 0.80, 0.85], [100, 106, 112, 122]))
    points = np.zeros((len(heights), columns, 3))
    radius = np.zeros(columns)
    for row, height in enumerate(heights):
        angle = -angles * opening[row]  # columns run to the right seen from behind: from +X to -X
        direction = np.stack([np.sin(angle), np.cos(angle)])
        if height > 0.765:
            near = head[np.abs(head[:, 2] - height) < 0.012][:, :2] - [0.0, centre_y]
            radius = (
                (near @ direction).max(axis=0) + 0.017 * smoothstep(np.asarray(crown - height), -0.01, 0.07) - 0.004
            )
        else:
            radius = radius * (1.0 - 0.013 * (tip < 0.6))
        points[row] = np.stack([radius * direction[0], centre_y + radius * direction[1], np.full(columns, height)], 1)
    # Long hair lies on neck, shoulders and back.
    body = reference[(surface.part == BODY) & (surface.is_arm < 0.5)]
    for row, height in enumerate(heights):
        if height < 0.69 and tip < 0.6:
            slab = body[np.abs(body[:, 2] - height) < 0.03]
            near = np.abs(points[row, :, :1] - slab[None, :, 0]) < 0.025
            back = np.where(near, slab[None, :, 1], -1.0).max(axis=1) + 0.022
            points[row, :, 1] = np.maximum(points[row, :, 1], back)
    for _ in range(6):
        points[1:-1, 1:-1] += 0.5 * (
            (points[:-2, 1:-1] + points[2:, 1:-1] + points[1:-1, :-2] + points[1:-1, 2:]) / 4 - points[1:-1, 1:-1]
        )
        points[1:-1, [0, -1]] += 0.5 * ((points[:-2, [0, -1]] + points[2:, [0, -1]]) / 2 - points[1:-1, [0, -1]])
    # Ragged tips.
    points[-1, :, 2] += 0.012 * np.cos((np.arange(columns) - columns // 2) * 2.3) + (0.05 if tip < 0.6 else 0.01) * angles**2
    return points


def _ellipsoid(centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    latitude, longitude = np.meshgrid(np.linspace(1.5, -1.5, 8), np.linspace(0.0, 2 * np.pi, 14)[:-1], indexing="ij")
    unit = [np.cos(latitude) * np.sin(longitude), -np.cos(latitude) * np.cos(longitude), np.sin(latitude)]
    return centre + radii * np.stack(unit, axis=-1)


def _tail() -> np.ndarray:
    """A ponytail [rows columns 3]: a tube that leaves the back of the head and hangs."""
    path = np.array(
        [[0.036, 0.865], [0.062, 0.868], [0.083, 0.852], [0.094, 0.82], [0.097, 0.76], [0.096, 0.69], [0.094, 0.61]]
    )
    width = np.array([0.014, 0.017, 0.021, 0.025, 0.027, 0.022, 0.004])
    rows = []
    angle = np.linspace(0.0, 2 * np.pi, 11)[:-1]
    for index, ((y, z), radius) in enumerate(zip(path, width, strict=True)):
        tangent = path[min(index + 1, len(path) - 1)] - path[max(index - 1, 0)]
        across = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)  # to the back, then down
        rows.append(
            np.stack(
                [
                    radius * np.sin(angle),
                    y - radius * np.cos(angle) * across[0] * 0.8,
                    z - radius * np.cos(angle) * across[1] * 0.8,
                ],
                axis=-1,
            )
        )
    return np.stack(rows)
