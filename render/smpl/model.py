"""SMPL (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015) from its authors' files, and its UV layout.

The files come from https://smpl.is.tue.mpg.de under their own licence and are not part of this project. They are read by
`render.smpl.model.array_files`, so that nothing inside a pickle is run; blend shapes and skinning are those of body-models, which
is only handed arrays that this module has checked.

Model axes: X to the body's left, Y up, Z to the front. The renderer's: X to the left, Y to the back, Z up (`UPRIGHT`).
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping

import numpy as np
from body_models.smpl.numpy import SMPL as _BodyModelsSmpl
from scipy.spatial import KDTree

from render.figure.sheets import Part
from render.smpl import array_files
from render.smpl.array_files import ArrayFileError
from san_jax import file_kinds

NUM_VERTICES, NUM_FACES, NUM_UV = 6890, 13776, 7576
NUM_JOINTS, NUM_BETAS = 24, 10
JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
# Kinematic tree of every SMPL file (row 0 of kintree_table); the root has none.
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

SMPL_ADVICE = (
    "Register at https://smpl.is.tue.mpg.de (its licence applies) and download version 1.1.0 for Python: its "
    "SMPL_python_v.1.1.0/smpl/models holds basicmodel_{neutral,f,m}_lbs_10_207_0_v1.1.0.pkl."
)
UV_ADVICE = "smpl_uv.obj is on the download page of https://smpl.is.tue.mpg.de (UV map in OBJ format)."

_SEEDS = 50  # faces that are tried as the first of a mirror image
# Bodies of the same family that are taken for SMPL: (vertices, joints) -> name.
_RELATIVES = {(6890, 52): "SMPL-H", (10475, 55): "SMPL-X", (778, 16): "MANO", (5023, 5): "FLAME"}

UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotation [3 3] from model axes to the renderer's: front from +Z to -Y, up from +Y to +Z."""


@dataclasses.dataclass(frozen=True)
class SmplData:
    """The arrays of a model file, checked.

    Attributes:
        v_template: Rest vertices float64 [V 3], metres, model axes.
        faces: int64 [F 3].
        shapedirs: Shape directions float64 [V 3 10].
        posedirs: Pose directions float64 [V 3 207].
        joint_regressor: float64 [24 V], joints from rest vertices.
        weights: Skinning weights float64 [V 24], rows sum to 1.
        mirrored: Left-right partner of every vertex, int64 [V], from the file (`vert_sym_idxs`) or its faces; None where
            neither tells.
        num_shapedirs: Shape directions in the file, of which the first ones are kept.
    """

    v_template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    joint_regressor: np.ndarray
    weights: np.ndarray
    mirrored: np.ndarray | None
    num_shapedirs: int = NUM_BETAS

    def upright_template(self) -> np.ndarray:
        """Rest vertices float64 [V 3] in the renderer's axes."""
        return self.v_template @ UPRIGHT.T


