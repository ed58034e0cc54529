"""Puts a person together: dressed, posed, as trimesh meshes that share one texture."""

import numpy as np
import trimesh
from trimesh.visual import TextureVisuals

from render import garments, poses
from render.appearance import Appearance
from render.attachments import Part
from render.body import Body, BodyShape, RestBody
from render.garments import Dressed
from render.poses import Pose
from render.surface import vertex_normals


def build_person(body: Body, appearance: Appearance, shape: BodyShape, pose: Pose) -> list[trimesh.Trimesh]:
    """The meshes of one person.

    Metres, Z up; the person faces -Y with the left hand on +X; the lowest point of the feet is at z = 0 and the origin
    is below the middle of the hips. Each mesh has UV coordinates into the shared texture (`paint_texture`; v up), unit
    vertex normals that are smooth across UV seams, and in `metadata` its name `"part"` and `"double_sided"`: whether
    its back faces can be seen.

    Args:
        body: From `load_body`.
        appearance: The outfit.
        shape: The body under it.
        pose: How it stands.

    Returns:
        The body first, then what is worn on it ("skirt", "hair_long", ...).
    """
    rest = body.rest(shape)
    dressed = garments.dress(body, appearance, rest)
    vertices, worn = _pose(body, rest, dressed, pose)
    hips = (rest.joints["upperleg01.L"] + rest.joints["upperleg01.R"]) / 2
    ground = vertices[body.surface.group("foot") > 0.5, 2].min()
    origin = np.array([0.0, hips[1], ground], np.float32)
    visible = np.flatnonzero(~dressed.hidden[body.part.triangles].all(axis=1))
    meshes = [_mesh("body", vertices - origin, body.part, visible)]
    for name, points in worn.items():
        meshes.append(_mesh(name, points - origin, body.attachments[name].part, slice(None)))
    return meshes


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


def _pose(body: Body, rest: RestBody, dressed: Dressed, pose: Pose) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Linear blend skinning of body [V 3] and attachments."""
    s = body.surface
    hips = (s.group("trunk", "upper_leg") > 0.5) & (np.abs(s.position[:, 2]) < 0.14)
    widest = np.abs(dressed.vertices[hips, 0]).max()
    clearance = float(widest) + 0.072  # half a hand with curled fingers
    packed = _pack(body, rest, pose, clearance)
    identity = {**rest.identity, "rest_vertices": dressed.vertices[None]}
    vertices = body.model.forward_vertices(*packed, identity=identity)[0]
    transforms = body.model.prepare_pose(*packed, identity=identity)["skinning_transforms"][0]
    worn = {}
    for name, points in dressed.worn.items():
        attachment = body.attachments[name]
        weights = attachment.weights if dressed.skirt_weights is None or name != "skirt" else dressed.skirt_weights
        moves = transforms[[body.joint_index[joint] for joint in attachment.joints], :3]
        blended = np.einsum("nk,krc->nrc", weights, moves)
        worn[name] = np.einsum("nrc,nc->nr", blended[:, :, :3], points) + blended[:, :, 3]
    return vertices, worn
