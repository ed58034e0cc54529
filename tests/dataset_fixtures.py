"""Small archives in their real layouts, for the tests of builders and of programs that read datasets."""

import importlib
import io
import os
import pathlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

import datasets
from render import manifest

MARKET_FOLDERS = ("bounding_box_train", "bounding_box_test", "query")
# What the authors' archive of Market-1501 holds besides the images that are read. The folders of boxes and of lists of good
# and junk images hold 25,259 and 6,736 such files.
MARKET_BESIDE = (
    "readme.txt",
    "bounding_box_train/Thumbs.db",
    "bounding_box_test/Thumbs.db",
    "query/Thumbs.db",
    "gt_bbox/Thumbs.db",
    "gt_bbox/0001_c1s1_001051_00.jpg",
    "gt_bbox/1488_c1s6_023021_00.jpg.jpg",
    "gt_query/0001_c1s1_001051_00_good.mat",
    "gt_query/0001_c1s1_001051_00_junk.mat",
)
# All its names with a doubled suffix.
DOUBLED_MARKET = {
    "query": (
        "1488_c1s6_023021_00.jpg.jpg",
        "1488_c2s3_065527_00.jpg.jpg",
        "1488_c3s3_071344_00.jpg.jpg",
        "1488_c4s6_022241_00.jpg.jpg",
        "1488_c5s3_071737_00.jpg.jpg",
        "1488_c6s3_094992_00.jpg.jpg",
    ),
    "bounding_box_test": (
        "-1_c4s6_022316_11.jpg.jpg",
        "-1_c6s3_094992_04.jpg.jpg",
        "0000_c1s6_023071_04.jpg.jpg",
        "0000_c4s6_022316_04.jpg.jpg",
        "0000_c6s3_094992_01.jpg.jpg",
        "1488_c1s6_023021_02.jpg.jpg",
        "1488_c1s6_023071_05.jpg.jpg",
        "1488_c2s3_065527_02.jpg.jpg",
        "1488_c2s3_065552_02.jpg.jpg",
        "1488_c3s3_071344_02.jpg.jpg",
        "1488_c3s3_071369_01.jpg.jpg",
        "1488_c3s3_071419_03.jpg.jpg",
        "1488_c4s6_022241_02.jpg.jpg",
        "1488_c4s6_022291_05.jpg.jpg",
        "1488_c4s6_022316_08.jpg.jpg",
        "1488_c5s3_071737_01.jpg.jpg",
        "1488_c5s3_071762_01.jpg.jpg",
        "1488_c5s3_071862_01.jpg.jpg",
    ),
}
DUKE_BESIDE = (
    "README.md",
    "CITATION_DukeMTMC.txt",
    "CITATION_DukeMTMC-reID.txt",
    "LICENSE_DukeMTMC.txt",
    "LICENSE_DukeMTMC-reID.txt",
)


def encoded(seed: int, height: int, width: int, image_format: str) -> bytes:
    """Return an encoded random image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=image_format)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


SMALL_MARKET = {
    # Person 2 has two cameras, person 700 a single image; ids are not contiguous.
    "bounding_box_train": [
        "0700_c6s3_000001_00.jpg",
        "0002_c1s1_000451_03.jpg",
        "0002_c2s1_000301_01.jpg",
        "0010_c3s2_012345_01.jpg",
    ],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "-1_c2s1_000401_03.jpg.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_000351_02.jpg",
        "0003_c5s1_000351_02.jpg.jpg",
    ],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c1s1_001051_00.jpg"],
}
SMALL_MARKET_COUNTS = {
    "train images": 4,
    "train identities": 3,
    "train cameras": 4,
    "query images": 2,
    "query identities": 2,
    "query cameras": 1,
    "gallery images": 3,
    "gallery identities": 2,
    "gallery cameras": 3,
    "gallery distractors": 1,
    "junk images in bounding_box_test (dropped)": 2,
}


SMALL_DUKE = {
    # Person 7 has a single image; in the gallery person 9 has one camera only and no query.
    "bounding_box_train": [
        "0001_c2_f0046182.jpg",
        "0001_c1_f0044158.jpg",
        "0007_c8_f0000001.jpg",
    ],
    "bounding_box_test": [
        "0002_c1_f0044158.jpg",
        "0005_c5_f0055255.jpg",
        "0009_c6_f0000100.jpg",
        "0009_c6_f0000220.jpg",
    ],
    "query": ["0002_c3_f0051991.jpg", "0005_c2_f0046985.jpg"],
}
SMALL_DUKE_COUNTS = {
    "train images": 3,
    "train identities": 2,
    "train cameras": 3,
    "query images": 2,
    "query identities": 2,
    "query cameras": 2,
    "gallery images": 4,
    "gallery identities": 3,
    "gallery cameras": 3,
}


def write_small_market(parent: pathlib.Path) -> pathlib.Path:
    """Write a Market-1501 of a few random 128x64 JPEGs, with the real archive's other files; return its folder."""
    return _write_small(parent / "Market-1501-v15.09.15", SMALL_MARKET, MARKET_BESIDE)


