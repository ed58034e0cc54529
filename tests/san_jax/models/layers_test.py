"""1x1 convolutions as products, and how exact batch normalisation is (its gradients: backward_passes_test.py)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax, test_util

from san_jax.models import merge_model, split_model
from san_jax.models.layers import EPSILON, Conv, conv, multiply_channels, normalize_by_batch


def numbers(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def plain_normalization(x: Any, scale: Any, bias: Any, relu: bool) -> Any:
    """Output, mean and variance, as the definition has it: the variance from the differences to the mean."""
    x = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    along = (1,) * (x.ndim - 1) + (-1,)
    y = (x - mean) / jnp.sqrt(variance + EPSILON) * scale.reshape(along)
    if bias is not None:
        y += bias.reshape(along)
    return nnx.relu(y) if relu else y, mean.reshape(-1), variance.reshape(-1)


def value_and_gradients(function: Any, weights: Any, *arguments: Any) -> Any:
    """What a function gives, and the gradients of its first output's sum under some weights."""

    def weighted(*arguments: Any) -> Any:
        found = function(*arguments)
        first = found[0] if isinstance(found, tuple) else found
        return jnp.sum(first.astype(jnp.float32) * weights), found

    (_, found), gradients = jax.value_and_grad(weighted, argnums=tuple(range(len(arguments))), has_aux=True)(*arguments)
    return found, gradients


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Within a tolerance relative to the largest number of each array, or to 1 where all are smaller."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        one, other = (np.asarray(array, np.float32) for array in (one, other))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(np.abs(other).max(), 1.0))


def test_normalization_of_one_number_is_the_bias():
    """The only position of the only image: its deviation is 0, and nothing depends on it."""
    bias = numbers(4, seed=1)
    (y, mean, variance), (gradient,) = value_and_gradients(
        lambda x: normalize_by_batch(x, jnp.ones(4), bias, False, jnp.float32),
        jnp.ones((1, 1, 1, 4)),
        numbers(1, 1, 1, 4),
    )
    np.testing.assert_array_equal(y[0, 0, 0], bias)
    np.testing.assert_array_equal(mean, numbers(1, 1, 1, 4)[0, 0, 0])
    np.testing.assert_array_equal(variance, np.zeros(4))
    np.testing.assert_array_equal(gradient, np.zeros((1, 1, 1, 4)))


@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_variance_survives_a_mean_that_is_far_larger(offset: float):
    """E[x^2] - E[x]^2 would lose all digits of a variance of 1 beside a mean of 10,000."""
    x = np.float32(offset) + np.random.default_rng(0).normal(size=(8, 16, 8, 4)).astype(np.float32)
    found: Any = normalize_by_batch(jnp.asarray(x), jnp.ones(4), jnp.zeros(4), False, jnp.float32)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(found[1], exact.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found[2], exact.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("relu", [False, True])
def test_normalization_in_bfloat16_is_rounded_once(relu: bool):
    """The gradient is as near to that of the float32 formula as bfloat16 has it; values are rounded once."""
    x, scale, bias = numbers(4, 6, 3, 5).astype(jnp.bfloat16), numbers(5, seed=1), numbers(5, seed=2)
    weights = numbers(4, 6, 3, 5, seed=3).astype(jnp.bfloat16).astype(jnp.float32)
    ours = lambda x, scale, bias: normalize_by_batch(x, scale, bias, relu, jnp.bfloat16)  # noqa: E731
    plain = lambda x, scale, bias: plain_normalization(x, scale, bias, relu)  # noqa: E731
    (found, gradients), (expected, plain_gradients) = (
        value_and_gradients(function, weights, x, scale, bias) for function in (ours, plain)
    )
    assert found[0].dtype == gradients[0].dtype == jnp.bfloat16
    assert_close(found[0], expected[0], 2**-8)
    assert_close(found[1:], expected[1:], 2e-5)
    assert_close(gradients[0], plain_gradients[0], 2**-8)
    assert_close(gradients[1:], plain_gradients[1:], 2e-5)


@pytest.mark.parametrize(("size", "strides"), [((4, 6), 1), ((5, 7), 1), ((4, 6), 2), ((5, 7), 2), ((1, 1), 2)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_convolution_of_size_one_equals_xla_s(size: tuple[int, int], strides: int, dtype: Any):
    """Values and gradients; the parameters have the names and shapes of any convolution."""
    layer = conv(3, 5, 1, strides=strides, use_bias=True, compute_dtype=dtype, rngs=nnx.Rngs(0))
    assert isinstance(layer, Conv)
    graphdef, params, _ = split_model(layer)
    assert jax.tree.map(jnp.shape, params) == {"kernel": (1, 1, 3, 5), "bias": (5,)}
    x = numbers(2, *size, 3, seed=1).astype(dtype)
    kernel, bias = numbers(1, 1, 3, 5, seed=2), numbers(5, seed=3)

    def ours(x: Any, kernel: Any, bias: Any) -> Any:
        return merge_model(graphdef, {"kernel": kernel, "bias": bias}, {})(x)

    def xla(x: Any, kernel: Any, bias: Any) -> Any:
        kernel, bias = kernel.astype(dtype), bias.astype(dtype)
        y = lax.conv_general_dilated(x, kernel, (strides, strides), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + bias[None, None, None]

    weights = numbers(2, *(-(-length // strides) for length in size), 5, seed=4)
    found, expected = (value_and_gradients(function, weights, x, kernel, bias) for function in (ours, xla))
    assert found[0].dtype == dtype
    assert_close(found, expected, 1e-6 if dtype == jnp.float32 else 2**-7)


def test_gradients_of_the_product_equal_differences():
    def function(*arguments: Any) -> Any:
        return multiply_channels(*map(jnp.asarray, arguments))

    arguments = (numbers(2, 2, 3, 4), numbers(4, 3, seed=1))
    test_util.check_grads(function, arguments, order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
