"""Schedules and optimizer against PyTorch's trajectory (tests/golden/make_optimizer.py) and closed forms."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from san_jax import optim
from san_jax.settings import OptimizerSettings
from tests.golden.optimizer_run import (
    EPOCHS,
    HALVE_EVERY,
    STEPS_PER_EPOCH,
    WARMUP_EPOCHS,
    WEIGHT_DECAY,
    gradients,
)
from tests.golden.weights import inputs

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "optimizer.npz")


def short_schedule() -> optax.Schedule:
    return optim.released_schedule(
        STEPS_PER_EPOCH, warmup_epochs=WARMUP_EPOCHS, halve_every=HALVE_EVERY, num_epochs=EPOCHS
    )


def test_schedule_equals_pytorch():
    rates = jax.vmap(short_schedule())(jnp.arange(len(GOLDEN["rates"]), dtype=jnp.int32))
    np.testing.assert_allclose(rates, GOLDEN["rates"], rtol=1e-6)


def test_amsgrad_after_a_warm_up_equals_pytorch():
    """40 updates: 8 of Adam, 32 of AMSGrad with four halvings. Every update is compared, not only their sum."""
    optimizer = optim.amsgrad(short_schedule(), weight_decay=WEIGHT_DECAY, warmup_steps=WARMUP_EPOCHS * STEPS_PER_EPOCH)
    params = {"a": jnp.asarray(inputs("parameter.a", (3, 4))), "b": jnp.asarray(inputs("parameter.b", (5,)))}
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, grads):
        changes, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, changes), state, changes

    for i in range(len(GOLDEN["rates"])):
        a, b = gradients(i)
        params, state, changes = step(params, state, {"a": jnp.asarray(a), "b": jnp.asarray(b)})
        # float32 against float64: some roundings of 6e-8 each, more where gradient and L2 term cancel.
        for name in ("a", "b"):
            expected = GOLDEN[f"changes_{name}"][i]
            np.testing.assert_allclose(changes[name], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(params["a"], GOLDEN["final_a"], rtol=1e-6)
    np.testing.assert_allclose(params["b"], GOLDEN["final_b"], rtol=1e-6)


def test_the_maximum_is_taken_before_the_bias_correction():
    """Second of two updates with gradients 1 and 0, by hand; optax.amsgrad's definition would differ by half."""
    optimizer = optim.amsgrad(1.0, weight_decay=0.0, b1=0.5, b2=0.75, eps=1e-8)
    params = jnp.zeros(())
    state = optimizer.init(params)
    first, state = optimizer.update(jnp.ones(()), state, params)
    second, state = optimizer.update(jnp.zeros(()), state, params)
    np.testing.assert_allclose(first, -1.0, rtol=1e-6)
    # m = 0.25, corrected by 1 - 0.5^2; v = 0.1875 but its maximum 0.25, corrected by 1 - 0.75^2.
    np.testing.assert_allclose(second, -(0.25 / 0.75) / math.sqrt(0.25 / (1 - 0.75**2)), rtol=1e-6)


def test_adam_equals_optax_with_l2():
    params = {"w": jnp.asarray(inputs("parameter.a", (3, 4)))}
    ours, theirs = optim.adam(0.01, weight_decay=0.1), optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.01))
    our_params, their_params = params, params
    our_state, their_state = ours.init(params), theirs.init(params)
    for i in range(30):
        grads = {"w": jnp.asarray(inputs(f"gradient.a.{i}", (3, 4)))}
        changes, our_state = ours.update(grads, our_state, our_params)
        our_params = optax.apply_updates(our_params, changes)
        with jax.numpy_dtype_promotion("standard"):  # optax promotes its step count outside of jit
            changes, their_state = theirs.update(grads, their_state, their_params)
        their_params = optax.apply_updates(their_params, changes)
    np.testing.assert_allclose(our_params["w"], their_params["w"], rtol=1e-4)


