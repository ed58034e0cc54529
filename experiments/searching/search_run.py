"""Searches a gallery for pictures: what `python -m experiments.search` does."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.pages import report, search_page
from experiments.runs import data_places, picture_sources
from experiments.searching import galleries, queries, verdicts
from experiments.searching.galleries import Filters, Gallery, SearchError
from experiments.searching.queries import Queries
from experiments.searching.verdicts import Verdict
from san_jax import (
    checkpoint,
    embedding_files,
    files,
    folder_lock,
    id_words,
    inference,
    living_gallery,
    onnx_file,
    run_folder,
    runtimes,
)
from san_jax.counts import count
from san_jax.embedding_files import UNKNOWN, Embeddings
from san_jax.id_words import IdWords
from san_jax.ranking import distances, nearest

JSON, CSV, PAGE = "ranked.json", "ranked.csv", "index.html"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WORDS = ("person", "camera")  # columns of a user's words, which are no paths
MAX_SHOWN = 100  # queries on the page; the other files hold all
MAX_LINES = 10  # queries in the terminal
SAME_PICTURE = 1e-3  # how far embeddings of one picture may be apart, of their length: float16 has 11 bits
THUMBNAIL = (192, 96)  # height and width, pixels
# Errors that a user can do something about; the messages say what.
KNOWN_ERRORS = (
    ValueError,
    OSError,
    checkpoint.CheckpointError,
    onnx_file.MissingPackagesError,
    living_gallery.MissingPackageError,
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is searched for, where and how.

    Attributes:
        gallery: A file or folder of embeddings, or a living gallery.
        workdir: The run that made them, or another source that `san_jax.load_encoder` takes.
        query: See `queries.read`.
        output: Folder to write to.
        checkpoint: Which of the run's checkpoints, see `san_jax.load_encoder`.
        top: Matches of each query.
        images: Where the gallery's pictures are; "" for where they were embedded from.
        data_dir: Where TFDS keeps datasets; None to look, see `data_places.find`.
        filters: Which pictures of the gallery are looked at.
        other_cameras: Leave out what a query's own camera took.
        false_match_rate: How often "same person" may be wrong for two persons; None for the usual rate.
        textures: Show the textures that the run regresses from the pictures.
        runtime: One of `runtimes.RUNTIMES`.
        batch_size: Pictures computed at a time.
        overwrite: Replace an earlier search in `output`.
    """

    gallery: str
    workdir: str
    query: str
    output: str
    checkpoint: str = run_folder.NEWEST
    top: int = 10
    images: str = ""
    data_dir: str | None = None
    filters: Filters = dataclasses.field(default_factory=Filters)
    other_cameras: bool = False
    false_match_rate: float | None = None
    textures: bool = False
    runtime: str = runtimes.JAX
    batch_size: int = 64
    overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Match:
    """A picture that was found; ids, time, track and answers are None where they are not known.

    Attributes:
        rank: Its place, counted from 1.
        name: Its name in the gallery.
        number: Its number in the gallery, counted from 0; in a living gallery among those that the filters leave.
        distance: Its distance from the query.
        person_id: The person's id.
        person: The user's word for the person; None where there is none.
        camera_id: The camera's id.
        camera: Likewise for the camera.
        time: When it was taken, seconds.
        track: The tracker's id.
        right: Whether it shows the query's person.
        same_person: Whether the distance says so.
        probability: How likely it is if both answers are equally likely beforehand.
    """

    rank: int
    name: str
    number: int
    distance: float
    person_id: int | None
    person: str | None
    camera_id: int | None
    camera: str | None
    time: float | None
    track: int | None
    right: bool | None
    same_person: bool | None
    probability: float | None


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A query and what was found, nearest first; ids and words as in `Match`.

    Attributes:
        met: How many pictures it was compared with.
        others: How many of them are not known to show its person, and not the query's own picture.
    """

    query: str
    person_id: int | None
    person: str | None
    camera_id: int | None
    camera: str | None
    met: int
    others: int
    matches: Sequence[Match]


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        ranked: The queries with their matches.
        searched: Pictures that the filters left.
        left_out: [name, reason] of the queries that could not be read.
        verdict: What the run's calibration says of the distances.
        hint: What to do about pictures that the page lacks; "" for nothing.
    """

    ranked: Sequence[Ranked]
    searched: int
    left_out: Sequence[tuple[str, str]]
    verdict: Verdict
    hint: str = ""


