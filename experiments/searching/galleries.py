"""Galleries to search: files and folders of embeddings, and living galleries, read in blocks and filtered."""

import dataclasses
import datetime
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from san_jax import embedding_files, id_words, inference, living_gallery
from san_jax.embedding_files import BLOCK, Embeddings
from san_jax.id_words import IdWords
from san_jax.moments import Moment
from san_jax.pictures import MAX_NAMED

EARLIEST_DATE = 1e8  # seconds since 1970, in 1973: times before it are taken for those of a video


class SearchError(ValueError):
    """What cannot be searched as asked for. The message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Filters:
    """Which pictures of a gallery are looked at.

    Attributes:
        asked: Those of these cameras, each the user's word for it or its number, as text; empty for all.
        cameras: The numbers of these cameras, see `numbered`.
        after: Those taken at this time or later; None for all.
        before: Those taken at this time or earlier; None for all.
    """

    asked: tuple[str, ...] = ()
    cameras: tuple[int, ...] = ()
    after: Moment | None = None
    before: Moment | None = None

    def numbered(self, words: IdWords) -> "Filters":
        """Return the filters with the numbers of the cameras that are asked for.

        A word of the gallery's is taken for that, also one like "2"; any other number for itself.

        Raises:
            SearchError: A camera is neither.
        """
        numbers = {word: number for number, word in words.cameras.items()}
        unknown = [one for one in self.asked if one not in numbers and not (one.isascii() and one.isdecimal())]
        if unknown:
            known = ", ".join(sorted(numbers)[:MAX_NAMED]) or "none: give their numbers"
            raise SearchError(
                f"--cameras={','.join(self.asked)}: the gallery has no camera {', '.join(unknown)}. Its words for cameras "
                f"are {known}{', ...' if len(numbers) > MAX_NAMED else ''}."
            )
        return dataclasses.replace(
            self, cameras=tuple(numbers[one] if one in numbers else int(one) for one in self.asked)
        )

    @property
    def by_time(self) -> bool:
        return self.after is not None or self.before is not None

    def chosen(self, block: Embeddings) -> np.ndarray:
        """Return which embeddings of a block are looked at, bool [N]; a picture whose time is not known is not."""
        chosen = np.isin(block.camera_ids, self.cameras) if self.cameras else np.ones(len(block), bool)
        if self.by_time:
            assert block.times is not None
            chosen &= block.times >= (-np.inf if self.after is None else self.after.seconds)
            chosen &= block.times <= (np.inf if self.before is None else self.before.seconds)
        return chosen

    def as_numbers(self) -> dict[str, Any]:
        """Return the filters by their names, times in seconds."""
        after, before = (None if time is None else time.seconds for time in (self.after, self.before))
        return {"cameras": self.cameras, "after": after, "before": before}

    def words(self) -> str:
        """Return the filters for people; "" where there are none."""
        parts = [f"cameras {', '.join(self.asked or map(str, self.cameras))}"] if self.cameras else []
        parts += [] if self.after is None else [f"from {self.after.words()} on"]
        parts += [] if self.before is None else [f"up to {self.before.words()}"]
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
            for block in self.living.blocks(size, **filters.as_numbers()):
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

    def times_words(self) -> str:
        """Say from when to when its pictures were taken, and what kind of times these are."""
        times = [block.times for _, block in self.blocks(Filters()) if block.times is not None]
        known = np.concatenate([block[~np.isnan(block)] for block in times]) if times else np.zeros(0)
        if not len(known):
            return "No picture's time is known."
        first, last = float(known.min()), float(known.max())
        if last < EARLIEST_DATE:
            return (
                f"Its times are seconds, as of a video from its start, from {first:.6g} s to {last:.6g} s: give --after "
                "and --before in such seconds, not as dates."
            )
        dates = [
            datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat(" ", "seconds") for time in (first, last)
        ]
        return f"Its pictures were taken from {dates[0]} to {dates[1]}."


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
        maker = embedding_files.maker_words(made_by.get("workdir"), step)
        raise SearchError(
            f"{path} was made by {maker}, not by {embedding_files.maker_words(workdir, encoder.step)} ({differing}). Give "
            f"the run that made it as --workdir{which}, or embed the pictures again: python -m experiments.embed "
            f"--workdir={workdir}{here} --images={made_by.get('images', 'DIR')} --output={path} --overwrite"
        )
