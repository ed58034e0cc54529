"""Exported encoders: what they give in a process that has JAX alone and in PyTorch, and what is refused."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import yaml

import san_jax
from experiments.runs import exporting, models
from san_jax import files, runtimes
from san_jax.models import merge_model, split_model
from tests.experiments.export_runs import (
    BLOCK,
    EVERYTHING,
    GOLDEN_RUNS,
    fingerprint,
    golden_images,
    relative,
    run_embeddings,
    write_run,
)

REPOSITORY = pathlib.Path(exporting.__file__).parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "export.npz"
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


def tensors_and_metadata(path):
    with safetensors.safe_open(path, "np") as file:
        return safetensors.numpy.load_file(path), file.metadata()


def test_stablehlo_runs_where_there_is_only_jax(tmp_path, exportable_run):
    exporting.run(exportable_run, tmp_path / "exported", formats=["stablehlo"])
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
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('cpu', 'cuda', 'tpu') uint8[batch,64,32,3] float32[batch,128]"
    found = np.load(tmp_path / "exported" / "embeddings.npz")
    expected = run_embeddings(exportable_run, images)
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
    model, *_ = models.load_run(tmp_path / "run", encoder_only=True)
    np.testing.assert_array_equal(tensors["bn1.weight"], split_model(model)[1]["encoder"]["bn1"]["norm"]["scale"])
    assert tensors["bn1.weight"].min() > 0.0


def other_program(monkeypatch):
    """The StableHLO that is made gives numbers a little larger than the model's."""
    export_function = jax.export.export

    def larger(function, **options):
        return export_function(jax.jit(lambda images: 1.001 * function(images)), **options)

    monkeypatch.setattr(jax.export, "export", larger)


def other_weight(monkeypatch):
    """One weight of the file that is made is another."""
    save = safetensors.numpy.save

    def changed(tensors, metadata):
        kernel = tensors["conv1.weight"].copy()
        kernel[0, 0, 0, 0] += 1.0
        return save({**tensors, "conv1.weight": kernel}, metadata)

    monkeypatch.setattr(safetensors.numpy, "save", changed)


@pytest.mark.parametrize(("kind", "spoil"), [("stablehlo", other_program), ("safetensors", other_weight)])
def test_a_file_that_gives_something_else_is_not_written(tmp_path, exportable_run, monkeypatch, kind, spoil):
    spoil(monkeypatch)
    with pytest.raises(
        exporting.ExportError, match=rf"The {kind} file gives embeddings that differ .* nothing is written"
    ):
        exporting.run(exportable_run, tmp_path / "exported")
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


def test_a_wrong_name_in_the_table_is_seen(tmp_path, exportable_run, monkeypatch):
    """The encoder is read back by the loader of torchvision's files."""
    names = exporting.exported_names

    def exchanged(model):
        table = names(model)
        a, b = "encoder.stage1.block1.bn1.norm.scale", "encoder.stage1.block1.bn2.norm.scale"
        return table | {a: table[b], b: table[a]}

    monkeypatch.setattr(exporting, "exported_names", exchanged)
    with pytest.raises(exporting.ExportError, match="The safetensors file gives embeddings that differ"):
        exporting.run(exportable_run, tmp_path / "exported", formats=["safetensors"])


def test_nothing_is_overwritten_unasked(tmp_path, exportable_run):
    output = tmp_path / "exported"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    (output / "encoder.onnx").write_bytes(b"of an earlier export")
    with pytest.raises(exporting.ExportError, match=r"holds encoder.onnx already: .* --overwrite"):
        exporting.run(exportable_run, output, formats=["stablehlo"])
    exporting.run(exportable_run, output, formats=["stablehlo"], overwrite=True)
    # The card tells of all that is there, so what it does not know of the earlier export is gone.
    names = ["README.md", "encoder.stablehlo", "model_card.json", "notes.txt"]
    assert sorted(path.name for path in output.iterdir()) == names


