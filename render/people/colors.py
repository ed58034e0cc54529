"""Colours of skin, hair, cloth and leather, drawn as they are met on people. All are sRGB in [0, 1]."""

import colorsys
from collections.abc import Sequence

import numpy as np

from render.shares import draw_name

Color = tuple[float, float, float]

# Skin from the lightest tone (0) to the darkest (6).
_SKIN = np.array(
    [
        [0.80, 0.63, 0.545],
        [0.76, 0.585, 0.485],
        [0.70, 0.525, 0.415],
        [0.61, 0.435, 0.325],
        [0.50, 0.345, 0.25],
        [0.38, 0.255, 0.185],
        [0.265, 0.175, 0.13],
    ]
)
# Black to blond, then red and grey; the shares are those among young, light-skinned people.
HAIR = np.array(
    [
        [0.055, 0.05, 0.05],
        [0.10, 0.08, 0.07],
        [0.17, 0.115, 0.08],
        [0.27, 0.175, 0.11],
        [0.42, 0.29, 0.17],
        [0.62, 0.49, 0.31],
        [0.37, 0.16, 0.09],
        [0.56, 0.55, 0.53],
    ]
)
_HAIR_SHARES = (0.27, 0.22, 0.17, 0.13, 0.09, 0.06, 0.04, 0.02)

# Colours that a pattern or fabric comes in (main, second, third), 255ths.
_PALETTES = {
    "camouflage": (
        ((96, 98, 66), (58, 62, 40), (128, 112, 80)),
        ((168, 148, 112), (120, 98, 70), (196, 180, 146)),
        ((120, 122, 124), (70, 72, 76), (168, 170, 172)),
        ((52, 66, 92), (34, 42, 62), (96, 108, 130)),
        ((80, 104, 62), (44, 58, 38), (110, 92, 60)),
    ),
    "leopard": (
        ((188, 148, 96), (52, 36, 26), (140, 92, 50)),
        ((212, 192, 160), (66, 50, 38), (160, 122, 84)),
        ((176, 174, 172), (48, 46, 46), (112, 110, 110)),
    ),
    "denim": (((84, 108, 142), (58, 78, 108), (150, 168, 190)), ((46, 58, 82), (36, 44, 62), (110, 126, 150))),
    "leather": (((38, 34, 34), (70, 62, 60), (24, 22, 22)), ((92, 60, 40), (58, 38, 28), (128, 90, 60))),
}


