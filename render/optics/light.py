"""Sun and sky light, as irradiance that multiplies the texture.

pyrender's lit shader bends colours (20 becomes 27), its FLAT shader does not. So the light is worked out here, per
vertex and per ground pixel, and multiplied under FLAT: what is drawn is texture * irradiance^(1/2.2), the display
value of a diffuse surface. Irradiance 1 leaves a colour as it is.

The sun casts the body's shadow on itself and the sky reaches hollows less: both by small depth maps of the body's
points, seen from the sun and from a few directions of the sky.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import trimesh
from scipy import sparse
from scipy.spatial import KDTree

from render.shares import Range, Shares, draw_name

GAMMA = 2.2


@dataclasses.dataclass(frozen=True)
class Light:
    """Outdoor (or lamp) light.

    Attributes:
        sun_azimuth: Radians about z from +x, where the sun stands.
        sun_elevation: Radians over the horizon.
        sun: (r, g, b) irradiance on a surface that faces the sun.
        sky: (r, g, b) irradiance on a surface that faces straight up.
        ground: (r, g, b) irradiance, reflected by the ground, on a surface that faces straight down.
        sun_size: Softness of cast shadows, radians (0.01: clear sky; 0.2: haze).
        night: The sky is dark, windows and lamps are lit; the "sun" is a lamp.
    """

    sun_azimuth: float
    sun_elevation: float
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    sun_size: float
    night: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Light":
        """Return the object that `to_json` wrote."""
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("sun", "sky", "ground")}})

    def sun_direction(self) -> np.ndarray:
        """Return the unit vector [3] towards the sun."""
        cosine = math.cos(self.sun_elevation)
        return np.array(
            [cosine * math.cos(self.sun_azimuth), cosine * math.sin(self.sun_azimuth), math.sin(self.sun_elevation)]
        )

    def seen_from(self, yaw: float) -> "Light":
        """Return the same light in the frame of something turned by `yaw` radians about z."""
        return dataclasses.replace(self, sun_azimuth=self.sun_azimuth - yaw)

    def irradiance(
        self, normals: np.ndarray, *, sun_visibility: np.ndarray | float = 1.0, openness: np.ndarray | float = 1.0
    ) -> np.ndarray:
        """Return linear irradiance on surfaces.

        Args:
            normals: [... 3] unit normals.
            sun_visibility: [...] in [0, 1], part of the sun that reaches the surface.
            openness: [...] in [0, 1], part of the sky and ground that the surface sees.

        Returns:
            [... 3], of the order of 1.
        """
        facing_sun = np.clip(normals @ self.sun_direction().astype(np.float32), 0.0, None) * sun_visibility
        openness = np.broadcast_to(np.asarray(openness, np.float32), facing_sun.shape)
        up = openness * (0.5 + 0.5 * normals[..., 2])
        sky, ground, sun = (np.array(one, np.float32) for one in (self.sky, self.ground, self.sun))
        # up * sky + (openness - up) * ground + facing_sun * sun
        shares = np.stack([up, openness, facing_sun], axis=-1, dtype=np.float32)
        return shares @ np.stack([sky - ground, ground, sun])


KINDS = ("sunny", "hazy", "overcast", "shade", "lamp", "night")


@dataclasses.dataclass(frozen=True)
class LightShares(Shares):
    """The distribution of lights.

    Attributes:
        kinds: Weights of KINDS. "lamp" is a lit hall, "night" a street lamp or headlights in the dark.
        elevation: Degrees over the horizon of sun and headlights; lamps hang higher.
        night_sky: Irradiance that is left of the sky at night.
        headlights: Share of nights lit by headlights, from low, instead of a lamp overhead.
    """

    TOPIC: ClassVar[str] = "light"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": KINDS}
    LIMITS: ClassVar[dict[str, Range]] = {"elevation": (5.0, 90.0)}

    kinds: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "sunny": 0.33,
            "hazy": 0.22,
            "overcast": 0.25,
            "shade": 0.08,
            "lamp": 0.05,
            "night": 0.07,
        }
    )
    elevation: Range = (28.0, 70.0)
    night_sky: Range = (0.03, 0.1)
    headlights: float = 0.2


def sample_light(
    rng: np.random.Generator,
    shares: LightShares | None = None,
    *,
    kind: str | None = None,
) -> Light:
    """Draw a light; `kind` (one of KINDS) may be fixed.

    By day the levels are set so that a surface in the open gets about 1 on its bright side: a photographer's exposure.
    At night they are lower; the camera's automatic exposure makes up for a part of it.

    Raises:
        ValueError: An unknown kind.
    """
    shares = shares or LightShares()
    kind = kind or draw_name(rng, shares.kinds)
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of light {kind!r}; expected one of {', '.join(KINDS)}.")
    sun_level, sky_level, size, warmth, blueness = {
        "sunny": (rng.uniform(0.95, 1.3), rng.uniform(0.5, 0.75), 0.02, 0.06, 0.07),
        "hazy": (rng.uniform(0.55, 0.8), rng.uniform(0.65, 0.9), 0.06, 0.04, 0.03),
        "overcast": (rng.uniform(0.08, 0.2), rng.uniform(0.85, 1.1), 0.35, 0.0, 0.01),
        "shade": (rng.uniform(0.05, 0.12), rng.uniform(0.8, 1.05), 0.4, 0.0, 0.05),
        "lamp": (rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.75), 0.06, 0.12, -0.05),
        "night": (rng.uniform(0.2, 0.5), rng.uniform(*shares.night_sky), 0.03, rng.uniform(0.05, 0.3), 0.08),
    }[kind]
    azimuth = float(rng.uniform(0.0, 2.0 * math.pi))
    elevation = float(rng.uniform(*shares.elevation))
    if kind == "lamp" or (kind == "night" and rng.uniform() >= shares.headlights):
        elevation = float(rng.uniform(50.0, 80.0))
    elif kind == "night":  # headlights: low, and white
        elevation, warmth = float(rng.uniform(8.0, 18.0)), 0.04
    elevation = math.radians(elevation)
    ground_level = sky_level * 0.45 + sun_level * math.sin(elevation) * 0.35
    return Light(
        sun_azimuth=azimuth,
        sun_elevation=elevation,
        sun=_tinted(sun_level, warmth),
        sky=_tinted(sky_level, -blueness),
        ground=_tinted(ground_level, 0.5 * warmth + 0.02),
        sun_size=float(size),
        night=kind == "night",
    )


def _tinted(level: float, warmth: float) -> tuple[float, float, float]:
    """Return a grey level made warmer (positive) or bluer (negative), of the same green."""
    return float(level * (1.0 + warmth)), float(level), float(level * (1.0 - 1.3 * warmth))


def neutral_light() -> Light:
    """Return the one light of every frontal view: grey, mostly from the sky, a little more from the camera's side."""
    return Light(
        sun_azimuth=math.radians(-115.0),
        sun_elevation=math.radians(40.0),
        sun=(0.35, 0.35, 0.35),
        sky=(0.8, 0.8, 0.8),
        ground=(0.5, 0.5, 0.5),
        sun_size=0.3,
    )


