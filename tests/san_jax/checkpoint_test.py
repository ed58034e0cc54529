"""san_jax/checkpoint.py on a small state: round trips, other devices, damage of every kind in every file."""

import dataclasses
import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from san_jax import checkpoint, sharding
from san_jax.train_state import TrainState, Transfer, flatten, take_weights

ITERATORS = {"reid": {"next_step": 3}, "pit": {"next_step": 2}}


@pytest.fixture
def collect_leftovers():
    yield
    gc.collect()


def failed_read(test):
    """Marks a test in which a read fails: Orbax and TensorStore leave futures and coroutines behind there."""
    ignore = pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited:RuntimeWarning"
    )
    return pytest.mark.usefixtures("collect_leftovers")(ignore(test))


def make_state(seed: int = 0, *, num_devices: int = 1, width: int = 4) -> TrainState:
    """A state like a model's: nested, with the moments of an optimizer."""
    kernel, bias = jax.random.normal(jax.random.key(seed), (2, 3, width))
    params = {"encoder": {"conv1": {"kernel": kernel}}, "classifier": {"bias": bias[0]}}
    batch_stats = {"encoder": {"norm": {"mean": kernel[0], "var": jnp.ones(width)}}}
    opt_state = optax.adam(1e-3).init(params)
    state = TrainState(jnp.asarray(seed, jnp.int32), params, batch_stats, opt_state)
    return jax.device_put(state, sharding.replicated(sharding.make_mesh(jax.devices()[:num_devices])))


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def save(folder, steps, *, keep=3, num_devices=1):
    checkpoints = checkpoint.Checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, make_state(step, num_devices=num_devices), {**ITERATORS, "step": step})
    checkpoints.close()


def restore(folder, like):
    checkpoints = checkpoint.Checkpoints(folder, keep=3)
    try:
        return checkpoints.restore(like)
    finally:
        checkpoints.close()


def test_round_trip_keeps_the_newest(tmp_path):
    assert checkpoint.latest_step(tmp_path) is None
    assert restore(tmp_path, make_state()) is None
    save(tmp_path, [1, 2, 3], keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    assert checkpoint.latest_step(tmp_path) == 3
    state, iterators = restore(tmp_path, make_state())
    assert_equal(state, make_state(3))
    assert iterators == {**ITERATORS, "step": 3}


def test_state_may_be_donated_while_it_is_saved(tmp_path):
    consume = jax.jit(lambda state: jax.tree.map(lambda x: x + jnp.ones_like(x), state), donate_argnums=0)
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=1)
    state = make_state(5)
    checkpoints.save(5, state, {})
    consume(state)
    assert checkpoints.latest() == tmp_path / "5"
    restored, _ = checkpoints.restore(make_state())
    checkpoints.close()
    assert_equal(restored, make_state(5))


def test_other_devices(tmp_path):
    save(tmp_path, [1], num_devices=8)
    like = make_state(num_devices=2)
    state, _ = restore(tmp_path, like)
    assert_equal(state, make_state(1))
    assert state.params["classifier"]["bias"].sharding == like.params["classifier"]["bias"].sharding


def test_weights_alone(tmp_path):
    save(tmp_path, [1, 4], num_devices=8)
    step, params, batch_stats = checkpoint.load_weights(tmp_path)
    assert step == 4
    assert_equal(params, make_state(4).params)
    assert_equal(batch_stats, make_state(4).batch_stats)
    assert all(leaf.devices() == {jax.devices()[0]} for leaf in jax.tree.leaves(params))


def test_weights_of_a_run_with_an_average_are_the_average(tmp_path):
    average = {"params": make_state(7).params, "batch_stats": make_state(8).batch_stats}
    state = dataclasses.replace(make_state(2), average=average)
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=1)
    checkpoints.save(2, state, ITERATORS)
    assert checkpoints.latest() == tmp_path / "2"
    restored, _ = checkpoints.restore(jax.tree.map(jnp.zeros_like, state))
    checkpoints.close()
    assert_equal(restored, state)
    step, params, batch_stats = checkpoint.load_weights(tmp_path)
    assert step == 2
    assert_equal(params, average["params"])
    assert_equal(batch_stats, average["batch_stats"])


@failed_read
def test_an_average_is_neither_made_up_nor_dropped(tmp_path):
    """A run from before there were averages goes on without one."""
    save(tmp_path, [1])
    averaged = dataclasses.replace(make_state(), average={"params": make_state().params})
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint in"):
        restore(tmp_path, averaged)
    state, _ = restore(tmp_path, make_state())
    assert state.average == {}


def test_no_checkpoint(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="there is no checkpoint in"):
        checkpoint.load_weights(tmp_path / "absent")
    with pytest.raises(ValueError, match="keep must be at least 1, found 0"):
        checkpoint.Checkpoints(tmp_path, keep=0)


