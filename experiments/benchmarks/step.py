"""Speed of the training step: fixed batch, from the pipeline, from device memory, and PyTorch's beside it.

A round of a program is one step of each kind of batch of its config, such as a reID step and a PIT step for SAN, with
all that the plan says: losses, augmentation, mirrored targets, average of the weights.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from experiments.benchmarks import step_data, timing
from experiments.benchmarks.options import StepOptions
from experiments.benchmarks.step_data import Variant
from experiments.command_line.config_files import Config
from experiments.runs import feeding, models, training_data
from experiments.runs import steps as steps_of_plan
from experiments.runs.errors import Problems, RunError
from experiments.runs.feeding import Feeding
from experiments.runs.training_data import TrainingData
from san_jax import dispatch, sharding, train_state

FIXED, PIPELINE, DEVICE = "fixed batch", "from the pipeline", "from device memory"
Batch = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Source:
    """A way of feeding.

    Attributes:
        run: Runs so many rounds and waits for the last.
        at_once: Rounds that are done in one call; `run` is asked for multiples of it.
    """

    run: Callable[[int], None]
    at_once: int = 1


class Trainee:
    """The compiled steps of a plan, the state that they update, and what they are fed with.

    Attributes:
        images: Images of a round, one step of each kind.
        compile_seconds: Seconds that compiling each kind's step took, and each call on data in device memory.
        fixed: A batch of each kind, as the host read it.
        sources: The ways of feeding by name.
    """

    def __init__(self, variant: Variant, data: TrainingData, mesh: Mesh, fed: Feeding | None):
        self._plan, self._mesh = variant.plan, mesh
        num_classes = data.num_classes if variant.num_classes is None else variant.num_classes
        lengths = variant.plan.length.in_steps(data.epoch.steps)
        _, optimizer = steps_of_plan.make_optimizer(variant.plan, lengths)
        graphdef, _ = train_state.create(models.skeleton(variant.plan, num_classes), optax.identity())

        def start() -> train_state.TrainState:
            model = models.build(variant.plan, num_classes)
            return train_state.create(model, optimizer, average=variant.plan.ema_decay > 0)[1]

        self._state = sharding.init_replicated(start, mesh)
        self.compile_seconds: dict[str, float] = {}
        self.fixed: dict[str, Batch] = {kind: next(stream) for kind, stream in data.streams.items()}
        resident = {kind: sharding.shard_batch(batch, mesh) for kind, batch in self.fixed.items()}
        made = steps_of_plan.make_steps(variant.plan, lengths, graphdef, optimizer, data.mirror_maps, mesh)
        self._steps = {kind: self._compile(kind, step, resident[kind]) for kind, step in made.items()}
        self.images = sum(variant.plan.batch_size(kind) for kind in variant.plan.batch_kinds)
        self.sources = {
            FIXED: Source(functools.partial(self._train, resident.__getitem__)),
            PIPELINE: Source(
                functools.partial(self._train, lambda kind: sharding.shard_batch(next(data.streams[kind]), mesh))
            ),
        }
        if fed is not None:
            self.sources |= self._device_sources(made, fed)
        self._metrics: Any = {}

    def _compile(self, name: str, step: Any, *arguments: Any) -> Any:
        begin = time.perf_counter()
        compiled = compile_step(step, self._state, *arguments)
        self.compile_seconds[name] = round(time.perf_counter() - begin, 2)
        return compiled

    def _device_sources(self, steps: Mapping[str, Any], fed: Feeding) -> dict[str, Source]:
        """The training set in device memory: a step a call, and as many steps a call as training does here."""
        cycle = self._plan.batch_kinds
        each = [self._make_call(steps, (kind,), 1, fed) for kind in dict.fromkeys(cycle)]
        of_kind = dict(zip(dict.fromkeys(cycle), each, strict=True))
        sources = {DEVICE: Source(functools.partial(self._call, [of_kind[kind] for kind in cycle], 1))}
        length = feeding.steps_per_dispatch(self._plan, fed, self._mesh)
        if length > 1:
            rounds = length // len(cycle)
            calls = [self._make_call(steps, cycle, rounds, fed)]
            sources[f"{DEVICE}, {length} steps a call"] = Source(functools.partial(self._call, calls, rounds), rounds)
        return sources

    def _make_call(
        self, steps: Mapping[str, Any], kinds: tuple[str, ...], cycles: int, fed: Feeding
    ) -> Callable[[], None]:
        """Compile a call that does the steps of `kinds` in turn, so many times, on rows of the streams."""

        def next_rows() -> tuple[jax.Array, ...]:
            rows = [next(fed.streams[kind])["rows"] for _ in range(cycles) for kind in kinds]
            return tuple(dispatch.place_rows(rows[number :: len(kinds)], self._mesh) for number in range(len(kinds)))

        made = dispatch.make_dispatch(steps, kinds, self._mesh, split=fed.split)
        name = f"{' and '.join(kinds)} {DEVICE}" + (f", {cycles} times a call" if cycles > 1 else "")
        compiled = self._compile(name, made, fed.device_data, next_rows())

        def call() -> None:
            self._state, self._metrics = compiled(self._state, fed.device_data, next_rows())

        return call

    def _call(self, calls: Sequence[Callable[[], None]], at_once: int, rounds: int) -> None:
        """Do so many rounds by calls that do `at_once` of them together, and wait for the last."""
        for _ in range(rounds // at_once):
            for call in calls:
                call()
        jax.block_until_ready(self._state.step)

    def _train(self, take: Callable[[str], Batch], rounds: int) -> None:
        """Run steps of each kind in turn, on the batches that `take` gives by kind, and wait for the last."""
        for _ in range(rounds):
            for kind in self._plan.batch_kinds:
                self._state, self._metrics = self._steps[kind](self._state, take(kind))
        jax.block_until_ready(self._state.step)

    def is_finite(self) -> bool:
        """Whether loss and gradient of the last step are finite."""
        return all(np.all(np.isfinite(value)) for value in jax.tree.leaves(jax.device_get(self._metrics)))


def compile_step(step: Any, *arguments: Any) -> Any:
    """Return the executable of a jitted step."""
    return step.lower(*arguments).compile()


def measure(config: Config, options: StepOptions) -> dict[str, Any]:
    """Time the training steps of a config at each batch size.

    Returns:
        JSON values: `network` (encoder, width, image_size, texture_size or None); `data`; `left_out` (program ->
        reason); `batches`: batch size -> `programs` (see `timing.compare`; a repeat is a step of each kind),
        `compile_seconds` (variant -> kind -> seconds), `finite` (variant -> whether its last loss and gradient were),
        `peak_memory_gib` of the first device, training sets included (None where the backend does not tell), and `bounds` (program -> `file`,
        `images_per_second`, `share` of it that was reached).

    Raises:
        RunError: Keys do not go together, or the data is missing.
        ValueError: A batch size does not fit, or a file of bounds is no such file.
    """
    bounds = {path: json.loads(pathlib.Path(path).read_text()) for path in options.bounds}
    batches: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    found: list[Variant] = []
    for batch_size in options.batch_sizes or (0,):
        found = step_data.variants(config, options, batch_size)
        if not options.data_dir:
            step_data.ensure_data([variant.plan for variant in found])
        measured = _measure_batch(found, options, left_out)
        measured["bounds"] = _held_against(bounds, found, measured["programs"])
        size = "reid" if found[0].plan.reid else "pit"
        batches[str(found[0].plan.batch_size(size))] = measured
    plan = found[0].plan
    return {
        "network": {
            "encoder": plan.model.encoder,
            "width": plan.model.width,
            "image_size": list(plan.image_size),
            "texture_size": plan.model.texture_size if plan.target else None,
        },
        "data": step_data.describe_data(options, plan),
        "left_out": left_out,
        "batches": batches,
    }


def _measure_batch(found: list[Variant], options: StepOptions, left_out: dict[str, str]) -> dict[str, Any]:
    mesh = sharding.make_mesh()
    trainees: dict[str, Trainee] = {}
    programs: dict[str, timing.Program] = {}
    feeds: dict[str, Feeding | None] = {}  # one for all dtypes of a method, whose training set is the same
    with contextlib.ExitStack() as stack:
        for variant in found:
            problems = Problems()
            data = training_data.find(variant.plan, mesh, problems, stack)
            problems.check()
            assert data is not None
            if variant.first not in feeds:
                feeds[variant.first] = _keep_on_device(variant, data, mesh, left_out, stack)
            trainee = trainees[variant.name] = Trainee(variant, data, mesh, feeds[variant.first])
            for source, how in trainee.sources.items():
                name = f"{variant.name}, {source}"
                reference = name.replace(variant.name, variant.first) if source == FIXED else f"{variant.name}, {FIXED}"
                programs[name] = timing.Program(how.run, trainee.images, reference, how.at_once)
        programs |= _torch_programs(found, trainees, left_out)
        rows = timing.compare(programs, seconds=options.seconds)
    peak = (mesh.devices.flat[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "programs": rows,
        "compile_seconds": {name: trainee.compile_seconds for name, trainee in trainees.items()},
        "finite": {name: trainee.is_finite() for name, trainee in trainees.items()},
        "peak_memory_gib": None if peak is None else round(peak / 2**30, 2),
    }


def _keep_on_device(
    variant: Variant, data: TrainingData, mesh: Mesh, left_out: dict[str, str], stack: contextlib.ExitStack
) -> Feeding | None:
    """Decode the training set into device memory; None where it does not fit."""
    try:
        fed = step_data.keep(variant.plan, data, mesh, "device")
    except RunError as error:
        left_out[f"{variant.first}, {DEVICE}"] = str(error)
        return None
    for stream in fed.streams.values():
        stack.callback(stream.close)
    return fed


def _torch_programs(
    found: list[Variant], trainees: Mapping[str, Trainee], left_out: dict[str, str]
) -> dict[str, timing.Program]:
    """The same trainings in PyTorch, each with ours in its precision as reference, where PyTorch is installed."""
    if importlib.util.find_spec("torch") is None:
        left_out["PyTorch"] = "not installed, left out"
        return {}
    torch_step = importlib.import_module("experiments.benchmarks.torch_step")
    programs = {}
    for variant in found:
        if variant.name != variant.first:
            continue
        reason = torch_step.unsupported(variant.plan)
        if reason:
            left_out[f"PyTorch, {variant.name}"] = reason
            continue
        title, trainee = variant.name.split()[0], trainees[variant.name]
        num_classes = variant.num_classes or int(trainee.fixed["reid"]["label"].max()) + 1 if variant.plan.reid else 0
        for mode in torch_step.modes():
            alike = f"{title} {mode.dtype}"
            reference = alike if alike in trainees else variant.name
            made = torch_step.TorchTrainee(variant.plan, trainee.fixed, num_classes, mode)
            name = f"PyTorch {title} {mode.name}, {FIXED}"
            programs[name] = timing.Program(made.train, trainee.images, f"{reference}, {FIXED}")
    return programs


def _held_against(
    bounds: Mapping[str, dict[str, Any]], found: list[Variant], rows: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Share of the bound that each variant reached, from the files that are for its method, dtype and batch sizes."""
    shares = {}
    for variant in found:
        for path, bound in bounds.items():
            if _is_for(bound, variant):
                steps = [bound["steps"][kind] for kind in variant.plan.batch_kinds]
                milliseconds = sum(step["bound"]["milliseconds"] for step in steps)
                reached = 1000 * sum(step["batch"] for step in steps) / milliseconds
                for name, row in rows.items():
                    if name.startswith(f"{variant.name}, "):
                        share = row["items_per_second"] / reached
                        shares[name] = {"file": path, "images_per_second": reached, "share": share}
    return shares


