"""Paints tops (shirts, jackets, dresses, ...), and the panels, collars and hoods that belong to them."""

import dataclasses

import numpy as np

from render.figure import coverage
from render.figure.fronts_and_hoods import front_gap
from render.geometry.surface import COLLAR, PANEL, Surface, smoothstep
from render.paint import fabrics, prints
from render.paint.brushes import band, bump, edge, mix, stripes
from render.paint.canvas import SOFT, Canvas
from render.paint.fabrics import Print
from render.people.appearance import Appearance


@dataclasses.dataclass(frozen=True)
class _Top:
    """A top while it is painted, on n samples of the body.

    Attributes:
        a: Whose top.
        s: Attributes of the samples.
        color: Colours of the cloth so far, float32 [n 3]; painted on in place.
        dark: How far seams and shadows darken it, float32 [n]; added to in place.
        x, height: Position [n], metres.
        rim: Height [n] over the neckline, metres.
        end: How far [n] the sleeve goes on, in coordinates along the arm.
        arm, trunk, front: Whether each sample is on an arm, on the trunk, on the trunk's front, bool [n].
    """

    a: Appearance
    s: Surface
    color: np.ndarray
    dark: np.ndarray
    x: np.ndarray
    height: np.ndarray
    rim: np.ndarray
    end: np.ndarray
    arm: np.ndarray
    trunk: np.ndarray
    front: np.ndarray

    @property
    def main(self) -> np.ndarray:
        """Main colour [3] of the top."""
        return np.asarray(self.a.colors[0], np.float32)

    @property
    def contrast(self) -> tuple[float, float, float]:
        """Colour of buttons and cords, which stand out from the cloth."""
        return (0.88, 0.88, 0.88) if self.main.mean() < 0.6 else (0.3, 0.3, 0.3)


def paint_top(canvas: Canvas, span: slice) -> None:
    """Paint the top, and its shade on the skin beside it (in place)."""
    a = canvas.a
    s, skin = canvas.take(span)
    x, _, height = np.ascontiguousarray(s.position.T)
    rim = coverage.neck_rim(a, s)
    share = coverage.cover_top(a, s, SOFT, rim)
    arm, trunk = s.is_arm > 0.5, s.is_arm <= 0.5
    end = a.sleeve - s.arm
    # The arm just below a sleeve and the neck just above a collar lie in shade.
    shade = np.where(
        arm,
        0.30 * smoothstep(0.16 + end, 0.0, 0.16) * (end < 0) * (a.sleeve > 0),
        0.25 * bump(rim, 0.014) * (rim > 0),
    )
    skin *= (1.0 - shade * (1.0 - share))[:, None]

    weave = fabrics.weave_of_top(canvas.atlas)
    color = canvas.cloth_of_top(span, weave)
    _lay_prints(color, a, s, height)
    armhole = 0.13 * bump(s.is_arm - 0.5, 0.25) * (np.abs(s.is_arm - 0.5) < 0.45)
    front = (s.normal[:, 1] < 0.1) & trunk
    top = _Top(a, s, color, armhole, x, height, rim, end, arm, trunk, front)
    if a.top in ("jacket", "coat"):
        paint_closing(color, a, s, height)
    _paint_hems(top)
    _paint_trim(top, weave.around)
    _paint_shirt_front(top)
    _paint_details(top)
    armpit = bump(np.hypot(np.abs(x) - 0.185, height - 0.46), 0.05) * smoothstep(-s.normal[:, 2], -0.2, 0.6)
    top.dark[:] += 0.30 * armpit

    folds = canvas.folds(span, trunk * (0.75 - 0.45 * bump(height - 0.12, 0.07)), fabrics.creases_of_top(canvas.atlas))
    stiffness = {"tank": 0.1, "tee": 0.17, "sweater": 0.13, "jacket": 0.2, "shirt": 0.2}.get(a.top, 0.17)
    lit = 1.0 + (stiffness + 0.03 * a.wear) * _fold_strength(top) * folds
    lit *= 1.0 - np.clip(top.dark, 0.0, 0.8)
    canvas.shade_cloth(color, span, a.fabric, weave, folds, lit)
    mix(skin, color, share)


def _fold_strength(top: _Top) -> np.ndarray:
    """How deep folds are: deep inside the elbow, over the cuff, around the waist, and slanting from the armpit."""
    s, x, height = top.s, top.x, top.height
    on_arm = 1.3 * bump(s.arm - 1.02, 0.20) + 0.9 * bump(s.arm - 1.9, 0.25) + 0.7 * bump(s.arm, 0.25)
    on_trunk = 0.9 * bump(height - 0.10, 0.10) + 0.8 * bump(np.hypot(np.abs(x) - 0.13, height - 0.42), 0.08)
    return 0.7 + np.where(top.arm, on_arm, on_trunk)


