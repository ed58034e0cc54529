"""Simple models of what stands in streets: cars, bicycles, poles, benches, plants, walls. Metres, Z up, on z = 0.

Each model is one mesh with its own small texture. What has a front shows it towards -Y, as persons do; what is long (a
car, a bench, a wall) lies along X.
"""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np
import trimesh
from trimesh.visual import TextureVisuals

from render.scene import plants, surfaces, vehicles
from render.scene.mesh_model import Model, make_mesh

_SEED = 19991231


def _bench(rng: np.random.Generator) -> trimesh.Trimesh:
    model = Model()
    wood = np.array([0.46, 0.32, 0.2]) * rng.uniform(0.7, 1.3)
    iron = (0.16, 0.16, 0.17)
    half = float(rng.uniform(0.75, 0.95))
    for k in range(4):
        model.box((-half, -0.24 + 0.12 * k, 0.43), (half, -0.14 + 0.12 * k, 0.465), wood * rng.uniform(0.9, 1.1))
    back = rng.uniform() < 0.75
    for k in range(3 if back else 0):
        y, z = 0.25 + 0.02 * k, 0.56 + 0.12 * k
        model.box((-half, y, z), (half, y + 0.035, z + 0.09), wood * rng.uniform(0.9, 1.1))
    for x in (-0.8 * half, 0.8 * half):
        for y in (-0.2, 0.2):
            model.box((x - 0.025, y - 0.03, 0.0), (x + 0.025, y + 0.03, 0.43), iron)
        model.box((x - 0.025, -0.24, 0.4), (x + 0.025, 0.26, 0.43), iron)
        if back:
            model.box((x - 0.025, 0.24, 0.4), (x + 0.025, 0.29, 0.86), iron)
            model.box((x - 0.03, -0.24, 0.62), (x + 0.03, 0.26, 0.65), iron)
            model.box((x - 0.025, -0.22, 0.43), (x + 0.025, -0.18, 0.64), iron)
    return model.mesh()


def _bin(rng: np.random.Generator) -> trimesh.Trimesh:
    model = Model()
    color = np.clip(rng.uniform(0.15, 0.45) * (1 + 0.35 * rng.standard_normal(3)), 0.06, 0.7)
    if rng.uniform() < 0.5:  # round
        model.tube((0, 0, 0.06), (0, 0, 0.88), 0.24, color, end_radius=0.29)
        model.tube((0, 0, 0.88), (0, 0, 0.93), 0.31, color * 0.6)
        model.tube((0, 0, 0.93), (0, 0, 1.02), 0.29, color * 0.75, end_radius=0.1)
        model.tube((0, 0, 0.0), (0, 0, 0.07), 0.2, color * 0.4)
    else:  # on wheels
        model.box((-0.29, -0.27, 0.07), (0.29, 0.3, 0.95), color)
        model.box((-0.32, -0.33, 0.95), (0.32, 0.34, 1.03), color * 0.8)
        model.tube((-0.28, 0.36, 0.97), (0.28, 0.36, 0.97), 0.02, color * 0.5)
        model.box((-0.16, -0.28, 0.55), (0.16, -0.27, 0.78), (0.82, 0.82, 0.78))
        for x in (-0.3, 0.25):
            model.tube((x, 0.24, 0.1), (x + 0.05, 0.24, 0.1), 0.1, (0.07, 0.07, 0.07))
    return model.mesh()


def _pole(rng: np.random.Generator, style: str) -> trimesh.Trimesh:
    model = Model()
    metal = np.array([1.0, 1.0, 1.02]) * rng.uniform(0.16, 0.5)
    if style == "lamp":
        model.tube((0, 0, 0), (0, 0, 0.9), 0.1, metal)
        model.tube((0, 0, 0.9), (0, 0, 4.4), 0.065, metal, end_radius=0.045)
        model.tube((0, 0, 4.35), (0.5, 0, 4.5), 0.03, metal)
        model.box((0.4, -0.1, 4.44), (0.9, 0.1, 4.54), metal * 0.9)
    elif style == "sign":
        model.tube((0, 0, 0), (0, 0, 3.0), 0.035, metal * 1.4)
        face = [(0.75, 0.1, 0.1), (0.12, 0.25, 0.6), (0.85, 0.72, 0.1), (0.15, 0.45, 0.25)][int(rng.integers(4))]
        if rng.uniform() < 0.5:
            model.tube((0, -0.045, 2.6), (0, -0.06, 2.6), 0.32, face)
            model.tube((0, -0.055, 2.6), (0, -0.066, 2.6), 0.2, (0.88, 0.88, 0.87))
        else:
            model.box((-0.3, -0.06, 2.15), (0.3, -0.045, 2.85), face)
            model.box((-0.2, -0.066, 2.3), (0.2, -0.06, 2.65), (0.88, 0.88, 0.87))
    elif style == "column":
        stone = np.array([1.0, 0.98, 0.94]) * rng.uniform(0.5, 0.75)
        model.box((-0.27, -0.27, 0.0), (0.27, 0.27, 0.12), stone * 0.9)
        model.tube((0, 0, 0.12), (0, 0, 3.6), 0.22, stone)
    elif style == "trunk":
        bark = np.array([0.29, 0.255, 0.225]) * rng.uniform(0.7, 1.1)
        x, y = 0.0, 0.0
        for k in range(9):  # a little crooked
            step = rng.normal(0.0, 0.02, 2)
            start = (x, y, 0.45 * k)
            x, y = x + float(step[0]), y + float(step[1])
            radius = 0.17 - 0.008 * k + (0.07 if k == 0 else 0.0)
            model.tube(
                start, (x, y, 0.45 * k + 0.47), radius, bark * rng.uniform(0.95, 1.05), end_radius=0.162 - 0.008 * k
            )
    else:  # a bollard
        model.tube((0, 0, 0), (0, 0, 0.92), 0.075, metal)
        model.tube((0, 0, 0.92), (0, 0, 1.0), 0.085, metal * 0.8, end_radius=0.05)
        model.tube((0, 0, 0.72), (0, 0, 0.8), 0.077, (0.85, 0.85, 0.84))
    return model.mesh()


