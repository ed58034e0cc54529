"""SMPL: its files, skinning against a slow loop, the UV layout and where a texture's places show up."""

import collections
import dataclasses
import pathlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from render.figure import mirror
from render.geometry.surface import vertex_normals
from render.optics import camera
from render.optics.rasterizer import Rasterizer
from render.smpl import model as smpl
from render.smpl.array_files import ArrayFileError
from tests.render import smpl_fixtures


@pytest.fixture(scope="module")
def body() -> smpl_fixtures.Humanoid:
    return smpl_fixtures.humanoid()


@pytest.fixture(scope="module")
def model(body: smpl_fixtures.Humanoid, tmp_path_factory: pytest.TempPathFactory) -> smpl.Smpl:
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    path.write_bytes(
        smpl_fixtures.python2_pickle(body.arrays, chumpy=("v_template", "shapedirs", "posedirs", "weights"))
    )
    return smpl.Smpl(smpl.read_model(path))


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
    """Many programs ask for SMPL_NEUTRAL.pkl; people call their .npz so. `np.savez` keeps the sparse matrix as an object."""
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


# -------------------------------------------------------------------------------------------------------------- posing


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


# ------------------------------------------------------------------------------------------------------------------- UV


@pytest.fixture(scope="module")
def part(body: smpl_fixtures.Humanoid, tmp_path_factory: pytest.TempPathFactory) -> smpl.Part:
    return smpl.read_uv(smpl_fixtures.write_uv(tmp_path_factory.mktemp("uv") / "smpl_uv.obj", body), {})


def test_uv_layout_is_read(part: smpl.Part, body: smpl_fixtures.Humanoid):
    np.testing.assert_array_equal(part.triangles, body.arrays["f"])
    np.testing.assert_array_equal(part.vertex_map[part.faces], body.arrays["f"])
    np.testing.assert_allclose(part.uv[part.faces], body.uv[body.faces_uv], atol=1e-6)
    assert len(part.vertex_map) == len(np.unique(np.stack([body.arrays["f"].ravel(), body.faces_uv.ravel()]), axis=1).T)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vt 0.008000", "vt nonsense", r"line \d+: 'vt nonsense"),
        ("vt 0.008000", "vt 7.5", r"must lie in \[0, 1\]"),
        ("f 1/", "f 99999999999999999999999/", "names a vertex or UV coordinate that is not in the file"),
        ("vt 0.99", "vn 0.99", r"found 6890, \d+ and 13776"),
        ("v 0.0", "# 0.0", "expected 6890 vertices"),
    ],
)
def test_other_uv_files_are_errors(
    body: smpl_fixtures.Humanoid, tmp_path: pathlib.Path, old: str, new: str, message: str
):
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ArrayFileError, match=message):
        smpl.read_uv(path, {})


def _rewrite(path: pathlib.Path, change: Callable[[list[str]], list[str]], kind: str = "f") -> None:
    """Changes the words of every line of a kind in an OBJ file."""
    lines = (line.split() for line in path.read_text().splitlines())
    path.write_text("".join(" ".join([one, *(change(rest) if one == kind else rest)]) + "\n" for one, *rest in lines))


def _renumber(table: np.ndarray) -> Callable[[list[str]], list[str]]:
    def change(corners: list[str]) -> list[str]:
        pairs = [corner.split("/") for corner in corners]
        return [f"{table[int(vertex) - 1] + 1}/{uv}" for vertex, uv in pairs]

    return change


_SHUFFLED = np.random.default_rng(0).permutation(smpl.NUM_VERTICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words, _: words[::-1], r"13,776 of its 13,776 faces are no faces of the model \(reversed winding"),
        (
            lambda words, _: _renumber(_SHUFFLED)(words),
            r"13,7\d\d of its .* \(the vertices are numbered in another order",
        ),
        (lambda words, partner: _renumber(partner)(words)[::-1], r"4,736 of its .* \(left and right are exchanged\)"),
        (
            lambda words, _: ["3/1", *words[1:]] if words[0] == "1/1" else words,
            r"[1-9] of its 13,776 faces are no faces of the model \(the surface is divided in another way",
        ),
    ],
)
def test_a_layout_of_another_mesh_is_refused(
    body: smpl_fixtures.Humanoid, model: smpl.Smpl, tmp_path: pathlib.Path, change: Any, message: str
):
    """Its numbers of vertices, UV and faces agree with the model's; what each face says does not."""
    partner = mirror.vertex_correspondence(model.data.v_template, 0.001, chosen=model.data.faces)
    data = dataclasses.replace(model.data, mirrored=partner)
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)
    _rewrite(path, lambda words: change(words, partner))
    with pytest.raises(
        ArrayFileError, match=rf"smpl_uv\.obj: not the mesh of neutral: {message}.*smpl\.is\.tue\.mpg\.de"
    ):
        smpl.read_uv(path, {"neutral": data})


