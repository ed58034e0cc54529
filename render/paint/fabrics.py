"""Cloth: patterns, weaves and the user's cloth images, as functions of where a point lies on the garment."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from render.figure.body import Atlas
from render.geometry.surface import BODY, Surface, smoothstep, trunk_around
from render.paint import prints
from render.paint.prints import TILE_PERIODS, TILE_SIZE

SAMPLE = 0.0035  # metres that a sample of the atlas is wide on the trunk: the width of an antialiased edge
_TRUNK_GIRTH, _ARM_GIRTH, _LEG_GIRTH = 0.829, 0.2827, 0.4712  # metres: where `Surface.around` closes
_LEG_AXIS = 0.105  # metres around the trunk at which the front of a leg lies
_SHIFT = 1 << 12  # makes indices positive before they are wrapped

Noise = Callable[[str], np.ndarray]  # a fresh sample of a noise band, [n]


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


def mix(color: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> None:
    """Moves colours [n 3] in place towards another colour, [3] or [n 3], by `share` [n]."""
    color += share[:, None].astype(np.float32) * (np.asarray(other, np.float32) - color)


@dataclasses.dataclass(frozen=True)
class Weave:
    """Where n points lie on a piece of cloth, float32 [n] each.

    Attributes:
        along: Metres up the garment; on sleeves up the arm.
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
        """`around` in periods, whose number is rounded so that the cloth closes without a seam."""
        return self.around * (np.maximum(np.rint(self.girth / period), 1.0) / self.girth)


def _weave(along: np.ndarray, around: np.ndarray, girth: np.ndarray | float, x: np.ndarray, arm: np.ndarray) -> Weave:
    return Weave(
        *(np.broadcast_to(values, along.shape).astype(np.float32) for values in (along, around, girth, x, arm))
    )


@functools.lru_cache(maxsize=2)
def weave_of_top(atlas: Atlas) -> Weave:
    """On the body from hip to neck."""
    s = atlas.surface.take(atlas.span("hip", "neck"))
    arm = s.is_arm > 0.5
    around = np.where(arm, s.around, trunk_around(s.position))
    along = np.where(arm, 0.50 - 0.27 * s.arm, s.position[:, 2])
    return _weave(along, around, np.where(arm, _ARM_GIRTH, _TRUNK_GIRTH), s.position[:, 0], arm)


@functools.lru_cache(maxsize=2)
def weave_of_bottom(atlas: Atlas) -> Weave:
    """On the body from foot to hip."""
    s = atlas.surface.take(atlas.span("foot", "hip"))
    side = np.where(s.position[:, 0] >= 0, 1.0, -1.0)
    leg = (s.group("upper_leg", "lower_leg", "foot") > 0.5) & (s.part == BODY)
    around = np.where(leg, side * (_LEG_AXIS + s.around), s.around)
    return _weave(s.position[:, 2], around, _LEG_GIRTH, s.position[:, 0], np.zeros(len(side)))


def weave_around(surface: Surface, height: np.ndarray | None = None) -> Weave:
    """On what hangs around the trunk: skirt, panels, collar, hood; `height` [n] where it is not that of the surface."""
    position = surface.position
    along = position[:, 2] if height is None else height
    return _weave(along, trunk_around(position), _TRUNK_GIRTH, position[:, 0], np.zeros(len(position)))


@dataclasses.dataclass(frozen=True)
class Creases:
    """Folds where a joint or a seam makes them: a run of ridges.

    Attributes:
        index: Samples int64 [k] of the span that it reaches.
        ridge: Number of the ridge at each, float32 [k].
        depth: float32 [k] in [0, 1].
    """

    index: np.ndarray
    ridge: np.ndarray
    depth: np.ndarray


def _creases(ridge: np.ndarray, depth: np.ndarray) -> Creases:
    index = np.flatnonzero(depth > 0.04)
    return Creases(index, ridge[index].astype(np.float32), depth[index].astype(np.float32))


