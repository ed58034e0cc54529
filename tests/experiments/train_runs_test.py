"""What training says and notes of its data, runs of earlier versions, and fine-tuning on partial images.

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
from experiments.runs import restore, training
from san_jax import checkpoint, sharding, train_state
from san_jax.models.weights.names import torch_names
from tests import dataset_fixtures
from tests.experiments import train_data

SMALL = (
    "smoke,prepare=,dataset=toy/first,image_size=(32, 32),model.width=2,batch.num_identities=2,"
    "batch.images_per_identity=4,num_steps=2,log_every=1,checkpoint_every=2,optimizer.steps_per_epoch=3,"
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
    def make_step(kind, *arguments, **keywords):
        def step(state, batch):
            state = dataclasses.replace(state, step=jax.device_put(state.step + 1, state.step.sharding))
            return state, {"loss": np.float32(1.0)}

        return step

    monkeypatch.setattr(training.train_step, "make_step", make_step)
    monkeypatch.setattr(jax, "transfer_guard", lambda level: contextlib.nullcontext())


def load(data_dir: pathlib.Path, name: str = "baseline", **changes):
    config = config_files.load(f"{name}.py:{SMALL},data_dir={data_dir},init_from=")
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
    training.run(load(data_dir, dataset="gaps", optimizer__steps_per_epoch=2), tmp_path)
    assert "trains on gaps, train: 4 images of 3 identities" in capsys.readouterr().out
    assert restore.load_run(tmp_path)[0].classifier.kernel.shape[1] == 3


def test_trains_on_val_too_and_says_so(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "trains on toy/first, train + val: 9 images of 5 identities",
        "steps in an epoch: 3 (5 identities / 2); num_steps=2 is 0.6667 epochs",
    ]
    assert restore.read_data(tmp_path) == {**FIRST, "started_from": {}}
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert params["classifier"]["bias"].shape == (5,)


def test_a_run_keeps_the_mirror_map_of_its_pit(tmp_path, fake_steps):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    folder = datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    config = config_files.load(
        f"san_pg.py:smoke,prepare=,data_dir={tmp_path / 'data'},image_size=(32, 32),model.width=2,model.texture_size=16,"
        "batch.pit_size=2,num_steps=2,log_every=1,checkpoint_every=2,optimizer.warmup_epochs=0"
    )
    training.run(config, tmp_path / "run")
    content = (tmp_path / "rendered" / "mirror_map.npy").read_bytes()
    assert (tmp_path / "run" / "mirror_map.npy").read_bytes() == content
    # Noise is not taken along.
    (folder / "mirror_map.npy").write_bytes(content[:-1])
    with pytest.raises(datasets.DatasetError, match=r"mirror_map.npy: expected an uncompressed"):
        training.run(config, tmp_path / "damaged")


def test_without_val(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir, use_val=False, optimizer__steps_per_epoch=2), tmp_path)
    assert "trains on toy/first, train: 7 images of 4 identities\n" in capsys.readouterr().out
    data = restore.read_data(tmp_path)
    assert (data["splits"], data["images"], data["identities"]) == (["train"], 7, 4)
    _, params, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    assert params["classifier"]["bias"].shape == (4,)


def test_partial_copy_is_told(data_dir, tmp_path, fake_steps, capsys):
    training.run(load(data_dir, dataset="other"), tmp_path)
    output = capsys.readouterr().out
    assert "5 images of 5 identities (PARTIAL: built from an incomplete copy of the benchmark)" in output
    assert restore.read_data(tmp_path)["partial"] is True


def test_a_schedule_of_another_length_is_refused(data_dir, tmp_path, fake_steps):
    workdir = tmp_path / "run"
    wrong = load(data_dir, dataset="other", num_steps=12, optimizer__steps_per_epoch=4)
    with pytest.raises(training.RunError) as error:
        training.run(wrong, workdir)
    assert "optimizer.steps_per_epoch is 4, an epoch of this data has 3 (5 identities / 2)" in str(error.value)
    assert str(error.value).endswith("--config.optimizer.steps_per_epoch=3 --config.num_steps=9")
    assert list(tmp_path.iterdir()) == []
    # What the message says is taken; and without epochs in the schedule their length does not matter.
    training.run(load(data_dir, dataset="other", num_steps=9, optimizer__steps_per_epoch=3), workdir)
    wrong.optimizer.update({"schedule": "cosine", "warmup_epochs": 0})
    training.run(wrong, tmp_path / "cosine")
    wrong.optimizer.warmup_epochs = 1
    with pytest.raises(training.RunError, match="an epoch of this data has 3"):
        training.run(wrong, tmp_path / "warm")


def test_a_run_that_began_with_another_epoch_goes_on(data_dir, tmp_path, fake_steps, monkeypatch):
    config = load(data_dir, dataset="other", num_steps=2, optimizer__steps_per_epoch=4)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_check_schedule", lambda *a: None)
        training.run(config, tmp_path)
    training.run(config, tmp_path)


@pytest.mark.parametrize(
    ("stage", "turns", "expected"),
    [
        ("baseline", ("reid",), "steps in an epoch: 47 (751 identities / 16); num_steps=15040 is 320 epochs"),
        ("san", ("reid", "pit"), "steps in an epoch: 94 (751 identities / 16 = 47 reID steps, with the PIT steps"),
        ("san", ("reid", "reid", "pit"), "steps in an epoch: 71 (751"),
        ("san_pg", ("pit",), "steps in an epoch: 146 (9,290 pairs / 64); num_steps=14600 is 100 epochs"),
    ],
)
def test_epochs_of_the_real_benchmarks(stage, turns, expected):
    config = config_files.load(f"{stage}.py")
    market = {"dataset": "market1501", "splits": ["train"], "images": 12936, "identities": 751, "partial": False}
    epoch = training._epoch(config, turns, None if stage == "san_pg" else 751, 9290)
    num_pairs = 9290 if "pit" in turns else 0
    lines = training._describe_data(config, training._Data({}, 751, market, num_pairs, {}, epoch))
    assert lines[1].startswith(expected)
    if epoch.steps in (47, 94, 146):
        training._check_schedule(config, epoch)
    else:
        with pytest.raises(training.RunError, match=r"steps_per_epoch=71 --config\.num_steps=22720"):
            training._check_schedule(config, epoch)


def test_tables_of_the_docstrings():
    """steps_per_epoch and num_steps of every benchmark: the published identities in batches of 16, 320 epochs."""
    identities = {"market1501": 751, "dukemtmc_reid": 702, "cuhk03/labeled": 767, "msmt17": 1041}
    for name, turns in (("baseline", 1), ("san", 2)):
        text = config_files.resolve(name).read_text()
        for dataset, number in identities.items():
            (row,) = [line for line in text.splitlines() if line.startswith(f"| {dataset}")]
            steps = -(-number // 16) * turns
            assert [cell.strip() for cell in row.split("|")[2:5]] == [f"{number:,}", str(steps), str(320 * steps)]


def test_a_run_from_before_these_keys(data_dir, tmp_path, fake_steps, capsys):
    """It has neither the keys nor data.json: its model is read, and the same command goes on with it."""
    training.run(load(data_dir, num_steps=2), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("use_val", "init_classifier"):
        del config[key]
    for key in ("crop_probability", "crop_height", "crop_width"):
        del config["augment"][key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "data.json").unlink()
    assert restore.read_data(tmp_path) is None
    assert restore.load_run(tmp_path)[0].classifier is not None

    with pytest.raises(training.RunError, match=r"augment\.crop_probability: 0\.0 there, 0\.5 here"):
        training.run(load(data_dir, augment__crop_probability=0.5), tmp_path)
    training.run(load(data_dir), tmp_path)
    assert "goes on from step 2" in capsys.readouterr().out
    assert restore.read_config(tmp_path).use_val is True
    assert restore.read_data(tmp_path)["images"] == 9


def test_another_data_of_the_same_name_is_refused(data_dir, tmp_path, fake_steps, monkeypatch):
    training.run(load(data_dir), tmp_path)
    noted = restore.read_data(tmp_path)
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
    config = load(data_dir, "baseline_partial", init_from=trained)
    assert config.augment.crop_probability == 0.5
    training.run(config, tmp_path)
    output = capsys.readouterr().out
    assert f"init_from {trained}, step 2: taken encoder, classifier (parameters and running statistics)" in output
    _, start, _ = checkpoint.load_weights(trained / "checkpoints")
    _, end, _ = checkpoint.load_weights(tmp_path / "checkpoints")
    moved = [float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True)]
    # A step of Adam moves an element by at most the rate times (1 - b1) / sqrt(1 - b2): 3.2 x 8e-5.
    assert 0.0 < max(moved) < 2 * 3.2 * 8e-5


@pytest.mark.parametrize(("name", "probability"), [("baseline", 0.0), ("baseline_partial", 0.5)])
def test_crops_reach_the_step(trained, data_dir, tmp_path, fake_steps, monkeypatch, name, probability):
    seen = {}
    make_step = training.train_step.make_step

    def noting(kind, *arguments, augment, **keywords):
        seen[kind] = (augment.crop_probability, augment.crop_height, augment.crop_width)
        return make_step(kind, *arguments, augment=augment, **keywords)

    monkeypatch.setattr(training.train_step, "make_step", noting)
    training.run(load(data_dir, name, init_from=trained), tmp_path)
    assert seen == {"reid": (probability, (0.4, 1.0), (0.5, 1.0))}


def test_what_earlier_runs_were_trained_on_is_noted(trained, data_dir, tmp_path, fake_steps):
    """Also where an earlier run's folder is gone when this one goes on."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    shutil.copytree(trained, first)
    training.run(load(data_dir, init_from=first, dataset="other"), second)
    training.run(load(data_dir, init_from=second), third)
    expected = {str(second): {**OTHER, "partial": True}, str(first): FIRST}
    assert restore.read_data(third) == {**FIRST, "started_from": expected}
    shutil.rmtree(first)
    shutil.rmtree(second)
    training.run(load(data_dir, init_from=second), third)
    assert restore.read_data(third)["started_from"] == expected


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
        training.run(load(data_dir, "baseline_partial", init_from=trained, **changes), tmp_path)
    assert f"init_from={trained}: {message}" in str(error.value)
    assert "init_classifier=false" in str(error.value)


