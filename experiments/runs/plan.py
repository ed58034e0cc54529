"""What follows from a training config: `resolve(config)` works out the `RunPlan` that everything else reads.

All checks of keys against each other are here. What a folder, a file or a dataset must hold is checked where it is
opened.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.command_line.config_files import Config
from experiments.runs import targets
from experiments.runs.errors import Problems, RunError
from experiments.runs.settings import (
    BATCH_KINDS,
    DATA_CACHES,
    INPUT_KINDS,
    METHODS,
    START_KINDS,
    Input,
    RunSettings,
    Start,
)
from san_jax import losses, ranking
from san_jax.counts import count
from san_jax.settings import AugmentSettings, LossSettings, ModelSettings, OptimizerSettings

# Options of L_TR, off where they have their defaults.
TRIPLET_REID_OPTIONS = (
    "triplet_reid_normalize",
    "triplet_reid_stop_gradient",
    "triplet_reid_cross_camera",
    "triplet_reid_block_weights",
    "triplet_reid_maps",
)


@dataclasses.dataclass(frozen=True)
class ReidBatches:
    """The batches of images with identities.

    Attributes:
        dataset: The benchmark.
        read_as: The dataset that is read: the benchmark, or a copy of it that holds the decoder's targets as well.
        use_val: Whether its val split is trained on too.
        feature: What of an example the encoder reads: "image" or "texture".
        num_identities: Identities in a batch.
        images_per_identity: Images of each of them.
        held_out: Identities that are not trained on, but scored during the training.
    """

    dataset: str
    read_as: str
    use_val: bool
    feature: str
    num_identities: int
    images_per_identity: int
    held_out: int = 0

    @property
    def size(self) -> int:
        """Images in a batch, over all devices."""
        return self.num_identities * self.images_per_identity


@dataclasses.dataclass(frozen=True)
class PitBatches:
    """The batches of synthetic persons with their true textures.

    Attributes:
        dataset: The PIT dataset.
        size: Images in a batch, over all devices.
    """

    dataset: str
    size: int


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is, and what happens how often.

    Attributes:
        num_epochs: Length in epochs, where `num_steps` is 0.
        num_steps: Length in steps; 0 where it follows from `num_epochs`.
        checkpoint_every_epochs, eval_every_epochs: Epochs between checkpoints, and between scores (0: none).
        log_every: Steps between lines of metrics.
    """

    num_epochs: float
    num_steps: int
    checkpoint_every_epochs: float
    eval_every_epochs: float
    log_every: int

    def in_steps(self, epoch: int) -> "Steps":
        """The same in steps, for data whose epoch has `epoch` steps."""
        return Steps(
            epoch=epoch,
            total=self.num_steps or max(1, round(self.num_epochs * epoch)),
            log_every=self.log_every,
            checkpoint_every=max(1, round(self.checkpoint_every_epochs * epoch)),
            eval_every=max(1, round(self.eval_every_epochs * epoch)) if self.eval_every_epochs else 0,
        )


