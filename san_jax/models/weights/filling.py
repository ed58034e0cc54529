"""Puts tensors into a model's trees.

A model is filled wholly or not at all: the error names everything that is missing, misshapen or left over.
"""

import os
from collections.abc import Collection, Mapping

import numpy as np
from flax import nnx

from san_jax.counts import count
from san_jax.models.functional import Tree, split_model
from san_jax.models.weights.names import TorchName, Transform

MAX_SHOWN = 12  # problems of a file that an error lists


class WeightsError(ValueError):
    """A file of weights that does not fit the network. The message names the file and everything that does not fit."""


def fill_model(
    path: str | os.PathLike[str],
    model: nnx.Module,
    names: Mapping[str, TorchName],
    tensors: Mapping[str, np.ndarray],
    what: str,
) -> tuple[Tree, Tree]:
    """Return the trees of a model with each tensor at its leaf.

    Args:
        path: The file, for messages.
        model: The model; its arrays are not looked at.
        names: Names in PyTorch of the model's leaves.
        tensors: Tensors by name; every one of them has to find a place.
        what: The beginning of the error's message.

    Returns:
        Parameters and running statistics, as `split_model(model)` gives them, float32 NumPy arrays.

    Raises:
        WeightsError: A leaf without a tensor, a tensor without a leaf, another shape, or numbers that are not finite.
    """
    problems = [
        f"{ascii(name)[:80]} {list(tensors[name].shape)} has no place in this network"
        for name in sorted(tensors.keys() - {name for name, _ in names.values()})
    ]

    def fill(tree: Tree, prefix: str) -> Tree:
        filled = {}
        for key, leaf in tree.items():
            if isinstance(leaf, dict):
                filled[key] = fill(leaf, f"{prefix}{key}.")
            elif f"{prefix}{key}" not in names:
                problems.append(f"{prefix}{key} of this network has no name in PyTorch")
            else:
                filled[key] = _take(tensors, names[f"{prefix}{key}"], leaf.shape, problems)
        return filled

    _, params, batch_stats = split_model(model)
    trees = fill(params, ""), fill(batch_stats, "")
    raise_problems(path, problems, what)
    return trees


def _take(
    tensors: Mapping[str, np.ndarray], source: TorchName, shape: tuple[int, ...], problems: list[str]
) -> np.ndarray | None:
    """Return a leaf's float32 array, or None after one more problem was noted."""
    name, transform = source
    expected = torch_shape(transform, shape)
    if name not in tensors:
        problems.append(f"{name} {list(expected)} is missing")
        return None
    tensor = tensors[name]
    if tensor.shape != expected:
        problems.append(f"{name}: expected {list(expected)}, found {list(tensor.shape)}")
        return None
    if tensor.dtype.kind != "f":
        problems.append(f"{name}: expected floating-point numbers, found {tensor.dtype}")
        return None
    with np.errstate(over="ignore"):
        array = np.array(transform.to_jax(tensor), np.float32, order="C")
    if not np.isfinite(array).all() or (name.endswith("running_var") and (array < 0).any()):
        problems.append(f"{name}: infinite numbers, NaN or negative variances")
    return array


def raise_problems(path: str | os.PathLike[str], problems: Collection[str], what: str) -> None:
    """Raise a WeightsError that lists the problems, if there are any."""
    if problems:
        shown = list(problems)[:MAX_SHOWN]
        more = len(problems) - len(shown)
        lines = [*shown, f"and {more} more"] if more else shown
        raise WeightsError(
            "\n  ".join([f"{path}: {what}; {count(len(problems), 'tensor does', 'tensors do')} not fit:", *lines])
        )


def torch_shape(transform: Transform, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a leaf of this shape has in PyTorch."""
    return transform.to_torch(np.broadcast_to(np.float32(0), shape)).shape
