"""The person's shadow on the ground, in closed form."""

import math

import numpy as np

from render.optics import camera, light
from render.scene import shadows
from render.scene.view import View

SITE = camera.CameraSite(
    height=3.0, heading=0.0, tilt=0.3, roll=0.0, field_of_view=0.8, rows=720, nearest=5.0, farthest=9.0, half_width=3.0
)


def view_of_a_pole(sun: light.Light, height: float = 1.8) -> View:
    """A view of a thin pole (points every centimetre) that stands at (0, 7)."""
    z = np.arange(0.0, height, 0.01)
    pole = np.stack([np.zeros_like(z), np.full_like(z, 7.0), z], axis=1)
    around = np.array([[dx, dy, 0.0] for dx in (-0.04, 0.0, 0.04) for dy in (-0.04, 0.0, 0.04)])
    pole = (pole[:, None] + around).reshape(-1, 3)
    crop, _ = camera.crop_around(SITE.camera(), pole, camera.Framing(0.5, (0.0, 0.0)))
    return View(crop, sun, pole.astype(np.float32), 256, 128)


def test_shadow_falls_where_the_sun_throws_it():
    # The sun stands on the left (-x), 45 degrees high: the shadow of a metre is a metre long, to the right.
    sun = light.Light(math.pi, math.radians(45.0), (1.0, 1.0, 1.0), (0.3, 0.3, 0.3), (0.2, 0.2, 0.2), 0.0)
    view = view_of_a_pole(sun, height=1.0)
    reached, _ = shadows.cast_shadow(view)

    def at(x: float, y: float) -> float:
        ((column, row),) = view.camera.project(np.array([[x, y, 0.0]]))[0]
        return float(reached[int(row), int(column)])

    assert at(0.3, 7.0) < 0.15
    assert at(-0.3, 7.0) > 0.95
    assert at(0.3, 6.5) > 0.95
    assert at(0.3, 7.5) > 0.95


def test_contact_shadow_is_under_the_feet():
    overcast = light.sample_light(np.random.default_rng(0), kind="overcast")
    view = view_of_a_pole(overcast)
    _, sky = shadows.cast_shadow(view)
    ((column, row),) = view.camera.project(np.array([[0.0, 7.0, 0.0]]))[0]
    assert sky[int(row), int(column)] < 0.6
    assert sky[0, 0] > 0.97
    assert sky.shape == (256, 128)
