"""Embeddings and textures in batches: order, padding, devices, one compilation, and no decoder in the embedding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from san_jax import embed
from san_jax.data.augment import normalize_images
from san_jax.models import SAN, merge_model, split_model


@pytest.fixture(scope="module")
def model():
    return SAN(3, width=4, stage_sizes=(1, 1, 1, 1), texture_size=32, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (11, 48, 32, 3), np.uint8)


def test_batches_equal_one_by_one(model, images):
    encode = jax.jit(lambda image: model.encode(normalize_images(image))[1])
    expected = np.concatenate([encode(image[None]) for image in images])
    embeddings = embed.embed_images(model, images, batch_size=4)
    assert embeddings.dtype == np.float32
    # Other batch sizes sum a convolution in another order: float32 rounding of a few layers.
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(embeddings - embeddings[:1]).max() > 1e-3  # the images do not all embed alike


def test_padding_is_dropped_wherever_it_is(model, images):
    whole = embed.embed_images(model, images[:8], batch_size=4)
    valid = np.array([True, False, True, True])
    batches = [{"image": images[i : i + 4], "valid": valid} for i in (0, 4)]
    np.testing.assert_array_equal(embed.embed_batches(model, batches), whole[np.tile(valid, 2)])


def test_devices_agree(model, images):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    one = embed.embed_images(model, images, batch_size=8)
    four = embed.embed_images(model, images, batch_size=8, mesh=mesh)
    np.testing.assert_allclose(four, one, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="6 images cannot be split over 4 devices"):
        embed.embed_images(model, images, batch_size=6, mesh=mesh)


def test_flip_is_the_mean_of_image_and_mirror_image(model, images):
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    plain, mirror = (embed.embed_images(model, x, batch_size=4) for x in (images, mirrored))
    flipped = embed.embed_images(model, images, batch_size=4, flip=True)
    assert np.abs(plain - mirror).max() > 1e-3  # the encoder does tell an image from its mirror image
    assert flipped.dtype == np.float32
    # One compiled function in place of two: float32 rounding of a few layers.
    np.testing.assert_allclose(flipped, (plain + mirror) / 2, rtol=1e-4, atol=1e-5)
    of_mirrored = embed.embed_images(model, mirrored, batch_size=4, flip=True)
    np.testing.assert_allclose(of_mirrored, flipped, rtol=1e-4, atol=1e-5)
    batches = [{"image": images[:4], "valid": np.ones(4, bool)}]
    np.testing.assert_array_equal(embed.embed_batches(model, batches, flip=True), flipped[:4])


def test_flip_on_devices(model, images):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    one = embed.embed_images(model, images, batch_size=8, flip=True)
    four = embed.embed_images(model, images, batch_size=8, flip=True, mesh=mesh)
    np.testing.assert_allclose(four, one, rtol=1e-4, atol=1e-5)


def test_compiled_once(model, images):
    embed.embed_images(model, images, batch_size=4)
    compiled = embed._embed._cache_size()
    embed.embed_images(model, images[:5], batch_size=4)  # other images, and a last batch that is not full
    embed.embed_images(nnx.clone(model), images, batch_size=4)  # other parameters of the same shapes
    assert embed._embed._cache_size() == compiled


def test_encoder_alone_embeds(model, images):
    """The compiled embedding does not read one decoder or classifier parameter, and takes its baseline's work."""
    baseline = SAN(3, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))

    def flops(module):
        graphdef, *state = split_model(module)
        return embed._embed.lower(graphdef, state, images[:4]).compile().cost_analysis()["flops"]

    assert flops(model) == flops(baseline) > 0


def test_textures(model, images):
    textures = embed.regress_textures(model, images, batch_size=4)
    assert textures.shape == (11, 32, 32, 3)
    assert textures.dtype == np.uint8
    output = np.asarray(jax.jit(lambda x: model(normalize_images(x)).texture)(images))
    expected = (np.clip(output, -1, 1) + 1) * 127.5
    np.testing.assert_allclose(textures, expected, atol=0.5 + 0.02)  # rounded to the nearest of 256 levels


def test_textures_are_clipped(model, images):
    # Larger kernels and scales: the decoder has no output non-linearity, so its textures leave [-1, 1].
    graphdef, params, batch_stats = split_model(model)
    wild = merge_model(graphdef, jax.tree.map(lambda x: x * 2, params), batch_stats)
    output = np.asarray(jax.jit(lambda x: wild(normalize_images(x)).texture)(images))
    assert output.max() > 1.5
    assert output.min() < -1.5
    textures = embed.regress_textures(wild, images)
    assert (textures[output > 1.01] == 255).all()
    assert (textures[output < -1.01] == 0).all()


def test_no_images(model, images):
    with pytest.raises(ValueError, match="no images"):
        embed.embed_images(model, images[:0])


def test_weights_that_are_not_finite(model, images):
    graphdef, params, batch_stats = split_model(model)
    batch_stats["encoder"]["bn1"]["norm"]["var"] = jnp.full((4,), np.nan)
    with pytest.raises(ValueError, match="encoder/bn1/norm/var holds NaN or infinity: it comes from a run that div"):
        embed.embed_images(merge_model(graphdef, params, batch_stats), images)


def test_a_placed_model_is_checked_once_and_computes_the_same(model, images, monkeypatch):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    expected = embed.embed_images(model, images, batch_size=4, mesh=mesh)
    placed = embed.place(model, mesh)
    monkeypatch.setattr(embed, "split_model", lambda model: pytest.fail("the model was taken apart again"))
    for _ in range(2):
        np.testing.assert_array_equal(embed.embed_images(placed, images, batch_size=4), expected)
