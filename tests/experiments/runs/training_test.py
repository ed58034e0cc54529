"""What training says and notes of its data, how long it is, and fine-tuning on partial images.

The real loop on a benchmark with train and val; steps compute nothing but where a test is about what they compute.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import datasets
from experiments.command_line import config_files
from experiments.runs import folder, models, training, training_data
from experiments.runs.plan import resolve
from san_jax import checkpoint, sharding, train_state
from san_jax.models.weights.names import torch_names
from tests import dataset_fixtures
from tests.experiments import train_data

SMALL = (
    "smoke,prepare=,dataset=toy/first,image_size=(32, 32),model.width=2,batch.num_identities=2,"
    "batch.images_per_identity=4,num_steps=2,log_every=1,checkpoint_every_epochs=0.6,"
    "optimizer.warmup_epochs=0"
)

# What data.json says of `data_dir`'s datasets.
FIRST = {
    "dataset": "toy/first",
    "splits": ["train", "val"],
    "images": 9,
    "identities": 5,
    "partial": False,
    "source_digest": "toy/first",
    "pit": None,
}
OTHER = {**FIRST, "dataset": "other", "splits": ["train"], "images": 5, "source_digest": "other"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """`toy/first`: 5 persons, the last of them in val alone; the others have train alone, `gaps` with gaps in its labels."""
    folder = tmp_path_factory.mktemp("data")
    persons = [0, 0, 1, 1, 2, 2, 3]
    train_data.build_benchmark(folder, "toy/first", {"train": persons, "val": [3, 4], "query": [7]})
    train_data.build_benchmark(folder, "other", {"train": [0, 1, 2, 3, 4]}, partial=True)
    train_data.build_benchmark(folder, "fewer", {"train": [0, 1, 2]})
    train_data.build_benchmark(folder, "gaps", {"train": [5, 5, 5000, 17]})
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_device():
    """Compiling for eight is most of the time here."""
    with pytest.MonkeyPatch.context() as patch:
        mesh = sharding.make_mesh(jax.devices()[:1])
        patch.setattr(training.sharding, "make_mesh", lambda: mesh)
        yield


@pytest.fixture
def fake_steps(monkeypatch):
    """Steps that only count."""
    patch_steps(monkeypatch)


def patch_steps(monkeypatch):
    def make_step(graphdef, optimizer, settings):
        def step(state, batch):
            state = dataclasses.replace(state, step=jax.device_put(state.step + 1, state.step.sharding))
            return state, {"loss": np.float32(1.0)}

        return step

    for name in ("make_reid_step", "make_pit_step"):
        monkeypatch.setattr(training.train_step, name, make_step)
    monkeypatch.setattr(jax, "transfer_guard", lambda level: contextlib.nullcontext())


def load(data_dir: pathlib.Path, name: str = "baseline", **changes):
    config = config_files.load(f"{name}.py:{SMALL},data_dir={data_dir}")
    for key, value in changes.items():
        config_files.override(config, key.replace("__", "."), str(value))
    return config


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """The folder of a baseline run on `toy/first`."""
    workdir = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch_steps(patch)
        training.run(load(data_dir), workdir)
    return workdir


def test_labels_with_gaps_make_no_classes_without_images(data_dir, tmp_path, fake_steps, capsys):
    """A dataset of another program keeps the numbers of its persons."""
    training.run(load(data_dir, dataset="gaps"), tmp_path)
    assert "trains on gaps, train: 4 images of 3 identities" in capsys.readouterr().out
    assert models.load_run(tmp_path)[0].classifier.kernel.shape[1] == 3


def test_trains_on_val_too_and_says_so(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        "trains on toy/first, train + val: 9 images of 5 identities",
        "an epoch has 3 steps (5 identities / 2)",
        "length 2 steps = 0.6667 epochs; rate halved every 120 steps = 40 epochs; checkpoint every 2 steps = 0.6667 epochs",
    ]
    assert folder.read_data(tmp_path) == {**FIRST, "num_steps": 2, "started_from": {}}
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert params["classifier"]["bias"].shape == (5,)


def test_one_of_anything_is_singular(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir, batch__num_identities=5, num_steps=1), tmp_path)
    out = capsys.readouterr().out
    assert "an epoch has 1 step (5 identities / 5)" in out
    assert "length 1 step = 1 epoch; " in out
    assert "finished 1 step: " in out
    assert ", 1 process\n" in out


def test_a_run_keeps_the_mirror_map_of_its_pit(tmp_path, fake_steps):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    built = datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    config = config_files.load(
        f"san_pg.py:smoke,prepare=,data_dir={tmp_path / 'data'},image_size=(32, 32),model.width=2,model.texture_size=16,"
        "batch.pit_size=2,num_steps=2,log_every=1,optimizer.warmup_epochs=0"
    )
    training.run(config, tmp_path / "run")
    content = (tmp_path / "rendered" / "mirror_map.npy").read_bytes()
    assert (tmp_path / "run" / "mirror_map.npy").read_bytes() == content
    # Noise is not taken along.
    (built / "mirror_map.npy").write_bytes(content[:-1])
    with pytest.raises(datasets.DatasetError, match=r"mirror_map.npy: expected an uncompressed"):
        training.run(config, tmp_path / "damaged")


def test_without_val(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir, use_val=False), tmp_path)
    assert "trains on toy/first, train: 7 images of 4 identities\n" in capsys.readouterr().out
    data = folder.read_data(tmp_path)
    assert (data["splits"], data["images"], data["identities"]) == (["train"], 7, 4)
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert params["classifier"]["bias"].shape == (4,)


def test_partial_copy_is_told(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir, dataset="other"), tmp_path)
    output = capsys.readouterr().out
    assert "5 images of 5 identities (PARTIAL: built from an incomplete copy of the benchmark)" in output
    assert folder.read_data(tmp_path)["partial"] is True


def test_a_run_is_as_many_epochs_long_on_any_data(data_dir, tmp_path, fake_steps):
    """The same command with another dataset needs no other number."""
    for dataset, epoch in (("toy/first", 3), ("fewer", 2)):
        workdir = tmp_path / dataset
        config = load(data_dir, dataset=dataset, num_steps=0, num_epochs=2, checkpoint_every_epochs=1)
        training.run(config, workdir)
        data = folder.read_data(workdir)
        assert data is not None
        assert data["num_steps"] == 2 * epoch
        assert folder.newest_step(workdir) == 2 * epoch
        assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == [str(epoch), str(2 * epoch)]


@pytest.mark.parametrize(
    ("config", "identities", "steps", "words"),
    [
        ("baseline.py", 751, (47, 15040), "751 identities / 16"),
        ("san.py", 751, (94, 30080), "751 identities / 16 = 47 reID steps, with the PIT steps between them"),
        ("san.py:batch_kinds=('reid','reid','pit')", 751, (71, 22720), "751 identities / 16 = 47 reID steps, with the"),
        ("san.py:dataset=dukemtmc_reid", 702, (88, 28160), "702 identities / 16"),
        ("san.py:dataset=msmt17", 1041, (132, 42240), "1,041 identities / 16"),
        ("san_released.py", 767, (48, 15360), "767 identities / 16"),
        ("san_partial.py", 751, (94, 3760), "751 identities / 16"),
        ("san_pg.py", None, (146, 14600), "9,290 pairs / 64"),
    ],
)
def test_epochs_of_the_real_benchmarks(config, identities, steps, words):
    plan = resolve(config_files.load(config))
    epoch = training_data.count_steps_of_epoch(plan, identities, 9290)
    assert (epoch.steps, plan.length.in_steps(epoch.steps).total) == steps
    assert epoch.words.startswith(words)


def test_another_data_of_the_same_name_is_refused(data_dir, tmp_path, fake_steps, monkeypatch):
    training.run(load(data_dir), tmp_path)
    noted = folder.read_data(tmp_path)
    (tmp_path / "data.json").write_text(json.dumps({**noted, "images": 8, "source_digest": "abc"}))
    told = []
    monkeypatch.setattr(training.sharding, "first_message", lambda text: told.append(text) or text)
    with pytest.raises(training.RunError) as error:
        training.run(load(data_dir), tmp_path)
    assert str(error.value).splitlines()[:3] == [
        f"{tmp_path} holds a run on other data:",
        "  images: 8 there, 9 now",
        "  source_digest: 'abc' there, 'toy/first' now",
    ]
    assert told[-1] == str(error.value)  # processes that train together do not wait for the one that is refused


def test_fine_tuning_on_partial_images(trained, data_dir, tmp_path, capsys):
    """From encoder and classifier of the trained run; two small steps, real ones, away from them at the end."""
    config = load(data_dir, "baseline_partial", start__path=trained)
    assert config.augment.crop_probability == 0.5
    training.run(config, tmp_path)
    output = capsys.readouterr().out
    assert f"starts from {trained}, step 2: taken encoder, classifier (parameters and running statistics)" in output
    _, start, _ = checkpoint.load_weights(trained / "checkpoints")
    _, end, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    moved = [float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True)]
    # A step of Adam moves an element by at most the rate times (1 - b1) / sqrt(1 - b2): 3.2 x 8e-5.
    assert 0.0 < max(moved) < 2 * 3.2 * 8e-5


@pytest.mark.parametrize(("name", "probability"), [("baseline", 0.0), ("baseline_partial", 0.5)])
def test_crops_reach_the_step(trained, data_dir, tmp_path, fake_steps, monkeypatch, name, probability):
    seen = []
    make_step = training.train_step.make_reid_step

    def noting(graphdef, optimizer, settings):
        seen.append((settings.augment.crop_probability, settings.augment.crop_height, settings.augment.crop_width))
        return make_step(graphdef, optimizer, settings)

    monkeypatch.setattr(training.train_step, "make_reid_step", noting)
    training.run(load(data_dir, name, start__kind="run", start__path=trained), tmp_path)
    assert seen == [(probability, (0.4, 1.0), (0.5, 1.0))]


def test_what_earlier_runs_were_trained_on_is_noted(trained, data_dir, tmp_path, fake_steps):
    """Also where an earlier run's folder is gone when this one goes on."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    shutil.copytree(trained, first)
    training.run(load(data_dir, start__kind="run", start__path=first, dataset="other"), second)
    training.run(load(data_dir, start__kind="run", start__path=second), third)
    length = {"num_steps": 2}
    expected = {str(second): {**OTHER, **length, "partial": True}, str(first): {**FIRST, **length}}
    assert folder.read_data(third) == {**FIRST, **length, "started_from": expected}
    shutil.rmtree(first)
    shutil.rmtree(second)
    training.run(load(data_dir, start__kind="run", start__path=second), third)
    assert folder.read_data(third)["started_from"] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "fewer"}, "its classifier knows 5 identities of toy/first, fewer has 3 here. Train on the data"),
        (
            {"dataset": "other"},
            "its classifier knows the identities of toy/first, train + val, not those of other, train. Train on",
        ),
        ({"use_val": False}, "its classifier knows 5 identities of toy/first, toy/first has 4 here. Train on"),
    ],
)
def test_classifier_of_other_identities(trained, data_dir, tmp_path, changes, message):
    with pytest.raises(training.RunError) as error:
        training.run(load(data_dir, "baseline_partial", start__path=trained, **changes), tmp_path)
    assert f"start.path={trained}: {message}" in str(error.value)
    assert "start.classifier=false" in str(error.value)


