"""Bystanders stand beside or behind the person and never before; they are drawn where they stand, with shadows."""

import dataclasses
import json
import math

import numpy as np
import pytest

from render.optics import camera, light
from render.scene import crowd, draw, impostor_library, world
from render.scene.crowd import Bystander, CrowdShares
from render.scene.view import View

SITE = camera.CameraSite(
    height=2.5, heading=0.0, tilt=0.2, roll=0.0, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)
SUN = light.Light(math.pi, math.radians(45.0), (1.0, 1.0, 1.0), (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 0.02)


def test_the_library_has_the_figures():
    assert impostor_library.KINDS["person"] == crowd.FIGURES


def test_nobody_stands_between_camera_and_person():
    rng = np.random.default_rng(0)
    shares = CrowdShares(share=1.0, most=5)
    count = 0
    for _ in range(100):
        site = camera.sample_site(rng)
        position = camera.sample_position(rng, site)
        drawn = crowd.sample_crowd(rng, shares, site, position)
        assert 1 <= len(drawn) <= 5
        count += len(drawn)
        for one in drawn:
            assert math.hypot(one.x, one.y) > math.hypot(*position)
            assert math.hypot(one.x, one.y) < site.farthest + 2.2
            assert math.hypot(one.x - position[0], one.y - position[1]) > 0.4
    assert 150 < count < 350


def test_share_says_how_many_pictures_have_bystanders():
    rng = np.random.default_rng(1)
    with_some = [bool(crowd.sample_crowd(rng, CrowdShares(share=0.3), SITE, (0.0, 6.0))) for _ in range(600)]
    assert np.mean(with_some) == pytest.approx(0.3, abs=0.06)
    assert crowd.sample_crowd(rng, CrowdShares(share=0.0), SITE, (0.0, 6.0)) == ()


def test_a_bystander_is_drawn_behind_with_a_shadow():
    corners = np.array([[dx, 6.0, z] for dx in (-0.3, 0.3) for z in np.linspace(0.0, 1.75, 8)], np.float32)
    crop, _ = camera.crop_around(SITE.camera(), corners, camera.Framing(0.7, (0.0, 0.0)))
    scene = world.make_scene("plaza", 1, SITE)
    scene = dataclasses.replace(scene, walls=(), things=())
    view = View(crop, SUN, corners, 256, 128)
    alone = draw.draw_scene(scene, view)
    one = Bystander(3, -0.1, 6.8, 0.0, 1.0)
    picture = draw.draw_scene(scene, view, (one,))

    def gain(x: float, z: float = 0.0) -> float:
        ((column, row),) = crop.project(np.array([[x, 6.8, z]]))[0]
        area = slice(int(row) - 1, int(row) + 2), slice(int(column) - 2, int(column) + 3)
        return float(picture[area].mean() / alone[area].mean())

    assert abs(gain(-0.1, 1.2) - 1.0) > 0.05
    # The sun stands on the left: the shadow lies on the right.
    assert gain(0.2) < 0.9
    assert gain(-0.5) == pytest.approx(1.0, abs=0.02)


def test_bystanders_go_through_json():
    drawn = crowd.sample_crowd(np.random.default_rng(3), CrowdShares(share=1.0), SITE, (0.5, 6.0))
    assert drawn
    assert tuple(Bystander.from_json(json.loads(json.dumps(one.to_json()))) for one in drawn) == drawn


def test_neighbours_overlap_the_edge_of_the_box():
    """Of those who walk beside the person, a quarter stands closer than two shoulders' width: in the box of a person."""
    rng = np.random.default_rng(2)
    shares = CrowdShares(share=1.0, most=1, beside=1.0)
    across = [abs(one.x) for _ in range(400) for one in crowd.sample_crowd(rng, shares, SITE, (0.0, 6.0))]
    assert min(across) > 0.37
    assert np.mean(np.array(across) < 0.53) > 0.2