def to_color(values: Sequence[float] | np.ndarray, low: float = 0.02, high: float = 0.97) -> Color:
    """Return a colour [3] as it is stored: clipped to [low, high] and rounded to four digits."""
    red, green, blue = (round(min(max(float(value), low), high), 4) for value in values)
    return red, green, blue


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return the colour float64 [3] of a hue (any number; whole turns do not matter), saturation and value."""
    return np.asarray(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def draw_skin(rng: np.random.Generator, tone: float) -> np.ndarray:
    """Draw a skin colour [3] of a tone from 0 (lightest) to 6 (darkest)."""
    skin = np.stack([np.interp(tone, np.arange(7), _SKIN[:, channel]) for channel in range(3)])
    return skin * (1.0 + rng.normal(0.0, 0.025, 3))


def draw_hair(rng: np.random.Generator, tone: float, age: float) -> np.ndarray:
    """Draw a hair colour [3]: seldom blond or red over dark skin, often grey in old age."""
    shares = np.array(_HAIR_SHARES)
    if tone > 3.5:
        shares[3:7] *= 0.15
    if age > 0.85:
        shares[7] += 0.8
    return HAIR[int(rng.choice(8, p=shares / shares.sum()))] * rng.uniform(0.85, 1.15)


def draw_eyes(rng: np.random.Generator, tone: float) -> np.ndarray:
    """Draw an eye colour [3] for a skin tone."""
    if tone > 2 or rng.uniform() < 0.5:
        return hsv(rng.uniform(0.06, 0.09), rng.uniform(0.5, 0.7), rng.uniform(0.14, 0.32))
    kind = draw_name(rng, {"blue": 0.5, "green": 0.2, "grey": 0.3})
    hue, saturation = {"blue": (0.58, 0.45), "green": (0.3, 0.25), "grey": (0.57, 0.12)}[kind]
    return hsv(hue, saturation, rng.uniform(0.38, 0.55))


# Families of cloth: ranges of hue (in turns), saturation and value.
_FAMILIES = {
    "black": ((0.0, 1.0), (0.0, 0.12), (0.045, 0.13)),
    "grey": ((0.0, 1.0), (0.0, 0.05), (0.2, 0.62)),
    "white": ((0.05, 0.15), (0.0, 0.05), (0.76, 0.92)),
    "navy": ((0.58, 0.66), (0.35, 0.65), (0.12, 0.28)),
    "blue": ((0.56, 0.63), (0.25, 0.6), (0.38, 0.78)),
    "denim": ((0.575, 0.63), (0.24, 0.5), (0.2, 0.52)),
    "brown": ((0.035, 0.085), (0.3, 0.58), (0.16, 0.42)),
    "beige": ((0.08, 0.12), (0.14, 0.36), (0.5, 0.82)),
    "olive": ((0.13, 0.22), (0.25, 0.48), (0.2, 0.42)),
    "burgundy": ((0.95, 1.01), (0.45, 0.72), (0.2, 0.42)),
    "pastel": ((0.0, 1.0), (0.1, 0.28), (0.66, 0.9)),
    "muted": ((0.0, 1.0), (0.18, 0.45), (0.28, 0.62)),
    "red": ((0.965, 1.015), (0.65, 0.88), (0.42, 0.72)),
    "green": ((0.3, 0.45), (0.4, 0.7), (0.22, 0.5)),
    "vivid": ((0.0, 1.0), (0.6, 0.9), (0.45, 0.82)),
}
CLOTH_COLORS = tuple(_FAMILIES)
# Of whatever has no weights of its own: second colours, prints, trims.
_ANY_CLOTH = {
    "black": 0.2,
    "grey": 0.15,
    "white": 0.2,
    "navy": 0.1,
    "blue": 0.07,
    "brown": 0.03,
    "beige": 0.06,
    "olive": 0.02,
    "burgundy": 0.03,
    "pastel": 0.03,
    "muted": 0.03,
    "red": 0.04,
    "green": 0.01,
    "vivid": 0.03,
}


def draw_cloth(rng: np.random.Generator, weights: dict[str, float] | None = None) -> np.ndarray:
    """Draw a colour [3] of cloth; `weights` of `CLOTH_COLORS`, None for those of trims, prints and second colours."""
    hue, saturation, value = _FAMILIES[draw_name(rng, weights or _ANY_CLOTH)]
    return hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)) + rng.normal(0.0, 0.006, 3)


def is_loud(color: Sequence[float] | np.ndarray) -> bool:
    """Whether a colour [3] is strong enough to ask for something quiet beside it."""
    return float(np.max(color) - np.min(color)) > 0.24


def draw_contrasting(
    rng: np.random.Generator, color: Sequence[float] | np.ndarray, weights: dict[str, float] | None = None
) -> np.ndarray:
    """Draw a cloth colour [3] that can be told from `color`: the most distant of three of `draw_cloth`."""
    draws = [draw_cloth(rng, weights) for _ in range(3)]
    return max(draws, key=lambda draw: float(np.abs(draw - color).sum()))


def draw_palette(rng: np.random.Generator, name: str) -> list[np.ndarray] | None:
    """Draw main, second and third colour of a pattern or fabric; None where it comes in any colour."""
    if name not in _PALETTES:
        return None
    colors = _PALETTES[name][int(rng.integers(len(_PALETTES[name])))]
    level = rng.uniform(0.8, 1.15)
    return [np.asarray(color) / 255.0 * level * (1.0 + rng.normal(0.0, 0.03, 3)) for color in colors]


def draw_bottom(rng: np.random.Generator, bottom: str, weights: dict[str, float], top: np.ndarray) -> np.ndarray:
    """Draw a colour [3] of a bottom to wear with a top.

    Args:
        rng: Source of every choice.
        bottom: One of `appearance.BOTTOMS`; jeans are denim, seldom black or grey.
        weights: Weights of `CLOTH_COLORS` on other bottoms.
        top: Colour [3] of the top; below a loud one the bottom is quiet.
    """
    if bottom == "jeans":
        return draw_cloth(rng, {"denim": 0.78, "black": 0.13, "grey": 0.09})
    draws = [draw_cloth(rng, weights) for _ in range(4)]
    return next((draw for draw in draws if not is_loud(draw)), draws[0]) if is_loud(top) else draws[0]


def unlike_skin(color: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Return the colour [3] of a bottom, changed where it is so close to the skin's that legs would look bare.

    The result is then greyer and darker, on dark skin greyer and lighter.
    """
    if np.abs(color - skin).sum() > 0.45 and np.abs(color / color.sum() - skin / skin.sum()).sum() > 0.08:
        return color
    if np.abs(color / color.sum() - skin / skin.sum()).sum() > 0.20:
        return color
    grey = color.mean() + 0.4 * (color - color.mean())
    level = 0.42 * skin.mean() if skin.mean() > 0.4 else skin.mean() + 0.38
    return grey * (level / grey.mean())


def draw_belt(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour [3] of a belt: black, or brown leather."""
    if rng.uniform() < 0.45:
        return np.full(3, rng.uniform(0.04, 0.14))
    return hsv(rng.uniform(0.04, 0.09), rng.uniform(0.4, 0.7), rng.uniform(0.2, 0.5))
