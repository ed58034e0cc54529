"""Writes step.npz: whole SAN training steps in PyTorch (float64), as the paper has them and as the released code has.

Networks and losses are those of `experiments.benchmarks.torch_model`; torch.optim steps them. Run from the repository's
root: /tmp/torchvenv/bin/python -m tests.golden.make_step
"""

import functools
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmarks import torch_model
from experiments.benchmarks.torch_model import San
from tests.golden import make_networks, step_run
from tests.golden.step_run import Run
from tests.golden.weights import draw, save

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])


def jax_names(model: San) -> dict[str, str]:
    """The dotted name in the JAX model of every parameter and running statistic."""
    modules, names = dict(model.named_modules()), {}
    for name in model.state_dict():
        if not name.endswith("num_batches_tracked"):
            prefix, rest = name.split(".", 1)
            names[name] = make_networks.jax_name(prefix, rest, modules[name.rsplit(".", 1)[0]])
    return names


def to_jax(array: np.ndarray) -> np.ndarray:
    """Kernels OIHW -> HWIO, weights of linear layers [out in] -> [in out]."""
    return array.transpose({4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, range(array.ndim)))


def from_jax(array: np.ndarray) -> np.ndarray:
    """The inverse of `to_jax`."""
    return array.transpose({4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, range(array.ndim)))


def make_model(run: Run) -> San:
    """In float64, every weight and statistic drawn by its JAX name."""
    model = San(
        step_run.NUM_CLASSES,
        make_networks.WIDTH,
        make_networks.STAGE_SIZES,
        texture_size=step_run.TEXTURE_SIZE,
        skips=run.released,
        feature_size=run.feature_size,
    )
    model = model.double().train()
    state = model.state_dict()
    for name, jax_name in jax_names(model).items():
        values = draw(jax_name, to_jax(state[name].numpy()).shape)
        state[name].copy_(torch.tensor(from_jax(values)))
    return model


