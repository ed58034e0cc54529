"""Embeds any number of pictures into a file or folder: what `python -m experiments.embed` does.

The pictures are cut into parts by their place in the list. Each part is written whole or not at all, into the folder of
parts, so an interrupted run goes on after the last one; when all are there, they become the file that was asked for. A
picture's place in its batch follows from its place in the list alone (a bad one leaves its row empty). So neither
interruptions nor shards change one bit.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np

from experiments.command_line.progress import progress
from experiments.runs import data_places, shards
from experiments.runs.picture_sources import Pictures, Read, none_readable, open_pictures
from experiments.runs.shards import RECORD_FILE, Part, Shard
from san_jax import (
    checkpoint,
    embed,
    embedding_files,
    files,
    folder_lock,
    id_words,
    inference,
    onnx_file,
    run_folder,
    runtimes,
)
from san_jax.counts import count
from san_jax.embedding_files import CARD, NPZ, PARQUET, Embeddings
from san_jax.id_words import IdWords
from san_jax.pictures import MAX_NAMED

PART_SIZE = 1024  # pictures in a part, rounded up to whole batches


# Names of files that a user may take for possible; a folder of such a name would be a surprise.
_OTHER_FORMS = (".csv", ".feather", ".h5", ".hdf5", ".json", ".jsonl", ".npy", ".pkl", ".pt", ".txt")


class EmbedError(ValueError):
    """Pictures that cannot be embedded as asked for. The message says why, and what to do."""


# Errors that a user can do something about; the messages say what.
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError, onnx_file.MissingPackagesError)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be embedded, by what and how.

    Attributes:
        workdir: A run's folder, or another source that `san_jax.load_encoder` takes.
        images: See `picture_sources.open_pictures`.
        checkpoint: Which of the run's checkpoints, see `san_jax.load_encoder`.
        data_dir: Where TFDS keeps datasets; None to look, see `data_places.find`.
        batch_size: Pictures computed at a time, rounded up to a multiple of the devices.
        runtime: One of `runtimes.RUNTIMES`.
        flip: Average with the embeddings of the pictures mirrored left to right.
        dtype: "float32" or "float16".
        strict: Refuse pictures that cannot be read; else they are left out.
    """

    workdir: str
    images: str
    checkpoint: str = run_folder.NEWEST
    data_dir: str | None = None
    batch_size: int = embed.BATCH_SIZE
    runtime: str = runtimes.JAX
    flip: bool = False
    dtype: str = "float32"
    strict: bool = False


