"""The errors of a run, and `Problems`, which collects all that keep one from starting."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import datasets
from san_jax import checkpoint, files, metric_logger, run_folder, sharding


class RunError(ValueError):
    """The config, a folder or a dataset does not allow the run. The message says what to change."""


# Errors whose messages name the file or key themselves.
_CLEAR_ALREADY = (
    RunError,
    datasets.DatasetError,
    checkpoint.CheckpointError,
    files.DamagedFileError,
    run_folder.RunFolderError,
)
# Errors of a run that its user can do something about; the messages say what.
KNOWN_ERRORS = (*_CLEAR_ALREADY, metric_logger.NonFiniteLossError, OSError)


@contextlib.contextmanager
def naming_the_config_part(part: str) -> Iterator[None]:
    """Turn the error of a wrong value, file or folder into a RunError that begins with the config part."""
    try:
        yield
    except _CLEAR_ALREADY:
        raise
    except (ValueError, OSError) as error:
        raise RunError(f"{part}: {error}") from error


class Problems:
    """Collects what keeps a run from starting, so that one message names it all.

    Attributes:
        errors: The errors found so far.
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def add(self, message: str) -> None:
        """Note a problem."""
        self.errors.append(RunError(message))

    def take(self, part: str, function: Callable[[], Any]) -> Any:
        """Return the result of a function; None where it raises, which is noted as a problem of that config part."""
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
        """Do as `check` in all processes that train together: a problem of one of them ends all."""
        told = sharding.first_message(self._text())
        self.check()
        if told:
            raise RunError(told)

    def _text(self) -> str:
        lines = [f"- {error}" for error in self.errors]
        if len(lines) > 1:
            return "\n".join([f"This run cannot start, for {len(lines)} reasons:", *lines])
        return "".join(map(str, self.errors))
