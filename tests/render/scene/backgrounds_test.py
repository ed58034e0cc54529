"""Backgrounds: geometry of the ground, shadow and walls in closed form; every kind of scene draws."""

import dataclasses
import math

import numpy as np
import pytest

from render.optics import camera, light
from render.scene import backgrounds, surfaces

SITE = camera.CameraSite(
    height=3.0, heading=0.0, tilt=0.3, roll=0.0, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)


def _crop(height: float = 1.8, position: tuple[float, float] = (0.0, 7.0)) -> tuple[camera.Camera, np.ndarray]:
    """A camera on a thin pole (points every centimetre), and the pole."""
    z = np.arange(0.0, height, 0.01)
    pole = np.stack([np.full_like(z, position[0]), np.full_like(z, position[1]), z], axis=1)
    around = np.array([[dx, dy, 0.0] for dx in (-0.04, 0.0, 0.04) for dy in (-0.04, 0.0, 0.04)])
    pole = (pole[:, None] + around).reshape(-1, 3)
    return camera.crop_around(SITE.camera(), pole, camera.Framing(0.5, (0.0, 0.0)))[0], pole.astype(np.float32)


def test_shadow_falls_where_the_sun_throws_it():
    view, pole = _crop(height=1.0)
    # The sun stands on the left (-x), 45 degrees high: the shadow of a metre is a metre long, to the right.
    sun = light.Light(math.pi, math.radians(45.0), (1.0, 1.0, 1.0), (0.3, 0.3, 0.3), (0.2, 0.2, 0.2), 0.0)
    reached, _ = backgrounds.cast_shadow(view, sun, pole, 256, 128)

    def at(x: float, y: float) -> float:
        ((column, row),) = view.project(np.array([[x, y, 0.0]]))[0]
        return float(reached[int(row), int(column)])

    assert at(0.3, 7.0) < 0.15
    assert at(-0.3, 7.0) > 0.95
    assert at(0.3, 6.5) > 0.95
    assert at(0.3, 7.5) > 0.95


def test_contact_shadow_is_under_the_feet():
    view, pole = _crop()
    overcast = light.sample_light(np.random.default_rng(0), kind="overcast")
    _, sky = backgrounds.cast_shadow(view, overcast, pole, 256, 128)
    ((column, row),) = view.project(np.array([[0.0, 7.0, 0.0]]))[0]
    assert sky[int(row), int(column)] < 0.6
    assert sky[0, 0] > 0.97
    assert sky.shape == (256, 128)


@pytest.mark.parametrize("kind", backgrounds.KINDS)
def test_every_kind_of_scene_draws(kind: str):
    view, pole = _crop()
    for seed in range(3):
        scene = backgrounds.make_scene(kind, seed, SITE)
        sun = light.sample_light(np.random.default_rng(seed))
        picture = backgrounds.draw_background(scene, view, sun, pole, 256, 128)
        assert picture.shape == (256, 128, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0.0
        assert picture.max() <= 1.0
        assert picture.std() > 0.01
        np.testing.assert_array_equal(picture, backgrounds.draw_background(scene, view, sun, pole, 256, 128))


def test_scene_is_a_function_of_kind_seed_and_site():
    assert backgrounds.make_scene("street", 5, SITE) == backgrounds.make_scene("street", 5, SITE)
    assert backgrounds.make_scene("street", 5, SITE) != backgrounds.make_scene("street", 6, SITE)


def test_nothing_stands_on_the_walkway():
    for seed in range(60):
        kind = backgrounds.KINDS[seed % len(backgrounds.KINDS)]
        scene = backgrounds.make_scene(kind, seed, SITE)
        for thing in scene.things:
            half = 0.5 * backgrounds.REACH[thing.kind] * thing.size
            beside = abs(thing.x) - half > SITE.half_width - 0.6
            behind = math.hypot(thing.x, thing.y) > SITE.farthest + 0.5
            assert beside or behind
        for wall in scene.walls:
            assert wall.offset > SITE.farthest if wall.axis == "y" else abs(wall.offset) > SITE.half_width


def test_trace_finds_ground_wall_and_sky():
    scene = backgrounds.make_scene("street", 0, SITE)
    wall = backgrounds.Wall("y", 12.0, 4.0, "masonry", 0, 0.0, (1.0, 1.0, 1.0))
    scene = dataclasses.replace(scene, walls=(wall,), things=(), ceiling=None)
    origin = np.array([0.0, 0.0, 3.0], np.float32)
    rays = np.array([[0.0, 1.0, -0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 0.5]], np.float32)
    distance, hit = backgrounds._trace(scene, origin, rays)
    assert list(hit) == [backgrounds._GROUND, backgrounds._FIRST_WALL, backgrounds._SKY]
    np.testing.assert_allclose(distance[:2], [6.0, 12.0], rtol=1e-6)


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="beach"):
        backgrounds.make_scene("beach", 0, SITE)


def test_surface_lookup_is_bilinear_and_repeats():
    pixels = np.zeros((8, 8, 1), np.float32)
    pixels[:, 4:] = 1.0
    surface = surfaces.Surface(pixels, metres=8.0)
    fine = np.full(4, 0.5, np.float32)
    u = np.array([0.5, 4.0, 4.5, 4.5 + 8.0])
    np.testing.assert_allclose(surface.sample(u, np.full(4, 1.5), fine)[:, 0], [0.0, 0.5, 1.0, 1.0], atol=1e-6)
    # Seen from so far that the whole of it is one pixel, it is its mean.
    coarse = surface.sample(np.linspace(0, 8, 4), np.full(4, 1.5), np.full(4, 64.0, np.float32))
    np.testing.assert_allclose(coarse.mean(), 0.5, atol=0.01)


def test_surface_rows_go_down_from_the_top():
    pixels = np.zeros((8, 8, 1), np.float32)
    pixels[0] = 1.0  # the top row
    surface = surfaces.Surface(pixels, metres=8.0)
    found = surface.sample(np.full(2, 3.5), np.array([7.5, 0.5]), np.full(2, 0.5, np.float32))
    np.testing.assert_allclose(found[:, 0], [1.0, 0.0], atol=1e-6)