def _paint_hems(top: _Top) -> None:
    """Paint neckline and hems, and ribbed cuffs on gathered tops."""
    a, trim = top.a, _trim_color(top.a)
    if a.top in ("tee", "tank", "dress", "sweater"):
        mix(top.color, trim, edge(0.016 + top.rim) * top.trunk)
        top.dark[:] += 0.25 * band(top.rim + 0.018, 0.0015) * top.trunk
    if a.top in ("tee", "polo", "dress"):
        sleeve = band(top.end - 0.055, 0.006, 0.006)
        hem = band(top.height - a.hem - 0.016, 0.0018) * (a.top != "dress")
        top.dark[:] += 0.16 * np.where(top.arm, sleeve, hem)
        if a.trim == "contrast":
            mix(top.color, trim, edge(0.075 - top.end, 0.012) * top.arm)
    if a.top in ("sweater", "hoodie") or (a.top == "jacket" and a.pattern_phase < 0.5):
        cuffs = np.where(top.arm, edge(0.17 - top.end, 0.012), edge(a.hem + 0.048 - top.height))
        ribs = 0.80 + 0.08 * np.cos(top.s.around * 600.0)
        mix(top.color, (trim if a.trim == "contrast" else top.main) * ribs[:, None], cuffs)


def _paint_trim(top: _Top, around: np.ndarray) -> None:
    """Paint trimmings; `around` [n] are metres around trunk or arm."""
    a = top.a
    if a.trim == "bands":
        # Two stripes around hems and sleeves.
        # At the hem of a coat or dress its lower part goes on.
        off = np.where(top.arm, 0.28 * top.end, 1.0 if a.top in ("coat", "dress") else top.height - a.hem)
        mix(top.color, a.trim_color, np.maximum(band(off - 0.060, 0.008), band(off - 0.090, 0.008)))
    elif a.trim == "piping":
        # A line down the sleeves and along the raglan seam.
        sleeve = np.where(top.arm, band(top.s.around - 0.07, 0.006), 0.0) * (a.sleeve > 0)
        mix(top.color, a.trim_color, sleeve)
        mix(top.color, a.trim_color, band(np.abs(around) - 0.205, 0.006) * top.trunk)


def _paint_shirt_front(top: _Top) -> None:
    """Paint the placket, buttons and pocket of shirts, and the collar's shade."""
    a, x, height = top.a, top.x, top.height
    if a.top in ("shirt", "polo"):
        placket = top.front & (height > (a.hem if a.top == "shirt" else 0.47))
        top.dark[:] += 0.22 * band(np.abs(x) - 0.014, 0.0012) * placket
        button = edge(0.0048 - np.hypot(x, (height + 0.02) % 0.075 - 0.0375))
        mix(top.color, top.contrast, 0.8 * button * placket)
        if a.top == "shirt" and a.pattern_phase > 0.4:
            pocket = np.maximum(np.abs(x - 0.075) / 0.036, np.abs(height - 0.405) / 0.04)
            top.dark[:] += 0.2 * band(pocket - 1.0, 0.05, 0.06) * top.front
        top.dark[:] += 0.2 * band(top.end - 0.14, 0.006, 0.008) * top.arm
    if a.top in coverage.COLLARED:
        mix(top.color, _trim_color(a), edge(top.rim + 0.012) * top.trunk)
        top.dark[:] += 0.25 * bump(top.rim + 0.030, 0.014) * top.trunk  # the collar itself is a mesh of its own


def _paint_details(top: _Top) -> None:
    """Paint a coat's lapels, a jacket's pockets and seams, and a hoodie's pouch and cord."""
    a, x, height, dark = top.a, top.x, top.height, top.dark
    if a.top == "coat" and not a.open_front:
        lapel = band(np.abs(x) - 0.02 - 0.35 * (height - 0.40), 0.0025)
        dark += 0.5 * lapel * (height > 0.40) * top.front
    elif a.top == "jacket":
        pocket = band(np.abs(x) - 0.105 - 0.35 * (height - 0.13), 0.0022) * (np.abs(height - 0.13) < 0.05)
        dark += 0.4 * pocket * top.front
        if a.fabric in ("denim", "leather"):  # seams of yoke and panels
            dark += 0.25 * band(height - 0.455, 0.0018) * top.trunk
            dark += 0.2 * band(np.abs(x) - 0.075 - 0.1 * (height - 0.2), 0.0018) * top.trunk * (height < 0.455)
    elif a.top == "hoodie":
        pouch = np.abs(x) / (0.095 - 0.25 * np.maximum(height - 0.13, 0.0))
        dark += 0.3 * band(np.maximum(pouch, np.abs(height - 0.145) / 0.055) - 1.0, 0.03, 0.04) * top.front
        cord = band(np.abs(x) - 0.022, 0.0028) * (height > 0.46) * (height < 0.585) * top.front
        mix(top.color, top.contrast, 0.75 * cord)
        dark += 0.3 * bump(top.rim + 0.03, 0.012) * top.trunk


