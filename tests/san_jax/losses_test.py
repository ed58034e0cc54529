"""The four losses against PyTorch (tests/golden/make_losses.py), slow loops, closed forms, and where they degenerate."""

import functools
import math
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from san_jax import losses

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "losses.npz")
# float32 against PyTorch's float64, rounded to float32: sums of at most some hundred terms.
TIGHT = {"rtol": 2e-5, "atol": 1e-7}


def value_and_gradient(loss: Callable, x: jax.Array, *arguments: jax.Array, **constants) -> tuple[jax.Array, jax.Array]:
    """The loss and its gradient at x, compiled as a whole."""
    return jax.jit(jax.value_and_grad(functools.partial(loss, **constants)))(x, *arguments)


def assert_gradient_is_right(
    loss: Callable,
    x: np.ndarray,
    *arguments: np.ndarray,
    eps: float,
    atol: float,
    modes: tuple[str, ...] = ("fwd", "rev"),
) -> None:
    """Forward and reverse mode against finite differences in float32."""
    function = jax.jit(lambda x: loss(x, *map(jnp.asarray, arguments)))
    check_grads(function, (jnp.asarray(x),), order=1, modes=modes, eps=eps, rtol=1e-2, atol=atol)


def int32(*values: int) -> jax.Array:
    return jnp.asarray(values, jnp.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_identification_equals_pytorch(smoothing: float):
    loss, gradient = value_and_gradient(
        losses.identification_loss,
        jnp.asarray(GOLDEN["logits"]),
        jnp.asarray(GOLDEN["logits_labels"]),
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(loss, GOLDEN[f"identification_{smoothing}"], **TIGHT)
    np.testing.assert_allclose(gradient, GOLDEN[f"identification_{smoothing}_gradient"], **TIGHT)


def test_identification_of_equal_logits_is_log_of_the_class_count():
    loss = losses.identification_loss(jnp.full((4, 7), 2.5), int32(0, 3, 6, 6), label_smoothing=0.3)
    np.testing.assert_allclose(loss, math.log(7), rtol=1e-6)


def test_identification_of_large_logits_stays_finite():
    logits = jnp.asarray([[1e4, -1e4, 0.0], [0.0, 3e4, -3e4]])
    loss, gradient = value_and_gradient(losses.identification_loss, logits, int32(1, 1), label_smoothing=0.1)
    # Sample 0: 0.9 * 2e4 + 0.1 * (0 + 2e4 + 1e4) / 3; sample 1: 0.1 * (3e4 + 0 + 6e4) / 3.
    np.testing.assert_allclose(loss, (0.9 * 2e4 + 0.1 * 1e4 + 0.1 * 3e4) / 2, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("label", [-1, 3])
def test_identification_of_an_unknown_label_is_nan(label: int):
    assert jnp.isnan(losses.identification_loss(jnp.zeros((2, 3)), int32(0, label)))


def test_identification_gradient():
    smoothed = functools.partial(losses.identification_loss, label_smoothing=0.1)
    assert_gradient_is_right(smoothed, GOLDEN["logits"], GOLDEN["logits_labels"], eps=1e-2, atol=1e-3)


def test_batch_hard_equals_pytorch():
    loss, gradient = value_and_gradient(
        losses.batch_hard_triplet_loss, jnp.asarray(GOLDEN["embeddings"]), jnp.asarray(GOLDEN["embeddings_labels"])
    )
    np.testing.assert_allclose(loss, GOLDEN["triplet"], **TIGHT)
    np.testing.assert_allclose(gradient, GOLDEN["triplet_gradient"], rtol=2e-5, atol=1e-6)


def slow_batch_hard(embeddings: np.ndarray, labels: np.ndarray, margin: float) -> float:
    total = 0.0
    for i, (x, label) in enumerate(zip(embeddings.astype(np.float64), labels, strict=True)):
        distances = [float(np.linalg.norm(x - y)) for y in embeddings.astype(np.float64)]
        positives = [d for d, other in zip(distances, labels, strict=True) if other == label]
        negatives = [d for d, other in zip(distances, labels, strict=True) if other != label]
        assert distances[i] in positives
        if negatives:
            total += max(0.0, max(positives) - min(negatives) + margin)
    return total / len(labels)


@pytest.mark.parametrize(("batch", "identities", "offset"), [(12, 4, 0.0), (17, 6, 0.0), (9, 8, 100.0), (6, 1, 0.0)])
def test_batch_hard_equals_a_slow_loop(batch: int, identities: int, offset: float):
    stream = np.random.RandomState(batch)
    labels = stream.randint(0, identities, batch).astype(np.int32) * 7 - 3  # labels need not be 0..K-1, nor positive
    embeddings = (offset + stream.normal(size=(batch, 5))).astype(np.float32)
    loss = jax.jit(functools.partial(losses.batch_hard_triplet_loss, margin=0.7))(
        jnp.asarray(embeddings), jnp.asarray(labels)
    )
    # The offset costs the inputs themselves no digits here: the loop sees the same float32 numbers.
    np.testing.assert_allclose(loss, slow_batch_hard(embeddings, labels, 0.7), rtol=1e-5, atol=1e-6)


def test_batch_hard_of_a_real_sized_batch_equals_a_slow_loop():
    stream = np.random.RandomState(5)
    labels = np.repeat(np.arange(16, dtype=np.int32), 4)
    # As after a ReLU and pooling: positive, with a large common part.
    embeddings = (0.4 + 0.05 * np.abs(stream.normal(size=(64, 2048)))).astype(np.float32)
    loss = jax.jit(losses.batch_hard_triplet_loss)(jnp.asarray(embeddings), jnp.asarray(labels))
    np.testing.assert_allclose(loss, slow_batch_hard(embeddings, labels, 0.3), rtol=1e-5)


def test_batch_hard_closed_form():
    # On a line: identity 0 at 0 and 3, identity 1 at 4 and 10. Violations: 3 - 4, 3 - 1, 6 - 1, 6 - 7, plus the margin.
    embeddings = jnp.asarray([[0.0], [3.0], [4.0], [10.0]])
    loss, gradient = value_and_gradient(losses.batch_hard_triplet_loss, embeddings, int32(0, 0, 1, 1), margin=0.3)
    np.testing.assert_allclose(loss, (0 + 2.3 + 5.3 + 0) / 4, rtol=1e-6)
    # Anchor at 3: its positive 0 gets -1, itself +1; its negative 4 gets -1, itself +1. Anchor at 4: positive 10 gets +1,
    # itself -1; negative 3 gets +1, itself -1.
    np.testing.assert_allclose(gradient[:, 0], np.array([-1, 3, -3, 1]) / 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("embeddings", "labels", "expected"),
    [
        (np.zeros((4, 3)), [0, 0, 1, 1], 0.3),  # all equal: every distance 0, the margin is left
        (np.full((4, 3), 7.7), [0, 1, 2, 3], 0.3),  # equal away from the origin, one image each
        (np.array([[0.0], [0.0], [2.0], [2.0]]), [0, 0, 1, 1], 0.0),  # duplicates, well apart
        (np.array([[0.0], [1.0], [-1.0], [1.0]]), [0, 0, 0, 1], (0.3 + 2.3 + 0.3 + 0.3) / 4),  # ties, an equal negative
        (np.array([[1.0], [5.0], [2.0]]), [3, 3, 3], 0.0),  # one identity: no negatives, nothing to learn
        (np.array([[1.0]]), [0], 0.0),
        (np.array([[0.0], [0.1]]), [0, 1], 0.2),  # no positive but itself
        (np.array([[1e-25], [-1e-25], [0.0]]), [0, 0, 1], 0.3),  # squares underflow
        (np.array([[1e18], [-1e18], [0.0]]), [0, 0, 1], (1e18 + 1e18 + 0.0) / 3),
    ],
)
def test_batch_hard_of_degenerate_batches(embeddings: np.ndarray, labels: list[int], expected: float):
    loss, gradient = value_and_gradient(
        losses.batch_hard_triplet_loss, jnp.asarray(embeddings, jnp.float32), jnp.asarray(labels, jnp.int32)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-7)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 4  # a distance's gradient is at most 1 each; none blows up near 0


def test_batch_hard_gradient_at_equal_embeddings_is_zero():
    _, gradient = value_and_gradient(losses.batch_hard_triplet_loss, jnp.ones((4, 3)), int32(0, 0, 1, 1))
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))


def test_batch_hard_gradient():
    # A small step: the hardest pairs must stay the same.
    arrays = GOLDEN["embeddings"], GOLDEN["embeddings_labels"]
    assert_gradient_is_right(losses.batch_hard_triplet_loss, *arrays, eps=1e-4, atol=5e-3)


def test_reconstruction_equals_pytorch():
    loss, gradient = value_and_gradient(
        losses.reconstruction_loss, jnp.asarray(GOLDEN["textures"]), jnp.asarray(GOLDEN["targets"])
    )
    np.testing.assert_allclose(loss, GOLDEN["reconstruction"], **TIGHT)
    np.testing.assert_allclose(gradient, GOLDEN["reconstruction_gradient"], **TIGHT)


def test_reconstruction_in_opponent_colours_weighs_chroma():
    textures, targets = GOLDEN["textures"], GOLDEN["targets"]
    expected = 0.0
    for difference in (textures - targets).reshape(-1, 3).astype(np.float64):  # slow
        red, green, blue = difference
        expected += abs(red + green + blue) / math.sqrt(3.0)
        expected += 2.5 * (abs(red - green) / math.sqrt(2.0) + abs(red + green - 2.0 * blue) / math.sqrt(6.0))
    of = functools.partial(losses.reconstruction_loss, space="opponent", chroma=2.5)
    loss, _ = value_and_gradient(of, jnp.asarray(textures), jnp.asarray(targets))
    np.testing.assert_allclose(loss, expected / textures.size, **TIGHT)
    assert_gradient_is_right(of, textures, targets, eps=1e-3, atol=1e-3)
    # Grey errors are luminance alone, so the weight of chroma changes nothing; without it a wrong hue is free.
    grey = jnp.full((1, 4, 4, 3), 0.5)
    np.testing.assert_allclose(of(grey, jnp.zeros_like(grey)), 0.5 / math.sqrt(3.0), **TIGHT)
    hue = jnp.broadcast_to(jnp.asarray([0.3, -0.2, -0.1]), (1, 2, 2, 3))
    assert losses.reconstruction_loss(hue, jnp.zeros_like(hue), space="opponent", chroma=0.0) < 1e-7
    with pytest.raises(ValueError, match="must be 'rgb' or 'opponent', found 'lab'"):
        losses.reconstruction_loss(grey, grey, space="lab")


def test_opponent_colours_are_a_rotation():
    axes = np.asarray(losses.opponent_colours(jnp.eye(3, dtype=jnp.float32)))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)


