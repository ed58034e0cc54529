"""The DukeMTMC-reID builder: real layout, published counts through a whole build, and its defects."""

import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

import datasets
from datasets import build
from tests import dataset_fixtures

COUNTS = dataset_fixtures.SMALL_DUKE_COUNTS


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    return dataset_fixtures.write_small_duke(tmp_path / "archive")


def _build(archive: pathlib.Path, data_dir: pathlib.Path, counts=COUNTS) -> pathlib.Path:
    return dataset_fixtures.build("dukemtmc_reid", data_dir=data_dir, manual_dir=archive, counts=counts)


def test_examples_are_those_of_the_archive(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = _build(archive.parent, tmp_path / "data")
    assert folder == tmp_path / "data" / "dukemtmc_reid" / "1.0.0"
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    rows = {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }
    assert rows == {
        "train": [
            ("bounding_box_train/0001_c1_f0044158.jpg", 1, 0, 0),
            ("bounding_box_train/0001_c2_f0046182.jpg", 1, 0, 1),
            ("bounding_box_train/0007_c8_f0000001.jpg", 7, 1, 7),
        ],
        "query": [("query/0002_c3_f0051991.jpg", 2, -1, 2), ("query/0005_c2_f0046985.jpg", 5, -1, 1)],
        # Person 9 has no query and stays.
        "gallery": [
            ("bounding_box_test/0002_c1_f0044158.jpg", 2, -1, 0),
            ("bounding_box_test/0005_c5_f0055255.jpg", 5, -1, 4),
            ("bounding_box_test/0009_c6_f0000100.jpg", 9, -1, 5),
            ("bounding_box_test/0009_c6_f0000220.jpg", 9, -1, 5),
        ],
    }
    for source in splits.values():
        for example in source:
            assert example["image"] == (archive / example["name"].decode()).read_bytes()


def test_the_description_says_that_it_was_withdrawn(archive: pathlib.Path, tmp_path: pathlib.Path):
    info = tfds.builder_from_directory(_build(archive, tmp_path)).info
    assert "Withdrawn by its makers" in info.description
    assert "zheng2017unlabeled" in info.citation
    with pytest.raises(datasets.DatasetError, match="withdrawn by its makers"):
        _build(tmp_path / "nowhere", tmp_path)


def test_the_published_counts_are_met_by_a_full_archive(tmp_path: pathlib.Path):
    root = dataset_fixtures.write_full_duke(tmp_path)
    found = build.make_builder("dukemtmc_reid", tmp_path / "data").scan(root)
    assert {split: len(examples) for split, examples in found.splits.items()} == {
        "train": 16_522,
        "query": 2_228,
        "gallery": 17_661,
    }
    assert found.problems == ()
    assert found.metadata["counts"] == found.metadata["counts_expected"]
    assert found.metadata["counts"]["gallery identities"] == 1_110


@pytest.mark.parametrize(
    "name", ["0001_c9_f0046182.jpg", "0001_c0_f0046182.jpg", "-1_c2_f0046182.jpg", "0001_c1s1_001051_00.jpg", "a.txt"]
)
def test_unexpected_names_are_errors(archive: pathlib.Path, tmp_path: pathlib.Path, name: str):
    (archive / "query" / name).touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert error.value.problems == (
        f"{archive / 'query' / name}: expected a name like 0001_c2_f0046182.jpg with camera c1 to c8",
    )


def test_suffixes_of_copies_are_taken_and_an_image_with_two_is_a_problem(archive: pathlib.Path, tmp_path: pathlib.Path):
    image = archive / "query" / "0002_c3_f0051991.jpg"
    image.rename(image.with_suffix(".JPG"))
    _build(archive, tmp_path / "data")
    source = tfds.data_source("dukemtmc_reid", split="query", data_dir=tmp_path / "data")
    assert next(example["name"].decode() for example in source) == "query/0002_c3_f0051991.JPG"
    shutil.copy(image.with_suffix(".JPG"), image)
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path / "other")
    assert error.value.problems == (
        f"{image}: extra, 0002_c3_f0051991.JPG is the same image with another suffix; keep one of the two",
    )


def test_an_image_too_few_is_counted(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "bounding_box_test" / "0009_c6_f0000100.jpg").unlink()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert error.value.problems == ("gallery images: expected 4, found 3",)
