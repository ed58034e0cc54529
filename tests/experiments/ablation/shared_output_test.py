"""What lies in the output of an ablation: several processes make it, and results of something else are not mixed in."""

import contextlib
import dataclasses
import pathlib
import threading

import numpy as np

from experiments.ablation import runner
from san_jax import folder_lock
from tests.experiments.ablation.requests import TINY, request_of
from tests.san_jax.folder_lock_test import holder


@contextlib.contextmanager
def held_for_a_while(tmp_path, part):
    """Another process that holds a part of the output for a second from the moment of `end.start()`."""
    with holder(tmp_path, part) as (process, _):
        yield threading.Timer(1.0, process.kill)


def test_rows_of_other_processes_come_last(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    request = request_of(tmp_path, rows=("baseline", "baseline_from_pg", "san_basic", "san"))
    run = runner.ensure.ensure_run
    with held_for_a_while(tmp_path, "pit_reid-san-seed0") as end, contextlib.ExitStack() as baseline:
        baseline.enter_context(holder(tmp_path, "pit_reid-baseline-seed0"))

        def ensure_run(config, workdir):
            if "san_basic" in str(workdir):
                baseline.close()  # the process is gone before it has trained the baseline
            if "runs/pit_reid/baseline-" in str(workdir):
                text = (tmp_path / "table_1.md").read_text()
                assert "| **SAN** | **-** | **0** |" in text
                assert "| Baseline (ResNet-50) | - | 0 |" in text
                end.start()
            run(config, workdir)

        monkeypatch.setattr(runner.ensure, "ensure_run", ensure_run)
        path, failures = runner.run(request)
    assert not failures
    trained = [pathlib.Path(name).name for what, name in programs if what == "run" and "/pit_reid/" in name]
    assert trained == ["baseline_from_pg-seed0", "san_basic-seed0", "baseline-seed0", "san-seed0"]
    assert "| Baseline (ResNet-50) | 50.0 / 50.0 | 1 |" in path.read_text()
    assert "| **SAN** | **50.0 / 50.0** | **1** |" in path.read_text()
    printed = capsys.readouterr()
    assert printed.out.count("SAN, pit_reid, seed 0: left to ") == 1
    assert printed.err.count("Waiting for ") == 1


def test_what_another_process_made_of_other_values_is_not_shown(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    request = request_of(tmp_path, rows=("baseline_from_pg", "san"))
    runner.run(dataclasses.replace(request, rows=("san",)))
    with held_for_a_while(tmp_path, "pit_reid-san-seed0") as end:  # it has just written its result
        end.start()
        path, failures = runner.run(request)
    assert not failures
    assert "| **SAN** | **50.0 / 50.0** | **1** |" in path.read_text()
    assert "SAN less Baseline, encoder from SAN-PG** | **+10.0" in path.read_text()
    other = dataclasses.replace(request, changes=(("loss.triplet_reid_margin", "2.0"),))
    path, failures = runner.run(other)
    assert "is of a run with other values of loss.triplet_reid_margin" in failures["SAN, pit_reid, seed 0"]
    assert "| **SAN** | **-** | **0** |" in path.read_text()
    assert "SAN less" not in path.read_text()
    # Nor where the row was not asked for, and nothing failed.
    path, failures = runner.run(dataclasses.replace(other, rows=("baseline_from_pg",)))
    assert not failures
    assert "| **SAN** | **-** | **0** |" in path.read_text()
    assert "san-seed0.json is of a run with other values of loss.triplet_reid_margin" in path.read_text()
    assert "SAN less" not in path.read_text()


def test_results_from_another_san_pg_or_on_another_copy_are_not_taken_for_what_is_asked(
    programs, tmp_path, monkeypatch
):
    digests = {"pit_reid": "a" * 64}
    monkeypatch.setattr(
        runner.data_sources, "read_metadata", lambda name, data_dir: {"source_digest": digests.get(name)}
    )
    score = runner.evaluation.run
    monkeypatch.setattr(
        runner.evaluation, "run",
        lambda workdir, on, data_dir, *, queries: {
            **score(workdir, on, data_dir, queries=queries), "source_digest": digests[on]
        },
    )  # fmt: skip
    request = request_of(tmp_path, rows=("san",))
    runner.run(request)
    _, failures = runner.run(request)
    assert not failures
    longer = dataclasses.replace(request, sizes=dataclasses.replace(TINY, san_pg_steps=5))
    path, failures = runner.run(longer)
    assert "resnet50_texture, with other values of num_steps: give those" in failures["SAN, pit_reid, seed 0"]
    assert "| **SAN** | **-** | **0** |" in path.read_text()
    digests["pit_reid"] = "b" * 64
    _, failures = runner.run(request)
    assert "was scored on another copy of pit_reid" in failures["SAN, pit_reid, seed 0"]


def test_data_and_san_pg_are_made_by_one_process_at_a_time(programs, tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(runner.folder_lock, "hold_in_turn", lambda folder, part: _noting(held, part))
    seen = {}
    for name in ("ensure_rendered", "ensure_run", "ensure_textured"):
        whole = getattr(runner.ensure, name)

        def noted(*arguments, whole=whole, name=name):
            place = str(arguments[1]) if name == "ensure_run" else ""
            seen.setdefault(name + ("_of_san_pg" if "/runs/san_pg/" in place else ""), set()).add(tuple(held))
            return whole(*arguments)

        monkeypatch.setattr(runner.ensure, name, noted)
    runner.run(request_of(tmp_path, rows=("san",)))
    assert seen == {
        "ensure_rendered": {("data",)},
        "ensure_run_of_san_pg": {("san_pg-resnet50_texture",)},
        "ensure_textured": {("targets-resnet50_texture-pit_reid",)},
        "ensure_run": {()},
    }
    assert held == []


@contextlib.contextmanager
def _noting(held, part):
    held.append(part)
    yield
    held.remove(part)


def test_rows_that_another_table_made_without_the_columns_of_this_one_are_left_out(programs, tmp_path):
    runner.run(request_of(tmp_path, rows=("baseline", "san")))
    path, failures = runner.run(request_of(tmp_path, "4", rows=("san",)))
    assert not failures
    text = path.read_text()
    assert "| Baseline (ResNet-50) | - | - | 0 |" in text
    assert "| **SAN** | **50.0 / 50.0 / 50.0** | **50.0 / 50.0 / 50.0** | **1** |" in text


def test_rows_scored_on_different_queries_are_not_compared_and_end_nothing(programs, tmp_path):
    request = request_of(tmp_path, rows=("baseline", "baseline_from_pg"))
    runner.run(request)
    (kept,) = tmp_path.glob("results/pit_reid/queries/baseline-seed0-pit_reid.npz")
    np.savez(kept, persons=np.arange(8), rank1=np.ones(8), mAP=np.ones(8))
    path, failures = runner.run(request)
    assert not failures
    assert "not compared: runs were scored on different queries (60 and 8, or in another order)" in path.read_text()
