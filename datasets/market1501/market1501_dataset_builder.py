"""Market-1501 as its authors give it out.

    Market-1501-v15.09.15/{bounding_box_train,bounding_box_test,query}/*.jpg

The archive's `gt_bbox` (boxes drawn by hand), `gt_query` (.mat files for several queries per person) and `readme.txt`
are not read.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence

from datasets.benchmark import BenchmarkBuilder
from datasets.examples import Example, label_train, split_counts
from datasets.folders import archive_names, has_named, missing_named
from datasets.image_names import JPEG_SUFFIX, ImageNames
from datasets.listing import Listing

FOLDER = "Market-1501-v15.09.15"
TRAIN, TEST, QUERY = "bounding_box_train", "bounding_box_test", "query"
JUNK, DISTRACTOR = -1, 0
# In the authors' archive 24 names of identities -1, 0000 and 1488 end in .jpg.jpg: 6 in query, such as
# 1488_c1s6_023021_00.jpg.jpg, and 18 in bounding_box_test. All other files there are NAME.jpg or Thumbs.db.
NAMES = ImageNames(
    re.compile(
        rf"(?P<image>(?P<person>-1|\d{{1,9}})_c(?P<camera>\d)s\d_\d+_\d+){JPEG_SUFFIX}{{1,2}}",
        re.ASCII,
    ),
    "0002_c1s1_000451_03.jpg",
    num_cameras=6,
)
JUNK_COUNT = f"junk images in {TEST} (dropped)"


class Builder(BenchmarkBuilder, skip_registration=True):
    """Market-1501, splits `train`, `query`, `gallery`."""

    TITLE = "Market-1501"
    ADVICE = (
        "Get Market-1501 from its authors (Zheng et al., ICCV 2015). Give Market-1501-v15.09.15.zip, the folder "
        "Market-1501-v15.09.15 unpacked from it, or the folder in which either lies, as manual_dir."
    )
    LICENSE = (
        "For research only, neither to be distributed nor used commercially, as readme.txt in its authors' archive "
        "says."
    )
    # Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. The gallery is bounding_box_test
    # without its junk images. Distractors (id 0) stay in it as negatives, and do not count as an identity.
    COUNTS = {  # noqa: RUF012 (a constant)
        "train images": 12_936,
        "train identities": 751,
        "train cameras": 6,
        "query images": 3_368,
        "query identities": 750,
        "query cameras": 6,
        "gallery images": 15_913,
        "gallery identities": 750,
        "gallery cameras": 6,
        "gallery distractors": 2_798,
        JUNK_COUNT: 3_819,
    }
    FOLDERS = (FOLDER, "Market-1501", "Market1501", "Market_1501")
    ARCHIVES = archive_names(*FOLDERS)
    MAX_UNPACKED_BYTES = 2 << 30  # about 150 MiB

    def is_root(self, folder: pathlib.Path) -> bool:
        return has_named(folder, (TRAIN, TEST, QUERY), NAMES.pattern)

    def missing_root(self, folder: pathlib.Path) -> list[str]:
        return missing_named(folder, FOLDER, (TRAIN, TEST, QUERY), NAMES.example)

    def list_root(self, root: pathlib.Path) -> Listing:
        problems: list[str] = []
        splits: dict[str, list[Example]] = {}
        junk = 0
        for split, folder in (("train", TRAIN), ("query", QUERY), ("gallery", TEST)):
            splits[split] = []
            for example in NAMES.read(root, folder, problems):
                if split != "gallery" and example["person_id"] in (JUNK, DISTRACTOR):
                    problems.append(f"{root / example['name']}: junk (-1) and distractors (0000) belong in {TEST} only")
                elif example["person_id"] == JUNK:
                    junk += 1
                else:
                    splits[split].append(example)
        label_train(splits["train"])
        return Listing(splits, {JUNK_COUNT: junk}, problems)

    def split_counts(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, int]:
        distractors = sum(example["person_id"] == DISTRACTOR for example in splits["gallery"])
        return {**split_counts(splits, no_identities=[DISTRACTOR]), "gallery distractors": distractors}
