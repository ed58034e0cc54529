"""Accessories: what is drawn how often, what goes together, and which values are refused."""

import json
from collections import Counter

import numpy as np
import pytest

from render.people import accessories
from render.people.accessories import Accessory, AccessoryShares, sample_accessories
from render.people.sample import sample_appearance


def test_shares_are_what_was_asked_for() -> None:
    count, n = Counter(), 3000
    could = Counter()
    rng = np.random.default_rng(0)
    shares = AccessoryShares()
    looks = [sample_appearance(np.random.default_rng(seed)) for seed in range(60)]
    for index in range(n):
        appearance = looks[index % len(looks)]
        worn = sample_accessories(rng, appearance, shares)
        count.update(thing.kind for thing in worn)
        count.update((thing.kind, thing.variant) for thing in worn)
        could.update(kind for kind in accessories.KINDS if accessories.can_wear(kind, appearance))
    for kind in accessories.KINDS:
        share = getattr(shares, kind)
        # Four standard deviations; a phone needs a free hand.
        tolerance = 4.0 * np.sqrt(share * (1.0 - share) / could[kind]) + (0.01 if kind == "phone" else 0.0)
        assert abs(count[kind] / could[kind] - share) < tolerance, kind
    assert abs(count["backpack", "one_strap"] / count["backpack"] - shares.one_strap) < 0.07
    assert abs(count["shoulder_bag", "across"] / count["shoulder_bag"] - shares.across) < 0.1


def test_what_does_not_go_together_is_never_drawn() -> None:
    everything = AccessoryShares(**{kind: 1.0 / len(kinds) for kinds in accessories.PLACES.values() for kind in kinds})
    rng = np.random.default_rng(1)
    for seed in range(400):
        appearance = sample_appearance(np.random.default_rng(seed))
        worn = sample_accessories(rng, appearance, everything)
        kinds = [thing.kind for thing in worn]
        for place in accessories.PLACES.values():
            assert sum(kind in place for kind in kinds) <= 1
        hands = [thing.side for thing in worn if thing.kind in accessories.HELD]
        assert len(set(hands)) == len(hands)
        if appearance.hood == "up" or appearance.hair_style in ("afro", "top_bun"):
            assert not set(kinds) & set(accessories.PLACES["head"])
        if appearance.hair_style == "bun":
            assert not {"cap", "beanie", "hat"} & set(kinds)
        if appearance.sleeve < 1.0:
            assert not {"beanie", "scarf"} & set(kinds)
    assert (
        sample_accessories(
            rng, sample_appearance(np.random.default_rng(0)), AccessoryShares(**dict.fromkeys(accessories.KINDS, 0.0))
        )
        == ()
    )


def test_impossible_values_name_the_key() -> None:
    for fields, message in (
        ({"backpak": 0.1}, "backpak"),
        ({"backpack": -0.1}, r"accessories\.backpack"),
        ({"backpack": 1.1}, r"accessories\.backpack"),
        ({"hat": True}, r"accessories\.hat"),
        ({"hat": float("nan")}, r"accessories\.hat"),
        ({"backpack": 0.7, "shoulder_bag": 0.7}, r"accessories\.backpack \+ accessories\.shoulder_bag"),
    ):
        with pytest.raises(ValueError, match=message):
            AccessoryShares.from_json(fields)
    assert AccessoryShares.from_json(json.loads(json.dumps(AccessoryShares().to_json()))) == AccessoryShares()
    colors = ((0.1, 0.1, 0.3), (0.8, 0.2, 0.1), (0.1, 0.1, 0.1))
    good = Accessory("cap", "", "left", 1.0, "panel", colors, seed=5).to_json()
    for name, value in (("kind", "crown"), ("variant", "wide"), ("side", "top"), ("size", 9.0), ("pattern", "tiger")):
        with pytest.raises(ValueError, match=name):
            Accessory.from_json({**good, name: value})
    with pytest.raises(ValueError, match="missing \\['size'\\]"):
        Accessory.from_json({name: value for name, value in good.items() if name != "size"})
