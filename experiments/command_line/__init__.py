"""Command lines of the programs: one look, and defaults in `--help`.

A program parses its arguments first and imports what it needs afterwards, so that `--help` comes at once:

    def main(argv: Sequence[str] | None = None) -> None:
        parser = command_line.make_parser("experiments.benchmark", __doc__)
        parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure each program")
        arguments = parser.parse_args(argv)

        from experiments.benchmarks import suite  # not before: --help needs no JAX

        suite.run(seconds=arguments.seconds)


    if __name__ == "__main__":
        command_line.run(main)

`config_argument` adds `--config` to a parser. Exit statuses: 2 for a wrong command line, 1 for any other failure.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence

from experiments.command_line import paths
from san_jax import moments, run_folder


def make_parser(module: str, docstring: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help is the program's docstring and its arguments with their defaults.

    Args:
        module: Name of the program, such as "experiments.prepare".
        docstring: The program's `__doc__`.
    """
    return argparse.ArgumentParser(prog=f"python -m {module}", description=docstring, formatter_class=_Formatter)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the docstring's lines, and adds the default to the help of each argument that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required or action.default is None or action.default is argparse.SUPPRESS:
            return action.help
        if action.nargs == 0 or action.default in ("", [], ()):  # switches; the help says what happens without a value
            return action.help
        return f"{action.help} (default: %(default)s)"


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint`, which says what checkpoint of the run is meant; see `san_jax.checkpoint.find`."""
    parser.add_argument(
        "--checkpoint",
        default=run_folder.NEWEST,
        help="newest, best (of the highest mAP that was scored during the training), or a step",
    )


def add_data_dir(parser: argparse.ArgumentParser, when: str = "") -> None:
    """Add `--data_dir` of a program that uses a run; see `experiments.runs.data_places`.

    Args:
        parser: The program's parser.
        when: Words before the help, which say when it counts.
    """
    parser.add_argument(
        "--data_dir",
        type=paths.given,
        help=f"{when}where TFDS keeps datasets (default: the data_dir that the run was trained with if the dataset is "
        "there, else data)",
    )


def run(main: Callable[[], object]) -> None:
    """Run a program's `main`. Ctrl-C at any moment ends it with one line."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


def at_least(lowest: int) -> Callable[[str], int]:
    """Return the argparse `type` of an integer that is not less than `lowest`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {lowest}, found {value}")
        return value

    return integer


def comma_list(text: str) -> list[str]:
    """Return the words of a comma list; an argparse `type`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def comma_list_of(choices: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return the argparse `type` of a comma list whose words are among `choices`."""

    def words(text: str) -> tuple[str, ...]:
        found = tuple(comma_list(text))
        unknown = [word for word in found if word not in choices]
        if unknown or not found:
            raise argparse.ArgumentTypeError(
                f"expected a comma list of {', '.join(choices)}, found {', '.join(unknown) or 'none'}"
            )
        return found

    return words


def comma_list_of_integers(lowest: int) -> Callable[[str], tuple[int, ...]]:
    """Return the argparse `type` of a comma list of integers that are not less than `lowest`."""

    def integers(text: str) -> tuple[int, ...]:
        return tuple(map(at_least(lowest), comma_list(text)))

    return integers


def cameras(text: str) -> tuple[str, ...]:
    """Return the cameras of a comma list of their words or numbers; an argparse `type`."""
    found = tuple(comma_list(text))
    if not found or any(re.fullmatch(r"-\d+", word) for word in found):
        raise argparse.ArgumentTypeError(
            f"expected the words of cameras or their numbers from 0, such as door,yard or 0,2, found {text!r}"
        )
    return found


def moment(text: str) -> moments.Moment:
    """Return a time, see `san_jax.moments.parse`; an argparse `type`."""
    try:
        return moments.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
