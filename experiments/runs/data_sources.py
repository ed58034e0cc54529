"""Opens built datasets by name, with messages that say what to run where one is missing.

A name is that of a TFDS dataset, `builder` or `builder/config`: "msmt17", "cuhk03/labeled", "cuhk03/labeled_textured".
"""

import difflib
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from datasets import build, mirror_map, rendered
from datasets.builder import newest_version
from datasets.errors import DatasetError
from datasets.own.own_dataset_builder import NAMES_FILE
from datasets.textured.textured_dataset_builder import SUFFIXES
from render import manifest
from san_jax import id_words
from san_jax.own_settings import OWN, name_problem

BENCHMARKS = build.BENCHMARKS

# What builds a dataset; the user fills in FOLDER.
_COMMANDS = {
    "pit": "python -m experiments.pit_render --config=pit.py --output_dir=FOLDER --data_dir={data_dir}",
    "pit_reid": "python -m experiments.pit_render --config=pit_reid.py --output_dir=FOLDER --data_dir={data_dir}",
    **{
        name: f"python -m experiments.prepare --dataset={name} --manual_dir=FOLDER --data_dir={{data_dir}}"
        for name in BENCHMARKS
    },
}


def open_source(name: str, split: str, data_dir: str | os.PathLike[str]) -> Any:
    """Open a split of a built dataset, as `tfds.data_source(name, split=split, data_dir=data_dir)` does.

    Args:
        name: "pit", "pit_reid", one of `BENCHMARKS`, `<benchmark>_textured`, `<benchmark>_frontal`, or any TFDS dataset
            under `data_dir`, such as one of own pictures.
        split: "train", "val", "query" or "gallery"; "train+val" for both, in this order.
        data_dir: Where TFDS keeps datasets.

    Returns:
        A sequence of examples: dicts of uint8 arrays, ints and bytes.

    Raises:
        DatasetError: There is no such dataset or split; the message names the command that builds it.
    """
    builder = _open(name, data_dir)
    splits = sorted(builder.info.splits)
    for part in split.split("+"):
        if part not in splits:
            nearest = _nearest(part, splits)
            raise DatasetError(f"{builder.data_dir} has the splits {', '.join(splits)}, no {part!r}.{nearest}")
        for path in map(pathlib.Path, builder.info.splits[part].filepaths):
            # array_record opens a shard only when an example of it is read, perhaps after hours of training.
            if not path.is_file() or path.stat().st_size < _MIN_SHARD_BYTES:
                raise DatasetError(f"{path} is missing or cut off: {_AGAIN.format(path.parent)}")
    return builder.as_data_source(split=split)


def training_splits(name: str, data_dir: str | os.PathLike[str], *, use_val: bool) -> list[str]:
    """Return the splits to train on: ["train"], or ["train", "val"] with `use_val` where there is a val.

    Raises:
        DatasetError: There is no such dataset.
    """
    return ["train", "val"] if use_val and "val" in list_splits(name, data_dir) else ["train"]


