"""PIT, the paper's synthesized paired-image-texture dataset: 929 textures x 10 meshes = 9,290 pairs.

    python -m experiments.pit_render --config=pit.py --output_dir=DIR --data_dir=DIR

About 6 minutes on 2 cores, 0.4 GB. Variants: `pit.py:smoke`, `pit.py:num_textures=20,meshes_per_texture=5`,
`pit.py:occluders.share=0.3,light.kinds.night=0`. Each group of keys is documented by its dataclass in `render`.

The paper's own recipe, from files that are licensed to whoever registers for them:

    python -m experiments.pit_render --config=pit.py:paper --output_dir=DIR --data_dir=DIR --check \
        --config.smpl_neutral=SMPL_NEUTRAL.pkl --config.smpl_uv=smpl_uv.obj --config.surreal_dir=smpl_data \
        --config.poses=hmr --config.poses_file=thetas.npy --config.coco_dir=train2017

With `--check` the files are only verified: all that is missing or malformed is listed, with where to get it. The keys
are those of `render.recipes.paper.PaperPit`, which says what they mean.
"""

import dataclasses

from ml_collections import ConfigDict

from experiments.command_line import config_files
from render.recipes import build, paper, pit

_SMOKE = {"num_textures": 3, "meshes_per_texture": 2}


def get_config(argument: str = "") -> ConfigDict:
    words = argument.split(",")
    if "paper" in words:
        config = ConfigDict({"recipe": "paper", **dataclasses.asdict(paper.PaperPit())})
        return config_files.apply(config, ",".join(word for word in words if word != "paper"), smoke=_SMOKE)
    config = ConfigDict(
        {
            "recipe": "pit",  # what is rendered: "pit", "paper" or "pit_reid"; each has a config of its own
            "seed": 0,
            "num_textures": 929,  # persons, each with a texture
            "meshes_per_texture": 10,  # pictures of each, in different bodies, poses and views
            # A group of keys for each topic, with its distributions: wardrobe, accessories, occluders, crowd, framing,
            # light, photo, scenes; and cloth_dir, background_dir: folders of your own photographs.
            **build.topics(pit.Pit()),
        }
    )
    return config_files.apply(config, argument, smoke=_SMOKE)


def documented_by(config: config_files.Config) -> type:
    """The dataclass whose docstring describes the keys."""
    return paper.PaperPit if config.recipe == "paper" else pit.Pit
