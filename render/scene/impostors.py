"""Flat pictures of persons and things, seen from several sides: cheap to draw many of.

Figures of this renderer and the models of `render.scene.props` are drawn once a machine under a plain sky, from `turns`
directions and three elevations, and kept in the user's cache folder. A picture is then laid into a view where the thing
stands, the nearest direction and elevation chosen, and lit by the light of the view.
"""

import dataclasses
import functools
import inspect
import math
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import trimesh
from PIL import Image

from render import cache, person
from render.figure import body
from render.optics import camera
from render.optics.camera import Camera
from render.optics.light import GAMMA, Light
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import accessories, poses, sample
from render.scene import props

PERSONS = 24
PERSON_PIXELS = 105.0  # rows a metre
PERSON_TURNS = 8
ELEVATIONS = (4.0, 18.0, 36.0)  # degrees over the horizon from which things are seen

_SEED = 20260701
_DISTANCE = 14.0  # metres from which they are drawn
_BORDER = 2  # transparent pixels around each picture
# What things are drawn under: soft light from above. A view's own light is relative to it.
_PLAIN = Light(0.0, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.45, 0.45, 0.45), 0.3)

KINDS: dict[str, int] = {"person": PERSONS, **{name: prop.variants for name, prop in props.PROPS.items()}}
# Those that are about round: the light goes around them.
_ROUND = ("person", "pole", "bollard", "bush", "planter", "tree", "bin")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A thing seen from one direction.

    Attributes:
        levels: RGBa (premultiplied), each half the size of the one before.
        foot: (column, row) of the place it stands on.
        pixels: Rows a metre, across the line of sight.
        rise: Rows a metre of height.
        height: Of the thing, metres.
    """

    levels: tuple[Image.Image, ...]
    foot: tuple[float, float]
    pixels: float
    rise: float
    height: float


@dataclasses.dataclass(frozen=True)
class Patch:
    """A thing in a view.

    Attributes:
        rows, columns: Where it lies.
        color: Premultiplied display values float32 [rows columns 3].
        alpha: float32 [rows columns].
        depth: Metres along the optical axis float32 [rows columns].
    """

    rows: slice
    columns: slice
    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray


def place(
    kind: str,
    variant: int,
    spot: Sequence[float] | np.ndarray,
    yaw: float,
    size: float,
    tint: Sequence[float],
    view: Camera,
    light: Light,
    shape: tuple[int, int],
    *,
    clip: bool = True,
) -> Patch | None:
    """Draws a thing where it stands.

    Args:
        kind, variant: Of KINDS; variants repeat.
        spot: (x, y) on the ground, metres.
        yaw: Its turn about z, radians.
        size: Scale.
        tint: (r, g, b) gains.
        view, light: In the same frame.
        shape: (height, width) of the picture.
        clip: Leave out what lies outside of the picture; else `columns` may reach beyond its sides.

    Returns:
        None where nothing of it is in the picture.
    """
    foot = np.array([spot[0], spot[1], 0.0])
    away = view.position - foot
    distance = math.hypot(away[0], away[1])
    elevation = math.degrees(math.atan2(away[2] - 0.9, max(distance, 1e-6)))
    picture = _picture(kind, variant % KINDS[kind], math.atan2(away[1], away[0]) - yaw, elevation)
    top = np.array([spot[0], spot[1], picture.height * size])
    (start, end), depth = view.project(np.stack([foot, top]))
    if depth.min() < 0.5:
        return None
    up = end - start
    if np.linalg.norm(up) < 1.0:  # too far to be seen, or seen from straight above
        return None
    scale = float(np.linalg.norm(up)) / (picture.height * picture.rise)
    level = min(max(0, math.floor(math.log2(1.0 / scale) + 0.5)), len(picture.levels) - 1)
    image = picture.levels[level]
    scale *= 2.0**level
    column, row = (value / 2.0**level for value in picture.foot)
    # Columns of the matrix: where a step to the right and a step up of the picture go.
    rise = up / np.linalg.norm(up) * scale
    matrix = np.array([[-rise[1], -rise[0]], [rise[0], -rise[1]]])
    corners = np.array([[x - column, y - row] for x in (0, image.width) for y in (0, image.height)]) @ matrix.T + start
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    low[1], high[1] = max(low[1], 0), min(high[1], shape[0])
    if clip:
        low[0], high[0] = max(low[0], 0), min(high[0], shape[1])
    if (high <= low).any() or (high - low).max() > 4096:
        return None
    inverse = np.linalg.inv(matrix)
    offset = np.array([column, row]) + inverse @ (low - start)
    data = (inverse[0, 0], inverse[0, 1], offset[0], inverse[1, 0], inverse[1, 1], offset[1])
    size_ = (int(high[0] - low[0]), int(high[1] - low[1]))
    warped = image.transform(size_, Image.Transform.AFFINE, data, resample=Image.Resampling.BILINEAR)
    pixels = np.asarray(warped, np.float32) * np.float32(1.0 / 255.0)
    shine = _shine(kind, light, away / max(distance, 1e-6), size_[0], (low[0] - start[0]), scale * image.width)
    color = pixels[..., :3] * (shine * np.asarray(tint, np.float32))
    # The thing as an upright plane: the inverse of its depth is linear in the picture.
    slope = (1.0 / depth[1] - 1.0 / depth[0]) / float(up @ up) * up
    inverse_depth = (
        1.0 / depth[0]
        + (np.arange(low[1], high[1])[:, None] + 0.5 - start[1]) * slope[1]
        + (np.arange(low[0], high[0])[None] + 0.5 - start[0]) * slope[0]
    )
    return Patch(
        rows=slice(int(low[1]), int(high[1])),
        columns=slice(int(low[0]), int(high[0])),
        color=color,
        alpha=pixels[..., 3],
        depth=(1.0 / np.maximum(inverse_depth, 1e-3)).astype(np.float32),
    )


def _shine(kind: str, light: Light, towards: np.ndarray, width: int, left: float, wide: float) -> np.ndarray:
    """Gain of the display values [width 3], or [3]: the light of a view, relative to the one it was drawn under."""
    facing = np.array([towards[0], towards[1], 0.0]) / max(math.hypot(towards[0], towards[1]), 1e-6)
    right = np.array([-facing[1], facing[0], 0.0])
    if kind in _ROUND:
        across = np.clip((np.arange(width) + 0.5 + left) / (0.42 * wide), -1.0, 1.0)[:, None]
        normals = facing * np.sqrt(1.0 - 0.8 * across**2) + right * 0.9 * across + [0.0, 0.0, 0.45]
    else:
        normals = (0.7 * facing + [0.0, 0.0, 0.7])[None]
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    open_sky = np.ones(len(normals), np.float32)
    relative = light.irradiance(normals, openness=open_sky) / _PLAIN.irradiance(normals, openness=open_sky)
    return relative.astype(np.float32) ** np.float32(1.0 / GAMMA)


def sample_car_paint(rng: np.random.Generator) -> tuple[float, float, float]:
    """Gains that turn a light car into one of the usual colours: mostly white, greys and black, at times strong."""
    level = float(rng.choice([1.15, 0.85, 0.55, 0.3, 0.16], p=[0.25, 0.25, 0.2, 0.15, 0.15]))
    strong = np.array([[0.75, 0.12, 0.12], [0.15, 0.25, 0.6], [0.2, 0.4, 0.3], [0.75, 0.62, 0.4], [0.35, 0.5, 0.65]])
    paint = level * (1.0 + 0.02 * rng.standard_normal(3))
    if rng.uniform() < 0.35:
        paint = strong[rng.integers(len(strong))] * rng.uniform(0.7, 1.2)
    return float(paint[0]), float(paint[1]), float(paint[2])


@dataclasses.dataclass(frozen=True)
class Outline:
    """A thing's outline seen from the sun, for its shadow.

    Attributes:
        alpha: float32 [rows columns], its foot in row `foot[1]` and column `foot[0]`.
        foot: (column, row).
        pixels: Cells a metre.
    """

    alpha: np.ndarray
    foot: tuple[float, float]
    pixels: float


def shadow(
    kind: str,
    variant: int,
    spot: Sequence[float] | np.ndarray,
    yaw: float,
    size: float,
    light: Light,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The shadow of a thing on points (x, y, z) [N] of ground or walls.

    The thing is taken for flat, across the sun's direction, and as thick as a foot there.

    Returns:
        Indices [M] of the points in its reach and the part of the sun [M] that it takes from them; None: no point.
    """
    azimuth, slope = light.sun_azimuth, math.tan(light.sun_elevation)
    tall = height(kind, variant) * size
    sx, sy = -math.cos(azimuth), -math.sin(azimuth)  # away from the sun
    dx, dy = x - np.float32(spot[0]), y - np.float32(spot[1])
    along = dx * np.float32(sx) + dy * np.float32(sy)
    rise = along * np.float32(slope) + np.asarray(z, np.float32)
    inside = (along > -0.3) & (rise < tall)
    index = np.flatnonzero(inside)
    if not len(index):
        return None
    turn = _turn_index(kind, azimuth - yaw)
    outline = _outline(kind, variant % KINDS[kind], turn, round(light.sun_size, 2))
    across = dx[index] * np.float32(-sy) + dy[index] * np.float32(sx)
    scale = outline.pixels / size
    column = outline.foot[0] + across * np.float32(scale) - np.float32(0.5)
    row = outline.foot[1] - np.maximum(rise[index], 0.02) * np.float32(scale) - np.float32(0.5)
    rows, columns = outline.alpha.shape
    near = (column > 0) & (column < columns - 2) & (row > 0) & (row < rows - 2)
    index, column, row = index[near], column[near], row[near]
    if not len(index):
        return None
    left, top = column.astype(np.int32), row.astype(np.int32)
    column, row = column - left, row - top
    first = top * columns + left
    flat = outline.alpha.ravel()
    upper = flat[first] * (1 - column) + flat[first + 1] * column
    lower = flat[first + columns] * (1 - column) + flat[first + columns + 1] * column
    return index, upper * (1 - row) + lower * row


