"""What the networks share: convolution and batch normalisation as PyTorch defines them, in mixed precision."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
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
    """Batch normalisation over all axes but the last.

    eps is 1e-5, the decay of the running statistics 0.9 (PyTorch's momentum 0.1).

    Statistics and normalisation are float32 whatever the compute dtype; the result is cast back to the compute dtype.
    The running variance is the biased one (PyTorch keeps n / (n - 1) times that).
    """

    def __init__(self, num_features: int, *, use_bias: bool = True, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        # Not the fast variance E[x^2] - E[x]^2: its cancellation costs a digit in every layer, and flips ReLUs.
        self.norm = nnx.BatchNorm(
            num_features,
            momentum=0.9,
            epsilon=1e-5,
            use_bias=use_bias,
            dtype=jnp.float32,
            use_fast_variance=False,
            rngs=rngs,
        )
        self.compute_dtype = compute_dtype

    def __call__(
        self, x: Float[Array, "batch *positions channels"], *, train: bool
    ) -> Float[Array, "batch *positions channels"]:
        """Normalises by the batch's statistics and updates the running ones (train), or by the running ones."""
        return self.norm(x, use_running_average=not train).astype(self.compute_dtype)


class GeneralizedMean(nnx.Module):
    """Pools each channel by its generalised mean (mean of x^p over positions)^(1/p), one learnable p that starts at 3.

    Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018, equation 3; as
    there, numbers below 1e-6 count as 1e-6.
    """

    def __init__(self):
        self.p = nnx.Param(jnp.full((), 3.0, jnp.float32))

    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch channels"]:
        """Computed in float32, whatever the input."""
        p = self.p[...]
        x = jnp.maximum(x.astype(jnp.float32), 1e-6)
        # In units of the largest number: 1e-6 ** p is 0 from p = 6.4 on, and the gradient of a channel of zeros NaN.
        largest = lax.stop_gradient(jnp.max(x, axis=(1, 2), keepdims=True))
        return jnp.mean((x / largest) ** p, axis=(1, 2)) ** (1.0 / p) * largest[:, 0, 0]


class FullyConnectedHead(nnx.Module):
    """Linear layer, batch normalisation and ReLU on the pooled feature (released code: 2048 -> 512), in float32.

    Drawn as in torchreid: weights normal(0, 0.01), zero bias.
    """

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(
            in_features,
            features,
            kernel_init=nnx.initializers.normal(0.01),
            dtype=jnp.float32,
            param_dtype=jnp.float32,
            rngs=rngs,
        )
        self.bn = BatchNorm(features, compute_dtype=jnp.float32, rngs=rngs)

    def __call__(self, x: Float[Array, "batch in_features"], *, train: bool) -> Float[Array, "batch features"]:
        """Maps pooled features to embeddings."""
        return nnx.relu(self.bn(self.linear(x), train=train))
