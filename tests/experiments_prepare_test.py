"""`python -m experiments.prepare`: what it prints, which files it leaves, and how it ends."""

import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

from datasets.build import BENCHMARKS
from datasets.dukemtmc_reid import dukemtmc_reid_dataset_builder
from datasets.market1501 import market1501_dataset_builder
from experiments import prepare
from tests import dataset_fixtures


@pytest.fixture(autouse=True)
def _small_counts(monkeypatch: pytest.MonkeyPatch):
    """The small archives' counts in place of the published ones."""
    monkeypatch.setattr(market1501_dataset_builder.Builder, "COUNTS", dataset_fixtures.SMALL_MARKET_COUNTS)
    monkeypatch.setattr(dukemtmc_reid_dataset_builder.Builder, "COUNTS", dataset_fixtures.SMALL_DUKE_COUNTS)


@pytest.fixture
def downloads(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with Market-1501 as an archive and DukeMTMC-reID as a folder."""
    market = dataset_fixtures.write_small_market(tmp_path)
    folder = tmp_path / "downloads"
    folder.mkdir()
    dataset_fixtures.pack(market, folder / "Market-1501-v15.09.15.zip")
    dataset_fixtures.write_small_duke(folder)
    return folder


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        prepare.main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code, *capsys.readouterr()


def _arguments(dataset: str, manual_dir: pathlib.Path, data_dir: pathlib.Path) -> list[str]:
    return [f"--dataset={dataset}", f"--manual_dir={manual_dir}", f"--data_dir={data_dir}"]


def test_the_counts_stand_in_a_table(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    code, out, _ = _run(capsys, *_arguments("market1501", downloads, tmp_path / "data"))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["images", "identities", "cameras"] in rows
    assert ["train", "4", "3", "4"] in rows
    assert ["query", "2", "2", "1"] in rows
    assert ["gallery", "3", "2", "3"] in rows
    assert "  gallery distractors: 1" in out.splitlines()
    assert "  as published (11 counts compared)" in out.splitlines()
    assert out.splitlines()[-1] == str(tmp_path / "data" / "market1501" / "1.0.0")


def test_all_problems_go_to_a_file_until_they_are_solved(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    for index in range(30):
        (downloads / "DukeMTMC-reID" / "query" / f"extra{index:02d}").touch()
    arguments = _arguments("dukemtmc_reid", downloads, tmp_path / "data")
    code, out, err = _run(capsys, *arguments)
    path = tmp_path / "data" / "dukemtmc_reid_problems.txt"
    assert code == 1
    assert "images" not in out
    assert "extra19" in err
    assert "extra20" not in err
    assert f"The whole list (30 lines): {path}" in err
    assert "withdrawn by its makers" in err
    lines = path.read_text().splitlines()
    assert len(lines) == 30
    assert lines[29].startswith(f"{downloads}/DukeMTMC-reID/query/extra29: expected a name like")

    for extra in (downloads / "DukeMTMC-reID" / "query").glob("extra*"):
        extra.unlink()
    code, _, err = _run(capsys, *arguments)
    assert code == 0
    assert not path.exists()


def test_a_partial_dataset_is_announced(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    (downloads / "DukeMTMC-reID" / "query" / "0002_c3_f0051991.jpg").write_bytes(b"")
    arguments = _arguments("dukemtmc_reid", downloads, tmp_path / "data")
    code, _, err = _run(capsys, *arguments)
    assert code == 1
    assert "pass --allow_partial" in err
    code, out, err = _run(capsys, *arguments, "--allow_partial")
    assert code == 0
    assert ["query", "1", "of", "2", "1", "of", "2", "1", "of", "2"] in [line.split() for line in out.splitlines()]
    assert "  NOT as published (9 counts compared)" in out.splitlines()
    assert "dukemtmc_reid IS PARTIAL: built in spite of 1 problems." in out
    path = tmp_path / "data" / "dukemtmc_reid_problems.txt"
    assert path.read_text().startswith("query/0002_c3_f0051991.jpg: not a readable JPEG or PNG")
    # It stays what it is until it is removed.
    code, _, err = _run(capsys, *arguments)
    assert code == 1
    assert "(a partial dataset) was built from this source with --allow_partial" in err
    assert len(tfds.data_source("dukemtmc_reid", split="query", data_dir=tmp_path / "data")) == 1


def test_all_builds_what_is_there(downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = _run(capsys, *_arguments("all", downloads, tmp_path / "data"))
    assert code == 0, err
    absent = [name for name in BENCHMARKS if name not in ("market1501", "dukemtmc_reid")]
    assert out.splitlines()[-3:] == [
        "Built: market1501, dukemtmc_reid",
        "Failed: none",
        f"Not there: {', '.join(absent)}",
    ]
    for name in absent:
        assert f"{name} is not in {downloads}. " in out  # and how to get it
    for name in ("market1501", "dukemtmc_reid"):
        assert (tmp_path / "data" / name / "1.0.0" / "dataset_info.json").is_file()
    # Nothing else is left: no half dataset, no folders of those that are absent.
    left = {path.name for path in (tmp_path / "data").iterdir() if not path.name.startswith(".")}
    assert left == {"market1501", "dukemtmc_reid"}


def test_all_goes_on_after_a_failure(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    archive = downloads / "Market-1501-v15.09.15.zip"
    archive.write_bytes(archive.read_bytes()[:-1000])
    code, out, err = _run(capsys, *_arguments("all", downloads, tmp_path / "data"))
    assert code == 1
    assert "Built: dukemtmc_reid" in out
    assert "Failed: market1501" in out
    assert f"{archive}: damaged or truncated" in err


def test_all_needs_at_least_one(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    code, out, _ = _run(capsys, *_arguments("all", tmp_path / "nowhere", tmp_path / "data"))
    assert code == 1
    assert "Built: none" in out


def test_an_incomplete_folder_is_not_taken_for_absent(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    """Under `all`, a benchmark's folder that lacks a part is told with the part, and nothing is silently left out."""
    shutil.rmtree(downloads / "DukeMTMC-reID" / "query")
    code, out, err = _run(capsys, *_arguments("all", downloads, tmp_path / "data"))
    assert code == 1
    assert "Failed: dukemtmc_reid" in out
    assert f"{downloads / 'DukeMTMC-reID' / 'query'}: no such folder" in err


def test_pit_is_rendered_whole(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    arguments = _arguments("pit", tmp_path / "rendered", tmp_path / "data")
    code, out, _ = _run(capsys, *arguments)
    assert code == 0
    assert ["train", "6", "-", "-"] in [line.split() for line in out.splitlines()]
    code, _, err = _run(capsys, *arguments, "--allow_partial")
    assert code == 1
    assert "pit is rendered whole" in err
