"""The keys that all training configs share: those of `experiments.runs.settings.RunSettings`, which documents them.

A config file says what differs:

    METHOD = "san"
    DIFFERENCES = {"num_epochs": 40.0, "optimizer.schedule": "cosine"}
    SMOKE = {...}

    def get_config(argument=""):
        return base.make_config("san", DIFFERENCES, argument, smoke=SMOKE)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.command_line import config_files
from experiments.runs.settings import RunSettings

# Keys and groups that a method has no use for: its config lacks them, so that setting one is an error.
UNUSED = {
    "san_pg": (
        *("dataset", "use_val", "batch_kinds", "test_metric", "input", "augment"),
        *("eval_every_epochs", "eval_dataset", "held_out_identities", "batch_norm_images"),
        *("start.classifier", "target.path", "batch.num_identities", "batch.images_per_identity"),
        *("model.feature_size", "model.pooling", "model.bnneck"),
        *("loss.identification", "loss.triplet", "loss.triplet_reid", "loss.label_smoothing", "loss.triplet_margin"),
        *("loss.triplet_reid_margin", "loss.triplet_reid_channels", "loss.triplet_reid_blocks"),
        *("loss.triplet_reid_sampling", "loss.triplet_reid_scope", "loss.triplet_reid_warmup_epochs"),
        *("loss.triplet_reid_normalize", "loss.triplet_reid_stop_gradient", "loss.triplet_reid_cross_camera"),
        *("loss.triplet_reid_block_weights", "loss.triplet_reid_maps"),
        *("optimizer.alternating", "optimizer.reconstruction_learning_rate", "optimizer.reconstruction_b1"),
    ),
    "san": ("input",),
    "baseline": (
        *("pit_dataset", "batch_kinds", "target", "pit_augment", "augment.mirror_textures"),
        *("batch.pit_size", "model.texture_size", "model.skips"),
        *("loss.reconstruction", "loss.reconstruction_space", "loss.reconstruction_chroma"),
        *("loss.triplet_reid", "loss.triplet_reid_margin", "loss.triplet_reid_channels"),
        *("loss.triplet_reid_blocks", "loss.triplet_reid_sampling", "loss.triplet_reid_scope"),
        *("loss.triplet_reid_warmup_epochs", "loss.triplet_reid_normalize", "loss.triplet_reid_stop_gradient"),
        *("loss.triplet_reid_cross_camera", "loss.triplet_reid_block_weights", "loss.triplet_reid_maps"),
        *("optimizer.alternating", "optimizer.reconstruction_learning_rate", "optimizer.reconstruction_b1"),
    ),
}

# What a run on small data, made by itself, needs: seconds to minutes on two cores.
SMOKE = {
    "prepare": "smoke",
    "data_dir": "data/smoke",
    "image_size": (64, 32),
    "num_workers": 0,
    "log_every": 2,
    "model.width": 8,
    "model.stage_sizes": (1, 1, 1, 1),
}
# Of a method that trains on identities.
REID_SMOKE = {**SMOKE, "dataset": "pit_reid", "batch.num_identities": 4, "batch.images_per_identity": 2}
# Of a method with a decoder.
DECODER_SMOKE = {"model.texture_size": 32, "batch.pit_size": 8}


def make_config(
    method: str, differences: Mapping[str, Any], argument: str, *, smoke: Mapping[str, Any]
) -> config_files.Config:
    """Return the config of a method, with a file's differences and then its argument applied, locked.

    Args:
        method: "san_pg", "san" or "baseline".
        differences: Dotted keys and the values that the file has in place of the defaults.
        argument: Comma list of `smoke` and key=value, see `config_files.apply`.
        smoke: Dotted keys and values of the variant `smoke`.
    """
    config: config_files.Config = ConfigDict(dataclasses.asdict(RunSettings(method)))
    for key in UNUSED[method]:
        group, _, leaf = key.rpartition(".")
        del (config[group] if group else config)[leaf]
    for key, value in differences.items():
        config_files.assign(config, key, value)
    return config_files.apply(config, argument, smoke=smoke)


def documented_by(config: config_files.Config) -> type:
    """Return the dataclass whose docstrings describe the keys of a training config."""
    del config
    return RunSettings
