"""What a person carries or wears besides clothes: bags, hats, umbrellas, glasses, a phone.

This module holds which kinds there are, how often each is met and which go together; `render.accessories` makes their
meshes. Accessories stand away from the body: they have textures of their own and are no part of the person's UV
texture, and the frontal view is drawn without them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from render.people.appearance import Appearance
from render.people.colors import Color, hsv, to_color
from render.shares import Shares

# At most one of the kinds that share a place is worn.
PLACES: dict[str, tuple[str, ...]] = {
    "back": ("backpack", "shoulder_bag"),
    "hand": ("handbag", "tote", "shopping_bag", "briefcase", "suitcase", "papers"),
    "umbrella": ("umbrella", "folded_umbrella"),
    "phone": ("phone",),
    "head": ("cap", "beanie", "hat", "headphones"),
    "eyes": ("glasses", "sunglasses"),
    "neck": ("scarf",),
}
KINDS = tuple(kind for kinds in PLACES.values() for kind in kinds)
HELD = (*PLACES["hand"], *PLACES["umbrella"], *PLACES["phone"])
VARIANTS: dict[str, tuple[str, ...]] = {
    "backpack": ("two_straps", "one_strap"),
    "shoulder_bag": ("across", "shoulder"),
    "beanie": ("plain", "bobble"),
    "hat": ("narrow", "wide"),
    "scarf": ("loop", "ends"),
}
PATTERNS = ("plain", "panel", "stripes")
SIDES = ("left", "right")

# Hair on which a hat cannot sit: it stands up, or is gathered where the hat would be.
_NO_HAT = ("afro", "bun", "top_bun", "curly")
_NO_BEANIE = (*_NO_HAT, "ponytail", "braid", "low_bun")
# For cold days: not with bare arms.
_WARM = ("beanie", "scarf")
_LEVELS = (0.03, 0.95)  # the darkest and the lightest a channel of a colour can be


@dataclasses.dataclass(frozen=True)
class Accessory:
    """A thing that is worn or carried.

    Attributes:
        kind: One of `KINDS`.
        variant: One of `VARIANTS[kind]`; "" where the kind has none.
        side: "left" or "right": the hand or shoulder that carries it. What sits in the middle is mirrored where the
            side is "right".
        size: Size relative to the usual one, 0.8 to 1.25.
        pattern: One of `PATTERNS`.
        colors: Main, second and trimming colour, sRGB in [0, 1].
        seed: Seed of the noise in its material.
    """

    kind: str
    variant: str
    side: str
    size: float
    pattern: str
    colors: tuple[Color, Color, Color]
    seed: int

    def __post_init__(self) -> None:
        for name, allowed in (
            ("kind", KINDS),
            ("variant", VARIANTS.get(self.kind, ("",))),
            ("side", SIDES),
            ("pattern", PATTERNS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"accessory: {name} must be one of {', '.join(map(repr, allowed))}, found {getattr(self, name)!r}."
                )
        if not 0.8 <= self.size <= 1.25:
            raise ValueError(f"accessory: size must lie in [0.8, 1.25], found {self.size!r}.")

    def mirrored(self) -> "Accessory":
        """Return the same thing in a mirror: its mesh and its texture are mirror images."""
        return dataclasses.replace(self, side="right" if self.side == "left" else "left")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: tuples become lists."""
        return {**vars(self), "colors": [list(color) for color in self.colors]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Accessory":
        """Return the accessory whose `to_json` is `fields`.

        Raises:
            ValueError: A field is missing or unknown, or has an impossible value.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != expected:
            raise ValueError(
                f"An accessory has the fields {sorted(expected)}; missing {sorted(expected - set(fields))}, "
                f"unknown {sorted(set(fields) - expected)}."
            )
        main, second, trim = (tuple(color) for color in fields["colors"])
        return cls(**{**fields, "colors": (main, second, trim)})


@dataclasses.dataclass(frozen=True)
class AccessoryShares(Shares):
    """Probability of each kind among the persons who can wear it (`can_wear`).

    The defaults are near the attributes that people annotated in Market-1501 (Y. Lin et al., Improving Person
    Re-identification by Attribute and Identity Learning, 2019): a backpack on a quarter of the persons, a bag over the
    shoulder on a quarter, something in the hand on a tenth; hats are more frequent here than there.

    Attributes:
        one_strap: Share of backpacks that hang from one shoulder.
        across: Share of shoulder bags whose strap runs across the chest.
    """

    TOPIC: ClassVar[str] = "accessories"

    backpack: float = 0.22
    shoulder_bag: float = 0.2
    handbag: float = 0.06
    tote: float = 0.04
    shopping_bag: float = 0.06
    briefcase: float = 0.02
    suitcase: float = 0.02
    papers: float = 0.03
    umbrella: float = 0.04
    folded_umbrella: float = 0.02
    phone: float = 0.08
    cap: float = 0.08
    beanie: float = 0.04
    hat: float = 0.03
    headphones: float = 0.03
    glasses: float = 0.1
    sunglasses: float = 0.05
    scarf: float = 0.05
    one_strap: float = 0.15
    across: float = 0.6

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, float | int) or not 0.0 <= value <= 1.0:
                raise ValueError(f"accessories.{name} must be a probability in [0, 1], found {value!r}.")
        for kinds in PLACES.values():
            total = sum(getattr(self, kind) for kind in kinds)
            if total > 1.0 + 1e-9:
                names = " + ".join(f"accessories.{kind}" for kind in kinds)
                raise ValueError(f"{names} share a place and must sum to at most 1, found {total:g}.")


def can_wear(kind: str, appearance: Appearance) -> bool:
    """Whether a kind goes with these looks: no hat on a bun or under a hood, no woollen hat with bare arms."""
    a = appearance
    if kind in PLACES["head"] and a.hood == "up":
        return False
    if kind in ("cap", "hat") and a.hair_style in _NO_HAT:
        return False
    if kind == "beanie" and a.hair_style in _NO_BEANIE:
        return False
    if kind == "headphones" and a.hair_style in ("afro", "top_bun", "curly"):
        return False
    if kind == "scarf" and a.hood != "none":
        return False
    return not (kind in _WARM and (a.sleeve < 1.5 or a.bottom == "shorts"))


def sample_accessories(
    rng: np.random.Generator, appearance: Appearance, shares: AccessoryShares | None = None
) -> tuple[Accessory, ...]:
    """Draw what a person wears and carries: things that go together and with the looks; often nothing.

    Args:
        rng: Source of every choice.
        appearance: The person's looks.
        shares: How often each kind is met; None stands for the defaults.
    """
    shares = AccessoryShares() if shares is None else shares
    sides = {place: SIDES[int(rng.integers(2))] for place in PLACES}
    # The umbrella is in the hand that holds no bag, the phone in the hand that holds no umbrella.
    sides["umbrella"] = _other(sides["hand"])
    result: list[Accessory] = []
    for place, kinds in PLACES.items():
        # Each place has its own generator, so changing one share does not disturb the other choices.
        own = np.random.default_rng(int(rng.integers(1 << 63)))
        kind = _pick(own, {kind: getattr(shares, kind) for kind in kinds if can_wear(kind, appearance)})
        if kind is None:
            continue
        side = sides[place]
        busy = {thing.side for thing in result if thing.kind in HELD}
        if kind == "phone":
            if len(busy) == 2:
                continue
            side = _other(next(iter(busy))) if busy else side
        result.append(_sample(own, kind, side, shares))
    return tuple(result)


def _other(side: str) -> str:
    return "right" if side == "left" else "left"


def _pick(rng: np.random.Generator, probabilities: dict[str, float]) -> str | None:
    level = float(rng.uniform())
    for kind, probability in probabilities.items():
        level -= probability
        if level < 0.0:
            return kind
    return None


def _sample(rng: np.random.Generator, kind: str, side: str, shares: AccessoryShares) -> Accessory:
    variants = VARIANTS.get(kind, ("",))
    variant = variants[int(rng.integers(len(variants)))]
    if kind == "backpack":
        variant = "one_strap" if rng.uniform() < shares.one_strap else "two_straps"
    elif kind == "shoulder_bag":
        variant = "across" if rng.uniform() < shares.across else "shoulder"
    main, second, trim = _sample_colors(rng, kind)
    return Accessory(
        kind=kind,
        variant=variant,
        side=side,
        size=round(float(np.clip(rng.normal(1.0, 0.09), 0.82, 1.2)), 3),
        pattern=str(rng.choice(PATTERNS, p=(0.45, 0.35, 0.2))),
        colors=(to_color(main, *_LEVELS), to_color(second, *_LEVELS), to_color(trim, *_LEVELS)),
        seed=int(rng.integers(1 << 31)),
    )


def _sample_colors(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw main, second and trimming colour [3] as such things are carried: most are dark."""
    black = np.full(3, rng.uniform(0.06, 0.17))
    vivid = hsv(rng.uniform(), rng.uniform(0.55, 0.95), rng.uniform(0.4, 0.9))
    muted = hsv(rng.uniform(), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.75))
    navy = hsv(rng.uniform(0.57, 0.66), rng.uniform(0.4, 0.7), rng.uniform(0.16, 0.36))
    leather = hsv(rng.uniform(0.03, 0.09), rng.uniform(0.4, 0.75), rng.uniform(0.2, 0.6))
    pale = np.full(3, rng.uniform(0.68, 0.9)) * [1.0, 0.985, 0.95]
    palette = [black, navy, leather, vivid, muted, pale]
    weights = {
        "backpack": (0.5, 0.17, 0.04, 0.08, 0.17, 0.04),
        "shoulder_bag": (0.4, 0.12, 0.26, 0.05, 0.1, 0.07),
        "handbag": (0.38, 0.07, 0.32, 0.06, 0.09, 0.08),
        "tote": (0.18, 0.12, 0.06, 0.1, 0.18, 0.36),
        "shopping_bag": (0.08, 0.05, 0.14, 0.2, 0.13, 0.4),
        "briefcase": (0.55, 0.05, 0.35, 0.0, 0.05, 0.0),
        "suitcase": (0.48, 0.18, 0.02, 0.1, 0.18, 0.04),
        "papers": (0.04, 0.06, 0.0, 0.08, 0.1, 0.72),
        "umbrella": (0.44, 0.2, 0.0, 0.16, 0.12, 0.08),
        "folded_umbrella": (0.55, 0.18, 0.0, 0.1, 0.13, 0.04),
        "phone": (0.7, 0.05, 0.0, 0.1, 0.05, 0.1),
        "cap": (0.4, 0.2, 0.02, 0.1, 0.14, 0.14),
        "beanie": (0.42, 0.16, 0.04, 0.1, 0.2, 0.08),
        "hat": (0.3, 0.12, 0.2, 0.02, 0.14, 0.22),
        "headphones": (0.6, 0.02, 0.0, 0.12, 0.06, 0.2),
        "glasses": (0.7, 0.04, 0.16, 0.04, 0.06, 0.0),
        "sunglasses": (0.9, 0.02, 0.08, 0.0, 0.0, 0.0),
        "scarf": (0.28, 0.14, 0.08, 0.14, 0.26, 0.1),
    }[kind]
    main = palette[int(rng.choice(len(palette), p=weights))]
    others = [color for color in (*palette, 0.55 * main) if float(np.abs(color - main).sum()) > 0.25]
    second = others[int(rng.integers(len(others)))] if others else 0.5 + 0.5 * main
    trim = black if float(main.mean()) > 0.3 or rng.uniform() < 0.3 else np.full(3, rng.uniform(0.35, 0.7))
    return main, second, trim


def hand_side(accessories: Sequence[Accessory], *kinds: str) -> int | None:
    """Return the hand (0 left, 1 right) that holds a thing of one of these kinds, or None."""
    for accessory in accessories:
        if accessory.kind in kinds:
            return SIDES.index(accessory.side)
    return None
