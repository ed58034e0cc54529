"""A small copy of every dataset that this project builds."""

import pathlib
from collections.abc import Callable

import datasets
from datasets.build import BENCHMARKS
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures

ARCHIVES: dict[str, tuple[Callable[[pathlib.Path], pathlib.Path], dict[str, int] | None]] = {
    "market1501": (dataset_fixtures.write_small_market, dataset_fixtures.SMALL_MARKET_COUNTS),
    "dukemtmc_reid": (dataset_fixtures.write_small_duke, dataset_fixtures.SMALL_DUKE_COUNTS),
    **{
        f"cuhk03/{kind}": (
            lambda parent: benchmark_fixtures.write_small_cuhk(parent, "images"),
            benchmark_fixtures.SMALL_CUHK_COUNTS[kind],
        )
        for kind in benchmark_fixtures.CUHK_KINDS
    },
    "msmt17": (
        lambda parent: benchmark_fixtures.write_small_msmt(parent, "V1"),
        benchmark_fixtures.SMALL_MSMT_COUNTS,
    ),
    "partial_reid": (benchmark_fixtures.write_partial_reid, None),
    "partial_ilids": (benchmark_fixtures.write_partial_ilids, None),
}


def build_small(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Build a small dataset of any name under `folder / "data"`; return its folder."""
    if name in BENCHMARKS:
        write, counts = ARCHIVES[name]
        return dataset_fixtures.build(
            name, data_dir=folder / "data", manual_dir=write(folder / "archive"), counts=counts
        )
    dataset_fixtures.write_rendered(folder / "rendered", name)
    return datasets.build_dataset(name, data_dir=folder / "data", manual_dir=folder / "rendered")
