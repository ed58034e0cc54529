"""Distances between embeddings on the devices of a mesh, a block of queries at a time.

Every device computes `ROWS` queries against the whole gallery in one call, whatever the number of queries and devices:
the same compiled matrix product makes every row, and squared lengths come from the host, row by row. So neither changes
a distance, and on CPUs (other devices: not checked) copies of a gallery image are all at the same distance, so that
their order in a ranking is that of their indices.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float32, Float64, Int32, Real

from san_jax.counts import count
from san_jax.ranking_settings import METRICS
from san_jax.sharding import AXIS, make_mesh, replicated
from san_jax.typing import Array

# Queries that a device computes at a time. From 128 rows on, XLA's matrix product for CPUs first copies the whole gallery
# into another layout, in every call: a third slower, and the memory of a second gallery.
ROWS = 120
_SQUARED_ROWS = 1024
_FLOAT32 = np.finfo(np.float32)
# Squared distances are up to 4 times the larger squared length; the rest is for rounding.
_LARGEST_SQUARE = _FLOAT32.max / 4.01


def pairwise_distances(
    queries: Real[Array, "query dim"],
    gallery: Real[Array, "gallery gallery_dim"],
    *,
    metric: str = "euclidean",
    mesh: Mesh | None = None,
) -> Float32[np.ndarray, "query gallery"]:
    """Return the distances of every query to every gallery embedding.

    Args:
        queries: Embeddings [Q D], finite.
        gallery: Embeddings [G D], finite.
        metric: "euclidean", or "cosine" for 1 - cosine similarity.
        mesh: Devices of this process that share the queries; None for the default device.

    Returns:
        float32 [Q G], >= 0.

    Raises:
        ValueError: Unknown metric, dimensions that differ, an embedding that is not finite, too long or too short for
            float32 or, under "cosine", zero.
    """
    distances = np.empty((len(queries), len(gallery)), np.float32)
    row = 0
    for block in distance_blocks(queries, gallery, metric=metric, mesh=mesh):
        distances[row : row + len(block)] = block
        row += len(block)
    return distances


def paired_distances(
    first: Real[Array, "pair dim"], second: Real[Array, "pair dim"], metric: str
) -> Float64[np.ndarray, " pair"]:
    """Return the distance of each pair of rows, on the host in float64; metrics as in `pairwise_distances`.

    It is made of the pair's difference, |a - b| or |a/|a| - b/|b||^2 / 2: equal rows are at exactly 0, and small distances
    have all their digits. Those of `pairwise_distances` are made of |a|^2 + |b|^2 - 2ab in float32, which has 7 digits of
    the squared lengths and none to spare for a small difference.
    """
    a, b = (np.asarray(x, np.float64) for x in (first, second))
    if metric == "cosine":
        directions = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return np.square(np.subtract(*directions)).sum(axis=1) / 2
    return np.linalg.norm(a - b, axis=1)


def distance_blocks(
    queries: Real[Array, "query dim"],
    gallery: Real[Array, "gallery gallery_dim"],
    *,
    metric: str = "euclidean",
    mesh: Mesh | None = None,
) -> Iterator[Float32[np.ndarray, "block gallery"]]:
    """Yield the rows of `pairwise_distances` in order, some at a time and read-only; errors are raised at the call."""
    blocks = device_distances(queries, gallery, metric=metric, mesh=default_mesh(mesh))
    return (np.asarray(block)[:valid] for block, valid in blocks)


def device_distances(
    queries: Real[Array, "query dim"], gallery: Real[Array, "gallery gallery_dim"], *, metric: str, mesh: Mesh
) -> Iterator[tuple[Float32[jax.Array, "block gallery"], int]]:
    """Yield blocks of rows on the devices that computed them, split over the mesh by rows.

    Yields:
        float32 [`ROWS` x devices, G] and how many of its rows are queries; the rows after these are padding.

    Raises:
        ValueError: As `pairwise_distances`, when called.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; expected one of {', '.join(METRICS)}.")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query embeddings have {queries.shape[1]} dimensions, gallery embeddings {gallery.shape[1]}; "
            "both must come from the same model."
        )
    squares = [_checked_squares(x, name, metric) for x, name in ((queries, "query"), (gallery, "gallery"))]
    # float32 arrays are not copied on the host.
    arrays = (*(x.astype(np.float32, copy=False) for x in (queries, gallery)), *squares)
    return _device_blocks(jax.device_put(arrays, replicated(mesh)), metric, mesh)


