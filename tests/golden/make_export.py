"""Writes export.npz: that encoders exported as safetensors load into plain PyTorch modules, and what these give.

Run by hand, first where the project is installed, then where PyTorch and safetensors are (tests read the file):

    .venv/bin/python -m tests.experiments.export_runs /tmp/exported
    python tests/golden/make_export.py /tmp/exported

The modules have torchvision's names and layers, at any width; every tensor must find its place (strict loading), as in
torchvision's own networks with the changes that the file's metadata tells.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """torchvision's, stride on the 3x3 convolution."""

    def __init__(self, inplanes: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if stride != 1 or inplanes != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inplanes, 4 * planes, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * planes)
            )

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's, with stride 1 in layer4."""

    def __init__(self, width: int, stage_sizes: list[int]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inplanes = width
        for number, (size, stride) in enumerate(zip(stage_sizes, (1, 2, 2, 1), strict=True), start=1):
            planes = width * 2 ** (number - 1)
            blocks = [
                Bottleneck(inplanes if i == 0 else 4 * planes, planes, stride if i == 0 else 1) for i in range(size)
            ]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inplanes = 4 * planes
        self.out_features = inplanes

    def feature_map(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class DenseLayer(nn.Module):
    """torchvision's _DenseLayer."""

    def __init__(self, inplanes: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inplanes)
        self.conv1 = nn.Conv2d(inplanes, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(functional.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(functional.relu(self.norm2(y)))], dim=1)


class DenseNet(nn.Module):
    """torchvision's, without the pooling of transition3."""

    def __init__(self, width: int, stage_sizes: list[int]):
        super().__init__()
        growth, channels = width // 2, width
        layers: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(width),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        for number, size in enumerate(stage_sizes, start=1):
            block = nn.Sequential()
            for index in range(1, size + 1):
                block.add_module(f"denselayer{index}", DenseLayer(channels, growth))
                channels += growth
            layers[f"denseblock{number}"] = block
            if number < 4:
                transition = nn.Sequential()
                transition.add_module("norm", nn.BatchNorm2d(channels))
                transition.add_module("relu", nn.ReLU())
                transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
                transition.add_module("pool", nn.AvgPool2d(2) if number < 3 else nn.Identity())
                layers[f"transition{number}"] = transition
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential()
        for name, layer in layers.items():
            self.features.add_module(name, layer)
        self.out_features = channels

    def feature_map(self, x):
        return functional.relu(self.features(x))


def build(metadata: dict[str, str]) -> nn.Module:
    """The network that a file's metadata describes."""
    is_densenet = metadata["network"].startswith("densenet")
    network = (DenseNet if is_densenet else ResNet)(int(metadata["width"]), json.loads(metadata["stage_sizes"]))
    last = "classifier" if is_densenet else "fc"
    names = {name: getattr(nn, name) for name in ("Sequential", "Linear", "BatchNorm1d", "ReLU")}
    setattr(network, last, eval(metadata[last], names))  # this project wrote the file
    return network


def embed(network: nn.Module, metadata: dict[str, str], images: np.ndarray) -> np.ndarray:
    """Embeddings of images uint8 [N H W 3], computed in float64."""
    mean, std = (torch.tensor(json.loads(metadata[name]), dtype=torch.float64) for name in ("mean", "std"))
    x = ((torch.tensor(images).double() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        x = network.feature_map(x)
        if "gem_p" in metadata:
            p = float(metadata["gem_p"])
            x = x.clamp(min=1e-6).pow(p).mean(dim=(2, 3)).pow(1 / p)
        else:
            x = x.mean(dim=(2, 3))
        return (network.classifier if hasattr(network, "classifier") else network.fc)(x).numpy()


def main() -> None:
    """Writes the file beside this script."""
    golden: dict[str, np.ndarray] = {}
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        path = folder / "encoder.safetensors"
        if not path.exists():
            continue
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        network = build(metadata).double().eval()
        tensors = load_file(path)
        network.load_state_dict(tensors, strict=True)
        embeddings = embed(network, metadata, np.load(folder / "images.npy"))
        names = sorted(tensors)
        values = [tensors[name].double().numpy().ravel() for name in names]
        golden |= {
            f"{folder.name}.embeddings": embeddings,
            f"{folder.name}.names": np.array(names),
            f"{folder.name}.shapes": np.array([" ".join(map(str, tensors[name].shape)) for name in names]),
            f"{folder.name}.fingerprints": np.array([value @ np.cos(np.arange(len(value))) for value in values]),
            f"{folder.name}.metadata": np.array(json.dumps(metadata, sort_keys=True)),
        }
        print(f"{folder.name}: {len(names)} tensors, embeddings up to {np.abs(embeddings).max():.3g}")
    path = pathlib.Path(__file__).with_name("export.npz")
    np.savez_compressed(path, **golden)
    print(f"{path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
