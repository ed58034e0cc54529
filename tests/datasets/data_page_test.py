"""The examples of docs/data.md, run as they stand, each with nothing but what the page says to install."""

import dataclasses
import functools
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import venv

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from datasets.market1501 import market1501_dataset_builder
from tests import dataset_fixtures

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Not among this project's dependencies: their examples run where somebody has installed them.
FRAMEWORKS = ("torch", "tensorflow")
# What tells the examples apart, the most telling first.
KINDS = {
    "torch": "import torch\n",
    "tensorflow": "import tensorflow as",
    "DataLoader": "grain.DataLoader",
    "MapDataset": "grain.MapDataset",
    "from_directory": "tfds.builder_from_directory",
    "data_source": "tfds.data_source",
}
# Three scripts besides Latin, and brackets, which globs and array_record give a meaning.
ODD_FOLDER = "My data [v1] ünï данные 数据 بيانات"


@dataclasses.dataclass(frozen=True)
class Example:
    """A Python program of the page, and the distributions that the page says to install for it."""

    name: str
    code: str
    requirements: tuple[str, ...]

    @property
    def framework(self) -> str:
        return next((name for name in self.requirements if name in FRAMEWORKS), "")


def _read_page() -> list[Example]:
    text = (REPOSITORY / "docs" / "data.md").read_text()
    examples: list[Example] = []
    requirements: tuple[str, ...] = ()
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "bash":
            (line,) = code.splitlines()
            assert line.startswith("pip install "), line
            requirements = tuple(line.split()[2:])
        else:
            kind = next(kind for kind, marker in KINDS.items() if marker in code)
            examples.append(Example(kind, code, requirements))
    return examples


EXAMPLES = {example.name: example for example in _read_page()}


def test_the_page_has_an_example_of_each_kind():
    assert list(EXAMPLES) == ["data_source", "from_directory", "MapDataset", "DataLoader", "torch", "tensorflow"]


# ----------------------------------------------------------------------------------------------------- environments


def _closure(requirements: tuple[str, ...]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that pip would install for `requirements` here, by their normalised names."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset({"", *wanted.extras})
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = importlib.metadata.distribution(name)
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(needed)
    return found


class Environments:
    """Virtual environments with links to the files of some distributions that are installed here."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder

    @functools.cache  # noqa: B019 (lives as long as the tests of this module)
    def python(self, requirements: tuple[str, ...]) -> pathlib.Path:
        """The interpreter of the environment with `requirements` and what they depend on."""
        environment = self._folder / "-".join(requirements)
        venv.EnvBuilder(symlinks=True).create(environment)
        packages = pathlib.Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
        for distribution in _closure(requirements).values():
            for file in distribution.files or ():
                source, link = pathlib.Path(str(distribution.locate_file(file))), packages / file
                if ".." not in file.parts and source.is_file():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(source.resolve())
        return environment / "bin" / "python"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return dataset_fixtures.write_small_market(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def data_dir(archive: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The data_dir of a small Market-1501, read-only."""
    data_dir = tmp_path_factory.mktemp("built") / ODD_FOLDER / "data"
    counts = dataset_fixtures.SMALL_MARKET_COUNTS
    dataset_fixtures.build("market1501", data_dir=data_dir, manual_dir=archive, counts=counts)
    for path in [data_dir, *data_dir.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)
    return data_dir


def _run(python: pathlib.Path, code: str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs a program from `folder`, without this repository's paths."""
    program = folder / "program.py"
    program.write_text(code)
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONWARNINGS")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(
        [python, program.name], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def _output(python: pathlib.Path, code: str, folder: pathlib.Path) -> str:
    result = _run(python, code, folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


# --------------------------------------------------------------------------------------------------------- examples


def _labels(output: str) -> list[int]:
    return sorted(
        int(number) for group in re.findall(r"\[([\d, ]+)\]\)?$", output, re.M) for number in re.findall(r"\d+", group)
    )


def _check(name: str, output: str, folder: pathlib.Path, archive: pathlib.Path) -> None:
    """Compares what an example printed and wrote with the archive."""
    lines = output.splitlines()
    if name == "data_source":
        assert lines == ["2 queries", "(128, 64, 3) uint8", "1 0 query/0001_c1s1_001051_00.jpg"]
    elif name == "from_directory":
        assert lines == ["4 training images", market1501_dataset_builder.Builder.LICENSE]
        first = sorted((archive / "bounding_box_train").glob("*.jpg"))[0]
        assert (folder / "first.jpg").read_bytes() == first.read_bytes()
    else:
        assert _labels(output) == [0, 0, 1, 2]
        assert "3, 128, 64]" in output if name == "torch" else "128, 64, 3)" in output


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_stands(
    name: str, environments: Environments, data_dir: pathlib.Path, archive: pathlib.Path, tmp_path: pathlib.Path
):
    example = EXAMPLES[name]
    if example.framework:
        pytest.importorskip(example.framework, reason=f"{example.framework} is not installed; `make test` needs none")
    (tmp_path / "data").symlink_to(data_dir)
    output = _output(environments.python(example.requirements), example.code, tmp_path)
    _check(name, output, tmp_path, archive)


@pytest.mark.parametrize("name", ["data_source", "from_directory", "MapDataset", "DataLoader"])
def test_an_example_reads_a_read_only_folder_of_any_name(
    name: str, environments: Environments, data_dir: pathlib.Path, archive: pathlib.Path, tmp_path: pathlib.Path
):
    example = EXAMPLES[name]
    assert '"data' in example.code
    before = _snapshot(data_dir)
    code = example.code.replace('"data', f'"{data_dir}')
    _check(name, _output(environments.python(example.requirements), code, tmp_path), tmp_path, archive)
    # Who is root may write all the same; the times of the folders tell.
    assert _snapshot(data_dir) == before


def _snapshot(folder: pathlib.Path) -> dict[pathlib.Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]}


def test_grains_workers_start_in_this_projects_environment(
    data_dir: pathlib.Path, archive: pathlib.Path, tmp_path: pathlib.Path
):
    """JAX is there, and nobody has parsed absl's flags."""
    (tmp_path / "data").symlink_to(data_dir)
    output = _output(pathlib.Path(sys.executable), EXAMPLES["DataLoader"].code, tmp_path)
    _check("DataLoader", output, tmp_path, archive)


@pytest.mark.parametrize("requirements", sorted({e.requirements for e in EXAMPLES.values() if not e.framework}))
def test_an_environment_holds_nothing_else(
    requirements: tuple[str, ...], environments: Environments, tmp_path: pathlib.Path
):
    names = ("datasets", "san_jax", "render", "jax", "torch", "tensorflow", "apache_beam", "cv2", "h5py", "pip")
    code = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    assert _output(environments.python(requirements), code, tmp_path) == "[]\n"


def test_load_needs_tensorflow(environments: Environments, data_dir: pathlib.Path, tmp_path: pathlib.Path):
    code = f'import tensorflow_datasets as tfds\ntfds.load("market1501", data_dir="{data_dir}")\n'
    result = _run(environments.python(EXAMPLES["data_source"].requirements), code, tmp_path)
    assert result.returncode != 0
    assert "No module named 'tensorflow'" in result.stderr
