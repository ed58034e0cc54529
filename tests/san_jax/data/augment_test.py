"""Augmentation: exact where it is deterministic, against Pillow's resampling, and by its statistics."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from san_jax.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    augment_images,
    mirror_textures,
    normalize_images,
    normalize_textures,
)
from san_jax.settings import AugmentSettings

NOTHING = AugmentSettings(crop_probability=0.0, translate_probability=0.0, flip_probability=0.0, erase_probability=0.0)
HEIGHT, WIDTH = 64, 32


def random_images(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.RandomState(count).randint(0, 256, (count, height, width, 3)).astype(np.uint8)


@functools.cache
def compiled(settings: AugmentSettings):
    return jax.jit(lambda key, images: augment_images(key, images, settings=settings).image)


def augment(images: np.ndarray, settings: AugmentSettings, seed: int = 0) -> np.ndarray:
    return np.asarray(compiled(settings)(jax.random.key(seed), jnp.asarray(images)))


def to_pixels(normalised: np.ndarray) -> np.ndarray:
    """Back to 0..255."""
    return (normalised * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)) * 255.0


def expected_normalised(images: np.ndarray) -> np.ndarray:
    return (images / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)


def test_images_are_normalised_by_imagenet():
    images = random_images(2)
    found = normalize_images(jnp.asarray(images))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected_normalised(images), atol=1e-6)


def test_textures_fill_minus_one_to_one():
    found = normalize_textures(jnp.asarray(np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found[0, 0, 0], [-1.0, -0.6, 1.0], atol=1e-6)


def test_nothing_but_normalisation_at_probability_zero():
    images = random_images(3)
    np.testing.assert_array_equal(augment(images, NOTHING), normalize_images(jnp.asarray(images)))


def test_flip_mirrors_left_and_right():
    images = random_images(3)
    flipped = augment(images, dataclasses.replace(NOTHING, flip_probability=1.0))
    np.testing.assert_array_equal(flipped, normalize_images(jnp.asarray(images[:, :, ::-1])))


def test_each_image_is_flipped_by_its_own_coin():
    images = random_images(200, 8, 6)
    normalised = np.asarray(normalize_images(jnp.asarray(images)))
    found = augment(images, dataclasses.replace(NOTHING, flip_probability=0.3))
    flipped = np.all(found == normalised[:, :, ::-1], axis=(1, 2, 3))
    kept = np.all(found == normalised, axis=(1, 2, 3))
    np.testing.assert_array_equal(flipped, ~kept)
    assert abs(flipped.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 200)


def test_translation_is_a_crop_of_the_enlarged_image():
    """Pillow enlarges with the same bilinear filter, rounding to whole levels after each of its two passes."""
    images = random_images(24)
    found = to_pixels(augment(images, dataclasses.replace(NOTHING, translate_probability=1.0)))
    tall, wide = round(1.125 * HEIGHT), round(1.125 * WIDTH)
    offsets = set()
    for image, crop in zip(images, found, strict=True):
        enlarged = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.BILINEAR), np.float64)
        matches = [
            (top, left)
            for top in range(tall - HEIGHT + 1)
            for left in range(wide - WIDTH + 1)
            if np.abs(enlarged[top : top + HEIGHT, left : left + WIDTH] - crop).max() < 1.6
        ]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len({top for top, _ in offsets}) > 3  # of 9
    assert len({left for _, left in offsets}) > 2  # of 5


def test_all_offsets_are_equally_frequent():
    """A horizontal ramp in one channel and a vertical one in another show where the window lies."""
    rows, columns = np.meshgrid(np.arange(32), np.arange(16), indexing="ij")
    image = np.stack([7 * rows, 14 * columns, 0 * rows], axis=-1).astype(np.uint8)
    count = 900
    settings = dataclasses.replace(NOTHING, translate_probability=1.0)
    found = to_pixels(augment(np.broadcast_to(image, (count, 32, 16, 3)), settings))
    # Away from the border pixel i shows (i + offset + 1/2) / 1.125 - 1/2.
    top = (found[:, 16, 8, 0] / 7 + 0.5) * 1.125 - 0.5 - 16
    left = (found[:, 16, 8, 1] / 14 + 0.5) * 1.125 - 0.5 - 8
    for offsets, largest in ((top, 4), (left, 2)):
        np.testing.assert_allclose(offsets, np.round(offsets), atol=1e-3)
        counts = np.bincount(np.round(offsets).astype(int), minlength=largest + 1)
        assert len(counts) == largest + 1
        expected = count / (largest + 1)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    assert abs(np.corrcoef(top, left)[0, 1]) < 5 / np.sqrt(count)


def crop_windows(count: int, height: int, width: int, **changes) -> np.ndarray:
    """(top, left, height, width) of the windows that `count` images were cropped to: a ramp along each axis shows them."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    image = np.stack([3 * rows, 6 * columns, 0 * rows], axis=-1).astype(np.uint8)
    settings = dataclasses.replace(NOTHING, crop_probability=1.0, **changes)
    pixels = to_pixels(augment(np.broadcast_to(image, (count, height, width, 3)), settings))
    # The first and the last row show the window's first and last pixel: a stretched image is clamped at its border.
    edges = [pixels[:, 0, 0, 0] / 3, pixels[:, 0, 0, 1] / 6, pixels[:, -1, -1, 0] / 3, pixels[:, -1, -1, 1] / 6]
    np.testing.assert_allclose(edges, np.round(edges), atol=1e-3)  # windows of whole pixels
    top, left, bottom, right = np.round(edges).astype(int)
    return np.stack([top, left, bottom - top + 1, right - left + 1], axis=1)


