"""Changes living galleries: what `python -m experiments.gallery` does."""

import os
import pathlib
from collections.abc import Sequence

from experiments.searching import galleries
from san_jax import embedding_files, folder_lock, living_gallery
from san_jax.counts import count
from san_jax.living_gallery import GalleryError, MissingPackageError

KNOWN_ERRORS = (ValueError, OSError, MissingPackageError)


def add(folder: str | os.PathLike[str], embeddings: str | os.PathLike[str]) -> str:
    """Add a file or folder of embeddings to a gallery, made if absent, and return in words what was done.

    Raises:
        san_jax.living_gallery.GalleryError: The gallery cannot take them, see `LivingGallery.add`.
        san_jax.living_gallery.MissingPackageError: LanceDB is not installed.
        san_jax.embedding_files.EmbeddingFileError: They are no embeddings.
    """
    living_gallery.check_package()
    made_by = embedding_files.read_made_by(embeddings)
    embedding_files.check_made_by(embeddings, made_by)
    galleries.read_words(embeddings, made_by)  # refuses malformed ones
    with folder_lock.hold(folder):
        gallery = living_gallery.open_gallery(folder)
        added = gallery.add(embedding_files.read_blocks(embeddings), made_by)
        return f"{folder}: {count(added, 'embedding')} added, {len(gallery):,} now"


def remove(folder: str | os.PathLike[str], names: Sequence[str]) -> str:
    """Remove embeddings from a gallery by their names, and return in words what was done; errors as `add`."""
    gallery = _open(folder)
    with folder_lock.hold(folder):
        return f"{folder}: {count(gallery.remove(names), 'embedding')} removed, {len(gallery):,} left"


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names in a text file, one in each line.

    Raises:
        GalleryError: It is no text.
        OSError: It cannot be read.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise GalleryError(f"{path} is no text file in UTF-8: expected a name in each line.") from None
    return [line for line in text.split("\n") if line]  # other line breaks may be part of a name


def describe(folder: str | os.PathLike[str]) -> str:
    """Return in words what a gallery holds; errors as `add`."""
    gallery = _open(folder)
    maker = embedding_files.maker_words(gallery.made_by["workdir"], gallery.made_by["step"])
    return f"{folder}: {count(len(gallery), 'embedding')} of {maker}, {gallery.made_by['metric']}"


def _open(folder: str | os.PathLike[str]) -> living_gallery.LivingGallery:
    if not living_gallery.is_gallery(folder):
        raise GalleryError(f"{folder} is no living gallery: --add makes one.")
    return living_gallery.open_gallery(folder)
