"""Options of the train step as configs give them: what is refused at once, and the rates of alternating optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import config_path, train
from san_jax import optim


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            "san:loss.triplet_reid_sampling=fixed,batch.images_per_identity=2",
            "batches of 4 images per identity: set batch.images_per_identity=4, found 2",
        ),
        ("san:augment.mirror_textures=true,target=input", r"augment.mirror_textures is for textures.*target='input'"),
        ("san_pg:pit_augment.mirror_textures=true,target=frontal", r"Set pit_augment.mirror_textures=False"),
        (
            "baseline:batch.num_identities=1",
            r"is 0 where a batch holds only one: set batch\.num_identities to 2 or more",
        ),
        ("san:batch.num_identities=1", r"found 1, or loss\.triplet=0\."),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_made(config, message, tmp_path):
    with pytest.raises(train.RunError, match=message):
        train.run(config_path.load(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_generator_that_is_no_run_is_told(tmp_path, monkeypatch):
    config = config_path.load(f"baseline:pretrained=,input=texture,generator={tmp_path / 'absent'},data_dir={tmp_path}")
    monkeypatch.setattr(train, "_open_data", lambda *a: train.pseudo_texture.load_generator(config.generator))
    with pytest.raises(
        train.RunError, match=r"data: .*absent/config\.json does not exist: expected the folder of a run"
    ):
        train.run(config, tmp_path / "run")


def test_alternating_optimizers_have_the_rates_of_the_run_s_steps():
    """Of turns reid, pit, pit the reID losses' optimizer updates in steps 0, 3, 6, ...; the warm-up ends with step 4."""
    config = config_path.load(
        "san:turns=('reid', 'pit', 'pit'),optimizer.alternating=true,optimizer.steps_per_epoch=4,"
        "optimizer.warmup_epochs=1,optimizer.weight_decay=0.0"
    )
    schedule, optimizer = train.build_optimizer(config)
    assert isinstance(optimizer, optim.AlternatingOptimizer)
    params = {"encoder": jnp.ones(())}
    state, update = optimizer.reid.init(params), jax.jit(optimizer.reid.update)
    for step in (0, 3, 6, 9):
        # With a gradient that is always the same Adam moves by the rate, also after it started anew.
        changes, state = update({"encoder": jnp.asarray(5.0)}, state, params)
        np.testing.assert_allclose(changes["encoder"], -np.asarray(schedule(step)), rtol=1e-5)
    assert float(schedule(3)) < float(schedule(6))

    state, update = optimizer.reconstruction.init(params), jax.jit(optimizer.reconstruction.update)
    for gradient in (5.0, 1.0):
        changes, state = update({"encoder": jnp.asarray(gradient)}, state, params)
    # The released code's: rate 1e-5, b1 = 0.5, b2 = 0.999, no weight decay; the second of two updates by hand.
    first = (0.5 * 2.5 + 0.5 * 1.0) / (1 - 0.5**2)
    second = (0.999 * 0.001 * 25.0 + 0.001 * 1.0) / (1 - 0.999**2)
    np.testing.assert_allclose(changes["encoder"], -1e-5 * first / np.sqrt(second), rtol=1e-5)
