"""Recolouring: closed forms of the change, and image and texture changed alike."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from san_jax.data.augment import augment_images
from san_jax.data.recolor import Recoloring, draw_recoloring, hue_rotation, recolor
from san_jax.settings import AugmentSettings
from san_jax.train_step import texture_targets

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
