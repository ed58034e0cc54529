"""Files of embeddings, as `python -m experiments.embed` writes them: Parquet, .npz, or a folder of Parquet parts.

    embeddings = san_jax.load_embeddings("gallery.parquet")
    embeddings.names, embeddings.embeddings, embeddings.made_by["weights_sha256"]

A Parquet file has the columns `name` (string), `embedding` (list of D float32 or float16), `person_id` and `camera_id`
(int64, or null where it is not known). What made the embeddings stands as JSON under the key `san_jax` of its metadata.
An .npz file holds arrays of the same names and the JSON as `san_jax`; nothing in it is pickled. Either may hold `time`,
when each picture was taken (seconds as a number, in Parquet also a timestamp), and `track`, the tracker's id of it.
"""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Float, Float64, Int64

from san_jax import files

KEY = "san_jax"
CARD = "embeddings.json"  # of a folder of parts, written when all of them are there
PARQUET, NPZ = ".parquet", ".npz"
UNKNOWN = -1  # id of an unknown person or camera in an .npz file
# What tells the embeddings of one encoder from those of others, in `Embeddings.made_by`.
IDENTITY = ("weights_sha256", "san_pg_sha256", "image_size", "metric", "flip")
BLOCK = 8192  # embeddings that are in memory at a time where a file is read in blocks

Parts: TypeAlias = Iterable["Embeddings"]


