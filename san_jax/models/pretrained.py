"""Weights that others trained with PyTorch: which of their tensors is which leaf of the models here.

The tables are explicit, leaf by leaf. A file is taken wholly or not at all: whatever is missing, left over or of another
shape is told at once. The trees that come back are those of `san_jax.models.split_model`, as NumPy arrays:

    skeleton = nnx.eval_shape(lambda: ResNet(rngs=nnx.Rngs(0)))
    encoder = merge_model(split_model(skeleton)[0], *load_torch_resnet("resnet50-0676ba61.pth", skeleton))
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from san_jax.models import torch_files
from san_jax.models.densenet import DenseNet
from san_jax.models.functional import Tree, split_model
from san_jax.models.resnet import ResNet
from san_jax.models.san import SAN

MAX_SHOWN = 12  # problems of a file that an error lists


class WeightsError(ValueError):
    """A file of weights that is none of this network. The message names the file and all that does not fit."""


class Transform(NamedTuple):
    """How an array is laid out here and in PyTorch. Both ways give a view.

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


def load_torch_resnet(path: str | os.PathLike[str], encoder: ResNet | DenseNet) -> tuple[Tree, Tree]:
    """An encoder's weights from a file of torchvision's ResNet-50, ResNet-101 or DenseNet-121, without PyTorch.

    Its classifier ("fc." and "classifier.") and the counts "num_batches_tracked" are not looked at. Half and double
    precision become float32. A dictionary with a "state_dict" gives that one; the prefix "module." of DataParallel and
    the spelling "norm.1" of torchvision's old DenseNet files are understood.

    Args:
        path: A `.pth`, `.pth.tar` or `.safetensors` file, see `torch_files.read`.
        encoder: Of the file's sizes; its arrays are not looked at (nnx.eval_shape's result will do).

    Returns:
        Parameters and running statistics, as `split_model(encoder)` gives them, float32 NumPy arrays.

    Raises:
        torch_files.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's: names every missing, unknown and misshapen tensor.
    """
    tensors = _state_dict(path, torch_files.read(path))
    kept = {name: value for name, value in tensors.items() if not name.startswith(("fc.", "classifier."))}
    return _load(path, encoder, torch_names(encoder), kept)


def load_released_checkpoint(path: str | os.PathLike[str], san: SAN) -> tuple[Tree, Tree]:
    """The weights of a whole SAN from the authors' `checkpoint_ep<N>.pth.tar`.

    The released 1x1 convolutions before the decoder's batch normalisations have biases, those here have none: a bias is
    subtracted from the running mean, which gives the same numbers at inference, and none of it matters in training.

    Args:
        path: The checkpoint: a dictionary with "state_dict" and "decoder_state_dict".
        san: A SAN(num_classes, feature_size=512, skips=True) on a ResNet (ResNet-50 in the released code). Without
            classifier (num_classes=0) or decoder (and skips) that part of the file is not looked at.

    Returns:
        Parameters and running statistics, as `split_model(san)` gives them, float32 NumPy arrays.

    Raises:
        torch_files.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's, see `load_torch_resnet`; or the SAN has no head, other modules than the
            released network or no ResNet, or a decoder without skips.
    """
    fits = isinstance(san.encoder, ResNet) and san.head is not None and san.pooling is None and san.neck is None
    if not fits or (san.decoder is not None and not san.skips):
        raise WeightsError(
            f"{path}: the released network is SAN(num_classes, feature_size=512, skips=True) with a ResNet, average "
            "pooling and no BNNeck; build the model like that."
        )
    content = torch_files.read(path)
    tensors = _state_dict(path, content)
    if san.classifier is None:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    if san.decoder is not None:
        decoder = _fold_biases(_state_dict(path, content, "decoder_state_dict"), split_model(san)[2]["decoder"])
        tensors |= {f"decoder.{name}": value for name, value in decoder.items()}
    return _load(path, san, released_names(san), tensors)


