"""Draws textured trimesh objects off screen: the only file that touches pyrender and OpenGL.

`python -m render.optics.rasterizer` checks that an offscreen OpenGL loads: it prints which and exits 0, or prints what to
install or which environment variable to change, and exits 1. EGL is tried first, then OSMesa; PYOPENGL_PLATFORM in the
environment decides instead. Where EGL knows several devices, EGL_DEVICE_ID in the environment says which;
`choose_device` sets it for a worker. A variable that is set and empty counts as not set.

What pyrender 0.1.45 asks for: one OffscreenRenderer for the life of a process, in its main thread, created after any
fork (workers are spawned). All `Rasterizer` objects of a process share it. The FLAT shader gives texture colours back
exactly, so light is multiplied in as vertex colours (`render.optics.light`). Pictures are drawn larger and averaged, so
that pyrender's multisampling and its depth picture are left out (`_lean`): half of its time on a processor.
"""

import contextlib
import ctypes
import functools
import importlib
import os
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import trimesh

from render.optics import light as light_module
from render.optics.camera import IMAGE_HEIGHT, IMAGE_WIDTH, Camera
from render.optics.light import Light

_PACKAGES = {"egl": "libegl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}  # by the platforms that draw off screen
# Variables that decide which OpenGL libglvnd, Mesa and NVIDIA's container tools load; a failure names those set.
_STEERING = (
    "PYOPENGL_PLATFORM",
    "EGL_DEVICE_ID",
    "EGL_PLATFORM",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
    "__EGL_VENDOR_LIBRARY_DIRS",
    "GALLIUM_DRIVER",
    "LIBGL_ALWAYS_SOFTWARE",
    "LIBGL_DRIVERS_PATH",
    "MESA_GL_VERSION_OVERRIDE",
    "MESA_LOADER_DRIVER_OVERRIDE",
    "NVIDIA_DRIVER_CAPABILITIES",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
)
_SUPERSAMPLING = 3
_NEAR, _FAR = 0.2, 100.0  # metres


class OpenGLError(RuntimeError):
    """No offscreen OpenGL. The message says what was tried, and what to install or which variable to change."""


def install_command(platform: str = "egl") -> str:
    """Return the command that installs a software OpenGL on Debian and Ubuntu, for "egl" or "osmesa"."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {_PACKAGES[platform]}"


class _OpenGL(NamedTuple):
    pyrender: types.ModuleType
    renderer: Any  # the pyrender.OffscreenRenderer of the process
    description: str


@functools.cache
def _open() -> _OpenGL:
    """Open OpenGL on the first platform that works."""
    chosen = os.environ.get("PYOPENGL_PLATFORM")
    if chosen and chosen not in _PACKAGES:
        raise OpenGLError(
            f"PYOPENGL_PLATFORM={chosen} is set in the environment; only {' and '.join(_PACKAGES)} draw off screen. "
            "Unset it (then both are tried), or set it to one of them."
        )
    devices = _egl_devices() if chosen != "osmesa" else None
    device = _device_number(devices)
    failures = []
    for platform in (chosen,) if chosen else _PACKAGES:
        # PyOpenGL binds itself to a platform at import: forget a failed attempt before the next one.
        for name in [name for name in sys.modules if name.split(".")[0] in ("OpenGL", "pyrender")]:
            del sys.modules[name]
        os.environ["PYOPENGL_PLATFORM"] = platform
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations inside pyrender and PyOpenGL
                if platform == "osmesa":
                    _complete_osmesa()
                _accept_references()
                pyrender = importlib.import_module("pyrender")
                with _device_chosen(device):
                    renderer = pyrender.OffscreenRenderer(_SUPERSAMPLING * IMAGE_WIDTH, _SUPERSAMPLING * IMAGE_HEIGHT)
                gl = importlib.import_module("OpenGL.GL")
                name = cast(bytes, gl.glGetString(gl.GL_RENDERER)).decode()
                gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)  # textures of any width: pyrender leaves rows of 4 bytes
                if platform == "egl":
                    renderer._renderer = _lean(pyrender, gl)
            return _OpenGL(
                pyrender, renderer, f"{platform} ({name})" + (f", device {device}" if platform == "egl" else "")
            )
        except Exception as error:
            failures.append(f"  {platform}: {_explain(platform, devices, error)}")
    if not chosen:
        del os.environ["PYOPENGL_PLATFORM"]
    raise OpenGLError(_advice(chosen, failures))


def _explain(platform: str, devices: list["_Device"] | None, error: Exception) -> str:
    """Say why a platform could not be opened."""
    if platform == "egl" and devices == []:
        return (
            "EGL is there but knows no device: no driver is installed for it. In a container with an NVIDIA GPU, set "
            "NVIDIA_DRIVER_CAPABILITIES=all when it is started."
        )
    if platform == "egl" and devices and not any(device.opens for device in devices):
        return f"EGL lists {_listing(devices)}; none of them can be opened: {_UNOPENED}."
    if platform == "osmesa" and isinstance(error, ImportError):
        return f"the library libOSMesa was not found (package {_PACKAGES['osmesa']})."
    if getattr(getattr(error, "baseOperation", None), "__name__", "") == "eglCreateContext":
        return "the driver offers no OpenGL 4.1 with the core profile, which pyrender asks for; a newer one may."
    return " ".join(f"{type(error).__name__}: {error}".split())


def _advice(chosen: str | None, failures: list[str]) -> str:
    """Return the message for when no platform could be opened."""
    lines = ["No offscreen OpenGL could be loaded. Tried:", *failures]
    if chosen:
        lines.append(
            f"PYOPENGL_PLATFORM={chosen} is set in the environment: nothing else was tried; unset it to try all."
        )
    lines += ["On Debian or Ubuntu install one with", f"  {install_command(chosen or 'egl')}"]
    steering = [f"  {name}={os.environ[name]}" for name in _STEERING if os.environ.get(name)]
    if steering:
        lines += [
            "These environment variables decide which OpenGL is loaded; if it is installed, try without:",
            *steering,
        ]
    lines += ["Check it with", "  python -m render.optics.rasterizer"]
    return "\n".join(lines)


def _lean(pyrender: types.ModuleType, gl: types.ModuleType) -> Any:
    """Return pyrender's renderer with a framebuffer of one sample a pixel, of which only the colours are read back."""

    class Lean(pyrender.Renderer):
        def _configure_main_framebuffer(self) -> None:
            size = (self.viewport_width, self.viewport_height)
            if self._main_fb is not None and self._main_fb_dims != size:
                self._delete_main_framebuffer()
            if self._main_fb is None:
                self._main_cb, self._main_db = gl.glGenRenderbuffers(2)
                self._main_fb = self._main_fb_ms = gl.glGenFramebuffers(1)
                gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, self._main_fb)
                for attachment, kind, storage in (
                    (gl.GL_COLOR_ATTACHMENT0, gl.GL_RGBA, self._main_cb),
                    (gl.GL_DEPTH_ATTACHMENT, gl.GL_DEPTH_COMPONENT24, self._main_db),
                ):
                    gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, storage)
                    gl.glRenderbufferStorage(gl.GL_RENDERBUFFER, kind, *size)
                    gl.glFramebufferRenderbuffer(gl.GL_DRAW_FRAMEBUFFER, attachment, gl.GL_RENDERBUFFER, storage)
                self._main_fb_dims = size

        def _delete_main_framebuffer(self) -> None:
            if self._main_fb is not None:
                gl.glDeleteFramebuffers(1, [self._main_fb])
                gl.glDeleteRenderbuffers(2, [self._main_cb, self._main_db])
            self._main_fb = self._main_fb_ms = self._main_cb = self._main_db = None
            self._main_fb_dims = (None, None)

        def _read_main_framebuffer(self, scene: Any, flags: int) -> tuple[np.ndarray, None]:
            width, height = cast(tuple[int, int], self._main_fb_dims)
            gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._main_fb)
            pixels = gl.glReadPixels(0, 0, width, height, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE)
            return np.frombuffer(pixels, np.uint8).reshape(height, width, 4)[::-1], None

    # The context is current: it was opened just now.
    return Lean(_SUPERSAMPLING * IMAGE_WIDTH, _SUPERSAMPLING * IMAGE_HEIGHT)


