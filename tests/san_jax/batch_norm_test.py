"""Re-estimated BatchNorm statistics: against all numbers that each layer read, and against PyTorch's `update_bn`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from san_jax import batch_norm, embed
from san_jax.data.augment import normalize_images
from san_jax.inference import Encoder, Regressor
from san_jax.models import SAN, batch_statistics, merge_model, split_model
from san_jax.models.functional import flatten
from san_jax.models.layers import BatchNorm

SIZES = (4, 4, 3)  # of the batches


@pytest.fixture(scope="module")
def images():
    """Pictures that differ in brightness, so that the batches' means differ."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 128, (sum(SIZES), 48, 32, 3))
    return (noise + np.linspace(0, 127, sum(SIZES))[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return SAN(0, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, feature_size=6, bnneck=True, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def made(model, images):
    """The model with the statistics of all pictures."""
    return batch_norm.reestimate(model, in_batches(images))


@pytest.fixture(scope="module")
def read(model, images):
    """What each layer reads in passes of training, by its name: an array [positions, channels] for each batch."""
    graphdef, *state = split_model(model)

    @jax.jit
    def inputs(state, batch):
        found = {}
        copy = merge_model(graphdef, *state)
        names = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(copy)}
        call = BatchNorm.__call__

        def noting(layer, x, **options):
            found[names[id(layer)]] = x.reshape(-1, x.shape[-1])
            return call(layer, x, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchNorm, "__call__", noting)
            copy(normalize_images(batch), train=True)
        return found

    batches = [inputs(state, jnp.asarray(batch)) for batch in in_batches(images)]
    return {name: [np.asarray(batch[name], np.float64) for batch in batches] for name in batches[0]}


def in_batches(images, sizes=SIZES):
    return np.split(images, np.cumsum(sizes)[:-1])


def found_by_layer(model):
    """Mean and variance of each layer, by its name."""
    statistics = flatten(batch_statistics(model))
    names = {name.removesuffix(".norm.mean") for name in statistics if name.endswith(".norm.mean")}
    assert len(statistics) == 2 * len(names)
    return {name: (statistics[f"{name}.norm.mean"], statistics[f"{name}.norm.var"]) for name in names}


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_mean_and_variance_are_those_of_all_that_a_layer_read(made, read):
    found = found_by_layer(made)
    assert found.keys() == read.keys()
    assert {"encoder.bn1", "head.bn", "neck"} <= found.keys()
    for name, (mean, variance) in found.items():
        numbers = np.concatenate(read[name])
        assert_close(mean, numbers.mean(axis=0))
        assert_close(variance, numbers.var(axis=0))


def test_it_is_update_bn_of_pytorch_with_the_spread_of_the_batches(model, images, read):
    """torch.optim.swa_utils.update_bn: a cumulative average (momentum=None) of batch means and unbiased variances."""
    found = found_by_layer(batch_norm.reestimate(model, in_batches(images)[:2]))
    for name, batches in read.items():
        running_mean, running_var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
        for number, numbers in enumerate(batches[:2], 1):
            factor = 1.0 / number
            running_mean = (1 - factor) * running_mean + factor * numbers.mean(axis=0)
            running_var = (1 - factor) * running_var + factor * numbers.var(axis=0, ddof=1)
        count = len(batches[0])
        spread = np.var([numbers.mean(axis=0) for numbers in batches[:2]], axis=0)
        mean, variance = found[name]
        assert_close(mean, running_mean)
        assert_close(variance, running_var * (count - 1) / count + spread)


def test_the_first_layer_does_not_depend_on_the_batches(model, made, images):
    """Nothing before it was normalised by a batch; the batches' means differ, which an average of variances misses."""
    one = found_by_layer(batch_norm.reestimate(model, [images]))["encoder.bn1"]
    many = found_by_layer(made)["encoder.bn1"]
    for alone, together in zip(one, many, strict=True):
        assert_close(together, alone)


def test_nothing_else_changes(model, made, images):
    before = jax.tree.map(np.array, split_model(model)[1:])
    batch_norm.reestimate(model, in_batches(images))
    jax.tree.map(np.testing.assert_array_equal, split_model(model)[1:], before)
    graphdef, params, batch_stats = split_model(made)
    assert graphdef == split_model(model)[0]
    jax.tree.map(np.testing.assert_array_equal, params, before[0])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(batch_stats))
    ours, theirs = (embed.embed_images(one, images, batch_size=len(images)) for one in (made, model))
    assert np.abs(ours - theirs).max() > 1e-2


def test_the_decoder_is_re_estimated_too(images):
    with_decoder = SAN(3, width=2, stage_sizes=(1, 1, 1, 1), texture_size=16, rngs=nnx.Rngs(0))
    found = found_by_layer(batch_norm.reestimate(with_decoder, [images[:4, :32]]))
    fresh = found_by_layer(with_decoder)
    assert any(name.startswith("decoder.") for name in found)
    assert all(np.abs(found[name][1] - fresh[name][1]).max() > 1e-3 for name in found)


def test_at_inference_the_pictures_are_normalised(model, images):
    """All pictures in one batch: what training computes of it, inference then computes too."""
    made = batch_norm.reestimate(model, [images])

    @jax.jit
    def train(state, batch):
        return merge_model(split_model(model)[0], *state).encode(normalize_images(batch), train=True)[1]

    trained = train(split_model(model)[1:], images)
    found = embed.embed_images(made, images, batch_size=len(images))
    np.testing.assert_allclose(found, trained, rtol=1e-3, atol=1e-3)


def test_refusals(model, images):
    with pytest.raises(ValueError, match="There are no pictures to re-estimate statistics on"):
        batch_norm.reestimate(model, [])
    with pytest.raises(ValueError, match="A batch has 1 picture: a variance needs at least two"):
        batch_norm.reestimate(model, [images[:3], images[3:4]])
    graphdef, params, batch_stats = split_model(model)
    broken = merge_model(graphdef, jax.tree.map(lambda leaf: leaf * jnp.nan, params), batch_stats)
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        batch_norm.reestimate(broken, [images])
    with pytest.raises(ValueError, match="at least two pictures, found 1"):
        batch_norm.draw(1, 100, seed=0)
    assert sorted(map(len, batch_norm.draw(5, 5, seed=0, batch_size=2))) == [2, 3]  # no picture is left alone
    assert [len(batch) for batch in batch_norm.draw(3, 3, seed=0, batch_size=1)] == [3]


@pytest.mark.parametrize(
    ("available", "wanted", "sizes"),
    [(200, 130, [44, 43, 43]), (65, 100, [33, 32]), (64, 64, [64]), (2, 2, [2]), (500, 2, [2])],
)
def test_pictures_are_drawn_once_each_in_batches_of_nearly_one_size(available, wanted, sizes):
    drawn = batch_norm.draw(available, wanted, seed=3)
    assert [len(batch) for batch in drawn] == sizes
    places = np.concatenate(drawn)
    assert len(set(places.tolist())) == min(available, wanted)
    assert 0 <= places.min() <= places.max() < available
    np.testing.assert_array_equal(places, np.concatenate(batch_norm.draw(available, wanted, seed=3)))
    if available > 50:
        assert places.tolist() != np.concatenate(batch_norm.draw(available, wanted, seed=4)).tolist()


def test_pictures_are_read_as_at_test():
    """Encoded or not, resized and not augmented; labels are not looked at."""
    source = [{"image": np.full((96, 64, 3), 10 * number, np.uint8)} for number in range(6)]
    first, second = batch_norm.read_batches(source, "image", [np.array([4, 1]), np.array([0, 5, 2])], (48, 32))
    assert (first.dtype, first.shape, second.shape) == (np.uint8, (2, 48, 32, 3), (3, 48, 32, 3))
    assert first[:, 0, 0, 0].tolist() == [40, 10]
    assert second[:, -1, -1, 2].tolist() == [0, 50, 20]


def test_an_encoder_for_the_place_where_it_is_used(model, images):
    encoder = Encoder(model, (48, 32), "cosine", batch_size=len(images), step=7)
    made = encoder.reestimated(list(images), seed=1)
    assert (made.image_size, made.metric, made.batch_size, made.step) == ((48, 32), "cosine", len(images), 7)
    order = np.random.default_rng(1).permutation(len(images))
    expected = batch_norm.reestimate(model, [images[order]])
    jax.tree.map(np.testing.assert_array_equal, split_model(made.model)[2], split_model(expected)[2])
    assert made.identity["weights_sha256"] != encoder.identity["weights_sha256"]
    of_textures = dataclasses.replace(encoder, san_pg=Regressor(model, (48, 32), (32, 32), is_texture=True))
    with pytest.raises(ValueError, match="textures that a SAN-PG regresses"):
        of_textures.reestimated(images)
