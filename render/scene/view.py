"""What a picture shows: the `View` that all drawing in a scene shares, and the points `Seen` through its pixels."""

import dataclasses
import functools

import numpy as np

from render.optics.camera import Camera
from render.optics.light import Light


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A camera's view of a person in a scene. Everything is in one frame, that of the camera's site.

    Attributes:
        camera: The camera, with pixels of this picture size.
        light: The light of the scene.
        person: Points [M 3] that fill the surface of the person in the picture; they cast the shadow.
        height, width: Size of the picture.
    """

    camera: Camera
    light: Light
    person: np.ndarray
    height: int
    width: int

    @functools.cached_property
    def rays(self) -> np.ndarray:
        """Directions float32 [height width 3] through the pixel centres, see `Camera.rays`."""
        return self.camera.rays(self.height, self.width)

    @functools.cached_property
    def origin(self) -> np.ndarray:
        """The camera's position float32 [3]."""
        return self.camera.position.astype(np.float32)

    @functools.cached_property
    def spot(self) -> np.ndarray:
        """Where the person stands on the ground [2], metres."""
        return self.person[:, :2].mean(axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """The part of a surface that is seen in a view, one point for each of N pixels.

    Attributes:
        view: The view.
        index: Numbers [N] of the pixels, row by row.
        rays: Directions float32 [N 3] of the pixels.
        distance: Metres float32 [N] along the optical axis.
    """

    view: View
    index: np.ndarray
    rays: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, view: View, distance: np.ndarray, chosen: np.ndarray) -> "Seen":
        """Take the pixels where `chosen` is set, of the distances [height * width] of a whole view."""
        index = np.flatnonzero(chosen)
        return cls(view, index, view.rays.reshape(-1, 3)[index], distance[index])

    def __len__(self) -> int:
        return len(self.index)

    def along(self, axis: int) -> np.ndarray:
        """Return coordinate x, y or z (0, 1 or 2) of the points, float32 [N]."""
        return self.view.origin[axis] + self.distance * self.rays[:, axis]

    def pixel_size(self) -> np.ndarray:
        """Return the size of each pixel at its point, across the line of sight, metres float32 [N]."""
        return self.distance / np.float32(self.view.camera.focal)
