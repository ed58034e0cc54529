"""Both kinds of steps take L_Rec as the settings say."""

import jax.numpy as jnp
import numpy as np
import pytest

from san_jax import losses
from san_jax.data.augment import normalize_images, normalize_textures
from san_jax.settings import LossSettings
from tests.san_jax.train_step_test import copy, forward, make_batch, make_tiny


@pytest.mark.parametrize("kind", ["reid", "pit"])
def test_l_rec_is_taken_in_the_colours_of_the_settings(kind):
    settings = LossSettings(reconstruction_space="opponent", reconstruction_chroma=3.0)
    step, state, _, graphdef = make_tiny(kind, settings=settings)
    batch = make_batch(0)
    _, metrics = step(copy(state), batch)
    texture = forward(graphdef, state, normalize_images(jnp.asarray(batch["image"]))).texture
    targets = normalize_textures(jnp.asarray(batch["texture"]))
    expected = losses.reconstruction_loss(texture, targets, space="opponent", chroma=3.0)
    np.testing.assert_allclose(metrics["reconstruction"], expected, rtol=1e-5)
    assert abs(float(expected - losses.reconstruction_loss(texture, targets))) > 1e-2
