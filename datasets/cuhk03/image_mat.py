"""Reads the images in `cuhk-03.mat`, a MATLAB v7.3 file, which is HDF5.

`labeled` and `detected` are 5 x 1 cell arrays with a cell for each pair of cameras. Each of these cells is a persons x
10 cell array: images 1 to 5 are from the first camera, 6 to 10 from the second. Each of its cells is a height x width x
3 uint8 image, or empty. HDF5 stores cells as object references and every array transposed: 1 x 5, 10 x persons, 3 x
width x height.

The file comes from outside. Pixels are read only if the shape, type and stored size of a dataset are those of a person
crop. Links and datasets that point to other files are refused.
"""

import dataclasses
import io
import math
import os
import zlib
from collections.abc import Iterator

import h5py
import numpy as np
from PIL import Image

from datasets.cuhk03 import protocol
from datasets.errors import problems_error
from datasets.images import ImageSource

MAX_PERSONS = 999  # three digits in a name
MAX_PIXELS = 1 << 20  # the crops have some ten thousand
MAX_CHUNK_BYTES = 4 * MAX_PIXELS
_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})


class _MatError(Exception):
    """A file that is not what was expected. The message says what is wrong."""


# h5py reports damaged files by several exception types.
_UNREADABLE = (_MatError, OSError, RuntimeError, ValueError, KeyError, TypeError)