def _is_for(bound: Mapping[str, Any], variant: Variant) -> bool:
    """Whether a file of `experiments.train_compile` is for this variant.

    Raises:
        ValueError: It is no such file.
    """
    if not {"plan", "compute_dtype", "steps"} <= set(bound):
        raise ValueError(
            "--bound: expected the JSON of `python -m experiments.train_compile --output=FILE.json`, with the keys "
            f"plan, compute_dtype and steps, found {', '.join(sorted(bound))}."
        )
    plan, steps = variant.plan, bound["steps"]
    return (
        f"method: {plan.method}" in bound["plan"]
        and bound["compute_dtype"] == plan.model.compute_dtype
        and all(kind in steps and steps[kind]["batch"] == plan.batch_size(kind) for kind in plan.batch_kinds)
    )


def table(result: Mapping[str, Any]) -> str:
    """Return the text of what `measure` returned."""
    network, lines = result["network"], []
    words = "x".join(map(str, network["image_size"]))
    texture = f", textures of {network['texture_size']}" if network["texture_size"] else ", no decoder"
    lines.append(f"{network['encoder']}, width {network['width']}, images of {words}{texture}; data {result['data']}")
    for size, measured in result["batches"].items():
        lines += timing.table(f"a step of each kind, batch {size}", measured["programs"])
        if measured["peak_memory_gib"] is not None:
            lines.append(f"peak memory of the first device, training sets included: {measured['peak_memory_gib']} GiB")
        for name, seconds in measured["compile_seconds"].items():
            lines.append(f"compiling {name}: {', '.join(f'{kind} {value} s' for kind, value in seconds.items())}")
        for name, bound in measured["bounds"].items():
            reached = f"{100 * bound['share']:.0f} % of the bound of {bound['images_per_second']:.0f} images/s"
            lines.append(f"{name}: {reached} ({bound['file']})")
        lines += [f"{name}: NOT FINITE" for name, finite in measured["finite"].items() if not finite]
    return "\n".join([*lines, *(f"{name}: {reason}" for name, reason in result["left_out"].items())])
