"""Further truths against closed forms: pinhole projections, spheres and capsules of known size, the texture itself."""

import dataclasses
import io
import json
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import trimesh
from PIL import Image

from render import manifest, person, person_parts
from render.figure import body, body_parts
from render.figure.body_parts import JOINTS, PARTS
from render.optics import camera, seen_surface
from render.optics.rasterizer import Rasterizer
from render.people import poses, sample
from render.people.accessories import KINDS as KINDS_CARRIED
from render.people.accessories import AccessoryShares, sample_accessories
from render.recipes import paper, pit_reid, truths
from tests.render import smpl_fixtures

KINDS = list(manifest.TRUTHS)
HEIGHT, WIDTH = 256, 128


@pytest.fixture(scope="module")
def rasterizer() -> Rasterizer:
    return Rasterizer()


def _decode(kind: str, content: bytes) -> Any:
    return json.loads(content) if kind == "joints" else np.asarray(Image.open(io.BytesIO(content)))


def _draw(rasterizer: Rasterizer, sight: truths.Sight) -> dict[str, Any]:
    contents = truths.draw(rasterizer, sight, {kind: kind for kind in KINDS})
    return {kind: _decode(kind, content) for kind, content in contents.items()}


def _solid(mesh: trimesh.Trimesh, view: camera.Camera, part: str = "torso", **metadata: Any) -> truths.Sight:
    """A sight of one mesh that is one part, with every joint at its centre."""
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    mesh.visual = trimesh.visual.TextureVisuals(uv=np.full((len(mesh.vertices), 2), [0.25, 0.75]))
    mesh.metadata.update(metadata)
    parts = np.tile(np.eye(len(PARTS), dtype=np.float32)[PARTS.index(part)], (len(mesh.vertices), 1))
    return truths.Sight([mesh], parts, dict.fromkeys(JOINTS, np.asarray(mesh.vertices).mean(axis=0)), view)


