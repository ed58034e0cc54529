"""What a dataset of own pictures was built from, a line each, kept beside its shards: by it a message can say what differs.

The lines are those whose SHA-256 is the dataset's digest (`Archive.source_lines`): a picture's name and size,
a table's name, size and SHA-256, and the settings as JSON.
"""

import dataclasses
import gzip
import json
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from datasets.own.sightings import first_names
from san_jax import pictures
from san_jax.own_settings import OwnSettings

SOURCE_FILE = "source.txt.gz"


def to_bytes(lines: Sequence[str]) -> bytes:
    """Return the content of `SOURCE_FILE`."""
    return gzip.compress("\n".join(lines).encode(errors="surrogateescape"), mtime=0)


def read(folder: pathlib.Path) -> list[str]:
    """Return the lines that a dataset's folder keeps; none where it keeps none, or the file is damaged."""
    try:
        text = gzip.decompress((folder / SOURCE_FILE).read_bytes())
    except (OSError, EOFError, zlib.error):
        return []
    return text.decode(errors="surrogateescape").split("\n")


def differences(there: Sequence[str], now: Sequence[str]) -> list[str]:
    """Say in a line each which settings, pictures and other files differ between two sources.

    Args:
        there: The lines of the dataset that was built.
        now: The lines of what was given now.
    """
    before, after = _Source.parse(there), _Source.parse(now)
    lines = _settings(before.settings, after.settings)
    added, removed = (
        [name for name in one.sizes if name not in other.sizes] for one, other in ((after, before), (before, after))
    )
    changed = [name for name, size in after.sizes.items() if before.sizes.get(name, size) != size]
    parts = [
        f"{len(names):,} {what} ({first_names(names)})"
        for what, names in (("added", added), ("removed", removed), ("of another size", changed))
        if names
    ]
    lines += [f"pictures: {', '.join(parts)}"] if parts else []
    lines += [
        f"{name}: another content"
        for name, content in after.contents.items()
        if before.contents.get(name, content) != content
    ]
    return [pictures.printable(line) for line in lines]


@dataclasses.dataclass(frozen=True)
class _Source:
    """The lines taken apart: settings by name, sizes of pictures by name, contents of other files by name."""

    settings: Mapping[str, Any]
    sizes: Mapping[str, str]
    contents: Mapping[str, str]

    @classmethod
    def parse(cls, lines: Sequence[str]) -> "_Source":
        settings: dict[str, Any] = {}
        sizes: dict[str, str] = {}
        contents: dict[str, str] = {}
        for line in lines:
            name, *values = line.split("\t")
            if not values:  # JSON has no tab
                settings = _parse_settings(line)
            elif len(values) == 1:
                sizes[name] = values[0]
            else:
                contents[name] = "\t".join(values)
        return cls(settings, sizes, contents)


def _parse_settings(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _settings(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which settings differ; one that stands in neither line has its default."""
    defaults = dataclasses.asdict(OwnSettings())
    before, after = ({**defaults, **found} for found in (there, now))
    return [
        f"--{name}: {before[name]!r} there, {after[name]!r} now"
        for name in defaults
        if name in there.keys() | now.keys() and before[name] != after[name]
    ]
