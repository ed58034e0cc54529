"""Scores of each query, and of each query with one of its matches."""

from collections.abc import Iterator

import numpy as np

from experiments.pages.report import SCORES
from experiments.scoring.embedding import EmbeddedSplit, match_masks
from san_jax import ranking


def query_scores(query: EmbeddedSplit, gallery: EmbeddedSplit, *, metric: str = "euclidean") -> dict[str, np.ndarray]:
    """Score each query by the rule of Market-1501: name of the score -> float64 [Q], NaN for a query without a match."""
    result = {key: np.full(len(query.person_ids), np.nan) for key, _ in SCORES}
    for index, row in enumerate(_rows(query, gallery, metric)):
        found = ranking.correct_ranks(row, *match_masks(query, gallery, index))
        if not len(found):
            continue
        for key, values in result.items():
            if key == "mAP":
                values[index] = np.mean(np.arange(1, len(found) + 1) / found)
            elif key == "mINP":
                values[index] = len(found) / found[-1]
            else:
                values[index] = found[0] <= int(key.removeprefix("rank"))
    return result


def single_match_ranks(
    query: EmbeddedSplit, gallery: EmbeddedSplit, *, metric: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank each correct match of each query among the pictures of other persons, without the query's other matches.

    So a match's rank does not depend on how many other matches the query has.

    Returns:
        Indices of the queries, indices of the matches in the gallery, and the ranks, counted from 1: int [pairs].
    """
    parts = []
    for index, row in enumerate(_rows(query, gallery, metric)):
        correct, dropped = match_masks(query, gallery, index)
        matches = np.flatnonzero(correct & ~dropped)
        ranks = ranking.correct_ranks(row, correct, dropped) - np.arange(len(matches))
        nearest_first = matches[np.argsort(row[matches], kind="stable")]
        parts.append((np.full(len(matches), index), nearest_first, ranks))
    queries, matches, ranks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return queries, matches, ranks


def _rows(query: EmbeddedSplit, gallery: EmbeddedSplit, metric: str) -> Iterator[np.ndarray]:
    """Yield the distances of each query to the gallery."""
    for block in ranking.distance_blocks(query.embeddings, gallery.embeddings, metric=metric):
        yield from block
