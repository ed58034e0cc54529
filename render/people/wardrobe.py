"""The wardrobe: what people look like and wear, and how often. Part of a recipe."""

import dataclasses
from typing import ClassVar

from render.people.appearance import (
    BEARDS,
    BOTTOM_PATTERNS,
    BOTTOMS,
    FABRICS,
    HAIR_STYLES,
    PATTERNS,
    PRINTS,
    SHOE_DESIGNS,
    SHOES,
    SOCKS,
    TOPS,
    TRIMS,
)
from render.people.colors import CLOTH_COLORS
from render.shares import Range, Shares


@dataclasses.dataclass(frozen=True)
class Wardrobe(Shares):
    """What people look like and wear, and how often.

    Weights (name -> weight) need not sum to 1; names that are left out have weight 0.

    Attributes:
        female: Share of female gender expression; fields `*_female` and `*_male` go with it.
        age, age_spread: Mean and standard deviation of the age, as in `BodyShape`.
        skin_tone: Range of the skin's tone, 0 lightest to 6 darkest.
        beard: Share of bearded men.
        tops_female, tops_male: Weights of `TOPS`.
        bottoms_female, bottoms_male: Weights of `BOTTOMS`; a dress takes the place of a bottom.
        hair_female, hair_male: Weights of `HAIR_STYLES`.
        shoes: Weights of `SHOES`.
        hairline: Standard deviation of the height of the hairline, metres.
        hair_length, hair_volume: Ranges of the fields of these names of `Person`.
        fit: Range of the looseness of tops.
        leg_width: Range of the looseness of trouser legs.
        skirt_length: Range of the length of skirts and dresses.
        coat_length: Range of the part of a coat that hangs over the legs.
        open_front: Share of jackets and coats that stand open.
        hooded: Share of jackets and coats with a hood; a hoodie always has one.
        hood_up: Share of hoods worn over the head.
        v_neck_female, v_neck_male: Share of V necks among tees, sweaters, dresses and tank tops.
        tucked: Share of tops tucked into a skirt.
        tights: Share of tights among women's skirts and shorts.
        patterns: Weights of `PATTERNS` on tops.
        patterns_shirt: Weights of `PATTERNS` on shirts and dresses.
        patterns_jacket: Weights of `PATTERNS` on jackets and coats.
        patterns_trousers: Weights of `BOTTOM_PATTERNS` on trousers, shorts and leggings; jeans are plain.
        patterns_skirt: Weights of `BOTTOM_PATTERNS` on skirts.
        pattern_scale: Range of the relative size of patterns and prints.
        fabrics: Weights of `FABRICS`; each garment chooses among those that it can be made of.
        prints_front: Weights of `PRINTS` on the front of tees, tank tops, sweaters and hoodies with room for one.
        prints_back: Weights of `PRINTS` on their backs and on the backs of jackets.
        trims: Weights of `TRIMS`.
        colors_top: Weights of `CLOTH_COLORS` on tops.
        colors_jacket: Weights of `CLOTH_COLORS` on jackets and coats.
        colors_bottom: Weights of `CLOTH_COLORS` on bottoms other than jeans.
        colors_shoes: Weights of `CLOTH_COLORS` on shoes.
        matching: Share of jackets, hoodies and sweaters worn with trousers of the same colour: suits and tracksuits.
        cloth_share: Share of tops, and of bottoms, made of a user's cloth image where there are any.
        cloth_scale: Range of the width on the garment of a cloth image's shorter side, metres.
        wear: Range of how worn clothes are.
        belt: Share of belts on trousers, jeans and shorts.
        shoe_designs: Weights of `SHOE_DESIGNS`.
        socks: Weights of `SOCKS`.
        beards: Weights of `BEARDS` among bearded men.
        makeup: Share of women with make-up.
        freckles: Share of freckled people among those of light skin.
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
        "colors_top": CLOTH_COLORS,
        "colors_jacket": CLOTH_COLORS,
        "colors_bottom": CLOTH_COLORS,
        "colors_shoes": CLOTH_COLORS,
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
            "tee": 0.34,
            "polo": 0.05,
            "shirt": 0.14,
            "sweater": 0.12,
            "hoodie": 0.12,
            "jacket": 0.11,
            "coat": 0.04,
            "tank": 0.06,
            "dress": 0.1,
        }
    )
    tops_male: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "tee": 0.34,
            "polo": 0.05,
            "shirt": 0.14,
            "sweater": 0.12,
            "hoodie": 0.12,
            "jacket": 0.11,
            "coat": 0.04,
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
            "plain": 0.66,
            "stripes": 0.1,
            "block": 0.05,
            "panel": 0.025,
            "yoke": 0.04,
            "gradient": 0.01,
            "plaid": 0.02,
            "tartan": 0.005,
            "argyle": 0.01,
            "chevron": 0.01,
            "dots": 0.01,
            "vertical": 0.01,
            "camouflage": 0.015,
            "tie_dye": 0.01,
            "floral": 0.015,
            "leaves": 0.005,
            "leopard": 0.005,
        }
    )
    patterns_shirt: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.5,
            "plaid": 0.12,
            "tartan": 0.05,
            "gingham": 0.06,
            "pinstripe": 0.06,
            "vertical": 0.04,
            "stripes": 0.04,
            "dots": 0.04,
            "floral": 0.05,
            "leaves": 0.02,
            "leopard": 0.01,
            "chevron": 0.005,
            "block": 0.005,
        }
    )
    patterns_jacket: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.74,
            "block": 0.07,
            "panel": 0.04,
            "yoke": 0.05,
            "camouflage": 0.02,
            "plaid": 0.02,
            "tartan": 0.01,
            "houndstooth": 0.02,
            "herringbone": 0.025,
            "leopard": 0.005,
        }
    )
    patterns_trousers: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.84,
            "side": 0.06,
            "bands": 0.03,
            "pinstripe": 0.015,
            "plaid": 0.01,
            "tartan": 0.003,
            "houndstooth": 0.004,
            "herringbone": 0.01,
            "camouflage": 0.016,
            "floral": 0.005,
            "leopard": 0.002,
            "gradient": 0.003,
            "chevron": 0.002,
        }
    )
    patterns_skirt: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "plain": 0.68,
            "tartan": 0.06,
            "plaid": 0.04,
            "dots": 0.05,
            "floral": 0.06,
            "leaves": 0.02,
            "stripes": 0.03,
            "vertical": 0.02,
            "gingham": 0.02,
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
    colors_top: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "black": 0.17,
            "white": 0.23,
            "grey": 0.13,
            "navy": 0.08,
            "blue": 0.07,
            "beige": 0.05,
            "brown": 0.02,
            "olive": 0.02,
            "burgundy": 0.02,
            "denim": 0.02,
            "pastel": 0.07,
            "muted": 0.03,
            "red": 0.04,
            "green": 0.02,
            "vivid": 0.03,
        }
    )
    colors_jacket: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "black": 0.33,
            "grey": 0.15,
            "navy": 0.18,
            "brown": 0.06,
            "beige": 0.06,
            "olive": 0.07,
            "white": 0.025,
            "blue": 0.03,
            "burgundy": 0.025,
            "muted": 0.02,
            "red": 0.02,
            "green": 0.015,
            "vivid": 0.015,
        }
    )
    colors_bottom: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "black": 0.36,
            "grey": 0.2,
            "navy": 0.14,
            "beige": 0.12,
            "brown": 0.05,
            "olive": 0.04,
            "white": 0.025,
            "blue": 0.025,
            "burgundy": 0.01,
            "muted": 0.02,
            "vivid": 0.01,
        }
    )
    colors_shoes: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "black": 0.4,
            "white": 0.24,
            "grey": 0.13,
            "brown": 0.09,
            "navy": 0.05,
            "beige": 0.05,
            "red": 0.01,
            "muted": 0.015,
            "vivid": 0.015,
        }
    )
    matching: float = 0.12
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
