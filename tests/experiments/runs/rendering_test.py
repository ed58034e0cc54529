"""Rendering: the same bytes whatever the workers and interruptions, and errors that name things."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from experiments.command_line import config_files
from experiments.runs import render_workers, rendering, shards
from render import manifest
from render.optics import rasterizer
from render.optics.light import LightShares
from render.recipes import build, open_recipe, pit, pit_reid
from render.recipes.studio import Studio

TINY = "pit.py:num_textures=2,meshes_per_texture=3"


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The tiny recipe, rendered by two workers without interruption."""
    folder = tmp_path_factory.mktemp("rendered") / "pit"
    rendering.run(config_files.load(TINY), output_dir=folder, num_workers=2)
    return folder


def test_folder_is_what_the_manifest_says(rendered: pathlib.Path):
    header, records = manifest.read_manifest(rendered)
    assert header.recipe == "pit"
    assert header.num_pairs == len(records) == 6
    recipe = pit.Pit(num_textures=2, meshes_per_texture=3)
    assert header.parameters == recipe.parameters()
    assert header.parameters["drawing_version"] == open_recipe.DRAWING_VERSION
    assert "no part of the person's UV texture" in header.notes
    assert "frontal view is drawn without them" in header.notes
    assert header.license == recipe.license
    for record in records:
        assert manifest.record_to_json(record) == manifest.record_to_json(recipe.plan(record.index))
    named = {name for record in records for name in (record.image, record.texture, record.frontal)}
    marks = {f"records/{index:06d}.json" for index in range(6)}
    files = {manifest.HEADER_FILE, manifest.RECORDS_FILE, manifest.MIRROR_FILE, "README.md", "croissant.json"}
    assert set(_contents(rendered)) == named | marks | files


