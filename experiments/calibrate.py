"""Finds the distances below which two pictures show the same person, and how often that is wrong.

    python -m experiments.calibrate --workdir=runs/san --dataset=market1501:query+gallery
    python -m experiments.calibrate --workdir=runs/san --embeddings=gallery.parquet

Every pair of pictures of two cameras is counted by its distance (of one camera, too, where there is
only one, which is said): equal error rate, ROC, the thresholds at false-match rates of 0.01, 0.001
and 0.0001 with the pairs behind each, and the probability of "same person" by distance. A rate that
too few pairs support gets no threshold. All of it is also learnt on half of the persons and checked
on the others.

RUN/calibration.json is what experiments.search and `encoder.same_person` of san_jax.load_encoder
answer by; RUN/report/calibration.html shows it. Take persons that the run was not trained on. RUN
may also be the folder of an export.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from san_jax.ranking_settings import SAME_CAMERA


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.calibrate", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a run or of an export")
    parser.add_argument(
        "--dataset", default="", metavar="NAME:SPLIT", help="pictures of known persons (default: those of --embeddings)"
    )
    parser.add_argument(
        "--embeddings", type=paths.given, default="", help="what experiments.embed wrote (default: embed --dataset)"
    )
    command_line.add_checkpoint(parser)
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--same_camera",
        choices=SAME_CAMERA,
        default="auto",
        help="pairs of pictures of one camera: drop them, keep them, or auto: drop them unless there is only one camera",
    )
    parser.add_argument("--flip", action="store_true", help="average with the embeddings of the mirrored pictures")
    parser.add_argument(
        "--batch_size", type=command_line.at_least(1), default=64, help="number of pictures computed at a time"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the half of the persons that is checked")
    arguments = parser.parse_args(argv)
    if bool(arguments.dataset) == bool(arguments.embeddings):
        parser.error("give either --dataset=NAME:SPLIT or --embeddings=FILE")
    if arguments.embeddings and arguments.flip:
        parser.error("--flip is for --dataset: --embeddings are what they are")
    compilation_cache.enable()

    from experiments.searching import calibration_run  # not before: --help needs no JAX

    try:
        found, place = calibration_run.run(calibration_run.Request(**vars(arguments)))
    except calibration_run.KNOWN_ERRORS as error:
        sys.exit(f"calibrate: {error}")
    print(calibration_run.describe(found, place))


if __name__ == "__main__":
    command_line.run(main)
