"""Where the parts and joints of a posed person are: what part masks and 2-D joints of the open body are made of.

Clothes, shoes, hair and hoods move with the body under them and count as the part that they cover: a skirt is partly
torso and partly legs.
"""

import functools
from collections.abc import Sequence

import numpy as np
import trimesh

from render.figure import body_parts
from render.figure.body import Body
from render.people.poses import Pose
from render.person import Figure


def parts_of_meshes(figure: Figure, meshes: Sequence[trimesh.Trimesh]) -> np.ndarray:
    """Return how much the vertices of a figure's meshes belong to every part, float32 [V P]; see `body_parts.PARTS`.

    Args:
        figure: The figure.
        meshes: From `Figure.meshes`; vertices are counted over all of them in order.
    """
    known = _parts_of_body(figure.body)
    found = []
    for mesh in meshes:
        name = mesh.metadata["part"]
        if "texture" in mesh.metadata:  # an accessory
            parts = np.zeros((len(mesh.vertices), len(body_parts.PARTS)), np.float32)
            parts[:, body_parts.CARRIED] = 1.0
        elif name == "skirt" and figure.dressed.skirt_weights is not None:
            skirt = figure.body.attachments[name]
            parts = _membership(skirt.joints, figure.dressed.skirt_weights)[skirt.part.vertex_map]
        else:
            parts = known[name]
        found.append(parts)
    return np.concatenate(found)


def joint_places(figure: Figure, pose: Pose) -> dict[str, np.ndarray]:
    """Return where the joints of `body_parts.JOINTS` are in a pose, float32 [3] in the frame of the figure's meshes."""
    transforms = figure.pose(pose).transforms
    index, rest = figure.body.joint_index, figure.rest.joints

    def place(joint: str) -> np.ndarray:
        transform = transforms[index[joint]]
        return transform[:3, :3] @ rest[joint] + transform[:3, 3]

    return {name: np.mean([place(one) for one in joint.open], axis=0) for name, joint in body_parts.JOINTS.items()}


def _membership(joints: Sequence[str], weights: np.ndarray) -> np.ndarray:
    return body_parts.membership(joints, weights, body_parts.part_of_open_joint)


@functools.cache
def _parts_of_body(body: Body) -> dict[str, np.ndarray]:
    """Return how much the vertices of the body's mesh and of all that is worn belong to every part, by mesh."""
    own = _membership(list(body.joint_index), body.model.skin_weights)[body.part.vertex_map]
    worn = {name: _membership(one.joints, one.weights)[one.part.vertex_map] for name, one in body.attachments.items()}
    return {"body": own, **worn}
