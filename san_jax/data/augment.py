"""Normalisation and augmentation on the device, inside the jitted step, by the released code's recipe.

Batches arrive as uint8. Every image draws its own random numbers from its own key, so what happens to image i of a
global batch does not depend on the number of devices. Textures keep their shape: the target of a translated, flipped,
partly erased or cropped image is the whole texture of the person. So the decoder has to infer what a crop does not
show, and the feature it reads must tell which part of the body is seen, which is what partial reID needs (section 4.6).
Optionally the texture of a flipped image is mirrored by the UV mirror map, and image and texture are recoloured alike.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray, UInt8, UInt32

from san_jax.data.recolor import Recoloring, draw_recoloring, recolor
from san_jax.settings import AugmentSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
# Folded into an image's key, beside the six that it is split into, which stay what they are without these two.
_CROP_KEY, _RECOLOR_KEY = 6, 7
ERASE_ATTEMPTS = 16  # a drawn rectangle fits about 9 times in 10; that none of 16 does is beyond 1e-15


def normalize_images(images: UInt8[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    """Return the encoder's input, (x / 255 - mean) / std with ImageNet's mean and standard deviation, float32."""
    return _normalize(images.astype(jnp.float32))


def normalize_textures(textures: UInt8[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    """Return the decoder's targets, x / 127.5 - 1, float32 in [-1, 1]."""
    return textures.astype(jnp.float32) / 127.5 - 1.0


class Augmented(NamedTuple):
    """Augmented images, with what the decoder's targets need to know about them.

    Attributes:
        image: The encoder's input, float32 [B H W 3], ImageNet-normalised.
        clean: The same images before erasing, in the units of textures, float32 [B H W 3] in [-1, 1].
        flipped: Which images were mirrored left and right, bool [B].
        recoloring: How each was recoloured, which its texture has to be too; None where none is.
    """

    image: Any
    clean: Any
    flipped: Any
    recoloring: Recoloring | None = None


def augment_images(
    key: PRNGKeyArray | UInt32[Array, "2"],
    images: UInt8[Array, "batch height width 3"],
    *,
    settings: AugmentSettings,
) -> Augmented:
    """Crop, translate, flip, recolour, normalise and erase, each with its probability and independently for every image.

    Args:
        key: A JAX random key, new in every step.
        images: RGB, uint8.
        settings: Probabilities and ranges; hashable, static under jit.
    """
    keys = jax.random.split(key, images.shape[0])
    return jax.vmap(lambda image_key, image: _augment_image(image_key, image, settings))(keys, images)


def mirror_textures(
    textures: Float[Array, "batch size size 3"],
    flipped: Bool[Array, " batch"],
    mirror_map: Integer[np.ndarray, "map_size map_size 2"],
) -> Float[Array, "batch size size 3"]:
    """Mirror the textures of flipped images: each becomes `texture[map[..., 0], map[..., 1]]`.

    Textures of another size are mirrored at the map's size by their nearest texels, then averaged over the map's texels
    that each of theirs covers: taking single texels of the map would miss what lies between.

    Args:
        textures: Textures of the images before any was flipped, float32 of any range.
        flipped: Which images were flipped.
        mirror_map: Row and column that each texel of a mirrored texture takes its colour from: a dataset's
            `mirror_map.npy`.
    """
    size, map_size = textures.shape[1], mirror_map.shape[0]
    rows, columns = (((mirror_map[..., axis] + 0.5) * size / map_size).astype(np.int32) for axis in (0, 1))
    mirrored = textures[:, rows, columns]
    if size != map_size:
        edges = np.arange(size + 1) * map_size / size
        texel = np.arange(map_size)
        # How much of each of the map's texels every one of the texture's covers.
        covered = np.minimum(edges[1:, None], texel + 1) - np.maximum(edges[:-1, None], texel)
        shares = jnp.asarray(np.maximum(covered, 0.0) * size / map_size, jnp.float32)
        mirrored = jnp.einsum("ih,bhwc->biwc", shares, mirrored, precision=lax.Precision.HIGHEST)
        mirrored = jnp.einsum("jw,biwc->bijc", shares, mirrored, precision=lax.Precision.HIGHEST)
    return jnp.where(flipped[:, None, None, None], mirrored, textures)