def write_small_duke(parent: pathlib.Path) -> pathlib.Path:
    """Write a DukeMTMC-reID of a few random 128x64 JPEGs; return its folder."""
    return _write_small(parent / "DukeMTMC-reID", SMALL_DUKE, DUKE_BESIDE)


def _write_small(root: pathlib.Path, files: Mapping[str, Sequence[str]], beside: Iterable[str]) -> pathlib.Path:
    seed = 0
    for folder, names in files.items():
        for name in names:
            _write(root / folder / name, encoded(seed, 128, 64, "JPEG"))
            seed += 1
    write_beside(root, beside)
    return root


def write_beside(root: pathlib.Path, names: Iterable[str]) -> None:
    """Write files that builders do not read: opening one as an image fails."""
    for name in names:
        _write(root / name, b"not an image")


def build(name: str, *, counts: Mapping[str, int] | None = None, **arguments: Any) -> pathlib.Path:
    """Build a benchmark with `datasets.build_dataset`, with these counts, if any, as the published ones."""
    stem, _, config = name.partition("/")
    module = importlib.import_module(f"datasets.{stem}.{stem}_dataset_builder")
    with pytest.MonkeyPatch.context() as patch:
        if counts is not None and config:
            patch.setitem(module.COUNTS, config, counts)
        elif counts is not None:
            patch.setattr(module.Builder, "COUNTS", counts)
        return datasets.build_dataset(name, **arguments)


