"""The renderer's benchmark, tiny: every phase is timed, processes are compared with one."""

import os

import pytest

from experiments import benchmark_render as program
from experiments.benchmarks import render as benchmark_render
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


def test_the_program_draws_every_recipe_unless_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    calls = []
    monkeypatch.setattr(benchmark_render, "compare", lambda *given: calls.append(given))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # given back after the test
    program.main([])
    program.main(["--recipe=pit_reid", "--num_pairs=1", "--num_processes=3"])
    assert calls == [(("pit", "pit_reid"), 60, 2), (["pit_reid"], 1, 3)]
    assert set(calls[0][0]) == set(build.RECIPES)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["LP_NUM_THREADS"]) == ("1", "0")
    with pytest.raises(SystemExit):
        program.main(["--num_processes=1"])
    assert "--num_processes: expected an integer of at least 2, found 1" in capsys.readouterr().err
