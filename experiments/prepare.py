"""Builds a TFDS dataset from the archive or rendered folder that the user brings.

    python -m experiments.prepare --dataset=market1501 --manual_dir=~/Market-1501-v15.09.15 --data_dir=data

Everything that is wrong with the folder (counts, names, unreadable images) is reported at once, before anything is
written. A dataset that is already built from the same folder is kept.
"""

from absl import app, flags

import datasets
from datasets.build import NAMES

_DATASET = flags.DEFINE_enum("dataset", None, NAMES, "What to build.", required=True)
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "The unpacked archive or rendered folder.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where TFDS keeps datasets.")


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(arguments[1:])}")
    try:
        folder = datasets.build_dataset(_DATASET.value, data_dir=_DATA_DIR.value, manual_dir=_MANUAL_DIR.value)
    except datasets.DatasetError as error:
        raise SystemExit(f"{error}") from None
    print(folder)


if __name__ == "__main__":
    app.run(main)
