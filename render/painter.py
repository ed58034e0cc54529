"""Paints the texture of a person: skin, face, hair, garments and their folds, in the body's UV space.

Every layer is a function of the surface attributes of the texels, that is of the place on the reference body, so
patterns run on over UV seams. Painted at twice the resolution and averaged down. Shading that moves with the cloth
(folds, seams, the dark under a hem or the chin) is painted; light is not.
"""

import numpy as np

from render import garments
from render.appearance import Appearance
from render.body import SUPERSAMPLING, TEXTURE_SIZE, Body
from render.garments import EYE_LEVEL, HEAD_CENTRE_Y, WAIST, Coverage, skirt_span
from render.attachments import SKIRT_BOTTOM, SKIRT_TOP
from render.surface import BODY, EYE, HAIR, SKIRT, Surface, smoothstep
from render.uv_bake import NOISE_BANDS

SAMPLE = 0.0035  # metres that a sample of the atlas is wide on the trunk: the width of an antialiased edge
_MOUTH, _NOSE, _BROW = 0.727, 0.752, 0.8225  # heights on the reference face


def paint_texture(body: Body, appearance: Appearance) -> np.ndarray:
    """The texture of a person.

    Args:
        body: From `load_body`.
        appearance: What to paint.

    Returns:
        uint8 [256 256 3] RGB, row 0 at v = 1. Texels outside the UV islands repeat the nearest one inside.
    """
    painter = _Painter(body, appearance)
    painter.paint()
    samples = np.rint(np.clip(painter.color, 0.0, 1.0) * 255.0).astype(np.uint8)[body.atlas.fill]
    blocks = samples.reshape(TEXTURE_SIZE, SUPERSAMPLING, TEXTURE_SIZE, SUPERSAMPLING, 3)
    total = blocks.sum(axis=(1, 3), dtype=np.uint16)
    return ((total + SUPERSAMPLING**2 // 2) // SUPERSAMPLING**2).astype(np.uint8)


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


def bump(value: np.ndarray, width: float) -> np.ndarray:
    """A soft bump of height 1 at 0."""
    return np.exp(-((value / width) ** 2))


class _Painter:
    """Colours float32 [N 3] of the covered samples, painted from the skin outwards."""

    def __init__(self, body: Body, appearance: Appearance) -> None:
        self.a = appearance
        self.surface = body.atlas.surface
        self.fields = body.atlas.noise
        self.rng = np.random.default_rng(appearance.seed)
        self.color = np.empty_like(self.surface.position)
        self.color[:] = appearance.skin

    def paint(self) -> None:
        cover = garments.coverage(self.a, self.surface, softness=0.0025)
        head = np.flatnonzero((self.surface.group("head", "neck") > 0.02) & (self.surface.part == BODY))
        self._skin(cover)
        self._face(head, self.surface.take(head))
        self._eyes()
        folds = self._folds()
        self._legwear(cover, folds)
        self._top(cover, folds)
        self._shoes(cover)
        self._hair(cover)

    def _noise(self, name: str, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """A fresh sample of a noise band at some texels, about unit variance."""
        fields = self.fields[list(NOISE_BANDS).index(name)]
        weights = self.rng.normal(0.0, 1.0, len(fields)).astype(np.float32)
        weights /= np.sqrt((weights**2).sum())
        total = weights[0] * fields[0, index]
        for weight, field in zip(weights[1:], fields[1:], strict=True):
            total = total + weight * field[index]
        return total.astype(np.float32)

    def _blend(self, index: np.ndarray, color: np.ndarray | tuple[float, ...], share: np.ndarray) -> None:
        """Moves the colours at `index` [n] towards a colour [3] or colours [n 3] by `share` [n]."""
        old = self.color[index]
        self.color[index] = old + share[:, None] * (np.asarray(color, np.float32) - old)

    def _darken(self, index: np.ndarray, share: np.ndarray) -> None:
        self.color[index] *= (1.0 - share)[:, None]

    # ------------------------------------------------------------------ skin and face

    def _skin(self, cover: Coverage) -> None:
        index = np.flatnonzero((cover.top < 1.0) & (cover.bottom < 1.0) & (self.surface.part == BODY))
        s = self.surface.take(index)
        tone = 1.0 + 0.028 * self._noise("broad", index) + 0.014 * self._noise("medium", index)
        self.color[index] *= tone[:, None]
        # Blood shows at knuckles, elbows and knees.
        joint = bump(s.arm - 1.0, 0.12) * (s.group("lower_arm", "upper_arm") > 0.5) + bump(s.leg - 1.0, 0.1) * (
            s.group("upper_leg", "lower_leg") > 0.5
        )
        flush = 0.5 * joint + 0.7 * smoothstep(s.arm, 2.15, 2.5) * s.group("hand")
        self.color[index] *= 1.0 - 0.07 * flush[:, None] * np.array([0.3, 1.0, 1.0], np.float32)
        # Between the fingers, under the chin, in the armpits.
        self._darken(
            index, 0.25 * s.group("hand") * smoothstep(-s.normal[:, 2] * 0.0 + self._noise("fine", index), 1.2, 2.5)
        )

    def _face(self, index: np.ndarray, s: Surface) -> None:
        a = self.a
        x, y, z = s.position.T
        across = np.abs(x)
        front = smoothstep(-y, 0.085, 0.115)
        flush = np.array([0.25, 1.0, 0.85], np.float32)

        def redden(share: np.ndarray) -> None:
            self.color[index] *= 1.0 - share[:, None] * flush

        redden(0.10 * front * bump(np.hypot(across - 0.042, z - 0.765), 0.022))  # cheeks
        redden(0.09 * front * bump(np.hypot(x, z - 0.762), 0.014))  # nose
        redden(0.08 * (across > 0.075) * bump(z - 0.79, 0.04))  # ears
        # Hollows: beside the nose, under the brows, below the lips, under the chin and jaw, around the neck.
        self._darken(index, 0.16 * front * bump(across - 0.0165 - 0.25 * (0.77 - z), 0.0035) * bump(z - 0.763, 0.012))
        self._darken(index, 0.10 * front * bump(across - 0.026 - 0.5 * (0.75 - z), 0.004) * bump(z - 0.742, 0.013))
        self._darken(index, 0.26 * front * bump(across - 0.030, 0.021) * bump(z - EYE_LEVEL - 0.006, 0.0085))
        self._darken(index, 0.12 * front * bump(across - 0.030, 0.018) * bump(z - EYE_LEVEL + 0.012, 0.006))
        self._darken(index, 0.16 * front * bump(x, 0.018) * bump(z - 0.708, 0.005))
        self._darken(
            index, 0.30 * smoothstep(0.690 - z, -0.004, 0.012) * smoothstep(z, 0.63, 0.67) * smoothstep(-y, -0.02, 0.06)
        )
        self._darken(index, 0.55 * front * bump(np.hypot((across - 0.0085) / 1.25, z - 0.7495), 0.0036))  # nostrils
        self._darken(index, 0.14 * front * bump(x, 0.016) * bump(z - 0.7455, 0.0035))  # under the nose
        if a.age > 0.8:
            wrinkles = band((z - 0.848 + 0.004 * np.cos(x * 60.0)) % 0.011 - 0.0055, 0.0008) * front * (z > 0.835)
            folds = bump(across - 0.034 - 0.45 * (0.745 - z), 0.0025) * bump(z - 0.735, 0.014) * front
            self._darken(index, (a.age - 0.8) * 0.5 * wrinkles + (a.age - 0.8) * 0.9 * folds)

        # Beard: jaw, chin and upper lip, not the lips and the cheeks.
        if a.beard > 0:
            jaw = edge(0.748 - 0.35 * (0.055 - across) * (across < 0.055) - z + 0.012, 0.012) * smoothstep(
                z, 0.665, 0.69
            )
            area = (
                jaw
                * smoothstep(HEAD_CENTRE_Y + 0.022 - y, 0.0, 0.02)
                * (1.0 - 0.9 * band(x, 0.024, 0.006) * band(z - _MOUTH, 0.009, 0.005))
            )
            area = np.maximum(area, front * band(x, 0.027, 0.008) * band(z - 0.742, 0.005, 0.005))
            area *= 0.82 + 0.18 * self._noise("fine", index)
            self._blend(index, np.asarray(a.hair_color) * 0.85, np.clip(area * (0.25 + 0.65 * a.beard), 0.0, 0.92))

        # Lips and the line between them.
        width = 0.0245
        arch = np.clip(1.0 - (x / width) ** 2, 0.0, 1.0)
        upper = edge(0.0095 * arch**0.6 * (0.86 + 0.14 * bump(across - 0.007, 0.004)) - (z - _MOUTH)) * (z >= _MOUTH)
        lower = edge(0.0115 * arch**0.7 - (_MOUTH - z)) * (z < _MOUTH)
        lips = front * (across < width) * (upper * 0.95 + lower * 0.85)
        self._blend(index, a.lip_color, lips * (0.95 if a.female else 0.75))
        self._darken(index, 0.12 * front * upper * (across < width))
        self._darken(index, 0.55 * front * band(x, width) * bump(z - _MOUTH + 0.001 * arch, 0.0016))

        # Eyebrows, then lids and lashes around the eye.
        brow_line = _BROW + 0.006 * smoothstep(across, 0.014, 0.038) - 0.010 * smoothstep(across, 0.040, 0.056)
        thickness = (0.0030 if a.female else 0.0042) * (1.0 - 0.55 * smoothstep(across, 0.034, 0.056))
        brow = front * band(z - brow_line, thickness, 0.0030) * band(across - 0.0345, 0.0205, 0.006)
        self._blend(index, a.brow_color, 0.85 * brow * np.clip(0.9 + 0.12 * self._noise("fine", index), 0.0, 1.0))
        opening = np.clip(1.0 - ((across - 0.0305) / 0.0155) ** 2, 0.0, 1.0)
        upper_lid = bump(z - EYE_LEVEL - 0.0062 * np.sqrt(opening), 0.0019) * (opening > 0.02)
        lower_lid = bump(z - EYE_LEVEL + 0.0052 * np.sqrt(opening), 0.0016) * (opening > 0.02)
        inside = band(z - EYE_LEVEL, 0.0055 * np.sqrt(opening), 0.002) * (opening > 0.0)
        self._blend(index, (0.10, 0.075, 0.065), front * (0.85 if a.female else 0.7) * upper_lid)
        self._blend(index, (0.16, 0.10, 0.085), front * 0.35 * lower_lid)
        self._darken(index, 0.5 * front * inside)

    def _eyes(self) -> None:
        index = np.flatnonzero(self.surface.part == EYE)
        x, y, z = self.surface.position[index].T
        self.color[index] = np.array([0.60, 0.57, 0.54], np.float32) * (0.72 + 0.28 * min(1.0, max(self.a.skin) / 0.6))
        off = np.hypot(np.abs(x) - 0.0305, z - EYE_LEVEL + 0.0005)
        self._blend(index, self.a.eye_color, edge(0.0068 - off, 0.0015) * (y < -0.12))
        self._blend(index, (0.03, 0.03, 0.03), edge(0.0030 - off, 0.0015) * (y < -0.12))
        self._darken(index, 0.55 * smoothstep(z - EYE_LEVEL, 0.001, 0.006))

    # ------------------------------------------------------------------ cloth

    def _folds(self) -> np.ndarray:
        """Shading of folds in cloth, float32 [N], about -1 to 1: soft hills with sharper valleys."""
        s = self.surface
        trunk = self._noise("medium") * 0.5 + self._noise("across") * 0.5
        down = self._noise("down")
        limb = s.group("upper_leg", "lower_leg")
        soft = trunk * (1.0 - 0.6 * limb) + down * 0.55 * limb
        ridged = 1.0 - np.abs(soft) * 1.6
        return (0.6 * soft + 0.4 * np.minimum(ridged, 0.6)).astype(np.float32)

    def _fold_strength(self, s: Surface) -> np.ndarray:
        arm = (s.is_arm > 0.5) * (
            0.5 * bump(s.arm - 1.02, 0.22) + 0.55 * bump(s.arm - 1.9, 0.25) + 0.35 * bump(s.arm, 0.25)
        )
        leg_weight = s.group("upper_leg", "lower_leg")
        leg = leg_weight * (
            0.7 * bump(s.leg - 1.02, 0.18) + 0.8 * bump(s.leg - 1.92, 0.18) + 0.5 * bump(s.leg - 0.1, 0.2)
        )
        waist = (s.is_arm < 0.5) * bump(s.position[:, 2] - 0.10, 0.12) * 0.55
        return 0.35 + arm + leg + waist

    def _legwear(self, cover: Coverage, folds: np.ndarray) -> None:
        a = self.a
        socks = np.flatnonzero(cover.sock)
        self._blend(socks, a.sock_color, cover.sock[socks] * (0.9 if a.tights else 1.0))
        share = np.maximum(cover.bottom, cover.skirt)
        index = np.flatnonzero(share)
        s = self.surface.take(index)
        height = self._height(s)
        color = np.broadcast_to(np.asarray(a.bottom_color, np.float32), (len(index), 3)).copy()
        fine = self._noise("fine", index)
        x, y, _ = s.position.T
        on_skirt = s.part == SKIRT
        if a.has_skirt and a.top in ("coat", "dress"):
            # The lower part of a coat or dress goes on with the pattern of the top.
            cloth = np.flatnonzero(on_skirt)
            color[cloth] = self._pattern(s.take(cloth), height[cloth])
            if a.top == "coat":
                self._front_of_coat(color, on_skirt, s, height)
        elif a.bottom_pattern in ("plaid", "dots"):
            other = np.asarray(a.colors[1], np.float32)
            if a.bottom_pattern == "plaid":
                share_here = 0.5 * stripes(height, 0.075, 0.45, 0.1) + 0.5 * stripes(s.around, 0.085, 0.45, 0.1)
            else:
                share_here = self._dots(height, s.around, 0.06)
            color += share_here[:, None] * (other - color)
        if a.bottom == "jeans":
            front = smoothstep(-s.normal[:, 1], -0.1, 0.7)
            worn = 0.75 * bump(s.leg - 0.45, 0.33) * front + 0.45 * bump(s.leg - 1.0, 0.13) * front
            worn += 0.35 * bump(s.leg - 0.25, 0.25) * smoothstep(s.normal[:, 1], 0.2, 0.8)
            color += (0.13 * worn)[:, None] * np.sqrt(color.max(axis=1, keepdims=True))
            color *= (1.0 + 0.045 * fine)[:, None]
            seam = band(np.abs(s.around) - 0.118, 0.003) * (s.leg > 0.0) + band(x, 0.002) * (height < 0.13) * (y < 0)
            color *= (1.0 - 0.22 * np.clip(seam, 0.0, 1.0))[:, None]
            color += (0.16 * band(np.abs(s.around) - 0.126, 0.0012) * (s.leg > 0.0))[:, None] * np.array(
                [0.8, 0.55, 0.2], np.float32
            )
        if a.bottom_pattern == "side":
            on_leg = s.group("upper_leg", "lower_leg") > 0.5
            stripe = np.where(on_leg, band(s.around - 0.112, 0.011), band(np.abs(s.around) - 0.206, 0.011)) * (s.part == BODY)
            other = np.asarray(a.colors[1] if a.top != "dress" else (0.85, 0.85, 0.85), np.float32)
            color += stripe[:, None] * (other - color)
        if a.bottom in ("trousers", "jeans", "shorts") and a.bottom_pattern == "plain":
            # Pockets: slanted in front, patches behind.
            pocket = (
                band(height - 0.085 - 0.8 * (0.10 - np.abs(x)), 0.0022) * (np.abs(np.abs(x) - 0.11) < 0.028) * (y < 0)
            )
            patch = np.maximum(np.abs(np.abs(x) - 0.072) / 0.042, np.abs(height - 0.055) / 0.047)
            pocket = np.maximum(pocket, 0.7 * band(patch - 1.0, 0.06, 0.06) * (y > 0.0))
            color *= (1.0 - 0.28 * pocket * (s.part == BODY))[:, None]
        belt = band(height - WAIST + 0.012, 0.014) * (s.part == BODY)
        color *= (1.0 - (0.45 if a.bottom in ("trousers", "jeans") else 0.15) * belt)[:, None]
        hem = band(s.leg - a.leg + 0.03, 0.012, 0.008) * (s.part == BODY)
        color *= (1.0 - 0.18 * hem)[:, None]
        amount = (0.035 if a.bottom == "leggings" else 0.085) * self._fold_strength(s)
        shade = 1.0 + np.where(on_skirt, self._pleats(s), amount * folds[index]) + 0.012 * fine
        shade *= 1.0 - 0.35 * bump(s.position[:, 2] + 0.03, 0.06) * bump(x, 0.03) * (s.part == BODY)  # crotch
        if not a.tucked and a.top != "dress":
            shade *= 1.0 - 0.30 * smoothstep(a.hem - height, 0.035, 0.0) * (height < a.hem) * ~on_skirt  # under the hem
        self._blend(index, color * shade[:, None], share[index])
        # Socks and skin just below the cloth lie in its shade.
        below = np.flatnonzero(
            (self.surface.part == BODY) & (self.surface.leg > a.leg) & (self.surface.leg < a.leg + 0.15)
        )
        leg = self.surface.leg[below]
        self._darken(below, 0.28 * smoothstep(a.leg + 0.12 - leg, 0.0, 0.12) * (1.0 - cover.bottom[below]))

    def _pleats(self, s: Surface) -> np.ndarray:
        return 0.07 * np.sin(s.around * 62.0 + 2.0 * s.position[:, 2]) * smoothstep(-s.position[:, 2], -0.15, 0.1)

    def _height(self, s: Surface) -> np.ndarray:
        """Height of the points on the trunk; on the skirt, where they come to hang when it is this long."""
        top, bottom = skirt_span(self.a) if self.a.has_skirt else (SKIRT_TOP, SKIRT_BOTTOM)
        hanging = top - (SKIRT_TOP - s.position[:, 2]) / (SKIRT_TOP - SKIRT_BOTTOM) * (top - bottom)
        return np.where(s.part == SKIRT, hanging, s.position[:, 2])

    def _dots(self, height: np.ndarray, around: np.ndarray, period: float) -> np.ndarray:
        row = np.floor(height / period)
        across = (np.abs(around) / period + 0.5 * (row % 2)) % 1.0 - 0.5
        return edge(period * (0.26 - np.hypot(height / period - row - 0.5, across)))

    def _pattern(self, s: Surface, height: np.ndarray) -> np.ndarray:
        """Colours float32 [n 3] of the top's cloth."""
        a = self.a
        main, second, third, _ = (np.asarray(color, np.float32) for color in a.colors)
        color = np.broadcast_to(main, (len(height), 3)).copy()
        on_arm = s.is_arm > 0.5
        along = np.where(on_arm, 0.50 - 0.27 * s.arm, height)
        around = np.abs(s.around)
        size, phase = a.pattern_scale, a.pattern_phase

        def mix(other: np.ndarray, share: np.ndarray) -> None:
            color[:] += share[:, None] * (other - color)

        if a.pattern == "stripes":
            period = 0.075 * size
            mix(second, stripes(along, period, 0.25 + 0.45 * phase, phase))
            if phase > 0.6:
                mix(third, stripes(along, period, 0.1, phase + 0.5))
        elif a.pattern == "vertical":
            mix(second, stripes(around, 0.042 * size, 0.2 + 0.35 * phase, 0.5))
        elif a.pattern == "plaid":
            period = 0.085 * size
            mix(second, 0.5 * stripes(along, period, 0.45, phase) + 0.5 * stripes(around, period, 0.45, 0.5))
            mix(third, 0.6 * np.maximum(stripes(along, period, 0.09, phase + 0.5), stripes(around, period, 0.09, 0.0)))
        elif a.pattern == "dots":
            mix(second, self._dots(along, s.around, 0.045 * size))
        elif a.pattern == "gradient":
            mix(second, smoothstep(height, 0.0, 0.5))
        elif a.pattern == "block":
            level = 0.20 + 0.22 * phase
            mix(second, edge(along - level))
            mix(third, band(along - level, 0.016 * size))
        elif a.pattern == "yoke":
            mix(second, np.where(on_arm, 1.0, edge(height - 0.50 + 0.12 * np.abs(s.position[:, 0])) * (phase > 0.5)))
        elif a.pattern == "camouflage":
            noise = self._camouflage
            mix(second, edge(noise[0], 0.15))
            mix(third, edge(noise[1] - 0.35, 0.15))
            mix(main * 0.4, edge(noise[2] - 0.7, 0.15))
        elif a.pattern in ("logo", "text"):
            self._print(color, s, height, second, third)
        return color

    def _print(self, color: np.ndarray, s: Surface, height: np.ndarray, second: np.ndarray, third: np.ndarray) -> None:
        """A print on the chest, and sometimes on the back."""
        a = self.a
        size, phase = a.pattern_scale, a.pattern_phase
        x = s.position[:, 0]
        front = smoothstep(-s.normal[:, 1], 0.05, 0.3) * (s.is_arm < 0.5)
        back = smoothstep(s.normal[:, 1], 0.05, 0.3) * (s.is_arm < 0.5) * (phase > 0.55)
        kind = int(phase * 1000) % 6
        radius = 0.075 * size
        u, v = x / radius, (height - 0.37) / radius
        if a.pattern == "text":
            row = np.floor(v * 2.2)
            letters = np.random.default_rng(a.seed + 1).uniform(size=(16, 24)) < 0.68
            column = np.floor(u * 5.0).astype(int)
            letter = letters[row.astype(int) % 16, column % 24] & (np.abs(column) < 8) & (np.abs(row + 0.5) < 2)
            gap = band((v * 2.2) % 1.0 - 0.5, 0.32, 0.05) * band((u * 5.0) % 1.0 - 0.5, 0.40, 0.08)
            shape = letter * gap
        elif kind == 0:
            shape = edge(radius * (1.0 - np.hypot(u, v)))
        elif kind == 1:
            shape = edge(radius * (1.0 - np.maximum(np.abs(u) / 1.35, np.abs(v) / 0.8)))
        elif kind == 2:
            shape = edge(radius * (1.0 - np.maximum(np.abs(u) * 1.6 + v * 0.8, -v * 1.2)))
        elif kind == 3:
            shape = stripes(height, 0.034 * size, 0.5, 0.0) * edge(
                radius * (1.0 - np.maximum(np.abs(u) / 1.3, np.abs(v)))
            )
        elif kind == 4:
            angle = np.arctan2(u, v)
            shape = edge(radius * (0.72 + 0.3 * np.cos(5.0 * angle) - np.hypot(u, v)))
        else:
            u, v = (x - 0.075) / 0.028, (height - 0.43) / 0.028  # a badge over the heart
            shape = edge(0.028 * (1.0 - np.maximum(np.abs(u), np.abs(v))))
        inner = edge(radius * (0.55 - np.hypot(u * 0.9, v * 1.1))) * (kind in (0, 1, 2, 4)) * (a.pattern == "logo")
        for side in (front, back):
            color += (shape * side)[:, None] * (second - color)
            color += (inner * side)[:, None] * (third - color)

    def _front_of_coat(self, color: np.ndarray, here: np.ndarray, s: Surface, height: np.ndarray) -> None:
        """Closing or opening down the front of jackets and coats."""
        a = self.a
        x = np.abs(s.position[:, 0])
        front = (s.normal[:, 1] < 0.1) & (s.is_arm < 0.5) & here
        main, inner = np.asarray(a.colors[0], np.float32), np.asarray(a.colors[3], np.float32)
        if a.open_front:
            below = np.asarray(a.bottom_color, np.float32)
            gap = 0.032 + 0.035 * smoothstep(0.5 - height, 0.0, 0.5)
            under = np.where((height < 0.03)[:, None], below * 0.7, inner)
            color += (edge(gap - x) * front)[:, None] * (under - color)
            color += (0.55 * bump(gap - 0.004 - x, 0.007) * (x < gap) * front)[:, None] * (under * 0.45 - color)
            color += (band(x - gap - 0.003, 0.003) * front)[:, None] * (main * 0.6 - color)
        else:
            light = a.pattern_phase > 0.7
            color += (band(x, 0.0032) * front)[:, None] * (np.full(3, 0.75 if light else 0.08, np.float32) - color)
            if a.top == "coat":
                button = edge(0.008 - np.hypot(x - 0.035, (height + 0.035) % 0.11 - 0.055)) * (height < 0.42) * front
                color += (0.8 * button)[:, None] * (main * 0.35 + 0.02 - color)

    def _top(self, cover: Coverage, folds: np.ndarray) -> None:
        a = self.a
        index = np.flatnonzero(cover.top)
        s = self.surface.take(index)
        height = self._height(s)
        x, y, z = s.position.T
        on_arm = s.is_arm > 0.5
        front = s.normal[:, 1] < 0.1
        fine = self._noise("fine", index)
        if a.pattern == "camouflage":
            self._camouflage = [self._noise("medium", index) for _ in range(3)]
        color = self._pattern(s, height)
        main = np.asarray(a.colors[0], np.float32)
        if a.top in ("jacket", "coat"):
            self._front_of_coat(color, np.ones(len(index), bool), s, height)
        dark = np.zeros(len(index), np.float32)
        rim = cover.neck_rim[index]
        end = a.sleeve - s.arm
        if a.top in ("tee", "tank", "dress", "sweater"):
            collar = edge(0.016 + rim) * (rim > -0.03) * ~on_arm
            trim = np.asarray(a.colors[1], np.float32) if a.pattern in ("yoke", "stripes") else main * 0.86
            color += collar[:, None] * (trim - color)
            dark += 0.25 * band(rim + 0.018, 0.0015) * ~on_arm
        if a.top in ("tee", "polo", "dress"):
            dark += 0.16 * (band(end - 0.055, 0.006, 0.006) * on_arm + band(height - a.hem - 0.016, 0.0018) * ~on_arm)
        if a.top in ("sweater", "hoodie") or (a.top == "jacket" and a.pattern_phase < 0.5):
            cuff = np.maximum(edge(0.17 - end, 0.012) * on_arm, edge(a.hem + 0.048 - height) * ~on_arm)
            ribs = 0.5 + 0.5 * np.cos(s.around * 600.0)
            color += cuff[:, None] * (main * (0.80 + 0.08 * ribs[:, None]) - color)
        if a.top == "shirt" or a.top == "polo":
            low = a.hem if a.top == "shirt" else 0.47
            placket = band(np.abs(x) - 0.014, 0.0012) * front * ~on_arm * (height > low)
            button = edge(0.0048 - np.hypot(x, (height + 0.02) % 0.075 - 0.0375)) * front * ~on_arm * (height > low)
            dark += 0.22 * placket
            color += (0.8 * button)[:, None] * (np.float32(0.9) - 0.6 * (main.mean() > 0.6) - color)
            if a.top == "shirt" and a.pattern_phase > 0.4:
                pocket = np.maximum(np.abs(x - 0.075) / 0.036, np.abs(height - 0.405) / 0.04)
                dark += 0.2 * band(pocket - 1.0, 0.05, 0.06) * front * ~on_arm
            dark += 0.2 * band(end - 0.14, 0.006, 0.008) * on_arm
        if a.top in ("shirt", "polo", "jacket", "coat"):
            collar = edge(rim + 0.036 + 0.02 * bump(x, 0.03) * front) * ~on_arm
            shade = main * 0.9 if a.pattern_phase < 0.7 else np.asarray(a.colors[1], np.float32)
            color += (collar * (1.0 - 0.0 * x))[:, None] * (shade - color)
            dark += 0.4 * band(rim + 0.038 + 0.02 * bump(x, 0.03) * front, 0.002) * ~on_arm
        if a.top == "coat" and not a.open_front:
            lapel = band(np.abs(x) - 0.02 - 0.35 * (height - 0.40), 0.0025) * (height > 0.40) * front * ~on_arm
            dark += 0.5 * lapel
        if a.top == "hoodie":
            pocket = np.maximum(
                np.abs(x) / (0.095 - 0.25 * np.maximum(height - 0.10, 0.0)), np.abs(height - 0.115) / 0.055
            )
            dark += 0.3 * band(pocket - 1.0, 0.03, 0.04) * front * ~on_arm
            cord = band(np.abs(x) - 0.022, 0.0028) * (height > 0.46) * (height < 0.585) * front * ~on_arm
            color += (0.75 * cord)[:, None] * (np.float32(0.85 if main.mean() < 0.6 else 0.25) - color)
            dark += 0.3 * bump(rim + 0.03, 0.012) * ~on_arm
        if a.top == "jacket":
            pocket = band(np.abs(x) - 0.105 - 0.35 * (height - 0.12), 0.0022) * (np.abs(height - 0.12) < 0.05)
            dark += 0.4 * pocket * front * ~on_arm
        # Seams of shoulder and side, folds, the dark of the armpit.
        dark += 0.20 * bump(s.is_arm - 0.5, 0.25) * (np.abs(s.is_arm - 0.5) < 0.45)
        armpit = bump(np.hypot(np.abs(x) - 0.185, z - 0.46), 0.05) * smoothstep(-s.normal[:, 2], -0.2, 0.6)
        dark += 0.30 * armpit
        stiffness = {"tank": 0.05, "tee": 0.07, "sweater": 0.06, "jacket": 0.09, "coat": 0.08}.get(a.top, 0.08)
        shade = (1.0 + stiffness * self._fold_strength(s) * folds[index] + 0.012 * fine) * (
            1.0 - np.clip(dark, 0.0, 0.8)
        )
        if a.top == "sweater":
            shade *= 1.0 + 0.02 * np.cos(s.around * 420.0)
        self._blend(index, color * shade[:, None], cover.top[index])
        # The arm just below a sleeve and the neck just above a collar lie in shade.
        arm = np.flatnonzero(
            (self.surface.is_arm > 0.5) & (self.surface.arm > a.sleeve) & (self.surface.arm < a.sleeve + 0.2)
        )
        shade = 0.30 * smoothstep(a.sleeve + 0.16 - self.surface.arm[arm], 0.0, 0.16) * (1.0 - cover.top[arm])
        self._darken(arm, shade)
        rim = cover.neck_rim
        neck = np.flatnonzero((rim > 0.0) & (rim < 0.025) & (self.surface.is_arm < 0.5) & (self.surface.part == BODY))
        self._darken(neck, 0.25 * smoothstep(0.02 - rim[neck], 0.0, 0.02) * (1.0 - cover.top[neck]))

    # ------------------------------------------------------------------ shoes and hair

    def _shoes(self, cover: Coverage) -> None:
        a = self.a
        index = np.flatnonzero(cover.shoe)
        s = self.surface.take(index)
        _, y, z = s.position.T
        upper, sole = (np.asarray(color, np.float32) for color in a.shoe_colors)
        color = np.broadcast_to(upper, (len(index), 3)).copy()
        forward = y  # the toes point to -Y
        if a.shoe == "sneaker":
            tongue = (s.normal[:, 2] > 0.25) & (forward < -0.045) & (forward > -0.13) & (z > -0.79)
            laces = stripes(forward, 0.017, 0.45, 0.0) * tongue * band(s.around, 0.035, 0.01)
            lace = np.full(3, 0.85 if upper.mean() < 0.65 else 0.3, np.float32)
            color += (0.8 * laces)[:, None] * (lace - color)
            color += (0.7 * edge(-0.145 - forward, 0.008) * (z < -0.775))[:, None] * (sole - color)  # toe cap
            if a.pattern_phase > 0.35:
                swoosh = (
                    band(z + 0.775 + 0.25 * (forward + 0.07), 0.006)
                    * (np.abs(s.normal[:, 0]) > 0.5)
                    * (forward < -0.02)
                )
                color += (swoosh * (forward > -0.12))[:, None] * (lace - color)
        elif a.shoe == "shoe":
            color *= (1.0 - 0.3 * band(forward + 0.125, 0.004))[:, None]
        low = edge(-0.800 - z, 0.004)
        color += low[:, None] * (sole - color)
        color *= (1.0 - 0.3 * band(z + 0.799, 0.0025))[:, None]
        color *= (1.0 + 0.04 * self._noise("medium", index))[:, None]
        self._blend(index, color, cover.shoe[index])

    def _hair(self, cover: Coverage) -> None:
        a = self.a
        index = np.flatnonzero(cover.hair)
        s = self.surface.take(index)
        z = s.position[:, 2]
        strand = self._noise("strand", index)
        tone = 1.0 + 0.20 * strand + 0.10 * self._noise("broad", index)
        if a.hair_style == "cropped":
            tone = 1.0 + 0.12 * self._noise("fine", index)
        tone += 0.10 * smoothstep(z, EYE_LEVEL, 0.9) - 0.12 * smoothstep(0.75 - z, 0.0, 0.1)
        color = np.asarray(a.hair_color, np.float32) * np.maximum(tone, 0.35)[:, None]
        share = cover.hair[index]
        if a.hair_style == "cropped":
            share = share * (0.88 - 0.25 * smoothstep(EYE_LEVEL + 0.01 - z, 0.0, 0.05))
        self._blend(index, color, share)
