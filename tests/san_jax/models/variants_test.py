"""The networks' variants (DenseNet, U-Net skips, head, GeM, BNNeck): against PyTorch, by count and shape, and by name."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import train_state, train_step
from san_jax.models import SAN, DenseNet, SANOutput, batch_statistics, merge_model, parameter_count, split_model
from san_jax.models.layers import BatchNorm, GeneralizedMean
from san_jax.settings import AugmentSettings, LossSettings
from san_jax.train_state import flatten
from tests.golden.weights import draw, inputs, load

UNET: dict[str, Any] = {"encoder": "densenet121", "width": 8, "stage_sizes": (2, 1, 2, 1), "texture_size": (20, 12)}
HEADS: dict[str, dict[str, Any]] = {
    "gem": {"pooling": "gem"},
    "head": {"feature_size": 6},
    "bnneck": {"bnneck": True},
    "all": {"pooling": "gem", "feature_size": 6, "bnneck": True},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "densenet121": {"encoder": "densenet121"},
    "skips": {"skips": True},
    "densenet121_skips": {"encoder": "densenet121", "skips": True},
    **HEADS,
}


GOLDEN = load("variants.npz")


def golden_of(case: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{case}."): array for name, array in GOLDEN.items() if name.startswith(f"{case}.")}


def drawn(model: nnx.Module) -> tuple[Any, dict, dict]:
    """A model (or its shapes) taken apart, with the golden file's weights."""
    graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, batch_stats = (
        jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.asarray(draw(".".join(entry.key for entry in path), leaf.shape)),
            nnx.to_pure_dict(nnx.as_pure(state)),
        )
        for state in states
    )
    return graphdef, params, batch_stats


def compare(
    case: str, mode: str, found: dict[str, Any], gradients: dict, before: dict, after: dict, tolerance: float
) -> None:
    """Compares everything that the golden file has of a case; neither side may have more than the other."""
    golden = golden_of(f"{case}.{mode}")
    counts = {name.removesuffix(".count"): golden.pop(name) for name in list(golden) if name.endswith(".count")}
    for name, gradient in flatten(gradients).items():
        array = np.asarray(gradient)
        found[f"gradient.{name}"] = np.abs(array).sum(axis=(0, 1, 2)) if array.ndim == 4 else array
    start = flatten(before)
    for name, leaf in flatten(after).items():
        if mode == "eval":
            np.testing.assert_array_equal(leaf, start[name], err_msg=name)
        else:
            found[name] = leaf
            if name.endswith(".var"):  # PyTorch adds 0.1 of the unbiased variance, n / (n - 1) times the biased one
                n = counts[name.removesuffix(".var")]
                golden[name] = 0.9 * start[name] + (golden[name] - 0.9 * start[name]) * (n - 1) / n
    assert found.keys() == golden.keys()
    for name, reference in golden.items():
        limit = tolerance * (5 if "gradient" in name else 1) * np.abs(reference).max()
        if name == "gradient.head.linear.bias":  # 0 in train mode, for a batch normalisation follows: only rounding
            limit = 1e-6
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=limit, err_msg=f"{case} {mode} {name}")


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_densenet_and_unet_equal_pytorch(mode: str):
    """Stages, decoder maps and texture in both modes; the gradient of every parameter, and the running statistics."""
    graphdef, params, batch_stats = drawn(nnx.eval_shape(lambda: SAN(0, **UNET, skips=True, rngs=nnx.Rngs(0))))
    images = jnp.asarray(inputs("unet_images", (3, 48, 32, 3)))
    weights = jnp.asarray(inputs("unet_texture_weights", (3, 20, 12, 3)))

    def scalar(params: dict) -> tuple[jax.Array, Any]:
        model = merge_model(graphdef, params, batch_stats)
        stages = model.encoder(images, train=mode == "train")
        texture, maps = model.decode(stages.stage4, stages[1:4], train=mode == "train")
        value = (
            jnp.mean(weights * texture) + jnp.mean(maps[2] ** 2) + jnp.mean(jnp.mean(stages.stage4, axis=(1, 2)) ** 2)
        )
        found = {"scalar": value, "texture": texture, **stages._asdict()}
        found |= {f"d{i + 1}_channel_mean": d.mean(axis=-1, keepdims=True) for i, d in enumerate(maps)}
        return value, (found, batch_statistics(model))

    if mode == "eval":
        (_, (found, after)), gradients = jax.jit(scalar)(params), {}
    else:
        (_, (found, after)), gradients = jax.jit(jax.value_and_grad(scalar, has_aux=True))(params)
    # float32 through some 20 layers, relative to the largest number of an array; batch statistics over as few as 18
    # numbers, and the gradients through them, lose about one digit more each.
    compare("unet", mode, found, gradients, batch_stats, after, {"eval": 1e-5, "train": 4e-5}[mode])


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("case", HEADS)
def test_ways_from_feature_map_to_logits_equal_pytorch(case: str, mode: str):
    """Embedding, test embedding, logits; gradients of the feature map and of every parameter; running statistics."""
    model = nnx.eval_shape(
        lambda: SAN(5, width=1, stage_sizes=(1, 1, 1, 1), decoder=False, **HEADS[case], rngs=nnx.Rngs(0))
    )
    graphdef, params, batch_stats = drawn(model)
    encoder, batch_stats_of_encoder = params.pop("encoder"), batch_stats.pop("encoder")
    feature_map = nnx.relu(jnp.asarray(inputs("head_feature_map", (6, 2, 2, 32))))
    weights = jnp.asarray(inputs("head_logit_weights", (6, 5)))

    def scalar(params: dict, feature_map: jax.Array) -> tuple[jax.Array, Any]:
        model = merge_model(
            graphdef, {"encoder": encoder, **params}, {"encoder": batch_stats_of_encoder, **batch_stats}
        )
        embedding, test_embedding = model.embed(feature_map, train=mode == "train")
        logits = model.classifier(test_embedding)
        value = jnp.mean(weights * logits) + jnp.mean(embedding**3)
        found = {"scalar": value, "embedding": embedding, "test_embedding": test_embedding, "logits": logits}
        after = batch_statistics(model)
        del after["encoder"]
        return value, (found, after)

    (_, (found, after)), (gradients, found_gradient) = jax.jit(
        jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)
    )(params, feature_map)
    found["feature_map_gradient"] = found_gradient
    # float32 through four layers; BatchNorm over six numbers.
    compare(case, mode, found, gradients if mode == "train" else {}, batch_stats, after, 2e-6)


