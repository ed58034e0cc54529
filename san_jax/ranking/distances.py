"""Distances between embeddings, a block of queries at a time."""

from collections.abc import Iterator

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32, Real

from san_jax.typing import Array

METRICS = ("euclidean", "cosine")
_BLOCK_ELEMENTS = 16_000_000  # distances held at a time: 64 MB in float32


def pairwise_distances(
    queries: Real[Array, "query dim"], gallery: Real[Array, "gallery gallery_dim"], *, metric: str = "euclidean"
) -> Float32[np.ndarray, "query gallery"]:
    """Distances of every query to every gallery embedding.

    Args:
        queries: Embeddings [Q D].
        gallery: Embeddings [G D].
        metric: "euclidean", or "cosine" for 1 - cosine similarity.

    Returns:
        float32 [Q G], >= 0.

    Raises:
        ValueError: Unknown metric, or under "cosine" an embedding of length zero.
    """
    (distances,) = distance_blocks(queries, gallery, metric=metric, block=max(len(queries), 1))
    return distances


def distance_blocks(
    queries: Real[Array, "query dim"],
    gallery: Real[Array, "gallery gallery_dim"],
    *,
    metric: str = "euclidean",
    block: int | None = None,
    mesh: Mesh | None = None,
) -> Iterator[Float32[np.ndarray, "block gallery"]]:
    """Yields the distance matrix in blocks of at most `block` rows."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; expected one of {', '.join(METRICS)}.")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query embeddings have {queries.shape[1]} dimensions, gallery embeddings {gallery.shape[1]}; "
            "both must come from the same model."
        )
    queries, gallery = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    block = max(1, _BLOCK_ELEMENTS // max(1, len(gallery))) if block is None else block
    if metric == "cosine":
        queries, gallery = _normalised(queries, "query"), _normalised(gallery, "gallery")
    gallery_squares = np.square(gallery).sum(axis=1)
    for start in range(0, max(len(queries), 1), block):
        rows = queries[start : start + block]
        products = rows @ gallery.T
        if metric == "cosine":
            yield np.maximum(np.float32(1) - products, np.float32(0))
            continue
        # |q|^2 - 2 q.g + |g|^2, in place.
        products *= np.float32(-2)
        products += gallery_squares
        products += np.square(rows).sum(axis=1)[:, None]
        np.maximum(products, 0, out=products)
        yield np.sqrt(products, out=products)


def _normalised(embeddings: np.ndarray, name: str) -> np.ndarray:
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not norms.all():
        index = int((norms[:, 0] == 0).argmax())
        raise ValueError(f"The {name} embedding at index {index} is zero: its cosine similarity is undefined.")
    return embeddings / norms
