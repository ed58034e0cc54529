"""`--help` of every program: exits with 0, shows defaults, lists `--config` and its keys, and imports nothing heavy."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.programs_test import PROGRAMS as ALL_PROGRAMS

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = [name for name in ALL_PROGRAMS if name.startswith("experiments.")]
HEAVY = {"jax", "flax", "orbax", "grain", "tensorflow_datasets", "trimesh", "scipy", "skimage"}

# Programs that still import their packages before they parse; each mark goes when the program's body moves.
NOT_YET = {
    f"experiments.{name}"
    for name in (
        *("ablate", "demo", "evaluate", "export", "figures", "pit_render", "prepare", "pseudo_texture", "train"),
    )
}


def programs(*names: str) -> list:
    """Parameters for pytest: the programs, those that are not done marked."""
    mark = pytest.mark.xfail(strict=True, reason="imports before it parses; its file is being changed elsewhere")
    return [pytest.param(name, marks=mark if name in NOT_YET else ()) for name in names]


def run_help(program: str, *arguments: str) -> tuple[str, set[str]]:
    """What `--help` prints, and the top-level packages that it imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", program, *arguments, "--help"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    imported = re.findall(r"^import time:.*\| +([\w]+)", result.stderr, re.MULTILINE)
    assert "experiments" in imported
    return result.stdout, set(imported)


@pytest.mark.parametrize("program", programs(*PROGRAMS))
def test_help_imports_nothing_heavy(program):
    text, imported = run_help(program)
    assert f"python -m {program}" in text
    assert imported & HEAVY == set()


@pytest.mark.parametrize("program", programs(*(name for name in PROGRAMS if name not in NOT_YET)))
def test_help_shows_defaults(program):
    text, _ = run_help(program)
    assert re.search(r"\(default: \S+\)", text)


def test_all_programs_that_are_not_done_exist():
    assert set(PROGRAMS) >= NOT_YET


# The generator's keys and defaults come from its dataclasses, beside code that imports trimesh.
@pytest.mark.parametrize(
    ("program", "config", "allowed"),
    [
        pytest.param("experiments.train", "san.py:smoke", set(), marks=programs("experiments.train")[0].marks),
        ("experiments.pit_render", "pit_reid.py", {"trimesh", "scipy"}),
    ],
)
def test_help_with_a_config_lists_its_keys(program, config, allowed):
    text, imported = run_help(program, f"--config={config}", "--config.seed=5")
    flags, _, keys = text.partition(f"keys of --config={config}:\n")
    assert re.search(r"^ *--config\b", flags, re.MULTILINE)
    assert re.search(r"^  seed = 5 +\w+", keys, re.MULTILINE)
    assert imported & HEAVY <= allowed
