"""What a person looks like apart from body shape and pose: outfit, colours, skin, hair. JSON in, JSON out.

The texture and the thickness of the garments depend on the appearance alone, so one appearance meets many body shapes
and poses, as the PIT dataset of the paper (section "Semantics-Aligned Network") asks.
"""

import colorsys
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

Color = tuple[float, float, float]

TOPS = ("tee", "polo", "shirt", "tank", "sweater", "hoodie", "jacket", "coat", "dress")
BOTTOMS = ("trousers", "jeans", "shorts", "leggings", "skirt")
PATTERNS = ("plain", "stripes", "vertical", "plaid", "logo", "text", "block", "yoke", "dots", "gradient", "camouflage")
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
        beard: 0 shaven to 1 full.
        top: One of `TOPS`.
        sleeve: Where the sleeves end along the arm: 0 shoulder, 1 elbow, 2 wrist.
        hem: Height of the top's lower edge; 0 is the crotch.
        neckline: Depth of the neckline below the throat.
        v_neck: Whether the neckline is a V.
        open_front: Whether a jacket or coat stands open over an inner garment of colour `colors[3]`.
        hood: One of `HOODS`: whether the top has one, and where it is worn.
        tucked: Whether the bottom covers the top.
        fit: Looseness of the top, about 0.7 tight to 1.5 wide.
        pattern: One of `PATTERNS`.
        pattern_scale: Relative size of the pattern, about 0.6 to 1.6.
        pattern_phase: In [0, 1): shifts and varies the pattern.
        colors: Main, second and third colour of the top, and that of the inner garment.
        bottom: One of `BOTTOMS`; what shows below a dress are the legs.
        bottom_color: Its colour.
        bottom_pattern: "plain", "side" (a stripe along the legs), "plaid" or "dots".
        leg: Where the trouser legs end: 0 hip, 1 knee, 2 ankle.
        leg_width: Looseness of the legs, about 0.6 slim to 1.6 wide.
        skirt_length: Length of a skirt, dress or coat below the waist, 0 to 1 (ankle); 0 without one.
        skirt_flare: How far it widens downwards, 0 to 1.
        shoe: One of `SHOES`.
        shoe_colors: Upper and sole.
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
    beard: float
    top: str
    sleeve: float
    hem: float
    neckline: float
    v_neck: bool
    open_front: bool
    hood: str
    tucked: bool
    fit: float
    pattern: str
    pattern_scale: float
    pattern_phase: float
    colors: tuple[Color, Color, Color, Color]
    bottom: str
    bottom_color: Color
    bottom_pattern: str
    leg: float
    leg_width: float
    skirt_length: float
    skirt_flare: float
    shoe: str
    shoe_colors: tuple[Color, Color]
    sock_color: Color
    tights: bool

    @property
    def has_skirt(self) -> bool:
        """Whether the skirt mesh is worn (as a skirt, or as the lower part of a dress or coat)."""
        return self.skirt_length > 0

    def to_json(self) -> dict[str, Any]:
        """JSON values only: tuples become lists."""
        return {name: _to_json(value) for name, value in dataclasses.asdict(self).items()}

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
class Wardrobe:
    """What people wear, and how often. Weights (name -> weight) need not sum to 1, and names left out have weight 0.

    Attributes:
        female: Share of female gender expression; fields `*_female` and `*_male` go with it.
        age: Mean and standard deviation of the age, as in `BodyShape`.
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
    """

    female: float = 0.5
    age: tuple[float, float] = (0.74, 0.1)
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
            "plain": 0.3,
            "stripes": 0.15,
            "logo": 0.15,
            "text": 0.06,
            "block": 0.08,
            "yoke": 0.06,
            "gradient": 0.03,
            "plaid": 0.05,
            "dots": 0.03,
            "vertical": 0.03,
            "camouflage": 0.03,
        }
    )
    patterns_shirt: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.4,
            "plaid": 0.24,
            "stripes": 0.06,
            "vertical": 0.16,
            "dots": 0.1,
            "block": 0.04,
        }
    )
    patterns_jacket: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"plain": 0.62, "block": 0.12, "yoke": 0.12, "camouflage": 0.04, "plaid": 0.1}
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _WEIGHTED:
                _check_weights(field.name, value, _WEIGHTED[field.name])
            elif isinstance(value, tuple | list):
                # JSON knows no tuples.
                object.__setattr__(self, field.name, _check_pair(field.name, value, ordered=field.name != "age"))
            elif not (isinstance(value, float | int) and 0.0 <= value <= 1.0):
                raise ValueError(f"wardrobe.{field.name} must be a number in [0, 1], found {value!r}.")

    def to_json(self) -> dict[str, Any]:
        """JSON values only: tuples become lists."""
        return {name: _to_json(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Wardrobe":
        """The inverse of `to_json`; fields left out have their defaults.

        Raises:
            ValueError: An unknown field, an unknown name, or an impossible value; the message names the key.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not set(fields) <= known:
            raise ValueError(f"wardrobe has no {sorted(set(fields) - known)}; it has {sorted(known)}.")
        return cls(**fields)


_WEIGHTED = {
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
}


def _check_weights(field: str, weights: Any, names: tuple[str, ...]) -> None:
    if not isinstance(weights, dict):
        raise ValueError(f"wardrobe.{field} must map names to weights, found {weights!r}.")
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(f"wardrobe.{field} knows no {name!r}; choose among {', '.join(names)}.")
        if not (isinstance(weight, float | int) and 0.0 <= weight < float("inf")):
            raise ValueError(f"wardrobe.{field}.{name} must be a weight of at least 0, found {weight!r}.")
    if sum(weights.values()) <= 0.0:
        raise ValueError(f"wardrobe.{field} needs a weight above 0, found {weights!r}.")


def _check_pair(field: str, value: tuple[Any, ...] | list[Any], *, ordered: bool) -> tuple[float, ...]:
    numbers = len(value) == 2 and all(isinstance(end, float | int) and abs(end) < float("inf") for end in value)
    if not numbers or (ordered and value[0] > value[1]):
        raise ValueError(f"wardrobe.{field} must be two numbers, the lower one first, found {value!r}.")
    return tuple(value)


def _to_json(value: Any) -> Any:
    return [_to_json(entry) for entry in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    return tuple(_from_json(entry) for entry in value) if isinstance(value, list) else value


def _color(values: np.ndarray | tuple[float, ...]) -> Color:
    red, green, blue = (round(float(np.clip(value, 0.02, 0.97)), 4) for value in values)
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.asarray(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def _choice(rng: np.random.Generator, options: dict[str, float]) -> str:
    weights = np.asarray(list(options.values()))
    return list(options)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _fabric(rng: np.random.Generator) -> np.ndarray:
    kind = _choice(rng, {"white": 0.13, "black": 0.14, "grey": 0.1, "navy": 0.07, "vivid": 0.28, "muted": 0.28})
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


def _contrasting(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Another fabric colour that can be told from `color` (the most distant of a few draws)."""
    draws = [_fabric(rng) for _ in range(3)]
    return max(draws, key=lambda draw: float(np.abs(draw - color).sum()))


def _bottom_color(rng: np.random.Generator, bottom: str) -> np.ndarray:
    if bottom == "jeans":
        if rng.uniform() < 0.2:
            return np.full(3, rng.uniform(0.1, 0.3)) + rng.normal(0.0, 0.01, 3)
        return _hsv(rng.uniform(0.575, 0.635), rng.uniform(0.3, 0.65), rng.uniform(0.24, 0.58))
    kind = _choice(rng, {"dark": 0.42, "khaki": 0.2, "navy": 0.13, "any": 0.25})
    if kind == "dark":
        return np.full(3, rng.uniform(0.06, 0.3)) + rng.normal(0.0, 0.012, 3)
    if kind == "khaki":
        return _hsv(rng.uniform(0.06, 0.13), rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.72))
    if kind == "navy":
        return _hsv(rng.uniform(0.58, 0.66), rng.uniform(0.35, 0.7), rng.uniform(0.15, 0.35))
    return _fabric(rng)


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
    age = float(np.clip(rng.normal(*w.age), 0.56, 1.0))
    tone = float(np.clip(rng.uniform(*w.skin_tone), 0.0, 6.0))
    skin = np.stack([np.interp(tone, np.arange(7), _SKIN[:, channel]) for channel in range(3)])
    skin = skin * (1.0 + rng.normal(0.0, 0.025, 3))
    hair_probabilities = np.array([0.27, 0.22, 0.17, 0.13, 0.09, 0.06, 0.04, 0.02])
    if tone > 3.5:
        hair_probabilities[3:7] *= 0.15
    if age > 0.85:
        hair_probabilities[7] += 0.8
    hair = _HAIR[int(rng.choice(8, p=hair_probabilities / hair_probabilities.sum()))] * rng.uniform(0.85, 1.15)
    hair_style = _choice(rng, w.hair_female if female else w.hair_male)
    top = _choice(rng, w.tops_female if female else w.tops_male)
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
    pattern = _choice(rng, (by_top | {"coat": w.patterns_jacket}).get(top, w.patterns))
    main = _fabric(rng)
    second = _contrasting(rng, main)
    third = _contrasting(rng, (main + second) / 2)
    inner = _contrasting(rng, main)

    if top == "dress":
        bottom = "skirt"
    else:
        bottom = _choice(rng, w.bottoms_female if female else w.bottoms_male)
    if top == "coat" and bottom == "skirt":
        bottom = "trousers"
    skirt_length = 0.0
    if bottom == "skirt":
        skirt_length = float(rng.uniform(*w.skirt_length))
    elif top == "coat":
        skirt_length = float(rng.uniform(*w.coat_length))
    bottom_color = main if top == "dress" else _bottom_color(rng, bottom)
    bottom_pattern = "plain"
    if bottom in ("trousers", "leggings", "shorts") and rng.uniform() < 0.2:
        bottom_pattern = "side"
    elif bottom == "skirt" and top != "dress" and rng.uniform() < 0.3:
        bottom_pattern = str(rng.choice(["plaid", "dots"]))
    leg = {"shorts": float(rng.uniform(0.5, 1.1)), "leggings": float(rng.uniform(1.6, 1.95))}.get(bottom, 1.97)
    if bottom in ("trousers", "jeans") and rng.uniform() < 0.15:
        leg = float(rng.uniform(1.7, 1.88))
    shoe = _choice(rng, w.shoes)
    upper = np.full(3, rng.uniform(0.05, 0.25)) if shoe != "sneaker" or rng.uniform() < 0.3 else _fabric(rng)
    if shoe != "sneaker" and rng.uniform() < 0.35:
        upper = _hsv(rng.uniform(0.04, 0.09), rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.5))
    sole = np.full(3, rng.uniform(0.78, 0.9)) if shoe == "sneaker" and rng.uniform() < 0.7 else upper * 0.5
    light_sock = rng.uniform() < 0.55
    sock = np.full(3, rng.uniform(0.72, 0.86) if light_sock else rng.uniform(0.07, 0.3))
    tights = female and bottom in ("skirt", "shorts") and bool(rng.uniform() < w.tights)
    return Appearance(
        seed=int(rng.integers(1 << 31)),
        female=female,
        age=round(age, 4),
        skin=_color(skin),
        hair_color=_color(hair),
        brow_color=_color(np.minimum(hair * 0.75, skin * 0.55)),
        lip_color=_color(skin * [1.0, 0.72, 0.74] + ([0.06, -0.03, 0.0] if female else [0.0, 0.0, 0.0])),
        eye_color=_color(_hsv(0.08, 0.6, 0.2) if tone > 2 or rng.uniform() < 0.6 else _hsv(0.57, 0.35, 0.45)),
        hair_style=hair_style,
        hairline=round(float(rng.normal(0.0, w.hairline) + max(0.0, age - 0.85) * 0.1 * (not female)), 4),
        hair_length=round(float(rng.uniform(*w.hair_length)), 4),
        hair_volume=round(float(rng.uniform(*w.hair_volume)), 4),
        beard=0.0 if female or rng.uniform() >= w.beard else round(float(rng.uniform(0.2, 0.95)), 4),
        top=top,
        sleeve=round(sleeve, 4),
        hem=round(hem_height, 4),
        neckline=round(neckline, 4),
        v_neck=v_neck,
        open_front=open_front,
        hood=hood,
        tucked=bottom == "skirt" and top in ("tee", "shirt", "tank", "sweater") and bool(rng.uniform() < w.tucked),
        fit=round(float(rng.uniform(*w.fit)), 4),
        pattern=pattern,
        pattern_scale=round(float(rng.uniform(0.6, 1.6)), 4),
        pattern_phase=round(float(rng.uniform()), 4),
        colors=(_color(main), _color(second), _color(third), _color(inner)),
        bottom=bottom,
        bottom_color=_color(bottom_color),
        bottom_pattern=bottom_pattern,
        leg=round(leg, 4),
        leg_width=round(float(rng.uniform(*w.leg_width)), 4),
        skirt_length=round(skirt_length, 4),
        skirt_flare=round(float(rng.uniform(0.0, 1.0)), 4),
        shoe=shoe,
        shoe_colors=(_color(upper), _color(sole)),
        sock_color=_color(sock if not tights else sock * 0.35),
        tights=tights,
    )
