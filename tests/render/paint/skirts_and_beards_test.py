"""What is painted on skirts keeps its shape, and beards go over into the hair."""

import dataclasses

import numpy as np
import pytest

from render.figure import body, coverage, garments, skirt
from render.figure.body import Body
from render.paint import bottoms, fabrics, faces, painter
from render.people.appearance import Appearance
from render.people.sample import sample_appearance


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def _in_a_skirt(**fields: object) -> Appearance:
    plain = {"hood": "none", "open_front": False, "top": "tee", "tucked": True, "bottom": "skirt", "cloth": ("", "")}
    return dataclasses.replace(sample_appearance(np.random.default_rng(4)), **{**plain, **fields})


@pytest.mark.parametrize("flare", [0.0, 0.5, 1.0])
def test_patterns_on_skirts_are_stretched_alike_both_ways(figure: Body, flare: float) -> None:
    """A repeat is as much wider than on the trunk as it is longer, measured on the mesh that is drawn."""
    a = _in_a_skirt(skirt_flare=flare, skirt_length=0.8)
    grid = garments.dress(figure, a, figure.rest(body.REFERENCE)).worn["skirt"]
    grid = grid.reshape(skirt.SKIRT_ROWS, skirt.SKIRT_COLUMNS, 3)
    girth = np.linalg.norm(np.diff(grid[..., :2], axis=1, append=grid[:, :1, :2]), axis=2).sum(axis=1)
    heights = np.linspace(*coverage.skirt_span(a), skirt.SKIRT_ROWS)
    along = bottoms._along_skirt(a, heights)
    wider = (girth[1:] + girth[:-1]) / 2 / fabrics.TRUNK_GIRTH
    longer = np.diff(heights) / np.diff(along)
    assert along[0] == pytest.approx(heights[0])
    below_hips = heights[1:] < 0.08
    assert np.abs(np.log(wider / longer))[below_hips].max() < np.log(1.25)
    assert wider[-1] > 1.3


def test_dots_on_skirts_are_no_smaller_than_texels_show(figure: Body) -> None:
    """With dots of any size, the skirt has pixels in about the colour of the dots."""
    colors = {"bottom_color": (0.1, 0.1, 0.1), "bottom_accent": (0.95, 0.95, 0.95), "wear": 0.0}
    left, top, width, height = (round(256 * side) for side in body.RECTANGLES["skirt_front"])
    for scale in (0.6, 1.0, 1.4):
        a = _in_a_skirt(bottom_pattern="dots", bottom_fabric="jersey", pattern_scale=scale, skirt_length=0.8, **colors)
        texels = painter.paint_texture(figure, a)[top : top + height, left : left + width].mean(axis=-1)
        assert np.quantile(texels, 0.995) > 190


def test_full_beards_meet_the_hair_and_end_before_the_ear(figure: Body) -> None:
    m = faces.face_map(figure.atlas)
    s = figure.atlas.surface.take(figure.atlas.span("face", "face"))
    x, y, z = s.position.T
    beard = m.beards["full"]
    before_ear = (np.abs(y + 0.072) < 0.006) & (np.abs(x) < 0.077)
    for low in (0.755, 0.77, 0.785, 0.80):
        level = before_ear & (z > low) & (z < low + 0.015)
        assert level.sum() > 5
        assert beard[level].mean() > 0.5
    assert beard[y > -0.03].max(initial=0.0) < 0.2
