"""SMPL (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015) from its authors' files.

The files come from https://smpl.is.tue.mpg.de under their own licence and are not part of this project. They are read
without running anything inside a pickle (`render.smpl.pickles`). Blend shapes and skinning are those of body-models,
which is only given arrays that this module has checked.

Model axes: X to the body's left, Y up, Z to the front. The renderer's: X to the left, Y to the back, Z up (`UPRIGHT`).
"""

import dataclasses
import os
import pathlib
import tempfile

import numpy as np
from body_models.smpl.numpy import SMPL as _BodyModelsSmpl

from render.smpl import npz_files, pickles
from render.smpl.array_files import ArrayFileError
from render.smpl.partners import are_partners, partners_by_faces

NUM_VERTICES, NUM_FACES = 6890, 13776
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

ADVICE = (
    "Register at https://smpl.is.tue.mpg.de (its licence applies) and download version 1.1.0 for Python: its "
    "SMPL_python_v.1.1.0/smpl/models holds basicmodel_{neutral,f,m}_lbs_10_207_0_v1.1.0.pkl."
)

# Name of each array that a body needs -> its shape; None stands for any size.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "v_template": (NUM_VERTICES, 3),
    "f": (NUM_FACES, 3),
    "shapedirs": (NUM_VERTICES, 3, None),
    "posedirs": (NUM_VERTICES, 3, 9 * (NUM_JOINTS - 1)),
    "J_regressor": (NUM_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_JOINTS),
    "kintree_table": (2, NUM_JOINTS),
}
_INTEGERS = ("f", "kintree_table")
_PARTNERS = "vert_sym_idxs"  # left-right partners, which only official .pkl files have
# Bodies of the same family that are taken for SMPL: (vertices, joints) -> name.
_RELATIVES = {(6890, 52): "SMPL-H", (10475, 55): "SMPL-X", (778, 16): "MANO", (5023, 5): "FLAME"}

UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotation [3 3] from model axes to the renderer's: front from +Z to -Y, up from +Y to +Z."""


@dataclasses.dataclass(frozen=True)
class SmplData:
    """The arrays of a model file, checked.

    Attributes:
        v_template: Rest vertices float64 [V 3], metres, model axes.
        faces: Triangles int64 [F 3].
        shapedirs: Shape directions float64 [V 3 10].
        posedirs: Pose directions float64 [V 3 207].
        joint_regressor: Weights float64 [24 V] that give the joints from the rest vertices.
        weights: Skinning weights float64 [V 24], rows sum to 1.
        mirrored: Left-right partner of every vertex, int64 [V], from the file (`vert_sym_idxs`) or its faces; None
            where neither tells.
        num_shapedirs: Number of shape directions in the file, of which the first 10 are kept.
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


def read_model(path: str | os.PathLike[str]) -> SmplData:
    """Read `basicmodel_*_lbs_10_207_0_v*.pkl`, `SMPL_{FEMALE,MALE,NEUTRAL}.pkl`, or the same arrays in a `.npz`.

    Of more than 10 shape directions (version 1.1.0 has 300) the first 10 are kept: HMR, EFT, SPIN and SURREAL give so
    many coefficients.

    Args:
        path: The file, `.pkl` or `.npz`. Its content decides which of the two it is, because people rename them.

    Raises:
        ArrayFileError: The file is missing, malformed, hostile, or no SMPL body. The message lists all that is wrong.
    """
    arrays = _read_arrays(pathlib.Path(path))
    problems = [problem for name in _SHAPES for problem in _malformed(name, arrays.get(name))] or _implausible(arrays)
    if problems:
        relative = _relative(arrays)
        what = f"no SMPL body but one of {relative}" if relative else "no SMPL body"
        raise ArrayFileError(f"{path}: {what}: {'; '.join(problems)}. {ADVICE}")
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


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    names = (*_SHAPES, _PARTNERS)
    if path.suffix.lower() not in (".pkl", ".npz"):
        raise ArrayFileError(f"{path}: expected a .pkl or .npz file. {ADVICE}")
    if npz_files.is_zip(path):
        return npz_files.read_npz(path, names)
    return pickles.read_pickle(path, names)


def _malformed(name: str, array: np.ndarray | None) -> list[str]:
    """What is wrong with an array by itself: it is missing, or has a wrong shape or type."""
    if array is None:
        return [f"{name} is missing"]
    shape = _SHAPES[name]
    if array.ndim != len(shape) or any(
        size is not None and size != found for size, found in zip(shape, array.shape, strict=True)
    ):
        expected = f"[{' '.join('N' if size is None else str(size) for size in shape)}]"
        return [f"{name}: expected {expected}, found {list(array.shape)}"]
    if name in _INTEGERS:
        return [] if array.dtype.kind in "iu" else [f"{name}: expected integers, found {array.dtype}"]
    if array.dtype.kind != "f":
        return [f"{name}: expected floating-point numbers, found {array.dtype}"]
    return [] if np.isfinite(array).all() else [f"{name}: holds numbers that are not finite"]


def _implausible(arrays: dict[str, np.ndarray]) -> list[str]:
    """What is wrong with arrays of the right shapes: whatever no body has."""
    problems = []
    faces, weights, regressor = arrays["f"], arrays["weights"], arrays["J_regressor"]
    if not 0 <= int(faces.min()) <= int(faces.max()) < NUM_VERTICES:
        problems.append(f"f: vertex numbers must lie in 0..{NUM_VERTICES - 1}, found {faces.min()}..{faces.max()}")
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


def _relative(arrays: dict[str, np.ndarray]) -> str | None:
    """Name of the other body of SMPL's family that the arrays belong to; None for none of them."""
    template, weights = arrays.get("v_template"), arrays.get("weights")
    if template is None or weights is None or weights.ndim != 2:
        return None
    return _RELATIVES.get((len(template), weights.shape[1]))


