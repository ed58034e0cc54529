"""The two recipes: which texture meets which body, pose, view and background.

`pit` is the paper's synthesized dataset ("PIT", Paired-Image-Texture): every texture on several meshes, no identities,
and every pair also in one fixed frontal pose. `pit_reid` is a re-identification benchmark from the same generator: an
identity keeps body shape and texture and changes pose, view and camera.

A recipe plans: `plan(index)` is a pure function of (recipe, seed, parameters, index) and gives a `Record` with every
choice. A `Studio` draws: the files of a pair are a pure function of its record. So the work can be cut and ordered in
any way. Pairs that share a texture follow one another (`group`), which a studio's caches like.

What is drawn from which distribution is the recipe's: it has a field for each topic (what people wear, the light, ...),
whose class stands in the module that samples it and says what its numbers mean.
"""

import dataclasses
import functools
import io
import json
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from render import manifest, person
from render.figure import body, mirror
from render.optics import camera, light, photo
from render.optics.camera import FramingShares
from render.optics.light import LightShares
from render.optics.photo import PhotoRanges
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import poses
from render.people.accessories import PLACES, Accessory, AccessoryShares, sample_accessories
from render.people.appearance import Appearance
from render.people.sample import sample_appearance, vary_slightly
from render.people.wardrobe import Wardrobe
from render.scene import backgrounds, crowd, occluders
from render.scene.backgrounds import SceneShares
from render.scene.crowd import CrowdShares
from render.scene.occluders import OccluderShares
from render.scene.photo_folder import PhotoFolder
from render.shares import Shares
from san_jax import files

JPEG_QUALITY = 95

# Raised whenever the same record would be drawn differently, so that a folder is never finished by another version.
DRAWING_VERSION = 2

NOTES = (
    "Bags, backpacks, hats, umbrellas and other accessories stand away from the body: they are drawn in the pictures of a "
    "person and are no part of the person's UV texture, nor are occluders and other persons. The frontal view is drawn "
    "without them."
)

# First word of every random stream: textures and identities of different sets never share one.
PIT_TEXTURE, PIT_MESH, CAMERA, TRAIN_IDENTITY, TEST_IDENTITY, DISTRACTOR, CAMERA_ORDER = range(1, 8)
TRAIN_LOOK_ALIKES, TEST_LOOK_ALIKES = 8, 9


LICENSE = (
    "CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/): the body is MakeHuman's, which is CC0, and everything else "
    "is drawn by San-JAX, whose authors claim no rights in its pictures."
)
PHOTO_LICENSE = (
    "The licence of the photographs given as {folders}, which the pictures show; San-JAX does not know it. All else in the "
    "pictures is CC0-1.0."
)


class RecipeError(ValueError):
    """Parameters that a recipe cannot work with. The message says what was expected."""


