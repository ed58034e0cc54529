"""Cloth: patterns, weaves and the user's cloth images, as functions of where a point lies on the garment."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from render.figure.body import Atlas
from render.geometry.surface import BODY, Surface, smoothstep, trunk_around
from render.paint import prints
from render.paint.brushes import SAMPLE, band, bump, edge, mix, stripes
from render.paint.prints import TILE_PERIODS, TILE_SIZE
from render.people.colors import Color

TRUNK_GIRTH, _ARM_GIRTH, _LEG_GIRTH = 0.829, 0.2827, 0.4712  # metres: where `Surface.around` closes
_LEG_AXIS = 0.105  # metres around the trunk at which the front of a leg lies
_SHIFT = 1 << 12  # makes indices positive before they are wrapped

Noise = Callable[[str], np.ndarray]  # a fresh sample of a noise band, [n]


@dataclasses.dataclass(frozen=True)
class Weave:
    """Where n points lie on a piece of cloth, float32 [n] each.

    Attributes:
        along: Metres up the garment, on sleeves up the arm.
        around: Metres around trunk or limb.
        girth: Metres after which `around` closes.
        x: Metres to the left of the middle.
        arm: 1 on sleeves.
    """

    along: np.ndarray
    around: np.ndarray
    girth: np.ndarray
    x: np.ndarray
    arm: np.ndarray

    def columns(self, period: float) -> np.ndarray:
        """Return `around` in periods, whose number is rounded so that the cloth closes without a seam."""
        return self.around * (np.maximum(np.rint(self.girth / period), 1.0) / self.girth)


def _weave(along: np.ndarray, around: np.ndarray, girth: np.ndarray | float, x: np.ndarray, arm: np.ndarray) -> Weave:
    return Weave(
        *(np.broadcast_to(values, along.shape).astype(np.float32) for values in (along, around, girth, x, arm))
    )


@functools.lru_cache(maxsize=2)
def weave_of_top(atlas: Atlas) -> Weave:
    """Return where the samples of the body from hip to neck lie on a top."""
    s = atlas.surface.take(atlas.span("hip", "neck"))
    arm = s.is_arm > 0.5
    around = np.where(arm, s.around, trunk_around(s.position))
    along = np.where(arm, 0.50 - 0.27 * s.arm, s.position[:, 2])
    return _weave(along, around, np.where(arm, _ARM_GIRTH, TRUNK_GIRTH), s.position[:, 0], arm)


@functools.lru_cache(maxsize=2)
def weave_of_bottom(atlas: Atlas) -> Weave:
    """Return where the samples of the body from foot to hip lie on a bottom."""
    s = atlas.surface.take(atlas.span("foot", "hip"))
    side = np.where(s.position[:, 0] >= 0, 1.0, -1.0)
    leg = (s.group("upper_leg", "lower_leg", "foot") > 0.5) & (s.part == BODY)
    around = np.where(leg, side * (_LEG_AXIS + s.around), s.around)
    return _weave(s.position[:, 2], around, _LEG_GIRTH, s.position[:, 0], np.zeros(len(side)))


def weave_around(surface: Surface, height: np.ndarray | None = None) -> Weave:
    """Return where points lie on what hangs around the trunk: skirt, panels, collar, hood.

    Args:
        surface: Their attributes.
        height: Their heights on the garment [n], where they are not those of the surface.
    """
    position = surface.position
    along = position[:, 2] if height is None else height
    return _weave(along, trunk_around(position), TRUNK_GIRTH, position[:, 0], np.zeros(len(position)))


@dataclasses.dataclass(frozen=True)
class Creases:
    """Folds where a joint or a seam makes them: a run of ridges.

    Attributes:
        index: Samples int64 [k] of the span that the run reaches.
        ridge: Number of the ridge at each sample, float32 [k].
        depth: How deep it is at each sample, float32 [k] in [0, 1].
    """

    index: np.ndarray
    ridge: np.ndarray
    depth: np.ndarray


def _creases(ridge: np.ndarray, depth: np.ndarray) -> Creases:
    index = np.flatnonzero(depth > 0.04)
    return Creases(index, ridge[index].astype(np.float32), depth[index].astype(np.float32))


@functools.lru_cache(maxsize=2)
def creases_of_top(atlas: Atlas) -> tuple[Creases, ...]:
    """Return the creases from hip to neck: rays from the armpits, rings at elbows, cuffs and the sides of the waist."""
    s = atlas.surface.take(atlas.span("hip", "neck"))
    x, _, z = s.position.T
    arm = s.is_arm > 0.5
    right, up = np.abs(x) - 0.175, z - 0.475
    pit = np.exp(-np.hypot(right, up) / 0.11) * smoothstep(np.hypot(right, up), 0.0, 0.03)
    inside = 0.45 + 0.55 * smoothstep(-s.normal[:, 1], -0.3, 0.6)
    side = smoothstep(np.abs(trunk_around(s.position)), 0.09, 0.16)
    slant = 0.35 * np.abs(x) / 0.05
    return (
        _creases(np.arctan2(up, right) * (5.0 / np.pi), pit * ~arm),
        _creases(s.arm * 8.0 + s.around * 11.0, arm * bump(s.arm - 1.02, 0.22) * inside),
        _creases(s.arm * 10.0 - s.around * 8.0, 0.8 * arm * bump(s.arm - 1.80, 0.18)),
        _creases(z / 0.050 + slant, 0.75 * ~arm * bump(z - 0.125, 0.075) * side),
    )


@functools.lru_cache(maxsize=2)
def creases_of_bottom(atlas: Atlas) -> tuple[Creases, ...]:
    """Return the creases from foot to hip: rays from the crotch, rings at the knees and over the shoes."""
    s = atlas.surface.take(atlas.span("foot", "hip"))
    x, _, z = s.position.T
    reach = np.hypot(x, z + 0.03)
    crotch = np.exp(-reach / 0.14) * smoothstep(reach, 0.0, 0.03) * smoothstep(0.12 - z, 0.0, 0.05)
    behind = 0.45 + 0.55 * smoothstep(s.normal[:, 1], -0.4, 0.5)
    leg = smoothstep(s.group("upper_leg", "lower_leg", "foot"), 0.3, 0.7)
    return (
        _creases(np.arctan2(z + 0.03, np.abs(x)) * (6.0 / np.pi), crotch),
        _creases(s.leg * 8.0 + s.around * 10.0, leg * bump(s.leg - 1.03, 0.18) * behind),
        _creases(s.leg * 11.0 - s.around * 7.0, leg * bump(s.leg - 1.84, 0.14)),
    )


def _look_up(tile: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the values [n C] of a repeating tile at places in periods; rows rise upwards."""
    column = ((columns + _SHIFT) * TILE_SIZE).astype(np.int32) % TILE_SIZE
    row = ((_SHIFT - rows) * TILE_SIZE).astype(np.int32) % TILE_SIZE
    return tile[row, column]


