"""CUHK03 under the new protocol, labeled and detected: from `cuhk-03.mat`, its PNGs or CUHK03-NP.

cuhk03/
  cuhk03_release/cuhk-03.mat          or  images_labeled/*.png  images_detected/*.png
  cuhk03_new_protocol_config_labeled.mat
  cuhk03_new_protocol_config_detected.mat

CUHK03-NP/{labeled,detected}/{bounding_box_train,query,bounding_box_test}/0001_c1_1.png

CUHK03-NP is the same protocol, applied by its authors: its folders are the splits, and it needs no protocol file.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from datasets.benchmark import BenchmarkBuilder
from datasets.cuhk03 import image_mat, protocol
from datasets.errors import DatasetError, problems_error
from datasets.examples import label_train
from datasets.folders import archive_names, find_folders, found_there, has_named, list_files
from datasets.image_names import JPEG_SUFFIX, ImageNames
from datasets.images import ImageSource
from datasets.listing import Listing

RELEASE, MAT = "cuhk03_release", "cuhk-03.mat"
KINDS = ("labeled", "detected")
# The word by which the name of a folder says its kind: cuhk03-np/labeled, cuhk03_np_detected (ShengcaiLiao/QAConv),
# cuhk-label and cuhk-detect (daizuozhuo/batch-dropblock-network).
KIND_WORDS = {"labeled": "label", "detected": "detect"}
NP_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
# The authors give out .png; some copies have .jpg (huanghoujing/EANet reads both).
NP_NAMES = ImageNames(
    re.compile(rf"(?P<image>(?P<person>\d{{1,6}})_c(?P<camera>\d)_\d+)(?:(?i:\.png)|{JPEG_SUFFIX})", re.ASCII),
    "0001_c1_1.png",
    num_cameras=2,
)

# Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
COUNTS = {
    "labeled": {
        "train images": 7_368,
        "train identities": 767,
        "train cameras": 2,
        "query images": 1_400,
        "query identities": 700,
        "query cameras": 2,
        "gallery images": 5_328,
        "gallery identities": 700,
        "gallery cameras": 2,
    },
    "detected": {
        "train images": 7_365,
        "train identities": 767,
        "train cameras": 2,
        "query images": 1_400,
        "query identities": 700,
        "query cameras": 2,
        "gallery images": 5_332,
        "gallery identities": 700,
        "gallery cameras": 2,
    },
}


class Builder(BenchmarkBuilder, skip_registration=True):
    """CUHK03, configs `labeled` and `detected`: splits `train`, `query`, `gallery`."""

    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS's own attribute)
        tfds.core.BuilderConfig(name="labeled", description="Boxes drawn by hand."),
        tfds.core.BuilderConfig(name="detected", description="Boxes of a pedestrian detector."),
    ]
    ADVICE = (
        "Get CUHK03 from its authors at the Chinese University of Hong Kong (Li et al., CVPR 2014), for research only. "
        "The files cuhk03_new_protocol_config_labeled.mat and cuhk03_new_protocol_config_detected.mat lie in "
        "evaluation/data/CUHK03 of https://github.com/zhunzhong07/person-re-ranking (Zhong et al., CVPR 2017). Put "
        "them beside cuhk03_release.zip, beside the folder cuhk03_release, or beside images_labeled and "
        "images_detected, and give the folder in which they lie as manual_dir. Or give CUHK03-NP (the archive, the "
        "folder, or labeled or detected in it), which the same page links to."
    )
    LICENSE = "For research only, under the terms of its authors at the Chinese University of Hong Kong."
    FOLDERS = (
        *("cuhk03", "cuhk-03", RELEASE, "cuhk03-np", "cuhk03_np", "cuhk03np", "cuhknp"),
        *(f"cuhk03{dash}np{dash}{kind}" for kind in KINDS for dash in "-_"),
        *("cuhk-label", "cuhk-detect"),
    )
    ARCHIVES = archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 8 << 30  # about 2 GiB

    def __init__(self, *, config: str, **kwargs: Any):
        if config not in KINDS:
            raise DatasetError(f"cuhk03 has the configurations {' and '.join(KINDS)}, not {config!r}.")
        self.kind = config
        self.TITLE = f"CUHK03 ({self.kind})"
        self.COUNTS = COUNTS[self.kind]
        super().__init__(config=config, **kwargs)

    def is_root(self, folder: pathlib.Path) -> bool:
        return _images(folder, self.kind) is not None

    def is_folder_name(self, name: str) -> bool:
        return super().is_folder_name(name) and KIND_WORDS[self._other] not in name.lower()

    def is_archive_name(self, name: str) -> bool:
        return super().is_archive_name(name) and KIND_WORDS[self._other] not in name.lower()

    def lacks_a_part(self, folder: pathlib.Path) -> bool:
        # A folder that holds only the other configuration is complete.
        has_other = find_folders(folder, lambda path: _images(path, self._other) is not None)
        return not has_other or (folder / self.kind).is_dir()

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        lines = [
            f"{folder}: expected {RELEASE}/{MAT}, {MAT}, a folder images_{self.kind}, or a folder {self.kind} with "
            f"{', '.join(NP_SPLITS.values())} and files like {NP_NAMES.example} there or in a folder in it",
            f"{folder}: found {found_there(folder)}",
        ]
        lines += [
            f"{path}: holds {self._other} images, which make cuhk03/{self._other}"
            for path in find_folders(folder, lambda path: _images(path, self._other) is not None)
        ]
        lines += [
            f"{path}: expected the name of the folder to say {self.kind}, found {path.name}"
            for path in find_folders(folder, _is_np)
            if not any(word in path.name.lower() for word in KIND_WORDS.values())
        ]
        return lines

    @property
    def _other(self) -> str:
        return KINDS[1 - KINDS.index(self.kind)]

    def list_root(self, root: pathlib.Path) -> Listing:
        source = _images(root, self.kind)
        assert source is not None  # or is_root would have been False
        return _list_np(root, source) if _is_np(source) else self._list_by_protocol(root, source)

    def _list_by_protocol(self, root: pathlib.Path, source: pathlib.Path) -> Listing:
        protocol_file = self._protocol_file(root)
        rules = protocol.read_protocol(protocol_file, self.ADVICE)
        files = {protocol_file.name: protocol_file}
        images: Mapping[str, str | ImageSource]
        if source.is_dir():
            images = {name: str(source / name) for name in list_files(source)}
            problems = []
        else:
            images, problems = image_mat.list_images(source, self.kind, self.ADVICE)
            files[MAT] = source
        problems += [
            f"{os.path.join(source, name)}: missing, {protocol_file.name} names it"
            for name in rules.names
            if name not in images
        ]
        known = set(rules.names)
        problems += [
            f"{os.path.join(source, name)}: extra, {protocol_file.name} does not name it"
            for name in images
            if name not in known
        ]
        splits = {
            split: [
                {
                    "image": images[name],
                    "person_id": rules.labels[position],
                    "label": -1,
                    "camera_id": rules.camera(position),
                    "name": name,
                }
                for position in positions
                if (name := rules.names[position]) in images
            ]
            for split, positions in rules.splits.items()
        }
        label_train(splits["train"])
        return Listing(splits, {}, problems, files)

    def _protocol_file(self, root: pathlib.Path) -> pathlib.Path:
        name = f"cuhk03_new_protocol_config_{self.kind}.mat"
        folders = [root, root / RELEASE, root.parent, *([self.beside] if self.beside else [])]
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise problems_error(
            f"{root}: the new protocol of {self.TITLE} is not there",
            [f"{folder / name}: no such file" for folder in folders],
            self.ADVICE,
        )


def _images(root: pathlib.Path, kind: str) -> pathlib.Path | None:
    """Return the .mat, else the folder of extracted images, else this kind's folder of CUHK03-NP."""
    for file in (root / RELEASE / MAT, root / MAT):
        if file.is_file():
            return file
    if (root / f"images_{kind}").is_dir():
        return root / f"images_{kind}"
    if _is_np(root / kind):
        return root / kind
    return root if KIND_WORDS[kind] in root.name.lower() and _is_np(root) else None


def _is_np(folder: pathlib.Path) -> bool:
    return has_named(folder, tuple(NP_SPLITS.values()), NP_NAMES.pattern)


def _list_np(root: pathlib.Path, source: pathlib.Path) -> Listing:
    """List one kind of CUHK03-NP in `source`, which is `root` or a folder in it."""
    problems: list[str] = []
    splits = {
        split: NP_NAMES.read(root, (source / folder).relative_to(root).as_posix(), problems)
        for split, folder in NP_SPLITS.items()
    }
    label_train(splits["train"])
    return Listing(splits, {}, problems)
