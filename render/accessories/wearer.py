"""The figure that accessories are fitted to: dressed, posed, and with frames to place things in."""

import dataclasses
import functools

import numpy as np

from render.figure.body import Body, RestBody
from render.people.accessories import Accessory


@dataclasses.dataclass(frozen=True)
class Frame:
    """A local coordinate system.

    Attributes:
        axes: Its x, y and z axis in world coordinates, the columns of [3 3]. A frame that a joint carries points to the
            left, to the back and up in the rest pose.
        origin: Its origin in world coordinates [3].
    """

    axes: np.ndarray
    origin: np.ndarray

    def local(self, points: np.ndarray) -> np.ndarray:
        """Convert points [... 3] from world to local coordinates."""
        return (points - self.origin) @ self.axes

    def world(self, points: np.ndarray) -> np.ndarray:
        """Convert points [... 3] from local to world coordinates."""
        return points @ self.axes.T + self.origin


@dataclasses.dataclass(frozen=True)
class Wearer:
    """A dressed figure in a pose, standing on the ground (z = 0), in metres.

    Attributes:
        body: The body from `load_body`.
        rest: The rest pose of this body shape.
        transforms: Skinning transforms float32 [J 4 4] from rest position to position in this pose.
        vertices: Dressed vertices of the body, float32 [V 3].
        normals: Normals of these vertices, float32 [V 3].
        worn: Vertices float32 [N 3] of each attachment, by its name ("skirt", "hair_long", ...).
    """

    body: Body
    rest: RestBody
    transforms: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    worn: dict[str, np.ndarray]

    def joint(self, name: str) -> np.ndarray:
        """Position float64 [3] of a joint in this pose."""
        move = self.transforms[self.body.joint_index[name]].astype(np.float64)
        return move[:3, :3] @ self.rest.joints[name] + move[:3, 3]

    def frame(self, name: str) -> Frame:
        """Frame of a joint: the axes of the rest pose turned with the joint, with their origin at the joint."""
        return Frame(self.transforms[self.body.joint_index[name], :3, :3].astype(np.float64), self.joint(name))

    @functools.cached_property
    def cloth(self) -> np.ndarray:
        """Vertices [N 3] of garments that stand off the body: skirts, open fronts, hoods."""
        return np.concatenate([np.zeros((0, 3)), *(v for name, v in self.worn.items() if not is_hair(name))])

    @functools.cached_property
    def hair(self) -> np.ndarray:
        """Vertices [N 3] of hair meshes."""
        return np.concatenate([np.zeros((0, 3)), *(v for name, v in self.worn.items() if is_hair(name))])


def is_hair(name: str) -> bool:
    """Return whether an attachment of this name is hair."""
    return name.startswith(("hair", "bun", "top_bun", "low_bun", "pony", "braid", "curl", "afro"))


def sign_of(accessory: Accessory) -> float:
    """Return the sign of x on the accessory's side: 1 on the left, -1 on the right."""
    return 1.0 if accessory.side == "left" else -1.0


def suffix_of(accessory: Accessory) -> str:
    """Return the suffix of joint names on the accessory's side."""
    return "L" if accessory.side == "left" else "R"
