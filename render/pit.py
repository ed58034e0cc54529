"""The two recipes: which texture meets which body, pose, view and background.

`pit` is the paper's synthesized dataset ("PIT", Paired-Image-Texture): every texture on several meshes, no identities,
and every pair also in one fixed frontal pose. `pit_reid` is a re-identification benchmark from the same generator: an
identity keeps body shape and texture and changes pose, view and camera.

A recipe plans: `plan(index)` is a pure function of (recipe, seed, parameters, index) and gives a `Record` with every
choice. A `Studio` draws: the files of a pair are a pure function of its record. So the work can be cut and ordered in
any way. Pairs that share a texture follow one another (`group`), which a studio's caches like.
"""

import dataclasses
import functools
import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from render import appearance as appearance_module
from render import backgrounds, body, camera, light, manifest, painter, person, photo, poses
from render.rasterizer import Rasterizer

JPEG_QUALITY = 95

# Raised whenever the same record would be drawn differently, so that a folder is never finished by another version.
DRAWING_VERSION = 1

# First word of every random stream: textures and identities of different sets never share one.
PIT_TEXTURE, PIT_MESH, CAMERA, TRAIN_IDENTITY, TEST_IDENTITY, DISTRACTOR, CAMERA_ORDER = range(1, 8)


class RecipeError(ValueError):
    """Parameters that a recipe cannot work with. The message says what was expected."""


def stream(seed: int, kind: int, *numbers: int) -> np.random.Generator:
    """The random stream of one thing, such as texture 12 of `pit`: `stream(seed, PIT_TEXTURE, 12)`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, *numbers)))


@dataclasses.dataclass(frozen=True)
class Person:
    """What an identity keeps: its texture (appearance) and body shape."""

    appearance: appearance_module.Appearance
    shape: body.BodyShape

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Person":
        appearance = appearance_module.sample_appearance(rng)
        return cls(appearance, body.sample_shape(rng, appearance))


@dataclasses.dataclass(frozen=True)
class Place:
    """A camera where it hangs, its look and its scene."""

    site: camera.CameraSite
    look: photo.CameraLook
    scene_kind: str
    scene_seed: int
    path: float  # direction in which most people walk, radians

    def to_json(self) -> dict[str, Any]:
        return {
            "site": self.site.to_json(),
            "look": self.look.to_json(),
            "scene": {"kind": self.scene_kind, "seed": self.scene_seed},
            "path": self.path,
        }


def sample_place(rng: np.random.Generator, *, height: float | None = None) -> Place:
    """Draws a camera; `height` in metres fixes its height."""
    site = camera.sample_site(rng, height=height)
    return Place(
        site=site,
        look=photo.sample_look(rng),
        scene_kind=backgrounds.sample_kind(rng, site),
        scene_seed=int(rng.integers(1 << 32)),
        path=float(rng.uniform(0.0, 2.0 * math.pi)),
    )


def sample_view(rng: np.random.Generator, place: Place) -> dict[str, Any]:
    """Draws one picture of a person at a place, as JSON values: pose, position, direction, light, framing, shot."""
    if rng.uniform() < 0.6:
        yaw = place.path + math.pi * int(rng.integers(2)) + float(rng.normal(0.0, 0.35))
    else:
        yaw = float(rng.uniform(0.0, 2.0 * math.pi))
    kind = "lamp" if place.scene_kind == "station" else None
    return {
        **place.to_json(),
        "pose": poses.sample_pose(rng).to_json(),
        "position": list(camera.sample_position(rng, place.site)),
        "yaw": yaw % (2.0 * math.pi),
        "light": light.sample_light(rng, kind=kind).to_json(),
        "framing": camera.sample_framing(rng).to_json(),
        "shot": photo.sample_shot(rng).to_json(),
    }


@dataclasses.dataclass(frozen=True)
class Pit:
    """Textures times meshes, no identities. Defaults are the paper's 929 x 10 = 9,290 pairs."""

    name: ClassVar[str] = "pit"

    seed: int = 0
    num_textures: int = 929
    meshes_per_texture: int = 10

    def __post_init__(self) -> None:
        _check_at_least(self, num_textures=1, meshes_per_texture=1)

    @property
    def num_groups(self) -> int:
        return self.num_textures

    @property
    def num_pairs(self) -> int:
        return self.num_textures * self.meshes_per_texture

    def group(self, number: int) -> range:
        """Indices of the pairs of texture `number`."""
        return range(number * self.meshes_per_texture, (number + 1) * self.meshes_per_texture)

    def plan(self, index: int) -> manifest.Record:
        """The record of pair `index`, with every choice."""
        texture, mesh = divmod(index, self.meshes_per_texture)
        appearance = appearance_module.sample_appearance(stream(self.seed, PIT_TEXTURE, texture))
        rng = stream(self.seed, PIT_MESH, texture, mesh)
        shape = body.sample_shape(rng, appearance)
        name = f"{texture:04d}_{mesh:02d}"
        return manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{texture:04d}.png",
            frontal=f"frontals/{name}.jpg",
            texture_id=texture,
            split="train",
            person_id=-1,
            camera_id=-1,
            choices={
                "appearance": appearance.to_json(),
                "shape": shape.to_json(),
                **sample_view(rng, sample_place(rng)),
            },
        )


