"""L_Rec: L1 distance between the regressed and the target texture (section 3.2, "SA-Dec")."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def reconstruction_loss(
    textures: Float[Array, "batch height width channels"],
    targets: Float[Array, "batch height width channels"],
    *,
    space: str = "rgb",
    chroma: float = 1.0,
) -> Float[Array, ""]:
    """Return the mean `|texture - target|` over images, positions and channels.

    Args:
        textures: Output of the decoder, any floating dtype; computed in float32.
        targets: Target textures in [-1, 1] (`san_jax.data.augment.normalize_textures`).
        space: "rgb", the paper's, or "opponent": differences along the orthonormal axes of `opponent_colours` in place
            of R, G and B, so that hue and light are separate errors.
        chroma: Weight of the two chroma axes of "opponent"; luminance has 1, and the mean is still over three.

    Returns:
        float32 scalar; its gradient is 0 where both are equal.

    Raises:
        ValueError: The space is not known.
    """
    difference = textures.astype(jnp.float32) - targets.astype(jnp.float32)
    if space == "opponent":
        difference = opponent_colours(difference) * jnp.asarray([[[[chroma, chroma, 1.0]]]], jnp.float32)
    elif space != "rgb":
        raise ValueError(f"space must be 'rgb' or 'opponent', found {space!r}.")
    # |x| = x sign(x): unlike jnp.abs this has gradient 0 at 0, as PyTorch's L1 loss.
    return jnp.mean(difference * lax.stop_gradient(jnp.sign(difference)))


def opponent_colours(rgb: Float[Array, "*axes 3"]) -> Float[Array, "*axes 3"]:
    """Return (R - G) / sqrt 2, (R + G - 2 B) / sqrt 6 and (R + G + B) / sqrt 3: red-green, yellow-blue and luminance.

    The opponent colour space of van de Sande, Gevers and Snoek, "Evaluating Color Descriptors for Object and Scene
    Recognition", TPAMI 2010; a rotation of RGB.
    """
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    axes = [
        (red - green) / math.sqrt(2.0),
        (red + green - 2.0 * blue) / math.sqrt(6.0),
        (red + green + blue) / math.sqrt(3.0),
    ]
    return jnp.stack(axes, axis=-1)
