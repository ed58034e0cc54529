"""The world that a camera looks at: a walkway that the person stands on, what is beside it and what is behind it.

A `Scene` is a small world in the camera's frame (the camera stands over (0, 0), the walkway runs along +y): a ground
with a border and painted lines, walls, a ceiling indoors, and things and persons (`render.scene.things`). Nothing
stands on the walkway, which is convex and holds camera and person, so nothing can come between the two. A camera's
scene is fixed; each crop shows the part of it that lies behind the person (`render.scene.draw`). A `Backdrop` is a part
of one of the user's photographs instead.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from render.optics.camera import CameraSite
from render.scene import surfaces
from render.scene.things import REACH, Color, Thing, as_color, sample_car_paint
from render.shares import Range, Shares, draw_name

KINDS = ("street", "plaza", "park", "campus", "station")


@dataclasses.dataclass(frozen=True)
class GroundCover:
    """The painting of a ground.

    Attributes:
        kind: One of `surfaces.GROUNDS`.
        variant: Number of the painting.
        scale: Scale of the pattern, about 1.
        turn: Turn of the pattern about z, radians.
        tint: (r, g, b) gains.
    """

    kind: str
    variant: int
    scale: float
    turn: float
    tint: Color


@dataclasses.dataclass(frozen=True)
class Line:
    """A painted line on the ground.

    Attributes:
        axis: "x" or "y", along which it runs.
        offset: Where it lies across that axis, metres.
        width: Width, metres.
        dash: Length of the dashes and of the gaps between them, metres; 0 is an unbroken line.
        color: Display values of the paint.
        strength: How much of the ground the paint hides, in [0, 1].
    """

    axis: str
    offset: float
    width: float
    dash: float
    color: Color
    strength: float


@dataclasses.dataclass(frozen=True)
class Wall:
    """An upright plane.

    Attributes:
        axis: "x" or "y", the axis that it stands across.
        offset: Where it stands on that axis, metres.
        height: Height, metres.
        kind: One of `surfaces.WALLS`.
        variant: Number of its painting.
        shift: Metres by which the painting is shifted along the wall.
        tint: (r, g, b) gains.
    """

    axis: str
    offset: float
    height: float
    kind: str
    variant: int
    shift: float
    tint: Color

    @property
    def axis_number(self) -> int:
        """The axis that the wall stands across: 0 for x, 1 for y."""
        return 0 if self.axis == "x" else 1


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A small light far behind, seen at night; its place in metres."""

    x: float
    y: float
    z: float
    color: Color


@dataclasses.dataclass(frozen=True)
class Scene:
    """A small world in the camera's frame; lengths in metres, colours are display values.

    Attributes:
        kind: One of KINDS.
        half_width: Half the width of the walkway.
        walkway, border: The ground on the walkway, and beside it.
        curb: Colour of the stone between the two; None for no curb.
        lines: Painted lines on the ground.
        walls: Walls beside the walkway and at its end.
        things: What stands about.
        lamps: Lights that are seen at night.
        ceiling: Height of the ceiling; None outdoors.
        sky: Colours at the horizon and in the zenith.
        softness: Standard deviation of the blur of the background, pixels.
    """

    kind: str
    half_width: float
    walkway: GroundCover
    border: GroundCover
    curb: Color | None
    lines: tuple[Line, ...]
    walls: tuple[Wall, ...]
    things: tuple[Thing, ...]
    lamps: tuple[Lamp, ...]
    ceiling: float | None
    sky: tuple[Color, Color]
    softness: float


@dataclasses.dataclass(frozen=True)
class SceneShares(Shares):
    """The distribution of scenes.

    Attributes:
        kinds: Weights of KINDS.
        photo_share: Share of pictures whose background is one of the user's photographs, where a folder is given.
        photo_crop: Height of the part of such a photograph behind the person, as a share of the most that it holds.
    """

    TOPIC: ClassVar[str] = "scenes"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": KINDS}
    LIMITS: ClassVar[dict[str, Range]] = {"photo_crop": (0.05, 1.0)}

    kinds: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 1.0))
    photo_share: float = 1.0
    photo_crop: Range = (0.55, 1.0)