def test_a_crop_is_the_stretched_window():
    """Pillow's bilinear resize of the same window, rounded to whole levels after each of its two passes."""
    images = random_images(40)
    windows = crop_windows(40, HEIGHT, WIDTH)
    assert len(np.unique(windows, axis=0)) > 35
    cropped = to_pixels(augment(images, dataclasses.replace(NOTHING, crop_probability=1.0)))  # the same key
    for image, (top, left, height, width), found in zip(images, windows, cropped, strict=True):
        window = Image.fromarray(image[top : top + height, left : left + width])
        expected = np.asarray(window.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR), np.float64)
        assert np.abs(expected - found).max() < 1.6


def test_crop_and_translation_are_one_resampling_of_the_stretched_window():
    """Against two resamplings in turn, of an image in which a second one changes nothing: ramps."""
    rows, columns = np.meshgrid(np.arange(32), np.arange(16), indexing="ij")
    image = np.stack([7 * rows, 14 * columns, 0 * rows], axis=-1).astype(np.uint8)
    images = np.broadcast_to(image, (60, 32, 16, 3))
    both = dataclasses.replace(NOTHING, crop_probability=1.0, translate_probability=1.0)
    found = to_pixels(augment(images, both))
    translated = to_pixels(augment(images, dataclasses.replace(NOTHING, translate_probability=1.0)))
    cropped = to_pixels(augment(images, dataclasses.replace(NOTHING, crop_probability=1.0)))
    for axis, channel, slope in ((0, 0, 7.0), (1, 1, 14.0)):
        size = images.shape[1 + axis]
        line = (slice(None), 5) if axis == 0 else (5, slice(None))
        for one, moved, window in zip(found, translated, cropped, strict=True):
            positions = moved[line][:, channel] / slope  # where the translation looks, in the stretched window
            expected = np.interp(positions, np.arange(size), window[line][:, channel])
            # Stretching clamps half a pixel at the border, where the ramp has a kink that is sampled once or twice.
            inner = (positions > 1) & (positions < size - 2)
            np.testing.assert_allclose(one[line][inner, channel], expected[inner], atol=1e-2)
    assert not np.array_equal(found, cropped)


