"""What the distributions of a recipe have in common: checks that name the key, and conversion to and from JSON.

A distribution is a frozen dataclass of weights (dicts name -> weight), ranges (two floats, the lower one first) and
shares (floats in [0, 1]), all with defaults.
"""

import dataclasses
import math
from typing import Any, ClassVar, Self

import numpy as np

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Shares:
    """Base class of the distributions; every field is checked when one is made.

    Class attributes:
        TOPIC: Name of the recipe's field, used in messages.
        NAMES: Field of weights -> the names that it may hold.
        LIMITS: Field -> lowest and highest value, where they are not 0 and 1.
    """

    TOPIC: ClassVar[str] = ""
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {}
    LIMITS: ClassVar[dict[str, Range]] = {}

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            key, value = f"{self.TOPIC}.{field.name}", getattr(self, field.name)
            low, high = self.LIMITS.get(field.name, (0.0, 1.0))
            if field.name in self.NAMES:
                _check_weights(key, value, self.NAMES[field.name])
            elif isinstance(field.default, tuple):
                if not isinstance(value, tuple | list) or len(value) != 2 or not all(_is_number(end) for end in value):
                    raise ValueError(f"{key} must be two numbers, the lower one first, found {value!r}.")
                if not low <= value[0] <= value[1] <= high:
                    raise ValueError(f"{key} must be a range inside [{low:g}, {high:g}], lower first, found {value!r}.")
                object.__setattr__(self, field.name, tuple(value))  # JSON knows no tuples
            elif not _is_number(value) or not low <= value <= high:
                raise ValueError(f"{key} must be a number in [{low:g}, {high:g}], found {value!r}.")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: tuples become lists."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the distribution whose `to_json` is `fields`; fields that are left out have their defaults.

        Raises:
            ValueError: A field or a name is unknown, or a value impossible; the message names the key.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not set(fields) <= known:
            raise ValueError(f"{cls.TOPIC} has no {sorted(set(fields) - known)}; it has {sorted(known)}.")
        return cls(**fields)


def draw_name(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one of the names of `weights`; their order does not matter, so JSON may sort them."""
    names = sorted(weights)
    values = np.array([weights[name] for name in names], np.float64)
    return names[int(rng.choice(len(names), p=values / values.sum()))]


def _check_weights(key: str, weights: Any, names: tuple[str, ...]) -> None:
    if not isinstance(weights, dict):
        raise ValueError(f"{key} must map names to weights, found {weights!r}.")
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(f"{key} knows no {name!r}; choose among {', '.join(names)}.")
        if not _is_number(weight) or weight < 0.0:
            raise ValueError(f"{key}.{name} must be a weight of at least 0, found {weight!r}.")
    total = sum(weights.values())
    if total <= 0.0:
        raise ValueError(f"{key} needs a weight above 0, found {weights!r}.")
    if not math.isfinite(total):
        raise ValueError(f"{key} needs weights of a finite sum, found {weights!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
