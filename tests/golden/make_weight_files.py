"""Writes weight_files/: narrow networks as PyTorch saves them, what they give, and the keys of the real networks.

The networks are torchvision's own classes made narrow, and the authors' released network written from a description of
it. Run from the repository's root, with torchvision and safetensors beside PyTorch:

    /tmp/torchvenv/bin/pip install torchvision safetensors
    /tmp/torchvenv/bin/python -m tests.golden.make_weight_files
"""

import collections
import json
import pathlib
import re

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.resnet import Bottleneck

from tests.golden.weights import inputs

FOLDER = pathlib.Path(__file__).parent / "weight_files"
WIDTH, STAGE_SIZES = 2, (1, 2, 1, 1)
DENSE_WIDTH, DENSE_SIZES = 4, (2, 1, 2, 1)
CLASSES, FEATURE_SIZE = 5, 6
DECODER_FEATURES = (16, 8, 8, 8, 8)  # 8, 4, 1, 1/2, 1/4 times the width, at least 8
IMAGES = (2, 48, 32, 3)


class NarrowResNet(models.ResNet):
    """torchvision's ResNet of another base width than 64."""

    def __init__(self):
        super().__init__(Bottleneck, list(STAGE_SIZES), num_classes=CLASSES)
        self.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.fc = nn.Linear(32 * WIDTH, CLASSES)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = WIDTH
        return super()._make_layer(block, planes * WIDTH // 64, blocks, stride, dilate)

    def stages(self, x):
        """Outputs of the four stages, the last at stride 1."""
        self.layer4[0].conv2.stride = self.layer4[0].downsample[0].stride = (1, 1)
        x, outputs = self.maxpool(self.relu(self.bn1(self.conv1(x)))), []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            outputs.append(x)
        return outputs


class ReleasedEncoder(NarrowResNet):
    """With a fully connected layer after pooling, and the classifier on it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(32 * WIDTH, FEATURE_SIZE), nn.BatchNorm1d(FEATURE_SIZE), nn.ReLU())
        self.classifier = nn.Linear(FEATURE_SIZE, CLASSES)


class ReleasedResidual(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.res = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.BatchNorm2d(features),
        )

    def forward(self, x):
        return self.res(x) + x


class ReleasedBlock(nn.Module):
    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.res = ReleasedResidual(in_features)
        self.conv = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.ReflectionPad2d(1),
            nn.Conv2d(in_features, out_features, 3),
        )

    def forward(self, x):
        return self.conv(functional.relu(self.res(x)))


class ReleasedDecoder(nn.Module):
    """U-Net over the encoder's stages; its 1x1 convolutions have biases before batch normalisations."""

    def __init__(self):
        super().__init__()

        def embed(in_features: int, out_features: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(in_features, out_features, 1), nn.BatchNorm2d(out_features), nn.ReLU())

        first, second, third = DECODER_FEATURES[:3]
        self.embed_layer3 = embed(16 * WIDTH, first)
        self.embed_layer2 = embed(8 * WIDTH, second)
        self.embed_layer1 = embed(4 * WIDTH, third)
        self.reduce_dim = embed(32 * WIDTH, first)
        for i in range(4):
            self.add_module(f"up{i + 1}", ReleasedBlock(*DECODER_FEATURES[i : i + 2]))
        self.final_layer = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(DECODER_FEATURES[4], 3, 7))

    def forward(self, stages):
        x = self.up1(self.embed_layer3(stages[2]) + self.reduce_dim(stages[3]))
        x = self.up2(self.embed_layer2(stages[1]) + x)
        x = self.up3(self.embed_layer1(stages[0]) + x)
        x = self.final_layer(self.up4(x))
        size = (x.shape[2], 2 * x.shape[3])
        return functional.interpolate(x, size, mode="bilinear", align_corners=True)


