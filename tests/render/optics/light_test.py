"""Light: irradiance in closed form, self-shadowing on simple bodies."""

import dataclasses
import math

import numpy as np
import pytest
import trimesh

from render.optics import light

GREY = light.Light(0.0, math.radians(30.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 0.02)


def test_irradiance_is_lambert_plus_sky_and_ground():
    normals = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], np.float32)
    found = GREY.irradiance(normals, openness=np.ones(4))
    expected = [0.5 + math.sin(math.radians(30)), 0.2, 0.35 + math.cos(math.radians(30)), 0.35]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_shadow_and_openness_take_their_parts():
    up = np.array([[0.0, 0.0, 1.0]], np.float32)
    found = GREY.irradiance(up, sun_visibility=np.array([0.25]), openness=np.array([0.5]))
    np.testing.assert_allclose(found, np.full((1, 3), 0.25 * 0.5 + 0.25), rtol=1e-6)


def test_turned_frame_turns_the_sun():
    turned = GREY.seen_from(0.7)
    cosine, sine = math.cos(0.7), math.sin(0.7)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    np.testing.assert_allclose(rotation @ turned.sun_direction(), GREY.sun_direction(), atol=1e-12)


def test_a_roof_hides_what_is_below_it():
    grid = np.stack(np.meshgrid(np.arange(-1, 1, 0.01), np.arange(-1, 1, 0.01)), -1).reshape(-1, 2)
    roof = np.concatenate([grid, np.full((len(grid), 1), 2.0)], axis=1).astype(np.float32)
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.5, 0.0, 0.0]], np.float32)
    zenith = np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(light.visibility(points, roof, zenith), [0.0, 1.0, 1.0, 1.0], atol=1e-6)


def test_irradiance_of_meshes_shades_the_lower_box():
    upper = trimesh.creation.box((1.0, 1.0, 0.1)).subdivide_to_size(0.03)
    upper.apply_translation([0.0, 0.0, 1.5])
    lower = trimesh.creation.box((0.4, 0.4, 0.1)).subdivide_to_size(0.05)
    noon = dataclasses.replace(GREY, sun_elevation=math.radians(80.0))
    above, below = light.irradiance_of_meshes([upper, lower], noon)
    assert above.shape == (len(upper.vertices), 3)
    assert below.shape == (len(lower.vertices), 3)
    top_of_upper = above[upper.vertex_normals[:, 2] > 0.99].mean()
    top_of_lower = below[lower.vertex_normals[:, 2] > 0.99].mean()
    # Sky 0.5 and sun sin(80): all of it above, but for what a coarse depth map takes from grazing directions; below
    # the roof no sun, and of the sky only the rim.
    np.testing.assert_allclose(top_of_upper, 0.5 + math.sin(math.radians(80.0)), rtol=0.03)
    assert 0.2 < top_of_lower < 0.5


@pytest.mark.parametrize("kind", [kind for kind in light.KINDS if kind != "night"])
def test_sampled_light_is_of_a_photographers_level(kind: str):
    up = np.array([[0.0, 0.0, 1.0]], np.float32)
    for seed in range(30):
        sampled = light.sample_light(np.random.default_rng(seed), kind=kind)
        assert 0.75 < sampled.irradiance(up, openness=np.ones(1)).mean() < 2.0
        assert light.Light.from_json(sampled.to_json()) == sampled


def test_nights_are_dark_and_lit_from_one_side():
    up = np.array([[0.0, 0.0, 1.0]], np.float32)
    for seed in range(30):
        night = light.sample_light(np.random.default_rng(seed), kind="night")
        day = light.sample_light(np.random.default_rng(seed), kind="overcast")
        assert night.night
        assert not day.night
        # The darkest day has 0.75.
        assert night.irradiance(up, openness=np.ones(1)).mean() < 0.65
        assert np.mean(night.sun) > 1.8 * np.mean(night.sky)
        assert night.sun[0] > night.sun[2]  # warm
        assert light.Light.from_json(night.to_json()) == night


def test_kinds_of_light_come_as_often_as_their_weights_say():
    rng = np.random.default_rng(0)
    shares = light.LightShares(kinds={"night": 1.0, "sunny": 1.0}, elevation=(40.0, 50.0))
    drawn = [light.sample_light(rng, shares) for _ in range(300)]
    assert sum(one.night for one in drawn) == pytest.approx(150, abs=35)
    assert all(40.0 <= math.degrees(one.sun_elevation) <= 50.0 for one in drawn if not one.night)


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="moonlight"):
        light.sample_light(np.random.default_rng(0), kind="moonlight")


def test_neutral_light_is_grey():
    neutral = light.neutral_light()
    for color in (neutral.sun, neutral.sky, neutral.ground):
        assert len(set(color)) == 1
