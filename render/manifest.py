"""The record of what was rendered: the one contract between the renderer and the dataset builders.

A rendered folder holds

    manifest.json      the header: version, recipe, seed, parameters, number of pairs, licence, notes
    manifest.jsonl     one record for each pair, in index order (written when the rendering is complete)
    mirror_map.npy     how a texture is mirrored, left to right: uint16 [256 256 2]
    images/ textures/ frontals/    the files that the records name
    truths/KIND/images/ truths/KIND/frontals/    what is known of a picture besides, if it was asked for: see `TRUTHS`

It imports the standard library only, and a module of `san_jax` that does the same, so `datasets` can read a folder
without a renderer. A folder may come from someone else, so the names in its records are checked to stay inside it.
"""

import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from san_jax.counts import count
from san_jax.files import canonical_json, write_atomic

# Increased with every change of the format. 2: `notes`, and the splits of partial queries. 3: `license`.
VERSION = 5
HEADER_FILE = "manifest.json"
RECORDS_FILE = "manifest.jsonl"
MIRROR_FILE = "mirror_map.npy"  # see render/figure/mirror.py; read by `datasets.read_mirror_map`
RECIPES = ("pit", "pit_reid")
# Splits of queries besides `query`, modelled on the partial and occluded benchmarks. A folder may lack them.
PARTIAL_QUERIES = ("query_partial", "query_occluded")
SPLITS = ("train", "query", "gallery", *PARTIAL_QUERIES)
# Kind of a picture's further truth -> suffix of its files; `render.recipes.truths` says what is in them.
TRUTHS = {"mask": ".png", "parts": ".png", "uv": ".png", "depth": ".png", "joints": ".json"}
TRUTHS_FOLDER = "truths"
_IF_ANY = "truths"  # the field of headers and records that is left out where it is empty


class ManifestError(ValueError):
    """A rendered folder that is incomplete, of another version, or malformed. The message names the file."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What holds for the whole folder.

    Attributes:
        recipe: "pit" or "pit_reid".
        seed: The recipe's seed; together with `parameters` and a record's index it determines a pair.
        num_pairs: Number of records.
        parameters: Every parameter of the recipe, JSON values only.
        license: Licence under which the files may be used, in words.
        notes: What a reader of the files must know, in words, such as what a texture shows and what it does not.
        version: Version of this file format.
        truths: Kinds of further truths that every picture has, in the order of `TRUTHS`.
    """

    recipe: str
    seed: int
    num_pairs: int
    parameters: dict[str, Any]
    license: str
    notes: str = ""
    version: int = VERSION
    truths: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Record:
    """One rendered pair.

    Attributes:
        index: 0-based position in the recipe.
        name: Unique name of the pair, also its path stem.
        image: Person image, path relative to the folder, 256x128 RGB.
        texture: UV texture, path relative to the folder, 256x256 RGB.
        frontal: The same person in the fixed frontal pose, path relative to the folder; None in `pit_reid`.
        texture_id: 0-based number of the texture.
        split: One of `SPLITS`.
        person_id: Identity; -1 in `pit`, which has none.
        camera_id: 0-based number of the camera; -1 in `pit`.
        choices: Every random choice that made the pair, JSON values only.
        truths: Further truths, paths relative to the folder: those of the image under their kind ("mask", ...), those
            of the frontal view under "frontal_mask", ...; see `truth_files`.
    """

    index: int
    name: str
    image: str
    texture: str
    frontal: str | None
    texture_id: int
    split: str
    person_id: int
    camera_id: int
    choices: dict[str, Any]
    truths: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Paths of all files of the pair, relative to the folder."""
        pictures = (self.image, self.texture, self.frontal)
        return [name for name in pictures if name is not None] + list(self.truths.values())


def in_order(kinds: Collection[str]) -> list[str]:
    """Return kinds of truths in the order of `TRUTHS`, each once."""
    return [kind for kind in TRUTHS if kind in kinds]


def truth_files(record: Record, kinds: Iterable[str]) -> dict[str, str]:
    """Return where the further truths of a pair lie: as `Record.truths`.

    The truths of `images/0000_00.jpg` are `truths/mask/images/0000_00.png` and so on.

    Args:
        record: The pair.
        kinds: Kinds of truths, of `TRUTHS`.
    """
    pictures = {"": record.image} | ({} if record.frontal is None else {"frontal_": record.frontal})
    return {
        f"{prefix}{kind}": str(pathlib.PurePosixPath(TRUTHS_FOLDER, kind, name).with_suffix(TRUTHS[kind]))
        for prefix, name in pictures.items()
        for kind in kinds
    }


def to_fields(one: Header | Record) -> dict[str, Any]:
    """Return the JSON values of a header or a record: truths only where there are any."""
    fields = dataclasses.asdict(one)
    if not fields[_IF_ANY]:
        del fields[_IF_ANY]
    return fields


def record_to_json(record: Record) -> str:
    """Return one line of `manifest.jsonl`, without the newline."""
    return canonical_json(to_fields(record))


def write_header(folder: str | os.PathLike[str], header: Header) -> None:
    """Write `manifest.json` atomically."""
    text = json.dumps(to_fields(header), sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_atomic(pathlib.Path(folder) / HEADER_FILE, text.encode())


def write_records(folder: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write `manifest.jsonl` atomically, with the records in the order given, one after another."""
    write_atomic(pathlib.Path(folder) / RECORDS_FILE, (f"{record_to_json(record)}\n".encode() for record in records))


