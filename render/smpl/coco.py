"""COCO (Lin et al. 2014, https://cocodataset.org) as backgrounds: finds the photographs that show no person.

train2014/COCO_train2014_000000123456.jpg   or   train2017/000000123456.jpg
annotations/instances_train2014.json         or   annotations/instances_train2017.json
"""

import os
import re
from collections.abc import Iterable
from typing import Any

from render.smpl.array_files import ArrayFileError
from render.smpl.json_files import read_json

PERSON = 1
ADVICE = (
    "Photographs (train2017.zip) and annotations (annotations_trainval2017.zip) are on "
    "https://cocodataset.org/#download."
)
_NAME = re.compile(r"(?:.*/)?(?:COCO_[a-z]+\d{4}_)?(\d{12})\.jpg")


def image_id(name: str) -> int | None:
    """Return COCO's number of a photograph from its file name; None where the name is not COCO's."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def read_person_free(path: str | os.PathLike[str]) -> frozenset[int]:
    """Read the numbers of the images in which no person is annotated, neither singly nor in a crowd (`iscrowd`).

    Args:
        path: Path of `instances_*.json`. (`person_keypoints_*.json` lists only images with persons and will not do.)

    Raises:
        ArrayFileError: The file is missing or is no instances file.
    """
    try:
        # Annotations shrink to two numbers as they are read: the outlines of train2017 would take gigabytes.
        content = read_json(path, _shrink)
    except ArrayFileError as error:
        raise ArrayFileError(f"{error} {ADVICE}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise ArrayFileError(f"{path}: expected COCO's lists images, annotations and categories. {ADVICE}")
    if not any(
        isinstance(one, dict) and one.get("id") == PERSON and one.get("name") == "person"
        for one in content["categories"]
    ):
        raise ArrayFileError(f"{path}: category {PERSON} is not 'person'; expected instances_*.json. {ADVICE}")
    if len(content["categories"]) < 2:
        raise ArrayFileError(f"{path}: knows persons only; instances_*.json, with all categories, is needed. {ADVICE}")
    images = [one["id"] for one in content["images"] if isinstance(one, dict) and type(one.get("id")) is int]
    if not images or len(images) < len(content["images"]):
        raise ArrayFileError(f"{path}: images without an integer id. {ADVICE}")
    annotations = content["annotations"]
    if not annotations or not all(isinstance(one, tuple) for one in annotations):
        raise ArrayFileError(f"{path}: annotations without integer image_id and category_id. {ADVICE}")
    return frozenset(images) - {image for image, category in annotations if category == PERSON}


def _shrink(fields: dict[str, Any]) -> Any:
    """Return (image, category) of an annotation, and other objects unchanged."""
    image, category = fields.get("image_id"), fields.get("category_id")
    return (image, category) if type(image) is int and type(category) is int else fields


def without_persons(names: Iterable[str], person_free: frozenset[int]) -> list[str]:
    """Return the file names of photographs that show no person, in order. Names that are not COCO's are left out."""
    return [name for name in names if image_id(name) in person_free]