@functools.lru_cache(maxsize=2)
def creases_of_top(atlas: Atlas) -> tuple[Creases, ...]:
    """From hip to neck: rays from the armpits, rings at elbows and cuffs, and at the sides of the waist."""
    s = atlas.surface.take(atlas.span("hip", "neck"))
    x, _, z = s.position.T
    arm = s.is_arm > 0.5
    right, up = np.abs(x) - 0.175, z - 0.475
    pit = np.exp(-np.hypot(right, up) / 0.085) * smoothstep(np.hypot(right, up), 0.0, 0.03)
    inside = 0.45 + 0.55 * smoothstep(-s.normal[:, 1], -0.3, 0.6)
    side = smoothstep(np.abs(trunk_around(s.position)), 0.09, 0.16)
    slant = 0.35 * np.abs(x) / 0.05
    return (
        _creases(np.arctan2(up, right) * (6.5 / np.pi), pit * ~arm),
        _creases(s.arm * 15.0 + s.around * 9.0, arm * bump(s.arm - 1.02, 0.17) * inside),
        _creases(s.arm * 17.0 - s.around * 6.0, 0.8 * arm * bump(s.arm - 1.84, 0.12)),
        _creases(z / 0.036 + slant, 0.75 * ~arm * bump(z - 0.125, 0.055) * side),
    )


@functools.lru_cache(maxsize=2)
def creases_of_bottom(atlas: Atlas) -> tuple[Creases, ...]:
    """From foot to hip: rays from the crotch, rings at the knees, behind them, and over the shoes."""
    s = atlas.surface.take(atlas.span("foot", "hip"))
    x, _, z = s.position.T
    reach = np.hypot(x, z + 0.03)
    crotch = np.exp(-reach / 0.10) * smoothstep(reach, 0.0, 0.03) * smoothstep(0.12 - z, 0.0, 0.05)
    behind = 0.45 + 0.55 * smoothstep(s.normal[:, 1], -0.4, 0.5)
    leg = smoothstep(s.group("upper_leg", "lower_leg", "foot"), 0.3, 0.7)
    return (
        _creases(np.arctan2(z + 0.03, np.abs(x)) * (8.0 / np.pi), crotch),
        _creases(s.leg * 15.0 + s.around * 7.0, leg * bump(s.leg - 1.03, 0.13) * behind),
        _creases(s.leg * 20.0 - s.around * 6.0, leg * bump(s.leg - 1.86, 0.10)),
    )