def run(
    request: Request,
    output: str | os.PathLike[str],
    *,
    shard: Shard | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Embed pictures, or a shard of them, and go on with what an interrupted run has done.

    Args:
        request: What is embedded.
        output: A .parquet or .npz file; any other path is a folder of Parquet parts.
        shard: The shard, which is written into `shards.folder(output, shard)`; None for all pictures.
        overwrite: Replace what is there, if it is something else.

    Returns:
        What `output` holds: see `Embeddings.made_by`, `count`, the number of embeddings, and `was_there`, whether all of
        it was there before. Of a shard, its part of it.

    Raises:
        EmbedError: `output` holds something else, pictures cannot be read and `strict` is asked for, or all of them
            cannot be read. Other errors are those of `san_jax.load_encoder` and `open_pictures`.
    """
    output = _checked_output(output)
    data_dir = data_places.find_for_images(request.data_dir, request.workdir, request.images)
    pictures = open_pictures(request.images, data_dir)
    if request.strict:
        _refuse(pictures.problems)
    encoder = inference.load_encoder(
        request.workdir, batch_size=request.batch_size, runtime=request.runtime, checkpoint=request.checkpoint
    )
    made_by = _describe(request, pictures, encoder)
    if shard is None and (found := _finished(output, made_by, overwrite=overwrite)):
        return found
    folder = _parts_folder(output) if shard is None else shards.folder(output, shard)
    part = Part(shard or Shard(0, 1), shards.indices(shard or Shard(0, 1), made_by["parts"]), made_by["parts"], made_by)
    paths = [embedding_files.part_path(folder, number) for number in part.items]
    with folder_lock.hold(folder):
        _begin(folder, part, overwrite=overwrite)
        written = _write_parts(_Work(request, pictures, encoder, made_by, folder), part.items)
        shards.finish(folder)
        if shard is not None:
            return {**_summary(paths, made_by), "was_there": not written}
        summary = _finish(output, paths, made_by)
        _clear(folder, keep_parts=folder == output)
    with contextlib.suppress(OSError):  # not empty: it is the output
        folder.rmdir()
    return {**summary, "was_there": False}


def merge(
    output: str | os.PathLike[str], folders: Sequence[str | os.PathLike[str]] = (), *, overwrite: bool = False
) -> dict[str, Any]:
    """Put the shards of `output` together; the bytes are those of a run without shards.

    Args:
        output: The path that was given to each shard.
        folders: The folders of the shards; those that lie beside `output` where none are given. They are kept.
        overwrite: Replace what `output` holds.

    Returns:
        As `run`.

    Raises:
        shards.ShardError: Shards are missing, unfinished, or not of one run.
        EmbedError: `output` holds something else.
    """
    output = _checked_output(output)
    collected = shards.collect(folders or shards.find(output))
    made_by = _checked_work(*collected[0])
    if found := _finished(output, made_by, overwrite=overwrite):
        return found
    paths = [embedding_files.part_path(folder, number) for folder, part in collected for number in part.items]
    if bad := [str(path) for path in paths if not _is_done(path, made_by)]:
        raise shards.unfinished([f"{path} is missing, damaged or of other work" for path in bad])
    if _is_file(output):
        return {**_finish(output, paths, made_by), "was_there": False}
    with folder_lock.hold(output):
        whole = Part(Shard(0, 1), range(made_by["parts"]), made_by["parts"], made_by)
        _begin(output, whole, overwrite=overwrite)
        for path in paths:
            shards.place(path.parent, path.name, output)
        summary = _finish(output, paths, made_by)
        _clear(output, keep_parts=True)
    return {**summary, "was_there": False}


def describe(summary: dict[str, Any], output: str | os.PathLike[str]) -> str:
    """Return what an output holds and what was left out, for people; `summary` is what `run` returns."""
    left_out = summary["left_out"]
    lines = [f"left out {name}: {reason}" for name, reason in left_out[:MAX_NAMED]]
    if len(left_out) > MAX_NAMED:
        lines.append(f"left out {len(left_out) - MAX_NAMED:,} more: `left_out` of the file's metadata names all")
    holds = f"{count(summary['count'], 'embedding')}, {count(len(left_out), 'picture')} left out"
    lines.append(f"{output} is complete already and holds {holds}" if summary["was_there"] else f"{output}: {holds}")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Work:
    request: Request
    pictures: Pictures
    encoder: inference.Encoder
    made_by: dict[str, Any]
    folder: pathlib.Path


def _describe(request: Request, pictures: Pictures, encoder: inference.Encoder) -> dict[str, Any]:
    """What follows from the request and decides on every bit of the result."""
    batch_size = embed.whole_batch_size(request.batch_size)
    part_size = -(-PART_SIZE // batch_size) * batch_size
    return {
        "workdir": request.workdir,
        "step": encoder.step,
        **encoder.identity,
        "embedding_size": encoder.embedding_size,
        "dtype": request.dtype,
        "flip": request.flip,
        "runtime": request.runtime,
        "versions": {"jax": jax.__version__} | (onnx_file.versions() if request.runtime == runtimes.ONNX else {}),
        "devices": f"{len(jax.local_devices())} x {jax.local_devices()[0].device_kind}",
        "batch_size": batch_size,
        "images": request.images,
        "images_sha256": pictures.digest,
        "pictures": len(pictures),
        "part_size": part_size,
        "parts": -(-len(pictures) // part_size),
    }


def _is_file(output: pathlib.Path) -> bool:
    return output.suffix in (PARQUET, NPZ)


def _checked_output(output: str | os.PathLike[str]) -> pathlib.Path:
    """Return the path of the output; raise an EmbedError where a folder has the name of a file, or the reverse."""
    output = pathlib.Path(output)
    if _is_file(output) and output.is_dir():
        raise EmbedError(f"{output} is a folder: give another --output, as this name is that of a file.")
    if not _is_file(output) and output.exists() and not output.is_dir():
        raise EmbedError(
            f"{output} is a file: expected FILE{PARQUET}, FILE{NPZ} or a folder as --output. Give one of these."
        )
    if output.suffix.lower() in _OTHER_FORMS and not output.exists():
        raise EmbedError(
            f"{output}: embeddings are written as FILE{PARQUET}, FILE{NPZ} or a folder of parts, not as "
            f"{output.suffix}. Give one of these as --output."
        )
    return output


def _checked_work(folder: pathlib.Path, part: Part) -> dict[str, Any]:
    """Return what made a shard's embeddings; raise a ShardError where it is a shard of something else."""
    work = part.work
    needed: dict[str, type] = {"parts": int, "pictures": int, "embedding_size": int, "dtype": str}
    if any(type(work.get(key)) is not kind for key, kind in needed.items()) or work["parts"] != part.total:
        raise shards.ShardError(f"--merge: {folder} holds no shard of embeddings: expected one of experiments.embed.")
    return work


def _is_done(path: pathlib.Path, made_by: dict[str, Any]) -> bool:
    """Return whether a part is there, whole and of this work."""
    try:
        _, found = embedding_files.read_head(path)
    except (FileNotFoundError, embedding_files.EmbeddingFileError):
        return False
    return not shards.differences({key: found.get(key) for key in made_by}, made_by)


def _parts_folder(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f"{output.name}.parts") if _is_file(output) else output


def _finished(output: pathlib.Path, made_by: dict[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """What `output` holds if it is what is asked for; None if it is to be made."""
    if not (output / CARD if output.is_dir() else output).exists():
        return None
    try:
        found = embedding_files.read_made_by(output)
        different = shards.describe(shards.differences({key: found.get(key) for key in made_by}, made_by))
    except embedding_files.EmbeddingFileError as error:
        found, different = {}, f"  {error}\n"
    if not different:
        return {**found, "was_there": True}
    if not overwrite:
        raise EmbedError(f"{output} holds something else:\n{different}Give another --output, or --overwrite.")
    return None


def _begin(folder: pathlib.Path, part: Part, *, overwrite: bool) -> None:
    """Note in a folder of parts what it is to hold, or check that it was begun like that; remove parts of other work."""
    found = [name for name in os.listdir(folder) if not name.startswith(".")]
    if found and not {RECORD_FILE, CARD} & set(found):
        raise EmbedError(f"{folder} holds other files ({', '.join(sorted(found)[:3])}): give another --output.")
    shards.begin(folder, part, overwrite=overwrite)
    (folder / CARD).unlink(missing_ok=True)  # of what is overwritten: what this work has finished is not begun again
    for path in folder.glob(f"part-*{PARQUET}"):
        if not _is_done(path, part.work):
            path.unlink()


def _write_parts(work: _Work, numbers: Sequence[int]) -> int:
    """Write those of the parts that are not there yet, and return how many these were."""
    made_by = work.made_by
    missing = [number for number in numbers if not embedding_files.part_path(work.folder, number).is_file()]
    total = sum(len(_rows(number, made_by)) for number in numbers)
    done = total - sum(len(_rows(number, made_by)) for number in missing)
    starts = [start for number in missing for start in _rows(number, made_by)[:: made_by["batch_size"]]]

    def read(start: int) -> list[Read]:
        stop = min(start + made_by["batch_size"], made_by["pictures"])
        return [work.pictures.read(index, work.encoder.input_size) for index in range(start, stop)]

    with (
        progress("embedding", total=total, done=done, unit="picture") as update,
        contextlib.closing(_read_ahead(read, starts)) as batches,
    ):
        for number in missing:
            _write_part(work, number, batches, update)
    return len(missing)


def _rows(number: int, made_by: dict[str, Any]) -> range:
    """The pictures of a part."""
    start = number * made_by["part_size"]
    return range(start, min(start + made_by["part_size"], made_by["pictures"]))


def _write_part(work: _Work, number: int, batches: Iterator[list[Read]], update: Callable[[], object]) -> None:
    """Embed the next batches of pictures, those of this part, and write them."""
    made_by = work.made_by
    size = made_by["batch_size"]
    good: list[Read] = []
    left_out: list[tuple[str, str]] = []

    def padded() -> Iterator[dict[str, np.ndarray]]:
        for _ in _rows(number, made_by)[::size]:
            reads = next(batches)
            image = np.zeros((size, *work.encoder.input_size, 3), np.uint8)
            valid = np.zeros(size, bool)
            for row, read in enumerate(reads):
                if read.image is None:
                    left_out.append((read.name, read.reason))
                else:
                    image[row], valid[row] = read.image, True
                    good.append(read._replace(image=None))
            if valid.any():
                yield {"image": image, "valid": valid}
            for _ in reads:
                update()

    inputs = padded()
    first = next(inputs, None)  # there may be none, all pictures of the part being bad
    rows = [] if first is None else work.encoder.stream(itertools.chain([first], inputs), flip=work.request.flip)
    embeddings = np.concatenate([np.zeros((0, made_by["embedding_size"]), np.float32), *rows])
    if work.request.strict:
        _refuse([f"{name}: {reason}" for name, reason in left_out])
    part = Embeddings(
        [read.name for read in good],
        embeddings.astype(made_by["dtype"]),
        np.array([read.person_id for read in good], np.int64),
        np.array([read.camera_id for read in good], np.int64),
        times=np.array([read.time for read in good]) if work.pictures.knows_times else None,
        tracks=np.array([read.track for read in good], np.int64) if work.pictures.knows_tracks else None,
    )
    embedding_files.write_parquet(
        embedding_files.part_path(work.folder, number),
        [part],
        {**made_by, **work.pictures.words.of(part.person_ids, part.camera_ids).as_made_by(), "left_out": left_out},
        size=made_by["embedding_size"],
        dtype=made_by["dtype"],
    )


def _refuse(problems: Sequence[str]) -> None:
    """Raise an EmbedError about pictures that cannot be read, if there are any."""
    if problems:
        named = "\n".join(problems[:MAX_NAMED])
        raise EmbedError(f"--strict: {len(problems)} of the pictures cannot be read:\n{named}")


def _read_ahead(function: Callable[[int], list[Read]], starts: Sequence[int]) -> grain.DatasetIterator:
    """Return the function's results in order; as many threads as there are cores are a batch each ahead."""
    threads = len(os.sched_getaffinity(0))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    return iter(grain.MapDataset.source(starts).map(function).to_iter_dataset(options))


def _summary(paths: Sequence[pathlib.Path], made_by: dict[str, Any]) -> dict[str, Any]:
    """What these parts hold together."""
    heads = [embedding_files.read_head(path) for path in paths]
    left_out = [picture for _, head in heads for picture in head["left_out"]]
    words = functools.reduce(IdWords.joined, (IdWords.parse(head.get(id_words.KEY)) for _, head in heads), IdWords())
    return {**made_by, **words.as_made_by(), "left_out": left_out, "count": sum(rows for rows, _ in heads)}


def _finish(output: pathlib.Path, paths: Sequence[pathlib.Path], made_by: dict[str, Any]) -> dict[str, Any]:
    """Make the file of all parts, or the card that says that a folder of parts is complete."""
    summary = _summary(paths, made_by)
    if not summary["count"]:
        raise EmbedError(none_readable(summary["left_out"]))
    options: Any = {"size": made_by["embedding_size"], "dtype": made_by["dtype"]}
    if output.suffix == NPZ:
        embedding_files.write_npz(output, lambda: map(embedding_files.read_parquet, paths), summary, **options)
    elif output.suffix == PARQUET:
        embedding_files.write_parquet(output, map(embedding_files.read_parquet, paths), summary, **options)
    else:
        files.write_json(output / CARD, summary)
    return summary


def _clear(folder: pathlib.Path, *, keep_parts: bool) -> None:
    """Remove what notes that a folder of parts is unfinished, and the parts unless they are to be kept."""
    parts = () if keep_parts else folder.glob(f"part-*{PARQUET}")
    for path in (*parts, *folder.glob(".part-*.tmp"), folder / RECORD_FILE):
        path.unlink(missing_ok=True)
