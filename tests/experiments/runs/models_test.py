"""experiments/runs/models.py: models by plan, and what inference loads of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.command_line import config_files
from experiments.runs import folder, models
from experiments.runs.plan import resolve
from san_jax import checkpoint, run_folder, train_state
from san_jax.models import SAN, DenseNet, split_model


def build(argument: str) -> SAN:
    """A model's shapes."""
    return models.skeleton(resolve(config_files.load(argument)), 3)


@pytest.mark.parametrize(
    ("target", "size"), [("texture", (32, 32)), ("true_texture", (32, 32)), ("input", (64, 32)), ("frontal", (64, 32))]
)
def test_the_decoder_gives_what_the_target_is(target, size):
    decoder = build(f"san.py:smoke,target.kind={target}").decoder
    assert decoder is not None
    assert decoder.texture_size == size


def test_models_are_built_by_their_keys():
    options = "model.encoder=densenet121,model.feature_size=6,model.pooling=gem,model.bnneck=true"
    san = build(f"san.py:smoke,model.skips=true,{options}")
    assert isinstance(san.encoder, DenseNet)
    assert san.encoder.block1.num_layers == 1  # the smoke config's own sizes
    assert san.skips
    assert san.embedding_size == 6
    assert None not in (san.pooling, san.head, san.neck)
    baseline = build(f"baseline.py:smoke,{options}")
    assert baseline.decoder is None
    assert baseline.embedding_size == 6
    san_pg = build("san_pg.py:smoke,model.skips=true,model.encoder=resnet101")
    assert san_pg.skips
    assert san_pg.head is None


def test_the_encoders_own_sizes_are_the_default():
    baseline = build("baseline.py:smoke,model.stage_sizes=()")
    assert [getattr(baseline.encoder, f"stage{number}").num_blocks for number in (1, 2, 3, 4)] == [3, 4, 6, 3]


def test_inference_loads_all_that_the_embedding_needs(tmp_path):
    """Pooling, head and neck, but neither decoder nor classifier; the embeddings are the whole model's."""
    config = config_files.load(
        "san.py:smoke,model.width=2,model.feature_size=6,model.pooling=gem,model.bnneck=true,model.skips=true"
    )
    plan = resolve(config)
    draw = jax.jit(lambda: train_state.create(models.build(plan, 3), optax.sgd(0.1))[1])
    state = draw()
    checkpoints = checkpoint.Checkpoints(tmp_path / run_folder.CHECKPOINT_FOLDER, keep=1)
    checkpoints.save(1, state, {})
    checkpoints.close()
    folder.write_records(tmp_path, config, {}, {})

    whole, *_ = models.load_run(tmp_path)
    alone, loaded, _ = models.load_run(tmp_path, encoder_only=True)
    assert loaded == plan
    assert set(split_model(alone)[1]) == {"encoder", "pooling", "head", "neck"}
    assert set(split_model(whole)[1]) == {"encoder", "pooling", "head", "neck", "decoder", "classifier"}
    images = jnp.asarray(np.random.RandomState(0).normal(size=(2, 64, 32, 3)), jnp.float32)
    encode = jax.jit(lambda: [network.encode(images)[1] for network in (whole, alone)])
    embeddings = encode()
    assert embeddings[0].shape == (2, 6)
    np.testing.assert_array_equal(*embeddings)
