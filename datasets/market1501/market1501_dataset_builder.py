"""Market-1501 as its authors ship it: `Market-1501-v15.09.15/{bounding_box_train,bounding_box_test,query}/*.jpg`."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from datasets import reid

FOLDER = "Market-1501-v15.09.15"
TRAIN, TEST, QUERY = "bounding_box_train", "bounding_box_test", "query"
JUNK, DISTRACTOR = -1, 0
FILE_NAME = re.compile(r"(-1|\d+)_c(\d)s\d_\d+_\d+\.jpg")
NUM_CAMERAS = 6

# Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. The gallery is bounding_box_test without
# its junk images; distractors (id 0) stay in it as negatives and are no identity.
COUNTS = {
    "train images": 12_936,
    "train identities": 751,
    "query images": 3_368,
    "query identities": 750,
    "gallery images": 15_913,
    "gallery identities": 750,
    "gallery distractors": 2_798,
    "junk images in bounding_box_test (dropped)": 3_819,
}
ADVICE = (
    "Market-1501 is to be had from its authors (Zheng et al., ICCV 2015): unpack Market-1501-v15.09.15.zip and give "
    "the folder Market-1501-v15.09.15, or the folder it lies in, as manual_dir."
)


class Builder(reid.ArchiveBuilder, skip_registration=True):
    """Market-1501. `counts` replaces the published counts, for tests."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = ADVICE

    def __init__(self, *, counts: Mapping[str, int] | None = None, **kwargs: Any):
        self._counts = COUNTS if counts is None else counts
        super().__init__(**kwargs)

    def features(self) -> dict[str, Any]:
        return reid.reid_features()

    def scan(self, manual_dir: str | os.PathLike[str]) -> reid.Archive:
        root = reid.find_root(manual_dir, FOLDER, (TRAIN, TEST, QUERY), ADVICE)
        files = {folder: reid.list_files(root / folder) for folder in (TRAIN, TEST, QUERY)}
        splits, found, problems = read_names(root, files)
        reid.raise_problems(f"{root}: unexpected files", problems, ADVICE)
        wrong = reid.count_problems(found, self._counts)
        reid.raise_problems(
            f"{root}: the counts are not those of Market-1501, files are missing or extra", wrong, ADVICE
        )
        names = [example["name"] for examples in splits.values() for example in examples]
        metadata = {"counts": found, "counts_expected": dict(self._counts), "counts_published": self._counts == COUNTS}
        return reid.Archive(root, splits, reid.files_digest(root, names), metadata)


def read_names(
    root: pathlib.Path, files: Mapping[str, list[str]]
) -> tuple[dict[str, list[reid.Example]], dict[str, int], list[str]]:
    """Reads identities and cameras off the file names.

    Args:
        root: The archive's folder, for the paths.
        files: File names of each of the three folders.

    Returns:
        The splits, the counts by the names of `COUNTS`, and a line for each name that does not belong there.
    """
    problems: list[str] = []
    splits: dict[str, list[reid.Example]] = {}
    junk = 0
    for split, folder in (("train", TRAIN), ("query", QUERY), ("gallery", TEST)):
        examples: list[reid.Example] = []
        for name in files[folder]:
            match = FILE_NAME.fullmatch(name)
            if not match or not 1 <= int(match[2]) <= NUM_CAMERAS:
                problems.append(
                    f"{root / folder / name}: expected a name like 0002_c1s1_000451_03.jpg with camera c1 to "
                    f"c{NUM_CAMERAS}"
                )
                continue
            person_id = int(match[1])
            if split != "gallery" and person_id in (JUNK, DISTRACTOR):
                problems.append(f"{root / folder / name}: junk (-1) and distractors (0000) belong in {TEST} only")
                continue
            if person_id == JUNK:
                junk += 1
                continue
            examples.append(
                {
                    "image": str(root / folder / name),
                    "person_id": person_id,
                    "label": -1,
                    "camera_id": int(match[2]) - 1,
                    "name": f"{folder}/{name}",
                }
            )
        splits[split] = examples
    train = splits["train"]
    for example, label in zip(train, reid.train_labels([e["person_id"] for e in train]), strict=True):
        example["label"] = label

    found: dict[str, int] = {}
    for split, examples in splits.items():
        found[f"{split} images"] = len(examples)
        found[f"{split} identities"] = len({e["person_id"] for e in examples} - {DISTRACTOR})
    found["gallery distractors"] = sum(e["person_id"] == DISTRACTOR for e in splits["gallery"])
    found["junk images in bounding_box_test (dropped)"] = junk
    return splits, found, problems
