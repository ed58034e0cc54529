"""Opens built datasets by name, with messages that say what to run where one is missing."""

import difflib
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from datasets import reid

# What builds a dataset; the user fills in FOLDER.
_COMMANDS = {
    "pit": "python -m experiments.pit_render --config=pit.py --output_dir=FOLDER --data_dir={data_dir}",
    "pit_reid": "python -m experiments.pit_render --config=pit_reid.py --output_dir=FOLDER --data_dir={data_dir}",
    "market1501": "python -m experiments.prepare --dataset=market1501 --manual_dir=FOLDER --data_dir={data_dir}",
}


def open_source(name: str, split: str, data_dir: str | os.PathLike[str]) -> Any:
    """The split of a built dataset, as `tfds.data_source(name, split=split, data_dir=data_dir)` gives it.

    Args:
        name: "pit", "pit_reid", "market1501", `<benchmark>_textured`, or any TFDS dataset under `data_dir`.
        split: "train", "query" or "gallery".
        data_dir: Where TFDS keeps datasets.

    Returns:
        A sequence of examples: dicts of uint8 arrays, ints and bytes.

    Raises:
        DatasetError: There is no such dataset or split; the message names the command that builds it.
    """
    folder = pathlib.Path(data_dir).expanduser()
    built = {path.name: version for path in sorted(folder.glob("*")) if (version := reid.newest_version(path))}
    if name not in built:
        raise reid.DatasetError(_missing(name, folder, sorted(built)))
    builder: Any = tfds.builder_from_directory(built[name])
    splits = sorted(builder.info.splits)
    if split not in splits:
        nearest = _nearest(split, splits)
        raise reid.DatasetError(f"{built[name]} has the splits {', '.join(splits)}, no {split!r}.{nearest}")
    return builder.as_data_source(split=split)


def _missing(name: str, data_dir: pathlib.Path, built: list[str]) -> str:
    there = f"Built there: {', '.join(built)}." if built else "Nothing is built there."
    if name in _COMMANDS:
        command = f"Build it with: {_COMMANDS[name].format(data_dir=data_dir)}"
    elif name.endswith("_textured"):
        command = (
            "Build it from a trained SAN-PG with: python -m experiments.pseudo_texture --workdir=RUN "
            f"--dataset={name.removesuffix('_textured')} --data_dir={data_dir}"
        )
    else:
        command = _nearest(name, [*built, *_COMMANDS, *(f"{known}_textured" for known in _COMMANDS)]).strip()
    return f"No dataset {name!r} in {data_dir}. {there} {command}".strip()


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
