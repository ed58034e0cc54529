"""Weights that others trained with PyTorch: which of their tensors is which leaf of the models here.

The tables are explicit, leaf by leaf; `torch_names` serves loading and exporting alike.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from san_jax.models.resnet import ResNet


class Transform(NamedTuple):
    """How an array is laid out here and in PyTorch. Both ways give a contiguous array or a view.

    to_jax: PyTorch's array -> the array here.
    to_torch: its inverse.
    """

    to_jax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


# [O I H W] <-> [H W I O]
CONV = Transform(lambda x: np.transpose(x, (2, 3, 1, 0)), lambda x: np.transpose(x, (3, 2, 0, 1)))
# [O I] <-> [I O]
LINEAR = Transform(np.transpose, np.transpose)
SAME = Transform(lambda x: x, lambda x: x)


class TorchName(NamedTuple):
    """A tensor of a PyTorch state dict and how it becomes an array here.

    name: its key, such as "layer1.0.conv1.weight".
    transform: its layout.
    """

    name: str
    transform: Transform


def torch_names(encoder: ResNet) -> dict[str, TorchName]:
    """Every leaf of an encoder, parameters and running statistics alike, and torchvision's name for it.

    torchvision's running variance is the unbiased one, n / (n - 1) times the one here: loaded as it is.

    Args:
        encoder: A `ResNet` of any width and depth; its arrays are not looked at (nnx.eval_shape's result will do).

    Returns:
        Dotted name of the leaf in the trees of `split_model(encoder)`, such as "stage1.block1.bn1.norm.mean" -> its
        name and layout in torchvision, in torchvision's order.
    """
    names = _conv("conv1", "conv1") | _norm("bn1", "bn1")
    for number in (1, 2, 3, 4):
        for index in range(getattr(encoder, f"stage{number}").num_blocks):
            block = getattr(getattr(encoder, f"stage{number}"), f"block{index + 1}")
            ours, theirs = f"stage{number}.block{index + 1}", f"layer{number}.{index}"
            for part in (1, 2, 3):
                names |= _conv(f"{ours}.conv{part}", f"{theirs}.conv{part}")
                names |= _norm(f"{ours}.bn{part}", f"{theirs}.bn{part}")
            if block.has_projection:
                names |= _conv(f"{ours}.downsample_conv", f"{theirs}.downsample.0")
                names |= _norm(f"{ours}.downsample_bn", f"{theirs}.downsample.1")
    return names


def _conv(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", CONV)}


def _norm(ours: str, theirs: str) -> dict[str, TorchName]:
    pairs = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {f"{ours}.norm.{leaf}": TorchName(f"{theirs}.{name}", SAME) for leaf, name in pairs.items()}
