"""Drawing what is behind a person: a scene or a photograph, with bystanders, and the shadows that are cast on it.

The ground is lit like the person (`render.optics.light`): where person, bystanders and things stand in the sun's way
the sun's part is missing, and around feet a part of the sky's. At night the "sun" is a lamp: its light is a pool around
the person, and windows and lamps far behind are lit.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage
from PIL import Image

from render.optics.camera import Camera
from render.optics.light import GAMMA, Light
from render.scene import impostors, shadows, surfaces
from render.scene.crowd import Bystander
from render.scene.things import REACH, Thing
from render.scene.view import Seen, View
from render.scene.world import Backdrop, GroundCover, Lamp, Scene, Wall

# Pixels a side that a photograph need not have more of: the least crop then has some 500 rows.
PHOTO_SIDE = 900
# Blur of a photograph, pixels: made smaller, it is sharper than what a video camera gives.
_PHOTO_SOFTNESS = 0.6
_NIGHT_SKY = np.array([0.06, 0.07, 0.1], np.float32)
# Numbers of the surfaces that a ray can hit; walls are counted on from _FIRST_WALL.
_SKY, _CEILING, _GROUND, _FIRST_WALL = 0, 1, 2, 3


def draw_scene(scene: Scene, view: View, crowd: Sequence[Bystander] = ()) -> np.ndarray:
    """Draw what is behind a person in a scene.

    Args:
        scene: The world, in the frame of the camera's site.
        view: The view, in the same frame.
        crowd: Other persons, in the same frame; they stand behind the person, and cast shadows too.

    Returns:
        Display values float32 [height width 3] in [0, 1].
    """
    distance, hit = _trace(scene, view)
    standing = [*scene.things, *(one.as_thing() for one in crowd)]
    painters: dict[int, Callable[[Seen], np.ndarray]] = {
        _SKY: functools.partial(_sky_color, scene),
        _CEILING: _ceiling_color,
        _GROUND: functools.partial(_ground_color, scene, standing),
    }
    x, y = (float(value) for value in view.spot)
    silhouette = Thing("person", 0, x, y, 0.0, 1.0, (1.0, 1.0, 1.0))
    for number, wall in enumerate(scene.walls):
        painters[_FIRST_WALL + number] = functools.partial(_wall_color, wall, [silhouette, *standing])

    color = np.empty((view.height * view.width, 3), np.float32)
    for number, paint in painters.items():
        seen = Seen.of(view, distance, hit == number)
        if len(seen):
            color[seen.index] = paint(seen)

    picture = color.reshape(view.height, view.width, 3)
    # The ground hides nothing that stands on it.
    depth = np.where(hit == _GROUND, np.float32(np.inf), distance).reshape(view.height, view.width)
    if view.light.night:
        _draw_lamps(scene.lamps, picture, distance.reshape(view.height, view.width), view.camera)
    _draw_things(standing, picture, depth, view)
    picture = scipy.ndimage.gaussian_filter(picture, (scene.softness, scene.softness, 0.0), truncate=3.0)
    return np.clip(picture, 0.0, 1.0)


def draw_backdrop(photo: np.ndarray, backdrop: Backdrop, view: View, crowd: Sequence[Bystander] = ()) -> np.ndarray:
    """Draw a part of a photograph behind a person, with bystanders and cast shadows on its ground.

    Args:
        photo: uint8 [h w 3], `PhotoFolder.read(backdrop.photo)`.
        backdrop: Which part.
        view: The view.
        crowd: Other persons, in the view's frame; they stand behind the person, and cast shadows too.

    Returns:
        Display values float32 [height width 3] in [0, 1].
    """
    picture = _cut(photo, backdrop, view)
    # Part of the way to the brightness that the light would give a middle grey.
    normal = np.array([[0.0, 0.0, 1.0]], np.float32)
    expected = 0.45 * float(view.light.irradiance(normal, openness=np.ones(1)).mean()) ** (1.0 / GAMMA)
    picture *= np.float32(np.clip((expected / max(float(picture.mean()), 0.02)) ** 0.5, 0.35, 1.5))
    things = [one.as_thing() for one in crowd]
    # How far the photograph's own ground reaches is not known: shadows fall near the person only.
    rows_below = np.flatnonzero(view.rays[..., 2].max(axis=1) < -0.05)
    if len(rows_below):
        first = int(rows_below[0])
        rays = view.rays[first:].reshape(-1, 3)
        distance = (view.camera.position[2] / -rays[:, 2]).astype(np.float32)
        ground = Seen(view, np.arange(first * view.width, view.height * view.width), rays, distance)
        sun, sky = (one.ravel()[ground.index] for one in shadows.cast_shadow(view))
        sun = sun * shadows.sun_past(things, view.light, ground.along(0), ground.along(1))
        picture[first:] *= shadows.shade_gain(view.light, sun, sky).reshape(-1, view.width, 3)
    everywhere = np.full((view.height, view.width), np.inf, np.float32)
    _draw_things(things, picture, everywhere, view)
    picture = scipy.ndimage.gaussian_filter(picture, (_PHOTO_SOFTNESS, _PHOTO_SOFTNESS, 0.0), truncate=3.0)
    return np.clip(picture, 0.0, 1.0)


def _cut(photo: np.ndarray, backdrop: Backdrop, view: View) -> np.ndarray:
    """Return the backdrop's part of a photograph in the view's size, display values float32 [height width 3]."""
    rows, columns = photo.shape[:2]
    x, y, size = backdrop.crop
    high = size * min(rows, columns * view.height / view.width)
    wide = high * view.width / view.height
    left, top = x * (columns - wide), y * (rows - high)
    part = Image.fromarray(photo).resize(
        (view.width, view.height),
        Image.Resampling.BICUBIC,
        box=(left, top, left + wide, top + high),
        reducing_gap=3.0,
    )
    return np.asarray(part, np.float32) * np.float32(1.0 / 255.0)


def _trace(scene: Scene, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest surface along every ray.

    Returns:
        For the N pixels, row by row: distance float32 [N] along the optical axis, and number of the surface [N].
    """
    origin, rays = view.origin, view.rays.reshape(-1, 3)
    down = np.minimum(rays[:, 2], -1e-6)
    distance = np.where(rays[:, 2] < -1e-5, -origin[2] / down, np.float32(1e6)).astype(np.float32)
    hit = np.where(distance < 1e6, _GROUND, _SKY)
    if scene.ceiling is not None:
        up = (scene.ceiling - origin[2]) / np.maximum(rays[:, 2], 1e-6)
        nearer = (rays[:, 2] > 1e-5) & (up < distance)
        distance, hit = np.where(nearer, up, distance), np.where(nearer, _CEILING, hit)
    for number, wall in enumerate(scene.walls):
        gap = wall.offset - origin[wall.axis_number]
        along = rays[:, wall.axis_number] * np.sign(gap)
        depth = np.abs(gap) / np.maximum(along, 1e-6)
        nearer = (along > 1e-5) & (depth < distance) & (origin[2] + depth * rays[:, 2] < wall.height)
        distance, hit = np.where(nearer, depth, distance), np.where(nearer, _FIRST_WALL + number, hit)
    return distance.astype(np.float32), hit


