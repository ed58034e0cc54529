"""Draws textured trimesh objects off screen: the only file that touches pyrender and OpenGL.

`python -m render.rasterizer` checks that an offscreen OpenGL loads: it prints which and exits 0, or prints the command
that installs one and exits 1. EGL is tried first, then OSMesa; PYOPENGL_PLATFORM in the environment decides instead.
Where EGL knows several devices, EGL_DEVICE_ID in the environment says which; `choose_device` sets it for a worker.

pyrender 0.1.45 opens the context: one for the life of a process, in its main thread, created after any fork (workers
are spawned). All `Rasterizer` objects of a process share it. Drawing is a few OpenGL calls of our own, which costs a
third of pyrender's renderer on a processor: no multisampling on top of the supersampling, no depth read back, nothing
built for a picture and thrown away. The shader gives texture colours back exactly; light is multiplied in as vertex
colours (`render.light`).
"""

import ctypes
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import trimesh

from render import light as light_module
from render.camera import IMAGE_HEIGHT, IMAGE_WIDTH, Camera
from render.light import Light

_PACKAGES = "libegl1 libgl1-mesa-dri"


class OpenGLError(RuntimeError):
    """No offscreen OpenGL. The message says what was tried and how to install one."""


def install_command() -> str:
    """The command that installs a software OpenGL on Debian and Ubuntu."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {_PACKAGES}"


class _OpenGL(NamedTuple):
    context: Any  # kept alive
    canvas: "_Canvas"
    description: str


@functools.cache
def _open() -> _OpenGL:
    """Opens OpenGL on the first platform that works."""
    chosen = os.environ.get("PYOPENGL_PLATFORM")
    failures = []
    for platform in (chosen,) if chosen else ("egl", "osmesa"):
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
                context = _create_context(platform)
                gl = importlib.import_module("OpenGL.GL")
                name = cast(bytes, gl.glGetString(gl.GL_RENDERER)).decode()
                canvas = _Canvas(gl)
            device = f", device {os.environ.get('EGL_DEVICE_ID', '0')}" if platform == "egl" else ""
            return _OpenGL(context, canvas, f"{platform} ({name}){device}")
        except Exception as error:
            failures.append(f"  {platform}: {type(error).__name__}: {error}")
    if chosen is None:
        del os.environ["PYOPENGL_PLATFORM"]
    raise OpenGLError(
        "No offscreen OpenGL could be loaded. Tried:\n"
        + "\n".join(failures)
        + f"\nOn Debian or Ubuntu install one with\n  {install_command()}\n"
        "and check it with\n  python -m render.rasterizer"
    )


def _create_context(platform: str) -> Any:
    """pyrender's platform object, its context made current."""
    module = importlib.import_module(f"pyrender.platforms.{platform}")
    if platform == "egl":
        device = module.get_device_by_index(int(os.environ.get("EGL_DEVICE_ID", "0")))
        context = module.EGLPlatform(IMAGE_WIDTH, IMAGE_HEIGHT, device=device)
    else:
        context = module.OSMesaPlatform(IMAGE_WIDTH, IMAGE_HEIGHT)
    context.init_context()
    context.make_current()
    return context


def _accept_references() -> None:
    """Lets PyOpenGL 3.1.0 pass `ctypes.byref(...)` on Python 3.12, which gave that type another module name."""
    handlers = importlib.import_module("OpenGL.arrays.ctypesparameters")
    handlers.CtypesParameterHandler().register((type(ctypes.byref(ctypes.c_int())),))


def _complete_osmesa() -> None:
    """Adds what pyrender needs of OSMesa and PyOpenGL 3.1.0, which pyrender pins, lacks (values from GL/osmesa.h)."""
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
    """A device that EGL can open: its number (EGL_DEVICE_ID), its DRM file ("" if it has none), and whether it is a
    processor rather than a GPU."""

    number: int
    file: str
    software: bool


def choose_device(worker: int) -> None:
    """Sets EGL_DEVICE_ID for this process, before OpenGL is opened: GPUs in turn, workers counted from 0.

    A value that is set already stays. Without EGL, or with one device, nothing is set.
    """
    if "EGL_DEVICE_ID" in os.environ or os.environ.get("PYOPENGL_PLATFORM", "egl") != "egl":
        return
    devices = _egl_devices()
    gpus: dict[str, int] = {}  # a GPU can be offered twice, by its own driver and by Mesa: the first counts
    for device in devices:
        if not device.software:
            gpus.setdefault(device.file or f"device {device.number}", device.number)
    numbers = list(gpus.values()) or [device.number for device in devices[:1]]
    if numbers:
        os.environ["EGL_DEVICE_ID"] = str(numbers[worker % len(numbers)])


