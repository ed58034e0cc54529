"""Scores a trained run on a benchmark: embeddings by the encoder alone, CMC, mAP and mINP by the Market-1501 rule.

    python -m experiments.evaluate --workdir=runs/san --dataset=market1501 --data_dir=data

Prints the protocol in words and the scores, and writes both as JSON (default RUN/report/evaluate_<dataset>.json).
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments import data_sources, restore
from render.manifest import write_atomic
from san_jax import checkpoint, embed, ranking, sharding
from san_jax.data.pipeline import eval_batches
from san_jax.models import SAN
from san_jax.typing import EvalBatch

RANKS = (1, 5, 10)
BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class EmbeddedSplit:
    """Embeddings float32 [N D] of a split with person_ids, camera_ids int [N], in the split's order."""

    embeddings: np.ndarray
    person_ids: np.ndarray
    camera_ids: np.ndarray


def run(
    workdir: str | os.PathLike[str],
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    metric: str = "euclidean",
) -> dict[str, Any]:
    """Evaluates a run and writes the result.

    Args:
        workdir: Folder of a run.
        dataset: A dataset with splits query and gallery under `data_dir`.
        data_dir: Where TFDS keeps datasets.
        output: JSON file to write; None for `workdir`/report/evaluate_<dataset>.json.
        metric: "euclidean" or "cosine".

    Returns:
        What the JSON holds: dataset, protocol (words), rank1, rank5, rank10, mAP, mINP (fractions), chance (the same
        five scores of random rankings), num_query, num_gallery, num_valid_queries, metric, workdir, step.

    Raises:
        ValueError: Embeddings that are not finite, or a query and gallery that cannot be scored.
        datasets.DatasetError: The dataset or a split is absent.
    """
    model, config = restore.load_run(workdir, encoder_only=True)
    query, gallery = (embed_split(model, config, dataset, split, data_dir) for split in ("query", "gallery"))
    labels = (query.person_ids, gallery.person_ids, query.camera_ids, gallery.camera_ids)
    result = ranking.evaluate_ranking(query.embeddings, gallery.embeddings, *labels, ranks=RANKS, metric=metric)
    summary = {
        "dataset": dataset,
        "protocol": protocol(config.image_size, query.embeddings.shape[1], metric),
        **scores(result),
        "chance": scores(ranking.chance_scores(*labels, ranks=RANKS)),
        "num_query": len(query.person_ids),
        "num_gallery": len(gallery.person_ids),
        "num_valid_queries": result.num_valid_queries,
        "metric": metric,
        "workdir": str(workdir),
        "step": checkpoint.latest_step(pathlib.Path(workdir) / "checkpoints"),
    }
    path = pathlib.Path(workdir) / "report" / f"evaluate_{dataset}.json" if output is None else pathlib.Path(output)
    write_atomic(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    print(describe(summary))
    print(f"written to {path}")
    return summary


def embed_split(model: SAN, config: Any, dataset: str, split: str, data_dir: str | os.PathLike[str]) -> EmbeddedSplit:
    """Embeds a split by the encoder alone, over every device of this machine.

    Raises:
        datasets.DatasetError: The dataset or the split is absent.
    """
    mesh = sharding.make_mesh(jax.local_devices())
    batches = eval_batches(
        data_sources.open_source(dataset, split, data_dir),
        batch_size=-(-BATCH_SIZE // mesh.size) * mesh.size,
        image_size=config.image_size,
        num_workers=config.num_workers,
    )
    person_ids, camera_ids = [], []

    def noting_labels() -> Iterator[EvalBatch]:
        for batch in batches:
            person_ids.append(batch["person_id"][batch["valid"]])
            camera_ids.append(batch["camera_id"][batch["valid"]])
            yield batch

    embeddings = embed.embed_batches(model, noting_labels(), mesh=mesh)
    return EmbeddedSplit(embeddings, np.concatenate(person_ids), np.concatenate(camera_ids))


def scores(result: ranking.RankingResult) -> dict[str, float]:
    """The five scores under the names that the JSON has."""
    return {
        **{f"rank{rank}": value for rank, value in result.cmc.items()},
        "mAP": result.mean_ap,
        "mINP": result.mean_inp,
    }


def protocol(image_size: Sequence[int], dimensions: int, metric: str) -> str:
    """How the scores are made, in words."""
    distance = {"euclidean": "Euclidean distance", "cosine": "cosine distance"}[metric]
    return (
        "Market-1501 rule: for each query, gallery images of the same identity and the same camera are dropped, all "
        "others are ranked, distractors included; queries left without a correct match are skipped. AP is the mean of "
        "the precision at each correct match (not the trapezoidal area of the Market authors' MATLAB code), mINP the "
        "mean of (number of correct matches) / (rank of the last one). Equal distances are ranked by gallery index. "
        f"{distance} between {dimensions}-d embeddings of the encoder alone, images resized to "
        f"{image_size[0]}x{image_size[1]}; single query, no flip averaging, no re-ranking."
    )


def describe(summary: Mapping[str, Any]) -> str:
    """A result for the console: the protocol, then scores and chance in percent."""
    names = [*(f"rank{rank}" for rank in RANKS), "mAP", "mINP"]
    lines = [
        f"{summary['dataset']}: {summary['num_query']} queries ({summary['num_valid_queries']} with a match), "
        f"{summary['num_gallery']} gallery images; {summary['workdir']} at step {summary['step']}",
        *textwrap.wrap(summary["protocol"], 110),
        " " * 8 + "".join(f"{name:>9}" for name in names),
        f"{'score %':<8}" + "".join(f"{100 * summary[name]:9.2f}" for name in names),
        f"{'chance %':<8}" + "".join(f"{100 * summary['chance'][name]:9.2f}" for name in names),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, help="folder of a run")
    parser.add_argument("--dataset", required=True, help="dataset with query and gallery")
    parser.add_argument("--data_dir", default="data", help="where TFDS keeps datasets (data)")
    parser.add_argument("--output", help="JSON file (RUN/report/evaluate_<dataset>.json)")
    parser.add_argument("--metric", choices=ranking.METRICS, default="euclidean", help="distance (euclidean)")
    arguments = parser.parse_args(argv)
    try:
        run(
            arguments.workdir,
            arguments.dataset,
            arguments.data_dir,
            output=arguments.output,
            metric=arguments.metric,
        )
    except (ValueError, checkpoint.CheckpointError) as error:
        sys.exit(f"evaluate: {error}")


if __name__ == "__main__":
    main()
