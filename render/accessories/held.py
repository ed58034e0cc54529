"""Things held in a hand: hand bags, suitcases, papers, umbrellas and phones.

What hangs from a hand hangs straight down, whichever way the forearm points.
"""

import math

import numpy as np

from render.accessories.anchors import region_vertices
from render.accessories.shape import EXTRA, HARD, MAIN, OPEN, STRAP, UP, BoxRow, Shape, box, handle, rope, unit
from render.accessories.wearer import Frame, Wearer, sign_of, suffix_of
from render.people.accessories import Accessory

_FORWARDS = np.array([0.0, -1.0, 0.0])

# Kind -> half the width, depth and height; drop of the upper edge below the hand; rows of the box. All in metres.
_HAND_BAGS: dict[str, tuple[tuple[float, float, float], float, tuple[BoxRow, ...]]] = {
    "handbag": (
        (0.15, 0.06, 0.10),
        0.12,
        ((1.0, 0.75, 0.3), (0.9, 0.85, 0.5), (0.1, 0.97, 0.9), (-0.9, 1.0, 1.0), (-1.0, 0.92, 0.8)),
    ),
    "tote": ((0.175, 0.045, 0.18), 0.17, OPEN),
    "shopping_bag": ((0.16, 0.055, 0.19), 0.12, OPEN),
    "briefcase": ((0.205, 0.045, 0.145), 0.045, HARD),
}


def _grip(accessory: Accessory, wearer: Wearer) -> tuple[np.ndarray, np.ndarray]:
    """Where closed fingers hold something [3], and the direction [3] of what they hold, towards the index finger."""
    suffix = suffix_of(accessory)
    middle = []
    for finger in (2, 3, 4, 5):
        first, second, third = (wearer.joint(f"finger{finger}-{phalanx}.{suffix}") for phalanx in (1, 2, 3))
        middle.append(second + 0.024 * unit((first + third) / 2 - second))
    return np.mean(middle, axis=0), unit(middle[0] - middle[3])


def _hanging(accessory: Accessory, wearer: Wearer, half: np.ndarray, drop: float) -> Frame:
    """Frame of a thing that hangs from the hand: x along it (forwards), y away from the leg, z up, origin at the grip.

    Args:
        accessory: What hangs.
        wearer: Who holds it.
        half: Half its length, thickness and height.
        drop: How far below the grip its upper edge is.
    """
    grip, axis = _grip(accessory, wearer)
    side = sign_of(accessory)
    angle = math.atan2(side * axis[0], -axis[1])  # of the fist, from forwards to outwards
    angle = float(np.clip(math.remainder(angle, math.pi), -0.45, 0.45))
    forwards = np.array([side * math.sin(angle), -math.cos(angle), 0.0])
    frame = Frame(np.stack([forwards, side * np.cross(UP, forwards), UP], axis=1), grip)
    # It leans on the leg where the hand is too near.
    near = frame.local(np.concatenate([wearer.vertices[region_vertices(f"leg.{suffix_of(accessory)}")], wearer.cloth]))
    depth = -near[:, 2]
    near = near[(np.abs(near[:, 0]) < half[0]) & (depth > drop) & (depth < drop + 2.0 * half[2])]
    lean = float(((near[:, 1] + half[1]) / np.maximum(-near[:, 2], 0.1)).max(initial=0.0))
    lean = math.atan(min(max(lean, 0.0), 0.2))
    outwards = frame.axes[:, 1] * math.cos(lean) + UP * math.sin(lean)
    return Frame(np.stack([forwards, outwards, UP * math.cos(lean) - frame.axes[:, 1] * math.sin(lean)], axis=1), grip)


def hand_bag(accessory: Accessory, wearer: Wearer) -> Shape:
    """A hand bag, tote bag or shopping bag on two handles, or a briefcase on one."""
    usual, drop, rows = _HAND_BAGS[accessory.kind]
    half = np.asarray(usual) * accessory.size
    grip = _grip(accessory, wearer)[0]
    half[2] = min(half[2], (grip[2] - drop - 0.06) / 2)  # off the ground, on short persons too
    frame = _hanging(accessory, wearer, half, drop)
    shape = Shape()
    bag = box(half, 14, rows, 6.0 if accessory.kind == "briefcase" else 4.0)
    shape.tube(frame.world(bag - [0.0, 0.0, drop + half[2]]), MAIN)
    if accessory.kind == "briefcase":
        shape.tube(frame.world(handle(0.07, 0.0, drop + 0.01, 0.009)), STRAP)
    else:
        for depth in (0.45 * half[1], -0.45 * half[1]):
            shape.tube(frame.world(handle(0.5 * half[0], depth, drop + 0.03, 0.007)), STRAP)
    return shape