def default_mesh(mesh: Mesh | None) -> Mesh:
    """Return the mesh, or one of the default device alone for None."""
    return make_mesh(list(jax.device_put(0).devices())) if mesh is None else mesh


def _device_blocks(
    arrays: tuple[Array, Array, Array, Array], metric: str, mesh: Mesh
) -> Iterator[tuple[Float32[jax.Array, "block gallery"], int]]:
    num_query = len(arrays[0])
    size = ROWS * mesh.size
    for start in range(0, num_query, size):
        # Rows after the last query are the last query again.
        rows = np.minimum(np.arange(start, start + size, dtype=np.int32), num_query - 1)
        yield _block_distances(*arrays, rows, metric=metric, mesh=mesh), min(size, num_query - start)


@functools.partial(jax.jit, static_argnames=("metric", "mesh"))
def _block_distances(
    queries: Float32[Array, "query dim"],
    gallery: Float32[Array, "gallery dim"],
    query_squares: Float32[Array, " query"],
    gallery_squares: Float32[Array, " gallery"],
    rows: Int32[Array, " block"],
    *,
    metric: str,
    mesh: Mesh,
) -> Float32[jax.Array, "block gallery"]:
    def distances(queries, gallery, query_squares, gallery_squares, rows):
        # HIGHEST is float32. The default of GPUs (TF32) and TPUs (bfloat16) keeps 10 or 7 bits of each factor, and
        # what that does to a distance is larger than the gaps between neighbours in a ranking.
        products = jax.lax.dot_general(
            queries[rows], gallery, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST
        )
        if metric == "cosine":
            lengths = jnp.sqrt(query_squares[rows])[:, None], jnp.sqrt(gallery_squares)[None]
            return jnp.maximum(1 - products / lengths[0] / lengths[1], 0)
        return jnp.sqrt(jnp.maximum(query_squares[rows][:, None] - 2 * products + gallery_squares[None], 0))

    split = PartitionSpec(AXIS)
    specs = (*(PartitionSpec() for _ in range(4)), split)
    return jax.shard_map(distances, mesh=mesh, in_specs=specs, out_specs=split)(
        queries, gallery, query_squares, gallery_squares, rows
    )


def _squares(embeddings: Float32[np.ndarray, "count dim"]) -> Float32[np.ndarray, " count"]:
    """Return squared lengths, summed in float64. A row's result does not depend on its place or on other rows."""
    squares = np.empty(len(embeddings), np.float32)
    for start in range(0, len(embeddings), _SQUARED_ROWS):
        # Contiguous: of other layouts the sums are in another order.
        rows = np.ascontiguousarray(embeddings[start : start + _SQUARED_ROWS], np.float64)
        squares[start : start + len(rows)] = np.einsum("nd,nd->n", rows, rows)
    return squares


def _checked_squares(embeddings: Array, name: str, metric: str) -> Float32[np.ndarray, " count"]:
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        squares = _squares(np.asarray(embeddings).astype(np.float32, copy=False))
    of = f"of {count(len(squares), f'{name} embedding')}"
    bad = ~(squares <= _LARGEST_SQUARE)
    if bad.any():
        raise ValueError(
            f"NaN or infinity in {bad.sum():,} {of}, the first at index {bad.argmax()} (or four times their squared "
            "length exceeds float32). Check the checkpoint: a run that diverged gives such embeddings."
        )
    # Above this length, what sums lose where a product below the smallest normal number becomes 0 is less than
    # rounding.
    smallest = embeddings.shape[1] * _FLOAT32.tiny / _FLOAT32.eps
    short = np.flatnonzero(squares <= smallest)
    if not len(short):
        return squares
    zero = ~np.asarray(embeddings[short]).any(axis=1)
    if not zero.all():
        raise ValueError(
            f"squares vanish in float32 in {(~zero).sum():,} {of} (length below {np.sqrt(smallest):.1e}), the first at "
            f"index {short[zero.argmin()]}. Scale all embeddings up, or check the checkpoint."
        )
    if metric == "cosine":
        raise ValueError(
            f"only zeros in {len(short):,} {of}, the first at index {short[0]}: cosine similarity is undefined there. "
            "Take the Euclidean distance, or check the checkpoint: a network that has collapsed gives such embeddings."
        )
    return squares