def run(request: Request) -> Found:
    """Search, and write `ranked.json`, `ranked.csv` and `index.html` into the output folder.

    Raises:
        SearchError: The gallery was made by another encoder, no query can be read, the filters leave nothing or cannot
            be applied, or `output` holds an earlier search.
        san_jax.calibration.CalibrationError: A false-match rate is asked for that the run's calibration does not know.
        ValueError: Textures are asked for and the run has no decoder.
    """
    output = pathlib.Path(request.output)
    gallery = galleries.open_gallery(request.gallery)
    request = dataclasses.replace(request, filters=request.filters.numbered(gallery.words))
    with folder_lock.hold(output):
        if not request.overwrite and (there := [name for name in (JSON, CSV, PAGE) if (output / name).exists()]):
            raise SearchError(
                f"{output} holds an earlier search ({', '.join(there)}): give another --output, or --overwrite."
            )
        encoder = inference.load_encoder(
            request.workdir, batch_size=request.batch_size, runtime=request.runtime, checkpoint=request.checkpoint
        )
        galleries.check_maker(gallery.path, gallery.made_by, encoder, request.workdir)
        regressor = None
        if request.textures:
            step = run_folder.NEWEST if encoder.step is None else encoder.step
            regressor = inference.load_regressor(request.workdir, checkpoint=step)
        verdict = verdicts.find(encoder, gallery.made_by, request.false_match_rate)
        data_dir = data_places.find_for_images(request.data_dir, request.workdir, request.query)
        wanted = queries.read(request.query, encoder, gallery.made_by, data_dir)
        ranked, searched = rank(gallery, wanted, request, verdict)
        found = Found(ranked, searched, wanted.left_out, verdict)
        page = _page(request, gallery, wanted, found, regressor)
        files.write_json(output / JSON, _as_json(request, gallery, encoder, found))
        files.write_atomic(output / CSV, _as_csv(ranked).encode())
        files.write_atomic(output / PAGE, search_page.to_html(page).encode())
    return dataclasses.replace(found, hint=page.hint)


def rank(
    gallery: Gallery, wanted: Queries, request: Request, verdict: Verdict, *, size: int = embedding_files.BLOCK
) -> tuple[list[Ranked], int]:
    """Find the nearest pictures of each query, reading the gallery once, in blocks of `size`.

    The matches are the nearest by float32 distances. Those that are kept are measured again, exactly, and ordered by
    that.

    Returns:
        The queries with their matches, and how many pictures were looked at.

    Raises:
        SearchError: The filters leave nothing, or a query's camera is asked for and not known.
    """
    words = gallery.words
    asked = wanted.embeddings
    if request.other_cameras and (asked.camera_ids == UNKNOWN).any():
        raise SearchError(
            "--other_cameras needs the camera of each query, which is known for DATASET:SPLIT and for embeddings of it."
        )
    cameras = id_words.renumber(asked.camera_ids, wanted.words.cameras, words.cameras)
    persons = id_words.renumber(asked.person_ids, wanted.words.persons, words.persons)
    neighbours = nearest.Nearest(asked.embeddings, request.top, metric=gallery.made_by["metric"], rows=size)
    met, own = np.zeros((2, len(asked)), np.int64)
    found: dict[int, _Kept] = {}  # the matches so far, by their index
    for numbers, block in gallery.blocks(request.filters, size):
        excluded = None
        if request.other_cameras:  # what an unknown camera took may be of the query's own
            excluded = (cameras[:, None] == block.camera_ids) | (block.camera_ids == UNKNOWN)
        looked_at = np.ones((len(asked), len(block)), bool) if excluded is None else ~excluded
        met += looked_at.sum(axis=1)
        own += (looked_at & (persons[:, None] == block.person_ids) & (persons[:, None] != UNKNOWN)).sum(axis=1)
        first = neighbours.added
        try:
            neighbours.add(block.embeddings, excluded)
        except ValueError as error:
            raise SearchError(f"{gallery.path}, pictures from {block.names[0]} on: {error}") from None
        kept = np.unique(neighbours.indices[neighbours.indices != nearest.NONE]).tolist()
        found = {i: found[i] if i < first else _keep(block, i - first, int(numbers[i - first]), words) for i in kept}
    if not found:
        raise SearchError(_nothing_left(gallery, request))
    ranked = []
    for row, name in enumerate(asked.names):
        near = [found[i] for i in np.sort(neighbours.indices[row]).tolist() if i != nearest.NONE]
        measured = _measure(asked.embeddings[row], near, gallery.made_by["metric"])
        order = np.argsort(measured, kind="stable")
        matches = _matches(int(persons[row]), [near[i].facts for i in order], measured[order], verdict)
        same = _same_pictures(asked.embeddings[row], [near[i] for i in order], matches)
        others = int(met[row] - own[row]) - same
        ranked.append(Ranked(name, **_who(asked, row, wanted.words), met=int(met[row]), others=others, matches=matches))
    return ranked, neighbours.added


