"""Small trained-looking runs to export: a checkpoint of random weights with statistics unlike a fresh model's."""

import importlib.util
import pathlib
import sys
from typing import Any

import jax
import numpy as np
import optax
import pytest

from experiments.command_line import config_files
from experiments.runs import exporting, folder, models
from experiments.runs.plan import resolve
from san_jax import checkpoint, embed, onnx_file, run_folder, train_state
from san_jax.models import merge_model, split_model
from tests.golden import weights


def write_run(workdir: pathlib.Path, config: str = "san.py:smoke", *, average: bool = False, **changes: Any) -> Any:
    """Writes config.json, data.json and a checkpoint at step 7.

    Args:
        workdir: The run's folder, made.
        config: A config of `experiments/configs`.
        average: The run keeps an average of its weights, which are other ones.
        changes: Values by keys with "__" for the dot, such as model__bnneck=True.

    Returns:
        The config.
    """
    loaded = config_files.load(config).unlock()
    for key, value in changes.items():
        group, _, leaf = key.rpartition("__")
        (loaded[group] if group else loaded)[leaf] = value
    if average:
        loaded.ema_decay = 0.9
    model = with_drawn_weights(models.skeleton(resolve(loaded), 3))
    _, state = train_state.create(model, optax.identity(), average=average)
    if average:  # loading takes the average, so the others may be anything
        state = train_state.TrainState(
            state.step, jax.tree.map(np.zeros_like, state.params), state.batch_stats, state.opt_state, state.average
        )
    folder.write_records(workdir, loaded, {"dataset": "pit_reid", folder.STARTED_FROM: {}}, {})
    checkpoints = checkpoint.Checkpoints(workdir / run_folder.CHECKPOINT_FOLDER, keep=1)
    checkpoints.save(7, state, {})
    checkpoints.close()
    return loaded


def with_drawn_weights(model: Any) -> Any:
    """The model with every array drawn by its name, see `tests.golden.weights`."""

    def draw(path: Any, leaf: Any) -> np.ndarray:
        name = ".".join(str(key.key) for key in path[1:])
        if name == "pooling.p":
            return np.full((), 2.5, np.float32)
        return weights.draw(name, leaf.shape)

    graphdef, *state = split_model(model)
    return merge_model(graphdef, *jax.tree.map_with_path(draw, state))


# What tests/golden/make_export.py loads into PyTorch: name -> changes of the config.
GOLDEN_RUNS: dict[str, dict[str, Any]] = {
    "resnet": {"model__width": 4},
    "heads": {
        "model__width": 4,
        "model__stage_sizes": (1, 2, 1, 1),
        "model__feature_size": 6,
        "model__pooling": "gem",
        "model__bnneck": True,
    },
    "densenet": {
        "model__encoder": "densenet121",
        "model__width": 4,
        "model__stage_sizes": (2, 1, 1, 2),
        "model__bnneck": True,
    },
}


def golden_images() -> np.ndarray:
    """uint8 [3 64 32 3], the same wherever they are drawn."""
    return np.random.RandomState(5).randint(0, 256, (3, 64, 32, 3)).astype(np.uint8)


def fingerprint(tensor: np.ndarray) -> float:
    """A number that another order of a tensor's values changes too."""
    values = tensor.astype(np.float64).ravel()
    return float(values @ np.cos(np.arange(len(values))))


def main() -> None:
    """Exports the golden runs as safetensors into the folder that is named."""
    root = pathlib.Path(sys.argv[1])
    for name, changes in GOLDEN_RUNS.items():
        write_run(root / "runs" / name, **changes)
        exporting.run(root / "runs" / name, root / name, formats=[exporting.SAFETENSORS])
        np.save(root / name / "images.npy", golden_images())


if __name__ == "__main__":
    main()


BLOCK = {"model__width": 4}  # the smallest ResNet
# Every operation that an export can hold: average and maximum pooling, concatenation, GeM, head and neck.
EVERYTHING = {**GOLDEN_RUNS["heads"], "model__stage_sizes": (1, 1, 1, 1), "model__encoder": "densenet121"}


def run_embeddings(workdir, images):
    model, *_ = models.load_run(workdir, encoder_only=True)
    return embed.embed_images(model, images, batch_size=sum(exporting.BATCHES))


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in onnx_file.PACKAGES),
    reason=f"onnx and onnxruntime are not installed: {onnx_file.INSTALL}",
)