def _sky_color(scene: Scene, seen: Seen) -> np.ndarray:
    """Return display values [N 3]: brighter at the horizon, dark at night."""
    rise = np.clip(seen.rays[:, 2] / np.linalg.norm(seen.rays, axis=1) * 2.0, 0.0, 1.0)[:, None]
    horizon, zenith = (np.array(one, np.float32) for one in scene.sky)
    return (horizon * (1.0 - rise) + zenith * rise) * (_NIGHT_SKY if seen.view.light.night else np.float32(1.0))


def _ceiling_color(seen: Seen) -> np.ndarray:
    """Return grey levels [N 1] of a ceiling with rows of lamps."""
    lamps = (np.abs(seen.along(0) % 2.4 - 1.2) < 0.15) & (seen.along(1) % 3.0 < 1.5)
    return np.where(lamps[:, None], 1.0, 0.55)


def _ground_color(scene: Scene, things: Sequence[Thing], seen: Seen) -> np.ndarray:
    """Return display values [N 3] of the ground, lit and in the shadow of person and things."""
    view = seen.view
    x, y = seen.along(0), seen.along(1)
    sun, sky = (one.reshape(-1)[seen.index] for one in shadows.cast_shadow(view))
    sun = sun * shadows.sun_past(things, view.light, x, y) * _pool(view, x, y)
    openness = sky * _ground_openness(scene, things, x, y)
    normal = np.broadcast_to(np.array([0.0, 0.0, 1.0], np.float32), (len(seen), 3))
    irradiance = view.light.irradiance(normal, sun_visibility=sun, openness=openness)
    return _ground_paint(scene, seen) * irradiance ** np.float32(1.0 / GAMMA)


def _ground_paint(scene: Scene, seen: Seen) -> np.ndarray:
    """Return the colours [N 3] of the ground itself: covers, curb and painted lines."""
    x, y = seen.along(0), seen.along(1)
    across = seen.pixel_size()
    along = across * np.linalg.norm(seen.rays, axis=1) / np.maximum(-seen.rays[:, 2], 1e-3)
    footprint = np.sqrt(across * along)
    color = np.empty((len(seen), 3), np.float32)
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
    return color


