"""san_jax/dispatch.py: several steps in one call on data in device memory do what single steps on batches do."""

import contextlib
import functools
import re

import jax
import numpy as np
import pytest

from san_jax import dispatch, sharding
from tests.san_jax.train_step_test import BATCH, NUM_CLASSES, copy, make_tiny

KINDS = ("reid", "pit")
EXAMPLES = 21


def make_data() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (EXAMPLES, 8, 4, 3), np.uint8) for name in ("image", "texture")}
    return {"reid": {**images, "label": np.arange(EXAMPLES, dtype=np.int32) % NUM_CLASSES}, "pit": images}


def make_rows(steps: int) -> list[np.ndarray]:
    """Rows of P x K batches."""
    rng = np.random.default_rng(1)
    groups = [np.flatnonzero(np.arange(EXAMPLES) % NUM_CLASSES == label) for label in range(NUM_CLASSES)]
    return [
        np.concatenate([rng.choice(group, BATCH // NUM_CLASSES) for group in groups]).astype(np.int32)
        for _ in range(steps)
    ]


def place_cycles(rows: list[np.ndarray], mesh) -> tuple[jax.Array, ...]:
    return tuple(dispatch.place_rows(rows[position::2], mesh) for position in range(2))


@contextlib.contextmanager
def compilations():
    """The names of what JAX compiles while the context is open."""
    names = []

    def listen(name: str, seconds: float, **details: object) -> None:
        if name == "/jax/core/compile/backend_compile_duration":
            names.append(details.get("fun_name", name))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_compilations_are_noticed():
    with compilations() as compiled:
        jax.jit(lambda x: x * 3 + 1)(np.float32(2))
    assert compiled


@pytest.mark.parametrize(("num_devices", "split"), [(1, False), (4, False), (4, True)])
def test_pairs_of_steps_in_one_call_are_those_steps_one_by_one(num_devices, split):
    made = {kind: make_tiny(kind, num_devices=num_devices) for kind in KINDS}
    steps = {kind: step for kind, (step, _, _, _) in made.items()}
    _, state, mesh, _ = made["reid"]
    data, rows = make_data(), make_rows(8)

    expected, single = copy(state), []
    for number, wanted in enumerate(rows):
        kind = KINDS[number % 2]
        batch = sharding.shard_batch({name: array[wanted] for name, array in data[kind].items()}, mesh)
        expected, metrics = steps[kind](expected, batch)
        single.append(jax.device_get(metrics))

    placed = {kind: dispatch.place(arrays, mesh, split=split) for kind, arrays in data.items()}
    call = dispatch.make_dispatch(steps, KINDS, mesh, split=split)
    state, first = call(copy(state), placed, place_cycles(rows[:4], mesh))
    with compilations() as compiled:
        state, second = call(state, placed, place_cycles(rows[4:], mesh))
    assert compiled == []
    assert int(state.step) == 8
    found = [
        {name: values[cycle] for name, values in metrics.items()}
        for of_call in jax.device_get((first, second))
        for cycle in range(2)
        for metrics in of_call
    ]
    # XLA may fuse a loop's body in another way: up to 2e-9 in a parameter was seen.
    same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8)
    jax.tree.map(same, found, single)
    jax.tree.map(same, jax.device_get(state), jax.device_get(expected))


@pytest.mark.parametrize("split", [False, True])
def test_rows_come_as_they_are_from_whichever_device_holds_them(split):
    mesh, data = sharding.make_mesh(jax.devices()[:4]), make_data()["reid"]
    rows = np.arange(16, dtype=np.int32)[::-1] + 5

    def step(state, batch):
        return state, batch

    call = dispatch.make_dispatch({"pit": step}, ("pit",), mesh, split=split)
    _, state, _, _ = make_tiny("pit", num_devices=4)
    arguments = (state, {"pit": dispatch.place(data, mesh, split=split)}, (dispatch.place_rows([rows], mesh),))
    compiled = call.lower(*arguments).compile()
    _, (batch,) = compiled(*arguments)
    for name, values in batch.items():
        np.testing.assert_array_equal(values[0], data[name][rows])
    text = compiled.as_text()
    assert ("reduce-scatter" in text) == split
    assert not re.search(r"u8\[[\d,]+\]\S* all-gather", text)  # row numbers may be gathered, pictures are not
