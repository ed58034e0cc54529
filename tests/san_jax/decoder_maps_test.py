"""The maps of a decoder block that L_TR may compare: before and after its batch normalisation, after its ReLU."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, train_state
from san_jax.models import SANOutput, merge_model, split_model
from san_jax.models.decoder import TextureDecoder, UpsamplingBlock, upsampled_conv
from san_jax.settings import DECODER_MAPS, LossSettings
from san_jax.train_step import StepSettings, make_pit_step, make_reid_step, texture_targets
from tests.san_jax import train_step_test


class MapModel(train_step_test.TinyModel):
    """The tiny model, whose maps are three times as large where others than the outputs are asked for."""

    def __call__(self, images: jax.Array, *, train: bool = False, maps: str = "output") -> SANOutput:
        output = super().__call__(images, train=train)
        factor = 1.0 if maps == "output" else 3.0
        return output._replace(decoder_maps=tuple(factor * one for one in output.decoder_maps))


def test_places_of_a_block():
    """Each place follows from the one before by the block's layers, batch normalisation worked out in NumPy."""
    block = UpsamplingBlock(8, 6, compute_dtype=jnp.float32, rngs=nnx.Rngs(0))
    scale, bias = np.linspace(0.5, 2.0, 8), np.linspace(-1.0, 1.0, 8)
    block.bn2.norm.scale.set_value(jnp.asarray(scale, jnp.float32))
    block.bn2.norm.bias.set_value(jnp.asarray(bias, jnp.float32))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 8)), jnp.float32)
    found = {}
    for place in DECODER_MAPS:
        output, found[place] = block(x, train=True, maps=place)
        np.testing.assert_array_equal(output, found["output"])
    first = block.bn1(block.conv1(x), train=True, relu=True)
    np.testing.assert_allclose(found["before_norm"], block.conv2(first), rtol=1e-5, atol=1e-5)
    before = np.asarray(found["before_norm"], np.float64)
    normalized = (before - before.mean((0, 1, 2))) / np.sqrt(before.var((0, 1, 2)) + 1e-5) * scale + bias
    np.testing.assert_allclose(found["after_norm"], normalized, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["after_relu"], np.maximum(normalized + x, 0.0), rtol=1e-4, atol=1e-5)
    enlarged = upsampled_conv(block.up_conv, found["after_relu"])
    np.testing.assert_allclose(found["output"], enlarged, rtol=1e-5, atol=1e-5)


def test_the_decoder_gives_the_maps_of_a_place_and_the_same_texture():
    """Bit for bit: which maps are asked for changes no texture, and the outputs are what is given unasked."""
    decoder = TextureDecoder(16, width=2, texture_size=16, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 2, 16)), jnp.float32)
    texture, outputs = decoder(x)
    assert [one.shape for one in outputs] == [(2, 4, 4, 8), (2, 8, 8, 8), (2, 16, 16, 8), (2, 32, 32, 8)]
    for place in DECODER_MAPS:
        again, maps = decoder(x, maps=place)
        np.testing.assert_array_equal(again, texture)
        if place == "output":
            jax.tree.map(np.testing.assert_array_equal, maps, outputs)
        else:
            assert [one.shape for one in maps] == [(2, 2, 2, 16), (2, 4, 4, 8), (2, 8, 8, 8), (2, 16, 16, 8)]
    with pytest.raises(ValueError, match=r"maps must be one of output, before_norm, .* found 'relu'"):
        decoder(x, maps="relu")


def state_after(kind: str, settings: LossSettings):
    """Parameters and metrics of the first step of a kind, and the batch that it took."""
    make_step = {"reid": make_reid_step, "pit": make_pit_step}[kind]
    optimizer = optax.sgd(1.0)
    graphdef, state = train_state.create(MapModel(rngs=nnx.Rngs(0)), optimizer)
    step = make_step(graphdef, optimizer, StepSettings(settings, train_step_test.NO_AUGMENT, texture_targets(), seed=0))
    new, metrics = step(state, train_step_test.make_batch(0))
    return jax.device_get(new.params), jax.device_get(metrics)


def test_the_step_compares_the_maps_it_is_told():
    """Without a margin, maps three times as large are nine times as far apart."""
    _, plain = state_after("reid", LossSettings(triplet_reid_margin=0.0))
    assert plain["triplet_reid"] > 0
    for place in DECODER_MAPS[1:]:
        _, changed = state_after("reid", LossSettings(triplet_reid_margin=0.0, triplet_reid_maps=place))
        np.testing.assert_allclose(changed["triplet_reid"], 9.0 * plain["triplet_reid"], rtol=1e-5)
        for part in ("identification", "triplet", "reconstruction"):
            assert changed[part] == plain[part]


def test_pit_steps_know_nothing_of_it():
    plain, _ = state_after("pit", LossSettings())
    changed, _ = state_after("pit", LossSettings(triplet_reid_maps="after_relu"))
    jax.tree.map(np.testing.assert_array_equal, changed, plain)


def test_l_tr_of_maps_before_and_after_normalisation_differs():
    """And each has a gradient into the block's last convolution, which all of them follow."""
    decoder = TextureDecoder(16, width=2, texture_size=16, rngs=nnx.Rngs(0))
    graphdef, params, statistics = split_model(decoder)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 16)), jnp.float32)
    pairs = (jnp.asarray([1, 0, 3, 2], jnp.int32), jnp.asarray([2, 3, 0, 1], jnp.int32))

    def l_tr(params, place):
        _, maps = merge_model(graphdef, params, statistics)(x, train=True, maps=place)
        return losses.triplet_reid_loss(maps[0], *pairs, margin=20.0)

    values = []
    for place in DECODER_MAPS:
        value, gradient = jax.value_and_grad(l_tr)(params, place)
        assert np.any(gradient["block1"]["conv2"]["kernel"])
        values.append(float(value))
    assert len(set(values)) == len(values)


def test_an_unknown_place_is_refused():
    with pytest.raises(ValueError, match=r"triplet_reid_maps must be one of output, .* found 'relu'"):
        LossSettings(triplet_reid_maps="relu")
