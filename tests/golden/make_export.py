"""Writes export.npz: that encoders exported as safetensors load into plain PyTorch modules, and what these give.

Run by hand, first where the project is installed, then where PyTorch and safetensors are (tests read the file):

    .venv/bin/python -m tests.experiments.export_runs /tmp/exported
    python -m tests.golden.make_export /tmp/exported

The modules take torchvision's names and have its layers, at any width; every tensor must find its place (strict
loading), as in torchvision's own networks with the changes that the file's metadata tells.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from experiments.benchmarks import torch_model
from tests.golden.torch_densenet import DenseNet


class ResNet(nn.Module):
    """torchvision's, with stride 1 in layer4."""

    def __init__(self, width: int, stage_sizes: list[int]):
        super().__init__()
        self.encoder = torch_model.Encoder(width, stage_sizes)
        self.out_features = 32 * width

    def forward(self, x):
        return self.encoder(x)


def build(metadata: dict[str, str]) -> nn.Module:
    """The network that a file's metadata describes."""
    is_densenet = metadata["network"].startswith("densenet")
    network = (DenseNet if is_densenet else ResNet)(int(metadata["width"]), json.loads(metadata["stage_sizes"]))
    last = "classifier" if is_densenet else "fc"
    names = {name: getattr(nn, name) for name in ("Sequential", "Linear", "BatchNorm1d", "ReLU")}
    setattr(network, last, eval(metadata[last], names))  # this project wrote the file
    return network


def load(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Loads a file's tensors, each of which must find its place, by torchvision's names."""
    if isinstance(network, ResNet):
        names = torch_model.encoder_names(tensors)
        tensors = {name if name.startswith("fc.") else f"encoder.{name}": tensor for name, tensor in names.items()}
    network.load_state_dict(tensors, strict=True)


def embed(network: nn.Module, metadata: dict[str, str], images: np.ndarray) -> np.ndarray:
    """Embeddings of images uint8 [N H W 3], computed in float64."""
    mean, std = (torch.tensor(json.loads(metadata[name]), dtype=torch.float64) for name in ("mean", "std"))
    x = ((torch.tensor(images).double() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        x = network(x)[-1]
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
        load(network, tensors)
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
