"""Gathers what the demo's report shows: ranked lists, scores with a verdict in words, textures, curves."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from experiments.pages import microscope_page
from experiments.pages.examples import evenly_spaced
from experiments.pages.report import (
    Chart,
    Comparison,
    DemoReport,
    DifferenceRow,
    LabelledImage,
    PictureSection,
    ScoreRow,
    Series,
    Strip,
    three_digits,
)
from experiments.runs import data_sources, folder, models
from experiments.scoring import microscope, protocols, resampling
from experiments.scoring.embedding import EmbeddedSplit, Embedder, match_masks
from experiments.scoring.per_query import query_scores
from experiments.scoring.resampling import bootstrap_interval
from san_jax import embed, files, metric_logger, ranking
from san_jax.counts import count
from san_jax.data.reading import read_labels
from san_jax.pictures import resize_image

MODELS = {"baseline": "baseline", "san": "SAN"}  # folder of the run -> name on the page
NUM_PAIRS, NUM_IDENTITIES, NUM_TEXTURES, NUM_QUERIES, LIST_LENGTH = 6, 3, 8, 6, 10
NUM_LEADING = 2  # queries at the top of the page
_METRIC_WORDS = {"euclidean": "Euclidean", "cosine": "cosine"}
NUM_AVERAGED = 200  # textures of pit; their mean is the trivial guess


def make_report(
    *,
    data_dir: pathlib.Path,
    runs: pathlib.Path,
    summaries: Mapping[str, Mapping[str, Any]],
    fairness: Sequence[str],
    parts: Sequence[tuple[str, float, str]],
    facts: Sequence[tuple[str, str]],
    times_chance: float,
) -> DemoReport:
    """Read data and runs of a complete demo, and gather its report.

    Args:
        data_dir: Folder of the datasets `pit`, `pit_reid` and `pit_reid_textured`.
        runs: Folder of the runs `san_pg`, `baseline` and `san`; the last two hold what `microscope.run` found.
        summaries: What `evaluation.run` returned for "baseline" and "san".
        fairness: Items on what is equal between the two.
        parts: Parts of the demo, each (name, seconds, what it did).
        facts: Pairs (name, value) on hardware and versions.
        times_chance: How many times chance the rank-1 of both models must be.
    """
    query, gallery = (data_sources.open_source("pit_reid", split, data_dir) for split in ("query", "gallery"))
    splits = {}
    for name in MODELS:
        loaded = models.load_run(runs / name, encoder_only=True)
        embedder = Embedder(loaded.model, loaded.plan, data_dir)
        splits[name] = embedder.embed("pit_reid", "query"), embedder.embed("pit_reid", "gallery")
    metrics = {name: summaries[name]["metric"] for name in MODELS}
    each = {name: query_scores(*splits[name], metric=metrics[name]) for name in MODELS}
    identities = splits["san"][0].person_ids
    intervals = {key: bootstrap_interval(each["san"][key] - each["baseline"][key], identities) for key in each["san"]}
    ranked = ranking_section(query, gallery, splits, metrics)
    further = further_queries(summaries)
    return DemoReport(
        title="Semantics-aligned person re-identification, small",
        lead=dataclasses.replace(ranked, figures=ranked.figures[:NUM_LEADING]),
        verdict=verdict(summaries, intervals["mAP"], times_chance=times_chance),
        rows=score_rows(summaries, intervals),
        notes=[
            "Bold: ahead of the other model, with 0 outside the 95 % interval of the difference. No bold number in a "
            "column: the test persons do not tell which of the two is better.",
            f"{count(summaries['san']['num_query'], 'query', 'queries')}, "
            f"{count(summaries['san']['num_gallery'], 'gallery image')}.",
            summaries["san"]["protocol"],
            *(summaries["san"][split]["protocol"] for split in further),
        ],
        sections=[
            PictureSection(
                "More ranked lists", "As at the top of the page, for other queries.", ranked.figures[NUM_LEADING:]
            ),
            texture_section(query, data_sources.open_source("pit", "train", data_dir), runs),
            pseudo_texture_section(data_dir),
            pair_section(data_sources.open_source("pit", "train", data_dir)),
        ],
        charts=charts(runs),
        fairness=fairness,
        parts=parts,
        facts=facts,
        microscope=microscope_section(runs),
    )


def microscope_section(runs: pathlib.Path) -> Markup:
    """Show by what the manifest says of the queries where each model fails."""
    found = {label: files.read_json(runs / name / microscope.FILE) for name, label in MODELS.items()}
    return microscope_page.section_of_models(found)


def further_queries(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the splits of partial and occluded queries that were scored."""
    return [split for split in protocols.find("pit_reid").more_queries if split in summaries["san"]]


