"""Builds TFDS datasets from the archives or folders that the user brings.

    python -m experiments.prepare --dataset=market1501 --manual_dir=~/Market-1501-v15.09.15.zip
    python -m experiments.prepare --dataset=all --manual_dir=~/Downloads --data_dir=data
    python -m experiments.prepare --dataset=own:shop --manual_dir=~/shop_pictures --data_dir=data

--manual_dir is the archive as downloaded, the folder unpacked from it, or the folder in which
either lies. Own pictures lie in a folder for each person, or in such folders in train, query and
gallery, or --table, --pattern or --boxes says who is on them (docs/own_data.md).

All that is wrong (missing, extra, misnamed and unreadable files, counts other than the published
ones) is reported at once, before anything is written; DATA_DIR/<dataset>_problems.txt holds the
whole list. A dataset that has been built from the same source is kept. Beside its shards lie a
dataset card, README.md, and Croissant metadata, croissant.json; where they are missing, they are
written.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths
from experiments.command_line.own_arguments import add_own_arguments, own_settings
from san_jax.dataset_names import DATASETS
from san_jax.own_settings import OWN, name_problem


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.prepare", __doc__)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        type=_dataset,
        help=f"dataset to build: {', '.join(DATASETS)}; all, every benchmark that is found in --manual_dir; or "
        f"{OWN}NAME, a dataset NAME of own pictures",
    )
    parser.add_argument(
        "--manual_dir",
        type=paths.given,
        required=True,
        help="the archive, the folder unpacked from it, or the folder in which either lies; or own pictures",
    )
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--allow_partial",
        action="store_true",
        help="build from the files that are there and can be read, and mark the dataset as partial",
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse pictures that are not upright RGB JPEG or PNG (else: convert)"
    )
    add_own_arguments(parser)
    arguments = parser.parse_args(argv)
    own = own_settings(parser, arguments)

    from experiments.runs import preparation  # not before: --help needs no TFDS

    folders = (arguments.manual_dir, arguments.data_dir)
    leniency = preparation.Leniency(arguments.allow_partial, arguments.strict)
    if arguments.dataset == "all":
        succeeded = preparation.prepare_all(*folders, leniency)
    else:
        succeeded = preparation.prepare(arguments.dataset.removeprefix(OWN), *folders, leniency, own)
    sys.exit(0 if succeeded else 1)


def _dataset(text: str) -> str:
    if text.startswith(OWN):
        reason = name_problem(text.removeprefix(OWN), DATASETS)
    else:
        known = ("all", *DATASETS)
        reason = "" if text in known else f"expected {OWN}NAME or one of {', '.join(known)}, found {text!r}"
    if reason:
        raise argparse.ArgumentTypeError(reason)
    return text


if __name__ == "__main__":
    command_line.run(main)
