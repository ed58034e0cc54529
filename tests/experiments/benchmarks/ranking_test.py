"""The scorer's benchmark, tiny: its programs agree, a wrong one is found out, times are put side by side."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import benchmark_ranking as program
from experiments.benchmarks import ranking as benchmark_ranking
from experiments.benchmarks.sizes import SIZES, Size

SIZE = Size(num_query=30, num_gallery=80, num_identities=6, num_distractors=20, num_cameras=3)


def numpy_program():
    return benchmark_ranking.Program(benchmark_ranking.numpy_distances, benchmark_ranking.numpy_ranking)


def test_labels_have_the_counts():
    query_ids, gallery_ids, query_cameras, gallery_cameras = benchmark_ranking.make_labels(
        SIZE, np.random.default_rng(0)
    )
    assert (len(query_ids), len(query_cameras), len(gallery_ids), len(gallery_cameras)) == (30, 30, 80, 80)
    assert set(query_ids) == {1, 2, 3, 4, 5, 6}
    assert np.count_nonzero(gallery_ids == 0) == 20
    assert set(gallery_cameras) == {0, 1, 2}


def test_programs_agree_and_are_timed():
    programs = {"san_jax": benchmark_ranking.san_jax_program(), "numpy": numpy_program()}
    result = benchmark_ranking.measure(programs, SIZE, dimensions=16, repeats=2)
    assert result["scores"]["numpy"] == pytest.approx(result["scores"]["san_jax"], abs=1e-12)
    assert 0 < result["scores"]["san_jax"][0] < 1
    assert {name: {task: len(times) for task, times in tasks.items()} for name, tasks in result["seconds"].items()} == {
        name: {"distances": 2, "ranking": 2, "both": 2} for name in programs
    }
    assert result["seconds"]["numpy"]["both"] == pytest.approx(
        np.add(result["seconds"]["numpy"]["distances"], result["seconds"]["numpy"]["ranking"])
    )


def test_a_program_that_disagrees_is_refused():
    wrong = dataclasses.replace(numpy_program(), ranking=lambda distances, labels: (0.5, 0.5))
    programs = {"san_jax": benchmark_ranking.san_jax_program(), "wrong": wrong}
    with pytest.raises(ValueError, match=r"wrong gives mAP, rank-1 \(0\.5, 0\.5\), not .*must agree"):
        benchmark_ranking.measure(programs, SIZE, dimensions=16, repeats=1)


def test_table():
    def times(*values):
        return {"distances": list(values), "ranking": [2.0, 2.0, 2.0], "both": [3.0, 3.0, 3.0]}

    seconds = {"san_jax": times(1.0, 2.0, 1.0), "other": times(3.0, 4.0, 8.0)}
    assert benchmark_ranking.ratio(seconds, "other", "distances") == 3.0  # of 3, 2 and 8
    *_, last = benchmark_ranking.table(seconds).splitlines()
    assert last.split() == ["other", "3.000", "4.000", "3.0x", "2.000", "2.000", "1.0x", "3.000", "3.000", "1.0x"]


@pytest.mark.parametrize("option", ["--memory_only", "--rerank"])
def test_memory_counts_from_the_embeddings(option, monkeypatch, capsys):
    monkeypatch.setitem(SIZES, "market1501", SIZE)
    program.main(["--size=market1501", "--dimensions=16", option])
    result = json.loads(capsys.readouterr().out)
    assert result["embeddings_gib"] == pytest.approx((30 + 80) * 16 * 4 / 2**30)
    assert result["peak_beyond_gib"] >= 0
    assert 0 < result["mean_ap"] < 1


def test_the_program_offers_every_size(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(benchmark_ranking, "print_memory", lambda *given, rerank: calls.append((*given, rerank)))
    for size in SIZES:
        program.main([f"--size={size}", "--dimensions=8", "--rerank"])
    assert calls == [(size, 8, True) for size in SIZES.values()]
    for wrong in ("--size=other", "--dimensions=0", "--repeats=x"):
        with pytest.raises(SystemExit):
            program.main([wrong])
        assert wrong.partition("=")[0] in capsys.readouterr().err
