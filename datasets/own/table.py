"""Pictures that a table lists: CSV or Parquet, with a row for each picture.

A table comes from outside: its paths must stay in the folder, and nothing in it is run.
"""

import csv
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import pyarrow
from pyarrow import parquet

from datasets.errors import DatasetError
from datasets.own.sightings import SPLIT_NAMES, Found, Sighting, first_names
from san_jax import moments, pictures
from san_jax.counts import count
from san_jax.own_settings import OwnSettings

ADVICE = (
    "A table is a CSV or Parquet file with the columns path (relative to --manual_dir), person_id and, where they are "
    "known, camera_id and split; --path_column, --person_column, --camera_column and --split_column give other names, "
    "--time_column that of a time."
)
_TIME = "time"  # how lists of `experiments.embed` and trackers call it
_DELIMITERS = ",;\t"  # in Europe, spreadsheets write CSV with semicolons
_WHOLE_FLOAT = re.compile(r"-?\d+\.0", re.ASCII)
_Row = tuple[str, dict[str, Any]]  # where it stands, and its cells by column


def read_table(root: pathlib.Path, settings: OwnSettings) -> Found:
    """Return the pictures that `settings.table` lists, a path in `root` or a path of its own.

    Raises:
        DatasetError: There is no such table, it cannot be read, or it lacks a column.
    """
    path = root / settings.table  # a whole path stays what it is
    if not path.is_file() and pathlib.Path(settings.table).is_file():
        path = pathlib.Path(settings.table)
    if not path.is_file():
        raise DatasetError(f"{path}: no such table.\n{ADVICE}")
    if path.suffix.lower() == ".parquet":
        columns, rows = _read_parquet(path, settings)
    else:
        columns, rows = _read_csv(path)
    _check_columns(path, columns, settings)
    if not rows:
        raise DatasetError(
            f"{path} lists no picture: expected a row for each below the names of the columns.\n{ADVICE}"
        )
    problems: list[str] = []
    sightings: list[Sighting] = []
    listed: dict[str, str] = {}
    for where, cells in rows:
        sighting = _sighting(root, settings, cells)
        if isinstance(sighting, str):
            problems.append(f"{path}{where}: {sighting}")
        elif (first := listed.setdefault(sighting.name, where)) != where:
            problems.append(f"{path}{where}: {sighting.name!r} stands in {path.name}{first} already")
        else:
            sightings.append(sighting)
    return Found(sightings, problems, _notes(root, path, columns, settings, listed), {path.name: path})


def _check_columns(path: pathlib.Path, columns: Sequence[str], settings: OwnSettings) -> None:
    """Raise a DatasetError for a column that must be there and is not; those of camera and split may lack."""
    defaults = OwnSettings()
    flags = ["path_column", "person_column", "camera_column", "split_column"]
    flags += ["time_column"] if settings.time_column else []
    lacking = [
        f"{getattr(settings, flag)!r} (--{flag})"
        for flag in flags
        if getattr(settings, flag) not in columns
        and (flag in ("path_column", "person_column") or getattr(settings, flag) != getattr(defaults, flag))
    ]
    if lacking:
        raise DatasetError(f"{path} has the columns {', '.join(columns)} and lacks {', '.join(lacking)}.\n{ADVICE}")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DatasetError(f"{path} has more than one column {', '.join(twice)}.\n{ADVICE}")


def _sighting(root: pathlib.Path, settings: OwnSettings, cells: dict[str, Any]) -> Sighting | str:
    """Return the picture of a row, or what is wrong with the row."""
    name, person, camera, split = (
        _word(cells.get(column))
        for column in (settings.path_column, settings.person_column, settings.camera_column, settings.split_column)
    )
    if not name or not person:
        return f"expected a path and a person, found {name!r} and {person!r}"
    if settings.split_column in cells and split.lower() not in SPLIT_NAMES:
        return f"expected one of the splits {', '.join(SPLIT_NAMES)}, found {split!r}"
    found = _inside(root, name)
    if isinstance(found, str):
        return found
    time = _word(cells.get(settings.time_column))
    try:
        seconds = moments.parse(time).seconds if time else math.nan
    except ValueError as error:
        return f"column {settings.time_column}: {error}"
    return Sighting(str(found), str(root / found), person, camera, split.lower(), seconds)


