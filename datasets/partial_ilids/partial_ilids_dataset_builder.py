"""Partial-iLIDS, in the three layouts of its copies.

    Partial_iLIDS/{Probe,Gallery}/1.jpg
    Partial_iLIDS/{query,gallery}/1.jpg
    Partial_iLIDS/{partial_body_images,whole_body_images}/1.jpg

The file name begins with the person, alone or before an underscore. Each person has one probe and one gallery image.
"""

import pathlib
import re

from datasets.benchmark import BenchmarkBuilder
from datasets.examples import Example, reid_example
from datasets.folders import archive_names, found_there, list_files
from datasets.image_names import JPEG_SUFFIX
from datasets.listing import Listing
from datasets.partial_reid import partial_reid_dataset_builder

# Folders of query and gallery: EANet has the first, fast-reid the second, bpbreid (after hh23333/PVPM) the third.
LAYOUTS = (("Probe", "Gallery"), ("query", "gallery"), ("partial_body_images", "whole_body_images"))
# EANet takes the whole name as the person, fast-reid the part before an underscore; both read *.jpg.
FILE_NAME = re.compile(rf"(\d{{1,6}})(?:_.*)?{JPEG_SUFFIX}", re.ASCII)


class Builder(BenchmarkBuilder, skip_registration=True):
    """Partial-iLIDS, splits `query` (partial) and `gallery` (whole)."""

    TITLE = "Partial-iLIDS"
    ADVICE = (
        'Partial-iLIDS was made from i-LIDS by Zheng et al. ("Person Re-identification by Probabilistic Relative '
        'Distance Comparison", CVPR 2011). Ask those who work with it for a copy, under the terms of i-LIDS. Give the '
        "archive, or the folder in which Probe and Gallery (or query and gallery, or partial_body_images and "
        "whole_body_images) lie, as manual_dir."
    )
    LICENSE = "The terms of i-LIDS, from which it was made."
    # He et al., "Deep Spatial Feature Reconstruction for Partial Person Re-identification", CVPR 2018. As in the
    # protocol, the query's camera is 0 and the gallery's 1.
    COUNTS = {  # noqa: RUF012 (a constant)
        "query images": 119,
        "query identities": 119,
        "query cameras": 1,
        "gallery images": 119,
        "gallery identities": 119,
        "gallery cameras": 1,
    }
    FOLDERS = tuple(f"Partial{dash}{name}" for dash in ("_", "-", "") for name in ("iLIDS", "i-LIDS"))
    ARCHIVES = archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 1 << 30

    def is_root(self, folder: pathlib.Path) -> bool:
        return _layout(folder) is not None

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        layouts = ", or ".join(" and ".join(layout) for layout in LAYOUTS)
        return [
            f"{folder}: expected the folders {layouts}, there or in a folder in it, with files like 1.jpg or "
            "001_x.jpg, one per person",
            f"{folder}: found {found_there(folder)}",
        ]

    def list_root(self, root: pathlib.Path) -> Listing:
        layout = _layout(root)
        assert layout is not None  # or is_root would have been False
        problems: list[str] = []
        splits: dict[str, list[Example]] = {}
        for camera_id, (split, folder) in enumerate(zip(("query", "gallery"), layout, strict=True)):
            first: dict[int, str] = {}
            for name in list_files(root / folder):
                match = FILE_NAME.fullmatch(name)
                if not match:
                    problems.append(f"{root / folder / name}: expected a name like 1.jpg or 001_x.jpg")
                elif int(match[1]) in first:
                    problems.append(f"{root / folder / name}: extra, {first[int(match[1])]} shows this person already")
                else:
                    first[int(match[1])] = name
            splits[split] = [
                reid_example(root, f"{folder}/{name}", person_id, camera_id)
                for person_id, name in sorted(first.items())
            ]
        people = {split: {example["person_id"] for example in examples} for split, examples in splits.items()}
        for folder, other, alone in (
            (*layout, people["query"] - people["gallery"]),
            (*layout[::-1], people["gallery"] - people["query"]),
        ):
            problems += [f"{root / other}: no image of person {person}, who is in {folder}" for person in sorted(alone)]
        return Listing(splits, {}, problems)


def _layout(folder: pathlib.Path) -> tuple[str, str] | None:
    """Return a folder's layout of Partial-iLIDS, or None if it is something else.

    Other datasets have folders of these names too: OccludedREID the second layout, Partial REID the third. They have
    several images per person.
    """
    for layout in LAYOUTS:
        parts = [folder / part for part in layout]
        if not all(part.is_dir() for part in parts):
            continue
        has_images = any(FILE_NAME.fullmatch(name) for part in parts for name in list_files(part))
        if has_images and not any(partial_reid_dataset_builder.is_multi_shot(part, FILE_NAME) for part in parts):
            return layout
    return None
