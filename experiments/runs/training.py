"""The training loop of SAN-PG, SAN and the baseline (sections 3.1 and 3.2 of the paper)."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from experiments.command_line.config_files import Config
from experiments.runs import batch_norm, best, data_sources, feeding, folder, initial_weights, models, training_data
from experiments.runs import steps as steps_of_plan
from experiments.runs.errors import KNOWN_ERRORS, Problems, RunError, naming_the_config_part
from experiments.runs.plan import RunPlan, Steps, resolve
from experiments.runs.stopping import stop_signals
from experiments.runs.training_data import TrainingData
from san_jax import checkpoint, dispatch, metric_logger, run_folder, sharding, train_state, train_step
from san_jax.counts import count
from san_jax.models import SAN, merge_model, parameter_count
from san_jax.train_state import TrainState

__all__ = ["KNOWN_ERRORS", "Evaluate", "RunError", "Scores", "run"]

MAX_CALLS_IN_FLIGHT = 4  # that the host may be ahead of the device; more would only use memory for batches


@dataclasses.dataclass(frozen=True)
class Scores:
    """What scoring a model during its training gives.

    Attributes:
        values: Names such as `eval/mAP` and their values.
        pictures: Pictures for TensorBoard by name, uint8 RGB [H W 3].
    """

    values: Mapping[str, float]
    pictures: Mapping[str, np.ndarray]


Evaluate = Callable[[SAN, RunPlan], Scores]
"""Scores a model during its training."""


def run(config: Config, workdir: str | os.PathLike[str], *, evaluate: Evaluate | None = None) -> None:
    """Train to the end of the run, continuing from the newest checkpoint in `workdir`.

    Args:
        config: A training config, see `experiments/configs`.
        workdir: The run's folder, made if absent. A run that cannot start leaves nothing in it.
        evaluate: Scores the model where the config asks for it (`eval_every_epochs`).

    Raises:
        RunError: The workdir holds a run with another config, another process writes it, or config, data and initial
            weights do not fit together.
        san_jax.checkpoint.CheckpointError: Checkpoints cannot be kept in a folder of this name, or those in it cannot
            be read.
        san_jax.metric_logger.NonFiniteLossError: The loss or its gradient became infinite or NaN.
        SystemExit: SIGINT or SIGTERM came and a checkpoint was saved; the message says how to go on.
    """
    began = time.monotonic()
    plan, workdir = resolve(config), pathlib.Path(workdir)
    checkpoint.check_path(workdir)
    mesh = sharding.make_mesh()
    with contextlib.ExitStack() as stack:
        folder.hold(workdir, stack)
        newest = folder.newest_step(workdir)
        is_new = newest is None
        if not is_new:
            folder.check_config(config, workdir)
        inputs = _gather(plan, mesh, stack, is_new=is_new, evaluates=evaluate is not None)
        start = _make_start(inputs)
        record = _data_record(inputs, workdir, is_new=is_new)
        choice = feeding.choose(plan, inputs.data, mesh, steps_left=inputs.steps.total - (newest or 0))
        folder.write_records(workdir, config, record, inputs.data.mirror_file)  # nothing is written before this
        fed = feeding.prepare(plan, inputs.data, mesh, choice)
        for stream in fed.streams.values():
            stack.callback(stream.close)
        _Trainer(inputs, start, fed, workdir, evaluate, stack).train(began)


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """What a run is made of, opened and checked.

    Attributes:
        plan: What is trained.
        mesh: The devices.
        data: The data.
        steps: The length of the run on it.
        skeleton: The model, with shapes in place of arrays.
        schedule: The learning rate as a function of the steps done.
        optimizer: The optimizer.
        weights: Where the weights come from, unless they are random or the run goes on.
    """

    plan: RunPlan
    mesh: jax.sharding.Mesh
    data: TrainingData
    steps: Steps
    skeleton: SAN
    schedule: optax.Schedule
    optimizer: steps_of_plan.Optimizer
    weights: initial_weights.FileWeights | initial_weights.RunWeights | None


def _gather(
    plan: RunPlan, mesh: jax.sharding.Mesh, stack: contextlib.ExitStack, *, is_new: bool, evaluates: bool
) -> _Inputs:
    """Open everything that a run needs; a single error names all that is missing or does not fit."""
    problems = Problems()
    weights = None
    if is_new:
        weights = problems.take("start", lambda: initial_weights.load_file(plan))
        weights = weights or problems.take("start", lambda: initial_weights.load_run(plan, mesh))
    if plan.length.eval_every_epochs and not evaluates:
        problems.add("eval_every_epochs scores the run as it trains, which nothing does here: set it to 0.")
    data = training_data.find(plan, mesh, problems, stack)
    if plan.length.eval_every_epochs and plan.scored_on and data:
        problems.take("eval_every_epochs", functools.partial(_check_splits, plan.scored_on, plan.data_dir))
    skeleton = problems.take("model", lambda: models.skeleton(plan, data.num_classes if data else 1))
    steps = plan.length.in_steps(data.epoch.steps if data else 1)
    made = None
    if data:
        made = problems.take("optimizer", lambda: steps_of_plan.make_optimizer(plan, steps))
    problems.check_everywhere()
    assert data
    assert made
    schedule, optimizer = made
    return _Inputs(plan, mesh, data, steps, skeleton, schedule, optimizer, weights)


def _check_splits(dataset: str, data_dir: str) -> None:
    """Raise a RunError unless the dataset has the splits that a run is scored on as it trains."""
    missing = {"query", "gallery"} - set(data_sources.list_splits(dataset, data_dir))
    if missing:
        raise RunError(
            f"eval_every_epochs scores the run on {dataset}, which has no split {' and '.join(sorted(missing))}: set "
            "held_out_identities to score identities of the training set, eval_dataset to score another dataset, or "
            "eval_every_epochs to 0."
        )


@dataclasses.dataclass(frozen=True)
class _Start:
    """The state at step 0, and the functions that train it.

    Attributes:
        graphdef: The model's static part.
        state: Parameters, running statistics and the optimizer's state.
        words: Where the weights come from, for the log; "" where they are random.
        steps: The jitted train step of each kind of batch.
    """

    graphdef: Any
    state: TrainState
    words: str
    steps: dict[str, train_step.Step]


def _make_start(inputs: _Inputs) -> _Start:
    """Draw the initial weights, or take them from where the plan says, and make the train steps."""
    problems, plan = Problems(), inputs.plan
    graphdef, _ = train_state.create(inputs.skeleton, optax.identity())

    def draw() -> TrainState:
        model = models.build(plan, inputs.data.num_classes)
        return train_state.create(model, inputs.optimizer, average=plan.ema_decay > 0)[1]

    state, words = sharding.init_replicated(draw, inputs.mesh), ""
    weights = inputs.weights
    if isinstance(weights, initial_weights.FileWeights):
        state, words = initial_weights.take_file(state, weights, inputs.mesh)
    elif weights is not None:
        taken = problems.take("start", lambda: initial_weights.take_run(state, weights, plan.start, inputs.data))
        state, words = taken or (state, "")
    steps = problems.take(
        "step",
        lambda: steps_of_plan.make_steps(
            plan, inputs.steps, graphdef, inputs.optimizer, inputs.data.mirror_maps, inputs.mesh
        ),
    )
    problems.check_everywhere()
    return _Start(graphdef, state, words, steps)


def _data_record(inputs: _Inputs, workdir: pathlib.Path, *, is_new: bool) -> dict[str, Any]:
    """Return the content of data.json; raise a RunError where the folder holds a run on other data."""
    problems, start = Problems(), inputs.plan.start
    weights, record = inputs.weights, {**inputs.data.record, folder.NUM_STEPS: inputs.steps.total}
    if is_new:
        made = folder.new_record(
            record,
            run=start.path if start.kind == "run" else "",
            weights_file=weights.record if isinstance(weights, initial_weights.FileWeights) else None,
        )
    else:
        made = problems.take("data", lambda: folder.check_data(record, workdir))
    problems.check_everywhere()
    return made


@dataclasses.dataclass(frozen=True)
class _Done:
    """Steps that were done in one call.

    Attributes:
        first_step: The number of the first of them, from 1.
        kinds: The kind of the batch of each.
        metrics: For each step of a cycle its metrics, scalars or of all cycles [cycles]; on the device.
    """

    first_step: int
    kinds: tuple[str, ...]
    metrics: tuple[train_step.Metrics, ...]


class _Calls:
    """Does the next steps in one call: one on a batch that comes from the host, one or more on data on the devices."""

    def __init__(self, inputs: _Inputs, start: _Start, fed: feeding.Feeding):
        self._inputs, self._steps, self._fed = inputs, start.steps, fed
        self._length = feeding.steps_per_dispatch(inputs.plan, fed, inputs.mesh)
        self._seconds = {"data": 0.0, "compile": 0.0}
        self._dispatches: dict[tuple[str, ...], dispatch.Dispatch] = {}  # by the kinds of a cycle

    def next(self, state: TrainState, done: int) -> tuple[TrainState, _Done]:
        """Do the steps that follow on `done` ones; the state is used up."""
        kinds = self._next_kinds(done)
        began = time.monotonic()
        with naming_the_config_part("data"):  # an image that cannot be decoded
            batches = [next(self._fed.streams[kind]) for kind in kinds]
        self._seconds["data"] = time.monotonic() - began
        began = time.monotonic()
        if self._fed.device_data:
            state, metrics = self._dispatch(state, kinds, [batch["rows"] for batch in batches])
        else:
            batch = sharding.shard_batch(batches[0], self._inputs.mesh)
            with jax.transfer_guard("disallow"):
                state, of_step = self._steps[kinds[0]](state, batch)
            metrics = (of_step,)
        self._seconds["compile"] = time.monotonic() - began
        return state, _Done(done + 1, kinds, metrics)

    def seconds(self) -> str:
        """Say what the last call took: the wait for its batches, and what passed before the device began."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._seconds.items())

    def _next_kinds(self, done: int) -> tuple[str, ...]:
        """The kinds of the next batches: of whole cycles where nothing is due before they end, otherwise of one."""
        cycle, steps = self._inputs.plan.batch_kinds, self._inputs.steps
        every = filter(None, (steps.log_every, steps.checkpoint_every, steps.eval_every))
        free = min(steps.total - done, *(number - done % number for number in every))
        if self._length > 1 and done % len(cycle) == 0 and free >= self._length:
            return cycle * (self._length // len(cycle))
        return (cycle[done % len(cycle)],)

    def _dispatch(self, state: TrainState, kinds: tuple[str, ...], rows: list[np.ndarray]) -> tuple[TrainState, Any]:
        mesh = self._inputs.mesh
        cycle = kinds if len(kinds) == 1 else self._inputs.plan.batch_kinds
        placed = tuple(dispatch.place_rows(rows[number :: len(cycle)], mesh) for number in range(len(cycle)))
        if cycle not in self._dispatches:
            self._dispatches[cycle] = dispatch.make_dispatch(self._steps, cycle, mesh, split=self._fed.split)
        with jax.transfer_guard("disallow"):
            return self._dispatches[cycle](state, self._fed.device_data, placed)


class _Trainer:
    """The training loop, with what it writes: metrics and checkpoints."""

    def __init__(
        self,
        inputs: _Inputs,
        start: _Start,
        fed: feeding.Feeding,
        workdir: pathlib.Path,
        evaluate: Evaluate | None,
        stack: contextlib.ExitStack,
    ):
        self._inputs, self._start, self._workdir, self._evaluate = inputs, start, workdir, evaluate
        self._plan, self._streams = inputs.plan, fed.streams
        self._calls = _Calls(inputs, start, fed)
        self._checkpoints = checkpoint.Checkpoints(
            workdir / run_folder.CHECKPOINT_FOLDER, keep=self._plan.keep_checkpoints
        )
        stack.callback(self._checkpoints.close)
        self._best = best.BestCheckpoint(workdir)
        self._state, words = self._restore()
        start_step = int(self._state.step)
        self._logger = metric_logger.MetricLogger(
            workdir, num_steps=inputs.steps.total, start_step=start_step, epoch_steps=inputs.steps.epoch
        )
        stack.callback(self._logger.close)
        triplets = steps_of_plan.describe_triplets(self._plan, inputs.mesh)
        lines = [_describe(inputs), triplets, *training_data.describe(self._plan, inputs.data), fed.words, words]
        for line in filter(None, lines):
            self._logger.print(line)
        self._stop = stack.enter_context(stop_signals("this step"))
        self._pending: list[_Done] = []  # metrics that are still on the device
        self._last_time = time.monotonic()

    def _restore(self) -> tuple[TrainState, str]:
        """Return the newest checkpoint's state, or the initial one, and a line for the log; set the streams to it."""
        restored = self._checkpoints.restore(self._start.state)
        if restored is None:
            return self._start.state, self._start.words
        state, iterator_states = restored
        for kind, stream in self._streams.items():
            stream.set_state(iterator_states[kind])
        return state, f"goes on from step {int(state.step)} of {self._workdir}"

    def train(self, began: float) -> None:
        """Train to the last step.

        Args:
            began: When the run was started, by `time.monotonic()`.

        Raises:
            SystemExit: A signal came; a checkpoint was saved first.
        """
        total, done = self._inputs.steps.total, int(self._state.step)
        first = done + 1
        while done < total:
            self._state, metrics = self._calls.next(self._state, done)
            self._pending.append(metrics)
            if metrics.first_step == first:
                jax.block_until_ready(metrics.metrics)
                self._logger.print(f"first step after {time.monotonic() - began:.1f} s ({self._calls.seconds()})")
            done += len(metrics.kinds)
            if len(self._pending) > MAX_CALLS_IN_FLIGHT:
                jax.block_until_ready(self._pending[-1 - MAX_CALLS_IN_FLIGHT].metrics)
            if self._after_step(done) and done < total:
                self._checkpoints.close()
                raise SystemExit(
                    f"{self._stop[0] if self._stop else 'Another process'}: stopped at step {done} of {total}, saved "
                    f"in {self._checkpoints.directory}. Run the same command again to go on."
                )
        self._logger.print(f"finished {count(total, 'step')}: {self._workdir}")

    def _after_step(self, done: int) -> bool:
        """Log, save and score if they are due after this step; return whether the run has to stop."""
        steps = self._inputs.steps
        is_last = done == steps.total
        report = done % steps.log_every == 0 or is_last
        save = done % steps.checkpoint_every == 0 or is_last
        score = steps.eval_every > 0 and (done % steps.eval_every == 0 or is_last)
        # Processes that train together must agree to stop. Asking costs a wait, so they ask only when they log.
        stopping = (
            bool(self._stop) if jax.process_count() == 1 else report and sharding.on_any_process(bool(self._stop))
        )
        scores = None
        if report or save or score or stopping:
            scores = self._report(done, score=score)
        if scores is not None:  # before the checkpoint of this step, from which the run would not score it again
            if words := self._best.offer(done, self._state, self._positions(), scores.values):
                self._logger.print(words)
            self._last_time = time.monotonic()
        if save or stopping:
            self._checkpoints.save(done, self._state, self._positions())
        return stopping

    def _positions(self) -> dict[str, Any]:
        """Where the streams stand; no further batch was taken yet, so it is where the next step needs them."""
        return {kind: stream.get_state() for kind, stream in self._streams.items()}

    def _report(self, done: int, *, score: bool) -> Scores | None:
        """Log the means of the metrics since the last line, and the scores of the model if they are due."""
        metrics = _collect(self._pending, self._checkpoints)
        seconds = time.monotonic() - self._last_time  # without the time that scoring takes
        num_images = sum(self._plan.batch_size(kind) for done in self._pending for kind in done.kinds)
        metrics["learning_rate"] = float(np.asarray(self._inputs.schedule(done - 1)))
        if done == self._inputs.steps.total and self._plan.batch_norm_images:
            self._reestimate()
        scores = self._scores() if score else None
        if scores is not None:
            metrics |= scores.values
            self._logger.show(done, scores.pictures)
        self._logger.write(done, metrics, seconds=seconds, num_images=num_images)
        self._pending, self._last_time = [], time.monotonic()
        return scores

    def _reestimate(self) -> None:
        """Give the state the running statistics of training pictures, before it is scored and saved for the last time."""
        source = self._inputs.data.reid_source
        assert source is not None, "a plan without reID batches has no batch_norm_images"
        self._state, words = batch_norm.after_training(
            self._plan, source, self._start.graphdef, self._state, self._inputs.mesh
        )
        self._logger.print(words)

    def _scores(self) -> Scores:
        """Score the model as it is now, with the averaged weights where the run keeps them."""
        assert self._evaluate is not None
        state = self._state
        weights = state.average or {"params": state.params, "batch_stats": state.batch_stats}
        # Every process scores its share of the pictures, on its own devices.
        local = jax.tree.map(lambda array: array.addressable_data(0), weights)
        scores = self._evaluate(merge_model(self._start.graphdef, local["params"], local["batch_stats"]), self._plan)
        # They decide together which checkpoint is the best.
        agreed = sharding.from_first_process(np.asarray(list(scores.values.values()), np.float64))
        return Scores(dict(zip(scores.values, agreed.tolist(), strict=True)), scores.pictures)


def _describe(inputs: _Inputs) -> str:
    """Return a line that says what is trained, and on which devices."""
    model, mesh = inputs.skeleton, inputs.mesh
    encoder = parameter_count(model.encoder)
    text = f"encoder {encoder:,} parameters"
    if model.decoder is not None:
        decoder = parameter_count(model.decoder)
        text += f", decoder {decoder:,} ({decoder / encoder:.2f} of the encoder)"
    if model.classifier is not None:
        text += f", classifier {parameter_count(model.classifier):,}"
    device = mesh.devices.flat[0]
    kinds = " and ".join(inputs.plan.batch_kinds)
    processes = count(jax.process_count(), "process", "processes")
    return f"{text}; {kinds} steps on {mesh.size} x {device.device_kind}, {processes}"


def _collect(pending: list[_Done], checkpoints: checkpoint.Checkpoints) -> dict[str, float]:
    """Fetch the metrics since the last line, check that all are finite, and return their means as `kind/name`."""
    values: dict[str, list[float]] = {}
    fetched = jax.device_get([done.metrics for done in pending])
    for done, of_positions in zip(pending, fetched, strict=True):
        for number, kind in enumerate(done.kinds):
            cycle, position = divmod(number, len(of_positions))
            named = {name: np.ravel(items)[cycle] for name, items in of_positions[position].items()}
            metrics = {f"{kind}/{name}": float(value) for name, value in named.items()}
            if not np.all(np.isfinite(list(metrics.values()))):
                metric_logger.check_finite(done.first_step + number, metrics, checkpoints.latest())
            for name, value in metrics.items():
                values.setdefault(name, []).append(value)
    return {name: float(np.mean(items)) for name, items in values.items()}
