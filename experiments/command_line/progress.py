"""How far a long piece of work is: a bar on a terminal, a plain line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tqdm

from san_jax.counts import count

INTERVAL = 30.0  # seconds between lines


@contextmanager
def progress(name: str, *, total: int, done: int, unit: str, units: str = "") -> Iterator[Callable[[], object]]:
    """Report progress on standard error while the context is open.

    A terminal gets a bar that is redrawn in place; anything else, such as a log file, gets a line every `INTERVAL`
    seconds and one at the end.

    Args:
        name: What is being done.
        total: Number of units in all.
        done: Number of units that are done already.
        unit: Name of a unit.
        units: Name of several; "" for that of one with an s.

    Yields:
        A function to call after each unit.
    """
    file = sys.stderr
    if file.isatty():
        with tqdm.tqdm(total=total, initial=done, unit=unit, desc=name, smoothing=0.05, file=file) as bar:
            yield bar.update
        return

    start = latest = time.monotonic()
    now = done
    units = units or f"{unit}s"

    def report() -> None:
        nonlocal latest
        latest = time.monotonic()
        rate = (now - done) / max(latest - start, 1e-9)
        left = f", {count(round((total - now) / rate / 60.0), 'minute')} left" if rate > 0 and now < total else ""
        share = 100 * now // max(total, 1)
        print(
            f"{name}: {now:,} of {count(total, unit, units)} ({share} %), {rate:.1f} {units}/s{left}",
            file=file,
            flush=True,
        )

    def update() -> None:
        nonlocal now
        now += 1
        if time.monotonic() - latest >= INTERVAL:
            report()

    try:
        yield update
    finally:
        report()