def test_the_card_has_the_scores_and_thresholds_of_the_exported_step(tmp_path, exportable_run):
    """Not those of another step, nor those with re-ranking."""
    run = tmp_path / "run"
    shutil.copytree(exportable_run, run)
    scores = {"protocol": "As it was.", "rank1": 0.5, "mAP": 0.25, "relation": "same-dataset", "workdir": "x"}
    for name, dataset, step in (("pit_reid", "pit_reid", 7), ("pit_reid_rerank", "pit_reid", 7), ("other", "other", 5)):
        report = {"dataset": dataset, "step": step, **scores}
        files.write_json(run / "report" / f"evaluate_{name}.json", report)
    point = {"threshold": 0.5, "false_matches": 1, "impostors": 1000, "false_non_matches": 3, "genuine": 4}
    pictures = {"images": "pit_reid:query", "pictures": 9, "persons": 3}
    calibration = {"pictures": pictures, "equal_error": {}, "points": [point], "limits": ["Only here."]}
    files.write_json(run / "calibration.json", {"made_by": {"step": 7}, **calibration, "roc": []})
    estimate = {"score": 0.25, "difference": -0.125, "widened_interval": [-0.5, 0.25]}
    value = {"value": "older|er", "cases": 1200, "persons": 30, "mAP": estimate, "rank1": {"score": 0.5}}
    few = {
        "value": "old",
        "cases": 1,
        "persons": 1,
        "mAP": {"score": 1, "widened_interval": None},
        "rank1": {"score": 1},
    }
    facets = [{"title": "Age", "subject": "person", "values": [value, few]}]
    microscope = {
        "step": 7,
        "flip": False,
        "findings": ["First.", "Second."],
        "limits": ["Rendered."],
        "facets": facets,
    }
    files.write_json(run / "microscope.json", {**microscope, "workdir": "x"})
    card = exporting.run(run, tmp_path / "exported", formats=["safetensors"])
    assert card["microscope"] == {key: value for key, value in microscope.items() if key != "step"}
    (found,) = card["scores"]
    assert found == {"dataset": "pit_reid", **{key: scores[key] for key in scores if key != "workdir"}}
    assert card["calibration"] == calibration
    text = (tmp_path / "exported" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["datasets"] == ["pit_reid"]
    (result,) = front["model-index"][0]["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == {"rank-1": 50.0, "mAP": 25.0}
    for line in (
        "| pit_reid | 50.00 |  |  | 25.00 |  | same-dataset |",
        "- As it was.",
        "| 0.5 | 1 of 1,000 | 3 of 4 |",
        "Only here.",
        "First.",
        "- Second.",
        "| Age: older\\|er | 1,200, 30 | 25.0 | 50.0 | -12.5 (-50.0 to +25.0) |",
        "| Age: old | 1, 1 | 100.0 | 100.0 | too few persons |",
        "Rendered.",
        "- Rendered persons do not say whether it does equally well for all people: measure that on people like yours "
        "before you rely on it.",
    ):
        assert line in text.splitlines()
    files.write_json(run / "calibration.json", {"made_by": {"step": 5}, **calibration})
    files.write_json(run / "microscope.json", {**microscope, "flip": True})
    again = exporting.run(run, tmp_path / "again", formats=["safetensors"])
    assert again["calibration"] is again["microscope"] is None
    assert "Where it fails" not in (tmp_path / "again" / "README.md").read_text()


def test_interrupted_writing_leaves_no_card_of_other_files(tmp_path, exportable_run, monkeypatch):
    output = tmp_path / "exported"
    exporting.run(exportable_run, output, formats=["safetensors"])
    write = exporting.write_atomic

    def fail_at_the_card(path, content):
        if path.name == "model_card.json":
            raise OSError("No space left on device")
        write(path, content)

    monkeypatch.setattr(exporting, "write_atomic", fail_at_the_card)
    with pytest.raises(OSError, match="No space left"):
        exporting.run(exportable_run, output, formats=["safetensors"], overwrite=True)
    assert not (output / "model_card.json").exists()


def test_what_cannot_be_exported(tmp_path):
    write_run(tmp_path / "textures", "baseline.py:smoke", input__kind="texture", input__path="runs/san_pg", **BLOCK)
    with pytest.raises(exporting.ExportError, match="does not take images but the textures that runs/san_pg regresses"):
        exporting.run(tmp_path / "textures", tmp_path / "exported")
    with pytest.raises(
        exporting.ExportError, match="formats must be some of stablehlo, safetensors, onnx, found torchscript"
    ):
        exporting.run(tmp_path / "textures", tmp_path / "exported", formats=["torchscript"])
    assert not (tmp_path / "exported").exists()


def test_a_run_that_embeds_everything_alike_is_told(tmp_path, exportable_run, monkeypatch):
    load = models.load_run

    def dead(*args, **kwargs):
        model, plan, step = load(*args, **kwargs)
        graphdef, params, batch_stats = split_model(model)
        return merge_model(graphdef, jax.tree.map(lambda x: 0 * x, params), batch_stats), plan, step

    monkeypatch.setattr(exporting.models, "load_run", dead)
    with pytest.raises(exporting.ExportError, match="same embedding for all images"):
        exporting.run(exportable_run, tmp_path / "exported")


def test_an_opset_that_cannot_be_written(tmp_path):
    with pytest.raises(exporting.ExportError, match=r"opset=15 is for ONNX, .*: add onnx to them"):
        exporting.run(tmp_path / "run", tmp_path / "exported", opset=15)
    for opset in (0, runtimes.OPSETS[0] - 1, runtimes.OPSETS[-1] + 1):
        with pytest.raises(exporting.ExportError, match=rf"opset must be one of 13 to 23, found {opset}: .* for 17\."):
            exporting.run(tmp_path / "run", tmp_path / "exported", formats=["onnx"], opset=opset)
