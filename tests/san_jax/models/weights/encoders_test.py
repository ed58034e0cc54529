"""Weights trained with PyTorch: every key of torchvision's networks, forward passes, and files of other networks.

The files of tests/golden/weight_files are narrow networks of torchvision's classes and of the authors' released
architecture (tests/golden/make_weight_files.py), with what PyTorch computes with them in float64.
"""

import collections
import json
import pathlib
import re
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from san_jax.models import SAN, DenseNet, ResNet, merge_model, split_model
from san_jax.models.san import ENCODERS
from san_jax.models.weights import (
    SeveralError,
    WeightsError,
    load_encoder_weights,
    load_released_checkpoint,
    torch_files,
)
from san_jax.models.weights.names import CONV, LINEAR, torch_names
from san_jax.train_state import flatten
from tests.golden.weights import inputs
from tests.san_jax.models.weights import torch_saves

FOLDER = pathlib.Path(__file__).parents[3] / "golden" / "weight_files"
RELEASED = FOLDER / "checkpoint_ep300.pth.tar"


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def resnet() -> ResNet:
    """The narrow network of resnet.pth, without numbers."""
    return nnx.eval_shape(lambda: ResNet(width=2, stage_sizes=(1, 2, 1, 1), rngs=nnx.Rngs(0)))


def make_densenet() -> DenseNet:
    return nnx.eval_shape(lambda: DenseNet(width=4, stage_sizes=(2, 1, 2, 1), rngs=nnx.Rngs(0)))


def make_san(num_classes: int = 5, **changes: Any) -> SAN:
    """The narrow network of the released checkpoint, without numbers."""
    options = {"width": 2, "stage_sizes": (1, 2, 1, 1), "skips": True, "feature_size": 6, **changes}
    return nnx.eval_shape(lambda: SAN(num_classes, texture_size=(48, 64), **options, rngs=nnx.Rngs(0)))


def leaves(model: nnx.Module) -> dict[str, Any]:
    _, params, batch_stats = split_model(model)
    return flatten(params) | flatten(batch_stats)


def run(model: nnx.Module, weights: tuple[dict, dict]) -> Any:
    graphdef = split_model(model)[0]
    forward = jax.jit(lambda weights, x: merge_model(graphdef, *weights)(x))
    return forward(weights, inputs("weight_files", (2, 48, 32, 3)))


def load_trees(path: Any, encoder: Any, **options: Any) -> tuple[dict, dict]:
    weights = load_encoder_weights(path, encoder, **options)
    return weights.params, weights.batch_stats


def assert_near(found: Any, reference: np.ndarray) -> None:
    # float32 through some 20 layers, relative to the largest number (measured: 2.4e-6).
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5 * np.abs(reference).max())


@pytest.mark.parametrize("name", ENCODERS)
def test_every_tensor_of_torchvision_has_a_place(name):
    """Names and shapes of the real networks, from torchvision itself."""
    shapes = json.loads((FOLDER / "torchvision.json").read_text())[name]
    network, stage_sizes = ENCODERS[name]
    encoder = nnx.eval_shape(lambda: network(stage_sizes=stage_sizes, rngs=nnx.Rngs(0)))
    table, own = torch_names(encoder), leaves(encoder)
    assert table.keys() == own.keys()
    assert [torch_name for torch_name, _ in table.values()] == [
        key for key in shapes if not key.endswith("num_batches_tracked") and not key.startswith(("fc.", "classifier."))
    ]
    for leaf, (torch_name, transform) in table.items():
        there = np.broadcast_to(np.float32(0), shapes[torch_name])
        assert transform.to_jax(there).shape == own[leaf].shape, torch_name
        assert transform.to_torch(transform.to_jax(there)).shape == there.shape, torch_name


def test_transforms():
    """Convolutions [O I H W] <-> [H W I O], linear layers [O I] <-> [I O], each way the inverse of the other."""
    kernel = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    assert CONV.to_jax(kernel)[4, 6, 2, 1] == kernel[1, 2, 4, 6]
    np.testing.assert_array_equal(CONV.to_torch(CONV.to_jax(kernel)), kernel)
    matrix = np.arange(6).reshape(2, 3)
    assert LINEAR.to_jax(matrix)[2, 1] == matrix[1, 2]
    np.testing.assert_array_equal(LINEAR.to_torch(LINEAR.to_jax(matrix)), matrix)


