"""The rasterizer: colours come back exactly, geometry is where the camera says, a missing OpenGL is explained."""

import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh

from render import person
from render.figure import body
from render.optics import camera, light
from render.optics import rasterizer as rasterizer_module
from render.optics.rasterizer import Rasterizer, describe
from render.people import poses, sample

# The promise of the recipe: a flat-lit view gives a texture's colours back to within this.
FIDELITY = 2.0 / 255.0


@pytest.fixture(scope="module")
def rasterizer() -> Rasterizer:
    return Rasterizer()


def _board(y: float = 0.0, *, double_sided: bool = False, flipped: bool = False) -> trimesh.Trimesh:
    """A square of 1 m, 0.44 to 1.44 m high, that faces the frontal camera; the texture fills it."""
    corners = np.array([[-0.5, y, 0.44], [0.5, y, 0.44], [0.5, y, 1.44], [-0.5, y, 1.44]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    mesh = trimesh.Trimesh(
        vertices=corners,
        faces=faces[:, ::-1] if flipped else faces,
        vertex_normals=np.tile([[0.0, -1.0, 0.0]], (4, 1)),
        visual=trimesh.visual.TextureVisuals(uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)),
        process=False,
    )
    mesh.metadata["double_sided"] = double_sided
    return mesh


def _solid(*color: int) -> np.ndarray:
    return np.full((256, 256, 3), color, np.uint8)


@pytest.mark.parametrize("color", [(0, 0, 0), (20, 128, 240), (255, 254, 1), (7, 77, 177)])
def test_flat_colors_are_exact(rasterizer: Rasterizer, color: tuple[int, int, int]):
    rgb, alpha = rasterizer.draw([_board()], _solid(*color), camera.frontal_camera())
    assert rgb.shape == (256, 128, 3)
    assert alpha.shape == (256, 128)
    inside = alpha == 1.0
    # A square metre at 256 pixels for 2.12 m.
    np.testing.assert_allclose(inside.sum(), (256 / 2.12) ** 2, rtol=0.04)
    np.testing.assert_allclose(rgb[inside] * 255, np.broadcast_to(color, (inside.sum(), 3)), atol=0.51)
    assert (alpha[:40] == 0).all()
    assert (rgb[:40] == 0).all()


@pytest.mark.parametrize("width", [5, 6, 7])
def test_textures_may_have_any_width(rasterizer: Rasterizer, width: int):
    # Rows of 3 bytes a texel that do not end at a multiple of 4 bytes.
    texture = np.broadcast_to(np.uint8([[[10, 120, 230]], [[240, 60, 90]]]), (2, width, 3))
    rgb, alpha = rasterizer.draw([_board()], np.ascontiguousarray(texture), camera.frontal_camera())
    rows = np.flatnonzero((alpha == 1.0).any(axis=1))
    for row, color in ((rows[3], (10, 120, 230)), (rows[-4], (240, 60, 90))):
        inside = rgb[row][alpha[row] == 1.0] * 255
        np.testing.assert_allclose(inside, np.broadcast_to(color, inside.shape), atol=0.6)


def test_borders_are_premultiplied(rasterizer: Rasterizer):
    rgb, alpha = rasterizer.draw([_board()], _solid(200, 100, 50), camera.frontal_camera())
    border = (alpha > 0) & (alpha < 1)
    assert border.any()
    expected = alpha[border][:, None] * np.array([200, 100, 50]) / 255
    np.testing.assert_allclose(rgb[border], expected, atol=FIDELITY)


def test_texture_stands_upright(rasterizer: Rasterizer):
    texture = _solid(0, 0, 0)
    texture[:128, :128] = [255, 0, 0]  # upper left
    texture[128:, 128:] = [0, 255, 0]  # lower right
    rgb, _ = rasterizer.draw([_board()], texture, camera.frontal_camera())
    view = camera.frontal_camera()
    (left, top), (right, bottom) = view.project(np.array([[-0.25, 0.0, 1.19], [0.25, 0.0, 0.69]]))[0].astype(int)
    np.testing.assert_allclose(rgb[top, left], [1, 0, 0], atol=FIDELITY)
    np.testing.assert_allclose(rgb[bottom, right], [0, 1, 0], atol=FIDELITY)
    np.testing.assert_allclose(rgb[top, right], [0, 0, 0], atol=FIDELITY)


def test_nearer_surface_hides_the_farther(rasterizer: Rasterizer):
    texture = _solid(255, 0, 0)
    texture[:, 128:] = [0, 0, 255]
    near, far = _board(-0.5), _board(0.5)
    near.visual.uv[:, 0] = 0.25
    far.visual.uv[:, 0] = 0.75
    for meshes in ([near, far], [far, near]):
        rgb, _ = rasterizer.draw(meshes, texture, camera.frontal_camera())
        np.testing.assert_allclose(rgb[128, 64], [1, 0, 0], atol=FIDELITY)


def test_back_faces_show_only_when_double_sided(rasterizer: Rasterizer):
    view = camera.frontal_camera()
    assert rasterizer.draw([_board(flipped=True)], _solid(9, 9, 9), view)[1].max() == 0.0
    assert rasterizer.draw([_board(flipped=True, double_sided=True)], _solid(9, 9, 9), view)[1].max() == 1.0


def test_triangles_are_numbered_over_all_meshes_and_hide_as_in_a_picture(rasterizer: Rasterizer):
    view = camera.frontal_camera()
    many = trimesh.util.concatenate([_board(0.5)] * 40_000)  # 80,000 triangles: numbers of three bytes
    many.metadata["double_sided"] = True
    turned_away, near = _board(-1.0, flipped=True), _board(-0.5)
    numbers = rasterizer.number_faces([many, turned_away, near], view)
    _, alpha = Rasterizer(supersampling=1).draw([near, many], _solid(9, 9, 9), view)
    np.testing.assert_array_equal(numbers >= 0, alpha > 0.0)
    # The near board is seen: its lower right triangle, then its upper left one, after those of the other two.
    assert set(np.unique(numbers)) == {-1, 80_002, 80_003}
    assert numbers[140, 80] == 80_002
    assert numbers[110, 50] == 80_003
    assert 0 <= rasterizer.number_faces([many, turned_away], view)[128, 64] < 80_000


def test_light_multiplies_the_display_value(rasterizer: Rasterizer):
    even = light.Light(0.0, 1.0, (0.0, 0.0, 0.0), (0.5, 0.5, 0.25), (0.5, 0.5, 0.25), 0.02)
    rgb, _ = rasterizer.draw([_board(double_sided=True)], _solid(200, 100, 100), camera.frontal_camera(), even)
    expected = np.array([200, 100, 100]) * np.array([0.5, 0.5, 0.25]) ** (1 / 2.2) / 255
    np.testing.assert_allclose(rgb[128, 64], expected, atol=FIDELITY)


def test_two_sizes_share_one_renderer(rasterizer: Rasterizer):
    small = Rasterizer(height=64, width=32, supersampling=1)
    view = camera.frontal_camera()
    quarter = camera.Camera(view.rotation, view.position, view.focal / 4, (16.0, 32.0))
    rgb, alpha = small.draw([_board()], _solid(10, 200, 30), quarter)
    assert alpha.shape == (64, 32)
    np.testing.assert_allclose(rgb[32, 16], np.array([10, 200, 30]) / 255, atol=FIDELITY)
    assert rasterizer.draw([_board()], _solid(10, 200, 30), view)[1].shape == (256, 128)


def test_frontal_view_gives_the_textures_colors_back(rasterizer: Rasterizer):
    """At every vertex that the frontal camera sees, the picture holds the texture's colour at the vertex's UV."""
    # A known texture: slopes so gentle that half a pixel's offset stays within half a level.
    row, column = np.mgrid[0:256, 0:256] / 255.0
    texture = np.rint(np.stack([60 + 60 * column, 120 + 60 * row, 200 - 60 * column], axis=-1)).astype(np.uint8)
    view = camera.frontal_camera()
    count, seen_rows = 0, []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clothes = sample.sample_appearance(rng)
        shape = body.sample_shape(rng, clothes)
        meshes = person.build_person(body.load_body(), clothes, shape, poses.frontal_pose())
        rgb, alpha = rasterizer.draw(meshes, texture, view)
        seen, rows, columns, uv = _clearly_seen(meshes, alpha, view)
        expected = np.stack([60 + 60 * uv[:, 0], 120 + 60 * (1 - uv[:, 1]), 200 - 60 * uv[:, 0]], axis=-1) / 255
        np.testing.assert_array_less(np.abs(rgb[rows, columns] - expected)[seen], FIDELITY)
        count += seen.sum()
        seen_rows.extend(rows[seen])
    assert count > 400
    assert np.ptp(seen_rows) > 120  # from the head to the legs; hair and a dress may leave little of one person


def _clearly_seen(
    meshes: list[trimesh.Trimesh], alpha: np.ndarray, view: camera.Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which vertices fill their pixel, the vertices' pixels (rows, columns), and their UV coordinates."""
    points = np.concatenate([mesh.vertices for mesh in meshes])
    normals = np.concatenate([mesh.vertex_normals for mesh in meshes])
    uv = np.concatenate([np.asarray(mesh.visual.uv) for mesh in meshes])
    pixels, depth = view.project(points)
    columns, rows = np.floor(pixels).astype(int).T
    around = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]

    def collect(picture: np.ndarray, combine: np.ufunc) -> np.ndarray:
        """Combines a picture [256 128 ...] over the 5x5 pixels around every vertex."""
        return combine.reduce([picture[rows + dy, columns + dx] for dy, dx in around])

    # Faces the camera; no vertex around it is nearer or farther by more than 2 cm; all around is covered.
    nearest = np.full((256, 128), np.inf)
    np.minimum.at(nearest, (rows, columns), depth)
    in_front = collect(nearest, np.minimum)
    behind = collect(np.where(np.isfinite(nearest), nearest, 0.0), np.maximum)
    seen = (normals[:, 1] < -0.7) & (depth < in_front + 0.02) & (behind < depth + 0.02)
    seen &= collect(alpha, np.minimum) == 1.0
    # Where islands of the atlas meet in one pixel, its colour is a mixture.
    low, high = np.full((256, 128, 2), np.inf), np.full((256, 128, 2), -np.inf)
    front = np.flatnonzero(depth < in_front + 0.02)
    np.minimum.at(low, (rows[front], columns[front]), uv[front])
    np.maximum.at(high, (rows[front], columns[front]), uv[front])
    seen &= (collect(high, np.maximum) - collect(low, np.minimum)).max(axis=-1) < 0.05
    return seen, rows, columns, uv


def test_solid_person_is_one_color(rasterizer: Rasterizer):
    rng = np.random.default_rng(6)
    clothes = sample.sample_appearance(rng)
    meshes = person.build_person(body.load_body(), clothes, body.sample_shape(rng, clothes), poses.frontal_pose())
    rgb, alpha = rasterizer.draw(meshes, _solid(33, 144, 222), camera.frontal_camera())
    inside = alpha == 1.0
    assert inside.sum() > 4000
    np.testing.assert_allclose(
        rgb[inside], np.broadcast_to(np.array([33, 144, 222]) / 255, (inside.sum(), 3)), atol=1e-2
    )


_NO_DRIVER = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nowhere.json"}  # libEGL without a driver, as in a bare container


def _check(**environment: str) -> subprocess.CompletedProcess[str]:
    cleared = [name for name in rasterizer_module._STEERING if not name.startswith("LD_")]
    inherited = {name: value for name, value in os.environ.items() if name not in cleared}
    command = [sys.executable, "-m", "render.optics.rasterizer"]
    return subprocess.run(
        command, capture_output=True, text=True, env={**inherited, **environment}, check=False, timeout=600
    )


def test_check_names_the_opengl(rasterizer: Rasterizer):
    description = describe()  # before the environment is looked at: opening OpenGL settles the platform
    found = _check(**{name: os.environ[name] for name in rasterizer_module._STEERING if name in os.environ})
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"offscreen OpenGL: {description}"


def _without_egl() -> bool:
    return not rasterizer_module._in_turn(rasterizer_module._egl_devices() or ())


@pytest.mark.skipif(_without_egl(), reason="EGL opens no device here")
def test_a_missing_driver_gives_the_command_and_the_variables():
    found = _check(PYOPENGL_PLATFORM="egl", NVIDIA_DRIVER_CAPABILITIES="compute", **_NO_DRIVER)
    assert found.returncode == 1
    assert "apt-get install --yes --no-install-recommends libegl1 libgl1-mesa-dri" in found.stderr
    assert "egl: EGL is there but knows no device" in found.stderr
    for line in (
        "PYOPENGL_PLATFORM=egl is set in the environment: nothing else was tried",
        "  __EGL_VENDOR_LIBRARY_FILENAMES=/nowhere.json",
        "  NVIDIA_DRIVER_CAPABILITIES=compute",
    ):
        assert line in found.stderr


@pytest.mark.parametrize("platform", ["glx", "wgl", "EGL", "none-such"])
def test_a_platform_that_draws_on_a_screen_is_named(platform: str):
    found = _check(PYOPENGL_PLATFORM=platform)
    assert found.returncode == 1
    assert (
        f"PYOPENGL_PLATFORM={platform} is set in the environment; only egl and osmesa draw off screen" in found.stderr
    )
    assert "apt-get" not in found.stderr  # nothing is missing


def test_osmesa_draws_or_names_its_package():
    found = _check(PYOPENGL_PLATFORM="osmesa")
    if found.returncode == 0:
        assert found.stdout.startswith("offscreen OpenGL: osmesa (")
    else:
        assert "osmesa: the library libOSMesa was not found (package libosmesa6)" in found.stderr
        assert "apt-get install --yes --no-install-recommends libosmesa6" in found.stderr
        assert "PYOPENGL_PLATFORM=osmesa is set in the environment" in found.stderr


@pytest.mark.skipif(_without_egl(), reason="EGL opens no device here")
@pytest.mark.parametrize("name", ["EGL_DEVICE_ID", "PYOPENGL_PLATFORM"])
def test_an_empty_variable_is_not_set(name: str):
    """Compose files and job scripts pass variables on that nobody gave a value."""
    found = _check(**{name: ""})
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("offscreen OpenGL: egl (")


@pytest.mark.skipif(_without_egl(), reason="EGL opens no device here")
@pytest.mark.parametrize("value", ["97", "-1", "0,1", "cuda:0"])
def test_a_device_that_is_not_there_is_named(value: str):
    found = _check(EGL_DEVICE_ID=value)
    assert found.returncode == 1
    assert (
        f"EGL_DEVICE_ID={value} is set in the environment and is no number of a device: EGL lists 0 (" in found.stderr
    )
    assert "apt-get" not in found.stderr


@pytest.mark.skipif(_without_egl(), reason="EGL opens no device here")
def test_an_old_opengl_is_named():
    found = _check(PYOPENGL_PLATFORM="egl", MESA_GL_VERSION_OVERRIDE="2.1", GALLIUM_DRIVER="llvmpipe")
    if "llvmpipe" not in _check(PYOPENGL_PLATFORM="egl").stdout:
        pytest.skip("only Mesa obeys the variable")
    assert found.returncode == 1
    assert "egl: the driver offers no OpenGL 4.1" in found.stderr
    assert "  MESA_GL_VERSION_OVERRIDE=2.1" in found.stderr


def _device(number: int, file: str = "", *, software: bool = False, opens: bool = True) -> rasterizer_module._Device:
    return rasterizer_module._Device(number, file, software, opens)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without the variables in question, put back after the test."""
    for name in ("EGL_DEVICE_ID", "PYOPENGL_PLATFORM"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    return monkeypatch


_TWO_OF_THREE = [_device(0, "/dev/dri/card0"), _device(1, "/dev/dri/card1", opens=False), _device(2, software=True)]


@pytest.mark.parametrize(
    ("value", "devices", "expected"),
    [
        ("", _TWO_OF_THREE, 0),
        ("2", _TWO_OF_THREE, 2),
        ("", [_device(0, opens=False), _device(1)], 1),  # the first one belongs to somebody else
        ("", [_device(0, software=True), _device(1, opens=False)], 0),
        ("", [_device(0, opens=False)], 0),  # pyrender will fail, and say so
        ("", [], 0),
        ("3", None, 3),  # an EGL too old to list devices
        ("", None, 0),
        (
            "1",
            _TWO_OF_THREE,
            r"EGL_DEVICE_ID=1 .* cannot be opened: the driver is missing.*: 0 \(/dev/dri/card0\), 2 \(the",
        ),
        ("3", _TWO_OF_THREE, r"EGL_DEVICE_ID=3 .* no number of a device: EGL lists 0 .* 1 \(/dev/dri/card1\), 2"),
        ("one", _TWO_OF_THREE, "EGL_DEVICE_ID=one .* no number"),
        ("0", [_device(0, opens=False)], r"EGL_DEVICE_ID=0 .* cannot be opened: .*\. Unset it\.$"),
    ],
)
def test_the_device_is_one_that_can_be_opened(
    environment: pytest.MonkeyPatch,
    value: str,
    devices: list[rasterizer_module._Device] | None,
    expected: int | str,
):
    if value:
        environment.setenv("EGL_DEVICE_ID", value)
    if isinstance(expected, int):
        assert rasterizer_module._device_number(devices) == expected
    else:
        with pytest.raises(rasterizer_module.OpenGLError, match=expected):
            rasterizer_module._device_number(devices)


def test_opening_a_device_leaves_the_variable_as_it_was(environment: pytest.MonkeyPatch):
    """Workers that are spawned later inherit it, and would take it for the user's wish."""
    with rasterizer_module._device_chosen(3):
        assert os.environ["EGL_DEVICE_ID"] == "3"
    assert "EGL_DEVICE_ID" not in os.environ
    environment.setenv("EGL_DEVICE_ID", "")
    with pytest.raises(KeyError), rasterizer_module._device_chosen(3):
        raise KeyError
    assert os.environ["EGL_DEVICE_ID"] == ""


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (None, [None, None, None, None]),  # no EGL
        ([], [None, None, None, None]),  # no driver
        ([_device(0, opens=False)], [None, None, None, None]),
        ([_device(0, opens=False), _device(1), _device(2)], ["1", "2", "1", "2"]),
        ([_device(0, software=True)], ["0", "0", "0", "0"]),
        # Two GPUs of NVIDIA's driver, offered again by Mesa, and Mesa's processor; device 1 could not be opened.
        (
            [
                _device(0, "/dev/dri/card0"),
                _device(1, "/dev/dri/card1", opens=False),
                _device(2, "/dev/dri/card2"),
                _device(3, "/dev/dri/card0"),
                _device(4, "/dev/dri/card2"),
                _device(5, software=True),
            ],
            ["0", "2", "0", "2"],
        ),
        ([_device(0, software=True), _device(1), _device(2)], ["1", "2", "1", "2"]),  # GPUs without a DRM file
    ],
)
def test_workers_take_the_gpus_in_turn(
    environment: pytest.MonkeyPatch,
    devices: list[rasterizer_module._Device] | None,
    expected: list[str | None],
):
    environment.setattr(rasterizer_module, "_egl_devices", lambda: devices)
    for worker, number in enumerate(expected):
        environment.delenv("EGL_DEVICE_ID", raising=False)
        rasterizer_module.choose_device(worker)
        assert os.environ.get("EGL_DEVICE_ID") == number


