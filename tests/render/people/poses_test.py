"""Poses: angles, rotations, and what they do to the skeleton."""

import dataclasses
import json

import numpy as np
import pytest

from render import person
from render.figure import body
from render.figure.body import Body
from render.people import accessories, poses, posing
from render.people.accessories import Accessory
from render.people.poses import Pose
from render.people.posing import Girth


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


@pytest.fixture(scope="module")
def samples() -> list[Pose]:
    return [poses.sample_pose(np.random.default_rng(seed), _with_phone(seed)) for seed in range(150)]


def _thing(kind: str, side: str, variant: str = "") -> Accessory:
    color = (0.1, 0.2, 0.3)
    return Accessory(kind, variant, side, 1.0, "plain", (color, color, color), seed=0)


def _with_phone(seed: int) -> tuple[Accessory, ...]:
    """Every tenth person has a phone."""
    return (_thing("phone", accessories.SIDES[seed // 10 % 2]),) if seed % 10 == 0 else ()


def _skeleton(figure: Body, rotations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Joint positions by forward kinematics, written out as a slow loop: children turn about their parents."""
    rest = figure.reference.joints
    names, parents = list(figure.model.joint_names), list(figure.model.parents)
    turned, placed = {}, {}
    for name, parent in zip(names, parents, strict=True):
        above = names[parent] if parent >= 0 else None
        before = turned[above] if above else np.eye(3)
        placed[name] = placed[above] + before @ (rest[name] - rest[above]) if above else rest[name]
        turned[name] = before @ rotations.get(name, np.eye(3))
    return placed


def test_samples_differ_and_cover_every_kind(samples: list[Pose]) -> None:
    assert {pose.kind for pose in samples} == set(poses.KINDS) - {"frontal"}
    assert len({json.dumps(pose.to_json()) for pose in samples}) == len(samples)
    assert poses.sample_pose(np.random.default_rng(3)) == samples[3]
    assert all(min(pose.knee) >= 0 for pose in samples)  # knees do not bend backwards
    assert [pose.kind == "phone" for pose in samples] == [seed % 10 == 0 for seed in range(150)]
    walking = [pose for pose in samples if pose.kind == "walk"]
    assert np.mean([abs(pose.hip[0] - pose.hip[1]) for pose in walking]) > 15  # strides


def test_json_round_trip(samples: list[Pose]) -> None:
    for pose in [*samples[:20], poses.frontal_pose()]:
        assert Pose.from_json(json.loads(json.dumps(pose.to_json()))) == pose


def test_mirrored_poses_place_mirrored_joints(figure: Body, samples: list[Pose]) -> None:
    for pose in samples[:8]:
        assert pose.mirrored().mirrored() == pose
        placed = _skeleton(figure, posing.joint_rotations(pose, figure.reference.joints, Girth(0.25)))
        image = _skeleton(figure, posing.joint_rotations(pose.mirrored(), figure.reference.joints, Girth(0.25)))
        for name, position in placed.items():
            # Without side: the middle, where the skeleton itself is off by up to a millimetre.
            other = name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name.endswith((".L", ".R")) else name
            np.testing.assert_allclose(image[other] * [-1, 1, 1], position, atol=5e-3)


def test_arms_carry_what_there_is(figure: Body) -> None:
    joints = figure.reference.joints
    for seed in range(12):
        side = accessories.SIDES[seed % 2]
        suffix = "LR"[seed % 2]

        def placed(*things: Accessory, seed: int = seed) -> dict[str, np.ndarray]:
            pose = poses.sample_pose(np.random.default_rng(seed), things)
            return _skeleton(figure, posing.joint_rotations(pose, joints, Girth(0.25)))

        bag = placed(_thing("handbag", side))
        shoulder, elbow, wrist = (bag[f"{name}.{suffix}"] for name in ("upperarm01", "lowerarm01", "wrist"))
        bent = np.linalg.norm(wrist - shoulder) / (np.linalg.norm(wrist - elbow) + np.linalg.norm(elbow - shoulder))
        assert bent > 0.985  # nearly straight
        assert wrist[2] < elbow[2] - 0.15
        rain = placed(_thing("umbrella", side))
        wrist, shoulder, chin = (rain[name] for name in (f"wrist.{suffix}", f"upperarm01.{suffix}", "jaw"))
        assert wrist[1] < shoulder[1] - 0.2  # in front of the shoulder
        assert shoulder[2] - 0.25 < wrist[2] < chin[2]
        assert abs(wrist[0] - shoulder[0]) < 0.15
        pulled = placed(_thing("suitcase", side))
        assert pulled[f"wrist.{suffix}"][1] > pulled[f"upperarm01.{suffix}"][1] + 0.02  # behind
        both = poses.sample_pose(np.random.default_rng(seed), (_thing("tote", "left"), _thing("umbrella", "right")))
        assert both.elbow[0] < 15 < 100 < both.elbow[1]


def test_rotations_are_rotations_of_known_joints(figure: Body, samples: list[Pose]) -> None:
    for pose in samples[:20]:
        rotations = posing.joint_rotations(pose, figure.reference.joints)
        assert set(rotations) <= set(figure.joint_index)
        for rotation in rotations.values():
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(rotation) > 0


def test_frontal_pose_is_symmetric_with_arms_away(figure: Body) -> None:
    placed = _skeleton(figure, posing.joint_rotations(poses.frontal_pose(), figure.reference.joints))
    for name, position in placed.items():
        if name.endswith(".L"):
            np.testing.assert_allclose(placed[name[:-1] + "R"] * [-1, 1, 1], position, atol=5e-3)
    shoulder, elbow, wrist = (placed[f"{name}.L"] for name in ("upperarm01", "lowerarm01", "wrist"))
    angle = np.rad2deg(np.arctan2(elbow[0] - shoulder[0], shoulder[2] - elbow[2]))
    assert abs(angle - poses.frontal_pose().arm_abduction[0]) < 3
    assert wrist[0] > shoulder[0] + 0.1
    # It faces -Y: the feet and the eyes do.
    assert placed["toe3-1.L"][1] < placed["foot.L"][1] - 0.1
    assert placed["eye.L"][1] < placed["head"][1] - 0.03


def test_angles_have_the_promised_signs(figure: Body) -> None:
    still = dataclasses.replace(poses.frontal_pose(), toe_out=(0.0, 0.0), elbow=(0.0, 0.0), head_pitch=0.0)
    rest = _skeleton(figure, posing.joint_rotations(still, figure.reference.joints))

    def placed(**changes: object) -> dict[str, np.ndarray]:
        return _skeleton(figure, posing.joint_rotations(dataclasses.replace(still, **changes), figure.reference.joints))

    assert placed(hip=(30.0, 0.0))["lowerleg01.L"][1] < rest["lowerleg01.L"][1] - 0.1  # forwards
    np.testing.assert_allclose(placed(hip=(30.0, 0.0))["foot.R"], rest["foot.R"], atol=1e-9)
    assert placed(knee=(0.0, 60.0))["foot.R"][1] > rest["foot.R"][1] + 0.2  # backwards
    assert placed(hip_abduction=(10.0, 10.0))["foot.R"][0] < rest["foot.R"][0] - 0.05
    assert placed(shoulder=(40.0, 0.0))["wrist.L"][1] < rest["wrist.L"][1] - 0.2
    assert placed(elbow=(90.0, 0.0))["wrist.L"][1] < rest["wrist.L"][1] - 0.15
    assert placed(head_yaw=40.0)["eye.L"][1] > rest["eye.L"][1] + 0.005  # the left eye goes back when looking left
    assert placed(head_pitch=30.0)["eye.L"][2] < rest["eye.L"][2] - 0.01
    assert placed(lean=10.0)["head"][1] < rest["head"][1] - 0.05
    assert placed(ankle=(15.0, 0.0))["toe3-1.L"][2] > rest["toe3-1.L"][2] + 0.02


def test_hanging_hands_stay_outside_the_hips(figure: Body) -> None:
    pose = dataclasses.replace(poses.frontal_pose(), arm_abduction=(2.0, 2.0))
    for clearance in (0.22, 0.28, 0.34):
        placed = _skeleton(figure, posing.joint_rotations(pose, figure.reference.joints, Girth(clearance)))
        assert placed["wrist.L"][0] > clearance - 0.03
        assert placed["wrist.R"][0] < -clearance + 0.03


def test_model_keeps_bone_lengths(figure: Body, samples: list[Pose]) -> None:
    """Bones of the posed body-models skeleton are as long as at rest, and it agrees with the slow loop."""
    rest = figure.reference
    joints = np.stack(list(rest.joints.values()))
    for pose in samples[:6]:
        # A joint's position is carried by the skinning of its parent: pose the joints as if they were vertices.
        transforms = person.pose_transforms(figure, rest, pose, Girth())
        parents = [max(parent, 0) for parent in figure.model.parents]
        posed = np.einsum("jrc,jc->jr", transforms[parents, :3, :3], joints) + transforms[parents, :3, 3]
        bones = np.linalg.norm(posed[1:] - posed[parents[1:]], axis=1)
        np.testing.assert_allclose(bones, np.linalg.norm(joints[1:] - joints[parents[1:]], axis=1), atol=1e-4)
        slow = _skeleton(figure, posing.joint_rotations(pose, rest.joints))
        shift = slow["root"] - posed[0]
        np.testing.assert_allclose(posed + shift, np.stack(list(slow.values())), atol=1e-4)


def test_hands_that_hold_something_are_free(samples: list[Pose]) -> None:
    assert {hand for pose in samples for hand in pose.hands} == set(poses.HANDS)
    for pose in samples:
        two = [hand for hand in pose.hands if hand in ("folded_under", "folded_over", "behind", "clasped")]
        assert len(two) in (0, 2)
        assert set(two) in (set(), {"folded_under", "folded_over"}, {"behind"}, {"clasped"})
    for seed in range(80):
        side = seed % 2
        for kind in ("handbag", "umbrella", "phone"):
            pose = poses.sample_pose(np.random.default_rng(seed), (_thing(kind, accessories.SIDES[side]),))
            assert pose.hands[side] == "free"
            assert pose.hands[1 - side] in ("free", "pocket", "hip")


def test_people_stand_and_walk_in_many_ways(samples: list[Pose]) -> None:
    standing = [pose for pose in samples if pose.kind == "stand"]
    assert any(max(pose.knee) > 12 for pose in standing)
    assert any(max(pose.knee) < 6 for pose in standing)
    assert any(min(pose.hip_abduction) > 0 for pose in standing)
    strides = [abs(pose.hip[0] - pose.hip[1]) for pose in samples if pose.kind == "walk"]
    assert max(strides) > 42 > 8 > min(strides)
    assert max(pose.lean for pose in samples) > 9
    assert min(pose.lean for pose in samples) < 0
