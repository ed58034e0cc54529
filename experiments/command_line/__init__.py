"""Command lines of the programs: one look, and defaults in `--help`.

A program parses first and imports what it needs after that, so that `--help` comes at once:

    def main(argv: Sequence[str] | None = None) -> None:
        parser = command_line.make_parser("experiments.benchmark", __doc__)
        parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure each dtype")
        arguments = parser.parse_args(argv)

        from experiments.benchmarks import step  # not before: --help needs no JAX

        step.run(seconds=arguments.seconds)


    if __name__ == "__main__":
        command_line.run(main)
"""

import argparse
import sys
from collections.abc import Callable


def make_parser(module: str, docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the program's docstring, and its arguments with their defaults.

    Args:
        module: The program, such as "experiments.prepare".
        docstring: Its `__doc__`.
    """
    return argparse.ArgumentParser(prog=f"python -m {module}", description=docstring, formatter_class=_Formatter)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the docstring's lines, and adds defaults to the texts of arguments that have one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", argparse.SUPPRESS):
            return action.help
        return f"{action.help} (default: %(default)s)"


def run(main: Callable[[], object]) -> None:
    """Runs a program's `main`. Ctrl-C at any moment ends it with one line."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


def at_least(lowest: int) -> Callable[[str], int]:
    """The `type` of an argument that is an integer and not less than `lowest`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {lowest}, found {value}")
        return value

    return integer


def comma_list(text: str) -> list[str]:
    """The `type` of an argument that is a list of words, separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
