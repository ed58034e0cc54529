"""The small scale of the demo and of the ablation: what two cores can render and train in minutes.

Everything is the real program with a smaller config: fewer and smaller pictures, a narrow network, a short schedule.
"""

import dataclasses
from collections.abc import Mapping

from ml_collections import ConfigDict

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs.plan import resolve
from render.optics import camera

# Such renderings leave out what so few steps of so small a network cannot learn: with the default renderings
# (look-alikes, persons half hidden or cut, crowds, nights) the baseline came to rank-1 10 in 450 batches, 12.5 in 900.
EASIER = {
    "occluders": {"share": 0.0},
    "crowd": {"share": 0.0},
    "framing": {"kinds": {kind: float(kind == "whole") for kind in camera.FRAMINGS}},
    "light": {"kinds": {"night": 0.0}},
}
EASIER_WORDS = "easier than the defaults: no look-alikes, crowds, occluders, cut boxes or nights"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How small everything is. The defaults are the demo's, which takes about 17 minutes on 2 cores."""

    pit_textures: int = 250
    pit_meshes: int = 4
    train_identities: int = 200
    test_identities: int = 100
    images_per_identity: int = 6
    distractors: int = 40
    san_pg_steps: int = 400
    reid_batches: int = 600
    reid_warmup_epochs: float = 0.0
    image_size: tuple[int, int] = (128, 64)
    width: int = 16
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    texture_size: int = 64
    num_identities: int = 8
    images_of_each: int = 4
    seed: int = 0

    def changed(self, values: Mapping[str, str]) -> "Sizes":
        """Return the sizes with some of them read from text.

        Raises:
            ValueError: A size that is not known, or a value that is no number (of the image size: two of them).
        """
        config = ConfigDict(dataclasses.asdict(self))
        for name, text in values.items():
            config_files.override(config, name, text)
        return Sizes(**config.to_dict())


def render_configs(sizes: Sizes) -> tuple[Config, Config]:
    """The configs of `pit` and `pit_reid`, smaller and easier.

    query_partial and query_occluded stay cropped and occluded.
    """
    pit = config_files.load("pit.py")
    pit.update({"num_textures": sizes.pit_textures, "meshes_per_texture": sizes.pit_meshes})
    pit_reid = config_files.load("pit_reid.py")
    pit_reid.update(
        {
            "look_alike_share": 0.0,
            "num_train_identities": sizes.train_identities,
            "num_test_identities": sizes.test_identities,
            "images_per_identity": sizes.images_per_identity,
            "num_distractors": sizes.distractors,
        }
    )
    for config in (pit, pit_reid):
        config.seed = sizes.seed
        config.update(EASIER)
    return pit, pit_reid


def shrink(config: Config, sizes: Sizes) -> None:
    """Make a config of `experiments.train` small; its number of steps follows from its method and kinds of batches.

    Adam with one cosine from 1e-3, no weight decay, gradients clipped to a global norm of 1: without a warm-up, Adam
    would remember the first, far larger gradients for the whole of so short a run (measured in docs/ablation.md). Where
    there are more identities than in the demo, a warm-up of the reID training (`Sizes.reid_warmup_epochs`) keeps the
    triplet loss from drawing all embeddings into one point. reID images are not erased: in so few batches erasing only
    slows training down (measured on earlier renderings: rank-1 51 in 450 batches without it, 7 to 12 in 360 with it).
    """
    config.update(
        {
            "image_size": sizes.image_size,
            "num_workers": 0,
            "log_every": 10,
            # In the demo a multiple of log_every: a checkpoint between two lines of metrics writes a line of its own.
            "checkpoint_every_epochs": 2.0 if "dataset" in config else 2.5,
            "model": {"width": sizes.width, "stage_sizes": sizes.stage_sizes},
            "optimizer": {
                "name": "adam",
                "schedule": "cosine",
                "learning_rate": 1e-3,
                "warmup_epochs": 0.0,
                "weight_decay": 0.0,
                "gradient_clip_norm": 1.0,
            },
        }
    )
    if "texture_size" in config.model:
        config.model.texture_size = sizes.texture_size
    if "pit_size" in config.batch:
        config.batch.pit_size = sizes.num_identities * sizes.images_of_each
    if "dataset" not in config:
        config.num_steps = sizes.san_pg_steps
        return
    config.batch.update({"num_identities": sizes.num_identities, "images_per_identity": sizes.images_of_each})
    config.augment.erase_probability = 0.0
    config.optimizer.warmup_epochs = sizes.reid_warmup_epochs
    config.num_steps = steps_of(config, sizes.reid_batches)


def steps_of(config: Config, reid_batches: int) -> int:
    """The steps in which a config takes so many reID batches, with the other kinds of batches between them."""
    kinds = resolve(config).batch_kinds
    return -(-reid_batches * len(kinds) // kinds.count("reid"))