def stream(seed: int, kind: int, *numbers: int) -> np.random.Generator:
    """The random stream of one thing, such as texture 12 of `pit`: `stream(seed, PIT_TEXTURE, 12)`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, *numbers)))


@dataclasses.dataclass(frozen=True)
class Person:
    """What an identity keeps.

    Attributes:
        appearance, shape: Texture and body.
        accessories: What the person has along.
        look_alike: Of a group of look-alikes, the number of its first person; None for somebody of their own.
    """

    appearance: Appearance
    shape: body.BodyShape
    accessories: tuple[Accessory, ...]
    look_alike: int | None = None


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


@dataclasses.dataclass(frozen=True)
class OpenRecipe:
    """What the recipes of the open body share: a field for each topic, with its distributions.

    Attributes:
        seed: Every random stream starts from it.
        wardrobe: What people wear.
        accessories: What they have along besides.
        occluders: What stands before a person.
        crowd: Who else is in the picture.
        framing: How a detector's box sits around a person.
        light: Day and night.
        photo: What cameras and lenses do to a picture.
        scenes: Where cameras hang.
        cloth_dir: A folder of photographs of cloth to dress people in (`wardrobe.cloth_share`), "" for none.
        background_dir: A folder of photographs to use as backgrounds (`scenes.photo_share`), "" for none.
    """

    name: ClassVar[str]
    notes: ClassVar[str] = NOTES

    seed: int = 0
    wardrobe: Wardrobe = dataclasses.field(default_factory=Wardrobe)
    accessories: AccessoryShares = dataclasses.field(default_factory=AccessoryShares)
    occluders: OccluderShares = dataclasses.field(default_factory=OccluderShares)
    crowd: CrowdShares = dataclasses.field(default_factory=CrowdShares)
    framing: FramingShares = dataclasses.field(default_factory=FramingShares)
    light: LightShares = dataclasses.field(default_factory=LightShares)
    photo: PhotoRanges = dataclasses.field(default_factory=PhotoRanges)
    scenes: SceneShares = dataclasses.field(default_factory=SceneShares)
    cloth_dir: str = ""
    background_dir: str = ""

    @functools.cached_property
    def _cloths(self) -> PhotoFolder | None:
        return PhotoFolder(self.cloth_dir) if self.cloth_dir else None

    @functools.cached_property
    def _backdrops(self) -> PhotoFolder | None:
        return PhotoFolder(self.background_dir) if self.background_dir else None

    @property
    def license(self) -> str:
        """The licence of the pictures, for the manifest's header."""
        folders = [name for name in ("cloth_dir", "background_dir") if getattr(self, name)]
        return PHOTO_LICENSE.format(folders=" and ".join(folders)) if folders else LICENSE

    def studio(self) -> "Studio":
        """What draws the recipe's records. One a process."""
        return Studio(cloths=self._cloths, backdrops=self._backdrops)

    def mirror_map(self) -> np.ndarray:
        """How the recipe's textures are mirrored, uint16 [256 256 2], see `render.figure.mirror`."""
        return mirror.body_mirror_map(body.load_body())

    def parameters(self) -> dict[str, Any]:
        """Everything but the seed that the pairs depend on, for the manifest's header: JSON values.

        A folder of photographs counts by what is in it, not by its path. Every photograph is opened here, before work
        that takes long.

        Raises:
            render.scene.photo_folder.PhotoFolderError: Photographs that cannot be used; lists all of a folder.
        """
        fields = dataclasses.asdict(self)
        del fields["seed"]
        for name, folder in (("cloth_dir", self._cloths), ("background_dir", self._backdrops)):
            fields[name] = None
            if folder is not None:
                folder.check()
                fields[name] = {"files": len(folder.names), "digest": folder.digest}
        return json.loads(files.canonical_json({**fields, "drawing_version": DRAWING_VERSION}))

    def sample_appearance(self, rng: np.random.Generator) -> Appearance:
        """Draws what somebody looks like."""
        cloths = () if self._cloths is None else self._cloths.names
        return sample_appearance(rng, self.wardrobe, cloths)

    def sample_person(self, rng: np.random.Generator, appearance: Appearance | None = None) -> Person:
        """Draws somebody; what they look like may be given."""
        appearance = self.sample_appearance(rng) if appearance is None else appearance
        shape = body.sample_shape(rng, appearance)
        return Person(appearance, shape, sample_accessories(rng, appearance, self.accessories))

    def sample_place(self, rng: np.random.Generator, *, height: float | None = None) -> Place:
        """Draws a camera; `height` in metres fixes its height."""
        site = camera.sample_site(rng, height=height)
        return Place(
            site=site,
            look=photo.sample_look(rng, self.photo),
            scene_kind=backgrounds.sample_kind(rng, site, self.scenes),
            scene_seed=int(rng.integers(1 << 32)),
            path=float(rng.uniform(0.0, 2.0 * math.pi)),
        )

    def sample_picture(
        self, rng: np.random.Generator, human: Person, place: Place, *, split: str = "train"
    ) -> dict[str, Any]:
        """Draws one picture of a person at a place: the `choices` of a record, JSON values.

        Args:
            rng: Every choice comes from it.
            human: Who; the accessories are those that are seen.
            place: The camera.
            split: In "query_partial" a part of the person is seen, in "query_occluded" something stands before it.
        """
        if rng.uniform() < 0.6:
            yaw = place.path + math.pi * int(rng.integers(2)) + float(rng.normal(0.0, 0.35))
        else:
            yaw = float(rng.uniform(0.0, 2.0 * math.pi))
        position = camera.sample_position(rng, place.site)
        names = () if self._backdrops is None else self._backdrops.names
        backdrop = backgrounds.sample_backdrop(rng, names, self.scenes)
        hidden = ()
        if split != "query_partial":
            shares, always = self.occluders, split == "query_occluded"
            if always:
                shares = dataclasses.replace(shares, cover=shares.query_cover)
            hidden = occluders.sample_occluders(rng, shares, always=always)
        # Each of these splits shows one thing alone.
        framing_kind = {"query_partial": "partial", "query_occluded": "whole"}.get(split)
        return {
            "appearance": human.appearance.to_json(),
            "shape": human.shape.to_json(),
            "accessories": [accessory.to_json() for accessory in human.accessories],
            "look_alike": human.look_alike,
            **place.to_json(),
            "pose": poses.sample_pose(rng, human.accessories).to_json(),
            "position": list(position),
            "yaw": yaw % (2.0 * math.pi),
            "light": light.sample_light(
                rng, self.light, kind="lamp" if place.scene_kind == "station" else None
            ).to_json(),
            "framing": camera.sample_framing(rng, self.framing, kind=framing_kind).to_json(),
            "shot": photo.sample_shot(rng, self.photo).to_json(),
            "background": None if backdrop is None else backdrop.to_json(),
            "crowd": [one.to_json() for one in crowd.sample_crowd(rng, self.crowd, place.site, position)],
            "occluders": [one.to_json() for one in hidden],
        }


