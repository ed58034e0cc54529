"""What a training run is at one moment: pure arrays, so that it can be jitted, donated, sharded and saved."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from san_jax.models import split_model

Tree = dict[str, Any]
"""Nested dict of arrays, keyed by module and parameter names."""


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("step", "params", "batch_stats", "opt_state"), meta_fields=()
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state that a train step takes and gives.

    Attributes:
        step: Number of train steps done, reID and PIT steps alike, an int32 scalar. The step's random numbers come from
            it. (Not annotated as such: transformations put placeholders in an array's place.)
        params: float32 parameters.
        batch_stats: Running mean and variance of every batch normalisation, float32.
        opt_state: The optimizer's.
    """

    step: Any
    params: Tree
    batch_stats: Tree
    opt_state: Any


def create(model: nnx.Module, optimizer: optax.GradientTransformation) -> tuple[Any, TrainState]:
    """Takes a fresh model apart.

    Returns:
        The model's graphdef (static) and the state at step 0. Under `jax.jit` or `jax.eval_shape` return the state only.
    """
    graphdef, params, batch_stats = split_model(model)
    state = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))
    return graphdef, state


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """A nested dict as a flat one with dotted names: {"encoder.conv1.kernel": array}."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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
    """Puts whole modules of another run's weights in place of a fresh state's.

    Every array of a module that both have must be there in the same shape; the optimizer's state stays fresh.

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
            "Set model.width, model.stage_sizes and model.texture_size as in the run that they come from."
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