def score_rows(
    summaries: Mapping[str, Mapping[str, Any]], intervals: Mapping[str, tuple[float, float]]
) -> list[ScoreRow | DifferenceRow]:
    """Return the rows for chance, both models, their difference, and both with partial and with occluded queries.

    Args:
        summaries: What `evaluation.run` returned for "baseline" and "san".
        intervals: Interval (low, high) of the difference of each score, SAN minus baseline.
    """
    san, baseline = summaries["san"], summaries["baseline"]
    ahead = {
        "baseline": [key for key, (_, high) in intervals.items() if high < 0],
        "san": [key for key, (low, _) in intervals.items() if low > 0],
    }
    return [
        ScoreRow("random ranking", san["chance"], emphasis=False),
        *(ScoreRow(label, summaries[name], ahead=ahead[name]) for name, label in MODELS.items()),
        DifferenceRow("SAN minus baseline", {key: san[key] - baseline[key] for key in intervals}, intervals),
        *(
            ScoreRow(f"{label}, {split}", summaries[name][split], emphasis=False)
            for split in further_queries(summaries)
            for name, label in MODELS.items()
        ),
    ]


def verdict(
    summaries: Mapping[str, Mapping[str, Any]], interval: tuple[float, float], *, times_chance: float
) -> list[str]:
    """Say in sentences which model is ahead by mAP, how sure that is, and whether both are far above chance.

    Args:
        summaries: What `evaluation.run` returned for "baseline" and "san".
        interval: Interval (low, high) of the difference in mAP, SAN minus baseline. If it holds 0, no model is ahead.
        times_chance: How many times chance the rank-1 of both models must be.
    """
    san, baseline = summaries["san"], summaries["baseline"]
    gain = 100 * (san["mAP"] - baseline["mAP"])
    low, high = (100 * x for x in interval)
    if low <= 0 <= high:
        winner = "Neither model is ahead"
        doubt = "0 lies inside, so another draw of test persons could turn the result."
    else:
        winner = "SAN is ahead" if low > 0 else "The baseline is ahead; SAN did not help here"
        doubt = "0 lies outside, so the draw of test persons does not explain the difference."
    factors = {name: summaries[name]["rank1"] / summaries[name]["chance"]["rank1"] for name in MODELS}
    met = "as the demo asks" if min(factors.values()) >= times_chance else "WHICH THE DEMO ASKS FOR AND DID NOT GET"
    return [
        f"{winner}: mAP {100 * san['mAP']:.1f} (SAN) against {100 * baseline['mAP']:.1f} (baseline), "
        f"{gain:+.1f} points; rank-1 {100 * san['rank1']:.1f} against {100 * baseline['rank1']:.1f}.",
        f"With the test persons drawn anew {resampling.SAMPLES} times, 95 % of the differences in mAP lie between "
        f"{low:+.1f} and {high:+.1f} points: {doubt} This is one training seed of each; the spread between training "
        "seeds, several points at this size, is not in that interval.",
        f"Rank-1 is {factors['baseline']:.0f} (baseline) and {factors['san']:.0f} (SAN) times that of random rankings; "
        f"at least {times_chance:g} times, {met}.",
    ]


