"""Simple models of what stands in streets: cars, bicycles, poles, benches, plants, walls. Metres, Z up, on z = 0.

Each model is one mesh with its own small texture. What has a front shows it towards -Y, as persons do; what is long (a
car, a bench, a wall) lies along X.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import trimesh
from trimesh.visual import TextureVisuals

from render.scene import surfaces

Color = Sequence[float] | np.ndarray  # or a place: three numbers
_SEED = 19991231


class _Model:
    """Collects parts of single colours."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = []
        self._colors: list[tuple[int, int, int]] = []
        self._count = 0

    def add(self, vertices: np.ndarray, faces: np.ndarray, color: Color, *, smooth: bool) -> None:
        """A part of one colour; faces [F 3] run counter-clockwise seen from outside."""
        vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
        corners = vertices[faces]
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        if smooth:
            normals = np.zeros_like(vertices)
            for corner in range(3):
                np.add.at(normals, faces[:, corner], flat)
        else:
            vertices, normals = corners.reshape(-1, 3), np.repeat(flat, 3, axis=0)
            faces = np.arange(len(vertices)).reshape(-1, 3)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        red, green, blue = (int(value) for value in np.clip(np.rint(np.asarray(color) * 255.0), 0, 255))
        if (red, green, blue) not in self._colors:
            self._colors.append((red, green, blue))
        self._parts.append((vertices, normals, faces + self._count, self._colors.index((red, green, blue))))
        self._count += len(vertices)

    def box(self, low: Color, high: Color, color: Color, cell: float = 0.25) -> None:
        """A box between two corners, cut into pieces of about `cell` metres so that it can be shaded."""
        low_, high_ = np.asarray(low, float), np.asarray(high, float)
        for axis in range(3):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            counts = [int(np.clip(np.ceil((high_[k] - low_[k]) / cell), 1, 24)) for k in (first, second)]
            u, v = np.meshgrid(*(np.linspace(0.0, 1.0, count + 1) for count in counts), indexing="ij")
            for side in (0, 1):
                points = np.empty((u.size, 3))
                points[:, axis] = high_[axis] if side else low_[axis]
                points[:, first] = low_[first] + u.ravel() * (high_[first] - low_[first])
                points[:, second] = low_[second] + v.ravel() * (high_[second] - low_[second])
                faces = _grid(counts[0] + 1, counts[1] + 1)
                self.add(points, faces if side else faces[:, ::-1], color, smooth=True)

    def tube(
        self, start: Sequence[float], end: Sequence[float], radius: float, color: Color, *, end_radius: float = -1.0
    ) -> None:
        """A closed round bar."""
        first, last = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(last - first))
        axis = (last - first) / length
        side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        other = np.cross(axis, side)
        sides = 24 if radius > 0.15 else 12
        angles = np.linspace(0.0, 2.0 * math.pi, sides, endpoint=False)
        circle = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
        levels = np.linspace(0.0, 1.0, max(2, min(16, int(length / 0.25) + 1)))
        radii = radius + ((radius if end_radius < 0.0 else end_radius) - radius) * levels
        rings = first + levels[:, None, None] * (last - first) + radii[:, None, None] * circle
        self.add(rings.reshape(-1, 3), _grid(len(levels), sides, closed=True)[:, ::-1], color, smooth=True)
        fan = np.array([[0, k, k % sides + 1] for k in range(1, sides + 1)])
        self.add(np.vstack([first, rings[0]]), fan[:, ::-1], color, smooth=True)
        self.add(np.vstack([last, rings[-1]]), fan, color, smooth=True)

    def ring(self, middle: Sequence[float], axis: int, radius: float, thickness: float, color: Color) -> None:
        """A torus around a main axis (0: x, 1: y, 2: z)."""
        around, section = (
            np.linspace(0, 2 * math.pi, 28, endpoint=False),
            np.linspace(0, 2 * math.pi, 8, endpoint=False),
        )
        a, s = np.meshgrid(around, section, indexing="ij")
        points = np.empty((a.size, 3))
        points[:, (axis + 1) % 3] = ((radius + thickness * np.cos(s)) * np.cos(a)).ravel()
        points[:, (axis + 2) % 3] = ((radius + thickness * np.cos(s)) * np.sin(a)).ravel()
        points[:, axis] = (thickness * np.sin(s)).ravel()
        faces = _grid(28, 8, closed=True, closed_first=True)
        self.add(points + np.asarray(middle, float), faces, color, smooth=True)

    def leaves(
        self, rng: np.random.Generator, middles: np.ndarray, outwards: np.ndarray, size: float, hue: float
    ) -> None:
        """Leaves: small quads at [N 3], turned about `outwards` [N 3] at random, in shades of green."""
        count = len(middles)
        normals = outwards + 0.9 * rng.standard_normal((count, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        side = np.cross(normals, rng.standard_normal((count, 3)))
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
        other = np.cross(normals, side)
        scale = size * rng.uniform(0.6, 1.4, (count, 1))
        corners = np.stack(
            [
                middles - scale * side,
                middles - 0.5 * scale * other,
                middles + scale * side,
                middles + 0.5 * scale * other,
            ],
            axis=1,
        )
        shade = rng.integers(0, 12, count)
        for k in range(12):
            chosen = corners[shade == k].reshape(-1, 3)
            start = np.arange(0, len(chosen), 4)[:, None]
            faces = (start + np.array([[0, 1, 2, 0, 2, 3]])).reshape(-1, 3)
            level = 0.55 + 0.065 * k
            color = np.array([0.34 + 0.13 * hue + 0.01 * (k % 5), 0.46 + 0.012 * (k % 3), 0.22 - 0.05 * hue]) * level
            self._leaf_part(chosen, faces, np.repeat(outwards[shade == k], 4, axis=0), color)

    def _leaf_part(self, vertices: np.ndarray, faces: np.ndarray, outwards: np.ndarray, color: Color) -> None:
        if not len(vertices):
            return
        self.add(vertices, faces, color, smooth=True)
        points, _, numbers, which = self._parts[-1]
        # A crown is shaded as a whole: each leaf's own direction would only be noise.
        self._parts[-1] = (points, outwards / np.linalg.norm(outwards, axis=1, keepdims=True), numbers, which)

    def mesh(self) -> trimesh.Trimesh:
        """All parts as one mesh."""
        width = 4 * len(self._colors)
        texture = np.repeat(np.repeat(np.array(self._colors, np.uint8)[None], 4, axis=1), 4, axis=0)
        uv = [np.tile([(4 * which + 2) / width, 0.5], (len(points), 1)) for points, _, _, which in self._parts]
        return _mesh(
            np.concatenate([part[0] for part in self._parts]),
            np.concatenate([part[1] for part in self._parts]),
            np.concatenate([part[2] for part in self._parts]),
            np.concatenate(uv),
            texture,
        )


def _mesh(
    vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, uv: np.ndarray, texture: np.ndarray
) -> trimesh.Trimesh:
    mesh = trimesh.Trimesh(
        vertices=vertices, faces=faces, vertex_normals=normals, visual=TextureVisuals(uv=uv), process=False
    )
    mesh.metadata["texture"] = texture
    mesh.metadata["double_sided"] = True
    return mesh


def _grid(rows: int, columns: int, *, closed: bool = False, closed_first: bool = False) -> np.ndarray:
    """Triangles of a grid of points; `closed` joins the last column to the first, `closed_first` the rows."""
    number = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        number = np.concatenate([number, number[:, :1]], axis=1)
    if closed_first:
        number = np.concatenate([number, number[:1]], axis=0)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    return np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])


