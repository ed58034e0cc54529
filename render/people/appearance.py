"""What a person looks like apart from body shape and pose: skin, hair and clothes, as a record that JSON can hold.

The texture and the thickness of the garments depend on the appearance alone, so one appearance can be combined with
many body shapes and poses, as the PIT dataset of the paper (section "Semantics-Aligned Network") needs.
"""

import dataclasses
from typing import Any

from render.people.colors import Color

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


# Colours are display values (sRGB) in [0, 1]; lengths are metres on the reference body.


@dataclasses.dataclass(frozen=True)
class Person:
    """The part of an appearance that is not clothes: skin, hair and face.

    Attributes:
        seed: Seed of the noise in cloth, hair and skin.
        female: Gender expression; the body's shape follows it.
        age: As in `BodyShape`: 2/3 young, 1 old.
        skin, hair_color, brow_color, lip_color, eye_color: Colours.
        hair_style: One of `HAIR_STYLES`.
        hairline: Height of the hairline over the forehead relative to the usual one.
        hair_length: How far hair falls that is longer than the ears, 0 to 1.
        hair_volume: Relative thickness of the hair, about 0.6 to 1.4.
        hair_highlight: How much lighter some strands are than the rest, 0 to 1.
        parting: Where the hair parts, metres from the middle of the head.
        beard: 0 shaven to 1 dense.
        beard_style: One of `BEARDS`.
        brow_weight: Relative thickness of the eyebrows, about 0.6 to 1.5.
        brow_arch: 0 straight to 1 arched.
        lip_fullness: Relative height of the lips, about 0.6 to 1.4.
        makeup: 0 none to 1 strong.
        freckles: 0 none to 1 many.
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


@dataclasses.dataclass(frozen=True)
class Top:
    """The part of an appearance that is worn on trunk and arms.

    Attributes:
        top: One of `TOPS`.
        sleeve: Where the sleeves end along the arm: 0 shoulder, 1 elbow, 2 wrist.
        hem: Height of the top's lower edge; 0 is the crotch.
        neckline: Depth of the neckline below the throat.
        v_neck: Whether the neckline is a V.
        open_front: Whether a jacket or coat stands open over an inner garment of colour `colors[3]`.
        hood: One of `HOODS`: whether the top has a hood, and how it is worn.
        tucked: Whether the bottom covers the top.
        fit: Looseness of the top, about 0.7 tight to 1.5 wide.
        fabric: What the top is made of, one of `FABRICS`.
        pattern: One of `PATTERNS`.
        pattern_scale: Relative size of the pattern, about 0.6 to 1.6.
        pattern_phase: Shifts and varies the pattern, in [0, 1).
        colors: Main, second and third colour of the top, and the colour of the inner garment.
        print_front, print_back: What is printed on chest and back, each one of `PRINTS`.
        print_seed: Seed of the word, number or picture that is printed.
        print_colors: The two colours of the print.
        trim: How collar, cuffs and seams are set off, one of `TRIMS`.
        trim_color: Colour of the trim.
        cloth: Names of the user's cloth images for top and bottom; "" is the procedural cloth.
        cloth_scale: Width on the garment of the shorter side of those images, metres.
        wear: 0 new to 1 worn: faded and creased.
    """

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


@dataclasses.dataclass(frozen=True)
class Bottom:
    """The part of an appearance that is worn on hips and legs.

    Attributes:
        bottom: One of `BOTTOMS`; below a dress the legs show.
        bottom_color: Its main colour.
        bottom_accent: Second colour of its pattern.
        bottom_fabric: One of `FABRICS`.
        bottom_pattern: One of `BOTTOM_PATTERNS`; "side" and "bands" are stripes down the legs.
        belt: Whether a belt is worn; a top that hangs over it hides it.
        belt_color: Colour of the belt.
        leg: Where the trouser legs end: 0 hip, 1 knee, 2 ankle.
        leg_width: Looseness of the legs, about 0.6 slim to 1.6 wide.
        skirt_length: Length of a skirt, dress or coat below the waist, 0 to 1 (ankle); 0 without one.
        skirt_flare: How far it widens downwards, 0 to 1.
    """

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


@dataclasses.dataclass(frozen=True)
class Footwear:
    """The part of an appearance that is worn on the feet.

    Attributes:
        shoe: One of `SHOES`.
        shoe_design: One of `SHOE_DESIGNS`.
        shoe_colors: Colours of upper and sole.
        shoe_accent: Colour of the design on the shoe, and of the laces of sneakers.
        sock: One of `SOCKS`.
        sock_color: Colour of socks or tights.
        tights: Whether bare legs below a skirt or shorts are covered in `sock_color`.
    """

    shoe: str
    shoe_design: str
    shoe_colors: tuple[Color, Color]
    shoe_accent: Color
    sock: str
    sock_color: Color
    tights: bool


@dataclasses.dataclass(frozen=True)
class Appearance(Footwear, Bottom, Top, Person):
    """One person's looks: all fields of `Person`, `Top`, `Bottom` and `Footwear`, in this order.

    The bases are listed backwards because a dataclass puts the fields of its last base first.
    """

    @property
    def has_skirt(self) -> bool:
        """Whether the skirt mesh is worn (as a skirt, or as the lower part of a dress or coat)."""
        return self.skirt_length > 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: tuples become lists."""
        return {name: _to_json(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Appearance":
        """Return the appearance whose `to_json` is `fields`.

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


def _to_json(value: Any) -> Any:
    return [_to_json(entry) for entry in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    return tuple(_from_json(entry) for entry in value) if isinstance(value, list) else value
