"""Garments and hair on bodies: they cover, they are symmetric, they keep to their places in the texture."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial import KDTree

from render import person
from render.figure import attachments, body, coverage, fronts_and_hoods, garments, hair, sheets, skirt, worn
from render.figure.body import Body, BodyShape
from render.figure.coverage import EYE_LEVEL
from render.geometry import surface
from render.people import poses
from render.people.appearance import HAIR_STYLES, Appearance
from render.people.sample import sample_appearance

MIRROR = np.array([-1.0, 1.0, 1.0])
THIN = BodyShape(gender=0.1, age=0.6, muscle=0.15, weight=0.1, height=0.5, proportions=0.2)
HEAVY = BodyShape(gender=0.95, age=0.9, muscle=0.3, weight=0.95, height=0.25, proportions=0.7)


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def _wearing(**fields: object) -> Appearance:
    plain = {"hood": "none", "open_front": False, "tucked": False, "skirt_length": 0.0, "bottom": "jeans", "leg": 1.97}
    base = sample_appearance(np.random.default_rng(4))
    return dataclasses.replace(base, **{**plain, "top": "tee", "sleeve": 0.6, "hair_style": "short", **fields})


OUTFITS = {
    "tee": _wearing(bottom="shorts", leg=0.8),
    "skirt": _wearing(top="shirt", sleeve=1.95, tucked=True, bottom="skirt", skirt_length=0.5, skirt_flare=1.0),
    "dress": _wearing(top="dress", bottom="skirt", skirt_length=0.9, hair_style="long"),
    "hoodie": _wearing(top="hoodie", sleeve=1.95, hood="down", hair_style="long_front"),
    "hood": _wearing(top="hoodie", sleeve=1.95, hood="up", hair_style="long"),
    "jacket": _wearing(top="jacket", sleeve=1.95, open_front=True, hair_style="bob"),
    "coat": _wearing(top="coat", sleeve=1.95, open_front=True, skirt_length=0.6, hem=-0.02, hair_style="braid"),
}


@pytest.mark.parametrize("name", OUTFITS)
def test_clothes_cover_the_trunk_of_every_body(figure: Body, name: str) -> None:
    a, s = OUTFITS[name], figure.surface
    covered = (coverage.cover_top(a, s, 0.01) > 0.95) & (s.is_arm < 0.5) & (np.abs(s.normal[:, 2]) < 0.8)
    for shape in (THIN, HEAVY):
        rest = figure.rest(shape)
        dressed = garments.dress(figure, a, rest)
        assert np.isfinite(dressed.vertices).all()
        outwards = surface.vertex_normals(rest.vertices, figure.part.triangles)
        cloth = dressed.vertices[covered & ~dressed.hidden]
        skin = KDTree(rest.vertices).query(cloth)[1]
        off = ((cloth - rest.vertices[skin]) * outwards[skin]).sum(axis=1)
        # Smoothing cuts off a few millimetres in creases, at the armpits and below the belly.
        assert np.quantile(off, 0.01) > -0.006
        assert np.median(off) > 0.002
        for mesh in dressed.worn.values():
            assert np.isfinite(mesh).all()
        if "skirt" in dressed.worn:
            _check_skirt_is_outside(figure, a, dressed)


def _check_skirt_is_outside(figure: Body, a: Appearance, dressed: garments.Dressed) -> None:
    cloth = dressed.worn["skirt"]
    s = figure.surface
    legs = dressed.vertices[(s.group("upper_leg", "lower_leg") > 0.5) & (np.abs(s.position[:, 0]) > 0.02)]
    low = cloth[:, 2].min() + 0.02
    legs = legs[(legs[:, 2] > low) & (legs[:, 2] < cloth[:, 2].max() - 0.12)]
    distance, nearest = KDTree(cloth).query(legs)
    inner = np.hypot(legs[:, 0], legs[:, 1] - body.AXIS_Y)
    outer = np.hypot(cloth[nearest, 0], cloth[nearest, 1] - body.AXIS_Y)
    assert (inner - outer)[distance < 0.05].max() < 0.012, a.top


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_hair_style_leaves_the_face_free(figure: Body, style: str) -> None:
    face = (figure.surface.part == surface.BODY) & (figure.surface.group("head") > 0.5)
    for shape, length in ((THIN, 0.0), (HEAVY, 1.0)):
        rest = figure.rest(shape)
        a = _wearing(hair_style=style, hair_length=length, hair_volume=1.3)
        dressed = garments.dress(figure, a, rest)
        name = worn.HAIR_MESHES.get(style)
        assert (name is None) == (set(dressed.worn) == set())
        eyes = rest.joints["eye.L"]
        skin = rest.vertices[face]
        for mesh in dressed.worn.values():
            before = mesh[(np.abs(mesh[:, 0]) < abs(eyes[0]) + 0.015) & (np.abs(mesh[:, 2] - eyes[2] + 0.04) < 0.045)]
            assert not (before[:, 1] < eyes[1] - 0.01).any()
            # Nor does it hang in the air: it starts at the head.
            assert KDTree(skin).query(mesh)[0].min() < 0.02


def test_meshes_are_symmetric_and_keep_to_their_rectangles(figure: Body) -> None:
    for name, place in attachments.MESHES.items():
        worn = figure.attachments[name]
        distance, _ = KDTree(worn.vertices).query(worn.vertices * MIRROR)
        assert distance.max() < 1e-4, name
        # The faces are symmetric too: the middles of their edges have mirror images.
        middles = worn.vertices[worn.part.triangles].reshape(-1, 3)
        assert KDTree(middles).query(middles * MIRROR)[0].max() < 1e-4
        rectangles = np.array([body.RECTANGLES[rectangle] for rectangle in place.rectangles])
        u, v = worn.part.uv[:, 0], 1.0 - worn.part.uv[:, 1]
        inside = [
            (u >= left - 1e-6) & (u <= left + width + 1e-6) & (v >= top - 1e-6) & (v <= top + height + 1e-6)
            for left, top, width, height in rectangles
        ]
        assert np.any(inside, axis=0).all(), name


def test_pleats_and_layers_are_symmetric_when_worn(figure: Body) -> None:
    for name in ("skirt", "coat", "hoodie", "jacket"):
        dressed = garments.dress(figure, OUTFITS[name], figure.reference)
        for mesh in dressed.worn.values():
            # The body itself is symmetric to 2 mm only.
            assert KDTree(mesh).query(mesh * MIRROR)[0].max() < 4e-3, name


def test_layers_of_an_open_coat(figure: Body) -> None:
    dressed = garments.dress(figure, OUTFITS["coat"], figure.reference)
    assert set(dressed.worn) == {"skirt", "panels", "collar", "braid"}
    part = figure.attachments["skirt"].part
    gone = dressed.worn["skirt"][part.triangles[~dressed.skirt_faces]].reshape(-1, 3)
    assert np.abs(gone[:, 0]).max() < 0.12
    assert gone[:, 1].max() < body.AXIS_Y  # in front
    # The free edges of the panels stand in front of what is worn between them.
    panels = dressed.worn["panels"].reshape(2, fronts_and_hoods.PANEL_ROWS, -1, 3)
    edge = panels[:, 6:16, 1]
    shirt = dressed.vertices[(np.abs(figure.surface.position[:, 0]) < 0.02) & (figure.surface.normal[:, 1] < -0.3)]
    for points in edge.reshape(-1, 3):
        near = shirt[np.abs(shirt[:, 2] - points[2]) < 0.02]
        assert points[1] < near[:, 1].mean() + 0.004
    closed = garments.dress(figure, dataclasses.replace(OUTFITS["coat"], open_front=False), figure.reference)
    assert closed.skirt_faces.all()
    assert "panels" not in closed.worn


def test_hoods_hold_the_head(figure: Body) -> None:
    for shape in (THIN, HEAVY):
        dressed = garments.dress(figure, OUTFITS["hood"], figure.rest(shape))
        assert set(dressed.worn) == {"hood_up"}  # the hair is inside
        hood = dressed.worn["hood_up"]
        head = dressed.vertices[(figure.surface.group("head") > 0.5) & (figure.surface.position[:, 2] > EYE_LEVEL)]
        assert hood[:, 2].max() > head[:, 2].max()
        assert hood[:, 1].max() > head[:, 1].max()
        assert np.abs(hood[:, 0]).max() > np.abs(head[:, 0]).max()


def test_a_long_step_leaves_no_notch(figure: Body) -> None:
    a = OUTFITS["dress"]
    step = dataclasses.replace(poses.frontal_pose(), hip=(30.0, -15.0), knee=(5.0, 40.0))
    posed = person.Figure(figure, a, HEAVY).pose(step)
    rows = posed.worn["skirt"].reshape(skirt.SKIRT_ROWS, skirt.SKIRT_COLUMNS, 3)
    hem = rows[-1]
    assert np.ptp(hem[:, 2]) < 0.30
    # Every column of the hem is close to the convex hull of the row.
    directions = np.stack([np.sin(skirt.skirt_angles()), -np.cos(skirt.skirt_angles())])
    offset = hem[:, :2] - hem[:, :2].mean(axis=0)
    support = (offset @ directions).max(axis=0)
    assert ((support - offset @ directions).min(axis=1) < 0.012).all()


def test_span_legs_leaves_a_convex_skirt_alone() -> None:
    angle, height = np.meshgrid(skirt.skirt_angles(), np.linspace(0.9, 0.4, skirt.SKIRT_ROWS))
    cloth = np.stack([0.3 * np.sin(angle), -0.2 * np.cos(angle), height], axis=-1).reshape(-1, 3).astype(np.float32)
    still = skirt.span_legs(cloth, np.zeros((0, 3), np.float32))
    np.testing.assert_allclose(still, cloth, atol=3e-3)
    pushed = skirt.span_legs(cloth, np.array([[0.0, 0.28, 0.5]], np.float32))
    assert pushed[:, 1].max() > 0.28  # a calf behind
    np.testing.assert_allclose(pushed[:48], cloth[:48], atol=3e-3)  # not at the waist


def test_locks_break_the_outline_of_falling_hair() -> None:
    """On a cylinder they stand off and fall in by millimetres at the tips, not at the crown, alike on both sides."""
    angle = np.linspace(2.0, -2.0, 33)
    ring = np.stack([0.1 * np.sin(angle), sheets.HEAD_Y + 0.1 * np.cos(angle), np.zeros(33)], axis=-1)
    points = np.stack([ring - [0.0, 0.0, 0.02 * row] for row in range(12)])
    hair._locks(points, 0.005)
    off = np.hypot(points[..., 0], points[..., 1] - sheets.HEAD_Y) - 0.1
    assert np.abs(off[0]).max() < 1e-9
    assert 0.004 < off[-1].max() < 0.009
    assert -0.009 < off[-1].min() < -0.003
    np.testing.assert_allclose(off, off[:, ::-1], atol=1e-12)
