"""Perspective cameras from street to surveillance height, and the crop that a person detector would cut.

World frame: metres, z up, the ground is z = 0. A `CameraSite` is a camera as it hangs on a wall: height, heading,
tilt, field of view, sensor rows. `crop_around` turns it into the `Camera` of the 256x128 crop that holds one person:
the same centre of projection and orientation (so a person at the border of a wide view leans as it does in a real
one), with the focal length and principal point of the crop.

Pixels: column x grows to the right, row y grows downwards, pixel (0, 0) covers [0, 1) x [0, 1).
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from render.shares import Range, Shares, draw_name

IMAGE_HEIGHT = 256
IMAGE_WIDTH = 128


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        rotation: [3 3] world from camera; the columns are the camera's right, up and backward axes (OpenGL).
        position: [3] centre of projection, metres.
        focal: Focal length in rows of pixels.
        center: Principal point (x, y) in pixels; it may lie outside of the picture.
        stretch: Focal length in columns over that in rows: by how much the picture shows everything too wide.
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    center: tuple[float, float]
    stretch: float = 1.0

    @property
    def focal_columns(self) -> float:
        """Focal length in columns of pixels."""
        return self.stretch * self.focal

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points [N 3] to pixels [N 2] and depths [N] along the optical axis (positive: in front)."""
        local = (points - self.position) @ self.rotation
        depth = -local[:, 2]
        pixels = local[:, :2] * [[self.focal_columns, -self.focal]] / depth[:, None] + [self.center]
        return pixels, depth

    def rays(self, height: int, width: int) -> np.ndarray:
        """Return world directions [height width 3] through the pixel centres.

        They have length 1 along the optical axis: position + depth * ray is the point at that depth.
        """
        x = (np.arange(width, dtype=np.float32) + 0.5 - self.center[0]) / self.focal_columns
        y = -(np.arange(height, dtype=np.float32) + 0.5 - self.center[1]) / self.focal
        rotation = self.rotation.astype(np.float32)
        return y[:, None, None] * rotation[:, 1] + (x[None, :, None] * rotation[:, 0] - rotation[:, 2])

    def pose(self) -> np.ndarray:
        """Return the transform from camera to world, a matrix [4 4]."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = self.position
        return matrix

    def seen_from(self, position: np.ndarray, yaw: float) -> "Camera":
        """Return the same camera in the frame of something at `position` [3], turned by `yaw` radians about z."""
        turn = rotation_about_z(yaw)
        return dataclasses.replace(
            self, rotation=turn.T @ self.rotation, position=turn.T @ (self.position - np.asarray(position))
        )


@dataclasses.dataclass(frozen=True)
class CameraSite:
    """A mounted camera. It stands over (0, 0) of its scene and looks along +y when `heading` is 0.

    Attributes:
        height: Metres over the ground.
        heading: Radians about z, counter-clockwise.
        tilt: Radians below the horizon.
        roll: Radians about the optical axis.
        field_of_view: Vertical, radians.
        rows: Pixel rows of the sensor; with the distance they give the native resolution of a person.
        nearest, farthest: Range of distances over the ground, metres, at which persons are taken.
        half_width: Half the width of the walkway, metres: persons keep inside |x| <= half_width.
    """

    height: float
    heading: float
    tilt: float
    roll: float
    field_of_view: float
    rows: int
    nearest: float
    farthest: float
    half_width: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)

    def camera(self) -> Camera:
        """Return the sensor's whole view; its principal point is (0, 0), its focal length in sensor rows."""
        horizontal = np.array([-math.sin(self.heading), math.cos(self.heading), 0.0])
        forward = math.cos(self.tilt) * horizontal - math.sin(self.tilt) * np.array([0.0, 0.0, 1.0])
        right = np.cross(horizontal, [0.0, 0.0, 1.0])
        up = np.cross(right, forward)
        cosine, sine = math.cos(self.roll), math.sin(self.roll)
        rotation = np.stack([cosine * right + sine * up, cosine * up - sine * right, -forward], axis=1)
        focal = 0.5 * self.rows / math.tan(0.5 * self.field_of_view)
        return Camera(rotation, np.array([0.0, 0.0, self.height]), focal, (0.0, 0.0))


