"""Which network a file's tensors belong to, told by their names and shapes."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from san_jax.models.densenet import DenseNet
from san_jax.models.resnet import ResNet
from san_jax.models.weights.filling import WeightsError
from san_jax.settings import ModelSettings

# Whether the blocks are bottlenecks, blocks per stage -> depth of torchvision's network.
_RESNETS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_DENSENETS: dict[tuple[int, ...], int] = {
    (6, 12, 24, 16): 121,
    (6, 12, 36, 24): 161,
    (6, 12, 32, 32): 169,
    (6, 12, 48, 32): 201,
}
# A part of a tensor's name -> the network that has it.
_OTHER_NETWORKS = {
    r"(^|\.)conv2\.0\.conv1\.conv\.weight$": "an OSNet",
    r"(^|\.)(layers|stages)\.\d+\.blocks\.\d+\.attn\.": "a Swin transformer (SOLIDER and others)",
    r"(^|\.)blocks\.\d+\.attn\.qkv\.weight$": "a vision transformer (TransReID and others)",
    r"(^|\.)res2\.0\.conv1\.weight$": "a ResNet under Detectron2's names",
    r"(^|\.)embedder\.embedder\.convolution\.weight$": "a ResNet under the names of Hugging Face's transformers",
}
# Likewise for what is added to a ResNet.
_ADDITIONS = {
    r"layer\d\.\d+\.(bn\d\.)?IN\.": "instance normalization (IBN)",
    r"layer\d\.\d+\.se(_module)?\.": "squeeze-and-excitation",
    r"(^|\.)NL_\d\.": "non-local blocks",
    r"(^|\.)(conv1|layer0)\.\d+\.|(^|\.)layer0\.conv1\.": "another stem",
}


class Architecture(NamedTuple):
    """A ResNet or DenseNet of torchvision's names.

    Attributes:
        is_densenet: Whether it is a DenseNet; else it is a ResNet.
        width: Base number of channels; None where the first layer is not there.
        stage_sizes: Blocks per stage.
        has_bottlenecks: Whether a ResNet's blocks have three convolutions; False for a DenseNet.
        additions: What it has beside torchvision's plain layers.
    """

    is_densenet: bool
    width: int | None
    stage_sizes: tuple[int, ...]
    has_bottlenecks: bool = False
    additions: tuple[str, ...] = ()


def recognize(tensors: Mapping[str, np.ndarray]) -> str:
    """Return what network tensors look like, such as "a ResNet-101 (width 64, stage_sizes (3, 4, 23, 3))".

    Args:
        tensors: Tensors of anybody's network, with any prefix.

    Returns:
        The name, "" where none is known.
    """
    for pattern, name in _OTHER_NETWORKS.items():
        if any(re.search(pattern, key) for key in tensors):
            return name
    found = find_architecture(tensors)
    if found is None:
        return ""
    if found.is_densenet:
        depth = _DENSENETS.get(found.stage_sizes)
        name = f"a DenseNet-{depth}" if depth else "a DenseNet"
    else:
        depth = _RESNETS.get((found.has_bottlenecks, found.stage_sizes))
        blocks = "bottlenecks" if found.has_bottlenecks else "basic blocks"
        name = f"a ResNet-{depth}" if depth else f"a ResNet of {blocks}"
    width = "" if found.width is None else f"width {found.width}, "
    additions = f" with {', '.join(found.additions)}" if found.additions else ""
    return f"{name} ({width}stage_sizes {found.stage_sizes}){additions}"


def find_architecture(tensors: Mapping[str, np.ndarray]) -> Architecture | None:
    """Return the sizes of the ResNet or DenseNet that tensors with any prefix belong to; None where there is none."""
    kernels = [
        (match, value)
        for key, value in tensors.items()
        if (match := re.search(r"(?:^|\.)layer([1-4])\.(\d{1,3})\.conv([1-3])\.weight$", key)) and value.ndim == 4
    ]
    if kernels:
        has_bottlenecks = any(match[3] == "3" for match, _ in kernels)
        first = {match[3]: value.shape for match, value in kernels if (match[1], match[2]) == ("1", "0")}
        additions = [what for pattern, what in _ADDITIONS.items() if any(re.search(pattern, key) for key in tensors)]
        if "2" in first and first["2"][1] != first["2"][0]:
            additions.append("grouped convolutions (ResNeXt)")
        elif has_bottlenecks and "1" in first and first["1"][0] > first["1"][1]:
            additions.append("wide bottlenecks (Wide ResNet)")
        return Architecture(
            is_densenet=False,
            width=first["1"][1] if "1" in first else None,
            stage_sizes=_stage_sizes((match[1], match[2]) for match, _ in kernels),
            has_bottlenecks=has_bottlenecks,
            additions=tuple(additions),
        )
    layers = [
        match for key in tensors if (match := re.search(r"(?:^|\.)denseblock([1-4])\.denselayer(\d{1,3})\.", key))
    ]
    if not layers:
        return None
    stems = [value.shape[0] for key, value in tensors.items() if key.endswith("conv0.weight") and value.ndim == 4]
    sizes = _stage_sizes((match[1], int(match[2]) - 1) for match in layers)
    return Architecture(is_densenet=True, width=stems[0] if stems else None, stage_sizes=sizes)


def plain_settings(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> ModelSettings:
    """Return the settings of the network that tensors with any prefix belong to.

    Raises:
        WeightsError: It is not torchvision's ResNet of bottlenecks or DenseNet; the message names the file.
    """
    found = find_architecture(tensors)
    if found is None or found.width is None or found.additions or not (found.is_densenet or found.has_bottlenecks):
        raise WeightsError(
            f"{path}: expected torchvision's ResNet-50, ResNet-101 or DenseNet-121, or one of another width or depth; "
            f"found {recognize(tensors) or 'another network'}."
        )
    name = "densenet121" if found.is_densenet else "resnet50"
    return ModelSettings(encoder=name, width=found.width, stage_sizes=found.stage_sizes)


def describe(encoder: ResNet | DenseNet) -> str:
    """Return an encoder's class and sizes in words, as a config names them."""
    if isinstance(encoder, DenseNet):
        width, sizes = encoder.bn0.norm.num_features, [encoder.block1, encoder.block2, encoder.block3, encoder.block4]
        return f"this DenseNet (width {width}, stage_sizes {tuple(block.num_layers for block in sizes)})"
    width, sizes = encoder.bn1.norm.num_features, [encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4]
    return f"this ResNet (width {width}, stage_sizes {tuple(stage.num_blocks for stage in sizes)})"


def _stage_sizes(blocks: Iterable[tuple[str, str | int]]) -> tuple[int, ...]:
    """Blocks per stage, from (stage's number, block's index from 0) of each."""
    sizes = [0, 0, 0, 0]
    for stage, index in blocks:
        sizes[int(stage) - 1] = max(sizes[int(stage) - 1], int(index) + 1)
    return tuple(sizes)