@dataclasses.dataclass(frozen=True)
class Steps:
    """`Length` in steps, on data that is known.

    Attributes:
        epoch: Steps in an epoch.
        total: Steps of the run.
        log_every, checkpoint_every, eval_every: Steps from one to the next; 0 is never.
    """

    epoch: int
    total: int
    log_every: int
    checkpoint_every: int
    eval_every: int


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """All that follows from the keys of a training config. `str(plan)` says it in lines.

    Attributes:
        method: "san_pg", "san" or "baseline", for words in messages. What it means is in the other fields.
        seed: Seed of the initial weights, the order of the examples and the augmentation.
        data_dir: Where TFDS keeps the datasets.
        prepare: "smoke" where small data is to be made first, else "".
        batch_kinds: Which kind of batch each step takes, over and over: "reid" and "pit".
        reid: The batches of kind "reid"; None without.
        pit: The batches of kind "pit"; None without.
        image_size: Height and width that images are resized to, pixels.
        num_workers: Processes that read and decode images.
        data_cache: Where the decoded training set is kept: "device", "host", "none" or, by its size, "auto".
        steps_per_dispatch: Steps that are done in one call, on a training set in device memory; 0 chooses.
        textures_from: Folder of the SAN-PG run whose textures the encoder reads in place of images; "" for the images.
        target: What the decoder reconstructs; None without a decoder.
        start: Where the initial weights come from.
        model: The networks.
        loss: Weights and constants of the losses.
        augment: The augmentation of each kind of batch.
        optimizer: The optimizer and its learning rate.
        length: How long the run is.
        ema_decay: Decay of the average of the weights; 0 for none.
        batch_norm_images: Pictures that running statistics are re-estimated on after the last step; 0 for none.
        keep_checkpoints: Number of the newest checkpoints to keep.
        scored_on: Dataset whose query and gallery are scored during the training; "" for the held-out identities.
        test_metric: How embeddings are compared; None where the run learns no embedding for it.
    """

    method: str
    seed: int
    data_dir: str
    prepare: str
    batch_kinds: tuple[str, ...]
    reid: ReidBatches | None
    pit: PitBatches | None
    image_size: tuple[int, int]
    num_workers: int
    data_cache: str
    steps_per_dispatch: int
    textures_from: str
    target: targets.DecoderTarget | None
    start: Start
    model: ModelSettings
    loss: LossSettings
    augment: Mapping[str, AugmentSettings]
    optimizer: OptimizerSettings
    length: Length
    ema_decay: float
    batch_norm_images: int
    keep_checkpoints: int
    scored_on: str
    test_metric: str | None

    @property
    def decoder_size(self) -> int | tuple[int, int] | None:
        """Size of what the decoder gives: a texture's side, or height and width of an image; None without a decoder."""
        return None if self.target is None else self.target.decoder_size

    @property
    def has_triplet_reid(self) -> bool:
        """Whether the run computes L_TR."""
        return self.target is not None and self.reid is not None and len(self.loss.triplet_reid_blocks) > 0

    @property
    def needs_cameras(self) -> bool:
        """Whether reID batches say by which camera each image was taken."""
        return self.has_triplet_reid and self.loss.triplet_reid_cross_camera

    def batch_size(self, kind: str) -> int:
        """Images in a batch of a kind, over all devices."""
        batches = self.reid if kind == "reid" else self.pit
        assert batches is not None, f"this plan has no {kind} batches"
        return batches.size

    def read_as(self, kind: str) -> str:
        """The dataset that the batches of a kind are read from."""
        if kind == "pit":
            assert self.pit is not None, "this plan has no pit batches"
            return self.pit.dataset
        assert self.reid is not None, "this plan has no reid batches"
        return self.reid.read_as

    def __str__(self) -> str:
        return "\n".join(f"{name}: {words}" for name, words in self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("method", self.method), ("batches", " and ".join(self.batch_kinds) + ", in turn")]
        if self.reid:
            identities = count(self.reid.num_identities, "identity", "identities")
            words = f"{identities} x {count(self.reid.images_per_identity, 'image')}"
            lines.append(("reID data", f"{self.reid.dataset}, read as {self.reid.read_as}; {words}"))
        if self.pit:
            lines.append(("PIT data", f"{self.pit.dataset}; {count(self.pit.size, 'image')}"))
        height, width = self.image_size
        source = f"textures by {self.textures_from}" if self.textures_from else "images"
        lines.append(("encoder", f"{self.model.encoder}, width {self.model.width}, reads {source} of {height}x{width}"))
        lines.append(("decoder", "none" if self.target is None else f"reconstructs {self.target}"))
        lines.append(("start", " ".join(filter(None, [self.start.kind, self.start.path]))))
        rate = f"{self.optimizer.schedule} from {self.optimizer.learning_rate:g}"
        lines.append(
            ("optimizer", f"{self.optimizer.name}, {rate}, warm-up {count(self.optimizer.warmup_epochs, 'epoch')}")
        )
        length = (
            count(self.length.num_steps, "step") if self.length.num_steps else count(self.length.num_epochs, "epoch")
        )
        return [*lines, ("length", length)]