def sample_site(rng: np.random.Generator, *, height: float | None = None) -> CameraSite:
    """Draw a camera between eye level and surveillance height (1.2 to 8 m); `height` in metres fixes the height."""
    if height is None:
        # Half of the cameras near eye level, half above the heads.
        height = float(rng.uniform(1.2, 2.2) if rng.uniform() < 0.45 else rng.uniform(2.2, 8.0))
    half_width = float(rng.uniform(2.4, 5.0))
    field_of_view = float(np.radians(rng.uniform(26.0, 62.0)))
    # No steeper than about 40 degrees down at the nearest person, and the whole person inside the view.
    nearest = max(3.2, 1.25 * (height - 0.9), 1.1 / math.tan(0.5 * field_of_view))
    farthest = nearest + float(rng.uniform(4.0, 11.0))
    middle = 0.5 * (nearest + farthest)
    return CameraSite(
        height=height,
        heading=float(rng.uniform(-0.35, 0.35)),
        tilt=math.atan2(height - 0.9, middle),
        roll=float(np.radians(rng.normal(0.0, 1.2))),
        field_of_view=field_of_view,
        rows=int(rng.choice([540, 720, 1080])),
        nearest=float(nearest),
        farthest=float(farthest),
        half_width=half_width,
    )


def sample_position(rng: np.random.Generator, site: CameraSite) -> tuple[float, float]:
    """Draw where a person stands: (x, y) on the ground, metres, inside the walkway and the camera's view."""
    distance = float(rng.uniform(site.nearest, site.farthest))
    aspect = 16.0 / 9.0
    widest = 0.8 * math.atan(aspect * math.tan(0.5 * site.field_of_view))
    bearings = site.heading + widest * np.array([-1.0, 1.0])
    limit = math.asin(min(1.0, (site.half_width - 0.6) / distance))
    bearing = float(rng.uniform(max(bearings[0], -limit), min(bearings[1], limit)))
    return -distance * math.sin(bearing), distance * math.cos(bearing)


FRAMINGS = ("whole", "off_centre", "cut_feet", "cut_head", "cut_side", "partial")


@dataclasses.dataclass(frozen=True)
class FramingShares(Shares):
    """The distribution of detectors' boxes; how much a kind cuts is a range of shares of the person's own box.

    Attributes:
        kinds: Weights of FRAMINGS.
        fill: Part of the crop that the person (what is left of it) takes, where nothing is cut.
        stretch: By how much a box's picture is too wide: boxes are narrower than a crop, and made to fill it.
        off_centre: Distance by which the person is off the centre, as a part of the crop's height; it stays inside.
        feet, head, side: Part of the height, or of the width, that the box leaves out.
        partial: Part of the height that is left: the upper part of the body, or the lower.
        partial_lower: Share of partial boxes that hold the lower part.
        partial_side: Share of partial boxes that leave out a side, too.
    """

    TOPIC: ClassVar[str] = "framing"
    LIMITS: ClassVar[dict[str, Range]] = {"stretch": (0.5, 2.0)}
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": FRAMINGS}

    kinds: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "whole": 0.68,
            "off_centre": 0.14,
            "cut_feet": 0.07,
            "cut_head": 0.03,
            "cut_side": 0.05,
            "partial": 0.03,
        }
    )
    fill: Range = (0.84, 0.95)
    stretch: Range = (1.1, 1.55)
    off_centre: Range = (0.04, 0.1)
    feet: Range = (0.04, 0.16)
    head: Range = (0.02, 0.08)
    side: Range = (0.1, 0.3)
    partial: Range = (0.4, 0.7)
    partial_lower: float = 0.2
    partial_side: float = 0.25


