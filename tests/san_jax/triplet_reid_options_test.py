"""Options of L_TR that the paper does not have: each against a closed form or a slow loop, and off by default."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, optim, sharding, train_state
from san_jax.losses.triplet_reid import squared_distances, unit_vectors
from san_jax.models import SANOutput
from san_jax.settings import LossSettings
from san_jax.train_step import StepSettings, make_reid_step, texture_targets
from tests.san_jax import losses_test, train_step_test
from tests.san_jax.losses_test import int32, value_and_gradient


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
    maps = np.random.RandomState(2).normal(size=(5, 2, 3, 4)).astype(np.float32)
    lengths = np.sqrt((maps.astype(np.float64) ** 2).sum(axis=-1, keepdims=True))
    total = losses_test.slow_triplet_reid(maps / lengths, margin=0.8)
    assert total > 0
    for factor in (1.0, 50.0):  # and the length of a map changes nothing
        loss = losses.triplet_reid_loss(
            jnp.asarray(factor * maps),
            int32(*losses_test.POSITIVE),
            int32(*losses_test.NEGATIVE),
            margin=0.8,
            normalize=True,
        )
        np.testing.assert_allclose(loss, total / 5, rtol=1e-5)


def test_normalized_gradient_is_that_of_the_chain_rule():
    """Along a vector nothing changes; across it, as much less as it is long."""
    maps, positive, negative = (losses_test.GOLDEN[name] for name in ("maps", "positive", "negative"))
    length = np.linalg.norm(maps.astype(np.float64), axis=-1, keepdims=True)
    unit, of_unit = maps / length, np.zeros(maps.shape)
    scale = 1.0 / (maps.shape[1] * maps.shape[2])
    for a, (p, n) in enumerate(zip(positive, negative, strict=True)):
        if scale * ((unit[a] - unit[p]) ** 2 - (unit[a] - unit[n]) ** 2).sum() + 0.3 > 0:
            of_unit[a] += 2 * scale * (unit[n] - unit[p]) / len(maps)
            of_unit[p] -= 2 * scale * (unit[a] - unit[p]) / len(maps)
            of_unit[n] += 2 * scale * (unit[a] - unit[n]) / len(maps)
    expected = (of_unit - unit * np.sum(unit * of_unit, axis=-1, keepdims=True)) / length
    arrays = map(jnp.asarray, (maps, positive, negative))
    _, gradient = value_and_gradient(losses.triplet_reid_loss, *arrays, normalize=True)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


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

    def __call__(self, images: jax.Array, *, train: bool = False, maps: str = "output") -> SANOutput:
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
    after, _ = step(state, batch)
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


LABELS = int32(5, 2, 5, 5, 2, 8, 2, 5)
CAMERAS = int32(0, 0, 1, 0, 0, 1, 0, 3)  # identity 2 was seen by one camera, identity 8 once


def test_positives_from_other_cameras_are_uniform_over_all_of_them():
    draws = 3000
    sample = jax.jit(jax.vmap(functools.partial(losses.sample_triplets, cameras=CAMERAS), in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(3), draws)
    positives, negatives = sample(keys, LABELS)
    for anchor in range(8):
        candidates = [i for i in range(8) if LABELS[i] == LABELS[anchor] and CAMERAS[i] != CAMERAS[anchor]]
        counts = np.bincount(positives[:, anchor], minlength=8)
        if not candidates:
            assert counts[anchor] == draws
            continue
        assert counts[candidates].sum() == draws
        expected = draws / len(candidates)
        assert np.abs(counts[candidates] - expected).max() < 5 * np.sqrt(expected)  # the key is fixed
    plain = jax.jit(jax.vmap(losses.sample_triplets, in_axes=(0, None)))(keys, LABELS)
    np.testing.assert_array_equal(negatives, plain[1])
    assert not np.array_equal(positives, plain[0])


def cross_camera_parts(cameras: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    """The losses of the tiny model's batch seen by these cameras, its labels and its first decoder map."""
    batch = {**train_step_test.make_batch(0), "camera_id": cameras.astype(np.int32)}
    settings = LossSettings(triplet_reid_cross_camera=True, triplet_reid_blocks=(1,), triplet_reid_margin=20.0)
    parts, output = train_step_test.reid_parts(batch, settings)
    return parts, batch["label"], np.asarray(output.decoder_maps[0], np.float64)