def read_model(
    path: str | os.PathLike[str], *, num_vertices: int = NUM_VERTICES, num_faces: int = NUM_FACES
) -> SmplData:
    """Reads `basicmodel_*_lbs_10_207_0_v*.pkl`, `SMPL_{FEMALE,MALE,NEUTRAL}.pkl`, or the same arrays in a `.npz`.

    Of more than 10 shape directions (version 1.1.0 has 300) the first 10 are kept: HMR, EFT, SPIN and SURREAL give so many
    coefficients.

    Args:
        path: The file, `.pkl` or `.npz`; what it holds tells which of the two it is, as people rename them.
        num_vertices, num_faces: What the mesh must have.

    Raises:
        ArrayFileError: The file is missing, malformed, hostile, or no SMPL body; lists everything that is wrong.
    """
    path = pathlib.Path(path)
    names = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "vert_sym_idxs")
    if path.suffix.lower() not in (".pkl", ".npz"):
        raise ArrayFileError(f"{path}: expected a .pkl or .npz file. {SMPL_ADVICE}")
    if array_files.is_zip(path):
        arrays = array_files.read_npz(path, names)
    else:
        arrays = array_files.read_pickle(path, names)
    shapes = {
        "v_template": (num_vertices, 3),
        "f": (num_faces, 3),
        "shapedirs": (num_vertices, 3, None),
        "posedirs": (num_vertices, 3, 9 * (NUM_JOINTS - 1)),
        "J_regressor": (NUM_JOINTS, num_vertices),
        "weights": (num_vertices, NUM_JOINTS),
        "kintree_table": (2, NUM_JOINTS),
    }
    problems = []
    for name, shape in shapes.items():
        if name not in arrays:
            problems.append(f"{name} is missing")
            continue
        array = arrays[name]
        expected = f"[{' '.join('N' if size is None else str(size) for size in shape)}]"
        if array.ndim != len(shape) or any(
            size is not None and size != found for size, found in zip(shape, array.shape, strict=True)
        ):
            problems.append(f"{name}: expected {expected}, found {list(array.shape)}")
        elif name in ("f", "kintree_table"):
            if array.dtype.kind not in "iu":
                problems.append(f"{name}: expected integers, found {array.dtype}")
        elif array.dtype.kind != "f":
            problems.append(f"{name}: expected floating-point numbers, found {array.dtype}")
        elif not np.isfinite(array).all():
            problems.append(f"{name}: holds numbers that are not finite")
    if not problems:
        problems = _implausible(arrays, num_vertices)
    if problems:
        relative = _relative(arrays)
        what = f"no SMPL body but one of {relative}" if relative else "no SMPL body"
        raise ArrayFileError(f"{path}: {what}: {'; '.join(problems)}. {SMPL_ADVICE}")
    return SmplData(
        v_template=arrays["v_template"].astype(np.float64),
        faces=arrays["f"].astype(np.int64),
        shapedirs=arrays["shapedirs"][:, :, :NUM_BETAS].astype(np.float64),
        posedirs=arrays["posedirs"].astype(np.float64),
        joint_regressor=arrays["J_regressor"].astype(np.float64),
        weights=arrays["weights"].astype(np.float64),
        mirrored=_mirrored(arrays),
        num_shapedirs=arrays["shapedirs"].shape[2],
    )


def _relative(arrays: dict[str, np.ndarray]) -> str | None:
    """Which other body of SMPL's family a file's arrays are of."""
    template, weights = arrays.get("v_template"), arrays.get("weights")
    if template is None or weights is None or weights.ndim != 2:
        return None
    return _RELATIVES.get((len(template), weights.shape[1]))


