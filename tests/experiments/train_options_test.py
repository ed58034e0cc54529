"""Options of the train step as configs give them: what is refused at once, and the rates of alternating optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import training
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
    with pytest.raises(training.RunError, match=message):
        training.run(config_files.load(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "reasons"),
    [
        ("san:init_from=absent", ["init_from=absent: ", "'market1501_textured'", "'pit'"]),
        ("san:augment.enlargement=0.5", ["pretrained: the ImageNet weights", "augment: ", "_textured'", "'pit'"]),
        ("san:pretrained=,target=folder,target_dir=absent,turns=('reid',)", ["'market1501'", "target_dir=absent "]),
        (
            "baseline:optimizer.name=sgd,model.encoder=vgg",
            ["pretrained: ", "optimizer.name", "'market1501'", "model: "],
        ),
        (
            "baseline:pretrained=,input=texture,generator=absent",
            ["'market1501_textured'", "generator: absent/config.json does not exist: expected the folder of a run"],
        ),
        ("san_pg:pretrained=w.pth,pit_augment.enlargement=0.5", ["no file w.pth", "augment: ", "'pit'"]),
        ("baseline:smoke,pretrained=w.pth,optimizer.name=sgd", ["no file w.pth", "optimizer.name"]),
    ],
)
def test_all_that_is_missing_is_named_at_once_and_nothing_is_left(config, reasons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(training.RunError, match=f"cannot start, for {len(reasons)} reasons") as error:
        training.run(config_files.load(config), "runs/new")
    lines = [line for line in str(error.value).splitlines() if line.startswith("- ")]
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
    assert list(tmp_path.iterdir()) == []


def test_alternating_optimizers_have_the_rates_of_the_run_s_steps():
    """Of turns reid, pit, pit the reID losses' optimizer updates in steps 0, 3, 6, ...; the warm-up ends with step 4."""
    config = config_files.load(
        "san:turns=('reid', 'pit', 'pit'),optimizer.alternating=true,optimizer.steps_per_epoch=4,"
        "optimizer.warmup_epochs=1,optimizer.weight_decay=0.0"
    )
    schedule, optimizer = training.build_optimizer(config)
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