def test_reconstruction_of_the_target_itself_is_zero_with_zero_gradient():
    targets = jnp.asarray(GOLDEN["targets"])
    loss, gradient = value_and_gradient(losses.reconstruction_loss, targets, targets)
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(GOLDEN["targets"]))


def test_reconstruction_gradient():
    assert_gradient_is_right(losses.reconstruction_loss, GOLDEN["textures"], GOLDEN["targets"], eps=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels", ["sum", "mean"])
def test_triplet_reid_equals_pytorch(channels: str):
    loss, gradient = value_and_gradient(
        losses.triplet_reid_loss,
        jnp.asarray(GOLDEN["maps"]),
        jnp.asarray(GOLDEN["positive"]),
        jnp.asarray(GOLDEN["negative"]),
        channel_reduction=channels,
    )
    np.testing.assert_allclose(loss, GOLDEN[f"triplet_reid_{channels}"], **TIGHT)
    np.testing.assert_allclose(gradient, GOLDEN[f"triplet_reid_{channels}_gradient"], **TIGHT)


# Positives and negatives of five samples: sample 2 has no positive, sample 3 no negative.
POSITIVE, NEGATIVE = [1, 0, 2, 4, 3], [2, 3, 4, 3, 1]


def slow_triplet_reid(maps: np.ndarray, *, margin: float) -> float:
    """Add up L_TR over the samples that have both, by a loop over positions; channels are summed."""
    samples, height, width, _ = maps.shape
    total = 0.0
    for a in range(samples):
        if a in (POSITIVE[a], NEGATIVE[a]):
            continue
        distance = {}
        for other in (POSITIVE[a], NEGATIVE[a]):
            distance[other] = 0.0
            for row in range(height):
                for column in range(width):
                    difference = maps[a, row, column].astype(np.float64) - maps[other, row, column]
                    distance[other] += float((difference**2).sum()) / (height * width)
        total += max(0.0, distance[POSITIVE[a]] - distance[NEGATIVE[a]] + margin)
    return total


@pytest.mark.parametrize("channels", ["sum", "mean"])
def test_triplet_reid_equals_a_slow_loop(channels: str):
    maps = 0.3 * np.random.RandomState(2).normal(size=(5, 2, 3, 4)).astype(np.float32)
    # The mean over four channels is the sum over maps of half the size.
    total = slow_triplet_reid(maps / 2 if channels == "mean" else maps, margin=0.2)
    loss = losses.triplet_reid_loss(
        jnp.asarray(maps), int32(*POSITIVE), int32(*NEGATIVE), margin=0.2, channel_reduction=channels
    )
    np.testing.assert_allclose(loss, total / 5, rtol=1e-5)


def test_triplet_reid_of_equal_maps_is_the_margin_with_zero_gradient():
    loss, gradient = value_and_gradient(
        losses.triplet_reid_loss, jnp.full((4, 2, 2, 3), 1.5), int32(1, 0, 3, 2), int32(2, 3, 0, 1), margin=0.3
    )
    np.testing.assert_allclose(loss, 0.3, rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((4, 2, 2, 3)))


def test_triplet_reid_without_triplets_is_zero():
    itself = int32(0, 1, 2)
    loss, gradient = value_and_gradient(
        losses.triplet_reid_loss,
        jnp.asarray(np.random.RandomState(0).normal(size=(3, 2, 2, 1)), jnp.float32),
        itself,
        int32(1, 0, 0),
    )
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2, 2, 1)))


