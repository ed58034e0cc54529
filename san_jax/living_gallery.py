"""Galleries that grow and shrink: embeddings in a LanceDB table, a folder without a server.

    gallery = living_gallery.open_gallery("people")
    gallery.add(embedding_files.read_blocks("new.parquet"), embedding_files.read_made_by("new.parquet"))
    gallery.remove(["old.jpg"])

A search reads it in blocks as it reads a file (`LivingGallery.blocks`), so it finds the same. What LanceDB adds: each
change is made whole or not at all, searches go on meanwhile, and filters are applied where the rows are stored.
"""

import dataclasses
import importlib
import importlib.util
import os
import pathlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow

from san_jax import embedding_files, files, id_words
from san_jax.embedding_files import BLOCK, IDENTITY, Embeddings
from san_jax.id_words import IdWords

CARD = "gallery.json"  # what made the embeddings
UNFINISHED = ".unfinished"  # there while the first embeddings are written; what a killed process left is replaced
TABLE = "embeddings"
PACKAGE = "lancedb"
INSTALL = "pip install 'lancedb>=0.40'"
LOG = "LANCEDB_LOG"  # LanceDB's environment variable: the level from which it writes to stderr
_KEPT = (*IDENTITY, "workdir", "step", "embedding_size", "dtype", "runtime")  # of `made_by`


class GalleryError(ValueError):
    """A living gallery that cannot be read or changed as asked for. The message says why, and what to do."""


class MissingPackageError(RuntimeError):
    """LanceDB is not installed. The message says how to install it."""


def check_package() -> None:
    """Raise MissingPackageError where LanceDB is absent."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingPackageError(f"A living gallery needs {PACKAGE}, not installed here. Install it with: {INSTALL}")


def is_gallery(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a living gallery."""
    return (pathlib.Path(path) / CARD).is_file()


def open_gallery(path: str | os.PathLike[str]) -> "LivingGallery":
    """Open a living gallery, or a new one that `add` will make.

    Raises:
        MissingPackageError: LanceDB is not installed.
        GalleryError: The folder holds other files.
    """
    check_package()
    path = pathlib.Path(path)
    others = [name.name for name in path.iterdir() if not name.name.startswith(".")] if path.is_dir() else []
    if others and not is_gallery(path) and not (path / UNFINISHED).is_file():
        raise GalleryError(f"{path} holds other files ({', '.join(sorted(others)[:3])}): give another folder.")
    return LivingGallery(path)


