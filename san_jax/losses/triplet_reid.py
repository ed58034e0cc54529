"""L_TR: Triplet ReID constraints on the decoder's feature maps (section 3.2, equation 1)."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray, UInt32

# The released code's triplets, for K = 4 images of an identity: places of anchor, positive and negative from the
# identity's first image on. A negative is of the next identity.
IMAGES_PER_IDENTITY = 4
_FIXED_PLACES = {1: (0, 1, 4), 2: (1, 2, 5), 3: (2, 3, 6), 4: (3, 0, 4)}


def sample_triplets(
    key: PRNGKeyArray | UInt32[Array, "2"], labels: Int32[Array, " batch"]
) -> tuple[Int32[Array, " batch"], Int32[Array, " batch"]]:
    """Draw for every image another one of its identity (positive) and one of another identity (negative).

    Each is drawn uniformly among all candidates in the batch. An anchor without a positive, or without a negative, gets
    its own index there, which tells `triplet_reid_loss` that it contributes nothing.

    Args:
        key: A JAX random key, new in every step.
        labels: Identities, any integers.

    Returns:
        (positive, negative): Indices into the batch, one of each per image.
    """
    positive_key, negative_key = jax.random.split(key)
    same = labels[:, None] == labels[None, :]
    itself = jnp.eye(labels.shape[0], dtype=bool)
    return _choose(positive_key, same & ~itself), _choose(negative_key, ~same)


def fixed_triplets(
    batch_size: int, block: int
) -> tuple[Int32[np.ndarray, " anchors"], Int32[np.ndarray, " anchors"], Int32[np.ndarray, " anchors"]]:
    """Return the released code's triplets of a decoder block: one of each identity but the last, at fixed places.

    Args:
        batch_size: Number of images in the batch, 4 consecutive ones of each identity.
        block: Number of the decoder block, 1 to 4; each has places of its own.

    Returns:
        (anchor, positive, negative): Indices into the batch, batch_size / 4 - 1 of each. Anchor and positive are of one
        identity, the negative is of the next one in the batch.

    Raises:
        ValueError: The batch is not made of fours, or there is no such block.
    """
    if batch_size % IMAGES_PER_IDENTITY:
        raise ValueError(
            f"fixed triplets need {IMAGES_PER_IDENTITY} consecutive images of each identity, found a batch of "
            f'{batch_size}: set batch.images_per_identity={IMAGES_PER_IDENTITY}, or take "random" triplets.'
        )
    if block not in _FIXED_PLACES:
        raise ValueError(f"block must be 1, 2, 3 or 4, found {block}.")
    first = np.arange(0, batch_size - IMAGES_PER_IDENTITY, IMAGES_PER_IDENTITY, dtype=np.int32)
    anchor, positive, negative = (first + np.int32(place) for place in _FIXED_PLACES[block])
    return anchor, positive, negative


def triplet_reid_loss(
    feature_map: Float[Array, "batch height width channels"],
    positive: Int32[Array, " anchors"] | Int32[np.ndarray, " anchors"],
    negative: Int32[Array, " anchors"] | Int32[np.ndarray, " anchors"],
    *,
    anchor: Int32[np.ndarray, " anchors"] | None = None,
    margin: float = 0.3,
    channel_reduction: Literal["sum", "mean"] = "sum",
    anchor_reduction: Literal["sum", "mean"] = "mean",
) -> Float[Array, ""]:
    """Return L_TR of one decoder block: mean over anchors of max(0, D(a, p) - D(a, n) + margin).

    D is the squared difference of two feature maps, averaged over positions, and over channels summed (equation 1) or
    averaged ("mean", the released code's scale). The paper adds up this loss over the first three of the four blocks.
    An anchor whose positive or negative is itself contributes 0; the mean is over all anchors nevertheless. The
    released code takes the sum over the anchors that `fixed_triplets` gives.

    Args:
        feature_map: Output d_l of a decoder block, any floating dtype; computed in float32.
        positive: For each anchor the index of another image of its identity, or its own.
        negative: For each anchor the index of one of another identity, or its own.
        anchor: Indices of the anchors; None where every image is one, in their order.
        margin: The paper's m, 0.3.
        channel_reduction: "sum" or "mean".
        anchor_reduction: "mean" or "sum" over the anchors.

    Returns:
        float32 scalar.

    Raises:
        ValueError: `channel_reduction` or `anchor_reduction` is neither.
    """
    if channel_reduction not in ("sum", "mean"):
        raise ValueError(f'channel_reduction must be "sum" (the paper) or "mean", found {channel_reduction!r}.')
    if anchor_reduction not in ("sum", "mean"):
        raise ValueError(f'anchor_reduction must be "mean" (the paper) or "sum", found {anchor_reduction!r}.')
    batch, height, width, channels = feature_map.shape
    feature_map = feature_map.astype(jnp.float32)
    scale = 1.0 / (height * width * (channels if channel_reduction == "mean" else 1))

    anchors = feature_map if anchor is None else feature_map[anchor]

    def distance(other: Any) -> Float[Array, " anchors"]:
        return scale * jnp.sum(jnp.square(anchors - feature_map[other]), axis=(1, 2, 3))

    own = jnp.arange(batch, dtype=jnp.int32) if anchor is None else anchor
    complete = (positive != own) & (negative != own)
    violation = distance(positive) - distance(negative) + margin
    reduce = jnp.mean if anchor_reduction == "mean" else jnp.sum
    return reduce(jnp.where(complete, jax.nn.relu(violation), 0.0))


def _choose(key: PRNGKeyArray | UInt32[Array, "2"], allowed: Bool[Array, "batch batch"]) -> Int32[Array, " batch"]:
    """For each row a uniformly drawn column that is allowed there; the row's own index where none is."""
    # The largest of independent uniform numbers is at each allowed column with the same probability.
    scores = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
    own = jnp.arange(allowed.shape[0], dtype=jnp.int32)
    return jnp.where(jnp.any(allowed, axis=1), jnp.argmax(scores, axis=1).astype(jnp.int32), own)
