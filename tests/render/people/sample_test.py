"""Appearances drawn from a wardrobe, and look-alikes."""

import json

import numpy as np

from render.people import appearance as looks
from render.people.sample import sample_appearance
from render.people.wardrobe import Wardrobe


def test_weights_decide_what_is_worn() -> None:
    only = Wardrobe(
        female=0.0,
        tops_male={"coat": 1.0},
        hair_male={"braid": 0.5, "bald": 0.0},
        bottoms_male={"jeans": 1.0},
        shoes={"boot": 3.0},
        open_front=1.0,
        hooded=1.0,
        hood_up=1.0,
        beard=1.0,
        coat_length=(0.5, 0.5),
    )
    for seed in range(5):
        person = sample_appearance(np.random.default_rng(seed), only)
        assert (person.female, person.top, person.hair_style, person.shoe) == (False, "coat", "braid", "boot")
        assert (person.open_front, person.hood, person.skirt_length) == (True, "up", 0.5)
        assert person.beard > 0


def test_default_wardrobe_wears_everything() -> None:
    people = [sample_appearance(np.random.default_rng(seed)) for seed in range(700)]
    for field, names in (("top", looks.TOPS), ("bottom", looks.BOTTOMS), ("hair_style", looks.HAIR_STYLES)):
        assert {getattr(person, field) for person in people} == set(names)
    assert {person.hood for person in people} == set(looks.HOODS)
    assert 0.4 < np.mean([person.female for person in people]) < 0.6  # 0.5 within 5 standard errors
    for person in people:
        assert person.hood == "none" or person.top in ("hoodie", "jacket", "coat")
        assert looks.Appearance.from_json(json.loads(json.dumps(person.to_json()))) == person
        assert all(0.0 < channel < 1.0 for color in person.colors for channel in color)


def test_no_bottom_has_the_colour_of_the_skin() -> None:
    for seed in range(300):
        person = sample_appearance(np.random.default_rng(seed))
        if person.top == "dress":
            continue
        cloth, skin = np.array(person.bottom_color), np.array(person.skin)
        hue = np.abs(cloth / cloth.sum() - skin / skin.sum()).sum()
        assert hue + 0.5 * np.abs(cloth - skin).sum() > 0.22, (seed, person.bottom, cloth, skin)


def _chroma(color: tuple[float, ...]) -> float:
    return max(color) - min(color)


def test_colours_are_those_of_the_street() -> None:
    people = [sample_appearance(np.random.default_rng(seed)) for seed in range(900)]
    tops = [one.colors[0] for one in people]
    bottoms = [one.bottom_color for one in people if one.top != "dress" and one.bottom != "jeans"]
    shoes = [one.shoe_colors[0] for one in people]
    for found, loud in ((tops, 0.16), (bottoms, 0.08), (shoes, 0.1)):
        assert np.mean([_chroma(color) > 0.24 for color in found]) < loud
    coats = [one.colors[0] for one in people if one.top in ("jacket", "coat") and one.fabric != "denim"]
    assert np.mean([np.mean(color) < 0.3 for color in coats]) > 0.55
    assert np.mean([np.mean(color) < 0.3 for color in tops]) > 0.35
    # Dark persons, light ones and a few loud ones: all are there.
    assert min(np.mean([np.mean(color) > 0.6 for color in tops]), np.mean([_chroma(color) > 0.4 for color in tops])) > 0


def test_tops_and_bottoms_go_together() -> None:
    people = [sample_appearance(np.random.default_rng(seed)) for seed in range(900)]
    worn = [one for one in people if one.top != "dress" and one.bottom != "jeans"]
    matched = [one for one in worn if one.bottom_color == one.colors[0]]
    below_loud = [one for one in worn if _chroma(one.colors[0]) > 0.25 and one not in matched]
    assert len(below_loud) > 20
    assert all(_chroma(one.bottom_color) < 0.25 for one in below_loud)
    assert len(matched) > 3
    assert all(one.bottom == "trousers" for one in matched)
    assert not any(one.top == "coat" and one.bottom == "shorts" for one in people)
    plaid = [one for one in worn if one.pattern in ("plaid", "tartan", "floral", "leopard")]
    assert len(plaid) > 20
    assert all(one.bottom_pattern == "plain" for one in plaid)


def test_only_shorts_are_worn_where_there_are_no_other_bottoms() -> None:
    only = Wardrobe(female=0.0, tops_male={"jacket": 1.0, "tee": 0.1}, bottoms_male={"shorts": 1.0})
    assert all(sample_appearance(np.random.default_rng(seed), only).bottom == "shorts" for seed in range(20))
    coats = {"bottoms_male": {"shorts": 1.0}, "tops_male": {"coat": 1.0}}
    assert sample_appearance(np.random.default_rng(0), Wardrobe(female=0.0, **coats)).bottom == "shorts"
