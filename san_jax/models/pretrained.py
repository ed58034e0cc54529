"""Weights that others trained with PyTorch: which of their tensors is which leaf of the models here.

The tables are explicit, leaf by leaf. An encoder is taken wholly or not at all: every leaf comes from exactly one tensor,
and whatever is missing, misshapen or another network's is told at once. The trees that come back are those of
`san_jax.models.split_model`, as NumPy arrays:

    skeleton = nnx.eval_shape(lambda: ResNet(rngs=nnx.Rngs(0)))
    encoder = merge_model(split_model(skeleton)[0], *load_torch_resnet("resnet50-0676ba61.pth", skeleton))
"""

import collections
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from san_jax.models import torch_files
from san_jax.models.densenet import DenseNet
from san_jax.models.functional import Tree, flatten, split_model
from san_jax.models.resnet import ResNet
from san_jax.models.san import SAN

MAX_SHOWN = 12  # problems of a file that an error lists
# What is looked at of a file that may be made to be slow: characters of a name, places of a dictionary.
_MAX_NAME, _MAX_PLACES = 500, 50


class WeightsError(ValueError):
    """A file of weights that is none of this network. The message names the file and all that does not fit."""


class SeveralError(WeightsError):
    """A file with several networks that fit.

    Attributes:
        places: Where each of them is, for `load_encoder`'s argument.
    """

    def __init__(self, message: str, places: tuple[str, ...]):
        super().__init__(message)
        self.places = places


class Transform(NamedTuple):
    """How an array is laid out here and in PyTorch. Both ways give a view.

    to_jax: PyTorch's array -> the array here.
    to_torch: its inverse.
    """

    to_jax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


# [O I H W] <-> [H W I O]
CONV = Transform(lambda x: np.transpose(x, (2, 3, 1, 0)), lambda x: np.transpose(x, (3, 2, 0, 1)))
# [O I] <-> [I O]
LINEAR = Transform(np.transpose, np.transpose)
SAME = Transform(lambda x: x, lambda x: x)


class TorchName(NamedTuple):
    """A tensor of a PyTorch state dict and how it becomes an array here.

    name: its key, such as "layer1.0.conv1.weight".
    transform: its layout.
    """

    name: str
    transform: Transform


