"""Files of weights that others trained with PyTorch, or that were exported from here, read without PyTorch.

`torch_files` and `torch_pickle` read the formats; `names` says which tensor is which leaf; `encoders`, `released` and
`exported` load torchvision's networks, the authors' checkpoints and exported encoders.
"""

from san_jax.models.weights.encoders import EncoderWeights, SeveralError, load_encoder_weights
from san_jax.models.weights.exported import load_exported
from san_jax.models.weights.filling import WeightsError
from san_jax.models.weights.released import load_released_checkpoint
from san_jax.models.weights.torch_pickle import TorchFileError

__all__ = [
    "EncoderWeights",
    "SeveralError",
    "TorchFileError",
    "WeightsError",
    "load_encoder_weights",
    "load_exported",
    "load_released_checkpoint",
]
