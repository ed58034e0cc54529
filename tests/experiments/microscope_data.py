"""Made-up records of rendered pictures, with what facets read and nothing else."""

from typing import Any

import numpy as np

CHOICES: dict[str, Any] = {
    "position": [0.0, 5.0],
    "yaw": 0.0,
    "light": {"sun": [1.0, 1.0, 1.0], "sky": [0.5, 0.5, 0.5], "night": False},
    "occluders": [],
    "framing": {"cut": [0.0, 0.0, 0.0, 0.0]},
    "accessories": [],
    "appearance": {
        "top": "tee",
        "pattern": "plain",
        "colors": [[0.8, 0.1, 0.1]],
        "bottom_color": [0.1, 0.1, 0.1],
        "skin": [0.5, 0.4, 0.3],
        "age": 0.7,
        "female": True,
    },
    "shape": {"weight": 0.5, "height": 0.4},
    "look_alike": None,
}


def made_up_choices(person: int, picture: int) -> dict[str, Any]:
    """Choices that differ from person to person, and in view, light and distance from picture to picture."""
    one, other = np.random.default_rng(person), np.random.default_rng([person, picture])
    appearance = {
        **CHOICES["appearance"],
        "pattern": str(one.choice(["plain", "stripes", "dots"])),
        "skin": [float(x) for x in one.uniform(0.3, 0.8) * np.array([1.0, 0.8, 0.65])],
        "age": float(one.uniform(0.56, 1.0)),
        "female": bool(one.integers(2)),
    }
    return {
        **CHOICES,
        "appearance": appearance,
        "shape": {"weight": float(one.uniform()), "height": float(one.uniform(0.3, 0.5))},
        "position": [float(other.uniform(-2, 2)), float(other.uniform(3, 12))],
        "yaw": float(other.uniform(0, 6.28)),
    }
