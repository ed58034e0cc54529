"""Procedural backgrounds: a walkway that the person stands on, what is beside it and behind it, and the cast shadow.

A `Scene` is a small world in the camera's frame (the camera stands over (0, 0), the walkway runs along +y): a ground
with a border and painted lines, walls, a ceiling indoors, and things and persons as flat pictures (`impostors`). No
thing stands on the walkway, which is convex and holds camera and person, so nothing can come between the two. A
camera's scene is fixed; each crop shows the part of it that lies behind the person. A `Backdrop` is a part of one of
the user's photographs instead.

The ground is lit like the person (`render.optics.light`): where person, bystanders and things stand in the sun's way the
sun's part is missing, and around feet part of the sky's. At night the "sun" is a lamp: its light is a pool around the
person, and windows and lamps far behind are lit.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.ndimage
from PIL import Image

from render.optics.camera import Camera, CameraSite
from render.optics.light import GAMMA, Light
from render.scene import impostors, surfaces
from render.scene.crowd import Bystander
from render.shares import Range, Shares, draw_name

KINDS = ("street", "plaza", "park", "campus", "station")

Color = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class GroundCover:
    """A painted ground: kind and variant of `surfaces.ground`, scale, turn in radians, tint."""

    kind: str
    variant: int
    scale: float
    turn: float
    tint: Color


@dataclasses.dataclass(frozen=True)
class Line:
    """A painted line on the ground along `axis` ("x" or "y"), metres; `dash` 0 is unbroken, else half is painted."""

    axis: str
    offset: float
    width: float
    dash: float
    color: Color
    strength: float


@dataclasses.dataclass(frozen=True)
class Wall:
    """An upright plane across `axis` ("x": x = offset, "y": y = offset), of a kind of `surfaces.wall`."""

    axis: str
    offset: float
    height: float
    kind: str
    variant: int
    shift: float
    tint: Color


@dataclasses.dataclass(frozen=True)
class Thing:
    """A thing of `impostors.KINDS` that stands at (x, y), turned by `yaw` radians about z."""

    kind: str
    variant: int
    x: float
    y: float
    yaw: float
    size: float
    tint: Color


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A small light far behind, seen at night."""

    x: float
    y: float
    z: float
    color: Color


@dataclasses.dataclass(frozen=True)
class Scene:
    """A small world in the camera's frame; lengths in metres, colours are display values."""

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
    """How scenes are spread.

    Attributes:
        kinds: Weights of KINDS.
        photo_share: Share of pictures whose background is one of the user's photographs, where a folder is given.
        photo_crop: Height of the part of such a photograph behind the person, as a part of the most that it holds.
    """

    TOPIC: ClassVar[str] = "scenes"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": KINDS}
    LIMITS: ClassVar[dict[str, Range]] = {"photo_crop": (0.05, 1.0)}

    kinds: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 1.0))
    photo_share: float = 1.0
    photo_crop: Range = (0.55, 1.0)


