"""SAN, the joint training: four losses on a reID benchmark with pseudo textures, alternating with L_Rec on PIT.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 3.2; the
paper's setting on Market-1501 (Table 1, last row: rank-1 96.1, mAP 88.0, SAN-PG from ImageNet weights, as in the
released code).

    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=market1501 --data_dir=data
    python -m experiments.train --config=san.py --config.start.path=runs/san_pg --workdir=runs/san

What the paper leaves open follows the released code: batch 16 x 4, AMSGrad with L2, 20 epochs of warm-up and 300 with
the rate halved every 40, shift, flip and erasing; L_ID is the paper's plain cross entropy.

Another benchmark needs no other number: `san.py:dataset=dukemtmc_reid`. With `target.kind=texture` it is read as
`<dataset>_textured`. An epoch has 94 steps on Market-1501 (751 identities), half of them reID steps.

The paper's ablation: SAN w/ syn. data is `loss.triplet_reid=0.0`; SAN w/ L_TR is `batch_kinds=('reid',)`; SAN-basic is
both. `python -m experiments.ablate` trains and compares them all. `loss.triplet_reid_channels=sum` has L_TR as equation
1 writes it; the default is its mean over channels (the released code's scale); with clipped gradients the two did not
differ (docs/ablation.md).

The paper's Table 2 has other targets of the decoder: `target.kind=input` and `target.kind=frontal` (of
`<dataset>_frontal`, which `experiments.pseudo_texture` makes from a SAN-PG run with `target.kind=frontal`), each from a
SAN-PG run with that target; and `target.kind=folder,target.path=DIR,batch_kinds=('reid',)` for images of your own, as
those of PN-GAN. `target.kind=true_texture` is an oracle of ours on `pit_reid`. `experiments/runs/targets.py` says where
each target is found. A smoke run of `frontal` or `input` needs a folder for a SAN-PG of its own:
`san.py:smoke,target.kind=frontal,start.path=data/smoke/san_pg_frontal`.

Cost: 30,080 steps of batch 64 on Market-1501; `python -m experiments.benchmark` measures images/s on your device.
`san.py:smoke` renders its own data, trains its own SAN-PG and takes a few minutes on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {"start.kind": "run", "start.path": "runs/san_pg"}
SMOKE = {
    **base.REID_SMOKE,
    **base.DECODER_SMOKE,
    "start.path": "data/smoke/san_pg",
    "num_epochs": 4.0,
    "checkpoint_every_epochs": 2.0,
    "optimizer.warmup_epochs": 2.0,
}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("san", DIFFERENCES, argument, smoke=SMOKE)
