"""Puts the folders of a rendering's shards together into the folder that one machine would have made."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from experiments.command_line.progress import progress
from experiments.runs import rendering, shards
from experiments.runs.render_workers import Recipe, read_record, record_path
from render import manifest
from san_jax import files, folder_lock
from san_jax.counts import count

_FOLDERS = ("images", "textures", "frontals")  # where the files lie that records name
_Found = Sequence[tuple[pathlib.Path, shards.Part]]


def merge(
    output_dir: str | os.PathLike[str],
    folders: Sequence[str | os.PathLike[str]] = (),
    *,
    recipe: Recipe | None = None,
    truths: Sequence[str] = (),
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Merge all shards of a rendering, whatever their number, and build the TFDS dataset.

    Everything is checked before anything is written. Files are linked where that is possible, else copied; the folders
    of the shards stay as they are. An interrupted merge goes on where it was.

    Args:
        output_dir: The rendered folder.
        folders: The folders of the shards, in any order; none for those that lie beside `output_dir`.
        recipe: What was to be drawn, which is checked then; None takes it from the shards.
        truths: Kinds of further truths that were to be drawn, of `manifest.TRUTHS`; without `recipe` and without any,
            they are taken from the shards.
        data_dir: Where TFDS keeps datasets; None builds none.

    Raises:
        shards.ShardError: Shards are missing, incomplete, there twice, of different renderings, or damaged.
        render.manifest.ManifestError: The header of a shard is damaged.
        rendering.RenderError: The shards are not of `recipe`, or `output_dir` holds another rendering.
        san_jax.folder_lock.FolderError: Another process writes `output_dir`, or it cannot be written.
    """
    output = pathlib.Path(output_dir)
    found = shards.collect(folders or shards.find(output))
    header = _read_header(found)
    if recipe is not None:
        rendering.check_header(found[0][0], rendering.make_header(recipe, truths))
    elif truths:
        rendering.check_header(found[0][0], dataclasses.replace(header, truths=manifest.in_order(truths)))
    mirror_map = _read_mirror_map(found)
    _check_records(found, header.truths)
    with folder_lock.hold(output):
        rendering.prepare_folder(output, header, lambda: mirror_map)
        with progress("merge", total=header.num_pairs, done=0, unit="pair") as update:
            for path, part in found:
                for index in part.items:
                    _place_pair(path, index, output)
                    update()
        rendering.complete_folder(output, header, data_dir)


def _place_pair(path: pathlib.Path, index: int, output: pathlib.Path) -> None:
    """Put a pair of a shard into the merged folder, unless it is there already.

    Raises:
        ShardError: The pair was there when the shard was checked and is gone now.
    """
    record = read_record(path, index)
    if record is None:
        raise shards.ShardError(f"--merge: {path} was changed while it was merged: pair {index} is gone.")
    if read_record(output, index) == record:
        return
    for name in record.files:
        shards.place(path, name, output)
    files.write_atomic(record_path(output, index), f"{manifest.record_to_json(record)}\n".encode())


def _read_header(found: _Found) -> manifest.Header:
    """Return the header that all shards have.

    Raises:
        ShardError: Their `shard.json` says something else than their header.
    """
    for path, part in found:
        if part.work.get("program") != rendering.PROGRAM:
            raise shards.ShardError(f"--merge: {path} is no shard of a rendering: expected one of {rendering.PROGRAM}.")
        header = manifest.read_header(path)
        differing = shards.differences(part.work, rendering.shard_work(header))
        if differing or part.total != header.num_pairs:
            raise shards.ShardError(
                f"--merge: {path}: its {manifest.HEADER_FILE} is that of another rendering.\n"
                + shards.describe(differing, f"in {shards.RECORD_FILE}", f"in {manifest.HEADER_FILE}")
            )
    return manifest.read_header(found[0][0])


def _read_mirror_map(found: _Found) -> bytes:
    """Return the content of the mirror map's file, which is the same in all shards."""
    contents = {shards.checked_file(path, manifest.MIRROR_FILE).read_bytes() for path, _ in found}
    if len(contents) > 1:
        raise shards.ShardError(f"--merge: the {manifest.MIRROR_FILE} of the shards differ: render them again.")
    return contents.pop()


def _check_records(found: _Found, truths: list[str]) -> None:
    """Check the record and the files of every pair.

    Only the names of files are kept in memory: a million records would fill it.

    Raises:
        ShardError: A pair is missing, or files of two shards have one name. One message says all that is wrong.
    """
    problems: list[str] = []
    owners: dict[str, pathlib.Path] = {}
    for path, part in found:
        missing = []
        for index in part.items:
            record = read_record(path, index)
            if record is None or record.index != index:
                missing.append(index)
                continue
            if record.truths != manifest.truth_files(record, truths):
                problems.append(f"{path}: pair {index} has the truths {sorted(record.truths)}, expected {truths}")
                continue
            for name in record.files:
                own = name not in record.truths.values()  # those of truths follow from these
                if own and pathlib.PurePosixPath(name).parts[:-1] not in [(folder,) for folder in _FOLDERS]:
                    problems.append(f"{path}: pair {index} names {name!r}, expected a file in {', '.join(_FOLDERS)}")
                elif owners.setdefault(name, path) != path:
                    problems.append(f"{name} is in {owners[name]} and in {path}")
                else:
                    shards.checked_file(path, name)
        if missing:
            problems.append(f"{part.shard} lacks {count(len(missing), 'pair')}, first {missing[0]}: {path}")
    if problems:
        raise shards.unfinished(problems)
