"""The networks of the paper: SA-Enc (`resnet`, `densenet`), SA-Dec (`decoder`), and the whole SAN (`san`).

`building` makes them from settings, `weights` reads files of weights.
"""

from san_jax.models.building import build, skeleton, with_weights
from san_jax.models.decoder import TextureDecoder
from san_jax.models.densenet import DenseNet
from san_jax.models.functional import batch_statistics, merge_model, parameter_count, parameter_digest, split_model
from san_jax.models.resnet import ResNet, StageOutputs
from san_jax.models.san import SAN, SANOutput

__all__ = [
    "SAN",
    "DenseNet",
    "ResNet",
    "SANOutput",
    "StageOutputs",
    "TextureDecoder",
    "batch_statistics",
    "build",
    "merge_model",
    "parameter_count",
    "parameter_digest",
    "skeleton",
    "split_model",
    "with_weights",
]