def _mirrored(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """The left-right partners that the file names, or that its faces have."""
    partner, template = arrays.get("vert_sym_idxs"), arrays["v_template"].astype(np.float64)
    if partner is not None and partner.shape == (len(template),) and partner.dtype.kind in "iu":
        partner = partner.astype(np.int64)
        if 0 <= partner.min() <= partner.max() < len(template) and _are_partners(partner, template):
            return partner
    return partners_by_faces(template, arrays["f"].astype(np.int64))


def _are_partners(partner: np.ndarray, template: np.ndarray) -> bool:
    """Whether each is the other's partner, and near its mirror image."""
    middle = (template[:, 0] + template[partner, 0]).mean() / 2
    image = template * [-1.0, 1.0, 1.0] + [2.0 * middle, 0.0, 0.0]
    mutual = np.array_equal(partner[partner], np.arange(len(partner)))
    return mutual and bool(np.linalg.norm(image - template[partner], axis=1).mean() < 0.02)


def partners_by_faces(template: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """Left-right partners int64 [V] of a surface in one piece whose faces are their own mirror image, as SMPL's are.

    From a face and its mirror image, found by position, the partners of all others follow along the edges. Positions alone
    do not do: SMPL's template is so far from symmetric that the nearest vertex is often a neighbour of the right one.

    Args:
        template: float [V 3], left and right along x.
        faces: int [F 3].
    """
    image = template * [-1.0, 1.0, 1.0] + [template[:, 0].min() + template[:, 0].max(), 0.0, 0.0]
    distance, nearest = (np.asarray(one) for one in KDTree(template).query(image))
    third = {(a, b): c for a, b, c in np.concatenate([np.roll(faces, -step, axis=1) for step in range(3)]).tolist()}
    for row in np.argsort(distance[faces].max(axis=1))[:_SEEDS]:
        a, b, c = faces[row].tolist()
        partner = np.full(len(template), -1)
        partner[[a, b, c]] = nearest[[a, b, c]]
        if third.get((int(nearest[b]), int(nearest[a]))) != nearest[c]:
            continue  # not the corners of a face
        waiting = [(a, b), (b, c), (c, a)]
        while waiting:
            a, b = waiting.pop()
            c, there = third.get((b, a)), third.get((int(partner[a]), int(partner[b])))
            if c is None or there is None or partner[c] not in (-1, there):
                break
            if partner[c] == -1:
                partner[c] = there
                waiting += [(a, c), (c, b)]
        else:
            if partner.min() >= 0 and _are_partners(partner, template):
                return partner
    return None


def _implausible(arrays: dict[str, np.ndarray], num_vertices: int) -> list[str]:
    """What contradicts a body in arrays of the right shapes."""
    problems = []
    faces, weights, regressor = arrays["f"], arrays["weights"], arrays["J_regressor"]
    if not 0 <= int(faces.min()) <= int(faces.max()) < num_vertices:
        problems.append(f"f: vertex numbers must lie in 0..{num_vertices - 1}, found {faces.min()}..{faces.max()}")
    if arrays["shapedirs"].shape[2] < NUM_BETAS:
        problems.append(f"shapedirs: expected {NUM_BETAS} directions, found {arrays['shapedirs'].shape[2]}")
    # The root's parent is written as -1 or, unsigned, as 2^32 - 1.
    parents = arrays["kintree_table"][0, 1:].astype(np.int64).tolist()
    if parents != list(PARENTS[1:]):
        problems.append(f"kintree_table: expected the parents {list(PARENTS[1:])}, found {parents}")
    if weights.min() < -1e-6 or np.abs(weights.sum(axis=1) - 1.0).max() > 1e-2:
        problems.append("weights: rows must be non-negative and sum to 1")
    if np.abs(regressor.sum(axis=1) - 1.0).max() > 0.1:  # learnt, and only encouraged to (SMPL paper, section 4)
        problems.append("J_regressor: rows must sum to about 1")
    height = float(np.ptp(arrays["v_template"][:, 1]))
    if not 1.0 < height < 2.5:
        problems.append(f"v_template: a body of 1 to 2.5 m along Y expected, found {height:.2f} m")
    return problems


class Smpl:
    """A body that is shaped and posed.

    Attributes:
        data: The model's arrays.
    """

    def __init__(self, data: SmplData):
        self.data = data
        # body-models reads files only; it gets one that holds nothing but these arrays.
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "smpl.npz"
            np.savez(
                path,
                v_template=data.v_template,
                f=data.faces,
                shapedirs=data.shapedirs,
                posedirs=data.posedirs,
                J_regressor=data.joint_regressor,
                weights=data.weights,
                kintree_table=np.array([PARENTS, range(NUM_JOINTS)]),
            )
            self._model = _BodyModelsSmpl(model_path=path, rotation_type="rotmat")

    def vertices(self, rotations: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Posed vertices float32 [V 3], metres (SMPL paper, eq. 2-10): shape and pose blend shapes, then skinning.

        Args:
            rotations: Of the 24 joints relative to their parents, the root's first, [24 3 3].
            betas: Shape coefficients [10].

        Returns:
            In the axes that the root rotation leads to; the identity leaves model axes.
        """
        rotations = np.asarray(rotations, np.float32)[None]
        return self._model.forward_vertices(
            rotations[:, 1:], pelvis_rotation=rotations[:, 0], shape=np.asarray(betas, np.float32)[None]
        )[0]


def read_uv(
    path: str | os.PathLike[str],
    models: Mapping[str, SmplData],
    *,
    num_vertices: int = NUM_VERTICES,
    num_faces: int = NUM_FACES,
    num_uv: int = NUM_UV,
) -> Part:
    """Reads `smpl_uv.obj`: faces and the UV layout of SURREAL's textures; the lower left corner of a texture is (0, 0).

    Corners that share position and UV share a vertex of the result; triangles keep the model's vertices, so that normals
    are computed across UV seams.

    Args:
        path: The file. Its positions (`v`) are not looked at: a body in any pose and of any shape will do.
        models: The bodies that will be drawn with it, by what messages call them. Its faces must be theirs, in any order.
        num_vertices, num_faces, num_uv: What the file must hold.

    Raises:
        ArrayFileError: The file is missing, not this mesh or not this layout; the message says what differs.
    """
    data = array_files.read_bytes(path, 1 << 26)
    if kind_found := file_kinds.found(data):
        raise ArrayFileError(f"{path}: expected a mesh in OBJ format{kind_found}. {UV_ADVICE}")
    text = data.decode("ascii", "replace")
    positions = 0
    uv: list[tuple[float, float]] = []
    corners: list[tuple[int, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        kind, *words = line.split() or [""]
        try:
            if kind == "v":
                positions += 1
            elif kind == "vt":
                uv.append((float(words[0]), float(words[1])))
            elif kind == "f":
                face = [tuple(int(index) for index in word.split("/")[:2]) for word in words]
                if len(face) != 3 or any(len(corner) != 2 for corner in face):
                    raise ValueError("expected three corners vertex/uv")
                corners += [(corner[0], corner[1]) for corner in face]
        except (ValueError, IndexError) as error:
            raise ArrayFileError(
                f"{path}, line {number}: {line[:60]!r} cannot be read ({error}). {UV_ADVICE}"
            ) from None
    found = (positions, len(uv), len(corners) // 3)
    if found != (num_vertices, num_uv, num_faces):
        raise ArrayFileError(
            f"{path}: expected {num_vertices} vertices (v), {num_uv} UV coordinates (vt) and {num_faces} triangles (f), "
            f"found {found[0]}, {found[1]} and {found[2]}. {UV_ADVICE}"
        )
    # No index of a mesh needs more digits; larger ones would not fit into an array.
    pairs = np.array([(min(vertex, 1 << 40), min(index, 1 << 40)) for vertex, index in corners]) - 1
    coordinates = np.array(uv)
    if pairs.min() < 0 or (pairs.max(axis=0) >= [num_vertices, num_uv]).any():
        raise ArrayFileError(f"{path}: a face names a vertex or UV coordinate that is not in the file. {UV_ADVICE}")
    if not (np.abs(coordinates - 0.5) <= 0.5 + 1e-6).all():
        raise ArrayFileError(f"{path}: UV coordinates must lie in [0, 1]. {UV_ADVICE}")
    for name, model in models.items():
        problem = _difference(pairs[:, 0].reshape(-1, 3), model)
        if problem:
            raise ArrayFileError(f"{path}: not the mesh of {name}: {problem}. {UV_ADVICE}")
    mirrored = _mirrored_share(coordinates[pairs[:, 1]].reshape(-1, 3, 2))
    if mirrored > 0.5:
        raise ArrayFileError(
            f"{path}: {100 * mirrored:.0f} % of the UV layout is mirrored: u or v is flipped, or left and right are "
            f"exchanged. {UV_ADVICE}"
        )
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return Part(
        triangles=pairs[:, 0].reshape(-1, 3),
        faces=inverse.reshape(-1, 3),
        vertex_map=unique[:, 0],
        uv=coordinates[unique[:, 1]].astype(np.float32),
    )


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


def rotation_matrices(axis_angles: np.ndarray) -> np.ndarray:
    """Rotation matrices float64 [... 3 3] of axis-angle vectors [... 3], radians (Rodrigues' formula)."""
    vectors = np.asarray(axis_angles, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    # sin(a)/a and (1 - cos a)/a^2, which stay finite at no rotation.
    half = np.sinc(angle / (2.0 * np.pi))
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * half**2 * (cross @ cross)


def frontal_rotations() -> np.ndarray:
    """The fixed pose of every frontal view, [24 3 3]: standing, arms hanging at 20 degrees from the body."""
    pose = np.zeros((NUM_JOINTS, 3))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        pose[JOINT_NAMES.index(f"{side}_collar"), 2] = sign * np.radians(8.0)
        pose[JOINT_NAMES.index(f"{side}_shoulder"), 2] = sign * np.radians(62.0)
    return rotation_matrices(pose)
