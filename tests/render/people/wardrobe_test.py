"""The wardrobe: what goes through JSON, and which values are refused."""

import json

import numpy as np
import pytest

from render.people.sample import sample_appearance
from render.people.wardrobe import Wardrobe


def test_wardrobe_round_trips_through_json() -> None:
    wardrobe = Wardrobe(open_front=0.25, fit=(1.0, 1.1), hair_male={"bald": 2.0})
    again = Wardrobe.from_json(json.loads(json.dumps(wardrobe.to_json())))
    assert again == wardrobe
    assert Wardrobe.from_json({}) == Wardrobe()
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    assert sample_appearance(rng, wardrobe) == sample_appearance(other, again)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tops": {}}, "no \\['tops'\\]"),
        ({"tops_male": {"toga": 1.0}}, "tops_male knows no 'toga'"),
        ({"shoes": {"boot": -1.0}}, "shoes.boot"),
        ({"shoes": {"boot": float("nan")}}, "shoes.boot"),
        ({"shoes": {"boot": 0.0}}, "shoes needs a weight above 0"),
        ({"shoes": ["boot"]}, "shoes must map"),
        ({"fit": [1.4, 0.7]}, "fit must be a range"),
        ({"fit": [1.4]}, "fit must be two numbers"),
        ({"open_front": 1.5}, "open_front must be a number"),
        ({"open_front": "often"}, "open_front must be a number"),
    ],
)
def test_impossible_wardrobes_name_the_key(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wardrobe.from_json(fields)
