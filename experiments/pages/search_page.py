"""The page that a search writes: each query beside its matches, nearest first, in one self-contained file.

It needs no script: queries are links for the keyboard, textures unfold, and a phone shows one column.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.pages import template
from experiments.pages.report import Comparison, LabelledImage, Strip, three_digits

MANY_QUERIES = 12  # a longer list of them is folded
_METRICS = {"euclidean": "Euclidean distance", "cosine": "cosine distance (1 - cosine similarity)"}
_MISSING = np.full((192, 96, 3), 225, np.uint8)  # a plain ground where a picture is not there any more


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A picture and what is known of it.

    Attributes:
        picture: uint8 RGB [H W 3]; None where it is not there.
        name: Its name.
        distance: From the query.
        camera_id: The camera, or None.
        person: The user's word for the person; "" for none.
        camera: Likewise for the camera.
        right: Whether it shows the query's person, or None.
        same_person: Whether the distance says so, or None.
    """

    picture: np.ndarray | None
    name: str = ""
    distance: float = 0.0
    camera_id: int | None = None
    right: bool | None = None
    same_person: bool | None = None
    person: str = ""
    camera: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class ShownQuery:
    """A query, its matches and, where they are asked for, the textures of all of them (the query's first).

    Attributes:
        name: The query's name.
        query: Its picture.
        matches: Its matches, nearest first.
        textures: uint8 RGB [H W 3] for the query and each match, None for a picture that is not there; or None.
    """

    name: str
    query: Shown
    matches: Sequence[Shown]
    textures: Sequence[np.ndarray | None] | None = None


@dataclasses.dataclass(frozen=True)
class SearchPage:
    """What the page holds.

    Attributes:
        title: Its heading.
        notes: How to read it, a paragraph each.
        queries: The queries that are shown.
        total: How many there are; None where all are shown.
        hint: What to do first, above them; "" for nothing.
    """

    title: str
    notes: Sequence[str]
    queries: Sequence[ShownQuery]
    total: int | None = None
    hint: str = ""


def distance_words(metric: str) -> str:
    """Say what the number below a picture is."""
    return f"The number below a picture is its {_METRICS[metric]} from the query."


def truth_words(right: bool | None) -> str:
    """Say after a match's name whether it shows the query's person; "" where that is not known."""
    return {None: "", True: ", the right person", False: ", another person"}[right]


def to_html(page: SearchPage) -> str:
    """Return the whole page."""
    legend = ["Green and a check mark: the right person; red and a cross: another one; no mark: not known."]
    if any(match.same_person is not None for query in page.queries for match in query.matches):
        legend.append(
            'The word "same" is what the threshold says of the distance alone. Beside a cross, it takes another person for '
            "the query's; a check mark without it is the right person, but farther away than the threshold."
        )
    return template.fill(
        "search.html.j2",
        title=page.title,
        queries=[_comparison(query) for query in page.queries],
        textures=[_textures(query) for query in page.queries],
        notes=[*legend, *page.notes],
        many=MANY_QUERIES,
        total=len(page.queries) if page.total is None else page.total,
        hint=page.hint,
    )


def _comparison(query: ShownQuery) -> Comparison:
    right = [match.right for match in query.matches if match.right is not None]
    caption = f"{sum(right)} of the first {len(right)} are right" if right else f"the nearest {len(query.matches)}"
    strip = Strip(caption, [_labelled(match, rank) for rank, match in enumerate(query.matches, 1)])
    alt = f"query {query.name}{_absent(query.query)}"
    asked = LabelledImage(
        _pixels(query.query), f"query{_words(query.query)}", alt=alt, name=_name(query.query, query.name)
    )
    return Comparison(query.name, asked, [strip])


def _labelled(match: Shown, rank: int) -> LabelledImage:
    same = {None: "", True: " same", False: ""}[match.same_person]
    found = truth_words(match.right)
    said = {None: "", True: ", by its distance the same person", False: ", beyond the threshold"}
    distance = three_digits(match.distance)
    return LabelledImage(
        _pixels(match),
        f"{distance}{_words(match)}{same}",
        match.right,
        f"rank {rank}, {match.name}{found}{said[match.same_person]}, distance {distance}{_absent(match)}",
        _name(match, match.name),
    )


def _textures(query: ShownQuery) -> Comparison | None:
    if query.textures is None:
        return None
    first, *others = (_MISSING if texture is None else texture for texture in query.textures)
    images = [
        LabelledImage(texture, f"{rank}", alt=f"texture of rank {rank}") for rank, texture in enumerate(others, 1)
    ]
    asked = LabelledImage(first, "query", alt=f"texture of query {query.name}")
    return Comparison("", asked, [Strip("regressed textures, in the order above", images)])


def _pixels(shown: Shown) -> np.ndarray:
    return _MISSING if shown.picture is None else shown.picture


def _absent(shown: Shown) -> str:
    return "" if shown.picture is not None else ", picture not found"


def _name(shown: Shown, name: str) -> str:
    return f"{name}{_absent(shown)}"


def _words(shown: Shown) -> str:
    """Say who is shown, where the user has a word for the person, and by which camera."""
    person = f" {shown.person}" if shown.person else ""
    if shown.camera:
        return f"{person} {shown.camera}"
    return person if shown.camera_id is None else f"{person} cam\u00a0{shown.camera_id}"  # a line is not broken there