class TexturesTimesMeshes:
    """The order of pairs where every texture meets as many meshes: texture by texture."""

    num_textures: int
    meshes_per_texture: int

    @property
    def num_groups(self) -> int:
        return self.num_textures

    @property
    def num_pairs(self) -> int:
        return self.num_textures * self.meshes_per_texture

    def group(self, number: int) -> range:
        """Indices of the pairs of texture `number`."""
        return range(number * self.meshes_per_texture, (number + 1) * self.meshes_per_texture)


@dataclasses.dataclass(frozen=True)
class Pit(TexturesTimesMeshes, OpenRecipe):
    """Textures times meshes, no identities. Defaults are the paper's 929 x 10 = 9,290 pairs."""

    name: ClassVar[str] = "pit"

    num_textures: int = 929
    meshes_per_texture: int = 10

    def __post_init__(self) -> None:
        _check_at_least(self, seed=0, num_textures=1, meshes_per_texture=1)

    def plan(self, index: int) -> manifest.Record:
        """The record of pair `index`, with every choice."""
        texture, mesh = divmod(index, self.meshes_per_texture)
        appearance = self.sample_appearance(stream(self.seed, PIT_TEXTURE, texture))
        rng = stream(self.seed, PIT_MESH, texture, mesh)
        human = self.sample_person(rng, appearance)
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
            choices=self.sample_picture(rng, human, self.sample_place(rng)),
        )


@dataclasses.dataclass(frozen=True)
class KeptShares(Shares):
    """How often a person's accessories are seen: share of the person's pictures, by where they are worn.

    Attributes:
        back, hand, umbrella, phone, head, eyes, neck: The places of `accessories.PLACES`.
        umbrella_open: Of the pictures with an umbrella, those where it is open.
    """

    TOPIC: ClassVar[str] = "kept"

    back: float = 0.95
    hand: float = 0.85
    umbrella: float = 0.9
    phone: float = 0.4
    head: float = 0.85
    eyes: float = 0.95
    neck: float = 0.95
    umbrella_open: float = 0.5

    def sample(self, rng: np.random.Generator, accessories: Sequence[Accessory]) -> tuple[Accessory, ...]:
        """Draws which of a person's accessories one picture shows."""
        seen = []
        for accessory in accessories:
            (place,) = (place for place, kinds in PLACES.items() if accessory.kind in kinds)
            is_seen, is_open = rng.uniform() < getattr(self, place), rng.uniform() < self.umbrella_open
            if place == "umbrella":
                accessory = dataclasses.replace(accessory, kind="umbrella" if is_open else "folded_umbrella")
            if is_seen:
                seen.append(accessory)
        return tuple(seen)