@functools.lru_cache(maxsize=1024)  # some 20 kB each
def _outline(kind: str, variant: int, turn: int, softness: float) -> Outline:
    pictures, tall = _views(kind, variant)
    picture = pictures[turn * len(ELEVATIONS)]
    cells = 32.0  # a metre
    scale = cells / picture.pixels
    border = 12
    alpha = picture.levels[0].getchannel(3)
    columns, rows = max(1, round(alpha.width * scale)), max(1, round(alpha.height * scale))
    small = np.pad(np.asarray(alpha.resize((columns, rows), Image.Resampling.BOX), np.float32) / 255.0, border)
    # Twice as far from the ground, twice as soft; one softness for all of it is that of its middle.
    sigma = min(0.6 + 0.5 * tall * softness * cells, 8.0)
    small = scipy.ndimage.gaussian_filter(small, sigma).astype(np.float32)
    foot = (picture.foot[0] * columns / alpha.width + border, picture.foot[1] * rows / alpha.height + border)
    return Outline(small, foot, cells)


def _turn_index(kind: str, turn: float) -> int:
    turns = PERSON_TURNS if kind == "person" else props.PROPS[kind].turns
    return round(turn / (2.0 * math.pi) * turns) % turns


def _picture(kind: str, variant: int, turn: float, elevation: float) -> Picture:
    nearest = int(np.argmin(np.abs(np.array(ELEVATIONS) - elevation)))
    return _views(kind, variant)[0][_turn_index(kind, turn) * len(ELEVATIONS) + nearest]


