"""SA-Enc, SA-Dec and SAN: against PyTorch (tests/golden/make_networks.py), by shape and count, and under jit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import losses, optim
from san_jax.models import SAN, ResNet, SANOutput, batch_statistics, merge_model, parameter_count, split_model
from san_jax.models.decoder import resize_bilinear_corners, upsample_bilinear
from tests.golden.weights import draw, inputs, load

WIDTH, STAGE_SIZES, TEXTURE_SIZE = 4, (1, 2, 1, 1), 20


GOLDEN = load("networks.npz")


def map_named(function: Callable[[str, Any], Any], tree: dict) -> dict:
    """Maps function(dotted name, leaf) over a nested dict."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function(".".join(entry.key for entry in path), leaf), tree
    )


def tiny_san(num_classes: int = 0, **changes: Any) -> SAN:
    arguments = {"width": WIDTH, "stage_sizes": STAGE_SIZES, "texture_size": TEXTURE_SIZE, **changes}
    return SAN(num_classes, **arguments, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def fresh() -> tuple[Any, dict, dict]:
    """A tiny SAN of 50 identities with its initial weights, taken apart, the arrays on the host."""
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: tiny_san(50)))
    draw_weights = jax.jit(lambda: split_model(tiny_san(50))[1:])
    return graphdef, *jax.tree.map(np.asarray, draw_weights())


@pytest.fixture(scope="module")
def drawn() -> tuple[Any, dict, dict]:
    """A tiny SAN-PG with the golden file's weights, taken apart."""
    graphdef, params, batch_stats = nnx.split(nnx.eval_shape(tiny_san), nnx.Param, nnx.BatchStat)
    fill = lambda state: map_named(  # noqa: E731
        lambda name, leaf: jnp.asarray(draw(name, leaf.shape)), nnx.to_pure_dict(nnx.as_pure(state))
    )
    return graphdef, fill(params), fill(batch_stats)


@pytest.fixture(scope="module", params=["eval", "train"])
def passed(request: pytest.FixtureRequest, drawn: tuple[Any, dict, dict]) -> tuple[str, dict[str, np.ndarray], dict]:
    """Mode, everything that the golden file holds as computed here, and the batch statistics afterwards."""
    graphdef, params, batch_stats = drawn
    mode = request.param
    texture_weights = jnp.asarray(inputs("texture_weights", (3, TEXTURE_SIZE, TEXTURE_SIZE, 3)))
    images = jnp.asarray(inputs("images", (3, 48, 32, 3)))

    def scalar(params: dict, shift: jax.Array) -> tuple[jax.Array, Any]:
        model = merge_model(graphdef, params, batch_stats)
        stages = model.encoder(images, train=mode == "train")
        feature_map = stages.stage4 + shift
        texture, maps = model.decode(feature_map, train=mode == "train")
        embedding = jnp.mean(feature_map, axis=(1, 2))
        value = jnp.mean(texture_weights * texture) + jnp.mean(maps[2] ** 2) + jnp.mean(embedding**2)
        found = {"scalar": value, "texture": texture, "embedding": embedding, **stages._asdict()}
        found |= {f"d{i + 1}_channel_mean": d.mean(axis=-1, keepdims=True) for i, d in enumerate(maps)}
        if mode == "eval":
            found["d2"] = maps[1]
        return value, (found, batch_statistics(model))

    shift = jnp.zeros((3, 3, 2, 32 * WIDTH))
    if mode == "eval":
        _, (found, after) = jax.jit(scalar)(params, shift)
    else:
        (_, (found, after)), (gradients, found_gradient) = jax.jit(
            jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)
        )(params, shift)
        found["feature_map_gradient"] = found_gradient

        def keep_gradient(name: str, gradient: jax.Array) -> None:
            gradient = np.asarray(gradient)
            found[f"gradient.{name}"] = np.abs(gradient).sum(axis=(0, 1, 2)) if gradient.ndim == 4 else gradient

        map_named(keep_gradient, gradients)
    return mode, {f"{mode}.{name}": np.asarray(array) for name, array in found.items()}, after