@dataclasses.dataclass(frozen=True, eq=False)
class MatImage(ImageSource):
    """An image of the .mat, read on demand. The file stays open as long as one of its images is kept.

    Attributes:
        file: The open file.
        where: The image's name in messages.
        reference: Reference to the image.
    """

    file: h5py.File
    where: str
    reference: h5py.Reference

    def pixels(self) -> np.ndarray:
        """Return the image, (height, width, 3) uint8."""
        dataset = self.file[self.reference]
        assert isinstance(dataset, h5py.Dataset)  # `_add` checked it
        if problem := _stored_problem(dataset):
            raise _MatError(problem)
        return np.ascontiguousarray(dataset[()].T)

    def problem(self) -> str | None:
        try:
            self.pixels()
        except _UNREADABLE as error:
            return f"{self.where}: unreadable ({error})"
        return None

    def read(self) -> bytes:
        """Return the pixels as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels()).save(buffer, format="PNG")
        return buffer.getvalue()


def list_images(path: str | os.PathLike[str], kind: str, advice: str) -> tuple[dict[str, MatImage], list[str]]:
    """Return one kind of images of `cuhk-03.mat`, and what is wrong with other cells.

    Args:
        path: The file.
        kind: "labeled" or "detected".
        advice: The end of every error: what the user should do.

    Returns:
        Every image by its name in the protocol, in the order of the cells, and a line for each cell that is neither
        an image nor empty.

    Raises:
        DatasetError: The file cannot be read, or its cell arrays are not those of CUHK03.
    """
    title = f"{path} is not the cuhk-03.mat of CUHK03"
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise problems_error(title, [f"not a readable MATLAB v7.3 file ({error})"], advice) from error
    images: dict[str, MatImage] = {}
    problems: list[str] = []
    try:
        for pair, person, image, reference in _cells(file, kind):
            name = protocol.image_name(pair, person, image)
            where = f"{os.fspath(path)}: {kind}{{{pair}}}{{{person},{image}}} ({name})"
            try:
                dataset = file[reference]
                problem, is_empty = _image_problem(dataset), _is_empty(dataset)
            except _UNREADABLE as error:
                problem, is_empty = f"unreadable ({error})", False
            if problem is not None:
                problems.append(f"{where}: {problem}")
            elif not is_empty:
                images[name] = MatImage(file, where, reference)
    except _UNREADABLE as error:
        file.close()
        raise problems_error(title, [str(error)], advice) from error
    return images, problems


def _cells(file: h5py.File, kind: str) -> Iterator[tuple[int, int, int, h5py.Reference]]:
    """Yield pair, person and image (all counted from 1) and the reference of each cell that has one."""
    if not isinstance(file.get(kind, getlink=True), h5py.HardLink):
        raise _MatError(f"{kind}: no such cell array in this file")
    pairs = _references(file[kind], kind)
    if pairs.shape != (1, protocol.NUM_PAIRS):
        raise _MatError(f"{kind}: expected 1 x 5 references (pairs of cameras), found {pairs.shape}")
    for pair, pair_reference in enumerate(pairs[0], start=1):
        where = f"{kind}{{{pair}}}"
        persons = _references(file[pair_reference], where)
        if persons.shape[0] != protocol.NUM_CELLS or not 1 <= persons.shape[1] <= MAX_PERSONS:
            raise _MatError(
                f"{where}: expected 10 x persons references (at most {MAX_PERSONS} persons), found {persons.shape}"
            )
        for person in range(persons.shape[1]):
            for image in range(protocol.NUM_CELLS):
                if persons[image, person]:
                    yield pair, person + 1, image + 1, persons[image, person]


def _references(dataset: object, where: str) -> np.ndarray:
    """Return the references of a cell array, two-dimensional."""
    if not isinstance(dataset, h5py.Dataset):
        raise _MatError(f"{where}: expected a cell array")
    if problem := _foreign(dataset):
        raise _MatError(f"{where}: {problem}")
    is_reference = h5py.check_ref_dtype(dataset.dtype) is h5py.Reference
    if not is_reference or dataset.ndim != 2 or math.prod(dataset.shape) > MAX_PERSONS * protocol.NUM_CELLS:
        raise _MatError(f"{where}: expected a cell array of references, found {dataset.dtype} {dataset.shape}")
    if problem := _stored_problem(dataset):
        raise _MatError(f"{where}: {problem}")
    return dataset[()]


def _foreign(dataset: h5py.Dataset) -> str | None:
    """Return how a dataset points to other files, or None.

    Call it before anything else: even the shape of a virtual dataset may be read from other files.
    """
    if dataset.is_virtual:
        return "a virtual dataset, which points to other files"
    if dataset.external:
        return "its data lies in another file"
    return None


def _image_problem(dataset: object) -> str | None:
    """Return why a cell is neither an image nor empty, judging by its header alone, or None."""
    if not isinstance(dataset, h5py.Dataset):
        return "expected an image"
    if problem := _foreign(dataset):
        return problem
    if _is_empty(dataset):
        return None
    if dataset.ndim != 3 or dataset.shape[0] != 3 or dataset.dtype != np.uint8:
        return f"expected uint8 3 x width x height, found {dataset.dtype} {dataset.shape}"
    if math.prod(dataset.shape) > 3 * MAX_PIXELS:
        return f"expected at most {MAX_PIXELS:,} pixels, found {dataset.shape[1]:,} x {dataset.shape[2]:,}"
    return None


def _is_empty(dataset: object) -> bool:
    """Return whether a cell is empty: MATLAB stores an empty array as the list of its dimensions."""
    return isinstance(dataset, h5py.Dataset) and (len(dataset.shape) < 3 or 0 in dataset.shape)


def _stored_problem(dataset: h5py.Dataset) -> str | None:
    """Return why the stored data cannot be read in bounded memory, or None.

    The header must have been checked before.
    """
    filters = dataset.id.get_create_plist()
    kinds = [filters.get_filter(index)[0] for index in range(filters.get_nfilters())]
    if not _FILTERS.issuperset(kinds):
        return f"expected gzip compression as MATLAB writes it, found the HDF5 filters {kinds}"
    if dataset.chunks is None:
        return None
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        return f"expected chunks of at most {MAX_CHUNK_BYTES:,} bytes, found {chunk_bytes:,}"
    # Inflate each chunk with a limit here, because HDF5 inflates without one.
    for index in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(index)
        if info.size > chunk_bytes + 64:
            return f"a chunk of {chunk_bytes:,} bytes takes {info.size:,} in the file"
        if h5py.h5z.FILTER_DEFLATE in kinds and not info.filter_mask:
            _, stored = dataset.id.read_direct_chunk(info.chunk_offset)
            try:
                inflated = zlib.decompressobj().decompress(stored, chunk_bytes + 64)
            except zlib.error as error:
                return f"damaged compressed data ({error})"
            if len(inflated) > chunk_bytes:
                return f"a chunk of {chunk_bytes:,} bytes inflates to more"
    return None