@functools.cache
def _sky_directions() -> np.ndarray:
    """Return unit vectors [N 3] for the sky: the zenith and two rings, each its own mirror image in x."""
    directions = [(0.0, 0.0, 1.0)]
    for elevation, count, start in ((0.9, 4, 0.5), (0.35, 5, 0.25)):
        for k in range(count):
            azimuth = 2.0 * math.pi * (k + start) / count
            cosine = math.cos(elevation)
            directions.append((cosine * math.cos(azimuth), cosine * math.sin(azimuth), math.sin(elevation)))
    return np.array(directions, np.float32)


def visibility(
    points: np.ndarray, samples: np.ndarray, direction: np.ndarray, *, cell: float = 0.025, bias: float = 0.05
) -> np.ndarray:
    """Return how much of each point is seen from far along `direction`, by a coarse depth map of the body.

    Args:
        points: float32 [N 3] where to ask, metres.
        samples: float32 [M 3] points that fill the body's surface.
        direction: [3] unit vector towards the light.
        cell: Size of a cell of the depth map, metres.
        bias: A point counts as hidden when something is nearer to the light by more than this, metres.

    Returns:
        float32 [N] in [0, 1], softened over about a cell.
    """
    x, y, z = map(float, direction)
    # Right and up of the depth map, in cells.
    right = np.array([-y, x, 0.0] if abs(z) < 0.9 else [0.0, -z, y])
    right /= np.linalg.norm(right)
    frame = np.stack([right / cell, np.cross(direction, right) / cell, direction]).astype(np.float32)
    sample_x, sample_y, sample_z = frame @ samples.T
    left, bottom = sample_x.min() - np.float32(1.5), sample_y.min() - np.float32(1.5)
    column, row = (sample_x - left).astype(np.int32), (sample_y - bottom).astype(np.int32)
    width, height = int(column.max()) + 3, int(row.max()) + 3
    depth = np.full(height * width, -np.inf, np.float32)
    np.maximum.at(depth, row * width + column, sample_z)
    x, y, z = frame @ points.T
    x = np.minimum(np.maximum(x - (left + np.float32(0.5)), 0.0), np.float32(width - 2.0))
    y = np.minimum(np.maximum(y - (bottom + np.float32(0.5)), 0.0), np.float32(height - 2.0))
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column
    y -= row
    limit = z + np.float32(bias)
    corner = row * width + column
    free = [(depth.take(corner + offset) <= limit).astype(np.float32) for offset in (0, 1, width, width + 1)]
    near = free[0] + (free[1] - free[0]) * x
    far = free[2] + (free[3] - free[2]) * x
    return near + (far - near) * y


