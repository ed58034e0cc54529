"""Writes variants.npz: what `make_networks.py` has not, in PyTorch (float64): forward, backward and running statistics.

A narrow DenseNet (torchvision's structure, the third transition without pooling) with the released code's U-Net decoder
on it; and on a feature map by itself GeM pooling, the fully connected head, BNNeck, and all of them together. Modules
but the DenseNet's are named as in san_jax. Run from the repository's root: /tmp/torchvenv/bin/python -m tests.golden.make_variants
"""

import functools
import pathlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks.torch_model import UpsamplingBlock
from tests.golden.make_networks import nhwc
from tests.golden.torch_densenet import DenseNet
from tests.golden.weights import draw, inputs, save

WIDTH, STAGE_SIZES, TEXTURE_SIZE = 8, (2, 1, 2, 1), (20, 12)
STAGE_FEATURES = (16, 12, 14, 11)
DECODER_FEATURES = (64, 32, 8, 8, 8)  # 8, 4, 1, 1/2, 1/4 times the width, at least 8
IMAGES = (3, 48, 32, 3)
FEATURE_MAP = (6, 2, 2, 32)
NUM_CLASSES, FEATURE_SIZE = 5, 6
HEADS = {  # pooling, feature_size, bnneck
    "gem": ("gem", 0, False),
    "head": ("average", FEATURE_SIZE, False),
    "bnneck": ("average", 0, True),
    "all": ("gem", FEATURE_SIZE, True),
}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
NORM_LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
JAX_WORDS = {"features.": "", "denseblock": "block", "denselayer": "layer", "norm": "bn"}  # torchvision's -> ours


