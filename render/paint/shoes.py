"""Paints shoes with their designs, and socks or tights."""

import numpy as np

from render.figure import coverage
from render.geometry.surface import Surface, smoothstep
from render.paint.brushes import band, bump, edge, mix, stripes
from render.paint.canvas import SOFT, Canvas
from render.people.appearance import Appearance

_ANKLE_SOCK = 1.90  # where low socks end along the leg


def paint_socks(skin: np.ndarray, a: Appearance, s: Surface) -> None:
    """Paint socks or tights over the skin [n 3] of legs and feet (in place)."""
    share = coverage.cover_sock(a, s, SOFT)
    if a.tights:
        mix(skin, a.sock_color, 0.9 * share)
        return
    if a.sock == "low":
        share *= smoothstep(s.leg - _ANKLE_SOCK, 0.0, 0.012)
    color = np.empty_like(skin)
    color[:] = a.sock_color
    if a.sock == "bands":
        mix(color, a.shoe_accent, np.maximum(band(s.leg - 1.760, 0.012, 0.006), band(s.leg - 1.805, 0.012, 0.006)))
    color *= (1.0 + 0.05 * np.cos(s.around * 700.0) - 0.15 * bump(s.leg - 1.725, 0.01))[:, None]
    mix(skin, color, share)


def paint_shoes(canvas: Canvas, span: slice) -> None:
    """Paint the shoes, where no trouser leg hangs over them (in place)."""
    a = canvas.a
    s, leg = canvas.take(span)
    _, forward, z = np.ascontiguousarray(s.position.T)  # the toes point to -Y
    share = coverage.cover_shoe(a, s, SOFT)
    if coverage.hang_over_shoes(a):
        share *= 1.0 - coverage.cover_bottom(a, s, SOFT)
    color = np.empty_like(leg)
    color[:] = a.shoe_colors[0]
    _paint_design(color, a, s, forward, z)
    _paint_kind(color, a, s, forward, z)
    toes = smoothstep(-forward, 0.100, 0.135)  # the sides of toes, drawn over the cap, are no edge of the sole
    off = z - (-0.789 if a.shoe == "sneaker" else -0.792) + 0.05 * toes
    mix(color, a.shoe_colors[1], edge(-off, 0.004))
    lit = (1.0 - 0.3 * band(off - 0.001, 0.0025) * (1.0 - toes)) * (1.0 + 0.04 * canvas.noise("medium", span))
    inner = coverage.cover_shoe(a, s, 0.012)
    lit *= 1.0 - 1.2 * inner * (1.0 - inner)  # the collar of the shoe
    mix(leg, color * lit[:, None], share)


def _paint_design(color: np.ndarray, a: Appearance, s: Surface, forward: np.ndarray, z: np.ndarray) -> None:
    """Paint what sets models of shoes apart: bars, a swoosh, a toe cap, ... (in place)."""
    design, accent = a.shoe_design, a.shoe_accent
    aside = smoothstep(np.abs(s.normal[:, 0]), 0.35, 0.6)
    if design == "bars":
        slanted = forward + 0.06 + 0.5 * (z + 0.77)
        bars = np.maximum(band(slanted, 0.0055), band(np.abs(slanted) - 0.019, 0.0055))
        mix(color, accent, bars * aside)
    elif design == "swoosh":
        sweep = z + 0.782 - 1.6 * np.maximum(forward + 0.085, 0.0) ** 1.4 + 0.25 * np.minimum(forward + 0.085, 0.0)
        mix(color, accent, band(sweep, 0.0075) * aside * band(forward + 0.062, 0.062, 0.01))
    elif design == "star":
        spot = edge(0.017 - np.hypot(forward + 0.015, z + 0.755))
        mix(color, accent, spot * aside)
    elif design == "panels":
        mix(color, accent, edge(forward + 0.012, 0.006) * (z < -0.735))
        mix(color, accent, band(forward + 0.125, 0.014, 0.006) * aside)
    elif design == "toe_cap":
        cap = edge(-0.156 - forward, 0.006)
        # Rubber on a sneaker; on leather a seam sets off the same leather.
        mix(color, accent if a.shoe == "sneaker" else 0.72 * color, cap)
    elif design == "two_tone":
        other = z + 0.70 if a.shoe == "boot" else forward + 0.03 - 0.6 * (z + 0.77)  # the shaft, or the heel
        mix(color, accent, edge(other, 0.006))


def _paint_kind(color: np.ndarray, a: Appearance, s: Surface, forward: np.ndarray, z: np.ndarray) -> None:
    """Paint what sets kinds of shoes apart: laces, polish, creases (in place)."""
    if a.shoe == "sneaker":
        tongue = (s.normal[:, 2] > 0.25) & (forward < -0.045) & (forward > -0.13) & (z > -0.79)
        upper = np.asarray(a.shoe_colors[0], np.float32)
        pale = np.full(3, 0.85 if upper.mean() < 0.65 else 0.3, np.float32)
        lace = pale if a.shoe_design == "plain" else np.asarray(a.shoe_accent, np.float32)
        mix(color, lace, 0.85 * stripes(forward, 0.017, 0.45, 0.0) * tongue * band(s.around, 0.035, 0.01))
    elif a.shoe == "shoe":
        color *= (1.0 - 0.3 * band(forward + 0.125, 0.004))[:, None]
        color += (0.10 * smoothstep(s.normal[:, 2], 0.4, 0.9) * (forward < -0.13))[:, None]  # polish
    else:
        creases = bump((z + 0.70) % 0.03 - 0.015, 0.004) * (forward < -0.02) * (z > -0.74)
        color *= (1.0 - 0.2 * creases)[:, None]
