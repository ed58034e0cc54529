"""Runs: one to score, with what to score it on, one to export, and two that regress textures."""

import pathlib

import numpy as np
import pytest
from flax import nnx

import datasets
from experiments.command_line import config_files
from experiments.pages import figures
from experiments.runs import models, san_pg
from experiments.runs.plan import resolve
from experiments.scoring import evaluation
from san_jax.models import SAN
from tests.experiments import export_runs, tiny_data, train_place
from tests.experiments.scoring.made_up import PLAN, Benchmarks


@pytest.fixture(scope="session")
def workplace(shared_by_workers):
    """What processes of `experiments.train` start from."""
    return train_place.Workplace(shared_by_workers / "training")


@pytest.fixture(scope="session")
def pit_reid_dir(tmp_path_factory):
    """A data_dir with a `pit_reid` of plain colours, which no test changes."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_data.write_pit_reid(folder / "rendered", test_ids=5, cameras=4)
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


@pytest.fixture(scope="session")
def scored_model():
    """The smallest encoder, with random weights."""
    return SAN(0, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))


@pytest.fixture
def loads():
    """What was loaded from a run's folder, in order."""
    return []


@pytest.fixture
def scored_run(tmp_path, monkeypatch, scored_model, loads):
    """A run's folder whose model is `scored_model`; loading anything but the encoder fails the test."""

    def load_run(path, *, encoder_only=False, which="newest"):
        assert encoder_only
        assert which == "newest"
        assert pathlib.Path(path) == tmp_path / "run"
        loads.append(path)
        return models.LoadedRun(scored_model, PLAN, 120)

    monkeypatch.setattr(evaluation.models, "load_run", load_run)
    (tmp_path / "run" / "checkpoints" / "120").mkdir(parents=True)
    return tmp_path / "run"


@pytest.fixture
def benchmarks(monkeypatch):
    """Takes benchmarks that were never built."""
    return Benchmarks(monkeypatch)


@pytest.fixture(scope="session")
def exportable_run(tmp_path_factory):
    """The folder of a run with the smallest ResNet."""
    folder = tmp_path_factory.mktemp("export") / "run"
    export_runs.write_run(folder, **export_runs.BLOCK)
    return folder


@pytest.fixture
def decoders(monkeypatch):
    """Runs "a/san" and "b/san": names of the folders and what stands in for their decoders."""
    plan = resolve(config_files.load("san_pg.py:smoke,image_size=(48, 32)"))
    assert plan.target is not None
    runs = {f"{name}/san": (lambda images, add=add: images[:, :32] + np.uint8(add)) for add, name in enumerate("ab")}
    monkeypatch.setattr(
        san_pg, "load", lambda path, which: san_pg.Regressor(path, runs[path], plan, plan.target, 7, "")
    )
    monkeypatch.setattr(figures.embed, "regress_textures", lambda model, images, batch_size: model(images))
    return runs
