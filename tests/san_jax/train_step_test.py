"""san_jax/train_step.py: what a step computes, that it compiles once, and that the number of devices changes nothing."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, optim, sharding, train_state
from san_jax.data.augment import augment_images, normalize_images, normalize_textures
from san_jax.models import SAN, SANOutput, merge_model
from san_jax.settings import AugmentSettings, LossSettings
from san_jax.train_step import (
    StepSettings,
    input_targets,
    make_pit_step,
    make_reid_step,
    reid_losses,
    texture_targets,
)

NUM_CLASSES, BATCH = 4, 16
MAKE_STEP = {"reid": make_reid_step, "pit": make_pit_step}
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

    def __call__(self, images: jax.Array, *, train: bool = False, maps: str = "output") -> SANOutput:
        del maps  # one linear layer has no other
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


def make_tiny(
    kind,
    *,
    num_devices=1,
    settings=LossSettings(),  # noqa: B008
    augment=NO_AUGMENT,
    seed=0,
    optimizer=smooth_optimizer(),  # noqa: B008
    targets=texture_targets(),  # noqa: B008
    ema_decay=0.0,
    triplet_reid_warmup_steps=0,
):
    mesh = sharding.make_mesh(jax.devices()[:num_devices])
    graphdef, state = train_state.create(TinyModel(rngs=nnx.Rngs(0)), optimizer, average=ema_decay > 0)
    state = jax.device_put(state, sharding.replicated(mesh))
    step_settings = StepSettings(
        settings, augment, targets, seed, ema_decay, triplet_reid_warmup_steps=triplet_reid_warmup_steps
    )
    return MAKE_STEP[kind](graphdef, optimizer, step_settings), state, mesh, graphdef


def augment_as_in_step(batch, settings, *, seed):
    """What the first step of a run makes of the images."""
    key, _ = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
    return jax.jit(functools.partial(augment_images, settings=settings))(key, jnp.asarray(batch["image"]))


def forward(graphdef, state, images):
    """The model's output in training mode."""
    return merge_model(graphdef, state.params, state.batch_stats)(images, train=True)


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


def test_the_weight_of_l_tr_rises_in_a_straight_line_and_stays():
    settings = LossSettings(identification=0.0, triplet=0.0, reconstruction=0.0, triplet_reid=0.3)
    step, state, _, _ = make_tiny("reid", settings=settings, triplet_reid_warmup_steps=4)
    batch = make_batch(0)
    for weight in (0.25, 0.5, 0.75, 1.0, 1.0):
        state, metrics = step(state, batch)
        assert float(metrics["triplet_reid"]) > 0
        np.testing.assert_allclose(metrics["loss"], 0.3 * weight * metrics["triplet_reid"], rtol=1e-6)


def test_paper_weights_are_the_defaults():
    """And all else is the paper's, but for the mean over channels, which is the released code's."""
    settings = LossSettings()
    weights = (settings.identification, settings.triplet, settings.reconstruction, settings.triplet_reid)
    assert weights == (0.5, 1.5, 1.0, 1.0)
    assert (settings.triplet_margin, settings.triplet_reid_margin, settings.triplet_reid_channels) == (0.3, 0.3, "mean")
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
    for kind, arguments, targets, message in [
        ("reid", {"num_classes": 0}, texture_targets(), "with a classifier"),
        ("pit", {"num_classes": 3, "decoder": False}, texture_targets(), "with a decoder"),
        ("reid", {}, None, "needs targets for it"),
        ("pit", {}, None, "needs targets for it"),
    ]:
        model = nnx.eval_shape(functools.partial(small_san, **arguments))
        graphdef, _ = train_state.create(model, optax.identity())
        step = MAKE_STEP[kind](graphdef, optim.adam(1.0), StepSettings(LossSettings(), NO_AUGMENT, targets, seed=0))
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
    optimizer = smooth_optimizer()
    graphdef, _ = train_state.create(nnx.eval_shape(small_san), optax.identity())
    initial = jax.device_get(jax.jit(lambda: train_state.create(small_san(), optimizer)[1])())
    settings = StepSettings(LossSettings(triplet_reid_channels="sum"), AugmentSettings(), texture_targets(), seed=0)
    step = make_reid_step(graphdef, optimizer, settings)

    def run_on(num_devices):
        mesh = sharding.make_mesh(jax.devices()[:num_devices])
        state = jax.device_put(initial, sharding.replicated(mesh))
        batches = [
            sharding.shard_batch(make_batch(seed, image_size=(32, 32), texture_size=(16, 16)), mesh)
            for seed in range(2)
        ]
        history = []
        for batch in batches:
            state, metrics = step(state, batch)
            history.append(jax.device_get(metrics))
        return history, jax.device_get(state)

    assert_devices_agree(run_on, others=(8,))  # each number compiles anew