class EmbeddingFileError(ValueError):
    """No file of embeddings, or a damaged one. The message names it and says what was expected."""


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of pictures, in the order in which they were listed.

    Attributes:
        names: Name of each picture: its path in the folder, its line in the list, or its name in the dataset.
        embeddings: float32 or float16 [N D].
        person_ids: int64 [N], `UNKNOWN` where the person is not known.
        camera_ids: int64 [N], likewise.
        made_by: What made them: `workdir`, `step`, `weights_sha256`, `image_size`, `metric`, `runtime`, `flip`,
            `images`, `left_out` (a list of [name, reason]) and more; empty for a part that is not written yet. Of a
            dataset of own pictures, `names` has the words of persons and cameras, see `san_jax.id_words`.
        times: When each picture was taken, float64 [N]: seconds, since 1970 or since a video's start, NaN where that is
            not known; None for a file that does not say it.
        tracks: The track of each picture, int64 [N], `UNKNOWN` where it is not known; None likewise.
    """

    names: list[str]
    embeddings: Float[np.ndarray, "count dim"]
    person_ids: Int64[np.ndarray, " count"]
    camera_ids: Int64[np.ndarray, " count"]
    made_by: dict[str, Any] = dataclasses.field(default_factory=dict)
    times: Float64[np.ndarray, " count"] | None = None
    tracks: Int64[np.ndarray, " count"] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> "Embeddings":
        """Return some of the embeddings, by their indices or by a mask."""
        return Embeddings(
            np.asarray(self.names, object)[rows].tolist(),
            self.embeddings[rows],
            self.person_ids[rows],
            self.camera_ids[rows],
            self.made_by,
            None if self.times is None else self.times[rows],
            None if self.tracks is None else self.tracks[rows],
        )


def load_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Read embeddings that `python -m experiments.embed` wrote.

    Args:
        path: A .parquet or .npz file, or a folder of parts.

    Raises:
        FileNotFoundError: There is no such file or folder.
        EmbeddingFileError: It is no file of embeddings, it is damaged, or not all parts of the folder are there yet.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _concatenate(list(read_parts(path)), read_card(path))
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a file or folder of `python -m experiments.embed`.")
    return _read_npz(path) if path.suffix == NPZ else read_parquet(path)


def read_made_by(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `Embeddings.made_by` of a file or folder without reading the embeddings; errors as `load_embeddings`."""
    path = pathlib.Path(path)
    if path.is_dir():
        return read_card(path)
    if path.suffix == NPZ:
        with _naming(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _parsed_made_by(str(arrays[KEY]))
    return read_head(path)[1]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return in words by what two encoders differ, of the keys of `IDENTITY` that both have; "" for embeddings of one."""

    def words(value: Any) -> str:
        return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else repr(value)

    different = [key for key in IDENTITY if key in there and key in here and there[key] != here[key]]
    return "; ".join(f"{key}: {words(there[key])} there, {words(here[key])} here" for key in different)


def maker_words(workdir: Any, step: int | None) -> str:
    """Say what made embeddings: "runs/san at step 7", or for an encoder that is no run "rendered-small"."""
    return f"{workdir}" if step is None else f"{workdir} at step {step}"


def check_made_by(path: str | os.PathLike[str], made_by: Mapping[str, Any]) -> None:
    """Raise an EmbeddingFileError unless the metadata of a file tell its encoder from others."""
    if lacking := [key for key in (*IDENTITY, "workdir", "step") if key not in made_by]:
        raise EmbeddingFileError(
            f"{path} does not say what made its embeddings: its metadata lack {', '.join(lacking)}. Expected a file of "
            "`python -m experiments.embed`; embed the pictures by it."
        )


def part_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Return the path of a part in a folder of parts."""
    return folder / f"part-{number:06d}{PARQUET}"


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Return the card of a finished folder of parts.

    Raises:
        EmbeddingFileError: There is none: it is another folder, or not all parts are there yet.
    """
    if not (folder / CARD).is_file():
        raise EmbeddingFileError(
            f"{folder} has no {CARD}: it is no folder of embeddings, or an unfinished one. To finish it, give the "
            "command that began it again."
        )
    return files.read_json(folder / CARD)


def read_parts(folder: pathlib.Path) -> Iterator[Embeddings]:
    """Yield the parts of a folder in order, each with its own `left_out`."""
    for number in range(read_card(folder)["parts"]):
        yield read_parquet(part_path(folder, number))


def read_parquet(path: pathlib.Path) -> Embeddings:
    """Read a Parquet file of embeddings; errors as `load_embeddings`."""
    with _naming(path):
        table = pyarrow.parquet.read_table(path)
        return from_table(table, _made_by_in(table.schema.metadata))


def from_table(table: pyarrow.Table, made_by: dict[str, Any]) -> Embeddings:
    """Return the embeddings in a table with the columns of a Parquet file."""
    column = table.column("embedding").combine_chunks()
    if not pyarrow.types.is_fixed_size_list(column.type):
        raise ValueError(f"the column embedding is {column.type}, not lists of one size")
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
    person_ids, camera_ids = (_ids(table.column(name)) for name in ("person_id", "camera_id"))
    embeddings = values.reshape(len(table), column.type.list_size)
    times = _seconds(table.column("time")) if "time" in table.column_names else None
    tracks = _ids(table.column("track")) if "track" in table.column_names else None
    return _checked(table.column("name").to_pylist(), embeddings, person_ids, camera_ids, made_by, times, tracks)


def _ids(column: pyarrow.ChunkedArray) -> np.ndarray:
    return column.fill_null(UNKNOWN).to_numpy()


def _checked(
    names: list[Any],
    embeddings: np.ndarray,
    person_ids: np.ndarray,
    camera_ids: np.ndarray,
    made_by: dict[str, Any],
    times: np.ndarray | None,
    tracks: np.ndarray | None,
) -> Embeddings:
    """Return embeddings of a file that others may have written.

    Raises:
        ValueError: The columns are not of one length, or hold something else than they are to hold.
    """
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name is no text")
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise ValueError(f"the embeddings are {embeddings.dtype} in {embeddings.ndim} dimensions, not floats in 2")
    ids = [person_ids, camera_ids, *([] if tracks is None else [tracks])]
    columns = [*ids, *([] if times is None else [times])]
    if len(embeddings) != len(names) or any(column.shape != (len(names),) for column in columns):
        raise ValueError("its columns are not of one length")
    if not all(column.dtype.kind in "iu" for column in ids):
        raise ValueError("the ids of persons, cameras or tracks are no whole numbers")
    persons, cameras = (np.asarray(column, np.int64) for column in ids[:2])
    times = None if times is None else np.asarray(times, np.float64)
    tracks = None if tracks is None else np.asarray(tracks, np.int64)
    return Embeddings(names, embeddings, persons, cameras, made_by, times, tracks)


def _made_by_in(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return what made the embeddings of a Parquet file with this metadata."""
    text = (metadata or {}).get(KEY.encode())
    if text is None:
        raise ValueError(f"its metadata lack the key {KEY}; pandas does not keep it, PyArrow does")
    return _parsed_made_by(text)


def _parsed_made_by(text: str | bytes) -> dict[str, Any]:
    made_by = json.loads(text)
    if not isinstance(made_by, dict):
        raise ValueError(f"what made it is no JSON object but {str(made_by)[:40]}")
    return made_by


def _seconds(column: pyarrow.ChunkedArray) -> Float64[np.ndarray, " count"]:
    """A column of numbers or timestamps as seconds, NaN where it is null."""
    if pyarrow.types.is_timestamp(column.type):
        microseconds = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False).cast(pyarrow.int64())
        return np.asarray(microseconds.cast(pyarrow.float64(), safe=False).fill_null(np.nan).to_numpy()) / 1e6
    return np.asarray(column.cast(pyarrow.float64()).fill_null(np.nan).to_numpy())


