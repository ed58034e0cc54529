"""Renders a recipe into a folder with several workers, resumable at any pair."""

import os
import pathlib
import re
import time
from contextlib import suppress
from typing import Any

from absl import logging
from ml_collections import ConfigDict

import datasets
from experiments.pages import preview
from experiments.runs.render_workers import Recipe, RenderError, read_record, render_pairs
from render import manifest
from render.figure import mirror
from render.optics.rasterizer import OpenGLError
from render.recipes import build, paper
from san_jax import files, folder_lock

_ABANDONED = 3600.0  # seconds after which nobody is still writing a file


def run(
    config: ConfigDict,
    *,
    output_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    num_workers: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> None:
    """Render what is missing of a recipe, and build the TFDS dataset when the folder is complete.

    Args:
        config: `recipe` ("pit" or "pit_reid"), `seed`, and the recipe's parameters.
        output_dir: The rendered folder.
        data_dir: Where TFDS keeps datasets; None builds none.
        num_workers: Number of processes; 0 is one a core.
        shard: (i, n): draw only the i-th of n parts.

    Raises:
        RenderError: The folder holds another rendering, or a worker failed.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process draws into the folder (the same shard, or one of the two all of
            it) or builds its dataset, or the folder cannot be written.
    """
    recipe = make_recipe(config)
    folder = pathlib.Path(output_dir)
    index, count = shard
    if not 0 <= index < count:
        raise RenderError(f"--shard={index}/{count}: expected i/n with 0 <= i < n.")
    with folder_lock.hold(folder, f"shard-{index}-of-{count}" if count > 1 else ""):
        _run(recipe, folder, index, count, num_workers)
        if finish(folder, recipe) and data_dir is not None:
            try:
                _build(recipe, folder, data_dir)
            except folder_lock.FolderInUseError as error:
                if count == 1:
                    raise
                logging.info("%s", error)  # by a shard that ended at the same moment


def _run(recipe: Recipe, folder: pathlib.Path, index: int, count: int, num_workers: int) -> None:
    """Draw what is missing of a part. On failure a new folder without pictures is emptied again."""
    is_new = not (folder / manifest.HEADER_FILE).exists()
    prepare_folder(folder, recipe, alone=count == 1)
    wanted = [
        recipe.group(number)
        for number in range(recipe.num_groups * index // count, recipe.num_groups * (index + 1) // count)
    ]
    done = {pair for group in wanted for pair in group if read_record(folder, pair) is not None}
    todo = [missing for group in wanted if (missing := [pair for pair in group if pair not in done])]
    if not todo:
        return
    try:
        render_pairs(recipe, folder, todo, num_workers or os.cpu_count() or 1, sum(map(len, wanted)), len(done))
    except BaseException:
        if is_new and count == 1:  # another shard may have begun to draw
            _take_back(folder)
        raise


def _take_back(folder: pathlib.Path) -> None:
    """Remove what `prepare_folder` wrote, unless something was drawn: other parameters may then be tried."""
    begun = [folder / name for name in (manifest.HEADER_FILE, manifest.MIRROR_FILE)]
    if all(path in begun or folder_lock.is_lock(path) for path in folder.iterdir()):
        for path in begun:
            path.unlink(missing_ok=True)


def _build(recipe: Recipe, folder: pathlib.Path, data_dir: str | os.PathLike[str]) -> None:
    path = datasets.build_dataset(recipe.name, data_dir=data_dir, manual_dir=folder)
    logging.info("TFDS dataset: %s", path)


def make_recipe(config: ConfigDict) -> Recipe:
    """The recipe of a config."""
    fields = config.to_dict()
    if fields["recipe"] == "paper":
        del fields["recipe"]
        return paper.PaperPit(**fields)
    return build.make_recipe(fields)


def check(recipe: Recipe) -> str:
    """Verify every file that a recipe needs, without drawing; return what there is, for people.

    Raises:
        render.recipes.base.RecipeError: Files are missing or malformed; lists all of them, each with where to get it.
        render.scene.photo_folder.PhotoFolderError: The same of a folder of photographs.
    """
    recipe.parameters()
    counts = recipe.inputs.counts if isinstance(recipe, paper.PaperPit) else {}
    lines = "".join(f"\n  {name}: {count}" for name, count in counts.items())
    return f"All inputs are there: {recipe.num_pairs} pairs can be drawn.{lines}"


def prepare_folder(folder: pathlib.Path, recipe: Recipe, *, alone: bool = True) -> None:
    """Make the folder or check that it belongs to this recipe, and remove what a killed run left half written.

    Args:
        folder: The rendered folder.
        recipe: What is to be drawn.
        alone: Nobody else draws into the folder. Else what was half written within the last hour stays: another shard
            may be writing it.

    Raises:
        RenderError: The folder was begun with other parameters, or holds something else.
        ValueError: The recipe cannot be drawn: files are missing, or its body has no mirror map. Nothing was written.
    """
    header = manifest.Header(
        recipe.name, recipe.seed, recipe.num_pairs, recipe.parameters(), recipe.license, recipe.notes
    )
    if (folder / manifest.HEADER_FILE).exists():
        differing = _differences(manifest.read_header(folder), header)
        if differing:
            raise RenderError(
                f"{folder} was begun with other parameters:\n"
                + "".join(f"  {key}: {old!r} there, {new!r} now\n" for key, (old, new) in differing.items())
                + "Give the parameters of the first run, or another --output_dir."
            )
    elif folder.exists() and any(path.suffix != ".tmp" and not folder_lock.is_lock(path) for path in folder.iterdir()):
        raise RenderError(f"{folder} is not empty and has no {manifest.HEADER_FILE}: give a new or empty --output_dir.")
    mirror_file = folder / manifest.MIRROR_FILE
    # Before anything is written: a body may have none.
    content = None if mirror_file.exists() else mirror.encode_map(recipe.mirror_map())
    manifest.write_header(folder, header)
    if content is not None:
        files.write_atomic(mirror_file, content)
    for path in folder.rglob(".*.tmp"):
        with suppress(FileNotFoundError):
            if alone or time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def _differences(old: manifest.Header, new: manifest.Header) -> dict[str, tuple[Any, Any]]:
    flat_old, flat_new = (_flat({**vars(one), "parameters": None, **one.parameters}) for one in (old, new))
    return {
        key: (flat_old.get(key, "absent"), flat_new.get(key, "absent"))
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key, "absent") != flat_new.get(key, "absent")
    }


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters under dotted keys, as a command line has them."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def finish(folder: pathlib.Path, recipe: Recipe) -> bool:
    """Write `manifest.jsonl` if every pair of the recipe is done; return whether it is."""
    records = [read_record(folder, index) for index in range(recipe.num_pairs)]
    complete = [record for record in records if record is not None]
    if len(complete) < len(records):
        logging.info("%s: %d of %d pairs; other shards are missing.", folder, len(complete), len(records))
        return False
    manifest.write_records(folder, complete)
    logging.info("%s: complete, %d pairs. Licence: %s", folder, len(complete), recipe.license)
    return True


def show_preview(config: ConfigDict, output_dir: str | os.PathLike[str]) -> None:
    """Draw the contact sheets of a recipe into a folder.

    Raises:
        RenderError: There is no offscreen OpenGL.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process writes the folder, or it cannot be written.
    """
    with folder_lock.hold(output_dir):
        try:
            paths = preview.draw_sheets(make_recipe(config), pathlib.Path(output_dir))
        except OpenGLError as error:
            raise RenderError(str(error)) from error
    for path in paths:
        print(path)


def parse_shard(text: str) -> tuple[int, int]:
    """Read "i/n".

    Raises:
        ValueError: It is something else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"--shard={text}: expected i/n with 0 <= i < n, such as 0/4.")
    return int(match[1]), int(match[2])
