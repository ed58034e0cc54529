"""Galleries to search: files and folders of embeddings, and living galleries, read in blocks and filtered."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from san_jax import embedding_files, id_words, inference, living_gallery
from san_jax.embedding_files import BLOCK, Embeddings
from san_jax.id_words import IdWords


class SearchError(ValueError):
    """What cannot be searched as asked for. The message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Filters:
    """Which pictures of a gallery are looked at.

    Attributes:
        cameras: Those of these cameras; empty for all.
        after: Those taken at this time or later, seconds; None for all.
        before: Those taken at this time or earlier, seconds; None for all.
    """

    cameras: tuple[int, ...] = ()
    after: float | None = None
    before: float | None = None

    @property
    def by_time(self) -> bool:
        return self.after is not None or self.before is not None

    def chosen(self, block: Embeddings) -> np.ndarray:
        """Return which embeddings of a block are looked at, bool [N]; a picture whose time is not known is not."""
        chosen = np.isin(block.camera_ids, self.cameras) if self.cameras else np.ones(len(block), bool)
        if self.by_time:
            assert block.times is not None
            chosen &= block.times >= (-np.inf if self.after is None else self.after)
            chosen &= block.times <= (np.inf if self.before is None else self.before)
        return chosen

    def words(self) -> str:
        """Return the filters for people; "" where there are none."""
        parts = [f"cameras {', '.join(map(str, self.cameras))}"] if self.cameras else []
        parts += [] if self.after is None else [f"from {self.after:.16g} s on"]
        parts += [] if self.before is None else [f"up to {self.before:.16g} s"]
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A gallery that is searched.

    Attributes:
        path: The file or folder.
        made_by: What made the embeddings, see `Embeddings.made_by`.
        living: The living gallery, or None for a file or a folder of parts.
    """

    path: str
    made_by: Mapping[str, Any]
    living: living_gallery.LivingGallery | None = None

    @property
    def words(self) -> IdWords:
        """The user's words for persons and cameras."""
        return read_words(self.path, self.made_by)

    def blocks(self, filters: Filters, size: int = BLOCK) -> Iterator[tuple[np.ndarray, Embeddings]]:
        """Yield the embeddings that the filters leave, in order, with their numbers in the gallery.

        Args:
            filters: Which are looked at.
            size: Embeddings that are in memory at a time.

        Raises:
            SearchError: Times are asked for, and the gallery knows none.
        """
        first = 0
        if self.living is not None:
            for block in self.living.blocks(size, **dataclasses.asdict(filters)):
                yield np.arange(first, first + len(block)), block
                first += len(block)
            return
        for block in embedding_files.read_blocks(self.path, size):
            if filters.by_time and block.times is None:
                raise SearchError(
                    f"{self.path} does not say when its pictures were taken: it has no column `time` (docs/search.md "
                    "shows how to add one). Leave --after and --before out."
                )
            rows = np.flatnonzero(filters.chosen(block))
            yield first + rows, block if len(rows) == len(block) else block.take(rows)
            first += len(block)


def open_gallery(path: str | os.PathLike[str]) -> Gallery:
    """Open a file or folder of embeddings, or a living gallery.

    Raises:
        FileNotFoundError: There is no such file or folder.
        san_jax.embedding_files.EmbeddingFileError: It is none of these, or damaged.
        san_jax.living_gallery.MissingPackageError: It is a living gallery, and LanceDB is not installed.
    """
    if living_gallery.is_gallery(path):
        living = living_gallery.open_gallery(path)
        gallery = Gallery(os.fspath(path), living.made_by, living)
    elif not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist: expected a file or folder of `python -m experiments.embed`.")
    else:
        gallery = Gallery(os.fspath(path), embedding_files.read_made_by(path))
    embedding_files.check_made_by(path, gallery.made_by)
    return gallery


def read_words(path: str | os.PathLike[str], made_by: Mapping[str, Any]) -> IdWords:
    """Return the user's words for the persons and cameras of embeddings.

    Raises:
        san_jax.embedding_files.EmbeddingFileError: They are malformed.
    """
    try:
        return IdWords.parse(made_by.get(id_words.KEY))
    except ValueError as error:
        raise embedding_files.EmbeddingFileError(f"{path}: {error}") from None


def check_maker(
    path: str | os.PathLike[str], made_by: Mapping[str, Any], encoder: inference.Encoder, workdir: str
) -> None:
    """Raise SearchError unless embeddings were made by an encoder.

    Args:
        path: The file of the embeddings.
        made_by: What made them.
        encoder: The encoder.
        workdir: Where the encoder comes from.
    """
    if differing := embedding_files.differences(made_by, encoder.identity):
        step = made_by.get("step")
        which = "" if step is None else f" and --checkpoint={step}"
        here = "" if encoder.step is None else f" --checkpoint={encoder.step}"
        raise SearchError(
            f"{path} was made by {made_by.get('workdir')} at step {step}, not by {workdir} at step {encoder.step} "
            f"({differing}). Give the run that made it as --workdir{which}, or embed the pictures again: python -m "
            f"experiments.embed --workdir={workdir}{here} --images={made_by.get('images', 'DIR')} --output={path} "
            "--overwrite"
        )
