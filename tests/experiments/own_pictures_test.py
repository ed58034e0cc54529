"""README, "Use your own pictures": its five commands, from a folder of pictures to a page of matches with a threshold."""

import importlib
import json
import pathlib
import shlex

import jax
import pytest

from experiments.runs import training
from san_jax import sharding
from tests import pages
from tests.datasets.own import drawn

PAGE = pages.Page(pages.REPOSITORY / "README.md")
COMMANDS = [shlex.split(line)[2:] for line in PAGE.commands if "shop" in line]
# A network and a training that take seconds, in place of those of the paper.
SMALL = (
    "smoke,prepare=,data_dir=data,image_size=(32,32),model.width=4,num_steps=2,start.kind=random,"
    "batch.num_identities=2,batch.images_per_identity=2"
)


def run(module: str, arguments: list[str]) -> object:
    """Runs a program; returns its exit status, or its last words."""
    try:
        importlib.import_module(module).main(arguments)
    except SystemExit as ended:
        return ended.code
    return 0


def test_five_commands_make_a_page_of_matches(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert [module for module, *_ in COMMANDS] == [
        f"experiments.{name}" for name in ("prepare", "train", "calibrate", "embed", "search")
    ]
    persons = [f"person{number}" for number in range(12)]
    names = [f"{person}/{camera}/{n}.jpg" for person in persons for camera in ("door", "yard") for n in (1, 2)]
    drawn.draw(tmp_path / "pictures", names)
    monkeypatch.chdir(tmp_path)
    mesh = sharding.make_mesh(jax.devices()[:1])  # compiling for eight takes longer
    monkeypatch.setattr(training.sharding, "make_mesh", lambda: mesh)
    for module, *arguments in COMMANDS:
        arguments = [argument.replace("baseline.py:", f"baseline.py:{SMALL},") for argument in arguments]
        assert run(module, arguments) in (0, None), capsys.readouterr()
        monkeypatch.setattr(training.sharding, "make_mesh", sharding.make_mesh)
    ranked = json.loads((tmp_path / "found" / "ranked.json").read_text())
    page = (tmp_path / "found" / "index.html").read_text()
    assert len(ranked["queries"]) == 6 * 2  # a query of each test person and camera
    assert "same person" in page
    assert (tmp_path / "runs" / "shop" / "calibration.json").is_file()
