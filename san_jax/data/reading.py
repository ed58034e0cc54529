"""Reading of examples: their labels and names without decoding, their images as uint8 arrays of one size."""

import copy
import io
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int64
from PIL import Image

from san_jax.counts import count
from san_jax.pictures import resize_image


@runtime_checkable
class Source(Protocol):
    """Random access to examples, such as `tfds.data_source` returns.

    An example is a dict; images in it are uint8 [H W 3] RGB arrays or encoded bytes (JPEG, PNG). A TFDS source is read
    without TFDS's own decoding.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...


class Subset:
    """Some examples of a source, whose images stay encoded.

    Attributes:
        source: The source.
        positions: Places of the examples in it, in the order wanted.
    """

    def __init__(self, source: Source, positions: Int[np.ndarray, " examples"]):
        self.source, self.positions = undecoded(source), positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        return self.source[int(self.positions[index])]


def read_labels(source: Source) -> Int64[np.ndarray, " examples"]:
    """Return the `label` of each example, without decoding images."""
    return _read_numbers(source, "label")


def read_cameras(source: Source) -> Int64[np.ndarray, " examples"]:
    """Return the `camera_id` of each example, without decoding images."""
    return _read_numbers(source, "camera_id")


def _read_numbers(source: Source, key: str) -> Int64[np.ndarray, " examples"]:
    source = undecoded(source)
    check_features(source, (key,))
    return np.asarray([source[index][key] for index in range(len(source))], dtype=np.int64)


def read_names(source: Source) -> list[str]:
    """Return the `name` of each example, without decoding images."""
    source = undecoded(source)
    check_features(source, ("name",))
    return [as_text(source[index]["name"]) for index in range(len(source))]


def read_example(source: Source, index: int) -> Any:
    try:
        return source[index]
    # Whatever a storage raises, say which example it was.
    except Exception as error:
        raise ValueError(f"Example {index} of {_describe(source)} cannot be read: {error}") from error


def decode(example: Any, key: str, size: tuple[int, int], index: int) -> np.ndarray:
    value = example[key]
    try:
        if isinstance(value, bytes):
            with Image.open(io.BytesIO(value), formats=("JPEG", "PNG")) as image:
                return resize_image(image, size)
        return resize_image(Image.fromarray(value), size)
    # Pillow reports damaged files by several exception types.
    except Exception as error:
        name = as_text(example["name"]) if "name" in example else "without a name"
        raise ValueError(f"The {key} of example {index} ({name}) cannot be decoded: {error}") from error


def undecoded(source: Source) -> Source:
    """Return a TFDS source with its images left encoded; any other source as it is.

    `decode` then knows the example's name when an image is damaged, and labels are read without decoding.
    """
    if not (hasattr(source, "dataset_info") and hasattr(source, "decoders")):
        return source
    import tensorflow_datasets as tfds  # loaded already: the source is its

    tfds_source: Any = copy.copy(source)
    features = tfds_source.dataset_info.features
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    tfds_source.decoders = {key: tfds.decode.SkipDecoding() for key in images}
    return tfds_source


def check_features(source: Source, keys: tuple[str, ...]) -> None:
    if not len(source):
        raise ValueError(f"{_describe(source)} has no examples.")
    example = source[0]
    missing = [key for key in keys if key not in example]
    if missing:
        hint = ""
        if "texture" in missing:
            hint = " Textures are in `pit` and in `<benchmark>_textured`, which experiments.pseudo_texture writes."
        raise ValueError(
            f"Expected examples with {', '.join(keys)}; {_describe(source)} has {', '.join(sorted(example))} and lacks "
            f"{', '.join(missing)}.{hint}"
        )


def _describe(source: Source) -> str:
    """Name a source in messages: a TFDS source by its dataset and split."""
    info: Any = getattr(source, "dataset_info", None)
    if info is None:
        return f"a {type(source).__name__} of {count(len(source), 'example')}"
    return f"{info.full_name}, split {getattr(source, 'split', None)!r}"


def as_text(value: str | bytes) -> str:
    """Return a text of an example, which TFDS gives as UTF-8."""
    return value.decode() if isinstance(value, bytes) else value
