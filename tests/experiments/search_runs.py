"""A small run with a gallery, for the programs that search and calibrate."""

import pathlib
import shutil
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from experiments import embed


class Workplace(NamedTuple):
    """What a search needs.

    Attributes:
        folder: An empty folder.
        run: A copy of a run, to be calibrated.
        gallery: Embeddings of pit_reid's gallery (15 pictures: 5 persons, cameras 1 to 3).
        data_dir: Where pit_reid is; its query has a picture of each person of camera 0.
    """

    folder: pathlib.Path
    run: pathlib.Path
    gallery: pathlib.Path
    data_dir: pathlib.Path


def make(tmp_path: pathlib.Path, run: pathlib.Path, data_dir: pathlib.Path) -> Workplace:
    """Embeds the gallery by a copy of the run."""
    shutil.copytree(run, tmp_path / "run")
    gallery = tmp_path / "gallery.parquet"
    place = Workplace(tmp_path, tmp_path / "run", gallery, data_dir)
    embed.main(
        [
            f"--workdir={place.run}",
            "--images=pit_reid:gallery",
            f"--output={gallery}",
            f"--data_dir={data_dir}",
            "--batch_size=8",
        ]
    )
    return place


def write_picture(path: pathlib.Path, seed: int = 0) -> pathlib.Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels: Any = np.random.default_rng(seed).integers(0, 256, (50, 20, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, exportable_run, pit_reid_dir) -> Workplace:
    """The workplace of a module; nothing in it is calibrated."""
    return make(tmp_path_factory.mktemp("search"), exportable_run, pit_reid_dir)
