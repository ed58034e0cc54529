"""The data that a plan asks for, opened: streams of batches, what they were made of, and how long an epoch is."""

import contextlib
import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from experiments.runs import data_sources, held_out, san_pg, scarce_data, steps, targets
from experiments.runs.errors import Problems, RunError
from experiments.runs.plan import ReidBatches, RunPlan
from san_jax import sharding
from san_jax.counts import count
from san_jax.data import pipeline, reading, sampler
from san_jax.data.iterator import BatchIterator
from san_jax.data.pipeline import Feed, TargetFeature


@dataclasses.dataclass(frozen=True)
class Epoch:
    """A pass over the data.

    Attributes:
        steps: Steps in it.
        words: Where that number comes from.
    """

    steps: int
    words: str


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run is trained on.

    Attributes:
        streams: An iterator of batches for each kind.
        num_classes: Training identities, as the classifier counts them; 0 without reID batches.
        record: What data.json says, see `folder.read_data`.
        num_pairs: PIT pairs, 0 without PIT batches.
        mirror_file: How PIT's textures are mirrored, file name -> content; empty where that is not known.
        mirror_maps: For each kind of batch whose textures are mirrored with the images: row and column that each texel
            of a mirrored texture comes from, [H W 2].
        epoch: How long an epoch of it is.
        notes: Lines that say how batches repeat identities and images, where there are few.
        reid_source: The examples of the reID batches, with the feature that the encoder reads; None without such batches.
    """

    streams: dict[str, BatchIterator]
    num_classes: int
    record: dict[str, Any]
    num_pairs: int
    mirror_file: dict[str, bytes]
    mirror_maps: dict[str, np.ndarray]
    epoch: Epoch
    notes: list[str]
    reid_source: reading.Source | None


def check_batches(plan: RunPlan, mesh: jax.sharding.Mesh, problems: Problems) -> None:
    """Note what keeps the batches of a plan from being split over the devices, and L_TR's triplets with them."""
    if plan.reid:
        count, images_each = plan.reid.num_identities, plan.reid.images_per_identity
        check = functools.partial(sharding.check_batch_size, "batch.num_identities", count, mesh)
        problems.take("batch", functools.partial(check, images_each=images_each))
        problems.take("batch", functools.partial(steps.triplet_mesh, plan, mesh))
    if plan.pit:
        problems.take("batch", functools.partial(sharding.check_batch_size, "batch.pit_size", plan.pit.size, mesh))


def find(
    plan: RunPlan, mesh: jax.sharding.Mesh, problems: Problems, stack: contextlib.ExitStack
) -> TrainingData | None:
    """Open the data of a plan; None where something is missing, all of which is noted.

    Args:
        plan: What is to be trained.
        mesh: The devices; each gets an equal share of every batch.
        problems: Takes what is missing.
        stack: Closes the data when it is closed.
    """
    before = len(problems.errors)
    check_batches(plan, mesh, problems)
    for kind in dict.fromkeys(plan.batch_kinds):
        problems.take("data", functools.partial(data_sources.read_metadata, plan.read_as(kind), plan.data_dir))
    regressor = None
    if plan.textures_from:
        regressor = problems.take("input", lambda: san_pg.load_for_textures(plan.textures_from))
    if plan.target and plan.target.path and not pathlib.Path(plan.target.path).is_dir():
        problems.add(f"target.path={plan.target.path} is not a folder.")
    if len(problems.errors) > before:
        return None
    data = problems.take("data", lambda: _open(plan, regressor))
    for stream in data.streams.values() if data else ():
        stack.callback(stream.close)
    return data