def test_nothing_to_take_a_classifier_from(data_dir, tmp_path, monkeypatch):
    with pytest.raises(training.RunError, match="init_classifier needs init_from"):
        training.run(load(data_dir, "baseline_partial"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(training.checkpoint, "load_weights", lambda folder, sharding: (2, {"encoder": {}}, {}))
    with pytest.raises(training.RunError, match=r"init_from=pg: that run has no classifier to take"):
        training.run(load(data_dir, "baseline_partial", init_from="pg"), tmp_path / "run")


def test_weights_of_a_file_are_taken_and_noted(data_dir, tmp_path, fake_steps, capsys):
    """The encoder begins with them; a run that goes on, or begins with that run's weights, does not need the file."""
    golden = pathlib.Path(__file__).parents[1] / "golden" / "weight_files" / "resnet.safetensors"
    file = shutil.copy(golden, tmp_path / "weights.safetensors")
    noted = {"file": str(file), "sha256": hashlib.sha256(golden.read_bytes()).hexdigest()}
    changes = {"model__stage_sizes": (1, 2, 1, 1), "pretrained": file}
    first, second = tmp_path / "first", tmp_path / "second"
    training.run(load(data_dir, **changes), first)
    assert f"encoder from {file} (SHA-256 {noted['sha256']})" in capsys.readouterr().out
    expected = {**FIRST, "pretrained": noted, "started_from": {}}
    assert restore.read_data(first) == expected
    _, params, batch_stats = checkpoint.load_weights(first / "checkpoints")
    taken = train_state.flatten(params["encoder"]) | train_state.flatten(batch_stats["encoder"])
    tensors = safetensors.numpy.load_file(golden)
    names = torch_names(restore.load_run(first, encoder_only=True)[0].encoder)
    assert taken.keys() == names.keys()
    for leaf, (name, transform) in names.items():
        np.testing.assert_array_equal(taken[leaf], transform.to_jax(tensors[name]), err_msg=name)
    pathlib.Path(file).unlink()
    training.run(load(data_dir, **changes), first)
    assert restore.read_data(first) == expected
    training.run(load(data_dir, init_from=first, **changes), second)
    del expected["started_from"]
    assert restore.read_data(second) == {**FIRST, "started_from": {str(first): expected}}
