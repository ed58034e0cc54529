"""Small rendered folders without a renderer: plain colours, real manifest, real sizes."""

import io
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from render import manifest
from san_jax import files
from tests import dataset_fixtures


def _colour_file(path: pathlib.Path, size: tuple[int, int], colour: np.ndarray, kind: str) -> None:
    height, width = size
    pixels = np.broadcast_to(colour, (height, width, 3)).astype(np.uint8).copy()
    pixels[: height // 2] //= 2  # not the same everywhere
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    files.write_atomic(path, buffer.getvalue())


def write_pit_reid(
    folder: pathlib.Path,
    *,
    train_ids: int = 3,
    test_ids: int = 3,
    cameras: int = 3,
    partial_queries: bool = False,
    choices: Callable[[int, int], dict[str, Any]] = lambda person, camera: {"colour": camera},
) -> list[manifest.Record]:
    """Writes a `pit_reid` folder: an image an identity and camera; camera 0 of the test identities is the query.

    Identities have a colour of their own and cameras a tint, so that even colours alone find most matches. With
    `partial_queries` the last two cameras of the test identities are query_partial and query_occluded. `choices` makes
    what a record says of a person before a camera.
    """
    rng = np.random.default_rng(0)
    records = []
    for person in range(train_ids + test_ids):
        colour = rng.integers(40, 216, 3)
        texture = f"textures/{person}.png"
        _colour_file(folder / texture, (256, 256), colour, "PNG")
        for camera in range(cameras):
            split = "train" if person < train_ids else "query" if camera == 0 else "gallery"
            if partial_queries and split == "gallery" and camera >= cameras - 2:
                split = manifest.PARTIAL_QUERIES[camera - cameras + 2]
            image = f"images/{person:04d}_c{camera}.jpg"
            _colour_file(folder / image, (256, 128), np.clip(colour + 8 * camera, 0, 255), "JPEG")
            records.append(
                manifest.Record(
                    len(records),
                    image[7:-4],
                    image,
                    texture,
                    None,
                    person,
                    split,
                    person,
                    camera,
                    choices(person, camera),
                )
            )
    dataset_fixtures.write_mirror_map(folder)
    manifest.write_header(folder, manifest.Header("pit_reid", 0, len(records), {}, "CC0-1.0"))
    manifest.write_records(folder, records)
    return records
