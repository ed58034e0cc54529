"""experiments/command_line/config_files.py: names, arguments, and what is answered to a wrong one."""

import pytest
from ml_collections import ConfigDict

from experiments.command_line import config_files

CONFIG_FILE = """
from ml_collections import ConfigDict
from experiments.command_line import config_files

def get_config(argument=""):
    config = ConfigDict({
        "seed": 1,  # seeds it all
        "rate": 0.5, "flip": True, "name": "market1501",
        "size": (256, 128),  # height and width
        "model": {  # the network
            "width": 64, "dtype": "float32"  # or "bfloat16"
        },
    })
    return config_files.apply(config, argument, smoke={"seed": 7, "model.width": 8})
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A config folder with `toy.py` and `other.py`, in place of experiments/configs."""
    (tmp_path / "toy.py").write_text(CONFIG_FILE)
    (tmp_path / "other.py").write_text(CONFIG_FILE)
    monkeypatch.setattr(config_files, "CONFIG_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["toy", "toy.py"])
def test_bare_name_is_looked_up_in_the_config_folder(folder, name):
    assert config_files.resolve(name) == (folder / "toy.py").resolve()
    assert config_files.load(name).model.width == 64


def test_path_is_allowed(folder, tmp_path, monkeypatch):
    path = tmp_path / "elsewhere" / "mine.py"
    path.parent.mkdir()
    path.write_text(CONFIG_FILE)
    assert config_files.load(f"{path}:seed=3").seed == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_files.load("~/elsewhere/mine.py:seed=3").seed == 3
    with pytest.raises(config_files.ConfigError, match=r"none\.py does not exist"):
        config_files.load(str(tmp_path / "none.py"))


def test_unknown_name_is_answered_with_the_nearest(folder):
    with pytest.raises(config_files.ConfigError, match=r"no config 'tou.py'.*Did you mean 'toy.py'\?"):
        config_files.load("tou.py")


def test_smoke_comes_first_wherever_it_stands(folder):
    for argument in ("smoke,seed=3", "seed=3,smoke"):
        config = config_files.load(f"toy:{argument}")
        assert (config.seed, config.model.width) == (3, 8)


def test_values_take_the_type_of_the_key(folder):
    config = config_files.load("toy:rate=2,flip=false,name=a/b,size=(64, 32),model.dtype=bfloat16")
    assert config.rate == 2.0
    assert isinstance(config.rate, float)
    assert config.flip is False
    assert config.name == "a/b"
    assert config.size == (64, 32)
    assert config.model.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sed=3", r"no key 'sed'.*Did you mean 'seed'\?"),
        ("model.witdh=3", r"no key 'model.witdh'.*Did you mean 'model.width'\?"),
        ("width=3", r"no key 'width'.*Did you mean 'model.width'\?"),
        ("seed", r"seed lacks a value: write seed=VALUE"),
        ("smok", r"unknown variant 'smok'.*Did you mean 'smoke'\?"),
        ("seed=1.5", r"seed=1.5: expected an integer like 1"),
        ("seed=many", r"expected an integer"),
        ("flip=2", r"expected true or false"),
        ("rate=fast", r"expected a number like 0.5"),
        ("size=3", r"expected a tuple like \(256, 128\)"),
        ("model=3", r"'model' is a group: set one of its keys: model.dtype, model.width"),
    ],
)
def test_wrong_argument_says_what_was_expected(folder, argument, message):
    with pytest.raises(config_files.ConfigError, match=message):
        config_files.load(f"toy:{argument}")


def test_wrong_smoke_is_an_error_of_the_config():
    config = ConfigDict({"seed": 1})
    with pytest.raises(config_files.ConfigError, match="no key 'sed'"):
        config_files.apply(config, "smoke", smoke={"sed": 1})
    with pytest.raises(config_files.ConfigError, match="expected an integer"):
        config_files.apply(config, "smoke", smoke={"seed": 1.0})


def test_config_is_locked(folder):
    with pytest.raises(AttributeError):
        config_files.load("toy").undefined = 1


def test_json_round_trip(folder):
    config = config_files.load("toy:seed=5")
    restored = config_files.from_json(config_files.to_json(config))
    assert restored.to_dict() == config.to_dict()
    assert restored.size == (256, 128)
    assert config_files.differences(config, restored) == {}


def test_differences_name_dotted_keys(folder):
    old, new = config_files.load("toy"), config_files.load("toy:smoke")
    assert config_files.differences(old, new) == {"seed": (1, 7), "model.width": (64, 8)}
    assert config_files.differences(ConfigDict({"a": 1}), ConfigDict({"b": 2})) == {
        "a": (1, "absent"),
        "b": ("absent", 2),
    }


@pytest.mark.parametrize("name", ["baseline", "san"])
def test_partial_fine_tuning_differs_by_what_its_docstring_says(name):
    whole, partial = config_files.load(f"{name}.py"), config_files.load(f"{name}_partial.py")
    assert config_files.differences(whole, partial) == {
        "augment.crop_probability": (0.0, 0.5),
        "num_epochs": (320.0, 40.0),
        "optimizer.learning_rate": (8e-4, 8e-5),
        "optimizer.schedule": ("released", "cosine"),
        "optimizer.warmup_epochs": (20.0, 0.0),
        "start.classifier": (False, True),
        "start.path": (whole.start.path, f"runs/{name}"),
    } | ({"start.kind": ("imagenet", "run")} if name == "baseline" else {})


def test_every_config_of_the_project_loads_with_smoke():
    for name in config_files.config_names():
        full, smoke = config_files.load(name), config_files.load(f"{name}:smoke")
        assert config_files.keys(full) == config_files.keys(smoke)
        assert config_files.differences(full, smoke)