def tiny_san(num_classes: int = 5, **changes: Any) -> SAN:
    arguments = {"width": 2, "stage_sizes": (1, 1, 1, 1), "texture_size": 16, **changes}
    return SAN(num_classes, **arguments, rngs=nnx.Rngs(0))


def names_of(model: nnx.Module) -> tuple[set[str], set[str]]:
    """Dotted names of parameters and of running statistics."""
    params, batch_stats = (set(flatten(tree)) for tree in split_model(model)[1:])
    return params, batch_stats


def test_parameter_count_of_resnet101():
    """torchvision's 44,549,160, less the classifier's 2,049,000."""
    model = nnx.eval_shape(lambda: SAN(0, encoder="resnet101", decoder=False, rngs=nnx.Rngs(0)))
    assert parameter_count(model.encoder) == 42_500_160


def test_densenet121_in_the_released_network():
    """torchvision's 7,978,856 parameters, less the classifier's 1,025,000; 256x128 gives f_e4 of 16x8 as with a ResNet."""

    def forward(images: jax.Array) -> Any:
        model = SAN(7, encoder="densenet121", skips=True, feature_size=512, texture_size=(256, 128), rngs=nnx.Rngs(0))
        stages = model.encoder(images)
        embeddings = model.embed(stages.stage4)
        return stages, embeddings, *model.decode(stages.stage4, stages[1:4]), split_model(model.encoder)[1]

    images = jax.ShapeDtypeStruct((2, 256, 128, 3), jnp.float32)
    stages, embeddings, texture, maps, params = jax.eval_shape(forward, images)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 6_953_856
    assert [stage.shape[1:] for stage in stages] == [
        (64, 32, 64),
        (64, 32, 256),
        (32, 16, 512),
        (16, 8, 1024),
        (16, 8, 1024),
    ]
    assert [array.shape for array in embeddings] == [(2, 512), (2, 512)]
    assert texture.shape == (2, 256, 128, 3)
    assert [d.shape[1:] for d in maps] == [(32, 16, 256), (64, 32, 64), (128, 64, 32), (256, 128, 16)]


def test_densenet_leaves_odd_rows_and_columns_out_where_it_pools():
    """PyTorch's average pooling: 9 rows give 4."""
    images = jax.ShapeDtypeStruct((1, 70, 42, 3), jnp.float32)
    stages = jax.eval_shape(
        lambda images: DenseNet(width=4, stage_sizes=(1, 1, 1, 1), rngs=nnx.Rngs(0))(images), images
    )
    assert [stage.shape[1:3] for stage in stages] == [(18, 11), (18, 11), (9, 5), (4, 2), (4, 2)]


