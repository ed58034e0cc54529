"""The baseline of Table 1: SA-Enc with L_ID and L_Triplet, no decoder.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 4.2 (Table 1 on
Market-1501: rank-1 94.1, mAP 83.2, from ImageNet weights, as in the released code).

    python -m experiments.train --config=baseline.py --workdir=runs/baseline

Loss weights, batches and schedule are `san.py`'s, so that the two differ in the method alone. The encoder starts from
ImageNet's weights (the file is yours to fetch; the error says which), with `start.kind=run,start.path=runs/san_pg`
where SAN's does, with `start.kind=random` from random weights.

Another benchmark needs no other number: `baseline.py:dataset=dukemtmc_reid`. An epoch has 47 steps on Market-1501.

`input.kind=texture,input.path=runs/san_pg,image_size=(256, 256)` feeds the reID network the textures that a SAN-PG run
regresses instead of the images: in training those of `<dataset>_textured`, at test those that it regresses then.

Cost: 15,040 steps of batch 64 on Market-1501, without decoder; `python -m experiments.benchmark` measures images/s on
your device. `baseline.py:smoke` renders its own data and takes a minute on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {"checkpoint_every_epochs": 10.0}
SMOKE = {
    **base.REID_SMOKE,
    "start.kind": "random",
    "num_epochs": 8.0,
    "checkpoint_every_epochs": 4.0,
    "optimizer.warmup_epochs": 4.0,
}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("baseline", DIFFERENCES, argument, smoke=SMOKE)