@dataclasses.dataclass(frozen=True, eq=False)
class Thinning:
    """Which points of a mesh stand for all of them where light is soft. `thin` makes it once for a topology.

    Attributes:
        vertices: int64 [C], the chosen vertices.
        spread: Sparse float32 [V C], rows sum to 1: from values at the chosen vertices to values at all.
        corners: int64 [M 3], vertices whose means are points that fill the surface about evenly.
    """

    vertices: np.ndarray
    spread: Any
    corners: np.ndarray


def thin(positions: np.ndarray, normals: np.ndarray, faces: np.ndarray, cell: float = 0.032) -> Thinning:
    """Choose vertices about `cell` metres apart, and surface points about a third of that apart.

    Args:
        positions, normals: float [V 3] of a typical shape; the choice is symmetric where they are, left and right.
        faces: int [F 3].
        cell: Metres.
    """
    # A vertex of the left half brings its mirror image along.
    partner = np.asarray(KDTree(positions).query(positions * [-1.0, 1.0, 1.0])[1])
    left = np.flatnonzero(positions[:, 0] > -1e-4)
    features = np.concatenate([positions, 2.0 * cell * normals], axis=1)
    chosen = left[_first_of_cells(features[left], cell)]
    chosen = np.unique(np.concatenate([chosen, partner[chosen]]))
    count = min(4, len(chosen))
    found = KDTree(features[chosen]).query(features, k=count)
    distance, nearest = (np.reshape(one, (len(positions), count)) for one in found)
    weights = 1.0 / (distance**2 + (0.1 * cell) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(positions)), count)
    spread = sparse.csr_array(
        (weights.ravel().astype(np.float32), (rows, nearest.ravel())), (len(positions), len(chosen))
    )

    corners = np.concatenate([np.repeat(np.arange(len(positions))[:, None], 3, axis=1), faces])
    centres = positions[corners].mean(axis=1)
    left = np.flatnonzero(centres[:, 0] > -1e-4)
    corners = corners[left[_first_of_cells(centres[left], cell / 3.0)]]
    corners = np.unique(np.concatenate([corners, partner[corners]]), axis=0)
    # Every second point is a thinner choice that is even too.
    return Thinning(chosen, spread, corners[np.random.default_rng(0).permutation(len(corners))])


