"""L_Triplet: batch-hard triplet loss on the reID feature (section 3.2, "SA-Enc").

Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737, equation 5.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int32


def batch_hard_triplet_loss(
    embeddings: Float[Array, "batch features"], labels: Int32[Array, " batch"], *, margin: float = 0.3
) -> Float[Array, ""]:
    """Return the mean over anchors of max(0, d(anchor, hardest positive) - d(anchor, hardest negative) + margin).

    d is the Euclidean distance; the hardest positive is the farthest image of the anchor's identity, the anchor itself
    included as in the PyTorch reference (so an identity with one image has it at distance 0), the hardest negative the
    nearest image of another identity. Among equals the first one counts. An anchor without any negative, where the
    reference fails, contributes 0; the mean is over all anchors nevertheless.

    Pairs are mined on squared distances without gradient; only the two distances that an anchor needs are then
    computed, from differences, so that they are exact where the mining's `|x|^2 + |y|^2 - 2xy` would cancel. The gradient
    of a distance of 0 is taken as 0: the loss and its gradient are finite for any finite input.

    Args:
        embeddings: Features of the images, any floating dtype; computed in float32.
        labels: Identities, any integers.
        margin: 0.3, the paper's m of L_TR and the released code's margin here.

    Returns:
        float32 scalar.
    """
    embeddings = embeddings.astype(jnp.float32)
    same = labels[:, None] == labels[None, :]
    squared = _squared_distances(lax.stop_gradient(embeddings))
    hardest_positive = jnp.argmax(jnp.where(same, squared, -jnp.inf), axis=1)
    hardest_negative = jnp.argmin(jnp.where(same, jnp.inf, squared), axis=1)
    violation = (
        _distance(embeddings, embeddings[hardest_positive])
        - _distance(embeddings, embeddings[hardest_negative])
        + margin
    )
    has_negative = ~jnp.all(same, axis=1)
    return jnp.mean(jnp.where(has_negative, jax.nn.relu(violation), 0.0))


def _squared_distances(embeddings: Float[Array, "batch features"]) -> Float[Array, "batch batch"]:
    """All squared distances, 0 on the diagonal. Centred first: a common offset would cost the small ones' digits."""
    centred = embeddings - jnp.mean(embeddings, axis=0, keepdims=True)
    products = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    norms = jnp.diagonal(products)
    squared = jnp.maximum(norms[:, None] + norms[None, :] - 2.0 * products, 0.0)
    return jnp.where(jnp.eye(embeddings.shape[0], dtype=bool), 0.0, squared)


def _distance(x: Float[Array, "batch features"], y: Float[Array, "batch features"]) -> Float[Array, " batch"]:
    """Row by row |x - y|, with gradient 0 where that is 0."""
    squared = jnp.sum(jnp.square(x - y), axis=1)
    positive = squared > 0.0
    # The inner `where` keeps sqrt'(0) = inf out of the backward pass: 0 * inf would be NaN.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
