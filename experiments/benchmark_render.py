"""Times the renderer: pairs per second of one process and of several, milliseconds by phase.

    python -m experiments.benchmark_render
    python -m experiments.benchmark_render --recipe=pit_reid --num_pairs=100 --num_processes=8

Consecutive pairs of the recipe are drawn with its default parameters, from the plan of a record to
the bytes of its files (texture as PNG, picture and, for pit, frontal view as JPEG); files are not
written. A texture is painted once for all pairs that share it, so that each of them bears its part
of the painting and of the PNG. Every process is set up as a worker of experiments.pit_render, on
one core. What it makes once (body, OpenGL, painted grounds and walls, pictures of things) is made
before the clock starts and given separately.

Phases are given in processor time: on a busy machine it shows what a free core would do, except
that busy neighbours share caches and the core's other thread. Pairs per second are given by
processor time and by wall-clock time; several processes can be compared with one by wall-clock time
only. "processors" is the part of a core that each process got. With a GPU, processor time leaves
out the time spent waiting for the GPU: read wall-clock time.
"""

import os
from collections.abc import Sequence

from experiments import command_line
from san_jax.dataset_names import RENDERED


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.benchmark_render", __doc__)
    parser.add_argument(
        "--recipe", action="append", choices=RENDERED, help="what to draw; may be repeated (default: both)"
    )
    parser.add_argument(
        "--num_pairs", type=command_line.at_least(1), default=60, help="number of pairs that each process draws"
    )
    parser.add_argument(
        "--num_processes", type=command_line.at_least(2), default=2, help="number of processes to compare with one"
    )
    arguments = parser.parse_args(argv)

    # As in the workers of experiments.pit_render, before NumPy and OpenGL are loaded. Spawned processes inherit it.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", LP_NUM_THREADS="0")
    from experiments.benchmarks import render  # not before: --help needs neither NumPy nor trimesh

    render.compare(arguments.recipe or RENDERED, arguments.num_pairs, arguments.num_processes)


if __name__ == "__main__":
    command_line.run(main)
