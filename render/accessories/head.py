"""Things worn on the head and around the neck: hats, headphones, glasses and scarves."""

import functools
from collections.abc import Sequence

import numpy as np

from render.accessories.anchors import Anchors, cast, region_vertices
from render.accessories.shape import EXTRA, MAIN, STRAP, UP, Shape, box, rope, unit
from render.accessories.straps import strap
from render.accessories.wearer import Frame, Wearer, is_hair, sign_of
from render.figure.body import load_body
from render.geometry.surface import smoothstep
from render.people.accessories import Accessory

# Kind of hat -> elevation of its rim in degrees, seen from the middle of the skull, at the azimuths `_RIM_AZIMUTHS`.
_RIMS = {"cap": (24.0, 21.0, 17.0, 4.0), "beanie": (22.0, 19.0, 13.0, -8.0), "hat": (22.0, 20.0, 16.0, 6.0)}
_RIM_AZIMUTHS = (0.0, 0.9, 1.6, 2.6)  # radians from the front, to either side
_HEAD_CENTRE = np.array([0.0, -0.045, 0.80])  # middle of the skull of the reference body, metres

# Hair that hangs out of the back of a hat and is not pressed.
_GATHERED = ("ponytail", "braid", "low_bun")


def _head_frame(accessory: Accessory, wearer: Wearer) -> Frame:
    """The head's axes around the middle of the skull; x points to the accessory's side."""
    frame = wearer.frame("head")
    reference = load_body().reference.joints["head"]
    own = frame.axes * [sign_of(accessory), 1.0, 1.0]
    return Frame(own, frame.world(_HEAD_CENTRE - reference))


# Hats.


@functools.cache
def _scalp(kind: str, sign: float) -> Anchors:
    """Anchors [rows columns] under a hat, from the crown down to its rim."""
    columns = 18
    azimuth = np.arange(columns) * (2.0 * np.pi / columns)  # 0 in front, to the left
    turn = np.abs(np.remainder(azimuth + np.pi, 2.0 * np.pi) - np.pi)
    lowest = np.deg2rad(np.interp(turn, _RIM_AZIMUTHS, _RIMS[kind]))
    elevation = lowest + (np.deg2rad(84.0) - lowest) * np.array([1.0, 0.76, 0.52, 0.29, 0.1, 0.0])[:, None]
    directions = np.stack(
        [np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)], axis=-1
    ) * [sign, 1.0, 1.0]
    flat = directions.reshape(-1, 3)
    anchors = cast(np.broadcast_to(_HEAD_CENTRE, flat.shape), flat, head=True)
    return Anchors(anchors.corners.reshape(*directions.shape), anchors.shares.reshape(*directions.shape))


def _fit_hat(accessory: Accessory, wearer: Wearer) -> tuple[Frame, np.ndarray]:
    """Frame of the head, and in it the surface [rows columns 3] of scalp and hair under a hat, crown first."""
    frame = _head_frame(accessory, wearer)
    return frame, frame.local(_scalp(accessory.kind, sign_of(accessory)).points(wearer))


def press_hair(accessories: Sequence[Accessory], wearer: Wearer) -> None:
    """Press hair to the head where a hat sits on it.

    Args:
        accessories: What the wearer wears; all but hats leave the hair alone.
        wearer: Whose hair is pressed: `vertices` is changed in place, entries of `worn` are replaced.
    """
    for accessory in accessories:
        if accessory.kind in _RIMS:
            frame, scalp = _fit_hat(accessory, wearer)
            rim = unit(scalp[-1])
            _press_scalp(wearer, frame, rim)
            _press_hair_meshes(wearer, *_fit_hat(accessory, wearer), rim)