def reid_parts(batch, settings):
    """The parts of a reID loss of the tiny model without augmentation, and the model's output."""
    graphdef, state = train_state.create(TinyModel(rngs=nnx.Rngs(0)), smooth_optimizer())
    output = forward(graphdef, state, normalize_images(jnp.asarray(batch["image"])))
    targets = normalize_textures(jnp.asarray(batch["texture"]))
    return reid_losses(output, batch, jax.random.key(5), settings, targets), output


def test_l_tr_takes_the_blocks_that_it_is_given():
    batch = make_batch(0)
    parts, output = reid_parts(batch, LossSettings(triplet_reid_blocks=(4, 2), triplet_reid_channels="sum"))
    pairs = losses.sample_triplets(jax.random.key(5), jnp.asarray(batch["label"]))
    expected = sum(float(losses.triplet_reid_loss(output.decoder_maps[block - 1], *pairs)) for block in (2, 4))
    np.testing.assert_allclose(parts["triplet_reid"], expected, rtol=1e-6)
    assert float(reid_parts(batch, LossSettings(triplet_reid_blocks=()))[0]["triplet_reid"]) == 0.0


def test_fixed_triplets_are_added_up():
    batch = make_batch(0)
    settings = LossSettings(
        triplet_reid_blocks=(1, 2, 3, 4), triplet_reid_sampling="fixed",
        triplet_reid_channels="mean", triplet_reid_margin=2.0,
    )  # fmt: skip
    parts, output = reid_parts(batch, settings)
    maps = [np.asarray(map_, np.float64) for map_ in output.decoder_maps]
    expected = 0.0
    for i in (0, 4, 8):  # the last identity has no next one
        pairs = [
            (i, i + 1, i, i + 4),
            (i + 1, i + 2, i + 1, i + 5),
            (i + 2, i + 3, i + 2, i + 6),
            (i, i + 3, i + 3, i + 4),
        ]
        for d, (a, p, b, n) in zip(maps, pairs, strict=True):
            expected += max(np.mean((d[a] - d[p]) ** 2) - np.mean((d[b] - d[n]) ** 2) + 2.0, 0.0)
    np.testing.assert_allclose(parts["triplet_reid"], expected, rtol=1e-5)
    assert np.isfinite(parts["triplet_reid"])

    batch["label"] = np.roll(batch["label"], 1)
    assert np.isnan(reid_parts(batch, settings)[0]["triplet_reid"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"triplet_reid_blocks": (0, 1)}, r"different numbers among 1, 2, 3, 4, found \(0, 1\)"),
        ({"triplet_reid_blocks": (1, 1)}, r"different numbers .* found \(1, 1\)"),
        ({"triplet_reid_sampling": "hard"}, "must be 'random' or 'fixed', found 'hard'"),
        ({"triplet_reid_scope": "host"}, "triplet_reid_scope must be one of auto, local, global, found 'host'"),
        ({"triplet_reid_channels": "max"}, "must be 'sum' or 'mean', found 'max'"),
        ({"triplet": -1.0}, "triplet is the weight of a loss, 0 or more, found -1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing must lie in 0..1, 1 excluded, found 1.0"),
        ({"triplet_reid_warmup_epochs": -1.0}, "triplet_reid_warmup_epochs must be 0 or more epochs, found -1.0"),
        ({"triplet_margin": -0.3}, "triplet_margin must be 0 or more, found -0.3"),
        ({"reconstruction_space": "lab"}, "reconstruction_space must be one of rgb, opponent, found 'lab'"),
        ({"reconstruction_chroma": 2.0}, "reconstruction_chroma needs reconstruction_space='opponent'"),
        ({"reconstruction_space": "opponent", "reconstruction_chroma": -1.0}, "must be 0 or more, found -1.0"),
    ],
)
def test_impossible_losses_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        # Past the annotations, which outside of tests nobody checks.
        LossSettings.__post_init__(types.SimpleNamespace(**{**vars(LossSettings()), **settings}))