# ------------------------------------------------------------------------------------------------------------- cars


def _car(rng: np.random.Generator, style: str) -> trimesh.Trimesh:
    """A car of about 4.2 x 1.75 m; its nose points to -X. Painted light, to be tinted."""
    model = _Model()
    length, roof, belt, nose = {
        "sedan": (4.5, 1.43, 0.92, 0.74),
        "hatchback": (3.95, 1.48, 0.95, 0.78),
        "suv": (4.4, 1.68, 1.06, 0.92),
        "van": (4.8, 1.95, 1.15, 1.02),
    }[style]
    half, width = 0.5 * length, 0.86 + 0.02 * float(rng.uniform(-1, 1))
    paint, glass, dark = np.array([0.78, 0.78, 0.79]), (0.13, 0.16, 0.18), (0.09, 0.09, 0.1)
    # Lower body: sections along x; the top line runs nose - bonnet - belt - tail.
    tail = belt if style != "sedan" else 0.96
    x = half * np.array([-1.0, -0.97, -0.85, -0.6, -0.36, -0.2, 0.2, 0.6, 0.86, 0.97, 1.0])
    top = np.array([0.58, 0.66, nose, nose + 0.08, belt - 0.04, belt, belt, belt, tail, tail - 0.06, 0.62])
    wide = width * np.array([0.86, 0.93, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0, 0.98, 0.94, 0.88])
    rings = []
    for station in range(len(x)):
        w, t = wide[station], top[station]
        side = np.array([(0.86 * w, 0.2), (0.97 * w, 0.27), (w, 0.5), (0.985 * w, t - 0.12), (0.9 * w, t - 0.02)])
        section = np.vstack([side, [(0.45 * w, t + 0.015)], (side * [-1, 1])[::-1]])
        section = np.insert(section, 6, (-0.45 * w, t + 0.015), axis=0)
        rings.append(np.column_stack([np.full(len(section), x[station]), section]))
    points = np.array(rings)
    faces = _grid(len(x), points.shape[1], closed=True)[:, ::-1]
    model.add(points.reshape(-1, 3), faces, paint, smooth=True)
    count = points.shape[1]
    fan = np.array([[0, k, k + 1] for k in range(1, count - 1)])
    model.add(points[0], fan[:, ::-1], paint, smooth=False)
    model.add(points[-1], fan, paint, smooth=False)
    # Glasshouse: windscreen, two side windows, rear window.
    front, front_top, rear_top, rear = {
        "sedan": (-0.38, -0.1, 0.36, 0.64),
        "hatchback": (-0.42, -0.14, 0.62, 0.92),
        "suv": (-0.42, -0.2, 0.74, 0.93),
        "van": (-0.72, -0.46, 0.9, 0.97),
    }[style]
    middle = 0.5 * (front_top + rear_top) - 0.02
    stations = half * np.array([front, front_top, middle - 0.02, middle + 0.02, rear_top - 0.05, rear_top, rear])
    base, roof_half = 0.93 * width, 0.72 * width
    rings = []
    for station, place in enumerate(stations):
        t = belt - 0.02 if station in (0, len(stations) - 1) else roof
        share = (t - belt) / (roof - belt)
        w = base + (roof_half - base) * max(0.0, share)
        low, high = base + (w - base) * 0.1, base + (w - base) * 0.82
        lift = max(t - belt, 0.0)
        side = np.array([(base, belt - 0.06), (low, belt + 0.1 * lift), (high, belt + 0.82 * lift), (w, belt + lift)])
        section = np.vstack([side, (side * [-1, 1])[::-1]])
        rings.append(np.column_stack([np.full(len(section), place), section]))
    rings = np.array(rings)
    for segment in range(len(stations) - 1):
        for column in range(rings.shape[1] - 1):
            quad = np.array([rings[segment, column], rings[segment + 1, column], rings[segment + 1, column + 1],
                             rings[segment, column + 1]])  # fmt: skip
            end = segment in (0, len(stations) - 2)
            over = column == 3
            window = (over and end) or (not over and column in (1, 5) and segment in (0, 1, 3))
            if style == "van" and column in (1, 5) and segment == 3:
                window = False
            tone = np.array(glass) * (1.0 + 0.5 * (segment == 0)) if window else paint
            # The sky on roof and glass is not the same all over: strips of slightly different tones.
            strips = 10 if over else 1
            for strip in range(strips):
                first, last = strip / strips, (strip + 1) / strips
                part = np.stack([quad[0] + first * (quad[1] - quad[0]), quad[0] + last * (quad[1] - quad[0]),
                                 quad[3] + last * (quad[2] - quad[3]), quad[3] + first * (quad[2] - quad[3])])  # fmt: skip
                shine = 1.0 + (0.06 * math.sin(0.35 * strip + 1.1 * segment) if over else 0.0)
                model.add(part, np.array([[0, 2, 1], [0, 3, 2]]), tone * shine, smooth=False)
    for side in (-1.0, 1.0):  # seams of the roof
        y = side * 0.8 * roof_half
        model.box((front_top * half, y - 0.012, roof - 0.01), (rear_top * half, y + 0.012, roof + 0.006), paint * 0.55)
    # Wheels in dark arches, lights, bumpers, plates, door gaps, handles, mirrors.
    for place in (-0.62 * half, 0.62 * half):
        for side in (-1.0, 1.0):
            model.tube((place, side * (width - 0.25), 0.365), (place, side * (width + 0.004), 0.365), 0.365, dark)
            model.tube(
                (place, side * (width - 0.2), 0.31), (place, side * (width + 0.014), 0.31), 0.31, (0.07, 0.07, 0.07)
            )
            model.tube((place, side * width, 0.31), (place, side * (width + 0.02), 0.31), 0.2, (0.55, 0.56, 0.58))
            model.tube((place, side * width, 0.31), (place, side * (width + 0.025), 0.31), 0.06, (0.25, 0.25, 0.26))
    for side in (-1.0, 1.0):
        inner, outer = sorted((side * 0.42 * width, side * 0.84 * width))
        model.box((-half - 0.01, inner, 0.56), (-half + 0.12, outer, 0.68), (0.9, 0.9, 0.86))
        model.box((half - 0.1, inner, 0.62), (half + 0.01, outer, 0.8), (0.5, 0.07, 0.06))
        for gap in (-0.3, 0.07, 0.4):
            model.box((gap * half - 0.008, side * width - 0.012, 0.34), (gap * half + 0.008, side * width + 0.004, belt - 0.08),
                      paint * 0.45)  # fmt: skip
        for handle in (0.02, 0.36):
            model.box((handle * half - 0.1, side * width - 0.01, belt - 0.19), (handle * half, side * width + 0.012, belt - 0.16),
                      paint * 0.6)  # fmt: skip
        low, high = sorted((side * width, side * (width + 0.16)))
        model.box((front * half + 0.22, low, belt), (front * half + 0.32, high, belt + 0.13), paint * 0.5)
    model.box((-half - 0.03, -0.8 * width, 0.24), (-half + 0.1, 0.8 * width, 0.42), (0.2, 0.2, 0.21))
    model.box((half - 0.1, -0.8 * width, 0.24), (half + 0.03, 0.8 * width, 0.42), (0.2, 0.2, 0.21))
    model.box((-half - 0.035, -0.26, 0.38), (-half, 0.26, 0.49), (0.9, 0.9, 0.88))
    model.box((half, -0.26, 0.5), (half + 0.02, 0.26, 0.61), (0.9, 0.9, 0.88))
    return model.mesh()


