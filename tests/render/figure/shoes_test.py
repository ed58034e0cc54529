"""Shoes, and what meets them: toes are low, insteps covered, hems go into boots or hang over them."""

import dataclasses

import numpy as np
import pytest

from render.figure import body, coverage, garments
from render.figure.body import Body
from render.people.appearance import Appearance
from render.people.sample import sample_appearance


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def _wearing(**fields: object) -> Appearance:
    plain = {"hood": "none", "open_front": False, "top": "tee", "tucked": False, "skirt_length": 0.0, "tights": False}
    base = sample_appearance(np.random.default_rng(4))
    return dataclasses.replace(base, **{**plain, "female": False, "bottom": "shorts", "leg": 0.8, **fields})


def _dress(figure: Body, **fields: object) -> np.ndarray:
    return garments.dress(figure, _wearing(**fields), figure.rest(body.REFERENCE)).vertices


@pytest.mark.parametrize("shoe", ["sneaker", "shoe", "boot"])
def test_shoes_get_lower_towards_the_toes(figure: Body, shoe: str) -> None:
    dressed = _dress(figure, shoe=shoe)
    ball = figure.reference.joints["toe3-1.L"]
    foot = dressed[(figure.surface.group("foot") > 0.5) & (dressed[:, 0] > 0)]
    sole = foot[:, 2].min()
    instep = foot[np.abs(foot[:, 1] - ball[1] - 0.035) < 0.015, 2].max() - sole
    toes = foot[foot[:, 1] < ball[1] - 0.03, 2].max() - sole
    assert 0.4 * instep < toes < 0.85 * instep


@pytest.mark.parametrize("shoe", ["sneaker", "shoe", "boot"])
def test_closed_shoes_cover_the_instep(figure: Body, shoe: str) -> None:
    s = figure.surface
    _, y, z = s.position.T
    foot = (s.group("foot") > 0.9) & (y < -0.06) & (z < -0.74)
    assert foot.sum() > 100
    assert coverage.cover_shoe(_wearing(shoe=shoe), s, 0.005)[foot].min() > 0.9
    # Ladies' shoes under bare or stockinged legs are open there.
    pumps = coverage.cover_shoe(_wearing(shoe="shoe", female=True), s, 0.005)
    assert pumps[foot & (s.normal[:, 2] > 0.5) & (y > -0.10)].min() < 0.1


def test_narrow_trousers_end_inside_the_shafts_of_boots(figure: Body) -> None:
    bare = _dress(figure, shoe="boot")
    s = figure.surface
    shaft = (s.position[:, 2] < coverage.BOOT_TOP) & (s.leg < 2.2) & (s.group("lower_leg", "foot") > 0.5)
    for bottom, leg in (("jeans", 1.8), ("trousers", 1.88), ("leggings", 1.95)):
        fields = {"bottom": bottom, "leg": leg, "leg_width": 0.8, "shoe": "boot"}
        assert coverage.tucked_into_boots(_wearing(**fields))
        # No cloth lies outside of a boot that is worn over a bare leg.
        off = np.linalg.norm(_dress(figure, **fields)[shaft] - bare[shaft], axis=1)
        assert off.max() < 0.003, bottom


def test_wide_trousers_hang_over_boots(figure: Body) -> None:
    s = figure.surface
    a = _wearing(bottom="jeans", leg=1.8, leg_width=1.3, shoe="boot")
    assert coverage.hang_over_shoes(a)
    assert not coverage.in_shaft(a, s).any()
    bare = _dress(figure, shoe="boot")
    covered = (s.position[:, 2] < coverage.BOOT_TOP) & (coverage.cover_bottom(a, s, 0.01) > 0.99)
    assert covered.sum() > 20
    axis = figure.reference.joints["lowerleg01.L"][:2] * [1.0, 1.0]
    cloth = _dress(figure, bottom="jeans", leg=1.8, leg_width=1.3, shoe="boot")
    left = covered & (s.position[:, 0] > 0)
    reach = [np.linalg.norm(points[left, :2] - axis, axis=1).mean() for points in (cloth, bare)]
    assert reach[0] > reach[1] + 0.004