def suitcase(accessory: Accessory, wearer: Wearer) -> Shape:
    """A suitcase on wheels that is pulled behind. It is out of a detector's box."""
    grip = _grip(accessory, wearer)[0]
    length, wheel, near = max(1.0, float(grip[2])), 0.035, 0.03
    # It leans forwards until the handle is in the hand and the wheels are on the ground.
    lean = math.acos((grip[2] - wheel) / math.hypot(length, near)) - math.atan2(near, length)
    up = np.array([0.0, -math.sin(lean), math.cos(lean)])
    back = np.array([0.0, math.cos(lean), math.sin(lean)])
    frame = Frame(np.stack([sign_of(accessory) * np.array([1.0, 0.0, 0.0]), back, up], axis=1), grip - length * up)
    size = accessory.size
    half = np.array([0.17 * size, 0.10 * size, 0.27 * size])
    shape = Shape(in_box=False)
    case = box(half, 14, HARD, 6.0)
    shape.tube(frame.world(case + np.array([0.0, half[1], half[2] + 0.04])), MAIN)
    pocket = box((0.85 * half[0], 0.2 * half[1], 0.7 * half[2]), 10, HARD, 6.0)
    shape.tube(frame.world(pocket + np.array([0.0, 2.05 * half[1], half[2] + 0.02])), EXTRA)
    for x in (-0.085, 0.085):
        pole = np.array([[x, 0.02, 2.0 * half[2]], [x, 0.0, length]])
        shape.tube(frame.world(rope(pole, np.full(2, 0.007))), STRAP)
        angle = np.arange(8) * (np.pi / 4)
        ring = np.stack([np.zeros(8), near + wheel * np.cos(angle), wheel * np.sin(angle)], axis=1)
        ring += [np.sign(x) * 0.8 * half[0], 0.0, 0.0]
        shape.tube(frame.world(np.stack([ring - [0.012, 0.0, 0.0], ring - [-0.012, 0.0, 0.0]])), STRAP)
    bar = np.array([[-0.095, 0.0, length], [0.0, 0.0, length], [0.095, 0.0, length]])
    shape.tube(frame.world(rope(bar, np.array([0.013, 0.015, 0.013]), 6)), STRAP)
    return shape


def umbrella(accessory: Accessory, wearer: Wearer) -> Shape:
    """An open umbrella over the head. It is out of a detector's box."""
    grip, _ = _grip(accessory, wearer)
    head = np.concatenate([wearer.vertices[region_vertices("head")], wearer.hair])
    crown = head[np.argmax(head[:, 2])]
    radius = 0.5 * accessory.size
    rise = 0.42 * radius
    apex = np.array(
        [grip[0] + 0.62 * (crown[0] - grip[0]), grip[1] + 0.62 * (crown[1] - grip[1]), crown[2] + rise + 0.06]
    )
    up = unit(apex - grip)
    right = unit(np.cross(_FORWARDS, up)) * sign_of(accessory)
    frame = Frame(np.stack([right, np.cross(up, right) * sign_of(accessory), up], axis=1), apex)
    angle = np.arange(16) * (np.pi / 8)
    rib = np.arange(16) % 2 == 0
    rows = []
    for layer, fractions in ((0.0, (0.05, 0.35, 0.65, 0.86, 1.0)), (-0.006, (0.985, 0.8, 0.5, 0.1))):
        for part in fractions:
            valley = np.where(rib, 1.0, 1.0 - 0.06 * part**2)  # the cloth is stretched between the ribs
            fall = -rise * part**2.1 * np.where(rib, 1.0, 0.88) + layer
            rows.append(
                np.stack([radius * part * valley * np.cos(angle), radius * part * valley * np.sin(angle), fall], 1)
            )
    shape = Shape(in_box=False)
    shape.tube(frame.world(np.stack(rows)), MAIN)
    length = float(np.linalg.norm(apex - grip))
    heights = np.array([0.05, 0.0, 0.08 - length, 0.07 - length, -0.09 - length])
    shaft = np.column_stack([np.zeros((5, 2)), heights])
    shape.tube(frame.world(rope(shaft, np.array([0.004, 0.007, 0.007, 0.015, 0.015]), 6)), STRAP)
    # The triangles of the canopy are larger than the cells of the shadow.
    step = (np.arange(34) + 0.5) / 34
    turn, part = np.meshgrid(np.arange(90) * (2.0 * np.pi / 90), np.sqrt(step), indexing="ij")
    dome = np.stack([radius * part * np.cos(turn), radius * part * np.sin(turn), -rise * part**2.1], axis=-1)
    shape.cast_shadow_from(frame.world(dome.reshape(-1, 3)))
    return shape


