"""The error of this package: a dataset that cannot be built, with every problem that was found."""

from collections.abc import Iterable, Sequence

MAX_REPORTED = 20  # problems that a message shows


class DatasetError(ValueError):
    """A dataset that cannot be built. The message says what was expected, what was found and what to do.

    Attributes:
        problems: All problems, one line each; the message shows the first `MAX_REPORTED`.
    """

    def __init__(self, message: str, problems: Iterable[str] = ()):
        super().__init__(message)
        self.problems = tuple(problems)


def raise_problems(title: str, problems: Sequence[str], advice: str) -> None:
    """Raise one DatasetError for all problems; do nothing if there are none."""
    if problems:
        raise problems_error(title, problems, advice)


def problems_error(title: str, problems: Sequence[str], advice: str) -> DatasetError:
    """Return a DatasetError with a title, the first `MAX_REPORTED` problems and advice."""
    shown = list(problems[:MAX_REPORTED])
    if len(problems) > MAX_REPORTED:
        shown.append(f"... and {len(problems) - MAX_REPORTED:,} more ({len(problems):,} in all)")
    return DatasetError("\n".join([f"{title}:", *(f"  {line}" for line in shown), advice]), problems)
