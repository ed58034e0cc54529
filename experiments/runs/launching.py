"""Starts a program as jobs on Slurm, or as processes on this machine, by submitit.

A job that is to end early, because it is preempted or its time is over, is sent SIGUSR2 by submitit's convention. It
then stops the program with SIGTERM, waits until the program has saved what it did, and queues itself again. The program
goes on where it was.
"""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from san_jax.counts import count

ENGINES = ("slurm", "local")
SHARDED = ("experiments.pit_render", "experiments.pseudo_texture", "experiments.embed")
DISTRIBUTED = ("experiments.train",)
_GRACE = 120  # seconds from the signal that a job is to end to its end
_MAX_NAMED = 10  # failed jobs named in a message


class LaunchError(ValueError):
    """Jobs that cannot be started, or that failed. The message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The jobs that are to be started, and what each may use.

    Attributes:
        engine: One of `ENGINES`.
        num_tasks: Number of shards, each a job of its own; None for one job on `nodes`.
        nodes: Number of nodes of a job whose processes work together; None for shards.
        gpus_per_task: GPUs of a shard.
        gpus_per_node: GPUs of each node, with a process for each.
        cpus_per_task: Processor cores of a process.
        mem: Memory of a node, GB; None for the engine's default.
        time: Minutes after which a job is ended, and queued again if it may be.
        requeue: How often a job whose time is over is queued again; one that was preempted always is.
        partition: Slurm's partition; "" for the default.
        account: Slurm's account; "" for the default.
        log_dir: Folder for logs, which all nodes see.
    """

    engine: str
    num_tasks: int | None
    nodes: int | None
    gpus_per_task: int
    gpus_per_node: int
    cpus_per_task: int
    mem: float | None
    time: int
    requeue: int
    partition: str
    account: str
    log_dir: str


