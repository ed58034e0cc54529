"""Reads poses and shapes of SMPL from the files of pose estimators and motion capture.

| kind      | file                                             | root rotation leads to            | camera        |
|-----------|--------------------------------------------------|-----------------------------------|---------------|
| `hmr`     | `.npy`, or `.npz` with one array: thetas N x 85   | camera axes: X right, Y down      | [s, tx, ty]   |
| `eft`     | JSON, `data` with `parm_pose`, `parm_shape`, ...  | the same                          | [s, tx, ty]   |
| `spin`    | `coco_fits.npy`, N x 82                           | the same                          | none          |
| `surreal` | `smpl_data.npz`, `pose_<sequence>` T x 72         | a world with Z up                 | none          |

HMR (https://github.com/akanazawa/hmr): a theta is camera, pose (72 axis-angle numbers), shape (10); its pictures are
224 pixels with a focal length of 500, with the body at (tx, ty, 500 / (112 s)) (`src/util/renderer.py`,
`get_original`).
EFT (https://github.com/facebookresearch/eft): rotation matrices; a point of the crop is 112 (s X + t).
SPIN (https://github.com/nkolot/SPIN): pose, shape. SURREAL (https://github.com/gulvarol/surreal): mocap without shapes.
"""

import dataclasses
import functools
import os
from typing import Any, NoReturn

import numpy as np

from render.smpl import json_files, npz_files
from render.smpl import model as smpl
from render.smpl.array_files import ArrayFileError

_MOCAP = "surreal"
KINDS = ("hmr", "eft", "spin", _MOCAP)
ADVICE = {
    "hmr": (
        "Run HMR (https://github.com/akanazawa/hmr) on person crops of COCO and save its thetas, N x 85, with np.save."
    ),
    "eft": "Fetch EFT's fits of COCO (https://github.com/facebookresearch/eft, eft_fit/COCO2014-All-ver01.json).",
    "spin": "Fetch SPIN's static_fits/coco_fits.npy (https://github.com/nkolot/SPIN, fetch_data.sh).",
    "surreal": "Fetch smpl_data.npz of SURREAL (https://www.di.ens.fr/willow/research/surreal/data/, licence applies).",
}

_CAMERA_TO_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From camera axes (X right, Y down, Z away) to the renderer's (X right, Y away, Z up)."""
_HMR_DEPTH = 500.0 / 112.0  # metres at scale 1: focal length over half the crop
_NEAREST = 2.0  # metres: a body that a crop magnifies still lies before the camera
_FARTHEST = 60.0  # metres
_LEAST_SCALE = 1e-3
_LARGEST_BETA = 20.0
_LARGEST_SPIN_BETA = 3.0


@dataclasses.dataclass(frozen=True)
class PosePlace:
    """Where a pose stands in its file, for the record of a pair.

    Attributes:
        source: Kind of the file, one of `KINDS`.
        number: Row of the file or, in motion capture, frame of the sequence.
        sequence: Name of the sequence in motion capture; "" for other kinds.
    """

    source: str
    number: int
    sequence: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        if self.source == _MOCAP:
            return {"source": self.source, "sequence": self.sequence, "frame": self.number}
        return {"source": self.source, "row": self.number}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PosePlace":
        """Return the inverse of `to_json`."""
        if fields["source"] == _MOCAP:
            return cls(fields["source"], fields["frame"], fields["sequence"])
        return cls(fields["source"], fields["row"])


@dataclasses.dataclass(frozen=True)
class FittedPoses:
    """Poses of persons in pictures.

    Attributes:
        kind: "hmr", "eft" or "spin".
        rotations: Rotations as in the file, float32: axis-angle vectors [N 24 3] or matrices [N 24 3 3]; the root's
            leads to camera axes.
        betas: Shape coefficients float32 [N 10].
        cameras: Scale and translation float32 [N 3] of the weak-perspective cameras; None where the file has none.
    """

    kind: str
    rotations: np.ndarray
    betas: np.ndarray
    cameras: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rotations)

    def locate(self, number: int) -> PosePlace:
        """Return the place of pose `number`."""
        return PosePlace(self.kind, number)

    def pose(self, place: PosePlace) -> np.ndarray:
        """Return the rotations float64 [24 3 3] of the pose at a place.

        The root's rotation leads to the renderer's axes, with the camera looking along +Y.
        """
        rotations = self.rotations[place.number].astype(np.float64)
        if rotations.ndim == 2:
            rotations = smpl.rotation_matrices(rotations)
        rotations[0] = _CAMERA_TO_WORLD @ rotations[0]
        return rotations

    def shape(self, place: PosePlace) -> list[float]:
        """Return the shape coefficients [10] that were inferred with the pose at a place."""
        return self.betas[place.number].tolist()

    def offset(self, place: PosePlace) -> tuple[float, float, float] | None:
        """Return where the model's origin lies before the camera (right, away, up), metres; None without a camera."""
        if self.cameras is None:
            return None
        scale, x, y = self.cameras[place.number].tolist()
        if self.kind == "eft":  # scaled first, then moved
            x, y = x / scale, y / scale
        return x, min(max(_HMR_DEPTH / scale, _NEAREST), _FARTHEST), -y


