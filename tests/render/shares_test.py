"""Distributions of the recipes' fields: checked by name, the same after JSON."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from render.optics.camera import FramingShares
from render.optics.light import LightShares
from render.optics.photo import PhotoRanges
from render.scene.crowd import CrowdShares
from render.scene.occluders import OccluderShares
from render.scene.world import SceneShares
from render.shares import Shares, draw_name

ALL = (SceneShares, FramingShares, CrowdShares, LightShares, OccluderShares, PhotoRanges)


@pytest.mark.parametrize("kind", ALL)
def test_defaults_go_through_json(kind: type[Shares]):
    shares = kind()
    fields = json.loads(json.dumps(shares.to_json()))
    assert kind.from_json(fields) == shares
    assert kind(**json.loads(json.dumps(dataclasses.asdict(shares)))) == shares
    assert kind.from_json({}) == shares


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LightShares(kinds={"moonlight": 1.0}), r"light\.kinds knows no 'moonlight'; choose among sunny"),
        (lambda: LightShares(kinds={"sunny": -1.0}), r"light\.kinds\.sunny must be a weight of at least 0"),
        (lambda: LightShares(kinds={"sunny": 0.0}), r"light\.kinds needs a weight above 0"),
        (lambda: FramingShares(feet=(0.2, 0.1)), r"framing\.feet must be a range"),
        (lambda: FramingShares(feet=(0.2, float("nan"))), r"framing\.feet must be two numbers"),
        (lambda: OccluderShares(share=1.5), r"occluders\.share must be a number in \[0, 1\]"),
        (lambda: OccluderShares(cover=(0.1, 1.2)), r"occluders\.cover must be a range inside \[0, 1\]"),
        (lambda: PhotoRanges(quality=(0.0, 90.0)), r"photo\.quality must be a range inside \[1, 100\]"),
        (lambda: LightShares(kinds={"sunny": 1e308, "hazy": 1e308}), r"light\.kinds needs weights .* finite sum"),
        (lambda: FramingShares(feet=0.2), r"framing\.feet must be two numbers"),  # pyright: ignore[reportArgumentType]
        (lambda: PhotoRanges(motion_share=(0.0, 0.2)), r"photo\.motion_share must be a number"),  # pyright: ignore[reportArgumentType]
        (lambda: SceneShares(photo_crop=(0.0, 0.0)), r"scenes\.photo_crop must be a range inside \[0\.05, 1\]"),
        (
            lambda: OccluderShares(kinds={"bench": 1.0, "pole": 0.0}, cover=(0.4, 0.6)),
            r"occluders\.cover starts at 0\.4, but of occluders\.kinds bench hides at most 0\.18",
        ),
        (lambda: CrowdShares(most=0), r"crowd\.most"),
        (lambda: SceneShares.from_json({"kindz": {}}), r"scenes has no \['kindz'\]"),
    ],
)
def test_impossible_values_are_named(make: Any, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_drawn_by_weight_in_any_order():
    weights = {"a": 1.0, "b": 3.0, "c": 0.0}
    turned = dict(reversed(weights.items()))
    drawn = [draw_name(np.random.default_rng(seed), weights) for seed in range(200)]
    assert drawn == [draw_name(np.random.default_rng(seed), turned) for seed in range(200)]
    assert drawn.count("b") == pytest.approx(150, abs=25)
    assert "c" not in drawn
