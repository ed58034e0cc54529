"""The table of texture quality: how close the textures of SAN-PG runs come to the true ones, as JSON and Markdown."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from experiments.runs import data_sources, folder, san_pg
from experiments.scoring import texture_quality
from san_jax import checkpoint, run_folder
from san_jax.counts import count
from san_jax.files import write_atomic

KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)  # their messages say what to do

Where: TypeAlias = tuple[str, str, str | os.PathLike[str]]
"""Dataset, split and data_dir."""
Columns: TypeAlias = Mapping[str, Where]
"""Name of a column of the table -> what it is measured on."""


class QualityError(ValueError):
    """Textures cannot be measured as asked for. The message says why."""


def write(
    workdirs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    where: Where | None,
    held_out: str | os.PathLike[str] | None,
    sample: int,
    which: str = run_folder.NEWEST,
) -> None:
    """Measure the textures of runs, write the table into a folder as Markdown and JSON, and print it.

    Args:
        workdirs: Folders of runs with a decoder.
        output: The folder.
        where: A dataset with true textures, such as `pit_reid`, to measure on; None to leave it out.
        held_out: Another folder of datasets, with a `pit` that no run was trained on; None to leave it out.
        sample: Largest number of images of each dataset.
        which: The runs' checkpoints, see `san_jax.checkpoint.find`.

    Raises:
        QualityError: There is nothing to measure on, or a run was trained on textures of the held-out PIT.
        ValueError: As `texture_quality.of_run`.
    """
    columns: dict[str, Where] = {}
    if held_out is not None:
        for workdir in workdirs:
            _check_held_out(workdir, held_out)
        columns["held-out pit"] = ("pit", "train", held_out)
    if where is not None:
        columns[f"{where[0]}, {where[1]}"] = where
    if not columns:
        raise QualityError(
            "Nothing to measure on: give --held_out (another rendering of pit), --dataset=pit_reid, or both."
        )
    table = _measure(workdirs, columns, sample, which)
    text = markdown(table)
    print(text)
    for name, content in {
        "texture_quality.md": text,
        "texture_quality.json": json.dumps(table, indent=2, allow_nan=False) + "\n",
    }.items():
        path = pathlib.Path(output) / name
        write_atomic(path, content.encode())
        print(f"written to {path}")


def _measure(workdirs: Sequence[str], columns: Columns, sample: int, which: str) -> dict[str, Any]:
    """Measure the textures of runs, and those of the mean texture, which never looks at the image.

    Returns:
        JSON values. `measured`, by column: dataset, split, data_dir, images (measured), of (images in the split),
        source_digest. `rows`, a list: run (a folder, or "mean texture"), for a run also encoder, width, texture_size
        and step, and `quality`, by column: the numbers of `texture_quality.to_json`.
    """
    measured = {name: _describe_data(*where, sample=sample) for name, where in columns.items()}
    rows: list[dict[str, Any]] = []
    for workdir in workdirs:
        regressor = san_pg.load(workdir, which)
        found = {name: texture_quality.of_run(regressor, *where, sample=sample) for name, where in columns.items()}
        rows.append(
            {
                "run": str(workdir),
                **{key: getattr(regressor.plan.model, key) for key in ("encoder", "width", "texture_size")},
                "step": regressor.step,
                "quality": {name: texture_quality.to_json(quality) for name, quality in found.items()},
            }
        )
    floor = {
        name: texture_quality.to_json(texture_quality.of_mean(*where, sample=sample)) for name, where in columns.items()
    }
    rows.append({"run": "mean texture", "quality": floor})
    return {"measured": measured, "rows": rows}


def _describe_data(dataset: str, split: str, data_dir: str | os.PathLike[str], *, sample: int) -> dict[str, Any]:
    images, total = texture_quality.count(dataset, split, data_dir, sample=sample)
    digest = data_sources.read_metadata(dataset, data_dir).get("source_digest")
    return {
        **{"dataset": dataset, "split": split, "data_dir": str(data_dir)},
        **{"images": images, "of": total, "source_digest": digest},
    }


def _check_held_out(workdir: str, held_out: str | os.PathLike[str]) -> None:
    """Raise QualityError if a run, or the run that it started from, was trained on the PIT in `held_out`."""
    held = data_sources.read_metadata("pit", held_out)
    data = folder.read_data(workdir)
    records = [] if data is None else [data, *data.pop(folder.STARTED_FROM).values()]
    digests = {record["source_digest"] for record in records if record is not None}
    if held.get("source_digest") in digests:
        raise QualityError(f"{workdir} was trained on the pit in {held_out}: render another one, see --help.")
    plan = folder.read_plan(workdir)
    if plan.target is None:  # `texture_quality` reports that it has no decoder
        return
    try:
        # A run without PIT batches started from one that was trained on PIT.
        there = data_sources.read_metadata(plan.pit.dataset if plan.pit else "pit", plan.data_dir)
    except ValueError:  # its data is no longer where it was
        return
    if there.get("recipe") == held.get("recipe") and there.get("seed") == held.get("seed"):
        raise QualityError(
            f"{workdir} was trained on a pit rendered with the seed {there.get('seed')}, and so was that in {held_out}: "
            "they share their first textures. Render it with another seed, see --help."
        )


def markdown(table: Mapping[str, Any]) -> str:
    """Return the table in Markdown, with what was measured and how."""
    columns = list(table["measured"])
    head = ["SAN-PG run", *(f"{column}: {name}" for column in columns for name in texture_quality.COLUMNS)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in table["rows"]:
        label = row["run"]
        if "encoder" in row:
            size = f"{row['texture_size']}x{row['texture_size']}"
            label += f" ({row['encoder']}, width {row['width']}, {size}, step {row['step']})"
        cells = [text for column in columns for text in texture_quality.cells(row["quality"][column])]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    measured = "; ".join(
        f"{column}: {what['images']:,} of {count(what['of'], 'image')} of {what['dataset']}, {what['split']}, in "
        f"{what['data_dir']}"
        for column, what in table["measured"].items()
    )
    return "\n".join(
        [
            "# Quality of regressed textures",
            "",
            *lines,
            "",
            f"{texture_quality.WORDS} Means over the images, all compared at 256x256, which smaller textures are resized "
            "to; the images are drawn with a fixed seed, the same for each row. Mean texture: the mean of the true "
            "textures of these images, the same for each image.",
            "",
            f"Measured on {measured}.",
            "",
        ]
    )
