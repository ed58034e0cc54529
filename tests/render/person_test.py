"""Whole persons: meshes as the rasterizer takes them."""

import dataclasses

import numpy as np
import pytest
import trimesh

from render import person
from render.figure import body, coverage, garments, worn
from render.figure.body import Body
from render.geometry.surface import vertex_normals
from render.optics import light
from render.people import poses, posing
from render.people.appearance import Appearance
from render.people.sample import sample_appearance


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def _wearing(seed: int, **changes: object) -> Appearance:
    base = sample_appearance(np.random.default_rng(seed))
    plain: dict[str, object] = {"top": "tee", "sleeve": 0.6, "hem": 0.03, "bottom": "jeans", "leg": 1.97}
    plain |= {"skirt_length": 0.0, "tucked": False}
    return dataclasses.replace(base, **(plain | changes))


def _middle(mesh: trimesh.Trimesh, vertices: np.ndarray) -> np.ndarray:
    """The middle [3] of the bounding box of some vertices."""
    points = np.asarray(mesh.vertices)[vertices]
    return (points.min(axis=0) + points.max(axis=0)) / 2


def test_random_persons_are_sound(figure: Body) -> None:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        appearance = sample_appearance(rng)
        shape, pose = body.sample_shape(rng, appearance), poses.sample_pose(rng)
        meshes = person.build_person(figure, appearance, shape, pose)
        names = [mesh.metadata["part"] for mesh in meshes]
        assert names[0] == "body"
        assert ("skirt" in names) == appearance.has_skirt
        hair = worn.HAIR_MESHES.get(appearance.hair_style)
        assert (hair in names) == (hair is not None and appearance.hood != "up")
        assert ("panels" in names) == appearance.open_front
        for mesh in meshes:
            assert np.isfinite(mesh.vertices).all()
            assert mesh.vertices.shape == mesh.vertex_normals.shape
            np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1.0, atol=1e-5)
            uv = mesh.visual.uv
            assert uv.shape == (len(mesh.vertices), 2)
            assert 0.0 < uv.min() < uv.max() < 1.0
            assert mesh.faces.max() < len(mesh.vertices)
            assert mesh.metadata["double_sided"] == (mesh.metadata["part"] != "body")
        vertices = np.concatenate([mesh.vertices for mesh in meshes])
        feet = figure.surface.group("foot")[figure.part.vertex_map] > 0.5
        np.testing.assert_allclose(meshes[0].vertices[feet, 2].min(), 0.0, atol=1e-6)
        assert vertices[:, 2].min() > -0.02  # nothing hangs below the ground
        assert 1.25 < vertices[:, 2].max() < 2.2
        assert np.abs(vertices[:, :2]).max() < 1.1
        hips = figure.surface.group("trunk") > 0.9
        assert (
            np.abs(_middle(meshes[0], hips[figure.part.vertex_map])[:2]).max() < 0.15
        )  # over the hips, a belly in front


def test_same_inputs_give_the_same_bytes(figure: Body) -> None:
    appearance = _wearing(1, top="dress", bottom="skirt", skirt_length=0.6, hair_style="long")
    shape = body.sample_shape(np.random.default_rng(2), appearance)
    pose = poses.sample_pose(np.random.default_rng(3))
    first = person.build_person(figure, appearance, shape, pose)
    again = person.build_person(figure, appearance, shape, pose)
    other = person.build_person(figure, appearance, dataclasses.replace(shape, weight=0.2), pose)
    for mesh, same, heavier in zip(first, again, other, strict=True):
        assert mesh.vertices.tobytes() == same.vertices.tobytes()
        assert mesh.vertex_normals.tobytes() == same.vertex_normals.tobytes()
        assert mesh.vertices.tobytes() != heavier.vertices.tobytes()
        np.testing.assert_array_equal(mesh.visual.uv, heavier.visual.uv)  # one texture fits every shape


