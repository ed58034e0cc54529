"""SMPL: its files, and skinning against a slow loop."""

import collections
import pathlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from render.figure import mirror
from render.smpl import model as smpl
from render.smpl.array_files import ArrayFileError
from tests.render import smpl_fixtures


def _check_equal(data: smpl.SmplData, arrays: dict[str, Any]) -> None:
    np.testing.assert_array_equal(data.v_template, arrays["v_template"])
    np.testing.assert_array_equal(data.faces, arrays["f"])
    np.testing.assert_array_equal(data.shapedirs, arrays["shapedirs"][:, :, :10])
    np.testing.assert_array_equal(data.posedirs, arrays["posedirs"])
    np.testing.assert_array_equal(data.joint_regressor, arrays["J_regressor"].toarray())
    np.testing.assert_array_equal(data.weights, arrays["weights"])


def test_official_pickles_are_read(model: smpl.Smpl, body: smpl_fixtures.Humanoid):
    _check_equal(model.data, body.arrays)


@pytest.mark.parametrize("name", ["basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", "SMPL_FEMALE.pkl", "SMPL_MALE.npz"])
def test_version_1_1_0_is_read_under_its_names(tmp_path: pathlib.Path, name: str):
    """It has 300 shape directions, of which the first 10 count; converted files hold the regressor dense."""
    arrays = smpl_fixtures.humanoid(num_betas=300).arrays
    arrays["shapedirs"] = arrays["shapedirs"].astype(np.float16)  # fewer bytes
    path = tmp_path / name
    if path.suffix == ".npz":
        np.savez(path, **{**arrays, "J_regressor": arrays["J_regressor"].toarray()})
    else:
        path.write_bytes(smpl_fixtures.python2_pickle(arrays, chumpy=("shapedirs",)))
    data = smpl.read_model(path)
    _check_equal(data, arrays)
    assert data.num_shapedirs == 300


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize(
    "convert", [lambda matrix: matrix, lambda matrix: matrix.toarray(), lambda matrix: matrix.todense()]
)
def test_models_saved_again_are_read(
    body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path, protocol: int, convert: Callable[[Any], Any]
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix
        arrays = {**body.arrays, "J_regressor": convert(body.arrays["J_regressor"]), "num_betas": np.int64(10)}
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(collections.OrderedDict(arrays), protocol))
    _check_equal(smpl.read_model(path), body.arrays)


def test_a_renamed_file_is_read_as_what_it_is(body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path):
    """Many programs ask for SMPL_NEUTRAL.pkl, so people give their .npz that name.

    `np.savez` keeps the sparse matrix as an object.
    """
    np.savez(tmp_path / "model.npz", **{**body.arrays, "J_regressor": np.array(body.arrays["J_regressor"], object)})
    (tmp_path / "model.npz").rename(tmp_path / "SMPL_NEUTRAL.pkl")
    _check_equal(smpl.read_model(tmp_path / "SMPL_NEUTRAL.pkl"), body.arrays)
    (tmp_path / "SMPL_NEUTRAL.NPZ").write_bytes(smpl_fixtures.python2_pickle(body.arrays))
    _check_equal(smpl.read_model(tmp_path / "SMPL_NEUTRAL.NPZ"), body.arrays)


@pytest.mark.parametrize(
    ("vertices", "joints", "name"), [(10475, 55, "SMPL-X"), (6890, 52, "SMPL-H"), (778, 16, "MANO"), (5023, 5, "FLAME")]
)
def test_bodies_of_the_same_family_are_named(tmp_path: pathlib.Path, vertices: int, joints: int, name: str):
    np.savez(tmp_path / "m.npz", v_template=np.zeros((vertices, 3)), weights=np.zeros((vertices, joints)))
    with pytest.raises(ArrayFileError, match=rf"no SMPL body but one of {name}: .*basicmodel_{{neutral,f,m}}_lbs"):
        smpl.read_model(tmp_path / "m.npz")


def _save(path: pathlib.Path, arrays: dict[str, Any]) -> pathlib.Path:
    path.write_bytes(pickle.dumps({**arrays, "posedirs": arrays["posedirs"].astype(np.float16)}, 2))  # fewer bytes
    return path


def test_everything_wrong_with_a_model_is_listed(body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path):
    arrays = dict(body.arrays)
    del arrays["weights"]
    arrays["f"] = arrays["f"][:-1]
    arrays["kintree_table"] = arrays["kintree_table"].astype(float)
    arrays["v_template"] = np.where(np.arange(6890)[:, None] == 7, np.nan, arrays["v_template"])
    with pytest.raises(ArrayFileError) as caught:
        smpl.read_model(_save(tmp_path / "bad.pkl", arrays))
    message = str(caught.value)
    for part in (
        "bad.pkl: no SMPL body",
        "weights is missing",
        "f: expected [13776 3], found [13775, 3]",
        "kintree_table: expected integers, found float64",
        "v_template: holds numbers that are not finite",
        "smpl.is.tue.mpg.de",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("f", lambda f: f + 1, r"f: vertex numbers must lie in 0\.\.6889, found \d+\.\.6890"),
        ("kintree_table", lambda tree: tree[:, ::-1].copy(), "kintree_table: expected the parents"),
        ("weights", lambda weights: weights * 1.1, "weights: rows must be non-negative and sum to 1"),
        ("J_regressor", lambda regressor: regressor * 0.5, "J_regressor: rows must sum to about 1"),
        ("v_template", lambda template: template * 100.0, "a body of 1 to 2.5 m along Y expected, found 1"),
        ("shapedirs", lambda directions: directions[:, :, :4], "shapedirs: expected 10 directions, found 4"),
    ],
)
def test_implausible_models_are_errors(
    body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path, name: str, change: Any, message: str
):
    arrays = {**body.arrays, "f": np.where(body.arrays["f"] == 0, 6889, body.arrays["f"])}
    with pytest.raises(ArrayFileError, match=message):
        smpl.read_model(_save(tmp_path / "bad.pkl", {**arrays, name: change(arrays[name])}))


