"""`python -m` runs programs only, and says so where Hugging Face's `datasets` is in the way."""

import os
import pathlib
import subprocess
import sys

import pytest

from experiments import command_line

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("san_jax", "datasets", "render", "experiments")


def python(*arguments: str, path: str | os.PathLike[str] = REPOSITORY, cwd: pathlib.Path = REPOSITORY):
    """Runs Python; `path` is its PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": str(path), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, timeout=600
    )


def modules() -> dict[str, str]:
    """Every module of the packages and its source."""
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path.read_text()
        for package in PACKAGES
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if path.name != "__init__.py"
    }


MODULES = modules()
PROGRAMS = sorted(name for name, source in MODULES.items() if '\nif __name__ == "__main__":\n' in source)


# Some of each package; the test after this one has all of them, in one process.
@pytest.mark.parametrize(
    "module",
    [
        *("experiments.pages.preview", "experiments.command_line.config_files", "experiments.configs.san"),
        *("datasets", "datasets.build", "datasets.market1501.market1501_dataset_builder"),
        *("render", "render.recipes.pit", "san_jax.embed", "san_jax.models.san"),
    ],
)
def test_a_module_that_is_no_program_is_refused(module):
    result = python("-m", module)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{module} is a {'module' if '.' in module else 'package'}, not a program. ")
    assert "experiments" in result.stderr.partition("not a program. ")[2]
    assert "Traceback" not in result.stderr


def test_the_refusal_knows_every_module(monkeypatch):
    """In this process, as if `python -m` were about to run each module in turn."""
    from san_jax.programs import refuse_modules

    refused = []
    for name in MODULES:
        package = name.partition(".")[0]
        monkeypatch.setattr(sys, "argv", ["-m", "--flag"])
        monkeypatch.setattr(sys, "orig_argv", ["python", "-m", name, "--flag"])
        try:
            refuse_modules(package, str(REPOSITORY / package / "__init__.py"))
        except SystemExit:
            refused.append(name)
    assert refused == [name for name in MODULES if name not in PROGRAMS]
    assert len(PROGRAMS) >= 15


@pytest.mark.parametrize("module", ["experiments", "experiments.trian"])
def test_every_program_is_listed(module):
    result = python("-m", module)
    assert result.returncode == 1
    listed = [line.split()[2] for line in result.stderr.splitlines() if line.startswith("  python -m ")]
    assert listed == [name for name in PROGRAMS if name.startswith("experiments.")]


@pytest.mark.parametrize("options", [["-mexperiments.pages.report"], ["-X", "dev", "-Bm", "experiments.pages.report"]])
def test_options_of_python_before_the_module(options):
    result = python(*options, "--output=x", "more")
    assert result.returncode == 1
    assert result.stderr.startswith("experiments.pages.report is a module, not a program.")


def test_a_program_of_somebody_else_may_import_the_packages(tmp_path):
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("import render, san_jax")
    (package / "report.py").write_text("print('ran')")
    result = python("-m", "theirs.report", path=f"{REPOSITORY}{os.pathsep}{tmp_path}", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr


def test_hugging_faces_package_is_named_with_both_ways_out(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("from .load import load_dataset")
    result = python("-P", "-c", "import experiments", path=f"{tmp_path}{os.pathsep}{REPOSITORY}", cwd=tmp_path)
    assert result.returncode == 1
    message = result.stderr.partition("ImportError: ")[2]
    assert f"`import datasets` finds {tmp_path / 'datasets' / '__init__.py'}, not San-JAX's package" in message
    assert f"cd {REPOSITORY} && python -m experiments.PROGRAM" in message
    assert f"python3 -m venv san_env && san_env/bin/python -m pip install {REPOSITORY}\n" in message
    # The first way works as it is written.
    result = python("-m", "experiments.prepare", "--help", path=tmp_path)
    assert result.returncode == 0, result.stderr
    result = python("-P", "-c", "import experiments, datasets; datasets.build_dataset", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_every_program_for_users_ends_in_one_line_at_ctrl_c():
    for name in PROGRAMS:
        if name.startswith("experiments."):
            assert "command_line.run(" in MODULES[name], name


def test_ctrl_c_ends_with_one_line():
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match=r"^Interrupted\.$"):
        command_line.run(main)
