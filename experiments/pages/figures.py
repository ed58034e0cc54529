"""Figures 6 and 7 of the paper, and the quality of regressed textures."""

import dataclasses
import fnmatch
import io
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from experiments.pages import preview
from experiments.pages.demo_report import spread
from experiments.runs import data_sources, pseudo_textures, restore
from experiments.scoring import texture_quality
from experiments.scoring.texture_quality import Quality
from san_jax import checkpoint, embed, pictures
from san_jax.data.pipeline import read_names, undecoded
from san_jax.files import write_atomic
from san_jax.pictures import resize_image

PERSONS = {"6": 2, "7": 3}  # rows of a figure, as in the paper
PAIRS = 4  # pairs in a row
MOST = 64  # pictures of a figure
PARTIAL_BENCHMARKS = ("partial_reid", "partial_ilids")  # all of their queries are partial
PARTS = {"upper half": (0, 0, 1, 0.5), "lower half": (0, 0.5, 1, 1), "left half": (0, 0, 0.5, 1)}
_LARGEST = (192, 256)  # width and height of a picture as it is drawn
_GAP = Image.new("RGB", (16, 1), "white")  # between pairs
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)  # their messages say what to do


class FigureError(ValueError):
    """A figure that cannot be drawn. The message says what was asked for and what there is."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image that a texture is regressed from: `image` as the network gets it, `shown` as it is drawn, and its words."""

    image: Image.Image
    shown: Image.Image
    words: str


@dataclasses.dataclass(frozen=True)
class Row:
    """Pictures of one person, and the true texture uint8 [256 256 3] where it is known."""

    pictures: Sequence[Picture]
    truth: np.ndarray | None = None


