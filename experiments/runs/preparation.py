"""Builds the datasets that users bring, and prints what they hold or what is wrong with them."""

import dataclasses
import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

import datasets
from datasets.build import BENCHMARKS, is_there, make_builder
from datasets.folders import given_path
from san_jax import folder_lock
from san_jax.counts import count
from san_jax.files import write_atomic
from san_jax.own_settings import OwnSettings


@dataclasses.dataclass(frozen=True)
class Leniency:
    """What of a source is taken that is not as it should be.

    Attributes:
        allow_partial: Whether to build from what can be used, and mark the dataset as partial.
        strict: Whether pictures that are not upright RGB JPEG or PNG are refused, not converted.
    """

    allow_partial: bool = False
    strict: bool = False


def prepare(name: str, manual_dir: str, data_dir: str, leniency: Leniency, own: OwnSettings | None = None) -> bool:
    """Build one dataset and print what it holds, or what is wrong with the source.

    Args:
        name: The dataset.
        manual_dir: Where its source is.
        data_dir: Where TFDS keeps datasets.
        leniency: What is taken that is not as it should be.
        own: How the dataset is made of the user's own pictures; None for one of `DATASETS`.

    Returns:
        Whether the dataset is there now.
    """
    try:
        return _prepare(name, manual_dir, data_dir, leniency, own)
    except Exception as error:
        _print_error(name, error)
        return False


def _prepare(name: str, manual_dir: str, data_dir: str, leniency: Leniency, own: OwnSettings | None) -> bool:
    problems_file = pathlib.Path(data_dir).expanduser() / f"{name.replace('/', '_')}_problems.txt"
    problems: list[str] = []
    try:
        arguments: Any = {
            **dataclasses.asdict(leniency),
            "data_dir": data_dir,
            "manual_dir": manual_dir,
            "report": problems.extend,
        }
        if own is None:
            folder = datasets.build_dataset(name, **arguments)
        else:
            folder = datasets.build_own(name, settings=own, **arguments)
    except datasets.DatasetError as error:
        _print_error(name, error)
        if error.problems:
            _write_problems(problems_file, error.problems, len(error.problems))
        return False
    info: Any = tfds.builder_from_directory(folder).info
    metadata = dict(info.metadata or {})
    print(describe(name, metadata, {split: found.num_examples for split, found in info.splits.items()}))
    if metadata.get("partial"):
        number = metadata["num_problems"]
        print(
            f"{name} IS PARTIAL: built in spite of {count(number, 'problem')}. The dataset and every later result are "
            "marked as partial."
        )
        # One that was built earlier says the first ones only; the list of that time may be there still.
        if problems or not _has_lines(problems_file, number):
            _write_problems(problems_file, problems or metadata["problems"], number)
    else:
        problems_file.unlink(missing_ok=True)  # of an earlier attempt
    print(folder)
    return True


def prepare_all(manual_dir: str, data_dir: str, leniency: Leniency) -> bool:
    """Build every benchmark that is in `manual_dir`; one that fails keeps none of the others from being built.

    Returns:
        Whether there was at least one and none failed.
    """
    failed, built, absent = [], [], []
    for name in BENCHMARKS:
        try:
            if not is_there(name, data_dir=data_dir, manual_dir=manual_dir):
                absent.append(name)
                continue
        except Exception as error:
            _print_error(name, error)
            failed.append(name)
            continue
        (built if prepare(name, manual_dir, data_dir, leniency) else failed).append(name)
        print(flush=True)
    for name in absent:
        print(f"{name} is not in {given_path(manual_dir)}. {make_builder(name, data_dir).ADVICE}")
    for title, names in (("Built", built), ("Failed", failed), ("Not there", absent)):
        print(f"{title}: {', '.join(names) or 'none'}")
    return bool(built) and not failed


def describe(name: str, metadata: dict[str, Any], images: dict[str, int]) -> str:
    """A table of what a dataset holds, against the published counts where there are any.

    Args:
        name: The dataset.
        metadata: As its builder stored it: `license`; `counts`, `counts_expected` and `converted` of benchmarks,
            `notes` of own pictures.
        images: Number of examples in each split.
    """
    found: dict[str, int] = metadata.get("counts") or {f"{split} images": number for split, number in images.items()}
    expected: dict[str, int] = metadata.get("counts_expected") or {}
    kinds = ("images", "identities", "cameras")

    def cell(key: str) -> str:
        if key not in found:
            return "-"
        differs = key in expected and expected[key] != found[key]
        return f"{found[key]:,} of {expected[key]:,}" if differs else f"{found[key]:,}"

    rows = [("", *kinds), *((split, *(cell(f"{split} {kind}") for kind in kinds)) for split in images)]
    lines = [f"{name}:", *(f"  {row[0]:<10}" + "".join(f"{text:>20}" for text in row[1:]) for row in rows)]
    tabled = {f"{split} {kind}" for split in images for kind in kinds}
    lines += [f"  {key}: {cell(key)}" for key in found if key not in tabled]
    if converted := metadata.get("converted"):
        lines.append("  converted to RGB: " + ", ".join(f"{number:,} {kind}" for kind, number in converted.items()))
    if expected:
        agree = all(found.get(key) == number for key, number in expected.items())
        lines.append(f"  {'as' if agree else 'NOT as'} published ({len(expected)} counts compared)")
    lines += [f"  {note}" for note in metadata.get("notes", ())]
    if "license" in metadata:  # datasets of earlier releases have none
        lines.append(f"  licence: {metadata['license']}")
    return "\n".join(lines)


def _print_error(name: str, error: Exception) -> None:
    if isinstance(error, (datasets.DatasetError, folder_lock.FolderError, OSError)):
        print(f"{name}: {error}", file=sys.stderr)
    else:  # nobody foresaw it
        traceback.print_exception(error)
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)


def _write_problems(path: pathlib.Path, problems: Sequence[str], number: int) -> None:
    """Write the lines of `problems`, which are the first ones of `number`."""
    write_atomic(path, "".join(f"{line}\n" for line in problems).encode(errors="surrogateescape"))
    is_whole = len(problems) == number
    lines = (
        f"The whole list ({count(number, 'line')})"
        if is_whole
        else f"The first {len(problems):,} of {number:,} problems"
    )
    print(f"{lines}: {path}", file=sys.stderr)


def _has_lines(path: pathlib.Path, number: int) -> bool:
    return path.is_file() and path.read_bytes().count(b"\n") == number
