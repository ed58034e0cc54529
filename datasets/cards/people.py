"""What a card says of the people in the pictures, and of what the pictures are no good for."""

import enum
from collections.abc import Mapping
from typing import Any


class Shown(enum.Enum):
    """Who is in the pictures."""

    REAL = "real persons"
    OWN = "persons in a user's own pictures"
    RENDERED = "rendered persons"
    PHOTOGRAPHS = "rendered persons with photographs around or on them"
    SCANNED = "rendered persons whose textures were made from scans"


_PERSONAL = (
    "Pictures by which a person can be recognised are personal data in many countries, whatever the licence allows. "
    "Keep them where few can read them, give them on only as the terms allow, and delete them when they are no longer "
    "needed or a person shown asks for it. Do not use them to find out who somebody is or to watch people."
)
_PEOPLE = {
    Shown.REAL: (
        "**Real persons**, who can be recognised in the pictures. No consent of the persons shown is on record here. "
        "What San-JAX knows of where they were filmed stands in the benchmark's description; ask those who made it "
        "for the rest.",
        _PERSONAL,
    ),
    Shown.OWN: (
        "**The pictures are the user's own**; San-JAX does not know who is on them. Unless the description above says "
        "otherwise, take it that they show real persons and that no consent is on record. If they agreed, write here "
        "to what.",
        _PERSONAL,
        "The words by which the user called persons and cameras stand in `names.json`, and may stand in the feature "
        "`name` of every example (the file's path), in the limits below, in `source.txt.gz`, `croissant.json` and "
        "`metadata.json`. If they are people's names, they are personal data too: before you give the dataset on, build "
        "it again from folders and files that are named by numbers.",
    ),
    Shown.RENDERED: (
        "**Nobody.** Every person is drawn by a program, from a body model and a texture that it painted; no picture "
        "of a real person went in. If one looks like somebody, that is chance. There is no personal data and nobody "
        "whose consent is needed.",
    ),
    Shown.PHOTOGRAPHS: (
        "**The persons are drawn by a program**, but photographs are in the pictures, as cloth or background, and they "
        "may show real persons. San-JAX does not know whose they are or what the persons on them agreed to.",
        _PERSONAL,
    ),
    Shown.SCANNED: (
        "**The persons are drawn by a program from data of real ones:** SURREAL's textures were made from scans of "
        "real people, the poses were recorded from people, and the backgrounds are photographs, which may show others. "
        "What they agreed to stands in the terms of those files.",
        _PERSONAL,
    ),
}
_REAL_LIMITS = (
    "Scores hold for the persons, places, season and boxes of these pictures. Elsewhere they can be many times lower.",
    "Age, sex, skin colour and the like are not annotated, so the data cannot show whether a model does equally well "
    "for all people. Who was filmed is no sample of any population.",
)
_RENDERED_LIMITS = (
    "Rendered pictures are simpler than real ones. A model that was trained or scored on them alone says little about "
    "real pictures.",
    "Bodies, clothes, things carried, places and light come from shares and ranges that its makers chose (`parameters` "
    "in the metadata). They are no sample of any population.",
)
_LIMITS = {
    Shown.REAL: _REAL_LIMITS,
    Shown.OWN: _REAL_LIMITS,
    Shown.RENDERED: _RENDERED_LIMITS,
    Shown.PHOTOGRAPHS: _RENDERED_LIMITS,
    Shown.SCANNED: _RENDERED_LIMITS,
}


def people_of(shown: Shown) -> tuple[str, ...]:
    """Return paragraphs on who is shown and what is known of their consent."""
    return _PEOPLE[shown]


def limits_of(shown: Shown) -> tuple[str, ...]:
    """Return what holds of all datasets with such pictures."""
    return _LIMITS[shown]


def shown_in_rendering(parameters: Mapping[str, Any]) -> Shown:
    """Return who is in rendered pictures, by the recipe's parameters as a manifest holds them."""
    if parameters.get("recipe") == "paper":
        return Shown.SCANNED
    if parameters.get("cloth_dir") or parameters.get("background_dir"):
        return Shown.PHOTOGRAPHS
    return Shown.RENDERED