def test_other_files_are_refused(tmp_path: pathlib.Path):
    for name in ("SMPL_NEUTRAL.fbx", "SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz"):
        with pytest.raises(ArrayFileError, match=name):
            smpl.read_model(tmp_path / name)


def _slow_vertices(data: smpl.SmplData, pose: np.ndarray, betas: np.ndarray, chosen: range) -> np.ndarray:
    """SMPL paper, eq. 2-10, one vertex at a time, in double precision."""
    shaped = data.v_template.copy()
    for index, beta in enumerate(betas):
        shaped += beta * data.shapedirs[:, :, index]
    joints = data.joint_regressor @ shaped
    rotations = [Rotation.from_rotvec(vector).as_matrix() for vector in pose]
    features = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    transforms = []
    for joint, rotation in enumerate(rotations):
        local = np.eye(4)
        local[:3, :3] = rotation
        parent = smpl.PARENTS[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0.0)
        transforms.append(transforms[parent] @ local if parent >= 0 else local)
    result = []
    for vertex in chosen:
        rest = shaped[vertex] + data.posedirs[vertex] @ features
        total = np.zeros(3)
        for joint in range(24):
            moved = transforms[joint] @ np.append(rest - joints[joint], 1.0)
            total += data.weights[vertex, joint] * moved[:3]
        result.append(total)
    return np.array(result)


@pytest.mark.parametrize("seed", [0, 1])
def test_posed_vertices_are_those_of_a_slow_loop(model: smpl.Smpl, seed: int):
    rng = np.random.default_rng(seed)
    pose, betas = rng.normal(size=(24, 3)) * 0.6, rng.normal(size=10)
    chosen = range(seed, 6890, 97)
    found = model.vertices(smpl.rotation_matrices(pose), betas)
    assert found.shape == (6890, 3)
    # body-models computes in float32: a few of its steps on coordinates of about a metre.
    np.testing.assert_allclose(found[chosen], _slow_vertices(model.data, pose, betas, chosen), atol=5e-6)


def test_no_pose_and_no_shape_is_the_template(model: smpl.Smpl):
    rest = model.vertices(np.tile(np.eye(3), (24, 1, 1)), np.zeros(10))
    np.testing.assert_allclose(rest, model.data.v_template, atol=1e-6)


def test_rotation_matrices_are_those_of_scipy():
    vectors = np.concatenate(
        [np.random.default_rng(0).normal(size=(50, 3)) * 3.0, np.zeros((1, 3)), [[1e-9, 0.0, 0.0]]]
    )
    vectors[5] *= np.pi / np.linalg.norm(vectors[5])
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(smpl.rotation_matrices(vectors), expected, atol=1e-12)


def test_frontal_pose_stands_with_the_arms_hanging(model: smpl.Smpl, body: smpl_fixtures.Humanoid):
    rotations = smpl.frontal_rotations()
    rotations[0] = smpl.UPRIGHT
    points = model.vertices(rotations, np.zeros(10))
    names = smpl_fixtures.part_names()

    def middle(name: str) -> np.ndarray:
        return points[body.part_of == names.index(name)].mean(axis=0)

    assert middle("head")[2] > middle("hips")[2] + 0.5 > middle("left_shin")[2] + 1.0
    assert middle("nose")[1] < middle("head")[1] - 0.05  # the front looks to -Y
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hand, shoulder = middle(f"{side}_palm"), middle(f"{side}_upper_arm")
        assert hand[0] * sign > shoulder[0] * sign > 0.1
        assert hand[2] < shoulder[2] - 0.3
        assert abs(hand[0]) < 0.53  # the frontal camera sees 1.06 m
        assert middle(f"{side}_foot")[0] * sign > 0.05


def test_left_right_partners_are_the_files(body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path):
    """`vert_sym_idxs` counts where it fits; SMPL's template itself is only nearly symmetric."""
    template = body.arrays["v_template"]
    partner = mirror.vertex_correspondence(template, 0.001, chosen=body.arrays["f"])
    bent = template + 0.008 * np.sin(40.0 * template[:, [1, 2, 0]])
    for index, expected in ((partner, True), (np.roll(partner, 1), False), (np.arange(6890)[::-1].copy(), False)):
        arrays = {**body.arrays, "v_template": bent, "vert_sym_idxs": index.astype(np.uint32)}
        found = smpl.read_model(_save(tmp_path / "model.pkl", arrays)).mirrored
        assert (found is not None) == expected
        if found is not None:
            np.testing.assert_array_equal(found, partner)


def test_body_models_meets_checked_arrays_only(model: smpl.Smpl, monkeypatch: pytest.MonkeyPatch):
    """It would unpickle a user's file with Python's own pickle."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert smpl.Smpl(model.data).vertices(smpl.frontal_rotations(), np.zeros(10)).dtype == np.float32
