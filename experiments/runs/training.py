"""Training of SAN-PG, SAN and the baseline (sections 3.1 and 3.2 of the paper)."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from absl import logging

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import data_sources, initial_weights, pseudo_textures, restore, targets
from san_jax import checkpoint, folder_lock, losses, metric_logger, optim, ranking, sharding, train_state, train_step
from san_jax.data import pipeline, reading, sampler
from san_jax.files import write_atomic
from san_jax.models import parameter_count
from san_jax.settings import AugmentSettings, LossSettings, OptimizerSettings
from san_jax.train_state import TrainState

# Keys that may differ from the run that a workdir holds: they do not change what is computed. What is at `generator` and
# `target_dir` is compared by digests that data.json keeps, so that either may be moved.
FREE_KEYS = frozenset(
    {
        *("log_every", "checkpoint_every", "keep_checkpoints", "num_workers", "data_dir", "prepare", "test_metric"),
        *("generator", "target_dir"),
    }
)
MAX_STEPS_IN_FLIGHT = 4  # steps that the host may be ahead of the device: more would only hold more batches


class RunError(ValueError):
    """A config, folder or dataset that no run can be made of. The message says what to change."""


# What `run` raises where a user can do something about it; the messages say what.
KNOWN_ERRORS = (
    RunError,
    data_sources.reid.DatasetError,
    checkpoint.CheckpointError,
    metric_logger.NonFiniteLossError,
    OSError,
)


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
    """Trains to `config.num_steps`, going on from the newest checkpoint in `workdir`.

    Args:
        config: A config with the keys of `experiments/configs/san_pg.py`, `san.py` or `baseline.py`.
        workdir: The run's folder, made if absent.

    Raises:
        RunError: The workdir holds a run with another config or is another process's to write, or config, data and
            `init_from` do not fit.
        san_jax.checkpoint.CheckpointError: No checkpoint can be kept in a folder of this name, or those there cannot be
            read.
        san_jax.metric_logger.NonFiniteLossError: The loss or its gradient became infinite or NaN.
        SystemExit: SIGINT or SIGTERM came, after a checkpoint was saved; its message says how to go on.
    """
    workdir = pathlib.Path(workdir)
    turns = turns_of(config)
    _check_keys(config)
    checkpoint.check_path(workdir)
    with contextlib.ExitStack() as stack:
        _hold(workdir, stack)
        _run(config, workdir, turns, stack)


def _hold(workdir: pathlib.Path, stack: contextlib.ExitStack) -> None:
    """Holds the workdir for the processes that train together; refused, it ends all of them with one message."""
    refusal = ""
    if jax.process_index() == 0:
        try:
            stack.enter_context(folder_lock.hold(workdir))
        except folder_lock.FolderError as error:
            refusal = str(error)
    if refusal := sharding.first_message(refusal):
        raise RunError(refusal)


class _Problems:
    """What keeps a run from starting: all of it is found before it is told, and before anything is written."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def take(self, part: str, function: Callable[[], Any]) -> Any:
        """The result of a function; None where it raises, which is noted as a problem of that part of the config."""
        try:
            with _explain(part):
                return function()
        except (RunError, data_sources.reid.DatasetError, checkpoint.CheckpointError) as error:
            self.errors.append(error)
            return None

    def check(self) -> None:
        """Raises an error that names every problem, on each of the processes that train together."""
        lines = [f"- {error}" for error in self.errors]
        if len(lines) > 1:
            text = "\n".join([f"This run cannot start, for {len(lines)} reasons:", *lines])
        else:
            text = "".join(map(str, self.errors))
        if not (told := sharding.first_message(text)):
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        raise RunError(text or told)


