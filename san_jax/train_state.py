"""What a training run is at one moment: pure arrays, so that it can be jitted, donated, sharded and saved."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from san_jax.models import split_model
from san_jax.models.functional import Tree, flatten
from san_jax.optim import AlternatingOptimizer


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("step", "params", "batch_stats", "opt_state", "average"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state that a train step takes and returns.

    Attributes:
        step: Number of train steps done, reID and PIT steps alike, an int32 scalar, from which the next step's random
            numbers come. (Not annotated as an array: JAX's transformations put placeholders in its place.)
        params: float32 parameters.
        batch_stats: Running mean and variance of every batch normalisation, float32.
        opt_state: State of the optimizer.
        average: Exponential moving averages {"params": ..., "batch_stats": ...}; empty where a run keeps none.
    """

    step: Any
    params: Tree
    batch_stats: Tree
    opt_state: Any
    average: Tree = dataclasses.field(default_factory=dict)


def create(
    model: nnx.Module, optimizer: optax.GradientTransformation | AlternatingOptimizer, *, average: bool = False
) -> tuple[Any, TrainState]:
    """Split a fresh model into its static part and a train state.

    Args:
        model: The model; its arrays become the state's.
        optimizer: The run's optimizer.
        average: Whether the state has an average of the weights, as `StepSettings.ema_decay` > 0 needs it.

    Returns:
        The model's graphdef (static) and the state at step 0. Under `jax.jit` or `jax.eval_shape` return the state
        only.
    """
    graphdef, params, batch_stats = split_model(model)
    # Its own arrays: a donated buffer must not be passed twice.
    averages = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if average else {}
    state = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params), averages)
    return graphdef, state


def update_average(average: Tree, params: Tree, batch_stats: Tree, *, step: Any, decay: float) -> Tree:
    """Return the averages after one more step: d old + (1 - d) new, with d = min(decay, step / (step + 9)).

    With this d the average equals the weights after the first step, whatever they started from, and covers about the
    last tenth of a short run. It is the ramp of TensorFlow's `ExponentialMovingAverage` with `num_updates`,
    (1 + n) / (10 + n), begun one step earlier.

    Args:
        average: {"params", "batch_stats"}, as in `TrainState`.
        params: The new parameters.
        batch_stats: The new running statistics.
        step: Steps done before this one.
        decay: Largest share of the old average that is kept, in [0, 1).
    """
    step = step.astype(jnp.float32)
    keep = jnp.minimum(decay, step / (step + 9.0))
    new = {"params": params, "batch_stats": batch_stats}
    return jax.tree.map(lambda old, value: keep * old + (1.0 - keep) * value, average, new)


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What `take_weights` did, by top-level modules.

    Attributes:
        taken: Modules whose weights come from the other run.
        fresh: Modules that keep their initial weights.
        unused: Modules that only the other run has.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def take_weights(
    state: TrainState, params: Tree, batch_stats: Tree, *, modules: tuple[str, ...] = ("encoder", "decoder")
) -> tuple[TrainState, Transfer]:
    """Replace whole modules of a fresh state by another run's weights.

    Both must have the same arrays, in the same shapes, in a module that is taken. The optimizer's state stays fresh.

    Args:
        state: The fresh state.
        params: Parameters of the other run, from `checkpoint.load_weights`.
        batch_stats: Its running statistics.
        modules: Names of the modules to take, where both have them.

    Returns:
        The state with those weights, and what was taken, what is fresh, what stayed unused.

    Raises:
        ValueError: A module differs in names or shapes; the message lists them all. Or nothing could be taken.
    """
    taken = tuple(name for name in modules if name in params and name in state.params)
    problems = []
    for kind, own, other in (("params", state.params, params), ("batch_stats", state.batch_stats, batch_stats)):
        for name in taken:
            # A module without batch normalisation (the classifier) has no statistics.
            expected, found = (flatten({name: tree.get(name, {})}) for tree in (own, other))
            for key in sorted(expected.keys() | found.keys()):
                wanted, given = (str(flat[key].shape) if key in flat else "absent" for flat in (expected, found))
                if wanted != given:
                    problems.append(f"{kind} {key}: expected {wanted}, found {given}")
    if problems:
        shown = "\n  ".join(problems[:10]) + (f"\n  and {len(problems) - 10} more" if len(problems) > 10 else "")
        raise ValueError(
            f"the weights do not fit this model in {len(problems)} arrays:\n  {shown}\n"
            "Set the keys of the config's group `model` (model.encoder, model.width, ...) as in the run that they "
            "come from."
        )
    if not taken:
        raise ValueError(
            f"no weights to take: this model has {sorted(state.params)}, the other run {sorted(params)}, "
            f"and {list(modules)} were asked for."
        )
    state = dataclasses.replace(
        state,
        params={**state.params, **{name: params[name] for name in taken}},
        batch_stats={**state.batch_stats, **{name: batch_stats[name] for name in taken if name in batch_stats}},
    )
    fresh = tuple(name for name in state.params if name not in taken)
    return state, Transfer(taken, fresh, tuple(name for name in params if name not in taken))
