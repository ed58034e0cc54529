"""The arguments `--batch_norm` of programs that use a run: the statistics that its encoder normalises by.

Standard library only, so that `--help` needs no JAX; `experiments.runs.batch_norm` does what they ask for.
"""

import argparse

from experiments import command_line

AS_TRAINED = "as_trained"
DEFAULT_IMAGES = 2000


def add(parser: argparse.ArgumentParser) -> None:
    """Add `--batch_norm`, `--batch_norm_images` and `--batch_norm_seed`."""
    parser.add_argument(
        "--batch_norm",
        default=AS_TRAINED,
        metavar=f"{AS_TRAINED}|DATASET:SPLIT",
        help="statistics of batch normalisation: the run's, or those of a dataset's pictures, without their labels, such "
        "as market1501:train",
    )
    parser.add_argument(
        "--batch_norm_images",
        type=command_line.at_least(2),
        default=DEFAULT_IMAGES,
        help="with --batch_norm=DATASET:SPLIT: number of pictures",
    )
    parser.add_argument(
        "--batch_norm_seed",
        type=command_line.at_least(0),
        default=0,
        help="with --batch_norm=DATASET:SPLIT: seed of their choice",
    )


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program, with a usage message, where `--batch_norm` is malformed or a setting of it stands alone."""
    dataset, _, split = arguments.batch_norm.rpartition(":")
    if arguments.batch_norm == AS_TRAINED:
        for name in ("batch_norm_images", "batch_norm_seed"):
            if getattr(arguments, name) != parser.get_default(name):
                parser.error(f"--{name} is a setting of --batch_norm=DATASET:SPLIT, which is not given")
    elif not (dataset and split):
        parser.error(
            f"--batch_norm: expected {AS_TRAINED} or DATASET:SPLIT, such as market1501:train, found "
            f"{arguments.batch_norm!r}"
        )
