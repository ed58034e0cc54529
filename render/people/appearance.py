"""What a person looks like apart from body shape and pose: outfit, colours, skin, hair. JSON in, JSON out.

The texture and the thickness of the garments depend on the appearance alone, so one appearance meets many body shapes
and poses, as the PIT dataset of the paper (section "Semantics-Aligned Network") asks.
"""

import colorsys
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from render.shares import Range, Shares, draw_name

Color = tuple[float, float, float]

TOPS = ("tee", "polo", "shirt", "tank", "sweater", "hoodie", "jacket", "coat", "dress")
BOTTOMS = ("trousers", "jeans", "shorts", "leggings", "skirt")
PATTERNS = (
    "plain",
    "stripes",
    "vertical",
    "pinstripe",
    "plaid",
    "tartan",
    "gingham",
    "houndstooth",
    "herringbone",
    "argyle",
    "chevron",
    "dots",
    "floral",
    "leaves",
    "leopard",
    "camouflage",
    "tie_dye",
    "gradient",
    "block",
    "panel",
    "yoke",
)
BOTTOM_PATTERNS = ("plain", "side", "bands", *PATTERNS[1:18])
FABRICS = ("jersey", "linen", "knit", "cable", "fleece", "corduroy", "denim", "leather", "satin")
PRINTS = (
    "none",
    "word",
    "lines",
    "arc",
    "number",
    "disc",
    "ring",
    "star",
    "heart",
    "bolt",
    "mountain",
    "wave",
    "triangle",
    "cross",
    "bars",
    "picture",
    "badge",
)
TRIMS = ("none", "contrast", "bands", "piping")
BEARDS = ("stubble", "full", "goatee", "moustache", "chin_strap")
SHOE_DESIGNS = ("plain", "bars", "swoosh", "star", "panels", "toe_cap", "two_tone")
SOCKS = ("plain", "bands", "low")
HAIR_STYLES = (
    "bald",
    "cropped",
    "short",
    "parted",
    "curly",
    "afro",
    "medium",
    "bob",
    "long",
    "long_front",
    "bun",
    "top_bun",
    "low_bun",
    "ponytail",
    "braid",
)
HOODS = ("none", "down", "up")
SHOES = ("sneaker", "shoe", "boot")

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
_HAIR = np.array(
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


@dataclasses.dataclass(frozen=True)
class Appearance:
    """One person's looks. Colours are display values (sRGB) in [0, 1]; lengths are metres on the reference body.

    Attributes:
        seed: Seeds the noise of cloth, hair and skin.
        female: Gender expression; the body's shape follows it.
        age: As in `BodyShape`: 2/3 young, 1 old.
        skin, hair_color, brow_color, lip_color, eye_color: Colours.
        hair_style: One of `HAIR_STYLES`.
        hairline: Height of the hairline over the forehead relative to the usual one.
        hair_length: 0 to 1: how far hair falls that is longer than the ears.
        hair_volume: How thick it is, about 0.6 to 1.4.
        hair_highlight: 0 to 1: strands lighter than the rest.
        parting: Where the hair parts, metres from the middle of the head.
        beard: 0 shaven to 1 dense.
        beard_style: One of `BEARDS`.
        brow_weight: Relative thickness of the eyebrows, about 0.6 to 1.5.
        brow_arch: 0 straight to 1 arched.
        lip_fullness: Relative height of the lips, about 0.6 to 1.4.
        makeup: 0 none to 1 strong.
        freckles: 0 none to 1 many.
        top: One of `TOPS`.
        sleeve: Where the sleeves end along the arm: 0 shoulder, 1 elbow, 2 wrist.
        hem: Height of the top's lower edge; 0 is the crotch.
        neckline: Depth of the neckline below the throat.
        v_neck: Whether the neckline is a V.
        open_front: Whether a jacket or coat stands open over an inner garment of colour `colors[3]`.
        hood: One of `HOODS`: whether the top has one, and where it is worn.
        tucked: Whether the bottom covers the top.
        fit: Looseness of the top, about 0.7 tight to 1.5 wide.
        fabric: What the top is made of, one of `FABRICS`.
        pattern: One of `PATTERNS`.
        pattern_scale: Relative size of the pattern, about 0.6 to 1.6.
        pattern_phase: In [0, 1): shifts and varies the pattern.
        colors: Main, second and third colour of the top, and that of the inner garment.
        print_front, print_back: What is printed on chest and back, each one of `PRINTS`.
        print_seed: Which word, number or picture it is.
        print_colors: Its two colours.
        trim: Collar, cuffs and seams of another colour, one of `TRIMS`.
        trim_color: That colour.
        cloth: Names of the user's cloth images for top and bottom; "" is the procedural cloth.
        cloth_scale: Width on the garment of the shorter side of those images, metres.
        wear: 0 new to 1 worn: faded and creased.
        bottom: One of `BOTTOMS`; what shows below a dress are the legs.
        bottom_color: Its colour.
        bottom_accent: Second colour of its pattern.
        bottom_fabric: One of `FABRICS`.
        bottom_pattern: One of `BOTTOM_PATTERNS`; "side" and "bands" are stripes down the legs.
        belt: Whether a belt is worn; a top that hangs over it hides it.
        belt_color: Its colour.
        leg: Where the trouser legs end: 0 hip, 1 knee, 2 ankle.
        leg_width: Looseness of the legs, about 0.6 slim to 1.6 wide.
        skirt_length: Length of a skirt, dress or coat below the waist, 0 to 1 (ankle); 0 without one.
        skirt_flare: How far it widens downwards, 0 to 1.
        shoe: One of `SHOES`.
        shoe_design: One of `SHOE_DESIGNS`.
        shoe_colors: Upper and sole.
        shoe_accent: Colour of the design on it, and of the laces of sneakers.
        sock: One of `SOCKS`.
        sock_color: Colour of socks or tights.
        tights: Whether bare legs below a skirt or shorts are covered in `sock_color`.
    """

    seed: int
    female: bool
    age: float
    skin: Color
    hair_color: Color
    brow_color: Color
    lip_color: Color
    eye_color: Color
    hair_style: str
    hairline: float
    hair_length: float
    hair_volume: float
    hair_highlight: float
    parting: float
    beard: float
    beard_style: str
    brow_weight: float
    brow_arch: float
    lip_fullness: float
    makeup: float
    freckles: float
    top: str
    sleeve: float
    hem: float
    neckline: float
    v_neck: bool
    open_front: bool
    hood: str
    tucked: bool
    fit: float
    fabric: str
    pattern: str
    pattern_scale: float
    pattern_phase: float
    colors: tuple[Color, Color, Color, Color]
    print_front: str
    print_back: str
    print_seed: int
    print_colors: tuple[Color, Color]
    trim: str
    trim_color: Color
    cloth: tuple[str, str]
    cloth_scale: float
    wear: float
    bottom: str
    bottom_color: Color
    bottom_accent: Color
    bottom_fabric: str
    bottom_pattern: str
    belt: bool
    belt_color: Color
    leg: float
    leg_width: float
    skirt_length: float
    skirt_flare: float
    shoe: str
    shoe_design: str
    shoe_colors: tuple[Color, Color]
    shoe_accent: Color
    sock: str
    sock_color: Color
    tights: bool

    @property
    def has_skirt(self) -> bool:
        """Whether the skirt mesh is worn (as a skirt, or as the lower part of a dress or coat)."""
        return self.skirt_length > 0

    def to_json(self) -> dict[str, Any]:
        """JSON values only: tuples become lists."""
        return {name: _to_json(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Appearance":
        """The inverse of `to_json`.

        Raises:
            ValueError: A field is missing or unknown.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != expected:
            raise ValueError(
                f"An appearance has the fields {sorted(expected)}; missing {sorted(expected - set(fields))}, "
                f"unknown {sorted(set(fields) - expected)}."
            )
        return cls(**{name: _from_json(value) for name, value in fields.items()})


@dataclasses.dataclass(frozen=True)
class Wardrobe(Shares):
    """What people wear, and how often. Weights (name -> weight) need not sum to 1, and names left out have weight 0.

    Attributes:
        female: Share of female gender expression; fields `*_female` and `*_male` go with it.
        age, age_spread: Mean and standard deviation of the age, as in `BodyShape`.
        skin_tone: Range of the skin, 0 lightest to 6 darkest.
        beard: Share of bearded men.
        tops_female, tops_male: Weights of `TOPS`.
        bottoms_female, bottoms_male: Weights of `BOTTOMS`; a dress takes the place of a bottom.
        hair_female, hair_male: Weights of `HAIR_STYLES`.
        shoes: Weights of `SHOES`.
        hairline: Standard deviation of the height of the hairline, metres.
        hair_length, hair_volume: Ranges.
        fit: Range of the looseness of tops.
        leg_width: Range of the looseness of trouser legs.
        skirt_length: Range, skirts and dresses.
        coat_length: Range, the part of a coat that hangs below its hem over the legs.
        open_front: Share of jackets and coats that stand open.
        hooded: Share of jackets and coats with a hood; a hoodie always has one.
        hood_up: Share of hoods worn over the head.
        v_neck_female, v_neck_male: Share of V necks among tees, sweaters, dresses and tank tops.
        tucked: Share of tops tucked into a skirt.
        tights: Share of tights among women's skirts and shorts.
        patterns: Weights of `PATTERNS` on tops.
        patterns_shirt: The same on shirts and dresses.
        patterns_jacket: The same on jackets and coats.
        patterns_trousers: Weights of `BOTTOM_PATTERNS` on trousers, shorts and leggings; jeans are plain.
        patterns_skirt: The same on skirts.
        pattern_scale: Range of the relative size of patterns and prints.
        fabrics: Weights of `FABRICS`, among those that a garment is made of.
        prints_front: Weights of `PRINTS` on the front of tees, tank tops, sweaters and hoodies with room for one.
        prints_back: The same on their backs and those of jackets.
        trims: Weights of `TRIMS`.
        cloth_share: Share of tops, and of bottoms, made of a user's cloth image where there are any.
        cloth_scale: Range of the width on the garment of a cloth image's shorter side, metres.
        wear: Range.
        belt: Share of belts on trousers, jeans and shorts.
        shoe_designs: Weights of `SHOE_DESIGNS`.
        socks: Weights of `SOCKS`.
        beards: Weights of `BEARDS` among bearded men.
        makeup: Share of women with make-up.
        freckles: Share of freckled persons, among those of light skin.
        highlights: Share of hair with highlights.
    """

    TOPIC: ClassVar[str] = "wardrobe"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {
        "tops_female": TOPS,
        "tops_male": TOPS,
        "bottoms_female": BOTTOMS,
        "bottoms_male": BOTTOMS,
        "hair_female": HAIR_STYLES,
        "hair_male": HAIR_STYLES,
        "shoes": SHOES,
        "patterns": PATTERNS,
        "patterns_shirt": PATTERNS,
        "patterns_jacket": PATTERNS,
        "patterns_trousers": BOTTOM_PATTERNS,
        "patterns_skirt": BOTTOM_PATTERNS,
        "fabrics": FABRICS,
        "prints_front": PRINTS,
        "prints_back": PRINTS,
        "trims": TRIMS,
        "shoe_designs": SHOE_DESIGNS,
        "socks": SOCKS,
        "beards": BEARDS,
    }
    LIMITS: ClassVar[dict[str, Range]] = {
        "age": (0.5, 1.0),
        "skin_tone": (-1.0, 7.0),
        "hairline": (0.0, 0.03),
        "hair_volume": (0.3, 2.0),
        "fit": (0.4, 2.0),
        "leg_width": (0.4, 2.0),
        "pattern_scale": (0.2, 4.0),
        "cloth_scale": (0.02, 3.0),
    }

    female: float = 0.5
    age: float = 0.74
    age_spread: float = 0.1
    skin_tone: tuple[float, float] = (-0.4, 6.0)
    beard: float = 0.4
    tops_female: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "tee": 0.26,
            "polo": 0.05,
            "shirt": 0.14,
            "sweater": 0.12,
            "hoodie": 0.12,
            "jacket": 0.16,
            "coat": 0.07,
            "tank": 0.06,
            "dress": 0.1,
        }
    )
    tops_male: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "tee": 0.26,
            "polo": 0.05,
            "shirt": 0.14,
            "sweater": 0.12,
            "hoodie": 0.12,
            "jacket": 0.16,
            "coat": 0.07,
            "tank": 0.02,
        }
    )
    bottoms_female: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"jeans": 0.34, "trousers": 0.24, "shorts": 0.12, "skirt": 0.2, "leggings": 0.1}
    )
    bottoms_male: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"jeans": 0.4, "trousers": 0.38, "shorts": 0.22}
    )
    hair_female: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "short": 0.07,
            "parted": 0.03,
            "curly": 0.05,
            "afro": 0.02,
            "medium": 0.15,
            "bob": 0.12,
            "long": 0.2,
            "long_front": 0.12,
            "bun": 0.05,
            "top_bun": 0.03,
            "low_bun": 0.04,
            "ponytail": 0.09,
            "braid": 0.03,
        }
    )
    hair_male: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "bald": 0.06,
            "cropped": 0.24,
            "short": 0.34,
            "parted": 0.2,
            "curly": 0.07,
            "afro": 0.02,
            "medium": 0.04,
            "long": 0.015,
            "low_bun": 0.005,
            "bun": 0.01,
        }
    )
    shoes: dict[str, float] = dataclasses.field(default_factory=lambda: {"sneaker": 0.55, "shoe": 0.27, "boot": 0.18})
    hairline: float = 0.006
    hair_length: tuple[float, float] = (0.0, 1.0)
    hair_volume: tuple[float, float] = (0.65, 1.35)
    fit: tuple[float, float] = (0.75, 1.4)
    leg_width: tuple[float, float] = (0.6, 1.5)
    skirt_length: tuple[float, float] = (0.4, 0.95)
    coat_length: tuple[float, float] = (0.3, 0.62)
    open_front: float = 0.55
    hooded: float = 0.25
    hood_up: float = 0.12
    v_neck_female: float = 0.4
    v_neck_male: float = 0.2
    tucked: float = 0.6
    tights: float = 0.3
    patterns: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.53,
            "stripes": 0.13,
            "block": 0.07,
            "panel": 0.03,
            "yoke": 0.06,
            "gradient": 0.02,
            "plaid": 0.02,
            "tartan": 0.01,
            "argyle": 0.02,
            "chevron": 0.02,
            "dots": 0.02,
            "vertical": 0.02,
            "camouflage": 0.03,
            "tie_dye": 0.02,
            "floral": 0.02,
            "leaves": 0.01,
            "leopard": 0.01,
        }
    )
    patterns_shirt: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.36,
            "plaid": 0.11,
            "tartan": 0.07,
            "gingham": 0.07,
            "pinstripe": 0.07,
            "vertical": 0.06,
            "stripes": 0.05,
            "dots": 0.06,
            "floral": 0.07,
            "leaves": 0.03,
            "leopard": 0.02,
            "chevron": 0.01,
            "block": 0.02,
        }
    )
    patterns_jacket: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.6,
            "block": 0.1,
            "panel": 0.05,
            "yoke": 0.09,
            "camouflage": 0.04,
            "plaid": 0.03,
            "tartan": 0.02,
            "houndstooth": 0.03,
            "herringbone": 0.03,
            "leopard": 0.01,
        }
    )
    patterns_trousers: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.66,
            "side": 0.11,
            "bands": 0.05,
            "pinstripe": 0.03,
            "plaid": 0.02,
            "tartan": 0.01,
            "houndstooth": 0.01,
            "herringbone": 0.02,
            "camouflage": 0.04,
            "floral": 0.02,
            "leopard": 0.01,
            "gradient": 0.01,
            "chevron": 0.01,
        }
    )
    patterns_skirt: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.55,
            "tartan": 0.08,
            "plaid": 0.05,
            "dots": 0.08,
            "floral": 0.09,
            "leaves": 0.03,
            "stripes": 0.04,
            "vertical": 0.03,
            "gingham": 0.03,
            "houndstooth": 0.02,
        }
    )
    pattern_scale: tuple[float, float] = (0.6, 1.6)
    fabrics: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "jersey": 1.0,
            "linen": 0.5,
            "knit": 0.8,
            "cable": 0.4,
            "fleece": 0.3,
            "corduroy": 0.15,
            "denim": 0.25,
            "leather": 0.25,
            "satin": 0.25,
        }
    )
    prints_front: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "none": 0.42,
            "word": 0.1,
            "lines": 0.06,
            "arc": 0.04,
            "number": 0.05,
            "disc": 0.03,
            "ring": 0.02,
            "star": 0.02,
            "heart": 0.02,
            "bolt": 0.02,
            "mountain": 0.03,
            "wave": 0.02,
            "triangle": 0.02,
            "cross": 0.01,
            "bars": 0.03,
            "picture": 0.05,
            "badge": 0.06,
        }
    )
    prints_back: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "none": 0.78,
            "word": 0.04,
            "lines": 0.03,
            "arc": 0.03,
            "number": 0.05,
            "ring": 0.01,
            "star": 0.01,
            "picture": 0.02,
            "wave": 0.01,
            "badge": 0.02,
        }
    )
    trims: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "none": 0.62,
            "contrast": 0.18,
            "bands": 0.1,
            "piping": 0.1,
        }
    )
    cloth_share: float = 0.5
    cloth_scale: tuple[float, float] = (0.18, 0.5)
    wear: tuple[float, float] = (0.0, 1.0)
    belt: float = 0.45
    shoe_designs: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.22,
            "bars": 0.14,
            "swoosh": 0.16,
            "star": 0.06,
            "panels": 0.18,
            "toe_cap": 0.12,
            "two_tone": 0.12,
        }
    )
    socks: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.55,
            "bands": 0.2,
            "low": 0.25,
        }
    )
    beards: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "stubble": 0.4,
            "full": 0.25,
            "goatee": 0.14,
            "moustache": 0.1,
            "chin_strap": 0.11,
        }
    )
    makeup: float = 0.45
    freckles: float = 0.2
    highlights: float = 0.2


def _to_json(value: Any) -> Any:
    return [_to_json(entry) for entry in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    return tuple(_from_json(entry) for entry in value) if isinstance(value, list) else value


def _color(values: np.ndarray | tuple[float, ...]) -> Color:
    red, green, blue = (round(min(max(float(value), 0.02), 0.97), 4) for value in values)
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.asarray(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def _fabric(rng: np.random.Generator) -> np.ndarray:
    kind = draw_name(rng, {"white": 0.13, "black": 0.14, "grey": 0.1, "navy": 0.07, "vivid": 0.28, "muted": 0.28})
    if kind == "white":
        return np.full(3, rng.uniform(0.74, 0.9)) + rng.normal(0.0, 0.012, 3)
    if kind == "black":
        return np.full(3, rng.uniform(0.05, 0.16)) + rng.normal(0.0, 0.01, 3)
    if kind == "grey":
        return np.full(3, rng.uniform(0.25, 0.65)) + rng.normal(0.0, 0.012, 3)
    if kind == "navy":
        return _hsv(rng.uniform(0.58, 0.66), rng.uniform(0.4, 0.75), rng.uniform(0.14, 0.32))
    if kind == "vivid":
        return _hsv(rng.uniform(), rng.uniform(0.6, 0.95), rng.uniform(0.42, 0.85))
    return _hsv(rng.uniform(), rng.uniform(0.2, 0.55), rng.uniform(0.3, 0.8))


# Colours that a pattern comes in (main, second, third), 255ths.
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


def _palette(rng: np.random.Generator, name: str) -> list[np.ndarray] | None:
    """Colours that go with a pattern or fabric, a little varied; None where any do."""
    if name not in _PALETTES:
        return None
    colors = _PALETTES[name][int(rng.integers(len(_PALETTES[name])))]
    level = rng.uniform(0.8, 1.15)
    return [np.asarray(color) / 255.0 * level * (1.0 + rng.normal(0.0, 0.03, 3)) for color in colors]


def _contrasting(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Another fabric colour that can be told from `color` (the most distant of a few draws)."""
    draws = [_fabric(rng) for _ in range(3)]
    return max(draws, key=lambda draw: float(np.abs(draw - color).sum()))


def _bottom_color(rng: np.random.Generator, bottom: str) -> np.ndarray:
    if bottom == "jeans":
        if rng.uniform() < 0.2:
            return np.full(3, rng.uniform(0.1, 0.3)) + rng.normal(0.0, 0.01, 3)
        return _hsv(rng.uniform(0.575, 0.635), rng.uniform(0.3, 0.65), rng.uniform(0.24, 0.58))
    kind = draw_name(rng, {"dark": 0.42, "khaki": 0.2, "navy": 0.13, "any": 0.25})
    if kind == "dark":
        return np.full(3, rng.uniform(0.06, 0.3)) + rng.normal(0.0, 0.012, 3)
    if kind == "khaki":
        return _hsv(rng.uniform(0.06, 0.13), rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.72))
    if kind == "navy":
        return _hsv(rng.uniform(0.58, 0.66), rng.uniform(0.35, 0.7), rng.uniform(0.15, 0.35))
    return _fabric(rng)


def _unlike_skin(color: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The colour of a bottom; where it is near the skin's, which would look like bare legs, a greyer and darker one
    (on dark skin a lighter one)."""
    if np.abs(color - skin).sum() > 0.45 and np.abs(color / color.sum() - skin / skin.sum()).sum() > 0.08:
        return color
    if np.abs(color / color.sum() - skin / skin.sum()).sum() > 0.20:
        return color
    grey = color.mean() + 0.4 * (color - color.mean())
    level = 0.42 * skin.mean() if skin.mean() > 0.4 else skin.mean() + 0.38
    return grey * (level / grey.mean())


def _belt_color(rng: np.random.Generator) -> np.ndarray:
    if rng.uniform() < 0.45:
        return np.full(3, rng.uniform(0.04, 0.14))
    return _hsv(rng.uniform(0.04, 0.09), rng.uniform(0.4, 0.7), rng.uniform(0.2, 0.5))


def _eye_color(rng: np.random.Generator, tone: float) -> np.ndarray:
    if tone > 2 or rng.uniform() < 0.5:
        return _hsv(rng.uniform(0.06, 0.09), rng.uniform(0.5, 0.7), rng.uniform(0.14, 0.32))
    kind = draw_name(rng, {"blue": 0.5, "green": 0.2, "grey": 0.3})
    hue, saturation = {"blue": (0.58, 0.45), "green": (0.3, 0.25), "grey": (0.57, 0.12)}[kind]
    return _hsv(hue, saturation, rng.uniform(0.38, 0.55))


# What garments are made of.
_TOP_FABRICS = {
    "tee": ("jersey",),
    "polo": ("jersey", "knit"),
    "shirt": ("jersey", "linen", "denim", "satin"),
    "tank": ("jersey", "satin"),
    "sweater": ("jersey", "knit", "cable"),
    "hoodie": ("jersey", "fleece"),
    "jacket": ("jersey", "fleece", "corduroy", "denim", "leather", "satin"),
    "coat": ("jersey", "fleece", "corduroy", "leather"),
    "dress": ("jersey", "linen", "knit", "satin"),
}
_BOTTOM_FABRICS = {
    "trousers": ("jersey", "linen", "corduroy", "leather"),
    "jeans": ("denim",),
    "shorts": ("jersey", "linen", "denim"),
    "leggings": ("jersey", "leather"),
    "skirt": ("jersey", "linen", "knit", "denim", "leather", "satin"),
}
_UNDER_PRINTS = ("plain", "yoke", "gradient", "tie_dye", "panel", "block")


def _choice_among(rng: np.random.Generator, weights: dict[str, float], names: tuple[str, ...]) -> str:
    """One of some names by their weights; the first where they have none."""
    possible = {name: weights.get(name, 0.0) for name in names}
    return draw_name(rng, possible) if sum(possible.values()) > 0 else names[0]


def _cloth(rng: np.random.Generator, share: float, cloths: Sequence[str]) -> str:
    """The cloth image of a garment; "" for none."""
    return str(cloths[int(rng.integers(len(cloths)))]) if cloths and rng.uniform() < share else ""


def sample_appearance(
    rng: np.random.Generator, wardrobe: Wardrobe | None = None, cloths: Sequence[str] = ()
) -> Appearance:
    """Draws a person's looks; every choice comes from `rng`.

    Args:
        rng: Source of every choice.
        wardrobe: The distributions; None has the defaults.
        cloths: Names of the user's cloth images, as in `photo_folder.PhotoFolder.names`.
    """
    w = wardrobe or Wardrobe()
    female = bool(rng.uniform() < w.female)
    age = float(np.clip(rng.normal(w.age, w.age_spread), 0.56, 1.0))
    tone = float(np.clip(rng.uniform(*w.skin_tone), 0.0, 6.0))
    skin = np.stack([np.interp(tone, np.arange(7), _SKIN[:, channel]) for channel in range(3)])
    skin = skin * (1.0 + rng.normal(0.0, 0.025, 3))
    hair_probabilities = np.array([0.27, 0.22, 0.17, 0.13, 0.09, 0.06, 0.04, 0.02])
    if tone > 3.5:
        hair_probabilities[3:7] *= 0.15
    if age > 0.85:
        hair_probabilities[7] += 0.8
    hair = _HAIR[int(rng.choice(8, p=hair_probabilities / hair_probabilities.sum()))] * rng.uniform(0.85, 1.15)
    hair_style = draw_name(rng, w.hair_female if female else w.hair_male)
    top = draw_name(rng, w.tops_female if female else w.tops_male)
    long_sleeve = float(rng.uniform(1.93, 1.99))
    sleeve = {
        "tee": float(rng.uniform(0.4, 0.85)),
        "polo": float(rng.uniform(0.5, 0.8)),
        "shirt": float(rng.choice([0.7, 1.15, 1.96, 1.96])),
        "tank": -0.05,
        "dress": float(rng.choice([-0.05, 0.45, 0.8, 1.4, 1.95])),
    }.get(top, long_sleeve)
    hem = {"tee": 0.035, "polo": 0.035, "shirt": 0.02, "tank": 0.04, "sweater": 0.045, "hoodie": 0.04, "jacket": 0.035}
    hem_height = float(hem.get(top, -0.02) + rng.normal(0.0, 0.015))
    v_neck = top in ("tee", "sweater", "dress", "tank") and bool(
        rng.uniform() < (w.v_neck_female if female else w.v_neck_male)
    )
    neckline = {"tank": 0.05, "dress": 0.04, "tee": 0.02, "sweater": 0.008}.get(top, 0.0)
    neckline = float(neckline * rng.uniform(0.5, 1.5))
    outer = top in ("jacket", "coat")
    open_front = outer and bool(rng.uniform() < w.open_front)
    hood = "none"
    if top == "hoodie" or (outer and rng.uniform() < w.hooded):
        hood = "up" if rng.uniform() < w.hood_up else "down"
    by_top = {"shirt": w.patterns_shirt, "dress": w.patterns_shirt, "jacket": w.patterns_jacket}
    pattern = draw_name(rng, (by_top | {"coat": w.patterns_jacket}).get(top, w.patterns))
    main = _fabric(rng)
    second = _contrasting(rng, main)
    third = _contrasting(rng, (main + second) / 2)
    fabric = _choice_among(rng, w.fabrics, _TOP_FABRICS[top])
    for name in (fabric, pattern):
        main, second, third = _palette(rng, name) or (main, second, third)
    inner = _contrasting(rng, main)

    if top == "dress":
        bottom = "skirt"
    else:
        bottom = draw_name(rng, w.bottoms_female if female else w.bottoms_male)
    if top == "coat" and bottom == "skirt":
        bottom = "trousers"
    skirt_length = 0.0
    if bottom == "skirt":
        skirt_length = float(rng.uniform(*w.skirt_length))
    elif top == "coat":
        skirt_length = float(rng.uniform(*w.coat_length))
    bottom_color = main if top == "dress" else _bottom_color(rng, bottom)
    bottom_pattern = "plain"
    if bottom in ("trousers", "leggings", "shorts"):
        bottom_pattern = draw_name(rng, w.patterns_trousers)
    elif bottom == "skirt" and top != "dress":
        bottom_pattern = draw_name(rng, w.patterns_skirt)
    bottom_accent = _contrasting(rng, np.asarray(bottom_color))
    if top != "dress":
        bottom_color, bottom_accent, _ = _palette(rng, bottom_pattern) or (bottom_color, bottom_accent, None)
    bottom_color = bottom_color if top == "dress" else _unlike_skin(np.asarray(bottom_color), skin)
    leg = {"shorts": float(rng.uniform(0.5, 1.1)), "leggings": float(rng.uniform(1.6, 1.95))}.get(bottom, 1.97)
    if bottom in ("trousers", "jeans") and rng.uniform() < 0.15:
        leg = float(rng.uniform(1.7, 1.88))
    shoe = draw_name(rng, w.shoes)
    upper = np.full(3, rng.uniform(0.05, 0.25)) if shoe != "sneaker" or rng.uniform() < 0.3 else _fabric(rng)
    if shoe != "sneaker" and rng.uniform() < 0.35:
        upper = _hsv(rng.uniform(0.04, 0.09), rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.5))
    sole = np.full(3, rng.uniform(0.78, 0.9)) if shoe == "sneaker" and rng.uniform() < 0.7 else upper * 0.5
    light_sock = rng.uniform() < 0.55
    sock = np.full(3, rng.uniform(0.72, 0.86) if light_sock else rng.uniform(0.07, 0.3))
    printable = pattern in _UNDER_PRINTS and top in ("tee", "tank", "sweater", "hoodie")
    ink = _contrasting(rng, main)
    print_front = draw_name(rng, w.prints_front) if printable else "none"
    print_back = "none"
    if print_front == "number" and rng.uniform() < 0.8:
        print_back = "number"  # the shirt of a team
    elif printable or (top == "jacket" and pattern == "plain"):
        print_back = draw_name(rng, w.prints_back)
    tights = female and bottom in ("skirt", "shorts") and bool(rng.uniform() < w.tights)
    return Appearance(
        seed=int(rng.integers(1 << 31)),
        female=female,
        age=round(age, 4),
        skin=_color(skin),
        hair_color=_color(hair),
        brow_color=_color(np.minimum(hair * 0.75, skin * 0.55)),
        lip_color=_color(skin * [1.0, 0.72, 0.74] + ([0.06, -0.03, 0.0] if female else [0.0, 0.0, 0.0])),
        eye_color=_color(_eye_color(rng, tone)),
        hair_style=hair_style,
        hairline=round(float(rng.normal(0.0, w.hairline) + max(0.0, age - 0.85) * 0.1 * (not female)), 4),
        hair_length=round(float(rng.uniform(*w.hair_length)), 4),
        hair_volume=round(float(rng.uniform(*w.hair_volume)), 4),
        hair_highlight=round(float(rng.uniform(0.3, 1.0)), 4) if rng.uniform() < w.highlights else 0.0,
        parting=round(float(rng.choice([-0.03, -0.02, 0.0, 0.02, 0.03]) + rng.normal(0.0, 0.004)), 4),
        beard=0.0 if female or rng.uniform() >= w.beard else round(float(rng.uniform(0.3, 0.95)), 4),
        beard_style=draw_name(rng, w.beards),
        brow_weight=round(float(rng.uniform(0.65, 1.1) if female else rng.uniform(0.85, 1.5)), 4),
        brow_arch=round(float(rng.uniform()), 4),
        lip_fullness=round(float(rng.uniform(0.85, 1.4) if female else rng.uniform(0.65, 1.2)), 4),
        makeup=round(float(rng.uniform(0.3, 1.0)), 4) if female and rng.uniform() < w.makeup else 0.0,
        freckles=round(float(rng.uniform(0.3, 1.0)), 4) if tone < 2.0 and rng.uniform() < w.freckles else 0.0,
        top=top,
        sleeve=round(sleeve, 4),
        hem=round(hem_height, 4),
        neckline=round(neckline, 4),
        v_neck=v_neck,
        open_front=open_front,
        hood=hood,
        tucked=bottom == "skirt" and top in ("tee", "shirt", "tank", "sweater") and bool(rng.uniform() < w.tucked),
        fit=round(float(rng.uniform(*w.fit)), 4),
        fabric=fabric,
        pattern=pattern,
        pattern_scale=round(float(rng.uniform(*w.pattern_scale)), 4),
        pattern_phase=round(float(rng.uniform()), 4),
        colors=(_color(main), _color(second), _color(third), _color(inner)),
        print_front=print_front,
        print_back=print_back,
        print_seed=int(rng.integers(1 << 31)),
        print_colors=(_color(ink), _color(_contrasting(rng, (main + ink) / 2))),
        trim=draw_name(rng, w.trims),
        trim_color=_color(_contrasting(rng, main)),
        cloth=(_cloth(rng, w.cloth_share, cloths), "" if top == "dress" else _cloth(rng, w.cloth_share, cloths)),
        cloth_scale=round(float(rng.uniform(*w.cloth_scale)), 4),
        wear=round(float(rng.uniform(*w.wear)), 4),
        bottom=bottom,
        bottom_color=_color(bottom_color),
        bottom_accent=_color(bottom_accent),
        bottom_fabric="denim" if bottom == "jeans" else _choice_among(rng, w.fabrics, _BOTTOM_FABRICS[bottom]),
        bottom_pattern=bottom_pattern,
        belt=bottom in ("jeans", "trousers", "shorts") and bool(rng.uniform() < w.belt),
        belt_color=_color(_belt_color(rng)),
        leg=round(leg, 4),
        leg_width=round(float(rng.uniform(*w.leg_width)), 4),
        skirt_length=round(skirt_length, 4),
        skirt_flare=round(float(rng.uniform(0.0, 1.0)), 4),
        shoe=shoe,
        shoe_design=draw_name(rng, w.shoe_designs),
        shoe_colors=(_color(upper), _color(sole)),
        shoe_accent=_color(_contrasting(rng, upper)),
        sock=draw_name(rng, w.socks),
        sock_color=_color(sock if not tights else sock * 0.35),
        tights=tights,
    )


def vary_slightly(rng: np.random.Generator, appearance: Appearance, wardrobe: Wardrobe | None = None) -> Appearance:
    """A look-alike: the same outfit, face and skin, but for one or two small things.

    These are the shoes, the print, the hair, the trim, the belt and the socks, as far as they show.

    Args:
        rng: Source of every choice.
        appearance: The person to resemble.
        wardrobe: Where other hair comes from; None has the defaults.
    """
    w, a = wardrobe or Wardrobe(), appearance
    things = ["shoes", "shoes"]
    if a.hood != "up":
        things += ["hair", "hair"]
    if a.print_front != "none" or (a.pattern in _UNDER_PRINTS and a.top in ("tee", "tank", "sweater", "hoodie")):
        things += ["print", "print"]
    if a.top in ("tee", "tank", "polo", "sweater", "hoodie", "jacket", "shirt"):
        things.append("trim")
    if a.bottom in ("jeans", "trousers", "shorts") and a.tucked:
        things.append("belt")
    if a.leg < 1.9 and not a.tights and a.shoe != "boot":  # boots are higher than socks
        things.append("socks")
    changes: dict[str, Any] = {}
    for thing in dict.fromkeys(str(rng.choice(things)) for _ in range(int(rng.integers(1, 3)))):
        if thing == "shoes":
            upper = _contrasting(rng, np.asarray(a.shoe_colors[0]))
            changes["shoe_design"] = _other(rng, w.shoe_designs, a.shoe_design)
            changes["shoe_colors"] = (_color(upper), a.shoe_colors[1])
            changes["shoe_accent"] = _color(_contrasting(rng, upper))
        elif thing == "hair":
            if a.hair_style == "bald" or rng.uniform() < 0.6:
                changes["hair_style"] = _other(rng, w.hair_female if a.female else w.hair_male, a.hair_style)
            else:
                hair = max(
                    (_HAIR[int(rng.integers(8))] for _ in range(2)), key=lambda c: np.abs(c - a.hair_color).sum()
                )
                changes["hair_color"] = _color(hair)
        elif thing == "print":
            changes["print_front"] = _other(rng, w.prints_front, a.print_front)
            seed, ink = int(rng.integers(1 << 31)), _color(_contrasting(rng, np.asarray(a.colors[0])))
            # What is not seen stays: look-alikes that differ in it alone would be the same picture.
            if changes["print_front"] != "none" or a.print_back != "none":
                changes["print_seed"], changes["print_colors"] = seed, (ink, a.print_colors[1])
        elif thing == "trim":
            changes["trim"] = _other(rng, w.trims, a.trim)
            trim_color = _color(_contrasting(rng, np.asarray(a.colors[0])))
            if changes["trim"] != "none":
                changes["trim_color"] = trim_color
        elif thing == "belt":
            changes["belt"] = not a.belt
        else:
            changes["sock"] = _other(rng, w.socks, a.sock)
            changes["sock_color"] = _color(_contrasting(rng, np.asarray(a.sock_color)))
    return dataclasses.replace(a, **changes)


def _other(rng: np.random.Generator, weights: dict[str, float], present: str) -> str:
    """A name other than the present one, by the weights; the present one where there is no other."""
    rest = {name: weight for name, weight in weights.items() if name != present and weight > 0}
    return draw_name(rng, rest) if rest else present
