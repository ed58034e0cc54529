"""L_TR within a device: which triplets are drawn, that the loss is the same, and that no decoder map is sent."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, sharding, train_state
from san_jax.settings import LossSettings
from san_jax.train_step import StepSettings, make_reid_step, texture_targets
from tests.san_jax import train_step_test as steps

# 8 identities x 2 images, which are cut into groups of 2 identities.
LABELS = np.repeat(np.asarray([6, 1, 4, 0, 7, 2, 5, 3], np.int32), 2)
GROUPS = 4


def tiny_model() -> steps.TinyModel:
    return steps.TinyModel(rngs=nnx.Rngs(0))


def mesh_of(num_devices: int) -> jax.sharding.Mesh:
    return sharding.make_mesh(jax.devices()[:num_devices])


def test_one_group_draws_as_ever():
    """The draw of the code before there were groups."""
    labels = jnp.asarray([5, 2, 5, 5, 2, 8, 2, 5], jnp.int32)
    positive, negative = losses.sample_triplets(jax.random.key(7), labels)
    np.testing.assert_array_equal(positive, [3, 4, 7, 0, 6, 5, 1, 2])
    np.testing.assert_array_equal(negative, [1, 0, 5, 4, 3, 2, 3, 1])


def test_drawn_uniformly_within_the_group():
    draws = 4000
    sample = jax.jit(jax.vmap(functools.partial(losses.sample_triplets, groups=GROUPS), in_axes=(0, None)))
    positive, negative = sample(jax.random.split(jax.random.key(1), draws), jnp.asarray(LABELS))
    for anchor in range(16):
        group = range(anchor // 4 * 4, anchor // 4 * 4 + 4)
        assert set(np.asarray(positive[:, anchor])) == {anchor ^ 1}  # the identity's other image
        counts = np.bincount(negative[:, anchor], minlength=16)
        others = [image for image in group if LABELS[image] != LABELS[anchor]]
        assert counts[others].sum() == draws
        assert abs(counts[others[0]] - draws / 2) < 5 * np.sqrt(draws / 4)  # 5 standard deviations; the key is fixed
    # The groups draw independently: two anchors at the same place of two groups agree half of the time.
    assert abs(np.mean(negative[:, 0] + 4 == negative[:, 4]) - 0.5) < 5 * np.sqrt(0.25 / draws)


def test_expected_loss_is_that_of_the_whole_batch():
    """Which identities share a device is as random as the sampler's order: mean over such orders and over draws."""
    draws = 4000
    stream = np.random.default_rng(0)
    maps = stream.normal(size=(16, 2, 2, 1)).astype(np.float32)
    maps += np.repeat(stream.normal(size=(8, 2, 2, 1)).astype(np.float32), 2, axis=0)
    squares = np.mean((maps[:, None] - maps[None]) ** 2, axis=(2, 3, 4))
    violations = [
        max(squares[a, a ^ 1] - squares[a, n] + 0.3, 0.0) for a in range(16) for n in range(16) if n // 2 != a // 2
    ]
    rows = np.stack([(2 * stream.permutation(8)[:, None] + np.arange(2)).reshape(16) for _ in range(draws)])

    @jax.jit
    @jax.vmap
    def loss(key: jax.Array, rows: jax.Array) -> jax.Array:
        pairs = losses.sample_triplets(key, jnp.asarray(LABELS), groups=GROUPS)
        return losses.triplet_reid_loss(jnp.asarray(maps)[rows], *pairs)

    found = loss(jax.random.split(jax.random.key(2), draws), jnp.asarray(rows))
    assert abs(np.mean(found) - np.mean(violations)) < 4 * np.std(found) / np.sqrt(draws)
    assert np.std(found) / np.sqrt(draws) < 0.02 * np.mean(violations)  # the comparison is that sharp


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_on_a_mesh_is_that_of_the_same_triplets(reduction):
    mesh = mesh_of(GROUPS)
    maps = np.random.default_rng(3).normal(size=(16, 3, 2, 5)).astype(np.float32)
    pairs = losses.sample_triplets(jax.random.key(0), jnp.asarray(LABELS), groups=GROUPS)
    loss = functools.partial(losses.triplet_reid_loss, anchor_reduction=reduction)
    expected, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(maps), *pairs)
    placed = jax.device_put(maps, sharding.batch_sharding(mesh))
    found, found_gradient = jax.jit(jax.value_and_grad(functools.partial(loss, mesh=mesh)))(placed, *pairs)
    assert expected > 0
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-6, atol=1e-7)


def test_one_device_of_a_mesh_is_the_whole_batch():
    """Bit for bit: a mesh of one device changes nothing."""
    maps = np.random.default_rng(3).normal(size=(16, 3, 2, 5)).astype(np.float32)
    pairs = losses.sample_triplets(jax.random.key(0), jnp.asarray(LABELS))
    one = losses.triplet_reid_loss(jnp.asarray(maps), *pairs, mesh=mesh_of(1))
    assert one == losses.triplet_reid_loss(jnp.asarray(maps), *pairs)


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_fixed_triplets_take_the_next_identity_within_the_group(block):
    """Only a group's last identity differs: its negative is of the group's first one. The batch's last has none."""
    anchor, positive, negative = losses.fixed_triplets(16, block)
    found = losses.fixed_triplets(16, block, groups=2)
    np.testing.assert_array_equal(found[0][:3], anchor)
    np.testing.assert_array_equal(found[1][:3], positive)
    np.testing.assert_array_equal(found[2][:3], negative - np.asarray([0, 8, 0]))
    assert found[0][3] == found[1][3] == found[2][3] == anchor[2] + 4
    maps = np.random.default_rng(4).normal(size=(16, 3, 2, 5)).astype(np.float32)
    loss = functools.partial(losses.triplet_reid_loss, anchor_reduction="sum", margin=20.0)
    expected = loss(jnp.asarray(maps), found[1][:3], found[2][:3], anchor=found[0][:3])
    placed = jax.device_put(maps, sharding.batch_sharding(mesh_of(2)))
    on_mesh = jax.jit(lambda maps: loss(maps, found[1], found[2], anchor=found[0], mesh=mesh_of(2)))(placed)
    assert expected > 3.0  # each of the three triplets counts
    np.testing.assert_allclose(on_mesh, expected, rtol=1e-5)  # sums in another order


