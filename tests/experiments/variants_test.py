"""Every variant of the paper's tables and every option of the configs: trains, goes on after a stop, and evaluates.

The real programs on the real configs, shrunk: four steps with a checkpoint after the second; once more from that
checkpoint, to the same state bit for bit; then the encoder's scores. Each jitted step is compiled once for all of these
runs and with little optimization: tracing and compiling are nearly all of the time here.
"""

import functools
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

import datasets
from experiments.command_line import config_files
from experiments.runs import pseudo_textures, training
from experiments.runs.plan import resolve
from experiments.scoring import evaluation
from san_jax import metric_logger, optim, sharding, train_step
from tests.experiments import train_data
from tests.san_jax.quick_compile import compile_quickly

WIDTH = 2
REAL = 32 * WIDTH  # of the ResNets, in channels of the last stage
SMALL = (
    f"smoke,prepare=,start.kind=random,start.path=,image_size=(64, 32),model.width={WIDTH},num_steps=4,log_every=1,"
    "optimizer.schedule=cosine,optimizer.warmup_epochs=0"
)
REID = ",batch.num_identities=2,batch.images_per_identity=4"
DECODER = ",model.texture_size=16,batch.pit_size=4"
CONFIGS = {
    "san_pg": SMALL + DECODER + ",checkpoint_every_epochs=1.0",
    "san": SMALL + REID + DECODER,
    "san_released": SMALL + REID + DECODER,
    "baseline": SMALL + REID,
}


class Variant(NamedTuple):
    """A config with what makes the variant, and the embedding's size."""

    config: str
    options: str = ""
    embedding_size: int = REAL


VARIANTS = {
    # Table 1
    "baseline": Variant("baseline"),
    "san_basic": Variant("san", "batch_kinds=('reid',),loss.triplet_reid=0.0"),
    "san_with_l_tr": Variant("san", "batch_kinds=('reid',)"),
    "san_with_synthetic_data": Variant("san", "loss.triplet_reid=0.0"),
    "san": Variant("san", "start.kind=run,start.path=SAN_PG"),
    "true_texture": Variant("san", "target.kind=true_texture"),
    # Table 2
    "target_input": Variant("san", "target.kind=input"),
    "target_frontal": Variant("san", "target.kind=frontal,batch_kinds=('reid',)"),
    "target_folder": Variant("san", "target.kind=folder,target.path=FOLDER,batch_kinds=('reid',)"),
    "texture_as_input": Variant("baseline", "input.kind=texture,input.path=SAN_PG"),
    # Section 4.5: encoders
    "resnet101": Variant("baseline", "model.encoder=resnet101,model.stage_sizes=(1, 1, 2, 1)"),
    # Growth 4, a layer a block, half the channels between: 8 + 4, 6 + 4, 5 + 4, 4 + 4.
    "densenet121": Variant("san", "model.encoder=densenet121,model.width=8,batch_kinds=('reid',)", 8),
    # The released code
    "san_released": Variant("san_released", "model.feature_size=24", 24),
    "skips_and_head": Variant(
        "san",
        "batch_kinds=('reid',),model.skips=true,model.feature_size=24,loss.triplet_reid_sampling=fixed,loss.label_smoothing=0.1,"
        "loss.triplet_reid_channels=sum",
        24,
    ),
    # Later work
    "modern": Variant(
        "baseline",
        "model.bnneck=true,model.pooling=gem,test_metric=cosine,ema_decay=0.9,optimizer.schedule=cosine",
    ),
    "mirrored": Variant(
        "san",
        "target.kind=true_texture,augment.mirror_textures=true,pit_augment.mirror_textures=true,"
        "pit_augment.flip_probability=0.5,model.bnneck=true,ema_decay=0.9",
    ),
}