def test_triplet_reid_gradient():
    arrays = GOLDEN["maps"], GOLDEN["positive"], GOLDEN["negative"]
    assert_gradient_is_right(losses.triplet_reid_loss, *arrays, eps=1e-3, atol=1e-3, modes=("rev",))


def test_triplet_reid_refuses_another_reduction():
    # By hand past the annotation, which outside of tests nobody checks.
    function = losses.triplet_reid_loss.__wrapped__
    with pytest.raises(ValueError, match="found 'max'"):
        function(jnp.zeros((1, 2, 2, 1)), int32(0), int32(0), channel_reduction="max")
    with pytest.raises(ValueError, match="found 'none'"):
        function(jnp.zeros((1, 2, 2, 1)), int32(0), int32(0), anchor_reduction="none")


@pytest.mark.parametrize(
    ("block", "places"),  # anchor, positive, negative of the identity that begins at image i = 0, 4, 8
    [(1, (0, 1, 4)), (2, (1, 2, 5)), (3, (2, 3, 6)), (4, (3, 0, 4))],
)
def test_fixed_triplets_are_the_released_code_s(block: int, places: tuple[int, int, int]):
    found = losses.fixed_triplets(16, block)
    np.testing.assert_array_equal(found, [[i + place for i in (0, 4, 8)] for place in places])
    labels = np.repeat([3, 1, 2, 0], 4)
    anchor, positive, negative = found
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()


