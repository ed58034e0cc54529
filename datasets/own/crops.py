"""Pictures of persons that are cut out of frames when they are written."""

import dataclasses
import functools
import io

from PIL import Image

from datasets.images import MAX_IMAGE_PIXELS, ImageSource
from san_jax import pictures


@dataclasses.dataclass(frozen=True)
class Crop(ImageSource):
    """A part of a frame, stored as PNG.

    Attributes:
        path: The frame's file.
        box: Left, top, right and bottom in its pixels, right and bottom excluded; all within the frame.
    """

    path: str
    box: tuple[int, int, int, int]

    @property
    def examined_path(self) -> str:
        return self.path

    def problem(self) -> str | None:
        try:
            _decode(self.path)
        except pictures.PictureError as error:
            return str(error)
        return None

    def read(self) -> bytes:
        buffer = io.BytesIO()
        _decode(self.path).crop(self.box).save(buffer, format="PNG")
        return buffer.getvalue()


@functools.lru_cache(maxsize=2)  # the crops of a frame are written one after the other
def _decode(path: str) -> Image.Image:
    return pictures.decode(path, max_pixels=MAX_IMAGE_PIXELS).image
