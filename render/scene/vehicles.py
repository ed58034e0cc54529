"""Models of vehicles: cars and bicycles. Metres, Z up, on z = 0; they lie along X."""

import contextlib
import dataclasses
import itertools
import math

import numpy as np
import trimesh

from render.scene.mesh_model import Model, grid

_PAINT = np.array([0.78, 0.78, 0.79])  # light, to be tinted
_GLASS, _DARK = (0.13, 0.16, 0.18), (0.09, 0.09, 0.1)


@dataclasses.dataclass(frozen=True)
class _CarStyle:
    """Proportions of a kind of car; its nose points to -X.

    Attributes:
        length: Metres.
        roof, belt, nose, tail: Heights of the roof, the lower edge of the windows, the bonnet and the boot, metres.
        front, front_top, rear_top, rear: Where windscreen and rear window begin and end, from -1 (nose) to 1 (tail).
        side_windows: Sections of the glasshouse with windows at the side.
    """

    length: float
    roof: float
    belt: float
    nose: float
    tail: float
    front: float
    front_top: float
    rear_top: float
    rear: float
    side_windows: tuple[int, ...] = (0, 1, 3)

    @property
    def half(self) -> float:
        """Half the length, metres."""
        return 0.5 * self.length


CAR_STYLES = {
    "hatchback": _CarStyle(3.95, 1.48, 0.95, 0.78, 0.95, -0.42, -0.14, 0.62, 0.92),
    "sedan": _CarStyle(4.5, 1.43, 0.92, 0.74, 0.96, -0.38, -0.1, 0.36, 0.64),
    "suv": _CarStyle(4.4, 1.68, 1.06, 0.92, 1.06, -0.42, -0.2, 0.74, 0.93),
    "van": _CarStyle(4.8, 1.95, 1.15, 1.02, 1.15, -0.72, -0.46, 0.9, 0.97, side_windows=(0, 1)),
}


def car(rng: np.random.Generator, style: str) -> trimesh.Trimesh:
    """Make a car of one of CAR_STYLES, about 4.2 x 1.75 m. It is painted light, to be tinted."""
    model, shape = Model(), CAR_STYLES[style]
    width = 0.86 + 0.02 * float(rng.uniform(-1, 1))  # half of it
    _add_lower_body(model, shape, width)
    _add_glasshouse(model, shape, width)
    _add_sides(model, shape, width)
    with model.untinted():
        _add_wheels(model, shape, width)
        _add_lamps(model, shape, width)
        _add_bumpers_and_plates(model, shape, width)
    return model.mesh()


def _add_lower_body(model: Model, shape: _CarStyle, width: float) -> None:
    """Add sections along x; the top line runs nose - bonnet - belt - tail."""
    nose, belt, tail = shape.nose, shape.belt, shape.tail
    x = shape.half * np.array([-1.0, -0.97, -0.85, -0.6, -0.36, -0.2, 0.2, 0.6, 0.86, 0.97, 1.0])
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
    count = points.shape[1]
    model.add(points.reshape(-1, 3), grid(len(x), count, closed=True)[:, ::-1], _PAINT, smooth=True)
    fan = np.array([[0, k, k + 1] for k in range(1, count - 1)])
    model.add(points[0], fan[:, ::-1], _PAINT, smooth=False)
    model.add(points[-1], fan, _PAINT, smooth=False)


def _add_glasshouse(model: Model, shape: _CarStyle, width: float) -> None:
    """Add windscreen, side windows, rear window and roof."""
    rings, roof_half = _glasshouse_rings(shape, width)
    last = len(rings) - 2
    for segment in range(last + 1):
        for column in range(rings.shape[1] - 1):
            quad = np.array(
                [
                    rings[segment, column],
                    rings[segment + 1, column],
                    rings[segment + 1, column + 1],
                    rings[segment, column + 1],
                ]
            )
            over = column == 3
            is_window = segment in (0, last) if over else column in (1, 5) and segment in shape.side_windows
            tone = np.array(_GLASS) * (1.0 + 0.5 * (segment == 0)) if is_window else _PAINT
            # The sky on roof and glass is not the same all over: strips of slightly different tones.
            strips = 10 if over else 1
            for strip in range(strips):
                shine = 1.0 + (0.06 * math.sin(0.35 * strip + 1.1 * segment) if over else 0.0)
                part = _strip(quad, strip / strips, (strip + 1) / strips)
                with model.untinted() if is_window else contextlib.nullcontext():
                    model.add(part, np.array([[0, 2, 1], [0, 3, 2]]), tone * shine, smooth=False)
    front, rear = shape.front_top * shape.half, shape.rear_top * shape.half
    for side in (-1.0, 1.0):  # seams of the roof
        y = side * 0.8 * roof_half
        model.box((front, y - 0.012, shape.roof - 0.01), (rear, y + 0.012, shape.roof + 0.006), _PAINT * 0.55)


