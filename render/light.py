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
        """JSON values only: tuples become lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Light":
        """The inverse of `to_json`."""
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("sun", "sky", "ground")}})

    def sun_direction(self) -> np.ndarray:
        """Unit vector [3] towards the sun."""
        cosine = math.cos(self.sun_elevation)
        return np.array(
            [cosine * math.cos(self.sun_azimuth), cosine * math.sin(self.sun_azimuth), math.sin(self.sun_elevation)]
        )

    def seen_from(self, yaw: float) -> "Light":
        """The same light in the frame of something turned by `yaw` radians about z."""
        return dataclasses.replace(self, sun_azimuth=self.sun_azimuth - yaw)

    def irradiance(
        self, normals: np.ndarray, *, sun_visibility: np.ndarray | float = 1.0, openness: np.ndarray | float = 1.0
    ) -> np.ndarray:
        """Linear irradiance on surfaces.

        Args:
            normals: [... 3] unit normals.
            sun_visibility: [...] in [0, 1], part of the sun that reaches the surface.
            openness: [...] in [0, 1], part of the sky and ground that the surface sees.

        Returns:
            [... 3], of the order of 1.
        """
        facing_sun = np.clip(normals @ self.sun_direction().astype(np.float32), 0.0, None) * sun_visibility
        up = 0.5 + 0.5 * normals[..., 2]
        sky = np.asarray(self.sky, np.float32)
        ground = np.asarray(self.ground, np.float32)
        ambient = up[..., None] * sky + (1.0 - up)[..., None] * ground
        return ambient * np.asarray(openness, np.float32)[..., None] + facing_sun[..., None] * np.asarray(
            self.sun, np.float32
        )


KINDS = ("sunny", "hazy", "overcast", "shade", "lamp", "night")


@dataclasses.dataclass(frozen=True)
class LightShares(Shares):
    """How lights are spread: weights of KINDS; the ranges are those of each kind's parts.

    Attributes:
        kinds: "lamp" is a lit hall, "night" a street lamp or headlights in the dark.
        elevation: Degrees over the horizon of sun and headlights; lamps hang higher.
        night_sky: Irradiance that is left of the sky at night.
        headlights: Share of nights lit by headlights, from low, instead of a lamp overhead.
    """

    TOPIC: ClassVar[str] = "light"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": KINDS}
    LIMITS: ClassVar[dict[str, Range]] = {"elevation": (5.0, 90.0)}

    kinds: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "sunny": 0.41,
            "hazy": 0.2,
            "overcast": 0.19,
            "shade": 0.08,
            "lamp": 0.05,
            "night": 0.07,
        }
    )
    elevation: Range = (28.0, 70.0)
    night_sky: Range = (0.05, 0.14)
    headlights: float = 0.2


def sample_light(
    rng: np.random.Generator,
    shares: LightShares | None = None,
    *,
    kind: str | None = None,
    azimuth: float | None = None,
) -> Light:
    """Draws a light; `kind` (one of KINDS) and `azimuth` (radians) may be fixed.

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
        "sunny": (rng.uniform(0.95, 1.3), rng.uniform(0.38, 0.52), 0.02, 0.06, 0.07),
        "hazy": (rng.uniform(0.55, 0.8), rng.uniform(0.55, 0.75), 0.06, 0.04, 0.03),
        "overcast": (rng.uniform(0.08, 0.2), rng.uniform(0.85, 1.1), 0.35, 0.0, 0.01),
        "shade": (rng.uniform(0.05, 0.12), rng.uniform(0.8, 1.05), 0.4, 0.0, 0.05),
        "lamp": (rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.75), 0.06, 0.12, -0.05),
        "night": (rng.uniform(0.22, 0.5), rng.uniform(*shares.night_sky), 0.03, rng.uniform(0.05, 0.3), 0.08),
    }[kind]
    if azimuth is None:
        azimuth = float(rng.uniform(0.0, 2.0 * math.pi))
    elevation = float(rng.uniform(*shares.elevation))
    if kind == "lamp" or (kind == "night" and rng.uniform() >= shares.headlights):
        elevation = float(rng.uniform(50.0, 80.0))
    elif kind == "night":  # headlights: low, and white
        elevation, warmth = float(rng.uniform(8.0, 18.0)), 0.04
    elevation = math.radians(elevation)
    ground_level = sky_level * 0.35 + sun_level * math.sin(elevation) * 0.28
    return Light(
        sun_azimuth=float(azimuth),
        sun_elevation=elevation,
        sun=_tinted(sun_level, warmth),
        sky=_tinted(sky_level, -blueness),
        ground=_tinted(ground_level, 0.5 * warmth + 0.02),
        sun_size=float(size),
        night=kind == "night",
    )