class Steps:
    """The programs' own steps, compiled quickly and once for all runs in which they are the same."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.state: Any = None  # of the last step that was taken
        self._executables: dict[Any, Any] = {}
        self._optimizer: Any = None
        self._make_optimizer, self._texture_targets = optim.make_optimizer, train_step.texture_targets
        self._init_replicated, self._initial = sharding.init_replicated, None
        patch.setattr(sharding, "init_replicated", self._init)
        patch.setattr(optim, "make_optimizer", self._note_optimizer)
        patch.setattr(train_step, "texture_targets", self._note_targets)
        for name in ("make_reid_step", "make_pit_step"):
            patch.setattr(train_step, name, functools.partial(self._make, getattr(train_step, name)))

    def begin(self) -> None:
        """Another variant begins: its initial state is drawn anew, once."""
        self._initial = None

    def _init(self, function, mesh):
        if self._initial is None:
            self._initial = jax.device_get(self._init_replicated(function, mesh))
        return jax.device_put(self._initial, sharding.replicated(mesh))

    def _note_optimizer(self, settings, durations, *, reid_turns):
        self._optimizer = settings, durations, tuple(reid_turns)
        return self._make_optimizer(settings, durations, reid_turns=reid_turns)

    def _note_targets(self, mirror_map=None):
        function = self._texture_targets(mirror_map)
        function.digest = None if mirror_map is None else mirror_map.tobytes()
        return function

    def _make(self, make_step, graphdef, optimizer, settings):
        targets = getattr(settings.targets, "digest", settings.targets)
        rest = settings.loss, settings.augment, settings.seed, settings.ema_decay
        key = (make_step, graphdef, self._optimizer, targets, rest)
        made = make_step(graphdef, optimizer, settings)

        def step(state, batch):
            shapes = tuple((name, array.shape) for name, array in batch.items())
            if (key, shapes) not in self._executables:
                with jax.transfer_guard("allow"):  # constants of the program
                    self._executables[key, shapes] = compile_quickly(made, state, batch)
            self.state, metrics = self._executables[key, shapes](state, batch)
            return self.state, metrics

        return step

    @property
    def num_compiled(self) -> int:
        return len(self._executables)


@pytest.fixture(scope="module")
def steps():
    with pytest.MonkeyPatch.context() as patch:
        mesh = sharding.make_mesh(jax.devices()[:1])
        patch.setattr(sharding, "make_mesh", lambda devices=None: mesh)  # compiling for eight takes longer
        yield Steps(patch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the variants' common data and runs lie."""
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def data_dir(folder):
    """pit, pit_reid, pit_reid_textured and pit_reid_frontal, whose images lie in `folder`/frontal too."""
    data_dir = train_data.build_all(folder, num_pairs=8, num_ids=3, per_id=4, num_test_ids=3)
    (folder / "frontal" / "images").mkdir(parents=True)
    for index in range(12):  # named as the training images of pit_reid
        image = Image.open(folder / "pit" / "frontals" / f"{index % 8:04d}.jpg")
        image.save(folder / "frontal" / "images" / f"{index:04d}.png")
    datasets.build_textured(
        "pit_reid", data_dir=data_dir, texture_dir=folder / "frontal", metadata={"model": "noise"}, feature="frontal"
    )
    return data_dir


@pytest.fixture(scope="module")
def san_pg(folder, data_dir, steps):
    """A SAN-PG run; `folder`/generated has pit_reid and the textures that it gives."""
    steps.begin()
    training.run(config_files.load(f"san_pg.py:{CONFIGS['san_pg']},data_dir={data_dir}"), folder / "san_pg")
    shutil.copytree(data_dir / "pit_reid", folder / "generated" / "pit_reid")
    pseudo_textures.run_dataset(folder / "san_pg", "pit_reid", folder / "generated")
    return folder / "san_pg"


@pytest.fixture
def config(name, folder, data_dir, request):
    """The variant's config."""
    variant = VARIANTS[name]
    options = variant.options.replace("FOLDER", str(folder / "frontal"))
    if "SAN_PG" in options:
        options = options.replace("SAN_PG", str(request.getfixturevalue("san_pg")))
    where = folder / "generated" if "input.kind=texture" in options else data_dir
    config = config_files.load(f"{variant.config}.py:{CONFIGS[variant.config]},data_dir={where},{options}")
    config.checkpoint_every_epochs = 1 / len(resolve(config).batch_kinds)  # after the second step: 3 persons, 2 a batch
    return config


def records(workdir: pathlib.Path) -> list[dict[str, Any]]:
    lines = metric_logger.read_metrics(workdir)
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, config, steps, tmp_path, capsys):
    steps.begin()
    training.run(config, tmp_path / "whole")
    whole = jax.device_get(steps.state)
    assert int(whole.step) == 4
    compiled = steps.num_compiled

    # As it was when it was stopped after the second step.
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "4")
    capsys.readouterr()
    training.run(config, tmp_path / "resumed")
    assert "goes on from step 2 of" in capsys.readouterr().out
    resumed = jax.device_get(steps.state)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert [line["step"] for line in records(tmp_path / "resumed")] == [1, 2, 3, 4]
    assert records(tmp_path / "resumed") == records(tmp_path / "whole")
    assert steps.num_compiled == compiled

    summary = evaluation.run(tmp_path / "resumed", "pit_reid", config.data_dir)
    assert f" {VARIANTS[name].embedding_size}-d embeddings" in " ".join(summary["protocol"].split())
    assert summary["metric"] == config.test_metric
    assert summary["num_valid_queries"] == 3
    for score in ("rank1", "rank5", "mAP", "mINP"):
        assert 0.0 <= summary[score] <= 1.0
