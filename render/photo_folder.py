"""A user's folder of photographs: backgrounds, cloth. Files from outside are checked before they are decoded.

JPEG, PNG and WebP only, at any depth; hidden files are left out. Nothing outside of the folder is read: a link that
leads out of it is refused.
"""

import functools
import hashlib
import math
import os
import pathlib
import warnings
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MOST_BYTES = 100_000_000
MOST_PIXELS = 50_000_000
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

    Raises:
        PhotoFolderError: No such folder, no photographs in it, names that are not in it, links that lead out of it.
    """

    def __init__(self, path: str | os.PathLike[str], names: Iterable[str] | None = None):
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise PhotoFolderError(f"{self.path} is no folder; give one that holds photographs ({_suffixes()}).")
        self._root = os.path.realpath(self.path)
        problems: list[str] = []
        found = self._list(problems) if names is None else sorted(set(names))
        self._paths: dict[str, str] = {}
        for name in found:
            real = self._locate(name, problems)
            if real is not None:
                self._paths[name] = real
        _raise_all(self.path, problems)
        self.names = tuple(self._paths)
        if not self.names:
            raise PhotoFolderError(f"{self.path} holds no photographs ({_suffixes()}).")

    def _list(self, problems: list[str]) -> list[str]:
        def refuse(error: OSError) -> None:
            problems.append(f"{error.filename}: {error.strerror}")

        names = []
        for folder, folders, files in os.walk(self._root, onerror=refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in folders:
                if os.path.islink(os.path.join(folder, name)):
                    problems.append(f"{self._relative(folder, name)}: is a link to a folder; move the folder here")
            names += [
                self._relative(folder, name)
                for name in files
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
            ]
        return sorted(names)

    def _relative(self, folder: str, name: str) -> str:
        return os.path.relpath(os.path.join(folder, name), self._root).replace(os.sep, "/")

    def _locate(self, name: str, problems: list[str]) -> str | None:
        """The real path of a photograph, or None and a line in `problems`."""
        try:
            name.encode()
            path = os.path.realpath(os.path.join(self._root, name))
        except ValueError:  # not UTF-8 (surrogates), or with a null character
            problems.append(f"{name!r}: not a usable name; rename it")
            return None
        if os.path.isabs(name) or not path.startswith(os.path.join(self._root, "")):
            problems.append(f"{name}: leads out of the folder; copy the photograph into it")
        elif not name.lower().endswith(SUFFIXES):
            problems.append(f"{name}: expected {_suffixes()}")
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
        """Decodes every photograph.

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

    def read(self, name: str, *, least: int | None = None) -> np.ndarray:
        """A photograph, upright, uint8 [height width 3].

        Args:
            name: One of `names`.
            least: Pixels a side that are enough: a larger JPEG may come smaller, which reads it much faster.

        Raises:
            PhotoFolderError: Not one of `names`; broken, too large, too small.
        """
        if name not in self._paths:
            raise PhotoFolderError(f"{name}: not one of the {len(self.names)} photographs in {self.path}.")
        path = self._paths[name]
        try:
            if os.path.getsize(path) > MOST_BYTES:
                raise PhotoFolderError(f"{name}: more than {MOST_BYTES // 10**6} MB; make it smaller")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's on size (checked below), odd metadata and palettes
                with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
                    width, height = image.size
                    if width * height > MOST_PIXELS:
                        raise PhotoFolderError(
                            f"{name}: {width} x {height} is more than {MOST_PIXELS // 10**6} megapixels; make it smaller"
                        )
                    if min(width, height) < LEAST_SIDE:
                        raise PhotoFolderError(f"{name}: {width} x {height}, expected at least {LEAST_SIDE} a side")
                    if image.mode.startswith(("I", "F")):
                        raise PhotoFolderError(f"{name}: {image.mode} pixels; save it with 8 bits a channel")
                    if least is not None and least < min(width, height):
                        scale = least / min(width, height)
                        image.draft("RGB", (math.ceil(width * scale), math.ceil(height * scale)))
                    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except PhotoFolderError:
            raise
        # What a hostile file makes a decoder raise has no common base.
        except Exception as error:
            raise PhotoFolderError(f"{name}: cannot be read ({type(error).__name__}: {error})") from error


def _suffixes() -> str:
    return ", ".join(SUFFIXES)


def _raise_all(path: pathlib.Path, problems: list[str]) -> None:
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise PhotoFolderError(f"{path}: {len(problems)} photographs cannot be used; mend or remove them:\n{lines}")
