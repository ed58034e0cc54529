"""Chooses splits by a seed where a user's data have none: persons to train and to test on, and queries of the latter."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from datasets.own.sightings import SPLITS, TEST, Sighting, persons_of
from datasets.own.words import in_order

# Purposes of random streams.
_PERSONS, _QUERIES = range(2)


def drops_same_camera(cameras: Iterable[str]) -> bool:
    """Return whether the Market-1501 rule can be applied: whether there are two cameras or more.

    With one, or where none is known, it would drop every correct match.
    """
    return len(set(cameras) - {""}) > 1


def choose(sightings: Sequence[Sighting], *, seed: int, test_share: float) -> dict[str, list[Sighting]]:
    """Return the pictures of each split that is not empty, in their order.

    The persons of pictures without a split are shared out between train and test; then for each test person and camera
    one picture becomes a query if all queries of that person keep a correct match in the gallery.

    Args:
        sightings: Pictures; those with a split of `SPLITS` keep it.
        seed: Seed of both choices.
        test_share: Share of the persons that are tested on. At least one person is left on either side of 0 and 1.
    """
    shared_out = persons_of([one for one in sightings if not one.split])
    tested = _tested(list(shared_out), seed, test_share)
    sightings = [
        one if one.split else dataclasses.replace(one, split=TEST if one.person in tested else "train")
        for one in sightings
    ]
    test = [one for one in sightings if one.split == TEST]
    across = drops_same_camera(one.camera for one in test)
    queries: set[str] = set()
    for number, (_, images) in enumerate(_in_order(persons_of(test))):
        rng = np.random.default_rng([seed, _QUERIES, number])
        queries |= {images[index].name for index in choose_queries([one.camera for one in images], rng, across=across)}
    splits: dict[str, list[Sighting]] = {split: [] for split in SPLITS}
    for one in sightings:
        splits[one.split if one.split != TEST else "query" if one.name in queries else "gallery"].append(one)
    return {split: images for split, images in splits.items() if images}


def _in_order(persons: dict[str, list[Sighting]]) -> list[tuple[str, list[Sighting]]]:
    """Return persons and their pictures in an order that does not depend on the order of the files or rows."""
    return [(person, sorted(persons[person], key=lambda one: one.name)) for person in in_order(persons)]


def _tested(persons: Sequence[str], seed: int, test_share: float) -> set[str]:
    """Return the persons to test on."""
    number = round(test_share * len(persons))
    if 0.0 < test_share < 1.0:
        number = min(max(number, 1), len(persons) - 1)
    order = np.random.default_rng([seed, _PERSONS]).permutation(len(persons))
    ordered = in_order(persons)
    return {ordered[index] for index in order[: max(number, 0)]}


def choose_queries(cameras: Sequence[str], rng: np.random.Generator, *, across: bool) -> list[int]:
    """Return which of a test person's pictures are queries: one of each camera, as far as all keep a match.

    Args:
        cameras: The camera of each of the person's pictures.
        rng: Chooses the order of the cameras, and a picture of each.
        across: Whether a match must be of another camera.
    """
    pictures = range(len(cameras))
    gallery, queries = list(pictures), list[int]()
    known = in_order(set(cameras)) if across else [""]
    for camera in (known[index] for index in rng.permutation(len(known))):
        candidates = [one for one in pictures if not across or cameras[one] == camera]
        chosen = candidates[rng.integers(len(candidates))]
        left = [one for one in gallery if one != chosen]
        asked = [*queries, chosen]
        if all(any(not across or cameras[one] != cameras[query] for one in left) for query in asked):
            queries, gallery = asked, left
    return queries
