"""What the networks share: convolution and batch normalisation as PyTorch defines them, in mixed precision."""

import functools
import math
from typing import Any, cast

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
EPSILON = 1e-5  # added to a batch normalisation's variance
DECAY = 0.9  # of its running statistics


class Conv(nnx.Conv):
    """A convolution over NHWC; one of size 1x1 is computed as the product of matrices that it is.

    On GPUs XLA transposes the parameters of a convolution and its gradient, which it need not for products. On CPUs its
    products are faster.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, inputs: Float[Array, "batch height width in_features"]
    ) -> Float[Array, "batch out_height out_width out_features"]:
        """Apply the convolution."""
        if self.kernel_size != (1, 1):
            return super().__call__(inputs)
        inputs, strides = inputs.astype(self.dtype), cast("tuple[int, int]", self.strides)
        if strides != (1, 1):
            # XLA's compiler for GPUs crashes where it merges this slice with the product (jaxlib 0.10.2).
            inputs = lax.optimization_barrier(lax.slice(inputs, (0,) * 4, inputs.shape, (1, *strides, 1)))
        outputs = multiply_channels(inputs, self.kernel[0, 0].astype(self.dtype))
        return outputs if self.bias is None else outputs + self.bias[None, None, None].astype(self.dtype)


@jax.custom_vjp
def multiply_channels(
    x: Float[Array, "batch height width in_features"], matrix: Float[Array, "in_features out_features"]
) -> Float[Array, "batch height width out_features"]:
    """Return the product of every position's channels and a matrix.

    The gradient of the matrix is computed as it lies in memory. Derived automatically it would be computed transposed,
    which takes XLA's CPU code up to three times as long.
    """
    return x @ matrix


def _multiply_channels_forward(x: Any, matrix: Any) -> Any:
    return x @ matrix, (x, matrix)


def _multiply_channels_backward(saved: Any, gradient: Any) -> Any:
    x, matrix = saved
    return gradient @ matrix.T, jnp.einsum("bhwi,bhwo->io", x, gradient)


multiply_channels.defvjp(_multiply_channels_forward, _multiply_channels_backward)


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
) -> Conv:
    """A square convolution over NHWC with `padding` zeros on every side (PyTorch's padding, not XLA's "SAME")."""
    return Conv(
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_by_batch(
    x: Float[Array, "batch *positions channels"],
    scale: Float[Array, " channels"],
    bias: Float[Array, " channels"] | None,
    relu: bool,
    compute_dtype: DTypeLike,
) -> tuple[Float[Array, "batch *positions channels"], Float[Array, " channels"], Float[Array, " channels"]]:
    """Normalise each channel by the batch's mean and variance, then scale it, shift it and, if asked to, apply a ReLU.

    The backward pass is Ioffe and Szegedy's, "Batch Normalization", ICML 2015, section 3. It needs the input, the scale
    and the two statistics, and works out the normalised value and the ReLU's mask again: derived automatically it would
    read four more arrays of the input's size. Statistics are not differentiated.

    Args:
        x: Input, float32 or bfloat16; computed in float32.
        scale: Factor of each channel, float32.
        bias: Added to each channel, float32; None for 0.
        relu: Whether a ReLU follows.
        compute_dtype: Type of the output.

    Returns:
        Output, mean and biased variance; the two statistics are float32.
    """
    return _normalize_forward(x, scale, bias, relu, compute_dtype)[0]


def _normalize_forward(x: Any, scale: Any, bias: Any, relu: bool, compute_dtype: DTypeLike) -> Any:
    mean, variance = _moments(x)
    y = _affine(x, mean, lax.rsqrt(variance + EPSILON), scale, bias)
    if relu:
        y = jnp.maximum(y, 0.0)
    return (y.astype(compute_dtype), mean, variance), (x, mean, variance, scale, bias)


def _normalize_backward(relu: bool, compute_dtype: DTypeLike, saved: Any, cotangents: Any) -> Any:
    del compute_dtype
    x, mean, variance, scale, bias = saved
    inverse = lax.rsqrt(variance + EPSILON)
    gradient = cotangents[0].astype(jnp.float32)
    if relu:
        gradient = jnp.where(_affine(x, mean, inverse, scale, bias) > 0.0, gradient, 0.0)
    axes = tuple(range(x.ndim - 1))
    normalized = (x.astype(jnp.float32) - _along_channels(mean, x)) * _along_channels(inverse, x)
    bias_gradient = jnp.sum(gradient, axes)
    scale_gradient = jnp.sum(gradient * normalized, axes)
    count = math.prod(x.shape[:-1])
    centred = (
        gradient - _along_channels(bias_gradient / count, x) - normalized * _along_channels(scale_gradient / count, x)
    )
    x_gradient = (centred * _along_channels(scale * inverse, x)).astype(x.dtype)
    return x_gradient, scale_gradient, None if bias is None else bias_gradient


normalize_by_batch.defvjp(_normalize_forward, _normalize_backward)


def _moments(x: Any) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
    """Return mean and biased variance of each channel, reading the input once.

    Var = E[(x - s)^2] - (E[x] - s)^2 for any s. With s = 0, the usual fast variance, it loses the digits by which the
    mean is larger than the deviation, in every layer. Here s is one number of the channel, the first image's in the
    middle: it is as near to the mean as any other, so the two terms hardly cancel.
    """
    middle = tuple(slice(length // 2, length // 2 + 1) for length in x.shape[1:-1])
    # The middle of all images first, so that devices that share a batch send each other a number per channel only.
    sample = x[:, *middle].reshape(x.shape[0], -1)[0].astype(jnp.float32)
    shifted = x.astype(jnp.float32) - _along_channels(sample, x)
    # Each image's sums first, then both over images in one: XLA would sum up its parts of each in a kernel of its own.
    positions = tuple(range(1, x.ndim - 1))
    sums = jnp.stack([jnp.sum(shifted, positions), jnp.sum(jnp.square(shifted), positions)])
    offset, square = jnp.sum(sums, axis=1) / math.prod(x.shape[:-1])
    variance = jnp.maximum(square - jnp.square(offset), 0.0)
    return sample + offset, variance


def _affine(x: Any, mean: Any, inverse: Any, scale: Any, bias: Any) -> Float[Array, "batch *positions channels"]:
    """Return the normalised, scaled and shifted input in float32."""
    y = (x.astype(jnp.float32) - _along_channels(mean, x)) * _along_channels(inverse * scale, x)
    return y if bias is None else y + _along_channels(bias, x)


def _along_channels(values: Any, x: Any) -> Any:
    """Give a value per channel as many axes as `x` has."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))


