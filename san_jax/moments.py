"""Times that a user writes: seconds, or dates."""

import contextlib
import datetime
import math
from typing import NamedTuple


class Moment(NamedTuple):
    """A time that the user gave.

    Attributes:
        seconds: The time in seconds; since 1970 where a date was given.
        date: The date and time as the user wrote it; "" where seconds were given.
    """

    seconds: float
    date: str = ""

    def words(self) -> str:
        """Return the time as the user gave it."""
        return self.date or f"{self.seconds:.16g} s"


def parse(text: str) -> Moment:
    """Return a time.

    Args:
        text: Seconds, or a date and time as ISO 8601 writes it, in UTC where it names no zone: then seconds since 1970.

    Raises:
        ValueError: It is neither.
    """
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return Moment(seconds)
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected seconds, or a date and time such as 2026-11-28T10:00, found {text!r}") from None
    if found.tzinfo:
        return Moment(found.timestamp(), text)
    return Moment(found.replace(tzinfo=datetime.UTC).timestamp(), f"{text} UTC")
