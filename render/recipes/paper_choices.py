"""What is chosen for one pair of the paper's recipe: the `choices` of its record."""

import dataclasses
from typing import Any

from render.optics.light import Light
from render.smpl import surreal
from render.smpl.poses import PosePlace
from render.smpl.surreal import SphericalHarmonics


@dataclasses.dataclass(frozen=True)
class PhotoCrop:
    """The part of a photograph that is the background of a picture.

    Attributes:
        file: Name of the photograph.
        crop: Size of the part between 60 % (0) and 100 % (1) of what fits, its place from left (0) to right (1), and
            its place from top (0) to bottom (1).
    """

    file: str
    crop: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {"file": self.file, "crop": list(self.crop)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PhotoCrop":
        """Return the inverse of `to_json`."""
        size, x, y = fields["crop"]
        return cls(fields["file"], (size, x, y))


@dataclasses.dataclass(frozen=True)
class PaperChoices:
    """Everything that one pair depends on besides the files of the recipe.

    Attributes:
        gender: Gender of the texture, which chooses the body where there are two.
        texture_file: Name of the texture.
        pose: Place of the pose in its file.
        betas: Shape coefficients [10].
        offset: Where the model's origin lies before the camera (right, away, up), metres.
        yaw: Turn of the body about the vertical axis, radians.
        light: Light on the person.
        background: What is seen behind the person.
    """

    gender: str
    texture_file: str
    pose: PosePlace
    betas: tuple[float, ...]
    offset: tuple[float, float, float]
    yaw: float
    light: Light | SphericalHarmonics
    background: PhotoCrop

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {
            "gender": self.gender,
            "texture_file": self.texture_file,
            "pose": self.pose.to_json(),
            "betas": list(self.betas),
            "camera": {"offset": list(self.offset), "yaw": self.yaw},
            "light": self.light.to_json(),
            "background": self.background.to_json(),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PaperChoices":
        """Return the inverse of `to_json`."""
        light: type[Light] | type[SphericalHarmonics] = Light
        if fields["light"].get("kind") == surreal.KIND:
            light = SphericalHarmonics
        right, away, up = fields["camera"]["offset"]
        return cls(
            gender=fields["gender"],
            texture_file=fields["texture_file"],
            pose=PosePlace.from_json(fields["pose"]),
            betas=tuple(fields["betas"]),
            offset=(right, away, up),
            yaw=fields["camera"]["yaw"],
            light=light.from_json(fields["light"]),
            background=PhotoCrop.from_json(fields["background"]),
        )
