"""Compares the pictures of a rendered dataset with those of a real one, statistic by statistic.

    python -m experiments.domain_gap --real=market1501 --rendered=pit_reid --output=gap

Luminance, contrast, chroma, gradients at three scales, grain, sharpness, JPEG blocks, darkness of
torso and legs, and where the gradients lie in the box. For each: the Wasserstein distance of the
two distributions in standard deviations of the real one, the same between two halves of the real
pictures (what is only chance), how often a rendered picture's number is the larger, and quartiles.
The largest difference comes first: it is what to mend first in the renderer.

OUTPUT/domain_gap.json has the numbers, OUTPUT/domain_gap.html the histograms. Neither holds a
picture.
"""

import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.domain_gap", __doc__)
    parser.add_argument("--real", required=True, help="dataset of real pictures, NAME or NAME:SPLIT (default: train)")
    parser.add_argument("--rendered", required=True, help="dataset to compare with it, NAME or NAME:SPLIT")
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--pictures", type=command_line.at_least(20), default=2000, help="number of pictures of each, drawn at random"
    )
    parser.add_argument("--size", default="128x64", help="HEIGHTxWIDTH of the comparison, pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of pictures")
    parser.add_argument("--output", type=paths.given, help="folder for the numbers and the page (default: none)")
    arguments = parser.parse_args(argv)
    height, _, width = arguments.size.partition("x")
    if not (height.isdigit() and width.isdigit()):
        parser.error(f"--size takes HEIGHTxWIDTH, such as 128x64, found {arguments.size!r}")

    from experiments.domain import gap_run  # not before: --help needs no TFDS
    from experiments.pages import domain_gap_page
    from san_jax.files import write_atomic

    request = gap_run.Request(
        arguments.real,
        arguments.rendered,
        pathlib.Path(arguments.data_dir),
        arguments.pictures,
        (int(height), int(width)),
        arguments.seed,
    )
    try:
        found, described = gap_run.run(request)
        if arguments.output:
            output = pathlib.Path(arguments.output)
            gap_run.write(found, request, output)
            page = domain_gap_page.to_html(found, request, *described)
            write_atomic(output / "domain_gap.html", page.encode())
    except (ValueError, OSError) as error:
        sys.exit(f"domain_gap: {error}")
    print(gap_run.table(found, request))


if __name__ == "__main__":
    command_line.run(main)
