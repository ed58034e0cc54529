"""experiments/runs/restore.py: configs of earlier runs, models by config, and what inference loads of a run."""

import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from experiments.command_line import config_files
from experiments.runs import pseudo_textures, restore, training
from experiments.scoring import evaluation
from san_jax import checkpoint, train_state
from san_jax.files import write_atomic
from san_jax.models import SAN, DenseNet, split_model
from tests.experiments.export_runs import write_run

QUICK = {"xla_backend_optimization_level": 0}  # what runs once need not be optimized by LLVM
CONFIGS = ("san_pg.py", "san.py", "baseline.py")


def write_config(workdir: Any, config: dict[str, Any]) -> None:
    write_atomic(workdir / restore.CONFIG_FILE, json.dumps(config).encode())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_from_before_any_added_key_gets_those_of_its_stage(name, tmp_path):
    """And no others: decoder-only keys are none of a baseline's."""
    today = config_files.load(name)
    old = today.to_dict()
    for key in restore.ADDED_KEYS:
        group, _, leaf = key.rpartition(".")
        (old.get(group, {}) if group else old).pop(leaf, None)
    old["model"]["stage_sizes"] = [3, 4, 6, 3]  # as it was written then
    write_config(tmp_path, old)
    expected = today.copy_and_resolve_references().unlock()
    for key in config_files.keys(today):
        if key in restore.ADDED_KEYS:
            config_files.assign(expected, key, restore.ADDED_KEYS[key])
    read = restore.read_config(tmp_path)
    assert config_files.differences(expected, read) == {}
    assert read.model.stage_sizes == ()
    assert ("model.skips" in config_files.keys(read)) == (name != "baseline.py")


def test_own_stage_sizes_of_an_earlier_run_are_kept(tmp_path):
    old = config_files.load("baseline.py").to_dict()
    del old["model"]["encoder"]
    old["model"]["stage_sizes"] = [2, 2, 2, 2]
    write_config(tmp_path, old)
    assert restore.read_config(tmp_path).model.stage_sizes == (2, 2, 2, 2)


def test_configs_of_one_stage_have_the_same_keys():
    for name in ("san", "baseline"):
        partial = config_files.load(f"{name}_partial.py")
        assert config_files.keys(partial) == config_files.keys(config_files.load(f"{name}.py"))


def build(argument: str, **arguments: Any) -> SAN:
    """A model's shapes."""
    config = config_files.load(argument)
    return nnx.eval_shape(lambda: restore.build_model(config, 3, **{"decoder": True, "seed": 0, **arguments}))


@pytest.mark.parametrize(
    ("target", "size"), [("texture", (32, 32)), ("true_texture", (32, 32)), ("input", (64, 32)), ("frontal", (64, 32))]
)
def test_the_decoder_gives_what_the_target_is(target, size):
    decoder = build(f"san.py:smoke,target={target}").decoder
    assert decoder is not None
    assert decoder.texture_size == size


def test_models_are_built_by_their_keys():
    options = "model.encoder=densenet121,model.feature_size=6,model.pooling=gem,model.bnneck=true"
    model = build(f"san.py:smoke,model.skips=true,{options}")
    assert isinstance(model.encoder, DenseNet)
    assert model.encoder.block1.num_layers == 1  # the smoke config's own sizes
    assert model.skips
    assert model.embedding_size == 6
    assert None not in (model.pooling, model.head, model.neck)
    baseline = build(f"baseline.py:smoke,{options}", decoder=False)
    assert baseline.decoder is None
    assert baseline.embedding_size == 6
    generator = build("san_pg.py:smoke,model.skips=true,model.encoder=resnet101")
    assert generator.skips
    assert generator.head is None
    with pytest.raises(ValueError, match=r"target must be one of .*, found 'textures'"):
        build("san.py:smoke,target=textures")
    with pytest.raises(ValueError, match=r"compute_dtype must be one of float32, bfloat16, found 'half'"):
        build("san.py:smoke,model.compute_dtype=half")


def test_the_encoders_own_sizes_are_the_default():
    config = config_files.load("baseline.py:smoke,model.stage_sizes=()")
    model = nnx.eval_shape(lambda: restore.build_model(config, 0, decoder=False, seed=0))
    assert [getattr(model.encoder, f"stage{number}").num_blocks for number in (1, 2, 3, 4)] == [3, 4, 6, 3]