def pair_section(pit: Any) -> PictureSection:
    """Show some pairs of `pit`: image, texture, frontal view."""
    strips = []
    for index in evenly_spaced(len(pit), NUM_PAIRS):
        example = pit[index]
        images = [LabelledImage(example[key], label) for key, label in _PIT_IMAGES]
        strips.append(Strip(f"texture {example['texture_id']}", images))
    text = (
        f"{len(pit):,} rendered pairs: a person before a background, the texture it was drawn with (the target of "
        "SAN-PG), and the same person in the fixed frontal pose."
    )
    return PictureSection("Paired images and textures (pit)", text, strips)


_PIT_IMAGES = (("image", "image"), ("texture", "texture"), ("frontal", "frontal"))


def pseudo_texture_section(data_dir: pathlib.Path) -> PictureSection:
    """Show training identities of `pit_reid` over their cameras, with pseudo texture and true texture of one image."""
    textured = data_sources.open_source("pit_reid_textured", "train", data_dir)
    truth = data_sources.open_source("pit_reid", "train", data_dir)
    labels = read_labels(textured)
    strips = []
    for index in evenly_spaced(len(textured), NUM_IDENTITIES):
        examples = [textured[int(i)] for i in np.flatnonzero(labels == labels[index])]
        images = [LabelledImage(example["image"], f"camera {example['camera_id']}") for example in examples]
        images.append(LabelledImage(textured[index]["texture"], "pseudo texture"))
        images.append(LabelledImage(truth[index]["texture"], "truth (not used)"))
        strips.append(Strip(f"training identity {labels[index]}", images))
    text = (
        "An identity keeps body and clothes and changes pose, view and camera. SAN-PG regresses a pseudo texture from "
        "each training image; SAN is trained on these, not on the true ones."
    )
    return PictureSection("Training identities and their pseudo textures (pit_reid)", text, strips)


def texture_section(query: Any, pit: Any, runs: pathlib.Path) -> PictureSection:
    """Show regressed textures beside the true ones for identities that no model was trained on, with the mean error."""
    labels = {"san_pg": "SAN-PG", "san": "SAN"}
    regressors = {name: models.load_run(runs / name) for name in labels}
    plan = regressors["san"].plan
    size = plan.model.texture_size
    examples = [query[index] for index in range(len(query))]
    inputs = np.stack([resize_image(Image.fromarray(x["image"]), plan.image_size) for x in examples])
    truth = np.stack([_texture(x["texture"], size) for x in examples])
    regressed = {name: embed.regress_textures(run.model, inputs) for name, run in regressors.items()}
    pit_textures = [_texture(pit[index]["texture"], size) for index in evenly_spaced(len(pit), NUM_AVERAGED)]
    mean = np.stack(pit_textures).mean(axis=0, keepdims=True, dtype=np.float32)
    errors = {labels[name]: _error(textures, truth) for name, textures in regressed.items()}
    strips = []
    for index in evenly_spaced(len(examples), NUM_TEXTURES):
        images = [LabelledImage(examples[index]["image"], "image")]
        images += [LabelledImage(regressed[name][index], label) for name, label in labels.items()]
        images.append(LabelledImage(truth[index], "truth"))
        strips.append(Strip(f"test identity {examples[index]['person_id']}", images))
    text = (
        f"{size}x{size} textures regressed from query images, whose identities no model was trained on. Mean absolute "
        f"error in [-1, 1] over all {len(examples)} of them: "
        + ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
        + f"; for comparison, the mean of {len(pit_textures)} textures of pit, the same for every image: "
        f"{_error(mean, truth):.3f}."
    )
    return PictureSection("Regressed textures beside the truth", text, strips)


