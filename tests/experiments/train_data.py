"""Small data for the tests of training: noise images in the real datasets' formats."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets.builder import Archive, ArchiveBuilder
from datasets.examples import Example, reid_features
from render import manifest
from san_jax import files
from tests import dataset_fixtures


def _write_noise(path: pathlib.Path, size: tuple[int, int], seed: int) -> None:
    """A file of coarse colour noise: every image differs from every other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[0] // 32, size[1] // 32, 3), np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.NEAREST)
    image.save(buffer, "PNG" if path.suffix == ".png" else "JPEG")
    files.write_atomic(path, buffer.getvalue())


def build_benchmark(
    data_dir: pathlib.Path, name: str, splits: Mapping[str, Sequence[int]], *, partial: bool = False
) -> None:
    """Builds a benchmark of noise images: for each split the person of each image, in train and val its label too.

    Args:
        data_dir: Where TFDS keeps datasets.
        name: "builder" or "builder/config".
        splits: {"train": [0, 0, 1], "val": [1], "query": [7], ...}.
        partial: What the metadata says.
    """

    class Builder(ArchiveBuilder, skip_registration=True):
        MANUAL_DOWNLOAD_INSTRUCTIONS = "made by the test"

        def features(self) -> dict[str, Any]:
            return reid_features()

        def scan(self, manual_dir: Any) -> Archive:
            examples = {
                split: [_example(split, index, person) for index, person in enumerate(persons)]
                for split, persons in splits.items()
            }
            return Archive(pathlib.Path(manual_dir), examples, name, {"license": "none", "partial": partial})

    Builder.name, _, config = name.partition("/")
    builder = Builder(data_dir=data_dir, config=tfds.core.BuilderConfig(name=config) if config else None)
    download = tfds.download.DownloadConfig(manual_dir=data_dir, try_download_gcs=False)
    builder.download_and_prepare(download_dir=data_dir / "downloads", download_config=download)


def _example(split: str, index: int, person: int) -> Example:
    return {
        "image": io.BytesIO(dataset_fixtures.encoded(person, 64, 32, "PNG")),
        "person_id": person,
        "label": person if split in ("train", "val") else -1,
        "camera_id": 0 if split == "query" else 1,
        "name": f"{split}/{index}.png",
    }


def build_all(
    folder: pathlib.Path, *, num_pairs: int = 20, num_ids: int = 6, per_id: int = 3, num_test_ids: int = 1
) -> pathlib.Path:
    """Builds `pit`, `pit_reid` and `pit_reid_textured`, whose textures are noise as well.

    `num_ids` persons are for training, `num_test_ids` for query and gallery, with `per_id` images each.

    Returns:
        The data_dir.
    """
    data_dir = folder / "data"
    for recipe in ("pit", "pit_reid"):
        source = folder / recipe
        records = []
        for index in range(num_pairs if recipe == "pit" else (num_ids + num_test_ids) * per_id):
            person = index // per_id if recipe == "pit_reid" else -1
            split = "train" if recipe == "pit" or person < num_ids else "query" if index % per_id == 0 else "gallery"
            record = manifest.Record(
                index=index,
                name=f"{index:04d}",
                image=f"images/{index:04d}.jpg",
                texture=f"textures/{index:04d}.png",
                frontal=f"frontals/{index:04d}.jpg" if recipe == "pit" else None,
                texture_id=index,
                split=split,
                person_id=person,
                camera_id=index % per_id if recipe == "pit_reid" else -1,
                choices={},
            )
            records.append(record)
            _write_noise(source / record.image, (256, 128), seed=index)
            _write_noise(source / record.texture, (256, 256), seed=1000 + index)
            if record.frontal is not None:
                _write_noise(source / record.frontal, (256, 128), seed=2000 + index)
        manifest.write_header(source, manifest.Header(recipe, 0, len(records), {}, "CC0-1.0"))
        manifest.write_records(source, records)
        dataset_fixtures.write_mirror_map(source)
        datasets.build_dataset(recipe, data_dir=data_dir, manual_dir=source)
    textures = folder / "regressed"  # named by the examples: images/0000.jpg -> images/0000.png
    for index in range(num_ids * per_id):
        _write_noise(textures / f"images/{index:04d}.png", (256, 256), seed=1000 + index)
    datasets.build_textured("pit_reid", data_dir=data_dir, texture_dir=textures, metadata={"model": "noise"})
    return data_dir
