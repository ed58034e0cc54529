"""A matcher of colour histograms: what `python -m experiments.histogram_matcher` scores."""

import json
import os
from typing import Any

import numpy as np
import tqdm
from jaxtyping import Float32, UInt8
from PIL import Image

from experiments.runs import data_sources
from experiments.scoring import protocols
from san_jax import ranking
from san_jax.counts import count
from san_jax.files import write_atomic

STRIPES = 6
BINS = (8, 4, 4)  # hue, saturation, value
SCORES = ("rank1", "mAP", "mINP")


def describe(image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, " bin"]:
    """Describe an RGB image by the square roots of its stripes' histograms, each of which sums to 1 / `STRIPES`.

    The Hellinger distance is H(p, q) = |sqrt(p) - sqrt(q)| / sqrt(2): descriptors are ranked by Euclidean distance.

    Raises:
        ValueError: The image has fewer rows than there are stripes.
    """
    height = len(image)
    if height < STRIPES:
        raise ValueError(f"expected an image of at least {STRIPES} rows, found {height}.")
    # Each channel is 0 to 255; a hue of 255 is 360 degrees.
    hsv = np.asarray(Image.fromarray(image).convert("HSV")).astype(np.intp)
    hue, saturation, value = (hsv[..., channel] * count // 256 for channel, count in enumerate(BINS))
    bins = (hue * BINS[1] + saturation) * BINS[2] + value
    stripes = np.array_split(bins, STRIPES)
    histograms = [np.bincount(stripe.ravel(), minlength=int(np.prod(BINS))) / stripe.size for stripe in stripes]
    return np.sqrt(np.concatenate(histograms) / STRIPES).astype(np.float32)


def describe_split(dataset: str, split: str, data_dir: str | os.PathLike[str]) -> tuple[np.ndarray, ...]:
    """Return descriptors float32 [N bins], person ids and camera ids int [N] of a split.

    Raises:
        datasets.DatasetError: The dataset or the split is absent.
    """
    source = data_sources.open_source(dataset, split, data_dir)
    rows = [
        (describe(example["image"]), int(example["person_id"]), int(example["camera_id"]))
        for example in tqdm.tqdm(source, desc=f"{dataset} {split}", unit="image", disable=None, leave=False)
    ]
    descriptors, person_ids, camera_ids = zip(*rows, strict=True)
    return np.stack(descriptors), np.array(person_ids), np.array(camera_ids)


def run(
    dataset: str, data_dir: str | os.PathLike[str], *, output: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Score the matcher on a benchmark, and write the result if asked to.

    Args:
        dataset: A dataset with splits query and gallery under `data_dir`.
        data_dir: Where TFDS keeps datasets.
        output: JSON file to write; None for none.

    Returns:
        The content of the JSON: dataset, matcher (in words), num_gallery, and for each split of queries (query, and the
        others of the benchmark's protocol) rank1, mAP, mINP (fractions), chance (the same for random rankings),
        num_query and num_valid_queries.

    Raises:
        datasets.DatasetError: The dataset or a split is absent.
        ValueError: No query has a match.
    """
    gallery = describe_split(dataset, "gallery", data_dir)
    summary: dict[str, Any] = {
        "dataset": dataset,
        "matcher": (
            f"{STRIPES} horizontal stripes, HSV histograms of {'x'.join(map(str, BINS))} bins, Hellinger distance"
        ),
        "num_gallery": len(gallery[0]),
    }
    for split in ("query", *protocols.query_splits(dataset, data_sources.list_splits(dataset, data_dir))):
        query = describe_split(dataset, split, data_dir)
        labels = (query[1], gallery[1], *protocols.Options().cameras_of(query[2], gallery[2]))
        result = ranking.evaluate_ranking(query[0], gallery[0], *labels, ranks=(1,))
        summary[split] = {
            **_scores(result),
            "chance": _scores(ranking.chance_scores(*labels, ranks=(1,))),
            "num_query": len(query[0]),
            "num_valid_queries": result.num_valid_queries,
        }
    if output is not None:
        write_atomic(output, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    return summary


def _scores(result: ranking.RankingResult) -> dict[str, float]:
    return dict(zip(SCORES, (result.cmc[1], result.mean_ap, result.mean_inp), strict=True))


def table(summary: dict[str, Any]) -> str:
    """Return the scores in percent, a line for each split of queries."""
    splits = [key for key, value in summary.items() if isinstance(value, dict)]
    width = max(map(len, [*splits, "%"]))
    lines = [
        f"{summary['dataset']}, {summary['num_gallery']:,} gallery images: {summary['matcher']}",
        f"{'%':<{width}}" + "".join(f"{name:>8}" for name in SCORES) + "   (chance)",
    ]
    for split in splits:
        result = summary[split]
        scores = "".join(f"{100 * result[name]:8.2f}" for name in SCORES)
        chance = ", ".join(f"{100 * result['chance'][name]:.2f}" for name in SCORES)
        queries = count(result["num_valid_queries"], "query", "queries")
        lines.append(f"{split:<{width}}{scores}   ({chance}) {queries} with a match")
    return "\n".join(lines)
