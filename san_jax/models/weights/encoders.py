"""Encoders that others trained with PyTorch: found in their files, whatever is wrapped around them.

skeleton = nnx.eval_shape(lambda: ResNet(rngs=nnx.Rngs(0)))
weights = load_encoder_weights("resnet50-0676ba61.pth", skeleton)
encoder = merge_model(split_model(skeleton)[0], weights.params, weights.batch_stats)
"""

import collections
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from san_jax.models.densenet import DenseNet
from san_jax.models.functional import Tree, flatten, split_model
from san_jax.models.resnet import ResNet
from san_jax.models.weights import torch_files
from san_jax.models.weights.filling import MAX_SHOWN, WeightsError, fill_model, raise_problems, torch_shape
from san_jax.models.weights.names import TorchName, torch_names
from san_jax.models.weights.recognition import describe, plain_settings, recognize
from san_jax.settings import ModelSettings

# What is looked at of a file that may be made to be slow: characters of a name, places of a dictionary.
_MAX_NAME, _MAX_PLACES = 500, 50
# As torchvision's densenet.py reads its own old files.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


class SeveralError(WeightsError):
    """A file with several networks that fit.

    Attributes:
        places: Where each of them is, for the argument `place` of `load_encoder_weights`.
    """

    def __init__(self, message: str, places: tuple[str, ...]):
        super().__init__(message)
        self.places = places


class EncoderWeights(NamedTuple):
    """An encoder's weights, and where in their file they were.

    Attributes:
        params: Parameters, as `split_model(encoder)` gives them, float32 NumPy arrays.
        batch_stats: Running statistics, likewise.
        place: What stands before the encoder's names in the file, such as "state_dict.module."; often "".
        unused: Names of the tensors beside them that no encoder has, such as "classifier.weight"; without
            "num_batches_tracked".
    """

    params: Tree
    batch_stats: Tree
    place: str
    unused: tuple[str, ...]


def load_encoder_weights(
    path: str | os.PathLike[str], encoder: ResNet | DenseNet, *, place: str | None = None
) -> EncoderWeights:
    """Load an encoder's weights from a file that has torchvision's ResNet or DenseNet in it, without PyTorch.

    Projects wrap these networks in dictionaries ("state_dict", "model", "model_ema") and modules ("module.",
    "backbone.", "base.", "module.encoder_q."). Both together are called a place here. The encoder is at the one place
    under which all of its names are found, with its shapes. Tensors beside them may only be layers that follow the
    pooling (classifiers, necks, queues): nothing in the encoder's own modules, and no further convolution at that
    place. They are not looked at; neither are the counts "num_batches_tracked" nor other dictionaries.

    Half and double precision become float32; the spelling "norm.1" of torchvision's old DenseNet files is understood.

    Args:
        path: A `.pth`, `.pth.tar` or `.safetensors` file, see `torch_files.read`.
        encoder: An encoder of the file's sizes; its arrays are not looked at (nnx.eval_shape's result will do).
        place: The place to take, for a file that holds several such networks; None to find the only one.

    Raises:
        san_jax.models.weights.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's. The message names every missing, unknown and misshapen tensor, and the
            architecture where it is recognized.
        SeveralError: It holds several different networks that fit, and `place` is None.
    """
    names = torch_names(encoder)
    shapes = {leaf: array.shape for tree in split_model(encoder)[1:] for leaf, array in flatten(tree).items()}
    candidates = _candidates(torch_files.read(path), frozenset(name for name, _ in names.values()))
    if place is None:
        best = _only_fitting(path, candidates, names, shapes) or candidates[0]
    else:
        best = next((candidate for candidate in candidates if candidate.place == place), None)
        if best is None:
            raise WeightsError(
                f"{path}: no tensors of {describe(encoder)} are at {place!a}, but at {_say_places(candidates)}."
            )
    raise_problems(path, [] if best.tensors or best.elsewhere else ["there are none"], "expected named tensors")
    raise_problems(path, [f"{ascii(name)[:80]} is there twice" for name in best.twice], "expected each tensor once")
    own_modules = {name.partition(".")[0] for name in best.names}
    # What follows the pooling has matrices and vectors, and its own modules.
    unused = {
        name: value
        for name, value in best.tensors.items()
        if name not in best.names and name.partition(".")[0] not in own_modules and value.ndim <= 2
    }
    tensors = {name: value for name, value in best.tensors.items() if name not in unused}
    params, batch_stats = fill_model(path, encoder, names, tensors, _say_misfit(best, encoder))
    return EncoderWeights(params, batch_stats, best.place, (*(best.place + name for name in unused), *best.elsewhere))


def find_settings(path: str | os.PathLike[str]) -> ModelSettings:
    """Return the settings of the encoder in a file: its network, width and blocks.

    Raises:
        san_jax.models.weights.TorchFileError: The file cannot be read.
        WeightsError: It holds no network of torchvision that is built here.
    """
    dictionaries = [
        {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, np.ndarray)}
        for _, content in _dictionaries(torch_files.read(path))
    ]
    return plain_settings(path, max(dictionaries, key=len))


