"""Parts of the method do only what is missing, and `:smoke` gets the data it needs: what is called, with what."""

import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.command_line import config_files
from experiments.runs import data_sources, ensure, folder, rendering, smoke, targets
from experiments.runs.errors import RunError
from experiments.runs.plan import resolve
from san_jax.data import sampler
from tests.experiments import train_data


@pytest.fixture
def calls(monkeypatch):
    """Replaces the programs by notes of their calls."""
    notes = []

    def render(config, *, output_dir, data_dir, num_workers):
        notes.append(("render", config.recipe, pathlib.Path(output_dir), data_dir))

    monkeypatch.setattr(ensure.rendering, "run", render)
    monkeypatch.setattr(ensure.training, "run", lambda config, workdir: notes.append(("train", config, workdir)))
    monkeypatch.setattr(
        ensure.pseudo_textures,
        "run_dataset",
        lambda workdir, dataset, data_dir: notes.append(("textures", workdir, dataset, data_dir)),
    )
    return notes


def write_run(config, workdir, *, step):
    """A run of 8 steps as training leaves it at a step: config, data and an (empty) checkpoint."""
    folder.write_records(workdir, config, {folder.NUM_STEPS: 8}, {})
    (workdir / "checkpoints" / str(step)).mkdir(parents=True)


def test_a_complete_run_is_left_alone(calls, tmp_path):
    config = config_files.load("baseline.py:smoke")
    write_run(config, tmp_path, step=8)
    ensure.ensure_run(config, tmp_path)
    free = config_files.load("baseline.py:smoke,log_every=3")  # changes nothing that is computed
    ensure.ensure_run(free, tmp_path)
    assert calls == []


@pytest.mark.parametrize("variant", ["baseline.py:smoke,seed=5", "baseline.py:smoke,num_steps=9"])
def test_another_run_goes_to_the_program(calls, tmp_path, variant):
    """Which refuses it, or goes on; a complete run is never taken for another one."""
    write_run(config_files.load("baseline.py:smoke"), tmp_path, step=8)
    config = config_files.load(variant)
    ensure.ensure_run(config, tmp_path)
    assert calls == [("train", config, tmp_path)]


def test_another_config_is_refused_by_training(tmp_path):
    write_run(config_files.load("baseline.py:smoke"), tmp_path, step=8)
    with pytest.raises(RunError, match="seed: 0 there, 5 here"):
        ensure.ensure_run(config_files.load("baseline.py:smoke,seed=5"), tmp_path)


def test_an_interrupted_run_goes_on(calls, tmp_path):
    config = config_files.load("baseline.py:smoke")
    write_run(config, tmp_path, step=4)
    ensure.ensure_run(config, tmp_path)
    assert calls == [("train", config, tmp_path)]


def test_smoke_of_san_pg_and_baseline(calls):
    smoke.ensure_inputs(config_files.load("san_pg.py:smoke,data_dir=d"))
    smoke.ensure_inputs(config_files.load("baseline.py:smoke,data_dir=d"))
    assert calls == [
        ("render", "pit", pathlib.Path("d/rendered/pit"), "d"),
        ("render", "pit_reid", pathlib.Path("d/rendered/pit_reid"), "d"),
    ]


def test_smoke_of_san_makes_its_own_san_pg(calls):
    config = config_files.load("san.py:smoke,data_dir=d,start.path=pg,model.width=4,image_size=(96,48)")
    smoke.ensure_inputs(config)
    assert [call[0] for call in calls] == ["render", "render", "train", "textures"]
    _, san_pg, workdir = calls[2]
    assert workdir == "pg"
    assert san_pg.method == "san_pg"
    assert san_pg.prepare == "smoke"
    assert san_pg.data_dir == "d"
    assert san_pg.image_size == (96, 48)
    # So that every weight of encoder and decoder fits; the head is the SAN's own.
    assert san_pg.model.to_dict() == {key: config.model[key] for key in san_pg.model}
    assert san_pg.target.kind == "texture"
    assert calls[3] == ("textures", "pg", "pit_reid", "d")


@pytest.mark.parametrize(
    ("target", "regressed", "made"),
    [
        ("texture", "texture", ["textures"]),
        ("frontal", "frontal", ["textures"]),  # which are frontal views: the program sees it by the run
        ("input", "input", []),
        ("true_texture", "texture", []),
        ("folder", "texture", ["folder"]),
    ],
)
def test_smoke_of_each_target(calls, monkeypatch, target, regressed, made):
    monkeypatch.setattr(smoke.ensure, "ensure_targets", lambda *arguments: calls.append(("folder", *arguments)))
    variant = "target.path=t,batch_kinds=('reid',)" if target == "folder" else ""
    smoke.ensure_inputs(config_files.load(f"san.py:smoke,data_dir=d,start.path=pg,target.kind={target},{variant}"))
    assert [call[0] for call in calls] == ["render", "render", "train", *made]
    assert calls[2][1].target.kind == regressed
    if made:
        assert calls[3] == (
            ("folder", "pit_reid", "t", "d") if target == "folder" else ("textures", "pg", "pit_reid", "d")
        )


