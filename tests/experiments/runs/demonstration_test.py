"""The demo's parts: fair configs, the clock over interruptions, and what is said of the machine."""

import json

import pytest

from experiments.command_line import config_files
from experiments.runs import demonstration
from experiments.runs.plan import resolve
from san_jax import optim


@pytest.fixture
def configs(tmp_path):
    return demonstration.train_configs(demonstration.Sizes(), tmp_path / "data", tmp_path / "runs" / "san_pg")


def test_baseline_and_san_differ_in_the_method_alone(configs):
    differing = config_files.differences(configs["baseline"], configs["san"])
    shared = {key for key, values in differing.items() if "absent" not in values}
    assert shared == {"method", "num_steps"}
    only_one_has = {key.partition(".")[0] for key in set(differing) - shared}
    assert "batch.num_identities" not in differing
    assert not only_one_has & {"seed", "dataset", "data_dir", "start", "image_size", "use_val"}
    san, baseline = configs["san"], configs["baseline"]
    assert san.batch_kinds == ("reid", "pit")
    assert san.num_steps == 2 * baseline.num_steps
    # The learning rate at the n-th reID batch is the same to the half step that a PIT batch is.
    schedules = []
    for config in (baseline, san):
        plan = resolve(config)
        steps = optim.ScheduleSteps(steps_per_epoch=25 * len(plan.batch_kinds), num_steps=config.num_steps)
        turns = [kind == "reid" for kind in plan.batch_kinds]
        schedules.append(optim.make_optimizer(plan.optimizer, steps, reid_turns=turns)[0])
    for batch in range(0, baseline.num_steps, 50):
        assert float(schedules[0](batch)) == pytest.approx(float(schedules[1](2 * batch)), rel=1e-5)


def test_networks_and_images_fit_together(configs):
    san_pg = configs["san_pg"]
    assert san_pg.model.to_dict() == {key: configs["san"].model[key] for key in san_pg.model}
    assert san_pg.image_size == configs["san"].image_size == configs["baseline"].image_size
    assert san_pg.batch.pit_size == configs["san"].batch.pit_size
    assert configs["san"].start == configs["baseline"].start
    assert (configs["san"].start.kind, configs["san_pg"].start.kind) == ("run", "random")


def test_configs_are_the_real_ones(configs):
    """Only sizes, optimizer, and erasing are the demo's; the rest is the paper's."""
    for name, config in configs.items():
        kept = config_files.differences(config_files.load(f"{name}.py"), config)
        assert [key for key in kept if key.startswith(("augment", "pit_augment"))] == (
            [] if name == "san_pg" else ["augment.erase_probability"]
        )
        assert [key for key in kept if key.startswith("loss")] == []


def test_clock_adds_up_over_interruptions(tmp_path, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(demonstration.time, "monotonic", lambda: now[0])
    path = tmp_path / "times.json"

    def interrupted():
        with demonstration.Clock(path).part("train", "4 steps"):
            now[0] += 30
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text())["train"] == {"seconds": 30.0, "what": "4 steps", "complete": False}
    clock = demonstration.Clock(path)
    with clock.part("train", "4 steps"):
        now[0] += 12
    again = demonstration.Clock(path)
    with again.part("train", "4 steps"):  # finds everything there
        now[0] += 3
    with again.part("score", "two models"):
        now[0] += 5
    assert again.rows() == [("train", 42.0, "4 steps"), ("score", 5.0, "two models")]
    assert "train: 4 steps (complete already)" in capsys.readouterr().out


def test_facts_name_machine_commit_and_seed():
    facts = dict(demonstration.facts(demonstration.Sizes()))
    assert "cores" in facts["processor"]
    assert facts["seed"].startswith("0 ")
    assert len(facts["commit"].split()[0]) == 40 or facts["commit"] == "not a git checkout"
