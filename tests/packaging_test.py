"""What `pip install .` installs: every module and data file, importable from anywhere."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("san_jax", "datasets", "render", "experiments")

# Imports the modules named as arguments after the folder that they must come from; reads each dataset's texts.
IMPORT_ALL = """
import importlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    path = pathlib.Path(module.__file__)
    assert path.is_relative_to(folder), f"{name} was imported from {path}"
    if name.endswith("_dataset_builder"):
        metadata = module.Builder.get_metadata() if hasattr(module, "Builder") else None
        assert metadata is None or (metadata.description and metadata.citation and metadata.tags), name
print(len(sys.argv) - 2)
"""


def tracked_files() -> list[str]:
    """Files that git knows or would add, relative to the repository."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    return [name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]


def pip(*arguments: str | os.PathLike[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel, built offline from a copy of the tracked files: setuptools would leave its folders in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        if name.split("/")[0] in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
            copy = source / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((REPOSITORY / name).read_bytes())
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source)
    (path,) = target.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel):
    expected = {name for name in tracked_files() if name.split("/")[0] in PACKAGES}
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_the_wheel_is_private(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        assert "Classifier: Private :: Do Not Upload\n" in file.read(name).decode()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> pathlib.Path:
    """A folder with the wheel installed into it and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


def python(installed: pathlib.Path, folder: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder, with the installed wheel before this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=600)


# The benchmark imports them where PyTorch, which is no requirement, is installed.
NEED_PYTORCH = ("experiments/benchmarks/torch_model.py", "experiments/benchmarks/torch_step.py")


def test_every_module_of_an_installed_wheel_is_imported_from_another_folder(installed, tmp_path):
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in map(pathlib.PurePath, tracked_files())
        if path.parts[0] in PACKAGES and path.suffix == ".py" and str(path) not in NEED_PYTORCH
    ]
    result = python(installed, tmp_path, "-c", IMPORT_ALL, str(installed), *modules)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(len(modules))


def test_a_program_of_an_installed_wheel_finds_the_configs(installed, tmp_path):
    result = python(installed, tmp_path, "-m", "experiments.pit_render", "--check", "--config=pit.py:smoke")
    assert result.returncode == 0, result.stderr


def test_hugging_faces_package_installed_over_the_wheel_is_noticed(installed, tmp_path):
    copy = tmp_path / "environment"
    shutil.copytree(installed, copy)
    (copy / "datasets" / "__init__.py").write_text('__version__ = "5.0"')
    result = python(copy, tmp_path, "-m", "experiments.prepare", "--help")
    assert result.returncode == 1
    assert f"`import datasets` finds {copy / 'datasets' / '__init__.py'}" in result.stderr
    assert "cd CHECKOUT && python -m experiments.PROGRAM" in result.stderr
    assert "san_env/bin/python -m pip install CHECKOUT_OR_WHEEL" in result.stderr
