"""Compiles the train steps of a plan ahead of time, from the shapes of its state and batches alone."""

import dataclasses
import re
from typing import Any

import jax
import numpy as np

from experiments.compiling.topologies import Topology
from experiments.runs import models, steps, training_data
from experiments.runs.errors import Problems
from experiments.runs.plan import RunPlan
from san_jax import sharding, train_state
from san_jax.models import split_model

_PAIRS_OF_AN_EPOCH = 100  # in batches, for a plan without identities; it sets lengths of the schedule, and no cost
# As libtpu says it: "... HLO temporaries (17.30G) exceeds available HBM (15.75G)", "Used 17.30G of 15.75G hbm".
_OUT_OF_MEMORY = re.compile(r"([\d.]+)([KMGT])(?:\) exceeds available HBM \(| of )([\d.]+)([KMGT])\b")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class DoesNotFitError(ValueError):
    """A step needs more memory than a device has; the compiler gave up.

    Attributes:
        needed: Bytes that it needs on a device, at least.
        available: Bytes that the device has.
    """

    def __init__(self, needed: int, available: int):
        super().__init__(f"does not fit: needs at least {needed / 2**30:.2f} of {available / 2**30:.2f} GiB a device")
        self.needed = needed
        self.available = available


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a compiled step needs of a device's memory, in bytes.

    Attributes:
        arguments: The state and the batch.
        outputs: The new state and the metrics.
        aliased: What of the outputs takes the place of donated arguments.
        temporary: Everything that is made in between, at its largest.
    """

    arguments: int
    outputs: int
    aliased: int
    temporary: int

    @property
    def peak(self) -> int:
        """Bytes at the fullest moment."""
        return self.arguments + self.outputs - self.aliased + self.temporary


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A train step that was compiled for devices.

    Attributes:
        kind: Its kind of batch, "reid" or "pit".
        batch_size: Images in a batch, over all devices.
        memory: What it needs of each device's memory.
        hlo: The text of its optimized HLO module.
    """

    kind: str
    batch_size: int
    memory: Memory
    hlo: str


class StepCompiler:
    """Compiles the steps of a plan for devices.

    Args:
        plan: What is trained.
        topology: What to compile for.
        num_classes: Training identities, which is the size of the classifier; not used without reID batches.

    Raises:
        ValueError: The plan's networks or optimizer cannot be built, or a batch does not divide by the devices.
    """

    def __init__(self, plan: RunPlan, topology: Topology, *, num_classes: int):
        self._plan, self._topology = plan, topology
        self._mesh = sharding.make_mesh(topology.devices)
        problems = Problems()
        training_data.check_batches(plan, self._mesh, problems)
        problems.check()
        classes = num_classes if plan.reid else 0
        pairs = _PAIRS_OF_AN_EPOCH * plan.pit.size if plan.pit else 0
        epoch = training_data.count_steps_of_epoch(plan, classes or None, pairs).steps
        lengths = plan.length.in_steps(epoch)
        _, optimizer = steps.make_optimizer(plan, lengths)
        average = plan.ema_decay > 0.0
        graphdef, _, _ = split_model(models.skeleton(plan, classes))
        state = jax.eval_shape(lambda: train_state.create(models.build(plan, classes), optimizer, average=average)[1])
        self._state = _with_sharding(state, sharding.replicated(self._mesh))
        self._steps = steps.make_steps(plan, lengths, graphdef, optimizer, _mirror_maps(plan), self._mesh)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of batches that the plan has a step for."""
        return tuple(self._steps)

    def compile(self, kind: str) -> CompiledStep:
        """Compile the step of one kind of batch.

        Raises:
            DoesNotFitError: The compiler found that the step needs more memory than a device has.
        """
        step: Any = self._steps[kind]
        batch = _with_sharding(_batch_shapes(self._plan, kind), sharding.batch_sharding(self._mesh))
        lowered = step.trace(self._state, batch).lower(lowering_platforms=(self._topology.platform,))
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            match = _OUT_OF_MEMORY.search(str(error))
            if match is None or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            needed, available = (int(float(match[i]) * _UNITS[match[i + 1]]) for i in (1, 3))
            raise DoesNotFitError(needed, available) from error
        stats = compiled.memory_analysis()
        memory = Memory(
            stats.argument_size_in_bytes,
            stats.output_size_in_bytes,
            stats.alias_size_in_bytes,
            stats.temp_size_in_bytes,
        )
        return CompiledStep(kind, self._plan.batch_size(kind), memory, compiled.as_text())


def _with_sharding(tree: Any, where: jax.sharding.Sharding) -> Any:
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where), tree)


def _batch_shapes(plan: RunPlan, kind: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a batch as `san_jax.typing` describes it."""
    size = plan.batch_size(kind)
    shapes = {"image": jax.ShapeDtypeStruct((size, *plan.image_size, 3), np.uint8)}
    target = _target_size(plan)
    if target is not None:
        shapes["texture"] = jax.ShapeDtypeStruct((size, *target, 3), np.uint8)
    if kind == "reid":
        shapes["label"] = jax.ShapeDtypeStruct((size,), np.int32)
        if plan.needs_cameras:
            shapes["camera_id"] = jax.ShapeDtypeStruct((size,), np.int32)
    return shapes


def _target_size(plan: RunPlan) -> tuple[int, int] | None:
    """Return height and width of the targets in a batch; None where there are none."""
    size = None if plan.target is None else plan.target.batch_size
    return (size, size) if isinstance(size, int) else size


def _mirror_maps(plan: RunPlan) -> dict[str, np.ndarray]:
    """Return a UV mirror map for each kind of batch that needs one: where it points to costs nothing."""
    target = _target_size(plan)
    if target is None:
        return {}
    identity = np.stack(np.meshgrid(*map(np.arange, target), indexing="ij"), axis=-1).astype(np.int32)
    return {kind: identity for kind, augment in plan.augment.items() if augment.mirror_textures}