def test_frontal_person_faces_the_camera(figure: Body) -> None:
    appearance = _wearing(4)
    mesh = person.build_person(figure, appearance, body.REFERENCE, poses.frontal_pose())[0]
    s, owner = figure.surface, figure.part.vertex_map
    head = (s.group("head") > 0.9) & (s.part == 0)
    nose = np.argmin(np.where(head, s.position[:, 1], np.inf))
    head_centre = _middle(mesh, head[owner])
    assert _middle(mesh, owner == nose)[1] < head_centre[1] - 0.08  # towards -Y
    left = (s.group("hand") > 0.9) & (s.position[:, 0] > 0)
    right = (s.group("hand") > 0.9) & (s.position[:, 0] < 0)
    assert _middle(mesh, left[owner])[0] > 0.25
    np.testing.assert_allclose(_middle(mesh, left[owner]) * [-1, 1, 1], _middle(mesh, right[owner]), atol=5e-3)
    hips = (s.group("trunk") > 0.5) & (np.abs(s.position[:, 2]) < 0.14)
    assert mesh.vertices[left[owner], 0].min() > mesh.vertices[hips[owner], 0].max() + 0.02  # arms off the body


def test_faces_look_outwards_and_the_body_is_closed(figure: Body) -> None:
    rest = figure.rest(body.REFERENCE)
    vertices = garments.dress(figure, _wearing(4), rest).vertices
    solid = trimesh.Trimesh(vertices, figure.part.triangles, process=False)
    edges = np.sort(solid.edges, axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    # Only the nine or so small openings of the base mesh (eyes, mouth) have edges with one face.
    assert (uses == 1).sum() < 400
    assert uses.max() == 2
    assert 0.04 < solid.volume < 0.15  # cubic metres, and positive: faces wind outwards
    normals = vertex_normals(vertices, figure.part.triangles)
    chest = (figure.surface.normal[:, 1] < -0.9) & (figure.surface.group("trunk") > 0.9)
    assert normals[chest, 1].mean() < -0.8


def test_clothes_have_thickness(figure: Body) -> None:
    rest = figure.rest(body.REFERENCE)
    s = figure.surface
    bare = np.hypot(rest.vertices[:, 0], rest.vertices[:, 1] - body.AXIS_Y)
    chest = (s.group("trunk") > 0.9) & (s.position[:, 2] > 0.2) & (s.position[:, 2] < 0.4) & (s.part == 0)
    gain = {}
    for top in ("tank", "tee", "jacket", "coat"):
        dressed = garments.dress(figure, _wearing(4, top=top, sleeve=1.95, fit=1.0), rest).vertices
        gain[top] = (np.hypot(dressed[:, 0], dressed[:, 1] - body.AXIS_Y) - bare)[chest]
        assert gain[top].min() > 0.0
    assert gain["tank"].mean() < gain["tee"].mean() < gain["jacket"].mean() < gain["coat"].mean()
    hands = (s.group("hand") > 0.99) | (s.part != 0)
    np.testing.assert_allclose(dressed[hands], rest.vertices[hands], atol=2e-3)


def test_shoes_are_flat(figure: Body) -> None:
    dressed = garments.dress(figure, _wearing(4, shoe="sneaker"), figure.rest(body.REFERENCE)).vertices
    below = (figure.surface.position[:, 2] < -0.81) & (figure.surface.group("foot") > 0.9)
    assert np.ptp(dressed[below, 2]) < 0.006


def test_skirts_hang_outside_the_hips(figure: Body) -> None:
    for weight in (0.2, 0.9):
        rest = figure.rest(dataclasses.replace(body.REFERENCE, weight=weight, gender=1.0))
        appearance = _wearing(4, bottom="skirt", skirt_length=0.5, tucked=True)
        dressed = garments.dress(figure, appearance, rest)
        skirt = dressed.worn["skirt"]
        hips = (np.abs(figure.surface.position[:, 2] - 0.05) < 0.03) & (
            figure.surface.group("trunk", "upper_leg") > 0.9
        )
        low, high = rest.vertices[hips, 2].min(), rest.vertices[hips, 2].max()
        around = skirt[(skirt[:, 2] > low) & (skirt[:, 2] < high)]
        assert around[:, 0].max() > rest.vertices[hips, 0].max()
        assert around[:, 1].min() < rest.vertices[hips, 1].min()
        assert around[:, 1].max() > rest.vertices[hips, 1].max()
        np.testing.assert_allclose(dressed.skirt_weights.sum(axis=1), 1.0, atol=1e-5)
        # Legs deep inside are left out of the mesh, feet are not.
        assert dressed.hidden.any()
        assert not dressed.hidden[figure.surface.group("foot") > 0.5].any()
        mesh = person.build_person(figure, appearance, body.REFERENCE, poses.frontal_pose())[0]
        assert len(mesh.faces) < len(figure.part.faces)
    top, bottom = coverage.skirt_span(appearance)
    longer = dataclasses.replace(appearance, skirt_length=0.9)
    assert coverage.skirt_span(longer)[0] == top
    assert coverage.skirt_span(longer)[1] < bottom < top


def test_hands_stay_out_of_the_body(figure: Body) -> None:
    s, owner = figure.surface, figure.part.vertex_map
    for seed, weight in ((0, 0.3), (1, 0.6), (2, 0.95)):
        rng = np.random.default_rng(seed)
        appearance = _wearing(seed, top="jacket", sleeve=1.96, fit=1.3)
        shape = dataclasses.replace(body.sample_shape(rng, appearance), weight=weight)
        pose = dataclasses.replace(poses.frontal_pose(), arm_abduction=(3.0, 3.0))
        mesh = person.build_person(figure, appearance, shape, pose)[0]
        hips = (s.group("trunk", "upper_leg") > 0.5) & (np.abs(s.position[:, 2]) < 0.1)
        left = (s.group("hand") > 0.9) & (s.position[:, 0] > 0)
        assert mesh.vertices[left[owner], 0].min() > mesh.vertices[hips[owner], 0].max() - 0.015


def test_rest_bodies_are_those_of_the_model(figure: Body) -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        shape = body.BodyShape(rng.uniform(), rng.uniform(1 / 3, 1.0), *rng.uniform(size=4))
        rest = figure.rest(shape)
        identity = figure.model.prepare_identity(np.array([list(vars(shape).values())], np.float32))
        # The same sum of some hundred float32 numbers up to 1 m, in another order.
        np.testing.assert_allclose(rest.vertices, identity["rest_vertices"][0], atol=3e-6)
        np.testing.assert_array_equal(rest.joint_frames, identity["rest_skeleton_transforms"][0])


def test_a_posed_body_is_that_of_the_model(figure: Body) -> None:
    """Forward kinematics and skinning against body-models, which takes rotations in the axes of the bones."""
    rng = np.random.default_rng(6)
    appearance = sample_appearance(rng)
    made = person.Figure(figure, appearance, body.sample_shape(rng, appearance))
    pose = poses.sample_pose(rng)
    posed = made.pose(pose)
    rotations = np.tile(np.eye(3, dtype=np.float32), (len(figure.joint_index), 1, 1))
    for name, rotation in posing.joint_rotations(pose, made.rest.joints, made.girth).items():
        axes = made.rest.joint_frames[figure.joint_index[name], :3, :3]
        rotations[figure.joint_index[name]] = axes.T @ rotation @ axes
    # The joints' order: root, then body and hand in turns, then the head.
    body_pose = np.concatenate([rotations[1:55], rotations[74:81], rotations[100:103]])[None]
    hand_pose = np.concatenate([rotations[55:74], rotations[81:100]])[None]
    shape = np.array([list(vars(made.shape).values())], np.float32)
    identity = {**figure.model.prepare_identity(shape), "rest_vertices": made.dressed.vertices[None]}
    expected = figure.model.forward_vertices(body_pose, rotations[None, 103:], hand_pose, identity=identity)[0]
    moved = expected - posed.vertices  # both stand somewhere else, upright
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)


