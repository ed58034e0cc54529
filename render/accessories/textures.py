"""Textures of accessories: one painter for each kind that has a look of its own, and one for all bags."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Self

import numpy as np

from render.accessories.shape import EXTRA, MAIN, Region
from render.people.colors import Color

TEXTURE_SIZE = 64


@functools.lru_cache(maxsize=256)
def paint(kind: str, pattern: str, colors: tuple[Color, Color, Color], seed: int) -> np.ndarray:
    """Paint the texture of an accessory, uint8 [64 64 3], sRGB.

    Args:
        kind: Kind of the accessory.
        pattern: "plain", "panel" or "stripes".
        colors: Main colour, second colour and colour of the trimmings, sRGB in [0, 1].
        seed: Seed of the grain.
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas.primed(kind, pattern, colors)
    _PAINTERS[kind](canvas)
    image = canvas.image
    image *= np.roll(_weave()[int(rng.integers(8))], tuple(rng.integers(0, TEXTURE_SIZE, 2)), axis=(0, 1))[..., None]
    return np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class _Canvas:
    """A texture that is being painted. Arrays that are not said to be otherwise are float32 [64 64], one value a texel.

    Attributes:
        kind: Kind of the accessory.
        pattern: "plain", "panel" or "stripes".
        main: Main colour, float32 [3].
        second: Second colour, float32 [3].
        image: Colours so far, float32 [64 64 3].
        v: Height in the whole texture, 0 at the bottom.
        inside: Whether the texel is in the region `MAIN`, bool.
        s: Place across the region `MAIN`, 0 at its left.
        t: Height in the region `MAIN`, 0 at its bottom.
        extra: Whether the texel is in the region `EXTRA`, bool.
        extra_t: Height in the region `EXTRA`, 0 at its bottom.
    """

    kind: str
    pattern: str
    main: np.ndarray
    second: np.ndarray
    image: np.ndarray
    v: np.ndarray
    inside: np.ndarray
    s: np.ndarray
    t: np.ndarray
    extra: np.ndarray
    extra_t: np.ndarray

    @classmethod
    def primed(cls, kind: str, pattern: str, colors: tuple[Color, Color, Color]) -> Self:
        """Return a canvas with both regions in the main colour and the rest in that of the trimmings."""
        main, second, trim = (np.asarray(color, np.float32) for color in colors)
        along = ((np.arange(TEXTURE_SIZE) + 0.5) / TEXTURE_SIZE).astype(np.float32)
        u, v = np.meshgrid(along, along[::-1])

        def within(region: Region) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            left, bottom, right, top = region
            inside = (v > bottom - 0.02) & (v < top + 0.02)
            return inside, (u - left) / (right - left), (v - bottom) / (top - bottom)

        inside, s, t = within(MAIN)
        extra, _, extra_t = within(EXTRA)
        image = np.broadcast_to(trim, (TEXTURE_SIZE, TEXTURE_SIZE, 3)).copy()
        image[inside | extra] = main
        return cls(kind, pattern, main, second, image, v, inside, s, t, extra, extra_t)

    def put(self, mask: np.ndarray, color: np.ndarray, share: float = 1.0) -> None:
        """Paint the texels of a mask [64 64] in a colour [3], or mix a share of it in."""
        image = self.image
        image[mask] = color if share == 1.0 else image[mask] + np.float32(share) * (color - image[mask])

    def darken(self, mask: np.ndarray, factor: float) -> None:
        """Multiply the texels of a mask [64 64] by a factor."""
        self.image[mask] *= factor


def _near_line(place: np.ndarray, count: float, width: float) -> np.ndarray:
    """Whether places [...] in [0, 1] are near one of `count` lines; `width` is a part of the lines' distance."""
    return np.abs(place * count - np.rint(place * count)) < width