def read_header(folder: str | os.PathLike[str]) -> Header:
    """Read `manifest.json`.

    Raises:
        ManifestError: The file is missing, not JSON, of another version or lacks a field.
    """
    path = pathlib.Path(folder) / HEADER_FILE
    fields = _parse(path, _read(path), 1)
    # The version is checked first: another one may have other fields.
    if fields.get("version") != VERSION:
        raise ManifestError(
            f"{path}: format version {fields.get('version')!r}; this program reads version {VERSION}. Render the "
            "recipe again into another folder with `python -m experiments.pit_render`, or read this one with the release of "
            "the program that wrote it; datasets that were built from it stay readable."
        )
    header = _construct(Header, fields, path, 1)
    if header.recipe not in RECIPES:
        raise ManifestError(f"{path}: unknown recipe {header.recipe!r}; expected one of {', '.join(RECIPES)}.")
    if header.truths != in_order(header.truths):
        raise ManifestError(
            f"{path}: unknown truths {header.truths}; expected some of {', '.join(TRUTHS)}, each once and in this order."
        )
    return header


def record_from_json(text: str, path: str | os.PathLike[str], line: int = 1) -> Record:
    """Parse one record.

    Args:
        text: The line of `manifest.jsonl`.
        path: File named in messages.
        line: Number of the line named in messages.

    Raises:
        ManifestError: The text is no record, or a path in it leaves the folder.
    """
    record = _construct(Record, _parse(path, text, line), path, line)
    for name in record.files:
        if (
            not isinstance(name, str)
            or pathlib.PurePosixPath(name).is_absolute()
            or ".." in pathlib.PurePosixPath(name).parts
        ):
            raise ManifestError(f"{path}, line {line}: the path {name!r} leaves the rendered folder.")
    if record.split not in SPLITS:
        raise ManifestError(
            f"{path}, line {line}: unknown split {record.split!r}; expected one of {', '.join(SPLITS)}."
        )
    return record


def read_manifest(folder: str | os.PathLike[str]) -> tuple[Header, list[Record]]:
    """Read the header and the records of a completely rendered folder.

    Raises:
        ManifestError: A file is missing or malformed, or the number or order of the records is wrong.
    """
    header = read_header(folder)
    return header, list(read_records(folder, header))


def read_records(folder: str | os.PathLike[str], header: Header) -> Iterator[Record]:
    """Read the records of a completely rendered folder one after another: a million need no more memory than one.

    Args:
        folder: The rendered folder.
        header: Its header.

    Raises:
        ManifestError: As `read_manifest` has it, when the iteration comes to it.
    """
    path = pathlib.Path(folder) / RECORDS_FILE
    position = -1
    for position, line in enumerate(_lines(path)):
        record = record_from_json(line, path, position + 1)
        if record.index != position:
            raise ManifestError(f"{path}, line {position + 1}: index {record.index}, expected {position}.")
        if record.truths != truth_files(record, header.truths):
            raise ManifestError(
                f"{path}, line {position + 1}: the truths {record.truths} are not those of {HEADER_FILE}, "
                f"{header.truths}; render again."
            )
        yield record
    if position + 1 != header.num_pairs:
        raise ManifestError(
            f"{path}: {count(position + 1, 'record')}, the header says {header.num_pairs}; render again."
        )


def _read(path: pathlib.Path) -> str:
    return "".join(_lines(path))


def _lines(path: pathlib.Path) -> Iterator[str]:
    """Read a text file line by line."""
    try:
        with open(path, encoding="utf-8") as file:
            yield from file
    except FileNotFoundError:
        raise ManifestError(
            f"{path} does not exist. It is written when a rendering is complete: "
            "run `python -m experiments.pit_render` on this folder again; it draws only what is missing."
        ) from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 ({error}).") from None


def _parse(path: str | os.PathLike[str], text: str, line: int) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{path}, line {line}: not JSON ({error}).") from None
    if not isinstance(fields, dict):
        raise ManifestError(f"{path}, line {line}: expected a JSON object, found {type(fields).__name__}.")
    return fields


def _construct(cls: type, fields: dict[str, Any], path: str | os.PathLike[str], line: int) -> Any:
    expected = {field.name for field in dataclasses.fields(cls)}
    missing, unknown = sorted(expected - set(fields) - {_IF_ANY}), sorted(set(fields) - expected)
    if missing or unknown:
        raise ManifestError(f"{path}, line {line}: missing fields {missing}, unknown fields {unknown}.")
    for field in dataclasses.fields(cls):
        if field.name not in fields:
            continue
        origin = typing.get_origin(field.type)
        kind: Any = origin if origin in (dict, list) else field.type
        if not isinstance(fields[field.name], kind):
            name = getattr(kind, "__name__", str(kind))
            raise ManifestError(
                f"{path}, line {line}: {field.name} must be of type {name}, found {fields[field.name]!r}."
            )
    return cls(**fields)
