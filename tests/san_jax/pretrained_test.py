"""The encoders that come with the package: they load, fit their cards, and embed as they did when they were exported."""

import json

import numpy as np
import pytest

import san_jax
from san_jax import pretrained

LARGEST = 8 << 20  # bytes of a folder: it is part of every clone and wheel

# First numbers of the embedding of `_picture`, by JAX on an AMD EPYC on the day of the export.
EMBEDDED = {"rendered-small": (-0.88032, -2.47557, -0.76572, -0.75973, 1.19014, -0.59889, 1.61613, -2.2579)}


def _picture() -> np.ndarray:
    """A picture that depends on nothing: a blue and a brown rectangle before slopes of grey, uint8 [128 64 3]."""
    rows, columns = np.mgrid[0:128, 0:64]
    picture = np.repeat((60 + rows // 2 + columns)[..., None], 3, axis=2).astype(np.uint8)
    picture[30:70, 18:46] = (40, 60, 160)
    picture[70:120, 22:42] = (110, 80, 50)
    return picture


def test_there_is_one():
    assert "rendered-small" in pretrained.names()


@pytest.mark.parametrize("name", pretrained.names())
def test_an_encoder_embeds_as_when_it_was_exported(name: str):
    encoder = san_jax.load_encoder(name, batch_size=1)
    (embedding,) = encoder([_picture()])
    assert embedding.shape == (encoder.embedding_size,)
    expected = np.array(EMBEDDED[name])
    np.testing.assert_allclose(embedding[: len(expected)], expected, rtol=1e-3, atol=1e-3 * np.abs(embedding).max())


@pytest.mark.parametrize("name", pretrained.names())
def test_a_card_says_what_the_encoder_was_trained_on_and_how_well_it_does(name: str):
    folder = pretrained.find(name).parent
    card = json.loads((folder / "model_card.json").read_text())
    assert card["trained_on"]["dataset"] == "pit_reid"  # rendered persons: no picture of anybody
    scored = {one["dataset"]: one for one in card["scores"]}
    assert {"pit_reid", "market1501"} <= scored.keys()
    assert card["microscope"] is not None
    assert (folder / "README.md").is_file()
    assert sum(path.stat().st_size for path in folder.iterdir()) < LARGEST


@pytest.mark.parametrize("name", pretrained.names())
def test_thresholds_come_along(name: str):
    encoder = san_jax.load_encoder(name, batch_size=2)
    other = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    verdict = encoder.same_person([_picture(), _picture()], [_picture(), other])
    assert verdict.same.tolist() == [True, False]
    assert 0.0 < verdict.false_match_rate < 0.1
