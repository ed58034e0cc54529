"""Options of L_TR that the paper does not have: each against a closed form or a slow loop, and off by default."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, optim, train_state
from san_jax.losses.triplet_reid import squared_distances, unit_vectors
from san_jax.models import SANOutput
from san_jax.settings import LossSettings
from san_jax.train_step import StepSettings, make_reid_step, texture_targets
from tests.san_jax import losses_test, train_step_test
from tests.san_jax.losses_test import int32, value_and_gradient
from tests.san_jax.quick_compile import compile_quickly


@pytest.mark.parametrize("channels", ["sum", "mean"])
def test_without_options_the_loss_is_bit_for_bit_that_of_before(channels: str):
    maps, positive, negative = (jnp.asarray(losses_test.GOLDEN[name]) for name in ("maps", "positive", "negative"))
    scale = 1.0 / (maps[0].size if channels == "mean" else maps[0, ..., 0].size)

    def before(maps: jax.Array) -> jax.Array:
        squared = scale * squared_distances(maps.reshape(maps.shape[0], -1))
        own = jnp.arange(maps.shape[0], dtype=jnp.int32)
        violation = squared[own, positive] - squared[own, negative] + 0.3
        return jnp.mean(jnp.where((positive != own) & (negative != own), jax.nn.relu(violation), 0.0))

    expected = jax.jit(jax.value_and_grad(before))(maps)
    found = value_and_gradient(losses.triplet_reid_loss, maps, positive, negative, channel_reduction=channels)
    assert found[0] > 0
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_normalized_distances_are_those_of_directions():
    """Vectors at right angles are 2 apart however long they are, opposite ones 4, parallel ones 0."""
    directions = np.asarray([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    lengths = np.asarray([3.0, 0.01, 700.0, 1.0], np.float32)
    maps = jnp.asarray(np.tile((lengths[:, None] * directions)[:, None, None], (1, 5, 2, 1)))
    loss = functools.partial(losses.triplet_reid_loss, maps, normalize=True)
    anchor = np.zeros(1, np.int32)
    for positive, negative, margin, expected in [
        (1, 2, 2.5, 0.5),
        (1, 3, 4.25, 0.25),
        (2, 3, 2.5, 0.5),
        (3, 2, 0.3, 2.3),
    ]:
        found = loss(int32(positive), int32(negative), anchor=anchor, margin=margin)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        halved = loss(int32(positive), int32(negative), anchor=anchor, margin=margin / 2, channel_reduction="mean")
        np.testing.assert_allclose(halved, expected / 2, rtol=1e-5)


def test_normalized_loss_equals_a_slow_loop():
    stream = np.random.RandomState(2)
    maps = stream.normal(size=(5, 2, 3, 4)).astype(np.float32)
    positive, negative = [1, 0, 2, 4, 3], [2, 3, 4, 3, 1]  # sample 2 has no positive, sample 3 no negative
    total = 0.0
    for a in (0, 1, 4):
        distance = {}
        for other in (positive[a], negative[a]):
            distance[other] = 0.0
            for row in range(2):
                for column in range(3):
                    u, v = (maps[i, row, column].astype(np.float64) for i in (a, other))
                    distance[other] += float(((u / np.sqrt(u @ u) - v / np.sqrt(v @ v)) ** 2).sum()) / 6
        total += max(0.0, distance[positive[a]] - distance[negative[a]] + 0.8)
    assert total > 0
    for factor in (1.0, 50.0):  # and the length of a map changes nothing
        loss = losses.triplet_reid_loss(
            jnp.asarray(factor * maps), int32(*positive), int32(*negative), margin=0.8, normalize=True
        )
        np.testing.assert_allclose(loss, total / 5, rtol=1e-5)


def test_normalized_gradient():
    arrays = (losses_test.GOLDEN[name] for name in ("maps", "positive", "negative"))
    loss = functools.partial(losses.triplet_reid_loss, normalize=True)
    losses_test.assert_gradient_is_right(loss, *arrays, eps=1e-3, atol=1e-3, modes=("rev",))


@pytest.mark.parametrize("length", [0.0, 1e-8])
def test_a_vector_without_direction_is_zero_and_has_no_gradient(length: float):
    maps = jnp.ones((3, 2, 2, 4)).at[0, 1, 1].set(length)
    unit = unit_vectors(maps.astype(jnp.bfloat16))
    assert unit.dtype == jnp.float32
    np.testing.assert_array_equal(unit[0, 1, 1], np.zeros(4))
    np.testing.assert_allclose(unit[1:], 0.5, rtol=1e-6)
    loss, gradient = value_and_gradient(losses.triplet_reid_loss, maps, int32(1, 0, 2), int32(2, 2, 0), normalize=True)
    # The first two images are 1/4 apart in squared length, averaged over positions; the third is like the second.
    np.testing.assert_allclose(loss, ((0.25 - 0.25 + 0.3) + (0.25 - 0.0 + 0.3)) / 3, rtol=1e-5)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[0, 1, 1], np.zeros(4))


def test_the_step_normalizes_each_block():
    batch = train_step_test.make_batch(0)
    settings = LossSettings(triplet_reid_normalize=True, triplet_reid_channels="sum", triplet_reid_margin=1.0)
    parts, output = train_step_test.reid_parts(batch, settings)
    pairs = losses.sample_triplets(jax.random.key(5), jnp.asarray(batch["label"]))
    maps = [map_ / jnp.linalg.norm(map_, axis=-1, keepdims=True) for map_ in output.decoder_maps[:3]]
    expected = sum(float(losses.triplet_reid_loss(map_, *pairs, margin=1.0)) for map_ in maps)
    assert expected > 0
    np.testing.assert_allclose(parts["triplet_reid"], expected, rtol=1e-5)


class DecodingModel(train_step_test.TinyModel):
    """The tiny model with maps that its decoder makes."""

    def __call__(self, images: jax.Array, *, train: bool = False) -> SANOutput:
        output = super().__call__(images, train=train)
        assert output.texture is not None
        texture = output.texture
        return output._replace(decoder_maps=(texture, jnp.tanh(texture), jnp.square(texture), texture))


def gradients_of(settings: LossSettings, *, alternating: bool = False) -> dict:
    """The gradients of a reID step: what plain descent of rate 1 subtracts from each parameter."""
    descent = optax.sgd(1.0)
    optimizer = optim.AlternatingOptimizer(descent, descent) if alternating else descent
    graphdef, state = train_state.create(DecodingModel(rngs=nnx.Rngs(0)), optimizer)
    step_settings = StepSettings(settings, train_step_test.NO_AUGMENT, texture_targets(), seed=0)
    before = jax.device_get(state.params)
    step = make_reid_step(graphdef, optimizer, step_settings)
    batch = train_step_test.make_batch(0)
    after, _ = compile_quickly(step, state, batch)(state, batch)
    return jax.tree.map(np.subtract, before, jax.device_get(after.params))


L_TR_ALONE = LossSettings(identification=0.0, triplet=0.0, reconstruction=0.0, triplet_reid_stop_gradient=True)


@pytest.mark.parametrize("alternating", [False, True])
def test_l_tr_that_is_stopped_trains_the_decoder_alone(alternating: bool):
    stopped = gradients_of(L_TR_ALONE, alternating=alternating)
    assert np.abs(stopped["decoder"]["kernel"]).max() > 1e-3
    for name in ("encoder", "norm", "classifier"):
        jax.tree.map(lambda gradient: np.testing.assert_array_equal(gradient, np.zeros_like(gradient)), stopped[name])


def test_a_stopped_l_tr_changes_nothing_else():
    """The decoder's gradients are those of the whole loss, all others those of the loss without L_TR."""
    whole, without = gradients_of(LossSettings()), gradients_of(LossSettings(triplet_reid=0.0))
    stopped = gradients_of(LossSettings(triplet_reid_stop_gradient=True))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, stopped, {**without, "decoder": whole["decoder"]})
    for name in ("encoder", "decoder"):
        assert np.abs(whole[name]["kernel"] - without[name]["kernel"]).max() > 1e-3
