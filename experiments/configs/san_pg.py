"""SAN-PG, which makes the pseudo textures: SA-Enc and SA-Dec on PIT with L_Rec alone (sections 3.1 and 3.2, step 1).

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020.

    python -m experiments.pit_render --config=pit.py --output_dir=rendered/pit --data_dir=data
    python -m experiments.train --config=san_pg.py --workdir=runs/san_pg

The paper gives no schedule for it: 100 epochs (146 steps each on 9,290 pairs at batch 64) with a cosine is ours. The
encoder starts from ImageNet's weights as in the released code (the file is yours to fetch; the error says which);
`start.kind=random` starts from random ones. Images are shifted, neither flipped nor erased (see `pit_augment`).

`target.kind=frontal` regresses PIT's frontal views instead (Table 2), `target.kind=input` the image itself.

Cost: 14,600 steps of batch 64; `python -m experiments.benchmark` measures images/s on your device.
`san_pg.py:smoke` renders its own data and takes a minute on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {
    "num_epochs": 100.0,
    "optimizer.schedule": "cosine",
    "optimizer.warmup_epochs": 5.0,
}
SMOKE = {
    **base.SMOKE,
    **base.DECODER_SMOKE,
    "start.kind": "random",
    "num_epochs": 8.0,
    "checkpoint_every_epochs": 4.0,
    "optimizer.warmup_epochs": 4.0,
}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("san_pg", DIFFERENCES, argument, smoke=SMOKE)