def _egl_devices() -> list[_Device]:
    """The devices that EGL can open, numbered as pyrender numbers them; none where EGL is missing or too old to say.

    By ctypes, as PyOpenGL can only be imported for a platform that is settled. EGL_EXT_device_enumeration,
    EGL_EXT_device_query, EGL_EXT_device_drm, EGL_MESA_device_software; numbers from EGL/eglext.h.
    """
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return []
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    pointer, integer = ctypes.c_void_p, ctypes.c_int

    def function(name: str, result: Any, *arguments: Any) -> Any:
        address = egl.eglGetProcAddress(name.encode())
        return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None

    query = function("eglQueryDevicesEXT", ctypes.c_uint, integer, pointer, ctypes.POINTER(integer))
    describe_device = function("eglQueryDeviceStringEXT", ctypes.c_char_p, pointer, integer)
    get_display = function("eglGetPlatformDisplayEXT", pointer, ctypes.c_uint, pointer, pointer)
    initialize = function("eglInitialize", ctypes.c_uint, pointer, pointer, pointer)
    terminate = function("eglTerminate", ctypes.c_uint, pointer)
    if None in (query, describe_device, get_display, initialize, terminate):
        return []
    count = integer()
    if not query(0, None, ctypes.byref(count)):
        return []
    handles = (pointer * count.value)()
    if not query(count.value, handles, ctypes.byref(count)):
        return []
    devices = []
    for number, handle in enumerate(handles[: count.value]):
        display = get_display(0x313F, handle, None)  # EGL_PLATFORM_DEVICE_EXT
        if not display or not initialize(display, None, None):
            continue  # listed, but its driver is missing or it belongs to somebody else
        terminate(display)
        extensions = (describe_device(handle, 0x3055) or b"").decode().split()  # EGL_EXTENSIONS
        file = describe_device(handle, 0x3233) if "EGL_EXT_device_drm" in extensions else None  # its DRM device file
        devices.append(_Device(number, (file or b"").decode(), "EGL_MESA_device_software" in extensions))
    return devices


def describe() -> str:
    """Which offscreen OpenGL this process draws with, such as "egl (llvmpipe ...), device 0".

    Raises:
        OpenGLError: None could be loaded.
    """
    return _open().description


_VERTEX_SHADER = """#version 330 core
layout(location = 0) in vec3 position;
layout(location = 1) in vec2 texture_position;
layout(location = 2) in vec3 vertex_shade;
uniform mat4 clip_from_world;
out vec2 uv;
out vec3 shade;
void main() {
    gl_Position = clip_from_world * vec4(position, 1.0);
    uv = texture_position;
    shade = vertex_shade;
}"""
_FRAGMENT_SHADER = """#version 330 core
in vec2 uv;
in vec3 shade;
uniform sampler2D image;
out vec4 color;
void main() { color = vec4(clamp(texture(image, uv).rgb * shade, 0.0, 1.0), 1.0); }"""
_NEAR, _FAR = 0.2, 100.0  # metres


class _Piece(NamedTuple):
    """What `_Canvas.draw` takes of a mesh: float32 [V 3], [V 2], [V 3]; uint32 [F 3]; uint8 [h w 3]."""

    positions: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    faces: np.ndarray
    texture: np.ndarray
    double_sided: bool


