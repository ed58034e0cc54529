"""Draws appearances from a wardrobe, and look-alikes of a given appearance.

Later choices depend on earlier ones (a trim contrasts with the cloth), so the kinds and colours of garments are drawn
first, as drafts; the details of each part of the record follow.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from render.people import colors
from render.people.appearance import Appearance, Bottom, Footwear, Person, Top
from render.people.colors import draw_contrasting, to_color
from render.people.wardrobe import Wardrobe
from render.shares import Range, draw_name

# The fabrics that garments are made of.
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
# Tops that go with few shorts: share of the shorts' weight.
_WARMTH = {"coat": 0.0, "jacket": 0.15, "sweater": 0.5, "hoodie": 0.5}
_QUIET_PATTERNS = (
    "plain",
    "stripes",
    "block",
    "panel",
    "yoke",
    "gradient",
    "pinstripe",
)  # others go with plain bottoms
_PRINTED_TOPS = ("tee", "tank", "sweater", "hoodie")
_UNDER_PRINTS = ("plain", "yoke", "gradient", "tie_dye", "panel", "block")  # patterns that a print is laid over


def sample_appearance(
    rng: np.random.Generator, wardrobe: Wardrobe | None = None, cloths: Sequence[str] = ()
) -> Appearance:
    """Draw a person's looks.

    Args:
        rng: Source of every choice.
        wardrobe: The distributions; None stands for the defaults.
        cloths: Names of the user's cloth images, as in `photo_folder.PhotoFolder.names`.
    """
    w = wardrobe or Wardrobe()
    person = _draft_person(rng, w)
    top = _draft_top(rng, w, person)
    bottom = _draft_bottom(rng, w, person, top)
    shoes = _draft_shoes(rng, w)
    prints = _draft_prints(rng, w, top)
    tights = person.female and bottom.kind in ("skirt", "shorts") and bool(rng.uniform() < w.tights)
    parts = (
        _draw_person(rng, w, person),
        _draw_top(rng, w, top, bottom, prints, cloths),
        _draw_bottom(rng, w, bottom),
        _draw_footwear(rng, w, shoes, tights),
    )
    return Appearance(**{name: value for part in parts for name, value in vars(part).items()})


@dataclasses.dataclass(frozen=True)
class _PersonDraft:
    """What is known of a person before the clothes are drawn; colours [3] are not yet rounded."""

    female: bool
    age: float
    tone: float
    skin: np.ndarray
    hair: np.ndarray
    hair_style: str


@dataclasses.dataclass(frozen=True)
class _TopDraft:
    """Cut and colours [3] of a top; `inner` is the colour of what is worn under it."""

    kind: str
    sleeve: float
    hem: float
    neckline: float
    v_neck: bool
    open_front: bool
    hood: str
    pattern: str
    fabric: str
    main: np.ndarray
    second: np.ndarray
    third: np.ndarray
    inner: np.ndarray


@dataclasses.dataclass(frozen=True)
class _BottomDraft:
    """Cut and colours [3] of a bottom."""

    kind: str
    skirt_length: float
    leg: float
    pattern: str
    color: np.ndarray
    accent: np.ndarray


@dataclasses.dataclass(frozen=True)
class _ShoesDraft:
    """Kind and colours [3] of shoes, and the colour of the socks in them."""

    kind: str
    upper: np.ndarray
    sole: np.ndarray
    sock: np.ndarray


@dataclasses.dataclass(frozen=True)
class _PrintsDraft:
    """What is printed on chest and back, and in which first colour [3]."""

    front: str
    back: str
    ink: np.ndarray


def _draft_person(rng: np.random.Generator, w: Wardrobe) -> _PersonDraft:
    female = bool(rng.uniform() < w.female)
    age = float(np.clip(rng.normal(w.age, w.age_spread), 0.56, 1.0))
    tone = float(np.clip(rng.uniform(*w.skin_tone), 0.0, 6.0))
    return _PersonDraft(
        female=female,
        age=age,
        tone=tone,
        skin=colors.draw_skin(rng, tone),
        hair=colors.draw_hair(rng, tone, age),
        hair_style=draw_name(rng, w.hair_female if female else w.hair_male),
    )


def _draft_top(rng: np.random.Generator, w: Wardrobe, person: _PersonDraft) -> _TopDraft:
    top = draw_name(rng, w.tops_female if person.female else w.tops_male)
    # The sleeves of all kinds are drawn, so that the choice of a top does not shift the draws that follow.
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
        rng.uniform() < (w.v_neck_female if person.female else w.v_neck_male)
    )
    neckline = {"tank": 0.05, "dress": 0.04, "tee": 0.02, "sweater": 0.008}.get(top, 0.0)
    neckline = float(neckline * rng.uniform(0.5, 1.5))
    outer = top in ("jacket", "coat")
    open_front = outer and bool(rng.uniform() < w.open_front)
    hood = "none"
    if top == "hoodie" or (outer and rng.uniform() < w.hooded):
        hood = "up" if rng.uniform() < w.hood_up else "down"
    pattern = draw_name(rng, _top_patterns(w, top))
    main = colors.draw_cloth(rng, w.colors_jacket if outer else w.colors_top)
    second = draw_contrasting(rng, main)
    third = draw_contrasting(rng, (main + second) / 2)
    fabric = _choice_among(rng, w.fabrics, _TOP_FABRICS[top])
    for name in (fabric, pattern):
        main, second, third = colors.draw_palette(rng, name) or (main, second, third)
    return _TopDraft(
        kind=top,
        sleeve=sleeve,
        hem=hem_height,
        neckline=neckline,
        v_neck=v_neck,
        open_front=open_front,
        hood=hood,
        pattern=pattern,
        fabric=fabric,
        main=main,
        second=second,
        third=third,
        inner=draw_contrasting(rng, main),
    )


def _top_patterns(w: Wardrobe, top: str) -> dict[str, float]:
    if top in ("shirt", "dress"):
        return w.patterns_shirt
    return w.patterns_jacket if top in ("jacket", "coat") else w.patterns


def _draft_bottom(rng: np.random.Generator, w: Wardrobe, person: _PersonDraft, top: _TopDraft) -> _BottomDraft:
    is_dress = top.kind == "dress"
    weights = dict(w.bottoms_female if person.female else w.bottoms_male)
    if _WARMTH.get(top.kind, 1.0) < 1.0:
        warm = {name: weight * (_WARMTH[top.kind] if name == "shorts" else 1.0) for name, weight in weights.items()}
        weights = warm if sum(warm.values()) > 0 else weights
    bottom = "skirt" if is_dress else draw_name(rng, weights)
    if top.kind == "coat" and bottom == "skirt":
        bottom = "trousers"
    skirt_length = 0.0
    if bottom == "skirt":
        skirt_length = float(rng.uniform(*w.skirt_length))
    elif top.kind == "coat":
        skirt_length = float(rng.uniform(*w.coat_length))
    color = top.main if is_dress else colors.draw_bottom(rng, bottom, w.colors_bottom, top.main)
    matching = top.kind in ("jacket", "hoodie", "sweater") and bottom == "trousers" and rng.uniform() < w.matching
    pattern = "plain"
    if matching:
        color = top.main
    elif top.pattern not in _QUIET_PATTERNS and not is_dress:
        pass  # one pattern is enough
    elif bottom in ("trousers", "leggings", "shorts"):
        pattern = draw_name(rng, w.patterns_trousers)
    elif bottom == "skirt" and not is_dress:
        pattern = draw_name(rng, w.patterns_skirt)
    accent = draw_contrasting(rng, color)
    if not is_dress:
        color, accent, _ = colors.draw_palette(rng, pattern) or (color, accent, None)
        color = colors.unlike_skin(color, person.skin)
    leg = {"shorts": float(rng.uniform(0.5, 1.1)), "leggings": float(rng.uniform(1.6, 1.95))}.get(bottom, 1.97)
    if bottom in ("trousers", "jeans") and rng.uniform() < 0.15:
        leg = float(rng.uniform(1.7, 1.88))
    return _BottomDraft(bottom, skirt_length, leg, pattern, color, accent)


def _draft_shoes(rng: np.random.Generator, w: Wardrobe) -> _ShoesDraft:
    shoe = draw_name(rng, w.shoes)
    is_dark = shoe != "sneaker" or rng.uniform() < 0.3
    upper = np.full(3, rng.uniform(0.05, 0.25)) if is_dark else colors.draw_cloth(rng, w.colors_shoes)
    if shoe != "sneaker" and rng.uniform() < 0.35:
        upper = colors.hsv(rng.uniform(0.04, 0.09), rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.5))
    sole = np.full(3, rng.uniform(0.78, 0.9)) if shoe == "sneaker" and rng.uniform() < 0.7 else upper * 0.5
    light_sock = rng.uniform() < 0.55
    sock = np.full(3, rng.uniform(0.72, 0.86) if light_sock else rng.uniform(0.07, 0.3))
    return _ShoesDraft(shoe, upper, sole, sock)


def _draft_prints(rng: np.random.Generator, w: Wardrobe, top: _TopDraft) -> _PrintsDraft:
    printable = top.pattern in _UNDER_PRINTS and top.kind in _PRINTED_TOPS
    ink = draw_contrasting(rng, top.main)
    front = draw_name(rng, w.prints_front) if printable else "none"
    back = "none"
    if front == "number" and rng.uniform() < 0.8:
        back = "number"  # the shirt of a team
    elif printable or (top.kind == "jacket" and top.pattern == "plain"):
        back = draw_name(rng, w.prints_back)
    return _PrintsDraft(front, back, ink)


# The fields below are drawn in the order in which the record lists them.


def _draw_person(rng: np.random.Generator, w: Wardrobe, draft: _PersonDraft) -> Person:
    female, age, tone, skin, hair = draft.female, draft.age, draft.tone, draft.skin, draft.hair
    return Person(
        seed=int(rng.integers(1 << 31)),
        female=female,
        age=round(age, 4),
        skin=to_color(skin),
        hair_color=to_color(hair),
        brow_color=to_color(np.minimum(hair * 0.75, skin * 0.55)),
        lip_color=to_color(skin * [1.0, 0.72, 0.74] + ([0.06, -0.03, 0.0] if female else [0.0, 0.0, 0.0])),
        eye_color=to_color(colors.draw_eyes(rng, tone)),
        hair_style=draft.hair_style,
        hairline=round(float(rng.normal(0.0, w.hairline) + max(0.0, age - 0.85) * 0.1 * (not female)), 4),
        hair_length=_within(rng, w.hair_length),
        hair_volume=_within(rng, w.hair_volume),
        hair_highlight=_within(rng, (0.3, 1.0)) if rng.uniform() < w.highlights else 0.0,
        parting=round(float(rng.choice([-0.03, -0.02, 0.0, 0.02, 0.03]) + rng.normal(0.0, 0.004)), 4),
        beard=0.0 if female or rng.uniform() >= w.beard else _within(rng, (0.3, 0.95)),
        beard_style=draw_name(rng, w.beards),
        brow_weight=_within(rng, (0.65, 1.1) if female else (0.85, 1.5)),
        brow_arch=_within(rng, (0.0, 1.0)),
        lip_fullness=_within(rng, (0.85, 1.4) if female else (0.65, 1.2)),
        makeup=_within(rng, (0.3, 1.0)) if female and rng.uniform() < w.makeup else 0.0,
        freckles=_within(rng, (0.3, 1.0)) if tone < 2.0 and rng.uniform() < w.freckles else 0.0,
    )


def _draw_top(
    rng: np.random.Generator,
    w: Wardrobe,
    draft: _TopDraft,
    bottom: _BottomDraft,
    prints: _PrintsDraft,
    cloths: Sequence[str],
) -> Top:
    top, main, ink = draft.kind, draft.main, prints.ink
    can_tuck = bottom.kind == "skirt" and top in ("tee", "shirt", "tank", "sweater")
    return Top(
        top=top,
        sleeve=round(draft.sleeve, 4),
        hem=round(draft.hem, 4),
        neckline=round(draft.neckline, 4),
        v_neck=draft.v_neck,
        open_front=draft.open_front,
        hood=draft.hood,
        tucked=can_tuck and bool(rng.uniform() < w.tucked),
        fit=_within(rng, w.fit),
        fabric=draft.fabric,
        pattern=draft.pattern,
        pattern_scale=_within(rng, w.pattern_scale),
        pattern_phase=_within(rng, (0.0, 1.0)),
        colors=(to_color(main), to_color(draft.second), to_color(draft.third), to_color(draft.inner)),
        print_front=prints.front,
        print_back=prints.back,
        print_seed=int(rng.integers(1 << 31)),
        print_colors=(to_color(ink), to_color(draw_contrasting(rng, (main + ink) / 2))),
        trim=draw_name(rng, w.trims),
        trim_color=to_color(draw_contrasting(rng, main)),
        cloth=(_cloth(rng, w.cloth_share, cloths), "" if top == "dress" else _cloth(rng, w.cloth_share, cloths)),
        cloth_scale=_within(rng, w.cloth_scale),
        wear=_within(rng, w.wear),
    )


def _draw_bottom(rng: np.random.Generator, w: Wardrobe, draft: _BottomDraft) -> Bottom:
    bottom = draft.kind
    return Bottom(
        bottom=bottom,
        bottom_color=to_color(draft.color),
        bottom_accent=to_color(draft.accent),
        bottom_fabric="denim" if bottom == "jeans" else _choice_among(rng, w.fabrics, _BOTTOM_FABRICS[bottom]),
        bottom_pattern=draft.pattern,
        belt=bottom in ("jeans", "trousers", "shorts") and bool(rng.uniform() < w.belt),
        belt_color=to_color(colors.draw_belt(rng)),
        leg=round(draft.leg, 4),
        leg_width=_within(rng, w.leg_width),
        skirt_length=round(draft.skirt_length, 4),
        skirt_flare=_within(rng, (0.0, 1.0)),
    )


def _draw_footwear(rng: np.random.Generator, w: Wardrobe, draft: _ShoesDraft, tights: bool) -> Footwear:
    return Footwear(
        shoe=draft.kind,
        shoe_design=draw_name(rng, w.shoe_designs),
        shoe_colors=(to_color(draft.upper), to_color(draft.sole)),
        shoe_accent=to_color(draw_contrasting(rng, draft.upper)),
        sock=draw_name(rng, w.socks),
        sock_color=to_color(draft.sock if not tights else draft.sock * 0.35),
        tights=tights,
    )


def _within(rng: np.random.Generator, limits: Range) -> float:
    """Draw a number of a range, rounded as the record stores it."""
    return round(float(rng.uniform(*limits)), 4)


def _choice_among(rng: np.random.Generator, weights: dict[str, float], names: tuple[str, ...]) -> str:
    """Draw one of some names by their weights; the first where they have none."""
    possible = {name: weights.get(name, 0.0) for name in names}
    return draw_name(rng, possible) if sum(possible.values()) > 0 else names[0]


def _cloth(rng: np.random.Generator, share: float, cloths: Sequence[str]) -> str:
    """Draw the cloth image of a garment; "" for none."""
    return str(cloths[int(rng.integers(len(cloths)))]) if cloths and rng.uniform() < share else ""


# ---------------------------------------------------------------------- look-alikes


def vary_slightly(rng: np.random.Generator, appearance: Appearance, wardrobe: Wardrobe | None = None) -> Appearance:
    """Draw a look-alike: the same outfit, face and skin except for one or two small things.

    Shoes, print, hair, trim, belt or socks change, as far as they show.

    Args:
        rng: Source of every choice.
        appearance: The person to resemble.
        wardrobe: Where other hair, shoes, ... come from; None stands for the defaults.
    """
    w, result = wardrobe or Wardrobe(), appearance
    things = _what_shows(appearance)
    for thing in dict.fromkeys(str(rng.choice(things)) for _ in range(int(rng.integers(1, 3)))):
        result = _CHANGES[thing](rng, w, result)
    return result


def _what_shows(a: Appearance) -> list[str]:
    """Return the names of `_CHANGES` that would be seen; those that are seen best stand there twice."""
    things = ["shoes", "shoes"]
    if a.hood != "up":
        things += ["hair", "hair"]
    if a.print_front != "none" or (a.pattern in _UNDER_PRINTS and a.top in _PRINTED_TOPS):
        things += ["print", "print"]
    if a.top in ("tee", "tank", "polo", "sweater", "hoodie", "jacket", "shirt"):
        things.append("trim")
    if a.bottom in ("jeans", "trousers", "shorts") and a.tucked:
        things.append("belt")
    if a.leg < 1.9 and not a.tights and a.shoe != "boot":  # boots are higher than socks
        things.append("socks")
    return things


def _change_shoes(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    upper = draw_contrasting(rng, a.shoe_colors[0], w.colors_shoes)
    return dataclasses.replace(
        a,
        shoe_design=_other(rng, w.shoe_designs, a.shoe_design),
        shoe_colors=(to_color(upper), a.shoe_colors[1]),
        shoe_accent=to_color(draw_contrasting(rng, upper)),
    )


def _change_hair(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    if a.hair_style == "bald" or rng.uniform() < 0.6:
        styles = w.hair_female if a.female else w.hair_male
        return dataclasses.replace(a, hair_style=_other(rng, styles, a.hair_style))
    draws = [colors.HAIR[int(rng.integers(8))] for _ in range(2)]
    hair = max(draws, key=lambda color: np.abs(color - a.hair_color).sum())
    return dataclasses.replace(a, hair_color=to_color(hair))


def _change_print(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    front = _other(rng, w.prints_front, a.print_front)
    seed, ink = int(rng.integers(1 << 31)), to_color(draw_contrasting(rng, a.colors[0]))
    # Without a print its seed and colours stay: look-alikes that differ in them alone would look the same.
    if front == "none" and a.print_back == "none":
        return dataclasses.replace(a, print_front=front)
    return dataclasses.replace(a, print_front=front, print_seed=seed, print_colors=(ink, a.print_colors[1]))


def _change_trim(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    trim = _other(rng, w.trims, a.trim)
    color = to_color(draw_contrasting(rng, a.colors[0]))
    return dataclasses.replace(a, trim=trim, trim_color=a.trim_color if trim == "none" else color)


def _change_belt(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    del rng, w  # nothing is drawn: it is on or off
    return dataclasses.replace(a, belt=not a.belt)


def _change_socks(rng: np.random.Generator, w: Wardrobe, a: Appearance) -> Appearance:
    sock = _other(rng, w.socks, a.sock)
    return dataclasses.replace(a, sock=sock, sock_color=to_color(draw_contrasting(rng, a.sock_color)))


_CHANGES: dict[str, Callable[[np.random.Generator, Wardrobe, Appearance], Appearance]] = {
    "shoes": _change_shoes,
    "hair": _change_hair,
    "print": _change_print,
    "trim": _change_trim,
    "belt": _change_belt,
    "socks": _change_socks,
}


def _other(rng: np.random.Generator, weights: dict[str, float], present: str) -> str:
    """Draw a name other than the present one, by the weights; the present one where there is no other."""
    rest = {name: weight for name, weight in weights.items() if name != present and weight > 0}
    return draw_name(rng, rest) if rest else present
