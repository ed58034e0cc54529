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
# Where a hand is: "free" hands go where the arm's angles take them, all others to a place on the person's own body.
HANDS = ("free", "pocket", "hip", "folded_under", "folded_over", "behind", "clasped")
_BOTH_HANDS = ("folded_under", "folded_over", "behind", "clasped")
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
        hands: Where the hands are, each one of `HANDS`; the angles of an arm whose hand is not "free" are not used.
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
    hands: tuple[str, str]
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
        hands=("free", "free"),
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
    kind = str(rng.choice(["walk", "stand", "carry", "pocket"], p=[0.5, 0.26, 0.09, 0.15]))
    phone = hand_side(accessories, "phone")
    kind = kind if phone is None else "phone"
    moving = kind != "stand" and (kind == "walk" or rng.uniform() < 0.6)
    phase = float(rng.uniform())
    amplitude = float(rng.triangular(0.5, 0.85, 1.25) if moving else 0.0)
    legs = _walking_legs(rng, phase, amplitude) if moving else _standing_legs(rng)
    arms = _swinging_arms(rng, np.array([phase, phase + 0.5]) % 1.0, amplitude * float(rng.uniform(0.3, 1.1)))
    head_pitch, head_yaw = rng.normal(2.0, 5.0), rng.normal(0.0, 14.0)
    # Few hold themselves straight: the trunk leans, and the head looks up against it.
    lean = float(np.clip(rng.normal(3.5, 3.0), -3.0, 12.0) + 2.0 * (amplitude - 0.8) * moving)
    head_pitch += 5.0 - 0.5 * lean
    busy = int(rng.integers(2))
    if phone is not None:
        arms.bend(rng, phone, shoulder=(12, 28), arm_abduction=(7, 14), elbow=(80, 108), forearm_in=(22, 36))
        arms.curl[phone] = 45.0
        head_pitch, head_yaw = rng.uniform(12.0, 26.0), rng.normal(0.0, 6.0) + (4.0 if phone == 0 else -4.0)
    elif kind == "carry":
        arms.bend(rng, busy, shoulder=(-4, 12), arm_abduction=(11, 18), elbow=(50, 92), forearm_in=(10, 26))
        arms.curl[busy] = 55.0
    held = _hold(rng, arms, accessories, moving)
    if kind == "phone" or (kind == "carry" and busy not in held):
        held.add(busy if phone is None else phone)
    hands = _place_hands(rng, kind, held)
    return Pose(
        kind=kind,
        hip=_pair(legs.hip),
        hip_abduction=_pair(legs.hip_abduction),
        toe_out=_pair(rng.uniform(0.0, 12.0, 2)),
        knee=_pair(legs.knee),
        ankle=_pair(legs.ankle),
        shoulder=_pair(arms.shoulder),
        arm_abduction=_pair(arms.arm_abduction),
        elbow=_pair(arms.elbow),
        forearm_in=_pair(arms.forearm_in),
        curl=_pair(arms.curl),
        hands=hands,
        twist=round(float(6.0 * np.cos(2 * np.pi * phase) * amplitude + rng.normal(0.0, 2.0)), 3),
        lean=round(lean, 3),
        sway=round(float(rng.normal(0.0, 1.5)), 3),
        head_pitch=round(float(head_pitch), 3),
        head_yaw=round(float(np.clip(head_yaw, -32.0, 32.0)), 3),
        head_tilt=round(float(rng.normal(0.0, 3.0)), 3),
    )


def _place_hands(rng: np.random.Generator, kind: str, held: set[int]) -> tuple[str, str]:
    """Draw where the hands are that hold nothing (`held`: 0 left, 1 right)."""
    hands = ["free", "free"]
    if kind == "pocket":
        hands = ["pocket", "pocket"]
        if rng.uniform() < 0.4:
            hands[int(rng.integers(2))] = "free"
    elif kind == "stand":
        posture = str(rng.choice(["free", "folded", "behind", "clasped", "hip"], p=[0.5, 0.2, 0.08, 0.12, 0.1]))
        if posture == "folded":
            hands = ["folded_under", "folded_over"][:: int(rng.choice([-1, 1]))]
        elif posture == "hip":
            hands[int(rng.integers(2))] = "hip"
        else:
            hands = [posture, posture]
    if held and hands[0] in _BOTH_HANDS:
        hands = ["free", "free"]
    return ("free" if 0 in held else hands[0]), ("free" if 1 in held else hands[1])


