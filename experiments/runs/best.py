"""Keeps the checkpoint of the highest mAP that was scored during a training, beside the newest ones."""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax

from san_jax import checkpoint, files, run_folder, sharding
from san_jax.train_state import TrainState

SCORE = "eval/mAP"


class BestCheckpoint:
    """The best checkpoint of a run. Of several processes that train together, each has one and calls it alike.

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
        if jax.process_index() == 0:
            for path in self._folder.glob("*"):
                # Of a run that went on from an earlier checkpoint; the steps are done again.
                if path.name.isdecimal() and int(path.name) >= step:
                    shutil.rmtree(path)
        sharding.wait_for_all(f"best checkpoint at step {step}")
        checkpoints = checkpoint.Checkpoints(self._folder, keep=1)
        try:
            checkpoints.save(step, state, positions)
        finally:
            checkpoints.close()
        if jax.process_index() == 0:
            files.write_json(self._file, {"step": step, "mAP": score})
        self._score = score
        return f"step {step} is the best until now (mAP {100 * score:.1f}), kept in {self._folder}"
