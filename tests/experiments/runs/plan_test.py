"""experiments/runs/plan.py: what follows from a config, and every combination of keys that is refused."""

import dataclasses
import pathlib
import re

import pytest

from experiments.command_line import config_files
from experiments.runs import plan
from experiments.runs.errors import RunError
from experiments.runs.plan import resolve
from experiments.runs.settings import RunSettings, keys_that_may_change

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

# Config and what is wrong with it. Every message names the key, what was found and what to do.
REFUSED = [
    ("san.py:start.kind=download", r"start\.kind must be one of imagenet, file, run, random, found 'download'"),
    ("san.py:start.path=", r"start\.kind=run needs start\.path: the folder of an earlier run"),
    ("san_pg.py:start.kind=file", r"start\.kind=file needs start\.path: a \.pth or \.safetensors file"),
    ("san_pg.py:start.path=runs/x", r"start\.path=runs/x belongs to start\.kind=run .* found start\.kind=imagenet"),
    ("baseline.py:start.classifier=true", r"start\.classifier takes the classifier of a run: set start\.kind=run"),
    ("san.py:batch_kinds=('pit',)", r"batch_kinds must be made of 'reid' and 'pit', with 'reid' among them"),
    ("san.py:batch_kinds=('reid','market')", r"batch_kinds must be made of 'reid' and 'pit'"),
    ("san.py:batch.num_identities=1", r"set batch\.num_identities to 2 or more, found 1, or loss\.triplet=0"),
    ("baseline.py:batch.images_per_identity=0", r"batch\.images_per_identity must be at least 1, found 0"),
    ("san_pg.py:batch.pit_size=0", r"batch\.pit_size must be at least 1, found 0"),
    (
        "san.py:loss.triplet_reid_sampling=fixed,batch.images_per_identity=3",
        r"set batch\.images_per_identity=4, found 3",
    ),
    (
        "san.py:loss.triplet_reid_sampling=hard",
        r"loss: triplet_reid_sampling must be 'random' or 'fixed', found 'hard'",
    ),
    ("san.py:loss.triplet_reid_blocks=(0,1)", r"loss: triplet_reid_blocks must be different numbers"),
    (
        "san.py:loss.triplet_reid=0.0,loss.triplet_reid_normalize=true",
        r"loss\.triplet_reid_normalize=True changes L_TR, which loss\.triplet_reid=0 leaves out",
    ),
    (
        "san.py:loss.triplet_reid=0.0,loss.triplet_reid_stop_gradient=true",
        r"loss\.triplet_reid_stop_gradient=True changes L_TR, which loss\.triplet_reid=0 leaves out",
    ),
    (
        "san.py:loss.triplet_reid=0.0,loss.triplet_reid_cross_camera=true",
        r"loss\.triplet_reid_cross_camera=True changes L_TR, which loss\.triplet_reid=0 leaves out",
    ),
    (
        "san.py:loss.triplet_reid_cross_camera=true,loss.triplet_reid_sampling=fixed",
        r"triplet_reid_cross_camera=True draws positives .* loss\.triplet_reid_sampling='fixed' does not",
    ),
    (
        "san.py:loss.triplet_reid=0.0,loss.triplet_reid_block_weights=(1.0,0.5,0.25)",
        r"loss\.triplet_reid_block_weights=\(1\.0, 0\.5, 0\.25\) changes L_TR, which loss\.triplet_reid=0 leaves out",
    ),
    (
        "san.py:loss.triplet_reid_block_weights=(1.0,0.5)",
        r"loss: triplet_reid_block_weights must be a weight .* found \(1\.0, 0\.5\) for blocks \(1, 2, 3\)",
    ),
    ("san.py:loss.triplet_reid_maps=relu", r"loss: triplet_reid_maps must be one of output, .* found 'relu'"),
    (
        "san.py:loss.triplet_reid=0.0,loss.triplet_reid_maps=after_norm",
        r"loss\.triplet_reid_maps=after_norm changes L_TR, which loss\.triplet_reid=0 leaves out",
    ),
    (
        "san.py:loss.triplet_reid_blocks=(),loss.triplet_reid_normalize=true",
        r"loss\.triplet_reid_normalize=True changes L_TR, which no decoder block leaves out",
    ),
    ("san.py:num_steps=-1", r"num_steps must be a number of steps, or 0"),
    ("san.py:num_epochs=0", r"num_epochs must be positive, found 0"),
    ("san.py:checkpoint_every_epochs=0", r"checkpoint_every_epochs must be positive, found 0"),
    ("san.py:eval_every_epochs=-1.0", r"eval_every_epochs must be 0 \(never\) or more, found -1"),
    ("san.py:held_out_identities=-1", r"held_out_identities must be a number of identities, .* found -1"),
    ("san.py:held_out_identities=5", r"held_out_identities=5 is scored .* eval_every_epochs=0 never does"),
    ("san.py:eval_dataset=cuhk03", r"eval_dataset='cuhk03' is scored .* eval_every_epochs=0 never does"),
    (
        "san.py:held_out_identities=5,eval_dataset=cuhk03,eval_every_epochs=1",
        r"held_out_identities=5 and eval_dataset='cuhk03' both say what is scored",
    ),
    ("san.py:log_every=0", r"log_every must be at least 1, found 0"),
    ("san.py:keep_checkpoints=0", r"keep_checkpoints must be at least 1, found 0"),
    ("san.py:image_size=(256,0)", r"image_size must be a height and a width in pixels, found \(256, 0\)"),
    ("san.py:image_size=(256,)", r"image_size must be a height and a width in pixels"),
    ("san.py:ema_decay=1.0", r"ema_decay must lie in 0\.\.1, 1 excluded"),
    ("san.py:batch_norm_images=-1", r"batch_norm_images must be .* at least 2, or 0 .* found -1"),
    ("baseline.py:batch_norm_images=1", r"batch_norm_images must be .* at least 2, or 0 .* found 1"),
    ("san.py:prepare=all", r"prepare must be 'smoke' or empty, found 'all'"),
    ("san.py:test_metric=manhattan", r"test_metric must be one of .*cosine.*, found 'manhattan'"),
    ("baseline.py:input.kind=depth", r"input\.kind must be one of image, texture, found 'depth'"),
    ("baseline.py:input.kind=texture", r"input\.kind=texture and input\.path .* belong together"),
    ("baseline.py:input.path=runs/san_pg", r"input\.kind=texture and input\.path .* belong together"),
    ("san.py:target.kind=pose", r"target\.kind must be one of texture, .* found 'pose'"),
    ("san_pg.py:target.kind=folder", r"target\.kind must be one of texture, input, frontal with method=san_pg"),
    ("san.py:target.kind=folder,batch_kinds=('reid',)", r"target\.kind=folder and target\.path .* belong together"),
    ("san.py:target.path=views", r"target\.kind=folder and target\.path .* belong together"),
    ("san.py:target.kind=folder,target.path=views", r"target\.kind=folder has no targets for PIT images"),
    ("san.py:target.kind=input,augment.mirror_textures=true", r"augment\.mirror_textures is for textures"),
    ("san_pg.py:target.kind=frontal,pit_augment.mirror_textures=true", r"pit_augment\.mirror_textures is for textures"),
    (
        "san.py:batch_kinds=('reid',),pit_augment.recolor_probability=0.5",
        r"pit_augment\.recolor_probability=0\.5 recolours PIT batches, and batch_kinds=\('reid',\) has none",
    ),
    (
        "san_pg.py:pit_augment.recolor_probability=1.5",
        r"pit_augment: recolor_probability must lie in 0\.\.1, found 1\.5",
    ),
    ("san_pg.py:pit_augment.recolor_saturation=0.5", r"pit_augment: recolor_saturation must be at least 1"),
    ("san.py:model.encoder=vgg16", r"model: encoder must be one of resnet50, .* found 'vgg16'"),
    ("san.py:model.pooling=max", r"model: pooling must be one of average, gem, found 'max'"),
    ("san.py:model.compute_dtype=float16", r"model: compute_dtype must be one of float32, bfloat16, found 'float16'"),
    ("san.py:augment.flip_probability=2.0", r"augment: flip_probability must lie in 0\.\.1, found 2\.0"),
    ("san.py:optimizer.name=sgd", r"optimizer: name must be one of amsgrad, adam, found 'sgd'"),
    ("san.py:optimizer.schedule=step", r"optimizer: schedule must be one of released, cosine, found 'step'"),
    ("san.py:optimizer.warmup_epochs=-1.0", r"optimizer: warmup_epochs must"),
    ("san.py:optimizer.gradient_clip_norm=-1.0", r"optimizer: gradient_clip_norm must"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_keys_that_do_not_go_together_are_refused(config: str, message: str):
    with pytest.raises(RunError, match=message):
        resolve(config_files.load(config))


def test_an_unknown_method_is_refused():
    config = config_files.load("san.py").unlock()
    config.method = "pcb"
    with pytest.raises(RunError, match="method must be one of san_pg, san, baseline, found 'pcb'"):
        resolve(config)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(RunError) as error:
        resolve(config_files.load("san.py:start.path=,num_epochs=0,target.kind=folder"))
    text = str(error.value)
    assert text.startswith("This run cannot start, for 3 reasons:")
    assert [word in text for word in ("start.path", "num_epochs", "target.path")] == [True] * 3


def test_every_default_config_has_a_plan():
    configs = ["san_pg.py", "san.py", "baseline.py", "san_released.py", "san_partial.py", "baseline_partial.py"]
    for name in [*configs, *(f"{name}:smoke" for name in configs)]:
        made = resolve(config_files.load(name))
        assert dataclasses.is_dataclass(made)
        assert f"method: {made.method}" in str(made)


def test_what_follows_from_the_keys():
    san = resolve(config_files.load("san.py:dataset=msmt17"))
    assert san.reid == plan.ReidBatches("msmt17", "msmt17_textured", True, "image", 16, 4)
    assert san.pit == plan.PitBatches("pit", 64)
    assert (san.batch_kinds, san.batch_size("reid"), san.decoder_size) == (("reid", "pit"), 64, 256)
    assert (san.augment["reid"].flip_probability, san.augment["pit"].flip_probability) == (0.5, 0.0)

    baseline = resolve(config_files.load("baseline.py:input.kind=texture,input.path=runs/pg"))
    assert (baseline.target, baseline.decoder_size, baseline.textures_from) == (None, None, "runs/pg")
    assert baseline.reid is not None
    assert (baseline.reid.read_as, baseline.reid.feature) == ("market1501_textured", "texture")
    assert (baseline.batch_kinds, baseline.pit) == (("reid",), None)

    frontal = resolve(config_files.load("san.py:target.kind=frontal"))
    assert frontal.reid is not None
    assert (frontal.reid.read_as, frontal.decoder_size) == ("market1501_frontal", (256, 128))

    san_pg = resolve(config_files.load("san_pg.py:target.kind=input"))
    assert san_pg.target is not None
    assert (san_pg.reid, san_pg.test_metric, san_pg.target.batch_size) == (None, None, None)


@pytest.mark.parametrize(
    ("words", "epoch", "expected"),
    [
        ("", 94, plan.Steps(94, 30080, 50, 470, 0)),
        ("dataset=msmt17", 132, plan.Steps(132, 42240, 50, 660, 0)),
        ("num_steps=100", 94, plan.Steps(94, 100, 50, 470, 0)),
        ("num_epochs=0.5,checkpoint_every_epochs=0.001,eval_every_epochs=2", 94, plan.Steps(94, 47, 50, 1, 188)),
    ],
)
def test_durations_in_epochs_become_steps_of_the_data(words: str, epoch: int, expected: plan.Steps):
    assert resolve(config_files.load(f"san.py:{words}")).length.in_steps(epoch) == expected


def test_a_plan_cannot_be_changed():
    made = resolve(config_files.load("san.py"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_keys_that_may_change_exist():
    known = {field.name for field in dataclasses.fields(RunSettings)}
    free = keys_that_may_change()
    assert {key.partition(".")[0] for key in free} <= known
    assert {"log_every", "data_dir", "input.path", "target.path"} <= free
    assert not {"seed", "num_steps", "start.path", "batch.pit_size"} & free


def test_every_field_of_the_settings_is_a_key_of_some_config():
    reachable = {
        key for name in ("san_pg", "san", "baseline") for key, _ in config_files.leaves(config_files.load(name))
    }

    def fields(cls: type, prefix: str = ""):
        for field in dataclasses.fields(cls):
            if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
                yield from fields(field.type, f"{prefix}{field.name}.")
            else:
                yield prefix + field.name

    assert set(fields(RunSettings)) == reachable


def test_the_plan_alone_asks_for_the_method():
    """What the method means is in the plan: nothing else reads the key, under its name of today or its old one."""
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for package in ("experiments", "san_jax", "render", "datasets")
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"config\.(method|stage)\b|config\[.(method|stage).\]", line)
    ]
    assert found == []
