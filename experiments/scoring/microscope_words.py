"""What a microscope found, in sentences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.scoring.facets import PERSON
from san_jax.counts import count

SCORES = {"mAP": "mAP", "rank1": "rank-1"}
LIMITS = (
    "The persons are rendered. What is said of skin tone, age, gender expression and build holds for how they are drawn, "
    "and is no measure for real people: measure on people like yours before you rely on it.",
    "A value's queries differ from the others in more than this value, and nothing is held equal: a difference says "
    "where the model fails, not why.",
    "The intervals are over test persons drawn anew. This is one training; the spread between trainings, the renderer "
    "and its cameras is not in them.",
)


def findings(found: Mapping[str, Any]) -> list[str]:
    """Say what a microscope found: scores, differences beyond noise, and what is known of people.

    Args:
        found: What `microscope.examine` returns, with dataset and step.
    """
    scores = ", ".join(f"{name} {with_interval(found['overall'][key])}" for key, name in SCORES.items())
    first = (
        f"{count(found['num_scored'], 'query', 'queries')} of {count(found['num_persons'], 'person')} of "
        f"{found['dataset']}, at step {found['step']}: {scores}; in brackets 95 % intervals over persons drawn anew "
        f"{found['samples']:,} times."
    )
    if not found["num_differences"]:
        return [
            first,
            f"No value has {found['min_persons']} persons on both sides, so nothing can be said of differences.",
        ]
    beyond = [words for facet in found["facets"] if (words := _beyond(facet))]
    second = (
        f"{count(found['num_differences'], 'difference')} of a value from the rest "
        f"{'was' if found['num_differences'] == 1 else 'were'} looked at, so each one's interval is widened "
        f"to {100 - 100 * found['single_level']:.2f} %, and together they hold with 95 %. "
    )
    if beyond:
        second += "Beyond noise, with 0 outside of the widened interval, are:"
    else:
        second += "0 lies inside of all of them: these test persons do not show where the model fails more."
    return [first, second, *beyond, _people(found)]


def with_interval(estimate: Mapping[str, Any]) -> str:
    """Write a score in percent with its interval."""
    text = f"{100 * estimate['score']:.1f} %"
    return (
        text
        if estimate["interval"] is None
        else f"{text} ({{:.1f}} to {{:.1f}})".format(*_percent(estimate["interval"]))
    )


def difference(estimate: Mapping[str, Any]) -> str:
    """Write a difference in points with its widened interval."""
    low, high = _percent(estimate["widened_interval"])
    return f"{100 * estimate['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def support(facet: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Say what stands behind a value."""
    cases = ("pair", "pairs") if facet["pairs"] else ("query", "queries")
    return f"{count(value['cases'], *cases)}, {count(value['persons'], 'person')}"


def compared(facet: Mapping[str, Any]) -> bool:
    """Return whether there is anything to compare: two values with enough persons on both sides, or more."""
    return any(value["compared"] for value in facet["values"])


def _beyond(facet: Mapping[str, Any]) -> str:
    """Name the values of a facet that differ beyond noise, by mAP where that does; "" for none."""
    parts = []
    for value in facet["values"]:
        key = next((key for key in SCORES if value[key]["beyond_noise"]), None)
        if key is not None:
            parts.append(f"{value['value']} {difference(value[key])} points of {SCORES[key]}")
    return f"{facet['title']}: {', '.join(parts)}." if parts else ""


def _people(found: Mapping[str, Any]) -> str:
    facets = [facet for facet in found["facets"] if facet["subject"] == PERSON]
    looked_at = [facet for facet in facets if compared(facet)]
    if not looked_at:
        return "Whether it fails some people more than others cannot be said: too few persons stand behind every value."
    names = _list(facet["title"].lower() for facet in looked_at)
    beyond = [facet["title"].lower() for facet in looked_at if _beyond(facet)]
    if beyond:
        return f"It fails some people more than others, beyond noise, by {_list(beyond)} (of {names})."
    intervals = [value["mAP"]["widened_interval"] for facet in looked_at for value in facet["values"]]
    reaches = [max(map(abs, interval)) for interval in intervals if interval is not None]
    if not reaches:
        return f"By {names} nothing can be said: all persons score alike, so no difference has an interval."
    return (
        f"By {names} no difference is beyond noise. That is no proof of equal treatment: the widened intervals reach as far "
        f"as {100 * max(reaches):.0f} points of mAP."
    )


def _list(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _percent(interval: Sequence[float]) -> list[float]:
    return [100 * end for end in interval]
