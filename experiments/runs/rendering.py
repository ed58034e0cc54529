"""Renders a recipe into a folder with several workers, resumable at any pair."""

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from absl import logging
from ml_collections import ConfigDict

import datasets
from datasets.cards.rendering import write_cards
from experiments.pages import preview
from experiments.runs import shards
from experiments.runs.render_workers import Recipe, RenderError, read_record, render_pairs
from render import manifest
from render.figure import mirror
from render.optics.rasterizer import OpenGLError
from render.recipes import build, paper
from san_jax import files, folder_lock
from san_jax.counts import count

PROGRAM = "experiments.pit_render"  # as the folders of shards name it


def run(
    config: ConfigDict,
    *,
    output_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    num_workers: int = 0,
    truths: Sequence[str] = (),
) -> None:
    """Render what is missing of a recipe, and build its TFDS dataset.

    Args:
        config: `recipe` ("pit" or "pit_reid"), `seed`, and the recipe's parameters.
        output_dir: The rendered folder.
        data_dir: Where TFDS keeps datasets; None builds none.
        num_workers: Number of processes; 0 is one a core.
        truths: Kinds of further truths to draw, of `manifest.TRUTHS`.

    Raises:
        RenderError: The folder holds another rendering, or a worker failed.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process draws into the folder or builds its dataset, or the folder
            cannot be written.
    """
    recipe = make_recipe(config)
    folder = pathlib.Path(output_dir)
    with folder_lock.hold(folder):
        header = make_header(recipe, truths)
        is_new = _prepare(folder, recipe, header)
        _draw(recipe, folder, range(recipe.num_groups), num_workers, is_new, header.truths)
        complete_folder(folder, header, data_dir)


def run_shard(
    config: ConfigDict,
    shard: shards.Shard,
    *,
    output_dir: str | os.PathLike[str],
    num_workers: int = 0,
    truths: Sequence[str] = (),
) -> pathlib.Path:
    """Render what is missing of one shard of a recipe, into a folder of its own beside `output_dir`.

    Args:
        config: As for `run`.
        shard: Which shard.
        output_dir: The folder that the shards are to be merged into, see `render_merge.merge`.
        num_workers: Number of processes; 0 is one a core.
        truths: As for `run`.

    Returns:
        The folder of the shard.

    Raises:
        RenderError: The folder holds another rendering, or a worker failed.
        shards.ShardError: The folder holds another shard.
        render.recipes.base.RecipeError: A parameter is out of range.
        san_jax.folder_lock.FolderError: Another process draws into the folder, or it cannot be written.
    """
    recipe = make_recipe(config)
    folder = shards.folder(output_dir, shard)
    groups = shards.indices(shard, recipe.num_groups)
    start, stop = (
        recipe.group(number).start if number < recipe.num_groups else recipe.num_pairs
        for number in (groups.start, groups.stop)
    )
    with folder_lock.hold(folder):
        header = make_header(recipe, truths)
        part = shards.Part(shard, range(start, stop), recipe.num_pairs, shard_work(header))
        is_new = _prepare(folder, recipe, header)
        shards.begin(folder, part)
        _draw(recipe, folder, groups, num_workers, is_new, header.truths)
        shards.finish(folder)
    logging.info("%s: complete, %d of the %d pairs.", folder, len(part.items), part.total)
    return folder


def shard_work(header: manifest.Header) -> dict[str, object]:
    """Return what the shards of a rendering have in common: everything that decides on its files."""
    return {"program": PROGRAM, **manifest.to_fields(header)}


def _draw(
    recipe: Recipe, folder: pathlib.Path, groups: range, num_workers: int, is_new: bool, truths: Sequence[str]
) -> None:
    """Draw what is missing of some groups. On failure a new folder without pictures is emptied again."""
    wanted = [recipe.group(number) for number in groups]
    gone = ([pair for pair in group if read_record(folder, pair) is None] for group in wanted)
    todo = [pairs for pairs in gone if pairs]
    if not todo:
        return
    total = sum(map(len, wanted))
    done = total - sum(map(len, todo))
    try:
        processes = num_workers or os.cpu_count() or 1
        render_pairs(recipe, folder, todo, processes, total, done, truths)
    except BaseException:
        if is_new:
            _take_back(folder)
        raise


def _take_back(folder: pathlib.Path) -> None:
    """Remove what was written before the first pair, unless one was drawn: other parameters may then be tried."""
    begun = [folder / name for name in (manifest.HEADER_FILE, manifest.MIRROR_FILE, shards.RECORD_FILE)]
    if all(path in begun or folder_lock.is_lock(path) for path in folder.iterdir()):
        for path in begun:
            path.unlink(missing_ok=True)


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
    return f"All inputs are there: {count(recipe.num_pairs, 'pair')} can be drawn.{lines}"