class Task:
    """A command as submitit runs it: it can be stopped, and started again where it was."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None):
        """Make a task.

        Args:
            command: The command.
            environment: Variables to set for it.
        """
        self._command, self._environment = list(command), environment or {}
        self._child: subprocess.Popen[bytes] | None = None
        self._told_to_end = False

    def __call__(self) -> None:
        """Run the command.

        Raises:
            LaunchError: It failed.
        """
        signal.signal(signal.SIGTERM, self._remember)
        self._child = subprocess.Popen(self._command, env={**os.environ, **self._environment})
        self._wait()
        status = self._child.wait()
        if status and self._told_to_end:
            # Slurm sends SIGTERM to the command as well. What this job does now, queue again or end, Slurm says next.
            time.sleep(_GRACE)
        if status:
            raise LaunchError(f"exit status {status}: {shlex.join(self._command)}")

    def checkpoint(self) -> Any:
        """Stop the command, and return what submitit is to queue. submitit calls this in a signal's handler."""
        if self._child is not None and self._child.returncode is None:
            if not self._told_to_end:  # a second SIGTERM would end it before it has saved
                self._child.send_signal(signal.SIGTERM)
            self._wait()
        return _import_submitit().helpers.DelayedSubmission(Task(self._command, self._environment))

    def _remember(self, *_: object) -> None:
        self._told_to_end = True

    def _wait(self) -> None:
        """Wait until the command has ended. Popen.wait takes a lock that a signal's handler would wait for in vain."""
        assert self._child is not None
        with contextlib.suppress(ChildProcessError):  # Popen.wait has seen it end
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line at its first `--`; return what stands before it, and the program with its arguments after it.

    Raises:
        LaunchError: There is no `--`, or no program of this project after it.
    """
    words = list(argv)
    own, program = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    if len(program) > 2 and pathlib.PurePath(program[0]).name.startswith("python") and program[1] == "-m":
        program = program[2:]
    if not {"-h", "--help"}.isdisjoint(own):
        return own, program
    if not program or program[0].startswith("-"):
        raise LaunchError(
            f"expected `--` and then a program with its arguments, such as -- {SHARDED[0]} --output_dir=DIR."
        )
    return own, program


def commands(jobs: Jobs, program: Sequence[str]) -> list[list[str]]:
    """Return the command of each job.

    Raises:
        LaunchError: The program cannot be divided like that, or its arguments say already how.
    """
    if (jobs.num_tasks is None) == (jobs.nodes is None):
        raise LaunchError("give either --num_tasks, for shards, or --nodes, for one training on several nodes.")
    able, flags = (SHARDED, ("--shard", "--merge")) if jobs.nodes is None else (DISTRIBUTED, ("--coordinator",))
    if program[0] not in able:
        what = "--num_tasks" if jobs.nodes is None else "--nodes"
        raise LaunchError(f"{what} is for {', '.join(able)}; {program[0]} is none of them.")
    if (jobs.gpus_per_node and jobs.nodes is None) or (jobs.gpus_per_task and jobs.nodes is not None):
        raise LaunchError("--gpus_per_task goes with --num_tasks, --gpus_per_node with --nodes.")
    own = [word for word in program if word.partition("=")[0] in flags]
    if own:
        raise LaunchError(f"leave out {' '.join(own)}: the launcher sets it.")
    command = [sys.executable, "-m", *program]
    if jobs.num_tasks is None:
        if jobs.engine != "slurm":
            raise LaunchError("--nodes needs --engine=slurm: its processes find one another by what Slurm tells them.")
        return [[*command, "--coordinator=auto"]]
    return [[*command, f"--shard={index}/{jobs.num_tasks}"] for index in range(jobs.num_tasks)]


def merge_command(program: Sequence[str]) -> str:
    """Return the command that puts the shards of a program together."""
    return shlex.join(["python", "-m", *program, "--merge"])


def submit(jobs: Jobs, program: Sequence[str]) -> list[Any]:
    """Start all jobs; return submitit's job objects.

    Raises:
        LaunchError: submitit is not installed, there is no Slurm, or it refuses the jobs.
    """
    submitit = _import_submitit()
    tasks = [Task(command, _environment(jobs, number)) for number, command in enumerate(commands(jobs, program))]
    try:
        executor = submitit.AutoExecutor(
            jobs.log_dir, cluster=jobs.engine, **{f"{jobs.engine}_max_num_timeout": jobs.requeue}
        )
        executor.update_parameters(**_parameters(jobs, program[0].rpartition(".")[2]))
        with executor.batch():  # on Slurm a job array
            return [executor.submit(task) for task in tasks]
    except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
        raise LaunchError(f"--engine={jobs.engine}: {error}") from error


def _environment(jobs: Jobs, number: int) -> dict[str, str]:
    """Return the variables that give a job of this machine GPUs of its own; Slurm does that itself."""
    if jobs.engine == "slurm" or not jobs.gpus_per_task:
        return {}
    gpus = range(number * jobs.gpus_per_task, (number + 1) * jobs.gpus_per_task)
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}


def _parameters(jobs: Jobs, name: str) -> dict[str, Any]:
    # JAX expects a process for each GPU on Slurm, with the GPUs of a node visible to each.
    parameters = {
        "name": name,
        "timeout_min": jobs.time,
        "nodes": jobs.nodes or 1,
        "tasks_per_node": max(1, jobs.gpus_per_node),
        "gpus_per_node": jobs.gpus_per_node or jobs.gpus_per_task,
        "cpus_per_task": jobs.cpus_per_task,
        "mem_gb": jobs.mem,
        "slurm_partition": jobs.partition,
        "slurm_account": jobs.account,
        "slurm_signal_delay_s": _GRACE,
        "slurm_srun_args": [f"--cpus-per-task={jobs.cpus_per_task}"],  # since Slurm 22.05, srun does not inherit it
        "slurm_additional_parameters": {"requeue": True},
    }
    return {key: value for key, value in parameters.items() if value not in (None, "")}


def wait(started: Sequence[Any], report: Callable[[str], object] = print) -> None:
    """Wait until all jobs have ended, and report each that did.

    Raises:
        LaunchError: Jobs failed. The message names their logs.
    """
    failed = []
    for number, job in enumerate(started):
        error = job.exception()
        if error is None:
            report(f"job {job.job_id} ({number + 1} of {len(started)}) is done")
            continue
        failed.append(f"job {job.job_id} ({number + 1} of {len(started)}): {_describe(error)}")
        failed.append(f"  {job.paths.stderr}")
    if failed:
        more = f"\n  and {len(failed) // 2 - _MAX_NAMED} more" if len(failed) // 2 > _MAX_NAMED else ""
        raise LaunchError(
            f"{len(failed) // 2} of {count(len(started), 'job')} failed:\n  "
            + "\n  ".join(failed[: 2 * _MAX_NAMED]) + more
            + "\nWhat is finished is kept: the same command does only what is missing."
        )  # fmt: skip


def _describe(error: Exception) -> str:
    """Return the line that says why a job failed; submitit gives the text of its traceback and more."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    own = [line for line in lines if f"{LaunchError.__name__}: " in line]
    return own[-1].partition(f"{LaunchError.__name__}: ")[2] if own else lines[0]


def _import_submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        raise LaunchError(
            "submitit is not installed, which starts the jobs. Install it with: pip install -e '.[slurm]'"
        ) from None
    return submitit
