"""How far a long piece of work is: a bar on a terminal, a plain line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import tqdm

INTERVAL = 30.0  # seconds between lines


@contextmanager
def progress(
    name: str,
    *,
    total: int,
    done: int,
    unit: str,
    stream: TextIO | None = None,
    clock: Callable[[], float] | None = None,
) -> Iterator[Callable[[], object]]:
    """Reports progress while the context is open.

    Args:
        name: What is being done.
        total: Number of units in all.
        done: Number of units done before.
        unit: What a unit is called.
        stream: Where to; None is the standard error output. A terminal gets a bar that is redrawn in place; anything
            else, such as a log file, a line every `INTERVAL` seconds and one at the end.
        clock: Gives seconds; None is `time.monotonic`. For tests.

    Yields:
        What to call after each unit.
    """
    file: TextIO = sys.stderr if stream is None else stream
    if file.isatty():
        with tqdm.tqdm(total=total, initial=done, unit=unit, desc=name, smoothing=0.05, file=file) as bar:
            yield bar.update
        return

    now = clock or time.monotonic
    start = latest = now()
    count = done

    def report() -> None:
        nonlocal latest
        latest = now()
        rate = (count - done) / max(latest - start, 1e-9)
        left = f", {(total - count) / rate / 60.0:.0f} minutes left" if rate > 0 and count < total else ""
        print(
            f"{name}: {count} of {total} {unit}s ({100 * count // max(total, 1)} %), {rate:.1f} {unit}s/s{left}",
            file=file,
            flush=True,
        )

    def update() -> None:
        nonlocal count
        count += 1
        if now() - latest >= INTERVAL:
            report()

    try:
        yield update
    finally:
        report()
