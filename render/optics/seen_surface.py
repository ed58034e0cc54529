"""Which point of which mesh is seen through the centre of each pixel, exactly: what masks, depth and UV maps are read off.

OpenGL draws the number of every triangle in place of a colour; where in the triangle a pixel's ray meets it is then
computed from the corners. So nothing is limited to the 8 bits of a colour, and a point is the one whose colour the
picture shows at its pixel, before lens and sensor, which move nothing.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import trimesh

from render.optics.camera import Camera
from render.optics.rasterizer import Rasterizer


@dataclasses.dataclass(frozen=True, eq=False)
class SeenSurface:
    """The seen points of meshes, one for each of N pixels. Vertices are counted over all meshes in order.

    Attributes:
        height, width: Size of the picture.
        index: Numbers int64 [N] of the pixels, row by row.
        corners: The vertices int64 [N 3] of each point's triangle.
        weights: The point's barycentric coordinates float32 [N 3] in its triangle.
        depth: Metres float32 [N] along the optical axis.
    """

    height: int
    width: int
    index: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    depth: np.ndarray

    def at_points(self, values: np.ndarray) -> np.ndarray:
        """Interpolate the values [V C] of all vertices: float32 [N C]."""
        return np.einsum("nk,nkc->nc", self.weights, values[self.corners])

    def without(self, hidden: np.ndarray) -> "SeenSurface":
        """Return the points whose pixels are not set in `hidden`, bool [height width]."""
        kept = ~hidden.ravel()[self.index]
        return dataclasses.replace(
            self,
            **{name: getattr(self, name)[kept] for name in ("index", "corners", "weights", "depth")},
        )

    def picture(self, values: np.ndarray) -> np.ndarray:
        """Return a picture [height width ...] with the values [N ...] at their pixels, and 0 elsewhere."""
        picture = np.zeros((self.height * self.width, *values.shape[1:]), values.dtype)
        picture[self.index] = values
        return picture.reshape(self.height, self.width, *values.shape[1:])


def look_at(rasterizer: Rasterizer, meshes: Sequence[trimesh.Trimesh], camera: Camera) -> SeenSurface:
    """Find what is seen of meshes.

    Args:
        rasterizer: Draws the numbers of the triangles.
        meshes: As for `Rasterizer.draw`.
        camera: In the meshes' frame, with pixels of the rasterizer's picture size.
    """
    numbers = rasterizer.number_faces(meshes, camera)
    index = np.flatnonzero(numbers >= 0)
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)])
    corners = faces[numbers.ravel()[index]]
    vertices = np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in meshes])
    local = ((vertices - camera.position) @ camera.rotation)[corners]  # right, up, backward
    rows, columns = np.divmod(index, rasterizer.width)
    x = (columns + 0.5 - camera.center[0]) / camera.focal_columns
    y = (camera.center[1] - rows - 0.5) / camera.focal
    rays = np.stack([x, y, np.full(len(index), -1.0)], axis=1)
    # Cramer's rule: the ray meets the plane of a, b, c where the shares are as det(r b c) : det(a r c) : det(a b r).
    shares = np.stack(
        [np.einsum("nc,nc->n", rays, np.cross(local[:, k - 2], local[:, k - 1])) for k in range(3)], axis=1
    )
    # OpenGL rounds corners to parts of a pixel, so that a ray may miss a triangle that is drawn by a hair.
    shares = np.maximum(shares * np.sign(shares.sum(axis=1, keepdims=True)), 0.0)
    weights = shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    depth = -np.einsum("nk,nk->n", weights, local[..., 2])
    return SeenSurface(
        height=rasterizer.height,
        width=rasterizer.width,
        index=index,
        corners=corners,
        weights=weights.astype(np.float32),
        depth=depth.astype(np.float32),
    )
