"""Writes networks.npz: a narrow SA-Enc and SA-Dec in PyTorch (float64), forward, backward and running statistics.

The modules are plain PyTorch (torchvision's ResNet structure; the paper's decoder), named as in san_jax so that weights
find their place by name. Run from the repository's root: /tmp/torchvenv/bin/python -m tests.golden.make_networks
"""

import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.golden.weights import draw, inputs, save

WIDTH = 4
STAGE_SIZES = (1, 2, 1, 1)
TEXTURE_SIZE = 20
DECODER_FEATURES = (32, 16, 8, 8, 8)  # 8, 4, 1, 1/2, 1/4 times the width, at least 8
IMAGES = (3, 48, 32, 3)
STATISTICS = {"running_mean": "mean", "running_var": "var"}


class Bottleneck(nn.Module):
    """torchvision's: the stride is on the 3x3 convolution."""

    def __init__(self, inplanes: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.project = stride != 1 or inplanes != 4 * planes
        if self.project:
            self.downsample_conv = nn.Conv2d(inplanes, 4 * planes, 1, stride=stride, bias=False)
            self.downsample_bn = nn.BatchNorm2d(4 * planes)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (self.downsample_bn(self.downsample_conv(x)) if self.project else x))


class Stage(nn.Module):
    """Bottlenecks in turn, the first strided."""

    def __init__(self, inplanes: int, planes: int, blocks: int, stride: int):
        super().__init__()
        for i in range(blocks):
            self.add_module(
                f"block{i + 1}", Bottleneck(inplanes if i == 0 else 4 * planes, planes, stride if i == 0 else 1)
            )

    def forward(self, x):
        for block in self.children():
            x = block(x)
        return x


