"""The programs that an ablation runs, noted instead of run."""

import pathlib

import numpy as np
import pytest

from experiments.ablation import runner
from experiments.runs import folder
from experiments.scoring import protocols


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """The programs noted instead of run: (what, folder); a run leaves its config, scores are made from its name."""
    calls: list[tuple[str, str]] = []

    def run(config, workdir):
        calls.append(("run", str(pathlib.Path(workdir).relative_to(tmp_path))))
        folder.write_records(pathlib.Path(workdir), config, {folder.NUM_STEPS: config.num_steps}, {})

    def score(workdir, dataset, data_dir, *, queries):
        calls.append(("score", str(pathlib.Path(workdir).relative_to(tmp_path))))
        config = folder.read_config(workdir)
        value = 0.5 + 0.1 * config.seed
        scores = dict.fromkeys(("rank1", "rank5", "rank10", "mAP", "mINP"), value)
        # Persons differ, runs only by their seed, and rows of SAN by a tenth.
        each = np.linspace(0.0, 0.2, 60) + value + 0.1 * ("target" in config)
        queries.parent.mkdir(parents=True, exist_ok=True)
        np.savez(queries, persons=np.arange(60) // 2, rank1=each, mAP=each)
        trained = {"dataset": dataset, "splits": ["train"], "images": 9, "identities": 3, "partial": False, "pit": None}
        started = {config.start.path: None} if config.start.kind == "run" else {}
        words = protocols.training_words(dataset, protocols.Training(trained, started))
        scores |= {"chance": {"rank1": 0.01, "mAP": 0.02}, "protocol": f"As always. {words}"}
        parts = {"query_partial": scores, "query_occluded": scores}
        return {**scores, **parts, "trained_on": trained, "started_from": started}

    monkeypatch.setattr(runner.ensure, "ensure_rendered", lambda config, data_dir: None)
    monkeypatch.setattr(runner.ensure, "ensure_run", run)
    monkeypatch.setattr(runner.ensure, "ensure_textured", lambda *a: calls.append(("textures", a[1])))
    monkeypatch.setattr(runner.evaluation, "run", score)
    return calls