def from_dataset(
    figure: str,
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    split: str | None = None,
    names: Sequence[str] = (),
    crops: bool = False,
) -> list[Row]:
    """The rows of Figure 6 or 7 from a dataset.

    Args:
        figure: "6" or "7".
        dataset: Any built dataset with images.
        data_dir: Where TFDS keeps datasets.
        split: Where persons are chosen, and after a "+" where further pictures of them come from. None for
            query+gallery where there are these (query_partial+gallery for Figure 7 without `crops`), else train.
        names: Names of the pictures that are wanted, or patterns of names as in a shell; none for a spread of persons.
        crops: For Figure 7: cut parts from whole pictures.

    Raises:
        FigureError: A name fits nothing or they fit too much, or the dataset has no partial images.
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
    if names:
        chosen = _find(names, read_names(source), f"{dataset}, {split}")
    else:
        unique = np.unique(persons[:first])
        chosen = [int(np.flatnonzero(persons == unique[i])[0]) for i in spread(len(unique), PERSONS[figure])]
    if figure == "6":
        groups: dict[int, list[int]] = {}
        for index in chosen:
            groups.setdefault(int(persons[index]), []).append(index)
        if not names:
            own = {person: np.flatnonzero(persons == person) for person in groups}
            groups = {person: [int(own[person][i]) for i in spread(len(own[person]), PAIRS)] for person in groups}
        rows = list(groups.values())
    elif crops:
        rows = [[index] for index in chosen]
    else:
        rows = [[index, *_whole_picture(plain, persons, first, index)] for index in chosen]

    def row(indices: Sequence[int]) -> Row:
        examples: list[Mapping[str, Any]] = [source[index] for index in indices]
        splits = [parts[index >= first] for index in indices]
        whole = [
            (Image.fromarray(one["image"]), _caption(one, name)) for one, name in zip(examples, splits, strict=True)
        ]
        # The textures of a textured copy are regressed ones.
        truth = examples[0]["texture"] if "texture" in examples[0] and not dataset.endswith("_textured") else None
        return Row(_pictures(whole, crops=crops), truth)

    return [row(indices) for indices in rows]


def from_files(
    figure: str, folder: str | os.PathLike[str], *, names: Sequence[str] = (), crops: bool = False
) -> tuple[list[Row], list[str]]:
    """The rows of Figure 6 or 7 from the pictures under a folder, and a line for each that cannot be read.

    Pictures are taken by the rules of `san_jax.pictures`. A line is printed about files that are no pictures.

    Args:
        figure: "6" or "7".
        folder: Searched recursively.
        names: Paths in the folder, or patterns of them as in a shell; none for files spread evenly over all.
        crops: Cut parts from each, a row a file. Without it the files are drawn as they are, several in a row.

    Raises:
        FigureError: None of the pictures can be read, or a name fits nothing or they fit too much.
        pseudo_textures.TextureError: There is no such folder, or no picture in it.
    """
    root = pathlib.Path(folder)
    files, problems = pseudo_textures.list_pictures(root)
    paths = [file.relative_to(root).as_posix() for file in files]
    many = PERSONS[figure] * (1 if crops else PAIRS)
    chosen = _find(names, paths, str(root)) if names else spread(len(files), many)
    images = []
    for index in chosen:
        try:
            images.append((pictures.decode(files[index]).image, files[index].stem))
        except pictures.PictureError as error:
            problems.append(f"{files[index]}: {error}")
    if not images:
        raise FigureError("\n".join(["none of these pictures can be read; choose others with --names:", *problems]))
    if crops:
        return [Row(_pictures([one], crops=True)) for one in images], problems
    return [Row(_pictures(images, crops=False))], problems


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
    """Who is in the picture; in PIT, which has no identities, the number of the texture."""
    return int(example["person_id"] if "person_id" in example else example["texture_id"])


def _caption(example: Mapping[str, Any], split: str) -> str:
    if "person_id" not in example:
        return f"texture {example['texture_id']}"
    return f"{split.removeprefix('query_')} {example['person_id']}, cam {example['camera_id']}"


def _whole_picture(plain: Any, persons: np.ndarray, first: int, index: int) -> list[int]:
    """A picture of the same person in the further splits, from another camera where there is one; [] for none."""
    others = [int(i) + first for i in np.flatnonzero(persons[first:] == persons[index]) if i + first != index]
    if not others:
        return []
    return [max(others, key=lambda other: plain[other]["camera_id"] != plain[index]["camera_id"])]


def _find(patterns: Sequence[str], names: Sequence[str], where: str) -> list[int]:
    """Positions of the names that patterns fit, in the order of the patterns."""
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


def _pictures(images: Sequence[tuple[Image.Image, str]], *, crops: bool) -> list[Picture]:
    result = []
    for image, words in images:
        shown = ImageOps.contain(image, _LARGEST)
        result.append(Picture(image, shown, words))
        # A part is drawn at the scale of the whole; the network gets it at its full input size.
        result += [Picture(_cut(image, box), _cut(shown, box), part) for part, box in PARTS.items() if crops]
    return result


def _cut(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    left, top, right, bottom = box
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def draw(rows: Sequence[Row], workdirs: Sequence[str | os.PathLike[str]]) -> Image.Image:
    """Draws rows of pairs: each picture, and beside it the textures that the runs regress from it.

    Args:
        rows: Of `from_dataset` or `from_files`.
        workdirs: Folders of runs with a decoder.

    Raises:
        pseudo_textures.TextureError: A run has no decoder.
        FileNotFoundError: A folder is no run's.
        san_jax.checkpoint.CheckpointError: A run has no checkpoint yet, or it cannot be read.
    """
    images = [picture.image for row in rows for picture in row.pictures]
    regressed: list[tuple[str, Iterator[np.ndarray]]] = []
    for workdir in workdirs:
        model, config = pseudo_textures.load_decoder(workdir)
        inputs = np.stack([resize_image(image, config.image_size) for image in images])
        words = f"{pathlib.Path(workdir).name}, step {_step(workdir)}"
        textures = embed.regress_textures(model, inputs, batch_size=min(len(inputs), 32))
        regressed.append((words, (pseudo_textures.as_stored(texture, config.target) for texture in textures)))
    sheet: list[list[preview.Tile]] = []
    for row in rows:
        lines = _lines(row.pictures, regressed)
        if row.truth is not None:
            lines[0].append((Image.fromarray(row.truth), "true texture"))
        sheet += lines
    return preview.compose(sheet)


def _lines(shown: Sequence[Picture], regressed: Sequence[tuple[str, Iterator[np.ndarray]]]) -> list[list[preview.Tile]]:
    lines = []
    for start in range(0, len(shown), PAIRS):
        line: list[preview.Tile] = []
        for picture in shown[start : start + PAIRS]:
            line.append((picture.shown, _fitting(picture.words, picture.shown.width)))
            for words, textures in regressed:
                texture = Image.fromarray(next(textures))
                line.append((texture, _fitting(words, texture.width)))
            line.append((_GAP, ""))
        lines.append(line)
    return lines


def _fitting(words: str, width: int) -> str:
    """Words without the end that would not fit below a picture."""
    letters = max(width // 7, 8)
    return words if len(words) <= letters else f"{words[: letters - 3]}..."


def _step(workdir: str | os.PathLike[str]) -> int | None:
    return checkpoint.latest_step(pathlib.Path(workdir) / restore.CHECKPOINT_FOLDER)


def quality_table(
    workdirs: Sequence[str],
    *,
    dataset: str | None = None,
    split: str = "train",
    data_dir: str | os.PathLike[str] = "data",
    held_out: str | os.PathLike[str] | None = None,
    sample: int = texture_quality.SAMPLE,
) -> dict[str, Any]:
    """Measures the textures of runs, and those of the mean texture, which never looks at the image.

    Args:
        workdirs: Folders of runs with a decoder.
        dataset: A dataset under `data_dir` with true textures, `pit_reid`; None to leave it out.
        split: Of `dataset`.
        data_dir: Where TFDS keeps datasets.
        held_out: Another folder of datasets, with a `pit` that no run was trained on; None to leave it out.
        sample: At most so many images of each.

    Returns:
        JSON values: `measured`, by a name for the column: dataset, split, data_dir, images (measured), of (in the split),
        source_digest; `rows`, a list: run (a folder, or "mean texture"), and unless it is that encoder, width,
        texture_size, step; and `quality`, by column: l1, psnr (None where infinite), ssim.

    Raises:
        FigureError: Nothing to measure on, or a run was trained on textures of the held-out PIT.
        ValueError: As `texture_quality.of_run`.
    """
    columns: dict[str, tuple[str, str, str | os.PathLike[str]]] = {}
    if held_out is not None:
        for workdir in workdirs:
            _check_held_out(workdir, held_out)
        columns["held-out pit"] = ("pit", "train", held_out)
    if dataset is not None:
        columns[f"{dataset}, {split}"] = (dataset, split, data_dir)
    if not columns:
        raise FigureError(
            "Nothing to measure on: give --held_out (another rendering of pit), --dataset=pit_reid, or both."
        )
    measured = {}
    for column, (name, part, folder) in columns.items():
        images, total = texture_quality.count(name, part, folder, sample=sample)
        digest = data_sources.read_metadata(name, folder).get("source_digest")
        measured[column] = {
            **{"dataset": name, "split": part, "data_dir": str(folder)},
            **{"images": images, "of": total, "source_digest": digest},
        }
    rows: list[dict[str, Any]] = []
    for workdir in workdirs:
        config = restore.read_config(workdir)
        found = {name: texture_quality.of_run(workdir, *where, sample=sample) for name, where in columns.items()}
        rows.append(
            {
                "run": str(workdir),
                **{key: config.model[key] for key in ("encoder", "width", "texture_size")},
                "step": _step(workdir),
                "quality": {name: _json(quality) for name, quality in found.items()},
            }
        )
    floor = {name: _json(texture_quality.of_mean(*where, sample=sample)) for name, where in columns.items()}
    rows.append({"run": "mean texture", "quality": floor})
    return {"measured": measured, "rows": rows}


def _json(quality: Quality) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(quality).items()}


def _check_held_out(workdir: str, held_out: str | os.PathLike[str]) -> None:
    """Raises unless the PIT in `held_out` is another one than the run, or the run that it started from, learnt from."""
    held = data_sources.read_metadata("pit", held_out)
    data = restore.read_data(workdir)
    records = [] if data is None else [data, *data.pop(restore.STARTED_FROM).values()]
    digests = {record["source_digest"] for record in records if record is not None}
    if held.get("source_digest") in digests:
        raise FigureError(f"{workdir} was trained on the pit in {held_out}: render another one, see --help.")
    config = restore.read_config(workdir)
    if config.stage == "baseline":  # what measures it says that it has no decoder
        return
    try:
        there = data_sources.read_metadata(config.pit_dataset, config.data_dir)
    except ValueError:  # its data are no longer where they were
        return
    if there.get("recipe") == held.get("recipe") and there.get("seed") == held.get("seed"):
        raise FigureError(
            f"{workdir} was trained on a pit rendered with the seed {there.get('seed')}, and so was that in {held_out}: they "
            "share their first textures. Render it with another seed, see --help."
        )


def markdown(table: Mapping[str, Any]) -> str:
    """The table of `quality_table` in Markdown, with what was measured and how."""
    columns = list(table["measured"])
    head = ["generator", *(f"{column}: {name}" for column in columns for name in ("L1", "PSNR", "SSIM"))]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in table["rows"]:
        label = row["run"]
        if "encoder" in row:
            label += f" ({row['encoder']}, width {row['width']}, {row['texture_size']}x{row['texture_size']}, step {row['step']})"
        cells = [text for column in columns for text in _cells(row["quality"][column])]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    measured = "; ".join(
        f"{column}: {what['images']:,} of {what['of']:,} images of {what['dataset']}, {what['split']}, in {what['data_dir']}"
        for column, what in table["measured"].items()
    )
    return "\n".join(
        [
            "# Quality of regressed textures",
            "",
            *lines,
            "",
            "L1: mean absolute difference in [-1, 1], as L_Rec, less is better. PSNR in dB and SSIM (Wang et al. 2004), more "
            "is better. Means over the images, all compared at 256x256, which smaller textures are resized to; the images "
            "are drawn with a fixed seed, the same for each row. Mean texture: the mean of the true textures of these "
            "images, the same for each image.",
            "",
            f"Measured on {measured}.",
            "",
        ]
    )


def _cells(quality: Mapping[str, float | None]) -> list[str]:
    psnr = quality["psnr"]
    return [f"{quality['l1']:.4f}", "exact" if psnr is None else f"{psnr:.2f}", f"{quality['ssim']:.4f}"]


def write_figure(
    figure: str,
    workdirs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    dataset: str | None,
    images: str | os.PathLike[str] | None,
    data_dir: str | os.PathLike[str],
    split: str | None = None,
    names: Sequence[str] = (),
    crops: bool = False,
) -> list[str]:
    """Draws Figure 6 or 7 into a folder, as a PNG named after what it shows, and prints its path.

    Args:
        figure: "6" or "7".
        workdirs: Folders of runs with a decoder.
        output: The folder.
        dataset: A dataset under `data_dir`, see `from_dataset`; None to take `images`.
        images: A folder of pictures, see `from_files`; not read where there is a dataset.
        data_dir: Where TFDS keeps datasets.
        split, names, crops: As for `from_dataset` and `from_files`.

    Returns:
        A line for each picture that could not be read.

    Raises:
        One of `KNOWN_ERRORS`.
    """
    unread: list[str] = []
    if dataset is not None:
        rows = from_dataset(figure, dataset, data_dir, split=split, names=names, crops=crops)
        what = dataset
    else:
        assert images is not None
        rows, unread = from_files(figure, images, names=names, crops=crops)
        what = pathlib.Path(images).resolve().name
    buffer = io.BytesIO()
    draw(rows, workdirs).save(buffer, "PNG", optimize=True)
    name = f"figure_{figure}_{what.replace('/', '_')}{'_crops' * crops}.png"
    _write(pathlib.Path(output), {name: buffer.getvalue()})
    return unread


def write_quality(
    workdirs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    dataset: str | None,
    split: str,
    data_dir: str | os.PathLike[str],
    held_out: str | os.PathLike[str] | None,
    sample: int | None,
) -> None:
    """Writes the table of `quality_table` into a folder as Markdown and JSON, and prints it.

    Args:
        workdirs, dataset, split, data_dir, held_out: As for `quality_table`.
        output: The folder.
        sample: Largest number of images of each dataset; None for `texture_quality.SAMPLE`.

    Raises:
        One of `KNOWN_ERRORS`.
    """
    table = quality_table(
        workdirs,
        dataset=dataset,
        split=split,
        data_dir=data_dir,
        held_out=held_out,
        sample=texture_quality.SAMPLE if sample is None else sample,
    )
    text = markdown(table)
    print(text)
    files = {
        "texture_quality.md": text.encode(),
        "texture_quality.json": (json.dumps(table, indent=2, allow_nan=False) + "\n").encode(),
    }
    _write(pathlib.Path(output), files)


def _write(output: pathlib.Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write_atomic(output / name, content)
        print(f"written to {output / name}")
