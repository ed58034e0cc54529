"""Bags that hang from the shoulders: backpacks and shoulder bags."""

import functools
import math

import numpy as np

from render.accessories.anchors import Anchors, cast, region_vertices
from render.accessories.shape import EXTRA, HARD, MAIN, SATCHEL, SOFT, STRAP, UP, Shape, box, unit
from render.accessories.straps import around_trunk, strap
from render.accessories.wearer import Frame, Wearer, sign_of
from render.people.accessories import Accessory


def backpack(accessory: Accessory, wearer: Wearer) -> Shape:
    """A backpack that lies against the actual back, turns with the chest, and hangs from one shoulder or both."""
    sign, size = sign_of(accessory), accessory.size
    flip = np.array([sign, 1.0, 1.0])
    chest = wearer.frame("spine01")
    length = float(wearer.rest.joints["neck01"][2] - wearer.rest.joints["root"][2]) / 0.569
    one_strap = accessory.variant == "one_strap"
    half = np.array([0.155 * size, 0.075 * size, 0.225 * size * (0.5 + 0.5 * length)])
    top = 0.085 * length - (0.03 if one_strap else 0.0)  # over spine01, which lies between the shoulder blades
    slope, rest = _back_line(wearer, chest, half, top)
    tilt = math.atan(slope)
    pack = box(half, 14, SOFT)
    pocket = box((0.8 * half[0], 0.42 * half[1], 0.46 * half[2]), 10, (HARD[0], (0.8, 1.0, 1.0), *HARD[2:]))
    pocket += [0.0, 1.12 * half[1], -0.42 * half[2]]
    across = np.array([[math.cos(0.12), -math.sin(0.12)], [math.sin(0.12), math.cos(0.12)]])
    shape = Shape()
    for part, region in ((pack, MAIN), (pocket, EXTRA)):
        part[..., 1] += half[1] * np.where(part[..., 1] < 0.0, 0.9, 1.0)  # flat against the back
        part[..., 2] -= half[2]
        if one_strap:
            part[..., ::2] = part[..., ::2] @ across
            part[..., 0] += 0.045
        y, z = part[..., 1].copy(), part[..., 2].copy()
        part[..., 1] = rest + slope * top + math.cos(tilt) * y + math.sin(tilt) * z
        part[..., 2] = top - math.sin(tilt) * y + math.cos(tilt) * z
        shape.tube(chest.world(part * flip), region)
    for side in (sign,) if one_strap else (sign, -sign):
        shape.tube(strap(wearer, "backpack", side, 0.009), STRAP)
    return shape


def _back_line(wearer: Wearer, chest: Frame, half: np.ndarray, top: float) -> tuple[float, float]:
    """Fit the straight line in the chest's frame that lies against the back behind a backpack.

    Args:
        wearer: Who wears the backpack.
        chest: The chest's frame.
        half: Half the width, depth and height of the backpack.
        top: Height of its upper edge in the chest's frame.

    Returns:
        Slope of the line, and its depth (y) at height 0.
    """
    back = np.concatenate([wearer.vertices[region_vertices("back")], wearer.cloth])
    back = chest.local(back)
    back = back[
        (np.abs(back[:, 0]) < 0.8 * half[0]) & (np.abs(back[:, 2] - top + half[2]) < half[2]) & (back[:, 1] > 0.0)
    ]
    levels = np.linspace(top - 2.0 * half[2], top, 7)
    row = np.clip(np.searchsorted(levels, back[:, 2]) - 1, 0, 5)
    profile = np.array([back[row == k, 1].max(initial=-1.0) for k in range(6)])
    heights = (levels[:-1] + levels[1:]) / 2
    found = profile > -1.0
    slope = float(np.clip(np.polyfit(heights[found], profile[found], 1)[0], -0.3, 0.25))
    return slope, float((profile - slope * heights)[found].max()) - 0.006


def shoulder_bag(accessory: Accessory, wearer: Wearer) -> Shape:
    """A bag at the hip; its strap runs over one shoulder, straight down or across the chest."""
    size, across = accessory.size, accessory.variant == "across"
    shoulder = sign_of(accessory)
    side = -shoulder if across else shoulder  # of the hip that the bag lies against
    half = np.array([0.14, 0.04, 0.115] if across else [0.155, 0.042, 0.12]) * size
    # Where it hangs is its owner's habit: behind the hip, or beside it.
    behind = 104.0 + 10.0 * (accessory.seed % 4)
    anchor = _hip(side, behind if across else 102.0, 0.10 if across else 0.17)
    point, outward = anchor.points(wearer)[0], anchor.normals(wearer)[0] * [1.0, 1.0, 0.0]
    outward = unit(outward)
    frame = Frame(np.stack([side * np.cross(outward, UP), outward, UP], axis=1), point - [0.0, 0.0, half[2]])
    near = frame.local(np.concatenate([wearer.vertices[region_vertices("trunk")], wearer.cloth]))
    near = near[(np.abs(near[:, 0]) < 0.75 * half[0]) & (np.abs(near[:, 2]) < half[2])]
    rest = min(float(near[:, 1].max(initial=-0.02)), 0.06) - 0.004
    shape = Shape()
    bag = box(half, 14, SOFT if across else SATCHEL, 5.0)
    bag[..., 1] += half[1] + rest
    shape.tube(frame.world(bag), MAIN)
    if across:
        flap = box((0.98 * half[0], 0.25 * half[1], 0.36 * half[2]), 10, HARD)
        flap += [0.0, 1.8 * half[1] + rest, 0.55 * half[2]]
        shape.tube(frame.world(flap), EXTRA)
    ends = frame.world(np.array([[x * half[0], half[1] + rest, 0.9 * half[2]] for x in (0.85, -0.85)]))
    front, rear = ends[np.argsort(ends[:, 1])]
    shape.tube(strap(wearer, accessory.variant, shoulder, 0.005, front, rear), STRAP)
    return shape


@functools.cache
def _hip(side: float, degrees: float, height: float) -> Anchors:
    """One anchor [1] on the hips.

    Args:
        side: 1 for the left side, -1 for the right one.
        degrees: Direction from the middle of the body: 0 is the front, 90 the side.
        height: Height in metres.
    """
    ray = around_trunk(degrees, degrees, np.array([height]))[0]
    flip = np.array([side, 1.0, 1.0])
    return cast(ray[None, :3] * flip, ray[None, 3:] * flip, head=False)
