"""Pictures that are laid on cloth: prints for chest and back, and tiles of repeating patterns.

Each is drawn once per process with PIL (letters in the font that comes with it) as shares of two inks, then sampled at
the texels, so a pattern costs a texture no more than two look-ups.
"""

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PRINT_SIZE = 128  # pixels of a print
TILE_SIZE = 96  # pixels of a tile
_FINER = 3  # pictures are drawn this many times larger, then averaged

_WORDS = (
    "ATLAS", "BEACH", "BRAVO", "BREEZE", "CANYON", "CITY", "CLUB", "COAST", "COMET", "CREW", "DELTA", "DENIM", "DREAM",
    "EAGLE", "ECHO", "EST", "FALCON", "FIRE", "FLOW", "FOREST", "GOLD", "HARBOR", "HELLO", "ISLAND", "JUMP", "KITE",
    "LAKE", "LION", "LUCKY", "LUNA", "MAPLE", "METRO", "MONDAY", "MOON", "NORTH", "NOVA", "OCEAN", "ORBIT", "PEAK",
    "PILOT", "PLAY", "POINT", "RACING", "RADIO", "RIVER", "ROCK", "RUN", "SAIL", "SOUTH", "SPIRIT", "SPORT", "STAR",
    "STUDIO", "SUMMER", "SUNSET", "SURF", "TEAM", "TIGER", "TOKYO", "TRAIL", "UNION", "URBAN", "VALLEY", "WAVE", "WEST",
    "WILD", "WOLF", "YOUTH", "ZERO",
)  # fmt: skip
_NAMES = (
    "ADAMS", "BAUER", "CHEN", "COSTA", "DIAZ", "EVANS", "FISCHER", "GARCIA", "HANSEN", "IVANOV", "JONES", "KIM", "LEE",
    "LOPEZ", "MARTIN", "NOVAK", "OKAFOR", "PEREZ", "ROSSI", "SATO", "SILVA", "TANAKA", "WANG", "WEBER", "YILMAZ",
)  # fmt: skip

Draw = ImageDraw.ImageDraw


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _lettering(text: str, width: int, height: int, *, bold: float = 0.0, slant: float = 0.0) -> Image.Image:
    """Return a mask of letters that fill a box as far as they can without being stretched by more than half."""
    font = _font(96)
    stroke = round(7 * bold)
    left, top, right, bottom = (round(value) for value in font.getbbox(text, stroke_width=stroke))
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, stroke_width=stroke)
    if slant:
        lean = round(slant * image.height)
        wide = (image.width + lean, image.height)
        image = image.transform(wide, Image.Transform.AFFINE, (1, slant, -lean, 0, 1, 0), Image.Resampling.BILINEAR)
    high = min(height, round(1.5 * width * image.height / image.width))
    return image.resize((min(width, round(1.5 * high * image.width / image.height)), high), Image.Resampling.BOX)


class _Canvas:
    """Two inks that are drawn over one another; coordinates in [-1, 1], y up."""

    def __init__(self) -> None:
        self.size = PRINT_SIZE * _FINER
        self.inks = [Image.new("L", (self.size, self.size)) for _ in range(2)]
        self._draws = [ImageDraw.Draw(ink) for ink in self.inks]

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        return (x + 1) / 2 * self.size, (1 - y) / 2 * self.size

    def shape(self, points: list[tuple[float, float]], ink: int) -> None:
        """Draw a filled polygon in ink 1 or 2; 0 takes both away."""
        for index, draw in enumerate(self._draws):
            draw.polygon([self.pixel(*point) for point in points], fill=255 if ink == index + 1 else 0)

    def disc(self, x: float, y: float, rx: float, ry: float, ink: int) -> None:
        angles = np.linspace(0.0, 2 * math.pi, 48)
        self.shape([(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles], ink)

    def box(self, left: float, bottom: float, right: float, top: float, ink: int) -> None:
        self.shape([(left, bottom), (right, bottom), (right, top), (left, top)], ink)

    def paste(self, mask: Image.Image, x: float, y: float, ink: int) -> None:
        """Draw a mask with its middle at (x, y)."""
        column, row = self.pixel(x, y)
        where = (round(column - mask.width / 2), round(row - mask.height / 2))
        for index, image in enumerate(self.inks):
            image.paste(255 if ink == index + 1 else 0, where, mask)

    def text(self, text: str, x: float, y: float, width: float, height: float, ink: int, **style: float) -> None:
        """Draw letters in a box of a width and height around (x, y)."""
        half = self.size / 2
        self.paste(_lettering(text, round(width * half), round(height * half), **style), x, y, ink)

    def layers(self) -> np.ndarray:
        small = [ink.resize((PRINT_SIZE, PRINT_SIZE), Image.Resampling.BOX) for ink in self.inks]
        return np.stack([np.asarray(ink) for ink in small], axis=-1)


def _star(points: int, inner: float, x: float = 0.0, y: float = 0.0, radius: float = 0.9) -> list[tuple[float, float]]:
    """Return the outline of a star; `inner` is the relative radius of its notches."""
    result = []
    for index in range(2 * points):
        angle, r = math.pi * index / points + math.pi / 2, radius * (inner if index % 2 else 1.0)
        result.append((x + r * math.cos(angle), y + r * math.sin(angle)))
    return result


def _heart(scale: float = 0.9) -> list[tuple[float, float]]:
    angles = np.linspace(0.0, 2 * math.pi, 64)
    x = np.sin(angles) ** 3
    y = (13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)) / 16 + 0.1
    return [(float(a) * scale, float(b) * scale) for a, b in zip(x, y, strict=True)]


