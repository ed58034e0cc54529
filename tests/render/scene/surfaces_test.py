"""Painted surfaces: colours are looked up where they lie, and far ones are averaged."""

import numpy as np

from render.scene import surfaces


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


def test_the_name_over_a_shop_stands_out_and_is_lit_at_night():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        area = np.zeros((29, 130, 4))
        area[..., :3] = rng.uniform(0.05, 1.0, 3)
        board = area[0, 0, :3].copy()
        surfaces._lettering(rng, area)
        lit = area[..., 3] > 0.0
        assert 0.02 < lit.mean() < 0.5
        np.testing.assert_array_equal(area[~lit][:, :3], np.broadcast_to(board, (int((~lit).sum()), 3)))
        assert np.abs(area[lit][:, :3] - board).mean(axis=1).min() > 0.15
        rows = np.flatnonzero(lit.any(axis=1))
        assert rows.min() > 2  # within the board
        assert rows.max() < 27