def test_normals_are_those_of_the_welded_surface(figure: Body) -> None:
    rng = np.random.default_rng(3)
    made = person.Figure(figure, _wearing(4), dataclasses.replace(body.REFERENCE, weight=0.8))
    pose = poses.sample_pose(rng)
    expected = vertex_normals(made.pose(pose).vertices, figure.part.triangles)[figure.part.vertex_map]
    np.testing.assert_allclose(made.meshes(pose)[0].vertex_normals, expected, atol=2e-4)


def test_light_at_chosen_vertices_is_that_of_all(figure: Body) -> None:
    rng = np.random.default_rng(2)
    appearance = sample_appearance(rng)
    meshes = person.build_person(figure, appearance, body.sample_shape(rng, appearance), poses.sample_pose(rng))
    sun = light.sample_light(rng, kind="hazy")
    fast = light.irradiance_of_meshes(meshes, sun)
    assert len(light.surface_samples(meshes)) < 20_000
    for mesh in meshes:
        thinning = mesh.metadata.pop("thinning")
        assert len(thinning.vertices) < len(mesh.vertices)
        np.testing.assert_allclose(thinning.spread.sum(axis=1), 1.0, atol=1e-5)
    assert len(light.surface_samples(meshes)) > 40_000
    for quick, exact in zip(fast, light.irradiance_of_meshes(meshes, sun), strict=True):
        # A hundredth or two of the light on average: less than two levels of 255.
        assert np.abs(quick - exact).mean() < 0.025
        assert np.abs(quick - exact).mean() < 0.2 * exact.std()


