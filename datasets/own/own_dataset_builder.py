"""Datasets of a user's own pictures, named when they are made; see `builder_class`."""

import dataclasses
import json
import os
import pathlib
import types
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets.builder import Archive
from datasets.errors import DatasetError, problems_error
from datasets.examples import Example, label_train, time_feature, tracked_features
from datasets.images import ImageSource
from datasets.listing import ListedBuilder, Listing
from datasets.own import checks, copies, folders, source_lines, splits, table, tracks
from datasets.own.sightings import Found, Sighting
from datasets.own.words import number_cameras, number_persons
from san_jax import pictures
from san_jax.own_settings import TOLD, OwnSettings

NAMES_FILE = "names.json"  # beside the shards: the words of the persons and cameras


class OwnBuilder(ListedBuilder, skip_registration=True):
    """Pictures in any of the layouts that `OwnSettings` names, with the features of a benchmark.

    `names.json` lies beside the shards: `{"persons": {"7": "anna"}, "cameras": {"0": "door"}}`, id -> word.

    Attributes:
        settings: Where persons, cameras and splits stand.
        tell: Called with what was understood, a line at a time, before any picture is opened.
    """

    ADVICE = folders.ADVICE
    OTHERWISE = "from another source or with other settings"

    def __init__(self, *, settings: OwnSettings, tell: Callable[[str], object], **kwargs: Any):
        self.settings = settings
        self.tell = tell
        self._listed: list[Sighting] = []
        self._chosen: dict[str, list[Sighting]] = {}
        super().__init__(**kwargs)

    @property
    def title(self) -> str:
        return f"dataset {self.name}"

    def features(self) -> dict[str, Any]:
        more = tracked_features() if self.settings.boxes else {}
        if self.settings.time_column:
            more["time"] = time_feature("When it was taken, seconds, since 1970 where the table has dates")
        return super().features() | more

    @property
    def _facts(self) -> list[str]:
        """Names of the features that are fields of a `Sighting`."""
        return [name for name in ("time", "track") if name in self.features()]

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        root = pathlib.Path(manual_dir)
        if not root.is_dir():
            what = "a file; unpack an archive first" if root.exists() else "nothing there"
            raise DatasetError(f"{root}: expected a folder of pictures, found {what}.\n{self.ADVICE}")
        found = _read(root, self.settings)
        found.sightings[:] = map(_composed, found.sightings)
        for line in found.notes:
            self.tell(pictures.printable(line))
        sightings, problems = checks.problems_of(root, found.sightings)
        problems = [*found.problems, *problems]
        if not sightings:
            raise problems_error(f"{root}: no picture can be taken", problems, self.ADVICE)
        self._listed = sightings
        examples = self._choose(root, sightings, problems)
        listing = Listing(examples, {}, problems, found.files, _settings_text(self.settings, root))
        metadata = {
            "protocol": _protocol(self.name, self.settings, self._chosen),
            **{name: words for name in TOLD if (words := getattr(self.settings, name))},
        }
        archive = self.as_archive(root, listing, license=self.settings.license, expected={}, metadata=metadata)
        files = {
            NAMES_FILE: _names_file(*_numbers(sightings)),
            source_lines.SOURCE_FILE: source_lines.to_bytes(archive.source_lines),
        }
        return dataclasses.replace(archive, extra_files=files)

    def differences(self, archive: Archive, folder: pathlib.Path) -> list[str]:
        there = source_lines.read(folder)
        return source_lines.differences(there, archive.source_lines) if there else []

    def usable(self, archive: Archive) -> Archive:
        usable = super().usable(archive)
        notes = [*checks.notes_of(self._chosen), *copies.copy_notes(self._chosen)]
        return dataclasses.replace(usable, metadata={**usable.metadata, "notes": [*map(pictures.printable, notes)]})

    def without(self, archive: Archive, unusable: Mapping[str | ImageSource, str]) -> dict[str, list[Example]]:
        """Choose splits and queries again, of the pictures that can be used; ids stay what they were."""
        whole = super().without(archive, unusable)
        left = {example["name"] for examples in whole.values() for example in examples}
        sightings = [one for one in self._listed if one.name in left]
        examples = self._choose(archive.root, sightings, [*archive.problems, *unusable.values()])
        return {split: examples.get(split, []) for split in archive.splits}

    def _choose(
        self, root: pathlib.Path, sightings: Sequence[Sighting], problems: Sequence[str]
    ) -> dict[str, list[Example]]:
        """Choose the split of each picture that can be taken, and return the examples of each split.

        Raises:
            DatasetError: They cannot be split, or not be scored on; `problems` says what became of the others.
        """
        if reason := checks.unsplittable(sightings, self.settings.test_share):
            raise problems_error(f"{root} cannot be split", [reason, *problems], self.ADVICE)
        self._chosen = splits.choose(sightings, seed=self.settings.seed, test_share=self.settings.test_share)
        if lacking := checks.split_problems(self._chosen):
            raise problems_error(f"{root} cannot be scored on", [*lacking, *problems], self.ADVICE)
        examples = _examples(self._chosen, *_numbers(self._listed), facts=self._facts)
        label_train([*examples.get("train", ()), *examples.get("val", ())])
        return examples


