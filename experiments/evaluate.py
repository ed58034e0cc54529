"""Scores a trained run on one or more benchmarks: embeddings by the encoder alone, then CMC, mAP and mINP.

    python -m experiments.evaluate --workdir=runs/san --dataset=market1501 --data_dir=data
    python -m experiments.evaluate --workdir=runs/san --dataset=market1501,dukemtmc_reid,partial_reid --data_dir=data
    python -m experiments.evaluate --workdir=runs/san --dataset=all --flip --rerank

Each dataset is scored by its own protocol (experiments.scoring.protocols), which is printed in words with the scores: for each
query, gallery images of its identity and camera are dropped; Partial REID is scored all against all and single-shot,
pit_reid with its queries, and with its partial and its occluded ones.
Scores on a dataset that the model was not trained on are marked cross-dataset, those of partial copies PARTIAL. Each
result is written as JSON (RUN/report/evaluate_<dataset>[_cosine][_trapezoidal][_flip][_rerank].json, with settings of
the re-ranking that are not the defaults). A dataset that cannot be scored does not stop the others; the exit code is
then 1.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths

# Of `san_jax.ranking`, which imports JAX; a test compares them.
METRICS = ("euclidean", "cosine")
AVERAGE_PRECISIONS = ("standard", "trapezoidal")
RERANK_SETTINGS = {  # name -> (default, meaning)
    "k1": (20, "neighbours that are looked at"),
    "k2": (6, "neighbours of the query expansion"),
    "lambda_value": (0.3, "weight of the original distance, 0 to 1"),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.evaluate", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a run")
    parser.add_argument(
        "--dataset", required=True, help="dataset with query and gallery, several by commas, or all that are built"
    )
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--output",
        type=paths.given,
        help="JSON file, with a single dataset (default: RUN/report/evaluate_<dataset>...json)",
    )
    parser.add_argument("--metric", choices=METRICS, help="distance (default: the test_metric of the run's config)")
    parser.add_argument(
        "--average_precision",
        choices=AVERAGE_PRECISIONS,
        default="standard",
        help="mean precision at the correct matches, or the area that the Market authors' MATLAB code takes",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average each embedding with that of the image mirrored left to right"
    )
    parser.add_argument("--rerank", action="store_true", help="k-reciprocal re-ranking")
    for name, (default, text) in RERANK_SETTINGS.items():
        parser.add_argument(f"--{name}", type=type(default), help=f"with --rerank: {text} (default: {default})")
    arguments = parser.parse_args(argv)
    settings = {name: value for name in RERANK_SETTINGS if (value := getattr(arguments, name)) is not None}
    if settings and not arguments.rerank:
        parser.error(f"--{next(iter(settings))} is a setting of --rerank, which is not given")

    from experiments.scoring import evaluation  # not before: --help needs no JAX
    from san_jax import ranking

    failures: dict[str, str] = {}
    try:
        names = evaluation.parse_datasets(arguments.dataset, arguments.data_dir)
        options = {
            "metric": arguments.metric,
            "average_precision": arguments.average_precision,
            "flip": arguments.flip,
            "rerank": ranking.KReciprocal(**settings) if arguments.rerank else None,
        }
        if len(names) == 1:
            evaluation.run(arguments.workdir, names[0], arguments.data_dir, output=arguments.output, **options)
        elif arguments.output:
            parser.error(f"--output names the file of one dataset, but --dataset names {len(names)}")
        else:
            _, failures = evaluation.run_datasets(arguments.workdir, names, arguments.data_dir, **options)
    except evaluation.KNOWN_ERRORS as error:
        sys.exit(f"evaluate: {error}")
    if failures:
        sys.exit("\n".join(f"evaluate: {name}: {reason}" for name, reason in failures.items()))


if __name__ == "__main__":
    command_line.run(main)
