"""The tables of an ablation as Markdown and HTML."""

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.ablation import differences, small
from experiments.ablation.differences import QueryScores
from experiments.ablation.request import Request
from experiments.ablation.tables import Table
from experiments.pages import template
from experiments.runs.plan import RunPlan
from experiments.scoring import protocols, texture_quality
from san_jax import metric_logger
from san_jax.counts import count


def training_seconds(workdir: str | os.PathLike[str], plan: RunPlan) -> float:
    """How long a run trained, from the images per second that it logged; waits between interruptions do not count."""
    seconds, last = 0.0, 0
    sizes = [plan.batch_size(kind) for kind in plan.batch_kinds]
    for line in metric_logger.read_metrics(workdir):
        images = sum(sizes[(step - 1) % len(sizes)] for step in range(last + 1, int(line["step"]) + 1))
        seconds, last = seconds + images / line["images_per_second"], int(line["step"])
    return seconds


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, paragraphs, and a table of text cells; `strong` are the numbers of its emphasised rows."""

    title: str
    paragraphs: Sequence[str]
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    strong: frozenset[int] = frozenset()


def table_sections(
    table: Table,
    request: Request,
    results: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    failures: Mapping[str, str],
    read_queries: Callable[[str, str, int, str], QueryScores | None],
) -> list[Section]:
    """What the table's page holds: our scores beside the paper's, how they came about, every run, and what failed.

    Args:
        table: The table.
        request: What was asked for.
        results: Dataset -> row's key -> what each seed's JSON holds.
        failures: Run -> reason.
        read_queries: Returns the scores of each query, None where they are absent, of a row's key, the dataset of its
            table, its seed and the dataset that it was scored on.
    """
    sections = [_scores_section(table, request, dataset, results.get(dataset, {})) for dataset in request.datasets]
    for dataset in request.datasets:
        for column, on, part in request.columns(dataset):
            if not part:
                sections += _differences_section(table, dataset, (column, on), results.get(dataset, {}), read_queries)
    for dataset in request.datasets:
        runs = [run for row in table.rows for run in results.get(dataset, {}).get(row.key, ())]
        if runs:
            sections.append(_runs_section(table, request, dataset, runs))
    if failures:
        rows = [[name, reason] for name, reason in failures.items()]
        sections.append(Section("Not made", [], ["run", "reason"], rows))
    return sections


def _scores_section(
    table: Table, request: Request, dataset: str, results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Section:
    columns = [column for column, _, _ in request.columns(dataset)]
    names = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "mAP": "mAP"}
    words = " / ".join(names[name] for name in table.scores)
    papers = list(dict.fromkeys(column for row in table.rows for column in row.paper))
    header = ["", *(f"{column}, ours: {words}" for column in columns), "runs", *(f"{paper}, paper" for paper in papers)]
    rows = []
    for row in table.rows:
        if not row.belongs_to(dataset):
            continue
        runs = results.get(row.key, ())
        ours = [mean_and_deviation(table.scores, [run["scores"][column] for run in runs]) for column in columns]
        paper = [
            " / ".join(f"{score:.1f}" for score in row.paper[name]) if name in row.paper else "" for name in papers
        ]
        rows.append([row.name + (" (ours, not in the paper)" if row.ours else ""), *ours, str(len(runs)), *paper])
    paragraphs = [budget_words(request, [run for runs in results.values() for run in runs])]
    if papers:
        paragraphs.append(
            "The columns marked paper are the authors' numbers on other data with full-size networks; they are no "
            "measurement of this code and cannot be compared with ours in height, only in order."
            if dataset == "pit_reid"
            else "The columns marked paper are the authors' numbers, no measurement of this code."
        )
    paragraphs += [f"{row.name}: {row.note}." for row in table.rows if row.note and row.belongs_to(dataset)]
    title = f"Trained on {dataset}"
    return Section(title, paragraphs, header, rows, frozenset(i for i, row in enumerate(rows) if row[0] == "SAN"))


def _differences_section(
    table: Table,
    dataset: str,
    scored: tuple[str, str],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    read_queries: Callable[[str, str, int, str], QueryScores | None],
) -> list[Section]:
    """Return the differences between rows, scored on (column, dataset), as a section; none where no two rows are."""
    column, on = scored
    names = {row.key: row.name for row in table.rows}
    runs: dict[str, dict[int, QueryScores]] = {key: {} for key in names}
    for key in names:
        for seed in (run["seed"] for run in results.get(key, ())):
            if (scores := read_queries(key, dataset, seed, on)) is not None:
                runs[key][seed] = scores
    rows, strong = [], set()
    for key, other in differences.row_pairs(list(names), table.compared):
        pair = f"{names[key]} less {names[other]}"
        try:
            found = {name: differences.compare(runs[key], runs[other], name) for name in ("rank1", "mAP")}
        except ValueError as error:
            rows.append([pair, f"not compared: {error}", "", ""])
            continue
        known = [difference for difference in found.values() if difference is not None]
        if not known:
            continue
        if found["mAP"] is not None and found["mAP"].beyond_noise:
            strong.add(len(rows))
        cells = [pair]
        for difference in known:
            low, high = difference.interval
            cells.append(f"{100 * difference.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        rows.append([*cells, str(known[0].seeds)])
    if not rows:
        return []
    paragraph = (
        "Differences in points, each with the 95 % interval over other test persons and other seeds "
        "(experiments/ablation/differences.py). Emphasised: the mAP's interval leaves 0 out. Each interval holds for "
        "itself; among twenty of them one is expected to err. Where there is one seed, the interval knows of other "
        "persons only, and is too narrow."
    )
    header = ["scored on " + column, "rank-1", "mAP", "seeds"]
    return [
        Section(f"Differences, trained on {dataset}, scored on {column}", [paragraph], header, rows, frozenset(strong))
    ]


def mean_and_deviation(names: Sequence[str], scores: Sequence[Mapping[str, float]]) -> str:
    """Return scores of several seeds in percent: mean, and with two or more seeds the sample standard deviation."""
    if not scores:
        return "-"
    parts = []
    for name in names:
        values = [100.0 * score[name] for score in scores if score[name] is not None]
        if not values:
            parts.append("-")
            continue
        deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        parts.append(f"{statistics.fmean(values):.1f}{deviation}")
    return " / ".join(parts)


def budget_words(request: Request, runs: Sequence[Mapping[str, Any]]) -> str:
    """What every run was given, in one paragraph."""
    if not runs:
        return "No run is complete yet."
    batches = sorted({(run["reid_batches"], run["batch"]) for run in runs})
    given = ", ".join(
        f"{count(number, 'identity-labelled batch', 'identity-labelled batches')} of {count(size, 'image')}"
        for number, size in batches
    )
    text = f"Each run had {given}; rows with synthetic data had PIT batches between them."
    if request.scale == "small":
        sizes = request.sizes
        warmup = f" after {sizes.reid_warmup_epochs:g} epochs of warm-up on reID" if sizes.reid_warmup_epochs else ""
        text += (
            f" SMALL SCALE: images {sizes.image_size[0]}x{sizes.image_size[1]}, networks of base width {sizes.width} "
            f"(64 is the real one) and few blocks, textures {sizes.texture_size}x{sizes.texture_size}, "
            f"pit and pit_reid ({sizes.train_identities} training and {sizes.test_identities} test identities) rendered "
            f"{small.EASIER_WORDS}; SAN-PG trained for {sizes.san_pg_steps} steps of "
            f"{sizes.num_identities * sizes.images_of_each} of {sizes.pit_textures * sizes.pit_meshes} pairs; "
            f"Adam with a cosine from 1e-3{warmup}, gradients clipped to norm 1 unless a row says otherwise, no random "
            "erasing."
        )
    if request.changes:
        of_san_pg = request.scale == "small"  # where the rows have as many batches as the sizes say
        changes = [
            f"{key}={value}{' (SAN-PG alone)' if key == 'num_steps' and of_san_pg else ''}"
            for key, value in request.changes
        ]
        text += f" In every run, by --set: {', '.join(changes)}."
    start = request.weights or "random weights (no ImageNet file was given)"
    text += f" SAN-PG and the baseline start from {start}, the other rows from a SAN-PG run of seed 0."
    return text


def _runs_section(table: Table, request: Request, dataset: str, runs: Sequence[Mapping[str, Any]]) -> Section:
    names = {row.key: row.name for row in table.rows}
    header = ["run", "seed", "rank-1 / mAP / mINP", "reID + PIT batches", "training", "commit", "hardware", "JAX"]
    rows, paragraphs = [], []
    for run in runs:
        for column, on, _ in request.columns(dataset):
            scores = run["scores"][column]
            rows.append(
                [
                    f"{names[run['row']]}, {column}",
                    str(run["seed"]),
                    " / ".join(
                        "-" if scores[name] is None else f"{100 * scores[name]:.1f}"
                        for name in ("rank1", "mAP", "mINP")
                    ),
                    f"{run['reid_batches']:,} + {run['pit_batches']:,}",
                    f"{run['training_seconds'] / 60:.1f} min",
                    run["commit"][:12] + run["commit"][40:],
                    run["processor"],
                    run["jax"],
                ]
            )
            chance = scores["chance"]
            paragraphs.append(
                f"Protocol of {column}: {without_training(scores['protocol'], on, run['summaries'][on])} "
                f"Random rankings come to rank-1 {100 * chance['rank1']:.1f}, mAP {100 * chance['mAP']:.1f}."
            )
    return Section(f"Every run on {dataset}", list(dict.fromkeys(paragraphs)), header, rows)


def without_training(protocol: str, dataset: str, summary: Mapping[str, Any]) -> str:
    """A protocol's words without the last ones, on what the run was trained on, which differ from row to row."""
    training = protocols.Training(summary["trained_on"], summary["started_from"])
    return protocol.removesuffix(protocols.training_words(dataset, training)).rstrip()


def quality_section(qualities: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Section:
    """The textures of the SAN-PG runs against the truth."""
    rows = []
    for name, measured in qualities.items():
        for data, quality in measured.items():
            rows.append([name, data, *texture_quality.cells(quality)])
    paragraph = (
        f"{texture_quality.WORDS} Means over the textures. held-out pit: a rendering of other persons than those trained "
        "on; pit_reid, train: the pseudo textures that supervise the reID network."
    )
    return Section("Texture quality", [paragraph], ["SAN-PG", "data", *texture_quality.COLUMNS], rows)


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the page as Markdown."""
    return template.fill("ablation.md.j2", title=title, sections=sections)


def to_html(title: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML that loads nothing; all text is escaped."""
    return template.fill("ablation.html.j2", title=title, sections=sections)
