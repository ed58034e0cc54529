"""The scorer's benchmark, tiny: its programs agree, a wrong one is found out, times are put side by side."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import benchmark as program
from experiments.benchmarks import ranking as benchmark_ranking
from experiments.benchmarks.options import RankingOptions
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
    result = benchmark_ranking.compare(programs, SIZE, dimensions=16, turns=2)
    assert result["scores"]["numpy"] == pytest.approx(result["scores"]["san_jax"], abs=1e-12)
    assert 0 < result["scores"]["san_jax"][0] < 1
    assert list(result["tasks"]) == ["distances", "ranking", "both"]
    for rows in result["tasks"].values():
        assert {name: (row["turns"], row["reference"]) for name, row in rows.items()} == dict.fromkeys(
            programs, (2, "san_jax")
        )
        assert rows["san_jax"]["ratio"] == 1.0


def test_a_program_that_disagrees_is_refused():
    wrong = dataclasses.replace(numpy_program(), ranking=lambda distances, labels: (0.5, 0.5))
    programs = {"san_jax": benchmark_ranking.san_jax_program(), "wrong": wrong}
    with pytest.raises(ValueError, match=r"wrong gives mAP, rank-1 \(0\.5, 0\.5\), not .*must agree"):
        benchmark_ranking.compare(programs, SIZE, dimensions=16, turns=1)


@pytest.mark.parametrize("rerank", [False, True])
def test_memory_counts_from_the_embeddings(rerank, monkeypatch, capsys):
    monkeypatch.setitem(SIZES, "market1501", SIZE)
    options = ["--memory_only", "--size=market1501", "--scale=1", "--dimensions=16", *(["--rerank"] if rerank else [])]
    program.main(options)
    result = json.loads(capsys.readouterr().out)
    assert result["embeddings_gib"] == pytest.approx((30 + 80) * 16 * 4 / 2**30)
    assert result["peak_beyond_gib"] >= 0
    assert 0 < result["mean_ap"] < 1


def test_sizes_are_divided():
    assert SIZE.divided(2) == Size(num_query=15, num_gallery=40, num_identities=3, num_distractors=10, num_cameras=3)


def test_whole_matrices_are_sorted_only_where_they_fit(monkeypatch: pytest.MonkeyPatch):
    memory = {"embeddings_gib": 0.25, "peak_beyond_gib": 0.5, "seconds": 2.0, "mean_ap": 0.5, "rank_1": 0.75}
    asked = []
    monkeypatch.setattr(
        benchmark_ranking, "peak_memory", lambda name, options, rerank=False: asked.append((name, rerank)) or memory
    )
    monkeypatch.setattr(benchmark_ranking, "torchreid_program", lambda: None)
    monkeypatch.setitem(SIZES, "market1501", SIZE)
    monkeypatch.setitem(SIZES, "msmt17", dataclasses.replace(SIZE, num_gallery=160))
    monkeypatch.setattr(benchmark_ranking, "LARGEST_MATRIX", 30 * 80)
    options = RankingOptions(dimensions=16, turns=1, rerank=True)
    result = benchmark_ranking.measure(options)
    assert asked == [("market1501", False), ("market1501", True), ("msmt17", False), ("msmt17", True)]
    small, large = result["sizes"]["market1501"], result["sizes"]["msmt17"]
    assert set(small["scores"]) == {"san_jax", "numpy"}
    assert set(large["scores"]) == {"san_jax"}
    assert small["left_out"] == {"torchreid": "not installed with its Cython scorer compiled, left out"}
    assert "NumPy and torchreid" in large["left_out"]
    text = benchmark_ranking.table(result)
    assert "msmt17: 30 x 160, 16-d, a new process with re-ranking: 2.00 s with compilation, 0.50 GiB at most" in text
    json.dumps(result, allow_nan=False)
