"""experiments/train.py as the user runs it: the real configs, shrunk, in processes that are killed and started again."""

import contextlib
import dataclasses
import json
import pathlib
import random
import re
import signal

import jax
import numpy as np
import pytest

from experiments.runs import folder, models, training
from san_jax import checkpoint, metric_logger, run_folder, sharding
from san_jax.models import split_model
from tests.experiments.train_place import signal_at_step


def assert_same_run(workdir: pathlib.Path, reference: pathlib.Path):
    """Parameters and statistics bit for bit, and the same metrics, each step once."""
    step, params, batch_stats = checkpoint.load_weights(workdir / "checkpoints")
    expected_step, expected_params, expected_batch_stats = checkpoint.load_weights(reference / "checkpoints")
    assert step == expected_step == 10
    jax.tree.map(np.testing.assert_array_equal, params, expected_params)
    jax.tree.map(np.testing.assert_array_equal, batch_stats, expected_batch_stats)

    def metrics(folder):
        records = metric_logger.read_metrics(folder)
        return [{name: value for name, value in line.items() if name not in metric_logger.TIMINGS} for line in records]

    assert metrics(workdir) == metrics(reference)
    assert [line["step"] for line in metrics(workdir)] == list(range(1, 11))


def kill(workplace, name: str, workdir: pathlib.Path, step: int, seconds: float) -> None:
    """Trains, from a checkpoint if there is one, and is killed some time after the line of a step.

    A checkpoint follows the line of an even step and takes some 0.3 s to be written.
    """
    process = workplace.start(name, workdir)
    signal_at_step(process, step, seconds, signal.SIGKILL)
    workplace.finish(process, expected=-signal.SIGKILL)


def test_killed_and_terminated_it_comes_to_the_same_end(workplace, tmp_path):
    """kill -9 while a step runs and about when a checkpoint is written, then SIGTERM; and the same command again."""
    reference = workplace.finished("san_pg")
    kill(workplace, "san_pg", tmp_path, 1, 0.0)
    kill(workplace, "san_pg", tmp_path, 4, random.Random("san_pg").uniform(0.0, 0.3))
    process = workplace.start("san_pg", tmp_path, "checkpoint_every_epochs=100")
    signal_at_step(process, 7, 0.0, signal.SIGTERM)
    output = workplace.finish(process, expected=1)
    match = re.search(
        r"SIGTERM: stopped at step (\d+) of 10, saved in .*\. Run the same command again to go on\.", output
    )
    assert match, output
    assert checkpoint.latest_step(tmp_path / "checkpoints") == int(match[1])
    output = workplace.train("san_pg", tmp_path)
    assert f"goes on from step {match[1]} of" in output
    assert_same_run(tmp_path, reference)


def test_killed_with_two_kinds_of_batches_it_comes_to_the_same_end(workplace, tmp_path):
    """reID and PIT steps in turn, each with a place in its data to go on from."""
    reference = workplace.finished("san")
    kill(workplace, "san", tmp_path, 4, random.Random("san").uniform(0.0, 0.3))
    workplace.train("san", tmp_path)
    assert_same_run(tmp_path, reference)


def test_finished_run_is_left_as_it_is(workplace):
    workdir = workplace.finished("san_pg")
    before = (workdir / "metrics.jsonl").read_bytes()
    assert "finished 10 steps" in workplace.train("san_pg", workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_run_folder(workplace):
    workdir = workplace.finished("san")
    config = json.loads((workdir / "config.json").read_text())
    assert config["method"] == "san"
    assert config["optimizer"]["weight_decay"] == 5e-4
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["10", "8"]
    assert list(workdir.glob("events.out.tfevents.*"))
    first, second = metric_logger.read_metrics(workdir)[:2]
    parts = {"loss", "identification", "triplet", "reconstruction", "triplet_reid", "gradient_norm"}
    assert set(first) == {"step", "epoch", "learning_rate", "images_per_second", *(f"reid/{part}" for part in parts)}
    assert {"pit/loss", "pit/reconstruction", "pit/gradient_norm"} < set(second)


def test_joint_stage_says_what_it_takes_from_san_pg(workplace):
    workplace.finished("san")
    output = (workplace.folder / "san.txt").read_text()
    assert "step 10: taken encoder, decoder (parameters and running statistics); fresh classifier" in output
    assert re.search(
        r"encoder [\d,]+ parameters, decoder [\d,]+ \(\d\.\d\d of the encoder\), classifier [\d,]+", output
    )


def test_load_run(workplace):
    network, plan, _ = models.load_run(workplace.finished("san_pg"))
    assert plan.method == "san_pg"
    assert plan.image_size == (32, 32)
    assert network.classifier is None
    _, params, batch_stats = checkpoint.load_weights(workplace.finished("san_pg") / "checkpoints")
    jax.tree.map(np.testing.assert_array_equal, split_model(network)[1:], (params, batch_stats))
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32)
    assert jax.eval_shape(network, images).texture.shape == (2, 16, 16, 3)
    encoder, *_ = models.load_run(workplace.finished("san_pg"), encoder_only=True)
    assert encoder.decoder is None
    jax.tree.map(np.testing.assert_array_equal, split_model(encoder)[1], {"encoder": params["encoder"]})
    with pytest.raises(FileNotFoundError, match="expected the folder of a run"):
        models.load_run(workplace.folder)


