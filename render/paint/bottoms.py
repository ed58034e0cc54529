"""Paints bottoms: trousers, shorts and leggings on the legs, the skirt mesh, and the skin and socks that show below."""

import numpy as np

from render.figure import coverage
from render.figure.coverage import WAIST, skirt_span
from render.figure.skirt import SKIRT_BOTTOM, SKIRT_TOP
from render.geometry.surface import Surface, smoothstep
from render.paint import fabrics, shoes, tops
from render.paint.brushes import band, bump, mix
from render.paint.canvas import SOFT, Canvas
from render.people.appearance import Appearance

_HIP_RADIUS = 0.178  # metres, mean: at which cloth hangs from the hips


def paint_legs(canvas: Canvas, span: slice) -> None:
    """Paint the bottom, and the socks and shaded skin below it (in place)."""
    a = canvas.a
    s, skin = canvas.take(span)
    x, _, z = np.ascontiguousarray(s.position.T)
    share = coverage.cover_bottom(a, s, SOFT)
    shoes.paint_socks(skin, a, s)
    # Socks and skin just below the cloth lie in its shade.
    below = smoothstep(a.leg + 0.12 - s.leg, 0.0, 0.12) * (s.leg > a.leg)
    if a.has_skirt:
        below = np.maximum(below, smoothstep(z - skirt_span(a)[1], -0.09, 0.02) * (z < 0.0))
    skin *= (1.0 - 0.30 * below * (1.0 - share))[:, None]

    weave = fabrics.weave_of_bottom(canvas.atlas)
    color = canvas.cloth_of_bottom(span, weave)
    on_leg = s.group("upper_leg", "lower_leg") > 0.5
    creases = () if a.bottom in ("leggings", "skirt") else fabrics.creases_of_bottom(canvas.atlas)
    folds = canvas.folds(span, 0.75 - 0.6 * (bump(s.leg - 1.02, 0.2) + bump(s.leg - 1.92, 0.2)), creases)
    if a.bottom_fabric == "denim" and not a.cloth[1]:
        _fade_denim(color, a, s, folds)
    elif a.bottom_pattern in ("side", "bands"):
        # Beside the seam of the texture, which runs down the side of the leg.
        stripe = np.where(on_leg, s.around - 0.094, np.abs(s.around) - 0.196)
        mix(color, a.bottom_accent, band(stripe, 0.014) if a.bottom_pattern == "side" else band(stripe, 0.022))
        if a.bottom_pattern == "bands":
            mix(color, a.bottom_color, band(stripe, 0.007))
    lit = np.ones(len(z), np.float32)
    _paint_seams(color, lit, a, s, on_leg)
    _paint_waist(color, lit, a, s)
    lit *= 1.0 - 0.35 * bump(z + 0.03, 0.06) * bump(x, 0.03)
    if not a.tucked:
        lit *= 1.0 - 0.30 * smoothstep(a.hem - z, 0.035, 0.0) * (z < a.hem)  # under the hem of the top
    strength = 0.65 + 1.2 * bump(s.leg - 1.02, 0.16) + 1.2 * bump(s.leg - 1.90, 0.18) + 1.2 * bump(s.leg - 0.08, 0.22)
    strength *= 0.035 if a.bottom == "leggings" else 0.16 + 0.05 * a.wear
    lit += strength * folds
    canvas.shade_cloth(color, span, a.bottom_fabric, weave, folds, lit)
    mix(skin, color, share)


def _fade_denim(color: np.ndarray, a: Appearance, s: Surface, folds: np.ndarray) -> None:
    """Fade denim where it wears off: thighs, knees, seat and the ridges of folds (in place)."""
    front = smoothstep(-s.normal[:, 1], -0.1, 0.7)
    worn = front * (0.75 * bump(s.leg - 0.45, 0.33) + 0.45 * bump(s.leg - 1.0, 0.13))
    worn += 0.35 * bump(s.leg - 0.25, 0.25) * smoothstep(s.normal[:, 1], 0.2, 0.8)
    worn -= 0.5 * smoothstep(-folds, 0.3, 0.9) * bump(s.leg - 0.15, 0.2)
    color += ((0.05 + 0.14 * a.wear) * np.sqrt(max(a.bottom_color)) * worn)[:, None]