def _trim_color(a: Appearance) -> np.ndarray:
    """Colour [3] of collar and cuffs."""
    if a.trim in ("contrast", "bands"):
        return np.asarray(a.trim_color, np.float32)
    return np.asarray(a.colors[1] if a.pattern == "yoke" else a.colors[0], np.float32) * 0.88


def _lay_prints(color: np.ndarray, a: Appearance, s: Surface, height: np.ndarray) -> None:
    """Lay prints on chest and back (in place)."""
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
            # No wider than the chest between the armpits.
            half = min(0.118, {"number": 0.105, "bars": 0.118, "word": 0.115}.get(kind, 0.1) * a.pattern_scale**0.5)
            middle, level = 0.0, (0.40 if back else 0.355)
        layers = prints.print_layers(kind, a.print_seed, back)
        laid = Print(layers, -side * (x - middle) / half, (height - level) / half, a.print_colors)
        fabrics.lay_print(color, laid, share)


def paint_closing(color: np.ndarray, a: Appearance, s: Surface, height: np.ndarray) -> None:
    """Paint the front of jackets and coats: an opening, a zip or buttons (in place).

    Args:
        color: Colours of the cloth, float32 [n 3].
        a: Whose jacket or coat.
        s: Attributes of the samples.
        height: Height of the samples on the garment [n], metres.
    """
    x = np.abs(s.position[:, 0])
    front = (s.normal[:, 1] < 0.1) & (s.is_arm < 0.5)
    main = np.asarray(a.colors[0], np.float32)
    if a.open_front:
        gap = front_gap(height)
        mix(color, _under_opening(a, x, height), edge(gap - x) * front)
        mix(color, main * 0.6, band(x - gap - 0.003, 0.003) * front)
        return
    zipped = a.top == "jacket" or a.pattern_phase > 0.7
    metal = (0.75, 0.75, 0.74) if a.pattern_phase > 0.5 else (0.08, 0.08, 0.08)
    mix(color, metal if zipped else main * 0.5, band(x - (0.0 if zipped else 0.012), 0.0028) * front)
    if not zipped:
        button = edge(0.009 - np.hypot(x - 0.0, (height + 0.035) % 0.11 - 0.055)) * (height < 0.46) * front
        mix(color, main * 0.35 + 0.02, 0.85 * button)


def _under_opening(a: Appearance, x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the colours [n 3] of what is worn under an open front; `x` [n] are metres from the middle."""
    below = edge(0.04 - height)[:, None]
    under = np.empty((len(x), 3), np.float32)
    under[:] = a.colors[3]
    inner = int(a.pattern_phase * 1000) % 4
    if inner == 1:
        mix(under, a.colors[2], stripes(height, 0.05, 0.4, 0.0))
    elif inner == 2 and a.fabric != "leather":  # a shirt: buttons down its front
        under *= (1.0 - 0.25 * band(x - 0.012, 0.0012))[:, None]
        mix(under, under * 0.4, edge(0.0045 - np.hypot(x, height % 0.07 - 0.035)))
    under += below * (np.multiply(a.bottom_color, 0.7) - under)
    under *= (1.0 - 0.5 * bump(front_gap(height) - 0.004 - x, 0.010))[:, None]  # in the shade of the edges
    return under


def paint_layers(canvas: Canvas, span: slice) -> None:
    """Paint front panels, collar and hood: the cloth of the top (in place)."""
    a = canvas.a
    s, color = canvas.take(span)
    weave = fabrics.weave_around(s)
    color[:] = canvas.cloth_of_top(span, weave)
    mix(color, _trim_color(a), (s.part == COLLAR).astype(np.float32))
    # A panel's edge, with its zip or hem.
    panel = (s.part == PANEL).astype(np.float32)
    off = np.abs(s.position[:, 0]) - front_gap(s.position[:, 2])
    if a.trim == "piping":
        mix(color, a.trim_color, band(off - 0.006, 0.0035) * panel)
    folds = canvas.folds(span, 0.7)
    lit = (1.0 - 0.25 * bump(off, 0.006) * panel) * (1.0 + 0.07 * folds)
    canvas.shade_cloth(color, span, a.fabric, weave, folds, lit)
