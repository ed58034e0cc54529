"""Finds pictures that are in two splits byte for byte, which makes scores higher than they are."""

import os
from collections.abc import Iterable, Mapping, Sequence

from datasets.own.sightings import Sighting, first_names
from san_jax.counts import count
from san_jax.files import sha256


def copy_notes(splits: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Name the queries that are in the gallery too, and the tested pictures that are trained on too.

    Args:
        splits: The pictures of each split; their files can be read.
    """
    contents = _contents(one.image for images in splits.values() for one in images if isinstance(one.image, str))

    def among(images: Iterable[Sighting], others: Iterable[Sighting]) -> list[str]:
        found = {contents[one.image] for one in others if one.image in contents}
        return [one.name for one in images if contents.get(one.image) in found]

    query, gallery = splits.get("query", ()), splits.get("gallery", ())
    twice = among(query, gallery)
    trained = among([*query, *gallery], [*splits.get("train", ()), *splits.get("val", ())])
    notes = []
    if twice:
        be = "is" if len(twice) == 1 else "are"
        notes.append(
            f"{count(len(twice), 'query', 'queries')} {be} in the gallery byte for byte, which a search finds first unless "
            f"it drops the query's camera: {first_names(twice)}"
        )
    if trained:
        be = "is" if len(trained) == 1 else "are"
        notes.append(
            f"{count(len(trained), 'picture')} of query and gallery {be} among the training pictures byte for byte: "
            f"{first_names(trained)}"
        )
    return notes


def _contents(files: Iterable[str]) -> dict[object, str]:
    """Return the SHA-256 of each file that has the size of another one."""
    by_size: dict[int, list[str]] = {}
    for file in files:
        by_size.setdefault(os.stat(file).st_size, []).append(file)
    return {file: sha256(file) for same in by_size.values() if len(same) > 1 for file in same}
