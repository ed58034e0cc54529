"""`python -m experiments.prepare`: what it prints, which files it leaves, and how it ends."""

import contextlib
import logging
import pathlib
import shutil
from collections.abc import Iterator

import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets import archives, listing
from datasets.build import BENCHMARKS
from datasets.dukemtmc_reid import dukemtmc_reid_dataset_builder
from datasets.market1501 import market1501_dataset_builder
from experiments import prepare
from experiments.runs import preparation
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
    assert f"  licence: {market1501_dataset_builder.Builder.LICENSE}" in out.splitlines()
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
    assert "dukemtmc_reid IS PARTIAL: built in spite of 1 problem." in out
    path = tmp_path / "data" / "dukemtmc_reid_problems.txt"
    image = downloads / "DukeMTMC-reID" / "query" / "0002_c3_f0051991.jpg"
    assert path.read_text().startswith(f"{image}: not a readable picture")
    # It stays what it is until it is removed.
    code, _, err = _run(capsys, *arguments)
    assert code == 1
    assert "(a partial dataset) was built from this source with --allow_partial" in err
    assert len(tfds.data_source("dukemtmc_reid", split="query", data_dir=tmp_path / "data")) == 1


def test_strict_refuses_what_would_be_converted(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    image = downloads / "DukeMTMC-reID" / "query" / "0002_c3_f0051991.jpg"
    Image.open(image).convert("L").save(image)
    arguments = _arguments("dukemtmc_reid", downloads, tmp_path / "data")
    code, _, err = _run(capsys, *arguments, "--strict")
    assert code == 1
    assert f"{image}: expected an upright RGB JPEG or PNG, as --strict demands, found grey" in err
    code, out, _ = _run(capsys, *arguments)
    assert code == 0
    assert "  converted to RGB: 1 grey" in out.splitlines()


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


@pytest.mark.parametrize("error", [RuntimeError("Disk full?"), PermissionError(13, "Permission denied"), KeyError("a")])
@pytest.mark.parametrize("where", ["is_there", "build_dataset"])
def test_all_goes_on_after_what_nobody_foresaw(
    downloads: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
):
    module = datasets if where == "build_dataset" else preparation
    function = getattr(module, where)

    def failing(name: str, **arguments):
        if name == "market1501":
            raise error
        return function(name, **arguments)

    monkeypatch.setattr(module, where, failing)
    code, out, err = _run(capsys, *_arguments("all", downloads, tmp_path / "data"))
    assert code == 1
    assert "Built: dukemtmc_reid" in out
    assert "Failed: market1501" in out
    assert "market1501: " in err
    assert str(error) in err
    assert ("Traceback" in err) == (not isinstance(error, OSError))


def test_a_damaged_dataset_is_told_in_one_line_and_stops_no_other(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    code, _, err = _run(capsys, *_arguments("market1501", downloads, tmp_path / "data"))
    assert code == 0, err
    folder = tmp_path / "data" / "market1501" / "1.0.0"
    (folder / "dataset_info.json").write_text('{"name": ')
    code, _, err = _run(capsys, *_arguments("market1501", downloads, tmp_path / "data"))
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith(f"market1501: {folder} holds a damaged dataset (")
    assert "Remove that folder" in line
    code, out, _ = _run(capsys, *_arguments("all", downloads, tmp_path / "data"))
    assert code == 1
    assert "Built: dukemtmc_reid" in out
    assert "Failed: market1501" in out


def test_the_file_of_problems_is_whole_or_says_that_it_is_not(
    downloads: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(listing, "MAX_STORED", 10)
    for index in range(30):
        (downloads / "DukeMTMC-reID" / "query" / f"extra{index:02d}").touch()
    arguments = [*_arguments("dukemtmc_reid", downloads, tmp_path / "data"), "--allow_partial"]
    path = tmp_path / "data" / "dukemtmc_reid_problems.txt"
    code, _, err = _run(capsys, *arguments)
    assert code == 0
    assert f"The whole list (30 lines): {path}" in err
    lines = path.read_text().splitlines()
    assert [line.partition(": expected")[0] for line in lines] == [
        f"{downloads}/DukeMTMC-reID/query/extra{index:02d}" for index in range(30)
    ]
    # The dataset is kept, and with it the list.
    code, _, err = _run(capsys, *arguments)
    assert code == 0
    assert path.read_text().splitlines() == lines
    path.unlink()
    code, _, err = _run(capsys, *arguments)
    assert code == 0
    assert f"The first 10 of 30 problems: {path}" in err
    assert "The whole list" not in err
    assert len(path.read_text().splitlines()) == 10


def test_a_partial_dataset_names_the_archive(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    packed = downloads / "DukeMTMC-reID.zip"
    (downloads / "DukeMTMC-reID" / "query" / "0002_c3_f0051991.jpg").write_bytes(b"")
    dataset_fixtures.pack(downloads / "DukeMTMC-reID", packed)
    code, _, _ = _run(capsys, *_arguments("dukemtmc_reid", packed, tmp_path / "data"), "--allow_partial")
    assert code == 0
    (line,) = (tmp_path / "data" / "dukemtmc_reid_problems.txt").read_text().splitlines()
    assert line.startswith(f"{packed}/DukeMTMC-reID/query/0002_c3_f0051991.jpg: not a readable")
    # Pillow says the path once more.
    assert "incomplete." not in line
    metadata = dict(tfds.builder_from_directory(tmp_path / "data" / "dukemtmc_reid" / "1.0.0").info.metadata)
    (line,) = metadata["problems"]
    assert line.startswith("query/0002_c3_f0051991.jpg: not a readable")
    assert "incomplete." not in line


def test_a_partial_dataset_whose_source_was_repaired(
    downloads: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    image = downloads / "DukeMTMC-reID" / "query" / "0002_c3_f0051991.jpg"
    content = image.read_bytes()
    image.write_bytes(bytes(len(content)))
    arguments = [*_arguments("dukemtmc_reid", downloads, tmp_path / "data"), "--allow_partial"]
    for _ in range(2):
        code, _, err = _run(capsys, *arguments)
        assert code == 0
        assert "source is whole" not in err
    image.write_bytes(content)
    with _absl_warnings() as warnings:
        code, out, _ = _run(capsys, *arguments)
    assert code == 0
    assert "dukemtmc_reid IS PARTIAL" in out
    folder = tmp_path / "data" / "dukemtmc_reid" / "1.0.0"
    (warning,) = warnings
    assert warning.startswith(f"The source is whole now, but {folder} was built before it was. Remove that folder")


@contextlib.contextmanager
def _absl_warnings() -> Iterator[list[str]]:
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("absl")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def test_of_an_archive_all_tries_only_what_it_is_called_after(
    downloads: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    unpacked = []
    unpack = archives.unpack

    def counted(archive: pathlib.Path, *arguments, **limits) -> None:
        unpacked.append(archive)
        unpack(archive, *arguments, **limits)

    monkeypatch.setattr(archives, "unpack", counted)
    archive = downloads / "Market-1501-v15.09.15.zip"
    code, out, err = _run(capsys, *_arguments("all", archive, tmp_path / "data"))
    assert code == 0, err
    assert "Built: market1501\n" in out
    assert "Failed: none\n" in out
    assert unpacked == [archive]


def test_a_folder_of_another_name_is_not_there_rather_than_damaged(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "downloads" / "Market-1501_Attribute").mkdir(parents=True)
    code, out, _ = _run(capsys, *_arguments("all", tmp_path / "downloads", tmp_path / "data"))
    assert code == 1
    assert out.splitlines()[-3:] == ["Built: none", "Failed: none", f"Not there: {', '.join(BENCHMARKS)}"]


def test_one_kind_of_cuhk03_does_not_miss_the_other(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "downloads" / "cuhk03" / "images_detected").mkdir(parents=True)
    code, out, err = _run(capsys, *_arguments("all", tmp_path / "downloads", tmp_path / "data"))
    assert code == 1
    assert "Failed: cuhk03/detected\n" in out  # its protocol is not there
    assert "cuhk03_new_protocol_config_detected.mat: no such file" in err
    assert "cuhk03/labeled is not in" in out


@pytest.mark.parametrize("place", ["downloads", "downloads/DukeMTMC-reID"])
def test_the_working_folder_may_be_given(
    downloads: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
):
    shutil.rmtree(downloads / "DukeMTMC-reID" / "query")
    (downloads / "Market-1501-v15.09.15.zip").unlink()
    monkeypatch.chdir(downloads.parent / place)
    code, out, err = _run(capsys, *_arguments("all", pathlib.Path(), tmp_path / "data"))
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
