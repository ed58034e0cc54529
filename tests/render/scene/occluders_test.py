"""Occluders hide what they are planned to hide, stand on the ground, and are drawn alike from the same record."""

import json

import numpy as np
import pytest

from render.optics import camera, light
from render.scene import impostors, occluders
from render.scene.occluders import Occluder, OccluderShares
from render.scene.things import Thing
from render.scene.view import View

# Not so bright that anything is clipped.
HAZE = light.Light(0.5, 0.8, (0.6, 0.6, 0.6), (0.55, 0.55, 0.55), (0.25, 0.25, 0.25), 0.06)


def _view(seed: int) -> tuple[View, np.ndarray]:
    """A view of a figure of the library, and the figure's alpha."""
    rng = np.random.default_rng(seed)
    site = camera.sample_site(rng)
    x, y = camera.sample_position(rng, site)
    corners = np.array([[dx, dy, z] for dx in (-0.3, 0.3) for dy in (-0.2, 0.2) for z in np.linspace(0.0, 1.75, 8)])
    points = (corners + np.array([x, y, 0.0])).astype(np.float32)
    crop, _ = camera.crop_around(site.camera(), points, camera.Framing(0.9, (0.0, 0.0)))
    view = View(crop, HAZE, points, 256, 128)
    figure = impostors.place(Thing("person", seed, x, y, float(rng.uniform(0, 6)), 1.0, (1.0, 1.0, 1.0)), view)
    assert figure is not None
    alpha = np.zeros((256, 128), np.float32)
    alpha[figure.rows, figure.columns] = figure.alpha
    return view, alpha


def _draw(one: Occluder, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture, how much of each pixel is hidden (exact on the person, where no shadow falls), the person's alpha."""
    view, alpha = _view(seed)
    grey = np.full((256, 128, 3), 0.5, np.float32)
    picture = occluders.draw_occluders(grey, (one,), view, alpha)
    assert (grey == 0.5).all()  # the picture handed in is left alone
    # A pixel is color + (1 - hidden) * what it was: half of what is not hidden is the difference from black.
    on_black = occluders.draw_occluders(np.zeros_like(grey), (one,), view, alpha)
    hidden = 1.0 - 2.0 * (picture - on_black).mean(axis=-1)
    told = occluders.hidden_share((one,), view, alpha)
    np.testing.assert_allclose(told[alpha == 1.0], hidden[alpha == 1.0], atol=1e-5)
    return picture, np.where(on_black.any(axis=-1), hidden, 0.0), alpha


@pytest.mark.parametrize("kind", occluders.KINDS)
def test_the_planned_share_of_the_person_is_hidden(kind: str):
    rng = np.random.default_rng(len(kind))
    shares = OccluderShares(kinds={kind: 1.0}, cover=(0.1, 0.9 * occluders.KINDS[kind]))
    found = []
    for seed in range(8):
        (one,) = occluders.sample_occluders(rng, shares, always=True)[:1]
        picture, hidden, alpha = _draw(one, seed)
        assert picture.dtype == np.float32
        assert 0.0 <= picture.min() <= picture.max() <= 1.0
        assert 0.0 <= hidden.min() <= hidden.max() <= 1.0 + 1e-6
        found.append(float((hidden * alpha).sum() / alpha.sum()) - one.cover)
    # It slides in by whole pixels: a column of a wide thing is some percent of a person. A bench may be too low for a
    # high camera, so that one in eight may hide less.
    assert np.median(found) == pytest.approx(0.0, abs=0.02)
    assert max(found) < 0.06
    assert sorted(found)[1] > -0.03


def test_an_occluder_comes_from_its_side():
    for side, sign in (("left", -1.0), ("right", 1.0)):
        one = Occluder("wall", 0, side, 0.3, 0.6, 0.0, 1.0, (1.0, 1.0, 1.0))
        _, hidden, alpha = _draw(one, 3)
        columns = np.arange(128) + 0.5
        middle = (alpha.sum(axis=0) @ columns) / alpha.sum()
        covered = ((alpha * hidden).sum(axis=0) @ columns) / (alpha * hidden).sum()
        assert sign * (covered - middle) > 2.0


def test_the_ground_is_darker_under_an_occluder():
    one = Occluder("bin", 0, "left", 0.2, 0.6, 0.0, 1.0, (1.0, 1.0, 1.0))
    picture, hidden, alpha = _draw(one, 3)
    ground = picture[(hidden == 0.0) & (alpha == 0.0)]
    assert ground.max() == pytest.approx(0.5)
    assert ground.min() < 0.4


def test_always_leaves_no_picture_without_one_and_covers_are_in_range():
    rng = np.random.default_rng(0)
    shares = OccluderShares(share=0.0, cover=(0.25, 0.6))
    assert occluders.sample_occluders(rng, shares) == ()
    for _ in range(60):
        (one,) = occluders.sample_occluders(rng, shares, always=True)
        assert 0.25 <= one.cover <= occluders.KINDS[one.kind]


def test_same_record_same_bytes():
    for seed in range(4):
        drawn = occluders.sample_occluders(np.random.default_rng(seed), OccluderShares(second=1.0, share=1.0))
        again = tuple(Occluder.from_json(json.loads(json.dumps(one.to_json()))) for one in drawn)
        assert again == drawn
        view, alpha = _view(seed)
        grey = np.full((256, 128, 3), 0.5, np.float32)
        first = occluders.draw_occluders(grey, drawn, view, alpha)
        second = occluders.draw_occluders(grey, again, view, alpha)
        assert first.tobytes() == second.tobytes()
        assert first.tobytes() != grey.tobytes()


def test_no_occluder_gives_the_picture_back():
    view, alpha = _view(0)
    grey = np.full((256, 128, 3), 0.5, np.float32)
    assert occluders.draw_occluders(grey, (), view, alpha) is grey
