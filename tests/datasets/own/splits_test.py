"""Splits by seed: persons apart, and queries that all have a match."""

import collections
import random

import numpy as np
import pytest

from datasets.own import checks, splits
from datasets.own.sightings import Sighting
from datasets.own.words import in_order, number_cameras, number_persons


def _pictures(persons: dict[str, dict[str, int]]) -> list[Sighting]:
    """Pictures of persons: how many each camera has of each."""
    return [
        Sighting(f"{person}/{camera}_{number}.jpg", "", person, camera)
        for person, cameras in persons.items()
        for camera, count in cameras.items()
        for number in range(count)
    ]


def _many(seed: int, cameras: int) -> list[Sighting]:
    rng = np.random.default_rng(seed)
    words = [f"c{number}" for number in range(cameras)] if cameras else [""]
    return _pictures({f"p{person}": {word: int(rng.integers(0, 4)) for word in words} for person in range(40)})


def _unscored(found: dict[str, list[Sighting]], *, across: bool) -> list[Sighting]:
    """The queries without a correct match, one by one."""
    return [
        query
        for query in found["query"]
        if not any(
            one.person == query.person and (not across or one.camera != query.camera) for one in found["gallery"]
        )
    ]


@pytest.mark.parametrize("cameras", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_persons_are_apart_and_every_query_has_a_match(seed: int, cameras: int):
    pictures = _many(seed, cameras)
    found = splits.choose(pictures, seed=seed, test_share=0.5)
    assert sorted(one.name for split in found.values() for one in split) == sorted(one.name for one in pictures)
    persons = {split: {one.person for one in images} for split, images in found.items()}
    assert persons["train"].isdisjoint(persons["query"] | persons["gallery"])
    total = len({one.person for one in pictures})
    assert len(persons["query"] | persons["gallery"]) == round(total / 2)
    assert _unscored(found, across=cameras > 1) == []
    # One query a person and camera; without cameras one a person.
    visits = collections.Counter((one.person, one.camera) for one in found["query"])
    assert set(visits.values()) == {1}
    # Nobody who could be scored is left without a query.
    for person in persons["gallery"] - persons["query"]:
        images = [one for one in found["gallery"] if one.person == person]
        assert len(images) == 1 or (cameras > 1 and len({one.camera for one in images}) == 1)


def test_the_seed_decides_and_the_order_of_the_files_does_not():
    pictures = _many(0, 3)
    shuffled = random.Random(0).sample(pictures, len(pictures))

    def chosen(images, seed):
        return {
            (split, one.name)
            for split, found in splits.choose(images, seed=seed, test_share=0.3).items()
            for one in found
        }

    assert chosen(pictures, 1) == chosen(shuffled, 1)
    assert len({frozenset(chosen(pictures, seed)) for seed in range(4)}) == 4


@pytest.mark.parametrize(("share", "expected"), [(0.0, {"train"}), (1.0, {"query", "gallery"})])
def test_a_share_of_0_or_1_leaves_a_part_out(share: float, expected: set[str]):
    assert splits.choose(_many(0, 3), seed=0, test_share=share).keys() == expected


def test_splits_that_are_given_stay_and_test_is_divided():
    given = {"train": "a", "val": "b", "query": "c", "gallery": "c", "test": "d"}
    pictures = [
        Sighting(f"{split}{n}.jpg", "", person, f"c{n}", split) for split, person in given.items() for n in (0, 1)
    ]
    found = splits.choose(pictures, seed=0, test_share=0.5)
    names = {split: sorted(one.name for one in images) for split, images in found.items()}
    assert names["train"] == ["train0.jpg", "train1.jpg"]
    assert names["val"] == ["val0.jpg", "val1.jpg"]
    assert [name for name in names["query"] if "test" not in name] == ["query0.jpg", "query1.jpg"]
    assert len([name for name in names["query"] if "test" in name]) == 1
    assert len([name for name in names["gallery"] if "test" in name]) == 1


# -------------------------------------------------------------------------------------------------------------- checks


def test_who_can_never_be_scored_is_named_with_the_reason():
    query = _pictures({"anna": {"door": 1}, "bob": {"door": 1}, "eve": {"yard": 1}})
    gallery = _pictures({"anna": {"yard": 1}, "bob": {"door": 2}, "ida": {"yard": 3}, "jo": {"yard": 1}})
    notes = checks.notes_of({"query": query, "gallery": gallery})
    assert notes == [
        "1 of 5 test persons can never be scored, having gallery pictures of the query's own camera only: bob",
        "1 of 5 test persons can never be scored, having no picture in the gallery: eve",
        "1 of 5 test persons can never be scored, being seen by one camera only; they stay in the gallery as wrong matches "
        "for others: ida",
        "1 of 5 test persons can never be scored, having a single picture, which stays in the gallery as a wrong match for "
        "others: jo",
    ]


def test_only_the_first_names_are_given():
    gallery = _pictures({f"p{number}": {"": 1} for number in range(12)})
    query = _pictures({"anna": {"": 1}})
    notes = checks.notes_of({"query": query, "gallery": [*gallery, *_pictures({"anna": {"": 2}})[1:]]})
    assert "12 of 13 test persons can never be scored" in notes[1]
    assert notes[1].endswith(": p0, p1, p2, p3, p4 and 7 more")


@pytest.mark.parametrize(
    ("camera", "what"), [("", "no camera is known"), ("door", "query and gallery are of one camera, door")]
)
def test_one_camera_is_said_with_what_evaluation_does(camera: str, what: str):
    pictures = _pictures({"anna": {camera: 2}})
    (note,) = checks.notes_of({"query": pictures[:1], "gallery": pictures[1:]})
    assert note.startswith(f"{what}: the rule of the benchmarks")
    assert "(--same_camera=keep)" in note


def test_single_pictures_and_persons_on_both_sides_are_named():
    train = _pictures({"anna": {"a": 1}, "bob": {"a": 2}})
    query, gallery = _pictures({"bob": {"b": 1}}), _pictures({"bob": {"c": 1}})
    notes = checks.notes_of({"train": train, "query": query, "gallery": gallery})
    assert len(notes) == 2
    assert notes[0].startswith("training persons with a single picture, which a batch repeats: 1 of 2;")
    assert notes[0].endswith(": anna")
    assert notes[1].startswith(
        "persons both in the training pictures and in query or gallery: 1, which makes scores higher"
    )


def test_one_person_to_train_on_is_said_before_training_refuses_it():
    (note,) = checks.notes_of({"train": _pictures({"anna": {"a": 2}})})
    assert note.startswith("only one person to train on, anna: training tells persons apart and needs two at least")


# --------------------------------------------------------------------------------------------------------------- words


def test_words_are_ordered_as_people_count():
    assert in_order(["cam10", "cam2", "Cam1", "b", "10", "9", "cam2"]) == ["9", "10", "Cam1", "b", "cam2", "cam10"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["7", "1500", "2"], {"2": 2, "7": 7, "1500": 1500}),
        (["0002", "10"], {"0002": 2, "10": 10}),
        (["7", "007"], {"007": 0, "7": 1}),  # two persons
        (["anna", "7"], {"7": 0, "anna": 1}),
        (["1", str(2**31)], {"1": 0, str(2**31): 1}),  # readers keep ids in int32
        (["1", "１"], {"1": 0, "１": 1}),  # a digit of another script is a word
    ],
)
def test_persons_keep_their_numbers_or_get_some(words: list[str], expected: dict[str, int]):
    assert number_persons(words) == expected


def test_cameras_are_numbered_from_0_and_unknown_ones_are_minus_1():
    assert number_cameras(["c10", "c2", ""]) == {"c2": 0, "c10": 1, "": -1}
