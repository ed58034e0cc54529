"""`--help` of every program: exits with 0, shows defaults, lists `--config` and its keys, and imports nothing heavy."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.experiments.programs_test import PROGRAMS as ALL_PROGRAMS

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = [name for name in ALL_PROGRAMS if name.startswith("experiments.")]
HEAVY = {"jax", "flax", "orbax", "grain", "tensorflow_datasets", "trimesh", "scipy", "skimage"}


def run_help(program: str, *arguments: str) -> tuple[str, set[str]]:
    """What `--help` prints, and the top-level packages that it imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", program, *arguments, "--help"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"},
        timeout=600,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    imported = re.findall(r"^import time:.*\| +([\w]+)", result.stderr, re.MULTILINE)
    assert "experiments" in imported
    return result.stdout, set(imported)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program):
    text, imported = run_help(program)
    assert f"python -m {program}" in text
    assert imported & HEAVY == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_shows_the_default_of_every_optional_argument(program):
    text, _ = run_help(program)
    usage, _, rest = text.partition("\n\n")
    optional = re.findall(r"\[(--\w+) \S", usage)
    assert optional
    texts = dict(
        re.findall(r"^  (--\w+)(.*?)(?=^  -|^\S|\Z)", rest.partition("\noptions:\n")[2], re.MULTILINE | re.DOTALL)
    )
    assert [name for name in optional if "(default: " not in " ".join(texts[name].split())] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_into_100_columns(program):
    text, _ = run_help(program)
    assert [line for line in text.splitlines() if len(line) > 100] == []


# The renderer's keys and defaults come from its dataclasses, beside code that imports trimesh.
@pytest.mark.parametrize(
    ("program", "config", "allowed"),
    [
        ("experiments.train", "san.py:smoke", set()),
        ("experiments.pit_render", "pit_reid.py", {"trimesh", "scipy"}),
    ],
)
def test_help_with_a_config_lists_its_keys(program, config, allowed):
    text, imported = run_help(program, f"--config={config}", "--config.seed=5")
    flags, _, keys = text.partition(f"keys of --config={config}:\n")
    assert re.search(r"^ *--config\b", flags, re.MULTILINE)
    assert re.search(r"^  seed = 5 +\w+", keys, re.MULTILINE)
    assert imported & HEAVY <= allowed