def height(kind: str, variant: int) -> float:
    """Of a thing, metres."""
    return _views(kind, variant % KINDS[kind])[1]


# ---------------------------------------------------------------------------------------------------------- library


@functools.cache  # all of them are about 110 MB; reading one takes as long as ten things take to be drawn
def _views(kind: str, variant: int) -> tuple[tuple[Picture, ...], float]:
    """The pictures of a thing, turns and in each of them elevations, and its height in metres."""
    pixels, table = cache.load(_library(), [f"{kind}_{variant}_pixels", f"{kind}_{variant}_table"]).values()
    pictures = []
    scale, tall = float(table[0, 5]), float(table[0, 6])
    for number, (start, rows, columns, x, y, _, _) in enumerate(table):
        rows, columns = int(rows), int(columns)
        content = pixels[int(start) : int(start) + rows * columns].tobytes()
        levels = [Image.frombytes("RGBa", (columns, rows), content)]
        while min(levels[-1].size) > 8 and len(levels) < 5:
            levels.append(levels[-1].reduce(2))
        elevation = math.radians(ELEVATIONS[number % len(ELEVATIONS)])
        pictures.append(Picture(tuple(levels), (float(x), float(y)), scale, scale * math.cos(elevation), tall))
    return tuple(pictures), tall