def test_crop_windows_have_the_rule_s_sizes_and_places():
    count = 2000
    windows = crop_windows(count, 80, 40, crop_height=(0.4, 0.8), crop_width=(0.5, 1.0))
    top, left, height, width = windows.T
    assert (height.min(), height.max()) == (32, 64)
    assert (width.min(), width.max()) == (20, 40)
    for length, low, high in ((height, 32, 64), (width, 20, 40)):
        # Uniform between low and high and rounded: the ends get half of what the others get.
        share = np.full(high - low + 1, 1.0 / (high - low))
        share[[0, -1]] /= 2
        frequency = np.bincount(length - low, minlength=high - low + 1)
        assert np.abs(frequency - count * share).max() < 5 * np.sqrt(count * share.max())
    for start, length, size in ((top, height, 80), (left, width, 40)):
        # Given its length, every place is as likely: start / (size - length) has mean 1/2 and reaches both ends.
        room = (size - length)[length < size]
        place = start[length < size] / room
        assert abs(place.mean() - 0.5) < 5 * np.sqrt((1 / 12 + 1 / (6 * room)).mean() / len(place))
        assert place.min() == 0.0
        assert place.max() == 1.0
    for first, second in ((height, width), (top, left)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(count)


def test_a_window_of_everything_is_the_image():
    images = random_images(3)
    whole = dataclasses.replace(NOTHING, crop_probability=1.0, crop_height=(1.0, 1.0), crop_width=(1.0, 1.0))
    np.testing.assert_allclose(augment(images, whole), normalize_images(jnp.asarray(images)), atol=1e-4)


def test_each_image_is_cropped_by_its_own_coin():
    """And what else is drawn for an image is the same with crops and without: those that are not cropped do not change."""
    images = random_images(200, 8, 6)
    without = augment(images, AugmentSettings(erase_probability=0.0))
    found = augment(images, AugmentSettings(erase_probability=0.0, crop_probability=0.3, crop_height=(0.4, 0.6)))
    kept = np.all(found == without, axis=(1, 2, 3))
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 200)


def test_crops_under_vmap():
    """What happens to an image of a stack of batches is what happens to it in its batch alone."""
    images = jnp.asarray(random_images(6, 16, 8)).reshape(2, 3, 16, 8, 3)
    settings = dataclasses.replace(NOTHING, crop_probability=0.7)
    keys = jax.random.split(jax.random.key(5), 2)
    stacked = jax.jit(jax.vmap(lambda key, batch: augment_images(key, batch, settings=settings).image))(keys, images)
    for key, batch, found in zip(keys, images, stacked, strict=True):
        np.testing.assert_allclose(found, compiled(settings)(key, batch), atol=1e-5)


