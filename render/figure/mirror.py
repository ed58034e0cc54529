"""The UV mirror map: which texel a texture's left-right mirror image takes its colour from.

A horizontally flipped picture of a person shows the mirrored person, whose texture is not the flipped texture, as UV
islands lie anywhere. The map follows from the left-right correspondence of the mesh's vertices: a texel that lies at
some place in a triangle takes its colour from the same place in the mirrored triangle. `mirror_texture` looks that up;
without the renderer, `texture[map[..., 0], map[..., 1]]` does the same.

It is stored with rendered folders and datasets as `manifest.MIRROR_FILE`; `python -m experiments.mirror_error` measures
how far pictures of mirrored textures on mirrored poses are from flipped pictures.
"""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from render.figure.body import TEXTURE_SIZE, Body
from render.figure.sheets import Part
from render.geometry import uv_bake

_REPORTED = 8  # worst vertices in a message
_BODY_TOLERANCE = 0.001  # metres; the open body and what it wears are made symmetric
# SMPL's template is a mean of scans, kept near its mirror image only by a penalty (SMPL paper, section 5).
SMPL_TOLERANCE = 0.02


class MirrorError(ValueError):
    """A mesh is not symmetric enough for a mirror map; the message names the worst vertices."""


@dataclasses.dataclass(frozen=True)
class Mesh:
    """A mesh in its rest pose, symmetric about a plane of constant x.

    Attributes:
        name: What messages call it.
        vertices: Positions float [V 3], metres, each once (a UV seam does not split them).
        triangles: Indices int [T 3] into `vertices`.
        uv: UV of the triangles' corners, float [T 3 2] in [0, 1], v up.
        partner: Left-right partner of every vertex, int [V]; None to find it with `vertex_correspondence`.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    partner: np.ndarray | None = None

    @classmethod
    def from_part(cls, name: str, vertices: np.ndarray, part: Part) -> "Mesh":
        """Return the mesh of welded vertices [V 3] with the faces and UV of a part."""
        return cls(name, vertices, part.triangles, part.uv[part.faces])


def vertex_correspondence(
    vertices: np.ndarray, tolerance: float, *, name: str = "mesh", chosen: np.ndarray | None = None
) -> np.ndarray:
    """Return the left-right partner of every vertex: the nearest one to its mirror image.

    The plane of symmetry is x = c, with c found from the vertices (SMPL's template does not stand at 0). Vertices that
    are not each other's nearest are paired so that the sum of their distances is least.

    Args:
        vertices: Positions float [V 3], metres, left and right along x.
        tolerance: How far a mirror image may lie from the partner, metres.
        name: What messages call the mesh.
        chosen: Vertices that need a partner, int [N]; None for all.

    Returns:
        int64 [V], an involution; vertices that are not `chosen` get themselves.

    Raises:
        MirrorError: A mirror image lies farther than that from every vertex, or two vertices share a partner.
    """
    chosen = np.arange(len(vertices)) if chosen is None else np.unique(chosen)
    points = np.asarray(vertices, np.float64)[chosen]
    tree = KDTree(points)
    partner = np.arange(len(points))
    centre = float(points[:, 0].min() + points[:, 0].max()) / 2
    for _ in range(3):
        image = points * [-1.0, 1.0, 1.0] + [2.0 * centre, 0.0, 0.0]
        partner = np.asarray(tree.query(image)[1])
        agreed = partner[partner] == np.arange(len(points))
        if agreed.any():
            centre = float(np.mean(points[agreed, 0] + points[partner[agreed], 0])) / 2
    image = points * [-1.0, 1.0, 1.0] + [2.0 * centre, 0.0, 0.0]
    left_over = np.flatnonzero(partner[partner] != np.arange(len(points)))
    if 0 < len(left_over) <= 2000:  # more are no accident, and the assignment takes N^3
        cost = np.linalg.norm(image[left_over, None] - points[None, left_over], axis=2)
        cost = cost + cost.T  # symmetric except for rounding
        partner[left_over] = left_over[linear_sum_assignment(cost)[1]]
    distance = np.linalg.norm(image - points[partner], axis=1)
    one_way = partner[partner] != np.arange(len(points))
    if one_way.any() or distance.max() > tolerance:
        order = np.lexsort([-distance, ~one_way])[:_REPORTED]
        worst = ", ".join(
            f"{chosen[index]} at ({', '.join(f'{value:.4f}' for value in points[index])}): "
            f"{distance[index] * 1000:.1f} mm"
            for index in order
        )
        raise MirrorError(
            f"{name}: not symmetric about x = {centre:.4f} m: expected every vertex's mirror image within "
            f"{tolerance * 1000:.1f} mm of a vertex of its own, found {int((distance > tolerance).sum())} farther and "
            f"{int(one_way.sum())} without one of its own; the worst (vertex, position, distance): {worst}. "
            "Make the mesh symmetric, or raise the tolerance."
        )
    result = np.arange(len(vertices))
    result[chosen] = chosen[partner]
    return result


def mirrored_uv(mesh: Mesh, partner: np.ndarray) -> np.ndarray:
    """Return the UV [T 3 2] of the mirror image of every triangle's corners.

    The mirrored triangle may be none of the mesh's, where a quad is cut along its other diagonal. Its vertices may then
    have several UV, beside a seam; its corners get those of one island that are closest together.

    Args:
        mesh: The mesh.
        partner: From `vertex_correspondence`.
    """
    wanted = partner[mesh.triangles]
    # Triangles by their vertices in increasing order.
    order, wanted_order = np.argsort(mesh.triangles, axis=1), np.argsort(wanted, axis=1)
    keys = np.take_along_axis(mesh.triangles, order, axis=1)
    wanted_keys = np.take_along_axis(wanted, wanted_order, axis=1)
    _, number = np.unique(np.concatenate([keys, wanted_keys]), axis=0, return_inverse=True)
    triangle_of = np.full(number.max() + 1, -1)
    triangle_of[number[: len(keys)]] = np.arange(len(keys))
    found = triangle_of[number[len(keys) :]]
    result = np.zeros(mesh.uv.shape)
    rows = np.flatnonzero(found >= 0)
    sorted_uv = np.take_along_axis(mesh.uv, order[..., None], axis=1)[found[rows]]
    back = np.argsort(wanted_order[rows], axis=1)
    result[rows] = np.take_along_axis(sorted_uv, back[..., None], axis=1)

    missing = np.flatnonzero(found < 0)
    if len(missing):
        copies = _uv_copies(mesh)
        for row in missing:
            a, b, c = (copies[vertex] for vertex in wanted[row])
            perimeter = _distances(a, b)[:, :, None] + _distances(b, c)[None] + _distances(a, c)[:, None, :]
            i, j, k = np.unravel_index(np.argmin(perimeter), perimeter.shape)
            result[row] = a[i, :2], b[j, :2], c[k, :2]
    return result


def _uv_copies(mesh: Mesh) -> list[np.ndarray]:
    """Return all UV of every vertex, each with a number that tells islands apart, [N 3]."""
    keys = np.concatenate([mesh.triangles.reshape(-1, 1), mesh.uv.reshape(-1, 2)], axis=1)
    unique, corners = np.unique(keys, axis=0, return_inverse=True)
    island = np.zeros(len(unique))
    island[corners.reshape(-1, 3)] = uv_bake.uv_islands(corners.reshape(-1, 3), len(unique))[:, None]
    copies = np.concatenate([unique[:, 1:], 100.0 * island[:, None]], axis=1)  # farther apart than any two UV
    return np.split(copies, np.searchsorted(unique[:, 0], np.arange(1, len(mesh.vertices))))


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - others[None], axis=2)


def mirror_map(meshes: Sequence[Mesh], *, tolerance: float, size: int = TEXTURE_SIZE) -> np.ndarray:
    """Return the mirror map of a texture that meshes share.

    Args:
        meshes: The meshes, each symmetric in itself; where two share texels the later one counts.
        tolerance: As in `vertex_correspondence`, metres.
        size: Height and width of the texture, at most 65,536.

    Returns:
        uint16 [size size 2]: (row, column) of the texel that the mirrored texture takes its colour from, for every
        texel. Texels in no triangle take it from where the nearest one in a triangle does.

    Raises:
        MirrorError: A mesh is not symmetric.
    """
    sources = []
    for mesh in meshes:
        partner = mesh.partner
        if partner is None:
            partner = vertex_correspondence(mesh.vertices, tolerance, name=mesh.name, chosen=mesh.triangles)
        sources.append(mirrored_uv(mesh, partner))
    uv, covered = uv_bake.rasterize_uv(
        np.concatenate([mesh.uv for mesh in meshes]), np.concatenate(sources).astype(np.float64), size
    )
    if not covered.any():
        raise MirrorError("No texel lies in a triangle: expected UV in [0, 1].")
    nearest = uv_bake.nearest_covered(covered)
    column = np.floor(uv[..., 0] * size).clip(0, size - 1).astype(np.int64)
    row = np.floor((1.0 - uv[..., 1]) * size).clip(0, size - 1).astype(np.int64)
    # At the border of an island the source's centre may lie outside it: take the nearest texel inside.
    source = nearest.ravel()[row * size + column]
    source = source.ravel()[nearest]
    return np.stack(np.divmod(source, size), axis=-1).astype(np.uint16)


def body_mirror_map(body: Body) -> np.ndarray:
    """Return the mirror map uint16 [256 256 2] of the open body, its eyes and what is worn on it.

    Raises:
        MirrorError: An attachment is not symmetric.
    """
    meshes = [Mesh.from_part("body", body.reference.vertices, body.part)]
    meshes += [Mesh.from_part(name, worn.vertices, worn.part) for name, worn in body.attachments.items()]
    return mirror_map(meshes, tolerance=_BODY_TOLERANCE)


def mirror_texture(texture: np.ndarray, index_map: np.ndarray) -> np.ndarray:
    """Return the texture [size size ...] of the mirrored person, of the same type."""
    return texture[index_map[..., 0], index_map[..., 1]]


def encode_map(index_map: np.ndarray) -> bytes:
    """Return the content of `manifest.MIRROR_FILE`: NumPy's .npy format, read by `datasets.read_mirror_map`."""
    buffer = io.BytesIO()
    np.save(buffer, index_map, allow_pickle=False)
    return buffer.getvalue()
