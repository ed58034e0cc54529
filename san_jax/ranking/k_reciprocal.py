"""Re-ranking with k-reciprocal encoding (Zhong, Zheng, Cao and Li, CVPR 2017), sparse and in bounded memory.

Two images are alike where their k-reciprocal neighbours are: the images that are among each other's k nearest. The
definition is that of the authors' program `re_ranking_ranklist.py` (float32; torchreid's `utils/rerank.py` is a copy of
it), with N = Q + G points, queries first:

1. d(i, j): squared Euclidean distance over its maximum over j (over all points), so in [0, 1].
2. R(i, k): the j among the k + 1 first of i that have i among their own k + 1 first. A point is its own first.
3. R*(i): R(i, k1), joined by R(j, round(k1 / 2)) of each j in it that shares more than two thirds of that set with
   R(i, k1). Halves are rounded to even, as `np.around` does.
4. V[i, j]: exp(-d(i, j)) on R*(i), 0 elsewhere, over its sum. Then each row becomes the mean of the rows of the k2
   first of i, itself included.
5. Jaccard distance 1 - s / (2 - s), s the sum of min(V[i], V[j]).
6. Result: (1 - lambda) * Jaccard + lambda * d.

What the authors leave to their sorting is fixed here: a point comes first in its own ranking even where others are
equal to it (there it may drop out of its own neighbours), and equal distances are ranked by index. Their other program,
`re_ranking_feature.py`, is the same in half precision, which makes many ties; forks that take `np.argpartition` for
`np.argsort` differ in ties only.

The rankings cost one pass over the N x N distances, by blocks of rows on the devices. It finds a few more candidates
than needed; these are ranked by the sum of squared differences, which is exact to float32 rounding however small the
distance, where |x|^2 - 2 x.y + |y|^2 is not: copies of an image are at distance 0, and equal. (Only where more than
`_SPARE` points lie within that formula's rounding of the last neighbour is it chance which of them is taken.) All later
steps are sparse: a point has some tens of neighbours. The pass is most of the time.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import tqdm
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float32, Int32, Real

from san_jax.ranking.distances import default_mesh, device_distances
from san_jax.ranking_settings import KReciprocal
from san_jax.sharding import AXIS, replicated
from san_jax.typing import Array

_BATCH_PAIRS = 256  # single distances computed in one step: the points gathered for it stay in the cache
_BLOCK_PAIRS = 1024 * _BATCH_PAIRS  # and in one call, on each device
_GROUP = 32  # columns of which only the nearest takes part in the first selection
_SPARE = 8  # candidates beyond the neighbours needed


def k_reciprocal_rerank(
    query_embeddings: Real[Array, "query dim"],
    gallery_embeddings: Real[Array, "gallery gallery_dim"],
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "euclidean",
) -> Float32[np.ndarray, "query gallery"]:
    """Return re-ranked distances of every query to every gallery embedding. `reranked_blocks` yields them by blocks.

    Args:
        query_embeddings: Embeddings [Q D], finite.
        gallery_embeddings: Embeddings [G D], finite.
        k1: See `KReciprocal`.
        k2: See `KReciprocal`.
        lambda_value: See `KReciprocal`.
        metric: "euclidean", or "cosine": embeddings are brought to unit length first. Their squared Euclidean
            distance is then twice the cosine distance. (torchreid squares the cosine distance instead.)

    Returns:
        float32 [Q G] in [0, 1], to rounding.

    Raises:
        ValueError: A setting out of range, no query or no gallery, and as `pairwise_distances`.
    """
    settings = KReciprocal(k1, k2, lambda_value)
    return np.concatenate(list(reranked_blocks(query_embeddings, gallery_embeddings, settings, metric=metric)))


def reranked_blocks(
    queries: Real[Array, "query dim"],
    gallery: Real[Array, "gallery gallery_dim"],
    settings: KReciprocal,
    *,
    metric: str = "euclidean",
    mesh: Mesh | None = None,
) -> Iterator[Float32[np.ndarray, "block gallery"]]:
    """Yield the re-ranked distances in blocks of rows, in order; the whole matrix is never in memory.

    Neighbours and encodings of all points are computed before the first block.

    Args:
        queries: Embeddings [Q D], finite.
        gallery: Embeddings [G D], finite.
        settings: k1, k2 and lambda.
        metric: As in `k_reciprocal_rerank`.
        mesh: Devices of this process that share the rows of every block; None for the default device.

    Raises:
        ValueError: As in `k_reciprocal_rerank`, when called.
    """
    mesh = default_mesh(mesh)
    distances = device_distances(queries, gallery, metric=metric, mesh=mesh)  # computed when asked for, checked now
    if not len(queries) or not len(gallery):
        raise ValueError(f"Re-ranking needs queries and a gallery; found {len(queries)} and {len(gallery)} embeddings.")
    points = np.concatenate([queries, gallery], dtype=np.float32, casting="same_kind")
    if metric == "cosine":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = jax.device_put(points, replicated(mesh))
    neighbours, maxima = _neighbours(points, max(settings.k1 + 1, settings.k2), mesh)
    encodings = _encodings(points, neighbours, maxima, settings, mesh)
    return _blocks(distances, maxima[: len(queries)], encodings, settings.lambda_value, metric)


def _neighbours(
    points: jax.Array, count: int, mesh: Mesh
) -> tuple[Int32[np.ndarray, "point neighbour"], Float32[np.ndarray, " point"]]:
    """The first `count` points (or all) in each point's ranking, itself first, and its largest squared distance."""
    num_points = len(points)
    candidates = np.empty((num_points, min(count + _SPARE, num_points)), np.int32)
    maxima = np.empty(num_points, np.float32)
    start = 0
    with _progress("Neighbours", num_points) as progress:
        for block, valid in device_distances(points, points, metric="euclidean", mesh=mesh):
            rows = np.arange(start, start + len(block), dtype=np.int32)
            found, largest = _nearest(block, rows, candidates.shape[1], _GROUP, mesh)
            candidates[start : start + valid] = found[:valid]
            maxima[start : start + valid] = np.square(largest[:valid])
            start += valid
            progress.update(valid)
    # The point itself is the first candidate.
    others = candidates[:, 1:]
    squares = _squares(points, np.repeat(candidates[:, 0], others.shape[1]), others.ravel(), mesh)
    order = np.lexsort((others, squares.reshape(others.shape)), axis=1)
    ranked = np.concatenate([candidates[:, :1], np.take_along_axis(others, order, axis=1)], axis=1)
    return ranked[:, :count], maxima


