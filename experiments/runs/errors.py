"""What keeps a run from starting, found in full before anything is written."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import datasets
from san_jax import checkpoint, files, metric_logger, run_folder, sharding


class RunError(ValueError):
    """A config, folder or dataset that no run can be made of. The message says what to change."""


# What a run raises where a user can do something about it; the messages say what.
KNOWN_ERRORS = (
    RunError,
    datasets.DatasetError,
    checkpoint.CheckpointError,
    files.DamagedFileError,
    run_folder.RunFolderError,
    metric_logger.NonFiniteLossError,
    OSError,
)
_CLEAR_ALREADY = (
    RunError,
    datasets.DatasetError,
    checkpoint.CheckpointError,
    files.DamagedFileError,
    run_folder.RunFolderError,
)


@contextlib.contextmanager
def naming_the_config_part(part: str) -> Iterator[None]:
    """Turn the error of a wrong value, file or folder into a RunError that begins with the part of the config it is in."""
    try:
        yield
    except _CLEAR_ALREADY:
        raise
    except (ValueError, OSError) as error:
        raise RunError(f"{part}: {error}") from error


class Problems:
    """Collects what keeps a run from starting, so that all of it is told at once.

    Attributes:
        errors: The errors found so far.
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def add(self, message: str) -> None:
        """Note a problem."""
        self.errors.append(RunError(message))

    def take(self, part: str, function: Callable[[], Any]) -> Any:
        """Return the result of a function; None where it raises, which is noted as a problem of that part of the config."""
        try:
            with naming_the_config_part(part):
                return function()
        except _CLEAR_ALREADY as error:
            self.errors.append(error)
            return None

    def check(self) -> None:
        """Raise an error that names every problem found."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise RunError(self._text())

    def check_everywhere(self) -> None:
        """Do as `check`, on each of the processes that train together: what one of them found ends all."""
        told = sharding.first_message(self._text())
        self.check()
        if told:
            raise RunError(told)

    def _text(self) -> str:
        lines = [f"- {error}" for error in self.errors]
        if len(lines) > 1:
            return "\n".join([f"This run cannot start, for {len(lines)} reasons:", *lines])
        return "".join(map(str, self.errors))
