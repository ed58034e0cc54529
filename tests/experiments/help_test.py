"""`--help` of every program: exits with 0, shows defaults, lists `--config` and its keys, and imports nothing heavy."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest

from datasets import build
from experiments import ablate, evaluate, export, prepare
from experiments.ablation import tables
from experiments.runs import exporting, onnx_file
from experiments.scoring import texture_quality
from san_jax import ranking
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
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
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
def test_help_shows_defaults(program):
    text, _ = run_help(program)
    assert re.search(r"\(default: \S+\)", text)


# The generator's keys and defaults come from its dataclasses, beside code that imports trimesh.
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


def test_choices_are_those_of_the_packages():
    """Programs name them again, as `--help` imports none of the packages."""
    assert ("all", *build.NAMES) == prepare.DATASETS
    assert (export.FORMATS, export.DEFAULT_FORMATS) == (exporting.FORMATS, exporting.DEFAULT_FORMATS)
    assert (export.OPSETS, export.DEFAULT_OPSET) == (onnx_file.OPSETS, onnx_file.DEFAULT_OPSET)
    assert (evaluate.METRICS, evaluate.AVERAGE_PRECISIONS) == (ranking.METRICS, ranking.AVERAGE_PRECISIONS)
    defaults = {field.name: field.default for field in dataclasses.fields(ranking.KReciprocal)}
    assert {name: default for name, (default, _) in evaluate.RERANK_SETTINGS.items()} == defaults
    assert tuple(tables.TABLES) == ablate.TABLES
    text, _ = run_help("experiments.figures")
    assert f"fixed seed (default: {texture_quality.SAMPLE})" in " ".join(text.split())