def test_an_anchor_without_another_camera_drops_out_of_the_mean():
    cameras = np.zeros(16, np.int64)
    cameras[[1, 6]] = 1, 2  # two of the four identities were seen by two cameras
    parts, labels, maps = cross_camera_parts(cameras)
    pairs = losses.sample_triplets(jax.random.key(5), jnp.asarray(labels), cameras=jnp.asarray(cameras, jnp.int32))
    violations = []
    for anchor, (positive, negative) in enumerate(zip(*map(np.asarray, pairs), strict=True)):
        if positive != anchor:
            near, far = (np.mean((maps[anchor] - maps[other]) ** 2) for other in (positive, negative))
            violations.append(max(near - far + 20.0, 0.0))
    assert len(violations) == 8
    np.testing.assert_allclose(parts["triplet_reid"], np.mean(violations), rtol=1e-5)


def test_a_batch_of_one_camera_has_no_loss_and_no_gradient():
    assert float(cross_camera_parts(np.full(16, 3))[0]["triplet_reid"]) == 0.0
    maps = jnp.asarray(np.random.RandomState(0).normal(size=(8, 2, 2, 3)), jnp.float32)
    pairs = losses.sample_triplets(jax.random.key(0), LABELS, cameras=jnp.zeros_like(CAMERAS))
    loss, gradient = value_and_gradient(
        losses.triplet_reid_loss, maps, *pairs, anchor_reduction="mean_of_complete", normalize=True
    )
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(maps))


def test_across_cameras_needs_cameras():
    with pytest.raises(ValueError, match="triplet_reid_cross_camera needs the camera of each image"):
        train_step_test.reid_parts(train_step_test.make_batch(0), LossSettings(triplet_reid_cross_camera=True))


def test_across_cameras_on_two_devices_equals_one():
    mesh = sharding.make_mesh(jax.devices()[:2])
    maps = np.random.default_rng(3).normal(size=(8, 3, 2, 5)).astype(np.float32)
    labels, cameras = int32(0, 0, 1, 1, 2, 2, 3, 3), int32(0, 1, 0, 0, 2, 1, 1, 1)
    pairs = losses.sample_triplets(jax.random.key(0), labels, cameras=cameras, groups=2)
    loss = functools.partial(losses.triplet_reid_loss, anchor_reduction="mean_of_complete")
    expected = loss(jnp.asarray(maps), *pairs)
    found = jax.jit(functools.partial(loss, mesh=mesh))(jax.device_put(maps, sharding.batch_sharding(mesh)), *pairs)
    assert expected > 0
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_each_block_has_its_weight_in_the_order_of_the_blocks():
    batch = train_step_test.make_batch(0)
    settings = LossSettings(triplet_reid_blocks=(4, 2), triplet_reid_margin=20.0, triplet_reid_block_weights=(0.5, 3.0))
    parts, output = train_step_test.reid_parts(batch, settings)
    pairs = losses.sample_triplets(jax.random.key(5), jnp.asarray(batch["label"]))
    loss = functools.partial(losses.triplet_reid_loss, margin=20.0, channel_reduction="mean")
    expected = 0.5 * loss(output.decoder_maps[3], *pairs) + 3.0 * loss(output.decoder_maps[1], *pairs)
    assert expected > 0
    np.testing.assert_allclose(parts["triplet_reid"], expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.0, -0.5), (0.0, 0.0, 0.0), (1.0, 1.0, float("inf"))])
def test_impossible_weights_of_blocks_are_refused(weights: tuple[float, ...]):
    with pytest.raises(ValueError, match=r"a weight of 0 or more for each of triplet_reid_blocks, not all 0, found"):
        LossSettings(triplet_reid_block_weights=weights)


def test_a_loss_without_weight_has_no_part_in_the_gradient():
    """It is worked out for the log, and no gradient of it, which would be 0 times what it is."""

    class EndlessMaps(train_step_test.TinyModel):
        def __call__(self, images, *, train=False, maps="output"):
            output = super().__call__(images, train=train, maps=maps)
            return output._replace(decoder_maps=tuple(jnp.exp(1e4 + one) for one in output.decoder_maps))

    graphdef, state = train_state.create(EndlessMaps(rngs=nnx.Rngs(0)), optax.sgd(1e-3))
    settings = StepSettings(LossSettings(triplet_reid=0.0), train_step_test.NO_AUGMENT, texture_targets(), 0)
    state, metrics = make_reid_step(graphdef, optax.sgd(1e-3), settings)(state, train_step_test.make_batch(0))
    assert not np.isfinite(metrics["triplet_reid"])
    assert np.isfinite(metrics["loss"])
    assert np.isfinite(metrics["gradient_norm"])
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(np.isfinite(leaf), True), jax.device_get(state.params))
