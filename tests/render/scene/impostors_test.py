"""Impostors stand where they should, as tall as they are, and throw their shadow away from the sun."""

import dataclasses
import itertools
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from render.optics import camera, light
from render.scene import impostor_library, impostors, props
from render.scene.things import Thing
from render.scene.view import View

SUN = light.Light(math.pi, math.radians(45.0), (1.0, 1.0, 1.0), (0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 0.02)
SITE = camera.CameraSite(
    height=2.5, heading=0.0, tilt=0.2, roll=0.0, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)


def _view() -> View:
    corners = np.array([[x, 7.0, z] for x in (-0.9, 0.9) for z in (0.0, 1.9)])
    crop, _ = camera.crop_around(SITE.camera(), corners, camera.Framing(0.9, (0.0, 0.0)))
    return View(crop, SUN, corners, 256, 128)


def _thing(kind: str, variant: int = 0, x: float = 0.0, y: float = 7.0, yaw: float = 0.0, size: float = 1.0) -> Thing:
    return Thing(kind, variant, x, y, yaw, size, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("kind", ["person", "bin", "bollard", "railing"])
def test_a_thing_stands_on_its_spot_and_reaches_its_height(kind: str):
    view = _view()
    patch = impostors.place(_thing(kind, x=0.1), view)
    assert patch is not None
    rows = np.flatnonzero((patch.alpha > 0.5).any(axis=1)) + patch.rows.start
    ((_, foot), (_, top)) = view.camera.project(
        np.array([[0.1, 7.0, 0.0], [0.1, 7.0, impostor_library.height(kind, 0)]])
    )[0]
    # Seen from above, what is nearer than the middle is lower in the picture, what is farther is higher.
    assert foot - 2 <= rows.max() <= foot + 14
    assert top - 12 <= rows.min() <= top + 6
    ((column, _),) = view.camera.project(np.array([[0.1, 7.0, 0.9]]))[0]
    inside = patch.alpha.sum(axis=0)
    middle = (inside @ (np.arange(len(inside)) + 0.5)) / inside.sum() + patch.columns.start
    assert middle == pytest.approx(column, abs=10.0)
    assert patch.depth.mean() == pytest.approx(7.0, rel=0.1)


def test_what_is_out_of_the_picture_or_behind_the_camera_is_left_out():
    for x, y in ((30.0, 7.0), (0.0, -5.0), (0.0, 0.2)):
        assert impostors.place(_thing("bin", x=x, y=y), _view()) is None


def test_a_turned_car_shows_another_side():
    shown = []
    for yaw in (0.0, 0.5 * math.pi):
        patch = impostors.place(_thing("car", yaw=yaw, size=0.3), _view())
        assert patch is not None
        shown.append(patch.alpha.sum())
    assert shown[0] > 1.3 * shown[1]  # across, and from its end


def test_a_tint_changes_a_cars_paint_and_neither_its_glass_nor_its_lamps_and_wheels():
    """What is left of a car without any paint; a bush has nothing but its colour."""
    view = _view()
    plain, black, half = (
        impostors.place(dataclasses.replace(_thing("car", yaw=0.3), tint=(tint,) * 3), view) for tint in (1.0, 0.0, 0.5)
    )
    assert plain is not None
    assert black is not None
    assert half is not None
    np.testing.assert_array_equal(black.alpha, plain.alpha)
    np.testing.assert_allclose(half.color, 0.5 * (plain.color + black.color), atol=1e-5)
    assert (black.color <= plain.color + 2.0 / 255.0).all()
    inside = plain.alpha == 1.0
    kept = black.color[inside].max(axis=1) > 0.02
    assert 0.1 < kept.mean() < 0.6
    # Of these places all is left.
    same = np.abs(black.color - plain.color)[inside].max(axis=1) < 2.0 / 255.0
    assert (same & kept).mean() > 0.8 * kept.mean()
    bush = impostors.place(dataclasses.replace(_thing("bush"), tint=(0.0, 0.0, 0.0)), view)
    assert bush is not None
    assert bush.color.max() == 0.0


def test_the_side_that_faces_the_sun_is_brighter():
    patch = impostors.place(_thing("pole", 2), _view())
    assert patch is not None
    band = slice(patch.alpha.shape[0] // 3, patch.alpha.shape[0] // 2)
    row = patch.color[band].sum(axis=(0, 2)) / np.maximum(patch.alpha[band].sum(axis=0), 1e-3)
    solid = np.flatnonzero(patch.alpha[band].min(axis=0) > 0.9)
    assert row[solid[1]] > 1.25 * row[solid[-2]]  # the sun stands on the left


@pytest.mark.parametrize("azimuth", [0.3, 2.0, 4.4])
def test_shadows_point_away_from_the_sun(azimuth: float):
    sun = dataclasses.replace(SUN, sun_azimuth=azimuth)
    x, y = (axis.ravel().astype(np.float32) for axis in np.meshgrid(np.arange(-3, 3, 0.05), np.arange(-3, 3, 0.05)))
    cast = impostors.shadow(_thing("person", 1, 0.2, 0.1, yaw=1.0), sun, x, y)
    assert cast is not None
    index, taken = cast
    assert 0.0 <= taken.min() <= taken.max() <= 1.0 + 1e-5
    assert taken.max() > 0.9
    dx, dy = x[index] - 0.2, y[index] - 0.1
    along = (taken * (-math.cos(azimuth) * dx - math.sin(azimuth) * dy)).sum() / taken.sum()
    across = (taken * (-math.sin(azimuth) * dx + math.cos(azimuth) * dy)).sum() / taken.sum()
    # 45 degrees: the shadow is as long as the person is tall, and its middle half as far.
    assert along == pytest.approx(0.5 * impostor_library.height("person", 1), abs=0.2)
    assert across == pytest.approx(0.0, abs=0.2)  # a walking person is not alike on both sides


def test_a_shadow_climbs_a_wall():
    # The wall stands 0.7 m behind the person, seen from the sun in the west: the shadow of what is higher is on it.
    along, z = (axis.ravel().astype(np.float32) for axis in np.meshgrid(np.arange(-1, 1, 0.05), np.arange(0, 3, 0.05)))
    cast = impostors.shadow(_thing("person", 1, 0.0, 0.0), SUN, np.full_like(along, 0.7), along, z)
    assert cast is not None
    index, taken = cast
    assert z[index][taken > 0.5].max() == pytest.approx(impostor_library.height("person", 1) - 0.7, abs=0.12)


def test_every_model_stands_on_the_ground_with_unit_normals():
    for kind, prop in props.PROPS.items():
        for variant in range(prop.variants):
            mesh = props.make_prop(kind, variant)
            assert -0.03 <= mesh.vertices[:, 2].min() < 0.1
            lengths = np.linalg.norm(mesh.vertex_normals, axis=1)
            np.testing.assert_allclose(lengths[lengths > 0.1], 1.0, atol=1e-5)


def test_normals_point_outwards():
    for kind in ("bin", "bollard", "car"):  # about convex
        mesh = props.make_prop(kind, 0)
        corners = mesh.vertices[mesh.faces]
        sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outwards = corners.mean(axis=1) - mesh.vertices.mean(axis=0)
        area = np.linalg.norm(sides, axis=1)
        pointing = (mesh.vertex_normals[mesh.faces[:, 0]] * outwards).sum(axis=1) > 0.0
        assert area[pointing].sum() > 0.75 * area.sum()


def test_variants_differ_and_repeat():
    def alpha(kind: str, variant: int) -> bytes:
        patch = impostors.place(_thing(kind, variant, yaw=0.7), _view())
        assert patch is not None
        return patch.color.tobytes()

    for kind, count in impostor_library.KINDS.items():
        drawn = [alpha(kind, variant) for variant in range(count)]
        assert all(one != other for one, other in itertools.pairwise(drawn))
        assert alpha(kind, count) == drawn[0]


def test_pictures_belong_to_the_code_that_made_them():
    """Their cache is named by all modules of `render` that drawing them imports, by none that only uses them."""
    script = (
        "import sys; from render.scene import impostor_library as library; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'render')); "
        "print(*library.sources())"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    loaded, sources = (set(line.split()) for line in result.stdout.splitlines())
    assert sources == loaded
    names = {pathlib.Path(source).name for source in sources}
    assert {"impostor_library.py", "props.py", "mesh_model.py", "garments.py", "painter.py", "person.py"} <= names
    assert not {"impostors.py", "pit.py", "draw.py", "photo.py"} & names
