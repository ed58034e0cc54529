"""Meshes worn on the body: skirt, hair, hood, collar, front panels, and what else does not lie flat on the skin.

Each is a sheet of quads made once on the reference body, symmetric in x. A skirt is shaped for every body by
`render.figure.garments` (it hangs from the hull of hips and legs); all others follow the displacement of the body vertices next
to them. They are skinned to a few joints. Meshes that are never worn together share a place in the texture.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree

from render.figure import drape
from render.geometry.surface import BODY, COLLAR, HAIR, HOOD, PANEL, SKIRT, Surface, smoothstep

Rectangle = tuple[float, float, float, float]  # left, top, width, height in UV; top counted downwards

SKIRT_ROWS, SKIRT_COLUMNS = 24, 48
SKIRT_TOP, SKIRT_BOTTOM = 0.175, -0.70  # the longest skirt on the reference body, metres
SKIRT_JOINTS = ("root", "upperleg01.L", "lowerleg01.L", "upperleg01.R", "lowerleg01.R")
_NEIGHBOURS = 12
SKIRT_OPENING = 3  # columns to either side of the front that an open coat leaves out

# Every mesh: its place (or places) in the texture and what it is. Of those that share a place the first one, being the
# largest, says which point of the figure a texel shows.
MESHES: dict[str, tuple[tuple[str, ...], int]] = {
    "skirt": (("skirt_front", "skirt_back"), SKIRT),
    "hair_long": (("hair",), HAIR),
    "hair_front": (("hair",), HAIR),
    "hair_medium": (("hair",), HAIR),
    "hair_bob": (("hair",), HAIR),
    "hair_curls": (("hair",), HAIR),
    "hair_afro": (("hair",), HAIR),
    "ponytail": (("tail",), HAIR),
    "braid": (("tail",), HAIR),
    "bun": (("tail",), HAIR),
    "top_bun": (("tail",), HAIR),
    "low_bun": (("tail",), HAIR),
    "panels": (("panel_left", "panel_right"), PANEL),
    "collar": (("collar",), COLLAR),
    "stand_collar": (("collar",), COLLAR),
    "hood_up": (("hood",), HOOD),
    "hood_down": (("hood",), HOOD),
}


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


def to_texels(rectangle: Rectangle, size: int) -> Rectangle:
    """The rectangle with its sides moved to whole texels of a texture of `size` rows and columns."""
    left, top, width, height = (round(side * size) / size for side in rectangle)
    return left, top, width, height


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
    reference: np.ndarray,
    surface: Surface,
    hull: np.ndarray,
    centre_y: float,
    rectangles: dict[str, Rectangle],
    skin: dict[str, np.ndarray],
) -> dict[str, Attachment]:
    """Makes every attachment on the reference body.

    Args:
        reference: Vertices float32 [V 3].
        surface: Their attributes.
        hull: `drape.body_hull` of the reference body around (0, centre_y).
        centre_y: The axis of that hull.
        rectangles: Where they lie in the texture, by the names in `MESHES`.
        skin: The body's skinning weights float32 [V] by joint.
    """
    on_body = np.flatnonzero(surface.part == BODY)
    tree = KDTree(reference[on_body])
    trunk = np.flatnonzero((surface.part == BODY) & (surface.is_arm < 0.5) & (surface.group("head") < 0.5))
    trunk_tree = KDTree(reference[trunk])

    def attach(points: np.ndarray, part: Part, joints: tuple[str, ...], weights: np.ndarray) -> Attachment:
        points = points.reshape(-1, 3)
        distance, index = tree.query(points, k=_NEIGHBOURS)
        shares = 1.0 / (distance**2 + 0.02**2)
        return Attachment(
            vertices=points.astype(np.float32),
            part=part,
            joints=joints,
            weights=weights.astype(np.float32),
            neighbours=on_body[index],
            shares=(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        )

    def single(points: np.ndarray, rectangle: Rectangle, wrap: bool = False) -> Part:
        rows, columns = points.shape[:2]
        ids = np.arange(rows * columns).reshape(rows, columns)
        return weld(*_sheet(np.concatenate([ids, ids[:, :1]], axis=1) if wrap else ids, rectangle))

    def on_cloth(points: np.ndarray, part: Part, with_head: np.ndarray | float = 0.0) -> Attachment:
        """A mesh that lies on the trunk's cloth and is skinned like it, but for the share `with_head` [N]."""
        points = points.reshape(-1, 3)
        distance, index = trunk_tree.query(points, k=_NEIGHBOURS)
        shares = 1.0 / (distance**2 + 0.02**2)
        shares /= shares.sum(axis=1, keepdims=True)
        weights = np.stack([(shares * column[trunk[index]]).sum(axis=1) for column in skin.values()], axis=1)
        weights *= (1.0 - np.asarray(with_head)).reshape(-1, 1)
        weights[:, list(skin).index("head")] += with_head
        chosen = np.flatnonzero(weights.max(axis=0) > 0.03)
        weights = weights[:, chosen] / weights[:, chosen].sum(axis=1, keepdims=True)
        return Attachment(
            vertices=points.astype(np.float32),
            part=part,
            joints=tuple(list(skin)[joint] for joint in chosen),
            weights=weights.astype(np.float32),
            neighbours=trunk[index],
            shares=shares.astype(np.float32),
        )

    def hanging(points: np.ndarray, part: Part, with_head: np.ndarray) -> Attachment:
        """A mesh that hangs from the head onto the trunk."""
        lower = on_cloth(points, part, with_head)
        upper = attach(points, part, ("head",), np.ones((points[..., 0].size, 1)))
        return dataclasses.replace(lower, neighbours=upper.neighbours, shares=upper.shares)

    cloth = drape.let_down(hull, SKIRT_TOP, 0.0)
    skirt = make_skirt(lambda angle, height: drape.sample(cloth, angle, height) + 0.03, centre_y)
    ids = np.arange(SKIRT_ROWS * SKIRT_COLUMNS).reshape(SKIRT_ROWS, SKIRT_COLUMNS)
    half = SKIRT_COLUMNS // 2
    front = _sheet(ids[:, : half + 1], rectangles["skirt_front"])
    back = _sheet(np.concatenate([ids[:, half:], ids[:, :1]], axis=1), rectangles["skirt_back"])
    skirt_part = weld(np.concatenate([front[0], back[0]]), np.concatenate([front[1], back[1]]))
    result = {"skirt": attach(skirt, skirt_part, SKIRT_JOINTS, skirt_weights(skirt.reshape(-1, 3)))}

    lying = _Lying(reference[(surface.part == BODY) & (surface.is_arm < 0.5)])
    for name, points in _hair(lying).items():
        part = single(points, rectangles["hair"])
        if name == "hair_front":
            part = _cut(part, points.shape[1])
        result[name] = hanging(points, part, smoothstep(points[..., 2].ravel(), 0.56, 0.71))
    for name, (centre, radii) in _BUNS.items():
        bun = _ellipsoid(np.array(centre), np.array(radii))
        part = single(bun, rectangles["tail"], wrap=True)
        result[name] = attach(bun, part, ("head",), np.ones((bun[..., 0].size, 1)))
    tail = _tail()
    with_head = smoothstep(tail[..., 2].ravel(), 0.54, 0.76) * 0.6 + 0.4
    result["ponytail"] = hanging(tail, single(tail, rectangles["tail"], wrap=True), with_head)
    braid = _braid(lying)
    with_head = smoothstep(braid[..., 2].ravel(), 0.60, 0.74)
    result["braid"] = hanging(braid, single(braid, rectangles["tail"], wrap=True), with_head)

    panel = _panel(lying)  # on the left; the other one is its mirror image, wound the other way round
    ids = np.arange(panel[..., 0].size).reshape(panel.shape[:2])
    left = _sheet(ids, rectangles["panel_left"])
    right = _sheet(ids[:, ::-1] + ids.size, rectangles["panel_right"])
    part = weld(np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]]))
    result["panels"] = on_cloth(np.stack([panel, panel * [-1.0, 1.0, 1.0]]), part)
    for name, points in (("collar", _collar(folded=True)), ("stand_collar", _collar(folded=False))):
        result[name] = on_cloth(points, single(points, rectangles["collar"]))
    points = _hood_down()
    result["hood_down"] = on_cloth(points, single(points, rectangles["hood"]))
    points = _hood_up()
    with_head = smoothstep(points[..., 2].ravel(), 0.60, 0.74)
    result["hood_up"] = hanging(points, single(points, rectangles["hood"]), with_head)
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


