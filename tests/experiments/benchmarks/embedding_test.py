"""The benchmark of embedding: it measures what is installed, says what is not, and all runtimes agree."""

import importlib.util
import json

from experiments.benchmarks import embedding
from tests.experiments.export_runs import needs_onnx


@needs_onnx
def test_measure_and_table():
    result = embedding.measure(batch_sizes=(1, 2), rounds=2, width=4, image_size=(64, 32))
    assert json.loads(json.dumps(result)) == result
    absent = {name for name, package in embedding.NEEDED.items() if importlib.util.find_spec(package) is None}
    assert set(result["left_out"]) == absent
    measured = {*embedding.NAMES} - absent
    assert set(result["agreement"]) == measured >= {"jax", "onnx"}
    assert max(result["agreement"].values()) < 1e-5
    for size, found in result["batches"].items():
        assert set(found) == measured
        assert found["jax"]["ratio"] == found["jax"]["cpu_ratio"] == 1.0
        assert found["onnx"]["images_per_second"] == int(size) / found["onnx"]["seconds"]
    lines = embedding.table(result).splitlines()
    assert len(lines) == 2 + len(measured) + len(absent)
    assert lines[2].startswith("| San-JAX (JAX) ")


def test_what_is_not_installed_is_left_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    result = embedding.measure(batch_sizes=(1,), rounds=1, width=4, image_size=(64, 32))
    assert result["left_out"]["onnx"] == "onnx is not installed"
    assert "onnx" not in result["agreement"]
    assert "San-JAX (onnxruntime): onnx is not installed" in embedding.table(result)