def test_forward_and_backward_equal_pytorch(passed: tuple[str, dict[str, np.ndarray], dict]):
    """Stages, embedding, decoder maps and texture in both modes, and the gradient of every parameter."""
    mode, found, _ = passed
    statistics = (".mean", ".var", ".count")
    expected = {name for name in GOLDEN if name.startswith(f"{mode}.") and not name.endswith(statistics)}
    assert found.keys() == expected
    for name, array in found.items():
        reference = GOLDEN[name]
        # float32 through some 20 layers, relative to the largest number of the array (measured: 2e-6 in eval mode). Batch
        # statistics over as few as 18 numbers, and the gradients through them, lose about one digit more each.
        tolerance = {"eval": 1e-5, "train": 4e-5}[mode] * (5 if "gradient" in name else 1)
        np.testing.assert_allclose(array, reference, rtol=0, atol=tolerance * np.abs(reference).max(), err_msg=name)


def test_running_statistics_equal_pytorch(passed: tuple[str, dict[str, np.ndarray], dict], drawn: tuple):
    mode, _, after = passed
    _, _, before = drawn
    compared = []

    def compare(name: str, leaf: jax.Array) -> None:
        start = draw(name, leaf.shape)
        if mode == "eval":
            np.testing.assert_array_equal(leaf, start, err_msg=name)
        else:
            expected = GOLDEN[f"train.{name}"]
            if name.endswith(".var"):  # PyTorch adds 0.1 of the unbiased variance, n / (n - 1) times the biased one
                n = GOLDEN[f"train.{name.removesuffix('.var')}.count"]
                expected = 0.9 * start + (expected - 0.9 * start) * (n - 1) / n
            np.testing.assert_allclose(leaf, expected, rtol=2e-5, atol=2e-6, err_msg=name)
        compared.append(name)

    map_named(compare, after)
    assert len(compared) == len(jax.tree.leaves(before)) == sum(n.endswith((".mean", ".var")) for n in GOLDEN)


def test_parameter_counts_of_the_real_networks():
    """ResNet-50 has 25,557,032 parameters in torchvision, 2,049,000 of them in its classifier of 1000 classes."""
    model = nnx.eval_shape(lambda: SAN(751, rngs=nnx.Rngs(0)))
    assert parameter_count(model.encoder) == 25_557_032 - 2_049_000
    assert parameter_count(model.classifier) == 751 * 2048 + 751
    # 1x1: 2048*512; block of a to b channels: 2*9*a*a + 9*a*b + b; 7x7; batch normalisation: 2 per channel.
    blocks = [(512, 256), (256, 64), (64, 32), (32, 16)]
    decoder = 2048 * 512 + 2 * 512 + sum(18 * a * a + 9 * a * b + b + 4 * a for a, b in blocks) + 49 * 16 * 3 + 3
    assert parameter_count(model.decoder) == decoder
    assert 0.3 < decoder / parameter_count(model.encoder) < 0.4  # the paper: "about 1/3"


def test_resnet101_parameter_count():
    encoder = nnx.eval_shape(lambda: ResNet(stage_sizes=(3, 4, 23, 3), rngs=nnx.Rngs(0)))
    assert parameter_count(encoder) == 44_549_160 - 2_049_000  # torchvision's count


def output_shapes(size: tuple[int, int], **arguments: Any) -> SANOutput:
    """Shapes of a training pass over two images, nothing computed."""
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    return jax.eval_shape(lambda images: SAN(**arguments, rngs=nnx.Rngs(0))(images, train=True), images)


def test_shapes_of_the_real_network():
    """256x128 gives f_e4 of 16x8x2048 and a texture of 256x256 (section 3.2)."""
    output = output_shapes((256, 128), num_classes=751)
    assert output.feature_map.shape == (2, 16, 8, 2048)
    assert output.embedding.shape == (2, 2048)
    assert output.logits.shape == (2, 751)
    assert output.texture.shape == (2, 256, 256, 3)
    assert [d.shape[1:] for d in output.decoder_maps] == [(32, 16, 256), (64, 32, 64), (128, 64, 32), (256, 128, 16)]


def test_small_images_are_resized_to_the_texture():
    output = output_shapes((128, 64), num_classes=0, width=16, texture_size=64)
    assert output.feature_map.shape == (2, 8, 4, 512)
    assert output.decoder_maps[3].shape == (2, 128, 64, 8)
    assert output.texture.shape == (2, 64, 64, 3)
    assert output.logits is None


