"""What a point of the reference body is: position, limb coordinates, membership. Shared by vertices and texels.

Garments are decided once, as functions of these attributes; evaluated on texels they give paint, on vertices they give
thickness, so cloth and colour end at the same place and nothing breaks at a UV seam.
"""

import dataclasses
import itertools

import numpy as np

# Body part -> prefixes of the joints that carry it. What is left over is the head.
GROUPS: dict[str, tuple[str, ...]] = {
    "neck": ("neck",),
    "trunk": ("root", "pelvis", "spine", "breast"),
    "shoulder": ("clavicle", "shoulder"),
    "upper_arm": ("upperarm",),
    "lower_arm": ("lowerarm",),
    "hand": ("wrist", "finger", "metacarpal"),
    "upper_leg": ("upperleg",),
    "lower_leg": ("lowerleg",),
    "foot": ("foot", "toe"),
}
GROUP_NAMES = ("head", *GROUPS)

# Meshes that share the texture.
BODY, EYE, SKIRT, HAIR, PANEL, COLLAR, HOOD = range(7)

# Regions of the figure, in the order in which the atlas keeps its texels: what one garment covers is one run of them.
REGIONS = (
    "foot",
    "leg",
    "hip",
    "trunk",
    "arm",
    "neck",
    "face",
    "scalp",
    "hair",
    "skirt",
    "eye",
    "panel",
    "collar",
    "hood",
)

ARM_JOINTS = ("upperarm01", "lowerarm01", "wrist")
LEG_JOINTS = ("upperleg01", "lowerleg01", "foot")

_TRUNK_CENTRE_Y, _TRUNK_HALF_WIDTH, _TRUNK_HALF_DEPTH = -0.04, 0.16, 0.1  # metres, reference body
_ARM_RADIUS, _LEG_RADIUS = 0.045, 0.075


@dataclasses.dataclass(frozen=True)
class Surface:
    """Attributes of N points, in metres of the reference body in its rest pose.

    Attributes:
        position: float32 [N 3].
        normal: float32 [N 3].
        groups: Membership float32 [N 10] in [0, 1], columns as `GROUP_NAMES`, rows sum to 1.
        part: int8 [N], `BODY`, `EYE`, `SKIRT`, ...: the mesh that the point is on.
        arm: float32 [N], along the nearer arm: 0 shoulder, 1 elbow, 2 wrist.
        leg: float32 [N], along the nearer leg: 0 hip, 1 knee, 2 ankle.
        around: float32 [N], metres around trunk or limb, 0 in front, positive towards +X (trunk) or outwards (limbs).
        is_arm: float32 [N], 0 trunk to 1 arm: the armhole seam lies at 0.5.
    """

    position: np.ndarray
    normal: np.ndarray
    groups: np.ndarray
    part: np.ndarray
    arm: np.ndarray
    leg: np.ndarray
    around: np.ndarray
    is_arm: np.ndarray

    def group(self, *names: str) -> np.ndarray:
        """Return the summed membership float32 [N] in the named groups."""
        return sum(self.groups[:, GROUP_NAMES.index(name)] for name in names)  # pyright: ignore[reportReturnType]

    def take(self, index: np.ndarray | slice) -> "Surface":
        """Return the attributes of some points only."""
        return Surface(**{field.name: getattr(self, field.name)[index] for field in dataclasses.fields(self)})