def _nothing_left(gallery: Gallery, request: Request) -> str:
    """Say that the filters leave nothing, and when the pictures were taken where they are filtered by that."""
    filters = request.filters
    times = f" {gallery.times_words()}" if filters.by_time else ""
    return (
        f"{gallery.path} has no picture that could be a match ({filters.words() or 'no filters'}"
        f"{'; of other cameras' if request.other_cameras else ''}): give other filters. Filters leave out pictures whose "
        f"camera or time is not known.{times}"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """A picture that is among the nearest so far: what is known of it, by the fields of `Match`, and its embedding."""

    facts: dict[str, Any]
    embedding: np.ndarray


def _measure(query: np.ndarray, kept: Sequence[_Kept], metric: str) -> np.ndarray:
    """Return the distances of pictures from a query, float64."""
    if not kept:
        return np.zeros(0)
    embeddings = np.stack([one.embedding for one in kept])
    return distances.paired_distances(np.broadcast_to(query, embeddings.shape), embeddings, metric)


def _same_pictures(query: np.ndarray, kept: Sequence[_Kept], matches: Sequence[Match]) -> int:
    """Count the matches that are the query's own picture, as far as the ids do not tell: embeddings that are the same."""
    query = query.astype(np.float64)
    apart = [float(np.linalg.norm(one.embedding - query)) for one in kept]
    limit = SAME_PICTURE * float(np.linalg.norm(query))
    return sum(match.right is None and far <= limit for match, far in zip(matches, apart, strict=True))


def _matches(person: int, found: Sequence[dict[str, Any]], measured: np.ndarray, verdict: Verdict) -> list[Match]:
    """Return what was found of a query, nearest first, with the answers.

    Args:
        person: The query's person, by the gallery's number.
        found: What is known of each picture.
        measured: Its distance.
        verdict: What the run's calibration says of distances.
    """
    same, probability = verdict.decide(measured)
    return [
        Match(
            rank=place + 1,
            distance=float(measured[place]),
            right=_is_right(person, fact["person_id"]),
            same_person=same[place],
            probability=probability[place],
            **fact,
        )
        for place, fact in enumerate(found)
    ]


def _keep(block: Embeddings, row: int, number: int, words: IdWords) -> _Kept:
    time = np.nan if block.times is None else float(block.times[row])
    facts = {
        "name": block.names[row],
        "number": number,
        **_who(block, row, words),
        "time": None if np.isnan(time) else time,
        "track": None if block.tracks is None else _known(int(block.tracks[row])),
    }
    return _Kept(facts, block.embeddings[row].copy())  # a view would keep the whole block


def _who(embeddings: Embeddings, row: int, words: IdWords) -> dict[str, Any]:
    """Return the ids of a picture's person and camera, and the user's words for them."""
    person, camera = int(embeddings.person_ids[row]), int(embeddings.camera_ids[row])
    return {
        "person_id": _known(person),
        "person": words.persons.get(person),
        "camera_id": _known(camera),
        "camera": words.cameras.get(camera),
    }


def _is_right(person: int, found: int | None) -> bool | None:
    return None if person == UNKNOWN or found is None else found == person


def _known(number: int) -> int | None:
    return None if number == UNKNOWN else number


def _as_json(request: Request, gallery: Gallery, encoder: inference.Encoder, found: Found) -> dict[str, Any]:
    return {
        "gallery": request.gallery,
        "query": request.query,
        "workdir": request.workdir,
        "step": encoder.step,
        "metric": gallery.made_by["metric"],
        "weights_sha256": gallery.made_by["weights_sha256"],
        "top": request.top,
        "filters": {**request.filters.as_numbers(), "other_cameras": request.other_cameras},
        "searched": found.searched,
        "left_out": list(found.left_out),
        "same_person": found.verdict.as_json(),
        "queries": [dataclasses.asdict(ranked) for ranked in found.ranked],
    }


def _as_csv(ranked: Sequence[Ranked]) -> str:
    """A line for each match; what is not known is empty, and answers are true or false.

    Spreadsheets run a cell that begins with one of `_FORMULA` as a formula. Such a path gets "./" before it, which names
    the same file, and such a word an apostrophe.
    """
    text = io.StringIO()
    columns = [field.name for field in dataclasses.fields(Match)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["query", *columns])
    for query in ranked:
        for match in query.matches:
            values = (_cell(getattr(match, column), "'" if column in _WORDS else "./") for column in columns)
            writer.writerow([_cell(query.query), *values])
    return text.getvalue()


def _cell(value: object, mark: str = "./") -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"{mark}{value}"
    return str(value).lower() if isinstance(value, bool) else value


def _page(
    request: Request, gallery: Gallery, wanted: Queries, found: Found, regressor: inference.Regressor | None
) -> search_page.SearchPage:
    images = request.images or gallery.made_by.get("images", "")
    data_dir = data_places.find_for_images(request.data_dir, request.workdir, images)
    source = queries.open_source(gallery.made_by, data_dir, request.images)
    shown = [_shown(ranked, row, wanted, source, regressor) for row, ranked in enumerate(found.ranked[:MAX_SHOWN])]
    notes = [
        f"{count(found.searched, 'picture')} of {request.gallery} {'was' if found.searched == 1 else 'were'} searched, "
        f"embedded by {embedding_files.maker_words(request.workdir, gallery.made_by['step'])}. "
        f"{search_page.distance_words(gallery.made_by['metric'])}",
        *([f"Only {request.filters.words()}."] if request.filters.words() else []),
        *(["Pictures of the query's own camera are left out."] if request.other_cameras else []),
        *found.verdict.words([one.others for one in found.ranked]),
        *(
            [f"The first {MAX_SHOWN} of {len(found.ranked):,} queries; {JSON} and {CSV} hold all."]
            if len(found.ranked) > MAX_SHOWN
            else []
        ),
        *(f"Left out {name}: {reason}" for name, reason in found.left_out),
    ]
    return search_page.SearchPage(f"Search for {request.query}", notes, shown, len(found.ranked), _hint(shown))


def _hint(shown: Sequence[search_page.ShownQuery]) -> str:
    """Say what to do where pictures of the gallery are not found; "" where all are."""
    there = [match.picture is not None for query in shown for match in query.matches]
    if all(there):
        return ""
    lacking = there.count(False)
    which = (
        f"{lacking:,} of the {len(there):,} matches shown {'has' if lacking == 1 else 'have'} no picture"
        if any(there)
        else "no match has a picture"
    )
    return f"The pictures of the gallery are not where they were (give --images): {which}."


def _shown(
    ranked: Ranked,
    row: int,
    wanted: Queries,
    source: picture_sources.Pictures | None,
    regressor: inference.Regressor | None,
) -> search_page.ShownQuery:
    size = THUMBNAIL if regressor is None else regressor.image_size
    query = _picture(wanted.source, ranked.query, row, size)
    pictures = [_picture(source, match.name, match.number, size) for match in ranked.matches]
    textures = None
    if regressor is not None:
        there = [picture for picture in (query, *pictures) if picture is not None]
        regressed = iter(regressor(np.stack(there)) if there else [])
        textures = [None if picture is None else next(regressed) for picture in (query, *pictures)]
    return search_page.ShownQuery(
        ranked.query,
        search_page.Shown(query, camera_id=ranked.camera_id, person=ranked.person or "", camera=ranked.camera or ""),
        [
            search_page.Shown(
                picture,
                match.name,
                match.distance,
                match.camera_id,
                match.right,
                match.same_person,
                match.person or "",
                match.camera or "",
            )
            for picture, match in zip(pictures, ranked.matches, strict=True)
        ],
        textures,
    )


def _picture(source: picture_sources.Pictures | None, name: str, near: int, size: tuple[int, int]) -> np.ndarray | None:
    """A picture to show; None where it is not there or cannot be read any more."""
    number = None if source is None else source.find(name, near)
    return None if source is None or number is None else source.read(number, size).image


def describe(found: Found, request: Request) -> str:
    """Return the nearest match of each query, what was left out and where the page is, for people."""
    lines = [f"left out {name}: {reason}" for name, reason in found.left_out]
    for ranked in found.ranked[:MAX_LINES]:
        if ranked.matches:
            best = ranked.matches[0]
            same = {None: "", True: ", same person", False: ", beyond the threshold"}[best.same_person]
            truth = search_page.truth_words(best.right)
            who = "".join(f", {word}" for word in (best.person, best.camera) if word)
            lines.append(
                f"{ranked.query}: {best.name}{who}, distance {report.three_digits(best.distance)}{truth}{same}"
            )
    lines += (
        [count(len(found.ranked) - MAX_LINES, "more query", "more queries")] if len(found.ranked) > MAX_LINES else []
    )
    lines += found.verdict.words([one.others for one in found.ranked])
    lines += [found.hint] if found.hint else []
    return "\n".join(
        [*lines, f"{count(found.searched, 'picture')} searched; look at {os.path.join(request.output, PAGE)}"]
    )
