"""`config.start`: which file a run starts from, and what is said where it is missing or another network's."""

import hashlib
import pathlib
import re
import shutil

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import initial_weights, training
from experiments.runs.initial_weights import StartError
from experiments.runs.plan import resolve
from experiments.runs.settings import Start
from san_jax.models.weights import torch_files
from tests.san_jax.models.weights.torch_saves import save

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "weight_files"
NARROW = "san_pg.py:smoke,prepare=,model.width=2,model.stage_sizes=(1, 2, 1, 1)"
IMAGENET = Start("imagenet")


def load(path: str | pathlib.Path, kind: str = "file") -> initial_weights.FileWeights:
    """The weights of a file for a narrow ResNet."""
    config = config_files.load(NARROW)
    config.start.update({"kind": kind, "path": str(path)})
    weights = initial_weights.load_file(resolve(config))
    assert weights is not None
    return weights


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["san_pg", "baseline", "san_released"])
def test_a_missing_file_stops_before_anything_else(here, name):
    """The real configs as they are, run on a machine without any data."""
    with pytest.raises(training.RunError) as error:
        training.run(config_files.load(f"{name}.py"), "run")
    message = str(error.value)
    assert f"the ImageNet weights of resnet50 are not in {here / 'weights'}" in message
    assert "Fetch https://download.pytorch.org/models/resnet50-0676ba61.pth" in message
    assert "resnet50-19c8e357.pth, resnet50-11ad3fa6.pth will do" in message
    assert "Random weights: start.kind=random." in message
    assert f"No dataset 'pit' in data ({here / 'data'})." in message or name != "san_pg"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("encoder", initial_weights.FILES)
def test_the_first_file_that_is_there_is_taken(here, encoder):
    with pytest.raises(StartError, match=f"of {encoder} are not in"):
        initial_weights.find(IMAGENET, encoder)
    for name in reversed(initial_weights.FILES[encoder]):
        (here / "weights").mkdir(exist_ok=True)
        (here / "weights" / name).touch()
        assert initial_weights.find(IMAGENET, encoder) == pathlib.Path("weights") / name


def test_no_file_where_none_is_asked_for():
    for start in ("kind=random,start.path=", "path=runs/san_pg"):
        assert initial_weights.load_file(resolve(config_files.load(f"san.py:start.{start}"))) is None
    kinds = {
        "san_pg": "imagenet",
        "baseline": "imagenet",
        "san": "run",
        "san_released": "imagenet",
        "san_partial": "run",
    }
    for name, kind in kinds.items():
        assert config_files.load(f"{name}.py").start.kind == kind
        assert config_files.load(f"{name}.py:smoke").start.kind in ("random", "run")


@pytest.mark.parametrize("name", ["resnet.pth", "resnet_legacy.pth", "resnet.safetensors"])
def test_a_file_by_its_path(name):
    weights = load(FOLDER / name)
    assert weights.params["conv1"]["kernel"].shape == (7, 7, 3, 2)
    assert weights.batch_stats["bn1"]["norm"]["mean"].shape == (2,)
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    assert weights.record == {"file": str(FOLDER / name), "sha256": digest}


def test_the_weights_of_another_project(here):
    """The log says where the encoder was, and what was left out; data.json says the former."""
    tensors = torch_files.read(FOLDER / "resnet.pth")
    save(here / "reid.pth", {"model": {f"backbone.{name}": value for name, value in tensors.items()}, "epoch": 3})
    weights = load("reid.pth")
    digest = hashlib.sha256((here / "reid.pth").read_bytes()).hexdigest()
    assert weights.record == {"file": "reid.pth", "sha256": digest, "place": "model.backbone."}
    assert weights.description == (
        f"encoder from reid.pth at 'model.backbone.' (SHA-256 {digest}); 2 tensors beside it are not used: "
        "model.backbone.fc.weight, model.backbone.fc.bias"
    )


@pytest.mark.parametrize("name", ["moco.pth.tar", "a#b.pth"])
def test_one_of_several_networks_is_named_after_the_path(here, name):
    tensors = torch_files.read(FOLDER / "resnet.pth")
    state = {f"module.encoder_{kind}.{key}": v + (kind == "k") for kind in "qk" for key, v in tensors.items()}
    save(here / name, {"state_dict": state})
    with pytest.raises(StartError) as error:
        load(name)
    (value,) = re.findall(r"--config.start.path='(.*)'$", str(error.value))
    assert value == f"{name}#state_dict.module.encoder_q."
    np.testing.assert_array_equal(load(value).params["bn1"]["norm"]["scale"], tensors["bn1.weight"])
    other = load(value.replace("_q", "_k"))
    np.testing.assert_array_equal(other.params["bn1"]["norm"]["scale"], tensors["bn1.weight"] + 1)
    with pytest.raises(StartError, match=r"are at 'elsewhere', but at 'state_dict.module.encoder_q.', 'state_"):
        load(f"{name}#elsewhere")


def test_files_that_do_not_fit(here):
    with pytest.raises(StartError, match=r"there is no file none.pth. Give the path of a .pth"):
        load("none.pth")
    with pytest.raises(StartError) as error:
        load(FOLDER / "densenet_legacy.pth")
    assert "densenet_legacy.pth: the weights are not those of this ResNet" in str(error.value)
    assert str(error.value).endswith("or start from random weights: --config.start.kind=random")
    (here / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(StartError, match=r"page.pth: expected a file of torch.save"):
        load("page.pth")
    with pytest.raises(StartError, match=r"expected model.width=64 and model.stage_sizes=\(\), found 2 and \(1, 2"):
        load("", "imagenet")


def test_imagenet_files_are_what_their_names_promise(here, monkeypatch):
    """torchvision's names end in the beginning of the SHA-256; one that does not has changed on its way."""
    monkeypatch.setattr(initial_weights, "FILES", {"resnet50": ("resnet50-00000000.pth",)})
    (here / "weights").mkdir()
    shutil.copy(FOLDER / "resnet.pth", here / "weights" / "resnet50-00000000.pth")
    with pytest.raises(StartError, match=r"resnet50-00000000.pth is damaged: its SHA-256 begins with"):
        initial_weights.load_file(resolve(config_files.load("baseline.py")))
