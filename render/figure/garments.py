"""Where garments lie on the body, and how thick they are.

The `cover_*` functions run on texels (paint) and on vertices (thickness) alike, on the attributes of the reference body.
`dress` displaces a body's rest vertices, so that clothes move with the skinning.
"""

import dataclasses

import numpy as np

from render.figure import drape
from render.figure.attachments import (
    PANEL_BOTTOM,
    PANEL_TOP,
    PARTING,
    SKIRT_BOTTOM,
    SKIRT_COLUMNS,
    SKIRT_OPENING,
    SKIRT_ROWS,
    SKIRT_TOP,
    front_gap,
    skirt_angles,
    skirt_weights,
)
from render.figure.body import AXIS_Y, Body, RestBody
from render.geometry.surface import BODY, HAIR, LEG_JOINTS, Surface, limb_coordinates, smoothstep
from render.people.appearance import Appearance

# Landmarks of the reference body, metres (Z up, the crotch at 0, soles at -0.818).
WAIST = 0.165
NECK_FRONT, NECK_BACK = 0.588, 0.632  # a crew neck's lower rim, at y = -0.085 and y = 0.04
EYE_LEVEL = 0.80
HEAD_CENTRE_Y = -0.05
SOLE = -0.818

_TOP_THICKNESS = {
    "tee": 0.007,
    "polo": 0.008,
    "shirt": 0.009,
    "tank": 0.004,
    "sweater": 0.014,
    "hoodie": 0.018,
    "jacket": 0.021,
    "coat": 0.025,
    "dress": 0.005,
}
_UNDER_HEM = 0.04  # metres: how far the cloth of a loose top goes on below its hem over a skirt
_COLLARED = ("polo", "shirt", "jacket", "coat")


def neck_rim(appearance: Appearance, surface: Surface) -> np.ndarray:
    """Height float32 [N] of the points over the neckline of the top, in metres."""
    x, y, z = surface.position.T
    front = smoothstep(-y, -0.03, 0.085)
    rim = NECK_BACK + (NECK_FRONT - NECK_BACK) * front
    if appearance.top in _COLLARED or appearance.top == "hoodie":
        rim = rim + 0.022
    depth = appearance.neckline
    rim = rim + 9.0 / (1.0 + 25.0 * depth) * x**2  # round; the shoulders are covered
    if appearance.v_neck:
        rim = rim - front * (0.055 + depth) * np.clip(1.0 - np.abs(x) / 0.075, 0.0, 1.0)
    else:
        rim = rim - depth * (0.25 + 0.75 * front)
    return z - rim


# Each of the following returns how far a garment covers every point, float32 [N] in [0, 1]; edges are `soft` metres wide
# to either side. Limb coordinates have units of about 0.28 m (arms) and 0.42 m (legs).


def cover_top(appearance: Appearance, surface: Surface, soft: float, rim: np.ndarray | None = None) -> np.ndarray:
    """Shirt, jacket, dress...; `rim` is `neck_rim`, where the caller has it."""
    a, s = appearance, surface
    x, _, z = s.position.T
    rim = neck_rim(a, s) if rim is None else rim
    trunk = smoothstep(-rim, -soft, soft) * smoothstep(z - a.hem, -soft, soft)
    between = (s.group("upper_leg") > 0.3) * (np.abs(x) < 0.06) * (z < 0.03)  # the legs: not what faces inwards or down
    if a.bottom == "skirt":
        between = np.float32(0.0)  # nobody sees it
    trunk *= 1.0 - between * smoothstep(np.maximum(-s.normal[:, 0] * np.sign(x), -s.normal[:, 2]), 0.45, 0.75)
    if a.top in ("tank", "dress") and a.sleeve < 0:
        # Armholes: only straps go over the shoulders.
        armhole = 0.105 + 0.05 * smoothstep(0.5 - z, 0.0, 0.12)
        trunk *= 1.0 - smoothstep(np.abs(x), armhole - soft, armhole + soft) * smoothstep(z, 0.40, 0.44)
    if a.tucked:
        trunk *= 1.0 - smoothstep(WAIST - 0.005 - z, -soft, soft)
    sleeve = smoothstep(a.sleeve - s.arm, -soft / 0.28, soft / 0.28) * (a.sleeve > 0)
    on_body = (s.part == BODY) & (s.group("head") < 0.6)
    return (np.where(s.is_arm > 0.5, sleeve, trunk) * on_body).astype(np.float32)