def resolve(config: Config) -> RunPlan:
    """Work out what a training config means.

    Raises:
        RunError: Unknown values, values out of range, or keys that do not go together; all in one message.
    """
    problems = Problems()
    if config.get("method") not in METHODS:
        raise RunError(f"method must be one of {', '.join(METHODS)}, found {config.get('method')!r}.")
    settings = read_settings(config, problems)
    problems.check()
    _check_start(settings, problems)
    _check_batches(settings, problems)
    _check_triplet_reid(settings.loss, problems)
    _check_lengths(settings, problems)
    target = problems.take("target", lambda: _find_target(settings))
    _check_input(settings, problems)
    if target is not None and not target.is_texture:
        for group in ("augment", "pit_augment"):
            if getattr(settings, group).mirror_textures:
                problems.add(
                    f"{group}.mirror_textures is for textures, the UV map says how they are mirrored; found "
                    f"target.kind={settings.target.kind!r}. Set {group}.mirror_textures=False."
                )
    problems.check()
    return _plan(settings, target)


def read_settings(config: Config, problems: Problems) -> RunSettings:
    """Return the settings of a config; keys that its method has no use for have their defaults.

    A group whose values its class refuses is noted as a problem, and has its defaults.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(RunSettings):
        if field.name not in config:
            continue
        value = config[field.name]
        if isinstance(value, ConfigDict):
            default: Any = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
            made = problems.take(field.name, lambda d=default, v=value: dataclasses.replace(d, **v.to_dict()))
            value = default if made is None else made
        values[field.name] = value
    return RunSettings(**values)


def _kinds(settings: RunSettings) -> tuple[str, ...]:
    """Return the kinds of the batches, in order."""
    if settings.method == "san_pg":
        return ("pit",)
    return ("reid",) if settings.method == "baseline" else tuple(settings.batch_kinds)


def _check_start(settings: RunSettings, problems: Problems) -> None:
    start = settings.start
    if start.kind not in START_KINDS:
        problems.add(f"start.kind must be one of {', '.join(START_KINDS)}, found {start.kind!r}.")
        return
    needs_path = {"run": "the folder of an earlier run", "file": "a .pth or .safetensors file"}.get(start.kind)
    if needs_path and not start.path:
        problems.add(f"start.kind={start.kind} needs start.path: {needs_path}.")
    if not needs_path and start.path:
        problems.add(
            f"start.path={start.path} belongs to start.kind=run (an earlier run) or start.kind=file (a file of "
            f"weights), found start.kind={start.kind}."
        )
    if start.classifier and start.kind != "run":
        problems.add(f"start.classifier takes the classifier of a run: set start.kind=run, found {start.kind!r}.")


def _check_batches(settings: RunSettings, problems: Problems) -> None:
    kinds, batch, loss = _kinds(settings), settings.batch, settings.loss
    if ("reid" not in kinds and settings.method != "san_pg") or not set(kinds) <= set(BATCH_KINDS):
        problems.add(f"batch_kinds must be made of 'reid' and 'pit', with 'reid' among them, found {kinds}.")
    for name in ("num_identities", "images_per_identity", "pit_size"):
        if getattr(batch, name) < 1:
            problems.add(f"batch.{name} must be at least 1, found {getattr(batch, name)}.")
    if "reid" in kinds and loss.triplet and batch.num_identities < 2:
        problems.add(
            "The triplet loss compares images of different identities, and is 0 where a batch holds only one: set "
            f"batch.num_identities to 2 or more, found {batch.num_identities}, or loss.triplet=0."
        )
    if settings.pit_augment.recolor_probability and "pit" not in kinds:
        problems.add(
            f"pit_augment.recolor_probability={settings.pit_augment.recolor_probability:g} recolours PIT batches, and "
            f"batch_kinds={kinds} has none: set it to 0, or augment.recolor_probability to recolour reID batches."
        )
    fixed = settings.method == "san" and loss.triplet_reid_sampling == "fixed"
    if fixed and batch.images_per_identity != losses.IMAGES_PER_IDENTITY:
        problems.add(
            "loss.triplet_reid_sampling='fixed' takes the released code's places in batches of "
            f"{losses.IMAGES_PER_IDENTITY} images per identity: set batch.images_per_identity="
            f"{losses.IMAGES_PER_IDENTITY}, found {batch.images_per_identity}."
        )


def _check_triplet_reid(loss: LossSettings, problems: Problems) -> None:
    """Note options of L_TR that are set where L_TR is not trained on, and those that do not go together."""
    unused = "loss.triplet_reid=0" if not loss.triplet_reid else "" if loss.triplet_reid_blocks else "no decoder block"
    for name in TRIPLET_REID_OPTIONS:
        if unused and getattr(loss, name) != getattr(LossSettings(), name):
            problems.add(
                f"loss.{name}={getattr(loss, name)} changes L_TR, which {unused} leaves out: set loss.triplet_reid and "
                f"loss.triplet_reid_blocks, or leave out loss.{name}."
            )
    if loss.triplet_reid_cross_camera and loss.triplet_reid_sampling != "random":
        problems.add(
            "loss.triplet_reid_cross_camera=True draws positives by their cameras, which loss.triplet_reid_sampling="
            f"{loss.triplet_reid_sampling!r} does not: set it to 'random'."
        )


def _check_lengths(settings: RunSettings, problems: Problems) -> None:
    if settings.num_steps < 0:
        problems.add(
            f"num_steps must be a number of steps, or 0 to follow from num_epochs, found {settings.num_steps}."
        )
    if not settings.num_steps and settings.num_epochs <= 0:
        problems.add(f"num_epochs must be positive, found {settings.num_epochs:g}.")
    if settings.checkpoint_every_epochs <= 0:
        problems.add(f"checkpoint_every_epochs must be positive, found {settings.checkpoint_every_epochs:g}.")
    _check_scores(settings, problems)
    for name in ("log_every", "keep_checkpoints"):
        if getattr(settings, name) < 1:
            problems.add(f"{name} must be at least 1, found {getattr(settings, name)}.")
    if settings.data_cache not in DATA_CACHES:
        problems.add(f"data_cache must be one of {', '.join(DATA_CACHES)}, found {settings.data_cache!r}.")
    if settings.steps_per_dispatch < 0:
        problems.add(
            f"steps_per_dispatch must be a number of steps, or 0 to choose it, found {settings.steps_per_dispatch}."
        )
    if len(settings.image_size) != 2 or min(settings.image_size) < 1:
        problems.add(f"image_size must be a height and a width in pixels, found {settings.image_size}.")
    if not 0.0 <= settings.ema_decay < 1.0:
        problems.add(f"ema_decay must lie in 0..1, 1 excluded (0: no average), found {settings.ema_decay:g}.")
    if settings.batch_norm_images < 0 or settings.batch_norm_images == 1:
        problems.add(
            "batch_norm_images must be a number of pictures, at least 2, or 0 to keep the running statistics, found "
            f"{settings.batch_norm_images}."
        )
    if settings.prepare not in ("", "smoke"):
        problems.add(f"prepare must be 'smoke' or empty, found {settings.prepare!r}.")
    if settings.method != "san_pg" and settings.test_metric not in ranking.METRICS:
        problems.add(f"test_metric must be one of {', '.join(ranking.METRICS)}, found {settings.test_metric!r}.")


def _check_scores(settings: RunSettings, problems: Problems) -> None:
    every, held_out, dataset = settings.eval_every_epochs, settings.held_out_identities, settings.eval_dataset
    if every < 0:
        problems.add(f"eval_every_epochs must be 0 (never) or more, found {every:g}.")
    if held_out < 0:
        problems.add(f"held_out_identities must be a number of identities, or 0 for none, found {held_out}.")
    if held_out > 0 and dataset:
        problems.add(
            f"held_out_identities={held_out} and eval_dataset={dataset!r} both say what is scored during the training: "
            "set one of them."
        )
    if (held_out or dataset) and not every:
        what = f"held_out_identities={held_out}" if held_out else f"eval_dataset={dataset!r}"
        problems.add(f"{what} is scored during the training, which eval_every_epochs=0 never does: set that too.")


def _check_input(settings: RunSettings, problems: Problems) -> None:
    given: Input = settings.input
    if given.kind not in INPUT_KINDS:
        problems.add(f"input.kind must be one of {', '.join(INPUT_KINDS)}, found {given.kind!r}.")
    elif (given.kind == "texture") != bool(given.path):
        problems.add(
            "input.kind=texture and input.path (the folder of the SAN-PG run that regresses the textures) belong "
            f"together, found input.kind={given.kind!r} and input.path={given.path!r}."
        )


def _find_target(settings: RunSettings) -> targets.DecoderTarget | None:
    """What the decoder reconstructs; None without one.

    Raises:
        ValueError: There is no such target, or not for this method or these batches.
    """
    if settings.method == "baseline":
        return None
    kind, path = settings.target.kind, settings.target.path
    known = targets.KINDS_OF_PIT if settings.method == "san_pg" else tuple(targets.TARGETS)
    if kind not in known:
        raise RunError(f"target.kind must be one of {', '.join(known)} with method={settings.method}, found {kind!r}.")
    if (kind == "folder") != bool(path):
        raise RunError(
            "target.kind=folder and target.path (the folder of the target images) belong together, found "
            f"target.kind={kind!r} and target.path={path!r}."
        )
    if kind == "folder" and "pit" in _kinds(settings):
        raise RunError(
            "target.kind=folder has no targets for PIT images: set batch_kinds=('reid',), found "
            f"batch_kinds={_kinds(settings)}."
        )
    return targets.DecoderTarget(kind, path, settings.model.texture_size, settings.image_size)


def _plan(settings: RunSettings, target: targets.DecoderTarget | None) -> RunPlan:
    kinds = _kinds(settings)
    takes_textures = settings.input.kind == "texture"
    reid = pit = None
    if "reid" in kinds:
        suffix = targets.TARGETS["texture"].suffix if takes_textures else "" if target is None else target.place.suffix
        reid = ReidBatches(
            settings.dataset,
            settings.dataset + suffix,
            settings.use_val,
            "texture" if takes_textures else "image",
            settings.batch.num_identities,
            settings.batch.images_per_identity,
            settings.held_out_identities,
        )
    if "pit" in kinds:
        pit = PitBatches(settings.pit_dataset, settings.batch.pit_size)
    augment = {"reid": settings.augment, "pit": settings.pit_augment}
    return RunPlan(
        method=settings.method,
        seed=settings.seed,
        data_dir=settings.data_dir,
        prepare=settings.prepare,
        batch_kinds=kinds,
        reid=reid,
        pit=pit,
        image_size=settings.image_size,
        num_workers=settings.num_workers,
        data_cache=settings.data_cache,
        steps_per_dispatch=settings.steps_per_dispatch,
        textures_from=settings.input.path,
        target=target,
        start=settings.start,
        model=settings.model,
        loss=settings.loss,
        augment={kind: augment[kind] for kind in dict.fromkeys(kinds)},
        optimizer=settings.optimizer,
        length=Length(
            settings.num_epochs,
            settings.num_steps,
            settings.checkpoint_every_epochs,
            settings.eval_every_epochs,
            settings.log_every,
        ),
        ema_decay=settings.ema_decay,
        batch_norm_images=settings.batch_norm_images,
        keep_checkpoints=settings.keep_checkpoints,
        scored_on=settings.eval_dataset or ("" if settings.held_out_identities else settings.dataset),
        test_metric=None if settings.method == "san_pg" else settings.test_metric,
    )
