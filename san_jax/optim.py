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
    """The released code's schedule, constant within an epoch.

    Warm-up epoch e: warmup_learning_rate * warmup_factor**e. Then `num_epochs` more epochs, counted from 0 again, with
    base_learning_rate halved at epoch halve_every, 2 halve_every, ... as long as that is less than num_epochs: at 40,
    80, ..., 280 of 300. Afterwards the last rate goes on.

    Args:
      steps_per_epoch: optimizer updates per epoch.

    Returns:
      A function of the number of updates done, giving a float32 scalar.

    Raises:
      ValueError: steps_per_epoch, halve_every or num_epochs is not positive.
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
    """Linear warm-up from peak / warmup_steps to the peak, then half a cosine down to 0 at `num_steps`.

    Raises:
      ValueError: warmup_steps is negative or leaves no step of num_steps.
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
    """A schedule of a run's steps, for an optimizer that has an update in some of them: as a function of its updates.

    Args:
      schedule: a function of the number of steps done.
      turns: whether it has an update in each step, over and over.
    """
    places = np.flatnonzero(turns).astype(np.int32)

    def of_updates(update: ArrayLike) -> Float[Array, ""]:
        update = jnp.asarray(update, jnp.int32)
        step = update // len(places) * len(turns) + jnp.asarray(places)[update % len(places)]
        return jnp.asarray(schedule(step))

    return of_updates


def count_turns(num_steps: int, turns: Sequence[bool]) -> int:
    """The updates among the first `num_steps` steps of an optimizer as in `schedule_of_turns`."""
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
    """AMSGrad as torch.optim.Adam(amsgrad=True) defines it, after `warmup_steps` of plain Adam.

    With g the gradient plus weight_decay times the parameter, m and v the moving averages of g and g^2, and t the number
    of updates, this one included:

        parameter -= learning_rate * m / (1 - b1^t) / (sqrt(max over time of v) / sqrt(1 - b2^t) + eps)

    PyTorch takes the maximum of v before the bias correction; `optax.amsgrad` takes it after, which gives other numbers.
    The warm-up is an optimizer of its own in the released code: after it m, v and t start again from 0. The schedule
    counts on.

    Args:
      learning_rate: a number, or a schedule of the number of updates done.
      weight_decay: factor of the L2 term that is added to the gradient, for every parameter.
      b1: decay of m.
      b2: decay of v.
      eps: keeps the quotient finite.
      warmup_steps: updates with plain Adam at the start (20 epochs in the released code).

    Raises:
      ValueError: b1 or b2 does not lie between 0 and 1.
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
    """Adam with the weight decay added to the gradient, as torch.optim.Adam; arguments as in `amsgrad`."""
    return _adam(learning_rate, weight_decay, b1, b2, eps, keep_maximum=False, warmup_steps=0)


@dataclasses.dataclass(frozen=True)
class AlternatingOptimizer:
    """The released code's two optimizers, one after the other in every reID step.

    A reID step first updates all but the decoder (encoder, head, classifier) by L_ID and L_Triplet with `reid`; then, in
    a forward pass of its own with those weights, encoder and decoder by L_Rec and L_TR with `reconstruction`. A PIT step
    is an update with `reconstruction`. Each keeps its own moments.

    Attributes:
      reid: AMSGrad after a warm-up, in the released code.
      reconstruction: Adam with a rate of 1e-5, b1 = 0.5 and without weight decay, in the released code.
    """

    reid: optax.GradientTransformation
    reconstruction: optax.GradientTransformation

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        """The state of both, by their names; `params` are those of the whole model, by its modules."""
        return {
            "reid": self.reid.init(self.reid_modules(params)),
            "reconstruction": self.reconstruction.init(self.reconstruction_modules(params)),
        }

    @staticmethod
    def reid_modules(tree: dict[str, Any]) -> dict[str, Any]:
        """The part of a tree by modules that `reid` updates."""
        return {name: value for name, value in tree.items() if name != "decoder"}

    @staticmethod
    def reconstruction_modules(tree: dict[str, Any]) -> dict[str, Any]:
        """The part of a tree by modules that `reconstruction` updates."""
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
