"""Learning-rate schedules and the optimizer of the released code's recipe (the paper gives none).

AMSGrad with L2-coupled weight decay after a warm-up with plain Adam, number for number what `torch.optim.Adam` does. A
step here is one optimizer update; schedules map the number of updates already done to a learning rate.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32

from san_jax.settings import OptimizerSettings


@dataclasses.dataclass(frozen=True)
class ScheduleSteps:
    """How many train steps the epochs of a schedule have.

    Attributes:
        steps_per_epoch: Train steps in an epoch, reID and PIT steps alike.
        num_steps: Train steps in the run.

    Raises:
        ValueError: One of them is below 1.
    """

    steps_per_epoch: int
    num_steps: int

    def __post_init__(self) -> None:
        for name in ("steps_per_epoch", "num_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}.")


def make_optimizer(
    settings: OptimizerSettings, durations: ScheduleSteps, *, reid_turns: Sequence[bool]
) -> tuple[optax.Schedule, "optax.GradientTransformation | AlternatingOptimizer"]:
    """Return the learning rate as a function of the train steps done, and the optimizer.

    Args:
        settings: Optimizer and schedule.
        durations: Length of an epoch and of the run.
        reid_turns: Whether each step of a round is a reID step, such as (True, False) for reID and PIT steps in turn.
            Only alternating optimizers depend on it: one of the two makes updates in reID steps alone.

    Returns:
        The schedule and the optimizer; of alternating optimizers the schedule is that of the reID losses' optimizer.

    Raises:
        ValueError: Alternating optimizers without a reID step, a warm-up as long as the whole run ("cosine"), or b1 or
            b2 out of range.
    """
    schedule = _make_schedule(settings, durations)
    warmup_steps = _warmup_steps(settings, durations)
    if not settings.alternating:
        return schedule, _make_transformation(settings, schedule, warmup_steps)
    if not any(reid_turns):
        raise ValueError(
            "alternating=True needs reID steps: one of the two optimizers minimises the reID losses alone."
        )
    reid = _make_transformation(
        settings, schedule_of_turns(schedule, reid_turns), count_turns(warmup_steps, reid_turns)
    )
    reconstruction = adam(
        settings.reconstruction_learning_rate,
        weight_decay=0.0,
        b1=settings.reconstruction_b1,
        b2=settings.b2,
        eps=settings.eps,
    )
    return schedule, AlternatingOptimizer(reid, _clipped(reconstruction, settings.gradient_clip_norm))


def _warmup_steps(settings: OptimizerSettings, durations: ScheduleSteps) -> int:
    return round(settings.warmup_epochs * durations.steps_per_epoch)


def _make_schedule(settings: OptimizerSettings, durations: ScheduleSteps) -> optax.Schedule:
    """Return the learning rate as a function of the train steps done."""
    if settings.schedule == "cosine":
        return cosine_schedule(
            settings.learning_rate, durations.num_steps, warmup_steps=_warmup_steps(settings, durations)
        )
    num_epochs = -(-durations.num_steps // durations.steps_per_epoch)
    warmup_epochs = int(settings.warmup_epochs)  # a whole number, as OptimizerSettings checks
    return released_schedule(
        durations.steps_per_epoch,
        base_learning_rate=settings.learning_rate,
        warmup_epochs=warmup_epochs,
        warmup_learning_rate=settings.learning_rate * settings.warmup_start,
        warmup_factor=settings.warmup_factor,
        halve_every=int(settings.halve_every_epochs),
        num_epochs=max(num_epochs - warmup_epochs, 1),
    )


def _make_transformation(
    settings: OptimizerSettings, schedule: optax.Schedule, warmup_steps: int
) -> optax.GradientTransformation:
    """Return the optimizer that `settings.name` names; schedule and warm-up count its own updates."""
    shared: dict[str, Any] = {"weight_decay": settings.weight_decay, "b1": settings.b1, "b2": settings.b2}
    if settings.name == "adam":
        optimizer = adam(schedule, eps=settings.eps, **shared)
    else:
        optimizer = amsgrad(schedule, warmup_steps=warmup_steps, eps=settings.eps, **shared)
    return _clipped(optimizer, settings.gradient_clip_norm)


def _clipped(optimizer: optax.GradientTransformation, max_norm: float) -> optax.GradientTransformation:
    """Put clipping by the global norm before an optimizer; 0 leaves the optimizer, and its state, as they are."""
    return optax.chain(optax.clip_by_global_norm(max_norm), optimizer) if max_norm > 0 else optimizer


def released_schedule(
    steps_per_epoch: int,
    *,
    base_learning_rate: float = 8e-4,
    warmup_epochs: int = 20,
    warmup_learning_rate: float = 8e-6,
    warmup_factor: float = 1.259,
    halve_every: int = 40,
    num_epochs: int = 300,
) -> optax.Schedule:
    """Return the released code's schedule, constant within an epoch.

    Epoch e of the warm-up has the rate warmup_learning_rate * warmup_factor**e. `num_epochs` more epochs follow,
    counted from 0 again, in which base_learning_rate is halved at epochs halve_every, 2 halve_every, ... below
    num_epochs: at 40, 80, ..., 280 of 300. The last rate then stays.

    Args:
        steps_per_epoch: Optimizer updates in an epoch.
        base_learning_rate: The full rate, which follows the warm-up.
        warmup_epochs: Epochs of the warm-up.
        warmup_learning_rate: Rate of the first epoch of the warm-up.
        warmup_factor: Factor from one epoch of the warm-up to the next.
        halve_every: Epochs between halvings.
        num_epochs: Epochs after the warm-up.

    Returns:
        A function of the number of updates done, giving a float32 scalar.

    Raises:
        ValueError: `steps_per_epoch`, `halve_every` or `num_epochs` is not positive.
    """
    for name, value in (("steps_per_epoch", steps_per_epoch), ("halve_every", halve_every), ("num_epochs", num_epochs)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, found {value}.")
    epochs = np.concatenate(
        [
            warmup_learning_rate * warmup_factor ** np.arange(warmup_epochs),
            base_learning_rate * 0.5 ** (np.arange(num_epochs) // halve_every),
        ]
    ).astype(np.float32)

    def schedule(step: ArrayLike) -> Float[Array, ""]:
        epoch = jnp.minimum(jnp.asarray(step, jnp.int32) // steps_per_epoch, len(epochs) - 1)
        return jnp.asarray(epochs)[epoch]

    return schedule


def cosine_schedule(peak_learning_rate: float, num_steps: int, *, warmup_steps: int = 0) -> optax.Schedule:
    """Return a linear warm-up from peak / warmup_steps to the peak, then half a cosine down to 0 at `num_steps`.

    Raises:
        ValueError: `warmup_steps` is negative or leaves no step of `num_steps`.
    """
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(f"warmup_steps must lie in 0..num_steps-1 = {num_steps - 1}, found {warmup_steps}.")

    def schedule(step: ArrayLike) -> Float[Array, ""]:
        done = jnp.asarray(step, jnp.float32)
        progress = jnp.clip((done - warmup_steps) / (num_steps - warmup_steps), 0.0, 1.0)
        warmup = jnp.minimum((done + 1.0) / max(warmup_steps, 1), 1.0)
        return peak_learning_rate * warmup * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    return schedule


def schedule_of_turns(schedule: optax.Schedule, turns: Sequence[bool]) -> optax.Schedule:
    """Re-index a per-step schedule by the updates of an optimizer that acts on only some steps.

    Args:
        schedule: Learning rate as a function of the train steps done.
        turns: Whether the optimizer makes an update in each step of a round; rounds repeat.

    Returns:
        The learning rate as a function of the updates done.
    """
    places = np.flatnonzero(turns).astype(np.int32)

    def of_updates(update: ArrayLike) -> Float[Array, ""]:
        update = jnp.asarray(update, jnp.int32)
        step = update // len(places) * len(turns) + jnp.asarray(places)[update % len(places)]
        return jnp.asarray(schedule(step))

    return of_updates


def count_turns(num_steps: int, turns: Sequence[bool]) -> int:
    """Count the updates in the first `num_steps` steps of an optimizer that acts on only some steps."""
    rounds, rest = divmod(num_steps, len(turns))
    return rounds * sum(turns) + sum(turns[:rest])


class AdamState(NamedTuple):
    """Updates done, and the moments of the gradient; `max_second_moment` is () for plain Adam."""

    num_updates: Int32[Array, ""]
    first_moment: Any
    second_moment: Any
    max_second_moment: Any


def amsgrad(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 5e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    warmup_steps: int = 0,
) -> optax.GradientTransformation:
    """Return AMSGrad as torch.optim.Adam(amsgrad=True) defines it, after `warmup_steps` of plain Adam.

    With g the gradient plus weight_decay times the parameter, m and v the moving averages of g and g^2, and t the
    number of updates, this one included:

        parameter -= learning_rate * m / (1 - b1^t) / (sqrt(max over time of v) / sqrt(1 - b2^t) + eps)

    PyTorch takes the maximum of v before the bias correction; `optax.amsgrad` takes it after, which gives other
    numbers. The warm-up is an optimizer of its own in the released code: after it m, v and t start again from 0. The
    schedule counts on.

    Args:
        learning_rate: A number, or a function of the number of updates done.
        weight_decay: Factor of the L2 term that is added to the gradient of every parameter.
        b1: Decay of m.
        b2: Decay of v.
        eps: Added to the denominator, which keeps the quotient finite.
        warmup_steps: Updates with plain Adam at the start (20 epochs in the released code).

    Raises:
        ValueError: `b1` or `b2` does not lie between 0 and 1.
    """
    return _adam(learning_rate, weight_decay, b1, b2, eps, keep_maximum=True, warmup_steps=warmup_steps)


def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 5e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Return Adam with the weight decay added to the gradient, as torch.optim.Adam; arguments as in `amsgrad`."""
    return _adam(learning_rate, weight_decay, b1, b2, eps, keep_maximum=False, warmup_steps=0)


