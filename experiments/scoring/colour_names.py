"""Names of garment colours and skin tones, by CIELAB (D65)."""

import math
from collections.abc import Sequence

import numpy as np

NAMES = ("black", "grey", "white", "red, pink", "orange to yellow", "green", "blue", "purple")
ABOUT = (
    "By CIELAB: below chroma 10 black up to lightness 30, white from 75, grey between; else by hue angle, red and pink "
    "from 345 degrees, orange to yellow (with brown) from 40, green from 105, blue from 190, purple from 295."
)
SKIN_TONES = ("light", "medium", "brown", "dark")
SKIN_ABOUT = (
    "The individual typology angle of the skin's colour (Chardon et al., 1991), arctan((L* - 50) / b*): light above 41 "
    "degrees, medium above 10, brown above -30, dark below."
)
_XYZ = np.array(  # of linear sRGB, IEC 61966-2-1
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def cielab(colour: Sequence[float]) -> tuple[float, float, float]:
    """Return L*, a* and b* of an sRGB colour in [0, 1]."""
    red_green_blue = np.asarray(colour, np.float64)
    linear = np.where(red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4)
    ratios = _XYZ @ linear / _WHITE
    x, y, z = np.where(ratios > 216 / 24389, np.cbrt(ratios), (24389 / 27 * ratios + 16) / 116).tolist()
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def colour_name(colour: Sequence[float]) -> str:
    """Return the one of `NAMES` for an sRGB colour in [0, 1]."""
    lightness, a, b = cielab(colour)
    if math.hypot(a, b) < 10:
        return "black" if lightness < 30 else "white" if lightness >= 75 else "grey"
    hue = math.degrees(math.atan2(b, a)) % 360
    starts = ((345, "red, pink"), (295, "purple"), (190, "blue"), (105, "green"), (40, "orange to yellow"))
    return next((name for start, name in starts if hue >= start), "red, pink")


def skin_tone(colour: Sequence[float]) -> str:
    """Return the one of `SKIN_TONES` for an sRGB colour in [0, 1]."""
    lightness, _, b = cielab(colour)
    angle = math.degrees(math.atan2(lightness - 50, b))
    return SKIN_TONES[sum(angle <= limit for limit in (41, 10, -30))]
