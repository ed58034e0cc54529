"""Dresses a body: displaces its rest vertices by cloth, hair and shoes, so that clothes move with the skinning."""

import dataclasses
import functools

import numpy as np

from render.figure import drape, worn
from render.figure.body import AXIS_Y, Body, RestBody
from render.figure.coverage import (
    COLLARED,
    SOLE,
    UNDER_HEM,
    cover_bottom,
    cover_shoe,
    cover_top,
    hang_over_shoes,
    in_shaft,
    neck_rim,
    skirt_span,
)
from render.figure.fronts_and_hoods import front_gap
from render.figure.skirt import SKIRT_COLUMNS, SKIRT_OPENING, SKIRT_ROWS, skirt_weights
from render.geometry.surface import BODY, LEG_JOINTS, Surface, limb_coordinates, smoothstep
from render.people.appearance import Appearance

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
_TOE_HEIGHT = 0.70  # of a shoe's toes, as a share of its height over the ball of the foot
_LEG_EASE = {"trousers": 0.008, "jeans": 0.006, "shorts": 0.010, "leggings": 0.001, "skirt": 0.0}


@dataclasses.dataclass(frozen=True)
class Dressed:
    """A dressed figure in the rest pose.

    Attributes:
        vertices: Body vertices float32 [V 3], displaced by cloth, scalp hair and shoes.
        hidden: Body vertices that a skirt hides, bool [V].
        worn: Attachment name -> vertices float32 [N 3].
        skirt_weights: Skinning weights of the skirt float32 [N K]; None without one.
        skirt_faces: The faces of the skirt that exist, bool [T]: an open coat lacks the front.
    """

    vertices: np.ndarray
    hidden: np.ndarray
    worn: dict[str, np.ndarray]
    skirt_weights: np.ndarray | None
    skirt_faces: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Outfit:
    """Which garments cover which of a body's V vertices; arrays are [V].

    Attributes:
        a: The appearance.
        s: Attributes of the vertices.
        rest, reference: The body shape that is dressed, and the reference body.
        rim: Height over the neckline, metres.
        top, bottom, shoe: Coverage in [0, 1].
        leg: Membership of the legs in [0, 1].
    """

    a: Appearance
    s: Surface
    rest: RestBody
    reference: RestBody
    rim: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    shoe: np.ndarray
    leg: np.ndarray

    @property
    def thickness(self) -> float:
        """How far the top stands off, metres."""
        return _TOP_THICKNESS[self.a.top] * self.a.fit

    @property
    def leg_ease(self) -> float:
        """How far trouser legs stand off, metres."""
        return _LEG_EASE[self.a.bottom] * self.a.leg_width

    @functools.cached_property
    def on_body(self) -> np.ndarray:
        """Which vertices are the body's, not the eyes', bool [V]."""
        return self.s.part == BODY

    @functools.cached_property
    def on_trunk(self) -> np.ndarray:
        """Which vertices are the body's, arms excepted, bool [V]."""
        return self.on_body & (self.s.is_arm < 0.5)

    @functools.cached_property
    def legs(self) -> np.ndarray:
        """The vertices of the legs, int64 [L]."""
        return np.flatnonzero(self.leg > 0.0)

    @functools.cached_property
    def leg_cloth(self) -> np.ndarray:
        """How far the bottom covers legs and stands off them, in [0, 1]; the shaft of a boot presses it flat."""
        return self.leg * self.bottom * (1.0 - in_shaft(self.a, self.s))


