"""Archives that several tests build from."""

import pathlib

import pytest

from datasets.market1501 import market1501_dataset_builder
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures


@pytest.fixture
def archive(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A small Market-1501, whose counts are taken for the published ones."""
    monkeypatch.setattr(market1501_dataset_builder.Builder, "COUNTS", dataset_fixtures.SMALL_MARKET_COUNTS)
    return dataset_fixtures.write_small_market(tmp_path / "archive")


@pytest.fixture
def mat_root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small CUHK03 as its MAT file."""
    return benchmark_fixtures.write_small_cuhk(tmp_path / "archive", "mat")


@pytest.fixture
def images_root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small CUHK03 as extracted images."""
    return benchmark_fixtures.write_small_cuhk(tmp_path / "archive", "images")