@dataclasses.dataclass(frozen=True)
class Design:
    """A pattern that covers a whole cloth.

    Attributes:
        name: One of `appearance.PATTERNS` or `appearance.BOTTOM_PATTERNS`.
        main, second, third: Its colours.
        scale: Relative size.
        phase: Shifts and varies the pattern, in [0, 1).
    """

    name: str
    main: Color
    second: Color
    third: Color
    scale: float
    phase: float


def lay_pattern(color: np.ndarray, design: Design, weave: Weave, noise: Noise) -> None:
    """Lay a pattern over the main colour (in place); names without a rule leave the colour as it is.

    Args:
        color: The main colour, float32 [n 3].
        design: The pattern.
        weave: Where the points lie.
        noise: Fresh noise, for irregular patterns.
    """
    if design.name in TILE_PERIODS:
        _lay_tiles(color, design, weave)
    elif design.name in _PATTERNS:
        _PATTERNS[design.name](color, design, weave)
    elif design.name in _NOISY_PATTERNS:
        _NOISY_PATTERNS[design.name](color, design, weave, noise)


def _lay_tiles(color: np.ndarray, design: Design, weave: Weave) -> None:
    width, height = TILE_PERIODS[design.name]
    scale, phase = design.scale, design.phase
    tile = prints.tile(design.name, int(phase * 1000) % prints.VARIANTS)
    shares = _look_up(tile, weave.columns(width * scale) + phase, weave.along / (height * scale) + phase)
    mix(color, design.second, shares[:, 0])
    mix(color, design.third, shares[:, 1])