def _inside(root: pathlib.Path, name: str) -> pathlib.PurePosixPath | str:
    """Return a path of a table without detours, or what is wrong with it, as text."""
    if "\0" in name:
        return f"expected a path, found {name!r}"
    if os.path.isabs(name):
        return f"expected a path relative to {root}, found {name!r}"
    plain = pathlib.Path(os.path.normpath(name)).as_posix()
    if plain == ".." or plain.startswith("../"):
        return f"expected a path in {root}, found {name!r}, which leads out of it"
    whole = root / plain
    if not os.path.isfile(whole):  # pathlib's raises an error for a name that is too long
        hint = ", which has backslashes where this system has slashes" if "\\" in name else ""
        return f"expected a picture file in {root}, found no file {name!r}{hint}"
    if not whole.resolve().is_relative_to(root.resolve()):
        return f"expected a path in {root}, found {name!r}, a link that leads out of it"
    return pathlib.PurePosixPath(plain)


def _word(value: Any) -> str:
    """Return a cell as a word; a whole number in a column of floats is a word without a point, 7 for 7.0."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):  # Parquet's binary columns
        value = value.decode(errors="backslashreplace")
    return str(value).strip()


def _read_csv(path: pathlib.Path) -> tuple[list[str], list[_Row]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        raise DatasetError(
            f'{path} is no CSV file in UTF-8 ({error}). Save it again in UTF-8 (Excel: "CSV UTF-8").\n{ADVICE}'
        ) from error
    except (csv.Error, OSError) as error:
        raise DatasetError(f"{path} cannot be read as a CSV file ({error}).\n{ADVICE}") from error
    if not lines:
        raise DatasetError(f"{path} is empty.\n{ADVICE}")
    columns = [name.strip() for name in lines[0][1]]
    # A row with too few or too many cells is told by its lacking path, or taken without what is beyond.
    rows = [(f":{number}", dict(zip(columns, cells, strict=False))) for number, cells in lines[1:]]
    _shorten_floats(columns, [row for _, row in rows])
    return columns, rows


def _shorten_floats(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Take the .0 off the columns in which every number has it: pandas writes numbers so where a column has gaps."""
    for column in columns:
        filled = [row[column] for row in rows if row.get(column, "").strip()]
        if filled and all(_WHOLE_FLOAT.fullmatch(cell.strip()) for cell in filled):
            for row in rows:
                row[column] = row.get(column, "").strip().removesuffix(".0")


def _read_parquet(path: pathlib.Path, settings: OwnSettings) -> tuple[list[str], list[_Row]]:
    wanted = (
        settings.path_column,
        settings.person_column,
        settings.camera_column,
        settings.split_column,
        settings.time_column,
    )
    try:
        columns = list(parquet.read_schema(path).names)
        is_clear = len(set(columns)) == len(columns)
        table = parquet.read_table(path, columns=[name for name in columns if name in wanted] if is_clear else [])
        for place, column in enumerate(table.columns):
            if pyarrow.types.is_timestamp(column.type):  # Python's datetime has no nanoseconds
                microseconds = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
                table = table.set_column(place, table.column_names[place], microseconds)
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{path} is no Parquet file ({str(error).splitlines()[0]}).\n{ADVICE}") from error
    return columns, [(f", row {number}", row) for number, row in enumerate(rows, start=1)]


def _notes(
    root: pathlib.Path, path: pathlib.Path, columns: Sequence[str], settings: OwnSettings, listed: dict[str, str]
) -> list[str]:
    unknown = [name for name in (settings.camera_column, settings.split_column) if name not in columns]
    notes = [f"{path}: no column {' and no column '.join(unknown)}"] if unknown else []
    if _TIME in columns and not settings.time_column:
        notes.append(f"{path}: its column {_TIME} is not read; --time_column={_TIME} keeps it")
    there = pictures.list_folder(root)
    unlisted = [name for name in there.pictures if name not in listed]
    if unlisted:
        notes.append(
            f"{count(len(unlisted), 'picture')} under {root} that the table does not list: {first_names(unlisted)}"
        )
    return notes
