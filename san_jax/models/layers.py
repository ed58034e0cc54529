"""What encoder and decoder share: convolution and batch normalisation as PyTorch defines them, in mixed precision."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# torchvision's resnet.py: kaiming_normal_(mode="fan_out", nonlinearity="relu")
kaiming_normal = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
# for convolutions that no ReLU follows
xavier_normal = nnx.initializers.variance_scaling(1.0, "fan_avg", "normal")


def conv(
    in_features: int,
    out_features: int,
    kernel_size: int,
    *,
    strides: int = 1,
    padding: int = 0,
    use_bias: bool = False,
    kernel_init: jax.nn.initializers.Initializer = kaiming_normal,
    compute_dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution over NHWC with `padding` zeros on every side (PyTorch's padding, not XLA's "SAME")."""
    return nnx.Conv(
        in_features,
        out_features,
        (kernel_size, kernel_size),
        strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=compute_dtype,
        param_dtype=jnp.float32,
        rngs=rngs,
    )


class BatchNorm(nnx.Module):
    """Batch normalisation over N, H and W: eps 1e-5, running statistics decaying with 0.9 (PyTorch's momentum 0.1).

    Statistics and normalisation are float32 whatever the compute dtype; the result is cast back to the compute dtype.
    The running variance is the biased one (PyTorch keeps n / (n - 1) times that).
    """

    def __init__(self, num_features: int, *, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        # Not the fast variance E[x^2] - E[x]^2: its cancellation costs a digit in every layer, and flips ReLUs.
        self.norm = nnx.BatchNorm(
            num_features, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, use_fast_variance=False, rngs=rngs
        )
        self.compute_dtype = compute_dtype

    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Normalises by the batch's statistics and updates the running ones (train), or by the running ones."""
        return self.norm(x, use_running_average=not train).astype(self.compute_dtype)
