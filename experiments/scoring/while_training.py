"""Scores a model while it is trained, with pictures of what it finds and regresses for TensorBoard."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
from PIL import Image, ImageOps

from experiments.pages import contact_sheet
from experiments.pages.examples import evenly_spaced
from experiments.runs import data_sources, held_out, san_pg
from experiments.runs.plan import ReidBatches, RunPlan
from experiments.runs.training import Scores
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import EmbeddedSplit, Embedder, match_masks
from san_jax import embed, ranking
from san_jax.counts import count
from san_jax.data import reading
from san_jax.models import SAN

SHOWN_QUERIES = 6  # spread evenly over all queries
LIST_LENGTH = 8  # gallery images in a list
_BORDER = 4  # pixels
_COLOURS = {True: "#1a7f37", False: "#cf222e"}  # of right and wrong matches
_SIZE = (64, 128)  # width and height of an image as it is drawn


@dataclasses.dataclass(frozen=True)
class _Splits:
    """What is scored: sources of query and gallery, with words that name them."""

    query: reading.Source
    gallery: reading.Source
    words: str


def score(model: SAN, plan: RunPlan) -> Scores:
    """Score a model during its training: `training.run` takes this function as its `evaluate`.

    Scored are query and gallery of `plan.scored_on`, or the held-out identities of the training set.

    Args:
        model: The model as it is now.
        plan: The plan of its run.

    Returns:
        `eval/rank1`, `eval/mAP` and so on; pictures `eval/ranked`, the gallery images nearest to some queries, right
        ones framed green and wrong ones red, and `eval/textures`, what the decoder makes of these queries. Of several
        processes, all of which must call it, the first alone returns pictures.
    """
    splits = _open(plan)
    regressor = san_pg.load_for_textures(plan.textures_from) if plan.textures_from else None
    embedder = Embedder(model, plan, plan.data_dir, san_pg=regressor)
    query = embedder.embed_source(splits.query, f"{splits.words} query")
    gallery = embedder.embed_source(splits.gallery, f"{splits.words} gallery")
    options = protocols.Options().with_metric_of(plan)
    found = evaluation.rank(query, gallery, protocols.find(plan.scored_on).ranks, options)
    values = {f"eval/{name}": found[name] for name in found["chance"] if found[name] is not None}
    if jax.process_index() != 0:
        return Scores(values, {})
    shown = evenly_spaced(len(query.person_ids), SHOWN_QUERIES)
    images = [_decode(splits.query, index, plan.image_size) for index in shown]
    pictures = {"eval/ranked": _ranked(splits.gallery, query.take(np.asarray(shown)), gallery, images, options)}
    if model.decoder is not None:
        pictures["eval/textures"] = _textures(model, images)
    return Scores(values, {name: np.asarray(picture) for name, picture in pictures.items()})


def _open(plan: RunPlan) -> _Splits:
    if plan.scored_on:
        query, gallery = (
            reading.undecoded(data_sources.open_source(plan.scored_on, split, plan.data_dir))
            for split in ("query", "gallery")
        )
        return _Splits(query, gallery, plan.scored_on)
    assert plan.reid is not None
    return _hold_out(plan.reid, plan.data_dir, plan.seed)


@functools.lru_cache(maxsize=1)  # a run scores the same ones again and again, and finding them reads the whole set
def _hold_out(batches: ReidBatches, data_dir: str, seed: int) -> _Splits:
    splits = data_sources.training_splits(batches.read_as, data_dir, use_val=batches.use_val)
    source = data_sources.open_source(batches.read_as, "+".join(splits), data_dir)
    held = held_out.hold_out(source, batches.held_out, seed=seed)
    return _Splits(
        reading.Subset(source, held.query),
        reading.Subset(source, held.gallery),
        f"{count(batches.held_out, 'identity', 'identities')} held out of {batches.dataset}",
    )


def _decode(source: reading.Source, index: int, size: tuple[int, int]) -> np.ndarray:
    return reading.decode(reading.read_example(source, index), "image", size, index)


def _ranked(
    source: reading.Source,
    query: EmbeddedSplit,
    gallery: EmbeddedSplit,
    images: Sequence[np.ndarray],
    options: protocols.Options,
) -> Image.Image:
    """Draw a row for each query: its image, and the gallery images nearest to it that the protocol keeps."""
    distances = ranking.pairwise_distances(query.embeddings, gallery.embeddings, metric=options.metric)
    cameras = options.cameras_of(query.camera_ids, gallery.camera_ids)
    query, gallery = (
        dataclasses.replace(split, camera_ids=ids) for split, ids in zip((query, gallery), cameras, strict=True)
    )
    rows = []
    for number, image in enumerate(images):
        right, dropped = match_masks(query, gallery, number)
        order = np.argsort(distances[number], kind="stable")
        nearest = order[~dropped[order]][:LIST_LENGTH]
        tiles = [_tile(image, "query", "black")]
        for index in map(int, nearest):
            found = _decode(source, index, (image.shape[0], image.shape[1]))
            tiles.append(_tile(found, f"{distances[number, index]:.3g}", _COLOURS[bool(right[index])]))
        rows.append(tiles)
    return contact_sheet.compose(rows)


def _tile(image: np.ndarray, words: str, colour: str) -> contact_sheet.Tile:
    return ImageOps.expand(Image.fromarray(image).resize(_SIZE), _BORDER, fill=colour), words


def _textures(model: SAN, images: Sequence[np.ndarray]) -> Image.Image:
    """Draw each query beside what the decoder makes of it."""
    regressed = embed.regress_textures(
        model, np.stack(images), batch_size=embed.whole_batch_size(SHOWN_QUERIES), mesh=embed.machine_mesh()
    )
    rows = []
    for image, texture in zip(images, regressed, strict=True):
        height, width = _SIZE[1], round(_SIZE[1] * texture.shape[1] / texture.shape[0])
        rows.append(
            [(Image.fromarray(image).resize(_SIZE), ""), (Image.fromarray(texture).resize((width, height)), "")]
        )
    return contact_sheet.compose(rows)