def read_blocks(path: str | os.PathLike[str], size: int = BLOCK) -> Iterator[Embeddings]:
    """Yield the embeddings of a file or folder in order, at most `size` at a time, without holding the others in memory.

    Args:
        path: As in `load_embeddings`, with its errors.
        size: Embeddings in a block, at most. `made_by` of the blocks is empty.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        for number in range(read_card(path)["parts"]):
            yield from _parquet_blocks(part_path(path, number), size)
    elif not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a file or folder of `python -m experiments.embed`.")
    else:
        yield from (_npz_blocks if path.suffix == NPZ else _parquet_blocks)(path, size)


def _parquet_blocks(path: pathlib.Path, size: int) -> Iterator[Embeddings]:
    with _naming(path), pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(size):
            yield from_table(pyarrow.Table.from_batches([batch]), {})


def _npz_blocks(path: pathlib.Path, size: int) -> Iterator[Embeddings]:
    with _naming(path), zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        names = ["name", "embedding", "person_id", "camera_id"]
        names += [name for name in ("time", "track") if f"{name}.npy" in archive.namelist()]
        members = {name: _Member(stack.enter_context(archive.open(f"{name}.npy"))) for name in names}
        (count, *_) = members["embedding"].shape
        for start in range(0, count, size):
            block = {name: member.read(min(size, count - start)) for name, member in members.items()}
            ids = block["person_id"], block["camera_id"]
            known = block.get("time"), block.get("track")
            yield _checked(block["name"].tolist(), block["embedding"], *ids, {}, *known)


class _Member:
    """An array of an .npz file that is read some rows at a time."""

    def __init__(self, file: Any) -> None:
        self._file = file
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        self.shape, is_fortran, self._dtype = header[np.lib.format.read_magic(file)](file)
        if is_fortran or self._dtype.hasobject:
            raise ValueError("an array in it is not stored row by row, or holds pickled objects")

    def read(self, rows: int) -> np.ndarray:
        shape = (rows, *self.shape[1:])
        content = self._file.read(int(np.prod(shape)) * self._dtype.itemsize)
        return np.frombuffer(content, self._dtype).reshape(shape)


def read_head(path: pathlib.Path) -> tuple[int, dict[str, Any]]:
    """Return the number of embeddings in a Parquet file and what made them, without reading them."""
    with _naming(path):
        metadata = pyarrow.parquet.read_metadata(path)
        return metadata.num_rows, _made_by_in(metadata.metadata)


def write_parquet(path: pathlib.Path, parts: Parts, made_by: Mapping[str, Any], *, size: int, dtype: str) -> None:
    """Write a Parquet file, a row group a part, complete or not at all.

    Args:
        path: The file.
        parts: The embeddings. Each part is in memory only while it is written.
        made_by: See `Embeddings.made_by`.
        size: Numbers of an embedding.
        dtype: "float32" or "float16".
    """
    parts = iter(parts)
    first = next(parts, None)
    schema = make_schema(
        size,
        dtype,
        with_times=first is not None and first.times is not None,
        with_tracks=first is not None and first.tracks is not None,
    )
    schema = schema.with_metadata({KEY: json.dumps(dict(made_by), allow_nan=False)})
    with (
        _replacing(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema, compression="none", use_dictionary=False) as writer,
    ):
        for part in itertools.chain([] if first is None else [first], parts):
            if len(part):
                writer.write_table(as_table(part, schema), row_group_size=len(part))


def make_schema(size: int, dtype: str, *, with_times: bool = False, with_tracks: bool = False) -> pyarrow.Schema:
    """Return the columns of a Parquet file of embeddings of `size` numbers."""
    return pyarrow.schema(
        [
            pyarrow.field("name", pyarrow.string(), nullable=False),
            pyarrow.field("embedding", pyarrow.list_(pyarrow.from_numpy_dtype(np.dtype(dtype)), size), nullable=False),
            pyarrow.field("person_id", pyarrow.int64()),
            pyarrow.field("camera_id", pyarrow.int64()),
            *([pyarrow.field("time", pyarrow.float64())] if with_times else []),
            *([pyarrow.field("track", pyarrow.int64())] if with_tracks else []),
        ]
    )


def write_npz(
    path: pathlib.Path,
    parts: Callable[[], Parts],
    made_by: Mapping[str, Any],
    *,
    size: int,
    dtype: str,
) -> None:
    """Write an .npz file, complete or not at all; arguments as in `write_parquet`, but that parts are read repeatedly.

    The arrays are stored uncompressed, `names` as text of fixed width.
    """
    sizes = [(len(part), max((len(name) for name in part.names), default=0)) for part in parts()]
    has_times = any(part.times is not None for part in itertools.islice(parts(), 1))
    has_tracks = any(part.tracks is not None for part in itertools.islice(parts(), 1))
    count, width = sum(length for length, _ in sizes), max((longest for _, longest in sizes), default=0)
    columns: dict[str, tuple[tuple[int, ...], np.dtype[Any], Callable[[Embeddings], Any]]] = {
        "name": ((count,), np.dtype(f"<U{max(width, 1)}"), lambda part: part.names),
        "embedding": ((count, size), np.dtype(dtype), lambda part: part.embeddings),
        "person_id": ((count,), np.dtype(np.int64), lambda part: part.person_ids),
        "camera_id": ((count,), np.dtype(np.int64), lambda part: part.camera_ids),
    }
    if has_times:
        columns["time"] = ((count,), np.dtype(np.float64), lambda part: part.times)
    if has_tracks:
        columns["track"] = ((count,), np.dtype(np.int64), lambda part: part.tracks)
    with _replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, (shape, kind, take) in columns.items():
            with _member(archive, name) as member:
                header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for part in parts():
                    member.write(np.asarray(take(part), kind).tobytes())
        with _member(archive, KEY) as member:
            np.lib.format.write_array(member, np.array(json.dumps(dict(made_by), allow_nan=False)))


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    # Without a date of its own, equal content gives equal bytes. Large arrays need zip64.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _read_npz(path: pathlib.Path) -> Embeddings:
    with _naming(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        made_by = _parsed_made_by(str(arrays[KEY]))
        ids = arrays["person_id"], arrays["camera_id"]
        known = arrays.get("time"), arrays.get("track")
        return _checked(arrays["name"].tolist(), arrays["embedding"], *ids, made_by, *known)


def as_table(part: Embeddings, schema: pyarrow.Schema) -> pyarrow.Table:
    """Return embeddings as a table with the columns of `make_schema`."""
    kind = schema.field("embedding").type
    values = np.ascontiguousarray(part.embeddings, kind.value_type.to_pandas_dtype()).ravel()
    values = pyarrow.array(values, kind.value_type)
    ids = [_as_column(ids) for ids in (part.person_ids, part.camera_ids)]
    embeddings = pyarrow.FixedSizeListArray.from_arrays(values, kind.list_size)
    columns = [pyarrow.array(part.names, pyarrow.string()), embeddings, *ids]
    if "time" in schema.names:
        times = np.full(len(part), np.nan) if part.times is None else part.times
        columns.append(pyarrow.array(times, mask=np.isnan(times)))
    if "track" in schema.names:
        columns.append(_as_column(np.full(len(part), UNKNOWN) if part.tracks is None else part.tracks))
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _as_column(ids: Int64[np.ndarray, " count"]) -> pyarrow.Array:
    return pyarrow.array(ids, pyarrow.int64(), mask=ids == UNKNOWN)


def _concatenate(parts: list[Embeddings], made_by: dict[str, Any]) -> Embeddings:
    has_times = all(part.times is not None for part in parts)
    has_tracks = all(part.tracks is not None for part in parts)
    return Embeddings(
        [name for part in parts for name in part.names],
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.person_ids for part in parts]),
        np.concatenate([part.camera_ids for part in parts]),
        made_by,
        np.concatenate([part.times for part in parts if part.times is not None]) if has_times else None,
        np.concatenate([part.tracks for part in parts if part.tracks is not None]) if has_tracks else None,
    )


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Turn what a library raises for a file that is none of these, or damaged, into an error that names it."""
    try:
        yield
    except (
        *(ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError),
        *(zipfile.BadZipFile, zlib.error, pyarrow.ArrowException),
        *(NotImplementedError, RuntimeError),  # zipfile's: an unknown compression, a password
        OSError,
    ) as error:
        # PyArrow's errors about content have no number; zipfile goes to wherever a damaged directory points.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise EmbeddingFileError(
            f"{path} is no file of embeddings, or damaged ({str(error).strip()}): expected a {PARQUET} or {NPZ} file of "
            "`python -m experiments.embed`."
        ) from error


@contextlib.contextmanager
def _replacing(path: pathlib.Path) -> Iterator[str]:
    """Give the path of a temporary file beside `path` that takes its place if the body succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise
