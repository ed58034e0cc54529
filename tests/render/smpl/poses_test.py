"""Poses of HMR, EFT, SPIN and SURREAL: the formats, and which way a body stands and looks."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from render.smpl import poses as smpl_poses
from render.smpl.array_files import ArrayFileError
from render.smpl.poses import PosePlace
from tests.render import smpl_fixtures


def _axes(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the body's left, top and front point in the renderer's axes."""
    left, top, front = pose[0].T
    return left, top, front


@pytest.fixture(scope="module")
def thetas(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return smpl_fixtures.write_hmr(tmp_path_factory.mktemp("hmr") / "thetas.npy", count=8)


def test_hmr_bodies_stand_upright_as_the_camera_saw_them(thetas: pathlib.Path):
    """A root rotation by pi about X is a person upright before HMR's camera, facing it."""
    poses = smpl_poses.read_poses("hmr", thetas)
    assert len(poses) == 8
    place = poses.locate(0)
    assert place.to_json() == {"source": "hmr", "row": 0}
    assert PosePlace.from_json(place.to_json()) == place
    left, top, front = _axes(poses.pose(place))
    np.testing.assert_allclose(top, [0.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(front, [0.0, -1.0, 0.0], atol=1e-6)  # towards a camera that looks along +Y
    np.testing.assert_allclose(left, [1.0, 0.0, 0.0], atol=1e-6)  # right in the picture
    away = _axes(poses.pose(poses.locate(4)))[2]
    np.testing.assert_allclose(away, [0.0, 1.0, 0.0], atol=1e-6)
    # The other joints are relative to their parents: no axes change there.
    theta = np.load(thetas)[3, 3:75].reshape(24, 3)
    np.testing.assert_allclose(poses.pose(poses.locate(3))[1:], Rotation.from_rotvec(theta[1:]).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(poses.shape(poses.locate(3)), np.load(thetas)[3, 75:], rtol=1e-6)


def test_hmr_camera_is_that_of_its_renderer(thetas: pathlib.Path):
    """HMR: pixels 112 + 500 (X + t) / (Z + 500 / (112 s)) of a 224 crop, y down (`get_original`)."""
    poses = smpl_poses.read_poses("hmr", thetas)
    right, away, up = poses.offset(poses.locate(0)) or (0.0, 0.0, 0.0)
    np.testing.assert_allclose([right, away, up], [0.02, 500.0 / (112.0 * 0.9), -0.25], rtol=1e-6)


def test_eft_scales_before_it_moves(thetas: pathlib.Path, tmp_path: pathlib.Path):
    """EFT's crop pixel is 112 (s X + t), so that t / s is what HMR calls t."""
    hmr = smpl_poses.read_poses("hmr", thetas)
    eft = smpl_poses.read_poses("eft", smpl_fixtures.write_eft(tmp_path / "eft.json", np.load(thetas)))
    assert len(eft) == len(hmr)
    for row in range(8):
        place, other = hmr.locate(row), eft.locate(row)
        assert other == PosePlace("eft", row)
        np.testing.assert_allclose(eft.pose(other), hmr.pose(place), atol=1e-6)
        np.testing.assert_allclose(eft.shape(other), hmr.shape(place), rtol=1e-5)
        np.testing.assert_allclose(eft.offset(other), hmr.offset(place), rtol=1e-5)


def test_spin_fits_have_no_camera(thetas: pathlib.Path, tmp_path: pathlib.Path):
    np.save(tmp_path / "coco_fits.npy", np.load(thetas)[:, 3:])
    spin, hmr = smpl_poses.read_poses("spin", tmp_path / "coco_fits.npy"), smpl_poses.read_poses("hmr", thetas)
    assert spin.locate(5) == PosePlace("spin", 5)
    np.testing.assert_array_equal(spin.pose(spin.locate(5)), hmr.pose(hmr.locate(5)))
    assert spin.offset(spin.locate(5)) is None
    assert spin.shape(spin.locate(5)) == hmr.shape(hmr.locate(5))


def test_extreme_shapes_of_spin_are_the_mean_as_in_its_training(thetas: pathlib.Path, tmp_path: pathlib.Path):
    fits = np.load(thetas)[:, 3:]
    fits[2, 75], fits[5, 80] = 3.1, -140.0
    np.save(tmp_path / "coco_fits.npy", fits)
    spin = smpl_poses.read_poses("spin", tmp_path / "coco_fits.npy")
    for row in range(8):
        expected = np.zeros(10) if row in (2, 5) else fits[row, 72:]
        np.testing.assert_allclose(spin.shape(spin.locate(row)), expected, rtol=1e-6)


def test_a_npz_with_one_array_will_do(thetas: pathlib.Path, tmp_path: pathlib.Path):
    np.savez(tmp_path / "thetas.npz", thetas=np.load(thetas))
    np.testing.assert_array_equal(
        smpl_poses.read_poses("hmr", tmp_path / "thetas.npz").rotations, smpl_poses.read_poses("hmr", thetas).rotations
    )
    np.savez(tmp_path / "two.npz", thetas=np.load(thetas), more=np.zeros(3))
    with pytest.raises(ArrayFileError, match=r"expected one array, found 2 \(more, thetas\)"):
        smpl_poses.read_poses("hmr", tmp_path / "two.npz")


def test_surreal_mocap_stands_with_z_up(tmp_path: pathlib.Path):
    path = smpl_fixtures.write_surreal(tmp_path, textures={}) / "smpl_data.npz"
    poses = smpl_poses.read_poses("surreal", path)
    assert isinstance(poses, smpl_poses.MocapPoses)
    assert len(poses) == 12
    assert poses.sequences == (("01_01", 4), ("ung_02", 8))
    assert poses.locate(3) == PosePlace("surreal", 3, "01_01")
    assert poses.locate(4) == PosePlace("surreal", 0, "ung_02")
    assert poses.locate(11) == PosePlace("surreal", 7, "ung_02")
    place = poses.locate(5)
    assert place.to_json() == {"source": "surreal", "sequence": "ung_02", "frame": 1}
    assert PosePlace.from_json(place.to_json()) == place
    np.testing.assert_allclose(_axes(poses.pose(place))[1], [0.0, 0.0, 1.0], atol=1e-9)
    hip = np.linspace(-0.5, 0.5, 8)[1]
    np.testing.assert_allclose(poses.pose(place)[1], Rotation.from_rotvec([hip, 0.0, 0.0]).as_matrix(), atol=1e-9)
    with pytest.raises(ArrayFileError, match=r"smpl_data\.npz: motion capture has no body shapes"):
        poses.shape(place)
    assert poses.offset(place) is None
    assert poses.problems() == []

    shapes = smpl_poses.read_surreal_shapes(path)
    assert {gender: rows.shape for gender, rows in shapes.items()} == {"female": (6, 10), "male": (5, 10)}


def _changed(array: np.ndarray, row: int, column: int, value: float) -> np.ndarray:
    array = array.copy()
    array[row, column] = value
    return array


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("hmr", lambda a: a[:, 3:], r"expected numbers \[N 85\], found float32 \[8, 82\]"),
        ("spin", lambda a: a, r"expected numbers \[N 82\], found float32 \[8, 85\]"),
        ("hmr", lambda a: a[:0], r"\[N 85\]"),
        ("hmr", lambda a: a.astype(int), r"found int64"),
        ("hmr", lambda a: _changed(a, 6, 30, np.inf), "row 6: holds numbers that are not finite"),
        ("hmr", lambda a: _changed(a, 2, 0, -1.0), "row 2: the camera's scale must be positive, found -1"),
        ("hmr", lambda a: _changed(a, 3, 80, 99.0), "row 3: a shape coefficient of 99 makes no body"),
    ],
)
def test_wrong_tables_are_errors(thetas: pathlib.Path, tmp_path: pathlib.Path, kind: str, change: Any, message: str):
    np.save(tmp_path / "poses.npy", change(np.load(thetas)))
    with pytest.raises(ArrayFileError, match=message) as caught:
        smpl_poses.read_poses(kind, tmp_path / "poses.npy")
    assert smpl_poses.ADVICE[kind] in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fit: fit.pop("parm_cam"), "fit 1: parm_cam is missing"),
        (lambda fit: fit.update(parm_pose=[[1, 2], [3]]), "fit 1: parm_pose is missing or holds something else"),
        (lambda fit: fit.update(parm_shape=[0.0] * 9), "fit 1: parm_shape: expected 10 numbers, found 9"),
        (lambda fit: fit.update(parm_pose=np.ones((24, 3, 3)).tolist()), "fit 1: parm_pose holds no rotation matrices"),
        (lambda fit: fit.update(parm_pose=(-np.eye(3) + np.zeros((24, 3, 3))).tolist()), "no rotation matrices"),
        (lambda fit: fit.update(smpltype="smplx"), "fit 1: smpltype is 'smplx'"),
        (lambda fit: fit.update(parm_cam=[0.0, 0.0, 0.0]), "row 1: the camera's scale must be positive"),
        (lambda fit: fit.update(parm_cam=[float("nan"), 0.0, 0.0]), "NaN is no number"),
        (lambda fit: fit.pop("parm_pose"), "fit 1: parm_pose, parm_shape or parm_cam is missing"),
    ],
)
def test_wrong_fits_of_eft_are_errors(thetas: pathlib.Path, tmp_path: pathlib.Path, change: Any, message: str):
    path = smpl_fixtures.write_eft(tmp_path / "eft.json", np.load(thetas))
    content = json.loads(path.read_text())
    change(content["data"][1])
    path.write_text(json.dumps(content))
    with pytest.raises(ArrayFileError, match=message) as caught:
        smpl_poses.read_poses("eft", path)
    assert "github.com/facebookresearch/eft" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"ver": 1}', '{"data": []}', "[" * 100_000, "\x80"])
def test_other_json_is_an_error(tmp_path: pathlib.Path, text: str):
    (tmp_path / "eft.json").write_text(text, encoding="latin1")
    with pytest.raises(ArrayFileError, match=r"eft\.json: (not JSON|expected)"):
        smpl_poses.read_poses("eft", tmp_path / "eft.json")


def test_wrong_mocap_is_an_error(tmp_path: pathlib.Path):
    path = tmp_path / "smpl_data.npz"
    np.savez(path, pose_a=np.zeros((3, 70)))
    with pytest.raises(ArrayFileError, match=r"pose_a: expected \[T 72\], found \[3, 70\]"):
        smpl_poses.read_poses("surreal", path)
    np.savez(path, trans_a=np.zeros((3, 3)), maleshapes=np.zeros((2, 10)))
    with pytest.raises(ArrayFileError, match="has no sequence pose_"):
        smpl_poses.read_poses("surreal", path)
    with pytest.raises(ArrayFileError, match="has no femaleshapes"):
        smpl_poses.read_surreal_shapes(path)
    np.savez(path, pose_a=np.zeros((3, 72)), pose_b=np.full((2, 72), np.nan))
    poses = smpl_poses.read_poses("surreal", path)
    assert isinstance(poses, smpl_poses.MocapPoses)
    (problem,) = poses.problems()
    assert "pose_b, row 0: holds numbers that are not finite" in problem


@pytest.mark.parametrize("kind", smpl_poses.KINDS)
def test_missing_files_are_errors_with_advice(tmp_path: pathlib.Path, kind: str):
    suffix = {"eft": "json", "surreal": "npz"}.get(kind, "npy")
    with pytest.raises(ArrayFileError, match="cannot be read") as caught:
        smpl_poses.read_poses(kind, tmp_path / f"missing.{suffix}")
    assert smpl_poses.ADVICE[kind] in str(caught.value)


def test_distances_are_surreals():
    rng = np.random.default_rng(0)
    distances = [smpl_poses.sample_distance(rng) for _ in range(2000)]
    assert 5.0 <= min(distances) < 6.0
    assert 10.0 < max(distances) <= 11.0
    np.testing.assert_allclose(np.mean(distances), 8.0, atol=0.1)  # the standard error is 0.02
