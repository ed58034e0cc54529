"""Poses of pedestrians: walking, standing, carrying, looking at a phone; and the fixed frontal pose of PIT pairs.

A pose is a handful of joint angles in degrees that fit any body; `render.people.posing` turns them into rotations for one
body's skeleton. The gait curves are hip, knee and ankle flexion over one cycle of normal level walking, read off the
textbook curves (J. Perry, Gait Analysis, 1992) and starting at heel strike.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

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
        if accessory.kind in ("handbag", "tote", "shopping_bag", "briefcase", "papers", "folded_umbrella"):
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
