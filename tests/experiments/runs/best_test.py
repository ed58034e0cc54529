"""experiments/runs/best.py and `checkpoint.find`: the best checkpoint stays beside the newest ones."""

import pathlib

import flax.nnx as nnx
import optax
import pytest

from experiments.runs.best import BestCheckpoint
from san_jax import checkpoint, run_folder, train_state
from san_jax.models import SAN


@pytest.fixture(scope="module")
def state():
    model = SAN(0, width=2, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))
    return train_state.create(model, optax.sgd(0.1))[1]


def offer(best: BestCheckpoint, state: train_state.TrainState, step: int, score: float) -> str:
    return best.offer(step, state, {"reid": {"next_step": step}}, {"eval/mAP": score})


def test_the_highest_score_is_kept(tmp_path: pathlib.Path, state: train_state.TrainState):
    best = BestCheckpoint(tmp_path)
    assert (
        offer(best, state, 10, 0.2)
        == f"step 10 is the best until now (mAP 20.0), kept in {tmp_path / 'best_checkpoint'}"
    )
    assert offer(best, state, 20, 0.5)
    assert offer(best, state, 30, 0.5) == ""
    assert checkpoint.find(tmp_path, "best") == (tmp_path / "best_checkpoint", 20)
    again = BestCheckpoint(tmp_path)  # the run was stopped and goes on
    assert offer(again, state, 40, 0.4) == ""
    assert offer(again, state, 50, 0.6)
    assert checkpoint.find(tmp_path, "best")[1] == 50
    step, params, _ = checkpoint.load_weights(tmp_path / "best_checkpoint")
    assert step == 50
    assert params.keys() == state.params.keys()


def test_a_run_that_goes_on_from_before_its_best_may_find_another(
    tmp_path: pathlib.Path, state: train_state.TrainState
):
    """It was killed after step 100 was scored and before it was saved, and is now scored more often."""
    offer(BestCheckpoint(tmp_path), state, 100, 0.3)
    offer(BestCheckpoint(tmp_path), state, 95, 0.4)
    assert checkpoint.find(tmp_path, "best")[1] == 95


def test_without_a_score_nothing_is_kept(tmp_path: pathlib.Path, state: train_state.TrainState):
    assert BestCheckpoint(tmp_path).offer(1, state, {}, {"eval/rank1": 0.5}) == ""
    assert list(tmp_path.iterdir()) == []


def test_find_names_what_there_is(tmp_path: pathlib.Path):
    with pytest.raises(
        checkpoint.CheckpointError, match=r"there is no checkpoint in .*checkpoints: expected the folder"
    ):
        checkpoint.find(tmp_path)
    for folder, step in ((run_folder.CHECKPOINT_FOLDER, 30), (run_folder.CHECKPOINT_FOLDER, 40)):
        (tmp_path / folder / str(step)).mkdir(parents=True)
    with pytest.raises(checkpoint.CheckpointError, match="keeps its best one if eval_every_epochs is set"):
        checkpoint.find(tmp_path, "best")
    (tmp_path / run_folder.BEST_FOLDER / "20").mkdir(parents=True)
    folders = {which: checkpoint.find(tmp_path, which)[0].name for which in ("newest", "best", "20", "30")}
    assert folders == {"newest": "checkpoints", "best": "best_checkpoint", "20": "best_checkpoint", "30": "checkpoints"}
    assert checkpoint.find(tmp_path)[1] == 40
    with pytest.raises(checkpoint.CheckpointError, match="has no checkpoint of step 25; it has 20, 30, 40"):
        checkpoint.find(tmp_path, "25")
    with pytest.raises(ValueError, match="must be newest, best or a step, found 'last'"):
        checkpoint.find(tmp_path, "last")
