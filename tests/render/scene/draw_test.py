"""Backgrounds: every kind of scene draws; surfaces and photographs are seen where they lie."""

import dataclasses
import math

import numpy as np
import pytest

from render.optics import camera, light
from render.scene import draw, world
from render.scene.view import View
from tests.render.scene.shadows_test import SITE, view_of_a_pole


@pytest.mark.parametrize("kind", world.KINDS)
def test_every_kind_of_scene_draws(kind: str):
    for seed in range(3):
        scene = world.make_scene(kind, seed, SITE)
        view = view_of_a_pole(light.sample_light(np.random.default_rng(seed)))
        picture = draw.draw_scene(scene, view)
        assert picture.shape == (256, 128, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0.0
        assert picture.max() <= 1.0
        assert picture.std() > 0.01
        np.testing.assert_array_equal(picture, draw.draw_scene(scene, view))


def test_ground_wall_and_sky_are_seen_where_they_are():
    """Behind a wall of 4 m across the view at 12 m there is sky, before it ground; each in its own colour."""
    sun = light.Light(0.0, math.radians(60.0), (1.0, 1.0, 1.0), (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 0.3)
    view = view_of_a_pole(sun, height=0.1)
    # A level camera at 3 m: the wall reaches from 1/12 above the middle of the picture plane to 3/12 below it.
    level = np.stack([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], axis=1)
    view = dataclasses.replace(view, camera=camera.Camera(level, np.array([0.0, 0.0, 3.0]), 120.0, (64.0, 128.0)))
    wall = world.Wall("y", 12.0, 4.0, "masonry", 0, 0.0, (1.0, 1.0, 1.0))
    scene = dataclasses.replace(
        world.make_scene("street", 0, SITE),
        walls=(wall,),
        things=(),
        lines=(),
        curb=None,
        ceiling=None,
        sky=((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)),
        softness=0.01,
    )
    red = dataclasses.replace(scene, walls=(dataclasses.replace(wall, tint=(9.0, 0.0, 0.0)),))
    picture, tinted = draw.draw_scene(scene, view), draw.draw_scene(red, view)
    top, bottom = 128 - 120 / 12, 128 + 120 * 3 / 12
    rows = np.arange(256) + 0.5
    is_sky = (picture == [0.0, 0.0, 1.0]).all(axis=-1)
    np.testing.assert_array_equal(is_sky, np.broadcast_to((rows < top)[:, None], is_sky.shape))
    is_wall = (picture != tinted).any(axis=-1)
    np.testing.assert_array_equal(is_wall, np.broadcast_to(((rows > top) & (rows < bottom))[:, None], is_wall.shape))


def test_a_backdrop_shows_its_part_of_the_photograph_and_a_shadow():
    ramp = np.zeros((300, 600, 3), np.uint8)
    ramp[..., 0] = np.linspace(60, 220, 600)[None]
    ramp[..., 1] = 150
    site = camera.CameraSite(2.5, 0.0, 0.2, 0.0, 0.8, 720, 5.0, 9.0, 3.0)
    body = np.array([[dx, 6.0, z] for dx in (-0.2, 0.2) for z in np.linspace(0.0, 1.75, 60)], np.float32)
    crop, _ = camera.crop_around(site.camera(), body, camera.Framing(0.7, (0.0, 0.0)))
    sun = light.Light(np.pi, np.radians(45.0), (1.0, 1.0, 1.0), (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 0.02)
    view = View(crop, sun, body, 256, 128)
    drawn = [draw.draw_backdrop(ramp, world.Backdrop("a", (x, 0.5, 1.0)), view) for x in (0.0, 1.0)]
    for picture in drawn:
        assert picture.shape == (256, 128, 3)
        assert picture.dtype == np.float32
        assert picture[:, -1, 0].mean() > picture[:, 0, 0].mean()
        ((column, row),) = crop.project(np.array([[0.3, 6.0, 0.0]]))[0]
        assert picture[int(row), int(column), 1] < 0.9 * picture[0, 0, 1]
    # A crop of 300 x 150 of a photograph of 300 x 600: its left quarter, its right one.
    assert drawn[1][0, 0, 0] > 1.7 * drawn[0][0, 0, 0]