def erased_rectangles(count: int, **changes) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths of what was erased from `count` images of 256 x 128; checks that it is a filled rectangle."""
    settings = dataclasses.replace(NOTHING, erase_probability=1.0, erase_fill=(5.0, 6.0, 7.0), **changes)
    images = np.full((count, 256, 128, 3), 128, np.uint8)
    found = augment(images, settings)
    erased = np.all(found == np.array([5.0, 6.0, 7.0], np.float32), axis=-1)
    np.testing.assert_allclose(to_pixels(found[~erased]), 128.0, atol=1e-3)
    heights = np.any(erased, axis=2).sum(axis=1)
    widths = np.any(erased, axis=1).sum(axis=1)
    np.testing.assert_array_equal(erased.sum(axis=(1, 2)), heights * widths)
    return heights, widths


def test_erased_rectangles_have_the_recipe_s_sizes():
    heights, widths = erased_rectangles(300)
    area, aspect = heights * widths / (256 * 128), heights / widths
    # Sides are rounded to whole pixels: half a pixel of the smallest side, about 14.
    assert area.min() > 0.02 * 0.9
    assert area.max() < 0.4 * 1.05
    assert aspect.min() > 0.3 * 0.95
    assert aspect.max() < 1.05 / 0.3
    # What fits is kept, so the two are not exactly uniform; compare with a slow loop of the same definition.
    stream = np.random.RandomState(0)
    slow_area, slow_aspect = [], []
    while len(slow_area) < 20000:
        a, r = stream.uniform(0.02, 0.4) * 256 * 128, stream.uniform(0.3, 1 / 0.3)
        height, width = round(np.sqrt(a * r)), round(np.sqrt(a / r))
        if height < 256 and width < 128:
            slow_area.append(height * width / (256 * 128))
            slow_aspect.append(height / width)
    for found, slow in ((area, slow_area), (aspect, slow_aspect)):
        assert abs(found.mean() - np.mean(slow)) < 5 * np.std(slow) / np.sqrt(len(found))
        assert abs(np.median(found) - np.median(slow)) < 7 * np.std(slow) / np.sqrt(len(found))


def test_erasing_covers_the_image_evenly_in_position():
    """Tops and lefts are uniform over all places where the rectangle fits: both borders are reached."""
    settings = dataclasses.replace(
        NOTHING, erase_probability=1.0, erase_area=(0.25, 0.25), erase_aspect=(1.0, 1.0), erase_fill=(9.0, 9.0, 9.0)
    )
    found = augment(np.zeros((600, 8, 8, 3), np.uint8), settings)  # 4 x 4 in 8 x 8: 5 places each way
    erased = np.all(found == 9.0, axis=-1)
    for axis in (1, 2):
        first = np.argmax(np.any(erased, axis=3 - axis), axis=1)
        counts = np.bincount(first, minlength=5)
        assert len(counts) == 5
        assert np.abs(counts - 120).max() < 5 * np.sqrt(120)


def test_erased_pixels_are_the_imagenet_mean_by_default():
    images = random_images(4)
    found = augment(images, dataclasses.replace(NOTHING, erase_probability=1.0))
    erased = np.all(found == 0.0, axis=-1)
    assert np.all(erased.sum(axis=(1, 2)) >= 0.9 * 0.02 * HEIGHT * WIDTH)
    kept = np.asarray(normalize_images(jnp.asarray(images)))
    np.testing.assert_array_equal(found[~erased], kept[~erased])


def test_rectangles_that_never_fit_erase_nothing():
    settings = dataclasses.replace(NOTHING, erase_probability=1.0, erase_area=(1.0, 1.0), erase_aspect=(2.0, 2.0))
    images = random_images(3)
    np.testing.assert_array_equal(augment(images, settings), normalize_images(jnp.asarray(images)))


def test_augmentation_depends_on_key_and_position_only():
    """Image i's augmentation is that of key i, whatever the other images are; another key gives another."""
    images = random_images(6)
    settings = AugmentSettings()
    first = augment(images, settings, seed=1)
    np.testing.assert_array_equal(first, augment(images, settings, seed=1))
    changed = images.copy()
    changed[3:] = 0
    np.testing.assert_array_equal(first[:3], augment(changed, settings, seed=1)[:3])
    assert not np.array_equal(first, augment(images, settings, seed=2))
    assert first.dtype == np.float32
    assert np.isfinite(first).all()


