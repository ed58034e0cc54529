"""Quality of textures: the formulas against closed forms and a loop, and what runs and datasets are measured."""

import math

import numpy as np
import pytest
from PIL import Image

import datasets
from experiments.command_line import config_files
from experiments.runs import data_sources, san_pg
from experiments.runs.plan import resolve
from experiments.scoring import texture_quality
from tests.experiments import tiny_data, train_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture_quality")
    tiny_data.write_pit_reid(folder / "rendered", train_ids=3, cameras=2)
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


@pytest.fixture
def run(monkeypatch):
    """A run of every name: its decoder gives the upper part of the image, and the batch size does not matter."""
    monkeypatch.setattr(texture_quality.embed, "regress_textures", lambda model, images, batch_size: images[:, :32])
    return make_run("texture")


def make_run(target):
    plan = resolve(config_files.load(f"san_pg.py:smoke,image_size=(48, 32),target.kind={target}"))
    return san_pg.Regressor("run", None, plan, plan.target, 7, "")


def noise(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def ssim_by_loop(x, y):
    """Equations 6 and 13 of Wang et al. 2004 with their 11x11 Gaussian window, at each place where it fits wholly."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                a, b = (image[i : i + 11, j : j + 11, channel].astype(float) for image in (x, y))
                mean_a, mean_b = np.sum(window * a), np.sum(window * b)
                var_a, var_b = np.sum(window * (a - mean_a) ** 2), np.sum(window * (b - mean_b) ** 2)
                cov = np.sum(window * (a - mean_a) * (b - mean_b))
                luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                values.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    return np.mean(values)


def test_measure_by_the_formulas():
    truth = noise(0, (2, 17, 20, 3))
    predicted = np.where(noise(1, truth.shape) < 128, truth, noise(2, truth.shape))
    quality = texture_quality.measure(predicted, truth)
    difference = predicted.astype(float) / 127.5 - truth.astype(float) / 127.5
    assert quality.l1 == pytest.approx(np.abs(difference).mean(), rel=1e-12)
    psnr = [10 * math.log10(4 / np.mean(one**2)) for one in difference]  # the peak is 2 in [-1, 1]
    assert quality.psnr == pytest.approx(np.mean(psnr), rel=1e-12)
    assert quality.ssim == pytest.approx(
        np.mean([ssim_by_loop(x, y) for x, y in zip(predicted, truth, strict=True)]), abs=1e-12
    )


def test_measure_exact_and_constant():
    truth = noise(0, (1, 16, 16, 3))
    exact = texture_quality.measure(truth, truth)
    assert (exact.l1, exact.psnr, exact.ssim) == (0.0, math.inf, pytest.approx(1.0))
    grey = np.full((1, 16, 16, 3), 100, np.uint8)
    quality = texture_quality.measure(grey + np.uint8(51), grey)
    assert quality.l1 == pytest.approx(0.4)
    assert quality.psnr == pytest.approx(20 * math.log10(5))


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.uint8)),
        (np.zeros((0, 16, 16, 3), np.uint8), np.zeros((0, 16, 16, 3), np.uint8)),
        (np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 16, 16, 3), np.uint8)),
    ],
)
def test_measure_refuses(predicted, truth):
    with pytest.raises(ValueError, match="Expected"):
        texture_quality.measure(predicted, truth)


def test_of_run_measures_what_pseudo_texture_writes(data_dir, run):
    source = data_sources.open_source("pit_reid", "train", data_dir)
    images = [Image.fromarray(one["image"]).resize((32, 48), Image.Resampling.BILINEAR) for one in source]
    textures = [np.asarray(image)[:32] for image in images]
    stored = [np.asarray(Image.fromarray(one).resize((256, 256), Image.Resampling.BILINEAR)) for one in textures]
    expected = texture_quality.measure(np.stack(stored), np.stack([one["texture"] for one in source]))
    assert len(source) == 6
    assert texture_quality.of_run(run, "pit_reid", "train", data_dir, batch_size=4) == expected
    assert texture_quality.count("pit_reid", "train", data_dir) == (6, 6)


def test_the_sample_is_drawn_once_for_all(data_dir, run):
    def of_run(seed):
        return texture_quality.of_run(run, "pit_reid", "train", data_dir, sample=2, seed=seed, batch_size=4)

    assert of_run(0) == of_run(0)
    assert len({of_run(seed).l1 for seed in range(4)}) > 1
    assert texture_quality.count("pit_reid", "train", data_dir, sample=2) == (2, 6)
    with pytest.raises(ValueError, match="sample of 1"):
        texture_quality.of_run(run, "pit_reid", "train", data_dir, sample=0)


def test_of_mean(data_dir):
    truth = np.stack([one["texture"] for one in data_sources.open_source("pit_reid", "train", data_dir)])
    quality = texture_quality.of_mean("pit_reid", "train", data_dir)
    mean = np.rint(truth.mean(axis=0, dtype=float))
    assert quality.l1 == pytest.approx(np.abs(truth - mean).mean() / 127.5, rel=1e-12)
    alone = texture_quality.of_mean("pit_reid", "train", data_dir, sample=1)
    assert (alone.l1, alone.psnr) == (0.0, math.inf)


def test_what_holds_no_truth_or_regresses_no_textures_is_refused(data_dir, run, tmp_path):
    with pytest.raises(san_pg.TextureError, match="not the true ones: measure on pit_reid"):
        texture_quality.of_run(run, "pit_reid_textured", "train", data_dir)
    train_data.build_benchmark(tmp_path, "toy", {"train": [0]})
    with pytest.raises(san_pg.TextureError, match="no true textures"):
        texture_quality.of_mean("toy", "train", tmp_path)
    with pytest.raises(san_pg.TextureError, match="its target is 'input'"):
        texture_quality.of_run(make_run("input"), "pit_reid", "train", data_dir)