@dataclasses.dataclass(frozen=True)
class MocapPoses:
    """SURREAL's motion capture; a sequence is read when one of its frames is asked for.

    Attributes:
        path: Path of `smpl_data.npz`.
        sequences: Name and number of frames of each sequence, sorted by name.
    """

    path: str
    sequences: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return sum(frames for _, frames in self.sequences)

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(frames for _, frames in self.sequences)])

    def locate(self, number: int) -> PosePlace:
        """Return the place of pose `number`."""
        sequence = int(np.searchsorted(self._starts, number, side="right")) - 1
        name, _ = self.sequences[sequence]
        return PosePlace(_MOCAP, int(number - self._starts[sequence]), name)

    def pose(self, place: PosePlace) -> np.ndarray:
        """Return the rotations float64 [24 3 3] of the pose at a place; the root's leads to the renderer's axes."""
        pose = _sequence(self.path, place.sequence)[place.number]
        return smpl.rotation_matrices(pose.reshape(-1, 3))

    def shape(self, place: PosePlace) -> NoReturn:
        """Raise ArrayFileError: motion capture has no shapes."""
        raise ArrayFileError(f"{self.path}: motion capture has no body shapes; use SURREAL's, `read_surreal_shapes`.")

    def offset(self, place: PosePlace) -> None:
        """Return None: motion capture has no camera."""

    def problems(self) -> list[str]:
        """Read every sequence and return what is wrong with them."""
        found = []
        for key, pose in npz_files.iterate_npz(self.path, [f"pose_{name}" for name, _ in self.sequences]):
            try:
                _check_numbers(pose, 72, f"{self.path}, {key}")
            except ArrayFileError as error:
                found.append(str(error))
        return found


Poses = FittedPoses | MocapPoses


def read_poses(kind: str, path: str | os.PathLike[str]) -> Poses:
    """Read a file of poses.

    Args:
        kind: Kind of the file, one of `KINDS`.
        path: The file.

    Raises:
        ArrayFileError: The file is missing or not of this kind; the message says what was expected and where to get it.
    """
    readers = {"hmr": _read_hmr, "eft": _read_eft, "spin": _read_spin, "surreal": _read_mocap}
    try:
        return readers[kind](str(path))
    except ArrayFileError as error:
        raise ArrayFileError(f"{error} {ADVICE[kind]}") from None


