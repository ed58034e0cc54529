"""Encoders that `python -m experiments.export` wrote as safetensors."""

import os

import numpy as np
import safetensors

from san_jax.models.functional import Tree
from san_jax.models.san import SAN
from san_jax.models.weights import torch_files
from san_jax.models.weights.filling import fill_model
from san_jax.models.weights.names import SAME, TorchName, exported_names, neck_name

GEM_P = "gem_p"  # the key of GeM's p in the file's metadata: torchvision's networks have no place for it


def load_exported(path: str | os.PathLike[str], model: SAN) -> tuple[Tree, Tree]:
    """Load the weights of an exported encoder, with its head and neck where it has them.

    Args:
        path: The .safetensors file.
        model: A SAN without classifier and decoder, of the file's sizes; its arrays are not looked at.

    Returns:
        Parameters and running statistics, as `split_model(model)` gives them, float32 NumPy arrays.

    Raises:
        san_jax.models.weights.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's.
    """
    tensors, names = torch_files.read(path), exported_names(model)
    if model.neck is not None and not np.any(tensors.get(bias := f"{neck_name(model)}.bias", 1)):
        del tensors[bias]  # PyTorch's layer has one
    if model.pooling is not None:
        names["pooling.p"] = TorchName(GEM_P, SAME)
        metadata = read_metadata(path)
        if GEM_P in metadata:
            tensors[GEM_P] = np.asarray(metadata[GEM_P], np.float32)
    what = "the weights are not those of this network (is the model card another export's?)"
    return fill_model(path, model, names, tensors, what)


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Return whether a safetensors file was exported from here: torchvision's and others' say no embedding size."""
    try:
        return "embedding_size" in read_metadata(path)
    except safetensors.SafetensorError:  # `torch_files` tells what the file is instead
        return False


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty where there is none."""
    with safetensors.safe_open(path, "np") as file:
        return dict(file.metadata() or {})
