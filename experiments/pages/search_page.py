"""The page that a search writes: each query beside its matches, nearest first, in one self-contained file.

It needs no script: queries are links for the keyboard, textures unfold, and a phone shows one column.
"""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

from experiments.pages.report import (
    Comparison,
    LabelledImage,
    Strip,
    comparison_figure,
    document,
    paragraphs,
    three_digits,
)

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
        right: Whether it shows the query's person, or None.
        same_person: Whether the distance says so, or None.
    """

    picture: np.ndarray | None
    name: str = ""
    distance: float = 0.0
    camera_id: int | None = None
    right: bool | None = None
    same_person: bool | None = None


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
        queries: The queries.
    """

    title: str
    notes: Sequence[str]
    queries: Sequence[ShownQuery]


def distance_words(metric: str) -> str:
    """Say what the number below a picture is."""
    return f"The number below a picture is its {_METRICS[metric]} from the query."


def to_html(page: SearchPage) -> str:
    """Return the whole page."""
    links = "".join(
        f'<li><a href="#q{i}">{html.escape(query.name)}</a></li>' for i, query in enumerate(page.queries, 1)
    )
    links = f"<ol>{links}</ol>"
    if len(page.queries) > MANY_QUERIES:  # or a phone would show nothing else at first
        links = f"<details><summary>All {len(page.queries)} queries</summary>{links}</details>"
    lines = [f'<nav class="queries" aria-label="Queries">{links}</nav>'] if len(page.queries) > 1 else []
    lines += [_section(query, i, len(page.queries)) for i, query in enumerate(page.queries, 1)]
    legend = "Green and a check mark: the right person; red and a cross: another one; no mark: not known."
    lines += ["<h2>How to read this</h2>", f'<div class="note">{paragraphs([legend, *page.notes])}</div>']
    return document(page.title, lines, _STYLE)


def _section(query: ShownQuery, number: int, count: int) -> str:
    right = [match.right for match in query.matches if match.right is not None]
    caption = f"{sum(right)} of the first {len(right)} are right" if right else f"the nearest {len(query.matches)}"
    strip = Strip(caption, [_labelled(match, rank) for rank, match in enumerate(query.matches, 1)])
    asked = LabelledImage(_pixels(query.query), f"query{_camera(query.query)}", alt=f"query {query.name}")
    parts = [comparison_figure(Comparison(query.name, asked, [strip]))]
    if query.textures is not None:
        parts.append(f"<details><summary>Textures of these pictures</summary>{_textures(query)}</details>")
    jumps = [f'<a href="#q{number - 1}">previous query</a>'] if number > 1 else []
    jumps += [f'<a href="#q{number + 1}">next query</a>'] if number < count else []
    parts += [f'<p class="jumps">{" ".join(jumps)}</p>'] if jumps else []
    return f'<section id="q{number}" tabindex="-1">{"".join(parts)}</section>'


def _labelled(match: Shown, rank: int) -> LabelledImage:
    same = {None: "", True: " same", False: ""}[match.same_person]
    said = {None: "", True: ", by its distance the same person", False: ", beyond the threshold"}
    truth = {None: "", True: ", the right person", False: ", another person"}[match.right]
    distance = three_digits(match.distance)
    absent = "" if match.picture is not None else ", picture not found"
    return LabelledImage(
        _pixels(match),
        f"{distance}{_camera(match)}{same}",
        match.right,
        f"rank {rank}, {match.name}{truth}{said[match.same_person]}, distance {distance}{absent}",
    )


def _textures(query: ShownQuery) -> str:
    assert query.textures is not None
    first, *others = (_MISSING if texture is None else texture for texture in query.textures)
    images = [
        LabelledImage(texture, f"{rank}", alt=f"texture of rank {rank}") for rank, texture in enumerate(others, 1)
    ]
    asked = LabelledImage(first, "query", alt=f"texture of query {query.name}")
    return comparison_figure(Comparison("", asked, [Strip("regressed textures, in the order above", images)]))


def _pixels(shown: Shown) -> np.ndarray:
    return _MISSING if shown.picture is None else shown.picture


def _camera(shown: Shown) -> str:
    return "" if shown.camera_id is None else f" cam\u00a0{shown.camera_id}"  # a line is not broken between the two


_STYLE = """
.comparison .sides{grid-template-columns:112px minmax(0,1fr)}.ranks{grid-template-columns:repeat(auto-fill,minmax(84px,1fr))}
.comparison figcaption{font-size:15px;color:#1b1f24;font-weight:600}.queries ol{margin:0;padding-left:24px;columns:240px}
section{margin:0 0 26px;scroll-margin-top:8px}summary{cursor:pointer;margin:8px 0}.jumps{margin:6px 0}.jumps a{margin-right:16px}
a{color:#1a5fd0}a:focus-visible,summary:focus-visible,section:focus-visible{outline:3px solid #1a5fd0;outline-offset:2px}
@media (max-width:700px){.comparison .sides{grid-template-columns:minmax(0,1fr)}.ranks{grid-template-columns:repeat(3,minmax(0,1fr))}}
"""
