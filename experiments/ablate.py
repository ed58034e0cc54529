"""Trains and scores the rows of one of the paper's tables with one budget, and writes the table.

    python -m experiments.ablate --table=1 --dataset=pit_reid --scale=small --output=ablation
    python -m experiments.ablate --table=1 --dataset=market1501,cuhk03/labeled --seeds=3
    python -m experiments.ablate --table=1 --scale=small --dataset=market1501 --size=width=32
    python -m experiments.ablate --table=1 --scale=small --dataset=pit_reid --score_on=market1501

    1      ablation
    2      what the decoder reconstructs
    3      benchmarks
    4      partial persons
    pg     encoders of SAN-PG, and the quality of their textures
    l_tr   forms of L_TR
    bursts what keeps Adam from remembering the gradients of the first steps

experiments/ablation/tables.py lists the rows of each table.

--scale=full takes the configs of the paper as they are, with a schedule in epochs of each
benchmark. The benchmark and pit must have been built in --data_dir; pit_reid and pit are rendered
there if they are absent. --scale=small renders a small pit and pit_reid of its own, takes
benchmarks from --data_dir, and trains narrow networks on small images: Table 1 takes about an hour
on two cores. --size changes one of its sizes (experiments/ablation/small.py lists them).

Every step is the real program, and is skipped if its result is there: after an interruption the
same command continues, row by row. The same command may run several times at once, such as once for
each GPU with CUDA_VISIBLE_DEVICES: none makes a row that another one is making. A row that fails
does not stop the others and is named at the end. All rows of a table are trained on the same number
of identity-labelled batches. There is one SAN-PG run of each kind, of the first seed; textures and
starting weights of all seeds come from it.

OUTPUT/table_<name>.md and .html hold the mean and the sample standard deviation over the seeds
beside the paper's numbers, and the dataset, protocol, budget, hardware and commit of each run.
OUTPUT/results/ holds the scores of each run as JSON.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.ablation import tables
from experiments.command_line import compilation_cache, paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in ("set", "size"):
        if any("=" not in item for item in getattr(arguments, name)):
            parser.error(f"--{name} takes KEY=VALUE")
    changes = [item.split("=", 1) for item in arguments.set]
    sizes = dict(item.split("=", 1) for item in arguments.size)
    if sizes and arguments.scale != "small":
        parser.error("--size needs --scale=small")
    pretrained = arguments.pretrained
    if pretrained is None:
        pretrained = "imagenet" if arguments.scale == "full" else ""
    compilation_cache.enable()

    from experiments.ablation import runner  # not before: --help needs no JAX
    from experiments.ablation.request import SMALL, Request

    try:
        request = Request(
            table=arguments.table,
            datasets=tuple(arguments.dataset),
            seeds=arguments.seeds,
            scale=arguments.scale,
            output=pathlib.Path(arguments.output),
            data_dir=pathlib.Path(arguments.data_dir),
            weights=pretrained,
            target_dir=arguments.target_dir,
            rows=tuple(arguments.rows),
            changes=tuple((key, value) for key, value in changes),
            sizes=SMALL.changed(sizes),
            score_on=tuple(arguments.score_on),
        )
        path, failures = runner.run(request)
    except KeyboardInterrupt:
        sys.exit("ablate: interrupted. The same command continues from there.")
    except runner.KNOWN_ERRORS as error:
        sys.exit(f"ablate: {error}")
    print(path.read_text(encoding="utf-8"))
    print(path)
    if failures:
        sys.exit("\n".join(f"ablate: {name}: {reason}" for name, reason in failures.items()))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("experiments.ablate", __doc__)
    parser.add_argument("--table", required=True, choices=tuple(tables.TABLES), help="which table")
    parser.add_argument(
        "--dataset",
        type=command_line.comma_list,
        default="pit_reid",
        help="benchmark to train on, or several separated by commas",
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="size of data and networks")
    parser.add_argument("--output", type=paths.given, default="ablation", help="folder for runs, results and tables")
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--pretrained",
        type=paths.given,
        help="first weights of the baseline and of SAN-PG: imagenet, a file, or empty for random ones (default: "
        "imagenet with --scale=full, random ones with --scale=small)",
    )
    parser.add_argument(
        "--rows",
        type=command_line.comma_list,
        default="",
        help="rows to make now, by the names of their folders, separated by commas (default: all)",
    )
    parser.add_argument(
        "--score_on",
        type=command_line.comma_list,
        default="",
        help="datasets that every run is scored on besides those of the table, separated by commas (default: none)",
    )
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --scale=small: one of its sizes, such as reid_batches=2000; may be repeated (default: none)",
    )
    parser.add_argument(
        "--target_dir",
        type=paths.given,
        default="",
        help="for Table 2: folder of target images such as those of PN-GAN (default: none, the row is left out)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="config key of every run, such as model.compute_dtype=bfloat16 (with --scale=small, num_steps is SAN-PG's "
        "alone); may be repeated (default: none)",
    )
    return parser


if __name__ == "__main__":
    command_line.run(main)
