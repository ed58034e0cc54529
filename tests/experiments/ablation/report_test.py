"""The words and numbers of a table's page."""

import json

import pytest

from experiments.ablation import report
from experiments.command_line import config_files
from experiments.runs.plan import resolve
from san_jax.files import write_atomic


def test_one_seed_claims_no_deviation():
    assert report.mean_and_deviation(("rank1", "mAP"), [{"rank1": 0.5, "mAP": 0.25}]) == "50.0 / 25.0"
    assert report.mean_and_deviation(("rank1",), [{"rank1": 0.1}, {"rank1": 0.2}, {"rank1": 0.3}]) == "20.0 ± 10.0"
    assert report.mean_and_deviation(("rank1",), []) == "-"


def test_training_time_is_that_of_the_logged_images(tmp_path):
    lines = [{"step": 2, "images_per_second": 32.0}, {"step": 4, "images_per_second": 64.0}]
    write_atomic(tmp_path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    config = config_files.load("san.py:batch.num_identities=4,batch.images_per_identity=4,batch.pit_size=16")
    # Two batches of 16 images at 32 a second, two at 64.
    assert report.training_seconds(tmp_path, resolve(config)) == pytest.approx(1.0 + 0.5)


def test_text_of_others_is_escaped():
    section = report.Section("<b>", ["a & b"], ["x|y"], [["<script>"]])
    page = report.to_html("t", [section])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "x\\|y" in report.to_markdown("t", [section])
