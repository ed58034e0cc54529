"""Flax NNX models used functionally: plain nested dicts of arrays under plain `jax.jit` and `jax.value_and_grad`.

The pattern of every train step:

    graphdef, params, batch_stats = split_model(model)

    def loss_fn(params, batch_stats, images):
        model = merge_model(graphdef, params, batch_stats)
        output = model(images, train=True)              # writes the running statistics of this copy
        return loss(output), batch_statistics(model)

    (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch_stats, images)

Only pure arrays cross the boundary of a transformation, so no nnx.Variable of an outer trace is ever written to inside
an inner one (which raises TraceContextError), and no step pays for the graph traversal of nnx.jit.
"""

import hashlib
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx

Model = TypeVar("Model", bound=nnx.Module)
Tree = dict[str, Any]
"""Nested dict of arrays, keyed by module and parameter names (strings only)."""


def split_model(model: nnx.Module) -> tuple[Any, Tree, Tree]:
    """Take a model apart into (graphdef, parameters, batch statistics); the last two are nested dicts of arrays.

    The graphdef is static (hashable, without arrays): close over it, or mark it static. The arrays are the model's own,
    not copies: after they were donated to a jitted step the model must not be used any more.

    Raises:
        ValueError: The model has state that is neither an nnx.Param nor an nnx.BatchStat.
    """
    graphdef, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    return graphdef, nnx.to_pure_dict(nnx.as_pure(params)), nnx.to_pure_dict(nnx.as_pure(batch_stats))


def merge_model(graphdef: Any, params: Tree, batch_stats: Tree) -> Any:
    """Put a model together again; the inverse of `split_model`. Cheap, meant to be called inside a traced function."""
    return nnx.merge(graphdef, params, batch_stats)


def batch_statistics(model: nnx.Module) -> Tree:
    """Return the running statistics of a merged model that was called with train=True, as a nested dict of arrays."""
    return nnx.to_pure_dict(nnx.as_pure(nnx.state(model, nnx.BatchStat)))


def parameter_count(module: nnx.Module) -> int:
    """Return how many numbers of a module are trained: running statistics are not. Shapes (nnx.eval_shape) will do."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def parameter_digest(model: nnx.Module) -> str:
    """Return a SHA-256 over every parameter and running statistic: two states of a model have two digests."""
    _, params, batch_stats = split_model(model)
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path((params, batch_stats)):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Return a nested dict as a flat one with dotted names: {"encoder.conv1.kernel": array}."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
