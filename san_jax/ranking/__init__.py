"""Ranking a gallery: distances (`distances`), CMC, mAP and mINP (`scores`), what chance would give (`chance`),
re-ranking by k-reciprocal neighbours (`k_reciprocal`), and the nearest in a gallery that comes in blocks (`nearest`)."""

from san_jax.ranking.chance import chance_scores
from san_jax.ranking.distances import distance_blocks, pairwise_distances
from san_jax.ranking.k_reciprocal import k_reciprocal_rerank, reranked_blocks
from san_jax.ranking.nearest import Nearest
from san_jax.ranking.scores import (
    RankingResult,
    correct_ranks,
    evaluate_distances,
    evaluate_ranking,
)
from san_jax.ranking_settings import AVERAGE_PRECISIONS, METRICS, KReciprocal

__all__ = [
    "AVERAGE_PRECISIONS",
    "METRICS",
    "KReciprocal",
    "Nearest",
    "RankingResult",
    "chance_scores",
    "correct_ranks",
    "distance_blocks",
    "evaluate_distances",
    "evaluate_ranking",
    "k_reciprocal_rerank",
    "pairwise_distances",
    "reranked_blocks",
]
