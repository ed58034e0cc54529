"""The committed figures: the page shows them, and compiling again gives them.

Compiling for an H100 needs the environment of `make compile-env`: `.venv-compile`, or SAN_COMPILE_PYTHON=/path/to/python
of another one.
"""

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest

from tools import performance_tables
from tools.performance_tables import COMPILATIONS, FOLDER, PAGE, REPOSITORY, TABLES

PYTHON = pathlib.Path(os.environ.get("SAN_COMPILE_PYTHON") or REPOSITORY / ".venv-compile" / "bin" / "python")
TOLERANCE = 0.03

needs_compiler = pytest.mark.skipif(
    not PYTHON.is_file(),
    reason=f"{PYTHON} is absent: run `make compile-env`, or set SAN_COMPILE_PYTHON to the Python of such an environment",
)


def test_the_page_shows_the_figures():
    text = PAGE.read_text(encoding="utf-8")
    assert performance_tables.with_tables(text) == text, "run python -m tools.performance_tables --only="


def test_every_file_of_figures_is_of_a_compilation():
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(COMPILATIONS)
    assert {path.stem for path in (FOLDER / "before").glob("*.json")} <= set(COMPILATIONS)
    assert {row.compilation for _, _, rows in TABLES.values() for row in rows} == set(COMPILATIONS)


def test_earlier_figures_stand_in_brackets(monkeypatch, tmp_path):
    monkeypatch.setattr(performance_tables, "FOLDER", tmp_path)
    figures = json.loads((FOLDER / "h100_baseline.json").read_text())
    (tmp_path / "h100_baseline.json").write_text(json.dumps(figures))
    step = figures["steps"]["reid"]
    row = performance_tables.table("h100").splitlines()[2]
    assert row.startswith("| baseline reID, bfloat16, 64 | ")
    assert f"| {step['bytes'] / 1e9:.1f} |" in row
    assert "[" not in row
    (tmp_path / "before").mkdir()
    step["bytes"], moved = 2 * step["bytes"], step["bytes"]
    (tmp_path / "before" / "h100_baseline.json").write_text(json.dumps(figures))
    row = performance_tables.table("h100").splitlines()[2]
    assert f"| {moved / 1e9:.1f} [{2 * moved / 1e9:.1f}] |" in row
    assert row.count("[") == 1


def test_a_step_that_does_not_fit_has_a_row(monkeypatch, tmp_path):
    monkeypatch.setattr(performance_tables, "FOLDER", tmp_path)
    step = {"batch": 4096, "fits": False, "memory": {"peak": 17 * 2**30, "available": 16 * 2**30}}
    (tmp_path / "v5e_16x16_san.json").write_text(json.dumps({"devices": 256, "steps": {"reid": step}}))
    row = performance_tables.table("scaling").splitlines()[2]
    assert row.startswith("| v5e 16x16 | 16 |  | **17.00: too much** |")


def test_the_tables_are_made_again_from_the_figures(monkeypatch, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("".join(f"<!-- table {name} -->\nold\n<!-- end of table {name} -->\n" for name in TABLES))
    monkeypatch.setattr(performance_tables, "PAGE", page)
    performance_tables.main(["--only="])
    text = page.read_text()
    assert "old" not in text
    assert "| baseline reID, bfloat16, 64 | " in text


def test_a_table_without_figures_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(performance_tables, "FOLDER", tmp_path)
    assert performance_tables.table("v5e") == "Not compiled yet.\n"


def test_an_unknown_compilation_is_refused(capsys):
    with pytest.raises(SystemExit):
        performance_tables.main(["--only=h100_sun"])
    assert "h100_san" in capsys.readouterr().err


def test_tables_without_a_place_are_refused():
    with pytest.raises(ValueError, match="expected one table h100"):
        performance_tables.with_tables("# A page without tables\n")


def compile_again(name: str, output: pathlib.Path) -> dict[str, Any]:
    command = [PYTHON, "-m", "experiments.train_compile", *COMPILATIONS[name].arguments, f"--output={output}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False, timeout=1100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def numbers(step: dict[str, Any]) -> dict[str, float]:
    """What is held, by name."""
    found = {name: step[name] for name in ("batch", "bytes", "product_flops", "other_flops", "intensity", "kernels")}
    found |= {f"memory.{name}": step["memory"][name] for name in ("peak", "arguments", "temporary")}
    found |= {f"bound.{name}": value for name, value in step["bound"].items()}
    return found | {each["kind"]: each["bytes"] for each in step["collectives"]}


@needs_compiler
@pytest.mark.parametrize("name", ["h100_baseline", "h100_san"])
def test_compiling_again_gives_the_figures(name: str, tmp_path):
    committed = json.loads((FOLDER / f"{name}.json").read_text())
    found = compile_again(name, tmp_path / "again.json")
    assert found["steps"].keys() == committed["steps"].keys()
    for kind, step in committed["steps"].items():
        assert numbers(found["steps"][kind]) == pytest.approx(numbers(step), rel=TOLERANCE), (
            f"run .venv-compile/bin/python -m tools.performance_tables --only={name}, and look at what changed"
        )


@needs_compiler
def test_what_is_too_large_for_a_chip_is_said_so(tmp_path):
    """libtpu gives up on a batch that is far too large: exit status 1, and no traceback."""
    huge = "baseline.py:smoke,model.width=2,batch.num_identities=50000"
    command = [PYTHON, "-m", "experiments.train_compile", f"--config={huge}", "--topology=v5e:1"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False, timeout=600
    )
    assert done.returncode == 1, done.stderr
    assert "does not fit: needs at least " in done.stdout
    assert "of 15.75 GiB a device" in done.stdout
    assert "Traceback" not in done.stderr
