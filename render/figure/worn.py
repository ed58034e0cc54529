"""What is worn on a dressed body, fitted to its shape: hair, hood, collar, front panels and skirt."""

import dataclasses

import numpy as np

from render.figure import drape
from render.figure.body import AXIS_Y, Body, RestBody
from render.figure.coverage import COLLARED, EYE_LEVEL, HEAD_CENTRE_Y, UNDER_HEM, cover_hair, skirt_flare, skirt_span
from render.figure.fronts_and_hoods import PANEL_BOTTOM, PANEL_TOP
from render.figure.hair import PARTING
from render.figure.skirt import SKIRT_COLUMNS, SKIRT_OPENING, SKIRT_ROWS, skirt_angles
from render.geometry.surface import Surface, smoothstep
from render.people.appearance import Appearance

# Hair style -> mesh, where it has one.
HAIR_MESHES = {
    "long": "hair_long",
    "long_front": "hair_front",
    "medium": "hair_medium",
    "bob": "hair_bob",
    "curly": "hair_curls",
    "afro": "hair_afro",
    "bun": "bun",
    "top_bun": "top_bun",
    "low_bun": "low_bun",
    "ponytail": "ponytail",
    "braid": "braid",
}


@dataclasses.dataclass(frozen=True)
class _Hanging:
    """How the mesh of hanging hair is cut to length.

    Attributes:
        columns: Number of columns of the mesh.
        first: The first row that hangs.
        shortest: The shortest length as a share of the longest.
    """

    columns: int
    first: int
    shortest: float


_HANGING = {
    "hair_long": _Hanging(33, 14, 0.4),
    "hair_front": _Hanging(33, 14, 0.55),
    "hair_medium": _Hanging(33, 14, 0.5),
    "ponytail": _Hanging(10, 3, 0.45),
    "braid": _Hanging(10, 4, 0.5),
}
_SCALP_DEPTH = {"cropped": 0.003, "short": 0.012, "parted": 0.017, "curly": 0.014, "afro": 0.020, "long": 0.010}

# Joints by whose heights a height on the reference body is carried over to another body.
_HEIGHT_JOINTS = ("foot.L", "lowerleg01.L", "upperleg01.L", "spine03", "spine01", "clavicle.L")


def height_on(rest: RestBody, height: np.ndarray, reference: RestBody) -> np.ndarray:
    """Return the heights on a body shape that correspond to heights on the reference body."""
    source = [reference.joints[name][2] for name in _HEIGHT_JOINTS]
    target = [rest.joints[name][2] for name in _HEIGHT_JOINTS]
    return np.interp(height, source, target) + np.minimum(height - source[0], 0.0)


def opens(appearance: Appearance) -> bool:
    """Whether the skirt mesh is that of an open coat."""
    return appearance.top == "coat" and appearance.open_front


def scalp_hair(a: Appearance, s: Surface) -> np.ndarray:
    """Return how far the hair on the scalp stands off, metres [N]."""
    _, y, z = s.position.T
    crown = smoothstep(z, EYE_LEVEL - 0.02, EYE_LEVEL + 0.09)
    depth = cover_hair(a, s, 0.010) * _SCALP_DEPTH.get(a.hair_style, 0.008) * (0.35 + 0.65 * crown)
    if a.hair_style == "parted":  # more of it over the forehead
        depth = depth * (1.0 + 0.9 * smoothstep(HEAD_CENTRE_Y - y, 0.0, 0.07) * smoothstep(z, 0.85, 0.88))
    if a.hair_style in HAIR_MESHES and a.hair_style != "afro":
        return depth  # the mesh has the volume
    if a.hood == "up":
        return depth * 0.5
    return depth * (a.hair_volume if a.hair_style != "cropped" else 1.0)


def place_hair(a: Appearance, body: Body, rest: RestBody, dressed: np.ndarray) -> dict[str, np.ndarray]:
    """Return the hair mesh on a body shape with dressed vertices [V 3]: name -> vertices float32 [N 3], if any."""
    name = HAIR_MESHES.get(a.hair_style)
    if name is None or a.hood == "up":
        return {}
    mesh = body.attachments[name]
    points = mesh.follow(rest.vertices - body.reference.vertices)
    x, y, z = mesh.vertices.T
    if name in _HANGING:  # hair that lies on the cloth is raised with it
        lying = smoothstep(0.69 - z, 0.0, 0.04)[:, None]
        points += lying * (mesh.follow(dressed - rest.vertices) - mesh.vertices)
    if name.startswith("hair"):
        share = (
            (0.16 if name in ("hair_curls", "hair_afro") else 0.06) * (a.hair_volume - 1.0) * smoothstep(z, 0.66, 0.76)
        )
        points[:, 0] += share * x
        points[:, 1] += share * (y - HEAD_CENTRE_Y)
        points[:, 2] += share * np.maximum(z - EYE_LEVEL, 0.0)
    if name in _HANGING:
        _cut_to_length(a, name, points)
    return {name: points.astype(np.float32)}