def _run(config: Config, workdir: pathlib.Path, turns: tuple[str, ...], stack: contextlib.ExitStack) -> None:
    """Runs the training loop. Resources are registered on `stack`, so they close on any exit."""
    is_new = checkpoint.latest_step(workdir / restore.CHECKPOINT_FOLDER) is None
    if not is_new:
        _check_config(config, workdir)
    problems = _Problems()
    first_weights = problems.take("pretrained", lambda: initial_weights.load(config)) if is_new else None
    rates_and_optimizer = problems.take("optimizer", lambda: build_optimizer(config))
    settings = problems.take("loss", lambda: LossSettings(**config.loss))
    groups = {"reid": "augment", "pit": "pit_augment"}
    augment = problems.take(
        "augment", lambda: {kind: AugmentSettings(**config[groups[kind]]) for kind in dict.fromkeys(turns)}
    )
    if config.prepare == "smoke":
        from experiments.runs import stages  # it imports this module

        problems.check()
        problems.take("prepare", lambda: stages.prepare_smoke(config))
        problems.check()
    mesh = sharding.make_mesh()
    start = problems.take("init_from", lambda: _load_start(config, mesh)) if is_new and config.init_from else None
    data = _find_data(config, turns, mesh, problems, stack)
    model_args: dict[str, Any] = {"decoder": config.stage != "baseline"}
    num_classes = data.num_classes if data else 1
    skeleton = problems.take(
        "model",
        lambda: jax.eval_shape(lambda: restore.build_model(config, num_classes, seed=config.seed, **model_args)),
    )
    if data and is_new:
        problems.take("optimizer", lambda: _check_schedule(config, data.epoch))
    problems.check()
    assert data
    schedule, optimizer = rates_and_optimizer

    graphdef, _ = train_state.create(skeleton, optax.identity())

    def init() -> TrainState:
        model = restore.build_model(config, num_classes, seed=config.seed, **model_args)
        return train_state.create(model, optimizer, average=config.ema_decay > 0)[1]

    state = sharding.init_replicated(init, mesh)
    began = ""
    if start is not None:
        taken = problems.take("init_from", lambda: _init_from(config, state, start, data))
        state, began = taken or (state, "")
    elif first_weights is not None:
        weights = sharding.replicate((first_weights.params, first_weights.batch_stats), mesh)
        state, _ = train_state.take_weights(state, *({"encoder": tree} for tree in weights), modules=("encoder",))
        began = first_weights.description

    def make_step(kind: str) -> Any:
        make = train_step.make_pit_step if kind == "pit" else train_step.make_reid_step
        decoder_targets = {None: None, "input": train_step.input_targets}
        name = _target_name(config)
        return make(
            graphdef,
            optimizer,
            train_step.StepSettings(
                loss=settings,
                augment=augment[kind],
                targets=decoder_targets[name]
                if name in decoder_targets
                else train_step.texture_targets(_mirror_map(config, kind, augment[kind])),
                seed=config.seed,
                ema_decay=config.ema_decay,
            ),
        )

    steps = problems.take("step", lambda: {kind: make_step(kind) for kind in data.streams})
    record = problems.take(
        "data", lambda: _data_record(data.record, config.init_from, first_weights, workdir, is_new=is_new)
    )
    problems.check()
    # Nothing has been written so far.
    _write_records(config, record, data.mirror_file, workdir)
    checkpoints = checkpoint.Checkpoints(workdir / restore.CHECKPOINT_FOLDER, keep=config.keep_checkpoints)
    stack.callback(checkpoints.close)
    restored = checkpoints.restore(state)
    if restored is not None:
        state, iterator_states = restored
        for kind, stream in data.streams.items():
            stream.set_state(iterator_states[kind])
    first_step = int(state.step)

    logger = metric_logger.MetricLogger(workdir, num_steps=config.num_steps, start_step=first_step)
    stack.callback(logger.close)
    logger.print(_describe(skeleton, mesh, turns))
    for line in _describe_data(config, data):
        logger.print(line)
    if restored is not None:
        began = f"goes on from step {first_step} of {workdir}"
    if began:
        logger.print(began)

    pending: list[tuple[int, str, train_step.Metrics]] = []  # metrics that are still on the device
    last_time = time.monotonic()
    stop = stack.enter_context(_stop_signals())
    for done in range(first_step + 1, config.num_steps + 1):
        kind = turns[(done - 1) % len(turns)]
        batch = sharding.shard_batch(next(data.streams[kind]), mesh)
        with jax.transfer_guard("disallow"):
            state, metrics = steps[kind](state, batch)
        pending.append((done, kind, metrics))
        if len(pending) > MAX_STEPS_IN_FLIGHT:
            jax.block_until_ready(pending[-1 - MAX_STEPS_IN_FLIGHT][2])

        report = done % config.log_every == 0 or done == config.num_steps
        save = done % config.checkpoint_every == 0 or done == config.num_steps
        # Processes that train together must agree to stop, which costs a wait: they ask when they report.
        stopping = bool(stop) if jax.process_count() == 1 else report and sharding.on_any_process(bool(stop))
        if report or save or stopping:
            means = _collect(pending, checkpoints)
            now = time.monotonic()
            num_images = sum(batch_size(config, kind) for _, kind, _ in pending)
            means["learning_rate"] = float(np.asarray(schedule(done - 1)))
            logger.write(done, means, seconds=now - last_time, num_images=num_images)
            pending, last_time = [], now
        if save or stopping:
            # Before the next batch is taken: the iterators stand at what the next step needs.
            checkpoints.save(done, state, {kind: stream.get_state() for kind, stream in data.streams.items()})
        if stopping and done < config.num_steps:
            checkpoints.close()
            raise SystemExit(
                f"{stop[0] if stop else 'Another process'}: stopped at step {done} of {config.num_steps}, saved in "
                f"{checkpoints.directory}. Run the same command again to go on."
            )
    logger.print(f"finished {config.num_steps} steps: {workdir}")


