"""The export program, and the code of docs/export.md as it stands there."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import export
from experiments.runs import exporting
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from tests.experiments.export_runs import (
    golden_images,
    needs_onnx,
    relative,
    run_embeddings,
    write_run,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_model_card(tmp_path, exportable_run, capsys):
    export.main([f"--workdir={exportable_run}", f"--output={tmp_path / 'exported'}"])
    printed = capsys.readouterr().out
    folder = tmp_path / "exported"
    card = json.loads((folder / "model_card.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
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
        assert file["run_with"]
    assert "onnxruntime" in card["speed"]
    assert card["embedding_size"] == 128
    assert card["input"]["shape"] == ["batch", 64, 32, 3]
    assert card["input"]["normalization"]["mean"] == list(IMAGENET_MEAN)
    assert card["input"]["normalization"]["std"] == list(IMAGENET_STD)
    assert card["run"] == {"workdir": str(exportable_run), "method": "san", "step": 7, "averaged": False}
    assert card["trained_on"] == {"dataset": "pit_reid", "started_from": {}}
    assert card["config"]["model"]["width"] == 4
    assert card["scores"] == []
    assert card["calibration"] is None
    assert "It was not scored" in (folder / "README.md").read_text()
    assert card["network"]["changes"] == "layer4.0.conv2 and layer4.0.downsample.0 have stride 1"


@needs_onnx
def test_the_card_says_how_the_onnx_file_is_run(tmp_path, exportable_run):
    """The words are code; as it stands there it gives the run's embeddings."""
    import onnxruntime

    card = exporting.run(exportable_run, tmp_path, formats=["onnx"])
    variables = {"onnxruntime": onnxruntime, "path": tmp_path / "encoder.onnx", "images": golden_images()}
    found = eval(card["files"]["encoder.onnx"]["run_with"], variables)
    assert relative(found, run_embeddings(exportable_run, golden_images())) < 1e-5


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(SystemExit, match=r"export: .*config.json does not exist: expected the folder of a run"):
        export.main([f"--workdir={tmp_path / 'absent'}", f"--output={tmp_path / 'exported'}"])
    assert not (tmp_path / "exported").exists()


@needs_onnx
def test_the_opset_is_chosen_on_the_command_line(tmp_path, exportable_run, capsys):
    import onnx

    export.main([f"--workdir={exportable_run}", f"--output={tmp_path}", "--formats=onnx", "--opset=14"])
    assert "MB, opset 14, IR version 7, embeddings differ" in capsys.readouterr().out
    model = onnx.load(tmp_path / "encoder.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 14)]
    assert model.ir_version == 7


def examples(section: str) -> str:
    """The Python code of a section of docs/export.md, as it stands there."""
    page = (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")
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
        timeout=600,
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
