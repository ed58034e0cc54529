"""Paints the texture of a person: skin, face, hair, garments and their folds, in the body's UV space.

Every layer is a function of the surface attributes of the texels, that is of the place on the reference body, so
patterns run on over UV seams. Painted at twice the resolution and averaged down. Shading that moves with the cloth
(folds, seams, the dark under a hem or the chin) is painted; light is not.
"""

from collections.abc import Mapping

import numpy as np

from render import garments
from render.appearance import Appearance
from render.attachments import SKIRT_BOTTOM, SKIRT_TOP, front_gap
from render.body import SUPERSAMPLING, Body
from render.garments import EYE_LEVEL, HEAD_CENTRE_Y, WAIST, skirt_span
from render.surface import COLLAR, PANEL, Surface, smoothstep
from render.uv_bake import NOISE_BANDS

SAMPLE = 0.0035  # metres that a sample of the atlas is wide on the trunk: the width of an antialiased edge
_MOUTH, _BROW = 0.727, 0.8225  # heights on the reference face


def paint_texture(body: Body, appearance: Appearance, cloth: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """The texture of a person.

    Args:
        body: From `load_body`.
        appearance: What to paint.
        cloth: The user's cloth images by name, uint8 [height width 3]: at least those that `appearance.cloth` names.

    Returns:
        uint8 [256 256 3] RGB, row 0 at v = 1. Texels outside the UV islands repeat the nearest one inside.
    """
    missing = sorted({name for name in appearance.cloth if name} - set(cloth or {}))
    if missing:
        raise ValueError(f"The appearance is made of the cloth images {missing}, found {sorted(cloth or {})}.")
    painter = _Painter(body, appearance)
    painter.paint()
    samples = np.rint(np.clip(painter.color, 0.0, 1.0) * 255.0).astype(np.uint16)[body.atlas.fill]
    samples = samples.reshape(body.atlas.size, body.atlas.size, 3)
    step = SUPERSAMPLING
    total = np.full((body.atlas.size // step, body.atlas.size // step, 3), step**2 // 2, np.uint16)
    for row in range(step):
        for column in range(step):
            total += samples[row::step, column::step]
    return (total // step**2).astype(np.uint8)


def edge(value: np.ndarray, width: float = SAMPLE) -> np.ndarray:
    """1 where `value` (metres) is positive, 0 where negative, `width` metres of ramp between."""
    return np.clip(value / width + 0.5, 0.0, 1.0)


def band(value: np.ndarray, half_width: float | np.ndarray, width: float = SAMPLE) -> np.ndarray:
    """1 where |value| < half_width."""
    return edge(half_width - np.abs(value), width)


def stripes(value: np.ndarray, period: float, duty: float, phase: float) -> np.ndarray:
    """1 on stripes that take the share `duty` of each `period` metres."""
    offset = (value / period + phase) % 1.0 - 0.5
    return band(offset * period, duty * period / 2)


def dots(height: np.ndarray, around: np.ndarray, period: float) -> np.ndarray:
    """1 on dots in staggered rows `period` metres apart."""
    row = np.floor(height / period)
    across = (np.abs(around) / period + 0.5 * (row % 2)) % 1.0 - 0.5
    return edge(period * (0.26 - np.hypot(height / period - row - 0.5, across)))


def mix(color: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> None:
    """Moves colours [n 3] in place towards another colour, [3] or [n 3], by `share` [n]."""
    color += share[:, None].astype(np.float32) * (np.asarray(other, np.float32) - color)


def bump(value: np.ndarray, width: float) -> np.ndarray:
    """A soft bump of height 1 at 0."""
    return np.exp(-((value / width) ** 2))


_SOFT = 0.0025  # metres: half the width of the edge of a garment


class _Painter:
    """Colours float32 [N 3] of the atlas's samples, painted from the skin outwards, a run of regions at a time."""

    def __init__(self, body: Body, appearance: Appearance) -> None:
        self.a = appearance
        self.atlas = body.atlas
        self.rng = np.random.default_rng(appearance.seed)
        self.color = np.empty_like(self.atlas.surface.position)
        self.color[:] = appearance.skin

    def paint(self) -> None:
        self._skin(self.atlas.span("foot", "scalp"))
        self._face(self.atlas.span("face", "face"))
        self._neck(self.atlas.span("neck", "face"))
        self._eyes(self.atlas.span("eye", "eye"))
        self._legwear(self.atlas.span("foot", "hip"))
        self._skirt(self.atlas.span("skirt", "skirt"))
        self._layers(self.atlas.span("panel", "hood"))
        self._top(self.atlas.span("hip", "neck"))
        self._shoes(self.atlas.span("foot", "foot"))
        self._hair(self.atlas.span("neck", "hair"))

    def _noise(self, name: str, span: slice) -> np.ndarray:
        """A fresh sample of a noise band on some regions, about unit variance."""
        fields = self.atlas.noise[list(NOISE_BANDS).index(name)]
        weights = self.rng.normal(0.0, 1.0, len(fields)).astype(np.float32)
        weights /= np.sqrt((weights**2).sum())
        total = fields[0, span] * weights[0]
        for weight, field in zip(weights[1:], fields[1:], strict=True):
            total += weight * field[span]
        return total

    # ------------------------------------------------------------------ skin and face

    def _skin(self, span: slice) -> None:
        s, color = self.atlas.surface.take(span), self.color[span]
        color *= (1.0 + 0.028 * self._noise("broad", span) + 0.014 * self._noise("medium", span))[:, None]
        arm, leg = self.atlas.span("arm", "arm"), self.atlas.span("foot", "leg")
        s, color = self.atlas.surface.take(arm), self.color[arm]
        # Blood shows at elbows, knuckles and knees.
        flush = 0.5 * bump(s.arm - 1.0, 0.12) + 0.7 * smoothstep(s.arm, 2.15, 2.5)
        color *= 1.0 - flush[:, None] * np.array([0.02, 0.07, 0.07], np.float32)
        between_fingers = s.group("hand") * smoothstep(self._noise("fine", arm), 0.9, 2.0)
        color *= (1.0 - 0.15 * between_fingers)[:, None]
        s, color = self.atlas.surface.take(leg), self.color[leg]
        color *= 1.0 - (0.5 * bump(s.leg - 1.0, 0.1))[:, None] * np.array([0.02, 0.07, 0.07], np.float32)

    def _face(self, span: slice) -> None:
        a = self.a
        s, color = self.atlas.surface.take(span), self.color[span]
        x, y, z = np.ascontiguousarray(s.position.T)
        across = np.abs(x)
        front = smoothstep(-y, 0.085, 0.115)
        # Blood in cheeks, nose and ears.
        flush = 0.10 * bump(np.hypot(across - 0.042, z - 0.765), 0.022) + 0.09 * bump(np.hypot(x, z - 0.762), 0.014)
        flush = flush * front + 0.08 * (across > 0.075) * bump(z - 0.79, 0.04)
        color *= 1.0 - flush[:, None] * np.array([0.25, 1.0, 0.85], np.float32)
        # Hollows: beside the nose, to the corners of the mouth, the eye sockets, below the lips, nostrils and philtrum.
        lit = 1.0 - 0.16 * bump(across - 0.0165 - 0.25 * (0.77 - z), 0.0035) * bump(z - 0.763, 0.012) * front
        lit *= 1.0 - 0.10 * bump(across - 0.026 - 0.5 * (0.75 - z), 0.004) * bump(z - 0.742, 0.013) * front
        lit *= 1.0 - 0.24 * bump(across - 0.030, 0.021) * bump(z - EYE_LEVEL - 0.006, 0.0085) * front
        lit *= 1.0 - 0.12 * bump(across - 0.030, 0.018) * bump(z - EYE_LEVEL + 0.012, 0.006) * front
        lit *= 1.0 - 0.16 * bump(x, 0.018) * bump(z - 0.708, 0.005) * front
        lit *= 1.0 - 0.55 * bump(np.hypot((across - 0.0085) / 1.25, z - 0.7495), 0.0036) * front
        lit *= 1.0 - 0.14 * bump(x, 0.016) * bump(z - 0.7455, 0.0035) * front
        if a.age > 0.8:
            wrinkles = band((z - 0.848 + 0.004 * np.cos(x * 60.0)) % 0.011 - 0.0055, 0.0008) * (z > 0.835)
            folds = bump(across - 0.034 - 0.45 * (0.745 - z), 0.0025) * bump(z - 0.735, 0.014)
            lit *= 1.0 - (a.age - 0.8) * (0.5 * wrinkles + 0.9 * folds) * front
        color *= lit[:, None]
        hairy = np.clip(0.9 + 0.12 * self._noise("fine", span), 0.0, 1.0)

        if a.beard > 0:
            # Jaw, chin and upper lip, not the lips and the cheeks.
            area = edge(0.760 - 0.35 * np.minimum(0.055 - across, 0.0) - z - 0.25 * (0.055 - across), 0.014)
            area *= smoothstep(z, 0.665, 0.685) * smoothstep(HEAD_CENTRE_Y + 0.022 - y, 0.0, 0.02)
            area *= 1.0 - 0.9 * band(x, 0.024, 0.006) * band(z - _MOUTH, 0.009, 0.005)
            area = np.maximum(area, front * band(x, 0.027, 0.008) * band(z - 0.742, 0.005, 0.005))
            mix(color, np.multiply(a.hair_color, 0.85), np.clip(area * hairy * (0.25 + 0.65 * a.beard), 0.0, 0.92))

        # Lips and the line between them.
        width = 0.0245
        arch = np.clip(1.0 - (x / width) ** 2, 0.0, 1.0)
        upper = edge(0.0095 * arch**0.6 * (0.86 + 0.14 * bump(across - 0.007, 0.004)) - (z - _MOUTH)) * (z >= _MOUTH)
        lower = edge(0.0115 * arch**0.7 - (_MOUTH - z)) * (z < _MOUTH)
        lips = front * (across < width)
        mix(color, a.lip_color, lips * (upper * 0.95 + lower * 0.85) * (0.95 if a.female else 0.75))
        line = 0.55 * band(x, width) * bump(z - _MOUTH + 0.001 * arch, 0.0016)
        color *= (1.0 - front * np.maximum(line, 0.12 * upper * lips))[:, None]

        # Eyebrows, then lids and lashes around the eye.
        brow_line = _BROW + 0.006 * smoothstep(across, 0.014, 0.038) - 0.010 * smoothstep(across, 0.040, 0.056)
        thickness = (0.0030 if a.female else 0.0042) * (1.0 - 0.55 * smoothstep(across, 0.034, 0.056))
        brow = front * band(z - brow_line, thickness, 0.0030) * band(across - 0.0345, 0.0205, 0.006)
        mix(color, a.brow_color, 0.85 * brow * hairy)
        opening = np.clip(1.0 - ((across - 0.0305) / 0.0155) ** 2, 0.0, 1.0)
        open_eye = front * (opening > 0.02)
        half = np.sqrt(opening)
        mix(
            color,
            (0.10, 0.075, 0.065),
            open_eye * bump(z - EYE_LEVEL - 0.0062 * half, 0.0019) * (0.85 if a.female else 0.7),
        )
        mix(color, (0.16, 0.10, 0.085), open_eye * bump(z - EYE_LEVEL + 0.0052 * half, 0.0016) * 0.35)
        color *= (1.0 - 0.5 * open_eye * band(z - EYE_LEVEL, 0.0055 * half, 0.002))[:, None]

    def _neck(self, span: slice) -> None:
        """The shade of chin and jaw."""
        s, color = self.atlas.surface.take(span), self.color[span]
        _, y, z = s.position.T
        shade = smoothstep(0.690 - z, -0.004, 0.012) * smoothstep(z, 0.62, 0.67) * smoothstep(-y, -0.02, 0.06)
        color *= (1.0 - 0.28 * shade)[:, None]

    def _eyes(self, span: slice) -> None:
        x, y, z = self.atlas.surface.take(span).position.T
        color = self.color[span]
        color[:] = np.array([0.60, 0.57, 0.54]) * (0.72 + 0.28 * min(1.0, max(self.a.skin) / 0.6))
        off = np.hypot(np.abs(x) - 0.0305, z - EYE_LEVEL + 0.0005)
        mix(color, self.a.eye_color, edge(0.0068 - off, 0.0015) * (y < -0.12))
        mix(color, (0.03, 0.03, 0.03), edge(0.0030 - off, 0.0015) * (y < -0.12))
        color *= (1.0 - 0.55 * smoothstep(z - EYE_LEVEL, 0.001, 0.006))[:, None]

    # ------------------------------------------------------------------ cloth

    def _folds(self, span: slice, first: str, second: str) -> np.ndarray:
        """Shading of folds in cloth, about -1 to 1: soft hills with sharper valleys."""
        soft = 0.55 * (self._noise(first, span) + self._noise(second, span))
        return 0.6 * soft + 0.4 * np.minimum(1.0 - 1.6 * np.abs(soft), 0.6)

    def _legwear(self, span: slice) -> None:
        a = self.a
        s, skin = self.atlas.surface.take(span), self.color[span]
        x, y, z = np.ascontiguousarray(s.position.T)
        share = garments.cover_bottom(a, s, _SOFT)
        mix(skin, a.sock_color, garments.cover_sock(a, s, _SOFT) * (0.9 if a.tights else 1.0))
        # Socks and skin just below the cloth lie in its shade.
        below = smoothstep(a.leg + 0.12 - s.leg, 0.0, 0.12) * (s.leg > a.leg) * (1.0 - share)
        skin *= (1.0 - 0.28 * below)[:, None]

        color = np.broadcast_to(np.asarray(a.bottom_color, np.float32), skin.shape).copy()
        on_leg = s.group("upper_leg", "lower_leg") > 0.5
        fine = self._noise("fine", span)
        lit = 1.0 + 0.012 * fine
        if a.bottom == "jeans":
            front = smoothstep(-s.normal[:, 1], -0.1, 0.7)
            worn = front * (0.75 * bump(s.leg - 0.45, 0.33) + 0.45 * bump(s.leg - 1.0, 0.13))
            worn += 0.35 * bump(s.leg - 0.25, 0.25) * smoothstep(s.normal[:, 1], 0.2, 0.8)
            color += (0.13 * np.sqrt(max(a.bottom_color)) * worn)[:, None]
            lit += 0.04 * fine
            seam = np.where(on_leg, band(np.abs(s.around) - 0.118, 0.003), band(x, 0.002) * (z < 0.13) * (y < 0))
            lit *= 1.0 - 0.22 * seam
            thread = 0.16 * band(np.abs(s.around) - 0.126, 0.0012) * on_leg
            color += thread[:, None] * np.array([0.8, 0.55, 0.2], np.float32)
        elif a.bottom_pattern == "side":
            stripe = np.where(on_leg, band(s.around - 0.112, 0.011), band(np.abs(s.around) - 0.206, 0.011))
            mix(color, a.colors[1], stripe)
        if a.bottom in ("trousers", "jeans", "shorts"):
            # Pockets: slanted in front, patches behind. The crotch and the hems.
            pocket = band(z - 0.085 - 0.8 * (0.10 - np.abs(x)), 0.0022) * (np.abs(np.abs(x) - 0.11) < 0.028) * (y < 0)
            patch = np.maximum(np.abs(np.abs(x) - 0.072) / 0.042, np.abs(z - 0.055) / 0.047)
            lit *= 1.0 - 0.28 * np.maximum(pocket, 0.7 * band(patch - 1.0, 0.06, 0.06) * (y > 0.0))
            lit *= 1.0 - 0.18 * band(s.leg - a.leg + 0.03, 0.012, 0.008)
        lit *= 1.0 - (0.45 if a.bottom in ("trousers", "jeans") else 0.15) * band(z - WAIST + 0.012, 0.014)
        lit *= 1.0 - 0.35 * bump(z + 0.03, 0.06) * bump(x, 0.03)
        if not a.tucked:
            lit *= 1.0 - 0.30 * smoothstep(a.hem - z, 0.035, 0.0) * (z < a.hem)  # under the hem of the top
        strength = 0.4 + 0.7 * bump(s.leg - 1.02, 0.18) + 0.8 * bump(s.leg - 1.92, 0.18) + 0.5 * bump(s.leg - 0.1, 0.2)
        lit += (0.035 if a.bottom == "leggings" else 0.085) * strength * self._folds(span, "medium", "down")
        mix(skin, color * lit[:, None], share)

    def _skirt(self, span: slice) -> None:
        """The skirt mesh; without one its place has the colour of the bottom."""
        a = self.a
        s, color = self.atlas.surface.take(span), self.color[span]
        fraction = (SKIRT_TOP - s.position[:, 2]) / (SKIRT_TOP - SKIRT_BOTTOM)
        color[:] = a.bottom_color
        top, bottom = skirt_span(a)
        height = (top - fraction * (top - bottom)).astype(np.float32)
        if a.top in ("coat", "dress"):
            # The lower part of a coat or dress goes on with the pattern of the top.
            color[:] = self._pattern(s, height, span)
            if a.top == "coat":
                self._closing(color, s, height)
        elif a.bottom_pattern == "plaid":
            mix(color, a.colors[1], 0.5 * stripes(height, 0.08, 0.45, 0.1) + 0.5 * stripes(s.around, 0.10, 0.45, 0.1))
        elif a.bottom_pattern == "dots":
            mix(color, a.colors[1], dots(height, s.around, 0.07))
        lit = 1.0 + (0.03 + 0.06 * a.skirt_flare) * np.sin(s.around * 52.0) * smoothstep(fraction, 0.1, 0.5)
        lit += 0.05 * self._noise("down", span)
        lit *= 1.0 - 0.2 * band(fraction - 0.975, 0.006, 0.012)
        color *= lit[:, None]

    def _layers(self, span: slice) -> None:
        """Front panels, collar and hood: the cloth of the top."""
        a = self.a
        s, color = self.atlas.surface.take(span), self.color[span]
        color[:] = self._pattern(s, s.position[:, 2], span)
        collar = (s.part == COLLAR).astype(np.float32)
        mix(color, np.multiply(a.colors[0], 0.9) if a.pattern_phase < 0.7 else a.colors[1], collar)
        # A panel's edge, and the inside of a hood where it lies close to the neck.
        panel = s.part == PANEL
        edge_dark = bump(np.abs(s.position[:, 0]) - front_gap(s.position[:, 2]), 0.006) * panel
        lit = (1.0 - 0.25 * edge_dark) * (1.0 + 0.05 * self._folds(span, "medium", "down"))
        color *= lit[:, None]

    def _pattern(self, s: Surface, height: np.ndarray, span: slice) -> np.ndarray:
        """Colours float32 [n 3] of the top's cloth."""
        a = self.a
        main, second, third, _ = a.colors
        color = np.broadcast_to(np.asarray(main, np.float32), (len(height), 3)).copy()
        on_arm = s.is_arm > 0.5
        along = np.where(on_arm, 0.50 - 0.27 * s.arm, height)
        around = np.abs(s.around)
        size, phase = a.pattern_scale, a.pattern_phase
        if a.pattern == "stripes":
            period = 0.075 * size
            mix(color, second, stripes(along, period, 0.25 + 0.45 * phase, phase))
            if phase > 0.6:
                mix(color, third, stripes(along, period, 0.1, phase + 0.5))
        elif a.pattern == "vertical":
            mix(color, second, stripes(around, 0.046 * size, 0.2 + 0.35 * phase, 0.5))
        elif a.pattern == "plaid":
            period = 0.085 * size
            mix(color, second, 0.5 * stripes(along, period, 0.45, phase) + 0.5 * stripes(around, period, 0.45, 0.5))
            lines = np.maximum(stripes(along, period, 0.09, phase + 0.5), stripes(around, period, 0.09, 0.0))
            mix(color, third, 0.6 * lines)
        elif a.pattern == "dots":
            mix(color, second, dots(along, s.around, 0.045 * size))
        elif a.pattern == "gradient":
            mix(color, second, smoothstep(height, 0.0, 0.5))
        elif a.pattern == "block":
            level = 0.20 + 0.22 * phase
            mix(color, second, edge(along - level))
            mix(color, third, band(along - level, 0.016 * size))
        elif a.pattern == "yoke":
            # Sleeves, and for some the shoulders, of another colour.
            shoulders = edge(height - 0.50 + 0.12 * np.abs(s.position[:, 0])) * (phase > 0.5)
            mix(color, second, np.where(on_arm, 1.0, shoulders))
        elif a.pattern == "camouflage":
            mix(color, second, edge(self._noise("medium", span), 0.15))
            mix(color, third, edge(self._noise("medium", span) - 0.35, 0.15))
            mix(color, np.multiply(main, 0.4), edge(self._noise("medium", span) - 0.7, 0.15))
        if a.print_front != "none":
            self._print(color, s, height)
        return color

    def _print(self, color: np.ndarray, s: Surface, height: np.ndarray) -> None:
        """A print on the chest, and sometimes on the back."""
        a = self.a
        size, phase = a.pattern_scale, a.pattern_phase
        x = s.position[:, 0]
        on_front = smoothstep(-s.normal[:, 1], 0.05, 0.3)
        on_back = smoothstep(s.normal[:, 1], 0.05, 0.3) * (phase > 0.55)
        where = np.maximum(on_front, on_back) * (s.is_arm < 0.5)
        kind = int(phase * 1000) % 6
        radius = 0.075 * size
        u, v = x / radius, (height - 0.37) / radius
        inner = None
        if a.print_front == "word":
            letters = np.random.default_rng(a.seed + 1).uniform(size=(16, 24)) < 0.68
            row, column = np.floor(v * 2.2).astype(int), np.floor(u * 5.0).astype(int)
            letter = letters[row % 16, column % 24] & (np.abs(column + 0.5) < 8) & (np.abs(row + 0.5) < 2)
            shape = letter * band((v * 2.2) % 1.0 - 0.5, 0.32, 0.05) * band((u * 5.0) % 1.0 - 0.5, 0.40, 0.08)
        elif kind == 3:
            box = edge(radius * (1.0 - np.maximum(np.abs(u) / 1.3, np.abs(v))))
            shape = stripes(height, 0.034 * size, 0.5, 0.0) * box
        elif kind == 5:
            u, v = (x - 0.075) / 0.028, (height - 0.43) / 0.028  # a badge over the heart
            shape = edge(0.028 * (1.0 - np.maximum(np.abs(u), np.abs(v))))
        else:
            outline = {
                0: lambda: np.hypot(u, v),
                1: lambda: np.maximum(np.abs(u) / 1.35, np.abs(v) / 0.8),
                2: lambda: np.maximum(np.abs(u) * 1.6 + v * 0.8, -v * 1.2),
                4: lambda: np.hypot(u, v) + 0.28 - 0.3 * np.cos(5.0 * np.arctan2(u, v)),
            }[kind]()
            shape = edge(radius * (1.0 - outline))
            inner = edge(radius * (0.55 - np.hypot(u * 0.9, v * 1.1)))
        mix(color, a.colors[1], shape * where)
        if inner is not None:
            mix(color, a.colors[2], inner * where)

    def _closing(self, color: np.ndarray, s: Surface, height: np.ndarray) -> None:
        """What is down the front of jackets and coats: an opening, a zip, buttons."""
        a = self.a
        x = np.abs(s.position[:, 0])
        front = (s.normal[:, 1] < 0.1) & (s.is_arm < 0.5)
        main = np.asarray(a.colors[0], np.float32)
        if a.open_front:
            gap = 0.032 + 0.035 * smoothstep(0.5 - height, 0.0, 0.5)
            below = edge(0.04 - height)[:, None]
            under = (1.0 - below) * np.asarray(a.colors[3]) + below * np.multiply(a.bottom_color, 0.7)
            under *= (1.0 - 0.5 * bump(gap - 0.004 - x, 0.008))[:, None]  # in the shade of the edges
            mix(color, under, edge(gap - x) * front)
            mix(color, main * 0.6, band(x - gap - 0.003, 0.003) * front)
        else:
            mix(color, (0.75, 0.75, 0.74) if a.pattern_phase > 0.7 else (0.08, 0.08, 0.08), band(x, 0.0028) * front)
            if a.top == "coat":
                button = edge(0.008 - np.hypot(x - 0.035, (height + 0.035) % 0.11 - 0.055)) * (height < 0.42) * front
                mix(color, main * 0.35 + 0.02, 0.8 * button)

    def _top(self, span: slice) -> None:
        a = self.a
        s, skin = self.atlas.surface.take(span), self.color[span]
        x, _, height = np.ascontiguousarray(s.position.T)
        rim = garments.neck_rim(a, s)
        share = garments.cover_top(a, s, _SOFT, rim)
        arm, trunk = s.is_arm > 0.5, s.is_arm <= 0.5
        front = (s.normal[:, 1] < 0.1) & trunk
        end = a.sleeve - s.arm
        # The arm just below a sleeve and the neck just above a collar lie in shade.
        shade = np.where(arm, 0.30 * smoothstep(0.16 + end, 0.0, 0.16) * (end < 0), 0.25 * bump(rim, 0.014) * (rim > 0))
        skin *= (1.0 - shade * (1.0 - share))[:, None]

        main = np.asarray(a.colors[0], np.float32)
        contrast = (0.88, 0.88, 0.88) if main.mean() < 0.6 else (0.3, 0.3, 0.3)
        color = self._pattern(s, height, span)
        dark = 0.20 * bump(s.is_arm - 0.5, 0.25) * (np.abs(s.is_arm - 0.5) < 0.45)  # the armhole seam
        if a.top in ("jacket", "coat"):
            self._closing(color, s, height)
        if a.top in ("tee", "tank", "dress", "sweater"):
            trim = a.colors[1] if a.pattern in ("yoke", "stripes") else main * 0.86
            mix(color, trim, edge(0.016 + rim) * trunk)
            dark += 0.25 * band(rim + 0.018, 0.0015) * trunk
        if a.top in ("tee", "polo", "dress"):
            dark += 0.16 * np.where(arm, band(end - 0.055, 0.006, 0.006), band(height - a.hem - 0.016, 0.0018))
        if a.top in ("sweater", "hoodie") or (a.top == "jacket" and a.pattern_phase < 0.5):
            ribs = 0.80 + 0.08 * np.cos(s.around * 600.0)
            mix(color, main * ribs[:, None], np.where(arm, edge(0.17 - end, 0.012), edge(a.hem + 0.048 - height)))
        if a.top in ("shirt", "polo"):
            placket = front & (height > (a.hem if a.top == "shirt" else 0.47))
            dark += 0.22 * band(np.abs(x) - 0.014, 0.0012) * placket
            button = edge(0.0048 - np.hypot(x, (height + 0.02) % 0.075 - 0.0375))
            mix(color, contrast, 0.8 * button * placket)
            if a.top == "shirt" and a.pattern_phase > 0.4:
                pocket = np.maximum(np.abs(x - 0.075) / 0.036, np.abs(height - 0.405) / 0.04)
                dark += 0.2 * band(pocket - 1.0, 0.05, 0.06) * front
            dark += 0.2 * band(end - 0.14, 0.006, 0.008) * arm
        if a.top in ("shirt", "polo", "jacket", "coat"):
            flap = rim + 0.036 + 0.02 * bump(x, 0.03) * front
            mix(color, main * 0.9 if a.pattern_phase < 0.7 else a.colors[1], edge(flap) * trunk)
            dark += 0.4 * band(flap + 0.002, 0.002) * trunk
        if a.top == "coat" and not a.open_front:
            dark += 0.5 * band(np.abs(x) - 0.02 - 0.35 * (height - 0.40), 0.0025) * (height > 0.40) * front  # lapels
        elif a.top == "jacket":
            pocket = band(np.abs(x) - 0.105 - 0.35 * (height - 0.13), 0.0022) * (np.abs(height - 0.13) < 0.05)
            dark += 0.4 * pocket * front
        elif a.top == "hoodie":
            pouch = np.abs(x) / (0.095 - 0.25 * np.maximum(height - 0.13, 0.0))
            dark += 0.3 * band(np.maximum(pouch, np.abs(height - 0.145) / 0.055) - 1.0, 0.03, 0.04) * front
            cord = band(np.abs(x) - 0.022, 0.0028) * (height > 0.46) * (height < 0.585) * front
            mix(color, contrast, 0.75 * cord)
            dark += 0.3 * bump(rim + 0.03, 0.012) * trunk
        elif a.top == "sweater":
            dark += 0.02 * np.cos(s.around * 420.0)
        armpit = bump(np.hypot(np.abs(x) - 0.185, height - 0.46), 0.05) * smoothstep(-s.normal[:, 2], -0.2, 0.6)
        dark += 0.30 * armpit
        on_arm = 0.5 * bump(s.arm - 1.02, 0.22) + 0.55 * bump(s.arm - 1.9, 0.25) + 0.35 * bump(s.arm, 0.25)
        strength = 0.35 + np.where(arm, on_arm, 0.55 * bump(height - 0.10, 0.12))
        stiffness = {"tank": 0.05, "tee": 0.07, "sweater": 0.06, "jacket": 0.09}.get(a.top, 0.08)
        lit = 1.0 + stiffness * strength * self._folds(span, "medium", "across") + 0.012 * self._noise("fine", span)
        lit *= 1.0 - np.clip(dark, 0.0, 0.8)
        mix(skin, color * lit[:, None], share)

    # ------------------------------------------------------------------ shoes and hair

    def _shoes(self, span: slice) -> None:
        a = self.a
        s, leg = self.atlas.surface.take(span), self.color[span]
        _, forward, z = np.ascontiguousarray(s.position.T)  # the toes point to -Y
        share = garments.cover_shoe(a, s, _SOFT)
        if a.bottom in ("trousers", "jeans") and a.leg > 1.9:
            share *= 1.0 - garments.cover_bottom(a, s, _SOFT)
        upper, sole = (np.asarray(color, np.float32) for color in a.shoe_colors)
        color = np.broadcast_to(upper, leg.shape).copy()
        if a.shoe == "sneaker":
            tongue = (s.normal[:, 2] > 0.25) & (forward < -0.045) & (forward > -0.13) & (z > -0.79)
            lace = np.full(3, 0.85 if upper.mean() < 0.65 else 0.3, np.float32)
            mix(color, lace, 0.8 * stripes(forward, 0.017, 0.45, 0.0) * tongue * band(s.around, 0.035, 0.01))
            mix(color, sole, 0.7 * edge(-0.145 - forward, 0.008) * (z < -0.775))  # toe cap
            if a.pattern_phase > 0.35:
                mark = band(z + 0.775 + 0.25 * (forward + 0.07), 0.006) * (np.abs(s.normal[:, 0]) > 0.5)
                mix(color, lace, mark * (forward < -0.02) * (forward > -0.12))
        elif a.shoe == "shoe":
            color *= (1.0 - 0.3 * band(forward + 0.125, 0.004))[:, None]
        mix(color, sole, edge(-0.800 - z, 0.004))
        lit = (1.0 - 0.3 * band(z + 0.799, 0.0025)) * (1.0 + 0.04 * self._noise("medium", span))
        mix(leg, color * lit[:, None], share)

    def _hair(self, span: slice) -> None:
        a = self.a
        s = self.atlas.surface.take(span)
        z = s.position[:, 2]
        share = garments.cover_hair(a, s, _SOFT)
        if a.hair_style == "cropped":
            tone = 1.0 + 0.12 * self._noise("fine", span)
            share *= 0.88 - 0.25 * smoothstep(EYE_LEVEL + 0.01 - z, 0.0, 0.05)
        else:
            tone = 1.0 + 0.16 * self._noise("strand", span) + 0.07 * self._noise("broad", span)
        tone += 0.10 * smoothstep(z, EYE_LEVEL, 0.9) - 0.12 * smoothstep(0.75 - z, 0.0, 0.1)
        mix(self.color[span], np.asarray(a.hair_color, np.float32) * np.maximum(tone, 0.35)[:, None], share)
