"""The page of a microscope: scores by what is known of the pictures, as bars with intervals."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from experiments.pages import template
from experiments.scoring import microscope_words
from experiments.scoring.facets import CLOTHES, PERSON, PICTURE
from san_jax.files import write_atomic

PAGE = pathlib.PurePath("report", "microscope.html")  # in the run's folder
TITLES = {PICTURE: "The picture", CLOTHES: "Clothes and bag", PERSON: "The person"}
_SCALES = (0.05, 0.1, 0.2, 0.5)  # where the bars may end, below 1


@dataclasses.dataclass(frozen=True)
class Line:
    """A bar: one score of one value.

    Attributes:
        name: Name of the score or the model.
        text: The score in percent.
        score, low, high, whole: Where the bar ends, its interval, and the score of all queries, percent of the scale.
        difference: The difference to the rest in words; "" where nothing is compared.
        beyond: Whether it is beyond noise.
    """

    name: str
    text: str
    score: float
    low: float | None
    high: float | None
    whole: float | None
    difference: str
    beyond: bool


@dataclasses.dataclass(frozen=True)
class Value:
    """A value of a facet: its name, what stands behind it, and its bars."""

    name: str
    support: str
    lines: Sequence[Line]


@dataclasses.dataclass(frozen=True)
class Table:
    """A facet: heading, how it is defined, and its values; `varies` says whether there is anything to compare."""

    title: str
    about: str
    values: Sequence[Value]
    varies: bool


def write(found: Mapping[str, Any], workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Write the page of what `microscope.run` returned into the run's folder, and return its path."""
    path = pathlib.Path(workdir) / PAGE
    write_atomic(path, to_html(found).encode())
    return path


def to_html(found: Mapping[str, Any]) -> str:
    """Return the whole page."""
    bars = [(name, found, key) for key, name in microscope_words.SCORES.items()]
    return template.fill(
        "microscope.html.j2",
        title=f"Where {found['workdir']} fails",
        found=found,
        scale=_scale([found], list(microscope_words.SCORES)),
        sections=[(title, bar_tables(bars, subject)) for subject, title in TITLES.items()],
    )


def section_of_models(found: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Return a section that shows the mAP of several models side by side.

    Args:
        found: Name of each model -> what `microscope.run` returned for it, all on the same pictures.
    """
    bars = [(name, one, "mAP") for name, one in found.items()]
    text = template.fill(
        "microscope_models.html.j2",
        found=found,
        scale=_scale(found.values(), ["mAP"]),
        sections=[(title, bar_tables(bars, subject)) for subject, title in TITLES.items()],
    )
    return Markup(text)


def bar_tables(bars: Sequence[tuple[str, Mapping[str, Any], str]], subject: str) -> list[Table]:
    """Return the facets of a subject.

    Args:
        bars: For each bar of a value its name, what `microscope.run` returned, and the key of the score.
        subject: One of `TITLES`.
    """
    scale = _scale([found for _, found, _ in bars], [key for _, _, key in bars])
    first = bars[0][1]
    tables = []
    for number, facet in enumerate(first["facets"]):
        if facet["subject"] == subject:
            values = [
                Value(
                    value["value"],
                    microscope_words.support(facet, value),
                    [_line(name, found, number, place, key, scale) for name, found, key in bars],
                )
                for place, value in enumerate(facet["values"])
            ]
            tables.append(Table(facet["title"], facet["about"], values, len(values) > 1))
    return tables


def _line(name: str, found: Mapping[str, Any], facet: int, value: int, key: str, scale: float) -> Line:
    estimate = found["facets"][facet]["values"][value][key]
    low, high = (None, None) if estimate["interval"] is None else (100 * end / scale for end in estimate["interval"])
    return Line(
        name,
        f"{100 * estimate['score']:.1f}",
        score=100 * estimate["score"] / scale,
        low=low,
        high=high,
        whole=None if found["facets"][facet]["pairs"] else 100 * found["overall"][key]["score"] / scale,
        difference="" if estimate["widened_interval"] is None else microscope_words.difference(estimate),
        beyond=estimate["beyond_noise"],
    )


def _scale(found: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> float:
    """Return the fraction at which the bars end: all scores and intervals are below it."""
    highest = 0.0
    for one in found:
        for facet in one["facets"]:
            for value in facet["values"]:
                highest = max(
                    highest,
                    *((value[key]["interval"] or [0.0])[-1] for key in keys),
                    *(value[key]["score"] for key in keys),
                )
    return next((scale for scale in _SCALES if highest <= scale), 1.0)


def describe(found: Mapping[str, Any]) -> list[str]:
    """Return what was found, for a terminal."""
    lines = []
    for facet in found["facets"]:
        lines.append(f"{facet['title']}:")
        for value in facet["values"]:
            words = microscope_words.support(facet, value)
            scores = "".join(
                f"{name:>8} {100 * value[key]['score']:5.1f}" for key, name in microscope_words.SCORES.items()
            )
            estimate = value["mAP"]
            told = "" if estimate["widened_interval"] is None else f"   {microscope_words.difference(estimate)}"
            lines.append(f"  {value['value']:<22}{words:>26}{scores}{told}{'  *' if estimate['beyond_noise'] else ''}")
    lines += ["", *found["findings"], *found["limits"]]
    return lines
