"""Paints hair, on the scalp and on the meshes of long hair."""

import numpy as np

from render.figure import coverage
from render.figure.coverage import EYE_LEVEL
from render.geometry.surface import smoothstep
from render.paint.brushes import bump, mix
from render.paint.canvas import Canvas


def paint_hair(canvas: Canvas, span: slice) -> None:
    """Paint the hair (in place)."""
    a = canvas.a
    s = canvas.atlas.surface.take(span)
    x, y, z = np.ascontiguousarray(s.position.T)
    strands = canvas.noise("strand", span)
    grain = canvas.noise("grain", span)
    base = np.asarray(a.hair_color, np.float32)
    # The hairline is no edge: hair thins out over a centimetre, strand by strand.
    share = coverage.cover_hair(a, s, 0.007)
    ragged = 4.0 * share * (1.0 - share)
    share = smoothstep(share + 0.22 * ragged * (strands + 0.6 * grain), 0.22, 0.85)
    if a.hair_style == "cropped":
        tone = 1.0 + 0.10 * grain + 0.05 * canvas.noise("fine", span)
        share *= np.clip(0.86 + 0.08 * grain, 0.0, 1.0) - 0.30 * smoothstep(EYE_LEVEL + 0.01 - z, 0.0, 0.06)
    elif a.hair_style in ("curly", "afro"):
        medium = canvas.noise("medium", span)
        fine = canvas.noise("fine", span)
        tone = 1.0 + 0.16 * grain + 0.16 * fine + 0.10 * medium - 0.25 * smoothstep(-grain, 0.8, 1.8)
    else:
        tone = 1.0 + 0.20 * strands + 0.06 * canvas.noise("broad", span)
        # Light lies around the crown, broken up by the strands.
        tone += (0.22 + 0.10 * strands) * bump(z - 0.882 - 0.10 * np.abs(y + 0.05), 0.016)
    tone += 0.10 * smoothstep(z, EYE_LEVEL, 0.9) - 0.14 * smoothstep(0.75 - z, 0.0, 0.1)
    color = base * np.maximum(tone, 0.35)[:, None]
    color += (0.022 * smoothstep(strands, 0.2, 1.6))[:, None]  # on black hair single strands show by their gloss alone
    if a.hair_highlight:
        light = np.minimum(base * 1.7 + np.array([0.10, 0.07, 0.04], np.float32), 0.85)
        mix(color, light, 0.7 * a.hair_highlight * smoothstep(strands, 0.3, 1.3))
    if a.hair_style in ("parted", "medium", "bob", "long", "long_front", "low_bun"):
        # Skin shows along the parting.
        line = bump(x - a.parting, 0.0030) * smoothstep(z, 0.868, 0.885) * smoothstep(0.01 - y, 0.0, 0.03)
        mix(color, np.multiply(a.skin, 0.80), 0.5 * line)
        color *= (1.0 - 0.18 * bump(np.abs(x - a.parting) - 0.007, 0.004) * (z > 0.875))[:, None]
    mix(canvas.color[span], color, share)
