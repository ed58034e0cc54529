"""Scores a matcher of colour histograms on a benchmark: how far colour alone gets.

    python -m experiments.histogram_matcher --dataset=pit_reid --output=histograms.json

The matcher divides the whole picture into six horizontal stripes of equal height, takes an HSV
histogram of 8 x 4 x 4 bins of each, and compares them by the Hellinger distance. There is nothing
to train. A benchmark on which it does well can be solved by colour. Cameras with backgrounds of
their own mislead it: pictures of one camera look alike, while a match comes from another camera.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.histogram_matcher", __doc__)
    parser.add_argument("--dataset", required=True, help="dataset with query and gallery")
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument("--output", type=paths.given, help="JSON file to write the scores to (default: none)")
    arguments = parser.parse_args(argv)

    from experiments.benchmarks import colour_histograms  # not before: --help needs no TFDS

    try:
        summary = colour_histograms.run(arguments.dataset, arguments.data_dir, output=arguments.output)
    except (ValueError, OSError) as error:
        sys.exit(f"histogram_matcher: {error}")
    print(colour_histograms.table(summary))


if __name__ == "__main__":
    command_line.run(main)