@dataclasses.dataclass(frozen=True)
class Framing:
    """How a detector's box sits around the person.

    Attributes:
        fill: Part of the crop's height (or width, where that is tighter) that the person, or what is left, takes.
        shift: Offset (x, y) of the person from the centre, as a part of the crop's height; not along a cut.
        kind: One of FRAMINGS.
        cut: Parts (left, top, right, bottom) of the person's width and height that are outside of the crop.
        stretch: By how much the picture is too wide: the box's height over twice its width.
    """

    fill: float
    shift: tuple[float, float]
    kind: str = "whole"
    cut: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    stretch: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {**vars(self), "shift": list(self.shift), "cut": list(self.cut)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Framing":
        """Return the object that `to_json` wrote."""
        return cls(**{**fields, "shift": tuple(fields["shift"]), "cut": tuple(fields["cut"])})


def sample_framing(
    rng: np.random.Generator, shares: FramingShares | None = None, *, kind: str | None = None
) -> Framing:
    """Draw a detector's box; `kind` (one of FRAMINGS) may be fixed.

    Raises:
        ValueError: An unknown kind.
    """
    shares = shares or FramingShares()
    kind = kind or draw_name(rng, shares.kinds)
    if kind not in FRAMINGS:
        raise ValueError(f"Unknown framing {kind!r}; expected one of {', '.join(FRAMINGS)}.")
    fill = float(rng.uniform(*shares.fill))
    slack = 0.5 * max(0.0, 0.985 - fill)
    shift = (float(rng.uniform(-0.5, 0.5) * slack), float(rng.uniform(-1.0, 1.0) * slack))
    left = top = right = bottom = 0.0
    if kind == "off_centre":  # a loose box, so that there is room to be off its centre
        away = float(rng.uniform(*shares.off_centre))
        angle = float(rng.uniform(0.0, 2.0 * math.pi))
        fill = min(fill, 0.98 - 2.0 * away)
        shift = (0.5 * away * math.cos(angle), away * math.sin(angle))
    elif kind == "cut_feet":
        bottom = float(rng.uniform(*shares.feet))
    elif kind == "cut_head":
        top = float(rng.uniform(*shares.head))
    elif kind == "partial":
        cut = 1.0 - float(rng.uniform(*shares.partial))
        top, bottom = (cut, 0.0) if rng.uniform() < shares.partial_lower else (0.0, cut)
    if kind == "cut_side" or (kind == "partial" and rng.uniform() < shares.partial_side):
        cut = float(rng.uniform(*shares.side))
        left, right = (cut, 0.0) if rng.uniform() < 0.5 else (0.0, cut)
    return Framing(fill, shift, kind, (left, top, right, bottom), float(rng.uniform(*shares.stretch)))


# A partial box may be narrower than the arms reach: its width holds this part of what is left of the person.
_LEAST_WIDTH = 0.8


def crop_around(sensor: Camera, points: np.ndarray, framing: Framing) -> tuple[Camera, float]:
    """Cut the 256x128 picture around a person, at the most as much too wide as the framing says.

    A person who is too wide for that, in a stride or with the arms away, is in a box as wide as needed.

    Args:
        sensor: The whole view, as `CameraSite.camera` gives it.
        points: [N 3] the person's vertices in the world.
        framing: The box.

    Returns:
        The crop's camera, and the crop's native height in sensor rows (below 256 the real picture is coarser).

    Raises:
        ValueError: A point lies behind the camera.
    """
    pixels, depth = sensor.project(points)
    if depth.min() <= 0.0:
        raise ValueError(f"The person reaches {-depth.min():.2f} m behind the camera: move it farther away.")
    left, top, right, bottom = framing.cut
    lowest, highest = pixels.min(axis=0), pixels.max(axis=0)
    size = highest - lowest
    lowest, highest = lowest + size * [left, top], highest - size * [right, bottom]
    if top or bottom:  # the width of what is left: an upper body is narrower than a stride
        kept = pixels[(pixels[:, 1] >= lowest[1]) & (pixels[:, 1] <= highest[1]), 0]
        lowest[0], highest[0] = max(lowest[0], kept.min()), min(highest[0], kept.max())
    size = highest - lowest
    wide = size[0] * IMAGE_HEIGHT / IMAGE_WIDTH * (_LEAST_WIDTH if framing.kind == "partial" else 1.0)
    height = max(size[1], wide) / framing.fill
    stretch = min(framing.stretch, framing.fill * height / wide)
    half = 0.5 * height * np.array([IMAGE_WIDTH / IMAGE_HEIGHT / stretch, 1.0])
    middle = 0.5 * (lowest + highest) - height * np.asarray(framing.shift) / [stretch, 1.0]
    # A cut is a border of the crop.
    if left:
        middle[0] = lowest[0] + half[0]
    if right:
        middle[0] = highest[0] - half[0]
    if top:
        middle[1] = lowest[1] + half[1]
    if bottom:
        middle[1] = highest[1] - half[1]
    scale = IMAGE_HEIGHT / height
    center = (
        float(0.5 * IMAGE_WIDTH + scale * stretch * (sensor.center[0] - middle[0])),
        float(0.5 * IMAGE_HEIGHT + scale * (sensor.center[1] - middle[1])),
    )
    crop = dataclasses.replace(sensor, focal=float(sensor.focal * scale), center=center, stretch=float(stretch))
    return crop, float(height)


def frontal_camera() -> Camera:
    """Return the one camera of every frontal view: level, 6 m in front of the origin, 2.12 m of height in the picture.

    It never follows the person, so a tall body is tall in the picture too.
    """
    distance, visible, middle = 6.0, 2.12, 0.94
    rotation = np.stack([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], axis=1)
    return Camera(
        rotation,
        np.array([0.0, -distance, middle]),
        IMAGE_HEIGHT * distance / visible,
        (0.5 * IMAGE_WIDTH, 0.5 * IMAGE_HEIGHT),
    )


def rotation_about_z(yaw: float) -> np.ndarray:
    """Return the rotation matrix [3 3] by `yaw` radians, counter-clockwise seen from above."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
