"""Shards: every item in one of them, and what is wrong with a set of them named in one message."""

import argparse
import json
import os
import pathlib

import pytest

from experiments.runs import shards
from experiments.runs.shards import Part, Shard

WORK = {"program": "test", "parameters": {"seed": 3, "width": 2}}


def write(output: pathlib.Path, shard: Shard, total: int = 7, work: dict | None = None, complete: bool = True):
    path = shards.folder(output, shard)
    path.mkdir(parents=True)
    shards.begin(path, Part(shard, shards.indices(shard, total), total, work or WORK))
    if complete:
        shards.finish(path)
    return path


@pytest.mark.parametrize("text", ["1", "2/2", "-1/2", "a/b", "1/2/3", "0/0", "٣/٤", "1/99999999999"])
def test_bad_shards_are_errors(text: str):
    with pytest.raises(shards.ShardError, match="expected i/n"):
        shards.parse(text)


def test_the_command_line(capsys: pytest.CaptureFixture[str]):
    parser = argparse.ArgumentParser()
    shards.add_arguments(parser)
    assert parser.parse_args(["--shard=3/4"]).shard == Shard(3, 4)
    assert str(Shard(3, 4)) == "3/4"
    given = parser.parse_args([])
    assert given.shard is None
    assert given.merge is None
    assert parser.parse_args(["--merge"]).merge == []
    assert parser.parse_args(["--merge", "a", "b"]).merge == ["a", "b"]
    for wrong in (["--shard=4/4"], ["--shard=0/1", "--merge"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)
    assert "expected i/n with 0 <= i < n" in capsys.readouterr().err


@pytest.mark.parametrize("total", [0, 1, 7, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 11])
def test_every_item_is_in_one_shard(total: int, count: int):
    parts = [shards.indices(Shard(index, count), total) for index in range(count)]
    assert [item for part in parts for item in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("name", ["rendered", "gallery.parquet"])
def test_the_folders_beside_an_output_are_found_in_order(tmp_path: pathlib.Path, name: str):
    output = tmp_path / name
    paths = [write(output, Shard(index, 3)) for index in (2, 0, 1)]
    write(tmp_path / f"{name}x", Shard(0, 2))
    write(tmp_path / f"a{name}", Shard(0, 2))
    assert paths[0].name == f"{name}.shard-00002-of-00003"
    assert [path for path, _ in shards.collect(shards.find(output))] == sorted(paths)
    assert [path for path, _ in shards.collect(paths)] == sorted(paths)
    with pytest.raises(shards.ShardError, match=r"no folder other\.shard-<i>-of-<n> lies beside"):
        shards.find(tmp_path / "other")


def test_all_that_is_wrong_with_a_set_is_named(tmp_path: pathlib.Path):
    first, last = write(tmp_path / "a", Shard(0, 5)), write(tmp_path / "a", Shard(4, 5), complete=False)
    again = write(tmp_path / "b", Shard(0, 5))
    with pytest.raises(shards.ShardError) as caught:
        shards.collect([last, first, again])
    message = str(caught.value)
    assert f"0/5 is there twice, give one of them: {first} and {again}" in message
    assert "missing: 1/5, 2/5, 3/5\n" in message
    assert f"4/5 is not complete: {last}" in message


def test_missing_shards_of_many_are_counted(tmp_path: pathlib.Path):
    with pytest.raises(shards.ShardError, match=r"missing: 1/100, .*, 10/100 and 89 more"):
        shards.collect([write(tmp_path / "a", Shard(0, 100))])
    with pytest.raises(shards.ShardError, match=r"10/1000000000000 and 999999999989 more"):  # at once
        shards.collect([write(tmp_path / "b", Shard(0, 10**12))])


def test_shards_of_two_divisions_lie_beside_an_output(tmp_path: pathlib.Path):
    for count in (1, 2):
        write(tmp_path / "a", Shard(0, count))
    with pytest.raises(shards.ShardError, match=r"shards: 1 there, 2 now\nGive the folders of all shards of one work"):
        shards.collect(shards.find(tmp_path / "a"))


@pytest.mark.parametrize(
    ("shard", "total", "work", "said"),
    [
        (Shard(1, 3), 7, WORK, "shards: 2 there, 3 now"),
        (Shard(1, 2), 8, WORK, "items: 7 there, 8 now"),
        (Shard(1, 2), 7, {**WORK, "parameters": {"seed": 4, "width": 2}}, "parameters.seed: 3 there, 4 now"),
        (Shard(1, 2), 7, {**WORK, "more": 1}, "more: 'absent' there, 1 now"),
    ],
)
def test_shards_of_other_work_are_refused(tmp_path: pathlib.Path, shard: Shard, total: int, work: dict, said: str):
    paths = [write(tmp_path / "a", Shard(0, 2)), write(tmp_path / "a", shard, total, work)]
    with pytest.raises(shards.ShardError, match="not of one work") as caught:
        shards.collect(paths)
    assert f"  {said}\n" in str(caught.value)


def test_a_folder_is_gone_on_with_by_the_same_shard_only(tmp_path: pathlib.Path):
    path = write(tmp_path / "a", Shard(0, 2))
    part = shards.read(path)
    assert part.complete
    shards.begin(path, part)
    assert shards.read(path) == part  # complete still
    with pytest.raises(shards.ShardError, match=r"begun for other work:\n  total: 7 there, 9 now"):
        shards.begin(path, Part(part.shard, part.items, 9, part.work))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"shard": [2, 2]}, {"shard": [True, 2]}, {"shard": [0]}, {"shard": "0/2"}, {"items": [3, 2]},
        {"items": [0, 99]}, {"items": [0.0, 3.0]}, {"total": None}, {"work": []}, {"complete": 1},
    ],
)  # fmt: skip
def test_a_damaged_record_is_named(tmp_path: pathlib.Path, changes: dict):
    path = write(tmp_path / "a", Shard(0, 2))
    file = path / shards.RECORD_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(shards.ShardError, match=r"shard\.json(: version 2| is damaged)"):
        shards.collect([path])


