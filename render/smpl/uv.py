"""SMPL's UV layout, `smpl_uv.obj`: the one that SURREAL's textures are painted in."""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from render.figure.sheets import Part
from render.smpl.array_files import ArrayFileError, read_bytes
from render.smpl.model import NUM_FACES, NUM_VERTICES, SmplData
from san_jax import file_kinds

NUM_UV = 7576

ADVICE = "smpl_uv.obj is on the download page of https://smpl.is.tue.mpg.de (UV map in OBJ format)."

_MAX_BYTES = 1 << 26
_MAX_INDEX = 1 << 40  # no mesh needs a larger index, and a much larger one would not fit into an array


def read_uv(path: str | os.PathLike[str], models: Mapping[str, SmplData]) -> Part:
    """Read `smpl_uv.obj`: faces and UV coordinates; the lower left corner of a texture is (0, 0).

    Corners that share position and UV share a vertex of the result. Triangles keep the model's vertices, so that
    normals are computed across UV seams.

    Args:
        path: The file. Its positions (`v`) are not looked at: a body in any pose and of any shape will do.
        models: The bodies that will be drawn with it, by what messages call them. Their faces must be the file's, in
            any order.

    Raises:
        ArrayFileError: The file is missing, not this mesh or not this layout; the message says what differs.
    """
    mesh = _parse(path)
    triangles = mesh.corners[:, 0].reshape(-1, 3)
    for name, model in models.items():
        problem = _difference(triangles, model)
        if problem:
            raise ArrayFileError(f"{path}: not the mesh of {name}: {problem}. {ADVICE}")
    mirrored = _mirrored_share(mesh.uv[mesh.corners[:, 1]].reshape(-1, 3, 2))
    if mirrored > 0.5:
        raise ArrayFileError(
            f"{path}: {100 * mirrored:.0f} % of the UV layout is mirrored: u or v is flipped, or left and right are "
            f"exchanged. {ADVICE}"
        )
    unique, inverse = np.unique(mesh.corners, axis=0, return_inverse=True)
    return Part(
        triangles=triangles,
        faces=inverse.reshape(-1, 3),
        vertex_map=unique[:, 0],
        uv=mesh.uv[unique[:, 1]].astype(np.float32),
    )


@dataclasses.dataclass(frozen=True)
class _ObjMesh:
    """What an OBJ file says of a triangle mesh.

    Attributes:
        uv: UV coordinates float64 [U 2].
        corners: Vertex and UV coordinate of each corner of the triangles, int64 [3 F, 2], counted from 0.
    """

    uv: np.ndarray
    corners: np.ndarray


def _parse(path: str | os.PathLike[str]) -> _ObjMesh:
    """Read the mesh of an OBJ file and check its sizes, indices and coordinates."""
    data = read_bytes(path, _MAX_BYTES)
    if kind_found := file_kinds.found(data):
        raise ArrayFileError(f"{path}: expected a mesh in OBJ format{kind_found}. {ADVICE}")
    positions = 0
    uv: list[tuple[float, float]] = []
    corners: list[tuple[int, int]] = []
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), start=1):
        kind, *words = line.split() or [""]
        try:
            if kind == "v":
                positions += 1
            elif kind == "vt":
                uv.append((float(words[0]), float(words[1])))
            elif kind == "f":
                corners += _parse_face(words)
        except (ValueError, IndexError) as error:
            raise ArrayFileError(f"{path}, line {number}: {line[:60]!r} cannot be read ({error}). {ADVICE}") from None
    found = (positions, len(uv), len(corners) // 3)
    if found != (NUM_VERTICES, NUM_UV, NUM_FACES):
        raise ArrayFileError(
            f"{path}: expected {NUM_VERTICES} vertices (v), {NUM_UV} UV coordinates (vt) and {NUM_FACES} triangles "
            f"(f), found {found[0]}, {found[1]} and {found[2]}. {ADVICE}"
        )
    mesh = _ObjMesh(np.array(uv), np.array([(min(a, _MAX_INDEX), min(b, _MAX_INDEX)) for a, b in corners]) - 1)
    if mesh.corners.min() < 0 or (mesh.corners.max(axis=0) >= [NUM_VERTICES, NUM_UV]).any():
        raise ArrayFileError(f"{path}: a face names a vertex or UV coordinate that is not in the file. {ADVICE}")
    if not (np.abs(mesh.uv - 0.5) <= 0.5 + 1e-6).all():
        raise ArrayFileError(f"{path}: UV coordinates must lie in [0, 1]. {ADVICE}")
    return mesh


def _parse_face(words: list[str]) -> list[tuple[int, int]]:
    """Read the three corners `vertex/uv` or `vertex/uv/normal` of a face."""
    corners = [tuple(int(index) for index in word.split("/")[:2]) for word in words]
    if len(corners) != 3 or any(len(corner) != 2 for corner in corners):
        raise ValueError("expected three corners vertex/uv")
    return [(corner[0], corner[1]) for corner in corners]


def _difference(faces: np.ndarray, model: SmplData) -> str | None:
    """How faces int [F 3] differ from the model's, whose order and first corners do not matter; None if they do not."""
    foreign = _count_foreign(faces, model.faces)
    if not foreign:
        return None
    if not _count_foreign(faces[:, ::-1], model.faces):
        why = "reversed winding: every face lists its corners the other way round"
    elif model.mirrored is not None and not all(
        _count_foreign(model.mirrored[faces][:, ::step], model.faces) for step in (1, -1)
    ):
        why = "left and right are exchanged"
    elif np.array_equal(_degrees(faces), _degrees(model.faces)):
        why = (
            "the vertices are numbered in another order; a program that exports OBJ files may have an option to keep it"
        )
    else:
        why = "the surface is divided in another way"
    return f"{foreign:,} of its {len(faces):,} faces are no faces of the model ({why})"


def _degrees(faces: np.ndarray) -> np.ndarray:
    """How many faces meet in a vertex, in increasing order."""
    return np.sort(np.unique(faces, return_counts=True)[1])


def _count_foreign(faces: np.ndarray, known: np.ndarray) -> int:
    """How many of the faces int [F 3] are not among the known ones, each of which counts once."""
    both = np.concatenate([faces, known])
    first = (both.argmin(axis=1)[:, None] + np.arange(3)) % 3  # a face may begin at any of its corners
    _, number = np.unique(np.take_along_axis(both, first, axis=1), axis=0, return_inverse=True)
    size = number.max() + 1
    surplus = np.bincount(number[: len(faces)], minlength=size) - np.bincount(number[len(faces) :], minlength=size)
    return int(surplus.clip(0).sum())


def _mirrored_share(uv: np.ndarray) -> float:
    """Share of the area of triangles [F 3 2] in UV that lies there as seen from inside the body.

    SMPL's own layout holds 8 % of such triangles. Its faces are symmetric, so this alone tells left from right.
    """
    (x, y), (other_x, other_y) = np.moveaxis(uv[:, 1:] - uv[:, :1], 0, -1)
    area = x * other_y - y * other_x
    return float(-area.clip(max=0.0).sum() / max(np.abs(area).sum(), 1e-12))