def smoothstep(value: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` and a cubic ease between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def limb_coordinates(
    position: np.ndarray, joints: dict[str, np.ndarray], chain: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Find where points lie along the limb of its own side (X >= 0 is left).

    Args:
        position: float [N 3].
        joints: Joint name -> position [3].
        chain: Joint names without side; the polyline through them is the limb's axis, prolonged at both ends.

    Returns:
        The coordinate float32 [N] (0 at the first joint, 1 at the second, ...), and the nearest axis point [N 3].
    """
    left = position[:, 0] >= 0
    points = [np.where(left[:, None], joints[f"{name}.L"], joints[f"{name}.R"]) for name in chain]
    best = np.full(len(position), np.inf)
    along = np.zeros(len(position))
    nearest = np.zeros((len(position), 3))
    for segment, (start, end) in enumerate(itertools.pairwise(points)):
        direction = end - start
        t = ((position - start) * direction).sum(axis=1) / (direction * direction).sum(axis=1)
        t = t.clip(-1.0 if segment == 0 else 0.0, 2.0 if segment == len(chain) - 2 else 1.0)
        foot = start + t[:, None] * direction
        distance = np.linalg.norm(position - foot, axis=1)
        closer = distance < best
        best = np.where(closer, distance, best)
        along = np.where(closer, segment + t, along)
        nearest = np.where(closer[:, None], foot, nearest)
    return along.astype(np.float32), nearest.astype(np.float32)


def trunk_around(position: np.ndarray) -> np.ndarray:
    """Return metres float64 [N] around the trunk for points [N 3]: an ellipse's arc, 0 in front, positive to +X."""
    angle = np.arctan2(position[:, 0] / _TRUNK_HALF_WIDTH, -(position[:, 1] - _TRUNK_CENTRE_Y) / _TRUNK_HALF_DEPTH)
    table = np.linspace(0.0, np.pi, 721)
    speed = np.hypot(_TRUNK_HALF_WIDTH * np.cos(table), _TRUNK_HALF_DEPTH * np.sin(table))
    arc = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(table))])
    around = np.sign(angle) * np.interp(np.abs(angle), table, arc)
    # Towards the shoulders the pieces of cloth run straight up, front and back.
    across = np.abs(position[:, 0])
    side = np.where(position[:, 0] >= 0, 1.0, -1.0)
    straight = side * np.where(position[:, 1] > _TRUNK_CENTRE_Y + 0.03, arc[-1] - across, across)
    return around + smoothstep(position[:, 2], 0.42, 0.54) * (straight - around)


def describe(
    position: np.ndarray, normal: np.ndarray, groups: np.ndarray, part: np.ndarray, joints: dict[str, np.ndarray]
) -> Surface:
    """Derive limb and girth coordinates of points of the reference body."""
    surface_groups = dict(zip(GROUP_NAMES, groups.T, strict=True))
    arm_weight = surface_groups["upper_arm"] + surface_groups["lower_arm"] + surface_groups["hand"]
    leg_weight = surface_groups["upper_leg"] + surface_groups["lower_leg"] + surface_groups["foot"]
    arm, arm_axis = limb_coordinates(position, joints, ARM_JOINTS)
    leg, leg_axis = limb_coordinates(position, joints, LEG_JOINTS)
    side = np.where(position[:, 0] >= 0, 1.0, -1.0)

    arm_offset, leg_offset = position - arm_axis, position - leg_axis
    arm_up = arm_offset[:, 2] * np.sqrt(0.5) + side * arm_offset[:, 0] * np.sqrt(0.5)
    arm_around = _ARM_RADIUS * np.arctan2(arm_up, -arm_offset[:, 1])
    leg_around = _LEG_RADIUS * np.arctan2(side * leg_offset[:, 0], -leg_offset[:, 1])
    is_arm = smoothstep(arm_weight, 0.35, 0.65)
    on_leg = (leg_weight > 0.5) & (part == BODY)
    around = np.where(is_arm > 0.5, arm_around, np.where(on_leg, leg_around, trunk_around(position)))
    return Surface(
        position=position.astype(np.float32),
        normal=normal.astype(np.float32),
        groups=groups.astype(np.float32),
        part=part.astype(np.int8),
        arm=arm,
        leg=leg,
        around=around.astype(np.float32),
        is_arm=is_arm.astype(np.float32),
    )


def region_of(surface: Surface) -> np.ndarray:
    """Return the region of each point, index int64 [N] into `REGIONS`."""
    _, y, z = surface.position.T
    head = surface.group("head", "neck") > 0.5
    conditions = {
        "hair": surface.part == HAIR,
        "skirt": surface.part == SKIRT,
        "eye": surface.part == EYE,
        "panel": surface.part == PANEL,
        "collar": surface.part == COLLAR,
        "hood": surface.part == HOOD,
        "face": head & (y < -0.055) & (z > 0.655) & (z < 0.875),
        "scalp": head & (z > 0.69),
        "neck": head,
        "arm": surface.is_arm > 0.5,
        "trunk": (surface.group("trunk", "shoulder") > 0.3) & (z > 0.2),
        "hip": z > -0.12,
        "foot": surface.leg > 1.3,
        "leg": np.ones(len(z), bool),
    }
    return np.select(list(conditions.values()), [REGIONS.index(name) for name in conditions])


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return area-weighted unit normals float32 [V 3] of a welded mesh; vertices in no triangle get +Z."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        weights = np.repeat(face[:, axis], 3)
        total[:, axis] = np.bincount(triangles.ravel(), weights, len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)
