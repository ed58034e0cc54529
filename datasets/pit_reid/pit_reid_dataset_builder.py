"""A rendered reID benchmark with known textures, from the same renderer as PIT.

It is not in the paper. With it, pseudo textures can be compared with the true ones, and the method tried without images
of real people.
"""

import os
import sys
from typing import Any

import tensorflow_datasets as tfds

from datasets import mirror_map, rendered
from datasets.builder import Archive, ArchiveBuilder
from datasets.errors import MAX_REPORTED, raise_problems
from datasets.examples import PERSON_SIZE, Example, label_train, reid_features, texture_feature
from render import manifest


class Builder(ArchiveBuilder, skip_registration=True):
    """`pit_reid`, with the splits `train`, `query` and `gallery`, each in manifest order.

    If they were rendered, there are also the splits `query_partial` and `query_occluded`.

    Beside the shards lie `mirror_map.npy`, see `datasets.mirror_map`, and `test_records.jsonl.gz`, see
    `datasets.rendered.read_test_records`.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = rendered.ADVICE.format(recipe="pit_reid")

    def features(self) -> dict[str, Any]:
        return {
            **reid_features(),
            "image": tfds.features.Image(shape=(*PERSON_SIZE, 3), doc="One person seen by one camera."),
            # The true texture, only for measuring and for the oracle row of the ablation.
            "texture": texture_feature(),
        }

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        root, header, records, digest = rendered.read_rendered(manual_dir, "pit_reid")
        splits: dict[str, list[Example]] = {split: [] for split in manifest.SPLITS}
        problems: list[str] = []
        kept = rendered.KeptRecords()
        for record in records:
            kept.add(record)
            if record.person_id < 0 or record.camera_id < 0:
                problems.append(
                    f"{record.name}: expected a person id and a camera id of 0 or more, found {record.person_id} and "
                    f"{record.camera_id}"
                )
            splits[record.split].append(
                {
                    "image": str(root / record.image),
                    "person_id": record.person_id,
                    "label": -1,
                    "camera_id": record.camera_id,
                    "name": record.image,
                    "texture": sys.intern(str(root / record.texture)),  # pictures of one person share it
                }
            )
        splits = {
            split: examples for split, examples in splits.items() if examples or split not in manifest.PARTIAL_QUERIES
        }
        problems += [f"no records of the split {split!r}" for split, examples in splits.items() if not examples]
        people = {split: {e["person_id"] for e in examples} for split, examples in splits.items()}
        tested = set().union(*(ids for split, ids in people.items() if split != "train"))
        shared = sorted(people["train"] & tested)
        if shared:
            problems.append(f"persons in train and in query or gallery: {shared[:MAX_REPORTED]}")
        raise_problems(f"{root}: not a manifest of pit_reid", problems, self.MANUAL_DOWNLOAD_INSTRUCTIONS)
        label_train(splits["train"])
        extra_files = mirror_map.read_mirror_file(root) | kept.finish()
        return Archive(root, splits, digest, rendered.header_metadata(header), extra_files=extra_files)
