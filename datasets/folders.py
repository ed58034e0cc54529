"""Finds and lists what lies in a folder that a user gave: datasets, archives, images."""

import fnmatch
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence

from san_jax import pictures

_MAX_NAMED = 8  # names that a message lists after "found"
_MAX_NESTED = 5  # levels of a folder inside a folder of the same name; three have been seen
# What browsers add to the name of a second download, and Google Drive to a folder that it packed.
_DOWNLOADS = ("", " (?)", "(?)", "-20*Z-*")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz")


def given_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return a user's path as an absolute one, so that `.` has a name and parents too."""
    return pathlib.Path(path).expanduser().absolute()


def archive_names(*stems: str) -> tuple[str, ...]:
    """Return patterns for archives of these names, also as browsers rename them."""
    return tuple(f"{stem}{tail}{suffix}" for stem in stems for tail in _DOWNLOADS for suffix in _ARCHIVE_SUFFIXES)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name matches one of these fnmatch patterns, ignoring case."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def list_files(folder: pathlib.Path) -> list[str]:
    """Return the sorted names of what is in a folder, without what file managers leave behind."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if not pictures.is_junk(name))


def list_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folders in a folder, sorted; none if it is absent or cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not pictures.is_junk(name)]


def find_folders(folder: pathlib.Path, is_root: Callable[[pathlib.Path], bool]) -> list[pathlib.Path]:
    """Return the folders for which `is_root` holds, among `folder` and two levels below it.

    Nothing below such a folder is returned. A folder in a folder of the same name counts as one with it: there are
    copies in MSMT17_V2/MSMT17_V2/MSMT17_V2 (SY-Xuan/IICS#5) and in Market-1501-v15.09.15/Market-1501-v15.09.15.
    """
    found: list[pathlib.Path] = []
    level = [folder]
    for depth in range(3):
        below: list[pathlib.Path] = []
        for outermost in level:
            candidates = [outermost, *_nested(outermost)]
            root = next((path for path in candidates if _is_readable(path) and is_root(path)), None)
            if root is not None:
                found.append(root)
            elif depth < 2:
                below += [
                    path for candidate in candidates for path in list_folders(candidate) if path not in candidates
                ]
        level = below
    # A link to a folder that was found is not a second one.
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def _nested(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folder of the same name in a folder, the one in that, and so on, at most `_MAX_NESTED`."""
    nested: list[pathlib.Path] = []
    while folder.name and len(nested) < _MAX_NESTED and os.path.isdir(folder / folder.name):
        folder /= folder.name
        nested.append(folder)
    return nested


def find_files(folder: pathlib.Path, is_name: Callable[[str], bool]) -> list[pathlib.Path]:
    """Return the files in `folder`, and in the folders in it, for whose names `is_name` holds."""
    return [
        path / name
        for path in [folder, *list_folders(folder)]
        if path.is_dir() and _is_readable(path)
        for name in list_files(path)
        if is_name(name) and (path / name).is_file()
    ]


def _is_readable(folder: pathlib.Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def has_named(folder: pathlib.Path, folders: Sequence[str], name: re.Pattern[str]) -> bool:
    """Return whether a folder has all of `folders`, with at least one file in them that matches `name`.

    Market-1501 and DukeMTMC-reID have the same folders: only the files in them tell one from the other.
    """
    return all((folder / part).is_dir() for part in folders) and any(
        name.fullmatch(file) for part in folders for file in list_files(folder / part)
    )


def found_there(folder: pathlib.Path) -> str:
    """Return what a message says after "found" about an unexpected folder: the first few names in it."""
    try:
        names = list_files(folder)
    except OSError as error:
        return f"that it cannot be read ({error.strerror})"
    text = ", ".join(names[:_MAX_NAMED]) or "nothing"
    return text if len(names) <= _MAX_NAMED else f"{text} and {len(names) - _MAX_NAMED:,} more"


def missing_named(folder: pathlib.Path, root_name: str, folders: Sequence[str], example: str) -> list[str]:
    """Return lines that say what was expected and what was found, if `has_named` holds for no folder."""

    def missing(candidate: pathlib.Path) -> list[str]:
        return [part for part in folders if not (candidate / part).is_dir()]

    root = folder / root_name
    if not root.is_dir():
        # The folder that comes closest is probably the one that the user meant.
        root = min([folder, *list_folders(folder)], key=lambda candidate: len(missing(candidate)))
    expected = f"expected the folders {', '.join(folders)} with files like {example} there or in {folder / root_name}"
    if not missing(root):
        found = next((file for part in folders for file in list_files(root / part)), "no files")
        return [f"{root}: {expected}; the folders are there, but hold {found}"]
    return [
        f"{folder}: {expected}",
        *(f"{root / part}: no such folder" for part in missing(root)),
        f"{root}: found {found_there(root)}",
    ]
