"""Times the renderer: pairs a second of one process and of several, and milliseconds a pair by stage.

    python -m experiments.benchmark_render [--recipe=pit --recipe=pit_reid] [--num_pairs=60] [--num_processes=2]

What is measured: consecutive pairs of the recipe with its default parameters, from the plan of a record to the bytes of
its files (texture PNG, picture and, for `pit`, frontal view as JPEG); files are not written. A texture is painted once
for all pairs that share it, so its painting and its PNG count for their part of the pairs. Every process is set up as a
worker of `experiments.pit_render`, on one core. What it makes once (body, OpenGL, painted grounds and walls, pictures of things) is made
before the clock starts, and given apart.

Stages are in processor time: on a busy machine it tells what a free core would do, within the share that busy
neighbours take of caches and of a core's other thread. Pairs a second are given by processor time too, and by the wall's
clock, by which alone several processes can be compared with one; `processors` is how much of a core each process got.
With a GPU the processor does not count the time it sleeps while it waits for the GPU: read the wall's clock.
"""

import os
from collections.abc import Sequence

from experiments import command_line


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.benchmark_render", __doc__)
    parser.add_argument(
        "--recipe",
        action="append",
        choices=("pit", "pit_reid"),
        help="what to draw; may be given again (default: both)",
    )
    parser.add_argument(
        "--num_pairs", type=command_line.at_least(1), default=60, help="number of pairs of each process"
    )
    parser.add_argument(
        "--num_processes", type=command_line.at_least(2), default=2, help="number of processes to compare with one"
    )
    arguments = parser.parse_args(argv)

    # As the workers of experiments.pit_render, before NumPy and OpenGL are loaded; spawned processes inherit it.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", LP_NUM_THREADS="0")
    from experiments.benchmarks import render  # not before: --help needs neither NumPy nor trimesh

    render.compare(arguments.recipe or ("pit", "pit_reid"), arguments.num_pairs, arguments.num_processes)


if __name__ == "__main__":
    command_line.run(main)
