"""Meshes worn on the body: skirt, hair, hood, collar, front panels: all that does not lie flat on the skin.

Each is a sheet of quads made once on the reference body, symmetric in x, and skinned to a few joints. A skirt is shaped
anew for every body (`render.figure.worn`); all others follow the displacement of the body's vertices next to them.
Meshes that are never worn together share a place in the texture.
"""

import dataclasses

import numpy as np
from scipy.spatial import KDTree

from render.figure import drape, fronts_and_hoods, hair, sheets, skirt
from render.figure.sheets import Lying, Part, Rectangle
from render.geometry.surface import BODY, COLLAR, HAIR, HOOD, PANEL, SKIRT, Surface, smoothstep

_NEIGHBOURS = 12  # body vertices that a vertex follows


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a mesh lies in the texture.

    Attributes:
        rectangles: Names of its rectangles.
        kind: What the mesh is: `surface.HAIR`, `surface.HOOD`, ...
    """

    rectangles: tuple[str, ...]
    kind: int


_HAIR, _TAIL = Place(("hair",), HAIR), Place(("tail",), HAIR)
_COLLAR, _HOOD = Place(("collar",), COLLAR), Place(("hood",), HOOD)
# Every mesh and its place. Where meshes share one, the first and largest decides which point of the figure a texel
# shows.
MESHES = {
    "skirt": Place(("skirt_front", "skirt_back"), SKIRT),
    "hair_long": _HAIR,
    "hair_front": _HAIR,
    "hair_medium": _HAIR,
    "hair_bob": _HAIR,
    "hair_curls": _HAIR,
    "hair_afro": _HAIR,
    "ponytail": _TAIL,
    "braid": _TAIL,
    "bun": _TAIL,
    "top_bun": _TAIL,
    "low_bun": _TAIL,
    "panels": Place(("panel_left", "panel_right"), PANEL),
    "collar": _COLLAR,
    "stand_collar": _COLLAR,
    "hood_up": _HOOD,
    "hood_down": _HOOD,
}


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A mesh worn on the body, in the rest pose of the reference body.

    Attributes:
        vertices: Welded positions float32 [N 3], metres.
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
        """Return the vertices [N 3] on a body whose vertices moved by `displacement` [V 3] from the reference body."""
        moved = np.einsum("nm,nmc->nc", self.shares, displacement[self.neighbours])
        return (self.vertices + moved).astype(np.float32)


class _Fastener:
    """Fastens meshes to the reference body: finds the vertices that they follow, and the joints that move them."""

    def __init__(self, reference: np.ndarray, surface: Surface, skin: dict[str, np.ndarray]) -> None:
        body = surface.part == BODY
        self._body = np.flatnonzero(body)
        self._trunk = np.flatnonzero(body & (surface.is_arm < 0.5) & (surface.group("head") < 0.5))
        self._body_tree, self._trunk_tree = KDTree(reference[self._body]), KDTree(reference[self._trunk])
        self._joints = list(skin)
        self._skin = list(skin.values())

    def _next_to(self, points: np.ndarray, tree: KDTree, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest vertices int64 [N M] among those `chosen`, and their weights float64 [N M]."""
        distance, index = tree.query(points, k=_NEIGHBOURS)
        shares = 1.0 / (distance**2 + 0.02**2)
        return chosen[index], shares / shares.sum(axis=1, keepdims=True)

    def to_joints(self, points: np.ndarray, part: Part, joints: tuple[str, ...], weights: np.ndarray) -> Attachment:
        """Fasten a mesh that is skinned to `joints` with `weights` [N K]."""
        points = points.reshape(-1, 3)
        neighbours, shares = self._next_to(points, self._body_tree, self._body)
        return Attachment(
            vertices=points.astype(np.float32),
            part=part,
            joints=joints,
            weights=weights.astype(np.float32),
            neighbours=neighbours,
            shares=shares.astype(np.float32),
        )

    def to_head(self, points: np.ndarray, part: Part) -> Attachment:
        """Fasten a mesh that moves with the head alone."""
        return self.to_joints(points, part, ("head",), np.ones((points[..., 0].size, 1)))

    def to_cloth(self, points: np.ndarray, part: Part, with_head: np.ndarray | float = 0.0) -> Attachment:
        """Fasten a mesh that lies on the trunk's cloth and moves with it, except for the share `with_head` [N]."""
        points = points.reshape(-1, 3)
        neighbours, shares = self._next_to(points, self._trunk_tree, self._trunk)
        weights = np.stack([(shares * column[neighbours]).sum(axis=1) for column in self._skin], axis=1)
        weights *= (1.0 - np.asarray(with_head)).reshape(-1, 1)
        weights[:, self._joints.index("head")] += with_head
        chosen = np.flatnonzero(weights.max(axis=0) > 0.03)
        weights = weights[:, chosen] / weights[:, chosen].sum(axis=1, keepdims=True)
        return Attachment(
            vertices=points.astype(np.float32),
            part=part,
            joints=tuple(self._joints[joint] for joint in chosen),
            weights=weights.astype(np.float32),
            neighbours=neighbours,
            shares=shares.astype(np.float32),
        )

    def hanging(self, points: np.ndarray, part: Part, low: float, high: float, least: float = 0.0) -> Attachment:
        """Fasten a mesh that hangs from the head onto the trunk.

        Args:
            points: Vertices [rows columns 3].
            part: Its faces.
            low: Height up to which it moves with the trunk, metres.
            high: Height from which it moves with the head, metres.
            least: Share of the head's movement below `low`.
        """
        with_head = smoothstep(points[..., 2].ravel(), low, high)
        if least:
            with_head = with_head * (1.0 - least) + least
        upper, lower = self.to_head(points, part), self.to_cloth(points, part, with_head)
        return dataclasses.replace(lower, neighbours=upper.neighbours, shares=upper.shares)


