"""Renders a recipe into a folder with several workers, resumable at any pair."""

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias, cast

from absl import logging
from ml_collections import ConfigDict

from experiments.command_line.progress import progress
from render import manifest
from render.figure import mirror
from render.optics import rasterizer
from render.optics.rasterizer import OpenGLError
from render.recipes import build, paper
from render.recipes.paper_studio import PaperStudio
from render.recipes.studio import Studio
from san_jax import files, folder_lock

# One core a worker: threads of libraries would fight, and would make sums depend on their number.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LP_NUM_THREADS": "0",  # llvmpipe, the software OpenGL
}
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file


Recipe: TypeAlias = build.Recipe | paper.PaperPit


class RenderError(RuntimeError):
    """The rendering could not be done. The message says which pair or which file, and what to do."""


def run(
    config: ConfigDict,
    *,
    output_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    num_workers: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> None:
    """Renders what is missing of a recipe, and builds the TFDS dataset when the folder is complete.

    Args:
        config: `recipe` ("pit" or "pit_reid"), `seed`, and the recipe's parameters.
        output_dir: The rendered folder.
        data_dir: Where TFDS keeps datasets; None builds none.
        num_workers: Number of processes; 0 is one a core.
        shard: (i, n): draw only the i-th of n parts.

    Raises:
        RenderError: The folder holds another rendering, or a worker failed.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process draws into the folder (the same shard, or one of the two all of
            it) or builds its dataset, or the folder cannot be written.
    """
    recipe = make_recipe(config)
    folder = pathlib.Path(output_dir)
    index, count = shard
    if not 0 <= index < count:
        raise RenderError(f"--shard={index}/{count}: expected i/n with 0 <= i < n.")
    with folder_lock.hold(folder, f"shard-{index}-of-{count}" if count > 1 else ""):
        _run(recipe, folder, index, count, num_workers)
        if finish(folder, recipe) and data_dir is not None:
            try:
                _build(recipe, folder, data_dir)
            except folder_lock.FolderInUseError as error:
                if count == 1:
                    raise
                logging.info("%s", error)  # by a shard that ended at the same moment


def _run(recipe: Recipe, folder: pathlib.Path, index: int, count: int, num_workers: int) -> None:
    """Draws what is missing of a part. A folder that was begun here and has no picture yet is left empty on failure."""
    is_new = not (folder / manifest.HEADER_FILE).exists()
    prepare_folder(folder, recipe, alone=count == 1)
    wanted = [
        recipe.group(number)
        for number in range(recipe.num_groups * index // count, recipe.num_groups * (index + 1) // count)
    ]
    done = {pair for group in wanted for pair in group if read_record(folder, pair) is not None}
    todo = [missing for group in wanted if (missing := [pair for pair in group if pair not in done])]
    if not todo:
        return
    try:
        _render(recipe, folder, todo, num_workers or os.cpu_count() or 1, sum(map(len, wanted)), len(done))
    except BaseException:
        if is_new and count == 1:  # another shard may have begun to draw
            _take_back(folder)
        raise


def _take_back(folder: pathlib.Path) -> None:
    """Removes what `prepare_folder` wrote, unless something was drawn: other parameters may then be tried."""
    begun = [folder / name for name in (manifest.HEADER_FILE, manifest.MIRROR_FILE)]
    if all(path in begun or folder_lock.is_lock(path) for path in folder.iterdir()):
        for path in begun:
            path.unlink(missing_ok=True)


def _build(recipe: Recipe, folder: pathlib.Path, data_dir: str | os.PathLike[str]) -> None:
    import datasets  # only here: rendering needs no TFDS

    path = datasets.build_dataset(recipe.name, data_dir=data_dir, manual_dir=folder)
    logging.info("TFDS dataset: %s", path)


def make_recipe(config: ConfigDict) -> Recipe:
    """The recipe of a config."""
    fields = config.to_dict()
    if fields["recipe"] == "paper":
        del fields["recipe"]
        return paper.PaperPit(**fields)
    return build.make_recipe(fields)


def check(recipe: Recipe) -> str:
    """Verifies every file that a recipe needs, without drawing; returns what there is, for people.

    Raises:
        render.recipes.base.RecipeError: Files are missing or malformed; lists all of them, each with where to get it.
        render.scene.photo_folder.PhotoFolderError: The same of a folder of photographs.
    """
    recipe.parameters()
    counts = recipe.inputs.counts if isinstance(recipe, paper.PaperPit) else {}
    lines = "".join(f"\n  {name}: {count}" for name, count in counts.items())
    return f"All inputs are there: {recipe.num_pairs} pairs can be drawn.{lines}"


def prepare_folder(folder: pathlib.Path, recipe: Recipe, *, alone: bool = True) -> None:
    """Makes the folder or checks that it belongs to this recipe, and removes what a killed run left half written.

    Args:
        folder: The rendered folder.
        recipe: What is to be drawn.
        alone: Nobody else draws into the folder. Else what was half written within the last hour stays: another shard
            may be writing it.

    Raises:
        RenderError: The folder was begun with other parameters, or holds something else.
        ValueError: The recipe cannot be drawn: files are missing, or its body has no mirror map. Nothing was written.
    """
    header = manifest.Header(
        recipe.name, recipe.seed, recipe.num_pairs, recipe.parameters(), recipe.license, recipe.notes
    )
    if (folder / manifest.HEADER_FILE).exists():
        differing = _differences(manifest.read_header(folder), header)
        if differing:
            raise RenderError(
                f"{folder} was begun with other parameters:\n"
                + "".join(f"  {key}: {old!r} there, {new!r} now\n" for key, (old, new) in differing.items())
                + "Give the parameters of the first run, or another --output_dir."
            )
    elif folder.exists() and any(path.suffix != ".tmp" and not folder_lock.is_lock(path) for path in folder.iterdir()):
        raise RenderError(f"{folder} is not empty and has no {manifest.HEADER_FILE}: give a new or empty --output_dir.")
    mirror_file = folder / manifest.MIRROR_FILE
    # Before anything is written: a body may have none.
    content = None if mirror_file.exists() else mirror.encode_map(recipe.mirror_map())
    manifest.write_header(folder, header)
    if content is not None:
        files.write_atomic(mirror_file, content)
    for path in folder.rglob(".*.tmp"):
        with suppress(FileNotFoundError):
            if alone or time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def _differences(old: manifest.Header, new: manifest.Header) -> dict[str, tuple[Any, Any]]:
    flat_old, flat_new = (_flat({**vars(one), "parameters": None, **one.parameters}) for one in (old, new))
    return {
        key: (flat_old.get(key, "absent"), flat_new.get(key, "absent"))
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key, "absent") != flat_new.get(key, "absent")
    }


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters under dotted keys, as a command line has them."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def record_path(folder: pathlib.Path, index: int) -> pathlib.Path:
    """The file that marks a pair as done."""
    return folder / "records" / f"{index:06d}.json"


def read_record(folder: pathlib.Path, index: int) -> manifest.Record | None:
    """The record of a pair that is done; None if it, or a file that it names, is missing or was left empty."""
    path = record_path(folder, index)
    try:
        record = manifest.record_from_json(path.read_text(encoding="utf-8"), path)
    except (FileNotFoundError, UnicodeDecodeError, manifest.ManifestError):
        return None
    names = (record.image, record.texture, record.frontal)
    return record if all(name is None or _is_there(folder / name) for name in names) else None


def _is_there(path: pathlib.Path) -> bool:
    """Whether a file is there with its content: a machine that crashes may leave it empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def finish(folder: pathlib.Path, recipe: Recipe) -> bool:
    """Writes `manifest.jsonl` if every pair of the recipe is done; returns whether it is."""
    records = [read_record(folder, index) for index in range(recipe.num_pairs)]
    complete = [record for record in records if record is not None]
    if len(complete) < len(records):
        logging.info("%s: %d of %d pairs; other shards are missing.", folder, len(complete), len(records))
        return False
    manifest.write_records(folder, complete)
    logging.info("%s: complete, %d pairs. Licence: %s", folder, len(complete), recipe.license)
    return True


def draw_pair(studio: Studio | PaperStudio, recipe: Recipe, folder: pathlib.Path, index: int) -> None:
    """Draws one pair and writes its files, the record last."""
    record = recipe.plan(index)
    for name, content in studio.draw(record).items():
        # Pairs of one texture share its file.
        if name != record.texture or not _is_there(folder / name):
            files.write_atomic(folder / name, content)
    files.write_atomic(record_path(folder, index), (manifest.record_to_json(record) + "\n").encode())


# ---------------------------------------------------------------------------------------------------------- workers


@dataclasses.dataclass
class _Worker:
    """Its number, process, the pipe to it, and the pairs that it was given and has not finished."""

    number: int
    process: BaseProcess
    pipe: Connection
    pairs: list[int]


@dataclasses.dataclass(frozen=True)
class _Ready:
    """A worker's first message: with which OpenGL it draws."""

    opengl: str


def _work(recipe: Recipe, folder: pathlib.Path, pipe: Connection, number: int) -> None:
    """Worker `number`: receives lists of pairs, sends the index of each when it is done, or a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    try:
        rasterizer.choose_device(number)
        studio = recipe.studio()
        pipe.send(_Ready(rasterizer.describe()))
        while True:
            for index in pipe.recv():
                draw_pair(studio, recipe, folder, index)
                pipe.send(index)
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except (OpenGLError, OSError) as error:  # the message says all
        pipe.send(str(error))
    except Exception:
        pipe.send(traceback.format_exc())


def _render(
    recipe: Recipe, folder: pathlib.Path, todo: list[list[int]], num_workers: int, total: int, done: int
) -> None:
    """Draws groups of pairs with spawned workers. A group stays together: its pairs share a texture."""
    context = multiprocessing.get_context("spawn")
    waiting = iter(todo)
    workers: list[_Worker] = []
    with _environment(_WORKER_ENVIRONMENT):
        for number in range(min(num_workers, len(todo))):
            ours, theirs = cast(tuple[Connection, Connection], context.Pipe())
            process = context.Process(target=_work, args=(recipe, folder, theirs, number), daemon=True)
            process.start()
            theirs.close()
            workers.append(_Worker(number, process, ours, []))
    try:
        with progress(recipe.name, total=total, done=done, unit="pair") as update:
            while workers:
                ready = set(multiprocessing.connection.wait([worker.pipe for worker in workers]))
                for worker in [worker for worker in workers if worker.pipe in ready]:
                    if _receive(worker, recipe):
                        update()
                    if not worker.pairs:
                        worker.pairs = list(next(waiting, []))
                        if not worker.pairs:
                            worker.pipe.close()
                            workers.remove(worker)
                            worker.process.join()
                            continue
                        worker.pipe.send(worker.pairs)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _receive(worker: _Worker, recipe: Recipe) -> bool:
    """Takes a worker's message; returns whether it was a finished pair.

    Raises:
        RenderError: The worker failed or died.
    """
    try:
        message = worker.pipe.recv()
    except EOFError:
        worker.process.join()
        raise RenderError(_failure(worker, recipe, f"died ({_describe_exit(worker.process.exitcode)})")) from None
    if isinstance(message, str):
        raise RenderError(_failure(worker, recipe, f"failed:\n{message.rstrip()}"))
    if isinstance(message, _Ready):
        logging.info("worker %d: %s", worker.number, message.opengl)
        return False
    worker.pairs.remove(message)
    return True


def _failure(worker: _Worker, recipe: Recipe, what: str) -> str:
    if worker.pairs:
        index = worker.pairs[0]
        where = f"while drawing pair {index} ({recipe.plan(index).name})"
    else:
        where = "while it was set up"
    return f"A worker {what}\n{where}. What is finished is kept: the same command goes on from there."


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        hint = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
        return f"signal {signal.Signals(-code).name}{hint}"
    return f"exit status {code}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def show_preview(config: ConfigDict, output_dir: str | os.PathLike[str]) -> None:
    """Draws the contact sheets of a recipe into a folder.

    Raises:
        RenderError: There is no offscreen OpenGL.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process writes the folder, or it cannot be written.
    """
    from experiments.pages import preview  # only here: workers need it not

    with folder_lock.hold(output_dir):
        try:
            paths = preview.draw_sheets(make_recipe(config), pathlib.Path(output_dir))
        except OpenGLError as error:
            raise RenderError(str(error)) from error
    for path in paths:
        print(path)


def parse_shard(text: str) -> tuple[int, int]:
    """Reads "i/n".

    Raises:
        ValueError: It is something else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"--shard={text}: expected i/n with 0 <= i < n, such as 0/4.")
    return int(match[1]), int(match[2])