def cover_bottom(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Trousers, shorts...; under a skirt its waistband. Trousers hang over shoes."""
    a, s = appearance, surface
    end = 0.42 if a.bottom == "skirt" else a.leg
    share = smoothstep(WAIST - s.position[:, 2], -soft, soft) * smoothstep(end - s.leg, -soft / 0.42, soft / 0.42)
    return (share * (s.is_arm < 0.5) * (s.group("hand", "lower_arm") < 0.3) * (s.part == BODY)).astype(np.float32)


def cover_shoe(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Shoes; a trouser leg may still hang over them."""
    a, s = appearance, surface
    _, y, z = s.position.T
    top = {"sneaker": -0.722, "shoe": -0.735, "boot": -0.60}[a.shoe]
    slant = 0.0 if a.shoe == "boot" else 0.25 * (y + 0.01)
    return (smoothstep(top + slant - z, -soft, soft) * _on_leg(s)).astype(np.float32)


def cover_sock(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Socks, or tights."""
    start = -1.0 if appearance.tights else 1.72
    return (smoothstep(surface.leg - start, -soft / 0.42, soft / 0.42) * _on_leg(surface)).astype(np.float32)


def _on_leg(surface: Surface) -> np.ndarray:
    return (surface.group("upper_leg", "lower_leg", "foot") > 0.5) & (surface.part == BODY)


def cover_hair(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Hair on the scalp, and all of a hair mesh."""
    s = surface
    x, y, z = s.position.T
    if appearance.hair_style == "bald":
        return (s.part == HAIR).astype(np.float32)
    angle = np.abs(np.arctan2(x, HEAD_CENTRE_Y - y))  # 0 at the face, pi at the nape
    turns = np.array([0.0, 0.45, 0.8, 1.05, 1.35, 1.6, 1.95, 2.4, np.pi])
    if appearance.hair_style in ("cropped", "short"):
        line = np.array([0.068, 0.066, 0.055, 0.03, 0.0, -0.01, -0.035, -0.075, -0.085])
    else:
        line = np.array([0.064, 0.06, 0.045, 0.015, -0.02, -0.045, -0.075, -0.095, -0.10])
    line[:4] += appearance.hairline
    height = z - EYE_LEVEL - np.interp(angle, turns, line).astype(np.float32)
    scalp = smoothstep(height, -soft, soft) * (s.group("head", "neck") > 0.5) * (s.part == BODY)
    ear = (np.abs(x) > 0.078) & (np.abs(y - HEAD_CENTRE_Y + 0.005) < 0.042) & (z < EYE_LEVEL + 0.03)
    return np.where(s.part == HAIR, 1.0, scalp * ~ear).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Dressed:
    """A dressed figure in the rest pose.

    Attributes:
        vertices: Body vertices float32 [V 3], displaced by cloth, scalp hair and shoes.
        hidden: bool [V], body vertices that nobody sees because a skirt hangs around them.
        worn: Attachment name -> vertices float32 [N 3].
        skirt_weights: Skinning weights of the skirt float32 [N K]; None without one.
        skirt_faces: Which faces of the skirt there are, bool [T]: an open coat lacks the front.
    """

    vertices: np.ndarray
    hidden: np.ndarray
    worn: dict[str, np.ndarray]
    skirt_weights: np.ndarray | None
    skirt_faces: np.ndarray


def skirt_span(appearance: Appearance) -> tuple[float, float]:
    """Upper and lower edge of the skirt on the reference body, metres."""
    if appearance.top == "coat":
        top = appearance.hem + 0.08
        return top, top - 0.8 * appearance.skirt_length
    bottom = SKIRT_TOP - (SKIRT_TOP - SKIRT_BOTTOM) * appearance.skirt_length
    if appearance.tucked or appearance.top == "dress":
        return SKIRT_TOP, bottom
    return min(SKIRT_TOP, appearance.hem + 0.04), bottom


def dress(body: Body, appearance: Appearance, rest: RestBody) -> Dressed:
    """Puts cloth, hair and shoes on a body shape in its rest pose."""
    a, s = appearance, body.surface
    rim = neck_rim(a, s)
    over_skirt = a.bottom == "skirt" and a.top != "dress" and not a.tucked
    # Over a skirt the cloth goes on below its painted hem, so that the skirt comes out of it in its own colour.
    top = cover_top(dataclasses.replace(a, hem=a.hem - _UNDER_HEM) if over_skirt else a, s, 0.010, rim)
    bottom = cover_bottom(a, s, 0.010)
    shoe = cover_shoe(a, s, 0.010)
    if a.bottom in ("trousers", "jeans") and a.leg > 1.9:
        shoe = shoe * (1.0 - bottom)
    x, y, z = s.position.T
    on_body = s.part == BODY
    on_trunk = on_body & (s.is_arm < 0.5)
    vertices = rest.vertices.astype(np.float64)
    thickness = _TOP_THICKNESS[a.top] * a.fit

    # Legs: cloth hangs as a tube around the leg's axis, never tighter than the leg.
    leg_group = smoothstep(s.group("upper_leg", "lower_leg", "foot"), 0.3, 0.8)
    leg_share = leg_group * bottom
    legs = np.flatnonzero(leg_group > 0.0)
    along, axis = limb_coordinates(vertices[legs], rest.joints, LEG_JOINTS)
    offset = vertices[legs] - axis
    radius = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    ease = {"trousers": 0.008, "jeans": 0.006, "shorts": 0.010, "leggings": 0.001, "skirt": 0.0}[a.bottom] * a.leg_width
    tube = radius + ease
    if a.bottom in ("trousers", "jeans"):
        profile = np.interp(along, [0.5, 1.0, 2.0], [0.085, 0.060 + 0.014 * a.leg_width, 0.036 + 0.036 * a.leg_width])
        tube = tube + smoothstep(along, 0.45, 0.95) * np.maximum(profile - tube, 0.0)
    elif a.bottom == "shorts":
        least = np.maximum(0.082 + 0.018 * a.leg_width - tube, 0.012 * a.leg_width)
        tube = tube + smoothstep(along, 0.15, 0.55) * least
    vertices[legs] += (leg_share[legs] * (tube - radius) / radius)[:, None] * offset
    if a.bottom in ("trousers", "jeans", "shorts"):
        # The hem comes down to where bare leg or shoe go on, as if the tube of cloth were cut off there.
        vertices[legs, 2] -= 0.026 * leg_share[legs] * smoothstep(s.leg[legs] - a.leg, -0.20, -0.02)
    hull = drape.body_hull(body.hull_index, vertices, AXIS_Y)
    if a.has_skirt:
        # Legs swing freely inside a skirt: from the hem upwards they are made thinner than they are.
        slimmer = (0.08 if a.open_front else 0.16) * leg_group[legs]
        vertices[legs] -= (slimmer * smoothstep(z[legs] - skirt_span(a)[1], -0.04, 0.05))[:, None] * offset

    # Trunk: the top falls from chest and belly, the bottom lies on the hips.
    slope = {"tank": 0.5, "dress": 0.75, "tee": 0.5, "polo": 0.45, "shirt": 0.45}.get(a.top, 0.3) * (1.6 - a.fit)
    cloth = drape.let_down(hull, 0.44, max(slope, 0.05)) + thickness
    fall = np.zeros(len(vertices))
    falling = np.flatnonzero((top > 0.0) & on_trunk & (z < 0.5))
    level = z[falling]
    angle = np.arctan2(x[falling], AXIS_Y - y[falling])
    hull_here = drape.sample(hull, angle, level)
    target = drape.sample(cloth, angle, level)
    if a.top in ("sweater", "hoodie", "jacket"):
        gathered = 0.75 * smoothstep(a.hem + 0.055 - level, 0.0, 0.05)
        target = target - gathered * np.maximum(target - hull_here - 0.006, 0.0)
    elif a.top == "coat":  # its lower end goes under the mesh of its skirt
        under = smoothstep(skirt_span(a)[0] - 0.01 - level, 0.0, 0.03)
        target = target - under * np.maximum(target - hull_here - 0.004, 0.0)
    height = _height(level, rest, body.reference)
    hanging = np.stack([target * np.sin(angle), AXIS_Y - target * np.cos(angle), height], axis=1)
    between_legs = smoothstep(-s.normal[falling, 0] * np.sign(x[falling]), 0.3, 0.7) * (level < 0.03)
    fall[falling] = top[falling] * smoothstep(0.50 - level, 0.0, 0.10) * (1.0 - between_legs)
    vertices[falling] += fall[falling, None] * (hanging - vertices[falling])

    # Everything else stands off along the normal.
    stand_off = top * (1.0 - fall) * thickness
    arms = np.flatnonzero((s.is_arm > 0.5) & (top > 0.0))
    arm = s.arm[arms]
    sleeve = smoothstep(arm - a.sleeve, -0.5, 0.0) * (0.012 if a.sleeve < 1.5 else 0.003)
    if a.sleeve > 1.5:
        # Folds inside the elbow, and cloth that bunches over the cuff.
        sleeve += 0.0035 * np.cos((arm - 1.0) * 36.0) * np.exp(-(((arm - 1.0) / 0.24) ** 2))
        sleeve += 0.25 * thickness * np.exp(-(((arm - a.sleeve + 0.26) / 0.10) ** 2))
    stand_off[arms] += top[arms] * sleeve * a.fit
    if a.sleeve > 0:
        # Like a trouser leg, a sleeve ends as if it were cut off: its hem comes down along the arm.
        hem = 0.014 * top[arms] * smoothstep(arm - a.sleeve, -0.20, -0.02)
        for side, sign in (("L", 1.0), ("R", -1.0)):
            upper, lower = ("upperarm01", "lowerarm01") if a.sleeve < 1.0 else ("lowerarm01", "wrist")
            along_arm = rest.joints[f"{lower}.{side}"] - rest.joints[f"{upper}.{side}"]
            along_arm = along_arm / np.linalg.norm(along_arm)
            vertices[arms] += (hem * (sign * x[arms] > 0))[:, None] * along_arm
    if a.top in _COLLARED:
        stand_off += 0.005 * top * smoothstep(rim, -0.045, -0.03) * on_trunk
    if a.bottom in ("trousers", "jeans"):
        # Behind the knees, and where a leg breaks on the shoe.
        leg = s.leg[legs]
        folds = 0.004 * np.cos((leg - 1.0) * 40.0) * np.exp(-(((leg - 1.0) / 0.16) ** 2))
        folds += 0.004 * np.cos((leg - 1.94) * 44.0) * np.exp(-(((leg - 1.90) / 0.12) ** 2))
        stand_off[legs] += leg_share[legs] * folds * a.leg_width
    waist_share = (1.0 - leg_share) * bottom * on_trunk
    stand_off = np.maximum(stand_off, waist_share * (1.0 - fall) * max(ease, 0.004))
    stand_off += _scalp_hair(a, s)
    stand_off += shoe * 0.006
    vertices += s.normal * (stand_off * on_body)[:, None]
    drape_share = (np.maximum(top * on_trunk, waist_share * 0.5) * (1.0 - fall)).astype(np.float32)
    vertices = _smooth(body, vertices, drape_share, iterations=4)
    _shoes(body, shoe, rest, vertices)

    worn = _layers(a, body, vertices)
    if a.open_front:
        # Between the panels lies what is worn under them.
        between = smoothstep(front_gap(z) + 0.014 - np.abs(x), 0.0, 0.026) * smoothstep(-s.normal[:, 1], -0.1, 0.3)
        vertices[:, 1] += top * on_trunk * between * 0.75 * thickness

    hidden = np.zeros(len(vertices), bool)
    weights, faces = None, np.ones(len(body.attachments["skirt"].part.faces), bool)
    if a.has_skirt:
        upper, lower = skirt_span(a)
        skirt = _skirt(a, rest, body.reference, hull, cloth, thickness)
        heights = np.linspace(upper, lower, SKIRT_ROWS).repeat(SKIRT_COLUMNS)
        weights = skirt_weights(np.stack([skirt[:, 0], skirt[:, 1], heights], axis=1))
        worn["skirt"] = skirt.astype(np.float32)
        if _opens(a):
            column = body.attachments["skirt"].part.triangles % SKIRT_COLUMNS
            faces = np.abs(column - SKIRT_COLUMNS // 4).max(axis=1) > SKIRT_OPENING
        hidden = on_trunk & (z < upper - (0.10 + _UNDER_HEM if over_skirt else 0.06)) & (z > lower + 0.06)
        if _opens(a):  # the legs show in front
            hidden &= (z > -0.06) & ((np.abs(x) > 0.13) | (y > 0.0))
    hair = HAIR_MESHES.get(a.hair_style)
    if hair and a.hood != "up":
        worn[hair] = _hair(a, hair, body, rest, vertices)
    return Dressed(vertices.astype(np.float32), hidden, worn, weights, faces)


_SPAN_DIRECTIONS = np.stack([np.sin(skirt_angles()), -np.cos(skirt_angles())]).astype(np.float32)
_SPAN_TURNS = np.cos(skirt_angles()[:, None] - skirt_angles()).astype(np.float32)
_SPAN_DISTANCE = np.where(_SPAN_TURNS > 0.2, 1.0 / np.maximum(_SPAN_TURNS, 0.2), np.inf).astype(np.float32)


def span_legs(skirt: np.ndarray, legs: np.ndarray) -> np.ndarray:
    """A posed skirt [N 3] whose cloth spans the legs: every row is pushed out to its convex hull and hangs evenly.

    Its halves follow one leg each; without this, a long step leaves a notch between them.

    Args:
        skirt: Posed vertices [N 3].
        legs: Posed points [M 3] of the legs, which stay inside.
    """
    grid = skirt.reshape(SKIRT_ROWS, SKIRT_COLUMNS, 3)
    middle = grid[:, :, :2].mean(axis=1, keepdims=True)
    offset = grid[:, :, :2] - middle
    support = (offset @ _SPAN_DIRECTIONS).max(axis=1)
    level = grid[::-1, :, 2].mean(axis=1)
    inside = legs[(legs[:, 2] > level[0] - 0.04) & (legs[:, 2] < level[-5])]
    row = SKIRT_ROWS - 1 - np.searchsorted((level[1:] + level[:-1]) / 2, inside[:, 2])
    reach = (inside[:, :2] - middle[row, 0]) @ _SPAN_DIRECTIONS + np.float32(0.028)
    pushed = support.copy()
    np.maximum.at(pushed, row, reach)
    support = np.minimum(pushed, support + np.float32(0.20))
    hull = (support[:, None, :] * _SPAN_DISTANCE).min(axis=2)
    for _ in range(3):  # what pushes one row pushes the next ones too; the hem does not come in
        hull[1:-1] = np.maximum(hull[1:-1], 0.5 * (hull[:-2] + hull[2:]))
        hull[-1] = np.maximum(hull[-1], hull[-2])
    length = np.linalg.norm(offset, axis=2)
    # Vertices keep their own direction; the hull is read there.
    column = (np.arctan2(offset[..., 0], -offset[..., 1]) / (2 * np.pi) + 0.25) * SKIRT_COLUMNS
    left = np.floor(column).astype(int)
    share = column - left
    row = np.arange(SKIRT_ROWS)[:, None]
    reach = hull[row, left % SKIRT_COLUMNS] * (1.0 - share) + hull[row, (left + 1) % SKIRT_COLUMNS] * share
    out = np.maximum(0.985 * reach / np.maximum(length, 1e-6), 1.0)
    result = grid.copy()
    result[:, :, :2] = middle + offset * out[..., None]
    height = result[:, :, 2]
    for _ in range(6):
        height = (np.roll(height, 1, axis=1) + 2.0 * height + np.roll(height, -1, axis=1)) / 4
    result[:, :, 2] = height
    return result.reshape(-1, 3).astype(np.float32)


def _opens(appearance: Appearance) -> bool:
    """Whether the skirt mesh is that of an open coat."""
    return appearance.top == "coat" and appearance.open_front


# Hair style -> mesh, where it has one.
HAIR_MESHES = {
    "long": "hair_long",
    "long_front": "hair_front",
    "medium": "hair_medium",
    "bob": "hair_bob",
    "curly": "hair_curls",
    "afro": "hair_afro",
    "bun": "bun",
    "top_bun": "top_bun",
    "low_bun": "low_bun",
    "ponytail": "ponytail",
    "braid": "braid",
}
# Of hair that hangs: columns of the mesh, the first row that hangs, the shortest length as a share of the longest.
_HANGING = {
    "hair_long": (33, 14, 0.4),
    "hair_front": (33, 14, 0.55),
    "hair_medium": (33, 14, 0.5),
    "ponytail": (10, 3, 0.45),
    "braid": (10, 4, 0.5),
}
_SCALP_DEPTH = {"cropped": 0.003, "short": 0.012, "parted": 0.017, "curly": 0.014, "afro": 0.020, "long": 0.010}


def _scalp_hair(a: Appearance, s: Surface) -> np.ndarray:
    """How far the hair on the scalp stands off, metres [N]."""
    _, y, z = s.position.T
    crown = smoothstep(z, EYE_LEVEL - 0.02, EYE_LEVEL + 0.09)
    depth = cover_hair(a, s, 0.010) * _SCALP_DEPTH.get(a.hair_style, 0.008) * (0.35 + 0.65 * crown)
    if a.hair_style == "parted":  # more of it over the forehead
        depth = depth * (1.0 + 0.9 * smoothstep(HEAD_CENTRE_Y - y, 0.0, 0.07) * smoothstep(z, 0.85, 0.88))
    if a.hair_style in HAIR_MESHES and a.hair_style != "afro":
        return depth  # the mesh has the volume
    if a.hood == "up":
        return depth * 0.5
    return depth * (a.hair_volume if a.hair_style != "cropped" else 1.0)


def _hair(a: Appearance, name: str, body: Body, rest: RestBody, dressed: np.ndarray) -> np.ndarray:
    """Vertices float32 [N 3] of a hair mesh on a body shape with the dressed vertices [V 3]."""
    mesh = body.attachments[name]
    points = mesh.follow(rest.vertices - body.reference.vertices)
    x, y, z = mesh.vertices.T
    if name in _HANGING:  # what lies on the cloth is raised with it
        lying = smoothstep(0.69 - z, 0.0, 0.04)[:, None]
        points += lying * (mesh.follow(dressed - rest.vertices) - mesh.vertices)
    if name.startswith("hair"):
        share = (
            (0.16 if name in ("hair_curls", "hair_afro") else 0.06) * (a.hair_volume - 1.0) * smoothstep(z, 0.66, 0.76)
        )
        points[:, 0] += share * x
        points[:, 1] += share * (y - HEAD_CENTRE_Y)
        points[:, 2] += share * np.maximum(z - EYE_LEVEL, 0.0)
    if name in _HANGING:
        columns, first, shortest = _HANGING[name]
        grid = points.reshape(-1, columns, 3)
        length = np.full(columns, shortest + (1.0 - shortest) * a.hair_length)
        if a.hood != "none":  # what would lie on the hood ends in it
            length = np.minimum(length, 0.25)
        place = _place_in_lock(name, columns)
        if name.startswith("hair"):  # locks end in points, no two hairs alike
            length *= 1.0 - 0.22 * np.abs(place) ** 2.5 - 0.06 * np.abs(np.cos(41.0 * np.abs(place)))
        row = first + length * np.arange(len(grid) - first)[:, None]
        low = np.minimum(row.astype(int), len(grid) - 2)
        share = (row - low)[:, :, None].astype(np.float32)
        column = np.arange(columns)
        grid[first:] = grid[low, column] * (1.0 - share) + grid[low + 1, column] * share
        if name == "hair_front" and a.hood == "none":
            end = np.linspace(0.0, 1.0, len(grid) - first) ** 2
            for lock in (slice(0, PARTING), slice(columns - PARTING, columns)):
                middle = grid[first:, lock].mean(axis=1, keepdims=True)
                narrow = (1.0 - 0.55 * end).astype(np.float32)[:, None, None]
                grid[first:, lock] = middle + (grid[first:, lock] - middle) * narrow
        if not name.startswith("hair"):  # tails end in a point
            middle = grid[-2:].mean(axis=1, keepdims=True)
            grid[-2:] = middle + (grid[-2:] - middle) * np.array([0.7, 0.15], np.float32)[:, None, None]
    return points.astype(np.float32)


def _place_in_lock(name: str, columns: int) -> np.ndarray:
    """Where the columns of hanging hair lie in their lock: -1 and 1 are its edges [columns]."""
    if name != "hair_front":
        return np.linspace(-1.0, 1.0, columns)
    lock = np.linspace(-1.0, 1.0, PARTING)
    return np.concatenate([lock, np.linspace(-1.0, 1.0, columns - 2 * PARTING), lock])


def _layers(a: Appearance, body: Body, vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Hood, collar and front panels on the dressed body `vertices` [V 3]: name -> vertices float32 [N 3]."""
    names: list[str] = []
    if a.hood != "none":
        names.append(f"hood_{a.hood}")
    elif a.top in ("jacket", "coat"):
        names.append("stand_collar" if a.top == "jacket" and a.pattern_phase < 0.6 else "collar")
    elif a.top in _COLLARED:
        names.append("collar")
    if a.open_front:
        names.append("panels")
    displacement = vertices - body.reference.vertices
    worn = {name: body.attachments[name].follow(displacement) for name in names}
    if a.open_front:
        height = body.attachments["panels"].vertices[:, 2]
        end = a.hem + (0.03 if a.top == "coat" else 0.0)
        fraction = (PANEL_TOP - height) / (PANEL_TOP - PANEL_BOTTOM)
        if a.top == "coat":  # it ends under the skirt's edge
            worn["panels"][:, 1] += 0.022 * smoothstep(fraction, 0.85, 1.0)
        worn["panels"][:, 2] += (end - PANEL_BOTTOM) * fraction
    return worn


def _smooth(body: Body, vertices: np.ndarray, share: np.ndarray, iterations: int) -> np.ndarray:
    """Laplacian smoothing of the vertices whose share [V] in [0, 1] is not 0."""
    chosen = np.flatnonzero(share > 0.01)
    rows = body.neighbours[chosen]
    inner = rows[:, chosen]
    outer = rows @ vertices - inner @ vertices[chosen]
    weight = 0.7 * share[chosen, None]
    points = vertices[chosen]
    for _ in range(iterations):
        points = points + weight * (inner @ points + outer - points)
    result = vertices.copy()
    result[chosen] = points
    return result


def _shoes(body: Body, shoe: np.ndarray, rest: RestBody, vertices: np.ndarray) -> None:
    """Gives covered feet a toe cap instead of toes, and a flat sole (in place)."""
    sole = rest.vertices[body.surface.group("foot") > 0.5, 2].min() - 0.014
    for side, sign in (("L", 1.0), ("R", -1.0)):
        foot = np.flatnonzero((shoe > 0.3) & (sign * body.surface.position[:, 0] > 0))
        ankle, ball = rest.joints[f"foot.{side}"], rest.joints[f"toe3-1.{side}"]
        forward = (ball - ankle)[:2] / np.linalg.norm((ball - ankle)[:2])
        sideways = np.array([-forward[1], forward[0]])
        points = vertices[foot]
        u = (points[:, :2] - ankle[:2]) @ forward
        v = (points[:, :2] - ankle[:2]) @ sideways
        start = float((ball - ankle)[:2] @ forward) - 0.035
        at_ball = np.abs(u - start) < 0.025
        middle = (v[at_ball].max() + v[at_ball].min()) / 2
        length = u.max() + 0.012 - start
        width = (v[at_ball].max() - v[at_ball].min()) / 2 + 0.004
        height = points[at_ball, 2].max() - sole + 0.002
        # A superellipsoid around the ball of the foot; every point in front of its centre is put on it.
        a, b, c = (u - start) / length, (v - middle) / width, np.maximum(points[:, 2] - sole, 0.0) / height
        scale = (np.abs(a) ** 2.5 + np.abs(b) ** 2.5 + np.abs(c) ** 2.5) ** (-1 / 2.5)
        share = smoothstep(a, 0.0, 0.35)
        u = u + share * (start + a * length * scale - u)
        v = v + share * (middle + b * width * scale - v)
        up = points[:, 2] + share * (sole + c * height * scale - points[:, 2])
        rest_height = body.surface.position[foot, 2]
        up = up + smoothstep(SOLE + 0.022 - rest_height, 0.0, 0.010) * (sole - up)
        vertices[foot, :2] = ankle[:2] + u[:, None] * forward + v[:, None] * sideways
        vertices[foot, 2] = up


# Joints by whose heights a height on the reference body is carried over to another body.
_HEIGHT_JOINTS = ("foot.L", "lowerleg01.L", "upperleg01.L", "spine03", "spine01", "clavicle.L")


def _height(height: np.ndarray, rest: RestBody, reference: RestBody) -> np.ndarray:
    """Heights on a body shape that correspond to heights on the reference body."""
    source = [reference.joints[name][2] for name in _HEIGHT_JOINTS]
    target = [rest.joints[name][2] for name in _HEIGHT_JOINTS]
    return np.interp(height, source, target) + np.minimum(height - source[0], 0.0)


def _skirt(
    a: Appearance, rest: RestBody, reference: RestBody, hull: np.ndarray, bodice: np.ndarray, thickness: float
) -> np.ndarray:
    """Vertices [N 3] of the skirt on a body shape: it hangs from the widest place above."""
    top, bottom = skirt_span(a)
    outside = a.tucked or a.top in ("dress", "coat")  # of the top
    ease = thickness + 0.006 if outside else 0.003
    cloth = drape.let_down(hull, min(top, 0.12), 0.0 if a.skirt_flare > 0.3 else 0.12)
    angle, height = np.meshgrid(skirt_angles(), np.linspace(top, bottom, SKIRT_ROWS))
    fraction = (top - height) / (top - bottom)
    pleats = 0.006 * a.skirt_flare * np.cos(angle * 12.0) * smoothstep(fraction, 0.1, 0.9)
    flare = (0.035 + 0.12 * a.skirt_flare) * a.skirt_length * smoothstep(top - height, 0.1, 0.9)
    radius = drape.sample(cloth, angle, height) + ease + flare + pleats
    if not outside:  # under the top down to the end of its cloth
        under = smoothstep(height, a.hem - _UNDER_HEM - 0.005, a.hem - 0.5 * _UNDER_HEM)
        radius -= under * np.maximum(radius - drape.sample(bodice, angle, height) + 0.010, 0.0)
    if outside and not a.tucked:  # the same cloth as above
        radius = np.maximum(radius, drape.sample(bodice, angle, height) + 0.008)
    if _opens(a):  # the edges stand off
        edge = SKIRT_OPENING * 2 * np.pi / SKIRT_COLUMNS
        radius += (0.020 + 0.03 * fraction) * np.exp(-(((np.abs(angle) - edge) / 0.22) ** 2)) * (np.abs(angle) < 2.0)
    z = _height(height, rest, reference)
    return np.stack([radius * np.sin(angle), AXIS_Y - radius * np.cos(angle), z], axis=-1).reshape(-1, 3)