@dataclasses.dataclass(frozen=True)
class _Legs:
    """The angles of both legs, float64 [2] each (left, right), named as in `Pose`."""

    hip: np.ndarray
    hip_abduction: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray


_THIGH, _SHIN = 0.40, 0.433  # metres
_SPLAY = 5.4  # degrees: a leg at rest, outwards
_HEEL, _BALL, _ANKLE_HEIGHT = 0.055, 0.14, 0.075  # behind and before the ankle


def _reach(hip: float, knee: float, ankle: float) -> float:
    """Return how far below the hip a leg of usual size reaches, metres, for angles in degrees."""
    thigh, shin, foot = math.radians(hip), math.radians(hip - knee), math.radians(hip - knee + ankle)
    sole = _ANKLE_HEIGHT * math.cos(foot) + max(_HEEL * math.sin(foot), -_BALL * math.sin(foot))
    return _THIGH * math.cos(thigh) + _SHIN * math.cos(shin) + sole


def _walking_legs(rng: np.random.Generator, phase: float, amplitude: float) -> _Legs:
    """Draw legs in a phase of the gait cycle, the left's; whatever foot bears the body stands on the ground.

    The curves are those of a pelvis that tilts and turns. Ours does not, so the knee of the other leg bends until its
    foot touches the ground (while both feet do) or swings over it.
    """
    phases = np.array([phase, phase + 0.5]) % 1.0
    hip = np.interp(phases, _CYCLE, _HIP) * amplitude + rng.normal(0.0, 1.5, 2)
    knee = np.maximum(np.interp(phases, _CYCLE, _KNEE) * amplitude + rng.normal(0.0, 1.0, 2), 0.0)
    ankle = np.interp(phases, _CYCLE, _ANKLE) * amplitude
    bearing = int(phases[1] < 0.5)
    other = 1 - bearing
    if 0.1 < phases[bearing] < 0.42:  # flat on the ground
        ankle[bearing] = knee[bearing] - hip[bearing]
    ground = _reach(hip[bearing], knee[bearing], ankle[bearing])
    clear = 0.0 if phases[other] < 0.64 or phases[other] > 0.96 else 0.012
    for bend in np.arange(knee[other], knee[other] + 60.0):
        if _reach(hip[other], bend, ankle[other]) <= ground - clear:
            break
        knee[other] = bend
    return _Legs(hip, rng.uniform(-4.5, -1.5, 2), knee, ankle)


def _standing_legs(rng: np.random.Generator) -> _Legs:
    """Draw legs that stand: evenly, wide apart, or with the weight on one and the other set forward or aside."""
    hip, knee = rng.normal(0.0, 1.5, 2), np.abs(rng.normal(1.5, 1.5, 2))
    hip_abduction = rng.uniform(-5.0, -1.0, 2)
    stance = str(rng.choice(["even", "wide", "relaxed", "step"], p=[0.3, 0.15, 0.4, 0.15]))
    loose = int(rng.integers(2))
    if stance == "wide":
        hip_abduction = rng.uniform(0.0, 5.0, 2)
    elif stance == "relaxed":
        knee[loose] = rng.uniform(12.0, 26.0)
        hip[loose] = knee[loose] * rng.uniform(0.55, 0.8)
        hip_abduction[loose] += rng.uniform(0.0, 6.0)
    elif stance == "step":
        hip[loose], hip[1 - loose] = rng.uniform(8.0, 14.0), -rng.uniform(6.0, 10.0)
        knee[loose] = rng.uniform(3.0, 8.0)
    # The leg that reaches lower bends until both soles are on the ground.
    splay = np.cos(np.deg2rad(hip_abduction + _SPLAY))
    for _ in range(40):
        reach = [splay[leg] * _reach(hip[leg], knee[leg], knee[leg] - hip[leg]) for leg in (0, 1)]
        longer = int(reach[1] > reach[0])
        if reach[longer] - reach[1 - longer] < 0.003:
            break
        knee[longer] += 1.0
        hip[longer] += 0.55
    return _Legs(hip, hip_abduction, knee, knee - hip)


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
        curl=rng.uniform(28.0, 58.0, 2),
    )
    arms.elbow[:] += 0.6 * np.maximum(arms.shoulder, 0.0)
    return arms


