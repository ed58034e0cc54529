"""Weights trained with PyTorch: every key of torchvision's networks, forward passes, and files of other networks.

The files of tests/golden/weight_files are narrow networks of torchvision's classes and of the authors' released
architecture (tests/golden/make_weight_files.py), with what PyTorch computes with them in float64.
"""

import json
import pathlib
import re
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from san_jax.models import SAN, DenseNet, ResNet, merge_model, pretrained, split_model, torch_files
from san_jax.models.pretrained import WeightsError, load_released_checkpoint, load_torch_resnet, torch_names
from san_jax.models.san import ENCODERS
from san_jax.train_state import flatten
from tests.golden.weights import inputs

FOLDER = pathlib.Path(__file__).parent / "golden" / "weight_files"
RELEASED = FOLDER / "checkpoint_ep300.pth.tar"
QUICK = {"xla_backend_optimization_level": 0}  # what runs once need not be optimized by LLVM


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
    forward = jax.jit(lambda weights, x: merge_model(graphdef, *weights)(x), compiler_options=QUICK)
    return forward(weights, inputs("weight_files", (2, 48, 32, 3)))


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
    assert pretrained.CONV.to_jax(kernel)[4, 6, 2, 1] == kernel[1, 2, 4, 6]
    np.testing.assert_array_equal(pretrained.CONV.to_torch(pretrained.CONV.to_jax(kernel)), kernel)
    matrix = np.arange(6).reshape(2, 3)
    assert pretrained.LINEAR.to_jax(matrix)[2, 1] == matrix[1, 2]
    np.testing.assert_array_equal(pretrained.LINEAR.to_torch(pretrained.LINEAR.to_jax(matrix)), matrix)


@pytest.fixture(scope="module")
def resnet_weights(resnet) -> tuple[dict, dict]:
    return load_torch_resnet(FOLDER / "resnet.pth", resnet)


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
    assert_same(load_torch_resnet(FOLDER / name, resnet), resnet_weights)


def test_densenet_forward_from_old_spelling_and_bfloat16(expected):
    """The same network with keys such as "denselayer1.norm.1.weight", and rounded to bfloat16 on disk."""
    densenet = make_densenet()
    assert any(".norm.1." in name for name in torch_files.read(FOLDER / "densenet_legacy.pth"))
    weights = load_torch_resnet(FOLDER / "densenet_legacy.pth", densenet)
    assert_same(load_torch_resnet(FOLDER / "densenet_bfloat16.safetensors", densenet), weights)
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
    assert_same(load_torch_resnet(write(tmp_path, doubled), resnet), resnet_weights)
    halved = {name: value.astype(np.float16) for name, value in tensors.items() if value.dtype == np.float32}
    found, _ = load_torch_resnet(write(tmp_path, halved), resnet)
    kernel = resnet_weights[0]["conv1"]["kernel"].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found["conv1"]["kernel"], kernel, strict=True)


def test_a_checkpoint_around_the_weights(resnet, monkeypatch, resnet_weights, tensors):
    checkpoint = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    monkeypatch.setattr(torch_files, "read", lambda path: checkpoint)
    assert_same(load_torch_resnet("some.pth.tar", resnet), resnet_weights)


def problems(path: pathlib.Path, model: nnx.Module, load: Any = load_torch_resnet) -> str:
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
    tensors["layer9.weight\n"] = np.zeros((2, 3), np.float32)
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
        "'layer9.weight\\n' [2, 3] has no place in this network",
    ):
        assert f"\n  {line}" in message


def test_classifier_and_counts_are_the_only_exceptions(tmp_path, resnet, tensors):
    del tensors["fc.weight"], tensors["bn1.num_batches_tracked"]
    tensors["classifier.1.weight"] = np.zeros(3, np.int8)
    load_torch_resnet(write(tmp_path, tensors), resnet)
    tensors["head.weight"] = np.zeros(3, np.float32)
    assert "1 tensors do not fit:\n  'head.weight' [3] has no place" in problems(write(tmp_path, tensors), resnet)


def test_files_of_other_networks(tmp_path, resnet):
    deeper = nnx.eval_shape(lambda: ResNet(width=2, stage_sizes=(2, 2, 1, 1), rngs=nnx.Rngs(0)))
    message = problems(FOLDER / "resnet.pth", deeper)
    assert "15 tensors do not fit" in message  # three convolutions and batch normalisations
    assert "layer1.1.bn3.running_var [8] is missing" not in message  # twelve are shown
    assert message.endswith("and 3 more")
    message = problems(FOLDER / "densenet_legacy.pth", resnet)
    assert "another architecture" in message
    count = int(re.search(r"(\d+) tensors do not fit", message)[1])
    assert count == len(leaves(resnet)) + len(leaves(make_densenet()))
    assert "'list' is list" in problems(FOLDER / "odd.pth", resnet)
    assert "there are none" in problems(write(tmp_path, {}), resnet)


@pytest.mark.parametrize("name", ["x.module.fc.weight", "module.bn1.weight"])
def test_a_name_that_is_there_twice(tmp_path, resnet, tensors, name):
    tensors[name] = tensors["bn1.weight"]
    message = problems(write(tmp_path, tensors), resnet)
    assert ("'bn1.weight' is there twice" if name.startswith("module.") else "has no place") in message


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
        load_torch_resnet(path, resnet)
