"""ONNX files: the same embeddings in onnxruntime, with every opset, and how to install what they need."""

import dataclasses
import importlib.metadata
import importlib.util
import logging

import jax
import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import exporting, models
from experiments.runs.plan import resolve
from san_jax import embed, onnx_file, runtimes
from tests.experiments.export_runs import (
    EVERYTHING,
    golden_images,
    needs_onnx,
    relative,
    run_embeddings,
    with_drawn_weights,
    write_run,
)


def test_onnx_says_how_to_install_what_is_missing(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(onnx_file.MissingPackagesError, match=r"ONNX needs onnxruntime, .*: pip install onnx onnx"):
        exporting.run(tmp_path / "run", tmp_path / "exported", formats=["onnx"])


# What a runtime of the year before an opset's own refuses: opset -> IR version, as the ONNX standard pairs them.
IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}


@needs_onnx
def test_versions_do_not_depend_on_which_package_installed_a_module(monkeypatch):
    """onnxruntime-gpu installs the module onnxruntime, and there is then no package onnxruntime."""

    onnx_file.versions()  # the modules look up their versions themselves when they are imported

    def find_none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", find_none)
    found = onnx_file.versions()
    assert list(found) == ["onnx", "onnxruntime"]
    assert all(version[0].isdigit() for version in found.values())


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
@pytest.mark.parametrize("opset", runtimes.OPSETS)
def test_every_opset_is_written_as_it_is_defined(opset):
    """With the IR version that came with it, and the same numbers in onnxruntime."""
    config = config_files.load("san.py:smoke").unlock()
    for key, value in EVERYTHING.items():
        config_files.assign(config, key.replace("__", "."), value)
    plan = dataclasses.replace(resolve(config), target=None)
    model = with_drawn_weights(models.skeleton(plan, 0))
    content = onnx_file.convert(model, config.image_size, opset)
    assert onnx_file.format_versions(content) == {"opset": opset, "ir_version": IR_VERSIONS[opset]}
    expected = embed.embed_images(model, golden_images(), batch_size=3)
    assert relative(onnx_file.load(content)(golden_images()), expected) < 1e-5
