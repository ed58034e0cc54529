"""experiments/command_line/config_argument.py: `--config` and its keys on a command line, and in `--help`."""

import json
import pathlib
import re

import pytest

from experiments import pit_render, train
from experiments.command_line import config_argument, config_files, make_parser

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


def parse(*arguments: str):
    """Parses as a program with `--config` and `--other` does."""
    parser = make_parser("toy", "A program.")
    config_argument.add(parser)
    parser.add_argument("--other", default="", help="another argument")
    return config_argument.parse(parser, arguments)


@pytest.fixture(autouse=True)
def folder(request, tmp_path, monkeypatch):
    """A config folder with `toy.py`, for the tests that do not run a real program."""
    if "program" not in request.fixturenames:
        (tmp_path / "toy.py").write_text(CONFIG_FILE)
        monkeypatch.setattr(config_files, "CONFIG_FOLDER", tmp_path)
        monkeypatch.setenv("COLUMNS", "120")


def test_whether_the_config_is_the_users_or_the_default():
    parser = make_parser("toy", "A program.")
    config_argument.add(parser, default="toy.py")
    given = {
        words: config_argument.parse(parser, words).config_given
        for words in [(), ("--config=toy.py",), ("--config.seed=3",)]
    }
    assert given == {(): False, ("--config=toy.py",): True, ("--config.seed=3",): True}


def test_keys_are_set_before_and_after_the_config():
    arguments = parse(
        *("--config.rate=0.25", "--config=toy.py:smoke", "--other=x", "--config.flip=false"),
        *("--config.model.dtype", "bfloat16", "--config.name=a,b=c", "--config.size=(8, 4)"),
    )
    assert arguments.other == "x"
    assert json.loads(config_files.to_json(arguments.config)) == {
        "seed": 7, "rate": 0.25, "flip": False, "name": "a,b=c", "size": [8, 4],
        "model": {"width": 8, "dtype": "bfloat16"},
    }  # fmt: skip


def test_the_config_is_a_word_of_its_own_or_follows_an_equals_sign():
    assert parse("--config", "toy").config.seed == parse("--config=toy").config.seed == 1
    assert parse("--config=toy", "--config=toy:seed=4").config.seed == 4  # the last one counts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=tou"], "--config=tou: there is no config 'tou'"),
        (["--config=tou", "--help"], "--config=tou: there is no config 'tou'"),
        (["--config=toy", "--config.model.witdh=3"], "Did you mean 'model.width'?"),
        (["--config=toy", "--config.seed=1.5"], "expected an integer like 1"),
        (["--config=toy", "--config.seed"], "--config.seed lacks a value: write --config.seed=VALUE"),
        (["--config"], "--config: expected one argument"),
        (["--config=toy", "--confog.seed=1"], "unrecognized arguments: --confog.seed=1"),
        ([], "the following arguments are required: --config"),
    ],
)
def test_a_wrong_command_line_ends_with_status_2_and_a_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        parse(*arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_lists_the_keys_of_a_config_with_values_and_comments(word, capsys):
    with pytest.raises(SystemExit) as end:
        parse("--config.rate=0.25", word, "--config", "toy.py:smoke", "--other=x")
    assert end.value.code == 0
    arguments, _, keys = capsys.readouterr().out.partition("keys of --config=toy.py:smoke:\n")
    assert "--config NAME" in arguments
    assert "--other OTHER" in arguments
    assert [" ".join(line.split()) for line in keys.splitlines()[:2]] == [
        "seed = 7 seeds it all",
        "size = (256, 128) height and width",
    ]
    assert re.search(
        r"^  model\.\* +the network\n  model\.width = 8\b", keys.replace('or "bfloat16"', ""), re.MULTILINE
    )
    assert "  rate = 0.25\n" in keys


def test_help_without_a_config_shows_the_arguments_alone(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--help")
    text = capsys.readouterr().out
    assert (end.value.code, "keys of --config" in text) == (0, False)
    assert "--config.KEY=VALUE sets one key" in " ".join(text.split())


@pytest.mark.parametrize("more", [[], ["--help"]])
@pytest.mark.parametrize(
    ("program", "config", "fitting"),
    [
        (train, "pit.py", ["baseline.py", "san.py", "san_pg.py"]),
        (pit_render, "san.py:smoke", ["pit.py", "pit_reid.py"]),
    ],
)
def test_a_config_of_another_program_is_refused_with_those_that_fit(
    program, config, fitting, more, tmp_path: pathlib.Path, capsys
):
    folder = "--workdir" if program is train else "--output_dir"
    with pytest.raises(SystemExit) as end:
        program.main([f"--config={config}", f"{folder}={tmp_path / 'made'}", *more])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert f"--config={config}: a config of another program" in error
    told = error.partition("Configs of this one: ")[2]
    assert set(fitting) <= set(told.strip().rstrip(".").split(", "))
    assert not (tmp_path / "made").exists()
