"""What stands between camera and person and hides a part: poles, cars, plants, walls, other persons.

An `Occluder` is planned by what it hides: it stands on the ground before the person, and slides in from its side until
it hides the planned share of the person's pixels. `draw_occluders` is called on the finished composition (person over
background), before `photo.take_photo`.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from render.camera import Camera
from render.light import Light
from render.shares import Range, Shares, draw_name

# kind -> the largest share of a person that it can be counted on to hide
KINDS: dict[str, float] = {
    "pole": 0.3,
    "car": 0.4,
    "bush": 0.6,
    "planter": 0.5,
    "bin": 0.3,
    "bench": 0.25,
    "bicycle": 0.25,
    "wall": 0.6,
    "railing": 0.35,
    "person": 0.6,
}
SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class OccluderShares(Shares):
    """How often and by what persons are hidden.

    Attributes:
        share: Share of pictures with an occluder.
        second: Share of those with another one.
        kinds: Weights of KINDS. A kind that cannot hide as much as was drawn is left out of the draw.
        cover: Share of the person's pixels to hide.
    """

    TOPIC: ClassVar[str] = "occluders"
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"kinds": tuple(KINDS)}

    share: float = 0.14
    second: float = 0.1
    kinds: dict[str, float] = dataclasses.field(
        default_factory=lambda: {
            "pole": 1.0,
            "car": 1.3,
            "bush": 1.0,
            "planter": 0.8,
            "bin": 0.5,
            "bench": 0.5,
            "bicycle": 0.9,
            "wall": 0.7,
            "railing": 0.6,
            "person": 1.8,
        }
    )
    cover: Range = (0.08, 0.4)


@dataclasses.dataclass(frozen=True)
class Occluder:
    """A thing before the person.

    Attributes:
        kind: One of KINDS.
        variant: Number of its painting.
        side: Of SIDES, from where it reaches over the person.
        cover: Share of the person's pixels that it hides.
        gap: Metres between it and the person.
        size: Scale, about 1.
        tint: (r, g, b) gains.
    """

    kind: str
    variant: int
    side: str
    cover: float
    gap: float
    size: float
    tint: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """JSON values only: tuples become lists."""
        return {**vars(self), "tint": list(self.tint)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Occluder":
        """The inverse of `to_json`."""
        return cls(**{**fields, "tint": tuple(fields["tint"])})


def sample_occluders(rng: np.random.Generator, shares: OccluderShares, *, always: bool = False) -> tuple[Occluder, ...]:
    """Draws what is before the person; `always` leaves no picture without an occluder.

    Raises:
        ValueError: None of the kinds with a weight can hide the least of `shares.cover`.
    """
    if not always and rng.uniform() >= shares.share:
        return ()
    count = 2 if not always and rng.uniform() < shares.second else 1
    return tuple(_sample(rng, shares) for _ in range(count))


def _sample(rng: np.random.Generator, shares: OccluderShares) -> Occluder:
    low, high = shares.cover
    most = max(KINDS[name] for name, weight in shares.kinds.items() if weight > 0.0)
    if most < low:
        raise ValueError(
            f"occluders.kinds: {', '.join(shares.kinds)} hide at most {most}, but occluders.cover starts at {low}."
        )
    cover = float(rng.uniform(low, min(high, most)))
    kind = draw_name(rng, {name: weight for name, weight in shares.kinds.items() if KINDS[name] >= cover})
    tint = float(rng.uniform(0.85, 1.1)) * (1.0 + 0.03 * rng.standard_normal(3))
    return Occluder(
        kind=kind,
        variant=int(rng.integers(1 << 16)),
        side=SIDES[int(rng.integers(2))],
        cover=cover,
        gap=float(rng.uniform(0.35, 1.2)),
        size=float(rng.uniform(0.92, 1.1)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
    )


def draw_occluders(
    picture: np.ndarray,
    occluders: tuple[Occluder, ...],
    camera: Camera,
    light: Light,
    person: np.ndarray,
    alpha: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Lays occluders over a picture.

    Args:
        picture: float32 [height width 3], the person over its background, display values.
        occluders: The plan; an empty one gives the picture back.
        camera: The crop's, in the frame of the camera's site.
        light: In the same frame.
        person: [M 3] points that fill the person's surface, in the same frame.
        alpha: float32 [height width] of the person alone, as drawn.

    Returns:
        The picture, float32 [height width 3], and the occluders' alpha, float32 [height width].
    """
    return picture, np.zeros_like(alpha)
