"""`pit_reid`, a re-identification benchmark.

An identity keeps body shape and texture, and changes pose, view and camera.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from render import manifest
from render.figure import body
from render.people import sample
from render.people.accessories import PLACES, Accessory
from render.people.appearance import Appearance
from render.recipes.base import (
    CAMERA,
    CAMERA_ORDER,
    DISTRACTOR,
    TEST_IDENTITY,
    TEST_LOOK_ALIKES,
    TRAIN_IDENTITY,
    TRAIN_LOOK_ALIKES,
    RecipeError,
    check_at_least,
    stream,
)
from render.recipes.choices import Person, Place
from render.recipes.open_recipe import OpenRecipe
from render.shares import Shares
from san_jax.counts import count


@dataclasses.dataclass(frozen=True)
class KeptShares(Shares):
    """How often a person's accessories are seen: share of the person's pictures, by where they are worn.

    Attributes:
        back, hand, umbrella, phone, head, eyes, neck: The places of `accessories.PLACES`.
        umbrella_open: Share of the pictures with an umbrella in which it is open.
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
        """Draw which of a person's accessories one picture shows."""
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
        num_train_identities, num_test_identities: Number of persons to train on, and of others to test on.
        images_per_identity: Pictures of each of them, not counting partial and occluded queries.
        queries_per_identity: How many of a test identity's pictures are in the split `query`.
        partial_queries_per_identity: More pictures of a test identity, in `query_partial`, of a part of the person.
        occluded_queries_per_identity: More pictures, in `query_occluded`, with something before the person.
        num_distractors: Number of persons who are seen once.
        num_cameras: Number of cameras.
        look_alike_share: Share of the training and test identities that belong to a group of look-alikes, who differ
            in small things only: shoes, a logo, hair, a little of the body's shape.
        look_alike_group: Number of persons in such a group.
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
        check_at_least(
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
        """For training identities, test identities and distractors: (stream, number of persons, pictures of each)."""
        more = self.partial_queries_per_identity + self.occluded_queries_per_identity
        return (
            (TRAIN_IDENTITY, self.num_train_identities, self.images_per_identity),
            (TEST_IDENTITY, self.num_test_identities, self.images_per_identity + more),
            (DISTRACTOR, self.num_distractors, 1),
        )

    @functools.cached_property
    def _widths(self) -> tuple[int, int, int]:
        """Digits of a person, a camera and a picture in names, so that names sort as numbers do."""
        most = max(pictures for _, _, pictures in self._sets)
        return max(4, _digits(self.num_groups)), _digits(self.num_cameras), max(2, _digits(most))

    @property
    def num_groups(self) -> int:
        return sum(persons for _, persons, _ in self._sets)

    @property
    def num_pairs(self) -> int:
        return sum(persons * pictures for _, persons, pictures in self._sets)

    def group(self, number: int) -> range:
        """Return the indices of the pairs of person `number`."""
        first = 0
        for _, persons, pictures in self._sets:
            if number < persons:
                return range(first + number * pictures, first + (number + 1) * pictures)
            number -= persons
            first += persons * pictures
        raise IndexError(f"{self.name} has {count(self.num_groups, 'person')}.")

    def _find(self, index: int) -> tuple[int, int]:
        """Return the person of pair `index`, and which of the person's pictures it is."""
        first = 0
        for _, persons, pictures in self._sets:
            if index < persons * pictures:
                number, picture = divmod(index, pictures)
                return first + number, picture
            index -= persons * pictures
            first += persons
        raise IndexError(f"{self.name} has {count(self.num_pairs, 'pair')}.")

    def _set(self, number: int) -> tuple[int, int]:
        """Return the stream of the set that person `number` belongs to, and the person's number in that set."""
        for kind, persons, _ in self._sets:
            if number < persons:
                return kind, number
            number -= persons
        raise IndexError(f"{self.name} has {count(self.num_groups, 'person')}.")

    def person(self, number: int) -> Person:
        """Return person `number`.

        Look-alikes have successive numbers; their groups are spread evenly over the identities.
        """
        latest = self.__dict__.get("_latest")  # pictures of a person follow one another
        if latest is None or latest[0] != number:
            latest = number, self._draw_person(number)
            self.__dict__["_latest"] = latest  # the class is frozen, and this no field
        return latest[1]

    def _draw_person(self, number: int) -> Person:
        kind, position = self._set(number)
        if kind != DISTRACTOR:
            group, member = divmod(position, self.look_alike_group)
            if math.floor((group + 1) * self.look_alike_share) > math.floor(group * self.look_alike_share):
                return self._look_alike(kind, group, member, number - member)
        return self.sample_person(stream(self.seed, kind, position, 0))

    def _look_alike(self, kind: int, group: int, member: int, first: int) -> Person:
        """Return a member of a group of look-alikes, whose first one is person `first`."""
        groups = TRAIN_LOOK_ALIKES if kind == TRAIN_IDENTITY else TEST_LOOK_ALIKES
        base = self.sample_person(stream(self.seed, groups, group))
        taken: list[Appearance] = []
        while True:
            rng = stream(self.seed, kind, group * self.look_alike_group + len(taken), 0)
            appearance = sample.vary_slightly(rng, base.appearance, self.wardrobe)
            while appearance in taken:  # nobody is somebody else
                appearance = sample.vary_slightly(rng, base.appearance, self.wardrobe)
            if len(taken) == member:
                return Person(appearance, vary_shape(rng, base.shape), base.accessories, look_alike=first)
            taken.append(appearance)

    def place(self, camera_id: int) -> Place:
        """Return camera `camera_id`. Heights are spread from eye level to surveillance height, one camera a step."""
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
        """Return the record of picture `index`, with every choice."""
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
        person_width, camera_width, picture_width = self._widths
        person = f"{number:0{person_width}d}"
        name = f"{person}_c{camera_id:0{camera_width}d}_{picture:0{picture_width}d}"
        return manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{person}.png",
            frontal=None,
            texture_id=number,
            split=split,
            person_id=number,
            camera_id=camera_id,
            choices=self.sample_picture(rng, human, self.place(camera_id), split=split).to_json(),
        )


def _digits(total: int) -> int:
    """Return how many digits the last of `total` things has, counted from 0."""
    return len(str(max(total - 1, 0)))


def vary_shape(rng: np.random.Generator, shape: body.BodyShape) -> body.BodyShape:
    """Draw a body that is easily taken for `shape`: within some 3 cm of its height, a little thinner or heavier."""
    deviations = {"muscle": 0.04, "weight": 0.04, "height": 0.02, "proportions": 0.08}
    fields = {
        name: round(float(np.clip(getattr(shape, name) + rng.normal(0.0, deviation), 0.0, 1.0)), 4)
        for name, deviation in deviations.items()
    }
    return dataclasses.replace(shape, **fields)
