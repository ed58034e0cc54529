"""Facets of a rendered picture: what its record says of view, light and framing, of the clothes and of the person.

A facet sorts pictures into a few named values. It reads the record's `choices` (see `render.recipes.choices`) as JSON,
so that no renderer is needed.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.scoring import colour_names

QUERY, PARTIAL, OCCLUDED = "query", "query_partial", "query_occluded"
PICTURE, CLOTHES, PERSON = "picture", "clothes", "person"  # what a facet describes

Choices = Mapping[str, Any]


class FacetError(ValueError):
    """A record that lacks what a facet reads. The message names both."""


@dataclasses.dataclass(frozen=True)
class Facet:
    """A property of a picture with a few values.

    Attributes:
        name: Name in the JSON.
        title: Name on the page.
        about: How the value follows from the record, a sentence.
        measure: The value of a picture from its choices: one of `values`, a number where there are none, or None for a
            picture that has none.
        values: The values in their order; empty for a number, whose thirds among the queries are the values.
        unit: Unit of the number, with the blank before it.
        subject: What it describes: `PICTURE`, `CLOTHES` or `PERSON`.
        splits: The splits whose queries it sorts.
    """

    name: str
    title: str
    about: str
    measure: Callable[[Choices], str | float | None]
    values: tuple[str, ...] = ()
    unit: str = ""
    subject: str = PICTURE
    splits: tuple[str, ...] = (QUERY,)


@dataclasses.dataclass(frozen=True, eq=False)
class Sorted:
    """Pictures sorted by a facet.

    Attributes:
        labels: The values in words.
        groups: Which of them each picture has, int [N]; -1 for none.
    """

    labels: tuple[str, ...]
    groups: np.ndarray


def sort_pictures(facet: Facet, pictures: Mapping[str, Choices]) -> Sorted:
    """Sort pictures by a facet.

    Args:
        facet: The facet.
        pictures: Name of each picture -> its choices.

    Raises:
        FacetError: A record lacks what the facet reads, or holds a value that the facet does not know.
    """
    found = [_measure(facet, name, choices) for name, choices in pictures.items()]
    if not facet.values:
        return _thirds(np.array(found, np.float64), facet.unit)
    return Sorted(facet.values, np.array([-1 if value is None else facet.values.index(value) for value in found], int))


def _measure(facet: Facet, name: str, choices: Choices) -> Any:
    try:
        value = facet.measure(choices)
        if facet.values and value is not None and value not in facet.values:
            raise ValueError(f"found {value!r}, expected one of {', '.join(facet.values)}")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise FacetError(
            f"The record of {name} cannot be sorted by {facet.title.lower()}: {what}. It was rendered by another version "
            "of San-JAX: render the dataset again with `python -m experiments.pit_render`, or sort it with the release "
            "that made it."
        ) from error
    return value


def _thirds(numbers: np.ndarray, unit: str) -> Sorted:
    edges = np.unique(np.quantile(numbers, [1 / 3, 2 / 3])) if len(numbers) else np.zeros(0)
    words = [f"{edge:.3g}{unit}" for edge in edges]
    labels = [
        *(f"below {word}" for word in words[:1]),
        *(f"{low} to {high}" for low, high in itertools.pairwise(words)),
        *(f"{word} or more" for word in words[-1:]),
    ]
    return Sorted(tuple(labels), np.searchsorted(edges, numbers, side="right"))


def _view(choices: Choices) -> str:
    x, y = choices["position"]
    facing = math.sin(choices["yaw"]), -math.cos(choices["yaw"])  # yaw 0 faces -y; the camera stands over (0, 0)
    cosine = -(facing[0] * x + facing[1] * y) / math.hypot(x, y)
    angle = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    return "front" if angle < 45.0 else "back" if angle > 135.0 else "side"


def _light(choices: Choices) -> str:
    light = choices["light"]
    if light["night"]:
        return "night"
    contrast = light["sun"][1] / light["sky"][1]
    return "hard" if contrast >= 1.5 else "soft" if contrast >= 0.3 else "even"


def _distance(choices: Choices) -> float:
    return math.hypot(*choices["position"])


def _hidden(choices: Choices) -> str:
    left = math.prod(1.0 - occluder["cover"] for occluder in choices["occluders"])
    return "nothing" if left == 1.0 else "up to 40 %" if left >= 0.6 else "more than 40 %"


def _cut(choices: Choices) -> str:
    left, top, right, bottom = choices["framing"]["cut"]
    seen = (1.0 - left - right) * (1.0 - top - bottom)
    return "nothing" if seen == 1.0 else "up to half" if seen >= 0.5 else "more than half"


_BACK, _HAND = ("backpack", "shoulder_bag"), ("handbag", "tote", "shopping_bag", "briefcase", "suitcase")


def _bag(choices: Choices) -> str:
    kinds = {accessory["kind"] for accessory in choices["accessories"]}
    return "on back or shoulder" if kinds & set(_BACK) else "in the hand" if kinds & set(_HAND) else "none"


PATTERN_GROUPS = {
    "plain": ("plain",),
    "stripes": ("stripes", "vertical", "pinstripe", "herringbone", "chevron"),
    "checks": ("plaid", "tartan", "gingham", "houndstooth", "argyle"),
    "print all over": ("dots", "floral", "leaves", "leopard", "camouflage", "tie_dye"),
    "fields of colour": ("gradient", "block", "panel", "yoke"),
}


def _pattern(choices: Choices) -> str:
    pattern = choices["appearance"]["pattern"]
    return next((group for group, patterns in PATTERN_GROUPS.items() if pattern in patterns), pattern)


def _garment(choices: Choices) -> str:
    top = choices["appearance"]["top"]
    groups = {
        "shirts": ("tee", "polo", "shirt", "tank"),
        "sweaters": ("sweater", "hoodie"),
        "jackets, coats": ("jacket", "coat"),
        "dresses": ("dress",),
    }
    return next((group for group, tops in groups.items() if top in tops), top)


def _lower_colour(choices: Choices) -> str | None:
    appearance = choices["appearance"]
    return None if appearance["top"] == "dress" else colour_names.colour_name(appearance["bottom_color"])


FACETS = (
    Facet(
        "view",
        "View",
        "The angle between where the person faces and the camera: front up to 45 degrees, back from 135.",
        _view,
        ("front", "side", "back"),
    ),
    Facet(
        "light",
        "Light",
        "Irradiance from the sun (or lamp) over that from the sky: hard from 1.5 times (sunshine), soft from 0.3 times "
        "(haze, lit halls), even below (overcast, shade).",
        _light,
        ("hard", "soft", "even", "night"),
    ),
    Facet("distance", "Distance", "Metres over the ground from camera to person, in thirds.", _distance, unit=" m"),
    Facet(
        "occlusion",
        "Hidden by something",
        "The share of the person's pixels that something before the person is drawn to hide; the queries of "
        "query_occluded count beside those of query.",
        _hidden,
        ("nothing", "up to 40 %", "more than 40 %"),
        splits=(QUERY, OCCLUDED),
    ),
    Facet(
        "cut",
        "Cut off",
        "The share of the box around the whole person that lies outside of the picture; the queries of query_partial "
        "count beside those of query.",
        _cut,
        ("nothing", "up to half", "more than half"),
        splits=(QUERY, PARTIAL),
    ),
    Facet(
        "bag",
        "Bag",
        "What the query shows, hats and umbrellas apart.",
        _bag,
        ("none", "on back or shoulder", "in the hand"),
        subject=CLOTHES,
    ),
    Facet(
        "garment",
        "Upper garment",
        "Its kind.",
        _garment,
        ("shirts", "sweaters", "jackets, coats", "dresses"),
        subject=CLOTHES,
    ),
    Facet(
        "upper_colour",
        "Upper garment's colour",
        f"Its main colour. {colour_names.ABOUT}",
        lambda choices: colour_names.colour_name(choices["appearance"]["colors"][0]),
        colour_names.NAMES,
        subject=CLOTHES,
    ),
    Facet(
        "lower_colour",
        "Lower garment's colour",
        f"Dresses apart. {colour_names.ABOUT}",
        _lower_colour,
        colour_names.NAMES,
        subject=CLOTHES,
    ),
    Facet(
        "pattern",
        "Upper garment's pattern",
        "The weave or print of the cloth, logos apart.",
        _pattern,
        tuple(PATTERN_GROUPS),
        subject=CLOTHES,
    ),
    Facet(
        "look_alikes",
        "Look-alikes",
        "Whether the person belongs to a group that differs in small things only.",
        lambda choices: "none" if choices["look_alike"] is None else "some",
        ("none", "some"),
        subject=PERSON,
    ),
    Facet(
        "skin_tone",
        "Skin tone",
        f"{colour_names.SKIN_ABOUT}",
        lambda choices: colour_names.skin_tone(choices["appearance"]["skin"]),
        colour_names.SKIN_TONES,
        subject=PERSON,
    ),
    Facet(
        "age",
        "Age",
        "The age of face and hair, in thirds, on the body model's scale: 0.67 is a young adult, 1 is old.",
        lambda choices: float(choices["appearance"]["age"]),
        subject=PERSON,
    ),
    Facet(
        "gender",
        "Gender expression",
        "Whether face, body and wardrobe were drawn as a woman's or as a man's.",
        lambda choices: "woman" if choices["appearance"]["female"] else "man",
        ("woman", "man"),
        subject=PERSON,
    ),
    Facet(
        "weight",
        "Body weight",
        "In thirds, on the body model's scale: 0 is thin, 0.5 average, 1 heavy.",
        lambda choices: float(choices["shape"]["weight"]),
        subject=PERSON,
    ),
    Facet(
        "height",
        "Body height",
        "In thirds, on the body model's scale: 0.4 is about 1.80 m for a man and 1.66 m for a woman; 0.1 more is 11 cm.",
        lambda choices: float(choices["shape"]["height"]),
        subject=PERSON,
    ),
)
PAIRED = ("view",)  # facets that are also looked at in query and match together
