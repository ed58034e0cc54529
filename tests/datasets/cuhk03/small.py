"""The small CUHK03: how it is built, and what it then holds."""

import pathlib

import pytest
import tensorflow_datasets as tfds

import datasets
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures

KINDS = benchmark_fixtures.CUHK_KINDS
COUNTS = benchmark_fixtures.SMALL_CUHK_COUNTS

TRAIN = [
    # (1, 2) has a single image, the people of other pairs go on counting; (2, 1) and (3, 2) are tested.
    ("1_001_1_01.png", 1, 0, 0),
    ("1_001_1_02.png", 1, 0, 0),
    ("1_001_2_06.png", 1, 0, 1),
    ("1_001_2_07.png", 1, 0, 1),
    ("1_001_2_08.png", 1, 0, 1),
    ("1_002_2_10.png", 2, 1, 1),
    ("1_003_1_01.png", 3, 2, 0),
    ("1_003_1_05.png", 3, 2, 0),
    ("1_003_2_06.png", 3, 2, 1),
    ("3_001_1_01.png", 5, 3, 0),
    ("3_001_2_06.png", 5, 3, 1),
    ("4_001_1_03.png", 7, 4, 0),
    ("5_001_1_05.png", 8, 5, 0),
    ("5_001_2_06.png", 8, 5, 1),
]
QUERY = [
    ("2_001_1_02.png", 4, -1, 0),
    ("2_001_2_07.png", 4, -1, 1),
    ("3_002_1_04.png", 6, -1, 0),
    ("3_002_2_09.png", 6, -1, 1),
]
GALLERY = [
    ("2_001_1_03.png", 4, -1, 0),
    ("2_001_2_09.png", 4, -1, 1),
    ("3_002_1_05.png", 6, -1, 0),
    ("3_002_2_10.png", 6, -1, 1),
]


def build(manual_dir: pathlib.Path, data_dir: pathlib.Path, kind: str = "labeled", **arguments) -> pathlib.Path:
    arguments = {"counts": COUNTS[kind], **arguments}
    return dataset_fixtures.build(f"cuhk03/{kind}", data_dir=data_dir, manual_dir=manual_dir, **arguments)


def problems_of(manual_dir: pathlib.Path, data_dir: pathlib.Path, kind: str = "labeled", **arguments) -> list[str]:
    with pytest.raises(datasets.DatasetError) as error:
        build(manual_dir, data_dir, kind, **arguments)
    assert not list(data_dir.glob("cuhk03/**/*.array_record*"))
    assert "person-re-ranking" in str(error.value)  # where to get the protocol
    return list(error.value.problems)


def rows_of(folder: pathlib.Path) -> dict[str, list[tuple[str, int, int, int]]]:
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    return {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }
