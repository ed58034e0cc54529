"""Poses of pedestrians: walking, standing, carrying, looking at a phone; and the fixed frontal pose of PIT pairs.

A pose is a handful of joint angles in degrees that fit any body; `joint_rotations` turns them into rotations for one
body's skeleton. The gait curves are hip, knee and ankle flexion over one cycle of normal level walking, read off the
textbook curves (J. Perry, Gait Analysis, 1992) and starting at heel strike.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from render.geometry.surface import smoothstep
from render.people.accessories import PLACES, SIDES, Accessory, hand_side

KINDS = ("walk", "stand", "carry", "phone", "pocket", "frontal")
Pair = tuple[float, float]  # left, right

_CYCLE = np.linspace(0.0, 1.0, 11)
_HIP = (28.0, 24.0, 14.0, 3.0, -7.0, -11.0, -2.0, 15.0, 28.0, 32.0, 28.0)
_KNEE = (5.0, 16.0, 15.0, 9.0, 7.0, 15.0, 38.0, 60.0, 46.0, 15.0, 5.0)
_ANKLE = (0.0, -5.0, 2.0, 7.0, 10.0, 2.0, -16.0, -8.0, 0.0, 2.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Joint angles in degrees; pairs are (left, right).

    Attributes:
        kind: One of `KINDS`.
        hip: Flexion, forwards positive.
        hip_abduction: Leg, outwards positive; in the rest pose (0) the feet are a shoulder's width apart.
        toe_out: Turn of the leg outwards.
        knee: Flexion.
        ankle: Foot, toes up positive.
        shoulder: Upper arm from hanging straight down, forwards positive.
        arm_abduction: Upper arm from hanging straight down, outwards positive.
        elbow: Flexion.
        forearm_in: Turn of the forearm across the body.
        curl: Flexion of the fingers.
        twist: Turn of the chest against the pelvis, to the left positive.
        lean: Trunk, forwards positive.
        sway: Trunk, to the left positive.
        head_pitch: Head, looking down positive.
        head_yaw: Head, looking to the left positive.
        head_tilt: Head, towards the left shoulder positive.
    """

    kind: str
    hip: Pair
    hip_abduction: Pair
    toe_out: Pair
    knee: Pair
    ankle: Pair
    shoulder: Pair
    arm_abduction: Pair
    elbow: Pair
    forearm_in: Pair
    curl: Pair
    twist: float
    lean: float
    sway: float
    head_pitch: float
    head_yaw: float
    head_tilt: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: tuples become lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Pose":
        """Return the pose whose `to_json` is `fields`."""
        converted: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**converted)

    def mirrored(self) -> "Pose":
        """Return the pose in a mirror: left and right change places, turns change their sign."""
        swapped: dict[str, Any] = {
            name: value[::-1] if isinstance(value, tuple) else value for name, value in vars(self).items()
        }
        for name in ("twist", "sway", "head_yaw", "head_tilt"):
            swapped[name] = -swapped[name]
        return Pose(**swapped)


def frontal_pose() -> Pose:
    """Return the fixed pose of the frontal view: upright, facing the camera, arms a little away from the body."""
    return Pose(
        kind="frontal",
        hip=(0.0, 0.0),
        hip_abduction=(-1.0, -1.0),
        toe_out=(5.0, 5.0),
        knee=(0.0, 0.0),
        ankle=(0.0, 0.0),
        shoulder=(0.0, 0.0),
        arm_abduction=(24.0, 24.0),
        elbow=(8.0, 8.0),
        forearm_in=(0.0, 0.0),
        curl=(18.0, 18.0),
        twist=0.0,
        lean=0.0,
        sway=0.0,
        head_pitch=2.0,
        head_yaw=0.0,
        head_tilt=0.0,
    )


