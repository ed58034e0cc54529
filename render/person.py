"""Puts a person together: dressed, posed, as trimesh meshes that share one texture."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh
from trimesh.visual import TextureVisuals

from render import accessory_meshes, garments, poses
from render.accessories import Accessory
from render.accessory_meshes import Wearer
from render.appearance import Appearance
from render.attachments import Part
from render.body import Body, BodyShape, RestBody
from render.garments import Dressed
from render.poses import Pose
from render.surface import vertex_normals


@dataclasses.dataclass(frozen=True)
class Posed:
    """A dressed figure in a pose, in the frame of its meshes (see `Figure.meshes`), metres.

    Attributes:
        vertices: Dressed vertices of the body float32 [V 3], as `Body.surface` orders them.
        worn: Name of an attachment -> its vertices float32 [N 3].
        transforms: Skinning transforms float32 [J 4 4], rest position (of `Figure.rest`, `Figure.dressed`) to position
            in the meshes' frame, for every joint (`Body.joint_index`).
    """

    vertices: np.ndarray
    worn: dict[str, np.ndarray]
    transforms: np.ndarray

    def place(self, points: np.ndarray, weights: np.ndarray, joints: Sequence[int]) -> np.ndarray:
        """Linear blend skinning: where points [N 3] of the rest pose go, float32 [N 3].

        Args:
            points: In the frame of the rest pose.
            weights: [N K] or [K], summing to 1 over K.
            joints: The K joints' indices.
        """
        blended = np.tensordot(np.asarray(weights, np.float32), self.transforms[list(joints), :3], axes=1)
        return (blended[..., :3] @ points[..., None].astype(np.float32))[..., 0] + blended[..., 3]


class Figure:
    """A person, dressed once, to be posed any number of times.

    Attributes:
        body, appearance, shape: What it was made of.
        rest: The body under the clothes in its rest pose; `rest.joints` are its joints.
        dressed: The dressed body in its rest pose.
    """

    def __init__(self, body: Body, appearance: Appearance, shape: BodyShape):
        self.body, self.appearance, self.shape = body, appearance, shape
        self.rest: RestBody = body.rest(shape)
        self.dressed: Dressed = garments.dress(body, appearance, self.rest)

    def pose(self, pose: Pose) -> Posed:
        """Linear blend skinning of the body and what is worn on it, set down on the ground."""
        body, dressed, s = self.body, self.dressed, self.body.surface
        hips = (s.group("trunk", "upper_leg") > 0.5) & (np.abs(s.position[:, 2]) < 0.14)
        widest = np.abs(dressed.vertices[hips, 0]).max()
        clearance = float(widest) + 0.072  # half a hand with curled fingers
        packed = _pack(body, self.rest, pose, clearance)
        identity = {**self.rest.identity, "rest_vertices": dressed.vertices[None]}
        vertices = body.model.forward_vertices(*packed, identity=identity)[0]
        transforms = np.array(body.model.prepare_pose(*packed, identity=identity)["skinning_transforms"][0])
        middle = (self.rest.joints["upperleg01.L"] + self.rest.joints["upperleg01.R"]) / 2
        ground = vertices[s.group("foot") > 0.5, 2].min()
        origin = np.array([0.0, middle[1], ground], np.float32)
        transforms[:, :3, 3] -= origin
        posed = Posed(vertices - origin, {}, transforms)
        for name, points in dressed.worn.items():
            attachment = body.attachments[name]
            weights = attachment.weights if dressed.skirt_weights is None or name != "skirt" else dressed.skirt_weights
            posed.worn[name] = posed.place(points, weights, [body.joint_index[joint] for joint in attachment.joints])
        return posed

    def meshes(self, pose: Pose, accessories: Sequence[Accessory] = ()) -> list[trimesh.Trimesh]:
        """The meshes of the person in a pose.

        Metres, Z up; the person faces -Y with the left hand on +X; the lowest point of the feet is at z = 0 and the
        origin is below the middle of the hips. Each mesh has UV coordinates into the shared texture (`paint_texture`;
        v up), unit vertex normals that are smooth across UV seams, and in `metadata` its name `"part"` and
        `"double_sided"`: whether its back faces can be seen.

        Args:
            pose: How it stands.
            accessories: What it carries (`render.accessories`); their meshes bring their own `metadata["texture"]`.

        Returns:
            The body first, then what is worn on it ("skirt", "hair_long", ...), then the accessories.
        """
        posed = self.pose(pose)
        visible = np.flatnonzero(~self.dressed.hidden[self.body.part.triangles].all(axis=1))
        meshes = [_mesh("body", posed.vertices, self.body.part, visible)]
        for name, points in posed.worn.items():
            meshes.append(_mesh(name, points, self.body.attachments[name].part, slice(None)))
        if accessories:
            normals = np.zeros_like(posed.vertices)
            normals[self.body.part.vertex_map] = meshes[0].vertex_normals
            meshes += accessory_meshes.make_meshes(accessories, self._wearer(posed, normals))
        return meshes

    def _wearer(self, posed: Posed, normals: np.ndarray) -> Wearer:
        return Wearer(self.body, self.rest.joints, posed.transforms, posed.vertices, normals, posed.worn)


def build_person(
    body: Body, appearance: Appearance, shape: BodyShape, pose: Pose, accessories: Sequence[Accessory] = ()
) -> list[trimesh.Trimesh]:
    """The meshes of one person in one pose: `Figure(body, appearance, shape).meshes(pose, accessories)`."""
    return Figure(body, appearance, shape).meshes(pose, accessories)


def _mesh(name: str, vertices: np.ndarray, part: Part, visible: np.ndarray | slice) -> trimesh.Trimesh:
    normals = vertex_normals(vertices, part.triangles)
    mesh = trimesh.Trimesh(
        vertices=vertices[part.vertex_map],
        faces=part.faces[visible],
        vertex_normals=normals[part.vertex_map],
        visual=TextureVisuals(uv=part.uv),
        process=False,
    )
    mesh.metadata["part"] = name
    mesh.metadata["double_sided"] = name != "body"
    return mesh


def pose_transforms(body: Body, rest: RestBody, pose: Pose, clearance: float) -> np.ndarray:
    """Skinning transforms float32 [J 4 4] of a pose: rest position to posed position, for every joint.

    Args:
        body: From `load_body`.
        rest: The body shape.
        pose: The pose.
        clearance: As in `poses.joint_rotations`.
    """
    packed = _pack(body, rest, pose, clearance)
    return body.model.prepare_pose(*packed, identity=rest.identity)["skinning_transforms"][0]


def _pack(body: Body, rest: RestBody, pose: Pose, clearance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """body_pose, head_pose and hand_pose of body-models: rotation matrices [1 N 3 3]."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (len(body.joint_index), 1, 1))
    for name, rotation in poses.joint_rotations(pose, rest.joints, clearance).items():
        # From the axes of the rest pose to those of the bone.
        axes = rest.joint_frames[body.joint_index[name], :3, :3]
        rotations[body.joint_index[name]] = axes.T @ rotation @ axes
    # The joints' order: root, then body and hand in turns, then the head.
    body_pose = np.concatenate([rotations[1:55], rotations[74:81], rotations[100:103]])
    hand_pose = np.concatenate([rotations[55:74], rotations[81:100]])
    return body_pose[None], rotations[None, 103:], hand_pose[None]