def read_metadata(name: str, data_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the builder of a dataset noted about it, such as `source_digest` and `partial`.

    Raises:
        DatasetError: There is no such dataset.
    """
    return dict(_open(name, data_dir).info.metadata or {})


def read_words(name: str, data_dir: str | os.PathLike[str]) -> id_words.IdWords:
    """Return the user's words for the persons and cameras of a dataset; none for one whose ids are numbers.

    Raises:
        DatasetError: There is no such dataset, or the file of its words is damaged.
    """
    path = pathlib.Path(_open(name, data_dir).data_dir) / NAMES_FILE
    if not path.is_file():
        return id_words.IdWords()
    try:
        return id_words.IdWords.parse(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}): {_AGAIN.format(path.parent)}") from None


def read_mirror_file(name: str, data_dir: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the file of a built dataset's UV mirror map, name -> content; empty where it has none.

    Raises:
        DatasetError: There is no such dataset, or the map is malformed.
    """
    folder = pathlib.Path(_open(name, data_dir).data_dir)
    return mirror_map.read_mirror_file(folder) if (folder / manifest.MIRROR_FILE).exists() else {}


def read_mirror_map(name: str, data_dir: str | os.PathLike[str]) -> np.ndarray:
    """Return the UV mirror map of a built dataset, see `datasets.mirror_map.read_mirror_map`.

    Raises:
        DatasetError: There is no such dataset, it has no map, or the map is malformed.
    """
    return mirror_map.read_mirror_map(_open(name, data_dir).data_dir)


def read_test_records(
    name: str, data_dir: str | os.PathLike[str], rendered_dir: str | os.PathLike[str] | None = None
) -> list[manifest.Record]:
    """Return what the manifest of a rendered benchmark says of each picture outside of train.

    Args:
        name: Name of the dataset.
        data_dir: Where TFDS keeps datasets.
        rendered_dir: The rendered folder that the dataset was built from; None for the records that the dataset keeps.

    Raises:
        DatasetError: There is no such dataset, no manifest is known of it, or the folder is not the one that it was
            built from.
    """
    builder = _open(name, data_dir)
    metadata = dict(builder.info.metadata or {})
    if metadata.get("recipe") != "pit_reid":
        raise DatasetError(
            f"{name} is no dataset that `python -m experiments.pit_render --config=pit_reid.py` made: no manifest says "
            "what its pictures show. Expected pit_reid."
        )
    if rendered_dir is not None:
        root, _, records, digest = rendered.read_rendered(rendered_dir, "pit_reid")
        if digest != metadata["source_digest"]:
            raise DatasetError(f"{builder.data_dir} was not built from {root}: their digests differ.")
        return [record for record in records if record.split != "train"]
    records = rendered.read_test_records(builder.data_dir)
    if records is None:
        raise DatasetError(
            f"{builder.data_dir} was built by an older version, which kept no records of its pictures: give the folder "
            "that it was built from (--rendered=FOLDER), or remove the dataset and build it again."
        )
    return records


def list_splits(name: str, data_dir: str | os.PathLike[str]) -> list[str]:
    """Return the sorted names of the splits of a built dataset.

    Raises:
        DatasetError: There is no such dataset.
    """
    return sorted(_open(name, data_dir).info.splits)


def list_built(data_dir: str | os.PathLike[str]) -> list[str]:
    """Return the sorted names of the complete datasets under `data_dir`."""
    return sorted(_built(pathlib.Path(data_dir).expanduser()))


def _open(name: str, data_dir: str | os.PathLike[str]) -> Any:
    folder = pathlib.Path(data_dir).expanduser()
    built = _built(folder)
    if name not in built:
        raise DatasetError(_missing(name, folder, sorted(built)))
    try:
        return tfds.builder_from_directory(built[name])
    except Exception as error:  # TFDS and protobuf raise various errors for a damaged file
        what = str(error).partition("\n")[0]
        raise DatasetError(
            f"{built[name]} is damaged ({type(error).__name__}: {what}): {_AGAIN.format(built[name])}"
        ) from error


_MIN_SHARD_BYTES = 1 << 16  # array_record pads its files to blocks of this size
_AGAIN = "remove {} and build the dataset again."


def _built(data_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the newest version's folder of each dataset: data_dir/builder[/config]/version."""
    folders = [*data_dir.glob("*"), *data_dir.glob("*/*")]
    versions = {path.relative_to(data_dir).as_posix(): newest_version(path) for path in sorted(folders)}
    return {name: version for name, version in versions.items() if version and _is_named(name, version)}


def _is_named(name: str, version: pathlib.Path) -> bool:
    """Whether a folder named `builder/config` is that; it may be a data_dir within another one (`smoke/pit_reid`)."""
    builder, slash, _ = name.partition("/")
    if not slash:
        return True
    try:
        info = json.loads((version / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # damaged: opening it says so
        return True
    return isinstance(info, dict) and info.get("name") == builder


def _missing(name: str, data_dir: pathlib.Path, built: list[str]) -> str:
    there = f"Built there: {', '.join(built)}." if built else "Nothing is built there."
    if name in _COMMANDS:
        command = f"Build it with: {_COMMANDS[name].format(data_dir=data_dir)}"
    elif name.endswith(tuple(SUFFIXES.values())):
        benchmark, _, feature = name.rpartition("_")
        trained = "a trained SAN-PG" if feature == "textured" else "a SAN-PG trained with target=frontal"
        command = (
            f"Build it from {trained} with: python -m experiments.pseudo_texture --workdir=RUN "
            f"--dataset={benchmark} --data_dir={data_dir}"
        )
    else:
        close = _nearest(name, [*built, *_COMMANDS, *(f"{known}_textured" for known in _COMMANDS)]).strip()
        own = name.removeprefix(OWN)
        if own in built:
            command = f"Only `prepare` takes {OWN}; here it is called {own!r}."
        elif name_problem(own, _COMMANDS):
            command = close
        else:
            command = (
                f"{close} If it is to be made of your own pictures: python -m experiments.prepare --dataset={OWN}{own} "
                f"--manual_dir=FOLDER --data_dir={data_dir}"
            )
    return f"No dataset {name!r} in {_place(data_dir)}. {there} {command.strip()}".strip()


def _place(folder: pathlib.Path) -> str:
    """Name a folder; where that is relative to the working directory, say which folder it is."""
    return str(folder) if folder.is_absolute() else f"{folder} ({folder.absolute()})"


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
