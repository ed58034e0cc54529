"""The evaluation program on a small benchmark: the JSON, the protocol in words, the encoder alone, clear errors."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest
from flax import nnx

import datasets
from experiments import evaluate
from san_jax import embed, ranking
from san_jax.models import SAN, merge_model, split_model
from tests import tiny_data

CONFIG = types.SimpleNamespace(image_size=(48, 32), num_workers=0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_data.write_pit_reid(folder / "rendered", test_ids=5, cameras=4)
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


@pytest.fixture(scope="module")
def model():
    return SAN(0, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))


@pytest.fixture
def workdir(tmp_path, monkeypatch, model):
    """A run's folder whose model is `model`; loading anything but the encoder fails the test."""

    def load_run(path, *, encoder_only=False):
        assert encoder_only
        assert pathlib.Path(path) == tmp_path / "run"
        return model, CONFIG

    monkeypatch.setattr(evaluate.restore, "load_run", load_run)
    (tmp_path / "run" / "checkpoints" / "120").mkdir(parents=True)
    return tmp_path / "run"


def test_result(workdir, data_dir, model, capsys):
    summary = evaluate.run(workdir, "pit_reid", data_dir)
    assert json.loads((workdir / "report" / "evaluate_pit_reid.json").read_text()) == summary
    assert summary["num_query"] == summary["num_valid_queries"] == 5
    assert summary["num_gallery"] == 15
    assert summary["step"] == 120
    assert summary["workdir"] == str(workdir)
    printed = capsys.readouterr().out
    assert f"{100 * summary['mAP']:9.2f}" in printed
    assert "same identity and the same camera are dropped" in " ".join(printed.split())
    assert (
        "Euclidean distance between 128-d embeddings of the encoder alone, images resized to 48x32"
        in (summary["protocol"])
    )

    # The same numbers from the images themselves: query is camera 0, gallery the other three, in manifest order.
    splits = [evaluate.embed_split(model, CONFIG, "pit_reid", split, data_dir) for split in ("query", "gallery")]
    np.testing.assert_array_equal(splits[0].person_ids, np.arange(3, 8))
    np.testing.assert_array_equal(splits[1].person_ids, np.repeat(np.arange(3, 8), 3))
    np.testing.assert_array_equal(splits[1].camera_ids, np.tile([1, 2, 3], 5))
    query, gallery = splits
    result = ranking.evaluate_ranking(
        query.embeddings,
        gallery.embeddings,
        query.person_ids,
        gallery.person_ids,
        query.camera_ids,
        gallery.camera_ids,
    )
    assert {key: summary[key] for key in evaluate.scores(result)} == evaluate.scores(result)
    # Random rankings: 3 of 15 are correct.
    assert summary["chance"]["rank1"] == pytest.approx(3 / 15)
    assert summary["mAP"] > summary["chance"]["mAP"]  # colours alone are better than nothing


def test_embeddings_are_those_of_the_images(data_dir, model, tmp_path):
    split = evaluate.embed_split(model, CONFIG, "pit_reid", "query", data_dir)
    import tensorflow_datasets as tfds
    from PIL import Image

    source = tfds.data_source("pit_reid", split="query", data_dir=data_dir)
    images = np.stack([Image.fromarray(x["image"]).resize((32, 48), Image.Resampling.BILINEAR) for x in source])
    np.testing.assert_allclose(split.embeddings, embed.embed_images(model, images), rtol=1e-4, atol=1e-5)


def test_output_and_metric(workdir, data_dir, tmp_path):
    summary = evaluate.run(workdir, "pit_reid", data_dir, output=tmp_path / "a" / "b.json", metric="cosine")
    assert json.loads((tmp_path / "a" / "b.json").read_text())["metric"] == "cosine"
    assert "cosine distance" in summary["protocol"]
    assert not (workdir / "report").exists()


def test_main_names_what_is_missing(workdir, data_dir, model, monkeypatch):
    arguments = [f"--workdir={workdir}", f"--data_dir={data_dir}"]
    with pytest.raises(SystemExit, match=r"evaluate: .*'pit_ried'.*pit_reid"):
        evaluate.main([*arguments, "--dataset=pit_ried"])
    graphdef, params, batch_stats = split_model(model)
    broken = merge_model(graphdef, jax.tree.map(lambda x: x * np.nan, params), batch_stats)
    monkeypatch.setattr(evaluate.restore, "load_run", lambda path, encoder_only: (broken, CONFIG))
    with pytest.raises(SystemExit, match="holds NaN or infinity"):
        evaluate.main([*arguments, "--dataset=pit_reid"])
