"""experiments/runs/folder.py: what stands in a run's folder, and runs that name each other."""

import json
import pathlib
import re
import shutil
from typing import Any

import pytest

from experiments.command_line import config_files
from experiments.runs import folder, models, san_pg
from experiments.runs.plan import resolve
from san_jax import files, run_folder
from tests.experiments.export_runs import write_run


def test_a_config_comes_back_as_it_was_written(tmp_path):
    for name in ("san_pg.py", "san.py:smoke", "baseline_partial.py"):
        config = config_files.load(name)
        folder.write_records(tmp_path, config, {"dataset": "x"}, {})
        assert json.loads((tmp_path / "config.json").read_text())["version"] == run_folder.VERSION
        assert config_files.differences(folder.read_config(tmp_path), config) == {}
        assert folder.read_plan(tmp_path) == resolve(config)


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_a_run_of_another_version_is_refused_in_one_line(tmp_path, version):
    config = config_files.load("baseline.py")
    folder.write_records(tmp_path, config, {}, {})
    fields = json.loads((tmp_path / "config.json").read_text())
    del fields["version"]
    files.write_json(tmp_path / "config.json", fields if version is None else {**fields, "version": version})
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "config.json"))) as error:
        folder.read_config(tmp_path)
    assert "\n" not in str(error.value)
    assert "version" in str(error.value)


def textured_run(root: pathlib.Path) -> pathlib.Path:
    """A baseline on textures whose config names its SAN-PG by a relative path, both in `root`/runs."""
    write_run(root / "runs" / "san_pg", "san_pg.py:smoke", model__width=2)
    workdir = root / "runs" / "on textures, ä"
    write_run(workdir, "baseline.py:smoke", model__width=2, input__kind="texture", input__path="runs/san_pg")
    digest = san_pg.load_for_textures(root / "runs" / "san_pg").digest
    files.write_json(workdir / run_folder.DATA_FILE, {"san_pg_sha256": digest})
    return workdir


def load_san_pg(workdir: pathlib.Path) -> Any:
    return san_pg.load_of_run(folder.read_plan(workdir), workdir)


def test_runs_that_were_moved_find_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = load_san_pg(textured_run(tmp_path))
    assert before.workdir == "runs/san_pg"
    (tmp_path / "other disk").mkdir()
    moved = shutil.move(tmp_path / "runs", tmp_path / "other disk" / "runs")
    workdir = moved / "on textures, ä"
    network, *_ = models.load_run(workdir, encoder_only=True)
    assert network.embedding_size == 64
    after = load_san_pg(workdir)
    assert after.digest == before.digest
    assert after.workdir == str(moved / "san_pg")
    # From another folder, by a relative path.
    monkeypatch.chdir(moved)
    assert load_san_pg(pathlib.Path(workdir.name)).digest == before.digest


def test_a_run_that_was_left_behind_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = textured_run(tmp_path)
    alone = shutil.copytree(workdir, tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(alone)
    with pytest.raises(FileNotFoundError) as error:
        load_san_pg(alone)
    message = str(error.value)
    assert f"{alone / 'config.json'} names the run runs/san_pg, which is not there now (looked from {alone})" in message
    assert f"neither is {tmp_path / 'elsewhere' / 'san_pg'}. Put that run, or a link to it" in message
    (tmp_path / "elsewhere" / "san_pg").symlink_to(tmp_path / "runs" / "san_pg")
    assert load_san_pg(alone) is not None
    # Another run of that name beside it is no substitute.
    (tmp_path / "elsewhere" / "san_pg").unlink()
    write_run(tmp_path / "elsewhere" / "san_pg", "san_pg.py:smoke", model__width=3)
    with pytest.raises(ValueError, match=rf"that of {tmp_path / 'elsewhere' / 'san_pg'} is .* Restore that state"):
        load_san_pg(alone)


def test_moved_inputs_do_not_make_another_run():
    """What is there is compared by digests instead."""

    def changed(name: str, key: str) -> set[str]:
        old, new = (config_files.load(f"{name}:{key}={place}") for place in ("a", "/disk/b"))
        return set(folder.changed_keys(old, new))

    assert changed("baseline.py", "input.path") == set()
    assert changed("san.py", "target.path") == set()
    assert changed("san.py", "start.path") == {"start.path"}


@pytest.mark.parametrize(("value", "changed"), [(0, set()), (5, {"held_out_identities"})])
def test_a_run_from_before_a_key_goes_on_while_the_key_has_its_default(value, changed):
    old, new = config_files.load("san.py"), config_files.load(f"san.py:held_out_identities={value}")
    with old.unlocked():
        del old["held_out_identities"]
    assert set(folder.changed_keys(old, new)) == changed
    assert set(folder.changed_keys(new, old)) == changed


@pytest.mark.parametrize("content", [b"", b'{"method": "san"', b"[]", b"\xff\xfe"])
def test_a_damaged_config_or_record_is_named(tmp_path, content):
    (tmp_path / run_folder.CONFIG_FILE).write_bytes(content)
    (tmp_path / run_folder.DATA_FILE).write_bytes(content)
    with pytest.raises(files.DamagedFileError, match=r"config\.json is damaged .*: put back a good copy"):
        folder.read_config(tmp_path)
    with pytest.raises(files.DamagedFileError, match=r"data\.json is damaged"):
        folder.read_data(tmp_path)
