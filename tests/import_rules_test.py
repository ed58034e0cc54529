"""Who may import whom (design: data flows one way, and what is heavy or foreign is touched in one file).

Read off the source with `ast`, imports inside functions and `importlib.import_module("...")` included.
"""

import ast
import pathlib
import sys
from collections.abc import Iterator

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("san_jax", "datasets", "render", "experiments")

# Folder -> what nothing in it imports.
FORBIDDEN = {
    "san_jax": ("datasets", "render", "experiments", "ml_collections", "absl.flags", "absl.app"),
    "datasets": ("jax", "jaxlib", "flax", "san_jax", "render", "experiments", "absl.flags", "absl.app"),
    "render": ("jax", "jaxlib", "flax", "san_jax", "datasets", "experiments", "absl.flags", "absl.app"),
    "experiments": ("absl.flags", "absl.app"),  # programs parse with argparse, see `experiments.command_line`
    "tests": ("tensorflow", "torch", "torchvision"),
    "tools": ("tensorflow", "torch", "torchvision"),
}
# Modules that every package may import, and what they import beside the standard library and each other.
LIGHT = {
    "san_jax.counts": (),
    "san_jax.dataset_names": (),
    "san_jax.file_kinds": (),
    "san_jax.files": (),
    "san_jax.folder_lock": (),
    "san_jax.moments": (),
    "san_jax.own_settings": (),
    "san_jax.pictures": ("numpy", "PIL"),  # a picture from outside is taken by the same rules everywhere
    "san_jax.programs": (),
    "san_jax.ranking_settings": (),
    "san_jax.run_folder": (),
    "san_jax.runtimes": (),
    "san_jax.settings": (),
}
# File -> what it may import although its folder does not: modules that import little themselves.
ALLOWED = {
    "datasets/rendered.py": ("render.manifest",),
    "datasets/cards/rendering.py": ("render.manifest",),
    "datasets/mirror_map.py": ("render.manifest",),
    "datasets/pit_reid/pit_reid_dataset_builder.py": ("render.manifest",),
    # Grain reads an absl flag of its own in programs that parse no flags; the file says so.
    "san_jax/data/iterator.py": ("absl.flags",),
    # What the benchmark times beside ours where PyTorch is installed; nobody else imports these two.
    "experiments/benchmarks/torch_model.py": ("torch",),
    "experiments/benchmarks/torch_step.py": ("torch",),
}
# Module -> the only file of the packages that imports it.
ONLY = {
    "pyrender": "render/optics/rasterizer.py",
    "orbax": "san_jax/checkpoint.py",
    "tensorboardX": "san_jax/metric_logger.py",
}
# What a user runs stands flat in this folder; other packages and modules may not import it, only tests may.
PROGRAMS = {
    f"experiments.{path.stem}"
    for path in (REPOSITORY / "experiments").glob("*.py")
    if '\nif __name__ == "__main__":' in path.read_text()
}
# Scripts that make golden files with PyTorch; not run by the tests.
EXEMPT = "tests/golden/"


def imported(source: str) -> Iterator[str]:
    """Dotted names that a module imports; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the package's name"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def _is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def violations(path: str, source: str) -> list[str]:
    """What a file imports against the rules. `path` is relative to the repository, with forward slashes."""
    folder = path.split("/")[0]
    forbidden = FORBIDDEN.get(folder, ())
    if folder in PACKAGES:
        forbidden = (*forbidden, *FORBIDDEN["tests"])
    found = []
    for name in imported(source):
        if any(_is_in(name, allowed) for allowed in (*LIGHT, *ALLOWED.get(path, ()))):
            continue
        if any(_is_in(name, module) for module in forbidden):
            found.append(f"{path} imports {name}")
        if folder != "tests" and name in PROGRAMS:
            found.append(f"{path} imports the program {name}; import what it calls")
        for module, only in ONLY.items():
            if folder in PACKAGES and _is_in(name, module) and path != only:
                found.append(f"{path} imports {name}; only {only} may")
    return found


def source_files() -> dict[str, str]:
    """The source of every file that the rules are for, by its path in the repository."""
    folders = (*PACKAGES, "tests", "tools")
    paths = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    names = {path.relative_to(REPOSITORY).as_posix(): path.read_text() for path in paths}
    return {name: source for name, source in names.items() if not name.startswith(EXEMPT)}


def test_every_module_keeps_the_rules():
    files = source_files()
    assert {name.split("/")[0] for name in files} >= {*PACKAGES, "tests"}
    assert [line for name, source in files.items() for line in violations(name, source)] == []


@pytest.mark.parametrize("module", LIGHT)
def test_what_every_package_may_import_is_light(module: str):
    names = imported(source_files()[f"{module.replace('.', '/')}.py"])
    heavy = [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
    allowed = (*LIGHT, *LIGHT[module])
    assert [name for name in heavy if not any(_is_in(name, light) for light in allowed)] == []


def test_the_files_with_a_licence_exist_and_use_it():
    files = source_files()
    for name, modules in ALLOWED.items():
        for module in modules:
            assert any(_is_in(imported_name, module) for imported_name in imported(files[name])), (name, module)
    for module, name in ONLY.items():
        assert any(_is_in(imported_name, module) for imported_name in imported(files[name])), (name, module)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("san_jax/embed.py", "import datasets"),
        ("san_jax/embed.py", "from render import manifest"),
        ("san_jax/embed.py", "def f():\n    from experiments.restore import load_run"),
        ("san_jax/embed.py", "import ml_collections"),
        ("san_jax/embed.py", "from absl import flags"),
        ("san_jax/data/iterator.py", "from absl import app"),
        ("san_jax/train_step.py", "from orbax.checkpoint import v1"),
        ("experiments/train.py", "import orbax.checkpoint as ocp"),
        ("experiments/demo.py", "import pyrender"),
        ("experiments/train.py", "from absl import app, logging"),
        ("experiments/command_line/paths.py", "from absl import flags"),
        ("experiments/runs/training.py", "from experiments import evaluate"),
        ("experiments/runs/stages.py", "def f():\n    from experiments import train"),
        ("experiments/demo.py", "import importlib\nimportlib.import_module('torch.nn')"),
        ("datasets/examples.py", "import jax.numpy as jnp"),
        ("datasets/examples.py", "from san_jax.typing import Array"),
        ("datasets/examples.py", "from render import manifest"),
        ("datasets/rendered.py", "from render import body"),
        ("datasets/rendered.py", "import render"),
        ("datasets/build.py", "from san_jax import checkpoint"),
        ("datasets/build.py", "from absl import app"),
        ("render/figure/body.py", "import jax"),
        ("render/figure/body.py", "from datasets import examples"),
        ("render/recipes/pit.py", "import pyrender"),
        ("render/recipes/pit.py", "from absl import flags"),
        ("tests/san_jax/models/networks_test.py", "import torch"),
        ("tools/check.py", "import tensorflow as tf"),
    ],
)
def test_a_planted_violation_is_found(path: str, line: str):
    assert len(violations(path, line)) >= 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("san_jax/checkpoint.py", "from orbax.checkpoint import v1 as ocp"),
        ("datasets/rendered.py", "from render import manifest"),
        ("experiments/demo.py", "import jax, datasets, san_jax.models\nfrom render import pit"),
        ("san_jax/data/reading.py", "import tensorflow_datasets as tfds"),
        ("tests/san_jax/checkpoint_test.py", "import orbax.checkpoint"),
    ],
)
def test_what_is_allowed_passes(path: str, line: str):
    assert violations(path, line) == []