def sample_kind(rng: np.random.Generator, site: CameraSite, shares: SceneShares | None = None) -> str:
    """Draw the kind of scene around a camera. A camera of 3 m or more hangs too high for an indoor scene."""
    weights = (shares or SceneShares()).kinds
    low = {name: weight for name, weight in weights.items() if name != "station" and weight > 0.0}
    return draw_name(rng, low if site.height >= 3.0 and low else weights)


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """A part of a photograph behind the person.

    Attributes:
        photo: Its name in the folder.
        crop: (x, y, size): where the part lies, from 0 (left, top) to 1 (right, bottom), and its height as a share of
            the largest part that has the picture's proportions.
    """

    photo: str
    crop: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {"photo": self.photo, "crop": list(self.crop)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Backdrop":
        """Return the backdrop that `to_json` wrote."""
        x, y, size = fields["crop"]
        return cls(fields["photo"], (x, y, size))


def sample_backdrop(rng: np.random.Generator, names: Sequence[str], shares: SceneShares) -> Backdrop | None:
    """Draw a part of a photograph, or None: a painted scene.

    Args:
        rng: Every choice comes from it.
        names: Photographs of the user's folder; empty without a folder.
        shares: How often a photograph is drawn, and how much of it.
    """
    if not names or rng.uniform() >= shares.photo_share:
        return None
    name = names[int(rng.integers(len(names)))]
    return Backdrop(name, (float(rng.uniform()), float(rng.uniform(0.3, 1.0)), float(rng.uniform(*shares.photo_crop))))


@dataclasses.dataclass(frozen=True)
class _Surroundings:
    """What a kind of scene is made of; a name that stands there twice is drawn twice as often.

    Attributes:
        walkways, borders: Kinds of `surfaces.GROUNDS`.
        side_walls, end_walls: Kinds of `surfaces.WALLS`.
        things: Kinds of `render.scene.impostors.KINDS`.
    """

    walkways: tuple[str, ...]
    borders: tuple[str, ...]
    side_walls: tuple[str, ...]
    end_walls: tuple[str, ...]
    things: tuple[str, ...]


_SURROUNDINGS = {
    "street": _Surroundings(
        walkways=("asphalt", "asphalt", "concrete", "slabs", "pavers"),
        borders=("slabs", "concrete", "asphalt", "pavers"),
        side_walls=("facade", "facade", "masonry"),
        end_walls=("facade", "facade", "masonry"),
        things=("car", "car", "pole", "bollard", "person", "bin", "tree", "bicycle"),
    ),
    "plaza": _Surroundings(
        walkways=("slabs", "slabs", "pavers", "cobbles", "concrete"),
        borders=("slabs", "pavers", "grass"),
        side_walls=("facade", "masonry", "hedge"),
        end_walls=("facade", "facade", "hedge"),
        things=("tree", "bench", "person", "person", "bin", "planter", "pole"),
    ),
    "park": _Surroundings(
        walkways=("gravel", "asphalt", "grass", "rubber", "concrete"),
        borders=("grass",),
        side_walls=("hedge", "hedge", "masonry"),
        end_walls=("hedge", "facade"),
        things=("tree", "tree", "tree", "bush", "bush", "bench", "person"),
    ),
    "campus": _Surroundings(
        walkways=("slabs", "pavers", "asphalt", "concrete", "rubber"),
        borders=("pavers", "slabs", "grass"),
        side_walls=("facade", "hedge", "masonry"),
        end_walls=("facade", "hedge"),
        things=("bicycle", "bicycle", "bicycle", "tree", "person", "bush", "railing"),
    ),
    "station": _Surroundings(
        walkways=("tiles", "tiles", "slabs"),
        borders=("tiles",),
        side_walls=("paneling", "paneling", "masonry"),
        end_walls=("paneling",),
        things=("person", "person", "bin", "bench", "railing"),
    ),
}


def make_scene(kind: str, seed: int, site: CameraSite) -> Scene:
    """Make the scene of a kind (one of KINDS) around a camera: a pure function of its arguments.

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of scene {kind!r}; expected one of {', '.join(KINDS)}.")
    rng = np.random.default_rng(seed)
    surroundings = _SURROUNDINGS[kind]
    indoors = kind == "station"
    half_width = site.half_width
    margin = float(rng.uniform(0.3, 1.5) if indoors else rng.uniform(0.8, 6.0))
    end = site.farthest + float(rng.choice([rng.uniform(1.2, 3.0), rng.uniform(3.0, 14.0)]))
    walls = [_sample_wall(rng, "y", end, surroundings.end_walls, indoors)]
    for side in (-1, 1):
        if indoors or rng.uniform() < 0.8:
            walls.append(_sample_wall(rng, "x", side * (half_width + margin), surroundings.side_walls, indoors))
    walkway = _sample_cover(rng, surroundings.walkways)
    horizon = rng.uniform(0.8, 0.98) * np.array([1.0, 1.0, 1.0])
    zenith = horizon * (1.0 - rng.uniform(0.0, 0.45) * np.array([1.0, 0.6, 0.12]))
    return Scene(
        kind=kind,
        half_width=half_width,
        walkway=walkway,
        border=walkway if indoors else _sample_cover(rng, surroundings.borders),
        curb=as_color(rng.uniform(0.5, 0.8) * np.ones(3)) if not indoors and rng.uniform() < 0.6 else None,
        lines=_sample_lines(rng, kind, half_width, end),
        walls=tuple(walls),
        things=_sample_things(rng, surroundings.things, site, end, margin),
        lamps=() if indoors else _sample_lamps(rng, site, end),
        ceiling=float(rng.uniform(3.3, 4.2)) if indoors else None,
        sky=(as_color(horizon), as_color(zenith)),
        softness=float(rng.uniform(0.1, 0.3)),
    )


def _tint(rng: np.random.Generator, low: float, high: float, spread: float) -> Color:
    return as_color(rng.uniform(low, high) * (1.0 + spread * rng.standard_normal(3)))


def _sample_cover(rng: np.random.Generator, kinds: tuple[str, ...]) -> GroundCover:
    return GroundCover(
        kind=str(rng.choice(kinds)),
        variant=int(rng.integers(surfaces.VARIANTS)),
        scale=float(rng.uniform(0.85, 1.25)),
        turn=float(rng.choice([0.0, 0.0, 0.5 * math.pi, rng.uniform(0.0, math.pi)])),
        tint=_tint(rng, 0.72, 1.12, 0.02),
    )


def _sample_wall(rng: np.random.Generator, axis: str, offset: float, kinds: tuple[str, ...], indoors: bool) -> Wall:
    kind = str(rng.choice(kinds))
    height = {"hedge": rng.uniform(1.1, 3.0), "masonry": rng.uniform(1.4, 5.0)}.get(kind, rng.uniform(6.5, 12.0))
    return Wall(
        axis=axis,
        offset=float(offset),
        height=6.0 if indoors else float(height),
        kind=kind,
        variant=int(rng.integers(surfaces.VARIANTS)),
        shift=float(rng.uniform(0.0, 8.0)),
        tint=_tint(rng, 0.7, 1.1, 0.04),
    )


def _sample_lines(rng: np.random.Generator, kind: str, half_width: float, end: float) -> tuple[Line, ...]:
    lines: list[Line] = []
    white, yellow = (0.88, 0.88, 0.86), (0.84, 0.68, 0.22)
    paint = white if rng.uniform() < 0.75 else yellow
    strength = float(rng.uniform(0.45, 0.9))
    if kind in ("street", "campus", "park") and rng.uniform() < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            offset = float(rng.uniform(-half_width, half_width))
            lines.append(Line("y", offset, 0.12, float(rng.choice([0.0, 3.0])), paint, strength))
    if kind == "street" and rng.uniform() < 0.3:  # a crossing
        start = float(rng.uniform(0.3, 0.8) * end)
        for k in range(6):
            lines.append(Line("x", start + 0.95 * k, 0.48, 0.0, white, strength))
    if kind in ("station", "plaza") and rng.uniform() < 0.45:  # a tactile strip, or a band of darker stone
        offset = float(rng.uniform(-0.8, 0.8) * half_width)
        band = (0.78, 0.66, 0.25) if rng.uniform() < 0.4 else _tint(rng, 0.25, 0.5, 0.03)
        lines.append(Line(str(rng.choice(["x", "y"])), offset if offset > 0 else 0.5 * end, 0.45, 0.0, band, 0.8))
    return tuple(lines)


def _sample_things(
    rng: np.random.Generator, kinds: tuple[str, ...], site: CameraSite, end: float, margin: float
) -> tuple[Thing, ...]:
    """Draw things beside the walkway and behind the farthest person; at times a row of one kind."""
    things: list[Thing] = []

    def place(kind: str, x: float, y: float, yaw: float) -> None:
        tint = sample_car_paint(rng) if kind == "car" else _tint(rng, 0.8, 1.12, 0.04)
        yaw = float(rng.uniform(0.0, 2.0 * math.pi)) if kind == "person" else float(yaw + rng.normal(0.0, 0.08))
        variant, size = int(rng.integers(1 << 16)), float(rng.uniform(0.94, 1.06))
        things.append(Thing(kind, variant, float(x), float(y), yaw, size, tint))

    for _ in range(int(rng.integers(4, 11))):
        kind = str(rng.choice(kinds))
        clear = REACH[kind] + 0.2
        if kind in ("car", "railing", "bicycle"):  # parked along the walkway
            clear = 1.1 if kind == "car" else 0.5
        side = float(rng.choice([-1.0, 1.0]))
        if rng.uniform() < 0.55 and margin > clear:
            # The front (-y) turned to the walkway; what is long lies along it.
            across = side * (site.half_width + rng.uniform(clear, margin))
            place(kind, across, rng.uniform(0.4 * site.nearest, end), -0.5 * side * math.pi)
        else:
            low = site.farthest + 0.8
            if low < end - 0.4:
                yaw = float(rng.choice([0.0, math.pi])) if kind in ("car", "bicycle") else 0.0
                place(kind, rng.uniform(-1.3, 1.3) * site.half_width, rng.uniform(low, end - 0.3), yaw)
    if rng.uniform() < 0.5:
        kind = str(rng.choice(kinds))
        spacing, yaw = {"bicycle": (0.55, 0.5 * math.pi), "person": (0.9, 0.0)}.get(kind, (2.3 * REACH[kind], 0.0))
        if end - site.farthest > 1.6:  # a row across the far end
            y = float(rng.uniform(site.farthest + 1.0, end - 0.4))
            for x in np.arange(-1.4 * site.half_width, 1.4 * site.half_width, max(spacing, 0.5)):
                place(kind, x + rng.normal(0.0, 0.08), y, yaw)
    return tuple(things)


def _sample_lamps(rng: np.random.Generator, site: CameraSite, end: float) -> tuple[Lamp, ...]:
    colors = np.array([[1.0, 0.82, 0.5], [1.0, 0.95, 0.85], [0.8, 0.9, 1.0], [1.0, 0.25, 0.15], [0.4, 1.0, 0.6]])
    lamps = []
    for _ in range(int(rng.integers(5, 14))):
        x = rng.uniform(-2.0, 2.0) * site.half_width
        y, z = rng.uniform(0.7, 1.0) * end - 0.05, rng.uniform(0.5, 4.5)
        color = colors[int(rng.choice(5, p=[0.42, 0.3, 0.12, 0.1, 0.06]))]
        lamps.append(Lamp(float(x), float(y), float(z), as_color(color)))
    return tuple(lamps)
