"""L_Rec: L1 distance between the regressed and the target texture (section 3.2, "SA-Dec")."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def reconstruction_loss(
    textures: Float[Array, "batch height width channels"], targets: Float[Array, "batch height width channels"]
) -> Float[Array, ""]:
    """Return the mean `|texture - target|` over images, positions and channels.

    Args:
        textures: Output of the decoder, any floating dtype; computed in float32.
        targets: Target textures in [-1, 1] (`san_jax.data.augment.normalize_textures`).

    Returns:
        float32 scalar; its gradient is 0 where both are equal.
    """
    difference = textures.astype(jnp.float32) - targets.astype(jnp.float32)
    # |x| = x sign(x): unlike jnp.abs this has gradient 0 at 0, as PyTorch's L1 loss.
    return jnp.mean(difference * lax.stop_gradient(jnp.sign(difference)))
