"""Arrays that are made once on a machine and kept in the user's cache folder.

A file is named by a digest of the code and data that its arrays depend on, so another version of them makes its own.
Processes that need it at once each make it: all write the same bytes, each whole (`files.write_atomic`).
"""

import hashlib
import io
import os
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from san_jax.files import write_atomic


def cache_folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/san_jax` or `~/.cache/san_jax`.

    Raises:
        RuntimeError: Neither is set, and the user has no home.
    """
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "san_jax"


def cached(
    name: str,
    sources: Iterable[str | os.PathLike[str]],
    make: Callable[[], Mapping[str, np.ndarray]],
    *,
    compress: bool = False,
) -> pathlib.Path | bytes:
    """The .npz of arrays: from the cache file, else made and stored.

    A file that is cut short or something else is made again. Where the folder cannot be written the arrays are made in
    every process, with a warning.

    Args:
        name: What the file's name begins with.
        sources: Files that the arrays depend on.
        make: Makes the arrays.
        compress: Compress the file.

    Returns:
        The file, or its content where it could not be stored; either is for `load`.
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(pathlib.Path(source).read_bytes())
    try:
        path = cache_folder() / f"{name}-{digest.hexdigest()[:16]}.npz"
        if zipfile.is_zipfile(path):
            return path
        problem = ""
    except (OSError, RuntimeError) as error:
        path, problem = None, str(error)
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **make())  # pyright: ignore[reportArgumentType]
    if path is not None:
        try:
            write_atomic(path, buffer.getvalue())
            return path
        except OSError as error:
            problem = str(error)
    warnings.warn(
        f"{name} could not be kept for the next time, and every process makes its own ({problem}): set XDG_CACHE_HOME to "
        "a folder that can be written.",
        stacklevel=2,
    )
    return buffer.getvalue()


def load(stored: pathlib.Path | bytes, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of what `cached` gave: those of `names`, or all.

    Raises:
        ValueError: The file is damaged; the message says which to remove.
    """
    try:
        with np.load(io.BytesIO(stored) if isinstance(stored, bytes) else stored, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{stored} is damaged ({error}): remove it, it is made again.") from error
