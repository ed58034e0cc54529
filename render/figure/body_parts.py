"""Names of body parts and joints, alike for the open body and for SMPL: what part masks and 2-D joints are made of.

A vertex belongs to the joints that move it, by its skinning weights, and each joint belongs to one part.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from render.geometry.surface import GROUPS

_LIMBS = ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")
# What the numbers in a part mask mean. Left and right are the person's own. The head has the neck; "carried" is whatever
# stands away from body and clothes: bags, hats, umbrellas, glasses, scarves.
PARTS = ("none", "head", "torso", *(f"{side}_{limb}" for limb in _LIMBS for side in ("left", "right")), "carried")
CARRIED = PARTS.index("carried")

# Part -> joints of SMPL that move it, those of limbs without their side.
_SMPL = {
    "head": ("neck", "head"),
    "torso": ("pelvis", "spine1", "spine2", "spine3", "collar"),
    "upper_arm": ("shoulder",),
    "lower_arm": ("elbow",),
    "hand": ("wrist", "hand"),
    "upper_leg": ("hip",),
    "lower_leg": ("knee",),
    "foot": ("ankle", "foot"),
}


@dataclasses.dataclass(frozen=True)
class BodyJoint:
    """A joint whose place in the picture is told.

    Attributes:
        parts: Numbers of the parts that meet there.
        reach: Largest distance in depth, metres, between the joint and the surface over it, clothes included.
        open: Joints of the open body whose middle it is.
        smpl: The joint of SMPL.
    """

    parts: tuple[int, ...]
    reach: float
    open: tuple[str, ...]
    smpl: str


def _joint(reach: float, open_joints: Sequence[str], smpl: str, *parts: str) -> BodyJoint:
    return BodyJoint(tuple(PARTS.index(part) for part in parts), reach, tuple(open_joints), smpl)


def _pair(name: str, reach: float, open_joint: str, *parts: str) -> dict[str, BodyJoint]:
    """Return a joint on the left and one on the right."""
    return {
        f"{side}_{name}": _joint(
            reach,
            [f"{open_joint}.{side[0].upper()}"],
            f"{side}_{name}",
            *(part if part in PARTS else f"{side}_{part}" for part in parts),
        )
        for side in ("left", "right")
    }


JOINTS = {
    "pelvis": _joint(0.26, ("upperleg01.L", "upperleg01.R"), "pelvis", "torso", "left_upper_leg", "right_upper_leg"),
    "neck": _joint(0.2, ("neck01",), "neck", "head", "torso"),
    "head": _joint(0.22, ("head",), "head", "head"),
    **_pair("shoulder", 0.2, "upperarm01", "torso", "upper_arm"),
    **_pair("elbow", 0.15, "lowerarm01", "upper_arm", "lower_arm"),
    **_pair("wrist", 0.15, "wrist", "lower_arm", "hand"),
    **_pair("hip", 0.22, "upperleg01", "torso", "upper_leg"),
    **_pair("knee", 0.18, "lowerleg01", "upper_leg", "lower_leg"),
    **_pair("ankle", 0.18, "foot", "lower_leg", "foot"),
    **_pair("foot", 0.15, "toe3-1", "foot"),
}


def part_of_open_joint(joint: str) -> int:
    """Return the number of the part that a joint of the open body moves, such as "lowerarm01.L"."""
    group = next((name for name, prefixes in GROUPS.items() if joint.startswith(prefixes)), "head")
    if group in _LIMBS:
        return PARTS.index(f"{'left' if joint.endswith('.L') else 'right'}_{group}")
    return PARTS.index("torso" if group in ("trunk", "shoulder") else "head")


def part_of_smpl_joint(joint: str) -> int:
    """Return the number of the part that a joint of SMPL moves, such as "left_elbow"."""
    side, _, name = joint.rpartition("_")
    part = next(part for part, joints in _SMPL.items() if name in joints)
    return PARTS.index(part if part in PARTS else f"{side}_{part}")


def membership(joints: Sequence[str], weights: np.ndarray, part_of: Callable[[str], int]) -> np.ndarray:
    """Return how much vertices belong to every part, float32 [V P] with columns as `PARTS`.

    Args:
        joints: Names of the K joints that move them.
        weights: Skinning weights [V K].
        part_of: `part_of_open_joint` or `part_of_smpl_joint`.
    """
    columns = np.zeros((len(joints), len(PARTS)), np.float32)
    columns[np.arange(len(joints)), [part_of(joint) for joint in joints]] = 1.0
    return np.asarray(weights, np.float32) @ columns