@dataclasses.dataclass(frozen=True)
class PitReid:
    """An identity-labelled multi-camera benchmark.

    Order: training identities, then test identities, then distractors (persons seen once, in the gallery only).
    Each identity is seen by at least `queries_per_identity` + 1 cameras. Its first pictures, from different cameras,
    are the queries; the next one, from yet another camera, goes to the gallery with the rest: every query has a true
    match from another camera.
    """

    name: ClassVar[str] = "pit_reid"

    seed: int = 0
    num_train_identities: int = 1000
    num_test_identities: int = 500
    images_per_identity: int = 12
    queries_per_identity: int = 2
    num_distractors: int = 1000
    num_cameras: int = 6

    def __post_init__(self) -> None:
        _check_at_least(
            self,
            num_train_identities=1,
            num_test_identities=1,
            queries_per_identity=1,
            images_per_identity=self.queries_per_identity + 1,
            num_distractors=0,
            num_cameras=max(6, self.queries_per_identity + 1),
        )

    @property
    def num_groups(self) -> int:
        return self.num_train_identities + self.num_test_identities + self.num_distractors

    @property
    def num_pairs(self) -> int:
        return (self.num_train_identities + self.num_test_identities) * self.images_per_identity + self.num_distractors

    def group(self, number: int) -> range:
        """Indices of the pairs of person `number`."""
        identities = self.num_train_identities + self.num_test_identities
        if number < identities:
            return range(number * self.images_per_identity, (number + 1) * self.images_per_identity)
        start = identities * self.images_per_identity + number - identities
        return range(start, start + 1)

    def _stream(self, number: int, *more: int) -> np.random.Generator:
        """The random stream of person `number`."""
        if number < self.num_train_identities:
            return stream(self.seed, TRAIN_IDENTITY, number, *more)
        number -= self.num_train_identities
        if number < self.num_test_identities:
            return stream(self.seed, TEST_IDENTITY, number, *more)
        return stream(self.seed, DISTRACTOR, number - self.num_test_identities, *more)

    def place(self, camera_id: int) -> Place:
        """Camera `camera_id`. Heights are spread from eye level to surveillance height, one camera a step."""
        rng = stream(self.seed, CAMERA, camera_id)
        order = stream(self.seed, CAMERA_ORDER).permutation(self.num_cameras)
        step = (int(order[camera_id]) + float(rng.uniform(0.15, 0.85))) / self.num_cameras
        return sample_place(rng, height=1.3 * (7.5 / 1.3) ** step)

    def plan(self, index: int) -> manifest.Record:
        """The record of picture `index`, with every choice."""
        identities = self.num_train_identities + self.num_test_identities
        number, picture = divmod(index, self.images_per_identity)
        if number >= identities:
            number, picture = index - identities * (self.images_per_identity - 1), 0
        rng = self._stream(number, 0)
        human = Person.sample(rng)
        fewest = self.queries_per_identity + 1
        seen_by = rng.permutation(self.num_cameras)[: int(rng.integers(fewest, self.num_cameras + 1))]
        camera_id = int(seen_by[picture % len(seen_by)])
        if number < self.num_train_identities:
            split = "train"
        elif number < identities and picture < self.queries_per_identity:
            split = "query"
        else:
            split = "gallery"
        name = f"{number:04d}_c{camera_id}_{picture:02d}"
        return manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{number:04d}.png",
            frontal=None,
            texture_id=number,
            split=split,
            person_id=number,
            camera_id=camera_id,
            choices={
                "appearance": human.appearance.to_json(),
                "shape": human.shape.to_json(),
                **sample_view(self._stream(number, 1, picture), self.place(camera_id)),
            },
        )