def _tinted(level: float, warmth: float) -> tuple[float, float, float]:
    """A grey level made warmer (positive) or bluer (negative), of the same green."""
    return float(level * (1.0 + warmth)), float(level), float(level * (1.0 - 1.3 * warmth))


def neutral_light() -> Light:
    """The one light of every frontal view: grey, mostly from the sky, a little more from the camera's side."""
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
    """Unit vectors [N 3] that stand for the sky: the zenith, a high ring and a low one, each its own mirror image in x."""
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
    """How much of each point is seen from far along `direction`, by a coarse depth map of the body.

    Args:
        points: [N 3] where to ask, metres.
        samples: [M 3] points that fill the body's surface.
        direction: [3] unit vector towards the light.
        cell: Size of a cell of the depth map, metres.
        bias: A point counts as hidden when something is nearer to the light by more than this, metres.

    Returns:
        [N] in [0, 1], softened over about a cell.
    """
    axis = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(axis, direction)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(direction, right), direction]).astype(np.float32)
    sample_x, sample_y, sample_z = frame @ samples.T
    x, y, z = frame @ points.T
    left, bottom = sample_x.min() - 1.5 * cell, sample_y.min() - 1.5 * cell
    column, row = ((sample_x - left) / cell).astype(np.int32), ((sample_y - bottom) / cell).astype(np.int32)
    width, height = int(column.max()) + 3, int(row.max()) + 3
    depth = np.full(height * width, -np.inf, np.float32)
    np.maximum.at(depth, row * width + column, sample_z)
    x = np.clip((x - left) / cell - 0.5, 0.0, width - 2.0)
    y = np.clip((y - bottom) / cell - 0.5, 0.0, height - 2.0)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = x - column, y - row
    limit = z + np.float32(bias)
    corner = row * width + column
    near, far = (
        (depth[corner + offset] <= limit) * (1 - x) + (depth[corner + offset + 1] <= limit) * x for offset in (0, width)
    )
    return near * (1 - y) + far * y


def irradiance_of_meshes(meshes: Sequence[trimesh.Trimesh], light: Light) -> list[np.ndarray]:
    """Irradiance on every vertex of a person, with self-shadowing.

    Args:
        meshes: All meshes of the person (they shade one another), with vertex normals.
        light: In the meshes' frame.

    Returns:
        float32 [vertices 3] a mesh.
    """
    points = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32)
    normals = np.concatenate([mesh.vertex_normals for mesh in meshes]).astype(np.float32)
    samples = surface_samples(meshes)
    lifted = points + np.float32(0.01) * normals
    sun = visibility(lifted, samples, light.sun_direction())
    reached = np.zeros(len(points), np.float32)
    total = np.full(len(points), 1e-3, np.float32)
    sparse = samples[::2]  # the sky's light is soft
    for direction in _sky_directions():
        # Wrapped around a little, so that walls of a hollow, which face sideways, are asked too.
        cosine = np.clip(normals @ direction + np.float32(0.3), 0.0, None)
        total += cosine
        reached += cosine * visibility(lifted, sparse, direction, cell=0.035, bias=0.06)
    # Light that comes off other parts of the body fills hollows: no place is quite dark.
    openness = 0.35 + 0.65 * np.where(total > 0.05, reached / total, 1.0)
    irradiance = light.irradiance(normals, sun_visibility=sun, openness=openness).astype(np.float32)
    return np.split(irradiance, np.cumsum([len(mesh.vertices) for mesh in meshes])[:-1])


def surface_samples(meshes: Sequence[trimesh.Trimesh]) -> np.ndarray:
    """Points [M 3] float32 that fill the surface of a person: vertices and triangle centres."""
    parts = []
    for mesh in meshes:
        vertices = np.asarray(mesh.vertices, np.float32)
        first, second, third = mesh.faces.T
        parts += [vertices, (vertices[first] + vertices[second] + vertices[third]) / np.float32(3.0)]
    return np.concatenate(parts)