def test_nothing_to_take_a_classifier_from(data_dir, tmp_path, monkeypatch):
    with pytest.raises(training.RunError, match=r"start\.path=absent: there is no checkpoint"):
        training.run(load(data_dir, "baseline_partial", start__path="absent"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(training.checkpoint, "load_weights", lambda folder, sharding: (2, {"encoder": {}}, {}))
    with pytest.raises(training.RunError, match=r"start\.path=pg: that run has no classifier to take"):
        training.run(load(data_dir, "baseline_partial", start__path="pg"), tmp_path / "run")


def test_weights_of_a_file_are_taken_and_noted(data_dir, tmp_path, fake_steps, capsys):
    """The encoder begins with them; a run that goes on, or begins with that run's weights, does not need the file."""
    golden = pathlib.Path(__file__).parents[2] / "golden" / "weight_files" / "resnet.safetensors"
    file = shutil.copy(golden, tmp_path / "weights.safetensors")
    noted = {"file": str(file), "sha256": hashlib.sha256(golden.read_bytes()).hexdigest()}
    sizes = {"model__stage_sizes": (1, 2, 1, 1)}
    changes = {**sizes, "start__kind": "file", "start__path": file}
    first, second = tmp_path / "first", tmp_path / "second"
    training.run(load(data_dir, **changes), first)
    assert f"encoder from {file} (SHA-256 {noted['sha256']})" in capsys.readouterr().out
    expected = {**FIRST, "num_steps": 2, "weights_file": noted, "started_from": {}}
    assert folder.read_data(first) == expected
    _, params, batch_stats = checkpoint.load_weights(first / "checkpoints")
    taken = train_state.flatten(params["encoder"]) | train_state.flatten(batch_stats["encoder"])
    tensors = safetensors.numpy.load_file(golden)
    names = torch_names(models.load_run(first, encoder_only=True)[0].encoder)
    assert taken.keys() == names.keys()
    for leaf, (name, transform) in names.items():
        np.testing.assert_array_equal(taken[leaf], transform.to_jax(tensors[name]), err_msg=name)
    pathlib.Path(file).unlink()
    training.run(load(data_dir, **changes), first)
    assert folder.read_data(first) == expected
    training.run(load(data_dir, start__kind="run", start__path=first, **sizes), second)
    del expected["started_from"]
    assert folder.read_data(second) == {**FIRST, "num_steps": 2, "started_from": {str(first): expected}}


def test_a_run_that_could_not_be_scored_as_it_trains_does_not_start(data_dir, tmp_path):
    """`toy/first` has a query and no gallery; nothing is told of it hours later."""
    config = load(data_dir, eval_every_epochs=1.0)
    with pytest.raises(training.RunError, match="scores the run on toy/first, which has no split gallery"):
        training.run(config, tmp_path / "run", evaluate=lambda model, plan: training.Scores({}, {}))
    assert not (tmp_path / "run").exists()


def test_held_out_identities_are_not_trained_on(data_dir, tmp_path, fake_steps, capsys):
    """Classes are numbered without them, and the record says that they are missing."""

    def evaluate(model, plan):
        assert (plan.scored_on, plan.reid.held_out) == ("", 1)
        return training.Scores({"eval/mAP": 0.5}, {})

    config = load(data_dir, held_out_identities=1, eval_every_epochs=1.0)
    training.run(config, tmp_path, evaluate=evaluate)
    noted = folder.read_data(tmp_path)
    assert (noted["identities"], noted["held_out_identities"]) == (4, 1)
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert params["classifier"]["bias"].shape == (4,)
    assert "of 4 identities" in capsys.readouterr().out
    with pytest.raises(training.RunError, match="held_out_identities: 1 there, 2 here"):
        training.run(load(data_dir, held_out_identities=2, eval_every_epochs=1.0), tmp_path, evaluate=evaluate)
