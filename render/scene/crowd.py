"""Other persons in the picture: figures of this renderer as flat pictures (`render.scene.impostors`).

A bystander stands beside or behind the person and is drawn with the background (`render.scene.draw`), so never hides
the person; a person who does is an occluder (`render.scene.occluders`).
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from render.optics.camera import CameraSite
from render.scene.things import Thing
from render.shares import Range, Shares

FIGURES = 24  # persons in the library


@dataclasses.dataclass(frozen=True)
class CrowdShares(Shares):
    """The distribution of other persons.

    Attributes:
        share: Share of pictures with bystanders.
        most: The largest number of bystanders; one is the most frequent number.
        beside: Share of bystanders who walk beside the person; the others are farther away, behind.
    """

    TOPIC: ClassVar[str] = "crowd"
    LIMITS: ClassVar[dict[str, Range]] = {"most": (1, 12)}

    share: float = 0.45
    most: int = 4
    beside: float = 0.55


@dataclasses.dataclass(frozen=True)
class Bystander:
    """A person of the impostor library in the scene.

    Attributes:
        figure: Number in the library, below FIGURES.
        x, y: Where it stands, metres, in the frame of the camera's site.
        yaw: Direction, radians about z; 0 faces -y.
        size: Scale, about 1.
    """

    figure: int
    x: float
    y: float
    yaw: float
    size: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Bystander":
        """Return the bystander that `to_json` wrote."""
        return cls(**fields)

    def as_thing(self) -> Thing:
        """Return the person as a thing of the scene."""
        return Thing("person", self.figure, self.x, self.y, self.yaw, self.size, (1.0, 1.0, 1.0))


def sample_crowd(
    rng: np.random.Generator, shares: CrowdShares, site: CameraSite, position: tuple[float, float]
) -> tuple[Bystander, ...]:
    """Draw who else is in the picture of a person who stands at `position` (x, y) before a camera.

    They look in all directions, and stand where the crop may show them, at times cut by its border.
    """
    if rng.uniform() >= shares.share:
        return ()
    x, y = position
    distance = math.hypot(x, y)
    right = np.array([y, -x]) / distance  # across the line of sight
    away = np.array([x, y]) / distance
    bystanders = []
    for _ in range(1 + int((shares.most - 1) * rng.uniform() ** 2 + rng.uniform())):
        side = float(rng.choice([-1.0, 1.0]))
        if rng.uniform() < shares.beside:
            behind, across = float(rng.uniform(0.15, 0.9)), side * float(rng.uniform(0.38, 0.9))
        else:
            behind = float(rng.uniform(0.9, max(1.0, site.farthest + 1.0 - distance)))
            across = side * float(rng.uniform(0.1, 0.8)) * (1.0 + behind / distance)
        spot = np.array(position) + behind * away + across * right
        figure, yaw = int(rng.integers(FIGURES)), float(rng.uniform(0.0, 2.0 * math.pi))
        bystanders.append(Bystander(figure, float(spot[0]), float(spot[1]), yaw, float(rng.uniform(0.95, 1.05))))
    return tuple(bystanders)