@failed_read
def test_another_model_is_no_reason_to_put_anything_aside(tmp_path):
    save(tmp_path, [1, 2])
    with pytest.raises(checkpoint.CheckpointError, match="another version of the model"):
        restore(tmp_path, make_state(width=5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_what_a_killed_save_left_is_removed(tmp_path):
    save(tmp_path, [1, 2])
    (tmp_path / "2").rename(tmp_path / "2.orbax-checkpoint-tmp")
    state, _ = restore(tmp_path, make_state())
    assert_equal(state, make_state(1))
    save(tmp_path, [2])  # waits for the removal
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert_equal(restore(tmp_path, make_state())[0], make_state(2))


@failed_read
@pytest.mark.parametrize("damage", ["remove", "empty", "halve", "flip"])
def test_damaged_newest_checkpoint_does_not_lose_the_run(tmp_path, damage):
    """Each file in turn: either the newest state comes back as it was saved, or the one before."""
    good = tmp_path / "good"
    save(good, [1, 2])
    fell_back = 0
    files = [path.relative_to(good) for path in sorted((good / "2").rglob("*")) if path.is_file()]
    assert len(files) > 10
    for number, name in enumerate(files):
        folder = tmp_path / f"damaged{number}"
        shutil.copytree(good, folder)
        data = bytearray((folder / name).read_bytes())
        if damage == "remove":
            (folder / name).unlink()
        else:
            data[len(data) // 2] ^= 16
            content = {"empty": b"", "halve": data[: len(data) // 2], "flip": data}[damage]
            (folder / name).write_bytes(content)
        state, iterators = restore(folder, make_state())
        step = iterators["step"]
        assert_equal(state, make_state(step))
        assert step == 2 or (folder / "2.unreadable").is_dir(), name
        fell_back += step == 1
        if step == 1:  # the run goes on, and saves that step again
            save(folder, [2])
            assert checkpoint.latest_step(folder) == 2
    assert fell_back > 3
    assert fell_back < len(files)


@failed_read
def test_damaged_weights_are_not_loaded(tmp_path):
    save(tmp_path, [1])
    largest = max((tmp_path / "1" / "weights").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    data = bytearray(largest.read_bytes())
    for position in range(0, len(data), 7):
        data[position] ^= 255
    largest.write_bytes(data)
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoints?.*1 cannot be read|1 cannot be read"):
        checkpoint.load_weights(tmp_path)


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


def test_take_weights_takes_whole_modules():
    fresh, other = make_state(0), make_state(1)
    state, transfer = take_weights(fresh, {"encoder": other.params["encoder"], "extra": {}}, other.batch_stats)
    assert transfer.taken == ("encoder",)
    assert transfer.fresh == ("classifier",)
    assert transfer.unused == ("extra",)
    assert_equal(state.params, {"encoder": other.params["encoder"], "classifier": fresh.params["classifier"]})
    assert_equal(state.batch_stats, other.batch_stats)
    assert_equal(state.opt_state, fresh.opt_state)


def test_take_weights_of_a_module_without_statistics():
    fresh, other = make_state(0), make_state(1)
    modules = ("encoder", "classifier")
    state, transfer = take_weights(fresh, other.params, other.batch_stats, modules=modules)
    assert transfer == Transfer(taken=modules, fresh=(), unused=())
    assert_equal(state.params, other.params)
    assert_equal(state.batch_stats, other.batch_stats)
    assert "classifier" not in state.batch_stats


def test_take_weights_of_another_width():
    fresh, other = make_state(0), make_state(1, width=5)
    with pytest.raises(ValueError, match=r"do not fit this model in 3 arrays") as error:
        take_weights(fresh, other.params, other.batch_stats)
    assert "params encoder.conv1.kernel: expected (3, 4), found (3, 5)" in str(error.value)
    assert "batch_stats encoder.norm.mean: expected (4,), found (5,)" in str(error.value)
    assert "model.width" in str(error.value)


def test_take_weights_with_nothing_to_take():
    state = make_state()
    with pytest.raises(ValueError, match="no weights to take"):
        take_weights(state, {"classifier": {}}, {})


@pytest.mark.parametrize("name", ["[lr=0.1]", "st*r", "wh?t", "back\\slash", "gs:"])
def test_a_folder_whose_checkpoints_could_not_be_read_is_refused(tmp_path, name):
    with pytest.raises(checkpoint.CheckpointError, match="choose a folder without it"):
        checkpoint.Checkpoints(tmp_path / name / "checkpoints", keep=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "数据 é", "100%41", "a{b,c}", "~x", "#1", "a@b"])
def test_other_names_of_folders_will_do(tmp_path, name):
    save(tmp_path / name, [2])
    assert_equal(restore(tmp_path / name, make_state())[0], make_state(2))


def test_a_run_that_was_moved_is_read_under_any_name(tmp_path):
    save(tmp_path / "plain", [2])
    (tmp_path / "plain").rename(tmp_path / "[lr=0.1]*?")
    step, params, _ = checkpoint.load_weights(tmp_path / "[lr=0.1]*?")
    assert step == 2
    assert_equal(params, make_state(2).params)
    (tmp_path / "[lr=0.1]*?").rename(tmp_path / "back\\slash")
    with pytest.raises(checkpoint.CheckpointError, match="choose a folder without it"):
        checkpoint.load_weights(tmp_path / "back\\slash")
