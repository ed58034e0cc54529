"""A contact sheet of the truths of pictures: below each picture its person mask, parts, UV map, depth and joints."""

import colorsys
import dataclasses
import io
import json
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from experiments.pages.contact_sheet import Tile
from render import manifest
from render.figure import body_parts

_COLUMNS = 6
_SIDES = {"left": (230, 60, 60), "right": (40, 170, 40)}
_MIDDLE = (60, 110, 230)


def truths(studio: Any, recipe: Any) -> list[list[Tile]]:
    """Persons in columns: the picture, then its truths, as colours."""
    columns = []
    for number in range(min(_COLUMNS, recipe.num_groups)):
        record = recipe.plan(recipe.group(number)[0])
        record = dataclasses.replace(record, frontal=None, truths=manifest.truth_files(record, manifest.TRUTHS))
        columns.append(_column(record, studio.draw(record)))
    return [list(row) for row in zip(*columns, strict=True)]


def _column(record: manifest.Record, files: dict[str, bytes]) -> list[Tile]:
    picture = Image.open(io.BytesIO(files[record.image])).convert("RGB")
    truth = {kind: files[record.truths[kind]] for kind in manifest.TRUTHS}
    mask, parts, uv, depth = (
        np.asarray(Image.open(io.BytesIO(truth[kind]))) for kind in ("mask", "parts", "uv", "depth")
    )
    return [
        (picture, "image"),
        (Image.fromarray(mask), "mask"),
        (Image.fromarray(_part_colors()[parts]), "parts"),
        (Image.fromarray(_uv_colors(uv)), "uv"),
        (Image.fromarray(_depth_greys(depth)), "depth"),
        (_mark_joints(picture.copy(), json.loads(truth["joints"])), "joints"),
    ]


def _part_colors() -> np.ndarray:
    """Return a colour for every part, uint8 [P 3]: hues far from those of the neighbours, black for none."""
    hues = [colorsys.hsv_to_rgb(0.381966 * number, 0.65, 0.95) for number in range(len(body_parts.PARTS))]
    colors = np.rint(255.0 * np.array(hues)).astype(np.uint8)
    colors[0] = 0
    colors[body_parts.CARRIED] = 200
    return colors


def _uv_colors(uv: np.ndarray) -> np.ndarray:
    """Return u as red and v as green, uint8 [H W 3]."""
    u, v = uv.reshape(2, -1, uv.shape[1])
    return np.stack([u >> 8, v >> 8, 128 * (u > 0)], axis=-1).astype(np.uint8)


def _depth_greys(depth: np.ndarray) -> np.ndarray:
    """Return near as white and far as grey, uint8 [H W]."""
    seen = depth > 0
    if not seen.any():
        return np.zeros(depth.shape, np.uint8)
    near, far = float(depth[seen].min()), float(depth[seen].max())
    return np.where(seen, 255.0 - 190.0 * (depth - near) / max(far - near, 1.0), 0.0).astype(np.uint8)


def _mark_joints(picture: Image.Image, joints: list[dict[str, Any]]) -> Image.Image:
    """Draw discs, or rings where a joint is hidden; the person's left is red, the right green."""
    draw = ImageDraw.Draw(picture)
    for joint in joints:
        color = _SIDES.get(joint["name"].partition("_")[0], _MIDDLE)
        x, y = joint["x"], joint["y"]
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color if joint["visible"] else None, outline=color)
    return picture
