"""Paints the texture of a person: skin, face, hair, garments and their folds, in the body's UV space.

Every layer is a function of the surface attributes of the texels, that is of the place on the reference body, so
patterns run on over UV seams. Painted at twice the resolution and averaged down. Shading that moves with the cloth
(folds, seams, the dark under a hem or the chin) is painted; light is not.

Each layer draws its noise from a stream of its own: who changes shoes keeps every other texel.
"""

from collections.abc import Mapping

import numpy as np

from render.figure import coverage as garments
from render.figure.fronts_and_hoods import front_gap
from render.figure.skirt import SKIRT_BOTTOM, SKIRT_TOP
from render.figure.body import SUPERSAMPLING, Body
from render.figure.coverage import EYE_LEVEL, WAIST, skirt_span
from render.geometry.surface import COLLAR, PANEL, Surface, smoothstep
from render.geometry.uv_bake import NOISE_BANDS
from render.paint import fabrics, faces, prints
from render.paint.fabrics import Weave, band, bump, edge, mix, stripes
from render.people.appearance import Appearance


def paint_texture(body: Body, appearance: Appearance, cloth: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """The texture of a person.

    Args:
        body: From `load_body`.
        appearance: What to paint.
        cloth: The user's cloth images by name, uint8 [height width 3]: at least those that `appearance.cloth` names.

    Returns:
        uint8 [256 256 3] RGB, row 0 at v = 1. Texels outside the UV islands repeat the nearest one inside.

    Raises:
        ValueError: A cloth image that the appearance names is missing.
    """
    cloth = cloth or {}
    missing = sorted({name for name in appearance.cloth if name} - set(cloth))
    if missing:
        raise ValueError(
            f"The appearance is made of the cloth images {missing}, but among those handed over are only "
            f"{sorted(cloth)}: draw with the folder of cloth images that it was sampled with."
        )
    painter = _Painter(body, appearance, cloth)
    painter.paint()
    samples = np.rint(np.clip(painter.color, 0.0, 1.0) * 255.0).astype(np.uint16)[body.atlas.fill]
    samples = samples.reshape(body.atlas.size, body.atlas.size, 3)
    step = SUPERSAMPLING
    total = np.full((body.atlas.size // step, body.atlas.size // step, 3), step**2 // 2, np.uint16)
    for row in range(step):
        for column in range(step):
            total += samples[row::step, column::step]
    return (total // step**2).astype(np.uint8)


_SOFT = 0.0025  # metres: half the width of the edge of a garment
_ANKLE_SOCK = 1.90  # where low socks end along the leg


class _Painter:
    """Colours float32 [N 3] of the atlas's samples, painted from the skin outwards, a run of regions at a time."""

    def __init__(self, body: Body, appearance: Appearance, cloth: Mapping[str, np.ndarray]) -> None:
        self.a = appearance
        self.atlas = body.atlas
        self.cloth = cloth
        self.color = np.empty_like(self.atlas.surface.position)
        self.color[:] = appearance.skin

    def paint(self) -> None:
        layers = (
            (self._skin, "foot", "scalp"),
            (self._face, "face", "face"),
            (self._neck, "neck", "face"),
            (self._eyes, "eye", "eye"),
            (self._legwear, "foot", "hip"),
            (self._skirt, "skirt", "skirt"),
            (self._loose, "panel", "hood"),
            (self._top, "hip", "neck"),
            (self._shoes, "foot", "foot"),
            (self._hair, "neck", "hair"),
        )
        for number, (layer, first, last) in enumerate(layers):
            self.rng = np.random.default_rng([self.a.seed, number])
            layer(self.atlas.span(first, last))

    def _noise(self, name: str, span: slice) -> np.ndarray:
        """A fresh sample of a noise band on some regions, about unit variance."""
        fields = self.atlas.noise[list(NOISE_BANDS).index(name)]
        weights = self.rng.normal(0.0, 1.0, len(fields)).astype(np.float32)
        weights /= np.sqrt((weights**2).sum())
        return weights @ fields[:, span]

    # ------------------------------------------------------------------ skin and face

    def _skin(self, span: slice) -> None:
        color = self.color[span]
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
        faces.paint_face(self.color[span], self.atlas, self.a, self.rng)

    def _neck(self, span: slice) -> None:
        """The shade of chin and jaw."""
        s, color = self.atlas.surface.take(span), self.color[span]
        _, y, z = s.position.T
        shade = smoothstep(0.690 - z, -0.004, 0.012) * smoothstep(z, 0.62, 0.67) * smoothstep(-y, -0.02, 0.06)
        color *= (1.0 - 0.26 * shade)[:, None]

    def _eyes(self, span: slice) -> None:
        faces.paint_eyeballs(self.color[span], self.atlas.surface.position[span], self.a)

    # ------------------------------------------------------------------ cloth

    def _folds(self, span: slice, hanging: np.ndarray | float, creases: tuple[fabrics.Creases, ...] = ()) -> np.ndarray:
        """Hills and valleys of cloth, about -1 to 1: soft hills, and creases that are narrow and dark.

        `hanging` [n] is 1 where folds run down, 0 where they run across a limb.
        """
        across = self._noise("across", span)
        medium = self._noise("medium", span)
        soft = 0.45 * medium + 0.60 * (across + hanging * (self._noise("down", span) - across))
        crease = np.maximum(1.0 - 2.8 * np.abs(soft - 0.30), 0.0)
        folds = 0.75 * soft - (0.45 + 0.35 * self.a.wear) * crease
        for run in creases:
            amount = float(self.rng.uniform(0.7, 1.5)) * (0.8 + 0.5 * self.a.wear)
            wobble = run.ridge + 0.4 * medium[run.index] + float(self.rng.uniform())
            folds[run.index] += amount * run.depth * (1.6 * np.abs(np.sin(np.pi * wobble)) - 1.0)
        return folds

    def _cloth(self, span: slice, weave: Weave, *, top: bool) -> np.ndarray:
        """Colours float32 [n 3] of the cloth of top or bottom, flat: pattern, or the user's image."""
        a = self.a
        color = np.empty((len(weave.along), 3), np.float32)
        color[:] = a.colors[0] if top else a.bottom_color
        name = a.cloth[0 if top else 1]
        if name:
            fabrics.lay_cloth(color, self.cloth[name], weave, a.cloth_scale, a.pattern_phase)
            return color
        pattern = a.pattern if top else a.bottom_pattern
        red, green, blue = a.bottom_color
        third = a.colors[2] if top else (0.6 * red, 0.6 * green, 0.6 * blue)
        fabrics.lay_pattern(
            color,
            pattern,
            weave,
            a.colors[1] if top else a.bottom_accent,
            third,
            a.pattern_scale,
            a.pattern_phase if top else (a.pattern_phase * 7.0) % 1.0,
            lambda noise: self._noise(noise, span),
        )
        return color

    def _shade_cloth(
        self, color: np.ndarray, span: slice, fabric: str, weave: Weave, folds: np.ndarray, lit: np.ndarray
    ) -> None:
        """Lays light and shade over cloth (in place): the weave, and `lit` [n] for folds, seams and shadows."""
        factor, gloss = fabrics.weave_shading(fabric, weave, folds, lambda noise: self._noise(noise, span))
        color *= (lit * factor)[:, None]
        if gloss is not None:
            color += gloss[:, None] * (0.25 + 0.75 * np.sqrt(color.mean(axis=0)))

    def _legwear(self, span: slice) -> None:
        a = self.a
        s, skin = self.atlas.surface.take(span), self.color[span]
        x, y, z = np.ascontiguousarray(s.position.T)
        share = garments.cover_bottom(a, s, _SOFT)
        self._socks(skin, s)
        # Socks and skin just below the cloth lie in its shade.
        below = smoothstep(a.leg + 0.12 - s.leg, 0.0, 0.12) * (s.leg > a.leg)
        if a.has_skirt:
            below = np.maximum(below, smoothstep(z - skirt_span(a)[1], -0.09, 0.02) * (z < 0.0))
        skin *= (1.0 - 0.30 * below * (1.0 - share))[:, None]

        weave = fabrics.weave_of_bottom(self.atlas)
        color = self._cloth(span, weave, top=False)
        on_leg = s.group("upper_leg", "lower_leg") > 0.5
        lit = np.ones(len(z), np.float32)
        creases = () if a.bottom in ("leggings", "skirt") else fabrics.creases_of_bottom(self.atlas)
        folds = self._folds(span, 0.75 - 0.6 * (bump(s.leg - 1.02, 0.2) + bump(s.leg - 1.92, 0.2)), creases)
        denim = a.bottom_fabric == "denim"
        if denim and not a.cloth[1]:
            front = smoothstep(-s.normal[:, 1], -0.1, 0.7)
            worn = front * (0.75 * bump(s.leg - 0.45, 0.33) + 0.45 * bump(s.leg - 1.0, 0.13))
            worn += 0.35 * bump(s.leg - 0.25, 0.25) * smoothstep(s.normal[:, 1], 0.2, 0.8)
            worn -= 0.5 * smoothstep(-folds, 0.3, 0.9) * bump(s.leg - 0.15, 0.2)
            color += ((0.05 + 0.14 * a.wear) * np.sqrt(max(a.bottom_color)) * worn)[:, None]
        elif a.bottom_pattern in ("side", "bands"):
            # Beside the seam of the texture, which runs down the side of the leg.
            stripe = np.where(on_leg, s.around - 0.094, np.abs(s.around) - 0.196)
            mix(color, a.bottom_accent, band(stripe, 0.014) if a.bottom_pattern == "side" else band(stripe, 0.022))
            if a.bottom_pattern == "bands":
                mix(color, a.bottom_color, band(stripe, 0.007))
        if denim:
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
            if a.bottom == "trousers" and a.leg_width < 1.0:  # the crease of pressed trousers
                lit *= 1.0 + 0.10 * band(s.around, 0.002, 0.006) * on_leg
        waistband = z - WAIST + 0.017
        lit *= 1.0 - 0.3 * band(np.abs(waistband) - 0.017, 0.0015)
        if a.belt and a.bottom != "skirt":
            mix(color, a.belt_color, band(waistband, 0.0145))
            buckle = band(x, 0.019) * band(waistband, 0.0145) * (y < 0)
            mix(color, (0.62, 0.58, 0.48), buckle * (1.0 - 0.8 * band(x, 0.010) * band(waistband, 0.007)))
        lit *= 1.0 - 0.35 * bump(z + 0.03, 0.06) * bump(x, 0.03)
        if not a.tucked:
            lit *= 1.0 - 0.30 * smoothstep(a.hem - z, 0.035, 0.0) * (z < a.hem)  # under the hem of the top
        strength = 0.55 + 0.7 * bump(s.leg - 1.02, 0.18) + 0.9 * bump(s.leg - 1.92, 0.18) + 0.6 * bump(s.leg - 0.1, 0.2)
        strength *= 0.035 if a.bottom == "leggings" else 0.11 + 0.03 * a.wear
        lit += strength * folds
        self._shade_cloth(color, span, a.bottom_fabric, weave, folds, lit)
        mix(skin, color, share)

    def _socks(self, skin: np.ndarray, s: Surface) -> None:
        """Socks or tights."""
        a = self.a
        share = garments.cover_sock(a, s, _SOFT)
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

    def _skirt(self, span: slice) -> None:
        """The skirt mesh; without one its place has the colour of the bottom."""
        a = self.a
        s, color = self.atlas.surface.take(span), self.color[span]
        if not a.has_skirt:
            color[:] = a.bottom_color
            return
        fraction = (SKIRT_TOP - s.position[:, 2]) / (SKIRT_TOP - SKIRT_BOTTOM)
        top, bottom = skirt_span(a)
        height = (top - fraction * (top - bottom)).astype(np.float32)
        weave = fabrics.weave_around(s, height)
        below_top = a.top in ("coat", "dress")  # the lower part of a coat or dress goes on with the cloth of the top
        color[:] = self._cloth(span, weave, top=below_top)
        if a.top == "coat" and not a.open_front:  # an open one lacks the front
            self._closing(color, s, height)
        swing = np.sin(s.around * 52.0 + 0.8 * self._noise("broad", span))
        folds = (0.35 + 0.5 * a.skirt_flare) * swing * smoothstep(fraction, 0.1, 0.5) + 0.4 * self._noise("down", span)
        lit = 1.0 + 0.12 * folds
        lit *= 1.0 - 0.2 * band(fraction - 0.975, 0.006, 0.012)
        if not below_top and not a.tucked:
            lit *= 1.0 - 0.3 * smoothstep(a.hem - height, 0.04, 0.0)  # under the hem of the top
        self._shade_cloth(color, span, a.fabric if below_top else a.bottom_fabric, weave, folds, lit)

    def _loose(self, span: slice) -> None:
        """Front panels, collar and hood: the cloth of the top."""
        a = self.a
        s, color = self.atlas.surface.take(span), self.color[span]
        weave = fabrics.weave_around(s)
        color[:] = self._cloth(span, weave, top=True)
        mix(color, self._trim_color(), (s.part == COLLAR).astype(np.float32))
        # A panel's edge, with its zip or hem.
        panel = (s.part == PANEL).astype(np.float32)
        off = np.abs(s.position[:, 0]) - front_gap(s.position[:, 2])
        if a.trim == "piping":
            mix(color, a.trim_color, band(off - 0.006, 0.0035) * panel)
        folds = self._folds(span, 0.7)
        lit = (1.0 - 0.25 * bump(off, 0.006) * panel) * (1.0 + 0.07 * folds)
        self._shade_cloth(color, span, a.fabric, weave, folds, lit)

    def _trim_color(self) -> np.ndarray:
        """Colour [3] of collar and cuffs."""
        a = self.a
        if a.trim in ("contrast", "bands"):
            return np.asarray(a.trim_color, np.float32)
        return np.asarray(a.colors[1] if a.pattern == "yoke" else a.colors[0], np.float32) * 0.88

    def _prints(self, color: np.ndarray, s: Surface, height: np.ndarray) -> None:
        """What is printed on chest and back."""
        a = self.a
        inks = (a.print_colors[0], a.print_colors[1])
        trunk = s.is_arm < 0.5
        x = s.position[:, 0]
        for kind, back in ((a.print_front, False), (a.print_back, True)):
            if kind == "none":
                continue
            side = 1.0 if back else -1.0
            share = smoothstep(side * s.normal[:, 1], 0.05, 0.3) * trunk
            if kind == "badge":
                half, middle, level = 0.030, (0.0 if back else 0.078), (0.50 if back else 0.435)
            else:
                half = min(0.142, {"number": 0.12, "bars": 0.14, "word": 0.125}.get(kind, 0.105) * a.pattern_scale**0.5)
                middle, level = 0.0, (0.40 if back else 0.355)
            layers = prints.print_layers(kind, a.print_seed, back)
            fabrics.lay_print(color, layers, -side * (x - middle) / half, (height - level) / half, share, inks)

    def _closing(self, color: np.ndarray, s: Surface, height: np.ndarray) -> None:
        """What is down the front of jackets and coats: an opening, a zip, buttons."""
        a = self.a
        x = np.abs(s.position[:, 0])
        front = (s.normal[:, 1] < 0.1) & (s.is_arm < 0.5)
        main = np.asarray(a.colors[0], np.float32)
        if a.open_front:
            gap = front_gap(height)
            below = edge(0.04 - height)[:, None]
            under = np.empty_like(color)
            under[:] = a.colors[3]
            inner = int(a.pattern_phase * 1000) % 4
            if inner == 1:
                mix(under, a.colors[2], stripes(height, 0.05, 0.4, 0.0))
            elif inner == 2 and a.fabric != "leather":  # a shirt: buttons down its front
                under *= (1.0 - 0.25 * band(x - 0.012, 0.0012))[:, None]
                mix(under, under * 0.4, edge(0.0045 - np.hypot(x, height % 0.07 - 0.035)))
            under += below * (np.multiply(a.bottom_color, 0.7) - under)
            under *= (1.0 - 0.5 * bump(gap - 0.004 - x, 0.010))[:, None]  # in the shade of the edges
            mix(color, under, edge(gap - x) * front)
            mix(color, main * 0.6, band(x - gap - 0.003, 0.003) * front)
            return
        zipped = a.top == "jacket" or a.pattern_phase > 0.7
        metal = (0.75, 0.75, 0.74) if a.pattern_phase > 0.5 else (0.08, 0.08, 0.08)
        mix(color, metal if zipped else main * 0.5, band(x - (0.0 if zipped else 0.012), 0.0028) * front)
        if not zipped:
            button = edge(0.009 - np.hypot(x - 0.0, (height + 0.035) % 0.11 - 0.055)) * (height < 0.46) * front
            mix(color, main * 0.35 + 0.02, 0.85 * button)

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
        shade = np.where(
            arm,
            0.30 * smoothstep(0.16 + end, 0.0, 0.16) * (end < 0) * (a.sleeve > 0),
            0.25 * bump(rim, 0.014) * (rim > 0),
        )
        skin *= (1.0 - shade * (1.0 - share))[:, None]

        main = np.asarray(a.colors[0], np.float32)
        contrast = (0.88, 0.88, 0.88) if main.mean() < 0.6 else (0.3, 0.3, 0.3)
        weave = fabrics.weave_of_top(self.atlas)
        color = self._cloth(span, weave, top=True)
        trim = self._trim_color()
        self._prints(color, s, height)
        dark = 0.13 * bump(s.is_arm - 0.5, 0.25) * (np.abs(s.is_arm - 0.5) < 0.45)  # the armhole seam
        if a.top in ("jacket", "coat"):
            self._closing(color, s, height)
        if a.top in ("tee", "tank", "dress", "sweater"):
            mix(color, trim, edge(0.016 + rim) * trunk)
            dark += 0.25 * band(rim + 0.018, 0.0015) * trunk
        if a.top in ("tee", "polo", "dress"):
            dark += 0.16 * np.where(arm, band(end - 0.055, 0.006, 0.006), band(height - a.hem - 0.016, 0.0018))
            if a.trim == "contrast":
                mix(color, trim, edge(0.075 - end, 0.012) * arm)
        gathered = a.top in ("sweater", "hoodie") or (a.top == "jacket" and a.pattern_phase < 0.5)
        cuffs = np.where(arm, edge(0.17 - end, 0.012), edge(a.hem + 0.048 - height))
        if gathered:
            ribs = 0.80 + 0.08 * np.cos(s.around * 600.0)
            mix(color, (trim if a.trim == "contrast" else main) * ribs[:, None], cuffs)
        if a.trim == "bands":
            # Two stripes around hems and sleeves.
            off = np.where(arm, 0.28 * end, height - a.hem)
            mix(color, a.trim_color, np.maximum(band(off - 0.060, 0.008), band(off - 0.090, 0.008)))
        elif a.trim == "piping":
            # A line down the sleeves and along the raglan seam.
            mix(color, a.trim_color, np.where(arm, band(s.around - 0.07, 0.006), 0.0) * (a.sleeve > 0))
            mix(color, a.trim_color, band(np.abs(weave.around) - 0.205, 0.006) * trunk)
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
            mix(color, trim, edge(rim + 0.012) * trunk)
            dark += 0.25 * bump(rim + 0.030, 0.014) * trunk  # the shade of the collar, a mesh of its own
        if a.top == "coat" and not a.open_front:
            dark += 0.5 * band(np.abs(x) - 0.02 - 0.35 * (height - 0.40), 0.0025) * (height > 0.40) * front  # lapels
        elif a.top == "jacket":
            pocket = band(np.abs(x) - 0.105 - 0.35 * (height - 0.13), 0.0022) * (np.abs(height - 0.13) < 0.05)
            dark += 0.4 * pocket * front
            if a.fabric in ("denim", "leather"):  # seams of yoke and panels
                dark += 0.25 * band(height - 0.455, 0.0018) * trunk
                dark += 0.2 * band(np.abs(x) - 0.075 - 0.1 * (height - 0.2), 0.0018) * trunk * (height < 0.455)
        elif a.top == "hoodie":
            pouch = np.abs(x) / (0.095 - 0.25 * np.maximum(height - 0.13, 0.0))
            dark += 0.3 * band(np.maximum(pouch, np.abs(height - 0.145) / 0.055) - 1.0, 0.03, 0.04) * front
            cord = band(np.abs(x) - 0.022, 0.0028) * (height > 0.46) * (height < 0.585) * front
            mix(color, contrast, 0.75 * cord)
            dark += 0.3 * bump(rim + 0.03, 0.012) * trunk
        armpit = bump(np.hypot(np.abs(x) - 0.185, height - 0.46), 0.05) * smoothstep(-s.normal[:, 2], -0.2, 0.6)
        dark += 0.30 * armpit
        # Folds: across the inside of the elbow and over the cuff, around the waist, slanting from the armpit.
        folds = self._folds(span, trunk * (0.75 - 0.45 * bump(height - 0.12, 0.07)), fabrics.creases_of_top(self.atlas))
        on_arm = 0.7 * bump(s.arm - 1.02, 0.22) + 0.6 * bump(s.arm - 1.9, 0.25) + 0.35 * bump(s.arm, 0.25)
        on_trunk = 0.6 * bump(height - 0.10, 0.12) + 0.35 * bump(np.hypot(np.abs(x) - 0.13, height - 0.42), 0.07)
        strength = 0.5 + np.where(arm, on_arm, on_trunk)
        stiffness = {"tank": 0.08, "tee": 0.13, "sweater": 0.09, "jacket": 0.15, "shirt": 0.15}.get(a.top, 0.12)
        lit = 1.0 + (stiffness + 0.03 * a.wear) * strength * folds
        lit *= 1.0 - np.clip(dark, 0.0, 0.8)
        self._shade_cloth(color, span, a.fabric, weave, folds, lit)
        mix(skin, color, share)

    # ------------------------------------------------------------------ shoes and hair

    def _shoes(self, span: slice) -> None:
        a = self.a
        s, leg = self.atlas.surface.take(span), self.color[span]
        _, forward, z = np.ascontiguousarray(s.position.T)  # the toes point to -Y
        share = garments.cover_shoe(a, s, _SOFT)
        if a.bottom in ("trousers", "jeans") and a.leg > 1.9:
            share *= 1.0 - garments.cover_bottom(a, s, _SOFT)
        upper, sole = (np.asarray(color, np.float32) for color in a.shoe_colors)
        color = np.empty_like(leg)
        color[:] = upper
        aside = smoothstep(np.abs(s.normal[:, 0]), 0.35, 0.6)
        design = a.shoe_design
        if design == "bars":
            slanted = forward + 0.06 + 0.5 * (z + 0.77)
            bars = np.maximum(band(slanted, 0.0055), band(np.abs(slanted) - 0.019, 0.0055))
            mix(color, a.shoe_accent, bars * aside)
        elif design == "swoosh":
            sweep = z + 0.782 - 1.6 * np.maximum(forward + 0.085, 0.0) ** 1.4 + 0.25 * np.minimum(forward + 0.085, 0.0)
            mix(color, a.shoe_accent, band(sweep, 0.0075) * aside * band(forward + 0.062, 0.062, 0.01))
        elif design == "star":
            spot = edge(0.017 - np.hypot(forward + 0.015, z + 0.755))
            mix(color, a.shoe_accent, spot * aside)
        elif design == "panels":
            mix(color, a.shoe_accent, edge(forward + 0.012, 0.006) * (z < -0.735))
            mix(color, a.shoe_accent, band(forward + 0.125, 0.014, 0.006) * aside)
        elif design == "toe_cap":
            mix(color, a.shoe_accent, edge(-0.140 - forward, 0.008))
        elif design == "two_tone":
            other = z + 0.70 if a.shoe == "boot" else forward + 0.03 - 0.6 * (z + 0.77)  # the shaft, or the heel
            mix(color, a.shoe_accent, edge(other, 0.006))
        if a.shoe == "sneaker":
            tongue = (s.normal[:, 2] > 0.25) & (forward < -0.045) & (forward > -0.13) & (z > -0.79)
            pale = np.full(3, 0.85 if upper.mean() < 0.65 else 0.3, np.float32)
            lace = pale if design == "plain" else np.asarray(a.shoe_accent, np.float32)
            mix(color, lace, 0.85 * stripes(forward, 0.017, 0.45, 0.0) * tongue * band(s.around, 0.035, 0.01))
        elif a.shoe == "shoe":
            color *= (1.0 - 0.3 * band(forward + 0.125, 0.004))[:, None]
            color += (0.10 * smoothstep(s.normal[:, 2], 0.4, 0.9) * (forward < -0.13))[:, None]  # polish
        else:
            creases = bump((z + 0.70) % 0.03 - 0.015, 0.004) * (forward < -0.02) * (z > -0.74)
            color *= (1.0 - 0.2 * creases)[:, None]
        toes = smoothstep(-forward, 0.100, 0.135)  # the sides of toes, drawn over the cap, are no edge of the sole
        off = z - (-0.789 if a.shoe == "sneaker" else -0.792) + 0.05 * toes
        mix(color, sole, edge(-off, 0.004))
        lit = (1.0 - 0.3 * band(off - 0.001, 0.0025) * (1.0 - toes)) * (1.0 + 0.04 * self._noise("medium", span))
        inner = garments.cover_shoe(a, s, 0.012)
        lit *= 1.0 - 1.2 * inner * (1.0 - inner)  # the collar of the shoe
        mix(leg, color * lit[:, None], share)

    def _hair(self, span: slice) -> None:
        a = self.a
        s = self.atlas.surface.take(span)
        x, y, z = np.ascontiguousarray(s.position.T)
        strands = self._noise("strand", span)
        grain = self._noise("grain", span)
        base = np.asarray(a.hair_color, np.float32)
        # The hairline is no edge: hair thins out over a centimetre, strand by strand.
        share = garments.cover_hair(a, s, 0.007)
        ragged = 4.0 * share * (1.0 - share)
        share = smoothstep(share + 0.22 * ragged * (strands + 0.6 * grain), 0.22, 0.85)
        if a.hair_style == "cropped":
            tone = 1.0 + 0.10 * grain + 0.05 * self._noise("fine", span)
            share *= np.clip(0.86 + 0.08 * grain, 0.0, 1.0) - 0.30 * smoothstep(EYE_LEVEL + 0.01 - z, 0.0, 0.06)
        elif a.hair_style in ("curly", "afro"):
            medium = self._noise("medium", span)
            fine = self._noise("fine", span)
            tone = 1.0 + 0.16 * grain + 0.16 * fine + 0.10 * medium - 0.25 * smoothstep(-grain, 0.8, 1.8)
        else:
            tone = 1.0 + 0.15 * strands + 0.06 * self._noise("broad", span)
            # Light lies around the crown, broken up by the strands.
            tone += (0.22 + 0.10 * strands) * bump(z - 0.882 - 0.10 * np.abs(y + 0.05), 0.016)
        tone += 0.10 * smoothstep(z, EYE_LEVEL, 0.9) - 0.14 * smoothstep(0.75 - z, 0.0, 0.1)
        color = base * np.maximum(tone, 0.35)[:, None]
        if a.hair_highlight:
            light = np.minimum(base * 1.7 + np.array([0.10, 0.07, 0.04], np.float32), 0.85)
            mix(color, light, 0.7 * a.hair_highlight * smoothstep(strands, 0.3, 1.3))
        if a.hair_style in ("parted", "medium", "bob", "long", "long_front", "low_bun"):
            # Skin shows along the parting.
            line = bump(x - a.parting, 0.0030) * smoothstep(z, 0.868, 0.885) * smoothstep(0.01 - y, 0.0, 0.03)
            mix(color, np.multiply(a.skin, 0.80), 0.5 * line)
            color *= (1.0 - 0.18 * bump(np.abs(x - a.parting) - 0.007, 0.004) * (z > 0.875))[:, None]
        mix(self.color[span], color, share)
