"""Which folder or archive of a folder of downloads is taken for a benchmark."""

import pathlib
import shutil

import pytest

import datasets
from datasets import build
from tests import dataset_fixtures
from tests.datasets.small_market import build_market


def _small(root: pathlib.Path, folders: tuple[str, ...], name: str) -> pathlib.Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / name).touch()
    return root


def _locate(name: str, folder: pathlib.Path) -> pathlib.Path | None:
    return build.make_builder(name, folder.parent / "data").locate(folder)


MARKET, DUKE = "0002_c1s1_000451_03.jpg", "0001_c2_f0046182.jpg"


def test_what_is_called_so_goes_before_what_only_looks_like_it(tmp_path: pathlib.Path):
    folder = tmp_path / "downloads"
    _small(folder / "Market-1501-resized", dataset_fixtures.MARKET_FOLDERS, MARKET)
    market = _small(folder / "Market-1501-v15.09.15", dataset_fixtures.MARKET_FOLDERS, MARKET)
    assert _locate("market1501", folder) == market
    # An archive of the name as well.
    occluded = _small(folder / "Occluded_Duke", dataset_fixtures.MARKET_FOLDERS, DUKE)
    assert _locate("dukemtmc_reid", folder) == occluded
    (folder / "DukeMTMC-reID.zip").touch()
    assert _locate("dukemtmc_reid", folder) == folder / "DukeMTMC-reID.zip"
    assert _locate("dukemtmc_reid", occluded) == occluded  # what is given is meant
    _small(folder / "OccludedREID", ("query", "gallery"), "001.jpg")
    ilids = _small(folder / "PartialiLIDS", ("query", "gallery"), "001.jpg")
    assert _locate("partial_ilids", folder) == ilids


@pytest.mark.parametrize("names", [("a", "b"), ("Market-1501-v15.09.15", "more/market1501")])
def test_of_several_folders_one_is_to_be_chosen(tmp_path: pathlib.Path, names: tuple[str, str]):
    folder = tmp_path / "downloads"
    roots = [_small(folder / name, dataset_fixtures.MARKET_FOLDERS, MARKET) for name in names]
    with pytest.raises(datasets.DatasetError, match="holds more than one Market-1501") as error:
        _locate("market1501", folder)
    assert error.value.problems == tuple(map(str, roots))
    with pytest.raises(datasets.DatasetError, match="holds more than one Market-1501"):
        build_market(folder, tmp_path / "data")


def test_a_damaged_folder_is_not_replaced_by_what_looks_like_it(tmp_path: pathlib.Path):
    folder = tmp_path / "downloads"
    duke = dataset_fixtures.write_small_duke(folder)
    shutil.copytree(duke, folder / "Occluded_Duke")
    shutil.rmtree(duke / "query")
    with pytest.raises(datasets.DatasetError, match=f"{duke / 'query'}: no such folder"):
        dataset_fixtures.build(
            "dukemtmc_reid",
            data_dir=tmp_path / "data",
            manual_dir=folder,
            counts=dataset_fixtures.SMALL_DUKE_COUNTS,
            allow_partial=True,
        )
    assert build.is_there("dukemtmc_reid", data_dir=tmp_path / "data", manual_dir=folder)
    # A folder of the name with the whole one in it is none that lacks a part.
    shutil.rmtree(duke)
    (folder / "Occluded_Duke").rename(folder / "whole")
    (folder / "dukemtmc-reid").mkdir()
    (folder / "whole").rename(folder / "dukemtmc-reid" / "whole")
    assert _locate("dukemtmc_reid", folder) == folder / "dukemtmc-reid" / "whole"


def test_a_built_dataset_is_no_damaged_source(archive: pathlib.Path, tmp_path: pathlib.Path):
    """data_dir may be manual_dir, and datasets are called as folders may be."""
    assert build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=archive)
    build_market(archive, tmp_path / "data")
    assert not build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=tmp_path / "data")


def test_a_link_to_a_folder_is_no_second_one(tmp_path: pathlib.Path):
    root = _small(tmp_path / "downloads" / "Market-1501-v15.09.15", dataset_fixtures.MARKET_FOLDERS, MARKET)
    (tmp_path / "downloads" / "market1501").symlink_to(root)
    found = _locate("market1501", tmp_path / "downloads")
    assert found is not None
    assert found.resolve() == root


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("dukemtmc_reid", "DukeMTMC-reID.zip", "DukeMTMC-VideoReID.zip"),
        ("dukemtmc_reid", "dukemtmc-reid (1).zip", "DukeMTMC-reID_evaluation-master.zip"),
        ("market1501", "Market-1501-v15.09.15.zip", "Market-1501_Attribute-master.zip"),
        ("market1501", "Market-1501-v15.09.15-20240102T030405Z-001.zip", "Market-1501-resized.zip"),
        ("cuhk03/labeled", "cuhk03_release.zip", "CUHK-SYSU.zip"),
        ("cuhk03/detected", "CUHK03-NP.zip", "cuhk03-np-labeled.zip"),
        ("cuhk03/labeled", "cuhk03_np_labeled.tar", "cuhk03_np_detected.tar"),
        ("msmt17", "MSMT17_V1.tar.gz", "MSMT17_V1.tar.gz.md5"),
        ("msmt17", "MSMT17_V2.TAR", "MSMT17_V2.tar.part"),
        ("partial_reid", "Partial_REID.tgz", "Partial_REID_dataset.txt"),
        ("partial_ilids", "Partial-iLIDS.tar.xz", "Partial-iLIDS.tar.xz.sha256"),
    ],
)
def test_archives_are_told_by_their_names(tmp_path: pathlib.Path, name: str, right: str, wrong: str):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / wrong).touch()
    assert _locate(name, tmp_path / "downloads") is None
    (tmp_path / "downloads" / right).touch()
    assert _locate(name, tmp_path / "downloads") == tmp_path / "downloads" / right


def test_an_archive_one_folder_down(archive: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "data-sets" / "market1501").mkdir(parents=True)
    packed = dataset_fixtures.pack(archive, tmp_path / "data-sets" / "market1501" / "Market-1501-v15.09.15.zip")
    assert _locate("market1501", tmp_path / "data-sets") == packed
    assert build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=tmp_path / "data-sets")