def sample_kind(rng: np.random.Generator, site: CameraSite, shares: SceneShares | None = None) -> str:
    """Draws the kind of scene around a camera; indoors the ceiling limits the camera's height."""
    weights = (shares or SceneShares()).kinds
    low = {name: weight for name, weight in weights.items() if name != "station" and weight > 0.0}
    return draw_name(rng, low if site.height >= 3.0 and low else weights)


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """A part of a photograph behind the person.

    Attributes:
        photo: Its name in the folder.
        crop: (x, y, size): where the part lies, from 0 (left, top) to 1 (right, bottom), and its height as a part of
            the largest that has the picture's proportions.
    """

    photo: str
    crop: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """JSON values only: tuples become lists."""
        return {"photo": self.photo, "crop": list(self.crop)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Backdrop":
        """The inverse of `to_json`."""
        x, y, size = fields["crop"]
        return cls(fields["photo"], (x, y, size))


def sample_backdrop(rng: np.random.Generator, names: Sequence[str], shares: SceneShares) -> Backdrop | None:
    """Draws a part of a photograph, or None: a painted scene. `names` are a folder's, none without one."""
    if not names or rng.uniform() >= shares.photo_share:
        return None
    name = names[int(rng.integers(len(names)))]
    return Backdrop(name, (float(rng.uniform()), float(rng.uniform(0.3, 1.0)), float(rng.uniform(*shares.photo_crop))))


def make_scene(kind: str, seed: int, site: CameraSite) -> Scene:
    """The scene of a kind (one of KINDS) around a camera: a pure function of its arguments."""
    rng = np.random.default_rng(seed)
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of scene {kind!r}; expected one of {', '.join(KINDS)}.")
    grounds, borders, side_walls, end_walls, things = {
        "street": (
            ("asphalt", "asphalt", "concrete", "slabs", "pavers"),
            ("slabs", "concrete", "asphalt", "pavers"),
            ("facade", "facade", "masonry"),
            ("facade", "facade", "masonry"),
            ("car", "car", "pole", "bollard", "person", "bin", "tree", "bicycle"),
        ),
        "plaza": (
            ("slabs", "slabs", "pavers", "cobbles", "concrete"),
            ("slabs", "pavers", "grass"),
            ("facade", "masonry", "hedge"),
            ("facade", "facade", "hedge"),
            ("tree", "bench", "person", "person", "bin", "planter", "pole"),
        ),
        "park": (
            ("gravel", "asphalt", "grass", "rubber", "concrete"),
            ("grass",),
            ("hedge", "hedge", "masonry"),
            ("hedge", "facade"),
            ("tree", "tree", "tree", "bush", "bush", "bench", "person"),
        ),
        "campus": (
            ("slabs", "pavers", "asphalt", "concrete", "rubber"),
            ("pavers", "slabs", "grass"),
            ("facade", "hedge", "masonry"),
            ("facade", "hedge"),
            ("bicycle", "bicycle", "bicycle", "tree", "person", "bush", "railing"),
        ),
        "station": (
            ("tiles", "tiles", "slabs"),
            ("tiles",),
            ("paneling", "paneling", "masonry"),
            ("paneling",),
            ("person", "person", "bin", "bench", "railing"),
        ),
    }[kind]
    indoors = kind == "station"
    half_width = site.half_width
    margin = float(rng.uniform(0.3, 1.5) if indoors else rng.uniform(0.8, 6.0))
    end = site.farthest + float(rng.choice([rng.uniform(1.2, 3.0), rng.uniform(3.0, 14.0)]))
    walls = [_sample_wall(rng, "y", end, end_walls, indoors)]
    for side in (-1, 1):
        if indoors or rng.uniform() < 0.8:
            walls.append(_sample_wall(rng, "x", side * (half_width + margin), side_walls, indoors))
    walkway = _sample_cover(rng, grounds)
    horizon = rng.uniform(0.8, 0.98) * np.array([1.0, 1.0, 1.0])
    zenith = horizon * (1.0 - rng.uniform(0.0, 0.45) * np.array([1.0, 0.6, 0.12]))
    return Scene(
        kind=kind,
        half_width=half_width,
        walkway=walkway,
        border=walkway if indoors else _sample_cover(rng, borders),
        curb=_color(rng.uniform(0.5, 0.8) * np.ones(3)) if not indoors and rng.uniform() < 0.6 else None,
        lines=_sample_lines(rng, kind, half_width, end),
        walls=tuple(walls),
        things=_sample_things(rng, things, site, end, margin),
        lamps=() if indoors else _sample_lamps(rng, site, end),
        ceiling=float(rng.uniform(3.3, 4.2)) if indoors else None,
        sky=(_color(horizon), _color(zenith)),
        softness=float(rng.uniform(0.3, 0.9)),
    )


def _color(values: np.ndarray) -> Color:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _tint(rng: np.random.Generator, low: float, high: float, spread: float) -> Color:
    return _color(rng.uniform(low, high) * (1.0 + spread * rng.standard_normal(3)))


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


# Half of the largest extent of things, metres: that far they stay from the walkway.
REACH = {
    "person": 0.4,
    "car": 2.3,
    "bicycle": 0.95,
    "bench": 0.95,
    "bin": 0.4,
    "pole": 0.4,
    "bollard": 0.1,
    "bush": 0.95,
    "planter": 0.65,
    "tree": 1.2,
    "railing": 1.2,
}


def _sample_things(
    rng: np.random.Generator, kinds: tuple[str, ...], site: CameraSite, end: float, margin: float
) -> tuple[Thing, ...]:
    """Objects beside the walkway and behind the farthest person; at times a row of one kind."""
    things: list[Thing] = []

    def place(kind: str, x: float, y: float, yaw: float) -> None:
        tint = impostors.sample_car_paint(rng) if kind == "car" else _tint(rng, 0.8, 1.12, 0.04)
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
        lamps.append(Lamp(float(x), float(y), float(z), _color(color)))
    return tuple(lamps)


# ---------------------------------------------------------------------------------------------------------- drawing

_SKY, _CEILING, _GROUND, _FIRST_WALL = 0, 1, 2, 3


def draw_backdrop(
    photo: np.ndarray,
    backdrop: Backdrop,
    camera: Camera,
    light: Light,
    person: np.ndarray,
    height: int,
    width: int,
    crowd: Sequence[Bystander] = (),
) -> np.ndarray:
    """Draws a part of a photograph behind a person, with bystanders and cast shadows on its ground.

    Args:
        photo: uint8 [h w 3], `PhotoFolder.read(backdrop.photo)`.
        backdrop: Which part.
        camera, light, person, height, width, crowd: As for `draw_background`.

    Returns:
        Display values float32 [height width 3] in [0, 1].
    """
    rows, columns = photo.shape[:2]
    x, y, size = backdrop.crop
    high = size * min(rows, columns * height / width)
    wide = high * width / height
    left, top = x * (columns - wide), y * (rows - high)
    part = Image.fromarray(photo).resize(
        (width, height), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high), reducing_gap=3.0
    )
    picture = np.asarray(part, np.float32) * np.float32(1.0 / 255.0)
    # Part of the way to the brightness that the light would give a middle grey.
    normal = np.array([[0.0, 0.0, 1.0]], np.float32)
    expected = 0.45 * float(light.irradiance(normal, openness=np.ones(1)).mean()) ** (1.0 / GAMMA)
    picture *= np.float32(np.clip((expected / max(float(picture.mean()), 0.02)) ** 0.5, 0.35, 1.5))
    things = [_as_thing(one) for one in crowd]
    rays = camera.rays(height, width)
    # How far the photograph's own ground reaches is not known: shadows fall near the person only.
    rows_below = np.flatnonzero(rays[..., 2].max(axis=1) < -0.05)
    if len(rows_below):
        below = slice(int(rows_below[0]), height)
        sun, sky = (one[below].ravel() for one in cast_shadow(camera, light, person, height, width))
        flat = rays[below].reshape(-1, 3)
        reach = (camera.position[2] / -flat[:, 2]).astype(np.float32)
        x, y = (np.float32(camera.position[axis]) + reach * flat[:, axis] for axis in (0, 1))
        sun = sun * _shadows(things, light, x, y)
        picture[below] *= shade_gain(light, sun, sky).reshape(-1, width, 3)
    everywhere = np.full((height, width), np.inf, np.float32)
    _draw_things(things, picture, everywhere, camera, light, person[:, :2].mean(axis=0))
    picture = scipy.ndimage.gaussian_filter(picture, (_PHOTO_SOFTNESS, _PHOTO_SOFTNESS, 0.0), truncate=3.0)
    return np.clip(picture, 0.0, 1.0)


