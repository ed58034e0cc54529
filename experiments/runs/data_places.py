"""Where the datasets are that a trained run is used on: the folder that was given, that of its training, or `data`."""

import os
import pathlib
from collections.abc import Sequence

from experiments.runs import data_sources
from san_jax import files, run_folder

DEFAULT = "data"


def find(given: str | os.PathLike[str] | None, workdirs: Sequence[str | os.PathLike[str]], dataset: str) -> str:
    """Return the folder where TFDS keeps a dataset, and print it where it follows from a run, or is in none of these.

    Args:
        given: What the user gave, which is taken as it is; None to look for the dataset.
        workdirs: Folders of runs, or files of weights, whose training is not known.
        dataset: The dataset's name.

    Returns:
        `given`; else the data_dir of the first run that was trained with one in which the dataset is; else `DEFAULT`.
    """
    if given is not None:
        return os.fspath(given)
    for workdir in workdirs:
        place = _of_run(workdir)
        if place is not None and dataset in data_sources.list_built(place):
            print(f"{dataset} is read from {place}, the data_dir that {workdir} was trained with", flush=True)
            return place
    places = [place for place in map(_of_run, workdirs) if place is not None and not _is_default(place)]
    if places and dataset in data_sources.list_built(DEFAULT):
        print(f"{dataset} is read from {DEFAULT}; it is not in {', '.join(dict.fromkeys(places))}", flush=True)
    elif places:
        print(f"{dataset} is in none of {', '.join([*dict.fromkeys(places), DEFAULT])}: give --data_dir", flush=True)
        for place in dict.fromkeys(places):  # the error says what is in DEFAULT
            print(f"built in {place}: {', '.join(data_sources.list_built(place)) or 'nothing'}", flush=True)
    return DEFAULT


def _is_default(place: str) -> bool:
    return pathlib.Path(place).resolve() == pathlib.Path(DEFAULT).resolve()


def find_for_images(given: str | None, workdir: str, images: str) -> str:
    """Return the folder for pictures that a user names; see `find`.

    Args:
        given: As in `find`.
        workdir: As in `find`, of one run.
        images: A folder or a file, for which no dataset is read, or DATASET:SPLIT.
    """
    dataset, colon, _ = images.rpartition(":")
    is_dataset = bool(colon) and not pathlib.Path(images).exists()
    return find(given, [workdir] if is_dataset else [], dataset)


def list_built(given: str | os.PathLike[str] | None, workdir: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the names of the datasets that `find` finds for a run, each with its folder."""
    places = [DEFAULT, _of_run(workdir)] if given is None else [given]
    found = {name: os.fspath(place) for place in places if place is not None for name in data_sources.list_built(place)}
    return sorted(found.items())


def _of_run(workdir: str | os.PathLike[str]) -> str | None:
    """Return the data_dir of a run's config; None where there is no config that can be read."""
    try:
        return str(run_folder.read_config(workdir)["data_dir"])
    except (OSError, KeyError, run_folder.RunFolderError, files.DamagedFileError):  # loading the run says what is wrong
        return None
