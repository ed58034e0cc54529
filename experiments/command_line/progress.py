"""How far a long piece of work is: a bar on a terminal, a plain line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tqdm

INTERVAL = 30.0  # seconds between lines


@contextmanager
def progress(name: str, *, total: int, done: int, unit: str) -> Iterator[Callable[[], object]]:
    """Report progress on standard error while the context is open.

    A terminal gets a bar that is redrawn in place; anything else, such as a log file, gets a line every `INTERVAL`
    seconds and one at the end.

    Args:
        name: What is being done.
        total: Number of units in all.
        done: Number of units that are done already.
        unit: Name of a unit.

    Yields:
        A function to call after each unit.
    """
    file = sys.stderr
    if file.isatty():
        with tqdm.tqdm(total=total, initial=done, unit=unit, desc=name, smoothing=0.05, file=file) as bar:
            yield bar.update
        return

    start = latest = time.monotonic()
    count = done

    def report() -> None:
        nonlocal latest
        latest = time.monotonic()
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
        if time.monotonic() - latest >= INTERVAL:
            report()

    try:
        yield update
    finally:
        report()