class Encoder(nn.Module):
    """ResNet with last stride 1; gives all stage outputs."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes = WIDTH
        for i, (blocks, stride) in enumerate(zip(STAGE_SIZES, (1, 2, 2, 1), strict=True)):
            self.add_module(f"stage{i + 1}", Stage(inplanes, WIDTH * 2**i, blocks, stride))
            inplanes = 4 * WIDTH * 2**i

    def forward(self, x):
        outputs = [self.maxpool(functional.relu(self.bn1(self.conv1(x))))]
        for i in range(4):
            outputs.append(getattr(self, f"stage{i + 1}")(outputs[-1]))
        return outputs


class UpsamplingBlock(nn.Module):
    """Residual pair of convolutions, ReLU, bilinear x2, reflection pad, convolution."""

    def __init__(self, inplanes: int, planes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, inplanes, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inplanes)
        self.conv2 = nn.Conv2d(inplanes, inplanes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inplanes)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.pad = nn.ReflectionPad2d(1)
        self.up_conv = nn.Conv2d(inplanes, planes, 3)

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return self.up_conv(self.pad(self.upsample(functional.relu(y + x))))


class Decoder(nn.Module):
    """Gives the texture and the outputs of the four blocks."""

    def __init__(self):
        super().__init__()
        self.reduce_conv = nn.Conv2d(32 * WIDTH, DECODER_FEATURES[0], 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(DECODER_FEATURES[0])
        for i in range(4):
            self.add_module(f"block{i + 1}", UpsamplingBlock(DECODER_FEATURES[i], DECODER_FEATURES[i + 1]))
        self.pad = nn.ReflectionPad2d(3)
        self.out_conv = nn.Conv2d(DECODER_FEATURES[4], 3, 7)

    def forward(self, x):
        x = functional.relu(self.reduce_bn(self.reduce_conv(x)))
        maps = []
        for i in range(4):
            x = getattr(self, f"block{i + 1}")(x)
            maps.append(x)
        texture = self.out_conv(self.pad(x))
        return functional.interpolate(texture, (TEXTURE_SIZE, TEXTURE_SIZE), mode="bilinear", align_corners=True), maps


def jax_name(prefix: str, name: str, module: nn.Module) -> str:
    """The dotted name of a PyTorch parameter or buffer in the JAX model."""
    leaf = name.rsplit(".", 1)[-1]
    path = ".".join([prefix, *name.split(".")[:-1]])
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        leaf = STATISTICS.get(leaf) or {"weight": "scale", "bias": "bias"}[leaf]
        return f"{path}.norm.{leaf}"
    return f"{path}.{'kernel' if leaf == 'weight' else leaf}"


def named_tensors(prefix: str, network: nn.Module):
    """(JAX name, tensor, whether it is a convolution's kernel) of every parameter and running statistic."""
    modules = dict(network.named_modules())
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            yield jax_name(prefix, name, modules[name.rsplit(".", 1)[0]]), tensor, tensor.ndim == 4


def fill(prefix: str, network: nn.Module) -> None:
    """Draws every weight by its JAX name."""
    for name, tensor, is_kernel in named_tensors(prefix, network):
        shape = tuple(tensor.shape)
        if is_kernel:  # OIHW <- HWIO
            values = draw(name, (shape[2], shape[3], shape[1], shape[0])).transpose(3, 2, 0, 1)
        else:
            values = draw(name, shape)
        tensor.copy_(torch.tensor(values))


def nhwc(x: torch.Tensor) -> np.ndarray:
    """float32 NHWC copy."""
    return x.detach().permute(0, 2, 3, 1).numpy().astype(np.float32)


def main() -> None:
    """Writes the file beside this script."""
    golden = {}
    encoder, decoder = Encoder().double(), Decoder().double()
    counts = {}  # numbers per channel that each batch normalisation saw: PyTorch's running variance is unbiased

    def count(name: str):
        return lambda _, args: counts.update({name: args[0].numel() // args[0].shape[1]})

    for prefix, network in (("encoder", encoder), ("decoder", decoder)):
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_pre_hook(count(f"{prefix}.{name}.norm"))
    images = torch.tensor(inputs("images", IMAGES)).double().permute(0, 3, 1, 2)

    for mode in ("eval", "train"):
        fill("encoder", encoder)
        fill("decoder", decoder)
        for network in (encoder, decoder):
            network.train(mode == "train")
            network.zero_grad()
        leaf = images.clone().requires_grad_(True)
        stages = encoder(leaf)
        feature_map = stages[-1]
        feature_map.retain_grad()
        texture, maps = decoder(feature_map)
        for name, stage in zip(("stem", "stage1", "stage2", "stage3", "stage4"), stages, strict=True):
            golden[f"{mode}.{name}"] = nhwc(stage)
        golden[f"{mode}.embedding"] = functional.adaptive_avg_pool2d(feature_map, 1).flatten(1).detach().numpy()
        golden[f"{mode}.texture"] = nhwc(texture)
        for i, d in enumerate(maps):
            golden[f"{mode}.d{i + 1}_channel_mean"] = nhwc(d.mean(dim=1, keepdim=True))
        if mode == "eval":
            golden["eval.d2"] = nhwc(maps[1])
        # A smooth scalar of texture, a decoder map and the embedding: every layer takes part in its gradient.
        weights = (
            torch.tensor(inputs("texture_weights", (3, TEXTURE_SIZE, TEXTURE_SIZE, 3))).double().permute(0, 3, 1, 2)
        )
        scalar = (weights * texture).mean() + maps[2].square().mean() + feature_map.mean(dim=(2, 3)).square().mean()
        golden[f"{mode}.scalar"] = scalar.detach().numpy()
        if mode == "train":
            scalar.backward()
            golden["train.feature_map_gradient"] = nhwc(feature_map.grad)
            for prefix, network in (("encoder", encoder), ("decoder", decoder)):
                modules = dict(network.named_modules())
                for name, parameter in network.named_parameters():
                    gradient = parameter.grad
                    key = jax_name(prefix, name, modules[name.rsplit(".", 1)[0]])
                    # Kernels: the sum over everything but the output channels keeps the file small.
                    reduced = gradient.abs().sum(dim=(1, 2, 3)) if gradient.ndim == 4 else gradient
                    golden[f"train.gradient.{key}"] = reduced.numpy()
                for name, tensor, _ in named_tensors(prefix, network):
                    if name.endswith((".mean", ".var")):
                        golden[f"train.{name}"] = tensor.numpy()
        if mode == "train":
            golden |= {f"train.{name}.count": np.asarray(number) for name, number in counts.items()}
    golden = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in golden.items()}
    save(pathlib.Path(__file__).with_name("networks.npz"), golden)


if __name__ == "__main__":
    main()
