"""Models from their settings: a fresh one, or one with weights that were saved."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from san_jax.models.functional import Tree, merge_model, split_model
from san_jax.models.san import SAN
from san_jax.settings import ModelSettings

_TRAINING_MODULES = ("decoder", "classifier")  # embeddings need neither
_COMPUTE_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build(
    settings: ModelSettings, num_classes: int, *, decoder_size: int | tuple[int, int] | None, seed: int | jax.Array
) -> SAN:
    """Build a model with fresh weights.

    Args:
        settings: The networks. `texture_size` is not read: `decoder_size` says what the decoder gives.
        num_classes: Number of identities of the classifier; 0 for no classifier.
        decoder_size: Height and width of what the decoder gives (one number for both), in pixels; None for a model
            without decoder, which has no skips either.
        seed: Seed of the initial weights, an integer or a JAX key.

    Raises:
        ValueError: `num_classes` is negative or `decoder_size` too small.
    """
    if decoder_size is None:
        decoder: dict[str, Any] = {"decoder": False}
    else:
        decoder = {"decoder": True, "texture_size": decoder_size, "skips": settings.skips}
    return SAN(
        num_classes,
        encoder=settings.encoder,
        width=settings.width,
        stage_sizes=settings.stage_sizes,
        feature_size=settings.feature_size,
        pooling=settings.pooling,
        bnneck=settings.bnneck,
        compute_dtype=_COMPUTE_DTYPES[settings.compute_dtype],
        rngs=nnx.Rngs(params=jax.random.key(seed) if isinstance(seed, int) else seed),
        **decoder,
    )


def skeleton(settings: ModelSettings, num_classes: int, *, decoder_size: int | tuple[int, int] | None) -> SAN:
    """Build a model that has shapes in place of arrays: nothing is computed. Arguments as in `build`."""
    return nnx.eval_shape(lambda: build(settings, num_classes, decoder_size=decoder_size, seed=0))


def with_weights(
    settings: ModelSettings,
    params: Tree,
    batch_stats: Tree,
    *,
    decoder_size: int | tuple[int, int] | None,
    encoder_only: bool = False,
) -> SAN:
    """Build the model that saved weights belong to; it has a decoder and a classifier where the weights have them.

    Args:
        settings: The networks.
        params: Parameters, as `san_jax.checkpoint.load_weights` gives them.
        batch_stats: Running statistics, likewise.
        decoder_size: Height and width of what the decoder gives; None where the weights have no decoder.
        encoder_only: Leave decoder and classifier out, as for embeddings.
    """
    if encoder_only:
        params, batch_stats = (
            {name: module for name, module in tree.items() if name not in _TRAINING_MODULES}
            for tree in (params, batch_stats)
        )
    num_classes = params["classifier"]["kernel"].shape[-1] if "classifier" in params else 0
    size = decoder_size if "decoder" in params else None
    graphdef, _, _ = split_model(skeleton(settings, num_classes, decoder_size=size))
    return merge_model(graphdef, params, batch_stats)
