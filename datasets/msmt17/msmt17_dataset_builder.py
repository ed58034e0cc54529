"""MSMT17 as its authors give it out, V1 or V2 (with faces masked), or renamed after Market-1501.

    MSMT17_V1/{train,test}/0000/0000_000_01_0303morning_0008_0.jpg
    MSMT17_V2/{mask_train_v2,mask_test_v2}/0000/0000_000_01_0303morning_0008_0.jpg
    list_{train,val,query,gallery}.txt in either, with lines  0000/0000_000_01_0303morning_0008_0.jpg 0

    MSMT17/{bounding_box_train,query,bounding_box_test}/0000_c1_0000.jpg

Paths in the lists are relative to the training folder (train, val) or the test folder (query, gallery). Renamed copies
have no lists, so train and val cannot be told apart: `train` is both.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from datasets.benchmark import BenchmarkBuilder
from datasets.builder import Archive
from datasets.errors import raise_problems
from datasets.examples import Example, label_train, reid_example, split_counts
from datasets.folders import archive_names, found_there, has_named, list_files
from datasets.image_names import JPEG_SUFFIX, ImageNames, same_image_problem
from datasets.listing import Listing

# Release -> folders of training and test images.
RELEASES = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
SPLITS = {"train": 0, "val": 0, "query": 1, "gallery": 1}  # split -> index of its folder in a release
NUM_CAMERAS = 15
# Names hold morning, noon or afternoon, and some end in _0_ex.jpg. In lists that people saved again, the blank before
# the label may be a tab; in copies that passed through a Mac, the suffix is .jpeg (SY-Xuan/IICS#5).
LINE = re.compile(
    rf"(?P<image>(?P<folder>\d{{1,6}})/(?P<person>\d{{1,6}})_\d+_(?P<camera>\d{{1,3}})_[\w-]+){JPEG_SUFFIX}"
    r"[ \t]+(?P<label>\d{1,6})",
    re.ASCII,
)
EXAMPLE_LINE = "0000/0000_000_01_0303morning_0008_0.jpg 0"
_SUFFIX = re.compile(rf"{JPEG_SUFFIX}\Z")
MAX_LIST_BYTES = 1 << 26  # the largest has about 4 MB

# Copies with the folders of Market-1501: michuanhaohao/reid-strong-baseline#75, zhunzhong07/ECN#11. Some name person
# and camera as Market-1501 does; others have the authors' names in these folders.
MARKET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
MARKET_NAMES = ImageNames(
    re.compile(
        rf"(?P<image>(?P<person>\d{{1,6}})_(?:c|\d{{1,4}}_)(?P<camera>\d{{1,2}})_[\w-]+){JPEG_SUFFIX}", re.ASCII
    ),
    "0000_c1_0000.jpg or 0000_000_01_0303morning_0008_0.jpg",
    NUM_CAMERAS,
)
UNKNOWN_RELEASE = "unknown"


class Builder(BenchmarkBuilder, skip_registration=True):
    """MSMT17, splits `train`, `val`, `query`, `gallery`; metadata `release` says whether it is V1 or V2.

    A renamed copy has no `val`, and its release is "unknown" unless the name of its folder says it.
    """

    TITLE = "MSMT17"
    ADVICE = (
        "Get MSMT17 from its authors at Peking University (Wei et al., CVPR 2018) under their release agreement, for "
        "research only. Give the archive, or the folder MSMT17_V1 or MSMT17_V2 unpacked from it with its four lists "
        "list_train.txt, list_val.txt, list_query.txt and list_gallery.txt, as manual_dir. A copy that was renamed "
        "after Market-1501 is accepted too, if its folder is called MSMT17."
    )
    LICENSE = "For research only, under the release agreement of its authors at Peking University."
    # Wei et al., "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018. The numbers of
    # train and val are those of the lists.
    COUNTS = {  # noqa: RUF012 (a constant)
        "train images": 30_248,
        "val images": 2_373,
        "train+val images": 32_621,
        "train+val identities": 1_041,
        "query images": 11_659,
        "query identities": 3_060,
        "query cameras": NUM_CAMERAS,
        "gallery images": 82_161,
        "gallery identities": 3_060,
        "gallery cameras": NUM_CAMERAS,
        "cameras": NUM_CAMERAS,
    }
    FOLDERS = ("MSMT17_V1", "MSMT17_V2", "MSMT17", "MSMT17-V1", "MSMT17-V2", "MSMT")
    ARCHIVES = archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 16 << 30  # about 2.5 GiB

    def is_root(self, folder: pathlib.Path) -> bool:
        return _is_root(folder) or _is_renamed(folder)

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        return [
            f"{folder}: expected MSMT17_V1 (folders train, test) or MSMT17_V2 (folders mask_train_v2, mask_test_v2) "
            "there or in a folder in it, with list_train.txt, list_val.txt, list_query.txt and list_gallery.txt; or a "
            f"folder MSMT17 with {', '.join(MARKET_SPLITS.values())} and files like {MARKET_NAMES.example}",
            f"{folder}: found {found_there(folder)}",
        ]

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        archive = super().scan(manual_dir)
        release = _release(archive.root) if _is_root(archive.root) else _named_release(archive.root)
        return dataclasses.replace(archive, metadata={**archive.metadata, "release": release})

    def counts_for(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        if "val" in splits:
            return dict(self.COUNTS)
        return {key: number for key, number in self.COUNTS.items() if key not in ("train images", "val images")}

    def list_root(self, root: pathlib.Path) -> Listing:
        if not _is_root(root):
            problems: list[str] = []
            splits = {split: MARKET_NAMES.read(root, folder, problems) for split, folder in MARKET_SPLITS.items()}
            label_train(splits["train"])
            return Listing(splits, {}, problems)
        release = _release(root)
        lists = {split: root / f"list_{split}.txt" for split in SPLITS}
        absent = [f"{path}: no such file" for path in lists.values() if not path.is_file()]
        # Folders of both releases in one are an error: the lists do not say which of them they mean.
        for name, folders in RELEASES.items():
            for folder in folders:
                if name == release and not (root / folder).is_dir():
                    absent.append(f"{root / folder}: no such folder")
                elif name != release and (root / folder).is_dir():
                    absent.append(f"{root / folder}: does not belong to MSMT17 {release}")
        absent += [
            f"{path}: expected at most {MAX_LIST_BYTES:,} bytes, found {path.stat().st_size:,}"
            for path in lists.values()
            if path.is_file() and path.stat().st_size > MAX_LIST_BYTES
        ]
        readable = {
            split: path
            for split, path in lists.items()
            if path.is_file()
            and path.stat().st_size <= MAX_LIST_BYTES
            and (root / RELEASES[release][SPLITS[split]]).is_dir()
        }
        splits, problems = _read_lists(root, RELEASES[release], readable)
        raise_problems(f"{root} is no MSMT17 {release}", [*absent, *problems] if absent else [], self.ADVICE)
        return Listing(splits, {}, problems, {path.name: path for path in lists.values()})

    def split_counts(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        both = split_counts({"train+val": [*splits["train"], *splits.get("val", [])]})
        cameras = {example["camera_id"] for examples in splits.values() for example in examples}
        return {**split_counts(splits), **both, "cameras": len(cameras)}


def _is_root(folder: pathlib.Path) -> bool:
    """Return whether a folder has image folders of a release, and also a list or the name of a release."""
    has_images = any((folder / part).is_dir() for parts in RELEASES.values() for part in parts)
    has_lists = any((folder / f"list_{split}.txt").is_file() for split in SPLITS)
    return has_images and (has_lists or folder.name.upper().startswith("MSMT17"))


def _release(root: pathlib.Path) -> str:
    """Return the release that has more of its folders there; V1 if both have as many."""
    return max(RELEASES, key=lambda name: sum((root / folder).is_dir() for folder in RELEASES[name]))


def _is_renamed(folder: pathlib.Path) -> bool:
    """Return whether a folder is a copy with Market-1501's folders.

    Its name, or that of its parent, must say MSMT17, because copies of CUHK03 have such folders and file names as well.
    """
    is_named = any(path.name.upper().startswith("MSMT") for path in (folder, folder.parent))
    return is_named and has_named(folder, tuple(MARKET_SPLITS.values()), MARKET_NAMES.pattern)


def _named_release(root: pathlib.Path) -> str:
    """Return the release that ends the name of a renamed copy's folder or of its parent, else "unknown"."""
    names = [path.name.upper() for path in (root, root.parent)]
    return next((release for release in RELEASES for name in names if name.endswith(release)), UNKNOWN_RELEASE)


