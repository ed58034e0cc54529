"""Images on their way into the records: decodes each once, and converts some of them.

The bytes of an upright RGB JPEG or PNG go into the records unchanged: TFDS's Image feature takes a path or a file
object without TensorFlow, but needs TensorFlow to encode an array. Any other picture is converted to such a PNG,
because readers disagree about grey images, 16 bits, transparency and EXIF orientation.
"""

import abc
import collections
import concurrent.futures
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from datasets.examples import Example, image_keys
from san_jax import pictures

# A person crop beyond 4096x4096 is a decompression bomb: a few bytes that would fill the memory when decoded.
MAX_IMAGE_PIXELS = 1 << 24
_IN_ADVANCE = 256  # images that wait to be examined


class ImageSource(abc.ABC):
    """An image that does not go into the records as a file of its own. Hashable.

    CUHK03 keeps its images in one .mat file, for example.
    """

    @property
    def examined_path(self) -> str | None:
        """The picture file that is examined in its place, where it is a part of one; else None."""
        return None

    @abc.abstractmethod
    def problem(self) -> str | None:
        """Return what is wrong with the image, in one line, or None; as cheaply as possible."""

    @abc.abstractmethod
    def read(self) -> bytes:
        """Return the image encoded as PNG or JPEG, the same bytes at each call."""


@dataclasses.dataclass(frozen=True)
class ConvertedImage(ImageSource):
    """A picture file that is stored as an upright RGB PNG instead of its own bytes.

    Attributes:
        path: The file.
    """

    path: str

    def problem(self) -> str | None:
        try:
            pictures.decode(self.path, max_pixels=MAX_IMAGE_PIXELS)
        except pictures.PictureError as error:
            return str(error)
        return None

    def read(self) -> bytes:
        image = pictures.decode(self.path, max_pixels=MAX_IMAGE_PIXELS).image
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(buffer, format="PNG")  # without the file's metadata
        return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Examined:
    """What decoding all images of a dataset showed.

    Attributes:
        num_images: Number of images that were decoded.
        problems: A line for each image that cannot be used, in the order of the examples.
        conversions: `Picture.conversion` of each file that has to be converted.
    """

    num_images: int
    problems: dict[str | ImageSource, str]
    conversions: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Expected:
    """What is expected of an image.

    Attributes:
        path: What messages call it.
        size: Height and width; None where any will do.
    """

    path: str
    size: tuple[int | None, int | None]


def examine_images(
    root: pathlib.Path, splits: Mapping[str, Sequence[Example]], features: Mapping[str, Any]
) -> Examined:
    """Decode every image once: there is no other way to find truncated files.

    Args:
        root: The folder that messages give for images that are not files of their own.
        splits: Examples of each split.
        features: Features of an example.
    """
    images = _expected_images(root, splits, features)
    problems: dict[str | ImageSource, str] = {}
    conversions: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = _in_order(pool, images)
        progress = tqdm.tqdm(results, total=len(images), desc="Checking images", unit="file", disable=None, leave=False)
        try:
            for image, (problem, conversion) in zip(images, progress, strict=True):
                if problem:
                    problems[image] = problem
                elif conversion:
                    assert isinstance(image, str)
                    conversions[image] = conversion
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for the rest
            raise
    return Examined(len(images), problems, conversions)


def _in_order(
    pool: concurrent.futures.Executor, images: Mapping[str | ImageSource, _Expected]
) -> Iterator[tuple[str, str]]:
    """Examine the images in their order, a few in advance. `pool.map` would make a task of each at once."""
    tasks: collections.deque[concurrent.futures.Future[tuple[str, str]]] = collections.deque()
    for image, expected in images.items():
        if len(tasks) == _IN_ADVANCE:
            yield tasks.popleft().result()
        tasks.append(pool.submit(_examine, image, expected))
    while tasks:
        yield tasks.popleft().result()


def examined_file(image: str | ImageSource) -> str | ImageSource:
    """Return what `examine_images` examines of an image, and tells problems and conversions by."""
    return image if isinstance(image, str) else image.examined_path or image


def _expected_images(
    root: pathlib.Path, splits: Mapping[str, Sequence[Example]], features: Mapping[str, Any]
) -> dict[str | ImageSource, _Expected]:
    """Return what is expected of each image that is not in memory yet."""
    images: dict[str | ImageSource, _Expected] = {}
    keys = image_keys(features)
    for examples in splits.values():
        for example in examples:
            for key in keys:
                value = example[key]
                if isinstance(value, (str, ImageSource)):
                    height, width, _ = features[key].shape
                    image = examined_file(value)
                    path = image if isinstance(image, str) else str(root / example["name"])
                    images[image] = _Expected(path, (height, width))
    return images


def _examine(image: str | ImageSource, expected: _Expected) -> tuple[str, str]:
    """Return what is wrong with an image, and what it is converted from; either may be empty."""
    if isinstance(image, ImageSource):
        problem = image.problem()
        return "" if problem is None else f"{expected.path}: {problem}", ""
    try:
        picture = pictures.decode(image, max_pixels=MAX_IMAGE_PIXELS)
    except pictures.PictureError as error:
        return f"{image}: {error}", ""
    height, width = expected.size
    found = picture.image.height, picture.image.width
    if any(wanted is not None and wanted != side for wanted, side in zip(expected.size, found, strict=True)):
        return f"{image}: expected {height}x{width} (height x width), found {found[0]}x{found[1]}", ""
    return "", picture.conversion