def test_one_in_two_of_everything_by_default():
    """The released recipe: about an eighth of the images stays as it is."""
    images = random_images(400, 16, 8)
    kept = np.all(
        augment(images, AugmentSettings()) == np.asarray(normalize_images(jnp.asarray(images))), axis=(1, 2, 3)
    )
    assert abs(kept.mean() - 1 / 8) < 5 * np.sqrt(1 / 8 * 7 / 8 / 400)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_probability": -0.1}, "crop_probability must lie in 0..1, found -0.1"),
        ({"crop_height": (0.0, 1.0)}, r"crop_height must be \(low, high\) with 0 < low <= high <= 1"),
        ({"crop_width": (0.8, 0.5)}, r"crop_width must be .*, found \(0.8, 0.5\)"),
        ({"crop_width": (0.5, 1.2)}, "crop_width must be"),
        ({"flip_probability": 1.5}, "flip_probability must lie in 0..1, found 1.5"),
        ({"enlargement": 0.9}, "enlargement must be at least 1"),
        ({"erase_area": (0.5, 0.4)}, "erase_area must be"),
        ({"erase_aspect": (0.0, 1.0)}, "erase_aspect must be"),
        ({"recolor_probability": 1.1}, "recolor_probability must lie in 0..1, found 1.1"),
        ({"recolor_gamma": 0.9}, "recolor_gamma must be at least 1"),
        ({"recolor_gamma": float("nan")}, "recolor_gamma must be at least 1 .*, found nan"),
        ({"recolor_saturation": 0.5}, "recolor_saturation must be at least 1 .*, found 0.5"),
        ({"recolor_saturation": float("inf")}, "recolor_saturation must be at least 1 .*, found inf"),
        ({"erase_fill": (0.0, 0.0)}, r"erase_fill must be three numbers, red, green and blue, found \(0.0, 0.0\)"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        # Past the annotations, which outside of tests nobody checks.
        AugmentSettings.__post_init__(types.SimpleNamespace(**{**vars(AugmentSettings()), **changes}))


def test_what_is_told_of_augmented_images():
    """`clean` is the image before it was erased, `flipped` says which ones were mirrored."""
    images = jnp.asarray(random_images(32, 16, 8))
    key = jax.random.key(4)
    all_of_it = AugmentSettings(crop_probability=0.5, erase_probability=1.0)
    found = jax.jit(lambda key, images: augment_images(key, images, settings=all_of_it))(key, images)
    np.testing.assert_array_equal(found.image, augment(np.asarray(images), all_of_it, seed=4))
    not_erased = augment(np.asarray(images), dataclasses.replace(all_of_it, erase_probability=0.0), seed=4)
    # Back from normalised units: a few roundings of numbers up to 255.
    np.testing.assert_allclose(found.clean, to_pixels(not_erased) / 127.5 - 1.0, atol=2e-6)
    assert found.clean.dtype == jnp.float32

    only_flipped = dataclasses.replace(NOTHING, flip_probability=0.5)
    told = jax.jit(lambda key, images: augment_images(key, images, settings=only_flipped))(key, images)
    np.testing.assert_array_equal(told.flipped, found.flipped)  # the same draw, whatever else is done
    assert 5 < int(told.flipped.sum()) < 27
    for image, clean, flipped in zip(np.asarray(images), told.clean, told.flipped, strict=True):
        np.testing.assert_allclose(clean, (image[:, ::-1] if flipped else image) / 127.5 - 1.0, atol=1e-6)


def slow_mirror(texture: np.ndarray, mirror_map: np.ndarray) -> np.ndarray:
    mirrored = np.empty_like(texture)
    for row in range(len(mirror_map)):
        for column in range(len(mirror_map)):
            mirrored[row, column] = texture[tuple(mirror_map[row, column])]
    return mirrored


def test_flipped_images_have_mirrored_textures():
    """As a dataset's `mirror_map.npy` is defined, exactly, with a map that is far from its own inverse."""
    stream = np.random.RandomState(0)
    textures = stream.uniform(-1, 1, (3, 6, 6, 3)).astype(np.float32)
    mirror_map = stream.randint(0, 6, (6, 6, 2)).astype(np.uint16)
    found = mirror_textures(jnp.asarray(textures), jnp.asarray([True, False, True]), mirror_map)
    expected = [slow_mirror(textures[0], mirror_map), textures[1], slow_mirror(textures[2], mirror_map)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [4, 5, 24])
def test_textures_of_another_size_are_mirrored_at_the_map_s(size: int):
    """12 texels a side in the map: each of a texture's texels is the mean of what it covers, by shares of 1/60."""
    stream = np.random.RandomState(size)
    texture = stream.uniform(-1, 1, (size, size, 3)).astype(np.float32)
    mirror_map = stream.randint(0, 12, (12, 12, 2)).astype(np.uint16)
    flipped = jnp.asarray([True])
    found = mirror_textures(jnp.asarray(texture[None]), flipped, mirror_map)[0]
    fine = 120  # a multiple of all sizes
    nearest = (np.arange(12) + 0.5) * size // 12
    at_the_map_s = texture[np.ix_(nearest.astype(int), nearest.astype(int))]
    mirrored = slow_mirror(at_the_map_s, mirror_map).astype(np.float64).repeat(fine // 12, 0).repeat(fine // 12, 1)
    expected = mirrored.reshape(size, fine // size, size, fine // size, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)
