"""The jitted train steps: a reID step with the four losses, and a PIT step with L_Rec alone (section 3.2).

    L = l1 L_ID + l2 L_Triplet + l3 L_Rec + l4 L_TR       on a reID batch
    L = l3 L_Rec                                          on a PIT batch

SAN takes reID and PIT batches in turn; SAN-PG takes PIT batches only; the baseline takes reID steps of a model without
a decoder. An optimizer makes the update `joint_update`, which moves all parameters by all losses; the released code's
pair of optimizers (`optim.AlternatingOptimizer`) makes `alternating_update`. Random numbers come from (seed, step)
alone, so an interrupted run continues exactly as if it had not been interrupted.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int32, Integer, PRNGKeyArray

from san_jax import losses
from san_jax.data.augment import Augmented, augment_images, mirror_textures, normalize_textures
from san_jax.data.recolor import recolor
from san_jax.models import SANOutput, batch_statistics, merge_model
from san_jax.optim import AlternatingOptimizer
from san_jax.settings import AugmentSettings, LossSettings
from san_jax.train_state import TrainState, Tree, update_average
from san_jax.typing import PitBatch, ReidBatch

Batch: TypeAlias = ReidBatch | PitBatch
Metrics = dict[str, Float[Array, ""]]
Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]
# What the decoder reconstructs, float32 in [-1, 1], given the images as they were augmented and their batch.
DecoderTargets: TypeAlias = Callable[[Augmented, Batch], Float[Array, "batch height width 3"]]


def texture_targets(mirror_map: Integer[np.ndarray, "size size 2"] | None = None) -> DecoderTargets:
    """Return the decoder targets of a run that reconstructs the batch's `texture`, recoloured as the image was.

    The batch holds there whatever the decoder is to reconstruct, frontal views too.

    Args:
        mirror_map: UV mirror map of the textures (a dataset's `mirror_map.npy`), by which the texture of a flipped
            image is mirrored; None leaves it as it is. Pass it exactly where `AugmentSettings.mirror_textures` is set.
    """

    def targets(augmented: Augmented, batch: Batch) -> Float[Array, "batch height width 3"]:
        textures = normalize_textures(jnp.asarray(batch["texture"]))
        if augmented.recoloring is not None:
            textures = recolor(augmented.recoloring, textures, low=-1.0)
        if mirror_map is None:
            return textures
        return mirror_textures(textures, augmented.flipped, mirror_map)

    return targets


def input_targets(augmented: Augmented, batch: Batch) -> Float[Array, "batch height width 3"]:
    """Return the augmented images before erasing: the decoder targets of a run that reconstructs its input."""
    del batch
    return augmented.clean


@dataclasses.dataclass(frozen=True, eq=False)
class StepSettings:
    """How a train step computes the loss of a batch.

    Attributes:
        loss: Weights and constants of the losses.
        augment: Augmentation of the images.
        targets: What the decoder reconstructs (`texture_targets`, `input_targets`); None for a model without a decoder.
        seed: Seed of the augmentation and of the drawn triplets.
        ema_decay: Decay of the averages of weights and running statistics, in [0, 1); 0 keeps no average.
        triplet_mesh: The devices that batches are split over, where L_TR takes its triplets from the images on the same
            device; None where it takes them from the whole batch (`settings.LossSettings.triplet_reid_scope` says which
            is wanted, and `experiments.runs.steps.triplet_mesh` works out what that means for a batch).
        triplet_reid_warmup_steps: Train steps at the start of the run in which the weight of L_TR rises from 0, in a
            straight line: with n of them it is (step + 1) / n of the full weight, steps counted from 0.

    Raises:
        ValueError: A number is out of range, or textures are to be mirrored where no decoder reconstructs them.
    """

    loss: LossSettings
    augment: AugmentSettings
    targets: DecoderTargets | None
    seed: int
    ema_decay: float = 0.0
    triplet_mesh: Mesh | None = None
    triplet_reid_warmup_steps: int = 0

    def __post_init__(self) -> None:
        if self.triplet_reid_warmup_steps < 0:
            raise ValueError(f"triplet_reid_warmup_steps must be 0 or more, found {self.triplet_reid_warmup_steps}.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"ema_decay must lie in 0..1, 1 excluded (0: no average), found {self.ema_decay}.")
        if self.augment.mirror_textures and (self.targets is None or self.targets is input_targets):
            raise ValueError(
                "mirror_textures needs a decoder that reconstructs textures: set mirror_textures=False, or reconstruct "
                "textures."
            )


def make_reid_step(
    graphdef: Any, optimizer: optax.GradientTransformation | AlternatingOptimizer, settings: StepSettings
) -> Step:
    """Return the jitted train step for `ReidBatch`es.

    Args:
        graphdef: The model's static part, from `train_state.create`; the model needs a classifier.
        optimizer: The run's optimizer; all steps of a run share it and its state.
        settings: How the loss is computed.

    Returns:
        step(state, batch) -> (state, metrics). The given state is donated and must not be used afterwards. The metrics
        are float32 scalars on the device: `loss` (weighted), its unweighted parts, and `gradient_norm`, all computed
        with the parameters before the update. With alternating optimizers the decoder's parts are computed after the
        first of the two updates, and the norm is that of both gradients together. The step raises a ValueError where
        the model lacks a part that the losses need, or where state and `ema_decay` disagree on keeping an average.
    """
    return _make_step(_REID, graphdef, optimizer, settings)


def make_pit_step(
    graphdef: Any, optimizer: optax.GradientTransformation | AlternatingOptimizer, settings: StepSettings
) -> Step:
    """Return the jitted train step for `PitBatch`es; the model needs a decoder. Otherwise as `make_reid_step`."""
    return _make_step(_PIT, graphdef, optimizer, settings)


def reid_losses(
    output: SANOutput,
    batch: ReidBatch,
    key: PRNGKeyArray,
    settings: LossSettings,
    targets: Float[Array, "batch texture_height texture_width 3"] | None,
    *,
    triplet_mesh: Mesh | None = None,
) -> Metrics:
    """Return the unweighted parts of a reID batch's loss; the decoder's only where the model has one.

    Args:
        output: Output of the model, which needs a classifier, for the batch's images.
        batch: The reID batch.
        key: Random key that draws the triplets of L_TR.
        settings: Constants of the losses.
        targets: What the decoder reconstructs, in [-1, 1]; unused, and may be None, without a decoder.
        triplet_mesh: As in `StepSettings`.

    Returns:
        float32 scalars: identification, triplet, and with a decoder reconstruction, triplet_reid, the last one summed
        over blocks, each by its weight in `triplet_reid_block_weights`.

    Raises:
        ValueError: The model has no classifier, or a decoder but no targets; or the batch lacks the `camera_id` that
            `triplet_reid_cross_camera` needs.
    """
    if output.logits is None:
        raise ValueError("A reID step needs a model with a classifier: build SAN with num_classes > 0.")
    labels = jnp.asarray(batch["label"])
    parts = {
        "identification": losses.identification_loss(output.logits, labels, label_smoothing=settings.label_smoothing),
        "triplet": losses.batch_hard_triplet_loss(output.embedding, labels, margin=settings.triplet_margin),
    }
    if output.texture is not None:
        cameras = _cameras(batch) if settings.triplet_reid_cross_camera else None
        pairs = losses.sample_triplets(key, labels, cameras=cameras, groups=_num_groups(triplet_mesh))
        triplets = _Triplets(labels, pairs, triplet_mesh)
        parts["reconstruction"] = _reconstruction(output.texture, targets, settings)
        of_blocks = [_triplet_reid(output, block, triplets, settings) for block in settings.triplet_reid_blocks]
        if settings.triplet_reid_block_weights:
            weights = settings.triplet_reid_block_weights
            of_blocks = [weight * loss for weight, loss in zip(weights, of_blocks, strict=True)]
        parts["triplet_reid"] = sum(of_blocks, start=jnp.zeros((), jnp.float32))
    return parts


def pit_losses(
    output: SANOutput,
    batch: PitBatch,
    key: PRNGKeyArray,
    settings: LossSettings,
    targets: Float[Array, "batch texture_height texture_width 3"] | None,
    *,
    triplet_mesh: Mesh | None = None,
) -> Metrics:
    """Return the unweighted loss of a PIT batch, {"reconstruction": L_Rec}; arguments as in `reid_losses`."""
    del batch, key
    if output.texture is None:
        raise ValueError("A PIT step needs a model with a decoder: build SAN with decoder=True.")
    return {"reconstruction": _reconstruction(output.texture, targets, settings)}


def _cameras(batch: ReidBatch) -> Int32[Array, " batch"]:
    if "camera_id" not in batch:
        raise ValueError(
            "triplet_reid_cross_camera needs the camera of each image: give batches a camera_id, as "
            "san_jax.data.pipeline.reid_batches does with cameras."
        )
    return jnp.asarray(batch["camera_id"])


def _reconstruction(
    texture: Float[Array, "batch texture_height texture_width 3"],
    targets: Float[Array, "batch texture_height texture_width 3"] | None,
    settings: LossSettings,
) -> Float[Array, ""]:
    if targets is None:
        raise ValueError(
            "A model with a decoder needs targets for it: set StepSettings.targets, such as to texture_targets()."
        )
    return losses.reconstruction_loss(
        texture, targets, space=settings.reconstruction_space, chroma=settings.reconstruction_chroma
    )


class _Triplets(NamedTuple):
    """What `_triplet_reid` needs to know of the triplets.

    Attributes:
        labels: The batch's identities.
        pairs: The drawn positive and negative of each image.
        mesh: The devices that hold a group each; None where the whole batch is the group.
    """

    labels: Int32[Array, " batch"]
    pairs: tuple[Int32[Array, " batch"], Int32[Array, " batch"]]
    mesh: Mesh | None


def _num_groups(triplet_mesh: Mesh | None) -> int:
    """Return the number of groups of images that no triplet leaves."""
    return 1 if triplet_mesh is None else triplet_mesh.size


def _triplet_reid(output: SANOutput, block: int, triplets: _Triplets, settings: LossSettings) -> Float[Array, ""]:
    """Return L_TR of one decoder block, counted from 1."""
    shared: Any = {
        "margin": settings.triplet_reid_margin,
        "channel_reduction": settings.triplet_reid_channels,
        "normalize": settings.triplet_reid_normalize,
        "mesh": triplets.mesh,
    }
    feature_map = output.decoder_maps[block - 1]
    if settings.triplet_reid_sampling == "random":
        reduction = "mean_of_complete" if settings.triplet_reid_cross_camera else "mean"
        return losses.triplet_reid_loss(feature_map, *triplets.pairs, anchor_reduction=reduction, **shared)
    groups = _num_groups(triplets.mesh)
    anchors, positives, negatives = losses.fixed_triplets(feature_map.shape[0], block, groups=groups)
    loss = losses.triplet_reid_loss(feature_map, positives, negatives, anchor=anchors, anchor_reduction="sum", **shared)
    # Nothing can be raised inside jit. NaN, because a batch that is not made of fours would pair unrelated images.
    labels = triplets.labels
    as_meant = (labels[positives] == labels[anchors]) & (labels[negatives] != labels[anchors])
    return jnp.where(jnp.all(as_meant | (positives == anchors)), loss, jnp.nan)


class _BatchKind(NamedTuple):
    """What a step does with one kind of batches.

    Attributes:
        name: "reid" or "pit", for the step's name in profiles and compilation logs.
        losses: Unweighted parts of the loss: `reid_losses` or `pit_losses`.
        reid_parts: The parts that `AlternatingOptimizer.reid` minimises; none leaves its modules alone.
        reconstruction_parts: The parts that `AlternatingOptimizer.reconstruction` minimises.
        frozen_statistics: Modules whose running statistics such batches do not change.
    """

    name: str
    losses: Callable[..., Metrics]
    reid_parts: tuple[str, ...]
    reconstruction_parts: tuple[str, ...]
    frozen_statistics: tuple[str, ...]


_REID = _BatchKind("reid", reid_losses, ("identification", "triplet"), ("reconstruction", "triplet_reid"), ())
# The reID feature is not meant for PIT's persons: the statistics of what lies behind the encoder stay as they are.
_PIT = _BatchKind("pit", pit_losses, (), ("reconstruction",), ("head", "neck"))


class _Objective(NamedTuple):
    """What a batch is trained for: everything that `_parts` needs besides weights and data."""

    kind: _BatchKind
    graphdef: Any
    settings: StepSettings


def _parts(
    params: Tree,
    objective: _Objective,
    batch_stats: Tree,
    batch: Any,
    key: PRNGKeyArray,
    parts_wanted: tuple[str, ...] | None = None,
) -> tuple[Metrics, Tree]:
    """Return the unweighted parts of a batch's loss, and the new running statistics.

    `parts_wanted` names the parts of the loss to take, None takes all.
    """
    kind, graphdef, settings = objective
    augment_key, triplet_key = jax.random.split(key)
    model = merge_model(graphdef, params, batch_stats)
    augmented = augment_images(augment_key, batch["image"], settings=settings.augment)
    output = model(augmented.image, train=True, maps=settings.loss.triplet_reid_maps)
    targets = None
    if output.texture is not None and settings.targets is not None:
        targets = settings.targets(augmented, batch)
    parts = kind.losses(output, batch, triplet_key, settings.loss, targets, triplet_mesh=settings.triplet_mesh)
    if parts_wanted is not None:
        parts = {name: parts[name] for name in parts_wanted}
    frozen = {name: batch_stats[name] for name in kind.frozen_statistics if name in batch_stats}
    return parts, batch_statistics(model) | frozen


def _weighted_sum(settings: StepSettings, parts: Metrics, step: Int32[Array, ""]) -> Float[Array, ""]:
    """Return the sum of the parts of a loss, each times its weight in a train step, counted from 0.

    A part without weight is left out, for XLA would work out its gradient and multiply it by 0.
    """
    weighted = (_weight(settings, name, step) * part for name, part in parts.items() if getattr(settings.loss, name))
    return sum(weighted, start=jnp.zeros((), jnp.float32))


def _weight(settings: StepSettings, part: str, step: Int32[Array, ""]) -> float | Float[Array, ""]:
    """Return the weight of a part of the loss in a train step, counted from 0."""
    weight, rising = getattr(settings.loss, part), settings.triplet_reid_warmup_steps
    if part != "triplet_reid" or not rising:
        return weight
    return weight * jnp.minimum((step + 1).astype(jnp.float32) / rising, 1.0)


def _differentiate(
    parts_of: Callable[[Tree], tuple[Metrics, Tree]], params: Tree, settings: StepSettings, step: Int32[Array, ""]
) -> tuple[Float[Array, ""], tuple[Metrics, Tree], Tree]:
    """Return the weighted loss, its parts with the new running statistics, and the gradients.

    With `LossSettings.triplet_reid_stop_gradient` the gradients outside of the decoder are those of the loss without
    L_TR. One forward pass serves both.
    """

    def losses_of(params: Tree) -> Any:
        parts, batch_stats = parts_of(params)
        rest = None
        if settings.loss.triplet_reid_stop_gradient and "triplet_reid" in parts:
            others = {name: part for name, part in parts.items() if name != "triplet_reid"}
            rest = _weighted_sum(settings, others, step)
        return (_weighted_sum(settings, parts, step), rest), (parts, batch_stats)

    (loss, rest), pull_back, found = jax.vjp(losses_of, params, has_aux=True)
    one = jnp.ones_like(loss)
    (gradients,) = pull_back((one, None if rest is None else jnp.zeros_like(rest)))
    if rest is not None:
        (without,) = pull_back((jnp.zeros_like(loss), one))
        gradients = {**without, "decoder": gradients["decoder"]}
    return loss, found, jax.tree.map(_in_order_of_parameter, gradients)


def _in_order_of_parameter(gradient: Array) -> Array:
    """Have XLA lay a gradient out in memory as its parameter is, before the optimizer reads it.

    cuDNN's gradients of convolution kernels lie in another order. XLA would change it in the kernel that updates
    parameter and moments, which then cannot update them in place: it copies each of them first. A flat array has only
    one order, and the barrier keeps XLA from merging the change of order with the update. No number changes.
    """
    is_spatial = gradient.ndim == 4 and gradient.shape[:2] != (1, 1)
    return lax.optimization_barrier(gradient.reshape(-1)).reshape(gradient.shape) if is_spatial else gradient


def joint_update(
    objective: _Objective, optimizer: optax.GradientTransformation, state: TrainState, batch: Any, key: PRNGKeyArray
) -> tuple[TrainState, Metrics]:
    """Update all parameters once, by all losses."""
    loss, (parts, batch_stats), gradients = _differentiate(
        lambda params: _parts(params, objective, state.batch_stats, batch, key),
        state.params,
        objective.settings,
        state.step,
    )
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    new_state = dataclasses.replace(state, params=params, batch_stats=batch_stats, opt_state=opt_state)
    return new_state, {"loss": loss, **parts, "gradient_norm": optax.tree.norm(gradients)}


def alternating_update(
    objective: _Objective, optimizer: AlternatingOptimizer, state: TrainState, batch: Any, key: PRNGKeyArray
) -> tuple[TrainState, Metrics]:
    """Make the updates of an `AlternatingOptimizer` in turn, each of its modules by its parts of the loss."""
    kind = objective.kind
    turns = [
        _Turn("reid", optimizer.reid, optimizer.reid_modules, kind.reid_parts),
        _Turn("reconstruction", optimizer.reconstruction, optimizer.reconstruction_modules, kind.reconstruction_parts),
    ]
    new_state, metrics, norms, statistics = state, {"loss": jnp.zeros((), jnp.float32)}, [], []
    for turn in turns:
        if not turn.parts:
            continue
        new_state, turn_metrics, batch_stats = _take_turn(objective, turn, new_state, batch, key)
        metrics = {**metrics, **turn_metrics, "loss": metrics["loss"] + turn_metrics["loss"]}
        norms.append(metrics.pop("gradient_norm"))
        statistics.append(batch_stats)
    # A batch counts once in the running statistics: the encoder's are those of the first forward pass.
    batch_stats = {**statistics[-1], **optimizer.reid_modules(statistics[0])}
    return dataclasses.replace(new_state, batch_stats=batch_stats), {**metrics, "gradient_norm": optax.tree.norm(norms)}


class _Turn(NamedTuple):
    """One of the two updates of an alternating step.

    Attributes:
        name: Key of the update's optimizer state.
        transformation: The update's optimizer.
        modules: Function that selects the modules it updates from a tree.
        parts: The parts of the loss that it minimises.
    """

    name: str
    transformation: optax.GradientTransformation
    modules: Callable[[Tree], Tree]
    parts: tuple[str, ...]


def _take_turn(
    objective: _Objective, turn: _Turn, state: TrainState, batch: Any, key: PRNGKeyArray
) -> tuple[TrainState, Metrics, Tree]:
    """Update the modules of one turn; its metrics and new running statistics come beside the state."""

    def parts_of_modules(trained: Tree) -> tuple[Metrics, Tree]:
        return _parts({**state.params, **trained}, objective, state.batch_stats, batch, key, turn.parts)

    modules = turn.modules(state.params)
    loss, (parts, batch_stats), gradients = _differentiate(parts_of_modules, modules, objective.settings, state.step)
    updates, moments = turn.transformation.update(gradients, state.opt_state[turn.name], modules)
    trained: Any = optax.apply_updates(modules, updates)
    new_state = dataclasses.replace(
        state, params={**state.params, **trained}, opt_state={**state.opt_state, turn.name: moments}
    )
    return new_state, {"loss": loss, **parts, "gradient_norm": optax.tree.norm(gradients)}, batch_stats


def _make_step(
    kind: _BatchKind,
    graphdef: Any,
    optimizer: optax.GradientTransformation | AlternatingOptimizer,
    settings: StepSettings,
) -> Step:
    objective = _Objective(kind, graphdef, settings)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        _check_average(state, settings.ema_decay)
        key = jax.random.fold_in(jax.random.key(settings.seed), state.step)
        if isinstance(optimizer, AlternatingOptimizer):
            new_state, metrics = alternating_update(objective, optimizer, state, batch, key)
        else:
            new_state, metrics = joint_update(objective, optimizer, state, batch, key)
        return _count_step(new_state, settings.ema_decay), metrics

    step.__name__ = f"{kind.name}_step"  # the name in profiles and compilation logs
    return jax.jit(step, donate_argnums=0)


def _check_average(state: TrainState, ema_decay: float) -> None:
    """Raise a ValueError unless the state has averages exactly where the step keeps them."""
    if bool(state.average) != (ema_decay > 0.0):
        raise ValueError(
            f"ema_decay={ema_decay} and a state that has {'an' if state.average else 'no'} average: expected a state "
            "made by train_state.create(..., average=ema_decay > 0)."
        )


def _count_step(state: TrainState, ema_decay: float) -> TrainState:
    """Count a step that was done, and take its weights into the average where one is kept."""
    average = state.average
    if ema_decay > 0.0:
        average = update_average(average, state.params, state.batch_stats, step=state.step, decay=ema_decay)
    return dataclasses.replace(state, step=state.step + 1, average=average)
