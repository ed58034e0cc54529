"""Further truths of a drawn picture: person mask, part mask, UV map, depth and 2-D joints, each as a file.

All are told at the centres of the pixels of the finished picture. The camera of a crop draws it at its final size, and
lens and sensor move nothing, so no truth is ever resampled. What is told is what is seen: where something stands before
the person, there is no person. Other persons never count; `docs/renderer.md` describes every file.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import trimesh

from render import manifest
from render.figure import body_parts
from render.optics import seen_surface
from render.optics.camera import Camera
from render.optics.rasterizer import Rasterizer
from render.optics.seen_surface import SeenSurface
from render.recipes.base import encode_png
from san_jax.files import canonical_json

_HALF = 0.5  # of a pixel's light: more than that before the person hides it
_FARTHEST = 65535  # millimetres; what is farther is told as this
_ONE = 65535  # what 1 is in a UV map


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """A person as a picture shows it.

    Attributes:
        meshes: The person, with UV coordinates; an accessory has a `metadata["texture"]`.
        parts: How much their vertices belong to every part, float32 [V P]; see `body_parts.PARTS`.
        joints: Where the joints are, by name, in the meshes' frame.
        camera: In the meshes' frame.
        hidden: How much of each pixel something before the person hides, float32 [height width]; None for nothing.
    """

    meshes: Sequence[trimesh.Trimesh]
    parts: np.ndarray
    joints: dict[str, np.ndarray]
    camera: Camera
    hidden: np.ndarray | None = None


def names(record: manifest.Record, prefix: str) -> dict[str, str]:
    """Return the truths that a record has of its image (prefix "") or its frontal view ("frontal_"): kind -> path."""
    return {kind: record.truths[prefix + kind] for kind in manifest.TRUTHS if prefix + kind in record.truths}


def draw(rasterizer: Rasterizer, sight: Sight, files: Mapping[str, str]) -> dict[str, bytes]:
    """Draw truths of a picture.

    Args:
        rasterizer: Draws the picture's size.
        sight: What the picture shows.
        files: Path of each truth to draw, by its kind, of `manifest.TRUTHS`.

    Returns:
        Path -> content.
    """
    seen = seen_surface.look_at(rasterizer, sight.meshes, sight.camera)
    if sight.hidden is not None:
        seen = seen.without(sight.hidden > _HALF)
    parts = seen.picture(np.argmax(seen.at_points(sight.parts), axis=1).astype(np.uint8))
    contents = {}
    for kind, name in files.items():
        if kind == "mask":
            contents[name] = encode_png(np.where(parts > 0, np.uint8(255), np.uint8(0)))
        elif kind == "parts":
            contents[name] = encode_png(parts)
        elif kind == "uv":
            contents[name] = encode_png(_uv_map(sight, seen, parts))
        elif kind == "depth":
            millimetres = np.minimum(np.rint(seen.depth * np.float32(1000.0)), _FARTHEST)
            contents[name] = encode_png(seen.picture(millimetres.astype(np.uint16)))
        elif kind == "joints":
            contents[name] = (canonical_json(_joints(sight, parts, seen.picture(seen.depth))) + "\n").encode()
        else:
            raise ValueError(f"Unknown truth {kind!r}.")
    return contents


def _uv_map(sight: Sight, seen: SeenSurface, parts: np.ndarray) -> np.ndarray:
    """Return u above v, uint16 [2 * height, width]: columns from the left and rows from the top, 65535 for the whole.

    0 is where no point of the texture is seen; a coordinate of 0 becomes 1 / 65535.
    """
    uv = np.concatenate([np.asarray(cast(Any, mesh.visual).uv, np.float32) for mesh in sight.meshes])
    u, v = seen.at_points(uv).T
    encoded = np.clip(np.rint(np.stack([u, 1.0 - v], axis=1) * _ONE), 1, _ONE).astype(np.uint16)
    maps = seen.picture(encoded) * (parts != body_parts.CARRIED)[..., None].astype(np.uint16)
    return np.concatenate([maps[..., 0], maps[..., 1]])


def _joints(sight: Sight, parts: np.ndarray, depth: np.ndarray) -> list[dict[str, Any]]:
    """Return the joints as JSON values, in the order of `body_parts.JOINTS`.

    Args:
        sight: The person.
        parts: The part mask [height width].
        depth: Metres float32 [height width] of what is seen.
    """
    height, width = parts.shape
    pixels, depths = sight.camera.project(np.array([sight.joints[name] for name in body_parts.JOINTS], np.float64))
    result = []
    for (name, joint), (x, y), z in zip(body_parts.JOINTS.items(), pixels, depths, strict=True):
        inside = bool(0.0 <= x < width and 0.0 <= y < height)
        visible = False
        if inside:
            pixel = int(y), int(x)
            visible = bool(int(parts[pixel]) in joint.parts and abs(float(depth[pixel]) - z) <= joint.reach)
        result.append(
            {
                "name": name,
                "x": round(float(x), 3),
                "y": round(float(y), 3),
                "depth": round(float(z), 4),
                "inside": inside,
                "visible": visible,
            }
        )
    return result