def test_baseline_has_no_decoder():
    output = output_shapes((64, 32), num_classes=5, width=WIDTH, stage_sizes=(1, 1, 1, 1), decoder=False)
    assert output.texture is None
    assert output.decoder_maps == ()
    assert output.logits.shape == (2, 5)
    model = nnx.eval_shape(lambda: tiny_san(decoder=False))
    with pytest.raises(ValueError, match="decoder=True"):
        model.decode(jnp.zeros((1, 2, 2, 32 * WIDTH)))


def test_bfloat16_computes_low_and_keeps_float32(drawn: tuple[Any, dict, dict]):
    """bfloat16 activations, float32 parameters, statistics, embedding and texture; near PyTorch's float64 results."""
    _, params, batch_stats = drawn
    graphdef, _ = nnx.split(nnx.eval_shape(lambda: tiny_san(compute_dtype=jnp.bfloat16)))
    images = jnp.asarray(inputs("images", (3, 48, 32, 3)))

    def forward() -> tuple[SANOutput, jax.Array, dict]:
        model = merge_model(graphdef, params, batch_stats)
        output = model(images)
        return output, model.encode(images, train=True)[1], batch_statistics(model)

    output, train_embedding, statistics = jax.jit(forward)()
    assert output.feature_map.dtype == jnp.bfloat16
    assert all(d.dtype == jnp.bfloat16 for d in output.decoder_maps)
    assert output.embedding.dtype == output.texture.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(statistics)} == {jnp.dtype(jnp.float32)}
    # 8 bits of mantissa, some 20 layers: about a per cent.
    for found, name in (
        (output.embedding, "eval.embedding"),
        (output.texture, "eval.texture"),
        (train_embedding, "train.embedding"),
    ):
        assert np.abs(found - GOLDEN[name]).mean() < 0.03 * np.abs(GOLDEN[name]).mean(), name
    # The first statistics are of a single convolution and averaged over hundreds of numbers.
    np.testing.assert_allclose(
        statistics["encoder"]["bn1"]["norm"]["mean"], GOLDEN["train.encoder.bn1.norm.mean"], rtol=0.01, atol=1e-3
    )


def test_fresh_weights_are_float32_and_drawn_as_documented(fresh: tuple[Any, dict, dict]):
    _, params, batch_stats = fresh
    assert {leaf.dtype for leaf in jax.tree.leaves((params, batch_stats))} == {np.dtype(np.float32)}
    # Standard deviations of 9,216 and 6,400 normal numbers, known to 0.7 and 0.9 per cent.
    kernel = params["encoder"]["stage4"]["block1"]["conv2"]["kernel"]  # 3x3x32x32, fan out 9 * 32
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 32)), rtol=0.03)
    np.testing.assert_allclose(np.std(params["classifier"]["kernel"]), 0.01, rtol=0.04)
    np.testing.assert_array_equal(params["classifier"]["bias"], 0.0)
    np.testing.assert_array_equal(params["decoder"]["block2"]["bn1"]["norm"]["scale"], 1.0)
    np.testing.assert_array_equal(batch_stats["encoder"]["bn1"]["norm"]["var"], 1.0)