def names_today(name: str) -> str:
    """Return a tensor's name as torchvision spells it today, from the name in a file of any age."""
    return _OLD_DENSENET.sub(r"\1\2", name)


class _Candidate(NamedTuple):
    """A place in a file where an encoder may be.

    Attributes:
        place: What stands before the encoder's names.
        names: The encoder's names.
        tensors: All tensors there, by their names after the place.
        elsewhere: The tensors of the same dictionary that are at other places, by their full names.
        twice: Names that are there twice.
    """

    place: str
    names: frozenset[str]
    tensors: dict[str, np.ndarray]
    elsewhere: dict[str, np.ndarray]
    twice: tuple[str, ...] = ()


def _candidates(content: Mapping[Any, Any], names: frozenset[str]) -> list[_Candidate]:
    """The places in a file that have a quarter of the encoder's names or more, the one with most of them first.

    Where there is none, it is one place without tensors, with those of the largest dictionary elsewhere.
    """
    found, largest = [], {}
    for path, dictionary in _dictionaries(content):
        tensors: dict[str, np.ndarray] = {}
        twice = []
        for name, value in dictionary.items():
            if isinstance(name, str) and isinstance(value, np.ndarray) and not name.endswith("num_batches_tracked"):
                name = names_today(name)
                if name in tensors:
                    twice.append(name)
                tensors[name] = value
        largest = max(largest, tensors, key=len)
        prefixes: collections.Counter[str] = collections.Counter()  # how many of the encoder's names follow each
        for name in tensors:
            parts = name.split(".") if len(name) <= _MAX_NAME else []
            prefixes.update(".".join([*parts[:i], ""]) for i in range(len(parts)) if ".".join(parts[i:]) in names)
        for prefix, count in prefixes.most_common(_MAX_PLACES):
            if 4 * count < len(names):
                continue
            there = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            elsewhere = {path + name: value for name, value in tensors.items() if not name.startswith(prefix)}
            inside = tuple(name.removeprefix(prefix) for name in twice if name.startswith(prefix))
            found.append(_Candidate(path + prefix, names, there, elsewhere, inside))
    return sorted(found, key=lambda candidate: -len(names & candidate.tensors.keys())) or [
        _Candidate("", names, {}, largest)
    ]


def _dictionaries(content: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """A dictionary and all those in it (`torch_files` bounds how many), with their keys, each followed by a dot."""
    yield path, content
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _dictionaries(value, f"{path}{key}.")


def _fits(candidate: _Candidate, names: Mapping[str, TorchName], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether all of the encoder's names are there, with its shapes."""
    return all(
        name in candidate.tensors and candidate.tensors[name].shape == torch_shape(transform, shapes[leaf])
        for leaf, (name, transform) in names.items()
    )


def _are_equal(first: _Candidate, second: _Candidate) -> bool:
    """Whether the encoder's tensors of two places that fit are the same: one module may be registered twice."""
    return all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.names)


def _say_places(candidates: Sequence[_Candidate]) -> str:
    """The places, for an error's sentence."""
    return (
        ", ".join(ascii(candidate.place[:_MAX_NAME]) for candidate in candidates[:MAX_SHOWN] if candidate.tensors)
        or "none"
    )


def _only_fitting(
    path: str | os.PathLike[str],
    candidates: Sequence[_Candidate],
    names: Mapping[str, TorchName],
    shapes: Mapping[str, tuple[int, ...]],
) -> _Candidate | None:
    """Return the candidate that fits, None where there is none; raise a SeveralError where they are different."""
    fitting = [candidate for candidate in candidates if _fits(candidate, names, shapes)]
    if len(fitting) > 1 and not all(_are_equal(candidate, fitting[0]) for candidate in fitting):
        raise SeveralError(
            f"{path}: several networks in it fit, at {_say_places(fitting)}: say which one is meant.",
            tuple(candidate.place for candidate in fitting),
        )
    return fitting[0] if fitting else None


def _say_misfit(best: _Candidate, encoder: ResNet | DenseNet) -> str:
    """Return what an error says first where a candidate does not fit the encoder."""
    where = f" at {best.place[:_MAX_NAME]!a}" if best.place else ""
    expected, found = describe(encoder), recognize(best.tensors or best.elsewhere)
    # The same sizes say nothing of what is wrong.
    if found and not found.endswith(expected[expected.index("(") :]):
        hint = f": they look like {found}"
    elif best.tensors:
        hint = " (is it another architecture, width or depth?)"
    else:
        some = ", ".join(ascii(name)[:80] for name in [*best.elsewhere][:3])
        hint = f" (is it another architecture? Its tensors are named {some}, ...)"
    return f"the weights{where} are not those of {expected}{hint}"
