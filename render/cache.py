"""Arrays that are computed once on a machine and kept in the user's cache folder.

The name of a file holds a digest of the code and data that its arrays depend on, so another version of them gets a file
of its own. Processes that need a missing file at the same time each compute it: all write the same bytes, atomically.
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
    """Return `$XDG_CACHE_HOME/san_jax` or `~/.cache/san_jax`.

    Raises:
        RuntimeError: The variable is not set, and the user has no home folder.
    """
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "san_jax"


def cached(
    name: str,
    sources: Iterable[str | os.PathLike[str]],
    make: Callable[[], Mapping[str, np.ndarray]],
    *,
    compress: bool = False,
) -> pathlib.Path | bytes:
    """Return a `.npz` of arrays from the cache; where there is none, make and store it.

    A file that is cut short or no zip archive is made again. If the folder cannot be written, every process makes the
    arrays for itself, with a warning.

    Args:
        name: Beginning of the file's name.
        sources: Files that the arrays depend on.
        make: Makes the arrays.
        compress: Whether the file is compressed.

    Returns:
        Path of the file, or its content where it could not be stored. `load` takes either.
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
        f"{name} could not be kept for the next time, and every process makes its own ({problem}): set XDG_CACHE_HOME "
        "to a folder that can be written.",
        stacklevel=2,
    )
    return buffer.getvalue()


def load(stored: pathlib.Path | bytes, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays in what `cached` returned.

    Args:
        stored: What `cached` returned.
        names: Names of the arrays; None for all.

    Raises:
        ValueError: The file is damaged; the message says which one to remove.
    """
    try:
        with np.load(io.BytesIO(stored) if isinstance(stored, bytes) else stored, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{stored} is damaged ({error}): remove it, it is made again.") from error