@pytest.mark.parametrize(("axis", "name"), [(0, "u"), (1, "v")])
def test_a_mirrored_layout_is_refused(
    body: smpl_fixtures.Humanoid, model: smpl.Smpl, tmp_path: pathlib.Path, axis: int, name: str
):
    """SMPL's faces are their own mirror image: with left and right exchanged, only the layout tells."""
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)

    def flip(words: list[str]) -> list[str]:
        words[axis] = f"{1.0 - float(words[axis]):.6f}"
        return words

    _rewrite(path, flip, kind="vt")
    with pytest.raises(ArrayFileError, match=r"100 % of the UV layout is mirrored: u or v is flipped"):
        smpl.read_uv(path, {"neutral": model.data})


def test_the_order_of_faces_and_corners_and_the_positions_do_not_matter(
    body: smpl_fixtures.Humanoid, model: smpl.Smpl, part: smpl.Part, tmp_path: pathlib.Path
):
    """An exporter may write all of them anew."""
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)
    _rewrite(path, lambda words: [*words[1:], words[0]])
    _rewrite(path, lambda _: ["7", "7", "7"], kind="v")
    lines = path.read_text().splitlines()
    faces = [line for line in lines if line.startswith("f ")]
    path.write_text("\n".join([line for line in lines if not line.startswith("f ")] + faces[::-1]) + "\n")
    found = smpl.read_uv(path, {"neutral": model.data})
    np.testing.assert_array_equal(found.triangles, np.roll(part.triangles, -1, axis=1)[::-1])
    np.testing.assert_array_equal(found.uv[found.faces], np.roll(part.uv[part.faces], -1, axis=1)[::-1])


