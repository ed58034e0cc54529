"""Jobs on submitit's local executor: shards are rendered and merged, a job whose time is over goes on, failures are named."""

import importlib.util
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from experiments import launch
from experiments.runs import launching
from render import manifest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit is not installed (pip install -e '.[slurm]')"
)
RENDER = ["experiments.pit_render", "--config=pit.py:num_textures=2,meshes_per_texture=1", "--num_workers=1"]


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(REPOSITORY)


def make_jobs(folder: pathlib.Path, **changes) -> launching.Jobs:
    fields = {
        "engine": "local", "num_tasks": 2, "nodes": None, "gpus_per_task": 0, "gpus_per_node": 0, "cpus_per_task": 1,
        "mem": None, "time": 5, "requeue": 3, "partition": "", "account": "", "log_dir": str(folder / "logs"),
    }  # fmt: skip
    return launching.Jobs(**{**fields, **changes})


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_submitit
def test_shards_of_jobs_are_merged(tmp_path: pathlib.Path):
    program = [*RENDER, f"--output_dir={tmp_path / 'pit'}"]
    own = ["--engine=local", "--num_tasks=2", "--time=5", f"--log_dir={tmp_path / 'logs'}"]
    output = run("experiments.launch", *own, "--", "python", "-m", *program)
    assert "(1 of 2) is done" in output
    assert "(2 of 2) is done" in output
    merge = output.splitlines()[-1]
    assert merge == f"python -m {' '.join(program)} --merge"
    run(*merge.split()[2:])
    _, records = manifest.read_manifest(tmp_path / "pit")
    assert [record.index for record in records] == [0, 1]


SLOW = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def save(*_):
    time.sleep(0.3)
    (folder / "saved").write_text("yes")
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
if (folder / "saved").exists():
    (folder / "done").write_text("yes")
    sys.exit(0)
(folder / "begun").write_text("yes")
time.sleep(60)
"""


@needs_submitit
@pytest.mark.parametrize("slurm", [False, True])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of submitit's processes
def test_a_job_that_is_to_end_saves_is_queued_again_and_goes_on(
    slurm: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """By submitit's signal; under Slurm after a SIGTERM that goes to all processes of the job."""
    monkeypatch.setattr(launching, "commands", lambda jobs, program: [[sys.executable, "-c", SLOW, str(tmp_path)]])
    (job,) = launching.submit(make_jobs(tmp_path), ["a.slow"])
    wait_for(tmp_path / "begun")
    (task,) = (int(child) for child in children(int(job.job_id)))
    if slurm:
        for process in (task, *map(int, children(task))):
            os.kill(process, signal.SIGTERM)
        wait_for(tmp_path / "saved")
        assert not job.done()
    os.kill(task, signal.SIGUSR2)
    launching.wait([job], report=lambda line: None)
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "done").exists()


def wait_for(path: pathlib.Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(process: int) -> list[str]:
    return pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()


@needs_submitit
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_failed_jobs_are_named_with_their_logs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    scripts = ["print('fine')", "import os, sys; sys.exit(3 if os.environ['CUDA_VISIBLE_DEVICES'] == '2,3' else 4)"]
    monkeypatch.setattr(launching, "commands", lambda *_: [[sys.executable, "-c", script] for script in scripts])
    started = launching.submit(make_jobs(tmp_path, gpus_per_task=2), ["a.program"])
    with pytest.raises(launching.LaunchError) as caught:
        launching.wait(started, report=lambda line: None)
    message = str(caught.value)
    assert "1 of 2 jobs failed" in message
    assert f"job {started[1].job_id} (2 of 2): " in message
    assert "exit status 3: " in message
    assert str(started[1].paths.stderr) in message


def test_a_task_stops_its_command_once(tmp_path: pathlib.Path):
    """As under Slurm, whose SIGTERM goes to the command, too: then none is sent after it."""
    pytest.importorskip("submitit")
    task = launching.Task([sys.executable, "-c", SLOW, str(tmp_path)])
    pickle.dumps(task)
    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        wait_for(tmp_path / "begun")
        os.kill(os.getpid(), signal.SIGUSR2)

    found = []
    previous = signal.signal(signal.SIGUSR2, lambda *_: found.append(task.checkpoint()))
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        with pytest.raises(launching.LaunchError, match="exit status 1"):
            task()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR2, previous)
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "saved").exists()
    found[0].result()
    signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "done").exists()


def test_training_on_nodes_has_a_process_for_each_gpu(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("submitit")
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", ""), ("sbatch", 'cp "$1" "$0.script"; echo Submitted batch job 17')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    jobs = make_jobs(tmp_path, engine="slurm", num_tasks=None, nodes=2, gpus_per_node=8, partition="a100", mem=200.0)
    program = ["experiments.train", "--config=san.py", "--workdir=runs/san"]
    assert launching.commands(jobs, program)[0][1:] == ["-m", *program, "--coordinator=auto"]
    (job,) = launching.submit(jobs, program)
    assert job.job_id == "17"
    script = (tmp_path / "bin" / "sbatch.script").read_text()
    for line in ("nodes=2", "gpus-per-node=8", "ntasks-per-node=8", "partition=a100", "mem=200GB", "time=5", "requeue",
                 "signal=USR2@120", "job-name=train"):  # fmt: skip
        assert f"#SBATCH --{line}\n" in script
    launching.submit(make_jobs(tmp_path, engine="slurm", num_tasks=16, gpus_per_task=1), RENDER)
    script = (tmp_path / "bin" / "sbatch.script").read_text()
    assert "srun --unbuffered" in script
    assert "--cpus-per-task=1 " in script.partition("srun --unbuffered")[2]  # srun does not inherit it from sbatch
    for line in ("array=0-15%16", "nodes=1", "gpus-per-node=1", "ntasks-per-node=1"):
        assert f"#SBATCH --{line}\n" in script


def test_without_slurm_or_submitit_the_message_says_what_to_do(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    if importlib.util.find_spec("submitit") is not None:
        with pytest.raises(launching.LaunchError, match=r'--engine=slurm: .*"srun"'):
            launching.submit(make_jobs(tmp_path, engine="slurm"), RENDER)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(launching.LaunchError, match=r"pip install -e '\.\[slurm\]'"):
        launching.submit(make_jobs(tmp_path), RENDER)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--num_tasks=2"], "expected `--` and then a program"),
        (["--num_tasks=2", "--", "--help"], "expected `--` and then a program"),
        (["--", *RENDER], "either --num_tasks"),
        (["--num_tasks=2", "--nodes=2", "--", *RENDER], "either --num_tasks"),
        (["--num_tasks=2", "--", *RENDER, "--shard=0/2"], "leave out --shard=0/2"),
        (["--num_tasks=2", "--", "experiments.train", "--config=san.py"], "experiments.train is none of them"),
        (["--nodes=2", "--", *RENDER], "experiments.pit_render is none of them"),
        (["--nodes=2", "--engine=local", "--", "experiments.train"], "--nodes needs --engine=slurm"),
        (["--num_tasks=2", "--gpus_per_node=2", "--", *RENDER], "--gpus_per_task goes with --num_tasks"),
    ],
)
def test_wrong_command_lines_start_nothing(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        launch.main(argv)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "flag"),
    [*((name, "--shard") for name in launching.SHARDED), *((name, "--coordinator") for name in launching.DISTRIBUTED)],
)
def test_the_programs_that_are_launched_take_what_the_launcher_adds(program: str, flag: str):
    if not (REPOSITORY / f"{program.replace('.', '/')}.py").exists():
        pytest.skip(f"{program} is not written yet")
    assert flag in run(program, "--help")
