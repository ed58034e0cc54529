"""A library of painted surfaces for backgrounds: grounds, walls, and cut-out objects such as trees and bicycles.

Everything is painted by code from fixed seeds, once a process and only when asked for, as image pyramids: looking a
colour up at the right level keeps far ground and walls free of aliasing. Colours are display values in [0, 1].
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw, ImageFilter
from scipy.spatial import KDTree

VARIANTS = 4  # paintings of each kind; scenes tint and scale them further
_SEED = 20200207
_SIZE = 512


class Surface:
    """A painted picture with its pyramid, repeated in both directions.

    Args:
        pixels: float [size size channels], size a power of two; row 0 is the top.
        metres: Length of the picture's side.
    """

    def __init__(self, pixels: np.ndarray, metres: float):
        level = pixels.astype(np.float32)
        self.metres = metres
        self.size = level.shape[0]
        levels = [level]
        while level.shape[0] > 4:
            level = 0.25 * (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2])
            levels.append(level)
        self._count = len(levels)
        self._start = np.cumsum([0] + [one.shape[0] ** 2 for one in levels[:-1]], dtype=np.int32)
        self._pixels = np.concatenate([one.reshape(-1, one.shape[-1]) for one in levels])

    def sample(self, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Looks colours up.

        Args:
            u, v: [N] metres to the right and up.
            footprint: [N] size of a picture's pixel on the surface, metres.

        Returns:
            [N channels]
        """
        level = np.log2(np.maximum(footprint * (self.size / self.metres), 1.0))
        level = np.minimum(level, self._count - 1.001)
        coarse = level.astype(np.int32)
        part = (level - coarse)[:, None].astype(np.float32)
        x, y = (u / self.metres).astype(np.float32), (-v / self.metres).astype(np.float32)
        return self._bilinear(x, y, coarse) * (1 - part) + self._bilinear(x, y, coarse + 1) * part

    def _bilinear(self, x: np.ndarray, y: np.ndarray, level: np.ndarray) -> np.ndarray:
        size = self.size >> level
        x, y = x * size - 0.5, y * size - 0.5
        column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        x, y = (x - column)[:, None], (y - row)[:, None]
        mask = size - 1
        left, right = column & mask, (column + 1) & mask
        top = self._start[level] + (row & mask) * size
        bottom = self._start[level] + ((row + 1) & mask) * size
        upper = self._pixels.take(top + left, axis=0) * (1 - x)
        upper += self._pixels.take(top + right, axis=0) * x
        lower = self._pixels.take(bottom + left, axis=0) * (1 - x)
        lower += self._pixels.take(bottom + right, axis=0) * x
        return upper * (1 - y) + lower * y


