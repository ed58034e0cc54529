"""A stretched picture shows what a plain one of fewer columns shows, whatever draws it.

Detectors' boxes are narrower than half their height, and benchmarks stretch them to 1:2.
"""

import dataclasses

import numpy as np
import pytest
import trimesh

from render.optics import camera, light, photo, seen_surface
from render.optics.rasterizer import Rasterizer
from render.scene import draw, impostors, occluders, world
from render.scene.crowd import Bystander
from render.scene.occluders import Occluder
from render.scene.things import Thing
from render.scene.view import View

SUN = light.Light(2.5, 0.8, (0.6, 0.6, 0.6), (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 0.05)
SITE = camera.CameraSite(
    height=2.5, heading=0.0, tilt=0.2, roll=0.05, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)
PERSON = np.array([[x, 7.0 + y, z] for x in (-0.3, 0.3) for y in (-0.2, 0.2) for z in np.linspace(0.0, 1.8, 10)])


def _views() -> tuple[View, View]:
    """A view of 128 columns that shows everything twice as wide, and one of 64 that does not."""
    plain, _ = camera.crop_around(SITE.camera(), PERSON, camera.Framing(0.6, (0.0, 0.0)))
    plain = dataclasses.replace(plain, center=(plain.center[0] - 32.0, plain.center[1]))
    wide = dataclasses.replace(plain, center=(2.0 * plain.center[0], plain.center[1]), stretch=2.0)
    return View(wide, SUN, PERSON, 256, 128), View(plain, SUN, PERSON, 256, 64)


def _halved(picture: np.ndarray) -> np.ndarray:
    return 0.5 * (picture[:, 0::2] + picture[:, 1::2])


def _assert_alike(wide: np.ndarray, plain: np.ndarray) -> None:
    """Edges are smoothed a little differently: few pixels differ, and those not on the whole."""
    difference = np.abs(_halved(wide) - plain)
    assert np.median(difference) < 0.02
    assert np.mean(difference) < 0.03
    assert abs(float(wide.mean() - plain.mean())) < 0.01


def test_pixels_of_a_stretched_camera_are_twice_as_far_from_the_left():
    wide, plain = _views()
    points = np.random.default_rng(0).normal([0.0, 7.0, 1.0], 0.5, (30, 3))
    found, depth = wide.camera.project(points)
    expected, same_depth = plain.camera.project(points)
    np.testing.assert_allclose(found, expected * [2.0, 1.0], rtol=1e-9)
    np.testing.assert_array_equal(depth, same_depth)


def test_rays_of_a_stretched_camera_go_through_their_pixels():
    view = _views()[0]
    rays = view.camera.rays(256, 128)
    for row, column in ((0, 0), (100, 127), (255, 31)):
        (pixel,), _ = view.camera.project(view.camera.position[None] + 4.0 * rays[row, column][None])
        np.testing.assert_allclose(pixel, [column + 0.5, row + 0.5], atol=1e-3)


def test_scenes_with_things_bystanders_and_shadows():
    wide, plain = _views()
    for kind, seed in (("street", 3), ("park", 1), ("station", 2)):
        scene = world.make_scene(kind, seed, SITE)
        crowd = (Bystander(3, 0.5, 8.0, 0.0, 1.0),)
        _assert_alike(draw.draw_scene(scene, wide, crowd), draw.draw_scene(scene, plain, crowd))


@pytest.mark.parametrize("kind", ["person", "bin", "tree", "car"])
def test_things(kind: str):
    drawn = []
    for view in _views():
        patch = impostors.place(Thing(kind, 0, 0.2, 7.5, 0.4, 1.0, (1.0, 1.0, 1.0)), view)
        assert patch is not None
        picture = np.zeros((view.height, view.width, 4), np.float32)
        picture[patch.rows, patch.columns] = np.concatenate([patch.color, patch.alpha[..., None]], axis=-1)
        drawn.append(picture)
    _assert_alike(*drawn)
    assert drawn[1][..., 3].sum() > 100.0


def test_occluders_hide_the_same():
    one = Occluder("bin", 0, "left", 0.3, 0.5, 0.0, 1.0, (1.0, 1.0, 1.0))
    hidden = []
    for view in _views():
        alpha = np.zeros((view.height, view.width), np.float32)
        pixels, _ = view.camera.project(PERSON)
        (left, top), (right, bottom) = np.rint([pixels.min(axis=0), pixels.max(axis=0)]).astype(int)
        alpha[top:bottom, left:right] = 1.0
        share = occluders.hidden_share((one,), view, alpha)
        hidden.append(float((share * alpha).sum() / alpha.sum()))
    assert hidden[0] == pytest.approx(hidden[1], abs=0.03)
    assert hidden[1] == pytest.approx(0.3, abs=0.05)


def test_the_person_and_what_is_known_of_its_pixels():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    ball.apply_translation([0.0, 7.0, 1.0])
    ball.visual = trimesh.visual.TextureVisuals(uv=np.full((len(ball.vertices), 2), 0.5))
    ball.metadata["double_sided"] = True
    alphas, depths = [], []
    for view in _views():
        rasterizer = Rasterizer(height=view.height, width=view.width)
        alphas.append(rasterizer.draw([ball], np.full((8, 8, 3), 128, np.uint8), view.camera)[1])
        seen = seen_surface.look_at(rasterizer, [ball], view.camera)
        depth = np.zeros(view.height * view.width)
        depth[seen.index] = seen.depth
        depths.append(depth.reshape(view.height, view.width))
        # The middle of each seen pixel lies on the ball: the depth is that of its ray's first meeting with the sphere.
        rays = view.camera.rays(view.height, view.width).reshape(-1, 3)[seen.index]
        points = view.camera.position + rays * seen.depth[:, None]
        np.testing.assert_allclose(np.linalg.norm(points - [0.0, 7.0, 1.0], axis=1), 0.4, atol=0.01)
    _assert_alike(*alphas)
    assert (depths[1] > 0).sum() > 100


@pytest.mark.parametrize("stretch", [1.0, 1.3])
def test_a_box_is_stretched_as_its_framing_says_unless_the_person_would_be_cut(stretch: float):
    slim, broad = PERSON * [0.3, 1.0, 1.0], PERSON * [2.0, 1.0, 1.0]
    framing = camera.Framing(0.9, (0.0, 0.0), stretch=stretch)
    crop, _ = camera.crop_around(SITE.camera(), slim, framing)
    assert crop.stretch == stretch
    plain, _ = camera.crop_around(SITE.camera(), slim, dataclasses.replace(framing, stretch=1.0))
    found, expected = (one.project(slim)[0] for one in (crop, plain))
    np.testing.assert_allclose(found - [64.0, 128.0], (expected - [64.0, 128.0]) * [stretch, 1.0], atol=1e-6)
    crop, _ = camera.crop_around(SITE.camera(), broad, framing)
    pixels, _ = crop.project(broad)
    assert pixels[:, 0].min() > 0.0
    assert pixels[:, 0].max() < 128.0
    assert 1.0 <= crop.stretch <= stretch


def test_a_stretched_crop_has_fewer_columns_of_the_sensor():
    rng = np.random.default_rng(0)
    picture = np.repeat(rng.uniform(0.2, 0.8, (1, 128, 1)), 256, axis=0).repeat(3, axis=2).astype(np.float32)
    look = photo.CameraLook(0.0, (1.0, 1.0, 1.0), 1.0, 1.0, 0.0, 0.0, 100, 0.0, 0.0)
    shot = photo.Shot(0.0, 0.0, 0)
    plain, stretched = (photo.take_photo(picture, look, shot, 256.0, stretch).astype(float) for stretch in (1.0, 2.0))
    assert stretched.shape == plain.shape == (256, 128, 3)
    # 64 columns: what changes from column to column is gone, a box over two columns is left.
    assert np.abs(np.diff(stretched, axis=1)).mean() < 0.6 * np.abs(np.diff(plain, axis=1)).mean()
    np.testing.assert_allclose(_halved(stretched).mean(), _halved(plain).mean(), atol=2.0)
