"""Sizes and imports of the four packages: short files and functions, imports at the top, no circle."""

import ast

import pytest

from tests.import_rules_test import PACKAGES, PROGRAMS, imported, source_files

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

# File -> what it imports inside a function, where each says why. Programs (`PROGRAMS`) parse their options first.
LATE = {
    "san_jax/__init__.py": [
        "san_jax.embedding_files",
        "san_jax.inference",
        "san_jax.ranking",
    ],  # when they are first asked for
    "san_jax/data/iterator.py": ["absl.flags"],  # a flag of Grain's
    "san_jax/data/reading.py": ["tensorflow_datasets"],  # loaded already where it is needed
    "san_jax/inference.py": ["san_jax.checkpoint"],  # Orbax takes seconds to import; other sources do not need it
    # The platform is chosen first, by an environment variable that these read when they are imported.
    "render/optics/rasterizer.py": [
        *("OpenGL.GL", "OpenGL.arrays.ctypesparameters", "OpenGL.osmesa", "OpenGL.platform", "pyrender"),
    ],
    "datasets/own/videos.py": ["av"],  # need not be installed
    "experiments/runs/launching.py": ["submitit"],  # need not be installed
    "experiments/benchmarks/step.py": ["experiments.benchmarks.torch_step"],  # PyTorch need not be installed
    "san_jax/onnx_file.py": ["onnx", "onnxruntime"],  # need not be installed
}


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def long_files(files: dict[str, str]) -> list[str]:
    lengths = {path: len(source.splitlines()) for path, source in files.items()}
    return [f"{path} has {length} lines" for path, length in lengths.items() if length > MAX_FILE_LINES]


def _functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def long_functions(files: dict[str, str]) -> list[str]:
    found = []
    for path, source in files.items():
        for function in _functions(source):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{path}: {function.name} has {length} lines")
    return found


def late_imports(files: dict[str, str]) -> list[str]:
    """Imports inside functions that `LATE` does not list, in modules that are no programs."""
    found = []
    for path, source in files.items():
        if module_name(path) in PROGRAMS:
            continue
        late = {name for function in _functions(source) for name in imported(ast.unparse(function))}
        found += [f"{path} imports {name} in a function" for name in sorted(late) if name not in LATE.get(path, ())]
    return found


def import_circles(files: dict[str, str]) -> list[str]:
    """Modules of the packages that import each other, directly or by others; imports inside functions count."""
    modules = {module_name(path): source for path, source in files.items()}
    imports = {name: _modules_in(imported(source), modules) - {name} for name, source in modules.items()}
    # What imports nothing that is left cannot be in a circle, nor can what nobody who is left imports.
    left = set(imports)
    while True:
        used = {name for module in left for name in imports[module] & left}
        keep = {name for name in left if name in used and imports[name] & left}
        if keep == left:
            return [f"{name} imports {', '.join(sorted(imports[name] & left))}" for name in sorted(left)]
        left = keep


def _modules_in(names, modules: dict[str, str]) -> set[str]:
    """The module of each imported name: itself, or the one that it is taken from."""
    owners = (name if name in modules else name.rpartition(".")[0] for name in names)
    return {owner for owner in owners if owner in modules}


@pytest.fixture(scope="module")
def packages() -> dict[str, str]:
    files = {path: source for path, source in source_files().items() if path.startswith(PACKAGES)}
    assert len(files) > 150
    return files


@pytest.mark.parametrize("rule", [long_files, long_functions, late_imports, import_circles])
def test_the_packages_keep_the_rule(rule, packages):
    assert rule(packages) == []


def test_what_is_listed_as_late_is(packages):
    for path, names in LATE.items():
        assert sorted(late_imports({f"planted/{path}": packages[path]})) == [
            f"planted/{path} imports {name} in a function" for name in sorted(names)
        ]


def test_no_test_is_longer_than_a_file_may_be():
    tests = {path: source for path, source in source_files().items() if path.startswith("tests/")}
    assert "tests/house_test.py" in tests
    assert long_files(tests) == []


FUNCTION = "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)


@pytest.mark.parametrize(
    ("rule", "allowed", "planted"),
    [
        (long_files, {"render/a.py": "x = 1\n" * MAX_FILE_LINES}, {"render/a.py": "x = 1\n" * (MAX_FILE_LINES + 1)}),
        (long_functions, {"render/a.py": FUNCTION}, {"render/a.py": FUNCTION + "    x = 2\n"}),
        (
            long_functions,
            {"render/a.py": "class A:\n" + "    x = 1\n" * 100},
            {"render/a.py": "class A:\n    async " + FUNCTION.replace("\n", "\n    ") + "    y = 2\n"},
        ),
        (
            late_imports,
            {"experiments/train.py": "def main():\n    import jax\n", "render/a.py": "import numpy\n"},
            {"render/a.py": "def f():\n    if True:\n        from numpy import linalg\n"},
        ),
        (
            late_imports,
            {"san_jax/inference.py": "def f():\n    from san_jax import checkpoint\n"},
            {"san_jax/inference.py": "def f():\n    from san_jax import losses\n"},
        ),
        (
            import_circles,
            {"render/a.py": "from render import b, c", "render/b.py": "from render.c import f", "render/c.py": ""},
            {
                "render/a.py": "from render.b import f",
                "render/b.py": "def f():\n    import render.c",
                "render/c.py": "from render import a",
            },
        ),
        (
            import_circles,
            {"render/__init__.py": "from render.a import f", "render/a.py": "from render import b", "render/b.py": ""},
            {"render/__init__.py": "from render.a import f", "render/a.py": "from render import f"},
        ),
    ],
)
def test_a_planted_violation_is_found(rule, allowed, planted):
    assert rule(allowed) == []
    assert len(rule(planted)) >= 1
