"""The jitted train steps: a reID step with the four losses, and a PIT step with L_Rec alone (section 3.2 and 3.3).

    L = l1 L_ID + l2 L_Triplet + l3 L_Rec + l4 L_TR       on a reID batch
    L = L_Rec                                             on a PIT batch

The joint stage takes reID and PIT batches in turn; SAN-PG takes PIT batches only; the baseline is a reID step of a model
without decoder. Random numbers come from (seed, step) alone, so a run that was interrupted goes on as if it was not.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from san_jax import losses
from san_jax.data.augment import AugmentSettings, augment_reid, normalize_textures
from san_jax.models import SANOutput, batch_statistics, merge_model
from san_jax.train_state import TrainState, Tree
from san_jax.typing import PitBatch, ReidBatch

Metrics = dict[str, Float[Array, ""]]
Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]

@dataclasses.dataclass(frozen=True)
class LossSettings:
    """Weights and constants of the losses; the defaults are the paper's.

    Attributes:
        identification: l1, weight of L_ID.
        triplet: l2, weight of L_Triplet.
        reconstruction: l3, weight of L_Rec, on a reID batch and on a PIT batch.
        triplet_reid: l4, weight of L_TR.
        label_smoothing: Of L_ID, in [0, 1); 0.1 in the released code.
        triplet_margin: Of L_Triplet.
        triplet_reid_margin: Of L_TR.
        triplet_reid_channels: L_TR's distance summed over channels (the paper) or averaged (the released code).
        triplet_reid_blocks: The decoder blocks whose L_TR are added up, counted from 1: the paper's are the first three
            of the four, the released code's all four.

    Raises:
        ValueError: `triplet_reid_blocks` holds something that is no block, or one twice.
    """

    identification: float = 0.5
    triplet: float = 1.5
    reconstruction: float = 1.0
    triplet_reid: float = 1.0
    label_smoothing: float = 0.0
    triplet_margin: float = 0.3
    triplet_reid_margin: float = 0.3
    triplet_reid_channels: Literal["sum", "mean"] = "sum"
    triplet_reid_blocks: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self):
        blocks = self.triplet_reid_blocks
        if not set(blocks) <= {1, 2, 3, 4} or len(set(blocks)) < len(blocks):
            raise ValueError(f"triplet_reid_blocks must be different numbers among 1, 2, 3, 4, found {blocks}.")


def reid_losses(output: SANOutput, batch: ReidBatch, key: PRNGKeyArray, settings: LossSettings) -> Metrics:
    """The unweighted parts of the loss of a reID batch; those of the decoder only where the model has one.

    Args:
        output: Of the model with classifier, on the batch's images.
        batch: The reID batch; `texture` is used only with a decoder.
        key: Draws the triplets of L_TR.
        settings: Constants of the losses.

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
        parts["reconstruction"] = losses.reconstruction_loss(
            output.texture, normalize_textures(jnp.asarray(batch["texture"]))
        )
        parts["triplet_reid"] = sum(
            (
                losses.triplet_reid_loss(
                    output.decoder_maps[block - 1],
                    positive,
                    negative,
                    margin=settings.triplet_reid_margin,
                    channel_reduction=settings.triplet_reid_channels,
                )
                for block in settings.triplet_reid_blocks
            ),
            start=jnp.zeros((), jnp.float32),
        )
    return parts


def pit_losses(output: SANOutput, batch: PitBatch, key: PRNGKeyArray, settings: LossSettings) -> Metrics:
    """The loss of a PIT batch, unweighted: {"reconstruction": L_Rec}. Arguments as in `reid_losses`; no randomness."""
    del key, settings
    if output.texture is None:
        raise ValueError("A PIT step needs a model with a decoder: build SAN with decoder=True.")
    return {
        "reconstruction": losses.reconstruction_loss(output.texture, normalize_textures(jnp.asarray(batch["texture"])))
    }


def make_step(
    kind: str,
    graphdef: Any,
    optimizer: optax.GradientTransformation,
    *,
    settings: LossSettings,
    augment: AugmentSettings,
    seed: int,
) -> Step:
    """A jitted train step.

    Args:
        kind: "reid" for `ReidBatch`es (the model needs a classifier), "pit" for `PitBatch`es (it needs a decoder).
        graphdef: The model's static part, from `train_state.create`.
        optimizer: The same for all steps of a run: they share its state.
        settings: Weights and constants of the losses.
        augment: What is done to the images; textures are left as they are.
        seed: Of augmentation and triplets.

    Returns:
        step(state, batch) -> (state, metrics). The state given is donated: do not use it any more. The metrics are
        float32 scalars on the device: `loss` (weighted), its unweighted parts, and `gradient_norm`; all were computed
        with the parameters before the update.

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in ("reid", "pit"):
        raise ValueError(f"kind must be 'reid' or 'pit', found {kind!r}.")
    loss_parts = reid_losses if kind == "reid" else pit_losses

    def loss_fn(
        params: Tree, batch_stats: Tree, batch: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], tuple[Metrics, Tree]]:
        augment_key, triplet_key = jax.random.split(key)
        model = merge_model(graphdef, params, batch_stats)
        output = model(augment_reid(augment_key, batch["image"], settings=augment), train=True)
        parts = loss_parts(output, batch, triplet_key, settings)
        loss = sum((getattr(settings, name) * part for name, part in parts.items()), start=jnp.zeros((), jnp.float32))
        return loss, (parts, batch_statistics(model))

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        (loss, (parts, batch_stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params, state.batch_stats, batch, key
        )
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        return new_state, {"loss": loss, **parts, "gradient_norm": optax.tree.norm(gradients)}

    step.__name__ = f"{kind}_step"  # the name in profiles and compilation logs
    return jax.jit(step, donate_argnums=0)