@dataclasses.dataclass(frozen=True)
class PitReid(OpenRecipe):
    """An identity-labelled multi-camera benchmark.

    Order: training identities, then test identities, then distractors (persons seen once, in the gallery only).
    Each identity is seen by at least `queries_per_identity` + 1 cameras. A test identity's first pictures, from
    different cameras, are the queries; the next one, from yet another camera, goes to the gallery with the rest: every
    query has a true match from another camera. Its last pictures are the partial and the occluded queries, from the
    cameras of the queries.

    Attributes:
        kept: How often an identity's accessories are seen.
        num_train_identities, num_test_identities: Persons to train on, and others to test on.
        images_per_identity: Pictures of each of them, partial and occluded queries apart.
        queries_per_identity: Of a test identity's pictures, those in the split `query`.
        partial_queries_per_identity: More pictures of a test identity, each of a part of the person: `query_partial`.
        occluded_queries_per_identity: More pictures, each with something before the person: `query_occluded`.
        num_distractors: Persons seen once.
        num_cameras: Cameras.
        look_alike_share: Share of the training and test identities that belong to a group of look-alikes, who differ
            in small things only: shoes, a logo, hair, a little of the body's shape.
        look_alike_group: Persons in such a group.
    """

    name: ClassVar[str] = "pit_reid"

    kept: KeptShares = dataclasses.field(default_factory=KeptShares)
    num_train_identities: int = 1000
    num_test_identities: int = 500
    images_per_identity: int = 12
    queries_per_identity: int = 2
    partial_queries_per_identity: int = 1
    occluded_queries_per_identity: int = 1
    num_distractors: int = 1000
    num_cameras: int = 6
    look_alike_share: float = 0.6
    look_alike_group: int = 4

    def __post_init__(self) -> None:
        _check_at_least(
            self,
            seed=0,
            num_train_identities=1,
            num_test_identities=1,
            queries_per_identity=1,
            partial_queries_per_identity=0,
            occluded_queries_per_identity=0,
            images_per_identity=self.queries_per_identity + 1,
            num_distractors=0,
            num_cameras=max(6, self.queries_per_identity + 1),
            look_alike_group=2,
        )
        if not 0.0 <= self.look_alike_share <= 1.0:
            raise RecipeError(f"{self.name}: look_alike_share must lie in [0, 1], found {self.look_alike_share}.")
        if self.occluded_queries_per_identity:
            try:
                self.occluders.check_cover("query_cover")
            except ValueError as error:
                raise RecipeError(f"{self.name}: {error}") from None

    @property
    def _sets(self) -> tuple[tuple[int, int, int], ...]:
        """(stream, persons, pictures of each) of training identities, test identities and distractors."""
        more = self.partial_queries_per_identity + self.occluded_queries_per_identity
        return (
            (TRAIN_IDENTITY, self.num_train_identities, self.images_per_identity),
            (TEST_IDENTITY, self.num_test_identities, self.images_per_identity + more),
            (DISTRACTOR, self.num_distractors, 1),
        )

    @property
    def num_groups(self) -> int:
        return sum(persons for _, persons, _ in self._sets)

    @property
    def num_pairs(self) -> int:
        return sum(persons * pictures for _, persons, pictures in self._sets)

    def group(self, number: int) -> range:
        """Indices of the pairs of person `number`."""
        first = 0
        for _, persons, pictures in self._sets:
            if number < persons:
                return range(first + number * pictures, first + (number + 1) * pictures)
            number -= persons
            first += persons * pictures
        raise IndexError(f"{self.name} has {self.num_groups} persons.")

    def _find(self, index: int) -> tuple[int, int]:
        """The person of pair `index`, and which of the person's pictures it is."""
        first = 0
        for _, persons, pictures in self._sets:
            if index < persons * pictures:
                number, picture = divmod(index, pictures)
                return first + number, picture
            index -= persons * pictures
            first += persons
        raise IndexError(f"{self.name} has {self.num_pairs} pairs.")

    def _set(self, number: int) -> tuple[int, int]:
        """The stream of the set of person `number`, and the person's number in that set."""
        for kind, persons, _ in self._sets:
            if number < persons:
                return kind, number
            number -= persons
        raise IndexError(f"{self.name} has {self.num_groups} persons.")

    def person(self, number: int) -> Person:
        """Person `number`. Groups of look-alikes are successive numbers, spread evenly over the identities."""
        kind, position = self._set(number)
        if kind != DISTRACTOR:
            group, member = divmod(position, self.look_alike_group)
            if math.floor((group + 1) * self.look_alike_share) > math.floor(group * self.look_alike_share):
                return self._look_alike(kind, group, member, number - member)
        return self.sample_person(stream(self.seed, kind, position, 0))

    def _look_alike(self, kind: int, group: int, member: int, first: int) -> Person:
        """A member of a group of look-alikes, whose first one is person `first`."""
        groups = TRAIN_LOOK_ALIKES if kind == TRAIN_IDENTITY else TEST_LOOK_ALIKES
        base = self.sample_person(stream(self.seed, groups, group))
        taken: list[Appearance] = []
        while True:
            rng = stream(self.seed, kind, group * self.look_alike_group + len(taken), 0)
            appearance = vary_slightly(rng, base.appearance, self.wardrobe)
            while appearance in taken:  # nobody is somebody else
                appearance = vary_slightly(rng, base.appearance, self.wardrobe)
            if len(taken) == member:
                return Person(appearance, vary_shape(rng, base.shape), base.accessories, look_alike=first)
            taken.append(appearance)

    def place(self, camera_id: int) -> Place:
        """Camera `camera_id`. Heights are spread from eye level to surveillance height, one camera a step."""
        rng = stream(self.seed, CAMERA, camera_id)
        order = stream(self.seed, CAMERA_ORDER).permutation(self.num_cameras)
        step = (int(order[camera_id]) + float(rng.uniform(0.15, 0.85))) / self.num_cameras
        return self.sample_place(rng, height=1.3 * (7.5 / 1.3) ** step)

    def _split(self, kind: int, picture: int) -> str:
        if kind == TRAIN_IDENTITY:
            return "train"
        if kind == DISTRACTOR:
            return "gallery"
        if picture < self.images_per_identity:
            return "query" if picture < self.queries_per_identity else "gallery"
        partial = picture < self.images_per_identity + self.partial_queries_per_identity
        return "query_partial" if partial else "query_occluded"

    def plan(self, index: int) -> manifest.Record:
        """The record of picture `index`, with every choice."""
        number, picture = self._find(index)
        kind, position = self._set(number)
        split = self._split(kind, picture)
        rng = stream(self.seed, kind, position, 2)
        fewest = self.queries_per_identity + 1
        seen_by = rng.permutation(self.num_cameras)[: int(rng.integers(fewest, self.num_cameras + 1))]
        if picture < self.images_per_identity:
            camera_id = int(seen_by[picture % len(seen_by)])
        else:  # a camera of the queries: the gallery has a match from another one
            camera_id = int(seen_by[(picture - self.images_per_identity) % self.queries_per_identity])
        human = self.person(number)
        rng = stream(self.seed, kind, position, 1, picture)
        human = dataclasses.replace(human, accessories=self.kept.sample(rng, human.accessories))
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
            choices=self.sample_picture(rng, human, self.place(camera_id), split=split),
        )


