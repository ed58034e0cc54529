"""Exported encoders: what they give in a process that has JAX alone, in PyTorch and in onnxruntime, and what is refused."""

import dataclasses
import hashlib
import importlib.util
import json
import logging
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from PIL import Image

import san_jax
from experiments import export
from experiments.command_line import config_files
from experiments.runs import export_formats, exporting, models, onnx_file
from experiments.runs.plan import resolve
from san_jax import embed
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from san_jax.models import merge_model, split_model
from tests.experiments.export_runs import GOLDEN_RUNS, fingerprint, golden_images, with_drawn_weights, write_run

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "export.npz"
BLOCK = {"model__width": 4}  # the smallest ResNet
# Every operation that an export can hold: average and maximum pooling, concatenation, GeM, head and neck.
EVERYTHING = {**GOLDEN_RUNS["heads"], "model__stage_sizes": (1, 1, 1, 1), "model__encoder": "densenet121"}

# What docs/export.md tells a user to do, where there is nothing but JAX.
CONSUMER = """
import sys
for name in ("san_jax", "experiments", "flax", "optax", "orbax"):
    sys.modules[name] = None
import pathlib, jax, numpy as np
from jax import export
encoder = export.deserialize(bytearray(pathlib.Path("encoder.stablehlo").read_bytes()))
images = np.load("images.npy")
np.savez("embeddings.npz", one=encoder.call(images[:1]), all=jax.jit(encoder.call)(images))
print(encoder.platforms, encoder.in_avals[0].str_short(), encoder.out_avals[0].str_short())
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that no test changes."""
    folder = tmp_path_factory.mktemp("export") / "run"
    write_run(folder, **BLOCK)
    return folder


def run_embeddings(workdir, images):
    model, _ = models.load_run(workdir, encoder_only=True)
    return embed.embed_images(model, images, batch_size=sum(exporting.BATCHES))


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def tensors_and_metadata(path):
    with safetensors.safe_open(path, "np") as file:
        return safetensors.numpy.load_file(path), file.metadata()


def test_stablehlo_runs_where_there_is_only_jax(tmp_path, workdir):
    exporting.run(workdir, tmp_path / "exported", formats=["stablehlo"])
    images = golden_images()
    np.save(tmp_path / "exported" / "images.npy", images)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CONSUMER],
        cwd=tmp_path / "exported",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('cpu', 'cuda', 'tpu') uint8[batch,64,32,3] float32[batch,128]"
    found = np.load(tmp_path / "exported" / "embeddings.npz")
    expected = run_embeddings(workdir, images)
    # The same program: float32 roundings of a few layers.
    assert relative(found["all"], expected) < 1e-5
    assert relative(found["one"], expected[:1]) < 1e-5


@pytest.mark.parametrize("name", GOLDEN_RUNS)
def test_pytorch_gives_the_same_from_the_safetensors(tmp_path, name):
    """export.npz was made by loading these very files, strictly, into PyTorch modules with torchvision's names."""
    with np.load(GOLDEN) as file:
        golden = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{name}.")}
    write_run(tmp_path / "run", **GOLDEN_RUNS[name])
    exporting.run(tmp_path / "run", tmp_path / "exported", formats=["safetensors"])
    tensors, metadata = tensors_and_metadata(tmp_path / "exported" / "encoder.safetensors")
    assert sorted(tensors) == golden["names"].tolist()
    assert metadata == json.loads(str(golden["metadata"]))
    for key, shape, number in zip(golden["names"], golden["shapes"], golden["fingerprints"], strict=True):
        assert tensors[key].dtype == np.float32
        assert " ".join(map(str, tensors[key].shape)) == shape
        # Weights are drawn anew here, by functions that may round otherwise elsewhere.
        np.testing.assert_allclose(fingerprint(tensors[key]), number, rtol=1e-5, atol=1e-5, err_msg=key)
    # float32 here, float64 there.
    assert relative(run_embeddings(tmp_path / "run", golden_images()), golden["embeddings"]) < 1e-5


