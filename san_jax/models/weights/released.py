"""The authors' released checkpoints: a whole SAN in PyTorch's format."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from san_jax.models.functional import Tree, split_model
from san_jax.models.resnet import ResNet
from san_jax.models.san import SAN
from san_jax.models.weights import torch_files
from san_jax.models.weights.encoders import names_today
from san_jax.models.weights.filling import WeightsError, fill_model, raise_problems
from san_jax.models.weights.names import released_names
from san_jax.models.weights.recognition import plain_settings
from san_jax.settings import ModelSettings

_ENCODER, _DECODER = "state_dict", "decoder_state_dict"
_BIASED = {
    "skip1_bn": "embed_layer1",
    "skip2_bn": "embed_layer2",
    "skip3_bn": "embed_layer3",
    "reduce_bn": "reduce_dim",
}


def find_settings(path: str | os.PathLike[str]) -> ModelSettings | None:
    """Return the settings of the SAN in a released checkpoint, without decoder; None for a file that is not one.

    Raises:
        san_jax.models.weights.TorchFileError: The file cannot be read.
        WeightsError: It has the keys of a released checkpoint, but no ResNet with the released head.
    """
    content = torch_files.read(path)
    if _DECODER not in content:
        return None
    tensors = _state_dict(path, content)
    head = tensors.get("fc.0.weight")
    if head is None or head.ndim != 2:
        raise WeightsError(f"{path}: expected the released network's head, a matrix fc.0.weight.")
    return dataclasses.replace(plain_settings(path, tensors), feature_size=head.shape[0])


def load_released_checkpoint(path: str | os.PathLike[str], san: SAN) -> tuple[Tree, Tree]:
    """Load the weights of a whole SAN from the authors' `checkpoint_ep<N>.pth.tar`.

    The released 1x1 convolutions before the decoder's batch normalisations have biases; those here have none. A bias is
    subtracted from the running mean, which gives the same numbers at inference; in training it has no effect.

    Args:
        path: The checkpoint: a dictionary with "state_dict" and "decoder_state_dict".
        san: A SAN(num_classes, feature_size=512, skips=True) on a ResNet (ResNet-50 in the released code). Without
            classifier (num_classes=0) or decoder (and skips) that part of the file is not looked at.

    Returns:
        Parameters and running statistics, as `split_model(san)` gives them, float32 NumPy arrays.

    Raises:
        san_jax.models.weights.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's, see `load_encoder_weights`; or the SAN has no head, other modules than
            the released network or no ResNet, or a decoder without skips.
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
        decoder = _fold_biases(_state_dict(path, content, _DECODER), split_model(san)[2]["decoder"])
        tensors |= {f"decoder.{name}": value for name, value in decoder.items()}
    what = "the weights are not those of this SAN (is it another architecture, width or depth?)"
    return fill_model(path, san, released_names(san), tensors, what)


def _state_dict(path: str | os.PathLike[str], content: Mapping[Any, Any], key: str = _ENCODER) -> dict[str, np.ndarray]:
    """Return the tensors of a file under today's names, without the counts "num_batches_tracked"."""
    if key != _ENCODER and key not in content:
        raise WeightsError(f"{path}: expected a dictionary with {key!r}, as the released code saves it.")
    tensors, problems = {}, []
    found = content.get(key, content)
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            problems.append(f"{ascii(name)[:80]} is {type(value).__name__}")
        elif not name.endswith("num_batches_tracked"):
            name = names_today(name.removeprefix("module."))
            if name in tensors:
                problems.append(f"{ascii(name)[:80]} is there twice")
            tensors[name] = value
    if not tensors and not problems:
        problems.append("there are none")
    raise_problems(
        path, problems, f"expected a dictionary of named tensors{f' under {key!r}' if key in content else ''}"
    )
    return tensors


def _fold_biases(tensors: dict[str, np.ndarray], batch_stats: Tree) -> dict[str, np.ndarray]:
    """Return the released decoder without the biases that its batch normalisations undo: (x + b) - m = x - (m - b).

    Args:
        tensors: Its "decoder_state_dict".
        batch_stats: Running statistics of the decoder here; only their shapes are looked at.
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
