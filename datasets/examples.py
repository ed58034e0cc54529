"""Examples of a dataset: their features, labels and counts."""

import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TEXTURE_SIZE = (256, 256)  # height, width
PERSON_SIZE = (256, 128)
_NO_CAMERA = -1  # the camera_id of pictures whose camera is not known

Example = dict[str, Any]


def reid_features() -> dict[str, Any]:
    """Return the features of a reID benchmark: the contract that every program reading one relies on."""
    return {
        "image": tfds.features.Image(
            shape=(None, None, 3),
            doc="RGB. As in the source, byte by byte, if it is an upright RGB JPEG or PNG there.",
        ),
        "person_id": tfds.features.Scalar(np.int64, doc="Identity; the source's own number where it has one."),
        "label": tfds.features.Scalar(
            np.int64, doc="train and val: 0..K-1 in increasing person_id; -1 in query and gallery."
        ),
        "camera_id": tfds.features.Scalar(np.int64, doc="0-based camera; -1 where it is not known."),
        "name": tfds.features.Text(doc="Path in the source, or the name of what was cut out of it."),
    }


def texture_feature() -> Any:
    """Return the feature of a UV texture, (256, 256, 3) uint8 RGB."""
    return tfds.features.Image(shape=(*TEXTURE_SIZE, 3), encoding_format="png")


def time_feature(doc: str) -> Any:
    """Return the feature of when a picture was taken; `doc` says from when its seconds count."""
    # TFDS keeps a Scalar as float32, which knows seconds since 1970 to two minutes only; bytes are kept as they are.
    return tfds.features.Tensor(
        shape=(), dtype=np.float64, encoding="bytes", doc=f"{doc}; NaN where that is not known."
    )


def tracked_features() -> dict[str, Any]:
    """Return the further features of pictures that a tracker found."""
    return {
        "time": time_feature("Seconds since the sequence's start"),
        "track": tfds.features.Scalar(np.int64, doc="The tracker's id in the sequence."),
    }


def image_keys(features: Mapping[str, Any]) -> list[str]:
    """Return the names of the features that are images."""
    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]


def reid_example(root: pathlib.Path, name: str, person_id: int, camera_id: int) -> Example:
    """Return the unlabelled example of the image file `root / name`; `camera_id` counts from 0."""
    return {
        "image": str(root / name),
        "person_id": person_id,
        "label": -1,
        "camera_id": camera_id,
        "name": name,
    }


def label_train(examples: Sequence[Example]) -> None:
    """Set the labels of training examples to 0..K-1 in increasing person id."""
    person_ids = np.asarray([example["person_id"] for example in examples], dtype=np.int64)
    _, labels = np.unique(person_ids, return_inverse=True)
    for example, label in zip(examples, labels, strict=True):
        example["label"] = int(label)


def split_counts(splits: Mapping[str, Sequence[Example]], *, no_identities: Collection[int] = ()) -> dict[str, int]:
    """Return "<split> images", "<split> identities" and "<split> cameras" of each split.

    Args:
        splits: Examples of each split.
        no_identities: Person ids that stand for no person (distractors). Their images and cameras count.
    """
    counts: dict[str, int] = {}
    for split, examples in splits.items():
        counts[f"{split} images"] = len(examples)
        counts[f"{split} identities"] = len({example["person_id"] for example in examples} - set(no_identities))
        counts[f"{split} cameras"] = len({example["camera_id"] for example in examples} - {_NO_CAMERA})
    return counts


def count_problems(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Return a line for each of the expected counts that was not found."""
    return [
        f"{name}: expected {number:,}, found {found[name]:,}"
        for name, number in expected.items()
        if found[name] != number
    ]