def _wall(rng: np.random.Generator, variant: int) -> trimesh.Trimesh:
    """Make a low wall with a cap: painted masonry on its long sides."""
    half, deep, height = 1.3, 0.13, float(rng.uniform(0.95, 1.3))
    surface = surfaces.wall("masonry", variant)
    scale = surface.size / surface.metres
    rows, columns = round(height * scale), round(2 * half * scale)
    column, row = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    footprint = np.full(rows * columns, 1.0 / scale, np.float32)
    picture = surface.sample(column.ravel() / scale, height - row.ravel() / scale, footprint).reshape(rows, columns, 3)
    texture = np.rint(255.0 * np.clip(picture, 0, 1)).astype(np.uint8)
    model = Model()
    tone = picture.mean(axis=(0, 1))
    model.box((-half, -deep, 0), (half, deep, height), tone, 0.2)
    model.box(
        (-half - 0.03, -deep - 0.04, height), (half + 0.03, deep + 0.04, height + 0.07), np.clip(tone * 1.12, 0, 0.9)
    )
    solid = model.mesh()
    # The texture holds the masonry above the palette.
    palette = solid.metadata["texture"]
    wide = np.zeros((texture.shape[0] + 8, max(texture.shape[1], palette.shape[1]), 3), np.uint8)
    wide[: texture.shape[0], : texture.shape[1]] = texture
    wide[-4:, : palette.shape[1]] = palette
    uv = np.array(cast(TextureVisuals, solid.visual).uv)
    uv[:, 0] *= palette.shape[1] / wide.shape[1]
    uv[:, 1] = 2.0 / wide.shape[0]
    points, normals = np.asarray(solid.vertices), np.asarray(solid.vertex_normals)
    front = (np.abs(normals[:, 1]) > 0.9) & (np.abs(points[:, 1]) < deep + 0.01)
    uv[front, 0] = (points[front, 0] + half) / (2 * half) * (texture.shape[1] - 1) / wide.shape[1]
    uv[front, 1] = 1.0 - (1.0 - points[front, 2] / height) * (texture.shape[0] - 1) / wide.shape[0]
    uv[front, 1] = np.maximum(uv[front, 1], 9.0 / wide.shape[0])
    return make_mesh(points, normals, np.asarray(solid.faces), uv, wide)


def _railing(rng: np.random.Generator) -> trimesh.Trimesh:
    model = Model()
    color = np.array([1.0, 1.0, 1.0]) * rng.choice([0.12, 0.3, 0.75])
    half, height = 1.2, float(rng.uniform(0.95, 1.1))
    for z in (0.12, height):
        model.tube((-half, 0, z), (half, 0, z), 0.025, color)
    for x in (-half, 0.0, half):
        model.box((x - 0.03, -0.03, 0.0), (x + 0.03, 0.03, height + 0.03), color)
    for x in np.arange(-half, half, float(rng.choice([0.1, 0.12]))):
        model.tube((x, 0, 0.12), (x, 0, height), 0.011, color)
    return model.mesh()


@dataclasses.dataclass(frozen=True)
class Prop:
    """How a kind of thing is made, and how its pictures are drawn.

    Attributes:
        build: Makes variant `k`.
        variants: Number of variants.
        pixels: Rows a metre of its pictures.
        turns: Number of directions around it that are drawn; 1 for what looks the same from all.
    """

    build: Callable[[np.random.Generator, int], trimesh.Trimesh]
    variants: int
    pixels: float
    turns: int


PROPS: dict[str, Prop] = {
    "car": Prop(lambda rng, k: vehicles.car(rng, list(vehicles.CAR_STYLES)[k]), 4, 75.0, 8),
    "bicycle": Prop(lambda rng, k: vehicles.bicycle(rng), 3, 100.0, 8),
    "bench": Prop(lambda rng, k: _bench(rng), 3, 90.0, 8),
    "bin": Prop(lambda rng, k: _bin(rng), 4, 100.0, 8),
    "pole": Prop(lambda rng, k: _pole(rng, ("lamp", "sign", "column", "trunk")[k]), 4, 90.0, 4),
    "bollard": Prop(lambda rng, k: _pole(rng, "bollard"), 2, 90.0, 1),
    "bush": Prop(lambda rng, k: plants.bush(rng), 4, 90.0, 2),
    "planter": Prop(lambda rng, k: plants.planter(rng), 4, 90.0, 2),
    "tree": Prop(lambda rng, k: plants.tree(rng), 4, 52.0, 2),
    "wall": Prop(_wall, 4, 80.0, 8),
    "railing": Prop(lambda rng, k: _railing(rng), 3, 100.0, 8),
}


def make_prop(kind: str, variant: int) -> trimesh.Trimesh:
    """Make variant `variant` of a kind of PROPS."""
    key = (_SEED, list(PROPS).index(kind), variant)
    return PROPS[kind].build(np.random.default_rng(key), variant)
