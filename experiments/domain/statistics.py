"""Statistics of a picture of a person: numbers that real and rendered pictures can be compared by.

All but the blocks are taken at one common size, because pictures are trained on at one size. Luminance Y and chroma Cb,
Cr are those of JPEG (ITU-T T.871): Y in 0..255, Cb and Cr round 0.
"""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from san_jax.pictures import resize_image

# Where torso and legs of a person who fills the box are: rows and columns as fractions of the box.
TORSO = ((0.20, 0.50), (0.30, 0.70))
LEGS = ((0.55, 0.90), (0.30, 0.70))
SCALES = (1, 2, 4)
BLOCK = 8  # a JPEG's blocks, pixels

Plane = Float32[np.ndarray, "height width"]

WORDS = {
    "luminance": "mean luminance",
    "contrast": "standard deviation of luminance",
    "torso_luminance": "mean luminance of the torso",
    "legs_luminance": "mean luminance of the legs",
    "chroma": "mean length of (Cb, Cr)",
    "torso_chroma": "mean length of (Cb, Cr) of the torso",
    "legs_chroma": "mean length of (Cb, Cr) of the legs",
    **{
        f"luminance_gradient_{scale}": f"mean gradient of luminance, {scale}x{scale} pixels averaged"
        for scale in SCALES
    },
    **{f"chroma_gradient_{scale}": f"mean gradient of Cb and Cr, {scale}x{scale} pixels averaged" for scale in SCALES},
    "luminance_grain": "median absolute Laplacian of luminance",
    "chroma_grain": "median absolute Laplacian of Cb",
    "sharpness": "gradient of luminance at 1x1 by that at 4x4",
    "blockiness": "jump of luminance at the borders of 8x8 blocks by that elsewhere, at the picture's own size",
    "offset_x": "centre of the gradients' magnitude from the box's centre, right positive, in box widths",
    "offset_y": "centre of the gradients' magnitude from the box's centre, down positive, in box heights",
    "fill_x": "standard deviation of the gradients' places, in box widths",
    "fill_y": "standard deviation of the gradients' places, in box heights",
}
NAMES = tuple(WORDS)


def describe(image: UInt8[np.ndarray, "height width 3"], size: tuple[int, int]) -> dict[str, float]:
    """Return the statistics of a picture by their names, which `WORDS` explains.

    Args:
        image: RGB at its own size, at least 9 pixels high and wide.
        size: Height and width at which all but the blockiness are taken; at least 16 each.

    Raises:
        ValueError: The picture or the size is too small.
    """
    if min(image.shape[:2]) <= BLOCK or min(size) < BLOCK * 2:
        raise ValueError(
            f"expected a picture of more than {BLOCK} pixels and a size of {BLOCK * 2} or more each way, found "
            f"{image.shape[0]}x{image.shape[1]} and {size[0]}x{size[1]}."
        )
    own_y, _, _ = planes(image)
    y, cb, cr = planes(resize_image(Image.fromarray(image), size))
    chroma = np.hypot(cb, cr)
    found = {
        "luminance": y.mean(),
        "contrast": y.std(),
        "torso_luminance": _part(y, TORSO).mean(),
        "legs_luminance": _part(y, LEGS).mean(),
        "chroma": chroma.mean(),
        "torso_chroma": _part(chroma, TORSO).mean(),
        "legs_chroma": _part(chroma, LEGS).mean(),
        **{f"luminance_gradient_{scale}": _gradient(_averaged(y, scale)).mean() for scale in SCALES},
        **{
            f"chroma_gradient_{scale}": 0.5 * sum(_gradient(_averaged(plane, scale)).mean() for plane in (cb, cr))
            for scale in SCALES
        },
        "luminance_grain": np.median(np.abs(_laplacian(y))),
        "chroma_grain": np.median(np.abs(_laplacian(cb))),
        "blockiness": blockiness(own_y),
        **_places(_gradient(y)),
    }
    coarse = found[f"luminance_gradient_{SCALES[-1]}"]
    found["sharpness"] = found["luminance_gradient_1"] / coarse if coarse > 0 else 0.0
    return {name: float(found[name]) for name in NAMES}


def planes(image: UInt8[np.ndarray, "height width 3"]) -> tuple[Plane, Plane, Plane]:
    """Return Y (0..255), Cb and Cr (-127.5..127.5) of an RGB picture, not rounded."""
    red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return y, (blue - y) / 1.772, (red - y) / 1.402


def blockiness(y: Plane) -> float:
    """Return the mean jump between neighbours in two 8x8 blocks over that of all others; 1 where no blocks are seen.

    The blocks are taken to begin at the picture's corner, as those of its own JPEG file do; the blocks of a film that
    it was cut from lie anywhere, and are not found.
    """
    jumps, borders = [], []
    for axis in (0, 1):
        jump = np.abs(np.diff(y, axis=axis)).mean(axis=1 - axis)
        jumps.append(jump)
        borders.append(np.arange(1, len(jump) + 1) % BLOCK == 0)
    jump, border = np.concatenate(jumps), np.concatenate(borders)
    elsewhere = jump[~border].mean()
    return float(jump[border].mean() / elsewhere) if elsewhere > 0 else 1.0


def dark_share(torso_luminance: np.ndarray, limit: float = 70.0) -> float:
    """Return the share of pictures whose torso is darker than `limit`."""
    return float(np.mean(torso_luminance < limit))


def _part(plane: Plane, part: tuple[tuple[float, float], tuple[float, float]]) -> Plane:
    rows, columns = (
        slice(round(low * length), round(high * length)) for (low, high), length in zip(part, plane.shape, strict=True)
    )
    return plane[rows, columns]


def _averaged(plane: Plane, scale: int) -> Plane:
    height, width = (length // scale for length in plane.shape)
    return plane[: height * scale, : width * scale].reshape(height, scale, width, scale).mean(axis=(1, 3))


def _gradient(plane: Plane) -> Plane:
    """Return the length of the gradient, per pixel of the plane, between the pixels."""
    down, right = plane[1:, :-1] - plane[:-1, :-1], plane[:-1, 1:] - plane[:-1, :-1]
    return np.hypot(down, right)


def _laplacian(plane: Plane) -> Plane:
    inner = plane[1:-1, 1:-1]
    return plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4.0 * inner


def _places(gradient: Plane) -> dict[str, float]:
    """Return where the gradients' magnitude lies: its centre from the box's, and its spread, in box widths and heights."""
    found = {}
    for name, axis in (("y", 0), ("x", 1)):
        weights = gradient.sum(axis=1 - axis)
        positions = (np.arange(len(weights)) + 0.5) / len(weights) - 0.5
        total = weights.sum()
        weights = weights / total if total > 0 else np.full(len(weights), 1.0 / len(weights))
        center = float(weights @ positions)
        found[f"offset_{name}"] = center
        found[f"fill_{name}"] = float(np.sqrt(weights @ (positions - center) ** 2))
    return found
