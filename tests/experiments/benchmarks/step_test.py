"""The step's benchmark on the smallest networks: what is timed, by which rule, and against which bound."""

import contextlib
import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import step, step_data
from experiments.benchmarks.options import StepOptions
from experiments.command_line import config_files
from experiments.runs import training_data
from experiments.runs.errors import Problems
from san_jax import sharding, train_state
from tests.experiments import train_data

SMALLEST = (
    "san.py:smoke,model.width=4,image_size=(32, 16),model.texture_size=16,batch.num_identities=4,batch.pit_size=8"
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train_data.build_all(tmp_path_factory.mktemp("benchmark"), num_pairs=10, num_ids=6, per_id=2))


@pytest.fixture(scope="module")
def measured(data_dir: str) -> dict:
    """With EMA, mirrored textures and targets, which all reach the steps; the training set without textures fits."""
    config = config_files.load(f"{SMALLEST},ema_decay=0.9,augment.mirror_textures=True,target.kind=true_texture")
    mesh = sharding.make_mesh(jax.devices()[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step.sharding, "make_mesh", lambda: mesh)
        # 40 % may be used: 12 images take 18 KB, with textures and the pairs of PIT it is 51 KB.
        patch.setattr(step.feeding, "_device_bytes", lambda mesh: 80_000.0)
        return step.measure(config, StepOptions(dtypes=("float32",), data_dir=data_dir, seconds=0.0))


def test_every_way_of_feeding_is_timed_against_the_fixed_batch(measured: dict):
    rows = measured["batches"]["8"]["programs"]
    ours = {name: row for name, row in rows.items() if not name.startswith("PyTorch")}
    assert {name: row["reference"] for name, row in ours.items()} == {
        "SAN float32, fixed batch": "SAN float32, fixed batch",
        "SAN float32, from the pipeline": "SAN float32, fixed batch",
        "baseline float32, fixed batch": "baseline float32, fixed batch",
        "baseline float32, from the pipeline": "baseline float32, fixed batch",
        "baseline float32, from device memory": "baseline float32, fixed batch",
    }
    assert ours["SAN float32, fixed batch"]["ratio"] == 1.0
    assert all(row["items_per_second"] > 0 for row in ours.values())
    assert measured["batches"]["8"]["finite"] == {"SAN float32": True, "baseline float32": True}
    assert {name: list(seconds) for name, seconds in measured["batches"]["8"]["compile_seconds"].items()} == {
        "SAN float32": ["reid", "pit"],
        "baseline float32": ["reid", "reid from device memory"],
    }
    json.dumps(measured, allow_nan=False)


def test_what_is_not_there_is_named(measured: dict):
    left_out = dict(measured["left_out"])
    reason = left_out.pop("SAN float32, from device memory")
    assert "the decoded training set has" in reason
    assert f"SAN float32, from device memory: {reason}" in step.table(measured)
    if importlib.util.find_spec("torch") is None:
        assert left_out == {"PyTorch": "not installed, left out"}
        assert "PyTorch: not installed, left out" in step.table(measured)
    else:
        assert left_out == {}
        row = measured["batches"]["8"]["programs"]["PyTorch SAN eager float32, fixed batch"]
        assert row["reference"] == "SAN float32, fixed batch"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that add up what is in their batches, weighted by their number, in place of training."""

    def make_steps(plan, lengths, graphdef, optimizer, mirror_maps, mesh):
        def step_of(weight):
            def one(state, batch):
                seen = (state.step + weight) * jnp.sum(batch["image"].astype(jnp.int32))
                return dataclasses.replace(state, step=state.step + 1, opt_state=state.opt_state + seen), {"loss": 1.0}

            return jax.jit(one, donate_argnums=0)

        return {kind: step_of(weight) for weight, kind in enumerate(plan.batch_kinds)}

    def start(make, mesh):
        return train_state.TrainState(jnp.zeros((), jnp.int32), {}, {}, jnp.zeros((), jnp.int32))

    monkeypatch.setattr(step.steps_of_plan, "make_steps", make_steps)
    monkeypatch.setattr(step.sharding, "init_replicated", start)


@pytest.mark.usefixtures("counted")
def test_every_way_of_feeding_gives_the_steps_the_same_batches(data_dir: str):
    mesh, options = sharding.make_mesh(jax.devices()[:1]), StepOptions(dtypes=("float32",), data_dir=data_dir)
    config = config_files.load(f"{SMALLEST},target.kind=true_texture,steps_per_dispatch=4")
    variant = step_data.variants(config, options, 0)[0]
    states = {}
    for source in ("from the pipeline", "from device memory", "from device memory, 4 steps a call"):
        with contextlib.ExitStack() as stack:
            data = training_data.find(variant.plan, mesh, Problems(), stack)
            assert data is not None
            fed = step._keep_on_device(variant, data, mesh, {}, stack)
            assert fed is not None
            trainee = step.Trainee(variant, data, mesh, fed)
            # What was compiled and held fixed has taken batches.
            for stream in (*data.streams.values(), *fed.streams.values()):
                stream.set_state({"next_step": 0})
            assert trainee.sources[source].at_once == (2 if "4 steps" in source else 1)
            trainee.sources[source].run(2)
            assert trainee.is_finite()
            states[source] = tuple(map(int, (trainee._state.step, trainee._state.opt_state)))
    assert len(set(states.values())) == 1
    assert states["from the pipeline"][0] == 4


def test_the_plan_is_the_configs(measured: dict, data_dir: str):
    """All keys of the config reach what is timed; the benchmark changes its own only."""
    changes = "ema_decay=0.5,augment.mirror_textures=True,augment.flip_probability=0.25,loss.triplet=2.0"
    options = StepOptions(dtypes=("bfloat16", "float32"), data_dir=data_dir)
    san, san32, base, _ = step_data.variants(config_files.load(f"{SMALLEST},{changes}"), options, 0)
    assert (san.name, san.first) == ("SAN bfloat16", "SAN bfloat16")
    assert (san32.name, san32.first) == ("SAN float32", "SAN bfloat16")
    assert san.plan.augment["reid"].mirror_textures
    assert (san.plan.ema_decay, base.plan.ema_decay) == (0.5, 0.5)
    assert base.plan.augment["reid"].flip_probability == 0.25
    assert base.plan.loss.triplet == 2.0
    assert (base.plan.method, base.plan.target, base.plan.model.width) == ("baseline", None, 4)
    assert (san.plan.model.compute_dtype, san32.plan.model.compute_dtype) == ("bfloat16", "float32")
    assert san.num_classes is None


def test_without_data_pictures_are_rendered_for_the_batch(monkeypatch: pytest.MonkeyPatch):
    made = []
    monkeypatch.setattr(step_data.ensure, "ensure_rendered", lambda config, folder: made.append((config, folder)))
    found = step_data.variants(config_files.load("san.py"), StepOptions(dtypes=("float32",)), 256)
    step_data.ensure_data([variant.plan for variant in found])
    san = found[0].plan
    assert (san.batch_size("reid"), san.batch_size("pit")) == (256, 256)
    assert san.target is not None
    assert (san.target.kind, san.read_as("reid"), san.read_as("pit")) == ("true_texture", "pit_reid", "pit")
    assert (made[0][0].recipe, made[0][0].num_train_identities) == ("pit_reid", 64)
    assert str(made[0][1]) == "data/benchmark/64_identities"
    assert [variant.num_classes for variant in found] == [751, 751]


def test_a_batch_size_that_holds_no_whole_identities_is_refused():
    with pytest.raises(ValueError, match=r"expected a multiple of 4, found 62\. Change --batch_sizes\."):
        step_data.variants(config_files.load("san.py"), StepOptions(), 62)


def test_the_share_of_the_bound_is_images_over_images(tmp_path, data_dir: str, measured: dict):
    """A bound of 2 + 3 ms for 16 images is 3,200 images/s; files for another dtype or batch do not count."""
    steps = {"reid": {"batch": 8, "bound": {"milliseconds": 2.0}}, "pit": {"batch": 8, "bound": {"milliseconds": 3.0}}}
    bound = {"plan": ["method: san"], "compute_dtype": "float32", "steps": steps}
    found = step_data.variants(config_files.load(SMALLEST), StepOptions(data_dir=data_dir), 0)
    rows = {"SAN float32, fixed batch": {"items_per_second": 1600.0}, "SAN bfloat16, fixed batch": {}}
    shares = step._held_against({"a.json": bound}, found, rows)
    assert shares == {"SAN float32, fixed batch": {"file": "a.json", "images_per_second": 3200.0, "share": 0.5}}
    other = {**bound, "steps": {kind: {**value, "batch": 64} for kind, value in steps.items()}}
    assert step._held_against({"a.json": other}, found, rows) == {}
    text = step.table({**measured, "batches": {"8": {**measured["batches"]["8"], "bounds": shares}}})
    assert "SAN float32, fixed batch: 50 % of the bound of 3200 images/s (a.json)" in text
    with pytest.raises(ValueError, match=r"--bound: expected the JSON of `python -m experiments\.train_compile"):
        step._held_against({"a.json": {"other": 1}}, found, rows)
