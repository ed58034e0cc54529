"""A library of painted surfaces for backgrounds: grounds and walls.

Everything is painted by code from fixed seeds, once a process and only when asked for, as image pyramids: looking a
colour up at the right level keeps far ground and walls free of aliasing. Colours are display values in [0, 1].
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw
from scipy.spatial import KDTree

VARIANTS = 4  # paintings of each kind; scenes tint and scale them further
_SEED = 20200207
# Factor on how far a painting's colours lie from their mean: real streets are about as lively behind a person as the
# person is (`experiments.domain_gap`, the spread of the gradients over the width).
_CONTRAST = 1.6
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
        # One channel after another: whole rows are faster to work on than triples.
        self._channels = np.concatenate([one.reshape(-1, one.shape[-1]) for one in levels]).T.copy()

    def sample(self, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Look colours up.

        Args:
            u, v: [N] metres to the right and up.
            footprint: [N] size of a picture's pixel on the surface, metres.

        Returns:
            [N channels]
        """
        level = np.log2(np.maximum(footprint * (self.size / self.metres), 1.0))
        level = np.minimum(level, self._count - 1.001)
        coarse = level.astype(np.int32)
        part = (level - coarse).astype(np.float32)
        x, y = (u / self.metres).astype(np.float32), (-v / self.metres).astype(np.float32)
        near, far = self._bilinear(x, y, coarse), self._bilinear(x, y, coarse + 1)
        return (near + (far - near) * part).T

    def _bilinear(self, x: np.ndarray, y: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Return the colours [channels N] of one level of the pyramid."""
        size = self.size >> level
        x, y = (one * size.astype(np.float32) - np.float32(0.5) for one in (x, y))
        left, top = np.floor(x), np.floor(y)
        x, y = x - left, y - top
        column, row = left.astype(np.int32), top.astype(np.int32)
        mask = size - 1
        left, right = column & mask, (column + 1) & mask
        top = self._start[level] + (row & mask) * size
        bottom = self._start[level] + ((row + 1) & mask) * size
        corners = [self._channels.take(at, axis=1) for at in (top + left, top + right, bottom + left, bottom + right)]
        upper = corners[0] + (corners[1] - corners[0]) * x
        lower = corners[2] + (corners[3] - corners[2]) * x
        return upper + (lower - upper) * y


@functools.cache
def ground(kind: str, variant: int) -> Surface:
    """Return a ground of one of the kinds in GROUNDS, `variant` in range(VARIANTS)."""
    paint, metres = GROUNDS[kind]
    return Surface(_lively(paint(_generator("ground", kind, variant))), metres)


@functools.cache
def wall(kind: str, variant: int) -> Surface:
    """Return a wall of one of the kinds in WALLS, `variant` in range(VARIANTS); its bottom row stands on the ground."""
    paint, metres = WALLS[kind]
    return Surface(_lively(paint(_generator("wall", kind, variant))[..., :3]), metres)


@functools.cache
def glow(kind: str, variant: int) -> Surface:
    """Return how brightly the windows of a wall are lit at night, one channel in [0, 1]."""
    paint, metres = WALLS[kind]
    pixels = paint(_generator("wall", kind, variant))
    lit = pixels[..., 3:] if pixels.shape[-1] == 4 else np.zeros((*pixels.shape[:2], 1))
    return Surface(np.clip(lit, 0.0, 1.0), metres)


def _lively(pixels: np.ndarray) -> np.ndarray:
    mean = pixels.mean(axis=(0, 1))
    return np.clip(mean + _CONTRAST * (pixels - mean), 0.0, 1.0)


def _generator(*key: str | int) -> np.random.Generator:
    words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "little") % (1 << 32) for part in key]
    return np.random.default_rng(np.random.SeedSequence(_SEED, spawn_key=words))


# ------------------------------------------------------------------------------------------------------------ tools


def _noise(rng: np.random.Generator, shortest: float, longest: float, size: int = _SIZE) -> np.ndarray:
    """Return tileable noise [size size] of unit variance with wavelengths between `shortest` and `longest` pixels."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    band = (frequency >= 1.0 / longest) & (frequency <= 1.0 / shortest)
    amplitude = np.where(band, 1.0 / np.maximum(frequency, 1e-6), 0.0)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * amplitude
    noise = np.fft.irfft2(spectrum, (size, size))
    return (noise / noise.std()).astype(np.float32)


def _colored(color: tuple[float, float, float] | np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return a colour times a brightness [size size]."""
    return np.asarray(color, np.float32) * value[..., None].astype(np.float32)


def _cells(height: float, width: float, shift: float, joint: float, rng: np.random.Generator, spread: float):
    """Return rectangular stones: brightness and joints (0 stone .. 1 joint), each [size size]; lengths in pixels."""
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
    """Return irregular stones on a jittered count x count grid: number of each, distance from its edge, brightness."""
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
    """Draw a nearly grey colour."""
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
    """Paint a bare wall: plaster, bricks, panels or stone blocks."""
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
    value = value * (1 + 0.012 * streaks / streaks.std())
    return _colored(color, value)


def _fill(pixels: np.ndarray, left: float, right: float, low: float, high: float, color: np.ndarray) -> np.ndarray:
    """Fill a rectangle, given in metres from the left and the ground; return the view of its pixels."""
    scale = _SIZE / _FACADE_METRES
    area = pixels[
        max(0, round(_SIZE - high * scale)) : round(_SIZE - low * scale),
        max(0, round(left * scale)) : round(right * scale),
    ]
    area[..., :3] = color
    area[..., 3:] = 0.0
    return area


def _glaze(rng: np.random.Generator, area: np.ndarray) -> None:
    """Paint glass: dark, with the sky's reflection in the upper part, and a curtain at times."""
    height, width = area.shape[:2]
    if height == 0 or width == 0:
        return
    dark = rng.uniform(0.10, 0.26)
    reflection = rng.uniform(0.05, 0.4) * np.linspace(1, 0, height)[:, None] ** 1.5
    slant = (np.arange(width)[None] + 0.6 * np.arange(height)[:, None]) / max(width, 1)
    gleam = 0.08 * (np.abs(slant - rng.uniform(0.2, 1.4)) < 0.15)
    area[..., :3] = (dark + reflection + gleam)[..., None] * np.array([0.92, 1.0, 1.08])
    if rng.uniform() < 0.3:
        area[: int(height * rng.uniform(0.2, 1.0)), :, :3] = rng.uniform(0.5, 0.8) * np.array([1.0, 0.97, 0.9])
    area[..., 3:] = rng.uniform(0.35, 1.0) * (rng.uniform() < 0.45)


def _poster(rng: np.random.Generator, area: np.ndarray) -> None:
    """Paint a poster: one colour that fades into another, a round thing, some lines of writing."""
    height, width = area.shape[:2]
    if height < 8 or width < 8:
        return
    upper, lower = (rng.uniform(0.2, 0.75) + rng.uniform(-0.15, 0.15, 3) for _ in range(2))
    fade = np.linspace(0.0, 1.0, height)[:, None, None]
    area[..., :3] = upper * (1.0 - fade) + lower * fade
    y, x = np.ogrid[:height, :width]
    middle, radius = (rng.uniform(0.3, 0.5) * height, rng.uniform(0.3, 0.7) * width), rng.uniform(0.2, 0.4) * width
    distance = np.hypot(y - middle[0], x - middle[1]) / radius
    disc = np.clip((1.0 - distance) * 6.0, 0.0, 1.0)[..., None]
    area[..., :3] += disc * ((rng.uniform(0.3, 0.9) + rng.uniform(-0.1, 0.1, 3)) * (1.1 - 0.3 * fade) - area[..., :3])
    ink = 0.9 if lower.mean() < 0.45 else 0.12
    for row in np.arange(0.72, 0.95, 0.07) * height:
        start, end = rng.uniform(0.08, 0.2) * width, rng.uniform(0.5, 0.92) * width
        letters = rng.uniform(size=width) < 0.75
        line = area[int(row) : int(row + 0.03 * height) + 1, int(start) : int(end), :3]
        line[:, letters[: line.shape[1]]] = ink


def _lettering(rng: np.random.Generator, area: np.ndarray) -> None:
    """Paint a name over a shop (in place): letters of upright and level strokes, lit at night."""
    height, width = area.shape[:2]
    board = area[0, 0, :3].copy()
    ink = np.clip(board + (0.55 if board.mean() < 0.5 else -0.45) + rng.uniform(-0.12, 0.12, 3), 0.03, 0.97)
    tall, stroke = rng.uniform(0.45, 0.7) * height, max(1, round(0.1 * height))
    top, bottom = round(0.5 * (height - tall)), round(0.5 * (height + tall))
    x = rng.uniform(0.06, 0.3) * width
    end = width - x
    while x < end:
        wide = round(rng.uniform(0.35, 0.8) * tall)
        if rng.uniform() < 0.87:  # else a space
            left, right = round(x), min(round(x) + wide, round(end))
            for column in (left, right - stroke)[: 1 + int(rng.uniform() < 0.7)]:
                area[top:bottom, max(column, 0) : column + stroke] = (*ink, 0.8)
            for row in rng.choice((top, (top + bottom) // 2, bottom - stroke), int(rng.integers(1, 4)), replace=False):
                area[row : row + stroke, left:right] = (*ink, 0.8)
        x += wide + 1.6 * stroke


def _light_up(rng: np.random.Generator, area: np.ndarray) -> None:
    """Paint a shop window that is lit from inside by day too (in place): bright below its lamps, darker at the floor."""
    height, width = area.shape[:2]
    lamps = np.abs(np.sin(np.linspace(0.0, rng.integers(2, 6) * math.pi, width)))[None, :, None]
    down = np.linspace(1.0, 0.62, height)[:, None, None]
    warm = np.array([1.0, 0.95, 0.84]) if rng.uniform() < 0.6 else np.array([0.95, 0.98, 1.0])
    area[..., :3] = rng.uniform(0.6, 0.85) * warm * down * (0.86 + 0.14 * lamps)
    area[..., 3] = 0.9


def _shop(rng: np.random.Generator, pixels: np.ndarray, left: float, right: float, accent: np.ndarray) -> None:
    """Paint a shop front between two places of a facade (metres; in place): name, window, goods on shelves."""
    _fill(pixels, left - 0.1, right + 0.1, 0.15, 3.0, accent)
    _lettering(rng, _fill(pixels, left - 0.1, right + 0.1, 2.5, 2.95, accent))
    area = _fill(pixels, left, right, 0.4, 2.4, accent)
    if rng.uniform() < 0.5:
        _glaze(rng, area)
    else:
        _light_up(rng, area)
    for shelf in (0.45, 0.95, 1.45):  # goods behind the glass, on shelves
        x = left + 0.05
        while x < right - 0.15:
            wide, tall = rng.uniform(0.06, 0.2), rng.uniform(0.1, 0.36)
            color = rng.uniform(0.12, 0.42) + rng.uniform(-0.07, 0.07, 3)
            if rng.uniform() < 0.6:
                goods = _fill(pixels, x, x + wide, shelf, shelf + tall, color)
                goods[..., 3:] = 0.25
            x += wide + rng.uniform(0.01, 0.12)
        _fill(pixels, left, right, shelf - 0.03, shelf, np.full(3, 0.2))


def _facade(rng: np.random.Generator) -> np.ndarray:
    pixels = np.dstack([_masonry(rng), np.zeros((_SIZE, _SIZE))])  # colour, and how brightly it is lit at night
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
    _fill(
        pixels,
        0,
        _FACADE_METRES,
        floor - 0.1,
        floor + 0.12,
        pixels[..., :3].mean(axis=(0, 1)) * rng.uniform(0.75, 1.15),
    )
    for k in range(bays):  # ground floor
        left, right = (k + 0.12) * bay, (k + 0.88) * bay
        use = rng.choice(["window", "shop", "door", "shutter", "bare"], p=[0.3, 0.22, 0.16, 0.12, 0.2])
        accent = np.clip(rng.uniform(0.15, 0.65) + rng.uniform(-0.14, 0.14, 3), 0.05, 1)
        if use == "window":
            _fill(pixels, left, right, 0.85, 2.5, frame)
            _glaze(rng, _fill(pixels, left + 0.08, right - 0.08, 0.95, 2.42, frame))
        elif use == "shop":
            _shop(rng, pixels, left, right, accent)
        elif use == "door":
            middle = 0.5 * (left + right)
            _fill(pixels, middle - 0.6, middle + 0.6, 0.0, 2.35, frame)
            _fill(pixels, middle - 0.52, middle + 0.52, 0.0, 2.27, accent * 0.7)
            _glaze(rng, _fill(pixels, middle - 0.36, middle + 0.36, 1.1, 2.05, frame))
        elif use == "shutter":
            area = _fill(pixels, left, right, 0.05, 2.6, _grey(rng, 0.45, 0.75))
            area[..., :3] *= 1 - 0.16 * (np.arange(area.shape[0]) % 7 < 2)[:, None, None]
    plinth = pixels[int(_SIZE - rng.uniform(0.25, 0.5) * _SIZE / _FACADE_METRES) :, :, :3]
    plinth *= rng.uniform(0.65, 0.85)
    return pixels * (1 + 0.02 * _noise(rng, 2, 8))[..., None]


def _leaves(rng: np.random.Generator, draw: ImageDraw.ImageDraw, boxes: np.ndarray, light: np.ndarray, hue: float):
    """Draw leaf clusters: boxes [N 4] (left, top, right, bottom), light [N] in [0, 1], dark ones first."""
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
    """Paint an indoor wall: big panels, a glass front or wall tiles, with a dark skirting and some posters."""
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
        wide = rng.uniform(0.7, 1.1)
        _fill(pixels, left - 0.05, left + wide + 0.05, low - 0.05, low + 1.45, _grey(rng, 0.2, 0.8))
        _poster(rng, _fill(pixels, left, left + wide, low, low + 1.4, np.zeros(3)))
    _fill(pixels, 0, _FACADE_METRES, 0, 0.15, _grey(rng, 0.15, 0.35))
    return pixels * (1 + 0.015 * _noise(rng, 60, 500))[..., None]


WALLS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], float]] = {
    "facade": (_facade, _FACADE_METRES),
    "masonry": (_masonry, _FACADE_METRES),
    "hedge": (_hedge, 3.0),
    "paneling": (_paneling, _FACADE_METRES),
}