@pytest.fixture(scope="module")
def resnet_weights(resnet) -> tuple[dict, dict]:
    return load_trees(FOLDER / "resnet.pth", resnet)


def assert_same(found: Any, reference: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(reference)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, reference))


def test_resnet_forward(resnet, resnet_weights, expected):
    assert {leaf.dtype for leaf in jax.tree.leaves(resnet_weights)} == {np.dtype(np.float32)}
    _, params, batch_stats = split_model(resnet)
    assert jax.tree.structure(resnet_weights) == jax.tree.structure((params, batch_stats))
    assert_near(run(resnet, resnet_weights).stage4, expected["resnet"])


@pytest.mark.parametrize("name", ["resnet_legacy.pth", "resnet.safetensors"])
def test_resnet_in_the_other_formats(resnet, resnet_weights, name):
    assert_same(load_trees(FOLDER / name, resnet), resnet_weights)


def test_densenet_forward_from_old_spelling_and_bfloat16(expected):
    """The same network with keys such as "denselayer1.norm.1.weight", and rounded to bfloat16 on disk."""
    densenet = make_densenet()
    assert any(".norm.1." in name for name in torch_files.read(FOLDER / "densenet_legacy.pth"))
    weights = load_trees(FOLDER / "densenet_legacy.pth", densenet)
    assert_same(load_trees(FOLDER / "densenet_bfloat16.safetensors", densenet), weights)
    assert_near(run(densenet, weights).stage4, expected["densenet"])


def test_released_checkpoint_forward(expected):
    """Feature, logits and texture; biases before batch normalisations among the weights."""
    assert np.abs(torch_files.read(RELEASED)["decoder_state_dict"]["reduce_dim.0.bias"]).min() > 0
    san = make_san()
    weights = load_released_checkpoint(RELEASED, san)
    assert set(weights[0]) == {"encoder", "head", "classifier", "decoder"}
    output = run(san, weights)
    assert_near(output.embedding, expected["released_embedding"])
    assert_near(output.logits, expected["released_logits"])
    assert_near(output.texture, expected["released_texture"])


def test_released_encoder_alone():
    """Without classifier and decoder their part of the file is not looked at."""
    whole = load_released_checkpoint(RELEASED, make_san())
    part = load_released_checkpoint(RELEASED, make_san(0, skips=False, decoder=False))
    assert set(part[0]) == {"encoder", "head"}
    assert_same(part, tuple({name: tree[name] for name in ("encoder", "head")} for tree in whole))


def write(folder: pathlib.Path, tensors: dict[str, np.ndarray]) -> pathlib.Path:
    path = folder / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
    return path


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return dict(torch_files.read(FOLDER / "resnet.pth"))


def test_other_precisions_and_prefixes(tmp_path, resnet, resnet_weights, tensors):
    doubled = {
        f"module.{name}": np.asarray(value, np.float64) for name, value in tensors.items() if "tracked" not in name
    }
    assert_same(load_trees(write(tmp_path, doubled), resnet), resnet_weights)
    halved = {name: value.astype(np.float16) for name, value in tensors.items() if value.dtype == np.float32}
    found, _ = load_trees(write(tmp_path, halved), resnet)
    kernel = resnet_weights[0]["conv1"]["kernel"].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found["conv1"]["kernel"], kernel, strict=True)


def test_a_checkpoint_around_the_weights(resnet, monkeypatch, resnet_weights, tensors):
    checkpoint = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    monkeypatch.setattr(torch_files, "read", lambda path: checkpoint)
    assert_same(load_trees("some.pth.tar", resnet), resnet_weights)


def problems(path: pathlib.Path, model: nnx.Module, load: Any = load_trees) -> str:
    with pytest.raises(WeightsError) as error:
        load(path, model)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


