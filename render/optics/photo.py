"""What a camera does to a picture: resolution, blur, exposure, colour cast, noise, compression.

A `CameraLook` belongs to a camera; `Shot` is what differs from picture to picture of the same camera.
"""

import dataclasses
import io
import math
from typing import Any, ClassVar

import numpy as np
import scipy.ndimage
from PIL import Image

from render.shares import Range, Shares


@dataclasses.dataclass(frozen=True)
class CameraLook:
    """How a camera renders colours.

    Attributes:
        exposure: Stops (powers of two of the light) on top of the automatic exposure.
        cast: (r, g, b) gains of the display values.
        contrast: Gain around middle grey.
        saturation: 0 grey, 1 as it is.
        blur: Standard deviation of the lens blur, pixels of the finished picture.
        noise: Standard deviation of the sensor noise at middle grey, display values in [0, 1].
        quality: JPEG quality of the camera's own compression.
    """

    exposure: float
    cast: tuple[float, float, float]
    contrast: float
    saturation: float
    blur: float
    noise: float
    quality: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "CameraLook":
        """Return the object that `to_json` wrote."""
        return cls(**{**fields, "cast": tuple(fields["cast"])})


@dataclasses.dataclass(frozen=True)
class Shot:
    """What differs between pictures of one camera.

    Attributes:
        exposure: Stops on top of the camera's.
        motion: Length of the motion blur in pixels, 0 for none.
        noise_seed: Seed of the noise.
        motion_angle: Direction of the motion blur, radians from the rows.
        falloff: Relative change of the light from the centre to the right and to the bottom border of the crop: where
            it lies in the lens's bright middle, or under a lamp.
    """

    exposure: float
    motion: float
    noise_seed: int
    motion_angle: float = 0.0
    falloff: tuple[float, float] = (0.0, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: tuples become lists."""
        return {**vars(self), "falloff": list(self.falloff)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Shot":
        """Return the object that `to_json` wrote."""
        return cls(**{**fields, "falloff": tuple(fields["falloff"])})


@dataclasses.dataclass(frozen=True)
class PhotoRanges(Shares):
    """The distributions of cameras and of single pictures.

    Attributes:
        exposure: Stops, of a camera.
        warmth, green: Colour cast of a camera: part by which red is stronger and blue weaker, and green stronger.
        contrast, saturation: Gains, of a camera.
        blur: Lens blur of a camera, standard deviation in pixels of the finished picture.
        noise: Sensor noise of a camera by day, standard deviation at middle grey; it rises in the dark.
        quality: JPEG quality of a camera, 1 to 100.
        shot_exposure: Stops by which a picture differs from others of its camera.
        motion_share: Share of pictures that are blurred by motion.
        motion: Length of that blur, pixels.
        shake: Share of blurred pictures where the camera moved, in any direction; else the person did, sideways.
        falloff: Largest relative change of the light from a crop's centre to its border.
    """

    TOPIC: ClassVar[str] = "photo"
    LIMITS: ClassVar[dict[str, Range]] = {
        "exposure": (-2.0, 2.0),
        "warmth": (-0.5, 0.5),
        "green": (-0.5, 0.5),
        "contrast": (0.2, 3.0),
        "saturation": (0.0, 3.0),
        "blur": (0.0, 8.0),
        "noise": (0.0, 0.2),
        "quality": (1.0, 100.0),
        "shot_exposure": (-2.0, 2.0),
        "motion": (1.0, 20.0),
    }

    exposure: Range = (-0.55, 0.55)
    warmth: Range = (-0.09, 0.09)
    green: Range = (-0.035, 0.035)
    contrast: Range = (0.88, 1.06)
    saturation: Range = (0.75, 1.15)
    blur: Range = (0.2, 0.8)
    noise: Range = (0.004, 0.018)
    quality: Range = (55.0, 95.0)
    shot_exposure: Range = (-0.2, 0.2)
    motion_share: float = 0.12
    motion: Range = (1.5, 4.5)
    shake: float = 0.3
    falloff: float = 0.2


def sample_look(rng: np.random.Generator, ranges: PhotoRanges | None = None) -> CameraLook:
    """Draw a camera's look."""
    ranges = ranges or PhotoRanges()
    warmth, green = _middling(rng, ranges.warmth), _middling(rng, ranges.green)
    return CameraLook(
        exposure=_middling(rng, ranges.exposure),
        cast=(1.0 + warmth, 1.0 + green, 1.0 - warmth),
        contrast=float(rng.uniform(*ranges.contrast)),
        saturation=float(rng.uniform(*ranges.saturation)),
        blur=float(rng.uniform(*ranges.blur)),
        noise=float(rng.uniform(*ranges.noise)),
        quality=round(float(rng.uniform(*ranges.quality))),
    )


def sample_shot(rng: np.random.Generator, ranges: PhotoRanges | None = None) -> Shot:
    """Draw what belongs to one picture."""
    ranges = ranges or PhotoRanges()
    moved = rng.uniform() < ranges.motion_share
    shaken = rng.uniform() < ranges.shake
    length, angle = float(rng.uniform(*ranges.motion)), float(rng.uniform(-0.5, 0.5))
    falloff = ranges.falloff * rng.uniform(-1.0, 1.0, 2)
    return Shot(
        exposure=_middling(rng, ranges.shot_exposure),
        motion=length if moved else 0.0,
        noise_seed=int(rng.integers(1 << 32)),
        motion_angle=angle * math.pi if shaken else 0.4 * angle,
        falloff=(float(falloff[0]), float(falloff[1])),
    )


def _middling(rng: np.random.Generator, ends: Range) -> float:
    """Draw from a range by a triangular distribution: the middle most often."""
    return float(0.5 * (rng.uniform(*ends) + rng.uniform(*ends)))


def take_photo(picture: np.ndarray, look: CameraLook, shot: Shot, native_height: float) -> np.ndarray:
    """Turn drawn display values into the camera's picture.

    Args:
        picture: float32 [height width 3] in [0, 1].
        look, shot: The camera and the moment.
        native_height: Sensor rows that the picture covers; where it has more pixels than that, detail is lost.

    Returns:
        uint8 [height width 3]
    """
    height, width = picture.shape[:2]
    # Drawing is sharp to about half a pixel; a coarser sensor spreads light over its own pixels.
    spread = 0.45 * max(0.0, height / max(native_height, 1.0) - 1.0)
    sigma = float(np.hypot(look.blur, min(spread, 1.6)))
    picture = scipy.ndimage.gaussian_filter(picture, (sigma, sigma, 0.0), truncate=3.0)
    if shot.motion > 0.0:
        picture = _smear(picture, shot.motion, shot.motion_angle)
    if any(shot.falloff):
        x, y = (np.linspace(-1.0, 1.0, count, dtype=np.float32) for count in (width, height))
        lit = 1.0 + np.float32(shot.falloff[0]) * x + np.float32(shot.falloff[1]) * y[:, None]
        picture = picture * np.maximum(lit, 0.0)[..., None] ** np.float32(1.0 / 2.2)
    # Automatic exposure goes part of the way to a middle brightness.
    automatic = float(np.clip((0.46 / max(float(picture.mean()), 1e-3)) ** 0.6, 0.8, 1.8))
    picture = picture * np.float32(automatic * 2.0 ** ((look.exposure + shot.exposure) / 2.2))
    # Colour cast, saturation (about the mean of the channels) and contrast (about 0.45) in one matrix.
    grey = np.full((3, 3), (1.0 - look.saturation) / 3.0)
    mixed = look.contrast * (grey + look.saturation * np.eye(3)) * np.array(look.cast)
    picture = _shoulder(picture) @ mixed.T.astype(np.float32) + np.float32(0.45 - 0.45 * look.contrast)
    rng = np.random.default_rng(shot.noise_seed)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    brightness = rng.standard_normal((height, width), dtype=np.float32)  # the stronger one
    for channel in range(3):
        noise[..., channel] += brightness
    # Photon noise: relatively stronger in the dark, after the gamma curve.
    # What the exposure amplifies in the dark, it amplifies the noise of, too.
    strength = look.noise * 0.8 * max(1.0, automatic) ** 1.5
    level = np.float32(strength) * (np.float32(1.35) - np.clip(picture, 0.0, 1.0) * np.float32(0.7))
    noise *= level
    noise += picture
    pixels = np.rint(np.clip(noise, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=look.quality)
    return np.asarray(Image.open(buffer))


def _smear(picture: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur by a box of `length` pixels along a line, `angle` radians from the rows."""
    reach = int(np.ceil(0.5 * length))
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3), np.float32)
    for step in np.linspace(-0.5, 0.5, 4 * reach + 1) * (length - 1.0):
        x, y = step * np.cos(angle) + reach + 1, step * np.sin(angle) + reach + 1
        column, row = int(x), int(y)
        x, y = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - y, y], [1 - x, x])
    kernel = kernel[kernel.any(axis=1)][:, kernel.any(axis=0)]
    return scipy.ndimage.convolve(picture, (kernel / kernel.sum())[..., None], mode="nearest")


def _shoulder(picture: np.ndarray) -> np.ndarray:
    """Roll highlights off above 0.8 instead of clipping them."""
    over = np.maximum(picture - np.float32(0.8), 0.0)
    return np.minimum(picture, np.float32(0.8)) + np.float32(0.2) * (1.0 - np.exp(over * np.float32(-1.0 / 0.2)))
