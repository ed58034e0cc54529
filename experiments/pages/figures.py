"""Figures 6 and 7 of the paper: images, and beside them the textures that are regressed from them."""

import dataclasses
import fnmatch
import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from experiments.pages import contact_sheet
from experiments.pages.examples import evenly_spaced
from experiments.runs import data_sources, picture_sources, san_pg
from san_jax import checkpoint, embed, pictures, run_folder
from san_jax.data.reading import read_names, undecoded
from san_jax.files import write_atomic
from san_jax.pictures import resize_image

PERSONS = {"6": 2, "7": 3}  # rows of a figure, as in the paper
PAIRS = 4  # pairs in a row
MOST = 64  # largest number of pictures in a figure
PARTIAL_BENCHMARKS = ("partial_reid", "partial_ilids")  # all of their queries are partial
PARTS = {"upper half": (0, 0, 1, 0.5), "lower half": (0, 0.5, 1, 1), "left half": (0, 0, 0.5, 1)}
_LARGEST = (192, 256)  # width and height of a picture as it is drawn
_GAP = Image.new("RGB", (16, 1), "white")  # between pairs
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)  # their messages say what to do


class FigureError(ValueError):
    """A figure that cannot be drawn. The message says what was asked for and what there is."""


@dataclasses.dataclass(frozen=True)
class InputImage:
    """An image that a texture is regressed from.

    Attributes:
        image: The image as the network gets it, before it is resized.
        shown: The image as it is drawn.
        words: Caption.
    """

    image: Image.Image
    shown: Image.Image
    words: str


@dataclasses.dataclass(frozen=True)
class FigureRow:
    """Images of one person.

    Attributes:
        images: The images.
        truth: The true texture uint8 [256 256 3]; None if it is not known.
    """

    images: Sequence[InputImage]
    truth: np.ndarray | None = None


def from_dataset(
    figure: str,
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    split: str | None = None,
    names: Sequence[str] = (),
    crops: bool = False,
) -> list[FigureRow]:
    """Return the rows of Figure 6 or 7 from a dataset.

    Args:
        figure: "6" or "7".
        dataset: Any built dataset with images.
        data_dir: Where TFDS keeps datasets.
        split: Split in which persons are chosen, and after a "+" the one that further images of them come from. None is
            query+gallery (for Figure 7 without `crops` query_partial+gallery), or train if the dataset has no such
            splits.
        names: Names of the wanted images, or patterns of names as in a shell. If empty, persons are chosen, spread
            evenly.
        crops: For Figure 7: cut parts from whole images.

    Raises:
        FigureError: A name fits no image, the names fit too many, or the dataset has no partial images.
        datasets.DatasetError: There is no such dataset or split.
    """
    split = split or _default_split(figure, dataset, data_sources.list_splits(dataset, data_dir), crops)
    source = data_sources.open_source(dataset, split, data_dir)
    parts = split.split("+", 1)
    first = len(data_sources.open_source(dataset, parts[0], data_dir))
    if not first:
        raise FigureError(f"{dataset}, {parts[0]}: no images.")
    plain = undecoded(source)
    persons = np.array([_person(plain[index]) for index in range(len(plain))])
    chosen = _find(names, read_names(source), f"{dataset}, {split}") if names else None
    if figure == "6":
        rows = _images_by_person(persons, first, chosen)
    else:
        if chosen is None:
            chosen = _first_images(persons, first, PERSONS["7"])
        rows = [[index] if crops else [index, *_whole_image(plain, persons, first, index)] for index in chosen]

    def row(indices: Sequence[int]) -> FigureRow:
        examples: list[Mapping[str, Any]] = [source[index] for index in indices]
        splits = [parts[index >= first] for index in indices]
        whole = [
            (Image.fromarray(one["image"]), _caption(one, name)) for one, name in zip(examples, splits, strict=True)
        ]
        # The textures of a textured copy are regressed ones.
        truth = examples[0]["texture"] if "texture" in examples[0] and not dataset.endswith("_textured") else None
        return FigureRow(_input_images(whole, crops=crops), truth)

    return [row(indices) for indices in rows]