class Cutout:
    """An object as a flat picture that stands on the ground.

    Args:
        image: RGBA picture of a power-of-two square.
        width, height: Metres.
    """

    def __init__(self, image: Image.Image, width: float, height: float):
        self.width = width
        self.height = height
        pixels = np.asarray(image, np.float32) / 255.0
        pixels[..., :3] *= pixels[..., 3:]
        self._surface = Surface(pixels, 1.0)

    def sample(self, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Premultiplied RGBA [N 4] at `u` in [0, 1] from the left and `v` in [0, 1] from the ground."""
        return self._surface.sample(u, v, footprint / max(self.width, self.height))


@functools.cache
def ground(kind: str, variant: int) -> Surface:
    """A ground of one of the kinds in GROUNDS, `variant` in range(VARIANTS)."""
    paint, metres = GROUNDS[kind]
    return Surface(np.clip(paint(_generator("ground", kind, variant)), 0.0, 1.0), metres)


@functools.cache
def wall(kind: str, variant: int) -> Surface:
    """A wall of one of the kinds in WALLS, `variant` in range(VARIANTS); its bottom row stands on the ground."""
    paint, metres = WALLS[kind]
    return Surface(np.clip(paint(_generator("wall", kind, variant)), 0.0, 1.0), metres)


@functools.cache
def cutout(kind: str, variant: int) -> Cutout:
    """An object of one of the kinds in CUTOUTS, `variant` in range(VARIANTS)."""
    return CUTOUTS[kind](_generator("cutout", kind, variant))


def _generator(*key: str | int) -> np.random.Generator:
    words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "little") % (1 << 32) for part in key]
    return np.random.default_rng(np.random.SeedSequence(_SEED, spawn_key=words))


# ------------------------------------------------------------------------------------------------------------ tools


def _noise(rng: np.random.Generator, shortest: float, longest: float, size: int = _SIZE) -> np.ndarray:
    """Tileable noise [size size] of unit variance with wavelengths between `shortest` and `longest` pixels."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    band = (frequency >= 1.0 / longest) & (frequency <= 1.0 / shortest)
    amplitude = np.where(band, 1.0 / np.maximum(frequency, 1e-6), 0.0)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * amplitude
    noise = np.fft.irfft2(spectrum, (size, size))
    return (noise / noise.std()).astype(np.float32)


def _colored(color: tuple[float, float, float] | np.ndarray, value: np.ndarray) -> np.ndarray:
    """A colour times a brightness [size size]."""
    return np.asarray(color, np.float32) * value[..., None].astype(np.float32)


def _cells(height: float, width: float, shift: float, joint: float, rng: np.random.Generator, spread: float):
    """Rectangular stones: brightness [size size] of each, and joints (0 stone .. 1 joint). All lengths in pixels."""
    rows, columns = max(1, round(_SIZE / height)), max(1, round(_SIZE / width))
    height, width = _SIZE / rows, _SIZE / columns
    y, x = np.mgrid[0:_SIZE, 0:_SIZE].astype(np.float32) + 0.5
    row = (y / height).astype(int)
    x = x + shift * width * row
    column = (x / width).astype(int) % columns
    brightness = 1.0 + spread * rng.standard_normal((rows, columns)).astype(np.float32)[row % rows, column]
    distance = np.minimum(np.minimum(y % height, height - y % height), np.minimum(x % width, width - x % width))
    return brightness, np.clip(1.0 - (distance - 0.5 * joint) / 1.5, 0.0, 1.0)


def _stones(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Irregular stones on a jittered grid of count x count: number of the stone, its edge distance, its brightness."""
    step = _SIZE / count
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1).reshape(-1, 2)
    centers = (grid + rng.uniform(0.15, 0.85, grid.shape)) * step
    tree = KDTree(centers % _SIZE, boxsize=_SIZE)
    half = np.mgrid[0:_SIZE:2, 0:_SIZE:2].reshape(2, -1).T + 0.5
    found = tree.query(half, k=2)
    distance, index = np.asarray(found[0]), np.asarray(found[1])
    side = _SIZE // 2
    edge = np.kron((distance[:, 1] - distance[:, 0]).reshape(side, side), np.ones((2, 2)))
    number = np.kron(index[:, 0].reshape(side, side), np.ones((2, 2), int))
    return number, edge / step, rng.standard_normal(count * count)[number]


def _grey(rng: np.random.Generator, low: float, high: float, spread: float = 0.012) -> np.ndarray:
    """A nearly grey colour."""
    return rng.uniform(low, high) * (1.0 + spread * rng.standard_normal(3))


# ---------------------------------------------------------------------------------------------------------- grounds


def _asphalt(rng: np.random.Generator) -> np.ndarray:
    value = 1 + 0.10 * _noise(rng, 2, 5) + 0.03 * _noise(rng, 60, 500) + 0.02 * _noise(rng, 8, 40)
    crack = np.abs(_noise(rng, 30, 400)) < 0.012
    value = value * (1 - 0.3 * scipy.ndimage.uniform_filter(crack.astype(np.float32), 2, mode="wrap"))
    if rng.uniform() < 0.5:  # a patch of newer asphalt
        top, left = rng.integers(60, 260, 2)
        height, width = rng.integers(80, 200, 2)
        value[top : top + height, left : left + width] *= rng.uniform(0.78, 0.9)
    return _colored(_grey(rng, 0.36, 0.56), value)


def _concrete(rng: np.random.Generator) -> np.ndarray:
    brightness, joint = _cells(256, 256, 0, 2, rng, 0.03)
    value = brightness + 0.03 * _noise(rng, 2, 6) + 0.03 * _noise(rng, 60, 500)
    return _colored(_grey(rng, 0.52, 0.7), value * (1 - 0.35 * joint))


def _slabs(rng: np.random.Generator) -> np.ndarray:
    across = float(rng.choice([64, 85, 128]))
    along = across * float(rng.choice([1.0, 2.0]))
    brightness, joint = _cells(across, along, float(rng.choice([0.0, 0.5])), 2.0, rng, 0.05)
    value = brightness + 0.04 * _noise(rng, 2, 6) + 0.03 * _noise(rng, 60, 500)
    return _colored(_grey(rng, 0.45, 0.68, 0.02), value * (1 - 0.38 * joint))


def _pavers(rng: np.random.Generator) -> np.ndarray:
    brightness, joint = _cells(26, 52, 0.5, 1.6, rng, 0.09)
    value = brightness + 0.05 * _noise(rng, 2, 6) + 0.03 * _noise(rng, 60, 500)
    color = np.array([[0.62, 0.42, 0.35], [0.55, 0.53, 0.50], [0.60, 0.50, 0.42], [0.48, 0.46, 0.47]])[rng.integers(4)]
    return _colored(color * (1 + 0.02 * rng.standard_normal(3)), value * (1 - 0.35 * joint))


def _cobbles(rng: np.random.Generator) -> np.ndarray:
    _, edge, brightness = _stones(rng, 20)
    value = (1 + 0.10 * brightness) * (0.55 + 0.45 * np.clip(edge / 0.35, 0, 1) ** 0.5) + 0.05 * _noise(rng, 2, 8)
    return _colored(_grey(rng, 0.42, 0.6, 0.02), value)


def _gravel(rng: np.random.Generator) -> np.ndarray:
    _, edge, brightness = _stones(rng, 90)
    value = (1 + 0.13 * brightness) * (0.75 + 0.25 * np.clip(edge / 0.4, 0, 1)) + 0.06 * _noise(rng, 60, 400)
    return _colored(np.array([0.62, 0.57, 0.49]) * rng.uniform(0.85, 1.1), value)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    side = float(rng.choice([64, 102, 128]))
    brightness, joint = _cells(side, side, 0, 1.4, rng, 0.025)
    if rng.uniform() < 0.4:  # a darker tile here and there
        rows = round(_SIZE / side)
        y, x = np.mgrid[0:_SIZE, 0:_SIZE] * rows // _SIZE
        brightness = brightness * np.where((x + y) % 2 == 0, 1.0, rng.uniform(0.75, 0.92))
    value = brightness + 0.015 * _noise(rng, 40, 500)
    return _colored(_grey(rng, 0.6, 0.8), value * (1 - 0.3 * joint))


def _grass(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("RGB", (_SIZE, _SIZE), (58, 72, 36))
    draw = ImageDraw.Draw(image)
    count = 14000
    x, y = rng.uniform(0, _SIZE, (2, count))
    length, lean = rng.uniform(5, 13, count), rng.normal(0, 0.45, count)
    light = np.clip(rng.normal(0.5, 0.24, count), 0, 1)
    dry = np.clip(rng.normal(0.15, 0.2, count), 0, 1)
    for k in range(count):
        color = (
            int(62 + 72 * light[k] + 45 * dry[k]),
            int(84 + 74 * light[k] + 12 * dry[k]),
            int(38 + 38 * light[k] + 12 * dry[k]),
        )
        draw.line((x[k], y[k], x[k] + length[k] * lean[k], y[k] - length[k]), fill=color, width=1)
    value = 1 + 0.10 * _noise(rng, 60, 500) + 0.06 * _noise(rng, 14, 60)
    return np.asarray(image, np.float32) / 255.0 * value[..., None]


def _rubber(rng: np.random.Generator) -> np.ndarray:
    value = 1 + 0.13 * _noise(rng, 2, 5) + 0.05 * _noise(rng, 60, 500)
    color = np.array([[0.53, 0.34, 0.30], [0.35, 0.43, 0.39], [0.38, 0.42, 0.48]])[rng.choice(3, p=[0.5, 0.25, 0.25])]
    return _colored(color, value)


# kind -> (painter, metres of the side)
GROUNDS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], float]] = {
    "asphalt": (_asphalt, 4.0),
    "concrete": (_concrete, 6.0),
    "slabs": (_slabs, 3.2),
    "pavers": (_pavers, 2.0),
    "cobbles": (_cobbles, 2.2),
    "gravel": (_gravel, 2.4),
    "tiles": (_tiles, 4.8),
    "grass": (_grass, 2.6),
    "rubber": (_rubber, 4.0),
}


# ------------------------------------------------------------------------------------------------------------ walls

_FACADE_METRES = 8.0
_WALL_COLORS = np.array(
    [
        [0.78, 0.72, 0.62],
        [0.70, 0.70, 0.68],
        [0.60, 0.40, 0.33],
        [0.82, 0.80, 0.76],
        [0.55, 0.52, 0.50],
        [0.62, 0.50, 0.40],
        [0.58, 0.64, 0.68],
        [0.72, 0.60, 0.50],
        [0.42, 0.40, 0.42],
    ]
)


def _masonry(rng: np.random.Generator) -> np.ndarray:
    """Bare wall: plaster, bricks, panels or stone blocks."""
    pixel = _SIZE / _FACADE_METRES
    color = _WALL_COLORS[rng.integers(len(_WALL_COLORS))] * (1 + 0.02 * rng.standard_normal(3))
    value = 1 + 0.025 * _noise(rng, 2, 6) + 0.03 * _noise(rng, 60, 500)
    style = rng.choice(["plaster", "brick", "panel", "block"], p=[0.3, 0.35, 0.2, 0.15])
    if style == "brick":
        brightness, joint = _cells(0.085 * pixel, 0.25 * pixel, 0.5, 0.8, rng, 0.08)
        value = value * brightness * (1 - 0.2 * joint)
    elif style == "panel":
        brightness, joint = _cells(1.33 * pixel, float(rng.choice([1.0, 2.0])) * pixel, 0, 2.0, rng, 0.03)
        value = value * brightness * (1 - 0.35 * joint)
    elif style == "block":
        brightness, joint = _cells(0.4 * pixel, 0.8 * pixel, 0.5, 2.0, rng, 0.06)
        value = value * brightness * (1 - 0.25 * joint)
    streaks = scipy.ndimage.gaussian_filter(rng.standard_normal((_SIZE, _SIZE)), (60, 2), mode="wrap")
    value = value * (1 + 0.025 * streaks / streaks.std())
    return _colored(color, value)


def _fill(pixels: np.ndarray, left: float, right: float, low: float, high: float, color: np.ndarray) -> np.ndarray:
    """Fills a rectangle given in metres from the left and the ground; returns the view that it covers."""
    scale = _SIZE / _FACADE_METRES
    area = pixels[
        max(0, round(_SIZE - high * scale)) : round(_SIZE - low * scale),
        max(0, round(left * scale)) : round(right * scale),
    ]
    area[:] = color
    return area


def _glaze(rng: np.random.Generator, area: np.ndarray) -> None:
    """Glass: dark, with the sky's reflection in the upper part, and a curtain at times."""
    height, width = area.shape[:2]
    if height == 0 or width == 0:
        return
    dark = rng.uniform(0.10, 0.26)
    reflection = rng.uniform(0.05, 0.4) * np.linspace(1, 0, height)[:, None] ** 1.5
    slant = (np.arange(width)[None] + 0.6 * np.arange(height)[:, None]) / max(width, 1)
    gleam = 0.08 * (np.abs(slant - rng.uniform(0.2, 1.4)) < 0.15)
    area[:] = (dark + reflection + gleam)[..., None] * np.array([0.92, 1.0, 1.08])
    if rng.uniform() < 0.3:
        area[: int(height * rng.uniform(0.2, 1.0))] = rng.uniform(0.5, 0.8) * np.array([1.0, 0.97, 0.9])


def _facade(rng: np.random.Generator) -> np.ndarray:
    pixels = _masonry(rng)
    bays = int(rng.integers(2, 5))
    bay = _FACADE_METRES / bays
    frame = _grey(rng, 0.7, 0.92) if rng.uniform() < 0.6 else _grey(rng, 0.12, 0.35)
    floor = rng.uniform(3.0, 3.8)
    width, height = bay * rng.uniform(0.45, 0.7), rng.uniform(1.2, 1.8)
    sill = rng.uniform(0.6, 1.0)
    for level in (floor, floor + 3.0):  # upper floors
        for k in range(bays):
            middle = (k + 0.5) * bay
            low = level + sill
            _fill(pixels, middle - width / 2 - 0.08, middle + width / 2 + 0.08, low - 0.1, low + height + 0.08, frame)
            for part in (-1, 1):
                inner = sorted((middle + part * 0.03, middle + part * (width / 2)))
                _glaze(rng, _fill(pixels, inner[0], inner[1], low, low + height, frame))
            _fill(pixels, middle - width / 2 - 0.15, middle + width / 2 + 0.15, low - 0.16, low - 0.08, frame * 0.85)
    _fill(pixels, 0, _FACADE_METRES, floor - 0.1, floor + 0.12, pixels.mean(axis=(0, 1)) * rng.uniform(0.75, 1.15))
    for k in range(bays):  # ground floor
        left, right = (k + 0.12) * bay, (k + 0.88) * bay
        use = rng.choice(["window", "shop", "door", "shutter", "bare"], p=[0.3, 0.22, 0.16, 0.12, 0.2])
        accent = np.clip(rng.uniform(0.15, 0.75, 3) * 0.6 + rng.uniform(0.1, 0.3), 0, 1)
        if use == "window":
            _fill(pixels, left, right, 0.85, 2.5, frame)
            _glaze(rng, _fill(pixels, left + 0.08, right - 0.08, 0.95, 2.42, frame))
        elif use == "shop":
            _fill(pixels, left - 0.1, right + 0.1, 0.15, 3.0, accent)
            area = _fill(pixels, left, right, 0.4, 2.4, accent)
            _glaze(rng, area)
            for _ in range(8):  # goods behind the glass
                x, low = rng.uniform(left, right - 0.3), rng.uniform(0.45, 1.4)
                color = rng.uniform(0.15, 0.6) + rng.uniform(-0.12, 0.12, 3)
                _fill(pixels, x, x + rng.uniform(0.08, 0.3), low, low + rng.uniform(0.1, 0.5), color)
        elif use == "door":
            middle = 0.5 * (left + right)
            _fill(pixels, middle - 0.6, middle + 0.6, 0.0, 2.35, frame)
            _fill(pixels, middle - 0.52, middle + 0.52, 0.0, 2.27, accent * 0.7)
            _glaze(rng, _fill(pixels, middle - 0.36, middle + 0.36, 1.1, 2.05, frame))
        elif use == "shutter":
            area = _fill(pixels, left, right, 0.05, 2.6, _grey(rng, 0.45, 0.75))
            area *= 1 - 0.16 * (np.arange(area.shape[0]) % 7 < 2)[:, None, None]
    plinth = pixels[int(_SIZE - rng.uniform(0.25, 0.5) * _SIZE / _FACADE_METRES) :]
    plinth *= rng.uniform(0.65, 0.85)
    return pixels * (1 + 0.02 * _noise(rng, 2, 8))[..., None]


def _leaves(rng: np.random.Generator, draw: ImageDraw.ImageDraw, boxes: np.ndarray, light: np.ndarray, hue: float):
    """Draws leaf clusters: boxes [N 4] (left, top, right, bottom), light [N] in [0, 1], dark ones first."""
    for k in np.argsort(light + 0.25 * rng.standard_normal(len(light))):
        level = 0.28 + 0.95 * light[k]
        jitter = rng.normal(0, 6, 3)
        color = np.clip(np.array([84 + 30 * hue, 112, 58 - 12 * hue]) * level + jitter, 0, 255).astype(int)
        draw.ellipse(tuple(boxes[k]), fill=(int(color[0]), int(color[1]), int(color[2]), 255))


def _hedge(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("RGB", (_SIZE, _SIZE), (22, 32, 16))
    draw = ImageDraw.Draw(image)
    count = 9000
    clump = _noise(rng, 24, 140)
    x, y = rng.uniform(0, _SIZE, (2, count))
    light = np.clip(0.45 + 0.2 * clump[y.astype(int), x.astype(int)] + 0.16 * rng.standard_normal(count), 0, 1)
    width, height = rng.uniform(4, 11, count), rng.uniform(3, 8, count)
    _leaves(rng, draw, np.stack([x, y, x + width, y + height], 1), light, rng.uniform(-0.6, 0.5))
    return np.asarray(image, np.float32) / 255.0


def _paneling(rng: np.random.Generator) -> np.ndarray:
    """Indoor wall: big panels, a glass front or wall tiles, with a dark skirting and some posters."""
    pixel = _SIZE / _FACADE_METRES
    style = rng.choice(["panel", "tile", "glass"])
    if style == "tile":
        brightness, joint = _cells(0.2 * pixel, 0.4 * pixel, 0.5, 1.2, rng, 0.04)
        pixels = _colored(_grey(rng, 0.65, 0.85), brightness * (1 - 0.25 * joint))
    else:
        brightness, joint = _cells(4 * pixel, 1.33 * pixel, 0, 2.0, rng, 0.03)
        pixels = _colored(_WALL_COLORS[rng.integers(len(_WALL_COLORS))], brightness * (1 - 0.4 * joint))
    if style == "glass":
        for k in range(6):
            _glaze(rng, _fill(pixels, 1.333 * k + 0.06, 1.333 * k + 1.27, 0.3, 2.6, np.zeros(3)))
    for _ in range(int(rng.integers(1, 4))):
        left, low = rng.uniform(0, 6.5), rng.uniform(0.8, 1.3)
        color = rng.uniform(0.25, 0.7) + rng.uniform(-0.2, 0.2, 3)
        wide = rng.uniform(0.6, 1.3)
        _fill(pixels, left - 0.05, left + wide + 0.05, low - 0.05, low + 1.45, _grey(rng, 0.2, 0.8))
        area = _fill(pixels, left, left + wide, low, low + 1.4, color)
        if area.size:
            area[area.shape[0] // 2 :] = np.clip(1.0 - 0.7 * color, 0, 1)
    _fill(pixels, 0, _FACADE_METRES, 0, 0.15, _grey(rng, 0.15, 0.35))
    return pixels * (1 + 0.015 * _noise(rng, 60, 500))[..., None]


WALLS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], float]] = {
    "facade": (_facade, _FACADE_METRES),
    "masonry": (_masonry, _FACADE_METRES),
    "hedge": (_hedge, 3.0),
    "paneling": (_paneling, _FACADE_METRES),
}


# ---------------------------------------------------------------------------------------------------------- objects


def _canvas(size: int = 256) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    return image, ImageDraw.Draw(image)


def _paint_color(rng: np.random.Generator, low: int = 25, high: int = 215) -> tuple[int, int, int]:
    """A colour as cars and clothes have it: often grey, at times strong."""
    level = rng.uniform(low, high)
    spread = 0.05 if rng.uniform() < 0.6 else 0.3
    red, green, blue = np.clip(level * (1 + spread * rng.standard_normal(3)), 8, 240).astype(int)
    return int(red), int(green), int(blue)


def _bleed(image: Image.Image) -> Image.Image:
    """Smooths the edge a little."""
    return image.filter(ImageFilter.GaussianBlur(0.6))


def _tree(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    bark = (int(rng.uniform(60, 95)), int(rng.uniform(50, 75)), int(rng.uniform(38, 58)))
    lean = rng.uniform(-8, 8)
    draw.polygon([(120, 256), (124 + lean, 110), (134 + lean, 110), (138, 256)], fill=(*bark, 255))
    for _ in range(5):
        x, y = rng.uniform(70, 190), rng.uniform(50, 120)
        draw.line((129 + lean, rng.uniform(120, 165), x, y), fill=(*bark, 255), width=4)
    count = 1500
    angle, radius = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    lobes = rng.normal(0, 1, (7, 2)) * [42, 26] + [128, 80]
    chosen = lobes[rng.integers(7, size=count)]
    x = chosen[:, 0] + 44 * radius * np.cos(angle)
    y = chosen[:, 1] + 36 * radius * np.sin(angle)
    light = np.clip(0.75 - (y - 20) / 190 + 0.15 * rng.standard_normal(count), 0, 1)
    size = rng.uniform(3, 9, count)
    keep = (x > 2) & (x < 244) & (y > 2) & (y < 190)
    boxes = np.stack([x, y, x + size, y + 0.8 * size], 1)[keep]
    _leaves(rng, draw, boxes, light[keep], rng.uniform(-0.6, 0.6))
    scale = rng.uniform(4.2, 6.0)
    return Cutout(_bleed(image), scale, scale)


def _bush(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    count = 1600
    angle, radius = rng.uniform(0, math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    x, y = 122 + 118 * radius * np.cos(angle), 246 - rng.uniform(150, 230) * radius * np.sin(angle)
    light = np.clip(0.8 - (y - 20) / 330 + 0.15 * rng.standard_normal(count), 0, 1)
    size = rng.uniform(5, 14, count)
    _leaves(rng, draw, np.stack([x, y, x + size, y + 0.8 * size], 1), light, rng.uniform(-0.6, 0.6))
    return Cutout(_bleed(image), rng.uniform(1.2, 2.4), rng.uniform(0.8, 1.4))


def _bicycle(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas(512)
    color = _paint_color(rng)
    for x in (112, 400):
        draw.ellipse((x - 106, 300, x + 106, 512), outline=(28, 28, 30, 255), width=12)
        for k in range(10):
            angle = math.pi * k / 10 + 0.1
            dx, dy = 98 * math.cos(angle), 98 * math.sin(angle)
            draw.line((x - dx, 406 - dy, x + dx, 406 + dy), fill=(120, 120, 122, 130), width=2)
    tube = {"fill": (*color, 255), "width": 13}
    bottom, seat, head = (235, 410), (200, 235), (362, 215)
    for start, end in ((bottom, seat), (bottom, head), (seat, head), (bottom, (112, 406)), ((112, 406), seat)):
        draw.line((*start, *end), **tube)
    draw.line((*head, 400, 406), **tube)
    draw.line((*head, 352, 150), fill=(60, 60, 62, 255), width=9)
    draw.line((330, 140, 380, 150), fill=(30, 30, 30, 255), width=13)
    draw.rounded_rectangle((160, 205, 235, 228), 9, fill=(28, 26, 26, 255))
    draw.line((*seat, 197, 220), fill=(60, 60, 62, 255), width=9)
    draw.ellipse((215, 390, 255, 430), outline=(50, 50, 52, 255), width=8)
    if rng.uniform() < 0.5:
        draw.rounded_rectangle((372, 160, 460, 230), 6, outline=(70, 70, 70, 255), width=7)
    if rng.uniform() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Cutout(image.resize((256, 256), Image.Resampling.BOX), 1.75, 1.45)


def _car(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas(512)
    color = _paint_color(rng, 30, 235)
    dark = tuple(int(0.72 * part) for part in color)
    roof = rng.uniform(150, 185)
    body = [
        (14, 430),
        (10, 330),
        (40, 290),
        (140, 268),
        (185, roof),
        (370, roof - 4),
        (440, 275),
        (496, 300),
        (504, 430),
    ]
    draw.polygon(body, fill=(*color, 255))
    draw.polygon([(14, 430), (12, 370), (502, 370), (504, 430)], fill=(*dark, 255))
    draw.polygon([(158, 268), (196, roof + 14), (272, roof + 12), (272, 268)], fill=(48, 56, 62, 255))
    draw.polygon([(284, 268), (284, roof + 12), (362, roof + 12), (418, 272)], fill=(58, 66, 72, 255))
    draw.line((278, 275, 278, 415), fill=(*dark, 255), width=3)
    draw.rectangle((298, 300, 330, 308), fill=(*dark, 255))
    draw.ellipse((8, 310, 40, 345), fill=(225, 222, 205, 255))
    draw.rectangle((484, 318, 504, 345), fill=(150, 30, 28, 255))
    for x in (118, 398):
        draw.ellipse((x - 54, 372, x + 54, 480), fill=(24, 24, 26, 255))
        draw.ellipse((x - 30, 396, x + 30, 456), fill=(140, 142, 146, 255))
    image = image.crop((0, 0, 512, 480)).resize((512, 512))
    if rng.uniform() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Cutout(image.resize((256, 256), Image.Resampling.BOX), 4.3, 2.05)


def _pedestrian(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    top, trousers = _paint_color(rng), _paint_color(rng, 20, 120)
    skin = ((206, 164, 138), (168, 122, 96), (104, 72, 56))[int(rng.integers(3))]
    hair = ((30, 26, 24), (64, 46, 34), (120, 92, 62))[int(rng.integers(3))]
    step = rng.uniform(4, 34)
    for side in (-1, 1):
        draw.line((128 + 8 * side, 130, 128 + side * step, 236), fill=(*trousers, 255), width=26)
        draw.rounded_rectangle((112 + side * step, 234, 146 + side * step, 254), 6, fill=(36, 34, 34, 255))
        draw.line((128 + 34 * side, 62, 128 + side * (38 + 0.3 * step), 138), fill=(*top, 255), width=18)
        draw.ellipse((119 + side * (38 + 0.3 * step), 132, 137 + side * (38 + 0.3 * step), 150), fill=(*skin, 255))
    draw.rounded_rectangle((92, 44, 164, 144), 22, fill=(*top, 255))
    draw.rectangle((118, 34, 138, 50), fill=(*skin, 255))
    draw.ellipse((108, 4, 148, 44), fill=(*skin, 255))
    draw.chord((106, 2, 150, 44), 180 + rng.uniform(-30, 10), 360 + rng.uniform(-10, 30), fill=(*hair, 255))
    shade = np.asarray(image, np.float32)
    shade[..., :3] *= (0.78 + 0.4 * np.linspace(1, 0, 256))[None, :, None].clip(0, 1.15)
    image = Image.fromarray(shade.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2.0))
    height = rng.uniform(1.6, 1.85)
    return Cutout(image, 0.55 * height, height)


def _bin(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    color = _paint_color(rng, 30, 140)
    draw.polygon([(70, 256), (52, 60), (204, 60), (186, 256)], fill=(*color, 255))
    draw.rounded_rectangle((44, 28, 212, 66), 14, fill=(*(int(0.7 * part) for part in color), 255))
    draw.rectangle((80, 90, 176, 150), fill=(*(min(255, int(1.35 * part + 20)) for part in color), 255))
    return Cutout(_bleed(image), 0.65, 1.05)


def _post(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    color = _paint_color(rng, 40, 160)
    draw.rectangle((118, 0, 138, 256), fill=(*color, 255))
    draw.rectangle((118, 0, 124, 256), fill=(*(int(0.7 * part) for part in color), 255))
    draw.rectangle((108, 236, 148, 256), fill=(*(int(0.8 * part) for part in color), 255))
    if rng.uniform() < 0.5:  # bollard
        return Cutout(image, 0.9, 1.0)
    return Cutout(image, 1.1, 4.8)


def _bench(rng: np.random.Generator) -> Cutout:
    image, draw = _canvas()
    wood = (int(rng.uniform(95, 150)), int(rng.uniform(68, 100)), int(rng.uniform(42, 70)))
    for top in (40, 74, 108):
        draw.rectangle((10, top, 246, top + 24), fill=(*wood, 255))
    draw.rectangle((4, 150, 252, 172), fill=(*(int(1.15 * part) for part in wood), 255))
    for left in (28, 206):
        draw.rectangle((left, 40, left + 14, 256), fill=(46, 46, 50, 255))
    return Cutout(_bleed(image), 1.7, 0.85)


CUTOUTS: dict[str, Callable[[np.random.Generator], Cutout]] = {
    "tree": _tree,
    "bush": _bush,
    "bicycle": _bicycle,
    "car": _car,
    "pedestrian": _pedestrian,
    "bin": _bin,
    "post": _post,
    "bench": _bench,
}
