"""Cameras: projection against its own rays and closed forms; persons stay inside the crop."""

import json
import math

import numpy as np
import pytest

from render.optics import camera


def _camera(seed: int = 0) -> camera.Camera:
    site = camera.sample_site(np.random.default_rng(seed))
    points = np.array([[0.3, 8.0, 0.0], [-0.2, 8.1, 1.7]])
    return camera.crop_around(site.camera(), points, camera.Framing(0.9, (0.0, 0.0)))[0]


def test_rays_go_through_their_pixels():
    view = _camera()
    rays = view.rays(256, 128)
    for row, column, depth in ((0, 0, 3.0), (17, 101, 7.5), (255, 127, 20.0)):
        pixels, depths = view.project(view.position[None] + depth * rays[row, column][None])
        np.testing.assert_allclose(pixels[0], [column + 0.5, row + 0.5], atol=1e-3)
        np.testing.assert_allclose(depths[0], depth, rtol=1e-5)


def test_level_camera_projects_in_closed_form():
    view = camera.frontal_camera()
    pixels, depth = view.project(np.array([[0.5, 0.0, 1.44]]))
    # 6 m away, 256 pixels for 2.12 m: half a metre right and up of the axis at 0.94 m.
    scale = 256 / 2.12
    np.testing.assert_allclose(pixels, [[64 + 0.5 * scale, 128 - 0.5 * scale]])
    np.testing.assert_allclose(depth, [6.0])


def test_camera_seen_from_a_turned_frame_sees_the_same():
    view = _camera(3)
    position, yaw = np.array([1.0, 6.0, 0.0]), 0.8
    points = np.random.default_rng(0).normal(size=(20, 3))
    world = points @ camera.rotation_about_z(yaw).T + position
    expected, _ = view.project(world)
    found, _ = view.seen_from(position, yaw).project(points)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_person_stays_in_the_crop_and_on_the_walkway(seed: int):
    rng = np.random.default_rng(seed)
    site = camera.sample_site(rng)
    assert 1.2 <= site.height <= 8.0
    x, y = camera.sample_position(rng, site)
    assert abs(x) <= site.half_width - 0.6 + 1e-9
    assert site.nearest <= math.hypot(x, y) <= site.farthest
    corners = np.array([[dx, dy, z] for dx in (-0.35, 0.35) for dy in (-0.35, 0.35) for z in (0.0, 1.8)])
    points = corners + np.array([x, y, 0.0])
    framing = camera.sample_framing(rng, kind="whole")
    crop, native_height = camera.crop_around(site.camera(), points, framing)
    pixels, _ = crop.project(points)
    assert pixels.min() >= 0.0
    assert (pixels.max(axis=0) <= [128.0, 256.0]).all()
    size = np.ptp(pixels, axis=0)
    np.testing.assert_allclose(max(size[1] / 256, size[0] / 128), framing.fill, rtol=1e-6)
    # The crop is the sensor's picture, resized from its native height.
    np.testing.assert_allclose(crop.focal / site.camera().focal, 256 / native_height)


def test_fixed_height_is_kept():
    assert camera.sample_site(np.random.default_rng(0), height=3.5).height == 3.5


def test_person_behind_the_camera_is_an_error():
    site = camera.sample_site(np.random.default_rng(0))
    with pytest.raises(ValueError, match="behind the camera"):
        camera.crop_around(site.camera(), np.array([[0.0, -4.0, 1.0]]), camera.Framing(0.9, (0.0, 0.0)))


@pytest.mark.parametrize("kind", camera.FRAMINGS)
def test_framing_goes_through_json(kind: str):
    framing = camera.sample_framing(np.random.default_rng(1), kind=kind)
    assert framing.kind == kind
    assert camera.Framing.from_json(json.loads(json.dumps(framing.to_json()))) == framing


def _cut(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, camera.Framing]:
    """Parts (left, top, right, bottom) of a person's box that a crop leaves out, the box's pixels, the framing."""
    rng = np.random.default_rng(seed)
    site = camera.sample_site(rng)
    x, y = camera.sample_position(rng, site)
    points = np.stack(
        [rng.uniform(-0.3, 0.3, 4000), rng.uniform(-0.2, 0.2, 4000), rng.uniform(0.0, 1.75, 4000)], axis=1
    )
    framing = camera.sample_framing(rng, kind=kind)
    crop, _ = camera.crop_around(site.camera(), points + np.array([x, y, 0.0]), framing)
    pixels, _ = crop.project(points + np.array([x, y, 0.0]))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    outside = np.concatenate([np.maximum(-low, 0.0), np.maximum(high - [128.0, 256.0], 0.0)])
    return outside / np.tile(high - low, 2), np.stack([low, high]), framing


@pytest.mark.parametrize("seed", range(6))
def test_crops_cut_what_they_say(seed: int):
    shares = camera.FramingShares()
    for kind, side, (least, most) in (("cut_feet", 3, shares.feet), ("cut_head", 1, shares.head)):
        cut, _, framing = _cut(kind, seed)
        np.testing.assert_allclose(cut, framing.cut, atol=1e-6)
        assert least <= cut[side] <= most
        assert np.count_nonzero(cut) == 1
    cut, _, framing = _cut("cut_side", seed)
    np.testing.assert_allclose(cut, framing.cut, atol=1e-6)
    assert shares.side[0] <= cut[0] + cut[2] <= shares.side[1]
    assert cut[1] == cut[3] == 0.0


@pytest.mark.parametrize("seed", range(12))
def test_partial_boxes_hold_forty_to_seventy_percent_of_the_height(seed: int):
    cut, box, _ = _cut("partial", seed)
    seen = 1.0 - cut[1] - cut[3]
    assert 0.4 - 1e-6 <= seen <= 0.7 + 1e-6
    assert 0.0 in (cut[1], cut[3])
    # What is left fills the crop: it is taller than it would be in a box around the whole person.
    assert np.ptp(box, axis=0)[1] * seen > 0.5 * 256


@pytest.mark.parametrize("seed", range(8))
def test_a_box_off_its_centre_still_holds_the_person(seed: int):
    cut, box, _ = _cut("off_centre", seed)
    assert not cut.any()
    away = box.mean(axis=0) - [64.0, 128.0]
    # At least 0.04 of the crop's height, along an ellipse that is half as wide as it is high.
    assert np.hypot(away[0] / 0.5, away[1]) >= 0.04 * 256 - 1e-6


def test_kinds_of_framing_come_as_often_as_their_weights_say():
    rng = np.random.default_rng(0)
    shares = camera.FramingShares(kinds={"cut_feet": 3.0, "whole": 1.0})
    drawn = [camera.sample_framing(rng, shares).kind for _ in range(400)]
    assert set(drawn) == {"cut_feet", "whole"}
    assert drawn.count("cut_feet") == pytest.approx(300, abs=35)


def test_unknown_framing_is_named():
    with pytest.raises(ValueError, match="upside_down"):
        camera.sample_framing(np.random.default_rng(0), kind="upside_down")
