"""The rotations of a skeleton's joints in a pose: angles that fit any body, turned into those of one.

Hands that have a place on the body (in a pocket, on the hip, folded) are put there by inverse kinematics.
"""

import dataclasses
import math

import numpy as np

from render.geometry.surface import smoothstep
from render.people.poses import Pose

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
