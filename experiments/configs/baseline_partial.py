"""`Baseline*` of Table 4: the baseline, fine-tuned on whole and cropped (partial) images of Market-1501.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 4.6 (from
ImageNet weights, rank-1/5/10: Partial REID 38.9 / 67.7 / 78.2, Partial-iLIDS 46.1 / 69.6 / 76.1; without fine-tuning
37.8 / 65.0 / 74.5 and 42.0 / 65.5 / 73.2).

    python -m experiments.train --config=baseline.py --workdir=runs/baseline
    python -m experiments.train --config=baseline_partial.py --workdir=runs/baseline_partial
    python -m experiments.evaluate --workdir=runs/baseline_partial --dataset=partial_reid,partial_ilids --data_dir=data

It is `baseline.py` but for what stands below. The paper says "fine-tune with the holistic and partial person images
cropped from Market1501" and no more; all of this is our choice:

- Start: encoder and classifier of the run at `start.path` (`--config.start.path=RUN` for another one), which was
  trained on the same identities. The optimizer starts fresh.
- Data: each image is cropped with probability 1/2, so that a batch holds whole and partial images of a person, and the
  triplet loss pulls them together. The window has 0.4 to 1 of the height and 0.5 to 1 of the width, uniform, anywhere
  in the image, and is stretched to the full size (`san_jax.settings.AugmentSettings`).
- Schedule: 40 epochs (47 steps each, as in `baseline.py`), one cosine from 8e-5, a tenth of the full rate, to 0,
  without warm-up: the model is trained already, and the rate that it ended with is lower still.

Cost: 1,880 steps of batch 64, an eighth of the baseline's; `python -m experiments.benchmark` measures images/s on your
device. `baseline_partial.py:smoke` renders its own data, trains its own baseline and takes a minute on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base, baseline
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {
    **baseline.DIFFERENCES,
    "num_epochs": 40.0,
    "start.kind": "run",
    "start.path": "runs/baseline",
    "start.classifier": True,
    "augment.crop_probability": 0.5,
    "optimizer.schedule": "cosine",
    "optimizer.learning_rate": 8e-5,
    "optimizer.warmup_epochs": 0.0,
}
SMOKE = {**baseline.SMOKE, "start.kind": "run", "start.path": "data/smoke/baseline", "optimizer.warmup_epochs": 0.0}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("baseline", DIFFERENCES, argument, smoke=SMOKE)