class EncoderWeights(NamedTuple):
    """An encoder's weights, and where in their file they were.

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


def load_torch_resnet(
    path: str | os.PathLike[str], encoder: ResNet | DenseNet, *, place: str | None = None
) -> tuple[Tree, Tree]:
    """The parameters and running statistics of `load_encoder`."""
    weights = load_encoder(path, encoder, place=place)
    return weights.params, weights.batch_stats


def load_encoder(
    path: str | os.PathLike[str], encoder: ResNet | DenseNet, *, place: str | None = None
) -> EncoderWeights:
    """An encoder's weights from a file with torchvision's ResNet-50, ResNet-101 or DenseNet-121 in it, without PyTorch.

    Projects wrap these networks in dictionaries ("state_dict", "model", "model_ema") and modules ("module.", "backbone.",
    "base.", "module.encoder_q."). The names of both are a place. The rule: the encoder is at the one place under which
    all of its names are found, with its shapes. Tensors beside them may only be layers that follow the pooling
    (classifiers, necks, queues): nothing in the encoder's own modules, and no further convolution at that place. They
    are not looked at, and neither are the counts "num_batches_tracked" nor other dictionaries.

    Half and double precision become float32; the spelling "norm.1" of torchvision's old DenseNet files is understood.

    Args:
        path: A `.pth`, `.pth.tar` or `.safetensors` file, see `torch_files.read`.
        encoder: An encoder of the file's sizes; its arrays are not looked at (nnx.eval_shape's result will do).
        place: The place to take, for a file that holds several such networks; None to find the only one.

    Raises:
        torch_files.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's. Names every missing, unknown and misshapen tensor, and the architecture
            where it is recognized.
        SeveralError: It holds several different networks that fit, and `place` is None.
    """
    names = torch_names(encoder)
    shapes = {leaf: array.shape for tree in split_model(encoder)[1:] for leaf, array in flatten(tree).items()}
    candidates = _candidates(torch_files.read(path), frozenset(name for name, _ in names.values()))
    if place is not None:
        chosen = [candidate for candidate in candidates if candidate.place == place]
        if not chosen:
            raise WeightsError(
                f"{path}: no tensors of {_describe(encoder)} are at {place!a}, but at {_say_places(candidates)}."
            )
    else:
        chosen = [candidate for candidate in candidates if _fits(candidate, names, shapes)]
        if len(chosen) > 1 and not all(_are_equal(candidate, chosen[0]) for candidate in chosen):
            raise SeveralError(
                f"{path}: several networks in it fit, at {_say_places(chosen)}: say which one is meant.",
                tuple(candidate.place for candidate in chosen),
            )
    best = (chosen or candidates)[0]
    _raise(path, [] if best.tensors or best.elsewhere else ["there are none"], "expected named tensors")
    _raise(path, [f"{ascii(name)[:80]} is there twice" for name in best.twice], "expected each tensor once")
    own_modules = {name.partition(".")[0] for name in best.names}
    # What follows the pooling has matrices and vectors, and its own modules.
    unused = {
        name: value
        for name, value in best.tensors.items()
        if name not in best.names and name.partition(".")[0] not in own_modules and value.ndim <= 2
    }
    tensors = {name: value for name, value in best.tensors.items() if name not in unused}
    where = f" at {best.place[:_MAX_NAME]!a}" if best.place else ""
    expected, found = _describe(encoder), recognize(best.tensors or best.elsewhere)
    # The same sizes say nothing of what is wrong.
    if found and not found.endswith(expected[expected.index("(") :]):
        hint = f": they look like {found}"
    elif best.tensors:
        hint = " (is it another architecture, width or depth?)"
    else:
        some = ", ".join(ascii(name)[:80] for name in [*best.elsewhere][:3])
        hint = f" (is it another architecture? Its tensors are named {some}, ...)"
    params, batch_stats = _load(path, encoder, names, tensors, f"the weights{where} are not those of {expected}{hint}")
    return EncoderWeights(params, batch_stats, best.place, (*(best.place + name for name in unused), *best.elsewhere))


def load_released_checkpoint(path: str | os.PathLike[str], san: SAN) -> tuple[Tree, Tree]:
    """The weights of a whole SAN from the authors' `checkpoint_ep<N>.pth.tar`.

    The released 1x1 convolutions before the decoder's batch normalisations have biases, those here have none: a bias is
    subtracted from the running mean, which gives the same numbers at inference, and none of it matters in training.

    Args:
        path: The checkpoint: a dictionary with "state_dict" and "decoder_state_dict".
        san: A SAN(num_classes, feature_size=512, skips=True) on a ResNet (ResNet-50 in the released code). Without
            classifier (num_classes=0) or decoder (and skips) that part of the file is not looked at.

    Returns:
        Parameters and running statistics, as `split_model(san)` gives them, float32 NumPy arrays.

    Raises:
        torch_files.TorchFileError: The file cannot be read.
        WeightsError: It is not this network's, see `load_torch_resnet`; or the SAN has no head, other modules than the
            released network or no ResNet, or a decoder without skips.
    """
    fits = isinstance(san.encoder, ResNet) and san.head is not None and san.pooling is None and san.neck is None
    if not fits or (san.decoder is not None and not san.skips):
        raise WeightsError(
            f"{path}: the released network is SAN(num_classes, feature_size=512, skips=True) with a ResNet, average "
            "pooling and no BNNeck; build the model like that."
        )
    content = torch_files.read(path)
    tensors = _state_dict(path, content)
    if san.classifier is None:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    if san.decoder is not None:
        decoder = _fold_biases(_state_dict(path, content, "decoder_state_dict"), split_model(san)[2]["decoder"])
        tensors |= {f"decoder.{name}": value for name, value in decoder.items()}
    what = "the weights are not those of this SAN (is it another architecture, width or depth?)"
    return _load(path, san, released_names(san), tensors, what)


def torch_names(encoder: ResNet | DenseNet) -> dict[str, TorchName]:
    """Every leaf of an encoder, parameters and running statistics alike, and torchvision's name for it.

    torchvision's running variance is the unbiased one, n / (n - 1) times the one here: it is taken as it is.

    Args:
        encoder: Of any width and depth; its arrays are not looked at (nnx.eval_shape's result will do).

    Returns:
        Dotted name of the leaf in the trees of `split_model(encoder)`, such as "stage1.block1.bn1.norm.mean" -> its
        name and layout in torchvision, in torchvision's order.
    """
    return _densenet_names(encoder) if isinstance(encoder, DenseNet) else _resnet_names(encoder)


def _resnet_names(encoder: ResNet) -> dict[str, TorchName]:
    names = _conv("conv1", "conv1") | _norm("bn1", "bn1")
    for number in range(1, 5):
        stage = getattr(encoder, f"stage{number}")
        for index in range(stage.num_blocks):
            ours, theirs = f"stage{number}.block{index + 1}", f"layer{number}.{index}"
            for part in range(1, 4):
                names |= _conv(f"{ours}.conv{part}", f"{theirs}.conv{part}")
                names |= _norm(f"{ours}.bn{part}", f"{theirs}.bn{part}")
            if getattr(stage, f"block{index + 1}").has_projection:
                names |= _conv(f"{ours}.downsample_conv", f"{theirs}.downsample.0")
                names |= _norm(f"{ours}.downsample_bn", f"{theirs}.downsample.1")
    return names


def _densenet_names(encoder: DenseNet) -> dict[str, TorchName]:
    names = _conv("conv0", "features.conv0") | _norm("bn0", "features.norm0")
    for number in range(1, 5):
        for index in range(1, getattr(encoder, f"block{number}").num_layers + 1):
            ours, theirs = f"block{number}.layer{index}", f"features.denseblock{number}.denselayer{index}"
            for part in (1, 2):
                names |= _norm(f"{ours}.bn{part}", f"{theirs}.norm{part}")
                names |= _conv(f"{ours}.conv{part}", f"{theirs}.conv{part}")
        if number < 4:
            names |= _norm(f"transition{number}.bn", f"features.transition{number}.norm")
            names |= _conv(f"transition{number}.conv", f"features.transition{number}.conv")
    return names | _norm("bn5", "features.norm5")


def released_names(san: SAN) -> dict[str, TorchName]:
    """The same as `torch_names` for a whole SAN and the authors' released checkpoint.

    Names of its `decoder_state_dict` begin with "decoder." here. The biases of "embed_layer" and "reduce_dim" have no
    leaf: see `load_released_checkpoint`.
    """
    names = {f"encoder.{leaf}": name for leaf, name in torch_names(san.encoder).items()}
    names |= _linear("head.linear", "fc.0") | _norm("head.bn", "fc.1")
    if san.classifier is not None:
        names |= _linear("classifier", "classifier")
    if san.decoder is not None:
        for number in (1, 2, 3):
            theirs = f"decoder.embed_layer{number}"
            names |= _conv(f"decoder.skip{number}_conv", f"{theirs}.0") | _norm(
                f"decoder.skip{number}_bn", f"{theirs}.1"
            )
        names |= _conv("decoder.reduce_conv", "decoder.reduce_dim.0") | _norm(
            "decoder.reduce_bn", "decoder.reduce_dim.1"
        )
        for number in (1, 2, 3, 4):
            ours, theirs = f"decoder.block{number}", f"decoder.up{number}"
            names |= _conv(f"{ours}.conv1", f"{theirs}.res.res.0") | _norm(f"{ours}.bn1", f"{theirs}.res.res.1")
            names |= _conv(f"{ours}.conv2", f"{theirs}.res.res.3") | _norm(f"{ours}.bn2", f"{theirs}.res.res.4")
            names |= _conv(f"{ours}.up_conv", f"{theirs}.conv.2") | _bias(f"{ours}.up_conv", f"{theirs}.conv.2")
        names |= _conv("decoder.out_conv", "decoder.final_layer.1") | _bias("decoder.out_conv", "decoder.final_layer.1")
    return names


def _conv(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", CONV)}


def _norm(ours: str, theirs: str) -> dict[str, TorchName]:
    pairs = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {f"{ours}.norm.{leaf}": TorchName(f"{theirs}.{name}", SAME) for leaf, name in pairs.items()}


def _bias(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.bias": TorchName(f"{theirs}.bias", SAME)}


def _linear(ours: str, theirs: str) -> dict[str, TorchName]:
    return {f"{ours}.kernel": TorchName(f"{theirs}.weight", LINEAR)} | _bias(ours, theirs)


class _Candidate(NamedTuple):
    """A place in a file where an encoder may be.

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
                name = _OLD_DENSENET.sub(r"\1\2", name)
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
        name in candidate.tensors and candidate.tensors[name].shape == _torch_shape(transform, shapes[leaf])
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


def _state_dict(
    path: str | os.PathLike[str], content: Mapping[Any, Any], key: str = "state_dict"
) -> dict[str, np.ndarray]:
    """The tensors of a file under today's names, without the counts "num_batches_tracked"."""
    if key != "state_dict" and key not in content:
        raise WeightsError(f"{path}: expected a dictionary with {key!r}, as the released code saves it.")
    tensors, problems = {}, []
    found = content.get(key, content)
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            problems.append(f"{ascii(name)[:80]} is {type(value).__name__}")
        elif not name.endswith("num_batches_tracked"):
            name = _OLD_DENSENET.sub(r"\1\2", name.removeprefix("module."))
            if name in tensors:
                problems.append(f"{ascii(name)[:80]} is there twice")
            tensors[name] = value
    if not tensors and not problems:
        problems.append("there are none")
    _raise(path, problems, f"expected a dictionary of named tensors{f' under {key!r}' if key in content else ''}")
    return tensors


# As torchvision's densenet.py reads its own old files.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


_BIASED = {
    "skip1_bn": "embed_layer1",
    "skip2_bn": "embed_layer2",
    "skip3_bn": "embed_layer3",
    "reduce_bn": "reduce_dim",
}


def _fold_biases(tensors: dict[str, np.ndarray], batch_stats: Tree) -> dict[str, np.ndarray]:
    """The released decoder without the biases that its batch normalisations undo: (x + b) - m = x - (m - b).

    Args:
        tensors: Its "decoder_state_dict".
        batch_stats: The running statistics of the decoder here; their shapes alone are looked at.
    """
    folded = dict(tensors)
    for norm, part in _BIASED.items():
        shape = batch_stats[norm]["norm"]["mean"].shape
        bias, mean = tensors.get(f"{part}.0.bias"), tensors.get(f"{part}.1.running_mean")
        # Where one is missing or misshapen, the bias stays and is told with the rest: nothing is computed of arrays
        # whose size is the file's choice.
        if bias is not None and mean is not None and bias.shape == mean.shape == shape:
            del folded[f"{part}.0.bias"]
            folded[f"{part}.1.running_mean"] = mean.astype(np.float64) - bias
    return folded


def _torch_shape(transform: Transform, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A leaf's shape in PyTorch."""
    return transform.to_torch(np.broadcast_to(np.float32(0), shape)).shape


def _describe(encoder: ResNet | DenseNet) -> str:
    """An encoder's class and sizes, as a config names them."""
    if isinstance(encoder, DenseNet):
        width, sizes = encoder.bn0.norm.num_features, [encoder.block1, encoder.block2, encoder.block3, encoder.block4]
        return f"this DenseNet (width {width}, stage_sizes {tuple(block.num_layers for block in sizes)})"
    width, sizes = encoder.bn1.norm.num_features, [encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4]
    return f"this ResNet (width {width}, stage_sizes {tuple(stage.num_blocks for stage in sizes)})"


# Whether the blocks are bottlenecks, blocks per stage -> depth of torchvision's network.
_RESNETS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_DENSENETS: dict[tuple[int, ...], int] = {
    (6, 12, 24, 16): 121,
    (6, 12, 36, 24): 161,
    (6, 12, 32, 32): 169,
    (6, 12, 48, 32): 201,
}
# A part of a tensor's name -> the network that has it.
_OTHER_NETWORKS = {
    r"(^|\.)conv2\.0\.conv1\.conv\.weight$": "an OSNet",
    r"(^|\.)(layers|stages)\.\d+\.blocks\.\d+\.attn\.": "a Swin transformer (SOLIDER and others)",
    r"(^|\.)blocks\.\d+\.attn\.qkv\.weight$": "a vision transformer (TransReID and others)",
    r"(^|\.)res2\.0\.conv1\.weight$": "a ResNet under Detectron2's names",
    r"(^|\.)embedder\.embedder\.convolution\.weight$": "a ResNet under the names of Hugging Face's transformers",
}
# Likewise for what is added to a ResNet.
_ADDITIONS = {
    r"layer\d\.\d+\.(bn\d\.)?IN\.": "instance normalization (IBN)",
    r"layer\d\.\d+\.se(_module)?\.": "squeeze-and-excitation",
    r"(^|\.)NL_\d\.": "non-local blocks",
    r"(^|\.)(conv1|layer0)\.\d+\.|(^|\.)layer0\.conv1\.": "another stem",
}


def recognize(tensors: Mapping[str, np.ndarray]) -> str:
    """What network the tensors of a file look like, such as "a ResNet-101 (width 64, stage_sizes (3, 4, 23, 3))".

    Args:
        tensors: They may be anybody's, with any prefix.

    Returns:
        The name, "" where none is known.
    """
    for pattern, name in _OTHER_NETWORKS.items():
        if any(re.search(pattern, key) for key in tensors):
            return name
    kernels = [
        (match, value)
        for key, value in tensors.items()
        if (match := re.search(r"(?:^|\.)layer([1-4])\.(\d{1,3})\.conv([1-3])\.weight$", key)) and value.ndim == 4
    ]
    if kernels:
        sizes = _stage_sizes((match[1], match[2]) for match, _ in kernels)
        bottlenecks = any(match[3] == "3" for match, _ in kernels)
        depth = _RESNETS.get((bottlenecks, sizes))
        name = f"a ResNet-{depth}" if depth else f"a ResNet of {'bottlenecks' if bottlenecks else 'basic blocks'}"
        first = {match[3]: value.shape for match, value in kernels if (match[1], match[2]) == ("1", "0")}
        width = f"width {first['1'][1]}, " if "1" in first else ""
        additions = [what for pattern, what in _ADDITIONS.items() if any(re.search(pattern, key) for key in tensors)]
        if "2" in first and first["2"][1] != first["2"][0]:
            additions.append("grouped convolutions (ResNeXt)")
        elif bottlenecks and "1" in first and first["1"][0] > first["1"][1]:
            additions.append("wide bottlenecks (Wide ResNet)")
        return f"{name} ({width}stage_sizes {sizes}){' with ' if additions else ''}{', '.join(additions)}"
    layers = [
        match for key in tensors if (match := re.search(r"(?:^|\.)denseblock([1-4])\.denselayer(\d{1,3})\.", key))
    ]
    if layers:
        sizes = _stage_sizes((match[1], int(match[2]) - 1) for match in layers)
        stems = [value.shape[0] for key, value in tensors.items() if key.endswith("conv0.weight") and value.ndim == 4]
        width = f"width {stems[0]}, " if stems else ""
        return f"a DenseNet{f'-{_DENSENETS[sizes]}' if sizes in _DENSENETS else ''} ({width}stage_sizes {sizes})"
    return ""


def _stage_sizes(blocks: Iterable[tuple[str, str | int]]) -> tuple[int, ...]:
    """Blocks per stage, from (stage's number, block's index from 0) of each."""
    sizes = [0, 0, 0, 0]
    for stage, index in blocks:
        sizes[int(stage) - 1] = max(sizes[int(stage) - 1], int(index) + 1)
    return tuple(sizes)


def _load(
    path: str | os.PathLike[str],
    model: nnx.Module,
    names: Mapping[str, TorchName],
    tensors: Mapping[str, np.ndarray],
    what: str,
) -> tuple[Tree, Tree]:
    """Puts each tensor at its leaf of the model's trees.

    Args:
        path: The file, for messages.
        model: The model.
        names: Its leaves' names in PyTorch.
        tensors: Tensors by name, of which all have to find a place.
        what: What an error says first.

    Raises:
        WeightsError: Any leaf without a tensor, tensor without a leaf, other shape, or number that is none.
    """
    problems = [
        f"{ascii(name)[:80]} {list(tensors[name].shape)} has no place in this network"
        for name in sorted(tensors.keys() - {name for name, _ in names.values()})
    ]

    def fill(tree: Tree, prefix: str) -> Tree:
        filled = {}
        for key, leaf in tree.items():
            if isinstance(leaf, dict):
                filled[key] = fill(leaf, f"{prefix}{key}.")
            elif f"{prefix}{key}" not in names:
                problems.append(f"{prefix}{key} of this network has no name in PyTorch")
            else:
                filled[key] = _take(tensors, names[f"{prefix}{key}"], leaf.shape, problems)
        return filled

    _, params, batch_stats = split_model(model)
    trees = fill(params, ""), fill(batch_stats, "")
    _raise(path, problems, what)
    return trees


def _take(
    tensors: Mapping[str, np.ndarray], source: TorchName, shape: tuple[int, ...], problems: list[str]
) -> np.ndarray | None:
    """A leaf's float32 array, or None and a problem more."""
    name, transform = source
    expected = _torch_shape(transform, shape)
    if name not in tensors:
        problems.append(f"{name} {list(expected)} is missing")
        return None
    tensor = tensors[name]
    if tensor.shape != expected:
        problems.append(f"{name}: expected {list(expected)}, found {list(tensor.shape)}")
        return None
    if tensor.dtype.kind != "f":
        problems.append(f"{name}: expected floating-point numbers, found {tensor.dtype}")
        return None
    with np.errstate(over="ignore"):
        array = np.array(transform.to_jax(tensor), np.float32, order="C")
    if not np.isfinite(array).all() or (name.endswith("running_var") and (array < 0).any()):
        problems.append(f"{name}: infinite numbers, NaN or negative variances")
    return array


def _raise(path: str | os.PathLike[str], problems: Collection[str], what: str) -> None:
    if problems:
        shown = list(problems)[:MAX_SHOWN]
        more = len(problems) - len(shown)
        lines = [*shown, f"and {more} more"] if more else shown
        raise WeightsError("\n  ".join([f"{path}: {what}; {len(problems)} tensors do not fit:", *lines]))
