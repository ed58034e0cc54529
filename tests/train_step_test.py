"""san_jax/train_step.py: what a step computes, that it compiles once, and that the number of devices changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, optim, sharding, train_state
from san_jax.data.augment import AugmentSettings, normalize_images, normalize_textures
from san_jax.models import SAN, SANOutput, merge_model
from san_jax.train_step import LossSettings, make_step

NUM_CLASSES, BATCH = 4, 16
NO_AUGMENT = AugmentSettings(translate_probability=0.0, flip_probability=0.0, erase_probability=0.0)


# Adam moves an element by the learning rate however small its gradient, also where the gradient is zero up to rounding.
# With a large eps the update is a smooth function of the gradient, so that equal gradients give equal parameters.
smooth_optimizer = functools.partial(optim.amsgrad, 1e-3, eps=0.01)


class TinyModel(nnx.Module):
    """One of everything that a step meets, in a second of compilation: classifier, decoder maps, normalisation."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.encoder = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.classifier = nnx.Linear(4, NUM_CLASSES, rngs=rngs)
        self.decoder = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, images: jax.Array, *, train: bool = False) -> SANOutput:
        feature_map = self.norm(self.encoder(images), use_running_average=not train)
        embedding = jnp.mean(feature_map, axis=(1, 2))
        maps = (feature_map, jnp.tanh(feature_map), jnp.square(feature_map), 10.0 * feature_map)
        return SANOutput(feature_map, embedding, self.classifier(embedding), self.decoder(feature_map), maps, embedding)


def make_batch(seed: int, *, image_size=(8, 4), texture_size=None):
    rng = np.random.default_rng(seed)
    texture_size = texture_size or image_size
    return {
        "image": rng.integers(0, 256, (BATCH, *image_size, 3), np.uint8),
        "texture": rng.integers(0, 256, (BATCH, *texture_size, 3), np.uint8),
        "label": np.repeat(rng.permutation(NUM_CLASSES), BATCH // NUM_CLASSES).astype(np.int32),
    }


def make_tiny(kind, *, num_devices=1, settings=LossSettings(), augment=NO_AUGMENT, seed=0):  # noqa: B008
    mesh = sharding.make_mesh(jax.devices()[:num_devices])
    optimizer = smooth_optimizer()
    graphdef, state = train_state.create(TinyModel(rngs=nnx.Rngs(0)), optimizer)
    state = jax.device_put(state, sharding.replicated(mesh))
    step = make_step(kind, graphdef, optimizer, settings=settings, augment=augment, seed=seed)
    return step, state, mesh, graphdef


def copy(state):
    return jax.tree.map(jnp.copy, state)


def test_reid_step_is_the_weighted_sum_of_the_four_losses():
    settings = LossSettings(
        identification=0.7, triplet=1.1, reconstruction=0.4, triplet_reid=0.3,
        label_smoothing=0.2, triplet_margin=0.5, triplet_reid_margin=20.0, triplet_reid_channels="mean",
    )  # fmt: skip
    step, state, _, graphdef = make_tiny("reid", settings=settings, seed=3)
    batch = make_batch(0)
    _, metrics = step(copy(state), batch)

    output = merge_model(graphdef, state.params, state.batch_stats)(
        normalize_images(jnp.asarray(batch["image"])), train=True
    )
    labels = jnp.asarray(batch["label"])
    _, triplet_key = jax.random.split(jax.random.fold_in(jax.random.key(3), 0))
    positive, negative = losses.sample_triplets(triplet_key, labels)
    expected = {
        "identification": losses.identification_loss(output.logits, labels, label_smoothing=0.2),
        "triplet": losses.batch_hard_triplet_loss(output.embedding, labels, margin=0.5),
        "reconstruction": losses.reconstruction_loss(output.texture, normalize_textures(jnp.asarray(batch["texture"]))),
        "triplet_reid": sum(  # the first three of the four blocks
            float(losses.triplet_reid_loss(map_, positive, negative, margin=20.0, channel_reduction="mean"))
            for map_ in output.decoder_maps[:3]
        ),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    weighted = sum(getattr(settings, name) * float(value) for name, value in expected.items())
    np.testing.assert_allclose(metrics["loss"], weighted, rtol=1e-5)
    assert float(metrics["gradient_norm"]) > 0
    assert min(map(float, expected.values())) > 0


def test_paper_weights_are_the_defaults():
    settings = LossSettings()
    weights = (settings.identification, settings.triplet, settings.reconstruction, settings.triplet_reid)
    assert weights == (0.5, 1.5, 1.0, 1.0)
    assert (settings.triplet_margin, settings.triplet_reid_margin, settings.triplet_reid_channels) == (0.3, 0.3, "sum")
    assert settings.label_smoothing == 0.0


def test_pit_step_has_the_reconstruction_alone():
    step, state, _, graphdef = make_tiny("pit")
    batch = make_batch(0)
    del batch["label"]
    new_state, metrics = step(copy(state), batch)
    assert set(metrics) == {"loss", "reconstruction", "gradient_norm"}
    output = merge_model(graphdef, state.params, state.batch_stats)(
        normalize_images(jnp.asarray(batch["image"])), train=True
    )
    expected = np.mean(np.abs(np.asarray(output.texture) - (batch["texture"] / 127.5 - 1.0)))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    assert not np.array_equal(new_state.params["decoder"]["kernel"], state.params["decoder"]["kernel"])
    assert int(new_state.step) == 1


def test_running_statistics_are_those_of_the_batch():
    step, state, _, _ = make_tiny("pit")
    batch = make_batch(0)
    new_state, _ = step(copy(state), batch)
    weights = state.params["encoder"]
    features = normalize_images(jnp.asarray(batch["image"])) @ weights["kernel"] + weights["bias"][None, None, None]
    # Flax's momentum of nnx.BatchNorm: 0.99 of the old mean, which is 0
    np.testing.assert_allclose(
        new_state.batch_stats["norm"]["mean"], 0.01 * jnp.mean(features, axis=(0, 1, 2)), rtol=1e-4, atol=1e-7
    )


def test_random_numbers_come_from_seed_and_step_alone():
    augment = AugmentSettings(translate_probability=1.0, flip_probability=0.5, erase_probability=1.0)
    batch = make_batch(0)

    def losses_at(seed, at_steps):
        step, state, _, _ = make_tiny("pit", augment=augment, seed=seed)
        states = [dataclasses.replace(copy(state), step=jnp.asarray(number, jnp.int32)) for number in at_steps]
        return [float(step(state, batch)[1]["loss"]) for state in states]

    first, again, later = losses_at(0, [0, 0, 1])
    assert again == first
    assert later != first
    assert losses_at(1, [0]) != [first]


def test_compiled_once_with_donated_state_and_no_implicit_transfer():
    for kind in ("reid", "pit"):
        step, state, mesh, _ = make_tiny(kind, num_devices=2)
        first = state
        for seed in range(3):
            batch = sharding.shard_batch(make_batch(seed), mesh)
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, batch)
        assert step._cache_size() == 1
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.params))
        assert int(state.step) == 3
        assert all(np.isfinite(float(value)) for value in metrics.values())


