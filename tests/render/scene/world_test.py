"""Scenes and backdrops: functions of their seeds; nothing stands in the way."""

import math

import numpy as np
import pytest

from render.optics import camera
from render.scene import things, world

SITE = camera.CameraSite(
    height=3.0, heading=0.0, tilt=0.3, roll=0.0, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)


def test_scene_is_a_function_of_kind_seed_and_site():
    assert world.make_scene("street", 5, SITE) == world.make_scene("street", 5, SITE)
    assert world.make_scene("street", 5, SITE) != world.make_scene("street", 6, SITE)


def test_nothing_stands_on_the_walkway():
    for seed in range(60):
        kind = world.KINDS[seed % len(world.KINDS)]
        scene = world.make_scene(kind, seed, SITE)
        for thing in scene.things:
            half = 0.5 * things.REACH[thing.kind] * thing.size
            beside = abs(thing.x) - half > SITE.half_width - 0.6
            behind = math.hypot(thing.x, thing.y) > SITE.farthest + 0.5
            assert beside or behind
        for wall in scene.walls:
            assert wall.offset > SITE.farthest if wall.axis == "y" else abs(wall.offset) > SITE.half_width


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="beach"):
        world.make_scene("beach", 0, SITE)


def test_backdrops_go_through_json_and_follow_their_share():
    rng = np.random.default_rng(0)
    shares = world.SceneShares(photo_share=0.5)
    drawn = [world.sample_backdrop(rng, ("a.jpg", "b/c.png"), shares) for _ in range(200)]
    some = [one for one in drawn if one is not None]
    assert 70 < len(some) < 130
    assert {one.photo for one in some} == {"a.jpg", "b/c.png"}
    assert all(world.Backdrop.from_json(one.to_json()) == one for one in some)
    assert world.sample_backdrop(rng, (), shares) is None