def _first_images(persons: np.ndarray, first: int, count: int) -> list[int]:
    """Choose persons evenly among the first images, and return the first image of each."""
    unique = np.unique(persons[:first])
    return [int(np.flatnonzero(persons == unique[i])[0]) for i in evenly_spaced(len(unique), count)]


def _images_by_person(persons: np.ndarray, first: int, chosen: Sequence[int] | None) -> list[list[int]]:
    """Group the chosen images by person; if none are chosen, take `PAIRS` images of each of some persons."""
    if chosen is None:
        found = [np.flatnonzero(persons == persons[one]) for one in _first_images(persons, first, PERSONS["6"])]
        return [[int(images[i]) for i in evenly_spaced(len(images), PAIRS)] for images in found]
    groups: dict[int, list[int]] = {}
    for index in chosen:
        groups.setdefault(int(persons[index]), []).append(index)
    return list(groups.values())


def from_files(
    figure: str, folder: str | os.PathLike[str], *, names: Sequence[str] = (), crops: bool = False
) -> tuple[list[FigureRow], list[str]]:
    """Return the rows of Figure 6 or 7 from the pictures under a folder, and a line for each unreadable one.

    `san_jax.pictures` defines what a picture is. Files that are not named like pictures are listed on standard error.

    Args:
        figure: "6" or "7".
        folder: Searched recursively.
        names: Paths in the folder, or patterns of paths as in a shell. If empty, files are chosen, spread evenly.
        crops: Cut parts from each picture, which then has a row to itself. Otherwise the pictures are drawn as they
            are.

    Raises:
        FigureError: None of the pictures can be read, a name fits no picture, or the names fit too many.
        picture_sources.SourceError: There is no such folder, or it holds no picture.
    """
    root = pathlib.Path(folder)
    listing = picture_sources.list_folder(root)
    problems = [f"{root / line}" for line in listing.problems]
    many = PERSONS[figure] * (1 if crops else PAIRS)
    chosen = _find(names, listing.pictures, str(root)) if names else evenly_spaced(len(listing.pictures), many)
    images = []
    for index in chosen:
        file = root / listing.pictures[index]
        try:
            images.append((pictures.decode(file).image, file.stem))
        except pictures.PictureError as error:
            problems.append(f"{file}: {error}")
    if not images:
        raise FigureError("\n".join(["none of these pictures can be read; choose others with --names:", *problems]))
    if crops:
        return [FigureRow(_input_images([one], crops=True)) for one in images], problems
    return [FigureRow(_input_images(images, crops=False))], problems


def _default_split(figure: str, dataset: str, splits: Sequence[str], crops: bool) -> str:
    whole = "query+gallery" if {"query", "gallery"} <= set(splits) else "train"
    if figure == "6" or crops or dataset in PARTIAL_BENCHMARKS:
        return whole
    if "query_partial" in splits:
        return "query_partial+gallery"
    raise FigureError(
        f"{dataset} has no partial images. Cut parts from whole ones with --crops, or choose one of "
        f"{', '.join(PARTIAL_BENCHMARKS)} or a pit_reid with partial queries."
    )


def _person(example: Mapping[str, Any]) -> int:
    """Return the identity of a person; in PIT, which has no identities, the number of the texture."""
    return int(example["person_id"] if "person_id" in example else example["texture_id"])


def _caption(example: Mapping[str, Any], split: str) -> str:
    if "person_id" not in example:
        return f"texture {example['texture_id']}"
    return f"{split.removeprefix('query_')} {example['person_id']}, cam {example['camera_id']}"


def _whole_image(plain: Any, persons: np.ndarray, first: int, index: int) -> list[int]:
    """Find an image of the same person in the further splits, from another camera if possible; [] if there is none."""
    others = [int(i) + first for i in np.flatnonzero(persons[first:] == persons[index]) if i + first != index]
    if not others:
        return []
    return [max(others, key=lambda other: plain[other]["camera_id"] != plain[index]["camera_id"])]


