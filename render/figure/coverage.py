"""Where garments, shoes and hair lie on the body.

The `cover_*` functions run on texels (for paint) and on vertices (for thickness) alike, from the attributes of the
reference body. Each returns how far something covers every point, float32 [N] in [0, 1]; edges are `soft` metres wide
to either side.
Limb coordinates have units of about 0.28 m (arms) and 0.42 m (legs).
"""

import numpy as np

from render.figure.skirt import SKIRT_BOTTOM, SKIRT_TOP
from render.geometry.surface import BODY, HAIR, Surface, smoothstep
from render.people.appearance import Appearance

# Landmarks of the reference body, metres (Z up, the crotch at 0, soles at -0.818).
WAIST = 0.165
NECK_FRONT, NECK_BACK = 0.588, 0.632  # a crew neck's lower rim, at y = -0.085 and y = 0.04
EYE_LEVEL = 0.80
HEAD_CENTRE_Y = -0.05
SOLE = -0.818
BOOT_TOP = -0.60  # the rim of a boot's shaft
UNDER_HEM = 0.04  # metres: how far the cloth of a loose top goes on below its hem over a skirt
COLLARED = ("polo", "shirt", "jacket", "coat")


def neck_rim(appearance: Appearance, surface: Surface) -> np.ndarray:
    """Return the height float32 [N] of points over the neckline of the top, in metres."""
    x, y, z = surface.position.T
    front = smoothstep(-y, -0.03, 0.085)
    rim = NECK_BACK + (NECK_FRONT - NECK_BACK) * front
    if appearance.top in COLLARED or appearance.top == "hoodie":
        rim = rim + 0.022
    depth = appearance.neckline
    rim = rim + 9.0 / (1.0 + 25.0 * depth) * x**2  # round; the shoulders are covered
    if appearance.v_neck:
        rim = rim - front * (0.055 + depth) * np.clip(1.0 - np.abs(x) / 0.075, 0.0, 1.0)
    else:
        rim = rim - depth * (0.25 + 0.75 * front)
    return z - rim


def cover_top(appearance: Appearance, surface: Surface, soft: float, rim: np.ndarray | None = None) -> np.ndarray:
    """Return where a shirt, jacket, dress, ... lies; `rim` is `neck_rim`, where the caller has it."""
    a, s = appearance, surface
    x, _, z = s.position.T
    rim = neck_rim(a, s) if rim is None else rim
    trunk = smoothstep(-rim, -soft, soft) * smoothstep(z - a.hem, -soft, soft)
    between = (s.group("upper_leg") > 0.3) * (np.abs(x) < 0.06) * (z < 0.03)  # legs, where they face inwards or down
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
    """Return where trousers, shorts, ... lie, or the waistband under a skirt. Trousers hang over shoes."""
    a, s = appearance, surface
    end = 0.42 if a.bottom == "skirt" else a.leg
    share = smoothstep(WAIST - s.position[:, 2], -soft, soft) * smoothstep(end - s.leg, -soft / 0.42, soft / 0.42)
    return (share * (s.is_arm < 0.5) * (s.group("hand", "lower_arm") < 0.3) * (s.part == BODY)).astype(np.float32)


def cover_shoe(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Return where shoes lie; a trouser leg may still hang over them."""
    a, s = appearance, surface
    _, y, z = s.position.T
    if a.shoe == "boot":
        top = BOOT_TOP
    elif a.shoe == "shoe" and a.female and a.leg < 1.5:
        top = -0.735 + 0.25 * (y + 0.01)  # open on the instep
    else:  # the tongue rises in front, the collar is lowest at the heel
        top = {"sneaker": -0.722, "shoe": -0.732}[a.shoe] - 0.22 * np.clip(y + 0.01, -0.09, 0.05)
    return (smoothstep(top - z, -soft, soft) * _on_leg(s)).astype(np.float32)


def tucked_into_boots(appearance: Appearance) -> bool:
    """Whether the legs of trousers or leggings go into the shafts of boots: those that are short and narrow enough."""
    a = appearance
    if a.shoe != "boot" or a.has_skirt:
        return False
    return a.bottom == "leggings" or (a.bottom in ("trousers", "jeans") and a.leg <= 1.9 and a.leg_width < 1.0)


def hang_over_shoes(appearance: Appearance) -> bool:
    """Whether trouser legs hide what they reach of the shoes."""
    return appearance.bottom in ("trousers", "jeans") and not tucked_into_boots(appearance)


def in_shaft(appearance: Appearance, surface: Surface) -> np.ndarray:
    """Return how far the shafts of boots press the legs of trousers together, float32 [N] in [0, 1].

    It is 1 from the rim of the shaft downwards, and 0 from 6 cm above it, where the cloth has its own width.
    """
    if not tucked_into_boots(appearance):
        return np.zeros(len(surface.leg), np.float32)
    return smoothstep(BOOT_TOP + 0.07 - surface.position[:, 2], 0.0, 0.06).astype(np.float32)


def cover_sock(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Return where socks or tights lie."""
    start = -1.0 if appearance.tights else 1.72
    return (smoothstep(surface.leg - start, -soft / 0.42, soft / 0.42) * _on_leg(surface)).astype(np.float32)


def _on_leg(surface: Surface) -> np.ndarray:
    return (surface.group("upper_leg", "lower_leg", "foot") > 0.5) & (surface.part == BODY)


def cover_hair(appearance: Appearance, surface: Surface, soft: float) -> np.ndarray:
    """Return where hair lies on the scalp; a hair mesh is covered everywhere."""
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


def skirt_span(appearance: Appearance) -> tuple[float, float]:
    """Return the upper and lower edge of the skirt on the reference body, metres."""
    if appearance.top == "coat":
        top = appearance.hem + 0.08
        return top, top - 0.8 * appearance.skirt_length
    bottom = SKIRT_TOP - (SKIRT_TOP - SKIRT_BOTTOM) * appearance.skirt_length
    if appearance.tucked or appearance.top == "dress":
        return SKIRT_TOP, bottom
    return min(SKIRT_TOP, appearance.hem + 0.04), bottom


def skirt_flare(appearance: Appearance, height: np.ndarray) -> np.ndarray:
    """Return by how much a skirt is wider at heights [N] of the reference body than at its top, metres of radius."""
    a = appearance
    return (0.035 + 0.12 * a.skirt_flare) * a.skirt_length * smoothstep(skirt_span(a)[0] - height, 0.1, 0.9)