def _word(rng: np.random.Generator) -> str:
    return _WORDS[int(rng.integers(len(_WORDS)))]


def _draw_word(canvas: _Canvas, rng: np.random.Generator) -> None:
    style = {"bold": float(rng.uniform(0.2, 1.0)), "slant": float(rng.choice([0.0, 0.0, 0.25]))}
    height = float(rng.uniform(0.45, 0.8))
    word = _word(rng)
    if rng.uniform() < 0.35:  # letters cut out of a bar
        canvas.box(-1.0, -height / 2 - 0.12, 1.0, height / 2 + 0.12, 1)
        canvas.text(word, 0.0, 0.0, 1.8, height, 2 * int(rng.integers(2)), **style)
        return
    canvas.text(word, 0.0, 0.0, 2.0, height, 1, **style)
    if rng.uniform() < 0.5:
        canvas.box(-0.9, -height / 2 - 0.2, 0.9, -height / 2 - 0.1, 2)


def _draw_lines(canvas: _Canvas, rng: np.random.Generator) -> None:
    heights = rng.uniform(0.22, 0.6, int(rng.integers(2, 5)))
    heights *= 1.7 / (heights + 0.1).sum()
    y = 0.9
    for number, height in enumerate(heights):
        text = _word(rng) if height > 0.3 else f"{_word(rng)} {_word(rng)}"
        canvas.text(text, 0.0, y - height / 2, 1.9, float(height), 2 - (number % 2 == 0), bold=float(rng.uniform(0, 1)))
        y -= float(height) + 0.1


