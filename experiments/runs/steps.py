"""The optimizer and the jitted train steps of a plan: what a run trains with, whatever data it is fed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from experiments.runs.plan import RunPlan, Steps
from san_jax import optim, train_step

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


def make_steps(
    plan: RunPlan, graphdef: Any, optimizer: Optimizer, mirror_maps: Mapping[str, np.ndarray]
) -> dict[str, train_step.Step]:
    """Make the jitted train step of each kind of batch.

    Args:
        plan: What is trained.
        graphdef: The model's static part, from `train_state.create`.
        optimizer: The run's optimizer.
        mirror_maps: For each kind of batch whose textures are mirrored with the images, the UV mirror map.

    Raises:
        ValueError: Settings of the step that do not fit together, see `train_step.StepSettings`.
    """
    make = {"reid": train_step.make_reid_step, "pit": train_step.make_pit_step}
    steps = {}
    for kind in dict.fromkeys(plan.batch_kinds):
        if plan.target is None:
            targets = None
        elif plan.target.is_input:
            targets = train_step.input_targets
        else:
            targets = train_step.texture_targets(mirror_maps.get(kind))
        settings = train_step.StepSettings(
            loss=plan.loss, augment=plan.augment[kind], targets=targets, seed=plan.seed, ema_decay=plan.ema_decay
        )
        steps[kind] = make[kind](graphdef, optimizer, settings)
    return steps