def test_everything_that_does_not_fit_is_told_at_once(tmp_path, resnet, tensors):
    del tensors["layer2.1.conv2.weight"]
    tensors["bn1.weight"] = tensors["bn1.weight"][:1]
    tensors["conv1.weight"] = tensors["conv1.weight"].transpose(1, 0, 2, 3)
    tensors["layer1.0.bn1.bias"] = np.zeros(2, np.int64)
    tensors["layer1.0.bn1.running_mean"] = np.array([1, np.nan], np.float32)
    tensors["layer1.0.bn1.running_var"] = np.array([1, -1], np.float32)
    tensors["layer1.0.bn2.bias"] = np.array([1, 1e300])
    tensors["layer4.weight\n"] = np.zeros((2, 3), np.float32)
    message = problems(write(tmp_path, tensors), resnet)
    assert "not those of this ResNet" in message
    assert "8 tensors do not fit" in message
    for line in (
        "layer2.1.conv2.weight [4, 4, 3, 3] is missing",
        "bn1.weight: expected [2], found [1]",
        "conv1.weight: expected [2, 3, 7, 7], found [3, 2, 7, 7]",
        "layer1.0.bn1.bias: expected floating-point numbers, found int64",
        "layer1.0.bn1.running_mean: infinite numbers, NaN or negative variances",
        "layer1.0.bn1.running_var: infinite numbers, NaN or negative variances",
        "layer1.0.bn2.bias: infinite numbers, NaN or negative variances",
        "'layer4.weight\\n' [2, 3] has no place in this network",
    ):
        assert f"\n  {line}" in message


def test_only_what_follows_the_pooling_may_be_left_over(tmp_path, resnet, tensors):
    """It is told; convolutions, and whatever is in the encoder's own modules, make it another network."""
    del tensors["bn1.num_batches_tracked"]
    kept = {"classifier.1.weight": np.zeros(3, np.int8), "bottleneck.weight": np.zeros(3, np.float32)}
    path = write(tmp_path, tensors | kept)
    assert set(load_encoder_weights(path, resnet).unused) == {"fc.weight", "fc.bias", *kept}
    for name, shape in {
        "layer1.0.se.fc.0.weight": (2, 8),  # squeeze-and-excitation
        "layer3.1.conv1.weight": (8, 32, 1, 1),  # a deeper network
        "bn1.extra": (1,),
        "NL_2.0.g.weight": (1, 8, 1, 1),  # non-local blocks
    }.items():
        message = problems(write(tmp_path, tensors | {name: np.zeros(shape, np.float32)}), resnet)
        assert f"1 tensor does not fit:\n  '{name}' {list(shape)} has no place" in message


def wrapped(prefix: str, tensors: dict[str, np.ndarray], **more: np.ndarray) -> dict[str, np.ndarray]:
    """The encoder's tensors under a prefix, and others as they are named."""
    encoder = {f"{prefix}{name}": value for name, value in tensors.items() if not name.startswith("fc.")}
    return encoder | {name.replace("__", "."): value for name, value in more.items()}


