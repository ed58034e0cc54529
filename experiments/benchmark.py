"""Measures the joint training step on this device: images per second and peak memory.

    python -m experiments.benchmark            # the network and the batches of san.py, both dtypes
    python -m experiments.benchmark --small    # a narrow network, for a CPU

The batches are made up and stay on the device, so that only the steps are measured: a reID step
with the four losses and a PIT step, in turn, augmentation included. Prints one JSON object for each
compute dtype.
"""

from collections.abc import Sequence

from experiments import command_line


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.benchmark", __doc__)
    parser.add_argument("--small", action="store_true", help="measure the network of san.py:smoke, not the full one")
    parser.add_argument(
        "--dtypes",
        type=command_line.comma_list,
        default="bfloat16,float32",
        help="compute dtypes to measure, separated by commas",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure each dtype")
    arguments = parser.parse_args(argv)

    from experiments.benchmarks import step  # not before: --help needs no JAX

    step.run(small=arguments.small, dtypes=arguments.dtypes, seconds=arguments.seconds)


if __name__ == "__main__":
    command_line.run(main)
