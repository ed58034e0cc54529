"""PIT, the paper's synthesized paired-image-texture dataset: 929 textures x 10 meshes = 9,290 pairs.

    python -m experiments.pit_render --config=pit.py --output_dir=DIR --data_dir=DIR

About 12 minutes on 2 cores, 250 MB. Variants: `pit.py:smoke`, `pit.py:num_textures=20,meshes_per_texture=5`.
"""

from ml_collections import ConfigDict

from experiments import config_path


def get_config(argument: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "recipe": "pit",
            "seed": 0,
            "num_textures": 929,
            "meshes_per_texture": 10,
        }
    )
    return config_path.apply(config, argument, smoke={"num_textures": 3, "meshes_per_texture": 2})
