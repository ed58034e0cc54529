"""The benchmark of embedding: it measures what is installed, says what is not, and all runtimes agree."""

import importlib.util
import json

from experiments.benchmarks import embedding
from experiments.benchmarks.options import EmbeddingOptions
from tests.experiments.export_runs import needs_onnx

SMALLEST = EmbeddingOptions(batch_sizes=(1, 2), turns=2, seconds=0.0, width=4, image_size=(64, 32))
RUNTIMES = {embedding.JAX, *embedding.NEEDED}


@needs_onnx
def test_measure_and_table():
    result = embedding.measure(SMALLEST)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    absent = {name for name, package in embedding.NEEDED.items() if importlib.util.find_spec(package) is None}
    assert set(result["left_out"]) == absent
    measured = RUNTIMES - absent
    assert set(result["agreement"]) == measured >= {embedding.JAX, embedding.ONNX}
    assert max(result["agreement"].values()) < 1e-5
    assert set(result["batches"]) == {"1", "2"}
    for size, rows in result["batches"].items():
        assert {name: (row["reference"], row["turns"]) for name, row in rows.items()} == dict.fromkeys(
            measured, (embedding.JAX, 2)
        )
        assert rows[embedding.JAX]["ratio"] == 1.0
        onnx = rows[embedding.ONNX]
        assert onnx["items_per_second"] == int(size) / onnx["wall"]["median"]
    text = embedding.table(result)
    assert "resnet50, width 4, images of 64x32, float32" in text
    for heading in ("| embedding 1 image |", "| embedding 2 images |"):
        assert text.count(heading) == 1
    assert all(text.count(f"\n| {name} |") == 2 for name in measured)
    assert "the embeddings agree to " in text


def test_what_is_not_installed_is_left_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    result = embedding.measure(EmbeddingOptions(batch_sizes=(1,), turns=1, seconds=0.0, width=4, image_size=(64, 32)))
    assert result["left_out"][embedding.ONNX] == "onnx is not installed"
    assert embedding.ONNX not in result["agreement"]
    assert "San-JAX (onnxruntime): onnx is not installed" in embedding.table(result)