ONE = np.ones((3, 2), np.float32)
# How training programs save their networks -> the place of the encoder, and what else is beside it.
CHECKPOINTS: dict[str, tuple[Any, str, set[str]]] = {
    "torchvision": (lambda t: wrapped("", t, fc__weight=ONE), "", {"fc.weight"}),
    "timm, without classifier": (lambda t: wrapped("", t), "", set()),
    "timm, with averages": (lambda t: {"epoch": 3, "state_dict_ema": wrapped("", t)}, "state_dict_ema.", set()),
    "torchreid": (
        lambda t: {
            "state_dict": wrapped("", t, classifier__weight=ONE),
            "epoch": 60,
            "rank1": np.float64(0.9),
            "optimizer": {"state": {0: {"momentum_buffer": t["conv1.weight"]}}, "param_groups": [{"lr": 0.1}]},
            "scheduler": {"milestones": collections.Counter({20: 1})},
        },
        "state_dict.",
        {"state_dict.classifier.weight"},
    ),
    "fast-reid": (
        lambda t: {
            "model": wrapped("backbone.", t, heads__weight=ONE, pixel_mean=np.ones((1, 3, 1, 1), np.float32)),
            "iteration": 3,
        },
        "model.backbone.",
        {"model.heads.weight", "model.pixel_mean"},
    ),
    "reid-strong-baseline": (
        lambda t: wrapped("base.", t, bottleneck__weight=ONE[0], classifier__weight=ONE),
        "base.",
        {"bottleneck.weight", "classifier.weight"},
    ),
    "DistributedDataParallel around a wrapper": (
        lambda t: {"model": wrapped("module.base.", t, module__classifier__weight=ONE)},
        "model.module.base.",
        {"model.module.classifier.weight"},
    ),
    "MoCo": (
        lambda t: {
            "arch": "resnet50",
            "state_dict": wrapped("module.encoder_q.", t, module__queue=ONE, module__encoder_q__fc__0__weight=ONE),
        },
        "state_dict.module.encoder_q.",
        {"state_dict.module.queue", "state_dict.module.encoder_q.fc.0.weight"},
    ),
    "one network registered twice": (
        lambda t: wrapped("backbone.", t) | wrapped("model.", t),
        "backbone.",
        {
            f"model.{name}"
            for name in torch_files.read(FOLDER / "resnet.safetensors")
            if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
        },
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
def test_checkpoints_of_other_projects(tmp_path, resnet, resnet_weights, tensors, kind, counted):
    make, place, unused = CHECKPOINTS[kind]
    if not counted:
        tensors = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    weights = load_encoder_weights(torch_saves.save(tmp_path / "a.pth", make(tensors), "cuda:0"), resnet)
    assert_same((weights.params, weights.batch_stats), resnet_weights)
    assert weights.place == place
    assert {name for name in weights.unused if not name.endswith("num_batches_tracked")} == unused
    assert len(set(weights.unused)) == len(weights.unused)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_under_a_prefix(tmp_path, resnet, resnet_weights, tensors, kind):
    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[kind]
    halved = {name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in tensors.items()}
    found, statistics = load_trees(torch_saves.save(tmp_path / "a.pth", wrapped("module.", halved)), resnet)
    expected = jax.tree.map(lambda leaf: leaf.astype(dtype).astype(np.float32), resnet_weights)
    assert_same((found, statistics), expected)


def test_several_networks_that_fit_are_not_guessed(tmp_path, resnet, resnet_weights, tensors):
    """As in MoCo's own checkpoints, and those with an average of the weights."""
    other = {name: value + 1 for name, value in tensors.items()}
    state = wrapped("module.encoder_q.", tensors) | wrapped("module.encoder_k.", other)
    path = torch_saves.save(tmp_path / "moco.pth.tar", {"state_dict": state})
    places = ("state_dict.module.encoder_q.", "state_dict.module.encoder_k.")
    with pytest.raises(SeveralError, match=f"several networks .* at '{places[0]}', '{places[1]}': say") as error:
        load_encoder_weights(path, resnet)
    assert error.value.places == places
    for place, bias in zip(places, (0, 1), strict=True):
        found, _ = load_trees(path, resnet, place=place)
        np.testing.assert_array_equal(found["conv1"]["kernel"], resnet_weights[0]["conv1"]["kernel"] + bias)
    with pytest.raises(
        WeightsError, match=r"no tensors of this ResNet \(width 2, .* at 'module', but at 'state_dict.mo"
    ):
        load_encoder_weights(path, resnet, place="module")


def test_names_that_would_take_long_to_search(resnet, monkeypatch):
    """Quadratic work on them would not end: 20,000 places of one tensor each, and a place a million modules deep."""
    number = np.zeros(2, np.float32)
    content = {f"net{i}.bn1.weight": number for i in range(20_000)} | {f"{'a.' * 1_000_000}bn1.bias": number}
    monkeypatch.setattr(torch_files, "read", lambda path: {"state_dict": content})
    message = problems(pathlib.Path("a.pth"), resnet)
    assert "Its tensors are named 'net0.bn1.weight', " in message


def test_a_place_that_fits_is_found_beside_one_that_does_not(tmp_path, resnet, resnet_weights, tensors):
    """Students and teachers of other sizes; the first in the file is not the one."""
    other = dict(tensors) | {"conv1.weight": np.zeros((2, 4, 7, 7), np.float32)}
    path = torch_saves.save(
        tmp_path / "a.pth", {"teacher": wrapped("net.", other), "student": wrapped("net.", tensors)}
    )
    weights = load_encoder_weights(path, resnet)
    assert weights.place == "student.net."
    assert_same((weights.params, weights.batch_stats), resnet_weights)


def torch_shapes(encoder: ResNet | DenseNet) -> dict[str, np.ndarray]:
    """An encoder's tensors under torchvision's names, all of one number that takes no memory."""
    shapes = {leaf: array.shape for leaf, array in leaves(encoder).items()}
    return {
        name: transform.to_torch(np.broadcast_to(np.float32(0), shapes[leaf]))
        for leaf, (name, transform) in torch_names(encoder).items()
    }


def zeros(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(0), shape)


def test_the_network_in_a_file_is_recognized(resnet, monkeypatch):
    """In the error, with the sizes that a config would name."""

    def said(tensors: dict[str, np.ndarray], encoder: nnx.Module = resnet) -> str:
        monkeypatch.setattr(torch_files, "read", lambda path: {"state_dict": tensors})
        message = problems(pathlib.Path("a.pth"), encoder).partition("\n")[0]
        return message.partition("they look like ")[2].rpartition("; ")[0]

    resnet50, resnet101, densenet121 = (
        nnx.eval_shape(lambda network=network, sizes=sizes: network(stage_sizes=sizes, rngs=nnx.Rngs(0)))
        for network, sizes in ENCODERS.values()
    )
    # All tensors of a ResNet-50 are in a ResNet-101, with the same shapes.
    deep = torch_shapes(resnet101)
    assert torch_shapes(resnet50).keys() < deep.keys()
    assert said(deep, resnet50) == "a ResNet-101 (width 64, stage_sizes (3, 4, 23, 3))"
    assert said(torch_shapes(resnet50), resnet101) == "a ResNet-50 (width 64, stage_sizes (3, 4, 6, 3))"
    assert said({f"module.{name}": value for name, value in torch_shapes(resnet50).items()}, resnet) == (
        "a ResNet-50 (width 64, stage_sizes (3, 4, 6, 3))"
    )
    assert said(torch_shapes(densenet121)) == "a DenseNet-121 (width 64, stage_sizes (6, 12, 24, 16))"
    ours = torch_shapes(resnet)
    narrow = "a ResNet of bottlenecks (width 2, stage_sizes (1, 2, 1, 1))"
    assert said(ours, resnet50) == narrow
    batch_norm = [name for name in ours if name.startswith("layer1.0.bn1.")]
    ibn = {name.replace("bn1.", "bn1.IN.") if name in batch_norm else name: value for name, value in ours.items()}
    assert said(ibn) == f"{narrow} with instance normalization (IBN)"
    assert said(ours | {"layer1.0.se.fc1.weight": zeros(2, 8)}) == f"{narrow} with squeeze-and-excitation"
    assert said(ours | {"NL_2.0.g.weight": zeros(2, 8, 1, 1)}) == f"{narrow} with non-local blocks"
    grouped = {name: zeros(value.shape[0], 1, 3, 3) if ".conv2." in name else value for name, value in ours.items()}
    assert said(grouped) == f"{narrow} with grouped convolutions (ResNeXt)"
    basic = {
        f"layer{stage}.{block}.conv{part}.weight": zeros(64, 64, 3, 3)
        for stage in (1, 2, 3, 4)
        for block in (0, 1)
        for part in (1, 2)
    }
    assert said(basic) == "a ResNet-18 (width 64, stage_sizes (2, 2, 2, 2))"
    assert said({"conv2.0.conv1.conv.weight": zeros(64, 64, 1, 1)}) == "an OSNet"
    assert said({"base.blocks.0.attn.qkv.weight": zeros(3, 1)}) == "a vision transformer (TransReID and others)"
    assert said({"backbone.stages.0.blocks.0.attn.w_msa.qkv.weight": zeros(3, 1)}).startswith("a Swin transformer")
    assert said({"something.else": zeros(3, 1)}) == ""
    assert said({f"layer1.{'9' * 5000}.conv1.weight": zeros(1, 1, 1, 1)}) == ""  # Python reads no such number
    # What is missing in a file of this very network is not its architecture.
    del ours["conv1.weight"]
    assert said(ours) == ""


def test_files_of_other_networks(tmp_path, resnet):
    deeper = nnx.eval_shape(lambda: ResNet(width=2, stage_sizes=(2, 2, 1, 1), rngs=nnx.Rngs(0)))
    message = problems(FOLDER / "resnet.pth", deeper)
    assert "15 tensors do not fit" in message  # three convolutions and batch normalisations
    assert "layer1.1.bn3.running_var [8] is missing" not in message  # twelve are shown
    assert message.endswith("and 3 more")
    message = problems(FOLDER / "densenet_legacy.pth", resnet)
    assert "they look like a DenseNet (width 4, stage_sizes (2, 1, 2, 1))" in message
    assert f"{len(leaves(resnet))} tensors do not fit" in message
    assert "Its tensors are named 'whole', 'transposed', 'part', ...)" in problems(FOLDER / "odd.pth", resnet)
    assert "there are none" in problems(write(tmp_path, {}), resnet)


def test_a_tensor_under_both_spellings(tmp_path):
    tensors = {name: np.asarray(value) for name, value in torch_files.read(FOLDER / "densenet_legacy.pth").items()}
    name = next(name for name in tensors if ".norm.1." in name)
    message = problems(write(tmp_path, tensors | {name.replace("norm.1", "norm1"): tensors[name]}), make_densenet())
    assert f"'{name.replace('norm.1', 'norm1')}' is there twice" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"feature_size": 0},
        {"skips": False},
        {"bnneck": True},
        {"pooling": "gem"},
        {"encoder": "densenet121", "stage_sizes": (1, 1, 1, 1)},
    ],
)
def test_the_released_network_is_one_of_its_own(changes):
    assert "feature_size=512, skips=True" in problems(RELEASED, make_san(**changes), load_released_checkpoint)


