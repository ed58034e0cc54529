"""Where a run's numbers go: `metrics.jsonl`, TensorBoard events and one console line, from process 0 only."""

import contextlib
import datetime
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TextIO

import jax
import numpy as np
from tensorboardX import SummaryWriter

from san_jax.files import write_atomic

METRICS_FILE = "metrics.jsonl"
TIMINGS = {"images_per_second", "seconds_left"}  # what two runs of the same config do not agree in


class NonFiniteLossError(RuntimeError):
    """A loss or gradient became infinite or NaN. The message names step, loss parts and the last good checkpoint."""


def check_finite(step: int, metrics: Mapping[str, float], last_checkpoint: str | os.PathLike[str] | None) -> None:
    """Raise a NonFiniteLossError where one of a step's metrics is infinite or NaN.

    Args:
        step: The step, counted from 1, that gave the metrics.
        metrics: The loss, its parts and the gradient's norm.
        last_checkpoint: The newest checkpoint, which was checked before it was saved; None if there is none yet.
    """
    if all(math.isfinite(value) for value in metrics.values()):
        return
    parts = ", ".join(f"{name} {value:g}" for name, value in metrics.items())
    raise NonFiniteLossError(
        f"the loss or its gradient is not finite at step {step}: {parts}.\n"
        f"Last good checkpoint: {last_checkpoint or 'none was saved yet'}.\n"
        "The same command goes on from it, to the same end; lower the learning rate (in a new workdir) to get further."
    )


class MetricLogger:
    """Write the metrics of a run; a resumed run keeps what was written up to its checkpoint and drops the rest.

    Args:
        workdir: The run's folder.
        num_steps: Length of the run, for the console's progress.
        start_step: The step of the checkpoint that the run goes on from, 0 for a new one.
        epoch_steps: Steps in an epoch.
    """

    def __init__(self, workdir: str | os.PathLike[str], *, num_steps: int, start_step: int, epoch_steps: int):
        self._num_steps, self._epoch_steps = num_steps, epoch_steps
        self._last_step: int | None = None
        self._file: TextIO | None = None
        if jax.process_index() != 0:
            return
        path = pathlib.Path(workdir) / METRICS_FILE
        _truncate(path, start_step)
        self._file = path.open("a", encoding="utf-8")
        # purge_step: TensorBoard hides what an interrupted run wrote after the checkpoint.
        self._tensorboard = SummaryWriter(str(workdir), purge_step=start_step + 1 if start_step else None)

    def write(self, step: int, metrics: Mapping[str, float], *, seconds: float, num_images: int) -> None:
        """Write one line of everything.

        Args:
            step: Train steps done.
            metrics: Names like `reid/loss`; finite.
            seconds: Time since the last line.
            num_images: Images trained on in that time, over all processes.
        """
        if self._file is None:
            return
        epoch, images_per_second = step / self._epoch_steps, num_images / seconds
        record = {"step": step, "epoch": epoch, **metrics, "images_per_second": images_per_second}
        line = (
            f"step {step}/{self._num_steps}  epoch {epoch:.2f}  {_console(metrics)}  {images_per_second:.1f} images/s"
        )
        if self._last_step is not None and step < self._num_steps:  # the first interval held the compilation
            left = seconds / (step - self._last_step) * (self._num_steps - step)
            record["seconds_left"] = left
            line += f"  {datetime.timedelta(seconds=round(left))} left"
        with _naming(self._file):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        for name in record.keys() - {"step", "seconds_left"}:
            self._tensorboard.add_scalar(name, record[name], step)
        self.print(line)
        self._last_step = step

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Write pictures, uint8 RGB [H W 3], for TensorBoard.

        Args:
            step: Train steps done.
            pictures: By names like `eval/ranked`.
        """
        if self._file is not None:
            for name, picture in pictures.items():
                self._tensorboard.add_image(name, picture, step, dataformats="HWC")

    def print(self, text: str) -> None:
        """Print on process 0 only."""
        if self._file is not None:
            print(text, flush=True)

    def close(self) -> None:
        """Flush and close the files."""
        if self._file is not None:
            with _naming(self._file):
                self._file.close()
            self._tensorboard.close()


def read_metrics(workdir: str | os.PathLike[str]) -> list[dict[str, int | float]]:
    """Return the lines of a run's `metrics.jsonl`, in order; a last line that was cut off is left out."""
    path = pathlib.Path(workdir) / METRICS_FILE
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # the process died while writing it
            break
    return records


@contextlib.contextmanager
def _naming(file: TextIO) -> Iterator[None]:
    """Name the file in errors of writing, such as on a full disk, which come without it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, file.name) from error


def _truncate(path: pathlib.Path, step: int) -> None:
    """Keep the lines up to a step, atomically: the steps after it are about to be done again."""
    if not path.exists():
        return
    kept = [json.dumps(record) + "\n" for record in read_metrics(path.parent) if record["step"] <= step]
    write_atomic(path, "".join(kept).encode())


def _console(metrics: Mapping[str, float]) -> str:
    """Format {"reid/loss": 2, "reid/triplet": 1} as "reid: loss 2.000 triplet 1.000"."""
    groups: dict[str, list[str]] = {}
    for name, value in metrics.items():
        group, _, leaf = name.rpartition("/")
        groups.setdefault(group, []).append(f"{leaf} {value:.3g}")
    return "  ".join(f"{group}: {' '.join(items)}" if group else " ".join(items) for group, items in groups.items())