def _umbrella(c: _Canvas) -> None:
    """Paint gores with seams; below, the inside with its ribs and the shaft."""
    if c.pattern == "stripes":
        c.put(c.inside & (np.floor(c.s * 8.0 + 0.5) % 2 == 1), c.second)
    elif c.pattern == "panel":
        c.put(c.inside & (c.t < 0.66) & (c.t > 0.5), c.second)
    c.put(c.inside & _near_line(c.s, 8.0, 0.09), 0.72 * c.main, 0.6)
    under = c.inside & (c.t < 0.47)
    c.darken(under, 0.8)
    c.put(under & _near_line(c.s, 8.0, 0.1), np.full(3, 0.12, np.float32))
    c.put(c.v < 0.06, np.full(3, 0.13, np.float32))


def _folded_umbrella(c: _Canvas) -> None:
    """Paint rolled cloth and its band."""
    c.darken(c.inside & (np.sin((c.s + 0.4 * c.t) * 2.0 * np.pi * 6.0) > 0.5), 0.78)
    c.put(c.inside & (np.abs(c.t - 0.55) < 0.03), c.second)


def _cap(c: _Canvas) -> None:
    """Paint panels with seams and a badge in front."""
    front = np.abs(c.s - 0.5)  # columns start in front
    if c.pattern == "panel":
        c.put(c.inside & (front > 0.33) & (c.t > 0.12), c.second)
        c.put(c.extra, c.second)
    elif c.pattern == "stripes":
        c.put(c.extra, c.second)
    c.put(c.inside & _near_line(c.s, 6.0, 0.07), 0.7 * c.main, 0.5)
    badge = (np.minimum(c.s, 1.0 - c.s) < 0.055) & (c.t > 0.38) & (c.t < 0.62)
    c.put(c.inside & badge, c.second if c.pattern == "plain" else c.main)


def _beanie(c: _Canvas) -> None:
    """Paint ribbed wool, a fold and a bobble."""
    if c.pattern != "plain":
        c.put(c.inside & (c.t < 0.4) & (c.t > 0.0), c.second)
    if c.pattern == "stripes":
        c.put(c.inside & (np.floor(c.t * 9.0) % 2 == 1), c.second)
    c.darken(c.inside & (np.sin(c.s * 2.0 * np.pi * 30.0) > 0.4), 0.86)
    c.put(c.extra, c.second)


def _hat(c: _Canvas) -> None:
    """Paint a band around the crown."""
    c.put(c.inside & (c.t < 0.42) & (c.t > 0.1), c.second)


def _scarf(c: _Canvas) -> None:
    """Paint lines along or around it, folds, and a fringe."""
    lines = np.floor(c.t * 15.0) if c.pattern == "panel" else np.floor(c.s * 14.0)
    if c.pattern != "plain":
        c.put(c.inside & (lines % 3 == 0), c.second)
        c.put(c.extra & (np.floor(c.extra_t * 9.0) % 3 == 0), c.second)
    c.darken(c.inside & (np.sin((c.s + 0.5 * c.t) * 2.0 * np.pi * 4.0) > 0.6), 0.8)
    c.put(c.extra & (c.extra_t < 0.08), 0.6 * c.second)


def _phone(c: _Canvas) -> None:
    """Paint the case on the back and the lit screen on the front."""
    c.put(c.inside, np.full(3, 0.07, np.float32))
    c.put(c.inside & (np.abs(c.s - 0.5) < 0.2), c.main)
    screen = ((c.s < 0.16) | (c.s > 0.84)) & (c.t > 0.08) & (c.t < 0.92)
    c.put(c.inside & screen, np.array([0.55, 0.66, 0.75], np.float32))


def _papers(c: _Canvas) -> None:
    """Paint lines of print on both sides, on some a picture; a folder has a label alone."""
    front = np.minimum(np.abs(c.s - 0.5), np.minimum(c.s, 1.0 - c.s))  # from the middle of either side
    if c.pattern == "plain":
        c.put(c.inside & (front < 0.06) & (np.abs(c.t - 0.3) < 0.06), np.full(3, 0.9, np.float32))
        return
    c.put(c.inside & (front < 0.19) & (np.sin(c.t * 130.0) > 0.3) & (c.t > 0.1) & (c.t < 0.92), 0.75 * c.main)
    if c.pattern == "panel":
        c.put(c.inside & (front < 0.13) & (np.abs(c.t - 0.35) < 0.16), c.second)


