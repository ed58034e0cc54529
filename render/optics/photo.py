"""What a camera does to a picture: resolution, blur, exposure, colour cast, noise, sharpening, compression.

Everything happens in the camera's own pixels, of which a person far away covers few; the crop is enlarged afterwards,
as the crops of the benchmarks are. A `CameraLook` belongs to a camera; `Shot` is what differs from picture to picture
of the same camera.
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
        blur: Standard deviation of the lens blur, pixels of the sensor.
        noise: Standard deviation of the sensor noise at middle grey, display values in [0, 1].
        quality: JPEG quality of the camera's own compression, with chroma at half the resolution (4:2:0).
        chroma_blur: Standard deviation of the blur of the colours alone, by the sensor's colour filters and by the
            camera's suppression of noise, pixels of the sensor.
        sharpening: Weight of the unsharp mask that the camera adds to its luminance.
    """

    exposure: float
    cast: tuple[float, float, float]
    contrast: float
    saturation: float
    blur: float
    noise: float
    quality: int
    chroma_blur: float
    sharpening: float

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
        blur: Lens blur of a camera, standard deviation in pixels of its sensor.
        noise: Sensor noise of a camera by day, standard deviation at middle grey; it rises in the dark.
        quality: JPEG quality of a camera, 1 to 100.
        chroma_blur: Blur of a camera's colours, standard deviation in pixels of its sensor.
        sharpening: Weight of a camera's unsharp mask.
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
        "chroma_blur": (0.0, 8.0),
        "sharpening": (0.0, 4.0),
        "shot_exposure": (-2.0, 2.0),
        "motion": (1.0, 20.0),
    }

    exposure: Range = (-0.9, 0.6)
    warmth: Range = (-0.09, 0.09)
    green: Range = (-0.035, 0.035)
    contrast: Range = (0.85, 1.08)
    saturation: Range = (0.6, 1.1)
    blur: Range = (0.2, 0.8)
    noise: Range = (0.001, 0.008)
    quality: Range = (55.0, 95.0)
    chroma_blur: Range = (1.0, 2.5)
    sharpening: Range = (0.3, 1.3)
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
        chroma_blur=float(rng.uniform(*ranges.chroma_blur)),
        sharpening=float(rng.uniform(*ranges.sharpening)),
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


MIDDLE = 0.42  # the mean that the automatic exposure aims at
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of JPEG, ITU-T T.871
BLOCK = 16  # pixels of luminance that a JPEG with 4:2:0 codes together
# Least rows of the sensor that a crop is taken from, however far the person is.
LEAST_ROWS = 32
# Of a camera's unsharp mask: standard deviation of the blur that it takes away, pixels of the sensor.
MASK_BLUR = 1.0


def take_photo(
    picture: np.ndarray, look: CameraLook, shot: Shot, native_height: float, stretch: float = 1.0
) -> np.ndarray:
    """Turn drawn display values into the camera's picture.

    Args:
        picture: float32 [height width 3] in [0, 1].
        look, shot: The camera and the moment.
        native_height: Sensor rows that the picture covers. Where these are fewer than it has, it is taken with so many
            (32 or more) and enlarged again.
        stretch: By how much the picture is wider than the sensor saw it.

    Returns:
        uint8 [height width 3]
    """
    height, width = picture.shape[:2]
    if shot.motion > 0.0:
        picture = _smear(picture, shot.motion, shot.motion_angle)
    rows = round(min(float(height), max(native_height, LEAST_ROWS)))
    columns = max(1, min(width, round(rows * width / (height * stretch))))
    picture = _resize(picture, rows, columns)
    picture = _blur(picture, look.blur)
    if any(shot.falloff):
        x, y = (np.linspace(-1.0, 1.0, count, dtype=np.float32) for count in picture.shape[1::-1])
        lit = 1.0 + np.float32(shot.falloff[0]) * x + np.float32(shot.falloff[1]) * y[:, None]
        picture = picture * np.maximum(lit, 0.0)[..., None] ** np.float32(1.0 / 2.2)
    # Automatic exposure goes part of the way to a middle brightness.
    automatic = float(np.clip((MIDDLE / max(float(picture.mean()), 1e-3)) ** 0.6, 0.8, 1.8))
    picture = picture * np.float32(automatic * 2.0 ** ((look.exposure + shot.exposure) / 2.2))
    # Colour cast, saturation (about the mean of the channels) and contrast (about 0.45) in one matrix.
    grey = np.full((3, 3), (1.0 - look.saturation) / 3.0)
    mixed = look.contrast * (grey + look.saturation * np.eye(3)) * np.array(look.cast)
    picture = _shoulder(picture) @ mixed.T.astype(np.float32) + np.float32(0.45 - 0.45 * look.contrast)
    rng = np.random.default_rng(shot.noise_seed)
    picture = picture + _noise(rng, picture, look.noise * 0.8 * max(1.0, automatic) ** 1.5)
    picture = _develop(picture, look)
    pixels = _compress(np.rint(np.clip(picture, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8), look.quality, rng)
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _resize(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Average float32 [height width 3] over the pixels of a sensor: each takes all the light that falls on it."""
    if picture.shape[:2] == (rows, columns):
        return picture
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((columns, rows), Image.Resampling.BOX))
        for plane in np.moveaxis(picture, -1, 0)
    ]
    return np.stack(planes, axis=-1)


def _blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    return scipy.ndimage.gaussian_filter(picture, (sigma, sigma, *(0.0,) * (picture.ndim - 2)), truncate=3.0)


def _noise(rng: np.random.Generator, picture: np.ndarray, strength: float) -> np.ndarray:
    """Draw a sensor's noise, of which what is common to the channels is half.

    Photon noise is relatively stronger in the dark after the gamma curve. What the exposure amplifies in the dark, it
    amplifies the noise of, too: that is in `strength`.
    """
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise += rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    return noise * np.float32(strength) * (np.float32(1.35) - np.clip(picture, 0.0, 1.0) * np.float32(0.7))


def _develop(picture: np.ndarray, look: CameraLook) -> np.ndarray:
    """Blur the colours and sharpen the luminance, as cameras do with what their sensor gives."""
    luminance = picture @ LUMINANCE
    chroma = _blur(picture - luminance[..., None], look.chroma_blur)
    sharp = luminance + np.float32(look.sharpening) * (luminance - _blur(luminance, MASK_BLUR))
    return chroma + sharp[..., None]


def _compress(pixels: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """Compress as a part of a larger JPEG: its blocks begin anywhere in the crop."""
    rows, columns = pixels.shape[:2]
    top, left = (int(start) for start in rng.integers(BLOCK, size=2))
    below, right = (-(start + length) % BLOCK for start, length in ((top, rows), (left, columns)))
    padded = np.pad(pixels, ((top, below), (left, right), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    Image.fromarray(padded).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))[top : top + rows, left : left + columns]


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
