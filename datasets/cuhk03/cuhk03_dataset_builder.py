"""CUHK03 under the new protocol, labeled and detected, from `cuhk-03.mat` or from the PNGs extracted from it.

cuhk03/
  cuhk03_release/cuhk-03.mat          or  images_labeled/*.png  images_detected/*.png
  cuhk03_new_protocol_config_labeled.mat
  cuhk03_new_protocol_config_detected.mat
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from datasets import reid
from datasets.cuhk03 import image_mat, protocol

RELEASE, MAT = "cuhk03_release", "cuhk-03.mat"
KINDS = ("labeled", "detected")

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


class Builder(reid.ReidBuilder, skip_registration=True):
    """CUHK03, configs `labeled` and `detected`: splits `train`, `query`, `gallery`."""

    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS's own attribute)
        tfds.core.BuilderConfig(name="labeled", description="Boxes drawn by hand."),
        tfds.core.BuilderConfig(name="detected", description="Boxes of a pedestrian detector."),
    ]
    ADVICE = (
        "CUHK03 is to be had from its authors at the Chinese University of Hong Kong (Li et al., CVPR 2014) for research "
        "only; the files cuhk03_new_protocol_config_labeled.mat and cuhk03_new_protocol_config_detected.mat lie in "
        "evaluation/data/CUHK03 of https://github.com/zhunzhong07/person-re-ranking (Zhong et al., CVPR 2017). Put them "
        "beside cuhk03_release.zip, beside the folder cuhk03_release, or beside images_labeled and images_detected, and "
        "give the folder in which they lie as manual_dir."
    )
    FOLDERS = ("cuhk03", "cuhk-03", RELEASE)
    ARCHIVES = reid.archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 8 << 30  # about 2 GiB

    def __init__(self, *, config: str, **kwargs: Any):
        if config not in KINDS:
            raise reid.DatasetError(f"cuhk03 has the configurations {' and '.join(KINDS)}, not {config!r}.")
        self.kind = config
        self.TITLE = f"CUHK03 ({self.kind})"
        self.COUNTS = COUNTS[self.kind]
        super().__init__(config=config, **kwargs)

    def is_root(self, folder: pathlib.Path) -> bool:
        return self._images(folder) is not None

    def lacks_a_part(self, folder: pathlib.Path) -> bool:
        other = KINDS[1 - KINDS.index(self.kind)]
        return not (folder / f"images_{other}").is_dir()  # that is the other configuration, and whole

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        lines = [f"{folder}: expected {RELEASE}/{MAT}, {MAT} or a folder images_{self.kind} there or in a folder in it"]
        other = KINDS[1 - KINDS.index(self.kind)]
        if reid.find_folders(folder, lambda path: (path / f"images_{other}").is_dir()):
            lines.append(f"{folder}: images_{other} is there, which makes cuhk03/{other}")
        return lines

    def list_root(self, root: pathlib.Path) -> reid.Listing:
        protocol_file = self._protocol_file(root)
        rules = protocol.read_protocol(protocol_file, self.ADVICE)
        source = self._images(root)
        assert source is not None  # as is_root says
        files = {protocol_file.name: protocol_file}
        images: Mapping[str, str | reid.ImageSource]
        if source.is_dir():
            images = {name: str(source / name) for name in reid.list_files(source)}
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
        reid.label_train(splits["train"])
        return reid.Listing(splits, {}, problems, files)

    def _images(self, root: pathlib.Path) -> pathlib.Path | None:
        """The .mat, which comes first, or the folder of extracted images."""
        for file in (root / RELEASE / MAT, root / MAT):
            if file.is_file():
                return file
        folder = root / f"images_{self.kind}"
        return folder if folder.is_dir() else None

    def _protocol_file(self, root: pathlib.Path) -> pathlib.Path:
        name = f"cuhk03_new_protocol_config_{self.kind}.mat"
        folders = [root, root / RELEASE, root.parent, *([self.beside] if self.beside else [])]
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        reid.raise_problems(
            f"{root}: the new protocol of {self.TITLE} is not there",
            [f"{folder / name}: no such file" for folder in folders],
            self.ADVICE,
        )
        raise AssertionError("unreachable")
