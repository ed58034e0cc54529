"""Writes losses.npz: the paper's losses and their gradients, computed by PyTorch in float64.

They are written row by row here, and those of `experiments.benchmarks.torch_model`, which work on whole batches, are
compared with them. Run from the repository's root: /tmp/torchvenv/bin/python -m tests.golden.make_losses
"""

import pathlib

import numpy as np
import torch
from torch.nn import functional

from experiments.benchmarks import torch_model
from tests.golden.weights import inputs

MARGIN = 0.3


def batch_hard(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mining row by row; the anchor is among its own positives, as in the loss that the reID field shares."""
    squared = (embeddings[:, None, :] - embeddings[None, :, :]).square().sum(dim=2)
    distances = squared.clamp(min=1e-12).sqrt()
    positive, negative = [], []
    for row, label in zip(distances, labels, strict=True):
        positive.append(row[labels == label].max())
        negative.append(row[labels != label].min())
    positive, negative = torch.stack(positive), torch.stack(negative)
    print(f"batch-hard: {(positive - negative + MARGIN > 0).sum()} of {len(labels)} hinges open")
    return torch.nn.MarginRankingLoss(margin=MARGIN)(negative, positive, torch.ones(len(labels), dtype=torch.float64))


def triplet_reid(maps: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, channels: str) -> torch.Tensor:
    """Equation 1 on [B C h w] maps, sample by sample."""
    losses = []
    for anchor in range(len(maps)):
        per_pair = []
        for other in (positive[anchor], negative[anchor]):
            squared = (maps[anchor] - maps[other]).square()
            over_channels = squared.sum(dim=0) if channels == "sum" else squared.mean(dim=0)
            per_pair.append(over_channels.mean())
        losses.append(functional.relu(per_pair[0] - per_pair[1] + MARGIN))
    print(f"triplet_reid {channels}: {sum(loss > 0 for loss in losses)} of {len(losses)} hinges open")
    return torch.stack(losses).mean()


def with_gradient(function, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss and its gradient at an array."""
    tensor = torch.tensor(array, dtype=torch.float64, requires_grad=True)
    loss = function(tensor)
    loss.backward()
    assert tensor.grad is not None
    return loss.detach().numpy().astype(np.float32), tensor.grad.numpy().astype(np.float32)


def check_equal(slow, fast, array: np.ndarray) -> None:
    """Raise unless two losses and their gradients agree, to rounding in float64."""
    (loss, gradient), (other, other_gradient) = (with_gradient(function, array) for function in (slow, fast))
    np.testing.assert_allclose(other, loss, rtol=1e-6)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-6, atol=1e-9)


def main() -> None:
    """Writes the file beside this script."""
    golden = {}
    logits = 3.0 * inputs("logits", (7, 11))
    labels = np.array([3, 0, 10, 3, 5, 7, 1], np.int32)
    golden |= {"logits": logits, "logits_labels": labels}
    for smoothing in (0.0, 0.1):
        loss, gradient = with_gradient(
            lambda x, s=smoothing: functional.cross_entropy(x, torch.tensor(labels).long(), label_smoothing=s), logits
        )
        golden |= {f"identification_{smoothing}": loss, f"identification_{smoothing}_gradient": gradient}

    # Identities of 3, 4, 2, 1 and 1 images in mixed order, spread so that some hinges are closed and some open.
    labels = np.array([4, 1, 1, 9, 4, 2, 1, 4, 7, 9, 1], np.int32)
    centres = inputs("centres", (10, 6))
    embeddings = (0.45 * inputs("embeddings", (11, 6)) + 0.8 * centres[labels]).astype(np.float32)
    loss, gradient = with_gradient(lambda x: batch_hard(x, torch.tensor(labels)), embeddings)
    check_equal(
        lambda x: batch_hard(x, torch.tensor(labels)),
        lambda x: torch_model.batch_hard(x, torch.tensor(labels)),
        embeddings,
    )
    golden |= {"embeddings": embeddings, "embeddings_labels": labels, "triplet": loss, "triplet_gradient": gradient}

    textures, targets = inputs("textures", (2, 5, 4, 3)), inputs("targets", (2, 5, 4, 3))
    loss, gradient = with_gradient(lambda x: functional.l1_loss(x, torch.tensor(targets).double()), textures)
    golden |= {"textures": textures, "targets": targets, "reconstruction": loss, "reconstruction_gradient": gradient}

    spread = np.linspace(0.1, 0.9, 6, dtype=np.float32)[:, None, None, None]
    maps = spread * inputs("maps", (6, 5, 4, 3))  # NHWC
    positive = np.array([2, 3, 0, 5, 1, 3], np.int32)
    negative = np.array([1, 2, 4, 0, 5, 2], np.int32)
    golden |= {"maps": maps, "positive": positive, "negative": negative}
    for channels in ("sum", "mean"):
        slow, fast = (
            lambda x, c=channels, function=function: function(
                x.permute(0, 3, 1, 2), torch.tensor(positive).long(), torch.tensor(negative).long(), c
            )
            for function in (triplet_reid, torch_model.triplet_reid)
        )
        check_equal(slow, fast, maps)
        loss, gradient = with_gradient(slow, maps)
        golden |= {f"triplet_reid_{channels}": loss, f"triplet_reid_{channels}_gradient": gradient}

    np.savez_compressed(pathlib.Path(__file__).with_name("losses.npz"), **golden)


if __name__ == "__main__":
    main()
