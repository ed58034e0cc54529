"""Builds TFDS datasets from the archives or folders that the user brings.

    python -m experiments.prepare --dataset=market1501 --manual_dir=~/Market-1501-v15.09.15.zip
    python -m experiments.prepare --dataset=all --manual_dir=~/Downloads --data_dir=data

--manual_dir is the archive as downloaded, the folder unpacked from it, or the folder in which
either lies. All that is wrong (missing, extra, misnamed and unreadable files, counts other than the
published ones) is reported at once, before anything is written; DATA_DIR/<dataset>_problems.txt
holds the whole list. A dataset that has been built from the same source is kept.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths
from san_jax.dataset_names import DATASETS


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.prepare", __doc__)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        choices=("all", *DATASETS),
        help=f"dataset to build: {', '.join(DATASETS)}; or all, every benchmark that is found in --manual_dir",
    )
    parser.add_argument(
        "--manual_dir",
        type=paths.given,
        required=True,
        help="the archive, the folder unpacked from it, or the folder in which either lies",
    )
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--allow_partial",
        action="store_true",
        help="build a benchmark from the files that are there and can be read, and mark it as partial",
    )
    arguments = parser.parse_args(argv)

    from experiments.runs import preparation  # not before: --help needs no TFDS

    folders = (arguments.manual_dir, arguments.data_dir)
    if arguments.dataset == "all":
        succeeded = preparation.prepare_all(*folders, allow_partial=arguments.allow_partial)
    else:
        succeeded = preparation.prepare(arguments.dataset, *folders, allow_partial=arguments.allow_partial)
    sys.exit(0 if succeeded else 1)


if __name__ == "__main__":
    command_line.run(main)