# Pixels a side that a photograph need not have more of: the least crop then has some 500 rows.
PHOTO_SIDE = 900
# A photograph that is made smaller is sharper than what a video camera gives, pixels.
_PHOTO_SOFTNESS = 0.6


def shade_gain(light: Light, sun: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Gain [N 3] of the display values of ground that parts `sun` and `sky` [N] of the light reach."""
    normal = np.array([[0.0, 0.0, 1.0]], np.float32)
    whole = light.irradiance(normal, openness=np.ones(1, np.float32))
    lit = light.irradiance(np.repeat(normal, len(sun), axis=0), sun_visibility=sun, openness=sky)
    return (lit / whole).astype(np.float32) ** np.float32(1.0 / GAMMA)


def draw_background(
    scene: Scene,
    camera: Camera,
    light: Light,
    person: np.ndarray,
    height: int,
    width: int,
    crowd: Sequence[Bystander] = (),
) -> np.ndarray:
    """Draws what is behind a person.

    Args:
        scene: The world, in the camera site's frame.
        camera: In the same frame, with pixels of this picture size.
        light: In the same frame.
        person: [M 3] points that fill the person's surface, in the same frame; they cast the shadow.
        height, width: Size of the picture.
        crowd: Other persons, in the same frame; they stand behind the person and cast shadows, too.

    Returns:
        Display values float32 [height width 3] in [0, 1].
    """
    origin = camera.position.astype(np.float32)
    rays = camera.rays(height, width).reshape(-1, 3)
    distance, hit = _trace(scene, origin, rays)
    color = np.empty((height * width, 3), np.float32)
    spot = person[:, :2].mean(axis=0)
    standing = [*scene.things, *(_as_thing(one) for one in crowd)]

    index = np.flatnonzero(hit == _SKY)
    if len(index):
        rise = np.clip(rays[index, 2] / np.linalg.norm(rays[index], axis=1) * 2.0, 0.0, 1.0)[:, None]
        horizon, zenith = (np.array(one, np.float32) for one in scene.sky)
        color[index] = (horizon * (1.0 - rise) + zenith * rise) * (_NIGHT_SKY if light.night else np.float32(1.0))

    index = np.flatnonzero(hit == _CEILING)
    if len(index):
        points = origin + distance[index, None] * rays[index]
        lamps = (np.abs(points[:, 0] % 2.4 - 1.2) < 0.15) & (points[:, 1] % 3.0 < 1.5)
        color[index] = np.where(lamps[:, None], 1.0, 0.55)

    index = np.flatnonzero(hit == _GROUND)
    if len(index):
        shade = cast_shadow(camera, light, person, height, width)
        color[index] = _ground_color(scene, standing, camera, light, origin, rays, distance, index, shade, spot)

    silhouette = Thing("person", 0, float(spot[0]), float(spot[1]), 0.0, 1.0, (1.0, 1.0, 1.0))
    for number, wall in enumerate(scene.walls):
        index = np.flatnonzero(hit == _FIRST_WALL + number)
        if len(index):
            near = [silhouette, *standing]
            color[index] = _wall_color(wall, near, camera, light, origin, rays, distance, index, spot)

    picture = color.reshape(height, width, 3)
    # The ground hides nothing that stands on it.
    depth = np.where(hit == _GROUND, np.float32(np.inf), distance).reshape(height, width)
    if light.night:
        _draw_lamps(scene.lamps, picture, distance.reshape(height, width), camera)
    _draw_things(standing, picture, depth, camera, light, spot)
    picture = scipy.ndimage.gaussian_filter(picture, (scene.softness, scene.softness, 0.0), truncate=3.0)
    return np.clip(picture, 0.0, 1.0)


def _trace(scene: Scene, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest surface along every ray: distance [N] along the optical axis and number of the surface [N]."""
    down = np.minimum(rays[:, 2], -1e-6)
    distance = np.where(rays[:, 2] < -1e-5, -origin[2] / down, np.float32(1e6)).astype(np.float32)
    hit = np.where(distance < 1e6, _GROUND, _SKY)
    if scene.ceiling is not None:
        up = (scene.ceiling - origin[2]) / np.maximum(rays[:, 2], 1e-6)
        nearer = (rays[:, 2] > 1e-5) & (up < distance)
        distance, hit = np.where(nearer, up, distance), np.where(nearer, _CEILING, hit)
    for number, wall in enumerate(scene.walls):
        axis = 0 if wall.axis == "x" else 1
        gap = wall.offset - origin[axis]
        along = rays[:, axis] * np.sign(gap)
        depth = np.abs(gap) / np.maximum(along, 1e-6)
        nearer = (along > 1e-5) & (depth < distance) & (origin[2] + depth * rays[:, 2] < wall.height)
        distance, hit = np.where(nearer, depth, distance), np.where(nearer, _FIRST_WALL + number, hit)
    return distance.astype(np.float32), hit


def _cover_color(cover: GroundCover, x: np.ndarray, y: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    cosine, sine = math.cos(cover.turn) / cover.scale, math.sin(cover.turn) / cover.scale
    surface = surfaces.ground(cover.kind, cover.variant)
    color = surface.sample(x * cosine - y * sine, x * sine + y * cosine, footprint / cover.scale)
    return color * np.array(cover.tint, np.float32)


def _band(value: np.ndarray, middle: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """Coverage [N] of a band by pixels of the given size."""
    return np.clip((0.5 * width - np.abs(value - middle)) / np.maximum(footprint, 1e-4) + 0.5, 0.0, 1.0)


def _ground_color(
    scene: Scene,
    things: Sequence[Thing],
    camera: Camera,
    light: Light,
    origin: np.ndarray,
    rays: np.ndarray,
    distance: np.ndarray,
    index: np.ndarray,
    shade: tuple[np.ndarray, np.ndarray],
    spot: np.ndarray,
) -> np.ndarray:
    rays, distance = rays[index], distance[index]
    x = origin[0] + distance * rays[:, 0]
    y = origin[1] + distance * rays[:, 1]
    across = distance / np.float32(camera.focal)
    along = across * np.linalg.norm(rays, axis=1) / np.maximum(-rays[:, 2], 1e-3)
    footprint = np.sqrt(across * along)
    color = np.empty((len(index), 3), np.float32)
    outside = np.abs(x) > scene.half_width
    for cover, part in ((scene.walkway, ~outside), (scene.border, outside)):
        chosen = np.flatnonzero(part)
        if len(chosen):
            color[chosen] = _cover_color(cover, x[chosen], y[chosen], footprint[chosen])
    if scene.curb is not None:
        edge = np.abs(x) - scene.half_width
        stone = _band(edge, 0.09, 0.18, across)[:, None]
        gap = 0.45 * _band(edge, -0.01, 0.025, across)[:, None]
        color = (color * (1 - stone) + np.array(scene.curb, np.float32) * stone) * (1 - gap)
    for line in scene.lines:
        value, other, size = (x, y, across) if line.axis == "y" else (y, x, along)
        cover = line.strength * _band(value, line.offset, line.width, size)
        if line.dash > 0.0:
            cover = cover * (other % (2.0 * line.dash) < line.dash)
        if line.axis == "x":
            cover = cover * (np.abs(x) < scene.half_width)
        color += cover[:, None] * (np.array(line.color, np.float32) - color)
    open_sky = np.ones(len(index), np.float32)
    sun, sky = (one.reshape(-1)[index] for one in shade)
    sun = sun * _shadows(things, light, x, y) * _pool(light, x, y, spot)
    corner = np.array([x.min(), y.min(), x.max(), y.max()])
    for thing in things:  # objects darken the ground that they stand on
        reach = 0.8 * REACH[thing.kind] * thing.size
        if (np.array([thing.x, thing.y, -thing.x, -thing.y]) < corner * [1, 1, -1, -1] - 2.5 * reach).any():
            continue
        offset = ((x - thing.x) / reach) ** 2 + ((y - thing.y) / reach) ** 2
        near = offset < 4.0
        open_sky[near] *= 1.0 - 0.5 * np.exp(-1.5 * offset[near])
    for wall in scene.walls:
        gap = np.abs((x if wall.axis == "x" else y) - wall.offset)
        open_sky *= 1.0 - 0.35 * np.exp(-gap / 0.5)
    normal = np.broadcast_to(np.array([0.0, 0.0, 1.0], np.float32), (len(index), 3))
    irradiance = light.irradiance(normal, sun_visibility=sun, openness=sky * open_sky)
    return color * irradiance ** np.float32(1.0 / GAMMA)


def _wall_color(
    wall: Wall,
    things: Sequence[Thing],
    camera: Camera,
    light: Light,
    origin: np.ndarray,
    rays: np.ndarray,
    distance: np.ndarray,
    index: np.ndarray,
    spot: np.ndarray,
) -> np.ndarray:
    rays, distance = rays[index], distance[index]
    axis = 0 if wall.axis == "x" else 1
    along = origin[1 - axis] + distance * rays[:, 1 - axis] + wall.shift
    rise = origin[2] + distance * rays[:, 2]
    slant = np.linalg.norm(rays, axis=1) / np.maximum(np.abs(rays[:, axis]), 1e-3)
    footprint = distance / np.float32(camera.focal) * np.sqrt(slant)
    color = surfaces.wall(wall.kind, wall.variant).sample(along, rise, footprint)
    normal = np.zeros(3, np.float32)
    normal[axis] = -np.sign(wall.offset - origin[axis])
    level = np.full(len(index), wall.offset, np.float32)
    other = origin[1 - axis] + distance * rays[:, 1 - axis]
    x, y = (level, other) if axis == 0 else (other, level)
    sun = np.ones(len(index), np.float32)
    if light.sun_direction() @ normal > 0.05:
        near = [one for one in things if abs((one.x, one.y)[axis] - wall.offset) < 4.0]
        sun = _shadows(near, light, x, y, rise)
    sun = sun * _pool(light, x, y, spot)
    openness = 0.7 + 0.3 * np.clip(rise / 0.7, 0.0, 1.0)
    irradiance = light.irradiance(normal[None], sun_visibility=sun, openness=np.ones(1, np.float32))
    color = color * np.array(wall.tint, np.float32) * (irradiance * openness[:, None]) ** np.float32(1.0 / GAMMA)
    if light.night and wall.kind == "facade":
        lit = surfaces.glow(wall.kind, wall.variant).sample(along, rise, footprint)
        color = np.maximum(color, lit * (0.35 + color) * np.array([0.95, 0.75, 0.48], np.float32))
    return color


_NIGHT_SKY = np.array([0.06, 0.07, 0.1], np.float32)


def _pool(light: Light, x: np.ndarray, y: np.ndarray, spot: np.ndarray) -> np.ndarray:
    """Part [N] of a lamp's light at places away from the person: at night it is a pool, by day all there is."""
    if not light.night:
        return np.ones(np.shape(x), np.float32)
    return np.exp(((x - spot[0]) ** 2 + (y - spot[1]) ** 2) * np.float32(-1.0 / 5.0**2))


_HAZIEST = 0.25  # a sun that is wider throws hardly a shadow


def _as_thing(bystander: Bystander) -> Thing:
    one = bystander
    return Thing("person", one.figure, one.x, one.y, one.yaw, one.size, (1.0, 1.0, 1.0))


def _shadows(
    things: Sequence[Thing], light: Light, x: np.ndarray, y: np.ndarray, z: np.ndarray | float = 0.0
) -> np.ndarray:
    """Part [N] of the sun that things leave to points [N] of the ground, or of a wall."""
    sun = np.ones(len(x), np.float32)
    if light.sun_size > _HAZIEST:
        return sun
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    direction = light.sun_direction()
    for thing in things:
        start = np.array([thing.x, thing.y])
        end = start - direction[:2] / direction[2] * (5.0 if thing.kind in ("tree", "pole") else 2.1) * thing.size
        if (np.minimum(start, end) - REACH[thing.kind] > high).any() or (
            np.maximum(start, end) + REACH[thing.kind] < low
        ).any():
            continue
        cast = impostors.shadow(thing.kind, thing.variant, start, thing.yaw, thing.size, light, x, y, z)
        if cast is not None:
            sun[cast[0]] *= 1.0 - cast[1]
    return sun


def _draw_lamps(lamps: Sequence[Lamp], picture: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
    """Adds blurred discs of light, in place."""
    for lamp in lamps:
        ((column, row),), (distance,) = camera.project(np.array([[lamp.x, lamp.y, lamp.z]]))
        radius = 0.09 * camera.focal / max(distance, 1.0) + 2.0
        left, top = int(column - 3 * radius), int(row - 3 * radius)
        rows = slice(max(top, 0), min(int(row + 3 * radius), picture.shape[0]))
        columns = slice(max(left, 0), min(int(column + 3 * radius), picture.shape[1]))
        if distance < 1.0 or rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        y, x = np.ogrid[rows, columns]
        square = ((x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2).astype(np.float32) / np.float32(radius**2)
        shine = np.exp(-(square**2)) + 0.25 * np.exp(-0.6 * square)
        shine = shine * (depth[rows, columns] > distance)
        picture[rows, columns] += shine[..., None] * np.array(lamp.color, np.float32)


def _draw_things(
    things: Sequence[Thing],
    picture: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    light: Light,
    spot: np.ndarray,
) -> None:
    """Lays things over the picture, in place, the farthest first, where no wall is nearer."""
    for thing in sorted(things, key=lambda one: -math.hypot(one.x, one.y)):
        place = (thing.x, thing.y)
        shone = light
        if light.night:
            part = float(_pool(light, np.array(thing.x), np.array(thing.y), spot))
            red, green, blue = light.sun
            shone = dataclasses.replace(light, sun=(part * red, part * green, part * blue))
        patch = impostors.place(
            thing.kind, thing.variant, place, thing.yaw, thing.size, thing.tint, camera, shone, depth.shape
        )
        if patch is None:
            continue
        area = picture[patch.rows, patch.columns]
        seen = patch.depth < depth[patch.rows, patch.columns]
        area *= 1.0 - (patch.alpha * seen)[..., None]
        area += patch.color * seen[..., None]


def cast_shadow(
    camera: Camera, light: Light, person: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the person takes away from the ground.

    Args:
        camera, light: In the world.
        person: [M 3] points that fill the person's surface, in the world.
        height, width: Size of the picture (even).

    Returns:
        Part of the sun and part of the sky that reaches the ground behind every pixel, float32 [height width] each.
    """
    person = np.asarray(person[::2], np.float32)  # dense enough: some points a pixel
    pixels_per_metre = camera.focal / float(np.linalg.norm(person.mean(axis=0) - camera.position))
    shape = (height // 2, width // 2)
    blocked = np.zeros(shape, np.float32)
    if light.sun_size <= _HAZIEST:
        sun_direction = light.sun_direction()
        slope = (sun_direction[:2] / sun_direction[2]).astype(np.float32)
        place, inside = _cells(camera, person[:, :2] - person[:, 2:] * slope, shape)
        # Three layers: the shadow of what is higher is softer.
        for low, high in ((-0.1, 0.35), (0.35, 1.0), (1.0, 3.0)):
            part = inside & (person[:, 2] >= low) & (person[:, 2] < high)
            middle = max(0.0, 0.5 * (low + high))
            softness = light.sun_size * middle / float(sun_direction[2]) * pixels_per_metre
            blocked = np.maximum(blocked, _fill(place[part], shape, softness))
    low = person[person[:, 2] < 1.1]
    place, inside = _cells(camera, low[:, :2], shape)
    contact = _fill(place[inside & (low[:, 2] < 0.12)], shape, 0.035 * pixels_per_metre)
    around = _fill(place[inside], shape, 0.22 * pixels_per_metre)
    sky = (1.0 - 0.75 * contact) * (1.0 - 0.35 * around)
    return 1.0 - _enlarge(blocked), _enlarge(sky)


_MARGIN = 8  # cells around the picture: what lies there, softened, reaches into it


def _cells(camera: Camera, points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where ground points [N 2] lie in a half-size picture with a margin: number of the cell, and whether inside."""
    rotation = camera.rotation.astype(np.float32)
    local = (points - camera.position[:2].astype(np.float32)) @ rotation[:2] - np.float32(
        camera.position[2]
    ) * rotation[2]
    depth = np.maximum(-local[:, 2], np.float32(1e-3))
    scale = np.float32(0.5 * camera.focal) / depth
    column = np.floor(local[:, 0] * scale + np.float32(0.5 * camera.center[0] + _MARGIN))
    row = np.floor(np.float32(0.5 * camera.center[1] + _MARGIN) - local[:, 1] * scale)
    rows, columns = shape[0] + 2 * _MARGIN, shape[1] + 2 * _MARGIN
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows) & (local[:, 2] < -0.1)
    return np.where(inside, row * columns + column, 0).astype(np.int32), inside


def _fill(place: np.ndarray, shape: tuple[int, int], softness: float) -> np.ndarray:
    """Coverage [0, 1] of a half-size picture by a cloud of cells, softened by `softness` full-size pixels."""
    if not len(place):
        return np.zeros(shape, np.float32)
    rows, columns = shape[0] + 2 * _MARGIN, shape[1] + 2 * _MARGIN
    taken = np.zeros(rows * columns, np.float32)
    taken[place] = 5.0
    filled = np.minimum(scipy.ndimage.gaussian_filter(taken.reshape(rows, columns), 1.1, truncate=3.0), 1.0)
    softness = min(0.5 * softness, 12.0)
    if softness > 0.4:
        filled = scipy.ndimage.gaussian_filter(filled, softness, truncate=2.5)
    return filled[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _enlarge(picture: np.ndarray) -> np.ndarray:
    """Doubles a picture's size with bilinear interpolation."""
    padded = np.pad(picture, 1, mode="edge")
    near, far = padded[1:-1], (padded[:-2], padded[2:])
    rows = np.stack([0.75 * near + 0.25 * far[0], 0.75 * near + 0.25 * far[1]], axis=1).reshape(-1, padded.shape[1])
    near, far = rows[:, 1:-1], (rows[:, :-2], rows[:, 2:])
    return np.stack([0.75 * near + 0.25 * far[0], 0.75 * near + 0.25 * far[1]], axis=2).reshape(rows.shape[0], -1)