def _share_under_hat(towards: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """How far [N] directions [N 3] lie under a hat with a rim [columns 3]: 1 under it, 0 well below its rim."""
    level = [1.0, 1.0, 0.0]
    nearest = np.argmax((towards * level) @ (rim * level).T, axis=1)
    return 1.0 - smoothstep(rim[nearest, 2] - towards[:, 2], 0.02, 0.3)


def _press_scalp(wearer: Wearer, frame: Frame, rim: np.ndarray) -> None:
    """Press the hair that is part of the body's mesh, down to just above the bare skull."""
    chosen = region_vertices("scalp")
    hair = frame.local(wearer.vertices[chosen])
    centre = wearer.rest.joints["head"] + _HEAD_CENTRE - wearer.body.reference.joints["head"]
    bare = np.linalg.norm(wearer.rest.vertices[chosen] - centre, axis=1)
    far = np.linalg.norm(hair, axis=1)
    pressed = far + _share_under_hat(hair / far[:, None], rim) * np.minimum(bare + 0.006 - far, 0.0)
    wearer.vertices[chosen] = frame.world(hair * (pressed / far)[:, None])


def _press_hair_meshes(wearer: Wearer, frame: Frame, scalp: np.ndarray, rim: np.ndarray) -> None:
    """Press hair that has a mesh of its own onto the pressed scalp [rows columns 3]."""
    radius = np.linalg.norm(scalp, axis=-1).ravel()
    directions = scalp.reshape(-1, 3) / radius[:, None]
    for name, points in wearer.worn.items():
        if not is_hair(name) or name in _GATHERED:
            continue
        hair = frame.local(points)
        far = np.linalg.norm(hair, axis=1)
        towards = hair / far[:, None]
        under = radius[np.argmax(towards @ directions.T, axis=1)] + 0.002
        pressed = far + _share_under_hat(towards, rim) * np.minimum(under - far, 0.0)
        wearer.worn[name] = frame.world(towards * pressed[:, None]).astype(np.float32)


def cap(accessory: Accessory, wearer: Wearer) -> Shape:
    """A cap with a peak."""
    shape = Shape()
    frame, scalp = _fit_hat(accessory, wearer)
    outward = unit(scalp)
    ease = np.array([0.018, 0.017, 0.014, 0.010, 0.007, 0.006])[:, None, None]
    crown = scalp + ease * outward
    lining = crown[-1] - 0.012 * outward[-1]
    shape.tube(frame.world(np.concatenate([crown, lining[None]])), MAIN, "hollow")
    # The peak, from temple to temple: over the tip and back below.
    turn = np.linspace(-1.0, 1.0, 11)
    rim = crown[-1][np.arange(-3, 4)]
    rim = np.stack([np.interp(turn * 2.85, np.arange(-3, 4), rim[:, axis]) for axis in range(3)], axis=1)
    reach = 0.004 + 0.078 * accessory.size * np.maximum(np.cos(turn * np.pi / 2), 0.0) ** 0.75
    level = rim[:, 2] + (1.0 - turn**2) * 0.5 * (rim[5, 2] - rim[:, 2]) + 0.003
    ring = []
    for part, lift in ((-0.15, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, -0.004), (0.5, -0.005), (-0.15, -0.005)):
        fall = -(0.3 * max(part, 0.0) + 0.1 * part**2) * reach - 0.012 * turn**2 * (1.0 - turn**2)
        wide = 1.0 + 0.12 * max(part, 0.0) * (1.0 - turn**2)
        ring.append(np.stack([rim[:, 0] * wide, rim[:, 1] - part * reach, level + fall + lift], axis=1))
    shape.tube(frame.world(np.stack(ring, axis=1)), EXTRA)
    return shape


def beanie(accessory: Accessory, wearer: Wearer) -> Shape:
    """A woollen hat with a folded edge, with or without a bobble."""
    shape = Shape()
    frame, scalp = _fit_hat(accessory, wearer)
    outward = unit(scalp)
    crown = scalp + np.array([0.030, 0.022, 0.015, 0.012, 0.012, 0.012])[:, None, None] * outward
    crown[0] += [0.0, 0.012, 0.006]
    fold = crown[-2:] + 0.005 * outward[-2:]
    upper = 0.35 * crown[-3] + 0.65 * crown[-2]
    rows = [*crown[:-2], upper, upper + 0.005 * unit(upper), *fold, crown[-1] - 0.016 * outward[-1]]
    shape.tube(frame.world(np.stack(rows)), MAIN, "hollow")
    if accessory.variant == "bobble":
        top = crown[0].mean(axis=0) + np.array([0.0, 0.004, 0.02])
        ball = box(
            (0.03, 0.03, 0.03),
            8,
            ((0.95, 0.3, 0.3), (0.7, 0.72, 0.72), (0.0, 1.0, 1.0), (-0.7, 0.72, 0.72), (-0.95, 0.3, 0.3)),
            2.0,
        )
        shape.tube(frame.world(ball + top), EXTRA)
    return shape


def hat(accessory: Accessory, wearer: Wearer) -> Shape:
    """A hat with a narrow or wide brim."""
    shape = Shape()
    frame, scalp = _fit_hat(accessory, wearer)
    outward = unit(scalp)
    crown = scalp + 0.010 * outward
    crown[-1, :, 2] = 0.6 * crown[-1, :, 2].mean() + 0.4 * crown[-1, :, 2]
    rim = crown[-1]
    top = float(crown[..., 2].max()) + 0.03
    # The crown of a hat is a cylinder that narrows upwards to a flat top, not a skull.
    rows = []
    for part, wide in ((1.0, 0.55), (0.97, 0.74), (0.82, 0.84), (0.4, 0.95), (0.05, 1.0)):
        level = rim[:, 2] + part * (top - rim[:, 2])
        middle = rim.mean(axis=0)
        flat = middle[:2] + wide * (rim[:, :2] - middle[:2])
        rows.append(np.column_stack([flat, level]))
    for row, part in zip(rows, (1.0, 0.97, 0.82, 0.4, 0.05), strict=True):
        inside = crown[np.argmin(np.abs(crown[..., 2].mean(axis=1) - row[:, 2].mean()))]
        reach = np.linalg.norm(inside[:, :2], axis=1)
        here = np.linalg.norm(row[:, :2], axis=1)
        if part < 0.9:
            row[:, :2] *= np.maximum(1.0, (reach + 0.003) / here)[:, None]
    lining = rim - 0.012 * outward[-1]
    shape.tube(frame.world(np.stack([*rows, lining])), MAIN, "hollow")
    width = (0.06 if accessory.variant == "narrow" else 0.09) * accessory.size
    away = unit(rim * [1.0, 1.0, 0.0])
    ring = []
    for part, lift in ((-0.12, 0.004), (1.0, 0.004), (1.0, -0.001), (-0.12, -0.003)):
        bend = -0.10 * width * max(part, 0.0) * (1.0 + 0.6 * np.cos(2.0 * np.arctan2(away[:, 0], away[:, 1])))
        ring.append(np.column_stack([(rim + part * width * away)[:, :2], rim[:, 2] + lift + bend]))
    shape.tube(frame.world(np.stack(ring, axis=1)), EXTRA, "ring")
    return shape


# Headphones, glasses, scarves.


def headphones(accessory: Accessory, wearer: Wearer) -> Shape:
    """Headphones: a band over the hair and a cup over each ear."""
    shape = Shape()
    frame = _head_frame(accessory, wearer)
    ear = frame.local(wearer.vertices[region_vertices("ear")])
    half = float(np.abs(ear[:, 0]).max())
    centre = np.array([half, float(ear[:, 1].mean()), float(ear[:, 2].mean())])
    head = frame.local(np.concatenate([wearer.vertices[region_vertices("head")], wearer.hair]))
    near = head[np.abs(head[:, 1] - centre[1]) < 0.02]
    if len(wearer.hair):
        beside = near[np.abs(near[:, 2] - centre[2]) < 0.03]
        centre[0] = max(half, min(float(np.abs(beside[:, 0]).max(initial=0.0)), half + 0.03))
    angle = np.linspace(-0.05, np.pi + 0.05, 15)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    along = near[:, [0, 2]] @ direction.T
    aside = np.abs(near[:, [0, 2]] @ np.stack([-direction[:, 1], direction[:, 0]]))
    radius = np.where(aside < 0.02, along, 0.0).max(axis=0) + 0.007
    radius[[0, 1, -2, -1]] = centre[0] + 0.012
    for _ in range(3):
        radius[1:-1] = np.maximum(radius[1:-1], (radius[:-2] + radius[2:]) / 2)
    path = np.column_stack([radius * direction[:, 0], np.full(15, centre[1]), radius * direction[:, 1]])
    outer = 0.009 * np.column_stack([direction[:, 0], np.zeros(15), direction[:, 1]])
    side = np.array([0.0, 0.013, 0.0])
    shape.tube(
        frame.world(np.stack([path - side, path - side + outer, path + side + outer, path + side], axis=1)), STRAP
    )
    turn = np.arange(12) * (np.pi / 6)
    for sign in (1.0, -1.0):
        rows = []
        for x, r in ((-0.006, 0.030), (0.004, 0.038), (0.022, 0.038), (0.03, 0.026)):
            ring = np.column_stack(
                [np.full(12, centre[0] + x), centre[1] + r * np.cos(turn), centre[2] + 1.1 * r * np.sin(turn)]
            )
            rows.append(ring * [sign, 1.0, 1.0])
        shape.tube(frame.world(np.stack(rows)), MAIN)
    return shape


def glasses(accessory: Accessory, wearer: Wearer) -> Shape:
    """Glasses with rims, or sunglasses with dark lenses."""
    shape = Shape()
    frame = wearer.frame("head")
    frame = Frame(frame.axes * [sign_of(accessory), 1.0, 1.0], frame.origin)
    eye = wearer.rest.joints["eye.L"] - wearer.rest.joints["head"]
    face = frame.local(wearer.vertices[region_vertices("face")])
    x, y, z = face.T
    around = (np.abs(x) > 0.012) & (np.abs(x) < 0.052) & (np.abs(z - eye[2]) < 0.018) & (y < eye[1])
    plane = float(y[around].min()) - 0.003
    temple = (np.abs(z - eye[2]) < 0.02) & (y > 0.85 * eye[1]) & (y < 0.5 * eye[1])
    widest = float(np.abs(x[temple]).max())
    dark = accessory.kind == "sunglasses"
    angle = np.arange(12) * (np.pi / 6)
    radius = (np.abs(np.cos(angle)) ** 3 + np.abs(np.sin(angle)) ** 3) ** (-1 / 3)
    wide, high = (0.028 * accessory.size**0.5, 0.022 if dark else 0.019)
    ring = np.stack([wide * radius * np.cos(angle), np.zeros(12), high * radius * np.sin(angle)], axis=1)
    for sign in (1.0, -1.0):
        middle = np.array([eye[0] + 0.003, plane, eye[2] - 0.002])

        def bent(points: np.ndarray, sign: float = sign, middle: np.ndarray = middle) -> np.ndarray:
            points = points + middle
            points[..., 1] += 2.7 * np.maximum(points[..., 0] - 0.03, 0.0) ** 1.5  # around the face
            return frame.world(points * [sign, 1.0, 1.0])

        if dark:
            shape.tube(bent(np.stack([0.9 * ring + [0, 0.003, 0], ring, 0.9 * ring - [0, 0.003, 0]])), MAIN)
        else:
            rim = [(1.0, -0.003), (1.12, -0.003), (1.12, 0.003), (1.0, 0.003)]
            shape.tube(bent(np.stack([scale * ring + [0, deep, 0] for scale, deep in rim], axis=1)), STRAP, "ring")
        outer = middle[0] + wide
        front = plane + 2.7 * max(outer - 0.03, 0.0) ** 1.5
        path = np.array(
            [
                [outer - 0.002, front, eye[2] + 0.006],
                [widest + 0.002, eye[1] + 0.035, eye[2] + 0.007],
                [widest + 0.004, -0.01, eye[2] + 0.004],
            ]
        )
        shape.tube(frame.world(rope(path, np.full(3, 0.0028)) * [sign, 1.0, 1.0]), STRAP)
    bridge = np.array(
        [[-0.013, plane, eye[2] + 0.004], [0.0, plane - 0.003, eye[2] + 0.007], [0.013, plane, eye[2] + 0.004]]
    )
    shape.tube(frame.world(rope(bridge, np.full(3, 0.003))), STRAP)
    return shape


@functools.cache
def _neck(sign: float) -> Anchors:
    """Anchors [16] of a ring around the neck, where it meets the shoulders."""
    azimuth = np.arange(16) * (np.pi / 8)
    front = 0.5 + 0.5 * np.cos(azimuth)
    height = 0.668 - 0.045 * front
    directions = np.stack([np.sin(azimuth), -np.cos(azimuth), np.full(16, 0.0)], axis=1) * [sign, 1.0, 1.0]
    origins = np.column_stack([np.zeros(16), np.full(16, -0.02), height])
    return cast(origins, directions, head=False)


def scarf(accessory: Accessory, wearer: Wearer) -> Shape:
    """A scarf around the neck, with or without an end that hangs down the front."""
    shape = Shape()
    sign = sign_of(accessory)
    points = _neck(sign).points(wearer)
    away = unit((points - points.mean(axis=0)) * [1.0, 1.0, 0.0])
    for _ in range(2):
        points = 0.5 * points + 0.25 * (np.roll(points, 1, 0) + np.roll(points, -1, 0))
    angle = np.arange(7) * (2.0 * np.pi / 7)
    fat = 0.024 * accessory.size
    fold = 1.0 + 0.08 * np.cos(3.0 * np.arange(16) * (np.pi / 8) + 1.0)
    ring = (
        points[:, None]
        + (0.35 * fat + fat * np.maximum(np.cos(angle), -0.5))[None, :, None] * (fold[:, None] * away)[:, None]
        + (0.5 * fat + 1.3 * fat * np.sin(angle))[None, :, None] * UP
    )
    shape.tube(ring, MAIN, "ring")
    if accessory.variant == "ends":
        shape.tube(strap(wearer, "scarf_end", sign, 0.014), EXTRA)
    return shape
