"""How close regressed textures come to the true ones: L1, PSNR, SSIM, hue and chroma (section 4.3 of the paper).

The paper says that a better SAN-PG gives better textures and better reID, without numbers for the textures. `pit` and
`pit_reid` hold the truth; it is read here for measuring only.

L1 is that of L_Rec: the mean absolute difference in [-1, 1]. PSNR and SSIM are those of scikit-image for 8-bit colours,
SSIM with the settings of Wang et al. 2004 (Image quality assessment: from error visibility to structural similarity): a
Gaussian window of sigma 1.5, covariances of the population, averaged over the three channels.

None of these tells a grey texture from one of the right hues. Two more do, over the texels whose true colour is no grey:
chroma above `COLORED`, the chroma being the length of JPEG's (Cb, Cr), 0 to 136. The hue error is the angle between the
regressed and the true (Cb, Cr), the chroma ratio the regressed chroma over the true one. Read them together: hues of a
nearly grey texture are noise. Skin is in every texture and its hue is easily learnt, so compare with the mean texture.
"""

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tqdm
from jaxtyping import UInt8
from PIL import Image
from skimage import metrics

from datasets.examples import TEXTURE_SIZE
from experiments.domain.statistics import planes
from experiments.runs import data_sources, san_pg
from san_jax import embed
from san_jax.data.reading import Source
from san_jax.pictures import resize_image

SAMPLE = 1000  # images of a split that are measured
COLORED = 15.0  # a texel of more chroma than that has a hue: about half of the texels of rendered persons
NO_HUE = 90.0  # the error of a regressed texel without any hue, degrees: the mean of hues drawn at random

COLUMNS = ("L1", "PSNR", "SSIM", "hue error", "chroma ratio")
WORDS = (
    "L1: mean absolute difference in [-1, 1], as L_Rec, less is better. PSNR in dB and SSIM (Wang et al. 2004), more is "
    f"better. Hue error: mean angle between the regressed and the true (Cb, Cr), in degrees, over texels whose true "
    f"chroma, the length of (Cb, Cr), is above {COLORED:g}; {NO_HUE:g} is chance. Chroma ratio: mean regressed chroma over "
    "mean true chroma of these texels; 0 is grey, 1 is right."
)

Textures = UInt8[np.ndarray, "count height width 3"]


@dataclasses.dataclass(frozen=True)
class Quality:
    """How close textures are to the truth; each the mean over the textures.

    Attributes:
        l1: Mean absolute difference in units of [-1, 1], as L_Rec: 0 to 2, less is better.
        psnr: Peak signal-to-noise ratio in dB, more is better; infinite where a texture is exact.
        ssim: Structural similarity, -1 to 1, more is better.
        hue_error: Mean angle between the regressed and the true (Cb, Cr), degrees, 0 to 180, over texels of a true
            chroma above `COLORED`; less is better. A texel that is exactly grey has `NO_HUE`. Textures without such
            texels are left out of the mean; NaN where all are.
        chroma_ratio: Mean regressed chroma of these texels over their mean true chroma, 0 or more: 0 is grey, 1 is
            right. NaN as the hue error.
    """

    l1: float
    psnr: float
    ssim: float
    hue_error: float
    chroma_ratio: float


def measure(predicted: Textures, truth: Textures) -> Quality:
    """Compare textures with the true ones.

    Args:
        predicted: uint8 RGB [N H W 3], H and W at least 11.
        truth: As many, of the same size.

    Returns:
        Means over the N textures.

    Raises:
        ValueError: No textures, or the two differ in shape or are not uint8.
    """
    if predicted.shape != truth.shape or predicted.ndim != 4 or not len(truth):
        raise ValueError(
            f"Expected predicted and true textures of one shape [N H W 3] with N >= 1, "
            f"found {predicted.shape} and {truth.shape}."
        )
    if predicted.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(f"Expected uint8 textures, found {predicted.dtype} and {truth.dtype}.")
    return _mean(_measure_each(predicted, truth))


def to_json(quality: Quality) -> dict[str, float | None]:
    """Return the numbers by name, None for one that is infinite (an exact texture's PSNR) or NaN."""
    return {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(quality).items()}


def cells(quality: Mapping[str, float | None]) -> list[str]:
    """Return the numbers of `to_json` as the texts of `COLUMNS`."""
    formats = {"l1": ".4f", "psnr": ".2f", "ssim": ".4f", "hue_error": ".1f", "chroma_ratio": ".3f"}
    missing = {"psnr": "exact"}
    found = ((name, quality[name], form) for name, form in formats.items())
    return [missing.get(name, "-") if value is None else format(value, form) for name, value, form in found]


def of_run(
    regressor: san_pg.Regressor,
    dataset: str,
    split: str,
    data_dir: str | os.PathLike[str],
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    batch_size: int = 32,
) -> Quality:
    """Measure the textures that a run regresses from a dataset's images, at the truth's 256x256.

    A run of another texture size is brought to 256x256 as `experiments.pseudo_texture` does it, so runs of all sizes
    compare, and for the training images of `pit_reid` these are the pseudo textures that SAN is trained on.

    Args:
        regressor: A run with a decoder whose target is the texture.
        dataset: A dataset with the true `texture` of each image: `pit` or `pit_reid`.
        split: Split of the dataset, "a+b" for two.
        data_dir: Where TFDS keeps datasets.
        sample: At most so many images of the split, drawn without replacement; the same for every run.
        seed: Seed of the draw.
        batch_size: Images computed at a time.

    Raises:
        san_pg.TextureError: The run regresses no textures, or the dataset holds no true ones.
        ValueError: `sample` is below 1.
        datasets.DatasetError: There is no such dataset or split.
    """
    if not regressor.target.is_texture:
        raise san_pg.TextureError(
            f"{regressor.workdir} regresses no textures: its target is {regressor.target.kind!r}."
        )
    source, chosen = _open(dataset, split, data_dir, sample, seed)

    def qualities() -> Iterator[Quality]:
        for examples in _chunks(source, chosen, batch_size, f"{regressor.workdir} on {dataset} {split}"):
            images = [resize_image(Image.fromarray(one["image"]), regressor.plan.image_size) for one in examples]
            textures = embed.regress_textures(regressor.model, np.stack(images), batch_size=batch_size)
            stored = np.stack([regressor.as_stored(texture) for texture in textures])
            yield from _measure_each(stored, np.stack([one["texture"] for one in examples]))

    return _mean(qualities())


