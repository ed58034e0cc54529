"""Reads the pictures of two datasets, and compares them: the work of `python -m experiments.domain_gap`."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import tqdm

from experiments.domain import gap, statistics
from experiments.runs import data_sources, provenance
from san_jax.counts import count
from san_jax.files import write_atomic

FILE = "domain_gap.json"


@dataclasses.dataclass(frozen=True)
class Request:
    """What is compared.

    Attributes:
        real, rendered: Datasets, each `name` or `name:split`; without a split its train split.
        data_dir: Where TFDS keeps datasets.
        pictures: How many pictures of each are taken, at random; all where there are fewer.
        size: Height and width of the comparison, pixels.
        seed: Of the choice.
    """

    real: str
    rendered: str
    data_dir: pathlib.Path
    pictures: int = 2000
    size: tuple[int, int] = (128, 64)
    seed: int = 0


def run(request: Request) -> tuple[gap.Gap, tuple[np.ndarray, np.ndarray]]:
    """Compare the two datasets.

    Returns:
        The differences, and the statistics of the real and of the rendered pictures, float64 [pictures statistics].

    Raises:
        datasets.DatasetError: A dataset or a split is absent.
        ValueError: A dataset is empty or has too few pictures, or the size is too small.
    """
    real, rendered = describe(request.real, request), describe(request.rendered, request)
    return gap.compare(real, rendered, size=request.size, seed=request.seed), (real, rendered)


def describe(name: str, request: Request) -> np.ndarray:
    """Return the statistics of a dataset's pictures, drawn at random, float64 [pictures statistics]."""
    dataset, _, split = name.partition(":")
    source = data_sources.open_source(dataset, split or "train", request.data_dir)
    count = min(request.pictures, len(source))
    chosen = np.sort(np.random.default_rng(request.seed).permutation(len(source))[:count])
    rows = []
    for index in tqdm.tqdm(chosen, desc=name, unit="picture", disable=None, leave=False):
        found = statistics.describe(source[int(index)]["image"], request.size)
        rows.append([found[key] for key in statistics.NAMES])
    return np.array(rows).reshape(count, len(statistics.NAMES))


def write(found: gap.Gap, request: Request, output: pathlib.Path) -> None:
    """Write `domain_gap.json` into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "real": request.real,
        "rendered": request.rendered,
        "seed": request.seed,
        "commit": provenance.commit(),
        **found.to_json(),
    }
    write_atomic(output / FILE, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def table(found: gap.Gap, request: Request) -> str:
    """Return the comparison in lines, the largest difference first."""
    height, width = found.size
    real, rendered = found.pictures
    dark = " and ".join(f"{100 * share:.0f} %" for share in found.dark_torsos)
    lines = [
        f"{request.real} ({count(real, 'picture')}) and {request.rendered} ({rendered:,}), compared at "
        f"{height}x{width}",
        f"mean distance {found.mean_distance:.3f}; a linear rule puts a rendered picture above a real one in "
        f"{100 * found.told_apart:.1f} % of the pairs; dark torsos: {dark}",
        "",
        f"{'statistic':<22}{'distance':>9}{'chance':>8}{'larger':>8}   {'real: quartiles':<26}{'rendered: quartiles':<26}",
    ]
    for row in found.differences:
        quartiles = ("  ".join(f"{value:7.4g}" for value in values) for values in (row.real, row.rendered))
        words = "".join(f"{text:<26}" for text in quartiles)
        lines.append(
            f"{row.name:<22}{row.distance:9.3f}{row.floor:8.3f}{100 * row.rendered_is_larger:6.0f} %   {words}".rstrip()
        )
    return "\n".join(lines)
