"""A disk that is full: what is written fails with one error that names the file or folder.

No file may grow beyond a limit of this process here; the system refuses larger ones as it refuses them on a full disk.
"""

import contextlib
import gc
import pathlib
import resource
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax
import pytest

from experiments.command_line import config_files
from experiments.runs import rendering
from render.recipes import build, pit
from render.recipes.studio import Studio
from san_jax import checkpoint, files, metric_logger
from san_jax.train_state import TrainState
from tests import dataset_fixtures


@contextlib.contextmanager
def _files_of_at_most(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_named_and_nothing_of_it_is_left(tmp_path: pathlib.Path):
    with _files_of_at_most(100), pytest.raises(OSError, match=r"File too large: '.*/scores\.json'"):
        files.write_atomic(tmp_path / "scores.json", bytes(1000))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_bars_a_folder_is_named(tmp_path: pathlib.Path):
    (tmp_path / "report").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists") as error:
        files.write_atomic(tmp_path / "report" / "scores.json", b"")
    assert str(tmp_path / "report" / "scores.json") in str(error.value)


def test_metrics(tmp_path: pathlib.Path):
    logger = metric_logger.MetricLogger(tmp_path, num_steps=10, start_step=0, epoch_steps=5)
    with _files_of_at_most(20), pytest.raises(OSError, match=rf"File too large: '.*{metric_logger.METRICS_FILE}'"):
        logger.write(2, {"reid/loss": 1.0}, seconds=1.0, num_images=4)
    logger.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited")
def test_a_checkpoint_names_its_folder_and_older_ones_are_kept(tmp_path: pathlib.Path):
    params = {"kernel": jax.random.normal(jax.random.key(0), (256, 64))}
    state = TrainState(jnp.asarray(1, jnp.int32), params, {}, optax.sgd(0.1).init(params))
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state, {})
    assert checkpoints.latest() == tmp_path / "1"

    def save() -> None:
        checkpoints.save(2, state, {})
        checkpoints.close()

    with _files_of_at_most(3000), pytest.raises(checkpoint.CheckpointError) as error:
        save()
    assert str(error.value).startswith(f"a checkpoint cannot be written to {tmp_path}: ")
    assert "File too large" in str(error.value)
    assert checkpoint.latest_step(tmp_path) == 1
    with contextlib.suppress(checkpoint.CheckpointError):
        checkpoints.close()
    del error
    gc.collect()


def test_a_dataset_names_its_folder_and_nothing_of_it_is_left(tmp_path: pathlib.Path):
    archive = dataset_fixtures.write_small_market(tmp_path / "archive")
    with _files_of_at_most(300), pytest.raises(OSError, match=r"File too large.*data/market1501/"):
        dataset_fixtures.build(
            "market1501",
            data_dir=tmp_path / "data",
            manual_dir=archive,
            counts=dataset_fixtures.SMALL_MARKET_COUNTS,
        )
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


class FullDiskPit(pit.Pit):
    """The disk is full once a worker is ready to draw."""

    def studio(self) -> Studio:
        studio = super().studio()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return studio


def test_a_rendering_worker_says_it_in_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(build.RECIPES, "pit", FullDiskPit)
    config = config_files.load("pit.py:num_textures=1,meshes_per_texture=1")
    with pytest.raises(rendering.RenderError) as error:
        rendering.run(config, output_dir=tmp_path / "pit", num_workers=1)
    assert f"[Errno 27] File too large: '{tmp_path / 'pit'}/" in str(error.value)
    assert "Traceback" not in str(error.value)