def _cut_to_length(a: Appearance, name: str, points: np.ndarray) -> None:
    """Shorten hanging hair [N 3] to the person's length, and let its locks end in points (in place)."""
    hanging = _HANGING[name]
    columns, first, shortest = hanging.columns, hanging.first, hanging.shortest
    grid = points.reshape(-1, columns, 3)
    length = np.full(columns, shortest + (1.0 - shortest) * a.hair_length)
    if a.hood != "none":  # hair that would lie on the hood ends in it
        length = np.minimum(length, 0.25)
    place = _place_in_lock(name, columns)
    if name.startswith("hair"):  # locks end in points, no two hairs alike
        length *= 1.0 - 0.22 * np.abs(place) ** 2.5 - 0.06 * np.abs(np.cos(41.0 * np.abs(place)))
    row = first + length * np.arange(len(grid) - first)[:, None]
    low = np.minimum(row.astype(int), len(grid) - 2)
    share = (row - low)[:, :, None].astype(np.float32)
    column = np.arange(columns)
    grid[first:] = grid[low, column] * (1.0 - share) + grid[low + 1, column] * share
    if name == "hair_front" and a.hood == "none":
        end = np.linspace(0.0, 1.0, len(grid) - first) ** 2
        for lock in (slice(0, PARTING), slice(columns - PARTING, columns)):
            middle = grid[first:, lock].mean(axis=1, keepdims=True)
            narrow = (1.0 - 0.55 * end).astype(np.float32)[:, None, None]
            grid[first:, lock] = middle + (grid[first:, lock] - middle) * narrow
    if not name.startswith("hair"):  # tails end in a point
        middle = grid[-2:].mean(axis=1, keepdims=True)
        grid[-2:] = middle + (grid[-2:] - middle) * np.array([0.7, 0.15], np.float32)[:, None, None]


def _place_in_lock(name: str, columns: int) -> np.ndarray:
    """Return where the columns [columns] of hanging hair lie in their lock; -1 and 1 are its edges."""
    if name != "hair_front":
        return np.linspace(-1.0, 1.0, columns)
    lock = np.linspace(-1.0, 1.0, PARTING)
    return np.concatenate([lock, np.linspace(-1.0, 1.0, columns - 2 * PARTING), lock])


def place_layers(a: Appearance, body: Body, vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Return hood, collar and front panels on a dressed body `vertices` [V 3]: name -> vertices float32 [N 3]."""
    names: list[str] = []
    if a.hood != "none":
        names.append(f"hood_{a.hood}")
    elif a.top in ("jacket", "coat"):
        names.append("stand_collar" if a.top == "jacket" and a.pattern_phase < 0.6 else "collar")
    elif a.top in COLLARED:
        names.append("collar")
    if a.open_front:
        names.append("panels")
    displacement = vertices - body.reference.vertices
    worn = {name: body.attachments[name].follow(displacement) for name in names}
    if a.open_front:
        height = body.attachments["panels"].vertices[:, 2]
        end = a.hem + (0.03 if a.top == "coat" else 0.0)
        fraction = (PANEL_TOP - height) / (PANEL_TOP - PANEL_BOTTOM)
        if a.top == "coat":  # it ends under the skirt's edge
            worn["panels"][:, 1] += 0.022 * smoothstep(fraction, 0.85, 1.0)
        worn["panels"][:, 2] += (end - PANEL_BOTTOM) * fraction
    return worn


def place_skirt(
    a: Appearance, rest: RestBody, reference: RestBody, hull: np.ndarray, bodice: np.ndarray, thickness: float
) -> np.ndarray:
    """Return the vertices [N 3] of the skirt on a body shape: it hangs from the widest place above.

    Args:
        a: The appearance.
        rest: The body shape.
        reference: The reference body.
        hull: `drape.body_hull` of the body shape.
        bodice: Radii of the top's cloth, as `drape.let_down` returns them.
        thickness: Thickness of the top's cloth, metres.
    """
    top, bottom = skirt_span(a)
    outside = a.tucked or a.top in ("dress", "coat")  # of the top
    ease = thickness + 0.006 if outside else 0.003
    cloth = drape.let_down(hull, min(top, 0.12), 0.0 if a.skirt_flare > 0.3 else 0.12)
    angle, height = np.meshgrid(skirt_angles(), np.linspace(top, bottom, SKIRT_ROWS))
    fraction = (top - height) / (top - bottom)
    pleats = 0.006 * a.skirt_flare * np.cos(angle * 12.0) * smoothstep(fraction, 0.1, 0.9)
    radius = drape.sample(cloth, angle, height) + ease + skirt_flare(a, height) + pleats
    if not outside:  # under the top down to the end of its cloth
        under = smoothstep(height, a.hem - UNDER_HEM - 0.005, a.hem - 0.5 * UNDER_HEM)
        radius -= under * np.maximum(radius - drape.sample(bodice, angle, height) + 0.010, 0.0)
    if outside and not a.tucked:  # the same cloth as above
        radius = np.maximum(radius, drape.sample(bodice, angle, height) + 0.008)
    if opens(a):  # the edges stand off
        edge = SKIRT_OPENING * 2 * np.pi / SKIRT_COLUMNS
        radius += (0.020 + 0.03 * fraction) * np.exp(-(((np.abs(angle) - edge) / 0.22) ** 2)) * (np.abs(angle) < 2.0)
    z = height_on(rest, height, reference)
    return np.stack([radius * np.sin(angle), AXIS_Y - radius * np.cos(angle), z], axis=-1).reshape(-1, 3)
