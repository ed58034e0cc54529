"""The networks' variants (DenseNet, U-Net skips, head, GeM, BNNeck): against PyTorch, by count and shape, and by name."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from san_jax import train_state, train_step
from san_jax.data.augment import AugmentSettings
from san_jax.models import SAN, DenseNet, batch_statistics, merge_model, parameter_count, split_model
from san_jax.models.layers import GeneralizedMean
from tests.golden.weights import draw, inputs

UNET: dict[str, Any] = {"encoder": "densenet121", "width": 8, "stage_sizes": (2, 1, 2, 1), "texture_size": (20, 12)}
HEADS: dict[str, dict[str, Any]] = {
    "gem": {"pooling": "gem"},
    "head": {"feature_size": 6},
    "bnneck": {"bnneck": True},
    "all": {"pooling": "gem", "feature_size": 6, "bnneck": True},
}
TINY: dict[str, Any] = {"width": 2, "stage_sizes": (1, 1, 1, 1), "texture_size": 16}
QUICK = {"xla_backend_optimization_level": 0}  # what runs a few times only need not be optimized by LLVM


def read_golden() -> dict[str, np.ndarray]:
    with np.load(pathlib.Path(__file__).parent / "golden" / "variants.npz") as file:
        shapes = [tuple(map(int, shape.split())) for shape in file["shapes"]]
        parts = np.split(file["values"], np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
        return {name: part.reshape(shape) for name, part, shape in zip(file["names"], parts, shapes, strict=True)}


GOLDEN = read_golden()


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
    for name, gradient in train_state.flatten(gradients).items():
        array = np.asarray(gradient)
        found[f"gradient.{name}"] = np.abs(array).sum(axis=(0, 1, 2)) if array.ndim == 4 else array
    start = train_state.flatten(before)
    for name, leaf in train_state.flatten(after).items():
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
        (_, (found, after)), gradients = jax.jit(scalar, compiler_options=QUICK)(params), {}
    else:
        (_, (found, after)), gradients = jax.jit(jax.value_and_grad(scalar, has_aux=True), compiler_options=QUICK)(
            params
        )
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
        jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True), compiler_options=QUICK
    )(params, feature_map)
    found["feature_map_gradient"] = found_gradient
    # float32 through four layers; BatchNorm over six numbers.
    compare(case, mode, found, gradients if mode == "train" else {}, batch_stats, after, 2e-6)
