"""experiments/runs/feeding.py: where batches come from changes neither them nor what a run does with them."""

import contextlib
import dataclasses
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import feeding, training, training_data
from experiments.runs.errors import Problems, RunError
from experiments.runs.plan import resolve
from san_jax import checkpoint, metric_logger, sharding
from san_jax.data import pipeline
from tests.experiments import train_data

SMALL = (
    "smoke,prepare=,image_size=(32, 32),model.width=2,model.texture_size=16,batch.num_identities=2,batch.pit_size=4,"
    "start.kind=random,start.path=,num_steps=11,log_every=4,checkpoint_every_epochs=2,optimizer.warmup_epochs=0"
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return train_data.build_all(tmp_path_factory.mktemp("data"), num_pairs=5, num_ids=4, per_id=2)


def load(data_dir, **changes):
    config = config_files.load(f"san.py:{SMALL},data_dir={data_dir}")
    for key, value in changes.items():
        config_files.override(config, key, str(value))
    return config


@contextlib.contextmanager
def opened(config, num_devices=1):
    mesh, problems = sharding.make_mesh(jax.devices()[:num_devices]), Problems()
    with contextlib.ExitStack() as stack:
        data = training_data.find(resolve(config), mesh, problems, stack)
        problems.check()
        yield resolve(config), data, mesh


@pytest.mark.parametrize("place", ["host", "device"])
def test_batches_are_those_that_decoding_gives_also_after_a_resume(data_dir, place, capsys):
    with opened(load(data_dir, data_cache=place)) as (plan, data, mesh):
        fed = feeding.prepare(plan, data, mesh, feeding.choose(plan, data, mesh, steps_left=11))
        assert "decodes the training set: 13 of 13 examples (100 %)" in capsys.readouterr().err
        for kind, stream in fed.streams.items():
            for number in range(5):
                if number == 3:  # positions mean the same to both
                    stream.set_state(data.streams[kind].get_state())
                batch, expected = next(stream), next(data.streams[kind])
                if place == "device":
                    batch = {name: np.asarray(array)[batch["rows"]] for name, array in fed.device_data[kind].items()}
                assert set(batch) == set(expected)
                for name, values in expected.items():
                    assert batch[name].dtype == values.dtype
                    np.testing.assert_array_equal(batch[name], values)
            stream.close()


@pytest.fixture
def sums(monkeypatch):
    """Steps that say what is in their batch, in place of training; on one device."""

    def make_step(graphdef, optimizer, settings):
        def step(state, batch):
            state = dataclasses.replace(state, step=state.step + 1)
            weights = jnp.arange(batch["image"].size, dtype=jnp.float32).reshape(batch["image"].shape)
            return state, {"loss": jnp.vdot(weights, batch["image"].astype(jnp.float32)) / 1e6}

        return jax.jit(step)

    for name in ("make_reid_step", "make_pit_step"):
        monkeypatch.setattr(training.train_step, name, make_step)
    mesh = sharding.make_mesh(jax.devices()[:1])
    monkeypatch.setattr(training.sharding, "make_mesh", lambda: mesh)


def metrics(workdir):
    lines = metric_logger.read_metrics(workdir)
    return [{name: value for name, value in line.items() if name not in metric_logger.TIMINGS} for line in lines]


def test_a_run_is_the_same_wherever_its_batches_come_from(data_dir, tmp_path, sums, capsys):
    training.run(load(data_dir, data_cache="none"), tmp_path / "none")
    output = capsys.readouterr().out
    assert "batches are decoded as they are needed" in output
    assert output.count("first step after ") == 1
    for place, steps in (("host", 0), ("device", 1), ("device", 2), ("device", 4)):
        workdir = tmp_path / f"{place}_{steps}"
        training.run(load(data_dir, data_cache=place, steps_per_dispatch=steps), workdir)
        assert f"kept in {place} memory" in capsys.readouterr().out
        assert metrics(workdir) == metrics(tmp_path / "none")
        assert [line["step"] for line in metrics(workdir)] == [4, 8, 11]
        saved = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (workdir, tmp_path / "none")]
        assert saved[0] == saved[1]


def test_a_stopped_run_goes_on_from_another_place(data_dir, tmp_path, sums, monkeypatch):
    training.run(load(data_dir, data_cache="none", log_every=2), tmp_path / "none")
    real, calls = training.dispatch.place_rows, []

    def place_rows(rows, mesh):
        calls.append(len(rows))
        if len(calls) == 6:  # two calls for each pair of steps
            signal.raise_signal(signal.SIGTERM)
        return real(rows, mesh)

    monkeypatch.setattr(training.dispatch, "place_rows", place_rows)
    with pytest.raises(SystemExit, match="stopped at step 6 of 11"):
        training.run(load(data_dir, data_cache="device", steps_per_dispatch=2, log_every=2), tmp_path / "run")
    training.run(load(data_dir, data_cache="host", log_every=2), tmp_path / "run")
    assert checkpoint.latest_step(tmp_path / "run" / "checkpoints") == 11
    assert [line["step"] for line in metrics(tmp_path / "run")] == [2, 4, 6, 8, 10, 11]
    assert metrics(tmp_path / "run") == metrics(tmp_path / "none")


