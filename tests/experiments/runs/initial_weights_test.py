"""`config.pretrained`: which file a run starts from, and what is said where it is missing or another network's."""

import hashlib
import pathlib
import re
import shutil

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import initial_weights, training
from experiments.runs.initial_weights import PretrainedError
from san_jax.models.weights import torch_files
from tests.torch_saves import save

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "weight_files"
NARROW = "san_pg.py:smoke,prepare=,model.width=2,model.stage_sizes=(1, 2, 1, 1)"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["san_pg", "baseline", "san"])
def test_a_missing_file_stops_before_anything_else(here, name):
    """The real configs as they are, run on a machine without any data."""
    with pytest.raises(training.RunError) as error:
        training.run(config_files.load(f"{name}.py"), "run")
    message = str(error.value)
    assert f"the ImageNet weights of resnet50 are not in {here / 'weights'}" in message
    assert "Fetch https://download.pytorch.org/models/resnet50-0676ba61.pth" in message
    assert "resnet50-19c8e357.pth, resnet50-11ad3fa6.pth will do" in message
    assert "Random weights: --config.pretrained=" in message
    assert "No dataset 'pit' in data." in message or name == "baseline"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("encoder", initial_weights.FILES)
def test_the_first_file_that_is_there_is_taken(here, encoder):
    with pytest.raises(PretrainedError, match=f"of {encoder} are not in"):
        initial_weights.find("imagenet", encoder)
    for name in reversed(initial_weights.FILES[encoder]):
        (here / "weights").mkdir(exist_ok=True)
        (here / "weights" / name).touch()
        assert initial_weights.find("imagenet", encoder) == pathlib.Path("weights") / name


def test_the_message_has_the_flag_of_the_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("imagenet", "none.pth"):
        with pytest.raises(initial_weights.PretrainedError) as error:
            initial_weights.find(given, "resnet50", flag="--pretrained")
        assert "--pretrained=" in str(error.value)
        assert "--config" not in str(error.value)


def test_no_file_where_none_is_asked_for():
    assert initial_weights.load(config_files.load("san_pg.py:pretrained=")) is None
    assert initial_weights.load(config_files.load("san.py:init_from=runs/san_pg")) is None
    for name in ("san_pg", "baseline", "san", "baseline_partial", "san_partial"):
        assert config_files.load(f"{name}.py").pretrained == "imagenet"
        assert config_files.load(f"{name}.py:smoke").pretrained == ""


@pytest.mark.parametrize("name", ["resnet.pth", "resnet_legacy.pth", "resnet.safetensors"])
def test_a_file_by_its_path(name):
    weights = initial_weights.load(config_files.load(f"{NARROW},pretrained={FOLDER / name}"))
    assert weights.params["conv1"]["kernel"].shape == (7, 7, 3, 2)
    assert weights.batch_stats["bn1"]["norm"]["mean"].shape == (2,)
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    assert weights.record == {"file": str(FOLDER / name), "sha256": digest}


def test_the_weights_of_another_project(here):
    """The log says where the encoder was, and what was left out; data.json says the former."""
    tensors = torch_files.read(FOLDER / "resnet.pth")
    save(here / "reid.pth", {"model": {f"backbone.{name}": value for name, value in tensors.items()}, "epoch": 3})
    config = config_files.load(f"{NARROW},pretrained=reid.pth")
    weights = initial_weights.load(config)
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
    config = config_files.load(NARROW)
    config.pretrained = name
    with pytest.raises(PretrainedError) as error:
        initial_weights.load(config)
    (value,) = re.findall(r"--config.pretrained='(.*)'$", str(error.value))
    assert value == f"{name}#state_dict.module.encoder_q."
    config.pretrained = value
    weights = initial_weights.load(config)
    np.testing.assert_array_equal(weights.params["bn1"]["norm"]["scale"], tensors["bn1.weight"])
    config.pretrained = value.replace("_q", "_k")
    weights = initial_weights.load(config)
    np.testing.assert_array_equal(weights.params["bn1"]["norm"]["scale"], tensors["bn1.weight"] + 1)
    config.pretrained = f"{name}#elsewhere"
    with pytest.raises(PretrainedError, match=r"are at 'elsewhere', but at 'state_dict.module.encoder_q.', 'state_"):
        initial_weights.load(config)


def test_files_that_do_not_fit(here):
    config = config_files.load(f"{NARROW},pretrained=none.pth")
    with pytest.raises(PretrainedError, match=r"there is no file none.pth. Give 'imagenet', the path of"):
        initial_weights.load(config)
    config.pretrained = str(FOLDER / "densenet_legacy.pth")
    with pytest.raises(PretrainedError) as error:
        initial_weights.load(config)
    assert "densenet_legacy.pth: the weights are not those of this ResNet" in str(error.value)
    assert str(error.value).endswith("or start from random weights: --config.pretrained=")
    (here / "page.pth").write_text("<html>not found</html>")
    config.pretrained = "page.pth"
    with pytest.raises(PretrainedError, match=r"page.pth: expected a file of torch.save"):
        initial_weights.load(config)
    config.pretrained = "imagenet"
    with pytest.raises(
        PretrainedError, match=r"expected model.width=64 and model.stage_sizes=\(\), found 2 and \(1, 2"
    ):
        initial_weights.load(config)


def test_imagenet_files_are_what_their_names_promise(here, monkeypatch):
    """torchvision's names end in the beginning of the SHA-256; one that does not has changed on its way."""
    data = (FOLDER / "resnet.pth").read_bytes()
    good = f"resnet50-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    monkeypatch.setattr(initial_weights, "FILES", {"resnet50": (good, "resnet50-00000000.pth")})
    monkeypatch.setattr(initial_weights, "_is_whole", lambda model: True)
    config = config_files.load(f"{NARROW},pretrained=imagenet")
    (here / "weights").mkdir()
    shutil.copy(FOLDER / "resnet.pth", here / "weights" / "resnet50-00000000.pth")
    with pytest.raises(PretrainedError, match=r"resnet50-00000000.pth is damaged: its SHA-256 begins with"):
        initial_weights.load(config)
    shutil.copy(FOLDER / "resnet.pth", here / "weights" / good)
    weights = initial_weights.load(config)
    assert weights.path.name == good
    assert np.isfinite(weights.params["conv1"]["kernel"]).all()


def test_the_key_counts_only_where_the_weights_come_from_it():
    """A run that starts from another one goes on, whatever file is named."""

    def config(init_from: str, weights: str):
        return config_files.load(f"baseline.py:init_from={init_from},pretrained={weights}")

    assert training.changed_keys(config("runs/a", ""), config("runs/a", "imagenet")) == {}
    assert training.changed_keys(config("", ""), config("", "imagenet")) == {"pretrained": ("", "imagenet")}
    assert set(training.changed_keys(config("runs/a", ""), config("", "imagenet"))) == {"init_from", "pretrained"}
