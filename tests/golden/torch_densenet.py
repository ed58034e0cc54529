"""torchvision's DenseNet at any width in PyTorch, for the scripts that make golden files."""

import torch
from torch import nn
from torch.nn import functional


class DenseLayer(nn.Module):
    """torchvision's _DenseLayer: adds `growth` channels, through four times as many."""

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
    """torchvision's, without the pooling of transition3; gives the outputs of the stem and of all stages."""

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

    def forward(self, x):
        outputs = []
        for name, layer in self.features.named_children():
            x = layer(x)
            if name in ("pool0", "denseblock1", "denseblock2", "denseblock3"):
                outputs.append(x)
        return [*outputs, functional.relu(x)]