def tensors(batch: dict[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images and textures in [-1, 1], NCHW float64."""
    images = (batch["image"] / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    textures = batch["texture"] / 127.5 - 1.0
    return torch.tensor(images).permute(0, 3, 1, 2), torch.tensor(textures).permute(0, 3, 1, 2)


def released_triplet_reid(maps: list[torch.Tensor]) -> torch.Tensor:
    """The released code's L_TR: of each four images but the last one triplet a block, added up."""

    def distance(d: torch.Tensor, first: int, second: int) -> torch.Tensor:
        return (d[first] - d[second]).square().mean()

    total = torch.zeros((), dtype=torch.float64)
    for i in range(0, len(maps[0]) - 4, 4):
        pairs = [((i, i + 1), (i, i + 4)), ((i + 1, i + 2), (i + 1, i + 5)), ((i + 2, i + 3), (i + 2, i + 6))]
        pairs.append(((i, i + 3), (i + 3, i + 4)))
        for d, (near, far) in zip(maps, pairs, strict=True):
            total = total + F.relu(distance(d, *near) - distance(d, *far) + step_run.MARGIN)
    return total


def reid_parts(model: San, run: Run, stages: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """L_ID and L_Triplet, unweighted."""
    embedding, labels = model.embed(stages), torch.tensor(run.labels)
    logits = model.classifier(embedding)
    return {
        "identification": F.cross_entropy(logits, labels, label_smoothing=run.label_smoothing),
        "triplet": torch_model.batch_hard(embedding, labels),
    }


def decoder_parts(
    model: San, run: Run, step: int, stages: list[torch.Tensor], textures: torch.Tensor
) -> dict[str, torch.Tensor]:
    """L_Rec, and of a reID batch L_TR, unweighted."""
    texture, maps = model.decoder(stages)
    parts = {"reconstruction": F.l1_loss(texture, textures)}
    if run.turns[step] == "reid":
        if run.triplets is None:
            parts["triplet_reid"] = released_triplet_reid(maps)
        else:
            drawn = [torch.tensor(indices) for indices in run.triplets[step]]
            parts["triplet_reid"] = sum(torch_model.triplet_reid(d, *drawn, run.channels) for d in maps[:3])
    return parts


def backward(model: San, run: Run, parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sets the gradient of the weighted sum of the losses; gives that sum.

    Every parameter has a gradient in every step, 0 where a batch gives none: the classifier's moments go on in PIT steps.
    """
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    loss = sum(run.weights[name] * part for name, part in parts.items())
    loss.backward()
    return loss.detach()


def squared_norm(parameters: list[nn.Parameter]) -> torch.Tensor:
    """Of all gradients together."""
    return torch.stack([parameter.grad.square().sum() for parameter in parameters]).sum()


class BiasedVariances:
    """Running variances as Flax has them, of the biased variance; PyTorch adds n / (n - 1) times that of n numbers."""

    def __init__(self, model: San):
        self.norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)}
        self.values = {name: norm.running_var.clone() for name, norm in self.norms.items()}
        self.before = {name: norm.running_var.clone() for name, norm in self.norms.items()}
        self.counts: dict[str, int] = {}
        for name, norm in self.norms.items():
            norm.register_forward_pre_hook(functools.partial(self._count, name))

    def _count(self, name: str, norm: nn.Module, arguments: tuple[torch.Tensor]) -> None:
        del norm
        self.counts[name] = arguments[0].numel() // arguments[0].shape[1]

    def step(self) -> None:
        """Follows what a step did to the running variances."""
        for name, norm in self.norms.items():
            if name in self.counts:
                n = self.counts[name]
                added = norm.running_var - (1 - norm.momentum) * self.before[name]
                self.values[name] = (1 - norm.momentum) * self.values[name] + added * (n - 1) / n
            self.before[name] = norm.running_var.clone()
        self.counts.clear()


class Optimizer:
    """The warm-up with Adam and AMSGrad after it, as two optimizers in turn."""

    def __init__(self, parameters: list[nn.Parameter]):
        shared = {"eps": step_run.EPS, "weight_decay": step_run.WEIGHT_DECAY}
        self.warmup = torch.optim.Adam(parameters, lr=step_run.WARMUP_RATE, **shared)
        self.main = torch.optim.Adam(parameters, lr=step_run.LEARNING_RATE, amsgrad=True, **shared)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.main, step_size=step_run.STEPS_PER_EPOCH, gamma=0.5)
        self.updates = 0

    def step(self) -> None:
        if self.updates < step_run.STEPS_PER_EPOCH:
            self.warmup.step()
        else:
            self.main.step()
            self.schedule.step()
        self.updates += 1


def make_run(run: Run) -> dict[str, np.ndarray]:
    """All numbers of a run."""
    model = make_model(run)
    names, variances = jax_names(model), BiasedVariances(model)
    everything = list(model.parameters())
    encoder, decoder = list(model.encoder.parameters()), list(model.decoder.parameters())
    not_decoder = [*encoder, *model.head.parameters(), *model.classifier.parameters()]
    optimizer = Optimizer(not_decoder if run.released else everything)
    reconstruction = torch.optim.Adam(
        [*encoder, *decoder],
        lr=step_run.RECONSTRUCTION_RATE,
        betas=(step_run.RECONSTRUCTION_B1, 0.999),
        eps=step_run.EPS,
    )
    numbers: dict[str, list] = {}
    for step, kind in enumerate(run.turns):
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        images, textures = tensors(step_run.batch(run, step))
        stages = model.encoder(images)
        parts = reid_parts(model, run, stages) if kind == "reid" else {}
        if not run.released:
            parts |= decoder_parts(model, run, step, stages, textures)
            loss = backward(model, run, parts)
            squares = squared_norm(everything)
            optimizer.step()
        else:
            loss = backward(model, run, parts)
            squares = squared_norm(not_decoder)
            optimizer.step()
            # The second optimizer has a forward pass of its own, which does not count in the running statistics.
            statistics = {name: tensor.clone() for name, tensor in model.encoder.named_buffers()}
            reconstruction_parts = decoder_parts(model, run, step, model.encoder(images), textures)
            loss += backward(model, run, reconstruction_parts)
            squares += squared_norm([*encoder, *decoder])
            reconstruction.step()
            parts |= reconstruction_parts
            for name, tensor in model.encoder.named_buffers():
                tensor.copy_(statistics[name])
        variances.step()
        metrics = {"loss": loss, **parts, "gradient_norm": squares.sqrt()}
        print(step, kind, {name: round(number.item(), 4) for name, number in metrics.items()})
        for name, number in metrics.items():
            numbers.setdefault(f"{kind}.{name}", []).append(number.item())
        for name, parameter in model.named_parameters():
            change = to_jax((parameter.detach() - before[name]).numpy())
            summary = [np.linalg.norm(change), *step_run.projections(names[name], change)]
            numbers.setdefault(f"change.{names[name]}", []).append(summary)
    golden = {name: np.asarray(values) for name, values in numbers.items()}
    for name, norm in variances.norms.items():
        golden[f"statistic.{names[f'{name}.running_mean']}"] = norm.running_mean.numpy()
        golden[f"statistic.{names[f'{name}.running_var']}"] = variances.values[name].numpy()
    return golden


def main() -> None:
    """Writes the file beside this script."""
    golden = {}
    for name, run in step_run.RUNS.items():
        print(f"as {name}:")
        golden |= {f"{name}.{key}": values for key, values in make_run(run).items()}
    save(pathlib.Path(__file__).with_name("step.npz"), golden)


if __name__ == "__main__":
    main()
