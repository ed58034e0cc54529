"""The whole benchmark: options from the command line, parts in turn, the JSON's shape."""

import datetime
import json
import platform

import pytest

from experiments import benchmark as program
from experiments.benchmarks import environment, suite
from experiments.benchmarks.options import PARTS, Options


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Options]]:
    """Parts that measure nothing; gives the part, the config's image size and the options of each call."""
    calls = []

    def part(name: str) -> suite.Part:
        def measure(config, options):
            calls.append((name, str(config.image_size), options))
            return {"of": name}

        return measure, lambda result: f"the table of {result['of']}"

    monkeypatch.setattr(suite, "PARTS", {name: part(name) for name in suite.PARTS})
    return calls


def test_parts_run_in_turn_and_are_written(measured, tmp_path, capsys):
    output = tmp_path / "bench.json"
    program.main(["--parts=rendering,step", "--small", f"--output={output}", "--config.image_size=(48, 24)"])
    result = json.loads(output.read_text())
    assert list(result) == ["version", "machine", "versions", "commit", "date", "command", "parts"]
    assert result["version"] == 1
    assert result["parts"] == {"rendering": {"of": "rendering"}, "step": {"of": "step"}}
    assert set(result["machine"]) == {"processor", "cores", "memory_gib", "accelerators", "driver"}
    assert result["machine"]["accelerators"] == []  # JAX computes on the CPU in tests
    assert result["machine"]["cores"] >= 1
    assert result["versions"]["python"] == platform.python_version()
    assert {"jax", "jaxlib", "flax", "numpy"} <= set(result["versions"])
    assert datetime.datetime.fromisoformat(result["date"]).tzinfo == datetime.UTC
    assert [call[:2] for call in measured] == [("rendering", "(48, 24)"), ("step", "(48, 24)")]
    text = capsys.readouterr().out
    assert text.index("the table of rendering") < text.index("the table of step")
    assert result["machine"]["processor"] in text


def test_small_sizes_are_defaults_only(measured):
    program.main(["--parts=step", "--small", "--scale=2", "--batch_sizes=8,16", "--bound=a.json", "--bound=b.json"])
    program.main(["--parts=step", "--config=baseline.py", "--size=msmt17", "--recipe=pit"])
    (_, small_size, small), (_, full_size, full) = measured
    assert (small_size, full_size) == ("(64, 32)", "(256, 128)")
    assert (small.ranking.scale, small.ranking.turns, small.rendering.num_pairs) == (2, 3, 20)
    assert (small.step.dtypes, small.step.batch_sizes, small.step.bounds) == (
        ("float32",),
        (8, 16),
        ("a.json", "b.json"),
    )
    assert full.step == Options().step
    assert (full.ranking.scale, full.ranking.sizes) == (1, ("msmt17",))
    assert (full.rendering.recipes, full.rendering.num_pairs) == (("pit",), 60)
    assert (small.embedding.batch_sizes, small.embedding.turns, small.embedding.seconds) == ((1, 8), 3, 3.0)
    assert full.embedding == Options().embedding
    assert (small.input.num_workers, small.input.seconds, full.input) == ((0, 1, 2), 3.0, Options().input)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--parts=steps", "expected a comma list of step, input, embedding, ranking, rendering, found steps"),
        ("--parts=", "found none"),
        ("--size=other", "expected a comma list of market1501, msmt17, found other"),
        ("--dtypes=float16", "expected a comma list of float32, bfloat16, found float16"),
        ("--batch_sizes=0", "expected an integer of at least 1, found 0"),
        ("--num_workers=2,-1", "expected an integer of at least 0, found -1"),
        ("--num_processes=1", "expected an integer of at least 2, found 1"),
        ("--config=pit.py", "pit.py"),
    ],
)
def test_wrong_options_are_refused(option, message, capsys):
    with pytest.raises(SystemExit) as error:
        program.main([option])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_known_error_is_one_line(monkeypatch):
    def measure(config, options):
        raise ValueError("--bound: expected another file.")

    monkeypatch.setitem(suite.PARTS, "step", (measure, str))
    with pytest.raises(SystemExit, match=r"^--bound: expected another file\.$"):
        program.main(["--parts=step", "--small"])


def test_every_part_is_known():
    assert set(suite.PARTS) == set(PARTS)


def test_what_it_ran_on_is_told_in_words():
    machine = {
        "processor": "A processor",
        "cores": 2,
        "memory_gib": 23.5,
        "accelerators": [{"kind": "NVIDIA H100", "platform": "gpu", "count": 8}],
        "driver": "NVRM version 1",
    }
    assert environment.describe(machine, {"python": "3.11.7", "jax": "0.10.2"}).splitlines() == [
        "A processor, 2 cores, 23.5 GiB of memory; 8 x NVIDIA H100, NVRM version 1",
        "python 3.11.7, jax 0.10.2",
    ]
