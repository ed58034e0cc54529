"""Statistics of pictures, against pictures whose numbers are known."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from experiments.domain import statistics

SIZE = (128, 64)


def described(image: np.ndarray, size: tuple[int, int] = SIZE) -> dict[str, float]:
    return statistics.describe(image, size)


def grey(level: int = 90, shape: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((*shape, 3), level, np.uint8)


def test_luminance_and_chroma_are_those_of_jpeg():
    image = np.random.RandomState(0).randint(0, 256, (16, 24, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).convert("YCbCr")).astype(float) - [0.0, 128.0, 128.0]
    np.testing.assert_allclose(np.stack(statistics.planes(image), axis=-1), expected, atol=1.01)


def test_a_plain_picture_has_nothing_but_its_luminance():
    found = described(grey(90))
    assert set(found) == set(statistics.NAMES)
    zero = [name for name in found if "gradient" in name or "grain" in name or "chroma" in name]
    assert {name: found[name] for name in [*zero, "contrast", "sharpness"]} == pytest.approx(
        dict.fromkeys([*zero, "contrast", "sharpness"], 0.0), abs=1e-4
    )
    assert found["luminance"] == found["torso_luminance"] == pytest.approx(90.0, abs=1e-4)
    assert found["blockiness"] == 1.0
    # Nothing to weigh: the spread of evenly spread places, 1 / sqrt(12).
    assert found["fill_x"] == pytest.approx(1.0 / math.sqrt(12.0), abs=1e-3)


def test_torso_and_legs_are_where_a_person_has_them():
    image = grey(200)
    image[26:64, 19:45] = 10  # rows 0.2 to 0.5, columns 0.3 to 0.7
    found = described(image)
    assert found["torso_luminance"] == pytest.approx(10.0, abs=1e-4)
    assert found["legs_luminance"] == pytest.approx(200.0, abs=1e-4)


def test_stripes_have_their_gradient_at_the_scale_of_their_width():
    """Columns in pairs of 2 dark and 2 bright: a jump of 100 at every second column, at each column of 2x2, none at 4x4."""
    image = np.repeat(np.tile(np.array([50, 50, 150, 150], np.uint8), (128, 16))[..., None], 3, axis=2)
    found = described(image)
    jumps = (np.arange(63) % 2 == 1).mean()
    assert found["luminance_gradient_1"] == pytest.approx(100.0 * jumps, rel=1e-4)
    assert found["luminance_gradient_2"] == pytest.approx(100.0, rel=1e-4)
    assert found["luminance_gradient_4"] == pytest.approx(0.0, abs=1e-3)
    assert found["offset_x"] == pytest.approx(0.0, abs=0.02)


def test_an_edge_is_found_where_it_is():
    image = grey(50)
    image[:, 48:] = 150
    found = described(image)
    assert found["offset_x"] == pytest.approx(0.25, abs=0.01)
    assert found["fill_x"] == pytest.approx(0.0, abs=1e-6)


def test_a_coarse_jpeg_shows_its_blocks():
    ramp = np.add.outer(np.arange(128), np.arange(64)) + 16.0 * np.random.RandomState(0).rand(128, 64)
    image = np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2)

    def stored(quality: int) -> float:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        return described(np.asarray(Image.open(buffer)))["blockiness"]

    assert described(image)["blockiness"] == pytest.approx(1.0, abs=0.05)
    assert stored(10) > 1.5 > stored(98)


def test_blocks_are_looked_for_at_the_pictures_own_size():
    image = grey(50, (64, 32))
    image[:, 8:] = 60  # one border of a block among 31, and nothing elsewhere but one step that is none
    image[:, 20:] = 65
    blocks = described(image)["blockiness"]
    columns, rows = 31, 63
    borders, others = 3 + 7, columns - 3 + rows - 7
    assert blocks == pytest.approx((10.0 / borders) / (5.0 / others), rel=1e-4)


@pytest.mark.parametrize(("shape", "size"), [((8, 20), SIZE), ((64, 32), (128, 8))])
def test_what_is_too_small_is_refused(shape, size):
    with pytest.raises(ValueError, match="expected a picture of more than 8 pixels and a size of 16 or more"):
        described(grey(1, shape), size)


def test_dark_torsos_are_counted():
    assert statistics.dark_share(np.array([10.0, 69.9, 70.0, 200.0])) == 0.5
