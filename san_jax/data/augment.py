"""Normalisation and augmentation on the device, inside the jitted step (the paper's section 4; the released recipe).

Batches arrive as uint8. Every image draws its own random numbers from its own key, so what happens to image i of a
global batch does not depend on the number of devices. Textures are not augmented: the target of a translated, flipped or
partly erased image is the whole texture of the person.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8, UInt32

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
ERASE_ATTEMPTS = 16  # a drawn rectangle fits about 9 times in 10; that none of 16 does is beyond 1e-15


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """How reID images are augmented; the default is the released recipe.

    Attributes:
      translate_probability: of enlarging by `enlargement` and cropping at random to the old size.
      enlargement: factor of height and width.
      flip_probability: of mirroring left and right.
      erase_probability: of erasing a random rectangle.
      erase_area: smallest and largest area of the rectangle, as a fraction of the image's.
      erase_aspect: smallest and largest height / width of the rectangle.
      erase_fill: what the rectangle is filled with, RGB, in normalised units: 0 is the ImageNet mean. (The released
        code writes the numbers 0.485, 0.456, 0.406 into the normalised image.)
    """

    translate_probability: float = 0.5
    enlargement: float = 1.125
    flip_probability: float = 0.5
    erase_probability: float = 0.5
    erase_area: tuple[float, float] = (0.02, 0.4)
    erase_aspect: tuple[float, float] = (0.3, 1.0 / 0.3)
    erase_fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self):
        for name in ("translate_probability", "flip_probability", "erase_probability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in 0..1, found {getattr(self, name)}.")
        if self.enlargement < 1.0:
            raise ValueError(f"enlargement must be at least 1 (a crop must fit inside), found {self.enlargement}.")
        if not 0.0 < self.erase_area[0] <= self.erase_area[1] <= 1.0:
            raise ValueError(f"erase_area must be (low, high) with 0 < low <= high <= 1, found {self.erase_area}.")
        if not 0.0 < self.erase_aspect[0] <= self.erase_aspect[1]:
            raise ValueError(f"erase_aspect must be (low, high) with 0 < low <= high, found {self.erase_aspect}.")


def normalize_images(images: UInt8[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    """(x / 255 - mean) / std with ImageNet's mean and standard deviation, float32: what the encoder takes."""
    return _normalize(images.astype(jnp.float32))


def normalize_textures(textures: UInt8[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    """x / 127.5 - 1, float32 in [-1, 1]: the target of the decoder."""
    return textures.astype(jnp.float32) / 127.5 - 1.0


def augment_reid(
    key: PRNGKeyArray | UInt32[Array, "2"],
    images: UInt8[Array, "batch height width 3"],
    *,
    settings: AugmentSettings,
) -> Float[Array, "batch height width 3"]:
    """Enlarges and crops, flips, normalises and erases, each with its probability and independently for every image.

    Args:
      key: a JAX random key, new in every step.
      images: uint8 RGB.
      settings: probabilities and ranges; hashable, static under jit.

    Returns:
      float32, ImageNet-normalised, of the same size. With all probabilities 0 it is `normalize_images(images)`.
    """
    keys = jax.random.split(key, images.shape[0])
    return jax.vmap(lambda image_key, image: _augment_image(image_key, image, settings))(keys, images)


def _augment_image(
    key: PRNGKeyArray | UInt32[Array, "2"], image: UInt8[Array, "height width 3"], settings: AugmentSettings
) -> Float[Array, "height width 3"]:
    height, width, _ = image.shape
    translate_key, row_key, column_key, flip_key, erase_key, rectangle_key = jax.random.split(key, 6)
    translate = jax.random.bernoulli(translate_key, settings.translate_probability)
    flip = jax.random.bernoulli(flip_key, settings.flip_probability)
    erase = jax.random.bernoulli(erase_key, settings.erase_probability)

    # Enlarging, cropping and flipping is one separable bilinear resampling: a weight matrix for rows and one for columns.
    rows = _crop_matrix(row_key, height, settings.enlargement, translate)
    columns = _crop_matrix(column_key, width, settings.enlargement, translate)
    columns = jnp.where(flip, columns[::-1], columns)
    pixels = jnp.einsum("ih,hwc->iwc", rows, image.astype(jnp.float32), precision=lax.Precision.HIGHEST)
    pixels = jnp.einsum("jw,iwc->ijc", columns, pixels, precision=lax.Precision.HIGHEST)

    erased = _random_rectangle(rectangle_key, height, width, settings) & erase
    return jnp.where(erased[:, :, None], jnp.asarray(settings.erase_fill, jnp.float32), _normalize(pixels))


def _normalize(pixels: Float[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    # Times the reciprocal: XLA turns a division into that when it compiles, which would make jit differ by a rounding.
    mean = 255.0 * jnp.asarray(IMAGENET_MEAN, jnp.float32)
    scale = 1.0 / (255.0 * jnp.asarray(IMAGENET_STD, jnp.float32))
    return (pixels - jnp.broadcast_to(mean, pixels.shape)) * jnp.broadcast_to(scale, pixels.shape)


def _crop_matrix(
    key: PRNGKeyArray | UInt32[Array, "2"], size: int, enlargement: float, translate: Bool[Array, ""]
) -> Float[Array, "{size} {size}"]:
    """Weights that take `size` pixels to a random window of the bilinearly enlarged ones; the identity if not translate.

    Pixel i of the window that starts at `offset` lies at (i + offset + 1/2) size / enlarged - 1/2 of the original.
    """
    enlarged = round(size * enlargement)
    offset = jax.random.randint(key, (), 0, enlarged - size + 1)
    window = jnp.arange(size, dtype=jnp.float32) + offset.astype(jnp.float32)
    positions = jnp.where(translate, (window + 0.5) * (size / enlarged) - 0.5, jnp.arange(size, dtype=jnp.float32))
    positions = jnp.clip(positions, 0.0, size - 1.0)
    return jnp.maximum(0.0, 1.0 - jnp.abs(positions[:, None] - jnp.arange(size, dtype=jnp.float32)[None, :]))


def _random_rectangle(
    key: PRNGKeyArray | UInt32[Array, "2"], height: int, width: int, settings: AugmentSettings
) -> Bool[Array, "{height} {width}"]:
    """True inside a random rectangle; nowhere, should none of ERASE_ATTEMPTS drawn ones fit into the image.

    Zhong et al., "Random Erasing Data Augmentation", AAAI 2020: area and aspect uniform, drawn again until it fits.
    """
    area_key, aspect_key, top_key, left_key = jax.random.split(key, 4)
    low, high = settings.erase_area
    area = height * width * jax.random.uniform(area_key, (ERASE_ATTEMPTS,), minval=low, maxval=high)
    low, high = settings.erase_aspect
    aspect = jax.random.uniform(aspect_key, (ERASE_ATTEMPTS,), minval=low, maxval=high)
    heights = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
    widths = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
    fits = (heights < height) & (widths < width)
    first = jnp.argmax(fits)
    # Where nothing fits the rectangle is empty.
    rectangle_height = jnp.where(fits[first], heights[first], 0)
    rectangle_width = jnp.where(fits[first], widths[first], 0)
    top = jax.random.randint(top_key, (), 0, height - rectangle_height + 1)
    left = jax.random.randint(left_key, (), 0, width - rectangle_width + 1)
    row = jnp.arange(height, dtype=jnp.int32)
    column = jnp.arange(width, dtype=jnp.int32)
    in_rows = (row >= top) & (row < top + rectangle_height)
    in_columns = (column >= left) & (column < left + rectangle_width)
    return in_rows[:, None] & in_columns[None, :]