def make_header(recipe: Recipe, truths: Sequence[str] = ()) -> manifest.Header:
    """Return the header of the manifest of a recipe's rendering, with the kinds of truths in the order of the manifest."""
    return manifest.Header(
        recipe.name,
        recipe.seed,
        recipe.num_pairs,
        recipe.parameters(),
        recipe.license,
        recipe.notes,
        truths=manifest.in_order(truths),
    )


def _prepare(folder: pathlib.Path, recipe: Recipe, header: manifest.Header) -> bool:
    """Prepare a recipe's folder; return whether it is new."""
    is_new = not (folder / manifest.HEADER_FILE).exists()
    prepare_folder(folder, header, lambda: mirror.encode_map(recipe.mirror_map()))
    return is_new


def prepare_folder(folder: pathlib.Path, header: manifest.Header, mirror_map: Callable[[], bytes]) -> None:
    """Make the folder or check that it belongs to this recipe, and remove what a killed run left half written.

    Args:
        folder: The rendered folder, which the caller has locked.
        header: What is to be drawn.
        mirror_map: Returns the content of the mirror map's file. It is called if the folder has none.

    Raises:
        RenderError: The folder was begun with other parameters, or holds something else.
        ValueError: The recipe cannot be drawn: files are missing, or its body has no mirror map. Nothing was written.
    """
    if (folder / manifest.HEADER_FILE).exists():
        check_header(folder, header)
    elif folder.exists() and any(path.suffix != ".tmp" and not folder_lock.is_lock(path) for path in folder.iterdir()):
        raise RenderError(f"{folder} is not empty and has no {manifest.HEADER_FILE}: give a new or empty --output_dir.")
    mirror_file = folder / manifest.MIRROR_FILE
    # Before anything is written: a body may have none.
    content = None if mirror_file.exists() else mirror_map()
    manifest.write_header(folder, header)
    if content is not None:
        files.write_atomic(mirror_file, content)
    _remove_half_written(folder)


def _remove_half_written(folder: pathlib.Path) -> None:
    """Remove what a killed run left half written. Millions of files are passed by one at a time."""
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.startswith(".") and entry.name.endswith(".tmp"):
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)


def check_header(folder: pathlib.Path, header: manifest.Header) -> None:
    """Check that a folder was begun with these parameters.

    Raises:
        RenderError: It was begun with others. The message names each key with both values.
    """
    old, new = ({**vars(one), "parameters": None, **one.parameters} for one in (manifest.read_header(folder), header))
    differing = shards.differences(old, new)
    if set(differing) == {"truths"}:
        there, now = (", ".join(kinds) or "none" for kinds in differing["truths"])
        raise RenderError(
            f"{folder} was begun with other truths: {there} there, {now} now. Give the --truths of the first run, or "
            "another --output_dir."
        )
    if differing:
        raise RenderError(
            f"{folder} was begun with other parameters:\n{shards.describe(differing)}"
            "Give the parameters of the first run, or another --output_dir."
        )


def complete_folder(
    folder: pathlib.Path, header: manifest.Header, data_dir: str | os.PathLike[str] | None = None
) -> None:
    """Write `manifest.jsonl` and the card of a folder whose pairs are all there, and build the TFDS dataset.

    Args:
        folder: The rendered folder, which the caller has locked.
        header: Its header.
        data_dir: Where TFDS keeps datasets; None builds none.

    Raises:
        RenderError: A pair is not there.
    """
    manifest.write_records(folder, _drawn_records(folder, header))
    write_cards(folder)
    logging.info("%s: complete, %d pairs. Licence: %s", folder, header.num_pairs, header.license)
    if data_dir is not None:
        path = datasets.build_dataset(header.recipe, data_dir=data_dir, manual_dir=folder)
        logging.info("TFDS dataset: %s", path)


def _drawn_records(folder: pathlib.Path, header: manifest.Header) -> Iterator[manifest.Record]:
    """Read the record of every pair, one after another.

    Raises:
        RenderError: At the end, if a pair is not there.
    """
    gone = 0
    for index in range(header.num_pairs):
        record = read_record(folder, index)
        if record is None:
            gone += 1
        else:
            yield record
    if gone:
        raise RenderError(
            f"{folder}: {gone:,} of {count(header.num_pairs, 'pair')} {'is' if gone == 1 else 'are'} gone. Give the "
            "same command again."
        )


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
