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


def from_chroma(degrees, chroma):
    """A texture of 64 texels a side in one colour: luminance 128, chroma at an angle from Cb to Cr."""
    cb, cr = chroma * math.cos(math.radians(degrees)), chroma * math.sin(math.radians(degrees))
    color = [128 + 1.402 * cr, 128 - (0.299 * 1.402 * cr + 0.114 * 1.772 * cb) / 0.587, 128 + 1.772 * cb]
    return np.tile(np.rint(color).astype(np.uint8), (1, 64, 64, 1))


@pytest.mark.parametrize("start", [0, 100, 250])
@pytest.mark.parametrize("turn", [0, 30, -30, 90, 180, 250])
def test_a_hue_turned_by_an_angle_has_that_error(start, turn):
    """Colours are rounded to 8 bits: by less than a degree at chroma 60."""
    quality = texture_quality.measure(from_chroma(start + turn, 30), from_chroma(start, 60))
    assert quality.hue_error == pytest.approx(min(turn % 360, -turn % 360), abs=2.0)
    assert quality.chroma_ratio == pytest.approx(0.5, abs=0.02)


def test_a_third_of_a_turn_of_the_channels():
    """Red regressed as green: the angle between their (Cb, Cr), and their lengths, by T.871."""
    red, green = np.zeros((2, 1, 16, 16, 3), np.uint8)
    red[..., 0], green[..., 1] = 200, 200
    cb_cr = {"red": (-0.299 / 1.772, 0.701 / 1.402), "green": (-0.587 / 1.772, -0.587 / 1.402)}
    angle = math.degrees(math.atan2(*cb_cr["red"][::-1]) - math.atan2(*cb_cr["green"][::-1])) % 360
    quality = texture_quality.measure(green, red)
    assert quality.hue_error == pytest.approx(min(angle, 360 - angle), rel=1e-5)
    assert quality.chroma_ratio == pytest.approx(math.hypot(*cb_cr["green"]) / math.hypot(*cb_cr["red"]), rel=1e-5)


def test_a_grey_texture_has_no_chroma_and_chance_as_its_hue_error():
    truth = noise(3, (2, 16, 16, 3))
    luminance = np.rint(truth @ [0.299, 0.587, 0.114]).astype(np.uint8)
    quality = texture_quality.measure(np.repeat(luminance[..., None], 3, axis=-1), truth)
    assert quality.hue_error == texture_quality.NO_HUE
    assert quality.chroma_ratio == pytest.approx(0.0, abs=1e-5)


def test_exact_hues_and_textures_without_any():
    truth = np.concatenate([from_chroma(40, 60), np.full((1, 64, 64, 3), 90, np.uint8)])
    exact = texture_quality.measure(truth, truth)
    assert (exact.hue_error, exact.chroma_ratio) == (pytest.approx(0.0, abs=1e-3), 1.0)
    turned = np.concatenate([from_chroma(220, 60), from_chroma(0, 60)])
    assert texture_quality.measure(turned, truth).hue_error == pytest.approx(180.0, abs=2.0)  # the grey one is left out
    grey = texture_quality.measure(turned[1:], truth[1:])
    assert math.isnan(grey.hue_error)
    assert math.isnan(grey.chroma_ratio)
    assert grey.l1 > 0
    found = texture_quality.to_json(grey)
    assert (found["hue_error"], found["chroma_ratio"], found["l1"]) == (None, None, grey.l1)
    assert texture_quality.cells(found)[3:] == ["-", "-"]
    assert texture_quality.cells(texture_quality.to_json(texture_quality.measure(truth, truth)))[1] == "exact"


def test_hue_by_a_loop_over_texels():
    """Only texels of a true chroma above the threshold count, each texture by its own mean."""
    truth, predicted = noise(4, (3, 16, 16, 3)) // 3 + 90, noise(5, (3, 16, 16, 3))
    errors, ratios, counts = [], [], []
    for texture, other in zip(truth.astype(float), predicted.astype(float), strict=True):
        angles, lengths = [], []
        for row, column in np.ndindex(16, 16):
            vectors = []
            for red, green, blue in (texture[row, column], other[row, column]):
                y = 0.299 * red + 0.587 * green + 0.114 * blue
                vectors.append(((blue - y) / 1.772, (red - y) / 1.402))
            true, regressed = (math.hypot(*vector) for vector in vectors)
            if true > 15.0:
                cosine = (vectors[0][0] * vectors[1][0] + vectors[0][1] * vectors[1][1]) / (true * regressed)
                angles.append(math.degrees(math.acos(max(-1.0, min(1.0, cosine)))))
                lengths.append((regressed, true))
        errors.append(np.mean(angles))
        ratios.append(np.sum(lengths, axis=0)[0] / np.sum(lengths, axis=0)[1])
        counts.append(len(angles))
    quality = texture_quality.measure(predicted, truth)
    assert quality.hue_error == pytest.approx(np.mean(errors), rel=1e-4)
    assert quality.chroma_ratio == pytest.approx(np.mean(ratios), rel=1e-5)
    assert 0 < min(counts) <= max(counts) < 256


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
