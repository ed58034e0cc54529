"""Models of plants: bushes, planted pots, trees. Metres, Z up, on z = 0."""

import math
from collections.abc import Sequence

import numpy as np
import trimesh

from render.scene.mesh_model import Model


def _crown(
    model: Model, rng: np.random.Generator, lobes: Sequence[tuple[Sequence[float], float]], count: int, size: float
) -> None:
    """Add leaves on the shells of balls (middle, radius), and some inside."""
    hue = float(rng.uniform(-0.5, 0.6))
    for middle, radius in lobes:
        for depth, number in ((0.6, count // 3), (1.0, count)):
            out = rng.standard_normal((number, 3))
            out[:, 2] = out[:, 2] * 0.9 + 0.15
            out /= np.linalg.norm(out, axis=1, keepdims=True)
            place = np.asarray(middle) + radius * depth * out * rng.uniform(0.8, 1.1, (number, 1))
            keep = place[:, 2] > 0.03
            model.leaves(rng, place[keep], out[keep], size, hue)


def bush(rng: np.random.Generator) -> trimesh.Trimesh:
    """Make a bush."""
    model = Model()
    height = float(rng.uniform(0.95, 1.35))
    lobes: list[tuple[Sequence[float], float]] = []
    for _ in range(9):
        radius = float(rng.uniform(0.24, 0.4))
        x, y = rng.uniform(-0.55, 0.55), rng.uniform(-0.3, 0.3)
        lobes.append(((x, y, rng.uniform(0.5 * radius, height - radius)), radius))
    for middle, radius in lobes:  # an opaque heart
        model.tube((middle[0], middle[1], max(0.0, middle[2] - 0.5 * radius)),
                   (middle[0], middle[1], middle[2] + 0.5 * radius), 0.5 * radius, (0.15, 0.2, 0.1))  # fmt: skip
    _crown(model, rng, lobes, 600, 0.042)
    return model.mesh()


def planter(rng: np.random.Generator) -> trimesh.Trimesh:
    """Make a planted pot or trough, half of them with flowers."""
    model = Model()
    pot = np.array([[0.5, 0.5, 0.48], [0.55, 0.36, 0.28], [0.25, 0.25, 0.26], [0.45, 0.36, 0.26]])[int(rng.integers(4))]
    if rng.uniform() < 0.5:
        model.tube((0, 0, 0), (0, 0, 0.55), 0.3, pot, end_radius=0.4)
        model.tube((0, 0, 0.5), (0, 0, 0.6), 0.43, pot * 1.08)
        wide = 0.26
    else:
        model.box((-0.6, -0.28, 0), (0.6, 0.28, 0.55), pot)
        model.box((-0.63, -0.31, 0.5), (0.63, 0.31, 0.58), pot * 1.08)
        wide = 0.48
    height = float(rng.uniform(0.25, 0.55))
    lobes: list[tuple[Sequence[float], float]] = [
        ((rng.uniform(-wide, wide), rng.uniform(-0.15, 0.15), 0.62 + rng.uniform(0.1, height)), rng.uniform(0.2, 0.3))
        for _ in range(6)
    ]
    _crown(model, rng, lobes, 300, 0.05)
    if rng.uniform() < 0.5:  # flowers
        bloom = [(0.75, 0.2, 0.3), (0.85, 0.7, 0.2), (0.8, 0.78, 0.8), (0.5, 0.3, 0.6)][int(rng.integers(4))]
        for _ in range(40):
            middle, radius = lobes[int(rng.integers(len(lobes)))]
            out = rng.standard_normal(3)
            out[2] = abs(out[2])
            place = np.asarray(middle) + 1.05 * radius * out / np.linalg.norm(out)
            model.box(place - 0.022, place + 0.022, bloom)
    return model.mesh()


def tree(rng: np.random.Generator) -> trimesh.Trimesh:
    """Make a small tree."""
    model = Model()
    bark = np.array([0.29, 0.25, 0.21]) * rng.uniform(0.7, 1.1)
    fork = float(rng.uniform(1.7, 2.3))
    model.tube((0, 0, 0), (0, 0, 0.3), 0.2, bark, end_radius=0.14)
    model.tube((0, 0, 0.3), (0, 0, fork + 0.3), 0.14, bark, end_radius=0.1)
    lobes: list[tuple[Sequence[float], float]] = []
    for k in range(9):
        angle = 2.4 * k + rng.uniform(-0.4, 0.4)
        reach, rise = rng.uniform(0.4, 1.1), fork + rng.uniform(0.5, 2.4)
        tip = (reach * math.cos(angle), reach * math.sin(angle), rise)
        model.tube((0, 0, fork), tip, 0.06, bark, end_radius=0.02)
        lobes.append((tip, float(rng.uniform(0.55, 0.85))))
    _crown(model, rng, lobes, 420, 0.085)
    return model.mesh()
