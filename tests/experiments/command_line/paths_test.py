"""Paths that users give: `~` in every flag and every key, addresses that are no paths."""

import argparse
import dataclasses
import pathlib
import re

import pytest

from experiments import histogram_matcher, prepare, pseudo_texture
from experiments.command_line import config_files, paths
from render.recipes import paper, pit, pit_reid

EXPERIMENTS = pathlib.Path(paths.__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_home_folder_stands_in_for_a_tilde(home):
    assert paths.given("~/a b") == f"{home}/a b"
    assert paths.given("a/~") == "a/~"
    assert paths.given("") == ""
    assert paths.given_list("~/a,b,~") == f"{home}/a,b,{home}"


def test_a_file_that_cannot_be_written_is_told_before_the_work(home, monkeypatch):
    assert paths.given_file("~/new/deep/a.json") == f"{home}/new/deep/a.json"
    assert paths.given_file("a.json") == "a.json"
    (home / "taken").write_text("")
    with pytest.raises(paths.PathError, match="is a folder, expected a file to write"):
        paths.given_file("~")
    with pytest.raises(paths.PathError, match=r"taken/a\.json cannot be written: .*taken is no folder"):
        paths.given_file("~/taken/a.json")
    monkeypatch.setattr(paths.os, "access", lambda path, mode: path != str(home))
    with pytest.raises(paths.PathError, match=f"{home} is no folder that this user may write to"):
        paths.given_file("~/new/a.json")


@pytest.mark.parametrize("text", ["gs://bucket/run", "s3://b", "file:///tmp/run"])
def test_an_address_is_told(text):
    with pytest.raises(ValueError, match="is an address, expected a path: mount it"):
        paths.given(text)
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--output", type=paths.given)
    with pytest.raises(argparse.ArgumentError, match="expected a path: mount it"):
        parser.parse_args([f"--output={text}"])
    with pytest.raises(config_files.ConfigError, match=r"data_dir: .* is an address"):
        config_files.load(f"san.py:data_dir={text}")


@pytest.mark.parametrize("name", ["san_pg", "san", "baseline", "pit", "pit_reid", "pit.py:paper"])
def test_every_path_of_a_config_may_begin_with_a_tilde(home, name):
    config = config_files.load(name)
    keys = [key for key in config_files.keys(config) if key.rpartition(".")[2] in paths.KEYS]
    assert keys
    for key in keys:
        config_files.override(config, key, "~/x")
    assert {config[key] for key in keys} == {f"{home}/x"}


def test_a_config_file_and_its_argument_may_have_tildes(home, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from ml_collections import ConfigDict\nfrom experiments.command_line import config_files\n"
        "def get_config(argument=''):\n"
        "    config = ConfigDict({'data_dir': '~/data', 'start': {'path': '', 'name': '~'}})\n"
        "    return config_files.apply(config, argument, smoke={'start.path': '~/pg'})\n"
    )
    config = config_files.load(f"{file}:smoke")
    assert (config.data_dir, config.start.path, config.start.name) == (f"{home}/data", f"{home}/pg", "~")


def test_every_key_that_looks_like_a_path_is_declared():
    names = {field.name for kind in (paper.PaperPit, pit.Pit, pit_reid.PitReid) for field in dataclasses.fields(kind)}
    for config in ("san_pg", "san", "baseline"):
        names |= {key.rpartition(".")[2] for key in config_files.keys(config_files.load(config))}
    assert {name for name in names if re.search("_(dir|file|from)$|^smpl_|^path$|instances", name)} <= paths.KEYS
    assert names >= paths.KEYS


def test_every_flag_that_holds_a_path_is_declared_as_one():
    wanted = re.compile(r'"--(workdir|data_dir|output|output_dir|images|manual_dir|held_out|target_dir)"')
    found = 0
    for file in EXPERIMENTS.glob("*.py"):
        for call in re.findall(r"add_argument\([^)]*", file.read_text()):
            if wanted.search(call):
                found += 1
                assert "paths.given" in call, (file.name, call)
    assert found > 20


def test_programs_take_tildes(home, capsys):
    with pytest.raises(SystemExit):
        prepare.main(["--dataset=market1501", "--manual_dir=~/Downloads", "--data_dir=~/data"])
    assert f"{home}/Downloads: no such folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=f"No dataset 'msmt17' in {home}/data"):
        histogram_matcher.main(["--dataset=msmt17", "--data_dir=~/data"])
    with pytest.raises(SystemExit, match=f"{home}/photos is not a folder"):
        pseudo_texture.main(["--workdir=~/run", "--images=~/photos", "--output=~/out"])
    assert [path.name for path in home.iterdir()] == ["data"]  # the list of what is wrong with the archive
