"""Several processes under jax.distributed on this machine train SAN as one process does."""

import pathlib
import random
import re
import signal
import socket
import subprocess

import numpy as np
import pytest

from experiments.runs import models
from experiments.scoring import while_training
from san_jax import checkpoint, metric_logger, run_folder
from san_jax.files import read_json
from san_jax.train_state import flatten
from tests.experiments import train_place

# reID and PIT steps in turn: normalisation, mining, and triplets of the whole batch need the rows of all processes.
NUM_STEPS = 10
SAN = (
    *(f"num_steps={NUM_STEPS}", "batch.num_identities=4", "checkpoint_every_epochs=2.0"),
    *("start.kind=random", "start.path=", "optimizer.learning_rate=1e-5"),
)
GLOBAL = (*SAN, "loss.triplet_reid_scope=global", "data_cache=none")


# experiments.train where decoding takes a while, and devices have too little memory for the whole training set each.
SLOW_TO_DECODE = """
import time
from experiments import train
from experiments.runs import feeding

real_fill = feeding.cache.fill

def fill(reader, *, num_workers, report):
    def report_later(count):
        time.sleep(3)
        report(count)
    print("decoding", flush=True)
    return real_fill(reader, num_workers=num_workers, report=report_later)

feeding.cache.fill = fill
feeding._device_bytes = lambda mesh: 1.6 * 38 * 3 * (32 * 32 + 16 * 16)
train.main()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=train_place.REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def start_together(
    workplace, workdir: pathlib.Path, *overrides: str, count: int = 2, second: tuple[str, ...] = (), program: str = ""
) -> list[subprocess.Popen]:
    """Processes of one device each that train together.

    Args:
        workplace: The data.
        workdir: The run's folder.
        *overrides: What differs from the config of "san".
        count: Number of processes.
        second: Further arguments of the second one.
        program: What they run in place of `experiments.train`.
    """
    command = workplace.command("san", workdir, *overrides)
    if program:
        module = command.index("-m")
        command[module : module + 2] = ["-c", program]
    flags = [f"--coordinator=localhost:{free_port()}", f"--num_processes={count}"]
    return [
        start([*command, *flags, f"--process_id={number}", *(second if number == 1 else ())], workplace.environment)
        for number in range(count)
    ]


def start_under_slurm(workplace, workdir: pathlib.Path, *overrides: str) -> list[subprocess.Popen]:
    """The same for two processes, which Slurm's variables tell of each other."""
    job = {"SLURM_JOB_ID": str(random.randrange(1, 4096)), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    command = [*workplace.command("san", workdir, *overrides), "--coordinator=auto"]
    return [
        start(command, {**workplace.environment, **job, "SLURM_PROCID": str(number), "SLURM_LOCALID": "0"})
        for number in range(2)
    ]


def finish(processes: list[subprocess.Popen], *, expected: int = 0) -> list[str]:
    """Wait for the end of all; give what each printed (since the last line that was read)."""
    outputs = []
    try:
        for process in processes:
            outputs.append(process.communicate(timeout=300)[0])
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [expected] * len(processes), "\n".join(outputs)
    return outputs


def stopped_at(output: str) -> int:
    """The step that a run says it was stopped at."""
    match = re.search(rf"stopped at step (\d+) of {NUM_STEPS}, saved in", output)
    assert match, output
    return int(match[1])


def assert_agree(expected_run: pathlib.Path, found_run: pathlib.Path) -> None:
    """The same metrics of every step, and the same weights, up to roundings."""
    expected_lines, found_lines = map(metric_logger.read_metrics, (expected_run, found_run))
    assert [line["step"] for line in found_lines] == [line["step"] for line in expected_lines]
    assert found_lines[-1]["step"] == NUM_STEPS
    for expected, found in zip(expected_lines, found_lines, strict=True):
        found = {name: value for name, value in found.items() if not name.startswith("eval/")}
        assert set(found) - metric_logger.TIMINGS == set(expected) - metric_logger.TIMINGS
        for name in set(expected) - metric_logger.TIMINGS:
            # Sums in another order; later steps start from parameters that differ by roundings.
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-3, err_msg=f"{name}, {expected['step']}")
    weights = [checkpoint.load_weights(run / "checkpoints") for run in (expected_run, found_run)]
    assert weights[0][0] == weights[1][0] == NUM_STEPS
    expected, found = (flatten({"params": params, "stats": stats}) for _, params, stats in weights)
    assert set(found) == set(expected)
    for name, value in expected.items():
        # Adam moves an element by about the learning rate in each step, however small its gradient.
        np.testing.assert_allclose(found[name], value, rtol=2e-3, atol=1e-4, err_msg=name)