def test_fixed_triplets_need_fours():
    with pytest.raises(ValueError, match=r"4 consecutive images .* batch of 10: set batch.images_per_identity=4"):
        losses.fixed_triplets(10, 1)
    with pytest.raises(ValueError, match="block must be 1, 2, 3 or 4, found 0"):
        losses.fixed_triplets(8, 0)


@pytest.mark.parametrize("anchor_reduction", ["sum", "mean"])
@pytest.mark.parametrize("channel_reduction", ["sum", "mean"])
def test_triplet_reid_of_chosen_anchors_equals_a_slow_loop(anchor_reduction: str, channel_reduction: str):
    stream = np.random.RandomState(2)
    maps = stream.normal(size=(20, 3, 2, 5)).astype(np.float32)
    maps += 0.3 * np.repeat(stream.normal(size=(5, 3, 2, 5)).astype(np.float32), 4, axis=0)
    anchor, positive, negative = losses.fixed_triplets(20, 4)
    constants = {"margin": 0.3, "channel_reduction": channel_reduction, "anchor_reduction": anchor_reduction}
    function = functools.partial(losses.triplet_reid_loss, anchor=anchor, **constants)
    scale = 1 / 6 if channel_reduction == "sum" else 1 / 30

    def slow(maps):
        total, gradient = 0.0, np.zeros(maps.shape)
        for a, p, n in zip(anchor, positive, negative, strict=True):
            violation = scale * ((maps[a] - maps[p]) ** 2 - (maps[a] - maps[n]) ** 2).sum() + 0.3
            if violation > 0:
                total += violation
                gradient[a] += 2 * scale * (maps[n] - maps[p])
                gradient[p] -= 2 * scale * (maps[a] - maps[p])
                gradient[n] += 2 * scale * (maps[a] - maps[n])
        count = 1 if anchor_reduction == "sum" else len(anchor)
        return total / count, gradient / count

    loss, gradient = value_and_gradient(function, jnp.asarray(maps), positive, negative)
    expected_loss, expected_gradient = slow(maps.astype(np.float64))
    assert 0 < np.any(expected_gradient, axis=(1, 2, 3)).sum() < 12  # not all of the four anchors violate
    np.testing.assert_allclose(loss, expected_loss, rtol=2e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=2e-5, atol=1e-6)


