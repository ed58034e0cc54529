"""Stops a long run at a good moment: signals are remembered until the work at hand is done."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from absl import logging


@contextlib.contextmanager
def stop_signals(work: str) -> Iterator[list[str]]:
    """Yield a list that gets the name of the first SIGINT or SIGTERM; a second one ends the process at once.

    Args:
        work: What is done first, for the message, such as "this step".
    """
    received: list[str] = []

    def remember(number: int, frame: Any) -> None:
        del frame
        received.append(signal.Signals(number).name)
        logging.warning("%s: stopping after %s; once more to stop at once.", received[0], work)
        for name, handler in previous.items():
            signal.signal(name, handler)

    previous: dict[signal.Signals, Any] = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            previous[name] = signal.signal(name, remember)
    except ValueError:  # not the main thread, whose owner handles signals
        pass
    try:
        yield received
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
