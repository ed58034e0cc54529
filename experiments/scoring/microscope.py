"""Scores a run by what the manifest says of the pictures: where it fails, and whether it fails some people more."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.runs import data_sources, models, san_pg
from experiments.scoring import facets, microscope_words, per_query, protocols, resampling
from experiments.scoring.embedding import EmbeddedSplit, Embedder
from experiments.scoring.facets import FACETS, PAIRED, QUERY, Choices, Facet
from experiments.scoring.resampling import Cases, Draws, Group, Grouping
from render import manifest
from san_jax import checkpoint, files
from san_jax.counts import count
from san_jax.data.reading import read_names

VERSION = 1
FILE = "microscope.json"  # in the run's folder
SCORES = ("rank1", "mAP")
GALLERY = "gallery"
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is looked at.

    Attributes:
        workdir: The run's folder.
        dataset: A rendered benchmark.
        data_dir: Where TFDS keeps datasets.
        rendered: The folder that it was built from; None for the records that the dataset keeps.
        options: How it is scored; re-ranking, kept cameras and another average precision are refused.
        samples: Number of draws of persons.
        seed: Seed of the draws.
    """

    workdir: str | os.PathLike[str]
    dataset: str = "pit_reid"
    data_dir: str | os.PathLike[str] = "data"
    rendered: str | os.PathLike[str] | None = None
    options: protocols.Options = dataclasses.field(default_factory=protocols.Options)
    samples: int = resampling.SAMPLES
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """A split as a run embeds it, and as the manifest describes it.

    Attributes:
        embedded: The embeddings.
        choices: Name of each picture -> its choices, in the order of the embeddings.
    """

    embedded: EmbeddedSplit
    choices: Mapping[str, Choices]


def run(request: Request) -> dict[str, Any]:
    """Score a run by every facet, and write `microscope.json` into its folder.

    Returns:
        What the JSON holds: version, dataset, source_digest, workdir, step, checkpoint, metric, flip, num_query (by
        split), num_gallery, num_scored (queries of query that have a match), num_persons (of these), samples, seed,
        level, min_persons, num_differences (which share the level), single_level (at which each is judged for that;
        None without differences), overall (score -> score and interval) and facets: for each its name, title, about, subject, splits, pairs (whether its cases are pairs of a query and a
        match), left_out (cases without a value) and values, for each value its cases, persons, compared, and by score
        the fields of `resampling.Estimate` and beyond_noise; findings and limits are sentences.

    Raises:
        ValueError: The run or the dataset cannot be scored so.
        datasets.DatasetError: The dataset is absent, or no manifest says what its pictures show.
        facets.FacetError: The manifest lacks what a facet reads.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint.
    """
    records = data_sources.read_test_records(request.dataset, request.data_dir, request.rendered)
    model, plan, step = models.load_run(request.workdir, encoder_only=True, which=request.options.checkpoint)
    options = request.options.with_metric_of(plan)
    textures = san_pg.load_of_run(plan, request.workdir)
    embedder = Embedder(model, plan, request.data_dir, options.flip, textures, options.runtime)
    present = data_sources.list_splits(request.dataset, request.data_dir)
    splits = {
        split: _pictures(embedder, request, split, records)
        for split in (QUERY, facets.PARTIAL, facets.OCCLUDED, GALLERY)
        if split in present
    }
    found = {
        "version": VERSION,
        "dataset": request.dataset,
        "source_digest": data_sources.read_metadata(request.dataset, request.data_dir)["source_digest"],
        "workdir": str(request.workdir),
        "step": step,
        "checkpoint": options.checkpoint,
        "metric": options.metric,
        "flip": options.flip,
        **examine(splits, metric=options.metric, samples=request.samples, seed=request.seed),
    }
    found |= {"findings": microscope_words.findings(found), "limits": list(microscope_words.LIMITS)}
    path = pathlib.Path(request.workdir) / FILE
    if path.is_file() and (earlier := files.read_json(path).get("step")) != step:
        print(f"{request.workdir}: this replaces what was found of step {earlier}", flush=True)
    files.write_json(path, found)
    return found


def _pictures(embedder: Embedder, request: Request, split: str, records: Iterable[manifest.Record]) -> Pictures:
    """Embed a split, and find its pictures in the manifest by their names."""
    names = read_names(data_sources.open_source(request.dataset, split, request.data_dir))
    described = {record.image: record.choices for record in records if record.split == split}
    missing = [name for name in names if name not in described]
    if missing:
        raise facets.FacetError(
            f"The manifest of {request.dataset} says nothing of {len(missing):,} of the {count(len(names), 'picture')} "
            f"of {split}, such as {missing[0]}: remove the dataset and build it again."
        )
    return Pictures(embedder.embed(request.dataset, split), {name: described[name] for name in names})


