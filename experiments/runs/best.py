"""Keeps the checkpoint of the highest mAP that was scored during a training, beside the newest ones."""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from san_jax import checkpoint, files, run_folder
from san_jax.train_state import TrainState

SCORE = "eval/mAP"


class BestCheckpoint:
    """The best checkpoint of a run that one process trains.

    Args:
        workdir: The run's folder.
    """

    def __init__(self, workdir: pathlib.Path):
        self._folder, self._file = workdir / run_folder.BEST_FOLDER, workdir / run_folder.BEST_FILE
        noted = files.read_json(self._file) if self._file.is_file() else None
        self._score = -1.0 if noted is None else float(noted["mAP"])

    def offer(self, step: int, state: TrainState, positions: Mapping[str, Any], scores: Mapping[str, float]) -> str:
        """Keep a checkpoint in place of the one that was the best, if its mAP is higher; wait until it is written.

        Args:
            step: Train steps done.
            state: The train state after that many steps.
            positions: States of the data iterators, see `checkpoint.Checkpoints.save`.
            scores: Scores of the model, `SCORE` among them.

        Returns:
            A line for the log; "" if it is not the best.

        Raises:
            san_jax.checkpoint.CheckpointError: It cannot be written.
        """
        score = scores.get(SCORE)
        if score is None or score <= self._score:
            return ""
        later = [path for path in self._folder.glob("*") if path.name.isdecimal() and int(path.name) >= step]
        for path in later:  # of a run that went on from an earlier checkpoint; the steps are done again
            shutil.rmtree(path)
        checkpoints = checkpoint.Checkpoints(self._folder, keep=1)
        try:
            checkpoints.save(step, state, positions)
        finally:
            checkpoints.close()
        files.write_json(self._file, {"step": step, "mAP": score})
        self._score = score
        return f"step {step} is the best until now (mAP {100 * score:.1f}), kept in {self._folder}"