def _encodings(
    points: jax.Array,
    neighbours: Int32[np.ndarray, "point neighbour"],
    maxima: Float32[np.ndarray, " point"],
    settings: KReciprocal,
    mesh: Mesh,
) -> scipy.sparse.csr_array:
    """The rows V of step 4, sparse [N N]."""
    half = round(settings.k1 / 2)  # to even, as np.around
    wide = _reciprocal(neighbours[:, : settings.k1 + 1])
    narrow = _reciprocal(neighbours[:, : half + 1])
    # Both are symmetric. Number of points that R(i, k1) and R(j, half) share, for j in R(i, k1):
    shared = scipy.sparse.csr_array(wide.multiply(wide @ narrow))
    shared.data = (3 * shared.data > 2 * narrow.sum(axis=1)[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    expanded = scipy.sparse.csr_array(wide + shared @ narrow)
    expanded.sort_indices()
    sizes = np.diff(expanded.indptr)
    rows = np.repeat(np.arange(len(neighbours), dtype=np.int32), sizes)
    squares = _squares(points, rows, expanded.indices.astype(np.int32), mesh)
    weights = np.exp(-(squares / _divisors(maxima)[rows]).astype(np.float64))
    weights /= np.repeat(np.add.reduceat(weights, expanded.indptr[:-1]), sizes)
    encodings = scipy.sparse.csr_array((weights, expanded.indices, expanded.indptr), expanded.shape)
    if settings.k2 == 1:
        return encodings
    first = neighbours[:, : settings.k2]
    return scipy.sparse.csr_array(_rows(first, 1 / first.shape[1]) @ encodings)


def _blocks(
    distances: Iterator[tuple[jax.Array, int]],
    maxima: Float32[np.ndarray, " query"],
    encodings: scipy.sparse.csr_array,
    lambda_value: float,
    metric: str,
) -> Iterator[Float32[np.ndarray, "block gallery"]]:
    divisors = _divisors(maxima)
    num_query = len(divisors)
    # Row m: the gallery images with point m in their encoding, and its weight there.
    inverted = scipy.sparse.csr_array(encodings[num_query:].T)
    query = 0
    with _progress("Re-ranking", num_query) as progress:
        for device_block, valid in distances:
            block = np.asarray(device_block)[:valid]
            # |x - y|^2 = 2 (1 - x.y) between unit vectors.
            block = 2 * block if metric == "cosine" else np.square(block)
            for row in block:
                own = slice(encodings.indptr[query], encodings.indptr[query + 1])
                images = inverted[encodings.indices[own]]
                smaller = np.minimum(np.repeat(encodings.data[own], np.diff(images.indptr)), images.data)
                common = np.bincount(images.indices, smaller, minlength=len(row))
                row *= lambda_value / divisors[query]
                row += (1 - lambda_value) * (1 - common / (2 - common))
                query += 1
            yield block
            progress.update(valid)


def _reciprocal(neighbours: Int32[np.ndarray, "point neighbour"]) -> scipy.sparse.csr_array:
    """1 where two points are among each other's neighbours, [N N] and symmetric."""
    forward = _rows(neighbours, 1.0)
    return scipy.sparse.csr_array(forward.multiply(forward.T))


def _rows(columns: Int32[np.ndarray, "point column"], value: float) -> scipy.sparse.csr_array:
    """A sparse matrix [N N] that holds `value` at the given columns of each row."""
    num_points, count = columns.shape
    return scipy.sparse.csr_array(
        (np.full(columns.size, value), columns.ravel(), np.arange(0, columns.size + 1, count)),
        shape=(num_points, num_points),
    )


def _divisors(maxima: np.ndarray) -> np.ndarray:
    """What to divide squared distances by; where all points are the same, all normalised distances are 0."""
    return np.where(maxima > 0, maxima, np.float32(1))


def _progress(title: str, total: int) -> tqdm.tqdm:
    return tqdm.tqdm(total=total, desc=title, unit="image", disable=None, leave=False)


def _squares(
    points: jax.Array, first: Int32[np.ndarray, " pair"], second: Int32[np.ndarray, " pair"], mesh: Mesh
) -> Float32[np.ndarray, " pair"]:
    """Squared Euclidean distances of single pairs of points."""
    # Whole batches: the same compiled step computes every pair, whatever the number of pairs and devices.
    size = mesh.size * min(_BLOCK_PAIRS, -(-len(first) // (mesh.size * _BATCH_PAIRS)) * _BATCH_PAIRS)
    squares = []
    for start in range(0, len(first), size):
        pairs = np.zeros((size, 2), np.int32)
        pairs[: len(first) - start, 0] = first[start : start + size]
        pairs[: len(first) - start, 1] = second[start : start + size]
        squares.append(_squared_differences(points, pairs, mesh))
    return np.concatenate(squares)[: len(first)]


@functools.partial(jax.jit, static_argnames=("count", "group", "mesh"))
def _nearest(
    distances: Float32[jax.Array, "block point"], rows: Int32[Array, " block"], count: int, group: int, mesh: Mesh
) -> tuple[Int32[jax.Array, "block candidate"], Float32[jax.Array, " block"]]:
    """The nearest points of some rows of the distances, each row's own point first, and the largest distances."""

    def nearest(distances, rows):
        own = rows[:, None] == jnp.arange(distances.shape[1], dtype=rows.dtype)[None]
        return _smallest(jnp.where(own, jnp.float32(-1), distances), count, group), distances.max(axis=1)

    split = PartitionSpec(AXIS)
    return jax.shard_map(nearest, mesh=mesh, in_specs=split, out_specs=split)(distances, rows)


def _smallest(values: jax.Array, count: int, group: int) -> jax.Array:
    """Columns of the `count` smallest values of each row, increasing; equal values by column.

    Faster than sorting rows: the columns sought lie in those `count` groups of neighbouring columns whose minima are
    smallest (equal minima by position), since every group before the last of them holds a smaller or equal value.
    """
    num_rows, num_columns = values.shape
    groups = -(-num_columns // group)
    values = jnp.pad(values, ((0, 0), (0, groups * group - num_columns)), constant_values=jnp.inf)
    values = values.reshape(num_rows, groups, group)
    _, chosen = jax.lax.top_k(-values.min(axis=2), min(count, groups))
    chosen = jnp.sort(chosen, axis=1)
    kept = jnp.take_along_axis(values, chosen[:, :, None], axis=1).reshape(num_rows, -1)
    _, positions = jax.lax.top_k(-kept, count)
    return jnp.take_along_axis(chosen, positions // group, axis=1) * group + positions % group


@functools.partial(jax.jit, static_argnames="mesh")
def _squared_differences(
    points: Float32[jax.Array, "point dim"], pairs: Int32[Array, "pair 2"], mesh: Mesh
) -> Float32[jax.Array, " pair"]:
    def squared_differences(points, pairs):
        return jax.lax.map(
            lambda pair: jnp.square(points[pair[0]] - points[pair[1]]).sum(), pairs, batch_size=_BATCH_PAIRS
        )

    split = PartitionSpec(AXIS)
    return jax.shard_map(squared_differences, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=split)(
        points, pairs
    )
