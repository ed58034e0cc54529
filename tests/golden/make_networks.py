"""Writes networks.npz: a narrow SA-Enc and SA-Dec in PyTorch (float64), forward, backward and running statistics.

The modules are those of `experiments.benchmarks.torch_model`, which the benchmark times beside ours; they are named as
in san_jax, so that weights find their place by name. Run from the repository's root: /tmp/torchvenv/bin/python -m tests.golden.make_networks
"""

import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks.torch_model import Decoder, Encoder
from tests.golden.weights import draw, inputs, save

WIDTH = 4
STAGE_SIZES = (1, 2, 1, 1)
TEXTURE_SIZE = 20
IMAGES = (3, 48, 32, 3)
STATISTICS = {"running_mean": "mean", "running_var": "var"}


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
    encoder = Encoder(WIDTH, STAGE_SIZES).double()
    decoder = Decoder(WIDTH, TEXTURE_SIZE).double()
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
        texture, maps = decoder(stages)
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
