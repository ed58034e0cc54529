"""The pictures that are searched for: a picture, a folder, a list, a split of a dataset, or embeddings of one's own."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.runs import picture_sources
from experiments.searching import galleries
from experiments.searching.galleries import SearchError
from san_jax import embed, embedding_files, inference, pictures
from san_jax.embedding_files import NPZ, PARQUET, Embeddings
from san_jax.id_words import IdWords


@dataclasses.dataclass(frozen=True)
class Queries:
    """What is searched for.

    Attributes:
        embeddings: The queries' names, embeddings and, where they are known, persons and cameras.
        source: Where their pictures are; None where that is not known.
        left_out: [name, reason] of the pictures that could not be read.
        words: The user's words for their persons and cameras.
    """

    embeddings: Embeddings
    source: picture_sources.Pictures | None
    left_out: list[tuple[str, str]]
    words: IdWords


def read(given: str, encoder: inference.Encoder, made_by: Mapping[str, Any], data_dir: str) -> Queries:
    """Read queries, and embed them as the gallery was embedded.

    Args:
        given: A picture, a folder, a text file of paths, DATASET:SPLIT, or a file of embeddings.
        encoder: The run's encoder.
        made_by: What made the gallery.
        data_dir: Where TFDS keeps datasets.

    Raises:
        SearchError: None of the pictures can be read, or the embeddings were made by something else than the gallery.
        experiments.runs.picture_sources.SourceError: `given` is none of these.
    """
    path = pathlib.Path(given)
    if path.suffix in (PARQUET, NPZ) or (path / embedding_files.CARD).is_file():
        return _read_embeddings(path, made_by, data_dir)
    is_picture = path.is_file() and pictures.is_picture_name(path.name)
    source = (
        picture_sources.open_picture(path)
        if is_picture
        else picture_sources.open_pictures(given, data_dir, "--query", takes_picture=True)
    )
    reads, left_out, rows = [], [], []
    size = embed.whole_batch_size(encoder.batch_size)
    for start in range(0, len(source), size):
        found = [source.read(index, encoder.input_size) for index in range(start, min(start + size, len(source)))]
        left_out += [(read.name, read.reason) for read in found if read.image is None]
        images = [read.image for read in found if read.image is not None]
        reads += [read._replace(image=None) for read in found if read.image is not None]
        if images:
            batches = embed.padded_batches(np.stack(images), size)
            rows += encoder.stream(batches, flip=bool(made_by["flip"]))
    if not reads:
        raise SearchError(f"--query={given}: {picture_sources.none_readable(left_out, 'its')}")
    persons, cameras = (
        np.array([getattr(read, key) for read in reads], np.int64) for key in ("person_id", "camera_id")
    )
    embeddings = Embeddings([read.name for read in reads], np.concatenate(rows), persons, cameras)
    return Queries(embeddings, source, left_out, source.words)


def _read_embeddings(path: pathlib.Path, made_by: Mapping[str, Any], data_dir: str) -> Queries:
    embeddings = embedding_files.load_embeddings(path)
    embedding_files.check_made_by(path, embeddings.made_by)
    if differing := embedding_files.differences(embeddings.made_by, made_by):
        of_query, of_gallery = (
            embedding_files.maker_words(made["workdir"], made["step"]) for made in (embeddings.made_by, made_by)
        )
        raise SearchError(
            f"--query={path} was made by {of_query}, the gallery by {of_gallery} ({differing}): embed both by one run, in "
            "one way."
        )
    return Queries(
        embeddings, open_source(embeddings.made_by, data_dir), [], galleries.read_words(path, embeddings.made_by)
    )


def open_source(
    made_by: Mapping[str, Any], data_dir: str | os.PathLike[str], images: str = ""
) -> picture_sources.Pictures | None:
    """Find the pictures of embeddings.

    Args:
        made_by: What made the embeddings; its `images` says where the pictures were.
        data_dir: Where TFDS keeps datasets.
        images: Where they are now; "" for where they were.

    Returns:
        None where they are not there any more.

    Raises:
        experiments.runs.picture_sources.SourceError: `images` is given and holds no pictures.
    """
    if images:
        return picture_sources.open_pictures(images, data_dir)
    try:
        return picture_sources.open_pictures(made_by["images"], data_dir) if "images" in made_by else None
    except (ValueError, OSError):  # a folder that was moved; a dataset elsewhere
        return None