# ------------------------------------------------------------------ shells around the head

# A superellipsoid in the head of the reference body; below its middle the shells hang straight down.
_HEAD_Y, _HEAD_Z = -0.05, 0.80
_HEAD_RADII = (0.076, 0.101, 0.111)
_ROUND = 2.0 / 2.7


def _unit_ring(angle: np.ndarray, grown: np.ndarray | float) -> np.ndarray:
    """Horizontal radius of the head, `grown` metres larger, in the direction `angle` (0 is the back)."""
    rx, ry = _HEAD_RADII[0] + grown, _HEAD_RADII[1] + grown
    return 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)


def _crown(top: float, rows: int) -> np.ndarray:
    """Heights of `rows` rows of a shell that stands `top` metres off the crown, evenly spread over its curve."""
    latitude = np.linspace(0.5 * np.pi * 0.9985, 0.0, rows, endpoint=False)
    return _HEAD_Z + (_HEAD_RADII[2] + top) * np.sin(latitude) ** _ROUND


def _shell(
    top: float,
    grown: float,
    heights: np.ndarray,
    opening: Callable[[np.ndarray], np.ndarray],
    columns: int = 33,
    tuck: float = 0.0,
) -> np.ndarray:
    """A cap that opens to the face [R, columns, 3]; columns run to the right seen from behind.

    Args:
        top: How far it stands off the head at the crown, metres.
        grown: The same at the sides and the back.
        heights: Of the rows, from the crown down.
        opening: Height [R] -> angle from the back to the edges [R], degrees; 180 is closed.
        columns: Number of columns, odd.
        tuck: How far the edges come in towards the head, as a share of `grown`.
    """
    up = np.clip((heights - _HEAD_Z) / (_HEAD_RADII[2] + top), 0.0, 1.0)
    size = (1.0 - up ** (2.0 / _ROUND)) ** (_ROUND / 2.0)
    across = np.linspace(1.0, -1.0, columns)
    angle = across * np.deg2rad(opening(heights))[:, None]
    inwards = tuck * smoothstep(np.abs(across), 0.72, 1.0)
    radius = size[:, None] * _unit_ring(angle, grown * (1.0 - inwards))
    z = np.broadcast_to(heights[:, None], radius.shape)
    return np.stack([radius * np.sin(angle), _HEAD_Y + radius * np.cos(angle), z], axis=-1)


