"""What the recipes of the open body share: the distributions, and how a person, a place and a picture are drawn.

A recipe has a field for each topic (what people wear, the light, ...), with the distributions of that topic. The class
of a topic stands in the module that samples it, and its docstring explains the numbers.
"""

import dataclasses
import functools
import json
import math
from typing import Any, ClassVar

import numpy as np

from render.figure import body, mirror
from render.optics import camera, light, photo
from render.optics.camera import FramingShares
from render.optics.light import LightShares
from render.optics.photo import PhotoRanges
from render.people import poses, sample
from render.people.accessories import AccessoryShares, sample_accessories
from render.people.appearance import Appearance
from render.people.wardrobe import Wardrobe
from render.recipes.choices import Choices, Person, Place
from render.recipes.studio import Studio
from render.scene import crowd, occluders, world
from render.scene.crowd import CrowdShares
from render.scene.occluders import OccluderShares
from render.scene.photo_folder import PhotoFolder
from render.scene.world import SceneShares
from san_jax import files

# To be raised whenever the same record would be drawn differently, so that no other version finishes a folder.
DRAWING_VERSION = 5

NOTES = (
    "Bags, backpacks, hats, umbrellas and other accessories stand away from the body: they are drawn in the pictures of "
    "a person and are no part of the person's UV texture, nor are occluders and other persons. The frontal view is drawn "
    "without them."
)

LICENSE = (
    "CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/): the body is MakeHuman's, which is CC0, and everything "
    "else is drawn by San-JAX, whose authors claim no rights in its pictures."
)
PHOTO_LICENSE = (
    "The licence of the photographs given as {folders}, which the pictures show; San-JAX does not know it. All else in "
    "the pictures is CC0-1.0."
)


@dataclasses.dataclass(frozen=True)
class OpenRecipe:
    """What the recipes of the open body share: a field for each topic, with its distributions.

    Attributes:
        seed: Seed of every random stream.
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

    def studio(self) -> Studio:
        """Return what draws the recipe's records. A process needs only one."""
        return Studio(cloths=self._cloths, backdrops=self._backdrops)

    def mirror_map(self) -> np.ndarray:
        """Return how the recipe's textures are mirrored, uint16 [256 256 2], see `render.figure.mirror`."""
        return mirror.body_mirror_map(body.load_body())

    def parameters(self) -> dict[str, Any]:
        """Return everything but the seed that the pairs depend on, for the manifest's header: JSON values.

        A folder of photographs counts by its content, not by its path. Every photograph is opened here, before work
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
        """Draw what somebody looks like."""
        cloths = () if self._cloths is None else self._cloths.names
        return sample.sample_appearance(rng, self.wardrobe, cloths)

    def sample_person(self, rng: np.random.Generator, appearance: Appearance | None = None) -> Person:
        """Draw a person; `appearance` may be given."""
        appearance = self.sample_appearance(rng) if appearance is None else appearance
        shape = body.sample_shape(rng, appearance)
        return Person(appearance, shape, sample_accessories(rng, appearance, self.accessories))

    def sample_place(self, rng: np.random.Generator, *, height: float | None = None) -> Place:
        """Draw a camera; `height` in metres fixes its height."""
        site = camera.sample_site(rng, height=height)
        return Place(
            site=site,
            look=photo.sample_look(rng, self.photo),
            scene_kind=world.sample_kind(rng, site, self.scenes),
            scene_seed=int(rng.integers(1 << 32)),
            path=float(rng.uniform(0.0, 2.0 * math.pi)),
        )

    def sample_picture(self, rng: np.random.Generator, human: Person, place: Place, *, split: str = "train") -> Choices:
        """Draw one picture of a person at a place.

        Args:
            rng: Every choice comes from it.
            human: Who is seen; the accessories are those that the picture shows.
            place: The camera.
            split: In "query_partial" a part of the person is seen, in "query_occluded" something stands before the
                person.
        """
        yaw = _sample_yaw(rng, place.path)
        position = camera.sample_position(rng, place.site)
        names = () if self._backdrops is None else self._backdrops.names
        backdrop = world.sample_backdrop(rng, names, self.scenes)
        hidden = ()
        if split != "query_partial":
            shares, always = self.occluders, split == "query_occluded"
            if always:
                shares = dataclasses.replace(shares, cover=shares.query_cover)
            hidden = occluders.sample_occluders(rng, shares, always=always)
        # Each of these splits shows one thing alone.
        framing_kind = {"query_partial": "partial", "query_occluded": "whole"}.get(split)
        light_kind = "lamp" if place.scene_kind == "station" else None
        return Choices(
            person=human,
            place=place,
            pose=poses.sample_pose(rng, human.accessories),
            position=position,
            yaw=yaw,
            light=light.sample_light(rng, self.light, kind=light_kind),
            framing=camera.sample_framing(rng, self.framing, kind=framing_kind),
            shot=photo.sample_shot(rng, self.photo),
            background=backdrop,
            crowd=crowd.sample_crowd(rng, self.crowd, place.site, position),
            occluders=hidden,
        )


def _sample_yaw(rng: np.random.Generator, path: float) -> float:
    """Draw the direction that a person faces, radians: mostly along the path, one way or the other."""
    if rng.uniform() < 0.6:
        yaw = path + math.pi * int(rng.integers(2)) + float(rng.normal(0.0, 0.35))
    else:
        yaw = float(rng.uniform(0.0, 2.0 * math.pi))
    return yaw % (2.0 * math.pi)
