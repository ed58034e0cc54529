"""Lists of pictures: a path in each line, or a CSV file that also says who, where and when.

path,person_id,camera_id,time
monday/1.jpg,7,0,2026-11-23T08:15:00
monday/2.jpg,,0,1795508103.5
"""

import argparse
import csv
from typing import Any

from experiments.command_line import at_least
from san_jax import moments

PATH = "path"
FACTS = (
    "person_id",
    "camera_id",
    "time",
    "track",
)  # columns that embeddings keep; any may be absent, others are ignored
_DELIMITERS = ",;\t"


def read(text: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the paths in a list, and for each what the list says of it: values by those of `FACTS` that are known.

    A list is a CSV file if its first line is a header with the column `path` and at least one of `FACTS`. Times are
    seconds, or dates and times as `--after` of `experiments.search` takes them.

    Raises:
        ValueError: A row cannot be read; the message names its line.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    header = [cell.strip().strip('"') for cell in first.split(delimiter)]
    if PATH not in header or not set(FACTS) & set(header):
        return [line.strip() for line in lines if line.strip()], []
    names: list[str] = []
    facts: list[dict[str, Any]] = []
    rows = csv.reader(lines[lines.index(first) + 1 :], delimiter=delimiter, strict=True)
    try:
        for cells in rows:
            number = lines.index(first) + 1 + rows.line_num
            if not any(map(str.strip, cells)):
                continue
            row = dict(zip(header, map(str.strip, cells), strict=False))
            if not row.get(PATH):
                raise ValueError(f"line {number}: expected a path in the column {PATH}, found none.")
            names.append(row[PATH])
            facts.append({key: _value(key, row[key], number) for key in FACTS if row.get(key)})
    except csv.Error as error:
        raise ValueError(f"it is no CSV file ({error}).") from None
    return names, facts


def _value(key: str, cell: str, line: int) -> float | int:
    try:
        return moments.parse(cell).seconds if key == "time" else at_least(0)(cell)
    except (argparse.ArgumentTypeError, ValueError) as error:
        words = str(error) if key == "time" else f"expected an integer of at least 0, found {cell!r}"
        raise ValueError(f"line {line}, column {key}: {words}.") from None
