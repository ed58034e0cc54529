"""Shadows on ground and walls: of the person, from the points of the body; of things, from their outlines."""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from render.optics.camera import Camera
from render.optics.light import GAMMA, Light
from render.scene import impostors
from render.scene.things import REACH, Thing
from render.scene.view import View

HAZIEST = 0.25  # radians; a sun that is wider casts hardly any shadow


def shade_gain(light: Light, sun: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return the gain [N 3] of the display values of ground that parts `sun` and `sky` [N] of the light reach."""
    normal = np.array([[0.0, 0.0, 1.0]], np.float32)
    whole = light.irradiance(normal, openness=np.ones(1, np.float32))
    lit = light.irradiance(np.repeat(normal, len(sun), axis=0), sun_visibility=sun, openness=sky)
    return (lit / whole).astype(np.float32) ** np.float32(1.0 / GAMMA)


def sun_past(
    things: Sequence[Thing], light: Light, x: np.ndarray, y: np.ndarray, z: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the part of the sun that things leave to points of ground or walls.

    Args:
        things: What stands in the sun's way.
        light: The light.
        x, y, z: float32 [N] the points, metres.

    Returns:
        float32 [N] in [0, 1].
    """
    sun = np.ones(len(x), np.float32)
    if light.sun_size > HAZIEST:
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
        cast = impostors.shadow(thing, light, x, y, z)
        if cast is not None:
            sun[cast[0]] *= 1.0 - cast[1]
    return sun


def cast_shadow(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return what the person leaves of sun and sky to the ground.

    Args:
        view: The view; height and width of its picture are even.

    Returns:
        Part of the sun and part of the sky that reaches the ground behind every pixel, float32 [height width] each.
    """
    camera, light = view.camera, view.light
    person = np.asarray(view.person[::2], np.float32)  # dense enough: some points a pixel
    pixels_per_metre = camera.focal / float(np.linalg.norm(person.mean(axis=0) - camera.position))
    shape = (view.height // 2, view.width // 2)
    blocked = np.zeros(shape, np.float32)
    if light.sun_size <= HAZIEST:
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


_MARGIN = 8  # cells around the picture: what lies there reaches into it when softened


def _cells(camera: Camera, points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Find the cells of ground points [N 2] in a half-size picture with a margin: numbers, and which lie inside."""
    rotation = camera.rotation.astype(np.float32)
    local = (points - camera.position[:2].astype(np.float32)) @ rotation[:2] - np.float32(
        camera.position[2]
    ) * rotation[2]
    depth = np.maximum(-local[:, 2], np.float32(1e-3))
    scale = np.float32(0.5 * camera.focal) / depth
    column = np.floor(local[:, 0] * (scale * np.float32(camera.stretch)) + np.float32(0.5 * camera.center[0] + _MARGIN))
    row = np.floor(np.float32(0.5 * camera.center[1] + _MARGIN) - local[:, 1] * scale)
    rows, columns = shape[0] + 2 * _MARGIN, shape[1] + 2 * _MARGIN
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows) & (local[:, 2] < -0.1)
    return np.where(inside, row * columns + column, 0).astype(np.int32), inside


def _fill(place: np.ndarray, shape: tuple[int, int], softness: float) -> np.ndarray:
    """Return the coverage of a half-size picture by a cloud of cells, softened by `softness` full-size pixels."""
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
    """Double a picture's size with bilinear interpolation."""
    padded = np.pad(picture, 1, mode="edge")
    near, far = padded[1:-1], (padded[:-2], padded[2:])
    rows = np.stack([0.75 * near + 0.25 * far[0], 0.75 * near + 0.25 * far[1]], axis=1).reshape(-1, padded.shape[1])
    near, far = rows[:, 1:-1], (rows[:, :-2], rows[:, 2:])
    return np.stack([0.75 * near + 0.25 * far[0], 0.75 * near + 0.25 * far[1]], axis=2).reshape(rows.shape[0], -1)
