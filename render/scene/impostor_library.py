"""The library of flat pictures of persons and things, each seen from several sides.

Figures of this renderer and the models of `render.scene.props` are drawn once a machine under a plain sky, from a
number of directions around them and from three elevations, and kept in the user's cache folder.
"""

import ast
import dataclasses
import functools
import math
import pathlib
import sys

import numpy as np
import trimesh
from PIL import Image

from render import cache, person
from render.figure import body
from render.optics.camera import Camera
from render.optics.light import Light
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import accessories, poses, sample
from render.scene import props

PERSONS = 24
PERSON_PIXELS = 105.0  # rows a metre
PERSON_TURNS = 8
ELEVATIONS = (4.0, 18.0, 36.0)  # degrees over the horizon from which things are seen
# The light that pictures are drawn under, soft and from above; a view's own light is relative to it.
PLAIN = Light(0.0, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.45, 0.45, 0.45), 0.3)

_SEED = 20260701
_DISTANCE = 14.0  # metres from which pictures are drawn
_BORDER = 2  # transparent pixels around each picture

# kind -> number of variants
KINDS: dict[str, int] = {"person": PERSONS, **{name: prop.variants for name, prop in props.PROPS.items()}}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A thing seen from one direction.

    Attributes:
        levels: RGBa (premultiplied), each half the size of the one before.
        untinted: RGB (premultiplied), the part of `levels` that a tint leaves alone; () where it changes all.
        foot: (column, row) of the place it stands on.
        pixels: Rows a metre, across the line of sight.
        rise: Rows a metre of height.
        height: Height of the thing, metres.
    """

    levels: tuple[Image.Image, ...]
    untinted: tuple[Image.Image, ...]
    foot: tuple[float, float]
    pixels: float
    rise: float
    height: float


@dataclasses.dataclass(frozen=True)
class Views:
    """A thing seen from all sides.

    Attributes:
        pictures: One for every direction around it, and in each of them for every one of ELEVATIONS.
        height: Height of the thing, metres.
    """

    pictures: tuple[Picture, ...]
    height: float


def turn_index(kind: str, turn: float) -> int:
    """Return the number of the direction nearest to `turn`, radians from the thing's own x axis."""
    turns = PERSON_TURNS if kind == "person" else props.PROPS[kind].turns
    return round(turn / (2.0 * math.pi) * turns) % turns


def nearest(kind: str, variant: int, turn: float, elevation: float) -> Picture:
    """Return the picture of a thing that is nearest to a direction (radians) and an elevation (degrees)."""
    number = int(np.argmin(np.abs(np.array(ELEVATIONS) - elevation)))
    return views(kind, variant % KINDS[kind]).pictures[turn_index(kind, turn) * len(ELEVATIONS) + number]


def height(kind: str, variant: int) -> float:
    """Return the height of a thing, metres."""
    return views(kind, variant % KINDS[kind]).height


@functools.cache  # all of them are about 110 MB; reading one takes as long as ten things take to be drawn
def views(kind: str, variant: int) -> Views:
    """Return the pictures of a thing; `variant` is below KINDS[kind]."""
    names = [f"{kind}_{variant}_{what}" for what in ("pixels", "untinted", "table")]
    pixels, untinted, table = cache.load(_library(), names).values()
    pictures = []
    scale, tall = float(table[0, 5]), float(table[0, 6])
    for number, (start, rows, columns, x, y, _, _) in enumerate(table):
        rows, columns = int(rows), int(columns)
        part = slice(int(start), int(start) + rows * columns)
        levels = _levels(Image.frombytes("RGBa", (columns, rows), pixels[part].tobytes()))
        kept = _levels(Image.frombytes("RGB", (columns, rows), untinted[part].tobytes())) if len(untinted) else ()
        elevation = math.radians(ELEVATIONS[number % len(ELEVATIONS)])
        pictures.append(Picture(levels, kept, (float(x), float(y)), scale, scale * math.cos(elevation), tall))
    return Views(tuple(pictures), tall)


