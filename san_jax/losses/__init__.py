"""The four losses of the paper (section 3.2); their weighted sum is taken by the train step."""

from san_jax.losses.identification import identification_loss
from san_jax.losses.reconstruction import opponent_colours, reconstruction_loss
from san_jax.losses.triplet import batch_hard_triplet_loss
from san_jax.losses.triplet_reid import IMAGES_PER_IDENTITY, fixed_triplets, sample_triplets, triplet_reid_loss

__all__ = [
    "IMAGES_PER_IDENTITY",
    "batch_hard_triplet_loss",
    "fixed_triplets",
    "identification_loss",
    "opponent_colours",
    "reconstruction_loss",
    "sample_triplets",
    "triplet_reid_loss",
]
