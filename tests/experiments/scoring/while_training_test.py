"""experiments/scoring/while_training.py: scores and pictures of a model as it is trained."""

import dataclasses
import pathlib

import flax.nnx as nnx
import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import held_out
from experiments.runs.plan import RunPlan, resolve
from experiments.scoring import evaluation, while_training
from experiments.scoring.embedding import Embedder
from san_jax.models import SAN
from tests.experiments import train_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """With `pit_reid` of 6 training and 3 test persons, 3 images each, of 3 cameras."""
    return train_data.build_all(tmp_path_factory.mktemp("data"), num_test_ids=3)


def make_plan(data_dir: pathlib.Path, name: str = "san", **changes: object) -> RunPlan:
    config = config_files.load(f"{name}.py:smoke,prepare=,image_size=(64, 32),model.width=4,data_dir={data_dir}")
    for key, value in {"eval_every_epochs": 1.0, **changes}.items():
        config_files.override(config, key, str(value))
    return resolve(config)


def make_model(plan: RunPlan) -> SAN:
    size = plan.decoder_size
    sizes = {} if size is None else {"texture_size": size}
    return SAN(6, width=4, stage_sizes=(1, 1, 1, 1), decoder=size is not None, **sizes, rngs=nnx.Rngs(0))


def test_scores_are_those_of_the_evaluation(data_dir: pathlib.Path):
    plan = make_plan(data_dir)
    model = make_model(plan)
    found = while_training.score(model, plan)
    embedder = Embedder(model, plan, data_dir)
    splits = (embedder.embed("pit_reid", split) for split in ("query", "gallery"))
    options = evaluation.protocols.Options().with_metric_of(plan)
    expected = evaluation.rank(*splits, (1, 5), options)
    for name in ("rank1", "rank5", "mAP", "mINP"):
        assert found.values[f"eval/{name}"] == expected[name]
    assert set(found.pictures) == {"eval/ranked", "eval/textures"}
    for picture in found.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert np.ptp(picture) > 100
    # Three queries in rows, and in each the query and 6 gallery images, less none: its own camera shows it once.
    assert found.pictures["eval/ranked"].shape[0] > 3 * 128


def test_held_out_identities_are_scored(data_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan(data_dir, "baseline", held_out_identities=2)
    asked = []
    hold_out = held_out.hold_out
    monkeypatch.setattr(held_out, "hold_out", lambda *a, **k: asked.append(hold_out(*a, **k)) or asked[-1])
    found = while_training.score(make_model(plan), plan)
    (held,) = asked
    assert len(held.query) + len(held.gallery) == 2 * 3
    assert 0.0 < found.values["eval/mAP"] <= 1.0
    assert set(found.pictures) == {"eval/ranked"}  # there is no decoder


def test_another_dataset_is_scored(data_dir: pathlib.Path):
    plan = make_plan(data_dir, "baseline", eval_dataset="pit_reid")
    assert plan.scored_on == "pit_reid"
    plan = dataclasses.replace(plan, scored_on="absent")
    with pytest.raises(evaluation.KNOWN_ERRORS, match="No dataset 'absent'"):
        while_training.score(make_model(plan), plan)
