"""Trains SAN-PG, SAN or the baseline (sections 3.1 and 3.2 of the paper).

    python -m experiments.train --config=san_pg.py --workdir=runs/san_pg
    python -m experiments.train --config=san.py --config.start.path=runs/san_pg --workdir=runs/san

The folder of a run holds config.json, data.json (what the run is trained on), checkpoints/,
metrics.jsonl and TensorBoard events; and mirror_map.npy (how the textures of its PIT are mirrored)
if it has PIT batches.

The same command continues from the last checkpoint, however the run ended, and arrives at the same
parameters as a run that never stopped. Ctrl-C and SIGTERM save a checkpoint first.

To train with several processes (one per host), run the same command in each, with the same
--workdir, and with --coordinator=HOST:PORT, --num_processes and --process_id; --coordinator=auto
takes them from the cluster.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, config_argument, paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.train", __doc__)
    config_argument.add(parser)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of the run")
    parser.add_argument(
        "--coordinator", default="", help="HOST:PORT of process 0, or auto (default: none, for a single process)"
    )
    parser.add_argument("--num_processes", type=int, default=1, help="number of processes that train together")
    parser.add_argument("--process_id", type=int, default=0, help="number of this process, from 0")
    arguments = config_argument.parse(parser, argv, required_key="method")
    compilation_cache.enable()

    from experiments.runs import training  # not before: --help needs no JAX
    from experiments.scoring import while_training
    from san_jax import sharding

    try:
        sharding.initialize_distributed(arguments.coordinator, arguments.num_processes, arguments.process_id)
    except ValueError as error:
        parser.error(str(error))
    try:
        if arguments.config.prepare:
            from experiments.runs import smoke  # only here: it imports the renderer, a quarter of the start

            smoke.ensure_inputs(arguments.config)
        training.run(arguments.config, arguments.workdir, evaluate=while_training.score)
    except training.KNOWN_ERRORS as error:
        sys.exit(str(error))


if __name__ == "__main__":
    command_line.run(main)