def _cover_color(cover: GroundCover, x: np.ndarray, y: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Return the colours [N 3] of a ground cover at points [N], seen by pixels of the given size."""
    cosine, sine = math.cos(cover.turn) / cover.scale, math.sin(cover.turn) / cover.scale
    surface = surfaces.ground(cover.kind, cover.variant)
    color = surface.sample(x * cosine - y * sine, x * sine + y * cosine, footprint / cover.scale)
    return color * np.array(cover.tint, np.float32)


def _band(value: np.ndarray, middle: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """Return how much [N] of each pixel, of the given size, a band covers."""
    return np.clip((0.5 * width - np.abs(value - middle)) / np.maximum(footprint, 1e-4) + 0.5, 0.0, 1.0)


def _ground_openness(scene: Scene, things: Sequence[Thing], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the part [N] of the sky that things and walls leave to points [N] of the ground near them."""
    openness = np.ones(len(x), np.float32)
    corner = np.array([x.min(), y.min(), x.max(), y.max()])
    for thing in things:
        reach = 0.8 * REACH[thing.kind] * thing.size
        if (np.array([thing.x, thing.y, -thing.x, -thing.y]) < corner * [1, 1, -1, -1] - 2.5 * reach).any():
            continue
        offset = ((x - thing.x) / reach) ** 2 + ((y - thing.y) / reach) ** 2
        near = offset < 4.0
        openness[near] *= 1.0 - 0.5 * np.exp(-1.5 * offset[near])
    for wall in scene.walls:
        gap = np.abs((x if wall.axis == "x" else y) - wall.offset)
        openness *= 1.0 - 0.35 * np.exp(-gap / 0.5)
    return openness


def _wall_color(wall: Wall, things: Sequence[Thing], seen: Seen) -> np.ndarray:
    """Return display values [N 3] of a wall, lit and in the shadow of things near it; its windows are lit at night."""
    light, axis = seen.view.light, wall.axis_number
    other, rise = seen.along(1 - axis), seen.along(2)
    along = other + wall.shift
    slant = np.linalg.norm(seen.rays, axis=1) / np.maximum(np.abs(seen.rays[:, axis]), 1e-3)
    footprint = seen.pixel_size() * np.sqrt(slant)
    color = surfaces.wall(wall.kind, wall.variant).sample(along, rise, footprint)
    normal = np.zeros(3, np.float32)
    normal[axis] = -np.sign(wall.offset - seen.view.origin[axis])
    level = np.full(len(seen), wall.offset, np.float32)
    x, y = (level, other) if axis == 0 else (other, level)
    sun = np.ones(len(seen), np.float32)
    if light.sun_direction() @ normal > 0.05:
        near = [one for one in things if abs((one.x, one.y)[axis] - wall.offset) < 4.0]
        sun = shadows.sun_past(near, light, x, y, rise)
    sun = sun * _pool(seen.view, x, y)
    openness = 0.7 + 0.3 * np.clip(rise / 0.7, 0.0, 1.0)
    irradiance = light.irradiance(normal[None], sun_visibility=sun, openness=np.ones(1, np.float32))
    color = color * np.array(wall.tint, np.float32) * (irradiance * openness[:, None]) ** np.float32(1.0 / GAMMA)
    if light.night and wall.kind == "facade":
        lit = surfaces.glow(wall.kind, wall.variant).sample(along, rise, footprint)
        color = np.maximum(color, lit * (0.35 + color) * np.array([0.95, 0.75, 0.48], np.float32))
    return color


def _pool(view: View, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the part [N] of the sun that reaches places away from the person: all by day, a pool of light at night."""
    if not view.light.night:
        return np.ones(np.shape(x), np.float32)
    return np.exp(((x - view.spot[0]) ** 2 + (y - view.spot[1]) ** 2) * np.float32(-1.0 / 5.0**2))


def _in_the_pool(view: View, x: float, y: float) -> Light:
    """Return the light at a place: the view's own by day, weaker away from the person at night."""
    if not view.light.night:
        return view.light
    part = float(_pool(view, np.array(x), np.array(y)))
    red, green, blue = view.light.sun
    return dataclasses.replace(view.light, sun=(part * red, part * green, part * blue))


def _draw_lamps(lamps: Sequence[Lamp], picture: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
    """Add blurred discs of light, in place."""
    for lamp in lamps:
        ((column, row),), (distance,) = camera.project(np.array([[lamp.x, lamp.y, lamp.z]]))
        radius = 0.09 * camera.focal / max(distance, 1.0) + 2.0
        left, top = int(column - 3 * radius * camera.stretch), int(row - 3 * radius)
        rows = slice(max(top, 0), min(int(row + 3 * radius), picture.shape[0]))
        columns = slice(max(left, 0), min(int(column + 3 * radius * camera.stretch), picture.shape[1]))
        if distance < 1.0 or rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        y, x = np.ogrid[rows, columns]
        square = (((x + 0.5 - column) / camera.stretch) ** 2 + (y + 0.5 - row) ** 2).astype(np.float32) / np.float32(
            radius**2
        )
        shine = np.exp(-(square**2)) + 0.25 * np.exp(-0.6 * square)
        shine = shine * (depth[rows, columns] > distance)
        picture[rows, columns] += shine[..., None] * np.array(lamp.color, np.float32)


def _draw_things(things: Sequence[Thing], picture: np.ndarray, depth: np.ndarray, view: View) -> None:
    """Lay things over the picture, in place, the farthest first, where no wall is nearer."""
    for thing in sorted(things, key=lambda one: -math.hypot(one.x, one.y)):
        patch = impostors.place(thing, dataclasses.replace(view, light=_in_the_pool(view, thing.x, thing.y)))
        if patch is None:
            continue
        area = picture[patch.rows, patch.columns]
        seen = patch.depth < depth[patch.rows, patch.columns]
        area *= 1.0 - (patch.alpha * seen)[..., None]
        area += patch.color * seen[..., None]