def test_the_input_as_target():
    """The image as it was augmented, before it was erased."""
    augment = AugmentSettings(erase_probability=1.0)
    step, state, _, graphdef = make_tiny("pit", augment=augment, targets=input_targets, seed=2)
    batch = {"image": make_batch(0)["image"]}
    _, metrics = step(copy(state), batch)
    augmented = augment_as_in_step(batch, augment, seed=2)
    texture = forward(graphdef, state, augmented.image).texture
    np.testing.assert_allclose(metrics["reconstruction"], np.mean(np.abs(texture - augmented.clean)), rtol=1e-5)
    # As far off as the erased rectangles are large.
    assert np.mean(np.abs(augmented.image - normalize_images(jnp.asarray(batch["image"])))) > 0.1


@pytest.mark.parametrize("kind", ["reid", "pit"])
def test_the_textures_of_flipped_images_are_mirrored(kind):
    augment = dataclasses.replace(NO_AUGMENT, flip_probability=0.5, mirror_textures=True)
    mirror_map = np.random.default_rng(1).integers(0, 8, (8, 8, 2), np.uint16)
    step, state, _, graphdef = make_tiny(kind, augment=augment, targets=texture_targets(mirror_map), seed=2)
    batch = make_batch(0, image_size=(8, 8))
    _, metrics = step(copy(state), batch)
    augmented = augment_as_in_step(batch, augment, seed=2)
    flipped = np.asarray(augmented.flipped)
    assert 0 < flipped.sum() < BATCH
    mirrored = batch["texture"][:, mirror_map[..., 0], mirror_map[..., 1]]
    textures = np.where(flipped[:, None, None, None], mirrored, batch["texture"]) / 127.5 - 1.0
    expected = np.mean(np.abs(forward(graphdef, state, augmented.image).texture - textures))
    np.testing.assert_allclose(metrics["reconstruction"], expected, rtol=1e-5)


def test_an_average_is_kept_beside_the_weights():
    """A loop by hand, and the weights themselves are not touched by it."""
    step, state, _, _ = make_tiny("pit", ema_decay=0.5)
    plain_step, plain, _, _ = make_tiny("pit")
    expected = None
    for number in range(12):
        batch = make_batch(number)
        state, metrics = step(state, batch)
        plain, plain_metrics = plain_step(plain, batch)
        assert metrics == plain_metrics
        # The ramp reaches 1/2 after 9 steps; the first average is the weights.
        keep = min(0.5, number / (number + 9))
        new = jax.tree.map(
            lambda x: np.asarray(x, np.float64), {"params": state.params, "batch_stats": state.batch_stats}
        )
        expected = new if expected is None else jax.tree.map(lambda e, n: keep * e + (1 - keep) * n, expected, new)  # noqa: B023
    jax.tree.map(np.testing.assert_array_equal, state.params, plain.params)
    jax.tree.map(np.testing.assert_array_equal, state.batch_stats, plain.batch_stats)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), state.average, expected)
    assert not np.array_equal(state.average["params"]["decoder"]["kernel"], state.params["decoder"]["kernel"])
    assert plain.average == {}


def test_options_that_do_not_fit_are_refused():
    mirror = dataclasses.replace(NO_AUGMENT, mirror_textures=True)
    for options, message in [
        ({"augment": mirror, "targets": None}, "mirror_textures needs a decoder that reconstructs textures"),
        ({"augment": mirror, "targets": input_targets}, "mirror_textures needs a decoder that reconstructs textures"),
        ({"ema_decay": 1.0}, "ema_decay must lie in 0..1, 1 excluded .*, found 1.0"),
        ({"ema_decay": -0.1}, "ema_decay must lie in 0..1"),
    ]:
        with pytest.raises(ValueError, match=message):
            StepSettings(**{"loss": LossSettings(), "augment": NO_AUGMENT, "targets": None, "seed": 0} | options)
    averaging, with_average, _, _ = make_tiny("pit", ema_decay=0.9)
    plain, without, _, _ = make_tiny("pit")
    for step, state, message in [
        (averaging, without, "ema_decay=0.9 and a state that has no average"),
        (plain, with_average, "ema_decay=0.0 and a state that has an average"),
    ]:
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(step, state, make_batch(0))


