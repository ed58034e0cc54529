"""san_jax/metric_logger.py: what is written, what a resumed run keeps, and what a non-finite loss says."""

import json

import pytest

from san_jax import metric_logger
from san_jax.metric_logger import MetricLogger, NonFiniteLossError, check_finite, read_metrics


def write(workdir, steps, *, start_step=0):
    logger = MetricLogger(workdir, num_steps=10, start_step=start_step, epoch_steps=8)
    for step in steps:
        logger.write(step, {"reid/loss": 2.0 * step, "learning_rate": 0.5}, seconds=2.0, num_images=64)
    logger.close()


def test_line_of_everything(tmp_path, capsys):
    write(tmp_path, [2, 4])
    assert read_metrics(tmp_path) == [
        {"step": 2, "epoch": 0.25, "reid/loss": 4.0, "learning_rate": 0.5, "images_per_second": 32.0},
        {
            **{"step": 4, "epoch": 0.5, "reid/loss": 8.0, "learning_rate": 0.5, "images_per_second": 32.0},
            "seconds_left": 6.0,
        },
    ]
    # 6 steps are left, at a second each; the first interval is no measure: it holds the compilation.
    assert capsys.readouterr().out.splitlines() == [
        "step 2/10  epoch 0.25  reid: loss 4  learning_rate 0.5  32.0 images/s",
        "step 4/10  epoch 0.50  reid: loss 8  learning_rate 0.5  32.0 images/s  0:00:06 left",
    ]
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_resumed_run_drops_what_comes_after_its_checkpoint(tmp_path):
    write(tmp_path, [2, 4, 6])
    with (tmp_path / metric_logger.METRICS_FILE).open("a") as file:
        file.write('{"step": 8, "reid/lo')  # the process was killed while writing
    write(tmp_path, [6, 8], start_step=4)
    assert [record["step"] for record in read_metrics(tmp_path)] == [2, 4, 6, 8]
    for line in (tmp_path / metric_logger.METRICS_FILE).read_text().splitlines():
        json.loads(line)


def test_new_run_has_no_metrics(tmp_path):
    assert read_metrics(tmp_path) == []


def test_other_processes_write_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metric_logger.jax, "process_index", lambda: 1)
    write(tmp_path, [2])
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_loss_names_step_parts_and_checkpoint(value):
    check_finite(7, {"reid/loss": 1.0}, None)
    with pytest.raises(NonFiniteLossError) as error:
        check_finite(7, {"reid/loss": value, "reid/triplet": 0.25}, "/runs/san/checkpoints/6")
    for word in ("step 7", f"reid/loss {value:g}", "reid/triplet 0.25", "/runs/san/checkpoints/6"):
        assert word in str(error.value)
    with pytest.raises(NonFiniteLossError, match="none was saved yet"):
        check_finite(7, {"reid/loss": value}, None)