def test_groups_that_do_not_divide_the_batch():
    with pytest.raises(ValueError, match="16 images cannot be cut into 3 equal groups"):
        losses.sample_triplets(jax.random.key(0), jnp.asarray(LABELS), groups=3)
    with pytest.raises(ValueError, match="a batch of 16 cut into 8 groups"):
        losses.fixed_triplets(16, 1, groups=8)


def collectives(
    make_model: Callable[[], nnx.Module], settings: LossSettings, *, is_local: bool
) -> tuple[set[str], list[tuple[int, ...]]]:
    """What the devices send each other in a compiled reID step on 8 devices, 2 identities x 4 images on each.

    Returns:
        The kinds of the collectives, and the shapes of what they hold beside gradients.
    """
    mesh = mesh_of(8)
    optimizer = steps.smooth_optimizer()
    graphdef, _ = train_state.create(nnx.eval_shape(make_model), optax.identity())
    step: Any = make_reid_step(
        graphdef,
        optimizer,
        StepSettings(settings, steps.NO_AUGMENT, texture_targets(), seed=0, triplet_mesh=mesh if is_local else None),
    )
    state = jax.eval_shape(lambda: train_state.create(make_model(), optimizer)[1])
    side = 16 if make_model is steps.small_san else 32
    batch = {
        "image": jax.ShapeDtypeStruct((64, 32, 32, 3), np.uint8),
        "texture": jax.ShapeDtypeStruct((64, side, side, 3), np.uint8),
        "label": jax.ShapeDtypeStruct((64,), np.int32),
    }

    def place(tree, where):
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree)

    lowered = step.lower(place(state, sharding.replicated(mesh)), place(batch, sharding.batch_sharding(mesh)))
    text = lowered.compile().as_text()
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
    lines = re.findall(rf"= (\(.*?\)|\S+) ({kinds})(?:-start)?\(", text)
    parameters = {leaf.shape for leaf in jax.tree.leaves(state)}
    shapes = [
        tuple(map(int, filter(None, shape.split(","))))
        for results, _ in lines
        for shape in re.findall(r"\w+\[([\d,]*)\]", results)
    ]

    def is_gradient(shape):  # of a parameter, or of the kernels that the decoder makes of it
        return shape in parameters or (len(shape) == 4 and max(shape[:2]) <= 3)

    return {kind for _, kind in lines}, [shape for shape in shapes if not is_gradient(shape)]


@pytest.mark.parametrize(
    ("make_model", "sampling"), [(steps.small_san, "random"), (tiny_model, "random"), (tiny_model, "fixed")]
)
def test_no_decoder_map_is_sent(make_model, sampling):
    """What is sent are sums (gradients, normalisation, losses), and what batch-hard mining and the draw gather."""
    kinds, shapes = collectives(make_model, LossSettings(triplet_reid_sampling=sampling), is_local=True)
    assert "all-reduce" in kinds
    assert kinds <= {"all-reduce", "all-gather"}
    assert max(map(np.prod, shapes)) <= 64 * 64, shapes  # 64 images, and embeddings of as many numbers
    assert max(map(len, shapes)) < 4, shapes  # no height and width


def test_maps_are_sent_where_triplets_may_lie_anywhere():
    """The test above can fail."""
    _, shapes = collectives(tiny_model, LossSettings(), is_local=False)
    assert max(map(np.prod, shapes)) >= 64 * 32 * 32  # a map of all images, as it is or in rows


def test_step_takes_the_triplets_of_its_devices():
    """The step of 2 devices has the loss of the same draw on one, computed without a mesh."""
    settings = LossSettings(triplet_reid_blocks=(2,), triplet_reid_margin=20.0)
    mesh = mesh_of(2)
    graphdef, state = train_state.create(tiny_model(), steps.smooth_optimizer())
    batch = steps.make_batch(0)
    output = steps.forward(graphdef, state, steps.normalize_images(jnp.asarray(batch["image"])))
    _, key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    pairs = losses.sample_triplets(key, jnp.asarray(batch["label"]), groups=2)
    expected = losses.triplet_reid_loss(output.decoder_maps[1], *pairs, margin=20.0, channel_reduction="mean")

    step = make_reid_step(
        graphdef,
        steps.smooth_optimizer(),
        StepSettings(settings, steps.NO_AUGMENT, texture_targets(), seed=0, triplet_mesh=mesh),
    )
    placed = jax.device_put(state, sharding.replicated(mesh))
    _, metrics = step(placed, sharding.shard_batch(batch, mesh))
    np.testing.assert_allclose(metrics["triplet_reid"], expected, rtol=1e-5)
    assert abs(float(expected) - 20.0) > 1e-3