def _hold(rng: np.random.Generator, arms: _Arms, accessories: Sequence[Accessory], moving: bool) -> set[int]:
    """Bend the arms so that they carry what the person has (in place), and return those arms (0 left, 1 right)."""
    free, busy = {0, 1}, set()
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
            busy.add(beside)
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
            busy.add(arm)
    return busy | ({0, 1} - free)


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


@dataclasses.dataclass(frozen=True)
class Girth:
    """How far the clothes reach around the trunk of a body at rest; hands keep outside.

    Attributes:
        clearance: Distance in metres that a hanging wrist keeps from the mid-plane: half the width of the hips, cloth
            included, plus half a hand.
        front, back: Places of belly and back along Y, metres.
    """

    clearance: float = 0.0
    front: float = -0.15
    back: float = 0.12


HALF_HAND = 0.072  # metres, with curled fingers


def joint_rotations(pose: Pose, joints: dict[str, np.ndarray], girth: Girth | None = None) -> dict[str, np.ndarray]:
    """Return the rotations [3 3] of the joints that a pose moves, in the rest pose's axes (X left, -Y forwards, Z up).

    Args:
        pose: The pose.
        joints: Joint name -> rest position [3] of this body.
        girth: How wide the body is in its clothes.

    Returns:
        Joint name -> rotation relative to its parent; absent joints stay at rest.
    """
    rotations: dict[str, np.ndarray] = {
        "spine05": _z(pose.twist * 0.3) @ _x(pose.lean * 0.4),
        "spine03": _z(pose.twist * 0.4) @ _x(pose.lean * 0.6) @ _y(pose.sway),
        "spine01": _z(pose.twist * 0.3),
    }
    girth = girth or Girth()
    for index, (side, outward) in enumerate((("L", 1.0), ("R", -1.0))):
        rotations[f"upperleg01.{side}"] = (
            _x(-pose.hip[index]) @ _y(-outward * pose.hip_abduction[index]) @ _z(outward * pose.toe_out[index])
        )
        rotations[f"lowerleg01.{side}"] = _x(pose.knee[index])
        # The sole stays level when the legs spread: the ankle undoes the hip's sideways turn.
        rotations[f"foot.{side}"] = _y(outward * pose.hip_abduction[index]) @ _x(-pose.ankle[index])

        heel_off = pose.knee[index] - pose.hip[index] - pose.ankle[index]
        for toe in (1, 2, 3, 4, 5):  # a shoe bends at the ball of the foot
            rotations[f"toe{toe}-1.{side}"] = _x(-0.6 * min(max(heel_off, 0.0), 40.0))
        if pose.hands[index] == "free":
            upper, lower, hand = _hanging_arm(pose, joints, girth.clearance, index)
        else:
            upper, lower, hand = _placed_arm(pose.hands[index], joints, girth, index, rotations)
        rotations |= _arm_rotations(joints, side, upper, lower, hand)
        rotations |= _finger_rotations(pose, joints, index)
    rotations["neck01"] = _z(pose.head_yaw * 0.25 - pose.twist * 0.5) @ _x(pose.head_pitch * 0.3)
    rotations["neck02"] = _z(pose.head_yaw * 0.25)
    rotations["head"] = _z(pose.head_yaw * 0.5 - pose.twist * 0.5) @ _x(pose.head_pitch * 0.7) @ _y(pose.head_tilt)
    return rotations