def test_placed_hands_go_where_they_belong(figure: Body) -> None:
    """Hands in pockets are inside the clothes, folded arms lie before the chest, in any body and under any spine."""
    hands = np.flatnonzero(figure.surface.group("hand") > 0.6)
    left = hands[figure.surface.position[hands, 0] > 0]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        appearance = sample_appearance(rng)
        made = person.Figure(figure, appearance, body.sample_shape(rng, appearance))
        standing = next(pose for pose in (poses.sample_pose(rng) for _ in range(200)) if pose.kind == "stand")
        for place in poses.HANDS[1:]:
            other = {"folded_under": "folded_over", "folded_over": "folded_under"}.get(place, place)
            posed = made.pose(dataclasses.replace(standing, hands=(place, other)))
            shift = posed.transforms[figure.joint_index["root"], :3, 3]
            hand = posed.vertices[left].mean(axis=0) - shift
            hip, girth = made.rest.joints["upperleg01.L"], made.girth
            width = girth.clearance - posing.HALF_HAND
            if place == "pocket":
                assert 0.05 < hand[0] < width - 0.01  # inside the cloth, well below the belt
                assert hip[2] - 0.12 < hand[2] < hip[2] + 0.04
            elif place == "hip":
                assert width - 0.1 < hand[0] < width + 0.03
                assert hip[2] < hand[2]
            elif place == "behind":
                assert hand[1] > girth.back - 0.02
            else:
                assert hand[1] < girth.front + 0.06
                assert abs(hand[0]) < 0.17
                assert (hand[2] > hip[2] + 0.12) == place.startswith("folded")


def test_feet_stand_on_the_ground(figure: Body) -> None:
    """Standing persons stand on both feet; one who walks has a foot down, and both where the weight changes."""
    rng = np.random.default_rng(5)
    appearance = sample_appearance(rng)
    made = person.Figure(figure, appearance, body.sample_shape(rng, appearance))
    feet = np.flatnonzero(figure.surface.group("foot") > 0.5)
    sides = [feet[sign * figure.surface.position[feet, 0] > 0] for sign in (1, -1)]
    gaps: dict[str, list[float]] = {"stand": [], "walk": []}
    for seed in range(60):
        pose = poses.sample_pose(np.random.default_rng(seed))
        if pose.kind in gaps:
            posed = made.pose(pose)
            gaps[pose.kind].append(max(posed.vertices[side, 2].min() for side in sides))
    assert max(gaps["stand"]) < 0.015
    assert np.percentile(gaps["walk"], 25) < 0.025