def folded_umbrella(accessory: Accessory, wearer: Wearer) -> Shape:
    """A folded umbrella that hangs from the hand by its hook."""
    grip = _grip(accessory, wearer)[0]
    length = min(0.62 * accessory.size, grip[2] - 0.18)
    half = np.array([0.03, 0.03, length / 2])
    frame = _hanging(accessory, wearer, half, 0.05)
    angle = np.linspace(-0.15, np.pi + 0.05, 8)
    hook = np.stack([0.045 - 0.045 * np.cos(angle), np.zeros(8), 0.045 * np.sin(angle) - 0.045], axis=1)
    hook *= [-1.0, 1.0, 1.0]
    hook[:, 0] += 0.045
    shaft = np.array([hook[-1] + [0.0, 0.0, -0.05], hook[-1] + [0.0, 0.0, -0.10]])
    shape = Shape()
    shape.tube(frame.world(rope(np.concatenate([hook, shaft]), np.full(10, 0.009))), STRAP)
    heights = np.array([0.0, -0.02, -0.25, -0.55, -0.93, -1.0]) * length
    cloth = np.column_stack([np.full(6, hook[-1, 0]), np.zeros(6), hook[-1, 2] - 0.07 + heights])
    shape.tube(frame.world(rope(cloth, np.array([0.012, 0.024, 0.036, 0.031, 0.014, 0.004]), 8)), MAIN)
    return shape


def papers(accessory: Accessory, wearer: Wearer) -> Shape:
    """Papers, a magazine or a folder, held at the upper one of its long sides; it is bent a little along the leg."""
    half = np.array([0.148, 0.007, 0.105]) * accessory.size
    drop = -0.03  # the fingers reach over the edge
    frame = _hanging(accessory, wearer, half, drop)
    sheets = box(half, 14, HARD, 10.0) - [0.0, 0.0, drop + half[2]]
    sheets[..., 1] += 0.9 * sheets[..., 0] ** 2
    shape = Shape()
    shape.tube(frame.world(sheets), MAIN)
    return shape


def phone(accessory: Accessory, wearer: Wearer) -> Shape:
    """A phone in the palm; the fingers close around its width, and its upper end is at the index finger."""
    suffix = suffix_of(accessory)
    knuckles = [wearer.joint(f"finger{finger}-1.{suffix}") for finger in (2, 3, 4, 5)]
    tips = [wearer.joint(f"finger{finger}-3.{suffix}") for finger in (2, 3, 4, 5)]
    wrist = wearer.joint(f"wrist.{suffix}")
    along = unit(np.mean(knuckles, axis=0) - wrist)
    across = unit(knuckles[0] - knuckles[3])
    palm = unit(np.cross(along, across))
    palm *= np.sign((np.mean(tips, axis=0) - np.mean(knuckles, axis=0)) @ palm)
    along = unit(along + 0.3 * palm)
    palm = unit(palm - along * (palm @ along))
    across = np.cross(palm, along) * np.sign(np.cross(palm, along) @ across)
    centre = np.mean(knuckles, axis=0) + 0.018 * palm + 0.024 * along
    half = np.array([0.037, 0.005, 0.076]) * accessory.size
    shape = Shape()
    shape.tube(Frame(np.stack([along, -palm, across], axis=1), centre).world(box(half, 8, HARD, 6.0)), MAIN)
    return shape
