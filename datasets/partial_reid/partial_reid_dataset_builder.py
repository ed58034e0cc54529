"""Partial REID as its authors give it out.

    Partial_REID/{partial_body_images,whole_body_images,occluded_body_images}/001_001.jpg

There are 60 people with five images of each kind. The name holds the person and the index of the image.
"""

import collections
import pathlib
import re

from datasets.benchmark import BenchmarkBuilder
from datasets.examples import count_problems, reid_example
from datasets.folders import archive_names, list_files, missing_named
from datasets.image_names import JPEG_SUFFIX
from datasets.listing import Listing

SPLITS = {"query": "partial_body_images", "gallery": "whole_body_images"}
OCCLUDED = "occluded_body_images"
# The loaders of PVPM, fast-reid and EANet read *.jpg in these folders; the person stands before the underscore.
FILE_NAME = re.compile(rf"(\d{{1,6}})_(\d{{1,6}}){JPEG_SUFFIX}", re.ASCII)
EXAMPLE_NAME = "001_003.jpg"
OCCLUDED_COUNT = f"images in {OCCLUDED}"


class Builder(BenchmarkBuilder, skip_registration=True):
    """Partial REID, splits `query` (partial) and `gallery` (whole)."""

    TITLE = "Partial REID"
    ADVICE = (
        'Get Partial REID from its authors at Sun Yat-sen University (Zheng et al., "Partial Person '
        'Re-identification", ICCV 2015) for research. Give the archive, or the folder Partial_REID unpacked from it '
        "with partial_body_images and whole_body_images in it, as manual_dir."
    )
    LICENSE = "For research, under the terms of its authors at Sun Yat-sen University."
    # Zheng et al., "Partial Person Re-identification", ICCV 2015. There are no cameras: query is 0, gallery 1.
    COUNTS = {  # noqa: RUF012 (a constant)
        "query images": 300,
        "query identities": 60,
        "query cameras": 1,
        "gallery images": 300,
        "gallery identities": 60,
        "gallery cameras": 1,
    }
    # Partial-REID_Dataset: hh23333/PVPM and EANet. PVPM's copy has occluded_body_pose and whole_body_pose beside the
    # images.
    FOLDERS = ("Partial_REID", "Partial-REID", "PartialREID", "Partial-REID_Dataset")
    ARCHIVES = archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 1 << 30

    def is_root(self, folder: pathlib.Path) -> bool:
        return is_partial_reid(folder)

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        return missing_named(folder, "Partial_REID", tuple(SPLITS.values()), EXAMPLE_NAME)

    def list_root(self, root: pathlib.Path) -> Listing:
        problems: list[str] = []
        splits = {
            split: [
                reid_example(root, f"{folder}/{name}", person_id, camera_id)
                for name, person_id in _read_names(root / folder, problems)
            ]
            for camera_id, (split, folder) in enumerate(SPLITS.items())
        }
        counts: dict[str, int] = {}
        # This folder is not part of the protocol and not stored, but if it is damaged, the rest may be damaged too.
        if (root / OCCLUDED).is_dir():
            counts[OCCLUDED_COUNT] = len(_read_names(root / OCCLUDED, problems))
            problems += count_problems(counts, {OCCLUDED_COUNT: self.COUNTS["query images"]})
        return Listing(splits, counts, problems)


def is_partial_reid(folder: pathlib.Path) -> bool:
    """Return whether a folder is Partial REID.

    Partial-iLIDS may have the same folders, but with one image per person in each.
    """
    folders = [folder / part for part in SPLITS.values()]
    return all(part.is_dir() for part in folders) and any(is_multi_shot(part, FILE_NAME) for part in folders)


def is_multi_shot(folder: pathlib.Path, file_name: re.Pattern[str]) -> bool:
    """Return whether at least half of the people in a folder have several images.

    Args:
        folder: A folder of images.
        file_name: Pattern of a file name, whose first group is the person.
    """
    matches = [file_name.fullmatch(name) for name in list_files(folder)]
    images = collections.Counter(int(match[1]) for match in matches if match)
    return 2 * sum(number > 1 for number in images.values()) >= len(images) > 0


def _read_names(folder: pathlib.Path, problems: list[str]) -> list[tuple[str, int]]:
    """Return the name and the person of each image, sorted by person and index.

    The single-shot protocol needs the same image indices for every person; whatever deviates goes into `problems`.
    """
    files: dict[tuple[int, int], str] = {}
    for name in list_files(folder):
        match = FILE_NAME.fullmatch(name)
        if not match:
            problems.append(f"{folder / name}: expected a name like {EXAMPLE_NAME}, person and index of the image")
            continue
        key = (int(match[1]), int(match[2]))
        if key in files:
            problems.append(f"{folder / name}: extra, {files[key]} has the same person and index")
        else:
            files[key] = name
    people = {person for person, _ in files}
    # An index that most people have is expected of all, so that one stray image is not missing for everybody else.
    numbers = collections.Counter(index for _, index in files)
    usual = {index for index, number in numbers.items() if 2 * number > len(people)}
    for person in sorted(people):
        lacking = [str(index) for index in sorted(usual) if (person, index) not in files]
        if lacking:
            problems.append(f"{folder}: no image {', '.join(lacking)} of person {person}")
    for key in [key for key in files if key[1] not in usual]:
        problems.append(f"{folder / files[key]}: extra, others have no image {key[1]}")
        del files[key]
    return [(name, person) for (person, _), name in sorted(files.items())]
