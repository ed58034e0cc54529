"""Puts a person together: dressed, posed, as trimesh meshes that share one texture."""

import numpy as np
import trimesh

from render import garments, poses
from render.appearance import Appearance
from render.body import Body, BodyShape, RestBody
from render.poses import Pose
from render.surface import BODY, vertex_normals


def build_person(body: Body, appearance: Appearance, shape: BodyShape, pose: Pose) -> list[trimesh.Trimesh]:
    """The meshes of one person.

    Metres, Z up; the person faces -Y with the left hand on +X; the lowest point of the feet is at z = 0 and the origin
    is below the middle of the hips. Each mesh has UV coordinates into the shared texture (`paint_texture`; v up), unit
    vertex normals that are smooth across UV seams, and in `metadata` its name `"part"` and `"double_sided"`: whether
    its back faces can be seen.

    Raises:
        ValueError: A parameter of `shape` is out of range.
    """
    rest = body.rest(shape)
    vertices = garments.dress(body, appearance, rest)
    posed = pose_vertices(body, rest, vertices, pose)
    posed -= _ground(body, rest, posed)
    normals = vertex_normals(posed, body.triangles)
    names = ["body"]
    if appearance.has_skirt:
        names.append("skirt")
    if appearance.hair_style in ("medium", "long"):
        names.append("hair")
    meshes = []
    for name in names:
        part = body.parts[name]
        mesh = trimesh.Trimesh(
            vertices=posed[part.vertex_map],
            faces=part.faces,
            vertex_normals=normals[part.vertex_map],
            visual=trimesh.visual.TextureVisuals(uv=part.uv),
            process=False,
        )
        mesh.metadata["part"] = name
        mesh.metadata["double_sided"] = name != "body"
        meshes.append(mesh)
    return meshes


def pose_vertices(body: Body, rest: RestBody, vertices: np.ndarray, pose: Pose) -> np.ndarray:
    """Poses dressed rest vertices [V 3] by linear blend skinning; returns [V 3]."""
    joints = {name: rest.joints[index, :3, 3] for name, index in body.joint_index.items()}
    s = body.vertex_surface
    hips = (s.group("trunk", "upper_leg") > 0.5) & (s.position[:, 2] < 0.14) & (s.position[:, 2] > -0.14)
    clearance = float(np.abs(vertices[hips & (s.part == BODY), 0]).max()) + 0.045
    rotations = np.tile(np.eye(3, dtype=np.float32), (len(body.joint_index), 1, 1))
    for name, rotation in poses.joint_rotations(pose, joints, clearance).items():
        # From the axes of the rest pose to those of the bone.
        axes = rest.joints[body.joint_index[name], :3, :3]
        rotations[body.joint_index[name]] = axes.T @ rotation @ axes
    # The order of body-models: root, then body and hand joints in turns, then the head.
    body_pose = np.concatenate([rotations[1:55], rotations[74:81], rotations[100:103]])[None]
    hand_pose = np.concatenate([rotations[55:74], rotations[81:100]])[None]
    head_pose = rotations[103:][None]
    identity = {**rest.identity, "rest_vertices": vertices[None, : body.num_model_vertices]}
    posed = body.model.forward_vertices(body_pose, head_pose, hand_pose, identity=identity)[0]
    transforms = body.model.prepare_pose(body_pose, head_pose, hand_pose, identity=identity)["skinning_transforms"][0]
    blended = np.einsum("vj,jrc->vrc", body.helper_weights, transforms[:, :3])
    helpers = vertices[body.num_model_vertices :]
    posed_helpers = np.einsum("vrc,vc->vr", blended[:, :, :3], helpers) + blended[:, :, 3]
    return np.concatenate([posed, posed_helpers])


def _ground(body: Body, rest: RestBody, posed: np.ndarray) -> np.ndarray:
    """The point [3] that becomes the origin: below the hips, at the height of the lowest point of the feet."""
    hips = [rest.joints[body.joint_index[f"upperleg01.{side}"], :3, 3] for side in "LR"]
    low = posed[body.vertex_surface.group("foot") > 0.5, 2].min()
    return np.array([0.0, (hips[0][1] + hips[1][1]) / 2, low], np.float32)