def _lay_stripes(color: np.ndarray, design: Design, weave: Weave) -> None:
    period, phase = 0.075 * design.scale, design.phase
    mix(color, design.second, stripes(weave.along, period, 0.25 + 0.45 * (7 * phase % 1.0), phase))
    if phase > 0.6:
        mix(color, design.third, stripes(weave.along, period, 0.12, phase + 0.5))


def _lay_vertical(color: np.ndarray, design: Design, weave: Weave) -> None:
    """Lay broad vertical stripes or pinstripes."""
    is_broad = design.name == "vertical"
    period = (0.046 if is_broad else 0.030) * design.scale
    share = 0.2 + 0.35 * design.phase if is_broad else 0.10
    width = float(np.median(weave.girth)) / max(1.0, round(float(np.median(weave.girth)) / period))
    mix(color, design.second, stripes(weave.columns(period) * width, width, share, design.phase))


def _lay_gradient(color: np.ndarray, design: Design, weave: Weave) -> None:
    low, length = float(weave.along.min()), float(weave.along.max() - weave.along.min())
    start = low + (0.08 + 0.35 * design.phase) * length
    mix(color, design.second, smoothstep(weave.along, start, start + 0.5 * length))


def _lay_block(color: np.ndarray, design: Design, weave: Weave) -> None:
    """Lay another colour on the upper part, with a third one over it or between."""
    level = 0.20 + 0.22 * design.phase
    mix(color, design.second, edge(weave.along - level))
    if design.phase < 0.5:
        mix(color, design.third, edge(weave.along - level - 0.10 * design.scale))
    else:
        mix(color, design.third, band(weave.along - level, 0.016 * design.scale))


def _lay_panel(color: np.ndarray, design: Design, weave: Weave) -> None:
    """Lay another colour on the sides, and with them on the sleeves."""
    phase = design.phase
    inner = 0.105 + 0.04 * phase - 0.06 * smoothstep(0.35 - weave.along, 0.0, 0.3) * (phase < 0.4)
    outside = np.abs(np.abs(weave.around) - TRUNK_GIRTH / 4) - (TRUNK_GIRTH / 4 - inner)
    mix(color, design.second, np.maximum(edge(-outside), weave.arm))
    if phase > 0.5:
        mix(color, design.third, band(outside, 0.007) * (1.0 - weave.arm))


def _lay_yoke(color: np.ndarray, design: Design, weave: Weave) -> None:
    """Lay another colour on raglan sleeves, and for some on the shoulders."""
    shoulders = edge(weave.along - 0.50 + 0.12 * np.abs(weave.x)) * (design.phase > 0.5)
    mix(color, design.second, np.maximum(weave.arm, shoulders * (1.0 - weave.arm)))


def _lay_camouflage(color: np.ndarray, design: Design, weave: Weave, noise: Noise) -> None:
    del weave  # noise needs no weave
    band_name = "medium" if design.scale > 0.9 else "fine"
    mix(color, design.second, edge(noise(band_name), 0.15))
    mix(color, design.third, edge(noise(band_name) - 0.35, 0.15))
    mix(color, color[:1] * 0.4, edge(noise(band_name) - 0.7, 0.15))


def _lay_tie_dye(color: np.ndarray, design: Design, weave: Weave, noise: Noise) -> None:
    x, y = weave.x - 0.04 * (design.phase - 0.5), weave.along - 0.30
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    turns = 2.0 * angle + (38.0 if design.phase < 0.5 else -26.0) * radius / design.scale + 0.8 * noise("medium")
    wave = np.sin(np.where(weave.arm > 0.5, 60.0 * weave.along, turns))
    mix(color, design.second, smoothstep(wave, -0.35, 0.45))
    mix(color, design.third, smoothstep(wave, 0.5, 0.95))