def test_smoke_of_a_baseline_on_textures(calls):
    smoke.ensure_inputs(
        config_files.load("baseline.py:smoke,data_dir=d,input.kind=texture,input.path=pg,model.width=4")
    )
    assert [call[0] for call in calls] == ["render", "render", "train", "textures"]
    _, san_pg, workdir = calls[2]
    assert (workdir, san_pg.method, san_pg.target.kind, san_pg.model.width) == ("pg", "san_pg", "texture", 4)
    assert calls[3] == ("textures", "pg", "pit_reid", "d")


def test_targets_for_smoke_are_what_training_asks_for(tmp_path):
    train_data.build_benchmark(tmp_path, "toy/first", {"train": [0, 1], "val": [1], "query": [5]})
    for _ in range(2):
        ensure.ensure_targets("toy/first", tmp_path / "targets", tmp_path)
    source = data_sources.open_source("toy/first", "train+val", tmp_path)
    examples, _ = targets.open_folder(source, tmp_path / "targets")
    assert len(examples) == 3
    np.testing.assert_array_equal(examples[2]["target"], source[2]["image"][:, ::-1])


def test_smoke_that_cannot_be_rendered_is_told(monkeypatch, tmp_path):
    def fail(config, **arguments):
        raise rendering.RenderError("No offscreen OpenGL could be loaded.")

    monkeypatch.setattr(rendering, "run", fail)
    with pytest.raises(smoke.SmokeError, match=r"No offscreen OpenGL could be loaded\."):
        smoke.ensure_inputs(config_files.load(f"baseline.py:smoke,data_dir={tmp_path}"))


def test_smoke_of_fine_tuning_makes_the_run_it_starts_from(calls):
    baseline = config_files.load("baseline_partial.py:smoke,data_dir=d,start.path=b,model.width=4,image_size=(96,48)")
    smoke.ensure_inputs(baseline)
    assert [call[0] for call in calls] == ["render", "train"]
    _, start, workdir = calls[1]
    assert workdir == "b"
    assert config_files.differences(config_files.load("baseline.py:smoke"), start) == {
        "data_dir": ("data/smoke", "d"),
        "image_size": ((64, 32), (96, 48)),
        "model.width": (8, 4),
        "prepare": ("smoke", ""),
    }

    calls.clear()
    smoke.ensure_inputs(config_files.load("san_partial.py:smoke,data_dir=d,start.path=s"))
    assert [call[0] for call in calls] == ["render", "render", "train", "textures", "train"]
    _, san_pg, san_pg_folder = calls[2]
    _, start, workdir = calls[4]
    assert (san_pg.method, san_pg_folder) == ("san_pg", "s_pg")
    assert (start.method, start.start.path, start.start.classifier, workdir) == ("san", "s_pg", False, "s")
    assert start.augment.crop_probability == 0.0


@pytest.mark.parametrize("changes", ["batch.num_identities=2", "batch_kinds=('reid',)"])
def test_the_run_that_smoke_starts_from_can_start_whatever_was_changed(changes):
    config = config_files.load(f"san_partial.py:smoke,{changes}")
    plan = resolve(smoke.start_config(config, resolve(config)))
    assert plan.start.path == f"{config.start.path}_pg"
    assert plan.batch_kinds == tuple(config.batch_kinds)


def test_smoke_sizes_suffice():
    """Every :smoke config finds enough identities for its batch, and rank-10 enough gallery images."""
    rendered = config_files.load(f"pit_reid.py:{smoke.SIZES['pit_reid']}")
    for name in ("baseline", "san", "baseline_partial", "san_partial"):
        batch = config_files.load(f"{name}.py:smoke").batch
        labels = [i for i in range(rendered.num_train_identities) for _ in range(rendered.images_per_identity)]
        sampler.IdentitySampler.from_labels(
            np.array(labels),
            seed=0,
            num_identities=batch.num_identities,
            images_per_identity=batch.images_per_identity,
        )
    per_identity = rendered.images_per_identity - rendered.queries_per_identity
    assert rendered.num_test_identities * per_identity + rendered.num_distractors >= 10


def test_smoke_data_only_for_what_can_be_rendered(calls):
    with pytest.raises(smoke.SmokeError, match="renders pit_reid, but the config asks for 'market1501'"):
        smoke.ensure_inputs(config_files.load("baseline.py:smoke,dataset=market1501"))
    for name in ("san", "baseline_partial", "san_partial"):
        with pytest.raises(RunError, match=r"needs start\.path"):
            smoke.ensure_inputs(config_files.load(f"{name}.py:smoke,start.path="))
    assert [call for call in calls if call[0] == "train"] == []


def test_several_processes_make_no_data(calls, monkeypatch):
    monkeypatch.setattr(smoke.jax, "process_count", lambda: 2)
    smoke.ensure_inputs(config_files.load("baseline.py:smoke"))
    assert calls == []


def test_render_folder(calls):
    rendered = ensure.ensure_rendered(ConfigDict({"recipe": "pit"}), "d")
    assert rendered == pathlib.Path("d/rendered/pit")
