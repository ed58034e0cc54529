"""Compiles the steps of a training for a GPU, a TPU slice or several, without having them.

    python -m experiments.train_compile --config=san.py --topology=h100:1
    python -m experiments.train_compile --config=san.py --topology=v5e:4x8 --output=v5e.json

It answers whether a run fits and what it needs, for each kind of step: peak memory a device, bytes
moved, FLOPs, kernels, collectives, the operations that cost most with their source lines, and the
bound in images/s that bytes and FLOPs set at the device's published peaks. The bound is no timing.
docs/performance.md says what the numbers are. The idea is that of MaxText's train_compile.

Compiling for GPUs and TPUs needs packages that training does not. Set up an environment with them
by `make compile-env`, once, and run

    .venv-compile/bin/python -m experiments.train_compile --config=san.py --topology=h100:8

The exit status is 1 if a step does not fit. No data is read. To compile a step of the full network
takes half a minute for a GPU and a quarter of an hour or more for a TPU.
"""

import os
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.benchmarks.sizes import TRAINING_IDENTITIES
from experiments.command_line import config_argument, paths
from experiments.compiling.devices import DEVICES


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.train_compile", __doc__)
    config_argument.add(parser)
    parser.add_argument(
        "--topology",
        required=True,
        metavar="DEVICE:SHAPE",
        help=f"what to compile for: {', '.join(DEVICES)} or cpu, with the number of devices (h100:8), hosts x GPUs of "
        "each (h100:4x8) or the shape of a TPU slice (v5e:4x8)",
    )
    parser.add_argument(
        "--steps", type=command_line.comma_list, default="", help="reid or pit (default: all that the config has)"
    )
    parser.add_argument(
        "--num_classes",
        type=command_line.at_least(1),
        default=TRAINING_IDENTITIES["market1501"],
        help="training identities; 751 are Market-1501's",
    )
    parser.add_argument("--output", type=paths.given_file, help="JSON file to write as well (default: none)")
    arguments = config_argument.parse(parser, argv, required_key="method")

    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported: it would look for devices
    from experiments.compiling import program  # not before: --help needs no JAX

    try:
        fits = program.run(
            arguments.config,
            arguments.topology,
            kinds=arguments.steps,
            num_classes=arguments.num_classes,
            output=arguments.output,
        )
    except program.KNOWN_ERRORS as error:
        sys.exit(f"train_compile: {error}")
    if not fits:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
