"""Reads person and camera from the file names of a benchmark's images."""

import dataclasses
import pathlib
import re

from datasets.examples import Example, reid_example
from datasets.folders import list_files

# The suffix of a JPEG in a pattern of file names. Archives have .jpg; copies of MSMT17 have .jpeg (SY-Xuan/IICS#5), and
# copies of any benchmark that passed through other tools have .JPG.
JPEG_SUFFIX = r"(?i:\.jpe?g)"


@dataclasses.dataclass(frozen=True)
class ImageNames:
    """How a benchmark names its images, if the name says person and camera.

    Attributes:
        pattern: Pattern of a whole file name. Its groups are `image` (the name without its suffix), `person` and
            `camera`.
        example: Such a name, for messages.
        num_cameras: Number of cameras; names count them from 1.
    """

    pattern: re.Pattern[str]
    example: str
    num_cameras: int

    def read(self, root: pathlib.Path, folder: str, problems: list[str]) -> list[Example]:
        """Return unlabelled examples of the images in `root / folder`, sorted by name.

        Args:
            root: The benchmark's folder.
            folder: Path of the images in it.
            problems: Gets one line for each misnamed file and for each second file of the same image.
        """
        examples: list[Example] = []
        names: dict[str, str] = {}
        for name in list_files(root / folder):
            match = self.pattern.fullmatch(name)
            if not match or not 1 <= int(match["camera"]) <= self.num_cameras:
                problems.append(
                    f"{root / folder / name}: expected a name like {self.example} with camera c1 to c{self.num_cameras}"
                )
                continue
            first = names.setdefault(match["image"], name)
            if first != name:
                problems.append(same_image_problem(root / folder / name, first))
                continue
            examples.append(reid_example(root, f"{folder}/{name}", int(match["person"]), int(match["camera"]) - 1))
        return examples


def same_image_problem(path: pathlib.Path, other: str) -> str:
    """Return the problem of a file whose name differs from `other` only in its suffix."""
    return f"{path}: extra, {other} is the same image with another suffix; keep one of the two"