def _glasshouse_rings(shape: _CarStyle, width: float) -> tuple[np.ndarray, float]:
    """Return the sections [S 8 3] of the glasshouse along x, and half the width of the roof."""
    belt, roof = shape.belt, shape.roof
    middle = 0.5 * (shape.front_top + shape.rear_top) - 0.02
    stations = shape.half * np.array(
        [
            shape.front,
            shape.front_top,
            middle - 0.02,
            middle + 0.02,
            shape.rear_top - 0.05,
            shape.rear_top,
            shape.rear,
        ]
    )
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
    return np.array(rings), roof_half


def _strip(quad: np.ndarray, first: float, last: float) -> np.ndarray:
    """Return the part [4 3] of a quad between two shares of its length along the car."""
    near, far = quad[1] - quad[0], quad[2] - quad[3]
    return np.stack([quad[0] + first * near, quad[0] + last * near, quad[3] + last * far, quad[3] + first * far])


def _add_wheels(model: Model, shape: _CarStyle, width: float) -> None:
    """Add wheels in dark arches."""
    for x in (-0.62 * shape.half, 0.62 * shape.half):
        for side in (-1.0, 1.0):
            model.tube((x, side * (width - 0.25), 0.365), (x, side * (width + 0.004), 0.365), 0.365, _DARK)
            model.tube((x, side * (width - 0.2), 0.31), (x, side * (width + 0.014), 0.31), 0.31, (0.07, 0.07, 0.07))
            model.tube((x, side * width, 0.31), (x, side * (width + 0.02), 0.31), 0.2, (0.55, 0.56, 0.58))
            model.tube((x, side * width, 0.31), (x, side * (width + 0.025), 0.31), 0.06, (0.25, 0.25, 0.26))


def _add_sides(model: Model, shape: _CarStyle, width: float) -> None:
    """Add door gaps, handles and mirrors."""
    half, belt = shape.half, shape.belt
    for side in (-1.0, 1.0):
        for gap in (-0.3, 0.07, 0.4):
            low = (gap * half - 0.008, side * width - 0.012, 0.34)
            model.box(low, (gap * half + 0.008, side * width + 0.004, belt - 0.08), _PAINT * 0.45)
        for handle in (0.02, 0.36):
            low = (handle * half - 0.1, side * width - 0.01, belt - 0.19)
            model.box(low, (handle * half, side * width + 0.012, belt - 0.16), _PAINT * 0.6)
        near, far = sorted((side * width, side * (width + 0.16)))
        x = shape.front * half
        model.box((x + 0.22, near, belt), (x + 0.32, far, belt + 0.13), _PAINT * 0.5)


def _add_lamps(model: Model, shape: _CarStyle, width: float) -> None:
    for side in (-1.0, 1.0):
        inner, outer = sorted((side * 0.42 * width, side * 0.84 * width))
        model.box((-shape.half - 0.01, inner, 0.56), (-shape.half + 0.12, outer, 0.68), (0.9, 0.9, 0.86))
        model.box((shape.half - 0.1, inner, 0.62), (shape.half + 0.01, outer, 0.8), (0.5, 0.07, 0.06))


def _add_bumpers_and_plates(model: Model, shape: _CarStyle, width: float) -> None:
    half = shape.half
    model.box((-half - 0.03, -0.8 * width, 0.24), (-half + 0.1, 0.8 * width, 0.42), (0.2, 0.2, 0.21))
    model.box((half - 0.1, -0.8 * width, 0.24), (half + 0.03, 0.8 * width, 0.42), (0.2, 0.2, 0.21))
    model.box((-half - 0.035, -0.26, 0.38), (-half, 0.26, 0.49), (0.9, 0.9, 0.88))
    model.box((half, -0.26, 0.5), (half + 0.02, 0.26, 0.61), (0.9, 0.9, 0.88))


def bicycle(rng: np.random.Generator) -> trimesh.Trimesh:
    """Make a bicycle, most of them with a basket."""
    model = Model()
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
            for start, end in (
                ((-0.72, -0.17), (-0.72, 0.17)),
                ((-0.42, -0.17), (-0.42, 0.17)),
                ((-0.72, -0.17), (-0.42, -0.17)),
                ((-0.72, 0.17), (-0.42, 0.17)),
            ):
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
