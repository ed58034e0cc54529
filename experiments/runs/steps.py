"""The optimizer and the jitted train steps of a plan: what a run trains with, whatever data it is fed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optax
from jax.sharding import Mesh

from experiments.runs.errors import RunError
from experiments.runs.plan import RunPlan, Steps
from san_jax import optim, sharding, train_step

Optimizer = optax.GradientTransformation | optim.AlternatingOptimizer


def make_optimizer(plan: RunPlan, steps: Steps) -> tuple[optax.Schedule, Optimizer]:
    """Return the learning rate as a function of the steps done, and the optimizer.

    Raises:
        ValueError: The optimizer's settings do not fit together, see `optim.make_optimizer`.
    """
    return optim.make_optimizer(
        plan.optimizer,
        optim.ScheduleSteps(steps_per_epoch=steps.epoch, num_steps=steps.total),
        reid_turns=[kind == "reid" for kind in plan.batch_kinds],
    )


def triplet_mesh(plan: RunPlan, mesh: Mesh | None) -> Mesh | None:
    """Return the devices within whose images L_TR takes its triplets, `StepSettings.triplet_mesh`; None: all images.

    Args:
        plan: What is trained; `plan.loss.triplet_reid_scope` says what is wanted.
        mesh: The devices that batches are split over; None for one device.

    Raises:
        RunError: "local" is asked for, and a device would not hold two whole identities.
    """
    scope = plan.loss.triplet_reid_scope
    if not plan.has_triplet_reid or plan.reid is None or mesh is None or mesh.size == 1 or scope == "global":
        return None
    count = plan.reid.num_identities
    if sharding.holds_whole_identities(count, mesh):
        return mesh
    if scope == "auto":
        return None
    below, above = (max(2, -(-count // mesh.size) - less) * mesh.size for less in (1, 0))
    raise RunError(
        f"loss.triplet_reid_scope='local' needs two whole identities or more on each of {mesh.size} devices, found "
        f"batch.num_identities={count}. Set batch.num_identities to {below if below == above else f'{below} or {above}'}"
        ", or loss.triplet_reid_scope to 'auto' or 'global'."
    )


def describe_triplets(plan: RunPlan, mesh: Mesh) -> str:
    """Say where L_TR takes its triplets from on several devices; "" where there is nothing to say."""
    if not plan.has_triplet_reid or plan.reid is None or mesh.size == 1:
        return ""
    count = plan.reid.num_identities
    if triplet_mesh(plan, mesh) is not None:
        return f"L_TR takes its triplets within a device, from {count // mesh.size} identities"
    words = f"L_TR takes its triplets from all {count} identities and sends decoder maps between devices"
    if plan.loss.triplet_reid_scope == "auto":
        below = max(2, count // mesh.size) * mesh.size
        words += (
            f", as {mesh.size} devices do not hold two whole identities each (batch.num_identities={below} would do)"
        )
    return words


def make_steps(
    plan: RunPlan,
    steps: Steps,
    graphdef: Any,
    optimizer: Optimizer,
    mirror_maps: Mapping[str, np.ndarray],
    mesh: Mesh | None = None,
) -> dict[str, train_step.Step]:
    """Make the jitted train step of each kind of batch.

    Args:
        plan: What is trained.
        steps: The run's lengths in steps.
        graphdef: The model's static part, from `train_state.create`.
        optimizer: The run's optimizer.
        mirror_maps: For each kind of batch whose textures are mirrored with the images, the UV mirror map.
        mesh: The devices that batches are split over; None for one device.

    Raises:
        ValueError: Settings of the step that do not fit together, see `train_step.StepSettings`.
    """
    make = {"reid": train_step.make_reid_step, "pit": train_step.make_pit_step}
    made = {}
    for kind in dict.fromkeys(plan.batch_kinds):
        if plan.target is None:
            targets = None
        elif plan.target.is_input:
            targets = train_step.input_targets
        else:
            targets = train_step.texture_targets(mirror_maps.get(kind))
        settings = train_step.StepSettings(
            loss=plan.loss,
            augment=plan.augment[kind],
            targets=targets,
            seed=plan.seed,
            ema_decay=plan.ema_decay,
            triplet_mesh=triplet_mesh(plan, mesh),
            triplet_reid_warmup_steps=round(plan.loss.triplet_reid_warmup_epochs * steps.epoch),
        )
        made[kind] = make[kind](graphdef, optimizer, settings)
    return made
