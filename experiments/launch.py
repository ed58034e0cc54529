"""Starts a program on many machines: shards of a rendering or embedding, or one training on nodes.

    python -m experiments.launch --engine=slurm --num_tasks=16 --cpus_per_task=8 \\
        -- experiments.pit_render --config=pit_reid.py --output_dir=DIR
    python -m experiments.launch --engine=slurm --nodes=2 --gpus_per_node=8 \\
        -- experiments.train --config=san.py --workdir=runs/san
    python -m experiments.launch --engine=local --num_tasks=4 --gpus_per_task=1 \\
        -- experiments.pseudo_texture --workdir=runs/san_pg --images=photos --output=textures

What stands after `--` is a program with its arguments. --num_tasks=n starts n jobs of it, a job
array on Slurm, each with --shard=i/n; the command that merges the shards is printed at the end.
--nodes starts one job with a process for each GPU of each node, with --coordinator=auto.

A job that is preempted, or whose time is over, is told to save what it did, is queued again, and
goes on where it was. The same command, given again, does only what is missing. Jobs go on if this
program is interrupted while it waits for them.

--engine=local starts all jobs at once on this machine, each with GPUs of its own. Jobs are started
by submitit: pip install -e '.[slurm]'
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths
from experiments.runs import launching
from san_jax.counts import count


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.launch", __doc__)
    parser.add_argument("--engine", choices=launching.ENGINES, default="slurm", help="what starts the jobs")
    parser.add_argument(
        "--num_tasks", type=command_line.at_least(1), help="number of shards, each a job of its own (default: none)"
    )
    parser.add_argument(
        "--nodes", type=command_line.at_least(1), help="number of nodes that train together (default: none)"
    )
    parser.add_argument("--gpus_per_task", type=command_line.at_least(0), default=0, help="GPUs of a shard")
    parser.add_argument(
        "--gpus_per_node", type=command_line.at_least(0), default=0, help="with --nodes: GPUs, and processes, of each"
    )
    parser.add_argument("--cpus_per_task", type=command_line.at_least(1), default=4, help="cores of a process")
    parser.add_argument("--mem", type=float, help="memory of a node in GB (default: what the cluster gives)")
    parser.add_argument(
        "--time", type=command_line.at_least(1), default=1440, help="minutes of a job, after which it is queued again"
    )
    parser.add_argument(
        "--requeue",
        type=command_line.at_least(0),
        default=20,
        help="how often a job whose time is over is queued again; a preempted one always is",
    )
    parser.add_argument("--partition", default="", help="partition of Slurm (default: the cluster's)")
    parser.add_argument("--account", default="", help="account of Slurm (default: the user's)")
    parser.add_argument("--log_dir", type=paths.given, default="logs", help="folder for logs, which all nodes see")
    parser.add_argument("--detach", action="store_true", help="do not wait until the jobs have ended")
    try:
        own, program = launching.split(sys.argv[1:] if argv is None else argv)
        arguments = vars(parser.parse_args(own))
        detach = arguments.pop("detach")
        jobs = launching.Jobs(**arguments)
        launching.commands(jobs, program)
    except launching.LaunchError as error:
        parser.error(str(error))
    try:
        started = launching.submit(jobs, program)
        print(
            f"{count(len(started), 'job')}: {started[0].job_id} ... {started[-1].job_id}, logs in {jobs.log_dir}",
            flush=True,
        )
        if not detach:
            launching.wait(started)
    except launching.LaunchError as error:
        sys.exit(f"launch: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The jobs go on.")
    if jobs.num_tasks is not None:
        print(f"{'When they are done, merge' if detach else 'Merge'} with:\n{launching.merge_command(program)}")


if __name__ == "__main__":
    command_line.run(main)
