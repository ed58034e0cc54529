"""L_TR: Triplet ReID constraints on the decoder's feature maps (section 3.2, equation 1).

A decoder map is large, so on several devices none may be sent from one to another. Therefore triplets can be drawn
within groups of consecutive images, one group a device: indices count in the whole batch, and `triplet_reid_loss` takes
each device's distances from its own maps.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray, UInt32

from san_jax.counts import count

# The released code's triplets, for K = 4 images of an identity: places of anchor, positive and negative from the
# identity's first image on. A negative is of the next identity.
IMAGES_PER_IDENTITY = 4
_FIXED_PLACES = {1: (0, 1, 4), 2: (1, 2, 5), 3: (2, 3, 6), 4: (3, 0, 4)}
_SHORTEST = 1e-6  # length below which `unit_vectors` sees no direction


def sample_triplets(
    key: PRNGKeyArray | UInt32[Array, "2"],
    labels: Int32[Array, " batch"],
    *,
    cameras: Int32[Array, " batch"] | None = None,
    groups: int = 1,
) -> tuple[Int32[Array, " batch"], Int32[Array, " batch"]]:
    """Draw for every image another one of its identity (positive) and one of another identity (negative).

    Each is drawn uniformly among all candidates in the image's group. An anchor without a positive, or without a
    negative, gets its own index there, which tells `triplet_reid_loss` that it contributes nothing.

    Args:
        key: A JAX random key, new in every step.
        labels: Identities, any integers.
        cameras: Where given, a positive is by another camera than its anchor; any integers.
        groups: Number of equal runs of consecutive images that the batch is cut into; with 1 all images are candidates.

    Returns:
        (positive, negative): Indices into the batch, one of each per image.

    Raises:
        ValueError: The batch cannot be cut into so many groups.
    """
    size = _group_size(labels.shape[0], groups)
    positive_key, negative_key = jax.random.split(key)
    grouped = labels.reshape(groups, size)
    same = grouped[:, :, None] == grouped[:, None, :]
    itself = jnp.eye(size, dtype=bool)[None]
    positives = same & ~itself
    if cameras is not None:
        by = cameras.reshape(groups, size)
        positives &= by[:, :, None] != by[:, None, :]
    return _choose(positive_key, positives), _choose(negative_key, ~same)


def fixed_triplets(
    batch_size: int, block: int, *, groups: int = 1
) -> tuple[Int32[np.ndarray, " anchors"], Int32[np.ndarray, " anchors"], Int32[np.ndarray, " anchors"]]:
    """Return the released code's triplets of a decoder block: one of each identity but the last, at fixed places.

    Args:
        batch_size: Number of images in the batch, 4 consecutive ones of each identity.
        block: Number of the decoder block, 1 to 4; each has places of its own.
        groups: Number of equal runs of consecutive images that the batch is cut into; no triplet leaves its group.

    Returns:
        (anchor, positive, negative): Indices into the batch. Anchor and positive are of one identity, the negative is
        of the next one in the batch. With one group there are batch_size / 4 - 1 of each. With more there are
        batch_size / 4: the last identity of a group takes its negative from the group's first one, and the last
        identity of the batch, which has no triplet, has its anchor in all three places.

    Raises:
        ValueError: A group is not made of fours, or there is no such block.
    """
    size = _group_size(batch_size, groups)
    if size % IMAGES_PER_IDENTITY:
        cut = f" cut into {groups} groups" if groups > 1 else ""
        raise ValueError(
            f"fixed triplets need {IMAGES_PER_IDENTITY} consecutive images of each identity, found a batch of "
            f'{batch_size}{cut}: set batch.images_per_identity={IMAGES_PER_IDENTITY}, or take "random" triplets.'
        )
    if block not in _FIXED_PLACES:
        raise ValueError(f"block must be 1, 2, 3 or 4, found {block}.")
    num_first = batch_size if groups > 1 else batch_size - IMAGES_PER_IDENTITY
    first = np.arange(0, num_first, IMAGES_PER_IDENTITY, dtype=np.int32)
    anchor, positive, negative = (first + np.int32(place) for place in _FIXED_PLACES[block])
    if groups > 1:
        start = first - first % np.int32(size)
        negative = start + (negative - start) % np.int32(size)
        positive[-1] = negative[-1] = anchor[-1]
    return anchor, positive, negative


def triplet_reid_loss(
    feature_map: Float[Array, "batch height width channels"],
    positive: Int32[Array, " anchors"] | Int32[np.ndarray, " anchors"],
    negative: Int32[Array, " anchors"] | Int32[np.ndarray, " anchors"],
    *,
    anchor: Int32[np.ndarray, " anchors"] | None = None,
    margin: float = 0.3,
    channel_reduction: Literal["sum", "mean"] = "sum",
    anchor_reduction: Literal["sum", "mean", "mean_of_complete"] = "mean",
    normalize: bool = False,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Return L_TR of one decoder block: mean over anchors of max(0, D(a, p) - D(a, n) + margin).

    D is the squared difference of two feature maps, averaged over positions, and over channels summed (equation 1) or
    averaged ("mean", the released code's scale). The paper adds up this loss over the first three of the four blocks.
    An anchor whose positive or negative is itself contributes 0; the mean is over all anchors nevertheless, that of
    "mean_of_complete" over the others, and 0 where there are none. The released code takes the sum over the anchors
    that `fixed_triplets` gives.

    Args:
        feature_map: Output d_l of a decoder block, any floating dtype; computed in float32.
        positive: For each anchor the index of another image of its identity, or its own.
        negative: For each anchor the index of one of another identity, or its own.
        anchor: Indices of the anchors; None where every image is one, in their order.
        margin: The paper's m, 0.3.
        channel_reduction: "sum" or "mean".
        anchor_reduction: "mean" or "sum" over the anchors, or "mean_of_complete" over those with both partners.
        normalize: Take the distances between `unit_vectors` of the maps: D lies in 0..4 then, divided by the channels
            with "mean".
        mesh: The devices that the batch is split over, where anchors, positives and negatives come in as many groups
            and each triplet lies on one device: no map is sent then. None where a triplet may lie anywhere.

    Returns:
        float32 scalar.

    Raises:
        ValueError: `channel_reduction` or `anchor_reduction` is neither.
    """
    _check_reductions(channel_reduction, anchor_reduction)
    _, height, width, channels = feature_map.shape
    scale = 1.0 / (height * width * (channels if channel_reduction == "mean" else 1))

    def violations(maps: Any, anchor: Any, positive: Any, negative: Any) -> Any:
        compared = unit_vectors(maps) if normalize else maps
        squared = scale * squared_distances(compared.reshape(maps.shape[0], -1))
        own = jnp.arange(maps.shape[0], dtype=jnp.int32) if anchor is None else anchor
        violation = squared[own, positive] - squared[own, negative] + margin
        return jnp.where(_are_complete(own, positive, negative), jax.nn.relu(violation), 0.0)

    if mesh is not None and mesh.size > 1:
        violations = _on_each_device(violations, mesh)
    found = violations(feature_map, anchor, positive, negative)
    if anchor_reduction == "mean_of_complete":
        own = jnp.arange(found.shape[0], dtype=jnp.int32) if anchor is None else anchor
        return jnp.sum(found) / jnp.maximum(jnp.sum(_are_complete(own, positive, negative), dtype=found.dtype), 1.0)
    return jnp.mean(found) if anchor_reduction == "mean" else jnp.sum(found)


