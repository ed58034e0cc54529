"""Shapes of hair on the reference body: shells around the head, falling hair, buns, ponytail and braid.

All are sheets of points [rows columns 3], symmetric in x. `render.figure.worn` fits them to a person.
"""

import dataclasses

import numpy as np

from render.figure.sheets import HEAD_Y, HEAD_Z, Lying, Part, crown_heights, shell, table
from render.geometry.surface import smoothstep

PARTING = 9  # columns of hair that lie in front of either shoulder
_NECK_ROW = 17  # the row of falling hair where it parts over the shoulders

# Centre and radii on the reference body, metres.
_BUNS = {
    "bun": ((0.0, 0.056, 0.868), (0.040, 0.034, 0.036)),
    "top_bun": ((0.0, -0.018, 0.938), (0.043, 0.043, 0.036)),
    "low_bun": ((0.0, 0.058, 0.768), (0.044, 0.034, 0.038)),
}


# Angle of the edges from the back of the head by height: hair leaves the face free.
_FACE = table((0.56, 74), (0.62, 84), (0.68, 96), (0.74, 104), (0.80, 112), (0.85, 124), (0.89, 150), (0.92, 180))


def shells(lying: Lying) -> dict[str, np.ndarray]:
    """Return the hair styles that are shells around the head: name -> vertices [rows columns 3]."""
    return {
        "hair_long": _falling(lying, in_front=False),
        "hair_front": _falling(lying, in_front=True),
        "hair_medium": _medium(),
        "hair_bob": _bob(),
        "hair_curls": _curls(),
        "hair_afro": _afro(),
    }


def _medium() -> np.ndarray:
    low = np.linspace(0.80, 0.665, 11)
    points = shell(0.016, 0.017, np.concatenate([crown_heights(0.016, 10), low]), _FACE, tuck=0.7)
    points[-4:, :, :2] *= np.linspace(1.0, 0.95, 4)[:, None, None]
    points[-1, :, 2] += 0.02 * np.linspace(-1.0, 1.0, points.shape[1]) ** 2
    _locks(points, 0.006)
    _tips(points, 0.012)
    return points


def _bob() -> np.ndarray:
    # A fringe to the brows: between two rows the opening closes over the forehead. The tips turn in.
    low = np.concatenate([[0.852, 0.841, 0.837, 0.82], np.linspace(0.80, 0.690, 10)])
    fringe = table((0.69, 100), (0.76, 106), (0.8371, 108), (0.8409, 180))
    crown = crown_heights(0.022, 13)
    points = shell(0.022, 0.023, np.concatenate([crown[crown > 0.86], low]), fringe, tuck=0.3)
    swell = 1.0 + 0.07 * np.sin(np.linspace(0.0, np.pi, 10))
    swell[-3:] -= [0.0, 0.02, 0.07]
    _widen(points[-10:], swell)
    _locks(points, 0.005)
    _tips(points, 0.008)
    return points


def _curls() -> np.ndarray:
    heights = np.concatenate([crown_heights(0.032, 12), np.linspace(0.80, 0.71, 8)])
    points = shell(0.032, 0.032, heights, _FACE, columns=41, tuck=0.9)
    _widen(points[-8:], 1.0 - 0.16 * np.linspace(0.0, 1.0, 8) ** 2)
    _lumps(points, 0.0055, 15.0)
    return points


def _afro() -> np.ndarray:
    round_face = table((0.72, 70), (0.76, 88), (0.80, 104), (0.85, 122), (0.885, 150), (0.93, 180))
    angle = np.linspace(0.0, 0.40 * np.pi, 8)  # the lower half of a ball
    heights = np.concatenate([crown_heights(0.075, 14), HEAD_Z + 0.02 - 0.125 * np.sin(angle[1:])])
    points = shell(0.075, 0.066, heights, round_face, columns=41, tuck=0.95)
    _widen(points[-7:], np.cos(angle[1:]) ** 0.8)
    # It keeps to the forehead instead of standing out over it; a soft minimum, so that no edge shows.
    forward = np.maximum(HEAD_Y - points[..., 1], 1e-3)
    limit = np.interp(points[..., 2], [0.84, 0.88, 0.93, 0.99], [0.085, 0.090, 0.092, 0.075])
    limited = (forward**-6.0 + limit**-6.0) ** (-1.0 / 6.0)
    points[..., 1] = np.where(points[..., 1] < HEAD_Y, HEAD_Y - limited, points[..., 1])
    _lumps(points, 0.0045, 17.0)
    return points


