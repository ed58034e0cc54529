"""The small scale of the demo and of the ablation: what two cores can render and train in minutes.

Everything is the real program with a smaller config: fewer and smaller pictures, a narrow network, a short schedule.
"""

from typing import Any, Protocol

from render import camera

# Such renderings leave out what so few steps of so small a network cannot learn: with the generator's defaults
# (look-alikes, persons half hidden or cut, crowds, nights) the baseline came to rank-1 10 in 450 batches, 12.5 in 900.
EASIER = {
    "occluders": {"share": 0.0},
    "crowd": {"share": 0.0},
    "framing": {"kinds": {kind: float(kind == "whole") for kind in camera.FRAMINGS}},
    "light": {"kinds": {"night": 0.0}},
}
EASIER_WORDS = "easier than the defaults: no look-alikes, crowds, occluders, cut boxes or nights"


class Sizes(Protocol):
    """How small pictures, networks and batches are.

    Attributes:
        image_size: (height, width) of images.
        width: Base width of the networks.
        texture_size: Height and width of textures.
        num_identities: P of a reID batch.
        images_of_each: K of a reID batch; a PIT batch has P x K pairs.
        reid_batches: reID batches of a run.
        generator_steps: Steps of SAN-PG.
    """

    image_size: tuple[int, int]
    width: int
    texture_size: int
    num_identities: int
    images_of_each: int
    reid_batches: int
    generator_steps: int


def ease(config: Any) -> None:
    """Makes a config of `experiments.pit_render` easier."""
    config.update(EASIER)
    if config.recipe == "pit_reid":
        config.look_alike_share = 0.0


def shrink(config: Any, sizes: Sizes, stage_sizes: tuple[int, ...]) -> None:
    """Makes a config of `experiments.train` small; its number of steps follows from its stage and turns.

    Adam with one cosine from 1e-3, no weight decay; reID images are not erased: in so few batches erasing only slows
    training down (measured on an earlier generator: rank-1 51 in 450 batches without it, 7 to 12 in 360 with it).
    """
    config.update(
        {
            "image_size": sizes.image_size,
            "num_workers": 0,
            "log_every": 10,
            "checkpoint_every": 50,
            "model": {"width": sizes.width, "stage_sizes": stage_sizes},
            "optimizer": {
                "name": "adam",
                "schedule": "cosine",
                "learning_rate": 1e-3,
                "warmup_epochs": 0,
                "weight_decay": 0.0,
            },
        }
    )
    if config.stage != "baseline":
        config.model.texture_size = sizes.texture_size
        config.batch.pit_size = sizes.num_identities * sizes.images_of_each
    if config.stage == "pg":
        config.num_steps = sizes.generator_steps
        return
    config.batch.update({"num_identities": sizes.num_identities, "images_per_identity": sizes.images_of_each})
    config.augment.erase_probability = 0.0
    turns = config.turns if config.stage == "san" else ("reid",)
    # Further kinds of batches come between the reID batches.
    config.num_steps = sizes.reid_batches * len(turns) // turns.count("reid")
