"""The real training configs, shrunk, and where processes train them: data and runs that all test files share."""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

from experiments.command_line import config_files
from tests.experiments import train_data

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# As small as the networks go. A checkpoint after every second step, so that many kills fall into one.
SMALL = (
    "smoke,prepare=,image_size=(32, 32),model.width=2,model.texture_size=16,batch.pit_size=8,num_steps=10,log_every=1"
)
CONFIGS = {
    # Epochs of 3, 6 and 2 steps.
    "san_pg": f"san_pg.py:{SMALL},checkpoint_every_epochs=0.67,optimizer.warmup_epochs=2",
    "san": f"san.py:{SMALL},checkpoint_every_epochs=0.33,batch.num_identities=2,optimizer.warmup_epochs=1",
    "baseline": "baseline.py:" + SMALL.replace("model.texture_size=16,batch.pit_size=8,", "checkpoint_every_epochs=1,"),
}


class Workplace:
    """Data and finished runs, each made once, by whichever pytest worker needs it first. Tests only read them."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.data_dir = folder / "data"
        built = folder / "built"
        with self._alone("data"):
            if not built.exists():
                train_data.build_all(folder)
                built.touch()
        self.environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": "1",
        }

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """While one worker is in here, the others wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{what}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def command(self, name: str, workdir: pathlib.Path, *overrides: str) -> list[str]:
        start = "" if name == "san_pg" else f",start.kind=run,start.path={self.folder / 'runs' / 'san_pg'}"
        config = f"--config={CONFIGS[name]},data_dir={self.data_dir}{start}"
        overrides = tuple(f"--config.{override}" for override in overrides)
        return [sys.executable, "-u", "-m", "experiments.train", config, f"--workdir={workdir}", *overrides]

    def start(self, name: str, workdir: pathlib.Path, *overrides: str) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(name, workdir, *overrides),
            cwd=REPOSITORY, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def train(self, name: str, workdir: pathlib.Path, *overrides: str) -> str:
        return self.finish(self.start(name, workdir, *overrides), expected=0)

    def finish(self, process: subprocess.Popen, *, expected: int) -> str:
        """Waits for the end; gives what was printed (since the last line that was read)."""
        with process:
            output, _ = process.communicate(timeout=600)
        assert process.returncode == expected, output
        return output

    def finished(self, name: str) -> pathlib.Path:
        """The folder of an uninterrupted run; made when first asked for."""
        if name != "san_pg":
            self.finished("san_pg")
        workdir, printed = self.folder / "runs" / name, self.folder / f"{name}.txt"
        with self._alone(name):
            if not printed.exists():
                printed.write_text(self.train(name, workdir))
        return workdir

    def config(self, name: str, *overrides: str):
        """The config of `finished(name)`, for `training.run` in this process."""
        arguments = self.command(name, pathlib.Path("unused"))
        config = config_files.load(arguments[4].removeprefix("--config="))
        for override in overrides:
            config_files.override(config, *override.split("=", 1))
        return config


def signal_at_step(process: subprocess.Popen, step: int, seconds: float, number: int) -> None:
    """Sends a signal some time after the line of a step was printed."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"step {step}/"):
            time.sleep(seconds)
            process.send_signal(number)
            return
    raise AssertionError(f"no line of step {step}:\n" + "".join(lines))
