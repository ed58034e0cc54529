"""Small pictures of made-up persons, in whatever folders a test wants."""

import io
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

import datasets
from san_jax.own_settings import OwnSettings
from tests import dataset_fixtures


def draw(root: pathlib.Path, names: Iterable[str]) -> pathlib.Path:
    """Draws a JPEG or PNG of noise at each path in a folder; each differs from the others."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(number, 48, 24, "PNG" if name.lower().endswith("png") else "JPEG"))
    return root


def draw_modes(root: pathlib.Path, person: str) -> dict[str, str]:
    """Draws a person's pictures in all the modes that are converted; returns what each is converted from."""
    folder = root / person
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(dataset_fixtures.encoded(99, 48, 24, "PNG")))
    picture.convert("L").save(folder / "grey.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("RGBA").save(folder / "alpha.PNG")
    Image.new("I;16", (24, 48), 1000).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)
    return {
        f"{person}/grey.png": "grey",
        f"{person}/palette.png": "palette",
        f"{person}/cmyk.jpg": "CMYK",
        f"{person}/alpha.PNG": "RGB with alpha",
        f"{person}/deep.png": "16-bit grey",
        f"{person}/turned.jpg": "turned",
    }


def build(root: pathlib.Path, data_dir: pathlib.Path, name: str = "shop", **options: Any) -> pathlib.Path:
    """Builds a dataset of own pictures; options are settings, or arguments of `datasets.build_own`."""
    fields = {key for key in options if key in OwnSettings.__dataclass_fields__}
    settings = OwnSettings(**{key: options.pop(key) for key in fields})
    return datasets.build_own(name, data_dir=data_dir, manual_dir=root, settings=settings, **options)


def read(folder: pathlib.Path) -> dict[str, list[Mapping[str, Any]]]:
    """The examples of each split of a built dataset."""
    builder: Any = tfds.builder_from_directory(folder)
    return {split: list(builder.as_data_source(split=split)) for split in builder.info.splits}


def metadata(folder: pathlib.Path) -> dict[str, Any]:
    """What the builder noted."""
    info: Any = tfds.builder_from_directory(folder).info
    return dict(info.metadata)


def names_of(examples: Iterable[Mapping[str, Any]]) -> set[str]:
    return {example["name"].decode() for example in examples}
