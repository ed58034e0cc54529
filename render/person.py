"""Puts a person together: dressed and posed, as trimesh meshes that share one texture."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import trimesh
from scipy import sparse
from trimesh.visual import TextureVisuals

from render.accessories import meshes as accessory_meshes
from render.accessories.meshes import Wearer
from render.figure import garments, skirt
from render.figure.body import Body, BodyShape, RestBody
from render.figure.garments import Dressed
from render.figure.sheets import Part
from render.optics.light import Thinning, thin
from render.people import posing
from render.people.accessories import Accessory
from render.people.appearance import Appearance
from render.people.poses import Pose
from render.people.posing import Girth


@dataclasses.dataclass(frozen=True)
class Posed:
    """A dressed figure in a pose, in the frame of its meshes (see `Figure.meshes`), metres.

    Attributes:
        vertices: Dressed vertices of the body float32 [V 3], as `Body.surface` orders them.
        worn: Vertices float32 [N 3] by name of the attachment.
        transforms: Skinning transforms float32 [J 4 4], rest position (of `Figure.rest`, `Figure.dressed`) to position
            in the meshes' frame, for every joint (`Body.joint_index`).
    """

    vertices: np.ndarray
    worn: dict[str, np.ndarray]
    transforms: np.ndarray

    def place(self, points: np.ndarray, weights: np.ndarray, joints: Sequence[int]) -> np.ndarray:
        """Return where points [N 3] of the rest pose go by linear blend skinning, float32 [N 3].

        Args:
            points: Points in the frame of the rest pose.
            weights: Skinning weights [N K] or [K], summing to 1 over K.
            joints: Indices of the K joints.
        """
        blended = np.tensordot(np.asarray(weights, np.float32), self.transforms[list(joints), :3], axes=1)
        return (blended[..., :3] @ points[..., None].astype(np.float32))[..., 0] + blended[..., 3]


class Figure:
    """A person who is dressed once and posed any number of times.

    Attributes:
        body, appearance, shape: What the figure was made of.
        rest: The body under the clothes in its rest pose; `rest.joints` are its joints.
        dressed: The dressed body in its rest pose.
    """

    def __init__(self, body: Body, appearance: Appearance, shape: BodyShape):
        self.body, self.appearance, self.shape = body, appearance, shape
        self.rest: RestBody = body.rest(shape)
        self.dressed: Dressed = garments.dress(body, appearance, self.rest)

    @functools.cached_property
    def girth(self) -> Girth:
        """How wide the person is in these clothes."""
        prepared, vertices = _prepare(self.body), self.dressed.vertices
        return Girth(
            clearance=float(np.abs(vertices[prepared.hips, 0]).max()) + posing.HALF_HAND,
            front=float(vertices[prepared.belly, 1].min()),
            back=float(vertices[prepared.belly, 1].max()),
        )

    def pose(self, pose: Pose) -> Posed:
        """Pose the body and what is worn on it by linear blend skinning, and set it down on the ground."""
        body, dressed, prepared = self.body, self.dressed, _prepare(self.body)
        transforms = pose_transforms(body, self.rest, pose, self.girth)
        middle = (self.rest.joints["upperleg01.L"] + self.rest.joints["upperleg01.R"]) / 2
        blended = (prepared.weights @ transforms[:, :3].reshape(-1, 12)).reshape(-1, 3, 4)
        vertices = np.einsum("vrc,vc->vr", blended[:, :, :3], dressed.vertices) + blended[:, :, 3]
        origin = np.array([0.0, middle[1], vertices[prepared.feet, 2].min()], np.float32)
        transforms[:, :3, 3] -= origin
        posed = Posed(vertices - origin, {}, transforms)
        for name, points in dressed.worn.items():
            attachment = body.attachments[name]
            weights = attachment.weights if dressed.skirt_weights is None or name != "skirt" else dressed.skirt_weights
            posed.worn[name] = posed.place(points, weights, [body.joint_index[joint] for joint in attachment.joints])
            if name == "skirt":
                posed.worn[name] = skirt.span_legs(posed.worn[name], posed.vertices[prepared.legs])
        return posed

    def meshes(self, pose: Pose, accessories: Sequence[Accessory] = ()) -> list[trimesh.Trimesh]:
        """Return the meshes of the person in a pose.

        Metres, Z up; the person faces -Y with the left hand on +X; the lowest point of the feet is at z = 0 and the
        origin is below the middle of the hips. Each mesh has UV coordinates into the shared texture (`paint_texture`;
        v up), unit vertex normals that are smooth across UV seams, and in `metadata` its name, `"part"`, and whether
        its back faces can be seen, `"double_sided"`.

        Args:
            pose: How the person stands.
            accessories: What the person carries; their meshes have a `metadata["texture"]` of their own.

        Returns:
            The body first, then what is worn on it ("skirt", "hair_long", ...), then the accessories.
        """
        posed = self.pose(pose)
        wearer = self._wearer(posed) if accessories else None
        if wearer:
            accessory_meshes.press_hair(accessories, wearer)
        thinnings = _prepare(self.body).thinnings
        hidden = self.dressed.hidden
        faces = self.body.part.faces
        if hidden.any():
            faces = faces[~hidden[self.body.part.triangles].all(axis=1)]
        meshes = [_mesh("body", posed.vertices, self.body.part, thinnings["body"], faces)]
        for name, points in posed.worn.items():
            part = self.body.attachments[name].part
            kept = part.faces[self.dressed.skirt_faces] if name == "skirt" else part.faces
            meshes.append(_mesh(name, points, part, thinnings[name], kept))
        if wearer:
            wearer.normals[self.body.part.vertex_map] = meshes[0].vertex_normals
            meshes += accessory_meshes.make_meshes(accessories, wearer)
        return meshes

    def _wearer(self, posed: Posed) -> Wearer:
        normals = np.zeros_like(posed.vertices)  # known when the body's mesh is made
        return Wearer(self.body, self.rest, posed.transforms, posed.vertices, normals, posed.worn)


def build_person(
    body: Body, appearance: Appearance, shape: BodyShape, pose: Pose, accessories: Sequence[Accessory] = ()
) -> list[trimesh.Trimesh]:
    """Return the meshes of one person in one pose: `Figure(body, appearance, shape).meshes(pose, accessories)`."""
    return Figure(body, appearance, shape).meshes(pose, accessories)


def _mesh(name: str, vertices: np.ndarray, part: Part, thinning: Thinning, faces: np.ndarray) -> trimesh.Trimesh:
    mesh = trimesh.Trimesh(
        vertices=vertices[part.vertex_map],
        faces=faces,
        vertex_normals=_normals(part, vertices),
        visual=TextureVisuals(uv=part.uv),
        process=False,
    )
    mesh.metadata.update(part=name, double_sided=name != "body", thinning=thinning)
    return mesh


@dataclasses.dataclass(frozen=True, eq=False)
class _Prepared:
    """What posing needs of a body, in the form that is fastest to use.

    Attributes:
        weights: Skinning weights, sparse float32 [V J].
        hips, belly, feet: Indices of their vertices, int64 [N].
        legs: Every third vertex from the middle of the thighs to the ankles, int64 [N].
        thinnings: Vertices at which light is computed, by the name of the mesh.
    """

    weights: sparse.csr_array
    hips: np.ndarray
    belly: np.ndarray
    feet: np.ndarray
    legs: np.ndarray
    thinnings: dict[str, Thinning]


@functools.cache
def _prepare(body: Body) -> _Prepared:
    s = body.surface
    parts = {"body": (body.reference.vertices, body.part)}
    parts |= {name: (attachment.vertices, attachment.part) for name, attachment in body.attachments.items()}
    return _Prepared(
        weights=sparse.csr_array(np.asarray(body.model.skin_weights, np.float32)),
        hips=np.flatnonzero((s.group("trunk", "upper_leg") > 0.5) & (np.abs(s.position[:, 2]) < 0.14)),
        belly=np.flatnonzero((s.group("trunk") > 0.5) & (s.position[:, 2] > 0.02) & (s.position[:, 2] < 0.40)),
        feet=np.flatnonzero(s.group("foot") > 0.5),
        legs=np.flatnonzero((s.group("upper_leg", "lower_leg") > 0.6) & (s.leg > 0.45) & (s.leg < 1.9))[::3],
        thinnings={
            name: thin(vertices[part.vertex_map], _normals(part, vertices), part.faces)
            for name, (vertices, part) in parts.items()
        },
    )


@functools.cache
def _triangle_sums(part: Part) -> sparse.csr_array:
    """Return the sparse matrix float32 [K T] that sums over the triangles at each vertex, across UV seams."""
    count = len(part.triangles)
    ones = np.ones(3 * count, np.float32)
    welded = sparse.csr_array((ones, (part.triangles.ravel(), np.repeat(np.arange(count), 3))))
    return welded[part.vertex_map]


def _normals(part: Part, vertices: np.ndarray) -> np.ndarray:
    """Return area-weighted unit normals float32 [K 3] of a part's own vertices, like `surface.vertex_normals`."""
    first, second, third = (vertices.take(corner, axis=0) for corner in part.triangles.T)
    a, b = (second - first).T, (third - first).T
    cross = np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=1)
    total = _triangle_sums(part) @ cross
    return total / np.maximum(np.sqrt(np.einsum("nc,nc->n", total, total)), np.float32(1e-12))[:, None]