class LivingGallery:
    """A gallery of embeddings whose names are unique; `open_gallery` opens one.

    Attributes:
        path: Its folder.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._database = _import_package().connect(os.fspath(path))

    def __len__(self) -> int:
        return self._open_table().count_rows() if is_gallery(self.path) else 0

    @property
    def made_by(self) -> dict[str, Any]:
        """What made the embeddings, see `Embeddings.made_by`; empty for a new gallery."""
        return files.read_json(self.path / CARD) if is_gallery(self.path) else {}

    def add(self, blocks: Iterable[Embeddings], made_by: Mapping[str, Any]) -> int:
        """Add embeddings, all or none of them, and return how many.

        The user's words for persons and cameras are kept. What has a word that the gallery knows gets the gallery's
        number for it, and what has a new word a number that the gallery does not use yet.

        Args:
            blocks: The embeddings.
            made_by: What made them; the first ones decide what a gallery takes.

        Raises:
            GalleryError: They were made by something else than those that are there, or a name is there already or
                comes twice.
        """
        kept: dict[str, Any] = {key: made_by.get(key) for key in _KEPT}
        there = self.made_by
        if differing := embedding_files.differences(there, kept):
            first, second = (embedding_files.maker_words(made["workdir"], made["step"]) for made in (there, kept))
            raise GalleryError(
                f"{self.path} holds embeddings of {first}, not of {second} ({differing}): embed the pictures by that run, "
                "or begin another gallery."
            )
        schema = embedding_files.make_schema(
            kept["embedding_size"],
            there.get("dtype") or kept["dtype"],
            with_times=True,
            with_tracks=not there or "track" in self._open_table().schema.names,  # earlier galleries have no column
        )
        words, numbers = self._join_words(_words_of(made_by), there)
        before, names, refusals = len(self), set[str](), list[GalleryError]()

        def batches() -> Iterator[pyarrow.RecordBatch]:
            for block in blocks:
                try:
                    self._check_names(block.names, names, is_new=not there)
                except GalleryError as error:
                    refusals.append(error)
                    raise
                yield from embedding_files.as_table(_renumbered(block, *numbers), schema).to_batches()

        reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
        try:
            if there:
                self._write_words(words)  # first: words of numbers that no row has do no harm
                self._open_table().add(reader)
            else:
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / UNFINISHED).touch()
                self._database.create_table(TABLE, reader, mode="overwrite")
                files.write_json(self.path / CARD, {**kept, **words.as_made_by()})  # now the gallery is there
        except Exception:  # LanceDB has an error of its own for whatever the batches raise
            if there:
                self._write_words(_words_of(there))
            if refusals:
                raise refusals[0] from None
            raise
        finally:
            if is_gallery(self.path) or not (self.path / f"{TABLE}.lance").exists():
                (self.path / UNFINISHED).unlink(missing_ok=True)
        return len(self) - before

    def remove(self, names: Sequence[str]) -> int:
        """Remove embeddings by their names, and return how many there were.

        The words of persons and cameras of whom nothing is left go too.

        Raises:
            GalleryError: There are no names, or one is not there; nothing is removed.
        """
        if not names:
            raise GalleryError("there is no name to remove: expected at least one, as the gallery holds it.")
        if not is_gallery(self.path):
            raise GalleryError(f"{self.path} is no living gallery: make one with its first embeddings.")
        missing = sorted(set(names) - self._names_there(names))
        if missing:
            raise GalleryError(f"{self.path} does not hold {len(missing)} of these names: {', '.join(missing[:10])}")
        before = len(self)
        table = self._open_table()
        table.delete(_one_of("name", [_text(name) for name in names]))
        table.optimize()  # what was removed leaves the disk, after LanceDB's time of grace
        self._write_words(_words_of(self.made_by).of(*self._ids()))
        return before - len(self)

    def blocks(
        self,
        size: int = BLOCK,
        *,
        cameras: Sequence[int] = (),
        after: float | None = None,
        before: float | None = None,
    ) -> Iterator[Embeddings]:
        """Yield the embeddings as they were added, at most `size` at a time.

        Args:
            size: Embeddings in a block, at most.
            cameras: Only those of these cameras; empty for all.
            after: Only those from this time on, seconds.
            before: Only those up to this time, seconds.
        """
        where = [_one_of("camera_id", list(map(str, cameras)))] if cameras else []
        where += [] if after is None else [f"time >= {after!r}"]
        where += [] if before is None else [f"time <= {before!r}"]
        query = self._open_table().search()
        for batch in (query.where(" AND ".join(where)) if where else query).to_batches(size):
            yield embedding_files.from_table(pyarrow.Table.from_batches([batch]), {})

    def _open_table(self) -> Any:
        return self._database.open_table(TABLE)

    def _ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of persons and of cameras that are in use, each once."""
        query = self._open_table().search().select(["person_id", "camera_id"])
        found: tuple[set[int], set[int]] = set(), set()
        for batch in query.to_batches(BLOCK):
            for column, ids in zip(("person_id", "camera_id"), found, strict=True):
                ids.update(batch.column(column).unique().to_pylist())
        persons, cameras = (np.array(sorted(ids - {None}), np.int64) for ids in found)
        return persons, cameras

    def _join_words(
        self, new: IdWords, there: Mapping[str, Any]
    ) -> tuple[IdWords, tuple[Mapping[int, int], Mapping[int, int]]]:
        """Return the gallery's words with the new ones, and the gallery's numbers of new persons and cameras."""
        if not there or not new.as_made_by():
            return (_words_of(there) if there else new), ({}, {})
        old = _words_of(there)
        persons, cameras = (
            id_words.numbers_there(words, known, taken.tolist())
            for words, known, taken in zip(
                (new.persons, new.cameras), (old.persons, old.cameras), self._ids(), strict=True
            )
        )
        added = IdWords(
            {persons[id]: word for id, word in new.persons.items()},
            {cameras[id]: word for id, word in new.cameras.items()},
        )
        return old.joined(added), (persons, cameras)

    def _write_words(self, words: IdWords) -> None:
        card = self.made_by
        if _words_of(card) != words:
            card.pop(id_words.KEY, None)
            files.write_json(self.path / CARD, {**card, **words.as_made_by()})

    def _check_names(self, names: Sequence[str], seen: set[str], *, is_new: bool) -> None:
        twice = []
        for name in names:
            twice += [name] if name in seen else []
            seen.add(name)
        if twice:
            raise GalleryError(f"names come twice, and must not in a living gallery: {', '.join(twice[:10])}")
        if not is_new and (there := sorted(self._names_there(names))):
            raise GalleryError(
                f"{self.path} holds {len(there)} of these names already: {', '.join(there[:10])}. Remove them first."
            )

    def _names_there(self, names: Sequence[str]) -> set[str]:
        if not names:
            return set()
        query = self._open_table().search().where(_one_of("name", [_text(name) for name in names])).select(["name"])
        return {name for batch in query.to_batches(BLOCK) for name in batch.column("name").to_pylist()}


def _words_of(made_by: Mapping[str, Any]) -> IdWords:
    try:
        return IdWords.parse(made_by.get(id_words.KEY))
    except ValueError as error:
        raise GalleryError(str(error)) from None


def _renumbered(block: Embeddings, persons: Mapping[int, int], cameras: Mapping[int, int]) -> Embeddings:
    """Return embeddings with the gallery's numbers of their persons and cameras."""
    if not (persons or cameras):
        return block
    return dataclasses.replace(
        block,
        person_ids=id_words.replace_numbers(block.person_ids, persons),
        camera_ids=id_words.replace_numbers(block.camera_ids, cameras),
    )


def _import_package() -> Any:
    """Import LanceDB. A package `datasets` it takes for Hugging Face's and asks for classes that ours does not have.

    It reads once, while it is imported, how much it is to log. It would warn that a new gallery is not there yet, so
    errors only, unless the user says otherwise.
    """
    os.environ.setdefault(LOG, "error")
    if PACKAGE in sys.modules or not _is_ours("datasets"):
        return importlib.import_module(PACKAGE)
    loaded, stand_in = sys.modules.get("datasets"), types.ModuleType("datasets")
    for name in ("Dataset", "DatasetDict", "IterableDataset"):
        setattr(stand_in, name, type(name, (), {}))
    sys.modules["datasets"] = stand_in
    try:
        return importlib.import_module(PACKAGE)
    finally:
        del sys.modules["datasets"]
        if loaded is not None:
            sys.modules["datasets"] = loaded


def _is_ours(package: str) -> bool:
    """Return whether a package is installed beside this one, as those of this project are."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return False
    return pathlib.Path(spec.origin).resolve().parents[1] == pathlib.Path(__file__).resolve().parents[1]


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(values)})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
