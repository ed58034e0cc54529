"""A thing that stands in a scene: a car, a tree, a person. `render.scene.impostors` draws it."""

import dataclasses

import numpy as np

Color = tuple[float, float, float]

# Half of the largest extent of each kind, metres: things stay that far from the walkway.
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


@dataclasses.dataclass(frozen=True)
class Thing:
    """A thing that stands on the ground.

    Attributes:
        kind: One of `render.scene.impostors.KINDS`.
        variant: Number of its model; numbers beyond the last model start again from the first.
        x, y: Where it stands, metres.
        yaw: Its turn about z, radians.
        size: Scale, about 1.
        tint: (r, g, b) gains of its colours.
    """

    kind: str
    variant: int
    x: float
    y: float
    yaw: float
    size: float
    tint: Color


def as_color(values: np.ndarray) -> Color:
    """Return three numbers as a tuple of floats."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def sample_car_paint(rng: np.random.Generator) -> Color:
    """Draw gains that turn a light car into a usual colour: mostly white, grey or black, at times a strong one."""
    level = float(rng.choice([1.15, 0.85, 0.55, 0.3, 0.16], p=[0.25, 0.25, 0.2, 0.15, 0.15]))
    strong = np.array([[0.75, 0.12, 0.12], [0.15, 0.25, 0.6], [0.2, 0.4, 0.3], [0.75, 0.62, 0.4], [0.35, 0.5, 0.65]])
    paint = level * (1.0 + 0.02 * rng.standard_normal(3))
    if rng.uniform() < 0.35:
        paint = strong[rng.integers(len(strong))] * rng.uniform(0.7, 1.2)
    return as_color(paint)
