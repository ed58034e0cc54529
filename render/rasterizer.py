"""Draws textured trimesh objects off screen: the only file that touches pyrender and OpenGL.

`python -m render.rasterizer` checks that an offscreen OpenGL loads: it prints which and exits 0, or prints the command
that installs one and exits 1. EGL is tried first, then OSMesa; PYOPENGL_PLATFORM in the environment decides instead.

What pyrender 0.1.45 asks for: one OffscreenRenderer for the life of a process, in its main thread, created after any
fork (workers are spawned). All `Rasterizer` objects of a process share it. The FLAT shader gives texture colours back
exactly, so light is multiplied in as vertex colours (`render.light`).
"""

import ctypes
import functools
import importlib
import os
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Any, cast

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


@functools.cache
def _open() -> tuple[types.ModuleType, Any, str]:
    """Loads pyrender on the first platform that works; returns it, the renderer of the process and a description."""
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
                pyrender = importlib.import_module("pyrender")
                _accept_references()
                renderer = pyrender.OffscreenRenderer(2 * IMAGE_WIDTH, 2 * IMAGE_HEIGHT)
                gl = importlib.import_module("OpenGL.GL")
                name = cast(bytes, gl.glGetString(gl.GL_RENDERER)).decode()
            return pyrender, renderer, f"{platform} ({name})"
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


def describe() -> str:
    """Which offscreen OpenGL this process draws with, such as "egl (llvmpipe ...)".

    Raises:
        OpenGLError: None could be loaded.
    """
    return _open()[2]


class Rasterizer:
    """Draws persons in pictures of one size.

    Args:
        height, width: Size of the pictures.
        supersampling: Pictures are drawn this many times larger and averaged.

    Raises:
        OpenGLError: No offscreen OpenGL could be loaded.
    """

    def __init__(self, height: int = IMAGE_HEIGHT, width: int = IMAGE_WIDTH, supersampling: int = 2):
        self.height = height
        self.width = width
        self.supersampling = supersampling
        _open()

    def draw(
        self, meshes: Sequence[trimesh.Trimesh], texture: np.ndarray, camera: Camera, light: Light | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws meshes that share one texture.

        Args:
            meshes: With UV coordinates (v up), vertex normals, and `metadata["double_sided"]`; metres. One with
                `metadata["texture"]`, uint8 [height width 3], is drawn with that instead of the shared texture.
            texture: uint8 [height width 3].
            camera: In the meshes' frame, with pixels of this picture size.
            light: In the meshes' frame; None draws the texture's own colours.

        Returns:
            Colour float32 [height width 3] in [0, 1], already multiplied by alpha, and alpha float32 [height width].
        """
        pyrender, renderer, _ = _open()
        scale = self.supersampling
        textures = [mesh.metadata.get("texture", texture) for mesh in meshes]
        images = {
            id(one): pyrender.Texture(source=one, source_channels="RGB", sampler=_sampler(pyrender)) for one in textures
        }
        if light is None:
            colors: Sequence[np.ndarray | None] = [None] * len(meshes)
        else:
            colors = [
                irradiance ** np.float32(1.0 / light_module.GAMMA)
                for irradiance in light_module.irradiance_of_meshes(meshes, light)
            ]
        primitives = [
            pyrender.Primitive(
                positions=mesh.vertices,
                texcoord_0=cast(Any, mesh.visual).uv,
                color_0=color,
                indices=mesh.faces,
                material=pyrender.MetallicRoughnessMaterial(
                    baseColorTexture=images[id(own)],
                    alphaMode="OPAQUE",
                    doubleSided=bool(mesh.metadata.get("double_sided")),
                ),
            )
            for mesh, own, color in zip(meshes, textures, colors, strict=True)
        ]
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh(primitives))
        intrinsics = pyrender.IntrinsicsCamera(
            fx=camera.focal * scale,
            fy=camera.focal * scale,
            cx=camera.center[0] * scale,
            cy=camera.center[1] * scale,
            znear=0.2,
            zfar=100.0,
        )
        scene.add(intrinsics, pose=camera.pose())
        renderer.viewport_width = self.width * scale
        renderer.viewport_height = self.height * scale
        color, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA | pyrender.RenderFlags.FLAT)
        if color.shape[-1] == 3:  # OSMesa's picture has no alpha channel
            color = np.concatenate([color, (depth[..., None] > 0.0) * np.uint8(255)], axis=-1)
        total = np.zeros((self.height, self.width, 4), np.float32)
        for row in range(scale):
            for column in range(scale):
                total += color[row::scale, column::scale]
        averaged = total / np.float32(255 * scale * scale)
        return averaged[..., :3], averaged[..., 3]


def _sampler(pyrender: types.ModuleType) -> Any:
    # No mipmaps: a person fills the picture, texels and samples are of one size, and coarse levels would mix islands.
    linear, clamp = pyrender.constants.GLTF.LINEAR, pyrender.constants.GLTF.CLAMP_TO_EDGE
    return pyrender.Sampler(magFilter=linear, minFilter=linear, wrapS=clamp, wrapT=clamp)


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
