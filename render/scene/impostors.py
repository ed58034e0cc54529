"""Flat pictures laid into a view: cheap to draw many of.

A picture of `render.scene.impostor_library` is laid into a view where the thing stands: the one of the nearest direction
and elevation, lit by the light of the view. The outline that the thing has seen from the sun casts its shadow.
"""

import dataclasses
import functools
import math

import numpy as np
import scipy.ndimage
from PIL import Image

from render.optics.camera import Camera
from render.optics.light import GAMMA, Light
from render.scene import impostor_library
from render.scene.impostor_library import ELEVATIONS, KINDS, PLAIN, Picture
from render.scene.things import Thing
from render.scene.view import View

# Those that are about round: the light goes around them.
_ROUND = ("person", "pole", "bollard", "bush", "planter", "tree", "bin")


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


def place(thing: Thing, view: View, *, clip: bool = True) -> Patch | None:
    """Draw a thing where it stands.

    Args:
        thing: The thing, in the view's frame.
        view: The view.
        clip: Leave out what lies outside of the picture; else `columns` may reach beyond its sides.

    Returns:
        None where nothing of it is in the picture.
    """
    away = view.camera.position - np.array([thing.x, thing.y, 0.0])
    distance = math.hypot(away[0], away[1])
    elevation = math.degrees(math.atan2(away[2] - 0.9, max(distance, 1e-6)))
    picture = impostor_library.nearest(thing.kind, thing.variant, math.atan2(away[1], away[0]) - thing.yaw, elevation)
    axis = _Axis.of(thing, picture.height * thing.size, view.camera)
    if axis is None:
        return None
    warped = _warp(picture, axis, view, clip=clip)
    if warped is None:
        return None
    columns = warped.columns
    across = np.arange(columns.stop - columns.start) + 0.5 + (columns.start - axis.foot[0])
    tint = np.asarray(thing.tint, np.float32)
    shine = _shine(thing.kind, view.light, away / max(distance, 1e-6), across / (0.42 * warped.width))
    return Patch(
        rows=warped.rows,
        columns=columns,
        color=shine * (warped.pixels[..., :3] * tint + warped.untinted * (np.float32(1.0) - tint)),
        alpha=warped.pixels[..., 3],
        depth=axis.depth_at(warped.rows, columns),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Axis:
    """The upright line through a thing, in a view.

    Attributes:
        foot: Pixel (x, y) where it stands [2].
        up: Pixels (x, y) from there to its top [2].
        depth: Metres along the optical axis of foot and top [2].
        shape: Columns and rows of the view's picture to a pixel of one that is not stretched [2].
    """

    foot: np.ndarray
    up: np.ndarray
    depth: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, thing: Thing, height: float, camera: Camera) -> "_Axis | None":
        """Project the axis of a thing; None where it cannot be drawn: behind the camera, or shorter than a pixel."""
        foot, top = np.array([thing.x, thing.y, 0.0]), np.array([thing.x, thing.y, height])
        (start, end), depth = camera.project(np.stack([foot, top]))
        if depth.min() < 0.5:
            return None
        up = end - start
        if np.linalg.norm(up) < 1.0:  # too far to be seen, or seen from straight above
            return None
        return cls(start, up, depth, np.array([camera.stretch, 1.0]))

    @property
    def plain_up(self) -> np.ndarray:
        """`up` in pixels of a picture that is not stretched."""
        return self.up / self.shape

    def depth_at(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the depth float32 [rows columns] of the thing taken for an upright plane."""
        # The inverse of a plane's depth is linear in the picture.
        up = self.plain_up
        slope = (1.0 / self.depth[1] - 1.0 / self.depth[0]) / float(up @ up) * up / self.shape
        inverse = (
            1.0 / self.depth[0]
            + (np.arange(rows.start, rows.stop)[:, None] + 0.5 - self.foot[1]) * slope[1]
            + (np.arange(columns.start, columns.stop)[None] + 0.5 - self.foot[0]) * slope[0]
        )
        return (1.0 / np.maximum(inverse, 1e-3)).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class _Warped:
    """A picture turned and scaled to the size of its thing in a view.

    Attributes:
        rows, columns: Where it lies.
        pixels: Premultiplied RGBa float32 [rows columns 4].
        untinted: The part of their colours that a tint leaves alone, float32 [rows columns 3]; [1 1 1] where it is 0.
        width: Width of the whole picture, pixels of the view.
    """

    rows: slice
    columns: slice
    pixels: np.ndarray
    untinted: np.ndarray
    width: float


def _warp(picture: Picture, axis: _Axis, view: View, *, clip: bool) -> _Warped | None:
    """Lay a picture along the axis of its thing; None where nothing of it is in the view."""
    up = axis.plain_up
    scale = float(np.linalg.norm(up)) / (picture.height * picture.rise)
    level = min(max(0, math.floor(math.log2(1.0 / scale) + 0.5)), len(picture.levels) - 1)
    image = picture.levels[level]
    scale *= 2.0**level
    column, row = (value / 2.0**level for value in picture.foot)
    # Columns of the matrix: where a step to the right and a step up of the picture go.
    rise = up / np.linalg.norm(up) * scale
    matrix = np.array([[-rise[1], -rise[0]], [rise[0], -rise[1]]]) * axis.shape[:, None]
    corners = np.array([[x - column, y - row] for x in (0, image.width) for y in (0, image.height)])
    corners = corners @ matrix.T + axis.foot
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    low[1], high[1] = max(low[1], 0), min(high[1], view.height)
    if clip:
        low[0], high[0] = max(low[0], 0), min(high[0], view.width)
    if (high <= low).any() or (high - low).max() > 4096:
        return None
    inverse = np.linalg.inv(matrix)
    offset = np.array([column, row]) + inverse @ (low - axis.foot)
    data = (inverse[0, 0], inverse[0, 1], offset[0], inverse[1, 0], inverse[1, 1], offset[1])
    size = (int(high[0] - low[0]), int(high[1] - low[1]))

    def lay(picture: Image.Image) -> np.ndarray:
        warped = picture.transform(size, Image.Transform.AFFINE, data, resample=Image.Resampling.BILINEAR)
        return np.asarray(warped, np.float32) * np.float32(1.0 / 255.0)

    return _Warped(
        rows=slice(int(low[1]), int(high[1])),
        columns=slice(int(low[0]), int(high[0])),
        pixels=lay(image),
        untinted=lay(picture.untinted[level]) if picture.untinted else np.zeros((1, 1, 1), np.float32),
        width=scale * image.width * float(axis.shape[0]),
    )


def _shine(kind: str, light: Light, towards: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the gain of the display values by a view's light, relative to the light that pictures are drawn under.

    Args:
        kind: Kind of the thing.
        light: The view's light.
        towards: Direction [3] from the thing to the camera.
        across: [width] where columns lie on a round thing, from -1 at its left side to 1 at its right.

    Returns:
        float32 [width 3], or [1 3] of a thing that is not round.
    """
    facing = np.array([towards[0], towards[1], 0.0]) / max(math.hypot(towards[0], towards[1]), 1e-6)
    right = np.array([-facing[1], facing[0], 0.0])
    if kind in _ROUND:
        across = np.clip(across, -1.0, 1.0)[:, None]
        normals = facing * np.sqrt(1.0 - 0.8 * across**2) + right * 0.9 * across + [0.0, 0.0, 0.45]
    else:
        normals = (0.7 * facing + [0.0, 0.0, 0.7])[None]
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    open_sky = np.ones(len(normals), np.float32)
    relative = light.irradiance(normals, openness=open_sky) / PLAIN.irradiance(normals, openness=open_sky)
    return relative.astype(np.float32) ** np.float32(1.0 / GAMMA)


def shadow(
    thing: Thing, light: Light, x: np.ndarray, y: np.ndarray, z: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the shadow of a thing on points (x, y, z) [N] of ground or walls.

    The thing is taken for flat, across the sun's direction, and as thick as a foot there.

    Returns:
        Indices [M] of the points in its reach and the part of the sun [M] that it takes from them; None: no point.
    """
    azimuth, slope = light.sun_azimuth, math.tan(light.sun_elevation)
    tall = impostor_library.height(thing.kind, thing.variant) * thing.size
    sx, sy = -math.cos(azimuth), -math.sin(azimuth)  # away from the sun
    dx, dy = x - np.float32(thing.x), y - np.float32(thing.y)
    along = dx * np.float32(sx) + dy * np.float32(sy)
    rise = along * np.float32(slope) + np.asarray(z, np.float32)
    index = np.flatnonzero((along > -0.3) & (rise < tall))
    if not len(index):
        return None
    turn = impostor_library.turn_index(thing.kind, azimuth - thing.yaw)
    outline = _outline(thing.kind, thing.variant % KINDS[thing.kind], turn, round(light.sun_size, 2))
    across = dx[index] * np.float32(-sy) + dy[index] * np.float32(sx)
    scale = outline.pixels / thing.size
    column = outline.foot[0] + across * np.float32(scale) - np.float32(0.5)
    row = outline.foot[1] - np.maximum(rise[index], 0.02) * np.float32(scale) - np.float32(0.5)
    rows, columns = outline.alpha.shape
    near = (column > 0) & (column < columns - 2) & (row > 0) & (row < rows - 2)
    index, column, row = index[near], column[near], row[near]
    if not len(index):
        return None
    return index, outline.at(column, row)


@dataclasses.dataclass(frozen=True, eq=False)
class _Outline:
    """A thing's outline seen from the sun, for its shadow.

    Attributes:
        alpha: float32 [rows columns], its foot in row `foot[1]` and column `foot[0]`.
        foot: (column, row).
        pixels: Cells a metre.
    """

    alpha: np.ndarray
    foot: tuple[float, float]
    pixels: float

    def at(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return the alpha [M] at places (column, row) [M] between the cells' centres, by bilinear interpolation."""
        columns = self.alpha.shape[1]
        left, top = column.astype(np.int32), row.astype(np.int32)
        column, row = column - left, row - top
        first = top * columns + left
        flat = self.alpha.ravel()
        upper = flat[first] * (1 - column) + flat[first + 1] * column
        lower = flat[first + columns] * (1 - column) + flat[first + columns + 1] * column
        return upper * (1 - row) + lower * row


@functools.lru_cache(maxsize=1024)  # some 20 kB each
def _outline(kind: str, variant: int, turn: int, softness: float) -> _Outline:
    views = impostor_library.views(kind, variant)
    picture = views.pictures[turn * len(ELEVATIONS)]
    cells = 32.0  # a metre
    scale = cells / picture.pixels
    border = 12
    alpha = picture.levels[0].getchannel(3)
    columns, rows = max(1, round(alpha.width * scale)), max(1, round(alpha.height * scale))
    small = np.pad(np.asarray(alpha.resize((columns, rows), Image.Resampling.BOX), np.float32) / 255.0, border)
    # Twice as far from the ground, twice as soft; one softness for all of it is that of its middle.
    sigma = min(0.6 + 0.5 * views.height * softness * cells, 8.0)
    small = scipy.ndimage.gaussian_filter(small, sigma).astype(np.float32)
    foot = (picture.foot[0] * columns / alpha.width + border, picture.foot[1] * rows / alpha.height + border)
    return _Outline(small, foot, cells)
