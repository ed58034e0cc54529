"""Reads the new protocol of CUHK03, `cuhk03_new_protocol_config_{labeled,detected}.mat` (MATLAB 5).

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. The file gives the name of
each image (`filelist`), its identity (`labels`) and its camera (`camId`), and the 1-based positions of the splits
(`train_idx`, `query_idx` and `gallery_idx`). The whole dataset follows from it, so any contradiction in it is an error.

The file comes from outside. SciPy, which reads it, inflates without a limit and allocates nested arrays of whatever
size their headers claim, so both are checked in the bytes first ("MAT-File Format", MathWorks, "Level 5 MAT-File
Format"). An element is a type, a size (uint32 each) and that many bytes; a matrix is an element made of elements.
"""

import dataclasses
import itertools
import os
import pathlib
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.io

from datasets.errors import problems_error, raise_problems

NUM_PAIRS = 5
NUM_CELLS = 10  # images per person, the first five from view 1
MAX_IMAGES = 100_000
MAX_FILE_BYTES = 1 << 24  # the real files are far smaller
MAX_INFLATED_BYTES = 1 << 26  # the real files have about 2 MB
MAX_NAME = 256  # characters; the real names have 14
NAME = re.compile(r"([1-5])_(\d{3})_([12])_(\d{2})\.png")
INDICES = {"train": "train_idx", "query": "query_idx", "gallery": "gallery_idx"}
_NUMERIC = frozenset({"double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))})
# Types of elements and the class of text.
_MATRIX, _COMPRESSED, _CHAR = 14, 15, 4
_FILE_HEADER = 128  # bytes
_TAG = struct.Struct("<2I")
# The matrix's tag; the class's tag, class and unused; the dimensions' tag, rows and columns; the name's tag.
_MATRIX_HEADER = struct.Struct("<12I")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The identity of each image, and the images of each split.

    Attributes:
        names: File names `{pair}_{person:03d}_{view}_{image:02d}.png`.
        labels: Identity of each image, as the file numbers it.
        splits: 0-based positions in `names`, in the file's order: train, query and gallery.
    """

    names: list[str]
    labels: list[int]
    splits: dict[str, list[int]]

    def camera(self, position: int) -> int:
        """Return the 0-based camera of an image: the view is the third field of its name."""
        return int(self.names[position].split("_")[2]) - 1


def image_name(pair: int, person: int, image: int) -> str:
    """Return the file name of an image of a person before a pair of cameras; all three count from 1."""
    return f"{pair}_{person:03d}_{1 if image <= NUM_CELLS // 2 else 2}_{image:02d}.png"


def read_protocol(path: str | os.PathLike[str], advice: str) -> Protocol:
    """Read and check a protocol file.

    Raises:
        DatasetError: The file is unreadable, or its variables do not agree; names everything that is wrong.
    """
    variables = _load(path, advice)
    problems: list[str] = []
    names = _names(variables["filelist"], problems)
    columns = {key: _integers(key, variables[key], problems) for key in ("labels", "camId", *INDICES.values())}
    for key in ("labels", "camId"):
        if len(columns[key]) != len(names):
            problems.append(
                f"{key}: expected as many entries as in filelist ({len(names):,}), found {len(columns[key]):,}"
            )
    raise_problems(f"{path} is no protocol file of CUHK03", problems, advice)

    problems += _image_problems(names, columns["labels"], columns["camId"])
    problems += _split_problems(names, columns["labels"], {split: columns[key] for split, key in INDICES.items()})
    raise_problems(f"{path} is no protocol file of CUHK03", problems, advice)
    splits = {split: [index - 1 for index in columns[key]] for split, key in INDICES.items()}
    return Protocol(names, columns["labels"], splits)


def _load(path: str | os.PathLike[str], advice: str) -> dict[str, Any]:
    """Return the six variables, after checking their classes and sizes."""
    title = f"{path} is no protocol file of CUHK03"
    size = os.path.getsize(path)
    if size > MAX_FILE_BYTES:
        raise problems_error(title, [f"expected at most {MAX_FILE_BYTES:,} bytes, found {size:,}"], advice)
    expected = {"filelist": {"cell"}, **dict.fromkeys(("labels", "camId", *INDICES.values()), _NUMERIC)}
    # SciPy reports damaged files by many exception types.
    try:
        matrices = _matrices(pathlib.Path(path).read_bytes())
        headers: dict[str, list[tuple[tuple[int, ...], str, bytes]]] = {}
        for (name, shape, kind), matrix in zip(scipy.io.whosmat(path), matrices, strict=True):
            headers.setdefault(name, []).append((shape, kind, matrix))
    except Exception as error:
        raise problems_error(title, [f"not a readable MATLAB 5 file ({error})"], advice) from error
    problems = []
    for name, kinds in expected.items():
        if name not in headers:
            problems.append(f"{name}: no such variable")
            continue
        if len(headers[name]) > 1:
            problems.append(f"{name}: expected one variable of this name, found {len(headers[name])}")
            continue
        shape, kind, _ = headers[name][0]
        # A vector, 1 x N or N x 1.
        if kind not in kinds or len(shape) != 2 or 1 not in shape or not 1 <= max(shape) <= MAX_IMAGES or 0 in shape:
            wanted = "cell array of names" if name == "filelist" else "vector of numbers"
            problems.append(f"{name}: expected a {wanted} with 1 to {MAX_IMAGES:,} entries, found {kind} {shape}")
    raise_problems(title, problems, advice)
    raise_problems(title, _cell_problems(headers["filelist"][0][2]), advice)
    try:
        return scipy.io.loadmat(path, variable_names=list(expected))
    except Exception as error:
        raise problems_error(title, [f"not a readable MATLAB 5 file ({error})"], advice) from error


def _matrices(content: bytes) -> list[bytes]:
    """Return the elements of a MATLAB 5 file in order, inflated.

    Raises:
        ValueError: It is not such a file, or inflates to more than `MAX_INFLATED_BYTES`.
    """
    # SciPy reads a file with a zero among its first four bytes as MATLAB 4.
    if 0 in content[:4] or content[_FILE_HEADER - 4 : _FILE_HEADER] != b"\x00\x01IM":
        raise ValueError("expected the header of a little-endian file")
    matrices, left = [], MAX_INFLATED_BYTES
    for kind, element in _elements(content, _FILE_HEADER):
        matrix = element
        if kind == _COMPRESSED:
            matrix = zlib.decompressobj().decompress(element[_TAG.size :], left + 1)
            left -= len(matrix)
            if left < 0:
                raise ValueError(f"expected at most {MAX_INFLATED_BYTES:,} bytes uncompressed, found more")
        matrices.append(matrix)
    return matrices


def _elements(content: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the bytes, tag included, of the elements from `start` on."""
    while start < len(content):
        kind, size = _TAG.unpack_from(content, start)
        end = start + _TAG.size + size
        if end > len(content):
            raise ValueError(f"truncated: expected {end:,} bytes, found {len(content):,}")
        yield kind, content[start:end]
        start = end


def _cell_problems(matrix: bytes) -> list[str]:
    """Return a line for each cell of `filelist` that is not a short text, judging by its headers alone."""
    try:
        *_, rows, columns, _, name_size = _MATRIX_HEADER.unpack_from(matrix)
        elements = _elements(matrix, _MATRIX_HEADER.size + name_size)  # eight letters: no padding
        cells = [cell for _, cell in itertools.islice(elements, rows * columns + 1)]
    except (ValueError, struct.error) as error:
        return [f"filelist: not a readable cell array ({error})"]
    if len(cells) != rows * columns:
        return [f"filelist: holds another number of cells than the {rows} x {columns} that it claims"]
    return [
        f"filelist{{{number}}}: expected a name" for number, cell in enumerate(cells, start=1) if not _is_text(cell)
    ]


def _is_text(cell: bytes) -> bool:
    """Return whether a cell is a character array of at most `MAX_NAME` characters and nothing else."""
    if len(cell) < _MATRIX_HEADER.size + _TAG.size:
        return False
    tag, _, class_tag, class_size, flags, _, shape_tag, shape_size, rows, columns, name_tag, name_size = (
        _MATRIX_HEADER.unpack_from(cell)
    )
    header = (tag, class_tag, class_size, flags & 0xFF, shape_tag, shape_size, name_tag, name_size)
    if header != (_MATRIX, 6, 8, _CHAR, 5, 8, 1, 0) or rows * columns > MAX_NAME:
        return False
    kind, size = _TAG.unpack_from(cell, _MATRIX_HEADER.size)
    # Up to four bytes lie in the tag itself, whose type then holds their number; more are padded to eight.
    padded = 0 if kind >> 16 else size + -size % 8
    return len(cell) == _MATRIX_HEADER.size + _TAG.size + padded


def _names(cells: np.ndarray, problems: list[str]) -> list[str]:
    names = []
    for number, cell in enumerate(cells.flat, start=1):
        if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size == 1:
            names.append(str(cell.flat[0]))
        else:
            problems.append(f"filelist{{{number}}}: expected a name")
    return names


def _integers(key: str, values: np.ndarray, problems: list[str]) -> list[int]:
    flat = values.ravel()
    if flat.dtype.kind not in "iuf":
        problems.append(f"{key}: expected numbers, found {flat.dtype}")
        return []
    whole = np.isfinite(flat) & (np.abs(flat) < 2**31) & (flat == np.round(flat))
    problems += [f"{key}({i + 1}): expected a whole number, found {flat[i]}" for i in np.flatnonzero(~whole)]
    return [int(value) for value in np.where(whole, flat, 0)]


def _image_problems(names: list[str], labels: list[int], cameras: list[int]) -> list[str]:
    """Return lines for bad names, and for cameras and identities that contradict the names."""
    problems = []
    label_of: dict[tuple[str, str], int] = {}
    person_of: dict[int, tuple[str, str]] = {}
    for number, (name, label, camera) in enumerate(zip(names, labels, cameras, strict=True), start=1):
        match = NAME.fullmatch(name)
        if (
            not match
            or not 1 <= int(match[4]) <= NUM_CELLS
            or name != image_name(int(match[1]), int(match[2]), int(match[4]))
        ):
            problems.append(
                f"filelist{{{number}}}: expected pair_person_view_image.png like 1_001_2_06.png, view 1 for images 1 "
                f"to 5 and view 2 for 6 to 10, found {name!r}"
            )
            continue
        if camera != int(match[3]):
            problems.append(f"camId({number}): expected {match[3]}, the view of {name}, found {camera}")
        person = (match[1], match[2])
        if label_of.setdefault(person, label) != label:
            problems.append(f"labels({number}): {name} is {label}, other images of this person are {label_of[person]}")
        elif person_of.setdefault(label, person) != person:
            other = "_".join(person_of[label])
            problems.append(f"labels({number}): {name} is {label}, which is person {other} elsewhere")
    problems += [f"filelist: {name!r} is there {number} times" for name, number in Counter(names).items() if number > 1]
    return problems


def _split_problems(names: list[str], labels: list[int], splits: dict[str, list[int]]) -> list[str]:
    """Return lines for bad indices, images in no split, and people in both training and test."""
    problems = []
    used: Counter[int] = Counter()
    for split, indices in splits.items():
        outside = [index for index in indices if not 1 <= index <= len(names)]
        problems += [f"{INDICES[split]}: expected 1 to {len(names):,}, found {index}" for index in outside]
        used.update(index for index in indices if 1 <= index <= len(names))
    problems += [f"{names[index - 1]}: in the splits {number} times" for index, number in used.items() if number > 1]
    problems += [f"{name}: in no split" for index, name in enumerate(names, start=1) if index not in used]
    people = {split: {labels[i - 1] for i in indices if 1 <= i <= len(names)} for split, indices in splits.items()}
    for split in ("query", "gallery"):
        problems += [f"labels: {label} is in train and {split}" for label in sorted(people["train"] & people[split])]
    return problems
