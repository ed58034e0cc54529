"""Merged shards of a rendering are what one machine draws, whatever their number; what is wrong with them is named."""

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments.command_line import config_files
from experiments.runs import data_sources, render_merge, render_workers, rendering, shards
from experiments.runs.shards import Shard, ShardError
from render import manifest
from render.recipes import pit

CONFIG = "pit.py:num_textures=3,meshes_per_texture=2"


@pytest.fixture(scope="module", autouse=True)
def draw_in_this_process():
    """Real pictures, without the seconds that each worker process takes to start."""
    studios: dict[str, Any] = {}

    def render_pairs(recipe: Any, folder: pathlib.Path, todo: list[list[int]], *_: int) -> None:
        if str(recipe) not in studios:
            studios[str(recipe)] = recipe.studio()
        for index in (pair for group in todo for pair in group):
            render_workers.draw_pair(studios[str(recipe)], recipe, folder, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "render_pairs", render_pairs)
        yield


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def draw(output: pathlib.Path, count: int, config: str = CONFIG) -> list[pathlib.Path]:
    return [
        rendering.run_shard(config_files.load(config), Shard(index, count), output_dir=output) for index in range(count)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """One machine's rendering, and its dataset."""
    folder = tmp_path_factory.mktemp("whole")
    rendering.run(config_files.load(CONFIG), output_dir=folder / "pit", data_dir=folder / "data")
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two shards of `pit`."""
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder / "pit", 2)
    return folder


@pytest.fixture
def two(drawn: pathlib.Path, tmp_path: pathlib.Path) -> list[pathlib.Path]:
    """A test's own two shards, which lie apart as if each came from a machine."""
    paths = [tmp_path / "copies" / name for name in ("b", "a")]
    for index, path in enumerate(paths):
        shutil.copytree(shards.folder(drawn / "pit", Shard(index, 2)), path)
    return paths


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_same_bytes_for_every_number_of_shards(whole: pathlib.Path, tmp_path: pathlib.Path, count: int):
    paths = draw(tmp_path / "pit", count)
    before = [contents(path) for path in paths]
    render_merge.merge(tmp_path / "pit", data_dir=tmp_path / "data" if count == 3 else None)
    assert contents(tmp_path / "pit") == contents(whole / "pit")
    assert [contents(path) for path in paths] == before
    if count == 3:
        compare_datasets(whole / "data", tmp_path / "data")


def compare_datasets(first: pathlib.Path, second: pathlib.Path) -> None:
    sources: list[Any] = [tfds.data_source("pit", split="train", data_dir=path) for path in (first, second)]
    assert len(sources[0]) == len(sources[1]) == 6
    for one, other in zip(*sources, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    first_metadata, second_metadata = (data_sources.read_metadata("pit", path) for path in (first, second))
    assert first_metadata["source_digest"]
    assert first_metadata == second_metadata


def test_an_interrupted_merge_goes_on(
    whole: pathlib.Path, two: list[pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    output, placed = tmp_path / "pit", []
    place = shards.place

    def stop_at_the_eighth(source: pathlib.Path, name: str, target: pathlib.Path) -> None:
        placed.append(name)
        if len(placed) == 8:
            raise KeyboardInterrupt
        place(source, name, target)

    monkeypatch.setattr(shards, "place", stop_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        render_merge.merge(output, two)
    assert not (output / manifest.RECORDS_FILE).exists()
    assert len(list((output / "records").iterdir())) == 2
    render_merge.merge(output, two)
    assert len(placed) == 8 + 4 * 3
    assert contents(output) == contents(whole / "pit")
    render_merge.merge(output, two)
    assert len(placed) == 8 + 4 * 3


def test_a_merge_that_is_refused_writes_nothing(two: list[pathlib.Path], tmp_path: pathlib.Path):
    first, second = (json.loads((path / "shard.json").read_text()) for path in two)
    assert (first["items"], second["items"]) == ([0, 2], [2, 6])
    with pytest.raises(ShardError, match="missing: 0/2"):
        render_merge.merge(tmp_path / "pit", two[1:])
    (two[0] / "records" / "000001.json").unlink()
    next(iter(sorted((two[1] / "images").iterdir()))).write_bytes(b"")
    with pytest.raises(ShardError) as caught:
        render_merge.merge(tmp_path / "pit", two)
    assert f"0/2 lacks 1 pair, first 1: {two[0]}" in str(caught.value)
    assert f"1/2 lacks 1 pair, first 2: {two[1]}" in str(caught.value)
    assert not (tmp_path / "pit").exists()


def test_shards_of_another_program_are_refused(tmp_path: pathlib.Path):
    shards.begin(tmp_path, shards.Part(Shard(0, 1), range(3), 3, {"program": "experiments.pseudo_texture"}))
    shards.finish(tmp_path)
    with pytest.raises(ShardError, match=r"is no shard of a rendering: expected one of experiments\.pit_render"):
        render_merge.merge(tmp_path / "pit", [tmp_path])


def test_shards_of_different_recipes_are_refused(two: list[pathlib.Path], drawn: pathlib.Path, tmp_path: pathlib.Path):
    other = rendering.run_shard(
        config_files.load(f"{CONFIG},light.kinds.night=0.5"), Shard(0, 2), output_dir=tmp_path / "other"
    )
    with pytest.raises(ShardError, match=r"parameters\.light\.kinds\.night: 0\.5 there, 0\.07 now"):
        render_merge.merge(tmp_path / "pit", [other, two[1]])
    with pytest.raises(rendering.RenderError, match="seed: 0 there, 9 now"):
        render_merge.merge(tmp_path / "pit", two, recipe=pit.Pit(num_textures=3, meshes_per_texture=2, seed=9))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("do not touch")
    with pytest.raises(rendering.RenderError, match="not empty"):
        render_merge.merge(tmp_path / "taken", two)
    (two[1] / manifest.MIRROR_FILE).write_bytes(b"another map")
    with pytest.raises(ShardError, match=r"mirror_map\.npy of the shards differ"):
        render_merge.merge(tmp_path / "pit", two)
    shutil.copy(other / manifest.HEADER_FILE, two[0] / manifest.HEADER_FILE)
    with pytest.raises(ShardError, match=r"light\.kinds\.night: 0\.07 in shard\.json, 0\.5 in manifest\.json"):
        render_merge.merge(tmp_path / "pit", two)
    assert not (tmp_path / "pit").exists()


def edit_record(folder: pathlib.Path, index: int, **changes: Any) -> None:
    path = render_workers.record_path(folder, index)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../secret", "lacks 1 pair,"),
        ("manifest.json", "expected a file in images"),
        ("records/000000.json", "expected a file in images"),
        ("images/../secret", "lacks 1 pair,"),
        ("images/link", "but a link"),
    ],
)
def test_no_path_of_a_shard_leads_outside(two: list[pathlib.Path], tmp_path: pathlib.Path, name: str, said: str):
    (tmp_path / "copies" / "secret").write_text("secret")
    (two[0] / "secret").write_text("secret")
    (two[0] / "images" / "link").symlink_to(tmp_path / "copies" / "secret")
    edit_record(two[0], 1, image=name)
    with pytest.raises(ShardError, match=said):
        render_merge.merge(tmp_path / "pit", two)
    assert not (tmp_path / "pit").exists()


def test_files_of_one_name_in_two_shards_are_refused(two: list[pathlib.Path], tmp_path: pathlib.Path):
    record = json.loads(render_workers.record_path(two[1], 2).read_text())
    shutil.copy(two[1] / record["texture"], two[0] / record["texture"])
    edit_record(two[0], 1, texture=record["texture"])
    with pytest.raises(ShardError, match=f"{record['texture']} is in {two[0]} and in {two[1]}"):
        render_merge.merge(tmp_path / "pit", two)
