"""Every choice of one picture of the open recipes: who is seen where, how, under which light, and with whom.

A record holds the choices as JSON values; the recipe writes them, the studio reads them.
"""

import dataclasses
from typing import Any

from render.figure.body import BodyShape
from render.optics.camera import CameraSite, Framing
from render.optics.light import Light
from render.optics.photo import CameraLook, Shot
from render.people.accessories import Accessory
from render.people.appearance import Appearance
from render.people.poses import Pose
from render.scene.crowd import Bystander
from render.scene.occluders import Occluder
from render.scene.world import Backdrop


@dataclasses.dataclass(frozen=True)
class Person:
    """What an identity keeps from picture to picture.

    Attributes:
        appearance: What the texture shows.
        shape: The body.
        accessories: What the person has along.
        look_alike: Number of the first person of the group of look-alikes; None for somebody without look-alikes.
    """

    appearance: Appearance
    shape: BodyShape
    accessories: tuple[Accessory, ...]
    look_alike: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "appearance": self.appearance.to_json(),
            "shape": self.shape.to_json(),
            "accessories": [accessory.to_json() for accessory in self.accessories],
            "look_alike": self.look_alike,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Person":
        """Return the person that `to_json` wrote; other fields are left alone."""
        return cls(
            appearance=Appearance.from_json(fields["appearance"]),
            shape=BodyShape.from_json(fields["shape"]),
            accessories=tuple(Accessory.from_json(one) for one in fields["accessories"]),
            look_alike=fields["look_alike"],
        )


@dataclasses.dataclass(frozen=True)
class Place:
    """A camera where it hangs.

    Attributes:
        site: The camera.
        look: How it renders colours.
        scene_kind: Kind of the scene around it, one of `render.scene.world.KINDS`.
        scene_seed: Seed of that scene.
        path: Direction in which most people walk, radians.
    """

    site: CameraSite
    look: CameraLook
    scene_kind: str
    scene_seed: int
    path: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "site": self.site.to_json(),
            "look": self.look.to_json(),
            "scene": {"kind": self.scene_kind, "seed": self.scene_seed},
            "path": self.path,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Place":
        """Return the place that `to_json` wrote; other fields are left alone."""
        return cls(
            site=CameraSite(**fields["site"]),
            look=CameraLook.from_json(fields["look"]),
            scene_kind=fields["scene"]["kind"],
            scene_seed=fields["scene"]["seed"],
            path=fields["path"],
        )


@dataclasses.dataclass(frozen=True)
class Choices:
    """Every choice of one picture.

    Attributes:
        person: Who is seen; the accessories are those that the picture shows.
        place: The camera.
        pose: The person's pose.
        position: Where the person stands (x, y), metres, in the frame of the camera's site.
        yaw: Direction that the person faces, radians about z; 0 faces -y.
        light: The light.
        framing: How the detector's box sits around the person.
        shot: What differs between pictures of the camera.
        background: Part of a photograph behind the person; None for the camera's own scene.
        crowd: Who else is in the picture.
        occluders: What stands before the person.
    """

    person: Person
    place: Place
    pose: Pose
    position: tuple[float, float]
    yaw: float
    light: Light
    framing: Framing
    shot: Shot
    background: Backdrop | None
    crowd: tuple[Bystander, ...]
    occluders: tuple[Occluder, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, for a record."""
        return {
            **self.person.to_json(),
            **self.place.to_json(),
            "pose": self.pose.to_json(),
            "position": list(self.position),
            "yaw": self.yaw,
            "light": self.light.to_json(),
            "framing": self.framing.to_json(),
            "shot": self.shot.to_json(),
            "background": None if self.background is None else self.background.to_json(),
            "crowd": [one.to_json() for one in self.crowd],
            "occluders": [one.to_json() for one in self.occluders],
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Choices":
        """Return the choices that `to_json` wrote."""
        x, y = fields["position"]
        background = fields["background"]
        return cls(
            person=Person.from_json(fields),
            place=Place.from_json(fields),
            pose=Pose.from_json(fields["pose"]),
            position=(x, y),
            yaw=fields["yaw"],
            light=Light.from_json(fields["light"]),
            framing=Framing.from_json(fields["framing"]),
            shot=Shot.from_json(fields["shot"]),
            background=None if background is None else Backdrop.from_json(background),
            crowd=tuple(Bystander.from_json(one) for one in fields["crowd"]),
            occluders=tuple(Occluder.from_json(one) for one in fields["occluders"]),
        )
