"""Finds the distances that tell one person from two: what `python -m experiments.calibrate` does."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.pages import calibration_page
from experiments.runs import embedding_run, exporting, folder
from experiments.searching.galleries import SearchError, check_maker
from san_jax import (
    calibration,
    checkpoint,
    embed,
    embedding_files,
    files,
    inference,
    pretrained,
    run_folder,
    verification,
)
from san_jax.calibration import FALSE_MATCH_RATES, Calibration, CalibrationError
from san_jax.counts import count
from san_jax.embedding_files import IDENTITY, UNKNOWN, Embeddings
from san_jax.ranking_settings import SAME_CAMERA
from san_jax.verification import PairCounts, Reliability

PAGE = pathlib.PurePath("report", "calibration.html")  # in the run's folder
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)
# Ids that stand for no person, by the dataset: distractors, of whom no two need be the same.
NO_PERSONS = {"market1501": (0,)}
_STEPS = 10  # of the probability that is checked on other persons


@dataclasses.dataclass(frozen=True)
class Request:
    """What a run is calibrated on.

    Attributes:
        workdir: The folder of a run or of an export.
        dataset: DATASET:SPLIT; "" where embeddings are given.
        embeddings: A file or folder of embeddings of the run; "" to make them.
        checkpoint: Which of the run's checkpoints, see `san_jax.load_encoder`.
        data_dir: Where TFDS keeps datasets; None to look, see `data_places.find`.
        same_camera: Pairs of one camera: "drop" them, "keep" them, or "auto": drop them unless there is one camera.
        flip: Average with the embeddings of the pictures mirrored left to right.
        batch_size: Pictures computed at a time.
        seed: Draws the half of the persons that the thresholds are checked on.
    """

    workdir: str
    dataset: str = ""
    embeddings: str = ""
    checkpoint: str = run_folder.NEWEST
    data_dir: str | None = None
    same_camera: str = "auto"
    flip: bool = False
    batch_size: int = embed.BATCH_SIZE
    seed: int = 0


def run(request: Request) -> tuple[Calibration, pathlib.Path]:
    """Calibrate a run or an export, and write `calibration.json` and its page into its folder.

    The model card of an export then has the new thresholds.

    Returns:
        What was found, and the folder.

    Raises:
        SearchError: The weights have no folder that could keep the calibration, the embeddings are not theirs, persons
            are not known, or there is no pair of one person or of two.
    """
    encoder = inference.load_encoder(request.workdir, batch_size=request.batch_size, checkpoint=request.checkpoint)
    place = find_place(request.workdir, encoder)
    if request.same_camera not in SAME_CAMERA:
        raise SearchError(f"same_camera must be one of {', '.join(SAME_CAMERA)}, found {request.same_camera!r}.")
    path = request.embeddings or _embed(request, place)
    embeddings = embedding_files.load_embeddings(path)
    embedding_files.check_made_by(path, embeddings.made_by)
    check_maker(path, embeddings.made_by, encoder, request.workdir)
    found = calibrate(embeddings, encoder.metric, same_camera=request.same_camera, seed=request.seed)
    is_run = encoder.step is not None
    data = folder.read_data(place) if is_run else files.read_json(place / inference.CARD)["trained_on"]
    words = _limits(found, data, embeddings.made_by["images"])
    found = dataclasses.replace(found, limits=tuple(words))
    if replaced := _replaced(place, found):
        print(f"{request.workdir}: {replaced}", flush=True)
    calibration.write(place, found)
    files.write_atomic(place / PAGE, calibration_page.to_html(found).encode())
    if not is_run:
        exporting.write_calibration_into_card(place)
    return found, place


def find_place(workdir: str, encoder: inference.Encoder) -> pathlib.Path:
    """Return the folder that keeps the calibration of an encoder.

    Args:
        workdir: Where the encoder comes from, for the message.
        encoder: The encoder.

    Raises:
        SearchError: It has none, or the one that came with the package.
    """
    place = encoder.calibrated_in
    if place is None:
        raise SearchError(
            f"{workdir} names a file of weights: expected the folder of a run, or of an encoder that `python -m "
            "experiments.export` wrote, which keeps what is found."
        )
    if pretrained.is_shipped(place):
        raise SearchError(
            f"{workdir} came with the package, whose files stay as they are: copy its folder, {place}, and give the copy as "
            "--workdir."
        )
    return place


def _replaced(place: pathlib.Path, found: Calibration) -> str:
    """Name the earlier calibration and this one, where they are of other checkpoints, pictures or options.

    Returns:
        "" where they are not, where there is no earlier one, or where its file cannot be read.
    """
    try:
        earlier, now = _named(calibration.read(place)), _named(found)
    except (CalibrationError, files.DamagedFileError):
        return ""
    return "" if earlier == now else f"this replaces the calibration of {earlier} by that of {now}"


def _named(found: Calibration) -> str:
    """Say of which checkpoint a calibration is, on which pictures and with which options."""
    across = "across cameras" if found.pictures["across_cameras"] else "within cameras, too"
    options = [found.made_by["metric"], " x ".join(map(str, found.made_by["image_size"]))]
    options += ["flip"] if found.made_by["flip"] else []
    size = count(found.pictures["pictures"], "picture")
    return f"{_step_words(found)} on {found.pictures['images']} ({', '.join([size, f'pairs {across}', *options])})"


def _step_words(found: Calibration) -> str:
    step = found.made_by["step"]
    return "the export" if step is None else f"step {step}"


def _embed(request: Request, place: pathlib.Path) -> str:
    """Embed a split into the folder, or take what was embedded there before."""
    output = str(place / "embeddings" / f"{request.dataset.replace('/', '_').replace(':', '_')}.parquet")
    fields = ("workdir", "checkpoint", "data_dir", "flip", "batch_size")
    wanted = embedding_run.Request(images=request.dataset, **{name: getattr(request, name) for name in fields})
    embedding_run.run(wanted, output, overwrite=True)
    return output


def calibrate(embeddings: Embeddings, metric: str, *, same_camera: str = "auto", seed: int = 0) -> Calibration:
    """Calibrate on embeddings whose persons are known.

    Args:
        embeddings: The embeddings; pictures of unknown persons and of distractors are left out.
        metric: The distance.
        same_camera: See `Request`.
        seed: See `Request`.

    Raises:
        SearchError: As `run`.
    """
    images = str(embeddings.made_by["images"])
    known = embeddings.take(_shows_a_person(embeddings, images))
    if not len(known):
        raise SearchError(
            f"{images}: the persons of its pictures are not known, so no pair says how far one person's pictures lie "
            "apart. Calibrate on a dataset with persons: python -m experiments.prepare makes one of your pictures."
        )
    cameras = _cameras(known, same_camera)
    counts = verification.count_pairs(known.embeddings, known.person_ids, cameras, metric=metric)
    genuine, impostor = int(counts.genuine.sum()), int(counts.impostor.sum())
    if not genuine or not impostor:
        raise SearchError(_no_pairs(images, known, genuine, across=cameras is not None))
    rate, threshold = verification.equal_error_rate(counts)
    return Calibration(
        made_by={key: embeddings.made_by[key] for key in (*IDENTITY, "workdir", "step")},
        pictures={
            "images": images,
            "pictures": len(known),
            "left_out": len(embeddings) - len(known),
            "persons": len(np.unique(known.person_ids)),
            "cameras": len(np.unique(known.camera_ids[known.camera_ids != UNKNOWN])),
            "across_cameras": cameras is not None,
            "genuine": genuine,
            "impostor": impostor,
        },
        equal_error={"rate": rate, "threshold": threshold},
        area_under_roc=verification.area_under_roc(counts),
        points=tuple(verification.operating_point(counts, target) for target in FALSE_MATCH_RATES),
        roc=tuple(map(tuple, np.stack(verification.roc_curve(counts), axis=1).tolist())),
        reliability=verification.reliability(counts),
        held_out=_held_out(known, cameras, metric, counts.width, seed),
        limits=(),
    )


def _shows_a_person(embeddings: Embeddings, images: str) -> np.ndarray:
    nobody = (UNKNOWN, *NO_PERSONS.get(images.rpartition(":")[0], ()))
    return ~np.isin(embeddings.person_ids, nobody)


def _cameras(known: Embeddings, same_camera: str) -> np.ndarray | None:
    """The cameras, of which no pair is to be of one; None where all pairs count."""
    keeps = len(np.unique(known.camera_ids)) == 1 if same_camera == "auto" else same_camera == "keep"
    return None if keeps else known.camera_ids


def _no_pairs(images: str, known: Embeddings, genuine: int, *, across: bool) -> str:
    persons = len(np.unique(known.person_ids))
    if not genuine:
        cameras = " from two cameras" if across else ""
        keep = " Or count pairs of one camera, too: --same_camera=keep." if across else ""
        return (
            f"{images}: no person of its {persons:,} has two pictures{cameras}, so nothing says how far one person's "
            f"pictures lie apart. Take a split that has, such as NAME:query+gallery.{keep}"
        )
    return f"{images} has no pair of pictures of two persons: expected at least two persons, found {persons}."


def _held_out(known: Embeddings, cameras: np.ndarray | None, metric: str, width: float, seed: int) -> dict[str, Any]:
    """Learn thresholds and probabilities on half of the persons and see what they do on the others; {} for too few."""
    persons = np.random.default_rng(seed).permutation(np.unique(known.person_ids))
    half = np.isin(known.person_ids, persons[: len(persons) // 2])
    learnt, checked = (
        verification.count_pairs(
            known.embeddings[rows],
            known.person_ids[rows],
            None if cameras is None else cameras[rows],
            metric=metric,
            width=width,
        )
        if rows.any()
        else PairCounts(width, np.zeros(1, np.int64), np.zeros(1, np.int64))
        for rows in (half, ~half)
    )
    if not all(kind.sum() for counts in (learnt, checked) for kind in (counts.genuine, counts.impostor)):
        return {}
    points = []
    for target in FALSE_MATCH_RATES:
        point = verification.operating_point(learnt, target)
        if point.threshold is not None:
            there = verification.point_at(checked, point.threshold)
            points.append({**dataclasses.asdict(there), "target": target})
    return {
        "persons_learnt": len(persons) // 2,
        "persons_checked": len(persons) - len(persons) // 2,
        "points": points,
        "reliability": _check_reliability(verification.reliability(learnt), checked),
    }


def _check_reliability(fitted: Reliability, counts: PairCounts) -> list[dict[str, float]]:
    """Compare predicted probabilities with the shares of genuine pairs, both kinds of pairs weighing the same."""
    predicted = fitted.at(counts.edges[:-1])
    step = np.minimum((predicted * _STEPS).astype(np.int64), _STEPS - 1)
    rows = []
    for number in range(_STEPS):
        chosen = step == number
        genuine, impostor = int(counts.genuine[chosen].sum()), int(counts.impostor[chosen].sum())
        if not genuine + impostor:
            continue
        weights = counts.genuine / counts.genuine.sum() + counts.impostor / counts.impostor.sum()
        share = genuine / counts.genuine.sum()
        rows.append(
            {
                "predicted": float(np.average(predicted[chosen], weights=weights[chosen])),
                "observed": float(share / (share + impostor / counts.impostor.sum())),
                "genuine": genuine,
                "impostor": impostor,
            }
        )
    return rows


def _limits(found: Calibration, data: Mapping[str, Any] | None, images: str) -> list[str]:
    """What the calibration cannot say."""
    pictures = found.pictures
    cameras = f" and {count(pictures['cameras'], 'camera')}" if pictures["cameras"] else ""  # 0: none is known
    lines = [
        f"These rates hold for persons and cameras like the {count(pictures['persons'], 'person')}{cameras} of {images}. "
        f"They say nothing about identities unlike those: another "
        "place, season, kind of clothing or camera can change them many times over. Pairs share persons, so the "
        "rates are less certain than their counts suggest."
    ]
    if not pictures["across_cameras"]:
        lines.append(
            "Pairs within one camera are counted, where pictures of one person are much alike: across cameras more "
            "persons are missed than is said here."
        )
    dataset, _, split = images.rpartition(":")
    dataset = dataset.removesuffix("_textured").removesuffix("_frontal")  # the same pictures
    trainings = [] if data is None else [data, *filter(None, data.get("started_from", {}).values())]
    if any(one.get("dataset") == dataset and set(split.split("+")) & set(one.get("splits", ())) for one in trainings):
        lines.append(
            f"THE RUN, OR ONE THAT IT STARTED FROM, WAS TRAINED ON {images}: the distances of persons that it was trained "
            "on are no measure for others. Calibrate on persons that it never saw."
        )
    return lines


def describe(found: Calibration, place: pathlib.Path) -> str:
    """Return what was found and where it was written, for people."""
    pictures = found.pictures
    across = "across cameras" if pictures["across_cameras"] else "within cameras, too"
    lines = [
        f"{_step_words(found)} on {pictures['images']}: {count(pictures['pictures'], 'picture')} of "
        f"{count(pictures['persons'], 'person')}, pairs {across}: {pictures['genuine']:,} of one person, "
        f"{pictures['impostor']:,} of two",
        f"equal error rate {100 * found.equal_error['rate']:.2f} % at distance {found.equal_error['threshold']:.4g}; "
        f"area under ROC {found.area_under_roc:.4f}",
        *(calibration_page.point_words(point) for point in found.points),
        *found.limits,
    ]
    return "\n".join([*lines, f"written to {place / calibration.FILE}; look at {place / PAGE}"])
