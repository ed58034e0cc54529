"""Two processes under jax.distributed on this machine train what one process trains."""

import pathlib
import socket
import subprocess

import numpy as np
import pytest

from san_jax import checkpoint, metric_logger
from san_jax.train_state import flatten
from tests.experiments import train_test


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return train_test.Workplace(tmp_path_factory.mktemp("distributed"))


def start_two(
    workplace, workdir: pathlib.Path, *overrides: str, second: tuple[str, ...] = ()
) -> list[subprocess.Popen]:
    """Two processes of one device each that train together; `second` are further arguments of the second one."""
    command = workplace.command("baseline", workdir, *overrides)
    flags = [f"--coordinator=localhost:{free_port()}", "--num_processes=2"]
    return [
        subprocess.Popen(
            [*command, *flags, f"--process_id={number}", *(second if number else ())],
            cwd=train_test.REPOSITORY, env=workplace.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]  # fmt: skip


def run_two(workplace, workdir: pathlib.Path, *overrides: str) -> list[str]:
    """Trains in two processes; gives what each printed."""
    processes = start_two(workplace, workdir, *overrides)
    outputs = []
    try:
        for process in processes:
            outputs.append(process.communicate(timeout=300)[0])
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    return outputs


def test_two_processes_agree_with_one(workplace, tmp_path):
    """reID steps, in which normalisation, mining and triplets need the rows of both."""
    overrides = ("num_steps=4", "checkpoint_every_epochs=1.0", "start.kind=random", "start.path=")
    workplace.train("baseline", tmp_path / "one", *overrides)
    outputs = run_two(workplace, tmp_path / "two", *overrides)
    assert "2 x cpu, 2 process(es)" in outputs[0]
    assert "finished 4 steps" in outputs[0]
    assert "step " not in outputs[1]  # process 0 alone speaks and writes
    assert len(list((tmp_path / "two").glob("events.out.tfevents.*"))) == 1

    one, two = (metric_logger.read_metrics(tmp_path / name) for name in ("one", "two"))
    assert [line["step"] for line in two] == [1, 2, 3, 4]
    for expected, found in zip(one, two, strict=True):
        assert set(found) == set(expected)
        for name in set(expected) - {"images_per_second"}:
            # Sums in another order; later steps start from parameters that differ by roundings.
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, err_msg=f"{name}, {expected['step']}")
    weights = [checkpoint.load_weights(tmp_path / name / "checkpoints") for name in ("one", "two")]
    assert weights[0][0] == weights[1][0] == 4
    expected, found = (flatten({"params": params, "stats": stats}) for _, params, stats in weights)
    assert set(found) == set(expected)
    for name, value in expected.items():
        # Adam moves an element by about the learning rate, 8e-6 in the warm-up, however small its gradient.
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=2e-5, err_msg=name)

    # The same command goes on from the checkpoint of two processes: there is nothing left to do.
    assert "goes on from step 4" in run_two(workplace, tmp_path / "two", *overrides)[0]


def test_what_one_process_lacks_ends_both(workplace, tmp_path):
    """It would be waited for, as checkpoints are loaded together."""
    workplace.finished("san_pg")
    absent = f"--config.start.path={tmp_path / 'absent'}"
    processes = start_two(workplace, tmp_path / "run", "num_steps=4", second=(absent,))
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 1, output
        assert "start.path=" in output
        assert "there is no checkpoint" in output
        assert "Traceback" not in output
    assert not (tmp_path / "run").exists()