def _falling(lying: Lying, *, in_front: bool) -> np.ndarray:
    """Return long hair [rows columns 3]: down the back, and with `in_front` over the shoulders as well."""
    heights = np.concatenate([np.linspace(0.80, 0.68, 6, endpoint=False), np.linspace(0.68, 0.42, 14)])
    points = shell(0.015, 0.016, np.concatenate([crown_heights(0.015, 10), heights]), _FACE, tuck=0.7)
    rows, columns = points.shape[:2]
    z = points[:, :, 2]
    narrow = np.interp(z, [0.42, 0.68], [0.80, 1.0])
    points[:, :, 0] *= narrow
    _locks(points[:_NECK_ROW], 0.005)
    below = np.arange(rows) > _NECK_ROW - 1
    behind = slice(PARTING, -PARTING) if in_front else slice(None)
    x = points[below][:, behind, 0]
    # A lock of hair is thick in its middle and lies on the back with its edges.
    thick = -0.006 + 0.018 * (1.0 - np.linspace(-1.0, 1.0, x.shape[1]) ** 4)
    on_back = lying.back(x, z[below][:, behind]) + thick
    hanging = points[below][:, behind, 1]
    resting = np.fmax(hanging * 0.35 + 0.65 * np.where(np.isnan(on_back), hanging, on_back), on_back)
    points[np.flatnonzero(below)[:, None], np.arange(columns)[behind], 1] = resting
    if in_front:
        for lock in (np.arange(PARTING), np.arange(columns - PARTING, columns)):
            _lay_in_front(points, lock, lying)
        for side in (slice(0, PARTING), slice(PARTING, columns - PARTING), slice(columns - PARTING, columns)):
            _relax(points[:, side], 3, first_row=_NECK_ROW)
    else:
        _relax(points, 5, first_row=_NECK_ROW - 4)
    _tips(points, 0.014)
    return points


def _lay_in_front(points: np.ndarray, lock: np.ndarray, lying: Lying) -> None:
    """Lay the columns `lock` of falling hair over a shoulder onto the chest (in place)."""
    across = np.abs(np.linspace(-1.0, 1.0, points.shape[1]))
    below = np.arange(_NECK_ROW, len(points))
    sign = np.sign(points[_NECK_ROW, lock[0], 0])
    inner = (across[lock] - across[PARTING - 1]) / (1.0 - across[PARTING - 1])  # 1 at the face
    start = points[_NECK_ROW - 1, lock]
    height = points[below[:, None], lock, 2]
    width = np.interp(height, [0.42, 0.56, 0.68], [0.050, 0.062, 0.058])
    goal_x = sign * (np.interp(height, [0.42, 0.60, 0.68], [0.122, 0.128, 0.105]) - width * inner)
    goal_y = lying.front(goal_x, height) - 0.018 * np.sin(np.pi * inner) ** 0.5
    goal_y = np.where(np.isnan(goal_y), start[:, 1], goal_y)
    share = smoothstep(np.linspace(0.0, 1.0, len(below)), 0.0, 0.22)[:, None]
    points[below[:, None], lock, 0] = start[:, 0] + share * (goal_x - start[:, 0])
    points[below[:, None], lock, 1] = start[:, 1] + share * (goal_y - start[:, 1])


def cut_locks(part: Part, columns: int) -> Part:
    """Leave out the quads between the locks in front of the shoulders and the hair behind them."""
    row, column = np.divmod(part.triangles, columns)
    across = (column.min(axis=1) < PARTING) & (column.max(axis=1) >= PARTING)
    across |= (column.min(axis=1) < columns - PARTING) & (column.max(axis=1) >= columns - PARTING)
    kept = ~(across & (row.max(axis=1) >= _NECK_ROW))
    return dataclasses.replace(part, triangles=part.triangles[kept], faces=part.faces[kept])


def buns() -> dict[str, np.ndarray]:
    """Return the closed shapes of gathered hair: name -> vertices [rows columns 3]."""
    return {name: _ellipsoid(np.array(centre), np.array(radii)) for name, (centre, radii) in _BUNS.items()}