def test_each_option_adds_its_own_names_and_no_others():
    """Checkpoints and the tables of others' weights go by these."""
    params, batch_stats = names_of(nnx.eval_shape(tiny_san))

    def added(**options: Any) -> tuple[set[str], set[str]]:
        more_params, more_statistics = names_of(nnx.eval_shape(lambda: tiny_san(**options)))
        assert params - more_params == ({"classifier.bias"} if "bnneck" in options else set())
        assert batch_stats <= more_statistics
        return more_params - params, more_statistics - batch_stats

    def norm(name: str) -> tuple[set[str], set[str]]:
        return {f"{name}.norm.scale", f"{name}.norm.bias"}, {f"{name}.norm.mean", f"{name}.norm.var"}

    assert added(pooling="gem") == ({"pooling.p"}, set())
    assert added(bnneck=True) == ({"neck.norm.scale"}, {"neck.norm.mean", "neck.norm.var"})
    head, statistics = norm("head.bn")
    assert added(feature_size=6) == (head | {"head.linear.kernel", "head.linear.bias"}, statistics)
    skips = [norm(f"decoder.skip{number}_bn") for number in (1, 2, 3)]
    kernels = {f"decoder.skip{number}_conv.kernel" for number in (1, 2, 3)}
    assert added(skips=True) == (kernels.union(*(s[0] for s in skips)), set().union(*(s[1] for s in skips)))


def test_options_leave_the_other_initial_weights_alone():
    """So runs with and without them start alike."""
    changes = [{}, {"pooling": "gem", "feature_size": 6}]
    draw_weights = jax.jit(lambda: [split_model(tiny_san(**options))[1] for options in changes])
    plain, other = (flatten(tree) for tree in draw_weights())
    for name, array in plain.items():
        if name != "classifier.kernel":
            np.testing.assert_array_equal(other[name], array, err_msg=name)
    assert other["classifier.kernel"].shape == (6, 5)
    # torchreid's: normal(0, 0.01) and 0. The deviation of 64 x 6 normal numbers is known to 4 per cent.
    np.testing.assert_allclose(np.std(other["head.linear.kernel"]), 0.01, rtol=0.15)
    np.testing.assert_array_equal(other["head.linear.bias"], 0.0)
    assert other["pooling.p"] == 3.0


def test_embeddings_differ_only_with_bnneck():
    """Without it the triplet loss and inference see the same array; with it inference sees what the classifier sees."""
    images = jnp.asarray(inputs("images", (2, 32, 32, 3)))
    graphdef, *state = drawn(nnx.eval_shape(lambda: tiny_san(bnneck=True, feature_size=6)))

    def forward() -> Any:
        model = merge_model(graphdef, *state)
        return model(images), model.encode(images)[1], model.classifier(model(images).test_embedding)

    output, encoded, logits = jax.jit(forward)()
    np.testing.assert_array_equal(encoded, output.test_embedding)
    np.testing.assert_allclose(logits, output.logits, rtol=1e-6)
    neck, head = state[0]["neck"]["norm"], state[1]["neck"]["norm"]
    expected = (output.embedding - head["mean"][None]) / np.sqrt(head["var"][None] + 1e-5) * neck["scale"][None]
    np.testing.assert_allclose(output.test_embedding, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(output.test_embedding, output.embedding)
    plain = jax.eval_shape(lambda: tiny_san(feature_size=6)(images))
    assert plain.test_embedding.shape == plain.embedding.shape == (2, 6)


def test_generalized_mean_lies_between_mean_and_maximum():
    """p = 1 is the mean; a large p comes near the maximum; positions that are all 0 give no infinite gradient."""
    x = nnx.relu(jnp.asarray(inputs("gem", (2, 3, 4, 5)))).at[0, :, :, 0].set(0.0)
    graphdef, _, _ = split_model(GeneralizedMean())
    pool = lambda p, x: merge_model(graphdef, {"p": p}, {})(x)  # noqa: E731
    pooled = {}
    for p in (1.0, 3.0, 60.0):
        pooled[p] = np.asarray(pool(jnp.asarray(p), x))
    np.testing.assert_allclose(pooled[1.0], x.mean(axis=(1, 2)), rtol=1e-6, atol=2e-6)
    largest = np.asarray(x.max(axis=(1, 2)))
    np.testing.assert_allclose(pooled[60.0], largest, rtol=0.05, atol=2e-6)  # 12 ** (-1 / 60) is 0.96
    assert np.all(pooled[3.0] <= largest + 2e-6)
    assert np.all(pooled[1.0] <= pooled[3.0] + 1e-7)
    for p in (3.0, 7.0, 60.0):  # 1e-6 ** 7 is 0 in float32
        gradients = jax.grad(lambda p, x: jnp.sum(pool(p, x)), argnums=(0, 1))(jnp.asarray(p), x)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_computes_low_and_keeps_float32(variant: str):
    """Maps bfloat16; parameters, statistics, embeddings, logits and texture float32."""

    def forward(images: jax.Array) -> Any:
        model = tiny_san(**VARIANTS[variant], compute_dtype=jnp.bfloat16)
        return model(images, train=True), split_model(model)[1:]

    output, state = jax.eval_shape(forward, jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32))
    low = (output.feature_map, *output.decoder_maps)
    assert {array.dtype for array in low} == {jnp.dtype(jnp.bfloat16)}
    high = (output.embedding, output.test_embedding, output.logits, output.texture, *jax.tree.leaves(state))
    assert {array.dtype for array in high} == {jnp.dtype(jnp.float32)}


