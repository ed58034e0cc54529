"""experiments/command_line/config_help.py: what the keys of a config mean, from comments and docstrings."""

import dataclasses

import pytest

from experiments.command_line import config_files, config_help

CONFIGS = config_files.config_names()


def test_comments_beside_keys(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        """from ml_collections import ConfigDict
from experiments.command_line import config_files
from experiments.configs import base, missing

def get_config(argument=""):
    config = ConfigDict({
        "seed": 0,  # the seed
        # a remark on nothing
        "group": {  # the group
            "size": (
                256,  # height
                128,
            ),  # the size
            "text": "# no comment",
        },
        **others,
    })
    config.steps = 320 * 94  # 320 epochs
    config.start = (
        "imagenet"  # or a file
    )
    config.model = ConfigDict()
    config.model.width = 64  # channels # and more
    other = 3  # no key
    return config_files.apply(config, argument, smoke={})
"""
    )
    (tmp_path / "base.py").write_text("config.steps = 3  # the base's\nconfig.rate = 1.0  # rate of the base\n")
    assert config_help.source_comments(path, tmp_path) == {
        "steps": "320 epochs",
        "start": "or a file",
        "rate": "rate of the base",
        "seed": "the seed",
        "group": "the group",
        "group.size": "the size",
        "model.width": "channels # and more",
    }


@dataclasses.dataclass(frozen=True)
class Inner:
    """How it is inside. More of it.

    Attributes:
      low, high: The bounds,
        both of them.
      name: As in `Other: a thing`.

    Raises:
      ValueError: never.
    """

    low: float = 0.0
    high: float = 1.0
    name: str = ""


@dataclasses.dataclass
class Bare:
    value: int = 0


@dataclasses.dataclass(frozen=True)
class Base:
    """The base.

    Attributes:
        seed: Seeds it.
        steps: Of the base.
    """

    seed: int = 0
    steps: int = 1


@dataclasses.dataclass(frozen=True)
class Outer(Base):
    """The whole.

    Attributes:
        steps: Number of steps.
        inner: What is inside.
    """

    inner: Inner = dataclasses.field(default_factory=Inner)
    bare: Bare = dataclasses.field(default_factory=Bare)


def test_docstrings_of_dataclasses():
    assert config_help.field_comments(Outer) == {
        "seed": "Seeds it.",
        "steps": "Number of steps.",
        "inner": "What is inside. How it is inside.",
        "inner.low": "The bounds, both of them.",
        "inner.high": "The bounds, both of them.",
        "inner.name": "As in `Other: a thing`.",
    }


def test_layout(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = config_help.to_text([("seed = 0", "word " * 10), ("a_key_with_a_long_name = 'a long value'", "comment")])
    assert text.splitlines() == [
        "  seed = 0                                  word word word word word word word",
        "                                            word word word",
        "  a_key_with_a_long_name = 'a long value'   comment",
    ]
    assert config_help.to_text([("x" * 60, "comment")]).splitlines() == ["  " + "x" * 60, " " * 44 + "comment"]


@pytest.mark.parametrize("name", [*CONFIGS, "pit.py:paper"])
def test_every_key_of_the_project_is_described(name):
    loaded = config_files.open_config(name)
    comments = config_files.comments(loaded)
    keys = [key for key, _ in config_files.leaves(loaded.config)]
    bare = [key for key in keys if key not in comments and key.rpartition(".")[0] not in comments]
    assert bare == []
    assert set(comments) <= {*config_files.keys(loaded.config)}
    text = config_files.describe(loaded)
    assert text.startswith(f"keys of --config={name}:\n")
    for key in keys:
        group, _, leaf = key.rpartition(".")
        assert f"  {key} = " in text or (f"  {group}.*" in text and f"{leaf}=" in text), key