def _ellipsoid(centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    latitude, longitude = np.meshgrid(np.linspace(1.5, -1.5, 8), np.linspace(0.0, 2 * np.pi, 15)[:-1], indexing="ij")
    unit = [np.cos(latitude) * np.sin(longitude), -np.cos(latitude) * np.cos(longitude), np.sin(latitude)]
    return centre + radii * np.stack(unit, axis=-1)


def ponytail() -> np.ndarray:
    """Return a ponytail [rows columns 3]: it leaves the back of the head and hangs."""
    path = np.array(
        [[0.036, 0.865], [0.062, 0.868], [0.083, 0.852], [0.094, 0.82], [0.097, 0.76], [0.096, 0.69], [0.094, 0.61]]
    )
    return _tube(path, np.array([0.014, 0.017, 0.021, 0.025, 0.027, 0.022, 0.004]), 0.8)


def braid(lying: Lying) -> np.ndarray:
    """Return a braid [rows columns 3] from the nape down the back: a tube of knots."""
    z = np.concatenate([[0.775, 0.768, 0.755], np.linspace(0.74, 0.40, 25)])
    on_back = np.array([lying.back(np.zeros(1), np.array([height]))[0] for height in z])
    y = np.concatenate([[0.025, 0.050, 0.060], np.maximum(on_back[3:], 0.03) + 0.024])
    for _ in range(8):
        y[4:-1] += 0.5 * ((y[3:-2] + y[5:]) / 2 - y[4:-1])
    knots = 0.0225 + 0.0045 * np.cos(np.arange(len(z)) * (2 * np.pi / 3.0))
    width = knots * np.interp(z, [0.40, 0.41, 0.44, 0.74, 0.775], [0.15, 0.55, 0.7, 1.0, 0.8])
    return _tube(np.stack([y, z], axis=1), width, 0.75)


def _tube(path: np.ndarray, width: np.ndarray, flat: float) -> np.ndarray:
    """Return a tube [rows columns 3] along a path (y, z) [rows 2] in the plane of symmetry."""
    rows = []
    angle = np.linspace(0.0, 2 * np.pi, 11)[:-1]
    for index, ((y, z), radius) in enumerate(zip(path, width, strict=True)):
        tangent = path[min(index + 1, len(path) - 1)] - path[max(index - 1, 0)]
        across = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)  # to the back, then down
        rows.append(
            np.stack(
                [
                    radius * np.sin(angle),
                    y - radius * np.cos(angle) * across[0] * flat,
                    z - radius * np.cos(angle) * across[1] * flat,
                ],
                axis=-1,
            )
        )
    return np.stack(rows)


def _relax(points: np.ndarray, times: int, first_row: int = 1) -> None:
    """Smooth the inner vertices of a grid, and its side edges along themselves (in place)."""
    inner = slice(first_row, -1)
    for _ in range(times):
        up, down = points[first_row - 1 : -2], points[first_row + 1 :]
        middle = points[inner]
        mean = (up[:, 1:-1] + down[:, 1:-1] + middle[:, :-2] + middle[:, 2:]) / 4
        sides = (up[:, [0, -1]] + down[:, [0, -1]]) / 2
        points[inner, 1:-1] += 0.5 * (mean - middle[:, 1:-1])
        points[inner, [0, -1]] += 0.5 * (sides - points[inner, [0, -1]])


def _tips(points: np.ndarray, ragged: float) -> None:
    """Make the tips uneven, alike on both sides (in place)."""
    across = np.abs(np.linspace(-1.0, 1.0, points.shape[1]))
    points[-1, :, 2] += ragged * np.cos(across * 37.0) * np.cos(across * 11.0)


def _locks(points: np.ndarray, depth: float) -> None:
    """Gather a shell into locks that stand off and fall in, more so downwards, alike on both sides (in place).

    Args:
        points: The shell [rows columns 3].
        depth: How far the locks stand off at the lowest row, metres.
    """
    across = np.abs(np.linspace(-1.0, 1.0, points.shape[1]))
    down = smoothstep(np.linspace(0.0, 1.0, len(points)), 0.15, 1.0)[:, None]
    waves = np.cos(9.0 * across + 3.0 * down) + 0.7 * np.cos(15.0 * across + 1.0 - 5.0 * down)
    offset = points[..., :2] - [0.0, HEAD_Y]
    out = offset / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-6)
    points[..., :2] += (depth * down * waves)[..., None] * out


def _lumps(points: np.ndarray, height: float, waves: float) -> None:
    """Push a shell in and out to make curls, alike on both sides (in place)."""
    offset = points - [0.0, HEAD_Y, HEAD_Z + 0.02]
    direction = offset / np.linalg.norm(offset, axis=-1, keepdims=True)
    u = np.abs(np.arctan2(direction[..., 0], direction[..., 1]))
    v = np.arcsin(direction[..., 2].clip(-1.0, 1.0))
    bumps = np.cos(waves * u) * np.cos(waves * v) + 0.6 * np.cos(1.7 * waves * v + 1.0) * np.cos(0.6 * waves * u)
    points += height * bumps[..., None] * direction


def _widen(points: np.ndarray, factors: np.ndarray) -> None:
    """Scale rows [R columns 3] of a shell sideways and backwards (in place)."""
    points[..., 0] *= factors[:, None]
    points[..., 1] = HEAD_Y + (points[..., 1] - HEAD_Y) * factors[:, None]
