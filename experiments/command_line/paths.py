"""Paths as users give them, in arguments and in configs.

`~` is the home folder: a shell leaves it as it is in `--output=~/x`.
"""

import argparse
import os
import re

# Config keys that hold paths, in whatever group they are.
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
    """Not a path. The message says what was expected."""


def given(text: str) -> str:
    """Return the path that a user gave, with the home folder in place of `~`. Also serves argparse as a `type`.

    Raises:
        PathError: It is an address such as gs://bucket/run.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise PathError(f"{text} is an address, expected a path: mount it and give the folder where it is mounted.")
    return os.path.expanduser(text)


def given_file(text: str) -> str:
    """Return, like `given`, the path of a file that is to be written when all the work is done; an argparse `type`.

    Raises:
        PathError: It is a folder, or lies where no file can be written.
    """
    path = given(text)
    if os.path.isdir(path):
        raise PathError(f"{path} is a folder, expected a file to write.")
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise PathError(f"{path} cannot be written: {folder} is no folder that this user may write to.")
    return path


def given_list(text: str) -> str:
    """Apply `given` to each path of a comma list."""
    return ",".join(map(given, text.split(",")))