def vary_shape(rng: np.random.Generator, shape: body.BodyShape) -> body.BodyShape:
    """A body that is easily taken for `shape`: within some 3 cm of its height, a little thinner or heavier."""
    deviations = {"muscle": 0.04, "weight": 0.04, "height": 0.02, "proportions": 0.08}
    fields = {
        name: round(float(np.clip(getattr(shape, name) + rng.normal(0.0, deviation), 0.0, 1.0)), 4)
        for name, deviation in deviations.items()
    }
    return dataclasses.replace(shape, **fields)


Recipe = Pit | PitReid
RECIPES: dict[str, type[Pit] | type[PitReid]] = {"pit": Pit, "pit_reid": PitReid}


def make_recipe(fields: Mapping[str, Any]) -> Recipe:
    """The recipe of a config's values: `recipe` (its name) and its fields, those of a topic nested.

    Raises:
        RecipeError: An unknown recipe or field, or an impossible value. The message names the key.
    """
    values = dict(fields)
    name = values.pop("recipe", None)
    if name not in RECIPES:
        raise RecipeError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    types = {field.name: field.type for field in dataclasses.fields(recipe)}
    _check_known(name, values, types)
    for key, value in values.items():
        topic = types[key]
        if isinstance(topic, type) and dataclasses.is_dataclass(topic):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{name}: {key} must be a group of keys, found {value!r}.")
            _check_known(f"{name}: {key}", value, [field.name for field in dataclasses.fields(topic)])
            try:
                values[key] = topic(**value)
            except ValueError as error:
                raise RecipeError(f"{name}: {error}") from None
    return recipe(**values)