def sample_pose(rng: np.random.Generator, accessories: Sequence[Accessory] = ()) -> Pose:
    """Draw a pedestrian's pose; most of them walk.

    Args:
        rng: Source of every choice.
        accessories: What the person carries: an umbrella is held up, bags hang from a nearly straight arm, and a phone
            is looked at.
    """
    kind = str(rng.choice(["walk", "stand", "carry", "pocket"], p=[0.62, 0.19, 0.1, 0.09]))
    phone = hand_side(accessories, "phone")
    kind = kind if phone is None else "phone"
    moving = kind != "stand" and (kind == "walk" or rng.uniform() < 0.6)
    phase = float(rng.uniform())
    amplitude = float(rng.uniform(0.65, 1.1) if moving else rng.uniform(0.0, 0.1))
    phases = np.array([phase, phase + 0.5]) % 1.0
    hip = np.interp(phases, _CYCLE, _HIP) * amplitude + rng.normal(0.0, 1.5, 2)
    knee = np.maximum(np.interp(phases, _CYCLE, _KNEE) * amplitude + rng.normal(0.0, 1.0, 2), 0.0)
    ankle = np.interp(phases, _CYCLE, _ANKLE) * amplitude
    hip_abduction = rng.uniform(-4.5, -2.0, 2) if moving else rng.uniform(-4.0, 1.0, 2)
    arms = _swinging_arms(rng, phases, amplitude)
    head_pitch, head_yaw = rng.normal(2.0, 5.0), rng.normal(0.0, 14.0)
    busy = int(rng.integers(2))
    if phone is not None:
        arms.bend(rng, phone, shoulder=(12, 28), arm_abduction=(7, 14), elbow=(80, 108), forearm_in=(22, 36))
        arms.curl[phone] = 45.0
        head_pitch, head_yaw = rng.uniform(12.0, 26.0), rng.normal(0.0, 6.0) + (4.0 if phone == 0 else -4.0)
    elif kind == "carry":
        arms.bend(rng, busy, shoulder=(-4, 12), arm_abduction=(11, 18), elbow=(50, 92), forearm_in=(10, 26))
        arms.curl[busy] = 55.0
    elif kind == "pocket":
        for arm in (0, 1):
            arms.bend(rng, arm, shoulder=(-14, -6), arm_abduction=(13, 18), elbow=(38, 52), forearm_in=(10, 16))
    _hold(rng, arms, accessories, moving)
    return Pose(
        kind=kind,
        hip=_pair(hip),
        hip_abduction=_pair(hip_abduction),
        toe_out=_pair(rng.uniform(0.0, 9.0, 2)),
        knee=_pair(knee),
        ankle=_pair(ankle),
        shoulder=_pair(arms.shoulder),
        arm_abduction=_pair(arms.arm_abduction),
        elbow=_pair(arms.elbow),
        forearm_in=_pair(arms.forearm_in),
        curl=_pair(arms.curl),
        twist=round(float(6.0 * np.cos(2 * np.pi * phase) * amplitude), 3),
        lean=round(float(rng.normal(2.0, 1.5)), 3),
        sway=round(float(rng.normal(0.0, 1.5)), 3),
        head_pitch=round(float(head_pitch), 3),
        head_yaw=round(float(np.clip(head_yaw, -32.0, 32.0)), 3),
        head_tilt=round(float(rng.normal(0.0, 3.0)), 3),
    )


@dataclasses.dataclass(frozen=True)
class _Arms:
    """The angles of both arms, float64 [2] each (left, right), named as in `Pose`; changed in place."""

    shoulder: np.ndarray
    arm_abduction: np.ndarray
    elbow: np.ndarray
    forearm_in: np.ndarray
    curl: np.ndarray

    def bend(self, rng: np.random.Generator, arm: int, **ranges: Pair) -> None:
        """Draw angles of one arm anew, each within its range."""
        for name, (low, high) in ranges.items():
            getattr(self, name)[arm] = rng.uniform(low, high)


