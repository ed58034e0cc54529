"""SAN as the authors' released code trains it, where that differs from the paper: CUHK03 (labeled) without PIT batches.

Code: microsoft/Semantics-Aligned-Representation-Learning-for-Person-Re-identification (PyTorch, frozen in 2020). The
paper: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020.

    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=cuhk03/labeled --data_dir=data
    python -m experiments.train --config=san_released.py --workdir=runs/san_released

It is `san.py` but for what stands here:

| released behaviour | key |
|---|---|
| The decoder is a U-Net: stages 1 to 3 of the encoder are added, through 1x1 convolutions | `model.skips` |
| The feature is 512 numbers of a fully connected layer with batch normalisation and ReLU | `model.feature_size` |
| The encoder starts from ImageNet weights, the decoder from random ones: no SAN-PG weights | `start.kind` |
| No PIT batches | `batch_kinds` |
| L_ID with label smoothing 0.1; L_ID and L_Triplet weigh 1 each, not 0.5 and 1.5 | `loss.label_smoothing`, ... |
| L_TR at all four blocks, not three | `loss.triplet_reid_blocks` |
| L_TR averages the squared difference over channels too | `loss.triplet_reid_channels` |
| L_TR takes one fixed triplet of each identity but the last, and adds them up | `loss.triplet_reid_sampling` |
| Two optimizers take turns, see below | `optimizer.alternating`, ... |
| Erased rectangles hold 0.485, 0.456, 0.406 (a mean of pixels) in the normalised image | `augment.erase_fill` |

The first of the two optimizers trains encoder, head and classifier by L_ID and L_Triplet; the second encoder and
decoder by L_Rec and L_TR, with Adam, rate 1e-5, b1 0.5 and no weight decay.

Batches, schedule, warm-up, shift and flip are those of `san.py`, which took them from there: 320 epochs (20 of warm-up)
of 48 steps, CUHK03's 767 identities by 16.

What remains different, and why:

- The second optimizer has a forward pass of its own, with the weights that the first one left. The released code goes
  backward through the graph of the first pass after its weights were changed, which gives the gradient of no function;
  PyTorch has refused it since 1.5.
- Pseudo textures are our SAN-PG's, which is the paper's: the network of SAN, 256x128 -> 256x256. The released SAN-PG is
  another network (64x128 -> 64x64), and its training data were never published.
- A fresh decoder is drawn as in `san_jax.models.layers`; there it is Xavier's normal with gain 0.02 and normal(1, 0.02)
  for the scales of batch normalisation.
- The decoder's 1x1 convolutions have no bias: a batch normalisation follows each and would undo it.
- Running variances are Flax's, of the biased variance; PyTorch's are n / (n - 1) times that.

`san_jax.load_encoder` reads the authors' own weights.

Cost: 15,360 steps of batch 64, each with two forward passes (`python -m experiments.benchmark` measures those of
`san.py`, which have one). `san_released.py:smoke` renders its own data, trains its own SAN-PG, which it starts from as
`san.py:smoke` does, and takes a few minutes on two cores.
"""

from experiments.command_line.config_files import Config
from experiments.configs import base, san
from experiments.configs.base import documented_by

__all__ = ["DIFFERENCES", "SMOKE", "documented_by", "get_config"]

DIFFERENCES = {
    "dataset": "cuhk03/labeled",
    "batch_kinds": ("reid",),
    "start.kind": "imagenet",
    "model.skips": True,
    "model.feature_size": 512,
    "loss.identification": 1.0,
    "loss.triplet": 1.0,
    "loss.label_smoothing": 0.1,
    "loss.triplet_reid_blocks": (1, 2, 3, 4),
    "loss.triplet_reid_sampling": "fixed",
    "augment.erase_fill": (0.485, 0.456, 0.406),
    "optimizer.alternating": True,
}
SMOKE = {
    **san.SMOKE,
    "data_dir": "data/smoke_released",  # its pseudo textures are another SAN-PG's than those of `san.py:smoke`
    "start.kind": "run",
    "start.path": "data/smoke_released/san_pg",
    "num_epochs": 8.0,
    "model.feature_size": 64,
    "batch.images_per_identity": 4,
}


def get_config(argument: str = "") -> Config:
    """Return the config; `argument` is a comma list of `smoke` and key=value."""
    return base.make_config("san", DIFFERENCES, argument, smoke=SMOKE)