def _read_lists(
    root: pathlib.Path, folders: tuple[str, str], lists: Mapping[str, pathlib.Path]
) -> tuple[dict[str, list[Example]], list[str]]:
    """Return the splits of the lists, and lines for malformed, repeated, missing and extra images.

    If one of the lists is missing, no image counts as extra.
    """
    problems: list[str] = []
    on_disk = {folder: _image_files(root / folder, problems) for folder in folders if (root / folder).is_dir()}
    listed_in: dict[str, str] = {}
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for split, list_file in lists.items():
        folder = folders[SPLITS[split]]
        # Lists come from outside. Editors on Windows put a byte order mark in front when they save one; a byte that is
        # no text ends up in a line that does not match.
        lines = list_file.read_text(encoding="utf-8-sig", errors="backslashreplace").splitlines()
        for number, line in enumerate(lines, start=1):
            where = f"{list_file}:{number}"
            if not line.strip():
                continue
            match = LINE.fullmatch(line.strip())
            if not match:
                problems.append(f"{where}: expected a line like {EXAMPLE_LINE}, found {line[:200]!r}")
                continue
            image, person_id, camera = match["image"], int(match["label"]), int(match["camera"])
            name = f"{folder}/{match[0].split()[0]}"
            if (first := listed_in.setdefault(f"{folder}/{image}", where)) != where:
                problems.append(f"{where}: {name} is also at {first}")
            elif not int(match["folder"]) == int(match["person"]) == person_id:
                problems.append(f"{where}: the path and the identity do not agree, found {line[:200]!r}")
            elif not 1 <= camera <= NUM_CAMERAS:
                problems.append(f"{where}: expected a camera from 01 to {NUM_CAMERAS}, found {line[:200]!r}")
            elif image not in on_disk[folder]:
                problems.append(f"{root / name}: missing, {where} names it")
            else:
                # The lists say .jpg where images have been renamed to .jpeg.
                splits[split].append(reid_example(root, f"{folder}/{on_disk[folder][image]}", person_id, camera - 1))
    for folder, names in on_disk.items() if len(lists) == len(SPLITS) else ():
        problems += [
            f"{root / folder / name}: extra, no list names it"
            for image, name in sorted(names.items())
            if f"{folder}/{image}" not in listed_in
        ]
    # Train and val show the same people, so that they share their labels.
    label_train([*splits["train"], *splits["val"]])
    return splits, problems


def _image_files(folder: pathlib.Path, problems: list[str]) -> dict[str, str]:
    """Return every file `person/name` in a folder of people, by its path without the suffix."""
    names: dict[str, str] = {}
    for person in list_files(folder):
        if not (folder / person).is_dir():
            problems.append(f"{folder / person}: extra, expected folders 0000, 0001, ... here")
            continue
        for name in list_files(folder / person):
            first = names.setdefault(_SUFFIX.sub("", f"{person}/{name}"), f"{person}/{name}")
            if first != f"{person}/{name}":
                problems.append(same_image_problem(folder / person / name, first.partition("/")[2]))
    return names