@jax.custom_vjp
def add_relu(
    x: Float[Array, "batch *positions channels"], shortcut: Float[Array, "batch *positions channels"]
) -> Float[Array, "batch *positions channels"]:
    """Return ReLU(x + shortcut), the end of a residual block.

    Its backward pass reads the output, which the following layers keep anyway, in place of a mask of its own.
    """
    return jnp.maximum(x + shortcut, 0)


def _add_relu_forward(x: Any, shortcut: Any) -> Any:
    y = add_relu(x, shortcut)
    return y, y


def _add_relu_backward(y: Any, gradient: Any) -> Any:
    gradient = jnp.where(y > 0, gradient, jnp.zeros_like(gradient))
    return gradient, gradient


add_relu.defvjp(_add_relu_forward, _add_relu_backward)


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with an optional ReLU.

    eps is 1e-5, the decay of the running statistics 0.9 (PyTorch's momentum 0.1).

    Statistics and normalisation are float32 whatever the compute dtype; the result is cast back to the compute dtype.
    The running variance is the biased one (PyTorch keeps n / (n - 1) times that).
    """

    def __init__(self, num_features: int, *, use_bias: bool = True, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(
            num_features,
            momentum=DECAY,
            epsilon=EPSILON,
            use_bias=use_bias,
            dtype=jnp.float32,
            use_fast_variance=False,
            rngs=rngs,
        )
        self.compute_dtype = compute_dtype

    def __call__(
        self, x: Float[Array, "batch *positions channels"], *, train: bool, relu: bool = False
    ) -> Float[Array, "batch *positions channels"]:
        """Normalise by the batch's statistics and update the running ones (train), or normalise by the running ones."""
        norm: Any = self.norm
        if not train:
            y = norm(x, use_running_average=True)
            return (nnx.relu(y) if relu else y).astype(self.compute_dtype)
        bias = None if norm.bias is None else norm.bias[...]
        outputs: Any = normalize_by_batch(x, norm.scale[...], bias, relu, self.compute_dtype)
        y, mean, variance = outputs
        # Not `norm.mean[...] = `: under jit Flax asks for a sharding there, and JAX searches the whole program for why
        # there is none, which is a third of the time that tracing SAN takes.
        norm.mean.set_value(DECAY * norm.mean[...] + (1.0 - DECAY) * lax.stop_gradient(mean))
        norm.var.set_value(DECAY * norm.var[...] + (1.0 - DECAY) * lax.stop_gradient(variance))
        return y


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
        return self.bn(self.linear(x), train=train, relu=True)