def test_functional_train_step(fresh: tuple[Any, dict, dict]):
    """The pattern of a train step: jit, value_and_grad over pure arrays, statistics carried along, donated state."""
    graphdef, first_params, first_statistics = fresh
    params, batch_stats = jax.tree.map(jnp.asarray, (first_params, first_statistics))
    optimizer = optim.adam(3e-3, weight_decay=0.0)
    labels = jnp.asarray([0, 0, 1, 1, 2, 2], jnp.int32)
    images = jnp.asarray(inputs("step_images", (6, 32, 32, 3)))
    targets = jnp.tanh(jnp.asarray(inputs("step_textures", (6, TEXTURE_SIZE, TEXTURE_SIZE, 3))))
    traces = []

    def loss_fn(params: dict, batch_stats: dict, key: jax.Array) -> tuple[jax.Array, dict]:
        traces.append(None)
        model = merge_model(graphdef, params, batch_stats)
        output = model(images, train=True)
        positive, negative = losses.sample_triplets(key, labels)
        loss = (
            losses.identification_loss(output.logits, labels)
            + losses.batch_hard_triplet_loss(output.embedding, labels)
            + losses.reconstruction_loss(output.texture, targets)
            + losses.triplet_reid_loss(output.decoder_maps[0], positive, negative)
        )
        return loss, batch_statistics(model)

    def step(params: dict, batch_stats: dict, state: Any, key: jax.Array) -> tuple[dict, dict, Any, jax.Array]:
        (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch_stats, key)
        changes, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, changes), batch_stats, state, loss

    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    state = optimizer.init(params)
    history = []
    for i in range(12):
        params, batch_stats, state, loss = jitted(params, batch_stats, state, jax.random.key(i))
        history.append(float(loss))
    assert len(traces) == 1  # batch statistics come back in the structure and types they went in
    assert jax.tree.structure(batch_stats) == jax.tree.structure(first_statistics)
    assert jax.tree.structure(params) == jax.tree.structure(first_params)
    for before, after in zip(jax.tree.leaves(first_statistics), jax.tree.leaves(batch_stats), strict=True):
        assert not np.array_equal(before, after)
    assert all(np.isfinite(history))
    assert np.mean(history[-3:]) < 0.8 * np.mean(history[:3]), history


def test_evaluation_writes_no_statistics_and_sees_each_image_alone(drawn: tuple[Any, dict, dict]):
    model = merge_model(*drawn)
    images = jnp.asarray(inputs("images", (3, 48, 32, 3)))
    encode = jax.jit(lambda images: merge_model(*drawn).encode(images)[1])
    together = encode(images)
    assert jax.tree.all(jax.tree.map(np.array_equal, batch_statistics(model), drawn[2]))
    np.testing.assert_allclose(together[:1], encode(images[:1]), rtol=1e-5, atol=1e-6)


def test_split_and_merge_are_inverse_with_string_keys(fresh: tuple[Any, dict, dict]):
    graphdef, params, batch_stats = fresh
    again, params_again, batch_stats_again = split_model(merge_model(graphdef, params, batch_stats))
    assert again == graphdef
    assert jax.tree.all(jax.tree.map(np.array_equal, (params, batch_stats), (params_again, batch_stats_again)))
    assert set(params) == {"encoder", "decoder", "classifier"}
    assert set(batch_stats) == {"encoder", "decoder"}
    for path, _ in jax.tree_util.tree_leaves_with_path((params, batch_stats)):
        assert all(isinstance(entry.key, str) for entry in path[1:])


def test_upsampling_equals_jax_image_resize():
    """jax.image.resize is bilinear with half-pixel centres, its weights renormalised at the border."""
    x = jnp.asarray(inputs("map", (2, 3, 5, 4)))
    np.testing.assert_allclose(upsample_bilinear(x), jax.image.resize(x, (2, 6, 10, 4), "bilinear"), atol=1e-6)


def test_corner_aligned_resizing_of_a_plane_is_exact():
    """Bilinear interpolation keeps a + b row + c column: corners map to corners, the rest in equal steps."""
    row, column = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, 5), indexing="ij")
    plane = jnp.asarray(2.0 + row - 3.0 * column, jnp.float32)[None, :, :, None]
    row, column = np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 1, 11), indexing="ij")
    resized = resize_bilinear_corners(plane, 4, 11)
    np.testing.assert_allclose(resized[0, :, :, 0], 2.0 + row - 3.0 * column, atol=1e-6)


def test_unnormalised_images_are_refused():
    model = nnx.eval_shape(lambda: tiny_san())
    with pytest.raises(TypeError, match="normalize_images"):
        jax.eval_shape(type(model).encode.__wrapped__, model, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": -1}, "found -1"),
        ({"texture_size": 1}, "at least 2 pixels, found 1"),
        ({"stage_sizes": (3, 4, 6)}, "4 positive block counts"),
        ({"stage_sizes": (3, 4, 0, 3)}, "4 positive block counts"),
        ({"width": 0}, "positive channel count"),
    ],
)
def test_impossible_networks_are_refused(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: SAN(**{"num_classes": 0, **arguments}, rngs=nnx.Rngs(0)))