@dataclasses.dataclass(frozen=True)
class AlternatingOptimizer:
    """The released code's two optimizers, one after the other in every reID step.

    A reID step first updates all but the decoder (encoder, head, classifier) by L_ID and L_Triplet with `reid`; then,
    in a forward pass of its own with those weights, encoder and decoder by L_Rec and L_TR with `reconstruction`. A PIT
    step is an update with `reconstruction`. Each keeps its own moments.

    Attributes:
        reid: In the released code AMSGrad after a warm-up.
        reconstruction: In the released code Adam with a rate of 1e-5, b1 = 0.5 and no weight decay.
    """

    reid: optax.GradientTransformation
    reconstruction: optax.GradientTransformation

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the state of both, by their names; `params` are the whole model's, by its modules."""
        return {
            "reid": self.reid.init(self.reid_modules(params)),
            "reconstruction": self.reconstruction.init(self.reconstruction_modules(params)),
        }

    @staticmethod
    def reid_modules(tree: dict[str, Any]) -> dict[str, Any]:
        """Return the modules of a tree that `reid` updates."""
        return {name: value for name, value in tree.items() if name != "decoder"}

    @staticmethod
    def reconstruction_modules(tree: dict[str, Any]) -> dict[str, Any]:
        """Return the modules of a tree that `reconstruction` updates."""
        return {name: value for name, value in tree.items() if name in ("encoder", "decoder")}