def _accept_references() -> None:
    """Let PyOpenGL 3.1.0 pass `ctypes.byref(...)` on Python 3.12, which gave that type another module name."""
    handlers = importlib.import_module("OpenGL.arrays.ctypesparameters")
    handlers.CtypesParameterHandler().register((type(ctypes.byref(ctypes.c_int())),))


def _complete_osmesa() -> None:
    """Add what pyrender needs of OSMesa and its pinned PyOpenGL 3.1.0 lacks (values from GL/osmesa.h)."""
    osmesa = importlib.import_module("OpenGL.osmesa")
    if hasattr(osmesa, "OSMesaCreateContextAttribs"):
        return
    platform = importlib.import_module("OpenGL.platform").PLATFORM
    platform.GetCurrentContext.restype = ctypes.c_void_p  # PyOpenGL uses contexts as dictionary keys
    create = platform.OSMesa.OSMesaCreateContextAttribs
    create.argtypes, create.restype = [ctypes.POINTER(ctypes.c_int), ctypes.c_void_p], ctypes.c_void_p
    vars(osmesa).update(
        OSMesaCreateContextAttribs=lambda attributes, share: create(
            (ctypes.c_int * len(attributes))(*attributes), share
        ),
        OSMESA_FORMAT=0x22,
        OSMESA_DEPTH_BITS=0x30,
        OSMESA_PROFILE=0x33,
        OSMESA_CORE_PROFILE=0x34,
        OSMESA_CONTEXT_MAJOR_VERSION=0x36,
        OSMESA_CONTEXT_MINOR_VERSION=0x37,
    )