def test_released_checkpoints_that_do_not_fit(monkeypatch):
    message = problems(RELEASED, make_san(7), load_released_checkpoint)
    assert "2 tensors do not fit" in message
    assert "classifier.weight: expected [7, 6], found [5, 6]" in message
    content = torch_files.read(RELEASED)
    decoder = content["decoder_state_dict"]
    monkeypatch.setattr(torch_files, "read", lambda path: content)
    bias = decoder["embed_layer1.0.bias"]
    decoder["embed_layer1.0.bias"] = bias[:3]
    del decoder["reduce_dim.1.running_mean"]
    decoder["up1.conv.5.weight"] = bias
    # A file can claim any shape of a single number (stride 0): 8 TB, should anybody compute with it.
    huge = np.broadcast_to(np.float32(0), (1 << 40,))
    decoder["embed_layer2.0.bias"] = decoder["embed_layer2.1.running_mean"] = huge
    message = problems(RELEASED, make_san(), load_released_checkpoint)
    assert "6 tensors do not fit" in message
    wrong = ("embed_layer2.0.bias", "embed_layer2.1.running_mean")
    for name in ("embed_layer1.0.bias", "reduce_dim.0.bias", "reduce_dim.1.running_mean", "up1.conv.5.weight", *wrong):
        assert f"decoder.{name}" in message
    del content["decoder_state_dict"]
    assert "expected a dictionary with 'decoder_state_dict'" in problems(RELEASED, make_san(), load_released_checkpoint)


def test_damaged_files_are_refused_as_such(tmp_path, resnet):
    path = tmp_path / "cut.pth"
    path.write_bytes((FOLDER / "resnet.pth").read_bytes()[:-1000])
    with pytest.raises(torch_files.TorchFileError, match=re.escape(str(path))):
        load_trees(path, resnet)