def assert_scored_as_by_one(workdir: pathlib.Path) -> None:
    """The last scores of a run of several processes are those that one finds for its last checkpoint."""
    lines = [line for line in metric_logger.read_metrics(workdir) if "eval/mAP" in line]
    assert len(lines) > 1
    loaded = models.load_run(workdir)
    assert lines[-1]["step"] == loaded.step == NUM_STEPS
    expected = while_training.score(loaded.model, loaded.plan).values
    assert {name: lines[-1][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    best = max(lines, key=lambda line: (line["eval/mAP"], -line["step"]))
    noted = read_json(workdir / run_folder.BEST_FILE)
    assert noted == {"step": best["step"], "mAP": pytest.approx(best["eval/mAP"])}
    assert models.load_run(workdir, which=run_folder.BEST).step == best["step"]


def test_four_then_two_then_one_process_train_as_one(workplace, tmp_path):
    """A run goes on with fewer processes and devices from the checkpoint that a signal to one of them made."""
    one = start(workplace.command("san", tmp_path / "one", *GLOBAL), workplace.environment)
    finish([one])
    done = 0
    for count in (4, 2):
        processes = start_together(workplace, tmp_path / "run", *GLOBAL, count=count)
        train_place.signal_at_step(processes[0], done + 1, 0.0, signal.SIGTERM)
        outputs = finish(processes, expected=1)
        done = stopped_at(outputs[0])
        assert f"SIGTERM: stopped at step {done} of" in outputs[0]
        assert all(f"Another process: stopped at step {done} of" in output for output in outputs[1:])
    last = start(workplace.command("san", tmp_path / "run", *GLOBAL), workplace.environment)
    assert f"goes on from step {done} of" in finish([last])[0]
    assert_agree(tmp_path / "one", tmp_path / "run")


@pytest.fixture(scope="module")
def two_devices(workplace, tmp_path_factory):
    """The folder of a run of one process with two devices, whose batches are decoded as they are needed."""
    folder = tmp_path_factory.mktemp("two_devices") / "run"
    environment = {**workplace.environment, "JAX_NUM_CPU_DEVICES": "2"}
    output = finish([start(workplace.command("san", folder, *SAN, "data_cache=none"), environment)])[0]
    assert "L_TR takes its triplets within a device, from 2 identities" in output
    return folder


def test_two_processes_draw_the_triplets_of_two_devices(workplace, tmp_path, two_devices):
    """Each within its own images, which is the default here; and each takes its rows from its own memory."""
    overrides = (*SAN, "data_cache=host", "eval_every_epochs=2.0", "checkpoint_every_epochs=100.0")
    outputs = finish(start_under_slurm(workplace, tmp_path / "two", *overrides))
    assert "2 x cpu, 2 processes" in outputs[0]
    assert "L_TR takes its triplets within a device, from 2 identities" in outputs[0]
    assert "kept in host memory" in outputs[0]
    assert f"finished {NUM_STEPS} steps" in outputs[0]
    assert "step " not in outputs[1]  # process 0 alone speaks and writes
    assert len(list((tmp_path / "two").glob("events.out.tfevents.*"))) == 1
    assert_agree(two_devices, tmp_path / "two")
    assert_scored_as_by_one(tmp_path / "two")


def test_two_processes_keep_the_training_set_on_their_devices(workplace, tmp_path, two_devices):
    """They end together where one is interrupted while it decodes, and the same command then goes on."""
    overrides = (*SAN, "data_cache=device")
    processes = start_together(workplace, tmp_path, *overrides, program=SLOW_TO_DECODE)
    for line in processes[1].stdout:
        if line.startswith("decoding"):
            processes[1].send_signal(signal.SIGINT)
            break
    outputs = finish(processes, expected=1)
    stopped = "stopped while the training set was decoded, before the first step. Run the same command again to go on."
    assert f"Another process: {stopped}" in outputs[0]
    assert f"SIGINT: {stopped}" in outputs[1]
    assert not any("Traceback" in output for output in outputs)
    assert not (tmp_path / "checkpoints").exists()
    output = finish(start_together(workplace, tmp_path, *overrides, program=SLOW_TO_DECODE))[0]
    assert "kept in device memory, split over 2 devices" in output
    assert_agree(two_devices, tmp_path)


def test_what_one_process_lacks_ends_both(workplace, tmp_path):
    """It would be waited for, as checkpoints are loaded together."""
    absent = f"--config.start.path={tmp_path / 'absent'}"
    overrides = ("num_steps=4", "batch.num_identities=4")
    workplace.finished("san_pg")
    outputs = finish(start_together(workplace, tmp_path / "run", *overrides, second=(absent,)), expected=1)
    for output in outputs:
        assert "start.path=" in output
        assert "there is no checkpoint" in output
        assert "Traceback" not in output
    assert not (tmp_path / "run").exists()
