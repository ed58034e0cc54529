"""Draws the README's picture: persons above their textures, and one identity seen by the cameras of `pit_reid`.

python -m experiments.contact_sheet --output=docs/sheet.png [--seed=0] [--first=60]
"""

import io
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

from render import manifest, pit

COLUMNS = 10
_GAP = 4
_PERSON = (128, 256)
_TEXTURE = (128, 128)


def draw_sheet(seed: int, first: int) -> Image.Image:
    """Two rows of `pit` persons above their textures, from texture `first` on, and one row of a `pit_reid` identity."""
    studio = pit.Studio()
    recipe = pit.Pit(seed=seed)
    rows: list[list[Image.Image]] = []
    for row in range(2):
        numbers = range(first + row * COLUMNS, first + (row + 1) * COLUMNS)
        files = [_images(studio, recipe.plan(number * recipe.meshes_per_texture)) for number in numbers]
        rows += [
            [one["image"] for one in files],
            [one["texture"].resize(_TEXTURE, Image.Resampling.LANCZOS) for one in files],
        ]
    benchmark = pit.PitReid(seed=seed)
    records = [benchmark.plan(index) for index in benchmark.group(first)]
    by_camera = sorted(records, key=lambda record: record.camera_id)
    chosen = [by_camera[k] for k in np.linspace(0, len(by_camera) - 1, COLUMNS).astype(int)]
    rows.append([_images(studio, record)["image"] for record in chosen])
    heights = [row[0].height for row in rows]
    sheet = Image.new("RGB", (COLUMNS * (_PERSON[0] + _GAP) - _GAP, sum(heights) + _GAP * (len(rows) - 1)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            sheet.paste(image, (column * (_PERSON[0] + _GAP), top))
        top += height + _GAP
    return sheet


def _images(studio: pit.Studio, record: manifest.Record) -> dict[str, Image.Image]:
    files = studio.draw(record)
    return {
        kind: Image.open(io.BytesIO(files[name]))
        for kind, name in (("image", record.image), ("texture", record.texture))
    }


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    path = pathlib.Path(_OUTPUT.value)
    buffer = io.BytesIO()
    draw_sheet(_SEED.value, _FIRST.value).save(buffer, "PNG", optimize=True)
    manifest.write_atomic(path, buffer.getvalue())


if __name__ == "__main__":
    _OUTPUT = flags.DEFINE_string("output", None, "The PNG file.", required=True)
    _SEED = flags.DEFINE_integer("seed", 0, "Seed of both recipes.")
    _FIRST = flags.DEFINE_integer("first", 60, "First texture, and the identity of the last row.")
    app.run(main)
