"""Speed and memory of the joint training step: what `python -m experiments.benchmark` measures."""

import json
import time
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import models, training_data
from experiments.runs import steps as steps_of_plan
from experiments.runs.plan import RunPlan, resolve
from san_jax import sharding, train_state

NUM_CLASSES = 751  # training identities of Market-1501


class _Steps:
    """The compiled training steps of a config and the state that they update.

    Args:
        plan: The plan of a config of `san.py`.
        mesh: The devices.
    """

    def __init__(self, plan: RunPlan, mesh: Mesh):
        self.seconds: dict[str, float] = {}  # of compilation
        epoch = training_data.count_steps_of_epoch(plan, NUM_CLASSES, 0).steps
        _, optimizer = steps_of_plan.make_optimizer(plan, plan.length.in_steps(epoch))
        graphdef, _ = train_state.create(models.skeleton(plan, NUM_CLASSES), optimizer)
        self._state = sharding.init_replicated(
            lambda: train_state.create(models.build(plan, NUM_CLASSES), optimizer)[1], mesh
        )
        self._steps: dict[str, Any] = {}
        self._batches: dict[str, dict[str, jax.Array]] = {}
        for kind, step in steps_of_plan.make_steps(plan, graphdef, optimizer, {}, mesh).items():
            self._batches[kind] = sharding.shard_batch(_made_up_batch(plan, kind), mesh)
            start = time.perf_counter()
            self._steps[kind] = cast(Any, step).lower(self._state, self._batches[kind]).compile()
            self.seconds[kind] = round(time.perf_counter() - start, 1)

    def batch_sizes(self) -> dict[str, int]:
        """Return the number of images in a batch of each kind."""
        return {kind: len(batch["image"]) for kind, batch in self._batches.items()}

    def images_per_second(self, *kinds: str, seconds: float) -> float:
        """Run steps of these kinds in turn, for at least three rounds."""
        rounds, start = 0, time.perf_counter()
        while rounds < 3 or time.perf_counter() - start < seconds:
            for kind in kinds:
                self._state, _ = self._steps[kind](self._state, self._batches[kind])
            jax.block_until_ready(self._state.step)
            rounds += 1
        images = rounds * sum(self.batch_sizes()[kind] for kind in kinds)
        return round(images / (time.perf_counter() - start), 2)

    def gradient_is_finite(self) -> bool:
        """Run a last reID step and look at its gradient. The state is used up."""
        _, metrics = self._steps["reid"](self._state, self._batches["reid"])
        return bool(np.isfinite(jax.device_get(metrics["gradient_norm"])))


def measure(config: Config, *, seconds: float) -> dict[str, Any]:
    """Time the steps of the joint training.

    Args:
        config: A config of `san.py`.
        seconds: How long to measure, after compilation and some rounds of warm-up. At least three rounds are run.

    Returns:
        JSON values: device, compute_dtype, batch sizes, seconds of compilation, images per second of both steps in turn
        and of each alone, and the peak of device memory in GiB (None if the backend does not report it).
    """
    mesh = sharding.make_mesh()
    plan = resolve(config)
    steps = _Steps(plan, mesh)
    steps.images_per_second("reid", "pit", seconds=0.0)  # warm-up
    images_per_second = {
        "joint": steps.images_per_second("reid", "pit", seconds=seconds),
        "reid": steps.images_per_second("reid", seconds=seconds / 2),
        "pit": steps.images_per_second("pit", seconds=seconds / 2),
    }
    peak = (mesh.devices.flat[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "device": f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        "jax": jax.__version__,
        "compute_dtype": plan.model.compute_dtype,
        "width": plan.model.width,
        "image_size": list(plan.image_size),
        "batch": steps.batch_sizes(),
        "compile_seconds": steps.seconds,
        "images_per_second": images_per_second,
        "peak_memory_gib": None if peak is None else round(peak / 2**30, 2),
        "gradient_is_finite": steps.gradient_is_finite(),
    }


def _made_up_batch(plan: RunPlan, kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    size, texture_size = plan.batch_size(kind), plan.model.texture_size
    batch = {
        "image": rng.integers(0, 256, (size, *plan.image_size, 3), np.uint8),
        "texture": rng.integers(0, 256, (size, texture_size, texture_size, 3), np.uint8),
    }
    if kind == "reid":
        assert plan.reid is not None
        batch["label"] = np.arange(size, dtype=np.int32) // plan.reid.images_per_identity
    return batch


def run(*, small: bool, dtypes: Sequence[str], seconds: float) -> None:
    """Measure each compute dtype and print a JSON object for it.

    Args:
        small: Measure the network of `san.py:smoke` in place of the full one.
        dtypes: Values of `model.compute_dtype`.
        seconds: How long to measure each of them.
    """
    for dtype in dtypes:
        name = "san.py:smoke,prepare=" if small else "san.py"
        config = config_files.load(f"{name}{',' if small else ':'}model.compute_dtype={dtype}")
        print(json.dumps(measure(config, seconds=seconds)), flush=True)
