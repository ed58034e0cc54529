"""Trains and scores the rows of one of the paper's tables with one budget, and writes the table.

    python -m experiments.ablate --table=1 --dataset=pit_reid --scale=small --output=ablation
    python -m experiments.ablate --table=1 --dataset=market1501,cuhk03/labeled --seeds=3 --data_dir=data --output=ablation

Tables: 1 (ablation), 2 (what the decoder reconstructs), 3 (benchmarks), 4 (partial persons), pg (backbones of SAN-PG, with the
quality of their textures) and l_tr (forms of L_TR); `experiments/ablation/tables.py` lists their rows.

`--scale=full` takes the configs of the paper as they are, the schedule's epochs counted for each benchmark; the benchmark and
`pit` must be built in `--data_dir` (`pit_reid` and `pit` are rendered there if absent). `--scale=small` renders its own small
`pit` and `pit_reid` and trains narrow networks on small images: Table 1 takes about an hour on two cores.

Every stage is the real program, done only where it is missing: interrupted at any moment, the same command goes on where it
was, row by row. A row that fails is named at the end and does not stop the others. All rows of a table have the same number
of identity-labelled batches; one SAN-PG run of each kind, of the first seed, gives textures and starts to all seeds.

OUTPUT/table_<name>.md and .html hold mean and sample standard deviation over the seeds beside the paper's numbers, and for
each run dataset, protocol, budget, hardware and commit; OUTPUT/results/ holds every run's scores as JSON.
"""

import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths

TABLES = ("1", "2", "3", "4", "pg", "l_tr")  # of `experiments.ablation.tables`, which a test compares


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.ablate", __doc__)
    parser.add_argument("--table", required=True, choices=TABLES, help="which table")
    parser.add_argument("--dataset", default="pit_reid", help="comma list of benchmarks to train on")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="size of everything")
    parser.add_argument("--output", type=paths.given, default="ablation", help="folder for runs, results and tables")
    parser.add_argument(
        "--data_dir", type=paths.given, default="data", help="with --scale=full: where TFDS keeps datasets"
    )
    parser.add_argument(
        "--pretrained",
        type=paths.given,
        help="weights for the baseline and SAN-PG: imagenet, a file, or empty for random ones (default: imagenet with "
        "--scale=full, random ones with --scale=small)",
    )
    parser.add_argument(
        "--rows", default="", help="comma list of the rows to make now, by their folders' names (default: all)"
    )
    parser.add_argument(
        "--target_dir", type=paths.given, default="", help="Table 2: folder of target images, as those of PN-GAN"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a config key for every run, such as model.compute_dtype=bfloat16 (num_steps: of SAN-PG alone); may be repeated",
    )
    arguments = parser.parse_args(argv)
    changes = [tuple(item.split("=", 1)) for item in arguments.set]
    if any(len(item) != 2 for item in changes):
        parser.error("--set takes KEY=VALUE")
    pretrained = arguments.pretrained
    if pretrained is None:
        pretrained = "imagenet" if arguments.scale == "full" else ""

    from experiments.ablation import runner  # not before: --help needs no JAX
    from experiments.ablation.request import Request

    try:
        request = Request(
            table=arguments.table,
            datasets=tuple(filter(None, arguments.dataset.split(","))),
            seeds=arguments.seeds,
            scale=arguments.scale,
            output=pathlib.Path(arguments.output),
            data_dir=pathlib.Path(arguments.data_dir),
            weights=pretrained,
            target_dir=arguments.target_dir,
            rows=tuple(filter(None, arguments.rows.split(","))),
            changes=tuple((key, value) for key, value in changes),
        )
        path, failures = runner.run(request)
    except KeyboardInterrupt:
        sys.exit("ablate: interrupted. The same command goes on from there.")
    except runner.KNOWN_ERRORS as error:
        sys.exit(f"ablate: {error}")
    print(path.read_text(encoding="utf-8"))
    print(path)
    if failures:
        sys.exit("\n".join(f"ablate: {name}: {reason}" for name, reason in failures.items()))


if __name__ == "__main__":
    command_line.run(main)
