"""`SAN*` of Table 4: SAN, fine-tuned on whole and cropped (partial) images of Market-1501.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 4.6 (from
ImageNet weights, rank-1/5/10: Partial REID 44.7 / 72.4 / 86.0, Partial-iLIDS 53.7 / 77.4 / 81.9; without fine-tuning
39.7 / 67.5 / 80.5 and 46.9 / 71.2 / 78.2).

    python -m experiments.train --config=san.py --config.start.path=runs/san_pg --workdir=runs/san
    python -m experiments.train --config=san_partial.py --workdir=runs/san_partial
    python -m experiments.evaluate --workdir=runs/san_partial --dataset=partial_reid,partial_ilids --data_dir=data

It is `san.py` but for what stands below, and `baseline_partial.py` says why; crops and schedule are the same in both:

- Start: encoder, decoder and classifier of the run at `start.path` (`--config.start.path=RUN` for another one).
- Data: reID images are cropped with probability 1/2. The target of a crop is the texture of the whole person, as
  SAN-PG saw it in the whole image: the decoder has to complete what the crop does not show (the paper's Figure 7). PIT
  images stay whole.
- Schedule: 40 epochs (94 steps each, reID and PIT in turn), one cosine from 8e-5 to 0, without warm-up.

Cost: 3,760 steps of batch 64, an eighth of SAN's; `python -m experiments.benchmark` measures images/s on your device.
`san_partial.py:smoke` renders its own data, trains its own SAN-PG and SAN and takes a few minutes on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base, san
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {
    "num_epochs": 40.0,
    "start.kind": "run",
    "start.path": "runs/san",
    "start.classifier": True,
    "augment.crop_probability": 0.5,
    "optimizer.schedule": "cosine",
    "optimizer.learning_rate": 8e-5,
    "optimizer.warmup_epochs": 0.0,
}
SMOKE = {**san.SMOKE, "start.kind": "run", "start.path": "data/smoke/san", "optimizer.warmup_epochs": 0.0}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("san", DIFFERENCES, argument, smoke=SMOKE)