def _sphere(radius: float, *centre: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    mesh.apply_translation(centre)
    return mesh


def test_a_sphere_has_the_depth_and_the_outline_that_its_equation_gives(rasterizer: Rasterizer):
    """The quadratic of every ray, written out here with its own pinhole formula; the camera looks down, rolled."""
    site = camera.CameraSite(3.0, 0.3, 0.4, 0.1, 0.8, 720, 3.0, 9.0, 3.0)
    view = dataclasses.replace(site.camera(), focal=700.0, center=(70.0, 120.0))
    centre, radius = view.position + view.rotation @ [0.05, 0.1, -5.0], 0.4
    found = _draw(rasterizer, _solid(_sphere(radius, *centre), view))
    row, column = np.indices((HEIGHT, WIDTH)) + 0.5
    ray = np.stack([(column - 70.0) / 700.0, (120.0 - row) / 700.0, np.full(row.shape, -1.0)], axis=-1)
    local = np.array([0.05, 0.1, -5.0])
    a, b, c = (ray**2).sum(axis=-1), ray @ local, local @ local - radius**2
    discriminant = b**2 - a * c
    depth = (b - np.sqrt(np.maximum(discriminant, 0.0))) / a
    mask = found["mask"] == 255
    assert set(np.unique(found["mask"])) == {0, 255}
    # The polyhedron lies inside the sphere, by up to half a millimetre and a pixel of the outline.
    assert abs(mask.sum() / (discriminant > 0.0).sum() - 1.0) < 0.01
    assert not mask[scipy.ndimage.binary_dilation(discriminant > 0.0) == 0].any()
    inner = scipy.ndimage.binary_erosion(discriminant > 0.0, iterations=4)
    assert mask[inner].all()
    np.testing.assert_allclose(found["depth"][inner] / 1000.0, depth[inner], atol=0.002)
    assert (found["depth"][~mask] == 0).all()
    np.testing.assert_array_equal(found["parts"], np.where(mask, PARTS.index("torso"), 0))
    u, v = found["uv"].reshape(2, HEIGHT, WIDTH) / 65535
    np.testing.assert_allclose([u[mask], v[mask]], 0.25, atol=1e-4)  # v counts from the top
    assert not u[~mask].any()
    assert not v[~mask].any()
    (pelvis,) = (joint for joint in found["joints"] if joint["name"] == "pelvis")
    assert pelvis == {
        **{"name": "pelvis", "x": 70.0 + 700.0 * 0.05 / 5.0, "y": 120.0 - 700.0 * 0.1 / 5.0, "depth": 5.0},
        **{"inside": True, "visible": False},  # the surface is 0.4 m before it: farther than clothes reach
    }


def test_a_box_covers_its_area_and_what_is_carried_has_no_texture(rasterizer: Rasterizer):
    view = camera.frontal_camera()  # 6 m in front of the origin, 256 pixels for 2.12 m there
    box = trimesh.creation.box((0.5, 0.2, 1.0))
    box.apply_translation([0.0, 0.1, 0.94])  # its front is at 6 m
    found = _draw(rasterizer, _solid(box, view, "carried", texture=None))
    mask = found["mask"] == 255
    assert abs(mask.sum() - 0.5 * (256 / 2.12) ** 2) < 256
    np.testing.assert_array_equal(found["depth"][mask], 6000)
    np.testing.assert_array_equal(found["parts"][mask], PARTS.index("carried"))
    assert not found["uv"].any()


def test_what_hides_more_than_half_of_a_pixel_leaves_nothing_to_be_told(rasterizer: Rasterizer):
    sight = _solid(_sphere(0.12, 0.0, 0.0, 0.94), camera.frontal_camera())
    free = _draw(rasterizer, sight)
    hidden = np.zeros((HEIGHT, WIDTH), np.float32)
    hidden[:, :60], hidden[:, 60:] = 0.51, 0.49
    found = _draw(rasterizer, dataclasses.replace(sight, hidden=hidden))
    for kind in ("mask", "parts", "depth"):
        assert free[kind][:, :60].any()
        assert not found[kind][:, :60].any()
        np.testing.assert_array_equal(found[kind][:, 60:], free[kind][:, 60:])
    assert not found["uv"][:, :60].any()
    assert _joint(free, "pelvis")["visible"]
    hidden[:] = 1.0
    assert not _joint(_draw(rasterizer, dataclasses.replace(sight, hidden=hidden)), "pelvis")["visible"]


def _joint(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(joint for joint in found["joints"] if joint["name"] == name)


@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_the_texture_at_the_uv_map_is_the_unlit_picture(rasterizer: Rasterizer, yaw: float):
    """A smooth texture that codes u and v in its colours, drawn by the renderer, and read through the map."""
    rng = np.random.default_rng(5)
    appearance = sample.sample_appearance(rng)
    figure = person.Figure(body.load_body(), appearance, body.sample_shape(rng, appearance))
    meshes = figure.meshes(poses.sample_pose(rng))
    view = camera.frontal_camera().seen_from(np.zeros(3), yaw)
    seen = seen_surface.look_at(rasterizer, meshes, view)
    parts = person_parts.parts_of_meshes(figure, meshes)
    sight = truths.Sight(meshes, parts, person_parts.joint_places(figure, poses.frontal_pose()), view)
    u, v = _draw(rasterizer, sight)["uv"].reshape(2, HEIGHT, WIDTH) / 65535
    row, column = np.indices((256, 256))
    texture = np.stack([column, row, (column + row) // 2], axis=-1).astype(np.uint8)
    color, alpha = Rasterizer(supersampling=1).draw(meshes, texture, view)
    np.testing.assert_array_equal(alpha > 0.0, u > 0.0)
    assert len(seen.index) == (u > 0.0).sum() > 3000
    at = [256 * v[alpha > 0] - 0.5, 256 * u[alpha > 0] - 0.5]
    sampled = [
        scipy.ndimage.map_coordinates(texture[..., c].astype(float), at, order=1, mode="nearest") for c in range(3)
    ]
    error = np.abs(255.0 * color[alpha > 0] - np.stack(sampled, axis=1))
    assert np.mean(error < 1.6) > 0.999  # OpenGL rounds colours and corners; a sliver at an outline may differ more
    assert np.abs(sampled).max() > 200


def _figure_sight(rng: np.random.Generator, view: camera.Camera, pose: poses.Pose | None = None) -> truths.Sight:
    appearance = sample.sample_appearance(rng)
    figure = person.Figure(body.load_body(), appearance, body.sample_shape(rng, appearance))
    carried = sample_accessories(
        rng, appearance, AccessoryShares(**{**dict.fromkeys(KINDS_CARRIED, 0.0), "backpack": 1.0})
    )
    pose = pose or poses.frontal_pose()
    meshes = figure.meshes(pose, carried)
    parts = person_parts.parts_of_meshes(figure, meshes)
    return truths.Sight(meshes, parts, person_parts.joint_places(figure, pose), view)


@pytest.mark.parametrize(("yaw", "side"), [(0.0, 1.0), (np.pi, -1.0)])
def test_left_is_the_persons_own_left_from_the_front_and_from_behind(rasterizer: Rasterizer, yaw: float, side: float):
    """Who faces us has the left hand on the right of the picture, who turns the back to us on the left."""
    view = camera.frontal_camera().seen_from(np.zeros(3), yaw)
    found = _draw(rasterizer, _figure_sight(np.random.default_rng(8), view))
    columns = np.arange(WIDTH) + 0.5
    for limb in ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot"):
        left, right = ((found["parts"] == PARTS.index(f"{name}_{limb}")).sum(axis=0) for name in ("left", "right"))
        assert min(left.sum(), right.sum()) > 20, limb
        assert side * (columns @ left / left.sum() - columns @ right / right.sum()) > 4.0, limb
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot"):
        left, right = _joint(found, f"left_{name}"), _joint(found, f"right_{name}")
        assert side * (left["x"] - right["x"]) > 4.0, name
    assert (found["parts"] == body_parts.CARRIED).sum() > (800 if side < 0.0 else 0)  # the backpack


def test_a_standing_persons_joints_are_seen_from_the_front_and_lie_inside_their_parts(rasterizer: Rasterizer):
    view = camera.frontal_camera()
    for seed in range(4):
        found = _draw(rasterizer, _figure_sight(np.random.default_rng(seed), view))
        np.testing.assert_array_equal(found["mask"] > 0, found["parts"] > 0)
        np.testing.assert_array_equal(found["mask"] > 0, found["depth"] > 0)
        visible = [joint["name"] for joint in found["joints"] if joint["visible"]]
        assert len(visible) >= len(JOINTS) - 2, set(JOINTS) - set(visible)  # something carried may hide one
        for joint in found["joints"]:
            assert joint["inside"]
            if joint["visible"]:
                surface = found["depth"][int(joint["y"]), int(joint["x"])] / 1000.0
                assert joint["depth"] - JOINTS[joint["name"]].reach <= surface < joint["depth"] + 0.1


def test_joints_are_projected_as_a_pinhole_does_and_may_be_outside():
    """Independent of the renderer's camera: camera axes from angles, the pinhole formula, and the crop's record."""
    recipe = pit_reid.PitReid(num_train_identities=1, num_test_identities=1)
    record = next(one for one in map(recipe.plan, recipe.group(1)) if one.split == "query_partial")
    record = dataclasses.replace(record, truths=manifest.truth_files(record, ["joints"]))
    studio = recipe.studio()
    (found,) = (json.loads(content) for name, content in studio.draw(record).items() if name.endswith(".json"))
    choices = record.choices
    site = choices["site"]
    appearance = sample.Appearance.from_json(choices["appearance"])
    figure = person.Figure(body.load_body(), appearance, body.BodyShape.from_json(choices["shape"]))
    places = person_parts.joint_places(figure, poses.Pose.from_json(choices["pose"]))
    cosine, sine = np.cos(choices["yaw"]), np.sin(choices["yaw"])
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    level = np.array([-np.sin(site["heading"]), np.cos(site["heading"]), 0.0])
    forward = np.cos(site["tilt"]) * level - [0.0, 0.0, np.sin(site["tilt"])]
    right = np.array([np.cos(site["heading"]), np.sin(site["heading"]), 0.0])
    points = np.array([turn @ places[one["name"]] + [*choices["position"], -site["height"]] for one in found])
    depth = points @ forward
    np.testing.assert_allclose([one["depth"] for one in found], depth, atol=2e-4)
    # In the sensor's own pixels, then rolled; a crop only shifts, scales, and makes wider.
    plane = np.stack([points @ right, points @ np.cross(forward, right)], axis=1) / depth[:, None]
    cosine, sine = np.cos(site["roll"]), np.sin(site["roll"])
    plane = plane @ np.array([[cosine, sine], [-sine, cosine]])
    pixels = np.array([[one["x"], one["y"]] for one in found])
    spread = pixels - pixels.mean(axis=0), plane - plane.mean(axis=0)
    scale = (spread[0] * spread[1]).sum(axis=0) / (spread[1] ** 2).sum(axis=0)
    np.testing.assert_allclose(spread[0], scale * spread[1], atol=0.02)
    assert 1.0 <= scale[0] / scale[1] <= choices["framing"]["stretch"] + 1e-6
    inside = [0.0 <= one["x"] < WIDTH and 0.0 <= one["y"] < HEIGHT for one in found]
    assert [one["inside"] for one in found] == inside
    assert not all(inside)
    assert not any(one["visible"] for one in found if not one["inside"])


def test_an_occluder_hides_the_person_by_the_share_that_it_was_planned_to():
    recipe = pit_reid.PitReid(num_train_identities=1, num_test_identities=1, occluded_queries_per_identity=1)
    record = next(one for one in map(recipe.plan, recipe.group(1)) if one.split == "query_occluded")
    record = dataclasses.replace(record, truths=manifest.truth_files(record, ["mask"]))
    free = dataclasses.replace(record, choices={**record.choices, "occluders": []})
    studio = recipe.studio()
    masks = [_decode("mask", studio.draw(one)[record.truths["mask"]]) > 0 for one in (free, record)]
    assert not (masks[1] & ~masks[0]).any()
    cover = record.choices["occluders"][0]["cover"]
    assert abs(1.0 - masks[1].sum() / masks[0].sum() - cover) < 0.12  # leaves and rails hide pixels in part


def test_smpls_capsules_are_the_parts_that_they_are_named_for(tmp_path_factory: pytest.TempPathFactory):
    """A texture with one colour a capsule: where the picture shows a capsule, the mask has its part."""
    recipe = paper.PaperPit(**smpl_fixtures.write_paper_inputs(tmp_path_factory.mktemp("paper")))
    studio, record = recipe.studio(), recipe.plan(0)
    record = dataclasses.replace(record, truths=manifest.truth_files(record, KINDS))
    files = studio.draw(record)
    assert files.keys() == set(record.files)
    found = {kind: _decode(kind, files[record.truths[f"frontal_{kind}"]]) for kind in KINDS}
    np.testing.assert_array_equal(found["mask"] > 0, found["parts"] > 0)
    u, v = found["uv"].reshape(2, HEIGHT, WIDTH) / 65535
    names = smpl_fixtures.part_names()
    part_of = {"hips": "torso", "belly": "torso", "chest": "torso", "neck": "head", "nose": "head"}
    part_of |= {"thigh": "upper_leg", "shin": "lower_leg", "forearm": "lower_arm", "palm": "hand"}
    for row, column in np.argwhere(found["mask"] > 0)[::7]:
        cell = smpl_fixtures.GRID
        name = names[int((1.0 - v[row, column]) * cell) * cell + int(u[row, column] * cell)]
        side, _, limb = name.partition("_")
        expected = f"{side}_{part_of.get(limb, limb)}" if limb else part_of.get(name, name)
        assert PARTS[found["parts"][row, column]] == expected
    assert _joint(found, "left_wrist")["x"] > _joint(found, "right_wrist")["x"] + 20.0
    assert sum(joint["visible"] for joint in found["joints"]) >= 14
    # 256 pixels for 2.12 m at 6 m: the knees lie 0.2 m apart, by the joints of the fixture.
    knees = [_joint(found, f"{side}_knee") for side in ("left", "right")]
    np.testing.assert_allclose((knees[0]["x"] - knees[1]["x"]) * knees[0]["depth"] / (256 / 2.12 * 6.0), 0.2, atol=0.01)