@pytest.fixture
def one_device(monkeypatch):
    """Compiling for eight takes longer."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    monkeypatch.setattr(training.sharding, "make_mesh", lambda: mesh)


@pytest.fixture
def fake_steps(monkeypatch, one_device):
    """The real loop around steps that compute nothing; the fifth of each kind gives NaN."""

    def make_step(graphdef, optimizer, settings):
        def step(state, batch):
            value = np.float32("nan") if int(state.step) == 4 else np.float32(1.5)
            state = dataclasses.replace(state, step=jax.device_put(state.step + 1, state.step.sharding))
            return state, {"loss": value, "triplet": np.float32(0.25)}

        return step

    for name in ("make_reid_step", "make_pit_step"):
        monkeypatch.setattr(training.train_step, name, make_step)
    monkeypatch.setattr(jax, "transfer_guard", lambda level: contextlib.nullcontext())


def test_baseline_takes_the_encoder_alone(workplace, tmp_path, fake_steps, capsys):
    _, expected, _ = checkpoint.load_weights(workplace.finished("san_pg") / "checkpoints")
    training.run(workplace.config("baseline", "num_steps=4", "batch.num_identities=4"), tmp_path)
    output = capsys.readouterr().out
    assert "taken encoder (parameters and running statistics); fresh classifier; not used decoder" in output
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert set(params) == {"encoder", "classifier"}
    jax.tree.map(np.testing.assert_array_equal, params["encoder"], expected["encoder"])
    assert params["classifier"]["bias"].shape == (6,)  # the training identities


def test_diverging_run_stops_and_names_the_last_good_checkpoint(workplace, tmp_path, fake_steps):
    """Noticed before the state after it is saved, though no line was due."""
    config = workplace.config("san_pg", "log_every=100", "checkpoint_every_epochs=0.67")
    with pytest.raises(metric_logger.NonFiniteLossError) as error:
        training.run(config, tmp_path)
    message = str(error.value)
    assert "not finite at step 5: pit/loss nan, pit/triplet 0.25" in message
    assert f"Last good checkpoint: {tmp_path / 'checkpoints' / '4'}." in message
    assert checkpoint.latest_step(tmp_path / "checkpoints") == 4


def test_another_config_is_refused(workplace):
    workdir = workplace.finished("san_pg")
    with pytest.raises(training.RunError) as error:
        training.run(workplace.config("san_pg", "seed=1", "optimizer.b1=0.5", "log_every=7", "num_workers=2"), workdir)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{workdir} holds a run with another config:"
    assert lines[1:3] == ["  optimizer.b1: 0.9 there, 0.5 here", "  seed: 0 there, 1 here"]
    assert "log_every" not in str(error.value)
    assert folder.read_config(workdir).seed == 0


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("san_pg", ["method=pgg"], r"method must be one of .*, found 'pgg'"),
        (
            "san_pg",
            ["batch.pit_size=12"],
            r"batch.pit_size=12: 12 images cannot be split evenly over 8 devices. Set batch.pit_size to 8 or 16",
        ),
        ("san_pg", ["num_steps=3"], r"warmup_steps must lie in 0..num_steps-1 = 2, found 6"),
        ("san_pg", ["pit_dataset=pi"], r"No dataset 'pi' in .*Did you mean 'pit'\?"),
    ],
)
def test_config_that_no_run_can_be_made_of(workplace, tmp_path, name, overrides, message):
    with pytest.raises(ValueError, match=message):
        training.run(workplace.config(name, *overrides), tmp_path / "run")


def test_wrong_config_does_not_claim_the_workdir(workplace, tmp_path, fake_steps):
    with pytest.raises(ValueError, match="No dataset 'absent'"):
        training.run(workplace.config("san_pg", "pit_dataset=absent"), tmp_path)
    training.run(workplace.config("san_pg", "optimizer.warmup_epochs=0", "num_steps=2"), tmp_path)
    assert checkpoint.latest_step(tmp_path / "checkpoints") == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.width=4",
            r"start\.path=.*san_pg: the weights do not fit this model in \d+ arrays:\n  params \S+: expected",
        ),
        ("start.path=nowhere", r"start\.path=nowhere: there is no checkpoint in .*nowhere/checkpoints"),
    ],
)
def test_start_from_what_does_not_fit(workplace, tmp_path, one_device, override, message):
    workplace.finished("san_pg")
    config = workplace.config("san", "batch.num_identities=4", override)
    with pytest.raises(training.RunError, match=message):
        training.run(config, tmp_path)


def test_a_run_is_scored_as_it_trains(workplace, tmp_path, fake_steps, capsys):
    """By the function that is given, where the config says so and at the end; the scores are metrics."""
    asked = []

    def evaluate(network, plan):
        asked.append((network.classifier is not None, plan.reid.dataset))
        picture = np.full((4, 6, 3), 9, np.uint8)
        return training.Scores({"eval/mAP": 1.0 / len(asked)}, {"eval/ranked": picture})

    random_start = ("start.kind=random", "start.path=")
    config = workplace.config(
        "baseline", *random_start, "num_steps=3", "batch.num_identities=4", "eval_every_epochs=1.0"
    )
    training.run(config, tmp_path, evaluate=evaluate)
    assert asked == [(True, "pit_reid")] * 2  # an epoch has 2 steps
    scores = {line["step"]: line.get("eval/mAP") for line in metric_logger.read_metrics(tmp_path)}
    assert scores == {1: None, 2: 1.0, 3: 0.5}
    # The checkpoint of the higher score stays, beside the newest.
    assert checkpoint.find(tmp_path, "best") == (tmp_path / run_folder.BEST_FOLDER, 2)
    assert checkpoint.find(tmp_path) == (tmp_path / run_folder.CHECKPOINT_FOLDER, 3)
    assert "step 2 is the best until now (mAP 100.0)" in capsys.readouterr().out
    (events,) = (path.read_bytes() for path in tmp_path.glob("events.out.tfevents.*"))
    assert events.count(b"eval/ranked") == 2
