# pyright: basic, reportMissingImports=false
"""PyTorch's training step of a plan, for the benchmark: the model of `torch_model`, its losses, Adam or AMSGrad.

The batch is the one that our step gets, resident on the device as uint8. Images are normalised and not augmented, and
no average of the weights is kept, so that this step does a little less than ours. Needs PyTorch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from experiments.benchmarks import torch_model
from experiments.runs.plan import RunPlan
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD


@dataclasses.dataclass(frozen=True)
class Mode:
    """How PyTorch runs; always channels-last.

    Attributes:
        name: Words for the tables.
        dtype: The compute dtype of ours that it is compared with.
        compiled: Compile networks and losses with `torch.compile`.
    """

    name: str
    dtype: str
    compiled: bool


EAGER = Mode("eager float32", "float32", False)
COMPILED = Mode("compiled, AMP bfloat16", "bfloat16", True)


def modes() -> tuple[Mode, ...]:
    """Return how PyTorch is run here: eager; on a GPU compiled with automatic mixed precision as well."""
    return (EAGER, COMPILED) if torch.cuda.is_available() else (EAGER,)


def unsupported(plan: RunPlan) -> str:
    """Say which part of a plan this step lacks; "" if it lacks none."""
    model, loss, optimizer = plan.model, plan.loss, plan.optimizer
    lacks = {
        f"encoder={model.encoder}": model.encoder != "resnet50",
        f"pooling={model.pooling}": model.pooling != "average",
        "bnneck": model.bnneck,
        "targets that are no textures": plan.target is not None and not plan.target.is_texture,
        "input.kind=texture": plan.reid is not None and plan.reid.feature != "image",
        "reID batches": plan.reid is None,
        f"triplet_reid_sampling={loss.triplet_reid_sampling}": loss.triplet_reid_sampling != "random",
        "triplet_reid_normalize": loss.triplet_reid_normalize,
        "triplet_reid_stop_gradient": loss.triplet_reid_stop_gradient,
        "triplet_reid_cross_camera": loss.triplet_reid_cross_camera,
        "triplet_reid_block_weights": bool(loss.triplet_reid_block_weights),
        f"triplet_reid_maps={loss.triplet_reid_maps}": loss.triplet_reid_maps != "output",
        "alternating optimizers": optimizer.alternating,
        "gradient_clip_norm": optimizer.gradient_clip_norm > 0,
    }
    found = [name for name, is_lacking in lacks.items() if is_lacking]
    return f"the PyTorch step of the benchmark has no {' and no '.join(found)}" if found else ""


class TorchTrainee:
    """A model in PyTorch with its optimizer and a fixed batch of each kind.

    Args:
        plan: What is trained; `unsupported` has nothing against it.
        batches: A batch of each kind, as the host read it.
        num_classes: Identities of the classifier.
        mode: How PyTorch runs.
    """

    def __init__(self, plan: RunPlan, batches: Mapping[str, Mapping[str, Any]], num_classes: int, mode: Mode):
        self._plan, self._mode = plan, mode
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        settings = plan.model
        model = torch_model.San(
            num_classes,
            settings.width,
            settings.stage_sizes or torch_model.RESNET50,
            texture_size=settings.texture_size if plan.target else 0,
            skips=settings.skips,
            feature_size=settings.feature_size,
        )
        self.model = model.to(self._device, memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=plan.optimizer.learning_rate,
            betas=(plan.optimizer.b1, plan.optimizer.b2),
            eps=plan.optimizer.eps,
            weight_decay=plan.optimizer.weight_decay,
            amsgrad=plan.optimizer.name == "amsgrad",
            fused=self._device.type == "cuda",
        )
        self._batches = {kind: self._resident(batch) for kind, batch in batches.items()}
        self._loss = torch.compile(self.loss) if mode.compiled else self.loss
        mean, std = (torch.tensor(values, device=self._device) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self._mean, self._std = mean[:, None, None], std[:, None, None]

    def _resident(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The batch on the device: pictures uint8 [N 3 H W] in channels-last order, labels int64."""
        tensors = {name: torch.tensor(array, device=self._device) for name, array in batch.items()}
        resident = {name: tensors[name].permute(0, 3, 1, 2) for name in ("image", "texture") if name in tensors}
        return resident | ({"label": tensors["label"].long()} if "label" in tensors else {})

    def loss(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum of the losses of a batch; one with labels is a reID batch."""
        weights, labels = self._plan.loss, batch.get("label")
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mode.dtype == "bfloat16"):
            images = (batch["image"].float() / 255 - self._mean) / self._std
            stages = self.model.encoder(images)
            texture, maps = self.model.decoder(stages) if self._plan.target else (None, [])
        total = torch.zeros((), device=self._device)
        if labels is not None:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mode.dtype == "bfloat16"):
                embedding = self.model.embed(stages)
                logits = self.model.classifier(embedding)
            smoothing = weights.label_smoothing
            identification = functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
            triplet = torch_model.batch_hard(embedding.float(), labels, weights.triplet_margin)
            total = total + weights.identification * identification + weights.triplet * triplet
        if texture is not None:
            target = batch["texture"].float() / 127.5 - 1
            total = total + weights.reconstruction * functional.l1_loss(texture.float(), target)
        if labels is not None and texture is not None:
            drawn = torch_model.draw_triplets(labels)
            for block in weights.triplet_reid_blocks:
                how = (weights.triplet_reid_channels, weights.triplet_reid_margin)
                part = torch_model.triplet_reid(maps[block - 1].float(), *drawn, *how)
                total = total + weights.triplet_reid * part
        return total

    def train(self, rounds: int) -> None:
        """Run steps of each kind in turn, and wait for the last."""
        for _ in range(rounds):
            for kind in self._plan.batch_kinds:
                self._optimizer.zero_grad(set_to_none=True)
                self._loss(self._batches[kind]).backward()
                self._optimizer.step()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
