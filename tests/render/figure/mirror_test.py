"""The UV mirror map: closed forms, meshes that are not symmetric, and the open body drawn in the mirror."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.benchmarks import mirror_error
from render import person
from render.figure import body, garments, mirror
from render.figure.mirror import Mesh
from render.optics import camera
from render.optics.rasterizer import Rasterizer
from render.people import poses
from render.people.sample import sample_appearance

SIZE = 64


def sheet(columns: int = 9, rows: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices [V 3] of a sheet in x and z over [-1, 1], triangles, and their corners' (x, z) in [0, 1]."""
    x, z = np.meshgrid(np.linspace(-1.0, 1.0, columns), np.linspace(-1.0, 1.0, rows))
    vertices = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3)
    ids = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([ids[:-1, :-1], ids[:-1, 1:], ids[1:, 1:], ids[1:, :-1]], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return vertices, triangles, (vertices[triangles][..., [0, 2]] + 1.0) / 2.0


def test_a_sheet_is_flipped_although_its_quads_are_cut_along_one_diagonal():
    vertices, triangles, unit = sheet()
    index_map = mirror.mirror_map([Mesh("sheet", vertices, triangles, unit)], tolerance=1e-6, size=SIZE)
    rows, columns = np.indices((SIZE, SIZE))
    assert index_map.dtype == np.uint16
    np.testing.assert_array_equal(index_map[..., 0], rows)
    np.testing.assert_array_equal(index_map[..., 1], SIZE - 1 - columns)
    texture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(mirror.mirror_texture(texture, index_map), texture[:, ::-1])


def test_halves_anywhere_in_the_texture():
    """The left half (x >= 0) as it is at the lower left, the right one turned by 90 degrees at the upper right."""
    vertices, triangles, unit = sheet()
    left = unit[..., 0].mean(axis=1) > 0.5
    across, up = unit[..., 0], unit[..., 1]
    at_left = np.stack([across - 0.5, up / 2], axis=-1)  # 32x32 texels from the lower left corner
    at_right = np.stack([1.0 - up / 2, 0.5 + across], axis=-1)  # x upwards, z to the left
    uv = np.where(left[:, None, None], at_left, at_right)
    index_map = mirror.mirror_map([Mesh("halves", vertices, triangles, uv)], tolerance=1e-6, size=SIZE)
    half = SIZE // 2
    for row, column in ((40, 3), (63, 31), (32, 0)):  # of the left half: x grows with the column, z against the row
        x, z = column + 0.5, SIZE - row - 0.5
        expected = (half - 1 - int(half - x), int(SIZE - z))  # at -x: x upwards from row 31, z leftwards from column 63
        assert tuple(index_map[row, column]) == expected
        assert tuple(index_map[expected]) == (row, column)
    # Uncovered texels take the place of the nearest covered one: above the left half, that in its first row.
    np.testing.assert_array_equal(index_map[16:half, 3], np.broadcast_to(index_map[half, 3], (16, 2)))


def test_a_mirrored_triangle_stays_on_its_side_of_a_seam():
    """A vertex on a seam has two UV; where the mesh lacks the mirrored triangle, the near one counts."""
    vertices, triangles, unit = sheet(5, 2)
    # Cut open at x = 0.5, where the piece to the right of it lies elsewhere; its mirror image is not cut.
    beyond = unit[..., 0].mean(axis=1) > 0.75
    uv = unit * [0.5, 0.5] + np.where(beyond[:, None, None], [0.25, 0.5], [0.0, 0.0])
    mesh = Mesh("cut", vertices, triangles, uv)
    found = mirror.mirrored_uv(mesh, mirror.vertex_correspondence(vertices, 1e-6))
    expected = np.stack([1.0 - unit[..., 0], unit[..., 1]], axis=-1) * [0.5, 0.5]
    expected[unit[..., 0].mean(axis=1) < 0.25] += [0.25, 0.5]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def nearly_symmetric(rng: np.random.Generator, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points [V 3] that are symmetric about x = 0.3 except for noise, in a mixed order, and their partners."""
    right = rng.uniform(-1.0, 1.0, (300, 3)) * [0.5, 1.0, 1.0] + [0.81, 0.0, 0.0]
    middle = rng.uniform(-1.0, 1.0, (40, 3)) * [0.0, 1.0, 1.0] + [0.3, 0.0, 0.0]
    points = np.concatenate([right, right * [-1.0, 1.0, 1.0] + [0.6, 0.0, 0.0], middle])
    partner = np.concatenate([np.arange(300, 600), np.arange(300), np.arange(600, 640)])
    points = points + rng.normal(0.0, deviation, points.shape)
    order = rng.permutation(len(points))
    return points[order], np.argsort(order)[partner[order]]


@pytest.mark.parametrize("deviation", [0.0, 0.01])
def test_partners_of_a_body_that_is_nearly_symmetric(deviation: float):
    """Noise of 0.01 moves points past their neighbours: nearest points alone do not agree."""
    vertices, expected = nearly_symmetric(np.random.default_rng(1), deviation)
    partner = mirror.vertex_correspondence(vertices, tolerance=0.1)
    np.testing.assert_array_equal(partner[partner], np.arange(len(partner)))
    assert (partner == expected).mean() > (0.95 if deviation else 0.999)


def test_the_worst_vertices_are_named():
    vertices, triangles, unit = sheet()
    vertices = vertices.copy()
    vertices[7] += [0.0, 0.03, 0.0]
    with pytest.raises(
        mirror.MirrorError, match=r"a sheet: not symmetric(.|\n)*7 at \(0.7500, 0.0300, -1.0000\): 30.0 mm"
    ):
        mirror.mirror_map([Mesh("a sheet", vertices, triangles, unit)], tolerance=0.01, size=SIZE)
    index_map = mirror.mirror_map([Mesh("a sheet", vertices, triangles, unit)], tolerance=0.04, size=SIZE)
    np.testing.assert_array_equal(index_map[..., 1], np.broadcast_to(np.arange(SIZE)[::-1], (SIZE, SIZE)))
    with pytest.raises(mirror.MirrorError, match="No texel lies in a triangle"):
        mirror.mirror_map([Mesh("nowhere", vertices, triangles, 0.0 * unit)], tolerance=0.04, size=SIZE)


def test_a_vertex_without_a_partner_is_named():
    vertices, _, _ = sheet()
    with pytest.raises(mirror.MirrorError, match=r"found 1 farther(.|\n)*36 at \(-1.0000, 0.0000, 1.0000\): 2000.0 mm"):
        mirror.vertex_correspondence(vertices[:-1], tolerance=0.1)
    # A vertex in no triangle needs none.
    chosen = np.delete(np.arange(len(vertices) - 1), 36)
    partner = mirror.vertex_correspondence(vertices[:-1], tolerance=1e-6, chosen=chosen)
    np.testing.assert_allclose(vertices[partner[chosen], 0], -vertices[chosen, 0], atol=1e-12)


def test_the_camera_in_the_mirror():
    rng = np.random.default_rng(2)
    site = camera.sample_site(rng, height=5.0)
    points = rng.uniform(-1.0, 1.0, (50, 3)) + np.array([0.4, 6.0, 1.0])
    view, _ = camera.crop_around(site.camera(), points, camera.Framing(0.9, (0.0, 0.0)))
    mirrored = mirror_error.mirrored_camera(view, camera.IMAGE_WIDTH)
    pixels, depth = view.project(points)
    flipped, same_depth = mirrored.project(points * [-1.0, 1.0, 1.0])
    np.testing.assert_allclose(flipped, pixels * [-1.0, 1.0] + np.array([camera.IMAGE_WIDTH, 0.0]), atol=1e-9)
    np.testing.assert_allclose(depth, same_depth, atol=1e-12)
    assert np.linalg.det(mirrored.rotation) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def figure() -> body.Body:
    return body.load_body()


@pytest.fixture(scope="module")
def index_map(figure: body.Body) -> np.ndarray:
    return mirror.body_mirror_map(figure)


def test_mirrored_twice_is_the_texture_again(figure: body.Body, index_map: np.ndarray):
    distance, exact = mirror_error.twice(figure, index_map)
    assert distance < 0.1  # texels
    assert exact > 0.97
    # Each eye takes the other's colour, and so does each foot.
    region = np.full(figure.atlas.size**2, -1)
    number = np.searchsorted(figure.atlas.starts, np.arange(len(figure.atlas.covered)), side="right") - 1
    region[figure.atlas.covered] = number
    step = body.SUPERSAMPLING
    region = region.reshape(figure.atlas.size, -1)[::step, ::step]
    side = np.zeros(figure.atlas.size**2)
    side[figure.atlas.covered] = figure.atlas.surface.position[:, 0]
    side = side.reshape(figure.atlas.size, -1)[::step, ::step]
    away = (region >= 0) & (np.abs(side) > 0.02)
    same = mirror.mirror_texture(region, index_map)[away] == region[away]
    assert same.mean() > 0.97  # but for borders of regions
    assert (np.sign(mirror.mirror_texture(side, index_map)[away]) == -np.sign(side[away])).mean() > 0.99


def test_clothes_of_every_kind_are_symmetric(figure: body.Body):
    """In the rest pose: what is worn, and the thickness of cloth."""
    partner = mirror.vertex_correspondence(figure.reference.vertices, 1e-4, chosen=figure.part.triangles)
    drawn = np.unique(figure.part.triangles)
    worn: set[str] = set()
    for seed in range(24):
        rng = np.random.default_rng(seed)
        appearance = sample_appearance(rng)
        dressed = garments.dress(figure, appearance, figure.rest(body.sample_shape(rng, appearance)))
        image = dressed.vertices[partner] * [-1.0, 1.0, 1.0]
        asymmetry = np.linalg.norm(image - dressed.vertices, axis=1)[drawn]
        assert np.mean(asymmetry) < 1e-4
        for name, points in dressed.worn.items():
            mirror.vertex_correspondence(points, 0.003, name=f"{name} of seed {seed}")
            worn.add(name)
    assert len(worn) > 4


def test_pictures_in_the_mirror(figure: body.Body, index_map: np.ndarray):
    """The mirrored texture on the mirrored pose is the flipped picture, except for the grid of texels and pixels."""
    rasterizer = Rasterizer()
    errors = []
    for seed in range(8):
        rng = np.random.default_rng((20, seed))
        errors.append(mirror_error.measure(figure, rasterizer, index_map, sample_appearance(rng), rng))
    for name, mean, worst, at_border in (("smooth", 0.5, 0.8, 1.0), ("painted", 1.6, 4.5, 2.5), ("lit", 2.0, 4.5, 2.5)):
        inside = [error[name].inside for error in errors]
        assert np.mean(inside) < mean, name  # of 255 levels
        assert np.max(inside) < worst, name
        assert np.mean([error[name].border for error in errors]) < at_border, name
        assert np.max([error[name].far for error in errors]) < 0.01, name  # silhouettes differ at borders alone


def test_the_measure_sees_what_is_not_mirrored(figure: body.Body, index_map: np.ndarray):
    """A map that mirrors nothing, and a pose that is not mirrored, are seen at once."""
    rasterizer = Rasterizer()
    rng = np.random.default_rng(5)
    appearance = sample_appearance(rng)
    identity = np.moveaxis(np.indices(index_map.shape[:2]), 0, -1)
    texture = mirror_error.smooth_texture(figure)
    worn = person.Figure(figure, appearance, body.sample_shape(rng, appearance))
    pose = dataclasses.replace(poses.frontal_pose(), shoulder=(60.0, 0.0))
    view = camera.frontal_camera()
    mirrored_view = mirror_error.mirrored_camera(view, camera.IMAGE_WIDTH)
    color, alpha = rasterizer.draw(worn.meshes(pose), texture, view)
    flipped = color[:, ::-1], alpha[:, ::-1]

    def error(index: np.ndarray, other: poses.Pose) -> mirror_error.Error:
        drawn = rasterizer.draw(worn.meshes(other), mirror.mirror_texture(texture, index), mirrored_view)
        return mirror_error.compare(flipped, drawn)

    right = error(index_map, pose.mirrored())
    assert right.inside < 0.5
    assert right.far < 0.01
    assert error(identity, pose.mirrored()).inside > 5.0
    assert error(index_map, pose).far > 0.5
    assert math.isclose(mirror_error.compare(flipped, flipped).border, 0.0)
