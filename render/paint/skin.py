"""Paints bare skin: its unevenness, the blood at joints, and the shade of the chin on the neck."""

import numpy as np

from render.geometry.surface import smoothstep
from render.paint.brushes import bump
from render.paint.canvas import Canvas

_FLUSH = np.array(
    [0.02, 0.07, 0.07], np.float32
)  # how much of each channel blood at elbows, knuckles and knees absorbs


def paint_skin(canvas: Canvas, span: slice) -> None:
    """Paint the skin of the whole body (in place)."""
    color = canvas.color[span]
    color *= (1.0 + 0.028 * canvas.noise("broad", span) + 0.014 * canvas.noise("medium", span))[:, None]
    arm, leg = canvas.atlas.span("arm", "arm"), canvas.atlas.span("foot", "leg")
    s, color = canvas.take(arm)
    flush = 0.5 * bump(s.arm - 1.0, 0.12) + 0.7 * smoothstep(s.arm, 2.15, 2.5)
    color *= 1.0 - flush[:, None] * _FLUSH
    between_fingers = s.group("hand") * smoothstep(canvas.noise("fine", arm), 0.9, 2.0)
    color *= (1.0 - 0.15 * between_fingers)[:, None]
    s, color = canvas.take(leg)
    color *= 1.0 - (0.5 * bump(s.leg - 1.0, 0.1))[:, None] * _FLUSH


def paint_neck(canvas: Canvas, span: slice) -> None:
    """Paint the shade of chin and jaw (in place)."""
    s, color = canvas.take(span)
    _, y, z = s.position.T
    shade = smoothstep(0.690 - z, -0.004, 0.012) * smoothstep(z, 0.62, 0.67) * smoothstep(-y, -0.02, 0.06)
    color *= (1.0 - 0.26 * shade)[:, None]
