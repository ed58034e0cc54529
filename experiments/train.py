"""Trains SAN-PG, SAN or the baseline (sections 3.1 and 3.2 of the paper).

    python -m experiments.train --config=san_pg.py --workdir=runs/san_pg
    python -m experiments.train --config=san.py --config.start.path=runs/san_pg --workdir=runs/san

The folder of a run holds `config.json`, `data.json` (what it is trained on), with PIT batches `mirror_map.npy` (how
textures of that PIT are mirrored), `checkpoints/`, `metrics.jsonl` and TensorBoard events. The same command goes on from the last checkpoint, however the run ended, and comes to the same parameters as a run that never stopped. Ctrl-C
and SIGTERM save first.

Several processes that train together (one a host) run the same command with `--coordinator=HOST:PORT`,
`--num_processes` and `--process_id`, or `--coordinator=auto` where the cluster tells; they share `--workdir`.
"""

from absl import app, flags, logging

from experiments import command_line
from experiments.command_line import config_files, paths


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(arguments[1:])}")

    from experiments.runs import smoke, training  # not before: --help needs no JAX
    from experiments.scoring import evaluation
    from san_jax import sharding

    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells its every move
    sharding.initialize_distributed(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    try:
        smoke.ensure_inputs(_CONFIG.value)
        training.run(_CONFIG.value, _WORKDIR.value, evaluate=evaluation.score_while_training)
    except (*training.KNOWN_ERRORS, smoke.SmokeError) as error:
        raise SystemExit(f"{error}") from None


if __name__ == "__main__":
    _CONFIG = config_files.define_flag(required_key="method")
    _WORKDIR = paths.define_flag("workdir", None, "Folder of the run.", required=True)
    _COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0, or auto; empty for one process.")
    _NUM_PROCESSES = flags.DEFINE_integer("num_processes", 1, "Processes that train together.")
    _PROCESS_ID = flags.DEFINE_integer("process_id", 0, "0-based number of this process.")
    command_line.run(lambda: app.run(main, flags_parser=config_files.parse_flags))