def _table(*pairs: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """A function by linear interpolation between (height, value), heights rising."""
    return lambda z: np.interp(z, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


class _Lying:
    """The surface of neck, shoulders and trunk, for what lies on it; made symmetric in x. NaN where there is none."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.concatenate([points, points * [-1.0, 1.0, 1.0]])

    def _facing(self, x: np.ndarray, z: np.ndarray, sign: float) -> np.ndarray:
        result = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            near = (np.abs(self.points[:, 0] - x[index]) < 0.022) & (np.abs(self.points[:, 2] - z[index]) < 0.022)
            result[index] = (sign * self.points[near, 1]).max() if near.any() else np.nan
        return sign * result

    def back(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The rearmost y near (x, z)."""
        return self._facing(x, z, 1.0)

    def front(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The foremost y near (x, z)."""
        return self._facing(x, z, -1.0)


def _relax(points: np.ndarray, times: int, first_row: int = 1) -> None:
    """Smooths the inner vertices of a grid, and its side edges along themselves (in place)."""
    inner = slice(first_row, -1)
    for _ in range(times):
        up, down = points[first_row - 1 : -2], points[first_row + 1 :]
        middle = points[inner]
        mean = (up[:, 1:-1] + down[:, 1:-1] + middle[:, :-2] + middle[:, 2:]) / 4
        sides = (up[:, [0, -1]] + down[:, [0, -1]]) / 2
        points[inner, 1:-1] += 0.5 * (mean - middle[:, 1:-1])
        points[inner, [0, -1]] += 0.5 * (sides - points[inner, [0, -1]])


def _tips(points: np.ndarray, ragged: float) -> None:
    """Uneven tips, alike on both sides (in place)."""
    across = np.abs(np.linspace(-1.0, 1.0, points.shape[1]))
    points[-1, :, 2] += ragged * np.cos(across * 37.0) * np.cos(across * 11.0)


def _lumps(points: np.ndarray, height: float, waves: float) -> None:
    """Curls: pushes a shell in and out, alike on both sides (in place)."""
    offset = points - [0.0, _HEAD_Y, _HEAD_Z + 0.02]
    direction = offset / np.linalg.norm(offset, axis=-1, keepdims=True)
    u = np.abs(np.arctan2(direction[..., 0], direction[..., 1]))
    v = np.arcsin(direction[..., 2].clip(-1.0, 1.0))
    bumps = np.cos(waves * u) * np.cos(waves * v) + 0.6 * np.cos(1.7 * waves * v + 1.0) * np.cos(0.6 * waves * u)
    points += height * bumps[..., None] * direction


def _hair(lying: _Lying) -> dict[str, np.ndarray]:
    """The hair styles that are shells: name -> vertices [rows columns 3]."""
    face = _table((0.56, 74), (0.62, 84), (0.68, 96), (0.74, 104), (0.80, 112), (0.85, 124), (0.89, 150), (0.92, 180))
    low = np.linspace(0.80, 0.665, 11)
    medium = _shell(0.016, 0.017, np.concatenate([_crown(0.016, 10), low]), face, tuck=0.7)
    medium[-4:, :, :2] *= np.linspace(1.0, 0.95, 4)[:, None, None]
    medium[-1, :, 2] += 0.02 * np.linspace(-1.0, 1.0, medium.shape[1]) ** 2
    _tips(medium, 0.006)

    # A fringe to the brows: between two rows the opening closes over the forehead. The tips turn in.
    low = np.concatenate([[0.852, 0.841, 0.837, 0.82], np.linspace(0.80, 0.690, 10)])
    fringe = _table((0.69, 100), (0.76, 106), (0.8371, 108), (0.8409, 180))
    crown = _crown(0.022, 13)
    bob = _shell(0.022, 0.023, np.concatenate([crown[crown > 0.86], low]), fringe, tuck=0.3)
    swell = 1.0 + 0.07 * np.sin(np.linspace(0.0, np.pi, 10))
    swell[-3:] -= [0.0, 0.02, 0.07]
    _widen(bob[-10:], swell)

    crown = _crown(0.032, 12)
    curls = _shell(0.032, 0.032, np.concatenate([crown, np.linspace(0.80, 0.71, 8)]), face, columns=41, tuck=0.9)
    _widen(curls[-8:], 1.0 - 0.16 * np.linspace(0.0, 1.0, 8) ** 2)
    _lumps(curls, 0.0055, 15.0)
    round_face = _table((0.72, 70), (0.76, 88), (0.80, 104), (0.85, 122), (0.885, 150), (0.93, 180))
    angle = np.linspace(0.0, 0.40 * np.pi, 8)  # the lower half of a ball
    heights = np.concatenate([_crown(0.075, 14), _HEAD_Z + 0.02 - 0.125 * np.sin(angle[1:])])
    afro = _shell(0.075, 0.066, heights, round_face, columns=41, tuck=0.95)
    _widen(afro[-7:], np.cos(angle[1:]) ** 0.8)
    # It keeps to the forehead instead of standing out over it; a soft minimum, so that no edge shows.
    forward = np.maximum(_HEAD_Y - afro[..., 1], 1e-3)
    limit = np.interp(afro[..., 2], [0.84, 0.88, 0.93, 0.99], [0.085, 0.090, 0.092, 0.075])
    limited = (forward**-6.0 + limit**-6.0) ** (-1.0 / 6.0)
    afro[..., 1] = np.where(afro[..., 1] < _HEAD_Y, _HEAD_Y - limited, afro[..., 1])
    _lumps(afro, 0.0045, 17.0)
    return {
        "hair_long": _falling(lying, face, in_front=False),
        "hair_front": _falling(lying, face, in_front=True),
        "hair_medium": medium,
        "hair_bob": bob,
        "hair_curls": curls,
        "hair_afro": afro,
    }


def _widen(points: np.ndarray, factors: np.ndarray) -> None:
    """Scales rows [R columns 3] of a shell sideways and backwards (in place)."""
    points[..., 0] *= factors[:, None]
    points[..., 1] = _HEAD_Y + (points[..., 1] - _HEAD_Y) * factors[:, None]


PARTING = 9  # columns of hair that lie in front of either shoulder
_NECK_ROW = 17  # the row of falling hair where it parts over the shoulders


def _falling(lying: _Lying, opening: Callable[[np.ndarray], np.ndarray], *, in_front: bool) -> np.ndarray:
    """Long hair [rows columns 3]: down the back, and in front of the shoulders as well."""
    heights = np.concatenate([np.linspace(0.80, 0.68, 6, endpoint=False), np.linspace(0.68, 0.42, 14)])
    points = _shell(0.015, 0.016, np.concatenate([_crown(0.015, 10), heights]), opening, tuck=0.7)
    rows, columns = points.shape[:2]
    across = np.abs(np.linspace(-1.0, 1.0, columns))
    z = points[:, :, 2]
    narrow = np.interp(z, [0.42, 0.68], [0.86, 1.0])
    points[:, :, 0] *= narrow
    below = np.arange(rows) > _NECK_ROW - 1
    behind = slice(PARTING, -PARTING) if in_front else slice(None)
    x = points[below][:, behind, 0]
    # A lock of hair is thick in its middle and lies on the back with its edges.
    thick = -0.006 + 0.018 * (1.0 - np.linspace(-1.0, 1.0, x.shape[1]) ** 4)
    on_back = lying.back(x, z[below][:, behind]) + thick
    hanging = points[below][:, behind, 1]
    resting = np.fmax(hanging * 0.35 + 0.65 * np.where(np.isnan(on_back), hanging, on_back), on_back)
    points[np.flatnonzero(below)[:, None], np.arange(columns)[behind], 1] = resting
    if in_front:
        fraction = np.linspace(0.0, 1.0, below.sum())
        for columns_here in (np.arange(PARTING), np.arange(columns - PARTING, columns)):
            sign = np.sign(points[_NECK_ROW, columns_here[0], 0])
            inner = (across[columns_here] - across[PARTING - 1]) / (1.0 - across[PARTING - 1])  # 1 at the face
            start = points[_NECK_ROW - 1, columns_here]
            height = z[below][:, columns_here]
            width = np.interp(height, [0.42, 0.56, 0.68], [0.050, 0.062, 0.058])
            goal_x = sign * (np.interp(height, [0.42, 0.60, 0.68], [0.122, 0.128, 0.105]) - width * inner)
            goal_y = lying.front(goal_x, height) - 0.018 * np.sin(np.pi * inner) ** 0.5
            goal_y = np.where(np.isnan(goal_y), start[:, 1], goal_y)
            share = smoothstep(fraction, 0.0, 0.22)[:, None]
            points[np.flatnonzero(below)[:, None], columns_here, 0] = start[:, 0] + share * (goal_x - start[:, 0])
            points[np.flatnonzero(below)[:, None], columns_here, 1] = start[:, 1] + share * (goal_y - start[:, 1])
        for side in (slice(0, PARTING), slice(PARTING, columns - PARTING), slice(columns - PARTING, columns)):
            _relax(points[:, side], 3, first_row=_NECK_ROW)
    else:
        _relax(points, 5, first_row=_NECK_ROW - 4)
    _tips(points, 0.014)
    return points


def _cut(part: Part, columns: int) -> Part:
    """Leaves out the quads between the locks in front of the shoulders and the hair behind them."""
    row, column = np.divmod(part.triangles, columns)
    across = (column.min(axis=1) < PARTING) & (column.max(axis=1) >= PARTING)
    across |= (column.min(axis=1) < columns - PARTING) & (column.max(axis=1) >= columns - PARTING)
    kept = ~(across & (row.max(axis=1) >= _NECK_ROW))
    return dataclasses.replace(part, triangles=part.triangles[kept], faces=part.faces[kept])


# Centre and radii on the reference body.
_BUNS = {
    "bun": ((0.0, 0.056, 0.868), (0.040, 0.034, 0.036)),
    "top_bun": ((0.0, -0.018, 0.938), (0.043, 0.043, 0.036)),
    "low_bun": ((0.0, 0.058, 0.768), (0.044, 0.034, 0.038)),
}


def _ellipsoid(centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    latitude, longitude = np.meshgrid(np.linspace(1.5, -1.5, 8), np.linspace(0.0, 2 * np.pi, 15)[:-1], indexing="ij")
    unit = [np.cos(latitude) * np.sin(longitude), -np.cos(latitude) * np.cos(longitude), np.sin(latitude)]
    return centre + radii * np.stack(unit, axis=-1)


def _tube(path: np.ndarray, width: np.ndarray, flat: float) -> np.ndarray:
    """A tube [rows columns 3] along a path (y, z) [rows 2] in the plane of symmetry."""
    rows = []
    angle = np.linspace(0.0, 2 * np.pi, 11)[:-1]
    for index, ((y, z), radius) in enumerate(zip(path, width, strict=True)):
        tangent = path[min(index + 1, len(path) - 1)] - path[max(index - 1, 0)]
        across = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)  # to the back, then down
        rows.append(
            np.stack(
                [
                    radius * np.sin(angle),
                    y - radius * np.cos(angle) * across[0] * flat,
                    z - radius * np.cos(angle) * across[1] * flat,
                ],
                axis=-1,
            )
        )
    return np.stack(rows)


def _tail() -> np.ndarray:
    """A ponytail: it leaves the back of the head and hangs."""
    path = np.array(
        [[0.036, 0.865], [0.062, 0.868], [0.083, 0.852], [0.094, 0.82], [0.097, 0.76], [0.096, 0.69], [0.094, 0.61]]
    )
    return _tube(path, np.array([0.014, 0.017, 0.021, 0.025, 0.027, 0.022, 0.004]), 0.8)


def _braid(lying: _Lying) -> np.ndarray:
    """A braid from the nape down the back: a tube of knots."""
    z = np.concatenate([[0.775, 0.768, 0.755], np.linspace(0.74, 0.40, 25)])
    on_back = np.array([lying.back(np.zeros(1), np.array([height]))[0] for height in z])
    y = np.concatenate([[0.025, 0.050, 0.060], np.maximum(on_back[3:], 0.03) + 0.024])
    for _ in range(8):
        y[4:-1] += 0.5 * ((y[3:-2] + y[5:]) / 2 - y[4:-1])
    knots = 0.0225 + 0.0045 * np.cos(np.arange(len(z)) * (2 * np.pi / 3.0))
    width = knots * np.interp(z, [0.40, 0.41, 0.44, 0.74, 0.775], [0.15, 0.55, 0.7, 1.0, 0.8])
    return _tube(np.stack([y, z], axis=1), width, 0.75)


# ------------------------------------------------------------------ layers of cloth

PANEL_TOP, PANEL_BOTTOM = 0.596, 0.030  # metres: neckline and hem on the reference body
PANEL_ROWS = 20
_PANEL_ACROSS = (0.0, 0.0, 0.012, 0.030, 0.052, 0.078)  # from the free edge outwards, metres
_PANEL_OFF = (0.001, 0.017, 0.018, 0.012, 0.004, -0.008)  # how far it stands off the cloth; the first is its inside


def front_gap(height: np.ndarray) -> np.ndarray:
    """Half the width [N] of the opening of a jacket or coat, metres, at heights [N] of the reference body."""
    return 0.032 + 0.035 * smoothstep(0.5 - height, 0.0, 0.5)


def _panel(lying: _Lying) -> np.ndarray:
    """The left front [rows columns 3] of an open jacket: a flap that stands off where the jacket opens."""
    z = np.linspace(PANEL_TOP, PANEL_BOTTOM, PANEL_ROWS)[:, None]
    edge = front_gap(z) + 0.004 * np.cos(z * 31.0)
    x = edge + np.asarray(_PANEL_ACROSS)
    z = np.broadcast_to(z, x.shape)
    y = lying.front(x, z)
    for _ in range(3):
        y[1:-1] += 0.5 * ((y[:-2] + y[2:]) / 2 - y[1:-1])
    looser = np.interp(z, [0.0, 0.35, 0.5, 0.6], [1.7, 1.0, 0.9, 0.35])
    off = np.asarray(_PANEL_OFF)
    y = y - np.where(off > 0, off * looser, off)
    return np.stack([x, y, z], axis=-1)


def _collar(*, folded: bool) -> np.ndarray:
    """A collar [rows columns 3] around the neck, open in front: turned down, or standing."""
    columns = 37
    angle = np.linspace(1.0, -1.0, columns) * np.deg2rad(166.0)  # 0 is the back
    foot = 0.624 - 0.022 * np.cos(np.pi - angle) - 0.010 * smoothstep(np.abs(angle), 2.2, 2.9)
    point = smoothstep(np.abs(angle), 2.3, 2.85)
    if folded:
        off = [(0.004, 0.0), (0.003, 0.018), (0.004, 0.034), (0.009, 0.036), (0.014, 0.020), (0.017, -0.010)]
    else:
        off = [(0.006, 0.0), (0.007, 0.018), (0.009, 0.034), (0.012, 0.042), (0.015, 0.030), (0.013, -0.010)]
    rows = []
    for index, (out, up) in enumerate(off):
        rx, ry = 0.068 + out, 0.062 + out
        radius = 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)
        z = foot + up - (0.020 * point if folded and index == len(off) - 1 else 0.0)
        y = -0.024 + radius * np.cos(angle) - 0.4 * max(up, 0.0) * np.maximum(np.cos(angle), 0.0)  # to the neck
        rows.append(np.stack([radius * np.sin(angle), y, z], axis=-1))
    return np.stack(rows)


def _hood_down() -> np.ndarray:
    """A hood that lies behind the neck [rows columns 3]: a thick fold, deepest at the back."""
    columns = 33
    angle = np.linspace(1.0, -1.0, columns) * np.deg2rad(138.0)  # 0 is the back
    depth = 0.20 + 0.80 * np.cos(np.clip(angle, -np.pi / 2 * 1.05, np.pi / 2 * 1.05) / 1.05) ** 2
    foot = 0.622 + 0.018 * np.cos(angle)
    rows = []
    for out, up in (
        (0.004, -0.004), (0.006, 0.022), (0.018, 0.038), (0.040, 0.036), (0.060, 0.014), (0.070, -0.026),
        (0.066, -0.066), (0.050, -0.100), (0.024, -0.124), (0.006, -0.130),
    ):  # fmt: skip
        rx, ry = 0.072 + out * (0.45 + 0.55 * depth), 0.062 + out * (0.45 + 0.55 * depth)
        radius = 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)
        z = foot + np.where(up > 0, up * (0.5 + 0.5 * depth), up * depth)
        rows.append(np.stack([radius * np.sin(angle), -0.024 + radius * np.cos(angle), z], axis=-1))
    return np.stack(rows)


def _hood_up() -> np.ndarray:
    """A hood around the head [rows columns 3], open to the face, its foot on the shoulders."""
    opening = _table(
        (0.60, 160), (0.64, 150), (0.68, 132), (0.72, 121), (0.77, 117), (0.82, 120), (0.855, 136), (0.872, 160), (0.882, 180)
    )  # fmt: skip
    heights = np.concatenate([np.linspace(0.80, 0.70, 5, endpoint=False), np.linspace(0.70, 0.595, 7)])
    points = _shell(0.034, 0.034, np.concatenate([_crown(0.034, 12), heights]), opening, columns=37)
    z = points[..., 2]
    points[..., :2] -= [0.0, _HEAD_Y]
    points[..., :2] *= np.interp(z, [0.595, 0.635, 0.68, 0.74, 0.80], [0.77, 0.79, 0.86, 0.96, 1.0])[..., None]
    points[..., 1] += _HEAD_Y + np.interp(z, [0.62, 0.72], [0.012, 0.0])
    # It falls into a point at the back; the rim is thick.
    points[..., 1] += 0.022 * smoothstep(points[..., 1], 0.0, 0.08) * np.exp(-(((z - 0.845) / 0.06) ** 2))
    rim = smoothstep(175.0 - opening(z[:, 0]), 0.0, 20.0)[:, None]  # none where the hood is closed
    for edge, inside in ((0, 1), (-1, -2)):
        points[:, edge] += rim * (points[:, inside] * [0.90, 1.0, 1.0] + [0.0, 0.006, 0.0] - points[:, edge])
    return points
