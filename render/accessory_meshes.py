"""Meshes of accessories, fitted to a dressed and posed figure."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import trimesh

from render.accessories import Accessory
from render.body import Body


@dataclasses.dataclass(frozen=True)
class Wearer:
    """A dressed figure in a pose, on the ground (z = 0), metres.

    Attributes:
        body: From `load_body`.
        joints: Joint name -> position [3] in the rest pose of this body shape.
        transforms: Skinning transforms float32 [J 4 4]: rest position to position in this pose.
        vertices: Dressed vertices of the body float32 [V 3].
        normals: Their normals float32 [V 3].
        worn: Attachment name ("skirt", "hair_long", ...) -> vertices float32 [N 3].
    """

    body: Body
    joints: dict[str, np.ndarray]
    transforms: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    worn: dict[str, np.ndarray]


def make_meshes(accessories: Sequence[Accessory], wearer: Wearer) -> list[trimesh.Trimesh]:
    """One mesh an accessory, with its own texture."""
    return []