def test_an_image_that_cannot_be_decoded_is_named(data_dir, monkeypatch):
    def fill(reader, **options):
        raise ValueError("The image of example 3 cannot be decoded")

    monkeypatch.setattr(feeding.cache, "fill", fill)
    with (
        opened(load(data_dir, data_cache="host")) as (plan, data, mesh),
        pytest.raises(RunError, match=r"^data: The image of example 3 cannot be decoded$"),
    ):
        feeding.prepare(plan, data, mesh, feeding.choose(plan, data, mesh, steps_left=11))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_the_set_is_decoded_loses_nothing(data_dir, tmp_path, sums, monkeypatch, name, caplog):
    """Neither before the first step nor when a run goes on."""
    training.run(load(data_dir, data_cache="none", log_every=2), tmp_path / "none")
    real = feeding.cache.fill

    def fill(*arguments, **options):
        signal.raise_signal(signal.Signals[name])
        return real(*arguments, **options)

    def run_with_a_signal():
        with monkeypatch.context() as patch:
            patch.setattr(feeding.cache, "fill", fill)
            with pytest.raises(SystemExit) as end:
                training.run(load(data_dir, data_cache="host", log_every=2), tmp_path / "run")
        assert str(end.value) == (
            f"{name}: stopped while the training set was decoded, before the first step. Run the same command again to "
            "go on."
        )
        assert f"{name}: stopping after the images at hand; once more to stop at once." in caplog.text

    run_with_a_signal()
    assert not (tmp_path / "run" / "checkpoints").exists()
    shard_batch, calls = training.sharding.shard_batch, []

    def stop_at_the_sixth(batch, mesh):
        calls.append(batch)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGTERM)
        return shard_batch(batch, mesh)

    with monkeypatch.context() as patch:
        patch.setattr(training.sharding, "shard_batch", stop_at_the_sixth)
        with pytest.raises(SystemExit, match="stopped at step 6 of 11"):
            training.run(load(data_dir, data_cache="host", log_every=2), tmp_path / "run")
    run_with_a_signal()
    training.run(load(data_dir, data_cache="host", log_every=2), tmp_path / "run")
    assert checkpoint.latest_step(tmp_path / "run" / "checkpoints") == 11
    assert metrics(tmp_path / "run") == metrics(tmp_path / "none")


@pytest.mark.parametrize(
    ("asked", "steps_left", "host", "device", "place", "split"),
    [
        ("auto", 6, 1e9, 1e9, "none", False),  # no example is read twice
        ("auto", 11, 1e9, 1e9, "host", False),  # on a CPU they are the same memory
        ("auto", 11, 1e5, 1e9, "none", False),
        ("host", 0, 1e9, 0.0, "host", False),
        ("device", 0, 1e9, 1e9, "device", False),
        ("device", 0, 1e9, 1e5, "device", True),
        ("none", 11, 1e9, 1e9, "none", False),
    ],
)
def test_the_place_follows_from_size_and_length(data_dir, monkeypatch, asked, steps_left, host, device, place, split):
    monkeypatch.setattr(feeding, "_host_bytes", lambda: host)
    monkeypatch.setattr(feeding, "_device_bytes", lambda mesh: device)
    with opened(load(data_dir, data_cache=asked), num_devices=2) as (plan, data, mesh):
        choice = feeding.choose(plan, data, mesh, steps_left=steps_left)
    assert (choice.place, choice.split) == (place, split)


@pytest.mark.parametrize("asked", ["host", "device"])
def test_a_set_that_does_not_fit_where_it_is_wanted_is_refused(data_dir, monkeypatch, asked):
    monkeypatch.setattr(feeding, "_host_bytes", lambda: 1000.0)
    monkeypatch.setattr(feeding, "_device_bytes", lambda mesh: 1000.0)
    message = f"data_cache={asked}: the decoded training set has .* Set data_cache to 'auto'"
    with opened(load(data_dir, data_cache=asked)) as (plan, data, mesh), pytest.raises(RunError, match=message):
        feeding.choose(plan, data, mesh, steps_left=100)


def test_a_run_whose_set_does_not_fit_leaves_nothing(data_dir, monkeypatch, tmp_path, sums):
    monkeypatch.setattr(feeding, "_device_bytes", lambda mesh: 1000.0)
    with pytest.raises(RunError, match="data_cache=device: the decoded training set has"):
        training.run(load(data_dir, data_cache="device"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["none", "host"])
def test_an_image_that_cannot_be_decoded_ends_the_run_with_its_name(data_dir, monkeypatch, tmp_path, sums, place):
    def fail(example, key, size, index):
        raise ValueError(f"The {key} of example {index} (0001.png) cannot be decoded: broken")

    monkeypatch.setattr(pipeline, "decode", fail)
    with pytest.raises(RunError, match=r"data: The image of example \d+ \(0001.png\) cannot be decoded"):
        training.run(load(data_dir, data_cache=place, num_workers=0), tmp_path / "run")


@pytest.mark.parametrize(("key", "value"), [("data_cache", "gpu"), ("steps_per_dispatch", "-1")])
def test_values_that_do_not_exist_are_refused(data_dir, key, value):
    with pytest.raises(RunError, match=f"{key} must be .*, found '?{value}"):
        resolve(load(data_dir, **{key: value}))