def of_mean(
    dataset: str, split: str, data_dir: str | os.PathLike[str], *, sample: int = SAMPLE, seed: int = 0
) -> Quality:
    """Measure the mean of the true textures against each of them: the score of a constant prediction.

    Arguments and errors as in `of_run`, so that it measures against the same images.
    """
    source, chosen = _open(dataset, split, data_dir, sample, seed)
    total = np.zeros((*TEXTURE_SIZE, 3))
    for examples in _chunks(source, chosen, 32, f"mean texture of {dataset} {split}"):
        total += np.sum([one["texture"] for one in examples], axis=0)
    mean = np.rint(total / len(chosen)).astype(np.uint8)

    def qualities() -> Iterator[Quality]:
        for examples in _chunks(source, chosen, 32, f"mean texture on {dataset} {split}"):
            truth = np.stack([one["texture"] for one in examples])
            yield from _measure_each(np.broadcast_to(mean, truth.shape), truth)

    return _mean(qualities())


def count(dataset: str, split: str, data_dir: str | os.PathLike[str], *, sample: int = SAMPLE) -> tuple[int, int]:
    """Return (images that `of_run` measures, images in the split)."""
    total = len(data_sources.open_source(dataset, split, data_dir))
    return min(sample, total), total


def _open(
    dataset: str, split: str, data_dir: str | os.PathLike[str], sample: int, seed: int
) -> tuple[Source, np.ndarray]:
    """A split with true textures, and the places of the sample in it, ascending."""
    if sample < 1:
        raise ValueError(f"Expected a sample of 1 image or more, found {sample}.")
    if dataset.endswith("_textured"):
        raise san_pg.TextureError(
            f"{dataset} holds textures that a network regressed, not the true ones: measure on "
            f"{dataset.removesuffix('_textured')}."
        )
    source = data_sources.open_source(dataset, split, data_dir)
    if not len(source) or "texture" not in source[0]:
        raise san_pg.TextureError(f"{dataset}, {split}: no true textures to compare with. pit and pit_reid have them.")
    chosen = np.random.default_rng(seed).permutation(len(source))[:sample]
    return source, np.sort(chosen)


def _chunks(source: Source, chosen: np.ndarray, size: int, description: str) -> Iterator[list[dict[str, np.ndarray]]]:
    """The chosen examples, `size` at a time; on a terminal it shows how far it is."""
    with tqdm.tqdm(total=len(chosen), desc=description, unit="image", disable=None, leave=False) as progress:
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            yield [source[int(index)] for index in part]
            progress.update(len(part))


def _measure_each(predicted: Textures, truth: Textures) -> list[Quality]:
    # SciPy's filters, which are nearly all of the work (27 ms a texture), run in parallel in threads.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_measure_one, predicted, truth))


def _measure_one(predicted: UInt8[np.ndarray, "height width 3"], truth: UInt8[np.ndarray, "height width 3"]) -> Quality:
    l1 = np.abs(predicted.astype(np.int16) - truth).mean() / 127.5
    with np.errstate(divide="ignore"):  # an exact texture has infinite PSNR
        psnr = metrics.peak_signal_noise_ratio(truth, predicted, data_range=255)
    ssim: Any = metrics.structural_similarity(  # it would return more if asked for
        truth,
        predicted,
        data_range=255,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return Quality(float(l1), float(psnr), float(ssim), *_measure_hue(predicted, truth))


def _measure_hue(
    predicted: UInt8[np.ndarray, "height width 3"], truth: UInt8[np.ndarray, "height width 3"]
) -> tuple[float, float]:
    """Return a texture's hue error in degrees and its chroma ratio; NaN for both if no texel has a hue."""
    _, true_cb, true_cr = planes(truth)
    colored = np.hypot(true_cb, true_cr) > COLORED
    if not colored.any():
        return math.nan, math.nan
    true_cb, true_cr = true_cb[colored], true_cr[colored]
    _, cb, cr = (plane[colored] for plane in planes(predicted))
    angles = np.abs(np.degrees(np.arctan2(true_cb * cr - true_cr * cb, true_cb * cb + true_cr * cr)))
    grey = np.ptp(predicted[colored], axis=-1) == 0  # (Cb, Cr) is 0 but for roundings
    ratio = np.hypot(cb, cr).mean(dtype=float) / np.hypot(true_cb, true_cr).mean(dtype=float)
    return float(np.where(grey, NO_HUE, angles).mean(dtype=float)), float(ratio)


def _mean(qualities: Iterable[Quality]) -> Quality:
    values = np.array([dataclasses.astuple(one) for one in qualities])
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):  # no texture with a hue: NaN
        means = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return Quality(*(float(mean) for mean in means))
