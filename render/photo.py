"""What a camera does to a picture: resolution, blur, exposure, colour cast, noise, compression.

A `CameraLook` belongs to a camera; `Shot` is what differs from picture to picture of the same camera.
"""

import dataclasses
import io
from typing import Any

import numpy as np
import scipy.ndimage
from PIL import Image


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
        """JSON values only: tuples become lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "CameraLook":
        """The inverse of `to_json`."""
        return cls(**{**fields, "cast": tuple(fields["cast"])})


@dataclasses.dataclass(frozen=True)
class Shot:
    """What differs between pictures of one camera: exposure in stops on top of the camera's, motion blur (length in
    pixels, along the rows), and the seed of the noise."""

    exposure: float
    motion: float
    noise_seed: int

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return dataclasses.asdict(self)


def sample_look(rng: np.random.Generator) -> CameraLook:
    """Draws a camera's look."""
    warmth, green = rng.normal(0.0, 0.045), rng.normal(0.0, 0.02)
    return CameraLook(
        exposure=float(np.clip(rng.normal(0.0, 0.28), -0.6, 0.6)),
        cast=(float(1.0 + warmth), float(1.0 + green), float(1.0 - warmth)),
        contrast=float(rng.uniform(0.88, 1.06)),
        saturation=float(rng.uniform(0.75, 1.15)),
        blur=float(rng.uniform(0.2, 0.8)),
        noise=float(rng.uniform(0.004, 0.018)),
        quality=int(rng.integers(72, 96)),
    )


def sample_shot(rng: np.random.Generator) -> Shot:
    """Draws what belongs to one picture."""
    return Shot(
        exposure=float(rng.normal(0.0, 0.1)),
        motion=float(rng.uniform(1.5, 4.0)) if rng.uniform() < 0.1 else 0.0,
        noise_seed=int(rng.integers(1 << 32)),
    )


def take_photo(picture: np.ndarray, look: CameraLook, shot: Shot, native_height: float) -> np.ndarray:
    """Turns drawn display values into the camera's picture.

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
        picture = _smear(picture, shot.motion)
    # Automatic exposure goes part of the way to a middle brightness.
    automatic = float(np.clip((0.46 / max(float(picture.mean()), 1e-3)) ** 0.6, 0.8, 1.6))
    picture = picture * np.float32(automatic * 2.0 ** ((look.exposure + shot.exposure) / 2.2))
    picture = _shoulder(picture) * np.array(look.cast, np.float32)
    grey = picture.mean(axis=-1, keepdims=True)
    picture = grey + np.float32(look.saturation) * (picture - grey)
    picture = np.float32(0.45) + np.float32(look.contrast) * (picture - np.float32(0.45))
    rng = np.random.default_rng(shot.noise_seed)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise += rng.standard_normal((height, width, 1), dtype=np.float32)  # brightness noise is the stronger one
    # Photon noise: relatively stronger in the dark, after the gamma curve.
    level = np.float32(look.noise * 0.8) * (np.float32(1.35) - np.clip(picture, 0.0, 1.0) * np.float32(0.7))
    pixels = np.rint(np.clip(picture + level * noise, 0.0, 1.0) * 255.0).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=look.quality)
    return np.asarray(Image.open(buffer))


def _smear(picture: np.ndarray, length: float) -> np.ndarray:
    """Box blur along the rows by `length` pixels."""
    taps = 1 + 2 * int(np.ceil(0.5 * (length - 1.0)))
    weights = np.ones(taps, np.float32)
    weights[[0, -1]] = 0.5 * (length - (taps - 2))
    return scipy.ndimage.convolve1d(picture, weights / weights.sum(), axis=1, mode="nearest")


def _shoulder(picture: np.ndarray) -> np.ndarray:
    """Rolls highlights off above 0.8 instead of clipping them."""
    over = np.maximum(picture - np.float32(0.8), 0.0)
    return np.minimum(picture, np.float32(0.8)) + np.float32(0.2) * (1.0 - np.exp(-over / np.float32(0.2)))