Recipe = Pit | PitReid
RECIPES: dict[str, type[Pit] | type[PitReid]] = {"pit": Pit, "pit_reid": PitReid}


def parameters(recipe: Recipe) -> dict[str, Any]:
    """Everything but the seed that a recipe's pairs depend on, for the manifest's header."""
    fields = dataclasses.asdict(recipe)
    del fields["seed"]
    return {**fields, "drawing_version": DRAWING_VERSION}


def _check_at_least(recipe: Recipe, **least: int) -> None:
    for name, value in least.items():
        if getattr(recipe, name) < value:
            raise RecipeError(f"{recipe.name}: {name} must be at least {value}, found {getattr(recipe, name)}.")


class Studio:
    """Draws pairs. One a process; it loads the body and the renderer when made, and keeps the latest textures.

    Attributes:
        seconds: Time spent by stage, for the benchmark.
    """

    def __init__(self) -> None:
        self.body = body.load_body()
        self.rasterizer = Rasterizer()
        self.seconds: dict[str, float] = {}
        self._texture = functools.lru_cache(maxsize=4)(self._paint)
        self._figure = functools.lru_cache(maxsize=1)(functools.partial(person.Figure, self.body))  # picture, frontal
        self._scene = functools.lru_cache(maxsize=16)(backgrounds.make_scene)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def _paint(self, appearance: appearance_module.Appearance) -> tuple[np.ndarray, bytes]:
        with self._timed("painting"):
            texture = painter.paint_texture(self.body, appearance)
        with self._timed("encoding"):
            return texture, encode_png(texture)

    def draw(self, record: manifest.Record) -> dict[str, bytes]:
        """The files of a pair: path inside the folder -> content."""
        choices = record.choices
        appearance = appearance_module.Appearance.from_json(choices["appearance"])
        texture, png = self._texture(appearance)
        files = {record.texture: png, record.image: self._encode(self.picture(choices, texture))}
        if record.frontal is not None:
            files[record.frontal] = self._encode(self.frontal(choices, texture))
        return files

    def picture(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The person as the camera takes it, uint8 [256 128 3]."""
        meshes = self._meshes(choices, poses.Pose.from_json(choices["pose"]))
        place = np.array([*choices["position"], 0.0])
        turn = camera.rotation_about_z(choices["yaw"])
        sun = light.Light.from_json(choices["light"])
        site = camera.CameraSite(**choices["site"])
        with self._timed("drawing"):
            points = (light.surface_samples(meshes) @ turn.T + place).astype(np.float32)
            framing = camera.Framing.from_json(choices["framing"])
            crop, native_height = camera.crop_around(site.camera(), points, framing)
            color, alpha = self.rasterizer.draw(
                meshes, texture, crop.seen_from(place, choices["yaw"]), sun.seen_from(choices["yaw"])
            )
        with self._timed("background"):
            scene = self._scene(choices["scene"]["kind"], choices["scene"]["seed"], site)
            behind = backgrounds.draw_background(scene, crop, sun, points, *alpha.shape)
        with self._timed("photograph"):
            look = photo.CameraLook.from_json(choices["look"])
            return photo.take_photo(
                color + (1.0 - alpha[..., None]) * behind, look, photo.Shot(**choices["shot"]), native_height
            )

    def frontal(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The same person in the fixed frontal pose, under neutral light on plain grey, uint8 [256 128 3]."""
        meshes = self._meshes(choices, poses.frontal_pose())
        with self._timed("drawing"):
            color, alpha = self.rasterizer.draw(meshes, texture, camera.frontal_camera(), light.neutral_light())
        return np.rint(255.0 * (color + np.float32(0.5) * (1.0 - alpha[..., None]))).astype(np.uint8)

    def _meshes(self, choices: dict[str, Any], pose: poses.Pose):
        with self._timed("posing"):
            return self._figure(
                appearance_module.Appearance.from_json(choices["appearance"]),
                body.BodyShape.from_json(choices["shape"]),
            ).meshes(pose)

    def _encode(self, pixels: np.ndarray) -> bytes:
        with self._timed("encoding"):
            return encode_jpeg(pixels)


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """JPEG of quality 95 without colour subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
