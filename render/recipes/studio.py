"""The studio: draws the pairs of an open recipe from their records."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import trimesh

from render import manifest, person, person_parts
from render.figure import body
from render.optics import camera, light, photo
from render.optics.camera import Camera
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import poses
from render.people.accessories import Accessory
from render.people.appearance import Appearance
from render.recipes import truths
from render.recipes.base import RecipeError, encode_crop, encode_jpeg, encode_png
from render.recipes.choices import Choices
from render.scene import draw, occluders
from render.scene.photo_folder import PhotoFolder
from render.scene.view import View
from render.scene.world import make_scene


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """What a picture shows of the person.

    Attributes:
        meshes: The person's.
        pose: Their pose.
        camera: In the meshes' frame.
        hidden: Returns how much of each pixel occluders hide, as `truths.Sight` has it.
    """

    meshes: Sequence[trimesh.Trimesh]
    pose: poses.Pose
    camera: Camera
    hidden: Callable[[], np.ndarray | None]


class Studio:
    """Draws pairs. A process needs only one: it loads body and renderer when made, and keeps the latest textures.

    Args:
        cloths: The recipe's photographs of cloth, if it has any.
        backdrops: The recipe's photographs of backgrounds, if it has any.

    Attributes:
        body: The body that all persons are made from.
        rasterizer: The renderer.
        seconds: Seconds spent on each part of the work, by its name, for the benchmark.
        clock: Returns the time in seconds.
    """

    def __init__(self, *, cloths: PhotoFolder | None = None, backdrops: PhotoFolder | None = None) -> None:
        self.body = body.load_body()
        self.rasterizer = Rasterizer()
        self.seconds: dict[str, float] = {}
        self.clock = time.perf_counter
        self._cloths, self._backdrops = cloths, backdrops
        self._texture = functools.lru_cache(maxsize=4)(self._paint)
        self._figure = functools.lru_cache(maxsize=1)(functools.partial(person.Figure, self.body))  # picture, frontal
        # A few kB each; a person meets one camera after another.
        self._scene = functools.lru_cache(maxsize=64)(make_scene)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + self.clock() - start

    def _paint(self, appearance: Appearance) -> tuple[np.ndarray, bytes]:
        with self._timed("painting"):
            cloth = {name: _read(self._cloths, name) for name in appearance.cloth if name}
            texture = painter.paint_texture(self.body, appearance, cloth)
        with self._timed("encoding"):
            return texture, encode_png(texture)

    def draw(self, record: manifest.Record) -> dict[str, bytes]:
        """Draw the files of a pair.

        Returns:
            Path inside the folder -> content.

        Raises:
            RecipeError: The record needs a photograph, and the recipe has no folder of them.
        """
        choices = Choices.from_json(record.choices)
        texture, png = self._texture(choices.person.appearance)
        pixels, shown = self._take(choices, texture)
        files = {record.texture: png, record.image: self._encode(pixels, encode_crop)}
        files |= self._truths(record, "", choices, shown)
        if record.frontal is not None:
            pixels, shown = self._take_frontal(choices, texture)
            files[record.frontal] = self._encode(pixels, encode_jpeg)
            files |= self._truths(record, "frontal_", choices, shown)
        return files

    def picture(self, choices: Choices, texture: np.ndarray) -> np.ndarray:
        """Draw the person as the camera takes it, uint8 [256 128 3]."""
        return self._take(choices, texture)[0]

    def _take(self, choices: Choices, texture: np.ndarray) -> tuple[np.ndarray, _Shown]:
        """Return the picture, and what its truths are told from."""
        meshes = self._meshes(choices, choices.pose, choices.person.accessories)
        with self._timed("drawing"):
            points = _points(meshes, choices)
            # A detector's box holds person, bags and hat, no open umbrella and no suitcase.
            boxed = [mesh for mesh in meshes if mesh.metadata.get("in_box", True)]
            inside = _points(boxed, choices) if len(boxed) < len(meshes) else points
            crop, native_height = camera.crop_around(choices.place.site.camera(), inside, choices.framing)
            own = crop.seen_from(np.array([*choices.position, 0.0]), choices.yaw)
            color, alpha = self.rasterizer.draw(meshes, texture, own, choices.light.seen_from(choices.yaw))
        view = View(crop, choices.light, points, *alpha.shape)
        with self._timed("background"):
            picture = color + (1.0 - alpha[..., None]) * self._background(choices, view)
        if choices.occluders:
            with self._timed("occluders"):
                picture = occluders.draw_occluders(picture, choices.occluders, view, alpha)
        with self._timed("photograph"):
            pixels = photo.take_photo(picture, choices.place.look, choices.shot, native_height, crop.stretch)
        return pixels, _Shown(meshes, choices.pose, own, lambda: self._hidden(choices, view, alpha))

    def _hidden(self, choices: Choices, view: View, alpha: np.ndarray) -> np.ndarray | None:
        return occluders.hidden_share(choices.occluders, view, alpha) if choices.occluders else None

    def _background(self, choices: Choices, view: View) -> np.ndarray:
        if choices.background is not None:
            pixels = _read(self._backdrops, choices.background.photo, least=draw.PHOTO_SIDE)
            return draw.draw_backdrop(pixels, choices.background, view, choices.crowd)
        scene = self._scene(choices.place.scene_kind, choices.place.scene_seed, choices.place.site)
        return draw.draw_scene(scene, view, choices.crowd)

    def frontal(self, choices: Choices, texture: np.ndarray) -> np.ndarray:
        """Draw the same person in the fixed frontal view.

        The person has no accessories and stands in the fixed frontal pose, under neutral light, before plain grey.

        Returns:
            uint8 [256 128 3]
        """
        return self._take_frontal(choices, texture)[0]

    def _take_frontal(self, choices: Choices, texture: np.ndarray) -> tuple[np.ndarray, _Shown]:
        pose, view = poses.frontal_pose(), camera.frontal_camera()
        meshes = self._meshes(choices, pose)
        with self._timed("drawing"):
            color, alpha = self.rasterizer.draw(meshes, texture, view, light.neutral_light())
        pixels = np.rint(255.0 * (color + np.float32(0.5) * (1.0 - alpha[..., None]))).astype(np.uint8)
        return pixels, _Shown(meshes, pose, view, lambda: None)

    def _truths(self, record: manifest.Record, prefix: str, choices: Choices, shown: _Shown) -> dict[str, bytes]:
        """Draw the truths that a record has of a picture: path inside the folder -> content."""
        names = truths.names(record, prefix)
        if not names:
            return {}
        with self._timed("truths"):
            figure = self._figure(choices.person.appearance, choices.person.shape)
            sight = truths.Sight(
                meshes=shown.meshes,
                parts=person_parts.parts_of_meshes(figure, shown.meshes),
                joints=person_parts.joint_places(figure, shown.pose),
                camera=shown.camera,
                hidden=shown.hidden(),
            )
            return truths.draw(self.rasterizer, sight, names)

    def _meshes(
        self, choices: Choices, pose: poses.Pose, accessories: Sequence[Accessory] = ()
    ) -> list[trimesh.Trimesh]:
        with self._timed("posing"):
            return self._figure(choices.person.appearance, choices.person.shape).meshes(pose, accessories)

    def _encode(self, pixels: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> bytes:
        with self._timed("encoding"):
            return encode(pixels)


def _points(meshes: Sequence[trimesh.Trimesh], choices: Choices) -> np.ndarray:
    """Return points float32 [M 3] that fill the person's surface, in the frame of the camera's site."""
    spot = np.array([*choices.position, 0.0])
    turn = camera.rotation_about_z(choices.yaw)
    return (light.surface_samples(meshes) @ turn.T + spot).astype(np.float32)


def _read(folder: PhotoFolder | None, name: str, *, least: int | None = None) -> np.ndarray:
    if folder is None:
        raise RecipeError(f"The record needs the photograph {name}: give the recipe's folder of photographs.")
    return folder.read(name, least=least)
