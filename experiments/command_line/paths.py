"""Paths as users give them, in flags and in configs: `~` is the home folder, which a shell leaves alone in --flag=~/x."""

import argparse
import os
import re
from typing import Any

from absl import flags

# The keys of configs that hold paths, whatever group they are in.
KEYS = frozenset(
    {
        # of training
        "data_dir", "path",
        # of rendering
        "background_dir", "cloth_dir", "coco_dir", "coco_instances", "poses_file", "smpl_female", "smpl_male",
        "smpl_neutral", "smpl_uv", "surreal_dir",
    }
)  # fmt: skip


class PathError(ValueError, argparse.ArgumentTypeError):
    """A path that is none. The message says what was expected."""


def given(text: str) -> str:
    """A path as the user gave it, with the home folder in place of `~`. Also a `type` for argparse.

    Raises:
        PathError: It is an address such as gs://bucket/run.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise PathError(f"{text} is an address, expected a path: mount it and give the folder where it is mounted.")
    return os.path.expanduser(text)


def given_list(text: str) -> str:
    """As `given` for paths that are parted by commas."""
    return ",".join(map(given, text.split(",")))


class _PathParser(flags.ArgumentParser):
    """absl's parser of a path."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return given(argument)


def define_flag(name: str, default: str | None, help_text: str, *, required: bool = False) -> flags.FlagHolder[Any]:
    """Defines an absl flag that holds a path."""
    return flags.DEFINE(_PathParser(), name, default, help_text, required=required)


flags.disclaim_key_flags()  # a flag belongs to the program that defines it
