"""The Market-1501 builder: real layout, published counts, and every defect named before anything is written."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets.market1501 import market1501_dataset_builder
from tests import dataset_fixtures

COUNTS = dataset_fixtures.SMALL_MARKET_COUNTS


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    return dataset_fixtures.write_small_market(tmp_path / "archive")


def _build(archive: pathlib.Path, data_dir: pathlib.Path, counts=COUNTS) -> pathlib.Path:
    return datasets.build_dataset("market1501", data_dir=data_dir, manual_dir=archive, counts=counts)


def _is_empty(data_dir: pathlib.Path) -> bool:
    return not any(path.is_file() for path in data_dir.glob("market1501/**/*"))


@pytest.mark.parametrize("manual_dir", ["itself", "parent"])
def test_examples_are_those_of_the_archive(archive: pathlib.Path, tmp_path: pathlib.Path, manual_dir: str):
    folder = _build(archive if manual_dir == "itself" else archive.parent, tmp_path / "data")
    assert folder == tmp_path / "data" / "market1501" / "1.0.0"
    decoders = {"image": tfds.decode.SkipDecoding()}
    splits = tfds.builder_from_directory(folder).as_data_source(decoders=decoders)
    rows = {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }
    assert rows == {
        "train": [
            ("bounding_box_train/0002_c1s1_000451_03.jpg", 2, 0, 0),
            ("bounding_box_train/0002_c2s1_000301_01.jpg", 2, 0, 1),
            ("bounding_box_train/0010_c3s2_012345_01.jpg", 10, 1, 2),
            ("bounding_box_train/0700_c6s3_000001_00.jpg", 700, 2, 5),
        ],
        # Junk (-1) is dropped, distractors (0) stay.
        "gallery": [
            ("bounding_box_test/0000_c1s1_000151_01.jpg", 0, -1, 0),
            ("bounding_box_test/0001_c2s1_000351_02.jpg", 1, -1, 1),
            ("bounding_box_test/0003_c5s1_000351_02.jpg", 3, -1, 4),
        ],
        "query": [
            ("query/0001_c1s1_001051_00.jpg", 1, -1, 0),
            ("query/0003_c1s1_001051_00.jpg", 3, -1, 0),
        ],
    }
    for source in splits.values():
        for example in source:
            assert example["image"] == (archive / example["name"].decode()).read_bytes()


def test_images_decode_to_arrays(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path)
    example = tfds.data_source("market1501", split="query", data_dir=tmp_path)[0]
    assert example["image"].dtype == np.uint8
    expected = Image.open(io.BytesIO((archive / "query" / "0001_c1s1_001051_00.jpg").read_bytes()))
    np.testing.assert_array_equal(example["image"], np.asarray(expected))


def test_the_published_counts_are_met_by_a_full_archive(tmp_path: pathlib.Path):
    root = dataset_fixtures.write_full_market(tmp_path)
    builder = market1501_dataset_builder.Builder(data_dir=tmp_path / "data")
    found = builder.scan(root)
    assert {split: len(examples) for split, examples in found.splits.items()} == {
        "train": 12_936,
        "query": 3_368,
        "gallery": 15_913,
    }
    assert {example["label"] for example in found.splits["train"]} == set(range(751))
    assert {example["camera_id"] for example in found.splits["gallery"]} == set(range(6))
    assert found.metadata["counts_published"] is True

    # One image less, and one junk image more.
    (root / "query" / "0753_c1s1_000000_00.jpg").unlink()
    (root / "bounding_box_test" / "-1_c1s1_999999_00.jpg").touch()
    with pytest.raises(datasets.DatasetError) as error:
        builder.scan(root)
    assert "query images: expected 3,368, found 3,367" in str(error.value)
    assert "junk images in bounding_box_test (dropped): expected 3,819, found 3,820" in str(error.value)
    assert "train images" not in str(error.value)


def test_counts_are_the_published_ones_unless_given(archive: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path, counts=None)
    message = str(error.value)
    assert str(archive) in message
    for line in (
        "train images: expected 12,936, found 4",
        "train identities: expected 751, found 3",
        "query images: expected 3,368, found 2",
        "query identities: expected 750, found 2",
        "gallery images: expected 15,913, found 3",
        "gallery identities: expected 750, found 2",
        "gallery distractors: expected 2,798, found 1",
        "junk images in bounding_box_test (dropped): expected 3,819, found 2",
    ):
        assert line in message
    assert _is_empty(tmp_path)


def test_other_counts_are_stamped_into_the_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    metadata = dict(tfds.builder_from_directory(_build(archive, tmp_path)).info.metadata)
    assert metadata["counts_published"] is False
    assert metadata["counts"] == metadata["counts_expected"] == COUNTS


def test_all_missing_folders_are_named(archive: pathlib.Path, tmp_path: pathlib.Path):
    for folder in ("query", "bounding_box_test"):
        for path in (archive / folder).iterdir():
            path.unlink()
        (archive / folder).rmdir()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert f"{archive / 'query'}: no such folder" in str(error.value)
    assert f"{archive / 'bounding_box_test'}: no such folder" in str(error.value)
    assert f"{archive / 'bounding_box_train'}: no such folder" not in str(error.value)

    with pytest.raises(datasets.DatasetError, match=f"{tmp_path / 'nowhere'}: no such folder"):
        _build(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "reason"),
    [
        ("query", "0001_c1s1_001051_00.png", "expected a name like"),
        ("query", "0001_c7s1_001051_00.jpg", "camera c1 to c6"),
        ("query", "0001_c0s1_001051_00.jpg", "camera c1 to c6"),
        ("bounding_box_train", "notes.txt", "expected a name like"),
        ("bounding_box_train", "-1_c1s1_000401_03.jpg", "belong in bounding_box_test only"),
        ("query", "0000_c1s1_000401_03.jpg", "belong in bounding_box_test only"),
    ],
)
def test_unexpected_names_are_errors(
    archive: pathlib.Path, tmp_path: pathlib.Path, folder: str, name: str, reason: str
):
    (archive / folder / name).touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert f"{archive / folder / name}: " in str(error.value)
    assert reason in str(error.value)


def test_leavings_of_file_managers_are_ignored(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "query" / ".DS_Store").touch()
    (archive / "query" / "._0001_c1s1_001051_00.jpg").touch()
    assert _build(archive, tmp_path).is_dir()


def test_all_damaged_images_are_named_and_nothing_is_written(archive: pathlib.Path, tmp_path: pathlib.Path):
    truncated = archive / "query" / "0003_c1s1_001051_00.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1000])
    empty = archive / "bounding_box_train" / "0002_c1s1_000451_03.jpg"
    empty.write_bytes(b"")
    gray = archive / "bounding_box_test" / "0001_c2s1_000351_02.jpg"
    Image.new("L", (64, 128)).save(gray)
    # Junk is not part of the dataset: nobody reads it.
    (archive / "bounding_box_test" / "-1_c1s1_000401_03.jpg").write_bytes(b"")
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    message = str(error.value)
    assert "3 of 9 image files cannot be used" in message
    assert f"{truncated}: not a readable JPEG or PNG" in message
    assert f"{empty}: not a readable JPEG or PNG" in message
    assert f"{gray}: expected an RGB image, found mode L" in message
    assert _is_empty(tmp_path)


def test_long_lists_are_cut_with_a_count(archive: pathlib.Path, tmp_path: pathlib.Path):
    for index in range(30):
        (archive / "query" / f"extra{index:02d}").touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert "extra19" in str(error.value)
    assert "extra20" not in str(error.value)
    assert "and 10 more (30 in all)" in str(error.value)
