"""Draws the pairs of a recipe with several worker processes, one core each.

Every worker is a new process that imports this module, which is why TFDS is not imported here.
"""

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeAlias, cast

from absl import logging

from experiments.command_line.progress import progress
from render import manifest
from render.optics import rasterizer
from render.optics.rasterizer import OpenGLError
from render.recipes import build, paper
from render.recipes.studio import Studio
from san_jax import files

Recipe: TypeAlias = build.Recipe | paper.PaperPit

# One core a worker: threads of libraries would fight, and would make sums depend on their number.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LP_NUM_THREADS": "0",  # llvmpipe, the software OpenGL
}


class RenderError(RuntimeError):
    """The rendering could not be done. The message says which pair or which file, and what to do."""


@contextmanager
def one_core() -> Iterator[None]:
    """Let the processes that are started inside use one core each."""
    before = {name: os.environ.get(name) for name in _WORKER_ENVIRONMENT}
    os.environ.update(_WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
    return record if all(_is_there(folder / name) for name in record.files) else None


def _is_there(path: pathlib.Path) -> bool:
    """Whether a file is there with its content: a machine that crashes may leave it empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def render_pairs(
    recipe: Recipe,
    folder: pathlib.Path,
    todo: list[list[int]],
    num_workers: int,
    total: int,
    done: int,
    truths: Sequence[str] = (),
) -> None:
    """Draw groups of pairs with spawned workers.

    Args:
        recipe: What is drawn.
        folder: The rendered folder.
        todo: The pairs of each group that are missing. One worker draws a whole group, whose pairs share a texture.
        num_workers: Largest number of processes.
        total: Pairs of all groups, for the progress display.
        done: Pairs that were drawn before, for the progress display.
        truths: Kinds of further truths to draw, of `manifest.TRUTHS`.

    Raises:
        RenderError: A worker failed or died.
    """
    context = multiprocessing.get_context("spawn")
    waiting = iter(todo)
    workers: list[_Worker] = []
    with one_core():
        for number in range(min(num_workers, len(todo))):
            ours, theirs = cast(tuple[Connection, Connection], context.Pipe())
            process = context.Process(target=_work, args=(recipe, folder, theirs, number, truths), daemon=True)
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


def plan(recipe: Recipe, index: int, truths: Sequence[str] = ()) -> manifest.Record:
    """Return the record of a pair with the truths that are asked for."""
    record = recipe.plan(index)
    return dataclasses.replace(record, truths=manifest.truth_files(record, truths))


def draw_pair(
    studio: Studio | paper.PaperStudio, recipe: Recipe, folder: pathlib.Path, index: int, truths: Sequence[str] = ()
) -> None:
    """Draw one pair and write its files, the record last."""
    record = plan(recipe, index, truths)
    for name, content in studio.draw(record).items():
        # Pairs of one texture share its file.
        if name != record.texture or not _is_there(folder / name):
            files.write_atomic(folder / name, content)
    files.write_atomic(record_path(folder, index), (manifest.record_to_json(record) + "\n").encode())


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


def _work(recipe: Recipe, folder: pathlib.Path, pipe: Connection, number: int, truths: Sequence[str]) -> None:
    """Worker `number`: receives lists of pairs, sends the index of each when it is done, or a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    try:
        rasterizer.choose_device(number)
        studio = recipe.studio()
        pipe.send(_Ready(rasterizer.describe()))
        while True:
            for index in pipe.recv():
                draw_pair(studio, recipe, folder, index, truths)
                pipe.send(index)
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except (OpenGLError, OSError) as error:  # the message says all
        pipe.send(str(error))
    except Exception:
        pipe.send(traceback.format_exc())


def _receive(worker: _Worker, recipe: Recipe) -> bool:
    """Take a worker's message; return whether it was a finished pair.

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
