"""Scores a trained run on one or more benchmarks: CMC, mAP and mINP, by the encoder alone.

    python -m experiments.evaluate --workdir=runs/san --dataset=market1501 --data_dir=data
    python -m experiments.evaluate --workdir=runs/san --dataset=market1501,partial_reid --rerank
    python -m experiments.evaluate --workdir=runs/san --dataset=all --flip

Each dataset is scored by its own protocol (experiments/scoring/protocols.py), which is printed in
words with the scores. Gallery images of the query's identity and camera are dropped, unless all
images are of one camera or none is known, or --same_camera=keep is given. Partial REID is scored
all against all and single-shot; pit_reid with its whole, its partial and its occluded queries.
Scores on a dataset that the model was not trained on are marked cross-dataset, those on partial
copies of a dataset PARTIAL, those with re-estimated BatchNorm statistics so. These are the
statistics of a dataset's pictures, read without labels, as a rule of the training split of the
dataset that is scored (unsupervised domain adaptation); of query or gallery the protocol says so.

Each result is written to RUN/report/evaluate_<dataset><options>.json, where <options> is what of
[_cosine][_trapezoidal][_keep][_flip][_best|_step<N>][_onnx][_bn_<dataset>_<split>][_rerank] is
asked for; settings of the last two that are not the defaults are part of the name. A dataset that
cannot be scored does not stop the others; the exit status is then 1.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import batch_norm_argument, compilation_cache, paths
from san_jax import runtimes
from san_jax.ranking_settings import AVERAGE_PRECISIONS, METRICS, SAME_CAMERA, KReciprocal

_RERANK_HELP = {
    "k1": "number of neighbours that are looked at",
    "k2": "number of neighbours of the query expansion",
    "lambda_value": "weight of the original distance, 0 to 1",
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    arguments = parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in _RERANK_HELP}
    changed = [name for name, value in settings.items() if value != parser.get_default(name)]
    if changed and not arguments.rerank:
        parser.error(f"--{changed[0]} is a setting of --rerank, which is not given")
    batch_norm_argument.check(parser, arguments)
    compilation_cache.enable()

    from experiments.runs import batch_norm
    from experiments.scoring import evaluation, protocols  # not before: --help needs no JAX

    failures: dict[str, str] = {}
    try:
        names = evaluation.parse_datasets(arguments.dataset, arguments.data_dir, arguments.workdir)
        options = protocols.Options(
            metric=arguments.metric or "",
            average_precision=arguments.average_precision,
            flip=arguments.flip,
            runtime=arguments.runtime,
            checkpoint=arguments.checkpoint,
            same_camera=arguments.same_camera,
            rerank=KReciprocal(**settings) if arguments.rerank else None,
            batch_norm=batch_norm.parse(arguments.batch_norm, arguments.batch_norm_images, arguments.batch_norm_seed),
        )
        if len(names) == 1:
            evaluation.run(arguments.workdir, names[0], arguments.data_dir, output=arguments.output, options=options)
        elif arguments.output:
            parser.error(f"--output names the file of one dataset, but --dataset names {len(names)}")
        else:
            _, failures = evaluation.run_datasets(arguments.workdir, names, arguments.data_dir, options)
    except evaluation.KNOWN_ERRORS as error:
        sys.exit(f"evaluate: {error}")
    if failures:
        sys.exit("\n".join(f"evaluate: {name}: {reason}" for name, reason in failures.items()))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("experiments.evaluate", __doc__)
    parser.add_argument(
        "--workdir", type=paths.given, required=True, help="folder of a run or of an export, or rendered-small"
    )
    command_line.add_checkpoint(parser)
    parser.add_argument(
        "--dataset",
        required=True,
        help="dataset with query and gallery, several separated by commas, or all that are built",
    )
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--output",
        type=paths.given,
        help="JSON file, for a single dataset (default: RUN/report/evaluate_<dataset>...json)",
    )
    parser.add_argument("--metric", choices=METRICS, help="distance (default: test_metric of the run's config)")
    parser.add_argument(
        "--average_precision",
        choices=AVERAGE_PRECISIONS,
        default="standard",
        help="standard: mean of the precisions at the correct matches; trapezoidal: area under the precision-recall "
        "curve, as in the MATLAB code of Market-1501's authors",
    )
    parser.add_argument(
        "--same_camera",
        choices=SAME_CAMERA,
        default="auto",
        help="gallery images of the query's person and camera: drop them, keep them as correct matches, or auto: drop "
        "them unless all images are of one camera or none is known",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average each embedding with that of the image mirrored left to right"
    )
    parser.add_argument(
        "--runtime", choices=runtimes.RUNTIMES, default=runtimes.JAX, help="jax, or onnx for onnxruntime on the CPU"
    )
    batch_norm_argument.add(parser)
    parser.add_argument("--rerank", action="store_true", help="apply k-reciprocal re-ranking")
    for field in dataclasses.fields(KReciprocal):
        parser.add_argument(
            f"--{field.name}",
            type=type(field.default),
            default=field.default,
            help=f"with --rerank: {_RERANK_HELP[field.name]}",
        )
    return parser


if __name__ == "__main__":
    command_line.run(main)