def _adam(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float,
    b1: float,
    b2: float,
    eps: float,
    *,
    keep_maximum: bool,
    warmup_steps: int,
) -> optax.GradientTransformation:
    for name, decay in (("b1", b1), ("b2", b2)):
        if not 0.0 < decay < 1.0:
            raise ValueError(f"{name} must lie between 0 and 1 (0.9 and 0.999 are usual), found {decay}.")

    def init(params: Any) -> AdamState:
        # Each its own arrays: a donated buffer must not be passed twice.
        return AdamState(
            num_updates=jnp.zeros((), jnp.int32),
            first_moment=jax.tree.map(jnp.zeros_like, params),
            second_moment=jax.tree.map(jnp.zeros_like, params),
            max_second_moment=jax.tree.map(jnp.zeros_like, params) if keep_maximum else (),
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, AdamState]:
        if params is None:
            raise ValueError("The L2 term needs the parameters: call update(grads, state, params).")
        rate = learning_rate(state.num_updates) if callable(learning_rate) else learning_rate
        warm = state.num_updates >= warmup_steps
        # At the end of the warm-up the moments start anew; before it, and after, this is 1.
        keep = jnp.where(state.num_updates == warmup_steps, 0.0, 1.0)
        since_start = (jnp.where(warm, state.num_updates - warmup_steps, state.num_updates) + 1).astype(jnp.float32)
        # 1 - b^t by expm1: in float32 the plain difference loses half its digits at small t.
        correction1 = -jnp.expm1(since_start * math.log(b1))
        correction2 = jnp.sqrt(-jnp.expm1(since_start * math.log(b2)))

        grads = jax.tree.map(lambda g, p: g + weight_decay * p, updates, params)
        first = jax.tree.map(lambda m, g: b1 * keep * m + (1.0 - b1) * g, state.first_moment, grads)
        second = jax.tree.map(lambda v, g: b2 * keep * v + (1.0 - b2) * g * g, state.second_moment, grads)
        if keep_maximum:
            # During the warm-up the maximum is the current value, so that both phases divide by the same thing.
            maximum = jax.tree.map(
                lambda top, v: jnp.where(warm, jnp.maximum(keep * top, v), v), state.max_second_moment, second
            )
            divisor = maximum
        else:
            maximum, divisor = (), second
        changes = jax.tree.map(
            lambda m, v: -(rate / correction1) * m / (jnp.sqrt(v) / correction2 + eps), first, divisor
        )
        return changes, AdamState(state.num_updates + 1, first, second, maximum)

    return optax.GradientTransformation(init, update)
