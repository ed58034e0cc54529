"""The studio: draws the pairs of an open recipe from their records."""

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from render import manifest, person
from render.figure import body
from render.optics import camera, light, photo
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import poses
from render.people.accessories import Accessory
from render.people.appearance import Appearance
from render.recipes.base import RecipeError, encode_jpeg, encode_png
from render.scene import crowd, draw, occluders
from render.scene.photo_folder import PhotoFolder
from render.scene.view import View
from render.scene.world import Backdrop, make_scene


class Studio:
    """Draws pairs. One a process; it loads the body and the renderer when made, and keeps the latest textures.

    Args:
        cloths: The recipe's photographs of cloth, if it has any.
        backdrops: The recipe's photographs of backgrounds, if it has any.

    Attributes:
        seconds: Time spent by stage, for the benchmark.
        clock: What tells the time.
    """

    def __init__(self, *, cloths: PhotoFolder | None = None, backdrops: PhotoFolder | None = None) -> None:
        self.body = body.load_body()
        self.rasterizer = Rasterizer()
        self.seconds: dict[str, float] = {}
        self.clock = time.perf_counter
        self._cloths, self._backdrops = cloths, backdrops
        self._texture = functools.lru_cache(maxsize=4)(self._paint)
        self._figure = functools.lru_cache(maxsize=1)(functools.partial(person.Figure, self.body))  # picture, frontal
        self._scene = functools.lru_cache(maxsize=16)(make_scene)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - start

    def _paint(self, appearance: Appearance) -> tuple[np.ndarray, bytes]:
        with self._timed("painting"):
            cloth = {name: _read(self._cloths, name) for name in appearance.cloth if name}
            texture = painter.paint_texture(self.body, appearance, cloth)
        with self._timed("encoding"):
            return texture, encode_png(texture)

    def draw(self, record: manifest.Record) -> dict[str, bytes]:
        """The files of a pair: path inside the folder -> content."""
        choices = record.choices
        texture, png = self._texture(Appearance.from_json(choices["appearance"]))
        files = {record.texture: png, record.image: self._encode(self.picture(choices, texture))}
        if record.frontal is not None:
            files[record.frontal] = self._encode(self.frontal(choices, texture))
        return files

    def picture(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The person as the camera takes it, uint8 [256 128 3]."""
        accessories = [Accessory.from_json(fields) for fields in choices["accessories"]]
        meshes = self._meshes(choices, poses.Pose.from_json(choices["pose"]), accessories)
        place = np.array([*choices["position"], 0.0])
        turn = camera.rotation_about_z(choices["yaw"])
        sun = light.Light.from_json(choices["light"])
        site = camera.CameraSite(**choices["site"])
        with self._timed("drawing"):
            points = (light.surface_samples(meshes) @ turn.T + place).astype(np.float32)
            framing = camera.Framing.from_json(choices["framing"])
            # A detector's box holds person, bags and hat, no open umbrella and no suitcase.
            boxed = [mesh for mesh in meshes if mesh.metadata.get("in_box", True)]
            inside = points
            if len(boxed) < len(meshes):
                inside = (light.surface_samples(boxed) @ turn.T + place).astype(np.float32)
            crop, native_height = camera.crop_around(site.camera(), inside, framing)
            color, alpha = self.rasterizer.draw(
                meshes, texture, crop.seen_from(place, choices["yaw"]), sun.seen_from(choices["yaw"])
            )
        with self._timed("background"):
            others = [crowd.Bystander.from_json(fields) for fields in choices["crowd"]]
            view = View(crop, sun, points, *alpha.shape)
            behind = self._background(choices, site, view, others)
            picture = color + (1.0 - alpha[..., None]) * behind
        if choices["occluders"]:
            with self._timed("occluders"):
                before = tuple(occluders.Occluder.from_json(fields) for fields in choices["occluders"])
                picture, _ = occluders.draw_occluders(picture, before, view, alpha)
        with self._timed("photograph"):
            look, shot = photo.CameraLook.from_json(choices["look"]), photo.Shot.from_json(choices["shot"])
            return photo.take_photo(picture, look, shot, native_height)

    def _background(
        self, choices: dict[str, Any], site: camera.CameraSite, view: View, others: Sequence[crowd.Bystander]
    ) -> np.ndarray:
        if choices["background"] is not None:
            backdrop = Backdrop.from_json(choices["background"])
            pixels = _read(self._backdrops, backdrop.photo, least=draw.PHOTO_SIDE)
            return draw.draw_backdrop(pixels, backdrop, view, others)
        scene = self._scene(choices["scene"]["kind"], choices["scene"]["seed"], site)
        return draw.draw_scene(scene, view, others)

    def frontal(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The same person without accessories, in the fixed frontal pose, under neutral light on plain grey, uint8
        [256 128 3]."""
        meshes = self._meshes(choices, poses.frontal_pose())
        with self._timed("drawing"):
            color, alpha = self.rasterizer.draw(meshes, texture, camera.frontal_camera(), light.neutral_light())
        return np.rint(255.0 * (color + np.float32(0.5) * (1.0 - alpha[..., None]))).astype(np.uint8)

    def _meshes(self, choices: dict[str, Any], pose: poses.Pose, accessories: Sequence[Accessory] = ()):
        with self._timed("posing"):
            appearance, shape = Appearance.from_json(choices["appearance"]), body.BodyShape.from_json(choices["shape"])
            return self._figure(appearance, shape).meshes(pose, accessories)

    def _encode(self, pixels: np.ndarray) -> bytes:
        with self._timed("encoding"):
            return encode_jpeg(pixels)


def _read(folder: PhotoFolder | None, name: str, *, least: int | None = None) -> np.ndarray:
    if folder is None:
        raise RecipeError(f"The record needs the photograph {name}: give the recipe's folder of photographs.")
    return folder.read(name, least=least)
