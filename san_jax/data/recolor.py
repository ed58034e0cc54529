"""Random recolouring of pictures and of their textures alike: other clothes from the same rendering.

A picture and the texture of its person stay a true pair when both are changed by the same function of a pixel's colour.
So a network that regresses textures sees any number of colours from few renderings. The change is a permutation of the
channels, a rotation of the hue by any angle, a factor of the saturation, and a gamma of each channel.

Textures cover the whole UV square (what no part of the body uses is filled from its border), so all of it is changed.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

_PERMUTATIONS = np.eye(3, dtype=np.float32)[np.array(list(itertools.permutations(range(3))))]
# Folded into the key, beside the four that it is split into, which stay what they are without this one.
_SATURATION_KEY = 4
_CROSS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / math.sqrt(3.0)


class Recoloring(NamedTuple):
    """How each picture of a batch is recoloured; the shapes are those of one picture without the batch axis.

    Attributes:
        matrix: float32 [B 3 3], by which linear combinations of red, green and blue become the new ones.
        gamma: float32 [B 3], exponent of each new channel, of values in 0..1.
        changed: bool [B], whether the picture is recoloured at all.
    """

    matrix: Any
    gamma: Any
    changed: Any


def draw_recoloring(
    key: PRNGKeyArray | UInt32[Array, "2"], probability: float, largest_gamma: float, largest_saturation: float = 1.0
) -> Recoloring:
    """Draw how one picture is recoloured.

    Args:
        key: A JAX random key.
        probability: Probability that it is recoloured at all.
        largest_gamma: Exponents lie between this number and its reciprocal, their logarithms uniformly; 1 or more.
        largest_saturation: The same for the factor of the saturation.
    """
    changed_key, permutation_key, angle_key, gamma_key = jax.random.split(key, 4)
    permutation = jnp.asarray(_PERMUTATIONS)[jax.random.randint(permutation_key, (), 0, len(_PERMUTATIONS))]
    rotation = hue_rotation(jax.random.uniform(angle_key, (), maxval=2.0 * math.pi))
    matrix = jnp.matmul(rotation, permutation, precision=lax.Precision.HIGHEST)
    if largest_saturation > 1.0:
        drawn = jax.random.uniform(jax.random.fold_in(key, _SATURATION_KEY), (), minval=-1.0, maxval=1.0)
        matrix = saturate(jnp.exp(drawn * math.log(largest_saturation)), matrix)
    exponents = jax.random.uniform(gamma_key, (3,), minval=-1.0, maxval=1.0) * math.log(largest_gamma)
    return Recoloring(
        matrix=matrix,
        gamma=jnp.exp(exponents),
        changed=jax.random.bernoulli(changed_key, probability),
    )


def hue_rotation(angle: Float[Array, ""]) -> Float[Array, "3 3"]:
    """Return the rotation of RGB about the axis of greys, which keeps red + green + blue (Rodrigues' formula).

    Args:
        angle: Radians; 2 pi / 3 turns red to green, green to blue and blue to red.
    """
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return cosine * jnp.eye(3, dtype=jnp.float32) + (1.0 - cosine) / 3.0 + sine * jnp.asarray(_CROSS)


def saturate(factor: Float[Array, ""], matrix: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """Return the matrix that applies `matrix` and then scales the distance of each colour from its grey.

    The grey of a colour is the mean of its red, green and blue.

    Args:
        factor: 0 makes all colours grey, 1 changes nothing.
        matrix: Linear combinations of red, green and blue that keep their sum: its columns sum to 1.
    """
    return factor * matrix + (1.0 - factor) / 3.0


def recolor(
    recoloring: Recoloring, pixels: Float[Array, "*batch height width 3"], *, low: float = 0.0, high: float = 1.0
) -> Float[Array, "*batch height width 3"]:
    """Recolour pictures, each in its own way; those that are not to be changed keep every bit.

    Args:
        recoloring: How each picture is recoloured.
        pixels: RGB in `low`..`high`.
        low: The value of black.
        high: That of white. What leaves the range between them is cut off at its ends before the gamma.
    """
    unit = (pixels - low) / (high - low)
    mixed = jnp.einsum("...ij,...hwj->...hwi", recoloring.matrix, unit, precision=lax.Precision.HIGHEST)
    recolored = low + (high - low) * jnp.clip(mixed, 0.0, 1.0) ** recoloring.gamma[..., None, None, :]
    return jnp.where(recoloring.changed[..., None, None, None], recolored, pixels)