# ----------------------------------------------------------------------------------------------------- small things


def _bicycle(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
    color = np.clip(rng.uniform(0.1, 0.7) * (1 + 0.6 * rng.standard_normal(3)), 0.04, 0.85)
    black, steel = (0.07, 0.07, 0.07), (0.5, 0.5, 0.52)
    for x in (-0.53, 0.53):
        model.ring((x, 0.0, 0.34), 1, 0.32, 0.018, black)
        model.ring((x, 0.0, 0.34), 1, 0.3, 0.008, steel)
        for k in range(9):
            angle = math.pi * k / 9
            dx, dz = 0.3 * math.cos(angle), 0.3 * math.sin(angle)
            model.tube((x - dx, 0.0, 0.34 - dz), (x + dx, 0.0, 0.34 + dz), 0.003, steel)
    crank, saddle, head, wheel = (0.03, 0, 0.3), (0.18, 0, 0.82), (-0.36, 0, 0.8), (0.53, 0, 0.34)
    for start, end in ((crank, saddle), (crank, head), (saddle, head), (crank, wheel), (saddle, wheel)):
        model.tube(start, end, 0.017, color)
    model.tube((-0.53, 0, 0.34), (-0.34, 0, 0.98), 0.016, color)
    model.tube((-0.34, -0.28, 1.02), (-0.34, 0.28, 1.02), 0.014, steel)
    for y in (-0.28, 0.28):
        model.tube((-0.34, y, 1.02), (-0.2, 0.9 * y, 1.0), 0.017, black)
    model.tube((0.18, 0, 0.82), (0.2, 0, 0.92), 0.015, steel)
    model.box((0.08, -0.07, 0.92), (0.34, 0.07, 0.97), black)
    model.ring((0.03, 0.03, 0.3), 1, 0.085, 0.01, steel)
    model.tube((0.03, 0.03, 0.3), (-0.08, 0.09, 0.18), 0.012, steel)
    model.tube((0.03, -0.03, 0.3), (0.14, -0.09, 0.42), 0.012, steel)
    for x, y in ((-0.08, 0.12), (0.14, -0.12)):
        model.box((x - 0.05, y - 0.05, 0.17 if y > 0 else 0.41), (x + 0.05, y + 0.05, 0.19 if y > 0 else 0.43), black)
    if rng.uniform() < 0.7:  # basket
        grey = (0.25, 0.25, 0.26)
        for height in (0.72, 0.8, 0.88, 0.96):
            for start, end in (((-0.72, -0.17), (-0.72, 0.17)), ((-0.42, -0.17), (-0.42, 0.17)), ((-0.72, -0.17), (-0.42, -0.17)),
                               ((-0.72, 0.17), (-0.42, 0.17))):  # fmt: skip
                model.tube((*start, height), (*end, height), 0.007, grey)
        for y in np.linspace(-0.17, 0.17, 6):
            model.tube((-0.72, y, 0.72), (-0.72, y, 0.96), 0.005, grey)
        for x in np.linspace(-0.72, -0.42, 5):
            for y in (-0.17, 0.17):
                model.tube((x, y, 0.72), (x, y, 0.96), 0.005, grey)
    for x in (-0.53, 0.53):  # mudguards
        angles = np.linspace(0.15 * math.pi, 0.95 * math.pi, 10)
        for first, last in itertools.pairwise(angles):
            model.tube((x + 0.36 * math.cos(first), 0, 0.34 + 0.36 * math.sin(first)),
                       (x + 0.36 * math.cos(last), 0, 0.34 + 0.36 * math.sin(last)), 0.016, color)  # fmt: skip
    return model.mesh()


def _bench(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
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
    model = _Model()
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
    model = _Model()
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


def _crown(
    model: _Model, rng: np.random.Generator, lobes: Sequence[tuple[Sequence[float], float]], count: int, size: float
) -> None:
    """Leaves on the shells of balls (middle, radius), darker ones inside."""
    hue = float(rng.uniform(-0.5, 0.6))
    for middle, radius in lobes:
        for depth, number in ((0.6, count // 3), (1.0, count)):
            out = rng.standard_normal((number, 3))
            out[:, 2] = out[:, 2] * 0.9 + 0.15
            out /= np.linalg.norm(out, axis=1, keepdims=True)
            place = np.asarray(middle) + radius * depth * out * rng.uniform(0.8, 1.1, (number, 1))
            keep = place[:, 2] > 0.03
            model.leaves(rng, place[keep], out[keep], size, hue)


def _bush(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
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


def _planter(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
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


def _tree(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
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


def _wall(rng: np.random.Generator, variant: int) -> trimesh.Trimesh:
    """A low wall with a cap: painted masonry on its long sides."""
    half, deep, height = 1.3, 0.13, float(rng.uniform(0.95, 1.3))
    surface = surfaces.wall("masonry", variant)
    scale = surface.size / surface.metres
    rows, columns = round(height * scale), round(2 * half * scale)
    column, row = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    footprint = np.full(rows * columns, 1.0 / scale, np.float32)
    picture = surface.sample(column.ravel() / scale, height - row.ravel() / scale, footprint).reshape(rows, columns, 3)
    texture = np.rint(255.0 * np.clip(picture, 0, 1)).astype(np.uint8)
    model = _Model()
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
    return _mesh(points, normals, np.asarray(solid.faces), uv, wide)


def _railing(rng: np.random.Generator) -> trimesh.Trimesh:
    model = _Model()
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
    """How a thing is made and seen.

    Attributes:
        build: Makes variant `k`.
        variants: How many there are.
        pixels: Rows a metre of its pictures.
        turns: How many directions around it are drawn; 1 looks the same from all.
        tinted: Painted light, to be tinted strongly.
    """

    build: Callable[[np.random.Generator, int], trimesh.Trimesh]
    variants: int
    pixels: float
    turns: int
    tinted: bool = False


PROPS: dict[str, Prop] = {
    "car": Prop(lambda rng, k: _car(rng, ("hatchback", "sedan", "suv", "van")[k]), 4, 75.0, 8, tinted=True),
    "bicycle": Prop(lambda rng, k: _bicycle(rng), 3, 100.0, 8),
    "bench": Prop(lambda rng, k: _bench(rng), 3, 90.0, 8),
    "bin": Prop(lambda rng, k: _bin(rng), 4, 100.0, 8),
    "pole": Prop(lambda rng, k: _pole(rng, ("lamp", "sign", "column", "trunk")[k]), 4, 90.0, 4),
    "bollard": Prop(lambda rng, k: _pole(rng, "bollard"), 2, 90.0, 1),
    "bush": Prop(lambda rng, k: _bush(rng), 4, 90.0, 2),
    "planter": Prop(lambda rng, k: _planter(rng), 4, 90.0, 2),
    "tree": Prop(lambda rng, k: _tree(rng), 4, 52.0, 2),
    "wall": Prop(_wall, 4, 80.0, 8),
    "railing": Prop(lambda rng, k: _railing(rng), 3, 100.0, 8),
}


def make_prop(kind: str, variant: int) -> trimesh.Trimesh:
    """Variant `variant` of a kind of PROPS."""
    key = (_SEED, list(PROPS).index(kind), variant)
    return PROPS[kind].build(np.random.default_rng(key), variant)
