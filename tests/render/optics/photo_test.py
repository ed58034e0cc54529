"""The camera's part: exposure, colour cast, blur and noise do what their numbers say."""

import dataclasses
import json

import numpy as np
import pytest

from render.optics import photo

PLAIN = photo.CameraLook(
    exposure=0.0, cast=(1.0, 1.0, 1.0), contrast=1.0, saturation=1.0, blur=0.01, noise=0.0, quality=95
)
STILL = photo.Shot(exposure=0.0, motion=0.0, noise_seed=1)
# The automatic exposure leaves a picture of this mean as it is.
MIDDLE = 0.46


def _grey(level: float = MIDDLE) -> np.ndarray:
    return np.full((64, 32, 3), level, np.float32)


def test_a_plain_camera_keeps_a_middle_grey():
    np.testing.assert_allclose(photo.take_photo(_grey(), PLAIN, STILL, 256.0), round(MIDDLE * 255), atol=1)


def test_exposure_counts_in_stops():
    brighter = photo.take_photo(_grey(), dataclasses.replace(PLAIN, exposure=0.5), STILL, 256.0)
    np.testing.assert_allclose(brighter, 255 * MIDDLE * 2 ** (0.5 / 2.2), atol=1.5)


def test_automatic_exposure_helps_part_of_the_way():
    dark = photo.take_photo(_grey(0.2), PLAIN, STILL, 256.0)
    assert 0.2 * 255 < dark.mean() < MIDDLE * 255


def test_color_cast_scales_channels():
    cast = photo.take_photo(_grey(), dataclasses.replace(PLAIN, cast=(1.1, 1.0, 0.9)), STILL, 256.0)
    expected = 255 * MIDDLE * np.array([1.1, 1.0, 0.9])
    np.testing.assert_allclose(cast.reshape(-1, 3).mean(axis=0), expected, atol=2)


def test_noise_has_its_level_and_its_seed():
    look = dataclasses.replace(PLAIN, noise=0.02, quality=100)
    first = photo.take_photo(_grey(), look, STILL, 256.0)
    np.testing.assert_array_equal(first, photo.take_photo(_grey(), look, STILL, 256.0))
    other = photo.take_photo(_grey(), look, dataclasses.replace(STILL, noise_seed=2), 256.0)
    assert (first != other).mean() > 0.5
    # 0.8 * 0.02 * (1.35 - 0.7 * 0.46), times sqrt(2): one part common to the channels and one of each.
    expected = 0.8 * 0.02 * (1.35 - 0.7 * MIDDLE) * np.sqrt(2) * 255
    np.testing.assert_allclose(first[..., 1].std(), expected, rtol=0.15)


def test_a_coarse_sensor_loses_detail():
    stripes = _grey()
    stripes[:, ::2] += 0.3
    stripes[:, 1::2] -= 0.3
    fine = photo.take_photo(stripes, PLAIN, STILL, 256.0)
    coarse = photo.take_photo(stripes, PLAIN, STILL, 16.0)
    assert coarse.std() < 0.1 * fine.std()


def test_motion_smears_along_rows_only():
    dot = _grey(0.4)
    dot[32, 16] = 0.9
    moved = photo.take_photo(dot, PLAIN, dataclasses.replace(STILL, motion=3.0), 256.0).astype(float)
    still = photo.take_photo(dot, PLAIN, STILL, 256.0).astype(float)
    assert moved[32, 16].mean() < 0.6 * still[32, 16].mean() + 0.4 * still[0, 0].mean()
    assert moved[32, 15].mean() > still[32, 15].mean() + 10
    assert abs(moved[30, 16].mean() - still[30, 16].mean()) < 6


def test_motion_smears_in_its_direction():
    dot = _grey(0.4)
    dot[32, 16] = 0.9
    moved = photo.take_photo(dot, PLAIN, dataclasses.replace(STILL, motion=3.0, motion_angle=0.5 * np.pi), 256.0)
    bright = moved.astype(float).mean(axis=-1)
    assert bright[31, 16] > bright[32, 15] + 10
    assert bright[33, 16] == pytest.approx(bright[31, 16], abs=4)


def test_noise_rises_in_the_dark():
    look = dataclasses.replace(PLAIN, noise=0.02, quality=100)
    day, night = (photo.take_photo(_grey(level), look, STILL, 256.0) for level in (MIDDLE, 0.16))
    assert night.mean() < 0.8 * day.mean()
    assert night[..., 1].std() > 1.8 * day[..., 1].std()


def test_light_falls_off_to_the_borders():
    right, down = (
        photo.take_photo(_grey(), PLAIN, dataclasses.replace(STILL, falloff=falloff), 256.0).astype(float)
        for falloff in ((0.3, 0.0), (0.0, -0.3))
    )
    # At the border 1.3 and 0.7 of the light: 1.3 ** (1 / 2.2) = 1.127, 0.7 ** (1 / 2.2) = 0.85.
    assert right[:, -1].mean() / right[:, 0].mean() == pytest.approx(1.127 / 0.85, rel=0.03)
    assert down[0].mean() / down[-1].mean() == pytest.approx(1.127 / 0.85, rel=0.03)


def test_sampled_looks_and_shots_go_through_json_and_keep_to_their_ranges():
    ranges = photo.PhotoRanges(quality=(40.0, 50.0), noise=(0.01, 0.02), motion_share=1.0, motion=(2.0, 3.0))
    for seed in range(20):
        look = photo.sample_look(np.random.default_rng(seed), ranges)
        assert photo.CameraLook.from_json(json.loads(json.dumps(look.to_json()))) == look
        assert 40 <= look.quality <= 50
        assert 0.01 <= look.noise <= 0.02
        shot = photo.sample_shot(np.random.default_rng(seed), ranges)
        assert photo.Shot.from_json(json.loads(json.dumps(shot.to_json()))) == shot
        assert 2.0 <= shot.motion <= 3.0
    still = photo.PhotoRanges(motion_share=0.0)
    assert all(photo.sample_shot(np.random.default_rng(seed), still).motion == 0.0 for seed in range(20))
