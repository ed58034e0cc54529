"""The colour-histogram matcher: descriptors against a slow loop, distances against Hellinger's formula, the scores."""

import colorsys
import itertools
import json
import math

import numpy as np
import pytest

import datasets
from experiments import histogram_matcher
from experiments.benchmarks import colour_histograms
from experiments.runs import data_sources
from san_jax import ranking
from tests import dataset_fixtures
from tests.experiments import tiny_data


def slow_histograms(image):
    """Six histograms of 8 x 4 x 4 bins, pixel by pixel. HSV is taken as bytes, rounded down, as Pillow has it."""
    height = len(image)
    edges = [sum(len(part) for part in np.array_split(np.arange(height), 6)[:n]) for n in range(7)]
    histograms = []
    for top, bottom in itertools.pairwise(edges):
        counts = np.zeros((8, 4, 4))
        for pixel in image[top:bottom].reshape(-1, 3):
            hue, saturation, value = (int(255 * x) for x in colorsys.rgb_to_hsv(*(int(c) / 255 for c in pixel)))
            counts[hue // 32, saturation // 64, value // 64] += 1
        histograms.append(counts / counts.sum())
    return histograms


def slow_hellinger(one, other):
    """The Hellinger distance between two images whose stripes have equal weight."""
    affinity = np.mean([np.sum(np.sqrt(p * q)) for p, q in zip(one, other, strict=True)])
    return math.sqrt(max(0.0, 1.0 - affinity))


@pytest.fixture(scope="module")
def images():
    """Pictures of 20 x 5 pixels: their heights do not divide by six. Colours keep clear of the bins' borders."""
    rng = np.random.default_rng(0)
    levels = np.array([10, 45, 90, 150, 205, 250], np.uint8)
    return [levels[rng.integers(0, 6, (20, 5, 3))] for _ in range(6)]


def test_descriptors_give_the_hellinger_distance(images):
    descriptors = [colour_histograms.describe(image) for image in images]
    assert descriptors[0].shape == (6 * 8 * 4 * 4,)
    assert descriptors[0].dtype == np.float32
    slow = [slow_histograms(image) for image in images]
    np.testing.assert_allclose(descriptors[1] ** 2 * 6, np.concatenate([one.ravel() for one in slow[1]]), atol=1e-6)
    for i in range(6):
        for j in range(6):
            distance = np.linalg.norm(descriptors[i] - descriptors[j]) / math.sqrt(2)
            # float32 sums of 768 terms near 1: an error of 1e-6 before the square root.
            assert distance == pytest.approx(slow_hellinger(slow[i], slow[j]), abs=1e-3)


def test_stripes_know_above_from_below():
    image = np.zeros((12, 4, 3), np.uint8)
    image[:2] = [250, 0, 0]
    assert np.linalg.norm(colour_histograms.describe(image) - colour_histograms.describe(image[::-1])) > 0.5
    mirrored = colour_histograms.describe(image[:, ::-1])
    np.testing.assert_array_equal(mirrored, colour_histograms.describe(image))


def test_an_image_of_few_rows_is_an_error():
    with pytest.raises(ValueError, match="at least 6 rows, found 5"):
        colour_histograms.describe(np.zeros((5, 4, 3), np.uint8))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("histogram")
    tiny_data.write_pit_reid(folder / "rendered", test_ids=5, cameras=5, partial_queries=True)
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


def test_scores_are_those_of_our_rules_for_every_kind_of_query(data_dir, tmp_path, capsys):
    output = tmp_path / "scores" / "pit_reid.json"
    histogram_matcher.main(["--dataset=pit_reid", f"--data_dir={data_dir}", f"--output={output}"])
    summary = json.loads(output.read_text())
    printed = capsys.readouterr().out
    gallery = list(data_sources.open_source("pit_reid", "gallery", data_dir))
    assert summary["num_gallery"] == len(gallery) == 10
    assert "6 horizontal stripes, HSV histograms of 8x4x4 bins, Hellinger distance" in printed
    assert [key for key, value in summary.items() if isinstance(value, dict)] == [
        "query",
        "query_partial",
        "query_occluded",
    ]
    for split in ("query", "query_partial", "query_occluded"):
        queries = list(data_sources.open_source("pit_reid", split, data_dir))
        rows = [
            [
                np.linalg.norm(colour_histograms.describe(q["image"]) - colour_histograms.describe(g["image"]))
                for g in gallery
            ]
            for q in queries
        ]
        labels = [[int(e[key]) for e in part] for key in ("person_id", "camera_id") for part in (queries, gallery)]
        expected = ranking.evaluate_distances(np.array(rows), *map(np.array, labels), ranks=(1,))
        found = summary[split]
        assert (found["num_query"], found["num_valid_queries"]) == (5, 5)
        assert found["rank1"] == expected.cmc[1]
        assert found["mAP"] == pytest.approx(expected.mean_ap, abs=1e-6)
        assert found["mINP"] == pytest.approx(expected.mean_inp, abs=1e-6)
        assert found["chance"]["rank1"] == pytest.approx(2 / 10)
        assert found["mAP"] > found["chance"]["mAP"]  # its identities have a colour each
        assert any(
            line.startswith(f"{split} ") and f"{100 * found['mAP']:.2f}" in line for line in printed.splitlines()
        )


def test_other_datasets_have_the_splits_that_they_have(tmp_path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")  # without partial queries
    datasets.build_dataset("pit_reid", data_dir=tmp_path, manual_dir=tmp_path / "rendered")
    summary = colour_histograms.run("pit_reid", tmp_path)
    assert summary["query"]["num_query"] == 2
    assert "query_partial" not in summary


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"histogram_matcher: No dataset 'pit_reid' in"):
        histogram_matcher.main(["--dataset=pit_reid", f"--data_dir={tmp_path}"])
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    with pytest.raises(SystemExit, match=r"has the splits train, no 'gallery'"):
        histogram_matcher.main(["--dataset=pit", f"--data_dir={tmp_path / 'data'}"])