def smooth_pair(*, reid=1e-3, reconstruction=2e-4):
    """Alternating optimizers with the given rates; see `smooth_optimizer`."""
    return optim.AlternatingOptimizer(
        optim.amsgrad(reid, eps=0.01), optim.adam(reconstruction, b1=0.5, weight_decay=0.0, eps=0.01)
    )


def test_alternating_optimizers_each_do_their_part():
    """The first as a step without the decoder's losses; the second as one without the others, after the first."""
    batch = make_batch(0)
    step, state, _, _ = make_tiny("reid", optimizer=smooth_pair())
    found, metrics = step(copy(state), batch)

    encoder_losses = LossSettings(reconstruction=0.0, triplet_reid=0.0)
    first_step, first_state, _, _ = make_tiny("reid", settings=encoder_losses)
    first, first_metrics = first_step(first_state, batch)
    decoder_losses = LossSettings(identification=0.0, triplet=0.0)
    second_step, second_state, _, _ = make_tiny("reid", settings=decoder_losses, optimizer=smooth_pair().reconstruction)
    # What the second optimizer finds: the first's weights, but the decoder as it was, and the same random numbers.
    updated = {**first.params, "decoder": state.params["decoder"]}
    second, second_metrics = second_step(dataclasses.replace(second_state, params=copy(updated)), batch)

    # A thousandth of a step of 1e-3: gradients that are zero up to rounding differ by that.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
    jax.tree.map(close, found.params["classifier"], first.params["classifier"])
    jax.tree.map(close, found.params["norm"], first.params["norm"])
    jax.tree.map(close, found.params["encoder"], second.params["encoder"])
    jax.tree.map(close, found.params["decoder"], second.params["decoder"])
    assert not np.array_equal(found.params["encoder"]["kernel"], first.params["encoder"]["kernel"])
    # The running statistics take the batch in once, as the first forward pass saw it.
    jax.tree.map(close, found.batch_stats, first.batch_stats)
    for name in ("identification", "triplet"):
        close(metrics[name], first_metrics[name])
    for name in ("reconstruction", "triplet_reid"):
        close(metrics[name], second_metrics[name], rtol=1e-5)
    close(metrics["loss"], first_metrics["loss"] + second_metrics["loss"], rtol=1e-5)


def test_a_pit_step_with_alternating_optimizers_leaves_the_classifier_alone():
    step, state, _, _ = make_tiny("pit", optimizer=smooth_pair())
    batch = make_batch(0)
    found, metrics = step(copy(state), batch)
    assert set(metrics) == {"loss", "reconstruction", "gradient_norm"}
    for name, changes in (("encoder", True), ("decoder", True), ("classifier", False), ("norm", False)):
        kernels = [jax.tree.leaves(params[name])[-1] for params in (state.params, found.params)]
        assert np.array_equal(*kernels) != changes, name
    jax.tree.map(np.testing.assert_array_equal, found.opt_state["reid"], state.opt_state["reid"])
    assert int(found.opt_state["reconstruction"].num_updates) == 1


def test_all_options_at_once_on_several_devices():
    """Compiled once, with donated state and no implicit transfer; the number of devices changes nothing."""
    settings = LossSettings(
        triplet_reid_sampling="fixed", triplet_reid_blocks=(1, 2, 3, 4), triplet_reid_channels="sum"
    )
    recolored = dataclasses.replace(NO_AUGMENT, recolor_probability=0.5, recolor_saturation=1.5)
    augment = dataclasses.replace(recolored, flip_probability=0.5, mirror_textures=True)
    mirror_map = np.random.default_rng(1).integers(0, 8, (8, 8, 2), np.uint16)
    options = {"settings": settings, "augment": augment, "targets": texture_targets(mirror_map), "ema_decay": 0.5}

    def run_on(num_devices):
        step, state, mesh, _ = make_tiny("reid", num_devices=num_devices, optimizer=smooth_pair(), **options)
        first, history = state, []
        for seed in range(3):
            batch = sharding.shard_batch(make_batch(seed, image_size=(8, 8)), mesh)
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, batch)
            history.append(jax.device_get(metrics))
        assert step._cache_size() == 1
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves((first.params, first.average)))
        return history, jax.device_get(state)

    assert_devices_agree(run_on, others=(8,))
