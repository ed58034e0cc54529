"""The arguments of `experiments.prepare` that say how a dataset is made of own pictures."""

import argparse
import dataclasses

from san_jax.own_settings import OWN, OwnSettings

_HELP = {
    "table": "CSV or Parquet file in --manual_dir with a row for each picture (default: none)",
    "path_column": "the table's column of the picture's path",
    "person_column": "the table's column of the person, numbers or words",
    "camera_column": "the table's column of the camera; it may be absent",
    "split_column": "the table's column of train, val, query, gallery or test; it may be absent",
    "time_column": "the table's column of when a picture was taken, seconds or dates (default: none)",
    "pattern": "regular expression with the groups person, camera, split, searched in file names (default: none)",
    "boxes": "boxes of a tracker (MOTChallenge's format) with frames or a video, such as gt/gt.txt (default: none)",
    "margin": "with --boxes: share of a box's height and width that is added on each side",
    "max_covered": "with --boxes: largest share of a box that others may cover",
    "every": "with --boxes: take every n-th frame of a track",
    "visits": "with --boxes of one camera: number of times of a track that count as cameras",
    "same_ids": "with --boxes of several folders: an id is the same person in all, and each is a camera",
    "frame_rate": "with --boxes in a folder of frames: frames a second; 0 for that of its seqinfo.ini, if there is one",
    "test_share": "share of the persons that are tested on, where no splits are given",
    "seed": "seed of the choice of persons and queries",
    "license": "the terms of the pictures, in words, or SPDX's name of a licence such as CC-BY-4.0",
    "description": "for the card: what the pictures are, who is on them, what they agreed to (default: nothing)",
    "creator": "for card and metadata: who made the dataset, NAME;NAME (default: nobody is named)",
    "url": "for card and metadata: where the dataset is published (default: nowhere)",
}


def add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each field of `OwnSettings`."""
    group = parser.add_argument_group(f"own pictures (--dataset={OWN}NAME)")
    for field in dataclasses.fields(OwnSettings):
        if isinstance(field.default, bool):
            group.add_argument(f"--{field.name}", action="store_true", help=_HELP[field.name])
        else:
            kind = type(field.default)
            group.add_argument(f"--{field.name}", type=kind, default=field.default, help=_HELP[field.name])


def own_settings(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> OwnSettings | None:
    """Return the settings that were given; None where the dataset is not one of own pictures.

    A wrong one ends the program, as does one that was given for another dataset.
    """
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(OwnSettings)}
    if arguments.dataset.startswith(OWN):
        try:
            return OwnSettings(**values)
        except ValueError as error:
            parser.error(str(error))
    changed = [name for name, value in values.items() if value != parser.get_default(name)]
    if changed:
        parser.error(f"--{changed[0]} is for own pictures: give --dataset={OWN}NAME")
    return None
