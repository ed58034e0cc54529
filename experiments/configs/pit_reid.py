"""PIT-reID: an identity-labelled multi-camera benchmark rendered as PIT is.

    python -m experiments.pit_render --config=pit_reid.py --output_dir=DIR --data_dir=DIR

20,000 pictures: about 10 minutes on 2 cores, 0.6 GB, and 1.9 GB the dataset, which holds a texture with each picture.
Variants: `pit_reid.py:smoke`, `pit_reid.py:num_train_identities=100,look_alike_share=0`,
`pit_reid.py:accessories.backpack=0.5`, and `pit_reid.py:large`, 1,800,000 pictures of 8,000 identities before 24
cameras and of 6,000 distractors: docs/renderer.md says what it takes. Each group of keys is documented by its
dataclass in `render`. `experiments.histogram_matcher` measures what colour alone achieves.
"""

from ml_collections import ConfigDict

from experiments.command_line import config_files
from render.recipes import build, pit_reid


def get_config(argument: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "recipe": "pit_reid",  # what is rendered: "pit", "paper" or "pit_reid"; each has a config of its own
            "seed": 0,
            "num_train_identities": 1000,
            "num_test_identities": 500,
            "images_per_identity": 12,
            "queries_per_identity": 2,
            "partial_queries_per_identity": 1,  # more pictures, in the split query_partial
            "occluded_queries_per_identity": 1,  # more pictures, in the split query_occluded
            "num_distractors": 1000,  # persons seen once, in the gallery only
            "num_cameras": 6,
            "look_alike_share": 0.6,  # share of identities in groups that differ in small things only
            "look_alike_group": 4,
            # A group of keys for each topic, with its distributions: wardrobe, accessories, kept (how often an identity
            # has its accessories along), occluders, crowd, framing, light, photo, scenes; and cloth_dir,
            # background_dir: folders of your own photographs.
            **build.topics(pit_reid.PitReid()),
        }
    )
    large = {
        "num_train_identities": 7000,
        "num_test_identities": 1000,
        "images_per_identity": 224,
        "num_distractors": 6000,
        "num_cameras": 24,
    }
    smoke = {"num_train_identities": 2, "num_test_identities": 2, "images_per_identity": 4, "num_distractors": 2}
    return config_files.apply(config, argument, smoke=smoke, more={"large": large})


def documented_by(config: config_files.Config) -> type:
    """The dataclass whose docstring describes the keys."""
    del config
    return pit_reid.PitReid
