"""Backward passes that are written by hand, against what is derived from the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from san_jax import sharding
from san_jax.models.layers import BatchNorm, add_relu, normalize_by_batch
from san_jax.models.resnet import max_pool


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.RandomState(seed).normal(size=shape), jnp.float32)


def plain_normalization(x, scale, bias, relu: bool):
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    one = (1,) * (x.ndim - 1)
    y = (x - mean) / jnp.sqrt(variance + 1e-5) * scale.reshape(*one, -1)
    if bias is not None:
        y += bias.reshape(*one, -1)
    return nnx.relu(y) if relu else y


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (7, 6), (2, 1, 1, 6)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_batch_normalization(shape, relu, offset):
    """Value and gradients; also where the mean is far larger than the deviation."""
    x, scale, bias, weights = draw(0, *shape) + offset, draw(1, 6), draw(2, 6), draw(3, *shape)

    def ours(*arguments):
        return jnp.sum(weights * normalize_by_batch(*arguments, relu, jnp.float32)[0])

    def plain(*arguments):
        return jnp.sum(weights * plain_normalization(*arguments, relu))

    found, gradients = jax.value_and_grad(ours, (0, 1, 2))(x, scale, bias)
    expected, expected_gradients = jax.value_and_grad(plain, (0, 1, 2))(x, scale, bias)
    tolerance = 2e-5 if offset == 0.0 else 2e-3  # float32 has 7.6e-6 of a deviation left at 100
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=10 * tolerance)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, reference, atol=tolerance * float(jnp.abs(reference).max()) + 1e-5)


def test_batch_normalization_against_finite_differences():
    x, scale, weights = draw(0, 3, 2, 2, 4), draw(1, 4), draw(3, 3, 2, 2, 4)

    def function(x, scale):  # the check passes NumPy arrays
        return jnp.sum(weights * normalize_by_batch(jnp.asarray(x), jnp.asarray(scale), None, False, jnp.float32)[0])

    check_grads(function, (x, scale), order=1, modes=("rev",), atol=2e-2, rtol=2e-2)


def test_statistics_are_those_of_the_whole_batch_on_several_devices():
    x, scale, bias, weights = draw(0, 16, 3, 2, 4) + 3.0, draw(1, 4), draw(2, 4), draw(3, 16, 3, 2, 4)

    def function(x, scale, bias):
        y, mean, variance = normalize_by_batch(x, scale, bias, True, jnp.float32)
        return jnp.sum(weights * y), (mean, variance)

    step = jax.jit(jax.value_and_grad(function, (0, 1, 2), has_aux=True))
    mesh = sharding.make_mesh(jax.devices()[:8])
    split = jax.device_put(x, sharding.batch_sharding(mesh))
    rest = jax.device_put((scale, bias), sharding.replicated(mesh))
    for found, expected in zip(jax.tree.leaves(step(split, *rest)), jax.tree.leaves(step(x, scale, bias)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("use_bias", [True, False])
def test_running_statistics_are_flax_s(use_bias):
    x = 2.0 + 3.0 * draw(0, 4, 3, 2, 5)
    ours = BatchNorm(5, use_bias=use_bias, compute_dtype=jnp.float32, rngs=nnx.Rngs(0))
    theirs = nnx.BatchNorm(5, momentum=0.9, use_bias=use_bias, use_fast_variance=False, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(ours(x, train=True), theirs(x, use_running_average=False), atol=2e-6)
    np.testing.assert_allclose(ours.norm.mean[...], theirs.mean[...], rtol=1e-6)
    np.testing.assert_allclose(ours.norm.var[...], theirs.var[...], rtol=1e-6)
    np.testing.assert_array_equal(ours(x, train=False, relu=True), nnx.relu(ours(x, train=False)))


def test_bfloat16_is_normalized_in_float32():
    x, scale, bias, weights = draw(0, 8, 4, 4, 6).astype(jnp.bfloat16), draw(1, 6), draw(2, 6), draw(3, 8, 4, 4, 6)

    def function(x, dtype):
        return jnp.sum(weights * normalize_by_batch(x, scale, bias, True, dtype)[0].astype(jnp.float32))

    found, gradient = jax.value_and_grad(function)(x, jnp.bfloat16)
    expected, reference = jax.value_and_grad(function)(x.astype(jnp.float32), jnp.float32)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(gradient.astype(jnp.float32), reference, atol=1e-2 * float(jnp.abs(reference).max()))


def test_the_end_of_a_residual_block():
    x, shortcut, weights = draw(0, 2, 3, 4), draw(1, 2, 3, 4), draw(2, 2, 3, 4)
    found = jax.value_and_grad(lambda x, y: jnp.sum(weights * add_relu(x, y)), (0, 1))(x, shortcut)
    expected = jax.value_and_grad(lambda x, y: jnp.sum(weights * nnx.relu(x + y)), (0, 1))(x, shortcut)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (2, 7, 5, 3), (1, 1, 1, 2), (1, 2, 3, 1)])
@pytest.mark.parametrize("rounded", [False, True])
def test_max_pool(shape, rounded):
    """Value and gradient are flax's; also among equal numbers, of which the first one gets the gradient."""
    x = draw(0, *shape)
    if rounded:
        x = nnx.relu(jnp.round(x))

    def theirs(x):
        return nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]

    found, ours_back = jax.vjp(max_pool, x)
    expected, theirs_back = jax.vjp(theirs, x)
    np.testing.assert_array_equal(found, expected)
    weights = draw(1, *expected.shape)
    np.testing.assert_allclose(ours_back(weights)[0], theirs_back(weights)[0], atol=1e-6)
