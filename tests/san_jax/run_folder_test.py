"""The config.json of a run: its version, and what is refused."""

import json

import pytest

from san_jax import files, run_folder

CONFIG = {"method": "san", "model": {"width": 8}}


def test_round_trip(tmp_path):
    run_folder.write_config(tmp_path / "run", CONFIG)
    assert run_folder.read_config(tmp_path / "run") == {"version": 1, **CONFIG}
    assert list(json.loads((tmp_path / "run" / "config.json").read_text())) == ["version", "method", "model"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stage": "san", "model": {}}, r"another version of San-JAX: expected version 1 .*, found none. Train again"),
        ({"version": 2, **CONFIG}, "another version of San-JAX: expected version 1 of its format, found 2"),
        ({"version": 1, "method": "gan", "model": {}}, "is not the config of a run"),
        ({"version": 1, "method": "san"}, "is not the config of a run"),
        ({"compilerOptions": {}}, "is not the config of a run"),
    ],
)
def test_configs_that_are_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(run_folder.RunFolderError, match=message) as caught:
        run_folder.read_config(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "config.json"))
    assert "\n" not in str(caught.value)


def test_damaged_and_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config.json does not exist: expected the folder of a run"):
        run_folder.read_config(tmp_path)
    (tmp_path / "config.json").write_text("")
    with pytest.raises(files.DamagedFileError, match=r"config.json is damaged"):
        run_folder.read_config(tmp_path)


def test_a_run_is_found_after_a_move(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("generator", "baseline"):
        run_folder.write_config(tmp_path / "moved" / name, CONFIG)
    found = run_folder.find_run("runs/generator", tmp_path / "moved" / "baseline")
    assert found == tmp_path / "moved" / "generator"
    run_folder.write_config(tmp_path / "runs" / "generator", CONFIG)  # where the path leads comes first
    assert run_folder.find_run("runs/generator", tmp_path / "moved" / "baseline").as_posix() == "runs/generator"
    with pytest.raises(FileNotFoundError, match=r"names the run runs/other, which is not there now"):
        run_folder.find_run("runs/other", tmp_path / "moved" / "baseline")