def _mirrored(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """Left-right partners from the file or, where it has none that fit, from its faces."""
    partner, template = arrays.get(_PARTNERS), arrays["v_template"].astype(np.float64)
    if partner is not None and partner.shape == (len(template),) and partner.dtype.kind in "iu":
        partner = partner.astype(np.int64)
        if 0 <= partner.min() <= partner.max() < len(template) and are_partners(partner, template):
            return partner
    return partners_by_faces(template, arrays["f"].astype(np.int64))


class Smpl:
    """An SMPL body that can be shaped and posed.

    Attributes:
        data: Arrays of the model.
    """

    def __init__(self, data: SmplData):
        self.data = data
        # body-models reads files only: it is given one that holds nothing but these arrays.
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
        """Return posed vertices (SMPL paper, eq. 2-10): shape and pose blend shapes, then skinning.

        Args:
            rotations: Rotations [24 3 3] of the joints relative to their parents, the root's first.
            betas: Shape coefficients [10].

        Returns:
            Vertices float32 [V 3], metres, in the axes that the root's rotation leads to; the identity leaves
                model axes.
        """
        return self._model.forward_vertices(**_batch_of_one(rotations, betas))[0]

    def joints(self, rotations: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Return where the joints of a pose are, float32 [24 3], in the order of `JOINT_NAMES`; see `vertices`."""
        return self._model.forward_skeleton(**_batch_of_one(rotations, betas))[0, :, :3, 3]


def _batch_of_one(rotations: np.ndarray, betas: np.ndarray) -> dict[str, np.ndarray]:
    """Return body-models' arguments for one pose and shape."""
    rotations = np.asarray(rotations, np.float32)[None]
    return {
        "body_pose": rotations[:, 1:],
        "pelvis_rotation": rotations[:, 0],
        "shape": np.asarray(betas, np.float32)[None],
    }


def rotation_matrices(axis_angles: np.ndarray) -> np.ndarray:
    """Return rotation matrices float64 [... 3 3] of axis-angle vectors [... 3], radians (Rodrigues' formula)."""
    vectors = np.asarray(axis_angles, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    # sin(a)/a and (1 - cos a)/a^2, which stay finite at no rotation.
    half = np.sinc(angle / (2.0 * np.pi))
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * half**2 * (cross @ cross)


def frontal_rotations() -> np.ndarray:
    """Return the fixed pose of every frontal view, [24 3 3]: standing, arms hanging at 20 degrees from the body."""
    pose = np.zeros((NUM_JOINTS, 3))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        pose[JOINT_NAMES.index(f"{side}_collar"), 2] = sign * np.radians(8.0)
        pose[JOINT_NAMES.index(f"{side}_shoulder"), 2] = sign * np.radians(62.0)
    return rotation_matrices(pose)
