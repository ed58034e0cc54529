"""Re-estimated statistics: their names and words, where pictures are looked for, and the end of a training."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import batch_norm, data_sources, folder, models, training
from experiments.runs.batch_norm import Reestimation
from experiments.scoring import protocols
from san_jax import batch_norm as library
from san_jax import checkpoint, sharding
from san_jax.models import split_model
from tests.experiments import train_data

SMALL = (
    "baseline.py:smoke,prepare=,dataset=toy,image_size=(32, 32),model.width=2,batch.num_identities=2,"
    "batch.images_per_identity=4,num_steps=2,log_every=1,checkpoint_every_epochs=0.3,optimizer.warmup_epochs=0,"
    "ema_decay=0.9"
)


@pytest.mark.parametrize(
    ("asked", "suffix"),
    [
        (Reestimation("market1501", "train"), "bn_market1501_train"),
        (Reestimation("cuhk03/labeled", "train", 500), "bn_cuhk03_labeled_train_images=500"),
        (Reestimation("msmt17", "train+val", 2000, 3), "bn_msmt17_train+val_seed=3"),
    ],
)
def test_names(asked, suffix):
    assert asked.suffix == suffix
    assert batch_norm.parse(f"{asked.dataset}:{asked.split}", asked.images, asked.seed) == asked
    assert batch_norm.parse("as_trained") is None
    names = {protocols.Options(batch_norm=one).file_name("msmt17") for one in (None, asked)}
    assert names == {"evaluate_msmt17.json", f"evaluate_msmt17_{suffix}.json"}


@pytest.mark.parametrize(
    ("split", "scored", "warning"),
    [
        ("train", "market1501", ""),
        ("train+val", "market1501", ""),
        ("train", "msmt17", ""),
        (
            "gallery",
            "market1501",
            "TRANSDUCTIVE: these are test pictures (gallery) of the very dataset that is scored.",
        ),
        ("train+query+gallery", "market1501", "TRANSDUCTIVE: these are test pictures (query and gallery) of the"),
        ("query", "msmt17", "These are no training pictures but query."),
    ],
)
def test_the_protocol_says_what_was_done(split, scored, warning):
    noted = {"dataset": "market1501", "split": split, "images": 1_984, "seed": 5, "batch_size": 64}
    words = batch_norm.words(noted, scored)
    assert words.startswith("BATCHNORM RE-ESTIMATED: the running statistics of batch normalisation are not those of")
    assert f"1,984 pictures of market1501, split {split}, read without labels (seed 5): unsupervised domain" in words
    assert ("TRANSDUCTIVE" in words) == warning.startswith("TRANSDUCTIVE")
    assert warning in words
    assert batch_norm.brief(noted) == f"BatchNorm of market1501:{split}"
    assert batch_norm.brief(None) == ""


def test_an_encoder_of_textures_is_refused():
    with pytest.raises(ValueError, match="the encoder reads textures by runs/pg, not images"):
        batch_norm.refuse_textures("runs/pg")
    batch_norm.refuse_textures("")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    train_data.build_benchmark(place, "toy", {"train": [0, 0, 1, 1, 2, 2, 3], "query": [7], "gallery": [7]})
    return place


@pytest.fixture(scope="module", autouse=True)
def one_device():
    with pytest.MonkeyPatch.context() as patch:
        mesh = sharding.make_mesh(jax.devices()[:1])
        patch.setattr(training.sharding, "make_mesh", lambda: mesh)
        yield


def config_of(data_dir, images, *more):
    config = config_files.load(f"{SMALL},data_dir={data_dir},batch_norm_images={images}")
    for override in more:
        config_files.override(config, *override.split("=", 1))
    return config


@pytest.fixture(scope="module")
def plain(data_dir, tmp_path_factory):
    """The folder of a run without re-estimation."""
    workdir = tmp_path_factory.mktemp("plain")
    training.run(config_of(data_dir, 0), workdir)
    return workdir


@pytest.fixture(scope="module")
def adapted(data_dir, tmp_path_factory):
    """The folder of a run that re-estimates at its end, and what its last scoring saw of the averaged model."""
    workdir = tmp_path_factory.mktemp("adapted")
    scored = []

    def evaluate(model, plan):
        scored.append(jax.tree.map(np.array, split_model(model)[2]))
        return training.Scores({"eval/mAP": 0.5}, {})

    training.run(config_of(data_dir, 5, "eval_every_epochs=1.0"), workdir, evaluate=evaluate)
    return workdir, scored[-1]


def expected_statistics(data_dir, workdir, images=5):
    """What `san_jax.batch_norm` finds for the averaged weights of a run, on the pictures that its seed draws."""
    model = models.load_run(workdir).model
    source = data_sources.open_source("toy", "train", data_dir)
    batches = library.read_batches(source, "image", library.draw(len(source), images, seed=0), (32, 32))
    return split_model(library.reestimate(model, batches))[2]


def test_the_last_checkpoint_has_the_statistics_of_training_pictures(data_dir, plain, adapted, capsys):
    workdir, scored = adapted
    _, params, batch_stats = checkpoint.load_weights(workdir / "checkpoints")
    _, plain_params, plain_stats = checkpoint.load_weights(plain / "checkpoints")
    jax.tree.map(np.testing.assert_array_equal, params, plain_params)
    expected = expected_statistics(data_dir, workdir)
    jax.tree.map(np.testing.assert_array_equal, batch_stats, expected)
    jax.tree.map(np.testing.assert_array_equal, scored, expected)
    differences = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), batch_stats, plain_stats)
    assert min(jax.tree.leaves(differences)) > 0.0
    # The checkpoint before is as it was trained.
    first = checkpoint.load_weights(workdir / "checkpoints", step=1)
    jax.tree.map(np.testing.assert_array_equal, first, checkpoint.load_weights(plain / "checkpoints", step=1))


def test_a_run_that_died_before_its_last_checkpoint_comes_to_the_same(data_dir, adapted, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(adapted[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "2")
    config = config_of(data_dir, 5)
    training.run(config, workdir)
    assert "BatchNorm statistics re-estimated on 5 training pictures\n" in capsys.readouterr().out
    found, reference = (checkpoint.load_weights(each / "checkpoints") for each in (workdir, adapted[0]))
    jax.tree.map(np.testing.assert_array_equal, found, reference)
    training.run(config, workdir)  # complete: nothing is done again
    assert "re-estimated" not in capsys.readouterr().out
    with pytest.raises(training.RunError, match="batch_norm_images: 5 there, 4 here"):
        training.run(config_of(data_dir, 4), workdir)


def test_what_it_was_trained_on_says_so(plain, adapted):
    assert "batch_norm_images" not in folder.read_data(plain)
    data = folder.read_data(adapted[0])
    assert data["batch_norm_images"] == 5
    assert folder.read_data(adapted[0], step=data["num_steps"]) == data
    assert "batch_norm_images" not in folder.read_data(adapted[0], step=data["num_steps"] - 1)  # as it was trained
    words = protocols.training_words("toy", protocols.Training(data))
    assert "with BatchNorm statistics re-estimated on 5 of its images after the last step" in words
    assert "BatchNorm" not in protocols.training_words("toy", protocols.Training(folder.read_data(plain)))


def test_pictures_are_found_where_the_run_was_trained(data_dir, plain, tmp_path):
    """With the data_dir of another dataset, which is scored."""
    model, plan, _ = models.load_run(plain, encoder_only=True)
    train_data.build_benchmark(tmp_path, "other", {"query": [7], "gallery": [7]})
    made, noted = Reestimation("toy", "train", 5).apply(model, plan.image_size, tmp_path, plain)
    assert noted == {"dataset": "toy", "split": "train", "images": 5, "seed": 0, "batch_size": 64}
    found = split_model(made)[2]
    expected = expected_statistics(data_dir, plain)
    jax.tree.map(np.testing.assert_array_equal, found["encoder"], expected["encoder"])
    all_of_it = dataclasses.replace(Reestimation("toy", "train"), seed=2).apply(model, plan.image_size, data_dir, plain)
    assert (all_of_it[1]["images"], all_of_it[1]["seed"]) == (7, 2)
    with pytest.raises(ValueError, match="at least two pictures, found 1"):
        Reestimation("toy", "query").apply(model, plan.image_size, data_dir, plain)
    with pytest.raises(Exception, match="No dataset 'nothing'"):
        Reestimation("nothing", "train").apply(model, plan.image_size, data_dir, plain)