class UNetDecoder(nn.Module):
    """The released code's, without the biases before batch normalisations; gives texture and the blocks' outputs."""

    def __init__(self):
        super().__init__()
        self.reduce_conv = nn.Conv2d(STAGE_FEATURES[3], DECODER_FEATURES[0], 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(DECODER_FEATURES[0])
        for i in range(4):
            self.add_module(f"block{i + 1}", UpsamplingBlock(DECODER_FEATURES[i], DECODER_FEATURES[i + 1]))
        self.pad = nn.ReflectionPad2d(3)
        self.out_conv = nn.Conv2d(DECODER_FEATURES[4], 3, 7)
        for stage in (1, 2, 3):
            planes = DECODER_FEATURES[3 - stage]
            self.add_module(f"skip{stage}_conv", nn.Conv2d(STAGE_FEATURES[stage - 1], planes, 1, bias=False))
            self.add_module(f"skip{stage}_bn", nn.BatchNorm2d(planes))

    def forward(self, stage1, stage2, stage3, stage4):
        def embed(number, x):
            return functional.relu(getattr(self, f"skip{number}_bn")(getattr(self, f"skip{number}_conv")(x)))

        reduced = functional.relu(self.reduce_bn(self.reduce_conv(stage4)))
        d1 = self.block1(embed(3, stage3) + reduced)
        d2 = self.block2(embed(2, stage2) + d1)
        d3 = self.block3(embed(1, stage1) + d2)
        d4 = self.block4(d3)
        texture = self.out_conv(self.pad(d4))
        return functional.interpolate(texture, TEXTURE_SIZE, mode="bilinear", align_corners=True), (d1, d2, d3, d4)


class UNet(nn.Module):
    """Both."""

    def __init__(self):
        super().__init__()
        self.encoder = DenseNet(WIDTH, STAGE_SIZES)
        self.decoder = UNetDecoder()


class GeM(nn.Module):
    """Generalised mean over positions."""

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return functional.adaptive_avg_pool2d(x.clamp(min=1e-6).pow(self.p), 1).flatten(1).pow(1.0 / self.p)


class FullyConnected(nn.Module):
    """torchreid's fc layer."""

    def __init__(self, inplanes: int):
        super().__init__()
        self.linear = nn.Linear(inplanes, FEATURE_SIZE)
        self.bn = nn.BatchNorm1d(FEATURE_SIZE)

    def forward(self, x):
        return functional.relu(self.bn(self.linear(x)))


class Head(nn.Module):
    """From a feature map to embedding, test embedding and logits."""

    def __init__(self, pooling: str, feature_size: int, bnneck: bool):
        super().__init__()
        planes = feature_size or FEATURE_MAP[-1]
        self.pooling = GeM() if pooling == "gem" else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = FullyConnected(FEATURE_MAP[-1]) if feature_size else nn.Identity()
        self.neck = nn.BatchNorm1d(planes) if bnneck else nn.Identity()
        if bnneck:
            self.neck.bias.requires_grad_(False)  # it stays 0
        self.classifier = nn.Linear(planes, NUM_CLASSES, bias=not bnneck)

    def forward(self, x):
        embedding = self.head(self.pooling(x))
        test_embedding = self.neck(embedding)
        return embedding, test_embedding, self.classifier(test_embedding)


def jax_path(path: str) -> str:
    """Return the name in the JAX model of a module."""
    return functools.reduce(lambda name, words: name.replace(*words), JAX_WORDS.items(), path)


def named_tensors(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and running statistics that the JAX model has too, by their names there."""
    modules = dict(network.named_modules())
    for name, tensor in network.state_dict(keep_vars=True).items():
        path, leaf = name.rpartition(".")[::2]
        if isinstance(modules[path], BATCH_NORMS):
            if leaf in NORM_LEAVES and name != "neck.bias":
                yield f"{jax_path(path)}.norm.{NORM_LEAVES[leaf]}", tensor
        else:
            yield f"{jax_path(path)}.{'kernel' if leaf == 'weight' else leaf}", tensor


def fill(network: nn.Module) -> None:
    """Draws every weight by its JAX name."""
    with torch.no_grad():
        for name, tensor in named_tensors(network):
            shape = tuple(tensor.shape)
            if len(shape) == 4:  # OIHW <- HWIO
                values = draw(name, (shape[2], shape[3], shape[1], shape[0])).transpose(3, 2, 0, 1)
            elif len(shape) == 2:
                values = draw(name, shape[::-1]).T
            else:
                values = draw(name, shape)
            tensor.copy_(torch.tensor(values))


def count_numbers(network: nn.Module) -> dict[str, int]:
    """By JAX name, the numbers per channel that each batch normalisation sees: PyTorch's running variance is unbiased."""
    counts = {}

    def hook(name):
        return lambda _, args: counts.update({f"{jax_path(name)}.norm": args[0].numel() // args[0].shape[1]})

    for name, module in network.named_modules():
        if isinstance(module, BATCH_NORMS):
            module.register_forward_pre_hook(hook(name))
    return counts


def results_of_backward(network: nn.Module, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Gradients of all parameters, and the running statistics."""
    results = {}
    for name, tensor in named_tensors(network):
        if name.endswith((".mean", ".var")):
            results[name] = tensor.detach().numpy()
        elif tensor.ndim == 4:  # the sum over everything but the output channels keeps the file small
            results[f"gradient.{name}"] = tensor.grad.abs().sum(dim=(1, 2, 3)).numpy()
        else:
            results[f"gradient.{name}"] = (tensor.grad.T if tensor.ndim == 2 else tensor.grad).numpy()
    return results | {f"{name}.count": np.asarray(number) for name, number in counts.items()}


def nchw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """An input."""
    return torch.tensor(inputs(name, shape)).double().permute(0, 3, 1, 2)


def run_unet(mode: str) -> dict[str, np.ndarray]:
    """DenseNet and U-Net decoder."""
    network = UNet().double()
    fill(network)
    counts = count_numbers(network)
    network.train(mode == "train")
    stages = network.encoder(nchw("unet_images", IMAGES))
    texture, maps = network.decoder(*stages[1:])
    weights = nchw("unet_texture_weights", (IMAGES[0], *TEXTURE_SIZE, 3))
    scalar = (weights * texture).mean() + maps[2].square().mean() + stages[-1].mean(dim=(2, 3)).square().mean()
    results = {f"stage{i}" if i else "stem": nhwc(stage) for i, stage in enumerate(stages)}
    results |= {"texture": nhwc(texture), "scalar": scalar.detach().numpy()}
    results |= {f"d{i + 1}_channel_mean": nhwc(d.mean(dim=1, keepdim=True)) for i, d in enumerate(maps)}
    if mode == "train":
        scalar.backward()
        results |= results_of_backward(network, counts)
    return results


def run_head(options: tuple[str, int, bool], mode: str) -> dict[str, np.ndarray]:
    """A way from feature map to logits. The feature map is that of a ReLU: about half of it is 0."""
    network = Head(*options).double()
    fill(network)
    counts = count_numbers(network)
    network.train(mode == "train")
    feature_map = nchw("head_feature_map", FEATURE_MAP).relu().requires_grad_(True)
    embedding, test_embedding, logits = network(feature_map)
    weights = torch.tensor(inputs("head_logit_weights", (FEATURE_MAP[0], NUM_CLASSES))).double()
    scalar = (weights * logits).mean() + embedding.pow(3).mean()
    results = {"embedding": embedding, "test_embedding": test_embedding, "logits": logits, "scalar": scalar}
    results = {name: tensor.detach().numpy() for name, tensor in results.items()}
    scalar.backward()
    results["feature_map_gradient"] = nhwc(feature_map.grad)
    if mode == "train":
        results |= results_of_backward(network, counts)
    return results


def main() -> None:
    """Writes the file beside this script."""
    golden = {}
    for mode in ("eval", "train"):
        golden |= {f"unet.{mode}.{name}": array for name, array in run_unet(mode).items()}
        for head, options in HEADS.items():
            golden |= {f"{head}.{mode}.{name}": array for name, array in run_head(options, mode).items()}
    save(pathlib.Path(__file__).with_name("variants.npz"), golden)


if __name__ == "__main__":
    main()
