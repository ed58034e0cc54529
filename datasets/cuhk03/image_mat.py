"""The images in `cuhk-03.mat`, MATLAB v7.3, which is HDF5.

`labeled` and `detected` are 5 x 1 cell arrays, a cell for each pair of cameras; such a cell is a persons x 10 cell array,
images 1 to 5 from the first camera and 6 to 10 from the second; such a cell is a height x width x 3 uint8 image or
empty. HDF5 stores cells as object references and every array transposed: 1 x 5, 10 x persons, 3 x width x height.

The file comes from outside. Pixels are read only where the shape, type and stored size of a dataset are those of a
person crop, and where they lie in this file: links and datasets that point to other files are refused.
"""

import dataclasses
import io
import math
import os
import zlib

import h5py
import numpy as np
from PIL import Image

from datasets import reid
from datasets.cuhk03 import protocol

MAX_PERSONS = 999  # three digits in a name
MAX_PIXELS = 1 << 20  # the crops have some ten thousand
MAX_CHUNK_BYTES = 4 * MAX_PIXELS
_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})


class _MatError(Exception):
    """The message says what is wrong."""


# h5py reports damaged files by several exception types.
_UNREADABLE = (_MatError, OSError, RuntimeError, ValueError, KeyError, TypeError)


class ImageMat:
    """One kind of images of `cuhk-03.mat`, kept open.

    Attributes:
        images: Every image by its name in the protocol, in the order of the cells.
        problems: One line for each cell that holds neither an image nor nothing.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str, advice: str):
        """Args:
            path: `cuhk-03.mat`.
            kind: "labeled" or "detected".
            advice: What to do about an error.

        Raises:
            DatasetError: The file cannot be read, or its cell arrays are not those of CUHK03.
        """
        self.path = os.fspath(path)
        self.kind = kind
        self.images: dict[str, MatImage] = {}
        self.problems: list[str] = []
        try:
            self._file = h5py.File(path, "r", locking="best-effort")
        except OSError as error:
            reid.raise_problems(
                f"{path} is not the cuhk-03.mat of CUHK03", [f"not a readable MATLAB v7.3 file ({error})"], advice
            )
        try:
            self._list()
        except _UNREADABLE as error:
            reid.raise_problems(f"{path} is not the cuhk-03.mat of CUHK03", [str(error)], advice)

    def _list(self) -> None:
        if not isinstance(self._file.get(self.kind, getlink=True), h5py.HardLink):
            raise _MatError(f"{self.kind}: no such cell array in this file")
        pairs = self._cells(self._file[self.kind], self.kind)
        if pairs.shape != (1, protocol.NUM_PAIRS):
            raise _MatError(f"{self.kind}: expected 1 x 5 references (pairs of cameras), found {pairs.shape}")
        for pair, pair_reference in enumerate(pairs[0], start=1):
            where = f"{self.kind}{{{pair}}}"
            persons = self._cells(self._file[pair_reference], where)
            if persons.shape[0] != protocol.NUM_CELLS or not 1 <= persons.shape[1] <= MAX_PERSONS:
                raise _MatError(
                    f"{where}: expected 10 x persons references (at most {MAX_PERSONS} persons), found {persons.shape}"
                )
            for person in range(persons.shape[1]):
                for cell in range(protocol.NUM_CELLS):
                    self._add(persons[cell, person], pair, person + 1, cell + 1)

    def _cells(self, dataset: object, where: str) -> np.ndarray:
        """The references of a cell array, two-dimensional."""
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

    def _add(self, reference: h5py.Reference, pair: int, person: int, image: int) -> None:
        name = protocol.image_name(pair, person, image)
        where = f"{self.path}: {self.kind}{{{pair}}}{{{person},{image}}} ({name})"
        if not reference:
            return
        try:
            dataset = self._file[reference]
            problem = _image_problem(dataset)
            is_empty = isinstance(dataset, h5py.Dataset) and problem is None and _is_empty(dataset)
        except _UNREADABLE as error:
            problem, is_empty = f"unreadable ({error})", False
        if problem is not None:
            self.problems.append(f"{where}: {problem}")
        elif not is_empty:
            self.images[name] = MatImage(self, name, where, reference)

    def pixels(self, reference: h5py.Reference) -> np.ndarray:
        """The image that a reference points to, (height, width, 3) uint8."""
        dataset = self._file[reference]
        assert isinstance(dataset, h5py.Dataset)  # `_add` checked it
        if problem := _stored_problem(dataset):
            raise _MatError(problem)
        return np.ascontiguousarray(dataset[()].T)


@dataclasses.dataclass(frozen=True, eq=False)
class MatImage:
    """An image of the .mat, read when it is asked for: a `reid.ImageSource`."""

    mat: ImageMat
    name: str
    where: str
    reference: h5py.Reference

    def problem(self) -> str | None:
        try:
            self.mat.pixels(self.reference)
        except _UNREADABLE as error:
            return f"{self.where}: unreadable ({error})"
        return None

    def read(self) -> bytes:
        """The pixels as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.mat.pixels(self.reference)).save(buffer, format="PNG")
        return buffer.getvalue()


def _foreign(dataset: h5py.Dataset) -> str | None:
    """Looked at before anything else: even the shape of a virtual dataset may be read from other files."""
    if dataset.is_virtual:
        return "a virtual dataset, which points to other files"
    if dataset.external:
        return "its data lies in another file"
    return None


def _image_problem(dataset: object) -> str | None:
    """What keeps a cell from being an image or empty, by its header alone."""
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


def _is_empty(dataset: h5py.Dataset) -> bool:
    """MATLAB keeps an empty array as the list of its dimensions."""
    return len(dataset.shape) < 3 or 0 in dataset.shape


def _stored_problem(dataset: h5py.Dataset) -> str | None:
    """What keeps the stored data from being read in bounded memory; the header is known to be small."""
    filters = dataset.id.get_create_plist()
    kinds = [filters.get_filter(index)[0] for index in range(filters.get_nfilters())]
    if not _FILTERS.issuperset(kinds):
        return f"expected gzip compression as MATLAB writes it, found the HDF5 filters {kinds}"
    if dataset.chunks is None:
        return None
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        return f"expected chunks of at most {MAX_CHUNK_BYTES:,} bytes, found {chunk_bytes:,}"
    # HDF5 itself inflates a chunk as far as it goes.
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
