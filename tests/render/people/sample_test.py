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
