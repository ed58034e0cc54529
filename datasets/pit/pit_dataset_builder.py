"""PIT: pairs of person images and UV textures, without identities (paper, section 3.1)."""

import os
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from datasets import mirror_map, rendered
from datasets.builder import Archive, ArchiveBuilder
from datasets.errors import raise_problems
from datasets.examples import PERSON_SIZE, Example, texture_feature


class Builder(ArchiveBuilder, skip_registration=True):
    """`pit`, with one split `train` in manifest order.

    `mirror_map.npy` lies beside the shards; see `datasets.mirror_map`.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = rendered.ADVICE.format(recipe="pit")

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(*PERSON_SIZE, 3), doc="A posed person before a background."),
            "texture": texture_feature(),
            "frontal": tfds.features.Image(shape=(*PERSON_SIZE, 3), doc="The same person in the fixed frontal pose."),
            "texture_id": tfds.features.Scalar(np.int64, doc="0-based number of the texture."),
            "name": tfds.features.Text(doc="Path of the image inside the rendered folder."),
        }

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        root, header, records, digest = rendered.read_rendered(manual_dir, "pit")
        examples: list[Example] = []
        problems: list[str] = []
        for record in records:
            if record.split != "train" or record.frontal is None:
                problems.append(
                    f"{record.name}: expected the split 'train' and a frontal image, found {record.split!r} and "
                    f"{record.frontal}"
                )
                continue
            examples.append(
                {
                    "image": str(root / record.image),
                    "texture": str(root / record.texture),
                    "frontal": str(root / record.frontal),
                    "texture_id": record.texture_id,
                    "name": record.image,
                }
            )
        if not (examples or problems):
            problems.append("no records")
        raise_problems(f"{root}: not a manifest of pit", problems, self.MANUAL_DOWNLOAD_INSTRUCTIONS)
        return Archive(
            root,
            {"train": examples},
            digest,
            rendered.header_metadata(header),
            extra_files=mirror_map.read_mirror_file(root),
        )
