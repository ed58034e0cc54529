"""Divides work among machines: the i-th of n shards goes into a folder of its own, and a merge puts the folders together.

No file system need be shared: the folder of a shard says in `shard.json` which part of which work it holds, and can be
copied to the machine that merges. There it may come from anywhere, so nothing in it is believed unchecked.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.command_line import paths
from san_jax import files

RECORD_FILE = "shard.json"
VERSION = 1
_MAX_NAMED = 10  # shards named in a message
_ABSENT = "absent"


class ShardError(ValueError, argparse.ArgumentTypeError):
    """Shards that cannot be written or merged. The message names the folder or the shards, and says what to do."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of `count` parts of a work, numbered from 0."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclasses.dataclass(frozen=True)
class Part:
    """What the folder of a shard holds, as its `shard.json` says.

    Attributes:
        shard: Which shard it is.
        items: The items of the work that belong to the shard.
        total: Number of items of the whole work.
        work: What the work is: everything that decides on the result, JSON values only.
        complete: Whether all items were finished.
    """

    shard: Shard
    items: range
    total: int
    work: dict[str, Any]
    complete: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--shard=i/n` and `--merge [SHARD_DIR ...]`, of which a command line may have one."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--shard",
        type=parse,
        metavar="i/n",
        help="do only the i-th of n parts, i from 0, into a folder of its own beside the output (default: all)",
    )
    group.add_argument(
        "--merge",
        nargs="*",
        type=paths.given,
        metavar="SHARD_DIR",
        help="put the folders of all shards together; without any SHARD_DIR, those beside the output (default: no merge)",
    )


def parse(text: str) -> Shard:
    """Read "i/n"; an argparse `type`.

    Raises:
        ShardError: It is something else.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if match is None or not int(match[1]) < int(match[2]):
        raise ShardError(f"--shard={text}: expected i/n with 0 <= i < n, such as 0/4.")
    return Shard(int(match[1]), int(match[2]))


def indices(shard: Shard, total: int) -> range:
    """Return the items of a shard among `total`: contiguous, and all shards of nearly the same number."""
    return range(total * shard.index // shard.count, total * (shard.index + 1) // shard.count)


def folder(output: str | os.PathLike[str], shard: Shard) -> pathlib.Path:
    """Return the folder that a shard of `output` is written into, which lies beside `output`."""
    output = pathlib.Path(output)
    return output.with_name(f"{output.name}.shard-{shard.index:05d}-of-{shard.count:05d}")


def begin(path: pathlib.Path, part: Part, *, overwrite: bool = False) -> None:
    """Note in a shard's folder what it is to hold, or check that an earlier run began the same.

    Args:
        path: Folder of the shard, which the caller has locked.
        part: What it is to hold. A note that the part is complete stays.
        overwrite: Replace the note of other work. The caller then removes what that left in the folder.

    Raises:
        ShardError: The folder was begun for another shard or other work.
    """
    if (path / RECORD_FILE).exists():
        try:
            _check_begun(path, part)
        except ShardError:
            if not overwrite:
                raise
        else:
            return
    _write(path, dataclasses.replace(part, complete=False))


def _check_begun(path: pathlib.Path, part: Part) -> None:
    differing = differences(_to_json(read(path)), _to_json(part))
    differing.pop("complete", None)
    if differing:
        raise ShardError(
            f"{path} was begun for other work:\n{describe(differing)}Give the command that began it, or another output."
        )


def finish(path: pathlib.Path) -> None:
    """Note in a shard's folder that all of its items are finished."""
    part = read(path)
    if not part.complete:
        _write(path, dataclasses.replace(part, complete=True))


def read(path: pathlib.Path) -> Part:
    """Return what the folder of a shard says that it holds.

    Raises:
        ShardError: It is no folder of a shard, or its `shard.json` is damaged.
    """
    file = path / RECORD_FILE
    try:
        fields = json.loads(checked_file(path, RECORD_FILE).read_text(encoding="utf-8"))
        if fields["version"] != VERSION:
            raise ShardError(f"{file}: version {fields['version']!r}; this program reads version {VERSION}.")
        (index, count), (start, stop), total = fields["shard"], fields["items"], fields["total"]
        if not all(type(number) is int for number in (index, count, start, stop, total)):
            raise TypeError("expected integers")
        if not (0 <= index < count and 0 <= start <= stop <= total):
            raise ValueError(f"impossible numbers {index}/{count}, {start}..{stop} of {total}")
        if not isinstance(fields["work"], dict) or not isinstance(fields["complete"], bool):
            raise TypeError("expected an object as `work` and a truth value as `complete`")
        return Part(Shard(index, count), range(start, stop), total, fields["work"], fields["complete"])
    except FileNotFoundError:
        raise ShardError(f"{path} is no folder of a shard: it has no {RECORD_FILE}.") from None
    except ShardError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ShardError(f"{file} is damaged ({error!r}): give the command of this shard again.") from None


def find(output: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Return the folders of shards that lie beside `output`, by name.

    Raises:
        ShardError: There is none.
    """
    output = pathlib.Path(output)
    pattern = re.compile(re.escape(output.name) + r"\.shard-\d{5,}-of-\d{5,}", re.ASCII)
    siblings = output.parent.iterdir() if output.parent.is_dir() else ()
    found = sorted(path for path in siblings if pattern.fullmatch(path.name))
    if not found:
        raise ShardError(
            f"--merge: no folder {output.name}.shard-<i>-of-<n> lies beside {output}: give the folders of all shards "
            "after --merge."
        )
    return found


def collect(folders: Iterable[str | os.PathLike[str]]) -> list[tuple[pathlib.Path, Part]]:
    """Check that folders are all the shards of one work, complete and each there once; return them in order.

    Raises:
        ShardError: They are not. One message says all that is wrong.
    """
    found = [(pathlib.Path(path), read(pathlib.Path(path))) for path in folders]
    if not found:
        raise ShardError("--merge: no shards were given.")
    first_path, first = found[0]
    for path, part in found[1:]:
        differing = differences(
            {"shards": first.shard.count, "items": first.total, **first.work},
            {"shards": part.shard.count, "items": part.total, **part.work},
        )
        if differing:
            raise ShardError(
                f"--merge: {first_path} and {path} are not of one work:\n{describe(differing)}Give the folders of all "
                "shards of one work after --merge, or remove those of the other."
            )
    where: dict[int, list[pathlib.Path]] = {}
    for path, part in found:
        where.setdefault(part.shard.index, []).append(path)
    problems = [
        f"{Shard(index, first.shard.count)} is there twice, give one of them: {' and '.join(map(str, same))}"
        for index, same in sorted(where.items())
        if len(same) > 1
    ]
    if missing := first.shard.count - len(where):
        absent = (str(Shard(index, first.shard.count)) for index in range(first.shard.count) if index not in where)
        more = f" and {missing - _MAX_NAMED} more" if missing > _MAX_NAMED else ""
        problems.append(f"missing: {', '.join(itertools.islice(absent, _MAX_NAMED))}{more}")
    problems += [f"{part.shard} is not complete: {path}" for path, part in found if not part.complete]
    if problems:
        raise unfinished(problems)
    found.sort(key=lambda entry: entry[1].shard.index)
    _check_tiling([part for _, part in found])
    return found


def unfinished(problems: Sequence[str]) -> ShardError:
    """Return the error that names what has to be done before shards can be merged."""
    return ShardError(
        "--merge:\n"
        + "".join(f"  {line}\n" for line in problems)
        + "Give the commands of shards that are missing or not complete again; each does only what is missing. Then merge."
    )


def _check_tiling(parts: Sequence[Part]) -> None:
    expected = 0
    for part in parts:
        if part.items.start != expected:
            raise ShardError(f"--merge: shard {part.shard} begins at item {part.items.start}, expected {expected}.")
        expected = part.items.stop
    if expected != parts[-1].total:
        raise ShardError(f"--merge: the shards end at item {expected} of {parts[-1].total}.")


def check_work(found: Sequence[tuple[pathlib.Path, Part]], work: dict[str, Any]) -> None:
    """Check that shards, as `collect` returns them, are of this work.

    Raises:
        ShardError: They are of other work. The message names the keys.
    """
    path, part = found[0]
    differing = differences(part.work, work)
    if differing:
        raise ShardError(f"--merge: {path} is of other work:\n{describe(differing)}Give the arguments of the shards.")


def place(source: pathlib.Path, name: str, target: pathlib.Path) -> None:
    """Put a file of a shard at the same place in another folder, whole or not at all, by a hard link where possible.

    Args:
        source: Folder of the shard.
        name: Path of the file, relative to the folder.
        target: The other folder. A file that is there already is replaced.

    Raises:
        ShardError: The name leads out of a folder, or what it names is no file in it.
    """
    file, new = checked_file(source, name), target / name
    new.parent.mkdir(parents=True, exist_ok=True)
    if not new.parent.resolve().is_relative_to(target.resolve()):
        raise ShardError(f"{target}: {name!r} would be written outside of it.")
    if new.exists() and new.samefile(file):
        return
    temporary = new.with_name(f".{new.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(file, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(file, temporary)
            os.chmod(temporary, 0o644)
        os.replace(temporary, new)
    finally:
        temporary.unlink(missing_ok=True)


def checked_file(path: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a regular file inside a folder.

    Raises:
        ShardError: The name leads out of the folder, through a link or otherwise, or it is no regular file.
        FileNotFoundError: There is nothing of this name.
    """
    file = path / name
    relative = pathlib.PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        raise ShardError(f"{path}: the path {name!r} leaves the folder of the shard.")
    if not stat.S_ISREG(file.lstat().st_mode) or not file.resolve().is_relative_to(path.resolve()):
        raise ShardError(f"{file} is no file in the folder of the shard, but a link or something else.")
    return file


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ, dotted where values are nested, and both values; "absent" where one lacks it."""
    flat_old, flat_new = (_flat(json.loads(json.dumps(one))) for one in (old, new))  # JSON knows no tuples
    return {
        key: (flat_old.get(key, _ABSENT), flat_new.get(key, _ABSENT))
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key, _ABSENT) != flat_new.get(key, _ABSENT)
    }


def describe(differing: dict[str, tuple[Any, Any]], there: str = "there", now: str = "now") -> str:
    """Return a line for each difference."""
    return "".join(f"  {key}: {old!r} {there}, {new!r} {now}\n" for key, (old, new) in differing.items())


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys, as a command line has them."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _to_json(part: Part) -> dict[str, Any]:
    return {
        "version": VERSION,
        "shard": [part.shard.index, part.shard.count],
        "items": [part.items.start, part.items.stop],
        "total": part.total,
        "complete": part.complete,
        "work": part.work,
    }


def _write(path: pathlib.Path, part: Part) -> None:
    files.write_json(path / RECORD_FILE, _to_json(part))
