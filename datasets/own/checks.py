"""What is wrong with a user's pictures taken together, and what training and scoring cannot do with them."""

import pathlib
import re
from collections.abc import Mapping, Sequence

from datasets.own.sightings import Sighting, first_names, persons_of
from datasets.own.splits import drops_same_camera
from datasets.own.words import in_order
from san_jax.counts import count

_TRAINING, _TESTED = ("train", "val"), ("query", "gallery")


def problems_of(root: pathlib.Path, sightings: Sequence[Sighting]) -> tuple[list[Sighting], list[str]]:
    """Return the pictures that can be taken together, and a line for each of the others."""
    problems: list[str] = []
    kept: list[Sighting] = []
    has_cameras = any(one.camera for one in sightings)
    stems: dict[str, str] = {}
    for one in sightings:
        stem = str(pathlib.PurePosixPath(one.name).with_suffix(""))
        first = stems.setdefault(stem, one.name)
        if first != one.name:
            problems.append(
                f"{root / one.name}: differs from {first} in its suffix only, and pseudo textures have names without "
                "suffixes; rename one of them"
            )
        elif has_cameras and not one.camera:
            problems.append(f"{root / one.name}: no camera, where other pictures have one")
        elif re.fullmatch(r"-\d+(\.0)?", one.person):
            problems.append(
                f"{root / one.name}: expected a person, found {one.person}; leave the picture out or, if it is to be "
                "in the gallery as nobody who is searched for, number its person"
            )
        else:
            kept.append(one)
    return kept, problems


def unsplittable(sightings: Sequence[Sighting], test_share: float) -> str:
    """Return why persons cannot be shared out between train and test; "" where they can."""
    persons = {one.person for one in sightings if not one.split}
    if len(persons) == 1 and 0.0 < test_share < 1.0:
        return (
            f"there is only one person, {persons.pop()!r}, who cannot be both trained and tested on. Give the folder "
            "in which the folders of the persons lie, or with --test_share=0 or 1 only train or only test"
        )
    return ""


def split_problems(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Return a line for each split that is lacking beside the others."""
    lacking = {"query": "gallery", "gallery": "query"}
    problems = [
        f"no picture in the split {split!r}"
        for split, other in lacking.items()
        if other in splits and split not in splits
    ]
    if problems and "gallery" in splits:
        problems[0] += (
            f": none of the {count(len(persons_of(splits['gallery'])), 'test person')} has two pictures"
            + (" of different cameras" if drops_same_camera(one.camera for one in splits["gallery"]) else "")
            + ", a query and a match. Give more pictures, or --test_share=0 to only train"
        )
    return problems


def notes_of(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Say which persons can never be scored or are seen in training, and what is done without cameras."""
    return [*_camera_notes(splits), *_unscored_notes(splits), *_training_notes(splits), *_overlap_notes(splits)]


def _tested(splits: Mapping[str, Sequence[Sighting]]) -> list[Sighting]:
    return [one for split in _TESTED for one in splits.get(split, ())]


def _camera_notes(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    tested = _tested(splits)
    cameras = {one.camera for one in tested} - {""}
    if not tested or len(cameras) > 1:
        return []
    what = f"query and gallery are of one camera, {cameras.pop()}" if cameras else "no camera is known"
    return [
        f"{what}: the rule of the benchmarks, which drops matches of the query's own camera, would drop all of them. "
        "evaluate scores without it (--same_camera=keep) and says so; such scores are higher than across cameras"
    ]


def _unscored_notes(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Name the persons of query and gallery that are never scored."""
    tested = _tested(splits)
    across = drops_same_camera(one.camera for one in tested)
    queries, gallery = persons_of(splits.get("query", ())), persons_of(splits.get("gallery", ()))
    reasons: dict[str, list[str]] = {}
    for person in in_order({*queries, *gallery}):
        reason = _unscored_reason(queries.get(person, ()), gallery.get(person, ()), across=across)
        if reason:
            reasons.setdefault(reason, []).append(person)
    total = count(len({*queries, *gallery}), "test person")
    return [
        f"{len(persons):,} of {total} can never be scored, {reason}: {first_names(persons)}"
        for reason, persons in reasons.items()
    ]


def _unscored_reason(query: Sequence[Sighting], gallery: Sequence[Sighting], *, across: bool) -> str:
    """Return why no query of a person has a correct match; "" where one has."""
    if not gallery:
        return "having no picture in the gallery"
    if query and not across:
        return ""
    if query and any(one.camera != other.camera for one in query for other in gallery):
        return ""
    if query:
        return "having gallery pictures of the query's own camera only"
    if len(gallery) == 1:
        return "having a single picture, which stays in the gallery as a wrong match for others"
    if across and len({one.camera for one in gallery}) == 1:
        return "being seen by one camera only; they stay in the gallery as wrong matches for others"
    return "having no query; they stay in the gallery as wrong matches for others"


def _training_notes(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    persons = persons_of([one for split in _TRAINING for one in splits.get(split, ())])
    single = [person for person in in_order(persons) if len(persons[person]) == 1]
    notes = []
    if len(persons) == 1:
        notes.append(
            f"only one person to train on, {in_order(persons)[0]}: training tells persons apart and needs two at least. "
            "Give pictures of more persons, or a lower --test_share"
        )
    if not single:
        return notes
    return [
        *notes,
        f"training persons with a single picture, which a batch repeats: {len(single):,} of {len(persons):,}; the triplet "
        f"losses learn from them as other persons only: {first_names(single)}",
    ]


def _overlap_notes(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    trained = {one.person for split in _TRAINING for one in splits.get(split, ())}
    both = in_order(trained & {one.person for one in _tested(splits)})
    if not both:
        return []
    return [
        f"persons both in the training pictures and in query or gallery: {len(both):,}, which makes scores higher than on "
        f"new persons: {first_names(both)}"
    ]