def test_moments_start_anew_after_the_warm_up():
    warm = optim.amsgrad(0.1, warmup_steps=3)
    fresh = optim.amsgrad(0.1)
    params = {"w": jnp.asarray([1.0, -2.0])}
    state = warm.init(params)
    for _ in range(3):
        _, state = warm.update({"w": jnp.asarray([50.0, -3.0])}, state, params)
    grads = {"w": jnp.asarray([0.1, 0.2])}
    after_warm_up, _ = warm.update(grads, state, params)
    from_scratch, _ = fresh.update(grads, fresh.init(params), params)
    np.testing.assert_array_equal(after_warm_up["w"], from_scratch["w"])


def test_update_without_gradient_is_finite():
    optimizer = optim.amsgrad(8e-4, weight_decay=0.0)
    params = {"w": jnp.zeros(3)}
    changes, _ = optimizer.update({"w": jnp.zeros(3)}, optimizer.init(params), params)
    np.testing.assert_array_equal(changes["w"], np.zeros(3))


def test_update_needs_the_parameters():
    optimizer = optim.amsgrad(8e-4)
    params = {"w": jnp.zeros(3)}
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(params, optimizer.init(params))


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_decay_out_of_range_is_refused(decay: float):
    with pytest.raises(ValueError, match="b2 must lie between 0 and 1"):
        optim.amsgrad(8e-4, b2=decay)


def test_state_can_be_donated():
    """No buffer appears twice in the state, and the step compiles once for warm-up and after."""
    optimizer = optim.amsgrad(0.1, warmup_steps=1)
    params = {"w": jnp.ones(3)}
    traces = []

    def step(params, state):
        traces.append(None)
        changes, state = optimizer.update({"w": jnp.ones(3)}, state, params)
        return optax.apply_updates(params, changes), state

    jitted = jax.jit(step, donate_argnums=(0, 1))
    state = optimizer.init(params)
    for _ in range(3):
        params, state = jitted(params, state)
    assert int(state.num_updates) == 3
    assert len(traces) == 1


def test_released_schedule_of_the_recipe():
    """Steps of an epoch share a rate; the numbers are those of the released code's arguments."""
    steps = 10
    schedule = optim.released_schedule(steps)
    at = lambda epoch, step=0: float(schedule(epoch * steps + step))  # noqa: E731
    np.testing.assert_allclose(at(0), 8e-6, rtol=1e-6)
    assert at(0) == at(0, 9)
    np.testing.assert_allclose(at(1), 8e-6 * 1.259, rtol=1e-6)
    np.testing.assert_allclose(at(19, 9), 8e-6 * 1.259**19, rtol=1e-6)
    np.testing.assert_allclose(at(20), 8e-4, rtol=1e-6)
    np.testing.assert_allclose(at(20 + 39, 9), 8e-4, rtol=1e-6)
    for halvings in range(1, 8):  # at 40, 80, ..., 280
        np.testing.assert_allclose(at(20 + 40 * halvings - 1), 8e-4 / 2 ** (halvings - 1), rtol=1e-6)
        np.testing.assert_allclose(at(20 + 40 * halvings), 8e-4 / 2**halvings, rtol=1e-6)
    np.testing.assert_allclose(at(320), 8e-4 / 2**7, rtol=1e-6)  # beyond the end: the last rate
    np.testing.assert_allclose(at(10**6), 8e-4 / 2**7, rtol=1e-6)


def test_released_schedule_without_epochs_is_refused():
    with pytest.raises(ValueError, match="steps_per_epoch must be at least 1, found 0"):
        optim.released_schedule(0)


def test_cosine_schedule():
    rates = np.array([optim.cosine_schedule(2.0, 10, warmup_steps=4)(i) for i in range(12)])
    np.testing.assert_allclose(rates[:4], [0.5, 1.0, 1.5, 2.0], rtol=1e-6)
    expected = [1 + math.cos(math.pi * i / 6) for i in range(7)]
    np.testing.assert_allclose(rates[4:11], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rates[11], 0.0, atol=1e-6)
    np.testing.assert_allclose(optim.cosine_schedule(2.0, 10)(0), 2.0, rtol=1e-6)


def test_cosine_schedule_of_warm_up_only_is_refused():
    with pytest.raises(ValueError, match=r"0..num_steps-1 = 9, found 10"):
        optim.cosine_schedule(2.0, 10, warmup_steps=10)