def build_optimizer(
    config: Config,
) -> tuple[optax.Schedule, optax.GradientTransformation | optim.AlternatingOptimizer]:
    """The learning rate as a function of the steps done, and the optimizer, of a config's `optimizer` group.

    With alternating optimizers the rate is that of the reID losses' one.

    Raises:
        RunError: `optimizer.name` or `optimizer.schedule` is not known.
    """
    settings = {key: value for key, value in config.optimizer.items() if key != "steps_per_epoch"}
    settings["warmup_epochs"] = float(settings["warmup_epochs"])
    durations = optim.ScheduleSteps(config.optimizer.steps_per_epoch, config.num_steps)
    batch_kinds = turns_of(config)
    return optim.make_optimizer(
        OptimizerSettings(**settings), durations, reid_turns=[kind == "reid" for kind in batch_kinds]
    )


def _mirror_map(config: Config, kind: str, augment: AugmentSettings) -> np.ndarray | None:
    """How the textures of a kind of batches are mirrored; None where they are not."""
    if not augment.mirror_textures:
        return None
    name = config.pit_dataset if kind == "pit" else _reid_name(config)
    return data_sources.read_mirror_map(name, config.data_dir)


@contextlib.contextmanager
def _explain(part: str) -> Iterator[None]:
    """Turns the error of a wrong config value, file or folder into a RunError that says which part of the config it is of."""
    try:
        yield
    except (RunError, data_sources.reid.DatasetError):
        raise
    except (ValueError, OSError) as error:
        raise RunError(f"{part}: {error}") from error


def turns_of(config: Config) -> tuple[str, ...]:
    """Which kind of batch each step takes, over and over."""
    if config.stage == "pg":
        return ("pit",)
    if config.stage == "baseline":
        return ("reid",)
    if config.stage != "san":
        raise RunError(f"stage must be 'pg', 'baseline' or 'san', found {config.stage!r}.")
    if "reid" not in config.turns or not set(config.turns) <= {"reid", "pit"}:
        raise RunError(f"turns must be made of 'reid' and 'pit', with 'reid' among them, found {config.turns}.")
    return tuple(config.turns)


def _check_config(config: Config, workdir: pathlib.Path) -> None:
    """Raises a RunError unless the run in the folder has this config."""
    changed = changed_keys(restore.read_config(workdir), config)
    lines = [f"  {key}: {old!r} there, {new!r} here" for key, (old, new) in changed.items()]
    if lines:
        raise RunError(
            "\n".join([f"{workdir} holds a run with another config:", *lines])
            + "\nChoose another --workdir, or give the config of that run to go on with it."
        )


