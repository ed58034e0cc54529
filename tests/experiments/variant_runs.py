"""A variant of a config trains, goes on after a stop, and evaluates.

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
                    self._executables[key, shapes] = made.lower(state, batch).compile()
            self.state, metrics = self._executables[key, shapes](state, batch)
            return self.state, metrics

        return step

    @property
    def num_compiled(self) -> int:
        return len(self._executables)


class Workplace:
    """Where variants are trained, and the data and the run that they share."""

    def __init__(self, folder: pathlib.Path, patch: pytest.MonkeyPatch):
        mesh = sharding.make_mesh(jax.devices()[:1])
        patch.setattr(sharding, "make_mesh", lambda devices=None: mesh)  # compiling for eight takes longer
        self._steps = Steps(patch)
        self._folder = folder

    @functools.cached_property
    def _data_dir(self) -> pathlib.Path:
        """pit, pit_reid, pit_reid_textured and pit_reid_frontal, whose images lie in the folder frontal too."""
        data_dir = train_data.build_all(self._folder, num_pairs=8, num_ids=3, per_id=4, num_test_ids=3)
        frontal = self._folder / "frontal"
        (frontal / "images").mkdir(parents=True)
        for index in range(12):  # named as the training images of pit_reid
            image = Image.open(self._folder / "pit" / "frontals" / f"{index % 8:04d}.jpg")
            image.save(frontal / "images" / f"{index:04d}.png")
        datasets.build_textured(
            "pit_reid", data_dir=data_dir, texture_dir=frontal, metadata={"model": "noise"}, feature="frontal"
        )
        return data_dir

    @functools.cached_property
    def _san_pg(self) -> pathlib.Path:
        """A SAN-PG run; the folder generated has pit_reid and the textures that it gives."""
        run, generated = self._folder / "san_pg", self._folder / "generated"
        self._steps.begin()
        training.run(config_files.load(f"san_pg.py:{CONFIGS['san_pg']},data_dir={self._data_dir}"), run)
        shutil.copytree(self._data_dir / "pit_reid", generated / "pit_reid")
        pseudo_textures.run_dataset(run, "pit_reid", generated)
        return run

    def _config(self, variant: Variant) -> config_files.Config:
        options = variant.options.replace("FOLDER", str(self._folder / "frontal"))
        if "SAN_PG" in options:
            options = options.replace("SAN_PG", str(self._san_pg))
        where = self._folder / "generated" if "input.kind=texture" in options else self._data_dir
        config = config_files.load(f"{variant.config}.py:{CONFIGS[variant.config]},data_dir={where},{options}")
        # After the second step: 3 persons, 2 a batch.
        config.checkpoint_every_epochs = 1 / len(resolve(config).batch_kinds)
        return config

    def check(self, variant: Variant, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Train the variant, go on from half of it, and evaluate it."""
        config = self._config(variant)
        self._steps.begin()
        training.run(config, folder / "whole")
        whole = jax.device_get(self._steps.state)
        assert int(whole.step) == 4
        compiled = self._steps.num_compiled

        # As it was when it was stopped after the second step.
        shutil.copytree(folder / "whole", folder / "resumed")
        shutil.rmtree(folder / "resumed" / "checkpoints" / "4")
        capsys.readouterr()
        training.run(config, folder / "resumed")
        assert "goes on from step 2 of" in capsys.readouterr().out
        resumed = jax.device_get(self._steps.state)
        jax.tree.map(np.testing.assert_array_equal, resumed, whole)
        assert [line["step"] for line in _records(folder / "resumed")] == [1, 2, 3, 4]
        assert _records(folder / "resumed") == _records(folder / "whole")
        assert self._steps.num_compiled == compiled

        summary = evaluation.run(folder / "resumed", "pit_reid", config.data_dir)
        assert f" {variant.embedding_size}-d embeddings" in " ".join(summary["protocol"].split())
        assert summary["metric"] == config.test_metric
        assert summary["num_valid_queries"] == 3
        for score in ("rank1", "rank5", "mAP", "mINP"):
            assert 0.0 <= summary[score] <= 1.0


def _records(workdir: pathlib.Path) -> list[dict[str, Any]]:
    lines = metric_logger.read_metrics(workdir)
    return [{name: value for name, value in line.items() if name not in metric_logger.TIMINGS} for line in lines]
