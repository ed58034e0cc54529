"""The small Market-1501 as the tests of building use it."""

import pathlib

import datasets
from tests import dataset_fixtures


def build_market(archive: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    return datasets.build_dataset("market1501", data_dir=data_dir, manual_dir=archive)


def content(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    """The bytes and the time of every file of a folder."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def write_textures(folder: pathlib.Path, seed: int = 0, size: int = 256) -> None:
    """Write a texture for every training image."""
    for number, name in enumerate(sorted(dataset_fixtures.SMALL_MARKET["bounding_box_train"])):
        path = folder / "bounding_box_train" / name.replace(".jpg", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(seed + number, size, size, "PNG"))