def _levels(image: Image.Image) -> tuple[Image.Image, ...]:
    """Return a picture and smaller ones, each half the size of the one before."""
    levels = [image]
    while min(levels[-1].size) > 8 and len(levels) < 5:
        levels.append(levels[-1].reduce(2))
    return tuple(levels)


@functools.cache
def _library() -> pathlib.Path | bytes:
    """Return all pictures as drawn by exactly this code; draws them where there are none (about half a minute)."""
    return cache.cached("impostors", sources(), _draw_all, compress=True)


def sources() -> list[str]:
    """Return the files that the pictures depend on: this module and all of the package that it imports, in any way."""
    package = __name__.partition(".")[0]
    names, found = [__name__], dict[str, str]()
    while names:
        name = names.pop()
        if name not in found and name.partition(".")[0] == package and name in sys.modules:
            found[name] = str(sys.modules[name].__file__)
            names += _imported(pathlib.Path(found[name]))
    return [found[name] for name in sorted(found)]


def _imported(path: pathlib.Path) -> list[str]:
    """Return the names that a module's import statements may mean as modules: `from a import b` may mean a and a.b."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


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
    """Draw a person from a random stream that no recipe uses, in a pose that recipes draw too."""
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
    """Add the pictures of a thing to the store.

    `name`_pixels, uint8 [N 4], holds one picture after another, premultiplied; `name`_untinted, uint8 [N 3], the part
    of their colours that a tint leaves alone, empty where there is none; `name`_table, float64 [pictures 7], holds for
    each of them start, rows, columns, foot x, foot y, rows a metre and height.
    """
    points = np.concatenate([mesh.vertices for mesh in meshes])
    height = float(points[:, 2].max())
    side = math.ceil(pixels * 2.3 * max(float(np.abs(points[:, :2]).max()) * 1.05, 0.55 * height) / 32) * 32
    rasterizer = Rasterizer(side, side, 2)
    parts, kept, table, start = [], [], [], 0
    untinted = _untinted_part(meshes[0])
    for turn in range(turns):
        azimuth = 2.0 * math.pi * turn / turns
        for elevation in ELEVATIONS:
            view = _look_at(azimuth, math.radians(elevation), 0.5 * height, pixels, side)
            color, alpha = rasterizer.draw(meshes, texture, view, PLAIN)
            rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            box = slice(top, rows[-1] + 1), slice(left, columns[-1] + 1)
            cut = _cut(np.dstack([color, alpha]), box)
            if untinted is not None:
                kept.append(_cut(rasterizer.draw([untinted], texture, view, PLAIN)[0], box).reshape(-1, 3))
            ((x, y),) = view.project(np.zeros((1, 3)))[0]
            table.append((start, *cut.shape[:2], x - left + _BORDER, y - top + _BORDER, pixels, height))
            parts.append(cut.reshape(-1, 4))
            start += len(parts[-1])
    store[f"{name}_pixels"] = np.concatenate(parts)
    store[f"{name}_untinted"] = np.concatenate(kept) if kept else np.zeros((0, 3), np.uint8)
    store[f"{name}_table"] = np.array(table, np.float64)


def _untinted_part(mesh: trimesh.Trimesh) -> trimesh.Trimesh | None:
    """Return the mesh with all that a tint changes in black; None where a tint changes all of it."""
    if "untinted" not in mesh.metadata:
        return None
    part = mesh.copy()
    part.metadata["texture"] = mesh.metadata["untinted"]
    return part


def _cut(picture: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Return the part in a box of rows and columns, uint8, with the border around it."""
    part = np.rint(255.0 * picture[box]).astype(np.uint8)
    return np.pad(part, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))


def _look_at(azimuth: float, elevation: float, middle: float, pixels: float, side: int) -> Camera:
    """Return a far camera at an azimuth about z, aimed at (0, 0, middle), with `pixels` rows a metre there."""
    towards = np.array(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    rotation = np.stack([right, np.cross(towards, right), towards], axis=1)
    position = np.array([0.0, 0.0, middle]) + _DISTANCE * towards
    return Camera(rotation, position, pixels * _DISTANCE, (0.5 * side, 0.5 * side))