def _augment_image(
    key: PRNGKeyArray | UInt32[Array, "2"], image: UInt8[Array, "height width 3"], settings: AugmentSettings
) -> Augmented:
    height, width, _ = image.shape
    translate_key, row_key, column_key, flip_key, erase_key, rectangle_key = jax.random.split(key, 6)
    translate = jax.random.bernoulli(translate_key, settings.translate_probability)
    flip = jax.random.bernoulli(flip_key, settings.flip_probability)
    erase = jax.random.bernoulli(erase_key, settings.erase_probability)

    # All of it is one separable bilinear resampling: a weight matrix for rows and one for columns.
    row_positions = _translate_positions(row_key, height, settings.enlargement, translate)
    column_positions = _translate_positions(column_key, width, settings.enlargement, translate)
    if settings.crop_probability:
        crop_key, height_key, width_key = jax.random.split(jax.random.fold_in(key, _CROP_KEY), 3)
        crop = jax.random.bernoulli(crop_key, settings.crop_probability)
        row_positions = _crop_positions(height_key, row_positions, settings.crop_height, crop)
        column_positions = _crop_positions(width_key, column_positions, settings.crop_width, crop)
    rows, columns = _resampling_matrix(row_positions), _resampling_matrix(column_positions)
    columns = jnp.where(flip, columns[::-1], columns)
    pixels = jnp.einsum("ih,hwc->iwc", rows, image.astype(jnp.float32), precision=lax.Precision.HIGHEST)
    pixels = jnp.einsum("jw,iwc->ijc", columns, pixels, precision=lax.Precision.HIGHEST)

    recoloring = None
    if settings.recolor_probability:
        recolor_key = jax.random.fold_in(key, _RECOLOR_KEY)
        recoloring = draw_recoloring(
            recolor_key, settings.recolor_probability, settings.recolor_gamma, settings.recolor_saturation
        )
        pixels = recolor(recoloring, pixels, high=255.0)

    erased = _random_rectangle(rectangle_key, height, width, settings) & erase
    return Augmented(
        image=jnp.where(erased[:, :, None], jnp.asarray(settings.erase_fill, jnp.float32), _normalize(pixels)),
        clean=pixels / 127.5 - 1.0,
        flipped=flip,
        recoloring=recoloring,
    )


def _normalize(pixels: Float[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 3"]:
    # Times the reciprocal: XLA turns a division into that when it compiles, which would make jit differ by a rounding.
    mean = 255.0 * jnp.asarray(IMAGENET_MEAN, jnp.float32)
    scale = 1.0 / (255.0 * jnp.asarray(IMAGENET_STD, jnp.float32))
    return (pixels - jnp.broadcast_to(mean, pixels.shape)) * jnp.broadcast_to(scale, pixels.shape)


def _translate_positions(
    key: PRNGKeyArray | UInt32[Array, "2"], size: int, enlargement: float, translate: Bool[Array, ""]
) -> Float[Array, " {size}"]:
    """Source coordinates of each output pixel; the identity when `translate` is False.

    Pixel i of the window that starts at `offset` lies at (i + offset + 1/2) size / enlarged - 1/2 of the original.
    """
    enlarged = round(size * enlargement)
    offset = jax.random.randint(key, (), 0, enlarged - size + 1)
    window = jnp.arange(size, dtype=jnp.float32) + offset.astype(jnp.float32)
    positions = jnp.where(translate, (window + 0.5) * (size / enlarged) - 0.5, jnp.arange(size, dtype=jnp.float32))
    return jnp.clip(positions, 0.0, size - 1.0)


def _crop_positions(
    key: PRNGKeyArray | UInt32[Array, "2"],
    positions: Float[Array, " size"],
    fractions: tuple[float, float],
    crop: Bool[Array, ""],
) -> Float[Array, " size"]:
    """Source coordinates in a random window stretched to the image's size; `positions` when `crop` is False.

    With `length` pixels from `start`, position p lies at (p + 1/2) length / size - 1/2 + start, and never outside the
    window: what it leaves out is not seen.
    """
    size = positions.shape[0]
    length_key, start_key = jax.random.split(key)
    fraction = jax.random.uniform(length_key, (), minval=fractions[0], maxval=fractions[1])
    length = jnp.clip(jnp.round(fraction * size).astype(jnp.int32), 1, size)
    start = jax.random.randint(start_key, (), 0, size - length + 1).astype(jnp.float32)
    length = length.astype(jnp.float32)
    inside = jnp.clip((positions + 0.5) * (length / size) - 0.5, 0.0, length - 1.0) + start
    return jnp.where(crop, inside, positions)


def _resampling_matrix(positions: Float[Array, " size"]) -> Float[Array, "size size"]:
    """Weights of the pixels that lie around each position: bilinear interpolation along one axis."""
    pixels = jnp.arange(positions.shape[0], dtype=jnp.float32)
    return jnp.maximum(0.0, 1.0 - jnp.abs(positions[:, None] - pixels[None, :]))


def _random_rectangle(
    key: PRNGKeyArray | UInt32[Array, "2"], height: int, width: int, settings: AugmentSettings
) -> Bool[Array, "{height} {width}"]:
    """Mask of a random rectangle; empty if none of ERASE_ATTEMPTS drawn ones fits into the image.

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