def ranking_section(
    query: Any,
    gallery: Any,
    splits: Mapping[str, tuple[EmbeddedSplit, EmbeddedSplit]],
    metrics: Mapping[str, str],
) -> PictureSection:
    """Show ranked lists of both models side by side, query by query.

    Args:
        query: Source of the query images.
        gallery: Source of the gallery images.
        splits: Embedded query and gallery of each model.
        metrics: Distance of each model.
    """
    figures = []
    for index in evenly_spaced(len(query), NUM_QUERIES):
        example = query[index]
        person, camera = f"test identity {example['person_id']}", example["camera_id"]
        correct, dropped = match_masks(splits["san"][0], splits["san"][1], index)  # the same for both models
        matches = int(np.count_nonzero(correct & ~dropped))
        figures.append(
            Comparison(
                f"{person}: {matches} right ones in the gallery",
                LabelledImage(example["image"], f"query, {_camera(camera)}", alt=f"query: {person}, camera {camera}"),
                [
                    _ranked_list(gallery, splits[name], index, label=label, metric=metrics[name])
                    for name, label in MODELS.items()
                ],
            )
        )
    words = " or ".join(dict.fromkeys(_METRIC_WORDS[metric] for metric in metrics.values()))
    text = (
        f"The {LIST_LENGTH} gallery images nearest to each query, nearest first; queries are spread evenly over the "
        f"split. Green and a check mark: the right person; red and a cross: another one. The number below an image is "
        f"its {words} distance to the query; each model has a scale of its own, so compare distances within one list."
    )
    return PictureSection("Ranked lists", text, figures)


def _ranked_list(
    source: Any,
    split: tuple[EmbeddedSplit, EmbeddedSplit],
    index: int,
    *,
    label: str,
    metric: str,
) -> Strip:
    """Return the gallery images of `source` that one model ranks first for a query."""
    query, gallery = split
    correct, dropped = match_masks(query, gallery, index)
    (row,) = ranking.pairwise_distances(query.embeddings[index : index + 1], gallery.embeddings, metric=metric)
    order = np.argsort(row, kind="stable")
    order = order[~dropped[order]][:LIST_LENGTH]
    images = []
    for rank, i in enumerate(order, start=1):
        right = bool(correct[i])
        words = f"rank {rank} of {label}, {'the right person' if right else 'another person'}"
        camera, distance = int(gallery.camera_ids[i]), three_digits(row[i])
        images.append(
            LabelledImage(
                source[int(i)]["image"],
                f"{distance} {_camera(camera)}",
                right,
                f"{words}, camera {camera}, distance {distance}",
            )
        )
    right = sum(bool(image.mark) for image in images)
    return Strip(f"{label}: {right} of the first {len(images)} are right", images)


def _camera(camera: int) -> str:
    return f"cam\u00a0{camera}"  # a line is not broken between the two


def charts(runs: pathlib.Path) -> list[Chart]:
    """Draw loss curves from the metrics of the runs. Each point is the mean since the point before."""
    metrics = {name: metric_logger.read_metrics(runs / name) for name in ("san_pg", *MODELS)}

    def series(run: str, key: str, label: str, every: int = 1) -> Series:
        records = [record for record in metrics[run] if key in record]
        return Series(label, [record["step"] / every for record in records], [record[key] for record in records])

    turns = len(folder.read_plan(runs / "san").batch_kinds)
    both = [("baseline", 1), ("san", turns)]
    parts = [("identification", "L_ID"), ("triplet", "L_Triplet")]
    return [
        Chart("SAN-PG: L_Rec on PIT", [series("san_pg", "pit/reconstruction", "SAN-PG")]),
        *(
            Chart(title, [series(run, f"reid/{key}", MODELS[run], every) for run, every in both], "reID batch")
            for key, title in parts
        ),
        Chart(
            "SAN: L_Rec",
            [
                series("san", "reid/reconstruction", "to pseudo textures", turns),
                series("san", "pit/reconstruction", "to PIT", turns),
            ],
            "reID batch",
        ),
        Chart("SAN: L_TR", [series("san", "reid/triplet_reid", "SAN", turns)], "reID batch"),
    ]


def _texture(texture: np.ndarray, size: int) -> np.ndarray:
    return resize_image(Image.fromarray(texture), (size, size))


def _error(textures: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute difference in units of [-1, 1]."""
    return float(np.mean(np.abs(textures.astype(np.float32) - truth.astype(np.float32)))) / 127.5