def topics(recipe: OpenRecipe) -> dict[str, Any]:
    """The fields of a recipe that are topics, nested, and its folders: what a config holds besides sizes."""
    fields = dataclasses.asdict(recipe)
    shared = {field.name for field in dataclasses.fields(OpenRecipe)} - {"seed"}
    return {name: value for name, value in fields.items() if name in shared or isinstance(value, dict)}


def _check_known(name: str, fields: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise RecipeError(f"{name} has no {', '.join(unknown)}; there are: {', '.join(sorted(known))}.")


def _check_at_least(recipe: Recipe, **least: int) -> None:
    for name, lowest in least.items():
        value = getattr(recipe, name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RecipeError(f"{recipe.name}: {name} must be an integer, found {value!r}.")
        if value < lowest:
            raise RecipeError(f"{recipe.name}: {name} must be at least {lowest}, found {value}.")


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
        self._scene = functools.lru_cache(maxsize=16)(backgrounds.make_scene)

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
            behind = self._background(choices, site, crop, sun, points, others, *alpha.shape)
            picture = color + (1.0 - alpha[..., None]) * behind
        if choices["occluders"]:
            with self._timed("occluders"):
                before = tuple(occluders.Occluder.from_json(fields) for fields in choices["occluders"])
                picture, _ = occluders.draw_occluders(picture, before, crop, sun, points, alpha)
        with self._timed("photograph"):
            look, shot = photo.CameraLook.from_json(choices["look"]), photo.Shot.from_json(choices["shot"])
            return photo.take_photo(picture, look, shot, native_height)

    def _background(
        self,
        choices: dict[str, Any],
        site: camera.CameraSite,
        crop: camera.Camera,
        sun: light.Light,
        points: np.ndarray,
        others: Sequence[crowd.Bystander],
        height: int,
        width: int,
    ) -> np.ndarray:
        if choices["background"] is not None:
            backdrop = backgrounds.Backdrop.from_json(choices["background"])
            pixels = _read(self._backdrops, backdrop.photo, least=backgrounds.PHOTO_SIDE)
            return backgrounds.draw_backdrop(pixels, backdrop, crop, sun, points, height, width, others)
        scene = self._scene(choices["scene"]["kind"], choices["scene"]["seed"], site)
        return backgrounds.draw_background(scene, crop, sun, points, height, width, others)

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


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """JPEG of quality 95 without colour subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG, lossless. Level 4 takes less than half the time of the usual 6, for 4 % more bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
