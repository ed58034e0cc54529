# pyright: basic, reportMissingImports=false
"""SAN in PyTorch: the networks and losses of this project's, for the golden files of the tests and for `torch_step`.

The one PyTorch model of this repository. `tests/golden/make_networks.py` and `make_step.py` run it in float64 and the
tests hold the JAX model to their numbers: networks, losses, gradients and whole training steps agree. Modules are named
as in `san_jax`, so that weights find their place by name. Needs PyTorch, which the project does not install.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

RESNET50 = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    """torchvision's block: the stride is on the 3x3 convolution."""

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
            block = Bottleneck(inplanes if i == 0 else 4 * planes, planes, stride if i == 0 else 1)
            self.add_module(f"block{i + 1}", block)

    def forward(self, x):
        for block in self.children():
            x = block(x)
        return x


class Encoder(nn.Module):
    """ResNet with last stride 1; gives the outputs of stem and stages."""

    def __init__(self, width: int, stage_sizes: Sequence[int] = RESNET50):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes = width
        for i, (blocks, stride) in enumerate(zip(stage_sizes, (1, 2, 2, 1), strict=True)):
            self.add_module(f"stage{i + 1}", Stage(inplanes, width * 2**i, blocks, stride))
            inplanes = 4 * width * 2**i

    def forward(self, x):
        outputs = [self.maxpool(functional.relu(self.bn1(self.conv1(x))))]
        for i in range(4):
            outputs.append(getattr(self, f"stage{i + 1}")(outputs[-1]))
        return outputs


def encoder_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of torchvision's ResNet as `Encoder` names them; other names stay as they are."""
    renamed = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^layer(\d+)\.(\d+)\.", lambda found: f"stage{found[1]}.block{int(found[2]) + 1}.", name)
        name = name.replace("downsample.0.", "downsample_conv.").replace("downsample.1.", "downsample_bn.")
        renamed[name] = tensor
    return renamed


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


def decoder_features(width: int) -> tuple[int, ...]:
    """Channels between the decoder's blocks: 8, 4, 1, 1/2 and 1/4 times the width, at least 8."""
    return tuple(max(8, features) for features in (8 * width, 4 * width, width, width // 2, width // 4))


class Decoder(nn.Module):
    """The paper's decoder; gives the texture and the outputs of the four blocks.

    Args:
        width: Base number of channels of the encoder and of this.
        texture_size: Height and width of the texture.
        skips: The released code's U-Net skips: stages 3, 2 and 1 are added to what goes into blocks 1, 2 and 3.
    """

    def __init__(self, width: int, texture_size: int, *, skips: bool = False):
        super().__init__()
        features = decoder_features(width)
        self.texture_size, self.skips = texture_size, skips
        self.reduce_conv = nn.Conv2d(32 * width, features[0], 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(features[0])
        for i in range(4):
            self.add_module(f"block{i + 1}", UpsamplingBlock(features[i], features[i + 1]))
        self.pad = nn.ReflectionPad2d(3)
        self.out_conv = nn.Conv2d(features[4], 3, 7)
        for stage in (1, 2, 3) if skips else ():
            planes = features[3 - stage]
            self.add_module(f"skip{stage}_conv", nn.Conv2d(4 * width * 2 ** (stage - 1), planes, 1, bias=False))
            self.add_module(f"skip{stage}_bn", nn.BatchNorm2d(planes))

    def forward(self, stages):
        x, maps = functional.relu(self.reduce_bn(self.reduce_conv(stages[4]))), []
        for i in range(4):
            if self.skips and i < 3:
                skip = getattr(self, f"skip{3 - i}_bn")(getattr(self, f"skip{3 - i}_conv")(stages[3 - i]))
                x = x + functional.relu(skip)
            x = getattr(self, f"block{i + 1}")(x)
            maps.append(x)
        size = (self.texture_size, self.texture_size)
        return functional.interpolate(self.out_conv(self.pad(x)), size, mode="bilinear", align_corners=True), maps


class Head(nn.Module):
    """The released code's fully connected layer on the pooled feature."""

    def __init__(self, inplanes: int, planes: int):
        super().__init__()
        self.linear = nn.Linear(inplanes, planes)
        self.bn = nn.BatchNorm1d(planes)

    def forward(self, x):
        return functional.relu(self.bn(self.linear(x)))


class San(nn.Module):
    """Encoder, head, classifier, and a decoder where there is one.

    Args:
        num_classes: Identities of the classifier.
        width: Base number of channels.
        stage_sizes: Blocks in each stage of the encoder.
        texture_size: Size of the decoder's texture; 0 for no decoder, as in the baseline.
        skips: U-Net skips from the encoder into the decoder.
        feature_size: Length of the embedding where a fully connected layer makes it; 0 for no such layer.
    """

    def __init__(
        self,
        num_classes: int,
        width: int,
        stage_sizes: Sequence[int] = RESNET50,
        *,
        texture_size: int = 0,
        skips: bool = False,
        feature_size: int = 0,
    ):
        super().__init__()
        self.encoder = Encoder(width, stage_sizes)
        if texture_size:
            self.decoder = Decoder(width, texture_size, skips=skips)
        self.head = Head(32 * width, feature_size) if feature_size else nn.Identity()
        self.classifier = nn.Linear(feature_size or 32 * width, num_classes)

    def embed(self, stages):
        """The embedding of images, given the outputs of stem and stages."""
        return self.head(functional.adaptive_avg_pool2d(stages[-1], 1).flatten(1))


def batch_hard(embeddings: torch.Tensor, labels: torch.Tensor, margin: float = 0.3) -> torch.Tensor:
    """L_Triplet with the hardest positive and negative of each anchor; the anchor is among its own positives."""
    squared = (embeddings[:, None, :] - embeddings[None, :, :]).square().sum(dim=2)
    distances = squared.clamp(min=1e-12).sqrt()
    same = labels[:, None] == labels[None, :]
    positive = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    return functional.relu(positive - negative + margin).mean()


def triplet_reid(
    maps: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, channels: str, margin: float = 0.3
) -> torch.Tensor:
    """L_TR (equation 1) of one decoder block, given its maps [B C h w] and the positive and negative of each anchor."""

    def distance(other: torch.Tensor) -> torch.Tensor:
        squared = (maps - maps[other]).square()
        return (squared.sum(dim=1) if channels == "sum" else squared.mean(dim=1)).mean(dim=(1, 2))

    return functional.relu(distance(positive) - distance(negative) + margin).mean()


def draw_triplets(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw for each anchor another image of its identity and one of another, uniformly, for `triplet_reid`."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    scores = torch.rand(2, len(labels), len(labels), device=labels.device)
    return scores[0].masked_fill(~same | itself, -1).argmax(dim=1), scores[1].masked_fill(same, -1).argmax(dim=1)