def _find(patterns: Sequence[str], names: Sequence[str], where: str) -> list[int]:
    """Return the positions of the names that fit the patterns, in the order of the patterns."""
    found: dict[int, None] = {}
    absent = []
    for pattern in patterns:
        fits = [index for index, name in enumerate(names) if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        found.update(dict.fromkeys(fits))
        if not fits:
            absent.append(pattern)
    if absent:
        raise FigureError(f"{where}: no picture is named {', '.join(absent)}; names there are like {names[0]}.")
    if len(found) > MOST:
        raise FigureError(f"{where}: --names fits {len(found):,} pictures, a figure holds {MOST}.")
    return list(found)


def _input_images(images: Sequence[tuple[Image.Image, str]], *, crops: bool) -> list[InputImage]:
    result = []
    for image, words in images:
        shown = ImageOps.contain(image, _LARGEST)
        result.append(InputImage(image, shown, words))
        # A part is drawn at the scale of the whole; the network gets it at its full input size.
        result += [InputImage(_cut(image, box), _cut(shown, box), part) for part, box in PARTS.items() if crops]
    return result


def _cut(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    left, top, right, bottom = box
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def draw(
    rows: Sequence[FigureRow], workdirs: Sequence[str | os.PathLike[str]], which: str = run_folder.NEWEST
) -> Image.Image:
    """Draw rows of pairs: each image, and beside it the textures that the runs regress from it.

    Args:
        rows: Rows from `from_dataset` or `from_files`.
        workdirs: Folders of runs with a decoder.
        which: Their checkpoints, see `san_jax.checkpoint.find`.

    Raises:
        san_pg.TextureError: A run has no decoder.
        FileNotFoundError: A folder does not hold a run.
        san_jax.checkpoint.CheckpointError: A run has no such checkpoint, or it cannot be read.
    """
    images = [one.image for row in rows for one in row.images]
    regressed: list[tuple[str, Iterator[np.ndarray]]] = []
    for workdir in workdirs:
        regressor = san_pg.load(workdir, which)
        inputs = np.stack([resize_image(image, regressor.plan.image_size) for image in images])
        words = f"{pathlib.Path(workdir).name}, step {regressor.step}"
        textures = embed.regress_textures(regressor.model, inputs, batch_size=min(len(inputs), 32))
        regressed.append((words, map(regressor.as_stored, textures)))
    sheet: list[list[contact_sheet.Tile]] = []
    for row in rows:
        lines = _lines(row.images, regressed)
        if row.truth is not None:
            lines[0].append((Image.fromarray(row.truth), "true texture"))
        sheet += lines
    return contact_sheet.compose(sheet)


def _lines(
    shown: Sequence[InputImage], regressed: Sequence[tuple[str, Iterator[np.ndarray]]]
) -> list[list[contact_sheet.Tile]]:
    lines = []
    for start in range(0, len(shown), PAIRS):
        line: list[contact_sheet.Tile] = []
        for picture in shown[start : start + PAIRS]:
            line.append((picture.shown, _fitting(picture.words, picture.shown.width)))
            for words, textures in regressed:
                texture = Image.fromarray(next(textures))
                line.append((texture, _fitting(words, texture.width)))
            line.append((_GAP, ""))
        lines.append(line)
    return lines


def _fitting(words: str, width: int) -> str:
    """Cut words so that they fit below a picture of a width in pixels."""
    letters = max(width // 7, 8)
    return words if len(words) <= letters else f"{words[: letters - 3]}..."


def write(
    rows: Sequence[FigureRow],
    workdirs: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    which: str = run_folder.NEWEST,
) -> None:
    """Draw rows as `draw` does, write them as a PNG and print its path."""
    buffer = io.BytesIO()
    draw(rows, workdirs, which).save(buffer, "PNG", optimize=True)
    write_atomic(path, buffer.getvalue())
    print(f"written to {path}")