def _hanging_arm(
    pose: Pose, joints: dict[str, np.ndarray], clearance: float, index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions [3] of upper arm, forearm and hand by the angles of a pose (arm 0 left, 1 right)."""
    side, outward = ("L", 1.0) if index == 0 else ("R", -1.0)
    shoulder, elbow, wrist = (joints[f"{name}.{side}"] for name in ("upperarm01", "lowerarm01", "wrist"))
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
    return upper, lower, lower


def _placed_arm(
    place: str, joints: dict[str, np.ndarray], girth: Girth, index: int, spine: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions [3] of upper arm, forearm and hand that bring a hand to a place, one of `HANDS`.

    Args:
        place: The place.
        joints: As in `joint_rotations`.
        girth: How wide the body is in its clothes.
        index: The arm, 0 left, 1 right.
        spine: The rotations of the spine, which take the shoulders away from places at the pelvis.
    """
    side = "LR"[index]
    outward = np.array([1.0 if index == 0 else -1.0, 1.0, 1.0])
    shoulder, elbow, wrist = (joints[f"{name}.{side}"] for name in ("upperarm01", "lowerarm01", "wrist"))
    hip, width = joints[f"upperleg01.{side}"], girth.clearance - HALF_HAND
    chest = shoulder[2] - 0.24
    # Where the wrist goes, on the left side; where the elbow points to; where the hand points to.
    target, pole, hand = {
        "pocket": ((width - 0.012, hip[1] - 0.035, hip[2] + 0.045), (0.6, 0.8, 0.0), (-0.42, -0.35, -0.85)),
        "hip": ((width + 0.005, hip[1] - 0.005, hip[2] + 0.125), (1.0, 0.35, 0.0), (-0.35, -0.9, -0.3)),
        "folded_under": ((-0.01, girth.front - 0.035, chest + 0.02), (0.85, -0.1, -0.5), (-0.95, 0.2, 0.1)),
        "folded_over": ((0.0, girth.front - 0.075, chest - 0.005), (0.85, -0.1, -0.5), (-0.95, 0.25, 0.15)),
        "behind": ((0.03, girth.back + 0.03, hip[2] + 0.07), (0.8, 0.6, 0.0), (-0.75, 0.1, -0.65)),
        "clasped": ((0.055, girth.front - 0.045, hip[2] + 0.0), (0.9, 0.4, 0.0), (-0.6, -0.05, -0.8)),
    }[place]
    goal = outward * target
    if place not in ("folded_under", "folded_over"):  # on the pelvis: seen from the chest
        for joint in ("spine05", "spine03", "spine01"):
            goal = joints[joint] + spine[joint].T @ (goal - joints[joint])
    first, second = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    way = goal - shoulder
    distance = float(np.clip(np.linalg.norm(way), abs(first - second) + 0.02, 0.995 * (first + second)))
    along = way / np.linalg.norm(way)
    aside = outward * pole - along * float(along @ (outward * pole))
    aside /= np.linalg.norm(aside)
    near = (first**2 - second**2 + distance**2) / (2 * distance)
    bent = near * along + math.sqrt(max(first**2 - near**2, 0.0)) * aside
    lower = along * distance - bent
    direction = outward * hand
    return bent / first, lower / np.linalg.norm(lower), direction / np.linalg.norm(direction)


def _arm_rotations(
    joints: dict[str, np.ndarray], side: str, upper: np.ndarray, lower: np.ndarray, hand: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the rotations of the joints of an arm from the directions [3] of its parts."""
    shoulder, elbow = joints[f"upperarm01.{side}"], joints[f"lowerarm01.{side}"]
    wrist, knuckle = joints[f"wrist.{side}"], joints[f"finger3-1.{side}"]
    whole, first, rest = _between(elbow - shoulder, upper, 1.0, 0.3, 0.7)
    (forearm,) = _between(wrist - elbow, whole.T @ lower)
    (turn,) = _between(knuckle - wrist, (whole @ forearm).T @ hand, 0.8)
    return {
        f"shoulder01.{side}": first,
        f"upperarm01.{side}": rest,
        f"lowerarm01.{side}": forearm,
        f"wrist.{side}": turn,
    }


def _finger_rotations(pose: Pose, joints: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """Return the rotations of the fingers of a hand: curled, and beside each other instead of spread as at rest."""
    side, outward = ("L", 1.0) if index == 0 else ("R", -1.0)
    rotations: dict[str, np.ndarray] = {}
    bends = [_y(outward * pose.curl[index] * share) for share in (0.5, 0.8, 0.8)]
    middle = joints[f"finger3-3.{side}"] - joints[f"finger3-1.{side}"]
    for finger in (2, 3, 4, 5):
        (together,) = _between(joints[f"finger{finger}-3.{side}"] - joints[f"finger{finger}-1.{side}"], middle, 0.75)
        for phalanx in (1, 2, 3):
            bend = bends[phalanx - 1]
            rotations[f"finger{finger}-{phalanx}.{side}"] = bend @ together if phalanx == 1 else bend
    (rotations[f"finger1-1.{side}"],) = _between(
        joints[f"finger1-3.{side}"] - joints[f"finger1-1.{side}"], middle, 0.35
    )
    return rotations
