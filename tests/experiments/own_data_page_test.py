"""docs/own_data.md: its `prepare` commands run as they stand, and what follows takes the dataset by its name."""

import json
import os
import pathlib
import re
import shlex

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

import san_jax
from experiments import embed, evaluate, figures, prepare, search
from experiments.runs import data_sources, pseudo_textures, training
from tests import pages
from tests.datasets.own import drawn
from tests.experiments.export_runs import write_run
from tests.experiments.runs.texture_runs import load_model, make_model
from tests.experiments.runs.training_test import load, one_device, patch_steps
from tests.experiments.scoring.made_up import trained

__all__ = ["one_device"]  # a fixture of the whole module

PAGE = pages.Page(pages.REPOSITORY / "docs" / "own_data.md")
COMMANDS = [line for line in PAGE.commands if "experiments.prepare" in line]
PERSONS = ("anna", "bob", "Çelik 数", "ida")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """The folders that the page's commands name."""
    folder = tmp_path_factory.mktemp("page")
    cameras = [
        f"{person}/{camera}/{number}.JPG" for person in PERSONS for camera in ("door", "yard") for number in "12"
    ]
    drawn.draw(folder / "pictures", cameras)
    drawn.draw(folder / "divided", ["train/anna/1.jpg", "query/bob/1.jpg", "gallery/bob/2.jpg"])
    drawn.draw(folder / "named", [f"{person:04d}_c{camera}.jpg" for person in range(4) for camera in (1, 2)])
    flat = [(f"{person}{camera}.jpg", person, camera) for person in "pqrs" for camera in (1, 2)]
    drawn.draw(folder / "flat", [name for name, _, _ in flat])
    rows = [",".join(map(str, row)) for row in [("path", "person_id", "camera_id"), *flat]]
    (folder / "flat" / "list.csv").write_text("\n".join(rows))
    timed = [f"{name},{person},{camera},2026-11-28T10:0{number}" for number, (name, person, camera) in enumerate(flat)]
    (folder / "flat" / "timed.csv").write_text("\n".join(["path,person_id,camera_id,taken", *timed]))
    columns = dict(zip(("file", "who", "where"), map(list, zip(*flat, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), folder / "flat" / "list.parquet")
    drawn.draw(folder / "sequence" / "img1", [f"{frame:06d}.jpg" for frame in range(1, 41)])
    (folder / "sequence" / "gt").mkdir()
    boxes = [f"{frame},{track},{4 + 10 * track},5,9,36,1,1,1" for frame in range(1, 41) for track in (0, 1)]
    (folder / "sequence" / "gt" / "gt.txt").write_text("\n".join(boxes))
    return folder


def _prepare(folder: pathlib.Path, *arguments: str) -> int:
    """Runs the program in a folder; returns its exit status."""
    here = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        with pytest.raises(SystemExit) as ended:
            prepare.main(arguments)
    finally:
        os.chdir(here)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_page_shows_every_layout():
    text = " ".join(COMMANDS)
    assert len(COMMANDS) == 9
    assert all(f" --{name}=" in text for name in ("table", "time_column", "pattern", "boxes", "test_share"))


@pytest.mark.parametrize("line", COMMANDS, ids=[re.findall(r"own:(\w+)", line)[0] for line in COMMANDS])
def test_the_commands_of_the_page_build_datasets(line: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    arguments = shlex.split(line)[3:]
    name = re.findall(r"own:(\w+)", line)[0]
    assert _prepare(folder, *arguments) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"\n{name}:\n" in out or out.startswith(f"{name}:\n")
    splits = set(data_sources.list_splits(name, folder / "data"))
    assert splits == ({"query", "gallery"} if "test_share=1" in line else {"train", "query", "gallery"})
    if "--pattern" in line:  # what it found comes first
        assert out.startswith(r"--pattern=(?P<person>\d+)_c(?P<camera>\d+) is found in 8 pictures")
        assert out.index("0000_c1.jpg: person 0000, camera 1") < out.index("Building the dataset")


@pytest.fixture(scope="module")
def data_dir(folder: pathlib.Path) -> pathlib.Path:
    """A data_dir with `shop` (two cameras), and `alone` (none)."""
    data_dir = folder / "built"
    drawn.build(folder / "pictures", data_dir, "shop")
    names = [f"{person}/{number}.jpg" for person in PERSONS for number in (1, 2, 3)]
    drawn.build(drawn.draw(folder / "alone", names), data_dir, "alone")
    return data_dir


def test_pseudo_textures_and_trainings_take_it_by_name(data_dir, tmp_path, monkeypatch, capsys):
    load_model(monkeypatch, make_model(0))
    textured = pseudo_textures.run_dataset(tmp_path / "san_pg", "shop", data_dir, batch_size=4)
    assert textured == data_dir / "shop_textured" / "1.0.0"
    assert "pseudo textures of shop, train: 8 images, 8 to compute" in capsys.readouterr().out
    monkeypatch.undo()
    patch_steps(monkeypatch)
    training.run(load(data_dir, dataset="shop", batch__num_identities=4), tmp_path / "baseline")
    assert "trains on shop, train: 8 images of 2 identities" in capsys.readouterr().out
    san = load(
        data_dir, "san", dataset="shop", batch_kinds="('reid',)", start__kind="random", start__path="", prepare=""
    )
    training.run(san, tmp_path / "san")
    assert json.loads((tmp_path / "san" / "data.json").read_text())["dataset"] == "shop"


def test_evaluation_embedding_and_figures_take_it_by_name(data_dir, tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "run", model__width=4, data_dir=str(data_dir))
    trained(tmp_path / "run", dataset="shop")
    arguments = [f"--workdir={tmp_path / 'run'}", f"--data_dir={data_dir}"]
    evaluate.main([*arguments, "--dataset=all"])
    reports = {
        name: json.loads((tmp_path / "run" / "report" / f"evaluate_{name}.json").read_text())
        for name in ("shop", "alone")
    }
    assert {name: report["same_camera"] for name, report in reports.items()} == {"shop": "drop", "alone": "keep"}
    for name, report in reports.items():
        assert report["num_valid_queries"] == report["num_query"] > 0
        assert report["protocol"].startswith(f"{name}, own pictures, no published benchmark: only scores on the same")
        assert "Queries were chosen by seed 0" in report["protocol"]
    assert "kept as correct matches, for no camera is known" in reports["alone"]["protocol"]

    embed.main([*arguments, "--images=shop:gallery", f"--output={tmp_path / 'gallery.npz'}"])
    gallery = san_jax.load_embeddings(tmp_path / "gallery.npz")
    assert set(gallery.camera_ids.tolist()) == {0, 1}
    words = json.loads((data_dir / "shop" / "1.0.0" / "names.json").read_text())["persons"]
    assert [words[str(number)] for number in gallery.person_ids] == [name.split("/")[0] for name in gallery.names]
    embed.main([*arguments, "--images=alone:gallery", f"--output={tmp_path / 'alone.npz'}"])
    np.testing.assert_array_equal(san_jax.load_embeddings(tmp_path / "alone.npz").camera_ids, -1)  # not known

    load_model(monkeypatch, make_model(0))
    figures.main([*arguments, "--figure=6", "--dataset=shop", f"--output={tmp_path / 'figures'}"])
    assert list((tmp_path / "figures").glob("*.png"))


def test_a_search_filters_by_the_times_of_a_table(folder, tmp_path):
    settings = {"table": "timed.csv", "time_column": "taken", "test_share": 1.0}
    drawn.build(folder / "flat", tmp_path / "data", "timed", **settings)
    write_run(tmp_path / "run", model__width=4, data_dir=str(tmp_path / "data"))
    run = [f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}"]
    embed.main([*run, "--images=timed:gallery", f"--output={tmp_path / 'timed.parquet'}"])
    names = san_jax.load_embeddings(tmp_path / "timed.parquet").names
    after = ["--after=2026-11-28T10:04"]  # when the first picture of the third person was taken
    search.main(
        [*run, f"--gallery={tmp_path / 'timed.parquet'}", "--query=timed:query", f"--output={tmp_path / 'out'}", *after]
    )
    queries = json.loads((tmp_path / "out" / "ranked.json").read_text())["queries"]
    assert len(queries) == 8 - len(names)
    for query in queries:
        assert {match["name"] for match in query["matches"]} == {name for name in names if name[0] in "rs"}


def test_what_is_wrong_is_told_in_one_go_and_nothing_is_built(folder, tmp_path, capsys):
    drawn.draw(tmp_path / "p", ["anna/1.jpg", "bob/1.jpg", "loose.jpg"])
    (tmp_path / "p" / "bob" / "1.jpg").write_bytes(b"")
    assert _prepare(tmp_path, "--dataset=own:x", "--manual_dir=p", "--data_dir=data", "--test_share=0") == 1
    err = capsys.readouterr().err
    assert "is not the whole dataset x: 2 problems, 1 of them unreadable" in err
    assert (tmp_path / "data" / "x_problems.txt").read_text().count("\n") == 2
    assert not (tmp_path / "data" / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=own:Shop"], "'Shop' cannot be a dataset's name: expected a-z, 0-9 and single _"),
        (["--dataset=own:cuhk03"], "'cuhk03' is the name of another kind of dataset"),
        (["--dataset=shop"], "expected own:NAME or one of all, pit, pit_reid"),
        (["--dataset=market1501", "--table=a.csv"], "--table is for own pictures: give --dataset=own:NAME"),
        (["--dataset=own:x", "--table=a.csv", "--boxes=b"], "--table and --boxes exclude each other"),
        (["--dataset=own:x", "--test_share=2"], "--test_share must lie in 0..1, found 2"),
    ],
)
def test_arguments_that_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        prepare.main([*arguments, "--manual_dir=p"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