def test_the_users_device_stays(environment: pytest.MonkeyPatch):
    environment.setattr(rasterizer_module, "_egl_devices", lambda: [_device(0), _device(1)])
    environment.setenv("EGL_DEVICE_ID", "7")
    rasterizer_module.choose_device(1)
    assert os.environ["EGL_DEVICE_ID"] == "7"
    for name in ("EGL_DEVICE_ID", "PYOPENGL_PLATFORM"):
        environment.setenv(name, "")  # as if it were not set
    rasterizer_module.choose_device(1)
    assert os.environ["EGL_DEVICE_ID"] == "1"
    environment.delenv("EGL_DEVICE_ID")
    environment.setenv("PYOPENGL_PLATFORM", "osmesa")  # knows no devices
    rasterizer_module.choose_device(1)
    assert "EGL_DEVICE_ID" not in os.environ


def test_this_machines_devices_can_be_opened(rasterizer: Rasterizer):
    if not describe().startswith("egl"):
        pytest.skip("this machine draws with OSMesa")
    devices = rasterizer_module._egl_devices()
    assert devices
    assert describe().endswith(f"device {os.environ.get('EGL_DEVICE_ID', '0')}")


def test_a_mesh_may_bring_its_texture(rasterizer: Rasterizer):
    own = _board()
    own.metadata["texture"] = _solid(200, 10, 20)[:50, :31]  # of another size, odd
    rgb, _ = rasterizer.draw([own], _solid(1, 2, 3), camera.frontal_camera())
    np.testing.assert_allclose(rgb[128, 64], np.array([200, 10, 20]) / 255, atol=FIDELITY)
    behind = _board()
    behind.apply_translation([0.0, 0.5, 0.0])
    for meshes in ([behind, own], [own, behind]):
        rgb, _ = rasterizer.draw(meshes, _solid(1, 2, 3), camera.frontal_camera())
        np.testing.assert_allclose(rgb[128, 64], np.array([200, 10, 20]) / 255, atol=FIDELITY)