def count_steps_of_epoch(plan: RunPlan, identities: int | None, num_pairs: int) -> Epoch:
    """The epoch of a run: every identity once in reID batches, or without them every pair once in PIT batches.

    Args:
        plan: What is trained.
        identities: Training identities; None without reID batches.
        num_pairs: PIT pairs.
    """
    if plan.reid is None or identities is None:
        size = plan.batch_size("pit")
        return Epoch(-(-num_pairs // size), f"{count(num_pairs, 'pair')} / {size}")
    batches = -(-identities // plan.reid.num_identities)
    words = f"{count(identities, 'identity', 'identities')} / {plan.reid.num_identities}"
    if plan.pit:
        words += f" = {count(batches, 'reID step')}, with the PIT steps between them"
    return Epoch(-(-batches * len(plan.batch_kinds) // plan.batch_kinds.count("reid")), words)


def describe(plan: RunPlan, data: TrainingData) -> list[str]:
    """Say what is trained on, and how long an epoch and the run are."""
    record = data.record
    if record["identities"] is None:
        what = count(data.num_pairs, "pair")
    else:
        what = f"{count(record['images'], 'image')} of {count(record['identities'], 'identity', 'identities')}"
        if record["partial"]:
            what += " (PARTIAL: built from an incomplete copy of the benchmark)"
        if plan.pit:
            what += f"; {count(data.num_pairs, 'pair')} of {plan.pit.dataset}"
    return [
        f"trains on {record['dataset']}, {' + '.join(record['splits'])}: {what}",
        f"an epoch has {count(data.epoch.steps, 'step')} ({data.epoch.words})",
        _describe_length(plan, data.epoch.steps),
        *data.notes,
    ]


def _describe_length(plan: RunPlan, epoch: int) -> str:
    """Say how long the run is and what happens how often, in steps and in epochs."""
    steps, optimizer = plan.length.in_steps(epoch), plan.optimizer
    durations = {"length": steps.total, "warm-up": round(optimizer.warmup_epochs * epoch)}
    if optimizer.schedule == "released":
        durations["rate halved every"] = round(optimizer.halve_every_epochs * epoch)
    durations |= {"checkpoint every": steps.checkpoint_every, "scored every": steps.eval_every}
    return "; ".join(
        f"{name} {count(length, 'step')} = {count(float(f'{length / epoch:.4g}'), 'epoch')}"
        for name, length in durations.items()
        if length
    )


def _open(plan: RunPlan, regressor: san_pg.Regressor | None) -> TrainingData:
    reid = None if plan.reid is None else _open_reid(plan, plan.reid, regressor)
    pit = None if plan.pit is None else data_sources.open_source(plan.pit.dataset, "train", plan.data_dir)
    num_pairs = 0 if pit is None else len(pit)
    record = _make_record(plan, reid, num_pairs)
    epoch = count_steps_of_epoch(plan, record["identities"], num_pairs)
    return TrainingData(
        streams=_open_streams(plan, reid, pit, plan.length.in_steps(epoch.steps).total),
        num_classes=0 if reid is None else reid.num_classes,
        record=record,
        num_pairs=num_pairs,
        mirror_file=data_sources.read_mirror_file(plan.pit.dataset, plan.data_dir) if plan.pit else {},
        mirror_maps=_mirror_maps(plan),
        epoch=epoch,
        notes=[] if reid is None or plan.reid is None else scarce_data.batch_words(reid.labels, plan.reid),
        reid_source=None if reid is None else reid.source,
    )


def _open_streams(
    plan: RunPlan, reid: "_ReidData | None", pit: reading.Source | None, num_steps: int
) -> dict[str, BatchIterator]:
    """The iterator of batches for each kind."""
    feed = Feed(
        image_size=plan.image_size,
        seed=plan.seed,
        num_steps=num_steps,
        num_workers=plan.num_workers,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    target = None if plan.target is None else TargetFeature(plan.target.place.feature, plan.target.batch_size)
    streams: dict[str, BatchIterator] = {}
    if plan.reid and reid:
        streams["reid"] = pipeline.reid_batches(
            reid.source,
            reid.labels,
            num_identities=plan.reid.num_identities,
            images_per_identity=plan.reid.images_per_identity,
            feed=feed,
            image=plan.reid.feature,
            target=target,
            cameras=reid.cameras,
        )
    if plan.pit and pit is not None:
        assert target is not None, "PIT batches are for a decoder"
        streams["pit"] = pipeline.pit_batches(pit, batch_size=plan.pit.size, feed=feed, target=target)
    return streams


@dataclasses.dataclass(frozen=True)
class _ReidData:
    """The opened reID data.

    Attributes:
        source: The examples.
        labels: Class of each.
        cameras: Camera of each; None where batches have no use for it.
        num_classes: Number of identities.
        record: What data.json says of it.
    """

    source: reading.Source
    labels: np.ndarray
    cameras: np.ndarray | None
    num_classes: int
    record: dict[str, Any]


def _open_reid(plan: RunPlan, batches: ReidBatches, regressor: san_pg.Regressor | None) -> _ReidData:
    name = batches.read_as
    splits = data_sources.training_splits(name, plan.data_dir, use_val=batches.use_val)
    source: Any = data_sources.open_source(name, "+".join(splits), plan.data_dir)
    kind = plan.target.kind if plan.target else ""
    if kind == "true_texture" and "texture" not in source.dataset_info.features:
        raise RunError(
            f"target.kind=true_texture needs true textures, which pit_reid alone holds; {name} has none. Take "
            "target.kind=texture."
        )
    if batches.held_out:
        source = reading.Subset(source, held_out.hold_out(source, batches.held_out, seed=plan.seed).training)
    labels, num_classes = sampler.number_classes(reading.read_labels(source))
    if plan.loss.triplet:
        scarce_data.check_identities(name, num_classes)
    cameras = reading.read_cameras(source) if plan.needs_cameras else None
    if cameras is not None:
        scarce_data.check_cameras(name, labels, cameras)
    record = _record(batches.dataset, name, splits, len(source), num_classes, plan.data_dir)
    if batches.held_out:
        record["held_out_identities"] = batches.held_out
    if plan.target and kind == "folder":
        source, record["targets_digest"] = targets.open_folder(source, plan.target.path)
    if regressor is not None:
        record["san_pg_sha256"] = regressor.digest
        san_pg.check_made_by(regressor, name, plan.data_dir)
    return _ReidData(source, labels, cameras, num_classes, record)


def _mirror_maps(plan: RunPlan) -> dict[str, np.ndarray]:
    """The mirror maps of the kinds of batches whose textures are mirrored with the images."""
    return {
        kind: data_sources.read_mirror_map(plan.read_as(kind), plan.data_dir)
        for kind, settings in plan.augment.items()
        if settings.mirror_textures
    }


def _make_record(plan: RunPlan, reid: _ReidData | None, num_pairs: int) -> dict[str, Any]:
    """What data.json says of the data of all kinds of batches."""
    pit = None if plan.pit is None else {"dataset": plan.pit.dataset, "images": num_pairs}
    if reid is not None:
        record = {**reid.record, "pit": pit}
    else:
        assert plan.pit is not None
        record = _record(plan.pit.dataset, plan.pit.dataset, ["train"], num_pairs, None, plan.data_dir)
    if plan.target is not None and plan.target.kind != "texture":
        record["target"] = plan.target.kind
    if plan.batch_norm_images:
        record["batch_norm_images"] = min(plan.batch_norm_images, record["images"])
    return record


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