def _draw_arc(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw a word on an arc over a year or a star."""
    word, half = _word(rng), canvas.size / 2
    step = min(0.46, 2.3 / len(word))
    for index, letter in enumerate(word):
        angle = (index - (len(word) - 1) / 2) * step
        glyph = _lettering(letter, round(0.36 * half), round(0.48 * half), bold=0.8)
        glyph = glyph.rotate(-math.degrees(angle), expand=True, resample=Image.Resampling.BILINEAR)
        canvas.paste(glyph, 0.80 * math.sin(angle), 0.72 * math.cos(angle) - 0.02, 1)
    if rng.uniform() < 0.5:
        canvas.text(str(int(rng.integers(1950, 2030))), 0.0, 0.05, 1.0, 0.4, 2, bold=0.6)
    else:
        canvas.shape(_star(int(rng.integers(4, 8)), 0.5, 0.0, 0.05, 0.34), 2)


def _draw_number(canvas: _Canvas, rng: np.random.Generator, *, name: bool = False) -> None:
    number = str(int(rng.integers(1, 100)))
    width = 0.75 * len(number)
    if rng.uniform() < 0.6:
        canvas.text(number, 0.0, -0.1, width + 0.16, 1.56, 2, bold=2.4)
    canvas.text(number, 0.0, -0.1, width, 1.4, 1, bold=0.9)
    if name:
        canvas.text(_NAMES[int(rng.integers(len(_NAMES)))], 0.0, 0.86, 1.7, 0.26, 1, bold=0.8)


def _draw_picture(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw hills under a sun, a skyline, waves or an animal's face, and often a word below."""
    kind = int(rng.integers(4))
    if kind < 3:
        canvas.box(-0.75, -0.55, 0.75, 0.95, 1)
    if kind == 0:
        canvas.disc(float(rng.uniform(-0.3, 0.3)), 0.45, 0.28, 0.28, 2)
        x = np.linspace(-0.75, 0.75, 24)
        hills = (
            -0.1 + 0.22 * np.sin(x * rng.uniform(3, 7) + rng.uniform(0, 6)) + 0.1 * np.sin(x * 11 + rng.uniform(0, 6))
        )
        outline = [(float(a), float(b)) for a, b in zip(x, hills, strict=True)]
        canvas.shape([(-0.75, -0.55), *outline, (0.75, -0.55)], 2)
    elif kind == 1:
        edges = np.sort(rng.uniform(-0.75, 0.75, 8))
        for left, right in itertools.pairwise(edges):
            canvas.box(float(left), -0.55, float(right) - 0.02, float(rng.uniform(-0.3, 0.75)), 2)
    elif kind == 2:
        for row in range(int(rng.integers(3, 6))):
            x, y = np.linspace(-0.75, 0.75, 40), 0.75 - 0.3 * row
            wave = 0.07 * np.sin(x * rng.uniform(8, 14) + row)
            upper = [(float(a), float(y + b + 0.06)) for a, b in zip(x, wave, strict=True)]
            lower = [(float(a), float(y + b - 0.06)) for a, b in zip(x, wave, strict=True)]
            canvas.shape([*upper, *lower[::-1]], 2)
    else:
        long = float(rng.uniform(0.0, 0.35))
        for side in (-1.0, 1.0):
            canvas.shape([(side * 0.62, 0.25), (side * (0.62 - long), 0.95), (side * 0.12, 0.55)], 1)
        canvas.disc(0.0, 0.15, 0.68, 0.6, 1)
        for side in (-1.0, 1.0):
            canvas.disc(side * 0.27, 0.28, 0.13, 0.16, 2)
        canvas.shape([(-0.13, 0.0), (0.13, 0.0), (0.0, -0.15)], 2)
        canvas.box(-0.3, -0.3, 0.3, -0.24, 2)
    if rng.uniform() < 0.6:
        canvas.text(_word(rng), 0.0, -0.8, 1.6, 0.32, int(rng.integers(1, 3)), bold=0.7)


def _draw_emblem(canvas: _Canvas, rng: np.random.Generator, kind: str) -> None:
    if kind == "disc":
        canvas.disc(0.0, 0.0, 0.9, 0.9, 1)
        canvas.shape(_star(int(rng.integers(3, 9)), float(rng.uniform(0.3, 0.8)), radius=0.6), 2)
    elif kind == "ring":
        canvas.disc(0.0, 0.0, 0.95, 0.95, 1)
        canvas.disc(0.0, 0.0, 0.68, 0.68, 0)
        canvas.text(_word(rng)[0], 0.0, 0.0, 0.8, 0.8, 2, bold=1.0)
    elif kind == "star":
        canvas.shape(_star(int(rng.integers(4, 8)), float(rng.uniform(0.35, 0.6))), 1)
        canvas.shape(_star(5, 0.4, radius=0.4), int(rng.integers(0, 3)))
    elif kind == "heart":
        canvas.shape(_heart(), 1)
        if rng.uniform() < 0.5:
            canvas.shape(_heart(0.55), 2)
    elif kind == "bolt":
        bolt = [(0.15, 1.0), (-0.55, -0.1), (-0.05, -0.1), (-0.2, -1.0), (0.55, 0.2), (0.05, 0.2), (0.4, 1.0)]
        if rng.uniform() < 0.5:
            canvas.disc(0.0, 0.0, 0.95, 0.95, 2)
            bolt = [(0.75 * x, 0.75 * y) for x, y in bolt]
        canvas.shape(bolt, 1)
    elif kind == "mountain":
        peak = float(rng.uniform(-0.3, 0.1))
        canvas.shape([(-1.0, -0.6), (peak, 0.75), (1.0, -0.6)], 1)
        canvas.shape([(peak - 0.3, 0.25), (peak, 0.75), (peak + 0.3, 0.28), (peak, 0.1)], 2)
        canvas.shape([(0.0, -0.6), (0.55, 0.35), (1.0, -0.6)], 1 + int(rng.integers(2)))
    elif kind == "wave":
        for row in range(3):
            x = np.linspace(-1.0, 1.0, 48)
            y = 0.5 - 0.5 * row + 0.16 * np.sin(x * 3 * math.pi)
            upper = [(float(a), float(b) + 0.11) for a, b in zip(x, y, strict=True)]
            canvas.shape([*upper, *[(a, b - 0.22) for a, b in upper[::-1]]], 1 + row % 2)
    elif kind == "triangle":
        turn = -1.0 if rng.uniform() < 0.4 else 1.0
        canvas.shape([(-0.95, -0.75 * turn), (0.95, -0.75 * turn), (0.0, 0.85 * turn)], 1)
        canvas.shape([(-0.42, -0.42 * turn), (0.42, -0.42 * turn), (0.0, 0.3 * turn)], int(rng.integers(0, 3)))
    elif kind == "cross":
        canvas.box(-0.22, -0.9, 0.22, 0.9, 1)
        canvas.box(-0.9, -0.22, 0.9, 0.22, 1)
        canvas.disc(0.0, 0.0, 0.15, 0.15, 2)
    else:  # bars
        count = int(rng.integers(2, 5))
        for row in range(count):
            middle = 0.8 - 1.6 * row / (count - 1)
            canvas.box(-1.0, middle - 0.13, 1.0, middle + 0.13, 1 + row % 2)


_BADGES = ("disc", "ring", "star", "heart", "bolt", "mountain", "triangle", "cross", "wave")


@functools.lru_cache(maxsize=256)
def print_layers(kind: str, seed: int, back: bool) -> np.ndarray:
    """Return a print as shares of its two inks in 255ths, uint8 [`PRINT_SIZE` `PRINT_SIZE` 2], row 0 on top.

    Args:
        kind: One of `appearance.PRINTS` except "none".
        seed: Seed of the word, number or picture.
        back: Whether it goes on the back, where numbers get a name and words differ from those on the front.
    """
    rng = np.random.default_rng([seed, int(back and kind != "number")])
    canvas = _Canvas()
    drawers: dict[str, Callable[[_Canvas, np.random.Generator], None]] = {
        "word": _draw_word,
        "lines": _draw_lines,
        "arc": _draw_arc,
        "picture": _draw_picture,
    }
    if kind == "number":
        _draw_number(canvas, rng, name=back)
    elif kind in drawers:
        drawers[kind](canvas, rng)
    else:
        _draw_emblem(canvas, rng, str(rng.choice(_BADGES)) if kind == "badge" else kind)
    return canvas.layers()


# ---------------------------------------------------------------------- tiles


def _tile_from(shares: np.ndarray) -> np.ndarray:
    """Return shares [n m 2] of any size as a tile, slightly smoothed across its borders."""
    layers = []
    for layer in np.moveaxis(np.asarray(shares, np.float32), -1, 0):
        large = np.tile(layer, (3, 3))
        image = Image.fromarray(np.rint(large * 255).astype(np.uint8))
        image = image.resize((3 * TILE_SIZE, 3 * TILE_SIZE), Image.Resampling.BOX)
        image = image.filter(ImageFilter.GaussianBlur(1.0))
        layers.append(np.asarray(image, np.float32)[TILE_SIZE : 2 * TILE_SIZE, TILE_SIZE : 2 * TILE_SIZE] / 255.0)
    return np.ascontiguousarray(np.stack(layers, axis=-1))


def _grid(size: int = TILE_SIZE * _FINER) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates x to the right and y down, in [0, 1)."""
    y, x = np.mgrid[:size, :size] / size
    return x, y


def _pair(second: np.ndarray, third: np.ndarray | None = None) -> np.ndarray:
    second = np.asarray(second, np.float32)
    return np.stack([second, np.zeros_like(second) if third is None else np.asarray(third, np.float32)], axis=-1)


def _scattered(rng: np.random.Generator, count: int, radius: float) -> list[tuple[float, float]]:
    """Draw places in the unit square, at least `radius` apart as on a torus (fewer where there is no room)."""
    places: list[tuple[float, float]] = []
    for _ in range(40 * count):
        x, y = rng.uniform(size=2)
        apart = [math.hypot((x - a + 0.5) % 1 - 0.5, (y - b + 0.5) % 1 - 0.5) for a, b in places]
        if not apart or min(apart) > radius:
            places.append((float(x), float(y)))
        if len(places) == count:
            break
    return places


def _motifs(rng: np.random.Generator, count: int, radius: float, motif: Callable[..., None]) -> np.ndarray:
    """Draw a tile strewn with motifs; each is drawn over the edges too, so that the tile repeats."""
    size = TILE_SIZE * _FINER
    images = [Image.new("L", (size, size)) for _ in range(2)]
    draws = [ImageDraw.Draw(image) for image in images]
    for x, y in _scattered(rng, count, radius):
        state = int(rng.integers(1 << 31))
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                motif(draws, np.random.default_rng(state), (x + dx) * size, (y + dy) * size, size)
    return np.stack([np.asarray(image, np.float32) / 255.0 for image in images], axis=-1)


def _ellipse(draw: Draw, x: float, y: float, rx: float, ry: float, angle: float, fill: int) -> None:
    t = np.linspace(0.0, 2 * math.pi, 28)
    px = x + rx * np.cos(t) * math.cos(angle) - ry * np.sin(t) * math.sin(angle)
    py = y + rx * np.cos(t) * math.sin(angle) + ry * np.sin(t) * math.cos(angle)
    draw.polygon(list(zip(px.tolist(), py.tolist(), strict=True)), fill=fill)


def _flower(draws: list[Draw], rng: np.random.Generator, x: float, y: float, size: int) -> None:
    """Draw petals of one ink around a heart of the other, and a leaf."""
    radius, turn, petals = size * rng.uniform(0.07, 0.13), rng.uniform(0, 6), int(rng.integers(4, 7))
    _ellipse(
        draws[1], x + 1.5 * radius * math.cos(turn), y + 1.5 * radius * math.sin(turn), radius, radius / 2.6, turn, 255
    )
    for petal in range(petals):
        angle = turn + 2 * math.pi * (petal + 0.5) / petals
        place = (x + 0.6 * radius * math.cos(angle), y + 0.6 * radius * math.sin(angle))
        _ellipse(draws[1], *place, 0.55 * radius, 0.36 * radius, angle, 0)
        _ellipse(draws[0], *place, 0.55 * radius, 0.36 * radius, angle, 255)
    _ellipse(draws[0], x, y, radius * 0.26, radius * 0.26, 0.0, 0)
    _ellipse(draws[1], x, y, radius * 0.26, radius * 0.26, 0.0, 255)


def _leaf(draws: list[Draw], rng: np.random.Generator, x: float, y: float, size: int) -> None:
    """Draw a twig with leaves on both sides."""
    turn, length, ink = rng.uniform(0, 2 * math.pi), size * rng.uniform(0.14, 0.22), int(rng.uniform() < 0.4)
    for step in (-0.8, -0.3, 0.2, 0.7):
        for side in (-1, 1):
            angle = turn + side * 0.8
            px = x + step * length * math.cos(turn) + 0.3 * length * math.cos(angle)
            py = y + step * length * math.sin(turn) + 0.3 * length * math.sin(angle)
            _ellipse(draws[ink], px, py, 0.32 * length, 0.11 * length, angle, 255)


def _rosette(draws: list[Draw], rng: np.random.Generator, x: float, y: float, size: int) -> None:
    """Draw a leopard's spot: a broken dark ring around a warmer heart."""
    radius, turn = size * rng.uniform(0.07, 0.11), rng.uniform(0, 6)
    _ellipse(draws[1], x, y, radius * 0.7, radius * 0.5, turn, 255)
    for piece in range(3):
        angle = turn + 2 * math.pi * piece / 3 + rng.normal(0, 0.3)
        place = (x + 0.85 * radius * math.cos(angle), y + 0.7 * radius * math.sin(angle))
        _ellipse(draws[1], *place, 0.55 * radius, 0.28 * radius, angle + 1.57, 0)
        _ellipse(draws[0], *place, 0.55 * radius, 0.28 * radius, angle + 1.57, 255)


def _tartan(rng: np.random.Generator) -> np.ndarray:
    """Draw a sett: symmetric bands of the three colours, woven with themselves."""
    size = TILE_SIZE * _FINER
    half = np.zeros((size // 2, 2), np.float32)
    position = 0
    while position < len(half):
        width = int(size * rng.choice([0.02, 0.03, 0.08, 0.12, 0.2]))
        color = int(rng.integers(3)) if width > size * 0.05 else int(rng.integers(1, 3))
        if color:
            half[position : position + max(width, 4), color - 1] = 1.0
        position += max(width, 4)
    sett = np.concatenate([half, half[::-1]])
    return 0.5 * (sett[None, :, :] + sett[:, None, :])


def _houndstooth() -> np.ndarray:
    y, x = np.mgrid[:8, :8]
    warp, weft = x < 4, y < 4  # four dark threads, then four light ones, both ways
    dark = np.where((x - y) % 4 < 2, warp, weft)  # 2/2 twill decides which of the two lies on top
    return _pair(np.kron(dark, np.ones((36, 36))))


VARIANTS = 12  # number of versions of the tiles that are drawn by chance


@functools.cache
def tile(name: str, variant: int = 0) -> np.ndarray:
    """Return a repeating pattern as shares of second and third colour, float32 [`TILE_SIZE` `TILE_SIZE` 2].

    Args:
        name: One of `TILE_PERIODS`.
        variant: Version of the sett, of the strewn flowers, ...: 0 to `VARIANTS` - 1.
    """
    rng = np.random.default_rng([51, variant])
    x, y = _grid()
    zigzag = np.abs((2 * x) % 2 - 1)  # 1 at the edges, 0 in the middle
    if name == "plaid":
        return _tile_from(
            _pair(0.5 * (x < 0.45) + 0.5 * (y < 0.45), 0.6 * ((np.abs(x - 0.72) < 0.04) | (np.abs(y - 0.72) < 0.04)))
        )
    if name == "tartan":
        return _tile_from(_tartan(rng))
    if name == "gingham":
        return _tile_from(_pair(0.5 * (x < 0.5) + 0.5 * (y < 0.5)))
    if name == "houndstooth":
        return _tile_from(_houndstooth())
    if name == "herringbone":
        slope = np.where(x < 0.5, x, 1.0 - x)
        return _tile_from(_pair(((slope + y) * 4) % 1.0 < 0.45))
    if name == "chevron":
        return _tile_from(_pair((y + 0.5 * zigzag) % 1.0 < 0.4, np.abs((y + 0.5 * zigzag) % 1.0 - 0.62) < 0.09))
    if name == "argyle":
        diamond = np.abs(x - 0.5) + np.abs(y - 0.5)
        lines = np.minimum(np.abs((x + y) % 1.0 - 0.0), np.abs((x - y) % 1.0 - 0.0)) < 0.03
        return _tile_from(_pair(diamond < 0.5, lines))
    if name == "dots":
        reach = np.minimum(np.hypot(x - 0.25, y - 0.25), np.hypot(x - 0.75, y - 0.75))
        return _tile_from(_pair(reach < 0.09 + 0.012 * variant))
    if name == "floral":
        return _tile_from(_motifs(rng, 9, 0.22, _flower))
    if name == "leaves":
        return _tile_from(_motifs(rng, 7, 0.3, _leaf))
    if name == "leopard":
        return _tile_from(_motifs(rng, 16, 0.2, _rosette))
    if name == "cable":
        # Two strands that wind around one another, beside a rib: the first layer is height.
        strands = np.maximum(np.cos(2 * math.pi * (x - 0.5 - 0.16 * np.sin(2 * math.pi * y)) * 2.2), 0.0)
        other = np.maximum(np.cos(2 * math.pi * (x - 0.5 + 0.16 * np.sin(2 * math.pi * y)) * 2.2), 0.0)
        inside = np.abs(x - 0.5) < 0.34
        return _tile_from(_pair(np.where(inside, np.maximum(strands, other), 0.5 + 0.4 * np.cos(2 * math.pi * 8 * x))))
    raise ValueError(f"No tile {name!r}; there are {', '.join(TILE_PERIODS)}.")


# Width and height of the tiles on the garment at scale 1, metres.
TILE_PERIODS: dict[str, tuple[float, float]] = {
    "plaid": (0.085, 0.085),
    "tartan": (0.15, 0.15),
    "gingham": (0.045, 0.045),
    "houndstooth": (0.06, 0.06),
    "herringbone": (0.07, 0.09),
    "chevron": (0.10, 0.09),
    "argyle": (0.10, 0.15),
    "dots": (0.09, 0.09),
    "floral": (0.26, 0.26),
    "leaves": (0.28, 0.28),
    "leopard": (0.22, 0.22),
    "cable": (0.085, 0.10),
}