LABELS = [5, 2, 5, 5, 2, 8, 2, 5]


def test_sampled_triplets_are_uniform_over_all_candidates():
    labels = int32(*LABELS)
    draws = 6000
    sample = jax.jit(jax.vmap(losses.sample_triplets, in_axes=(0, None)))
    positives, negatives = map(np.asarray, sample(jax.random.split(jax.random.key(3), draws), labels))
    for anchor, label in enumerate(LABELS):
        for drawn, candidates in (
            (positives[:, anchor], [i for i, other in enumerate(LABELS) if other == label and i != anchor]),
            (negatives[:, anchor], [i for i, other in enumerate(LABELS) if other != label]),
        ):
            counts = np.bincount(drawn, minlength=len(LABELS))
            if not candidates:  # identity 8 has one image
                assert counts[anchor] == draws
                continue
            assert counts[candidates].sum() == draws
            expected = draws / len(candidates)
            # 5 standard deviations of a binomial; the key is fixed.
            assert np.abs(counts[candidates] - expected).max() < 5 * math.sqrt(expected)
    # The anchors draw independently: two anchors with the same two candidates agree half of the time.
    agree = np.mean(positives[:, 1] == positives[:, 4])  # of {4, 6} and {1, 6}: both 6 in a quarter
    assert abs(agree - 0.25) < 5 * math.sqrt(0.25 * 0.75 / draws)


def test_sampled_triplets_are_int32_and_depend_on_the_key_only():
    labels = int32(*LABELS)
    sample = jax.jit(losses.sample_triplets)
    first, again, other = (sample(jax.random.key(seed), labels) for seed in (0, 0, 1))
    assert all(x.dtype == jnp.int32 for x in first)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_batch_of_one_identity_has_no_negatives():
    positive, negative = losses.sample_triplets(jax.random.key(0), int32(4, 4, 4))
    np.testing.assert_array_equal(negative, [0, 1, 2])
    assert all(p != i for i, p in enumerate(positive))


def test_bfloat16_inputs_are_summed_in_float32():
    """Each loss of bfloat16 numbers equals, to float32 precision, that of the same numbers given as float32."""
    stream = np.random.RandomState(1)
    labels = jnp.repeat(jnp.arange(4, dtype=jnp.int32), 2)
    embeddings = jnp.asarray(stream.normal(size=(8, 300)), jnp.bfloat16)
    maps = jnp.asarray(stream.normal(size=(8, 16, 8, 5)), jnp.bfloat16)
    positive, negative = losses.sample_triplets(jax.random.key(0), labels)
    cases = [
        (lambda x: losses.identification_loss(x, labels), embeddings),
        (lambda x: losses.batch_hard_triplet_loss(x, labels), embeddings),
        (lambda x: losses.reconstruction_loss(x, jnp.zeros_like(x)), maps),
        (lambda x: losses.triplet_reid_loss(x, positive, negative, margin=2.0), maps),
    ]
    for function, x in cases:
        low, high = jax.jit(function)(x), jax.jit(function)(x.astype(jnp.float32))
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, high, rtol=1e-6)