def examine(splits: Mapping[str, Pictures], *, metric: str, samples: int, seed: int) -> dict[str, Any]:
    """Score embedded pictures by every facet.

    Args:
        splits: The splits by name: query and gallery, and those of partial and occluded queries where there are any.
        metric: The distance.
        samples: Number of draws of persons.
        seed: Seed of the draws.

    Returns:
        The part of what `run` returns that follows from the pictures.

    Raises:
        facets.FacetError: The manifest lacks what a facet reads.
        ValueError: No query has a correct match.
    """
    gallery = splits[GALLERY]
    scored = {name: _score(split, gallery, metric) for name, split in splits.items() if name != GALLERY}
    lenses = [_lens(facet, splits, scored) for facet in FACETS]
    lenses += [_paired_lens(facet, splits[QUERY], gallery, metric) for facet in FACETS if facet.name in PAIRED]
    draws = Draws(np.concatenate([lens.grouping.cases.persons for lens in lenses]), samples=samples, seed=seed)
    comparison = resampling.compare([lens.grouping for lens in lenses], draws)
    whole = scored[QUERY].cases
    return {
        "num_query": {name: len(split.choices) for name, split in splits.items() if name != GALLERY},
        "num_gallery": len(gallery.choices),
        "num_scored": len(whole.persons),
        "num_persons": len(np.unique(whole.persons)),
        "samples": samples,
        "seed": seed,
        "level": resampling.LEVEL,
        "min_persons": resampling.MIN_PERSONS,
        "num_differences": comparison.num_differences,
        "single_level": comparison.level,
        "overall": {
            name: {"score": float(values.mean()), "interval": list(draws.mean_interval(whole.persons, values))}
            for name, values in whole.scores.items()
        },
        "facets": [lens.to_json(groups) for lens, groups in zip(lenses, comparison.groups, strict=True)],
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _Scored:
    """The queries of a split that have a match.

    Attributes:
        cases: Their scores.
        valid: Which of the split's queries they are, bool [Q].
    """

    cases: Cases
    valid: np.ndarray


def _score(query: Pictures, gallery: Pictures, metric: str) -> _Scored:
    scores = per_query.query_scores(query.embedded, gallery.embedded, metric=metric)
    valid = np.isfinite(scores["mAP"])
    if not valid.any():
        raise ValueError("No query has a correct match of another camera in the gallery.")
    return _Scored(Cases(query.embedded.person_ids[valid], {name: scores[name][valid] for name in SCORES}), valid)


@dataclasses.dataclass(frozen=True, eq=False)
class _Lens:
    """A facet with the cases that it sorts.

    Attributes:
        facet: The facet, of a pair of pictures if its cases are pairs.
        splits: The splits that the queries are of.
        labels: Its values in words.
        grouping: The cases.
        pairs: Whether the cases are pairs of a query and a match.
    """

    facet: Facet
    splits: Sequence[str]
    labels: Sequence[str]
    grouping: Grouping
    pairs: bool = False

    def to_json(self, groups: Sequence[Group]) -> dict[str, Any]:
        """Return what the JSON says of the facet; values that no case has are left out."""
        fields = {name: getattr(self.facet, name) for name in ("name", "title", "about", "subject")}
        return {
            **fields,
            "splits": list(self.splits),
            "pairs": self.pairs,
            "left_out": int(np.count_nonzero(self.grouping.groups < 0)),
            "values": [
                {
                    "value": label,
                    "cases": group.num_cases,
                    "persons": group.num_persons,
                    "compared": group.compared,
                    **{
                        name: {**dataclasses.asdict(estimate), "beyond_noise": estimate.beyond_noise}
                        for name, estimate in group.estimates.items()
                    },
                }
                for label, group in zip(self.labels, groups, strict=True)
                if group.num_cases
            ],
        }


def _lens(facet: Facet, splits: Mapping[str, Pictures], scored: Mapping[str, _Scored]) -> _Lens:
    """Sort the queries of a facet's splits."""
    used = [split for split in facet.splits if split in scored]
    pictures = {
        name: choices
        for split in used
        for (name, choices), valid in zip(splits[split].choices.items(), scored[split].valid, strict=True)
        if valid
    }
    found = facets.sort_pictures(facet, pictures)
    cases = Cases(
        np.concatenate([scored[split].cases.persons for split in used]),
        {name: np.concatenate([scored[split].cases.scores[name] for split in used]) for name in SCORES},
    )
    return _Lens(facet, used, found.labels, Grouping(cases, found.groups, len(found.labels)))


def _paired_lens(facet: Facet, query: Pictures, gallery: Pictures, metric: str) -> _Lens:
    """Sort pairs of a query and one of its matches by the value of the query and that of the match."""
    queries, matches, ranks = per_query.single_match_ranks(query.embedded, gallery.embedded, metric=metric)
    of_query, of_match = (facets.sort_pictures(facet, one.choices) for one in (query, gallery))
    first, second = of_query.groups[queries], of_match.groups[matches]
    count = len(facet.values)
    cases = Cases(query.embedded.person_ids[queries], {"rank1": (ranks == 1).astype(np.float64), "mAP": 1.0 / ranks})
    pair = dataclasses.replace(
        facet,
        name=f"{facet.name}_pairs",
        title=f"{facet.title} of query and match",
        about=(
            f"{facet.about} Each correct match is ranked among the pictures of all other persons, without the query's "
            "other matches, so that numbers of matches do not matter; AP is 1 / rank."
        ),
    )
    labels = [f"{a} to {b}" for a in facet.values for b in facet.values]
    groups = np.where((first < 0) | (second < 0), -1, first * count + second)
    return _Lens(pair, [QUERY], labels, Grouping(cases, groups, count * count), pairs=True)