def pack(root: pathlib.Path, archive: pathlib.Path) -> pathlib.Path:
    """Pack a folder, itself included, by the suffix of `archive`: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(root.rglob("*")):
                packed.write(path, path.relative_to(root.parent))
    else:
        suffix = archive.suffix.removeprefix(".")
        with tarfile.open(archive, "w" if suffix == "tar" else f"w:{suffix}") as packed:
            packed.add(root, f"./{root.name}")
    return archive


def full_market_names() -> Iterator[tuple[str, str]]:
    """Yield folder and file name of each image of an archive with the published counts of Market-1501.

    The names are made up, except those of `DOUBLED_MARKET`.
    """
    for folder, names in DOUBLED_MARKET.items():
        yield from ((folder, name) for name in names)
    yield from _names("bounding_box_train", range(2, 753), 12_936)
    yield from _names("query", range(753, 1503), 3_368 - 6)
    yield from _names("bounding_box_test", range(753, 1503), 13_115 - 13)
    yield from _names("bounding_box_test", [0], 2_798 - 3)
    yield from _names("bounding_box_test", [-1], 3_819 - 2)


def _names(folder: str, people: range | list[int], number: int) -> Iterator[tuple[str, str]]:
    for index in range(number):
        person = people[index % len(people)]
        prefix = "-1" if person < 0 else f"{person:04d}"
        camera = (index + index // len(people)) % 6 + 1  # one after the other for each person
        yield folder, f"{prefix}_c{camera}s1_{index:06d}_00.jpg"


def full_duke_names() -> Iterator[tuple[str, str]]:
    """Yield folder and made-up name of each image of a DukeMTMC-reID with the published counts."""
    # 702 people with queries and 408 without.
    for folder, people, number in (
        ("bounding_box_train", range(1, 703), 16_522),
        ("query", range(703, 1405), 2_228),
        ("bounding_box_test", range(703, 1813), 17_661),
    ):
        for index in range(number):
            yield folder, f"{people[index % len(people)]:04d}_c{index % 8 + 1}_f{index:07d}.jpg"


def write_full_market(parent: pathlib.Path) -> pathlib.Path:
    """Write a Market-1501 of the published size, all hard links to one tiny JPEG; return its folder."""
    return _write_full(parent / "Market-1501-v15.09.15", full_market_names(), MARKET_BESIDE)


def write_full_duke(parent: pathlib.Path) -> pathlib.Path:
    """Write a DukeMTMC-reID of the published size, all hard links to one tiny JPEG; return its folder."""
    return _write_full(parent / "DukeMTMC-reID", full_duke_names(), DUKE_BESIDE)


def _write_full(root: pathlib.Path, names: Iterator[tuple[str, str]], beside: Iterable[str]) -> pathlib.Path:
    for folder in MARKET_FOLDERS:
        (root / folder).mkdir(parents=True)
    image = root.parent / "image.jpg"
    image.write_bytes(encoded(0, 16, 8, "JPEG"))
    for folder, name in names:
        os.link(image, root / folder / name)
    write_beside(root, beside)
    return root


def write_rendered(folder: pathlib.Path, recipe: str, seed: int = 0) -> list[manifest.Record]:
    """Write a rendered folder with random pixels: 2 textures x 3 pairs, or 3 + 2 people and a distractor."""
    records = list(_pit_records() if recipe == "pit" else _pit_reid_records())
    for record in records:
        _write(folder / record.image, encoded(seed + record.index, 256, 128, "JPEG"))
        _write(folder / record.texture, encoded(seed + 1000 + record.texture_id, 256, 256, "PNG"))
        if record.frontal is not None:
            _write(folder / record.frontal, encoded(seed + 2000 + record.index, 256, 128, "JPEG"))
    parameters = {"num_textures": len({record.texture_id for record in records})}
    write_mirror_map(folder)
    manifest.write_header(folder, manifest.Header(recipe, seed, len(records), parameters, "CC0-1.0"))
    manifest.write_records(folder, records)
    return records


def write_mirror_map(folder: pathlib.Path) -> np.ndarray:
    """Write and return the mirror map of a texture that is mirrored as an image is."""
    index_map = np.stack(np.indices((256, 256))[:, :, ::-1], axis=-1).astype(np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / manifest.MIRROR_FILE, index_map)
    return index_map


def _write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _pit_records() -> Iterator[manifest.Record]:
    for index in range(6):
        # Names out of alphabetical order: the manifest's order counts.
        name = f"pair_{5 - index}"
        yield manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{index // 3}.png",
            frontal=f"frontals/{name}.jpg",
            texture_id=index // 3,
            split="train",
            person_id=-1,
            camera_id=-1,
            choices={"pose": index},
        )


def _pit_reid_records() -> Iterator[manifest.Record]:
    rows = [("train", person, camera) for person in range(3) for camera in (0, 4)]
    rows += [("query", 3, 0), ("query", 4, 5), ("gallery", 3, 1), ("gallery", 4, 2), ("gallery", 5, 3)]
    for index, (split, person, camera) in enumerate(rows):
        yield manifest.Record(
            index=index,
            name=f"{person:04d}_c{camera}_{index}",
            image=f"images/{split}/{person:04d}_c{camera}_{index}.jpg",
            texture=f"textures/{person}.png",
            frontal=None,
            texture_id=person,
            split=split,
            person_id=person,
            camera_id=camera,
            choices={},
        )