def _first_of_cells(points: np.ndarray, cell: float) -> np.ndarray:
    """Return the indices of points [N D], one in every cubic cell that holds any."""
    return np.sort(np.unique(np.floor(points / cell).astype(np.int64), axis=0, return_index=True)[1])


def irradiance_of_meshes(meshes: Sequence[trimesh.Trimesh], light: Light) -> list[np.ndarray]:
    """Return the irradiance on every vertex of a person, with self-shadowing.

    Args:
        meshes: All meshes of the person (they shade one another), with vertex normals; those with a `Thinning` in
            `metadata["thinning"]` are done faster.
        light: In the meshes' frame.

    Returns:
        float32 [vertices 3] a mesh.
    """
    normals = [np.asarray(mesh.vertex_normals, np.float32) for mesh in meshes]
    lifted = [
        np.asarray(mesh.vertices, np.float32) + np.float32(0.01) * normal
        for mesh, normal in zip(meshes, normals, strict=True)
    ]
    samples = surface_samples(meshes)
    sun = visibility(np.concatenate(lifted), samples, light.sun_direction())
    # The light of the sky is soft: it is worked out at fewer points, hidden by fewer.
    thinnings: list[Thinning | None] = [mesh.metadata.get("thinning") for mesh in meshes]
    choices = [slice(None) if thinning is None else thinning.vertices for thinning in thinnings]
    asked = [points[choice] for points, choice in zip(lifted, choices, strict=True)]
    facing = [normal[choice] for normal, choice in zip(normals, choices, strict=True)]
    openness = _openness(np.concatenate(asked), np.concatenate(facing), samples[::2])
    parts = np.split(openness, np.cumsum([len(one) for one in asked])[:-1])
    everywhere = np.concatenate(
        [part if one is None else one.spread @ part for one, part in zip(thinnings, parts, strict=True)]
    )
    irradiance = light.irradiance(np.concatenate(normals), sun_visibility=sun, openness=everywhere)
    return np.split(irradiance.astype(np.float32), np.cumsum([len(mesh.vertices) for mesh in meshes])[:-1])


def _openness(points: np.ndarray, normals: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the part of the sky float32 [N] that points [N 3] see between the samples [M 3] of a person."""
    reached = np.zeros(len(points), np.float32)
    total = np.full(len(points), 1e-3, np.float32)
    for direction in _sky_directions():
        # Wrapped around a little, so that walls of a hollow, which face sideways, are asked too.
        cosine = np.maximum(normals @ direction + np.float32(0.3), 0.0)
        total += cosine
        reached += cosine * visibility(points, samples, direction, cell=0.035, bias=0.06)
    # Light that comes off other parts of the body fills hollows: no place is quite dark.
    return np.float32(0.35) + np.float32(0.65) * np.where(total > 0.05, reached / total, np.float32(1.0))


def surface_samples(meshes: Sequence[trimesh.Trimesh]) -> np.ndarray:
    """Return points float32 [M 3] that fill the surface of a person.

    They are vertices and triangle centres, or some of them where a mesh has a `Thinning` in `metadata["thinning"]`, and
    the points [N 3] in `metadata["fill"]` of a mesh with large triangles.
    """
    parts = []
    for mesh in meshes:
        vertices = np.asarray(mesh.vertices, np.float32)
        thinning: Thinning | None = mesh.metadata.get("thinning")
        first, second, third = (mesh.faces if thinning is None else thinning.corners).T
        parts.append((vertices.take(first, 0) + vertices.take(second, 0) + vertices.take(third, 0)) / np.float32(3.0))
        if thinning is None:
            parts.append(vertices)
        if "fill" in mesh.metadata:
            parts.append(mesh.metadata["fill"])
    return np.concatenate(parts)