def draw(module: nn.Module, seed: int) -> None:
    """Random weights with batch normalisations that do something, float32."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("num_batches_tracked"):
            value.fill_(7)
        else:
            value.normal_(0, 0.2, generator=generator)


def save(content, name: str, *, legacy: bool = False) -> None:
    torch.save(content, FOLDER / name, _use_new_zipfile_serialization=not legacy)


def nhwc(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).numpy().astype(np.float32)


@torch.no_grad()
def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    images = torch.from_numpy(inputs("weight_files", IMAGES)).permute(0, 3, 1, 2).double()
    expected = {}

    resnet = NarrowResNet().eval()
    draw(resnet, 1)
    save(resnet.state_dict(), "resnet.pth")
    save(resnet.state_dict(), "resnet_legacy.pth", legacy=True)
    save_file(resnet.state_dict(), FOLDER / "resnet.safetensors")
    expected["resnet"] = nhwc(resnet.double().stages(images)[3])

    densenet = models.DenseNet(DENSE_WIDTH // 2, DENSE_SIZES, DENSE_WIDTH, num_classes=CLASSES).eval()
    draw(densenet, 2)
    densenet.bfloat16()  # rounded: every file has the same numbers
    save_file(densenet.state_dict(), FOLDER / "densenet_bfloat16.safetensors")
    densenet.float()
    old = {re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key): value for key, value in densenet.state_dict().items()}
    save({key: value for key, value in old.items() if "tracked" not in key}, "densenet_legacy.pth", legacy=True)
    densenet.double().features.transition3.pool = nn.Identity()
    expected["densenet"] = nhwc(functional.relu(densenet.features(images)))

    encoder, decoder = ReleasedEncoder().eval(), ReleasedDecoder().eval()
    draw(encoder, 3)
    draw(decoder, 4)
    checkpoint = {"state_dict": encoder.state_dict(), "decoder_state_dict": decoder.state_dict()}
    checkpoint |= {"rank1": np.float64(0.625), "epoch": 299}
    save(checkpoint, "checkpoint_ep300.pth.tar", legacy=True)
    stages = encoder.double().stages(images)
    embedding = encoder.fc(stages[3].mean((2, 3)))
    expected["released_embedding"] = embedding.numpy().astype(np.float32)
    expected["released_logits"] = encoder.classifier(embedding).numpy().astype(np.float32)
    expected["released_texture"] = nhwc(decoder.double()(stages))
    np.savez_compressed(FOLDER / "expected.npz", **expected)

    # What else tensors may be; the test says what it expects.
    base = torch.arange(24.0)
    odd = collections.OrderedDict(
        whole=base,
        transposed=base.view(4, 6).t(),
        part=base[5:9],
        column=base.view(4, 6)[1:, 2],
        expanded=torch.tensor([2.5]).expand(3, 4),
        scalar=torch.tensor(1.5),
        empty=torch.zeros(0, 3),
        parameter=nn.Parameter(torch.tensor([1.0, -2.0])),
        list=[torch.tensor([[1], [2]], dtype=torch.int64), ("text", None, True, -7, 2**40, 0.5)],
        shape=torch.Size([2, 3]),
        float64=torch.tensor([1 / 3], dtype=torch.float64),
        float16=torch.tensor([1 / 3], dtype=torch.float16),
        bfloat16=torch.tensor([1 / 3, -1.5], dtype=torch.bfloat16)[1:],
        int32=torch.tensor([-3], dtype=torch.int32),
        int16=torch.tensor([-3], dtype=torch.int16),
        int8=torch.tensor([-3], dtype=torch.int8),
        uint8=torch.tensor([3], dtype=torch.uint8),
        bool=torch.tensor([True, False]),
        numpy=[np.float64(0.1), np.float32(0.5), np.int64(-(2**40)), np.bool_(True)],
    )
    save(odd, "odd.pth")
    save(odd, "odd_legacy.pth", legacy=True)

    real = {name: getattr(models, name)() for name in ("resnet50", "resnet101", "densenet121")}
    shapes = {name: {key: list(value.shape) for key, value in real[name].state_dict().items()} for name in real}
    (FOLDER / "torchvision.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