def dress(body: Body, appearance: Appearance, rest: RestBody) -> Dressed:
    """Put cloth, hair and shoes on a body shape in its rest pose."""
    a, s = appearance, body.surface
    outfit = _choose(body, a, rest)
    vertices = rest.vertices.astype(np.float64)
    off_axis = _hang_legs(outfit, vertices)
    hull = drape.body_hull(body.hull_index, vertices, AXIS_Y)
    if a.has_skirt:
        # Legs swing freely inside a skirt: from the hem upwards they are made thinner than they are.
        slimmer = (0.08 if a.open_front else 0.16) * outfit.leg[outfit.legs]
        above_hem = smoothstep(s.position[outfit.legs, 2] - skirt_span(a)[1], -0.04, 0.05)
        vertices[outfit.legs] -= (slimmer * above_hem)[:, None] * off_axis

    # The top falls from chest and belly; everything else stands off along the normal.
    slope = {"tank": 0.5, "dress": 0.75, "tee": 0.5, "polo": 0.45, "shirt": 0.45}.get(a.top, 0.3) * (1.6 - a.fit)
    cloth = drape.let_down(hull, 0.44, max(slope, 0.05)) + outfit.thickness
    fall = _let_fall(outfit, hull, cloth, vertices)
    _lower_cuffs(outfit, vertices)
    vertices += s.normal * (_stand_off(outfit, fall) * outfit.on_body)[:, None]
    waist = _waist(outfit)
    drape_share = (np.maximum(outfit.top * outfit.on_trunk, waist * 0.5) * (1.0 - fall)).astype(np.float32)
    vertices = _smooth(body, vertices, drape_share, iterations=4)
    _shoes(body, outfit.shoe, rest, vertices)

    meshes = worn.place_layers(a, body, vertices)
    if a.open_front:
        _push_in_between_panels(outfit, vertices)
    weights = None
    if a.has_skirt:
        skirt = worn.place_skirt(a, rest, body.reference, hull, cloth, outfit.thickness)
        heights = np.linspace(*skirt_span(a), SKIRT_ROWS).repeat(SKIRT_COLUMNS)
        weights = skirt_weights(np.stack([skirt[:, 0], skirt[:, 1], heights], axis=1))
        meshes["skirt"] = skirt.astype(np.float32)
    meshes |= worn.place_hair(a, body, rest, vertices)
    return Dressed(vertices.astype(np.float32), _hidden(outfit), meshes, weights, _skirt_faces(body, a))


def _hangs_over_skirt(a: Appearance) -> bool:
    return a.bottom == "skirt" and a.top != "dress" and not a.tucked


def _choose(body: Body, a: Appearance, rest: RestBody) -> _Outfit:
    """Return which garments cover which vertices."""
    s = body.surface
    rim = neck_rim(a, s)
    # Over a skirt the cloth goes on below its painted hem, so that the skirt comes out of it in its own colour.
    longer = dataclasses.replace(a, hem=a.hem - UNDER_HEM) if _hangs_over_skirt(a) else a
    bottom = cover_bottom(a, s, 0.010)
    shoe = cover_shoe(a, s, 0.010)
    if hang_over_shoes(a):
        shoe = shoe * (1.0 - bottom)
    return _Outfit(
        a=a,
        s=s,
        rest=rest,
        reference=body.reference,
        rim=rim,
        top=cover_top(longer, s, 0.010, rim),
        bottom=bottom,
        shoe=shoe,
        leg=smoothstep(s.group("upper_leg", "lower_leg", "foot"), 0.3, 0.8),
    )


def _hang_legs(outfit: _Outfit, vertices: np.ndarray) -> np.ndarray:
    """Hang cloth as a tube around each leg's axis, never tighter than the leg (in place).

    Returns:
        Offsets [L 3] of the bare legs' vertices from the axis.
    """
    a, legs, share = outfit.a, outfit.legs, outfit.leg_cloth[outfit.legs]
    along, axis = limb_coordinates(vertices[legs], outfit.rest.joints, LEG_JOINTS)
    offset = vertices[legs] - axis
    radius = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    tube = radius + outfit.leg_ease
    if a.bottom in ("trousers", "jeans"):
        profile = np.interp(along, [0.5, 1.0, 2.0], [0.085, 0.060 + 0.014 * a.leg_width, 0.036 + 0.036 * a.leg_width])
        tube = tube + smoothstep(along, 0.45, 0.95) * np.maximum(profile - tube, 0.0)
    elif a.bottom == "shorts":
        least = np.maximum(0.082 + 0.018 * a.leg_width - tube, 0.012 * a.leg_width)
        tube = tube + smoothstep(along, 0.15, 0.55) * least
    vertices[legs] += (share * (tube - radius) / radius)[:, None] * offset
    if a.bottom in ("trousers", "jeans", "shorts"):
        # The hem comes down to where bare leg or shoe go on, as if the tube of cloth were cut off there.
        vertices[legs, 2] -= 0.026 * share * smoothstep(outfit.s.leg[legs] - a.leg, -0.20, -0.02)
    return offset