def read_surreal_shapes(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read SURREAL's body shapes, `femaleshapes` and `maleshapes` of `smpl_data.npz`: gender -> float64 [N 10].

    Raises:
        ArrayFileError: The file is missing or malformed.
    """
    try:
        arrays = npz_files.read_npz(path, ("femaleshapes", "maleshapes"))
        for name in ("femaleshapes", "maleshapes"):
            if name not in arrays:
                raise ArrayFileError(f"{path}: has no {name}.")
            _check_numbers(arrays[name], smpl.NUM_BETAS, f"{path}, {name}")
            _check_betas(arrays[name], f"{path}, {name}")
    except ArrayFileError as error:
        raise ArrayFileError(f"{error} {ADVICE['surreal']}") from None
    return {gender: arrays[f"{gender}shapes"].astype(np.float64) for gender in ("female", "male")}


def _read_hmr(path: str) -> FittedPoses:
    thetas = _table(path, 85)
    _check_scales(thetas[:, 0], path)
    return _fitted("hmr", thetas[:, 3:75], thetas[:, 75:], thetas[:, :3], path)


def _read_spin(path: str) -> FittedPoses:
    fits = _table(path, 82)
    # What SPIN does with its own fits when it trains: "Replace extreme betas with zero betas" (`train/trainer.py`).
    fits[(np.abs(fits[:, 72:]) > _LARGEST_SPIN_BETA).any(axis=1), 72:] = 0.0
    return _fitted("spin", fits[:, :72], fits[:, 72:], None, path)


def _fitted(kind: str, pose: np.ndarray, betas: np.ndarray, cameras: np.ndarray | None, path: str) -> FittedPoses:
    _check_betas(betas, path)
    vectors = pose.reshape(-1, smpl.NUM_JOINTS, 3).astype(np.float32)
    return FittedPoses(kind, vectors, betas.astype(np.float32), None if cameras is None else cameras.astype(np.float32))


def _table(path: str, width: int) -> np.ndarray:
    """Read the one array [N width] of a `.npy` or `.npz` file."""
    if path.endswith(".npz"):
        names = npz_files.npz_names(path)
        if len(names) != 1:
            raise ArrayFileError(f"{path}: expected one array, found {len(names)} ({', '.join(names[:5])}).")
        array = npz_files.read_npz(path, names)[names[0]]
    elif path.endswith(".npy"):
        array = npz_files.read_npy(path)
    else:
        raise ArrayFileError(f"{path}: expected a .npy or .npz file.")
    _check_numbers(array, width, path)
    return array.astype(np.float64)


def _check_numbers(array: np.ndarray, width: int, where: str) -> None:
    if array.ndim != 2 or array.shape[1] != width or not len(array) or array.dtype.kind != "f":
        raise ArrayFileError(f"{where}: expected numbers [N {width}], found {array.dtype} {list(array.shape)}.")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ArrayFileError(f"{where}, row {int(np.argmin(finite))}: holds numbers that are not finite.")


def _check_betas(betas: np.ndarray, where: str) -> None:
    largest = np.abs(betas).max(axis=1)
    if largest.max() > _LARGEST_BETA:
        row = int(largest.argmax())
        raise ArrayFileError(
            f"{where}, row {row}: a shape coefficient of {largest[row]:.3g} makes no body "
            f"(at most {_LARGEST_BETA:.0f} standard deviations); is this the right file?"
        )


def _check_scales(scales: np.ndarray, where: str) -> None:
    if scales.min() < _LEAST_SCALE:
        row = int(scales.argmin())
        raise ArrayFileError(f"{where}, row {row}: the camera's scale must be positive, found {scales[row]:.3g}.")


def _read_eft(path: str) -> FittedPoses:
    # Each fit becomes numbers as soon as it is read: a file of all COCO persons is 80,000 of them.
    content = json_files.read_json(path, _eft_fit)
    fits = content.get("data") if isinstance(content, dict) else None
    if not isinstance(fits, list) or not fits:
        raise ArrayFileError(f'{path}: expected {{"ver": ..., "data": [fits]}} as EFT writes it.')
    for row, fit in enumerate(fits):
        if not isinstance(fit, np.ndarray):
            what = fit if isinstance(fit, str) else "parm_pose, parm_shape or parm_cam is missing"
            raise ArrayFileError(f"{path}, fit {row}: {what}.")
    numbers = np.stack(fits)
    rotations = numbers[:, :216].reshape(-1, smpl.NUM_JOINTS, 3, 3)
    betas, cameras = numbers[:, 216:226], numbers[:, 226:]
    error = np.abs(rotations @ rotations.swapaxes(-1, -2) - np.eye(3)).max(axis=(1, 2, 3))
    bad = ~((error < 0.02) & (np.linalg.det(rotations) > 0.0).all(axis=1))
    if bad.any():
        raise ArrayFileError(f"{path}, fit {int(bad.argmax())}: parm_pose holds no rotation matrices.")
    _check_scales(cameras[:, 0], path)
    _check_betas(betas, path)
    return FittedPoses("eft", rotations.astype(np.float32), betas.astype(np.float32), cameras.astype(np.float32))


def _eft_fit(fields: dict[str, Any]) -> Any:
    """Shrink one object of EFT's JSON.

    Returns:
        The numbers [229] of a fit (pose, shape, camera), or a text that says what is wrong with it. Objects that are no
        fit are returned unchanged.
    """
    if "parm_pose" not in fields:
        return fields
    if fields.get("smpltype", "smpl") != "smpl":
        return f"smpltype is {str(fields['smpltype'])[:20]!r}, expected 'smpl'"
    parts = []
    for name, size in (("parm_pose", 9 * smpl.NUM_JOINTS), ("parm_shape", smpl.NUM_BETAS), ("parm_cam", 3)):
        try:
            part = np.array(fields[name], np.float64).ravel()
        except (KeyError, ValueError, TypeError):
            return f"{name} is missing or holds something else than numbers"
        if part.size != size or not np.isfinite(part).all():
            return f"{name}: expected {size} numbers, found {part.size}"
        parts.append(part)
    return np.concatenate(parts)


def _read_mocap(path: str) -> MocapPoses:
    sequences = []
    for name, shape in npz_files.npz_shapes(path).items():
        if name.startswith("pose_"):
            if len(shape) != 2 or shape[1] != 72:
                raise ArrayFileError(f"{path}, {name}: expected [T 72], found {list(shape)}.")
            if shape[0]:
                sequences.append((name.removeprefix("pose_"), shape[0]))
    if not sequences:
        raise ArrayFileError(f"{path}: has no sequence pose_<name>.")
    return MocapPoses(path, tuple(sorted(sequences)))


@functools.lru_cache(maxsize=8)
def _sequence(path: str, name: str) -> np.ndarray:
    """Read the poses [T 72] of a sequence."""
    key = f"pose_{name}"
    pose = npz_files.read_npz(path, (key,))[key]
    _check_numbers(pose, 72, f"{path}, {key}")
    return pose.astype(np.float64)


def sample_distance(rng: np.random.Generator) -> float:
    """Draw the camera's distance for poses without a camera.

    It is SURREAL's normal(8, 1) metres (`main_part1.py`), kept within 5 and 11.
    """
    return float(np.clip(rng.normal(8.0, 1.0), 5.0, 11.0))
