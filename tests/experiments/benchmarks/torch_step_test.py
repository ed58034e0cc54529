"""PyTorch's step of the benchmark, where PyTorch is installed: it trains the same plan, in every mode."""

import dataclasses

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs.plan import resolve

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the benchmark leaves its step out")

from experiments.benchmarks import torch_step  # noqa: E402

CONFIG = "san.py:smoke,model.width=4,image_size=(32, 16),model.texture_size=16,prepare="


def batches() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    image, texture = (rng.integers(0, 256, (8, *size, 3), np.uint8) for size in ((32, 16), (16, 16)))
    return {
        "reid": {"image": image, "texture": texture, "label": np.arange(8, dtype=np.int32) // 2},
        "pit": {"image": image, "texture": texture},
    }


@pytest.mark.parametrize(
    "mode", [torch_step.EAGER, dataclasses.replace(torch_step.COMPILED, compiled=False)], ids=lambda mode: mode.name
)
def test_the_loss_falls(mode):
    torch.manual_seed(0)
    trainee = torch_step.TorchTrainee(resolve(config_files.load(CONFIG)), batches(), 4, mode)
    before = trainee.loss(trainee._batches["reid"]).item()
    trainee.train(10)
    after = trainee.loss(trainee._batches["reid"]).item()
    assert np.isfinite(after)
    assert after < before
    assert trainee.model.encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_baseline_has_no_decoder():
    config = config_files.load("baseline.py:smoke,model.width=4,image_size=(32, 16),prepare=")
    trainee = torch_step.TorchTrainee(resolve(config), {"reid": batches()["reid"]}, 4, torch_step.EAGER)
    trainee.train(1)
    assert not any(name.startswith("decoder") for name, _ in trainee.model.named_parameters())


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ("model.pooling=gem", "pooling=gem"),
        ("model.encoder=densenet121", "encoder=densenet121"),
        ("target.kind=input", "targets that are no textures"),
        ("loss.triplet_reid_sampling=fixed,batch.images_per_identity=4", "triplet_reid_sampling=fixed"),
        ("optimizer.alternating=True", "alternating optimizers"),
    ],
)
def test_what_it_lacks_is_named(change, lacks):
    assert torch_step.unsupported(resolve(config_files.load(CONFIG))) == ""
    plan = resolve(config_files.load(f"{CONFIG},{change}"))
    assert torch_step.unsupported(plan) == f"the PyTorch step of the benchmark has no {lacks}"