@functools.cache
def _library() -> pathlib.Path | bytes:
    """All pictures, made by exactly this code; they are made where there are none (about half a minute)."""
    return cache.cached("impostors", _sources(), _draw_all, compress=True)


def _sources() -> list[str]:
    """Files of this module and of all of this package that it is made of: what its pictures depend on."""
    package = __name__.partition(".")[0] + "."
    names, found = [__name__], set[str]()
    while names:
        name = names.pop()
        if name.startswith(package) and name not in found:
            found.add(name)
            names += [
                str(value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", ""))
                for value in vars(sys.modules[name]).values()
            ]
    return [str(sys.modules[name].__file__) for name in sorted(found)]


def _draw_all() -> dict[str, np.ndarray]:
    store: dict[str, np.ndarray] = {}
    figure = body.load_body()
    for number in range(PERSONS):
        meshes, texture = _sample_person(figure, number)
        _draw(store, f"person_{number}", meshes, texture, PERSON_PIXELS, PERSON_TURNS)
    for kind, prop in props.PROPS.items():
        for variant in range(prop.variants):
            mesh = props.make_prop(kind, variant)
            _draw(store, f"{kind}_{variant}", [mesh], mesh.metadata["texture"], prop.pixels, prop.turns)
    return store


def _sample_person(figure: body.Body, number: int) -> tuple[list[trimesh.Trimesh], np.ndarray]:
    """A person of a random stream that no recipe uses; they walk or stand as persons do."""
    rng = np.random.default_rng((_SEED, number))
    look = sample.sample_appearance(rng)
    shape = body.sample_shape(rng, look)
    worn = accessories.sample_accessories(rng, look, accessories.AccessoryShares())
    pose = poses.sample_pose(rng, worn)
    meshes = person.build_person(figure, look, shape, pose, worn)
    return meshes, painter.paint_texture(figure, look)


def _draw(
    store: dict[str, np.ndarray],
    name: str,
    meshes: list[trimesh.Trimesh],
    texture: np.ndarray,
    pixels: float,
    turns: int,
) -> None:
    """Adds the pictures of a thing: `name`_pixels [N 4] uint8 premultiplied, one picture after another, and
    `name`_table float32 [pictures 7]: start, rows, columns, foot x, foot y, rows a metre, height."""
    points = np.concatenate([mesh.vertices for mesh in meshes])
    height = float(points[:, 2].max())
    side = math.ceil(pixels * 2.3 * max(float(np.abs(points[:, :2]).max()) * 1.05, 0.55 * height) / 32) * 32
    rasterizer = Rasterizer(side, side, 2)
    parts, table, start = [], [], 0
    for turn in range(turns):
        azimuth = 2.0 * math.pi * turn / turns
        for elevation in ELEVATIONS:
            view = _look_at(azimuth, math.radians(elevation), 0.5 * height, pixels, side)
            color, alpha = rasterizer.draw(meshes, texture, view, _PLAIN)
            rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            cut = np.dstack([color, alpha])[top : rows[-1] + 1, left : columns[-1] + 1]
            cut = np.pad(np.rint(255.0 * cut).astype(np.uint8), ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))
            ((x, y),) = view.project(np.zeros((1, 3)))[0]
            table.append((start, *cut.shape[:2], x - left + _BORDER, y - top + _BORDER, pixels, height))
            parts.append(cut.reshape(-1, 4))
            start += len(parts[-1])
    store[f"{name}_pixels"] = np.concatenate(parts)
    store[f"{name}_table"] = np.array(table, np.float64)


def _look_at(azimuth: float, elevation: float, middle: float, pixels: float, side: int) -> Camera:
    """A far camera at an azimuth about z, aimed at (0, 0, middle), with `pixels` rows a metre there."""
    towards = np.array(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    rotation = np.stack([right, np.cross(towards, right), towards], axis=1)
    position = np.array([0.0, 0.0, middle]) + _DISTANCE * towards
    return camera.Camera(rotation, position, pixels * _DISTANCE, (0.5 * side, 0.5 * side))
