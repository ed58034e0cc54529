"""Ranking a gallery: distances (`distances`), CMC, mAP and mINP (`scores`), and what chance would give (`chance`)."""

from san_jax.ranking.chance import chance_scores
from san_jax.ranking.distances import METRICS, distance_blocks, pairwise_distances
from san_jax.ranking.scores import RankingResult, correct_ranks, evaluate_distances, evaluate_ranking

__all__ = [
    "METRICS",
    "RankingResult",
    "chance_scores",
    "correct_ranks",
    "distance_blocks",
    "evaluate_distances",
    "evaluate_ranking",
    "pairwise_distances",
]