def _paint_seams(color: np.ndarray, lit: np.ndarray, a: Appearance, s: Surface, on_leg: np.ndarray) -> None:
    """Paint seams, pockets, fly, hems and the crease of pressed trousers (in place)."""
    x, y, z = np.ascontiguousarray(s.position.T)
    if a.bottom_fabric == "denim":
        seam = np.where(on_leg, band(np.abs(s.around) - 0.118, 0.003), band(x, 0.002) * (z < 0.13) * (y < 0))
        lit *= 1.0 - 0.22 * seam
        thread = 0.16 * band(np.abs(s.around) - 0.126, 0.0012) * on_leg
        color += thread[:, None] * np.array([0.8, 0.55, 0.2], np.float32)
    if a.bottom in ("trousers", "jeans", "shorts"):
        # Pockets: slanted in front, patches behind. The fly, the crotch and the hems.
        pocket = band(z - 0.085 - 0.8 * (0.10 - np.abs(x)), 0.0022) * (np.abs(np.abs(x) - 0.11) < 0.028) * (y < 0)
        patch = np.maximum(np.abs(np.abs(x) - 0.072) / 0.042, np.abs(z - 0.055) / 0.047)
        lit *= 1.0 - 0.28 * np.maximum(pocket, 0.7 * band(patch - 1.0, 0.06, 0.06) * (y > 0.0))
        lit *= 1.0 - 0.18 * band(s.leg - a.leg + 0.03, 0.012, 0.008)
        lit *= 1.0 - 0.15 * band(x - 0.012, 0.0015) * (z > 0.06) * (y < 0)
        if a.bottom == "trousers" and a.leg_width < 1.0:
            lit *= 1.0 + 0.10 * band(s.around, 0.002, 0.006) * on_leg


def _paint_waist(color: np.ndarray, lit: np.ndarray, a: Appearance, s: Surface) -> None:
    """Paint the waistband and the belt (in place)."""
    x, y, z = np.ascontiguousarray(s.position.T)
    waistband = z - WAIST + 0.017
    lit *= 1.0 - 0.3 * band(np.abs(waistband) - 0.017, 0.0015)
    if a.belt and a.bottom != "skirt":
        mix(color, a.belt_color, band(waistband, 0.0145))
        buckle = band(x, 0.019) * band(waistband, 0.0145) * (y < 0)
        mix(color, (0.62, 0.58, 0.48), buckle * (1.0 - 0.8 * band(x, 0.010) * band(waistband, 0.007)))


def _along_skirt(a: Appearance, height: np.ndarray) -> np.ndarray:
    """Return where heights [n] lie on the cloth, metres: the cloth is stretched down as far as it is around the skirt.

    The pattern closes around the skirt with as many repeats as around the trunk, so each repeat is wider where the skirt
    is wider; stretched as far the other way dots stay round and checks square.
    """
    top, bottom = skirt_span(a)
    levels = np.linspace(top, bottom, 33)
    step = (top - bottom) / 32
    shrunk = fabrics.TRUNK_GIRTH / (2 * np.pi * (_HIP_RADIUS + coverage.skirt_flare(a, levels)))
    along = top - step * np.concatenate([[0.0], np.cumsum((shrunk[:-1] + shrunk[1:]) / 2)])
    return np.interp(-height, -levels, along).astype(np.float32)


def paint_skirt(canvas: Canvas, span: slice) -> None:
    """Paint the skirt mesh (in place); without a skirt its place has the colour of the bottom."""
    a = canvas.a
    s, color = canvas.take(span)
    if not a.has_skirt:
        color[:] = a.bottom_color
        return
    fraction = (SKIRT_TOP - s.position[:, 2]) / (SKIRT_TOP - SKIRT_BOTTOM)
    top, bottom = skirt_span(a)
    height = (top - fraction * (top - bottom)).astype(np.float32)
    weave = fabrics.weave_around(s, _along_skirt(a, height))
    below_top = a.top in ("coat", "dress")  # the lower part of a coat or dress goes on with the cloth of the top
    cloth = canvas.cloth_of_top if below_top else canvas.cloth_of_bottom
    color[:] = cloth(span, weave, coarse=True)
    if a.top == "coat" and not a.open_front:  # an open one lacks the front
        tops.paint_closing(color, a, s, height)
    swing = np.sin(s.around * 52.0 + 0.8 * canvas.noise("broad", span))
    folds = (0.35 + 0.5 * a.skirt_flare) * swing * smoothstep(fraction, 0.1, 0.5) + 0.4 * canvas.noise("down", span)
    lit = 1.0 + 0.12 * folds
    lit *= 1.0 - 0.2 * band(fraction - 0.975, 0.006, 0.012)
    if not below_top and not a.tucked:
        lit *= 1.0 - 0.3 * smoothstep(a.hem - height, 0.04, 0.0)  # under the hem of the top
    canvas.shade_cloth(color, span, a.fabric if below_top else a.bottom_fabric, weave, folds, lit)