def changed_keys(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The keys that make two configs two runs, with (old, new); `old` as `restore.read_config` gives it."""
    # Where the weights come from another run, those of a file are not looked at.
    unused = {"pretrained"} if old.init_from and new.init_from else set()
    differing = config_files.differences(old, new)
    return {key: values for key, values in differing.items() if key not in FREE_KEYS | unused}


@dataclasses.dataclass(frozen=True)
class _Epoch:
    """The steps in an epoch of the data, and the words that say where the number comes from."""

    steps: int
    words: str


@dataclasses.dataclass(frozen=True)
class _Data:
    """What a run is trained on.

    Attributes:
        streams: An iterator of batches for each kind among the turns.
        num_classes: Training identities, as the classifier counts them; 0 for SAN-PG.
        record: What data.json says, see `restore.read_data`.
        num_pairs: PIT pairs, 0 without PIT batches.
        mirror_file: How PIT's textures are mirrored, file name -> content; empty where that is not known.
        epoch: How long an epoch of it is.
    """

    streams: dict[str, pipeline.BatchIterator]
    num_classes: int
    record: dict[str, Any]
    num_pairs: int
    mirror_file: dict[str, bytes]
    epoch: _Epoch


def _find_data(
    config: Config, turns: tuple[str, ...], mesh: jax.sharding.Mesh, problems: _Problems, stack: contextlib.ExitStack
) -> _Data | None:
    """Opens the data; None where something is missing, all of which is noted."""
    before = len(problems.errors)
    sizes = {"reid": "batch.num_identities x batch.images_per_identity", "pit": "batch.pit_size"}
    for kind in dict.fromkeys(turns):
        problems.take(
            "batch", functools.partial(sharding.check_batch_size, sizes[kind], batch_size(config, kind), mesh)
        )
        name = config.pit_dataset if kind == "pit" else _reid_name(config)
        problems.take("data", functools.partial(data_sources.read_metadata, name, config.data_dir))
    generator = None
    if _takes_textures(config):
        generator = problems.take("generator", lambda: pseudo_textures.load_generator(config.generator))
    if _target_name(config) == "folder" and not pathlib.Path(config.target_dir).is_dir():
        problems.errors.append(RunError(f"target_dir={config.target_dir} is not a folder."))
    if len(problems.errors) > before:
        return None
    data = problems.take("data", lambda: _open_data(config, turns, generator))
    for stream in data.streams.values() if data else ():
        stack.callback(stream.close)
    return data


def _open_data(config: Config, turns: tuple[str, ...], generator: pseudo_textures.Generator | None = None) -> _Data:
    streams, num_classes, num_pairs, record, mirror_file = {}, 0, 0, {}, {}
    feed = pipeline.Feed(
        image_size=tuple(config.image_size),
        seed=config.seed,
        num_steps=config.num_steps,
        num_workers=config.num_workers,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    target_name = _target_name(config)
    target = None
    if target_name is not None:
        target = pipeline.TargetFeature(targets.find(config).feature, targets.batch_size(config))
    if "reid" in turns:
        name = _reid_name(config)
        splits = data_sources.training_splits(name, config.data_dir, use_val=config.use_val)
        source = data_sources.open_source(name, "+".join(splits), config.data_dir)
        if target_name == "true_texture" and "texture" not in source.dataset_info.features:
            raise RunError(
                f"target=true_texture needs true textures, which pit_reid alone holds; {name} has none. Take target=texture."
            )
        labels, num_classes = sampler.number_classes(reading.read_labels(source))
        record = _record(config.dataset, name, splits, len(source), num_classes, config.data_dir)
        if target_name == "folder":
            source, record["targets_digest"] = targets.open_folder(source, config.target_dir)
        if generator is not None:
            record["generator_sha256"] = generator.digest
            pseudo_textures.check_made_by(generator, name, config.data_dir)
        streams["reid"] = pipeline.reid_batches(
            source,
            labels,
            num_identities=config.batch.num_identities,
            images_per_identity=config.batch.images_per_identity,
            image="texture" if _takes_textures(config) else "image",
            feed=feed,
            target=target,
        )
    if "pit" in turns:
        source = data_sources.open_source(config.pit_dataset, "train", config.data_dir)
        num_pairs = len(source)
        assert target is not None
        mirror_file = data_sources.read_mirror_file(config.pit_dataset, config.data_dir)
        if record:
            record["pit"] = {"dataset": config.pit_dataset, "images": num_pairs}
        else:
            record = _record(config.pit_dataset, config.pit_dataset, ["train"], num_pairs, None, config.data_dir)
        streams["pit"] = pipeline.pit_batches(
            source,
            batch_size=config.batch.pit_size,
            feed=feed,
            target=target,
        )
    if target_name not in (None, "texture"):
        record["target"] = target_name
    return _Data(
        streams, num_classes, record, num_pairs, mirror_file, _epoch(config, turns, record["identities"], num_pairs)
    )


def _check_keys(config: Config) -> None:
    """Raises a RunError where keys have values that are not known or do not go together, before anything is made."""
    if config.stage == "baseline":
        if config.input not in ("image", "texture"):
            raise RunError(f"input must be 'image' or 'texture', found {config.input!r}.")
        if _takes_textures(config) != bool(config.generator):
            raise RunError(
                "input=texture and generator (the workdir of the SAN-PG run that regresses the textures) belong together, "
                f"found input={config.input!r} and generator={config.generator!r}."
            )
    else:
        with _explain("target"):
            target = targets.find(config)
        for group in ("augment", "pit_augment"):
            if group in config and config[group].mirror_textures and not target.is_texture:
                raise RunError(
                    f"{group}.mirror_textures is for textures, the UV map says how they are mirrored; found "
                    f"target={config.target!r}. Set {group}.mirror_textures=False."
                )
    if config.stage != "pg" and config.loss.triplet and config.batch.num_identities < 2:
        raise RunError(
            "The triplet loss compares images of different identities, and is 0 where a batch holds only one: set "
            f"batch.num_identities to 2 or more, found {config.batch.num_identities}, or loss.triplet=0."
        )
    fixed = config.stage == "san" and config.loss.triplet_reid_sampling == "fixed"
    if fixed and config.batch.images_per_identity != losses.IMAGES_PER_IDENTITY:
        raise RunError(
            "loss.triplet_reid_sampling='fixed' takes the released code's places in batches of "
            f"{losses.IMAGES_PER_IDENTITY} images per identity: set batch.images_per_identity="
            f"{losses.IMAGES_PER_IDENTITY}, found {config.batch.images_per_identity}."
        )
    if _takes_classifier(config) and not config.init_from:
        raise RunError("init_classifier needs init_from: the workdir of the run whose classifier it takes.")
    if config.stage != "pg" and config.test_metric not in ranking.METRICS:
        raise RunError(f"test_metric must be one of {', '.join(ranking.METRICS)}, found {config.test_metric!r}.")


def _target_name(config: Config) -> str | None:
    """What the decoder reconstructs, None where there is none."""
    return None if config.stage == "baseline" else config.target


def _takes_textures(config: Config) -> bool:
    """Whether the reID network sees generated textures in place of images."""
    return config.stage == "baseline" and config.input == "texture"


def _reid_name(config: Config) -> str:
    """The dataset that reID batches are read from: the benchmark or a copy of it that has more."""
    if config.stage == "baseline":
        return config.dataset + (targets.TARGETS["texture"].suffix if _takes_textures(config) else "")
    return config.dataset + targets.find(config).suffix


def _record(
    dataset: str, name: str, splits: list[str], images: int, identities: int | None, data_dir: str
) -> dict[str, Any]:
    """What data.json says of `dataset`, which was read as `name`."""
    metadata = data_sources.read_metadata(name, data_dir)
    return {
        "dataset": dataset,
        "splits": splits,
        "images": images,
        "identities": identities,
        "partial": bool(metadata.get("partial", False)),
        "source_digest": metadata.get("source_digest"),
        "pit": None,
    }


def _data_record(
    record: dict[str, Any],
    init_from: str,
    first_weights: initial_weights.Pretrained | None,
    workdir: pathlib.Path,
    *,
    is_new: bool,
) -> dict[str, Any]:
    """What data.json is to say; a RunError where the folder holds a run on other data."""
    noted = None if is_new else restore.read_data(workdir)
    if noted is None:
        # Noted when the run begins: later the folders of earlier runs and the file may be elsewhere.
        began: dict[str, Any] = {restore.STARTED_FROM: _started_from(init_from)}
        if first_weights is not None:
            began[restore.PRETRAINED] = first_weights.record
        return {**record, **began}
    lines = [
        f"  {key}: {noted.get(key)!r} there, {record[key]!r} now" for key in record if noted.get(key) != record[key]
    ]
    if lines:
        raise RunError(
            "\n".join([f"{workdir} holds a run on other data:", *lines])
            + "\nChoose another --workdir, or give the data_dir of that run to go on with it."
        )
    return {**record, **{key: noted[key] for key in (restore.PRETRAINED, restore.STARTED_FROM) if key in noted}}


def _write_records(
    config: Config, record: Mapping[str, Any], mirror_file: Mapping[str, bytes], workdir: pathlib.Path
) -> None:
    """Writes config.json, data.json and, for the textures that the run will regress, the mirror map."""
    sharding.wait_for_all("config and data compared")
    if jax.process_index() == 0:
        write_atomic(workdir / restore.CONFIG_FILE, config_files.to_json(config).encode())
        write_atomic(workdir / restore.DATA_FILE, (json.dumps(record, indent=2) + "\n").encode())
        for file, content in mirror_file.items():
            write_atomic(workdir / file, content)
    sharding.wait_for_all("config and data written")


def _started_from(init_from: str) -> dict[str, dict[str, Any] | None]:
    """What the runs were trained on that the weights come from, newest first, by their folders; None: not recorded."""
    if not init_from:
        return {}
    data = restore.read_data(init_from)
    earlier = {} if data is None else data.pop(restore.STARTED_FROM)
    return {init_from: data, **earlier}


def _epoch(config: Config, turns: tuple[str, ...], identities: int | None, num_pairs: int) -> _Epoch:
    """The epoch of a run: every identity, or without reID batches every pair, once."""
    if identities is None:
        return _Epoch(-(-num_pairs // config.batch.pit_size), f"{num_pairs:,} pairs / {config.batch.pit_size}")
    batches = -(-identities // config.batch.num_identities)
    words = f"{identities:,} identities / {config.batch.num_identities}"
    if "pit" in turns:
        words += f" = {batches} reID steps, with the PIT steps between them"
    return _Epoch(-(-batches * len(turns) // turns.count("reid")), words)


def _check_schedule(config: Config, epoch: _Epoch) -> None:
    """Raises a RunError where the schedule counts epochs of another length than the data has."""
    settings = config.optimizer
    counts_epochs = settings.schedule == "released" or settings.warmup_epochs > 0
    if counts_epochs and settings.steps_per_epoch != epoch.steps:
        num_steps = round(config.num_steps / settings.steps_per_epoch * epoch.steps)
        raise RunError(
            f"optimizer.steps_per_epoch is {settings.steps_per_epoch}, an epoch of this data has {epoch.steps} "
            f"({epoch.words}): the schedule would be of another length. For the same number of epochs: "
            f"--config.optimizer.steps_per_epoch={epoch.steps} --config.num_steps={num_steps}"
        )


def _describe_data(config: Config, data: _Data) -> list[str]:
    """What is trained on, and how long an epoch of it is."""
    record = data.record
    if record["identities"] is None:
        what = f"{data.num_pairs:,} pairs"
    else:
        what = f"{record['images']:,} images of {record['identities']:,} identities"
        if record["partial"]:
            what += " (PARTIAL: built from an incomplete copy of the benchmark)"
        if data.num_pairs:
            what += f"; {data.num_pairs:,} pairs of {config.pit_dataset}"
    return [
        f"trains on {record['dataset']}, {' + '.join(record['splits'])}: {what}",
        f"steps in an epoch: {data.epoch.steps} ({data.epoch.words}); num_steps={config.num_steps} is "
        f"{config.num_steps / data.epoch.steps:.4g} epochs",
    ]


def batch_size(config: Config, kind: str) -> int:
    """Images of a global batch."""
    return config.batch.pit_size if kind == "pit" else config.batch.num_identities * config.batch.images_per_identity


def _takes_classifier(config: Config) -> bool:
    return config.stage != "pg" and config.init_classifier


@dataclasses.dataclass(frozen=True)
class _Start:
    """The weights of the run that another one starts from."""

    step: int
    params: train_state.Tree
    batch_stats: train_state.Tree


def _load_start(config: Config, mesh: jax.sharding.Mesh) -> _Start:
    """The weights of the run at `init_from`."""
    folder = pathlib.Path(config.init_from) / restore.CHECKPOINT_FOLDER
    is_here = checkpoint.latest_step(folder) is not None
    # Processes load together: those that have the checkpoint would wait for one that has not.
    if sharding.on_any_process(not is_here) and is_here:
        raise RunError(f"init_from={config.init_from}: there is no checkpoint where another of the processes looks.")
    try:
        return _Start(*checkpoint.load_weights(folder, sharding=sharding.replicated(mesh)))
    except checkpoint.CheckpointError as error:
        raise RunError(f"init_from={config.init_from}: {error}") from error


def _init_from(config: Config, state: TrainState, start: _Start, data: _Data) -> tuple[TrainState, str]:
    """Takes encoder and decoder from another run, as far as this model has them; gives the state and what was taken.

    With `init_classifier` the classifier as well, which must know the identities of this run's data, and what lies
    between encoder and classifier.
    """
    init_from, modules = config.init_from, ("encoder", "decoder")
    try:
        if _takes_classifier(config):
            modules = (*modules, "pooling", "head", "neck", "classifier")
            _check_classifier(start.params, restore.read_data(init_from), data)
        state, transfer = train_state.take_weights(state, start.params, start.batch_stats, modules=modules)
    except ValueError as error:
        raise RunError(f"init_from={init_from}: {error}") from error
    words = {name: ", ".join(modules) or "nothing" for name, modules in dataclasses.asdict(transfer).items()}
    return state, (
        f"init_from {init_from}, step {start.step}: taken {words['taken']} (parameters and running statistics); "
        f"fresh {words['fresh']}; not used {words['unused']}"
    )


def _check_classifier(params: train_state.Tree, there: dict[str, Any] | None, data: _Data) -> None:
    """Raises a ValueError unless the other run's classifier knows the identities that are trained on here."""
    advice = "Train on the data of that run, or set init_classifier=false for a fresh classifier."
    if "classifier" not in params:
        raise ValueError(f"that run has no classifier to take (init_classifier). {advice}")
    known, here = params["classifier"]["kernel"].shape[-1], data.record
    if known != data.num_classes:
        of = f" of {there['dataset']}" if there else ""
        raise ValueError(
            f"its classifier knows {known:,} identities{of}, {here['dataset']} has {data.num_classes:,} here. {advice}"
        )
    if there and (there["dataset"], there["splits"]) != (here["dataset"], here["splits"]):
        raise ValueError(
            f"its classifier knows the identities of {there['dataset']}, {' + '.join(there['splits'])}, not those of "
            f"{here['dataset']}, {' + '.join(here['splits'])}. {advice}"
        )


def _describe(model: Any, mesh: jax.sharding.Mesh, turns: tuple[str, ...]) -> str:
    """One line on what is trained, and on what."""
    encoder = parameter_count(model.encoder)
    text = f"encoder {encoder:,} parameters"
    if model.decoder is not None:
        decoder = parameter_count(model.decoder)
        text += f", decoder {decoder:,} ({decoder / encoder:.2f} of the encoder)"
    if model.classifier is not None:
        text += f", classifier {parameter_count(model.classifier):,}"
    device = mesh.devices.flat[0]
    return (
        f"{text}; {' and '.join(turns)} steps on {mesh.size} x {device.device_kind}, {jax.process_count()} process(es)"
    )


def _collect(
    pending: list[tuple[int, str, train_step.Metrics]], checkpoints: checkpoint.Checkpoints
) -> dict[str, float]:
    """Fetches the metrics since the last line, checks each step's, and gives their means as `kind/name`."""
    values: dict[str, list[float]] = {}
    fetched = jax.device_get([metrics for _, _, metrics in pending])
    for (step, kind, _), metrics in zip(pending, fetched, strict=True):
        metrics = {f"{kind}/{name}": float(value) for name, value in metrics.items()}
        if not np.all(np.isfinite(list(metrics.values()))):
            metric_logger.check_finite(step, metrics, checkpoints.latest())
        for name, value in metrics.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(items)) for name, items in values.items()}


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Gives a list that holds the name of the first SIGINT or SIGTERM; a second one ends the process at once."""
    received: list[str] = []

    def remember(number: int, frame: Any) -> None:
        del frame
        received.append(signal.Signals(number).name)
        logging.warning("%s: stopping after this step; once more to stop at once.", received[0])
        for name, handler in previous.items():
            signal.signal(name, handler)

    previous: dict[signal.Signals, Any] = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            previous[name] = signal.signal(name, remember)
    except ValueError:  # not the main thread: its owner deals with signals
        pass
    try:
        yield received
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
