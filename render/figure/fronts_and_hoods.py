"""Layers of cloth around neck and chest of the reference body: front panels, collars and hoods.

All are sheets of points [rows columns 3], symmetric in x.
"""

import numpy as np

from render.figure.sheets import HEAD_Y, Lying, crown_heights, shell, table
from render.geometry.surface import smoothstep

PANEL_TOP, PANEL_BOTTOM = 0.596, 0.030  # metres: neckline and hem on the reference body
PANEL_ROWS = 20
_PANEL_ACROSS = (0.0, 0.0, 0.012, 0.030, 0.052, 0.078)  # from the free edge outwards, metres
_PANEL_OFF = (0.001, 0.017, 0.018, 0.012, 0.004, -0.008)  # how far it stands off the cloth; the first is its inside


def front_gap(height: np.ndarray) -> np.ndarray:
    """Return half the width [N] of the opening of a jacket or coat, metres, at heights [N] of the reference body."""
    return 0.032 + 0.035 * smoothstep(0.5 - height, 0.0, 0.5)


def panel(lying: Lying) -> np.ndarray:
    """Return the left front [rows columns 3] of an open jacket: a flap that stands off where the jacket opens."""
    z = np.linspace(PANEL_TOP, PANEL_BOTTOM, PANEL_ROWS)[:, None]
    edge = front_gap(z) + 0.004 * np.cos(z * 31.0)
    x = edge + np.asarray(_PANEL_ACROSS)
    z = np.broadcast_to(z, x.shape)
    y = lying.front(x, z)
    for _ in range(3):
        y[1:-1] += 0.5 * ((y[:-2] + y[2:]) / 2 - y[1:-1])
    looser = np.interp(z, [0.0, 0.35, 0.5, 0.6], [1.7, 1.0, 0.9, 0.35])
    off = np.asarray(_PANEL_OFF)
    y = y - np.where(off > 0, off * looser, off)
    return np.stack([x, y, z], axis=-1)


def collar(*, folded: bool) -> np.ndarray:
    """Return a collar [rows columns 3] around the neck, open in front: turned down, or standing."""
    columns = 37
    angle = np.linspace(1.0, -1.0, columns) * np.deg2rad(166.0)  # 0 is the back
    foot = 0.624 - 0.022 * np.cos(np.pi - angle) - 0.010 * smoothstep(np.abs(angle), 2.2, 2.9)
    point = smoothstep(np.abs(angle), 2.3, 2.85)
    if folded:
        off = [(0.004, 0.0), (0.003, 0.018), (0.004, 0.034), (0.009, 0.036), (0.014, 0.020), (0.017, -0.010)]
    else:
        off = [(0.006, 0.0), (0.007, 0.018), (0.009, 0.034), (0.012, 0.042), (0.015, 0.030), (0.013, -0.010)]
    rows = []
    for index, (out, up) in enumerate(off):
        rx, ry = 0.068 + out, 0.062 + out
        radius = 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)
        z = foot + up - (0.020 * point if folded and index == len(off) - 1 else 0.0)
        y = -0.024 + radius * np.cos(angle) - 0.4 * max(up, 0.0) * np.maximum(np.cos(angle), 0.0)  # to the neck
        rows.append(np.stack([radius * np.sin(angle), y, z], axis=-1))
    return np.stack(rows)


def hood_down() -> np.ndarray:
    """Return a hood [rows columns 3] that lies behind the neck: a thick fold, deepest at the back."""
    columns = 33
    angle = np.linspace(1.0, -1.0, columns) * np.deg2rad(138.0)  # 0 is the back
    depth = 0.20 + 0.80 * np.cos(np.clip(angle, -np.pi / 2 * 1.05, np.pi / 2 * 1.05) / 1.05) ** 2
    foot = 0.622 + 0.018 * np.cos(angle)
    rows = []
    for out, up in (
        (0.004, -0.004), (0.006, 0.022), (0.018, 0.038), (0.040, 0.036), (0.060, 0.014), (0.070, -0.026),
        (0.066, -0.066), (0.050, -0.100), (0.024, -0.124), (0.006, -0.130),
    ):  # fmt: skip
        rx, ry = 0.072 + out * (0.45 + 0.55 * depth), 0.062 + out * (0.45 + 0.55 * depth)
        radius = 1.0 / np.sqrt((np.sin(angle) / rx) ** 2 + (np.cos(angle) / ry) ** 2)
        z = foot + np.where(up > 0, up * (0.5 + 0.5 * depth), up * depth)
        rows.append(np.stack([radius * np.sin(angle), -0.024 + radius * np.cos(angle), z], axis=-1))
    return np.stack(rows)


def hood_up() -> np.ndarray:
    """Return a hood [rows columns 3] around the head, open to the face, its foot on the shoulders."""
    opening = table(
        (0.60, 160), (0.64, 150), (0.68, 132), (0.72, 121), (0.77, 117), (0.82, 120), (0.855, 136), (0.872, 160),
        (0.882, 180),
    )  # fmt: skip
    heights = np.concatenate([np.linspace(0.80, 0.70, 5, endpoint=False), np.linspace(0.70, 0.595, 7)])
    points = shell(0.034, 0.034, np.concatenate([crown_heights(0.034, 12), heights]), opening, columns=37)
    z = points[..., 2]
    points[..., :2] -= [0.0, HEAD_Y]
    points[..., :2] *= np.interp(z, [0.595, 0.635, 0.68, 0.74, 0.80], [0.77, 0.79, 0.86, 0.96, 1.0])[..., None]
    points[..., 1] += HEAD_Y + np.interp(z, [0.62, 0.72], [0.012, 0.0])
    # It falls into a point at the back; the rim is thick.
    points[..., 1] += 0.022 * smoothstep(points[..., 1], 0.0, 0.08) * np.exp(-(((z - 0.845) / 0.06) ** 2))
    rim = smoothstep(175.0 - opening(z[:, 0]), 0.0, 20.0)[:, None]  # none where the hood is closed
    for edge, inside in ((0, 1), (-1, -2)):
        points[:, edge] += rim * (points[:, inside] * [0.90, 1.0, 1.0] + [0.0, 0.006, 0.0] - points[:, edge])
    return points