def _swinging_arms(rng: np.random.Generator, phases: np.ndarray, amplitude: float) -> _Arms:
    """Draw arms that swing against the legs, whose phases [2] of the gait cycle these are."""
    arms = _Arms(
        shoulder=-26.0 * np.cos(2 * np.pi * phases) * amplitude + rng.normal(-2.0, 3.5, 2),
        arm_abduction=rng.uniform(6.0, 13.0, 2),
        elbow=rng.uniform(8.0, 26.0, 2),
        forearm_in=rng.uniform(2.0, 14.0, 2),
        curl=rng.uniform(18.0, 42.0, 2),
    )
    arms.elbow[:] += 0.6 * np.maximum(arms.shoulder, 0.0)
    return arms


def _hold(rng: np.random.Generator, arms: _Arms, accessories: Sequence[Accessory], moving: bool) -> None:
    """Bend the arms so that they carry what the person has (in place)."""
    free = {0, 1}
    for accessory in accessories:
        arm = SIDES.index(accessory.side)
        if accessory.kind in ("handbag", "tote", "shopping_bag", "briefcase", "folded_umbrella"):
            swing = 0.3 * arms.shoulder[arm]
            arms.bend(rng, arm, arm_abduction=(8, 14), elbow=(4, 12), forearm_in=(0, 4), curl=(72, 80))
            arms.shoulder[arm] = swing
        elif accessory.kind == "suitcase":
            back = (-30, -22) if moving else (-16, -8)
            arms.bend(rng, arm, shoulder=back, arm_abduction=(8, 12), elbow=(4, 9), forearm_in=(0, 3), curl=(72, 80))
        elif accessory.kind == "umbrella":
            up = (22, 34)
            arms.bend(rng, arm, shoulder=up, arm_abduction=(3, 8), elbow=(104, 120), forearm_in=(-4, 8), curl=(78, 86))
        elif accessory.kind != "phone":
            continue
        free.discard(arm)
    for accessory in accessories:
        arm = SIDES.index(accessory.side)
        if accessory.kind == "shoulder_bag":
            # The arm beside the bag keeps in front of it: the bag is under it, or behind the other hip.
            beside = arm if accessory.variant == "shoulder" else 1 - arm
            if beside in free and accessory.variant == "shoulder":
                arms.bend(rng, beside, shoulder=(8, 16), arm_abduction=(12, 17), elbow=(30, 48), forearm_in=(4, 12))
            elif beside in free:
                swing = 8.0 + 0.5 * arms.shoulder[beside]
                arms.bend(rng, beside, arm_abduction=(11, 16), elbow=(14, 28), forearm_in=(2, 10))
                arms.shoulder[beside] = swing
        if accessory.kind in PLACES["back"] and arm in free and rng.uniform() < 0.15:
            # A thumb behind the strap, in front of the shoulder.
            arms.bend(rng, arm, shoulder=(-6, 4), arm_abduction=(8, 14), elbow=(138, 146), forearm_in=(8, 16))
            arms.curl[arm] = 70.0


def _pair(values: np.ndarray) -> Pair:
    return round(float(values[0]), 3), round(float(values[1]), 3)


# Rotation matrices [3 3], computed by hand: SciPy's Rotation would take ten times as long for sixty joints.


def _x(degrees: float) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def _y(degrees: float) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _z(degrees: float) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _between(source: np.ndarray, target: np.ndarray, *shares: float) -> list[np.ndarray]:
    """Return the smallest rotation that turns direction [3] `source` into `target`, or given shares of its angle."""
    (a, b, c), (d, e, f) = source, target
    x, y, z = float(b * f - c * e), float(c * d - a * f), float(a * e - b * d)
    length = math.sqrt(x * x + y * y + z * z)
    whole = math.atan2(length, float(a * d + b * e + c * f))
    length = max(length, 1e-12)
    x, y, z = x / length, y / length, z / length
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    squared = cross @ cross
    # Rodrigues' formula.
    return [
        np.eye(3) + math.sin(share * whole) * cross + (1.0 - math.cos(share * whole)) * squared
        for share in shares or (1.0,)
    ]