def test_parts_that_do_not_fit_together_are_refused(tmp_path: pathlib.Path):
    paths = [write(tmp_path / "a", Shard(index, 2)) for index in (0, 1)]
    file = paths[1] / shards.RECORD_FILE
    for items, said in (([4, 7], "begins at item 4, expected 3"), ([3, 6], "end at item 6 of 7")):
        file.write_text(json.dumps({**json.loads(file.read_text()), "items": items}))
        with pytest.raises(shards.ShardError, match=said):
            shards.collect(paths)


def test_files_are_placed_by_a_link_or_a_copy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a").write_bytes(b"a")
    for _ in range(2):
        shards.place(source, "images/a", target)
    assert (target / "images" / "a").samefile(source / "images" / "a")

    def refuse(*arguments: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    (target / "images" / "a").unlink()
    shards.place(source, "images/a", target)
    assert not (target / "images" / "a").samefile(source / "images" / "a")
    assert (target / "images" / "a").read_bytes() == b"a"
    assert [path.name for path in (target / "images").iterdir()] == ["a"]


def test_nothing_is_read_or_written_outside(tmp_path: pathlib.Path):
    source, target, outside = tmp_path / "source", tmp_path / "target", tmp_path / "outside"
    for folder in (source, target, outside):
        folder.mkdir()
    (outside / "secret").write_text("secret")
    (source / "link").symlink_to(outside / "secret")
    (source / "folder").symlink_to(outside)
    (source / "images").mkdir()
    (source / "images" / "a").write_bytes(b"a")
    (target / "images").symlink_to(outside)
    os.mkfifo(source / "pipe")
    for name in ("../outside/secret", str(outside / "secret"), "link", "folder/secret", "pipe", "images", "images/a"):
        with pytest.raises(shards.ShardError):
            shards.place(source, name, target)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert [path.name for path in target.iterdir()] == ["images"]