def test_a_shard_draws_its_pairs_into_a_folder_of_its_own(
    rendered: pathlib.Path, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level("INFO", logger="absl"):
        folder = rendering.run_shard(
            config_files.load(TINY), shards.Shard(1, 2), output_dir=tmp_path / "pit", num_workers=1
        )
    assert f"worker 0: {rasterizer.describe()}" in caplog.text
    assert folder == tmp_path / "pit.shard-00001-of-00002"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    contents, whole = _contents(folder), _contents(rendered)
    part = shards.read(folder)
    assert (part.shard, part.items, part.total, part.complete) == (shards.Shard(1, 2), range(3, 6), 6, True)
    assert contents.pop(shards.RECORD_FILE)
    assert contents == {name: whole[name] for name in contents}
    assert whole.keys() - contents.keys() >= {manifest.RECORDS_FILE, "records/000002.json", "images/0000_02.jpg"}
    assert {name for name in contents if name.startswith("records/")} == {
        f"records/{index:06d}.json" for index in (3, 4, 5)
    }
    with pytest.raises(shards.ShardError, match=r"shard: \[1, 2\] there, \[1, 3\] now"):
        shards.begin(folder, dataclasses.replace(part, shard=shards.Shard(1, 3)))


def test_what_a_crash_of_the_machine_left_empty_is_drawn_again(tmp_path: pathlib.Path):
    recipe = pit.Pit(num_textures=2, meshes_per_texture=3)
    record = recipe.plan(0)

    class Studio:
        def draw(self, record: manifest.Record) -> dict[str, bytes]:
            return dict.fromkeys((record.image, record.texture, str(record.frontal)), b"picture")

    for name in (record.image, record.texture, record.frontal, render_workers.record_path(tmp_path, 0)):
        render_workers.draw_pair(Studio(), recipe, tmp_path, 0)  # pyright: ignore[reportArgumentType]
        assert render_workers.read_record(tmp_path, 0) == record
        assert (tmp_path / record.texture).read_bytes() == b"picture"
        (tmp_path / str(name)).write_bytes(b"")
        assert render_workers.read_record(tmp_path, 0) is None


def test_killed_and_started_again_ends_with_the_same_bytes(rendered: pathlib.Path, tmp_path: pathlib.Path):
    folder = tmp_path / "pit"
    command = [sys.executable, "-m", "experiments.pit_render", f"--config={TINY}", f"--output_dir={folder}"]
    process = subprocess.Popen(
        [*command, "--num_workers=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while len(list((folder / "records").glob("*.json"))) < 2:
        assert process.poll() is None, process.communicate(timeout=600)[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=600)
    done = {path.name for path in (folder / "records").glob("*.json")}
    assert 2 <= len(done) < 6
    assert not (folder / manifest.RECORDS_FILE).exists()
    (folder / "images" / ".0000_01.jpg.abc.tmp").write_bytes(b"half a picture")
    (folder / "frontals" / "0000_00.jpg").unlink()  # a file that is gone is drawn again
    kept = {name: (folder / "records" / name).stat().st_mtime_ns for name in done - {"000000.json"}}

    finished = subprocess.run([*command, "--num_workers=2"], capture_output=True, text=True, check=False, timeout=600)
    assert finished.returncode == 0, finished.stderr
    assert _contents(folder) == _contents(rendered)
    assert kept == {name: (folder / "records" / name).stat().st_mtime_ns for name in kept}  # not drawn again


class NeverPit(pit.Pit):
    """Has no studio, like a machine without OpenGL."""

    def studio(self) -> Studio:
        raise rasterizer.OpenGLError("no OpenGL here")


def test_a_complete_folder_is_left_alone(rendered: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(build.RECIPES, "pit", NeverPit)  # there is nothing to draw
    times = {path: path.stat().st_mtime_ns for path in (rendered / "images").iterdir()}
    rendering.run(config_files.load(TINY), output_dir=rendered)
    assert times == {path: path.stat().st_mtime_ns for path in (rendered / "images").iterdir()}


def test_other_parameters_are_refused_by_name(rendered: pathlib.Path):
    before = _contents(rendered)
    with pytest.raises(rendering.RenderError) as caught:
        rendering.run(
            config_files.load("pit.py:num_textures=2,meshes_per_texture=4,seed=9,light.kinds.night=0.5"),
            output_dir=rendered,
        )
    message = str(caught.value)
    assert "light.kinds.night: 0.07 there, 0.5 now" in message
    assert "occluders" not in message
    assert "meshes_per_texture: 3 there, 4 now" in message
    assert "seed: 0 there, 9 now" in message
    assert "num_textures:" not in message
    with pytest.raises(rendering.RenderError, match="recipe: 'pit' there, 'pit_reid' now"):
        rendering.run(config_files.load("pit_reid.py:smoke"), output_dir=rendered)
    assert _contents(rendered) == before


def test_a_rendering_that_drew_nothing_leaves_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(build.RECIPES, "pit", NeverPit)
    with pytest.raises(rendering.RenderError, match="no OpenGL here"):
        rendering.run(config_files.load(TINY), output_dir=tmp_path / "rendered", num_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_refused(tmp_path: pathlib.Path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(rendering.RenderError, match="not empty"):
        rendering.run(config_files.load(TINY), output_dir=tmp_path)
    assert _contents(tmp_path) == {"thesis.tex": b"do not touch"}


class DeadlyPit(pit.Pit):
    """Kills the worker that draws pair 1, as the kernel does when memory runs out."""

    def plan(self, index: int) -> manifest.Record:
        if index == 1 and os.environ.get("DEADLY_PIT_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().plan(index)


class FailingPit(pit.Pit):
    """Raises in the worker that draws pair 1."""

    def plan(self, index: int) -> manifest.Record:
        if index == 1 and os.environ.get("DEADLY_PIT_PARENT") != str(os.getpid()):
            raise ValueError("no such trousers")
        return super().plan(index)


@pytest.mark.parametrize(
    ("recipe", "reason"), [(DeadlyPit, r"died \(signal SIGKILL"), (FailingPit, "no such trousers")]
)
def test_a_lost_worker_names_its_pair(
    recipe: type[pit.Pit], reason: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(build.RECIPES, "pit", recipe)
    monkeypatch.setenv("DEADLY_PIT_PARENT", str(os.getpid()))
    with pytest.raises(rendering.RenderError, match=reason) as caught:
        rendering.run(config_files.load(TINY), output_dir=tmp_path, num_workers=1)
    assert "pair 1 (0000_01)" in str(caught.value)
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["000000.json"]


def test_benchmark_becomes_a_dataset(tmp_path: pathlib.Path):
    import tensorflow_datasets as tfds

    config = config_files.load("pit_reid.py:smoke,num_test_identities=1,images_per_identity=3,num_distractors=1")
    rendering.run(config, output_dir=tmp_path / "pit_reid", data_dir=tmp_path / "tfds", num_workers=2)
    splits = {
        split: tfds.data_source("pit_reid", split=split, data_dir=tmp_path / "tfds")
        for split in ("train", "query", "gallery")
    }
    assert {split: len(source) for split, source in splits.items()} == {"train": 6, "query": 2, "gallery": 2}
    assert splits["train"][0]["image"].shape == (256, 128, 3)
    assert splits["train"][0]["texture"].shape == (256, 256, 3)


def test_configs_hold_the_papers_sizes():
    paper = config_files.load("pit.py")
    assert (paper.num_textures, paper.meshes_per_texture) == (929, 10)
    assert rendering.make_recipe(paper) == pit.Pit()
    assert rendering.make_recipe(config_files.load("pit_reid.py")) == pit_reid.PitReid()
    assert json.loads(config_files.to_json(config_files.load("pit.py:smoke")))["num_textures"] < 10


def test_keys_of_topics_are_set_by_name():
    text = "pit_reid.py:occluders.share=0.3,light.kinds.night=0,photo.warmth=(-0.2, 0.2),kept.head=0.5,cloth_dir=/cloth"
    recipe = rendering.make_recipe(config_files.load(text))
    assert isinstance(recipe, pit_reid.PitReid)
    assert recipe.occluders.share == 0.3
    assert recipe.light.kinds == {**LightShares().kinds, "night": 0.0}
    assert recipe.photo.warmth == (-0.2, 0.2)
    assert recipe.kept.head == 0.5
    assert recipe.cloth_dir == "/cloth"
    with pytest.raises(config_files.ConfigError, match=r"no key 'occluders.shares'.*Did you mean 'occluders.share'"):
        config_files.load("pit.py:occluders.shares=0.3")
    config = config_files.load("pit.py:smoke")
    config_files.override(config, "accessories.backpack", "0.5")  # as --config.accessories.backpack=0.5 does
    assert rendering.make_recipe(config).accessories.backpack == 0.5


def test_a_recipe_that_cannot_be_drawn_leaves_nothing_behind(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    def no_map(self: pit.Pit):
        raise ValueError("no mirror map")

    monkeypatch.setattr(pit.Pit, "mirror_map", no_map)
    with pytest.raises(ValueError, match="no mirror map"):
        rendering.run(config_files.load(TINY), output_dir=tmp_path / "a" / "pit")
    config = config_files.load(f"pit.py:paper,smpl_neutral={tmp_path / 'absent.pkl'}")
    with pytest.raises(ValueError, match=r"absent\.pkl"):
        rendering.run(config, output_dir=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