def build(
    reference: np.ndarray,
    surface: Surface,
    hull: np.ndarray,
    centre_y: float,
    rectangles: dict[str, Rectangle],
    skin: dict[str, np.ndarray],
) -> dict[str, Attachment]:
    """Make every attachment on the reference body.

    Args:
        reference: Vertices float32 [V 3].
        surface: Their attributes.
        hull: `drape.body_hull` of the reference body around (0, centre_y).
        centre_y: The axis of that hull.
        rectangles: Where the attachments lie in the texture, by the names in `MESHES`.
        skin: The body's skinning weights float32 [V] by joint.
    """
    fasten = _Fastener(reference, surface, skin)
    lying = Lying(reference[(surface.part == BODY) & (surface.is_arm < 0.5)])
    return {
        "skirt": _build_skirt(fasten, hull, centre_y, rectangles),
        **_build_hair(fasten, lying, rectangles),
        **_build_layers(fasten, lying, rectangles),
    }


def _build_skirt(fasten: _Fastener, hull: np.ndarray, centre_y: float, rectangles: dict[str, Rectangle]) -> Attachment:
    cloth = drape.let_down(hull, skirt.SKIRT_TOP, 0.0)
    points = skirt.make_skirt(lambda angle, height: drape.sample(cloth, angle, height) + 0.03, centre_y)
    part = skirt.skirt_part(rectangles["skirt_front"], rectangles["skirt_back"])
    return fasten.to_joints(points, part, skirt.SKIRT_JOINTS, skirt.skirt_weights(points.reshape(-1, 3)))


def _build_hair(fasten: _Fastener, lying: Lying, rectangles: dict[str, Rectangle]) -> dict[str, Attachment]:
    result: dict[str, Attachment] = {}
    for name, points in hair.shells(lying).items():
        part = sheets.single(points, rectangles["hair"])
        if name == "hair_front":
            part = hair.cut_locks(part, points.shape[1])
        result[name] = fasten.hanging(points, part, 0.56, 0.71)
    for name, points in hair.buns().items():
        result[name] = fasten.to_head(points, sheets.single(points, rectangles["tail"], wrap=True))
    tail = hair.ponytail()
    tail_part = sheets.single(tail, rectangles["tail"], wrap=True)
    result["ponytail"] = fasten.hanging(tail, tail_part, 0.54, 0.76, least=0.4)
    braid = hair.braid(lying)
    result["braid"] = fasten.hanging(braid, sheets.single(braid, rectangles["tail"], wrap=True), 0.60, 0.74)
    return result


def _build_layers(fasten: _Fastener, lying: Lying, rectangles: dict[str, Rectangle]) -> dict[str, Attachment]:
    """Make front panels, collars and hoods."""
    left = fronts_and_hoods.panel(lying)  # the right one is its mirror image, wound the other way round
    ids = np.arange(left[..., 0].size).reshape(left.shape[:2])
    part = sheets.pair((ids, ids[:, ::-1] + ids.size), (rectangles["panel_left"], rectangles["panel_right"]))
    result = {"panels": fasten.to_cloth(np.stack([left, left * [-1.0, 1.0, 1.0]]), part)}
    for name, folded in (("collar", True), ("stand_collar", False)):
        points = fronts_and_hoods.collar(folded=folded)
        result[name] = fasten.to_cloth(points, sheets.single(points, rectangles["collar"]))
    down = fronts_and_hoods.hood_down()
    result["hood_down"] = fasten.to_cloth(down, sheets.single(down, rectangles["hood"]))
    up = fronts_and_hoods.hood_up()
    result["hood_up"] = fasten.hanging(up, sheets.single(up, rectangles["hood"]), 0.60, 0.74)
    return result
