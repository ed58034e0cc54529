"""Recolouring: closed forms of the change, and image and texture changed alike."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from san_jax.data.augment import _RECOLOR_KEY, augment_images, normalize_textures
from san_jax.data.recolor import Recoloring, draw_recoloring, hue_rotation, recolor, saturate
from san_jax.settings import AugmentSettings
from san_jax.train_step import input_targets, texture_targets

RECOLORED = AugmentSettings(
    translate_probability=0.0, flip_probability=0.0, erase_probability=0.0, recolor_probability=1.0
)


def test_a_third_of_a_turn_permutes_the_channels():
    third = np.asarray(hue_rotation(jnp.float32(2.0 * math.pi / 3.0)))
    np.testing.assert_allclose(third @ [0.9, 0.2, 0.1], [0.1, 0.9, 0.2], atol=1e-6)


def test_a_turn_keeps_greys_lengths_and_sums():
    for angle in (0.3, 1.0, 4.0):
        matrix = np.asarray(hue_rotation(jnp.float32(angle)))
        np.testing.assert_allclose(matrix @ [0.4, 0.4, 0.4], [0.4, 0.4, 0.4], atol=1e-6)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose((matrix @ [0.9, 0.2, 0.1]).sum(), 1.2, atol=1e-6)


def test_each_picture_has_its_own_matrix_and_gamma():
    """Against a loop in NumPy, with values that leave 0..1 on the way."""
    random = np.random.RandomState(0)
    matrix, gamma = random.uniform(-1, 2, (3, 3, 3)), random.uniform(0.5, 2, (3, 3))
    changed, pixels = np.array([True, False, True]), random.uniform(0, 1, (3, 2, 2, 3))
    expected = pixels.copy()
    for picture in (0, 2):
        for row in range(2):
            for column in range(2):
                mixed = matrix[picture] @ pixels[picture, row, column]
                expected[picture, row, column] = np.minimum(np.maximum(mixed, 0), 1) ** gamma[picture]
    to_float32 = [jnp.asarray(part, jnp.float32) for part in (matrix, gamma, pixels)]
    found = recolor(Recoloring(to_float32[0], to_float32[1], jnp.asarray(changed)), to_float32[2])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert len(np.unique(mixed_out_of_range(matrix, pixels))) == 2  # the case is one with and without cutting off


def mixed_out_of_range(matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    mixed = np.einsum("bij,bhwj->bhwi", matrix, pixels)
    return (mixed < 0) | (mixed > 1)


def test_drawn_recolourings_have_the_ranges_and_the_probability_asked_for():
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.jit(jax.vmap(lambda key: draw_recoloring(key, 0.3, 1.5)))(keys)
    assert abs(np.mean(drawn.changed) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 2000)
    assert 1 / 1.5 - 1e-6 <= np.min(drawn.gamma) < 0.68
    assert 1.48 < np.max(drawn.gamma) <= 1.5 + 1e-6
    assert abs(np.mean(np.log(drawn.gamma))) < 5 * math.log(1.5) / math.sqrt(3 * 6000)
    # A rotation after a permutation: orthogonal, half of them with a reflection, every row summing to 1.
    np.testing.assert_allclose(
        drawn.matrix @ np.swapaxes(drawn.matrix, 1, 2), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-5
    )
    np.testing.assert_allclose(np.sum(drawn.matrix, axis=2), 1.0, atol=1e-5)
    assert abs(np.mean(np.linalg.det(drawn.matrix) < 0) - 0.5) < 5 * 0.5 / math.sqrt(2000)


def test_a_texture_is_recoloured_as_its_image_is():
    """A person of one colour: image and texture have one colour before, so they must have one after."""
    colors = np.random.RandomState(1).randint(0, 256, (16, 1, 1, 3)).astype(np.uint8)
    batch = {"image": np.tile(colors, (1, 8, 4, 1)), "texture": np.tile(colors, (1, 6, 6, 1))}
    augmented = jax.jit(lambda key, images: augment_images(key, images, settings=RECOLORED))(
        jax.random.key(3), jnp.asarray(batch["image"])
    )
    textures = texture_targets()(augmented, batch)
    np.testing.assert_allclose(textures[:, 0, 0], augmented.clean[:, 0, 0], atol=1e-5)
    moved = np.abs(np.asarray(textures[:, 0, 0]) - (colors[:, 0, 0] / 127.5 - 1.0)).max(axis=1)
    assert np.mean(moved > 0.1) > 0.8
    assert np.min(textures) >= -1.0
    assert np.max(textures) <= 1.0


def test_saturation_scales_the_distance_from_grey():
    color = np.array([0.9, 0.2, 0.1])
    for factor, expected in ((0.0, [0.4, 0.4, 0.4]), (1.0, color), (0.5, [0.65, 0.3, 0.25]), (2.0, [1.4, 0.0, -0.2])):
        matrix = np.asarray(saturate(jnp.float32(factor), jnp.eye(3)))
        np.testing.assert_allclose(matrix @ color, expected, atol=1e-6)
        turned = np.asarray(saturate(jnp.float32(factor), hue_rotation(jnp.float32(2.0 * math.pi / 3.0))))
        np.testing.assert_allclose(turned @ color, np.roll(expected, 1), atol=1e-6)


def test_drawn_saturations_have_the_range_asked_for_and_leave_the_other_draws():
    """A rotation has determinant 1 or -1; a factor scales two of its three directions, so the determinant squarely."""
    keys = jax.random.split(jax.random.key(0), 2000)
    without = jax.jit(jax.vmap(lambda key: draw_recoloring(key, 0.3, 1.5)))(keys)
    drawn = jax.jit(jax.vmap(lambda key: draw_recoloring(key, 0.3, 1.5, 2.0)))(keys)
    np.testing.assert_array_equal(drawn.gamma, without.gamma)
    np.testing.assert_array_equal(drawn.changed, without.changed)
    factors = np.sqrt(np.abs(np.linalg.det(drawn.matrix)))
    assert 0.5 - 1e-5 <= factors.min() < 0.51
    assert 1.97 < factors.max() <= 2.0 + 1e-5
    assert abs(np.log(factors).mean()) < 5 * math.log(2.0) / math.sqrt(3 * 2000)
    expected = factors[:, None, None] * without.matrix + (1.0 - factors[:, None, None]) / 3.0
    np.testing.assert_allclose(drawn.matrix, expected, atol=1e-5)


def recolored_by_loop(changes: Recoloring, pixels: np.ndarray) -> np.ndarray:
    """Pictures, 0..1, recoloured pixel by pixel."""
    result = pixels.astype(np.float64)
    for picture, row, column in np.ndindex(pixels.shape[:3]):
        if changes.changed[picture]:
            mixed = changes.matrix[picture].astype(np.float64) @ pixels[picture, row, column]
            result[picture, row, column] = np.minimum(np.maximum(mixed, 0.0), 1.0) ** changes.gamma[picture]
    return result


@pytest.mark.parametrize("target_size", [(6, 6), (8, 4)], ids=["texture", "frontal"])
def test_image_and_target_by_a_loop_over_pairs_and_pixels(target_size):
    """Each pair has its own change, drawn from its own key, and the image and its target have the same."""
    stream = np.random.RandomState(2)
    images = stream.randint(0, 256, (12, 8, 4, 3)).astype(np.uint8)
    targets = stream.randint(0, 256, (12, *target_size, 3)).astype(np.uint8)
    settings = dataclasses.replace(RECOLORED, recolor_probability=0.7, recolor_saturation=1.5)
    key = jax.random.key(5)
    augmented = jax.jit(lambda key, images: augment_images(key, images, settings=settings))(key, jnp.asarray(images))
    found = texture_targets()(augmented, {"image": images, "texture": targets})

    drawn = [draw_recoloring(jax.random.fold_in(one, _RECOLOR_KEY), 0.7, 1.5, 1.5) for one in jax.random.split(key, 12)]
    changes = Recoloring(*(np.stack(part) for part in zip(*drawn, strict=True)))
    np.testing.assert_allclose(augmented.clean, 2.0 * recolored_by_loop(changes, images / 255.0) - 1.0, atol=1e-5)
    np.testing.assert_allclose(found, 2.0 * recolored_by_loop(changes, targets / 255.0) - 1.0, atol=1e-5)
    assert input_targets(augmented, {"image": images, "texture": targets}) is augmented.clean
    assert 2 < changes.changed.sum() < 12
    assert len(np.unique(changes.matrix.reshape(12, 9), axis=0)) == len(np.unique(changes.gamma, axis=0)) == 12


def test_off_changes_no_bit():
    """Nothing is drawn; and where recolouring is on, a pair that is not chosen keeps all its bits and other draws."""
    stream = np.random.RandomState(3)
    images = jnp.asarray(stream.randint(0, 256, (64, 16, 8, 3)).astype(np.uint8))
    batch = {"image": images, "texture": stream.randint(0, 256, (64, 6, 6, 3)).astype(np.uint8)}

    def augmented_and_targets(settings):
        augmented = jax.jit(lambda images: augment_images(jax.random.key(7), images, settings=settings))(images)
        return augmented, texture_targets()(augmented, batch)

    plain = AugmentSettings()
    before, targets = augmented_and_targets(plain)
    off, off_targets = augmented_and_targets(dataclasses.replace(plain, recolor_gamma=3.0, recolor_saturation=2.0))
    assert before.recoloring is None
    assert off.recoloring is None
    np.testing.assert_array_equal(targets, normalize_textures(jnp.asarray(batch["texture"])))
    np.testing.assert_array_equal(off_targets, targets)
    for name in ("image", "clean", "flipped"):
        np.testing.assert_array_equal(getattr(off, name), getattr(before, name))

    half, half_targets = augmented_and_targets(dataclasses.replace(plain, recolor_probability=0.5))
    changed = np.asarray(half.recoloring.changed)
    assert 16 < changed.sum() < 48
    np.testing.assert_array_equal(half.flipped, before.flipped)
    np.testing.assert_array_equal(half.image[~changed], before.image[~changed])
    np.testing.assert_array_equal(half.clean[~changed], before.clean[~changed])
    np.testing.assert_array_equal(half_targets[~changed], targets[~changed])
    assert (np.abs(half.clean - before.clean).max(axis=(1, 2, 3))[changed] > 0.01).all()
