"""Scores a run by what a rendered benchmark's manifest says of its pictures, value by value.

    python -m experiments.microscope --workdir=runs/san --dataset=pit_reid --data_dir=data

View, light, distance, what hides or cuts off the person; bag, garment, colours and pattern; skin
tone, age, gender expression and build: for each value rank-1 and mAP of the queries that have it,
with 95 % intervals over test persons drawn anew, and the difference to all other queries. Where a
model fails, and whether it fails some people more than others, is said only of differences whose
interval, widened for the number of differences looked at, leaves 0 out.

RUN/microscope.json holds all of it (an export's model card takes it from there), and
RUN/report/microscope.html shows it. The dataset keeps the records of its test pictures; for one
that an older version built, give the rendered folder with --rendered.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from san_jax.ranking_settings import METRICS


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.microscope", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a run")
    command_line.add_checkpoint(parser)
    parser.add_argument("--dataset", default="pit_reid", help="a rendered benchmark")
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--rendered",
        type=paths.given,
        metavar="FOLDER",
        help="the rendered folder that the dataset was built from (default: the records that the dataset keeps)",
    )
    parser.add_argument("--metric", choices=METRICS, help="distance (default: test_metric of the run's config)")
    parser.add_argument("--flip", action="store_true", help="average with the embeddings of the mirrored pictures")
    parser.add_argument(
        "--samples", type=command_line.at_least(100), default=2000, help="how often the test persons are drawn anew"
    )
    parser.add_argument("--seed", type=command_line.at_least(0), default=0, help="draws the persons")
    arguments = parser.parse_args(argv)
    compilation_cache.enable()

    from experiments.pages import microscope_page  # not before: --help needs no JAX
    from experiments.runs import data_places
    from experiments.scoring import microscope, protocols

    options = protocols.Options(metric=arguments.metric or "", flip=arguments.flip, checkpoint=arguments.checkpoint)
    fields = ("workdir", "dataset", "rendered", "samples", "seed")
    data_dir = data_places.find(arguments.data_dir, [arguments.workdir], arguments.dataset)
    request = microscope.Request(
        data_dir=data_dir, options=options, **{name: getattr(arguments, name) for name in fields}
    )
    try:
        found = microscope.run(request)
        path = microscope_page.write(found, arguments.workdir)
    except microscope.KNOWN_ERRORS as error:
        sys.exit(f"microscope: {error}")
    print("\n".join([*microscope_page.describe(found), f"look at {path}"]))


if __name__ == "__main__":
    command_line.run(main)