class _Device(NamedTuple):
    """A device that EGL lists.

    Attributes:
        number: What EGL_DEVICE_ID calls it.
        file: Its DRM file; "" if it has none.
        software: Whether it is a processor rather than a GPU.
        opens: Whether it can be opened.
    """

    number: int
    file: str
    software: bool
    opens: bool = True


_UNOPENED = "the driver is missing, or this user has no right to the device's file"


def _listing(devices: Sequence[_Device]) -> str:
    """Return the devices in words, for messages."""
    kinds = ((one.number, "the processor" if one.software else one.file or "a GPU") for one in devices)
    return ", ".join(f"{number} ({kind})" for number, kind in kinds) or "no device"


def _in_turn(devices: Sequence[_Device]) -> list[int]:
    """Return the numbers of the devices that workers take in turn: the GPUs, or the first device without any."""
    devices = [device for device in devices if device.opens]
    gpus: dict[str, int] = {}  # a GPU can be offered twice, by its own driver and by Mesa: the first counts
    for device in devices:
        if not device.software:
            gpus.setdefault(device.file or f"device {device.number}", device.number)
    return list(gpus.values()) or [device.number for device in devices[:1]]


def choose_device(worker: int) -> None:
    """Set EGL_DEVICE_ID for this process, before OpenGL is opened: GPUs in turn, workers counted from 0.

    A value that is set already stays. Without EGL, or where no device can be opened, nothing is set.
    """
    if os.environ.get("EGL_DEVICE_ID") or (os.environ.get("PYOPENGL_PLATFORM") or "egl") != "egl":
        return
    numbers = _in_turn(_egl_devices() or ())
    if numbers:
        os.environ["EGL_DEVICE_ID"] = str(numbers[worker % len(numbers)])


def _device_number(devices: list[_Device] | None) -> int:
    """Return the device to draw with: that of EGL_DEVICE_ID, or the first worker's.

    Args:
        devices: From `_egl_devices`.

    Raises:
        OpenGLError: EGL_DEVICE_ID names no device that can be opened.
    """
    chosen = os.environ.get("EGL_DEVICE_ID", "")
    if not devices:  # the variable is not what is at fault
        return int(chosen) if chosen.isdecimal() else 0
    if not chosen:
        return next(iter(_in_turn(devices)), 0)
    found = [device for device in devices if str(device.number) == chosen]
    if found and found[0].opens:
        return found[0].number
    if found:
        what = f"cannot be opened: {_UNOPENED}"
    else:
        what = f"is no number of a device: EGL lists {_listing(devices)}"
    usable = [device for device in devices if device.opens]
    raise OpenGLError(
        f"EGL_DEVICE_ID={chosen} is set in the environment and {what}. "
        + (
            f"Unset it, or set it to the number of one that can be opened: {_listing(usable)}."
            if usable
            else "Unset it."
        )
    )


@contextlib.contextmanager
def _device_chosen(number: int) -> Iterator[None]:
    """Set EGL_DEVICE_ID while pyrender opens a device; a worker that is spawned later chooses its own."""
    before = os.environ.get("EGL_DEVICE_ID")
    os.environ["EGL_DEVICE_ID"] = str(number)
    try:
        yield
    finally:
        if before is None:
            del os.environ["EGL_DEVICE_ID"]
        else:
            os.environ["EGL_DEVICE_ID"] = before


