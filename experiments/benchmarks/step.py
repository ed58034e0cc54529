"""Speed and memory of the joint stage's train step: what `python -m experiments.benchmark` measures."""

import json
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from flax import nnx

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import restore, training
from san_jax import sharding, train_state, train_step
from san_jax.settings import AugmentSettings, LossSettings

NUM_CLASSES = 751  # training identities of Market-1501


def measure(config: Config, *, seconds: float) -> dict[str, Any]:
    """Times the steps of a config of the joint stage.

    Args:
        config: From `san.py`.
        seconds: How long to measure, after compilation and two warm-up rounds; at least three rounds are run.

    Returns:
        JSON values: device, compute_dtype, batch sizes, seconds of compilation, images/s of both steps in turn and of
        each kind alone, and the peak of device memory in GiB (None where the backend does not tell).
    """
    mesh = sharding.make_mesh()
    _, optimizer = training.build_optimizer(config)

    def build() -> Any:
        return restore.build_model(config, NUM_CLASSES, decoder=True, seed=config.seed)

    graphdef, _ = train_state.create(nnx.eval_shape(build), optimizer)
    state = sharding.init_replicated(lambda: train_state.create(build(), optimizer)[1], mesh)
    batches, steps, compile_seconds = {}, {}, {}
    for kind, group, make_step in (
        ("reid", config.augment, train_step.make_reid_step),
        ("pit", config.pit_augment, train_step.make_pit_step),
    ):
        batches[kind] = sharding.shard_batch(_made_up_batch(config, kind), mesh)
        settings = train_step.StepSettings(
            LossSettings(**config.loss), AugmentSettings(**group), train_step.texture_targets(), config.seed
        )
        step: Any = make_step(graphdef, optimizer, settings)
        start = time.perf_counter()
        steps[kind] = step.lower(state, batches[kind]).compile()
        compile_seconds[kind] = round(time.perf_counter() - start, 1)

    def run(kinds: tuple[str, ...], limit: float) -> float:
        """Images/s of these steps in turn."""
        nonlocal state
        rounds, start = 0, time.perf_counter()
        while rounds < 3 or time.perf_counter() - start < limit:
            for kind in kinds:
                state, _ = steps[kind](state, batches[kind])
            jax.block_until_ready(state.step)
            rounds += 1
        images = rounds * sum(len(batches[kind]["image"]) for kind in kinds)
        return round(images / (time.perf_counter() - start), 2)

    run(("reid", "pit"), 0.0)
    images_per_second = {
        "joint": run(("reid", "pit"), seconds),
        "reid": run(("reid",), seconds / 2),
        "pit": run(("pit",), seconds / 2),
    }
    statistics = mesh.devices.flat[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return {
        "device": f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        "jax": jax.__version__,
        "compute_dtype": config.model.compute_dtype,
        "width": config.model.width,
        "image_size": list(config.image_size),
        "batch": {kind: len(batch["image"]) for kind, batch in batches.items()},
        "compile_seconds": compile_seconds,
        "images_per_second": images_per_second,
        "peak_memory_gib": None if peak is None else round(peak / 2**30, 2),
        "gradient_is_finite": bool(
            np.isfinite(jax.device_get(steps["reid"](state, batches["reid"])[1]["gradient_norm"]))
        ),
    }


def _made_up_batch(config: Config, kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    per_identity = config.batch.images_per_identity
    size = config.batch.pit_size if kind == "pit" else config.batch.num_identities * per_identity
    texture_size = config.model.texture_size
    batch = {
        "image": rng.integers(0, 256, (size, *config.image_size, 3), np.uint8),
        "texture": rng.integers(0, 256, (size, texture_size, texture_size, 3), np.uint8),
    }
    if kind == "reid":
        batch["label"] = np.arange(size, dtype=np.int32) // per_identity
    return batch


def run(*, small: bool, dtypes: Sequence[str], seconds: float) -> None:
    """Measures each compute dtype and prints a JSON object for it.

    Args:
        small: Measures the network of `san.py:smoke` in place of the full one.
        dtypes: Values of `model.compute_dtype`.
        seconds: How long to measure each of them.
    """
    logging.set_verbosity(logging.WARNING)
    for dtype in dtypes:
        name = "san.py:smoke,prepare=" if small else "san.py"
        config = config_files.load(f"{name}{',' if small else ':'}model.compute_dtype={dtype}")
        print(json.dumps(measure(config, seconds=seconds)), flush=True)