_PATTERNS: dict[str, Callable[[np.ndarray, Design, Weave], None]] = {
    "stripes": _lay_stripes,
    "vertical": _lay_vertical,
    "pinstripe": _lay_vertical,
    "gradient": _lay_gradient,
    "block": _lay_block,
    "panel": _lay_panel,
    "yoke": _lay_yoke,
}
_NOISY_PATTERNS: dict[str, Callable[[np.ndarray, Design, Weave, Noise], None]] = {
    "camouflage": _lay_camouflage,
    "tie_dye": _lay_tie_dye,
}


def weave_shading(fabric: str, weave: Weave, folds: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray | None]:
    """Return how a fabric catches the light.

    Args:
        fabric: One of `appearance.FABRICS`.
        weave: Where the points lie.
        folds: Hills and valleys of the cloth [n], about -1 to 1.
        noise: Fresh noise.

    Returns:
        A factor [n] of the colour, and the gloss [n] to be added to it, None where there is no gloss.
    """
    if fabric == "knit":
        return 1.0 + 0.10 * np.cos(2 * np.pi * weave.columns(0.017)) + 0.03 * noise("grain"), None
    if fabric == "cable":
        width, height = TILE_PERIODS["cable"]
        return 0.80 + 0.34 * _look_up(prints.tile("cable"), weave.columns(width), weave.along / height)[:, 0], None
    if fabric == "corduroy":
        return 1.0 + 0.12 * np.cos(2 * np.pi * weave.columns(0.014)) + 0.03 * noise("grain"), None
    if fabric == "leather":
        return 0.90 + 0.12 * folds, 0.03 + 0.10 * bump(folds - 0.42, 0.16)  # light along the ridges
    if fabric == "satin":
        return 0.96 + 0.10 * folds, 0.06 * bump(folds - 0.35, 0.22)
    return 1.0 + {"denim": 0.055, "linen": 0.035, "fleece": 0.045}.get(fabric, 0.015) * noise("grain"), None


def lay_cloth(color: np.ndarray, image: np.ndarray, weave: Weave, scale: float, phase: float) -> None:
    """Lay an image on a garment, mirrored at its borders so that no seam shows (in place).

    Args:
        color: Colours to paint on, float32 [n 3].
        image: The image, uint8 [h w 3].
        weave: Where the points lie.
        scale: Width on the garment of the image's shorter side, metres.
        phase: Shifts the image, in [0, 1).
    """
    height, width = image.shape[:2]
    metres = scale / min(height, width)  # the size of a pixel
    finest = SAMPLE / 2
    size = max(1, round(min(1.0, metres / finest) * width)), max(1, round(min(1.0, metres / finest) * height))
    small = (
        np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX), np.float32) / 255.0
    )
    across = np.abs((weave.columns(2 * metres * width) + phase + _SHIFT) % 1.0 * 2.0 - 1.0)
    down = np.abs((_SHIFT + phase - weave.along / (2 * metres * height)) % 1.0 * 2.0 - 1.0)
    column = np.minimum((across * size[0]).astype(np.int32), size[0] - 1)
    row = np.minimum((down * size[1]).astype(np.int32), size[1] - 1)
    color[:] = small[row, column]


@dataclasses.dataclass(frozen=True)
class Print:
    """A print and where n points lie on it.

    Attributes:
        layers: Shares of its two inks, from `prints.print_layers`.
        u, v: Coordinates [n] in its box [-1, 1] x [-1, 1], v up.
        inks: Colours of the inks.
    """

    layers: np.ndarray
    u: np.ndarray
    v: np.ndarray
    inks: tuple[Color, Color]


def lay_print(color: np.ndarray, laid: Print, share: np.ndarray) -> None:
    """Lay a print on the colours [n 3] of cloth (in place), as far as `share` [n] says."""
    inside = np.flatnonzero((np.abs(laid.u) < 1.0) & (np.abs(laid.v) < 1.0) & (share > 0.0))
    size = prints.PRINT_SIZE
    column = ((laid.u[inside] + 1) / 2 * size).astype(np.int32)
    row = ((1 - laid.v[inside]) / 2 * size).astype(np.int32)
    shares = laid.layers[row, column] * (share[inside, None] / 255.0)
    part = color[inside]
    mix(part, laid.inks[0], shares[:, 0])
    mix(part, laid.inks[1], shares[:, 1])
    color[inside] = part
