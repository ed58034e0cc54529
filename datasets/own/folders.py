"""Pictures whose folders or file names say who is on them.

    PERSON/picture                        or   PERSON/CAMERA/picture
    train|val|query|gallery/PERSON/picture    or   train|val|query|gallery/PERSON/CAMERA/picture

With a pattern, file names say person, camera or split, and folders the person or the split where the pattern does not.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from datasets.errors import DatasetError, raise_problems
from datasets.folders import found_there
from datasets.own.sightings import SPLIT_NAMES, Found, Sighting, first_names
from san_jax import pictures
from san_jax.counts import count
from san_jax.own_settings import OwnSettings

ADVICE = (
    "Give a folder with a folder of pictures for each person, or with train, query and gallery that hold such folders, "
    "as --manual_dir; or say with --pattern or --table where persons and cameras stand."
)
_GROUPS = ("person", "camera", "split")
_SHOWN = 3  # matches that are printed as examples


@dataclasses.dataclass(frozen=True)
class NamePattern:
    """A user's pattern.

    Attributes:
        pattern: The pattern, with named groups out of person, camera and split.
    """

    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "NamePattern":
        """Compile a pattern.

        Raises:
            DatasetError: It is no regular expression, or has no group or other ones.
        """
        example = r"for example --pattern='(?P<person>\d+)_c(?P<camera>\d+)'"
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise DatasetError(f"--pattern={text} is no regular expression: {error}; {example}.") from None
        other = sorted(pattern.groupindex.keys() - set(_GROUPS))
        if other or not pattern.groupindex:
            found = f"found {', '.join(other)}" if other else "found none"
            raise DatasetError(f"--pattern={text}: expected the named groups {', '.join(_GROUPS)}, {found}; {example}.")
        return cls(pattern)

    def has(self, group: str) -> bool:
        """Return whether the pattern says person, camera or split."""
        return group in self.pattern.groupindex

    def read(self, name: str) -> dict[str, str] | None:
        """Return what the groups say of the picture at a path; None where the pattern is not found."""
        match = self.pattern.search(name if "/" in self.pattern.pattern else name.rpartition("/")[2])
        return None if match is None else {group: (text or "").strip() for group, text in match.groupdict().items()}


def read_folders(root: pathlib.Path, settings: OwnSettings) -> Found:
    """Return the pictures under a folder.

    Raises:
        DatasetError: There are no pictures, the pattern matches none, or it is none.
    """
    pattern = NamePattern.parse(settings.pattern) if settings.pattern else None
    listing = pictures.list_folder(root)
    if not listing.pictures:
        raise DatasetError(f"{root}: expected pictures ({pictures.KINDS}), found {found_there(root)}.\n{ADVICE}")
    notes = [f"{root}: {line}" for line in filter(None, [listing.passed_over()])]
    problems = [f"{root / line}" for line in listing.problems]
    has_splits = _has_splits(root, listing.pictures) and not (pattern and pattern.has("split"))
    if has_splits:
        notes.append("splits: the folders " + ", ".join(sorted({name.partition("/")[0] for name in listing.pictures})))
    sightings: list[Sighting] = []
    missed: list[str] = []
    for name in listing.pictures:
        said = pattern.read(name) if pattern else {}
        if said is None:
            missed.append(name)
            continue
        sighting = _sighting(root, name, said, has_splits=has_splits, pattern=pattern)
        if isinstance(sighting, str):
            problems.append(f"{root / name}: {sighting}")
        else:
            sightings.append(sighting)
    if pattern:
        notes += _match_notes(pattern, sightings, missed)
        problems += [f"{root / name}: --pattern is not found in its name" for name in missed]
    raise_problems(f"{root}: no picture whose person is known", [] if sightings else problems, ADVICE)
    return Found(sightings, problems, notes)


def _has_splits(root: pathlib.Path, names: Sequence[str]) -> bool:
    """Return whether the outermost folders are splits.

    Raises:
        DatasetError: Some are and some are not.
    """
    outermost = {name.partition("/")[0] for name in names if "/" in name}
    splits = {name for name in outermost if name.lower() in SPLIT_NAMES}
    if splits and splits != outermost:
        raise DatasetError(
            f"{root} holds folders of splits ({first_names(sorted(splits))}) beside others "
            f"({first_names(sorted(outermost - splits))}): expected splits only, or persons only.\n{ADVICE}"
        )
    return bool(splits)


def _sighting(
    root: pathlib.Path, name: str, said: dict[str, str], *, has_splits: bool, pattern: NamePattern | None
) -> Sighting | str:
    """Return the picture at a path, or what is wrong with its path.

    Args:
        root: The folder.
        name: The path in it.
        said: What the groups of the pattern say.
        has_splits: Whether the outermost folders are splits.
        pattern: The user's pattern; None for none.
    """
    folders = name.split("/")[:-1]
    split = folders.pop(0).lower() if has_splits and folders else ""
    if pattern is None or not pattern.has("person"):
        if len(folders) not in (1, 2) or (pattern and len(folders) != 1):
            below = "/".join([*(["SPLIT"] if has_splits else []), "PERSON"])
            deeper = "" if pattern else f" or {below}/CAMERA/picture"
            return f"expected {below}/picture{deeper} in {root}"
        said = {"person": folders[0], "camera": folders[1] if len(folders) > 1 else "", **said}
    if not said["person"]:
        return "the group person of --pattern is empty"
    if "split" in said:
        split = said["split"].lower()
        if split not in SPLIT_NAMES:
            return f"expected one of the splits {', '.join(SPLIT_NAMES)}, found {said['split']!r}"
    return Sighting(name, str(root / name), said["person"], said.get("camera", ""), split)


def _match_notes(pattern: NamePattern, sightings: Sequence[Sighting], missed: Sequence[str]) -> list[str]:
    """Say what a pattern found and what it did not."""
    lines = [f"--pattern={pattern.pattern.pattern} is found in {count(len(sightings), 'picture')}"]
    for one in sightings[:_SHOWN]:
        said = [f"person {one.person}", *([f"camera {one.camera}"] if one.camera else []), *filter(None, [one.split])]
        lines.append(f"  {one.name}: {', '.join(said)}")
    if missed:
        lines.append(f"--pattern is not found in {count(len(missed), 'picture')}: {first_names(missed)}")
    return lines
