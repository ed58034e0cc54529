"""Where garments lie on the body, and how thick they are.

`coverage` runs on texels (paint) and on vertices (thickness) alike, on the surface attributes of the reference body.
`dress` displaces a body's rest vertices, so that clothes move with the skinning.
"""

import dataclasses

import numpy as np

from render.appearance import Appearance
from render.body import Body, RestBody
from render.surface import BODY, EYE, HAIR, LEG_JOINTS, SKIRT, Surface, limb_coordinates, smoothstep

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
_COLLARED = ("polo", "shirt", "jacket", "coat")


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How far each garment covers each point, float32 [N] in [0, 1].

    Attributes:
        top, bottom, shoe, sock, hair: The garments on the body, and the hair on the scalp.
        skirt: 1 on the skirt mesh.
        neck_rim: Signed height in metres of the point over the top's neckline (negative: under the garment).
    """

    top: np.ndarray
    bottom: np.ndarray
    shoe: np.ndarray
    sock: np.ndarray
    hair: np.ndarray
    skirt: np.ndarray
    neck_rim: np.ndarray


def neck_rim(appearance: Appearance, surface: Surface) -> np.ndarray:
    """Height float32 [N] of the points over the neckline of the top, in metres."""
    x, y, z = surface.position.T
    front = smoothstep(-y, -0.03, 0.085)
    rim = NECK_BACK + (NECK_FRONT - NECK_BACK) * front
    if appearance.top in _COLLARED or appearance.top == "hoodie":
        rim = rim + 0.022
    depth = appearance.neckline
    if appearance.v_neck:
        rim = rim - front * (0.06 + depth) * np.clip(1.0 - np.abs(x) / 0.06, 0.0, 1.0)
    else:
        rim = rim - depth * (0.25 + 0.75 * front) * smoothstep(0.13 - np.abs(x), 0.0, 0.05)
    return z - rim


def coverage(appearance: Appearance, surface: Surface, softness: float) -> Coverage:
    """Coverage by every garment; edges are `softness` metres wide."""
    a, s = appearance, surface
    x, y, z = s.position.T
    on_body = (s.part == BODY).astype(np.float32)
    soft = softness
    limb_soft = softness / 0.28  # limb coordinates: one unit is about 0.28 m (arm) to 0.42 m (leg)
    leg_weight = s.group("upper_leg", "lower_leg", "foot")
    arm_side = s.is_arm > 0.5

    rim = neck_rim(a, s)
    trunk = smoothstep(-rim, -soft, soft) * smoothstep(z - a.hem, -soft, soft)
    if a.top in ("tank", "dress") and a.sleeve < 0:
        # Armholes: only straps go over the shoulders.
        armhole = 0.105 + 0.05 * smoothstep(0.5 - z, 0.0, 0.12)
        trunk = trunk * (1.0 - smoothstep(np.abs(x), armhole - soft, armhole + soft) * smoothstep(z, 0.40, 0.44))
    sleeve = smoothstep(a.sleeve - s.arm, -limb_soft, limb_soft)
    top = np.where(arm_side, sleeve * (a.sleeve > 0), trunk) * on_body * (s.group("head") < 0.6)

    leg_soft = softness / 0.42
    below_waist = smoothstep(WAIST - z, -soft, soft)
    bottom = below_waist * smoothstep(a.leg - s.leg, -leg_soft, leg_soft) * (~arm_side)
    bottom = bottom * (s.group("hand", "lower_arm") < 0.3) * on_body
    if a.bottom == "skirt":
        bottom = below_waist * smoothstep(0.25 - s.leg, -leg_soft, leg_soft) * (~arm_side) * on_body

    leg_point = (leg_weight > 0.5) * on_body
    shoe_top = {"sneaker": -0.722, "shoe": -0.735, "boot": -0.60}[a.shoe]
    shoe = smoothstep(shoe_top + 0.25 * (y + 0.01) * (a.shoe != "boot") - z, -soft, soft) * leg_point
    if a.bottom in ("trousers", "jeans") and a.leg > 1.9:
        shoe = shoe * (1.0 - bottom)
    else:
        bottom = bottom * (1.0 - shoe)
    sock_start = 1.0 if a.tights else 1.72
    if a.tights:
        sock = (1.0 - below_waist * 0.0) * leg_point
    else:
        sock = smoothstep(s.leg - sock_start, -leg_soft, leg_soft) * leg_point
    if a.tucked:
        top = top * (1.0 - smoothstep(WAIST - 0.005 - z, -soft, soft) * (~arm_side))

    return Coverage(
        top=top.astype(np.float32),
        bottom=bottom.astype(np.float32),
        shoe=shoe.astype(np.float32),
        sock=sock.astype(np.float32),
        hair=_hair(a, s, soft).astype(np.float32),
        skirt=(s.part == SKIRT).astype(np.float32),
        neck_rim=rim.astype(np.float32),
    )


def _hair(appearance: Appearance, surface: Surface, softness: float) -> np.ndarray:
    x, y, z = surface.position.T
    if appearance.hair_style == "bald":
        return (surface.part == HAIR).astype(np.float32)
    angle = np.abs(np.arctan2(x, -(y - HEAD_CENTRE_Y)))  # 0 at the face, pi at the nape
    turns = np.array([0.0, 0.45, 0.8, 1.05, 1.35, 1.6, 1.95, 2.4, np.pi])
    if appearance.hair_style in ("cropped", "short"):
        line = np.array([0.068, 0.066, 0.055, 0.03, 0.0, -0.01, -0.035, -0.075, -0.085])
    else:
        line = np.array([0.064, 0.06, 0.045, 0.015, -0.02, -0.045, -0.075, -0.095, -0.10])
    line[:4] += appearance.hairline
    height = z - EYE_LEVEL - np.interp(angle, turns, line)
    scalp = smoothstep(height, -softness, softness) * (surface.group("head", "neck") > 0.5) * (surface.part == BODY)
    ear = (np.abs(x) > 0.078) & (np.abs(y - HEAD_CENTRE_Y + 0.005) < 0.042) & (z < EYE_LEVEL + 0.03)
    return np.where(surface.part == HAIR, 1.0, scalp * (1.0 - ear))


def dress(body: Body, appearance: Appearance, rest: RestBody) -> np.ndarray:
    """Rest vertices float32 [V 3] of the dressed figure: cloth, hair and soles put on a body shape."""
    a, s = appearance, body.vertex_surface
    cover = coverage(a, s, softness=0.010)
    joints = {name: rest.joints[index, :3, 3] for name, index in body.joint_index.items()}
    vertices = rest.vertices.copy()
    normals = s.normal
    z = s.position[:, 2]
    on_body = s.part == BODY
    on_trunk = on_body & (s.is_arm < 0.5)

    # Legs: cloth hangs as a tube around the leg's axis, never tighter than the leg.
    along, axis = limb_coordinates(vertices, joints, LEG_JOINTS)
    offset = vertices - axis
    radius = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    ease = {"trousers": 0.008, "jeans": 0.006, "shorts": 0.010, "leggings": 0.001, "skirt": 0.0}[a.bottom] * a.leg_width
    tube = radius + ease
    if a.bottom in ("trousers", "jeans"):
        profile = np.interp(along, [0.5, 1.0, 2.0], [0.085, 0.060 + 0.014 * a.leg_width, 0.036 + 0.036 * a.leg_width])
        share = smoothstep(along, 0.45, 0.95)
        tube = tube + share * np.maximum(profile - tube, 0.0)
    elif a.bottom == "shorts":
        share = smoothstep(along, 0.15, 0.55)
        tube = tube + share * np.maximum(0.082 + 0.018 * a.leg_width - tube, 0.012 * a.leg_width)
    leg_share = smoothstep(s.group("upper_leg", "lower_leg", "foot"), 0.3, 0.8) * cover.bottom
    vertices += (leg_share * (tube - radius) / radius)[:, None] * offset

    # Trunk: cloth bridges the hollows of the body, then stands off by its thickness.
    thickness = _TOP_THICKNESS[a.top] * a.fit
    stand_off = cover.top * thickness * (1.0 + 0.5 * smoothstep(0.35 - z, 0.0, 0.35) * on_trunk)
    sleeve_end = smoothstep(s.arm - a.sleeve, -0.5, 0.0) * (s.is_arm > 0.5)
    stand_off += cover.top * sleeve_end * (0.010 if a.sleeve < 1.5 else 0.004) * a.fit
    waist_share = (1.0 - leg_share) * cover.bottom * on_trunk
    stand_off = np.maximum(stand_off, waist_share * max(ease, 0.004))
    hair_depth = {"cropped": 0.003, "short": 0.012, "medium": 0.014, "long": 0.010, "bun": 0.008, "ponytail": 0.008}
    crown = smoothstep(z, EYE_LEVEL - 0.02, EYE_LEVEL + 0.09)
    stand_off += cover.hair * on_body * hair_depth.get(a.hair_style, 0.0) * (0.35 + 0.65 * crown)
    stand_off += cover.shoe * 0.006
    stand_off = stand_off * on_body
    drape = np.maximum(
        cover.top * on_trunk * {"tee": 0.75, "tank": 0.5, "dress": 0.5}.get(a.top, 0.95), waist_share * 0.6
    )
    vertices += normals * stand_off[:, None]
    vertices = _smooth(body, vertices, drape.astype(np.float32), iterations=22)
    vertices += normals * (0.004 * drape * on_trunk)[:, None]

    # Shoes: no toes, a flat sole.
    toes = (cover.shoe * smoothstep(-s.position[:, 1], 0.08, 0.12)).astype(np.float32)
    vertices = _smooth(body, vertices, toes, iterations=12)
    sole = rest.vertices[on_body, 2].min() - 0.012
    low = cover.shoe * smoothstep(-z, 0.795, 0.81)
    vertices[:, 2] += low * (sole - vertices[:, 2])
    return _skirt(body, a, vertices).astype(np.float32)


def _smooth(body: Body, vertices: np.ndarray, share: np.ndarray, iterations: int) -> np.ndarray:
    """Laplacian smoothing of the vertices whose share [V] in [0, 1] is not 0."""
    chosen = np.flatnonzero(share > 0.01)
    if not len(chosen):
        return vertices
    rows = body.neighbours[chosen]
    inner, outer = rows[:, chosen], rows @ vertices
    outer = outer - inner @ vertices[chosen]
    weight = 0.7 * share[chosen, None]
    points = vertices[chosen]
    for _ in range(iterations):
        points = points + weight * (inner @ points + outer - points)
    result = vertices.copy()
    result[chosen] = points
    return result


def _skirt(body: Body, appearance: Appearance, vertices: np.ndarray) -> np.ndarray:
    return vertices
