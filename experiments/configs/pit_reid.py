"""PIT-reID: an identity-labelled multi-camera benchmark from the generator of PIT.

    python -m experiments.pit_render --config=pit_reid.py --output_dir=DIR --data_dir=DIR

About 15 minutes on 2 cores, 350 MB. Variants: `pit_reid.py:smoke`, `pit_reid.py:num_train_identities=100`.
"""

from ml_collections import ConfigDict

from experiments import config_path


def get_config(argument: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "recipe": "pit_reid",
            "seed": 0,
            "num_train_identities": 1000,
            "num_test_identities": 500,
            "images_per_identity": 12,
            "queries_per_identity": 2,
            "num_distractors": 1000,  # persons seen once, in the gallery only
            "num_cameras": 6,
        }
    )
    smoke = {"num_train_identities": 2, "num_test_identities": 2, "images_per_identity": 4, "num_distractors": 2}
    return config_path.apply(config, argument, smoke=smoke)
