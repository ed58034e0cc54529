"""san_jax/dispatch.py: several steps in one call on data in device memory do what single steps on batches do."""

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


@pytest.mark.parametrize(("num_devices", "split"), [(1, False), (4, False), (4, True)])
def test_pairs_of_steps_in_one_call_are_those_steps_one_by_one(num_devices, split):
    made = {kind: make_tiny(kind, num_devices=num_devices) for kind in KINDS}
    steps = {kind: step for kind, (step, _, _, _) in made.items()}
    _, state, mesh, _ = made["reid"]
    data, rows = make_data(), make_rows(6)

    expected, single = copy(state), []
    for number, wanted in enumerate(rows):
        kind = KINDS[number % 2]
        batch = sharding.shard_batch({name: array[wanted] for name, array in data[kind].items()}, mesh)
        expected, metrics = steps[kind](expected, batch)
        single.append(metrics)

    placed = {kind: dispatch.place(arrays, mesh, split=split) for kind, arrays in data.items()}
    call = dispatch.make_dispatch(steps, KINDS, mesh, split=split)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    try:
        taken = [dispatch.place_rows(rows[first : first + 2 : 1], mesh) for first in ()]
        assert taken == []
        state, first = call(copy(state), placed, tuple(dispatch.place_rows(rows[k:2:2], mesh) for k in (0, 1)))
        state, second = call(state, placed, tuple(dispatch.place_rows(rows[2 + k : 4 : 2], mesh) for k in (0, 1)))
        compiled.clear()
        state, third = call(state, placed, tuple(dispatch.place_rows(rows[4 + k :: 2], mesh) for k in (0, 1)))
        assert [name for name in compiled if "compile" in name] == []
    finally:
        jax.monitoring.clear_event_listeners()
    assert int(state.step) == 6
    found = [metrics for pair in (first, second, third) for metrics in pair]
    worst = 0.0
    for one, many in zip(single, found, strict=True):
        assert set(one) == set(many)
        for name in one:
            worst = max(worst, abs(float(one[name]) - float(many[name][0])))
    print("WORST metrics", worst)
    diff = jax.tree.map(lambda a, b: float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))) if a.size else 0.0, state.params, expected.params)
    print("WORST params", max(jax.tree.leaves(diff)))
    assert 0