def _egl_devices() -> list[_Device] | None:
    """Return the devices that EGL lists, numbered as in pyrender; None where EGL is missing or too old to say.

    By ctypes, as PyOpenGL can only be imported for a platform that is settled. EGL_EXT_device_enumeration,
    EGL_EXT_device_query, EGL_EXT_device_drm, EGL_MESA_device_software; numbers from EGL/eglext.h.
    """
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return None
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    pointer, integer = ctypes.c_void_p, ctypes.c_int

    def function(name: str, result: Any, *arguments: Any) -> Any:
        address = egl.eglGetProcAddress(name.encode())
        return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None

    query = function("eglQueryDevicesEXT", ctypes.c_uint, integer, pointer, ctypes.POINTER(integer))
    if query is None:
        return None
    count = integer()
    if not query(0, None, ctypes.byref(count)) or not count.value:
        return []
    handles = (pointer * count.value)()
    if not query(count.value, handles, ctypes.byref(count)):
        return []
    describe_device = function("eglQueryDeviceStringEXT", ctypes.c_char_p, pointer, integer)
    get_display = function("eglGetPlatformDisplayEXT", pointer, ctypes.c_uint, pointer, pointer)
    initialize = function("eglInitialize", ctypes.c_uint, pointer, pointer, pointer)
    terminate = function("eglTerminate", ctypes.c_uint, pointer)
    if None in (describe_device, get_display, initialize, terminate):
        return None
    devices = []
    for number, handle in enumerate(handles[: count.value]):
        display = get_display(0x313F, handle, None)  # EGL_PLATFORM_DEVICE_EXT
        opens = bool(display and initialize(display, None, None))
        if opens:
            terminate(display)
        extensions = (describe_device(handle, 0x3055) or b"").decode().split()  # EGL_EXTENSIONS
        file = describe_device(handle, 0x3233) if "EGL_EXT_device_drm" in extensions else None  # its DRM device file
        devices.append(_Device(number, (file or b"").decode(), "EGL_MESA_device_software" in extensions, opens))
    return devices


def describe() -> str:
    """Return which offscreen OpenGL this process draws with, such as "egl (llvmpipe ...), device 0".

    Raises:
        OpenGLError: None could be loaded.
    """
    return _open().description


