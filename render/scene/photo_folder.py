"""A user's folder of photographs: backgrounds, cloth. Files from outside are checked before they are decoded.

Pictures at any depth, by the rules of `san_jax.pictures`; files not named like pictures are passed over, and `check` names
them. Nothing outside of the folder is read: a link that leads out of it is refused.
"""

import functools
import hashlib
import os
import pathlib
import warnings
from collections.abc import Iterable

import numpy as np

from san_jax import pictures
from san_jax.counts import count

LEAST_SIDE = 48


class PhotoFolderError(ValueError):
    """A folder, or photographs in it, that cannot be used. The message lists every one with its reason."""


class PhotoFolder:
    """Photographs by name.

    Making one lists the folder and reads no photograph, so it is cheap in every worker; call `check` once before work
    that takes long.

    Args:
        path: The folder.
        names: Use these only (relative, with slashes); None takes every photograph in the folder.

    Attributes:
        path: The folder.
        names: Sorted relative names, with slashes.
        passed_over: A line about the files that are not named like pictures; "" where there are none.

    Raises:
        PhotoFolderError: No such folder, no photographs in it, names that are not in it, links that lead out of it.
    """

    def __init__(self, path: str | os.PathLike[str], names: Iterable[str] | None = None):
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise PhotoFolderError(f"{self.path} is no folder; give one that holds photographs ({pictures.KINDS}).")
        self._root = os.path.realpath(self.path)
        problems: list[str] = []
        self.passed_over = ""
        found = self._list(problems) if names is None else sorted(set(names))
        self._paths: dict[str, str] = {}
        for name in found:
            real = self._locate(name, problems)
            if real is not None:
                self._paths[name] = real
        _raise_all(self.path, problems)
        self.names = tuple(self._paths)
        if not self.names:
            raise PhotoFolderError(
                f"{self.path} holds no photographs ({pictures.KINDS})."
                + (f" {self.passed_over}." if self.passed_over else "")
            )

    def _list(self, problems: list[str]) -> tuple[str, ...]:
        listing = pictures.list_folder(self._root)
        problems += listing.problems
        self.passed_over = listing.passed_over()
        return listing.pictures

    def _locate(self, name: str, problems: list[str]) -> str | None:
        """Return the real path of a photograph, or None and a line in `problems`."""
        try:
            name.encode()
            path = os.path.realpath(os.path.join(self._root, name))
        except ValueError:  # not UTF-8 (surrogates), or with a null character
            problems.append(f"{name!r}: not a usable name; rename it")
            return None
        if os.path.isabs(name) or not path.startswith(os.path.join(self._root, "")):
            problems.append(f"{name}: leads out of the folder; copy the photograph into it")
        elif not pictures.is_picture_name(name):
            problems.append(f"{name}: expected a photograph ({pictures.KINDS})")
        elif not os.path.isfile(path):
            problems.append(f"{name}: no such file")
        else:
            return path
        return None

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over names, sizes and contents, in hexadecimal; reads every file, once."""
        digest = hashlib.sha256()
        for name, path in self._paths.items():
            content = pathlib.Path(path).read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def check(self) -> None:
        """Decode every photograph, and warns of the files that are passed over.

        Raises:
            PhotoFolderError: Lists all that are broken, too large or too small.
        """
        problems = []
        for name in self.names:
            try:
                self.read(name)
            except PhotoFolderError as error:
                problems.append(str(error))
        _raise_all(self.path, problems)
        if self.passed_over:
            warnings.warn(f"{self.path}: {self.passed_over}", stacklevel=2)

    def read(self, name: str, *, least: int | None = None) -> np.ndarray:
        """Return a photograph, upright, uint8 [height width 3].

        Args:
            name: One of `names`.
            least: Pixels a side that are enough: a larger JPEG may come smaller, which reads it much faster.

        Raises:
            PhotoFolderError: Not one of `names`; broken, too large, too small.
        """
        if name not in self._paths:
            raise PhotoFolderError(f"{name}: not one of the {count(len(self.names), 'photograph')} in {self.path}.")
        try:
            picture = pictures.decode(self._paths[name], min_side=LEAST_SIDE, enough=least)
        except pictures.PictureError as error:
            raise PhotoFolderError(f"{name}: {error}") from error
        return np.asarray(picture.image)


def _raise_all(path: pathlib.Path, problems: list[str]) -> None:
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise PhotoFolderError(
            f"{path}: {count(len(problems), 'photograph')} cannot be used; mend or remove them:\n{lines}"
        )