def test_inference_loads_all_that_the_embedding_needs(tmp_path):
    """Pooling, head and neck, but neither decoder nor classifier; the embeddings are the whole model's."""
    config = config_files.load(
        "san.py:smoke,model.width=2,model.feature_size=6,model.pooling=gem,model.bnneck=true,model.skips=true"
    )
    draw = jax.jit(
        lambda: train_state.create(restore.build_model(config, 3, decoder=True, seed=1), optax.sgd(0.1))[1],
        compiler_options=QUICK,
    )
    state = draw()
    checkpoints = checkpoint.Checkpoints(tmp_path / restore.CHECKPOINT_FOLDER, keep=1)
    checkpoints.save(1, state, {})
    checkpoints.close()
    write_atomic(tmp_path / restore.CONFIG_FILE, config_files.to_json(config).encode())

    whole, _ = restore.load_run(tmp_path)
    alone, _ = restore.load_run(tmp_path, encoder_only=True)
    assert set(split_model(alone)[1]) == {"encoder", "pooling", "head", "neck"}
    assert set(split_model(whole)[1]) == {"encoder", "pooling", "head", "neck", "decoder", "classifier"}
    images = jnp.asarray(np.random.RandomState(0).normal(size=(2, 64, 32, 3)), jnp.float32)
    encode = jax.jit(lambda: [model.encode(images)[1] for model in (whole, alone)], compiler_options=QUICK)
    embeddings = encode()
    assert embeddings[0].shape == (2, 6)
    np.testing.assert_array_equal(*embeddings)


def textured_run(folder: pathlib.Path) -> pathlib.Path:
    """A baseline on textures whose config names its generator by a relative path, both in `folder`/runs."""
    write_run(folder / "runs" / "san_pg", "san_pg.py:smoke", model__width=2)
    workdir = folder / "runs" / "on textures, ä"
    write_run(workdir, "baseline.py:smoke", model__width=2, input="texture", generator="runs/san_pg")
    digest = pseudo_textures.load_generator(folder / "runs" / "san_pg").digest
    write_atomic(workdir / restore.DATA_FILE, json.dumps({"generator_sha256": digest}).encode())
    return workdir


def load_generator(workdir: pathlib.Path) -> Any:
    return evaluation._load_generator(restore.read_config(workdir), restore.read_data(workdir), workdir)


def test_runs_that_were_moved_find_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = load_generator(textured_run(tmp_path))
    assert before.workdir == "runs/san_pg"
    (tmp_path / "other disk").mkdir()
    moved = shutil.move(tmp_path / "runs", tmp_path / "other disk" / "runs")
    workdir = moved / "on textures, ä"
    model, _ = restore.load_run(workdir, encoder_only=True)
    assert model.embedding_size == 64
    after = load_generator(workdir)
    assert after.digest == before.digest
    assert after.workdir == str(moved / "san_pg")
    # From another folder, by a relative path.
    monkeypatch.chdir(moved)
    assert load_generator(pathlib.Path(workdir.name)).digest == before.digest


def test_a_generator_that_was_left_behind_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = textured_run(tmp_path)
    alone = shutil.copytree(workdir, tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(alone)
    with pytest.raises(FileNotFoundError) as error:
        load_generator(alone)
    message = str(error.value)
    assert f"{alone / 'config.json'} names the run runs/san_pg, which is not there now (looked from {alone})" in message
    assert f"neither is {tmp_path / 'elsewhere' / 'san_pg'}. Put that run, or a link to it" in message
    (tmp_path / "elsewhere" / "san_pg").symlink_to(tmp_path / "runs" / "san_pg")
    assert load_generator(alone) is not None
    # Another run of that name beside it is no substitute.
    (tmp_path / "elsewhere" / "san_pg").unlink()
    write_run(tmp_path / "elsewhere" / "san_pg", "san_pg.py:smoke", model__width=3)
    with pytest.raises(ValueError, match=rf"those of {tmp_path / 'elsewhere' / 'san_pg'} are .* Put that state"):
        load_generator(alone)


def test_moved_inputs_do_not_make_another_run():
    """What is there is compared by digests instead."""

    def changed(name: str, key: str) -> set[str]:
        old, new = (config_files.load(f"{name}:{key}={folder}") for folder in ("a", "/disk/b"))
        return set(training.changed_keys(old, new))

    assert changed("baseline.py", "generator") == set()
    assert changed("san.py", "target_dir") == set()
    assert changed("san.py", "init_from") == {"init_from"}


@pytest.mark.parametrize("content", [b"", b'{"stage": "san"', b"[]", b"\xff\xfe"])
def test_a_damaged_config_or_record_is_named(tmp_path, content):
    (tmp_path / restore.CONFIG_FILE).write_bytes(content)
    (tmp_path / restore.DATA_FILE).write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match=rf"{restore.CONFIG_FILE} is damaged .*: put back a good copy"):
        restore.read_config(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=rf"{restore.DATA_FILE} is damaged"):
        restore.read_data(tmp_path)


@pytest.mark.parametrize("config", [{}, {"stage": "pit"}, {"stage": []}, {"stage": "san", "model": 3}])
def test_a_config_of_something_else_is_named(tmp_path, config):
    write_config(tmp_path, config)
    with pytest.raises(checkpoint.CheckpointError, match=rf"{restore.CONFIG_FILE} is no config of a run"):
        restore.read_config(tmp_path)