class Rasterizer:
    """Draws persons in pictures of one size.

    Args:
        height, width: Size of the pictures.
        supersampling: Pictures are drawn this many times larger and averaged.

    Raises:
        OpenGLError: No offscreen OpenGL could be loaded.
    """

    def __init__(self, height: int = IMAGE_HEIGHT, width: int = IMAGE_WIDTH, supersampling: int = _SUPERSAMPLING):
        self.height = height
        self.width = width
        self.supersampling = supersampling
        _open()

    def draw(
        self,
        meshes: Sequence[trimesh.Trimesh],
        texture: np.ndarray,
        camera: Camera,
        light: Light | Sequence[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw meshes that share one texture.

        Args:
            meshes: With UV coordinates (v up), vertex normals, and `metadata["double_sided"]`; metres. One with
                `metadata["texture"]`, uint8 [height width 3], is drawn with that instead of the shared texture.
            texture: uint8 [height width 3].
            camera: In the meshes' frame, with pixels of this picture size.
            light: In the meshes' frame, or the irradiance [V 3] of each mesh's vertices; None draws the texture's own
                colours.

        Returns:
            Colour float32 [height width 3] in [0, 1], already multiplied by alpha, and alpha float32 [height width].
        """
        if light is None:
            shades = [np.ones((len(mesh.vertices), 3), np.float32) for mesh in meshes]
        else:
            irradiances = light_module.irradiance_of_meshes(meshes, light) if isinstance(light, Light) else light
            shades = [irradiance ** np.float32(1.0 / light_module.GAMMA) for irradiance in irradiances]
        groups: dict[tuple[int, bool], list[int]] = {}
        for index, mesh in enumerate(meshes):
            key = (id(mesh.metadata.get("texture", texture)), bool(mesh.metadata.get("double_sided")))
            groups.setdefault(key, []).append(index)
        primitives = [
            self._primitive([meshes[index] for index in group], [shades[index] for index in group], texture)
            for group in groups.values()
        ]
        scale = self.supersampling
        samples = self._samples(primitives, camera, scale)
        rows = sum((samples[row::scale] for row in range(1, scale)), start=samples[::scale].astype(np.uint16))
        total = sum((rows[:, column::scale] for column in range(1, scale)), start=rows[:, ::scale])
        averaged = total / np.float32(255 * scale * scale)
        return averaged[..., :3], averaged[..., 3]

    def number_faces(self, meshes: Sequence[trimesh.Trimesh], camera: Camera) -> np.ndarray:
        """Return which triangle is seen through each pixel's centre, int32 [height width].

        Triangles are counted from 0 over all meshes in order; -1 is none. Sides count as in `draw`.
        """
        pyrender = _open().pyrender
        corners = np.concatenate([np.asarray(mesh.vertices, np.float32)[mesh.faces] for mesh in meshes])
        sides = np.repeat(
            [bool(one.metadata.get("double_sided")) for one in meshes], [len(one.faces) for one in meshes]
        )
        number = np.arange(1, 1 + len(corners))
        colors = np.stack([number & 255, number >> 8 & 255, number >> 16], axis=1) / np.float32(255)
        primitives = [
            pyrender.Primitive(
                positions=corners[sides == both].reshape(-1, 3),
                color_0=colors[sides == both].repeat(3, axis=0),
                material=pyrender.MetallicRoughnessMaterial(alphaMode="OPAQUE", doubleSided=bool(both)),
            )
            for both in np.unique(sides)
        ]
        return self._samples(primitives, camera, 1)[..., :3].astype(np.int32) @ np.array([1, 256, 65536], np.int32) - 1

    def _samples(self, primitives: Sequence[Any], camera: Camera, scale: int) -> np.ndarray:
        """Draw a picture `scale` times larger, uint8 [scale * height, scale * width, 4]."""
        pyrender, renderer, _ = _open()
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh(primitives))
        intrinsics = pyrender.IntrinsicsCamera(
            fx=camera.focal_columns * scale,
            fy=camera.focal * scale,
            cx=camera.center[0] * scale,
            cy=camera.center[1] * scale,
            znear=_NEAR,
            zfar=_FAR,
        )
        scene.add(intrinsics, pose=camera.pose())
        renderer.viewport_width = self.width * scale
        renderer.viewport_height = self.height * scale
        samples, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA | pyrender.RenderFlags.FLAT)
        if samples.shape[-1] == 3:  # OSMesa's picture has no alpha channel
            samples = np.concatenate([samples, (depth[..., None] > 0.0) * np.uint8(255)], axis=-1)
        return samples

    def _primitive(self, meshes: Sequence[trimesh.Trimesh], shades: Sequence[np.ndarray], texture: np.ndarray) -> Any:
        """Join meshes that agree in texture and sides in one pyrender.Primitive: each costs some forty OpenGL calls."""
        pyrender = _open().pyrender
        metadata = meshes[0].metadata
        pixels: np.ndarray = metadata.get("texture", texture)
        starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
        return pyrender.Primitive(
            positions=np.concatenate([np.asarray(mesh.vertices, np.float32) for mesh in meshes]),
            texcoord_0=np.concatenate([np.asarray(cast(Any, mesh.visual).uv, np.float32) for mesh in meshes]),
            color_0=np.concatenate(shades),
            indices=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]),
            material=pyrender.MetallicRoughnessMaterial(
                baseColorTexture=_texture(pixels.tobytes(), pixels.shape),
                alphaMode="OPAQUE",
                doubleSided=bool(metadata.get("double_sided")),
            ),
        )


@functools.lru_cache(maxsize=8)
def _texture(pixels: bytes, shape: tuple[int, ...]) -> Any:
    """Return the pyrender.Texture of an array's bytes; it stays in OpenGL for the next pictures."""
    pyrender = _open().pyrender
    # No mipmaps: a person fills the picture, texels and samples are of one size, and coarse levels would mix islands.
    linear, clamp = pyrender.constants.GLTF.LINEAR, pyrender.constants.GLTF.CLAMP_TO_EDGE
    sampler = pyrender.Sampler(magFilter=linear, minFilter=linear, wrapS=clamp, wrapT=clamp)
    return pyrender.Texture(
        source=np.frombuffer(pixels, np.uint8).reshape(shape), source_channels="RGB", sampler=sampler
    )


def main() -> int:
    """Print the offscreen OpenGL that was found, or how to install one; return the exit status."""
    try:
        print(f"offscreen OpenGL: {describe()}")
    except OpenGLError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
