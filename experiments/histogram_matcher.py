"""How far average colour alone gets on a benchmark: a matcher of colour histograms, scored by the benchmark's protocol.

    python -m experiments.histogram_matcher --dataset=pit_reid --data_dir=data [--output=FILE.json]

Six horizontal stripes of equal height, in each a histogram over HSV with 8 x 4 x 4 bins, and the Hellinger distance
between them, over the whole picture. There is nothing to train. A benchmark on which it does well is solved by colour.
It is misled where cameras have their own backgrounds: pictures of one camera look alike, and a match is from another one.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.histogram_matcher", __doc__)
    parser.add_argument("--dataset", required=True, help="dataset with query and gallery")
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument("--output", type=paths.given, help="JSON file to write")
    arguments = parser.parse_args(argv)

    from experiments.benchmarks import colour_histograms  # not before: --help needs no TFDS

    try:
        summary = colour_histograms.run(arguments.dataset, arguments.data_dir, output=arguments.output)
    except (ValueError, OSError) as error:
        sys.exit(f"histogram_matcher: {error}")
    print(colour_histograms.table(summary))


if __name__ == "__main__":
    command_line.run(main)
