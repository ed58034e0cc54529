"""What stands between camera and person and hides a part: poles, cars, plants, walls, other persons.

An `Occluder` is planned by what it hides: it stands on the ground before the person, and slides in from its side until
it hides the planned share of the person's pixels. `draw_occluders` is called on the finished composition (person over
background), before `photo.take_photo`. What is drawn are the flat pictures of `render.scene.impostors`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from render.scene import impostors, shadows
from render.scene.impostors import Patch
from render.scene.things import Color, Thing, as_color, sample_car_paint
from render.scene.view import View
from render.shares import Range, Shares, draw_name

# Kind -> the largest share of a person that it can be relied on to hide.
KINDS: dict[str, float] = {
    "pole": 0.55,
    "car": 0.6,
    "bush": 0.6,
    "planter": 0.55,
    "bin": 0.5,
    "bench": 0.18,
    "bicycle": 0.3,
    "wall": 0.6,
    "railing": 0.3,
    "person": 0.6,
}
SIDES = ("left", "right")
_THIN = 0.12  # a larger share than lamp posts and signs hide

# Extents on the ground, metres: for the shadow under a thing, and so that no thing stands inside the person.
_LENGTH = {
    "pole": 0.3,
    "car": 4.2,
    "bush": 1.4,
    "planter": 0.8,
    "bin": 0.6,
    "bench": 1.7,
    "bicycle": 1.5,
    "wall": 2.6,
    "railing": 2.4,
    "person": 0.5,
}
_WIDTH = {"car": 1.7, "bush": 1.0, "planter": 0.6, "bin": 0.6, "bench": 0.5, "wall": 0.3, "railing": 0.1, "pole": 0.3}
_THICK = {"car": 1.2, "bush": 0.65, "planter": 0.5, "bench": 0.5, "person": 0.45}


@dataclasses.dataclass(frozen=True)
class OccluderShares(Shares):
    """The distribution of occluders.

    Attributes:
        share: Share of pictures with an occluder.
        second: Share of those pictures that have another one.
        kinds: Weights of KINDS. A kind that cannot hide as much as was drawn is left out of the draw.
        cover: Share of the person's pixels to hide.
        query_cover: The same for pictures that must be occluded, such as the queries of a benchmark's hard split.
    """

    TOPIC: ClassVar[str] = "occluders"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": tuple(KINDS)}

    share: float = 0.14
    second: float = 0.1
    kinds: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "pole": 1.0,
            "car": 1.3,
            "bush": 1.0,
            "planter": 0.8,
            "bin": 0.5,
            "bench": 0.5,
            "bicycle": 0.9,
            "wall": 0.7,
            "railing": 0.6,
            "person": 1.8,
        }
    )
    cover: Range = (0.08, 0.4)
    query_cover: Range = (0.25, 0.6)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_cover("cover")

    def check_cover(self, name: str) -> None:
        """Check that some of the kinds can hide the least of the field `name`, "cover" or "query_cover".

        Raises:
            ValueError: None of them can.
        """
        low = getattr(self, name)[0]
        if self.most < low:
            kinds = [kind for kind, weight in self.kinds.items() if weight > 0.0]
            verb = "hides" if len(kinds) == 1 else "hide"
            raise ValueError(
                f"{self.TOPIC}.{name} starts at {low:g}, but of {self.TOPIC}.kinds {', '.join(kinds)} {verb} at most "
                f"{self.most:g} of a person."
            )

    @property
    def most(self) -> float:
        """The largest share of a person that one of the kinds can hide."""
        return max(KINDS[kind] for kind, weight in self.kinds.items() if weight > 0.0)


@dataclasses.dataclass(frozen=True)
class Occluder:
    """A thing before the person.

    Attributes:
        kind: One of KINDS.
        variant: Number of its model; numbers beyond the last model start again from the first.
        side: The side from which it reaches over the person, one of SIDES.
        cover: Share of the person's pixels that it hides.
        gap: Metres between it and the person.
        turn: Radians by which it is turned from lying across the line of sight.
        size: Scale, about 1.
        tint: (r, g, b) gains.
    """

    kind: str
    variant: int
    side: str
    cover: float
    gap: float
    turn: float
    size: float
    tint: Color

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {**vars(self), "tint": list(self.tint)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Occluder":
        """Return the occluder that `to_json` wrote."""
        return cls(**{**fields, "tint": tuple(fields["tint"])})


def sample_occluders(rng: np.random.Generator, shares: OccluderShares, *, always: bool = False) -> tuple[Occluder, ...]:
    """Draw what is before the person; with `always` there is an occluder, whatever its share."""
    if not always and rng.uniform() >= shares.share:
        return ()
    count = 2 if not always and rng.uniform() < shares.second else 1
    return tuple(_sample(rng, shares) for _ in range(count))


def _sample(rng: np.random.Generator, shares: OccluderShares) -> Occluder:
    low, high = shares.cover
    cover = float(rng.uniform(low, min(high, shares.most)))
    kind = draw_name(rng, {name: weight for name, weight in shares.kinds.items() if KINDS[name] >= cover})
    variant = int(rng.integers(1 << 16))
    if kind == "pole" and cover > _THIN:
        variant |= 2  # columns and trunks, of lamp posts, signs, columns and trunks
    if kind == "person":
        turn = float(rng.uniform(0.0, 2.0 * math.pi))
    else:
        turn = math.pi * int(rng.integers(2)) + float(rng.normal(0.0, 0.25))
    if kind == "car":
        tint = sample_car_paint(rng)
    else:
        tint = as_color(rng.uniform(0.85, 1.1) * (1.0 + 0.03 * rng.standard_normal(3)))
    return Occluder(
        kind=kind,
        variant=variant,
        side=SIDES[int(rng.integers(2))],
        cover=cover,
        gap=float(rng.uniform(0.35, 1.2)),
        turn=turn,
        size=float(rng.uniform(0.95, 1.1)),
        tint=tint,
    )


def draw_occluders(picture: np.ndarray, occluders: Sequence[Occluder], view: View, alpha: np.ndarray) -> np.ndarray:
    """Lay occluders over a picture.

    Args:
        picture: float32 [height width 3], the person over its background, display values.
        occluders: The plan; an empty one gives the picture back.
        view: The view of the picture.
        alpha: float32 [height width] of the person alone, as drawn.

    Returns:
        The picture, float32 [height width 3].
    """
    if not occluders:
        return picture
    picture = picture.copy()
    for occluder in occluders:
        stand = _stand_before(occluder, view, alpha)
        if stand is None:
            continue
        _shade_ground(picture, stand.thing, view, 1.0 - alpha)
        rows, inside, own = stand.columns(view.width)
        area = picture[rows, inside]
        area *= 1.0 - stand.patch.alpha[:, own, None]
        area += stand.patch.color[:, own]
    return np.clip(picture, 0.0, 1.0)


def hidden_share(occluders: Sequence[Occluder], view: View, alpha: np.ndarray) -> np.ndarray:
    """Return how much of each pixel is hidden by what `draw_occluders` lays over it, float32 [height width] in [0, 1]."""
    left_open = np.ones_like(alpha)
    for occluder in occluders:
        stand = _stand_before(occluder, view, alpha)
        if stand is not None:
            rows, inside, own = stand.columns(view.width)
            left_open[rows, inside] *= 1.0 - stand.patch.alpha[:, own]
    return 1.0 - left_open


@dataclasses.dataclass(frozen=True, eq=False)
class _Stand:
    """Where an occluder hides its share.

    Attributes:
        patch: Its picture.
        shift: By how many columns the picture is shifted.
        thing: The occluder at the place that the shift brings it to, in its planned size.
    """

    patch: Patch
    shift: int
    thing: Thing

    def columns(self, width: int) -> tuple[slice, slice, slice]:
        """Return the rows and columns of a picture of this width that it covers, and which columns of its own these are."""
        left, right = self.patch.columns.start + self.shift, self.patch.columns.stop + self.shift
        inside = slice(max(left, 0), min(right, width))
        return self.patch.rows, inside, slice(inside.start - left, inside.stop - left)


def _stand_before(occluder: Occluder, view: View, alpha: np.ndarray) -> _Stand | None:
    """Find where an occluder hides its share; one that hides too little is tried nearer and larger.

    Returns:
        None where nothing of it, or of the person, is in the picture, or the person is too near to the camera.
    """
    total = float(alpha.sum())
    camera, spot = view.camera, view.spot
    to_camera = camera.position[:2] - spot
    distance = float(np.linalg.norm(to_camera))
    if total < 1.0 or distance < 1.2:
        return None
    yaw = math.atan2(to_camera[1], to_camera[0]) + 0.5 * math.pi + occluder.turn
    best, most = None, -1.0
    for gap, growth in ((occluder.gap, 1.0), (0.4, 1.15), (0.3, 1.35)):
        gap = max(gap, _THICK.get(occluder.kind, 0.35))
        place = spot + to_camera * (min(gap, distance - 1.0) / distance)
        thing = Thing(
            occluder.kind, occluder.variant, float(place[0]), float(place[1]), yaw, occluder.size, occluder.tint
        )
        patch = impostors.place(dataclasses.replace(thing, size=occluder.size * growth), view, clip=False)
        if patch is None:
            continue
        shift, cover = _slide(patch, alpha, occluder.side, occluder.cover * total)
        if cover > most:
            (depth,) = camera.project(np.array([[*place, 0.0]]))[1]
            moved = place + camera.rotation[:2, 0] * (shift * float(depth) / camera.focal_columns)
            best, most = _Stand(patch, shift, dataclasses.replace(thing, x=float(moved[0]), y=float(moved[1]))), cover
        if cover >= 0.97 * occluder.cover * total:
            break
    return best


def _slide(patch: Patch, alpha: np.ndarray, side: str, wanted: float) -> tuple[int, float]:
    """Slide a picture in from a side until it hides `wanted` of alpha's sum; where it cannot, to where it hides most.

    Returns:
        The shift in columns, and what is hidden of alpha's sum.
    """
    # Overlap of every column of the person with every column of the thing, from every third row; a shift is a diagonal.
    wide = np.flatnonzero(alpha.any(axis=0))
    overlap = 3.0 * (alpha[patch.rows][::3, wide].T @ patch.alpha[::3])
    offset = wide[:, None] - np.arange(patch.columns.start, patch.columns.stop)[None]
    lowest = int(offset.min())
    hidden = np.bincount((offset - lowest).ravel(), weights=overlap.ravel())
    order = np.arange(len(hidden)) if side == "left" else np.arange(len(hidden))[::-1]
    reached = np.flatnonzero(hidden[order] >= wanted)
    chosen = int(order[reached[0]] if len(reached) else np.argmax(hidden))
    return chosen + lowest, float(hidden[chosen])


def _shade_ground(picture: np.ndarray, thing: Thing, view: View, open_part: np.ndarray) -> None:
    """Darken the ground where an occluder stands and where its shadow falls, in place, but not the person.

    Args:
        picture: float32 [height width 3].
        thing: The occluder.
        view: The view of the picture.
        open_part: float32 [height width], the part of each pixel that shows no person.
    """
    position = view.camera.position
    rows = np.flatnonzero(view.rays[..., 2].max(axis=1) < -0.02)
    if not len(rows):
        return
    first = int(rows[0])
    rays = view.rays[first:].reshape(-1, 3)
    distance = np.float32(position[2]) / -rays[:, 2]
    # Places relative to the thing.
    x = np.float32(position[0] - thing.x) + distance * rays[:, 0]
    y = np.float32(position[1] - thing.y) + distance * rays[:, 1]
    sun, sky = np.ones(len(x), np.float32), np.ones(len(x), np.float32)
    if view.light.sun_size <= shadows.HAZIEST:
        cast = impostors.shadow(dataclasses.replace(thing, x=0.0, y=0.0), view.light, x, y)
        if cast is not None:
            sun[cast[0]] -= cast[1]
    # Under it: an ellipse along its length.
    half_length, half_width = 0.5 * _LENGTH[thing.kind] + 0.1, 0.5 * _WIDTH.get(thing.kind, 0.4) + 0.15
    under = np.flatnonzero(x**2 + y**2 < (1.6 * half_length) ** 2)
    along, across = np.float32(math.cos(thing.yaw)), np.float32(math.sin(thing.yaw))
    u = ((x[under] * along + y[under] * across) / np.float32(half_length)) ** 2
    v = ((y[under] * along - x[under] * across) / np.float32(half_width)) ** 2
    sky[under] -= np.float32(0.65) * np.exp(np.float32(-1.2) * (u * u + v * v))
    index = np.flatnonzero((sun < 0.995) | (sky < 0.995))
    gain = shadows.shade_gain(view.light, sun[index], sky[index])
    index += first * view.width
    pixels = picture.reshape(-1, 3)
    pixels[index] *= 1.0 + (gain - 1.0) * open_part.reshape(-1, 1)[index]