def joint_rotations(pose: Pose, joints: dict[str, np.ndarray], clearance: float = 0.0) -> dict[str, np.ndarray]:
    """Return the rotations [3 3] of the joints that a pose moves, in the rest pose's axes (X left, -Y forwards, Z up).

    Args:
        pose: The pose.
        joints: Joint name -> rest position [3] of this body.
        clearance: Distance in metres that a hanging wrist keeps from the mid-plane: half the width of the hips, cloth
            included, plus half a hand.

    Returns:
        Joint name -> rotation relative to its parent; absent joints stay at rest.
    """
    rotations: dict[str, np.ndarray] = {}
    for index, (side, outward) in enumerate((("L", 1.0), ("R", -1.0))):
        rotations[f"upperleg01.{side}"] = (
            _x(-pose.hip[index]) @ _y(-outward * pose.hip_abduction[index]) @ _z(outward * pose.toe_out[index])
        )
        rotations[f"lowerleg01.{side}"] = _x(pose.knee[index])
        # The sole stays level when the legs spread: the ankle undoes the hip's sideways turn.
        rotations[f"foot.{side}"] = _y(outward * pose.hip_abduction[index]) @ _x(-pose.ankle[index])

        rotations |= _arm_rotations(pose, joints, clearance, index)
    rotations["spine05"] = _z(pose.twist * 0.3) @ _x(pose.lean * 0.4)
    rotations["spine03"] = _z(pose.twist * 0.4) @ _x(pose.lean * 0.6) @ _y(pose.sway)
    rotations["spine01"] = _z(pose.twist * 0.3)
    rotations["neck01"] = _z(pose.head_yaw * 0.25 - pose.twist * 0.5) @ _x(pose.head_pitch * 0.3)
    rotations["neck02"] = _z(pose.head_yaw * 0.25)
    rotations["head"] = _z(pose.head_yaw * 0.5 - pose.twist * 0.5) @ _x(pose.head_pitch * 0.7) @ _y(pose.head_tilt)
    return rotations


def _arm_rotations(pose: Pose, joints: dict[str, np.ndarray], clearance: float, index: int) -> dict[str, np.ndarray]:
    """Return the rotations of one arm (0 left, 1 right), as `joint_rotations` does."""
    side, outward = ("L", 1.0) if index == 0 else ("R", -1.0)
    rotations: dict[str, np.ndarray] = {}
    shoulder, elbow = joints[f"upperarm01.{side}"], joints[f"lowerarm01.{side}"]
    wrist, knuckle = joints[f"wrist.{side}"], joints[f"finger3-1.{side}"]
    length = float(np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow))
    swing, flexion = pose.shoulder[index], pose.elbow[index]
    # A hand that hangs beside the hip must stay outside it; swung away in front or behind it need not.
    beside = float(1.0 - smoothstep(np.asarray(abs(swing + flexion / 2)), 8.0, 40.0))
    least = np.rad2deg(np.arcsin(np.clip((clearance - abs(shoulder[0])) / length, 0.0, 0.6)))
    abduction = max(pose.arm_abduction[index], least * (0.35 + 0.65 * beside))
    down = np.array([0.0, 0.0, -1.0])
    upper = _y(-outward * abduction) @ _x(-swing) @ down
    inward = _z(-outward * pose.forearm_in[index] * min(1.0, flexion / 30.0))
    lower = _y(-outward * abduction * 0.7) @ inward @ _x(-swing - flexion) @ down
    whole, first, rest = _between(elbow - shoulder, upper, 1.0, 0.3, 0.7)
    rotations[f"shoulder01.{side}"], rotations[f"upperarm01.{side}"] = first, rest
    (forearm,) = _between(wrist - elbow, whole.T @ lower)
    rotations[f"lowerarm01.{side}"] = forearm
    (hand,) = _between(knuckle - wrist, (whole @ forearm).T @ lower, 0.8)
    rotations[f"wrist.{side}"] = hand
    bends = [_y(outward * pose.curl[index] * share) for share in (0.5, 0.8, 0.8)]
    for finger in (2, 3, 4, 5):
        for phalanx in (1, 2, 3):
            rotations[f"finger{finger}-{phalanx}.{side}"] = bends[phalanx - 1]
    return rotations
