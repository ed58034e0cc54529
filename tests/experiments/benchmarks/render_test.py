"""The renderer's benchmark, tiny: every phase is timed, processes are compared with one."""

import json
import os

import pytest

from experiments.benchmarks import render as benchmark_render
from experiments.benchmarks.options import RenderingOptions
from experiments.benchmarks.render import Times
from render.recipes import build, pit, pit_reid


@pytest.mark.parametrize("recipe", [pit.Pit(num_textures=1, meshes_per_texture=2), pit_reid.PitReid()])
def test_phases_make_up_the_pair(monkeypatch: pytest.MonkeyPatch, recipe: build.Recipe):
    monkeypatch.setattr(benchmark_render, "WARM_UP", 0)
    monkeypatch.setattr(benchmark_render, "load_scenery", lambda: None)  # made when it is seen
    times = benchmark_render.run(recipe, 2)
    assert set(benchmark_render.PHASES) < set(times.phases)
    for phase in ("posing", "painting", "drawing", "background", "photograph", "encoding", "other"):
        assert times.phases[phase] > 0.0, phase
    assert sum(times.phases.values()) == pytest.approx(times.processor)
    assert times.opengl.startswith(("egl", "osmesa"))


def _times(wall: float, processor: float) -> Times:
    return Times("egl (a GPU), device 0", 3.25, wall, processor, {"posing": 0.3 * processor, "other": 0.7 * processor})


def test_report_compares_processes():
    text = benchmark_render.report("pit", 2, [_times(0.1, 0.05)], [_times(0.1, 0.05), _times(0.2, 0.1)])
    assert "1 process:  20.0 pairs/s by processor time,  10.0 by wall-clock time (0.50 processors per process)" in text
    assert "2 processes:  30.0 pairs/s by processor time,  15.0 by wall-clock time" in text
    assert "growth from 1 to 2 processes, by wall-clock time: 1.50 times" in text
    assert "posing          15.0 ms" in text
    assert "egl (a GPU), device 0" in text


def test_workers_start_on_one_core_each_and_this_process_keeps_its_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("LP_NUM_THREADS", raising=False)
    with benchmark_render._environment(benchmark_render.ONE_CORE):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["LP_NUM_THREADS"]) == ("1", "0")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "LP_NUM_THREADS" not in os.environ


def test_every_recipe_is_measured_with_one_process_and_several(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def run_processes(recipe: build.Recipe, num_pairs: int, num_processes: int) -> list[Times]:
        calls.append((type(recipe), num_pairs, num_processes))
        return [_times(0.1 * num_processes, 0.05)] * num_processes

    monkeypatch.setattr(benchmark_render, "run_processes", run_processes)
    result = benchmark_render.measure(RenderingOptions(num_pairs=4, num_processes=3))
    assert [call[1:] for call in calls] == [(4, 1), (4, 3)] * 2
    assert set(result["recipes"]) == {"pit", "pit_reid"} == {*build.RECIPES} - {"paper"}
    assert result["recipes"]["pit"]["growth"] == pytest.approx(1.0)  # three processes, each a third as fast
    text = benchmark_render.table(json.loads(json.dumps(result)))
    assert "pit: a pair is a texture and 2 pictures" in text
    assert "pit_reid: a pair is a texture and 1 picture;" in text