class _Canvas:
    """The OpenGL objects of the process: a shader program, buffers, one texture, a framebuffer for each size."""

    def __init__(self, gl: Any):
        self._gl = gl
        shaders = importlib.import_module("OpenGL.GL.shaders")
        self._vertex_array = gl.glGenVertexArrays(1)
        gl.glBindVertexArray(self._vertex_array)  # core profiles validate programs with one bound
        self._program = shaders.compileProgram(
            shaders.compileShader(_VERTEX_SHADER, gl.GL_VERTEX_SHADER),
            shaders.compileShader(_FRAGMENT_SHADER, gl.GL_FRAGMENT_SHADER),
        )
        self._matrix = gl.glGetUniformLocation(self._program, "clip_from_world")
        self._attributes = gl.glGenBuffers(3)
        self._indices = gl.glGenBuffers(1)
        self._texture = gl.glGenTextures(1)
        gl.glBindTexture(gl.GL_TEXTURE_2D, self._texture)
        # No mipmaps: a person fills the picture, texels and samples are of one size, and coarse levels would mix islands.
        for name in (gl.GL_TEXTURE_MIN_FILTER, gl.GL_TEXTURE_MAG_FILTER):
            gl.glTexParameteri(gl.GL_TEXTURE_2D, name, gl.GL_LINEAR)
        for name in (gl.GL_TEXTURE_WRAP_S, gl.GL_TEXTURE_WRAP_T):
            gl.glTexParameteri(gl.GL_TEXTURE_2D, name, gl.GL_CLAMP_TO_EDGE)
        gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
        self._framebuffer = functools.cache(self._make_framebuffer)

    def _make_framebuffer(self, height: int, width: int) -> Any:
        gl = self._gl
        framebuffer = gl.glGenFramebuffers(1)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, framebuffer)
        for attachment, kind in (
            (gl.GL_COLOR_ATTACHMENT0, gl.GL_RGBA8),
            (gl.GL_DEPTH_ATTACHMENT, gl.GL_DEPTH_COMPONENT24),
        ):
            storage = gl.glGenRenderbuffers(1)
            gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, storage)
            gl.glRenderbufferStorage(gl.GL_RENDERBUFFER, kind, width, height)
            gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, attachment, gl.GL_RENDERBUFFER, storage)
        status = gl.glCheckFramebufferStatus(gl.GL_FRAMEBUFFER)
        if status != gl.GL_FRAMEBUFFER_COMPLETE:
            raise OpenGLError(f"OpenGL offers no framebuffer of {width} x {height} pixels (status {status}).")
        return framebuffer

    def draw(self, pieces: Sequence[_Piece], matrix: np.ndarray, height: int, width: int) -> np.ndarray:
        """RGBA uint8 [height width 4]; `matrix` [4 4] takes positions to clip coordinates with y down."""
        gl = self._gl
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._framebuffer(height, width))
        gl.glViewport(0, 0, width, height)
        gl.glEnable(gl.GL_DEPTH_TEST)
        gl.glFrontFace(gl.GL_CW)  # y is turned over, so that row 0 is the picture's first
        gl.glClearColor(0.0, 0.0, 0.0, 0.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
        gl.glUseProgram(self._program)
        gl.glUniformMatrix4fv(self._matrix, 1, gl.GL_TRUE, np.ascontiguousarray(matrix, np.float32))
        gl.glBindVertexArray(self._vertex_array)
        gl.glBindBuffer(gl.GL_ELEMENT_ARRAY_BUFFER, self._indices)
        loaded = None
        for piece in pieces:
            if piece.texture is not loaded:
                loaded = piece.texture
                rows = np.ascontiguousarray(loaded[::-1])  # v is up
                size = (rows.shape[1], rows.shape[0])
                gl.glTexImage2D(
                    gl.GL_TEXTURE_2D, 0, gl.GL_RGB8, *size, 0, gl.GL_RGB, gl.GL_UNSIGNED_BYTE, rows
                )  # fmt: skip
            for location, values in enumerate((piece.positions, piece.uv, piece.shade)):
                data = np.ascontiguousarray(values, np.float32)
                gl.glBindBuffer(gl.GL_ARRAY_BUFFER, self._attributes[location])
                gl.glBufferData(gl.GL_ARRAY_BUFFER, data.nbytes, data, gl.GL_STREAM_DRAW)
                gl.glEnableVertexAttribArray(location)
                gl.glVertexAttribPointer(location, data.shape[1], gl.GL_FLOAT, gl.GL_FALSE, 0, ctypes.c_void_p(0))
            faces = np.ascontiguousarray(piece.faces, np.uint32)
            gl.glBufferData(gl.GL_ELEMENT_ARRAY_BUFFER, faces.nbytes, faces, gl.GL_STREAM_DRAW)
            (gl.glDisable if piece.double_sided else gl.glEnable)(gl.GL_CULL_FACE)
            gl.glDrawElements(gl.GL_TRIANGLES, faces.size, gl.GL_UNSIGNED_INT, ctypes.c_void_p(0))
        pixels = gl.glReadPixels(0, 0, width, height, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 4)


class Rasterizer:
    """Draws persons in pictures of one size.

    Args:
        height, width: Size of the pictures.
        supersampling: Pictures are drawn this many times larger and averaged.

    Raises:
        OpenGLError: No offscreen OpenGL could be loaded.
    """

    def __init__(self, height: int = IMAGE_HEIGHT, width: int = IMAGE_WIDTH, supersampling: int = 3):
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
        """Draws meshes that share one texture.

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
        pieces = [
            _Piece(
                positions=mesh.vertices,
                uv=cast(Any, mesh.visual).uv,
                shade=shade,
                faces=mesh.faces,
                texture=mesh.metadata.get("texture", texture),
                double_sided=bool(mesh.metadata.get("double_sided")),
            )
            for mesh, shade in zip(meshes, shades, strict=True)
        ]
        scale = self.supersampling
        matrix = _clip_from_world(camera, self.height, self.width)
        samples = _open().canvas.draw(pieces, matrix, scale * self.height, scale * self.width)
        rows = sum((samples[row::scale] for row in range(1, scale)), start=samples[::scale].astype(np.uint16))
        total = sum((rows[:, column::scale] for column in range(1, scale)), start=rows[:, ::scale])
        averaged = total / np.float32(255 * scale * scale)
        return averaged[..., :3], averaged[..., 3]


def _clip_from_world(camera: Camera, height: int, width: int) -> np.ndarray:
    """Matrix [4 4] from the camera's world to OpenGL's clip coordinates, y down."""
    clip_from_camera = np.array(
        [
            [2.0 * camera.focal / width, 0.0, 1.0 - 2.0 * camera.center[0] / width, 0.0],
            [0.0, -2.0 * camera.focal / height, 1.0 - 2.0 * camera.center[1] / height, 0.0],
            [0.0, 0.0, (_FAR + _NEAR) / (_NEAR - _FAR), 2.0 * _FAR * _NEAR / (_NEAR - _FAR)],
            [0.0, 0.0, -1.0, 0.0],
        ]
    )
    return clip_from_camera @ np.linalg.inv(camera.pose())


def main() -> int:
    """Prints the offscreen OpenGL that was found, or how to install one; returns the exit status."""
    try:
        print(f"offscreen OpenGL: {describe()}")
    except OpenGLError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
