"""Reads the UV mirror map that lies beside a dataset's shards, `mirror_map.npy`.

The map turns the texture of an image into the texture of the horizontally flipped image:
`texture[map[..., 0], map[..., 1]]`. Any program can read it with `np.load(folder / "mirror_map.npy")`, where `folder`
is the folder of the dataset's version, `builder.data_dir` in TFDS.
"""

import io
import os
import pathlib

import numpy as np

from datasets.errors import DatasetError
from datasets.examples import TEXTURE_SIZE
from render import manifest

_SHAPE = (*TEXTURE_SIZE, 2)
_DTYPE = np.dtype("<u2")
_MAX_BYTES = int(np.prod(_SHAPE)) * _DTYPE.itemsize + 4096  # the header is small


def read_mirror_map(directory: str | os.PathLike[str]) -> np.ndarray:
    """Return the mirror map of a rendered folder, a built dataset or a training run.

    Args:
        directory: A rendered folder, a dataset's folder `data_dir/name/version`, or a run's folder.

    Returns:
        uint16 [256 256 2]: (row, column) of the texel from which each texel of a mirrored texture takes its colour.

    Raises:
        DatasetError: There is no mirror map, or it is malformed.
    """
    path = pathlib.Path(directory) / manifest.MIRROR_FILE
    return _parse(_read(path), path)


def read_mirror_file(directory: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the name and the bytes of a folder's mirror map, for `Archive.extra_files`.

    Raises:
        DatasetError: There is no mirror map, or it is malformed.
    """
    path = pathlib.Path(directory) / manifest.MIRROR_FILE
    data = _read(path)
    _parse(data, path)
    return {manifest.MIRROR_FILE: data}


def _read(path: pathlib.Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise DatasetError(
            f"{path} does not exist: expected a rendered folder, or a dataset or run made from one. Render the folder "
            "again with `python -m experiments.pit_render`, or remove the dataset and build it again."
        ) from None


def _parse(data: bytes, path: pathlib.Path) -> np.ndarray:
    wanted = f"{path}: expected an uncompressed .npy array uint16 {list(_SHAPE)}"
    again = "Render the folder, or build the dataset, again."
    if len(data) > _MAX_BYTES:
        raise DatasetError(f"{wanted}, found more than {_MAX_BYTES:,} bytes. {again}")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"format version {version}")
        # Read the header first, so that no memory is allocated for a shape that the file only claims.
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError as error:
        line = " ".join(str(error).split())
        raise DatasetError(f"{wanted}, found something else ({line}). {again}") from None
    if shape != _SHAPE or dtype != _DTYPE or fortran:
        order = ", in Fortran order" if fortran else ""
        raise DatasetError(f"{wanted}, found {dtype} {list(shape)}{order}. {again}")
    values = stream.read()
    if len(values) != int(np.prod(_SHAPE)) * _DTYPE.itemsize:
        raise DatasetError(f"{wanted}, found {len(values):,} bytes of values. {again}")
    index_map = np.frombuffer(values, _DTYPE).reshape(_SHAPE).astype(np.uint16)
    highest = int(index_map.max())
    if highest >= TEXTURE_SIZE[0]:
        raise DatasetError(f"{path}: expected rows and columns below {TEXTURE_SIZE[0]}, found {highest}. {again}")
    return index_map