def builder_class(name: str, settings: OwnSettings) -> type[OwnBuilder]:
    """Return the builder of a dataset of own pictures, whose advice is on the layout that the settings name."""
    advice = table.ADVICE if settings.table else tracks.ADVICE if settings.boxes else folders.ADVICE
    return types.new_class(
        "Builder",
        (OwnBuilder,),
        {"skip_registration": True},
        lambda namespace: namespace.update({"name": name, "ADVICE": advice, "__module__": __name__}),
    )


def _numbers(sightings: Sequence[Sighting]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the ids of persons and cameras by their words."""
    return number_persons(one.person for one in sightings), number_cameras(one.camera for one in sightings)


def _read(root: pathlib.Path, settings: OwnSettings) -> Found:
    if settings.table:
        return table.read_table(root, settings)
    return tracks.read_tracks(root, settings) if settings.boxes else folders.read_folders(root, settings)


def _composed(one: Sighting) -> Sighting:
    """Return a picture with its words in Unicode's composed form (NFC): macOS writes file names decomposed."""
    person, camera = (unicodedata.normalize("NFC", word) for word in (one.person, one.camera))
    return dataclasses.replace(one, person=person, camera=camera)


def _examples(
    chosen: Mapping[str, Sequence[Sighting]],
    persons: Mapping[str, int],
    cameras: Mapping[str, int],
    *,
    facts: Sequence[str],
) -> dict[str, list[Example]]:
    return {
        split: [
            {
                "image": one.image,
                "person_id": persons[one.person],
                "label": -1,
                "camera_id": cameras[one.camera],
                "name": one.name,
                **{name: getattr(one, name) for name in facts},
            }
            for one in sightings
        ]
        for split, sightings in chosen.items()
    }


def _settings_text(settings: OwnSettings, root: pathlib.Path) -> str:
    """Return the settings as a line of the digest, which stays the same when the folder is moved."""
    values = dataclasses.asdict(settings)
    for name in TOLD:
        del values[name]
    for name in ("frame_rate", "time_column"):  # as datasets were made before there were these settings
        if not values[name]:
            del values[name]
    values["table"] = os.path.relpath(root / settings.table, root) if settings.table else ""
    return json.dumps(values, sort_keys=True)


def _names_file(persons: Mapping[str, int], cameras: Mapping[str, int]) -> bytes:
    names = {
        "persons": {str(number): word for word, number in persons.items()},
        "cameras": {str(number): word for word, number in cameras.items() if word},
    }
    return (json.dumps(names, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def _protocol(name: str, settings: OwnSettings, chosen: Mapping[str, Sequence[Sighting]]) -> str:
    """Return sentences on query and gallery for the words of an evaluation."""
    text = f"{name}, own pictures, no published benchmark: only scores on the same pictures compare."
    if "query" not in chosen:
        return text
    given = all(one.split in ("query", "gallery") for split in ("query", "gallery") for one in chosen[split])
    return (
        f"{text} Query and gallery are as given."
        if given
        else (
            f"{text} Queries were chosen by seed {settings.seed}: a picture of each test person and camera, as far as the "
            "gallery keeps a match."
        )
    )