def pose_transforms(body: Body, rest: RestBody, pose: Pose, girth: Girth) -> np.ndarray:
    """Return skinning transforms float32 [J 4 4] of a pose: rest position to posed position, for every joint.

    Args:
        body: From `load_body`.
        rest: The body shape.
        pose: The pose.
        girth: How wide the body is in its clothes.
    """
    joints = body.joint_index
    transforms = np.zeros((len(joints), 4, 4))
    rotations = {joints[name]: rotation for name, rotation in posing.joint_rotations(pose, rest.joints, girth).items()}
    for joint, parent in enumerate(_parents(body)):  # parents come first
        if parent < 0:  # the root's rest position goes to (0, 0, 0)
            transforms[joint] = np.eye(4)
            transforms[joint, :3, 3] = -rest.joint_frames[joint, :3, 3]
            continue
        transforms[joint] = transforms[parent]
        rotation = rotations.get(joint)
        if rotation is not None:  # about the joint's rest position
            at = rest.joint_frames[joint, :3, 3]
            transforms[joint, :3, 3] += transforms[parent, :3, :3] @ (at - rotation @ at)
            transforms[joint, :3, :3] = transforms[parent, :3, :3] @ rotation
    return transforms.astype(np.float32)


@functools.cache
def _parents(body: Body) -> tuple[int, ...]:
    """Return every joint's parent; -1 for the root."""
    return tuple(int(parent) for parent in body.model.parents)