def test_faces_without_uv_are_errors(tmp_path: pathlib.Path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1 2 3\n")
    with pytest.raises(ArrayFileError, match=r"line 5: 'f 1 2 3' cannot be read \(expected three corners vertex/uv\)"):
        smpl.read_uv(tmp_path / "a.obj", {}, num_vertices=3, num_faces=1, num_uv=1)
    (tmp_path / "b.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1/9 2/2/9 3/3/9\n")
    small = smpl.read_uv(tmp_path / "b.obj", {}, num_vertices=3, num_faces=1, num_uv=3)
    np.testing.assert_array_equal(small.uv[small.faces], [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])


def _view(yaw: float) -> camera.Camera:
    return camera.frontal_camera().seen_from(np.zeros(3), yaw)


@pytest.mark.parametrize(
    ("name", "across", "along", "yaw"),
    [
        ("chest", 0.5, 0.6, 0.0),
        ("chest", 0.62, 0.6, 0.0),  # the body's left half of the chest: right in the picture
        ("left_thigh", 0.5, 0.3, 0.0),
        ("right_thigh", 0.5, 0.3, 0.0),
        ("right_shin", 0.5, 0.8, 0.0),
        ("head", 0.5, 0.8, 0.0),
        ("belly", 0.02, 0.5, np.pi),  # the back
        ("left_thigh", 0.27, 0.5, np.pi / 2 * 3),  # the outside of the left leg, seen from the left
        ("left_upper_arm", 0.5, 0.5, 0.0),
        ("right_upper_arm", 0.5, 0.2, 0.0),
    ],
)
def test_a_marker_of_the_texture_shows_up_at_its_place_of_the_body(
    model: smpl.Smpl,
    body: smpl_fixtures.Humanoid,
    part: smpl.Part,
    name: str,
    across: float,
    along: float,
    yaw: float,
):
    """Row 1 - v, column u of a texture lies where `smpl_uv.obj` says: at the vertices that share this UV."""
    u, v = smpl_fixtures.uv_of(name, across, along)
    size = 512
    texture = np.full((size, size, 3), 128, np.uint8)
    row, column = int((1.0 - v) * size), int(u * size)
    texture[row - 4 : row + 5, column - 4 : column + 5] = [255, 0, 0]

    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = smpl.UPRIGHT
    vertices = model.vertices(rotations, np.zeros(10))
    vertices = vertices - [0.0, 0.0, vertices[:, 2].min()]
    mesh = trimesh.Trimesh(
        vertices=vertices[part.vertex_map],
        faces=part.faces,
        vertex_normals=vertex_normals(vertices, part.triangles)[part.vertex_map],
        visual=trimesh.visual.TextureVisuals(uv=part.uv),
        process=False,
    )
    view = _view(yaw)
    pixels, alpha = Rasterizer().draw([mesh], texture, view)
    red = (alpha == 1.0) & (pixels[..., 0] > 0.8) & (pixels[..., 1] < 0.2)
    assert red.sum() >= 3
    found = np.argwhere(red).mean(axis=0)[::-1] + 0.5  # x, y

    # The same place of the body, from the mesh alone: the mean of the vertices with about this UV.
    near = np.linalg.norm(part.uv - [u, v], axis=1) < 0.012
    assert near.any()
    on_part = body.part_of[part.vertex_map[near]] == smpl_fixtures.part_names().index(name)
    assert on_part.all()
    expected = view.project(vertices[part.vertex_map[near]])[0].mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=4.0)
    # And where a person has it: the left is right in a frontal picture.
    if name.startswith("left") and yaw == 0.0:
        assert found[0] > 66
    if name.startswith("right"):
        assert found[0] < 62
    if name == "head":
        assert found[1] < 60


def test_smpl_has_a_mirror_map(model: smpl.Smpl, part: smpl.Part):
    """A place of the left thigh takes its colour from the right one's; across the front it changes sides."""
    mesh = mirror.Mesh.from_part("SMPL", model.data.upright_template(), part)
    index_map = mirror.mirror_map([mesh], tolerance=0.001)
    for here, there in (
        (("left_thigh", 0.3, 0.5), ("right_thigh", 0.7, 0.5)),
        (("right_palm", 0.5, 0.7), ("left_palm", 0.5, 0.7)),
        (("chest", 0.3, 0.5), ("chest", 0.7, 0.5)),
    ):
        (u, v), (source_u, source_v) = smpl_fixtures.uv_of(*here), smpl_fixtures.uv_of(*there)
        row, column = index_map[int((1.0 - v) * 256), int(u * 256)]
        np.testing.assert_allclose([row + 0.5, column + 0.5], [(1.0 - source_v) * 256, source_u * 256], atol=2.0)


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


def test_partners_follow_from_the_faces_where_positions_mislead():
    """SMPL's template is a mean of scans: for some vertices the nearest to their mirror image is a neighbour."""
    sphere = trimesh.creation.icosphere(subdivisions=4)
    exact = np.asarray(sphere.vertices) * [0.3, 0.9, 0.2]
    expected = mirror.vertex_correspondence(exact, 1e-6)
    template = exact + np.random.default_rng(0).uniform(-0.006, 0.006, exact.shape)
    with pytest.raises(mirror.MirrorError):
        mirror.vertex_correspondence(template, 0.01)
    faces = np.asarray(sphere.faces)
    np.testing.assert_array_equal(smpl.partners_by_faces(template, faces), expected)
    # A face that is not the mirror image of any, and a surface in two pieces, have no partners.
    assert smpl.partners_by_faces(template, faces[1:]) is None
    two = np.concatenate([faces, faces + len(template)])
    assert smpl.partners_by_faces(np.concatenate([template, 3.0 + template]), two) is None


def test_body_models_meets_checked_arrays_only(model: smpl.Smpl, monkeypatch: pytest.MonkeyPatch):
    """It would unpickle a user's file with Python's own pickle."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert smpl.Smpl(model.data).vertices(smpl.frontal_rotations(), np.zeros(10)).dtype == np.float32
