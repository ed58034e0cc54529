"""Of two programs that write one folder the second is refused and told who the first is; the first goes on undisturbed."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import ablate, demo, export, pseudo_texture
from experiments.command_line import config_files
from experiments.runs import demonstration, ensure, exporting, pseudo_textures, rendering, shards
from render import manifest
from san_jax import checkpoint, folder_lock, metric_logger
from tests import dataset_fixtures
from tests.experiments import train_distributed_test, train_place
from tests.san_jax.folder_lock_test import holder

TINY = "pit.py:num_textures=1,meshes_per_texture=2"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)


def read_up_to(process: subprocess.Popen, start: str) -> None:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return
    raise AssertionError("".join(lines))


# Training


def test_a_second_training_is_refused_and_the_first_ends_as_if_alone(workplace, tmp_path):
    first = workplace.start("san_pg", tmp_path)
    read_up_to(first, "step 1/10")
    first.send_signal(signal.SIGSTOP)  # it holds its folder while it stands still
    try:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        output = workplace.finish(workplace.start("san_pg", tmp_path, "log_every=2"), expected=1)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    finally:
        first.send_signal(signal.SIGCONT)
    (line,) = [line for line in output.splitlines() if "is being written" in line]
    assert line.startswith(f"{tmp_path} is being written by another process: ")
    assert f"(process {first.pid} on {os.uname().nodename}, since " in line
    assert "experiments.train" in line
    assert "Traceback" not in output
    workplace.finish(first, expected=0)
    assert [line["step"] for line in metric_logger.read_metrics(tmp_path)] == list(range(1, 11))
    assert checkpoint.latest_step(tmp_path / "checkpoints") == 10
    assert not (tmp_path / ".lock").exists()


def test_processes_that_train_together_are_refused_together(workplace, tmp_path):
    with holder(tmp_path / "run") as (process, _):
        processes = train_distributed_test.start_together(workplace, tmp_path / "run", *train_distributed_test.GLOBAL)
        for refused in processes:
            output = workplace.finish(refused, expected=1)
            assert f"{tmp_path / 'run'} is being written by another process: " in output
            assert f"process {process.pid} on" in output
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


# Rendering


def test_a_second_rendering_is_refused(tmp_path):
    with holder(tmp_path / "pit") as (process, _):
        with pytest.raises(folder_lock.FolderInUseError, match=f"process {process.pid} on"):
            rendering.run(config_files.load(TINY), output_dir=tmp_path / "pit")
        with pytest.raises(folder_lock.FolderInUseError, match=f"process {process.pid} on"):
            rendering.show_preview(config_files.load(TINY), tmp_path / "pit")
        assert [path.name for path in (tmp_path / "pit").iterdir()] == [".lock"]


def test_of_a_shard_there_is_one(tmp_path):
    config, folder = config_files.load(TINY), shards.folder(tmp_path / "pit", shards.Shard(0, 2))
    with holder(folder) as (process, _):
        with pytest.raises(folder_lock.FolderInUseError, match=f"process {process.pid} on"):
            rendering.run_shard(config, shards.Shard(0, 2), output_dir=tmp_path / "pit")
        assert [path.name for path in folder.iterdir()] == [".lock"]
        rendering.run_shard(config, shards.Shard(1, 3), output_dir=tmp_path / "pit")  # other shards are drawn meanwhile


def test_a_dataset_that_another_process_builds_is_refused(tmp_path):
    with holder(tmp_path / "data", "pit") as (process, _):
        with pytest.raises(folder_lock.FolderInUseError, match=f"process {process.pid} on"):
            rendering.run(
                config_files.load(TINY), output_dir=tmp_path / "pit", data_dir=tmp_path / "data", num_workers=1
            )
        assert (tmp_path / "pit" / manifest.RECORDS_FILE).exists()


# The others


def test_a_second_build_of_a_dataset_is_refused_and_another_dataset_is_not(tmp_path):
    source = dataset_fixtures.write_small_market(tmp_path / "archive")
    command = [
        sys.executable, "-m", "experiments.prepare", "--dataset=market1501", f"--manual_dir={source}",
        f"--data_dir={tmp_path / 'data'}", "--allow_partial",
    ]  # fmt: skip
    with holder(tmp_path / "data", "market1501") as (process, _):
        refused = subprocess.run(command, capture_output=True, text=True, cwd=train_place.REPOSITORY, timeout=600)
        assert refused.returncode == 1
        (line,) = [line for line in refused.stderr.splitlines() if "is being written" in line]
        assert line.startswith(f"market1501: {tmp_path / 'data'} (market1501) is being written by another process")
        assert f"process {process.pid} on" in line
        assert "Traceback" not in refused.stderr
        assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock.market1501"]
    with holder(tmp_path / "data", "dukemtmc_reid"):
        folder = dataset_fixtures.build(
            "market1501", data_dir=tmp_path / "data", manual_dir=source, counts=dataset_fixtures.SMALL_MARKET_COUNTS
        )
        assert folder.is_dir()


def _ablate(folder, monkeypatch):
    ablate.main(["--table=1", "--scale=small", f"--output={folder}"])


def _demo(folder, monkeypatch):
    monkeypatch.setattr(demonstration, "Clock", None)
    demo.main([f"--output={folder}"])


def _export(folder, monkeypatch):
    monkeypatch.setattr(exporting.models, "load_run", None)
    export.main(["--workdir=run", f"--output={folder}"])


def _textures(folder, monkeypatch):
    photos = folder.parent / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((8, 4, 3), np.uint8)).save(photos / "a.png")
    monkeypatch.setattr(pseudo_textures.san_pg, "load", lambda workdir, which: None)
    monkeypatch.setattr(pseudo_textures, "write_textures", None)
    pseudo_texture.main(["--workdir=run", f"--images={photos}", f"--output={folder}"])


def _targets(folder, monkeypatch):
    monkeypatch.setattr(ensure.data_sources, "training_splits", lambda *a, **k: ["train"])
    monkeypatch.setattr(ensure.data_sources, "open_source", lambda *a: None)
    monkeypatch.setattr(ensure, "read_names", None)
    try:
        ensure.ensure_targets("pit_reid", folder, "data")
    except ValueError as error:
        sys.exit(str(error))


@pytest.mark.parametrize("program", [_ablate, _demo, _export, _textures, _targets])
def test_every_program_that_writes_a_folder_looks_first(tmp_path, monkeypatch, program):
    """Nothing is loaded or made: what would do so is out of order here."""
    with holder(tmp_path / "out") as (process, _):
        with pytest.raises(SystemExit) as end:
            program(tmp_path / "out", monkeypatch)
        message = str(end.value)
        assert f"{tmp_path / 'out'} is being written by another process" in message
        assert f"process {process.pid} on" in message
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
        assert json.loads((tmp_path / "out" / ".lock").read_text())["pid"] == process.pid