def test_model_card(tmp_path, workdir, capsys):
    export.main([f"--workdir={workdir}", f"--output={tmp_path / 'exported'}"])
    printed = capsys.readouterr().out
    folder = tmp_path / "exported"
    card = json.loads((folder / "model_card.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == [
        "encoder.safetensors",
        "encoder.stablehlo",
        "model_card.json",
    ]
    for name, file in card["files"].items():
        content = (folder / name).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["compute_dtype"] == "float32"
        assert file["parity"]["relative"] <= file["parity"]["tolerance"] == 1e-5
        assert str(folder / name) in printed
    assert card["embedding_size"] == 128
    assert card["input"]["shape"] == ["batch", 64, 32, 3]
    assert card["input"]["normalization"]["mean"] == list(IMAGENET_MEAN)
    assert card["input"]["normalization"]["std"] == list(IMAGENET_STD)
    assert card["run"] == {"workdir": str(workdir), "method": "san", "step": 7, "averaged": False}
    assert card["trained_on"] == {"dataset": "pit_reid", "started_from": {}}
    assert card["config"]["model"]["width"] == 4
    assert card["network"]["changes"] == "layer4.0.conv2 and layer4.0.downsample.0 have stride 1"


def test_averaged_bfloat16_run(tmp_path):
    """The average is exported, not the weights (zeros here); float32 formats of a bfloat16 run compute in float32."""
    write_run(tmp_path / "run", average=True, model__compute_dtype="bfloat16", **BLOCK)
    card = exporting.run(tmp_path / "run", tmp_path / "exported", formats=["stablehlo", "safetensors"])
    assert card["run"]["averaged"]
    program, weights = card["files"]["encoder.stablehlo"], card["files"]["encoder.safetensors"]
    assert (program["compute_dtype"], weights["compute_dtype"]) == ("bfloat16", "float32")
    # bfloat16 keeps 8 bits: float32 arithmetic gives other numbers, but not far away.
    assert 1e-4 < weights["parity"]["relative_to_bfloat16"] < 5e-2
    assert "relative_to_bfloat16" not in program["parity"]
    tensors, _ = tensors_and_metadata(tmp_path / "exported" / "encoder.safetensors")
    model, _ = models.load_run(tmp_path / "run", encoder_only=True)
    np.testing.assert_array_equal(tensors["bn1.weight"], split_model(model)[1]["encoder"]["bn1"]["norm"]["scale"])
    assert tensors["bn1.weight"].min() > 0.0


@pytest.mark.parametrize("kind", ["stablehlo", "safetensors"])
def test_a_file_that_gives_something_else_is_not_written(tmp_path, workdir, monkeypatch, kind):

    def spoilt(model, config):
        """The file of a model of which one weight is another."""
        graphdef, params, batch_stats = split_model(model)
        params["encoder"]["conv1"]["kernel"] = params["encoder"]["conv1"]["kernel"].at[0, 0, 0, 0].add(1.0)
        return original(merge_model(graphdef, params, batch_stats), config)

    original = getattr(exporting, f"_{kind}")
    monkeypatch.setattr(exporting, f"_{kind}", spoilt)
    with pytest.raises(
        exporting.ExportError, match=rf"The {kind} file gives embeddings that differ .* nothing is written"
    ):
        exporting.run(workdir, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("changes", [BLOCK, EVERYTHING])
def test_the_python_door_takes_the_file_with_its_card(tmp_path, changes):
    write_run(tmp_path / "run", **changes)
    exporting.run(tmp_path / "run", tmp_path / "exported", formats=["safetensors"])
    encoder = san_jax.load_encoder(tmp_path / "exported" / "encoder.safetensors", batch_size=8)
    images = golden_images()
    expected = run_embeddings(tmp_path / "run", images)
    assert (encoder.image_size, encoder.embedding_size) == ((64, 32), expected.shape[1])
    assert relative(encoder(images), expected) < exporting.TOLERANCES["safetensors"]


def test_a_wrong_name_in_the_table_is_seen(tmp_path, workdir, monkeypatch):
    """The encoder is read back by the loader of torchvision's files."""
    names = exporting.exported_names

    def exchanged(model):
        table = names(model)
        a, b = "encoder.stage1.block1.bn1.norm.scale", "encoder.stage1.block1.bn2.norm.scale"
        return table | {a: table[b], b: table[a]}

    monkeypatch.setattr(exporting, "exported_names", exchanged)
    with pytest.raises(exporting.ExportError, match="The safetensors file gives embeddings that differ"):
        exporting.run(workdir, tmp_path / "exported", formats=["safetensors"])


def test_nothing_is_overwritten_unasked(tmp_path, workdir):
    output = tmp_path / "exported"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    (output / "encoder.onnx").write_bytes(b"of an earlier export")
    with pytest.raises(exporting.ExportError, match=r"holds encoder.onnx already: .* --overwrite"):
        exporting.run(workdir, output, formats=["stablehlo"])
    exporting.run(workdir, output, formats=["stablehlo"], overwrite=True)
    # The card tells of all that is there, so what it does not know of the earlier export is gone.
    assert sorted(path.name for path in output.iterdir()) == ["encoder.stablehlo", "model_card.json", "notes.txt"]


def test_interrupted_writing_leaves_no_card_of_other_files(tmp_path, workdir, monkeypatch):
    output = tmp_path / "exported"
    exporting.run(workdir, output, formats=["safetensors"])
    write = exporting.write_atomic

    def fail_at_the_card(path, content):
        if path.name == "model_card.json":
            raise OSError("No space left on device")
        write(path, content)

    monkeypatch.setattr(exporting, "write_atomic", fail_at_the_card)
    with pytest.raises(OSError, match="No space left"):
        exporting.run(workdir, output, formats=["safetensors"], overwrite=True)
    assert not (output / "model_card.json").exists()


def test_what_cannot_be_exported(tmp_path):
    write_run(tmp_path / "textures", "baseline.py:smoke", input__kind="texture", input__path="runs/san_pg", **BLOCK)
    with pytest.raises(exporting.ExportError, match="does not take images but the textures that runs/san_pg regresses"):
        exporting.run(tmp_path / "textures", tmp_path / "exported")
    with pytest.raises(
        exporting.ExportError, match="formats must be some of stablehlo, safetensors, onnx, found torchscript"
    ):
        exporting.run(tmp_path / "textures", tmp_path / "exported", formats=["torchscript"])
    with pytest.raises(SystemExit, match=r"export: .*config.json does not exist: expected the folder of a run"):
        export.main([f"--workdir={tmp_path / 'absent'}", f"--output={tmp_path / 'exported'}"])
    assert not (tmp_path / "exported").exists()


def test_a_run_that_embeds_everything_alike_is_told(tmp_path, workdir, monkeypatch):
    load = models.load_run

    def dead(*args, **kwargs):
        model, config = load(*args, **kwargs)
        graphdef, params, batch_stats = split_model(model)
        return merge_model(graphdef, jax.tree.map(lambda x: 0 * x, params), batch_stats), config

    monkeypatch.setattr(exporting.models, "load_run", dead)
    with pytest.raises(exporting.ExportError, match="same embedding for all images"):
        exporting.run(workdir, tmp_path / "exported")


def test_onnx_says_how_to_install_what_is_missing(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("onnx", "jax2onnx") else find(name))
    with pytest.raises(onnx_file.MissingPackagesError, match=r"ONNX needs jax2onnx, onnx, not installed") as error:
        exporting.run(tmp_path / "run", tmp_path / "exported", formats=["onnx"])
    assert "pip install --no-deps jax2onnx==" in str(error.value)


def test_an_opset_that_cannot_be_written(tmp_path):
    with pytest.raises(exporting.ExportError, match=r"opset=15 is for ONNX, .*: add onnx to them"):
        exporting.run(tmp_path / "run", tmp_path / "exported", opset=15)
    for opset in (0, export_formats.OPSETS[0] - 1, export_formats.OPSETS[-1] + 1):
        with pytest.raises(exporting.ExportError, match=rf"opset must be one of 13 to 23, found {opset}: .* for 17\."):
            exporting.run(tmp_path / "run", tmp_path / "exported", formats=["onnx"], opset=opset)


needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in onnx_file.PACKAGES),
    reason="jax2onnx and onnxruntime are not installed: " + "; ".join(onnx_file.INSTALL),
)
# What a runtime of the year before an opset's own refuses: opset -> IR version, as the ONNX standard pairs them.
IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}


