"""A rendering of a million pairs: no step holds all records, all images or all names of a folder at once."""

import pathlib
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest

from datasets import builder, images
from datasets.cards import rendering as rendering_cards
from datasets.pit_reid import pit_reid_dataset_builder
from experiments.runs import render_merge, rendering, shards
from experiments.runs.render_workers import record_path
from experiments.runs.shards import Part, Shard
from render import manifest
from tests import dataset_fixtures

NUMBER = 240
BULK = 20_000  # characters of a record's choices; together 5 MB
HEADER = manifest.Header("pit_reid", 0, NUMBER, {"images_per_identity": 3}, "CC0-1.0")


def make_record(index: int) -> manifest.Record:
    person = index // 3
    return manifest.Record(
        index=index,
        name=f"{person:04d}_{index:04d}",
        image=f"images/{index:04d}.jpg",
        texture=f"textures/{person:04d}.png",
        frontal=None,
        texture_id=person,
        split=("query", "gallery", "gallery")[index % 3] if person == NUMBER // 3 - 1 else "train",
        person_id=person,
        camera_id=index % 3,
        choices={"bulk": "x" * BULK},
    )


def write_folder(folder: pathlib.Path, items: range) -> pathlib.Path:
    """Write what a machine that drew these pairs left, with pictures that nobody opens here."""
    for index in items:
        record = make_record(index)
        for name in (*record.files, f"records/{index:06d}.json"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(manifest.record_to_json(record) if path.suffix == ".json" else "picture")
    dataset_fixtures.write_mirror_map(folder)
    manifest.write_header(folder, HEADER)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_folder(tmp_path_factory.mktemp("drawn"), range(NUMBER))


def peak(function: Callable[[], Any]) -> int:
    """Return the most memory that a call needed at a time, bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_folder_is_completed_record_by_record(drawn: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "write_cards", lambda folder: None)
    assert peak(lambda: rendering.complete_folder(drawn, HEADER)) < 100 * BULK
    header, records = manifest.read_manifest(drawn)
    assert (header, records) == (HEADER, [make_record(index) for index in range(NUMBER)])
    assert peak(lambda: rendering_cards._look_through(manifest.read_records(drawn, header))) < 100 * BULK
    lost = record_path(drawn, 5)
    content = lost.read_bytes()
    lost.unlink()
    try:
        with pytest.raises(rendering.RenderError, match="1 of 240 pairs is gone"):
            rendering.complete_folder(drawn, HEADER)
    finally:
        lost.write_bytes(content)
    assert manifest.read_manifest(drawn)[1] == records  # the manifest of before is whole
    assert not list(drawn.glob(".*.tmp"))


def test_a_dataset_is_planned_record_by_record(drawn: pathlib.Path, tmp_path: pathlib.Path):
    manifest.write_records(drawn, map(make_record, range(NUMBER)))
    built = pit_reid_dataset_builder.Builder(data_dir=tmp_path)
    found: list[builder.Archive] = []
    assert peak(lambda: found.append(built.scan(drawn))) < 100 * BULK
    train = found[0].splits["train"]
    assert [example["name"] for example in train] == [f"images/{index:04d}.jpg" for index in range(NUMBER - 3)]
    assert train[0]["texture"] is train[1]["texture"]


def test_shards_are_merged_record_by_record(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "complete_folder", lambda folder, header, data_dir: None)
    for index in range(2):
        shard = Shard(index, 2)
        items = shards.indices(shard, NUMBER)
        folder = write_folder(shards.folder(tmp_path / "all", shard), items)
        shards.begin(folder, Part(shard, items, NUMBER, rendering.shard_work(HEADER)))
        shards.finish(folder)
    assert peak(lambda: render_merge.merge(tmp_path / "all")) < 100 * BULK
    merged = [rendering.read_record(tmp_path / "all", index) for index in range(NUMBER)]
    assert merged == [make_record(index) for index in range(NUMBER)]


def test_a_pair_that_goes_while_shards_are_merged_is_named(tmp_path: pathlib.Path):
    folder = write_folder(tmp_path / "shard", range(2))
    record_path(folder, 1).unlink()
    with pytest.raises(shards.ShardError, match="shard was changed while it was merged: pair 1 is gone"):
        render_merge._place_pair(folder, 1, tmp_path / "all")


def test_what_was_left_half_written_is_found_without_a_list_of_the_folder(
    drawn: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    left = [drawn / ".manifest.json.1.tmp", drawn / "images" / ".0001.jpg.2.tmp", drawn / "records" / ".x.3.tmp"]
    for path in left:
        path.write_text("half")
    monkeypatch.setattr(pathlib.Path, "rglob", None)
    monkeypatch.setattr(pathlib.Path, "iterdir", lambda self: iter([]))
    before = len(list((drawn / "images").glob("*.jpg")))
    rendering.prepare_folder(drawn, HEADER, lambda: b"")
    assert not any(path.exists() for path in left)
    assert len(list((drawn / "images").glob("*.jpg"))) == before == NUMBER


def test_only_some_images_wait_to_be_examined(monkeypatch: pytest.MonkeyPatch):
    waiting, most = 0, 0

    class Counting(futures.Executor):
        def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Any:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            task: Any = futures.Future()
            task.set_result(function(*arguments))
            return task

    def results(pool: futures.Executor, expected: Any) -> Iterator[tuple[str, str]]:
        nonlocal waiting
        for result in images._in_order(pool, expected):
            waiting -= 1
            yield result

    monkeypatch.setattr(images, "_examine", lambda image, expected: (image, ""))
    names: Any = {f"{number}.png": None for number in range(2000)}
    assert [problem for problem, _ in results(Counting(), names)] == list(names)
    assert most <= images._IN_ADVANCE + 1 < 300


@pytest.mark.parametrize(("number", "shard_count", "largest"), [(1, 1, 1), (1025, 2, 1024), (1_568_000, 512, 3063)])
def test_a_split_has_no_more_shards_than_a_process_may_open(number: int, shard_count: int, largest: int):
    parts = builder._shards("train", [{}] * number)
    assert len(parts) == shard_count == parts[0].num_shards
    assert max(len(part.examples) for part in parts) == largest
    assert [part.first for part in parts] == [largest * index for index in range(shard_count)]
    assert sum(len(part.examples) for part in parts) == number
