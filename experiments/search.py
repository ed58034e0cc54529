"""Finds the pictures of a gallery that are nearest to a picture, and writes a page to look at.

    python -m experiments.embed --workdir=runs/san --images=photos --output=photos.parquet
    python -m experiments.search --gallery=photos.parquet --workdir=runs/san --query=person.jpg \\
        --output=found

--gallery is what experiments.embed wrote (a file or a folder of parts), or a living gallery of
experiments.gallery; --workdir is the run that made it. --query is a picture, a folder, a text file
of paths, DATASET:SPLIT, or a file of embeddings. Every picture is compared, in blocks: nothing is
approximated, and memory does not grow with the gallery.

OUTPUT holds index.html (each query beside its matches, nearest first), ranked.json and ranked.csv.
Where persons are known, matches are marked as right or wrong; where the run is calibrated
(experiments.calibrate), each is said to be the same person or not, with the error rates of that.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from san_jax import runtimes


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    compilation_cache.enable()

    from experiments.searching import galleries, search_run  # not before: --help needs no JAX

    fields = (
        "gallery",
        "workdir",
        "checkpoint",
        "query",
        "output",
        "top",
        "images",
        "data_dir",
        "other_cameras",
        "false_match_rate",
    )
    fields = (*fields, "textures", "runtime", "batch_size", "overwrite")
    filters = galleries.Filters(arguments.cameras, (), arguments.after, arguments.before)
    request = search_run.Request(filters=filters, **{name: getattr(arguments, name) for name in fields})
    try:
        found = search_run.run(request)
    except search_run.KNOWN_ERRORS as error:
        sys.exit(f"search: {error}")
    print(search_run.describe(found, request))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("experiments.search", __doc__)
    parser.add_argument("--gallery", type=paths.given, required=True, help="embeddings, or a living gallery")
    parser.add_argument(
        "--workdir", type=paths.given, required=True, help="what made the gallery: a run, an export, or rendered-small"
    )
    command_line.add_checkpoint(parser)
    parser.add_argument(
        "--query",
        type=paths.given,
        required=True,
        help="picture, folder, text file of paths, DATASET:SPLIT or embeddings",
    )
    parser.add_argument("--output", type=paths.given, required=True, help="folder to write to")
    parser.add_argument("--top", type=command_line.at_least(1), default=10, help="matches of each query")
    parser.add_argument(
        "--images", type=paths.given, default="", help="where the gallery's pictures are (default: where they were)"
    )
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--cameras",
        type=command_line.cameras,
        default=(),
        metavar="CAMERA,CAMERA",
        help="only pictures of these cameras, by your words where the gallery has them, or by number (default: all)",
    )
    parser.add_argument(
        "--after",
        type=command_line.moment,
        help="only pictures from this time on: seconds, or a date and time such as 2026-11-28T10:00 (default: all)",
    )
    parser.add_argument("--before", type=command_line.moment, help="only pictures up to this time (default: all)")
    parser.add_argument("--other_cameras", action="store_true", help="leave out what the query's own camera took")
    parser.add_argument(
        "--false_match_rate",
        type=float,
        help="how often two persons may be called the same: 0.01, 0.001 or 0.0001, of a calibrated run (default: 0.001, "
        "or the lowest that the calibration supports)",
    )
    parser.add_argument("--textures", action="store_true", help="show the textures that the run regresses")
    parser.add_argument(
        "--runtime", choices=runtimes.RUNTIMES, default=runtimes.JAX, help="jax, or onnx for onnxruntime on the CPU"
    )
    parser.add_argument(
        "--batch_size", type=command_line.at_least(1), default=64, help="number of pictures computed at a time"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier search in --output")
    return parser


if __name__ == "__main__":
    command_line.run(main)
