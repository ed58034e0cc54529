"""The camera's part: exposure, colour cast, blur and noise do what their numbers say."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from render.optics import photo

PLAIN = photo.CameraLook(
    exposure=0.0,
    cast=(1.0, 1.0, 1.0),
    contrast=1.0,
    saturation=1.0,
    blur=0.01,
    noise=0.0,
    quality=95,
    chroma_blur=0.0,
    sharpening=0.0,
)
STILL = photo.Shot(exposure=0.0, motion=0.0, noise_seed=1)
# The automatic exposure leaves a picture of this mean as it is.
MIDDLE = photo.MIDDLE


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
    assert coarse.shape == fine.shape == (64, 32, 3)
    assert coarse.std() < 0.1 * fine.std()


def test_a_crop_of_few_rows_is_taken_with_so_many_and_enlarged():
    picture = np.random.default_rng(0).uniform(0.2, 0.7, (64, 32, 3)).astype(np.float32)
    small = picture.reshape(32, 2, 16, 2, 3).mean(axis=(1, 3))
    taken = photo.take_photo(small, PLAIN, STILL, 256.0)
    enlarged = np.asarray(Image.fromarray(taken).resize((32, 64), Image.Resampling.BICUBIC), float)
    np.testing.assert_allclose(photo.take_photo(picture, PLAIN, STILL, 32.0), enlarged, atol=2)


def test_noise_of_a_coarse_sensor_is_as_coarse():
    look = dataclasses.replace(PLAIN, noise=0.02, quality=100)
    fine, coarse = (photo.take_photo(_grey(), look, STILL, rows)[..., 1].astype(float) for rows in (256.0, 32.0))
    neighbours = [np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1] for one in (fine, coarse)]
    assert abs(neighbours[0]) < 0.1
    assert neighbours[1] > 0.5


def test_colours_are_blurred_and_luminance_is_not():
    halves = _grey()
    halves[:, :16] += np.array([0.2, 0.0, -0.2], np.float32)
    halves[:, 16:] -= np.array([0.2, 0.0, -0.2], np.float32)
    plain, blurred = (
        photo.take_photo(halves, dataclasses.replace(PLAIN, chroma_blur=sigma, quality=100), STILL, 256.0).astype(float)
        for sigma in (0.0, 2.0)
    )
    luminance, red = (np.array(weights) for weights in ((0.299, 0.587, 0.114), (0.5, -0.419, -0.081)))
    np.testing.assert_allclose(blurred @ luminance, plain @ luminance, atol=2)
    step = [(one @ red)[:, 14].mean() - (one @ red)[:, 17].mean() for one in (plain, blurred)]
    # Of a step blurred by 2 pixels, erf(1.5 / (2 sqrt(2))) = 0.547 lies within 1.5 pixels of its place.
    assert step[1] / step[0] == pytest.approx(0.547, abs=0.1)


def test_sharpening_overshoots_at_an_edge_by_its_weight():
    edge = _grey(0.35)
    edge[:, 16:] = 0.49
    plain, sharp = (
        photo.take_photo(edge, dataclasses.replace(PLAIN, sharpening=weight, quality=100), STILL, 256.0)[..., 1]
        for weight in (0.0, 1.0)
    )
    low, high = (float(np.median(plain[:, column])) for column in (0, 31))
    # The mask takes away what a blur of 1 pixel carries over: Phi(-0.5) = 0.309 of the step, half a pixel from it.
    assert np.median(sharp[:, 16]) - high == pytest.approx(0.309 * (high - low), abs=2.5)
    assert low - np.median(sharp[:, 15]) == pytest.approx(0.309 * (high - low), abs=2.5)


def test_blocks_of_the_compression_begin_anywhere():
    slope = np.repeat(np.linspace(0.3, 0.54, 32, dtype=np.float32)[None, :, None], 64, axis=0).repeat(3, axis=2)
    look = dataclasses.replace(PLAIN, quality=3)
    borders = set()
    for seed in range(12):
        taken = photo.take_photo(slope, look, dataclasses.replace(STILL, noise_seed=seed), 256.0).astype(int)
        assert taken.shape == (64, 32, 3)
        borders.add(int(np.abs(np.diff(taken.sum(axis=(0, 2))))[:8].argmax()))
    assert len(borders) > 3


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
        assert ranges.chroma_blur[0] <= look.chroma_blur <= ranges.chroma_blur[1]
        assert ranges.sharpening[0] <= look.sharpening <= ranges.sharpening[1]
        shot = photo.sample_shot(np.random.default_rng(seed), ranges)
        assert photo.Shot.from_json(json.loads(json.dumps(shot.to_json()))) == shot
        assert 2.0 <= shot.motion <= 3.0
    still = photo.PhotoRanges(motion_share=0.0)
    assert all(photo.sample_shot(np.random.default_rng(seed), still).motion == 0.0 for seed in range(20))
