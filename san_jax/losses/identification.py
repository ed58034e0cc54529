"""L_ID: cross entropy of the identity classifier (section 3.2, "SA-Enc")."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32


def identification_loss(
    logits: Float[Array, "batch classes"], labels: Int32[Array, " batch"], *, label_smoothing: float = 0.0
) -> Float[Array, ""]:
    """Return the mean cross entropy against the target (1 - s) onehot(label) + s / classes with s the label smoothing.

    The same as PyTorch's CrossEntropyLoss(label_smoothing=s) and, with s = 0.1, the released code's.

    Args:
        logits: Any floating dtype; computed in float32.
        labels: 0..classes-1. A label outside that range makes the loss NaN: nothing can be raised inside jit, and a
            silent zero would hide a broken data set.
        label_smoothing: The s above, in [0, 1]; the paper uses none.

    Returns:
        float32 scalar.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    known = (labels >= 0) & (labels < logits.shape[1])
    picked = jnp.take_along_axis(log_probabilities, jnp.where(known, labels, 0)[:, None], axis=1)[:, 0]
    per_sample = -(1.0 - label_smoothing) * picked - label_smoothing * jnp.mean(log_probabilities, axis=1)
    return jnp.mean(jnp.where(known, per_sample, jnp.nan))