def torch_names(encoder: ResNet | DenseNet) -> dict[str, TorchName]:
    """Every leaf of an encoder, parameters and running statistics alike, and torchvision's name for it.

    torchvision's running variance is the unbiased one, n / (n - 1) times the one here: it is taken as it is.

    Args:
        encoder: Of any width and depth; its arrays are not looked at (nnx.eval_shape's result will do).

    Returns:
        Dotted name of the leaf in the trees of `split_model(encoder)`, such as "stage1.block1.bn1.norm.mean" -> its
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
    """The same as `torch_names` for a whole SAN and the authors' released checkpoint.

    Names of its `decoder_state_dict` begin with "decoder." here. The biases of "embed_layer" and "reduce_dim" have no
    leaf: see `load_released_checkpoint`.
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


def _conv(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", CONV)}


def _norm(ours: str, theirs: str) -> dict[str, TorchName]:
    pairs = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {f"{ours}.norm.{leaf}": TorchName(f"{theirs}.{name}", SAME) for leaf, name in pairs.items()}


def _bias(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.bias": TorchName(f"{theirs}.bias", SAME)}


def _linear(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", LINEAR)} | _bias(ours, theirs)


def _state_dict(
    path: str | os.PathLike[str], content: Mapping[Any, Any], key: str = "state_dict"
) -> dict[str, np.ndarray]:
    """The tensors of a file under today's names, without the counts "num_batches_tracked"."""
    if key != "state_dict" and key not in content:
        raise WeightsError(f"{path}: expected a dictionary with {key!r}, as the released code saves it.")
    tensors, problems = {}, []
    found = content.get(key, content)
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            problems.append(f"{ascii(name)[:80]} is {type(value).__name__}")
        elif not name.endswith("num_batches_tracked"):
            name = _OLD_DENSENET.sub(r"\1\2", name.removeprefix("module."))
            if name in tensors:
                problems.append(f"{ascii(name)[:80]} is there twice")
            tensors[name] = value
    if not tensors and not problems:
        problems.append("there are none")
    _raise(path, problems, f"expected a dictionary of named tensors{f' under {key!r}' if key in content else ''}")
    return tensors


# As torchvision's densenet.py reads its own old files.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


_BIASED = {
    "skip1_bn": "embed_layer1",
    "skip2_bn": "embed_layer2",
    "skip3_bn": "embed_layer3",
    "reduce_bn": "reduce_dim",
}


def _fold_biases(tensors: dict[str, np.ndarray], batch_stats: Tree) -> dict[str, np.ndarray]:
    """The released decoder without the biases that its batch normalisations undo: (x + b) - m = x - (m - b).

    Args:
        tensors: Its "decoder_state_dict".
        batch_stats: The running statistics of the decoder here; their shapes alone are looked at.
    """
    folded = dict(tensors)
    for norm, part in _BIASED.items():
        shape = batch_stats[norm]["norm"]["mean"].shape
        bias, mean = tensors.get(f"{part}.0.bias"), tensors.get(f"{part}.1.running_mean")
        # Where one is missing or misshapen, the bias stays and is told with the rest: nothing is computed of arrays
        # whose size is the file's choice.
        if bias is not None and mean is not None and bias.shape == mean.shape == shape:
            del folded[f"{part}.0.bias"]
            folded[f"{part}.1.running_mean"] = mean.astype(np.float64) - bias
    return folded


def _load(
    path: str | os.PathLike[str],
    model: nnx.Module,
    names: Mapping[str, TorchName],
    tensors: Mapping[str, np.ndarray],
) -> tuple[Tree, Tree]:
    """Puts each tensor at its leaf of the model's trees.

    Raises:
        WeightsError: Any leaf without a tensor, tensor without a leaf, other shape, or number that is none.
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
    _raise(
        path,
        problems,
        f"the weights are not those of this {type(model).__name__} (is it another architecture, width or depth?)",
    )
    return trees


def _take(
    tensors: Mapping[str, np.ndarray], source: TorchName, shape: tuple[int, ...], problems: list[str]
) -> np.ndarray | None:
    """A leaf's float32 array, or None and a problem more."""
    name, transform = source
    expected = transform.to_torch(np.broadcast_to(np.float32(0), shape)).shape
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


def _raise(path: str | os.PathLike[str], problems: Collection[str], what: str) -> None:
    if problems:
        shown = list(problems)[:MAX_SHOWN]
        more = len(problems) - len(shown)
        lines = [*shown, f"and {more} more"] if more else shown
        raise WeightsError("\n  ".join([f"{path}: {what}; {len(problems)} tensors do not fit:", *lines]))
