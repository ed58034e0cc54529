"""L_TR: Triplet ReID constraints on the decoder's feature maps (section 3.2, equation 1)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray, UInt32


def sample_triplets(
    key: PRNGKeyArray | UInt32[Array, "2"], labels: Int32[Array, " batch"]
) -> tuple[Int32[Array, " batch"], Int32[Array, " batch"]]:
    """Draws for every image another one of its identity (positive) and one of another identity (negative).

    Each uniformly among all there are in the batch. An anchor that has no positive, or no negative, gets itself there,
    by which `triplet_reid_loss` knows that it contributes nothing.

    Args:
      key: a JAX random key, new in every step.
      labels: identities, any integers.

    Returns:
      (positive, negative): indices into the batch, one of each per image.
    """
    positive_key, negative_key = jax.random.split(key)
    same = labels[:, None] == labels[None, :]
    itself = jnp.eye(labels.shape[0], dtype=bool)
    return _choose(positive_key, same & ~itself), _choose(negative_key, ~same)


def triplet_reid_loss(
    feature_map: Float[Array, "batch height width channels"],
    positive: Int32[Array, " batch"],
    negative: Int32[Array, " batch"],
    *,
    margin: float = 0.3,
    channel_reduction: Literal["sum", "mean"] = "sum",
) -> Float[Array, ""]:
    """L_TR of one decoder block: mean over anchors of max(0, D(a, p) - D(a, n) + margin).

    D is the squared difference of two feature maps, averaged over positions, and over channels summed (equation 1) or
    averaged ("mean", the released code's scale). The paper adds up this loss over the first three of the four blocks.
    An anchor whose positive or negative is itself contributes 0; the mean is over all anchors nevertheless.

    Args:
      feature_map: output d_l of a decoder block, any floating dtype; computed in float32.
      positive: for each image the index of another one of its identity, or its own.
      negative: for each image the index of one of another identity, or its own.
      margin: the paper's m, 0.3.
      channel_reduction: "sum" or "mean".

    Returns:
      float32 scalar.

    Raises:
      ValueError: channel_reduction is neither.
    """
    if channel_reduction not in ("sum", "mean"):
        raise ValueError(f'channel_reduction must be "sum" (the paper) or "mean", found {channel_reduction!r}.')
    batch, height, width, channels = feature_map.shape
    feature_map = feature_map.astype(jnp.float32)
    scale = 1.0 / (height * width * (channels if channel_reduction == "mean" else 1))

    def distance(other: Int32[Array, " batch"]) -> Float[Array, " batch"]:
        return scale * jnp.sum(jnp.square(feature_map - feature_map[other]), axis=(1, 2, 3))

    anchor = jnp.arange(batch, dtype=jnp.int32)
    complete = (positive != anchor) & (negative != anchor)
    violation = distance(positive) - distance(negative) + margin
    return jnp.mean(jnp.where(complete, jax.nn.relu(violation), 0.0))


def _choose(key: PRNGKeyArray | UInt32[Array, "2"], allowed: Bool[Array, "batch batch"]) -> Int32[Array, " batch"]:
    """For each row a uniformly drawn column that is allowed there; the row's own index where none is."""
    # The largest of independent uniform numbers is at each allowed column with the same probability.
    scores = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
    own = jnp.arange(allowed.shape[0], dtype=jnp.int32)
    return jnp.where(jnp.any(allowed, axis=1), jnp.argmax(scores, axis=1).astype(jnp.int32), own)