def _look_up(tile: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values [n C] of a tile that repeats, at places in periods; rows rise upwards."""
    column = ((columns + _SHIFT) * TILE_SIZE).astype(np.int32) % TILE_SIZE
    row = ((_SHIFT - rows) * TILE_SIZE).astype(np.int32) % TILE_SIZE
    return tile[row, column]


def lay_pattern(
    color: np.ndarray,
    name: str,
    weave: Weave,
    second: tuple[float, ...],
    third: tuple[float, ...],
    scale: float,
    phase: float,
    noise: Noise,
) -> None:
    """Lays a pattern over the main colour (in place).

    Args:
        color: float32 [n 3], the main colour.
        name: One of `appearance.PATTERNS`; others leave the colour as it is.
        weave: Where the points lie.
        second, third: The other colours.
        scale: Relative size.
        phase: In [0, 1): shifts and varies the pattern.
        noise: For patterns without a rule.
    """
    along = weave.along
    if name in TILE_PERIODS:
        width, height = TILE_PERIODS[name]
        tile = prints.tile(name, int(phase * 1000) % prints.VARIANTS)
        shares = _look_up(tile, weave.columns(width * scale) + phase, along / (height * scale) + phase)
        mix(color, second, shares[:, 0])
        mix(color, third, shares[:, 1])
    elif name == "stripes":
        period = 0.075 * scale
        mix(color, second, stripes(along, period, 0.25 + 0.45 * (7 * phase % 1.0), phase))
        if phase > 0.6:
            mix(color, third, stripes(along, period, 0.12, phase + 0.5))
    elif name in ("vertical", "pinstripe"):
        period = (0.046 if name == "vertical" else 0.030) * scale
        share = 0.2 + 0.35 * phase if name == "vertical" else 0.10
        width = float(np.median(weave.girth)) / max(1.0, round(float(np.median(weave.girth)) / period))
        mix(color, second, stripes(weave.columns(period) * width, width, share, phase))
    elif name == "gradient":
        low, length = float(along.min()), float(along.max() - along.min())
        start = low + (0.08 + 0.35 * phase) * length
        mix(color, second, smoothstep(along, start, start + 0.5 * length))
    elif name == "block":
        level = 0.20 + 0.22 * phase
        mix(color, second, edge(along - level))
        if phase < 0.5:
            mix(color, third, edge(along - level - 0.10 * scale))
        else:
            mix(color, third, band(along - level, 0.016 * scale))
    elif name == "panel":
        # The sides, and with them the sleeves, of another colour.
        inner = 0.105 + 0.04 * phase - 0.06 * smoothstep(0.35 - along, 0.0, 0.3) * (phase < 0.4)
        outside = np.abs(np.abs(weave.around) - _TRUNK_GIRTH / 4) - (_TRUNK_GIRTH / 4 - inner)
        mix(color, second, np.maximum(edge(-outside), weave.arm))
        if phase > 0.5:
            mix(color, third, band(outside, 0.007) * (1.0 - weave.arm))
    elif name == "yoke":
        # Raglan: sleeves, and for some the shoulders, of another colour.
        shoulders = edge(along - 0.50 + 0.12 * np.abs(weave.x)) * (phase > 0.5)
        mix(color, second, np.maximum(weave.arm, shoulders * (1.0 - weave.arm)))
    elif name == "camouflage":
        band_name = "medium" if scale > 0.9 else "fine"
        mix(color, second, edge(noise(band_name), 0.15))
        mix(color, third, edge(noise(band_name) - 0.35, 0.15))
        mix(color, color[:1] * 0.4, edge(noise(band_name) - 0.7, 0.15))
    elif name == "tie_dye":
        x, y = weave.x - 0.04 * (phase - 0.5), along - 0.30
        radius, angle = np.hypot(x, y), np.arctan2(y, x)
        turns = 2.0 * angle + (38.0 if phase < 0.5 else -26.0) * radius / scale + 0.8 * noise("medium")
        wave = np.sin(np.where(weave.arm > 0.5, 60.0 * along, turns))
        mix(color, second, smoothstep(wave, -0.35, 0.45))
        mix(color, third, smoothstep(wave, 0.5, 0.95))


def weave_shading(fabric: str, weave: Weave, folds: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray | None]:
    """How a fabric catches the light.

    Args:
        fabric: One of `appearance.FABRICS`.
        weave: Where the points lie.
        folds: Hills and valleys of the cloth [n], about -1 to 1.
        noise: Fresh noise.

    Returns:
        A factor [n] of the colour, and the gloss [n] to be added to it; None without gloss.
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
    """Clothes a garment in an image, mirrored at its borders, so that no seam shows (in place).

    Args:
        color: float32 [n 3].
        image: uint8 [h w 3].
        weave: Where the points lie.
        scale: Metres on the garment of the image's shorter side.
        phase: In [0, 1): shifts it.
    """
    height, width = image.shape[:2]
    metres = scale / min(height, width)  # of a pixel
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


def lay_print(
    color: np.ndarray,
    layers: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    share: np.ndarray,
    inks: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    """Lays a print (in place) on points [n] with coordinates u, v in its box [-1, 1] x [-1, 1], v up."""
    inside = np.flatnonzero((np.abs(u) < 1.0) & (np.abs(v) < 1.0) & (share > 0.0))
    size = prints.PRINT_SIZE
    column = ((u[inside] + 1) / 2 * size).astype(np.int32)
    row = ((1 - v[inside]) / 2 * size).astype(np.int32)
    shares = layers[row, column] * (share[inside, None] / 255.0)
    part = color[inside]
    mix(part, inks[0], shares[:, 0])
    mix(part, inks[1], shares[:, 1])
    color[inside] = part