def test_a_schedule_of_steps_for_an_optimizer_of_some_of_them():
    """Every third and fourth of four steps: its updates are the run's steps 2, 3, 6, 7, 10, ..."""
    turns = [False, False, True, True]
    schedule = optim.schedule_of_turns(lambda step: 10.0 * jnp.asarray(step, jnp.float32), turns)
    steps = [step for step in range(20) if turns[step % 4]]
    rates = jax.vmap(schedule)(jnp.arange(len(steps), dtype=jnp.int32))
    np.testing.assert_array_equal(rates, [10.0 * step for step in steps])
    for num_steps in range(20):
        assert optim.count_turns(num_steps, turns) == sum(step < num_steps for step in steps)


def test_alternating_optimizers_keep_moments_of_their_own_modules():
    params = {name: {"kernel": jnp.ones(2)} for name in ("encoder", "head", "classifier", "decoder")}
    optimizer = optim.AlternatingOptimizer(optim.amsgrad(1e-3), optim.adam(1e-5, b1=0.5, weight_decay=0.0))
    state = optimizer.init(params)
    assert state["reid"].first_moment.keys() == {"encoder", "head", "classifier"}
    assert state["reconstruction"].first_moment.keys() == {"encoder", "decoder"}


def test_the_released_recipe_comes_from_the_default_settings():
    """Market-1501: 47 steps in an epoch, 20 epochs of warm-up and 300 more; every rate is the schedule's, bit for bit."""
    schedule, _ = optim.make_optimizer(OptimizerSettings(), optim.ScheduleSteps(47, 320 * 47), reid_turns=(True,))
    steps = jnp.arange(330 * 47, dtype=jnp.int32)
    np.testing.assert_array_equal(jax.vmap(schedule)(steps), jax.vmap(optim.released_schedule(47))(steps))


def test_every_duration_of_the_released_schedule_can_be_set():
    settings = OptimizerSettings(
        learning_rate=1.0, warmup_epochs=2.0, warmup_start=0.25, warmup_factor=2.0, halve_every_epochs=3.0
    )
    schedule, _ = optim.make_optimizer(settings, optim.ScheduleSteps(2, 19), reid_turns=(True,))
    rates = [float(schedule(step)) for step in range(0, 24, 2)]
    # Ten epochs, the last one cut short, of which eight follow the warm-up: they are halved at 3 and 6.
    assert rates == [0.25, 0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("alternating", [False, True])
def test_long_gradients_are_clipped(alternating: bool):
    """SGD-like by a large eps: the first update is the clipped gradient over eps."""
    settings = OptimizerSettings(
        name="adam", schedule="cosine", learning_rate=1.0, warmup_epochs=0.0, weight_decay=0.0, eps=1e3,
        gradient_clip_norm=5.0, alternating=alternating,
    )  # fmt: skip
    params = {"encoder": jnp.zeros(2), "decoder": jnp.zeros(())}
    gradients = {"encoder": jnp.asarray([30.0, 40.0]), "decoder": jnp.zeros(())}
    _, optimizer = optim.make_optimizer(settings, optim.ScheduleSteps(1, 4), reid_turns=(True, False))
    if isinstance(optimizer, optim.AlternatingOptimizer):
        params, gradients = map(optimizer.reid_modules, (params, gradients))
        optimizer = optimizer.reid
    changes, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(changes["encoder"], [-3e-3, -4e-3], rtol=1e-2)


def test_impossible_optimizers_are_refused():
    for changes, message in [
        ({"warmup_epochs": 2.5}, "warmup_epochs must be a whole number for schedule='released', found 2.5"),
        ({"halve_every_epochs": 0.5}, "halve_every_epochs must be a whole number for schedule='released', found 0.5"),
        ({"schedule": "step"}, "schedule must be one of released, cosine, found 'step'"),
        ({"gradient_clip_norm": -1.0}, "gradient_clip_norm must be a norm"),
    ]:
        with pytest.raises(ValueError, match=message):
            OptimizerSettings(**changes)
    with pytest.raises(ValueError, match="alternating=True needs reID steps"):
        optim.make_optimizer(OptimizerSettings(alternating=True), optim.ScheduleSteps(1, 8), reid_turns=(False,))
    with pytest.raises(ValueError, match="steps_per_epoch must be at least 1, found 0"):
        optim.ScheduleSteps(0, 8)