def _glasses(c: _Canvas) -> None:
    """Paint dark lenses and the frame."""
    c.put(c.inside, np.array([0.06, 0.06, 0.07], np.float32))
    c.put(c.v < 0.15, 0.5 * c.main)


def _headphones(c: _Canvas) -> None:
    """Paint the outer side of the cups and the cushions."""
    c.put(c.inside & (c.t < 0.25), c.second)
    c.put(c.inside & (c.t > 0.75), np.full(3, 0.08, np.float32))


def _bag(c: _Canvas) -> None:
    """Paint a bag: its pattern, the details of its kind, its pocket or flap, and darker sides."""
    if c.pattern == "panel":
        c.put(c.inside & (c.t < 0.42), c.second)
    elif c.pattern == "stripes":
        c.put(c.inside & (np.abs(c.t - 0.52) < 0.07), c.second)
    _bag_details(c)
    c.put(c.extra, c.second if c.pattern == "stripes" else 0.88 * c.main)
    c.put(c.extra & (np.abs(c.extra_t - 0.8) < 0.08), 0.45 * c.main)
    c.put(c.inside & (np.minimum(c.s, 1.0 - c.s) < 0.12), 0.75 * c.main, 0.6)


def _bag_details(c: _Canvas) -> None:
    """Paint what tells bags apart: print, clasp, zip and seams."""
    s, t, front = c.s, c.t, np.abs(c.s - 0.5)
    if c.kind == "shopping_bag":
        logo = (((s - 0.5) / 0.09) ** 2 + ((t - 0.5) / 0.16) ** 2 < 1.0) | (((s - 0.5) / 0.09) ** 2 > 25.0)
        c.put(c.inside & logo, c.second)
    elif c.kind == "tote":
        c.put(c.inside & (front < 0.12) & (np.abs(t - 0.5) < 0.14) & (np.sin(t * 60.0) > -0.2), c.second)
    elif c.kind in ("handbag", "shoulder_bag", "briefcase"):
        c.put(c.inside & (np.abs(t - 0.62) < 0.025) & (front < 0.24), 0.45 * c.main)
        clasp = (front < 0.025) & (np.abs(t - 0.58) < 0.07)
        c.put(c.inside & clasp, np.array([0.75, 0.66, 0.42], np.float32))
        c.put(c.inside & (t < 0.1), 0.7 * c.main)
    else:
        c.put(c.inside & (np.abs(t - 0.7) < 0.02) & (front < 0.27), 0.45 * c.main)  # zip
        c.put(c.inside & (front > 0.235) & (front < 0.26), 0.65 * c.main)  # seams


_PAINTERS: dict[str, Callable[[_Canvas], None]] = {
    "backpack": _bag,
    "shoulder_bag": _bag,
    "handbag": _bag,
    "tote": _bag,
    "shopping_bag": _bag,
    "briefcase": _bag,
    "suitcase": _bag,
    "umbrella": _umbrella,
    "folded_umbrella": _folded_umbrella,
    "papers": _papers,
    "phone": _phone,
    "cap": _cap,
    "beanie": _beanie,
    "hat": _hat,
    "headphones": _headphones,
    "glasses": _glasses,
    "sunglasses": _glasses,
    "scarf": _scarf,
}


@functools.cache
def _weave() -> np.ndarray:
    """Factors float32 [8 64 64] around 1: the grain of a material, with lighter and darker places."""
    rng = np.random.default_rng(0)
    n = TEXTURE_SIZE
    u, v = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
    fields = rng.normal(1.0, 0.022, (8, n, n))
    for field in fields:
        for _ in range(3):
            turns = rng.integers(-3, 4) * u + rng.integers(1, 4) * v + rng.uniform()
            field *= 1.0 + 0.03 * np.cos(2.0 * np.pi * turns)
    return fields.astype(np.float32)