def _let_fall(outfit: _Outfit, hull: np.ndarray, cloth: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Let the top fall from chest and belly (in place); the bottom lies on the hips.

    Args:
        outfit: What is worn.
        hull: Radii of the body's hull.
        cloth: Radii of the hanging cloth.
        vertices: Vertices float64 [V 3].

    Returns:
        How far each vertex hangs with the cloth, float64 [V] in [0, 1].
    """
    a, s, top = outfit.a, outfit.s, outfit.top
    x, y, z = s.position.T
    fall = np.zeros(len(vertices))
    falling = np.flatnonzero((top > 0.0) & outfit.on_trunk & (z < 0.5))
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
    height = worn.height_on(outfit.rest, level, outfit.reference)
    hanging = np.stack([target * np.sin(angle), AXIS_Y - target * np.cos(angle), height], axis=1)
    between_legs = smoothstep(-s.normal[falling, 0] * np.sign(x[falling]), 0.3, 0.7) * (level < 0.03)
    fall[falling] = top[falling] * smoothstep(0.50 - level, 0.0, 0.10) * (1.0 - between_legs)
    vertices[falling] += fall[falling, None] * (hanging - vertices[falling])
    return fall


def _sleeves(outfit: _Outfit) -> np.ndarray:
    """Return the vertices int64 [N] of the sleeves."""
    return np.flatnonzero((outfit.s.is_arm > 0.5) & (outfit.top > 0.0))


def _lower_cuffs(outfit: _Outfit, vertices: np.ndarray) -> None:
    """Let sleeves end as if they were cut off, like trouser legs: their hems come down along the arm (in place)."""
    a, arms = outfit.a, _sleeves(outfit)
    if a.sleeve <= 0:
        return
    x, joints = outfit.s.position[:, 0], outfit.rest.joints
    hem = 0.014 * outfit.top[arms] * smoothstep(outfit.s.arm[arms] - a.sleeve, -0.20, -0.02)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        upper, lower = ("upperarm01", "lowerarm01") if a.sleeve < 1.0 else ("lowerarm01", "wrist")
        along_arm = joints[f"{lower}.{side}"] - joints[f"{upper}.{side}"]
        along_arm = along_arm / np.linalg.norm(along_arm)
        vertices[arms] += (hem * (sign * x[arms] > 0))[:, None] * along_arm


def _waist(outfit: _Outfit) -> np.ndarray:
    """How far the bottom covers the trunk, [V] in [0, 1]."""
    return (1.0 - outfit.leg * outfit.bottom) * outfit.bottom * outfit.on_trunk


def _stand_off(outfit: _Outfit, fall: np.ndarray) -> np.ndarray:
    """Return how far cloth, scalp hair and shoes stand off along the normal, metres [V]."""
    a, s, top, thickness = outfit.a, outfit.s, outfit.top, outfit.thickness
    result = top * (1.0 - fall) * thickness
    arms, legs = _sleeves(outfit), outfit.legs
    arm = s.arm[arms]
    sleeve = smoothstep(arm - a.sleeve, -0.5, 0.0) * (0.012 if a.sleeve < 1.5 else 0.003)
    if a.sleeve > 1.5:
        # Folds inside the elbow, and cloth that bunches over the cuff.
        sleeve += 0.0035 * np.cos((arm - 1.0) * 36.0) * np.exp(-(((arm - 1.0) / 0.24) ** 2))
        sleeve += 0.25 * thickness * np.exp(-(((arm - a.sleeve + 0.26) / 0.10) ** 2))
    result[arms] += top[arms] * sleeve * a.fit
    if a.top in COLLARED:
        result += 0.005 * top * smoothstep(outfit.rim, -0.045, -0.03) * outfit.on_trunk
    if a.bottom in ("trousers", "jeans"):
        # Behind the knees, and where a leg breaks on the shoe.
        leg = s.leg[legs]
        folds = 0.004 * np.cos((leg - 1.0) * 40.0) * np.exp(-(((leg - 1.0) / 0.16) ** 2))
        folds += 0.004 * np.cos((leg - 1.94) * 44.0) * np.exp(-(((leg - 1.90) / 0.12) ** 2))
        result[legs] += outfit.leg_cloth[legs] * folds * a.leg_width
    result = np.maximum(result, _waist(outfit) * (1.0 - fall) * max(outfit.leg_ease, 0.004))
    result += worn.scalp_hair(a, s)
    result += outfit.shoe * 0.006
    return result


def _push_in_between_panels(outfit: _Outfit, vertices: np.ndarray) -> None:
    """Push in the cloth between the panels of an open jacket (in place)."""
    x, _, z = outfit.s.position.T
    forward = smoothstep(-outfit.s.normal[:, 1], -0.1, 0.3)
    between = smoothstep(front_gap(z) + 0.014 - np.abs(x), 0.0, 0.026) * forward
    vertices[:, 1] += outfit.top * outfit.on_trunk * between * 0.75 * outfit.thickness


def _hidden(outfit: _Outfit) -> np.ndarray:
    """Return the vertices that a skirt hides, bool [V]."""
    a = outfit.a
    x, y, z = outfit.s.position.T
    if not a.has_skirt:
        return np.zeros(len(z), bool)
    upper, lower = skirt_span(a)
    hidden = outfit.on_trunk & (z < upper - (0.10 + UNDER_HEM if _hangs_over_skirt(a) else 0.06)) & (z > lower + 0.06)
    if worn.opens(a):  # the legs show in front
        hidden &= (z > -0.06) & ((np.abs(x) > 0.13) | (y > 0.0))
    return hidden


def _skirt_faces(body: Body, a: Appearance) -> np.ndarray:
    """Return the faces of the skirt that exist, bool [T]."""
    triangles = body.attachments["skirt"].part.triangles
    if not (a.has_skirt and worn.opens(a)):
        return np.ones(len(triangles), bool)
    column = triangles % SKIRT_COLUMNS
    return np.abs(column - SKIRT_COLUMNS // 4).max(axis=1) > SKIRT_OPENING


def _smooth(body: Body, vertices: np.ndarray, share: np.ndarray, iterations: int) -> np.ndarray:
    """Return the vertices after Laplacian smoothing of those whose share [V] in [0, 1] is not 0."""
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
    """Give covered feet a toe cap instead of toes, and a flat sole (in place)."""
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
        length = u.max() + 0.010 - start
        width = (v[at_ball].max() - v[at_ball].min()) / 2 + 0.004
        height = points[at_ball, 2].max() - sole + 0.002
        # A superellipsoid around the ball of the foot that gets lower towards the toes; every point in front of its
        # centre is put on it.
        a, b, c = (u - start) / length, (v - middle) / width, np.maximum(points[:, 2] - sole, 0.0) / height
        scale = (np.abs(a) ** 2.5 + np.abs(b) ** 2.5 + np.abs(c) ** 2.5) ** (-1 / 2.5)
        share = smoothstep(a, 0.0, 0.35)
        u = u + share * (start + a * length * scale - u)
        v = v + share * (middle + b * width * scale - v)
        top = np.interp(a * scale, [0.0, 0.5, 1.0], [1.0, _TOE_HEIGHT, 0.9 * _TOE_HEIGHT])
        up = points[:, 2] + share * (sole + c * height * scale * top - points[:, 2])
        rest_height = body.surface.position[foot, 2]
        up = up + smoothstep(SOLE + 0.022 - rest_height, 0.0, 0.010) * (sole - up)
        vertices[foot, :2] = ankle[:2] + u[:, None] * forward + v[:, None] * sideways
        vertices[foot, 2] = up
