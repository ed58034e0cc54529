"""The argument `--config` of a program, whose keys can be set one by one and are listed by `--help`.

    parser = command_line.make_parser("experiments.train", __doc__)
    config_argument.add(parser)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of the run")
    arguments = config_argument.parse(parser, argv, required_key="optimizer")  # arguments.config is the config

A user may write `--config=san.py`, `--config san.py:smoke,num_steps=20`, and beside it `--config.seed=3` or
`--config.seed 3`. With `--config=NAME --help` the keys of that config follow the arguments.
"""

import argparse
import re
import sys
from collections.abc import Sequence

from experiments.command_line import config_files

_HELP_FLAGS = {"-h", "--help"}


def add(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add `--config`, which is required where it has no default. Parse with `parse`, not with the parser itself."""
    parser.add_argument(
        "--config",
        metavar="NAME[:CHANGES]",
        default=default,
        required=default is None,
        help="name of a config in experiments/configs, or path of a config file; CHANGES is a comma list of KEY=VALUE "
        "and of variants that the config's file names, such as `smoke`. --config.KEY=VALUE sets one key. With --help, the "
        "keys of the config are listed",
    )


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None, *, required_key: str = ""
) -> argparse.Namespace:
    """Parse a command line with `--config`.

    The namespace holds the loaded config as `config`, and as `config_given` whether the command line has one.

    Exits with status 2 and a message if the command line is wrong, the config cannot be loaded or it belongs to another
    program.

    Args:
        parser: A parser to which `add` was applied.
        argv: The arguments; None takes those of this process.
        required_key: A key that all configs of this program have and those of other programs lack.
    """
    arguments, changes = _take_changes(parser, sys.argv[1:] if argv is None else argv)
    if not _HELP_FLAGS.isdisjoint(arguments):
        given = _given_config(arguments)
        if given is not None:
            parser.epilog = config_files.describe(_load(parser, given, changes, required_key))
    namespace = parser.parse_args(arguments)
    namespace.config_given = bool(changes) or _given_config(arguments) is not None
    namespace.config = _load(parser, namespace.config, changes, required_key).config
    return namespace


def _take_changes(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split a command line into what `parser` knows and the (KEY, TEXT) of each `--config.KEY=TEXT`."""
    arguments, changes, words = [], [], iter(argv)
    for word in words:
        match = re.fullmatch(r"--config\.([^=]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            arguments.append(word)
            continue
        text = match[2] if match[2] is not None else next(words, None)
        if text is None:
            parser.error(f"{word} lacks a value: write {word}=VALUE")
        changes.append((match[1], text))
    return arguments, changes


def _given_config(arguments: Sequence[str]) -> str | None:
    """Return the text of the last `--config` among arguments that may be incomplete; None if there is none."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--config", nargs="?")
    return parser.parse_known_args(arguments)[0].config


def _load(
    parser: argparse.ArgumentParser, name: str, changes: Sequence[tuple[str, str]], required_key: str
) -> config_files.Loaded:
    """Load a config and apply changes to it. An error ends the program."""
    flag = f"--config={name}"
    try:
        loaded = config_files.open_config(name)
        config_files.check_program(loaded, required_key)
        for key, text in changes:
            flag = f"--config.{key}={text}"
            config_files.override(loaded.config, key, text)
    except config_files.ConfigError as error:
        parser.error(f"{flag}: {error}")
    return loaded