@needs_onnx
def test_onnx(tmp_path):
    import onnxruntime

    write_run(tmp_path / "run", **EVERYTHING)
    card = exporting.run(tmp_path / "run", tmp_path / "exported", formats=["onnx"])
    file = card["files"]["encoder.onnx"]
    assert file["parity"]["relative"] <= 1e-5
    assert (file["opset"], file["ir_version"]) == (17, 8)
    assert logging.root.manager.disable == 0
    assert not jax.config.jax_enable_x64
    session = onnxruntime.InferenceSession(tmp_path / "exported" / "encoder.onnx", providers=["CPUExecutionProvider"])
    (images,), (embeddings,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 64, 32, 3])
    assert (embeddings.name, embeddings.type) == ("embeddings", "tensor(float)")
    # Another runtime: float32 roundings of some ten layers.
    found = np.asarray(session.run(None, {"images": golden_images()})[0])
    assert relative(found, run_embeddings(tmp_path / "run", golden_images())) < 1e-5
    # Any number of images.
    many = np.tile(golden_images(), (11, 1, 1, 1))
    np.testing.assert_allclose(
        np.asarray(session.run(None, {"images": many})[0]), np.tile(found, (11, 1)), rtol=0, atol=1e-6
    )


@needs_onnx
def test_the_opset_is_chosen_on_the_command_line(tmp_path, workdir, capsys):
    import onnx

    export.main([f"--workdir={workdir}", f"--output={tmp_path}", "--formats=onnx", "--opset=14"])
    assert "MB, opset 14, IR version 7, embeddings differ" in capsys.readouterr().out
    model = onnx.load(tmp_path / "encoder.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 14)]
    assert model.ir_version == 7


@needs_onnx
@pytest.mark.parametrize("opset", export_formats.OPSETS)
def test_every_opset_is_written_as_it_is_defined(opset):
    """With the IR version that came with it, and the same numbers in onnxruntime."""
    config = config_files.load("san.py:smoke").unlock()
    for key, value in EVERYTHING.items():
        config_files.assign(config, key.replace("__", "."), value)
    plan = dataclasses.replace(resolve(config), target=None)
    model = with_drawn_weights(models.skeleton(plan, 0))
    content = onnx_file.convert(embed.encoder_function(model), config.image_size, opset)
    assert onnx_file.format_versions(content) == {"opset": opset, "ir_version": IR_VERSIONS[opset]}
    expected = embed.embed_images(model, golden_images(), batch_size=3)
    assert relative(onnx_file.load(content)(golden_images()), expected) < 1e-5


def examples(section: str) -> str:
    """The Python code of a section of docs/export.md, as it stands there."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (text,) = [part for part in page.split("\n## ") if part.partition("\n")[0] == section]
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


def run_example(section: str, folder: pathlib.Path) -> np.ndarray:
    """What a section's code calls `embeddings`, run in a folder by an interpreter that has none of this project."""
    absent = ("san_jax", "experiments", "render", "flax", "optax", "orbax")
    code = [
        "import sys",
        f"sys.modules.update(dict.fromkeys({absent}))",
        examples("Two images"),
        examples(section),
        "np.save('embeddings.npy', embeddings)",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(code)],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "embeddings.npy")


@pytest.mark.parametrize("section", ["JAX", pytest.param("ONNX", marks=needs_onnx)])
def test_the_examples_of_the_page_run_with_any_image_size(tmp_path, section):
    write_run(tmp_path / "run", "san.py:smoke", image_size=(96, 40), model__width=4)
    exporting.run(tmp_path / "run", tmp_path / "exported", formats=["stablehlo" if section == "JAX" else "onnx"])
    for seed, (name, size) in enumerate({"a.jpg": (50, 131), "b.jpg": (40, 96)}.items()):
        pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    found = run_example(section, tmp_path)
    images = np.load(tmp_path / "images.npy")
    assert images.shape == (2, 96, 40, 3)
    assert relative(found, run_embeddings(tmp_path / "run", images)) < 1e-5
