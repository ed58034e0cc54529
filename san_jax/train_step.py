"""The jitted train steps: a reID step with the four losses, and a PIT step with L_Rec alone (section 3.2).

    L = l1 L_ID + l2 L_Triplet + l3 L_Rec + l4 L_TR       on a reID batch
    L = L_Rec                                             on a PIT batch

The joint stage takes reID and PIT batches in turn; SAN-PG takes PIT batches only; the baseline is a reID step of a model
without decoder. Random numbers come from (seed, step) alone, so a run that was interrupted goes on as if it was not.

By choice a step does what the released code does, with two optimizers in turn (`optim.AlternatingOptimizer`), takes the
image itself as the decoder's target, mirrors textures with the images, or keeps an average of the weights.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from san_jax import losses
from san_jax.data.augment import Augmented, augment_images, mirror_textures, normalize_textures
from san_jax.models import SANOutput, batch_statistics, merge_model
from san_jax.optim import AlternatingOptimizer
from san_jax.settings import AugmentSettings, LossSettings
from san_jax.train_state import TrainState, Tree, update_average
from san_jax.typing import PitBatch, ReidBatch

Metrics = dict[str, Float[Array, ""]]
Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]

# Which parts of the loss each of two alternating optimizers takes.
_ENCODER_LOSSES = ("identification", "triplet")
_DECODER_LOSSES = {"reid": ("reconstruction", "triplet_reid"), "pit": ("reconstruction",)}


def reid_losses(
    output: SANOutput,
    batch: ReidBatch,
    key: PRNGKeyArray,
    settings: LossSettings,
    targets: Float[Array, "batch texture_height texture_width 3"] | None = None,
) -> Metrics:
    """The unweighted parts of the loss of a reID batch; those of the decoder only where the model has one.

    Args:
        output: Of the model with classifier, on the batch's images.
        batch: The reID batch; `texture` is used only with a decoder.
        key: Draws the triplets of L_TR.
        settings: Constants of the losses.
        targets: Of the decoder, in [-1, 1]; None for the batch's textures.

    Returns:
        float32 scalars: identification, triplet, and with a decoder reconstruction, triplet_reid.

    Raises:
        ValueError: The model has no classifier.
    """
    if output.logits is None:
        raise ValueError("A reID step needs a model with a classifier: build SAN with num_classes > 0.")
    labels = jnp.asarray(batch["label"])
    parts = {
        "identification": losses.identification_loss(output.logits, labels, label_smoothing=settings.label_smoothing),
        "triplet": losses.batch_hard_triplet_loss(output.embedding, labels, margin=settings.triplet_margin),
    }
    if output.texture is not None:
        positive, negative = losses.sample_triplets(key, labels)
        if targets is None:
            targets = normalize_textures(jnp.asarray(batch["texture"]))
        parts["reconstruction"] = losses.reconstruction_loss(output.texture, targets)

        def triplet_reid(block: int) -> Float[Array, ""]:
            shared: Any = {"margin": settings.triplet_reid_margin, "channel_reduction": settings.triplet_reid_channels}
            feature_map = output.decoder_maps[block - 1]
            if settings.triplet_reid_sampling == "random":
                return losses.triplet_reid_loss(feature_map, positive, negative, **shared)
            anchors, positives, negatives = losses.fixed_triplets(feature_map.shape[0], block)
            loss = losses.triplet_reid_loss(
                feature_map, positives, negatives, anchor=anchors, anchor_reduction="sum", **shared
            )
            # Nothing can be raised inside jit, and pairs of anybody would hide a batch that is not made of fours.
            as_meant = (labels[positives] == labels[anchors]) & (labels[negatives] != labels[anchors])
            return jnp.where(jnp.all(as_meant), loss, jnp.nan)

        parts["triplet_reid"] = sum(
            (triplet_reid(block) for block in settings.triplet_reid_blocks), start=jnp.zeros((), jnp.float32)
        )
    return parts


def pit_losses(
    output: SANOutput,
    batch: PitBatch,
    key: PRNGKeyArray,
    settings: LossSettings,
    targets: Float[Array, "batch texture_height texture_width 3"] | None = None,
) -> Metrics:
    """The loss of a PIT batch, unweighted: {"reconstruction": L_Rec}. Arguments as in `reid_losses`; no randomness."""
    del key, settings
    if output.texture is None:
        raise ValueError("A PIT step needs a model with a decoder: build SAN with decoder=True.")
    if targets is None:
        targets = normalize_textures(jnp.asarray(batch["texture"]))
    return {"reconstruction": losses.reconstruction_loss(output.texture, targets)}


def make_step(
    kind: str,
    graphdef: Any,
    optimizer: optax.GradientTransformation | AlternatingOptimizer,
    *,
    settings: LossSettings,
    augment: AugmentSettings,
    seed: int,
    target: Literal["batch", "input"] = "batch",
    mirror_map: Integer[np.ndarray, "size size 2"] | None = None,
    ema_decay: float = 0.0,
) -> Step:
    """A jitted train step.

    Args:
        kind: "reid" for `ReidBatch`es (the model needs a classifier), "pit" for `PitBatch`es (it needs a decoder).
        graphdef: The model's static part, from `train_state.create`.
        optimizer: The same for all steps of a run: they share its state.
        settings: Weights and constants of the losses.
        augment: What is done to the images, and whether textures are mirrored with them.
        seed: Of augmentation and triplets.
        target: What the decoder has to regress: "batch", the batch's `texture`; or "input", the image as it was augmented,
            before anything was erased (the texture size is then the images').
        mirror_map: How textures are mirrored, a dataset's `mirror_map.npy`; for `mirror_textures` of `augment`.
        ema_decay: Of the averages of weights and running statistics, in [0, 1); 0 for none. The state must be made
            accordingly (`train_state.create`).

    Returns:
        step(state, batch) -> (state, metrics). The state given is donated: do not use it any more. The metrics are
        float32 scalars on the device: `loss` (weighted), its unweighted parts, and `gradient_norm`; all were computed
        with the parameters before the update. With alternating optimizers those of the decoder were computed after the
        first of the two updates, and the gradient's norm is that of both gradients together.

    Raises:
        ValueError: An unknown kind or target, `ema_decay` out of range, textures to mirror that there are none of or no
            map for; from the step: a state with averages for a step without, or the other way round.
    """
    if kind not in ("reid", "pit"):
        raise ValueError(f"kind must be 'reid' or 'pit', found {kind!r}.")
    if target not in ("batch", "input"):
        raise ValueError(f"target must be 'batch' or 'input', found {target!r}.")
    if not 0.0 <= ema_decay < 1.0:
        raise ValueError(f"ema_decay must lie in 0..1, 1 excluded (0: no average), found {ema_decay}.")
    if augment.mirror_textures and target == "input":
        raise ValueError("mirror_textures is for textures: a target that is the image is flipped with it already.")
    if augment.mirror_textures and mirror_map is None:
        raise ValueError("mirror_textures needs the UV mirror map of the textures, found none.")
    loss_parts = reid_losses if kind == "reid" else pit_losses

    def decoder_targets(augmented: Augmented, batch: Any) -> Any:
        if target == "input":
            return augmented.clean
        textures = normalize_textures(jnp.asarray(batch["texture"]))
        if augment.mirror_textures:
            assert mirror_map is not None
            textures = mirror_textures(textures, augmented.flipped, mirror_map)
        return textures

    def loss_fn(
        params: Tree, batch_stats: Tree, batch: Any, key: PRNGKeyArray, wanted: tuple[str, ...] | None = None
    ) -> tuple[Float[Array, ""], tuple[Metrics, Tree]]:
        augment_key, triplet_key = jax.random.split(key)
        model = merge_model(graphdef, params, batch_stats)
        augmented = augment_images(augment_key, batch["image"], settings=augment)
        output = model(augmented.image, train=True)
        targets = None if output.texture is None else decoder_targets(augmented, batch)
        parts = loss_parts(output, batch, triplet_key, settings, targets)
        if wanted is not None:
            parts = {name: parts[name] for name in wanted}
        loss = sum((getattr(settings, name) * part for name, part in parts.items()), start=jnp.zeros((), jnp.float32))
        statistics = batch_statistics(model)
        if kind == "pit":  # PIT's persons are not whom the reID feature is for
            statistics |= {name: batch_stats[name] for name in ("head", "neck") if name in batch_stats}
        return loss, (parts, statistics)

    def update(state: TrainState, batch: Any, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        """One update of all parameters by all losses."""
        assert not isinstance(optimizer, AlternatingOptimizer)
        (loss, (parts, batch_stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params, state.batch_stats, batch, key
        )
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        new_state = dataclasses.replace(state, params=params, batch_stats=batch_stats, opt_state=opt_state)
        return new_state, {"loss": loss, **parts, "gradient_norm": optax.tree.norm(gradients)}

    def update_in_turn(state: TrainState, batch: Any, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        """The updates of an `AlternatingOptimizer`, each by its losses and of its modules."""
        assert isinstance(optimizer, AlternatingOptimizer)
        turns = [("reconstruction", optimizer.reconstruction, optimizer.reconstruction_modules, _DECODER_LOSSES[kind])]
        if kind == "reid":
            turns.insert(0, ("reid", optimizer.reid, optimizer.reid_modules, _ENCODER_LOSSES))
        params, opt_state = state.params, state.opt_state
        metrics, norms, statistics = {"loss": jnp.zeros((), jnp.float32)}, [], []
        for name, transformation, select, wanted in turns:

            def turn_loss(trained: Tree, params: Tree = params, wanted: tuple[str, ...] = wanted) -> Any:
                return loss_fn({**params, **trained}, state.batch_stats, batch, key, wanted)

            (loss, (parts, batch_stats)), gradients = jax.value_and_grad(turn_loss, has_aux=True)(select(params))
            updates, moments = transformation.update(gradients, opt_state[name], select(params))
            trained: Any = optax.apply_updates(select(params), updates)
            params, opt_state = {**params, **trained}, {**opt_state, name: moments}
            metrics = {**metrics, **parts, "loss": metrics["loss"] + loss}
            norms.append(optax.tree.norm(gradients))
            statistics.append(batch_stats)
        # A step counts once in the running statistics: the encoder's are those of the first forward pass.
        batch_stats = {**statistics[-1], **optimizer.reid_modules(statistics[0])}
        new_state = dataclasses.replace(state, params=params, batch_stats=batch_stats, opt_state=opt_state)
        return new_state, {**metrics, "gradient_norm": optax.tree.norm(norms)}

    alternating = isinstance(optimizer, AlternatingOptimizer)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        if bool(state.average) != (ema_decay > 0.0):
            raise ValueError(
                f"ema_decay={ema_decay} and a state that has {'an' if state.average else 'no'} average: expected a state "
                "made by train_state.create(..., average=ema_decay > 0)."
            )
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        new_state, metrics = (update_in_turn if alternating else update)(state, batch, key)
        average = new_state.average
        if ema_decay > 0.0:
            average = update_average(average, new_state.params, new_state.batch_stats, step=state.step, decay=ema_decay)
        return dataclasses.replace(new_state, step=state.step + 1, average=average), metrics

    step.__name__ = f"{kind}_step"  # the name in profiles and compilation logs
    return jax.jit(step, donate_argnums=0)
