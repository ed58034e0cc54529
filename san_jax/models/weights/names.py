"""Which tensor of a file is which leaf of the models here: explicit tables, leaf by leaf."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from san_jax.models.densenet import DenseNet
from san_jax.models.resnet import ResNet
from san_jax.models.san import SAN


class Transform(NamedTuple):
    """How an array is laid out here and in PyTorch. Both functions return a view.

    Attributes:
        to_jax: PyTorch's array -> the array here.
        to_torch: The inverse of `to_jax`.
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

    Attributes:
        name: Its key, such as "layer1.0.conv1.weight".
        transform: Its layout.
    """

    name: str
    transform: Transform


def torch_names(encoder: ResNet | DenseNet) -> dict[str, TorchName]:
    """Return torchvision's name of every leaf of an encoder, parameters and running statistics alike.

    torchvision's running variance is the unbiased one, n / (n - 1) times the one here: it is taken as it is.

    Args:
        encoder: Of any width and depth; its arrays are not looked at (nnx.eval_shape's result will do).

    Returns:
        Dotted name of each leaf in the trees of `split_model(encoder)`, such as "stage1.block1.bn1.norm.mean" -> its
        name and layout in torchvision, in torchvision's order.
    """
    return _densenet_names(encoder) if isinstance(encoder, DenseNet) else _resnet_names(encoder)


def _resnet_names(encoder: ResNet) -> dict[str, TorchName]:
    names = _conv("conv1", "conv1") | _norm("bn1", "bn1")
    for number in range(1, 5):
        stage = getattr(encoder, f"stage{number}")
        for index in range(stage.num_blocks):
            ours, theirs = f"stage{number}.block{index + 1}", f"layer{number}.{index}"
            for part in range(1, 4):
                names |= _conv(f"{ours}.conv{part}", f"{theirs}.conv{part}")
                names |= _norm(f"{ours}.bn{part}", f"{theirs}.bn{part}")
            if getattr(stage, f"block{index + 1}").has_projection:
                names |= _conv(f"{ours}.downsample_conv", f"{theirs}.downsample.0")
                names |= _norm(f"{ours}.downsample_bn", f"{theirs}.downsample.1")
    return names


def _densenet_names(encoder: DenseNet) -> dict[str, TorchName]:
    names = _conv("conv0", "features.conv0") | _norm("bn0", "features.norm0")
    for number in range(1, 5):
        for index in range(1, getattr(encoder, f"block{number}").num_layers + 1):
            ours, theirs = f"block{number}.layer{index}", f"features.denseblock{number}.denselayer{index}"
            for part in (1, 2):
                names |= _norm(f"{ours}.bn{part}", f"{theirs}.norm{part}")
                names |= _conv(f"{ours}.conv{part}", f"{theirs}.conv{part}")
        if number < 4:
            names |= _norm(f"transition{number}.bn", f"features.transition{number}.norm")
            names |= _conv(f"transition{number}.conv", f"features.transition{number}.conv")
    return names | _norm("bn5", "features.norm5")


def released_names(san: SAN) -> dict[str, TorchName]:
    """Return the names of a whole SAN in the authors' released checkpoint, as `torch_names` does for an encoder.

    The names of its `decoder_state_dict` begin with "decoder." here. The biases of "embed_layer" and "reduce_dim"
    belong to no leaf: see `load_released_checkpoint`.
    """
    names = {f"encoder.{leaf}": name for leaf, name in torch_names(san.encoder).items()}
    names |= _linear("head.linear", "fc.0") | _norm("head.bn", "fc.1")
    if san.classifier is not None:
        names |= _linear("classifier", "classifier")
    if san.decoder is not None:
        for number in (1, 2, 3):
            theirs = f"decoder.embed_layer{number}"
            names |= _conv(f"decoder.skip{number}_conv", f"{theirs}.0") | _norm(
                f"decoder.skip{number}_bn", f"{theirs}.1"
            )
        names |= _conv("decoder.reduce_conv", "decoder.reduce_dim.0") | _norm(
            "decoder.reduce_bn", "decoder.reduce_dim.1"
        )
        for number in (1, 2, 3, 4):
            ours, theirs = f"decoder.block{number}", f"decoder.up{number}"
            names |= _conv(f"{ours}.conv1", f"{theirs}.res.res.0") | _norm(f"{ours}.bn1", f"{theirs}.res.res.1")
            names |= _conv(f"{ours}.conv2", f"{theirs}.res.res.3") | _norm(f"{ours}.bn2", f"{theirs}.res.res.4")
            names |= _conv(f"{ours}.up_conv", f"{theirs}.conv.2") | _bias(f"{ours}.up_conv", f"{theirs}.conv.2")
        names |= _conv("decoder.out_conv", "decoder.final_layer.1") | _bias("decoder.out_conv", "decoder.final_layer.1")
    return names


def exported_names(model: SAN) -> dict[str, TorchName]:
    """Return the name of every array of an exported model but GeM's p in the safetensors file.

    The encoder's names are torchvision's. What follows the pooling is an `nn.Sequential` in place of torchvision's
    classifier (`fc` of a ResNet, `classifier` of a DenseNet): Linear, BatchNorm1d and ReLU with `feature_size`, then
    BatchNorm1d with `bnneck`; it is empty without both.

    Returns:
        Dotted name of each leaf in the trees of `split_model(model)` -> its name and layout.
    """
    names = {f"encoder.{leaf}": name for leaf, name in torch_names(model.encoder).items()}
    last = sequential_name(model)
    if model.head is not None:
        names |= _linear("head.linear", f"{last}.0") | _norm("head.bn", f"{last}.1")
    if model.neck is not None:
        names |= _norm("neck", neck_name(model))
        del names["neck.norm.bias"]  # it has none
    return names


def sequential_name(model: SAN) -> str:
    """Return the name of the module that follows the pooling in an exported file, as in torchvision's networks."""
    return "classifier" if isinstance(model.encoder, DenseNet) else "fc"


def neck_name(model: SAN) -> str:
    """Return the name of an exported model's neck, which comes after Linear, BatchNorm1d and ReLU if they are there."""
    return f"{sequential_name(model)}.{0 if model.head is None else 3}"


def _conv(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", CONV)}


def _norm(ours: str, theirs: str) -> dict[str, TorchName]:
    pairs = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {f"{ours}.norm.{leaf}": TorchName(f"{theirs}.{name}", SAME) for leaf, name in pairs.items()}


def _bias(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.bias": TorchName(f"{theirs}.bias", SAME)}


def _linear(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", LINEAR)} | _bias(ours, theirs)