def _check_reductions(channels: str, anchors: str) -> None:
    if channels not in ("sum", "mean"):
        raise ValueError(f'channel_reduction must be "sum" (the paper) or "mean", found {channels!r}.')
    if anchors not in ("sum", "mean", "mean_of_complete"):
        raise ValueError(
            f'anchor_reduction must be "mean" (the paper), "sum" or "mean_of_complete", found {anchors!r}.'
        )


def _are_complete(own: Any, positive: Any, negative: Any) -> Any:
    """Whether each anchor has a positive and a negative, as `sample_triplets` tells."""
    return (positive != own) & (negative != own)


def unit_vectors(
    feature_map: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """Divide the vector of channels at every position by its Euclidean length, in float32.

    A vector shorter than 1e-6 has no direction worth comparing: it becomes 0, with gradient 0.
    """
    vectors = feature_map.astype(jnp.float32)
    squared_length = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    has_direction = squared_length > _SHORTEST**2
    # Where there is no direction, rsqrt is taken of 1: its gradient would be NaN at 0, also where `where` drops it.
    return vectors * jnp.where(has_direction, lax.rsqrt(jnp.where(has_direction, squared_length, 1.0)), 0.0)


@jax.custom_vjp
def squared_distances(x: Float[Array, "rows numbers"]) -> Float[Array, "rows rows"]:
    """Return the squared Euclidean distance of every two rows, float32, from their products.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b reads each row once for all distances, where taking differences copies the rows of
    every pair. It is exact to float32's precision of |a|^2, which decoder maps of different images are far above.
    """
    return _squared_distances_forward(x)[0]


def _squared_distances_forward(x: Any) -> Any:
    products = jnp.matmul(x, x.T, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32)
    norms = jnp.diagonal(products)
    return norms[:, None] + norms[None, :] - 2.0 * products, x


def _squared_distances_backward(x: Any, gradient: Any) -> Any:
    # d|a - b|^2 = 2 (a - b)(da - db): the weights of a row's differences, and their sum for the row itself.
    weights = gradient + gradient.T
    weights = jnp.diag(jnp.sum(weights, axis=1)) - weights
    x_gradient = 2.0 * jnp.matmul(weights, x.astype(jnp.float32), precision=lax.Precision.HIGHEST)
    return (x_gradient.astype(x.dtype),)


squared_distances.defvjp(_squared_distances_forward, _squared_distances_backward)


def _on_each_device(violations: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Compute each device's violations from its own maps; the result takes indices that count in the whole batch."""
    rows = PartitionSpec(mesh.axis_names)

    def local_violations(maps: Any, *indices: Any) -> Any:
        first = jax.lax.axis_index(mesh.axis_names) * maps.shape[0]
        return violations(maps, *(None if index is None else index - first for index in indices))

    return jax.shard_map(local_violations, mesh=mesh, in_specs=rows, out_specs=rows)


def _group_size(batch_size: int, groups: int) -> int:
    """Return the number of images in each of the equal groups of a batch."""
    if groups < 1 or batch_size % groups:
        raise ValueError(f"A batch of {count(batch_size, 'image')} cannot be cut into {groups} equal groups.")
    return batch_size // groups


def _choose(
    key: PRNGKeyArray | UInt32[Array, "2"], allowed: Bool[Array, "groups size size"]
) -> Int32[Array, " groups*size"]:
    """Draw for each image an allowed one of its group, uniformly; give the image's own index where none is allowed."""
    groups, size, _ = allowed.shape
    # The largest of independent uniform numbers is at each allowed column with the same probability.
    scores = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
    own = jnp.arange(size, dtype=jnp.int32)[None]
    chosen = jnp.where(jnp.any(allowed, axis=2), jnp.argmax(scores, axis=2).astype(jnp.int32), own)
    first = size * jnp.arange(groups, dtype=jnp.int32)[:, None]
    return (first + chosen).reshape(groups * size)