class Normalisations(nnx.Module):
    """As little of a SAN as a PIT step can be asked of: its "texture" is the image, normalised."""

    def __init__(self):
        self.encoder, self.head, self.neck = (
            BatchNorm(3, compute_dtype=jnp.float32, rngs=nnx.Rngs(0)) for _ in range(3)
        )

    def __call__(self, images: jax.Array, *, train: bool, maps: str = "output") -> SANOutput:
        del maps  # it has no decoder
        x = self.encoder(images, train=train)
        f = self.head(jnp.mean(x, axis=(1, 2)), train=train)
        return SANOutput(x, f, None, x, (), self.neck(f, train=train))


def test_pit_steps_leave_the_statistics_of_the_reid_feature_alone():
    """Its normalisations are for the benchmark's images; the encoder sees both."""
    optimizer = optax.sgd(0.1)
    graphdef, state = train_state.create(Normalisations(), optimizer)
    before = jax.tree.map(np.asarray, state.batch_stats)
    augment = AugmentSettings(translate_probability=0.0, flip_probability=0.0, erase_probability=0.0)
    settings = train_step.StepSettings(LossSettings(), augment, train_step.texture_targets(), seed=0)
    step = train_step.make_pit_step(graphdef, optimizer, settings)
    images = np.random.RandomState(0).randint(0, 256, (8, 8, 4, 3)).astype(np.uint8)
    state, _ = step(state, {"image": images, "texture": images})
    unchanged = jax.tree.map(np.array_equal, before, jax.tree.map(np.asarray, state.batch_stats))
    assert jax.tree.leaves(unchanged) == [False, False, True, True, True, True]  # encoder, head, neck


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet34"}, "one of resnet50, resnet101, densenet121, found 'resnet34'"),
        ({"pooling": "max"}, "one of average, gem, found 'max'"),
        ({"feature_size": -1}, "found -1"),
        ({"texture_size": (16, 1)}, r"at least 2 pixels, found \(16, 1\)"),
        ({"skips": True, "decoder": False}, "decoder=True"),
        ({"encoder": "densenet121", "width": 1}, "at least 2"),
        ({"encoder": "densenet121", "stage_sizes": (1, 1)}, "4 positive block counts"),
    ],
)
def test_impossible_networks_are_refused(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: tiny_san(**arguments))


def test_skips_that_do_not_fit_are_refused():
    def forward(height: int) -> Any:
        return jax.eval_shape(lambda: tiny_san(skips=True)(jnp.zeros((1, height, 32, 3))))

    forward(64)
    with pytest.raises(ValueError, match=r"Stage 2 of the encoder is 9x4, the decoder's map 10x4.*multiples of 16"):
        forward(72)
    with pytest.raises(ValueError, match="takes 3 maps of the encoder, found 0"):
        jax.eval_shape(lambda: tiny_san(skips=True).decode(jnp.zeros((1, 2, 2, 64))))
    with pytest.raises(ValueError, match="takes 0 maps of the encoder, found 1"):
        jax.eval_shape(lambda: tiny_san().decode(jnp.zeros((1, 2, 2, 64)), (jnp.zeros((1, 8, 8, 8)),)))
