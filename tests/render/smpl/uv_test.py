"""SMPL's UV layout: its file, and where a texture's places show up on the body."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trimesh

from render.figure import mirror
from render.figure.sheets import Part
from render.geometry.surface import vertex_normals
from render.optics import camera
from render.optics.rasterizer import Rasterizer
from render.smpl import model as smpl
from render.smpl.array_files import ArrayFileError
from render.smpl.uv import read_uv
from tests.render import smpl_fixtures


def test_uv_layout_is_read(part: Part, body: smpl_fixtures.Humanoid):
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
        read_uv(path, {})


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
        read_uv(path, {"neutral": data})


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
        read_uv(path, {"neutral": model.data})


def test_the_order_of_faces_and_corners_and_the_positions_do_not_matter(
    body: smpl_fixtures.Humanoid, model: smpl.Smpl, part: Part, tmp_path: pathlib.Path
):
    """An exporter may write all of them anew."""
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)
    _rewrite(path, lambda words: [*words[1:], words[0]])
    _rewrite(path, lambda _: ["7", "7", "7"], kind="v")
    lines = path.read_text().splitlines()
    faces = [line for line in lines if line.startswith("f ")]
    path.write_text("\n".join([line for line in lines if not line.startswith("f ")] + faces[::-1]) + "\n")
    found = read_uv(path, {"neutral": model.data})
    np.testing.assert_array_equal(found.triangles, np.roll(part.triangles, -1, axis=1)[::-1])
    np.testing.assert_array_equal(found.uv[found.faces], np.roll(part.uv[part.faces], -1, axis=1)[::-1])


def test_faces_without_uv_are_errors(tmp_path: pathlib.Path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1 2 3\n")
    with pytest.raises(ArrayFileError, match=r"line 5: 'f 1 2 3' cannot be read \(expected three corners vertex/uv\)"):
        read_uv(tmp_path / "a.obj", {})


def test_normals_of_corners_do_not_matter(body: smpl_fixtures.Humanoid, part: Part, tmp_path: pathlib.Path):
    path = smpl_fixtures.write_uv(tmp_path / "smpl_uv.obj", body)
    _rewrite(path, lambda words: [f"{word}/9" for word in words])
    found = read_uv(path, {})
    np.testing.assert_array_equal(found.uv[found.faces], part.uv[part.faces])


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
    part: Part,
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


def test_smpl_has_a_mirror_map(model: smpl.Smpl, part: Part):
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