def test_batch_without_the_model_for_it():
    with pytest.raises(ValueError, match="kind must be 'reid' or 'pit', found 'pg'"):
        make_step("pg", None, optim.adam(1.0), settings=LossSettings(), augment=NO_AUGMENT, seed=0)
    for kind, arguments, message in [
        ("reid", {"num_classes": 0}, "with a classifier"),
        ("pit", {"num_classes": 3, "decoder": False}, "with a decoder"),
    ]:
        model = nnx.eval_shape(functools.partial(small_san, **arguments))
        graphdef, _ = train_state.create(model, optax.identity())
        step = make_step(kind, graphdef, optim.adam(1.0), settings=LossSettings(), augment=NO_AUGMENT, seed=0)
        state = jax.eval_shape(
            lambda arguments=arguments: train_state.create(small_san(**arguments), optim.adam(1.0))[1]
        )
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(step, state, make_batch(0, image_size=(32, 32), texture_size=(16, 16)))


def small_san(*, num_classes=NUM_CLASSES, decoder=True):
    return SAN(
        num_classes, width=2, stage_sizes=(1, 1, 1, 1), texture_size=16, decoder=decoder, rngs=nnx.Rngs(0)
    )  # fmt: skip


def assert_devices_agree(run_on, *, others):
    """`run_on(num_devices)` gives the metrics of each step and the last state."""
    history, state = run_on(1)
    for num_devices in others:
        other_history, other_state = run_on(num_devices)
        for number, (one, other) in enumerate(zip(history, other_history, strict=True)):
            # Sums in another order; the second step starts from parameters that differ by a few roundings.
            for name in one:
                np.testing.assert_allclose(other[name], one[name], rtol=2e-4, err_msg=f"{name}, step {number}")
        other_params = train_state.flatten(other_state.params)
        for name, value in train_state.flatten(state.params).items():
            # 1 % of a step of 1e-3
            np.testing.assert_allclose(other_params[name], value, rtol=0, atol=1e-5, err_msg=name)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
        jax.tree.map(close, other_state.batch_stats, state.batch_stats)


@pytest.mark.parametrize("kind", ["reid", "pit"])
def test_number_of_devices_changes_nothing(kind):
    """Normalisation, batch-hard mining and the drawn triplets cover the global batch on 1, 2 and 8 devices."""

    def run_on(num_devices):
        step, state, mesh, _ = make_tiny(kind, num_devices=num_devices)
        history = []
        for seed in range(3):
            state, metrics = step(state, sharding.shard_batch(make_batch(seed), mesh))
            history.append(jax.device_get(metrics))
        return history, jax.device_get(state)

    assert_devices_agree(run_on, others=(2, 8))


def test_number_of_devices_changes_nothing_for_the_network_of_the_paper():
    """A narrow SAN, augmentation on: encoder, decoder and all losses."""
    # Compiled with little optimization, for time.
    options = {"xla_backend_optimization_level": 0}
    optimizer = smooth_optimizer()
    graphdef, _ = train_state.create(nnx.eval_shape(small_san), optax.identity())
    init = jax.jit(lambda: train_state.create(small_san(), optimizer)[1], compiler_options=options)
    initial = jax.device_get(init())
    step = make_step("reid", graphdef, optimizer, settings=LossSettings(), augment=AugmentSettings(), seed=0)

    def run_on(num_devices):
        mesh = sharding.make_mesh(jax.devices()[:num_devices])
        state = jax.device_put(initial, sharding.replicated(mesh))
        batches = [
            sharding.shard_batch(make_batch(seed, image_size=(32, 32), texture_size=(16, 16)), mesh)
            for seed in range(2)
        ]
        compiled = step.lower(state, batches[0]).compile(compiler_options=options)
        history = []
        for batch in batches:
            state, metrics = compiled(state, batch)
            history.append(jax.device_get(metrics))
        return history, jax.device_get(state)

    assert_devices_agree(run_on, others=(8,))  # each number compiles anew
