"""The decoder's enlarging convolution: against enlarging, mirroring and convolving one after the other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from san_jax.models import merge_model, split_model
from san_jax.models.decoder import reflected_conv, upsample_bilinear, upsampled_conv
from san_jax.models.layers import conv, xavier_normal

SIZES = [(1, 1), (1, 4), (5, 1), (2, 2), (2, 3), (4, 7), (8, 4)]


def compute(enlarge: Any, size: tuple[int, int], dtype: Any) -> Any:
    """Output, and the gradients of its sum under some weights by input, kernel and bias."""
    draw = lambda seed, *shape: jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)  # noqa: E731
    layer = conv(6, 4, 3, padding=1, use_bias=True, kernel_init=xavier_normal, compute_dtype=dtype, rngs=nnx.Rngs(0))
    graphdef, _, _ = split_model(layer)
    weights = draw(0, 2, 2 * size[0], 2 * size[1], 4)

    def scalar(x: Any, params: Any) -> Any:
        y = enlarge(merge_model(graphdef, params, {}), x)
        return jnp.sum(y.astype(jnp.float32) * weights), y

    params = {"kernel": 0.2 * draw(1, 3, 3, 6, 4), "bias": draw(2, 4)}
    x = draw(3, 2, *size, 6).astype(dtype)
    (_, y), gradients = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))(x, params)
    assert y.dtype == dtype
    assert y.shape == weights.shape
    return y, gradients


def plain(layer: nnx.Conv, x: Any) -> Any:
    return reflected_conv(layer, upsample_bilinear(x))


@pytest.mark.parametrize("size", SIZES)
def test_enlarging_convolution_equals_its_three_parts(size: tuple[int, int]):
    """Every position, the corners as well, and the gradients; in float32 (measured: 1e-6 of the largest)."""
    found, expected = compute(upsampled_conv, size, jnp.float32), compute(plain, size, jnp.float32)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("size", [(1, 4), (8, 4)])
def test_enlarging_convolution_in_bfloat16(size: tuple[int, int]):
    """As near to float32 as the three parts are: each rounds inputs, weights and sums some times."""
    exact = jax.tree.leaves(compute(plain, size, jnp.float32))
    found, parts = (jax.tree.leaves(compute(function, size, jnp.bfloat16)) for function in (upsampled_conv, plain))
    for one, other, reference in zip(found, parts, exact, strict=True):
        reference = np.asarray(reference, np.float32)
        largest = np.abs(reference).max()
        errors = [np.abs(np.asarray(array, np.float32) - reference).max() / largest for array in (one, other)]
        assert errors[0] < max(2.0 * errors[1], 2**-6)
